#include "tests/unit/unit.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "cli/wire/wire_loop.h"
#include "os/clock.h"

enum { TIMERS = 500 };

struct timed {
    struct wire_timer timer;
    struct wire_loop *loop;
    uint64_t *last_due_us;
    unsigned *fired;
};

static void on_timer(void *arg)
{
    struct timed *t = arg;
    assert_true(t->timer.due_us >= *t->last_due_us);
    assert_true(os_now_us() >= t->timer.due_us);
    *t->last_due_us = t->timer.due_us;
    if (--*t->fired == 0)
        wire_loop_stop(t->loop);
}

static void timers_fire_in_order_and_never_early(void **state)
{
    static struct timed timed[TIMERS];
    struct wire_loop loop;
    uint64_t last_due_us = 0;
    unsigned left = 0;
    (void)state;
    assert_int_equal(wire_loop_init(&loop), ERR_OK);
    uint64_t now = os_now_us();
    srand(7);
    for (size_t i = 0; i < TIMERS; i++) {
        timed[i] = (struct timed){
            .timer = {.fn = on_timer, .arg = &timed[i]},
            .loop = &loop,
            .last_due_us = &last_due_us,
            .fired = &left,
        };
        wire_timer_start(&loop, &timed[i].timer, now + (uint64_t)(rand() % 20000));
    }
    /* Some are moved, some taken out again. */
    for (size_t i = 0; i < TIMERS; i++) {
        if (i % 3 == 0)
            wire_timer_start(&loop, &timed[i].timer, now + (uint64_t)(rand() % 20000));
        if (i % 3 == 1)
            wire_timer_stop(&loop, &timed[i].timer);
        left += wire_timer_running(&timed[i].timer) ? 1 : 0;
    }
    assert_int_equal(left, TIMERS - (TIMERS + 1) / 3);
    wire_loop_run(&loop);
    assert_int_equal(left, 0);
    for (size_t i = 0; i < TIMERS; i++)
        assert_false(wire_timer_running(&timed[i].timer));
    wire_loop_release(&loop);
}

static void on_readable(void *arg, uint32_t events)
{
    assert_true(events & EPOLLIN);
    wire_loop_stop(arg);
}

static void sockets_tell(void **state)
{
    struct wire_loop loop;
    int ends[2];
    (void)state;
    assert_int_equal(wire_loop_init(&loop), ERR_OK);
    assert_int_equal(pipe(ends), 0);
    struct wire_io io = {.fd = -1, .fn = on_readable, .arg = &loop};
    assert_int_equal(wire_io_add(&loop, &io, ends[0], EPOLLIN), ERR_OK);
    assert_int_equal(write(ends[1], "x", 1), 1);
    wire_loop_run(&loop);
    wire_io_close(&loop, &io);
    assert_int_equal(io.fd, -1);
    close(ends[1]);
    wire_loop_release(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_and_never_early),
        cmocka_unit_test(sockets_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
