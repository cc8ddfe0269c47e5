/* What is asked of the mock: a request's body, read with yyjson (not Weir's own reader: the mock is
 * the second opinion), and what the answer will hold. */
#ifndef WEIR_CLI_MOCK_ASK_H
#define WEIR_CLI_MOCK_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "cli/mock/mock_fault.h"

enum mock_api {
    MOCK_API_OTHER,
    MOCK_API_CHAT,
    MOCK_API_COMPLETIONS,
    MOCK_API_EMBEDDINGS,
    MOCK_API_MODELS,
    MOCK_API_MESSAGES,
    MOCK_API_COUNT_TOKENS,
};

enum {
    MOCK_TOOL_CALLS_MAX = 16,   /* called in one answer; tools beyond it are not */
    MOCK_CHOICES_MAX = 128,     /* `n`: more is a 400, as OpenAI's */
    MOCK_INPUTS_MAX = 2048,     /* texts in one embeddings request: 400 */
    MOCK_DIMENSIONS_MAX = 4096, /* of an embedding: 400 */
    MOCK_PIECE_BYTES = 12,      /* of tool arguments or structured text in one delta */
};

struct mock_tool_call {
    struct str name;      /* as it stands in JSON, with its quotes */
    struct str arguments; /* JSON */
};

/* Strings live in the arena that mock_ask_read was given. */
struct mock_ask {
    enum mock_api api;
    struct str model;        /* text */
    struct str model_json;   /* the same in JSON, with its quotes */
    struct mock_fault fault; /* what strikes this request */
    bool stream;
    bool include_usage;
    bool cut_short;         /* the asked maximum is below the mock's tokens */
    uint32_t choices;       /* `n` */
    uint64_t prompt_tokens; /* a token is four bytes of text, begun ones count */
    uint64_t tokens;        /* of the answer: numbered ones (cli/wire/wire_text.h), unless… */
    struct str text;        /* …this is not empty: structured output, in pieces */
    struct mock_tool_call calls[MOCK_TOOL_CALLS_MAX];
    size_t call_count; /* not 0: the answer is these calls, without text */
    /* Embeddings */
    struct str *inputs;
    size_t input_count;
    uint32_t dimensions;
    bool base64;
};

/* Read the body of a request to `api`. max_tokens: what the mock answers unless less is asked.
 * False: the request is wrong, *ret_problem says how. */
bool mock_ask_read(enum mock_api api, struct str body, uint64_t max_tokens, struct arena *arena,
                   struct mock_ask *ret_ask, const char **ret_problem);

/* The answer's text comes in units: tokens, or pieces of structured text. */
size_t mock_ask_units(const struct mock_ask *ask);
/* Append unit i as it stands inside a JSON string. */
void mock_ask_unit_append(const struct mock_ask *ask, size_t i, struct buf *out);
/* Append the whole text likewise. */
void mock_ask_text_append(const struct mock_ask *ask, struct buf *out);
/* Completion tokens of one choice when `units` of it are out. */
uint64_t mock_ask_tokens_of(const struct mock_ask *ask, size_t units);

/* JSON text in pieces of about MOCK_PIECE_BYTES that do not cut characters. */
size_t mock_pieces(struct str text);
struct str mock_piece(struct str text, size_t i);

#endif
