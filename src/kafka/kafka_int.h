/* The server's insides.
 *
 *   kafka_server ── kafka_half (loop 0) ── kafka_conn ── kafka_request, kafka_request …   in the
 * order they came └── kafka_half (loop 1) ── …
 *
 * server.c: halves, accepting, draining.   conn.c: bytes in, frames, answers in their order.
 * request.c: a request's life and dispatch.   The rest: one file for each group of requests; a
 * handler is kafka_on_<api>().
 *
 *  1. A half, its connections and their requests belong to one loop's thread. Other threads reach a
 * request only through kafka_half.appended (appends that are done) and loop_post of a request's
 * `woken`.
 *  2. A handler ends with exactly one kafka_reply or kafka_reply_nothing, in the call or later on
 * the loop's thread.
 *  3. A request outlives its connection's socket if it is still running; `gone` tells it early, if
 * it asked.
 *  4. A connection is freed when its stream is closed and it has no request. */
#ifndef WEIR_KAFKA_KAFKA_INT_H
#define WEIR_KAFKA_KAFKA_INT_H

#include <netinet/in.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "kafka/append.h"
#include "kafka/errors.h"
#include "kafka/groups.h"
#include "kafka/messages.h"
#include "kafka/server.h"
#include "kafka/txns.h"
#include "net/loop.h"
#include "net/stream.h"
#include "os/thread.h"

enum {
    KAFKA_NODE_ID = 1,      /* the one broker */
    KAFKA_ADDRESS_MAX = 64, /* text of an IP address */
    KAFKA_CLUSTER_ID_BYTES = 22,
    KAFKA_RESPONSE_MAX_BYTES = 256 << 20,
};

struct kafka_half;
struct kafka_conn;

/* A piece of a response that stays in a file: behind out.len == at of its request. */
struct kafka_piece {
    size_t at;
    struct log_range range;
};

struct kafka_request {
    struct kafka_conn *conn;
    struct kafka_request *next;
    const struct kafka_api *api;
    struct kafka_header header;
    struct buf frame;   /* the request's bytes; what was read are views into it */
    struct arena arena; /* ends with the request */
    const void *body;   /* struct kafka_<api>_request */
    struct buf out;     /* the response */
    struct kafka_piece *pieces;
    uint32_t piece_count;
    bool answered;
    bool silent; /* answered by nothing */
    void *state; /* the handler's */
    /* The connection is gone: let what can wait long end, by kafka_reply_nothing. NULL: it ends
     * soon. */
    void (*gone)(struct kafka_request *r);
    struct loop_task woken; /* the handler's, for other threads to post */
};

struct kafka_conn {
    struct stream stream; /* first */
    struct kafka_half *half;
    struct kafka_conn *next, **link;
    struct buf in;                       /* bytes of frames that were not begun */
    struct kafka_request *first, **last; /* begun, not sent */
    unsigned request_count;
    struct kafka_request *sent; /* its pieces are on their way; freed when all output has left */
    struct loop_task advance;
    bool advance_queued;
    struct loop_timer timer; /* idle, or output that is blocked */
    uint64_t write_mark;     /* of stream_taken, when the timer was started */
    uint64_t idle_since_us;  /* its last request began */
    char peer[KAFKA_ADDRESS_MAX + 8];
    char peer_host[KAFKA_ADDRESS_MAX]; /* "/127.0.0.1", as Kafka shows it in groups */
    char
        host[KAFKA_ADDRESS_MAX]; /* ours, as the client reached it: what it is told to connect to */
    bool is_loopback;
    bool must_authenticate;
    struct kafka_principal principal;
    bool sasl_chosen; /* SaslHandshake has named PLAIN */
    bool ending;      /* closes when everything is answered and sent */
    bool closed;
    uint64_t output_counted;
};

struct kafka_half {
    struct kafka_server *server;
    struct loop *loop;
    struct kafka_conn *conns;
    uint32_t conn_count;
    struct kafka_request *free; /* REQUESTS_KEPT_MAX at most */
    uint32_t free_count;
    size_t held_bytes; /* of frames */
    uv_tcp_t listener;
    int fd; /* until the loop has taken it over; -1 after */
    bool listening, listener_open, accept_waiting, draining;
    struct loop_task attach, drain;
    struct loop_timer tick; /* of the first half: the groups' */
    bool working;           /* a worker's thread writes offsets anew */

    struct loop_task commit; /* at the end of the turn: write what was appended */
    bool commit_queued;
    struct os_mutex appended_lock; /* a leaf */
    struct log_append *appended, **appended_last;
    struct loop_task appended_task;

    _Atomic uint64_t connections, connections_total, requests, bytes_in, bytes_out,
        closed_for_cause;
};

struct kafka_server {
    struct kafka_options options;
    struct log *log;
    struct groups *groups;
    struct txns *txns;
    uint16_t port;
    char cluster_id[KAFKA_CLUSTER_ID_BYTES + 1];
    size_t half_count;
    struct kafka_half halves[];
};

static inline void kafka_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* ---- server.c ---- */

/* Without a socket, for tests; connections come from kafka_conn_new_memory. */
struct kafka_server *kafka_server_alloc(struct loop *const *loops, size_t count,
                                        const struct kafka_options *options);
void kafka_half_conn_gone(struct kafka_half *half);
/* Have log_commit called at the end of this turn. */
void kafka_commit_later(struct kafka_half *half);
/* An append of this half: then() is called on its loop's thread when it is done. */
void kafka_append_init(struct kafka_append *a, struct kafka_half *half,
                       void (*then)(struct kafka_append *a));

/* ---- conn.c ---- */

struct kafka_conn *kafka_conn_new(struct kafka_half *half);
/* The same over memory, for tests and fuzzers: answers in out. */
struct kafka_conn *kafka_conn_new_memory(struct kafka_half *half, struct buf *out);
void kafka_conn_start(struct kafka_conn *c);
/* Close at once. */
void kafka_conn_close(struct kafka_conn *c);
/* The same for a reason that is reported. */
void kafka_conn_break(struct kafka_conn *c, const char *reason);
/* Close when what was asked is answered. */
void kafka_conn_end(struct kafka_conn *c);
/* Look at the connection again in this turn. */
void kafka_conn_advance_later(struct kafka_conn *c);

/* ---- request.c ---- */

/* Take a frame's bytes (behind its length), read it and run its handler. Not ERR_OK: the connection
 * is to be closed for *ret_reason; the request is freed. */
MUST_CHECK enum err kafka_request_begin(struct kafka_conn *c, struct buf *frame,
                                        struct buf *reason);
void kafka_request_free(struct kafka_request *r);
struct kafka_half *kafka_request_half(const struct kafka_request *r);
struct log *kafka_request_log(const struct kafka_request *r);
/* Answer with a struct kafka_<api>_response. */
void kafka_reply(struct kafka_request *r, const void *response);
/* The same in another version than the request's: ApiVersions, which must be understood by all. */
void kafka_reply_in(struct kafka_request *r, int16_t version, const void *response);
void kafka_reply_nothing(struct kafka_request *r);
/* Run on a thread that may wait, then on the loop's. */
void kafka_request_work(struct kafka_request *r, void (*run)(void *request),
                        void (*done)(void *request));
/* May the request's principal see or, with change, alter this topic? */
bool kafka_may(const struct kafka_request *r, struct str topic, bool change);
/* One that Weir keeps groups and transactions on, as Kafka does: only Weir writes it. */
bool kafka_topic_is_internal(struct str name);
/* The partition that a request names, if its principal may read it. leader_epoch: the client's idea
 * of it, -1: none. Returns an error code of the protocol. */
int16_t kafka_part_find(const struct kafka_request *r, struct str topic, int32_t partition,
                        int32_t leader_epoch, struct log_part **ret_part);
/* Is there a handler? What has none is not named by ApiVersions. */
bool kafka_api_served(const struct kafka_api *api);

/* ---- configs.c ---- */

struct kafka_setting;

/* Put a setting into *config. Returns an error code of the protocol, with a sentence in *message.
 */
int16_t kafka_setting_take(struct kafka_request *r, struct str name, struct str value,
                           struct log_topic_config *config, struct str *message);
/* Where the protocol says that this value comes from. */
int8_t kafka_setting_source(const struct kafka_setting *s, struct str value);

/* ---- Handlers ---- */

typedef void kafka_handler(struct kafka_request *r);

kafka_handler kafka_on_api_versions;
kafka_handler kafka_on_metadata;
kafka_handler kafka_on_produce;
kafka_handler kafka_on_fetch;
kafka_handler kafka_on_list_offsets;
kafka_handler kafka_on_create_topics;
kafka_handler kafka_on_delete_topics;
kafka_handler kafka_on_delete_records;
kafka_handler kafka_on_create_partitions;
kafka_handler kafka_on_describe_configs;
kafka_handler kafka_on_alter_configs;
kafka_handler kafka_on_incremental_alter_configs;
kafka_handler kafka_on_describe_cluster;
kafka_handler kafka_on_find_coordinator;
kafka_handler kafka_on_offset_for_leader_epoch;
kafka_handler kafka_on_join_group;
kafka_handler kafka_on_sync_group;
kafka_handler kafka_on_heartbeat;
kafka_handler kafka_on_leave_group;
kafka_handler kafka_on_describe_groups;
kafka_handler kafka_on_list_groups;
kafka_handler kafka_on_delete_groups;
kafka_handler kafka_on_offset_commit;
kafka_handler kafka_on_offset_fetch;
kafka_handler kafka_on_offset_delete;
kafka_handler kafka_on_init_producer_id;
kafka_handler kafka_on_add_partitions_to_txn;
kafka_handler kafka_on_add_offsets_to_txn;
kafka_handler kafka_on_end_txn;
kafka_handler kafka_on_txn_offset_commit;
kafka_handler kafka_on_describe_producers;
kafka_handler kafka_on_describe_transactions;
kafka_handler kafka_on_list_transactions;
kafka_handler kafka_on_sasl_handshake;
kafka_handler kafka_on_sasl_authenticate;

#endif
