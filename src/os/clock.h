/* Time. The only door to the machine's clocks; a simulation puts its own behind it. */
#ifndef WEIR_OS_CLOCK_H
#define WEIR_OS_CLOCK_H

#include <stdint.h>

/* Monotonic, µs; its zero means nothing. Any thread. */
uint64_t os_now_us(void);
/* Wall clock, µs since 1970-01-01 UTC; may jump. Any thread. */
int64_t os_wall_us(void);

/* Let the calling thread wait. Not on a loop. */
void os_sleep_us(uint64_t us);

struct os_clock {
    uint64_t (*now_us)(void *arg);
    int64_t (*wall_us)(void *arg);
    void *arg;
};

/* Put a simulated clock in place, or NULL for the machine's. Before other threads start; the clock
 * must outlive its use. */
void os_clock_set(const struct os_clock *clock);

#endif
