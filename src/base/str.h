/* Strings are {pointer, length}: not owned, not terminated, any bytes. */
#ifndef WEIR_BASE_STR_H
#define WEIR_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

struct str {
    const char *ptr;
    size_t len;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_INIT(literal)                                                                          \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }
#define STR_NONE ((struct str){NULL, 0})
/* For printf("%.*s", STR_ARG(s)). */
#define STR_ARG(s) (int)(s).len, ((s).ptr ? (s).ptr : "")

static inline struct str str_of(const char *ptr, size_t len)
{
    return (struct str){ptr, len};
}

static inline struct str str_from_c(const char *c)
{
    return (struct str){c, c ? strlen(c) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline struct str str_skip(struct str s, size_t n)
{
    n = n < s.len ? n : s.len;
    return (struct str){s.ptr + n, s.len - n};
}

static inline struct str str_take(struct str s, size_t n)
{
    return (struct str){s.ptr, n < s.len ? n : s.len};
}

/* ASCII case is ignored. */
bool str_eq_nocase(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
int str_cmp(struct str a, struct str b);
/* Index of the first c, or -1. */
ptrdiff_t str_index(struct str s, char c);
/* Index of the first needle, or -1; an empty needle is at 0. */
ptrdiff_t str_find(struct str s, struct str needle);
/* Without leading and trailing spaces and tabs. */
struct str str_trim(struct str s);
/* Cut at the first sep: returns what is before it and leaves what is after it in *rest (empty and
 * NULL when there was no sep, so that `while (rest.ptr)` visits every part). */
struct str str_split(struct str *rest, char sep);
/* Decimal digits only, no sign, no spaces. ERR_INVALID, ERR_OUT_OF_RANGE. */
MUST_CHECK enum err str_to_u64(struct str s, uint64_t *ret_value);
MUST_CHECK enum err str_to_i64(struct str s, int64_t *ret_value);
/* Compares in time that depends on the lengths only. */
bool str_eq_constant_time(struct str a, struct str b);
/* Damerau-Levenshtein distance for "did you mean"; strings above 64 bytes count as far apart. */
unsigned str_distance(struct str a, struct str b);

#endif
