/* Reading every byte of a partition again: batches, records, offsets, and the indexes against them.
 */
#include "log/log_int.h"

#include "codec/endian.h"

struct verification {
    struct log_part *part;
    struct log_segment *segment;
    struct compress *compress;
    struct buf unpacked;
    void (*found)(void *arg, const struct log_damage *damage);
    void *arg;
};

static void tell(struct verification *v, uint64_t position, uint64_t length, int64_t offset,
                 int64_t next_offset, const char *reason)
{
    struct log_damage damage = {
        v->part, v->segment->base_offset, position, length, offset, next_offset, reason};
    v->found(v->arg, &damage);
}

static void check_records(void *arg, uint64_t position, const struct batch_header *h,
                          struct str batch)
{
    struct verification *v = arg;
    buf_reset(&v->unpacked);
    enum err error = batch_unpack(v->compress, h, batch, LOG_UNPACKED_MAX_BYTES, &v->unpacked);
    if (error == ERR_OK)
        error = batch_records_check(h, buf_str(&v->unpacked));
    if (error != ERR_OK)
        tell(v, position, h->size_bytes, h->base_offset, batch_last_offset(h) + 1,
             "records cannot be read");
}

static enum err read_index(struct log_segment *s, const char *suffix, struct buf *out)
{
    char path[OS_PATH_MAX];
    log_segment_path(s->part, s->base_offset, suffix, path);
    return os_fs_read_file(s->part->log->fs, path, out);
}

/* Every entry must be the last offset of a batch and where it starts. */
static const char *check_offsets(struct verification *v, struct str offsets, struct os_file *file)
{
    struct log_reader r = {.file = file, .limit = v->segment->size, .chunk = LOG_CHUNK_CURSOR};
    const char *reason = NULL;
    for (size_t at = 0; at < offsets.len && !reason; at += LOG_OFFSET_ENTRY_BYTES) {
        struct batch_header h;
        int64_t last = v->segment->base_offset + be32_get(offsets.ptr + at);
        if (log_reader_header(&r, be32_get(offsets.ptr + at + 4), &h) != ERR_OK ||
            batch_last_offset(&h) != last)
            reason = "an entry of the offset index leads astray";
    }
    log_reader_release(&r);
    return reason;
}

static void check_index(struct verification *v, struct os_file *file, const struct log_scan *scan)
{
    struct log_segment *s = v->segment;
    struct buf offsets BUF_AUTO;
    struct buf times BUF_AUTO;
    int64_t newest = -1;
    buf_init(&offsets, UINT32_MAX);
    buf_init(&times, UINT32_MAX);
    os_mutex_lock(&v->part->view_lock);
    bool sealed = s->sealed && !s->removed;
    os_mutex_unlock(&v->part->view_lock);
    if (!sealed) /* its indexes are in memory, made from what was just checked */
        return;
    const char *reason = NULL;
    if (read_index(s, ".index", &offsets) != ERR_OK ||
        read_index(s, ".timeindex", &times) != ERR_OK)
        reason = "an index cannot be read";
    else if (!log_index_is_sane(buf_str(&offsets), buf_str(&times), s->size))
        reason = "entries of an index are out of order";
    else
        reason = check_offsets(v, buf_str(&offsets), file);
    struct log_index_view view = {times.ptr, NULL, times.len / LOG_TIME_ENTRY_BYTES};
    if (!reason &&
        (log_index_last_time(view, &newest) != ERR_OK || newest != scan->index.max_timestamp_ms))
        reason = "the time index does not end with the newest time";
    if (reason)
        tell(v, 0, 0, s->base_offset, s->base_offset, reason);
}

static enum err verify_segment(struct verification *v, uint64_t visible, int64_t next_base)
{
    struct log_scan scan;
    struct os_file *file = NULL;
    TRY(log_segment_hold(v->segment, &file));
    log_scan_init(&scan, v->segment->base_offset);
    enum err error = log_scan_file(&scan, file, visible, next_base, check_records, v);
    for (size_t i = 0; i < scan.holes.count; i++) {
        const struct log_hole *hole = &scan.holes.items[i];
        tell(v, hole->position, hole->end - hole->position, hole->offset, hole->next_offset,
             hole->reason);
    }
    if (error == ERR_OK && scan.holes.count == 0)
        check_index(v, file, &scan);
    log_scan_release(&scan);
    log_segment_drop(v->segment);
    return error;
}

enum err log_part_verify(struct log_part *part,
                         void (*found)(void *arg, const struct log_damage *damage), void *arg)
{
    struct verification v = {.part = part, .found = found, .arg = arg};
    struct log_segment **segments = NULL;
    size_t count = log_part_segments(part, &segments);
    enum err error = ERR_OK;
    v.compress = compress_new();
    buf_init(&v.unpacked, LOG_UNPACKED_MAX_BYTES);
    for (size_t i = 0; i < count && error == ERR_OK; i++) {
        v.segment = segments[i];
        os_mutex_lock(&part->view_lock);
        uint64_t visible = segments[i]->visible;
        os_mutex_unlock(&part->view_lock);
        error =
            verify_segment(&v, visible, i + 1 < count ? segments[i + 1]->base_offset : INT64_MAX);
        if (error == ERR_NOT_FOUND) /* removed meanwhile */
            error = ERR_OK;
    }
    buf_release(&v.unpacked);
    compress_free(v.compress);
    log_part_segments_release(segments, count);
    return error;
}

/* A file by itself
 * --------------------------------------------------------------------------------- */

static int64_t base_of(const char *path)
{
    struct str name = str_from_c(path);
    uint64_t base = 0;
    for (ptrdiff_t slash; (slash = str_index(name, '/')) >= 0;)
        name = str_skip(name, (size_t)slash + 1);
    bool named = str_to_u64(str_take(name, 20), &base) == ERR_OK && base <= INT64_MAX;
    return named ? (int64_t)base : 0;
}

enum err log_file_scan(const char *path,
                       void (*batch)(void *arg, uint64_t position,
                                     const struct batch_header *header, struct str bytes),
                       void (*damage)(void *arg, const struct log_damage *damage), void *arg)
{
    struct os_file *file = NULL;
    struct log_scan scan;
    uint64_t size = 0;
    TRY(os_file_open(os_fs_machine(), path, 0, &file));
    log_scan_init(&scan, base_of(path));
    enum err error = os_file_size(file, &size);
    if (error == ERR_OK)
        error = log_scan_file(&scan, file, size, INT64_MAX, batch, arg);
    for (size_t i = 0; damage && i < scan.holes.count; i++) {
        const struct log_hole *h = &scan.holes.items[i];
        struct log_damage found = {NULL,      scan.base,      h->position, h->end - h->position,
                                   h->offset, h->next_offset, h->reason};
        damage(arg, &found);
    }
    log_scan_release(&scan);
    os_file_close(file);
    return error;
}
