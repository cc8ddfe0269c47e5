/* Adds up JSON that comes in deltas: a tree that grows to what the pieces mean together.
 *
 * OpenAI's SDKs do the same to a stream's chunks (accumulate_delta): strings are joined, objects
 * are merged member by member, array elements that have an `index` are merged with the earlier ones
 * of that index and others are appended; null changes nothing that is there.
 *
 * 1. A node's text is what stands inside its quotes or brackets, still escaped, exactly as it came:
 *    pieces of valid strings joined are a valid string, so nothing is unescaped or escaped again.
 * 2. Memory is bounded by max_bytes (counted bytes of text and nodes; buffers may have twice the
 *    capacity), plus COLLECT_SPARE_BYTES for values that only replace others (finish reasons). At
 * the bound, and at COLLECT_CHILDREN_MAX children of one node, `truncated` is set and text is
 * dropped from then on; what a delta says is still counted.
 * 3. Private to src/dialect; one thread. */
#ifndef WEIR_DIALECT_COLLECT_H
#define WEIR_DIALECT_COLLECT_H

#include "base/arena.h"
#include "base/buf.h"
#include "codec/json_scan.h"
#include "codec/json_write.h"

#define COLLECT_SPARE_BYTES  ((size_t)64 << 10)
#define COLLECT_CHILDREN_MAX 512
/* Of a node that is full, and to which more came, only the first are found again. */
#define COLLECT_SEARCH_FULL 16
/* Deeper values are not merged but kept as they came last. */
#define COLLECT_DEPTH_MAX 16

struct collect_node {
    struct collect_node *next;  /* sibling */
    struct collect_node *first; /* member, or element with an index */
    struct collect_node *hint;  /* the child found last: its sibling is likely the next one */
    struct str key;             /* unescaped, of a member; in the arena */
    int64_t index;              /* of an element; -1 for a member */
    unsigned children;
    enum json_kind kind; /* JSON_NONE: nothing came yet */
    struct buf text;     /* string: its inside. Array: elements without an index. Object that is not
                            merged: its inside. Number, true, false: itself */
};

struct collect {
    struct arena arena;
    struct collect_node root; /* an object */
    size_t used_bytes;
    size_t max_bytes;
    bool truncated;
};

/* What one delta brought. */
struct collect_seen {
    uint64_t text_bytes; /* of its strings, unescaped, without ids, roles and types */
    bool content;        /* a string that is not empty, or an array element; roles and types not */
};

void collect_init(struct collect *c, size_t max_bytes);
void collect_release(struct collect *c);

/* Find or add. NULL at a limit; every function takes a NULL node and then keeps nothing. */
struct collect_node *collect_member(struct collect *c, struct collect_node *parent,
                                    const struct json_value *key);
/* Elements are kept in the order of their index; of several with the same the last is found. */
struct collect_node *collect_element(struct collect *c, struct collect_node *parent, int64_t index);
/* Only find. */
const struct collect_node *collect_find(const struct collect_node *parent, struct str key);

/* Replace what is there; null does not replace anything. */
void collect_set(struct collect *c, struct collect_node *node, const struct json_value *value);
/* Merge the value at hand, which is consumed; adds to *seen. */
void collect_add(struct collect *c, struct collect_node *node, struct json_reader *r,
                 struct collect_seen *seen);
/* `index` of the object at hand, which stays at hand; -1: no object, no index, or no index ≥ 0. */
int64_t collect_peek_index(const struct json_reader *r);

/* Write what came as JSON. Elements have their index written first, unless they are tool calls. */
void collect_write(const struct collect_node *node, struct json_writer *w);

#endif
