/* The spool's way to the cluster: one thread that reads it in order, sends, and removes what the
 * cluster has. */
#include "log/cluster_int.h"

static bool is_behind(struct cluster_mark a, struct cluster_mark b)
{
    return a.run < b.run || (a.run == b.run && a.number <= b.number);
}

/* Beginning, or beginning again --------------------------------------------------------------- */

static bool all_current(struct cluster *c)
{
    bool current = !c->follow_dirty;
    for (size_t i = 0; i < c->follow_count; i++)
        current = current && (c->follows[i].current || c->follows[i].diverged);
    return current;
}

/* This folder's newest record on the partition. */
static enum err find_mark(struct cluster *c, struct log_part *part, struct cluster_mark *ret_mark)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    TRY(log_cursor_open(part, log_part_end(part), LOG_BACKWARD, &cursor));
    enum err error;
    while ((error = log_cursor_next(cursor, &entry)) == ERR_OK && entry)
        if (cluster_mark_of(c, entry, ret_mark))
            break;
    log_cursor_close(cursor);
    return error;
}

/* The copies are current: learn from them what has been sent, and read the spool from its first
 * record that is not settled. */
static enum err resume(struct cluster *c)
{
    int64_t base = cluster_base(c);
    os_mutex_lock(&c->lock);
    size_t count = c->follow_count;
    os_mutex_unlock(&c->lock);
    for (size_t i = 0; i < count && base < log_part_end(c->spool); i++) {
        struct cluster_mark mark = {0};
        os_mutex_lock(&c->lock);
        struct log_part *part = c->follows[i].part;
        os_mutex_unlock(&c->lock);
        TRY(find_mark(c, part, &mark));
        os_mutex_lock(&c->lock);
        c->follows[i].mark = mark;
        os_mutex_unlock(&c->lock);
    }
    log_cursor_close(c->cursor);
    c->cursor = NULL;
    TRY(log_cursor_open(c->spool, base, LOG_FORWARD, &c->cursor));
    c->sent_to = base;
    c->resumed = true;
    return ERR_OK;
}

static void renew(struct cluster *c)
{
    struct buf detail BUF_AUTO;
    buf_init(&detail, 1024);
    cluster_begin_spooling(c, "the producer was refused");
    enum err error = kafka_store_renew(c->store, &detail);
    if (error != ERR_OK) {
        log_report(c->log, LOG_ERROR, "event=cluster_producer_failed error=\"%.*s\"",
                   STR_ARG(buf_str(&detail)));
        os_sleep_us(CLUSTER_RETRY_US);
        return;
    }
    cluster_follow_again(c);
    c->renew = false;
    c->resumed = false;
}

/* Sending ------------------------------------------------------------------------------------- */

struct target {
    char topic[LOG_TOPIC_NAME_MAX + 1];
    uint32_t partition;
    struct log_part *part;
};

static bool read_target(struct cluster *c, const struct log_entry *e, struct target *ret_target)
{
    const struct str *to = log_entry_header(e, STR(CLUSTER_TO));
    uint64_t partition = 0;
    if (!to)
        return false;
    struct str rest = *to;
    struct str name = str_split(&rest, '/');
    if (!log_topic_name_valid(name) || str_to_u64(rest, &partition) != ERR_OK)
        return false;
    struct log_topic *topic = log_topic_find(c->log, name);
    ret_target->part = topic ? log_topic_part(topic, (uint32_t)partition) : NULL;
    memcpy(ret_target->topic, name.ptr, name.len);
    ret_target->topic[name.len] = 0;
    ret_target->partition = (uint32_t)partition;
    return ret_target->part != NULL;
}

static enum err send_entry(struct cluster *c, const struct log_entry *e, const struct target *t)
{
    struct record_header headers[LOG_HEADERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < e->header_count; i++)
        if (!str_eq(e->headers[i].name, STR(CLUSTER_TO)))
            headers[count++] = e->headers[i];
    struct kafka_record record = {.timestamp_ms = e->timestamp_ms,
                                  .key = e->key,
                                  .value = e->value,
                                  .headers = headers,
                                  .header_count = count};
    return kafka_store_send(c->store, t->topic, t->partition, &record,
                            (void *)(uintptr_t)(e->offset + 1));
}

static void note_delivered(struct cluster *c, int64_t spool_offset, struct log_part *part,
                           int64_t offset)
{
    os_mutex_lock(&c->lock);
    struct cluster_entry *entry = cluster_entry_at(c, spool_offset);
    if (entry) {
        struct cluster_follow *follow = part ? cluster_follow_of(c, part) : NULL;
        entry->delivered = true;
        entry->offset = offset;
        entry->part = follow && !follow->diverged ? part : NULL;
    }
    os_mutex_unlock(&c->lock);
}

static bool was_sent(struct cluster *c, const struct log_entry *e, const struct log_part *part)
{
    struct cluster_mark mark;
    if (!cluster_mark_of(c, e, &mark))
        return false;
    os_mutex_lock(&c->lock);
    const struct cluster_follow *follow = cluster_follow_of(c, part);
    bool sent = follow && is_behind(mark, follow->mark);
    os_mutex_unlock(&c->lock);
    return sent;
}

/* Keep, here, what the cluster will never take. */
static void set_aside(struct cluster *c, const struct log_entry *e, struct str reason)
{
    struct log_topic_config config = LOG_TOPIC_CONFIG_DEFAULT;
    struct log_topic *topic = NULL;
    int64_t offset;
    config.keep = true;
    struct log_record record = {.timestamp_ms = e->timestamp_ms,
                                .key = e->key,
                                .value = e->value.ptr ? &e->value : NULL,
                                .value_parts = e->value.ptr ? 1 : 0,
                                .headers = e->headers,
                                .header_count = e->header_count};
    enum err error = log_topic_open(c->log, STR(CLUSTER_REFUSED), &config, &topic);
    if (error == ERR_OK)
        error = log_append_wait(log_topic_part(topic, 0), &record, LOG_ACK_SYNC, &offset);
    log_report(c->log, LOG_ERROR, "event=cluster_refused kept=%s reason=\"%.*s\"",
               error == ERR_OK ? CLUSTER_REFUSED : err_text(error), STR_ARG(reason));
    os_mutex_lock(&c->lock);
    c->refused_total++;
    os_mutex_unlock(&c->lock);
}

static void refuse(struct cluster *c, int64_t spool_offset, struct str reason)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    if (log_cursor_open(c->spool, spool_offset, LOG_FORWARD, &cursor) != ERR_OK)
        return;
    if (log_cursor_next(cursor, &entry) == ERR_OK && entry && entry->offset == spool_offset)
        set_aside(c, entry, reason);
    log_cursor_close(cursor);
    note_delivered(c, spool_offset, NULL, -1);
}

void cluster_delivered(void *arg, void *opaque, enum err error, int64_t offset, struct str reason)
{
    struct cluster *c = arg;
    int64_t spool_offset = (int64_t)(uintptr_t)opaque - 1;
    if (error == ERR_CLOSED) {
        c->renew = true;
        return;
    }
    if (error != ERR_OK) {
        refuse(c, spool_offset, reason);
        return;
    }
    os_mutex_lock(&c->lock);
    c->delivered_total++;
    struct cluster_entry *entry = cluster_entry_at(c, spool_offset);
    struct log_part *part = entry ? entry->part : NULL;
    os_mutex_unlock(&c->lock);
    if (entry)
        note_delivered(c, spool_offset, part, offset);
}

/* True when there may be more. */
static bool send_next(struct cluster *c)
{
    const struct log_entry *e = NULL;
    struct target target;
    if (c->sent_to - cluster_base(c) >= CLUSTER_WINDOW)
        return false;
    if (log_cursor_next(c->cursor, &e) != ERR_OK || !e)
        return false;
    for (; c->sent_to < e->offset; c->sent_to++)
        note_delivered(c, c->sent_to, NULL, -1); /* damaged, and reported by the cursor */
    if (!read_target(c, e, &target)) {
        refuse(c, e->offset, STR("its topic is not there"));
    } else if (was_sent(c, e, target.part)) {
        note_delivered(c, e->offset, NULL, -1);
    } else {
        os_mutex_lock(&c->lock);
        cluster_entry_at(c, e->offset)->part = target.part;
        os_mutex_unlock(&c->lock);
        enum err error = send_entry(c, e, &target);
        if (error == ERR_BUSY) {
            log_cursor_close(c->cursor);
            c->cursor = NULL;
            return false;
        }
        if (error == ERR_CLOSED)
            c->renew = true;
        else if (error != ERR_OK)
            refuse(c, e->offset, str_from_c(err_text(error)));
    }
    c->sent_to = e->offset + 1;
    return !c->renew;
}

static void send_some(struct cluster *c)
{
    if (!c->cursor && log_cursor_open(c->spool, c->sent_to, LOG_FORWARD, &c->cursor) != ERR_OK)
        return;
    while (send_next(c) && !atomic_load(&c->stopping))
        ;
    if (c->earlier_bytes && cluster_base(c) >= c->own_from) {
        atomic_fetch_sub(&c->pending_bytes, c->earlier_bytes);
        c->earlier_bytes = 0;
    }
}

/* The thread ---------------------------------------------------------------------------------- */

static void trim(struct cluster *c)
{
    int64_t start;
    uint64_t now = os_now_us();
    int64_t base = cluster_base(c);
    if (now < c->trim_due_us || base == c->trimmed_to)
        return;
    c->trim_due_us = now + CLUSTER_TRIM_US;
    if (log_part_delete_before(c->spool, base, &start) == ERR_OK)
        c->trimmed_to = base;
}

static void on_spool_grew(struct log_watch *watch)
{
    struct cluster *c = (struct cluster *)((char *)watch - offsetof(struct cluster, watch));
    kafka_store_wake(c->store);
}

static void try_resume(struct cluster *c)
{
    os_mutex_lock(&c->lock);
    bool ready = all_current(c);
    os_mutex_unlock(&c->lock);
    if (ready && resume(c) != ERR_OK)
        os_sleep_us(CLUSTER_RETRY_US);
}

void cluster_drain_run(void *arg)
{
    struct cluster *c = arg;
    c->watch = (struct log_watch){.wake = on_spool_grew};
    while (!atomic_load(&c->stopping)) {
        if (c->renew)
            renew(c);
        if (!c->resumed)
            try_resume(c);
        if (c->resumed && !c->renew)
            send_some(c);
        log_watch_remove(&c->watch);
        bool more = log_watch_add(c->spool, &c->watch, c->sent_to) && c->resumed &&
                    c->sent_to - cluster_base(c) < CLUSTER_WINDOW && c->cursor;
        kafka_store_poll(c->store, more ? 0 : CLUSTER_POLL_MS);
        cluster_settle(c);
        cluster_watch_time(c);
        trim(c);
    }
    log_watch_remove(&c->watch);
    log_cursor_close(c->cursor);
    c->cursor = NULL;
}
