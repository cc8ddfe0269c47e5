/* A client whose fetches write down what they are told, and a scripted peer to ask. */
#ifndef WEIR_TESTS_UNIT_NET_CLIENT_RIG_H
#define WEIR_TESTS_UNIT_NET_CLIENT_RIG_H

#include "tests/unit/net/net_rig.h"

#include "net/http_client.h"

/* What one fetch told. */
struct told {
    struct loop *loop;
    struct http_fetch *fetch;
    int64_t content_length;
    int *open; /* fetches of the rig that are not over */
    struct buf body;
    struct http_fetch_stats stats;
    int status;
    int pieces;
    enum err error;
    enum http_phase phase;
    bool connected, ended, failed;
    bool stale, sent;
    bool pause_at_once;  /* at the first piece */
    bool cancel_at_head; /* from inside the callback */
    char header[64];     /* of X-Test */
    char detail[256];
};

struct rig {
    struct loop *loop;
    struct http_client *client;
    struct http_origin *origin;
    int open;
};

static inline void over(struct told *t)
{
    http_fetch_stats(t->fetch, &t->stats);
    t->fetch = NULL;
    if (--*t->open == 0)
        loop_stop(t->loop);
}

static inline void on_connect(struct http_fetch *fetch, void *arg)
{
    (void)fetch;
    ((struct told *)arg)->connected = true;
}

static inline void on_head(struct http_fetch *fetch, const struct http_response *response,
                           void *arg)
{
    struct told *t = arg;
    struct str test = http_headers_get(&response->headers, STR("x-test"));
    assert_ptr_equal(fetch, t->fetch);
    t->status = response->status;
    t->content_length = response->content_length;
    (void)snprintf(t->header, sizeof t->header, "%.*s", STR_ARG(test));
    if (t->cancel_at_head) {
        http_fetch_cancel(fetch);
        t->fetch = NULL;
        if (--*t->open == 0)
            loop_stop(t->loop);
    }
}

static inline void on_body(struct http_fetch *fetch, struct str bytes, void *arg)
{
    struct told *t = arg;
    assert_false(http_fetch_paused(fetch));
    assert_true(bytes.len > 0);
    buf_append_str(&t->body, bytes);
    if (t->pieces++ == 0 && t->pause_at_once)
        http_fetch_pause(fetch);
}

static inline void on_end(struct http_fetch *fetch, void *arg)
{
    struct told *t = arg;
    (void)fetch;
    assert_false(t->ended || t->failed);
    t->ended = true;
    over(t);
}

static inline void on_fail(struct http_fetch *fetch, const struct http_failure *failure, void *arg)
{
    struct told *t = arg;
    (void)fetch;
    assert_false(t->ended || t->failed);
    t->failed = true;
    t->error = failure->error;
    t->phase = failure->phase;
    t->stale = failure->stale;
    t->sent = failure->sent;
    (void)snprintf(t->detail, sizeof t->detail, "%.*s", STR_ARG(failure->detail));
    over(t);
}

static const struct http_fetch_events events = {on_connect, on_head, on_body, on_end, on_fail};

static inline void rig_open(struct rig *rig, uint16_t port, const struct http_origin_options *more)
{
    struct http_origin_options options = more ? *more : (struct http_origin_options){0};
    *rig = (struct rig){0};
    if (options.host.len == 0)
        options.host = STR("127.0.0.1");
    options.port = port;
    assert_int_equal(loop_new(&rig->loop), ERR_OK);
    assert_int_equal(http_client_new(rig->loop, NULL, NULL, &rig->client), ERR_OK);
    assert_int_equal(http_origin_open(rig->client, &options, &rig->origin), ERR_OK);
}

static inline void rig_close(struct rig *rig)
{
    if (rig->origin)
        http_origin_close(rig->origin);
    http_client_free(rig->client);
    loop_run_until_idle(rig->loop);
    loop_free(rig->loop);
}

static inline enum err rig_start(struct rig *rig, struct told *t, const struct http_request *like)
{
    struct http_request request = *like;
    request.origin = rig->origin;
    if (request.method.len == 0)
        request.method = STR("GET");
    if (request.path.len == 0)
        request.path = STR("/");
    t->loop = rig->loop;
    t->open = &rig->open;
    if (t->body.max == 0)
        buf_init(&t->body, 64 << 20);
    enum err e = http_client_start(rig->client, &request, &events, t, &t->fetch);
    if (e == ERR_OK)
        rig->open++;
    return e;
}

/* Until every fetch is over. */
static inline void rig_wait(struct rig *rig)
{
    if (rig->open > 0)
        loop_run(rig->loop);
    assert_int_equal(rig->open, 0);
}

static inline void stop_loop(void *arg)
{
    loop_stop(arg);
}

static inline void rig_run_ms(struct rig *rig, uint64_t ms)
{
    struct loop_timer timer;
    loop_timer_init(&timer, stop_loop, rig->loop);
    loop_timer_start(rig->loop, &timer, ms);
    loop_run(rig->loop);
    loop_timer_stop(&timer);
}

static const struct http_request get = {.retry_stale = false};

/* One request, one peer. */
static inline void fetch_once(const struct peer_step *steps, const struct http_request *request,
                              const struct http_origin_options *options, struct told *t,
                              struct buf *heard)
{
    struct peer peer;
    struct rig rig;
    peer_start(&peer, steps);
    rig_open(&rig, peer.port, options);
    assert_int_equal(rig_start(&rig, t, request), ERR_OK);
    rig_wait(&rig);
    rig_close(&rig);
    peer_stop(&peer);
    if (heard)
        buf_append_str(heard, buf_str(&peer.heard));
    peer_release(&peer);
}

#define PEER_SAYS(text)                                                                            \
    {                                                                                              \
        {PEER_ACCEPT, NULL, 0}, {PEER_READ, NULL, 0}, {PEER_SEND, text, 0},                        \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

#define KEPT "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

#endif
