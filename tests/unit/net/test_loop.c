#include "tests/unit/unit.h"

#include <stdatomic.h>

#include "base/mem.h"
#include "net/loop.h"
#include "net/timer_int.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/thread.h"

/* ---- The wheel, without a clock ---- */

struct probe {
    struct loop_timer timer;
    struct timer_wheel *wheel;
    uint64_t wanted_ms, added_ms;
    bool fired;
    int *fired_count;
};

static void check_fired(void *arg)
{
    struct probe *p = arg;
    uint64_t now = p->wheel->clock_ms;
    uint64_t delay = p->wanted_ms - p->added_ms;
    assert_false(p->fired);
    p->fired = true;
    (*p->fired_count)++;
    assert_true(now >= p->wanted_ms);
    assert_true(now - p->wanted_ms <= delay / 7 + 1);
}

static void timers_fire_once_never_early_and_not_too_late(void **state)
{
    (void)state;
    enum { COUNT = 4000 };
    struct probe *probes = mem_array(COUNT, sizeof *probes);
    int fired = 0, stopped = 0;
    struct timer_wheel wheel;
    timer_wheel_init(&wheel, 12345);
    os_random_seed(7);
    uint64_t now = 12345;
    int added = 0;
    while (fired + stopped < COUNT) {
        for (int i = 0; i < 20 && added < COUNT; i++, added++) {
            struct probe *p = &probes[added];
            /* from 0 ms to 12 days, every magnitude alike */
            uint64_t delay = (os_random_u64() % 1000) << (os_random_u64() % 21);
            *p = (struct probe){.wheel = &wheel, .wanted_ms = now + delay, .added_ms = now};
            p->fired_count = &fired;
            loop_timer_init(&p->timer, check_fired, p);
            uint64_t due = timer_wheel_add(&wheel, &p->timer, p->wanted_ms);
            assert_true(due >= p->wanted_ms && due > now);
            assert_true(timer_wheel_next(&wheel) <= due);
        }
        struct probe *victim = &probes[os_random_u64() % (unsigned)added];
        if (loop_timer_running(&victim->timer) && os_random_u64() % 4 == 0) {
            timer_wheel_remove(&wheel, &victim->timer);
            victim->fired = true;
            stopped++;
        }
        if (added == COUNT && os_random_u64() % 2)
            now = timer_wheel_next(&wheel) == TIMER_NEVER ? now : timer_wheel_next(&wheel);
        else
            now += (os_random_u64() % 100) << (os_random_u64() % 12);
        timer_wheel_advance(&wheel, now);
        assert_int_equal(wheel.count, added - fired - stopped);
    }
    assert_int_equal(timer_wheel_next(&wheel), TIMER_NEVER);
    for (int i = 0; i < COUNT; i++)
        assert_true(probes[i].fired);
    assert_true(fired > 1000 && stopped > 10);
    mem_free(probes);
}

/* Callbacks that stop others due at the same time, and start themselves anew. */
struct pair {
    struct timer_wheel wheel;
    struct loop_timer a, b;
    int a_fired, b_fired;
};

static void stop_b(void *arg)
{
    struct pair *p = arg;
    p->a_fired++;
    if (loop_timer_running(&p->b))
        timer_wheel_remove(&p->wheel, &p->b);
    timer_wheel_add(&p->wheel, &p->a, p->wheel.clock_ms + 10);
}

static void stop_a(void *arg)
{
    struct pair *p = arg;
    p->b_fired++;
    if (loop_timer_running(&p->a))
        timer_wheel_remove(&p->wheel, &p->a);
}

static void callbacks_may_change_the_wheel(void **state)
{
    (void)state;
    struct pair p = {0};
    timer_wheel_init(&p.wheel, 0);
    loop_timer_init(&p.a, stop_b, &p);
    loop_timer_init(&p.b, stop_a, &p);
    timer_wheel_add(&p.wheel, &p.a, 5);
    timer_wheel_add(&p.wheel, &p.b, 5);
    timer_wheel_advance(&p.wheel, 5);
    assert_int_equal(p.a_fired + p.b_fired, 1);
    timer_wheel_advance(&p.wheel, 100);
    assert_int_equal(p.b_fired == 1 ? 0 : 10, p.a_fired);
    assert_int_equal(p.wheel.count, p.a_fired ? 1 : 0);
}

/* ---- The loop ---- */

struct note {
    struct loop *loop;
    uint64_t at_us;
    int count;
    struct loop_timer timer;
    struct loop_task task;
};

static void note_time(void *arg)
{
    struct note *n = arg;
    n->at_us = loop_now_us(n->loop);
    n->count++;
}

static void timers_wake_the_loop(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    assert_int_equal(loop_new(&loop), ERR_OK);
    struct note late = {.loop = loop}, soon = {.loop = loop}, never = {.loop = loop};
    loop_timer_init(&late.timer, note_time, &late);
    loop_timer_init(&soon.timer, note_time, &soon);
    loop_timer_init(&never.timer, note_time, &never);
    loop_timer_stop(&never.timer);
    uint64_t begin = os_now_us();
    loop_timer_start(loop, &late.timer, 80);
    loop_timer_start(loop, &never.timer, 1);
    loop_timer_start(loop, &soon.timer, 20);
    loop_timer_stop(&never.timer);
    loop_run_until_idle(loop);
    assert_int_equal(soon.count + late.count, 2);
    assert_int_equal(never.count, 0);
    assert_in_range(soon.at_us - begin, 20000, 60000 + 500000);
    assert_in_range(late.at_us - begin, 80000, 500000 + 500000);
    assert_true(soon.at_us < late.at_us);
    loop_free(loop);
}

/* A loop whose last timer is stopped is idle, though its alarm was set for a week. */
static void stopped_timers_do_not_keep_it_running(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    assert_int_equal(loop_new(&loop), ERR_OK);
    struct note n = {.loop = loop};
    loop_timer_init(&n.timer, note_time, &n);
    loop_timer_start(loop, &n.timer, UINT64_MAX);
    loop_timer_stop(&n.timer);
    uint64_t begin = os_now_us();
    loop_run_until_idle(loop);
    assert_true(os_now_us() - begin < 1000000);
    loop_free(loop);
}

static void defer_again(void *arg)
{
    struct note *n = arg;
    if (++n->count < 1000)
        loop_defer(n->loop, &n->task);
}

static void deferred_tasks_run_before_it_sleeps(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    assert_int_equal(loop_new(&loop), ERR_OK);
    struct note n = {.loop = loop};
    loop_task_init(&n.task, defer_again, &n);
    loop_defer(loop, &n.task);
    loop_run_until_idle(loop);
    assert_int_equal(n.count, 1000);
    loop_free(loop);
}

/* ---- Tasks from other threads ---- */

enum { POSTERS = 4, POSTS = 20000 };

struct box {
    struct loop *loop;
    atomic_int left;
    uint64_t last[POSTERS]; /* the loop's thread only */
};

struct letter {
    struct loop_task task;
    struct box *box;
    int poster;
    uint64_t number;
};

static void receive(void *arg)
{
    struct letter *l = arg;
    struct box *box = l->box;
    assert_ptr_equal(loop_self(), box->loop);
    assert_int_equal(l->number, box->last[l->poster] + 1); /* in each poster's order */
    box->last[l->poster] = l->number;
    mem_free(l);
    if (atomic_fetch_sub(&box->left, 1) == 1)
        loop_stop(box->loop);
}

struct poster {
    struct box *box;
    int index;
    struct os_thread thread;
};

static void post_many(void *arg)
{
    struct poster *p = arg;
    for (uint64_t i = 1; i <= POSTS; i++) {
        struct letter *l = NEW(struct letter);
        *l = (struct letter){.box = p->box, .poster = p->index, .number = i};
        loop_task_init(&l->task, receive, l);
        loop_post(p->box->loop, &l->task);
        /* Let the loop fall asleep now and then. */
        if (i % 1000 == 0) {
            struct os_mutex m;
            struct os_cond c;
            os_mutex_init(&m);
            os_cond_init(&c);
            os_mutex_lock(&m);
            (void)os_cond_wait_for(&c, &m, 2000);
            os_mutex_unlock(&m);
            os_cond_release(&c);
            os_mutex_release(&m);
        }
    }
}

static void every_posted_task_runs_in_order(void **state)
{
    (void)state;
    struct box box = {0};
    struct poster posters[POSTERS];
    assert_int_equal(loop_new(&box.loop), ERR_OK);
    atomic_init(&box.left, POSTERS * POSTS);
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.box = &box, .index = i};
        assert_int_equal(os_thread_start("poster", post_many, &posters[i], &posters[i].thread),
                         ERR_OK);
    }
    loop_run(box.loop); /* ends when all have come: a lost wake-up would hang here */
    for (int i = 0; i < POSTERS; i++) {
        os_thread_join(&posters[i].thread);
        assert_int_equal(box.last[i], POSTS);
    }
    assert_null(loop_self());
    loop_free(box.loop);
}

/* One task sent back and forth between two sleeping loops. */
struct court {
    struct loop *loops[2];
    struct loop_task ball;
    int bounces;
};

static void bounce(void *arg)
{
    struct court *c = arg;
    if (++c->bounces == 2000) {
        loop_stop(c->loops[0]);
        loop_stop(c->loops[1]);
        return;
    }
    loop_post(c->loops[c->bounces % 2], &c->ball);
}

static void run_loop(void *arg)
{
    loop_run(arg);
}

static void a_task_may_be_posted_from_itself(void **state)
{
    (void)state;
    struct court court = {0};
    struct os_thread thread;
    assert_int_equal(loop_new(&court.loops[0]), ERR_OK);
    assert_int_equal(loop_new(&court.loops[1]), ERR_OK);
    loop_task_init(&court.ball, bounce, &court);
    loop_post(court.loops[0], &court.ball);
    assert_int_equal(os_thread_start("loop", run_loop, court.loops[1], &thread), ERR_OK);
    loop_run(court.loops[0]);
    os_thread_join(&thread);
    assert_int_equal(court.bounces, 2000);
    loop_free(court.loops[0]);
    loop_free(court.loops[1]);
}

static void a_stop_before_the_run_counts(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    assert_int_equal(loop_new(&loop), ERR_OK);
    loop_set_user(loop, &loop);
    assert_ptr_equal(loop_user(loop), &loop);
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_once_never_early_and_not_too_late),
        cmocka_unit_test(callbacks_may_change_the_wheel),
        cmocka_unit_test(timers_wake_the_loop),
        cmocka_unit_test(stopped_timers_do_not_keep_it_running),
        cmocka_unit_test(deferred_tasks_run_before_it_sleeps),
        cmocka_unit_test(every_posted_task_runs_in_order),
        cmocka_unit_test(a_task_may_be_posted_from_itself),
        cmocka_unit_test(a_stop_before_the_run_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
