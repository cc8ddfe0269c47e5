#include "cli/wire/wire_loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "os/clock.h"
#include "os/process.h"

enum { EVENTS_PER_TURN = 256 };

enum err wire_loop_init(struct wire_loop *loop)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    os_open_files_raise();
    /* The kernel may delay timers by 50 µs to save wake-ups: not where µs are measured. */
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    *loop = (struct wire_loop){.epoll_fd = fd, .now_us = os_now_us(), .signals = {.fd = -1}};
    return ERR_OK;
}

void wire_loop_release(struct wire_loop *loop)
{
    wire_io_close(loop, &loop->signals);
    close(loop->epoll_fd);
    mem_free(loop->heap);
}

void wire_loop_stop(struct wire_loop *loop)
{
    loop->stopping = true;
}

/* ---- Sockets ---- */

enum err wire_io_add(struct wire_loop *loop, struct wire_io *io, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data = {.ptr = io}};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return err_from_errno(errno);
    io->fd = fd;
    io->events = events;
    return ERR_OK;
}

void wire_io_want(struct wire_loop *loop, struct wire_io *io, uint32_t events)
{
    if (io->fd < 0 || io->events == events)
        return;
    struct epoll_event event = {.events = events, .data = {.ptr = io}};
    int result = epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, io->fd, &event);
    ASSERT(result == 0);
    io->events = events;
}

void wire_io_close(struct wire_loop *loop, struct wire_io *io)
{
    if (io->fd < 0)
        return;
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
    close(io->fd);
    io->fd = -1;
}

static void on_signal(void *arg, uint32_t events)
{
    (void)events;
    wire_loop_stop(arg);
}

enum err wire_loop_stop_on_signals(struct wire_loop *loop)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_from_errno(errno);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return err_from_errno(errno);
    loop->signals = (struct wire_io){.fd = -1, .fn = on_signal, .arg = loop};
    return wire_io_add(loop, &loop->signals, fd, EPOLLIN);
}

/* ---- Timers: heap[0] is the earliest; the children of i are 2i+1 and 2i+2 ---- */

static void heap_put(struct wire_loop *loop, size_t i, struct wire_timer *timer)
{
    loop->heap[i] = timer;
    timer->place = i + 1;
}

static void heap_up(struct wire_loop *loop, size_t i, struct wire_timer *timer)
{
    while (i > 0 && loop->heap[(i - 1) / 2]->due_us > timer->due_us) {
        heap_put(loop, i, loop->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_put(loop, i, timer);
}

static void heap_down(struct wire_loop *loop, size_t i, struct wire_timer *timer)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= loop->heap_len)
            break;
        if (child + 1 < loop->heap_len && loop->heap[child + 1]->due_us < loop->heap[child]->due_us)
            child++;
        if (loop->heap[child]->due_us >= timer->due_us)
            break;
        heap_put(loop, i, loop->heap[child]);
        i = child;
    }
    heap_put(loop, i, timer);
}

void wire_timer_stop(struct wire_loop *loop, struct wire_timer *timer)
{
    if (timer->place == 0)
        return;
    size_t i = timer->place - 1;
    ASSERT(i < loop->heap_len && loop->heap[i] == timer);
    timer->place = 0;
    struct wire_timer *last = loop->heap[--loop->heap_len];
    if (last == timer)
        return;
    if (i > 0 && loop->heap[(i - 1) / 2]->due_us > last->due_us)
        heap_up(loop, i, last);
    else
        heap_down(loop, i, last);
}

void wire_timer_start(struct wire_loop *loop, struct wire_timer *timer, uint64_t due_us)
{
    wire_timer_stop(loop, timer);
    if (loop->heap_len == loop->heap_cap) {
        loop->heap_cap = loop->heap_cap ? loop->heap_cap * 2 : 64;
        loop->heap = mem_resize(loop->heap, loop->heap_cap * sizeof(struct wire_timer *));
    }
    timer->due_us = due_us;
    heap_up(loop, loop->heap_len++, timer);
}

static void run_timers(struct wire_loop *loop)
{
    while (loop->heap_len > 0 && !loop->stopping) {
        struct wire_timer *timer = loop->heap[0];
        if (timer->due_us > loop->now_us)
            return;
        wire_timer_stop(loop, timer);
        timer->fn(timer->arg);
    }
}

/* ---- Turns ---- */

static int wait_for_news(struct wire_loop *loop, struct epoll_event *events)
{
    if (loop->heap_len == 0)
        return epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN, -1);
    uint64_t now = os_now_us();
    uint64_t due = loop->heap[0]->due_us;
    uint64_t wait_us = due > now ? due - now : 0;
    struct timespec wait = {.tv_sec = (time_t)(wait_us / 1000000),
                            .tv_nsec = (long)(wait_us % 1000000) * 1000};
    int count = epoll_pwait2(loop->epoll_fd, events, EVENTS_PER_TURN, &wait, NULL);
    if (count < 0 && errno == ENOSYS) /* before Linux 5.11 */
        count = epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN, (int)((wait_us + 999) / 1000));
    return count;
}

void wire_loop_run(struct wire_loop *loop)
{
    struct epoll_event events[EVENTS_PER_TURN];
    loop->stopping = false;
    while (!loop->stopping) {
        int count = wait_for_news(loop, events);
        ASSERT(count >= 0 || errno == EINTR);
        loop->now_us = os_now_us();
        for (int i = 0; i < count && !loop->stopping; i++) {
            struct wire_io *io = events[i].data.ptr;
            if (io->fd >= 0)
                io->fn(io->arg, events[i].events);
        }
        run_timers(loop);
    }
}
