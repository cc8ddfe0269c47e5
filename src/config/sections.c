/* listen, log, local, limits: one table each, and what holds where nothing is written. */
#include "config/config_int.h"

#define KIB (INT64_C(1) << 10)
#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)
#define TIB (INT64_C(1) << 40)

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

void sections_default(struct config *c)
{
    c->listen.http =
        (struct config_address){.host = STR("127.0.0.1"), .port = 8080, .enabled = true};
    c->listen.kafka = (struct config_address){
        .host = STR("127.0.0.1"), .port = 9092, .enabled = true, .assumed = true};
    c->listen.drain_ms = 30 * SECOND_MS;
    c->data = STR("./weir-data");
    c->log = (struct config_log){.durability = CONFIG_DURABILITY_WRITE,
                                 .on_full = CONFIG_ON_FULL_REFUSE,
                                 .spool_bytes = GIB,
                                 .protect_ms = 10 * SECOND_MS};
    c->local = (struct config_local){
        .dir = STR("./models"), .memory_bytes = 4 * GIB, .threads = 0, .parallel = 8, .queue = 64};
    c->limits = (struct config_limits){.header_bytes = 64 * KIB,
                                       .header_ms = 10 * SECOND_MS,
                                       .body_bytes = 32 * MIB,
                                       .nesting = 128,
                                       .event_bytes = 8 * MIB,
                                       .idle_ms = 75 * SECOND_MS,
                                       .ping_ms = 15 * SECOND_MS,
                                       .pending_bytes = MIB};
}

/* ---- listen ---- */

static void read_tls(struct loader *l, const struct field *field, const struct node *n,
                     void *object)
{
    static const struct field fields[] = {
        FIELD("cert", read_text, struct config_tls, cert_path),
        FIELD("key", read_text, struct config_tls, key_path),
        FIELD("client_ca", read_text, struct config_tls, client_ca_path),
    };
    struct config_tls *tls = (struct config_tls *)((char *)object + field->offset);
    unsigned before = l->mistakes;
    if (!READ_MAP(l, n, fields, tls) || l->mistakes != before)
        return;
    if (!tls->cert_path.len || !tls->key_path.len)
        mistake(l, n, "%s: 'cert' and 'key' are both needed, as PEM files", node_path(l, n));
    tls->enabled = true;
}

void read_listen(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    static const struct field fields[] = {
        FIELD("http", read_address, struct config, listen.http),
        FIELD("kafka", read_address_or_off, struct config, listen.kafka),
        FIELD("tls", read_tls, struct config, listen.tls),
        FIELD_IN("drain", read_span_or_zero, struct config, listen.drain_ms, SECOND_MS, DAY_MS),
    };
    (void)field;
    READ_MAP(l, n, fields, object);
}

/* ---- log ---- */

static void read_retention(struct loader *l, const struct field *field, const struct node *n,
                           void *object)
{
    static const struct field fields[] = {
        FIELD_IN("age", read_span_or_zero, struct config_log, retention_age_ms, 1, 36500 * DAY_MS),
        FIELD_IN("size", read_size, struct config_log, retention_size_bytes, 0, 1024 * TIB),
    };
    (void)field;
    READ_MAP(l, n, fields, object);
}

static void read_quota(struct loader *l, const struct field *field, const struct node *n,
                       void *object)
{
    int64_t *quota = (int64_t *)((char *)object + field->offset);
    read_size(l, field, n, object);
    if (*quota > 0 && *quota < 4 * MIB)
        mistake(l, n, "%s: '%s' is below the smallest quota, 4MiB (0: no quota)", node_path(l, n),
                node_shown(l, n));
}

static void read_brokers(struct loader *l, const struct field *field, const struct node *n,
                         void *object)
{
    struct str *brokers = (struct str *)((char *)object + field->offset);
    struct config_address address;
    read_text(l, field, n, object);
    struct str rest = *brokers;
    while (rest.ptr) {
        struct str one = str_split(&rest, ',');
        if (config_address_parse(one, &address) != ERR_OK) {
            mistake(l, n, "%s: '%s' is no list of brokers, as kafka-1:9092,kafka-2:9092",
                    node_path(l, n), node_shown(l, n));
            return;
        }
    }
}

/* The names are librdkafka's, which judges them when the log is opened. */
static void read_kafka_settings(struct loader *l, const struct field *field, const struct node *n,
                                void *object)
{
    struct config_log *log = object;
    (void)field;
    if (!expect_map(l, n, CONFIG_HEADERS_MAX, "a mapping of librdkafka's settings to values"))
        return;
    struct config_header *settings = ARENA_ARRAY(l->arena, struct config_header, n->count);
    size_t count = 0;
    for (const struct node *child = n->first; child; child = child->next) {
        struct str value;
        if (child->kind == NODE_NULL || !scalar_text(l, child, "a text", &value))
            continue;
        settings[count++] = (struct config_header){.name = arena_str(l->arena, child->key->text),
                                                   .value = arena_str(l->arena, value)};
    }
    log->kafka_settings = settings;
    log->kafka_setting_count = count;
}

void read_log(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    static const struct choice durabilities[] = {
        {"write", CONFIG_DURABILITY_WRITE, NULL},
        {"sync", CONFIG_DURABILITY_SYNC, NULL},
        {0},
    };
    static const struct choice on_full[] = {
        {"refuse", CONFIG_ON_FULL_REFUSE, NULL},
        {"serve", CONFIG_ON_FULL_SERVE, NULL},
        {0},
    };
    static const struct field fields[] = {
        FIELD_OF("durability", read_choice, struct config_log, durability, durabilities),
        FIELD_IN("quota", read_quota, struct config_log, quota_bytes, 0, 1024 * TIB),
        FIELD_IN("protect", read_span_or_zero, struct config_log, protect_ms, 1, DAY_MS),
        FIELD_OF("on_full", read_choice, struct config_log, on_full, on_full),
        {.name = "retention", .read = read_retention},
        FIELD("kafka", read_brokers, struct config_log, kafka),
        {.name = "kafka_settings", .read = read_kafka_settings},
        FIELD_IN("spool", read_size, struct config_log, spool_bytes, 4 * MIB, 1024 * TIB),
    };
    (void)field;
    READ_MAP(l, n, fields, &((struct config *)object)->log);
}

/* ---- local ---- */

static void read_threads(struct loader *l, const struct field *field, const struct node *n,
                         void *object)
{
    if (n->kind == NODE_SCALAR && str_eq(n->text, STR("auto")))
        *(int *)((char *)object + field->offset) = 0;
    else
        read_int(l, field, n, object);
}

void read_local(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    static const struct field fields[] = {
        FIELD("dir", read_text, struct config_local, dir),
        FIELD_IN("memory", read_size, struct config_local, memory_bytes, 16 * MIB, 1024 * TIB),
        FIELD_IN("threads", read_threads, struct config_local, threads, 1, 1024),
        FIELD_IN("parallel", read_int, struct config_local, parallel, 1, 256),
        FIELD_IN("queue", read_int, struct config_local, queue, 0, 100000),
    };
    (void)field;
    READ_MAP(l, n, fields, &((struct config *)object)->local);
}

/* ---- limits ---- */

void read_limits(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    static const struct field fields[] = {
        FIELD_IN("headers", read_size, struct config_limits, header_bytes, KIB, MIB),
        FIELD_IN("header_time", read_span, struct config_limits, header_ms, 100, HOUR_MS),
        FIELD_IN("body", read_size, struct config_limits, body_bytes, KIB, GIB),
        FIELD_IN("nesting", read_int, struct config_limits, nesting, 4, 1024),
        FIELD_IN("event", read_size, struct config_limits, event_bytes, KIB, GIB),
        FIELD_IN("idle", read_span, struct config_limits, idle_ms, 100, DAY_MS),
        FIELD_IN("ping", read_span, struct config_limits, ping_ms, 0, HOUR_MS),
        FIELD_IN("pending", read_size, struct config_limits, pending_bytes, 64 * KIB, GIB),
    };
    (void)field;
    READ_MAP(l, n, fields, &((struct config *)object)->limits);
}
