/* What replays of whole answers as streams have in common. Private to src/dialect. */
#ifndef WEIR_DIALECT_REPLAY_H
#define WEIR_DIALECT_REPLAY_H

#include "base/buf.h"
#include "base/str.h"

/* Text of one delta at most, as it stands in JSON; longer text comes in several. */
#define REPLAY_DELTA_BYTES ((size_t)4096)

/* Append JSON, which may stand on several lines, on one: an event's data is one line. */
void replay_line_append(struct buf *out, struct str json);
/* The longest beginning of up to REPLAY_DELTA_BYTES of what stands inside a JSON string that ends
 * between two characters. */
struct str replay_piece(struct str raw);

#endif
