#include "kafka/settings.h"

#include "base/arena.h"

/* ---- Numbers ---- */

static void put_i64(struct buf *text, int64_t value)
{
    buf_append_i64(text, value);
}

/* min to INT64_MAX. */
MUST_CHECK static enum err take_i64(struct str text, int64_t min, int64_t *ret_value)
{
    int64_t value = 0;
    if (str_to_i64(text, &value) != ERR_OK || value < min)
        return ERR_INVALID;
    *ret_value = value;
    return ERR_OK;
}

/* ---- Those that a topic of the log has ---- */

static void get_retention_ms(const struct log_topic_config *c, struct buf *text)
{
    put_i64(text, c->retention_ms);
}

static enum err set_retention_ms(struct log_topic_config *c, struct str text)
{
    return take_i64(text, -1, &c->retention_ms);
}

static void get_retention_bytes(const struct log_topic_config *c, struct buf *text)
{
    put_i64(text, c->retention_bytes);
}

static enum err set_retention_bytes(struct log_topic_config *c, struct str text)
{
    return take_i64(text, -1, &c->retention_bytes);
}

static void get_segment_bytes(const struct log_topic_config *c, struct buf *text)
{
    put_i64(text, c->segment_bytes ? (int64_t)c->segment_bytes : LOG_SEGMENT_DEFAULT_BYTES);
}

static enum err set_segment_bytes(struct log_topic_config *c, struct str text)
{
    int64_t value = 0;
    TRY(take_i64(text, 14, &value));
    if (value > INT32_MAX)
        return ERR_INVALID;
    c->segment_bytes = (uint64_t)value;
    return ERR_OK;
}

static void get_segment_ms(const struct log_topic_config *c, struct buf *text)
{
    put_i64(text, c->segment_ms ? c->segment_ms : 604800000);
}

static enum err set_segment_ms(struct log_topic_config *c, struct str text)
{
    return take_i64(text, 1, &c->segment_ms);
}

static const struct str cleanups[] = {
    [LOG_DELETE] = STR_INIT("delete"),
    [LOG_COMPACT] = STR_INIT("compact"),
    [LOG_COMPACT_DELETE] = STR_INIT("compact,delete"),
};

static void get_cleanup(const struct log_topic_config *c, struct buf *text)
{
    buf_append_str(text, cleanups[c->cleanup]);
}

static enum err set_cleanup(struct log_topic_config *c, struct str text)
{
    bool compact = false;
    bool remove = false;
    while (text.ptr) {
        struct str word = str_trim(str_split(&text, ','));
        bool is_compact = str_eq(word, cleanups[LOG_COMPACT]);
        if (!is_compact && !str_eq(word, cleanups[LOG_DELETE]))
            return ERR_INVALID;
        compact |= is_compact;
        remove |= !is_compact;
    }
    c->cleanup = compact && remove ? LOG_COMPACT_DELETE : compact ? LOG_COMPACT : LOG_DELETE;
    return ERR_OK;
}

static void get_max_message(const struct log_topic_config *c, struct buf *text)
{
    put_i64(text, c->batch_max_bytes ? c->batch_max_bytes : LOG_BATCH_MAX_BYTES);
}

static enum err set_max_message(struct log_topic_config *c, struct str text)
{
    int64_t value = 0;
    TRY(take_i64(text, 0, &value));
    if (value > INT32_MAX)
        return ERR_INVALID;
    c->batch_max_bytes = value < LOG_BATCH_MAX_BYTES ? (uint32_t)value : LOG_BATCH_MAX_BYTES;
    return ERR_OK;
}

/* A sync for every message is what durability `sync` promises; any other number leaves it to the
 * log, which syncs within 5 ms. */
static void get_flush_messages(const struct log_topic_config *c, struct buf *text)
{
    put_i64(text, c->durability == LOG_SYNC ? 1 : INT64_MAX);
}

static enum err set_flush_messages(struct log_topic_config *c, struct str text)
{
    int64_t value = 0;
    TRY(take_i64(text, 1, &value));
    c->durability = value == 1 ? LOG_SYNC : LOG_WRITE;
    return ERR_OK;
}

static void get_min_lag(const struct log_topic_config *c, struct buf *text)
{
    put_i64(text, c->compact_lag_ms);
}

static enum err set_min_lag(struct log_topic_config *c, struct str text)
{
    return take_i64(text, 0, &c->compact_lag_ms);
}

/* In the log's configuration 0 is the default. */
static void get_delete_retention(const struct log_topic_config *c, struct buf *text)
{
    put_i64(text, c->tombstones_ms == 0 ? 86400000 : c->tombstones_ms < 0 ? 0 : c->tombstones_ms);
}

static enum err set_delete_retention(struct log_topic_config *c, struct str text)
{
    int64_t value = 0;
    TRY(take_i64(text, 0, &value));
    c->tombstones_ms = value == 0 ? -1 : value;
    return ERR_OK;
}

/* In percent, so 0.123 becomes 0.12. */
static void get_dirty_ratio(const struct log_topic_config *c, struct buf *text)
{
    int percent = c->dirty_percent == 0 ? 50 : c->dirty_percent < 0 ? 0 : c->dirty_percent;
    if (percent % 10 == 0)
        buf_printf(text, "%d.%d", percent / 100, percent / 10 % 10);
    else
        buf_printf(text, "%d.%02d", percent / 100, percent % 100);
}

static enum err set_dirty_ratio(struct log_topic_config *c, struct str text)
{
    struct str whole = str_split(&text, '.');
    int64_t value = 0;
    uint64_t percent = 0;
    TRY(take_i64(whole.len > 0 ? whole : STR("0"), 0, &value));
    struct str digits = text.ptr ? str_take(text, 2) : STR("");
    if (value > 1 || (digits.len > 0 && str_to_u64(digits, &percent) != ERR_OK))
        return ERR_INVALID;
    percent = (digits.len == 1 ? 10 * percent : percent) + (uint64_t)value * 100;
    if (percent > 100)
        return ERR_INVALID;
    c->dirty_percent = percent == 0 ? -1 : (int)percent;
    return ERR_OK;
}

static void get_timestamp_type(const struct log_topic_config *c, struct buf *text)
{
    buf_append_str(text, c->append_time ? STR("LogAppendTime") : STR("CreateTime"));
}

static enum err set_timestamp_type(struct log_topic_config *c, struct str text)
{
    bool append = str_eq(text, STR("LogAppendTime"));
    if (!append && !str_eq(text, STR("CreateTime")))
        return ERR_INVALID;
    c->append_time = append;
    return ERR_OK;
}

/* ---- The table: all of Kafka 4.4, its defaults but for segment.bytes ---- */

#define NEVER            STR_INIT("9223372036854775807")
#define KEPT(get_, set_) .get = get_, .set = set_

static const struct kafka_setting settings[] = {
    {STR_INIT("cleanup.policy"), KAFKA_SETTING_LIST, STR_INIT("delete"),
     STR_INIT("log.cleanup.policy"), KEPT(get_cleanup, set_cleanup)},
    {STR_INIT("compression.gzip.level"), KAFKA_SETTING_INT, STR_INIT("-1"),
     STR_INIT("compression.gzip.level"), NULL, NULL},
    {STR_INIT("compression.lz4.level"), KAFKA_SETTING_INT, STR_INIT("9"),
     STR_INIT("compression.lz4.level"), NULL, NULL},
    {STR_INIT("compression.type"), KAFKA_SETTING_STRING, STR_INIT("producer"),
     STR_INIT("compression.type"), NULL, NULL},
    {STR_INIT("compression.zstd.level"), KAFKA_SETTING_INT, STR_INIT("3"),
     STR_INIT("compression.zstd.level"), NULL, NULL},
    {STR_INIT("delete.retention.ms"), KAFKA_SETTING_LONG, STR_INIT("86400000"),
     STR_INIT("log.cleaner.delete.retention.ms"), KEPT(get_delete_retention, set_delete_retention)},
    {STR_INIT("file.delete.delay.ms"), KAFKA_SETTING_LONG, STR_INIT("60000"),
     STR_INIT("log.segment.delete.delay.ms"), NULL, NULL},
    {STR_INIT("flush.messages"), KAFKA_SETTING_LONG, NEVER, STR_INIT("log.flush.interval.messages"),
     KEPT(get_flush_messages, set_flush_messages)},
    {STR_INIT("flush.ms"), KAFKA_SETTING_LONG, NEVER, STR_INIT("log.flush.interval.ms"), NULL,
     NULL},
    {STR_INIT("follower.replication.throttled.replicas"), KAFKA_SETTING_LIST, STR_INIT(""),
     STR_INIT(""), NULL, NULL},
    {STR_INIT("index.interval.bytes"), KAFKA_SETTING_INT, STR_INIT("4096"),
     STR_INIT("log.index.interval.bytes"), NULL, NULL},
    {STR_INIT("leader.replication.throttled.replicas"), KAFKA_SETTING_LIST, STR_INIT(""),
     STR_INIT(""), NULL, NULL},
    {STR_INIT("local.retention.bytes"), KAFKA_SETTING_LONG, STR_INIT("-2"),
     STR_INIT("log.local.retention.bytes"), NULL, NULL},
    {STR_INIT("local.retention.ms"), KAFKA_SETTING_LONG, STR_INIT("-2"),
     STR_INIT("log.local.retention.ms"), NULL, NULL},
    {STR_INIT("max.compaction.lag.ms"), KAFKA_SETTING_LONG, NEVER,
     STR_INIT("log.cleaner.max.compaction.lag.ms"), NULL, NULL},
    {STR_INIT("max.message.bytes"), KAFKA_SETTING_INT, STR_INIT("1048588"),
     STR_INIT("message.max.bytes"), KEPT(get_max_message, set_max_message)},
    {STR_INIT("message.timestamp.after.max.ms"), KAFKA_SETTING_LONG, NEVER,
     STR_INIT("log.message.timestamp.after.max.ms"), NULL, NULL},
    {STR_INIT("message.timestamp.before.max.ms"), KAFKA_SETTING_LONG, NEVER,
     STR_INIT("log.message.timestamp.before.max.ms"), NULL, NULL},
    {STR_INIT("message.timestamp.type"), KAFKA_SETTING_STRING, STR_INIT("CreateTime"),
     STR_INIT("log.message.timestamp.type"), KEPT(get_timestamp_type, set_timestamp_type)},
    {STR_INIT("min.cleanable.dirty.ratio"), KAFKA_SETTING_DOUBLE, STR_INIT("0.5"),
     STR_INIT("log.cleaner.min.cleanable.ratio"), KEPT(get_dirty_ratio, set_dirty_ratio)},
    {STR_INIT("min.compaction.lag.ms"), KAFKA_SETTING_LONG, STR_INIT("0"),
     STR_INIT("log.cleaner.min.compaction.lag.ms"), KEPT(get_min_lag, set_min_lag)},
    {STR_INIT("min.insync.replicas"), KAFKA_SETTING_INT, STR_INIT("1"),
     STR_INIT("min.insync.replicas"), NULL, NULL},
    {STR_INIT("preallocate"), KAFKA_SETTING_BOOLEAN, STR_INIT("false"), STR_INIT("log.preallocate"),
     NULL, NULL},
    {STR_INIT("remote.storage.enable"), KAFKA_SETTING_BOOLEAN, STR_INIT("false"), STR_INIT(""),
     NULL, NULL},
    {STR_INIT("retention.bytes"), KAFKA_SETTING_LONG, STR_INIT("-1"),
     STR_INIT("log.retention.bytes"), KEPT(get_retention_bytes, set_retention_bytes)},
    {STR_INIT("retention.ms"), KAFKA_SETTING_LONG, STR_INIT("604800000"),
     STR_INIT("log.retention.ms"), KEPT(get_retention_ms, set_retention_ms)},
    {STR_INIT("segment.bytes"), KAFKA_SETTING_INT, STR_INIT("67108864"),
     STR_INIT("log.segment.bytes"), KEPT(get_segment_bytes, set_segment_bytes)},
    {STR_INIT("segment.index.bytes"), KAFKA_SETTING_INT, STR_INIT("10485760"),
     STR_INIT("log.index.size.max.bytes"), NULL, NULL},
    {STR_INIT("segment.jitter.ms"), KAFKA_SETTING_LONG, STR_INIT("0"),
     STR_INIT("log.roll.jitter.ms"), NULL, NULL},
    {STR_INIT("segment.ms"), KAFKA_SETTING_LONG, STR_INIT("604800000"), STR_INIT("log.roll.ms"),
     KEPT(get_segment_ms, set_segment_ms)},
    {STR_INIT("unclean.leader.election.enable"), KAFKA_SETTING_BOOLEAN, STR_INIT("false"),
     STR_INIT("unclean.leader.election.enable"), NULL, NULL},
};

const struct kafka_setting *kafka_setting_list(size_t *ret_count)
{
    *ret_count = sizeof settings / sizeof settings[0];
    return settings;
}

const struct kafka_setting *kafka_setting_find(struct str name)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (str_eq(settings[i].name, name))
            return &settings[i];
    return NULL;
}

struct str kafka_setting_get(const struct kafka_setting *s, const struct log_topic_config *config,
                             struct arena *arena)
{
    if (!s->get)
        return s->by_default;
    BUF_AUTO struct buf text = {.max = 64};
    s->get(config, &text);
    return arena_str(arena, buf_str(&text));
}

enum err kafka_setting_set(const struct kafka_setting *s, struct log_topic_config *config,
                           struct str value)
{
    value = value.ptr ? str_trim(value) : s->by_default;
    if (s->set)
        return s->set(config, value);
    return str_eq(value, s->by_default) ? ERR_OK : ERR_UNSUPPORTED;
}
