/* Counts of values by size, for percentiles: log-linear buckets, as HdrHistogram's (Tene, 2012).
 *
 * Values below 2^HISTOGRAM_SUB_BITS are exact; above, a bucket is 1/64 of its power of two wide, so
 * a percentile is at most 1.6 % too high. Values past the last bucket count into it. One thread, or
 * a lock. */
#ifndef WEIR_BASE_HISTOGRAM_H
#define WEIR_BASE_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 6,
    HISTOGRAM_POWERS = 40, /* up to 2^40: in µs, 12 days */
    HISTOGRAM_BUCKETS = (HISTOGRAM_POWERS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

struct histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t min;
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_init(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The smallest bucket's upper end that at least `percent` of the values do not exceed (never above
 * max); 0 when empty. percent in 0…100. */
uint64_t histogram_percentile(const struct histogram *h, double percent);
/* 0 when empty. */
double histogram_mean(const struct histogram *h);

#endif
