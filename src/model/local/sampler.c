#include "model/local/sampler.h"

#include <math.h>

#include "base/mem.h"
#include "model/local/logprobs.h"
#include "os/random.h"

/* Below it logits divided by the temperature leave what a float holds. */
#define TEMPERATURE_MIN 1e-5

static void add(struct llama_sampler *chain, struct llama_sampler *sampler)
{
    llama.llama_sampler_chain_add(chain, sampler);
}

/* The request's biases, and with ignore_eos a ban on every token that ends an answer. */
static void read_biases(struct sampler *s, const struct engine_request *r,
                        const struct sampler_model *model)
{
    size_t bans = r->ignore_eos ? model->end_count : 0;
    if (r->bias_count + bans == 0)
        return;
    s->biases = mem_array(r->bias_count + bans, sizeof *s->biases);
    for (size_t i = 0; i < r->bias_count; i++)
        s->biases[s->bias_count++] = (struct sampler_bias){r->bias[i].token, r->bias[i].bias, 0};
    for (size_t i = 0; i < bans; i++)
        s->biases[s->bias_count++] = (struct sampler_bias){model->ends[i], -INFINITY, 0};
}

static bool penalises(const struct engine_sampling *s)
{
    return s->repeat_penalty != 1 || s->frequency_penalty != 0 || s->presence_penalty != 0;
}

static void add_penalties(struct llama_sampler *chain, const struct engine_sampling *s,
                          const struct sampler_model *model)
{
    if (penalises(s))
        add(chain, llama.llama_sampler_init_penalties(
                       model->vocab_size, model->context_tokens, (float)s->repeat_penalty,
                       (float)s->frequency_penalty, (float)s->presence_penalty));
}

/* llama.cpp takes one seed for "any": it is not to come out of a request's. */
static uint32_t seed_of(const struct engine_sampling *s, unsigned choice)
{
    uint32_t seed = s->seed_given ? s->seed + choice : (uint32_t)os_random_u64();
    return seed == LLAMA_DEFAULT_SEED ? 0 : seed;
}

static struct llama_sampler *chain_new(const struct engine_request *request, unsigned choice,
                                       const struct sampler_model *model)
{
    const struct engine_sampling *s = &request->sampling;
    struct llama_sampler_chain_params params = llama.llama_sampler_chain_default_params();
    params.no_perf = true;
    struct llama_sampler *chain = llama.llama_sampler_chain_init(params);
    add_penalties(chain, s, model);
    if (s->temperature < TEMPERATURE_MIN) {
        add(chain, llama.llama_sampler_init_greedy());
        return chain;
    }
    if (s->top_k > 0)
        add(chain, llama.llama_sampler_init_top_k((int32_t)s->top_k));
    if (s->top_p < 1)
        add(chain, llama.llama_sampler_init_top_p((float)s->top_p, 1));
    if (s->min_p > 0)
        add(chain, llama.llama_sampler_init_min_p((float)s->min_p, 1));
    add(chain, llama.llama_sampler_init_temp((float)s->temperature));
    add(chain, llama.llama_sampler_init_dist(seed_of(s, choice)));
    return chain;
}

/* How many of the likeliest tokens decide a draw. */
static size_t first_of(const struct engine_sampling *s)
{
    if (penalises(s))
        return 0;
    if (s->temperature < TEMPERATURE_MIN)
        return 1;
    return s->top_k > 0 && s->top_k <= SAMPLER_FIRST_MAX ? (size_t)s->top_k : 0;
}

void sampler_init(struct sampler *s, const struct engine_request *request, unsigned choice,
                  const struct llama_sampler *grammar, const struct sampler_model *model)
{
    *s = (struct sampler){.chain = chain_new(request, choice, model)};
    if (grammar)
        s->grammar = llama.llama_sampler_clone(grammar);
    read_biases(s, request, model);
    s->first = first_of(&request->sampling);
    s->ends_when_refused = request->grammar_is_json;
    s->narrow = !penalises(&request->sampling);
}

void sampler_release(struct sampler *s)
{
    if (s->chain)
        llama.llama_sampler_free(s->chain);
    if (s->grammar)
        llama.llama_sampler_free(s->grammar);
    mem_free(s->biases);
    *s = (struct sampler){0};
}

/* ---- Biases ---- */

static void lay_biases(struct sampler *s, float *logits)
{
    for (size_t i = 0; i < s->bias_count; i++) {
        s->biases[i].was = logits[s->biases[i].token];
        logits[s->biases[i].token] += s->biases[i].bias;
    }
}

/* Backwards: a token may be named twice. */
static void lift_biases(const struct sampler *s, float *logits)
{
    for (size_t i = s->bias_count; i-- > 0;)
        logits[s->biases[i].token] = s->biases[i].was;
}

/* ---- A draw ---- */

static llama_token_data_array everything(const float *logits, const struct sampler_model *m)
{
    for (llama_token t = 0; t < m->vocab_size; t++)
        m->candidates[t] = (llama_token_data){t, logits[t], 0};
    return (llama_token_data_array){m->candidates, (size_t)m->vocab_size, -1, false};
}

static llama_token_data_array likeliest(const float *logits, size_t count,
                                        const struct sampler_model *m)
{
    struct logprob_top top[SAMPLER_FIRST_MAX];
    logprobs_top(logits, m->vocab_size, 0, top, &count);
    for (size_t i = 0; i < count; i++)
        m->candidates[i] = (llama_token_data){top[i].token, top[i].logprob, 0};
    return (llama_token_data_array){m->candidates, count, -1, true};
}

/* LLAMA_TOKEN_NULL: all are banned. */
static llama_token draw(struct sampler *s, llama_token_data_array *from)
{
    llama.llama_sampler_apply(s->chain, from);
    if (from->selected < 0 || from->selected >= (int64_t)from->size)
        return LLAMA_TOKEN_NULL;
    const llama_token_data *chosen = &from->data[from->selected];
    return isinf(chosen->logit) ? LLAMA_TOKEN_NULL : chosen->id;
}

static bool allowed(const struct sampler *s, llama_token token)
{
    llama_token_data one = {token, 1, 0};
    llama_token_data_array array = {&one, 1, -1, false};
    llama.llama_sampler_apply(s->grammar, &array);
    return !isinf(one.logit);
}

void sampler_follow(struct sampler *s, const struct llama_sampler *grammar,
                    const llama_token *tokens, size_t count)
{
    s->grammar = llama.llama_sampler_clone(grammar);
    s->ends_when_refused = true;
    for (size_t i = 0; i < count; i++) {
        if (!allowed(s, tokens[i])) {
            llama.llama_sampler_free(s->grammar);
            s->grammar = NULL;
            return;
        }
        llama.llama_sampler_accept(s->grammar, tokens[i]);
    }
}

/* Leave only what the grammar allows; false: nothing. */
static bool filter(const struct sampler *s, llama_token_data_array *from)
{
    size_t kept = 0;
    llama.llama_sampler_apply(s->grammar, from);
    for (size_t i = 0; i < from->size; i++)
        if (!isinf(from->data[i].logit))
            from->data[kept++] = from->data[i];
    from->size = kept;
    return kept > 0;
}

static llama_token draw_allowed(struct sampler *s, const float *logits,
                                const struct sampler_model *m)
{
    llama_token_data_array from;
    if (s->ends_when_refused)
        for (size_t i = 0; i < m->end_count; i++)
            if (allowed(s, m->ends[i]))
                return m->ends[i];
    if (s->narrow) {
        from = likeliest(logits, SAMPLER_FIRST_MAX, m);
        if (filter(s, &from))
            return draw(s, &from);
    }
    from = everything(logits, m);
    return filter(s, &from) ? draw(s, &from) : LLAMA_TOKEN_NULL;
}

static llama_token next(struct sampler *s, const float *logits, const struct sampler_model *m)
{
    llama_token_data_array from = s->first ? likeliest(logits, s->first, m) : everything(logits, m);
    llama_token token = draw(s, &from);
    if (s->grammar && (token == LLAMA_TOKEN_NULL || !allowed(s, token)))
        token = draw_allowed(s, logits, m);
    return token;
}

llama_token sampler_next(struct sampler *s, float *logits, const struct sampler_model *model)
{
    lay_biases(s, logits);
    llama_token token = next(s, logits, model);
    lift_biases(s, logits);
    if (token == LLAMA_TOKEN_NULL)
        return token;
    if (s->grammar)
        llama.llama_sampler_accept(s->grammar, token);
    llama.llama_sampler_accept(s->chain, token);
    return token;
}
