/* The parts of OpenAI's chat completions that make dialect_openai; see dialect.h for each. Private
 * to src/dialect. */
#ifndef WEIR_DIALECT_OPENAI_INT_H
#define WEIR_DIALECT_OPENAI_INT_H

#include "dialect/dialect.h"

/* The one cache_control that says "here": {"type":"ephemeral"}. */
extern const struct json_value openai_ephemeral;

enum err openai_ask_read(struct str body, unsigned max_depth, struct arena *a, struct ask **ret_ask,
                         struct openai_problem *ret_problem);
enum err openai_ask_write(const struct ask *ask, const struct ask_target *target, struct arena *a,
                          struct buf *out, struct ask_plan *ret_plan,
                          struct openai_problem *ret_problem);

struct answer_reader *openai_reader_new(const struct answer_options *options);
void openai_reader_free(struct answer_reader *r);
void openai_reader_feed(struct answer_reader *r, struct str name, struct str data,
                        struct answer_sink sink);
void openai_reader_end(struct answer_reader *r, struct answer_sink sink);
enum err openai_answer_read(struct str body, const struct answer_options *options,
                            struct answer_sink sink);

struct answer_writer *openai_writer_new(const struct answer_options *options);
void openai_writer_free(struct answer_writer *w);
void openai_writer_take(struct answer_writer *w, const struct answer_event *event, struct buf *out);
void openai_answer_write(const struct answer *answer, const struct answer_options *options,
                         struct buf *out);
/* Append a usage object in OpenAI's form. */
void openai_usage_write(const struct usage *usage, struct buf *out);
/* "stop", …; for a choice. */
struct str openai_finish_name(enum answer_finish finish);

#endif
