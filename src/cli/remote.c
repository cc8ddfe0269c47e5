#include "cli/remote.h"

#include <stdlib.h>

#include "dialect/openai_error.h"
#include "net/http_simple.h"

enum { CONNECT_MS = 5000, HEADERS_MAX = 2 };

struct ask {
    struct remote_answer *answer;
    void (*on_body)(void *arg, struct str bytes);
    void *arg;
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

static void on_head(const struct http_response *response, void *arg)
{
    struct ask *ask = arg;
    size_t at = 0;
    ask->answer->call_id =
        keep_text(ask->answer, &at, http_headers_get(&response->headers, STR("x-weir-call-id")));
    ask->answer->target =
        keep_text(ask->answer, &at, http_headers_get(&response->headers, STR("x-weir-target")));
}

static bool on_body(int status, struct str bytes, void *arg)
{
    struct ask *ask = arg;
    if (ask->on_body && status == 200)
        ask->on_body(ask->arg, bytes);
    else
        buf_append_str(&ask->answer->body, bytes);
    return ask->answer->body.error == ERR_OK;
}

/* The path behind the URL's own, so that a server may live below one. */
static void join_path(struct buf *path, struct str url, struct str rest)
{
    struct http_url parts;
    const char *mistake;
    if (http_url_parse(url, &parts, &mistake) == ERR_OK && !str_eq(parts.path, STR("/")))
        buf_append_str(path, parts.path);
    buf_append_str(path, rest);
}

bool remote_ask(const struct cli_command *command, const struct remote *r, struct str method,
                struct str path, struct str body, void (*body_fn)(void *arg, struct str bytes),
                void *arg, struct remote_answer *ret_answer)
{
    struct buf whole_path BUF_AUTO;
    struct buf bearer BUF_AUTO;
    struct buf detail BUF_AUTO;
    struct http_header headers[HEADERS_MAX];
    struct http_simple_response response;
    struct ask ask = {.answer = ret_answer, .on_body = body_fn, .arg = arg};
    size_t count = 0;
    buf_init(&whole_path, 65536);
    buf_init(&bearer, 1024);
    buf_init(&detail, 4096);
    *ret_answer = (struct remote_answer){.status = 0};
    buf_init(&ret_answer->body, HTTP_SIMPLE_BODY_MAX);
    join_path(&whole_path, r->url, path);
    buf_printf(&bearer, "Bearer %.*s", STR_ARG(r->key));
    if (r->key.len)
        headers[count++] = HTTP_HEADER("authorization", buf_str(&bearer));
    if (body.len)
        headers[count++] = HTTP_HEADER("content-type", STR("application/json"));
    struct http_simple_request request = {
        .url = r->url,
        .path = buf_str(&whole_path),
        .method = method,
        .headers = headers,
        .header_count = count,
        .body = body,
        .ca_file = r->ca,
        .timeouts = {.connect_ms = CONNECT_MS},
        .on_head = on_head,
        .on_body = on_body,
        .arg = &ask,
    };
    enum err err = http_simple_fetch(&request, &detail, &response);
    if (err != ERR_OK) {
        cli_fail(command, 1, "no answer from %.*s: %s: %.*s; is `weir serve` running there?",
                 STR_ARG(r->url), err_text(err), STR_ARG(buf_str(&detail)));
        return false;
    }
    ret_answer->status = response.status;
    http_simple_release(&response);
    return true;
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
