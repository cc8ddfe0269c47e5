/* Stored responses of the Responses API: read, listed and deleted on a worker. Each by the key that
 * made it, admin keys too: what others said is theirs (GET /api/v1/calls shows it to admins). */
#include "api/api_int.h"
#include "call/stored.h"
#include "dialect/responses_replay.h"
#include "net/work.h"

enum {
    ITEMS_DEFAULT = 20,
    ITEMS_MAX = 100,
    EVENTS_BYTES_MAX = 512 << 20, /* of a response told as events */
};

struct responses_work {
    struct api_request *r;
    struct str id;
    struct responses_page page;
    bool stream;
    int64_t after; /* events up to that number are not wanted; -1: all are */
    struct buf body;
    enum err err;
    struct openai_problem problem; /* empty: by err */
};

static struct responses_work *begin(struct api_request *r, struct str id)
{
    struct responses_work *w = ARENA_NEW(r->x->arena, struct responses_work);
    w->r = r;
    w->id = api_decode(r->x->arena, id);
    buf_init(&w->body, 2 * STORED_BYTES_MAX);
    return w;
}

static void answer(void *arg)
{
    struct responses_work *w = arg;
    struct http_exchange *x = w->r->x;
    struct str id = str_take(w->id, 100);
    if (w->err == ERR_OK)
        http_respond(x, 200,
                     w->stream ? STR("text/event-stream; charset=utf-8") : STR("application/json"),
                     buf_str(&w->body));
    else if (*w->problem.message)
        api_error(x, err_http_status(w->err), w->err, *w->problem.param ? w->problem.param : NULL,
                  "%s", w->problem.message);
    else if (w->err == ERR_NOT_FOUND)
        api_error(x, 404, ERR_NOT_FOUND, NULL,
                  "no response '%.*s' of this key is stored: it was made with store: false, by "
                  "another key, deleted, or is older than the log",
                  STR_ARG(id));
    else
        api_error(x, err_http_status(w->err), w->err, NULL, "response '%.*s': %s", STR_ARG(id),
                  err_text(w->err));
    buf_release(&w->body);
}

/* ---- One ---- */

static void run_read(void *arg)
{
    struct responses_work *w = arg;
    struct stored *stored = gateway_stored(w->r->api->gateway);
    w->err = stored_read(stored, w->id, w->r->key->name, &w->body);
    if (w->err != ERR_OK || !w->stream)
        return;
    struct buf events;
    buf_init(&events, EVENTS_BYTES_MAX);
    w->err = responses_replay(buf_str(&w->body), JSON_DEPTH_MAX, w->after, &events);
    buf_release(&w->body);
    w->body = events;
}

static void read_one(struct api_request *r, struct str id)
{
    struct str stream = api_query(r->x, STR("stream"));
    struct str after = api_query(r->x, STR("starting_after"));
    uint64_t number;
    if (!api_query_number(r->x, STR("starting_after"), 0, INT32_MAX, &number))
        return;
    struct responses_work *w = begin(r, id);
    w->stream = stream.ptr && str_eq(stream, STR("true"));
    w->after = after.ptr ? (int64_t)number : -1;
    work_start(r->x->loop, run_read, answer, w);
}

/* ---- Its input ---- */

static void run_items(void *arg)
{
    struct responses_work *w = arg;
    w->err = stored_items(gateway_stored(w->r->api->gateway), w->id, w->r->key->name, &w->page,
                          &w->body, &w->problem);
}

static void list_items(struct api_request *r, struct str id)
{
    struct responses_work *w = begin(r, id);
    struct str order = api_query(r->x, STR("order"));
    uint64_t limit;
    if (!api_query_number(r->x, STR("limit"), ITEMS_DEFAULT, ITEMS_MAX, &limit))
        return;
    bool ascending = order.ptr && str_eq(order, STR("asc"));
    if (order.ptr && !ascending && !str_eq(order, STR("desc"))) {
        api_error(r->x, 400, ERR_INVALID, "order", "order is asc or desc");
        return;
    }
    w->page = (struct responses_page){.after = api_query(r->x, STR("after")),
                                      .limit = limit ? (size_t)limit : 1,
                                      .ascending = ascending};
    work_start(r->x->loop, run_items, answer, w);
}

void api_response(struct api_request *r)
{
    struct str id = r->rest;
    static const struct str items = STR_INIT("/input_items");
    if (str_ends(id, items))
        list_items(r, str_take(id, id.len - items.len));
    else
        read_one(r, id);
}

/* ---- Deleting ---- */

static void run_delete(void *arg)
{
    struct responses_work *w = arg;
    struct json_writer j;
    w->err = stored_delete(gateway_stored(w->r->api->gateway), w->id, w->r->key->name);
    json_writer_init(&j, &w->body);
    json_object_begin(&j);
    json_member_str(&j, STR("id"), w->id);
    json_member_str(&j, STR("object"), STR("response"));
    json_member_bool(&j, STR("deleted"), true);
    json_object_end(&j);
}

void api_response_delete(struct api_request *r)
{
    work_start(r->x->loop, run_delete, answer, begin(r, r->rest));
}

/* ---- What is not offered ---- */

void api_response_post(struct api_request *r)
{
    if (str_ends(r->rest, STR("/cancel")))
        api_error(r->x, 400, ERR_UNSUPPORTED, NULL,
                  "only background responses can be cancelled, and none are made here: close the "
                  "connection of a request instead");
    else
        api_error(r->x, 404, ERR_NOT_FOUND, NULL,
                  "nothing is served at %.*s: responses are made by POST /v1/responses",
                  STR_ARG(str_take(r->x->path, 200)));
}
