/* What HTTP's server and client have in common: headers, framing rules, limits. RFC 9110, 9112. */
#ifndef WEIR_NET_HTTP_H
#define WEIR_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct http_header {
    struct str name;  /* as it came; compare with str_eq_nocase */
    struct str value; /* without surrounding white space */
};

struct http_headers {
    const struct http_header *at;
    size_t count;
};

#define HTTP_HEADER(name_literal, value_str) ((struct http_header){STR(name_literal), (value_str)})

/* More fields than this in one message: 431 from the server, ERR_TOO_LARGE from the client. */
#define HTTP_HEADERS_MAX 256

/* Value of the first field of that name (any case); STR_NONE when there is none, and a non-NULL
 * pointer with length 0 when it is empty. */
struct str http_headers_get(const struct http_headers *headers, struct str name);
/* How many fields have that name. */
size_t http_headers_count(const struct http_headers *headers, struct str name);
/* Does a comma-separated field (any of that name) hold the token, any case? "Connection: close". */
bool http_headers_has_token(const struct http_headers *headers, struct str name, struct str token);

/* Copy the fields that may go on to the next hop into out (room for headers->count) and return how
 * many: without what Connection names (RFC 9110 §7.6.1) and without framing fields, see below.
 * Authorization stays: drop it where a caller's key must not go on. */
size_t http_headers_forwardable(const struct http_headers *headers, struct http_header *out);

/* Fields that concern two neighbours only, or that the writer of a message sets by itself:
 * Connection, Keep-Alive, Proxy-*, TE, Trailer, Transfer-Encoding, Upgrade, Content-Length, Host,
 * Expect. */
bool http_field_is_framing(struct str name);
/* A field that is safe to write: the name a token, the value without control characters but tab. */
bool http_header_valid(const struct http_header *header);
/* A method or field name (RFC 9110 §5.6.2). */
bool http_token_valid(struct str token);

/* "Not Found"; "Unknown" for statuses without a name. */
struct str http_status_reason(int status);

/* Limits of a server, each with what happens at it. http_limits_default() gives the contract's. */
struct http_limits {
    size_t head_bytes_max;      /* request line and fields together: 431 */
    size_t body_bytes_max;      /* request body: 413; a handler may lower it for one request */
    size_t bodies_bytes_max;    /* all request bodies that a loop holds at once: 503 */
    uint32_t head_timeout_ms;   /* from a request's first byte to its last header byte: 408 */
    uint32_t body_idle_ms;      /* between two pieces of a request body: 408 */
    uint32_t idle_timeout_ms;   /* a kept connection without a request: closed silently */
    uint32_t write_timeout_ms;  /* output waits and the client takes nothing: connection broken */
    size_t pending_bytes_max;   /* output buffered for one slow reader: see http_pending_bytes */
    size_t pending_low_bytes;   /* on_drain when the buffered output falls to this */
    size_t pipelined_bytes_max; /* read ahead while a request is handled: then reading stops */
    uint32_t connections_max;   /* of one loop: further ones wait in the kernel's backlog */
};

void http_limits_default(struct http_limits *ret_limits);

/* "http://host:port/path", "https://[::1]/": parts of an absolute URL; slices of the input. */
struct http_url {
    bool tls;
    struct str userinfo; /* "user:password", not decoded; empty when absent. A secret. */
    struct str host;     /* without brackets */
    uint16_t port;       /* 80 or 443 when absent */
    struct str path;     /* with query, from "/"; "/" when absent. A fragment is cut off. */
};

/* ERR_INVALID; ret_detail (may be NULL) then says what is wrong, without the URL. */
MUST_CHECK enum err http_url_parse(struct str text, struct http_url *ret_url,
                                   const char **ret_detail);

#endif
