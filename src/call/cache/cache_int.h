/* Private to src/call/cache. */
#ifndef WEIR_CALL_CACHE_CACHE_INT_H
#define WEIR_CALL_CACHE_CACHE_INT_H

#include "call/cache/cache.h"
#include "os/thread.h"

/* ---- flight.c ---- */

/* Two references: the leader's and the cache's. */
struct cache_flight *cache_flight_new(struct cache *c, const uint8_t key[CACHE_KEY_BYTES]);
struct cache_flight *cache_flight_get(struct cache_flight *f);
void cache_flight_put(struct cache_flight *f);

/* ---- store.c ---- */

/* The flight is over, or nobody may follow any more: forget it, and give back the cache's
 * reference. A second time it does nothing. */
void cache_flight_forget(struct cache *c, const uint8_t key[CACHE_KEY_BYTES],
                         struct cache_flight *f);
struct cache *cache_get(struct cache *c);

#endif
