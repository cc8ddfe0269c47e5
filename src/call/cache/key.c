#include "call/cache/key.h"

#include <stdlib.h>

#include "base/mem.h"
#include "codec/digest.h"
#include "codec/json_scan.h"

/* Counted into the digest, so that a later version's keys are others. */
#define VERSION "weir cache 1"

/* Everything that goes into the digest has its kind and length before it, so that no two different
 * texts are one. */
static void put(struct digest *d, char kind, struct str bytes)
{
    char head[9];
    uint64_t len = bytes.len;
    head[0] = kind;
    memcpy(head + 1, &len, sizeof len);
    digest_update(d, str_of(head, sizeof head));
    digest_update(d, bytes);
}

/* ---- The body ---- */

struct writer {
    struct digest *digest;
    struct buf text; /* scratch */
    unsigned max_depth;
    bool all; /* user, metadata and stream count too */
};

struct member {
    struct json_value key;
    struct json_value value;
    struct str name; /* unescaped; in the arena, or of the body */
    size_t at;       /* the first is 0 */
};

struct members {
    struct member *all;
    size_t count, room;
    struct arena arena;
};

static bool is_one_of(struct str name, const struct str *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(name, names[i]))
            return true;
    return false;
}

#define IS_ONE_OF(name, names) is_one_of((name), (names), sizeof(names) / sizeof((names)[0]))

/* Does not count, as a member of the body itself. */
static bool is_aside(const struct writer *w, struct str name)
{
    static const struct str aside[] = {STR_INIT("stream_options"), STR_INIT("prompt_cache_key"),
                                       STR_INIT("prompt_cache_retention"),
                                       STR_INIT("safety_identifier")};
    static const struct str choosing[] = {STR_INIT("stream"), STR_INIT("user"),
                                          STR_INIT("metadata")};
    return IS_ONE_OF(name, aside) || (!w->all && IS_ONE_OF(name, choosing));
}

/* Below it the order of members shows in the answer. */
static bool is_schema(struct str name)
{
    static const struct str schemas[] = {STR_INIT("parameters"), STR_INIT("schema"),
                                         STR_INIT("json_schema"), STR_INIT("input_schema"),
                                         STR_INIT("properties")};
    return IS_ONE_OF(name, schemas);
}

static int compare_members(const void *a, const void *b)
{
    const struct member *x = a;
    const struct member *y = b;
    int order = str_cmp(x->name, y->name);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

static void read_members(struct json_reader *r, struct members *m)
{
    struct json_value key;
    while (json_next_member(r, &key)) {
        if (m->count == m->room) {
            m->room = m->room ? 2 * m->room : 16;
            m->all = mem_resize(m->all, m->room * sizeof *m->all);
        }
        m->all[m->count] = (struct member){
            .key = key, .name = json_text(&key, &m->arena), .at = m->count, .value = json_take(r)};
        m->count++;
    }
}

static void put_value(struct writer *w, const struct json_value *value, bool sorted);

static void put_object(struct writer *w, struct json_reader *r, bool sorted, bool is_body)
{
    struct members m = {0};
    arena_init(&m.arena);
    read_members(r, &m);
    if (sorted && m.count)
        qsort(m.all, m.count, sizeof *m.all, compare_members);
    put(w->digest, '{', STR_NONE);
    for (size_t i = 0; i < m.count; i++) {
        if (is_body && is_aside(w, m.all[i].name))
            continue;
        put(w->digest, 'k', m.all[i].name);
        put_value(w, &m.all[i].value, sorted && !is_schema(m.all[i].name));
    }
    put(w->digest, '}', STR_NONE);
    arena_release(&m.arena);
    mem_free(m.all);
}

static void put_array(struct writer *w, struct json_reader *r, bool sorted)
{
    put(w->digest, '[', STR_NONE);
    while (json_next_element(r)) {
        struct json_value value = json_take(r);
        put_value(w, &value, sorted); /* as deep as the body, which was read to max_depth */
    }
    put(w->digest, ']', STR_NONE);
}

/* 1, 1.0 and 1e0 are one number; what a double cannot tell apart stays text. */
static void put_number(struct writer *w, const struct json_value *value)
{
    enum { DIGITS_EXACT = 15 };
    double number;
    if (value->raw.len <= DIGITS_EXACT && json_to_double(value, &number) == ERR_OK) {
        number = number == 0 ? 0 : number; /* -0 */
        put(w->digest, 'd', str_of((const char *)&number, sizeof number));
    } else {
        put(w->digest, 'n', value->raw);
    }
}

static void put_string(struct writer *w, const struct json_value *value)
{
    if (!value->escape_bytes) {
        put(w->digest, 's', json_text_raw(value));
        return;
    }
    buf_reset(&w->text);
    json_text_append(value, &w->text);
    put(w->digest, 's', buf_str(&w->text));
}

static void put_value(struct writer *w, const struct json_value *value, bool sorted)
{
    struct json_reader r;
    switch (value->kind) {
    case JSON_STRING: put_string(w, value); break;
    case JSON_NUMBER: put_number(w, value); break;
    case JSON_OBJECT:
    case JSON_ARRAY:
        json_reader_init(&r, value->raw, w->max_depth);
        if (json_enter(&r, JSON_OBJECT))
            put_object(w, &r, sorted, false);
        else if (json_enter(&r, JSON_ARRAY))
            put_array(w, &r, sorted);
        break;
    default: put(w->digest, 'l', value->raw); break;
    }
}

static void put_body(struct writer *w, struct str body)
{
    struct json_reader r;
    json_reader_init(&r, body, w->max_depth);
    if (json_enter(&r, JSON_OBJECT))
        put_object(w, &r, true, true);
}

/* ---- The route ---- */

/* Another target or parameter gives other answers. */
static void put_route(struct digest *d, const struct config_route *route)
{
    for (size_t i = 0; i < config_route_count(route); i++) {
        const struct config_target *target = config_route_target(route, i);
        put(d, 't', target->name);
        put(d, 'u', target->upstream);
        put(d, 'a', target->provider->url.text);
    }
    for (size_t i = 0; route->alias && i < route->alias->param_count; i++) {
        put(d, 'p', route->alias->params[i].name);
        put(d, 'j', route->alias->params[i].json);
    }
}

/* Do the members that are no part of the question say which target answers it? */
static bool chooses_by_caller(const struct config_route *route)
{
    bool chooses = route->alias && route->alias->sticky != CONFIG_STICKY_NONE;
    for (size_t i = 0; i < config_route_count(route); i++)
        chooses |= config_route_target(route, i)->condition_count > 0;
    return chooses;
}

void cache_key_make(const struct cache_subject *subject, uint8_t ret_key[CACHE_KEY_BYTES])
{
    struct writer w = {.digest = digest_new(),
                       .max_depth = subject->max_depth,
                       .all = chooses_by_caller(subject->route)};
    buf_init(&w.text, subject->body.len + 1);
    put(w.digest, 'v', STR(VERSION));
    put(w.digest, 'o', subject->owner);
    put(w.digest, 'e', subject->endpoint);
    put(w.digest, 'm', subject->model);
    put(w.digest, 'b', subject->betas);
    put_route(w.digest, subject->route);
    put_body(&w, subject->body);
    digest_final(w.digest, ret_key);
    digest_free(w.digest);
    buf_release(&w.text);
}
