/* One fetch at a time against a scripted peer on real sockets: what is sent, what comes back, what
 * it waits for. */
#include "tests/unit/net/client_rig.h"

static void requests_are_written_whole(void **state)
{
    (void)state;
    static const struct peer_step steps[] =
        PEER_SAYS("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Test:  v \r\n\r\nhello");
    const struct http_header headers[] = {
        HTTP_HEADER("Authorization", STR("Bearer k")),
        HTTP_HEADER("host", STR("evil")),
        HTTP_HEADER("Content-Length", STR("9")),
        HTTP_HEADER("Connection", STR("close")),
        HTTP_HEADER("Transfer-Encoding", STR("x")),
        HTTP_HEADER("Proxy-Authorization", STR("x")),
        HTTP_HEADER("X-Own", STR("")),
    };
    const struct str body[] = {STR("{\"a\":"), STR_NONE, STR("1}")};
    const struct http_request request = {.method = STR("POST"),
                                         .path = STR("/v1/x?y=z"),
                                         .headers = headers,
                                         .header_count = sizeof headers / sizeof *headers,
                                         .body = body,
                                         .body_count = 3};
    struct told t = {0};
    BUF_AUTO struct buf heard = {.max = 4096};
    fetch_once(steps, &request, NULL, &t, &heard);
    struct str text = buf_str(&heard);
    assert_true(str_starts(text, STR("POST /v1/x?y=z HTTP/1.1\r\nHost: 127.0.0.1:")));
    struct str rest = str_skip(text, (size_t)str_find(text, STR("Authorization")));
    assert_true(str_eq(rest, STR("Authorization: Bearer k\r\nX-Own: \r\nAccept-Encoding: "
                                 "identity\r\nContent-Length: 7\r\n\r\n{\"a\":1}")));
    assert_true(t.ended && t.connected);
    assert_int_equal(t.status, 200);
    assert_int_equal(t.content_length, 5);
    assert_string_equal(t.header, "v");
    assert_string_equal(buf_cstr(&t.body), "hello");
    assert_int_equal(t.stats.bytes_in, 5);
    assert_int_equal(t.stats.bytes_out, 7);
    assert_false(t.stats.reused);
    assert_true(t.stats.start_us <= t.stats.connect_us && t.stats.connect_us <= t.stats.sent_us &&
                t.stats.sent_us <= t.stats.first_byte_us);
    buf_release(&t.body);
}

struct answer {
    const char *method;
    const char *response;
    int status; /* 0: a failure */
    const char *body;
    enum err error;
    enum http_phase phase;
};

/* The peer closes after each. */
static const struct answer answers[] = {
    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", 0, 0},
    {"GET",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;e\r\nde\r\n0\r\nT: "
     "x\r\n\r\n",
     200, "abcde", 0, 0},
    {"GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end", 0, 0},
    {"GET", "HTTP/1.0 200 OK\r\n\r\nold", 200, "old", 0, 0},
    {"GET", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", 200, "x", 0, 0},
    {"GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", 0, 0},
    {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", 304, "", 0, 0},
    {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", 200, "", 0, 0},
    {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "", 0, 0},
    {"GET",
     "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 "
     "X\r\nContent-Length: 2\r\n\r\nno",
     429, "no", 0, 0},
    {"GET", "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 302, "", 0, 0},
    /* cut */
    {"GET", "", 0, "", ERR_RESET, HTTP_PHASE_FIRST_BYTE},
    {"GET", "HTTP/1.1 200 OK\r\nContent-Le", 0, "", ERR_TRUNCATED, HTTP_PHASE_HEAD},
    {"GET", "HTTP/1.1 100 Continue\r\n\r\n", 0, "", ERR_TRUNCATED, HTTP_PHASE_HEAD},
    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 200, "abc", ERR_TRUNCATED,
     HTTP_PHASE_BODY},
    {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", 200, "ab",
     ERR_TRUNCATED, HTTP_PHASE_BODY},
    {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 200, "abc",
     ERR_TRUNCATED, HTTP_PHASE_BODY},
    {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", 200, "abc",
     ERR_TRUNCATED, HTTP_PHASE_BODY},
    /* wrong */
    {"GET", "SSH-2.0-OpenSSH\r\n", 0, "", ERR_PROTOCOL, HTTP_PHASE_HEAD},
    {"GET", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 0, "",
     ERR_PROTOCOL, HTTP_PHASE_HEAD},
    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 0, "",
     ERR_PROTOCOL, HTTP_PHASE_HEAD},
    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 0, "",
     ERR_PROTOCOL, HTTP_PHASE_HEAD},
    {"GET", "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", 0, "", ERR_PROTOCOL, HTTP_PHASE_HEAD},
    {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 200, "", ERR_PROTOCOL,
     HTTP_PHASE_BODY},
};

static void answers_end_or_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        const struct answer *a = &answers[i];
        const struct peer_step steps[] = PEER_SAYS(a->response);
        const struct http_request request = {.method = str_from_c(a->method)};
        struct told t = {0};
        fetch_once(steps, &request, NULL, &t, NULL);
        if (t.error != a->error || t.status != a->status)
            print_error("%s: status %d, %s (%s)\n", a->response, t.status, err_name(t.error),
                        t.detail);
        assert_int_equal(t.status, a->status);
        assert_int_equal(t.error, a->error);
        assert_int_equal(t.failed, a->error != ERR_OK);
        assert_string_equal(buf_cstr(&t.body), a->body);
        if (t.failed)
            assert_int_equal(t.phase, a->phase);
        assert_false(t.stale);
        buf_release(&t.body);
    }
}

static void heads_have_a_limit(void **state)
{
    (void)state;
    BUF_AUTO struct buf response = {.max = 1 << 20};
    buf_append_str(&response, STR("HTTP/1.1 200 OK\r\nA: "));
    for (int i = 0; i < 5000; i++)
        buf_append_char(&response, 'x');
    const struct peer_step steps[] = {{PEER_ACCEPT, NULL, 0},
                                      {PEER_READ, NULL, 0},
                                      {PEER_SEND, buf_cstr(&response), 0},
                                      {PEER_UNTIL_CLOSED, NULL, 0},
                                      {0}};
    const struct http_origin_options options = {.head_bytes_max = 4096};
    struct told t = {0};
    fetch_once(steps, &get, &options, &t, NULL);
    assert_int_equal(t.error, ERR_TOO_LARGE);
    assert_int_equal(t.phase, HTTP_PHASE_HEAD);
    assert_string_equal(t.detail, "the response's head exceeds 4096 bytes or 256 fields");
    buf_release(&t.body);
}

static const struct peer_step silent[] = {
    {PEER_ACCEPT, NULL, 0}, {PEER_READ, NULL, 0}, {PEER_UNTIL_CLOSED, NULL, 0}, {0}};
static const struct peer_step stalls[] = {
    {PEER_ACCEPT, NULL, 0},
    {PEER_READ, NULL, 0},
    {PEER_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", 0},
    {PEER_UNTIL_CLOSED, NULL, 0},
    {0}};
static const struct peer_step drips[] = {
    {PEER_ACCEPT, NULL, 0},
    {PEER_READ, NULL, 0},
    {PEER_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na", 0},
    {PEER_SLEEP, NULL, 60},
    {PEER_SEND, "b", 0},
    {PEER_SLEEP, NULL, 60},
    {PEER_SEND, "c", 0},
    {PEER_SLEEP, NULL, 60},
    {PEER_SEND, "d", 0},
    {PEER_SLEEP, NULL, 60},
    {PEER_SEND, "e", 0},
    {PEER_UNTIL_CLOSED, NULL, 0},
    {0}};

static void every_wait_has_its_timeout(void **state)
{
    (void)state;
    const struct {
        const struct peer_step *steps;
        struct http_timeouts timeouts;
        enum http_phase phase;
        const char *body;
        const char *detail;
    } cases[] = {
        {silent,
         {.first_byte_ms = 100, .idle_ms = 20, .connect_ms = 20},
         HTTP_PHASE_FIRST_BYTE,
         "",
         "no response within 100 ms"},
        {silent,
         {.first_byte_ms = 5000, .total_ms = 100},
         HTTP_PHASE_FIRST_BYTE,
         "",
         "not complete within 100 ms (first_byte)"},
        {stalls,
         {.first_byte_ms = 5000, .idle_ms = 100},
         HTTP_PHASE_BODY,
         "abc",
         "nothing moved for 100 ms (body)"},
        {drips,
         {.idle_ms = 400, .total_ms = 5000},
         HTTP_PHASE_BODY,
         "abcde",
         "nothing moved for 400 ms (body)"},
        {drips,
         {.idle_ms = 1000, .total_ms = 150},
         HTTP_PHASE_BODY,
         "abc",
         "not complete within 150 ms (body)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct http_request request = {.timeouts = cases[i].timeouts};
        struct told t = {0};
        uint64_t begin = os_now_us();
        fetch_once(cases[i].steps, &request, NULL, &t, NULL);
        assert_int_equal(t.error, ERR_TIMEOUT);
        assert_int_equal(t.phase, cases[i].phase);
        assert_string_equal(t.detail, cases[i].detail);
        if (cases[i].body)
            assert_string_equal(buf_cstr(&t.body), cases[i].body);
        else
            assert_true(t.body.len < 5 && str_starts(STR("abcde"), buf_str(&t.body)));
        assert_in_range(os_now_us() - begin, 100000, 3000000);
        buf_release(&t.body);
    }
}

static void connecting_has_its_timeout(void **state)
{
    (void)state;
    /* A listener whose queue is full answers nobody. */
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), queued[8];
    assert_true(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 0) == 0 &&
                getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    for (int i = 0; i < 8; i++) {
        queued[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(queued[i], (struct sockaddr *)&address, len);
    }
    struct rig rig;
    struct told t = {0};
    const struct http_request request = {.timeouts = {.connect_ms = 100}};
    rig_open(&rig, ntohs(address.sin_port), NULL);
    assert_int_equal(rig_start(&rig, &t, &request), ERR_OK);
    rig_wait(&rig);
    assert_int_equal(t.error, ERR_TIMEOUT);
    assert_int_equal(t.phase, HTTP_PHASE_CONNECT);
    assert_false(t.sent);
    rig_close(&rig);
    for (int i = 0; i < 8; i++)
        (void)close(queued[i]);
    (void)close(listener);
    buf_release(&t.body);
}

static void failures_to_connect_say_why(void **state)
{
    (void)state;
    uint16_t port = 0;
    (void)close(rig_listen(&port)); /* nobody listens there now */
    struct rig rig;
    struct told t = {0}, u = {0};
    rig_open(&rig, port, NULL);
    assert_int_equal(rig_start(&rig, &t, &get), ERR_OK);
    rig_wait(&rig);
    assert_int_equal(t.error, ERR_CONNECT);
    assert_int_equal(t.phase, HTTP_PHASE_CONNECT);
    assert_non_null(strstr(t.detail, "connection refused"));
    rig_close(&rig);
    const struct http_origin_options nowhere = {.host = STR("does-not-exist.invalid")};
    rig_open(&rig, 80, &nowhere);
    assert_int_equal(rig_start(&rig, &u, &get), ERR_OK);
    rig_wait(&rig);
    assert_int_equal(u.error, ERR_DNS);
    assert_int_equal(u.phase, HTTP_PHASE_DNS);
    assert_non_null(strstr(u.detail, "does-not-exist.invalid does not resolve"));
    rig_close(&rig);
    buf_release(&t.body);
    buf_release(&u.body);
}

/* "localhost" may be ::1 first, where nobody listens. */
static void every_address_is_tried(void **state)
{
    (void)state;
    static const struct peer_step steps[] = PEER_SAYS(KEPT);
    const struct http_origin_options options = {.host = STR("localhost")};
    const struct http_request request = {.timeouts = {.connect_ms = 5000}};
    struct told t = {0};
    BUF_AUTO struct buf heard = {.max = 4096};
    fetch_once(steps, &request, &options, &t, &heard);
    assert_true(t.ended);
    assert_true(str_find(buf_str(&heard), STR("\r\nHost: localhost:")) > 0);
    buf_release(&t.body);
}

static void a_pause_holds_the_peer_back(void **state)
{
    (void)state;
    enum { BIG = 20 << 20 };
    static const struct peer_step steps[] = {
        {PEER_ACCEPT, NULL, 0},
        {PEER_READ, NULL, 0},
        {PEER_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 20971520\r\n\r\n", 0},
        {PEER_SEND_BIG, NULL, BIG},
        {PEER_SEND, "HTTP/1.1 999 nonsense", 0},
        {0}};
    struct peer peer;
    struct rig rig;
    struct told t = {.pause_at_once = true};
    peer_start(&peer, steps);
    rig_open(&rig, peer.port, NULL);
    const struct http_request request = {.timeouts = {.idle_ms = 400}};
    assert_int_equal(rig_start(&rig, &t, &request), ERR_OK);
    rig_run_ms(&rig, 600); /* longer than the idle timeout, which is not the peer's now */
    size_t had = t.body.len;
    assert_in_range(had, 1, 64 << 10);
    assert_int_equal(t.pieces, 1);
    rig_run_ms(&rig, 50);
    assert_int_equal(t.body.len, had);
    http_fetch_pause(t.fetch);
    http_fetch_resume(t.fetch);
    assert_int_equal(t.body.len, had); /* not from inside the call */
    rig_wait(&rig);
    assert_true(t.ended);
    assert_int_equal(t.body.len, BIG);
    for (size_t i = 0; i < BIG; i++)
        if (t.body.ptr[i] != (char)('a' + i % 2600 % 26))
            fail();
    rig_close(&rig);
    peer_stop(&peer);
    peer_release(&peer);
    buf_release(&t.body);
}

/* All of a short response came with the bytes at which it was paused: nothing is lost, the end too.
 */
static void a_pause_keeps_what_came(void **state)
{
    (void)state;
    static const char *const responses[] = {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
        "chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nabc",
    };
    for (size_t i = 0; i < 2; i++) {
        const struct peer_step steps[] = PEER_SAYS(responses[i]);
        struct peer peer;
        struct rig rig;
        struct told t = {.pause_at_once = true};
        peer_start(&peer, steps);
        rig_open(&rig, peer.port, NULL);
        assert_int_equal(rig_start(&rig, &t, &get), ERR_OK);
        rig_run_ms(&rig, 100);
        assert_int_equal(t.pieces, 1);
        assert_false(t.ended);
        http_fetch_resume(t.fetch);
        rig_wait(&rig);
        assert_true(t.ended);
        assert_string_equal(buf_cstr(&t.body), "abc");
        rig_close(&rig);
        peer_stop(&peer);
        peer_release(&peer);
        buf_release(&t.body);
    }
}

/* Cancel at once, while it waits, and within the body: the peer sees the connection close. */
static void a_cancelled_fetch_closes_its_connection(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {PEER_ACCEPT, NULL, 0},
        {PEER_READ, NULL, 0},
        {PEER_UNTIL_CLOSED, NULL, 0}, /* while waiting for the first byte */
        {PEER_ACCEPT, NULL, 0},
        {PEER_READ, NULL, 0},
        {PEER_SEND, "HTTP/1.1 200 OK\r\n\r\nabc", 0},
        {PEER_UNTIL_CLOSED, NULL, 0}, /* within the body */
        {PEER_ACCEPT, NULL, 0},
        {PEER_READ, NULL, 0},
        {PEER_SEND, KEPT, 0},
        {PEER_UNTIL_CLOSED, NULL, 0}, /* from inside on_head */
        {0}};
    struct peer peer;
    struct rig rig;
    struct http_origin_stats stats;
    peer_start(&peer, steps);
    rig_open(&rig, peer.port, NULL);
    struct told t[4] = {[3] = {.cancel_at_head = true}};
    /* at once: nobody hears of it */
    assert_int_equal(rig_start(&rig, &t[0], &get), ERR_OK);
    http_fetch_cancel(t[0].fetch);
    rig.open--;
    rig_run_ms(&rig, 20);
    http_origin_stats(rig.origin, &stats);
    assert_int_equal(stats.connections, 0);
    for (int i = 1; i < 4; i++) {
        assert_int_equal(rig_start(&rig, &t[i], &get), ERR_OK);
        rig_run_ms(&rig, 150);
        if (i < 3) {
            assert_non_null(t[i].fetch);
            http_fetch_cancel(t[i].fetch);
            rig.open--;
        }
        rig_run_ms(&rig, 50);
        assert_int_equal(peer.closed, i);
        assert_false(t[i].ended || t[i].failed);
        http_origin_stats(rig.origin, &stats);
        assert_int_equal(stats.connections, 0);
    }
    assert_int_equal(t[2].body.len, 3);
    assert_int_equal(t[3].status, 200);
    rig_close(&rig);
    peer_stop(&peer);
    peer_release(&peer);
    for (int i = 0; i < 4; i++)
        buf_release(&t[i].body);
}

/* The peer refuses a large request before it has read it, and closes. */
static void an_answer_may_come_before_the_request_is_out(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {PEER_ACCEPT, NULL, 0},
        {PEER_SLEEP, NULL, 50},
        {PEER_SEND, "HTTP/1.1 413 X\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig", 0},
        {PEER_SLEEP, NULL, 100},
        {PEER_CLOSE, NULL, 0},
        {0}};
    static char large[30 << 20];
    const struct str body = str_of(large, sizeof large);
    const struct http_request request = {.method = STR("POST"), .body = &body, .body_count = 1};
    struct told t = {0};
    fetch_once(steps, &request, NULL, &t, NULL);
    assert_true(t.ended);
    assert_int_equal(t.status, 413);
    assert_string_equal(buf_cstr(&t.body), "big");
    assert_true(t.stats.bytes_out < sizeof large);
    assert_int_equal(t.stats.sent_us, 0);
    buf_release(&t.body);
}

/* The same, but it closes at once: what it said arrives although writing fails. */
static void a_refusal_survives_the_reset(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {PEER_ACCEPT, NULL, 0},
        {PEER_SLEEP, NULL, 50},
        {PEER_SEND, "HTTP/1.1 413 X\r\nContent-Length: 3\r\n\r\nbi", 0},
        {PEER_SLEEP, NULL, 50},
        {PEER_SEND, "g", 0},
        {PEER_CLOSE, NULL, 0},
        {0}};
    static char large[30 << 20];
    const struct str body = str_of(large, sizeof large);
    const struct http_request request = {.method = STR("POST"), .body = &body, .body_count = 1};
    for (int i = 0; i < 5; i++) {
        struct told t = {0};
        fetch_once(steps, &request, NULL, &t, NULL);
        assert_true(t.ended);
        assert_string_equal(buf_cstr(&t.body), "big");
        buf_release(&t.body);
    }
}

static void sending_has_its_timeout(void **state)
{
    (void)state;
    static const struct peer_step deaf[] = {{PEER_ACCEPT, NULL, 0}, {PEER_SLEEP, NULL, 900}, {0}};
    static const struct peer_step sleepy[] = {{PEER_ACCEPT, NULL, 0}, {PEER_SLEEP, NULL, 100},
                                              {PEER_READ, NULL, 0},   {PEER_SLEEP, NULL, 150},
                                              {PEER_SEND, KEPT, 0},   {0}};
    static char large[30 << 20];
    const struct str body = str_of(large, sizeof large);
    struct http_request request = {
        .method = STR("POST"), .body = &body, .body_count = 1, .timeouts = {.idle_ms = 400}};
    struct told t = {0}, u = {0};
    fetch_once(deaf, &request, NULL, &t, NULL);
    assert_int_equal(t.error, ERR_TIMEOUT);
    assert_int_equal(t.phase, HTTP_PHASE_SEND);
    assert_true(t.sent);
    assert_string_equal(t.detail, "nothing moved for 400 ms (send)");
    assert_in_range(t.stats.bytes_out, 1, sizeof large - 1);
    request.timeouts.first_byte_ms = 5000;
    fetch_once(sleepy, &request, NULL, &u, NULL);
    assert_true(u.ended);
    assert_int_equal(u.stats.bytes_out, sizeof large);
    buf_release(&t.body);
    buf_release(&u.body);
}

static void large_requests_arrive(void **state)
{
    (void)state;
    static const struct peer_step steps[] = PEER_SAYS(KEPT);
    enum { LARGE = 10 << 20 };
    static char large[LARGE];
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)('a' + i % 23);
    const struct str parts[] = {str_of(large, 5), str_of(large + 5, LARGE - 10),
                                str_of(large + LARGE - 5, 5)};
    const struct http_request request = {.method = STR("POST"), .body = parts, .body_count = 3};
    struct told t = {0};
    BUF_AUTO struct buf heard = {.max = 64 << 20};
    fetch_once(steps, &request, NULL, &t, &heard);
    assert_true(t.ended);
    struct str text = buf_str(&heard);
    struct str got = str_skip(text, (size_t)str_find(text, STR("\r\n\r\n")) + 4);
    assert_true(str_eq(got, str_of(large, LARGE)));
    assert_int_equal(t.stats.bytes_out, LARGE);
    buf_release(&t.body);
}

static void what_cannot_be_sent_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 9, NULL);
    const struct http_header bad[] = {
        HTTP_HEADER("X", STR("a\r\nY: b")), HTTP_HEADER("X", STR("a\0b")),
        HTTP_HEADER("X Y", STR("a")),       HTTP_HEADER("", STR("a")),
        HTTP_HEADER("X\n", STR("a")),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct told t = {0};
        const struct http_request request = {.headers = &bad[i], .header_count = 1};
        assert_int_equal(rig_start(&rig, &t, &request), ERR_INVALID);
        buf_release(&t.body);
    }
    static const char *const paths[] = {"x", "/a b", "/a\r\nX: y", "/\xc3\xbc", "http://h/"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct told t = {0};
        const struct http_request request = {.path = str_from_c(paths[i])};
        assert_int_equal(rig_start(&rig, &t, &request), ERR_INVALID);
        buf_release(&t.body);
    }
    struct told t = {0};
    const struct http_request method = {.method = STR("GET / HTTP/1.1\r\n")};
    assert_int_equal(rig_start(&rig, &t, &method), ERR_INVALID);
    buf_release(&t.body);
    static const char *const hosts[] = {"", "a b", "a/b", "u@h", "a\r\n", "[::1]", "h#"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct http_origin *o = NULL;
        const struct http_origin_options options = {.host = str_from_c(hosts[i]), .port = 1};
        assert_int_equal(http_origin_open(rig.client, &options, &o), ERR_INVALID);
    }
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_written_whole),
        cmocka_unit_test(answers_end_or_fail),
        cmocka_unit_test(heads_have_a_limit),
        cmocka_unit_test(every_wait_has_its_timeout),
        cmocka_unit_test(connecting_has_its_timeout),
        cmocka_unit_test(failures_to_connect_say_why),
        cmocka_unit_test(every_address_is_tried),
        cmocka_unit_test(a_pause_holds_the_peer_back),
        cmocka_unit_test(a_pause_keeps_what_came),
        cmocka_unit_test(a_cancelled_fetch_closes_its_connection),
        cmocka_unit_test(an_answer_may_come_before_the_request_is_out),
        cmocka_unit_test(a_refusal_survives_the_reset),
        cmocka_unit_test(sending_has_its_timeout),
        cmocka_unit_test(large_requests_arrive),
        cmocka_unit_test(what_cannot_be_sent_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
