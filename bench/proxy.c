/* A bare reverse proxy of Weir's HTTP server and client on one loop: what the network alone costs.
 *
 *   proxy UPSTREAM_HOST UPSTREAM_PORT [PORT]     prints its port, runs until SIGINT or SIGTERM */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "os/thread.h"

static struct loop *loop;
static struct http_client *client;
static struct http_origin *origin;

struct hop {
    struct http_exchange *x;
    struct http_fetch *fetch;
    struct str body;
};

static void on_head(struct http_fetch *fetch, const struct http_response *response, void *arg)
{
    struct hop *hop = arg;
    struct http_header out[HTTP_HEADERS_MAX];
    size_t count = http_headers_forwardable(&response->headers, out);
    (void)fetch;
    http_respond_head(hop->x, response->status, out, count, response->content_length);
}

static void on_body(struct http_fetch *fetch, struct str bytes, void *arg)
{
    struct hop *hop = arg;
    http_respond_body(hop->x, bytes);
    if (http_pending_bytes(hop->x) > 64 << 10)
        http_fetch_pause(fetch);
}

static void on_end(struct http_fetch *fetch, void *arg)
{
    struct hop *hop = arg;
    (void)fetch;
    hop->fetch = NULL;
    http_respond_end(hop->x);
}

static void on_fail(struct http_fetch *fetch, const struct http_failure *failure, void *arg)
{
    struct hop *hop = arg;
    (void)fetch;
    hop->fetch = NULL;
    if (http_responded(hop->x))
        http_abort(hop->x);
    else
        http_respond(hop->x, 502, STR("text/plain"), failure->detail);
}

static const struct http_fetch_events events = {
    .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};

static void on_drain(struct http_exchange *x)
{
    struct hop *hop = x->user;
    if (hop->fetch)
        http_fetch_resume(hop->fetch);
}

static void on_gone(struct http_exchange *x)
{
    struct hop *hop = x->user;
    if (hop->fetch)
        http_fetch_cancel(hop->fetch);
    http_abort(x);
}

static void on_request(struct http_exchange *x, void *arg)
{
    struct hop *hop = ARENA_NEW(x->arena, struct hop);
    struct http_header out[HTTP_HEADERS_MAX];
    (void)arg;
    *hop = (struct hop){.x = x, .body = x->body};
    x->user = hop;
    x->on_drain = on_drain;
    x->on_gone = on_gone;
    struct http_request request = {
        .origin = origin,
        .method = x->method,
        .path = x->target,
        .headers = out,
        .header_count = http_headers_forwardable(&x->headers, out),
        .body = &hop->body,
        .body_count = 1,
        .timeouts = {.connect_ms = 2000, .first_byte_ms = 30000, .idle_ms = 60000},
    };
    if (http_client_start(client, &request, &events, hop, &hop->fetch) != ERR_OK)
        http_respond(x, 502, STR("text/plain"), STR("cannot start"));
}

static void run(void *arg)
{
    loop_run(arg);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    ASSERT(loop_new(&loop) == ERR_OK);
    ASSERT(http_client_new(loop, NULL, NULL, &client) == ERR_OK);
    struct http_origin_options to = {
        .host = str_from_c(argv[1]),
        .port = (uint16_t)strtoul(argv[2], NULL, 10),
        .connections_max = 20000,
    };
    ASSERT(http_origin_open(client, &to, &origin) == ERR_OK);
    struct http_server_options options = {
        .host = STR("127.0.0.1"),
        .port = (uint16_t)(argc > 3 ? strtoul(argv[3], NULL, 10) : 0),
        .handler = {.on_request = on_request},
    };
    http_limits_default(&options.limits);
    struct http_server *server = NULL;
    ASSERT(http_server_open(&loop, 1, &options, NULL, &server) == ERR_OK);
    printf("%u\n", (unsigned)http_server_port(server));
    fflush(stdout);
    struct os_thread thread;
    sigset_t ends;
    int number = 0;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    ASSERT(os_thread_start("proxy", run, loop, &thread) == ERR_OK);
    sigwait(&ends, &number);
    loop_stop(loop);
    os_thread_join(&thread);
    http_server_free(server);
    http_origin_close(origin);
    http_client_free(client);
    loop_run_until_idle(loop);
    loop_free(loop);
    return 0;
}
