/* A cache: a hash table of nodes, and a list of those with an answer, used last first.
 *
 *   slots ─> node ─> node          newest <─> node <─> node <─> oldest
 *
 * Every node has an answer, a flight, or both (the answer is too old for the call in flight). */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "call/cache/cache_int.h"

enum { SLOTS_FIRST = 256 };

struct node {
    struct node *chain;
    struct node *newer, *older; /* with an answer */
    struct cache_answer *answer;
    struct cache_flight *flight;
    uint8_t key[CACHE_KEY_BYTES];
};

struct cache {
    struct caches *all;
    struct cache *next; /* in the registry */
    atomic_uint refs;
    struct str model;
    struct os_mutex lock; /* what follows */
    int64_t ttl_ms;
    size_t bytes_max;
    struct node **slots;
    size_t slot_count; /* a power of two */
    size_t node_count;
    struct node *newest, *oldest;
    struct cache_stats stats;
};

struct caches {
    struct os_mutex lock;
    struct cache *first;
};

/* ---- Answers ---- */

struct cache_answer *cache_answer_new(const struct cache_answer *from)
{
    size_t texts = from->body.len + from->target.len + from->source.len;
    char *memory = mem_alloc(sizeof(struct cache_answer) + texts);
    struct cache_answer *a = (void *)memory;
    char *at = memory + sizeof *a;
    struct str *copies[] = {&a->body, &a->target, &a->source};
    *a = *from;
    atomic_init(&a->refs, 1);
    for (size_t i = 0; i < 3; i++) {
        struct str text = *copies[i];
        if (text.len)
            memcpy(at, text.ptr, text.len);
        *copies[i] = str_of(at, text.len);
        at += text.len;
    }
    a->bytes = sizeof *a + texts + sizeof(struct node);
    return a;
}

struct cache_answer *cache_answer_get(struct cache_answer *a)
{
    atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    return a;
}

void cache_answer_put(struct cache_answer *a)
{
    if (a && atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1)
        mem_free(a);
}

/* ---- The registry ---- */

struct caches *caches_new(void)
{
    struct caches *all = NEW(struct caches);
    os_mutex_init(&all->lock);
    return all;
}

void caches_free(struct caches *all)
{
    ASSERT(all->first == NULL);
    os_mutex_release(&all->lock);
    mem_free(all);
}

static struct cache *cache_new(struct caches *all, struct str model)
{
    struct cache *c = NEW(struct cache);
    c->all = all;
    c->model = str_of(mem_strdup(model.ptr, model.len), model.len);
    c->slot_count = SLOTS_FIRST;
    c->slots = mem_array(c->slot_count, sizeof(struct node *));
    os_mutex_init(&c->lock);
    return c;
}

static void make_room(struct cache *c, size_t bytes);

struct cache *caches_get(struct caches *all, struct str model, int64_t ttl_ms, size_t bytes_max)
{
    os_mutex_lock(&all->lock);
    struct cache *c = all->first;
    while (c && !str_eq(c->model, model))
        c = c->next;
    if (!c) {
        c = cache_new(all, model);
        c->next = all->first;
        all->first = c;
    }
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    os_mutex_lock(&c->lock);
    c->ttl_ms = ttl_ms;
    c->bytes_max = bytes_max;
    make_room(c, 0);
    os_mutex_unlock(&c->lock);
    os_mutex_unlock(&all->lock);
    return c;
}

struct cache *cache_get(struct cache *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

static void cache_free(struct cache *c)
{
    for (size_t i = 0; i < c->slot_count; i++) {
        struct node *node = c->slots[i];
        while (node) {
            struct node *next = node->chain;
            ASSERT(node->flight == NULL); /* it would hold a reference */
            cache_answer_put(node->answer);
            mem_free(node);
            node = next;
        }
    }
    mem_free(c->slots);
    mem_free((char *)c->model.ptr);
    os_mutex_release(&c->lock);
    mem_free(c);
}

void cache_put(struct cache *c)
{
    if (!c)
        return;
    struct caches *all = c->all;
    os_mutex_lock(&all->lock); /* caches_get must not find one that is on its way out */
    bool last = atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1;
    if (last) {
        struct cache **link = &all->first;
        while (*link != c)
            link = &(*link)->next;
        *link = c->next;
    }
    os_mutex_unlock(&all->lock);
    if (last)
        cache_free(c);
}

/* ---- Nodes; the cache's lock is held ---- */

static struct node **slot_of(const struct cache *c, const uint8_t *key)
{
    uint64_t hash; /* the key is a digest: any part of it will do */
    memcpy(&hash, key, sizeof hash);
    return &c->slots[hash & (c->slot_count - 1)];
}

static struct node *node_find(const struct cache *c, const uint8_t *key)
{
    struct node *node = *slot_of(c, key);
    while (node && memcmp(node->key, key, CACHE_KEY_BYTES) != 0)
        node = node->chain;
    return node;
}

static void grow(struct cache *c)
{
    struct node **old = c->slots;
    size_t old_count = c->slot_count;
    c->slot_count *= 2;
    c->slots = mem_array(c->slot_count, sizeof(struct node *));
    for (size_t i = 0; i < old_count; i++) {
        struct node *node = old[i];
        while (node) {
            struct node *next = node->chain;
            struct node **slot = slot_of(c, node->key);
            node->chain = *slot;
            *slot = node;
            node = next;
        }
    }
    mem_free(old);
}

static struct node *node_make(struct cache *c, const uint8_t *key)
{
    struct node *node = node_find(c, key);
    if (node)
        return node;
    if (c->node_count >= c->slot_count)
        grow(c);
    struct node **slot = slot_of(c, key);
    node = NEW(struct node);
    memcpy(node->key, key, CACHE_KEY_BYTES);
    node->chain = *slot;
    *slot = node;
    c->node_count++;
    return node;
}

/* Gone when it holds nothing any more. */
static void node_check(struct cache *c, struct node *node)
{
    if (node->answer || node->flight)
        return;
    struct node **link = slot_of(c, node->key);
    while (*link != node)
        link = &(*link)->chain;
    *link = node->chain;
    c->node_count--;
    mem_free(node);
}

static void unlink_answer(struct cache *c, struct node *node)
{
    *(node->newer ? &node->newer->older : &c->newest) = node->older;
    *(node->older ? &node->older->newer : &c->oldest) = node->newer;
    node->newer = node->older = NULL;
}

static void link_newest(struct cache *c, struct node *node)
{
    node->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = node;
    c->newest = node;
}

static void link_oldest(struct cache *c, struct node *node)
{
    node->newer = c->oldest;
    *(c->oldest ? &c->oldest->older : &c->newest) = node;
    c->oldest = node;
}

/* The node may be gone afterwards. */
static void answer_drop(struct cache *c, struct node *node)
{
    unlink_answer(c, node);
    c->stats.entries--;
    c->stats.bytes -= node->answer->bytes;
    cache_answer_put(node->answer);
    node->answer = NULL;
    node_check(c, node);
}

static void make_room(struct cache *c, size_t bytes)
{
    while (c->oldest && c->stats.bytes + bytes > c->bytes_max) {
        answer_drop(c, c->oldest);
        c->stats.evicted++;
    }
}

static bool is_fresh(const struct cache *c, const struct cache_answer *a, int64_t now_wall_us,
                     int64_t max_age_ms)
{
    int64_t age_us = now_wall_us - a->wall_us;
    return age_us < c->ttl_ms * 1000 && (max_age_ms < 0 || age_us <= max_age_ms * 1000);
}

/* Of this key, with a reference, or NULL. What is past its ttl goes. */
static struct cache_answer *take(struct cache *c, struct node *node, int64_t now_wall_us,
                                 int64_t max_age_ms)
{
    if (!node || !node->answer)
        return NULL;
    if (!is_fresh(c, node->answer, now_wall_us, -1)) {
        answer_drop(c, node);
        return NULL;
    }
    if (!is_fresh(c, node->answer, now_wall_us, max_age_ms))
        return NULL;
    unlink_answer(c, node);
    link_newest(c, node);
    c->stats.hits++;
    return cache_answer_get(node->answer);
}

/* ---- The cache ---- */

struct cache_answer *cache_find(struct cache *c, const uint8_t key[CACHE_KEY_BYTES],
                                int64_t now_wall_us, int64_t max_age_ms)
{
    os_mutex_lock(&c->lock);
    struct cache_answer *answer = take(c, node_find(c, key), now_wall_us, max_age_ms);
    os_mutex_unlock(&c->lock);
    return answer;
}

bool cache_store(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], struct cache_answer *a,
                 int64_t now_wall_us, bool last)
{
    os_mutex_lock(&c->lock);
    struct node *node = node_find(c, key);
    bool older = node && node->answer && node->answer->wall_us >= a->wall_us;
    bool fits = a->bytes <= c->bytes_max && (!last || c->stats.bytes + a->bytes <= c->bytes_max);
    if (fits && !older && is_fresh(c, a, now_wall_us, -1)) {
        if (node && node->answer)
            answer_drop(c, node);
        make_room(c, a->bytes);
        node = node_make(c, key);
        node->answer = cache_answer_get(a);
        c->stats.entries++;
        c->stats.bytes += a->bytes;
        last ? link_oldest(c, node) : link_newest(c, node);
    }
    os_mutex_unlock(&c->lock);
    return fits;
}

enum cache_found cache_enter(struct cache *c, const uint8_t key[CACHE_KEY_BYTES],
                             int64_t now_wall_us, int64_t max_age_ms,
                             struct cache_answer **ret_answer, struct cache_flight **ret_flight)
{
    enum cache_found found = CACHE_HIT;
    os_mutex_lock(&c->lock);
    struct cache_answer *answer = take(c, node_find(c, key), now_wall_us, max_age_ms);
    if (answer) {
        *ret_answer = answer;
    } else {
        struct node *node = node_make(c, key);
        found = node->flight ? CACHE_FOLLOW : CACHE_LEAD;
        if (!node->flight)
            node->flight = cache_flight_new(c, key);
        *ret_flight = found == CACHE_LEAD ? node->flight : cache_flight_get(node->flight);
        c->stats.shared += found == CACHE_FOLLOW;
        c->stats.misses += found == CACHE_LEAD;
    }
    os_mutex_unlock(&c->lock);
    return found;
}

void cache_flight_forget(struct cache *c, const uint8_t key[CACHE_KEY_BYTES],
                         struct cache_flight *f)
{
    os_mutex_lock(&c->lock);
    struct node *node = node_find(c, key);
    bool there = node && node->flight == f;
    if (there) {
        node->flight = NULL;
        node_check(c, node);
    }
    os_mutex_unlock(&c->lock);
    if (there)
        cache_flight_put(f);
}

struct cache_stats cache_stats(struct cache *c)
{
    os_mutex_lock(&c->lock);
    struct cache_stats stats = c->stats;
    stats.bytes_max = c->bytes_max;
    os_mutex_unlock(&c->lock);
    return stats;
}
