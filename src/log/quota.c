/* Room in the data folder. Every byte is reserved here before it is written and returned after it
 * is removed, so `used` never falls behind what the folder takes (invariant 5).
 *
 * At the quota the oldest first segment of all topics goes, and again, until there is room: unless
 * its topic is kept, or it has records younger than options.protect_ms. Whether that will do is
 * worked out first, so that a record too large for what can be had removes nothing. */
#include "log/log_int.h"

enum {
    BLOCK_BYTES = 4096,
    EXTENTS_FREE_BYTES = 4 * BLOCK_BYTES, /* four extents live in the inode */
    EXTENTS_PER_BLOCK_BYTES =
        16 << 20, /* 340 extents of 48 KiB: fragmented worse than an appended file gets */
};

uint64_t log_quota_file_bytes(uint64_t size_bytes)
{
    uint64_t blocks = (size_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;
    if (size_bytes > EXTENTS_FREE_BYTES)
        blocks += 1 + size_bytes / EXTENTS_PER_BLOCK_BYTES;
    return blocks * BLOCK_BYTES;
}

void log_quota_usage(struct log *log, uint64_t *ret_used_bytes, uint64_t *ret_quota_bytes)
{
    *ret_used_bytes = atomic_load(&log->used);
    *ret_quota_bytes = log->options.quota_bytes;
}

bool log_quota_take(struct log *log, uint64_t bytes)
{
    uint64_t limit = log->options.quota_bytes ? log->options.quota_bytes : UINT64_MAX;
    uint64_t used = atomic_load(&log->used);
    do {
        if (used > limit || bytes > limit - used)
            return false;
    } while (!atomic_compare_exchange_weak(&log->used, &used, used + bytes));
    return true;
}

void log_quota_return(struct log *log, uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub(&log->used, bytes);
    ASSERT(before >= bytes);
}

/* What may go --------------------------------------------------------------------------------- */

static bool is_old(const struct log *log, const struct log_segment *s, uint64_t now_us)
{
    uint64_t age_us = now_us > s->touched_us ? now_us - s->touched_us : 0;
    return age_us >= (uint64_t)log->options.protect_ms * 1000;
}

/* Under view_lock. The active one may go too, once nobody waits for its sync: another takes its
 * place. */
static bool may_go(const struct log_part *part, size_t at, uint64_t now_us)
{
    const struct log_segment *s = part->segments[at];
    bool last = at + 1 == part->segment_count;
    bool settled = last ? s->size > 0 && part->synced_offset >= s->next_offset : s->sealed;
    return settled && !s->busy && is_old(part->log, s, now_us);
}

enum { BUSY_PARTS_MAX = 8 };

/* Partitions whose active segment could not be had. */
struct busy {
    const struct log_part *parts[BUSY_PARTS_MAX];
    size_t count;
};

static bool is_busy(const struct busy *busy, const struct log_part *part)
{
    for (size_t i = 0; i < busy->count; i++)
        if (busy->parts[i] == part)
            return true;
    return false;
}

struct victim {
    struct log_part *part;
    struct log_segment *segment; /* a reference */
    bool active;
    uint64_t touched_us;
    uint64_t room; /* what all that may go would give */
};

static void consider(struct victim *victim, struct log_part *part, uint64_t now_us, bool busy)
{
    os_mutex_lock(&part->view_lock);
    size_t count = part->segment_count - (busy && part->segment_count > 0 ? 1 : 0);
    for (size_t i = 0; i < count && may_go(part, i, now_us); i++) {
        struct log_segment *s = part->segments[i];
        victim->room += s->cost;
        if (i > 0 || (victim->segment && victim->touched_us <= s->touched_us))
            continue;
        if (victim->segment)
            log_segment_unref(victim->segment);
        log_segment_ref(s);
        victim->part = part;
        victim->segment = s;
        victim->active = part->segment_count == 1;
        victim->touched_us = s->touched_us;
    }
    os_mutex_unlock(&part->view_lock);
}

/* The segment written to least recently, of all that may go. */
static struct victim choose(struct log *log, const struct busy *busy)
{
    struct victim victim = {0};
    uint64_t now_us = os_now_us();
    struct log_topic **topics = NULL;
    size_t count = 0;
    log_topic_list(log, &topics, &count);
    for (size_t t = 0; t < count; t++) {
        if (atomic_load(&topics[t]->keep))
            continue;
        for (uint32_t p = 0; p < log_topic_partitions(topics[t]); p++) {
            struct log_part *part = log_topic_part(topics[t], p);
            consider(&victim, part, now_us, is_busy(busy, part));
        }
    }
    mem_free(topics);
    return victim;
}

/* An active segment is first replaced by an empty one, which keeps the offset. held: the partition
 * whose commit_lock this thread has. */
static bool retire_active(struct victim *victim, struct log_part *held)
{
    struct log_part *part = victim->part;
    if (part != held && !os_mutex_try_lock(&part->commit_lock))
        return false;
    bool done = part->active == victim->segment && log_part_replace_active(part) == ERR_OK;
    if (part != held)
        os_mutex_unlock(&part->commit_lock);
    return done;
}

static enum err evict(struct log *log, struct victim *victim, struct log_part *held)
{
    if (victim->active && !retire_active(victim, held))
        return ERR_BUSY;
    struct log_segment *s = log_part_take_first(victim->part, victim->segment);
    if (!s)
        return ERR_OK; /* somebody else took it: look again */
    log_report(log, LOG_INFO,
               "event=log_evicted topic=%s partition=%u segment=%lld next=%lld bytes=%llu",
               victim->part->topic->name, victim->part->number, (long long)s->base_offset,
               (long long)s->next_offset, (unsigned long long)s->size);
    atomic_fetch_add(&log->stats.evicted, 1);
    log_segment_remove_files(s);
    log_segment_unref(s);
    return ERR_OK;
}

/* One step of making room for `bytes`. ERR_QUOTA: nothing is left that may go. */
static enum err make_some_room(struct log *log, uint64_t bytes, struct log_part *held,
                               struct busy *busy)
{
    struct victim victim = choose(log, busy);
    bool enough =
        victim.segment && atomic_load(&log->used) + bytes <= log->options.quota_bytes + victim.room;
    enum err error = ERR_QUOTA;
    if (enough)
        error = evict(log, &victim, held);
    else if (log_quarantine_shrink(log))
        error = ERR_OK;
    if (error == ERR_BUSY && busy->count < BUSY_PARTS_MAX) {
        busy->parts[busy->count++] = victim.part;
        error = ERR_OK;
    }
    if (victim.segment)
        log_segment_unref(victim.segment);
    return error == ERR_BUSY ? ERR_QUOTA : error;
}

/* Until `bytes` more would leave `spare` free. */
static enum err make_room(struct log *log, uint64_t bytes, uint64_t spare, struct log_part *held)
{
    struct busy busy = {0};
    os_mutex_lock(&log->evict_lock);
    enum err error = ERR_OK;
    while (error == ERR_OK && atomic_load(&log->used) + bytes + spare > log->options.quota_bytes)
        error = make_some_room(log, bytes, held, &busy);
    os_mutex_unlock(&log->evict_lock);
    return error;
}

enum err log_quota_make(struct log *log, uint64_t bytes, struct log_part *held)
{
    while (!log_quota_take(log, bytes))
        TRY(make_room(log, bytes, 0, held));
    return ERR_OK;
}

void log_quota_keep_spare(struct log *log)
{
    uint64_t quota = log->options.quota_bytes;
    /* When no more can go the next append will say so. */
    if (quota > 0 && make_room(log, 0, quota / LOG_QUOTA_SPARE_PART, NULL) != ERR_OK)
        return;
}

enum err log_quota_reserve(struct log *log, uint64_t bytes)
{
    if (log->options.read_only)
        return ERR_ACCESS;
    if (atomic_load(&log->retired))
        return ERR_OK; /* whoever has the folder counts */
    return log_quota_make(log, bytes, NULL);
}

void log_quota_release(struct log *log, uint64_t bytes)
{
    if (!atomic_load(&log->retired))
        log_quota_return(log, bytes);
}
