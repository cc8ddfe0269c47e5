/* What a model writes, taken apart: reasoning, content, tool calls.
 *
 *   text ──> [ held back ] ─┬─ <think>…</think>                      reasoning
 *                           ├─ <tool_call>{…}</tool_call>            a call (Hermes, Qwen)
 *                           ├─ [TOOL_CALLS][{…}], name[ARGS]{…}      calls (Mistral)
 *                           ├─ <|python_tag|>{…}; {…} alone          calls (Llama 3)
 *                           ├─ ```json {…} ```                       calls
 *                           └─ everything else                       content
 *
 * 1. A call is handed out when it is whole: its name is one of the tools' and its arguments are a
 *    JSON object. What looks like one and is not, is content: nothing is lost.
 * 2. Content is held back only as far as it could be the beginning of one of the marks; an answer
 *    that begins with { or ``` while there are tools is held to its end.
 * 3. Pure. Texts are valid during the callback only. */
#ifndef WEIR_MODEL_LOCAL_REPLY_H
#define WEIR_MODEL_LOCAL_REPLY_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

struct reply_events {
    void (*on_text)(void *arg, struct str text);
    void (*on_reasoning)(void *arg, struct str text);
    /* arguments: a JSON object. */
    void (*on_call)(void *arg, struct str name, struct str arguments);
};

enum reply_state {
    REPLY_BEGIN,     /* nothing but white space came */
    REPLY_REASONING, /* after <think> */
    REPLY_REASONED,  /* after </think>: nothing but white space came */
    REPLY_TEXT,
    REPLY_CALL, /* after a mark that opens one */
    REPLY_BARE, /* what could be a call without a mark, to the answer's end */
};

struct reply {
    enum reply_state state;
    const struct str *tools; /* names; the caller's */
    size_t tool_count;
    bool splits_reasoning;
    bool after_call;
    bool reasoned;  /* some reasoning was handed out */
    unsigned mark;  /* that opened the call */
    unsigned calls; /* handed out */
    struct buf held;
};

/* reasons: the prompt's end opened <think> already. */
void reply_init(struct reply *r, const struct str *tools, size_t tool_count, bool splits_reasoning,
                bool reasons);
void reply_release(struct reply *r);
/* More text, whole characters. */
void reply_push(struct reply *r, struct str text, const struct reply_events *events, void *arg);
/* The answer ends here. */
void reply_finish(struct reply *r, const struct reply_events *events, void *arg);

#endif
