/* A partition: its segments in order of their offsets, what readers may see of them, and who waits
 * for more.
 *
 *     segments  [ sealed ][ sealed ][ rolled, unsealed ][ active      ]
 *     offsets   start ................................ end   written
 *
 * Readers see what is below the end. For LOG_WRITE end and written are equal. */
#include "log/log_int.h"

#include <stdio.h>

struct log_part *log_part_new(struct log_topic *topic, uint32_t number)
{
    struct log *log = topic->log;
    struct log_part *part = NEW(struct log_part);
    part->log = log;
    part->topic = topic;
    part->number = number;
    size_t size = strlen(log->topics_dir) + topic->name_len + 16;
    part->dir = mem_alloc(size);
    (void)snprintf(part->dir, size, "%s/%s-%u", log->topics_dir, topic->name, number);
    part->first_open = INT64_MAX;
    part->compacted = -1;
    os_mutex_init(&part->stage_lock);
    os_mutex_init(&part->commit_lock);
    os_mutex_init(&part->view_lock);
    return part;
}

void log_part_free(struct log_part *part)
{
    ASSERT(!part->staged_first && !part->waiting_first);
    for (size_t i = 0; i < part->segment_count; i++) {
        if (part->segments[i]->dirty) /* only after a failure */
            log_segment_drop(part->segments[i]);
        log_segment_unref(part->segments[i]);
    }
    log_producers_forget(part);
    mem_free(part->segments);
    mem_free(part->epochs);
    mem_free(part->dir);
    os_mutex_release(&part->stage_lock);
    os_mutex_release(&part->commit_lock);
    os_mutex_release(&part->view_lock);
    mem_free(part);
}

struct log_topic *log_part_topic(const struct log_part *part)
{
    return part->topic;
}

uint32_t log_part_index(const struct log_part *part)
{
    return part->number;
}

/* What there is ------------------------------------------------------------------------------- */

static int64_t start_offset(const struct log_part *part)
{
    if (part->segment_count == 0)
        return part->end_offset;
    int64_t first = part->segments[0]->base_offset;
    return first > part->floor ? first : part->floor;
}

int32_t log_part_leader_epoch(const struct log_part *part)
{
    return atomic_load(&part->leader_epoch);
}

int64_t log_part_start(struct log_part *part)
{
    os_mutex_lock(&part->view_lock);
    int64_t start = start_offset(part);
    os_mutex_unlock(&part->view_lock);
    return start;
}

int64_t log_part_end(struct log_part *part)
{
    os_mutex_lock(&part->view_lock);
    int64_t end = part->end_offset;
    os_mutex_unlock(&part->view_lock);
    return end;
}

/* Under view_lock. */
static int64_t stable_offset(const struct log_part *part)
{
    int64_t stable = part->first_open < part->end_offset ? part->first_open : part->end_offset;
    int64_t start = start_offset(part);
    return stable > start ? stable : start;
}

int64_t log_part_stable(struct log_part *part)
{
    os_mutex_lock(&part->view_lock);
    int64_t stable = stable_offset(part);
    os_mutex_unlock(&part->view_lock);
    return stable;
}

int64_t log_part_next(struct log_part *part)
{
    os_mutex_lock(&part->view_lock);
    int64_t next = part->written_offset;
    os_mutex_unlock(&part->view_lock);
    return next;
}

static int64_t newest(const struct log_part *part)
{
    for (size_t i = part->segment_count; i-- > 0;) {
        int64_t ms = log_segment_newest(part->segments[i]);
        if (ms >= 0)
            return ms;
    }
    return -1;
}

/* Under view_lock. */
int64_t log_segment_newest(const struct log_segment *s)
{
    return s->index ? s->index->max_timestamp_ms : s->max_timestamp_ms;
}

void log_part_describe(struct log_part *part, struct log_part_info *ret_info)
{
    os_mutex_lock(&part->view_lock);
    struct log_part_info info = {
        .start_offset = start_offset(part),
        .end_offset = part->end_offset,
        .stable_offset = stable_offset(part),
        .segments = (uint32_t)part->segment_count,
        .newest_ms = newest(part),
        .leader_epoch = atomic_load(&part->leader_epoch),
    };
    for (size_t i = 0; i < part->segment_count; i++)
        info.bytes += part->segments[i]->visible;
    os_mutex_unlock(&part->view_lock);
    *ret_info = info;
}

/* The last segment that starts at or below offset; the first one when none does. */
static size_t segment_at(const struct log_part *part, int64_t offset)
{
    size_t low = 0;
    size_t high = part->segment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (part->segments[middle]->base_offset <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? low - 1 : 0;
}

enum err log_part_find(struct log_part *part, int64_t offset, struct log_found *ret_found)
{
    struct log_found found = {0};
    enum err error = ERR_OK;
    os_mutex_lock(&part->view_lock);
    found.end_offset = part->end_offset;
    if (atomic_load(&part->topic->deleted)) {
        error = ERR_NOT_FOUND;
    } else if (offset < start_offset(part) || offset > part->end_offset) {
        error = ERR_OUT_OF_RANGE;
    } else if (offset < part->end_offset) {
        size_t at = segment_at(part, offset);
        found.segment = part->segments[at];
        found.visible = found.segment->visible;
        found.has_holes = found.segment->holes.count > 0;
        found.next_base =
            at + 1 < part->segment_count ? part->segments[at + 1]->base_offset : part->end_offset;
        if (found.next_base > part->end_offset)
            found.next_base = part->end_offset;
        log_segment_ref(found.segment);
    }
    os_mutex_unlock(&part->view_lock);
    if (error == ERR_OK)
        *ret_found = found;
    return error;
}

size_t log_part_segments(struct log_part *part, struct log_segment ***ret_segments)
{
    os_mutex_lock(&part->view_lock);
    size_t count = part->segment_count;
    struct log_segment **segments = mem_array(count, sizeof(struct log_segment *));
    for (size_t i = 0; i < count; i++) {
        segments[i] = part->segments[i];
        log_segment_ref(segments[i]);
    }
    os_mutex_unlock(&part->view_lock);
    *ret_segments = segments;
    return count;
}

void log_part_segments_release(struct log_segment **segments, size_t count)
{
    for (size_t i = 0; i < count; i++)
        log_segment_unref(segments[i]);
    mem_free(segments);
}

/* Changing it --------------------------------------------------------------------------------- */

void log_part_insert(struct log_part *part, size_t at, struct log_segment *s)
{
    ASSERT(at <= part->segment_count);
    if (part->segment_count == part->segment_capacity) {
        part->segment_capacity = part->segment_capacity ? 2 * part->segment_capacity : 2;
        part->segments =
            mem_resize(part->segments, part->segment_capacity * sizeof(struct log_segment *));
    }
    memmove(part->segments + at + 1, part->segments + at,
            (part->segment_count - at) * sizeof(struct log_segment *));
    part->segments[at] = s;
    part->segment_count++;
}

void log_part_take_out(struct log_part *part, size_t at)
{
    ASSERT(at < part->segment_count);
    part->segment_count--;
    memmove(part->segments + at, part->segments + at + 1,
            (part->segment_count - at) * sizeof(struct log_segment *));
}

static void wake_watches(struct log_part *part)
{
    struct log_watch *next;
    for (struct log_watch *w = part->watches; w; w = next) {
        next = w->next_;
        if (part->end_offset <= w->offset_)
            continue;
        *w->link_ = next;
        if (next)
            next->link_ = w->link_;
        w->link_ = NULL;
        w->wake(w);
    }
}

void log_part_publish(struct log_part *part, struct log_segment *last, uint64_t visible,
                      int64_t end_offset)
{
    if (end_offset <= part->end_offset)
        return;
    size_t at = segment_at(part, last->base_offset);
    if (part->segment_count > 0 && part->segments[at] == last)
        for (; at > 0 && part->segments[at - 1]->visible != part->segments[at - 1]->size; at--)
            part->segments[at - 1]->visible = part->segments[at - 1]->size;
    last->visible = visible;
    part->end_offset = end_offset;
    wake_watches(part);
}

static struct log_segment *new_active(struct log_part *part)
{
    struct log_segment *s = log_segment_new(part, part->next_offset);
    s->index = NEW(struct log_index);
    log_index_init(s->index);
    s->cost = log_segment_cost(0, 0, 0);
    return s;
}

/* What is known of producers where the next segment begins: false when there is nothing. */
static bool producers_state(struct log_part *part, struct buf *out)
{
    if (!part->has_producers)
        return false;
    log_producers_now(part, STR(""), out);
    return true;
}

/* The quota for it is taken already. state: of producers, kept by the segment before it. */
static enum err append_segment(struct log_part *part, struct buf *state)
{
    struct log *log = part->log;
    struct os_file *file = NULL;
    char path[OS_PATH_MAX];
    log_segment_path(part, part->next_offset, ".log", path);
    TRY(os_file_open(log->fs, path, OS_OPEN_WRITE | OS_OPEN_CREATE | OS_OPEN_FRESH, &file));
    struct log_segment *s = new_active(part);
    s->side_cost = state->len > 0 ? log_quota_file_bytes(state->len) : 0;
    s->cost += s->side_cost;
    log_segment_hold_new(s, file);
    os_mutex_lock(&part->view_lock);
    log_part_insert(part, part->segment_count, s);
    part->unsealed += part->active ? 1 : 0;
    if (part->active) {
        part->active->end_state = *state;
        part->active->end_state_offset = part->next_offset;
        *state = (struct buf){0};
    }
    part->dir_dirty = true;
    part->active = s;
    part->cut_needed = false;
    part->index_is_stale = false;
    os_mutex_unlock(&part->view_lock);
    log_segment_drop(s);
    return ERR_OK;
}

enum err log_part_roll(struct log_part *part)
{
    struct buf state BUF_AUTO;
    buf_init(&state, 1);
    if (producers_state(part, &state) && !part->active)
        TRY(log_producers_save(part, part->next_offset, buf_str(&state)));
    uint64_t cost =
        log_segment_cost(0, 0, 0) + (state.len > 0 ? log_quota_file_bytes(state.len) : 0);
    TRY(log_quota_make(part->log, cost, part));
    if (part->active && part->active->size == 0) { /* making room has replaced it */
        log_quota_return(part->log, cost);
        return ERR_OK;
    }
    enum err error = append_segment(part, &state);
    if (error == ERR_OK)
        log_sync_schedule(part, false); /* its name, even if nothing is ever written to it */
    else
        log_quota_return(part->log, cost);
    return error;
}

enum err log_part_replace_active(struct log_part *part)
{
    struct log_segment *old = part->active;
    struct buf state BUF_AUTO;
    buf_init(&state, 1);
    (void)producers_state(part, &state);
    TRY(append_segment(part, &state));
    TRY(log_segment_write_state(old));
    os_mutex_lock(&part->view_lock);
    old->cost = old->cost + part->cut_cost - part->active->cost;
    part->cut_cost = 0;
    os_mutex_unlock(&part->view_lock);
    /* The new name keeps the offset: it must last before the old one goes. */
    enum err error = os_fs_sync_dir(part->log->fs, part->dir);
    if (error != ERR_OK)
        log_fatal(part->log, "sync", part->dir, error);
    return error;
}

/* Take the first segment away from readers; the caller unlinks it. */
struct log_segment *log_part_take_first(struct log_part *part, const struct log_segment *expected)
{
    struct log_segment *first = NULL;
    os_mutex_lock(&part->view_lock);
    if (part->segment_count > 1 && part->segments[0] == expected && !expected->busy) {
        first = part->segments[0];
        log_part_take_out(part, 0);
        atomic_store(&first->removed, true);
        part->unsealed -= first->index ? 1 : 0;
    }
    os_mutex_unlock(&part->view_lock);
    return first;
}

/* Watching ------------------------------------------------------------------------------------ */

bool log_watch_add(struct log_part *part, struct log_watch *watch, int64_t offset)
{
    os_mutex_lock(&part->view_lock);
    bool already = part->end_offset > offset;
    watch->part_ = part;
    watch->offset_ = offset;
    watch->link_ = NULL;
    if (!already) {
        watch->next_ = part->watches;
        watch->link_ = &part->watches;
        if (watch->next_)
            watch->next_->link_ = &watch->next_;
        part->watches = watch;
    }
    os_mutex_unlock(&part->view_lock);
    return already;
}

void log_watch_remove(struct log_watch *watch)
{
    struct log_part *part = watch->part_;
    if (!part)
        return;
    os_mutex_lock(&part->view_lock);
    if (watch->link_) {
        *watch->link_ = watch->next_;
        if (watch->next_)
            watch->next_->link_ = watch->link_;
        watch->link_ = NULL;
    }
    os_mutex_unlock(&part->view_lock);
    watch->part_ = NULL;
}
