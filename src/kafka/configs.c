/* DescribeConfigs, AlterConfigs, IncrementalAlterConfigs: topics' settings under Kafka's names, and
 * a few of the broker. */
#include "kafka/kafka_int.h"
#include "kafka/settings.h"

enum { /* of the protocol */
       RESOURCE_TOPIC = 2,
       RESOURCE_BROKER = 4,
       SOURCE_TOPIC = 1,
       SOURCE_STATIC_BROKER = 4,
       SOURCE_DEFAULT = 5,
       OPERATION_SET = 0,
       OPERATION_DELETE = 1,
       OPERATION_APPEND = 2,
       OPERATION_SUBTRACT = 3,
};

int8_t kafka_setting_source(const struct kafka_setting *s, struct str value)
{
    return str_eq(value, s->by_default) ? SOURCE_DEFAULT : SOURCE_TOPIC;
}

int16_t kafka_setting_take(struct kafka_request *r, struct str name, struct str value,
                           struct log_topic_config *config, struct str *message)
{
    const struct kafka_setting *s = kafka_setting_find(name);
    enum err e = s ? kafka_setting_set(s, config, value) : ERR_NOT_FOUND;
    if (e == ERR_OK)
        return KAFKA_NONE;
    BUF_AUTO struct buf text = {.max = 512};
    const char *why = !s                     ? "is no setting of topics"
                      : e == ERR_UNSUPPORTED ? "can only have its default here, which is"
                                             : "cannot have this value; its default is";
    struct str by_default = s ? s->by_default : STR("");
    buf_printf(&text, "%.*s %s %.*s", STR_ARG(str_take(name, 100)), why, STR_ARG(by_default));
    *message = arena_str(&r->arena, str_trim(buf_str(&text)));
    return KAFKA_INVALID_CONFIG;
}

/* ---- DescribeConfigs ---- */

static bool is_wanted(const struct kafka_describe_configs_request_resource *q, struct str name)
{
    if (q->configuration_keys_count < 0)
        return true;
    for (int32_t i = 0; i < q->configuration_keys_count; i++)
        if (str_eq(q->configuration_keys[i], name))
            return true;
    return false;
}

/* Where a value came from, the nearest first. */
static void add_synonyms(struct kafka_request *r, const struct kafka_setting *s,
                         struct kafka_describe_configs_response_config *c)
{
    c->synonyms = KAFKA_NEW(&r->arena, describe_configs_response_synonym, 2);
    if (c->config_source == SOURCE_TOPIC)
        c->synonyms[c->synonyms_count++] =
            (struct kafka_describe_configs_response_synonym){c->name, c->value, SOURCE_TOPIC};
    if (s->broker.len > 0)
        c->synonyms[c->synonyms_count++] = (struct kafka_describe_configs_response_synonym){
            s->broker, s->by_default, SOURCE_DEFAULT};
}

static void describe_topic(struct kafka_request *r,
                           const struct kafka_describe_configs_request_resource *q,
                           struct kafka_describe_configs_response_result *to)
{
    const struct kafka_describe_configs_request *all = r->body;
    size_t count = 0;
    const struct kafka_setting *settings = kafka_setting_list(&count);
    struct log_topic *topic = log_topic_find(kafka_request_log(r), q->resource_name);
    if (!kafka_may(r, q->resource_name, false) || !topic) {
        to->error_code =
            topic ? KAFKA_TOPIC_AUTHORIZATION_FAILED : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        to->error_message =
            str_from_c(topic ? "not for this key" : "there is no topic of this name");
        return;
    }
    struct log_topic_config config = log_topic_config(topic);
    to->configs = KAFKA_NEW(&r->arena, describe_configs_response_config, count);
    for (size_t i = 0; i < count; i++) {
        if (!is_wanted(q, settings[i].name))
            continue;
        struct kafka_describe_configs_response_config *c = &to->configs[to->configs_count++];
        c->name = settings[i].name;
        c->value = kafka_setting_get(&settings[i], &config, &r->arena);
        c->config_source = kafka_setting_source(&settings[i], c->value);
        c->config_type = (int8_t)settings[i].type;
        if (all->include_synonyms)
            add_synonyms(r, &settings[i], c);
    }
}

struct broker_setting {
    struct str name;
    struct str value;
    enum kafka_setting_type type;
};

static void describe_broker(struct kafka_request *r,
                            const struct kafka_describe_configs_request_resource *q,
                            struct kafka_describe_configs_response_result *to)
{
    static const struct broker_setting own[] = {
        {STR_INIT("auto.create.topics.enable"), STR_INIT("true"), KAFKA_SETTING_BOOLEAN},
        {STR_INIT("broker.id"), STR_INIT("1"), KAFKA_SETTING_INT},
        {STR_INIT("default.replication.factor"), STR_INIT("1"), KAFKA_SETTING_INT},
        {STR_INIT("delete.topic.enable"), STR_INIT("true"), KAFKA_SETTING_BOOLEAN},
        {STR_INIT("group.max.session.timeout.ms"), STR_INIT("1800000"), KAFKA_SETTING_INT},
        {STR_INIT("group.min.session.timeout.ms"), STR_INIT("6000"), KAFKA_SETTING_INT},
        {STR_INIT("message.max.bytes"), STR_INIT("1048588"), KAFKA_SETTING_INT},
        {STR_INIT("num.partitions"), STR_INIT("4"), KAFKA_SETTING_INT},
        {STR_INIT("offsets.retention.minutes"), STR_INIT("10080"), KAFKA_SETTING_INT},
    };
    enum { COUNT = sizeof own / sizeof own[0] };
    if (q->resource_name.len > 0 && !str_eq(q->resource_name, STR("1"))) {
        to->error_code = KAFKA_INVALID_REQUEST;
        to->error_message = STR("there is one broker: 1");
        return;
    }
    to->configs = KAFKA_NEW(&r->arena, describe_configs_response_config, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        if (!is_wanted(q, own[i].name))
            continue;
        struct kafka_describe_configs_response_config *c = &to->configs[to->configs_count++];
        c->name = own[i].name;
        c->value = own[i].value;
        c->read_only = true;
        c->config_source = SOURCE_STATIC_BROKER;
        c->config_type = (int8_t)own[i].type;
    }
}

void kafka_on_describe_configs(struct kafka_request *r)
{
    const struct kafka_describe_configs_request *q = r->body;
    struct kafka_describe_configs_response *response =
        KAFKA_NEW(&r->arena, describe_configs_response, 1);
    response->results = KAFKA_NEW(&r->arena, describe_configs_response_result, q->resources_count);
    response->results_count = q->resources_count;
    for (int32_t i = 0; i < q->resources_count; i++) {
        const struct kafka_describe_configs_request_resource *from = &q->resources[i];
        struct kafka_describe_configs_response_result *to = &response->results[i];
        to->resource_type = from->resource_type;
        to->resource_name = from->resource_name;
        if (from->resource_type == RESOURCE_TOPIC) {
            describe_topic(r, from, to);
        } else if (from->resource_type == RESOURCE_BROKER) {
            describe_broker(r, from, to);
        } else {
            to->error_code = KAFKA_INVALID_REQUEST;
            to->error_message = STR("settings are of topics (2) and of the broker (4)");
        }
    }
    kafka_reply(r, response);
}

/* ---- Altering ---- */

static int16_t alter_list(struct kafka_request *r,
                          const struct kafka_incremental_alter_configs_request_config *q,
                          struct log_topic_config *config, struct str *message)
{
    const struct kafka_setting *s = kafka_setting_find(q->name);
    if (!s || s->type != KAFKA_SETTING_LIST) {
        *message = STR("only lists can be appended to or subtracted from");
        return KAFKA_INVALID_CONFIG;
    }
    BUF_AUTO struct buf text = {.max = 4096};
    struct str rest = kafka_setting_get(s, config, &r->arena);
    while (rest.ptr) {
        struct str word = str_split(&rest, ',');
        if (!str_eq(word, q->value) && word.len > 0)
            buf_printf(&text, "%s%.*s", text.len > 0 ? "," : "", STR_ARG(word));
    }
    if (q->config_operation == OPERATION_APPEND)
        buf_printf(&text, "%s%.*s", text.len > 0 ? "," : "", STR_ARG(q->value));
    return kafka_setting_take(r, q->name, arena_str(&r->arena, buf_str(&text)), config, message);
}

static int16_t alter_one(struct kafka_request *r,
                         const struct kafka_incremental_alter_configs_request_config *q,
                         struct log_topic_config *config, struct str *message)
{
    switch (q->config_operation) {
    case OPERATION_SET: return kafka_setting_take(r, q->name, q->value, config, message);
    case OPERATION_DELETE: return kafka_setting_take(r, q->name, STR_NONE, config, message);
    case OPERATION_APPEND:
    case OPERATION_SUBTRACT: return alter_list(r, q, config, message);
    default: *message = STR("an operation is 0 to 3"); return KAFKA_INVALID_REQUEST;
    }
}

/* The topic that a resource names, if it may be altered. */
static int16_t find_topic(const struct kafka_request *r, int8_t type, struct str name,
                          struct log_topic **ret_topic, struct str *message)
{
    struct log_topic *topic =
        type == RESOURCE_TOPIC ? log_topic_find(kafka_request_log(r), name) : NULL;
    *message = STR("only topics' settings can be altered here; the rest is Weir's configuration");
    if (type != RESOURCE_TOPIC)
        return KAFKA_INVALID_REQUEST;
    *message = STR("there is no topic of this name");
    if (!topic)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    *message = STR("settings of Weir's own topics are in its configuration");
    if (!kafka_may(r, name, true))
        return KAFKA_TOPIC_AUTHORIZATION_FAILED;
    *message = STR_NONE;
    *ret_topic = topic;
    return KAFKA_NONE;
}

static int16_t put_in_force(struct log_topic *topic, const struct log_topic_config *config,
                            bool validate_only)
{
    return validate_only ? KAFKA_NONE : kafka_error_of(log_topic_configure(topic, config));
}

static void alter_increments(void *arg)
{
    struct kafka_request *r = arg;
    const struct kafka_incremental_alter_configs_request *q = r->body;
    struct kafka_incremental_alter_configs_response *response =
        KAFKA_NEW(&r->arena, incremental_alter_configs_response, 1);
    response->responses =
        KAFKA_NEW(&r->arena, incremental_alter_configs_response_response, q->resources_count);
    response->responses_count = q->resources_count;
    for (int32_t i = 0; i < q->resources_count; i++) {
        const struct kafka_incremental_alter_configs_request_resource *from = &q->resources[i];
        struct kafka_incremental_alter_configs_response_response *to = &response->responses[i];
        struct log_topic *topic = NULL;
        to->resource_type = from->resource_type;
        to->resource_name = from->resource_name;
        to->error_code =
            find_topic(r, from->resource_type, from->resource_name, &topic, &to->error_message);
        if (to->error_code != KAFKA_NONE)
            continue;
        struct log_topic_config config = log_topic_config(topic);
        for (int32_t c = 0; c < from->configs_count && to->error_code == KAFKA_NONE; c++)
            to->error_code = alter_one(r, &from->configs[c], &config, &to->error_message);
        if (to->error_code == KAFKA_NONE)
            to->error_code = put_in_force(topic, &config, q->validate_only);
    }
    r->state = response;
}

/* Everything that is not named goes back to its default. */
static void alter_whole(void *arg)
{
    struct kafka_request *r = arg;
    const struct kafka_alter_configs_request *q = r->body;
    struct kafka_alter_configs_response *response = KAFKA_NEW(&r->arena, alter_configs_response, 1);
    response->responses = KAFKA_NEW(&r->arena, alter_configs_response_response, q->resources_count);
    response->responses_count = q->resources_count;
    for (int32_t i = 0; i < q->resources_count; i++) {
        const struct kafka_alter_configs_request_resource *from = &q->resources[i];
        struct kafka_alter_configs_response_response *to = &response->responses[i];
        struct log_topic *topic = NULL;
        to->resource_type = from->resource_type;
        to->resource_name = from->resource_name;
        to->error_code =
            find_topic(r, from->resource_type, from->resource_name, &topic, &to->error_message);
        if (to->error_code != KAFKA_NONE)
            continue;
        struct log_topic_config config = kafka_request_half(r)->server->options.topic_defaults;
        config.partitions = log_topic_partitions(topic);
        for (int32_t c = 0; c < from->configs_count && to->error_code == KAFKA_NONE; c++)
            to->error_code = kafka_setting_take(r, from->configs[c].name, from->configs[c].value,
                                                &config, &to->error_message);
        if (to->error_code == KAFKA_NONE)
            to->error_code = put_in_force(topic, &config, q->validate_only);
    }
    r->state = response;
}

static void reply_state(void *arg)
{
    struct kafka_request *r = arg;
    kafka_reply(r, r->state);
}

void kafka_on_incremental_alter_configs(struct kafka_request *r)
{
    kafka_request_work(r, alter_increments, reply_state);
}

void kafka_on_alter_configs(struct kafka_request *r)
{
    kafka_request_work(r, alter_whole, reply_state);
}
