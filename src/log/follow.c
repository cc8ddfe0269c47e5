/* The cluster's records into the copies in this folder, at the offsets they have there. */
#include "log/cluster_int.h"

/* Records of one partition, not written yet; their offsets have no gap. */
struct gathered {
    struct log_part *part; /* NULL: none */
    struct log_staged *batch;
};

/* Where to read ------------------------------------------------------------------------------- */

enum { FROM_START = -2 }; /* librdkafka's word for it */

/* The next partition that is not read yet. */
static bool next_place(struct cluster *c, struct kafka_place *ret_place)
{
    bool found = false;
    os_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->follow_count && !found; i++) {
        struct cluster_follow *f = &c->follows[i];
        if (f->started || f->diverged)
            continue;
        int64_t from = log_part_next(f->part);
        from = from < f->start ? f->start : from;
        *ret_place = (struct kafka_place){.topic = f->part->topic->name,
                                          .partition = f->part->number,
                                          .offset = from > 0 ? from : FROM_START};
        f->started = found = true;
    }
    c->follow_dirty = found;
    os_mutex_unlock(&c->lock);
    return found;
}

/* Read every partition from where its copy ends. */
static void assign(struct cluster *c)
{
    struct kafka_place place;
    while (next_place(c, &place)) {
        enum err error = kafka_store_follow(c->store, &place);
        if (error != ERR_OK)
            log_report(c->log, LOG_ERROR, "event=cluster_follow topic=%s partition=%u error=\"%s\"",
                       place.topic, place.partition, err_text(error));
    }
}

static struct log_part *part_of(struct cluster *c, const struct kafka_event *event)
{
    struct log_topic *topic = log_topic_find(c->log, event->topic);
    return topic ? log_topic_part(topic, event->partition) : NULL;
}

/* Read it again from where its copy ends. */
static void start_again(struct cluster *c, const struct log_part *part)
{
    os_mutex_lock(&c->lock);
    struct cluster_follow *f = cluster_follow_of(c, part);
    if (f) {
        f->started = f->current = false;
        c->follow_dirty = true;
    }
    os_mutex_unlock(&c->lock);
}

static void mark_current(struct cluster *c, const struct log_part *part)
{
    os_mutex_lock(&c->lock);
    struct cluster_follow *f = cluster_follow_of(c, part);
    if (f && f->started)
        f->current = true;
    os_cond_broadcast(&c->changed);
    os_mutex_unlock(&c->lock);
    kafka_store_wake(c->store);
}

static void mark_diverged(struct cluster *c, struct log_part *part, int64_t end)
{
    os_mutex_lock(&c->lock);
    struct cluster_follow *f = cluster_follow_of(c, part);
    bool news = f && !f->diverged;
    if (f)
        f->diverged = true;
    os_cond_broadcast(&c->changed);
    os_mutex_unlock(&c->lock);
    if (news)
        log_report(c->log, LOG_ERROR,
                   "event=cluster_diverged topic=%s partition=%u copy_end=%lld cluster_end=%lld "
                   "note=\"the cluster has lost records, or the topic was made anew: what it gets "
                   "is no longer copied; a new data folder begins with what the cluster has\"",
                   part->topic->name, part->number, (long long)log_part_end(part), (long long)end);
}

/* What the copy ends with is not on the cluster: retention was faster than we, or the cluster has
 * less than the copy. */
static void find_place(struct cluster *c, const struct kafka_event *event)
{
    struct log_part *part = part_of(c, event);
    int64_t start = 0;
    int64_t end = 0;
    if (!part)
        return;
    if (kafka_store_range(c->store, part->topic->name, part->number, CLUSTER_CONTACT_MS, &start,
                          &end) != ERR_OK) {
        os_sleep_us(CLUSTER_RETRY_US);
    } else if (log_part_end(part) > end) {
        mark_diverged(c, part, end);
    } else if (log_part_end(part) < start) {
        log_report(c->log, LOG_WARN,
                   "event=cluster_gap topic=%s partition=%u offset=%lld next=%lld note=\"the "
                   "cluster has removed what was not copied yet\"",
                   part->topic->name, part->number, (long long)log_part_end(part),
                   (long long)start);
        os_mutex_lock(&c->lock);
        struct cluster_follow *f = cluster_follow_of(c, part);
        if (f)
            f->start = start;
        os_mutex_unlock(&c->lock);
    }
    start_again(c, part);
}

/* Writing ------------------------------------------------------------------------------------- */

static void flush(struct cluster *c, struct gathered *g)
{
    struct log_part *part = g->part;
    if (!part)
        return;
    enum err error = log_place(part, g->batch);
    *g = (struct gathered){0};
    if (error != ERR_OK) {
        log_report(c->log, LOG_ERROR,
                   "event=cluster_copy_failed topic=%s partition=%u offset=%lld error=\"%s\"",
                   part->topic->name, part->number, (long long)log_part_end(part), err_text(error));
        os_sleep_us(CLUSTER_RETRY_US);
        start_again(c, part);
    }
}

static void begin(struct gathered *g, struct log_part *part, const struct kafka_record *r)
{
    g->part = part;
    g->batch = log_staged_new(part->log);
    g->batch->placed = true;
    g->batch->header = (struct batch_header){
        .base_offset = r->offset,
        .base_timestamp_ms = r->timestamp_ms,
        .max_timestamp_ms = r->timestamp_ms,
        .producer_id = -1,
        .producer_epoch = -1,
        .base_sequence = -1,
    };
}

static bool fits(const struct gathered *g, const struct log_part *part,
                 const struct kafka_record *r, size_t size)
{
    return g->part == part && batch_last_offset(&g->batch->header) + 1 == r->offset &&
           g->batch->records.len + size <= CLUSTER_BATCH_BYTES;
}

static void gather(struct cluster *c, struct gathered *g, struct log_part *part,
                   const struct kafka_record *r)
{
    struct record_fields f = {r->key, r->value.ptr ? &r->value : NULL, r->value.ptr ? 1 : 0,
                              r->headers, r->header_count};
    size_t size = record_size(&f, 0, 0);
    if (!fits(g, part, r, size)) {
        flush(c, g);
        begin(g, part, r);
    }
    struct batch_header *h = &g->batch->header;
    h->last_offset_delta = (int32_t)(r->offset - h->base_offset);
    record_write(&g->batch->records, &f, r->timestamp_ms - h->base_timestamp_ms,
                 h->last_offset_delta);
    h->count++;
    if (r->timestamp_ms > h->max_timestamp_ms)
        h->max_timestamp_ms = r->timestamp_ms;
}

/* False: it is not to be copied. */
static bool is_wanted(struct cluster *c, const struct gathered *g, struct log_part *part,
                      const struct kafka_record *r)
{
    os_mutex_lock(&c->lock);
    struct cluster_follow *f = cluster_follow_of(c, part);
    bool followed = f && !f->diverged && f->started;
    os_mutex_unlock(&c->lock);
    /* Below the end: of an assignment before. */
    return followed && (g->part == part || r->offset >= log_part_next(part));
}

static void take(struct cluster *c, struct gathered *g, struct kafka_event *event)
{
    struct log_part *part = event->news == KAFKA_NOTHING ? NULL : part_of(c, event);
    if (event->news == KAFKA_RECORD && part && is_wanted(c, g, part, &event->record))
        gather(c, g, part, &event->record);
    if (event->news == KAFKA_END || event->news == KAFKA_RANGE)
        flush(c, g);
    if (event->news == KAFKA_END && part)
        mark_current(c, part);
    if (event->news == KAFKA_RANGE)
        find_place(c, event);
    kafka_store_let_go(c->store, event);
}

/* The thread ---------------------------------------------------------------------------------- */

static bool is_dirty(struct cluster *c)
{
    os_mutex_lock(&c->lock);
    bool dirty = c->follow_dirty;
    os_mutex_unlock(&c->lock);
    return dirty;
}

void cluster_follow_run(void *arg)
{
    struct cluster *c = arg;
    struct gathered g = {0};
    struct kafka_event event;
    while (!atomic_load(&c->stopping)) {
        if (is_dirty(c)) {
            flush(c, &g);
            assign(c);
        }
        /* What comes at once is written together. */
        kafka_store_next(c->store, g.part ? 0 : CLUSTER_POLL_MS, &event);
        if (event.news == KAFKA_NOTHING && g.part) {
            kafka_store_let_go(c->store, &event);
            flush(c, &g);
            cluster_settle(c);
            continue;
        }
        take(c, &g, &event);
    }
    flush(c, &g);
}
