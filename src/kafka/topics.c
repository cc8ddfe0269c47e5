/* CreateTopics, DeleteTopics, DeleteRecords, CreatePartitions. They wait for the disk, so they run
 * on a worker's thread. */
#include "kafka/kafka_int.h"
#include "kafka/settings.h"

static int16_t refuse(struct str *message, int16_t code, const char *why)
{
    *message = str_from_c(why);
    return code;
}

/* ---- CreateTopics ---- */

static int16_t check_assignments(const struct kafka_create_topics_request_topic *q,
                                 struct str *message)
{
    if (q->num_partitions != -1 || q->replication_factor != -1)
        return refuse(message, KAFKA_INVALID_REQUEST,
                      "with assignments, partitions and replication factor are -1");
    for (int32_t i = 0; i < q->assignments_count; i++) {
        const struct kafka_create_topics_request_assignment *a = &q->assignments[i];
        if (a->partition_index != i || a->broker_ids_count != 1 ||
            a->broker_ids[0] != KAFKA_NODE_ID)
            return refuse(message, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                          "partitions are numbered from 0 on, each with one replica on broker 1");
    }
    return KAFKA_NONE;
}

static int16_t take_settings(struct kafka_request *r,
                             const struct kafka_create_topics_request_topic *q,
                             struct log_topic_config *config, struct str *message)
{
    for (int32_t i = 0; i < q->configs_count; i++) {
        int16_t code =
            kafka_setting_take(r, q->configs[i].name, q->configs[i].value, config, message);
        if (code != KAFKA_NONE)
            return code;
    }
    return KAFKA_NONE;
}

static bool named_twice(const struct kafka_create_topics_request *all, int32_t index)
{
    for (int32_t i = 0; i < all->topics_count; i++)
        if (i != index && str_eq(all->topics[i].name, all->topics[index].name))
            return true;
    return false;
}

static int16_t check_create(struct kafka_request *r, int32_t index, struct log_topic_config *config,
                            struct str *message)
{
    const struct kafka_create_topics_request *all = r->body;
    const struct kafka_create_topics_request_topic *q = &all->topics[index];
    if (!log_topic_name_valid(q->name))
        return refuse(message, KAFKA_INVALID_TOPIC_EXCEPTION,
                      "a topic's name is 1 to 249 of a-z A-Z 0-9 . _ -");
    if (!kafka_may(r, q->name, true))
        return refuse(message, KAFKA_TOPIC_AUTHORIZATION_FAILED,
                      "topics of this name are made by Weir alone");
    if (named_twice(all, index))
        return refuse(message, KAFKA_INVALID_REQUEST, "the topic stands twice in this request");
    if (log_topic_find(kafka_request_log(r), q->name))
        return refuse(message, KAFKA_TOPIC_ALREADY_EXISTS, "there is a topic of this name");
    if (q->assignments_count > 0) {
        int16_t code = check_assignments(q, message);
        if (code != KAFKA_NONE)
            return code;
        config->partitions = (uint32_t)q->assignments_count;
    } else {
        if (q->replication_factor != -1 && q->replication_factor != 1)
            return refuse(message, KAFKA_INVALID_REPLICATION_FACTOR,
                          "there is one broker: the replication factor is 1");
        if (q->num_partitions == 0 || q->num_partitions < -1 ||
            q->num_partitions > LOG_PARTITIONS_MAX)
            return refuse(message, KAFKA_INVALID_PARTITIONS, "a topic has 1 to 10,000 partitions");
        if (q->num_partitions > 0)
            config->partitions = (uint32_t)q->num_partitions;
    }
    return take_settings(r, q, config, message);
}

static void describe_created(struct kafka_request *r, const struct log_topic_config *config,
                             struct kafka_create_topics_response_topic *to)
{
    size_t count = 0;
    const struct kafka_setting *settings = kafka_setting_list(&count);
    to->num_partitions = (int32_t)config->partitions;
    to->replication_factor = 1;
    to->configs = KAFKA_NEW(&r->arena, create_topics_response_config, count);
    to->configs_count = (int32_t)count;
    for (size_t i = 0; i < count; i++) {
        to->configs[i].name = settings[i].name;
        to->configs[i].value = kafka_setting_get(&settings[i], config, &r->arena);
        to->configs[i].config_source = kafka_setting_source(&settings[i], to->configs[i].value);
    }
}

static void create_one(struct kafka_request *r, int32_t index,
                       struct kafka_create_topics_response_topic *to)
{
    const struct kafka_create_topics_request *all = r->body;
    struct log_topic_config config = kafka_request_half(r)->server->options.topic_defaults;
    struct log_topic *topic = NULL;
    to->name = all->topics[index].name;
    to->error_code = check_create(r, index, &config, &to->error_message);
    if (to->error_code == KAFKA_NONE && !all->validate_only) {
        enum err e = log_topic_open(kafka_request_log(r), to->name, &config, &topic);
        if (e != ERR_OK)
            to->error_code = refuse(&to->error_message, kafka_error_of(e), err_text(e));
    }
    if (topic)
        log_topic_id(topic, to->topic_id.bytes);
    if (to->error_code == KAFKA_NONE)
        describe_created(r, &config, to);
    else
        to->configs_count = -1;
}

static void create_all(void *arg)
{
    struct kafka_request *r = arg;
    const struct kafka_create_topics_request *q = r->body;
    struct kafka_create_topics_response *response = KAFKA_NEW(&r->arena, create_topics_response, 1);
    response->topics = KAFKA_NEW(&r->arena, create_topics_response_topic, q->topics_count);
    response->topics_count = q->topics_count;
    for (int32_t i = 0; i < q->topics_count; i++)
        create_one(r, i, &response->topics[i]);
    r->state = response;
}

static void reply_state(void *arg)
{
    struct kafka_request *r = arg;
    kafka_reply(r, r->state);
}

void kafka_on_create_topics(struct kafka_request *r)
{
    kafka_request_work(r, create_all, reply_state);
}

/* ---- DeleteTopics ---- */

static void delete_one(struct kafka_request *r, struct str name, const struct uuid *id,
                       struct kafka_delete_topics_response_response *to)
{
    struct log *log = kafka_request_log(r);
    struct log_topic *topic =
        name.ptr ? log_topic_find(log, name) : log_topic_find_id(log, id->bytes);
    to->name = topic ? log_topic_name(topic) : name;
    to->topic_id = *id;
    if (!topic) {
        to->error_code = name.ptr ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_UNKNOWN_TOPIC_ID;
    } else if (!kafka_may(r, to->name, true)) {
        to->error_code =
            refuse(&to->error_message, KAFKA_TOPIC_AUTHORIZATION_FAILED, "Weir's own topics stay");
    } else {
        log_topic_id(topic, to->topic_id.bytes);
        to->error_code = kafka_error_of(log_topic_delete(topic));
    }
}

static void delete_all(void *arg)
{
    static const struct uuid none;
    struct kafka_request *r = arg;
    const struct kafka_delete_topics_request *q = r->body;
    struct kafka_delete_topics_response *response = KAFKA_NEW(&r->arena, delete_topics_response, 1);
    bool by_struct = r->header.version >= 6;
    response->responses_count = by_struct ? q->topics_count : q->topic_names_count;
    response->responses =
        KAFKA_NEW(&r->arena, delete_topics_response_response, response->responses_count);
    for (int32_t i = 0; i < response->responses_count; i++)
        delete_one(r, by_struct ? q->topics[i].name : q->topic_names[i],
                   by_struct ? &q->topics[i].topic_id : &none, &response->responses[i]);
    r->state = response;
}

void kafka_on_delete_topics(struct kafka_request *r)
{
    kafka_request_work(r, delete_all, reply_state);
}

/* ---- DeleteRecords ---- */

enum { UP_TO_THE_END = -1 };

static void trim_one(struct kafka_request *r, struct str topic,
                     const struct kafka_delete_records_request_partition *q,
                     struct kafka_delete_records_response_partition *to)
{
    struct log_part *part = NULL;
    to->partition_index = q->partition_index;
    to->low_watermark = -1;
    to->error_code = kafka_part_find(r, topic, q->partition_index, -1, &part);
    if (to->error_code == KAFKA_NONE && !kafka_may(r, topic, true))
        to->error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
    if (to->error_code == KAFKA_NONE && q->offset < UP_TO_THE_END)
        to->error_code = KAFKA_OFFSET_OUT_OF_RANGE;
    if (to->error_code != KAFKA_NONE)
        return;
    int64_t offset = q->offset == UP_TO_THE_END ? log_part_end(part) : q->offset;
    to->error_code = kafka_error_of(log_part_delete_before(part, offset, &to->low_watermark));
}

static void trim_all(void *arg)
{
    struct kafka_request *r = arg;
    const struct kafka_delete_records_request *q = r->body;
    struct kafka_delete_records_response *response =
        KAFKA_NEW(&r->arena, delete_records_response, 1);
    response->topics = KAFKA_NEW(&r->arena, delete_records_response_topic, q->topics_count);
    response->topics_count = q->topics_count;
    for (int32_t i = 0; i < q->topics_count; i++) {
        struct kafka_delete_records_response_topic *to = &response->topics[i];
        to->name = q->topics[i].name;
        to->partitions =
            KAFKA_NEW(&r->arena, delete_records_response_partition, q->topics[i].partitions_count);
        to->partitions_count = q->topics[i].partitions_count;
        for (int32_t p = 0; p < to->partitions_count; p++)
            trim_one(r, to->name, &q->topics[i].partitions[p], &to->partitions[p]);
    }
    r->state = response;
}

void kafka_on_delete_records(struct kafka_request *r)
{
    kafka_request_work(r, trim_all, reply_state);
}

/* ---- CreatePartitions ---- */

static int16_t add_partitions(struct kafka_request *r,
                              const struct kafka_create_partitions_request_topic *q,
                              struct str *message)
{
    const struct kafka_create_partitions_request *all = r->body;
    struct log_topic *topic = log_topic_find(kafka_request_log(r), q->name);
    if (!topic)
        return refuse(message, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "there is no topic of this name");
    if (!kafka_may(r, q->name, true))
        return refuse(message, KAFKA_TOPIC_AUTHORIZATION_FAILED,
                      "Weir's own topics stay as they are");
    struct log_topic_config config = log_topic_config(topic);
    if (q->count <= (int32_t)config.partitions)
        return refuse(message, KAFKA_INVALID_PARTITIONS,
                      "the topic has that many partitions already; they only grow");
    if (q->count > LOG_PARTITIONS_MAX)
        return refuse(message, KAFKA_INVALID_PARTITIONS, "a topic has 1 to 10,000 partitions");
    if (q->assignments_count >= 0 && q->assignments_count != q->count - (int32_t)config.partitions)
        return refuse(message, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                      "one assignment for each new partition");
    for (int32_t i = 0; i < q->assignments_count; i++)
        if (q->assignments[i].broker_ids_count != 1 ||
            q->assignments[i].broker_ids[0] != KAFKA_NODE_ID)
            return refuse(message, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                          "each with one replica on broker 1");
    if (all->validate_only)
        return KAFKA_NONE;
    config.partitions = (uint32_t)q->count;
    return kafka_error_of(log_topic_configure(topic, &config));
}

static void add_all(void *arg)
{
    struct kafka_request *r = arg;
    const struct kafka_create_partitions_request *q = r->body;
    struct kafka_create_partitions_response *response =
        KAFKA_NEW(&r->arena, create_partitions_response, 1);
    response->results = KAFKA_NEW(&r->arena, create_partitions_response_result, q->topics_count);
    response->results_count = q->topics_count;
    for (int32_t i = 0; i < q->topics_count; i++) {
        struct kafka_create_partitions_response_result *to = &response->results[i];
        to->name = q->topics[i].name;
        to->error_code = add_partitions(r, &q->topics[i], &to->error_message);
    }
    r->state = response;
}

void kafka_on_create_partitions(struct kafka_request *r)
{
    kafka_request_work(r, add_all, reply_state);
}
