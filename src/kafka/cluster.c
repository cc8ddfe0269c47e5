/* DescribeCluster, FindCoordinator, OffsetForLeaderEpoch: there is one broker, which leads and
 * coordinates everything. */
#include "kafka/kafka_int.h"

void kafka_on_describe_cluster(struct kafka_request *r)
{
    const struct kafka_describe_cluster_request *q = r->body;
    const struct kafka_server *server = kafka_request_half(r)->server;
    struct kafka_describe_cluster_response *response =
        KAFKA_NEW(&r->arena, describe_cluster_response, 1);
    enum { ENDPOINT_BROKERS = 1, UNSUPPORTED_ENDPOINT_TYPE = 115 };
    response->endpoint_type = q->endpoint_type;
    if (q->endpoint_type != ENDPOINT_BROKERS) {
        response->error_code = UNSUPPORTED_ENDPOINT_TYPE;
        response->error_message = STR("there are no controllers to connect to");
        kafka_reply(r, response);
        return;
    }
    struct kafka_describe_cluster_response_broker *broker =
        KAFKA_NEW(&r->arena, describe_cluster_response_broker, 1);
    broker->broker_id = KAFKA_NODE_ID;
    broker->host = str_from_c(r->conn->host);
    broker->port = server->port;
    response->brokers = broker;
    response->brokers_count = 1;
    response->cluster_id = str_from_c(server->cluster_id);
    response->controller_id = KAFKA_NODE_ID;
    kafka_reply(r, response);
}

/* ---- FindCoordinator ---- */

enum { COORDINATES_GROUPS = 0, COORDINATES_TRANSACTIONS = 1 };

static int16_t coordinator_error(const struct kafka_find_coordinator_request *q, struct str key)
{
    if (q->key_type != COORDINATES_GROUPS && q->key_type != COORDINATES_TRANSACTIONS)
        return KAFKA_INVALID_REQUEST;
    return key.len > 0 || q->key_type == COORDINATES_GROUPS ? KAFKA_NONE : KAFKA_INVALID_REQUEST;
}

static void find_many(struct kafka_request *r, const struct kafka_find_coordinator_request *q,
                      struct kafka_find_coordinator_response *response)
{
    response->coordinators =
        KAFKA_NEW(&r->arena, find_coordinator_response_coordinator, q->coordinator_keys_count);
    response->coordinators_count = q->coordinator_keys_count;
    for (int32_t i = 0; i < q->coordinator_keys_count; i++) {
        struct kafka_find_coordinator_response_coordinator *c = &response->coordinators[i];
        c->key = q->coordinator_keys[i];
        c->error_code = coordinator_error(q, c->key);
        c->node_id = c->error_code == KAFKA_NONE ? KAFKA_NODE_ID : -1;
        c->host = c->error_code == KAFKA_NONE ? str_from_c(r->conn->host) : STR("");
        c->port = c->error_code == KAFKA_NONE ? kafka_request_half(r)->server->port : -1;
    }
}

void kafka_on_find_coordinator(struct kafka_request *r)
{
    const struct kafka_find_coordinator_request *q = r->body;
    struct kafka_find_coordinator_response *response =
        KAFKA_NEW(&r->arena, find_coordinator_response, 1);
    if (r->header.version >= 4) {
        find_many(r, q, response);
    } else {
        response->error_code = coordinator_error(q, q->key);
        response->node_id = response->error_code == KAFKA_NONE ? KAFKA_NODE_ID : -1;
        response->host = str_from_c(r->conn->host);
        response->port = kafka_request_half(r)->server->port;
    }
    kafka_reply(r, response);
}

/* ---- OffsetForLeaderEpoch ---- */

static void find_epoch(struct kafka_request *r, struct str topic,
                       const struct kafka_offset_for_leader_epoch_request_partition *from,
                       struct kafka_offset_for_leader_epoch_response_partition *to)
{
    struct log_part *part = NULL;
    to->partition = from->partition;
    to->error_code = kafka_part_find(r, topic, from->partition, from->current_leader_epoch, &part);
    if (to->error_code == KAFKA_NONE)
        log_part_epoch_end(part, from->leader_epoch, &to->leader_epoch, &to->end_offset);
}

void kafka_on_offset_for_leader_epoch(struct kafka_request *r)
{
    const struct kafka_offset_for_leader_epoch_request *q = r->body;
    struct kafka_offset_for_leader_epoch_response *response =
        KAFKA_NEW(&r->arena, offset_for_leader_epoch_response, 1);
    response->topics =
        KAFKA_NEW(&r->arena, offset_for_leader_epoch_response_topic, q->topics_count);
    response->topics_count = q->topics_count;
    for (int32_t i = 0; i < q->topics_count; i++) {
        const struct kafka_offset_for_leader_epoch_request_topic *from = &q->topics[i];
        struct kafka_offset_for_leader_epoch_response_topic *to = &response->topics[i];
        to->topic = from->topic;
        to->partitions = KAFKA_NEW(&r->arena, offset_for_leader_epoch_response_partition,
                                   from->partitions_count);
        to->partitions_count = from->partitions_count;
        for (int32_t p = 0; p < from->partitions_count; p++)
            find_epoch(r, from->topic, &from->partitions[p], &to->partitions[p]);
    }
    kafka_reply(r, response);
}
