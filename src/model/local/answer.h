/* An answer in OpenAI's form: a chat.completion, a text_completion, or a stream of their events.
 *
 *   answer_begin ─┬─ of each choice: answer_token, answer_reasoning, answer_text, answer_call_… ─┬─
 * answer_end └─ answer_choice_end                                                           ─┘
 *
 * A chat's stream has one event with the role of each choice, one for each piece of what it says,
 * one with the finish reason, one with the usage where it was asked for, and "[DONE]". An answer in
 * one piece is written by answer_end. Bytes are appended to the caller's buffer. Pure. */
#ifndef WEIR_MODEL_LOCAL_ANSWER_H
#define WEIR_MODEL_LOCAL_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* A longer text ends the choice (finish reason length). */
#define ANSWER_TEXT_BYTES_MAX ((size_t)8 << 20)

enum answer_form { ANSWER_CHAT, ANSWER_COMPLETION };

struct answer {
    struct buf lead; /* of a stream: every event up to its choices; else what stands before them */
    enum answer_form form;
    bool stream;
    bool include_usage;
    bool logprobs;
};

enum { ANSWER_LISTS = 4 };

/* One of the answer's choices. */
struct answer_choice {
    unsigned index;
    unsigned calls;                 /* tool calls begun */
    struct buf text;                /* in one piece: what it says */
    struct buf reasoning;           /* in one piece */
    struct buf call_list;           /* in one piece: tool calls, joined by commas */
    struct buf lists[ANSWER_LISTS]; /* logprobs that are in no event yet: a chat's content; a
                                       completion's tokens, token_logprobs, top_logprobs,
                                       text_offset */
    size_t offset;                  /* of a completion's next token, in characters */
    char reason[16];                /* in one piece, after its end */
};

struct answer_usage {
    uint64_t prompt_tokens;
    uint64_t cached_tokens; /* of the prompt's: not decoded again */
    uint64_t completion_tokens;
};

struct answer_logprob {
    struct str bytes; /* the token's */
    float logprob;
};

/* id: "chatcmpl-…". created_s: seconds since 1970. */
void answer_init(struct answer *a, enum answer_form form, struct str id, struct str model,
                 int64_t created_s);
void answer_release(struct answer *a);
void answer_choice_init(struct answer_choice *c, unsigned index);
void answer_choice_release(struct answer_choice *c);
/* Its text is longer than it may be. */
bool answer_choice_full(const struct answer_choice *c);

struct str answer_content_type(const struct answer *a);
/* Of a chat's stream: the choice's first event. Nothing otherwise. */
void answer_begin(struct answer *a, struct answer_choice *c, struct buf *out);
/* A token with its logprob and the likeliest ones; they go out with what is written next. known:
 * false for a first token, which nothing stands before. */
void answer_token(struct answer *a, struct answer_choice *c, const struct answer_logprob *token,
                  bool known, const struct answer_logprob *top, size_t top_count);
/* Whole characters. Empty text is nothing. */
void answer_text(struct answer *a, struct answer_choice *c, struct str text, struct buf *out);
void answer_reasoning(struct answer *a, struct answer_choice *c, struct str text, struct buf *out);
/* A tool call: its name, its arguments in pieces, its end. */
void answer_call_begin(struct answer *a, struct answer_choice *c, struct str id, struct str name,
                       struct buf *out);
void answer_call_arguments(struct answer *a, struct answer_choice *c, struct str text,
                           struct buf *out);
void answer_call_end(struct answer *a, struct answer_choice *c);
/* reason: "stop", "length", "tool_calls". */
void answer_choice_end(struct answer *a, struct answer_choice *c, struct str reason,
                       struct buf *out);
/* Of an answer in one piece: a choice that has ended, in the order of the indices. */
void answer_choice_write(const struct answer *a, const struct answer_choice *c, struct buf *out);
/* Before the first answer_choice_write, and after the last choice's end. */
void answer_choices_begin(const struct answer *a, struct buf *out);
void answer_end(struct answer *a, const struct answer_usage *usage, struct buf *out);

#endif
