/* InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, TxnOffsetCommit: the protocol's side
 * of kafka/txns.h. */
#include "kafka/kafka_int.h"
#include "os/clock.h"
#include "os/random.h"

enum {
    ID_BITS = 52, /* of producer ids: random, so that none is given out twice without a record of
                     those that were, and exact in JavaScript's numbers too */
    OPERATION_NOT_ATTEMPTED = 55,
    FENCED_SINCE_VERSION = 2, /* of Add…ToTxn and EndTxn: before, PRODUCER_FENCED was not known */
    INIT_FENCED_SINCE_VERSION = 4,
};

struct waiting {
    struct txn_wait wait; /* first */
    struct kafka_request *request;
};

static struct txns *txns_of(const struct kafka_request *r)
{
    return kafka_request_half(r)->server->txns;
}

static struct groups *groups_of(const struct kafka_request *r)
{
    return kafka_request_half(r)->server->groups;
}

/* ---- Waiting ---- */

/* On any thread, under the transactions' lock. */
static void on_done(struct txn_wait *w)
{
    struct kafka_request *r = ((struct waiting *)w)->request;
    loop_post(kafka_request_half(r)->loop, &r->woken);
}

static struct txn_wait *begin_wait(struct kafka_request *r, void (*then)(void *request))
{
    struct waiting *w = ARENA_NEW(&r->arena, struct waiting);
    w->wait.done = on_done;
    w->request = r;
    r->state = w;
    loop_task_init(&r->woken, then, r);
    kafka_commit_later(kafka_request_half(r));
    return &w->wait;
}

static int16_t error_since(const struct kafka_request *r, int16_t error, int16_t version)
{
    bool old = error == KAFKA_PRODUCER_FENCED && r->header.version < version;
    return old ? KAFKA_INVALID_PRODUCER_EPOCH : error;
}

/* ---- InitProducerId ---- */

static void producer_ready(void *arg)
{
    struct kafka_request *r = arg;
    const struct txn_wait *w = r->state;
    struct kafka_init_producer_id_response *response =
        KAFKA_NEW(&r->arena, init_producer_id_response, 1);
    bool good = w->error == KAFKA_NONE;
    response->error_code = error_since(r, w->error, INIT_FENCED_SINCE_VERSION);
    response->producer_id = good ? w->producer_id : -1;
    response->producer_epoch = good ? w->epoch : -1;
    kafka_reply(r, response);
}

void kafka_on_init_producer_id(struct kafka_request *r)
{
    const struct kafka_init_producer_id_request *q = r->body;
    if (q->transactional_id.ptr) {
        const struct txn_from from = {q->transactional_id, q->producer_id, q->producer_epoch};
        txns_init(txns_of(r), &from, q->transaction_timeout_ms, begin_wait(r, producer_ready));
        return;
    }
    struct kafka_init_producer_id_response *response =
        KAFKA_NEW(&r->arena, init_producer_id_response, 1);
    response->producer_id = (int64_t)(os_random_u64() >> (64 - ID_BITS));
    kafka_reply(r, response);
}

/* ---- AddPartitionsToTxn ---- */

static struct kafka_add_partitions_to_txn_response *
answer_partitions(struct kafka_request *r, const struct kafka_add_partitions_to_txn_request *q)
{
    struct kafka_add_partitions_to_txn_response *response =
        KAFKA_NEW(&r->arena, add_partitions_to_txn_response, 1);
    response->results_by_topic =
        KAFKA_NEW(&r->arena, add_partitions_to_txn_response_results_by_topic, q->topics_count);
    response->results_by_topic_count = q->topics_count;
    for (int32_t i = 0; i < q->topics_count; i++) {
        struct kafka_add_partitions_to_txn_response_results_by_topic *t =
            &response->results_by_topic[i];
        t->name = q->topics[i].name;
        t->results_by_partition =
            KAFKA_NEW(&r->arena, add_partitions_to_txn_response_results_by_partition,
                      q->topics[i].partitions_count);
        t->results_by_partition_count = q->topics[i].partitions_count;
        for (int32_t p = 0; p < t->results_by_partition_count; p++)
            t->results_by_partition[p].partition_index = q->topics[i].partitions[p];
    }
    return response;
}

/* The same for all that have no error of their own. */
static void set_errors(struct kafka_add_partitions_to_txn_response *response, int16_t error)
{
    for (int32_t i = 0; i < response->results_by_topic_count; i++) {
        struct kafka_add_partitions_to_txn_response_results_by_topic *t =
            &response->results_by_topic[i];
        for (int32_t p = 0; p < t->results_by_partition_count; p++)
            if (t->results_by_partition[p].partition_error_code == KAFKA_NONE)
                t->results_by_partition[p].partition_error_code = error;
    }
}

static void partitions_added(void *arg)
{
    struct kafka_request *r = arg;
    const struct txn_wait *w = r->state;
    struct kafka_add_partitions_to_txn_response *response = answer_partitions(r, r->body);
    set_errors(response, error_since(r, w->error, FENCED_SINCE_VERSION));
    kafka_reply(r, response);
}

/* The partitions that are asked for. False: one cannot be added, as *response says. */
static bool find_parts(struct kafka_request *r, const struct kafka_add_partitions_to_txn_request *q,
                       struct kafka_add_partitions_to_txn_response *response,
                       struct log_part ***ret_parts, size_t *ret_count)
{
    bool good = true;
    size_t total = 0;
    size_t count = 0;
    for (int32_t i = 0; i < q->topics_count; i++)
        total += (size_t)q->topics[i].partitions_count;
    struct log_part **parts = ARENA_ARRAY(&r->arena, struct log_part *, total);
    for (int32_t i = 0; i < q->topics_count; i++)
        for (int32_t p = 0; p < q->topics[i].partitions_count; p++) {
            struct log_part *part = NULL;
            int16_t *error =
                &response->results_by_topic[i].results_by_partition[p].partition_error_code;
            *error =
                kafka_may(r, q->topics[i].name, true) && !kafka_topic_is_internal(q->topics[i].name)
                    ? kafka_part_find(r, q->topics[i].name, q->topics[i].partitions[p], -1, &part)
                    : KAFKA_TOPIC_AUTHORIZATION_FAILED;
            good = good && part;
            parts[count++] = part;
        }
    *ret_parts = parts;
    *ret_count = count;
    return good;
}

void kafka_on_add_partitions_to_txn(struct kafka_request *r)
{
    const struct kafka_add_partitions_to_txn_request *q = r->body;
    const struct txn_from from = {q->transactional_id, q->producer_id, q->producer_epoch};
    struct log_part **parts = NULL;
    size_t count = 0;
    struct kafka_add_partitions_to_txn_response *response = answer_partitions(r, q);
    if (find_parts(r, q, response, &parts, &count)) {
        txns_add(txns_of(r), &from, parts, count, begin_wait(r, partitions_added));
        return;
    }
    set_errors(response, OPERATION_NOT_ATTEMPTED);
    kafka_reply(r, response);
}

/* ---- AddOffsetsToTxn, EndTxn ---- */

static void offsets_added(void *arg)
{
    struct kafka_request *r = arg;
    const struct txn_wait *w = r->state;
    struct kafka_add_offsets_to_txn_response *response =
        KAFKA_NEW(&r->arena, add_offsets_to_txn_response, 1);
    response->error_code = error_since(r, w->error, FENCED_SINCE_VERSION);
    kafka_reply(r, response);
}

void kafka_on_add_offsets_to_txn(struct kafka_request *r)
{
    const struct kafka_add_offsets_to_txn_request *q = r->body;
    const struct txn_from from = {q->transactional_id, q->producer_id, q->producer_epoch};
    struct log_part *part = groups_part(groups_of(r));
    txns_add(txns_of(r), &from, &part, 1, begin_wait(r, offsets_added));
}

static void ended(void *arg)
{
    struct kafka_request *r = arg;
    const struct txn_wait *w = r->state;
    struct kafka_end_txn_response *response = KAFKA_NEW(&r->arena, end_txn_response, 1);
    response->error_code = error_since(r, w->error, FENCED_SINCE_VERSION);
    kafka_reply(r, response);
}

void kafka_on_end_txn(struct kafka_request *r)
{
    const struct kafka_end_txn_request *q = r->body;
    const struct txn_from from = {q->transactional_id, q->producer_id, q->producer_epoch};
    txns_end(txns_of(r), &from, q->committed, begin_wait(r, ended));
}

/* ---- TxnOffsetCommit ---- */

struct txn_commit {
    struct group_txn_commit commit; /* first */
    struct kafka_txn_offset_commit_response *response;
};

static void answer_offsets(struct kafka_request *r, int16_t error)
{
    const struct kafka_txn_offset_commit_request *q = r->body;
    struct txn_commit *c = r->state;
    for (int32_t i = 0; i < q->topics_count; i++)
        for (int32_t p = 0; p < q->topics[i].partitions_count; p++) {
            int16_t *own = &c->response->topics[i].partitions[p].error_code;
            *own = *own == KAFKA_NONE ? error : *own;
        }
    kafka_reply(r, c->response);
}

static void offsets_committed(void *arg)
{
    struct kafka_request *r = arg;
    const struct txn_commit *c = r->state;
    enum err e = c->commit.append.error;
    answer_offsets(r, e == ERR_OK       ? KAFKA_NONE
                      : e == ERR_FENCED ? KAFKA_INVALID_PRODUCER_EPOCH
                                        : KAFKA_COORDINATOR_NOT_AVAILABLE);
}

static void on_offsets(struct group_txn_commit *c)
{
    struct kafka_request *r = c->arg;
    loop_post(kafka_request_half(r)->loop, &r->woken);
}

/* Those that can be committed; the others have their error. */
static struct group_offset_view *take_offsets(struct kafka_request *r, struct txn_commit *c,
                                              size_t *ret_count)
{
    const struct kafka_txn_offset_commit_request *q = r->body;
    size_t total = 0;
    size_t count = 0;
    for (int32_t i = 0; i < q->topics_count; i++)
        total += (size_t)q->topics[i].partitions_count;
    struct group_offset_view *offsets = ARENA_ARRAY(&r->arena, struct group_offset_view, total);
    for (int32_t i = 0; i < q->topics_count; i++) {
        struct kafka_txn_offset_commit_response_topic *to = &c->response->topics[i];
        to->name = q->topics[i].name;
        to->partitions = KAFKA_NEW(&r->arena, txn_offset_commit_response_partition,
                                   q->topics[i].partitions_count);
        to->partitions_count = q->topics[i].partitions_count;
        for (int32_t p = 0; p < to->partitions_count; p++) {
            const struct kafka_txn_offset_commit_request_partition *from =
                &q->topics[i].partitions[p];
            struct log_part *part = NULL;
            to->partitions[p].partition_index = from->partition_index;
            to->partitions[p].error_code =
                from->committed_metadata.len > GROUP_METADATA_MAX_BYTES
                    ? KAFKA_OFFSET_METADATA_TOO_LARGE
                    : kafka_part_find(r, to->name, from->partition_index, -1, &part);
            if (to->partitions[p].error_code == KAFKA_NONE)
                offsets[count++] = (struct group_offset_view){
                    to->name, from->partition_index, from->committed_offset,
                    from->committed_leader_epoch,
                    from->committed_metadata.ptr ? from->committed_metadata : STR("")};
        }
    }
    *ret_count = count;
    return offsets;
}

void kafka_on_txn_offset_commit(struct kafka_request *r)
{
    const struct kafka_txn_offset_commit_request *q = r->body;
    const struct txn_from from = {q->transactional_id, q->producer_id, q->producer_epoch};
    const struct group_from member = {q->group_id, q->member_id, q->group_instance_id,
                                      q->generation_id};
    struct txn_commit *c = ARENA_NEW(&r->arena, struct txn_commit);
    size_t count = 0;
    r->state = c;
    c->response = KAFKA_NEW(&r->arena, txn_offset_commit_response, 1);
    c->response->topics = KAFKA_NEW(&r->arena, txn_offset_commit_response_topic, q->topics_count);
    c->response->topics_count = q->topics_count;
    const struct group_offset_view *offsets = take_offsets(r, c, &count);
    int16_t error = groups_txn_commit_check(groups_of(r), &member);
    if (error == KAFKA_NONE && count > 0)
        error = txns_batch_begin(txns_of(r), &from, groups_part(groups_of(r)));
    if (error != KAFKA_NONE || count == 0) {
        answer_offsets(r, error);
        return;
    }
    c->commit = (struct group_txn_commit){.done = on_offsets,
                                          .arg = r,
                                          .group = q->group_id,
                                          .producer_id = q->producer_id,
                                          .epoch = q->producer_epoch,
                                          .offsets = offsets,
                                          .count = count,
                                          .commit_ms = os_wall_us() / 1000};
    loop_task_init(&r->woken, offsets_committed, r);
    enum err e = groups_txn_commit(groups_of(r), &c->commit);
    txns_batch_end(txns_of(r), q->transactional_id);
    if (e == ERR_OK)
        kafka_commit_later(kafka_request_half(r));
    else
        answer_offsets(r, e == ERR_BUSY ? KAFKA_COORDINATOR_LOAD_IN_PROGRESS
                                        : KAFKA_COORDINATOR_NOT_AVAILABLE);
}
