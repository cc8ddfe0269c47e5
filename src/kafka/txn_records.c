/* Records of __transaction_state, as Kafka writes them (TransactionLogKey.json and
 * TransactionLogValue.json, version 0):
 *
 *     key    int16 0 | string transactional id
 *     value  int16 0 | int64 producer id | int16 epoch | int32 timeout, ms | int8 state
 *            | int32 count, -1: none, of topics: string name | int32 count of int32 partitions
 *            | int64 time of the record, ms | int64 time the transaction began, ms; -1: none
 *     null: forgotten
 *
 * Strings have a length of 16 bits. */
#include "base/mem.h"
#include "codec/endian.h"
#include "kafka/txns_int.h"

static void put(struct buf *out, uint64_t value, size_t bytes)
{
    char at[8];
    be64_put(at, value);
    buf_append(out, at + 8 - bytes, bytes);
}

static void put_str(struct buf *out, struct str s)
{
    put(out, s.len, 2);
    buf_append_str(out, s);
}

/* Partitions of one topic after another; they came in any order. */
static void put_parts(struct buf *out, const struct txn_facts *f)
{
    uint32_t topics = 0;
    size_t at = out->len;
    put(out, 0, 4);
    for (size_t i = 0; i < f->part_count; i++) {
        const struct log_topic *topic = log_part_topic(f->parts[i]);
        uint32_t count = 0;
        bool first = true;
        for (size_t j = 0; j < i && first; j++)
            first = log_part_topic(f->parts[j]) != topic;
        if (!first)
            continue;
        for (size_t j = i; j < f->part_count; j++)
            count += log_part_topic(f->parts[j]) == topic;
        topics++;
        put_str(out, log_topic_name(topic));
        put(out, count, 4);
        for (size_t j = i; j < f->part_count; j++)
            if (log_part_topic(f->parts[j]) == topic)
                put(out, log_part_index(f->parts[j]), 4);
    }
    if (out->error == ERR_OK)
        be32_put(out->ptr + at, topics);
}

void txn_record_write(struct str id, const struct txn_facts *f, struct buf *key, struct buf *value)
{
    put(key, 0, 2);
    put_str(key, id);
    if (!f)
        return;
    put(value, 0, 2);
    put(value, (uint64_t)f->producer_id, 8);
    put(value, (uint16_t)f->epoch, 2);
    put(value, (uint32_t)f->timeout_ms, 4);
    put(value, (uint64_t)f->state, 1);
    if (f->state == TXN_EMPTY)
        put(value, (uint32_t)-1, 4);
    else
        put_parts(value, f);
    put(value, (uint64_t)f->updated_ms, 8);
    put(value, (uint64_t)f->started_ms, 8);
}

/* ---- Reading ---- */

MUST_CHECK static enum err take(struct str *rest, size_t bytes, uint64_t *ret_value)
{
    char at[8] = {0};
    if (rest->len < bytes)
        return ERR_TRUNCATED;
    memcpy(at + 8 - bytes, rest->ptr, bytes);
    *rest = str_skip(*rest, bytes);
    *ret_value = be64_get(at);
    return ERR_OK;
}

MUST_CHECK static enum err take_str(struct str *rest, struct str *ret_str)
{
    uint64_t len = 0;
    TRY(take(rest, 2, &len));
    if (len > rest->len)
        return ERR_TRUNCATED;
    *ret_str = str_take(*rest, len);
    *rest = str_skip(*rest, len);
    return ERR_OK;
}

enum err txn_key_read(struct str key, struct str *ret_id)
{
    uint64_t version = 0;
    TRY(take(&key, 2, &version));
    return version == 0 ? take_str(&key, ret_id) : ERR_NOT_FOUND;
}

static enum err take_topic(struct log *log, struct str *rest, struct txn_facts *f)
{
    struct str name = STR_NONE;
    uint64_t count, number;
    TRY(take_str(rest, &name));
    TRY(take(rest, 4, &count));
    if (count > rest->len / 4)
        return ERR_CORRUPT;
    struct log_topic *topic = log_topic_find(log, name);
    f->parts = mem_resize(f->parts, (f->part_count + count + 1) * sizeof *f->parts);
    for (uint64_t i = 0; i < count; i++) {
        TRY(take(rest, 4, &number));
        struct log_part *part = topic ? log_topic_part(topic, (uint32_t)number) : NULL;
        if (part)
            f->parts[f->part_count++] = part;
    }
    return ERR_OK;
}

static enum err read_value(struct log *log, struct str rest, struct txn_facts *f)
{
    uint64_t version, id, epoch, timeout, state, topics, updated, started;
    TRY(take(&rest, 2, &version));
    if (version != 0)
        return ERR_NOT_FOUND;
    TRY(take(&rest, 8, &id));
    TRY(take(&rest, 2, &epoch));
    TRY(take(&rest, 4, &timeout));
    TRY(take(&rest, 1, &state));
    TRY(take(&rest, 4, &topics));
    if (state >= TXN_STATES)
        return ERR_CORRUPT;
    for (int64_t i = 0; i < (int32_t)topics; i++)
        TRY(take_topic(log, &rest, f));
    TRY(take(&rest, 8, &updated));
    TRY(take(&rest, 8, &started));
    f->producer_id = (int64_t)id;
    f->epoch = (int16_t)epoch;
    f->timeout_ms = (int32_t)timeout;
    f->state = (enum txn_state)state;
    f->updated_ms = (int64_t)updated;
    f->started_ms = (int64_t)started;
    return ERR_OK;
}

enum err txn_value_read(struct log *log, struct str value, struct txn_facts *ret_facts)
{
    struct txn_facts f = {0};
    enum err e = read_value(log, value, &f);
    if (e == ERR_OK)
        *ret_facts = f;
    else
        txn_facts_free(&f);
    return e;
}
