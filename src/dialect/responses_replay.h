/* A whole response (an object of the Responses API) as the stream that it would have been. */
#ifndef WEIR_DIALECT_RESPONSES_REPLAY_H
#define WEIR_DIALECT_RESPONSES_REPLAY_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Append the events (nothing of them on an error) of a response (JSON, validated to max_depth): its
 * begin, each item with its texts in pieces, its end, which holds the object as it is. Items of
 * kinds that Weir does not know come whole. after: events up to that number are left out; -1: none.
 * ERR_INVALID, ERR_TRUNCATED: not a response that is over. */
MUST_CHECK enum err responses_replay(struct str response, unsigned max_depth, int64_t after,
                                     struct buf *out);

#endif
