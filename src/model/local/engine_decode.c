#include "base/assert.h"
#include "model/local/engine_int.h"
#include "os/clock.h"

enum {
    /* A prompt's parts begin at multiples of it: kernels that take rows in groups then see the same
     * groups however the prompt is cut. */
    PART_STEP = 8,
    FAILURES_MAX = 3,
};

bool engine_has_work(const struct engine *e)
{
    if (e->queue)
        return true;
    for (unsigned i = 0; i < e->model.parallel; i++) {
        const struct engine_use *use = e->slots[i];
        if (use && (use->state == USE_PROMPT || engine_use_wants_token(use)))
            return true;
    }
    return false;
}

/* The oldest that wait get the lowest free slots: llama.cpp decodes neighbours together. */
static void admit(struct engine *e)
{
    for (unsigned slot = 0; slot < e->model.parallel && e->queue; slot++) {
        if (e->slots[slot])
            continue;
        struct engine_use *use = e->queue;
        e->queue = use->queue_next;
        if (!e->queue)
            e->queue_tail = &e->queue;
        e->queued--;
        engine_use_admit(use, (int)slot);
    }
}

static void batch_add(struct engine *e, llama_token token, int32_t position, int slot, bool output)
{
    int32_t i = e->batch.n_tokens++;
    e->batch.token[i] = token;
    e->batch.pos[i] = position;
    e->batch.n_seq_id[i] = 1;
    e->batch.seq_id[i][0] = slot;
    e->batch.logits[i] = output;
}

/* False: nothing of the batch counts. The uses in it are to be failed. */
static bool run(struct engine *e)
{
    int32_t result = llama.llama_decode(e->model.context, e->batch);
    e->decode_failures = result == 0 ? 0 : e->decode_failures + 1;
    return result == 0;
}

static llama_token sample(struct engine *e, struct engine_use *use, int32_t index)
{
    return llama.llama_sampler_sample(use->sampler, e->model.context, index);
}

/* ---- Prompts ---- */

/* Tokens that take about so long. Never leaves a single one for the next part: ggml multiplies a
 * lone row in another order, and the result would depend on how the prompt was cut. */
static int32_t part_tokens(const struct engine *e, const struct engine_use *use, double budget_us)
{
    int32_t left = use->token_count - use->position;
    double fit = e->prompt_us > 0 ? budget_us / e->prompt_us : PART_STEP;
    int32_t part = fit < ENGINE_PROMPT_TOKENS_MAX ? (int32_t)fit : ENGINE_PROMPT_TOKENS_MAX;
    part -= part % PART_STEP;
    part = part < PART_STEP ? PART_STEP : part;
    return left <= part + 1 ? left : part;
}

/* The prompt that would be ready first had each been alone since it got its slot, or NULL. Short
 * ones pass long ones, but not for ever: the later one comes, the later it would be ready. */
static struct engine_use *next_prompt(const struct engine *e)
{
    struct engine_use *first = NULL;
    double first_us = 0;
    for (unsigned slot = 0; slot < e->model.parallel; slot++) {
        struct engine_use *use = e->slots[slot];
        if (!use || use->state != USE_PROMPT)
            continue;
        double ready_us = (double)use->slot_us + (use->token_count - use->position) * e->prompt_us;
        if (!first || ready_us < first_us) {
            first = use;
            first_us = ready_us;
        }
    }
    return first;
}

static void decode_part(struct engine *e, struct engine_use *use, double budget_us)
{
    int32_t n = part_tokens(e, use, budget_us);
    bool last = use->position + n == use->token_count;
    e->batch.n_tokens = 0;
    for (int32_t i = 0; i < n; i++)
        batch_add(e, use->tokens[use->position + i], use->position + i, use->slot,
                  last && i == n - 1);
    uint64_t start_us = os_now_us();
    bool works = run(e);
    double each_us = (double)(os_now_us() - start_us) / n;
    e->prompt_us = e->prompt_us > 0 ? e->prompt_us * 0.75 + each_us * 0.25 : each_us;
    use->position += n;
    if (!works)
        engine_use_fail(use, "the model could not decode the prompt");
    else if (last)
        engine_use_token(use, sample(e, use, n - 1));
    engine_use_flush(use);
}

/* Parts of prompts, for about ENGINE_PART_MS. */
static void decode_prompts(struct engine *e)
{
    uint64_t start_us = os_now_us();
    double budget_us = ENGINE_PART_MS * 1000.0;
    struct engine_use *use;
    while (budget_us > PART_STEP * e->prompt_us && (use = next_prompt(e))) {
        decode_part(e, use, budget_us);
        budget_us = ENGINE_PART_MS * 1000.0 - (double)(os_now_us() - start_us);
    }
    /* Slower than that: a part a round all the same. */
    if (budget_us == ENGINE_PART_MS * 1000.0 && (use = next_prompt(e)))
        decode_part(e, use, budget_us);
}

/* ---- Answers ---- */

static void decode_answers(struct engine *e)
{
    struct engine_use *in_batch[ENGINE_PARALLEL_MAX] = {0};
    e->batch.n_tokens = 0;
    for (unsigned slot = 0; slot < e->model.parallel; slot++) {
        struct engine_use *use = e->slots[slot];
        if (!use || !engine_use_wants_token(use))
            continue;
        in_batch[e->batch.n_tokens] = use;
        batch_add(e, use->next, use->position, use->slot, true);
    }
    int32_t n = e->batch.n_tokens;
    bool works = n == 0 || run(e);
    for (int32_t i = 0; i < n; i++) {
        struct engine_use *use = in_batch[i];
        use->position++;
        if (works)
            engine_use_token(use, sample(e, use, i));
        else
            engine_use_fail(use, "the model could not decode the next token");
        engine_use_flush(use);
    }
}

bool engine_decode(struct engine *e)
{
    admit(e);
    decode_prompts(e);
    decode_answers(e);
    return e->decode_failures < FAILURES_MAX;
}
