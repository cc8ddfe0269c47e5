#include "cli/serve_kafka.h"

#include "cli/say.h"

enum {
    PARTITIONS_DEFAULT = 4,    /* of a topic that is made by use */
    BATCH_MAX_BYTES = 1048588, /* Kafka's max.message.bytes */
};

static const int64_t retention_default_ms = 7LL * 24 * 3600 * 1000; /* Kafka's */

static bool authenticate(void *arg, struct str name, struct str key,
                         struct kafka_principal *ret_principal)
{
    struct settings *settings = gateway_settings(arg);
    const struct key *found = keys_find(settings->keys, key);
    bool right = found && str_eq(found->name, name);
    if (right)
        *ret_principal = (struct kafka_principal){.known = true, .admin = found->admin};
    settings_put(settings);
    return right;
}

static void report(void *arg, bool is_error, struct str text)
{
    (void)arg;
    say(is_error ? "warn" : "info", "%.*s", STR_ARG(text));
}

static struct log_topic_config topic_defaults(const struct config *config)
{
    struct log_topic_config c = LOG_TOPIC_CONFIG_DEFAULT;
    c.partitions = PARTITIONS_DEFAULT;
    c.batch_max_bytes = BATCH_MAX_BYTES;
    c.durability = config->log.durability == CONFIG_DURABILITY_SYNC ? LOG_SYNC : LOG_WRITE;
    c.retention_ms =
        config->log.retention_age_ms ? config->log.retention_age_ms : retention_default_ms;
    c.retention_bytes = config->log.retention_size_bytes ? config->log.retention_size_bytes : -1;
    return c;
}

enum err serve_kafka_open(struct gateway *gateway, const struct config *config,
                          struct tls_context *tls, struct loop *const *loops, size_t loop_count,
                          struct buf *detail, struct kafka_server **ret_server)
{
    struct kafka_options options = {
        .host = config->listen.kafka.host,
        .port = config->listen.kafka.port,
        .log = gateway_log(gateway),
        .topic_defaults = topic_defaults(config),
        .tls = tls,
        .authenticate = authenticate,
        .report = report,
        .arg = gateway,
    };
    struct log_topic *state = log_topic_find(options.log, STR("weir.state"));
    if (state)
        log_topic_id(state, options.cluster_id);
    struct kafka_server *server = NULL;
    enum err e = kafka_server_open(loops, loop_count, &options, detail, &server);
    if (e == ERR_IN_USE && config->listen.kafka.assumed) {
        say("warn",
            "event=kafka state=off reason=\"%.*s\" note=\"listen.kafka or --kafka takes another, "
            "or off\"",
            STR_ARG(buf_str(detail)));
        buf_reset(detail);
        e = ERR_OK;
    }
    *ret_server = server;
    return e;
}
