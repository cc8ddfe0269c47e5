/* An answer in OpenAI's form: a chat.completion, or a stream of chat.completion.chunk events.
 *
 *   answer_begin ─> answer_text… ─> answer_end
 *
 * A stream has one event with the role, one for each piece of text, one with the finish reason, one
 * with the usage where it was asked for, and "[DONE]". Bytes are appended to the caller's buffer.
 * Pure. */
#ifndef WEIR_MODEL_LOCAL_ANSWER_H
#define WEIR_MODEL_LOCAL_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* A longer text ends the answer (finish reason length). */
#define ANSWER_TEXT_BYTES_MAX ((size_t)8 << 20)

struct answer {
    struct buf lead; /* of a stream: every event up to its choices; else what stands before them */
    struct buf text; /* of an answer in one piece */
    bool stream;
    bool include_usage;
};

struct answer_usage {
    uint64_t prompt_tokens;
    uint64_t completion_tokens;
};

/* id: "chatcmpl-…". created_s: seconds since 1970. */
void answer_init(struct answer *a, struct str id, struct str model, int64_t created_s, bool stream,
                 bool include_usage);
void answer_release(struct answer *a);

struct str answer_content_type(const struct answer *a);
/* Of a stream: the first event. Nothing otherwise. */
void answer_begin(struct answer *a, struct buf *out);
/* Whole characters. Empty text is nothing. */
void answer_text(struct answer *a, struct str text, struct buf *out);
/* reason: "stop", "length". */
void answer_end(struct answer *a, struct str reason, const struct answer_usage *usage,
                struct buf *out);

#endif
