/* Choosing the next token: llama.cpp's samplers, put together from a request's parameters.
 *
 *   logit_bias ─> penalties ─> top_k ─> top_p ─> min_p ─> temperature ─> draw
 *   logit_bias ─> penalties ─> the likeliest                               (temperature 0)
 *
 * A chain of llama.cpp's that begins with the whole vocabulary costs more than a hundredth of a
 * small model's decoding. Where no penalty changes the order of the logits, the first top_k are
 * found here (SAMPLER_FIRST_MAX at most), and the chain sees those alone; biases are laid on the
 * logits themselves for as long as a draw takes.
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

enum { SAMPLER_FIRST_MAX = 256 };

/* Of one token: what is added to its logit, and what that was. */
struct sampler_bias {
    llama_token token;
    float bias, was;
};

struct sampler {
    struct llama_sampler *chain;
    struct sampler_bias *biases; /* the request's, and a ban on each end where those are ignored */
    size_t bias_count;
    size_t first; /* so many of the likeliest are all that a draw looks at; 0: it looks at all */
    struct llama_sampler *grammar; /* NULL: any token */
    bool ends_when_refused; /* the grammar's texts are whole where they may end (JSON): a token that
                               it refuses there ends the answer */
    bool narrow;            /* no penalty: the likeliest tokens by logits are the likeliest */
};

/* grammar: of which a copy is taken; NULL: none. choice: of several of one prompt, each of which
 * has a seed of its own. */
void sampler_init(struct sampler *s, const struct engine_request *request, unsigned choice,
                  const struct llama_sampler *grammar, const struct sampler_model *model);
/* From here on a grammar decides, of which these tokens came already. Nothing changes when it does
 * not allow them. */
void sampler_follow(struct sampler *s, const struct llama_sampler *grammar,
                    const llama_token *tokens, size_t count);
void sampler_release(struct sampler *s);
/* The next token by these logits, which are as they were afterwards; LLAMA_TOKEN_NULL: the grammar
 * allows none. */
llama_token sampler_next(struct sampler *s, float *logits, const struct sampler_model *model);

#endif
