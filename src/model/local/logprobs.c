#include "model/local/logprobs.h"

#include <math.h>

float logprobs_total(const float *logits, int32_t count)
{
    int32_t at = 0;
    double sum = 1; /* the largest's own part */
    for (int32_t i = 1; i < count; i++)
        at = logits[i] > logits[at] ? i : at;
    float most = logits[at];
    for (int32_t i = 0; i < count; i++)
        if (i != at)
            sum += (double)expf(logits[i] - most);
    return most + (float)log(sum);
}

void logprobs_top(const float *logits, int32_t n, float total, struct logprob_top *ret_top,
                  size_t *count)
{
    size_t have = 0, want = *count;
    for (int32_t t = 0; t < n && want > 0; t++) {
        float logprob = logits[t] - total;
        if (have == want && !(logprob > ret_top[have - 1].logprob))
            continue;
        size_t at = have < want ? have++ : have - 1;
        for (; at > 0 && logprob > ret_top[at - 1].logprob; at--)
            ret_top[at] = ret_top[at - 1];
        ret_top[at] = (struct logprob_top){t, logprob};
    }
    *count = have;
}
