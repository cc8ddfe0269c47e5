/* Which calls have a term: an inverted index, made a segment at a time.
 *
 *     calls as they are folded ──> struct index (in memory) ──full──> blocks of a segment (SQLite)
 *
 * A term is a word that was said, or an attribute: 0x01, its kind, its value (see term_* below). A
 * segment covers a range of offsets; calls in it are numbered by their distance from its first.
 *
 * 1. A segment is written once and whole, and never changed; so nothing is merged, and what it
 * costs does not grow with the number of calls.
 * 2. What is in memory is not in the database: after a start it is read from the log again. That is
 * bounded (INDEX_RECORD_BYTES).
 *
 * A block holds terms in order of their bytes, each with the calls that have it:
 *
 *     shared (1)     bytes that it has in common with the term before it in this block
 *     length (1)     of the rest
 *     rest
 *     2 × n + form (varint)
 *     n bytes        form 0: calls by number as varints, each less the one before and 1
 *                    form 1: a bit for each call, the lowest of the first byte is call 0 */
#ifndef WEIR_VIEW_INDEX_H
#define WEIR_VIEW_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum {
    INDEX_SPAN = 1 << 16,          /* offsets of a segment */
    INDEX_POSTINGS = 1 << 19,      /* terms of calls of a segment, all together */
    INDEX_TERMS = 1 << 16,         /* different ones */
    INDEX_RECORD_BYTES = 64 << 20, /* of the records of a segment: read again after a start */
    INDEX_CALL_TERMS = 8192,       /* of one call; further ones are left out */
    INDEX_TERM_BYTES = 64,
    INDEX_HEAD_BYTES = 19,
    INDEX_BLOCK_BYTES = 3900, /* a leaf page of the database; longer where one term needs it */
};

/* Calls of a segment. */
struct call_set {
    uint64_t bits[INDEX_SPAN / 64];
};

struct index_term {
    uint32_t count; /* of calls that have it */
    uint32_t last;  /* call, +1 */
    uint32_t at;    /* in text, if it is longer than head */
    uint8_t length;
    char head[INDEX_HEAD_BYTES]; /* so that most need no second look at memory */
};

struct index_slot {
    uint32_t hash;
    uint32_t number; /* of a term, +1; 0: empty */
};

struct index {
    int64_t first; /* offset; -1: nothing yet */
    uint32_t span; /* offsets from first on that were seen */
    uint64_t record_bytes;
    int64_t min_time_us, max_time_us;
    uint32_t call_terms; /* of the call under way */
    /* Terms by number, call after call: those of call n are from starts[n] on. */
    uint32_t *postings;
    uint32_t posting_count, posting_room;
    uint32_t *starts;
    uint32_t start_room;
    struct index_term *terms;
    uint32_t term_count, term_room;
    struct index_slot *slots; /* twice term_room */
    struct buf text;
};

void index_init(struct index *x);
void index_release(struct index *x);
/* Empty, with its memory kept. */
void index_reset(struct index *x);
/* Another call might not fit: write it out before. */
bool index_is_full(const struct index *x, int64_t offset);
/* A call; its terms follow. Offsets grow, those between two calls belong to none. */
void index_call(struct index *x, int64_t offset, int64_t time_us, size_t record_bytes);
void index_add(struct index *x, struct str term);

/* What is looked for: terms that begin with `prefix`, from `from` on (which begins with it, too).
 */
struct index_range {
    char prefix[INDEX_TERM_BYTES];
    char from[INDEX_TERM_BYTES];
    uint8_t prefix_length, from_length;
    bool exact; /* `from` alone */
};

struct str index_from(const struct index_range *r);
struct str index_prefix(const struct index_range *r);
/* Put calls with such terms into *into. */
void index_find(const struct index *x, const struct index_range *r, struct call_set *into);

/* In the order of their terms; block is gone after the call. */
typedef enum err index_block_fn(void *arg, struct str first_term, struct str block);
/* Blocks of what is in memory. An error of fn ends it. */
MUST_CHECK enum err index_write(const struct index *x, index_block_fn *fn, void *arg);
/* The same of one block. *ret_more: terms of the next block may be in the range, too. ERR_CORRUPT.
 */
MUST_CHECK enum err index_block_find(struct str block, const struct index_range *r,
                                     struct call_set *into, bool *ret_more);

/* ---- Terms of attributes ---- */

enum term_kind {
    TERM_ALL = 'a',   /* every call has it; value 0 */
    TERM_MODEL = 'm', /* these: a name's number */
    TERM_TARGET = 't',
    TERM_KEY = 'k',
    TERM_ENDPOINT = 'e',
    TERM_OUTCOME = 'o',
    TERM_USER = 'u',
    TERM_STATUS = 's', /* term_status */
    TERM_TOTAL = 'd',  /* class of its time: term_total_class */
};

enum { TERM_ATTRIBUTE_BYTES = 6 };

/* 0x01, kind, value (big-endian, 4 bytes). */
struct str term_attribute(enum term_kind kind, uint32_t value, char out[TERM_ATTRIBUTE_BYTES]);
/* Those of one hundred differ in the last byte only. */
uint32_t term_status(int status);
/* Four classes to a power of two. */
uint32_t term_total_class(int64_t total_us);
/* The shortest time of a class. */
int64_t term_total_from(uint32_t class);

#endif
