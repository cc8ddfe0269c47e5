#include "api/ingest.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/mem.h"
#include "codec/batch.h"
#include "codec/compress.h"

enum {
    BATCH_BYTES = LOG_BATCH_TARGET_BYTES,
    VALUE_BYTES_MAX = LOG_RECORD_MAX_BYTES - (64 << 10), /* key and headers beside it */
    RECEIPT_BYTES = 80,
};

struct packed {
    struct log_append append;
    struct ingest *in;
    struct buf bytes;
    struct packed *next;
};

/* A record that is not encoded yet: its batch's receipt may be still to come. */
struct held {
    bool used;
    struct buf value;
    struct arena arena;
    struct str key;
    struct record_header headers[INGEST_HEADERS_MAX + 1];
    size_t header_count;
};

struct ingest {
    struct log_part *part;
    int64_t now_ms;
    struct compress *compress;
    enum compress_codec codec;
    struct held slots[2]; /* one is held, the other being made */
    unsigned making;
    struct buf records;
    int32_t count;               /* of records */
    uint64_t received, rejected; /* since the last batch */
    uint64_t stored;
    enum err error;
    struct packed *batches, **batches_end;
    atomic_uint waiting;
    atomic_int failed;
    void (*done)(void *arg, enum err error);
    void *arg;
};

struct ingest *ingest_new(struct log_part *part, int64_t now_ms)
{
    struct ingest *in = NEW(struct ingest);
    in->part = part;
    in->now_ms = now_ms;
    in->codec = log_topic_config(log_part_topic(part)).compression;
    in->compress = compress_new();
    in->batches_end = &in->batches;
    for (int i = 0; i < 2; i++) {
        buf_init(&in->slots[i].value, VALUE_BYTES_MAX);
        arena_init(&in->slots[i].arena);
    }
    buf_init(&in->records, 2 * (size_t)LOG_RECORD_MAX_BYTES);
    return in;
}

void ingest_free(struct ingest *in)
{
    if (!in)
        return;
    while (in->batches) {
        struct packed *next = in->batches->next;
        buf_release(&in->batches->bytes);
        mem_free(in->batches);
        in->batches = next;
    }
    for (int i = 0; i < 2; i++) {
        buf_release(&in->slots[i].value);
        arena_release(&in->slots[i].arena);
    }
    buf_release(&in->records);
    compress_free(in->compress);
    mem_free(in);
}

struct buf *ingest_value(struct ingest *in)
{
    return &in->slots[in->making].value;
}

struct arena *ingest_arena(struct ingest *in)
{
    return &in->slots[in->making].arena;
}

static void forget(struct held *h)
{
    buf_reset(&h->value);
    arena_reset(&h->arena);
    h->used = false;
}

static void encode(struct ingest *in, struct held *h)
{
    struct str value = buf_str(&h->value);
    struct record_fields fields = {.key = h->key,
                                   .value = &value,
                                   .value_parts = 1,
                                   .headers = h->headers,
                                   .header_count = h->header_count};
    record_write(&in->records, &fields, 0, in->count++);
    forget(h);
}

static enum err pack(struct ingest *in, struct packed *p)
{
    struct str records = buf_str(&in->records);
    struct batch_header header = {
        .leader_epoch = 0,
        .last_offset_delta = in->count - 1,
        .base_timestamp_ms = in->now_ms,
        .max_timestamp_ms = in->now_ms,
        .producer_id = -1,
        .producer_epoch = -1,
        .base_sequence = -1,
        .count = in->count,
    };
    TRY(in->records.error);
    char bytes[BATCH_HEADER_BYTES];
    memset(bytes, 0, sizeof bytes);
    buf_append(&p->bytes, bytes, sizeof bytes);
    TRY(compress_write(in->compress, in->codec, records, &p->bytes));
    struct str packed = str_skip(buf_str(&p->bytes), BATCH_HEADER_BYTES);
    header.attributes = (uint16_t)in->codec;
    batch_header_write(&header, &packed, 1, bytes);
    memcpy(p->bytes.ptr, bytes, sizeof bytes);
    return p->bytes.error;
}

/* The held record, with the receipt, ends a batch. */
static void end_batch(struct ingest *in, struct held *last)
{
    char receipt[RECEIPT_BYTES];
    int n = snprintf(receipt, sizeof receipt, "received=%llu rejected=%llu",
                     (unsigned long long)in->received, (unsigned long long)in->rejected);
    last->headers[last->header_count++] =
        (struct record_header){STR("receipt"), str_of(receipt, (size_t)n)};
    encode(in, last);
    struct packed *p = NEW(struct packed);
    p->in = in;
    buf_init(&p->bytes, LOG_BATCH_MAX_BYTES);
    *in->batches_end = p;
    in->batches_end = &p->next;
    enum err error = pack(in, p);
    in->error = in->error == ERR_OK ? error : in->error;
    in->received = in->rejected = 0;
    in->count = 0;
    buf_reset(&in->records);
}

enum err ingest_add(struct ingest *in, struct str key, const struct record_header *headers,
                    size_t header_count, uint64_t weight)
{
    struct held *h = &in->slots[in->making];
    struct held *before = &in->slots[!in->making];
    if (h->value.error != ERR_OK) {
        enum err error = h->value.error;
        forget(h);
        return error;
    }
    if (before->used && in->records.len + before->value.len + h->value.len > BATCH_BYTES)
        end_batch(in, before);
    else if (before->used)
        encode(in, before);
    h->used = true;
    h->key = key;
    h->header_count = header_count;
    if (header_count)
        memcpy(h->headers, headers, header_count * sizeof *headers);
    in->received += weight;
    in->stored += weight;
    in->making = !in->making;
    return ERR_OK;
}

void ingest_reject(struct ingest *in, uint64_t items)
{
    forget(&in->slots[in->making]);
    in->received += items;
    in->rejected += items;
}

uint64_t ingest_stored(const struct ingest *in)
{
    return in->stored;
}

static void finish_one(struct ingest *in, enum err error)
{
    if (error != ERR_OK)
        atomic_store(&in->failed, (int)error);
    if (atomic_fetch_sub(&in->waiting, 1) == 1)
        in->done(in->arg, (enum err)atomic_load(&in->failed));
}

static void on_appended(struct log_append *first)
{
    while (first) {
        struct log_append *next = first->next;
        struct packed *p = (struct packed *)((char *)first - offsetof(struct packed, append));
        finish_one(p->in, first->error);
        first = next;
    }
}

void ingest_send(struct ingest *in, void (*done)(void *arg, enum err error), void *arg)
{
    struct held *last = &in->slots[!in->making];
    if (last->used)
        end_batch(in, last);
    in->done = done;
    in->arg = arg;
    atomic_store(&in->waiting, 1);
    for (struct packed *p = in->batches; p && in->error == ERR_OK; p = p->next) {
        p->append = (struct log_append){.done = on_appended, .owner = in};
        atomic_fetch_add(&in->waiting, 1);
        enum err error = log_append_batch(in->part, buf_str(&p->bytes), &p->append);
        if (error != ERR_OK) {
            in->error = error;
            atomic_fetch_sub(&in->waiting, 1);
        }
    }
    finish_one(in, in->error);
}
