/* Targets and their providers as the calls found them: how much is under way, how fast they answer,
 * whether they fail. One record for each, shared by all loops, living across reloads as long as its
 * name and its provider's URL stay the same.
 *
 *   struct targets ── "openai/gpt-5" ─> target_state ─> provider_state "openai"
 *                     "openai/…"     ─> target_state ─┘   (models that no alias names)
 *
 * A call asks with target_enter, and gets a permit or a reason. The permit counts it as in flight,
 * holds the breaker's probe where it is one, and comes back once by target_leave, whatever the end:
 *
 *   target_enter ─> permit ── target_answered (first content byte) ──> target_leave(verdict)
 *                      └──────────────────────────────────────────────────^
 *
 * 1. in_flight of a target and of its provider is the number of permits out.
 * 2. Of latency and breaker only what the target did counts (enum target_verdict).
 * 3. A provider's retries (attempts of a call that asked it before) stay below its retry budget.
 *
 * Settings (limits, windows) are the snapshot's, passed with the config_target. Any thread: the
 * registry has a leaf lock for lookups, all else is atomics. Times: os_now_us clock. */
#ifndef WEIR_STATE_TARGETS_H
#define WEIR_STATE_TARGETS_H

#include "config/config.h"
#include "state/breaker.h"
#include "state/tally.h"

struct targets;

/* Why a target was passed over. */
#define TARGET_SKIPS(X)                                                                            \
    X(UNABLE, "unable")       /* it cannot do what the call asks */                                \
    X(CONDITION, "condition") /* its `when` does not hold for this call */                         \
    X(UNHEALTHY, "unhealthy") /* its provider does not answer the health probe */                  \
    X(COOLING, "retry_after") /* it asked to be left alone for a while */                          \
    X(OPEN, "breaker_open")   /* it failed too often */                                            \
    X(BUSY, "concurrency")    /* as many calls as it may have are under way */                     \
    X(BUDGET, "retry_budget") /* its provider had its share of retries */

enum target_skip {
    TARGET_SKIP_NONE,
#define X(name, text) TARGET_SKIP_##name,
    TARGET_SKIPS(X)
#undef X
        TARGET_SKIP_COUNT
};
/* As records and metrics say it. */
const char *target_skip_name(enum target_skip reason);

/* What an attempt says about its target. */
enum target_verdict {
    TARGET_OK,      /* it answered */
    TARGET_FAULT,   /* its fault: 408, 429, 5xx, no connection, too slow, a broken answer */
    TARGET_NEUTRAL, /* says nothing: the client's fault or leaving, ours */
};

struct provider_state {
    atomic_uint references;
    struct provider_state *next; /* registry's */
    atomic_int in_flight;
    struct tally retries;    /* first attempts, retries */
    atomic_bool down;        /* the health probe's word */
    atomic_uint probe_fails; /* in a row */
    atomic_uint_fast64_t probes;
    size_t name_len;
    size_t key_len;
    char key[]; /* name '\n' url */
};

#define TARGET_COUNTERS(X)                                                                         \
    X(attempts)                                                                                    \
    X(ok)                                                                                          \
    X(faults)

struct target_state {
    atomic_uint references;
    struct target_state *next; /* registry's */
    struct provider_state *provider;
    atomic_int in_flight;
    struct breaker breaker;
    atomic_uint_fast64_t latency;       /* packed: see targets.c */
    atomic_uint_fast64_t cool_until_us; /* Retry-After */
#define X(name) atomic_uint_fast64_t name;
    TARGET_COUNTERS(X)
#undef X
    atomic_uint_fast64_t skipped[TARGET_SKIP_COUNT];
    size_t name_len;
    size_t key_len;
    char key[]; /* name '\n' url */
};

static inline struct str target_state_name(const struct target_state *t)
{
    return str_of(t->key, t->name_len);
}

static inline struct str provider_state_name(const struct provider_state *p)
{
    return str_of(p->key, p->name_len);
}

struct targets *targets_new(void);
/* All states must have been put. */
void targets_free(struct targets *r);
/* The state of a target by that name at that provider, made on first use; a reference. */
struct target_state *target_state_get(struct targets *r, struct str name,
                                      const struct config_provider *provider);
void target_state_put(struct targets *r, struct target_state *t);
/* Each target that a snapshot in use names, in no order. fn must not call the registry. */
void targets_each(struct targets *r, void (*fn)(void *arg, const struct target_state *t),
                  void *arg);

struct target_permit {
    struct target_state *target; /* NULL: none is held */
    uint64_t started_us;
    bool probe;
    bool answered;
};

struct target_ask {
    const struct config_target *config;
    bool retry; /* this call has asked this provider before */
    bool force; /* nobody else is there: neither breaker, cool-down nor health keep it away */
};

/* One call more for this target? A permit, or the reason, which is counted. */
MUST_CHECK enum target_skip target_enter(struct target_state *t, const struct target_ask *ask,
                                         uint64_t now_us, struct target_permit *ret_permit);
/* Would target_enter say yes, concurrency and retry budget aside? */
bool target_is_up(const struct target_state *t, const struct config_target *config,
                  uint64_t now_us);
/* When it may be asked again: for choosing the least bad one. */
uint64_t target_up_at_us(const struct target_state *t);
/* The first content byte came. */
void target_answered(struct target_permit *p, const struct config_target *config, uint64_t now_us);
/* The attempt is over. retry_after_ms: what the target asked for, -1: nothing. Empties the permit;
 * an empty one is fine. */
void target_leave(struct target_permit *p, const struct config_target *config,
                  enum target_verdict verdict, int64_t retry_after_ms, uint64_t now_us);

/* Expected time to the first byte, µs, decayed: exponentially weighted by time (10 s), and fading
 * while nothing is measured (30 s), so that a slow target is tried again. 0: never measured. */
double target_latency_us(const struct target_state *t, uint64_t now_us);
/* What "least latency" compares: latency × calls under way. */
bool target_is_better(const struct target_state *a, const struct target_state *b, uint64_t now_us);

/* A health probe's end. */
void provider_probed(struct provider_state *p, bool healthy);

#endif
