/* What calls took and used, by operation and model and by key, as counts that only grow: the
 * histograms and counters behind /metrics, in OpenTelemetry's words (gen_ai.*).
 *
 *   struct meters ── chat, openai, gpt-5          ─> meter ── shard of loop 0 │ shard of loop 1 …
 *                    chat, openai, gpt-5, "429"   ─> meter
 *                    key "web"                    ─> meter
 *
 * 1. A shard has one writer, its loop; adding is a plain load and store, and readers sum whole
 *    values over all shards. A meter and its shards live as long as the registry.
 * 2. There are METERS_MAX meters at most. What comes after that is counted under the meter of its
 *    kind whose names are METER_OTHER, so that no caller can make series without end.
 * 3. Finding takes no lock; making a meter does (a leaf). */
#ifndef WEIR_STATE_METERS_H
#define WEIR_STATE_METERS_H

#include <stdatomic.h>

#include "base/str.h"

struct meters;
struct meter;

enum {
    METERS_MAX = 300,           /* of some 10 KB of text each */
    METER_NAME_BYTES_MAX = 256, /* of all of a meter's names; longer ones are METER_OTHER's */
};
#define METER_OTHER STR("_OTHER")

enum meter_kind {
    METER_CALLS, /* operation, provider, model, error */
    METER_KEY,   /* the key's name, in `operation`; counters only */
};

/* Histograms of METER_CALLS. Times are in µs. */
enum meter_histogram {
    METER_CLIENT,    /* an attempt at the model: its duration */
    METER_INPUT,     /* tokens of a call */
    METER_OUTPUT,    /* tokens of a call */
    METER_CHUNK,     /* a stream's attempt: until the first content */
    METER_SERVER,    /* a call, from its request's first byte to its end */
    METER_FIRST,     /* a stream: from its request's first byte to the first content */
    METER_PER_TOKEN, /* a stream: from the first content to its end, for each token after the first
                      */
    METER_HISTOGRAMS
};

enum { METER_BOUNDS_MAX = 22 };

struct meter_bounds {
    uint64_t at[METER_BOUNDS_MAX]; /* upper ends, inclusive; one bucket more is above them */
    unsigned count;
};
extern const struct meter_bounds meter_bounds[METER_HISTOGRAMS];

enum meter_counter {
    METER_COUNT,       /* calls */
    METER_ERRORS,      /* of them, not ok */
    METER_INPUT_SUM,   /* tokens */
    METER_CACHED_SUM,  /* of the input */
    METER_OUTPUT_SUM,  /* tokens */
    METER_COST,        /* 10^-12 of the currency, USD */
    METER_OVERHEAD_US, /* of the time, what Weir took itself */
    METER_COUNTERS
};

struct meter_name {
    enum meter_kind kind;
    struct str operation; /* METER_KEY: the key's name */
    struct str provider;
    struct str model;
    struct str error; /* empty: it went well */
};

/* loops: shards of each meter. */
struct meters *meters_new(unsigned loops);
void meters_free(struct meters *m);
/* Found or made. Any thread. */
struct meter *meters_get(struct meters *m, const struct meter_name *name);

/* By the loop's thread only. */
void meter_add(struct meter *meter, unsigned loop, enum meter_histogram histogram, uint64_t value);
void meter_count(struct meter *meter, unsigned loop, enum meter_counter counter, uint64_t value);

/* Sums over the loops. Any thread. */
struct meter_sums {
    struct {
        uint64_t buckets[METER_BOUNDS_MAX + 1];
        uint64_t sum;
    } histograms[METER_HISTOGRAMS];
    uint64_t counters[METER_COUNTERS];
};
void meter_sum(const struct meter *meter, struct meter_sums *ret_sums);
/* The strings live as long as the registry. */
const struct meter_name *meter_name(const struct meter *meter);
/* Meter number i, in the order they were made; NULL after the last. Any thread. */
const struct meter *meters_at(const struct meters *m, size_t i);

#endif
