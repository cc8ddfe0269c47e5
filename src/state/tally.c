#include "state/tally.h"

enum { COUNT_MAX = 0xffff };

struct slice {
    uint32_t number;
    uint32_t first;
    uint32_t second;
};

static struct slice unpack(uint64_t word)
{
    return (struct slice){(uint32_t)(word >> 32), (uint32_t)(word >> 16) & COUNT_MAX,
                          (uint32_t)word & COUNT_MAX};
}

static uint64_t pack(struct slice s)
{
    return (uint64_t)s.number << 32 | (uint64_t)s.first << 16 | s.second;
}

static uint32_t number_at(uint64_t now_us, int64_t window_ms)
{
    return (uint32_t)(now_us / 1000 / ((uint64_t)window_ms / TALLY_SLICES));
}

void tally_add(struct tally *t, uint64_t now_us, int64_t window_ms, uint32_t first, uint32_t second)
{
    uint32_t number = number_at(now_us, window_ms);
    atomic_uint_fast64_t *at = &t->slices[number % TALLY_SLICES];
    uint64_t old = atomic_load_explicit(at, memory_order_relaxed);
    struct slice s;
    do {
        s = unpack(old);
        /* Another thread's clock may be a slice ahead: then its slice takes this too. */
        if ((int32_t)(number - s.number) > 0)
            s = (struct slice){.number = number};
        if (s.first + first > COUNT_MAX || s.second + second > COUNT_MAX) {
            s.first /= 2;
            s.second /= 2;
        }
        s.first += first;
        s.second += second;
    } while (!atomic_compare_exchange_weak_explicit(at, &old, pack(s), memory_order_relaxed,
                                                    memory_order_relaxed));
}

struct tally_sum tally_sum(const struct tally *t, uint64_t now_us, int64_t window_ms)
{
    struct tally_sum sum = {0, 0};
    uint32_t number = number_at(now_us, window_ms);
    for (int i = 0; i < TALLY_SLICES; i++) {
        struct slice s = unpack(atomic_load_explicit(&t->slices[i], memory_order_relaxed));
        if ((int32_t)(number - s.number) >= TALLY_SLICES)
            continue;
        sum.first += s.first;
        sum.second += s.second;
    }
    return sum;
}

void tally_reset(struct tally *t)
{
    for (int i = 0; i < TALLY_SLICES; i++)
        atomic_store_explicit(&t->slices[i], 0, memory_order_relaxed);
}
