/* GET /api/v1/calls and /api/v1/calls/{id}. Admin keys see all, others their own. Read on a worker.
 */
#include "api/api_int.h"
#include "call/history.h"
#include "net/work.h"
#include "view/view.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 1000 };

struct calls_work {
    struct api_request *r;
    struct history_query query;
    struct view_filter filter; /* the query's, and what only the view can tell */
    bool view_only;            /* such a thing is asked for */
    int64_t *offsets;          /* query.limit of them, in the exchange's arena */
    struct str id;
    struct buf body;
    uint32_t count;
    int64_t next;
    enum err err;
};

static struct calls_work *begin(struct api_request *r)
{
    struct calls_work *w = ARENA_NEW(r->x->arena, struct calls_work);
    w->r = r;
    buf_init(&w->body, 2 * HISTORY_PAGE_BYTES_MAX);
    w->query.from_offset = -1;
    if (!r->key->admin)
        w->query.key = r->key->name;
    return w;
}

static void answer_failure(struct calls_work *w)
{
    struct http_exchange *x = w->r->x;
    switch (w->err) {
    case ERR_INVALID:
        if (!w->id.len) {
            api_error(x, 400, ERR_INVALID, "q",
                      "q has more than 16 words or %d bytes: ask for less", VIEW_WORDS_BYTES_MAX);
            break;
        }
        api_error(x, 400, ERR_INVALID, "id",
                  "'%.*s' is not a call's id: 32 hexadecimal digits, from x-weir-call-id",
                  STR_ARG(str_take(w->id, 64)));
        break;
    case ERR_NOT_FOUND:
        api_error(x, 404, ERR_NOT_FOUND, "id", "no call '%.*s' is on the log", STR_ARG(w->id));
        break;
    case ERR_BUSY:
        api_error(x, 503, ERR_BUSY, NULL,
                  "the view that finds calls by text, target, endpoint, outcome, user or time is "
                  "not made yet: try again in a "
                  "moment");
        break;
    default:
        api_error(x, err_http_status(w->err), w->err, NULL, "reading calls: %s", err_text(w->err));
    }
}

/* ---- The list ---- */

/* A view that lags behind would not show what its caller has just done. */
static bool view_is_right(const struct calls_work *w)
{
    struct view_state state;
    if (!w->r->api->view || w->view_only)
        return w->view_only;
    view_state(w->r->api->view, &state);
    return state.next_offset == state.end_offset && !state.failed;
}

static enum err list_by_view(struct calls_work *w)
{
    struct log_part *calls = gateway_calls(w->r->api->gateway);
    size_t count = 0;
    size_t used = 0;
    if (!w->r->api->view)
        return ERR_BUSY;
    TRY(view_search(w->r->api->view, &w->filter, w->query.from_offset, w->query.limit, w->offsets,
                    &count));
    TRY(history_records(calls, w->offsets, count, &w->body, &used));
    bool more = used < count || count == w->query.limit;
    w->next =
        used && more && w->offsets[used - 1] > log_part_start(calls) ? w->offsets[used - 1] : -1;
    return ERR_OK;
}

static void run_list(void *arg)
{
    struct calls_work *w = arg;
    buf_append_str(&w->body, STR("{\"calls\":["));
    bool by_view = view_is_right(w);
    if (by_view)
        w->err = list_by_view(w);
    if (!by_view || (w->err == ERR_BUSY && !w->view_only))
        w->err = history_list(gateway_calls(w->r->api->gateway), &w->query, &w->body, &w->count,
                              &w->next);
}

static void answer_list(void *arg)
{
    struct calls_work *w = arg;
    if (w->err == ERR_OK) {
        if (w->next >= 0)
            buf_printf(&w->body, "],\"next\":\"%lld\"}", (long long)w->next);
        else
            buf_append_str(&w->body, STR("],\"next\":null}"));
        w->err = w->body.error;
    }
    if (w->err == ERR_OK)
        api_json(w->r->x, 200, buf_str(&w->body));
    else
        answer_failure(w);
    buf_release(&w->body);
}

/* What the view is asked: the query, and more than the log's headers could tell. */
static bool read_filter(struct calls_work *w)
{
    struct http_exchange *x = w->r->x;
    const struct history_query *q = &w->query;
    uint64_t min_ms;
    if (!api_query_number(x, STR("min_ms"), 0, 86400000, &min_ms))
        return false;
    w->filter = (struct view_filter){
        .model = q->model,
        .key = q->key,
        .status = q->status,
        .since_us = q->since_wall_us,
        .target = api_query(x, STR("target")),
        .endpoint = api_query(x, STR("endpoint")),
        .outcome = api_query(x, STR("outcome")),
        .user = api_query(x, STR("user")),
        .words = api_query(x, STR("q")),
        .total_us_min = (int64_t)min_ms * 1000,
    };
    const struct view_filter *f = &w->filter;
    w->view_only =
        f->target.len || f->endpoint.len || f->outcome.len || f->user.len || f->words.len || min_ms;
    w->offsets = ARENA_ARRAY(x->arena, int64_t, q->limit);
    return true;
}

static bool read_query(struct calls_work *w)
{
    struct http_exchange *x = w->r->x;
    struct history_query *q = &w->query;
    struct str key = api_query(x, STR("key"));
    struct str cursor = api_query(x, STR("cursor"));
    uint64_t limit;
    uint64_t from = 0;
    if (!api_query_number(x, STR("limit"), LIMIT_DEFAULT, LIMIT_MAX, &limit) ||
        !api_query_since(x, &q->since_wall_us) ||
        !api_query_number(x, STR("cursor"), 0, INT64_MAX, &from))
        return false;
    q->limit = limit ? (uint32_t)limit : 1;
    q->model = api_query(x, STR("model"));
    q->status = api_query(x, STR("status"));
    if (q->status.len && !history_status_valid(q->status)) {
        api_error(x, 400, ERR_INVALID, "status",
                  "status is '%.*s': write a status (429), a class (5xx) or an outcome (ok, error, "
                  "cancelled, refused)",
                  STR_ARG(str_take(q->status, 40)));
        return false;
    }
    if (cursor.len)
        q->from_offset = (int64_t)from;
    if (w->r->key->admin && key.len)
        q->key = key;
    return read_filter(w);
}

void api_calls(struct api_request *r)
{
    struct calls_work *w = begin(r);
    if (read_query(w))
        work_start(r->x->loop, run_list, answer_list, w);
}

/* ---- One ---- */

static void run_find(void *arg)
{
    struct calls_work *w = arg;
    w->err = history_find(gateway_calls(w->r->api->gateway), w->id, w->query.key, &w->body);
}

static void answer_find(void *arg)
{
    struct calls_work *w = arg;
    if (w->err == ERR_OK)
        api_json(w->r->x, 200, buf_str(&w->body));
    else
        answer_failure(w);
    buf_release(&w->body);
}

void api_call(struct api_request *r)
{
    struct calls_work *w = begin(r);
    w->id = api_decode(r->x->arena, r->rest);
    work_start(r->x->loop, run_find, answer_find, w);
}
