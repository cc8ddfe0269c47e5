#include "view/spread.h"

#include "base/mem.h"

enum { ENTRY_BYTES = 6 };

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

static void add(struct spread *s, uint32_t bucket, uint32_t count)
{
    uint32_t at = s->used;
    while (at > 0 && s->entries[at - 1].bucket > bucket)
        at--;
    if (at > 0 && s->entries[at - 1].bucket == bucket) {
        uint32_t *old = &s->entries[at - 1].count;
        *old = *old + count < *old ? UINT32_MAX : *old + count;
        return;
    }
    if (s->used == s->room) {
        s->room = s->room ? s->room * 2 : 8;
        s->entries = mem_resize(s->entries, s->room * sizeof *s->entries);
    }
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
    for (uint32_t i = 0; i < s->used; i++) {
        const struct spread_entry *e = &s->entries[i];
        char bytes[ENTRY_BYTES] = {(char)e->bucket,        (char)(e->bucket >> 8),
                                   (char)e->count,         (char)(e->count >> 8),
                                   (char)(e->count >> 16), (char)(e->count >> 24)};
        buf_append(out, bytes, sizeof bytes);
    }
}

static struct spread_entry entry_at(struct str bytes, size_t at)
{
    const unsigned char *p = (const unsigned char *)bytes.ptr + at;
    return (struct spread_entry){(uint32_t)(p[0] | p[1] << 8), p[2] | (uint32_t)p[3] << 8 |
                                                                   (uint32_t)p[4] << 16 |
                                                                   (uint32_t)p[5] << 24};
}

enum err spread_merge(struct spread *into, struct str bytes)
{
    if (bytes.len % ENTRY_BYTES)
        return ERR_INVALID;
    for (size_t at = 0; at < bytes.len; at += ENTRY_BYTES)
        if (entry_at(bytes, at).bucket >= SPREAD_BUCKETS)
            return ERR_INVALID;
    for (size_t at = 0; at < bytes.len; at += ENTRY_BYTES) {
        struct spread_entry e = entry_at(bytes, at);
        add(into, e.bucket, e.count);
    }
    return ERR_OK;
}

uint64_t spread_percentile(const struct spread *s, double part)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < s->used; i++)
        total += s->entries[i].count;
    double wanted = part * (double)total;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < s->used; i++) {
        seen += s->entries[i].count;
        if ((double)seen >= wanted && seen > 0)
            return largest_of(s->entries[i].bucket);
    }
    return 0;
}
