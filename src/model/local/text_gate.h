/* What may leave of a text that is still being generated: nothing that could turn out to be part of
 * a stop string, and no part of a character.
 *
 *   pieces of tokens ──> [ held back ] ──> out, to the answer
 *
 * 1. What was released never has to be taken back: a stop string is found also when it lies across
 *    tokens, and neither it nor what follows it is released.
 * 2. Released bytes end at a character's end, as far as the model writes UTF-8; bytes that no UTF-8
 *    sequence can begin with or go on with pass (the JSON writer replaces them).
 * 3. Held back are at most TEXT_STOP_BYTES_MAX + 3 bytes. */
#ifndef WEIR_MODEL_LOCAL_TEXT_GATE_H
#define WEIR_MODEL_LOCAL_TEXT_GATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

enum {
    TEXT_STOPS_MAX = 4,         /* as OpenAI's API */
    TEXT_STOP_BYTES_MAX = 1024, /* of one stop string */
};

struct text_gate {
    struct str stops[TEXT_STOPS_MAX]; /* the caller's */
    size_t stop_count;
    struct buf held;
    bool stopped;
};

/* No stop string is empty or longer than TEXT_STOP_BYTES_MAX. */
void text_gate_init(struct text_gate *g, const struct str *stops, size_t stop_count);
void text_gate_release(struct text_gate *g);
/* Take one token's bytes, append to out what may leave now. True: a stop string was found; out has
 * got what stands before it, and the gate is to be used no more. */
bool text_gate_push(struct text_gate *g, struct str piece, struct buf *out);
/* The text ends here: append what was held back. */
void text_gate_finish(struct text_gate *g, struct buf *out);

#endif
