/* Answers kept for equal requests: one cache a model, shared by all loops.
 *
 *   key ──> node ─┬─ answer: whole, kept until its ttl or until room is needed (least recently
 * used) └─ flight: a call that is being answered now; equal calls follow it
 *
 *   cache_enter ─> CACHE_HIT     replay the answer
 *               ├> CACHE_FOLLOW  cache_follow, then cache_follower_read until it is over
 *               └> CACHE_LEAD    call a target, cache_flight_pass…, cache_flight_end
 *
 * 1. An answer never changes once it is made, and is counted: readers hold it, evicted or not.
 * 2. At most one flight of a key is found by cache_enter. It ends exactly once, with an answer or
 *    without; whoever followed learns it.
 * 3. Answers of one cache take at most its bytes_max (flights not counted: their calls hold as much
 *    themselves; each at most CACHE_FLIGHT_BYTES_MAX).
 * 4. A ttl counts from the answer's own time, also when it was read back from the log.
 *
 * Any thread. Locks: the registry's, then a cache's; a flight's is a leaf. */
#ifndef WEIR_CALL_CACHE_CACHE_H
#define WEIR_CALL_CACHE_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "codec/usage.h"
#include "net/loop.h"

enum { CACHE_KEY_BYTES = 32 };

/* Events that a flight keeps for its followers; with more it ends for them. */
#define CACHE_FLIGHT_BYTES_MAX ((size_t)32 << 20)
/* What one cache_follower_read gives at most. */
#define CACHE_READ_BYTES_MAX ((size_t)64 << 10)

/* ---- Answers ---- */

struct cache_answer {
    atomic_uint refs;
    struct str body;   /* as a client gets it in one piece: JSON */
    struct str target; /* "provider/model" that gave it */
    struct str source; /* id of the call that brought it */
    int64_t wall_us;   /* when that call began */
    struct usage usage;
    size_t bytes; /* of memory, all of it */
};

/* A copy of everything. One reference. */
struct cache_answer *cache_answer_new(const struct cache_answer *from);
struct cache_answer *cache_answer_get(struct cache_answer *a);
/* NULL is fine. */
void cache_answer_put(struct cache_answer *a);

/* ---- Caches ---- */

struct cache;
struct caches; /* by model's name */
struct cache_flight;
struct cache_follower;

struct caches *caches_new(void);
/* All caches must have been put. */
void caches_free(struct caches *all);
/* The cache of that model, made at first asking, with one reference; its bounds become these at
 * once. */
struct cache *caches_get(struct caches *all, struct str model, int64_t ttl_ms, size_t bytes_max);
/* The last one frees it. NULL is fine. */
void cache_put(struct cache *c);

/* The answer of that key, not older than max_age_ms (-1: as the ttl says), with a reference; or
 * NULL. */
struct cache_answer *cache_find(struct cache *c, const uint8_t key[CACHE_KEY_BYTES],
                                int64_t now_wall_us, int64_t max_age_ms);
/* Keep an answer under that key, instead of what is there; an older one than what is there is not
 * kept, nor is one that is past its ttl or larger than the whole cache. With `last` it is the first
 * to go again, and nothing goes for it: false when there is no room. Takes a reference of its own.
 */
bool cache_store(struct cache *c, const uint8_t key[CACHE_KEY_BYTES], struct cache_answer *a,
                 int64_t now_wall_us, bool last);

enum cache_found { CACHE_HIT, CACHE_FOLLOW, CACHE_LEAD };

/* HIT: *ret_answer has a reference. FOLLOW, LEAD: *ret_flight has one; a leader ends it with
 * cache_flight_end, a follower gives it to cache_follow. */
enum cache_found cache_enter(struct cache *c, const uint8_t key[CACHE_KEY_BYTES],
                             int64_t now_wall_us, int64_t max_age_ms,
                             struct cache_answer **ret_answer, struct cache_flight **ret_flight);

struct cache_stats {
    uint64_t entries;
    uint64_t bytes;
    uint64_t bytes_max;
    uint64_t hits;   /* answers replayed */
    uint64_t shared; /* followers */
    uint64_t misses; /* leaders */
    uint64_t evicted;
};
struct cache_stats cache_stats(struct cache *c);

/* ---- Flights: the leader's side, on its loop ---- */

/* What events a flight has: known before the first of them passes. */
struct cache_shape {
    bool stream;      /* false: followers wait for the answer */
    bool usage_asked; /* the events hold the usage chunk */
};

void cache_flight_shape(struct cache_flight *f, struct cache_shape shape);
/* Bytes that the leader's client got, or would have got, from that target. */
void cache_flight_pass(struct cache_flight *f, struct str target, struct str bytes);
/* The leader's client left. True: somebody follows, go on for them; deserted(arg) is then called
 * on the leader's loop should they all leave too. False: nobody can follow any more. */
bool cache_flight_abandon(struct cache_flight *f, struct loop *loop, void (*deserted)(void *arg),
                          void *arg);
/* It is over. answer: to be kept and given to followers (a reference is taken); NULL: there is
 * none. Gives back the leader's reference. */
void cache_flight_end(struct cache_flight *f, struct cache_answer *answer, int64_t now_wall_us);

/* ---- Flights: a follower's side, on its loop ---- */

/* Follow. wake(arg) is called on that loop whenever there is something to read, once at least.
 * Takes over the reference. */
struct cache_follower *cache_follow(struct cache_flight *f, struct cache_shape shape,
                                    struct loop *loop, void (*wake)(void *arg), void *arg);

enum cache_state {
    CACHE_FLYING, /* more will come */
    CACHE_LANDED, /* over, with an answer */
    CACHE_LOST,   /* over, without one; what was read is all there is */
};

/* Append what came since the last time, at most CACHE_READ_BYTES_MAX; of another shape than the
 * leader's, or of none, there are no bytes to read. More is left as long as bytes come. The answer
 * is the follower's, valid until it leaves. */
enum cache_state cache_follower_read(struct cache_follower *follower, struct buf *out,
                                     struct str *ret_target, struct cache_answer **ret_answer);
void cache_follower_leave(struct cache_follower *follower);

#endif
