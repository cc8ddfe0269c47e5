/* For tests of net over real sockets: plain blocking sockets, a scripted peer on a thread,
 * throw-away certificates. Everything waits at most RIG_WAIT_MS. */
#ifndef WEIR_TESTS_UNIT_NET_NET_RIG_H
#define WEIR_TESTS_UNIT_NET_NET_RIG_H

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "os/clock.h"
#include "os/thread.h"

enum { RIG_WAIT_MS = 10000 };

/* ---- Blocking sockets ---- */

static inline bool rig_readable(int fd, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, wait_ms) == 1;
}

static inline int rig_listen(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 64) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static inline int rig_dial(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/* False when the peer does not take it any more. */
static inline bool rig_send(int fd, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes = str_skip(bytes, (size_t)n);
    }
    return true;
}

/* Append what comes, once. 0: the peer closed; -1: it broke, or nothing came in time. */
static inline ssize_t rig_recv(int fd, struct buf *out, int wait_ms)
{
    char bytes[16384];
    if (!rig_readable(fd, wait_ms))
        return -1;
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    if (n > 0)
        buf_append(out, bytes, (size_t)n);
    return n;
}

/* Read until the peer closes. False when it does not, or resets. */
static inline bool rig_recv_all(int fd, struct buf *out)
{
    for (;;) {
        ssize_t n = rig_recv(fd, out, RIG_WAIT_MS);
        if (n <= 0)
            return n == 0;
    }
}

/* Read until `end` is there. */
static inline bool rig_recv_until(int fd, struct buf *out, struct str end)
{
    while (str_find(buf_str(out), end) < 0)
        if (rig_recv(fd, out, RIG_WAIT_MS) <= 0)
            return false;
    return true;
}

/* Read one whole HTTP message whose body, if any, has a Content-Length. */
static inline bool rig_recv_message(int fd, struct buf *out)
{
    if (!rig_recv_until(fd, out, STR("\r\n\r\n")))
        return false;
    size_t head = (size_t)str_find(buf_str(out), STR("\r\n\r\n")) + 4;
    ptrdiff_t at = str_find(buf_str(out), STR("Content-Length: "));
    uint64_t length = 0;
    if (at >= 0) {
        struct str rest = str_skip(buf_str(out), (size_t)at + 16);
        assert_int_equal(str_to_u64(str_split(&rest, '\r'), &length), ERR_OK);
    }
    while (out->len < head + length)
        if (rig_recv(fd, out, RIG_WAIT_MS) <= 0)
            return false;
    return true;
}

static inline void rig_sleep_ms(int ms)
{
    (void)poll(NULL, 0, ms);
}

/* Send `request` on a fresh connection and read until the server closes. */
static inline void rig_ask(uint16_t port, struct str request, struct buf *out)
{
    int fd = rig_dial(port);
    assert_true(fd >= 0);
    assert_true(rig_send(fd, request));
    assert_true(rig_recv_all(fd, out));
    (void)close(fd);
}

/* ---- A scripted peer ---- */

enum peer_do {
    PEER_END,
    PEER_ACCEPT,
    PEER_READ,     /* one message; kept in heard */
    PEER_SEND,     /* text */
    PEER_SEND_BIG, /* number bytes, 'a' to 'z' again and again */
    PEER_SLEEP,    /* number ms */
    PEER_CLOSE,
    PEER_RESET,
    PEER_SERVE,        /* text to every request of `number` connections, until all close */
    PEER_RELAY,        /* bytes to and from the port `number`, until either side closes */
    PEER_UNTIL_CLOSED, /* read until the other side closes; closed is counted */
};

struct peer_step {
    enum peer_do what;
    const char *text;
    size_t number;
};

struct peer {
    int listener;
    uint16_t port;
    const struct peer_step *steps;
    struct os_thread thread;
    struct buf heard; /* all messages, one after another; read it after peer_stop */
    atomic_int accepted, closed;
    _Atomic size_t sent; /* by PEER_SEND_BIG */
    atomic_bool failed;  /* a step did not work out */
    int fd;
};

static inline void peer_close(struct peer *p, bool reset)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (reset)
        (void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    (void)close(p->fd);
    p->fd = -1;
}

static inline bool peer_send_big(struct peer *p, size_t bytes)
{
    char piece[26 * 100];
    for (size_t i = 0; i < sizeof piece; i++)
        piece[i] = (char)('a' + i % 26);
    while (bytes > 0) {
        size_t n = bytes < sizeof piece ? bytes : sizeof piece;
        if (!rig_send(p->fd, str_of(piece, n)))
            return false;
        bytes -= n;
        p->sent += n;
    }
    return true;
}

static inline void peer_relay(struct peer *p, uint16_t port)
{
    int other = rig_dial(port);
    struct pollfd both[2] = {{.fd = p->fd, .events = POLLIN}, {.fd = other, .events = POLLIN}};
    bool open = other >= 0;
    while (open && poll(both, 2, RIG_WAIT_MS) > 0)
        for (int i = 0; i < 2; i++) {
            BUF_AUTO struct buf bytes = {.max = 1 << 20};
            if (both[i].revents == 0)
                continue;
            if (rig_recv(both[i].fd, &bytes, 0) <= 0 || !rig_send(both[1 - i].fd, buf_str(&bytes)))
                open = false;
        }
    (void)close(other);
}

static inline void peer_serve(struct peer *p, const char *text, size_t count)
{
    struct pollfd fds[64];
    size_t open = 0, accepted = 0;
    while (accepted < count || open > 0) {
        fds[open] = (struct pollfd){.fd = p->listener, .events = POLLIN};
        if (poll(fds, open + 1, RIG_WAIT_MS) <= 0)
            break;
        if (fds[open].revents) {
            fds[open++] = (struct pollfd){.fd = accept(p->listener, NULL, NULL), .events = POLLIN};
            accepted++;
            continue;
        }
        for (size_t i = 0; i < open; i++) {
            BUF_AUTO struct buf in = {.max = 1 << 20};
            if (fds[i].revents == 0)
                continue;
            if (rig_recv_message(fds[i].fd, &in) && rig_send(fds[i].fd, str_from_c(text)))
                continue;
            (void)close(fds[i].fd);
            fds[i] = fds[--open];
        }
    }
}

static inline bool peer_step(struct peer *p, const struct peer_step *step)
{
    BUF_AUTO struct buf in = {.max = 64 << 20};
    bool ok = true;
    switch (step->what) {
    case PEER_ACCEPT:
        ok = rig_readable(p->listener, RIG_WAIT_MS);
        if (ok) {
            if (p->fd >= 0)
                peer_close(p, false);
            p->fd = accept(p->listener, NULL, NULL);
            p->accepted++;
        }
        break;
    case PEER_READ:
        ok = rig_recv_message(p->fd, &in);
        buf_append_str(&p->heard, buf_str(&in));
        break;
    case PEER_SEND: ok = rig_send(p->fd, str_from_c(step->text)); break;
    case PEER_SEND_BIG: (void)peer_send_big(p, step->number); break;
    case PEER_SLEEP: rig_sleep_ms((int)step->number); break;
    case PEER_CLOSE: peer_close(p, false); break;
    case PEER_RESET: peer_close(p, true); break;
    case PEER_SERVE: peer_serve(p, step->text, step->number); break;
    case PEER_RELAY: peer_relay(p, (uint16_t)step->number); break;
    case PEER_UNTIL_CLOSED:
        while (rig_recv(p->fd, &in, RIG_WAIT_MS) > 0)
            buf_reset(&in);
        p->closed++;
        break;
    default: break;
    }
    return ok;
}

static inline void peer_main(void *arg)
{
    struct peer *p = arg;
    for (const struct peer_step *s = p->steps; s->what != PEER_END; s++)
        if (!peer_step(p, s)) {
            p->failed = true;
            break;
        }
    if (p->fd >= 0)
        peer_close(p, false);
}

static inline void peer_start(struct peer *p, const struct peer_step *steps)
{
    *p = (struct peer){.steps = steps, .fd = -1};
    buf_init(&p->heard, 64 << 20);
    p->listener = rig_listen(&p->port);
    assert_int_equal(os_thread_start("peer", peer_main, p, &p->thread), ERR_OK);
}

/* Wait for the script's end. */
static inline void peer_stop(struct peer *p)
{
    os_thread_join(&p->thread);
    (void)close(p->listener);
}

static inline void peer_release(struct peer *p)
{
    buf_release(&p->heard);
}

#endif
