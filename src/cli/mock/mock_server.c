/* The mock's sockets: accept, read, parse, send, and the end of a connection. */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/mock/mock_int.h"
#include "cli/wire/wire_socket.h"
#include "os/clock.h"

enum {
    READ_BYTES = 256 << 10,
    KEPT_BYTES = 1 << 20, /* a buffer that a request grew beyond this is given back after it */
    ACCEPTS_PER_TURN = 64,
    ACCEPT_AGAIN_US = 100000,
};

/* One thread: every connection reads into the same place. */
static char read_bytes[READ_BYTES];

/* ---- Requests ---- */

static void request_init(struct mock_request *request)
{
    buf_init(&request->method, 64);
    buf_init(&request->target, MOCK_HEAD_BYTES_MAX);
    buf_init(&request->version, 16);
    buf_init(&request->fields, MOCK_HEAD_BYTES_MAX);
    buf_init(&request->body, MOCK_BODY_BYTES_MAX);
}

static void request_reset(struct mock_request *request)
{
    buf_reset(&request->method);
    buf_reset(&request->target);
    buf_reset(&request->version);
    buf_reset(&request->fields);
    if (request->body.cap > KEPT_BYTES)
        buf_release(&request->body);
    buf_reset(&request->body);
}

static void request_release(struct mock_request *request)
{
    buf_release(&request->method);
    buf_release(&request->target);
    buf_release(&request->version);
    buf_release(&request->fields);
    buf_release(&request->body);
}

struct str mock_request_field(const struct mock_request *request, struct str name)
{
    struct str rest = buf_str(&request->fields);
    while (rest.len > 0) {
        struct str field = str_split(&rest, '\0');
        struct str value = str_split(&rest, '\0');
        if (str_eq_nocase(field, name))
            return value;
    }
    return STR_NONE;
}

/* ---- Parsing ---- */

static bool append_to(struct buf *b, struct str text)
{
    buf_append_str(b, text);
    return b->error == ERR_OK;
}

static void expect_continue(struct mock_conn *conn)
{
    static const struct str go_on = STR_INIT("HTTP/1.1 100 Continue\r\n\r\n");
    if (str_eq_nocase(mock_request_field(&conn->request, STR("expect")), STR("100-continue")))
        (void)!send(conn->io.fd, go_on.ptr, go_on.len, MSG_NOSIGNAL);
}

static bool on_part(void *arg, enum wire_part part, struct str text)
{
    struct mock_conn *conn = arg;
    struct mock_request *request = &conn->request;
    switch (part) {
    case WIRE_BEGIN: request_reset(request); return true;
    case WIRE_METHOD: return append_to(&request->method, text);
    case WIRE_TARGET: return append_to(&request->target, text);
    case WIRE_VERSION: return append_to(&request->version, text);
    case WIRE_NAME:
    case WIRE_VALUE: return append_to(&request->fields, text);
    case WIRE_NAME_END:
    case WIRE_VALUE_END: return append_to(&request->fields, str_of("", 1));
    case WIRE_HEAD_END: expect_continue(conn); return true;
    case WIRE_BODY:
        /* What exceeds the maximum is dropped, the error sticks in the buffer: 413 at the end. */
        buf_append_str(&request->body, text);
        return true;
    }
    return false;
}

/* ---- Connections ---- */

static void conn_event(void *arg, uint32_t events);
static void conn_timer(void *arg);

static struct mock_conn *conn_new(struct mock *mock)
{
    struct mock_conn *conn = mock->free;
    if (conn) {
        mock->free = conn->next_free;
        return conn;
    }
    conn = NEW(struct mock_conn);
    conn->mock = mock;
    conn->io = (struct wire_io){.fd = -1, .fn = conn_event, .arg = conn};
    conn->timer = (struct wire_timer){.fn = conn_timer, .arg = conn};
    request_init(&conn->request);
    buf_init(&conn->ahead, MOCK_AHEAD_BYTES_MAX + READ_BYTES);
    buf_init(&conn->out, MOCK_ANSWER_BYTES_MAX);
    buf_init(&conn->answer.body, MOCK_ANSWER_BYTES_MAX);
    arena_init(&conn->answer.arena);
    conn->next = mock->all;
    mock->all = conn;
    return conn;
}

static void conn_close(struct mock_conn *conn)
{
    struct mock *mock = conn->mock;
    if (conn->io.fd < 0)
        return;
    wire_timer_stop(&mock->loop, &conn->timer);
    wire_io_close(&mock->loop, &conn->io);
    if (conn->answer.stage != STAGE_IDLE && !conn->is_control)
        mock->active--;
    conn->answer.stage = STAGE_IDLE;
    mock->open--;
    conn->next_free = mock->free;
    mock->free = conn;
}

static void conn_free(struct mock_conn *conn)
{
    conn_close(conn);
    request_release(&conn->request);
    buf_release(&conn->ahead);
    buf_release(&conn->out);
    buf_release(&conn->answer.body);
    arena_release(&conn->answer.arena);
    mem_free(conn);
}

/* The client is gone, or was sent away. */
static void conn_gone(struct mock_conn *conn)
{
    if (conn->answer.stage != STAGE_IDLE && !conn->is_control)
        conn->mock->stats.cancelled++;
    conn_close(conn);
}

static void conn_request(struct mock_conn *conn)
{
    struct mock *mock = conn->mock;
    conn->complete = false;
    conn->is_control = str_starts(buf_str(&conn->request.target), STR("/mock/"));
    if (conn->is_control) {
        mock_control(conn);
        return;
    }
    mock->stats.requests++;
    mock->stats.bytes_in += conn->request.body.len;
    if (!conn->counted)
        mock->stats.connections++;
    conn->reused = conn->counted;
    conn->counted = true;
    if (++mock->active > mock->stats.active_max)
        mock->stats.active_max = mock->active;
    mock_answer_start(conn);
    struct mock_request was_last = mock->last;
    mock->last = conn->request;
    conn->request = was_last;
    mock_answer_pump(conn);
}

/* Returns how many of the bytes belong to the request; conn->complete when it is whole. Closes the
 * connection on what is no HTTP. */
static size_t conn_parse(struct mock_conn *conn, struct str bytes)
{
    size_t used;
    enum wire_read read = wire_reader_feed(&conn->reader, bytes, &used);
    conn->complete = read == WIRE_WHOLE;
    if (read == WIRE_BAD)
        conn_close(conn);
    return used;
}

/* False: the connection is gone. */
static bool conn_read(struct mock_conn *conn)
{
    ssize_t got = recv(conn->io.fd, read_bytes, sizeof read_bytes, 0);
    size_t used = 0;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0) {
        conn_gone(conn);
        return false;
    }
    if (conn->answer.stage == STAGE_IDLE && conn->ahead.len == 0)
        used = conn_parse(conn, str_of(read_bytes, (size_t)got));
    buf_append(&conn->ahead, read_bytes + used, (size_t)got - used);
    if (conn->complete)
        conn_request(conn);
    return conn->io.fd >= 0;
}

static void conn_watch(struct mock_conn *conn)
{
    uint32_t events = EPOLLRDHUP;
    if (conn->ahead.len < MOCK_AHEAD_BYTES_MAX)
        events |= EPOLLIN;
    if (conn->out.len > conn->out_at && conn->answer.cut_due_us == 0)
        events |= EPOLLOUT;
    wire_io_want(&conn->mock->loop, &conn->io, events);
}

static void conn_event(void *arg, uint32_t events)
{
    struct mock_conn *conn = arg;
    if (events & (EPOLLERR | EPOLLHUP)) {
        conn_gone(conn);
        return;
    }
    if ((events & EPOLLOUT) && conn->answer.stage != STAGE_IDLE)
        mock_answer_pump(conn);
    if ((events & (EPOLLIN | EPOLLRDHUP)) && conn->io.fd >= 0 && !conn_read(conn))
        return;
    if (conn->io.fd >= 0)
        conn_watch(conn);
}

static void conn_timer(void *arg)
{
    struct mock_conn *conn = arg;
    if (conn->answer.stage != STAGE_IDLE)
        mock_answer_pump(conn);
    else
        buf_consume(&conn->ahead, conn_parse(conn, buf_str(&conn->ahead)));
    if (conn->complete)
        conn_request(conn);
    if (conn->io.fd >= 0)
        conn_watch(conn);
}

void mock_conn_answered(struct mock_conn *conn)
{
    struct mock *mock = conn->mock;
    bool close_now = conn->answer.close;
    if (!conn->is_control) {
        mock->active--;
        mock->stats.answered++;
    }
    conn->answer.stage = STAGE_IDLE;
    wire_timer_stop(&mock->loop, &conn->timer);
    if (close_now)
        conn_close(conn);
    else if (conn->ahead.len > 0) /* not from here: requests would nest as deep as they are many */
        wire_timer_start(&mock->loop, &conn->timer, mock->loop.now_us);
}

void mock_conn_break(struct mock_conn *conn, bool reset)
{
    conn->mock->stats.broken++;
    if (reset)
        wire_reset_on_close(conn->io.fd);
    conn_close(conn);
}

/* A few bytes, then a pause: segments that arrive apart. */
static size_t cut_length(struct mock_conn *conn, size_t len)
{
    static const size_t lengths[] = {1, 3, 2, 7, 1, 5, 11, 4};
    size_t cut = lengths[conn->answer.cuts++ % 8];
    conn->answer.cut_due_us = os_now_us() + 200;
    return len < cut ? len : cut;
}

bool mock_conn_flush(struct mock_conn *conn)
{
    bool cut = conn->answer.ask.fault.kind == FAULT_CUT_SEGMENTS && !conn->is_control;
    conn->answer.cut_due_us = 0;
    while (conn->out_at < conn->out.len) {
        size_t len = conn->out.len - conn->out_at;
        ssize_t sent = send(conn->io.fd, conn->out.ptr + conn->out_at,
                            cut ? cut_length(conn, len) : len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            return true;
        if (sent < 0) {
            conn_gone(conn);
            return false;
        }
        conn->out_at += (size_t)sent;
        if (!conn->is_control)
            conn->mock->stats.bytes_out += (uint64_t)sent;
        if (cut && conn->out_at < conn->out.len)
            return true;
    }
    conn->answer.cut_due_us = 0;
    conn->out_at = 0;
    if (conn->out.cap > KEPT_BYTES)
        buf_release(&conn->out);
    buf_reset(&conn->out);
    return true;
}

/* ---- Accepting ---- */

static void conn_start(struct mock *mock, int fd)
{
    struct mock_conn *conn = conn_new(mock);
    buf_reset(&conn->ahead);
    buf_reset(&conn->out);
    conn->out_at = 0;
    conn->counted = conn->reused = false;
    conn->complete = false;
    conn->answer.stage = STAGE_IDLE;
    wire_reader_init(&conn->reader, false, on_part, conn);
    mock->open++;
    if (wire_io_add(&mock->loop, &conn->io, fd, EPOLLIN | EPOLLRDHUP) != ERR_OK) {
        close(fd);
        mock->open--;
        conn->next_free = mock->free;
        mock->free = conn;
    }
}

static bool refused(struct mock *mock)
{
    for (size_t i = 0; i < mock->faults.count; i++) {
        struct mock_faults one = {.at = {mock->faults.at[i]}, .count = 1};
        if (mock->faults.at[i].kind != FAULT_REFUSE)
            continue;
        bool struck = mock_faults_roll(&one).kind == FAULT_REFUSE;
        mock->faults.at[i] = one.at[0];
        if (struck)
            return true;
    }
    return false;
}

static void on_accept(void *arg, uint32_t events)
{
    struct mock *mock = arg;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd;
        enum err e = wire_accept(mock->listener.fd, &fd);
        if (e == ERR_BUSY) {
            wire_io_want(&mock->loop, &mock->listener, 0);
            wire_timer_start(&mock->loop, &mock->accept_again, mock->loop.now_us + ACCEPT_AGAIN_US);
        }
        if (e != ERR_OK)
            return;
        if (refused(mock)) {
            mock->stats.faults++;
            wire_reset_on_close(fd);
            close(fd);
            continue;
        }
        conn_start(mock, fd);
    }
}

static void on_accept_again(void *arg)
{
    struct mock *mock = arg;
    wire_io_want(&mock->loop, &mock->listener, EPOLLIN);
}

enum err mock_server_start(struct mock *mock, int listen_fd)
{
    request_init(&mock->last);
    mock->listener = (struct wire_io){.fd = -1, .fn = on_accept, .arg = mock};
    mock->accept_again = (struct wire_timer){.fn = on_accept_again, .arg = mock};
    return wire_io_add(&mock->loop, &mock->listener, listen_fd, EPOLLIN);
}

void mock_server_release(struct mock *mock)
{
    while (mock->all) {
        struct mock_conn *conn = mock->all;
        mock->all = conn->next;
        conn_free(conn);
    }
    wire_timer_stop(&mock->loop, &mock->accept_again);
    wire_io_close(&mock->loop, &mock->listener);
    request_release(&mock->last);
}
