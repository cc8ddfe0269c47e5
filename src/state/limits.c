#include "state/limits.h"

#include <stdatomic.h>

#include "base/assert.h"
#include "base/mem.h"
#include "codec/time.h"
#include "os/thread.h"

enum {
    SLOTS_PER_WINDOW = 64,
    /* A closed interval of a window's length touches one slot more than it has, and one more at its
     * closed end. When a reload shortens slots, the ring may run full: see window_add. */
    RING_SLOTS = SLOTS_PER_WINDOW + 2,
    CONCURRENT_RETRY_MS = 1000,
    /* Keys of two snapshots, at a reload, and of calls that outlive a third. */
    LIMITERS_MAX = 4 * CONFIG_KEYS_MAX
};

/* What one call may count: so that sums of them stay far from 2^63. */
#define TOKENS_MAX INT64_C(1000000000000)

struct slot {
    uint64_t last_us; /* of its events; it counts until last_us + window_us has passed */
    int64_t count;
};

/* Slots in the order of their serial numbers; number n stands at n % RING_SLOTS. */
struct window {
    int64_t limit; /* 0: none, nothing is counted */
    uint64_t window_us;
    uint64_t oldest; /* serial number of the oldest live slot */
    uint64_t next;   /* serial number of the next new one; from 1 */
    int64_t used;    /* sum over live slots */
    struct slot slots[RING_SLOTS];
};

struct limiter {
    struct limiters *registry;
    struct limiter *next_in_bucket;
    /* Falls to zero, and rises from there, under the registry's lock only. */
    atomic_uint references;
    struct os_mutex lock;
    uint64_t latest_us; /* no event is older than one before it */
    int64_t in_flight;
    int64_t concurrent_limit; /* 0: none */
    struct window requests;
    struct window tokens;
    size_t name_len;
    char name[];
};

/* ---- Windows; the limiter's lock is held ---- */

static void window_set(struct window *w, const struct config_rate *rate)
{
    if (w->next == 0)
        w->oldest = w->next = 1;
    w->limit = rate->count;
    w->window_us = (uint64_t)rate->window_us;
}

static struct slot *window_slot(struct window *w, uint64_t number)
{
    return &w->slots[number % RING_SLOTS];
}

/* Let go of slots whose last event has left the closed interval [now - window, now]. */
static void window_expire(struct window *w, uint64_t now_us)
{
    while (w->oldest < w->next) {
        struct slot *slot = window_slot(w, w->oldest);
        if (now_us <= slot->last_us + w->window_us)
            break;
        w->used -= slot->count;
        w->oldest++;
    }
    ASSERT(w->oldest < w->next || w->used == 0);
}

/* When `count` more would fit, if nothing else came: now, or the first µs after enough slots have
 * gone. */
static uint64_t window_fits_at(struct window *w, int64_t count, uint64_t now_us)
{
    int64_t used = w->used;
    uint64_t at_us = now_us;
    for (uint64_t n = w->oldest; n < w->next && used > w->limit - count; n++) {
        used -= window_slot(w, n)->count;
        at_us = window_slot(w, n)->last_us + w->window_us + 1;
    }
    return at_us;
}

/* Count an event; the serial number of its slot. Events within one slot's width share it; with a
 * full ring the newest takes them too, which counts its earlier events longer, never shorter. */
static uint64_t window_add(struct window *w, int64_t count, uint64_t now_us)
{
    uint64_t width_us = w->window_us / SLOTS_PER_WINDOW;
    uint64_t newest = w->next - 1;
    bool any = w->oldest < w->next;
    bool same = any && (now_us / width_us == window_slot(w, newest)->last_us / width_us ||
                        w->next - w->oldest == RING_SLOTS);
    uint64_t number = same ? newest : w->next++;
    struct slot *slot = window_slot(w, number);
    if (!same)
        slot->count = 0;
    slot->last_us = now_us;
    slot->count += count;
    w->used += count;
    return number;
}

/* Correct what was counted, if it still is. */
static void window_adjust(struct window *w, uint64_t number, int64_t difference)
{
    if (number < w->oldest || number >= w->next)
        return;
    window_slot(w, number)->count += difference;
    w->used += difference;
    ASSERT(window_slot(w, number)->count >= 0 && w->used >= 0);
}

/* ---- The registry ---- */

enum { BUCKETS = 1024 };

struct limiters {
    struct os_mutex lock; /* before any limiter's; held for lookups only */
    size_t count;
    struct limiter *buckets[BUCKETS];
};

struct limiters *limiters_new(void)
{
    struct limiters *r = NEW(struct limiters);
    os_mutex_init(&r->lock);
    return r;
}

void limiters_free(struct limiters *r)
{
    if (!r)
        return;
    ASSERT(r->count == 0);
    os_mutex_release(&r->lock);
    mem_free(r);
}

static struct limiter **bucket_of(struct limiters *r, struct str name)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (unsigned char)name.ptr[i]) * 16777619u;
    return &r->buckets[hash % BUCKETS];
}

static struct str name_of(const struct limiter *l)
{
    return str_of(l->name, l->name_len);
}

static struct limiter *new_limiter(struct limiters *r, struct str name)
{
    struct limiter *l = mem_alloc(sizeof *l + name.len);
    l->registry = r;
    l->name_len = name.len;
    memcpy(l->name, name.ptr, name.len);
    os_mutex_init(&l->lock);
    return l;
}

struct limiter *limiter_get(struct limiters *r, struct str name,
                            const struct config_key_limits *limits)
{
    os_mutex_lock(&r->lock);
    struct limiter **at = bucket_of(r, name);
    struct limiter *l = *at;
    while (l && !str_eq(name_of(l), name))
        l = l->next_in_bucket;
    if (!l) {
        ASSERT(r->count < LIMITERS_MAX);
        l = new_limiter(r, name);
        l->next_in_bucket = *at;
        *at = l;
        r->count++;
    }
    atomic_fetch_add(&l->references, 1);
    os_mutex_lock(&l->lock);
    window_set(&l->requests, &limits->requests);
    window_set(&l->tokens, &limits->tokens);
    l->concurrent_limit = limits->concurrent;
    os_mutex_unlock(&l->lock);
    os_mutex_unlock(&r->lock);
    return l;
}

/* Drop a reference that is not the last one. */
static bool put_one_of_many(struct limiter *l)
{
    unsigned count = atomic_load(&l->references);
    ASSERT(count > 0);
    while (count > 1)
        if (atomic_compare_exchange_weak(&l->references, &count, count - 1))
            return true;
    return false;
}

static void forget(struct limiters *r, struct limiter *l)
{
    struct limiter **at = bucket_of(r, name_of(l));
    while (*at != l)
        at = &(*at)->next_in_bucket;
    *at = l->next_in_bucket;
    r->count--;
}

void limiter_put(struct limiter *l)
{
    if (!l || put_one_of_many(l))
        return;
    struct limiters *r = l->registry;
    os_mutex_lock(&r->lock);
    bool last = atomic_fetch_sub(&l->references, 1) == 1;
    if (last)
        forget(r, l);
    os_mutex_unlock(&r->lock);
    if (!last)
        return;
    os_mutex_release(&l->lock);
    mem_free(l);
}

/* ---- Calls ---- */

const char *limit_kind_name(enum limit_kind kind)
{
    static const char *const names[] = {"none", "requests", "tokens", "concurrent"};
    ASSERT((unsigned)kind < sizeof names / sizeof names[0]);
    return names[kind];
}

/* The time of this event on the limiter's own line: another thread may have come first with a later
 * one. */
static uint64_t take_time(struct limiter *l, uint64_t now_us)
{
    if (now_us > l->latest_us)
        l->latest_us = now_us;
    window_expire(&l->requests, l->latest_us);
    window_expire(&l->tokens, l->latest_us);
    return l->latest_us;
}

/* Keep the refusal that lasts longer. */
static void keep_longer(struct limit_refusal *worst, const struct limit_refusal *other)
{
    bool longer =
        other->never != worst->never ? other->never : other->retry_after_ms > worst->retry_after_ms;
    if (worst->kind == LIMIT_NONE || longer)
        *worst = *other;
}

static void try_window(struct window *w, enum limit_kind kind, int64_t count, uint64_t now_us,
                       struct limit_refusal *worst)
{
    if (w->limit == 0 || w->used <= w->limit - count)
        return;
    struct limit_refusal refusal = {.kind = kind,
                                    .limit = w->limit,
                                    .window_us = (int64_t)w->window_us,
                                    .used = w->used,
                                    .wanted = count,
                                    .never = count > w->limit};
    if (!refusal.never)
        refusal.retry_after_ms = (int64_t)(window_fits_at(w, count, now_us) - now_us + 999) / 1000;
    keep_longer(worst, &refusal);
}

static void try_concurrent(const struct limiter *l, struct limit_refusal *worst)
{
    if (l->concurrent_limit == 0 || l->in_flight < l->concurrent_limit)
        return;
    keep_longer(worst, &(struct limit_refusal){.kind = LIMIT_CONCURRENT,
                                               .limit = l->concurrent_limit,
                                               .used = l->in_flight,
                                               .wanted = 1,
                                               .retry_after_ms = CONCURRENT_RETRY_MS});
}

static int64_t clamp_tokens(int64_t tokens)
{
    return tokens < 0 ? 0 : tokens > TOKENS_MAX ? TOKENS_MAX : tokens;
}

enum err limiter_reserve(struct limiter *l, int64_t tokens_estimate, uint64_t now_us,
                         struct reservation *ret_reservation, struct limit_refusal *ret_refusal)
{
    struct reservation r = {.limiter = l, .tokens = clamp_tokens(tokens_estimate)};
    struct limit_refusal worst = {.kind = LIMIT_NONE};
    os_mutex_lock(&l->lock);
    r.at_us = take_time(l, now_us);
    try_concurrent(l, &worst);
    try_window(&l->requests, LIMIT_REQUESTS, 1, r.at_us, &worst);
    try_window(&l->tokens, LIMIT_TOKENS, r.tokens, r.at_us, &worst);
    if (worst.kind == LIMIT_NONE) {
        if (l->requests.limit)
            r.request_slot = window_add(&l->requests, 1, r.at_us);
        if (l->tokens.limit)
            r.token_slot = window_add(&l->tokens, r.tokens, r.at_us);
        l->in_flight++;
        atomic_fetch_add(&l->references, 1); /* the caller holds one, so it is not the first */
    }
    os_mutex_unlock(&l->lock);
    if (worst.kind != LIMIT_NONE) {
        *ret_refusal = worst;
        return ERR_LIMIT;
    }
    *ret_reservation = r;
    return ERR_OK;
}

/* requests: how the counted request is corrected; tokens: how the reserved ones are. */
static void end(struct reservation *r, int64_t requests, int64_t tokens)
{
    struct limiter *l = r->limiter;
    os_mutex_lock(&l->lock);
    window_adjust(&l->requests, r->request_slot, requests);
    window_adjust(&l->tokens, r->token_slot, tokens);
    ASSERT(l->in_flight > 0);
    l->in_flight--;
    os_mutex_unlock(&l->lock);
    limiter_put(l);
    *r = (struct reservation){.limiter = NULL};
}

void limiter_settle(struct reservation *r, int64_t tokens_used)
{
    if (r->limiter)
        end(r, 0, clamp_tokens(tokens_used) - r->tokens);
}

void limiter_cancel(struct reservation *r)
{
    if (r->limiter)
        end(r, -1, -r->tokens);
}

/* ---- For people ---- */

static void append_seconds(struct buf *text, int64_t ms)
{
    buf_printf(text, "; retry after %lld s", (long long)((ms + 999) / 1000));
}

void limit_refusal_explain(const struct limit_refusal *refusal, struct str key_name,
                           struct buf *text)
{
    char span[TIME_SPAN_TEXT_BYTES];
    const struct limit_refusal *r = refusal;
    if (r->kind == LIMIT_CONCURRENT) {
        buf_printf(text, "key '%.*s' has %lld calls in flight, its limit", STR_ARG(key_name),
                   (long long)r->limit);
        append_seconds(text, r->retry_after_ms);
        return;
    }
    struct str window = time_span_format(r->window_us / 1000, span);
    buf_printf(text, "key '%.*s' is limited to %lld %s per %.*s", STR_ARG(key_name),
               (long long)r->limit, limit_kind_name(r->kind), STR_ARG(window));
    if (r->never) {
        buf_printf(text, ", and this call alone may take %lld: lower its maximum of tokens",
                   (long long)r->wanted);
        return;
    }
    if (r->kind == LIMIT_TOKENS)
        buf_printf(text, ", of which %lld are used or reserved, and this call may take %lld",
                   (long long)r->used, (long long)r->wanted);
    append_seconds(text, r->retry_after_ms);
}

struct limiter_usage limiter_usage_now(struct limiter *l, uint64_t now_us)
{
    os_mutex_lock(&l->lock);
    (void)take_time(l, now_us);
    struct limiter_usage usage = {
        .requests = l->requests.used, .tokens = l->tokens.used, .in_flight = l->in_flight};
    os_mutex_unlock(&l->lock);
    return usage;
}
