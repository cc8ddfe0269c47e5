#include "base/arena.h"

#include "base/mem.h"

enum { CHUNK_BYTES = 4096, ALIGN = 16 };

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

void arena_reset(struct arena *a)
{
    struct arena_chunk *kept = NULL;
    while (a->chunks) {
        struct arena_chunk *next = a->chunks->next;
        if (!kept && a->chunks->cap == CHUNK_BYTES)
            kept = a->chunks;
        else
            mem_free(a->chunks);
        a->chunks = next;
    }
    if (kept) {
        kept->used = 0;
        kept->next = NULL;
    }
    a->chunks = kept;
    a->used_bytes = 0;
}

static struct arena_chunk *add_chunk(struct arena *a, size_t cap)
{
    struct arena_chunk *chunk = mem_resize(NULL, sizeof *chunk + cap);
    *chunk = (struct arena_chunk){.next = a->chunks, .cap = cap};
    a->chunks = chunk;
    return chunk;
}

void *arena_alloc(struct arena *a, size_t size_bytes)
{
    size_t size = (size_bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct arena_chunk *chunk = a->chunks;
    if (!chunk || chunk->cap - chunk->used < size)
        chunk = add_chunk(a, size > CHUNK_BYTES ? size : CHUNK_BYTES);
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
