/* Server and client joined on one loop, as a gateway joins them: pressure and departure pass
 * through. */
#include "tests/unit/net/net_rig.h"

#include "net/http_client.h"
#include "net/http_server.h"

enum { BIG = 64 << 20, PAUSE_BYTES = 64 << 10 };

struct rig {
    struct loop *loop;
    struct os_thread thread;
    struct http_server *server;
    struct http_client *client;
    struct http_origin *origin;
    uint16_t port;
    _Atomic size_t pending_max;
    atomic_int gone, failed;
};

struct hop {
    struct rig *rig;
    struct http_exchange *x;
    struct http_fetch *fetch;
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
    size_t pending = http_pending_bytes(hop->x);
    if (pending > hop->rig->pending_max)
        hop->rig->pending_max = pending;
    if (pending > PAUSE_BYTES)
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
    hop->rig->failed++;
    if (http_responded(hop->x))
        http_abort(hop->x);
    else
        http_respond(hop->x, err_http_status(failure->error), STR("text/plain"), failure->detail);
}

static const struct http_fetch_events events = {NULL, on_head, on_body, on_end, on_fail};

static void on_drain(struct http_exchange *x)
{
    struct hop *hop = x->user;
    if (hop->fetch)
        http_fetch_resume(hop->fetch);
}

static void on_gone(struct http_exchange *x)
{
    struct hop *hop = x->user;
    hop->rig->gone++;
    if (hop->fetch)
        http_fetch_cancel(hop->fetch);
    http_abort(x);
}

static void on_request(struct http_exchange *x, void *arg)
{
    struct hop *hop = ARENA_NEW(x->arena, struct hop);
    struct rig *rig = arg;
    *hop = (struct hop){.rig = rig, .x = x};
    x->user = hop;
    x->on_drain = on_drain;
    x->on_gone = on_gone;
    const struct http_request request = {
        .origin = rig->origin,
        .method = x->method,
        .path = x->target,
        .body = &x->body,
        .body_count = 1,
        .timeouts = {.idle_ms = RIG_WAIT_MS},
    };
    assert_int_equal(http_client_start(rig->client, &request, &events, hop, &hop->fetch), ERR_OK);
}

static void run_loop(void *arg)
{
    loop_run(arg);
}

static void rig_start(struct rig *rig, uint16_t upstream)
{
    *rig = (struct rig){0};
    const struct http_origin_options to = {.host = STR("127.0.0.1"), .port = upstream};
    struct http_server_options options = {.host = STR("127.0.0.1"),
                                          .handler = {.on_request = on_request, .arg = rig}};
    http_limits_default(&options.limits);
    assert_int_equal(loop_new(&rig->loop), ERR_OK);
    assert_int_equal(http_client_new(rig->loop, NULL, NULL, &rig->client), ERR_OK);
    assert_int_equal(http_origin_open(rig->client, &to, &rig->origin), ERR_OK);
    assert_int_equal(http_server_open(&rig->loop, 1, &options, NULL, &rig->server), ERR_OK);
    rig->port = http_server_port(rig->server);
    assert_int_equal(os_thread_start("both", run_loop, rig->loop, &rig->thread), ERR_OK);
}

static void rig_stop(struct rig *rig)
{
    loop_stop(rig->loop);
    os_thread_join(&rig->thread);
    http_server_free(rig->server);
    http_origin_close(rig->origin);
    http_client_free(rig->client);
    loop_run_until_idle(rig->loop);
    loop_free(rig->loop);
}

static const struct peer_step big_steps[] = {
    {PEER_ACCEPT, NULL, 0},
    {PEER_READ, NULL, 0},
    {PEER_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n", 0},
    {PEER_SEND_BIG, NULL, BIG},
    {PEER_UNTIL_CLOSED, NULL, 0},
    {0}};

static void a_slow_reader_holds_its_upstream_back(void **state)
{
    (void)state;
    struct peer peer;
    struct rig rig;
    BUF_AUTO struct buf out = {.max = 128 << 20};
    int small = 64 << 10;
    peer_start(&peer, big_steps);
    rig_start(&rig, peer.port);
    int fd = rig_dial(rig.port);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    assert_true(rig_send(fd, STR("GET /x HTTP/1.1\r\nHost: h\r\n\r\n")));
    assert_true(rig_recv_until(fd, &out, STR("\r\n\r\n")));
    rig_sleep_ms(300);
    size_t sent = peer.sent;
    rig_sleep_ms(200);
    assert_int_equal(peer.sent, sent); /* it stands still */
    assert_true(sent < BIG / 2);       /* what the kernel's buffers hold */
    size_t head = (size_t)str_find(buf_str(&out), STR("\r\n\r\n")) + 4;
    while (out.len < head + BIG)
        assert_true(rig_recv(fd, &out, RIG_WAIT_MS) > 0);
    for (size_t i = 0; i < BIG; i++)
        if (out.ptr[head + i] != (char)('a' + i % 2600 % 26))
            fail_msg("byte %zu", i);
    /* the source's one read at most above where it is to pause */
    assert_in_range(rig.pending_max, PAUSE_BYTES, PAUSE_BYTES + (64 << 10) + 1024);
    assert_int_equal(rig.failed + rig.gone, 0);
    (void)close(fd);
    rig_stop(&rig);
    peer_stop(&peer);
    peer_release(&peer);
}

/* Waiting for the first byte, and within a stream that is held back. */
static void a_client_that_leaves_cancels_its_upstream(void **state)
{
    (void)state;
    static const struct peer_step silent[] = {
        {PEER_ACCEPT, NULL, 0}, {PEER_READ, NULL, 0}, {PEER_UNTIL_CLOSED, NULL, 0}, {0}};
    for (int i = 0; i < 2; i++) {
        struct peer peer;
        struct rig rig;
        peer_start(&peer, i ? big_steps : silent);
        rig_start(&rig, peer.port);
        int fd = rig_dial(rig.port);
        assert_true(
            rig_send(fd, STR("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab")));
        rig_sleep_ms(100);
        (void)close(fd);
        peer_stop(&peer); /* ends when it sees the close */
        assert_int_equal(peer.closed, 1);
        assert_int_equal(rig.gone, 1);
        assert_int_equal(rig.failed, 0);
        rig_stop(&rig);
        peer_release(&peer);
    }
}

static void a_cut_answer_is_cut_for_the_client_too(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {PEER_ACCEPT, NULL, 0},
        {PEER_READ, NULL, 0},
        {PEER_SEND, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n", 0},
        {0}};
    struct peer peer;
    struct rig rig;
    BUF_AUTO struct buf out = {.max = 4096};
    peer_start(&peer, steps);
    rig_start(&rig, peer.port);
    rig_ask(rig.port, STR("GET /x HTTP/1.1\r\nHost: h\r\n\r\n"), &out);
    assert_true(str_ends(buf_str(&out), STR("\r\n\r\n4\r\npart\r\n")));
    assert_int_equal(rig.failed, 1);
    rig_stop(&rig);
    peer_stop(&peer);
    peer_release(&peer);
}

/* Forwarded in any cuts: chunks in, chunks out, the same bytes. */
static void pieces_pass_as_they_come(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {PEER_ACCEPT, NULL, 0},
        {PEER_READ, NULL, 0},
        {PEER_SEND,
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n1\r\n\n\r\n", 0},
        {PEER_SLEEP, NULL, 100},
        {PEER_SEND, "3\r\nda", 0},
        {PEER_SLEEP, NULL, 50},
        {PEER_SEND, "t\r\n6\r\na: 2\n\n\r\n0\r\n\r\n", 0},
        {PEER_UNTIL_CLOSED, NULL, 0},
        {0}};
    struct peer peer;
    struct rig rig;
    BUF_AUTO struct buf out = {.max = 4096};
    peer_start(&peer, steps);
    rig_start(&rig, peer.port);
    int fd = rig_dial(rig.port);
    assert_true(rig_send(fd, STR("GET /x HTTP/1.1\r\nHost: h\r\n\r\n")));
    assert_true(rig_recv_until(fd, &out, STR("\n\r\n1\r\n\n\r\n")));
    assert_int_equal(str_find(buf_str(&out), STR("data: 2")), -1); /* before the rest exists */
    assert_true(rig_recv_until(fd, &out, STR("0\r\n\r\n")));
    assert_true(str_ends(buf_str(&out), STR("2\r\nda\r\n1\r\nt\r\n6\r\na: 2\n\n\r\n0\r\n\r\n")));
    (void)close(fd);
    rig_stop(&rig);
    peer_stop(&peer);
    peer_release(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_reader_holds_its_upstream_back),
        cmocka_unit_test(a_client_that_leaves_cancels_its_upstream),
        cmocka_unit_test(a_cut_answer_is_cut_for_the_client_too),
        cmocka_unit_test(pieces_pass_as_they_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
