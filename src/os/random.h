/* Randomness. os_random_bytes is for secrets; os_random_u64 is fast and for ids, jitter and
 * sampling. */
#ifndef WEIR_OS_RANDOM_H
#define WEIR_OS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* From the kernel's generator; aborts when it has none. Any thread. */
void os_random_bytes(void *ret_bytes, size_t len);
/* xoshiro256** (Blackman, Vigna 2018), one state a thread, seeded from the kernel. */
uint64_t os_random_u64(void);
/* Make the calling thread's os_random_u64 repeatable. */
void os_random_seed(uint64_t seed);

#endif
