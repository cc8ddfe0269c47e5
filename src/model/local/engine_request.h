/* A request to a local model in OpenAI's form, read into what decoding needs. Pure; every mistake
 * names its field.
 *
 *   chat         messages (text, tool calls and their results), tools, tool_choice,
 *                parallel_tool_calls, reasoning_format (none: left in the content),
 *                reasoning_effort and chat_template_kwargs (for the model's template), and what
 *                all that generate understand
 *   completions  prompt (text, tokens, lists of either), echo, max_tokens 0 with echo
 *   generate     temperature, top_p, seed, max_tokens, max_completion_tokens, stop,
 *                frequency_penalty, presence_penalty, logit_bias, logprobs, top_logprobs, n,
 *                stream, stream_options.include_usage, response_format (text, json_object,
 *                json_schema); beyond OpenAI's min_p, top_k, repeat_penalty, ignore_eos,
 *                json_schema, grammar
 *   embeddings   input (text, tokens, lists of either), encoding_format, dimensions
 *   rerank       query, documents (text or {text}), top_n, return_documents
 *   tokenize     content, or messages; add_special, parse_special, with_pieces
 *
 *   refused      what would change the answer and cannot be done: content that is not text, audio
 *   ignored      everything else (user, metadata, store, …), and the model's name: whoever asks
 *                has found this engine
 *
 * null is "not given". */
#ifndef WEIR_MODEL_LOCAL_ENGINE_REQUEST_H
#define WEIR_MODEL_LOCAL_ENGINE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "dialect/openai_error.h"
#include "model/local/frame.h"
#include "model/local/text_gate.h"

enum {
    ENGINE_MESSAGES_MAX = 4096,
    ENGINE_PARTS_MAX = 4096, /* text parts of one message */
    ENGINE_TOOLS_MAX = 256,
    ENGINE_CALLS_MAX = 256, /* of one message */
    ENGINE_TOOL_NAME_BYTES_MAX = 64,
    ENGINE_BIAS_MAX = 1024,   /* entries of logit_bias */
    ENGINE_INPUTS_MAX = 2048, /* prompts, inputs, documents of one request */
    ENGINE_CHOICES_MAX = 128, /* of one prompt, and of one request that generates */
    ENGINE_TOP_LOGPROBS_MAX = 20,
    ENGINE_NESTING_MAX = 128,
    ENGINE_GRAMMAR_BYTES_MAX = 64 << 10, /* as somebody writes it */
    ENGINE_COMPLETION_TOKENS = 16,       /* where a completion does not say how many; OpenAI's */
};

/* A tool call of an assistant's message. */
struct engine_call {
    struct str id;
    struct str name;
    struct str arguments; /* a JSON object */
};

struct engine_message {
    struct str role;      /* system, user, assistant, tool; NUL-terminated */
    struct str content;   /* NUL-terminated, without a NUL inside */
    struct str reasoning; /* NULL: none */
    struct str name;      /* NULL: none */
    struct str call_id;   /* of a tool's message; NULL: none */
    struct engine_call *calls;
    size_t call_count;
};

/* A tool that may be called. */
struct engine_tool {
    struct str name;
    struct str parameters; /* a JSON Schema; NULL: it has none */
    struct str raw;        /* as it was given, JSON */
    bool strict;           /* its arguments must follow the schema */
};

enum engine_tool_choice { ENGINE_TOOLS_AUTO, ENGINE_TOOLS_NONE, ENGINE_TOOLS_REQUIRED };

struct engine_bias {
    int32_t token;
    float bias;
};

/* A prompt, or one of several inputs: text or tokens. */
struct engine_input {
    struct str text;
    const int32_t *tokens; /* NULL: it is text */
    size_t token_count;
};

/* Where a number is absent the model's defaults stand. */
struct engine_sampling {
    double temperature;       /* 0: the likeliest token, always */
    double top_p;             /* 1: off */
    double min_p;             /* 0: off */
    int64_t top_k;            /* 0: off */
    double repeat_penalty;    /* 1: off */
    double frequency_penalty; /* 0: off */
    double presence_penalty;  /* 0: off */
    uint32_t seed;
    bool seed_given;
};

/* llama-server's own, so that a model answers as people know it. */
#define ENGINE_SAMPLING_DEFAULT                                                                    \
    ((struct engine_sampling){                                                                     \
        .temperature = 0.8, .top_p = 0.95, .min_p = 0.05, .top_k = 40, .repeat_penalty = 1})

struct engine_request {
    struct arena arena; /* everything below, where it is not in the request's bytes */
    enum frame_task task;

    struct engine_message *messages;
    size_t message_count;
    struct engine_tool *tools; /* that the model is shown */
    size_t tool_count;
    enum engine_tool_choice tool_choice;
    struct str tool_chosen;      /* of those that are required; NULL: any */
    bool one_call;               /* parallel_tool_calls is false */
    struct str template_kwargs;  /* JSON object of variables for the chat template; NULL: none */
    struct str reasoning_effort; /* JSON; NULL: not given */
    bool keeps_reasoning;        /* <think>…</think> stays in the content */
    struct engine_input *inputs; /* prompts, inputs or documents */
    size_t input_count;
    bool inputs_listed; /* they came as a list, if only of one */

    /* What generates. */
    struct engine_sampling sampling;
    struct engine_bias *bias;
    size_t bias_count;
    struct str stops[TEXT_STOPS_MAX];
    size_t stop_count;
    int64_t max_tokens; /* -1: as many as the context has room for; 0 with echo only */
    int64_t choices;    /* of each prompt */
    int64_t logprobs;   /* likeliest tokens shown beside each; -1: no logprobs */
    struct str grammar; /* GBNF, NUL-terminated, that the answer follows; NULL: none */
    bool grammar_is_json;
    bool echo;
    bool stream;
    bool include_usage;
    bool ignore_eos; /* go on after the model's own end, to max_tokens */

    /* What embeds. */
    int64_t dimensions; /* 0: all */
    bool base64;
    struct str query;
    int64_t top_n; /* 0: all */
    bool return_documents;

    /* What tokenizes. */
    bool add_special, parse_special, with_pieces;
};

/* json must outlive the request. On an error nothing is to be released, and the problem is set (to
 * be answered as 400). */
MUST_CHECK enum err engine_request_read(enum frame_task task, struct str json,
                                        const struct engine_sampling *defaults,
                                        struct engine_request *ret_request,
                                        struct openai_problem *ret_problem);
void engine_request_release(struct engine_request *request);

#endif
