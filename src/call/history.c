#include "call/history.h"

#include "codec/digest.h"
#include "codec/json_scan.h"
#include "codec/uuid.h"

enum {
    NESTING_MAX = 256,
    ID_DIGITS = 32,
    NEAR_RECORDS = 64, /* walked over rather than looked up */
    /* Records stand in the order in which calls ended, times are those of their begins: a call may
     * have begun this much before its neighbours. */
    DISORDER_MS = 3600 * 1000,
};

bool history_status_valid(struct str status)
{
    static const struct str outcomes[] = {STR_INIT("ok"), STR_INIT("error"), STR_INIT("cancelled"),
                                          STR_INIT("refused"), STR_INIT("cached")};
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++)
        if (str_eq(status, outcomes[i]))
            return true;
    if (status.len != 3 || status.ptr[0] < '1' || status.ptr[0] > '5')
        return false;
    uint64_t number;
    return str_eq(str_skip(status, 1), STR("xx")) || str_to_u64(status, &number) == ERR_OK;
}

static bool header_is(const struct log_entry *entry, struct str name, struct str wanted)
{
    const struct str *value = log_entry_header(entry, name);
    return wanted.len == 0 || (value && str_eq(*value, wanted));
}

static bool status_matches(const struct log_entry *entry, struct str wanted)
{
    const struct str *status = log_entry_header(entry, STR("status"));
    if (wanted.len == 0)
        return true;
    if (wanted.ptr[0] >= '1' && wanted.ptr[0] <= '5') {
        if (str_ends(wanted, STR("xx")))
            return status && status->len == 3 && status->ptr[0] == wanted.ptr[0];
        return status && str_eq(*status, wanted);
    }
    struct json_value outcome;
    return json_find(entry->value, "outcome", &outcome) && json_eq(&outcome, wanted);
}

static bool matches(const struct log_entry *entry, const struct history_query *q)
{
    return entry->value.ptr && entry->timestamp_ms >= q->since_wall_us / 1000 &&
           header_is(entry, STR("key"), q->key) && header_is(entry, STR("model"), q->model) &&
           status_matches(entry, q->status);
}

static enum err list(struct log_cursor *cursor, const struct history_query *q, struct buf *records,
                     uint32_t *ret_count, bool *ret_more)
{
    const struct log_entry *entry = NULL;
    uint32_t count = 0;
    bool more = true;
    for (unsigned seen = 0; count < q->limit && seen < HISTORY_SCAN_MAX; seen++) {
        TRY(log_cursor_next(cursor, &entry));
        if (!entry || entry->timestamp_ms < q->since_wall_us / 1000 - DISORDER_MS) {
            more = false;
            break;
        }
        if (!matches(entry, q))
            continue;
        if (count)
            buf_append_char(records, ',');
        buf_append_str(records, entry->value);
        count++;
        if (records->len > HISTORY_PAGE_BYTES_MAX)
            break;
    }
    *ret_count = count;
    *ret_more = more;
    return records->error;
}

enum err history_list(struct log_part *calls, const struct history_query *query,
                      struct buf *ret_records, uint32_t *ret_count, int64_t *ret_next)
{
    struct log_cursor *cursor = NULL;
    bool more = false;
    int64_t from = query->from_offset >= 0 ? query->from_offset : log_part_end(calls);
    TRY(log_cursor_open(calls, from, LOG_BACKWARD, &cursor));
    enum err err = list(cursor, query, ret_records, ret_count, &more);
    int64_t next = log_cursor_offset(cursor);
    log_cursor_close(cursor);
    if (err == ERR_OK)
        *ret_next = more && next > log_part_start(calls) ? next : -1;
    return err;
}

/* The record at offset, by a cursor that walks backward and is opened anew where the next one is
 * far. */
static enum err record_at(struct log_part *calls, int64_t offset, struct log_cursor **cursor,
                          const struct log_entry **ret_entry)
{
    const struct log_entry *entry = NULL;
    if (!*cursor || log_cursor_offset(*cursor) - offset > NEAR_RECORDS) {
        log_cursor_close(*cursor);
        *cursor = NULL;
        TRY(log_cursor_open(calls, offset + 1, LOG_BACKWARD, cursor));
    }
    do
        TRY(log_cursor_next(*cursor, &entry));
    while (entry && entry->offset > offset);
    *ret_entry = entry && entry->offset == offset ? entry : NULL;
    return ERR_OK;
}

enum err history_records(struct log_part *calls, const int64_t *offsets, size_t count,
                         struct buf *ret_records, size_t *ret_used)
{
    struct log_cursor *cursor = NULL;
    enum err error = ERR_OK;
    bool first = true;
    size_t used = 0;
    for (; used < count && ret_records->len < HISTORY_PAGE_BYTES_MAX; used++) {
        const struct log_entry *entry = NULL;
        error = record_at(calls, offsets[used], &cursor, &entry);
        if (error != ERR_OK)
            break;
        if (!entry || !entry->value.ptr)
            continue;
        if (!first)
            buf_append_char(ret_records, ',');
        buf_append_str(ret_records, entry->value);
        first = false;
    }
    log_cursor_close(cursor);
    *ret_used = used;
    return error != ERR_OK ? error : ret_records->error;
}

static bool is_the_call(const struct log_entry *entry, struct str id)
{
    struct json_value value;
    return entry->value.ptr && json_find(entry->value, "id", &value) && json_eq(&value, id);
}

/* Forward from where a call of that time may stand. */
static enum err find_by_time(struct log_part *calls, struct str id, int64_t begun_ms,
                             struct str key, struct buf *record)
{
    int64_t offset = 0;
    int64_t timestamp_ms = 0;
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    TRY(log_find_time(calls, begun_ms, &offset, &timestamp_ms));
    TRY(log_cursor_open(calls, offset, LOG_FORWARD, &cursor));
    enum err err = ERR_OK;
    enum err found = ERR_NOT_FOUND;
    while (found != ERR_OK && (err = log_cursor_next(cursor, &entry)) == ERR_OK && entry) {
        if (entry->timestamp_ms > begun_ms + DISORDER_MS)
            break;
        if (entry->timestamp_ms != begun_ms || !header_is(entry, STR("key"), key) ||
            !is_the_call(entry, id))
            continue;
        buf_append_str(record, entry->value);
        found = record->error;
    }
    log_cursor_close(cursor);
    return err != ERR_OK ? err : found;
}

/* Does a record's key, or the header of that name, hold the id? */
static bool is_named(const struct log_entry *entry, struct str header, struct str id)
{
    if (header.len == 0)
        return str_eq(entry->key, id);
    const struct str *value = log_entry_header(entry, header);
    return value && str_eq(*value, id);
}

/* The newest call of that name: header empty: of the trace, by the record's key. */
static enum err find_newest(struct log_part *calls, struct str header, struct str id,
                            struct str key, struct buf *record)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    TRY(log_cursor_open(calls, log_part_end(calls), LOG_BACKWARD, &cursor));
    enum err err = ERR_OK;
    enum err found = ERR_NOT_FOUND;
    for (unsigned seen = 0; found != ERR_OK && seen < HISTORY_SCAN_MAX; seen++) {
        err = log_cursor_next(cursor, &entry);
        if (err != ERR_OK || !entry)
            break;
        if (!is_named(entry, header, id) || !entry->value.ptr || !header_is(entry, STR("key"), key))
            continue;
        buf_append_str(record, entry->value);
        found = record->error;
    }
    log_cursor_close(cursor);
    return err != ERR_OK ? err : found;
}

enum err history_find_response(struct log_part *calls, struct str id, struct str key,
                               struct buf *ret_record)
{
    return find_newest(calls, STR("response"), id, key, ret_record);
}

enum err history_find_call(struct log_part *calls, struct str id, struct str key,
                           struct buf *ret_record)
{
    struct uuid uuid = {.bytes = {0}};
    if (id.len != ID_DIGITS || hex_decode(id, uuid.bytes, sizeof uuid.bytes) != ERR_OK)
        return ERR_INVALID;
    return find_by_time(calls, id, uuid_v7_ms(uuid), key, ret_record);
}

enum err history_find(struct log_part *calls, struct str id, struct str key, struct buf *ret_record)
{
    enum err err = history_find_call(calls, id, key, ret_record);
    return err == ERR_NOT_FOUND ? find_newest(calls, STR_NONE, id, key, ret_record) : err;
}
