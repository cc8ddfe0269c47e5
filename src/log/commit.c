/* From staged batches to the file: everything that is pending on a partition in as few writes as
 * LOG_GROUP_BATCHES_MAX and LOG_GROUP_BYTES_MAX allow.
 *
 *     staged -> packed (compressed, once) -> stamped (offset, CRC) -> one write
 *            -> index, readers, done()
 *
 * Offsets are given out at the write, so a group that fails leaves no gap. */
#include "log/log_int.h"

enum {
    PACK_MIN_BYTES = 256,        /* smaller records are not worth a codec's frame */
    PACK_LARGE_BYTES = 64 << 10, /* records above it, on average, are packed if it pays */
};

/* The queue of partitions with staged batches ------------------------------------------------- */

static struct log_part *queue_pop(struct log *log)
{
    struct log_part_queue *q = &log->commit_queue;
    struct log_part *part = q->first;
    if (part) {
        q->first = part->commit_next;
        part->commit_next = NULL;
    }
    return part;
}

void log_commit_queue_push(struct log *log, struct log_part *part)
{
    struct log_part_queue *q = &log->commit_queue;
    os_mutex_lock(&log->commit_queue_lock);
    *(q->first ? &q->last->commit_next : &q->first) = part;
    q->last = part;
    os_mutex_unlock(&log->commit_queue_lock);
}

/* The committer looks at the queue after it has said that it sleeps, so whoever pushed before
 * reading that either is seen by it or sees it asleep. */
void log_committer_wake(struct log *log)
{
    if (!atomic_load(&log->committer_asleep))
        return;
    os_mutex_lock(&log->commit_queue_lock);
    os_cond_signal(&log->commit_wanted);
    os_mutex_unlock(&log->commit_queue_lock);
}

/* What a committing thread works with --------------------------------------------------------- */

static struct log_scratch *scratch_take(struct log *log)
{
    os_mutex_lock(&log->pool_lock);
    struct log_scratch *scratch = log->scratches;
    if (scratch)
        log->scratches = scratch->next;
    os_mutex_unlock(&log->pool_lock);
    if (!scratch) {
        scratch = NEW(struct log_scratch);
        scratch->compress = compress_new();
        buf_init(&scratch->packed, LOG_BATCH_MAX_BYTES + LOG_BATCH_TARGET_BYTES);
    }
    return scratch;
}

static void scratch_give(struct log *log, struct log_scratch *scratch)
{
    if (scratch->packed.cap > LOG_SPARE_STAGED_BYTES)
        buf_release(&scratch->packed);
    os_mutex_lock(&log->pool_lock);
    scratch->next = log->scratches;
    log->scratches = scratch;
    os_mutex_unlock(&log->pool_lock);
}

/* Ending appends ------------------------------------------------------------------------------ */

void log_done_add(struct log_done *done, struct log_append *append)
{
    size_t i = 0;
    while (i < done->count && (done->lists[i].first->owner != append->owner ||
                               done->lists[i].first->done != append->done))
        i++;
    if (i == LOG_DONE_OWNERS) {
        log_done_run(done);
        i = 0;
    }
    append->next = NULL;
    if (i == done->count) {
        done->lists[i].first = append;
        done->count++;
    } else {
        done->lists[i].last->next = append;
    }
    done->lists[i].last = append;
}

void log_done_run(struct log_done *done)
{
    for (size_t i = 0; i < done->count; i++)
        done->lists[i].first->done(done->lists[i].first);
    done->count = 0;
}

void log_fail_appends(struct log *log, struct log_append *first, enum err error)
{
    struct log_done done = {.count = 0};
    for (struct log_append *next; first; first = next) {
        next = first->next;
        first->error = error;
        first->offset = -1;
        atomic_fetch_add(&log->stats.append_errors, 1);
        log_done_add(&done, first);
    }
    log_done_run(&done);
}

/* A group ------------------------------------------------------------------------------------- */

struct group {
    struct log_staged *first;
    struct log_staged *last;
    size_t count;
    size_t markers;
    uint64_t bytes;
};

static uint64_t staged_bytes(const struct log_staged *b)
{
    return b->records.len + (b->whole ? 0 : BATCH_HEADER_BYTES);
}

/* Compress the records, once, if that makes them smaller. */
static void pack(struct log_part *part, struct log_staged *b, struct log_scratch *scratch)
{
    if (b->packed)
        return;
    b->packed = true;
    enum compress_codec codec = (enum compress_codec)atomic_load(&part->topic->compression);
    if (b->whole || codec == COMPRESS_NONE || b->records.len < PACK_MIN_BYTES)
        return;
    buf_reset(&scratch->packed);
    /* The committing thread is mostly an event loop's: what is large must not hold it up. */
    bool large = b->records.len / (size_t)b->header.count > PACK_LARGE_BYTES;
    if (large && !compress_pays(scratch->compress, codec, buf_str(&b->records)))
        return;
    enum err error =
        compress_write(scratch->compress, codec, buf_str(&b->records), &scratch->packed);
    if (error != ERR_OK || scratch->packed.len >= b->records.len)
        return;
    struct buf records = b->records;
    b->records = scratch->packed;
    scratch->packed = records;
    b->header.attributes = (uint16_t)codec;
}

static bool segment_is_full(struct log_part *part, uint64_t bytes, int64_t offsets)
{
    const struct log_segment *s = part->active;
    return s->size > 0 &&
           (s->size + bytes > atomic_load(&part->topic->segment_bytes) ||
            part->next_offset + offsets - s->base_offset > INT32_MAX ||
            os_wall_us() / 1000 - s->created_ms >= atomic_load(&part->topic->segment_ms));
}

/* The batch's first offset, when the one before it ends at offset. */
static int64_t place_of(const struct log_staged *b, int64_t offset)
{
    return b->placed && b->header.base_offset > offset ? b->header.base_offset : offset;
}

static int64_t offsets_of(const struct log_part *part, const struct group *g)
{
    int64_t offset = part->next_offset;
    for (const struct log_staged *b = g->first; b; b = b->next)
        offset = place_of(b, offset) + b->header.last_offset_delta + 1;
    return offset - part->next_offset;
}

/* A failed write may have left whole batches behind the end: they must not come back after a crash.
 */
static enum err cut_tail(struct log_part *part)
{
    struct os_file *file = NULL;
    if (!part->cut_needed)
        return ERR_OK;
    TRY(log_segment_hold(part->active, &file));
    enum err error = os_file_truncate(file, part->active->size);
    log_segment_drop(part->active);
    TRY(error);
    part->cut_needed = false;
    log_quota_return(part->log, part->cut_cost);
    part->cut_cost = 0;
    return ERR_OK;
}

/* Index files that a clean stop left would tell of an older segment if they survived a crash. */
static enum err remove_stale_index(struct log_part *part)
{
    static const char *const suffixes[] = {".index", ".timeindex"};
    char path[OS_PATH_MAX];
    for (size_t i = 0; part->index_is_stale && i < 2; i++) {
        log_segment_path(part, part->active->base_offset, suffixes[i], path);
        enum err error = os_fs_remove(part->log->fs, path);
        if (error != ERR_OK && error != ERR_NOT_FOUND)
            return error;
    }
    part->index_is_stale = false;
    return ERR_OK;
}

/* An active segment that takes the group, and quota for the most that it can grow. */
static enum err make_ready(struct log_part *part, const struct group *g, bool fast,
                           uint64_t *ret_cost)
{
    struct log *log = part->log;
    if (!part->active)
        part->next_offset = place_of(g->first, part->next_offset);
    int64_t offsets = offsets_of(part, g);
    if (fast && (!part->active || part->cut_needed || part->index_is_stale ||
                 segment_is_full(part, g->bytes, offsets)))
        return ERR_BUSY;
    for (;;) {
        if (part->active)
            TRY(cut_tail(part));
        if (!part->active || segment_is_full(part, g->bytes, offsets)) {
            if (part->unsealed >= LOG_UNSEALED_MAX)
                log_sync_part(part); /* the disk is behind: wait for it */
            TRY(log_part_roll(part));
        }
        TRY(remove_stale_index(part));
        struct log_segment *s = part->active;
        uint64_t cost =
            log_segment_cost(s->size + g->bytes,
                             s->index->offsets.len / LOG_OFFSET_ENTRY_BYTES + g->count,
                             s->index->times.len / LOG_TIME_ENTRY_BYTES + g->count + 1) +
            s->side_cost + log_aborted_cost(s, g->markers);
        uint64_t more = cost - s->cost;
        *ret_cost = cost;
        if (log_quota_take(log, more))
            return ERR_OK;
        if (fast)
            return ERR_BUSY;
        TRY(log_quota_make(log, more, part));
        if (part->active == s)
            return ERR_OK;
        log_quota_return(log, more); /* it was the active segment that went */
    }
}

/* Give out offsets and CRCs. Returns the number of parts to write. */
static int stamp(struct log_part *part, struct group *g, struct log_scratch *scratch)
{
    int parts = 0;
    size_t at = 0;
    int64_t offset = part->next_offset;
    int32_t epoch = atomic_load(&part->leader_epoch);
    bool append_time = atomic_load_explicit(&part->topic->append_time, memory_order_relaxed);
    int64_t now_ms = append_time ? os_wall_us() / 1000 : 0;
    for (struct log_staged *b = g->first; b; b = b->next, at++) {
        b->header.base_offset = offset = place_of(b, offset);
        b->header.leader_epoch = epoch;
        if (append_time) {
            b->header.max_timestamp_ms = now_ms;
            b->header.attributes |= BATCH_APPEND_TIME;
            if (b->whole)
                batch_stamp_time(b->records.ptr, b->records.len, now_ms);
        }
        if (b->whole) {
            batch_stamp(b->records.ptr, offset, epoch);
        } else {
            struct str records = buf_str(&b->records);
            batch_header_write(&b->header, &records, 1, scratch->headers[at]);
            scratch->parts[parts++] = (struct iovec){scratch->headers[at], BATCH_HEADER_BYTES};
        }
        scratch->parts[parts++] = (struct iovec){b->records.ptr, b->records.len};
        offset = batch_last_offset(&b->header) + 1;
    }
    return parts;
}

static enum err write_group(struct log_part *part, struct group *g, struct log_scratch *scratch)
{
    struct log_segment *s = part->active;
    struct os_file *file = NULL;
    int parts = stamp(part, g, scratch);
    TRY(log_segment_hold(s, &file));
    enum err error = os_file_write(file, scratch->parts, parts, s->size);
    if (error != ERR_OK)
        log_segment_drop(s);
    return error; /* else held: see record_group */
}

/* The group is in the file: tell the index and the readers. */
static void record_group(struct log_part *part, const struct group *g, uint64_t reserved)
{
    struct log_segment *s = part->active;
    bool now_visible = atomic_load(&part->topic->durability) == LOG_WRITE;
    os_mutex_lock(&part->view_lock);
    for (const struct log_staged *b = g->first; b; b = b->next) {
        log_index_add(s->index, s->base_offset, &b->header, s->size);
        s->size += b->header.size_bytes;
        s->next_offset = batch_last_offset(&b->header) + 1;
        if (b->marker == BATCH_MARKER_ABORT && b->ended.first >= 0)
            log_aborted_add(&s->aborted, b->header.producer_id, &b->ended, b->header.base_offset);
    }
    if (part->producers)
        part->first_open = part->producers->first_open;
    uint64_t cost = log_segment_cost(s->size, s->index->offsets.len / LOG_OFFSET_ENTRY_BYTES,
                                     s->index->times.len / LOG_TIME_ENTRY_BYTES + 1) +
                    s->side_cost + log_aborted_cost(s, 0);
    s->cost = cost;
    s->touched_us = os_now_us();
    bool was_dirty = s->dirty;
    s->dirty = true;
    part->next_offset = part->written_offset = s->next_offset;
    if (now_visible)
        log_part_publish(part, s, s->size, s->next_offset);
    os_mutex_unlock(&part->view_lock);
    log_quota_return(part->log, reserved - cost);
    if (was_dirty)
        log_segment_drop(s);
}

static void wait_for_sync(struct log_part *part, struct log_append *append)
{
    os_mutex_lock(&part->view_lock);
    append->next = NULL;
    *(part->waiting_first ? &part->waiting_last->next : &part->waiting_first) = append;
    part->waiting_last = append;
    os_mutex_unlock(&part->view_lock);
}

/* Offsets for the appends; those that wait for no sync are done. True when others do. */
static bool finish_group(struct log_part *part, const struct group *g, struct log_done *done)
{
    bool waits = false;
    uint64_t acknowledged = 0;
    for (const struct log_staged *b = g->first; b; b = b->next) {
        int64_t offset = b->header.base_offset;
        for (struct log_append *a = b->first, *next; a; a = next) {
            next = a->next;
            a->offset = offset++;
            if (b->header.attributes & BATCH_APPEND_TIME)
                a->append_ms = b->header.max_timestamp_ms;
            waits = waits || a->sync_;
            acknowledged += !a->sync_;
            if (a->sync_)
                wait_for_sync(part, a);
            else
                log_done_add(done, a);
        }
    }
    atomic_fetch_add(&part->log->stats.appends, acknowledged);
    atomic_fetch_add(&part->log->stats.batches, g->count);
    atomic_fetch_add(&part->log->stats.bytes, g->bytes);
    return waits;
}

static void free_group(struct log *log, struct group *g)
{
    for (struct log_staged *b = g->first, *next; b; b = next) {
        next = b->next;
        log_staged_free(log, b);
    }
}

static void fail_group(struct log_part *part, struct group *g, enum err error)
{
    for (struct log_staged *b = g->first; b; b = b->next)
        log_fail_appends(part->log, b->first, error);
    /* Cut at once if it goes; before the next write if not. */
    if (part->cut_needed && cut_tail(part) != ERR_OK)
        log_report(part->log, LOG_ERROR, "event=log_cut_failed topic=%s partition=%u offset=%lld",
                   part->topic->name, part->number, (long long)part->next_offset);
}

/* A batch that is not to be written: it is on the log already, at offset, or its producer may not
 * send it. */
static void settle(struct log_part *part, struct log_staged *b, enum err verdict, int64_t offset)
{
    struct log_append *a = b->first;
    ASSERT(b->whole && a && !a->next);
    os_mutex_lock(&part->view_lock);
    bool synced = offset < part->synced_offset;
    os_mutex_unlock(&part->view_lock);
    if (verdict != ERR_EXISTS) {
        log_fail_appends(part->log, a, verdict);
    } else {
        a->offset = offset;
        if (a->sync_ && !synced) {
            wait_for_sync(part, a);
            log_sync_schedule(part, true);
        } else {
            a->done(a);
        }
    }
    log_staged_free(part->log, b);
}

/* Take the first of *rest out, if it needs no write. */
static bool settle_first(struct log_part *part, struct log_staged **rest, int64_t offset)
{
    struct log_staged *b = *rest;
    int64_t known_offset = -1;
    if (!b->whole || b->header.producer_id < 0 || b->judged)
        return false;
    enum err verdict = log_producers_judge(part, b, offset, &known_offset);
    b->judged = verdict == ERR_OK;
    if (b->judged)
        return false;
    if (verdict == ERR_EXISTS && known_offset >= part->next_offset)
        verdict = ERR_BUSY; /* the first one is just being written, and may fail */
    *rest = b->next;
    settle(part, b, verdict, known_offset);
    return true;
}

/* Take from *rest what goes into one write; that may be nothing. */
static struct group next_group(struct log_part *part, struct log_staged **rest,
                               struct log_scratch *scratch)
{
    struct group g = {0};
    uint64_t segment = part->active ? part->active->size : 0;
    uint64_t limit = atomic_load(&part->topic->segment_bytes);
    int64_t offset = part->next_offset;
    while (*rest && g.count < LOG_GROUP_BATCHES_MAX) {
        struct log_staged *b = *rest;
        pack(part, b, scratch);
        uint64_t bytes = staged_bytes(b);
        bool fits = g.bytes + bytes <= LOG_GROUP_BYTES_MAX && segment + g.bytes + bytes <= limit;
        if (g.count > 0 && !fits)
            break;
        if (settle_first(part, rest, offset))
            continue;
        offset += (int64_t)b->header.last_offset_delta + 1;
        *rest = b->next;
        b->next = NULL;
        *(g.first ? &g.last->next : &g.first) = b;
        g.last = b;
        g.count++;
        g.markers += b->marker != BATCH_MARKER_NONE;
        g.bytes += bytes;
    }
    return g;
}

/* fast: ERR_BUSY, and nothing was done, when it would take waiting. */
static enum err commit_group(struct log_part *part, struct group *g, struct log_scratch *scratch,
                             bool fast)
{
    uint64_t reserved = 0;
    bool waits = false;
    struct log_done done = {.count = 0};
    enum err error = atomic_load(&part->log->failed) ? ERR_CLOSED : ERR_OK;
    if (error == ERR_OK)
        error = make_ready(part, g, fast, &reserved);
    if (error == ERR_BUSY && fast)
        return error;
    if (error == ERR_OK) {
        error = write_group(part, g, scratch);
        if (error != ERR_OK) {
            part->cut_needed = true;
            part->cut_cost = reserved - part->active->cost;
        }
    }
    if (error == ERR_OK) {
        record_group(part, g, reserved);
        waits = finish_group(part, g, &done);
        log_sync_schedule(part, waits || atomic_load(&part->topic->durability) == LOG_SYNC);
        log_done_run(&done);
    } else {
        log_producers_forget(part);
        fail_group(part, g, error);
    }
    free_group(part->log, g);
    return ERR_OK;
}

/* What could not be written fast goes back in front of what came meanwhile. */
static void put_back(struct log_part *part, struct group *g, struct log_staged *rest)
{
    struct log_staged *last = g->last;
    last->next = rest;
    while (last->next)
        last = last->next;
    os_mutex_lock(&part->stage_lock);
    last->next = part->staged_first;
    if (!part->staged_first)
        part->staged_last = last;
    part->staged_first = g->first;
    bool was_queued = part->queued;
    part->queued = true;
    os_mutex_unlock(&part->stage_lock);
    if (!was_queued)
        log_commit_queue_push(part->log, part);
    log_committer_wake(part->log);
}

/* Producers' batches can only be judged when it is known what came before them. */
static bool may_commit(struct log_part *part, struct log_staged *rest, bool fast)
{
    bool asks = false;
    for (struct log_staged *b = rest; b; b = b->next) {
        asks |= b->whole && b->header.producer_id >= 0;
        b->judged = b->judged && part->producers;
    }
    return !asks || log_producers_ready(part, fast);
}

bool log_part_commit(struct log_part *part, bool fast)
{
    os_mutex_lock(&part->stage_lock);
    struct log_staged *rest = part->staged_first;
    part->staged_first = part->staged_last = NULL;
    part->queued = false;
    os_mutex_unlock(&part->stage_lock);
    if (!rest)
        return true;
    bool whole = true;
    struct log_scratch *scratch = scratch_take(part->log);
    while (rest && whole) {
        struct group g = {.first = rest, .last = rest};
        whole = may_commit(part, rest, fast);
        if (whole) {
            g = next_group(part, &rest, scratch);
            whole = !g.first || commit_group(part, &g, scratch, fast) == ERR_OK;
        } else {
            rest = rest->next;
        }
        if (!whole)
            put_back(part, &g, rest);
    }
    scratch_give(part->log, scratch);
    return whole;
}

/* Who commits --------------------------------------------------------------------------------- */

/* False when the part is left to the committer: it needs waiting, or another thread writes to it,
 * which may have looked at what is staged already. */
static bool commit_here(struct log_part *part)
{
    if (!os_mutex_try_lock(&part->commit_lock)) {
        log_commit_queue_push(part->log, part);
        log_committer_wake(part->log);
        return false;
    }
    bool whole = log_part_commit(part, true);
    os_mutex_unlock(&part->commit_lock);
    return whole;
}

static struct log_part *queue_take(struct log *log)
{
    os_mutex_lock(&log->commit_queue_lock);
    struct log_part *part = queue_pop(log);
    os_mutex_unlock(&log->commit_queue_lock);
    return part;
}

void log_commit(struct log *log)
{
    struct log_part *left = NULL;
    for (struct log_part *part; (part = queue_take(log));) {
        if (part == left) { /* once around the queue */
            log_commit_queue_push(log, part);
            log_committer_wake(log);
            return;
        }
        if (!commit_here(part) && !left)
            left = part;
    }
}

static void commit_whole(struct log_part *part)
{
    os_mutex_lock(&part->commit_lock);
    log_part_commit(part, false);
    os_mutex_unlock(&part->commit_lock);
}

bool log_run_commit(struct log *log)
{
    struct log_part *part = queue_take(log);
    if (part)
        commit_whole(part);
    return part != NULL;
}

static struct log_part *wait_for_work(struct log *log)
{
    struct log_part *part;
    os_mutex_lock(&log->commit_queue_lock);
    for (;;) {
        atomic_store(&log->committer_asleep, true);
        part = queue_pop(log);
        if (part || atomic_load(&log->stopping))
            break;
        os_cond_wait(&log->commit_wanted, &log->commit_queue_lock);
    }
    atomic_store(&log->committer_asleep, false);
    os_mutex_unlock(&log->commit_queue_lock);
    return part;
}

void log_committer_run(void *arg)
{
    struct log *log = arg;
    for (struct log_part *part; (part = wait_for_work(log));)
        commit_whole(part);
}
