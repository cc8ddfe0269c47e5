/* One request at a time, waited for: HTTP for commands. Runs a private loop on the calling thread,
 * so never from inside a loop's callback. */
#ifndef WEIR_NET_HTTP_SIMPLE_H
#define WEIR_NET_HTTP_SIMPLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "net/http.h"
#include "net/http_client.h"

struct http_simple_request {
    struct str url;    /* http:// or https://; its user information is not sent */
    struct str path;   /* not empty: instead of the URL's own path */
    struct str method; /* empty: GET, or POST when there is a body */
    const struct http_header *headers;
    size_t header_count;
    struct str body;
    struct str ca_file; /* PEM; empty: the system's certificates */
    struct http_timeouts timeouts;
    bool public_only;      /* for what a caller can influence (net/guard.h): ERR_ACCESS, no proxy */
    size_t body_bytes_max; /* collected; 0: HTTP_SIMPLE_BODY_MAX */
    bool no_proxy;         /* else HTTP_PROXY and the like are heeded */

    /* The head as it comes; may be NULL. */
    void (*on_head)(const struct http_response *response, void *arg);
    /* Called with each piece of the body as it comes, instead of collecting it; returning false
     * ends the request, successfully. NULL: collect. */
    bool (*on_body)(int status, struct str bytes, void *arg);
    void *arg;
};

struct http_simple_response {
    int status;
    struct buf content_type;
    struct buf body; /* collected, HTTP_SIMPLE_BODY_MAX at most: ERR_TOO_LARGE */
};

#define HTTP_SIMPLE_BODY_MAX ((size_t)256 << 20)

/* Any status is success. Otherwise detail gets one line for people ("cannot connect to …"). The
 * response is to be released after success. */
MUST_CHECK enum err http_simple_fetch(const struct http_simple_request *request, struct buf *detail,
                                      struct http_simple_response *ret_response);
void http_simple_release(struct http_simple_response *response);

#endif
