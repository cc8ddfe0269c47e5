/* A call and its model's cache: whether it is answered from there, whether others may follow it,
 * and what of its answer is kept.
 *
 *   admission   call_cache_enter ── HIT, FOLLOW ─> call_cache_serve ─> relay, as from any target
 *                                └─ LEAD, ALONE ─> attempts … call_cache_pass … call_cache_release
 *
 * A follower whose leader brought no content asks a target itself, alone: a call follows once at
 * most, so that many equal calls to a target that fails do not wait for one another in a row. */
#include "base/assert.h"
#include "call/cache/key.h"
#include "call/cache/replay.h"
#include "call/call_int.h"
#include "codec/digest.h"
#include "codec/time.h"
#include "os/clock.h"

enum role {
    ROLE_HIT,    /* answered from the cache */
    ROLE_FOLLOW, /* answered by an equal call that is under way */
    ROLE_LEAD,   /* answered by a target; others may follow */
    ROLE_ALONE,  /* answered by a target, for itself only */
};

struct call_cache {
    struct cache *cache; /* the settings' reference */
    uint8_t key[CACHE_KEY_BYTES];
    enum role role;
    bool bypass; /* the caller wanted none of it */
    bool store;  /* the caller lets its answer be kept */
    bool keep;   /* the answer is worth it */
    bool served; /* HIT or FOLLOW gave the head */
    struct cache_answer *answer;
    struct cache_flight *flight;
    struct config_target target; /* of an answer served */
    struct cache_answer *whole;  /* what was served, once it is known */
};

/* ---- Admission ---- */

/* Cache-Control of the request (RFC 9111 §5.2.1), as far as it is heard. */
struct wishes {
    bool no_cache;
    bool no_store;
    int64_t max_age_ms; /* -1: any */
};

static struct wishes read_wishes(const struct http_exchange *x)
{
    struct wishes w = {.max_age_ms = -1};
    struct str rest = http_headers_get(&x->headers, STR("cache-control"));
    while (rest.ptr) {
        struct str word = str_trim(str_split(&rest, ','));
        uint64_t seconds;
        if (str_eq_nocase(word, STR("no-cache")))
            w.no_cache = true;
        else if (str_eq_nocase(word, STR("no-store")))
            w.no_store = true;
        else if (str_starts_nocase(word, STR("max-age=")) &&
                 str_to_u64(str_skip(word, 8), &seconds) == ERR_OK && seconds < 1000000000)
            w.max_age_ms = (int64_t)seconds * 1000;
    }
    return w;
}

static void make_key(const struct call *c, uint8_t ret_key[CACHE_KEY_BYTES])
{
    struct cache_subject subject = {
        .owner = c->key->name,
        .endpoint = c->endpoint->name,
        .route = &c->route,
        .model = c->request.model,
        .betas = http_headers_get(&c->x->headers, STR("anthropic-beta")),
        .body = c->x->body,
        .max_depth = (unsigned)c->settings->shared->config->limits.nesting,
    };
    cache_key_make(&subject, ret_key);
}

static struct cache_shape shape_of(const struct call *c)
{
    return (struct cache_shape){.stream = c->request.stream, .usage_asked = c->request.usage_asked};
}

static void look(struct call_cache *k, const struct call *c, const struct wishes *w)
{
    int64_t now_us = os_wall_us();
    k->role = ROLE_ALONE;
    if (w->no_cache)
        return;
    if (w->no_store) {
        k->answer = cache_find(k->cache, k->key, now_us, w->max_age_ms);
        k->role = k->answer ? ROLE_HIT : ROLE_ALONE;
        return;
    }
    switch (cache_enter(k->cache, k->key, now_us, w->max_age_ms, &k->answer, &k->flight)) {
    case CACHE_HIT: k->role = ROLE_HIT; break;
    case CACHE_FOLLOW: k->role = ROLE_FOLLOW; break;
    case CACHE_LEAD:
        k->role = ROLE_LEAD;
        cache_flight_shape(k->flight, shape_of(c));
        break;
    }
}

void call_cache_enter(struct call *c)
{
    const struct config_model *alias = c->route.alias;
    struct cache *cache = alias ? c->settings->shared->caches[alias->index] : NULL;
    if (!cache)
        return;
    struct wishes w = read_wishes(c->x);
    struct call_cache *k = ARENA_NEW(c->x->arena, struct call_cache);
    k->cache = cache;
    k->store = !w.no_store;
    k->bypass = w.no_cache || w.no_store;
    make_key(c, k->key);
    look(k, c, &w);
    c->cache = k;
}

bool call_cache_hit(const struct call *c)
{
    return c->cache && c->cache->role == ROLE_HIT;
}

/* ---- Being answered ---- */

/* The target as the settings know it, or one of its name. */
static void take_target(struct call *c, struct str name)
{
    struct call_cache *k = c->cache;
    size_t count = config_route_count(&c->route);
    for (size_t i = 0; i < count; i++)
        if (str_eq(config_route_target(&c->route, i)->name, name)) {
            k->target = *config_route_target(&c->route, i);
            return;
        }
    k->target.name = arena_str(c->x->arena, name);
}

static void on_head(void *arg, const struct model_head *head)
{
    struct call *c = arg;
    c->cache->served = true;
    take_target(c, cache_replay_result(c->use).target);
    call_attempt_now(c)->status = head->status;
    call_relay_head(c, head);
}

static void on_body(void *arg, struct str bytes)
{
    call_relay_body(arg, bytes);
}

static void on_end(void *arg)
{
    struct call *c = arg;
    const struct cache_answer *whole = cache_replay_result(c->use).answer;
    if (whole)
        c->cache->whole = cache_answer_get((struct cache_answer *)whole);
    call_relay_end(c);
}

static void on_fail(void *arg, enum err error, enum model_phase phase, struct str detail)
{
    struct call *c = arg;
    (void)error, (void)phase, (void)detail;
    ASSERT(!c->cache->served);
    call_attempt_end(c);
    call_relay_reset(c);
    c->attempt_count = 0;
    c->cache->role = ROLE_ALONE;
    call_attempt_first(c);
}

static const struct model_events events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
    .on_fail = on_fail,
};

bool call_cache_serve(struct call *c)
{
    struct call_cache *k = c->cache;
    if (!k || (k->role != ROLE_HIT && k->role != ROLE_FOLLOW))
        return false;
    struct cache_replay replay = {
        .answer = k->answer,
        .flight = k->flight,
        .stream = c->request.stream,
        .usage_asked = c->request.usage_asked,
        .dialect = c->endpoint->dialect,
        .body = c->x->body,
        .call = str_of(c->id, TRACE_ID_HEX),
        .max_depth = (unsigned)c->settings->shared->config->limits.nesting,
        .loop = c->gl->loop,
    };
    k->answer = NULL; /* the use's now */
    k->flight = NULL;
    k->target = *config_route_target(&c->route, 0);
    c->attempts[0] = (struct call_attempt){.target = &k->target, .retry_after_ms = -1};
    c->attempt_count = 1;
    c->use = cache_replay_start(&replay, &events, c);
    return true;
}

bool call_cache_served(const struct call *c)
{
    return c->cache && c->cache->served;
}

bool call_cache_usage(struct call *c)
{
    if (!call_cache_served(c) || !c->cache->whole)
        return false;
    c->usage = c->cache->whole->usage;
    return true;
}

/* ---- Being followed ---- */

void call_cache_pass(struct call *c, struct str bytes)
{
    struct call_cache *k = c->cache;
    if (k && k->role == ROLE_LEAD && k->flight && c->streaming && c->content)
        cache_flight_pass(k->flight, call_attempt_now(c)->target->name, bytes);
}

static void on_deserted(void *arg)
{
    struct call *c = arg;
    if (c->phase != CALL_FINISHED)
        call_client_left(c);
}

bool call_cache_keeps(struct call *c)
{
    struct call_cache *k = c->cache;
    return k && k->role == ROLE_LEAD && k->flight &&
           cache_flight_abandon(k->flight, c->gl->loop, on_deserted, c);
}

/* ---- The end ---- */

/* Only what is whole, and what a client could parse. */
static bool is_worth_keeping(const struct call *c)
{
    if (!c->whole || c->status != 200)
        return false;
    if (c->streaming)
        return !call_answer_is_cut(c) && !c->stream.malformed && c->response.len;
    if (call_is_translated(c))
        return !call_answer_is_cut(c);
    return c->answer_read && c->answer.len == c->answer_bytes;
}

void call_cache_finish(struct call *c)
{
    struct call_cache *k = c->cache;
    bool asked = k && (k->role == ROLE_LEAD || k->role == ROLE_ALONE);
    if (asked && k->store && c->outcome == CALL_OK)
        k->keep = is_worth_keeping(c);
}

static struct cache_answer *make_answer(const struct call *c)
{
    struct cache_answer from = {
        .body = c->streaming ? buf_str(&c->response) : buf_str(&c->answer),
        .target = call_attempt_now(c)->target->name,
        .source = str_of(c->id, TRACE_ID_HEX),
        .wall_us = c->wall_us,
        .usage = c->usage,
    };
    return cache_answer_new(&from);
}

void call_cache_release(struct call *c)
{
    struct call_cache *k = c->cache;
    if (!k || (!k->flight && !k->keep))
        return;
    struct cache_answer *answer = k->keep ? make_answer(c) : NULL;
    if (k->flight) {
        struct cache_flight *flight = k->flight;
        call_cache_pass(c, buf_str(&c->held));
        k->flight = NULL;
        cache_flight_end(flight, answer, os_wall_us());
    } else {
        (void)cache_store(k->cache, k->key, answer, os_wall_us(), false);
    }
    k->keep = false;
    cache_answer_put(answer);
}

void call_cache_done(struct call *c)
{
    struct call_cache *k = c->cache;
    if (!k)
        return;
    if (k->flight)
        cache_flight_end(k->flight, NULL, 0);
    cache_answer_put(k->answer);
    cache_answer_put(k->whole);
    k->flight = NULL;
    k->answer = k->whole = NULL;
}

/* ---- The record ---- */

static struct str status_text(const struct call_cache *k)
{
    if (k->bypass && k->role != ROLE_HIT)
        return STR("bypass");
    switch (k->role) {
    case ROLE_HIT: return STR("hit");
    case ROLE_FOLLOW: return STR("shared");
    default: return STR("miss");
    }
}

void call_cache_record(const struct call *c, struct json_writer *w)
{
    const struct call_cache *k = c->cache;
    char hex[2 * CACHE_KEY_BYTES];
    if (!k)
        return;
    hex_encode(k->key, CACHE_KEY_BYTES, hex);
    json_key(w, STR("cache"));
    json_object_begin(w);
    json_member_str(w, STR("status"), status_text(k));
    json_member_str(w, STR("key"), str_of(hex, sizeof hex));
    json_member_bool(w, STR("kept"), k->keep);
    if (k->whole) {
        json_member_str(w, STR("source"), k->whole->source);
        json_member_i64(w, STR("age_ms"), (c->wall_us - k->whole->wall_us) / 1000);
    }
    json_object_end(w);
}
