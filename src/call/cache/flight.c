/* A flight: what a leader's client got so far, and who else reads it.
 *
 *   leader's loop ── pass ──> events (a growing buffer under the lock) <── read ── followers' loops
 *                                      └── one posted task a follower wakes it, however much came
 *
 * A follower's memory outlives the task that is posted for it: whoever leaves while one is under
 * way leaves the freeing to it. */
#include "base/assert.h"
#include "base/mem.h"
#include "call/cache/cache_int.h"

struct cache_follower {
    struct cache_flight *flight;
    struct cache_follower *next, **link; /* NULL: the flight does not know it any more */
    struct cache_shape shape;
    struct loop *loop;
    struct loop_task task;
    bool posted; /* the flight's lock */
    bool left;   /* its loop's own */
    void (*wake)(void *arg);
    void *arg;
    size_t read_bytes;
};

struct cache_flight {
    atomic_uint refs;
    struct cache *cache; /* a reference */
    uint8_t key[CACHE_KEY_BYTES];
    struct os_mutex lock; /* what follows */
    struct cache_shape shape;
    struct buf events;
    struct buf target;
    enum cache_state state;
    struct cache_answer *answer;
    struct cache_follower *followers;
    /* Set when the leader's client has left, until the flight is over. */
    void *leader;
    struct loop *leader_loop;
    void (*deserted)(void *arg);
    struct loop_task desert_task; /* holds a reference while it is posted */
    bool deserting;               /* it is */
};

struct cache_flight *cache_flight_new(struct cache *c, const uint8_t key[CACHE_KEY_BYTES])
{
    struct cache_flight *f = NEW(struct cache_flight);
    atomic_init(&f->refs, 2);
    f->cache = cache_get(c);
    memcpy(f->key, key, CACHE_KEY_BYTES);
    os_mutex_init(&f->lock);
    buf_init(&f->events, CACHE_FLIGHT_BYTES_MAX);
    buf_init(&f->target, 1024);
    return f;
}

struct cache_flight *cache_flight_get(struct cache_flight *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void cache_flight_put(struct cache_flight *f)
{
    if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    ASSERT(f->followers == NULL);
    struct cache *cache = f->cache;
    cache_answer_put(f->answer);
    buf_release(&f->events);
    buf_release(&f->target);
    os_mutex_release(&f->lock);
    mem_free(f);
    cache_put(cache);
}

/* ---- Waking; the flight's lock is held ---- */

static void on_wake(void *arg)
{
    struct cache_follower *follower = arg;
    if (follower->left) {
        mem_free(follower);
        return;
    }
    os_mutex_lock(&follower->flight->lock);
    follower->posted = false;
    os_mutex_unlock(&follower->flight->lock);
    follower->wake(follower->arg);
}

static void wake_one(struct cache_follower *follower)
{
    if (follower->posted)
        return;
    follower->posted = true;
    loop_post(follower->loop, &follower->task);
}

static void wake_all(struct cache_flight *f)
{
    for (struct cache_follower *follower = f->followers; follower; follower = follower->next)
        wake_one(follower);
}

/* ---- The leader's side ---- */

void cache_flight_shape(struct cache_flight *f, struct cache_shape shape)
{
    os_mutex_lock(&f->lock);
    f->shape = shape;
    os_mutex_unlock(&f->lock);
}

void cache_flight_pass(struct cache_flight *f, struct str target, struct str bytes)
{
    if (!bytes.len)
        return;
    os_mutex_lock(&f->lock);
    if (!f->target.len)
        buf_append_str(&f->target, target);
    buf_append_str(&f->events, bytes);
    wake_all(f);
    os_mutex_unlock(&f->lock);
}

static void on_deserted(void *arg)
{
    struct cache_flight *f = arg;
    os_mutex_lock(&f->lock);
    void *leader = f->followers ? NULL : f->leader;
    if (leader)
        f->state = CACHE_LOST; /* for one who is about to follow */
    f->deserting = false;
    os_mutex_unlock(&f->lock);
    if (leader)
        f->deserted(leader);
    cache_flight_put(f);
}

bool cache_flight_abandon(struct cache_flight *f, struct loop *loop, void (*deserted)(void *arg),
                          void *arg)
{
    os_mutex_lock(&f->lock);
    bool followed = f->followers != NULL;
    if (followed) {
        f->leader_loop = loop;
        f->deserted = deserted;
        f->leader = arg;
    } else {
        f->state = CACHE_LOST; /* for one who is about to follow */
    }
    os_mutex_unlock(&f->lock);
    return followed;
}

void cache_flight_end(struct cache_flight *f, struct cache_answer *answer, int64_t now_wall_us)
{
    if (answer)
        (void)cache_store(f->cache, f->key, answer, now_wall_us, false);
    cache_flight_forget(f->cache, f->key, f);
    os_mutex_lock(&f->lock);
    f->leader = NULL;
    f->state = answer ? CACHE_LANDED : CACHE_LOST;
    f->answer = answer ? cache_answer_get(answer) : NULL;
    wake_all(f);
    os_mutex_unlock(&f->lock);
    cache_flight_put(f);
}

/* ---- A follower's side ---- */

struct cache_follower *cache_follow(struct cache_flight *f, struct cache_shape shape,
                                    struct loop *loop, void (*wake)(void *arg), void *arg)
{
    struct cache_follower *follower = NEW(struct cache_follower);
    *follower = (struct cache_follower){
        .flight = f, .shape = shape, .loop = loop, .wake = wake, .arg = arg};
    loop_task_init(&follower->task, on_wake, follower);
    os_mutex_lock(&f->lock);
    follower->next = f->followers;
    follower->link = &f->followers;
    if (f->followers)
        f->followers->link = &follower->next;
    f->followers = follower;
    wake_one(follower);
    os_mutex_unlock(&f->lock);
    return follower;
}

enum cache_state cache_follower_read(struct cache_follower *follower, struct buf *out,
                                     struct str *ret_target, struct cache_answer **ret_answer)
{
    struct cache_flight *f = follower->flight;
    struct cache_shape shape = follower->shape;
    os_mutex_lock(&f->lock);
    if (shape.stream && f->shape.stream && shape.usage_asked == f->shape.usage_asked) {
        struct str rest = str_skip(buf_str(&f->events), follower->read_bytes);
        struct str now = str_take(rest, CACHE_READ_BYTES_MAX);
        buf_append_str(out, now);
        follower->read_bytes += now.len;
    }
    enum cache_state state = f->state;
    if (f->events.error != ERR_OK)
        state = CACHE_LOST;            /* what came later is missing */
    *ret_target = buf_str(&f->target); /* set once, before the first event */
    *ret_answer = f->answer;
    os_mutex_unlock(&f->lock);
    return state;
}

void cache_follower_leave(struct cache_follower *follower)
{
    struct cache_flight *f = follower->flight;
    os_mutex_lock(&f->lock);
    *follower->link = follower->next;
    if (follower->next)
        follower->next->link = follower->link;
    follower->left = true;
    bool posted = follower->posted;
    if (f->leader && !f->followers && !f->deserting) {
        f->deserting = true;
        loop_task_init(&f->desert_task, on_deserted, cache_flight_get(f));
        loop_post(f->leader_loop, &f->desert_task);
    }
    os_mutex_unlock(&f->lock);
    if (!posted)
        mem_free(follower);
    cache_flight_put(f);
}
