/* Records of spans, scores and calls, read for what the view of traces keeps of them. */
#include <stdio.h>

#include "codec/decimal.h"
#include "codec/digest.h"
#include "codec/time.h"
#include "view/traces_int.h"

enum { DEPTH_MAX = 256, TEXT_BYTES = VIEW_TEXT_BYTES };

static struct str name_text(struct json_reader *r, struct arena *a)
{
    struct json_value value = json_take(r);
    return str_take(json_text(&value, a), VIEW_NAME_BYTES);
}

static int64_t count_of(struct json_reader *r)
{
    struct json_value value = json_take(r);
    int64_t n;
    return json_to_i64(&value, &n) == ERR_OK && n >= 0 ? n : -1;
}

static int64_t time_of(struct json_reader *r, struct arena *a)
{
    int64_t us;
    return time_parse(name_text(r, a), &us) == ERR_OK ? us : -1;
}

static bool id_of(struct json_reader *r, struct arena *a, uint8_t *ret_bytes, size_t len)
{
    return hex_decode(name_text(r, a), ret_bytes, len) == ERR_OK;
}

static void read_cost(struct json_reader *r, struct arena *a, int64_t *cost)
{
    struct json_value key;
    struct decimal amount;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key))
        if (json_eq(&key, STR("amount")) && decimal_parse(name_text(r, a), &amount) == ERR_OK &&
            amount.steps >= 0 && amount.steps / 1000 <= INT64_MAX)
            *cost = (int64_t)(amount.steps / 1000);
}

static void read_usage(struct json_reader *r, int64_t *input, int64_t *output)
{
    struct json_value key;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key)) {
        if (json_eq(&key, STR("input")))
            *input = count_of(r);
        else if (json_eq(&key, STR("output")))
            *output = count_of(r);
    }
}

/* ---- Tokens: name=value as one word ---- */

void traces_token(struct str name, struct str value, char ret_token[TRACES_TOKEN_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.ptr[i]) * UINT64_C(1099511628211);
    h = (h ^ '=') * UINT64_C(1099511628211);
    for (size_t i = 0; i < value.len; i++)
        h = (h ^ (unsigned char)value.ptr[i]) * UINT64_C(1099511628211);
    h ^= h >> 29;
    ret_token[0] = 'x';
    for (int i = 0; i < 16; i++, h >>= 4)
        ret_token[1 + i] = digits[h & 15];
}

static void add_token(struct buf *text, struct str name, struct str value)
{
    char token[TRACES_TOKEN_BYTES];
    if (!value.len || value.len > TRACES_VALUE_BYTES)
        return;
    traces_token(name, value, token);
    buf_append(text, token, sizeof token);
    buf_append_char(text, ' ');
}

/* Texts, numbers, true and false of an object's members. */
static void add_attributes(struct json_reader *r, struct arena *a, struct buf *text)
{
    struct json_value key;
    unsigned count = 0;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key)) {
        struct json_value value = json_take(r);
        if (value.kind < JSON_FALSE || value.kind > JSON_STRING || ++count > TRACES_TOKENS_MAX ||
            value.raw.len > 2 * TRACES_VALUE_BYTES)
            continue;
        add_token(text, json_text(&key, a),
                  value.kind == JSON_STRING ? json_text(&value, a) : value.raw);
    }
}

/* ---- Words ---- */

static bool is_said(const struct json_value *key)
{
    return json_eq(key, STR("content")) || json_eq(key, STR("arguments")) ||
           json_eq(key, STR("response")) || json_eq(key, STR("gen_ai.tool.call.arguments")) ||
           json_eq(key, STR("gen_ai.tool.call.result"));
}

static void collect(struct json_reader *r, bool said, struct arena *a, struct buf *out)
{
    struct json_value key;
    switch (json_peek(r)) {
    case JSON_OBJECT:
        (void)json_enter(r, JSON_OBJECT);
        while (json_next_member(r, &key))
            collect(r, said || is_said(&key), a, out);
        break;
    case JSON_ARRAY:
        (void)json_enter(r, JSON_ARRAY);
        while (json_next_element(r))
            collect(r, said, a, out);
        break;
    default: {
        struct json_value value = json_take(r);
        if (!said || value.kind != JSON_STRING || out->len > TEXT_BYTES * 4)
            break;
        struct str text = json_text(&value, a);
        buf_append_str(out, str_take(text, TEXT_BYTES));
        buf_append_char(out, '\n');
    }
    }
}

static void read_gen_ai(struct json_reader *r, struct arena *a, struct traces_span *s)
{
    struct json_value key;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key)) {
        if (json_eq(&key, STR("gen_ai.operation.name")))
            s->operation = name_text(r, a);
        else if (json_eq(&key, STR("gen_ai.response.model")) ||
                 (json_eq(&key, STR("gen_ai.request.model")) && !s->model.len))
            s->model = name_text(r, a);
        else
            collect(r, is_said(&key), a, &s->text);
    }
}

/* ---- Spans ---- */

static bool read_span_text(struct json_reader *r, const struct json_value *key, struct arena *a,
                           struct traces_span *s)
{
    static const struct {
        struct str name;
        size_t at;
    } texts[] = {
        {STR_INIT("name"), offsetof(struct traces_span, name)},
        {STR_INIT("service"), offsetof(struct traces_span, service)},
        {STR_INIT("key"), offsetof(struct traces_span, key)},
        {STR_INIT("session"), offsetof(struct traces_span, session)},
        {STR_INIT("user"), offsetof(struct traces_span, user)},
        {STR_INIT("status"), offsetof(struct traces_span, status)},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (json_eq(key, texts[i].name)) {
            *(struct str *)(void *)((char *)s + texts[i].at) = name_text(r, a);
            return true;
        }
    return false;
}

static void read_span_member(struct json_reader *r, const struct json_value *key, struct arena *a,
                             struct traces_span *s, unsigned *ids)
{
    if (read_span_text(r, key, a, s))
        return;
    if (json_eq(key, STR("trace_id")))
        *ids += id_of(r, a, s->trace, sizeof s->trace);
    else if (json_eq(key, STR("span_id")))
        *ids += id_of(r, a, s->span, sizeof s->span);
    else if (json_eq(key, STR("parent_span_id")))
        s->has_parent = id_of(r, a, s->parent, sizeof s->parent);
    else if (json_eq(key, STR("time")))
        s->time_us = time_of(r, a);
    else if (json_eq(key, STR("duration_us")))
        s->duration_us = count_of(r);
    else if (json_eq(key, STR("usage")))
        read_usage(r, &s->input, &s->output);
    else if (json_eq(key, STR("cost")))
        read_cost(r, a, &s->cost);
    else if (json_eq(key, STR("gen_ai")))
        read_gen_ai(r, a, s);
    else if (json_eq(key, STR("attributes")) || json_eq(key, STR("resource")))
        add_attributes(r, a, &s->text);
    else if (json_eq(key, STR("inference")))
        s->inference = json_take(r).kind == JSON_TRUE;
    else if (json_eq(key, STR("status_message"))) {
        struct json_value value = json_take(r);
        buf_append_str(&s->text, str_take(json_text(&value, a), TEXT_BYTES));
        buf_append_char(&s->text, '\n');
    }
}

bool traces_span_read(struct str value, struct arena *a, struct traces_span *ret_span)
{
    struct json_reader r;
    struct json_value key;
    struct buf text = ret_span->text;
    unsigned ids = 0;
    buf_reset(&text);
    *ret_span = (struct traces_span){
        .time_us = -1, .duration_us = -1, .input = -1, .output = -1, .cost = -1, .text = text};
    json_reader_init(&r, value, DEPTH_MAX);
    if (!json_enter(&r, JSON_OBJECT))
        return false;
    while (json_next_member(&r, &key))
        read_span_member(&r, &key, a, ret_span, &ids);
    struct traces_span *s = ret_span;
    s->failed = str_eq(s->status, STR("error"));
    const struct {
        struct str name, value;
    } facts[] = {
        {STR(".name"), s->name},   {STR(".service"), s->service}, {STR(".operation"), s->operation},
        {STR(".model"), s->model}, {STR(".key"), s->key},         {STR(".session"), s->session},
        {STR(".user"), s->user},   {STR(".status"), s->status}};
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        add_token(&s->text, facts[i].name, facts[i].value);
    buf_append_str(&s->text, s->name);
    return json_finish(&r) && ids == 2 && s->time_us >= 0;
}

/* ---- Calls ---- */

/* Metadata's session, by any of its names; it counts after the record's own. */
static void read_metadata(struct json_reader *r, struct arena *a, struct str *session)
{
    static const struct str names[] = {STR_INIT("session_id"), STR_INIT("session"),
                                       STR_INIT("session.id"), STR_INIT("sessionId")};
    struct json_value key;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key))
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            if (json_eq(&key, names[i])) {
                struct str text = name_text(r, a);
                *session = session->len ? *session : text;
                break;
            }
}

bool traces_call_read(struct str value, struct arena *a, struct traces_call *ret_call)
{
    struct json_reader r;
    struct json_value key;
    struct traces_call c = {.time_us = -1, .input = -1, .output = -1, .cost = -1};
    uint8_t id[TRACES_TRACE_BYTES] = {0};
    bool ids = false;
    json_reader_init(&r, value, DEPTH_MAX);
    if (!json_enter(&r, JSON_OBJECT))
        return false;
    while (json_next_member(&r, &key)) {
        if (json_eq(&key, STR("id")))
            (void)id_of(&r, a, id, sizeof id);
        else if (json_eq(&key, STR("trace_id")))
            ids = id_of(&r, a, c.trace, sizeof c.trace);
        else if (json_eq(&key, STR("session")))
            c.session = name_text(&r, a);
        else if (json_eq(&key, STR("metadata")))
            read_metadata(&r, a, &c.session);
        else if (json_eq(&key, STR("key")))
            c.key = name_text(&r, a);
        else if (json_eq(&key, STR("user")))
            c.user = name_text(&r, a);
        else if (json_eq(&key, STR("outcome")))
            c.outcome = name_text(&r, a);
        else if (json_eq(&key, STR("time")))
            c.time_us = time_of(&r, a);
        else if (json_eq(&key, STR("usage")))
            read_usage(&r, &c.input, &c.output);
        else if (json_eq(&key, STR("cost")))
            read_cost(&r, a, &c.cost);
    }
    c.foreign = ids && memcmp(id, c.trace, sizeof id) != 0;
    *ret_call = c;
    return json_finish(&r) && c.time_us >= 0;
}

/* ---- Scores ---- */

static bool read_score_text(struct json_reader *r, const struct json_value *key, struct arena *a,
                            struct traces_score *s)
{
    static const struct {
        struct str name;
        size_t at;
    } texts[] = {
        {STR_INIT("id"), offsetof(struct traces_score, id)},
        {STR_INIT("name"), offsetof(struct traces_score, name)},
        {STR_INIT("kind"), offsetof(struct traces_score, kind)},
        {STR_INIT("source"), offsetof(struct traces_score, source)},
        {STR_INIT("key"), offsetof(struct traces_score, key)},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (json_eq(key, texts[i].name)) {
            *(struct str *)(void *)((char *)s + texts[i].at) = name_text(r, a);
            return true;
        }
    return false;
}

static void read_score_value(struct json_reader *r, struct arena *a, struct traces_score *s)
{
    struct json_value value = json_take(r);
    if (value.kind == JSON_STRING)
        s->label = str_take(json_text(&value, a), VIEW_NAME_BYTES);
    else if (value.kind == JSON_TRUE || value.kind == JSON_FALSE)
        s->label = value.raw;
    s->has_number = json_to_double(&value, &s->number) == ERR_OK;
    if (value.kind == JSON_TRUE || value.kind == JSON_FALSE) {
        s->has_number = true;
        s->number = value.kind == JSON_TRUE;
    }
}

bool traces_score_read(struct str value, struct arena *a, struct traces_score *ret_score)
{
    struct json_reader r;
    struct json_value key;
    struct traces_score s = {.time_us = -1};
    json_reader_init(&r, value, DEPTH_MAX);
    if (!json_enter(&r, JSON_OBJECT))
        return false;
    while (json_next_member(&r, &key)) {
        if (read_score_text(&r, &key, a, &s))
            continue;
        if (json_eq(&key, STR("value")))
            read_score_value(&r, a, &s);
        else if (json_eq(&key, STR("call")))
            s.has_call = id_of(&r, a, s.call, sizeof s.call);
        else if (json_eq(&key, STR("trace_id")))
            s.has_trace = id_of(&r, a, s.trace, sizeof s.trace);
        else if (json_eq(&key, STR("span_id")))
            s.has_span = id_of(&r, a, s.span, sizeof s.span);
        else if (json_eq(&key, STR("time")))
            s.time_us = time_of(&r, a);
        else if (json_eq(&key, STR("deleted")))
            s.deleted = json_take(&r).kind == JSON_TRUE;
    }
    *ret_score = s;
    return json_finish(&r) && s.id.len && s.time_us >= 0 && (s.deleted || s.name.len);
}
