/* Reading by offset: whole batches as a range of a segment's file. */
#include "log/log_int.h"

/* Damage at position: have the segment examined, and step over the hole. */
static enum err step_over(struct log_found *f, uint64_t *position)
{
    struct log_hole hole;
    TRY(log_segment_examine(f->segment));
    f->has_holes = true;
    if (!log_segment_hole(f->segment, *position, &hole) || hole.position > *position)
        return ERR_CORRUPT; /* it was read as damage once and as good once */
    *position = hole.end;
    return ERR_OK;
}

enum err log_find_batch(struct log_found *f, struct log_reader *r, int64_t min_offset,
                        int64_t offset, uint64_t *position, struct batch_header *ret_header)
{
    struct log_hole hole;
    while (*position < f->visible) {
        if (f->has_holes && log_segment_hole(f->segment, *position, &hole) &&
            hole.position <= *position) {
            *position = hole.end;
            continue;
        }
        enum err error = log_reader_header(r, *position, ret_header);
        if (error == ERR_OK && !log_reader_fits(r, *position, ret_header, min_offset, f->next_base))
            error = ERR_CORRUPT;
        if (log_error_is_damage(error)) {
            TRY(step_over(f, position));
            continue;
        }
        TRY(error);
        if (batch_last_offset(ret_header) >= offset)
            return ERR_OK;
        min_offset = batch_last_offset(ret_header) + 1;
        *position += ret_header->size_bytes;
    }
    return ERR_NOT_FOUND;
}

enum err log_find_start(struct log_found *f, struct log_reader *r, int64_t offset,
                        uint64_t *ret_position, int64_t *ret_min_offset)
{
    struct log_place place;
    struct batch_header h;
    TRY(log_segment_find_offset(f->segment, offset, &place));
    bool known = place.last_offset >= 0 && place.position < f->visible &&
                 log_reader_header(r, place.position, &h) == ERR_OK;
    *ret_position = known ? place.position : 0;
    *ret_min_offset = known ? h.base_offset : f->segment->base_offset;
    return ERR_OK;
}

enum err log_find_batch_from_index(struct log_found *f, struct log_reader *r, int64_t offset,
                                   uint64_t *ret_position, struct batch_header *ret_header)
{
    uint64_t position = 0;
    int64_t min_offset = 0;
    TRY(log_find_start(f, r, offset, &position, &min_offset));
    TRY(log_find_batch(f, r, min_offset, offset, &position, ret_header));
    *ret_position = position;
    return ERR_OK;
}

/* Where good bytes end that start at position, and the offset to read on from there. */
static void good_end(const struct log_found *f, uint64_t position, struct log_range *range,
                     uint64_t *ret_end)
{
    struct log_hole hole;
    *ret_end = f->visible;
    range->next_offset = f->next_base;
    if (!f->has_holes || !log_segment_hole(f->segment, position, &hole))
        return;
    *ret_end = hole.position;
    range->next_offset = hole.next_offset >= 0 ? hole.next_offset : hole.offset;
}

/* The last batch boundary at or below limit, behind the first batch, which ends at *end and before
 * *next_offset. */
static enum err boundary(struct log_found *f, struct log_reader *r, uint64_t limit, uint64_t *end,
                         int64_t *next_offset)
{
    struct log_place place;
    struct batch_header h;
    TRY(log_segment_find_position(f->segment, limit, &place));
    if (place.position > *end) {
        TRY(log_reader_header(r, place.position, &h));
        *end = place.position;
        *next_offset = h.base_offset;
    }
    for (;;) {
        enum err error = log_reader_header(r, *end, &h);
        if (error != ERR_OK && !log_error_is_damage(error))
            return error;
        if (error != ERR_OK || *end + h.size_bytes > limit ||
            !log_reader_fits(r, *end, &h, *next_offset, f->next_base))
            return ERR_OK; /* damage is met by the next read, which begins with it */
        *end += h.size_bytes;
        *next_offset = batch_last_offset(&h) + 1;
    }
}

/* Where the batch that begins at or behind limit stands, if it is in this segment. */
static enum err cut_at(struct log_found *f, struct log_reader *r, int64_t limit, uint64_t *end,
                       int64_t *next_offset)
{
    struct batch_header h;
    uint64_t position = 0;
    if (limit >= *next_offset)
        return ERR_OK;
    enum err e = log_find_batch_from_index(f, r, limit, &position, &h);
    if (e == ERR_OK && position < *end) {
        *end = position;
        *next_offset = limit;
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err read_found(struct log_found *f, struct log_reader *r, int64_t offset, int64_t limit,
                           size_t max_bytes, struct log_range *range)
{
    struct batch_header h;
    uint64_t position = 0;
    uint64_t end = 0;
    TRY(log_find_batch_from_index(f, r, offset, &position, &h));
    good_end(f, position, range, &end);
    TRY(cut_at(f, r, limit, &end, &range->next_offset));
    uint64_t first_end = position + h.size_bytes;
    if (end - position > max_bytes && first_end < end) {
        uint64_t most = position + max_bytes > first_end ? position + max_bytes : first_end;
        end = first_end;
        range->next_offset = batch_last_offset(&h) + 1;
        TRY(boundary(f, r, most, &end, &range->next_offset));
    }
    range->position = position;
    range->length = end - position;
    range->base_offset = h.base_offset;
    return ERR_OK;
}

/* ERR_NOT_FOUND: nothing at or behind offset in this segment. Takes the reference when it succeeds.
 */
static enum err read_segment(struct log_found *f, int64_t offset, int64_t limit, size_t max_bytes,
                             struct log_range *ret_range)
{
    struct log_range range = {.segment_ = f->segment};
    TRY(log_segment_hold(f->segment, &range.file));
    struct log_reader r = {.file = range.file, .limit = f->visible, .chunk = LOG_CHUNK_WALK};
    enum err error = read_found(f, &r, offset, limit, max_bytes, &range);
    log_reader_release(&r);
    if (error == ERR_OK)
        *ret_range = range;
    else
        log_segment_drop(f->segment);
    return error;
}

enum err log_read_below(struct log_part *part, int64_t offset, int64_t limit, size_t max_bytes,
                        struct log_range *ret_range)
{
    for (;;) {
        struct log_found f;
        TRY(log_part_find(part, offset, &f));
        if (!f.segment || offset >= limit) {
            if (f.segment)
                log_segment_unref(f.segment);
            *ret_range = (struct log_range){.base_offset = offset, .next_offset = offset};
            return ERR_OK;
        }
        enum err error = read_segment(&f, offset, limit, max_bytes, ret_range);
        if (error == ERR_OK)
            return ERR_OK;
        bool replaced = atomic_load(&f.segment->removed);
        log_segment_unref(f.segment);
        if (error != ERR_NOT_FOUND)
            return error;
        if (!replaced)
            offset = f.next_base; /* a gap, or a file that its owner has removed */
    }
}

enum err log_read(struct log_part *part, int64_t offset, size_t max_bytes,
                  struct log_range *ret_range)
{
    return log_read_below(part, offset, INT64_MAX, max_bytes, ret_range);
}

void log_range_release(struct log_range *range)
{
    if (range->length == 0)
        return;
    log_segment_drop(range->segment_);
    log_segment_unref(range->segment_);
    *range = (struct log_range){0};
}

enum err log_range_copy(const struct log_range *range, struct buf *out)
{
    size_t n = 0;
    if (range->length == 0)
        return ERR_OK;
    if (!buf_reserve(out, range->length))
        return out->error;
    TRY(os_file_read(range->file, out->ptr + out->len, range->length, range->position, &n));
    if (n < range->length)
        return ERR_TRUNCATED;
    out->len += n;
    return ERR_OK;
}
