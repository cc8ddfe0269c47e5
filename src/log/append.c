/* Appends: a record is encoded straight into the partition's staged batch, where it will not be
 * touched again but to be compressed and written. */
#include "log/log_int.h"

/* The longest timestamp and offset deltas, over the ones that record_size was asked about. */
enum { DELTA_SLACK_BYTES = 16 };

struct log_staged *log_staged_new(struct log *log)
{
    os_mutex_lock(&log->pool_lock);
    struct log_staged *b = log->spare_staged;
    if (b) {
        log->spare_staged = b->next;
        log->spare_staged_count--;
    }
    os_mutex_unlock(&log->pool_lock);
    if (!b) {
        b = NEW(struct log_staged);
        buf_init(&b->records, LOG_BATCH_MAX_BYTES + LOG_BATCH_TARGET_BYTES);
    }
    b->next = NULL;
    b->marker = BATCH_MARKER_NONE;
    return b;
}

void log_staged_free(struct log *log, struct log_staged *b)
{
    if (b->records.cap > LOG_SPARE_STAGED_BYTES)
        buf_release(&b->records);
    buf_reset(&b->records);
    atomic_fetch_sub(&log->pending_bytes, b->pending_bytes);
    *b = (struct log_staged){.records = b->records};
    os_mutex_lock(&log->pool_lock);
    bool keep = log->spare_staged_count < LOG_SPARE_STAGED_MAX;
    if (keep) {
        b->next = log->spare_staged;
        log->spare_staged = b;
        log->spare_staged_count++;
    }
    os_mutex_unlock(&log->pool_lock);
    if (!keep) {
        buf_release(&b->records);
        mem_free(b);
    }
}

/* Count the bytes as waiting, or refuse them. */
static enum err admit(struct log *log, size_t bytes)
{
    uint64_t before = atomic_fetch_add(&log->pending_bytes, bytes);
    if (before + bytes <= LOG_PENDING_MAX_BYTES)
        return ERR_OK;
    atomic_fetch_sub(&log->pending_bytes, bytes);
    return ERR_BUSY;
}

static void stage_batch(struct log_part *part, struct log_staged *b)
{
    *(part->staged_last ? &part->staged_last->next : &part->staged_first) = b;
    part->staged_last = b;
}

/* The batch that takes a record of that size; a new one when the last is full. */
static struct log_staged *batch_for(struct log_part *part, size_t size, int64_t timestamp_ms)
{
    struct log_staged *b = part->staged_last;
    if (b && !b->whole && !b->packed && b->records.len + size <= LOG_BATCH_TARGET_BYTES)
        return b;
    b = log_staged_new(part->log);
    b->header = (struct batch_header){
        .base_timestamp_ms = timestamp_ms,
        .max_timestamp_ms = timestamp_ms,
        .producer_id = -1,
        .producer_epoch = -1,
        .base_sequence = -1,
    };
    stage_batch(part, b);
    return b;
}

static void attach(struct log_part *part, struct log_staged *b, struct log_append *append,
                   size_t bytes)
{
    append->error = ERR_OK;
    append->offset = -1;
    append->append_ms = -1;
    append->next = NULL;
    append->sync_ =
        append->ack == LOG_ACK_SYNC ||
        (append->ack == LOG_ACK_TOPIC &&
         atomic_load_explicit(&part->topic->durability, memory_order_relaxed) == LOG_SYNC);
    *(b->last ? &b->last->next : &b->first) = append;
    b->last = append;
    b->pending_bytes += bytes;
}

/* Have it written. The stage lock is released. */
static void hand_over(struct log_part *part, bool was_queued, bool lazy)
{
    if (!was_queued)
        log_commit_queue_push(part->log, part);
    if (!lazy)
        log_committer_wake(part->log);
}

static enum err check_part(const struct log_part *part)
{
    if (part->log->options.read_only)
        return ERR_ACCESS;
    return atomic_load(&part->log->failed) ? ERR_CLOSED : ERR_OK;
}

static void stage_record(struct log_part *part, const struct record_fields *f, int64_t timestamp_ms,
                         size_t size, struct log_append *append)
{
    struct log_staged *b = batch_for(part, size, timestamp_ms);
    record_write(&b->records, f, timestamp_ms - b->header.base_timestamp_ms, b->header.count);
    ASSERT(b->records.error == ERR_OK);
    b->header.last_offset_delta = b->header.count++;
    if (timestamp_ms > b->header.max_timestamp_ms)
        b->header.max_timestamp_ms = timestamp_ms;
    attach(part, b, append, size);
}

enum err log_append(struct log_part *part, const struct log_record *record,
                    struct log_append *append)
{
    struct record_fields f = {record->key, record->value, record->value_parts, record->headers,
                              record->header_count};
    int64_t timestamp_ms = record->timestamp_ms < 0 ? os_wall_us() / 1000 : record->timestamp_ms;
    TRY(check_part(part));
    if (atomic_load_explicit(&part->topic->remote, memory_order_relaxed))
        return log_cluster_append(part, record, append);
    if (record->header_count > LOG_HEADERS_MAX)
        return ERR_TOO_LARGE;
    size_t size = record_size(&f, 0, 0) + DELTA_SLACK_BYTES;
    if (size > LOG_RECORD_MAX_BYTES)
        return ERR_TOO_LARGE;
    TRY(admit(part->log, size));
    bool lazy = append->lazy;
    os_mutex_lock(&part->stage_lock);
    enum err error = part->fenced;
    bool was_queued = part->queued;
    if (error == ERR_OK) {
        stage_record(part, &f, timestamp_ms, size, append);
        part->queued = true;
    }
    os_mutex_unlock(&part->stage_lock);
    if (error == ERR_OK)
        hand_over(part, was_queued, lazy);
    else
        atomic_fetch_sub(&part->log->pending_bytes, size);
    return error;
}

/* A producer's batch -------------------------------------------------------------------------- */

/* In a topic that is compacted every record needs a key. */
static enum err check_keys(const struct batch_header *h, struct str batch)
{
    struct buf unpacked BUF_AUTO;
    struct record_view r;
    buf_init(&unpacked, LOG_UNPACKED_MAX_BYTES);
    struct compress *compress = compress_new();
    enum err e = batch_unpack(compress, h, batch, LOG_UNPACKED_MAX_BYTES, &unpacked);
    struct str rest = buf_str(&unpacked);
    for (int32_t i = 0; i < h->count && e == ERR_OK; i++) {
        e = record_read(&rest, &r);
        if (e == ERR_OK && !r.key.ptr)
            e = ERR_INVALID;
    }
    compress_free(compress);
    return e;
}

static enum err check_batch(const struct log_part *part, struct str batch,
                            struct batch_header *ret_header)
{
    struct batch_header h;
    if (batch.len > atomic_load_explicit(&part->topic->batch_max_bytes, memory_order_relaxed))
        return ERR_TOO_LARGE;
    TRY(batch_check(batch, &h));
    if (h.size_bytes != batch.len)
        return ERR_INVALID;
    if (h.count < 1 || h.last_offset_delta != h.count - 1 || (h.attributes & BATCH_CONTROL))
        return ERR_INVALID;
    if (h.producer_id >= 0 && (h.producer_epoch < 0 || h.base_sequence < 0))
        return ERR_INVALID;
    if (batch_codec(&h) >= COMPRESS_COUNT)
        return ERR_UNSUPPORTED;
    if (batch_codec(&h) == COMPRESS_NONE)
        TRY(batch_records_check(&h, str_skip(batch, BATCH_HEADER_BYTES)));
    if (atomic_load_explicit(&part->topic->keys_needed, memory_order_relaxed))
        TRY(check_keys(&h, batch));
    *ret_header = h;
    return ERR_OK;
}

static enum err append_whole(struct log_part *part, struct str batch, const struct batch_header *h,
                             enum batch_marker marker, struct log_append *append)
{
    TRY(admit(part->log, batch.len));
    bool lazy = append->lazy;
    struct log_staged *b = log_staged_new(part->log);
    b->whole = true;
    b->marker = marker;
    b->header = *h;
    buf_append_str(&b->records, batch);
    os_mutex_lock(&part->stage_lock);
    enum err error = part->fenced;
    bool was_queued = part->queued;
    if (error == ERR_OK) {
        stage_batch(part, b);
        attach(part, b, append, batch.len);
        part->queued = true;
    }
    os_mutex_unlock(&part->stage_lock);
    if (error == ERR_OK) {
        hand_over(part, was_queued, lazy);
        return ERR_OK;
    }
    b->pending_bytes = batch.len;
    log_staged_free(part->log, b);
    return error;
}

enum err log_append_batch(struct log_part *part, struct str batch, struct log_append *append)
{
    struct batch_header h;
    TRY(check_part(part));
    if (atomic_load_explicit(&part->topic->remote, memory_order_relaxed))
        return ERR_UNSUPPORTED;
    TRY(check_batch(part, batch, &h));
    return append_whole(part, batch, &h, BATCH_MARKER_NONE, append);
}

enum err log_append_own(struct log_part *part, struct str batch, struct log_append *append)
{
    struct batch_header h;
    enum batch_marker marker = BATCH_MARKER_NONE;
    TRY(check_part(part));
    TRY(batch_check(batch, &h));
    if (h.attributes & BATCH_CONTROL)
        TRY(batch_marker_read(batch, &marker));
    return append_whole(part, batch, &h, marker, append);
}

/* A cluster's records --------------------------------------------------------------------------
 */

enum err log_place(struct log_part *part, struct log_staged *batch)
{
    int64_t end = batch_last_offset(&batch->header) + 1;
    ASSERT(batch->placed && !batch->first && batch->records.error == ERR_OK);
    os_mutex_lock(&part->stage_lock);
    stage_batch(part, batch);
    os_mutex_unlock(&part->stage_lock);
    os_mutex_lock(&part->commit_lock);
    log_part_commit(part, false);
    bool written = part->next_offset >= end;
    os_mutex_unlock(&part->commit_lock);
    if (written && atomic_load(&part->topic->durability) == LOG_SYNC)
        log_sync_part(part); /* readers wait for it */
    if (written)
        return ERR_OK;
    return atomic_load(&part->log->failed) ? ERR_CLOSED : ERR_QUOTA;
}

/* Waiting ------------------------------------------------------------------------------------- */

struct waiter {
    struct log_append append; /* first: done() gets this */
    struct os_mutex lock;
    struct os_cond cond;
    bool over;
};

static void wake_waiters(struct log_append *first)
{
    for (struct log_append *next; first; first = next) {
        struct waiter *w = (struct waiter *)first;
        next = first->next;
        os_mutex_lock(&w->lock);
        w->over = true;
        os_cond_signal(&w->cond);
        os_mutex_unlock(&w->lock);
    }
}

enum err log_append_wait(struct log_part *part, const struct log_record *record, enum log_ack ack,
                         int64_t *ret_offset)
{
    struct waiter w = {.append = {.done = wake_waiters, .ack = ack}};
    bool manual = part->log->options.manual;
    os_mutex_init(&w.lock);
    os_cond_init(&w.cond);
    enum err error = log_append(part, record, &w.append);
    if (error == ERR_OK) {
        while (manual && !w.over && (log_run_commit(part->log) || log_run_sync(part->log)))
            ;
        os_mutex_lock(&w.lock);
        while (!w.over)
            os_cond_wait(&w.cond, &w.lock);
        os_mutex_unlock(&w.lock);
        error = w.append.error;
    }
    if (error == ERR_OK)
        *ret_offset = w.append.offset;
    os_cond_release(&w.cond);
    os_mutex_release(&w.lock);
    return error;
}
