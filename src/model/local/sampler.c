#include "model/local/sampler.h"

#include <math.h>

#include "base/mem.h"
#include "os/random.h"

/* Below it logits divided by the temperature leave what a float holds. */
#define TEMPERATURE_MIN 1e-5

static void add(struct llama_sampler *chain, struct llama_sampler *sampler)
{
    llama.llama_sampler_chain_add(chain, sampler);
}

/* The request's biases, and with ignore_eos a ban on every token that ends an answer. */
static void add_biases(struct llama_sampler *chain, const struct engine_request *r,
                       const struct sampler_model *model)
{
    size_t bans = r->ignore_eos ? model->end_count : 0;
    if (r->bias_count + bans == 0)
        return;
    llama_logit_bias *biases = mem_array(r->bias_count + bans, sizeof *biases);
    for (size_t i = 0; i < r->bias_count; i++)
        biases[i] = (llama_logit_bias){r->bias[i].token, r->bias[i].bias};
    for (size_t i = 0; i < bans; i++)
        biases[r->bias_count + i] = (llama_logit_bias){model->ends[i], -INFINITY};
    add(chain, llama.llama_sampler_init_logit_bias(model->vocab_size,
                                                   (int32_t)(r->bias_count + bans), biases));
    mem_free(biases);
}

static void add_penalties(struct llama_sampler *chain, const struct engine_sampling *s,
                          const struct sampler_model *model)
{
    bool off = s->repeat_penalty == 1 && s->frequency_penalty == 0 && s->presence_penalty == 0;
    if (!off)
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

struct llama_sampler *sampler_new(const struct engine_request *request, unsigned choice,
                                  const struct sampler_model *model)
{
    const struct engine_sampling *s = &request->sampling;
    struct llama_sampler_chain_params params = llama.llama_sampler_chain_default_params();
    params.no_perf = true;
    struct llama_sampler *chain = llama.llama_sampler_chain_init(params);
    add_biases(chain, request, model);
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
