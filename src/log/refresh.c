/* Looking again at a folder that another process writes to (read_only). */
#include "log/log_int.h"

#include <stdio.h>

enum { BASE_DIGITS = 20 };

struct listing {
    int64_t *bases; /* of .log files, ascending */
    size_t count;
};

static void note(void *arg, struct str name, bool is_dir)
{
    struct listing *listing = arg;
    uint64_t base = 0;
    if (is_dir || !str_eq(str_skip(name, BASE_DIGITS), STR(".log")) ||
        str_to_u64(str_take(name, BASE_DIGITS), &base) != ERR_OK || base > INT64_MAX)
        return;
    listing->bases = mem_resize(listing->bases, (listing->count + 1) * sizeof *listing->bases);
    size_t at = listing->count++;
    for (; at > 0 && listing->bases[at - 1] > (int64_t)base; at--)
        listing->bases[at] = listing->bases[at - 1];
    listing->bases[at] = (int64_t)base;
}

/* Segments below the first that is still there. */
static void drop_removed(struct log_part *part, int64_t first_base)
{
    for (;;) {
        struct log_segment *gone = NULL;
        os_mutex_lock(&part->view_lock);
        if (part->segment_count > 0 && part->segments[0]->base_offset < first_base) {
            gone = part->segments[0];
            part->unsealed -= gone->index && part->segment_count > 1 ? 1 : 0;
            log_part_take_out(part, 0);
        }
        os_mutex_unlock(&part->view_lock);
        if (!gone)
            return;
        log_segment_unref(gone);
    }
}

/* What was written behind what is known of the last segment. Its index is in memory, or it would
 * not have been the last; reading goes on from there. */
static enum err extend_last(struct log_part *part, int64_t next_base)
{
    struct log_segment *s = part->segments[part->segment_count - 1];
    struct os_file *file = NULL;
    struct log_scan scan;
    uint64_t size = 0;
    TRY(log_segment_hold(s, &file));
    log_scan_init(&scan, s->base_offset);
    scan.end = s->visible;
    scan.next_offset = part->next_offset;
    enum err error = os_file_size(file, &size);
    if (error == ERR_OK)
        error = log_scan_file(&scan, file, size, next_base, NULL, NULL);
    log_segment_drop(s);
    if (error == ERR_OK && scan.end > s->visible) {
        os_mutex_lock(&part->view_lock);
        s->size = scan.end;
        s->index->max_timestamp_ms = scan.index.max_timestamp_ms > s->index->max_timestamp_ms
                                         ? scan.index.max_timestamp_ms
                                         : s->index->max_timestamp_ms;
        s->next_offset = part->next_offset = part->written_offset = scan.next_offset;
        log_part_publish(part, s, scan.end, scan.next_offset);
        os_mutex_unlock(&part->view_lock);
    }
    log_scan_release(&scan);
    return error;
}

static enum err add_segment(struct log_part *part, int64_t base, int64_t next_base)
{
    struct log_segment *s = NULL;
    TRY(log_segment_load(part, base, next_base, STR(""), &s));
    os_mutex_lock(&part->view_lock);
    log_part_insert(part, part->segment_count, s);
    part->active = s;
    part->next_offset = part->written_offset = s->next_offset;
    log_part_publish(part, s, s->size, s->next_offset);
    os_mutex_unlock(&part->view_lock);
    return ERR_OK;
}

static enum err refresh(struct log_part *part, const struct listing *listing)
{
    drop_removed(part, listing->bases[0]);
    for (size_t i = 0; i < listing->count; i++) {
        int64_t base = listing->bases[i];
        int64_t next_base = i + 1 < listing->count ? listing->bases[i + 1] : INT64_MAX;
        int64_t last =
            part->segment_count > 0 ? part->segments[part->segment_count - 1]->base_offset : -1;
        if (base == last)
            TRY(extend_last(part, next_base));
        else if (base > last)
            TRY(add_segment(part, base, next_base));
    }
    return ERR_OK;
}

enum err log_part_refresh(struct log_part *part)
{
    struct listing listing = {0};
    if (!part->log->options.read_only)
        return ERR_OK;
    os_mutex_lock(&part->commit_lock);
    enum err error = os_fs_list(part->log->fs, part->dir, note, &listing);
    if (error == ERR_OK && listing.count > 0)
        error = refresh(part, &listing);
    os_mutex_unlock(&part->commit_lock);
    mem_free(listing.bases);
    return error == ERR_NOT_FOUND ? ERR_OK : error; /* removed while it was looked at: next time */
}
