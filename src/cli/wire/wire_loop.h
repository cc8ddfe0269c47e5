/* The event loop of the two measuring tools, `weir mock` and `weir bench`.
 *
 *   one turn:  epoll_pwait2 until the next timer ─> sockets with news ─> timers that are due
 *
 * Not src/net's, for three reasons: a judge shares no code with what it judges, or a mistake on
 * both sides cancels itself out; rates and gaps are measured in µs where net's timers are coarse;
 * and a fault needs each write, pause and reset of a socket by itself.
 *
 * 1. One thread, the one that runs it.
 * 2. Sockets are level-triggered. An event may be stale (its socket was replaced within the turn):
 *    whoever is called reads or writes without blocking and believes only what comes of that.
 * 3. Timers never fire early; equal ones in no order. */
#ifndef WEIR_CLI_WIRE_LOOP_H
#define WEIR_CLI_WIRE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A socket on the loop, embedded in what it is about. fd is -1 while it is not on the loop. */
struct wire_io {
    int fd;
    uint32_t events; /* EPOLLIN, EPOLLOUT, EPOLLRDHUP that are asked for */
    void (*fn)(void *arg, uint32_t events);
    void *arg;
};

/* A timer, embedded in what it is about. Zeroed memory with fn and arg is a stopped one. */
struct wire_timer {
    void (*fn)(void *arg);
    void *arg;
    uint64_t due_us; /* os_now_us clock */
    size_t place;    /* private: in the heap, from 1; 0: stopped */
};

struct wire_loop {
    int epoll_fd;
    bool stopping;
    uint64_t now_us; /* when the current turn began */
    struct wire_io signals;
    /* private: a binary heap, earliest first */
    struct wire_timer **heap;
    size_t heap_len, heap_cap;
};

/* ERR_IO when the kernel gives no epoll. Also raises the limit of open files as far as it goes. */
MUST_CHECK enum err wire_loop_init(struct wire_loop *loop);
void wire_loop_release(struct wire_loop *loop);
/* Until wire_loop_stop. */
void wire_loop_run(struct wire_loop *loop);
void wire_loop_stop(struct wire_loop *loop);
/* SIGINT and SIGTERM call wire_loop_stop from now on. */
MUST_CHECK enum err wire_loop_stop_on_signals(struct wire_loop *loop);

MUST_CHECK enum err wire_io_add(struct wire_loop *loop, struct wire_io *io, int fd,
                                uint32_t events);
/* Makes no system call when nothing changes. */
void wire_io_want(struct wire_loop *loop, struct wire_io *io, uint32_t events);
/* Take off the loop and close. Fine when it is not on the loop. */
void wire_io_close(struct wire_loop *loop, struct wire_io *io);

/* A running timer is started anew. */
void wire_timer_start(struct wire_loop *loop, struct wire_timer *timer, uint64_t due_us);
void wire_timer_stop(struct wire_loop *loop, struct wire_timer *timer);

static inline bool wire_timer_running(const struct wire_timer *timer)
{
    return timer->place != 0;
}

#endif
