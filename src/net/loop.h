/* The event loop of one thread: sockets (libuv), timers, work handed over by other threads.
 *
 *   one turn:  timers ─> posted tasks, deferred tasks ─> sockets with news (callbacks) ─> posted
 *              tasks, deferred tasks ─> buffered output leaves, one write a connection
 *
 * 1. A loop belongs to the thread that runs it. Only loop_post and loop_stop may be called by
 *    others; everything else by the owner, or by whoever prepares the loop before it runs.
 * 2. Deferred and posted tasks run before the loop sleeps; so does the flush of buffered output.
 * 3. Timers never fire early. They are coarse: late by at most a seventh of their delay, or by
 *    LOOP_TIMER_TICK_MS when that is more. Starting and stopping one makes no system call.
 * 4. Nothing here allocates after loop_new. */
#ifndef WEIR_NET_LOOP_H
#define WEIR_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct loop;

#define LOOP_TIMER_TICK_MS 1

MUST_CHECK enum err loop_new(struct loop **ret_loop);
/* After loop_run has returned (or was never called). Whoever put something on the loop has closed
 * it before; what is left is a bug and ends the process. NULL is fine. */
void loop_free(struct loop *loop);
/* Run on the calling thread until loop_stop. What was being closed is closed when it returns. */
void loop_run(struct loop *loop);
/* Run until nothing keeps the loop alive (no socket, timer or task) or until loop_stop. For tests
 * and commands. */
void loop_run_until_idle(struct loop *loop);
/* Any thread, any time, before loop_run too. */
void loop_stop(struct loop *loop);

/* The loop that the calling thread runs, or NULL. */
struct loop *loop_self(void);
/* The uv_loop_t, for what net does not wrap (processes, pipes). */
struct uv_loop_s *loop_uv(struct loop *loop);
/* os_now_us() as of the callback being run: one reading of the clock serves all who ask within it.
 * Not for measuring the time that the callback itself takes. */
uint64_t loop_now_us(struct loop *loop);

/* First thing in a callback of a libuv handle that net does not wrap: a turn's clock begins anew.
 */
void loop_entered(struct loop *loop);

/* One pointer for whoever runs the loop (the gateway's state on this thread). */
void loop_set_user(struct loop *loop, void *user);
void *loop_user(const struct loop *loop);

/* Work for a loop, embedded in what the work is about. May be posted again from its own fn or after
 * it ran, never while it waits. */
struct loop_task {
    void (*fn)(void *arg);
    void *arg;
    struct loop_task *next; /* private */
};

static inline void loop_task_init(struct loop_task *task, void (*fn)(void *arg), void *arg)
{
    *task = (struct loop_task){.fn = fn, .arg = arg};
}

/* From any thread (and the loop's own): run task on the loop's thread. In the order posted by one
 * thread. Lock-free; wakes the loop only when it sleeps, once for many tasks. The loop must outlive
 * the call. */
void loop_post(struct loop *loop, struct loop_task *task);
/* From the loop's thread: run task in this turn, before the loop sleeps. What a deferred task
 * defers runs in this turn too, up to LOOP_DEFER_ROUNDS deep, then in the next one. */
void loop_defer(struct loop *loop, struct loop_task *task);

#define LOOP_DEFER_ROUNDS 16

/* A timer, embedded in what it is about. Zeroed memory is a stopped timer. */
struct loop_timer {
    void (*fn)(void *arg);
    void *arg;
    /* private */
    struct loop_timer *next, **link; /* link == NULL: stopped */
    struct loop *loop;
    uint64_t due_ms;
    uint16_t slot;
};

static inline void loop_timer_init(struct loop_timer *timer, void (*fn)(void *arg), void *arg)
{
    *timer = (struct loop_timer){.fn = fn, .arg = arg};
}

/* Fire once after delay_ms (0: at the next tick); a running timer is started anew. Delays above
 * LOOP_TIMER_MAX_MS fire then. */
void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t delay_ms);
/* Stopped and zeroed timers are fine. After it the memory may go. */
void loop_timer_stop(struct loop_timer *timer);

static inline bool loop_timer_running(const struct loop_timer *timer)
{
    return timer->link != NULL;
}

#define LOOP_TIMER_MAX_MS (7ULL * 24 * 3600 * 1000)

#endif
