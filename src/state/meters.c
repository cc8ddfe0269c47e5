#include "state/meters.h"

#include <assert.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "os/thread.h"

/* The semantic conventions' own buckets; those of METER_FIRST and METER_CHUNK go on as vLLM's do.
 */
#define MS(x) (UINT64_C(1000) * (x))
#define DURATION                                                                                   \
    {                                                                                              \
        MS(10), MS(20), MS(40), MS(80), MS(160), MS(320), MS(640), MS(1280), MS(2560), MS(5120),   \
            MS(10240), MS(20480), MS(40960), MS(81920)                                             \
    }
#define TOKENS                                                                                     \
    {                                                                                              \
        1, 4, 16, 64, 256, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, \
            1 << 26                                                                                \
    }
#define FIRST                                                                                      \
    {                                                                                              \
        MS(1), MS(5), MS(10), MS(20), MS(40), MS(60), MS(80), MS(100), MS(250), MS(500), MS(750),  \
            MS(1000), MS(2500), MS(5000), MS(7500), MS(10000), MS(20000), MS(40000), MS(80000),    \
            MS(160000), MS(640000), MS(2560000)                                                    \
    }
#define PER_TOKEN                                                                                  \
    {                                                                                              \
        MS(10), MS(25), MS(50), MS(75), MS(100), MS(150), MS(200), MS(300), MS(400), MS(500),      \
            MS(750), MS(1000), MS(2500), MS(5000), MS(7500), MS(10000), MS(20000), MS(40000),      \
            MS(80000)                                                                              \
    }

const struct meter_bounds meter_bounds[METER_HISTOGRAMS] = {
    [METER_CLIENT] = {DURATION, 14},     [METER_INPUT] = {TOKENS, 14},
    [METER_OUTPUT] = {TOKENS, 14},       [METER_CHUNK] = {FIRST, 22},
    [METER_SERVER] = {DURATION, 14},     [METER_FIRST] = {FIRST, 22},
    [METER_PER_TOKEN] = {PER_TOKEN, 19},
};

struct shard_histogram {
    atomic_uint_fast64_t buckets[METER_BOUNDS_MAX + 1];
    atomic_uint_fast64_t sum;
};

struct shard {
    atomic_uint_fast64_t counters[METER_COUNTERS];
    struct shard_histogram histograms[]; /* METER_HISTOGRAMS of them, or none for METER_KEY */
};

struct meter {
    struct meter_name name;
    uint64_t hash;
    char text[METER_NAME_BYTES_MAX];
    unsigned loops;
    struct shard *_Atomic shards[];
};

enum { SLOTS = 1024 }; /* at least twice the meters: a search ends soon */
static_assert(SLOTS >= 2 * (METERS_MAX + 2), "the table has room");

struct meters {
    unsigned loops;
    struct meter *_Atomic slots[SLOTS];
    struct meter *_Atomic all[METERS_MAX + 2]; /* and one METER_OTHER for each kind */
    atomic_size_t count;
    struct os_mutex making; /* a leaf */
};

struct meters *meters_new(unsigned loops)
{
    struct meters *m = NEW(struct meters);
    m->loops = loops;
    os_mutex_init(&m->making);
    return m;
}

void meters_free(struct meters *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < atomic_load(&m->count); i++) {
        struct meter *meter = atomic_load(&m->all[i]);
        for (unsigned l = 0; l < m->loops; l++)
            mem_free(atomic_load(&meter->shards[l]));
        mem_free(meter);
    }
    os_mutex_release(&m->making);
    mem_free(m);
}

/* ---- Finding ---- */

/* FNV-1a, 64 bits. Who makes names that collide pays for it with METERS_MAX comparisons a call. */
static uint64_t hash_part(uint64_t h, struct str part)
{
    for (size_t i = 0; i < part.len; i++)
        h = (h ^ (unsigned char)part.ptr[i]) * UINT64_C(0x100000001b3);
    return (h ^ 0xff) * UINT64_C(0x100000001b3);
}

static uint64_t hash_name(const struct meter_name *n)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ n->kind;
    h = hash_part(hash_part(h, n->operation), n->provider);
    h = hash_part(hash_part(h, n->model), n->error);
    return h ^ h >> 32;
}

static bool same(const struct meter *meter, uint64_t hash, const struct meter_name *n)
{
    const struct meter_name *o = &meter->name;
    return meter->hash == hash && o->kind == n->kind && str_eq(o->operation, n->operation) &&
           str_eq(o->provider, n->provider) && str_eq(o->model, n->model) &&
           str_eq(o->error, n->error);
}

/* The meter, or NULL and the empty slot where it would stand. */
static struct meter *find(struct meters *m, uint64_t hash, const struct meter_name *n,
                          size_t *ret_slot)
{
    size_t at = (size_t)hash & (SLOTS - 1);
    struct meter *meter;
    while ((meter = atomic_load_explicit(&m->slots[at], memory_order_acquire)) != NULL &&
           !same(meter, hash, n))
        at = (at + 1) & (SLOTS - 1);
    *ret_slot = at;
    return meter;
}

static struct str keep(struct meter *meter, size_t *used, struct str text)
{
    char *at = meter->text + *used;
    if (text.len)
        memcpy(at, text.ptr, text.len);
    *used += text.len;
    return str_of(at, text.len);
}

static struct meter *make(struct meters *m, uint64_t hash, const struct meter_name *n)
{
    size_t used = 0;
    struct meter *meter = mem_alloc(sizeof *meter + m->loops * sizeof meter->shards[0]);
    meter->hash = hash;
    meter->loops = m->loops;
    meter->name.kind = n->kind;
    meter->name.operation = keep(meter, &used, n->operation);
    meter->name.provider = keep(meter, &used, n->provider);
    meter->name.model = keep(meter, &used, n->model);
    meter->name.error = keep(meter, &used, n->error);
    return meter;
}

static bool is_other(const struct meter_name *n)
{
    return str_eq(n->operation, METER_OTHER);
}

/* Under the lock. NULL: there are as many as there may be. */
static struct meter *find_or_make(struct meters *m, uint64_t hash, const struct meter_name *n)
{
    size_t slot;
    struct meter *meter = find(m, hash, n, &slot);
    size_t count = atomic_load(&m->count);
    if (meter || (count >= METERS_MAX && !is_other(n)))
        return meter;
    ASSERT(count < METERS_MAX + 2);
    meter = make(m, hash, n);
    atomic_store(&m->all[count], meter);
    atomic_store(&m->count, count + 1);
    atomic_store_explicit(&m->slots[slot], meter, memory_order_release);
    return meter;
}

struct meter *meters_get(struct meters *m, const struct meter_name *n)
{
    struct meter_name other = {.kind = n->kind, .operation = METER_OTHER};
    if (n->operation.len + n->provider.len + n->model.len + n->error.len > METER_NAME_BYTES_MAX)
        n = &other;
    uint64_t hash = hash_name(n);
    size_t slot;
    struct meter *meter = find(m, hash, n, &slot);
    if (meter)
        return meter;
    os_mutex_lock(&m->making);
    meter = find_or_make(m, hash, n);
    if (!meter)
        meter = find_or_make(m, hash_name(&other), &other);
    os_mutex_unlock(&m->making);
    return meter;
}

/* ---- Counting ---- */

static struct shard *shard_of(struct meter *meter, unsigned loop)
{
    ASSERT(loop < meter->loops);
    struct shard *s = atomic_load_explicit(&meter->shards[loop], memory_order_relaxed);
    if (s)
        return s;
    size_t histograms = meter->name.kind == METER_CALLS ? METER_HISTOGRAMS : 0;
    s = mem_alloc(sizeof *s + histograms * sizeof s->histograms[0]);
    atomic_store_explicit(&meter->shards[loop], s, memory_order_release);
    return s;
}

static void add(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

void meter_add(struct meter *meter, unsigned loop, enum meter_histogram histogram, uint64_t value)
{
    ASSERT(meter->name.kind == METER_CALLS);
    const struct meter_bounds *bounds = &meter_bounds[histogram];
    struct shard_histogram *h = &shard_of(meter, loop)->histograms[histogram];
    unsigned i = 0;
    while (i < bounds->count && value > bounds->at[i])
        i++;
    add(&h->buckets[i], 1);
    add(&h->sum, value);
}

void meter_count(struct meter *meter, unsigned loop, enum meter_counter counter, uint64_t value)
{
    add(&shard_of(meter, loop)->counters[counter], value);
}

/* ---- Reading ---- */

static void sum_shard(const struct meter *meter, const struct shard *s, struct meter_sums *sums)
{
    for (int i = 0; i < METER_COUNTERS; i++)
        sums->counters[i] += atomic_load_explicit(&s->counters[i], memory_order_relaxed);
    if (meter->name.kind != METER_CALLS)
        return;
    for (int h = 0; h < METER_HISTOGRAMS; h++) {
        for (unsigned i = 0; i <= meter_bounds[h].count; i++)
            sums->histograms[h].buckets[i] +=
                atomic_load_explicit(&s->histograms[h].buckets[i], memory_order_relaxed);
        sums->histograms[h].sum +=
            atomic_load_explicit(&s->histograms[h].sum, memory_order_relaxed);
    }
}

void meter_sum(const struct meter *meter, struct meter_sums *ret_sums)
{
    *ret_sums = (struct meter_sums){0};
    for (unsigned l = 0; l < meter->loops; l++) {
        const struct shard *s = atomic_load_explicit(&meter->shards[l], memory_order_acquire);
        if (s)
            sum_shard(meter, s, ret_sums);
    }
}

const struct meter_name *meter_name(const struct meter *meter)
{
    return &meter->name;
}

const struct meter *meters_at(const struct meters *m, size_t i)
{
    return i < atomic_load(&m->count) ? atomic_load(&m->all[i]) : NULL;
}
