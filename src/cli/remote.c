#include "cli/remote.h"

#include <stdlib.h>

#include "dialect/openai_error.h"
#include "net/http_client.h"
#include "net/loop.h"

enum {
    ANSWER_BYTES_MAX = 256 << 20,
    CONNECT_MS = 5000,
    HEADERS_MAX = 3,
};

struct ask {
    struct remote_answer *answer;
    void (*on_body)(void *arg, struct str bytes);
    void *arg;
    struct loop *loop;
    bool whole;
    struct buf failure;
};

void remote_init(struct remote *r)
{
    *r = (struct remote){.url = str_from_c(getenv("WEIR_URL")),
                         .key = str_from_c(getenv("WEIR_KEY"))};
    if (r->url.len == 0)
        r->url = STR(REMOTE_URL_DEFAULT);
}

static struct str keep_text(struct remote_answer *a, size_t *at, struct str text)
{
    if (text.len == 0 || text.len > sizeof a->head_text - *at)
        return STR_NONE;
    char *copy = a->head_text + *at;
    memcpy(copy, text.ptr, text.len);
    *at += text.len;
    return str_of(copy, text.len);
}

static void on_head(struct http_fetch *fetch, const struct http_response *response, void *arg)
{
    struct ask *ask = arg;
    size_t at = 0;
    (void)fetch;
    ask->answer->status = response->status;
    ask->answer->call_id =
        keep_text(ask->answer, &at, http_headers_get(&response->headers, STR("x-weir-call-id")));
    ask->answer->target =
        keep_text(ask->answer, &at, http_headers_get(&response->headers, STR("x-weir-target")));
}

static void on_body(struct http_fetch *fetch, struct str bytes, void *arg)
{
    struct ask *ask = arg;
    (void)fetch;
    if (ask->on_body && ask->answer->status == 200)
        ask->on_body(ask->arg, bytes);
    else
        buf_append_str(&ask->answer->body, bytes);
}

static void on_end(struct http_fetch *fetch, void *arg)
{
    struct ask *ask = arg;
    (void)fetch;
    ask->whole = true;
    loop_stop(ask->loop);
}

static void on_fail(struct http_fetch *fetch, const struct http_failure *failure, void *arg)
{
    struct ask *ask = arg;
    (void)fetch;
    buf_printf(&ask->failure, "%s: %.*s", err_text(failure->error), STR_ARG(failure->detail));
    loop_stop(ask->loop);
}

static const struct http_fetch_events events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
    .on_fail = on_fail,
};

static enum err start(struct ask *ask, struct http_client *client, const struct http_url *url,
                      const struct remote *r, struct str method, struct str path, struct str body)
{
    struct http_header headers[HEADERS_MAX];
    struct buf bearer BUF_AUTO;
    struct http_origin *origin = NULL;
    struct http_fetch *fetch = NULL;
    size_t count = 0;
    buf_init(&bearer, 1024);
    buf_printf(&bearer, "Bearer %.*s", STR_ARG(r->key));
    if (r->key.len)
        headers[count++] = HTTP_HEADER("authorization", buf_str(&bearer));
    if (body.len)
        headers[count++] = HTTP_HEADER("content-type", STR("application/json"));
    struct http_origin_options options = {.tls = url->tls, .host = url->host, .port = url->port};
    TRY(http_origin_open(client, &options, &origin));
    struct http_request request = {
        .origin = origin,
        .method = method,
        .path = path,
        .headers = headers,
        .header_count = count,
        .body = &body,
        .body_count = body.len ? 1 : 0,
        .timeouts = {.connect_ms = CONNECT_MS},
    };
    enum err err = http_client_start(client, &request, &events, ask, &fetch);
    if (err == ERR_OK)
        loop_run(ask->loop);
    http_origin_close(origin);
    return err;
}

static enum err run(struct ask *ask, const struct http_url *url, const struct remote *r,
                    struct str method, struct str path, struct str body)
{
    struct http_client *client = NULL;
    struct http_proxy_options proxy;
    http_proxy_from_env(&proxy);
    TRY(loop_new(&ask->loop));
    enum err err = http_client_new(ask->loop, &proxy, &ask->failure, &client);
    if (err == ERR_OK)
        err = start(ask, client, url, r, method, path, body);
    http_client_free(client);
    loop_run_until_idle(ask->loop);
    loop_free(ask->loop);
    return err;
}

bool remote_ask(const struct cli_command *command, const struct remote *r, struct str method,
                struct str path, struct str body, void (*body_fn)(void *arg, struct str bytes),
                void *arg, struct remote_answer *ret_answer)
{
    struct http_url url;
    const char *detail = NULL;
    struct buf target BUF_AUTO;
    struct ask ask = {.answer = ret_answer, .on_body = body_fn, .arg = arg};
    *ret_answer = (struct remote_answer){.status = 0};
    buf_init(&ret_answer->body, ANSWER_BYTES_MAX);
    buf_init(&ask.failure, 4096);
    buf_init(&target, 65536);
    if (http_url_parse(r->url, &url, &detail) != ERR_OK) {
        cli_fail(command, 2, "--url '%.*s': %s", STR_ARG(r->url), detail);
        return false;
    }
    buf_append_str(&target, str_eq(url.path, STR("/")) ? STR("") : url.path);
    buf_append_str(&target, path);
    enum err err = run(&ask, &url, r, method, buf_str(&target), body);
    if (!ask.whole)
        cli_fail(command, 1, "no answer from %.*s: %.*s; is `weir serve` running there?",
                 STR_ARG(r->url),
                 STR_ARG(ask.failure.len ? buf_str(&ask.failure) : str_from_c(err_text(err))));
    buf_release(&ask.failure);
    return ask.whole;
}

void remote_answer_release(struct remote_answer *a)
{
    buf_release(&a->body);
}

int remote_refused(const struct cli_command *command, const struct remote_answer *a)
{
    struct openai_problem problem;
    openai_error_read(buf_str(&a->body), a->status, &problem);
    return cli_fail(command, 1, "HTTP %d: %s", a->status, problem.message);
}

void remote_encode(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     c == '-' || c == '_' || c == '.' || c == '~';
        if (plain)
            buf_append_char(out, (char)c);
        else
            buf_printf(out, "%%%02X", c);
    }
}
