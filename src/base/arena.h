/* Memory with one lifetime: many allocations, one release. For a request or a configuration. */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include "base/str.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first */
    size_t used_bytes;          /* handed out, all chunks */
};

void arena_init(struct arena *a);
void arena_release(struct arena *a);
/* Forget everything but keep one chunk for the next use. */
void arena_reset(struct arena *a);
/* Zeroed, aligned for any type, never NULL; the caller has checked the size against its limit. */
void *arena_alloc(struct arena *a, size_t size_bytes);
/* Copy, NUL-terminated for libraries that want it. */
struct str arena_str(struct arena *a, struct str s);

#define ARENA_NEW(a, type)          ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, count) ((type *)arena_alloc((a), sizeof(type) * (count)))

#endif
