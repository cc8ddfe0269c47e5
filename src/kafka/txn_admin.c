/* ListTransactions, DescribeTransactions, DescribeProducers: what `kafka-transactions` asks. */
#include "base/mem.h"
#include "kafka/kafka_int.h"
#include "os/clock.h"

enum { TRANSACTIONAL_ID_NOT_FOUND = 105 };

static struct txns *txns_of(const struct kafka_request *r)
{
    return kafka_request_half(r)->server->txns;
}

/* ---- ListTransactions ---- */

static bool is_state(struct str name)
{
    static const char *const names[] = {
        "Empty",          "Ongoing",       "PrepareCommit",     "PrepareAbort",
        "CompleteCommit", "CompleteAbort", "PrepareEpochFence", "Dead"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq(name, str_from_c(names[i])))
            return true;
    return false;
}

static bool is_wanted(const struct kafka_list_transactions_request *q, const struct txn_view *v,
                      int64_t now_ms)
{
    bool state = q->state_filters_count == 0;
    bool producer = q->producer_id_filters_count == 0;
    bool lasts = v->started_ms >= 0 && now_ms - v->started_ms > q->duration_filter;
    for (int32_t i = 0; i < q->state_filters_count; i++)
        state = state || str_eq(q->state_filters[i], str_from_c(v->state));
    for (int32_t i = 0; i < q->producer_id_filters_count; i++)
        producer = producer || q->producer_id_filters[i] == v->producer_id;
    return state && producer && (q->duration_filter < 0 || lasts);
}

void kafka_on_list_transactions(struct kafka_request *r)
{
    const struct kafka_list_transactions_request *q = r->body;
    struct kafka_list_transactions_response *response =
        KAFKA_NEW(&r->arena, list_transactions_response, 1);
    size_t count = 0;
    const struct txn_view *views = txns_list(txns_of(r), &r->arena, &count);
    response->transaction_states =
        KAFKA_NEW(&r->arena, list_transactions_response_transaction_state, count);
    for (size_t i = 0; i < count; i++)
        if (is_wanted(q, &views[i], os_wall_us() / 1000))
            response->transaction_states[response->transaction_states_count++] =
                (struct kafka_list_transactions_response_transaction_state){
                    views[i].id, views[i].producer_id, str_from_c(views[i].state)};
    response->unknown_state_filters =
        ARENA_ARRAY(&r->arena, struct str, (size_t)q->state_filters_count);
    for (int32_t i = 0; i < q->state_filters_count; i++)
        if (!is_state(q->state_filters[i]))
            response->unknown_state_filters[response->unknown_state_filters_count++] =
                q->state_filters[i];
    kafka_reply(r, response);
}

/* ---- DescribeTransactions ---- */

static void fill_topics(struct kafka_request *r, const struct txn_view *v,
                        struct kafka_describe_transactions_response_transaction_state *to)
{
    to->topics = KAFKA_NEW(&r->arena, describe_transactions_response_topic_data, v->part_count);
    for (size_t i = 0; i < v->part_count; i++) {
        struct str name = log_topic_name(log_part_topic(v->parts[i]));
        int32_t t = 0;
        while (t < to->topics_count && !str_eq(to->topics[t].topic, name))
            t++;
        if (t == to->topics_count) {
            to->topics[t].topic = name;
            to->topics[t].partitions = ARENA_ARRAY(&r->arena, int32_t, v->part_count);
            to->topics_count++;
        }
        to->topics[t].partitions[to->topics[t].partitions_count++] =
            (int32_t)log_part_index(v->parts[i]);
    }
}

void kafka_on_describe_transactions(struct kafka_request *r)
{
    const struct kafka_describe_transactions_request *q = r->body;
    struct kafka_describe_transactions_response *response =
        KAFKA_NEW(&r->arena, describe_transactions_response, 1);
    response->transaction_states = KAFKA_NEW(
        &r->arena, describe_transactions_response_transaction_state, q->transactional_ids_count);
    response->transaction_states_count = q->transactional_ids_count;
    for (int32_t i = 0; i < q->transactional_ids_count; i++) {
        struct kafka_describe_transactions_response_transaction_state *to =
            &response->transaction_states[i];
        struct txn_view v;
        to->transactional_id = q->transactional_ids[i];
        if (!txns_describe(txns_of(r), to->transactional_id, &r->arena, &v)) {
            to->error_code = TRANSACTIONAL_ID_NOT_FOUND;
            continue;
        }
        to->transaction_state = str_from_c(v.state);
        to->transaction_timeout_ms = v.timeout_ms;
        to->transaction_start_time_ms = v.started_ms;
        to->producer_id = v.producer_id;
        to->producer_epoch = v.epoch;
        fill_topics(r, &v, to);
    }
    kafka_reply(r, response);
}

/* ---- DescribeProducers ---- */

static void fill_producers(struct kafka_request *r, struct log_part *part,
                           struct kafka_describe_producers_response_partition *to)
{
    struct log_producer *producers = NULL;
    size_t count = log_part_producers(part, &producers);
    to->active_producers = KAFKA_NEW(&r->arena, describe_producers_response_active_producer, count);
    to->active_producers_count = (int32_t)count;
    for (size_t i = 0; i < count; i++)
        to->active_producers[i] = (struct kafka_describe_producers_response_active_producer){
            .producer_id = producers[i].id,
            .producer_epoch = producers[i].epoch,
            .last_sequence = producers[i].last_sequence,
            .last_timestamp = producers[i].last_ms,
            .coordinator_epoch = producers[i].coordinator_epoch,
            .current_txn_start_offset = producers[i].transaction_first,
        };
    mem_free(producers);
}

static void describe_producers(void *arg)
{
    struct kafka_request *r = arg;
    const struct kafka_describe_producers_request *q = r->body;
    struct kafka_describe_producers_response *response =
        KAFKA_NEW(&r->arena, describe_producers_response, 1);
    response->topics = KAFKA_NEW(&r->arena, describe_producers_response_topic, q->topics_count);
    response->topics_count = q->topics_count;
    for (int32_t i = 0; i < q->topics_count; i++) {
        struct kafka_describe_producers_response_topic *t = &response->topics[i];
        t->name = q->topics[i].name;
        t->partitions = KAFKA_NEW(&r->arena, describe_producers_response_partition,
                                  q->topics[i].partition_indexes_count);
        t->partitions_count = q->topics[i].partition_indexes_count;
        for (int32_t p = 0; p < t->partitions_count; p++) {
            struct log_part *part = NULL;
            t->partitions[p].partition_index = q->topics[i].partition_indexes[p];
            t->partitions[p].error_code =
                kafka_part_find(r, t->name, t->partitions[p].partition_index, -1, &part);
            if (part)
                fill_producers(r, part, &t->partitions[p]);
        }
    }
    r->state = response;
}

static void reply_state(void *arg)
{
    struct kafka_request *r = arg;
    kafka_reply(r, r->state);
}

/* It waits for who is writing to the partitions. */
void kafka_on_describe_producers(struct kafka_request *r)
{
    kafka_request_work(r, describe_producers, reply_state);
}
