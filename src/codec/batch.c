#include "codec/batch.h"

#include <assert.h>

#include "base/assert.h"
#include "codec/crc32c.h"
#include "codec/endian.h"
#include "codec/varint.h"

enum {
    AT_BASE_OFFSET = 0,
    AT_LENGTH = 8,
    AT_LEADER_EPOCH = 12,
    AT_MAGIC = 16,
    AT_CRC = 17,
    AT_ATTRIBUTES = 21,
    AT_LAST_OFFSET_DELTA = 23,
    AT_BASE_TIMESTAMP = 27,
    AT_MAX_TIMESTAMP = 35,
    AT_PRODUCER_ID = 43,
    AT_PRODUCER_EPOCH = 51,
    AT_BASE_SEQUENCE = 53,
    AT_COUNT = 57,
    CRC_FROM = AT_ATTRIBUTES,
    RECORD_MIN_BYTES = 7, /* length, attributes, two deltas, two null lengths, no headers */
};

static_assert(AT_COUNT + 4 == BATCH_HEADER_BYTES, "the header ends with the count");

/* Batches ------------------------------------------------------------------------------------- */

static bool header_is_possible(const struct batch_header *h, int32_t length)
{
    return length >= BATCH_HEADER_BYTES - BATCH_PREFIX_BYTES && h->base_offset >= 0 &&
           h->last_offset_delta >= 0 && h->base_offset <= INT64_MAX - h->last_offset_delta - 1 &&
           h->count >= 0 && h->count <= (int64_t)h->last_offset_delta + 1;
}

enum err batch_header_read(struct str bytes, struct batch_header *ret_header)
{
    if (bytes.len < BATCH_HEADER_BYTES)
        return ERR_TRUNCATED;
    const char *at = bytes.ptr;
    if (at[AT_MAGIC] != BATCH_MAGIC)
        return ERR_UNSUPPORTED;
    int32_t length = (int32_t)be32_get(at + AT_LENGTH);
    struct batch_header h = {
        .base_offset = (int64_t)be64_get(at + AT_BASE_OFFSET),
        .size_bytes = (uint32_t)length + BATCH_PREFIX_BYTES,
        .leader_epoch = (int32_t)be32_get(at + AT_LEADER_EPOCH),
        .crc = be32_get(at + AT_CRC),
        .attributes = be16_get(at + AT_ATTRIBUTES),
        .last_offset_delta = (int32_t)be32_get(at + AT_LAST_OFFSET_DELTA),
        .base_timestamp_ms = (int64_t)be64_get(at + AT_BASE_TIMESTAMP),
        .max_timestamp_ms = (int64_t)be64_get(at + AT_MAX_TIMESTAMP),
        .producer_id = (int64_t)be64_get(at + AT_PRODUCER_ID),
        .producer_epoch = (int16_t)be16_get(at + AT_PRODUCER_EPOCH),
        .base_sequence = (int32_t)be32_get(at + AT_BASE_SEQUENCE),
        .count = (int32_t)be32_get(at + AT_COUNT),
    };
    if (!header_is_possible(&h, length))
        return ERR_CORRUPT;
    *ret_header = h;
    return ERR_OK;
}

enum err batch_check(struct str bytes, struct batch_header *ret_header)
{
    struct batch_header h;
    TRY(batch_header_read(bytes, &h));
    if (h.size_bytes > bytes.len)
        return ERR_TRUNCATED;
    if (crc32c(0, bytes.ptr + CRC_FROM, h.size_bytes - CRC_FROM) != h.crc)
        return ERR_CORRUPT;
    *ret_header = h;
    return ERR_OK;
}

void batch_header_write(struct batch_header *h, const struct str *parts, size_t part_count,
                        char *ret_bytes)
{
    size_t size = BATCH_HEADER_BYTES;
    for (size_t i = 0; i < part_count; i++)
        size += parts[i].len;
    ASSERT(size <= INT32_MAX);
    ASSERT(header_is_possible(h, (int32_t)size - BATCH_PREFIX_BYTES));
    be64_put(ret_bytes + AT_BASE_OFFSET, (uint64_t)h->base_offset);
    be32_put(ret_bytes + AT_LENGTH, (uint32_t)size - BATCH_PREFIX_BYTES);
    be32_put(ret_bytes + AT_LEADER_EPOCH, (uint32_t)h->leader_epoch);
    ret_bytes[AT_MAGIC] = BATCH_MAGIC;
    be16_put(ret_bytes + AT_ATTRIBUTES, h->attributes);
    be32_put(ret_bytes + AT_LAST_OFFSET_DELTA, (uint32_t)h->last_offset_delta);
    be64_put(ret_bytes + AT_BASE_TIMESTAMP, (uint64_t)h->base_timestamp_ms);
    be64_put(ret_bytes + AT_MAX_TIMESTAMP, (uint64_t)h->max_timestamp_ms);
    be64_put(ret_bytes + AT_PRODUCER_ID, (uint64_t)h->producer_id);
    be16_put(ret_bytes + AT_PRODUCER_EPOCH, (uint16_t)h->producer_epoch);
    be32_put(ret_bytes + AT_BASE_SEQUENCE, (uint32_t)h->base_sequence);
    be32_put(ret_bytes + AT_COUNT, (uint32_t)h->count);
    uint32_t crc = crc32c(0, ret_bytes + CRC_FROM, BATCH_HEADER_BYTES - CRC_FROM);
    for (size_t i = 0; i < part_count; i++)
        crc = crc32c(crc, parts[i].ptr, parts[i].len);
    be32_put(ret_bytes + AT_CRC, crc);
    h->size_bytes = (uint32_t)size;
    h->crc = crc;
}

void batch_stamp(char *bytes, int64_t base_offset, int32_t leader_epoch)
{
    be64_put(bytes + AT_BASE_OFFSET, (uint64_t)base_offset);
    be32_put(bytes + AT_LEADER_EPOCH, (uint32_t)leader_epoch);
}

void batch_stamp_time(char *bytes, size_t len, int64_t append_ms)
{
    ASSERT(len >= BATCH_HEADER_BYTES);
    be16_put(bytes + AT_ATTRIBUTES, be16_get(bytes + AT_ATTRIBUTES) | BATCH_APPEND_TIME);
    be64_put(bytes + AT_MAX_TIMESTAMP, (uint64_t)append_ms);
    be32_put(bytes + AT_CRC, crc32c(0, bytes + CRC_FROM, len - CRC_FROM));
}

enum err batch_unpack(struct compress *c, const struct batch_header *h, struct str batch,
                      size_t max_bytes, struct buf *out)
{
    ASSERT(h->size_bytes <= batch.len);
    struct str records = str_skip(str_take(batch, h->size_bytes), BATCH_HEADER_BYTES);
    return compress_read(c, batch_codec(h), records, max_bytes, out);
}

/* Records ------------------------------------------------------------------------------------- */

static size_t bytes_size(struct str s)
{
    return s.ptr ? varint_i64_size((int64_t)s.len) + s.len : varint_i64_size(-1);
}

static size_t value_len(const struct record_fields *f)
{
    size_t len = 0;
    for (size_t i = 0; i < f->value_parts; i++)
        len += f->value[i].len;
    return len;
}

/* What follows the length prefix. */
static size_t body_size(const struct record_fields *f, int64_t timestamp_delta_ms,
                        int32_t offset_delta)
{
    size_t size = 1 + varint_i64_size(timestamp_delta_ms) + varint_i64_size(offset_delta);
    size += bytes_size(f->key);
    size_t value = value_len(f);
    size += f->value ? varint_i64_size((int64_t)value) + value : varint_i64_size(-1);
    size += varint_i64_size((int64_t)f->header_count);
    for (size_t i = 0; i < f->header_count; i++) {
        size_t name = f->headers[i].name.len;
        size += varint_i64_size((int64_t)name) + name + bytes_size(f->headers[i].value);
    }
    return size;
}

size_t record_size(const struct record_fields *f, int64_t timestamp_delta_ms, int32_t offset_delta)
{
    size_t body = body_size(f, timestamp_delta_ms, offset_delta);
    return varint_i64_size((int64_t)body) + body;
}

static char *bytes_put(char *at, struct str s)
{
    if (s.len == 0)
        return at;
    memcpy(at, s.ptr, s.len);
    return at + s.len;
}

static char *counted_put(char *at, struct str s)
{
    at = varint_i64_put(at, s.ptr ? (int64_t)s.len : -1);
    return bytes_put(at, s);
}

void record_write(struct buf *out, const struct record_fields *f, int64_t timestamp_delta_ms,
                  int32_t offset_delta)
{
    size_t body = body_size(f, timestamp_delta_ms, offset_delta);
    size_t size = varint_i64_size((int64_t)body) + body;
    if (!buf_reserve(out, size))
        return;
    char *at = varint_i64_put(out->ptr + out->len, (int64_t)body);
    *at++ = 0; /* attributes: none are defined */
    at = varint_i64_put(at, timestamp_delta_ms);
    at = varint_i64_put(at, offset_delta);
    at = counted_put(at, f->key);
    at = varint_i64_put(at, f->value ? (int64_t)value_len(f) : -1);
    for (size_t i = 0; i < f->value_parts; i++)
        at = bytes_put(at, f->value[i]);
    at = varint_i64_put(at, (int64_t)f->header_count);
    for (size_t i = 0; i < f->header_count; i++) {
        at = varint_i64_put(at, (int64_t)f->headers[i].name.len);
        at = bytes_put(at, f->headers[i].name);
        at = counted_put(at, f->headers[i].value);
    }
    ASSERT(at == out->ptr + out->len + size);
    out->len += size;
}

/* A length and as many bytes; -1 is null. */
static enum err bytes_read(struct str *rest, struct str *ret_bytes)
{
    struct str s = *rest;
    int32_t len;
    TRY(varint_i32_get(&s, &len));
    if (len < -1)
        return ERR_CORRUPT;
    if (len > 0 && (size_t)len > s.len)
        return ERR_TRUNCATED;
    *ret_bytes = len < 0 ? STR_NONE : str_take(s, (size_t)len);
    *rest = str_skip(s, len < 0 ? 0 : (size_t)len);
    return ERR_OK;
}

enum err record_read(struct str *rest, struct record_view *ret_record)
{
    struct str s = *rest;
    struct record_view r = {0};
    int32_t body_len;
    TRY(varint_i32_get(&s, &body_len));
    if (body_len < RECORD_MIN_BYTES - 1)
        return ERR_CORRUPT;
    if ((size_t)body_len > s.len)
        return ERR_TRUNCATED;
    struct str body = str_take(s, (size_t)body_len);
    body = str_skip(body, 1);
    TRY(varint_i64_get(&body, &r.timestamp_delta_ms));
    TRY(varint_i32_get(&body, &r.offset_delta));
    TRY(bytes_read(&body, &r.key));
    TRY(bytes_read(&body, &r.value));
    TRY(varint_i32_get(&body, &r.header_count));
    /* A header takes two bytes at least: a count beyond that is a lie. */
    if (r.offset_delta < 0 || r.header_count < 0 || (size_t)r.header_count > body.len / 2)
        return ERR_CORRUPT;
    r.headers = body;
    *rest = str_skip(s, (size_t)body_len);
    *ret_record = r;
    return ERR_OK;
}

enum err record_header_read(struct str *rest, struct record_header *ret_header)
{
    struct str s = *rest;
    struct record_header h;
    TRY(bytes_read(&s, &h.name));
    if (!h.name.ptr)
        return ERR_CORRUPT;
    TRY(bytes_read(&s, &h.value));
    *rest = s;
    *ret_header = h;
    return ERR_OK;
}

static enum err headers_check(const struct record_view *r)
{
    struct str rest = r->headers;
    struct record_header header;
    for (int32_t i = 0; i < r->header_count; i++)
        TRY(record_header_read(&rest, &header));
    return rest.len == 0 ? ERR_OK : ERR_CORRUPT;
}

enum err batch_records_check(const struct batch_header *h, struct str records)
{
    int32_t previous = -1;
    for (int32_t i = 0; i < h->count; i++) {
        struct record_view r;
        TRY(record_read(&records, &r));
        if (r.offset_delta <= previous || r.offset_delta > h->last_offset_delta)
            return ERR_CORRUPT;
        previous = r.offset_delta;
        TRY(headers_check(&r));
    }
    return records.len == 0 ? ERR_OK : ERR_CORRUPT;
}

/* Markers ------------------------------------------------------------------------------------- */

enum { MARKER_KEY_BYTES = 4, MARKER_VALUE_BYTES = 6 };

enum batch_marker batch_marker_of_key(struct str key)
{
    if (key.len < MARKER_KEY_BYTES)
        return BATCH_MARKER_NONE;
    uint16_t kind = be16_get(key.ptr + 2);
    return kind == BATCH_MARKER_ABORT || kind == BATCH_MARKER_COMMIT ? (enum batch_marker)kind
                                                                     : BATCH_MARKER_NONE;
}

enum err batch_marker_read(struct str batch, enum batch_marker *ret_marker)
{
    struct batch_header h;
    struct record_view record;
    TRY(batch_header_read(batch, &h));
    if (batch_codec(&h) != COMPRESS_NONE)
        return ERR_UNSUPPORTED;
    struct str rest = str_skip(str_take(batch, h.size_bytes), BATCH_HEADER_BYTES);
    TRY(record_read(&rest, &record));
    *ret_marker = batch_marker_of_key(record.key);
    return ERR_OK;
}

void batch_marker_write(int64_t producer_id, int16_t producer_epoch, enum batch_marker marker,
                        int32_t coordinator_epoch, int64_t timestamp_ms, struct buf *out)
{
    char key[MARKER_KEY_BYTES] = {0};
    char value[MARKER_VALUE_BYTES] = {0};
    char header[BATCH_HEADER_BYTES];
    struct buf record BUF_AUTO;
    ASSERT(marker != BATCH_MARKER_NONE);
    be16_put(key + 2, (uint16_t)marker);
    be32_put(value + 2, (uint32_t)coordinator_epoch);
    struct str parts = str_of(value, sizeof value);
    const struct record_fields f = {
        .key = str_of(key, sizeof key), .value = &parts, .value_parts = 1};
    buf_init(&record, BATCH_MARKER_MAX_BYTES);
    record_write(&record, &f, 0, 0);
    struct batch_header h = {
        .attributes = BATCH_TRANSACTIONAL | BATCH_CONTROL,
        .base_timestamp_ms = timestamp_ms,
        .max_timestamp_ms = timestamp_ms,
        .producer_id = producer_id,
        .producer_epoch = producer_epoch,
        .base_sequence = -1,
        .count = 1,
    };
    struct str bytes = buf_str(&record);
    batch_header_write(&h, &bytes, 1, header);
    buf_append(out, header, sizeof header);
    buf_append_str(out, bytes);
}
