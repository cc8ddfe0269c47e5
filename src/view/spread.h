/* How values are spread: log-linear buckets kept sparse, so that it fits a database row and many of
 * them add up.
 *
 * Values below 32 are exact; above, a bucket is 1/32 of its power of two wide, so a percentile is
 * at most 3.2 % too high. */
#ifndef WEIR_VIEW_SPREAD_H
#define WEIR_VIEW_SPREAD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { SPREAD_SUB_BITS = 5, SPREAD_BUCKETS = (64 - SPREAD_SUB_BITS + 1) << SPREAD_SUB_BITS };

struct spread_entry {
    uint32_t bucket;
    uint32_t count; /* stays at its maximum */
};

/* Zeroed memory is an empty one. */
struct spread {
    struct spread_entry *entries; /* by bucket */
    uint32_t used;
    uint32_t room;
};

void spread_release(struct spread *s);
void spread_add(struct spread *s, uint64_t value);
/* Append it as bytes: for each bucket two varints, how many empty ones are before it, and its
 * count.
 */
void spread_write(const struct spread *s, struct buf *out);
/* Add what was written. ERR_INVALID: not such bytes; then nothing is added. */
MUST_CHECK enum err spread_merge(struct spread *into, struct str bytes);
void spread_add_all(struct spread *into, const struct spread *other);

/* The sum of many, for which every bucket has its place. Zeroed memory is an empty one. */
struct spread_sum {
    uint64_t total;
    uint32_t counts[SPREAD_BUCKETS]; /* stay at their maximum */
};

/* Add what spread_write wrote. ERR_INVALID. */
MUST_CHECK enum err spread_sum_add(struct spread_sum *into, struct str bytes);
/* The largest value of the bucket in which the share `part` (0…1) of all values ends; 0 when empty.
 */
uint64_t spread_sum_percentile(const struct spread_sum *s, double part);

#endif
