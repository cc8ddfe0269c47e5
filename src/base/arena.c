#include "base/arena.h"

#include <stdbool.h>

#include "base/mem.h"

/* Chunks grow from the first size to the last: most arenas stay small, and there may be thousands.
 */
enum { CHUNK_BYTES_FIRST = 1024 - 64, CHUNK_BYTES_LAST = 4096, ALIGN = 16 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t used;
    size_t cap;
    _Alignas(ALIGN) char bytes[];
};

void arena_init(struct arena *a)
{
    *a = (struct arena){0};
}

void arena_release(struct arena *a)
{
    while (a->chunks) {
        struct arena_chunk *next = a->chunks->next;
        mem_free(a->chunks);
        a->chunks = next;
    }
    a->used_bytes = 0;
}

/* The largest of the common sizes is kept. */
void arena_reset(struct arena *a)
{
    struct arena_chunk *kept = NULL;
    while (a->chunks) {
        struct arena_chunk *next = a->chunks->next;
        bool better = a->chunks->cap <= CHUNK_BYTES_LAST && (!kept || a->chunks->cap > kept->cap);
        struct arena_chunk *gone = better ? kept : a->chunks;
        kept = better ? a->chunks : kept;
        mem_free(gone);
        a->chunks = next;
    }
    if (kept) {
        kept->used = 0;
        kept->next = NULL;
    }
    a->chunks = kept;
    a->used_bytes = 0;
}

static struct arena_chunk *new_chunk(size_t cap)
{
    struct arena_chunk *chunk = mem_resize(NULL, sizeof *chunk + cap);
    *chunk = (struct arena_chunk){.cap = cap};
    return chunk;
}

static size_t next_cap(const struct arena *a)
{
    size_t cap = a->chunks ? 2 * a->chunks->cap : CHUNK_BYTES_FIRST;
    return cap < CHUNK_BYTES_LAST ? cap : CHUNK_BYTES_LAST;
}

/* A chunk with room; one that is made for something large goes behind the first, whose room stays
 * in use. */
static struct arena_chunk *chunk_for(struct arena *a, size_t size)
{
    struct arena_chunk *first = a->chunks;
    size_t cap = next_cap(a);
    if (first && first->cap - first->used >= size)
        return first;
    struct arena_chunk *chunk = new_chunk(size > cap ? size : cap);
    if (first && size > cap) {
        chunk->next = first->next;
        first->next = chunk;
    } else {
        chunk->next = first;
        a->chunks = chunk;
    }
    return chunk;
}

void *arena_alloc(struct arena *a, size_t size_bytes)
{
    size_t size = (size_bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct arena_chunk *chunk = chunk_for(a, size);
    void *ptr = chunk->bytes + chunk->used;
    chunk->used += size;
    a->used_bytes += size;
    return memset(ptr, 0, size);
}

struct str arena_str(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return str_of(copy, s.len);
}
