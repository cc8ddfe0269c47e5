/* The clean marker: where every partition ended when the log was closed, so that the next open need
 * not look.
 *
 *     weir-clean 1
 *     <topic>-<partition> <last segment's base> <its size> <next offset> <CRC of its index files>
 *     …
 *     crc <CRC-32C of the lines above, hex>
 *
 * It is removed before anything is changed, so its presence says that it is true. */
#include "log/log_int.h"

#include <stdio.h>

#include "codec/crc32c.h"

enum { MARKER_MAX_BYTES = 64 << 20 };

static void path_of(const struct log *log, char ret_path[OS_PATH_MAX])
{
    int n = snprintf(ret_path, OS_PATH_MAX, "%s/clean", log->dir);
    ASSERT(n > 0 && n < OS_PATH_MAX);
}

/* Reading ------------------------------------------------------------------------------------- */

static enum err parse_line(struct str line, struct log_mark *ret_mark)
{
    struct str name = str_split(&line, ' ');
    int64_t base = 0;
    int64_t next = 0;
    uint64_t size = 0;
    uint64_t crc = 0;
    TRY(str_to_i64(str_split(&line, ' '), &base));
    TRY(str_to_u64(str_split(&line, ' '), &size));
    TRY(str_to_i64(str_split(&line, ' '), &next));
    TRY(str_to_u64(line, &crc));
    if (base < 0 || next < base || crc > UINT32_MAX)
        return ERR_CORRUPT;
    *ret_mark = (struct log_mark){mem_strdup(name.ptr, name.len), base, size, next, (uint32_t)crc};
    return ERR_OK;
}

static enum err parse(struct log *log, struct str text)
{
    ptrdiff_t end = str_find(text, STR("\ncrc "));
    if (end < 0)
        return ERR_CORRUPT;
    char expected[16];
    struct str body = str_take(text, (size_t)end + 1);
    (void)snprintf(expected, sizeof expected, "%08x\n", crc32c(0, body.ptr, body.len));
    if (!str_eq(str_skip(text, (size_t)end + 5), str_from_c(expected)))
        return ERR_CORRUPT;
    if (!str_eq(str_split(&body, '\n'), STR("weir-clean 1")))
        return ERR_NEWER_FORMAT;
    while (body.len > 0) {
        if (log->mark_count % 64 == 0)
            log->marks = mem_resize(log->marks, (log->mark_count + 64) * sizeof *log->marks);
        TRY(parse_line(str_split(&body, '\n'), &log->marks[log->mark_count]));
        log->mark_count++;
    }
    return ERR_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct log_mark *)a)->name, ((const struct log_mark *)b)->name);
}

void log_marks_read(struct log *log)
{
    char path[OS_PATH_MAX];
    struct buf text BUF_AUTO;
    buf_init(&text, MARKER_MAX_BYTES);
    path_of(log, path);
    if (os_fs_read_file(log->fs, path, &text) != ERR_OK)
        return;
    if (parse(log, buf_str(&text)) != ERR_OK) {
        log_report(log, LOG_WARN, "event=log_marker_damaged file=%s", path);
        log_marks_forget(log);
    }
    if (log->mark_count > 0)
        qsort(log->marks, log->mark_count, sizeof *log->marks, by_name);
}

void log_marks_forget(struct log *log)
{
    for (size_t i = 0; i < log->mark_count; i++)
        mem_free(log->marks[i].name);
    mem_free(log->marks);
    log->marks = NULL;
    log->mark_count = 0;
}

static int with_name(const void *name, const void *mark)
{
    return strcmp(name, ((const struct log_mark *)mark)->name);
}

const struct log_mark *log_marks_find(const struct log *log, const char *name)
{
    if (log->mark_count == 0)
        return NULL;
    return bsearch(name, log->marks, log->mark_count, sizeof *log->marks, with_name);
}

/* Writing ------------------------------------------------------------------------------------- */

static enum err write_plain(struct log_segment *s, const char *suffix, struct str content)
{
    char path[OS_PATH_MAX];
    struct os_file *file = NULL;
    log_segment_path(s->part, s->base_offset, suffix, path);
    TRY(os_file_open(s->part->log->fs, path, OS_OPEN_WRITE | OS_OPEN_CREATE | OS_OPEN_FRESH,
                     &file));
    enum err error = os_file_write_str(file, content, 0);
    os_file_close(file);
    return error;
}

/* Index files of the last segment are not synced: the CRC in the marker tells whether they are
 * whole. */
static enum err write_index(struct log_segment *s, uint32_t *ret_crc)
{
    struct log_index *index = s->index;
    log_index_finish(index, s->base_offset);
    struct str offsets = buf_str(&index->offsets);
    struct str times = buf_str(&index->times);
    *ret_crc = crc32c(crc32c(0, offsets.ptr, offsets.len), times.ptr, times.len);
    if (offsets.len == 0) /* so small a segment is read at the next open */
        return ERR_OK;
    TRY(write_plain(s, ".timeindex", times));
    return write_plain(s, ".index", offsets);
}

static enum err mark_part(struct log_part *part, struct buf *text)
{
    struct log_segment *s = part->active;
    uint32_t crc = 0;
    if (!s || s->holes.count > 0)
        return ERR_OK;
    TRY(write_index(s, &crc));
    TRY(log_producers_save_end(part));
    buf_printf(text, "%s-%u %lld %llu %lld %u\n", part->topic->name, part->number,
               (long long)s->base_offset, (unsigned long long)s->size, (long long)s->next_offset,
               crc);
    return ERR_OK;
}

enum err log_marks_write(struct log *log)
{
    char path[OS_PATH_MAX];
    struct buf text BUF_AUTO;
    buf_init(&text, MARKER_MAX_BYTES);
    buf_append_str(&text, STR("weir-clean 1\n"));
    for (size_t t = 0; t < log->topic_count; t++)
        for (uint32_t p = 0; p < log_topic_partitions(log->topics[t]); p++)
            TRY(mark_part(log_topic_part(log->topics[t], p), &text));
    uint32_t crc = crc32c(0, text.ptr, text.len);
    buf_printf(&text, "crc %08x\n", crc);
    if (text.error != ERR_OK)
        return text.error;
    path_of(log, path);
    TRY(os_fs_write_file(log->fs, path, buf_str(&text)));
    return os_fs_sync_dir(log->fs, log->dir);
}
