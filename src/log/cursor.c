/* Records one after another, decoded, in either direction.
 *
 * A cursor holds one segment and one unpacked batch of it. Forward it goes from batch to batch
 * without looking anything up; backward each batch is found through the index, which leads to
 * within LOG_INDEX_INTERVAL_BYTES. */
#include "log/log_int.h"

enum { CHUNK_BACKWARD = 16 << 10 };

struct log_cursor {
    struct log_part *part;
    enum log_direction direction;
    int64_t offset; /* forward: of the next record at least; backward: one above it at most */

    struct log_found found; /* the segment at hand; held while .segment is not NULL */
    struct log_reader reader;
    uint64_t position;  /* forward: of the next batch */
    int64_t min_offset; /* forward: which starts at or above this */

    struct compress *compress;
    struct buf unpacked;
    struct batch_header header;
    bool loaded;      /* backward: header is of a batch whose records are in unpacked */
    struct str rest;  /* forward: records not yet given */
    int32_t left;     /* forward: how many; backward: how many of starts */
    uint32_t *starts; /* backward: of each record in unpacked */
    size_t start_capacity;

    struct log_entry entry;
};

enum err log_cursor_open(struct log_part *part, int64_t offset, enum log_direction direction,
                         struct log_cursor **ret_cursor)
{
    if (atomic_load(&part->topic->deleted))
        return ERR_NOT_FOUND;
    struct log_cursor *c = NEW(struct log_cursor);
    c->part = part;
    c->direction = direction;
    c->offset = offset > 0 ? offset : 0;
    int64_t end = log_part_end(part);
    if (direction == LOG_BACKWARD && c->offset > end)
        c->offset = end;
    c->compress = compress_new();
    buf_init(&c->unpacked, LOG_UNPACKED_MAX_BYTES);
    c->reader.chunk = direction == LOG_FORWARD ? LOG_CHUNK_CURSOR : CHUNK_BACKWARD;
    *ret_cursor = c;
    return ERR_OK;
}

static void leave_segment(struct log_cursor *c)
{
    if (!c->found.segment)
        return;
    log_segment_drop(c->found.segment);
    log_segment_unref(c->found.segment);
    c->found = (struct log_found){0};
    c->reader.len = 0;
}

void log_cursor_close(struct log_cursor *c)
{
    if (!c)
        return;
    leave_segment(c);
    log_reader_release(&c->reader);
    compress_free(c->compress);
    buf_release(&c->unpacked);
    mem_free(c->starts);
    mem_free(c);
}

int64_t log_cursor_offset(const struct log_cursor *c)
{
    return c->offset;
}

/* Batches ------------------------------------------------------------------------------------- */

/* Hold the segment that offset is in. ERR_NOT_FOUND: none, it is the end. ERR_RESET: its owner has
 * removed the file from a folder that is only looked at; *ret_next_base is where others begin. */
static enum err enter_segment(struct log_cursor *c, int64_t offset, int64_t *ret_next_base)
{
    leave_segment(c);
    for (;;) {
        struct log_found f;
        TRY(log_part_find(c->part, offset, &f));
        if (!f.segment)
            return ERR_NOT_FOUND;
        enum err error = log_segment_hold(f.segment, &c->reader.file);
        if (error == ERR_OK) {
            c->found = f;
            c->min_offset = f.segment->base_offset;
            c->reader.limit = f.visible;
            c->reader.len = 0;
            return ERR_OK;
        }
        bool replaced = atomic_load(&f.segment->removed);
        log_segment_unref(f.segment);
        *ret_next_base = f.next_base;
        if (error != ERR_NOT_FOUND || !replaced)
            return error == ERR_NOT_FOUND ? ERR_RESET : error;
    }
}

static void report_unreadable(const struct log_cursor *c, enum err error)
{
    log_report(c->part->log, LOG_ERROR,
               "event=log_batch_unreadable topic=%s partition=%u segment=%lld offset=%lld error=%s",
               c->part->topic->name, c->part->number, (long long)c->found.segment->base_offset,
               (long long)c->header.base_offset, err_name(error));
}

/* The batch at position, whole and unpacked. ERR_CORRUPT: step over it. */
static enum err load_batch(struct log_cursor *c, uint64_t position)
{
    struct str bytes;
    enum err error = log_reader_batch(&c->reader, position, &c->header, &bytes);
    if (log_error_is_damage(error)) {
        TRY(log_segment_examine(c->found.segment));
        c->found.has_holes = true;
        return ERR_CORRUPT;
    }
    TRY(error);
    buf_reset(&c->unpacked);
    error = batch_unpack(c->compress, &c->header, bytes, LOG_UNPACKED_MAX_BYTES, &c->unpacked);
    if (error == ERR_NO_MEMORY)
        return error;
    if (error != ERR_OK)
        report_unreadable(c, error);
    return error == ERR_OK ? ERR_OK : ERR_CORRUPT;
}

/* Records ------------------------------------------------------------------------------------- */

static void fill_entry(struct log_cursor *c, const struct record_view *r)
{
    struct log_entry *e = &c->entry;
    const struct batch_header *h = &c->header;
    bool append_time = h->attributes & BATCH_APPEND_TIME;
    e->offset = h->base_offset + r->offset_delta;
    e->timestamp_ms =
        append_time ? h->max_timestamp_ms
                    : (int64_t)((uint64_t)h->base_timestamp_ms + (uint64_t)r->timestamp_delta_ms);
    e->key = r->key;
    e->value = r->value;
    e->producer_id = h->producer_id;
    e->transactional = h->attributes & BATCH_TRANSACTIONAL;
    e->control = h->attributes & BATCH_CONTROL;
    struct str rest = r->headers;
    e->header_count = 0;
    for (int32_t i = 0; i < r->header_count && e->header_count < LOG_HEADERS_MAX; i++)
        if (record_header_read(&rest, &e->headers[e->header_count]) == ERR_OK)
            e->header_count++;
        else
            break;
}

const struct str *log_entry_header(const struct log_entry *entry, struct str name)
{
    for (size_t i = 0; i < entry->header_count; i++)
        if (str_eq(entry->headers[i].name, name))
            return &entry->headers[i].value;
    return NULL;
}

/* Forward ------------------------------------------------------------------------------------- */

/* Find the batch for c->offset in the segment at hand, or in the next. ERR_NOT_FOUND at the end. */
static enum err forward_seek(struct log_cursor *c)
{
    for (;;) {
        int64_t start = log_part_start(c->part);
        int64_t next_base = 0;
        if (c->offset < start)
            c->offset = start;
        enum err error = enter_segment(c, c->offset, &next_base);
        if (error == ERR_OUT_OF_RANGE) /* beyond the end, or removed this moment */
            return ERR_NOT_FOUND;
        if (error == ERR_RESET) {
            c->offset = next_base;
            continue;
        }
        TRY(error);
        error =
            log_find_batch_from_index(&c->found, &c->reader, c->offset, &c->position, &c->header);
        if (error == ERR_OK)
            c->min_offset = c->header.base_offset;
        if (error != ERR_NOT_FOUND)
            return error;
        c->offset = c->found.next_base;
    }
}

static enum err forward_batch(struct log_cursor *c)
{
    if (!c->found.segment || c->position >= c->found.visible)
        TRY(forward_seek(c));
    enum err error =
        log_find_batch(&c->found, &c->reader, c->min_offset, c->offset, &c->position, &c->header);
    if (error == ERR_NOT_FOUND) {
        leave_segment(c);
        return forward_batch(c);
    }
    TRY(error);
    error = load_batch(c, c->position);
    if (error == ERR_CORRUPT) {
        struct log_hole hole;
        /* A hole is found again by position; a batch that is only unreadable is passed by its
         * header. */
        bool is_hole =
            log_segment_hole(c->found.segment, c->position, &hole) && hole.position <= c->position;
        c->position = is_hole ? hole.end : c->position + c->header.size_bytes;
        return ERR_OK; /* with nothing left: the caller comes again */
    }
    TRY(error);
    c->position += c->header.size_bytes;
    c->min_offset = batch_last_offset(&c->header) + 1;
    c->rest = buf_str(&c->unpacked);
    c->left = c->header.count;
    return ERR_OK;
}

static enum err forward_next(struct log_cursor *c, const struct log_entry **ret_entry)
{
    for (;;) {
        while (c->left > 0) {
            struct record_view r;
            enum err error = record_read(&c->rest, &r);
            c->left = error == ERR_OK ? c->left - 1 : 0;
            if (error != ERR_OK)
                report_unreadable(c, error);
            else if (c->header.base_offset + r.offset_delta >= c->offset) {
                fill_entry(c, &r);
                c->offset = c->entry.offset + 1;
                *ret_entry = &c->entry;
                return ERR_OK;
            }
            if (c->left == 0 && c->offset <= batch_last_offset(&c->header))
                c->offset = batch_last_offset(&c->header) + 1;
        }
        enum err error = forward_batch(c);
        if (error == ERR_NOT_FOUND) {
            *ret_entry = NULL;
            return ERR_OK;
        }
        TRY(error);
    }
}

/* Backward ------------------------------------------------------------------------------------ */

/* The last batch at or behind position that starts at or below target, into c->header.
 * ERR_NOT_FOUND. */
static enum err last_batch_from(struct log_cursor *c, int64_t target, uint64_t position,
                                int64_t min_offset, uint64_t *ret_position)
{
    struct batch_header h;
    enum err error;
    bool any = false;
    while ((error = log_find_batch(&c->found, &c->reader, min_offset, 0, &position, &h)) ==
               ERR_OK &&
           h.base_offset <= target) {
        c->header = h;
        *ret_position = position;
        position += h.size_bytes;
        min_offset = batch_last_offset(&h) + 1;
        any = true;
    }
    if (error != ERR_OK && error != ERR_NOT_FOUND)
        return error;
    return any ? ERR_OK : ERR_NOT_FOUND;
}

/* The same in the segment at hand. */
static enum err last_batch(struct log_cursor *c, int64_t target, uint64_t *ret_position)
{
    uint64_t position = 0;
    int64_t min_offset = 0;
    TRY(log_find_start(&c->found, &c->reader, target, &position, &min_offset));
    enum err error = last_batch_from(c, target, position, min_offset, ret_position);
    if (error != ERR_NOT_FOUND || position == 0)
        return error;
    /* The index led into a hole: what is before it is found from the start. */
    return last_batch_from(c, target, 0, c->found.segment->base_offset, ret_position);
}

static enum err index_records(struct log_cursor *c)
{
    struct str rest = buf_str(&c->unpacked);
    struct record_view r;
    if ((size_t)c->header.count > c->start_capacity) {
        c->start_capacity = (size_t)c->header.count;
        c->starts = mem_resize(c->starts, c->start_capacity * sizeof *c->starts);
    }
    for (c->left = 0; c->left < c->header.count; c->left++) {
        c->starts[c->left] = (uint32_t)(rest.ptr - c->unpacked.ptr);
        TRY(record_read(&rest, &r));
    }
    return ERR_OK;
}

/* Load the batch below c->offset. ERR_NOT_FOUND at the start of the log. */
static enum err backward_batch(struct log_cursor *c)
{
    uint64_t position = 0;
    int64_t target = c->offset - 1;
    if (target < 0)
        return ERR_NOT_FOUND;
    int64_t next_base = 0;
    enum err error = enter_segment(c, target, &next_base);
    if (error == ERR_OUT_OF_RANGE || error == ERR_RESET) /* what is older is gone */
        return ERR_NOT_FOUND;
    TRY(error);
    error = last_batch(c, target, &position);
    if (error == ERR_NOT_FOUND) { /* a gap: go on below this segment */
        c->offset = c->found.segment->base_offset < target ? c->found.segment->base_offset : target;
        return ERR_OK;
    }
    TRY(error);
    int64_t base = c->header.base_offset;
    error = load_batch(c, position);
    if (error == ERR_OK && index_records(c) != ERR_OK)
        report_unreadable(c, ERR_CORRUPT);
    if (error == ERR_CORRUPT)
        c->offset = base;
    c->loaded = error == ERR_OK;
    return error == ERR_CORRUPT ? ERR_OK : error;
}

static enum err backward_next(struct log_cursor *c, const struct log_entry **ret_entry)
{
    for (;;) {
        while (c->left > 0) {
            struct record_view r;
            struct str at = str_skip(buf_str(&c->unpacked), c->starts[--c->left]);
            if (record_read(&at, &r) != ERR_OK)
                continue;
            if (c->header.base_offset + r.offset_delta >= c->offset)
                continue;
            fill_entry(c, &r);
            c->offset = c->entry.offset;
            *ret_entry = &c->entry;
            return ERR_OK;
        }
        if (c->loaded && c->offset > c->header.base_offset)
            c->offset = c->header.base_offset; /* records before the first may be compacted away */
        c->loaded = false;
        enum err error = backward_batch(c);
        if (error == ERR_NOT_FOUND) {
            *ret_entry = NULL;
            return ERR_OK;
        }
        TRY(error);
    }
}

enum err log_cursor_next(struct log_cursor *c, const struct log_entry **ret_entry)
{
    return c->direction == LOG_FORWARD ? forward_next(c, ret_entry) : backward_next(c, ret_entry);
}
