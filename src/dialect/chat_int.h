/* What the watchers of OpenAI's chat completions and of Anthropic's messages share. Private to
 * src/dialect. */
#ifndef WEIR_DIALECT_CHAT_INT_H
#define WEIR_DIALECT_CHAT_INT_H

#include "dialect/collect.h"
#include "dialect/openai_chat.h"

/* ---- Requests ---- */

/* What the estimate of a prompt's tokens is made of. */
struct prompt_size {
    uint64_t text_bytes;
    uint64_t messages;
    uint64_t media;
};

/* A body on its way into a chat_request. */
struct request_reading {
    struct json_reader r;
    struct chat_request request;
    struct prompt_size size;
    size_t models;      /* members named so */
    size_t model_at[2]; /* where the first two stand: byte offsets */
};

/* Read a body's members one after another; take has the value of `key` at hand, and may leave it
 * there. Sets all of *x, `model` and prompt_tokens too. ERR_INVALID: not JSON, no object, or not
 * one model. */
MUST_CHECK enum err chat_reading_run(struct request_reading *x, struct str body, unsigned max_depth,
                                     struct arena *a,
                                     void (*take)(struct request_reading *x,
                                                  const struct json_value *key, struct arena *a),
                                     struct openai_problem *ret_problem);
/* A text's bytes, or those of JSON. */
void chat_count_value(struct prompt_size *size, const struct json_value *value);
/* The value of `model`, at hand. */
void chat_reading_model(struct request_reading *x);
/* A count of tokens or choices at hand: what is no whole positive number is 0. */
int64_t chat_reading_limit(struct request_reading *x);
/* ---- Streams ---- */

/* A usage object above this is normalised but not kept as it came. */
enum { CHAT_USAGE_BYTES_MAX = 64 << 10 };

struct chat_collect {
    struct collect collect;
    struct buf usage;
    bool has_choices; /* OpenAI: an event with choices came; Anthropic: the message has started */
};

#endif
