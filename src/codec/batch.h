/* Record batches, version 2: Kafka's unit of writing, in files and on the wire alike.
 *
 *      0  int64  base offset               of the first record
 *      8  int32  length                    of what follows it
 *     12  int32  partition leader epoch
 *     16  int8   magic, 2
 *     17  uint32 CRC-32C                   of everything from byte 21 on
 *     21  int16  attributes                bits 0-2 codec, 3 append time, 4 transactional,
 *                                          5 control, 6 delete horizon
 *     23  int32  last offset delta         last offset - base offset
 *     27  int64  base timestamp, ms        of the first record
 *     35  int64  largest timestamp, ms
 *     43  int64  producer id               -1: none
 *     51  int16  producer epoch            -1: none
 *     53  int32  base sequence             -1: none
 *     57  int32  count of records
 *     61  records, compressed together where attributes say so
 *
 * What stands before byte 21 is not covered by the CRC: a broker stamps base offset and leader
 * epoch without touching the rest.
 *
 * A record (all integers zigzag varints, a length of -1 is null):
 *
 *     length of what follows | attributes, 1 byte, 0 | timestamp delta | offset delta
 *     | key length | key | value length | value
 *     | count of headers | (name length | name | value length | value)*
 *
 * Source: Kafka's DefaultRecordBatch.java and DefaultRecord.java. Pure functions, any thread. */
#ifndef WEIR_CODEC_BATCH_H
#define WEIR_CODEC_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/compress.h"

enum {
    BATCH_HEADER_BYTES = 61,
    BATCH_PREFIX_BYTES = 12, /* base offset and length: what is needed to find the next batch */
    BATCH_MAGIC = 2,

    BATCH_CODEC_MASK = 7,
    BATCH_APPEND_TIME = 1 << 3,
    BATCH_TRANSACTIONAL = 1 << 4,
    BATCH_CONTROL = 1 << 5,
    BATCH_DELETE_HORIZON = 1 << 6,
};

struct batch_header {
    int64_t base_offset;
    uint32_t size_bytes; /* whole, with the header */
    int32_t leader_epoch;
    uint32_t crc;
    uint16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp_ms;
    int64_t max_timestamp_ms;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t count;
};

static inline int64_t batch_last_offset(const struct batch_header *h)
{
    return h->base_offset + h->last_offset_delta;
}

static inline enum compress_codec batch_codec(const struct batch_header *h)
{
    return (enum compress_codec)(h->attributes & BATCH_CODEC_MASK);
}

/* Read the header at the front of bytes, which need not hold the whole batch. ERR_TRUNCATED below
 * BATCH_HEADER_BYTES; ERR_UNSUPPORTED: another magic; ERR_CORRUPT: impossible sizes, offsets or
 * counts. The CRC is not looked at. */
MUST_CHECK enum err batch_header_read(struct str bytes, struct batch_header *ret_header);
/* The first bytes of a batch, checked whole: header, size against bytes, CRC. Of a compressed batch
 * the records are not unpacked. In addition to batch_header_read: ERR_TRUNCATED when bytes end
 * first. */
MUST_CHECK enum err batch_check(struct str bytes, struct batch_header *ret_header);
/* Write the header of a batch whose records are in parts, computing its size and CRC. ret_bytes:
 * room for BATCH_HEADER_BYTES. h->size_bytes and h->crc are set. */
void batch_header_write(struct batch_header *h, const struct str *parts, size_t part_count,
                        char *ret_bytes);
/* Set the time of its appending as that of all records, and the CRC anew. */
void batch_stamp_time(char *bytes, size_t len, int64_t append_ms);
/* What a broker sets in a producer's batch. */
void batch_stamp(char *bytes, int64_t base_offset, int32_t leader_epoch);
/* Append the records of a whole batch to *out, uncompressed, at most max_bytes. Errors of
 * compress_read. */
MUST_CHECK enum err batch_unpack(struct compress *c, const struct batch_header *h, struct str batch,
                                 size_t max_bytes, struct buf *out);

/* What ends a transaction. */
enum batch_marker { BATCH_MARKER_NONE = -1, BATCH_MARKER_ABORT = 0, BATCH_MARKER_COMMIT = 1 };

enum { BATCH_MARKER_MAX_BYTES = 128 };

/* Which one a whole control batch is, by its first record's key. MARKER_NONE: a control batch of
 * another kind. ERR_CORRUPT, ERR_TRUNCATED, ERR_UNSUPPORTED (compressed). */
MUST_CHECK enum err batch_marker_read(struct str batch, enum batch_marker *ret_marker);
/* The same for a control record's key. */
enum batch_marker batch_marker_of_key(struct str key);
/* Append a marker's whole batch to *out, Kafka's EndTransactionMarker.java: key int16 0 | int16
 * kind, value int16 0 | int32 the coordinator's epoch. */
void batch_marker_write(int64_t producer_id, int16_t producer_epoch, enum batch_marker marker,
                        int32_t coordinator_epoch, int64_t timestamp_ms, struct buf *out);

/* A header of a record. */
struct record_header {
    struct str name;
    struct str value; /* .ptr NULL: null */
};

/* What goes into a record. */
struct record_fields {
    struct str key;          /* .ptr NULL: null */
    const struct str *value; /* parts, joined; NULL: null */
    size_t value_parts;
    const struct record_header *headers;
    size_t header_count;
};

/* Bytes that the record takes, its length prefix included. */
size_t record_size(const struct record_fields *f, int64_t timestamp_delta_ms, int32_t offset_delta);
/* Append it, in one piece. The sticky error of out tells when it did not fit. */
void record_write(struct buf *out, const struct record_fields *f, int64_t timestamp_delta_ms,
                  int32_t offset_delta);

/* A record as it was read: views into the bytes it was read from. */
struct record_view {
    int64_t timestamp_delta_ms;
    int32_t offset_delta;
    struct str key;   /* .ptr NULL: null */
    struct str value; /* .ptr NULL: null */
    struct str headers;
    int32_t header_count;
};

/* Take one record off the front of *rest. ERR_TRUNCATED, ERR_CORRUPT. Its headers are counted, and
 * checked when they are read. */
MUST_CHECK enum err record_read(struct str *rest, struct record_view *ret_record);
/* Take one header off the front of *rest (a record's headers). */
MUST_CHECK enum err record_header_read(struct str *rest, struct record_header *ret_header);
/* Records of a batch, unpacked: count of them, offset deltas ascending up to last_offset_delta,
 * headers whole, nothing behind. ERR_CORRUPT, ERR_TRUNCATED. */
MUST_CHECK enum err batch_records_check(const struct batch_header *h, struct str records);

#endif
