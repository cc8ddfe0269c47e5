/* GET /api/v1/topics, /topics/{t}, /topics/{t}/records; POST /topics/{t}/records. Admin keys only.
 */
#include "api/api_int.h"
#include "api/topic_json.h"
#include "codec/time.h"
#include "net/work.h"
#include "os/clock.h"

enum {
    LIMIT_DEFAULT = 100,
    LIMIT_MAX = 10000,
    PAGE_BYTES_MAX = 32 << 20,
};

bool api_query_partition(struct http_exchange *x, struct log_topic *topic, uint32_t *ret_partition)
{
    uint64_t partition;
    if (!api_query_number(x, STR("partition"), 0, INT32_MAX, &partition))
        return false;
    *ret_partition = (uint32_t)partition;
    if (partition < log_topic_partitions(topic))
        return true;
    api_error(x, 404, ERR_NOT_FOUND, "partition", "topic '%.*s' has %u partitions, from 0 on",
              STR_ARG(log_topic_name(topic)), log_topic_partitions(topic));
    return false;
}

/* ---- Topics ---- */

void api_topics(struct api_request *r)
{
    struct buf body BUF_AUTO;
    struct json_writer w;
    buf_init(&body, PAGE_BYTES_MAX);
    json_writer_init(&w, &body);
    topic_json_write_all(&w, gateway_log(r->api->gateway));
    api_json(r->x, 200, buf_str(&body));
}

/* ---- Records ---- */

struct records_work {
    struct api_request *r;
    struct log_part *part;
    int64_t from;    /* offset; -1: from_ms counts */
    int64_t from_ms; /* time */
    uint64_t limit;
    uint64_t wait_ms;
    bool waited;
    struct buf body;
    uint32_t count;
    int64_t next;
    enum err err;
    struct log_watch watch;
    struct loop_timer timer;
    struct loop_task woken;
    bool waiting;
    atomic_bool posted; /* woken is on its way: the exchange must not end before it has run */
    bool answer_ready;
};

static enum err start_offset(struct records_work *w, int64_t *ret_offset)
{
    int64_t timestamp_ms;
    if (w->from >= 0) {
        *ret_offset = w->from;
        bool there = w->from >= log_part_start(w->part) && w->from <= log_part_end(w->part);
        return there ? ERR_OK : ERR_OUT_OF_RANGE;
    }
    return log_find_time(w->part, w->from_ms, ret_offset, &timestamp_ms);
}

static enum err read_records(struct records_work *w, struct json_writer *out)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    int64_t offset = 0;
    enum err err = ERR_OK;
    TRY(start_offset(w, &offset));
    TRY(log_cursor_open(w->part, offset, LOG_FORWARD, &cursor));
    while (w->count < w->limit && w->body.len < PAGE_BYTES_MAX &&
           (err = log_cursor_next(cursor, &entry)) == ERR_OK && entry) {
        topic_json_write_record(out, w->part, entry);
        w->count++;
    }
    w->next = log_cursor_offset(cursor);
    log_cursor_close(cursor);
    return err;
}

static void run_read(void *arg)
{
    struct records_work *w = arg;
    struct json_writer out;
    buf_reset(&w->body);
    w->count = 0;
    json_writer_init(&out, &w->body);
    json_object_begin(&out);
    json_key(&out, STR("records"));
    json_array_begin(&out);
    w->err = read_records(w, &out);
    json_array_end(&out);
    json_member_i64(&out, STR("next"), w->next);
    json_member_i64(&out, STR("end"), log_part_end(w->part));
    json_object_end(&out);
    if (w->err == ERR_OK)
        w->err = w->body.error;
}

static void answer_read(void *arg);
static void answer(struct records_work *w);

/* There is something to read, or the caller has waited long enough, or left. */
static void read_again(void *arg)
{
    struct records_work *w = arg;
    if (!w->waiting)
        return;
    w->waiting = false;
    loop_timer_stop(&w->timer);
    log_watch_remove(&w->watch);
    w->from = w->next;
    work_start(w->r->x->loop, run_read, answer_read, w);
}

static void on_woken(void *arg)
{
    struct records_work *w = arg;
    atomic_store(&w->posted, false);
    if (w->answer_ready)
        answer(w);
    else
        read_again(w);
}

static void on_wake(struct log_watch *watch)
{
    struct records_work *w =
        (struct records_work *)((char *)watch - offsetof(struct records_work, watch));
    atomic_store(&w->posted, true);
    loop_post(w->r->x->loop, &w->woken);
}

static void wait_for_more(struct records_work *w)
{
    w->waited = true;
    w->waiting = true;
    w->watch.wake = on_wake;
    loop_task_init(&w->woken, on_woken, w);
    loop_timer_init(&w->timer, read_again, w);
    if (log_watch_add(w->part, &w->watch, w->next))
        read_again(w);
    else
        loop_timer_start(w->r->x->loop, &w->timer, w->wait_ms);
}

static void answer_read(void *arg)
{
    struct records_work *w = arg;
    struct http_exchange *x = w->r->x;
    if (w->err == ERR_OK && w->count == 0 && w->wait_ms && !w->waited && !x->gone) {
        wait_for_more(w);
        return;
    }
    w->answer_ready = true;
    if (!atomic_load(&w->posted))
        answer(w);
}

static void answer(struct records_work *w)
{
    struct http_exchange *x = w->r->x;
    if (w->err == ERR_OK)
        api_json(x, 200, buf_str(&w->body));
    else
        api_error(x, err_http_status(w->err), w->err, "from",
                  "reading topic '%.*s': %s; its offsets are %lld to %lld",
                  STR_ARG(log_topic_name(log_part_topic(w->part))), err_text(w->err),
                  (long long)log_part_start(w->part), (long long)log_part_end(w->part));
    buf_release(&w->body);
}

/* from: an offset, a time (RFC 3339), an age (10m), "start" or "end". */
static bool read_from(struct records_work *w)
{
    struct str from = api_query(w->r->x, STR("from"));
    int64_t wall_us;
    uint64_t offset;
    w->from = log_part_start(w->part);
    if (from.len == 0 || str_eq(from, STR("start")))
        return true;
    if (str_eq(from, STR("end"))) {
        w->from = log_part_end(w->part);
        return true;
    }
    if (str_to_u64(from, &offset) == ERR_OK && offset <= INT64_MAX) {
        w->from = (int64_t)offset;
        return true;
    }
    w->from = -1;
    if (time_point_parse(from, os_wall_us(), &wall_us) == ERR_OK) {
        w->from_ms = wall_us / 1000;
        return true;
    }
    api_error(w->r->x, 400, ERR_INVALID, "from",
              "from is '%.*s': write an offset, a time like 2026-11-24T10:00:00Z, an age like "
              "10m, start or end",
              STR_ARG(str_take(from, 40)));
    return false;
}

static void read_topic(struct api_request *r, struct log_topic *topic)
{
    struct http_exchange *x = r->x;
    struct records_work *w = ARENA_NEW(x->arena, struct records_work);
    uint32_t partition;
    w->r = r;
    if (!api_query_partition(x, topic, &partition) ||
        !api_query_number(x, STR("limit"), LIMIT_DEFAULT, LIMIT_MAX, &w->limit) ||
        !api_query_number(x, STR("wait_ms"), 0, 30000, &w->wait_ms))
        return;
    w->part = log_topic_part(topic, partition);
    if (!read_from(w))
        return;
    buf_init(&w->body, 3 * (size_t)PAGE_BYTES_MAX);
    work_start(x->loop, run_read, answer_read, w);
}

/* "{t}" or "{t}/records": NULL after answering 404. */
static struct log_topic *find_topic(struct api_request *r, bool *ret_records)
{
    struct str rest = r->rest;
    struct str name = str_split(&rest, '/');
    struct log_topic *topic =
        log_topic_find(gateway_log(r->api->gateway), api_decode(r->x->arena, name));
    *ret_records = rest.ptr != NULL;
    if (topic && (!rest.ptr || str_eq(rest, STR("records"))))
        return topic;
    api_error(r->x, 404, ERR_NOT_FOUND, "topic",
              "no topic '%.*s'; GET /api/v1/topics lists them, their records are at "
              "/api/v1/topics/NAME/records",
              STR_ARG(str_take(name, 100)));
    return NULL;
}

void api_topic(struct api_request *r)
{
    bool records;
    struct log_topic *topic = find_topic(r, &records);
    if (!topic)
        return;
    if (records) {
        read_topic(r, topic);
        return;
    }
    struct buf body BUF_AUTO;
    struct json_writer w;
    buf_init(&body, PAGE_BYTES_MAX);
    json_writer_init(&w, &body);
    topic_json_write(&w, topic);
    api_json(r->x, 200, buf_str(&body));
}

/* ---- Writing ---- */

struct write_work {
    struct api_request *r;
    struct str name;
    struct log_topic *topic;
    struct log_append append;
    struct loop_task task;
};

static void answer_write(void *arg)
{
    struct write_work *w = arg;
    struct http_exchange *x = w->r->x;
    if (w->append.error != ERR_OK) {
        api_error(x, err_http_status(w->append.error), w->append.error, NULL,
                  "the record was not written: %s", err_text(w->append.error));
        return;
    }
    struct buf body BUF_AUTO;
    buf_init(&body, 256);
    buf_printf(&body, "{\"offset\":%lld}", (long long)w->append.offset);
    api_json(x, 200, buf_str(&body));
}

static void on_written(struct log_append *first)
{
    while (first) {
        struct log_append *next = first->next;
        struct write_work *w =
            (struct write_work *)((char *)first - offsetof(struct write_work, append));
        loop_post(w->r->x->loop, &w->task);
        first = next;
    }
}

static void append_record(struct write_work *w)
{
    struct http_exchange *x = w->r->x;
    struct log_record record = {
        .timestamp_ms = -1, .key = api_query(x, STR("key")), .value = &x->body, .value_parts = 1};
    enum err err = log_append(log_topic_part(w->topic, 0), &record, &w->append);
    if (err != ERR_OK) {
        w->append.error = err;
        answer_write(w);
    }
}

/* Making a topic waits for the disk. */
static void make_topic(void *arg)
{
    struct write_work *w = arg;
    w->append.error = log_topic_open(gateway_log(w->r->api->gateway), w->name,
                                     &LOG_TOPIC_CONFIG_DEFAULT, &w->topic);
}

static void topic_made(void *arg)
{
    struct write_work *w = arg;
    if (w->append.error == ERR_OK)
        append_record(w);
    else
        answer_write(w);
}

/* The body is the value; ?key= is the key. A topic that is not there is made. Weir's own topics are
 * not written by hand. */
void api_topic_write(struct api_request *r)
{
    struct http_exchange *x = r->x;
    struct str rest = r->rest;
    struct str name = api_decode(x->arena, str_split(&rest, '/'));
    if (!str_eq(rest, STR("records")) || !log_topic_name_valid(name)) {
        api_error(
            x, 404, ERR_NOT_FOUND, "topic",
            "write to /api/v1/topics/NAME/records, where NAME is 1 to %d of A-Z a-z 0-9 . _ -",
            LOG_TOPIC_NAME_MAX);
        return;
    }
    if (str_starts(name, STR("weir."))) {
        api_error(x, 403, ERR_ACCESS, "topic", "topic '%.*s' is written by Weir alone",
                  STR_ARG(name));
        return;
    }
    struct write_work *w = ARENA_NEW(x->arena, struct write_work);
    w->r = r;
    w->name = name;
    w->append = (struct log_append){.done = on_written, .owner = w};
    loop_task_init(&w->task, answer_write, w);
    w->topic = log_topic_find(gateway_log(r->api->gateway), name);
    if (w->topic)
        append_record(w);
    else
        work_start(x->loop, make_topic, topic_made, w);
}
