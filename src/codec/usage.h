/* What a call used, in tokens, in one form for every provider: the record's `usage`, and what
 * prices multiply.
 *
 * 1. No count is negative.
 * 2. Totals include their parts, as OpenTelemetry's gen_ai.usage.* and OpenAI do:
 *        input   includes  cached_input + cache_write; audio_in
 *        output  includes  reasoning; audio_out
 *    A provider that reports parts beside the total (Anthropic: input_tokens without cache reads
 * and writes) is summed up by its dialect. A part that a provider does not report is 0. */
#ifndef WEIR_CODEC_USAGE_H
#define WEIR_CODEC_USAGE_H

#include <stdint.h>

enum usage_source {
    USAGE_NONE,     /* nobody said, and nobody counted: the counts are 0 */
    USAGE_PROVIDER, /* as upstream reported it */
    USAGE_COUNTED,  /* estimated by Weir, where upstream sent none (or was cut before it) */
};

struct usage {
    int64_t input;
    int64_t cached_input; /* read from the provider's prompt cache */
    int64_t cache_write;  /* written to it */
    int64_t output;
    int64_t reasoning;
    int64_t audio_in;
    int64_t audio_out;
    enum usage_source source;
};

#endif
