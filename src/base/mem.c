#include "base/mem.h"

#include <malloc.h>
#include <string.h>

#include "base/assert.h"

void *mem_alloc(size_t size_bytes)
{
    void *ptr = calloc(1, size_bytes ? size_bytes : 1);
    ASSERT(ptr != NULL && "out of memory");
    return ptr;
}

void *mem_array(size_t count, size_t size_bytes)
{
    void *ptr = calloc(count ? count : 1, size_bytes ? size_bytes : 1);
    ASSERT(ptr != NULL && "out of memory");
    return ptr;
}

void *mem_resize(void *old, size_t size_bytes)
{
    void *ptr = realloc(old, size_bytes ? size_bytes : 1);
    ASSERT(ptr != NULL && "out of memory");
    return ptr;
}

char *mem_strdup(const char *s, size_t len)
{
    char *copy = mem_alloc(len + 1);
    if (len)
        memcpy(copy, s, len);
    return copy;
}

void mem_keep_freed(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, MEM_KEPT_BYTES / 2);
    (void)mallopt(M_TRIM_THRESHOLD, MEM_KEPT_BYTES);
}
