/* Choosing the next token: llama.cpp's samplers, put together from a request's parameters.
 *
 *   logit_bias ─> penalties ─> top_k ─> top_p ─> min_p ─> temperature ─> draw
 *   logit_bias ─> penalties ─> the likeliest                               (temperature 0)
 *
 * Penalties look at what was generated, not at the prompt, as OpenAI's do. A draw depends on the
 * logits, the seed and how many were drawn before: not on other requests, the clock or the
 * machine's load.
 *
 * A grammar is asked about the token that was drawn; only when it refuses that one, it is asked
 * about others, and the draw repeated among those it allows: first the 256 likeliest, then all.
 * (To ask about a whole vocabulary at each token costs a third to a half of the speed.) */
#ifndef WEIR_MODEL_LOCAL_SAMPLER_H
#define WEIR_MODEL_LOCAL_SAMPLER_H

#include "model/local/engine_request.h"
#include "model/local/llama_api.h"

struct sampler_model {
    int32_t vocab_size;
    int32_t context_tokens;
    const llama_token *ends; /* tokens that end an answer */
    size_t end_count;
    llama_token_data *candidates; /* room for the vocabulary, of one draw at a time */
};

struct sampler {
    struct llama_sampler *chain;
    struct llama_sampler *grammar; /* NULL: any token */
    bool ends_when_refused; /* the grammar's texts are whole where they may end (JSON): a token that
                               it refuses there ends the answer */
    bool narrow;            /* the likeliest tokens by logits are the likeliest after biases too */
};

/* grammar: of which a copy is taken; NULL: none. choice: of several of one prompt, each of which
 * has a seed of its own. */
void sampler_init(struct sampler *s, const struct engine_request *request, unsigned choice,
                  const struct llama_sampler *grammar, const struct sampler_model *model);
void sampler_release(struct sampler *s);
/* The next token by these logits; LLAMA_TOKEN_NULL: the grammar allows none. */
llama_token sampler_next(struct sampler *s, const float *logits, const struct sampler_model *model);

#endif
