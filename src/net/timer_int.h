/* A hierarchical timing wheel: start and stop in constant time, never early, coarse for long
 * delays.
 *
 *   level   tick      reaches            A timer goes into the lowest level that reaches its delay,
 *     0      1 ms        62 ms           rounded up to that level's tick, and stays there: nothing
 *     1      8 ms       496 ms           cascades. (The scheme of Linux' kernel/time/timer.c.)
 *     2     64 ms         4 s
 *     …
 *     8   4.7 h           12 days
 *
 * 1. A timer in slot s of level l is due when (clock >> 3 l) reaches a value that is s modulo 64,
 * and at most 63 ticks of that level lie between the clock and it: slots never hold two rounds.
 * 2. clock_ms never passes a timer that has not fired. */
#ifndef WEIR_NET_TIMER_INT_H
#define WEIR_NET_TIMER_INT_H

#include <stdint.h>

#include "net/loop.h"

enum { TIMER_LEVELS = 9, TIMER_SLOTS = 64, TIMER_LEVEL_SHIFT = 3 };

#define TIMER_NEVER UINT64_MAX

struct timer_wheel {
    uint64_t clock_ms;           /* everything due until then has fired */
    uint32_t count;              /* timers inside */
    uint64_t used[TIMER_LEVELS]; /* bit s: slot s is not empty */
    struct loop_timer *slots[TIMER_LEVELS * TIMER_SLOTS];
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms);
/* timer is not inside. Due at the first tick that is not before due_ms and after clock_ms. Returns
 * when it will fire. */
uint64_t timer_wheel_add(struct timer_wheel *wheel, struct loop_timer *timer, uint64_t due_ms);
/* timer is inside, or among those being fired. */
void timer_wheel_remove(struct timer_wheel *wheel, struct loop_timer *timer);
/* When the next slot is due; TIMER_NEVER when there is none. */
uint64_t timer_wheel_next(const struct timer_wheel *wheel);
/* Move the clock to now_ms, calling every timer that is due by then. Callbacks may add and remove.
 */
void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms);

#endif
