#include "state/targets.h"

#include <math.h>

#include "base/assert.h"
#include "base/mem.h"
#include "os/thread.h"

enum {
    BUCKETS = 1024,
    BUDGET_WINDOW_MS = 10000,
    COOL_MAX_MS = 10 * 60 * 1000, /* the longest Retry-After that keeps calls away */
    PROBE_FAILS_DOWN = 2,         /* health probes that fail in a row before it counts */
};

/* Latency: how fast the average forgets, how fast it fades unmeasured, what a fault counts. */
#define LATENCY_TAU_MS   10000.0
#define LATENCY_FADE_MS  30000.0
#define LATENCY_KEEP_MAX 0.9 /* of the old value, however soon the next one comes */
#define FAULT_US_MIN     1e6
#define FAULT_US_MAX     60e6

const char *target_skip_name(enum target_skip reason)
{
    static const char *const names[] = {"none",
#define X(name, text) text,
                                        TARGET_SKIPS(X)
#undef X
    };
    ASSERT((unsigned)reason < TARGET_SKIP_COUNT);
    return names[reason];
}

/* ---- The registry ---- */

struct targets {
    struct os_mutex lock; /* leaf; lookups and the last reference's end */
    size_t count;
    struct target_state *targets[BUCKETS];
    struct provider_state *providers[BUCKETS];
};

struct targets *targets_new(void)
{
    struct targets *r = NEW(struct targets);
    os_mutex_init(&r->lock);
    return r;
}

void targets_free(struct targets *r)
{
    if (!r)
        return;
    ASSERT(r->count == 0);
    os_mutex_release(&r->lock);
    mem_free(r);
}

static size_t bucket_of(struct str key)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ (unsigned char)key.ptr[i]) * 16777619u;
    return hash % BUCKETS;
}

/* name '\n' url: another URL under the same name is another target. */
static char *make_key(struct str name, const struct config_provider *p, size_t *ret_len)
{
    size_t len = name.len + 1 + p->url.text.len;
    char *key = mem_alloc(len);
    if (name.len)
        memcpy(key, name.ptr, name.len);
    key[name.len] = '\n';
    if (p->url.text.len)
        memcpy(key + name.len + 1, p->url.text.ptr, p->url.text.len);
    *ret_len = len;
    return key;
}

/* The lock is held, here and below. */
static struct provider_state *provider_get(struct targets *r, const struct config_provider *config)
{
    size_t len;
    char *key = make_key(config->name, config, &len);
    struct provider_state **bucket = &r->providers[bucket_of(str_of(key, len))];
    struct provider_state *p = *bucket;
    while (p && !str_eq(str_of(p->key, p->key_len), str_of(key, len)))
        p = p->next;
    if (!p) {
        p = mem_alloc(sizeof *p + len);
        memcpy(p->key, key, len);
        p->key_len = len;
        p->name_len = config->name.len;
        p->next = *bucket;
        *bucket = p;
        r->count++;
    }
    mem_free(key);
    atomic_fetch_add(&p->references, 1);
    return p;
}

static void provider_put(struct targets *r, struct provider_state *p)
{
    if (atomic_fetch_sub(&p->references, 1) != 1)
        return;
    ASSERT(atomic_load(&p->in_flight) == 0);
    struct provider_state **at = &r->providers[bucket_of(str_of(p->key, p->key_len))];
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    r->count--;
    mem_free(p);
}

struct target_state *target_state_get(struct targets *r, struct str name,
                                      const struct config_provider *provider)
{
    size_t len;
    char *key = make_key(name, provider, &len);
    os_mutex_lock(&r->lock);
    struct target_state **bucket = &r->targets[bucket_of(str_of(key, len))];
    struct target_state *t = *bucket;
    while (t && !str_eq(str_of(t->key, t->key_len), str_of(key, len)))
        t = t->next;
    if (!t) {
        t = mem_alloc(sizeof *t + len);
        memcpy(t->key, key, len);
        t->key_len = len;
        t->name_len = name.len;
        t->provider = provider_get(r, provider);
        t->next = *bucket;
        *bucket = t;
        r->count++;
    }
    atomic_fetch_add(&t->references, 1);
    os_mutex_unlock(&r->lock);
    mem_free(key);
    return t;
}

void target_state_put(struct targets *r, struct target_state *t)
{
    os_mutex_lock(&r->lock);
    if (atomic_fetch_sub(&t->references, 1) == 1) {
        ASSERT(atomic_load(&t->in_flight) == 0);
        struct target_state **at = &r->targets[bucket_of(str_of(t->key, t->key_len))];
        while (*at != t)
            at = &(*at)->next;
        *at = t->next;
        r->count--;
        provider_put(r, t->provider);
        mem_free(t);
    }
    os_mutex_unlock(&r->lock);
}

void targets_each(struct targets *r, void (*fn)(void *arg, const struct target_state *t), void *arg)
{
    os_mutex_lock(&r->lock);
    for (size_t i = 0; i < BUCKETS; i++)
        for (const struct target_state *t = r->targets[i]; t; t = t->next)
            fn(arg, t);
    os_mutex_unlock(&r->lock);
}

/* ---- Latency: one word, [µs:32][stamp in ms:32], so that both change together ---- */

struct latency {
    uint32_t us;
    uint32_t stamp_ms; /* wraps after 49 days: then one value fades too little, once */
};

static struct latency latency_load(const struct target_state *t)
{
    uint64_t word = atomic_load_explicit(&t->latency, memory_order_relaxed);
    return (struct latency){(uint32_t)(word >> 32), (uint32_t)word};
}

/* Since the stamp; another thread's may be a little ahead. */
static double idle_ms(uint32_t stamp_ms, uint64_t now_us)
{
    int32_t ms = (int32_t)((uint32_t)(now_us / 1000) - stamp_ms);
    return ms > 0 ? ms : 0;
}

static void latency_add(struct target_state *t, double sample_us, bool fault, uint64_t now_us)
{
    uint32_t now_ms = (uint32_t)(now_us / 1000);
    uint64_t old = atomic_load_explicit(&t->latency, memory_order_relaxed);
    uint64_t fresh;
    do {
        struct latency was = {(uint32_t)(old >> 32), (uint32_t)old};
        double sample = sample_us;
        if (fault && sample < 2.0 * was.us)
            sample = 2.0 * was.us;
        if (fault && sample < FAULT_US_MIN)
            sample = FAULT_US_MIN;
        sample = sample < FAULT_US_MAX ? sample : FAULT_US_MAX;
        double keep = exp(-idle_ms(was.stamp_ms, now_us) / LATENCY_TAU_MS);
        keep = was.us == 0 ? 0 : keep < LATENCY_KEEP_MAX ? keep : LATENCY_KEEP_MAX;
        uint32_t us = (uint32_t)(keep * was.us + (1 - keep) * sample);
        fresh = (uint64_t)(us ? us : 1) << 32 | now_ms;
    } while (!atomic_compare_exchange_weak_explicit(&t->latency, &old, fresh, memory_order_relaxed,
                                                    memory_order_relaxed));
}

double target_latency_us(const struct target_state *t, uint64_t now_us)
{
    struct latency l = latency_load(t);
    return l.us * exp(-idle_ms(l.stamp_ms, now_us) / LATENCY_FADE_MS);
}

bool target_is_better(const struct target_state *a, const struct target_state *b, uint64_t now_us)
{
    double latency_a = target_latency_us(a, now_us);
    double latency_b = target_latency_us(b, now_us);
    int calls_a = atomic_load_explicit(&a->in_flight, memory_order_relaxed) + 1;
    int calls_b = atomic_load_explicit(&b->in_flight, memory_order_relaxed) + 1;
    /* One that was never measured counts as fast as the other, so that it gets its share of calls,
     * and not all of them. */
    if (latency_a == 0 || latency_b == 0)
        return calls_a != calls_b ? calls_a < calls_b : latency_a < latency_b;
    return latency_a * calls_a < latency_b * calls_b;
}

/* ---- Calls ---- */

static bool take_place(atomic_int *in_flight, int limit)
{
    int n = atomic_load_explicit(in_flight, memory_order_relaxed);
    do {
        if (limit > 0 && n >= limit)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(in_flight, &n, n + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static void give_place(atomic_int *in_flight)
{
    int before = atomic_fetch_sub_explicit(in_flight, 1, memory_order_relaxed);
    ASSERT(before > 0);
}

/* Count this attempt at the provider; false: a retry too many. */
static bool take_budget(struct provider_state *p, const struct config_retry_budget *budget,
                        bool retry, uint64_t now_us)
{
    if (retry && !budget->off) {
        struct tally_sum sum = tally_sum(&p->retries, now_us, BUDGET_WINDOW_MS);
        int64_t allowed = (int64_t)sum.first * budget->percent / 100 +
                          budget->reserve_per_s * (BUDGET_WINDOW_MS / 1000);
        if (sum.second >= allowed)
            return false;
    }
    tally_add(&p->retries, now_us, BUDGET_WINDOW_MS, !retry, retry);
    return true;
}

static bool is_cooling(const struct target_state *t, uint64_t now_us)
{
    return atomic_load_explicit(&t->cool_until_us, memory_order_relaxed) > now_us;
}

static enum target_skip try_enter(struct target_state *t, const struct target_ask *ask,
                                  uint64_t now_us, bool *ret_probe)
{
    const struct config_provider *config = ask->config->provider;
    struct provider_state *p = t->provider;
    if (!ask->force && atomic_load_explicit(&p->down, memory_order_relaxed))
        return TARGET_SKIP_UNHEALTHY;
    if (!ask->force && is_cooling(t, now_us))
        return TARGET_SKIP_COOLING;
    if (!ask->force && !breaker_admits(&t->breaker, &config->breaker, now_us))
        return TARGET_SKIP_OPEN;
    if (!take_place(&t->in_flight, ask->config->concurrency))
        return TARGET_SKIP_BUSY;
    enum target_skip reason = TARGET_SKIP_BUSY;
    if (take_place(&p->in_flight, config->concurrency)) {
        /* The breaker comes last: what it gives is not to be given back at once. */
        reason = TARGET_SKIP_BUDGET;
        if (take_budget(p, &config->retry_budget, ask->retry, now_us)) {
            enum breaker_answer answer =
                breaker_enter(&t->breaker, &config->breaker, ask->force, now_us);
            *ret_probe = answer == BREAKER_PROBE;
            if (answer != BREAKER_REFUSE)
                return TARGET_SKIP_NONE;
            reason = TARGET_SKIP_OPEN;
        }
        give_place(&p->in_flight);
    }
    give_place(&t->in_flight);
    return reason;
}

static void count(atomic_uint_fast64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

enum target_skip target_enter(struct target_state *t, const struct target_ask *ask, uint64_t now_us,
                              struct target_permit *ret_permit)
{
    bool probe = false;
    enum target_skip reason = try_enter(t, ask, now_us, &probe);
    if (reason != TARGET_SKIP_NONE) {
        count(&t->skipped[reason]);
        return reason;
    }
    count(&t->attempts);
    *ret_permit = (struct target_permit){.target = t, .started_us = now_us, .probe = probe};
    return TARGET_SKIP_NONE;
}

bool target_is_up(const struct target_state *t, const struct config_target *config, uint64_t now_us)
{
    return !atomic_load_explicit(&t->provider->down, memory_order_relaxed) &&
           !is_cooling(t, now_us) &&
           breaker_admits(&t->breaker, &config->provider->breaker, now_us);
}

uint64_t target_up_at_us(const struct target_state *t)
{
    uint64_t cool_us = atomic_load_explicit(&t->cool_until_us, memory_order_relaxed);
    uint64_t open_us = breaker_until_us(&t->breaker);
    return cool_us > open_us ? cool_us : open_us;
}

void target_answered(struct target_permit *p, const struct config_target *config, uint64_t now_us)
{
    if (!p->target || p->answered)
        return;
    p->answered = true;
    latency_add(p->target, (double)(now_us - p->started_us), false, now_us);
    breaker_ok(&p->target->breaker, &config->provider->breaker, p->probe, now_us);
    count(&p->target->ok);
    p->probe = false;
}

/* The longer one counts, of those that were asked for. */
static void cool(struct target_state *t, int64_t retry_after_ms, uint64_t now_us)
{
    int64_t ms = retry_after_ms < COOL_MAX_MS ? retry_after_ms : COOL_MAX_MS;
    uint64_t until_us = now_us + (uint64_t)ms * 1000;
    uint64_t was = atomic_load_explicit(&t->cool_until_us, memory_order_relaxed);
    while (was < until_us &&
           !atomic_compare_exchange_weak_explicit(&t->cool_until_us, &was, until_us,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

void target_leave(struct target_permit *p, const struct config_target *config,
                  enum target_verdict verdict, int64_t retry_after_ms, uint64_t now_us)
{
    struct target_state *t = p->target;
    if (!t)
        return;
    const struct config_breaker *breaker = &config->provider->breaker;
    if (verdict == TARGET_OK)
        target_answered(p, config, now_us);
    if (verdict == TARGET_FAULT) {
        latency_add(t, (double)(now_us - p->started_us), true, now_us);
        breaker_fault(&t->breaker, breaker, p->probe, now_us);
        count(&t->faults);
        if (retry_after_ms > 0)
            cool(t, retry_after_ms, now_us);
    }
    if (verdict == TARGET_NEUTRAL)
        breaker_forgive(&t->breaker, p->probe, now_us);
    give_place(&t->provider->in_flight);
    give_place(&t->in_flight);
    *p = (struct target_permit){.target = NULL};
}

/* ---- Health ---- */

void provider_probed(struct provider_state *p, bool healthy)
{
    count(&p->probes);
    if (healthy) {
        atomic_store_explicit(&p->probe_fails, 0, memory_order_relaxed);
        atomic_store_explicit(&p->down, false, memory_order_relaxed);
        return;
    }
    if (atomic_fetch_add_explicit(&p->probe_fails, 1, memory_order_relaxed) + 1 >= PROBE_FAILS_DOWN)
        atomic_store_explicit(&p->down, true, memory_order_relaxed);
}
