/* A segment's two sparse indexes, byte for byte Kafka's (OffsetIndex.java, TimeIndex.java; all
 * big-endian):
 *
 *     .index      (int32 last offset of a batch - base, int32 position of that batch)*
 *     .timeindex  (int64 largest timestamp so far, int32 offset that has it - base)*
 *
 * An entry is made for the first batch that comes after more than LOG_INDEX_INTERVAL_BYTES without
 * one, so the first batches of a segment have none. Time entries ascend strictly; the last one of a
 * finished index has the segment's largest timestamp. */
#include "log/log_int.h"

#include "codec/endian.h"

void log_index_init(struct log_index *index)
{
    *index = (struct log_index){.max_timestamp_ms = -1};
    buf_init(&index->offsets, UINT32_MAX);
    buf_init(&index->times, UINT32_MAX);
}

void log_index_release(struct log_index *index)
{
    buf_release(&index->offsets);
    buf_release(&index->times);
}

static int64_t last_time(const struct log_index *index)
{
    if (index->times.len == 0)
        return -1;
    return (int64_t)be64_get(index->times.ptr + index->times.len - LOG_TIME_ENTRY_BYTES);
}

void log_index_finish(struct log_index *index, int64_t base)
{
    if (index->max_timestamp_ms <= last_time(index))
        return;
    char entry[LOG_TIME_ENTRY_BYTES];
    be64_put(entry, (uint64_t)index->max_timestamp_ms);
    be32_put(entry + 8, (uint32_t)(index->max_timestamp_offset - base));
    buf_append(&index->times, entry, sizeof entry);
}

void log_index_add(struct log_index *index, int64_t base, const struct batch_header *h,
                   uint64_t position)
{
    if (h->max_timestamp_ms > index->max_timestamp_ms) {
        index->max_timestamp_ms = h->max_timestamp_ms;
        index->max_timestamp_offset = batch_last_offset(h);
    }
    if (index->bytes_since_entry > LOG_INDEX_INTERVAL_BYTES) {
        char entry[LOG_OFFSET_ENTRY_BYTES];
        be32_put(entry, (uint32_t)(batch_last_offset(h) - base));
        be32_put(entry + 4, (uint32_t)position);
        buf_append(&index->offsets, entry, sizeof entry);
        log_index_finish(index, base);
        index->bytes_since_entry = 0;
    }
    index->bytes_since_entry += h->size_bytes;
    ASSERT(index->offsets.error == ERR_OK && index->times.error == ERR_OK);
}

/* Looking up ---------------------------------------------------------------------------------- */

static enum err entry_get(const struct log_index_view *view, size_t at, size_t entry_bytes,
                          char *ret_entry)
{
    if (!view->file) {
        memcpy(ret_entry, view->memory + at * entry_bytes, entry_bytes);
        return ERR_OK;
    }
    size_t n = 0;
    TRY(os_file_read(view->file, ret_entry, entry_bytes, at * entry_bytes, &n));
    return n == entry_bytes ? ERR_OK : ERR_CORRUPT;
}

/* A number of an entry, by which entries ascend. */
typedef uint64_t key_fn(const char *entry);

static uint64_t key_offset(const char *entry)
{
    return be32_get(entry);
}

static uint64_t key_position(const char *entry)
{
    return be32_get(entry + 4);
}

/* Timestamps are not negative in an index. */
static uint64_t key_time(const char *entry)
{
    return be64_get(entry);
}

/* The last entry whose key is at most limit, into ret_entry; false in *ret_found when there is
 * none. */
static enum err find_last(const struct log_index_view *view, size_t entry_bytes, key_fn *key,
                          uint64_t limit, char *ret_entry, bool *ret_found)
{
    size_t low = 0;
    size_t high = view->count;
    char entry[LOG_TIME_ENTRY_BYTES];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        TRY(entry_get(view, middle, entry_bytes, entry));
        if (key(entry) <= limit)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low > 0;
    return low > 0 ? entry_get(view, low - 1, entry_bytes, ret_entry) : ERR_OK;
}

static enum err find_place(struct log_index_view view, int64_t base, key_fn *key, uint64_t limit,
                           struct log_place *ret_place)
{
    char entry[LOG_OFFSET_ENTRY_BYTES];
    bool found = false;
    TRY(find_last(&view, LOG_OFFSET_ENTRY_BYTES, key, limit, entry, &found));
    *ret_place = found ? (struct log_place){key_position(entry), base + (int64_t)key_offset(entry)}
                       : (struct log_place){0, -1};
    return ERR_OK;
}

enum err log_index_find_offset(struct log_index_view offsets, int64_t base, int64_t offset,
                               struct log_place *ret_place)
{
    ASSERT(offset >= base);
    return find_place(offsets, base, key_offset, (uint64_t)(offset - base), ret_place);
}

enum err log_index_find_position(struct log_index_view offsets, int64_t base, uint64_t limit,
                                 struct log_place *ret_place)
{
    return find_place(offsets, base, key_position, limit, ret_place);
}

enum err log_index_find_time(struct log_index_view times, int64_t base, int64_t timestamp_ms,
                             int64_t *ret_offset)
{
    char entry[LOG_TIME_ENTRY_BYTES];
    bool found = false;
    if (timestamp_ms > 0)
        TRY(find_last(&times, LOG_TIME_ENTRY_BYTES, key_time, (uint64_t)timestamp_ms - 1, entry,
                      &found));
    *ret_offset = found ? base + (int64_t)be32_get(entry + 8) : base;
    return ERR_OK;
}

enum err log_index_last_time(struct log_index_view times, int64_t *ret_timestamp_ms)
{
    char entry[LOG_TIME_ENTRY_BYTES];
    if (times.count > 0)
        TRY(entry_get(&times, times.count - 1, LOG_TIME_ENTRY_BYTES, entry));
    *ret_timestamp_ms = times.count > 0 ? (int64_t)be64_get(entry) : -1;
    return ERR_OK;
}

/* Checking ------------------------------------------------------------------------------------ */

bool log_index_is_sane(struct str offsets, struct str times, uint64_t segment_size)
{
    if (offsets.len % LOG_OFFSET_ENTRY_BYTES || times.len % LOG_TIME_ENTRY_BYTES)
        return false;
    for (size_t at = 0; at < offsets.len; at += LOG_OFFSET_ENTRY_BYTES) {
        const char *entry = offsets.ptr + at;
        if (key_position(entry) >= segment_size)
            return false;
        if (at > 0 && (key_offset(entry) <= key_offset(entry - LOG_OFFSET_ENTRY_BYTES) ||
                       key_position(entry) <= key_position(entry - LOG_OFFSET_ENTRY_BYTES)))
            return false;
    }
    for (size_t at = 0; at < times.len; at += LOG_TIME_ENTRY_BYTES) {
        const char *entry = times.ptr + at;
        if (key_time(entry) > INT64_MAX)
            return false;
        if (at > 0 && key_time(entry) <= key_time(entry - LOG_TIME_ENTRY_BYTES))
            return false;
    }
    return true;
}
