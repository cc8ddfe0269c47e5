/* An answer in no particular language: the events that it comes in, and what they add up to.
 *
 *   START  THINKING* SIGNATURE  TEXT*  (TOOL_BEGIN TOOL_ARGS* TOOL_END)*  FINISH  USAGE  END
 *
 * is the usual order of one choice. What a writer may rely on:
 *
 * 1. START comes first, once. After END or ERROR nothing comes.
 * 2. Texts are escaped (what stands inside a JSON string) and valid: pieces joined are valid again,
 *    and the halves of a surrogate pair may lie in two pieces. They are valid during the call only.
 * 3. TOOL_BEGIN names a call once, with its id; its number is new in the choice and counts from 0.
 *    Deltas of several calls may alternate; every call that was begun gets a TOOL_END before
 *    FINISH, or the stream breaks. TOOL_ARGS are never empty; joined and unescaped they are the
 *    arguments' JSON text (no ARGS at all: none).
 * 4. FINISH comes once per choice, and nothing of the choice behind it. A choice that called tools
 * and stopped finishes with FINISH_TOOLS, whatever its provider says.
 * 5. USAGE is cumulative: the last one counts. It may come early (Anthropic's prompt) or after
 *    FINISH; a provider may send none.
 * 6. END says that the answer came whole. Without it, it did not. */
#ifndef WEIR_DIALECT_ANSWER_H
#define WEIR_DIALECT_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "codec/usage.h"
#include "dialect/openai_error.h"

/* Tool calls of one answer, all choices together; a reader reports more as an error. */
#define ANSWER_TOOLS_MAX 512
/* Choices of one answer. */
#define ANSWER_CHOICES_MAX 128

enum answer_event_kind {
    ANSWER_START,      /* id, name: the model's, as the provider calls it; created_s */
    ANSWER_PING,       /* the provider says that it lives */
    ANSWER_TEXT,       /* text */
    ANSWER_THINKING,   /* text */
    ANSWER_SIGNATURE,  /* text: of the thinking before it, which is over */
    ANSWER_REDACTED,   /* text: data; a piece of thinking of its own */
    ANSWER_REFUSAL,    /* text */
    ANSWER_TOOL_BEGIN, /* tool, id, name; text: a signature that belongs to the call, or empty */
    ANSWER_TOOL_ARGS,  /* tool, text */
    ANSWER_TOOL_END,   /* tool */
    ANSWER_LOGPROBS,   /* raw: an object as in OpenAI's choices[].logprobs, to be added up */
    ANSWER_OTHER,      /* name, raw: a part that the neutral form has no word for (citations,
                          annotations, audio). Written where the dialect has a place for it, left
                          out elsewhere: docs/dialects.md */
    ANSWER_FINISH,     /* finish; text: the stop sequence, where it is known */
    ANSWER_USAGE,      /* usage, raw: as the provider wrote it */
    ANSWER_ERROR,      /* problem: under a good status */
    ANSWER_END,
};

enum answer_finish {
    FINISH_NONE,
    FINISH_STOP,
    FINISH_SEQUENCE, /* one of the caller's stop sequences */
    FINISH_LENGTH,
    FINISH_TOOLS,
    FINISH_FILTER, /* refused, or filtered */
    FINISH_PAUSE,  /* a long turn of the provider's own tools: to be continued */
};

struct answer_event {
    enum answer_event_kind kind;
    uint32_t choice;
    uint32_t tool;
    struct str text;   /* escaped */
    struct str id;     /* escaped */
    struct str name;   /* escaped */
    struct str raw;    /* JSON */
    int64_t created_s; /* since 1970; 0: unknown */
    enum answer_finish finish;
    struct usage usage;
    const struct openai_problem *problem;
};

/* Takes events; must not keep what they point to. */
struct answer_sink {
    void (*take)(void *arg, const struct answer_event *event);
    void *arg;
};

static inline void answer_emit(struct answer_sink sink, const struct answer_event *event)
{
    sink.take(sink.arg, event);
}

/* From here on no other target may be tried: text, thinking, a tool call, a refusal, a finish,
 * anything unknown. Not START, PING, USAGE, LOGPROBS, ERROR, END, or empty texts. */
bool answer_event_is_content(const struct answer_event *event);

/* ---- What they add up to ---- */

enum answer_part_kind {
    ANSWER_PART_TEXT,
    ANSWER_PART_THINKING,
    ANSWER_PART_REDACTED,
    ANSWER_PART_REFUSAL,
    ANSWER_PART_TOOL,
    ANSWER_PART_OTHER,
};

struct answer_part {
    struct answer_part *next;
    enum answer_part_kind kind;
    uint32_t tool;
    bool ended;           /* THINKING: signed; TOOL: its TOOL_END came */
    struct buf text;      /* escaped; of a TOOL its arguments; of OTHER JSON */
    struct str signature; /* THINKING, TOOL; escaped */
    struct str id;
    struct str name; /* TOOL, OTHER */
};

struct answer_choice {
    struct answer_choice *next;
    uint32_t number;
    struct answer_part *parts; /* in the order in which they began */
    struct answer_part *last;
    struct answer_part *tool; /* the call that was spoken of last */
    enum answer_finish finish;
    struct str stop_sequence;
    struct buf logprobs_content; /* elements of OpenAI's logprobs.content, joined by commas */
    struct buf logprobs_refusal;
    bool has_logprobs;
};

/* Readable: all of it. Memory is bounded by max_bytes of text plus ANSWER_SPARE_BYTES; past that,
 * text is dropped and `truncated` set, facts go on. */
#define ANSWER_SPARE_BYTES ((size_t)64 << 10)

struct answer {
    struct arena arena;
    size_t max_bytes;
    size_t used_bytes;
    struct str id;    /* escaped; empty: none */
    struct str model; /* escaped; empty: none */
    int64_t created_s;
    struct answer_choice *choices; /* by number */
    uint32_t choice_count;
    uint32_t part_count;
    struct usage usage;            /* source USAGE_NONE: none came */
    struct buf usage_raw;          /* empty: none came */
    struct openai_problem problem; /* when failed */
    uint64_t output_bytes;         /* of text, thinking, refusals and arguments, about unescaped */
    uint64_t usage_at_bytes;       /* of these, when USAGE came last: it knows of no more */
    bool started;
    bool content;   /* answer_event_is_content of some event */
    bool failed;    /* ERROR came */
    bool whole;     /* END came, and no error */
    bool truncated; /* the parts are not whole */
};

void dialect_answer_init(struct answer *a, size_t max_bytes);
void dialect_answer_release(struct answer *a);
/* Begin again with the same bound. */
void dialect_answer_reset(struct answer *a);
void answer_take(struct answer *a, const struct answer_event *event);
/* The same as a sink. */
struct answer_sink answer_sink_of(struct answer *a);

#endif
