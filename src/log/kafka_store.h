/* A real Apache Kafka through librdkafka: the one door to it, for cluster.c.
 *
 * librdkafka is loaded when it is asked for (the Debian package librdkafka1), so that a Weir with
 * an embedded log neither needs nor carries it. One producer and one consumer without a group; a
 * producer that the cluster has refused for good (a "fatal" error) is replaced by
 * kafka_store_renew.
 *
 * Threads: sending, polling and renewing belong to one thread, following and taking to one
 * (another); the rest may be called by any. */
#ifndef WEIR_LOG_KAFKA_STORE_H
#define WEIR_LOG_KAFKA_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/batch.h"
#include "log/log.h"

struct kafka_store;

enum { KAFKA_HEADERS_MAX = 256 }; /* of one record; what has more is refused, or read without */

struct kafka_store_options {
    const char *brokers; /* "host:port,host:port" */
    const struct log_cluster_setting *settings;
    size_t setting_count;
    /* A record has gone, or never will. ERR_OK: it is on the cluster at offset. ERR_CLOSED: the
     * producer is of no more use. Anything else: this record is refused for good, reason says why.
     */
    void (*delivered)(void *arg, void *opaque, enum err error, int64_t offset, struct str reason);
    void *arg;
};

/* No broker is asked yet. ERR_NOT_FOUND: librdkafka is not there; ERR_CONFIG: a setting it does not
 * take. *detail then holds a sentence. */
MUST_CHECK enum err kafka_store_open(const struct kafka_store_options *options, struct buf *detail,
                                     struct kafka_store **ret_store);
void kafka_store_close(struct kafka_store *s);

/* The cluster's id. ERR_TIMEOUT: no broker answers. */
MUST_CHECK enum err kafka_store_id(struct kafka_store *s, int timeout_ms, struct buf *id);
/* Find the topic's partitions, making it with this configuration if it is not there. */
MUST_CHECK enum err kafka_store_topic(struct kafka_store *s, const char *topic,
                                      const struct log_topic_config *config, int timeout_ms,
                                      struct buf *detail, uint32_t *ret_partitions);
/* Its first offset and the one after its last. ERR_NOT_FOUND, ERR_TIMEOUT. */
MUST_CHECK enum err kafka_store_range(struct kafka_store *s, const char *topic, uint32_t partition,
                                      int timeout_ms, int64_t *ret_start, int64_t *ret_end);
/* Remove what is below offset. */
MUST_CHECK enum err kafka_store_delete_before(struct kafka_store *s, const char *topic,
                                              uint32_t partition, int64_t offset, int timeout_ms);

struct kafka_record {
    int64_t offset;
    int64_t timestamp_ms;
    struct str key;   /* .ptr NULL: null */
    struct str value; /* .ptr NULL: null */
    const struct record_header *headers;
    size_t header_count;
};

/* Have it sent, in order within a partition; bytes are copied. delivered() tells the end, inside
 * kafka_store_poll. ERR_BUSY: the queue is full, poll first. ERR_CLOSED: renew. */
MUST_CHECK enum err kafka_store_send(struct kafka_store *s, const char *topic, uint32_t partition,
                                     const struct kafka_record *record, void *opaque);
/* Run delivered() for what has ended, waiting for something at most so long. */
void kafka_store_poll(struct kafka_store *s, int timeout_ms);
/* Let a poll return at once, this or the next one. Any thread, quick. */
void kafka_store_wake(struct kafka_store *s);
/* A new producer; what the old one had in flight is forgotten without delivered(). */
MUST_CHECK enum err kafka_store_renew(struct kafka_store *s, struct buf *detail);

struct kafka_place {
    const char *topic;
    uint32_t partition;
    int64_t offset; /* to read from */
};

/* Follow a partition from this offset on, also if it is followed already. */
MUST_CHECK enum err kafka_store_follow(struct kafka_store *s, const struct kafka_place *place);

enum kafka_news {
    KAFKA_NOTHING, /* within the time */
    KAFKA_RECORD,
    KAFKA_END,   /* the partition has been read to its present end */
    KAFKA_RANGE, /* what was asked for is not there: before the start, or beyond the end */
};

struct kafka_event {
    enum kafka_news news;
    struct str topic;
    uint32_t partition;
    struct kafka_record record; /* KAFKA_END: only the offset, where the end is */
    void *message_;
};

/* The next event; its memory lives until kafka_store_let_go. */
void kafka_store_next(struct kafka_store *s, int timeout_ms, struct kafka_event *ret_event);
void kafka_store_let_go(struct kafka_store *s, struct kafka_event *event);

/* Connections to brokers are there, as far as the library knows. */
bool kafka_store_is_up(struct kafka_store *s);
/* This producer has got something through; a new one first needs an id, which takes a while from a
 * broker that has just started. */
bool kafka_store_is_warm(struct kafka_store *s);

#endif
