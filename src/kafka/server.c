/* Listening, accepting, draining; the appends that come back from the log. */
#include "kafka/server.h"

#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "codec/base64.h"
#include "kafka/kafka_int.h"
#include "net/address.h"
#include "net/listen.h"
#include "net/work.h"

/* ---- Accepting ---- */

/* An IPv4 address that came in through an IPv6 socket is written as what it is. */
static void address_text(const union net_address *a, char ret_host[KAFKA_ADDRESS_MAX],
                         unsigned *ret_port)
{
    ret_host[0] = 0;
    *ret_port = 0;
    if (a->any.sa_family == AF_INET) {
        (void)uv_ip4_name(&a->v4, ret_host, KAFKA_ADDRESS_MAX);
        *ret_port = ntohs(a->v4.sin_port);
    } else if (a->any.sa_family == AF_INET6) {
        (void)uv_ip6_name(&a->v6, ret_host, KAFKA_ADDRESS_MAX);
        *ret_port = ntohs(a->v6.sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
            memmove(ret_host, strrchr(ret_host, ':') + 1, strlen(strrchr(ret_host, ':') + 1) + 1);
    }
}

/* Who is it, and by which address of ours did it come? */
static void learn_addresses(struct kafka_conn *c)
{
    union net_address peer = {.any.sa_family = AF_UNSPEC};
    union net_address own = {.any.sa_family = AF_UNSPEC};
    int peer_len = sizeof peer;
    int own_len = sizeof own;
    unsigned port = 0;
    char host[KAFKA_ADDRESS_MAX];
    BUF_AUTO struct buf text = {.max = sizeof c->peer - 1};
    (void)uv_tcp_getpeername(&c->stream.tcp, &peer.any, &peer_len);
    (void)uv_tcp_getsockname(&c->stream.tcp, &own.any, &own_len);
    address_text(&peer, host, &port);
    buf_printf(&text, "%s:%u", host, port);
    memcpy(c->peer, text.ptr, text.len);
    (void)snprintf(c->peer_host, sizeof c->peer_host, "/%.*s", (int)sizeof c->peer_host - 2, host);
    address_text(&own, c->host, &port);
    c->is_loopback = net_address_is_loopback(&peer);
    c->must_authenticate = !c->is_loopback;
    c->principal = (struct kafka_principal){.known = c->is_loopback, .admin = c->is_loopback};
}

static void accept_one(struct kafka_half *half)
{
    if (half->conn_count >= KAFKA_CONNECTIONS_MAX) {
        half->accept_waiting = true; /* libuv holds this one and stops listening meanwhile */
        return;
    }
    half->accept_waiting = false;
    struct kafka_conn *c = kafka_conn_new(half);
    if (stream_accept(&c->stream, (uv_stream_t *)&half->listener) != ERR_OK) {
        kafka_conn_close(c);
        return;
    }
    learn_addresses(c);
    struct tls_context *tls = half->server->options.tls;
    if (tls) {
        const struct tls_start start = {.context = tls, .server = true};
        if (stream_start_tls(&c->stream, &start) != ERR_OK) {
            kafka_conn_break(c, "TLS cannot be started");
            return;
        }
    }
    kafka_conn_start(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct kafka_half *half = listener->data;
    loop_entered(half->loop);
    if (status == 0)
        accept_one(half);
}

/* On the loop's thread: take over the bound socket. */
static void attach(void *arg)
{
    struct kafka_half *half = arg;
    int fd = half->fd;
    half->fd = -1;
    if (half->draining) {
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
    if (half == half->server->halves)
        loop_timer_start(half->loop, &half->tick, GROUPS_TICK_MS);
}

static void on_listener_closed(uv_handle_t *handle)
{
    ((struct kafka_half *)handle->data)->listener_open = false;
}

static void stop_listening(struct kafka_half *half)
{
    if (!half->listening)
        return;
    half->listening = half->accept_waiting = false;
    uv_close((uv_handle_t *)&half->listener, on_listener_closed);
}

void kafka_half_conn_gone(struct kafka_half *half)
{
    if (half->accept_waiting && half->listening)
        accept_one(half);
}

/* ---- The log's answers ---- */

static void commit(void *arg)
{
    struct kafka_half *half = arg;
    half->commit_queued = false;
    log_commit(half->server->log);
}

void kafka_commit_later(struct kafka_half *half)
{
    if (half->commit_queued)
        return;
    half->commit_queued = true;
    loop_defer(half->loop, &half->commit);
}

/* On any thread. */
static void appended(struct log_append *first)
{
    struct kafka_half *half = first->owner;
    struct log_append *last = first;
    while (last->next)
        last = last->next;
    os_mutex_lock(&half->appended_lock);
    bool was_empty = !half->appended;
    *half->appended_last = first;
    half->appended_last = &last->next;
    os_mutex_unlock(&half->appended_lock);
    if (was_empty)
        loop_post(half->loop, &half->appended_task);
}

static void on_appended(void *arg)
{
    struct kafka_half *half = arg;
    os_mutex_lock(&half->appended_lock);
    struct log_append *first = half->appended;
    half->appended = NULL;
    half->appended_last = &half->appended;
    os_mutex_unlock(&half->appended_lock);
    for (struct log_append *next; first; first = next) {
        next = first->next;
        struct kafka_append *a = (struct kafka_append *)first;
        a->then(a);
    }
}

void kafka_append_init(struct kafka_append *a, struct kafka_half *half,
                       void (*then)(struct kafka_append *a))
{
    *a = (struct kafka_append){.append = {.done = appended, .owner = half, .lazy = true},
                               .then = then};
}

/* ---- The groups' clock ---- */

enum { IDLE_TICK_MS = 1000 };

static void rewrite(void *arg)
{
    struct kafka_half *half = arg;
    groups_rewrite(half->server->groups);
}

static void rewritten(void *arg)
{
    struct kafka_half *half = arg;
    half->working = false;
}

static void on_tick(void *arg)
{
    struct kafka_half *half = arg;
    struct groups *groups = half->server->groups;
    groups_tick(groups);
    txns_tick(half->server->txns);
    if (groups_want_rewrite(groups)) {
        half->working = true;
        work_start(half->loop, rewrite, rewritten, half);
    }
    loop_timer_start(half->loop, &half->tick, groups_busy(groups) ? GROUPS_TICK_MS : IDLE_TICK_MS);
}

/* ---- Life ---- */

static void drain_half(void *arg)
{
    struct kafka_half *half = arg;
    stop_listening(half);
    half->draining = true;
    struct kafka_conn *next;
    for (struct kafka_conn *c = half->conns; c; c = next) {
        next = c->next;
        kafka_conn_end(c);
        if (c->first && c->first->gone)
            c->first->gone(c->first);
    }
}

static void half_init(struct kafka_half *half, struct kafka_server *server, struct loop *loop)
{
    half->server = server;
    half->loop = loop;
    half->fd = -1;
    half->appended_last = &half->appended;
    os_mutex_init(&half->appended_lock);
    loop_task_init(&half->attach, attach, half);
    loop_task_init(&half->drain, drain_half, half);
    loop_task_init(&half->commit, commit, half);
    loop_timer_init(&half->tick, on_tick, half);
    loop_task_init(&half->appended_task, on_appended, half);
}

struct kafka_server *kafka_server_alloc(struct loop *const *loops, size_t count,
                                        const struct kafka_options *options)
{
    struct kafka_server *server = mem_alloc(sizeof *server + count * sizeof(struct kafka_half));
    server->options = *options;
    server->log = options->log;
    server->half_count = count;
    BUF_AUTO struct buf text = {.max = KAFKA_CLUSTER_ID_BYTES + 2};
    base64_encode(str_of((const char *)options->cluster_id, sizeof options->cluster_id), &text);
    memcpy(server->cluster_id, text.ptr, KAFKA_CLUSTER_ID_BYTES);
    for (size_t i = 0; i < KAFKA_CLUSTER_ID_BYTES; i++)
        if (server->cluster_id[i] == '+' || server->cluster_id[i] == '/')
            server->cluster_id[i] = server->cluster_id[i] == '+' ? '-' : '_';
    for (size_t i = 0; i < count; i++)
        half_init(&server->halves[i], server, loops[i]);
    return server;
}

enum err kafka_server_open(struct loop *const *loops, size_t loop_count,
                           const struct kafka_options *options, struct buf *detail,
                           struct kafka_server **ret_server)
{
    uint16_t port = 0;
    struct groups *groups = NULL;
    struct txns *txns = NULL;
    int *sockets = mem_array(loop_count, sizeof(int));
    enum err e = listen_open(options->host, options->port, loop_count, detail, sockets, &port);
    if (e != ERR_OK) {
        mem_free(sockets);
        return e;
    }
    e = groups_open(options->log, &groups);
    if (e == ERR_OK)
        e = txns_open(options->log, groups, &txns);
    if (e != ERR_OK) {
        buf_printf(detail, "topic %s: %s", groups ? "__transaction_state" : "__consumer_offsets",
                   err_text(e));
        groups_close(groups);
        for (size_t i = 0; i < loop_count; i++)
            (void)close(sockets[i]);
        mem_free(sockets);
        return e;
    }
    struct kafka_server *server = kafka_server_alloc(loops, loop_count, options);
    server->port = port;
    server->groups = groups;
    server->txns = txns;
    for (size_t i = 0; i < loop_count; i++) {
        server->halves[i].fd = sockets[i];
        loop_post(loops[i], &server->halves[i].attach);
    }
    mem_free(sockets);
    *ret_server = server;
    return ERR_OK;
}

uint16_t kafka_server_port(const struct kafka_server *server)
{
    return server->port;
}

void kafka_server_drain(struct kafka_server *server)
{
    for (size_t i = 0; i < server->half_count; i++)
        loop_post(server->halves[i].loop, &server->halves[i].drain);
}

static void half_close(struct kafka_half *half)
{
    stop_listening(half);
    loop_timer_stop(&half->tick);
    struct kafka_conn *next;
    for (struct kafka_conn *c = half->conns; c; c = next) {
        next = c->next;
        kafka_conn_close(c);
    }
    do
        loop_turn(half->loop);
    while (half->conn_count > 0 || half->listener_open || half->fd >= 0 || half->working);
    while (half->free) {
        struct kafka_request *r = half->free;
        half->free = r->next;
        arena_release(&r->arena);
        buf_release(&r->out);
        mem_free(r);
    }
    os_mutex_release(&half->appended_lock);
}

void kafka_server_free(struct kafka_server *server)
{
    if (!server)
        return;
    for (size_t i = 0; i < server->half_count; i++)
        half_close(&server->halves[i]);
    txns_close(server->txns);
    groups_close(server->groups);
    mem_free(server);
}

void kafka_server_stats(const struct kafka_server *server, struct kafka_stats *ret_stats)
{
    *ret_stats = (struct kafka_stats){0};
    for (size_t i = 0; i < server->half_count; i++) {
        const struct kafka_half *half = &server->halves[i];
#define SUM(name) ret_stats->name += atomic_load_explicit(&half->name, memory_order_relaxed)
        SUM(connections);
        SUM(connections_total);
        SUM(requests);
        SUM(bytes_in);
        SUM(bytes_out);
        SUM(closed_for_cause);
#undef SUM
    }
}
