/* OpenAI's Responses API, as a caller's language.
 *
 * The language: https://platform.openai.com/docs/api-reference/responses. What a request leans on
 * (previous_response_id, references) is put into its input before it is read here
 * (responses_items.h). What becomes of each member is listed in docs/dialects.md. */
#ifndef WEIR_DIALECT_RESPONSES_H
#define WEIR_DIALECT_RESPONSES_H

#include "dialect/dialect.h"

/* What stands before an encrypted_content that Weir wrote: a signature of the thinking above it, of
 * the call that follows, or thinking that only its provider can read. Others are OpenAI's own, and
 * mean nothing to other providers. */
#define RESPONSES_SIGNATURE_MARK STR("weir.s:")
#define RESPONSES_CALL_MARK      STR("weir.c:")
#define RESPONSES_REDACTED_MARK  STR("weir.r:")

MUST_CHECK enum err responses_read_ask(struct str body, unsigned max_depth, struct arena *a,
                                       struct ask **ret_ask, struct openai_problem *ret_problem);

struct answer_writer *responses_writer_new(const struct answer_options *options);
void responses_writer_free(struct answer_writer *w);
void responses_writer_take(struct answer_writer *w, const struct answer_event *event,
                           struct buf *out);
void responses_write_answer(const struct answer *answer, const struct answer_options *options,
                            struct buf *out);

#endif
