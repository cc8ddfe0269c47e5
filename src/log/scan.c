/* Batches of a file, read through a window, and the search for good ones around damage. */
#include "log/log_int.h"

#include "codec/endian.h"

enum {
    SECTOR_BYTES = 4096,
    SEARCH_BUDGET_BYTES =
        1 << 30, /* read in vain for one search: a file can be made to look like batches */
};

void log_reader_release(struct log_reader *r)
{
    mem_free(r->memory);
    r->memory = NULL;
    r->capacity = r->len = 0;
}

/* A disk may refuse a sector and give its neighbours: what it refuses reads as zeros, which no
 * batch starts with, so it is damage like any other. */
static enum err read_by_sectors(struct log_reader *r, uint64_t position, size_t len)
{
    bool any = false;
    for (size_t at = 0; at < len; at += SECTOR_BYTES) {
        size_t want = len - at < SECTOR_BYTES ? len - at : SECTOR_BYTES;
        size_t n = 0;
        if (os_file_read(r->file, r->memory + at, want, position + at, &n) == ERR_OK)
            any = any || n > 0;
        else
            n = 0;
        memset(r->memory + at + n, 0, want - n);
    }
    r->start = position;
    r->len = len;
    return any ? ERR_OK : ERR_IO;
}

static enum err fill(struct log_reader *r, uint64_t position, size_t len)
{
    if (len > r->capacity) {
        r->memory = mem_resize(r->memory, len);
        r->capacity = len;
    }
    r->len = 0;
    size_t n = 0;
    enum err error = os_file_read(r->file, r->memory, len, position, &n);
    if (error == ERR_IO && len > SECTOR_BYTES)
        return read_by_sectors(r, position, len);
    TRY(error);
    r->start = position;
    r->len = n;
    return ERR_OK;
}

enum err log_reader_bytes(struct log_reader *r, uint64_t position, size_t len,
                          struct str *ret_bytes)
{
    uint64_t left = position < r->limit ? r->limit - position : 0;
    if (len > left)
        len = (size_t)left;
    bool there = position >= r->start && position - r->start <= r->len &&
                 len <= r->len - (position - r->start);
    if (!there) {
        size_t want = len > r->chunk ? len : r->chunk;
        TRY(fill(r, position, want < left ? want : (size_t)left));
        if (len > r->len)
            len = r->len;
    }
    *ret_bytes = str_of(r->memory + (position - r->start), len);
    return ERR_OK;
}

enum err log_reader_header(struct log_reader *r, uint64_t position, struct batch_header *ret_header)
{
    struct str bytes = STR_NONE;
    struct batch_header h;
    TRY(log_reader_bytes(r, position, BATCH_HEADER_BYTES, &bytes));
    TRY(batch_header_read(bytes, &h));
    if (h.size_bytes > LOG_BATCH_MAX_BYTES)
        return ERR_CORRUPT;
    if (h.size_bytes > r->limit - position)
        return ERR_TRUNCATED;
    *ret_header = h;
    return ERR_OK;
}

enum err log_reader_batch(struct log_reader *r, uint64_t position, struct batch_header *ret_header,
                          struct str *ret_bytes)
{
    struct batch_header h;
    struct str bytes = STR_NONE;
    TRY(log_reader_header(r, position, &h));
    TRY(log_reader_bytes(r, position, h.size_bytes, &bytes));
    TRY(batch_check(bytes, &h));
    *ret_header = h;
    *ret_bytes = bytes;
    return ERR_OK;
}

/* The base offset is outside of the checksum, so it is held against its neighbours: a batch may
 * leave a gap before it, but not one that it would fill itself, or that the batch behind it would
 * stand in. */
bool log_reader_fits(struct log_reader *r, uint64_t position, const struct batch_header *h,
                     int64_t min_offset, int64_t max_offset)
{
    struct batch_header next;
    uint64_t end = position + h->size_bytes;
    if (h->base_offset < min_offset || batch_last_offset(h) >= max_offset)
        return false;
    if (h->base_offset == min_offset)
        return true;
    if (end >= r->limit)
        return min_offset + h->last_offset_delta + 1 != max_offset;
    if (log_reader_header(r, end, &next) != ERR_OK)
        return true;
    return next.base_offset > batch_last_offset(h) || next.base_offset < min_offset;
}

bool log_error_is_damage(enum err error)
{
    return error == ERR_CORRUPT || error == ERR_TRUNCATED || error == ERR_UNSUPPORTED;
}

/* Could a batch start here? Cheap, for every byte of a damaged range; what passes is checked whole.
 */
static bool may_start(const char *at, int64_t min_offset, int64_t max_offset)
{
    int64_t offset = (int64_t)be64_get(at);
    uint32_t length = be32_get(at + 8);
    return at[16] == BATCH_MAGIC && offset >= min_offset && offset < max_offset &&
           length >= BATCH_HEADER_BYTES - BATCH_PREFIX_BYTES && length <= LOG_BATCH_MAX_BYTES;
}

enum err log_reader_find_batch(struct log_reader *r, uint64_t from, int64_t min_offset,
                               int64_t max_offset, uint64_t *ret_position,
                               struct batch_header *ret_header)
{
    uint64_t budget = SEARCH_BUDGET_BYTES;
    for (uint64_t at = from; at + BATCH_HEADER_BYTES <= r->limit;) {
        struct str bytes = STR_NONE;
        TRY(log_reader_bytes(r, at, r->chunk, &bytes));
        if (bytes.len < BATCH_HEADER_BYTES)
            break;
        size_t last = bytes.len - BATCH_HEADER_BYTES;
        size_t i = 0;
        while (i <= last && !may_start(bytes.ptr + i, min_offset, max_offset))
            i++;
        at += i;
        if (i > last)
            continue;
        uint64_t cost = r->chunk + be32_get(bytes.ptr + i + 8);
        enum err error = log_reader_batch(r, at, ret_header, &bytes);
        if (error == ERR_OK)
            *ret_position = at;
        if (error == ERR_OK || !log_error_is_damage(error))
            return error;
        if (cost > budget)
            break;
        budget -= cost;
        at++;
    }
    return ERR_NOT_FOUND;
}

/* Holes --------------------------------------------------------------------------------------- */

void log_holes_add(struct log_holes *holes, const struct log_hole *hole)
{
    holes->items = mem_resize(holes->items, (holes->count + 1) * sizeof *hole);
    holes->items[holes->count++] = *hole;
}

void log_holes_release(struct log_holes *holes)
{
    mem_free(holes->items);
    *holes = (struct log_holes){0};
}

/* A whole file -------------------------------------------------------------------------------- */

void log_scan_release(struct log_scan *scan)
{
    log_index_release(&scan->index);
    log_holes_release(&scan->holes);
}

static const char *reason_of(enum err error)
{
    switch (error) {
    case ERR_TRUNCATED: return "incomplete batch";
    case ERR_UNSUPPORTED: return "no batch of version 2";
    default: return "checksum or header does not match";
    }
}

/* The batch at position is bad: step to the next good one, or to the limit. */
static enum err scan_hole(struct log_reader *r, struct log_scan *scan, uint64_t position,
                          int64_t max_offset, const char *reason, uint64_t *ret_next)
{
    struct log_hole hole = {position, r->limit, scan->next_offset, -1, reason, ERR_BUSY};
    struct batch_header h;
    /* Offsets of one segment fit 31 bits, so a good batch is not far above. */
    int64_t max =
        scan->next_offset < INT64_MAX - INT32_MAX ? scan->next_offset + INT32_MAX : INT64_MAX;
    enum err error = ERR_NOT_FOUND;
    if (scan->holes.count + 1 < LOG_HOLES_MAX)
        error = log_reader_find_batch(r, position + 1, scan->next_offset,
                                      max < max_offset ? max : max_offset, &hole.end, &h);
    if (error == ERR_OK)
        hole.next_offset = h.base_offset;
    else if (error != ERR_NOT_FOUND)
        return error;
    struct log_hole *last =
        scan->holes.count > 0 ? &scan->holes.items[scan->holes.count - 1] : NULL;
    if (last &&
        last->end == position) { /* what was found behind it was good, but not this segment's */
        last->end = hole.end;
        last->next_offset = hole.next_offset;
    } else {
        log_holes_add(&scan->holes, &hole);
    }
    *ret_next = hole.end;
    return ERR_OK;
}

void log_scan_init(struct log_scan *scan, int64_t base)
{
    *scan = (struct log_scan){.base = base, .next_offset = base};
    log_index_init(&scan->index);
}

enum err log_scan_file(struct log_scan *scan, struct os_file *file, uint64_t size,
                       int64_t max_offset, log_scan_fn *each, void *arg)
{
    struct log_reader r = {.file = file, .limit = size, .chunk = LOG_CHUNK_SCAN};
    enum err error = ERR_OK;
    for (uint64_t at = scan->end; at < size;) {
        struct batch_header h;
        struct str bytes;
        error = log_reader_batch(&r, at, &h, &bytes);
        const char *reason = error == ERR_OK ? "offset does not fit its place" : reason_of(error);
        bool good = error == ERR_OK && batch_last_offset(&h) - scan->base <= INT32_MAX &&
                    log_reader_fits(&r, at, &h, scan->next_offset, max_offset);
        if (good && each) /* the window may have moved */
            good = (error = log_reader_batch(&r, at, &h, &bytes)) == ERR_OK;
        if (good) {
            log_index_add(&scan->index, scan->base, &h, at);
            scan->next_offset = batch_last_offset(&h) + 1;
            if (each)
                each(arg, at, &h, bytes);
            at += h.size_bytes;
            scan->end = at;
            continue;
        }
        if (error == ERR_OK || log_error_is_damage(error))
            error = scan_hole(&r, scan, at, max_offset, reason, &at);
        if (error != ERR_OK)
            break;
    }
    log_reader_release(&r);
    return error;
}
