/* Fetch: whole batches out of the log's files, or a wait until there are some.
 *
 *     read what is there ──enough, an error, or no time──▶ answer
 *            ▲    └─ too little ─▶ watch every partition ─▶ woken (by the log), or the time is over
 *            └────────────────────────────┘
 *
 * Sessions (KIP-227) are declined: every answer says session 0, so that clients ask for all
 * partitions each time. */
#include "base/assert.h"
#include "kafka/kafka_int.h"

enum {
    FETCH_SESSION_ID_NOT_FOUND = 70,
    ABORTED_MAX_BYTES = 16 << 20, /* of one partition's answer */
};

struct fetch_part {
    const struct kafka_fetch_request_partition *from;
    struct kafka_fetch_response_partition *to;
    struct log_part *part; /* NULL: to holds an error */
    struct log_range range;
    int64_t end; /* of the partition, before it was read */
    struct log_watch watch;
    struct fetch *fetch;
};

struct fetch {
    struct kafka_request *request;
    struct kafka_fetch_response *response;
    struct fetch_part *parts;
    size_t count;
    size_t bytes; /* in the ranges */
    bool failed;  /* a partition has an error: nobody waits then */
    struct loop_timer timer;
    bool over; /* the time is, or the connection */
    bool gone;
    atomic_bool posted; /* request.woken is on its way */
};

/* ---- Reading ---- */

static void set_offsets(struct fetch_part *p)
{
    struct log_part_info info;
    log_part_describe(p->part, &info);
    p->to->high_watermark = info.end_offset;
    p->to->last_stable_offset = info.stable_offset;
    p->to->log_start_offset = info.start_offset;
    p->end = info.end_offset;
}

/* At most max_bytes, but one whole batch if nothing else was found yet. */
static void read_part(struct fetch *f, struct fetch_part *p, size_t max_bytes)
{
    size_t own = p->from->partition_max_bytes > 0 ? (size_t)p->from->partition_max_bytes : 0;
    size_t room = own < max_bytes ? own : max_bytes;
    bool committed = ((const struct kafka_fetch_request *)f->request->body)->isolation_level > 0;
    set_offsets(p); /* before reading: what comes after it wakes the watch */
    enum err e = log_read_below(p->part, p->from->fetch_offset,
                                committed ? p->to->last_stable_offset : INT64_MAX, room, &p->range);
    if (e != ERR_OK) {
        p->to->error_code = kafka_error_of(e);
        f->failed = true;
        return;
    }
    if (p->range.length > room && f->bytes > 0)
        log_range_release(&p->range);
    if (p->range.length > 0 && p->range.next_offset > p->to->high_watermark)
        p->to->high_watermark = p->range.next_offset;
    f->bytes += p->range.length;
}

static void read_all(struct fetch *f)
{
    const struct kafka_fetch_request *q = f->request->body;
    size_t max_bytes = q->max_bytes > 0 ? (size_t)q->max_bytes : 0;
    f->bytes = 0;
    for (size_t i = 0; i < f->count; i++)
        if (f->parts[i].part && f->parts[i].to->error_code == KAFKA_NONE)
            read_part(f, &f->parts[i], max_bytes > f->bytes ? max_bytes - f->bytes : 0);
}

static void release_all(struct fetch *f)
{
    for (size_t i = 0; i < f->count; i++)
        log_range_release(&f->parts[i].range);
}

/* ---- Answering ---- */

/* What a reader of committed records is to leave out. */
static void add_aborted(struct fetch *f, struct fetch_part *p)
{
    struct kafka_request *r = f->request;
    BUF_AUTO struct buf found = {.max = ABORTED_MAX_BYTES};
    if (p->range.length == 0)
        return;
    enum err e = log_part_aborted(p->part, p->from->fetch_offset, p->range.next_offset, &found);
    if (e != ERR_OK) { /* without it the records must not be read */
        p->to->error_code = kafka_error_of(e);
        log_range_release(&p->range);
        return;
    }
    const struct log_aborted *aborted = (const struct log_aborted *)(const void *)found.ptr;
    size_t count = found.len / sizeof *aborted;
    p->to->aborted_transactions = KAFKA_NEW(&r->arena, fetch_response_aborted_transaction, count);
    p->to->aborted_transactions_count = (int32_t)count;
    for (size_t i = 0; i < count; i++)
        p->to->aborted_transactions[i] = (struct kafka_fetch_response_aborted_transaction){
            aborted[i].producer_id, aborted[i].first_offset};
}

static void answer(struct fetch *f)
{
    struct kafka_request *r = f->request;
    const struct kafka_fetch_request *q = r->body;
    r->pieces = ARENA_ARRAY(&r->arena, struct kafka_piece, f->count);
    for (size_t i = 0; i < f->count; i++) {
        struct fetch_part *p = &f->parts[i];
        p->to->aborted_transactions_count = -1;
        if (q->isolation_level > 0) {
            p->to->aborted_transactions_count = 0;
            if (p->part)
                add_aborted(f, p);
        }
        p->to->records = (struct kafka_records){
            .present = true, .length = (uint32_t)p->range.length, .source = &p->range};
    }
    kafka_reply(r, f->response);
}

static void stop_waiting(struct fetch *f)
{
    loop_timer_stop(&f->timer);
    for (size_t i = 0; i < f->count; i++)
        log_watch_remove(&f->parts[i].watch);
}

static void finish(struct fetch *f)
{
    stop_waiting(f);
    if (f->gone) {
        release_all(f);
        kafka_reply_nothing(f->request);
    } else {
        answer(f);
    }
}

/* ---- Waiting ---- */

/* On a thread of the log. */
static void on_wake(struct log_watch *watch)
{
    struct fetch_part *p =
        (struct fetch_part *)((char *)watch - offsetof(struct fetch_part, watch));
    struct fetch *f = p->fetch;
    if (!atomic_exchange(&f->posted, true))
        loop_post(kafka_request_half(f->request)->loop, &f->request->woken);
}

static bool is_enough(const struct fetch *f)
{
    const struct kafka_fetch_request *q = f->request->body;
    return f->failed || f->over ||
           (f->bytes > 0 && f->bytes >= (size_t)(q->min_bytes > 0 ? q->min_bytes : 0)) ||
           q->min_bytes <= 0;
}

/* False: there is something already. */
static bool watch_all(struct fetch *f)
{
    for (size_t i = 0; i < f->count; i++) {
        struct fetch_part *p = &f->parts[i];
        if (!p->part)
            continue;
        p->watch.wake = on_wake;
        if (log_watch_add(p->part, &p->watch, p->end))
            return false;
    }
    return true;
}

static void read_or_wait(struct fetch *f)
{
    for (;;) {
        read_all(f);
        if (is_enough(f)) {
            finish(f);
            return;
        }
        release_all(f);
        if (watch_all(f))
            return;
        for (size_t i = 0; i < f->count; i++)
            log_watch_remove(&f->parts[i].watch);
    }
}

static void on_woken(void *arg)
{
    struct fetch *f = arg;
    atomic_store(&f->posted, false);
    for (size_t i = 0; i < f->count; i++)
        log_watch_remove(&f->parts[i].watch);
    if (atomic_load(&f->posted)) /* woken again before the watches were off: this runs once more */
        return;
    if (f->gone)
        finish(f);
    else
        read_or_wait(f);
}

/* The request may only end when no task of it is on its way. */
static void end_wait(struct fetch *f)
{
    f->over = true;
    for (size_t i = 0; i < f->count; i++)
        log_watch_remove(&f->parts[i].watch);
    if (atomic_load(&f->posted))
        return;
    if (f->gone)
        finish(f);
    else
        read_or_wait(f);
}

static void on_time(void *arg)
{
    end_wait(arg);
}

static void on_gone(struct kafka_request *r)
{
    struct fetch *f = r->state;
    loop_timer_stop(&f->timer);
    f->gone = true;
    end_wait(f);
}

/* ---- Beginning ---- */

static void begin_part(struct fetch *f, struct str name,
                       const struct kafka_fetch_request_partition *from,
                       struct kafka_fetch_response_partition *to)
{
    struct fetch_part *p = &f->parts[f->count++];
    *p = (struct fetch_part){.from = from, .to = to, .fetch = f};
    to->partition_index = from->partition;
    to->high_watermark = -1;
    to->error_code =
        kafka_part_find(f->request, name, from->partition, from->current_leader_epoch, &p->part);
    if (to->error_code != KAFKA_NONE) {
        p->part = NULL;
        f->failed = true;
    }
}

static void begin_topic(struct fetch *f, const struct kafka_fetch_request_topic *from,
                        struct kafka_fetch_response_response *to)
{
    struct kafka_request *r = f->request;
    struct str name = from->topic;
    bool unknown_id = false;
    to->topic = from->topic;
    to->topic_id = from->topic_id;
    if (r->header.version >= 13) {
        struct log_topic *topic = log_topic_find_id(kafka_request_log(r), from->topic_id.bytes);
        unknown_id = topic == NULL;
        name = topic ? log_topic_name(topic) : STR("");
    }
    to->partitions = KAFKA_NEW(&r->arena, fetch_response_partition, from->partitions_count);
    to->partitions_count = from->partitions_count;
    for (int32_t i = 0; i < from->partitions_count; i++) {
        begin_part(f, name, &from->partitions[i], &to->partitions[i]);
        if (unknown_id)
            to->partitions[i].error_code = KAFKA_UNKNOWN_TOPIC_ID;
    }
}

static size_t part_count(const struct kafka_fetch_request *q)
{
    size_t count = 0;
    for (int32_t i = 0; i < q->topics_count; i++)
        count += (size_t)q->topics[i].partitions_count;
    return count;
}

static void begin(struct fetch *f)
{
    struct kafka_request *r = f->request;
    const struct kafka_fetch_request *q = r->body;
    f->parts = ARENA_ARRAY(&r->arena, struct fetch_part, part_count(q));
    f->response->responses = KAFKA_NEW(&r->arena, fetch_response_response, q->topics_count);
    f->response->responses_count = q->topics_count;
    for (int32_t i = 0; i < q->topics_count; i++)
        begin_topic(f, &q->topics[i], &f->response->responses[i]);
}

void kafka_on_fetch(struct kafka_request *r)
{
    const struct kafka_fetch_request *q = r->body;
    struct fetch *f = ARENA_NEW(&r->arena, struct fetch);
    f->request = r;
    f->response = KAFKA_NEW(&r->arena, fetch_response, 1);
    r->state = f;
    if (q->session_id != 0) {
        f->response->error_code = FETCH_SESSION_ID_NOT_FOUND;
        kafka_reply(r, f->response);
        return;
    }
    r->gone = on_gone;
    loop_task_init(&r->woken, on_woken, f);
    loop_timer_init(&f->timer, on_time, f);
    begin(f);
    int32_t wait_ms =
        q->max_wait_ms < KAFKA_FETCH_WAIT_MAX_MS ? q->max_wait_ms : KAFKA_FETCH_WAIT_MAX_MS;
    f->over = wait_ms <= 0;
    if (!f->over)
        loop_timer_start(kafka_request_half(r)->loop, &f->timer, (uint64_t)wait_ms);
    read_or_wait(f);
}
