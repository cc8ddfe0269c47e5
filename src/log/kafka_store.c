/* librdkafka behind kafka_store.h; no other file knows it. */
#include "log/kafka_store.h"

#include <dlfcn.h>
#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "os/clock.h"
#include "os/thread.h"

enum {
    ERROR_TEXT_BYTES = 512,
    SPREAD_POLL_MS = 20,
    TOPIC_RECORD_MAX_BYTES = LOG_BATCH_MAX_BYTES,
};

/* The library's functions that are used, each loaded by its name. */
#define FUNCTIONS(X)                                                                               \
    X(rd_kafka_conf_new)                                                                           \
    X(rd_kafka_conf_set)                                                                           \
    X(rd_kafka_conf_destroy)                                                                       \
    X(rd_kafka_conf_set_opaque)                                                                    \
    X(rd_kafka_conf_set_dr_msg_cb)                                                                 \
    X(rd_kafka_conf_set_log_cb)                                                                    \
    X(rd_kafka_conf_set_error_cb)                                                                  \
    X(rd_kafka_new)                                                                                \
    X(rd_kafka_destroy_flags)                                                                      \
    X(rd_kafka_poll)                                                                               \
    X(rd_kafka_producev)                                                                           \
    X(rd_kafka_fatal_error)                                                                        \
    X(rd_kafka_clusterid)                                                                          \
    X(rd_kafka_mem_free)                                                                           \
    X(rd_kafka_err2str)                                                                            \
    X(rd_kafka_topic_new)                                                                          \
    X(rd_kafka_topic_destroy)                                                                      \
    X(rd_kafka_topic_name)                                                                         \
    X(rd_kafka_metadata)                                                                           \
    X(rd_kafka_metadata_destroy)                                                                   \
    X(rd_kafka_query_watermark_offsets)                                                            \
    X(rd_kafka_queue_new)                                                                          \
    X(rd_kafka_queue_destroy)                                                                      \
    X(rd_kafka_queue_get_main)                                                                     \
    X(rd_kafka_queue_poll)                                                                         \
    X(rd_kafka_queue_yield)                                                                        \
    X(rd_kafka_event_destroy)                                                                      \
    X(rd_kafka_event_error)                                                                        \
    X(rd_kafka_event_error_string)                                                                 \
    X(rd_kafka_event_CreateTopics_result)                                                          \
    X(rd_kafka_CreateTopics_result_topics)                                                         \
    X(rd_kafka_topic_result_error)                                                                 \
    X(rd_kafka_topic_result_error_string)                                                          \
    X(rd_kafka_NewTopic_new)                                                                       \
    X(rd_kafka_NewTopic_set_config)                                                                \
    X(rd_kafka_NewTopic_destroy)                                                                   \
    X(rd_kafka_CreateTopics)                                                                       \
    X(rd_kafka_AdminOptions_new)                                                                   \
    X(rd_kafka_AdminOptions_destroy)                                                               \
    X(rd_kafka_AdminOptions_set_operation_timeout)                                                 \
    X(rd_kafka_AdminOptions_set_request_timeout)                                                   \
    X(rd_kafka_DeleteRecords)                                                                      \
    X(rd_kafka_DeleteRecords_new)                                                                  \
    X(rd_kafka_DeleteRecords_destroy)                                                              \
    X(rd_kafka_topic_partition_list_new)                                                           \
    X(rd_kafka_topic_partition_list_add)                                                           \
    X(rd_kafka_topic_partition_list_destroy)                                                       \
    X(rd_kafka_consume_start_queue)                                                                \
    X(rd_kafka_consume_stop)                                                                       \
    X(rd_kafka_consume_queue)                                                                      \
    X(rd_kafka_last_error)                                                                         \
    X(rd_kafka_message_destroy)                                                                    \
    X(rd_kafka_message_timestamp)                                                                  \
    X(rd_kafka_message_headers)                                                                    \
    X(rd_kafka_message_errstr)                                                                     \
    X(rd_kafka_header_get_all)                                                                     \
    X(rd_kafka_headers_new)                                                                        \
    X(rd_kafka_headers_destroy)                                                                    \
    X(rd_kafka_header_add)

static struct {
#define X(name) __typeof__(name) *name;
    FUNCTIONS(X)
#undef X
    void *library;
} rk;

static pthread_once_t rk_once = PTHREAD_ONCE_INIT;
static char rk_problem[ERROR_TEXT_BYTES];

static void load_library(void)
{
    const char *missing = NULL;
    void *library = dlopen("librdkafka.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        (void)snprintf(rk_problem, sizeof rk_problem, "%s", dlerror());
        return;
    }
#define X(name)                                                                                    \
    *(void **)&rk.name = dlsym(library, #name);                                                    \
    missing = rk.name ? missing : #name;
    FUNCTIONS(X)
#undef X
    if (missing)
        (void)snprintf(rk_problem, sizeof rk_problem, "librdkafka has no %s: it is too old",
                       missing);
    else
        rk.library = library;
}

struct followed {
    rd_kafka_topic_t *topic;
    int32_t partition;
};

struct kafka_store {
    char *brokers;
    struct kafka_store_options options;
    struct log_cluster_setting *settings;
    rd_kafka_t *producer;
    rd_kafka_queue_t *main_queue;
    rd_kafka_t *consumer;
    rd_kafka_queue_t *news; /* what the followed partitions bring */
    struct followed *followed;
    size_t followed_count;
    atomic_bool down; /* all brokers, says the library */
    atomic_bool fatal;
    atomic_bool warm;                                /* this producer has delivered something */
    struct record_header headers[KAFKA_HEADERS_MAX]; /* of the event that is out */
};

/* Setting up ---------------------------------------------------------------------------------- */

struct setting {
    const char *name;
    const char *value;
};

static void on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    /* What matters comes as errors of requests; the library's own lines are for its developers. */
    (void)handle;
    (void)level;
    (void)facility;
    (void)text;
}

static void on_error(rd_kafka_t *handle, int error, const char *reason, void *opaque)
{
    struct kafka_store *s = opaque;
    (void)handle;
    (void)reason;
    if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        atomic_store(&s->down, true);
    if (error == RD_KAFKA_RESP_ERR__FATAL)
        atomic_store(&s->fatal, true);
}

static enum err fail_with(struct buf *detail, enum err error, const char *what, const char *why)
{
    buf_printf(detail, "%s: %s", what, why);
    return error;
}

static enum err set(rd_kafka_conf_t *conf, const char *name, const char *value, struct buf *detail)
{
    char text[ERROR_TEXT_BYTES];
    if (rk.rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK)
        return ERR_OK;
    return fail_with(detail, ERR_CONFIG, "log.kafka_settings", text);
}

static enum err configure(struct kafka_store *s, rd_kafka_conf_t *conf, const struct setting *ours,
                          size_t count, struct buf *detail)
{
    rk.rd_kafka_conf_set_opaque(conf, s);
    rk.rd_kafka_conf_set_log_cb(conf, on_log);
    rk.rd_kafka_conf_set_error_cb(conf, on_error);
    TRY(set(conf, "bootstrap.servers", s->brokers, detail));
    TRY(set(conf, "client.id", "weir", detail));
    TRY(set(conf, "socket.nagle.disable", "true", detail));
    TRY(set(conf, "topic.metadata.refresh.fast.interval.ms", "50", detail));
    TRY(set(conf, "reconnect.backoff.ms", "50", detail));
    TRY(set(conf, "reconnect.backoff.max.ms", "1000", detail));
    for (size_t i = 0; i < count; i++)
        TRY(set(conf, ours[i].name, ours[i].value, detail));
    for (size_t i = 0; i < s->options.setting_count; i++)
        TRY(set(conf, s->settings[i].name, s->settings[i].value, detail));
    return ERR_OK;
}

static enum err open_handle(struct kafka_store *s, rd_kafka_type_t type, rd_kafka_conf_t *conf,
                            struct buf *detail, rd_kafka_t **ret_handle)
{
    char text[ERROR_TEXT_BYTES];
    rd_kafka_t *handle = rk.rd_kafka_new(type, conf, text, sizeof text);
    (void)s;
    if (!handle) {
        rk.rd_kafka_conf_destroy(conf);
        return fail_with(detail, ERR_CONFIG, "log.kafka", text);
    }
    *ret_handle = handle;
    return ERR_OK;
}

/* What became of a record: ERR_INVALID and others are for good, ERR_CLOSED is the producer's end.
 */
static enum err delivery_error(rd_kafka_resp_err_t error)
{
    switch ((int)error) {
    case RD_KAFKA_RESP_ERR_NO_ERROR: return ERR_OK;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE: return ERR_TOO_LARGE;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED: return ERR_ACCESS;
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION: return ERR_INVALID;
    default: return ERR_CLOSED;
    }
}

static void note_success(struct kafka_store *s)
{
    atomic_store(&s->down, false);
    atomic_store(&s->warm, true);
}

static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *m, void *opaque)
{
    struct kafka_store *s = opaque;
    (void)handle;
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        note_success(s);
    const char *reason = m->err ? rk.rd_kafka_message_errstr(m) : "";
    s->options.delivered(s->options.arg, m->_private, delivery_error(m->err), m->offset,
                         str_from_c(reason));
}

static enum err open_producer(struct kafka_store *s, struct buf *detail)
{
    /* The idempotent producer keeps order and writes nothing twice while it lives; it never gives a
     * record up: what is to be given up is the caller's decision. */
    static const struct setting ours[] = {
        {"enable.idempotence", "true"},
        {"message.timeout.ms", "0"},
        {"linger.ms", "1"},
        {"compression.type", "lz4"},
        {"message.max.bytes", "17825792"},
        {"queue.buffering.max.messages", "100000"},
        {"queue.buffering.max.kbytes", "65536"},
        {"retry.backoff.ms", "50"},
    };
    rd_kafka_conf_t *conf = rk.rd_kafka_conf_new();
    rk.rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    enum err error = configure(s, conf, ours, sizeof ours / sizeof ours[0], detail);
    if (error != ERR_OK) {
        rk.rd_kafka_conf_destroy(conf);
        return error;
    }
    TRY(open_handle(s, RD_KAFKA_PRODUCER, conf, detail, &s->producer));
    s->main_queue = rk.rd_kafka_queue_get_main(s->producer);
    atomic_store(&s->fatal, false);
    atomic_store(&s->warm, false);
    return ERR_OK;
}

static enum err open_consumer(struct kafka_store *s, struct buf *detail)
{
    static const struct setting ours[] = {
        {"enable.partition.eof", "true"},
        {"auto.offset.reset", "error"},
        {"fetch.wait.max.ms", "100"}, /* also how long an empty topic's end takes to show */
        {"fetch.error.backoff.ms", "50"},
        {"fetch.message.max.bytes", "4194304"},
        {"receive.message.max.bytes", "134217728"},
        {"queued.max.messages.kbytes", "16384"},
        {"check.crcs", "true"},
    };
    rd_kafka_conf_t *conf = rk.rd_kafka_conf_new();
    enum err error = configure(s, conf, ours, sizeof ours / sizeof ours[0], detail);
    if (error != ERR_OK) {
        rk.rd_kafka_conf_destroy(conf);
        return error;
    }
    TRY(open_handle(s, RD_KAFKA_CONSUMER, conf, detail, &s->consumer));
    return ERR_OK;
}

static void copy_settings(struct kafka_store *s)
{
    size_t count = s->options.setting_count;
    s->settings = mem_array(count + 1, sizeof *s->settings);
    for (size_t i = 0; i < count; i++) {
        const struct log_cluster_setting *from = &s->options.settings[i];
        s->settings[i].name = mem_strdup(from->name, strlen(from->name));
        s->settings[i].value = mem_strdup(from->value, strlen(from->value));
    }
}

enum err kafka_store_open(const struct kafka_store_options *options, struct buf *detail,
                          struct kafka_store **ret_store)
{
    pthread_once(&rk_once, load_library);
    if (!rk.library) {
        buf_printf(detail,
                   "log.kafka needs librdkafka (Debian: apt-get install librdkafka1), which could "
                   "not be loaded: %s",
                   rk_problem);
        return ERR_NOT_FOUND;
    }
    struct kafka_store *s = NEW(struct kafka_store);
    s->options = *options;
    s->brokers = mem_strdup(options->brokers, strlen(options->brokers));
    copy_settings(s);
    enum err error = open_producer(s, detail);
    if (error == ERR_OK)
        error = open_consumer(s, detail);
    if (error != ERR_OK) {
        kafka_store_close(s);
        return error;
    }
    *ret_store = s;
    return ERR_OK;
}

static void close_producer(struct kafka_store *s)
{
    if (s->main_queue)
        rk.rd_kafka_queue_destroy(s->main_queue);
    if (s->producer)
        rk.rd_kafka_destroy_flags(s->producer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    s->main_queue = NULL;
    s->producer = NULL;
}

static void unfollow(struct kafka_store *s)
{
    for (size_t i = 0; i < s->followed_count; i++) {
        (void)rk.rd_kafka_consume_stop(s->followed[i].topic, s->followed[i].partition);
        rk.rd_kafka_topic_destroy(s->followed[i].topic);
    }
    mem_free(s->followed);
    if (s->news)
        rk.rd_kafka_queue_destroy(s->news);
    s->followed = NULL;
    s->followed_count = 0;
    s->news = NULL;
}

void kafka_store_close(struct kafka_store *s)
{
    if (!s)
        return;
    close_producer(s);
    unfollow(s);
    if (s->consumer)
        rk.rd_kafka_destroy_flags(s->consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    for (size_t i = 0; i < s->options.setting_count; i++) {
        mem_free((void *)s->settings[i].name);
        mem_free((void *)s->settings[i].value);
    }
    mem_free(s->settings);
    mem_free(s->brokers);
    mem_free(s);
}

enum err kafka_store_renew(struct kafka_store *s, struct buf *detail)
{
    close_producer(s);
    return open_producer(s, detail);
}

/* Topics -------------------------------------------------------------------------------------- */

static enum err error_of(rd_kafka_resp_err_t error)
{
    switch ((int)error) {
    case RD_KAFKA_RESP_ERR_NO_ERROR: return ERR_OK;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION: return ERR_NOT_FOUND;
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS: return ERR_EXISTS;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED: return ERR_ACCESS;
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE: return ERR_OUT_OF_RANGE;
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__TIMED_OUT: return ERR_TIMEOUT;
    default: return ERR_IO;
    }
}

enum err kafka_store_id(struct kafka_store *s, int timeout_ms, struct buf *id)
{
    char *text = rk.rd_kafka_clusterid(s->producer, timeout_ms);
    if (!text)
        return ERR_TIMEOUT;
    buf_append_str(id, str_from_c(text));
    rk.rd_kafka_mem_free(s->producer, text);
    return ERR_OK;
}

/* How many partitions it has; a broker that makes topics by asking is not let do so (the topic
 * would not be as it should), which librdkafka sees to. */
static enum err count_partitions(struct kafka_store *s, const char *topic, int timeout_ms,
                                 uint32_t *ret_partitions)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *handle = rk.rd_kafka_topic_new(s->consumer, topic, NULL);
    if (!handle)
        return ERR_INVALID;
    enum err error = error_of(rk.rd_kafka_metadata(s->consumer, 0, handle, &metadata, timeout_ms));
    if (error == ERR_OK && metadata->topic_cnt == 1)
        error = error_of(metadata->topics[0].err);
    if (error == ERR_OK && (metadata->topic_cnt != 1 || metadata->topics[0].partition_cnt < 1))
        error = ERR_NOT_FOUND;
    for (int i = 0; error == ERR_OK && i < metadata->topics[0].partition_cnt; i++)
        if (metadata->topics[0].partitions[i].leader < 0)
            error = ERR_NOT_FOUND;
    if (error == ERR_OK)
        *ret_partitions = (uint32_t)metadata->topics[0].partition_cnt;
    if (metadata)
        rk.rd_kafka_metadata_destroy(metadata);
    rk.rd_kafka_topic_destroy(handle);
    return error;
}

static void set_number(rd_kafka_NewTopic_t *topic, const char *name, long long value)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", value);
    (void)rk.rd_kafka_NewTopic_set_config(topic, name, text);
}

static void set_config(rd_kafka_NewTopic_t *topic, const struct log_topic_config *c)
{
    static const char *const cleanups[] = {"delete", "compact", "compact,delete"};
    (void)rk.rd_kafka_NewTopic_set_config(topic, "cleanup.policy", cleanups[c->cleanup]);
    (void)rk.rd_kafka_NewTopic_set_config(topic, "compression.type", "producer");
    (void)rk.rd_kafka_NewTopic_set_config(topic, "message.timestamp.type", "CreateTime");
    set_number(topic, "retention.ms", c->retention_ms);
    set_number(topic, "retention.bytes", c->retention_bytes);
    set_number(topic, "max.message.bytes", TOPIC_RECORD_MAX_BYTES);
    if (c->segment_bytes)
        set_number(topic, "segment.bytes", (long long)c->segment_bytes);
}

static enum err admin_result(rd_kafka_event_t *event, struct buf *detail)
{
    size_t count = 0;
    if (!event)
        return ERR_TIMEOUT;
    enum err error = error_of(rk.rd_kafka_event_error(event));
    if (error != ERR_OK)
        buf_append_str(detail, str_from_c(rk.rd_kafka_event_error_string(event)));
    const rd_kafka_CreateTopics_result_t *result = rk.rd_kafka_event_CreateTopics_result(event);
    if (error == ERR_OK && result) {
        const rd_kafka_topic_result_t **topics =
            rk.rd_kafka_CreateTopics_result_topics(result, &count);
        for (size_t i = 0; i < count && error == ERR_OK; i++) {
            error = error_of(rk.rd_kafka_topic_result_error(topics[i]));
            if (error != ERR_OK && error != ERR_EXISTS) {
                const char *why = rk.rd_kafka_topic_result_error_string(topics[i]);
                buf_append_str(detail, str_from_c(why ? why : err_text(error)));
            }
        }
    }
    rk.rd_kafka_event_destroy(event);
    return error;
}

static enum err create_topic(struct kafka_store *s, const char *topic,
                             const struct log_topic_config *config, int timeout_ms,
                             struct buf *detail)
{
    char text[ERROR_TEXT_BYTES];
    /* -1 replicas: as many as the cluster's default.replication.factor says. */
    rd_kafka_NewTopic_t *wanted =
        rk.rd_kafka_NewTopic_new(topic, (int)config->partitions, -1, text, sizeof text);
    if (!wanted)
        return fail_with(detail, ERR_INVALID, topic, text);
    set_config(wanted, config);
    rd_kafka_queue_t *queue = rk.rd_kafka_queue_new(s->producer);
    rd_kafka_AdminOptions_t *options =
        rk.rd_kafka_AdminOptions_new(s->producer, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    (void)rk.rd_kafka_AdminOptions_set_operation_timeout(options, timeout_ms, text, sizeof text);
    (void)rk.rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof text);
    rk.rd_kafka_CreateTopics(s->producer, &wanted, 1, options, queue);
    enum err error = admin_result(rk.rd_kafka_queue_poll(queue, timeout_ms), detail);
    rk.rd_kafka_AdminOptions_destroy(options);
    rk.rd_kafka_queue_destroy(queue);
    rk.rd_kafka_NewTopic_destroy(wanted);
    return error == ERR_EXISTS ? ERR_OK : error;
}

enum err kafka_store_topic(struct kafka_store *s, const char *topic,
                           const struct log_topic_config *config, int timeout_ms,
                           struct buf *detail, uint32_t *ret_partitions)
{
    enum err error = count_partitions(s, topic, timeout_ms, ret_partitions);
    if (error != ERR_NOT_FOUND)
        return error;
    TRY(create_topic(s, topic, config, timeout_ms, detail));
    /* Every broker learns of it in its own time. */
    for (int waited_ms = 0; waited_ms < timeout_ms; waited_ms += SPREAD_POLL_MS) {
        error = count_partitions(s, topic, timeout_ms, ret_partitions);
        if (error != ERR_NOT_FOUND)
            return error;
        os_sleep_us(SPREAD_POLL_MS * 1000);
    }
    return ERR_TIMEOUT;
}

enum err kafka_store_range(struct kafka_store *s, const char *topic, uint32_t partition,
                           int timeout_ms, int64_t *ret_start, int64_t *ret_end)
{
    int64_t start = 0;
    int64_t end = 0;
    TRY(error_of(rk.rd_kafka_query_watermark_offsets(s->consumer, topic, (int32_t)partition, &start,
                                                     &end, timeout_ms)));
    *ret_start = start;
    *ret_end = end;
    return ERR_OK;
}

enum err kafka_store_delete_before(struct kafka_store *s, const char *topic, uint32_t partition,
                                   int64_t offset, int timeout_ms)
{
    struct buf detail BUF_AUTO;
    buf_init(&detail, ERROR_TEXT_BYTES);
    rd_kafka_topic_partition_list_t *list = rk.rd_kafka_topic_partition_list_new(1);
    rk.rd_kafka_topic_partition_list_add(list, topic, (int32_t)partition)->offset = offset;
    rd_kafka_DeleteRecords_t *wanted = rk.rd_kafka_DeleteRecords_new(list);
    rd_kafka_queue_t *queue = rk.rd_kafka_queue_new(s->producer);
    rk.rd_kafka_DeleteRecords(s->producer, &wanted, 1, NULL, queue);
    rd_kafka_event_t *event = rk.rd_kafka_queue_poll(queue, timeout_ms);
    enum err error = event ? error_of(rk.rd_kafka_event_error(event)) : ERR_TIMEOUT;
    if (event)
        rk.rd_kafka_event_destroy(event);
    rk.rd_kafka_queue_destroy(queue);
    rk.rd_kafka_DeleteRecords_destroy(wanted);
    rk.rd_kafka_topic_partition_list_destroy(list);
    return error;
}

/* Sending ------------------------------------------------------------------------------------- */

static rd_kafka_headers_t *headers_of(const struct kafka_record *r)
{
    rd_kafka_headers_t *headers = rk.rd_kafka_headers_new(r->header_count);
    for (size_t i = 0; i < r->header_count; i++) {
        const struct record_header *h = &r->headers[i];
        (void)rk.rd_kafka_header_add(headers, h->name.ptr, (ssize_t)h->name.len, h->value.ptr,
                                     (ssize_t)h->value.len);
    }
    return headers;
}

enum err kafka_store_send(struct kafka_store *s, const char *topic, uint32_t partition,
                          const struct kafka_record *r, void *opaque)
{
    if (atomic_load(&s->fatal))
        return ERR_CLOSED;
    rd_kafka_headers_t *headers = headers_of(r);
    rd_kafka_resp_err_t error = rk.rd_kafka_producev(
        s->producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION((int32_t)partition),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(r->key.ptr, r->key.len),
        RD_KAFKA_V_VALUE((void *)r->value.ptr, r->value.len), RD_KAFKA_V_TIMESTAMP(r->timestamp_ms),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(opaque), RD_KAFKA_V_END);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        rk.rd_kafka_headers_destroy(headers);
    if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return ERR_BUSY;
    return delivery_error(error);
}

void kafka_store_poll(struct kafka_store *s, int timeout_ms)
{
    rk.rd_kafka_poll(s->producer, timeout_ms);
}

void kafka_store_wake(struct kafka_store *s)
{
    rk.rd_kafka_queue_yield(s->main_queue);
}

bool kafka_store_is_warm(struct kafka_store *s)
{
    return atomic_load(&s->warm);
}

bool kafka_store_is_up(struct kafka_store *s)
{
    return !atomic_load(&s->down) && !atomic_load(&s->fatal);
}

/* Following ----------------------------------------------------------------------------------- */

static struct followed *find_followed(struct kafka_store *s, const struct kafka_place *place)
{
    for (size_t i = 0; i < s->followed_count; i++) {
        struct followed *f = &s->followed[i];
        if (f->partition == (int32_t)place->partition &&
            strcmp(rk.rd_kafka_topic_name(f->topic), place->topic) == 0)
            return f;
    }
    return NULL;
}

enum err kafka_store_follow(struct kafka_store *s, const struct kafka_place *place)
{
    struct followed *f = find_followed(s, place);
    if (!s->news)
        s->news = rk.rd_kafka_queue_new(s->consumer);
    if (f) {
        (void)rk.rd_kafka_consume_stop(f->topic, f->partition);
    } else {
        s->followed = mem_resize(s->followed, (s->followed_count + 1) * sizeof *f);
        f = &s->followed[s->followed_count];
        *f = (struct followed){rk.rd_kafka_topic_new(s->consumer, place->topic, NULL),
                               (int32_t)place->partition};
        if (!f->topic)
            return ERR_INVALID;
        s->followed_count++;
    }
    if (rk.rd_kafka_consume_start_queue(f->topic, f->partition, place->offset, s->news) != 0)
        return error_of(rk.rd_kafka_last_error());
    return ERR_OK;
}

static size_t read_headers(struct kafka_store *s, const rd_kafka_message_t *m)
{
    rd_kafka_headers_t *headers = NULL;
    const char *name = NULL;
    const void *value = NULL;
    size_t len = 0;
    size_t count = 0;
    if (rk.rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    while (count < KAFKA_HEADERS_MAX &&
           rk.rd_kafka_header_get_all(headers, count, &name, &value, &len) ==
               RD_KAFKA_RESP_ERR_NO_ERROR) {
        s->headers[count].name = str_from_c(name);
        s->headers[count].value = value ? str_of(value, len) : STR_NONE;
        count++;
    }
    return count;
}

/* Present and empty is not absent. */
static struct str bytes_of(const void *ptr, size_t len)
{
    return ptr ? str_of(ptr, len) : STR_NONE;
}

void kafka_store_next(struct kafka_store *s, int timeout_ms, struct kafka_event *ret_event)
{
    *ret_event = (struct kafka_event){.news = KAFKA_NOTHING};
    if (!s->news)
        return;
    rk.rd_kafka_poll(s->consumer, 0); /* its other events */
    rd_kafka_message_t *m = rk.rd_kafka_consume_queue(s->news, timeout_ms);
    if (!m)
        return;
    ret_event->message_ = m;
    if (!m->rkt)
        return;
    ret_event->topic = str_from_c(rk.rd_kafka_topic_name(m->rkt));
    ret_event->partition = (uint32_t)m->partition;
    ret_event->record.offset = m->offset;
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        ret_event->news = KAFKA_END;
    } else if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
               m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
        ret_event->news = KAFKA_RANGE;
    } else if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        ret_event->news = KAFKA_RECORD;
        ret_event->record.timestamp_ms = rk.rd_kafka_message_timestamp(m, NULL);
        ret_event->record.key = bytes_of(m->key, m->key_len);
        ret_event->record.value = bytes_of(m->payload, m->len);
        ret_event->record.headers = s->headers;
        ret_event->record.header_count = read_headers(s, m);
        atomic_store(&s->down, false);
    }
}

void kafka_store_let_go(struct kafka_store *s, struct kafka_event *event)
{
    (void)s;
    if (event->message_)
        rk.rd_kafka_message_destroy(event->message_);
    event->message_ = NULL;
}
