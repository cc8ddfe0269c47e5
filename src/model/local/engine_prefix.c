/* Prefixes that prompts share: what a slot's cache holds of the last prompt is not decoded again.
 *
 * Only what was decoded as a prompt is shared, and up to a multiple of ENGINE_PART_STEP: a part
 * that begins there is computed as if the prompt had been decoded from its beginning, bit by bit,
 * so an answer does not depend on what was asked before. (The tokens of an answer were decoded one
 * by one, which ggml does with another kernel.)
 *
 * Slots keep their cache until it is needed. The limit is local.parallel: what they keep is part of
 * the caches' memory, which is fixed when the model is loaded. A prompt gets the slot where what it
 * finds is worth most beside what is lost there, and copies from another one what that has more of.
 */
#include <math.h>

#include "base/assert.h"
#include "base/mem.h"
#include "model/local/engine_int.h"
#include "os/clock.h"

/* After so long without use a kept token is worth half. */
#define KEPT_HALF_US 300e6

enum {
    /* Cells are copied from another slot when that saves as many tokens. */
    COPY_TOKENS_MIN = 32,
};

int32_t engine_prefix_tiled(const struct engine *e, const struct engine_seq *seq)
{
    int32_t count = seq->prompt->count, rest = count % e->model.tile;
    if (e->model.tile == 1 || count < e->model.tile || engine_seq_scores_prompt(seq))
        return 0;
    return rest == 1 ? count : count - rest;
}

static int32_t step_of(const struct engine *e)
{
    return e->model.tile > 1 ? e->model.tile : ENGINE_PART_STEP;
}

/* Tokens of the sequence's prompt that the slot's cache holds and that can be used. */
static int32_t usable(const struct engine *e, const struct engine_slot *slot,
                      const struct engine_seq *seq)
{
    const struct prompt *p = seq->prompt;
    /* Two are left at least: see part_tokens in engine_decode.c. */
    int32_t most = slot->kept_count < p->count - 2 ? slot->kept_count : p->count - 2;
    int32_t n = 0;
    if (!e->model.shares_prefixes || engine_seq_scores_prompt(seq))
        return 0;
    while (n < most && slot->kept[n] == p->tokens[n])
        n++;
    /* What was decoded in tiles there has to be here, too, and the other way round. */
    int32_t tiled = engine_prefix_tiled(e, seq);
    if (tiled != slot->kept_tiled && n > 0) {
        int32_t fewer = tiled < slot->kept_tiled ? tiled : slot->kept_tiled;
        n = n < fewer ? n : fewer;
    }
    return n - n % (n < tiled || tiled != slot->kept_tiled ? step_of(e) : ENGINE_PART_STEP);
}

/* What is lost when only the first `cached` tokens of what a slot keeps stay: a token that served
 * several prompts counts as many times, and half as much when it is KEPT_HALF_US old. */
static double loss(const struct engine_slot *slot, int32_t cached, uint64_t now_us)
{
    double age = (double)(now_us - slot->used_us) / KEPT_HALF_US;
    return (double)(slot->kept_count - cached) * (1 + slot->hits) * exp2(-age);
}

int engine_prefix_slot(struct engine *e, const struct engine_seq *seq, int32_t *ret_cached)
{
    int best = -1;
    int32_t best_cached = 0;
    double best_gain = 0;
    uint64_t now_us = os_now_us();
    for (unsigned i = 0; i < e->model.parallel; i++) {
        const struct engine_slot *slot = &e->slots[i];
        if (slot->seq)
            continue;
        int32_t cached = usable(e, slot, seq);
        double gain = cached - loss(slot, cached, now_us);
        if (best >= 0 && gain <= best_gain)
            continue;
        best = (int)i;
        best_cached = cached;
        best_gain = gain;
    }
    if (best < 0)
        return -1;
    struct engine_slot *slot = &e->slots[best];
    if (best_cached == 0)
        llama.llama_memory_seq_rm(e->model.memory, best, -1, -1);
    else
        llama.llama_memory_seq_rm(e->model.memory, best, best_cached, -1);
    slot->kept_count = best_cached;
    slot->hits = best_cached ? slot->hits + 1 : 0;
    *ret_cached = best_cached;
    return best;
}

static bool copy_cells(struct engine *e, int from, int to, int32_t count)
{
    struct llama_context *c = e->model.context;
    size_t size = llama.llama_state_seq_get_size(c, from);
    buf_reset(&e->state);
    if (size == 0 || !buf_reserve(&e->state, size))
        return false;
    uint8_t *bytes = (uint8_t *)e->state.ptr;
    size = llama.llama_state_seq_get_data(c, bytes, size, from);
    bool works = size > 0 && llama.llama_state_seq_set_data(c, bytes, size, to) == size;
    buf_release(&e->state); /* large and rare */
    llama.llama_memory_seq_rm(e->model.memory, to, works ? count : -1, -1);
    return works;
}

void engine_prefix_copy(struct engine *e, struct engine_seq *seq)
{
    int32_t best_count = seq->position + COPY_TOKENS_MIN - 1;
    int best = -1;
    for (unsigned i = 0; i < e->model.parallel; i++) {
        const struct engine_slot *slot = &e->slots[i];
        int32_t count = slot->seq != seq ? usable(e, slot, seq) : 0;
        if (count > best_count) {
            best = (int)i;
            best_count = count;
        }
    }
    if (best < 0)
        return;
    bool works = copy_cells(e, best, seq->slot, best_count);
    e->slots[best].hits += works;
    seq->position = seq->cached = works ? best_count : 0;
    engine_prefix_note(e, seq);
}

void engine_prefix_note(struct engine *e, const struct engine_seq *seq)
{
    struct engine_slot *slot = &e->slots[seq->slot];
    ASSERT(seq->position <= seq->prompt->count);
    if (!slot->kept)
        slot->kept = mem_array((size_t)e->model.sampling.context_tokens, sizeof *slot->kept);
    memcpy(slot->kept, seq->prompt->tokens, (size_t)seq->position * sizeof *slot->kept);
    slot->kept_count = seq->position;
    slot->kept_tiled = engine_prefix_tiled(e, seq);
}

void engine_prefix_keep(struct engine *e, const struct engine_seq *seq)
{
    struct engine_slot *slot = &e->slots[seq->slot];
    int32_t keep = slot->kept_count - slot->kept_count % ENGINE_PART_STEP;
    if (!e->model.shares_prefixes)
        keep = 0;
    llama.llama_memory_seq_rm(e->model.memory, seq->slot, keep ? keep : -1, -1);
    slot->kept_count = keep;
    slot->used_us = os_now_us();
}

void engine_prefixes_release(struct engine *e)
{
    for (unsigned i = 0; i < ENGINE_PARALLEL_MAX; i++)
        mem_free(e->slots[i].kept);
}
