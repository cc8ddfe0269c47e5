#include "os/clock.h"

#include <time.h>

#include "base/assert.h"

static const struct os_clock *simulated;

static int64_t read_us(clockid_t id)
{
    struct timespec t;
    ASSERT(clock_gettime(id, &t) == 0);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

uint64_t os_now_us(void)
{
    if (simulated)
        return simulated->now_us(simulated->arg);
    return (uint64_t)read_us(CLOCK_MONOTONIC);
}

int64_t os_wall_us(void)
{
    if (simulated)
        return simulated->wall_us(simulated->arg);
    return read_us(CLOCK_REALTIME);
}

void os_sleep_us(uint64_t us)
{
    struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    while (nanosleep(&t, &t) != 0)
        continue;
}

void os_clock_set(const struct os_clock *clock)
{
    simulated = clock;
}
