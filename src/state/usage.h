/* What a call used, normalised over all providers: the record's `usage`, and what prices multiply.
 *
 * Counts are tokens. Totals include their parts, as OpenTelemetry's gen_ai.usage.* and OpenAI do:
 *
 *   input  ⊇ cached_input (read from the provider's prompt cache), cache_write (written to it),
 * audio_in output ⊇ reasoning (thought, not shown), audio_out
 *
 * A provider that reports parts beside the total (Anthropic: input_tokens without cache reads and
 * writes) is summed up by its dialect. A part that a provider does not report is 0. */
#ifndef WEIR_STATE_USAGE_H
#define WEIR_STATE_USAGE_H

#include <stdint.h>

enum usage_source {
    USAGE_NONE = 0, /* nothing is known: the other fields mean nothing */
    USAGE_PROVIDER, /* as upstream reported it */
    USAGE_COUNTED   /* estimated by Weir, where upstream sent none (or was cut before it) */
};

struct usage {
    int64_t input;
    int64_t cached_input;
    int64_t cache_write;
    int64_t output;
    int64_t reasoning;
    int64_t audio_in;
    int64_t audio_out;
    enum usage_source source;
};

#endif
