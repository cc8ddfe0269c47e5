#include "model/local/logprobs.h"

#include <math.h>
#include <stdbool.h>

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

enum { BLOCK = 16 };

/* Without a branch for each, so that the compiler compares several at once. */
static bool any_above(const float *block, float bound)
{
    int found = 0;
    for (int i = 0; i < BLOCK; i++)
        found |= block[i] > bound;
    return found != 0;
}

/* Into its place among those that are there, of which at most `most` stay. */
static size_t insert(struct logprob_top *top, size_t have, size_t most, struct logprob_top one)
{
    size_t at = have < most ? have++ : have - 1;
    for (; at > 0 && one.logprob > top[at - 1].logprob; at--)
        top[at] = top[at - 1];
    top[at] = one;
    return have;
}

void logprobs_top(const float *logits, int32_t n, float total, struct logprob_top *ret_top,
                  size_t *count)
{
    size_t have = 0, want = *count;
    for (int32_t t = 0; t < n && want > 0; t++) {
        /* Most of a vocabulary is far below the last of those that are kept. */
        while (have == want && n - t >= BLOCK && !any_above(logits + t, ret_top[have - 1].logprob))
            t += BLOCK;
        if (t < n && (have < want || logits[t] > ret_top[have - 1].logprob))
            have = insert(ret_top, have, want, (struct logprob_top){t, logits[t]});
    }
    for (size_t i = 0; i < have; i++)
        ret_top[i].logprob -= total;
    *count = have;
}
