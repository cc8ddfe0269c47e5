#include "base/assert.h"
#include "model/local/engine_int.h"
#include "os/clock.h"

enum { FAILURES_MAX = 3 };

bool engine_has_work(const struct engine *e)
{
    if (e->embeds)
        return true;
    for (unsigned i = 0; i < e->model.parallel; i++) {
        const struct engine_seq *seq = e->slots[i].seq;
        if (seq ? seq->state == SEQ_PROMPT || engine_seq_wants_token(seq) : e->queued > 0)
            return true;
    }
    return false;
}

static void admit(struct engine *e)
{
    int32_t cached;
    struct engine_seq *seq;
    while ((seq = engine_queue_first(e)) != NULL) {
        int slot = engine_prefix_slot(e, seq, &cached);
        if (slot < 0)
            return;
        engine_seq_admit(seq, slot, cached);
    }
}

void engine_batch_add(struct engine *e, llama_token token, int32_t position, int slot, bool output)
{
    int32_t i = e->batch.n_tokens++;
    e->batch.token[i] = token;
    e->batch.pos[i] = position;
    e->batch.n_seq_id[i] = 1;
    e->batch.seq_id[i][0] = slot;
    e->batch.logits[i] = output;
}

bool engine_batch_run(struct engine *e)
{
    int32_t result = e->model.memory ? llama.llama_decode(e->model.context, e->batch)
                                     : llama.llama_encode(e->model.context, e->batch);
    e->decode_failures = result == 0 ? 0 : e->decode_failures + 1;
    return result == 0;
}

/* ---- Prompts ---- */

/* Tokens that take about so long. Never leaves a single one for the next part: ggml multiplies a
 * lone row in another order, and the result would depend on how the prompt was cut. */
static int32_t part_tokens(const struct engine *e, const struct engine_seq *seq, double budget_us)
{
    int32_t left = seq->prompt->count - seq->position;
    double fit = e->prompt_us > 0 ? budget_us / e->prompt_us : ENGINE_PART_STEP;
    int32_t most =
        engine_seq_scores_prompt(seq) ? ENGINE_SCORED_TOKENS_MAX : ENGINE_PROMPT_TOKENS_MAX;
    int32_t part = fit < most ? (int32_t)fit : most;
    int32_t tiled = engine_prefix_tiled(e, seq) - seq->position;
    int32_t step = tiled > 0 ? e->model.tile : ENGINE_PART_STEP;
    part -= part % step;
    part = part < step ? step : part;
    left = tiled > 0 ? tiled : left;
    return left <= part + 1 ? left : part;
}

/* The prompt that would be ready first had each been alone since it got its slot, or NULL. Short
 * ones pass long ones, but not for ever: the later one comes, the later it would be ready. */
static struct engine_seq *next_prompt(const struct engine *e)
{
    struct engine_seq *first = NULL;
    double first_us = 0;
    for (unsigned slot = 0; slot < e->model.parallel; slot++) {
        struct engine_seq *seq = e->slots[slot].seq;
        if (!seq || seq->state != SEQ_PROMPT)
            continue;
        double left = seq->prompt->count - seq->position;
        double ready_us = (double)seq->slot_us + left * e->prompt_us;
        if (!first || ready_us < first_us) {
            first = seq;
            first_us = ready_us;
        }
    }
    return first;
}

static void add_part(struct engine *e, const struct engine_seq *seq, int32_t n)
{
    bool all = engine_seq_scores_prompt(seq);
    bool last = seq->position + n == seq->prompt->count;
    e->batch.n_tokens = 0;
    for (int32_t i = 0; i < n; i++)
        engine_batch_add(e, seq->prompt->tokens[seq->position + i], seq->position + i, seq->slot,
                         all || (last && i == n - 1));
}

/* The part is in the cache. */
static void part_done(struct engine *e, struct engine_seq *seq, int32_t n)
{
    if (engine_seq_scores_prompt(seq))
        for (int32_t i = 0; i < n; i++)
            engine_seq_scored(seq, seq->position + i,
                              llama.llama_get_logits_ith(e->model.context, i));
    seq->position += n;
    engine_prefix_note(e, seq);
    if (seq->position == seq->prompt->count && engine_seq_prompt_done(seq))
        engine_seq_next(seq, n - 1);
}

static void decode_part(struct engine *e, struct engine_seq *seq, double budget_us)
{
    struct engine_use *use = seq->use;
    if (seq->position == seq->cached)
        engine_prefix_copy(e, seq);
    int32_t n = part_tokens(e, seq, budget_us);
    add_part(e, seq, n);
    uint64_t start_us = os_now_us();
    bool works = engine_batch_run(e);
    double each_us = (double)(os_now_us() - start_us) / n;
    e->prompt_us = e->prompt_us > 0 ? e->prompt_us * 0.75 + each_us * 0.25 : each_us;
    if (works)
        part_done(e, seq, n);
    else
        engine_use_fail(use, "the model could not decode the prompt");
    engine_use_flush(use);
}

/* How long prompts may take in this round. Larger parts are computed in less time, so they get the
 * longer time while nobody waits for a token. */
static double prompt_budget_us(const struct engine *e)
{
    for (unsigned slot = 0; slot < e->model.parallel; slot++)
        if (e->slots[slot].seq && engine_seq_wants_token(e->slots[slot].seq))
            return ENGINE_PART_MS * 1000.0;
    return ENGINE_PART_ALONE_MS * 1000.0;
}

/* Parts of prompts, for about that time. */
static void decode_prompts(struct engine *e)
{
    uint64_t start_us = os_now_us();
    const double most_us = prompt_budget_us(e);
    double budget_us = most_us;
    struct engine_seq *seq;
    while (budget_us > ENGINE_PART_STEP * e->prompt_us && (seq = next_prompt(e))) {
        decode_part(e, seq, budget_us);
        budget_us = most_us - (double)(os_now_us() - start_us);
    }
    /* Slower than that: a part a round all the same. */
    if (budget_us == most_us && (seq = next_prompt(e)))
        decode_part(e, seq, budget_us);
}

/* ---- Answers ---- */

/* The batch's rows were decoded, or not. A failure ends a whole use, and with it other sequences of
 * the batch: a slot is looked at before each. */
static void take_answers(struct engine *e, const unsigned *slots, int32_t n, bool works)
{
    for (int32_t i = 0; i < n; i++) {
        struct engine_seq *seq = e->slots[slots[i]].seq;
        if (!seq)
            continue;
        struct engine_use *use = seq->use;
        seq->position++;
        if (works)
            engine_seq_next(seq, i);
        else
            engine_use_fail(use, "the model could not decode the next token");
        engine_use_flush(use);
    }
}

static void decode_answers(struct engine *e)
{
    unsigned slots[ENGINE_PARALLEL_MAX];
    e->batch.n_tokens = 0;
    for (unsigned slot = 0; slot < e->model.parallel; slot++) {
        const struct engine_seq *seq = e->slots[slot].seq;
        if (!seq || !engine_seq_wants_token(seq))
            continue;
        slots[e->batch.n_tokens] = slot;
        engine_batch_add(e, seq->next, seq->position, seq->slot, true);
    }
    int32_t n = e->batch.n_tokens;
    if (n > 0)
        take_answers(e, slots, n, engine_batch_run(e));
}

bool engine_decode(struct engine *e)
{
    if (e->embeds)
        engine_embed(e);
    admit(e);
    decode_prompts(e);
    decode_answers(e);
    return e->decode_failures < FAILURES_MAX;
}
