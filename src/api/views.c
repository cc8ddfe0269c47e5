/* GET /api/v1/stats: sums and percentiles over calls. GET /api/v1/view, POST /api/v1/view/rebuild:
 * the view they come from. */
#include "api/api_int.h"
#include "codec/time.h"
#include "net/work.h"
#include "os/clock.h"
#include "view/traces.h"
#include "view/view.h"

enum { STATS_BYTES_MAX = 64 << 20, SINCE_DEFAULT_S = 3600, STEP_S_MAX = 31 * 86400 };

struct stats_work {
    struct api_request *r;
    struct view_question question;
    struct buf body;
    enum err err;
};

static void run(void *arg)
{
    struct stats_work *w = arg;
    w->err = view_stats(w->r->api->view, &w->question, &w->body);
}

static void answer(void *arg)
{
    struct stats_work *w = arg;
    struct http_exchange *x = w->r->x;
    if (w->err == ERR_OK)
        api_json(x, 200, buf_str(&w->body));
    else if (w->err == ERR_INVALID)
        api_error(x, 400, ERR_INVALID, "by",
                  "by is '%.*s': write model, target, key, endpoint or outcome, or leave it out; "
                  "step is in whole minutes "
                  "('60s', '5m', '1h')",
                  STR_ARG(str_take(w->question.by, 40)));
    else if (w->err == ERR_BUSY)
        api_error(x, 503, ERR_BUSY, NULL,
                  "the view of calls is not made yet: try again in a moment");
    else
        api_error(x, err_http_status(w->err), w->err, NULL, "asking the view of calls: %s",
                  err_text(w->err));
    buf_release(&w->body);
}

/* False after answering 400. */
static bool read_step(struct http_exchange *x, int64_t *ret_s)
{
    struct str text = api_query(x, STR("step"));
    int64_t ms = 0;
    if (text.len &&
        (time_span_parse(text, &ms) != ERR_OK || ms % 60000 || ms / 1000 > STEP_S_MAX)) {
        api_error(x, 400, ERR_INVALID, "step",
                  "step is '%.*s': write whole minutes, like 1m, 15m or 1h",
                  STR_ARG(str_take(text, 40)));
        return false;
    }
    *ret_s = ms / 1000;
    return true;
}

static bool read_question(struct api_request *r, struct view_question *q)
{
    struct http_exchange *x = r->x;
    struct view_filter *f = &q->filter;
    struct str until = api_query(x, STR("until"));
    if (!api_query_since(x, &f->since_us) || !read_step(x, &q->step_s))
        return false;
    if (until.len && time_point_parse(until, os_wall_us(), &f->until_us) != ERR_OK) {
        api_error(x, 400, ERR_INVALID, "until",
                  "until is '%.*s': write a time like 2026-11-24T10:00:00Z or an age like 10m",
                  STR_ARG(str_take(until, 40)));
        return false;
    }
    if (!f->since_us)
        f->since_us = os_wall_us() - SINCE_DEFAULT_S * INT64_C(1000000);
    q->by = api_query(x, STR("by"));
    f->model = api_query(x, STR("model"));
    f->target = api_query(x, STR("target"));
    f->endpoint = api_query(x, STR("endpoint"));
    f->outcome = api_query(x, STR("outcome"));
    f->key = r->key->admin ? api_query(x, STR("key")) : r->key->name;
    return true;
}

static bool has_view(struct api_request *r)
{
    if (!r->api->view)
        api_error(r->x, 503, ERR_BUSY, NULL,
                  "there is no view of calls: it could not be opened, the server's log says why");
    return r->api->view != NULL;
}

void api_stats(struct api_request *r)
{
    struct stats_work *w = ARENA_NEW(r->x->arena, struct stats_work);
    w->r = r;
    buf_init(&w->body, STATS_BYTES_MAX);
    if (has_view(r) && read_question(r, &w->question))
        work_start(r->x->loop, run, answer, w);
}

void api_view(struct api_request *r)
{
    struct buf body BUF_AUTO;
    struct json_writer w;
    struct view_state state;
    buf_init(&body, 4096);
    if (!has_view(r))
        return;
    view_state(r->api->view, &state);
    json_writer_init(&w, &body);
    json_object_begin(&w);
    json_member_i64(&w, STR("folded"), state.next_offset);
    json_member_i64(&w, STR("end"), state.end_offset);
    json_member_u64(&w, STR("bytes"), state.bytes);
    json_member_bool(&w, STR("failed"), state.failed);
    json_object_end(&w);
    api_json(r->x, 200, buf_str(&body));
}

void api_view_rebuild(struct api_request *r)
{
    if (!has_view(r))
        return;
    view_rebuild(r->api->view);
    if (r->api->traces)
        traces_rebuild(r->api->traces);
    api_json(r->x, 202, STR("{\"rebuilding\":true}"));
}
