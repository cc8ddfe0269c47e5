/* A chat request as tokens: the model's own template, then its vocabulary.
 *
 * What people write never becomes a control token. The template's tokens (<|im_start|>, [INST], …)
 * are control tokens; when text from the request spells one, be it in part, the prompt is tokenised
 * in parts, the template's with control tokens and the request's without. Otherwise it is tokenised
 * in one piece, as llama.cpp's server does it. */
#ifndef WEIR_MODEL_LOCAL_PROMPT_H
#define WEIR_MODEL_LOCAL_PROMPT_H

#include "dialect/openai_error.h"
#include "model/local/engine_model.h"
#include "model/local/engine_request.h"

enum {
    /* Of text for one token of the context: more than any text has, so longer ones are refused
     * without tokenising them. */
    PROMPT_BYTES_PER_TOKEN = 16,
};

/* Tokens that the model is given. */
struct prompt {
    llama_token *tokens;
    int32_t count;
    bool reasons; /* it ends where the model is to think */
};

/* The request's prompts, at least one: a chat's messages, a completion's prompts, the texts to be
 * embedded, a query with each document. They fit the context, of which one token at least is left
 * where an answer follows; else, or without a chat template, problem is set (for 400). The array
 * and its tokens are freed with mem_free. */
MUST_CHECK enum err prompts_tokenize(const struct engine_model *m, const struct engine_request *r,
                                     struct prompt **ret_prompts, size_t *ret_count,
                                     struct openai_problem *ret_problem);

#endif
