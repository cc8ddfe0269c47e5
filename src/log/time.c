/* Reading by time: the first segment that has so late a record, its time index, and a walk from
 * there. */
#include "log/log_int.h"

/* Where to start looking. False: no segment has a record that late. */
static enum err start_of(struct log_part *part, int64_t timestamp_ms, int64_t *ret_offset,
                         bool *ret_any)
{
    struct log_segment **segments = NULL;
    size_t count = log_part_segments(part, &segments);
    enum err error = ERR_OK;
    *ret_any = false;
    for (size_t i = 0; i < count && !*ret_any; i++) {
        os_mutex_lock(&part->view_lock);
        bool late = log_segment_newest(segments[i]) >= timestamp_ms;
        os_mutex_unlock(&part->view_lock);
        if (!late)
            continue;
        *ret_any = true;
        error = log_segment_find_time(segments[i], timestamp_ms, ret_offset);
        if (error == ERR_NOT_FOUND || error == ERR_CORRUPT) { /* the long way */
            *ret_offset = segments[i]->base_offset;
            error = ERR_OK;
        }
    }
    log_part_segments_release(segments, count);
    return error;
}

enum err log_find_time(struct log_part *part, int64_t timestamp_ms, int64_t *ret_offset,
                       int64_t *ret_timestamp_ms)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    int64_t offset = 0;
    bool any = false;
    if (atomic_load(&part->topic->deleted))
        return ERR_NOT_FOUND;
    int64_t end = log_part_end(part);
    TRY(start_of(part, timestamp_ms, &offset, &any));
    if (any) {
        TRY(log_cursor_open(part, offset, LOG_FORWARD, &cursor));
        enum err error;
        while ((error = log_cursor_next(cursor, &entry)) == ERR_OK && entry &&
               entry->timestamp_ms < timestamp_ms)
            ;
        int64_t found_ms = entry ? entry->timestamp_ms : -1;
        offset = entry ? entry->offset : end;
        bool found = entry != NULL;
        log_cursor_close(cursor);
        TRY(error);
        if (found) {
            *ret_offset = offset;
            *ret_timestamp_ms = found_ms;
            return ERR_OK;
        }
    }
    *ret_offset = end;
    *ret_timestamp_ms = -1;
    return ERR_OK;
}
