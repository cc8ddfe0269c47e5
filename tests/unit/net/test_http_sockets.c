/* The server over real sockets: clients that are slow, leave, flood or stall. */
#include "tests/unit/net/net_rig.h"

#include "net/http_server.h"

enum { LOOPS_MAX = 2, STREAM_BYTES = 24 << 20, PIECE = 16 << 10 };

struct rig {
    struct loop *loops[LOOPS_MAX];
    struct os_thread threads[LOOPS_MAX];
    size_t loop_count;
    struct http_server_options options;
    struct http_server *server;
    uint16_t port;
    /* what the handlers saw */
    atomic_int requests[LOOPS_MAX], gone, done, drained;
    _Atomic size_t pending_max;
    struct os_mutex lock; /* of peer */
    char peer[80];
};

/* ---- Handlers, by path ---- */

struct flow {
    struct rig *rig;
    struct http_exchange *x;
    struct loop_timer timer;
    size_t left;
    bool heedless; /* does not look at what is pending, and does not end */
    int ticks;
};

static void note_pending(struct flow *f)
{
    size_t pending = http_pending_bytes(f->x);
    if (pending > f->rig->pending_max)
        f->rig->pending_max = pending;
}

/* Write until it is all written or the client is slow. */
static void pour(struct flow *f)
{
    static const char piece[PIECE] = {'p'};
    while (f->left > 0 && !f->x->gone && (f->heedless || http_pending_bytes(f->x) <= 64 << 10)) {
        size_t n = f->left < PIECE ? f->left : PIECE;
        http_respond_body(f->x, str_of(piece, n));
        f->left -= n;
        note_pending(f);
    }
    if (f->left == 0 && !f->x->gone && !f->heedless)
        http_respond_end(f->x);
}

static void on_drain(struct http_exchange *x)
{
    pour(x->user);
}

static void give_up(void *arg)
{
    http_abort(((struct flow *)arg)->x);
}

static void on_gone(struct http_exchange *x)
{
    struct flow *f = x->user;
    f->rig->gone++;
    loop_timer_stop(&f->timer);
    if (str_eq(x->path, STR("/stubborn"))) {
        f->timer.fn = give_up;
        loop_timer_start(x->loop, &f->timer, 200);
    } else {
        http_abort(x);
    }
}

static void on_done(struct http_exchange *x)
{
    struct flow *f = x->user;
    assert_false(loop_timer_running(&f->timer));
    f->rig->done++;
}

static void tick(void *arg)
{
    struct flow *f = arg;
    http_respond_body(f->x, STR("tick\n"));
    if (--f->ticks > 0)
        loop_timer_start(f->x->loop, &f->timer, 20);
    else
        http_respond_end(f->x);
}

static void answer_late(void *arg)
{
    struct flow *f = arg;
    http_respond(f->x, 200, STR("text/plain"), STR("late"));
}

static void start(struct http_exchange *x, struct flow *f)
{
    if (str_eq(x->path, STR("/pour")) || str_eq(x->path, STR("/flood"))) {
        f->left = STREAM_BYTES;
        f->heedless = str_eq(x->path, STR("/flood"));
        http_respond_head(x, 200, NULL, 0, x->query.ptr ? STREAM_BYTES : HTTP_CHUNKED);
        pour(f);
    } else if (str_eq(x->path, STR("/ticks"))) {
        f->ticks = 10;
        http_respond_head(x, 200, NULL, 0, HTTP_CHUNKED);
        tick(f);
    } else if (str_eq(x->path, STR("/late"))) {
        loop_timer_start(x->loop, &f->timer, 100);
        f->timer.fn = answer_late;
    } else if (str_eq(x->path, STR("/whole"))) {
        static char whole[STREAM_BYTES];
        http_respond(x, 200, STR_NONE, str_of(whole, sizeof whole));
    } else if (!str_eq(x->path, STR("/hang")) && !str_eq(x->path, STR("/stubborn"))) {
        http_respond(x, 200, STR("text/plain"), x->body.len ? x->body : STR("hello"));
    }
}

static void on_request(struct http_exchange *x, void *arg)
{
    struct rig *rig = arg;
    struct flow *f = ARENA_NEW(x->arena, struct flow);
    *f = (struct flow){.rig = rig, .x = x};
    loop_timer_init(&f->timer, tick, f);
    x->user = f;
    x->on_drain = on_drain;
    x->on_gone = on_gone;
    x->on_done = on_done;
    for (size_t i = 0; i < rig->loop_count; i++)
        rig->requests[i] += loop_self() == rig->loops[i];
    os_mutex_lock(&rig->lock);
    (void)snprintf(rig->peer, sizeof rig->peer, "%.*s loopback=%d tls=%d", STR_ARG(http_peer(x)),
                   x->is_loopback, x->is_tls);
    os_mutex_unlock(&rig->lock);
    start(x, f);
}

static void on_headers(struct http_exchange *x, void *arg)
{
    (void)arg;
    if (str_eq(x->path, STR("/refuse")))
        http_respond(x, 401, STR("text/plain"), STR("no"));
}

/* ---- The rig ---- */

static void run_loop(void *arg)
{
    loop_run(arg);
}

static void rig_init(struct rig *rig)
{
    *rig = (struct rig){.loop_count = 1};
    os_mutex_init(&rig->lock);
    rig->options = (struct http_server_options){.host = STR("127.0.0.1"),
                                                .handler = {on_headers, on_request, rig}};
    http_limits_default(&rig->options.limits);
}

static void rig_start(struct rig *rig)
{
    for (size_t i = 0; i < rig->loop_count; i++)
        assert_int_equal(loop_new(&rig->loops[i]), ERR_OK);
    assert_int_equal(
        http_server_open(rig->loops, rig->loop_count, &rig->options, NULL, &rig->server), ERR_OK);
    rig->port = http_server_port(rig->server);
    for (size_t i = 0; i < rig->loop_count; i++)
        assert_int_equal(os_thread_start("loop", run_loop, rig->loops[i], &rig->threads[i]),
                         ERR_OK);
}

static void rig_stop(struct rig *rig)
{
    for (size_t i = 0; i < rig->loop_count; i++) {
        loop_stop(rig->loops[i]);
        os_thread_join(&rig->threads[i]);
    }
    http_server_free(rig->server);
    for (size_t i = 0; i < rig->loop_count; i++)
        loop_free(rig->loops[i]);
    os_mutex_release(&rig->lock);
}

static void until(atomic_int *counter, int value)
{
    for (int waited = 0; *counter != value && waited < RIG_WAIT_MS; waited += 5)
        rig_sleep_ms(5);
    assert_int_equal(*counter, value);
}

#define GET(path) STR("GET " path " HTTP/1.1\r\nHost: h\r\n\r\n")

static bool starts(const struct buf *b, const char *text)
{
    return str_starts(buf_str(b), str_from_c(text));
}

/* ---- Tests ---- */

static void the_client_is_known(void **state)
{
    (void)state;
    struct rig rig;
    BUF_AUTO struct buf out = {.max = 4096};
    rig_init(&rig);
    rig_start(&rig);
    int fd = rig_dial(rig.port);
    struct sockaddr_in own = {0};
    socklen_t len = sizeof own;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &len), 0);
    assert_true(rig_send(fd, GET("/")));
    assert_true(rig_recv_message(fd, &out));
    assert_true(str_ends(buf_str(&out), STR("\r\n\r\nhello")));
    char wanted[80];
    (void)snprintf(wanted, sizeof wanted, "127.0.0.1:%u loopback=1 tls=0", ntohs(own.sin_port));
    os_mutex_lock(&rig.lock);
    assert_string_equal(rig.peer, wanted);
    os_mutex_unlock(&rig.lock);
    (void)close(fd);
    rig_stop(&rig);
}

static void all_loops_share_one_port(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.loop_count = 2;
    rig_start(&rig);
    for (int i = 0; i < 100 && !(rig.requests[0] && rig.requests[1]); i++) {
        BUF_AUTO struct buf out = {.max = 4096};
        rig_ask(rig.port, STR("GET / HTTP/1.0\r\n\r\n"), &out);
        assert_true(starts(&out, "HTTP/1.1 200 OK\r\n"));
    }
    assert_true(rig.requests[0] > 0 && rig.requests[1] > 0);
    rig_stop(&rig);
}

static void a_port_in_use_is_an_error(void **state)
{
    (void)state;
    struct rig rig;
    struct http_server *second = NULL;
    BUF_AUTO struct buf detail = {.max = 256}, wanted = {.max = 256};
    rig_init(&rig);
    rig_start(&rig);
    rig.options.port = rig.port;
    assert_int_equal(http_server_open(rig.loops, 1, &rig.options, &detail, &second), ERR_IN_USE);
    buf_printf(&wanted, "cannot listen on 127.0.0.1:%u: the port is in use", rig.port);
    assert_string_equal(buf_cstr(&detail), buf_cstr(&wanted));
    rig.options.host = STR("no.such.host.invalid");
    assert_int_equal(http_server_open(rig.loops, 1, &rig.options, NULL, &second), ERR_DNS);
    rig.options.host = STR("");
    assert_int_equal(http_server_open(rig.loops, 1, &rig.options, NULL, &second), ERR_INVALID);
    rig.options.host = STR("192.0.2.1"); /* not ours */
    assert_int_not_equal(http_server_open(rig.loops, 1, &rig.options, NULL, &second), ERR_OK);
    assert_null(second);
    rig_stop(&rig);
}

static void slow_heads_and_bodies_time_out(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.options.limits.head_timeout_ms = 150;
    rig.options.limits.body_idle_ms = 150;
    rig_start(&rig);
    /* one byte now and then does not help */
    BUF_AUTO struct buf head = {.max = 4096}, body = {.max = 4096};
    int fd = rig_dial(rig.port);
    struct str request = GET("/");
    uint64_t begin = os_now_us();
    for (size_t i = 0; i < request.len && !rig_readable(fd, 30); i++)
        assert_true(rig_send(fd, str_take(str_skip(request, i), 1)));
    assert_in_range(os_now_us() - begin, 150000, 2000000);
    assert_true(rig_recv_all(fd, &head));
    assert_true(starts(&head, "HTTP/1.1 408 Request Timeout\r\n"));
    assert_true(str_find(buf_str(&head), STR("Connection: close")) > 0);
    (void)close(fd);
    /* a body may take its time, but not stop */
    fd = rig_dial(rig.port);
    assert_true(rig_send(fd, STR("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n")));
    for (int i = 0; i < 5; i++) {
        rig_sleep_ms(60);
        assert_true(rig_send(fd, STR("x")));
    }
    assert_true(rig_recv_all(fd, &body));
    assert_true(starts(&body, "HTTP/1.1 408 Request Timeout\r\n"));
    (void)close(fd);
    rig_stop(&rig);
}

static void idle_connections_are_closed_silently(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.options.limits.idle_timeout_ms = 100;
    rig_start(&rig);
    for (int asked = 0; asked < 2; asked++) {
        BUF_AUTO struct buf out = {.max = 4096};
        int fd = rig_dial(rig.port);
        if (asked) {
            assert_true(rig_send(fd, GET("/")));
            assert_true(rig_recv_message(fd, &out));
        }
        size_t had = out.len;
        assert_true(rig_recv_all(fd, &out));
        assert_int_equal(out.len, had);
        (void)close(fd);
    }
    rig_stop(&rig);
}

static void a_slow_reader_gets_all_and_holds_little(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    for (int known = 0; known < 2; known++) {
        BUF_AUTO struct buf out = {.max = 64 << 20};
        int fd = rig_dial(rig.port);
        assert_true(rig_send(fd, known ? STR("GET /pour?known HTTP/1.1\r\nHost: h\r\nConnection: "
                                             "close\r\n\r\n")
                                       : STR("GET /pour HTTP/1.0\r\n\r\n")));
        for (int i = 0; i < 20; i++) { /* as slow as it gets */
            rig_sleep_ms(10);
            assert_true(rig_recv(fd, &out, RIG_WAIT_MS) > 0);
        }
        assert_true(rig_recv_all(fd, &out));
        size_t head = (size_t)str_find(buf_str(&out), STR("\r\n\r\n")) + 4;
        assert_int_equal(out.len - head, STREAM_BYTES);
        (void)close(fd);
        until(&rig.done, known + 1);
    }
    assert_in_range(rig.pending_max, 1, (64 << 10) + PIECE + 64);
    assert_int_equal(rig.gone, 0);
    rig_stop(&rig);
}

/* A handler that does not heed it cannot fill the memory: the connection breaks. */
static void a_flood_breaks_the_connection(void **state)
{
    (void)state;
    struct rig rig;
    BUF_AUTO struct buf out = {.max = 64 << 20};
    rig_init(&rig);
    rig_start(&rig);
    int fd = rig_dial(rig.port);
    assert_true(rig_send(fd, GET("/flood")));
    until(&rig.gone, 1);
    until(&rig.done, 1);
    (void)rig_recv_all(fd, &out);
    assert_true(out.len < STREAM_BYTES);
    assert_int_equal(str_find(buf_str(&out), STR("\r\n0\r\n\r\n")), -1);
    assert_in_range(rig.pending_max, 1 << 20, (1 << 20) + 2 * PIECE);
    (void)close(fd);
    rig_stop(&rig);
}

static void a_reader_that_stops_is_let_go(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.options.limits.write_timeout_ms = 150;
    rig_start(&rig);
    int fd = rig_dial(rig.port);
    assert_true(rig_send(fd, GET("/pour")));
    until(&rig.gone, 1);
    until(&rig.done, 1);
    (void)close(fd);
    rig_stop(&rig);
}

static void a_client_that_leaves_is_noticed(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    static const struct str requests[] = {
        /* waiting for the answer, within a stream, with another request sent ahead */
        STR_INIT("GET /hang HTTP/1.1\r\nHost: h\r\n\r\n"),
        STR_INIT("GET /pour HTTP/1.1\r\nHost: h\r\n\r\n"),
        STR_INIT("GET /ticks HTTP/1.1\r\nHost: h\r\n\r\n"),
        STR_INIT("GET /hang HTTP/1.1\r\nHost: h\r\n\r\nGET /hang HTTP/1.1\r\nHost: h\r\n\r\n"),
    };
    int expected = 0;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        for (int how = 0; how < 3; how++) { /* close, reset, half-close */
            struct linger now = {.l_onoff = how == 1, .l_linger = 0};
            int fd = rig_dial(rig.port);
            assert_true(rig_send(fd, requests[i]));
            rig_sleep_ms(30);
            assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
            if (how == 2)
                assert_int_equal(shutdown(fd, SHUT_WR), 0);
            else
                (void)close(fd);
            expected++;
            until(&rig.gone, expected);
            until(&rig.done, expected);
            if (how == 2)
                (void)close(fd);
        }
    struct http_server_stats stats;
    http_server_stats(rig.server, &stats);
    assert_int_equal(stats.gone, expected);
    assert_int_equal(stats.exchanges, 0);
    assert_int_equal(stats.connections_total, expected);
    rig_stop(&rig);
}

/* A client may say that it sends nothing more, once its whole response is on the way. */
static void a_written_response_still_leaves(void **state)
{
    (void)state;
    struct rig rig;
    BUF_AUTO struct buf out = {.max = 64 << 20};
    rig_init(&rig);
    rig_start(&rig);
    int fd = rig_dial(rig.port);
    assert_true(rig_send(fd, GET("/whole")));
    assert_true(rig_recv(fd, &out, RIG_WAIT_MS) > 0);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    rig_sleep_ms(50);
    assert_true(rig_recv_all(fd, &out));
    assert_in_range(out.len, STREAM_BYTES, STREAM_BYTES + 200);
    until(&rig.done, 1);
    assert_int_equal(rig.gone, 0);
    struct http_server_stats stats;
    http_server_stats(rig.server, &stats);
    assert_int_equal(stats.gone, 0);
    (void)close(fd);
    rig_stop(&rig);
}

/* Slow is not stopped: as long as something moves, the write timeout does not strike. */
static void a_reader_may_take_its_time(void **state)
{
    (void)state;
    struct rig rig;
    char bytes[16384];
    size_t got = 0;
    rig_init(&rig);
    rig.options.limits.write_timeout_ms = 300;
    rig_start(&rig);
    int fd = rig_dial(rig.port);
    assert_true(rig_send(fd, STR("GET /pour HTTP/1.0\r\n\r\n")));
    for (ssize_t n = 1; n > 0; got += (size_t)n) {
        if (got % (1 << 20) < sizeof bytes)
            rig_sleep_ms(30);
        n = recv(fd, bytes, sizeof bytes, 0);
        assert_true(n >= 0);
    }
    assert_in_range(got, STREAM_BYTES, STREAM_BYTES + 200);
    (void)close(fd);
    rig_stop(&rig);
}

static void version_six_serves_too(void **state)
{
    (void)state;
    struct rig rig;
    BUF_AUTO struct buf out = {.max = 4096};
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
        skip(); /* a machine without it */
    rig_init(&rig);
    rig.options.host = STR("::1");
    rig_start(&rig);
    address.sin6_port = htons(rig.port);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_true(rig_send(fd, GET("/")));
    assert_true(rig_recv_message(fd, &out));
    os_mutex_lock(&rig.lock);
    assert_true(str_starts(str_from_c(rig.peer), STR("[::1]:")));
    assert_true(str_ends(str_from_c(rig.peer), STR(" loopback=1 tls=0")));
    os_mutex_unlock(&rig.lock);
    (void)close(fd);
    rig_stop(&rig);
}

/* The refusal reaches a client that is still sending a large body. */
static void a_refusal_reaches_who_still_sends(void **state)
{
    (void)state;
    struct rig rig;
    static char zeros[1 << 20];
    rig_init(&rig);
    rig_start(&rig);
    for (int i = 0; i < 20; i++) {
        BUF_AUTO struct buf out = {.max = 4096};
        int fd = rig_dial(rig.port);
        assert_true(rig_send(
            fd, STR("POST /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n")));
        (void)rig_send(fd, str_of(zeros, sizeof zeros));
        (void)rig_send(fd, str_of(zeros, 2000000 - sizeof zeros));
        assert_true(rig_recv_all(fd, &out));
        assert_true(starts(&out, "HTTP/1.1 401 Unauthorized\r\n"));
        assert_true(str_ends(buf_str(&out), STR("\r\n\r\nno")));
        (void)close(fd);
    }
    rig_stop(&rig);
}

static void connections_have_a_limit(void **state)
{
    (void)state;
    struct rig rig;
    BUF_AUTO struct buf out = {.max = 4096};
    int fds[3];
    rig_init(&rig);
    rig.options.limits.connections_max = 2;
    rig_start(&rig);
    for (int i = 0; i < 3; i++) {
        fds[i] = rig_dial(rig.port); /* the kernel takes it */
        assert_true(rig_send(fds[i], GET("/")));
        assert_int_equal(rig_readable(fds[i], i < 2 ? RIG_WAIT_MS : 100), i < 2);
    }
    (void)close(fds[0]);
    assert_true(rig_recv_message(fds[2], &out));
    assert_true(starts(&out, "HTTP/1.1 200 OK\r\n"));
    (void)close(fds[1]);
    (void)close(fds[2]);
    rig_stop(&rig);
}

static void on_drained(void *arg)
{
    ((struct rig *)arg)->drained++;
}

static void draining_lets_exchanges_end(void **state)
{
    (void)state;
    struct rig rig;
    BUF_AUTO struct buf stream = {.max = 4096}, late = {.max = 4096}, none = {.max = 4096};
    rig_init(&rig);
    rig.loop_count = 2;
    rig_start(&rig);
    int idle = rig_dial(rig.port), streaming = rig_dial(rig.port), waiting = rig_dial(rig.port);
    assert_true(rig_send(streaming, GET("/ticks")));
    assert_true(rig_send(waiting, GET("/late")));
    rig_sleep_ms(30);
    http_server_drain(rig.server, 5000, on_drained, &rig);
    http_server_drain(rig.server, 5000, on_drained, &rig); /* twice is once */
    assert_true(http_server_draining(rig.server));
    assert_true(rig_recv_all(idle, &none)); /* at once */
    assert_int_equal(none.len, 0);
    assert_int_equal(rig.drained, 0);
    int fd = 0;
    for (int i = 0; i < 200 && (fd = rig_dial(rig.port)) >= 0; i++) { /* each loop at its time */
        (void)close(fd);
        rig_sleep_ms(5);
    }
    assert_int_equal(fd, -1);
    assert_true(rig_recv_all(waiting, &late));
    assert_true(str_find(buf_str(&late), STR("Connection: close\r\n")) > 0);
    assert_true(str_ends(buf_str(&late), STR("\r\n\r\nlate")));
    assert_true(rig_recv_all(streaming, &stream));
    assert_true(str_ends(buf_str(&stream), STR("5\r\ntick\n\r\n0\r\n\r\n")));
    until(&rig.drained, 1);
    rig_sleep_ms(20);
    assert_int_equal(rig.drained, 1);
    assert_int_equal(rig.gone, 0);
    (void)close(idle);
    (void)close(streaming);
    (void)close(waiting);
    rig_stop(&rig);
}

static void the_deadline_breaks_what_is_left(void **state)
{
    (void)state;
    struct rig rig;
    BUF_AUTO struct buf out = {.max = 4096};
    rig_init(&rig);
    rig_start(&rig);
    int fd = rig_dial(rig.port), stubborn = rig_dial(rig.port);
    assert_true(rig_send(fd, GET("/hang")));
    assert_true(rig_send(stubborn, GET("/stubborn")));
    rig_sleep_ms(30);
    uint64_t begin = os_now_us();
    http_server_drain(rig.server, 100, on_drained, &rig);
    until(&rig.drained, 1);
    assert_in_range(os_now_us() - begin, 300000, 1900000); /* the stubborn one takes 200 ms more */
    assert_int_equal(rig.gone, 2);
    assert_int_equal(rig.done, 2);
    (void)rig_recv_all(fd, &out);
    assert_int_equal(out.len, 0);
    (void)close(fd);
    (void)close(stubborn);
    rig_stop(&rig);
}

/* Freed with everything open: handlers are told, nothing leaks (the sanitizers look). */
static void freeing_ends_everything(void **state)
{
    (void)state;
    struct rig rig;
    static const struct str requests[] = {
        STR_INIT("GET /hang HTTP/1.1\r\nHost: h\r\n\r\n"),
        STR_INIT("GET /pour HTTP/1.1\r\nHost: h\r\n\r\n"),
        STR_INIT("GET /hang HTTP/1.1\r\nHost: h\r\n\r\nGET /x"),
        STR_INIT("GET /part"),
        STR_INIT("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx"),
        STR_INIT(""),
    };
    enum { COUNT = sizeof requests / sizeof *requests };
    int fds[COUNT];
    rig_init(&rig);
    rig_start(&rig);
    for (size_t i = 0; i < COUNT; i++) {
        fds[i] = rig_dial(rig.port);
        assert_true(rig_send(fds[i], requests[i]));
    }
    rig_sleep_ms(50);
    rig_stop(&rig);
    assert_int_equal(rig.gone, 3);
    assert_int_equal(rig.done, 3);
    for (size_t i = 0; i < COUNT; i++)
        (void)close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_client_is_known),
        cmocka_unit_test(all_loops_share_one_port),
        cmocka_unit_test(a_port_in_use_is_an_error),
        cmocka_unit_test(slow_heads_and_bodies_time_out),
        cmocka_unit_test(idle_connections_are_closed_silently),
        cmocka_unit_test(a_slow_reader_gets_all_and_holds_little),
        cmocka_unit_test(a_flood_breaks_the_connection),
        cmocka_unit_test(a_reader_that_stops_is_let_go),
        cmocka_unit_test(a_client_that_leaves_is_noticed),
        cmocka_unit_test(a_written_response_still_leaves),
        cmocka_unit_test(a_reader_may_take_its_time),
        cmocka_unit_test(version_six_serves_too),
        cmocka_unit_test(a_refusal_reaches_who_still_sends),
        cmocka_unit_test(connections_have_a_limit),
        cmocka_unit_test(draining_lets_exchanges_end),
        cmocka_unit_test(the_deadline_breaks_what_is_left),
        cmocka_unit_test(freeing_ends_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
