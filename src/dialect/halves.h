/* Keeps the two halves of a surrogate pair together. Providers that cut their texts by UTF-16 units
 * send "\ud83d" in one delta and "\ude00" in the next; joined they are a character, alone many
 * parsers refuse them. Stands between a reader and its sink: a first half is held back until the
 * text goes on, and is U+FFFD if it does not. Private to src/dialect. */
#ifndef WEIR_DIALECT_HALVES_H
#define WEIR_DIALECT_HALVES_H

#include "dialect/answer.h"

enum { HALF_BYTES = 6, HALVES_BYTES_MAX = 64 << 20 };

struct halves {
    struct answer_sink out; /* set before anything is taken */
    bool held;
    char half[HALF_BYTES];
    struct answer_event of; /* kind, choice and tool of the held half */
    struct buf joined;
};

void halves_init(struct halves *h);
void halves_release(struct halves *h);
/* A sink that hands on to `out`. */
struct answer_sink halves_sink(struct halves *h, struct answer_sink out);

#endif
