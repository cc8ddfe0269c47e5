/* GET /api/v1/alerts; POST /api/v1/alerts/{name}/test and …/silence?for=1h; DELETE …/silence. */
#include "alert/alert.h"
#include "api/api_int.h"
#include "codec/time.h"
#include "net/work.h"
#include "os/clock.h"

enum { BODY_BYTES_MAX = 64 << 20 };

#define SILENCE_MS_MAX INT64_C(31622400000) /* 366 days */

struct alert_work {
    struct api_request *r;
    struct str name;
    int64_t until_us;
    struct buf body;
    enum err err;
};

static bool has_alerts(struct api_request *r)
{
    if (!r->api->alerts)
        api_error(r->x, 503, ERR_BUSY, NULL,
                  "alerts are not watched: they could not be opened, the server's log says why");
    return r->api->alerts != NULL;
}

void api_alerts(struct api_request *r)
{
    struct buf body BUF_AUTO;
    buf_init(&body, BODY_BYTES_MAX);
    if (!has_alerts(r))
        return;
    alerts_write(r->api->alerts, &body);
    api_json(r->x, 200, buf_str(&body));
}

static void run_test(void *arg)
{
    struct alert_work *w = arg;
    w->err = alerts_test(w->r->api->alerts, w->name, &w->body);
}

static void run_silence(void *arg)
{
    struct alert_work *w = arg;
    char text[TIME_TEXT_BYTES + 1];
    struct json_writer out;
    w->err = alerts_silence(w->r->api->alerts, w->name, w->until_us, w->r->key->name);
    json_writer_init(&out, &w->body);
    json_object_begin(&out);
    json_member_str_or_null(&out, STR("silenced_until"),
                            w->until_us ? time_format(w->until_us, text) : STR_NONE);
    json_object_end(&out);
}

static void answer(void *arg)
{
    struct alert_work *w = arg;
    struct http_exchange *x = w->r->x;
    if (w->err == ERR_OK)
        api_json(x, 200, buf_str(&w->body));
    else if (w->err == ERR_NOT_FOUND)
        api_error(x, 404, ERR_NOT_FOUND, "name",
                  "no alert '%.*s': they stand under 'alerts' in the configuration",
                  STR_ARG(str_take(w->name, 100)));
    else
        api_error(x, err_http_status(w->err), w->err, NULL, "weir.alerts: %s", err_text(w->err));
    buf_release(&w->body);
}

/* False after answering 400. */
static bool read_span(struct alert_work *w)
{
    struct str text = api_query(w->r->x, STR("for"));
    int64_t ms;
    if (time_span_parse(text, &ms) == ERR_OK && ms > 0 && ms <= SILENCE_MS_MAX) {
        w->until_us = os_wall_us() + ms * 1000;
        return true;
    }
    api_error(w->r->x, 400, ERR_INVALID, "for",
              "for is '%.*s': write how long to be quiet, like 30m, 8h or 7d (at most 366d)",
              STR_ARG(str_take(text, 40)));
    return false;
}

static struct alert_work *begin(struct api_request *r)
{
    struct alert_work *w = ARENA_NEW(r->x->arena, struct alert_work);
    struct str rest = r->rest;
    w->r = r;
    w->name = api_decode(r->x->arena, str_split(&rest, '/'));
    buf_init(&w->body, 1 << 20);
    return w;
}

void api_alert_test(struct api_request *r)
{
    if (has_alerts(r))
        work_start(r->x->loop, run_test, answer, begin(r));
}

void api_alert_silence(struct api_request *r)
{
    struct alert_work *w = begin(r);
    if (has_alerts(r) && read_span(w))
        work_start(r->x->loop, run_silence, answer, w);
}

void api_alert_unsilence(struct api_request *r)
{
    if (has_alerts(r))
        work_start(r->x->loop, run_silence, answer, begin(r));
}
