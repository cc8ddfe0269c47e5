#include "net/timer_int.h"

#include "base/assert.h"

static unsigned level_shift(unsigned level)
{
    return level * TIMER_LEVEL_SHIFT;
}

/* The lowest level whose reach covers delta; 62, not 64 ticks: rounding up may add one, and the
 * clock may stand inside a tick (invariant 1). */
static unsigned level_for(uint64_t delta)
{
    unsigned level = 0;
    while (level < TIMER_LEVELS - 1 && delta >= (uint64_t)(TIMER_SLOTS - 2) << level_shift(level))
        level++;
    return level;
}

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms)
{
    *wheel = (struct timer_wheel){.clock_ms = now_ms};
}

uint64_t timer_wheel_add(struct timer_wheel *wheel, struct loop_timer *timer, uint64_t due_ms)
{
    if (due_ms <= wheel->clock_ms)
        due_ms = wheel->clock_ms + 1;
    unsigned level = level_for(due_ms - wheel->clock_ms);
    unsigned shift = level_shift(level);
    uint64_t tick = (due_ms + ((uint64_t)1 << shift) - 1) >> shift;
    ASSERT(tick - (wheel->clock_ms >> shift) < TIMER_SLOTS);
    unsigned slot = level * TIMER_SLOTS + (unsigned)(tick % TIMER_SLOTS);

    timer->due_ms = tick << shift;
    timer->slot = (uint16_t)slot;
    timer->next = wheel->slots[slot];
    timer->link = &wheel->slots[slot];
    if (timer->next)
        timer->next->link = &timer->next;
    wheel->slots[slot] = timer;
    wheel->used[level] |= (uint64_t)1 << (tick % TIMER_SLOTS);
    wheel->count++;
    return timer->due_ms;
}

void timer_wheel_remove(struct timer_wheel *wheel, struct loop_timer *timer)
{
    ASSERT(timer->link && wheel->count > 0);
    *timer->link = timer->next;
    if (timer->next)
        timer->next->link = timer->link;
    timer->next = NULL;
    timer->link = NULL;
    if (!wheel->slots[timer->slot])
        wheel->used[timer->slot / TIMER_SLOTS] &= ~((uint64_t)1 << (timer->slot % TIMER_SLOTS));
    wheel->count--;
}

/* When the level's next slot is due. */
static uint64_t level_next(const struct timer_wheel *wheel, unsigned level)
{
    if (!wheel->used[level])
        return TIMER_NEVER;
    uint64_t after = (wheel->clock_ms >> level_shift(level)) + 1;
    unsigned turn = (unsigned)(after % TIMER_SLOTS);
    uint64_t used = wheel->used[level];
    uint64_t rotated = turn ? used >> turn | used << (TIMER_SLOTS - turn) : used;
    return (after + (uint64_t)__builtin_ctzll(rotated)) << level_shift(level);
}

uint64_t timer_wheel_next(const struct timer_wheel *wheel)
{
    uint64_t next = TIMER_NEVER;
    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        uint64_t due_ms = level_next(wheel, level);
        next = due_ms < next ? due_ms : next;
    }
    return next;
}

/* Call all timers of one slot. The list is taken out first: what callbacks add to the slot belongs
 * to its next round. */
static void slot_fire(struct timer_wheel *wheel, unsigned level, unsigned slot)
{
    struct loop_timer *due = wheel->slots[level * TIMER_SLOTS + slot];
    wheel->slots[level * TIMER_SLOTS + slot] = NULL;
    wheel->used[level] &= ~((uint64_t)1 << slot);
    if (due)
        due->link = &due;
    while (due) {
        struct loop_timer *timer = due;
        timer_wheel_remove(wheel, timer);
        timer->fn(timer->arg);
    }
}

void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms)
{
    for (;;) {
        uint64_t next = timer_wheel_next(wheel);
        if (next > now_ms)
            break;
        bool due[TIMER_LEVELS];
        for (unsigned level = 0; level < TIMER_LEVELS; level++)
            due[level] = level_next(wheel, level) == next;
        wheel->clock_ms = next;
        for (unsigned level = 0; level < TIMER_LEVELS; level++)
            if (due[level])
                slot_fire(wheel, level, (unsigned)((next >> level_shift(level)) % TIMER_SLOTS));
    }
    if (now_ms > wheel->clock_ms)
        wheel->clock_ms = now_ms;
}
