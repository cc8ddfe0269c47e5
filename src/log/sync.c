/* Getting what is written to the disk. A few threads take partitions from two queues: those that
 * somebody waits for come first; the others come when their oldest unsynced byte would otherwise be
 * older than LOG_SYNC_TARGET_US at the end of the sync. Different partitions are synced in
 * parallel; of one partition one sync runs at a time, and what is written meanwhile is taken by the
 * next:
 *
 *     IDLE -> LATER or NOW -> RUNNING -> IDLE, or LATER or NOW when there was more
 *
 * After the sync, in order: readers of a LOG_SYNC topic see it, appends that waited are done, and
 * segments that take no more get their index files. */
#include "log/log_int.h"

enum {
    SYNC_SLACK_US = 300, /* waking up, and the time between the write and its mark */
    SYNC_WAIT_MAX_US = 3500,
    SYNC_USUAL_FIRST_US = 1000,
    SEGMENTS_MAX = 64, /* of a partition in one sync; more are left for the next */
};

/* The queues ---------------------------------------------------------------------------------- */

/* Behind `before`, or in front of all. */
static void queue_insert(struct log_part_queue *q, struct log_part *before, struct log_part *part)
{
    struct log_part **link = before ? &before->sync_next : &q->first;
    part->sync_previous = before;
    part->sync_next = *link;
    *(*link ? &(*link)->sync_previous : &q->last) = part;
    *link = part;
}

static void queue_remove(struct log_part_queue *q, struct log_part *part)
{
    *(part->sync_previous ? &part->sync_previous->sync_next : &q->first) = part->sync_next;
    *(part->sync_next ? &part->sync_next->sync_previous : &q->last) = part->sync_previous;
    part->sync_next = part->sync_previous = NULL;
}

static uint64_t wait_us(const struct log *log)
{
    uint64_t usual = atomic_load(&log->sync_usual_us);
    usual = (usual ? usual : SYNC_USUAL_FIRST_US) * 3 / 2 + SYNC_SLACK_US;
    uint64_t wait = usual < LOG_SYNC_TARGET_US ? LOG_SYNC_TARGET_US - usual : 0;
    return wait < SYNC_WAIT_MAX_US ? wait : SYNC_WAIT_MAX_US;
}

static void enqueue(struct log *log, struct log_part *part, bool now)
{
    part->sync_state = now ? LOG_SYNC_NOW : LOG_SYNC_LATER;
    struct log_part_queue *q = now ? &log->sync_now : &log->sync_later;
    struct log_part *before = q->last;
    while (!now && before && before->sync_due_us > part->sync_due_us)
        before = before->sync_previous;
    queue_insert(q, before, part);
    if (now || !log->sync_timer)
        os_cond_signal(&log->sync_wanted);
}

static void dequeue(struct log *log, struct log_part *part)
{
    queue_remove(part->sync_state == LOG_SYNC_NOW ? &log->sync_now : &log->sync_later, part);
}

void log_sync_schedule(struct log_part *part, bool now)
{
    struct log *log = part->log;
    os_mutex_lock(&log->sync_lock);
    if (part->sync_state == LOG_SYNC_IDLE || part->sync_state == LOG_SYNC_RUNNING)
        if (!part->sync_again)
            part->sync_due_us = os_now_us() + wait_us(log);
    switch (part->sync_state) {
    case LOG_SYNC_IDLE: enqueue(log, part, now); break;
    case LOG_SYNC_LATER:
        if (now) {
            dequeue(log, part);
            enqueue(log, part, true);
        }
        break;
    case LOG_SYNC_NOW: break;
    case LOG_SYNC_RUNNING:
        part->sync_again = true;
        part->sync_again_now = part->sync_again_now || now;
        break;
    }
    os_mutex_unlock(&log->sync_lock);
}

static void start_running(struct log *log, struct log_part *part)
{
    if (part->sync_state != LOG_SYNC_IDLE)
        dequeue(log, part);
    part->sync_state = LOG_SYNC_RUNNING;
}

static void end_running(struct log *log, struct log_part *part)
{
    os_mutex_lock(&log->sync_lock);
    part->sync_state = LOG_SYNC_IDLE;
    if (part->sync_again)
        enqueue(log, part, part->sync_again_now);
    part->sync_again = part->sync_again_now = false;
    os_cond_broadcast(&log->sync_ended);
    os_mutex_unlock(&log->sync_lock);
}

/* One sync ------------------------------------------------------------------------------------ */

struct round {
    struct log_segment *segments[SEGMENTS_MAX]; /* references */
    bool dirty[SEGMENTS_MAX];                   /* held, and to be synced */
    bool rolled[SEGMENTS_MAX]; /* took no more when the round began: whole after it */
    size_t count;
    struct log_segment *last; /* the active one */
    uint64_t size;            /* of it */
    int64_t offset;           /* what is written when the round begins */
    bool dir;
};

static void pick(struct round *round, struct log_segment *s, bool last)
{
    log_segment_ref(s);
    round->segments[round->count] = s;
    round->dirty[round->count] = s->dirty;
    round->rolled[round->count] = !last;
    round->count++;
    s->dirty = false;
}

/* Oldest first, so that what stays out of a full round is newer than what is in it. */
static bool begin(struct log_part *part, struct round *round)
{
    *round = (struct round){0};
    os_mutex_lock(&part->view_lock);
    size_t at = part->unsealed > 0 ? 0 : part->segment_count - (part->segment_count > 0 ? 1 : 0);
    for (; at < part->segment_count && round->count < SEGMENTS_MAX; at++) {
        struct log_segment *s = part->segments[at];
        bool last = at + 1 == part->segment_count;
        if (last || s->dirty || s->index)
            pick(round, s, last);
        round->last = s;
        round->size = s->size;
        round->offset = last ? part->written_offset : part->segments[at + 1]->base_offset;
    }
    round->dir = part->dir_dirty;
    part->dir_dirty = false;
    os_mutex_unlock(&part->view_lock);
    return round->count > 0;
}

static void measure(struct log *log, uint64_t us)
{
    uint64_t usual = atomic_load(&log->sync_usual_us);
    usual = usual ? (usual * 7 + us) / 8 : us;
    atomic_store(&log->sync_usual_us, usual ? usual : 1);
    atomic_fetch_add(&log->stats.syncs, 1);
    atomic_fetch_add(&log->stats.sync_us, us);
}

static enum err sync_files(struct log_part *part, struct round *round)
{
    enum err result = ERR_OK;
    for (size_t i = 0; i < round->count; i++) {
        struct log_segment *s = round->segments[i];
        if (!round->dirty[i])
            continue;
        uint64_t start = os_now_us();
        enum err error = os_file_datasync(s->file);
        measure(part->log, os_now_us() - start);
        result = result == ERR_OK ? error : result;
        log_segment_drop(s);
    }
    if (result == ERR_OK && round->dir)
        result = os_fs_sync_dir(part->log->fs, part->dir);
    return result;
}

/* What waited for an offset below the synced one is done. */
static void acknowledge(struct log_part *part, const struct round *round)
{
    struct log_done done = {.count = 0};
    uint64_t count = 0;
    os_mutex_lock(&part->view_lock);
    if (round->offset > part->synced_offset)
        part->synced_offset = round->offset;
    if (atomic_load(&part->topic->durability) == LOG_SYNC)
        log_part_publish(part, round->last, round->size, round->offset);
    struct log_append *first = part->waiting_first;
    struct log_append *last = NULL;
    for (struct log_append *a = first; a && a->offset < part->synced_offset; a = a->next)
        last = a;
    if (last) {
        part->waiting_first = last->next;
        last->next = NULL;
    }
    os_mutex_unlock(&part->view_lock);
    for (struct log_append *a = last ? first : NULL, *next; a; a = next, count++) {
        next = a->next;
        log_done_add(&done, a);
    }
    atomic_fetch_add(&part->log->stats.appends, count);
    log_done_run(&done);
}

static void seal(struct log_part *part, struct log_segment *s)
{
    enum err error = log_segment_write_index(s);
    if (error !=
        ERR_OK) { /* a full disk, say: the memory goes on serving, and the next sync tries again */
        log_report(part->log, LOG_WARN,
                   "event=log_index_not_written topic=%s partition=%u segment=%lld error=%s",
                   part->topic->name, part->number, (long long)s->base_offset, err_name(error));
        return;
    }
    if (!log_segment_seal(s)) /* removed meanwhile, so what was written is nobody's */
        log_segment_remove_files(s);
}

static bool wants_seal(struct log_part *part, const struct log_segment *s)
{
    os_mutex_lock(&part->view_lock);
    bool wants = s->index && !s->removed && s->holes.count == 0;
    ASSERT(!s->dirty);
    os_mutex_unlock(&part->view_lock);
    return wants;
}

static void fail_waiting(struct log_part *part)
{
    os_mutex_lock(&part->view_lock);
    struct log_append *first = part->waiting_first;
    part->waiting_first = part->waiting_last = NULL;
    os_mutex_unlock(&part->view_lock);
    log_fail_appends(part->log, first, ERR_CLOSED);
}

/* The partition is RUNNING. */
static void run(struct log_part *part)
{
    struct round round;
    if (!begin(part, &round))
        return;
    enum err error = sync_files(part, &round);
    if (error != ERR_OK)
        log_fatal(part->log, "sync", part->dir, error);
    if (atomic_load(&part->log->failed))
        fail_waiting(part);
    else
        acknowledge(part, &round);
    for (size_t i = 0; i < round.count; i++) {
        struct log_segment *s = round.segments[i];
        if (round.rolled[i] && !atomic_load(&part->log->failed) && wants_seal(part, s))
            seal(part, s);
        log_segment_unref(s);
    }
}

void log_sync_part(struct log_part *part)
{
    struct log *log = part->log;
    os_mutex_lock(&log->sync_lock);
    if (log->options.manual && part->sync_state == LOG_SYNC_RUNNING) {
        os_mutex_unlock(&log->sync_lock); /* by this very thread, further out */
        return;
    }
    while (part->sync_state == LOG_SYNC_RUNNING)
        os_cond_wait(&log->sync_ended, &log->sync_lock);
    start_running(log, part);
    os_mutex_unlock(&log->sync_lock);
    run(part);
    end_running(log, part);
}

/* Threads ------------------------------------------------------------------------------------- */

static struct log_part *due_part(struct log *log, uint64_t now_us)
{
    if (log->sync_now.first)
        return log->sync_now.first;
    struct log_part *part = log->sync_later.first;
    return part && part->sync_due_us <= now_us ? part : NULL;
}

/* One thread keeps the time for all. */
static void wait_for_due(struct log *log)
{
    struct log_part *next = log->sync_later.first;
    if (!next || log->sync_timer) {
        os_cond_wait(&log->sync_wanted, &log->sync_lock);
        return;
    }
    uint64_t now = os_now_us();
    log->sync_timer = true;
    if (next->sync_due_us > now)
        (void)os_cond_wait_for(&log->sync_wanted, &log->sync_lock, next->sync_due_us - now);
    log->sync_timer = false;
}

static struct log_part *wait_for_work(struct log *log)
{
    struct log_part *part;
    os_mutex_lock(&log->sync_lock);
    while (!(part = due_part(log, os_now_us())) && !atomic_load(&log->stopping))
        wait_for_due(log);
    if (part) {
        start_running(log, part);
        /* This thread may have been the one that kept the time. */
        if (log->sync_later.first && !log->sync_timer)
            os_cond_signal(&log->sync_wanted);
    }
    os_mutex_unlock(&log->sync_lock);
    return part;
}

void log_syncer_run(void *arg)
{
    struct log *log = arg;
    for (struct log_part *part; (part = wait_for_work(log));) {
        run(part);
        end_running(log, part);
    }
}

bool log_run_sync(struct log *log)
{
    os_mutex_lock(&log->sync_lock);
    struct log_part *part = log->sync_now.first ? log->sync_now.first : log->sync_later.first;
    if (part)
        start_running(log, part);
    os_mutex_unlock(&log->sync_lock);
    if (!part)
        return false;
    run(part);
    end_running(log, part);
    return true;
}
