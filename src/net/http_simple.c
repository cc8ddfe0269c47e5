#include "net/http_simple.h"

#include "net/loop.h"
#include "net/tls.h"

enum { CONTENT_TYPE_MAX = 256 };

struct run {
    const struct http_simple_request *request;
    struct http_simple_response response;
    struct loop *loop;
    struct http_client *client;
    struct http_origin *origin;
    struct tls_context *tls;
    struct buf *detail;
    enum err error;
};

static void over(struct run *run, enum err error, struct str detail)
{
    run->error = error;
    buf_append_str(run->detail, detail);
    loop_stop(run->loop);
}

static void on_head(struct http_fetch *fetch, const struct http_response *response, void *arg)
{
    struct run *run = arg;
    (void)fetch;
    run->response.status = response->status;
    buf_append_str(&run->response.content_type,
                   http_headers_get(&response->headers, STR("content-type")));
    if (run->request->on_head)
        run->request->on_head(response, run->request->arg);
}

static void on_body(struct http_fetch *fetch, struct str bytes, void *arg)
{
    struct run *run = arg;
    const struct http_simple_request *request = run->request;
    if (!request->on_body)
        buf_append_str(&run->response.body, bytes);
    else if (!request->on_body(run->response.status, bytes, request->arg)) {
        http_fetch_cancel(fetch);
        over(run, ERR_OK, STR_NONE);
        return;
    }
    if (run->response.body.error != ERR_OK) {
        http_fetch_cancel(fetch);
        over(run, ERR_TOO_LARGE, STR("the answer is larger than its limit"));
    }
}

static void on_end(struct http_fetch *fetch, void *arg)
{
    (void)fetch;
    over(arg, ERR_OK, STR_NONE);
}

static void on_fail(struct http_fetch *fetch, const struct http_failure *failure, void *arg)
{
    (void)fetch;
    over(arg, failure->error, failure->detail);
}

static const struct http_fetch_events events = {NULL, on_head, on_body, on_end, on_fail};

static enum err open_origin(struct run *run, const struct http_url *url)
{
    struct http_proxy_options proxy;
    struct http_origin_options options = {.tls = url->tls,
                                          .host = url->host,
                                          .port = url->port,
                                          .public_only = run->request->public_only};
    const struct tls_client_options trust = {.ca_file = run->request->ca_file};
    http_proxy_from_env(&proxy);
    if (url->tls && trust.ca_file.len > 0)
        TRY(tls_client_context_new(&trust, run->detail, &run->tls));
    options.tls_context = run->tls;
    TRY(http_client_new(run->loop, run->request->no_proxy ? NULL : &proxy, run->detail,
                        &run->client));
    enum err e = http_origin_open(run->client, &options, &run->origin);
    if (e != ERR_OK)
        buf_append_str(run->detail, STR("the URL's host is not a name or an address"));
    return e;
}

static enum err fetch(struct run *run, const struct http_url *url)
{
    const struct http_simple_request *r = run->request;
    struct http_fetch *fetch = NULL;
    const struct http_request request = {
        .origin = run->origin,
        .method = r->method.len > 0 ? r->method
                  : r->body.len > 0 ? STR("POST")
                                    : STR("GET"),
        .path = r->path.len > 0 ? r->path : url->path,
        .headers = r->headers,
        .header_count = r->header_count,
        .body = &r->body,
        .body_count = 1,
        .timeouts = r->timeouts,
    };
    enum err e = http_client_start(run->client, &request, &events, run, &fetch);
    if (e != ERR_OK) {
        buf_append_str(run->detail, STR("the path or a header cannot be sent"));
        return e;
    }
    loop_run(run->loop);
    return run->error;
}

enum err http_simple_fetch(const struct http_simple_request *request, struct buf *detail,
                           struct http_simple_response *ret_response)
{
    struct http_url url;
    const char *mistake = NULL;
    struct run run = {.request = request, .detail = detail};
    buf_init(&run.response.body,
             request->body_bytes_max ? request->body_bytes_max : HTTP_SIMPLE_BODY_MAX);
    buf_init(&run.response.content_type, CONTENT_TYPE_MAX);
    if (http_url_parse(request->url, &url, &mistake) != ERR_OK) {
        buf_printf(detail, "the URL is not valid: %s", mistake);
        return ERR_INVALID;
    }
    TRY(loop_new(&run.loop));
    enum err e = open_origin(&run, &url);
    if (e == ERR_OK)
        e = fetch(&run, &url);
    if (run.origin)
        http_origin_close(run.origin);
    http_client_free(run.client);
    loop_run_until_idle(run.loop);
    loop_free(run.loop);
    tls_context_unref(run.tls);
    if (e != ERR_OK) {
        http_simple_release(&run.response);
        return e;
    }
    *ret_response = run.response;
    return ERR_OK;
}

void http_simple_release(struct http_simple_response *response)
{
    buf_release(&response->body);
    buf_release(&response->content_type);
}
