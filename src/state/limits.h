/* Limits of a key: requests and tokens over sliding windows, and calls in flight.
 *
 * One `struct limiter` per key name, shared by all loops, living across reloads in a registry. Each
 * window is a ring of slots, oldest first; events within one 64th of the window share a slot, which
 * counts until its last event has left the window:
 *
 *   ├ slot: last_us, count ┤ … ├ newest ┤          sum of live slots + wanted ≤ limit, or refused
 *
 * Invariants
 *  1. No closed interval of a window's length ever holds more than the limit (of what was reserved;
 *     a call that used more than it reserved is counted too, and holds the following ones back).
 *  2. A window's worth may come in one burst; it is free again one window after its last event.
 * Events spread out are counted at most 1/64 of the window longer than they must be, never shorter.
 *  3. What is refused is not counted. What is reserved is settled or cancelled exactly once.
 *  4. A limiter's memory is fixed (about 2 KiB), whatever the traffic.
 *
 * Any thread; a limiter's mutex is a leaf: nothing else is locked and nothing waits while it is
 * held. */
#ifndef WEIR_STATE_LIMITS_H
#define WEIR_STATE_LIMITS_H

#include "base/buf.h"
#include "config/config.h"

struct limiter;
struct limiters; /* the registry: limiters by key name */

struct limiters *limiters_new(void);
/* All limiters must have been put. */
void limiters_free(struct limiters *r);

/* The limiter of that name, made on first use, with one reference; what it counted before stays.
 * Its limits become `limits` (by value) at once. Called when a snapshot of keys is built. */
struct limiter *limiter_get(struct limiters *r, struct str name,
                            const struct config_key_limits *limits);
void limiter_put(struct limiter *l);

enum limit_kind { LIMIT_NONE = 0, LIMIT_REQUESTS, LIMIT_TOKENS, LIMIT_CONCURRENT };
/* "requests", "tokens", "concurrent": as weir.yaml names them. */
const char *limit_kind_name(enum limit_kind kind);

/* Which limit refused; where several did, the one that stays shut longest. */
struct limit_refusal {
    enum limit_kind kind;
    int64_t limit;     /* its value */
    int64_t window_us; /* 0 for LIMIT_CONCURRENT */
    int64_t used;      /* counted at this moment */
    int64_t wanted;    /* tokens that the call asked to reserve; 1 for the other kinds */
    /* Until the same call would pass if nothing else came, rounded up; 1,000 for LIMIT_CONCURRENT,
     * where nobody knows. 0 with `never`. */
    int64_t retry_after_ms;
    bool never; /* wanted > limit: waiting does not help */
};

/* One admitted call. Zero-initialised, it is empty: settling or cancelling it does nothing. */
struct reservation {
    struct limiter *limiter; /* referenced until settled */
    uint64_t at_us;          /* moment of admission: now_us, or later if another thread was ahead */
    int64_t tokens;          /* reserved */
    uint64_t request_slot;   /* slots' serial numbers; 0: not counted */
    uint64_t token_slot;
};

/* Admit one call that reserves tokens_estimate (≥ 0) tokens, under all limits or none. ERR_LIMIT
 * fills *ret_refusal and counts nothing. now_us: os_now_us(). */
MUST_CHECK enum err limiter_reserve(struct limiter *l, int64_t tokens_estimate, uint64_t now_us,
                                    struct reservation *ret_reservation,
                                    struct limit_refusal *ret_refusal);
/* The call is over and used that many tokens (≥ 0): corrects the slot where they were reserved, if
 * it is still inside the window, and frees the place among calls in flight. Empties the
 * reservation. */
void limiter_settle(struct reservation *r, int64_t tokens_used);
/* The call was refused after all, before anything was asked of a model: as if it had never been. */
void limiter_cancel(struct reservation *r);

/* What a refused caller reads: "requests limit of key 'web' reached: 600 per 1m; retry after 12 s".
 */
void limit_refusal_explain(const struct limit_refusal *refusal, struct str key_name,
                           struct buf *text);

/* For status pages and tests. */
struct limiter_usage {
    int64_t requests;
    int64_t tokens;
    int64_t in_flight;
};
struct limiter_usage limiter_usage_now(struct limiter *l, uint64_t now_us);

#endif
