/* JSON in C strings without backslashes: ' stands for ". */
#ifndef WEIR_TESTS_UNIT_DIALECT_QUOTE_H
#define WEIR_TESTS_UNIT_DIALECT_QUOTE_H

#include "base/arena.h"
#include "base/str.h"

/* A copy in the arena, NUL-terminated. */
static inline struct str quote(struct arena *a, const char *text)
{
    struct str copy = arena_str(a, str_from_c(text));
    for (size_t i = 0; i < copy.len; i++)
        if (copy.ptr[i] == '\'')
            ((char *)(uintptr_t)copy.ptr)[i] = '"';
    return copy;
}

#endif
