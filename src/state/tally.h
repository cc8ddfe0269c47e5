/* Two counts over a sliding window, without locks: good and bad answers, first attempts and
 * retries.
 *
 *   ├ slice │ slice │ … 10 of them … │ newest ┤      each one word:
 * [number:32][first:16][second:16]
 *
 * 1. A slice is one atomic word, so its number and both counts change together; whoever comes first
 *    in a new slice's time empties it.
 * 2. A slice whose counts are full (65,535) has both halved: their ratio stays.
 * 3. What is counted leaves after between nine tenths of the window and the whole of it.
 *
 * Any thread. */
#ifndef WEIR_STATE_TALLY_H
#define WEIR_STATE_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

enum { TALLY_SLICES = 10 };

struct tally {
    atomic_uint_fast64_t slices[TALLY_SLICES];
};

struct tally_sum {
    uint32_t first;
    uint32_t second;
};

/* window_ms: at least TALLY_SLICES; the same in every call, or old counts may be misjudged once. */
void tally_add(struct tally *t, uint64_t now_us, int64_t window_ms, uint32_t first,
               uint32_t second);
struct tally_sum tally_sum(const struct tally *t, uint64_t now_us, int64_t window_ms);
void tally_reset(struct tally *t);

#endif
