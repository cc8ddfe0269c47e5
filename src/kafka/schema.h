/* Messages of the Kafka protocol, by table: bytes of one version <-> a C struct.
 *
 *     bytes ──kafka_read──▶ struct kafka_fetch_request ─▶ handler ─▶ struct kafka_fetch_response
 * ──kafka_write──▶ bytes ▲                                                                     ▲
 *                   └────────── struct kafka_api, made from kafka/messages.txt ───────────┘
 *
 *  1. Structs are the union of all versions. Reading sets what a version does not have to its
 * default; writing leaves out what a version does not have.
 *  2. Strings, bytes and records that were read are views into the bytes read from; arrays lie in
 * the arena.
 *  3. Reading never takes more arena than the reader was given (ERR_TOO_LARGE): an array's count is
 * believed only as far as bytes follow, and its structs are counted before they are made.
 *
 * Source: kafka.apache.org/protocol; KIP-482 (compact forms, tagged fields). Pure functions, any
 * thread. */
#ifndef WEIR_KAFKA_SCHEMA_H
#define WEIR_KAFKA_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/uuid.h"

enum kafka_kind {
    KAFKA_KIND_BOOL,
    KAFKA_KIND_INT8,
    KAFKA_KIND_INT16,
    KAFKA_KIND_INT32,
    KAFKA_KIND_INT64,
    KAFKA_KIND_UUID,
    KAFKA_KIND_STRING,
    KAFKA_KIND_BYTES,
    KAFKA_KIND_RECORDS, /* of a response: struct kafka_records */
    KAFKA_KIND_STRUCT,
};

enum {
    KAFKA_FIELD_ARRAY = 1, /* items and their count, int32_t, behind the pointer */
    KAFKA_FIELD_NULL_BY_DEFAULT = 2,
};

/* Record batches of a response that need not be in memory: the writer leaves them to its caller. */
struct kafka_records {
    bool present; /* else null */
    uint32_t length;
    const void *source; /* kafka_writer.records knows what it is; without it: the bytes */
};

struct kafka_struct;

struct kafka_field {
    const char *name;
    uint8_t kind; /* of an item, where it is an array */
    uint8_t flags;
    int16_t first, last;           /* versions that have it */
    int16_t null_first, null_last; /* versions in which it may be null */
    int16_t tag;                   /* -1: it stands in its place */
    uint16_t at;                   /* in the struct */
    int64_t by_default;
    const struct kafka_struct *of; /* kind STRUCT */
};

struct kafka_struct {
    const char *name;
    uint16_t size_bytes;
    uint16_t count;
    const struct kafka_field *fields;
};

struct kafka_api {
    const char *name;
    int16_t key;
    int16_t offered; /* ApiVersions names this as the oldest; below `oldest` all are refused */
    int16_t oldest, newest;
    int16_t flexible; /* from this version on */
    const struct kafka_struct *request;
    const struct kafka_struct *response;
};

/* Reading what an outsider wrote: arena bytes that one message may take. */
enum { KAFKA_READ_ARENA_MAX_BYTES = 64 << 20 };

/* The message at the front of bytes: its struct, of->size_bytes long, in the arena. What stands
 * behind it is ignored, as Kafka does: librdkafka 2.16 sends three bytes too many when it asks for
 * the metadata of all topics. ERR_TRUNCATED; ERR_CORRUPT: impossible lengths, or null where there
 * may be none; ERR_TOO_LARGE. */
MUST_CHECK enum err kafka_read(const struct kafka_struct *of, int16_t version, bool flexible,
                               struct str bytes, struct arena *arena, void **ret_message);

struct kafka_writer {
    struct buf *out;
    int16_t version;
    bool flexible;
    /* Called where records belong, behind their length: what is to stand there. NULL: the bytes at
     * source are copied. */
    void (*records)(void *arg, const struct kafka_records *records);
    void *arg;
};

/* Append the message to w->out, whose sticky error says whether it fitted. */
void kafka_write(const struct kafka_writer *w, const struct kafka_struct *of, const void *message);

/* count structs, each with its defaults, in the arena. */
void *kafka_new(const struct kafka_struct *of, struct arena *arena, size_t count);

/* ---- Headers ---- */

struct kafka_header {
    int16_t key;
    int16_t version;
    int32_t correlation_id;
    struct str client_id; /* .ptr NULL: null */
};

/* Take a request's header off the front of *rest. flexible: the request's, which decides whether
 * tagged fields follow; found by kafka_api_find, so the first 4 bytes are read twice.
 * ERR_TRUNCATED, ERR_CORRUPT. */
MUST_CHECK enum err kafka_header_read(struct str *rest, struct kafka_header *ret_header);
/* A response's: ApiVersions answers without tagged fields in every version, so that a client learns
 * what is spoken. */
void kafka_header_write(struct buf *out, const struct kafka_api *api, int16_t version,
                        int32_t correlation_id);

/* ---- What is spoken ---- */

/* NULL: no such key in the table. */
const struct kafka_api *kafka_api_find(int16_t key);
const struct kafka_api *kafka_api_list(size_t *ret_count);

static inline bool kafka_api_flexible(const struct kafka_api *api, int16_t version)
{
    return version >= api->flexible;
}

#endif
