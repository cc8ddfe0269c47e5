#include "base/name_index.h"

#include "base/assert.h"

/* FNV-1a, 64 bits. */
uint64_t name_hash(struct str name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.ptr[i]) * UINT64_C(0x100000001b3);
    return h ^ h >> 32;
}

/* The slot that holds the name, or the empty one where it would stand. */
static uint32_t find_slot(const struct name_index *index, struct str name)
{
    uint32_t at = (uint32_t)name_hash(name) & index->mask;
    while (index->slots[at] && !str_eq(index->names[index->slots[at] - 1], name))
        at = (at + 1) & index->mask;
    return at;
}

struct name_index *name_index_build(struct arena *a, const struct str *names, size_t count)
{
    ASSERT(count < UINT32_MAX / 4);
    uint32_t size = 4;
    while (size < 2 * count)
        size *= 2;
    struct name_index *index = ARENA_NEW(a, struct name_index);
    index->names = names;
    index->slots = ARENA_ARRAY(a, uint32_t, size);
    index->mask = size - 1;
    for (size_t i = 0; i < count; i++) {
        uint32_t at = find_slot(index, names[i]);
        if (!index->slots[at])
            index->slots[at] = (uint32_t)i + 1;
    }
    return index;
}

int64_t name_index_find(const struct name_index *index, struct str name)
{
    return index ? (int64_t)index->slots[find_slot(index, name)] - 1 : NAME_INDEX_NONE;
}
