/* The server's insides: one half for each loop, its connections, their exchanges.
 *
 *   http_server ── server_half (loop 0) ── http_conn ── exchange (while there is a request)
 *              └── server_half (loop 1) ── http_conn …
 *
 * http_server.c: halves, accepting, draining.  http_conn.c: reading requests, ending exchanges.
 * http_respond.c: writing responses.
 *
 * 1. A connection has an exchange from a request's first byte until its response has left (or the
 *    connection broke) and the handler is done with it. An idle connection holds no other memory.
 * 2. A connection is freed when its stream is closed and it has no exchange. */
#ifndef WEIR_NET_HTTP_SERVER_INT_H
#define WEIR_NET_HTTP_SERVER_INT_H

#include <netinet/in.h>
#include <stdatomic.h>

#include "net/address.h"
#include "net/http_parse_int.h"
#include "net/http_server.h"
#include "net/stream.h"

struct server_half;

struct exchange {
    struct http_exchange x; /* first: the two are cast into one another */
    struct arena arena;
    struct http_head head;
    struct buf body;
    struct exchange *next_free;

    int64_t body_left; /* of the response; -1: chunked */
    bool announced;    /* on_headers was called */
    bool complete;     /* the request is read */
    bool ignore_body;  /* answered before it came */
    bool deaf;         /* the rest of the request is not listened to */
    bool owned;        /* by the handler: see http_server.h, 3 */
    bool responded;    /* the response's head is written */
    bool no_body;      /* HEAD, 204, 304: body bytes are counted and dropped */
    bool chunked;      /* the response's framing */
    bool ended;        /* the handler is done */
    bool aborted;
    bool expects; /* Expect: 100-continue */
};

struct http_conn {
    struct stream stream; /* first */
    struct server_half *half;
    struct http_conn *next, **link;
    struct exchange *ex;
    struct http_parser parser;
    struct loop_timer timer;       /* idle, head, body, lingering: what the state says */
    struct loop_timer write_timer; /* output is blocked */
    uint64_t write_mark;           /* stream_taken when write_timer was started */
    struct loop_task advance;
    bool advance_queued;
    struct buf stash; /* read ahead of the request being handled */
    uint64_t stash_us;
    union net_address peer;
    bool is_loopback;
    bool keep_alive; /* after the current response */
    bool overflow;   /* the handler wrote past pending_bytes_max */
    bool lingering;  /* the response is out; what the client still sends is thrown away */
    uint64_t linger_bytes;
    uint64_t output_counted; /* of stream_taken, in the server's counters */
    bool eof;                /* the client has closed its half */
    bool closed;
};

struct server_counters {
    _Atomic uint64_t connections, connections_total, exchanges, exchanges_total;
    _Atomic uint64_t bad_requests, gone, bytes_in, bytes_out;
};

struct server_half {
    struct http_server *server;
    struct loop *loop;
    struct http_handler handler;
    struct http_limits limits;
    struct tls_context *tls;
    struct http_conn *conns;
    uint32_t conn_count;
    struct exchange *free; /* EXCHANGES_KEPT_MAX at most */
    uint32_t free_count;
    size_t body_bytes; /* in all exchanges' bodies */
    struct server_counters counters;
    uint64_t date_s; /* second that date is for */
    char date[40];   /* "Date: …\r\n" */

    uv_tcp_t listener;
    int fd; /* bound, before the loop has taken it over; -1 after */
    bool listening;
    bool listener_open;  /* until libuv has closed it */
    bool accept_waiting; /* connections_max was reached with a connection at the door */
    bool draining;
    bool drained;
    struct loop_task attach, swap_tls, drain;
    struct tls_context *_Atomic new_tls;
    struct loop_timer drain_timer;
    uint64_t grace_ms; /* draining: what was promised to be kept is kept idle so long */
    bool drain_broke;  /* the deadline has passed */
};

/* One writer a counter, so no locked instruction is needed. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* ---- http_conn.c ---- */

/* A connection on half, not started. */
struct http_conn *http_conn_new(struct server_half *half);
/* The same over memory, for tests and fuzzers: stream_feed(&conn->stream, …), answers in out. */
struct http_conn *http_conn_new_memory(struct server_half *half, struct buf *out);
/* Begin to read. */
void http_conn_start(struct http_conn *c);
/* Close a connection that has no exchange; tell the handler of one that has. */
void http_conn_break(struct http_conn *c);
/* End what is left, whoever owns it; used when the server is freed. */
void http_conn_destroy(struct http_conn *c);
/* Look at the connection again in this turn: something ended. */
void http_conn_advance_later(struct http_conn *c);
void exchange_free(struct exchange *ex);

/* ---- http_server.c ---- */

/* A connection's memory is gone: another may be accepted, draining may be over. */
void server_half_conn_gone(struct server_half *half);
/* A server without a socket, for tests; connections come from http_conn_new_memory. */
struct http_server *http_server_new_memory(struct loop *loop, const struct http_limits *limits,
                                           const struct http_handler *handler);
struct server_half *http_server_half(struct http_server *server, size_t index);

/* ---- http_respond.c ---- */

/* Refuse a request that the server itself finds wrong: an error in JSON, then the connection
 * closes. */
void http_respond_refusal(struct http_exchange *x, int status, const char *code,
                          struct str message);

#endif
