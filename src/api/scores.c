/* POST /api/v1/scores, GET /api/v1/scores, /api/v1/scores/summary, DELETE /api/v1/scores/{id}:
 * judgements of calls and spans, on weir.scores. */
#include "api/api_int.h"
#include "api/telemetry.h"
#include "call/history.h"
#include "codec/digest.h"
#include "codec/time.h"
#include "codec/uuid.h"
#include "net/work.h"
#include "os/clock.h"
#include "os/random.h"
#include "view/traces.h"

enum {
    NAME_CHARS_MAX = 128,
    LABEL_CHARS_MAX = 256,
    COMMENT_CHARS_MAX = 64 << 10,
    NESTING_MAX = 32,
    LIMIT_DEFAULT = 50,
    LIMIT_MAX = 1000,
};

/* ---- Writing ---- */

struct score {
    struct json_value id, name, value, comment, call, trace_id, span_id, session, source, metadata;
};

struct score_work {
    struct api_request *r;
    struct buf json;
    struct log_append append;
    struct loop_task task;
};

static const struct {
    struct str name;
    size_t at;
    size_t chars_max; /* of a text; 0: any value */
    size_t hex;       /* digits that it must have */
} members[] = {
    {STR_INIT("id"), offsetof(struct score, id), NAME_CHARS_MAX, 0},
    {STR_INIT("name"), offsetof(struct score, name), NAME_CHARS_MAX, 0},
    {STR_INIT("value"), offsetof(struct score, value), 0, 0},
    {STR_INIT("comment"), offsetof(struct score, comment), COMMENT_CHARS_MAX, 0},
    {STR_INIT("call"), offsetof(struct score, call), NAME_CHARS_MAX, 32},
    {STR_INIT("trace_id"), offsetof(struct score, trace_id), NAME_CHARS_MAX, 32},
    {STR_INIT("span_id"), offsetof(struct score, span_id), NAME_CHARS_MAX, 16},
    {STR_INIT("session"), offsetof(struct score, session), LABEL_CHARS_MAX, 0},
    {STR_INIT("source"), offsetof(struct score, source), NAME_CHARS_MAX, 0},
    {STR_INIT("metadata"), offsetof(struct score, metadata), 0, 0},
};

enum { MEMBERS = sizeof members / sizeof members[0] };

static bool is_hex(const struct json_value *value, size_t digits)
{
    uint8_t bytes[16];
    return hex_decode(json_text_raw(value), bytes, digits / 2) == ERR_OK;
}

static size_t chars_of(struct http_exchange *x, const struct json_value *value)
{
    struct str text = json_text(value, x->arena);
    size_t chars = 0;
    for (size_t i = 0; i < text.len; i++)
        chars += ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
    return chars;
}

/* False after answering 400. */
static bool check_member(struct http_exchange *x, size_t i, const struct json_value *value)
{
    if (value->kind == JSON_NULL || !members[i].chars_max)
        return true;
    if (value->kind != JSON_STRING || !json_text_len(value) ||
        chars_of(x, value) > members[i].chars_max) {
        api_error(x, 400, ERR_INVALID, members[i].name.ptr,
                  "%s must be a text of 1 to %zu characters", members[i].name.ptr,
                  members[i].chars_max);
        return false;
    }
    if (members[i].hex && !is_hex(value, members[i].hex)) {
        api_error(x, 400, ERR_INVALID, members[i].name.ptr, "%s must be %zu hexadecimal digits",
                  members[i].name.ptr, members[i].hex);
        return false;
    }
    return true;
}

static bool read_members(struct http_exchange *x, struct json_reader *r, struct score *s)
{
    struct json_value key;
    while (json_next_member(r, &key)) {
        struct json_value value = json_take(r);
        size_t i = 0;
        while (i < MEMBERS && !json_eq(&key, members[i].name))
            i++;
        if (i == MEMBERS) {
            api_error(
                x, 400, ERR_INVALID, NULL,
                "%.*s is not a member of a score: write name, value, comment, call, trace_id, "
                "span_id, session, source, id, metadata",
                STR_ARG(str_take(key.raw, 60)));
            return false;
        }
        if (!check_member(x, i, &value))
            return false;
        if (value.kind != JSON_NULL)
            *(struct json_value *)(void *)((char *)s + members[i].at) = value;
    }
    return true;
}

static bool check_score(struct http_exchange *x, const struct score *s)
{
    const struct json_value *v = &s->value;
    double number;
    bool good =
        v->kind == JSON_TRUE || v->kind == JSON_FALSE ||
        (v->kind == JSON_NUMBER && json_to_double(v, &number) == ERR_OK) ||
        (v->kind == JSON_STRING && json_text_len(v) > 0 && chars_of(x, v) <= LABEL_CHARS_MAX);
    if (!s->name.raw.len) {
        api_error(x, 400, ERR_INVALID, "name", "a score needs a name, like 'helpful'");
    } else if (!good) {
        api_error(x, 400, ERR_INVALID, "value",
                  "value must be a number, true or false, or a text of 1 to %d characters",
                  LABEL_CHARS_MAX);
    } else if (!s->call.raw.len && !s->trace_id.raw.len && !s->session.raw.len) {
        api_error(
            x, 400, ERR_INVALID, "call",
            "say what is judged: call (an id from x-weir-call-id), trace_id (with span_id), or "
            "session");
    } else if (s->span_id.raw.len && !s->trace_id.raw.len) {
        api_error(x, 400, ERR_INVALID, "span_id", "a span_id needs its trace_id");
    } else {
        return true;
    }
    return false;
}

/* False after answering 400. */
static bool read_score(struct http_exchange *x, struct score *s)
{
    struct json_reader r;
    json_reader_init(&r, x->body, NESTING_MAX);
    *s = (struct score){.id = {.kind = JSON_NONE}};
    bool object = json_enter(&r, JSON_OBJECT);
    if (object && !read_members(x, &r, s))
        return false;
    if (!json_finish(&r) || !object) {
        api_error(x, 400, ERR_INVALID, NULL, "the body is not a JSON object");
        return false;
    }
    return check_score(x, s);
}

static struct str kind_of(const struct json_value *value)
{
    return value->kind == JSON_NUMBER   ? STR("number")
           : value->kind == JSON_STRING ? STR("category")
                                        : STR("boolean");
}

static void member_given(struct json_writer *w, struct str name, const struct json_value *value)
{
    if (value->raw.len)
        json_member_raw(w, name, value->raw);
}

static void write_head(struct json_writer *w, const struct api_request *r, struct str id_raw)
{
    char text[UUID_TEXT_BYTES + 1];
    char time[TIME_TEXT_BYTES + 1];
    uint64_t random = os_random_u64();
    uint8_t bytes[8];
    memcpy(bytes, &random, sizeof bytes);
    if (id_raw.len)
        json_member_raw(w, STR("id"), id_raw);
    else
        json_member_str(w, STR("id"), uuid_format(uuid_v7(os_wall_us(), bytes), text));
    json_member_str(w, STR("time"), time_format(os_wall_us(), time));
    json_member_str(w, STR("key"), r->key->name);
}

static void write_score(struct json_writer *w, const struct api_request *r, const struct score *s)
{
    json_object_begin(w);
    write_head(w, r, s->id.raw);
    member_given(w, STR("name"), &s->name);
    json_member_str(w, STR("kind"), kind_of(&s->value));
    member_given(w, STR("value"), &s->value);
    member_given(w, STR("comment"), &s->comment);
    member_given(w, STR("call"), &s->call);
    member_given(w, STR("trace_id"), &s->trace_id);
    member_given(w, STR("span_id"), &s->span_id);
    member_given(w, STR("session"), &s->session);
    if (s->source.raw.len)
        member_given(w, STR("source"), &s->source);
    else
        json_member_str(w, STR("source"), STR("api"));
    member_given(w, STR("metadata"), &s->metadata);
    json_object_end(w);
}

static void answer_written(void *arg)
{
    struct score_work *w = arg;
    struct http_exchange *x = w->r->x;
    if (w->append.error == ERR_OK)
        api_json(x, 200, buf_str(&w->json));
    else
        api_error(x, err_http_status(w->append.error), w->append.error, NULL,
                  "the score was not written: %s", err_text(w->append.error));
    buf_release(&w->json);
}

static void on_written(struct log_append *first)
{
    while (first) {
        struct log_append *next = first->next;
        struct score_work *w =
            (struct score_work *)((char *)first - offsetof(struct score_work, append));
        loop_post(w->r->x->loop, &w->task);
        first = next;
    }
}

static struct score_work *begin_write(struct api_request *r)
{
    struct score_work *w = ARENA_NEW(r->x->arena, struct score_work);
    w->r = r;
    buf_init(&w->json, 1 << 20);
    w->append = (struct log_append){.done = on_written, .owner = w};
    loop_task_init(&w->task, answer_written, w);
    return w;
}

static void append(struct score_work *w, struct str key)
{
    struct str value = buf_str(&w->json);
    struct record_header header = {STR("key"), w->r->key->name};
    struct log_record record = {.timestamp_ms = -1,
                                .key = key,
                                .value = &value,
                                .value_parts = 1,
                                .headers = &header,
                                .header_count = 1};
    enum err err = w->json.error;
    if (err == ERR_OK)
        err = log_append(w->r->api->telemetry->scores, &record, &w->append);
    if (err != ERR_OK) {
        w->append.error = err;
        answer_written(w);
    }
}

void api_score_write(struct api_request *r)
{
    struct score s;
    struct json_writer out;
    if (!read_score(r->x, &s))
        return;
    struct score_work *w = begin_write(r);
    json_writer_init(&out, &w->json);
    write_score(&out, r, &s);
    append(w, json_text_raw(s.call.raw.len ? &s.call : &s.trace_id));
}

void api_score_delete(struct api_request *r)
{
    struct json_writer out;
    struct buf id BUF_AUTO;
    struct str text = api_decode(r->x->arena, r->rest);
    if (!text.len || text.len > NAME_CHARS_MAX) {
        api_error(r->x, 404, ERR_NOT_FOUND, "id", "no score has such an id");
        return;
    }
    struct score_work *w = begin_write(r);
    buf_init(&id, 8 * NAME_CHARS_MAX);
    json_writer_init(&out, &id);
    json_str(&out, text);
    json_writer_init(&out, &w->json);
    json_object_begin(&out);
    write_head(&out, r, buf_str(&id));
    json_member_bool(&out, STR("deleted"), true);
    json_object_end(&out);
    append(w, text);
}

/* ---- Reading ---- */

struct scores_work {
    struct api_request *r;
    struct traces_score_filter filter;
    uint8_t call[TRACES_TRACE_BYTES], trace[TRACES_TRACE_BYTES], span[TRACES_SPAN_BYTES];
    int64_t before;
    uint64_t limit;
    int64_t *offsets;
    bool summary;
    struct buf body;
    enum err err;
};

static enum err list(struct scores_work *w)
{
    struct traces *t = w->r->api->traces;
    size_t count = 0;
    size_t used = 0;
    TRY(traces_scores(t, &w->filter, w->before, w->limit, w->offsets, &count));
    buf_append_str(&w->body, STR("{\"scores\":["));
    TRY(history_records(traces_part(t, TRACES_SCORES), w->offsets, count, &w->body, &used));
    if (used && (used < count || count == w->limit))
        buf_printf(&w->body, "],\"next\":\"%lld\"}", (long long)w->offsets[used - 1]);
    else
        buf_append_str(&w->body, STR("],\"next\":null}"));
    return w->body.error;
}

static void run(void *arg)
{
    struct scores_work *w = arg;
    if (!w->summary) {
        w->err = list(w);
        return;
    }
    buf_append_str(&w->body, STR("{\"names\":"));
    w->err = traces_score_sums(w->r->api->traces, &w->filter, &w->body);
    buf_append_char(&w->body, '}');
}

static void answer(void *arg)
{
    struct scores_work *w = arg;
    if (w->err == ERR_OK)
        api_json(w->r->x, 200, buf_str(&w->body));
    else
        api_error(w->r->x, err_http_status(w->err), w->err, NULL, "asking the view of scores: %s",
                  err_text(w->err));
    buf_release(&w->body);
}

static bool read_id(struct http_exchange *x, struct str name, uint8_t *bytes, size_t len,
                    struct str *ret_id)
{
    struct str text = api_query(x, name);
    if (!text.len)
        return true;
    if (hex_decode(text, bytes, len) != ERR_OK) {
        api_error(x, 400, ERR_INVALID, arena_str(x->arena, name).ptr,
                  "%.*s is '%.*s': write %zu hexadecimal digits", STR_ARG(name),
                  STR_ARG(str_take(text, 64)), 2 * len);
        return false;
    }
    *ret_id = str_of((const char *)bytes, len);
    return true;
}

static bool read_filter(struct scores_work *w)
{
    struct http_exchange *x = w->r->x;
    struct traces_score_filter *f = &w->filter;
    uint64_t from = 0;
    f->name = api_query(x, STR("name"));
    f->source = api_query(x, STR("source"));
    f->id = api_query(x, STR("id"));
    f->key = w->r->key->admin ? api_query(x, STR("key")) : w->r->key->name;
    w->before = -1;
    if (!read_id(x, STR("call"), w->call, sizeof w->call, &f->call) ||
        !read_id(x, STR("trace"), w->trace, sizeof w->trace, &f->trace) ||
        !read_id(x, STR("span"), w->span, sizeof w->span, &f->span) ||
        !api_query_since(x, &f->since_us) ||
        !api_query_number(x, STR("limit"), LIMIT_DEFAULT, LIMIT_MAX, &w->limit) ||
        !api_query_number(x, STR("cursor"), 0, INT64_MAX, &from))
        return false;
    w->limit = w->limit ? w->limit : 1;
    if (api_query(x, STR("cursor")).len)
        w->before = (int64_t)from;
    w->offsets = ARENA_ARRAY(x->arena, int64_t, w->limit);
    return true;
}

static void read_scores(struct api_request *r, bool summary)
{
    struct scores_work *w = ARENA_NEW(r->x->arena, struct scores_work);
    if (!r->api->traces) {
        api_error(r->x, 503, ERR_BUSY, NULL,
                  "there is no view of scores: it could not be opened, the server's log says why");
        return;
    }
    w->r = r;
    w->summary = summary;
    buf_init(&w->body, 2 * HISTORY_PAGE_BYTES_MAX);
    if (read_filter(w))
        work_start(r->x->loop, run, answer, w);
}

void api_scores(struct api_request *r)
{
    read_scores(r, false);
}

void api_score_summary(struct api_request *r)
{
    read_scores(r, true);
}
