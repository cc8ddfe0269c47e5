/* Names → numbers: a hash table with open addressing over an array of names that somebody else
 * owns, never changed once it is built. A lookup allocates nothing. For names of the
 * configuration's own, not for ones that strangers choose: the hash has no secret. */
#ifndef WEIR_BASE_NAME_INDEX_H
#define WEIR_BASE_NAME_INDEX_H

#include "base/arena.h"
#include "base/str.h"

struct name_index {
    const struct str *names;
    uint32_t *slots; /* number + 1; 0: empty. A power of two of them, at least twice the names. */
    uint32_t mask;
};

enum { NAME_INDEX_NONE = -1 };

uint64_t name_hash(struct str name);
/* Of equal names the first counts. The names, and the arena, must outlive it. */
struct name_index *name_index_build(struct arena *a, const struct str *names, size_t count);
/* The name's number, or NAME_INDEX_NONE. A NULL index finds nothing. */
int64_t name_index_find(const struct name_index *index, struct str name);

#endif
