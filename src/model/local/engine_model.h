/* The loaded model of an engine: weights, vocabulary, context, and what its file says of chats. */
#ifndef WEIR_MODEL_LOCAL_ENGINE_MODEL_H
#define WEIR_MODEL_LOCAL_ENGINE_MODEL_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "model/local/chat_template.h"
#include "model/local/llama_api.h"
#include "model/local/sampler.h"

enum {
    /* A sequence never has a longer context, whatever the model was trained with. */
    ENGINE_CONTEXT_TOKENS_MAX = 4096,
    /* Sequences are given up before a context gets shorter than that. */
    ENGINE_CONTEXT_TOKENS_WANTED = 2048,
    ENGINE_CONTEXT_TOKENS_MIN = 256, /* and the step in which it is chosen */
    ENGINE_PROMPT_TOKENS_MAX = 128,  /* decoded in one call */
    ENGINE_SCORED_TOKENS_MAX = 32,   /* of which all logits are wanted */
    /* A prompt's parts begin at multiples of it: kernels that take rows in groups then see the same
     * groups however the prompt is cut. */
    ENGINE_PART_STEP = 8,
    /* Rows from which on flash attention is computed in tiles. A larger model would hold others'
     * tokens back for too long by that many. */
    ENGINE_TILE_TOKENS = 64,
    ENGINE_TILE_PARAMETERS_MAX = 500000000,
    ENGINE_EMBED_TOKENS = 512, /* in one call, unless a text alone may be longer */
    ENGINE_EMBED_SEQUENCES = 64,
    ENGINE_BATCH_TOKENS_MIN = ENGINE_PROMPT_TOKENS_MAX + 1, /* a last part may have one more */
};

struct engine_model_options {
    struct str path;
    struct str lib_dir;
    unsigned threads;
    unsigned parallel;
    uint64_t kv_bytes; /* for the attention caches of all sequences together */
};

/* What a file's model is for. */
enum engine_kind { ENGINE_GENERATES, ENGINE_EMBEDS, ENGINE_RANKS };

struct engine_model {
    enum engine_kind kind;
    struct llama_model *model;
    struct llama_context *context;
    const struct llama_vocab *vocab;
    llama_memory_t memory;         /* NULL: an encoder, which keeps nothing */
    int32_t tile;                  /* ENGINE_TILE_TOKENS; 1: without flash attention */
    bool shares_prefixes;          /* the cache's end can be cut off */
    int32_t width;                 /* of a vector: of an embedding, or classes of a ranking model */
    struct sampler_model sampling; /* vocabulary, context of one sequence, ends */
    llama_token *ends;
    llama_token_data *candidates;
    unsigned parallel; /* sequences there are */
    unsigned threads;
    uint64_t kv_bytes;         /* taken */
    struct chat_template chat; /* of what generates; jinja NULL: there is none */
    struct str chat_problem;   /* why there is none */
    struct arena arena;        /* of the controls' texts, and the problem */
    struct str *controls;      /* texts of control tokens; see prompt.h */
    size_t control_count;
    bool control_first[256]; /* bytes that one of them begins with */
};

/* Check the file, load llama.cpp, the file and a context, and decode once so that the first request
 * finds everything in place. Seconds for a large file. On an error one line for people is in
 * problem; the process is of no more use. */
MUST_CHECK enum err engine_model_load(const struct engine_model_options *options,
                                      struct buf *problem, struct engine_model *ret_model);
void engine_model_release(struct engine_model *m);

/* Append the model's facts as a JSON object (the READY frame). */
void engine_model_facts(const struct engine_model *m, uint64_t load_ms, struct buf *out);

#endif
