/* Aborted transactions, so that readers of what is committed can leave them out: of each segment
 * those whose marker it holds, byte for byte Kafka's <base>.txnindex (AbortedTxn.java):
 *
 *     (int16 version, 0 | int64 producer id | int64 first offset | int64 the marker's offset
 *      | int64 last stable offset once it was written)*
 *
 * by the marker's offset. In memory until the segment is sealed, then read from the file; segments
 * without any have no file. */
#include "log/log_int.h"

#include "codec/endian.h"

enum {
    AT_PRODUCER = 2,
    AT_FIRST = 10,
    AT_LAST = 18,
    AT_STABLE = 26,
    FILE_MAX_BYTES = 64 << 20,
};

void log_aborted_add(struct buf *entries, int64_t producer_id, const struct log_ended *ended,
                     int64_t marker_offset)
{
    char entry[LOG_ABORTED_BYTES] = {0};
    be64_put(entry + AT_PRODUCER, (uint64_t)producer_id);
    be64_put(entry + AT_FIRST, (uint64_t)ended->first);
    be64_put(entry + AT_LAST, (uint64_t)marker_offset);
    be64_put(entry + AT_STABLE, (uint64_t)ended->stable);
    buf_append(entries, entry, sizeof entry);
}

uint64_t log_aborted_cost(const struct log_segment *s, size_t more)
{
    size_t entries = s->aborted.len / LOG_ABORTED_BYTES + s->aborted_count + more;
    return entries > 0 ? log_quota_file_bytes(entries * LOG_ABORTED_BYTES) : 0;
}

enum err log_segment_aborted(struct log_segment *s, struct buf *out)
{
    char path[OS_PATH_MAX];
    os_mutex_lock(&s->part->view_lock);
    buf_append_str(out, buf_str(&s->aborted));
    bool in_file = s->aborted_count > 0;
    os_mutex_unlock(&s->part->view_lock);
    if (!in_file)
        return out->error;
    log_segment_path(s->part, s->base_offset, ".txnindex", path);
    return os_fs_read_file(s->part->log->fs, path, out);
}

bool log_aborted_has(struct str entries, int64_t producer_id, int64_t offset)
{
    for (size_t at = 0; at + LOG_ABORTED_BYTES <= entries.len; at += LOG_ABORTED_BYTES) {
        const char *entry = entries.ptr + at;
        if ((int64_t)be64_get(entry + AT_PRODUCER) == producer_id &&
            (int64_t)be64_get(entry + AT_FIRST) <= offset &&
            (int64_t)be64_get(entry + AT_LAST) > offset)
            return true;
    }
    return false;
}

void log_aborted_adopt(struct log_segment *to, struct str entries, int64_t next_base)
{
    for (size_t at = 0; at + LOG_ABORTED_BYTES <= entries.len; at += LOG_ABORTED_BYTES) {
        int64_t last = (int64_t)be64_get(entries.ptr + at + AT_LAST);
        if (last >= to->base_offset && last < next_base)
            buf_append(&to->aborted, entries.ptr + at, LOG_ABORTED_BYTES);
    }
}

enum err log_aborted_write(struct log_segment *s)
{
    char path[OS_PATH_MAX];
    if (s->aborted.len == 0)
        return ERR_OK;
    log_segment_path(s->part, s->base_offset, ".txnindex", path);
    return os_fs_write_file(s->part->log->fs, path, buf_str(&s->aborted));
}

/* True: no segment after this one has any that begins below `to`. */
static bool take(struct str entries, int64_t from, int64_t to, struct buf *out)
{
    for (size_t at = 0; at + LOG_ABORTED_BYTES <= entries.len; at += LOG_ABORTED_BYTES) {
        const char *entry = entries.ptr + at;
        struct log_aborted a = {(int64_t)be64_get(entry + AT_PRODUCER),
                                (int64_t)be64_get(entry + AT_FIRST)};
        if ((int64_t)be64_get(entry + AT_LAST) >= from && a.first_offset < to)
            buf_append(out, &a, sizeof a);
        if ((int64_t)be64_get(entry + AT_STABLE) >= to)
            return true;
    }
    return false;
}

static bool has_any(struct log_part *part)
{
    bool any = false;
    os_mutex_lock(&part->view_lock);
    for (size_t i = 0; i < part->segment_count && !any; i++)
        any = part->segments[i]->aborted.len > 0 || part->segments[i]->aborted_count > 0;
    os_mutex_unlock(&part->view_lock);
    return any;
}

enum err log_part_aborted(struct log_part *part, int64_t from, int64_t to, struct buf *out)
{
    struct log_segment **segments = NULL;
    struct buf entries BUF_AUTO;
    enum err e = ERR_OK;
    bool over = false;
    buf_init(&entries, FILE_MAX_BYTES);
    if (!has_any(part))
        return ERR_OK;
    size_t count = log_part_segments(part, &segments);
    for (size_t i = 0; i < count && e == ERR_OK && !over; i++) {
        if (i + 1 < count && segments[i + 1]->base_offset <= from)
            continue;
        buf_reset(&entries);
        e = log_segment_aborted(segments[i], &entries);
        if (e == ERR_NOT_FOUND) /* just removed: so are its records */
            e = ERR_OK;
        over = e == ERR_OK && take(buf_str(&entries), from, to, out);
    }
    log_part_segments_release(segments, count);
    return e == ERR_OK ? out->error : e;
}
