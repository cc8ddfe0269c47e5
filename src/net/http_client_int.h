/* The client's insides.
 *
 *   http_client ── http_origin ── client_conn (kept, or with a fetch)
 *                     └── fetches: waiting ─> dialing ─> on a connection
 *
 * http_client.c: fetches, their timers and their ends.  http_origin.c: origins, which connection
 * serves whom.  http_dial.c: from a name to a usable connection.  http_client_conn.c: requests out,
 * responses in.  http_proxy.c: which proxy, if any.
 *
 * 1. A fetch is in exactly one place: the origin's waiting list, dialing, or on a connection; or it
 *    is over.
 * 2. origin->open counts connections and dialings together, and never exceeds connections_max.
 * 3. A connection without a fetch is kept (idle) or closing. */
#ifndef WEIR_NET_HTTP_CLIENT_INT_H
#define WEIR_NET_HTTP_CLIENT_INT_H

#include <netdb.h>
#include <uv.h>

#include "net/http_client.h"
#include "net/http_parse_int.h"
#include "net/stream.h"

struct client_conn;

/* A proxy as configured. */
struct http_proxy {
    bool used;
    struct str host; /* owned by client->proxy_text */
    uint16_t port;
    struct str authorization; /* value of Proxy-Authorization; a secret; empty: none */
};

/* A response's head; only connections that are reading one have it. */
struct client_head {
    struct http_head head; /* first */
    struct client_head *next;
};

struct http_client {
    struct loop *loop;
    struct http_proxy http_proxy, https_proxy;
    struct str no_proxy;
    struct buf proxy_text;   /* what the slices above point into */
    struct tls_context *tls; /* the system's certificates; made at first use */
    struct http_origin *origins;
    struct http_fetch *free; /* FETCHES_KEPT_MAX at most */
    uint32_t free_count;
    struct client_head *heads; /* free ones, HEADS_KEPT_MAX at most */
    uint32_t head_count;
    bool dying; /* freed when the last origin is */
    bool busy;  /* being ended: not yet */
};

struct http_origin {
    struct http_client *client;
    struct http_origin *next;
    struct http_origin_options options;
    char *host;                     /* NUL-terminated; options.host points here */
    struct buf authority;           /* for Host: "name", "name:port", "[::1]:port" */
    const struct http_proxy *proxy; /* NULL: direct */
    void *session;                  /* SSL_SESSION to resume, or NULL */
    uint32_t refs;                  /* opens */
    uint32_t open;                  /* see 2. */
    uint32_t idle_count;
    uint32_t waiting_count;
    struct client_conn *conns;
    struct client_conn *idle;   /* latest used first */
    struct http_fetch *fetches; /* all that are not over */
    struct http_fetch *waiting, **waiting_tail;
    uint64_t connects_total, reused_total;
};

/* On its way to a connection. */
struct dial {
    uv_getaddrinfo_t *lookup;    /* running; NULL: not */
    struct addrinfo *addresses;  /* freed with uv_freeaddrinfo */
    struct addrinfo *next;       /* to be tried */
    struct sockaddr_in6 numeric; /* when the host is an address */
    bool numeric_left;
    uint64_t deadline_us; /* 0: none */
};

struct http_fetch {
    struct http_client *client;
    struct http_origin *origin;
    const struct http_fetch_events *events;
    void *arg;
    struct http_fetch *next, **link;         /* in origin->waiting, or free */
    struct http_fetch *all_next, **all_link; /* in origin->fetches */
    struct client_conn *conn;
    struct dial dial;
    struct buf head; /* the request's, as it is sent */
    const struct str *body;
    size_t body_count;
    uint64_t body_bytes;
    struct http_timeouts timeouts;
    struct loop_timer timer; /* of the phase */
    struct loop_timer total_timer;
    struct loop_task task; /* what callbacks must not come from inside the caller's call */
    uint8_t steps;         /* FETCH_STEP_… that the task is to take */
    bool task_queued;      /* the memory stays until it ran */
    struct http_fetch_stats stats;
    uint64_t out_mark;  /* the connection's output before this request */
    uint64_t active_us; /* last progress, for the idle timeout */
    uint64_t progress;  /* stream_taken at that time, while sending */
    enum http_phase phase;
    bool is_head;
    bool idempotent;  /* may be sent twice */
    bool retry_stale; /* the caller says so */
    bool paused;
    bool informational; /* the message being read is a 1xx */
    bool dialing;       /* holds a slot of its origin, has no usable connection yet */
    bool over;
};

enum {
    FETCH_STEP_DIAL = 1,    /* begin to dial */
    FETCH_STEP_CONNECT = 2, /* tell on_connect */
    FETCH_STEP_RESUME = 4,  /* hand out what came while paused */
};

enum client_state {
    CLIENT_CONNECTING,
    CLIENT_PROXY, /* CONNECT sent */
    CLIENT_TLS,
    CLIENT_READY, /* idle or with a fetch */
};

struct client_conn {
    struct stream stream; /* first */
    struct http_origin *origin;
    struct client_conn *next, **link;
    struct client_conn *idle_next, **idle_link; /* idle_link NULL: not idle */
    struct http_fetch *fetch;
    enum client_state state;
    struct http_parser parser;
    struct http_head *head;  /* while a response's head is being read */
    struct loop_timer timer; /* one address's share of the connect timeout, then idleness */
    bool slot;               /* one of origin->open is ours */
    struct buf stash;        /* read while its fetch was paused */
    bool eof;                /* came while the fetch was paused */
};

/* ---- http_client.c ---- */

/* The response is complete: tell, and free the fetch. Its connection has let go of it. */
void http_fetch_finish(struct http_fetch *f);
/* Tell the failure, close the connection, free the fetch; or try once more when that is safe. */
void http_fetch_fail(struct http_fetch *f, enum err error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Have the fetch's task take a step in this turn of the loop. */
void http_fetch_step_later(struct http_fetch *f, uint8_t step);
/* The fetch has a connection: its request is being written. */
void http_fetch_sending(struct http_fetch *f);
/* The kernel does not take all of the request now. */
void http_fetch_blocked(struct http_fetch *f);
/* The request's last byte was taken by the kernel. */
void http_fetch_sent(struct http_fetch *f);
/* Bytes of the response came. */
void http_fetch_progress(struct http_fetch *f);
void http_client_free_if_over(struct http_client *client);

/* ---- http_origin.c ---- */

/* Give the fetch a kept connection, or a new one, or a place in the queue. ERR_BUSY. */
MUST_CHECK enum err http_origin_admit(struct http_origin *o, struct http_fetch *f);
void http_origin_forget_waiting(struct http_fetch *f);
/* A connection or dialing ended: somebody may be waiting for its place. */
void http_origin_release_slot(struct http_origin *o);
/* Fetch or connection gone: a closed origin may be freed. */
void http_origin_free_if_over(struct http_origin *o);
/* Close the kept connections. */
void http_origin_close_idle(struct http_origin *o);

/* ---- http_dial.c ---- */

/* Open a connection for f (a slot is taken already), from the loop's next task on. Ends in
 * client_conn_bind or http_fetch_fail. */
void http_dial_start(struct http_fetch *f);
/* FETCH_STEP_DIAL */
void http_dial_begin(struct http_fetch *f);
/* Forget names and addresses. */
void http_dial_clear(struct http_fetch *f);
/* The connection to this address failed: the next one, or the end. */
void http_dial_next(struct http_fetch *f, enum err error, struct str detail);

/* ---- http_client_conn.c ---- */

/* Connect to address; goes on through proxy and TLS, then binds f. */
void client_conn_open(struct http_fetch *f, const struct sockaddr *address, uint64_t share_ms);
/* Send f's request over a usable connection. */
void client_conn_bind(struct client_conn *c, struct http_fetch *f);
/* Close; its fetch, if any, has been taken off. Gives the slot back. */
void client_conn_close(struct client_conn *c);
/* The whole request has left. */
bool client_conn_sent(const struct client_conn *c);
/* Let a paused fetch go on. */
void client_conn_resume(struct client_conn *c);

/* ---- http_proxy.c ---- */

/* The proxy for an origin; NULL: direct. */
const struct http_proxy *http_proxy_for(const struct http_client *client, bool tls, struct str host,
                                        uint16_t port);
MUST_CHECK enum err http_proxy_load(struct http_client *client,
                                    const struct http_proxy_options *options, struct buf *detail);

#endif
