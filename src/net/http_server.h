/* HTTP/1.0 and 1.1 server over one or many loops.
 *
 *   connection: idle ─> head ─> on_headers ─> body ─> on_request ─> response ─> on_done ─> idle …
 *
 * 1. A connection lives and dies on one loop; all callbacks of its exchanges come on that thread.
 * 2. One exchange at a time for a connection: a pipelined request waits until the one before is
 * over.
 * 3. on_headers and on_request come at most once each. From on_request on, or from
 * http_respond_head in on_headers on, the handler owns the exchange until it calls http_respond,
 * http_respond_with, http_respond_end or http_abort, exactly one of them, once: inside the
 * callback, or any time later. Before that the server ends it by itself when the request goes
 * wrong.
 * 4. on_done comes exactly once for each exchange whose on_headers was called, last of all; after
 * it the exchange's memory is used for something else. Never from inside a http_respond… call.
 * 5. A client that leaves (its half of the connection closed counts as leaving) or breaks is told
 * by on_gone, whatever the exchange waits for, unless the exchange was ended already. What is
 *    written afterwards is dropped; the handler still ends the exchange as in 3.
 * 6. Output written during one turn of the loop leaves in one write at the turn's end. */
#ifndef WEIR_NET_HTTP_SERVER_H
#define WEIR_NET_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls.h"

struct http_server;
struct http_conn;

struct http_exchange {
    /* The request; valid until on_done. */
    struct str method; /* "POST" */
    struct str target; /* as sent: "/v1/models?limit=2" */
    struct str path;   /* before '?', not decoded */
    struct str query;  /* after '?', not decoded; ptr NULL when there is no '?' */
    struct http_headers headers;
    struct str body;        /* whole; from on_request on */
    size_t body_bytes_max;  /* on_headers may lower it */
    int64_t content_length; /* as announced; -1: chunked */
    uint8_t minor;          /* HTTP/1.minor */
    bool is_loopback;       /* the client's address is the machine's own */
    bool is_tls;
    bool gone; /* see 5. */
    struct loop *loop;
    uint64_t start_us; /* when the request's first byte came; os_now_us clock */
    /* Memory until on_done. Its size is the handler's business. */
    struct arena *arena;

    /* The handler's; zero when on_headers comes. */
    void *user;
    /* Buffered output fell to limits.pending_low_bytes after having been above it. */
    void (*on_drain)(struct http_exchange *x);
    void (*on_gone)(struct http_exchange *x);
    void (*on_done)(struct http_exchange *x);

    struct http_conn *conn; /* private */
};

struct http_handler {
    /* The head is complete, the body not read yet. The handler may respond here (401, 404, 413…):
     * the body is then never asked for, and on_request does not come. NULL: nothing to say. */
    void (*on_headers)(struct http_exchange *x, void *arg);
    /* The request is complete. */
    void (*on_request)(struct http_exchange *x, void *arg);
    void *arg;
};

struct http_server_options {
    struct str host; /* "127.0.0.1", "::1", "0.0.0.0", "localhost"; numeric or resolvable at once */
    uint16_t port;   /* 0: the kernel chooses one, the same for every loop */
    struct http_limits limits;
    struct http_handler handler;
    struct tls_context *tls; /* NULL: plain. A reference is taken. */
};

/* Listen on all loops, each with its own socket (SO_REUSEPORT). Before the loops run or while they
 * do. Errors: ERR_INVALID (host), ERR_IN_USE, ERR_ACCESS, ERR_DNS…; detail (may be NULL) gets one
 * line. The loops must outlive the server. */
MUST_CHECK enum err http_server_open(struct loop *const *loops, size_t loop_count,
                                     const struct http_server_options *options, struct buf *detail,
                                     struct http_server **ret_server);
/* The port really bound. Any thread. */
uint16_t http_server_port(const struct http_server *server);
/* New connections get these settings; open ones keep theirs. Any thread. Not NULL, and only for a
 * server opened with TLS. */
void http_server_set_tls(struct http_server *server, struct tls_context *tls);
/* Stop: the listening sockets close at once, idle connections too, others after their exchange with
 * `Connection: close`. When all are gone, or after deadline_ms the rest is broken, on_drained is
 * called once, on the first loop's thread. Any thread; once. */
void http_server_drain(struct http_server *server, uint64_t deadline_ms,
                       void (*on_drained)(void *arg), void *arg);
/* The same for a server whose sockets another process listens on too: idle connections are kept for
 * grace_ms, because their clients may be sending; what they ask is answered, with `Connection:
 * close`. */
void http_server_hand_over(struct http_server *server, uint64_t grace_ms, uint64_t deadline_ms,
                           void (*on_drained)(void *arg), void *arg);
bool http_server_draining(const struct http_server *server);
/* Close what is left and free everything. Only while the loops do not run (they must exist still).
 * NULL is fine. */
void http_server_free(struct http_server *server);

/* Counters over all loops; any thread. */
struct http_server_stats {
    uint64_t connections;       /* open now */
    uint64_t connections_total; /* accepted */
    uint64_t exchanges;         /* open now */
    uint64_t exchanges_total;
    uint64_t bad_requests; /* refused by the server itself: 4xx, 501, 503, 505 */
    uint64_t gone;         /* clients that left before their response was whole */
    uint64_t bytes_in, bytes_out;
};

void http_server_stats(const struct http_server *server, struct http_server_stats *ret_stats);

/* ---- Responding; only by the loop's thread ---- */

#define HTTP_CHUNKED ((int64_t)-1)

/* Begin. content_length: bytes to come, or HTTP_CHUNKED. Framing fields (Connection,
 * Content-Length, Transfer-Encoding, Keep-Alive…) among headers are left out, the server writes its
 * own; so are fields that http_header_valid refuses. Date is added when absent. A client of
 * HTTP/1.0 gets a chunked body plain, ended by the connection's close. */
void http_respond_head(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t header_count, int64_t content_length);
/* Bytes are copied. A write that finds more than limits.pending_bytes_max waiting breaks the
 * connection (on_gone): hold the source back before, see http_pending_bytes. Dropped for HEAD. */
void http_respond_body(struct http_exchange *x, struct str bytes);
/* End. A body shorter than announced breaks the connection. */
void http_respond_end(struct http_exchange *x);
/* All at once. Content-Type is left out when empty. */
void http_respond(struct http_exchange *x, int status, struct str content_type, struct str body);
/* The same with more fields. */
void http_respond_with(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t header_count, struct str body);
/* Close without ending the body, so that the client sees it cut. Ends the exchange. What was
 * written before still leaves, if the client takes it at once. */
void http_abort(struct http_exchange *x);

/* Output that the kernel has not taken yet. Above limits.pending_low_bytes, a source should pause;
 * on_drain tells when to go on. */
size_t http_pending_bytes(const struct http_exchange *x);
/* Has http_respond_head been called? */
bool http_responded(const struct http_exchange *x);
/* "127.0.0.1:53122" of the client; valid until on_done. */
struct str http_peer(struct http_exchange *x);

#endif
