/* One connection of the bench: connect, send the request, read the answer, again. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "cli/bench/bench_int.h"
#include "os/clock.h"

enum {
    READ_BYTES = 256 << 10,
    RETRY_US = 20000, /* after a connection that failed, so that a dead server is not hammered */
    FIRST_ERROR_BYTES = 300,
};

/* One thread: every connection reads into the same place. */
static char read_bytes[READ_BYTES];

static void conn_close(struct bench_conn *conn)
{
    wire_tls_free(conn->tls);
    conn->tls = NULL;
    wire_io_close(&conn->bench->loop, &conn->io);
    conn->state = CONN_CLOSED;
}

static void request_ended(struct bench_conn *conn, enum bench_outcome outcome, int status)
{
    ASSERT(conn->has_request);
    conn->has_request = false;
    if (conn->bench->first_failed == conn)
        conn->bench->first_error_whole = true;
    bench_request_ended(conn, outcome, status);
}

void bench_conn_fail(struct bench_conn *conn, enum bench_outcome outcome)
{
    conn_close(conn);
    if (outcome == OUTCOME_CONNECT)
        conn->bench->retry_us = os_now_us() + RETRY_US;
    request_ended(conn, outcome, 0);
}

/* ---- The answer ---- */

static void on_content(void *arg)
{
    struct bench_conn *conn = arg;
    struct bench *bench = conn->bench;
    if (!bench->options.stream || !bench_is_measured(bench, conn->intended_us))
        return;
    uint64_t now = bench->loop.now_us;
    if (conn->last_content_us == 0)
        histogram_add(&bench->results.ttft_us, now - conn->intended_us);
    else
        histogram_add(&bench->results.gap_us, now - conn->last_content_us);
    conn->last_content_us = now;
}

static void keep_first_error(struct bench_conn *conn, struct str text)
{
    struct bench *bench = conn->bench;
    struct buf *first = &bench->results.first_error;
    if (!bench->first_failed)
        bench->first_failed = conn;
    if (bench->first_failed != conn || bench->first_error_whole)
        return;
    for (size_t i = 0; i < text.len && first->len < FIRST_ERROR_BYTES; i++)
        buf_append_char(first, (unsigned char)text.ptr[i] < 0x20 ? ' ' : text.ptr[i]);
}

static bool on_part(void *arg, enum wire_part part, struct str text)
{
    struct bench_conn *conn = arg;
    int status = wire_reader_status(&conn->reader);
    if (part != WIRE_BODY)
        return true;
    if (status == 200)
        bench_answer_feed(&conn->answer, text);
    else
        keep_first_error(conn, text);
    return true;
}

static void answer_whole(struct bench_conn *conn)
{
    enum bench_outcome outcome = OUTCOME_STATUS;
    int status = wire_reader_status(&conn->reader);
    if (status < 200)
        return; /* informational: the answer follows */
    if (status == 200)
        outcome = (enum bench_outcome)bench_answer_end(&conn->answer, conn->bench->options.tokens);
    if (wire_reader_keeps(&conn->reader) && conn->sent == conn->request->len)
        conn->state = CONN_IDLE;
    else
        conn_close(conn);
    request_ended(conn, outcome, status);
}

static void conn_lost(struct bench_conn *conn)
{
    if (!conn->has_request)
        conn_close(conn); /* an idle one, closed by the server */
    else if (conn->first_byte && wire_reader_end(&conn->reader) == WIRE_WHOLE)
        answer_whole(conn);
    else
        bench_conn_fail(conn, conn->first_byte ? OUTCOME_TRUNCATED : OUTCOME_RESET);
}

/* ---- Bytes ---- */

static void take_bytes(struct bench_conn *conn, struct str bytes)
{
    conn->bench->results.bytes_in += bytes.len;
    if (!conn->has_request) { /* nobody asked */
        conn_close(conn);
        return;
    }
    conn->first_byte = true;
    while (bytes.len > 0 && conn->has_request) {
        size_t used;
        enum wire_read read = wire_reader_feed(&conn->reader, bytes, &used);
        bytes = str_skip(bytes, used);
        if (read == WIRE_BAD)
            bench_conn_fail(conn, OUTCOME_PROTOCOL);
        else if (read == WIRE_WHOLE)
            answer_whole(conn);
        else
            return;
    }
}

/* Until the socket has no more. */
static void conn_read(struct bench_conn *conn)
{
    while (conn->io.fd >= 0) {
        ssize_t got = conn->tls ? wire_tls_read(conn->tls, read_bytes, sizeof read_bytes)
                                : recv(conn->io.fd, read_bytes, sizeof read_bytes, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        /* Times are taken when bytes are read, not when the turn began. */
        conn->bench->loop.now_us = os_now_us();
        if (got <= 0) {
            conn_lost(conn);
            return;
        }
        take_bytes(conn, str_of(read_bytes, (size_t)got));
        if (!conn->tls && (size_t)got < sizeof read_bytes)
            return;
    }
}

static void conn_watch(struct bench_conn *conn)
{
    uint32_t events = EPOLLIN | EPOLLRDHUP;
    if (conn->has_request && conn->sent < conn->request->len)
        events |= conn->tls ? wire_tls_wants(conn->tls) : EPOLLOUT;
    wire_io_want(&conn->bench->loop, &conn->io, events);
}

static void conn_write(struct bench_conn *conn)
{
    const struct buf *request = conn->request;
    while (conn->sent < request->len) {
        const char *bytes = request->ptr + conn->sent;
        size_t len = request->len - conn->sent;
        ssize_t sent = conn->tls ? wire_tls_write(conn->tls, bytes, len)
                                 : send(conn->io.fd, bytes, len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0) {
            bench_conn_fail(conn, errno == EPROTO ? OUTCOME_CONNECT : OUTCOME_RESET);
            return;
        }
        conn->sent += (size_t)sent;
        conn->bench->results.bytes_out += (uint64_t)sent;
    }
}

static void conn_event(void *arg, uint32_t events)
{
    struct bench_conn *conn = arg;
    if (conn->state == CONN_CONNECTING) {
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return;
        if (wire_connect_error(conn->io.fd) != ERR_OK) {
            bench_conn_fail(conn, OUTCOME_CONNECT);
            return;
        }
        conn->state = CONN_BUSY;
        conn_write(conn);
    } else {
        if (conn->state == CONN_BUSY && conn->sent < conn->request->len)
            conn_write(conn);
        if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
            conn_read(conn);
    }
    if (conn->io.fd >= 0)
        conn_watch(conn);
}

/* ---- Requests ---- */

static void conn_open(struct bench_conn *conn)
{
    struct bench *bench = conn->bench;
    int fd;
    conn->state = CONN_CONNECTING;
    bench->results.connects++;
    if (wire_connect(&bench->address, &fd) != ERR_OK ||
        wire_io_add(&bench->loop, &conn->io, fd, EPOLLOUT) != ERR_OK) {
        bench_conn_fail(conn, OUTCOME_CONNECT);
        return;
    }
    wire_reader_init(&conn->reader, true, on_part, conn);
    if (bench->tls)
        conn->tls = wire_tls_new(bench->tls, fd, bench->options.host);
}

void bench_conn_start(struct bench_conn *conn, uint64_t intended_us)
{
    conn->has_request = true;
    conn->first_byte = false;
    conn->request = &conn->bench->requests[conn->bench->started % conn->bench->variants];
    conn->sent = 0;
    conn->intended_us = intended_us;
    conn->deadline_us = os_now_us() + conn->bench->options.timeout_us;
    conn->last_content_us = 0;
    bench_answer_begin(&conn->answer, conn->bench->options.stream);
    if (conn->state == CONN_CLOSED) {
        conn_open(conn);
        return;
    }
    conn->state = CONN_BUSY;
    conn_write(conn);
    if (conn->io.fd >= 0)
        conn_watch(conn);
}

void bench_conn_init(struct bench *bench, struct bench_conn *conn)
{
    *conn = (struct bench_conn){.bench = bench, .state = CONN_CLOSED};
    conn->io = (struct wire_io){.fd = -1, .fn = conn_event, .arg = conn};
    bench_answer_init(&conn->answer, on_content, conn);
}

void bench_conn_release(struct bench_conn *conn)
{
    conn_close(conn);
    bench_answer_release(&conn->answer);
}
