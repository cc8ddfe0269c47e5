/* What a span says of a model's use, in OpenTelemetry's present words (gen_ai.*), whatever dialect
 * it was written in: OpenTelemetry's own names, new and old; OpenInference; OpenLLMetry
 * (Traceloop); Langfuse; the Vercel AI SDK.
 *
 * Where a fact is told more than once, the newest dialect's word counts. Token counts are held to
 * the invariants of codec/usage.h; what broke them is flagged, and the counts mended.
 *
 * Sources: semantic-conventions docs/registry/attributes/gen-ai.md (1.41, and its successor's
 * names); openinference spec/semantic_conventions.md; traceloop semconv_ai; langfuse
 * packages/shared/src/server/otel/attributes.ts; ai-sdk docs, "Telemetry". Pure. */
#ifndef WEIR_DIALECT_OTLP_NORMAL_H
#define WEIR_DIALECT_OTLP_NORMAL_H

#include "codec/usage.h"
#include "dialect/otlp/otlp.h"

/* Facts that are texts, then those that are any value. */
enum gen_ai_fact {
    GEN_OPERATION,
    GEN_PROVIDER,
    GEN_REQUEST_MODEL,
    GEN_RESPONSE_MODEL,
    GEN_RESPONSE_ID,
    GEN_SESSION,
    GEN_USER,
    GEN_AGENT,
    GEN_TOOL,
    GEN_TOOL_CALL_ID,
    GEN_OUTPUT_TYPE,
    GEN_KIND, /* a dialect's own kind of span, from which the operation follows */
    GEN_TEXTS,
    GEN_FINISH = GEN_TEXTS,
    GEN_INPUT_MESSAGES,
    GEN_OUTPUT_MESSAGES,
    GEN_SYSTEM,
    GEN_INPUT_VALUE,
    GEN_OUTPUT_VALUE,
    GEN_TOOL_CALLS, /* of an answer, beside its text */
    GEN_TOOL_ARGUMENTS,
    GEN_TOOL_RESULT,
    GEN_USAGE, /* counts in one JSON object */
    GEN_FACTS,
};

enum gen_ai_dialect {
    GEN_AI_NONE,
    GEN_AI_OPENTELEMETRY,
    GEN_AI_OPENLLMETRY,
    GEN_AI_LANGFUSE,
    GEN_AI_VERCEL,
    GEN_AI_OPENINFERENCE,
};

struct gen_ai {
    enum gen_ai_dialect dialect;
    struct str text[GEN_TEXTS];
    const struct otlp_value *value[GEN_FACTS]; /* those of texts are NULL */
    struct usage usage;                        /* source USAGE_NONE: it says nothing */
};

const char *gen_ai_dialect_name(enum gen_ai_dialect dialect);
/* Does a model work in it (and not only in a span below it): its tokens count. */
bool gen_ai_is_inference(const struct gen_ai *g);
/* Read a span's attributes; what is returned points into them. */
void gen_ai_read(const struct otlp_attributes *attributes, struct gen_ai *ret_gen_ai);
/* Append the messages as a JSON array in OpenTelemetry's form ({"role", "parts"}), nothing when the
 * span has none. */
void gen_ai_write_input(const struct gen_ai *g, const struct otlp_attributes *attributes,
                        struct arena *a, struct buf *json);
void gen_ai_write_output(const struct gen_ai *g, const struct otlp_attributes *attributes,
                         struct arena *a, struct buf *json);

#endif
