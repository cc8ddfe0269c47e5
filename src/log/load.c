/* A partition at open: which of its files can be believed, and what to do with the others.
 *
 *     clean stop    every segment is believed; the marker says where the last one ends
 *     otherwise     a segment with index files that is not the last was synced whole before they
 *                   were made (invariant 4): believed. The others are read, batch by batch:
 *                     nothing good behind the damage, in the last segment: a torn tail, cut off
 *                     any other damage: repair.c, then once more from the start
 *
 * Nobody else has the partition yet, so no lock is needed but for what segment.c takes itself. */
#include "log/log_int.h"

#include <stdio.h>

#include "codec/crc32c.h"
#include "codec/endian.h"

enum {
    BASE_DIGITS = 20,
    REPAIRS_MAX = 64, /* rounds of one open: damage that comes back is the disk's */
};

struct file_name {
    int64_t base;
    bool log, offsets, times, aborted, state;
};

struct listing {
    const struct log_part *part;
    struct file_name *files; /* by base */
    size_t count;
    struct buf temporary; /* names, each with its NUL */
    bool states;          /* .snapshot files without a segment */
};

static struct file_name *file_of(struct listing *listing, int64_t base)
{
    size_t at = listing->count;
    while (at > 0 && listing->files[at - 1].base > base)
        at--;
    if (at > 0 && listing->files[at - 1].base == base)
        return &listing->files[at - 1];
    listing->files = mem_resize(listing->files, (listing->count + 1) * sizeof *listing->files);
    memmove(listing->files + at + 1, listing->files + at,
            (listing->count - at) * sizeof *listing->files);
    listing->count++;
    listing->files[at] = (struct file_name){.base = base};
    return &listing->files[at];
}

static void note(void *arg, struct str name, bool is_dir)
{
    struct listing *listing = arg;
    uint64_t base = 0;
    struct str suffix = str_skip(name, BASE_DIGITS);
    if (is_dir)
        return;
    if (str_ends(name, STR(".tmp"))) {
        buf_append_str(&listing->temporary, name);
        buf_append_char(&listing->temporary, 0);
        return;
    }
    if (name.len <= BASE_DIGITS || str_to_u64(str_take(name, BASE_DIGITS), &base) != ERR_OK ||
        base > INT64_MAX)
        return;
    if (str_eq(suffix, STR(".log")))
        file_of(listing, (int64_t)base)->log = true;
    else if (str_eq(suffix, STR(".index")))
        file_of(listing, (int64_t)base)->offsets = true;
    else if (str_eq(suffix, STR(".timeindex")))
        file_of(listing, (int64_t)base)->times = true;
    else if (str_eq(suffix, STR(".txnindex")))
        file_of(listing, (int64_t)base)->aborted = true;
    else if (str_eq(suffix, STR(".snapshot")))
        file_of(listing, (int64_t)base)->state = true;
}

static void listing_release(struct listing *listing)
{
    mem_free(listing->files);
    buf_release(&listing->temporary);
    *listing = (struct listing){0};
}

/* Files that a stop left half made, and indexes without a log. */
static void remove_leftovers(struct log_part *part, struct listing *listing)
{
    char path[OS_PATH_MAX];
    for (size_t at = 0; at < listing->temporary.len;
         at += strlen(listing->temporary.ptr + at) + 1) {
        int n = snprintf(path, sizeof path, "%s/%s", part->dir, listing->temporary.ptr + at);
        if (n > 0 && (size_t)n < sizeof path && os_fs_remove(part->log->fs, path) != ERR_OK)
            continue; /* it is in nobody's way */
    }
    size_t kept = 0;
    for (size_t i = 0; i < listing->count; i++) {
        struct file_name *f = &listing->files[i];
        if (f->log) {
            listing->files[kept++] = *f;
            continue;
        }
        listing->states = listing->states || f->state;
        if (!f->offsets && !f->times && !f->aborted)
            continue; /* a snapshot of a clean stop: see log_producers_tidy */
        struct log_segment orphan = {.part = part, .base_offset = f->base};
        log_segment_remove_files(&orphan);
    }
    listing->count = kept;
}

static void forget_orphans(struct listing *listing)
{
    size_t kept = 0;
    for (size_t i = 0; i < listing->count; i++)
        if (listing->files[i].log)
            listing->files[kept++] = listing->files[i];
    listing->count = kept;
}

static enum err list(struct log_part *part, struct listing *ret_listing)
{
    struct listing listing = {.part = part};
    buf_init(&listing.temporary, 1 << 20);
    if (!part->log->options.read_only)
        TRY(log_swaps_finish(part));
    enum err error = os_fs_list(part->log->fs, part->dir, note, &listing);
    if (error == ERR_NOT_FOUND)
        error = ERR_OK;
    if (error != ERR_OK) {
        listing_release(&listing);
        return error;
    }
    if (part->log->options.read_only)
        forget_orphans(&listing);
    else
        remove_leftovers(part, &listing);
    *ret_listing = listing;
    return ERR_OK;
}

/* A segment that is believed ------------------------------------------------------------------ */

static uint64_t touched_us(int64_t modified_ms)
{
    int64_t age_ms = os_wall_us() / 1000 - modified_ms;
    uint64_t now_us = os_now_us();
    uint64_t age_us = age_ms > 0 ? (uint64_t)age_ms * 1000 : 0;
    return now_us > age_us ? now_us - age_us : 0;
}

static enum err stat_segment(struct log_segment *s)
{
    char path[OS_PATH_MAX];
    struct os_stat st;
    log_segment_path(s->part, s->base_offset, ".log", path);
    TRY(os_fs_stat(s->part->log->fs, path, &st));
    s->size = st.size_bytes;
    s->created_ms = st.modified_ms;
    s->touched_us = touched_us(st.modified_ms);
    return st.size_bytes <= UINT32_MAX ? ERR_OK : ERR_CORRUPT;
}

static enum err file_size(struct log_segment *s, const char *suffix, uint64_t *ret_bytes)
{
    char path[OS_PATH_MAX];
    struct os_stat st;
    log_segment_path(s->part, s->base_offset, suffix, path);
    TRY(os_fs_stat(s->part->log->fs, path, &st));
    *ret_bytes = st.size_bytes;
    return ERR_OK;
}

/* What stands beside a segment because of producers. */
static enum err stat_sides(struct log_segment *s, const struct file_name *f)
{
    uint64_t bytes = 0;
    if (f->state) {
        TRY(file_size(s, ".snapshot", &bytes));
        s->side_cost = log_quota_file_bytes(bytes);
    }
    if (f->aborted && f->offsets && f->times) {
        TRY(file_size(s, ".txnindex", &bytes));
        s->aborted_count = bytes / LOG_ABORTED_BYTES;
    }
    s->part->has_producers = s->part->has_producers || f->state;
    return ERR_OK;
}

static enum err read_last_time(struct log_segment *s)
{
    char path[OS_PATH_MAX];
    struct log_index_view view = {NULL, NULL, s->time_count};
    log_segment_path(s->part, s->base_offset, ".timeindex", path);
    if (view.count > 0)
        TRY(os_file_open(s->part->log->fs, path, 0, &view.file));
    enum err error = log_index_last_time(view, &s->max_timestamp_ms);
    os_file_close(view.file);
    return error;
}

/* ERR_CORRUPT: its index files cannot be right. */
static enum err load_sealed(struct log_segment *s)
{
    uint64_t offsets = 0;
    uint64_t times = 0;
    TRY(file_size(s, ".index", &offsets));
    TRY(file_size(s, ".timeindex", &times));
    if (offsets % LOG_OFFSET_ENTRY_BYTES || times % LOG_TIME_ENTRY_BYTES ||
        offsets / LOG_OFFSET_ENTRY_BYTES * LOG_INDEX_INTERVAL_BYTES > s->size)
        return ERR_CORRUPT;
    s->offset_count = offsets / LOG_OFFSET_ENTRY_BYTES;
    s->time_count = times / LOG_TIME_ENTRY_BYTES;
    TRY(read_last_time(s));
    s->sealed = true;
    s->visible = s->size;
    s->cost = log_segment_cost(s->size, s->offset_count, s->time_count) + s->side_cost +
              log_aborted_cost(s, 0);
    return ERR_OK;
}

/* The last segment after a clean stop: its index files' content goes to memory if it is what the
 * marker says. */

static void adopt_index(struct log_segment *s, struct log_index *index)
{
    const char *last_offset = index->offsets.ptr + index->offsets.len - LOG_OFFSET_ENTRY_BYTES;
    const char *last_time = index->times.ptr + index->times.len - LOG_TIME_ENTRY_BYTES;
    index->bytes_since_entry = s->size - be32_get(last_offset + 4);
    index->max_timestamp_ms = -1;
    if (index->times.len > 0) {
        index->max_timestamp_ms = (int64_t)be64_get(last_time);
        index->max_timestamp_offset = s->base_offset + be32_get(last_time + 8);
    }
    s->index = NEW(struct log_index);
    *s->index = *index;
    log_index_init(index);
}

static enum err load_marked(struct log_segment *s, const struct log_mark *mark)
{
    char path[OS_PATH_MAX];
    struct log_index index;
    log_index_init(&index);
    log_segment_path(s->part, s->base_offset, ".index", path);
    enum err error = os_fs_read_file(s->part->log->fs, path, &index.offsets);
    log_segment_path(s->part, s->base_offset, ".timeindex", path);
    if (error == ERR_OK)
        error = os_fs_read_file(s->part->log->fs, path, &index.times);
    if (error == ERR_OK) {
        uint32_t crc = crc32c(0, index.offsets.ptr, index.offsets.len);
        crc = crc32c(crc, index.times.ptr, index.times.len);
        bool right = crc == mark->index_crc && index.offsets.len > 0 &&
                     log_index_is_sane(buf_str(&index.offsets), buf_str(&index.times), s->size);
        error = right ? ERR_OK : ERR_CORRUPT;
    }
    if (error == ERR_OK)
        adopt_index(s, &index);
    log_index_release(&index);
    return error;
}

/* A segment that is read ---------------------------------------------------------------------- */

static enum err cut_tail(struct log_segment *s, struct os_file *file, struct log_scan *scan)
{
    const struct log_part *part = s->part;
    const struct log_hole *tail = &scan->holes.items[scan->holes.count - 1];
    log_report(part->log, LOG_WARN,
               "event=log_tail_cut topic=%s partition=%u segment=%lld position=%llu bytes=%llu "
               "offset=%lld reason=\"%s\"",
               part->topic->name, part->number, (long long)s->base_offset,
               (unsigned long long)tail->position, (unsigned long long)(s->size - tail->position),
               (long long)tail->offset, tail->reason);
    TRY(os_file_truncate(file, tail->position));
    s->size = tail->position;
    scan->holes.count--;
    return ERR_OK;
}

static void adopt_scan(struct log_segment *s, struct log_scan *scan)
{
    s->index = NEW(struct log_index);
    *s->index = scan->index;
    log_index_init(&scan->index);
    s->holes = scan->holes;
    scan->holes = (struct log_holes){0};
    s->next_offset = scan->next_offset;
    s->visible = s->size;
    s->cost = log_segment_cost(s->size, s->index->offsets.len / LOG_OFFSET_ENTRY_BYTES,
                               s->index->times.len / LOG_TIME_ENTRY_BYTES + 1) +
              s->side_cost;
}

/* Batches of producers are looked at again once all segments are there. */
static void note_producer(void *arg, uint64_t position, const struct batch_header *h,
                          struct str batch)
{
    struct log_part *part = arg;
    (void)position;
    (void)batch;
    part->has_producers = part->has_producers || h->producer_id >= 0;
}

static bool ends_in_tail(const struct log_scan *scan)
{
    return scan->holes.count > 0 && scan->holes.items[scan->holes.count - 1].next_offset < 0;
}

/* What a reader of another process's folder sees of a tail that is being written. */
static void leave_tail(struct log_segment *s, struct log_scan *scan)
{
    scan->holes.count--;
    s->size = scan->end;
}

/* Is it what a clean stop left, which had synced it? */
static bool is_as_marked(const struct log_segment *s, const struct log_scan *scan,
                         const struct log_mark *mark)
{
    return mark && scan->holes.count == 0 && s->size == mark->size &&
           scan->next_offset == mark->next_offset;
}

/* mark: of the last segment, or NULL. ret_cut: something was cut off. */
static enum err read_segment(struct log_segment *s, int64_t next_base, bool last,
                             const struct log_mark *mark, bool *ret_cut)
{
    struct os_file *file = NULL;
    struct log_scan scan;
    bool read_only = s->part->log->options.read_only;
    TRY(log_segment_hold(s, &file));
    log_scan_init(&scan, s->base_offset);
    enum err error = log_scan_file(&scan, file, s->size, next_base, note_producer, s->part);
    if (error == ERR_OK && last && ends_in_tail(&scan)) {
        if (read_only)
            leave_tail(s, &scan);
        else
            error = cut_tail(s, file, &scan);
        *ret_cut = true;
    }
    if (error == ERR_OK && !read_only && s->size > 0 && !is_as_marked(s, &scan, mark))
        error = os_file_datasync(file);
    log_segment_drop(s);
    if (error == ERR_OK)
        adopt_scan(s, &scan);
    log_scan_release(&scan);
    return error;
}

static void count_unsealed(struct log_segment *s)
{
    os_mutex_lock(&s->part->view_lock);
    s->part->unsealed++;
    os_mutex_unlock(&s->part->view_lock);
}

/* Index files for what was read, once it is known what was aborted in it. When they cannot be
 * written, a sync will try again. */
static void seal_read(struct log_segment *s)
{
    if (s->part->log->options.read_only || s->holes.count > 0)
        return;
    if (log_segment_write_index(s) == ERR_OK)
        (void)log_segment_seal(s);
}

enum err log_segment_load(struct log_part *part, int64_t base, int64_t next_base,
                          struct str aborted, struct log_segment **ret_segment)
{
    struct log_segment *s = log_segment_new(part, base);
    bool cut = false;
    enum err error = stat_segment(s);
    if (error == ERR_OK)
        error = read_segment(s, next_base, false, NULL, &cut);
    if (error != ERR_OK) {
        log_segment_unref(s);
        return error;
    }
    log_aborted_adopt(s, aborted, next_base);
    count_unsealed(s);
    seal_read(s);
    *ret_segment = s;
    return ERR_OK;
}

/* The partition ------------------------------------------------------------------------------- */

struct loading {
    struct log_part *part;
    struct listing listing;
    const struct log_mark *mark; /* NULL unless it fits the files */
    bool cut;                    /* something that was there is not any more */
    bool repaired;               /* start again */
    bool repair;                 /* allowed */
};

static bool mark_fits(const struct loading *l, const struct log_mark *mark)
{
    char path[OS_PATH_MAX];
    struct os_stat st;
    if (!mark || l->listing.count == 0)
        return false;
    int64_t base = l->listing.files[l->listing.count - 1].base;
    log_segment_path(l->part, base, ".log", path);
    return base == mark->base_offset && os_fs_stat(l->part->log->fs, path, &st) == ERR_OK &&
           st.size_bytes == mark->size;
}

static enum err repair(struct loading *l, struct log_segment *s)
{
    struct log *log = l->part->log;
    struct os_file *file = NULL;
    uint64_t room = s->cost + (s->holes.count + 1) * log_segment_cost(4096, 1, 1);
    atomic_fetch_add(&log->stats.damaged, s->holes.count);
    if (!log_quota_take(log, room))
        return ERR_QUOTA;
    enum err error = log_segment_hold(s, &file);
    if (error == ERR_OK) {
        error = log_repair_files(l->part, file, s->base_offset, s->size, &s->holes);
        log_segment_drop(s);
    }
    log_quota_return(log, room);
    return error;
}

/* Read it; repair it if that is needed and allowed. Damage that cannot be set aside is stepped over
 * by readers. */
static enum err load_read(struct loading *l, struct log_segment *s, int64_t next_base, bool last)
{
    TRY(read_segment(s, next_base, last, last ? l->mark : NULL, &l->cut));
    if (s->holes.count > 0) {
        l->cut = true;
        l->repaired = l->repair && repair(l, s) == ERR_OK;
        for (size_t i = 0; i < s->holes.count; i++)
            log_hole_report(l->part, s->base_offset, &s->holes.items[i]);
    }
    if (!last && !l->repaired)
        count_unsealed(s); /* and sealed when all are read */
    return ERR_OK;
}

static enum err load_last(struct loading *l, struct log_segment *s, const struct file_name *f)
{
    struct log_part *part = l->part;
    part->index_is_stale = f->offsets || f->times;
    if (!l->mark || load_marked(s, l->mark) != ERR_OK)
        return load_read(l, s, INT64_MAX, true);
    s->next_offset = l->mark->next_offset;
    s->visible = s->size;
    s->cost = log_segment_cost(s->size, s->index->offsets.len / LOG_OFFSET_ENTRY_BYTES,
                               s->index->times.len / LOG_TIME_ENTRY_BYTES + 1) +
              s->side_cost;
    return ERR_OK;
}

static enum err load_segment(struct loading *l, size_t at)
{
    struct log_part *part = l->part;
    const struct file_name *f = &l->listing.files[at];
    bool last = at + 1 == l->listing.count;
    struct log_segment *s = log_segment_new(part, f->base);
    log_part_insert(part, part->segment_count, s);
    TRY(stat_segment(s));
    TRY(stat_sides(s, f));
    if (last || !f->offsets || !f->times)
        s->aborted_count = 0; /* they are found again */
    if (last)
        return load_last(l, s, f);
    enum err error = f->offsets && f->times ? load_sealed(s) : ERR_CORRUPT;
    if (error == ERR_OK)
        return ERR_OK;
    if (l->mark)
        log_report(part->log, LOG_WARN,
                   "event=log_index_rebuilt topic=%s partition=%u segment=%lld", part->topic->name,
                   part->number, (long long)f->base);
    return load_read(l, s, l->listing.files[at + 1].base, false);
}

static void unload(struct log_part *part)
{
    while (part->segment_count > 0) {
        struct log_segment *s = part->segments[part->segment_count - 1];
        log_part_take_out(part, part->segment_count - 1);
        log_segment_unref(s);
    }
    part->unsealed = 0;
}

static enum err load_all(struct loading *l, const struct log_mark *mark)
{
    for (unsigned round = 0;; round++) {
        l->repaired = false;
        l->repair = !l->part->log->options.read_only && round < REPAIRS_MAX;
        unload(l->part);
        listing_release(&l->listing);
        TRY(list(l->part, &l->listing));
        l->part->has_producers = l->listing.states;
        l->mark = mark_fits(l, mark) ? mark : NULL;
        enum err error = ERR_OK;
        for (size_t i = 0; i < l->listing.count && !l->repaired && error == ERR_OK; i++)
            error = load_segment(l, i);
        bool moved = error == ERR_NOT_FOUND &&
                     round < REPAIRS_MAX; /* by the folder's owner, if only looked at */
        if (!l->repaired && !moved)
            return error;
    }
}

static void settle(struct log_part *part)
{
    struct log_segment *last =
        part->segment_count > 0 ? part->segments[part->segment_count - 1] : NULL;
    for (size_t i = 0; i + 1 < part->segment_count; i++)
        part->segments[i]->next_offset = part->segments[i + 1]->base_offset;
    part->active = last;
    part->next_offset = last ? last->next_offset : 0;
    part->end_offset = part->written_offset = part->synced_offset = part->next_offset;
}

/* Damage may have taken the last offsets; they are not given out again if the marker knows them. */
static enum err keep_offsets(struct log_part *part, const struct log_mark *mark)
{
    if (!mark || mark->next_offset <= part->next_offset)
        return ERR_OK;
    part->next_offset = part->written_offset = part->end_offset = mark->next_offset;
    part->synced_offset = mark->next_offset;
    return part->active && part->active->size > 0 ? log_part_roll(part) : ERR_OK;
}

/* The folder was counted as it was found. */
static void adjust_usage(struct log_part *part, uint64_t before)
{
    struct log *log = part->log;
    uint64_t after = LOG_PART_COST_BYTES;
    for (size_t i = 0; i < part->segment_count; i++)
        after += part->segments[i]->cost;
    atomic_fetch_add(&log->used, after);
    log_quota_return(log, before);
}

static void load_producers(struct log_part *part)
{
    if (part->has_producers) {
        log_producers_load(part, true);
        log_producers_tidy(part);
    }
    for (size_t i = 0; i < part->segment_count; i++) {
        struct log_segment *s = part->segments[i];
        if (s->sealed)
            continue;
        s->cost += log_aborted_cost(s, 0);
        if (i + 1 < part->segment_count)
            seal_read(s);
    }
}

enum err log_part_load(struct log_part *part, const struct log_mark *mark)
{
    struct loading l = {.part = part};
    uint64_t before = 0;
    bool read_only = part->log->options.read_only;
    enum err error = read_only ? ERR_OK : log_usage_of(part->log->fs, part->dir, &before);
    if (error == ERR_NOT_FOUND)
        error = ERR_OK;
    if (error == ERR_OK)
        error = log_epochs_read(part);
    if (error == ERR_OK)
        error = load_all(&l, mark);
    listing_release(&l.listing);
    TRY(error);
    settle(part);
    TRY(log_floor_read(part));
    if (read_only)
        return ERR_OK;
    load_producers(part);
    if (!l.mark &&
        part->segment_count > 0) /* files may be newer than the last sync of their names */
        TRY(os_fs_sync_dir(part->log->fs, part->dir));
    adjust_usage(part, before);
    TRY(keep_offsets(part, mark));
    return l.cut ? log_epochs_begin(part) : ERR_OK;
}
