/* What is asked of the mock: a request's path and body, read with yyjson (not Weir's own reader:
 * the mock is the second opinion), and what the answer will hold.
 *
 *   path ─ mock_path.c ─> api, model     body ─ mock_talk.c ─> what was said
 *                                             └ mock_ask.c ──> parts of the answer, usage
 *
 * An answer is a list of parts, the same in each API: thinking, text, refusal, calls of tools. */
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
    MOCK_API_RESPONSES,
    MOCK_API_MESSAGES,
    MOCK_API_COUNT_TOKENS,
    MOCK_API_GEMINI,
    MOCK_API_GEMINI_COUNT,
    MOCK_API_GEMINI_EMBED,
    MOCK_API_GEMINI_EMBED_BATCH,
    MOCK_API_GEMINI_MODELS,
};

enum {
    MOCK_TOOL_CALLS_MAX = 16,   /* called in one answer; tools beyond it are not */
    MOCK_PARTS_MAX = 20,        /* of an answer */
    MOCK_CHOICES_MAX = 128,     /* `n`: more is a 400, as OpenAI's */
    MOCK_INPUTS_MAX = 2048,     /* texts in one embeddings request: 400 */
    MOCK_DIMENSIONS_MAX = 4096, /* of an embedding: 400 */
    MOCK_LOGPROBS_MAX = 20,     /* alternatives of one token; more is 400 */
    MOCK_STOPS_MAX = 8,         /* stop sequences that are looked for */
    MOCK_PIECE_BYTES = 12,      /* of tool arguments or structured text in one delta */
    MOCK_IMAGE_TOKENS = 85,     /* of a prompt, for an image or a file */
};

/* Where a request goes. */
struct mock_path {
    enum mock_api api;
    bool azure;
    bool stream;      /* Gemini's streamGenerateContent */
    bool array;       /* …whose answer is a JSON array, not events */
    struct str model; /* Gemini's and Azure's paths name it, percent-encoded */
};

struct mock_path mock_path_of(struct str target);

enum mock_part_kind { PART_THINKING, PART_REDACTED, PART_TEXT, PART_REFUSAL, PART_CALL };

struct mock_part {
    enum mock_part_kind kind;
    struct str name; /* of a called tool, as it stands in JSON, with its quotes */
    struct str text; /* arguments, structured or cut text; empty: numbered tokens */
    uint64_t units;  /* deltas: tokens, or pieces of text */
    size_t number;   /* calls: counted over the conversation, for their ids */
};

enum mock_stop { STOP_END, STOP_LENGTH, STOP_SEQUENCE, STOP_CALLS, STOP_REFUSAL, STOP_FILTER };

/* Strings live in the arena that mock_ask_read was given. */
struct mock_ask {
    enum mock_api api;
    bool azure;
    struct str model;        /* text */
    struct str model_json;   /* the same in JSON, with its quotes */
    struct mock_fault fault; /* what strikes this request */
    bool fault_is_wished;    /* by the prompt's text */
    bool stream;
    bool include_usage;
    bool thought_text;      /* reasoning is shown: a summary, thoughts, reasoning_content */
    bool encrypted;         /* Responses: reasoning comes encrypted too */
    bool logprobs;          /* of each token, with… */
    uint32_t top_logprobs;  /* …so many alternatives */
    uint32_t choices;       /* `n` */
    uint64_t calls_before;  /* in the conversation: makes Gemini's response ids differ in a loop */
    uint64_t prompt_tokens; /* a token is four bytes of text, begun ones count; all of them */
    uint64_t cache_read;    /* …of which these came from the prompt's cache */
    uint64_t cache_write;   /* …and these were written to it */
    bool cache_1h;          /* for an hour, not five minutes */
    uint64_t tokens;        /* the text's: numbered ones (cli/wire/wire_text.h) */
    uint64_t reasoning;     /* tokens of thinking, shown or not */
    enum mock_stop stop;
    struct str stop_sequence; /* the one that was met, in JSON with its quotes */
    struct mock_part parts[MOCK_PARTS_MAX];
    size_t part_count;
    /* Embeddings */
    struct str *inputs;
    size_t input_count;
    uint32_t dimensions;
    bool base64;
};

/* Read the body of a request. max_tokens: what the mock answers unless less is asked.
 * False: the request is wrong, *ret_problem says how. */
bool mock_ask_read(const struct mock_path *path, struct str body, uint64_t max_tokens,
                   struct arena *arena, struct mock_ask *ret_ask, const char **ret_problem);

/* ---- Parts (mock_part.c) ---- */

/* Of the first part of that kind, or NULL. */
const struct mock_part *mock_part_of(const struct mock_ask *ask, enum mock_part_kind kind);
size_t mock_calls(const struct mock_ask *ask);
/* Append unit i, or all of them, as it stands inside a JSON string. */
void mock_part_unit_append(const struct mock_part *part, uint64_t i, struct buf *out);
void mock_part_text_append(const struct mock_part *part, struct buf *out);
/* Tokens of one choice's answer when `units` deltas of its parts are out; thinking included. */
uint64_t mock_tokens_of(const struct mock_ask *ask, uint64_t units);

/* In all choices; input holds what came from the cache and went into it. Faults that spoil usage
 * are in it. */
struct mock_usage {
    uint64_t input, cache_read, cache_write, output, reasoning;
    uint64_t total; /* input and output */
};
/* When `units` deltas of each choice are out; UINT64_MAX: all. */
struct mock_usage mock_usage_of(const struct mock_ask *ask, uint64_t units);

/* Append {"token":…,"logprob":…,"bytes":[…],"top_logprobs":[…]} of a text's unit. */
void mock_logprob_append(const struct mock_ask *ask, const struct mock_part *part, uint64_t i,
                         struct buf *out);
/* Append `"call_mock_3"`, with its quotes: prefix and number. */
void mock_call_id_append(const struct mock_part *part, const char *prefix, struct buf *out);

/* JSON text in pieces of about MOCK_PIECE_BYTES that do not cut characters. */
size_t mock_pieces(struct str text);
struct str mock_piece(struct str text, size_t i);

/* What a provider signs its thinking with; whoever sends it back changed is refused. */
#define MOCK_SIGNATURE "bW9jay1zaWduYXR1cmUr/w=="
/* The same bytes in the URL's alphabet, as Google's client sends them back. */
#define MOCK_SIGNATURE_URL "bW9jay1zaWduYXR1cmUr_w=="
/* Of thinking that is sent back without its text: Anthropic's redacted_thinking, OpenAI's
 * encrypted_content. */
#define MOCK_ENCRYPTED "bW9jay1lbmNyeXB0ZWQr/w=="
#define MOCK_REFUSAL   "The mock was asked to refuse."

#endif
