/* Produce: a batch for each partition, kept as it came.
 *
 * acks 0: nothing is answered; 1: when the batch is written; all: as the topic's durability says.
 */
#include "base/assert.h"
#include "codec/batch.h"
#include "kafka/kafka_int.h"

struct produce_part {
    struct kafka_append append; /* first */
    struct kafka_request *request;
    struct log_part *part;
    struct kafka_produce_response_partition_response *to;
    int16_t refused; /* by its transaction */
};

enum { NOT_ENOUGH_REPLICAS = 19 };

struct produce {
    struct kafka_produce_response *response;
    size_t waiting; /* appends under way, and 1 while they are begun */
};

/* ---- The end ---- */

static int16_t error_code(enum err e)
{
    switch (e) {
    case ERR_INVALID: return KAFKA_INVALID_RECORD;
    case ERR_UNSUPPORTED: return KAFKA_UNSUPPORTED_FOR_MESSAGE_FORMAT;
    case ERR_CLOSED: return KAFKA_NOT_LEADER_OR_FOLLOWER;
    default: return kafka_error_of(e);
    }
}

static void one_done(struct kafka_request *r)
{
    struct produce *p = r->state;
    const struct kafka_produce_request *q = r->body;
    if (--p->waiting > 0)
        return;
    if (q->acks == 0)
        kafka_reply_nothing(r);
    else
        kafka_reply(r, p->response);
}

static void set_error(struct produce_part *p, enum err e)
{
    p->to->error_code = error_code(e);
    p->to->base_offset = -1;
    p->to->log_start_offset = -1;
    if (e != ERR_OK)
        p->to->error_message = str_from_c(err_text(e));
}

static void on_appended(struct kafka_append *a)
{
    struct produce_part *p = (struct produce_part *)a;
    if (a->append.error == ERR_OK) {
        p->to->base_offset = a->append.offset;
        p->to->log_append_time_ms = a->append.append_ms;
        p->to->log_start_offset = log_part_start(p->part);
    } else {
        set_error(p, a->append.error);
    }
    one_done(p->request);
}

/* ---- Appending ---- */

static int16_t check(struct kafka_request *r, struct str topic, struct log_part *part)
{
    const struct kafka_produce_request *q = r->body;
    if (q->acks < -1 || q->acks > 1)
        return KAFKA_INVALID_REQUIRED_ACKS;
    if (!kafka_may(r, topic, true))
        return KAFKA_TOPIC_AUTHORIZATION_FAILED;
    if (kafka_topic_is_internal(topic))
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    return part ? KAFKA_NONE : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

/* A batch of a transaction goes to partitions only that its producer has added. What cannot be read
 * is log_append_batch's to refuse. */
static enum err append_batch(struct kafka_request *r, struct log_part *part, struct str records,
                             struct produce_part *p)
{
    const struct kafka_produce_request *q = r->body;
    struct txns *txns = kafka_request_half(r)->server->txns;
    struct batch_header h;
    if (batch_header_read(records, &h) != ERR_OK || !(h.attributes & BATCH_TRANSACTIONAL))
        return log_append_batch(part, records, &p->append.append);
    const struct txn_from from = {q->transactional_id, h.producer_id, h.producer_epoch};
    p->refused = q->transactional_id.ptr ? txns_batch_begin(txns, &from, part)
                                         : KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    /* An error that old clients try again. */
    if (p->refused == KAFKA_CONCURRENT_TRANSACTIONS)
        p->refused = NOT_ENOUGH_REPLICAS;
    if (p->refused != KAFKA_NONE)
        return ERR_TRANSACTION;
    enum err e = log_append_batch(part, records, &p->append.append);
    txns_batch_end(txns, q->transactional_id);
    return e;
}

static void append_one(struct kafka_request *r, struct log_part *part, struct str records,
                       struct kafka_produce_response_partition_response *to)
{
    const struct kafka_produce_request *q = r->body;
    struct produce *state = r->state;
    struct kafka_half *half = kafka_request_half(r);
    struct produce_part *p = ARENA_NEW(&r->arena, struct produce_part);
    *p = (struct produce_part){.request = r, .part = part, .to = to};
    kafka_append_init(&p->append, half, on_appended);
    p->append.append.ack = q->acks < 0 ? LOG_ACK_TOPIC : LOG_ACK_WRITE;
    state->waiting++;
    enum err e = append_batch(r, part, records, p);
    if (e == ERR_OK) {
        kafka_commit_later(half);
        return;
    }
    set_error(p, e);
    if (p->refused != KAFKA_NONE)
        to->error_code = p->refused;
    one_done(r);
}

static void append_topic(struct kafka_request *r,
                         const struct kafka_produce_request_topic_data *from,
                         struct kafka_produce_response_response *to)
{
    struct log_topic *topic = log_topic_find(kafka_request_log(r), from->name);
    to->name = from->name;
    to->partition_responses =
        KAFKA_NEW(&r->arena, produce_response_partition_response, from->partition_data_count);
    to->partition_responses_count = from->partition_data_count;
    for (int32_t i = 0; i < from->partition_data_count; i++) {
        const struct kafka_produce_request_partition_data *data = &from->partition_data[i];
        struct kafka_produce_response_partition_response *answer = &to->partition_responses[i];
        struct log_part *part =
            topic && data->index >= 0 ? log_topic_part(topic, (uint32_t)data->index) : NULL;
        answer->index = data->index;
        answer->base_offset = -1;
        answer->error_code = check(r, from->name, part);
        if (answer->error_code == KAFKA_NONE)
            append_one(r, part, data->records, answer);
    }
}

void kafka_on_produce(struct kafka_request *r)
{
    const struct kafka_produce_request *q = r->body;
    struct produce *p = ARENA_NEW(&r->arena, struct produce);
    r->state = p;
    p->waiting = 1;
    p->response = KAFKA_NEW(&r->arena, produce_response, 1);
    p->response->responses = KAFKA_NEW(&r->arena, produce_response_response, q->topic_data_count);
    p->response->responses_count = q->topic_data_count;
    for (int32_t i = 0; i < q->topic_data_count; i++)
        append_topic(r, &q->topic_data[i], &p->response->responses[i]);
    one_done(r);
}
