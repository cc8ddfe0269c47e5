/* Logarithms of probabilities out of a model's logits. Pure. */
#ifndef WEIR_MODEL_LOCAL_LOGPROBS_H
#define WEIR_MODEL_LOCAL_LOGPROBS_H

#include <stddef.h>
#include <stdint.h>

struct logprob_top {
    int32_t token;
    float logprob;
};

/* log Σ exp(logit): what a logit is less by than its logprob. count: at least 1. */
float logprobs_total(const float *logits, int32_t count);
/* The likeliest tokens, most likely first; *count: how many are wanted, then how many there are.
 * Of equal ones the lower number comes first. */
void logprobs_top(const float *logits, int32_t n, float total, struct logprob_top *ret_top,
                  size_t *count);

#endif
