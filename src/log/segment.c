/* One .log file of a partition, with its indexes: in memory while it grows, in their files once it
 * is sealed. Files are opened when needed and kept open, within LOG_OPEN_FILES_MAX, after their
 * last user has gone. */
#include "log/log_int.h"

#include <stdio.h>

#include "codec/crc32c.h"

struct log_segment *log_segment_new(struct log_part *part, int64_t base_offset)
{
    struct log_segment *s = NEW(struct log_segment);
    s->part = part;
    s->base_offset = base_offset;
    s->next_offset = base_offset;
    s->max_timestamp_ms = -1;
    s->created_ms = os_wall_us() / 1000;
    buf_init(&s->aborted, UINT32_MAX);
    s->touched_us = os_now_us();
    atomic_init(&s->refs, 1);
    return s;
}

void log_segment_ref(struct log_segment *s)
{
    ASSERT(atomic_fetch_add(&s->refs, 1) > 0);
}

void log_segment_path(const struct log_part *part, int64_t base_offset, const char *suffix,
                      char ret_path[OS_PATH_MAX])
{
    int n =
        snprintf(ret_path, OS_PATH_MAX, "%s/%020lld%s", part->dir, (long long)base_offset, suffix);
    ASSERT(n > 0 && n < OS_PATH_MAX);
}

uint64_t log_segment_cost(uint64_t size, size_t offset_entries, size_t time_entries)
{
    return LOG_SEGMENT_NAMES_BYTES + log_quota_file_bytes(size) +
           log_quota_file_bytes(offset_entries * LOG_OFFSET_ENTRY_BYTES) +
           log_quota_file_bytes(time_entries * LOG_TIME_ENTRY_BYTES);
}

/* Open files ---------------------------------------------------------------------------------- */

static void idle_remove(struct log *log, struct log_segment *s)
{
    *(s->idle_previous ? &s->idle_previous->idle_next : &log->idle_first) = s->idle_next;
    *(s->idle_next ? &s->idle_next->idle_previous : &log->idle_last) = s->idle_previous;
    s->idle_next = s->idle_previous = NULL;
    s->idle = false;
    log->idle_count--;
}

static void idle_append(struct log *log, struct log_segment *s)
{
    s->idle_previous = log->idle_last;
    s->idle_next = NULL;
    *(log->idle_last ? &log->idle_last->idle_next : &log->idle_first) = s;
    log->idle_last = s;
    s->idle = true;
    log->idle_count++;
}

static void close_files(struct log_segment *s)
{
    os_file_close(s->file);
    os_file_close(s->index_file);
    s->file = s->index_file = NULL;
}

static enum err open_file(struct log_segment *s)
{
    char path[OS_PATH_MAX];
    log_segment_path(s->part, s->base_offset, ".log", path);
    unsigned flags = s->part->log->options.read_only ? 0 : OS_OPEN_WRITE;
    return os_file_open(s->part->log->fs, path, flags, &s->file);
}

enum err log_segment_hold(struct log_segment *s, struct os_file **ret_file)
{
    struct log *log = s->part->log;
    os_mutex_lock(&log->files_lock);
    enum err error = ERR_OK;
    if (!s->file) /* a name may have come to mean another file */
        error = atomic_load(&s->removed) ? ERR_NOT_FOUND : open_file(s);
    if (error == ERR_OK) {
        if (s->idle)
            idle_remove(log, s);
        s->holds++;
        *ret_file = s->file;
    }
    os_mutex_unlock(&log->files_lock);
    return error;
}

/* For the one that has just made the file. */
void log_segment_hold_new(struct log_segment *s, struct os_file *file)
{
    ASSERT(!s->file);
    s->file = file;
    s->holds = 1;
}

void log_segment_drop(struct log_segment *s)
{
    struct log *log = s->part->log;
    os_mutex_lock(&log->files_lock);
    ASSERT(s->holds > 0);
    if (--s->holds == 0) {
        idle_append(log, s);
        if (log->idle_count > LOG_OPEN_FILES_MAX) {
            struct log_segment *oldest = log->idle_first;
            idle_remove(log, oldest);
            close_files(oldest);
        }
    }
    os_mutex_unlock(&log->files_lock);
}

void log_segment_unref(struct log_segment *s)
{
    struct log *log = s->part->log;
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    os_mutex_lock(&log->files_lock);
    ASSERT(s->holds == 0);
    if (s->idle)
        idle_remove(log, s);
    close_files(s);
    os_mutex_unlock(&log->files_lock);
    if (s->removed)
        log_quota_return(log, s->cost);
    if (s->index)
        log_index_release(s->index);
    mem_free(s->index);
    buf_release(&s->aborted);
    buf_release(&s->end_state);
    log_holes_release(&s->holes);
    mem_free(s);
}

static bool remove_file(const struct log_segment *s, const char *suffix)
{
    const struct log *log = s->part->log;
    char path[OS_PATH_MAX];
    log_segment_path(s->part, s->base_offset, suffix, path);
    enum err error = os_fs_remove(log->fs, path);
    if (error == ERR_OK || error == ERR_NOT_FOUND)
        return true;
    log_report(log, LOG_WARN, "event=log_remove_failed file=%s error=%s", path, err_name(error));
    return false;
}

void log_segment_remove_files(struct log_segment *s)
{
    struct log *log = s->part->log;
    bool removed = remove_file(s, ".log");
    removed = remove_file(s, ".index") && removed;
    removed = remove_file(s, ".timeindex") && removed;
    removed = remove_file(s, ".txnindex") && removed;
    removed = remove_file(s, ".snapshot") && removed;
    enum err error = os_fs_sync_dir(log->fs, s->part->dir);
    if (error != ERR_OK && error != ERR_NOT_FOUND)
        log_fatal(log, "sync", s->part->dir, error);
    if (removed && error == ERR_OK)
        return;
    /* It goes on taking room, until the next open finds it. */
    os_mutex_lock(&s->part->view_lock);
    s->cost = 0;
    os_mutex_unlock(&s->part->view_lock);
}

/* Looking up ---------------------------------------------------------------------------------- */

static enum err index_open(struct log_segment *s, const char *suffix, struct os_file **ret_file)
{
    char path[OS_PATH_MAX];
    log_segment_path(s->part, s->base_offset, suffix, path);
    return os_file_open(s->part->log->fs, path, 0, ret_file);
}

/* Its .index, kept open like the .log. The caller holds the segment. */
static enum err offsets_file(struct log_segment *s, struct os_file **ret_file)
{
    struct log *log = s->part->log;
    os_mutex_lock(&log->files_lock);
    enum err error = s->index_file ? ERR_OK : index_open(s, ".index", &s->index_file);
    *ret_file = s->index_file;
    os_mutex_unlock(&log->files_lock);
    return error;
}

typedef enum err find_fn(struct log_index_view offsets, int64_t base, uint64_t key,
                         struct log_place *ret_place);

static enum err by_offset(struct log_index_view offsets, int64_t base, uint64_t key,
                          struct log_place *ret_place)
{
    return log_index_find_offset(offsets, base, base + (int64_t)key, ret_place);
}

static enum err by_position(struct log_index_view offsets, int64_t base, uint64_t key,
                            struct log_place *ret_place)
{
    return log_index_find_position(offsets, base, key, ret_place);
}

/* In memory, if it is there: true. */
static bool find_in_memory(struct log_segment *s, find_fn *find, uint64_t key,
                           struct log_place *ret_place)
{
    struct log_part *part = s->part;
    os_mutex_lock(&part->view_lock);
    bool there = s->index != NULL;
    if (there) {
        struct log_index_view view = {s->index->offsets.ptr, NULL,
                                      s->index->offsets.len / LOG_OFFSET_ENTRY_BYTES};
        ASSERT(find(view, s->base_offset, key, ret_place) == ERR_OK);
    }
    os_mutex_unlock(&part->view_lock);
    return there;
}

static bool place_is_true(struct log_segment *s, const struct log_place *place)
{
    char bytes[BATCH_HEADER_BYTES];
    struct batch_header h;
    size_t n = 0;
    return place->last_offset < 0 ||
           (os_file_read(s->file, bytes, sizeof bytes, place->position, &n) == ERR_OK &&
            batch_header_read(str_of(bytes, n), &h) == ERR_OK &&
            batch_last_offset(&h) == place->last_offset);
}

static enum err find(struct log_segment *s, find_fn *find_by, uint64_t key,
                     struct log_place *ret_place)
{
    struct os_file *file = NULL;
    if (find_in_memory(s, find_by, key, ret_place))
        return ERR_OK;
    struct log_index_view view = {NULL, NULL, s->offset_count};
    enum err error = ERR_OK;
    if (view.count > 0)
        error = offsets_file(s, &file);
    view.file = file;
    if (error == ERR_OK)
        error = find_by(view, s->base_offset, key, ret_place);
    if (error == ERR_IO || error == ERR_NO_MEMORY)
        return error;
    if (error != ERR_OK || !place_is_true(s, ret_place))
        *ret_place = (struct log_place){0, -1}; /* the long way, but a right one */
    return ERR_OK;
}

enum err log_segment_find_offset(struct log_segment *s, int64_t offset, struct log_place *ret_place)
{
    uint64_t relative = offset > s->base_offset ? (uint64_t)(offset - s->base_offset) : 0;
    return find(s, by_offset, relative, ret_place);
}

enum err log_segment_find_position(struct log_segment *s, uint64_t limit,
                                   struct log_place *ret_place)
{
    return find(s, by_position, limit, ret_place);
}

enum err log_segment_find_time(struct log_segment *s, int64_t timestamp_ms, int64_t *ret_offset)
{
    struct log_part *part = s->part;
    os_mutex_lock(&part->view_lock);
    bool in_memory = s->index != NULL;
    enum err error = ERR_OK;
    if (in_memory) {
        struct log_index_view view = {s->index->times.ptr, NULL,
                                      s->index->times.len / LOG_TIME_ENTRY_BYTES};
        error = log_index_find_time(view, s->base_offset, timestamp_ms, ret_offset);
    }
    os_mutex_unlock(&part->view_lock);
    if (in_memory)
        return error;
    struct log_index_view view = {NULL, NULL, s->time_count};
    if (view.count > 0)
        TRY(index_open(s, ".timeindex", &view.file));
    error = log_index_find_time(view, s->base_offset, timestamp_ms, ret_offset);
    os_file_close(view.file);
    return error;
}

/* Writing the index files --------------------------------------------------------------------- */

static enum err write_index_file(struct log_segment *s, const char *suffix, struct str content)
{
    char path[OS_PATH_MAX];
    log_segment_path(s->part, s->base_offset, suffix, path);
    return os_fs_write_file(s->part->log->fs, path, content);
}

enum err log_segment_write_state(struct log_segment *s)
{
    if (s->end_state.len == 0)
        return ERR_OK;
    TRY(log_producers_save(s->part, s->end_state_offset, buf_str(&s->end_state)));
    buf_release(&s->end_state);
    return ERR_OK;
}

/* What must be there when the .index is (invariant 4). */
static enum err write_transactions(struct log_segment *s)
{
    if (s->aborted.len == 0 && s->end_state.len == 0)
        return ERR_OK;
    TRY(log_aborted_write(s));
    TRY(log_segment_write_state(s));
    return os_fs_sync_dir(s->part->log->fs, s->part->dir);
}

/* The time index first: the other's presence is what counts (invariant 4). The segment grows no
 * more, so its index is read without a lock. */
enum err log_segment_write_index(struct log_segment *s)
{
    log_index_finish(s->index, s->base_offset);
    TRY(write_transactions(s));
    TRY(write_index_file(s, ".timeindex", buf_str(&s->index->times)));
    return write_index_file(s, ".index", buf_str(&s->index->offsets));
}

bool log_segment_seal(struct log_segment *s)
{
    struct log_part *part = s->part;
    os_mutex_lock(&part->view_lock);
    struct log_index *index = s->index;
    s->offset_count = index->offsets.len / LOG_OFFSET_ENTRY_BYTES;
    s->time_count = index->times.len / LOG_TIME_ENTRY_BYTES;
    s->max_timestamp_ms = index->max_timestamp_ms;
    s->index = NULL;
    s->aborted_count += s->aborted.len / LOG_ABORTED_BYTES;
    buf_release(&s->aborted);
    buf_init(&s->aborted, UINT32_MAX);
    s->sealed = true;
    bool there = !s->removed;
    part->unsealed -= there;
    os_mutex_unlock(&part->view_lock);
    log_index_release(index);
    mem_free(index);
    return there;
}
