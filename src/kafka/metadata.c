/* Metadata: the broker, the topics and their partitions; a topic that is asked for by name is made.
 */
#include "base/mem.h"
#include "kafka/kafka_int.h"

enum { TOPICS_CREATED_MAX = 1000 /* by one request; the rest is not found until it asks again */ };

struct wanted {
    struct str name;
    bool by_id;
    struct uuid id;
    struct log_topic *topic; /* NULL: there is none */
    bool create;
    enum err error; /* of creating it */
};

struct metadata {
    struct wanted *wanted;
    size_t count;
    bool creating;
};

/* ---- What is wanted ---- */

static void want_all(struct kafka_request *r, struct metadata *m)
{
    struct log_topic **topics = NULL;
    size_t count = 0;
    log_topic_list(kafka_request_log(r), &topics, &count);
    m->wanted = ARENA_ARRAY(&r->arena, struct wanted, count);
    for (size_t i = 0; i < count; i++) {
        struct str name = log_topic_name(topics[i]);
        if (kafka_may(r, name, false))
            m->wanted[m->count++] = (struct wanted){.name = name, .topic = topics[i]};
    }
    mem_free(topics);
}

static void want_named(struct kafka_request *r, const struct kafka_metadata_request *q,
                       struct metadata *m)
{
    size_t to_create = 0;
    bool may_create = q->allow_auto_topic_creation && r->conn->principal.known;
    m->wanted = ARENA_ARRAY(&r->arena, struct wanted, (size_t)q->topics_count);
    for (int32_t i = 0; i < q->topics_count; i++) {
        struct wanted *w = &m->wanted[m->count++];
        w->name = q->topics[i].name;
        w->by_id = !w->name.ptr;
        w->id = q->topics[i].topic_id;
        w->topic = w->by_id ? log_topic_find_id(kafka_request_log(r), w->id.bytes)
                            : log_topic_find(kafka_request_log(r), w->name);
        w->create = !w->topic && !w->by_id && may_create && log_topic_name_valid(w->name) &&
                    kafka_may(r, w->name, true) && to_create++ < TOPICS_CREATED_MAX;
        m->creating |= w->create;
    }
}

static void create(void *arg)
{
    struct kafka_request *r = arg;
    struct metadata *m = r->state;
    const struct log_topic_config *config = &kafka_request_half(r)->server->options.topic_defaults;
    for (size_t i = 0; i < m->count; i++)
        if (m->wanted[i].create)
            m->wanted[i].error = log_topic_open(kafka_request_log(r), m->wanted[i].name, config,
                                                &m->wanted[i].topic);
}

/* ---- The answer ---- */

static int16_t error_of(const struct kafka_request *r, const struct wanted *w)
{
    struct str name = w->topic ? log_topic_name(w->topic) : w->name;
    if (name.ptr && !kafka_may(r, name, false))
        return KAFKA_TOPIC_AUTHORIZATION_FAILED;
    if (w->topic)
        return KAFKA_NONE;
    if (w->by_id)
        return KAFKA_UNKNOWN_TOPIC_ID;
    if (w->error != ERR_OK)
        return kafka_error_of(w->error);
    return log_topic_name_valid(w->name) ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION
                                         : KAFKA_INVALID_TOPIC_EXCEPTION;
}

static void describe_parts(struct kafka_request *r, struct log_topic *topic,
                           struct kafka_metadata_response_topic *to)
{
    static int32_t self[] = {KAFKA_NODE_ID};
    uint32_t count = log_topic_partitions(topic);
    to->partitions = KAFKA_NEW(&r->arena, metadata_response_partition, count);
    to->partitions_count = (int32_t)count;
    for (uint32_t i = 0; i < count; i++) {
        struct kafka_metadata_response_partition *p = &to->partitions[i];
        p->partition_index = (int32_t)i;
        p->leader_id = KAFKA_NODE_ID;
        p->leader_epoch = log_part_leader_epoch(log_topic_part(topic, i));
        p->replica_nodes = p->isr_nodes = self;
        p->replica_nodes_count = p->isr_nodes_count = 1;
    }
}

static void describe_topic(struct kafka_request *r, const struct wanted *w,
                           struct kafka_metadata_response_topic *to)
{
    to->name = w->topic ? log_topic_name(w->topic) : w->name;
    to->error_code = error_of(r, w);
    to->topic_id = w->id;
    if (to->error_code != KAFKA_NONE)
        return;
    log_topic_id(w->topic, to->topic_id.bytes);
    to->is_internal = kafka_topic_is_internal(to->name);
    describe_parts(r, w->topic, to);
}

static void answer(void *arg)
{
    struct kafka_request *r = arg;
    const struct metadata *m = r->state;
    const struct kafka_server *server = kafka_request_half(r)->server;
    struct kafka_metadata_response *response = KAFKA_NEW(&r->arena, metadata_response, 1);
    struct kafka_metadata_response_broker *broker =
        KAFKA_NEW(&r->arena, metadata_response_broker, 1);
    broker->node_id = KAFKA_NODE_ID;
    broker->host = str_from_c(r->conn->host);
    broker->port = server->port;
    response->brokers = broker;
    response->brokers_count = 1;
    response->cluster_id = str_from_c(server->cluster_id);
    response->controller_id = KAFKA_NODE_ID;
    response->topics = KAFKA_NEW(&r->arena, metadata_response_topic, m->count);
    response->topics_count = (int32_t)m->count;
    for (size_t i = 0; i < m->count; i++)
        describe_topic(r, &m->wanted[i], &response->topics[i]);
    kafka_reply(r, response);
}

void kafka_on_metadata(struct kafka_request *r)
{
    const struct kafka_metadata_request *q = r->body;
    struct metadata *m = ARENA_NEW(&r->arena, struct metadata);
    r->state = m;
    if (q->topics_count < 0 || (r->header.version == 0 && q->topics_count == 0))
        want_all(r, m);
    else
        want_named(r, q, m);
    if (m->creating)
        kafka_request_work(r, create, answer);
    else
        answer(r);
}
