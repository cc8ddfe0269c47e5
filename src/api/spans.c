/* GET /api/v1/spans, /api/v1/traces/{id}, /api/v1/sessions, /api/v1/sessions/{name},
 * /api/v1/ledger: asked of the view of traces on a worker, records read from the log. Admin keys
 * see all, others their own. */
#include "api/api_int.h"
#include "api/telemetry.h"
#include "call/history.h"
#include "codec/digest.h"
#include "codec/time.h"
#include "net/work.h"
#include "os/clock.h"
#include "view/traces.h"

enum {
    LIMIT_DEFAULT = 50,
    LIMIT_MAX = 1000,
    TRACE_SPANS_MAX = 5000, /* of one trace or session that are shown */
    TRACE_CALLS_MAX = 200,
    ID_HEX = 32,
};

struct spans_work {
    struct api_request *r;
    struct traces *traces;
    struct traces_filter filter;
    uint8_t trace[TRACES_TRACE_BYTES];
    struct str trace_hex;
    struct str session, key; /* key: only of this one */
    int64_t before;
    uint64_t limit;
    int64_t *offsets;
    struct buf body;
    bool missing; /* what was asked for by its id */
    enum err (*ask)(struct spans_work *w);
    enum err err;
};

static void run(void *arg)
{
    struct spans_work *w = arg;
    w->err = w->ask(w);
    if (w->err == ERR_OK)
        w->err = w->body.error;
}

static void answer(void *arg)
{
    struct spans_work *w = arg;
    struct http_exchange *x = w->r->x;
    if (w->err == ERR_OK && w->missing)
        api_error(x, 404, ERR_NOT_FOUND, "id", "nothing on the log is called '%.*s'",
                  STR_ARG(str_take(w->trace_hex.len ? w->trace_hex : w->session, 100)));
    else if (w->err == ERR_OK)
        api_json(x, 200, buf_str(&w->body));
    else if (w->err == ERR_INVALID)
        api_error(
            x, 400, ERR_INVALID, "q",
            "write at most 16 words in q, and attributes as attribute=NAME=VALUE with a value "
            "of at most 128 bytes");
    else if (w->err == ERR_BUSY)
        api_error(x, 503, ERR_BUSY, NULL,
                  "the view of traces is not made yet: try again in a moment");
    else
        api_error(x, err_http_status(w->err), w->err, NULL, "asking the view of traces: %s",
                  err_text(w->err));
    buf_release(&w->body);
}

/* NULL after answering 503. */
static struct spans_work *begin(struct api_request *r, enum err (*ask)(struct spans_work *w))
{
    if (!r->api->traces) {
        api_error(r->x, 503, ERR_BUSY, NULL,
                  "there is no view of traces: it could not be opened, the server's log says why");
        return NULL;
    }
    struct spans_work *w = ARENA_NEW(r->x->arena, struct spans_work);
    w->r = r;
    w->traces = r->api->traces;
    w->ask = ask;
    w->before = -1;
    w->key = r->key->admin ? api_query(r->x, STR("key")) : r->key->name;
    buf_init(&w->body, 3 * HISTORY_PAGE_BYTES_MAX);
    return w;
}

/* Appends the records of these offsets, and where to go on. */
static enum err append_records(struct spans_work *w, enum traces_topic topic, size_t count,
                               int64_t *ret_next)
{
    struct log_part *part = traces_part(w->traces, topic);
    size_t used = 0;
    TRY(history_records(part, w->offsets, count, &w->body, &used));
    bool more = used < count || (w->limit && count == w->limit);
    *ret_next = used && more ? w->offsets[used - 1] : -1;
    return ERR_OK;
}

static void append_next(struct spans_work *w, int64_t next)
{
    if (next >= 0)
        buf_printf(&w->body, "\"next\":\"%lld\"", (long long)next);
    else
        buf_append_str(&w->body, STR("\"next\":null"));
}

/* ---- Spans ---- */

static enum err ask_spans(struct spans_work *w)
{
    size_t count = 0;
    int64_t next = -1;
    TRY(traces_search(w->traces, &w->filter, w->before, w->limit, w->offsets, &count));
    buf_append_str(&w->body, STR("{\"spans\":["));
    TRY(append_records(w, TRACES_SPANS, count, &next));
    buf_append_str(&w->body, STR("],"));
    append_next(w, next);
    buf_append_char(&w->body, '}');
    return ERR_OK;
}

static bool read_trace_id(struct spans_work *w, struct str text, const char *param)
{
    if (text.len == ID_HEX && hex_decode(text, w->trace, sizeof w->trace) == ERR_OK) {
        w->trace_hex = text;
        w->filter.trace = str_of((const char *)w->trace, sizeof w->trace);
        return true;
    }
    api_error(w->r->x, 400, ERR_INVALID, param, "'%.*s' is not a trace's id: 32 hexadecimal digits",
              STR_ARG(str_take(text, 64)));
    return false;
}

static bool read_until(struct http_exchange *x, int64_t *ret_us)
{
    struct str until = api_query(x, STR("until"));
    if (!until.len || time_point_parse(until, os_wall_us(), ret_us) == ERR_OK)
        return true;
    api_error(x, 400, ERR_INVALID, "until",
              "until is '%.*s': write a time like 2026-11-24T10:00:00Z or an age like 10m",
              STR_ARG(str_take(until, 40)));
    return false;
}

/* limit and cursor. */
static bool read_page(struct spans_work *w)
{
    struct http_exchange *x = w->r->x;
    uint64_t from = 0;
    if (!api_query_number(x, STR("limit"), LIMIT_DEFAULT, LIMIT_MAX, &w->limit) ||
        !api_query_number(x, STR("cursor"), 0, INT64_MAX, &from))
        return false;
    w->limit = w->limit ? w->limit : 1;
    if (api_query(x, STR("cursor")).len)
        w->before = (int64_t)from;
    w->offsets = ARENA_ARRAY(x->arena, int64_t, w->limit);
    return true;
}

/* attribute=NAME=VALUE, as often as wanted. */
static bool read_attributes(struct spans_work *w)
{
    struct str rest = w->r->x->query;
    struct traces_filter *f = &w->filter;
    while (rest.ptr) {
        struct str value = str_split(&rest, '&');
        struct str name = str_split(&value, '=');
        if (!str_eq(name, STR("attribute")))
            continue;
        if (f->attribute_count == TRACES_ATTRIBUTES_MAX) {
            api_error(w->r->x, 400, ERR_INVALID, "attribute", "at most %d attributes can be asked",
                      TRACES_ATTRIBUTES_MAX);
            return false;
        }
        f->attributes[f->attribute_count++] = api_decode(w->r->x->arena, value);
    }
    return true;
}

static bool read_filter(struct spans_work *w)
{
    struct http_exchange *x = w->r->x;
    struct traces_filter *f = &w->filter;
    const struct {
        struct str name;
        struct str *into;
    } texts[] = {{STR("name"), &f->name},           {STR("service"), &f->service},
                 {STR("operation"), &f->operation}, {STR("model"), &f->model},
                 {STR("session"), &f->session},     {STR("user"), &f->user},
                 {STR("status"), &f->status},       {STR("q"), &f->words}};
    struct str trace = api_query(x, STR("trace"));
    struct str root = api_query(x, STR("root"));
    uint64_t min_ms;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        *texts[i].into = api_query(x, texts[i].name);
    f->key = w->key;
    f->roots = str_eq(root, STR("1")) || str_eq(root, STR("true"));
    if (!api_query_number(x, STR("min_ms"), 0, 86400000, &min_ms))
        return false;
    f->duration_us_min = (int64_t)min_ms * 1000;
    return (!trace.len || read_trace_id(w, trace, "trace")) && api_query_since(x, &f->since_us) &&
           read_until(x, &f->until_us) && read_attributes(w) && read_page(w);
}

void api_spans(struct api_request *r)
{
    struct spans_work *w = begin(r, ask_spans);
    if (w && read_filter(w))
        work_start(r->x->loop, run, answer, w);
}

/* ---- A trace ---- */

/* Calls that took part in it, and the one that began it. */
static enum err append_calls(struct spans_work *w, size_t *ret_count)
{
    size_t count = 0;
    int64_t next;
    TRY(traces_calls(w->traces, w->filter.trace, w->session, w->key, TRACE_CALLS_MAX, w->offsets,
                     &count));
    TRY(append_records(w, TRACES_CALLS, count, &next));
    size_t before = w->body.len;
    if (w->trace_hex.len) {
        if (count)
            buf_append_char(&w->body, ',');
        enum err error =
            history_find_call(traces_part(w->traces, TRACES_CALLS), w->trace_hex, w->key, &w->body);
        if (error == ERR_OK)
            count++;
        else
            w->body.len = before;
    }
    *ret_count = count;
    return ERR_OK;
}

static enum err append_scores(struct spans_work *w)
{
    struct traces_score_filter f = {.key = w->key, .trace = w->filter.trace};
    size_t count = 0;
    int64_t next;
    TRY(traces_scores(w->traces, &f, -1, TRACE_CALLS_MAX, w->offsets, &count));
    TRY(append_records(w, TRACES_SCORES, count, &next));
    /* A call that began the trace has its id. */
    struct traces_score_filter of_call = {.key = w->key, .call = w->filter.trace};
    bool some = count > 0;
    TRY(traces_scores(w->traces, &of_call, -1, TRACE_CALLS_MAX, w->offsets, &count));
    if (some && count)
        buf_append_char(&w->body, ',');
    return append_records(w, TRACES_SCORES, count, &next);
}

static enum err ask_trace(struct spans_work *w)
{
    size_t spans = 0;
    size_t calls = 0;
    int64_t next;
    w->filter.key = w->key;
    TRY(traces_search(w->traces, &w->filter, -1, TRACE_SPANS_MAX, w->offsets, &spans));
    buf_printf(&w->body, "{\"trace_id\":\"%.*s\",\"spans\":[", STR_ARG(w->trace_hex));
    TRY(append_records(w, TRACES_SPANS, spans, &next));
    buf_append_str(&w->body, STR("],\"calls\":["));
    TRY(append_calls(w, &calls));
    buf_append_str(&w->body, STR("],\"scores\":["));
    TRY(append_scores(w));
    buf_append_str(&w->body, STR("]}"));
    w->missing = !spans && !calls;
    return ERR_OK;
}

void api_trace(struct api_request *r)
{
    struct spans_work *w = begin(r, ask_trace);
    if (!w || !read_trace_id(w, api_decode(r->x->arena, r->rest), "id"))
        return;
    w->offsets = ARENA_ARRAY(r->x->arena, int64_t, TRACE_SPANS_MAX);
    work_start(r->x->loop, run, answer, w);
}

/* ---- Sessions ---- */

static enum err ask_sessions(struct spans_work *w)
{
    size_t count = 0;
    int64_t last_us = 0;
    buf_append_str(&w->body, STR("{\"sessions\":"));
    TRY(traces_sessions(w->traces, w->key, STR_NONE, w->before, w->limit, &w->body, &last_us,
                        &count));
    buf_append_char(&w->body, ',');
    append_next(w, count == w->limit ? last_us : -1);
    buf_append_char(&w->body, '}');
    return ERR_OK;
}

void api_sessions(struct api_request *r)
{
    struct spans_work *w = begin(r, ask_sessions);
    if (w && read_page(w))
        work_start(r->x->loop, run, answer, w);
}

static enum err ask_session(struct spans_work *w)
{
    size_t count = 0;
    size_t spans = 0;
    int64_t next = 0;
    buf_append_str(&w->body, STR("{\"sessions\":"));
    TRY(traces_sessions(w->traces, w->key, w->session, -1, LIMIT_MAX, &w->body, &next, &count));
    w->missing = count == 0;
    buf_append_str(&w->body, STR(",\"calls\":["));
    TRY(append_calls(w, &count));
    buf_append_str(&w->body, STR("],\"spans\":["));
    struct traces_filter f = {.session = w->session, .key = w->key};
    TRY(traces_search(w->traces, &f, -1, TRACE_CALLS_MAX, w->offsets, &spans));
    TRY(append_records(w, TRACES_SPANS, spans, &next));
    buf_append_str(&w->body, STR("]}"));
    return ERR_OK;
}

void api_session(struct api_request *r)
{
    struct spans_work *w = begin(r, ask_session);
    if (!w)
        return;
    w->session = api_decode(r->x->arena, r->rest);
    w->offsets = ARENA_ARRAY(r->x->arena, int64_t, TRACE_SPANS_MAX);
    work_start(r->x->loop, run, answer, w);
}

/* ---- The ledger ---- */

static void append_topics(struct spans_work *w)
{
    static const char *const names[TRACES_TOPICS] = {"spans",   "scores", "calls",
                                                     "metrics", "logs",   "ledger"};
    struct traces_state state;
    traces_state(w->traces, &state);
    buf_append_str(&w->body, STR(",\"topics\":{"));
    for (int i = 0; i < TRACES_TOPICS; i++)
        buf_printf(&w->body, "%s\"%s\":{\"folded\":%lld,\"end\":%lld}", i ? "," : "", names[i],
                   (long long)state.topics[i].next_offset, (long long)state.topics[i].end_offset);
    buf_printf(&w->body, "},\"unwritten\":%llu}",
               (unsigned long long)atomic_load(&w->r->api->telemetry->unwritten));
}

static enum err ask_ledger(struct spans_work *w)
{
    buf_append_char(&w->body, '{');
    TRY(traces_ledger(w->traces, w->key, w->filter.since_us, &w->body));
    append_topics(w);
    return ERR_OK;
}

void api_ledger(struct api_request *r)
{
    struct spans_work *w = begin(r, ask_ledger);
    if (w && api_query_since(r->x, &w->filter.since_us))
        work_start(r->x->loop, run, answer, w);
}
