/* The parts of reading a request: engine_request.c (fields, the whole), engine_request_chat.c
 * (messages), engine_request_tools.c, engine_request_format.c
 * (grammars), engine_request_input.c (prompts, inputs, documents). */
#ifndef WEIR_MODEL_LOCAL_ENGINE_REQUEST_INT_H
#define WEIR_MODEL_LOCAL_ENGINE_REQUEST_INT_H

#include "codec/json_scan.h"
#include "model/local/engine_request.h"

/* One reading. */
struct engine_parse {
    struct json_reader json;
    struct engine_request *request;
    struct openai_problem *problem;
    int64_t limit_chat, limit_completion; /* max_tokens, max_completion_tokens; -1: not given */
    int64_t top_logprobs;
    bool logprobs_asked;
};

/* Set the problem; for `return engine_parse_fail(…)`. */
#define engine_parse_fail(p, param, ...)                                                           \
    (openai_problem_set((p)->problem, "invalid_request_error", (param), NULL, __VA_ARGS__),        \
     ERR_INVALID)

/* The value at hand. null leaves *value. */
enum err engine_parse_integer(struct engine_parse *p, const char *name, int64_t min, int64_t max,
                              int64_t *value);
enum err engine_parse_bool(struct engine_parse *p, const char *name, bool *value);

enum err engine_parse_format(struct engine_parse *p);
enum err engine_parse_schema(struct engine_parse *p);
enum err engine_parse_grammar(struct engine_parse *p);

enum err engine_parse_messages(struct engine_parse *p);
enum err engine_parse_tools(struct engine_parse *p);
enum err engine_parse_tool_choice(struct engine_parse *p);
/* After all members: does tool_choice fit tools? */
enum err engine_settle_tools(struct engine_parse *p);
/* tool_calls of the message at that place. */
enum err engine_parse_calls(struct engine_parse *p, const char *at, struct engine_message *m);

/* prompt, input, content: a string, tokens, or a list of either. */
enum err engine_parse_inputs(struct engine_parse *p, const char *name);
enum err engine_parse_documents(struct engine_parse *p);
enum err engine_parse_query(struct engine_parse *p);
enum err engine_parse_encoding(struct engine_parse *p);

#endif
