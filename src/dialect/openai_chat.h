/* OpenAI chat completions, watched while the bytes pass through: what the gateway needs of a
 * request, the outgoing body, and what an answer said, streamed or not.
 *
 * The language: https://platform.openai.com/docs/api-reference/chat. Nothing here does I/O; all of
 * it runs on the thread that owns the structure. How it works: docs/internals/dialect.md. */
#ifndef WEIR_DIALECT_OPENAI_CHAT_H
#define WEIR_DIALECT_OPENAI_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/json_scan.h"
#include "codec/usage.h"
#include "dialect/openai_error.h"

/* ---- The request ---- */

/* Longest model name, unescaped, in bytes. */
#define CHAT_MODEL_BYTES_MAX 256
/* What max_tokens and n are cut to, so that sums and products of them fit. */
#define CHAT_TOKENS_MAX INT64_C(1000000000)

/* What the gateway needs to know of a request. Spans point into the body. Of fields that come more
 * than once the last counts, as in most parsers (`model` twice is an error). */
struct chat_request {
    struct str body;
    struct str model; /* unescaped; 1…CHAT_MODEL_BYTES_MAX bytes, no control characters */
    struct json_value model_value;    /* the string as it stands in the body */
    struct json_value messages;       /* JSON_NONE: absent. Any kind: the target is to judge it */
    struct json_value metadata;       /* JSON_NONE: absent */
    struct json_value stream_options; /* JSON_NONE: absent */
    struct json_value include_usage;  /* stream_options.include_usage; JSON_NONE: absent */
    struct str user;                  /* unescaped; empty: absent, or not a string */
    int64_t max_tokens;    /* the largest of max_completion_tokens and max_tokens; 0: none */
    int64_t n;             /* choices; 1 unless a whole number ≥ 1 is given */
    int64_t prompt_tokens; /* estimate for reservations, see below */
    bool stream;           /* only `true` is true */
    bool usage_asked;      /* stream, and include_usage is true */
};

/* Read and validate a body. max_depth is limits.nesting. Texts that had to be unescaped go into the
 * arena. ERR_INVALID: ret_problem says what is wrong, for the caller of the API, with `param` and
 * `code`: not JSON (with byte offset), too deep, not an object, `model` missing, twice, not a
 * string, empty, too long, with control characters. Keys are compared unescaped.
 *
 * prompt_tokens is (text bytes, unescaped, of messages, tools, functions and response_format) / 4
 * + 4 for each message + 1,024 for each image, sound or file: an estimate that costs nothing. */
MUST_CHECK enum err openai_chat_read_request(struct str body, unsigned max_depth, struct arena *a,
                                             struct chat_request *ret_request,
                                             struct openai_problem *ret_problem);

/* Parts that an outgoing body may have. */
#define CHAT_BODY_PARTS_MAX 5

/* An outgoing body; its parts point into the request's body, into static text and into the arena.
 */
struct chat_body {
    struct str parts[CHAT_BODY_PARTS_MAX];
    size_t count;
    size_t bytes;    /* all parts: the Content-Length */
    bool adds_usage; /* include_usage was put in: the caller must not see the usage chunk */
};

/* The body for a target: the caller's bytes with the model's name replaced, and, on a stream whose
 * caller did not ask for usage, stream_options.include_usage true. Everything else stays as it is,
 * wherever the fields stand. A name that is already the same keeps the caller's spelling. */
void openai_chat_rewrite(const struct chat_request *request, struct str upstream_model,
                         struct arena *a, struct chat_body *ret_body);

/* ---- An answer in one piece ---- */

struct chat_answer {
    struct json_value usage_raw; /* an object of the body, or JSON_NONE */
    struct usage usage;          /* source USAGE_NONE: there is none, or it says nothing */
    struct json_value model;     /* JSON_NONE: absent */
    uint64_t output_bytes; /* text generated, all choices: for a count where usage is absent */
    bool has_choices;
    bool has_error; /* an `error` that is not null, under the 200: openai_error_read says which */
    bool finished;  /* every choice has a finish_reason, and there is at least one */
};

/* Read a whole 200 body. ERR_INVALID, ERR_TRUNCATED: not JSON (then the record keeps it as text),
 * or not an object. */
MUST_CHECK enum err openai_chat_read_answer(struct str body, unsigned max_depth,
                                            struct chat_answer *ret_answer);

/* ---- A streamed answer ---- */

/* An upstream's stream may have this many choices, and this many tool calls (or other numbered
 * parts) each; what goes beyond passes through but is not collected. */
#define CHAT_STREAM_PARTS_MAX 512

enum chat_event_action {
    CHAT_EVENT_FORWARD,
    CHAT_EVENT_HIDE, /* usage without choices, which the caller did not ask for */
    CHAT_EVENT_DONE, /* the closing [DONE]: forward it; nothing should follow */
};

struct chat_event {
    enum chat_event_action action;
    bool content;   /* the answer has begun: no other target may be tried from here on. Text, tool
                       calls, reasoning, refusal, a finish_reason, any unknown delta with something
                       in it, and events that are not understood. Not: a role, empty strings, null,
                       usage, choices: [], [DONE] */
    bool error;     /* an error object inside the 200 stream: see stream->error */
    bool malformed; /* not a JSON object: forwarded as it is */
};

/* Watches one stream and collects its answer. Zero it or init it; release it.
 * Readable: usage_raw … truncated. */
struct chat_stream {
    struct usage usage;   /* the last one that was understood; source USAGE_NONE until then */
    struct str usage_raw; /* the last one, as it came; empty until then. Valid until the next
                             feed */
    struct openai_problem error; /* the first error event's; message empty: none came */
    uint64_t events;             /* fed, [DONE] included */
    uint64_t malformed;          /* of them */
    uint64_t output_bytes;       /* text generated (unescaped), all choices, also past max_bytes */
    uint64_t usage_at_bytes;     /* of these, when usage was told last: it knows of no more */
    bool content;                /* some event had content */
    bool failed;                 /* some event was an error */
    bool done;                   /* [DONE] came */
    bool truncated; /* the collected answer is not whole: max_bytes or PARTS_MAX was reached */

    bool hide_usage;
    unsigned max_depth;
    enum usage_tier tier; /* as the answer says it */
    struct chat_collect *collect;
};

/* hide_usage: the body's adds_usage. max_bytes: what collecting may use in memory; past it text is
 * dropped and `truncated` set, the rest goes on. max_depth: limits.nesting. */
void openai_chat_stream_init(struct chat_stream *s, bool hide_usage, size_t max_bytes,
                             unsigned max_depth);
void openai_chat_stream_release(struct chat_stream *s);
/* Begin again with the same options, e.g. after an attempt that failed before its content. */
void openai_chat_stream_reset(struct chat_stream *s);
/* One event: its data (lines joined by \n, without "data:") and its name (empty: none). Feed whole
 * events only, and an unterminated last one only if the body came to its proper end; an event
 * without data is not an event. */
struct chat_event openai_chat_stream_feed(struct chat_stream *s, struct str name, struct str data);
/* Did the answer come whole: some content, then [DONE] or a finish_reason for each choice; and no
 * error. A stream with nothing but a role in it did not, whatever ends it. */
bool openai_chat_stream_complete(const struct chat_stream *s);
/* Append the answer in the form that it would have had unstreamed (JSON; whatever came so far).
 * Appends nothing when no event with choices came. May be called once or again, at any time. */
void openai_chat_stream_answer(const struct chat_stream *s, struct buf *out);

/* ---- Usage ---- */

/* Normalise a usage object so that codec/usage.h's invariants hold. Understood are OpenAI's names,
 * DeepSeek's prompt_cache_hit_tokens, and input_tokens, output_tokens and cache_…_input_tokens as
 * Anthropic, the Responses API and their imitators write them. Parts that a provider counts beside
 * a total are added to it: cache reads and writes (Anthropic), reasoning (xAI), thoughts that
 * appear in total_tokens only (Gemini's compatible endpoint). Counts that are negative, fractions
 * or above USAGE_TOKENS_MAX are as good as absent. What contradicts itself is mended, and marked in
 * `suspect`. ERR_INVALID: not an object, or it says neither
 * input nor output. */
#define USAGE_TOKENS_MAX INT64_C(1000000000000)
MUST_CHECK enum err openai_usage_read(struct str text, struct usage *ret_usage);
/* An answer's service_tier; what is not known is standard. */
enum usage_tier openai_tier_read(const struct json_value *value);

#endif
