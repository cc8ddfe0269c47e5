/* What a call used, in tokens, in one form for every provider: the record's `usage`, and what
 * prices multiply.
 *
 * 1. No count is negative.
 * 2. Totals include their parts, as OpenTelemetry's gen_ai.usage.* and OpenAI do:
 *        input   includes  cached_input + cache_write; audio_in
 *        cache_write  includes  cache_write_1h
 *        output  includes  reasoning; audio_out
 *    A provider that reports parts beside the total (Anthropic: input_tokens without cache reads
 * and writes) is summed up by its dialect. A part that a provider does not report is 0. */
#ifndef WEIR_CODEC_USAGE_H
#define WEIR_CODEC_USAGE_H

#include <stdint.h>

#include "codec/json_write.h"

enum usage_source {
    USAGE_NONE,     /* nobody said, and nobody counted: the counts are 0 */
    USAGE_PROVIDER, /* as upstream reported it */
    USAGE_COUNTED,  /* estimated by Weir, where upstream sent none (or was cut before it) */
};

/* How the provider served the call, where that has a price of its own. */
enum usage_tier { USAGE_STANDARD, USAGE_BATCH, USAGE_FLEX, USAGE_PRIORITY, USAGE_TIER_COUNT };

/* What a provider said against itself. The counts are mended so that 1 and 2 hold all the same. */
enum usage_suspect {
    USAGE_SUSPECT_INPUT = 1 << 0,  /* parts above the input: taken as beside it */
    USAGE_SUSPECT_OUTPUT = 1 << 1, /* parts above the output: taken as beside it */
    USAGE_SUSPECT_TOTAL = 1 << 2,  /* its total is not input + output, however parts are counted */
};

struct usage {
    int64_t input;
    int64_t cached_input;   /* read from the provider's prompt cache */
    int64_t cache_write;    /* written to it */
    int64_t cache_write_1h; /* of that, to live for an hour or more */
    int64_t output;
    int64_t reasoning;
    int64_t audio_in;
    int64_t audio_out;
    enum usage_tier tier;
    unsigned suspect; /* bits of usage_suspect */
    enum usage_source source;
};

/* The object of a record, or null for USAGE_NONE. */
void usage_write(struct json_writer *w, const struct usage *u);
/* Read one back (JSON); anything that is not an object with a source is USAGE_NONE. */
struct usage usage_read(struct str json);

#endif
