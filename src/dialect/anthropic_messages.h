/* Anthropic's messages, watched while the bytes pass through: the counterpart of openai_chat.h,
 * with its structures. What each function means stands there; here is what differs.
 *
 * The language: https://docs.anthropic.com/en/api/messages. The body goes to the target as it is
 * but for the model's name (openai_chat_rewrite does that: usage_asked is set, for usage always
 * comes). Serves /v1/messages and its count_tokens. */
#ifndef WEIR_DIALECT_ANTHROPIC_MESSAGES_H
#define WEIR_DIALECT_ANTHROPIC_MESSAGES_H

#include "dialect/openai_chat.h"

/* metadata is the whole object, user its user_id; n is 1. The prompt's estimate counts the texts of
 * system and messages, tools, and 1,024 tokens for each image or document. */
MUST_CHECK enum err anthropic_read_request(struct str body, unsigned max_depth, struct arena *a,
                                           struct chat_request *ret_request,
                                           struct openai_problem *ret_problem);

/* has_choices: there is a `content`; finished: stop_reason is a string. */
MUST_CHECK enum err anthropic_read_answer(struct str body, unsigned max_depth,
                                          struct chat_answer *ret_answer);

/* Released and reset by the two functions below, not by openai_chat_stream_release. */
void anthropic_stream_init(struct chat_stream *s, bool hide_usage, size_t max_bytes,
                           unsigned max_depth);
void anthropic_stream_release(struct chat_stream *s);
void anthropic_stream_reset(struct chat_stream *s);
/* Content: a delta that is not empty, the start of a block that is not text or thinking, a
 * stop_reason, events that are not understood. Not: message_start, ping, block starts and stops of
 * texts. message_stop is DONE. Nothing is ever hidden. usage: message_start's with message_delta's
 * in its place; it is cumulative, and never summed up. */
struct chat_event anthropic_stream_feed(struct chat_stream *s, struct str name, struct str data);
/* Content, then message_stop or a stop_reason; and no error. */
bool anthropic_stream_complete(const struct chat_stream *s);
/* The message as it would have come unstreamed, unknown blocks and members included. The input of a
 * call that broke off is a string of what came. Nothing before message_start. */
void anthropic_stream_answer(const struct chat_stream *s, struct buf *out);

#endif
