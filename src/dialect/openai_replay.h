/* A whole answer of chat or completions as the stream that it would have been. */
#ifndef WEIR_DIALECT_OPENAI_REPLAY_H
#define WEIR_DIALECT_OPENAI_REPLAY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Append the events of a whole answer (JSON, validated to max_depth): for each choice its role, its
 * text in pieces, other members of its message, its tool calls one by one, its finish_reason; then
 * usage, if the answer has it and the caller asked for it, in a chunk without choices; then [DONE].
 * Members of the answer's own stand in every chunk. ERR_INVALID: not a chat completion. */
MUST_CHECK enum err openai_chat_replay(struct str answer, unsigned max_depth, bool usage_asked,
                                       struct buf *out);

#endif
