/* One turn of libuv's loop is: timers, prepare, poll (socket callbacks), closing callbacks. All of
 * our own work that is due before sleeping (posted and deferred tasks, output) is done in prepare;
 * nothing can be left over by the callbacks before it. */
#include <signal.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/loop_int.h"
#include "net/stream.h"
#include "os/clock.h"

static _Thread_local struct loop *self;

enum { HEAD_BYTES_MAX = 256 << 10 }; /* of one message's head that we write */

static bool posted_run(struct loop *loop)
{
    struct loop_task *newest = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
    struct loop_task *oldest = NULL;
    while (newest) {
        struct loop_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    bool some = oldest != NULL;
    while (oldest) {
        struct loop_task *task = oldest;
        oldest = task->next;
        task->next = NULL;
        loop->now_us = 0;
        task->fn(task->arg);
    }
    return some;
}

static bool deferred_run(struct loop *loop)
{
    struct loop_task *task = loop->deferred;
    if (!task)
        return false;
    loop->deferred = NULL;
    loop->deferred_tail = &loop->deferred;
    while (task) {
        struct loop_task *next = task->next;
        task->next = NULL;
        task->fn(task->arg);
        task = next;
    }
    return true;
}

static bool flush_run(struct loop *loop)
{
    bool some = loop->flush != NULL;
    while (loop->flush) {
        struct loop_flush *flush = loop->flush;
        loop->flush = flush->next;
        if (!loop->flush)
            loop->flush_tail = &loop->flush;
        flush->queued = false;
        flush->fn(flush);
    }
    return some;
}

void loop_flush_forget(struct loop *loop, struct loop_flush *flush)
{
    if (!flush->queued)
        return;
    struct loop_flush **link = &loop->flush;
    while (*link != flush)
        link = &(*link)->next;
    *link = flush->next;
    if (!*link)
        loop->flush_tail = link;
    flush->queued = false;
}

/* True when work may be left. */
static bool settle(struct loop *loop)
{
    for (int round = 0; round < LOOP_DEFER_ROUNDS; round++) {
        bool some = posted_run(loop);
        some |= deferred_run(loop);
        some |= flush_run(loop);
        if (!some)
            return false;
    }
    return true;
}

static void on_again(uv_idle_t *handle)
{
    (void)handle;
}

static void on_prepare(uv_prepare_t *handle)
{
    struct loop *loop = handle->data;
    loop_touch(loop);
    bool left = settle(loop);
    /* Posters look at `sleeping` after they push; we look at the tasks after we set it. */
    atomic_store(&loop->sleeping, true);
    if (!left && atomic_load(&loop->posted))
        left = true;
    if (left)
        uv_idle_start(&loop->again, on_again);
    else
        uv_idle_stop(&loop->again);
    if (atomic_load_explicit(&loop->stop, memory_order_relaxed))
        uv_stop(&loop->uv);
}

/* ---- Timers ---- */

static uint64_t now_ms(struct loop *loop)
{
    return loop_now_us(loop) / 1000;
}

static void on_alarm(uv_timer_t *handle);

static void alarm_set(struct loop *loop, uint64_t due_ms)
{
    uint64_t now = now_ms(loop);
    loop->alarm_ms = due_ms;
    uv_timer_start(&loop->alarm, on_alarm, due_ms > now ? due_ms - now : 0, 0);
}

static void on_alarm(uv_timer_t *handle)
{
    struct loop *loop = handle->data;
    loop_touch(loop);
    loop->alarm_ms = 0; /* timers started by callbacks do not set it: it is set below */
    timer_wheel_advance(&loop->wheel, now_ms(loop));
    uint64_t next = timer_wheel_next(&loop->wheel);
    loop->alarm_ms = TIMER_NEVER;
    if (next != TIMER_NEVER)
        alarm_set(loop, next);
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t delay_ms)
{
    ASSERT(timer->fn);
    loop_timer_stop(timer);
    if (delay_ms > LOOP_TIMER_MAX_MS)
        delay_ms = LOOP_TIMER_MAX_MS;
    uint64_t now_us = loop_now_us(loop);
    /* Nothing is due before the alarm, so the wheel's clock may follow; a clock that stays behind
     * would put timers into coarser levels than they need. */
    if (now_us / 1000 < loop->alarm_ms && now_us / 1000 > loop->wheel.clock_ms)
        loop->wheel.clock_ms = now_us / 1000;
    if (loop->wheel.count == 0)
        uv_ref((uv_handle_t *)&loop->alarm);
    timer->loop = loop;
    uint64_t due_ms = timer_wheel_add(&loop->wheel, timer, (now_us + 999) / 1000 + delay_ms);
    if (due_ms < loop->alarm_ms)
        alarm_set(loop, due_ms);
}

void loop_timer_stop(struct loop_timer *timer)
{
    if (!timer->link)
        return;
    timer_wheel_remove(&timer->loop->wheel, timer);
    /* The alarm stays: it rings in vain at most once, and setting it anew costs more. */
    if (timer->loop->wheel.count == 0)
        uv_unref((uv_handle_t *)&timer->loop->alarm);
}

/* ---- Tasks ---- */

void loop_post(struct loop *loop, struct loop_task *task)
{
    struct loop_task *head = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do
        task->next = head;
    while (!atomic_compare_exchange_weak(&loop->posted, &head, task));
    /* Whoever takes `sleeping` back wakes the loop, for all tasks that wait by then. */
    if (atomic_load(&loop->sleeping) && atomic_exchange(&loop->sleeping, false))
        uv_async_send(&loop->wake);
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
    task->next = NULL;
    *loop->deferred_tail = task;
    loop->deferred_tail = &task->next;
}

/* ---- Life ---- */

static void on_wake(uv_async_t *handle)
{
    loop_touch(handle->data);
}

enum err loop_new(struct loop **ret_loop)
{
    /* libuv writes to sockets with write(): a peer that is gone must not end the process. */
    signal(SIGPIPE, SIG_IGN);
    struct loop *loop = NEW(struct loop);
    int rc = uv_loop_init(&loop->uv);
    if (rc != 0) {
        mem_free(loop);
        return err_from_errno(-rc);
    }
    rc = uv_async_init(&loop->uv, &loop->wake, on_wake);
    if (rc != 0) {
        (void)uv_loop_close(&loop->uv);
        mem_free(loop);
        return err_from_errno(-rc);
    }
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_idle_init(&loop->uv, &loop->again);
    uv_timer_init(&loop->uv, &loop->alarm);
    loop->wake.data = loop->prepare.data = loop->again.data = loop->alarm.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_unref((uv_handle_t *)&loop->wake);
    uv_unref((uv_handle_t *)&loop->prepare);
    uv_unref((uv_handle_t *)&loop->alarm);

    timer_wheel_init(&loop->wheel, os_now_us() / 1000);
    loop->alarm_ms = TIMER_NEVER;
    loop->deferred_tail = &loop->deferred;
    loop->flush_tail = &loop->flush;
    loop->read_bytes = mem_resize(NULL, LOOP_READ_BYTES);
    buf_init(&loop->head, HEAD_BYTES_MAX);
    atomic_init(&loop->posted, NULL);
    *ret_loop = loop;
    return ERR_OK;
}

static bool idle(struct loop *loop)
{
    return !atomic_load(&loop->posted) && !loop->deferred && !loop->flush &&
           !uv_loop_alive(&loop->uv);
}

void loop_turn(struct loop *loop)
{
    uv_ref((uv_handle_t *)&loop->prepare);
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    uv_unref((uv_handle_t *)&loop->prepare);
}

static void run(struct loop *loop)
{
    struct loop *outer = self;
    self = loop;
    loop_touch(loop);
    while (!atomic_load(&loop->stop)) {
        if (idle(loop))
            break;
        loop_turn(loop); /* uv_run does nothing when no handle is alive, but tasks may wait */
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    }
    atomic_store(&loop->stop, false);
    self = outer;
}

void loop_run(struct loop *loop)
{
    uv_ref((uv_handle_t *)&loop->wake);
    run(loop);
    uv_unref((uv_handle_t *)&loop->wake);
}

void loop_run_until_idle(struct loop *loop)
{
    run(loop);
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->again, NULL);
    uv_close((uv_handle_t *)&loop->alarm, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    ASSERT(uv_loop_close(&loop->uv) == 0);
    stream_blocks_free(loop);
    buf_release(&loop->head);
    mem_free(loop->plain_bytes);
    mem_free(loop->read_bytes);
    mem_free(loop);
}

struct loop *loop_self(void)
{
    return self;
}

struct uv_loop_s *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

uint64_t loop_now_us(struct loop *loop)
{
    if (loop->now_us == 0)
        loop->now_us = os_now_us();
    return loop->now_us;
}

void loop_entered(struct loop *loop)
{
    loop_touch(loop);
}

void loop_set_user(struct loop *loop, void *user)
{
    loop->user = user;
}

void *loop_user(const struct loop *loop)
{
    return loop->user;
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stop, true);
    uv_async_send(&loop->wake);
}
