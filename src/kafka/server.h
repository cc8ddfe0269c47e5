/* The Kafka protocol over Weir's log: a listener whose connections live on the loops.
 *
 *     stream ─bytes─▶ conn ─frame─▶ request ─schema─▶ handler ─▶ log
 *                      ▲                                │
 *                      └── response, in order ◀── reply ┘
 *
 *  1. A connection's requests are answered in the order they came. The next one is begun when the
 * answers before it have left; only produce requests are begun while other produce requests wait
 * for the log.
 *  2. What one connection holds is bounded: one frame, one response, KAFKA_PIPELINE_MAX produce
 * requests. Records that are fetched stay in the log's files until the socket takes them.
 *  3. A frame that is malformed or too large closes its own connection, with a reason in the log,
 * and nothing else.
 *
 * docs/kafka.md says what is served, docs/internals/kafka.md how. */
#ifndef WEIR_KAFKA_SERVER_H
#define WEIR_KAFKA_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "log/log.h"
#include "net/loop.h"

enum {
    KAFKA_FRAME_MAX_BYTES = 100 << 20,     /* a produce request: Kafka's socket.request.max.bytes */
    KAFKA_OTHER_FRAME_MAX_BYTES = 4 << 20, /* any other request */
    KAFKA_STRANGER_FRAME_MAX_BYTES = 64 << 10, /* before a connection that must authenticate has */
    KAFKA_HELD_MAX_BYTES =
        512 << 20, /* frames of one loop together; above, the connection that grows is closed */
    KAFKA_PIPELINE_MAX =
        16, /* produce requests of a connection that wait for the log; then reading stops */
    KAFKA_CONNECTIONS_MAX = 10000, /* of one loop; the rest waits in the kernel's backlog */
    KAFKA_FETCH_WAIT_MAX_MS = 60000,
    KAFKA_IDLE_MS = 600000, /* a connection that says nothing, as Kafka's connections.max.idle.ms */
    KAFKA_BLOCKED_MS = 60000, /* a reader that takes nothing while output waits */
};

struct kafka_server;
struct tls_context;

/* Who a connection speaks for. */
struct kafka_principal {
    bool known;
    bool admin; /* may read weir.*, too */
};

struct kafka_options {
    struct str host;
    uint16_t port; /* 0: any free one */
    struct log *log;
    uint8_t cluster_id[16]; /* a UUID that stays with the data folder */
    struct log_topic_config
        topic_defaults;      /* of topics that are made by use; partitions: how many these get */
    struct tls_context *tls; /* NULL: plain text */
    /* Is this name's key that? Any loop's thread; must not wait. */
    bool (*authenticate)(void *arg, struct str name, struct str key,
                         struct kafka_principal *ret_principal);
    /* One event as key=value text: "event=kafka_closed peer=… reason=…". Any thread. */
    void (*report)(void *arg, bool is_error, struct str text);
    void *arg;
};

/* Listen, and serve from now on. *detail then holds a sentence for people. The loops and the log
 * outlive the server. */
MUST_CHECK enum err kafka_server_open(struct loop *const *loops, size_t loop_count,
                                      const struct kafka_options *options, struct buf *detail,
                                      struct kafka_server **ret_server);
uint16_t kafka_server_port(const struct kafka_server *server);
/* Stop listening, and close each connection once what it has asked is answered. Any thread. */
void kafka_server_drain(struct kafka_server *server);
/* When the loops run no more. NULL is fine. */
void kafka_server_free(struct kafka_server *server);

struct kafka_stats {
    uint64_t connections;       /* now */
    uint64_t connections_total; /* so far, as all that follow */
    uint64_t requests;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t closed_for_cause; /* malformed, oversized, not authenticated, too slow */
};

void kafka_server_stats(const struct kafka_server *server, struct kafka_stats *ret_stats);

struct kafka_lag {
    struct str group;
    struct str topic;
    int32_t partition;
    int64_t committed;
    int64_t behind; /* records up to the end */
};

typedef void kafka_lag_fn(void *arg, const struct kafka_lag *lag);

/* Every partition that a group has committed for. The strings live during the call. Any thread. */
void kafka_server_lag(const struct kafka_server *server, kafka_lag_fn *each, void *arg);

struct kafka_group {
    struct str id;
    const char *state; /* Kafka's name */
    struct str protocol;
    size_t members;
};

/* Every group. The strings live during the call. Any thread. */
void kafka_server_groups(const struct kafka_server *server,
                         void (*each)(void *arg, const struct kafka_group *group), void *arg);
/* Where the group goes on reading; *ret_from: where it would have, -1: it had not committed.
 * ERR_NOT_FOUND: no such group; ERR_BUSY: it has members, whose place is theirs; errors of the log.
 * Waits for the disk: not on a loop. */
MUST_CHECK enum err kafka_server_group_move(struct kafka_server *server, struct str group,
                                            struct str topic, int32_t partition, int64_t offset,
                                            int64_t *ret_from);

#endif
