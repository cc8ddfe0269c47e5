/* Process memory. Small allocations whose failure no caller could survive abort with a message;
 * anything whose size an outsider chooses is checked against a named limit before it gets here. */
#ifndef WEIR_BASE_MEM_H
#define WEIR_BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>

/* Never return NULL. mem_alloc's memory is zeroed. Freed with mem_free. */
void *mem_alloc(size_t size_bytes) __attribute__((malloc, returns_nonnull));
void *mem_array(size_t count, size_t size_bytes) __attribute__((malloc, returns_nonnull));
/* Grow or shrink; new bytes are not zeroed. */
void *mem_resize(void *ptr, size_t size_bytes) __attribute__((returns_nonnull));
char *mem_strdup(const char *s, size_t len) __attribute__((malloc, returns_nonnull));

/* Once, at the start of a program that serves: memory that is freed stays with the process, up to
 * MEM_KEPT_BYTES a thread, so that a body of some 100 KB is not asked from the kernel, page by
 * page, for every request. */
#define MEM_KEPT_BYTES (4 << 20)
void mem_keep_freed(void);

static inline void mem_free(void *ptr)
{
    free(ptr);
}

#define NEW(type) ((type *)mem_alloc(sizeof(type)))

#endif
