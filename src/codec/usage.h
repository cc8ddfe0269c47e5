/* What a call used, in tokens, in one form for every provider.
 *
 * 1. No count is negative.
 * 2. input is the whole prompt: cached_input and cache_write are parts of it, their sum is at most
 *    input.
 * 3. output is everything generated: reasoning is a part of it. audio_in and audio_out are parts of
 *    input and output. */
#ifndef WEIR_CODEC_USAGE_H
#define WEIR_CODEC_USAGE_H

#include <stdint.h>

enum usage_source {
    USAGE_NONE,     /* nobody said, and nobody counted: the counts are 0 */
    USAGE_PROVIDER, /* as the provider said */
    USAGE_COUNTED,  /* Weir's own count or estimate */
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
