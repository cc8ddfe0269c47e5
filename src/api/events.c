/* GET /api/v1/events?topic=…: records as they come, as server-sent events. Any key may follow its
 * own calls, admin keys all topics.
 *
 *   reading (a worker) ─> written ─> pause until the next tick ─┐
 *      ^     nothing there: waiting for the log ─ woken ────────┤   the client takes nothing:
 *      └────────────────────────────────────────────────────────┘   no reading until it does
 *
 * 1. What waits for a slow client is below one page and the server's own buffer: nothing is read
 *    for it meanwhile. With `latest` a client that is behind gets the newest and a `gap` event.
 * 2. A tick each TICK_MS paces reading, looks whether the server drains, and keeps the connection
 *    alive.
 * 3. There are WATCHERS_MAX of them; further ones get 503.
 * 4. The exchange ends when no work and no wake-up is on its way. */
#include "api/api_int.h"
#include "api/topic_json.h"
#include "codec/json_scan.h"
#include "codec/time.h"
#include "net/work.h"
#include "os/clock.h"

enum {
    WATCHERS_MAX = 256,
    PAGE_RECORDS_MAX = 200,
    PAGE_BYTES_MAX = 1 << 20,
    PAGE_HARD_BYTES_MAX = 64 << 20, /* one record may be large */
    TICK_MS = 250,
    PING_TICKS = 60,
    NESTING_MAX = 256,
};

struct watcher {
    struct api_request *r;
    struct log_part *part;
    struct str key; /* only calls of this key; empty: all */
    bool brief;     /* calls without request and response */
    uint64_t latest;
    int64_t from_ms; /* begin there; -1: at next */
    int64_t next;
    struct buf body;
    struct buf brief_value;
    uint32_t count;
    enum err err;
    struct log_watch watch;
    struct loop_task woken;
    struct loop_timer tick;
    unsigned quiet_ticks;
    bool reading;
    bool waiting;       /* the watch is on */
    bool due;           /* read at the next tick */
    bool blocked;       /* the client takes nothing */
    atomic_bool posted; /* woken is on its way */
};

static bool is_over(const struct watcher *w)
{
    const struct api *api = w->r->api;
    return w->r->x->gone || atomic_load(&api->draining) || w->err != ERR_OK ||
           (api->server && http_server_draining(api->server));
}

/* ---- Reading, on a worker ---- */

/* A call's record without its bodies, which may be large. */
static struct str brief_of(struct watcher *w, struct str value)
{
    struct json_reader r;
    struct json_value key;
    struct json_writer out;
    buf_reset(&w->brief_value);
    json_writer_init(&out, &w->brief_value);
    json_reader_init(&r, value, NESTING_MAX);
    if (!json_enter(&r, JSON_OBJECT))
        return value;
    json_object_begin(&out);
    while (json_next_member(&r, &key)) {
        if (json_eq(&key, STR("request")) || json_eq(&key, STR("response")))
            continue;
        json_key_raw(&out, json_text_raw(&key));
        json_raw(&out, json_take(&r).raw);
    }
    json_object_end(&out);
    return json_finish(&r) ? buf_str(&w->brief_value) : value;
}

static void append_record(struct watcher *w, const struct log_entry *entry)
{
    struct json_writer out;
    struct log_entry shown = *entry;
    buf_printf(&w->body, "id: %lld\nevent: record\ndata: ", (long long)entry->offset);
    size_t from = w->body.len;
    if (w->brief && entry->value.ptr)
        shown.value = brief_of(w, entry->value);
    json_writer_init(&out, &w->body);
    topic_json_write_record(&out, w->part, &shown);
    for (size_t i = from; i < w->body.len; i++) /* white space of a JSON that somebody wrote */
        if (w->body.ptr[i] == '\n' || w->body.ptr[i] == '\r')
            w->body.ptr[i] = ' ';
    buf_append_str(&w->body, STR("\n\n"));
}

static bool is_shown(const struct watcher *w, const struct log_entry *entry)
{
    const struct str *key = w->key.len ? log_entry_header(entry, STR("key")) : NULL;
    return !w->key.len || (key && str_eq(*key, w->key));
}

/* Where nothing is left out, begin where it stopped. */
static void skip_to_latest(struct watcher *w)
{
    int64_t behind = log_part_end(w->part) - w->next;
    if (!w->latest || behind <= (int64_t)w->latest)
        return;
    buf_printf(&w->body, "event: gap\ndata: {\"skipped\":%lld}\n\n",
               (long long)(behind - (int64_t)w->latest));
    w->next += behind - (int64_t)w->latest;
}

static enum err read_page(struct watcher *w)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    int64_t timestamp_ms;
    uint32_t seen = 0;
    enum err err = ERR_OK;
    if (w->from_ms >= 0)
        TRY(log_find_time(w->part, w->from_ms, &w->next, &timestamp_ms));
    w->from_ms = -1;
    skip_to_latest(w);
    TRY(log_cursor_open(w->part, w->next, LOG_FORWARD, &cursor));
    while (seen < PAGE_RECORDS_MAX && w->body.len < PAGE_BYTES_MAX &&
           (err = log_cursor_next(cursor, &entry)) == ERR_OK && entry) {
        seen++;
        if (is_shown(w, entry))
            append_record(w, entry);
    }
    w->count = seen;
    w->next = log_cursor_offset(cursor);
    log_cursor_close(cursor);
    return err == ERR_OK ? w->body.error : err;
}

static void run_read(void *arg)
{
    struct watcher *w = arg;
    buf_reset(&w->body);
    w->err = read_page(w);
}

/* ---- On the loop ---- */

static void on_read(void *arg);

static void read_on(struct watcher *w)
{
    w->due = false;
    w->reading = true;
    work_start(w->r->x->loop, run_read, on_read, w);
}

/* False: it goes on, or its end waits for what is on its way. */
static bool end_if_over(struct watcher *w)
{
    if (!is_over(w) || w->reading)
        return false;
    if (w->waiting)
        log_watch_remove(&w->watch);
    w->waiting = false;
    if (atomic_load(&w->posted))
        return false;
    loop_timer_stop(&w->tick);
    atomic_fetch_sub(&w->r->api->watchers, 1);
    buf_release(&w->body);
    buf_release(&w->brief_value);
    http_respond_end(w->r->x);
    return true;
}

static void on_woken(void *arg)
{
    struct watcher *w = arg;
    atomic_store(&w->posted, false);
    w->waiting = false;
    if (!end_if_over(w) && !is_over(w))
        read_on(w);
}

static void on_wake(struct log_watch *watch)
{
    struct watcher *w = (struct watcher *)((char *)watch - offsetof(struct watcher, watch));
    atomic_store(&w->posted, true);
    loop_post(w->r->x->loop, &w->woken);
}

static void wait_for_more(struct watcher *w)
{
    w->waiting = true;
    if (!log_watch_add(w->part, &w->watch, w->next))
        return;
    w->waiting = false;
    w->due = true;
}

static void write_out(struct watcher *w)
{
    struct http_exchange *x = w->r->x;
    if (!w->body.len)
        return;
    w->quiet_ticks = 0;
    http_respond_body(x, buf_str(&w->body));
    w->blocked = http_pending_bytes(x) > 0;
}

static void on_read(void *arg)
{
    struct watcher *w = arg;
    w->reading = false;
    if (end_if_over(w) || is_over(w))
        return;
    write_out(w);
    if (w->count)
        w->due = true;
    else
        wait_for_more(w);
}

static void on_tick(void *arg)
{
    struct watcher *w = arg;
    if (end_if_over(w))
        return;
    loop_timer_start(w->r->x->loop, &w->tick, TICK_MS);
    if (is_over(w))
        return;
    if (w->blocked)
        w->blocked = http_pending_bytes(w->r->x) > 0;
    if (w->due && !w->blocked) {
        read_on(w);
    } else if (++w->quiet_ticks >= PING_TICKS && !w->blocked) {
        w->quiet_ticks = 0;
        http_respond_body(w->r->x, STR(": still there\n\n"));
    }
}

static void on_gone(struct http_exchange *x)
{
    (void)x; /* the next tick sees it */
}

/* ---- The request ---- */

/* False after answering. */
static bool find_topic(struct watcher *w)
{
    struct http_exchange *x = w->r->x;
    struct str name = api_query(x, STR("topic"));
    uint32_t partition;
    bool calls = str_eq(name, STR("weir.calls"));
    if (!w->r->key->admin && !calls) {
        api_error(x, 403, ERR_ACCESS, "topic",
                  "the key '%.*s' is not an admin key: it may follow weir.calls, where it sees its "
                  "own",
                  STR_ARG(w->r->key->name));
        return false;
    }
    struct log_topic *topic = log_topic_find(gateway_log(w->r->api->gateway), name);
    if (!topic) {
        api_error(x, 404, ERR_NOT_FOUND, "topic", "no topic '%.*s'; GET /api/v1/topics lists them",
                  STR_ARG(str_take(name, 100)));
        return false;
    }
    if (!api_query_partition(x, topic, &partition) ||
        !api_query_number(x, STR("latest"), 0, 10000, &w->latest))
        return false;
    w->part = log_topic_part(topic, partition);
    w->key = w->r->key->admin ? STR_NONE : w->r->key->name;
    w->brief = calls && str_eq(api_query(x, STR("bodies")), STR("0"));
    return true;
}

/* Last-Event-ID, or from: end (the default), start, an offset, a time or an age. */
static bool read_from(struct watcher *w)
{
    struct http_exchange *x = w->r->x;
    struct str last = http_headers_get(&x->headers, STR("last-event-id"));
    struct str from = api_query(x, STR("from"));
    uint64_t offset;
    int64_t wall_us;
    w->from_ms = -1;
    w->next = log_part_end(w->part);
    if (last.len && str_to_u64(last, &offset) == ERR_OK && offset < INT64_MAX)
        w->next = (int64_t)offset + 1;
    else if (str_eq(from, STR("start")))
        w->next = log_part_start(w->part);
    else if (from.len && str_to_u64(from, &offset) == ERR_OK && offset <= INT64_MAX)
        w->next = (int64_t)offset;
    else if (from.len && time_point_parse(from, os_wall_us(), &wall_us) == ERR_OK)
        w->from_ms = wall_us / 1000;
    else if (from.len && !str_eq(from, STR("end"))) {
        api_error(x, 400, ERR_INVALID, "from",
                  "from is '%.*s': write an offset, a time like 2026-11-24T10:00:00Z, an age like "
                  "10m, start or end",
                  STR_ARG(str_take(from, 40)));
        return false;
    }
    return true;
}

void api_events(struct api_request *r)
{
    struct http_exchange *x = r->x;
    struct watcher *w = ARENA_NEW(x->arena, struct watcher);
    w->r = r;
    if (!find_topic(w) || !read_from(w))
        return;
    const struct http_header headers[] = {HTTP_HEADER("content-type", STR("text/event-stream")),
                                          HTTP_HEADER("cache-control", STR("no-store"))};
    if (str_eq(x->method, STR("HEAD"))) {
        http_respond_with(x, 200, headers, 2, STR_NONE);
        return;
    }
    if (atomic_fetch_add(&r->api->watchers, 1) >= WATCHERS_MAX) {
        atomic_fetch_sub(&r->api->watchers, 1);
        api_error(x, 503, ERR_BUSY, NULL, "%d clients follow topics already: try again later",
                  WATCHERS_MAX);
        return;
    }
    buf_init(&w->body, PAGE_HARD_BYTES_MAX);
    buf_init(&w->brief_value, PAGE_HARD_BYTES_MAX);
    w->watch.wake = on_wake;
    loop_task_init(&w->woken, on_woken, w);
    loop_timer_init(&w->tick, on_tick, w);
    x->on_gone = on_gone;
    http_respond_head(x, 200, headers, 2, HTTP_CHUNKED);
    http_respond_body(x, STR(": follows\n\n"));
    loop_timer_start(x->loop, &w->tick, TICK_MS);
    read_on(w);
}
