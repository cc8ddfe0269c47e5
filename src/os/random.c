#include "os/random.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/random.h>

#include "base/assert.h"

static _Thread_local uint64_t state[4];
static _Thread_local bool seeded;

void os_random_bytes(void *ret_bytes, size_t len)
{
    char *at = ret_bytes;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        ASSERT(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

static uint64_t rotate_left(uint64_t x, unsigned k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t os_random_u64(void)
{
    if (!seeded) {
        os_random_bytes(state, sizeof state);
        seeded = true;
    }
    uint64_t result = rotate_left(state[1] * 5, 7) * 9;
    uint64_t t = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= t;
    state[3] = rotate_left(state[3], 45);
    return result;
}

/* splitmix64 spreads one word over the state, as the generator's authors advise. */
void os_random_seed(uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        state[i] = z ^ (z >> 31);
    }
    seeded = true;
}
