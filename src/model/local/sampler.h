/* Choosing the next token: llama.cpp's samplers, put together from a request's parameters.
 *
 *   logit_bias ─> penalties ─> top_k ─> top_p ─> min_p ─> temperature ─> draw
 *   logit_bias ─> penalties ─> the likeliest                               (temperature 0)
 *
 * Penalties look at what was generated, not at the prompt, as OpenAI's do. A draw depends on the
 * logits, the seed and how many were drawn before: not on other requests, the clock or the
 * machine's load. */
#ifndef WEIR_MODEL_LOCAL_SAMPLER_H
#define WEIR_MODEL_LOCAL_SAMPLER_H

#include "model/local/engine_request.h"
#include "model/local/llama_api.h"

struct sampler_model {
    int32_t vocab_size;
    int32_t context_tokens;
    const llama_token *ends; /* tokens that end an answer */
    size_t end_count;
};

/* A chain to use with llama_sampler_sample; freed with llama_sampler_free. choice: of several of
 * one prompt, each of which has a seed of its own. */
struct llama_sampler *sampler_new(const struct engine_request *request, unsigned choice,
                                  const struct sampler_model *model);

#endif
