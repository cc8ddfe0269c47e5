/* Which target a call's next attempt takes.
 *
 *   targets of the alias ─ can do it ─ conditions hold ─> candidates
 *        one round:  strategy picks ─> target_enter ─ permit ─> attempt
 *                        ^                 │ reason: noted, the strategy picks among the rest
 *                        └─────────────────┘
 *
 * 1. A round asks each candidate once; after it all are there again.
 * 2. A candidate that is down (breaker, cool-down, health) is passed over while others are there. A
 *    call that would get no attempt at all gets the one that is likely to be up first, and an only
 *    candidate is never passed over for being down: refusing it would help nobody.
 * 3. Concurrency and the retry budget hold in any case.
 *
 * One call's, on its loop's thread. Randomness is os_random_u64, time is passed in. */
#ifndef WEIR_CALL_ROUTE_H
#define WEIR_CALL_ROUTE_H

#include "base/arena.h"
#include "config/config.h"
#include "config/expr.h"
#include "state/targets.h"

/* Targets' states for one snapshot: references, found by the targets' places in it. */
struct route_table;
struct route_table *route_table_new(struct targets *registry, const struct config *config);
void route_table_free(struct route_table *table);

/* A target that was passed over, oldest first. */
struct route_skip {
    const struct config_target *target;
    enum target_skip reason;
    struct route_skip *next;
};

struct route {
    const struct config_route *to;
    struct target_state *const *states; /* as config_route_target counts */
    struct str sticky;                  /* whom the target is kept for; empty: nobody */
    uint32_t candidates;                /* a bit a target */
    uint32_t untried;                   /* in this round */
    uint32_t asked;                     /* in this call */
    unsigned rounds;                    /* that have begun */
    struct arena *arena;                /* for skips */
    struct route_skip *skips;           /* noted since they were last taken */
    struct route_skip **skips_end;
};

/* unable: a bit for each target that cannot do what is asked. facts: for conditions; `user` is what
 * sticky goes by. True when there is a candidate. */
bool route_begin(struct route *r, const struct config_route *to, const struct route_table *table,
                 uint32_t unable, const struct expr_facts *facts, struct arena *arena);

struct route_pick {
    const struct config_target *target;
    size_t index;
    const char *by; /* order, weight, latency, sticky, last_resort */
    struct target_permit permit;
};

/* The next attempt's target, and its permit. False: none may be asked now, r->skips says why. */
bool route_next(struct route *r, uint64_t now_us, struct route_pick *ret_pick);
/* The target that was picked cannot do what this call asks: it is no candidate any more. */
void route_give_back(struct route *r, struct route_pick *pick, uint64_t now_us);
/* Is a candidate left in this round that is up? */
bool route_has_untried(const struct route *r, uint64_t now_us);
/* How long all candidates want to be left alone (Retry-After), ms; 0: not all do. */
uint64_t route_cooling_ms(const struct route *r, uint64_t now_us);
/* Take the skips noted so far. */
struct route_skip *route_take_skips(struct route *r);

/* Place of a user on the line of a target with that weight; the highest wins: weighted rendezvous
 * hashing (Schindler & Mertens), so a change of one target moves only its own users. */
double route_sticky_score(struct str user, struct str target, uint32_t weight);
struct provider_state *route_table_provider(const struct route_table *table,
                                            const struct config_provider *p);

#endif
