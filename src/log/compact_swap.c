/* Segments give way to one file, so that a stop at any moment leaves either them or it:
 *
 *     <base>.cleaned.tmp     being written; an open removes it
 *     <base>-<next>.swap     whole and synced, and so is its name: from here on it counts
 *     old files from base up to next go, one after another
 *     <base>.log             the .swap under its own name, then its indexes
 *
 * An open that finds a .swap does the last two steps again. */
#include "log/log_int.h"

#include <stdio.h>

enum { DIGITS = 20 };

static void swap_path(const struct log_part *part, int64_t base, int64_t next,
                      char ret_path[OS_PATH_MAX])
{
    int n = snprintf(ret_path, OS_PATH_MAX, "%s/%020lld-%020lld.swap", part->dir, (long long)base,
                     (long long)next);
    ASSERT(n > 0 && n < OS_PATH_MAX);
}

static enum err remove_files(struct log_part *part, int64_t base, bool snapshot)
{
    static const char *const suffixes[] = {".index", ".timeindex", ".txnindex", ".log",
                                           ".snapshot"};
    char path[OS_PATH_MAX];
    for (size_t i = 0; i < 4u + snapshot; i++) {
        log_segment_path(part, base, suffixes[i], path);
        enum err e = os_fs_remove(part->log->fs, path);
        if (e != ERR_OK && e != ERR_NOT_FOUND)
            return e;
    }
    return ERR_OK;
}

static enum err take_name(struct log_part *part, int64_t base, int64_t next)
{
    char from[OS_PATH_MAX];
    char to[OS_PATH_MAX];
    swap_path(part, base, next, from);
    log_segment_path(part, base, ".log", to);
    TRY(os_fs_sync_dir(part->log->fs, part->dir)); /* the old ones do not come back */
    TRY(os_fs_rename(part->log->fs, from, to));
    return os_fs_sync_dir(part->log->fs, part->dir);
}

/* At open ------------------------------------------------------------------------------------- */

struct found {
    struct {
        int64_t base, next;
    } swaps[8]; /* there is one at most, but for a stop while an open finishes it */
    size_t swap_count;
    int64_t *bases; /* of any file of a segment */
    size_t base_count;
};

static void note(void *arg, struct str name, bool is_dir)
{
    struct found *f = arg;
    uint64_t base = 0;
    uint64_t next = 0;
    if (is_dir || name.len <= DIGITS || str_to_u64(str_take(name, DIGITS), &base) != ERR_OK ||
        base > INT64_MAX)
        return;
    struct str rest = str_skip(name, DIGITS);
    if (rest.len == 1 + DIGITS + 5 && rest.ptr[0] == '-' && str_ends(rest, STR(".swap")) &&
        str_to_u64(str_take(str_skip(rest, 1), DIGITS), &next) == ERR_OK && next <= INT64_MAX) {
        if (f->swap_count < sizeof f->swaps / sizeof f->swaps[0]) {
            f->swaps[f->swap_count].base = (int64_t)base;
            f->swaps[f->swap_count++].next = (int64_t)next;
        }
        return;
    }
    f->bases = mem_resize(f->bases, (f->base_count + 1) * sizeof *f->bases);
    f->bases[f->base_count++] = (int64_t)base;
}

enum err log_swaps_finish(struct log_part *part)
{
    struct found f = {0};
    enum err e = os_fs_list(part->log->fs, part->dir, note, &f);
    if (e == ERR_NOT_FOUND)
        e = ERR_OK;
    for (size_t s = 0; s < f.swap_count && e == ERR_OK; s++) {
        int64_t base = f.swaps[s].base;
        for (size_t i = 0; i < f.base_count && e == ERR_OK; i++)
            if (f.bases[i] >= base && f.bases[i] < f.swaps[s].next)
                e = remove_files(part, f.bases[i], f.bases[i] > base);
        if (e == ERR_OK)
            e = take_name(part, base, f.swaps[s].next);
        log_report(part->log, LOG_INFO,
                   "event=log_swap_finished topic=%s partition=%u segment=%lld", part->topic->name,
                   part->number, (long long)base);
    }
    mem_free(f.bases);
    return e;
}

/* While running ------------------------------------------------------------------------------- */

/* Nobody else removes them from now on. False: somebody has. */
static bool reserve(struct log_part *part, struct log_segment **old, size_t count)
{
    size_t at = 0;
    os_mutex_lock(&part->view_lock);
    while (at < part->segment_count && part->segments[at] != old[0])
        at++;
    bool there = at + count < part->segment_count;
    for (size_t i = 0; i < count && there; i++)
        there = part->segments[at + i] == old[i] && old[i]->sealed && old[i]->holes.count == 0;
    for (size_t i = 0; i < count && there; i++)
        old[i]->busy = true;
    os_mutex_unlock(&part->view_lock);
    return there;
}

static void put_in_place(struct log_part *part, struct log_segment **old, size_t count,
                         struct log_segment *s)
{
    size_t at = 0;
    os_mutex_lock(&part->view_lock);
    while (part->segments[at] != old[0])
        at++;
    for (size_t i = 0; i < count; i++) {
        log_part_take_out(part, at);
        part->unsealed -= old[i]->index ? 1 : 0; /* a reader has looked at it meanwhile */
        atomic_store(&old[i]->removed, true);
    }
    log_part_insert(part, at, s);
    atomic_fetch_add(&part->log->used, s->cost);
    os_mutex_unlock(&part->view_lock);
    for (size_t i = 0; i < count; i++)
        log_segment_unref(old[i]); /* the list's */
}

/* From here on there is no way back: what fails leaves the rest to the next open. */
static enum err replace(struct log_part *part, struct log_segment **old, size_t count, int64_t next)
{
    struct log_segment *s = NULL;
    int64_t base = old[0]->base_offset;
    for (size_t i = 0; i < count; i++)
        TRY(remove_files(part, old[i]->base_offset, i > 0));
    TRY(take_name(part, base, next));
    TRY(log_segment_load(part, base, next, STR(""), &s));
    s->side_cost = old[0]->side_cost;
    s->cost += s->side_cost;
    s->touched_us = old[count - 1]->touched_us;
    put_in_place(part, old, count, s);
    return ERR_OK;
}

static enum err replace_reserved(struct log_part *part, struct log_segment **old, size_t count,
                                 const char *path)
{
    const struct os_fs *fs = part->log->fs;
    char swap[OS_PATH_MAX];
    struct os_file *file = NULL;
    size_t held = 0;
    int64_t next = old[count - 1]->next_offset;
    enum err e = ERR_OK;
    /* Who still finds the old ones reads their bytes. */
    for (; held < count && e == ERR_OK; held += e == ERR_OK)
        e = log_segment_hold(old[held], &file);
    swap_path(part, old[0]->base_offset, next, swap);
    if (e == ERR_OK)
        e = os_fs_rename(fs, path, swap);
    if (e == ERR_OK) {
        e = os_fs_sync_dir(fs, part->dir);
        if (e == ERR_OK)
            e = replace(part, old, count, next);
        if (e != ERR_OK)
            log_fatal(part->log, "replace", swap, e);
    }
    while (held > 0)
        log_segment_drop(old[--held]);
    return e;
}

enum err log_segments_replace(struct log_part *part, struct log_segment **old, size_t count,
                              const char *path)
{
    enum err e = ERR_BUSY;
    os_mutex_lock(&part->log->admin_lock); /* the topic is not deleted meanwhile */
    if (!atomic_load(&part->topic->deleted) && reserve(part, old, count)) {
        e = replace_reserved(part, old, count, path);
        os_mutex_lock(&part->view_lock);
        for (size_t i = 0; i < count; i++)
            old[i]->busy = false;
        os_mutex_unlock(&part->view_lock);
    }
    os_mutex_unlock(&part->log->admin_lock);
    if (e != ERR_OK && os_fs_remove(part->log->fs, path) != ERR_OK)
        return e; /* the next open removes it */
    return e;
}
