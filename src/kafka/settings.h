/* A topic's settings under Kafka's names: one table that DescribeConfigs, CreateTopics and the two
 * that alter read. */
#ifndef WEIR_KAFKA_SETTINGS_H
#define WEIR_KAFKA_SETTINGS_H

#include "base/arena.h"
#include "log/log.h"

enum kafka_setting_type { /* numbers of the protocol */
                          KAFKA_SETTING_BOOLEAN = 1,
                          KAFKA_SETTING_STRING = 2,
                          KAFKA_SETTING_INT = 3,
                          KAFKA_SETTING_LONG = 5,
                          KAFKA_SETTING_DOUBLE = 6,
                          KAFKA_SETTING_LIST = 7,
};

struct kafka_setting {
    struct str name;
    enum kafka_setting_type type;
    struct str by_default; /* Kafka's */
    struct str broker;     /* the name of the broker's setting behind it; empty: none */
    /* NULL: it cannot have another value here. */
    void (*get)(const struct log_topic_config *config, struct buf *text);
    /* ERR_INVALID: not such a value. ERR_UNSUPPORTED: Kafka knows it, Weir does not. */
    enum err (*set)(struct log_topic_config *config, struct str text);
};

const struct kafka_setting *kafka_setting_list(size_t *ret_count);
/* NULL: Kafka has no such setting of topics. */
const struct kafka_setting *kafka_setting_find(struct str name);
/* Its value in force, in the arena. */
struct str kafka_setting_get(const struct kafka_setting *s, const struct log_topic_config *config,
                             struct arena *arena);
/* value .ptr NULL: back to the default. ERR_INVALID, ERR_UNSUPPORTED. */
MUST_CHECK enum err kafka_setting_set(const struct kafka_setting *s,
                                      struct log_topic_config *config, struct str value);

#endif
