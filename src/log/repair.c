/* Damage before the end of a segment: what is good stays, each run of it as a segment of its own,
 * and what lies between is set aside.
 *
 *     before   | good A | ##hole## | good B |##| good C |    00…0100.log
 *     after    | good A |   | good B |   | good C |          00…0100.log 00…0170.log 00…0192.log
 *                                                and quarantine/<topic>-<n>-<base>-<position>.bin
 *
 * So every file is whole batches again, offsets stay, and any reader of Kafka's files can read
 * around the gap.
 *
 * Order, so that a stop at any moment loses nothing: the index files go, so that the segment will
 * be read again; copies of B, C … take their names; only then A's copy replaces the damaged file.
 * Between, the damaged file still holds B and C too: batches at or above the next segment's base
 * are not its own and are taken for damage again. */
#include "log/log_int.h"

#include <stdio.h>

enum { COPY_BYTES = 1 << 20 };

static enum err copy_bytes(struct os_file *from, uint64_t position, uint64_t len,
                           struct os_file *to)
{
    char *memory = mem_alloc(COPY_BYTES);
    enum err error = ERR_OK;
    for (uint64_t done = 0; done < len && error == ERR_OK;) {
        size_t want = len - done < COPY_BYTES ? (size_t)(len - done) : COPY_BYTES;
        size_t n = 0;
        error = os_file_read(from, memory, want, position + done, &n);
        if (error == ERR_OK && n < want)
            error = ERR_TRUNCATED;
        if (error == ERR_OK)
            error = os_file_write_str(to, str_of(memory, n), done);
        done += n;
    }
    mem_free(memory);
    return error;
}

/* A copy of a part of a file, synced, under a new name. */
static enum err copy_to(const struct os_fs *fs, struct os_file *from, uint64_t position,
                        uint64_t len, const char *path)
{
    char temporary[OS_PATH_MAX];
    struct os_file *to = NULL;
    int n = snprintf(temporary, sizeof temporary, "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return ERR_TOO_LARGE;
    TRY(os_file_open(fs, temporary, OS_OPEN_WRITE | OS_OPEN_CREATE | OS_OPEN_FRESH, &to));
    enum err error = copy_bytes(from, position, len, to);
    if (error == ERR_OK)
        error = os_file_datasync(to);
    os_file_close(to);
    if (error == ERR_OK)
        error = os_fs_rename(fs, temporary, path);
    if (error != ERR_OK && os_fs_remove(fs, temporary) != ERR_OK)
        return error;
    return error;
}

/* Setting aside ------------------------------------------------------------------------------- */

static uint64_t quarantine_limit(const struct log *log)
{
    uint64_t quota = log->options.quota_bytes;
    uint64_t part = quota / LOG_QUARANTINE_PART;
    return quota && part < LOG_QUARANTINE_MAX_BYTES ? part : LOG_QUARANTINE_MAX_BYTES;
}

static enum err quarantine_dir(const struct log *log, char ret_path[OS_PATH_MAX])
{
    int n = snprintf(ret_path, OS_PATH_MAX, "%s/quarantine", log->dir);
    ASSERT(n > 0 && n < OS_PATH_MAX);
    return os_fs_ensure_dir(log->fs, ret_path);
}

static enum err set_aside(struct log_part *part, struct os_file *file, int64_t base,
                          const struct log_hole *hole)
{
    struct log *log = part->log;
    char dir[OS_PATH_MAX];
    char path[OS_PATH_MAX];
    uint64_t cost = log_quota_file_bytes(hole->end - hole->position);
    if (atomic_load(&log->quarantined) + cost > quarantine_limit(log))
        return ERR_QUOTA;
    TRY(quarantine_dir(log, dir));
    int n = snprintf(path, sizeof path, "%s/%s-%u-%020lld-%llu.bin", dir, part->topic->name,
                     part->number, (long long)base, (unsigned long long)hole->position);
    struct os_stat st;
    if (n < 0 || (size_t)n >= sizeof path)
        return ERR_TOO_LARGE;
    if (os_fs_stat(log->fs, path, &st) == ERR_OK)
        return ERR_OK; /* by an attempt that was broken off */
    if (!log_quota_take(log, cost))
        return ERR_QUOTA;
    enum err error = copy_to(log->fs, file, hole->position, hole->end - hole->position, path);
    if (error != ERR_OK) {
        log_quota_return(log, cost);
        return error;
    }
    atomic_fetch_add(&log->quarantined, cost);
    return ERR_OK;
}

struct oldest {
    const struct log *log;
    const char *dir;
    char path[OS_PATH_MAX];
    struct os_stat stat;
    bool found;
};

static void older(void *arg, struct str name, bool is_dir)
{
    struct oldest *o = arg;
    char path[OS_PATH_MAX];
    struct os_stat st;
    int n = snprintf(path, sizeof path, "%s/%.*s", o->dir, STR_ARG(name));
    if (is_dir || n < 0 || (size_t)n >= sizeof path || os_fs_stat(o->log->fs, path, &st) != ERR_OK)
        return;
    if (o->found && o->stat.modified_ms <= st.modified_ms)
        return;
    o->found = true;
    o->stat = st;
    memcpy(o->path, path, sizeof path);
}

bool log_quarantine_shrink(struct log *log)
{
    char dir[OS_PATH_MAX];
    struct oldest o = {.log = log, .dir = dir};
    if (atomic_load(&log->quarantined) == 0 || quarantine_dir(log, dir) != ERR_OK ||
        os_fs_list(log->fs, dir, older, &o) != ERR_OK || !o.found ||
        os_fs_remove(log->fs, o.path) != ERR_OK)
        return false;
    uint64_t cost = log_quota_file_bytes(o.stat.size_bytes);
    atomic_fetch_sub(&log->quarantined, cost);
    log_quota_return(log, cost);
    log_report(log, LOG_WARN, "event=log_quarantine_removed file=%s bytes=%llu", o.path,
               (unsigned long long)o.stat.size_bytes);
    return true;
}

/* Rewriting ----------------------------------------------------------------------------------- */

static uint64_t run_end(const struct log_holes *holes, size_t run, uint64_t size)
{
    return run < holes->count ? holes->items[run].position : size;
}

/* Run 0 is what stands before the first hole, run i what stands behind hole i - 1. */
static enum err copy_run(struct log_part *part, struct os_file *file, int64_t base, uint64_t size,
                         const struct log_holes *holes, size_t run)
{
    char path[OS_PATH_MAX];
    uint64_t start = run > 0 ? holes->items[run - 1].end : 0;
    uint64_t end = run_end(holes, run, size);
    if (start >= end)
        return ERR_OK;
    ASSERT(run == 0 || holes->items[run - 1].next_offset >= 0);
    log_segment_path(part, run > 0 ? holes->items[run - 1].next_offset : base, ".log", path);
    return copy_to(part->log->fs, file, start, end - start, path);
}

static enum err remove_if_there(const struct os_fs *fs, const char *path)
{
    enum err error = os_fs_remove(fs, path);
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

static enum err remove_index(struct log_part *part, int64_t base)
{
    char path[OS_PATH_MAX];
    log_segment_path(part, base, ".index", path);
    TRY(remove_if_there(part->log->fs, path));
    log_segment_path(part, base, ".timeindex", path);
    TRY(remove_if_there(part->log->fs, path));
    return os_fs_sync_dir(part->log->fs, part->dir);
}

/* What stands before the first hole replaces the file. When nothing does, the file goes, unless a
 * run has taken its name; or stays, empty, when nothing at all is good: its name keeps the offset.
 */
static enum err finish(struct log_part *part, struct os_file *file, int64_t base, uint64_t size,
                       const struct log_holes *holes)
{
    char path[OS_PATH_MAX];
    const struct log_hole *first = &holes->items[0];
    log_segment_path(part, base, ".log", path);
    if (first->position > 0)
        return copy_run(part, file, base, size, holes, 0);
    if (first->end == size)
        return copy_to(part->log->fs, file, 0, 0, path);
    return first->next_offset == base ? ERR_OK : os_fs_remove(part->log->fs, path);
}

void log_hole_report(const struct log_part *part, int64_t base, const struct log_hole *hole)
{
    log_report(part->log, LOG_ERROR,
               "event=log_damaged topic=%s partition=%u segment=%lld position=%llu bytes=%llu "
               "offset=%lld next=%lld reason=\"%s\" set_aside=%s",
               part->topic->name, part->number, (long long)base, (unsigned long long)hole->position,
               (unsigned long long)(hole->end - hole->position), (long long)hole->offset,
               (long long)hole->next_offset, hole->reason,
               hole->set_aside == ERR_OK     ? "yes"
               : hole->set_aside == ERR_BUSY ? "later"
                                             : err_name(hole->set_aside));
}

enum err log_repair_files(struct log_part *part, struct os_file *file, int64_t base, uint64_t size,
                          struct log_holes *holes)
{
    ASSERT(holes->count > 0);
    TRY(remove_index(part, base));
    for (size_t i = 0; i < holes->count; i++)
        holes->items[i].set_aside = set_aside(part, file, base, &holes->items[i]);
    for (size_t run = holes->count; run > 0; run--)
        TRY(copy_run(part, file, base, size, holes, run));
    TRY(os_fs_sync_dir(part->log->fs, part->dir));
    TRY(finish(part, file, base, size, holes));
    return os_fs_sync_dir(part->log->fs, part->dir);
}

/* While running ------------------------------------------------------------------------------- */

static struct log_segment *damaged_segment(struct log_part *part)
{
    struct log_segment *found = NULL;
    os_mutex_lock(&part->view_lock);
    for (size_t i = 0; i < part->segment_count && !found; i++)
        if (part->segments[i]->holes.count > 0) {
            found = part->segments[i];
            log_segment_ref(found);
        }
    os_mutex_unlock(&part->view_lock);
    return found;
}

struct runs {
    struct log_segment **items;
    size_t count;
};

static void runs_release(struct runs *runs)
{
    for (size_t i = 0; i < runs->count; i++)
        log_segment_unref(runs->items[i]);
    mem_free(runs->items);
}

static enum err load_run(struct log_part *part, int64_t base, int64_t next_base, struct str aborted,
                         struct runs *runs)
{
    runs->items = mem_resize(runs->items, (runs->count + 1) * sizeof(struct log_segment *));
    TRY(log_segment_load(part, base, next_base, aborted, &runs->items[runs->count]));
    runs->count++;
    return ERR_OK;
}

static enum err load_runs(struct log_part *part, const struct log_segment *s, int64_t next_base,
                          const struct log_holes *holes, struct str aborted, struct runs *runs)
{
    if (holes->items[0].position > 0 || holes->items[0].end == s->size)
        TRY(load_run(part, s->base_offset,
                     holes->items[0].next_offset < 0 ? next_base : holes->items[0].next_offset,
                     aborted, runs));
    for (size_t i = 0; i < holes->count; i++) {
        bool last = i + 1 == holes->count;
        if (holes->items[i].next_offset >= 0)
            TRY(load_run(part, holes->items[i].next_offset,
                         last || holes->items[i + 1].next_offset < 0
                             ? next_base
                             : holes->items[i + 1].next_offset,
                         aborted, runs));
    }
    return ERR_OK;
}

/* The runs take the damaged segment's place. */
static void swap(struct log_part *part, struct log_segment *s, const struct runs *runs)
{
    os_mutex_lock(&part->view_lock);
    size_t at = 0;
    while (at < part->segment_count && part->segments[at] != s)
        at++;
    bool there = at < part->segment_count; /* else retention was faster */
    if (there) {
        log_part_take_out(part, at);
        part->unsealed -= s->index ? 1 : 0;
    }
    for (size_t i = 0; i < runs->count; i++) {
        if (there) {
            log_segment_ref(runs->items[i]);
            log_part_insert(part, at + i, runs->items[i]);
        } else {
            part->unsealed -= runs->items[i]->index ? 1 : 0;
        }
        atomic_store(&runs->items[i]->removed, !there);
        atomic_fetch_add(&part->log->used, runs->items[i]->cost);
    }
    atomic_store(&s->removed, true);
    os_mutex_unlock(&part->view_lock);
    if (there)
        log_segment_unref(s);
}

/* The old file stays held until the new ones have its place: who still finds the segment reads the
 * old bytes. */
static enum err repair_held(struct log_part *part, struct log_segment *s, int64_t next_base,
                            struct os_file *file, struct log_holes *holes)
{
    struct runs runs = {0};
    struct buf aborted BUF_AUTO;
    buf_init(&aborted, UINT32_MAX);
    TRY(log_segment_write_state(s));
    enum err error = log_segment_aborted(s, &aborted);
    if (error == ERR_OK)
        error = log_repair_files(part, file, s->base_offset, s->size, holes);
    if (error == ERR_OK)
        error = load_runs(part, s, next_base, holes, buf_str(&aborted), &runs);
    if (error == ERR_OK)
        swap(part, s, &runs);
    for (size_t i = 0; i < runs.count; i++)
        if (atomic_load(&runs.items[i]->removed))
            log_segment_remove_files(runs.items[i]);
    runs_release(&runs);
    return error;
}

static enum err repair_rolled(struct log_part *part, struct log_segment *s, int64_t next_base,
                              struct log_holes *holes)
{
    struct log *log = part->log;
    struct os_file *file = NULL;
    uint64_t room = s->cost + (holes->count + 1) * log_segment_cost(4096, 1, 1);
    TRY(log_quota_make(log, room, part));
    enum err error = log_segment_hold(s, &file);
    if (error == ERR_OK) {
        error = repair_held(part, s, next_base, file, holes);
        log_segment_drop(s);
    }
    log_quota_return(log, room);
    return error;
}

/* A copy, because a reader may examine the segment again meanwhile; and where the next segment
 * starts, 0: this one is no longer there. */
static int64_t look_at(struct log_part *part, const struct log_segment *s,
                       struct log_holes *ret_holes)
{
    int64_t next_base = 0;
    os_mutex_lock(&part->view_lock);
    for (size_t i = 0; i + 1 < part->segment_count; i++)
        if (part->segments[i] == s)
            next_base = part->segments[i + 1]->base_offset;
    for (size_t i = 0; i < s->holes.count; i++)
        log_holes_add(ret_holes, &s->holes.items[i]);
    os_mutex_unlock(&part->view_lock);
    return next_base;
}

static bool is_dirty(struct log_part *part, const struct log_segment *s)
{
    os_mutex_lock(&part->view_lock);
    bool dirty = s->dirty;
    os_mutex_unlock(&part->view_lock);
    return dirty;
}

/* ERR_BUSY: not now. */
static enum err repair_segment(struct log_part *part, struct log_segment *s)
{
    struct log_holes holes = {0};
    if (s == part->active)
        TRY(log_part_roll(part));
    log_sync_part(part);
    /* A dirty segment belongs to the sync to come, which holds its file. Only a log without threads
     * can still find one here, from inside a sync. */
    if (is_dirty(part, s))
        return ERR_BUSY;
    /* It may have grown since its holes were found: what follows the last one must be known. */
    TRY(log_segment_examine(s));
    int64_t next_base = look_at(part, s, &holes);
    enum err error = ERR_OK;
    if (next_base > 0 && holes.count > 0)
        error = repair_rolled(part, s, next_base, &holes);
    log_holes_release(&holes);
    return error;
}

void log_part_repair(struct log_part *part)
{
    enum err error = ERR_OK;
    os_mutex_lock(&part->commit_lock);
    struct log_segment *s = part->repair_wanted ? damaged_segment(part) : NULL;
    while (s) {
        error = repair_segment(part, s);
        if (error != ERR_OK && error != ERR_BUSY)
            log_report(part->log, LOG_WARN,
                       "event=log_repair_failed topic=%s partition=%u segment=%lld error=%s",
                       part->topic->name, part->number, (long long)s->base_offset, err_name(error));
        log_segment_unref(s);
        s = error == ERR_OK ? damaged_segment(part) : NULL; /* else the next open tries again */
    }
    os_mutex_lock(&part->view_lock);
    part->repair_wanted = error == ERR_BUSY;
    os_mutex_unlock(&part->view_lock);
    os_mutex_unlock(&part->commit_lock);
}

/* Met by a reader ----------------------------------------------------------------------------- */

bool log_segment_hole(struct log_segment *s, uint64_t position, struct log_hole *ret_hole)
{
    bool found = false;
    os_mutex_lock(&s->part->view_lock);
    for (size_t i = 0; i < s->holes.count && !found; i++)
        if (s->holes.items[i].end > position) {
            *ret_hole = s->holes.items[i];
            found = true;
        }
    os_mutex_unlock(&s->part->view_lock);
    return found;
}

static bool is_known(const struct log_holes *holes, uint64_t position)
{
    for (size_t i = 0; i < holes->count; i++)
        if (holes->items[i].position == position)
            return true;
    return false;
}

/* What the scan found replaces what was known. Index files that led astray give way to the scan's.
 * ret_new: holes that were not known. */
static void adopt(struct log_segment *s, struct log_scan *scan, struct log_holes *ret_new)
{
    struct log_part *part = s->part;
    os_mutex_lock(&part->view_lock);
    for (size_t i = 0; i < scan->holes.count; i++)
        if (!is_known(&s->holes, scan->holes.items[i].position))
            log_holes_add(ret_new, &scan->holes.items[i]);
    log_holes_release(&s->holes);
    s->holes = scan->holes;
    scan->holes = (struct log_holes){0};
    if (!s->index && !s->removed) {
        s->index = NEW(struct log_index);
        *s->index = scan->index;
        log_index_init(&scan->index);
        s->sealed = false;
        part->unsealed++;
    }
    part->repair_wanted = part->repair_wanted || s->holes.count > 0;
    os_mutex_unlock(&part->view_lock);
}

enum err log_segment_examine(struct log_segment *s)
{
    struct log_part *part = s->part;
    struct log_scan scan;
    struct os_file *file = NULL;
    os_mutex_lock(&part->view_lock);
    int64_t next_base = part->end_offset;
    uint64_t visible = s->visible;
    for (size_t i = 0; i + 1 < part->segment_count; i++)
        if (part->segments[i] == s && part->segments[i + 1]->base_offset < next_base)
            next_base = part->segments[i + 1]->base_offset;
    os_mutex_unlock(&part->view_lock);
    TRY(log_segment_hold(s, &file));
    log_scan_init(&scan, s->base_offset);
    enum err error = log_scan_file(&scan, file, visible, next_base, NULL, NULL);
    log_segment_drop(s);
    struct log_holes found = {0};
    if (error == ERR_OK)
        adopt(s, &scan, &found);
    log_scan_release(&scan);
    TRY(error);
    for (size_t i = 0; i < found.count; i++)
        log_hole_report(part, s->base_offset, &found.items[i]);
    atomic_fetch_add(&part->log->stats.damaged, found.count);
    log_holes_release(&found);
    if (!part->log->options.read_only)
        log_sync_schedule(part, false);
    return ERR_OK;
}
