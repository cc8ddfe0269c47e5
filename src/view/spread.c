#include "view/spread.h"

#include "base/mem.h"
#include "codec/varint.h"

static uint32_t bucket_of(uint64_t value)
{
    if (value < 1u << SPREAD_SUB_BITS)
        return (uint32_t)value;
    unsigned power = 63 - (unsigned)__builtin_clzll(value);
    unsigned shift = power - SPREAD_SUB_BITS;
    return ((shift + 1) << SPREAD_SUB_BITS) +
           (uint32_t)((value >> shift) & ((1u << SPREAD_SUB_BITS) - 1));
}

static uint64_t largest_of(uint32_t bucket)
{
    if (bucket < 1u << SPREAD_SUB_BITS)
        return bucket;
    unsigned shift = (bucket >> SPREAD_SUB_BITS) - 1;
    uint64_t low = (UINT64_C(1) << SPREAD_SUB_BITS) + (bucket & ((1u << SPREAD_SUB_BITS) - 1));
    return (low << shift) + ((UINT64_C(1) << shift) - 1);
}

void spread_release(struct spread *s)
{
    mem_free(s->entries);
    *s = (struct spread){0};
}

static uint32_t sum_of(uint32_t a, uint32_t b)
{
    return a + b < a ? UINT32_MAX : a + b;
}

static void make_room(struct spread *s, uint32_t more)
{
    while (s->room - s->used < more)
        s->room = s->room ? s->room * 2 : 8;
    s->entries = mem_resize(s->entries, s->room * sizeof *s->entries);
}

static void add(struct spread *s, uint32_t bucket, uint32_t count)
{
    uint32_t at = s->used;
    while (at > 0 && s->entries[at - 1].bucket > bucket)
        at--;
    if (at > 0 && s->entries[at - 1].bucket == bucket) {
        s->entries[at - 1].count = sum_of(s->entries[at - 1].count, count);
        return;
    }
    if (s->used == s->room)
        make_room(s, 1);
    for (uint32_t i = s->used; i > at; i--)
        s->entries[i] = s->entries[i - 1];
    s->entries[at] = (struct spread_entry){bucket, count};
    s->used++;
}

void spread_add(struct spread *s, uint64_t value)
{
    add(s, bucket_of(value), 1);
}

void spread_write(const struct spread *s, struct buf *out)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < s->used; i++) {
        char bytes[2 * VARINT_MAX_BYTES];
        char *end = varint_u64_put(bytes, s->entries[i].bucket - next);
        end = varint_u64_put(end, s->entries[i].count);
        buf_append(out, bytes, (size_t)(end - bytes));
        next = s->entries[i].bucket + 1;
    }
}

/* The next entry, of a bucket of at least *next. */
static enum err read_entry(struct str *rest, uint32_t *next, struct spread_entry *ret_entry)
{
    uint64_t gap;
    uint64_t count;
    if (varint_u64_get(rest, &gap) != ERR_OK || varint_u64_get(rest, &count) != ERR_OK ||
        gap >= SPREAD_BUCKETS - *next || count > UINT32_MAX)
        return ERR_INVALID;
    *ret_entry = (struct spread_entry){*next + (uint32_t)gap, (uint32_t)count};
    *next += (uint32_t)gap + 1;
    return ERR_OK;
}

static void append_rest(struct spread *all, const struct spread *s, uint32_t from)
{
    for (uint32_t i = from; i < s->used; i++)
        all->entries[all->used++] = s->entries[i];
}

void spread_add_all(struct spread *into, const struct spread *other)
{
    struct spread all = {0};
    uint32_t a = 0;
    uint32_t b = 0;
    if (!other->used)
        return;
    make_room(&all, into->used + other->used);
    while (a < into->used && b < other->used) {
        struct spread_entry *to = &all.entries[all.used++];
        if (into->entries[a].bucket < other->entries[b].bucket) {
            *to = into->entries[a++];
        } else {
            *to = other->entries[b++];
            if (into->entries[a].bucket == to->bucket)
                to->count = sum_of(to->count, into->entries[a++].count);
        }
    }
    append_rest(&all, into, a);
    append_rest(&all, other, b);
    spread_release(into);
    *into = all;
}

enum err spread_merge(struct spread *into, struct str bytes)
{
    struct spread_entry entries[SPREAD_BUCKETS];
    struct spread read = {.entries = entries};
    uint32_t next = 0;
    while (bytes.len)
        TRY(read_entry(&bytes, &next, &entries[read.used++]));
    spread_add_all(into, &read);
    return ERR_OK;
}

enum err spread_sum_add(struct spread_sum *into, struct str bytes)
{
    uint32_t next = 0;
    while (bytes.len) {
        struct spread_entry e;
        TRY(read_entry(&bytes, &next, &e));
        into->counts[e.bucket] = sum_of(into->counts[e.bucket], e.count);
        into->total += e.count;
    }
    return ERR_OK;
}

uint64_t spread_sum_percentile(const struct spread_sum *s, double part)
{
    double wanted = part * (double)s->total;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < SPREAD_BUCKETS && s->total; i++) {
        seen += s->counts[i];
        if ((double)seen >= wanted && seen > 0)
            return largest_of(i);
    }
    return 0;
}
