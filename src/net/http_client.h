/* HTTP/1.1 client of one loop: origins with kept connections, streaming both ways of control.
 *
 *   http_client_start ─> [wait for a connection] ─> [DNS ─> connect ─> proxy ─> TLS] ─> send
 *        ─> on_head ─> on_body… ─> on_end          or on_fail, at any time
 *
 * 1. Everything happens on the client's loop. No callback comes from inside http_client_start,
 *    http_fetch_cancel, _pause or _resume.
 * 2. Exactly one of on_end and on_fail comes last, unless the fetch was cancelled. With it (when it
 *    returns), or with http_fetch_cancel, the fetch is gone and the caller's memory is its own
 * again.
 * 3. While a fetch is paused nothing but on_fail comes, and its connection is not read: what is
 *    buffered meanwhile is below HTTP_FETCH_PAUSED_BYTES_MAX; the kernel holds the sender back.
 * 4. Redirects are not followed, bodies not decompressed (Accept-Encoding: identity is sent unless
 *    the caller sets that field), informational responses (1xx) skipped.
 * 5. A body that ends early (length, chunk, TLS without close_notify) is a failure, never an end.
 */
#ifndef WEIR_NET_HTTP_CLIENT_H
#define WEIR_NET_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls.h"

#define HTTP_FETCH_PAUSED_BYTES_MAX ((size_t)128 << 10)
#define HTTP_FETCH_STALE_MS         2000

struct http_client;
struct http_origin;
struct http_fetch;

/* Proxies as in the environment: URLs ("http://user:pw@host:port", or just host:port), and for
 * no_proxy a comma-separated list of names (with their subdomains), addresses and "*". Empty: none.
 * Loopback addresses and "localhost" never use a proxy. */
struct http_proxy_options {
    struct str http_proxy;
    struct str https_proxy;
    struct str no_proxy;
};

/* HTTP_PROXY (only lower case where REQUEST_METHOD is set), HTTPS_PROXY, NO_PROXY, ALL_PROXY; lower
 * case wins. Slices of the environment. */
void http_proxy_from_env(struct http_proxy_options *ret_options);

/* proxy may be NULL (none); copied. ERR_INVALID: a proxy's URL does not parse; detail (may be NULL)
 * says which. */
MUST_CHECK enum err http_client_new(struct loop *loop, const struct http_proxy_options *proxy,
                                    struct buf *detail, struct http_client **ret_client);
/* Fails what is open with ERR_CANCELLED, closes all connections; origins are gone with it. The
 * sockets are closed by the loop's next turns: run it until idle before loop_free. NULL is fine. */
void http_client_free(struct http_client *client);

struct http_origin_options {
    bool tls;
    struct str host; /* name or address, without brackets */
    uint16_t port;
    struct tls_context *tls_context; /* NULL: the system's certificates. A reference is taken. */
    uint32_t connections_max;        /* at once; 0: HTTP_ORIGIN_CONNECTIONS. More fetches wait. */
    uint32_t waiting_max;            /* 0: HTTP_ORIGIN_WAITING; more: ERR_BUSY */
    uint32_t idle_timeout_ms; /* a kept connection without use is closed; 0: HTTP_ORIGIN_IDLE_MS */
    size_t head_bytes_max;    /* of a response; 0: 64 KiB; more is ERR_TOO_LARGE */
    /* For what a caller can influence: no proxy, which would resolve names itself, and no
     * connection when one of the name's addresses is not public (net/guard.h): ERR_ACCESS. */
    bool public_only;
};

#define HTTP_ORIGIN_CONNECTIONS 256
#define HTTP_ORIGIN_WAITING     1024
#define HTTP_ORIGIN_IDLE_MS     55000

/* The origin of these options; one that is open with equal options is shared, with its kept
 * connections (so a reload of the configuration drops none). ERR_INVALID (host). Each open is
 * closed once; running fetches go on, kept connections close with the last. */
MUST_CHECK enum err http_origin_open(struct http_client *client,
                                     const struct http_origin_options *options,
                                     struct http_origin **ret_origin);
void http_origin_close(struct http_origin *origin);

/* Milliseconds; 0: none. */
struct http_timeouts {
    uint32_t connect_ms;    /* from start to a usable connection: waiting, DNS, TCP, proxy, TLS */
    uint32_t first_byte_ms; /* from the request's last byte taken by the kernel to the response's
                               first */
    uint32_t idle_ms;       /* no progress while sending, or between two pieces of the response */
    uint64_t total_ms;      /* from start to end */
};

/* Headers are copied; the body's parts and their array belong to the caller and stay until the
 * fetch is over. Host, Content-Length, Connection and other framing fields among headers are left
 * out, the client writes its own. */
struct http_request {
    struct http_origin *origin;
    struct str method;
    struct str path; /* with query, from "/" */
    const struct http_header *headers;
    size_t header_count;
    const struct str *body; /* sent one after another, with Content-Length */
    size_t body_count;
    struct http_timeouts timeouts;
    /* A kept connection that turns out closed before any byte of the response is replaced by a
     * fresh one once (stats.resent), when the request is safe to send twice: nothing of it had
     * left, or its method is idempotent, or this is set and no more than HTTP_FETCH_STALE_MS have
     * passed since it began to leave, so that who closed hardly worked on it. Otherwise it is a
     * failure with `stale` set. */
    bool retry_stale;
};

enum http_phase {
    HTTP_PHASE_WAIT, /* for a connection of the origin to become free */
    HTTP_PHASE_DNS,
    HTTP_PHASE_CONNECT,
    HTTP_PHASE_PROXY,
    HTTP_PHASE_TLS,
    HTTP_PHASE_SEND,
    HTTP_PHASE_FIRST_BYTE,
    HTTP_PHASE_HEAD, /* the response's head has begun */
    HTTP_PHASE_BODY,
};

/* "dns", "connect"… */
const char *http_phase_name(enum http_phase phase);

struct http_failure {
    enum err error; /* TIMEOUT, DNS, CONNECT, TLS, RESET, TRUNCATED, PROTOCOL, TOO_LARGE, CANCELLED,
                       ACCESS (public_only) */
    enum http_phase phase;
    bool stale;        /* a kept connection, closed before any byte of the response came */
    bool sent;         /* at least one byte of the request was given to the kernel */
    struct str detail; /* one line for people, without secrets; valid during the call */
};

struct http_response {
    int status;
    struct http_headers headers; /* valid during on_head */
    int64_t content_length;      /* -1: not announced */
};

struct http_fetch_events {
    /* May be NULL. The connection is there, the request leaves. */
    void (*on_connect)(struct http_fetch *fetch, void *arg);
    void (*on_head)(struct http_fetch *fetch, const struct http_response *response, void *arg);
    /* A piece of the body as it came; valid during the call. */
    void (*on_body)(struct http_fetch *fetch, struct str bytes, void *arg);
    void (*on_end)(struct http_fetch *fetch, void *arg);
    void (*on_fail)(struct http_fetch *fetch, const struct http_failure *failure, void *arg);
};

/* events is not copied: static. ERR_INVALID (a header or path that cannot be sent), ERR_BUSY (the
 * origin's queue is full): then nothing started. */
MUST_CHECK enum err http_client_start(struct http_client *client,
                                      const struct http_request *request,
                                      const struct http_fetch_events *events, void *arg,
                                      struct http_fetch **ret_fetch);
/* Stop at once; the connection, if the request has one, is closed. From a callback too (not from
 * on_end and on_fail, where the fetch is over). */
void http_fetch_cancel(struct http_fetch *fetch);
/* See 3. Twice is once. From a callback too. */
void http_fetch_pause(struct http_fetch *fetch);
void http_fetch_resume(struct http_fetch *fetch);
bool http_fetch_paused(const struct http_fetch *fetch);

struct http_fetch_stats {
    uint64_t start_us;      /* os_now_us clock; 0 below: did not happen (yet) */
    uint64_t connect_us;    /* connection usable; about start_us for a kept one */
    uint64_t sent_us;       /* the request's last byte was given to the kernel */
    uint64_t first_byte_us; /* of the response's head */
    uint64_t bytes_out;     /* body bytes given to the kernel */
    uint64_t bytes_in;      /* body bytes received */
    bool reused;            /* a kept connection */
    bool resent;            /* the kept one was closed: the times are those of its replacement */
};

/* During any callback, and while the fetch lives. */
void http_fetch_stats(const struct http_fetch *fetch, struct http_fetch_stats *ret_stats);

/* Of an origin, for metrics and tests. */
struct http_origin_stats {
    uint32_t connections; /* open or opening */
    uint32_t idle;        /* of them kept without use */
    uint32_t waiting;     /* fetches */
    uint64_t connects_total;
    uint64_t reused_total;
};

void http_origin_stats(const struct http_origin *origin, struct http_origin_stats *ret_stats);

#endif
