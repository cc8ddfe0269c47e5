/* Gemini's own API (generateContent, streamGenerateContent), as a target.
 *
 * The language: https://ai.google.dev/api/generate-content. What becomes of each member is listed
 * in docs/dialects.md. Pure; one thread a structure. */
#ifndef WEIR_DIALECT_GEMINI_H
#define WEIR_DIALECT_GEMINI_H

#include "dialect/dialect.h"

/* What stands before a signature that Gemini made and another language carries: so that a
 * conversation that changes its target sends no provider another one's. Base64 has no colon. */
#define GEMINI_SIGNATURE_MARK STR("gemini:")

/* Limits of the API. */
enum { GEMINI_STOPS_MAX = 5, GEMINI_CANDIDATES_MAX = 8 };

/* Append the body of a request; see struct dialect. */
MUST_CHECK enum err gemini_write_ask(const struct ask *ask, const struct ask_target *target,
                                     struct arena *a, struct buf *out, struct ask_plan *ret_plan,
                                     struct openai_problem *ret_problem);

/* usageMetadata. Thoughts are counted beside the candidates, a tool's results beside the prompt;
 * cached tokens are a part of the prompt. ERR_INVALID: no object, or it says nothing. */
MUST_CHECK enum err gemini_usage_read(struct str text, struct usage *ret_usage);
/* google.rpc.Status in JSON: type by the status, code by its name ("RESOURCE_EXHAUSTED"). */
void gemini_read_error(struct str body, int status, struct openai_problem *ret_problem);
/* google.rpc.RetryInfo of an error's details; -1: it has none. */
int64_t gemini_retry_after_ms(struct str body);

#endif
