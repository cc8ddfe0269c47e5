/* Is a stream that a writer wrote what its language allows? Whole ones, and those that end in an
 * error. Included by one test. */
#ifndef WEIR_TESTS_DIALECT_GRAMMAR_H
#define WEIR_TESTS_DIALECT_GRAMMAR_H

#include <stdbool.h>
#include <string.h>
#include <yyjson.h>

#include "base/str.h"
#include "codec/json_scan.h"

enum { GRAMMAR_CALLS_MAX = 64 };

struct grammar {
    const char *wrong;
    bool halves; /* an event holds half a surrogate pair, which yyjson does not read */
    bool started, ended, failed;
    /* Anthropic */
    int64_t open; /* block, or -1 */
    int64_t next;
    bool stopped;
    /* OpenAI */
    bool begun[GRAMMAR_CALLS_MAX];
    bool finished;
    size_t usages;
};

static inline void grammar_hold(struct grammar *g, bool right, const char *what)
{
    if (!right && !g->wrong)
        g->wrong = what;
}

static inline struct str grammar_type(yyjson_val *object)
{
    return str_from_c(yyjson_get_str(yyjson_obj_get(object, "type")));
}

static inline void grammar_anthropic(struct grammar *g, struct str name, yyjson_val *event)
{
    struct str type = grammar_type(event);
    int64_t index = yyjson_get_sint(yyjson_obj_get(event, "index"));
    grammar_hold(g, str_eq(name, type), "the event's name is its type");
    grammar_hold(g, g->started || str_eq(type, STR("message_start")) || str_eq(type, STR("error")),
                 "message_start comes first");
    if (str_eq(type, STR("message_start"))) {
        grammar_hold(g, !g->started, "one message_start");
        g->started = true;
    } else if (str_eq(type, STR("content_block_start"))) {
        grammar_hold(g, g->open < 0 && index == g->next, "blocks follow one another");
        g->open = g->next++;
    } else if (str_eq(type, STR("content_block_delta"))) {
        grammar_hold(g, g->open == index, "deltas speak of the open block");
    } else if (str_eq(type, STR("content_block_stop"))) {
        grammar_hold(g, g->open == index, "the open block stops");
        g->open = -1;
    } else if (str_eq(type, STR("message_delta"))) {
        grammar_hold(g, g->open < 0 && !g->stopped, "message_delta comes once, behind the blocks");
        g->stopped = true;
    } else if (str_eq(type, STR("message_stop"))) {
        grammar_hold(g, g->stopped && !g->ended, "message_stop comes last");
        g->ended = true;
    } else if (str_eq(type, STR("error"))) {
        g->failed = true;
    } else {
        grammar_hold(g, str_eq(type, STR("ping")), "known events only");
    }
}

static inline void grammar_call(struct grammar *g, yyjson_val *call)
{
    uint64_t index = yyjson_get_uint(yyjson_obj_get(call, "index"));
    yyjson_val *function = yyjson_obj_get(call, "function");
    bool named = yyjson_obj_get(function, "name");
    grammar_hold(g, index < GRAMMAR_CALLS_MAX, "few calls");
    if (index >= GRAMMAR_CALLS_MAX)
        return;
    grammar_hold(g, named != g->begun[index], "id and name come once, first");
    grammar_hold(g, named || yyjson_get_len(yyjson_obj_get(function, "arguments")) > 0,
                 "no empty arguments behind a call's beginning");
    grammar_hold(g, index == 0 || g->begun[index - 1], "calls are numbered one by one");
    g->begun[index] = true;
}

static inline void grammar_openai(struct grammar *g, yyjson_val *chunk)
{
    yyjson_val *choices = yyjson_obj_get(chunk, "choices"), *choice, *call;
    size_t i, j, n, m;
    if (yyjson_obj_get(chunk, "error")) {
        g->failed = true;
        return;
    }
    grammar_hold(g, yyjson_is_arr(choices), "every chunk has choices");
    g->usages += yyjson_is_obj(yyjson_obj_get(chunk, "usage"));
    grammar_hold(g, g->usages <= 1, "usage comes once");
    yyjson_arr_foreach(choices, i, n, choice)
    {
        yyjson_val *delta = yyjson_obj_get(choice, "delta");
        yyjson_val *calls = yyjson_obj_get(delta, "tool_calls");
        bool single = yyjson_get_uint(yyjson_obj_get(choice, "index")) == 0;
        grammar_hold(g, yyjson_is_obj(delta), "every choice has a delta");
        grammar_hold(g, !single || !g->finished, "nothing behind the finish_reason");
        if (single && !g->started) {
            grammar_hold(g, yyjson_obj_get(delta, "role"), "the role comes first");
            g->started = true;
        }
        if (single)
            g->finished |= yyjson_is_str(yyjson_obj_get(choice, "finish_reason"));
        yyjson_arr_foreach(calls, j, m, call) if (single) grammar_call(g, call);
    }
}

static inline void grammar_event(struct grammar *g, struct str dialect, struct str name,
                                 struct str data)
{
    grammar_hold(g, !g->ended && !g->failed, "nothing behind the end");
    if (str_eq(data, STR("[DONE]"))) {
        grammar_hold(g, str_eq(dialect, STR("openai")), "[DONE] is OpenAI's");
        g->ended = true;
        return;
    }
    yyjson_doc *doc = yyjson_read(data.ptr, data.len, 0);
    struct json_value value;
    g->halves |= !doc && json_validate(data, JSON_DEPTH_MAX, &value) == ERR_OK;
    grammar_hold(g, doc || g->halves, "every event is JSON");
    if (doc && str_eq(dialect, STR("anthropic")))
        grammar_anthropic(g, name, yyjson_doc_get_root(doc));
    else if (doc)
        grammar_openai(g, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
}

/* NULL: it is, or nothing is known of that dialect, or a text holds what was half a character in
 * its source; else the rule that is broken. */
static inline const char *grammar_check(struct str dialect, struct str stream)
{
    struct grammar g = {.open = -1};
    struct str name = STR("");
    if (!str_eq(dialect, STR("openai")) && !str_eq(dialect, STR("anthropic")))
        return NULL;
    while (stream.ptr && stream.len) {
        struct str line = str_split(&stream, '\n');
        if (line.len == 0)
            name = STR("");
        else if (str_starts(line, STR("event: ")))
            name = str_skip(line, 7);
        else if (str_starts(line, STR("data: ")))
            grammar_event(&g, dialect, name, str_skip(line, 6));
        else
            grammar_hold(&g, str_starts(line, STR(":")), "lines are events, data or comments");
    }
    grammar_hold(&g, g.ended != g.failed, "a stream ends, once");
    return g.halves ? NULL : g.wrong;
}

#endif
