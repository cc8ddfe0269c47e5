/* The languages that calls are written in, each as one table of functions between its bytes and
 * the neutral form (ask.h, answer.h); so n languages need n translations.
 *
 *   caller's body ── read_ask ──> ask ── write_ask ──> target's body, plan
 *                                                          │
 *   caller <── writer_take <── events <── reader_feed <── target's stream
 *   caller <── write_answer <── answer <── read_answer <── target's body
 *
 * Where both sides speak the same language the bytes pass, and `watch` looks on.
 *
 * 1. Nothing here does I/O, reads a clock or keeps anything between calls but in the structures
 *    below. One thread at a time for each of them.
 * 2. Readers and writers of streams hold a bounded amount, whatever the stream's length, and
 *    allocate nothing per event once their buffers have grown.
 * 3. What a target cannot do is refused by write_ask, before anything is sent, with a problem that
 *    names the member; or it is adapted as docs/dialects.md lists. Nothing is dropped silently. */
#ifndef WEIR_DIALECT_DIALECT_H
#define WEIR_DIALECT_DIALECT_H

#include "dialect/answer.h"
#include "dialect/ask.h"
#include "dialect/openai_chat.h"

/* A target's model. */
struct ask_target {
    struct str model;           /* the name as the target knows it; unescaped */
    int64_t max_tokens_default; /* where the API demands a limit and the caller gave none; 0: by the
                                   model's name, docs/dialects.md */
};

/* What write_ask did that reading the answer must know. Points into the arena. */
struct ask_plan {
    struct str json_tool; /* structured output was asked for as a call of this tool: its arguments
                             are the answer's text. Empty: not */
    bool single_tool;     /* the caller takes one call at a time and the target cannot be told so:
                             calls behind an answer's first are left out, the model asks again */
};

/* What readers and writers of an answer are told. Strings live as long as they do. */
struct answer_options {
    struct ask_plan plan; /* readers */
    unsigned max_depth;   /* readers: limits.nesting */
    size_t max_bytes;     /* writers: what may be held back where calls alternate, and the target
                             language wants one after another; past it the answer is an error */
    struct str id;        /* writers: an id where the provider sent none; unescaped */
    struct str model;     /* writers: a model's name where the provider sent none; unescaped */
    int64_t created_s;    /* writers: a time where the provider sent none */
    struct str call;    /* writers: the call's id, 32 hex digits, for languages whose ids name it */
    struct str body;    /* writers: the caller's request, for languages whose answers repeat parts
                           of it; JSON that read_ask took, or empty */
    bool include_usage; /* stream writers: the ask's */
};

/* One stream's, and one caller's. Each dialect's own. */
struct answer_reader;
struct answer_writer;

/* Watching where the bytes pass; the functions of openai_chat.h, and another dialect's
 * counterparts with the same meaning. */
struct dialect_watch {
    enum err (*read_request)(struct str body, unsigned max_depth, struct arena *a,
                             struct chat_request *ret_request, struct openai_problem *ret_problem);
    void (*rewrite)(const struct chat_request *request, struct str upstream_model, struct arena *a,
                    struct chat_body *ret_body);
    enum err (*read_answer)(struct str body, unsigned max_depth, struct chat_answer *ret_answer);
    void (*stream_init)(struct chat_stream *s, bool hide_usage, size_t max_bytes,
                        unsigned max_depth);
    void (*stream_reset)(struct chat_stream *s);
    void (*stream_release)(struct chat_stream *s);
    struct chat_event (*stream_feed)(struct chat_stream *s, struct str name, struct str data);
    bool (*stream_complete)(const struct chat_stream *s);
    void (*stream_answer)(const struct chat_stream *s, struct buf *out);
};

struct dialect {
    struct str name;     /* "openai", "anthropic", …: configuration's `api` */
    struct str endpoint; /* that its targets are asked at, see model/model.h: "/messages" */
    const struct dialect_watch *watch; /* NULL: this dialect is only translated to */

    /* ---- Requests ---- */

    /* Read a caller's body. ERR_INVALID, ERR_TOO_LARGE (an ASK_…_MAX), ERR_UNSUPPORTED: ret_problem
     * says what is wrong, with `param`. NULL: no caller speaks it. */
    enum err (*read_ask)(struct str body, unsigned max_depth, struct arena *a, struct ask **ret_ask,
                         struct openai_problem *ret_problem);
    /* Append the body for a target. ERR_UNSUPPORTED: ret_problem says what this target cannot do;
     * ERR_TOO_LARGE: past out's maximum. On an error what stands in out is not to be used. */
    enum err (*write_ask)(const struct ask *ask, const struct ask_target *target, struct arena *a,
                          struct buf *out, struct ask_plan *ret_plan,
                          struct openai_problem *ret_problem);

    /* ---- A target's answer ---- */

    struct answer_reader *(*reader_new)(const struct answer_options *options);
    void (*reader_free)(struct answer_reader *r); /* NULL is fine */
    /* One server-sent event: its name (empty: none) and data. What it cannot be understood as is an
     * ANSWER_ERROR. */
    void (*reader_feed)(struct answer_reader *r, struct str name, struct str data,
                        struct answer_sink sink);
    /* The body came to its proper end: emits END (and what stands before it) if it has not come
     * and the answer is whole all the same; nothing else. */
    void (*reader_end)(struct answer_reader *r, struct answer_sink sink);
    /* A whole body of a good status, as the same events. ERR_INVALID, ERR_TRUNCATED: it is no
     * answer (not JSON, not of this form), and nothing of it, or not all, was emitted. */
    enum err (*read_answer)(struct str body, const struct answer_options *options,
                            struct answer_sink sink);

    /* ---- The caller's answer ---- */

    struct answer_writer *(*writer_new)(const struct answer_options *options);
    void (*writer_free)(struct answer_writer *w); /* NULL is fine */
    /* Append an event as server-sent events; often nothing, sometimes several. The stream's close
     * ([DONE], message_stop) comes with ANSWER_END, an error with ANSWER_ERROR, which ends it. */
    void (*writer_take)(struct answer_writer *w, const struct answer_event *event, struct buf *out);
    /* Append a collected answer as a whole body. */
    void (*write_answer)(const struct answer *answer, const struct answer_options *options,
                         struct buf *out);

    /* ---- Errors ---- */

    /* Read a target's error body; never fails (see openai_error_read). */
    void (*read_error)(struct str body, int status, struct openai_problem *ret_problem);
    /* How long an error's body says to wait; -1: it does not. NULL: its API says it in a header
     * only.
     */
    int64_t (*retry_after_ms)(struct str body);
    /* Append a caller's error body. */
    void (*write_error)(struct buf *out, int status, const struct openai_problem *problem);
    /* Append an error to a stream that has begun, as an event; events: so many came before it. */
    void (*write_error_event)(struct buf *out, int status, uint64_t events,
                              const struct openai_problem *problem);
};

extern const struct dialect dialect_openai;
extern const struct dialect dialect_anthropic;
extern const struct dialect dialect_gemini;    /* only translated to */
extern const struct dialect dialect_responses; /* only a caller's, and watched */

/* All of them, NULL-terminated. */
extern const struct dialect *const dialect_table[];
/* By name; NULL: there is none. */
const struct dialect *dialect_find(struct str name);

#endif
