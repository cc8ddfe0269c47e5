/* The parts of Anthropic's messages that make dialect_anthropic; see dialect.h for each. Private to
 * src/dialect. */
#ifndef WEIR_DIALECT_ANTHROPIC_INT_H
#define WEIR_DIALECT_ANTHROPIC_INT_H

#include "dialect/dialect.h"

enum err anthropic_ask_read(struct str body, unsigned max_depth, struct arena *a,
                            struct ask **ret_ask, struct openai_problem *ret_problem);
enum err anthropic_ask_write(const struct ask *ask, const struct ask_target *target,
                             struct arena *a, struct buf *out, struct ask_plan *ret_plan,
                             struct openai_problem *ret_problem);

struct answer_reader *anthropic_reader_new(const struct answer_options *options);
void anthropic_reader_free(struct answer_reader *r);
void anthropic_reader_feed(struct answer_reader *r, struct str name, struct str data,
                           struct answer_sink sink);
void anthropic_reader_end(struct answer_reader *r, struct answer_sink sink);
enum err anthropic_answer_read(struct str body, const struct answer_options *options,
                               struct answer_sink sink);

struct answer_writer *anthropic_writer_new(const struct answer_options *options);
void anthropic_writer_free(struct answer_writer *w);
void anthropic_writer_take(struct answer_writer *w, const struct answer_event *event,
                           struct buf *out);
void anthropic_answer_write(const struct answer *answer, const struct answer_options *options,
                            struct buf *out);
/* Append a usage object in Anthropic's form: input_tokens without cache reads and writes. */
void anthropic_usage_write(const struct usage *usage, struct buf *out);
struct str anthropic_stop_name(enum answer_finish finish);
enum answer_finish anthropic_stop_of(const struct json_value *reason);

void anthropic_error_write(struct buf *out, int status, const struct openai_problem *problem);
void anthropic_error_event_write(struct buf *out, int status, const struct openai_problem *problem);

/* A usage object above this is not read. */
enum { ANTHROPIC_USAGE_BYTES_MAX = 8 << 10 };

/* A stream's usage: what message_start said, with what message_delta said put in its place. Append
 * the merged object. */
void anthropic_usage_merge(struct str start, struct str delta, struct buf *out);

#endif
