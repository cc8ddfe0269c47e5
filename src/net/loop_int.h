/* What the loop shares with the rest of net: the flush list and the scratch memory that all
 * connections of one thread use in turn. */
#ifndef WEIR_NET_LOOP_INT_H
#define WEIR_NET_LOOP_INT_H

#include <stdatomic.h>
#include <stddef.h>
#include <uv.h>

#include "base/buf.h"
#include "net/loop.h"
#include "net/timer_int.h"

/* One read() takes at most this much. */
#define LOOP_READ_BYTES ((size_t)64 << 10)

struct stream_block;

/* Something with buffered output, linked into the loop until its flush. */
struct loop_flush {
    void (*fn)(struct loop_flush *flush);
    struct loop_flush *next;
    bool queued;
};

struct loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_idle_t again;  /* keeps the next poll from sleeping when work was left over */
    uv_timer_t alarm; /* set to the wheel's next timer, or earlier */

    struct timer_wheel wheel;
    uint64_t alarm_ms; /* when the alarm rings; TIMER_NEVER: not set */

    _Atomic(struct loop_task *) posted; /* newest first */
    atomic_bool sleeping;               /* a poster has to wake the loop */
    atomic_bool stop;

    struct loop_task *deferred, **deferred_tail;
    struct loop_flush *flush, **flush_tail;

    uint64_t now_us; /* 0: to be read */
    void *user;

    /* Scratch: valid within one callback. */
    char *read_bytes;  /* LOOP_READ_BYTES: what read() fills */
    char *plain_bytes; /* LOOP_READ_BYTES: what TLS decrypts into; made at first use */
    struct buf head;   /* where heads of messages are written before they go out */

    struct stream_block *blocks; /* free output blocks */
    uint32_t block_count;
};

/* A callback from libuv begins: the clock is read anew when somebody asks, and posters need not
 * wake the loop. */
static inline void loop_touch(struct loop *loop)
{
    loop->now_us = 0;
    if (atomic_load_explicit(&loop->sleeping, memory_order_relaxed))
        atomic_store_explicit(&loop->sleeping, false, memory_order_relaxed);
}

/* Have flush->fn called once before the loop sleeps. */
static inline void loop_flush_later(struct loop *loop, struct loop_flush *flush)
{
    if (flush->queued)
        return;
    flush->queued = true;
    flush->next = NULL;
    *loop->flush_tail = flush;
    loop->flush_tail = &flush->next;
}

/* One turn without sleeping, for what closes while the loop does not run. */
void loop_turn(struct loop *loop);

/* Forget a queued flush (its memory is about to go). */
void loop_flush_forget(struct loop *loop, struct loop_flush *flush);

#endif
