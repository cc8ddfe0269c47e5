/* The client's connections: kept, shared, bounded, gone stale. */
#include "tests/unit/net/client_rig.h"

/* A kept connection on which the peer closes instead of answering. */
static void use_stale(const struct http_request *request, const struct peer_step *steps,
                      struct told *t, int *ret_accepted)
{
    struct peer peer;
    struct rig rig;
    struct told first = {0};
    peer_start(&peer, steps);
    rig_open(&rig, peer.port, NULL);
    assert_int_equal(rig_start(&rig, &first, &get), ERR_OK);
    rig_wait(&rig);
    assert_true(first.ended);
    buf_release(&first.body);
    assert_int_equal(rig_start(&rig, t, request), ERR_OK);
    rig_wait(&rig);
    rig_close(&rig);
    peer_stop(&peer);
    *ret_accepted = peer.accepted;
    peer_release(&peer);
}

static const struct peer_step closes_then_serves[] = {
    {PEER_ACCEPT, NULL, 0}, {PEER_READ, NULL, 0},  {PEER_SEND, KEPT, 0},
    {PEER_READ, NULL, 0},   {PEER_CLOSE, NULL, 0}, {PEER_ACCEPT, NULL, 0},
    {PEER_READ, NULL, 0},   {PEER_SEND, KEPT, 0},  {0}};
static const struct peer_step closes[] = {{PEER_ACCEPT, NULL, 0}, {PEER_READ, NULL, 0},
                                          {PEER_SEND, KEPT, 0},   {PEER_READ, NULL, 0},
                                          {PEER_RESET, NULL, 0},  {0}};

static void stale_connections_are_told_apart(void **state)
{
    (void)state;
    const struct str body = STR("x");
    struct http_request post = {.method = STR("POST"), .body = &body, .body_count = 1};
    int accepted = 0;
    /* a POST that may have been received is not sent twice */
    struct told t = {0};
    use_stale(&post, closes, &t, &accepted);
    assert_true(t.failed && t.stale && t.sent);
    assert_int_equal(t.error, ERR_RESET);
    assert_int_equal(t.phase, HTTP_PHASE_FIRST_BYTE);
    assert_int_equal(accepted, 1);
    buf_release(&t.body);
    /* unless the caller says so; a GET always is */
    for (int i = 0; i < 2; i++) {
        struct told u = {0};
        post.retry_stale = true;
        use_stale(i ? &post : &get, closes_then_serves, &u, &accepted);
        assert_true(u.ended);
        assert_false(u.stats.reused);
        assert_string_equal(buf_cstr(&u.body), "ok");
        assert_int_equal(accepted, 2);
        buf_release(&u.body);
    }
}

static void connections_are_kept(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {PEER_ACCEPT, NULL, 0},
        {PEER_READ, NULL, 0},
        {PEER_SEND, KEPT, 0},
        {PEER_READ, NULL, 0},
        {PEER_SEND, KEPT, 0},
        {PEER_READ, NULL, 0},
        {PEER_SEND, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1", 0},
        {PEER_ACCEPT, NULL, 0},
        {PEER_READ, NULL, 0},
        {PEER_SEND, KEPT, 0},
        {PEER_UNTIL_CLOSED, NULL, 0},
        {0}};
    struct peer peer;
    struct rig rig;
    peer_start(&peer, steps);
    const struct http_origin_options options = {.idle_timeout_ms = 50};
    rig_open(&rig, peer.port, &options);
    for (int i = 0; i < 4; i++) {
        struct told t = {0};
        struct http_origin_stats stats;
        assert_int_equal(rig_start(&rig, &t, &get), ERR_OK);
        assert_false(t.connected); /* no callback from inside the start */
        rig_wait(&rig);
        assert_true(t.ended && t.connected);
        assert_int_equal(t.stats.reused, i == 1 || i == 2);
        http_origin_stats(rig.origin, &stats);
        assert_int_equal(stats.connections, i == 2 ? 0 : 1);
        assert_int_equal(stats.idle, i == 2 ? 0 : 1);
        buf_release(&t.body);
    }
    rig_run_ms(&rig, 200); /* the kept one is not kept for ever */
    struct http_origin_stats stats;
    http_origin_stats(rig.origin, &stats);
    assert_int_equal(stats.connections, 0);
    assert_int_equal(stats.connects_total, 2);
    assert_int_equal(stats.reused_total, 2);
    rig_close(&rig);
    peer_stop(&peer);
    assert_int_equal(peer.closed, 1);
    assert_false(peer.failed);
    peer_release(&peer);
}

/* A kept connection that was closed while idle is never used. */
static void closed_connections_are_forgotten(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {PEER_ACCEPT, NULL, 0}, {PEER_READ, NULL, 0}, {PEER_SEND, KEPT, 0}, {PEER_CLOSE, NULL, 0},
        {PEER_ACCEPT, NULL, 0}, {PEER_READ, NULL, 0}, {PEER_SEND, KEPT, 0}, {0}};
    struct peer peer;
    struct rig rig;
    peer_start(&peer, steps);
    rig_open(&rig, peer.port, NULL);
    for (int i = 0; i < 2; i++) {
        struct told t = {0};
        const struct http_request post = {.method = STR("POST")};
        assert_int_equal(rig_start(&rig, &t, &post), ERR_OK);
        rig_wait(&rig);
        assert_true(t.ended);
        assert_false(t.stats.reused);
        buf_release(&t.body);
        rig_run_ms(&rig, 50);
    }
    rig_close(&rig);
    peer_stop(&peer);
    assert_false(peer.failed);
    peer_release(&peer);
}

static void an_origin_bounds_its_connections(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {PEER_ACCEPT, NULL, 0}, {PEER_READ, NULL, 0}, {PEER_SLEEP, NULL, 50},
        {PEER_SEND, KEPT, 0},   {PEER_READ, NULL, 0}, {PEER_SEND, KEPT, 0},
        {PEER_READ, NULL, 0},   {PEER_SEND, KEPT, 0}, {0}};
    const struct http_origin_options options = {.connections_max = 1, .waiting_max = 3};
    struct peer peer;
    struct rig rig;
    struct http_origin_stats stats;
    struct told t[5] = {0};
    peer_start(&peer, steps);
    rig_open(&rig, peer.port, &options);
    for (int i = 0; i < 4; i++)
        assert_int_equal(rig_start(&rig, &t[i], &get), ERR_OK);
    assert_int_equal(rig_start(&rig, &t[4], &get), ERR_BUSY);
    http_origin_stats(rig.origin, &stats);
    assert_int_equal(stats.waiting, 3);
    assert_int_equal(stats.connections, 1);
    http_fetch_cancel(t[2].fetch); /* from the middle of the queue */
    rig.open--;
    rig_wait(&rig);
    assert_true(t[0].ended && t[1].ended && t[3].ended);
    assert_true(t[1].stats.reused && t[3].stats.reused);
    http_origin_stats(rig.origin, &stats);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(stats.connects_total, 1);
    /* who waits is under the connect timeout too */
    rig_close(&rig);
    peer_stop(&peer);
    assert_false(peer.failed);
    peer_release(&peer);
    for (int i = 0; i < 5; i++)
        buf_release(&t[i].body);
}

static void waiting_has_its_timeout(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {{PEER_ACCEPT, NULL, 0},
                                             {PEER_READ, NULL, 0},
                                             {PEER_SLEEP, NULL, 200},
                                             {PEER_SEND, KEPT, 0},
                                             {0}};
    const struct http_origin_options options = {.connections_max = 1};
    const struct http_request hasty = {.timeouts = {.connect_ms = 50}};
    struct peer peer;
    struct rig rig;
    struct told t = {0}, u = {0};
    peer_start(&peer, steps);
    rig_open(&rig, peer.port, &options);
    assert_int_equal(rig_start(&rig, &t, &get), ERR_OK);
    assert_int_equal(rig_start(&rig, &u, &hasty), ERR_OK);
    rig_wait(&rig);
    assert_true(t.ended);
    assert_int_equal(u.error, ERR_TIMEOUT);
    assert_int_equal(u.phase, HTTP_PHASE_WAIT);
    rig_close(&rig);
    peer_stop(&peer);
    peer_release(&peer);
    buf_release(&t.body);
    buf_release(&u.body);
}

/* Whoever waits gets the place of a connection that closes, by a new one. */
static void places_are_handed_on(void **state)
{
    (void)state;
#define LAST "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    static const struct peer_step steps[] = {{PEER_ACCEPT, NULL, 0}, {PEER_READ, NULL, 0},
                                             {PEER_SEND, LAST, 0},   {PEER_ACCEPT, NULL, 0},
                                             {PEER_READ, NULL, 0},   {PEER_RESET, NULL, 0},
                                             {PEER_ACCEPT, NULL, 0}, {PEER_READ, NULL, 0},
                                             {PEER_SEND, LAST, 0},   {0}};
    const struct http_origin_options options = {.connections_max = 1};
    struct peer peer;
    struct rig rig;
    struct told t[4] = {0};
    peer_start(&peer, steps);
    rig_open(&rig, peer.port, &options);
    for (int i = 0; i < 4; i++)
        assert_int_equal(rig_start(&rig, &t[i], &get), ERR_OK);
    http_fetch_cancel(t[0].fetch); /* while it dials */
    rig.open--;
    rig_wait(&rig);
    assert_true(t[1].ended && t[3].ended);
    assert_int_equal(t[2].error, ERR_RESET);
    assert_false(t[2].stale);
    rig_close(&rig);
    peer_stop(&peer);
    assert_int_equal(peer.accepted, 3);
    peer_release(&peer);
    for (int i = 0; i < 4; i++)
        buf_release(&t[i].body);
}

static void a_lookup_may_be_cancelled(void **state)
{
    (void)state;
    const struct http_origin_options nowhere = {.host = STR("does-not-exist.invalid")};
    struct rig rig;
    struct told t = {0}, u = {0};
    rig_open(&rig, 80, &nowhere);
    assert_int_equal(rig_start(&rig, &t, &get), ERR_OK);
    assert_int_equal(rig_start(&rig, &u, &get), ERR_OK);
    http_fetch_cancel(t.fetch);
    rig.open--;
    rig_run_ms(&rig, 1);
    rig_close(&rig); /* with the other lookup under way, perhaps */
    assert_false(t.failed);
    assert_true(u.failed);
    buf_release(&t.body);
    buf_release(&u.body);
}

/* Several at once: each has its connection, and all are kept. */
static void many_connections_are_kept(void **state)
{
    (void)state;
    enum { MANY = 5 };
    struct peer peers[1];
    struct rig rig;
    struct told t[MANY] = {0};
    static const struct peer_step steps[] = {{PEER_SERVE, KEPT, MANY}, {0}};
    struct http_origin_stats stats;
    peer_start(&peers[0], steps);
    rig_open(&rig, peers[0].port, NULL);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            t[i].ended = false;
            assert_int_equal(rig_start(&rig, &t[i], &get), ERR_OK);
        }
        rig_wait(&rig);
        for (int i = 0; i < MANY; i++)
            assert_int_equal(t[i].stats.reused, round);
        http_origin_stats(rig.origin, &stats);
        assert_int_equal(stats.idle, MANY);
        assert_int_equal(stats.connects_total, MANY);
    }
    rig_close(&rig);
    peer_stop(&peers[0]);
    peer_release(&peers[0]);
    for (int i = 0; i < MANY; i++)
        buf_release(&t[i].body);
}

/* Bytes that nobody asked for end a kept connection. */
static void unasked_bytes_end_a_connection(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {{PEER_ACCEPT, NULL, 0},
                                             {PEER_READ, NULL, 0},
                                             {PEER_SEND, KEPT, 0},
                                             {PEER_SLEEP, NULL, 50},
                                             {PEER_SEND, KEPT, 0},
                                             {PEER_UNTIL_CLOSED, NULL, 0},
                                             {0}};
    struct peer peer;
    struct rig rig;
    struct told t = {0};
    struct http_origin_stats stats;
    peer_start(&peer, steps);
    rig_open(&rig, peer.port, NULL);
    assert_int_equal(rig_start(&rig, &t, &get), ERR_OK);
    rig_wait(&rig);
    http_origin_stats(rig.origin, &stats);
    assert_int_equal(stats.idle, 1);
    rig_run_ms(&rig, 150);
    http_origin_stats(rig.origin, &stats);
    assert_int_equal(stats.idle + stats.connections, 0);
    rig_close(&rig);
    peer_stop(&peer);
    assert_int_equal(peer.closed, 1);
    peer_release(&peer);
    buf_release(&t.body);
}

static void equal_origins_are_one(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {{PEER_ACCEPT, NULL, 0},
                                             {PEER_READ, NULL, 0},
                                             {PEER_SEND, KEPT, 0},
                                             {PEER_UNTIL_CLOSED, NULL, 0},
                                             {0}};
    struct peer peer;
    struct rig rig;
    struct told t = {0};
    struct http_origin *same = NULL, *other = NULL;
    struct http_origin_stats stats;
    peer_start(&peer, steps);
    rig_open(&rig, peer.port, NULL);
    assert_int_equal(rig_start(&rig, &t, &get), ERR_OK);
    rig_wait(&rig);
    const struct http_origin_options options = {.host = STR("127.0.0.1"), .port = peer.port};
    struct http_origin_options narrow = options;
    narrow.connections_max = 3;
    assert_int_equal(http_origin_open(rig.client, &options, &same), ERR_OK);
    assert_int_equal(http_origin_open(rig.client, &narrow, &other), ERR_OK);
    assert_ptr_equal(same, rig.origin);
    assert_ptr_not_equal(other, rig.origin);
    http_origin_close(rig.origin);
    http_origin_stats(same, &stats);
    assert_int_equal(stats.idle, 1); /* kept over the change of hands */
    http_origin_close(same);
    http_origin_close(other);
    rig.origin = NULL;
    rig_close(&rig);
    peer_stop(&peer);
    peer_release(&peer);
    buf_release(&t.body);
}

static void freeing_the_client_fails_what_runs(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {PEER_ACCEPT, NULL, 0}, {PEER_READ, NULL, 0}, {PEER_UNTIL_CLOSED, NULL, 0}, {0}};
    const struct http_origin_options options = {.connections_max = 1};
    struct peer peer;
    struct rig rig;
    struct told t[3] = {0};
    peer_start(&peer, steps);
    rig_open(&rig, peer.port, &options);
    for (int i = 0; i < 2; i++)
        assert_int_equal(rig_start(&rig, &t[i], &get), ERR_OK);
    rig_run_ms(&rig, 50);
    rig_close(&rig);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(t[i].error, ERR_CANCELLED);
        buf_release(&t[i].body);
    }
    peer_stop(&peer);
    peer_release(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_kept),
        cmocka_unit_test(stale_connections_are_told_apart),
        cmocka_unit_test(closed_connections_are_forgotten),
        cmocka_unit_test(an_origin_bounds_its_connections),
        cmocka_unit_test(waiting_has_its_timeout),
        cmocka_unit_test(places_are_handed_on),
        cmocka_unit_test(a_lookup_may_be_cancelled),
        cmocka_unit_test(many_connections_are_kept),
        cmocka_unit_test(unasked_bytes_end_a_connection),
        cmocka_unit_test(equal_origins_are_one),
        cmocka_unit_test(freeing_the_client_fails_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
