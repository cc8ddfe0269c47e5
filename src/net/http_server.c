#include "net/http_server.h"

#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/http_server_int.h"
#include "net/listen.h"

enum {
    DRAIN_GRACE_MS = 2000, /* after the deadline, for handlers to end what was broken */
};

struct http_server {
    uint16_t port;
    atomic_bool draining;
    uint64_t drain_ms;
    uint64_t grace_ms; /* idle connections are kept so long; 0: they go at once */
    void (*on_drained)(void *arg);
    void *drained_arg;
    struct loop_task drained;
    _Atomic size_t undrained;
    size_t half_count;
    struct server_half halves[];
};

struct server_half *http_server_half(struct http_server *server, size_t index)
{
    return &server->halves[index];
}

/* ---- Accepting ---- */

static void accept_one(struct server_half *half)
{
    if (half->conn_count >= half->limits.connections_max) {
        half->accept_waiting = true; /* libuv holds this one and stops listening meanwhile */
        return;
    }
    half->accept_waiting = false;
    struct http_conn *c = http_conn_new(half);
    if (stream_accept(&c->stream, (uv_stream_t *)&half->listener) != ERR_OK) {
        http_conn_break(c);
        return;
    }
    int len = sizeof c->peer;
    if (uv_tcp_getpeername(&c->stream.tcp, &c->peer.any, &len) == 0)
        c->is_loopback = net_address_is_loopback(&c->peer);
    http_conn_start(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct server_half *half = listener->data;
    loop_touch(half->loop);
    if (status == 0)
        accept_one(half);
}

/* On the loop's thread: take over the bound socket. */
static void attach(void *arg)
{
    struct server_half *half = arg;
    int fd = half->fd;
    half->fd = -1;
    if (half->drained) {
        (void)close(fd);
        return;
    }
    uv_tcp_init(loop_uv(half->loop), &half->listener);
    half->listener.data = half;
    half->listening = half->listener_open = true;
    int rc = uv_tcp_open(&half->listener, fd);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&half->listener, LISTEN_BACKLOG, on_connection);
    ASSERT(rc == 0); /* the socket is bound and listens already */
}

static void on_listener_closed(uv_handle_t *handle)
{
    ((struct server_half *)handle->data)->listener_open = false;
}

static void stop_listening(struct server_half *half)
{
    if (!half->listening)
        return;
    half->listening = false;
    half->accept_waiting = false;
    uv_close((uv_handle_t *)&half->listener, on_listener_closed);
}

/* ---- Opening ---- */

static void drain_half(void *arg);
static void swap_tls(void *arg);
static void on_drain_timer(void *arg);

static void half_init(struct server_half *half, struct http_server *server, struct loop *loop,
                      const struct http_limits *limits, const struct http_handler *handler)
{
    half->server = server;
    half->loop = loop;
    half->limits = *limits;
    half->handler = *handler;
    half->fd = -1;
    loop_task_init(&half->attach, attach, half);
    loop_task_init(&half->swap_tls, swap_tls, half);
    loop_task_init(&half->drain, drain_half, half);
    loop_timer_init(&half->drain_timer, on_drain_timer, half);
}

static struct http_server *server_alloc(struct loop *const *loops, size_t count,
                                        const struct http_limits *limits,
                                        const struct http_handler *handler)
{
    ASSERT(count > 0 && handler->on_request);
    struct http_server *server = mem_alloc(sizeof *server + count * sizeof(struct server_half));
    server->half_count = count;
    atomic_init(&server->undrained, count);
    for (size_t i = 0; i < count; i++)
        half_init(&server->halves[i], server, loops[i], limits, handler);
    return server;
}

enum err http_server_open(struct loop *const *loops, size_t loop_count,
                          const struct http_server_options *options, struct buf *detail,
                          struct http_server **ret_server)
{
    uint16_t port = 0;
    int *sockets = mem_array(loop_count, sizeof(int));
    enum err e = listen_open(options->host, options->port, loop_count, detail, sockets, &port);
    if (e != ERR_OK) {
        mem_free(sockets);
        return e;
    }
    struct http_server *server =
        server_alloc(loops, loop_count, &options->limits, &options->handler);
    server->port = port;
    for (size_t i = 0; i < loop_count; i++) {
        server->halves[i].fd = sockets[i];
        server->halves[i].tls = tls_context_ref(options->tls);
        loop_post(loops[i], &server->halves[i].attach);
    }
    mem_free(sockets);
    *ret_server = server;
    return ERR_OK;
}

struct http_server *http_server_new_memory(struct loop *loop, const struct http_limits *limits,
                                           const struct http_handler *handler)
{
    return server_alloc(&loop, 1, limits, handler);
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

/* ---- TLS settings at runtime ---- */

static void swap_tls(void *arg)
{
    struct server_half *half = arg;
    struct tls_context *fresh = atomic_exchange(&half->new_tls, NULL);
    if (!fresh)
        return;
    tls_context_unref(half->tls);
    half->tls = fresh;
}

void http_server_set_tls(struct http_server *server, struct tls_context *tls)
{
    for (size_t i = 0; i < server->half_count; i++) {
        struct server_half *half = &server->halves[i];
        struct tls_context *waiting = atomic_exchange(&half->new_tls, tls_context_ref(tls));
        /* A context that waited has its task on the way: that task will find the new one. */
        if (waiting)
            tls_context_unref(waiting);
        else
            loop_post(half->loop, &half->swap_tls);
    }
}

/* ---- Draining ---- */

static void drained(void *arg)
{
    struct http_server *server = arg;
    if (server->on_drained)
        server->on_drained(server->drained_arg);
}

static void half_drained(struct server_half *half)
{
    if (half->drained)
        return;
    half->drained = true;
    loop_timer_stop(&half->drain_timer);
    struct http_server *server = half->server;
    if (atomic_fetch_sub(&server->undrained, 1) == 1)
        loop_post(server->halves[0].loop, &server->drained);
}

static void break_all(struct server_half *half)
{
    struct http_conn *next;
    for (struct http_conn *c = half->conns; c; c = next) {
        next = c->next;
        http_conn_break(c);
    }
}

/* Connections without a request: they go, now or after their grace. */
static void end_idle(struct server_half *half)
{
    struct http_conn *next;
    for (struct http_conn *c = half->conns; c; c = next) {
        next = c->next;
        if (c->ex || c->lingering)
            continue;
        if (half->grace_ms)
            loop_timer_start(half->loop, &c->timer, half->grace_ms);
        else
            http_conn_break(c);
    }
    if (half->conn_count == 0)
        half_drained(half);
    else
        loop_timer_start(half->loop, &half->drain_timer, half->server->drain_ms);
}

static void on_drain_timer(void *arg)
{
    struct server_half *half = arg;
    if (half->drain_broke) {
        half_drained(half);
        return;
    }
    half->drain_broke = true;
    loop_timer_start(half->loop, &half->drain_timer, DRAIN_GRACE_MS);
    break_all(half);
}

static void drain_half(void *arg)
{
    struct server_half *half = arg;
    stop_listening(half);
    half->draining = true;
    half->grace_ms = half->server->grace_ms;
    end_idle(half);
}

void http_server_drain(struct http_server *server, uint64_t deadline_ms,
                       void (*on_drained)(void *arg), void *arg)
{
    http_server_hand_over(server, 0, deadline_ms, on_drained, arg);
}

void http_server_hand_over(struct http_server *server, uint64_t grace_ms, uint64_t deadline_ms,
                           void (*on_drained)(void *arg), void *arg)
{
    if (atomic_exchange(&server->draining, true))
        return;
    server->grace_ms = grace_ms;
    server->drain_ms = deadline_ms;
    server->on_drained = on_drained;
    server->drained_arg = arg;
    loop_task_init(&server->drained, drained, server);
    for (size_t i = 0; i < server->half_count; i++)
        loop_post(server->halves[i].loop, &server->halves[i].drain);
}

bool http_server_draining(const struct http_server *server)
{
    return atomic_load(&server->draining);
}

void server_half_conn_gone(struct server_half *half)
{
    if (half->accept_waiting && half->listening)
        accept_one(half);
    if (half->draining && half->conn_count == 0)
        half_drained(half);
}

/* ---- The end ---- */

static void half_close(struct server_half *half)
{
    half->drained = true; /* nobody is to be told any more */
    loop_timer_stop(&half->drain_timer);
    stop_listening(half);
    struct http_conn *next;
    for (struct http_conn *c = half->conns; c; c = next) {
        next = c->next;
        http_conn_destroy(c);
    }
    do
        loop_turn(half->loop);
    while (half->conn_count > 0 || half->listener_open || half->fd >= 0);
    while (half->free) {
        struct exchange *ex = half->free;
        half->free = ex->next_free;
        exchange_free(ex);
    }
    tls_context_unref(half->tls);
    tls_context_unref(atomic_load(&half->new_tls));
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    for (size_t i = 0; i < server->half_count; i++)
        half_close(&server->halves[i]);
    mem_free(server);
}

/* ---- Counters ---- */

void http_server_stats(const struct http_server *server, struct http_server_stats *ret_stats)
{
    *ret_stats = (struct http_server_stats){0};
    for (size_t i = 0; i < server->half_count; i++) {
        const struct server_counters *c = &server->halves[i].counters;
#define SUM(name) ret_stats->name += atomic_load_explicit(&c->name, memory_order_relaxed)
        SUM(connections);
        SUM(connections_total);
        SUM(exchanges);
        SUM(exchanges_total);
        SUM(bad_requests);
        SUM(gone);
        SUM(bytes_in);
        SUM(bytes_out);
#undef SUM
    }
}
