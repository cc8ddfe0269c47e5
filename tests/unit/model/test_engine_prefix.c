/* Which slot a prompt gets, and what is kept there: counts of tokens. llama.cpp's memory is a
 * counter here. */
#include "tests/unit/unit.h"

#include "base/mem.h"
#include "model/local/engine_int.h"
#include "os/clock.h"

enum { SLOTS = 3, LONG = 400, CONTEXT = 1024 };

static unsigned copies, cuts;
static int copied_from;

static bool fake_rm(llama_memory_t memory, llama_seq_id seq, llama_pos from, llama_pos to)
{
    (void)memory, (void)seq, (void)from, (void)to;
    cuts++;
    return true;
}

static size_t fake_size(struct llama_context *context, llama_seq_id seq)
{
    (void)context, (void)seq;
    return 16;
}

static size_t fake_get(struct llama_context *context, uint8_t *to, size_t size, llama_seq_id seq)
{
    (void)context;
    memset(to, 0, size);
    copied_from = seq;
    return size;
}

static size_t fake_set(struct llama_context *context, const uint8_t *from, size_t size,
                       llama_seq_id seq)
{
    (void)context, (void)from, (void)seq;
    copies++;
    return size;
}

struct rig {
    struct engine e;
    struct engine_use use;
    struct engine_seq seq;
    struct prompt prompt;
    llama_token tokens[CONTEXT];
};

static void rig_init(struct rig *r)
{
    *r = (struct rig){.e.model = {.parallel = SLOTS, .shares_prefixes = true, .tile = 1}};
    r->e.model.sampling.context_tokens = CONTEXT;
    r->seq = (struct engine_seq){.use = &r->use, .prompt = &r->prompt, .slot = -1};
    r->use.request.logprobs = -1;
    buf_init(&r->e.state, SIZE_MAX);
    llama.llama_memory_seq_rm = fake_rm;
    llama.llama_state_seq_get_size = fake_size;
    llama.llama_state_seq_get_data = fake_get;
    llama.llama_state_seq_set_data = fake_set;
    copies = cuts = 0;
}

/* A prompt of `shared` tokens that all have, then of its own. Returns its cached tokens. */
static int32_t decode(struct rig *r, int32_t shared, int32_t count, llama_token own)
{
    int32_t cached;
    r->prompt = (struct prompt){.tokens = r->tokens, .count = count};
    for (int32_t i = 0; i < count; i++)
        r->tokens[i] = i < shared ? i : own + i;
    int slot = engine_prefix_slot(&r->e, &r->seq, &cached);
    assert_true(slot >= 0);
    r->seq.slot = slot;
    r->e.slots[slot].seq = &r->seq;
    r->seq.position = r->seq.cached = cached;
    engine_prefix_copy(&r->e, &r->seq);
    cached = r->seq.cached;
    r->seq.position = count;
    engine_prefix_note(&r->e, &r->seq);
    engine_prefix_keep(&r->e, &r->seq);
    r->e.slots[slot].seq = NULL;
    return cached;
}

static void what_is_shared_is_counted_in_steps(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    assert_int_equal(decode(&r, LONG, LONG, 0), 0);
    /* The same again: two tokens are left to decode, and steps of eight are shared. */
    assert_int_equal(decode(&r, LONG, LONG, 0), LONG - 8);
    /* 100 in common: 96. */
    assert_int_equal(decode(&r, 100, 300, 5000), 96);
    /* Scored prompts share nothing. */
    r.use.request.echo = true;
    r.use.request.logprobs = 0;
    assert_int_equal(decode(&r, LONG, LONG, 0), 0);
    engine_prefixes_release(&r.e);
}

/* With flash attention whole tiles are shared, and the rest only by prompts that end in the same.
 */
static void tiles_are_shared_whole(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    r.e.model.tile = 64;
    assert_int_equal(decode(&r, LONG, LONG, 0), 0);
    assert_int_equal(decode(&r, LONG, LONG, 0), LONG - 8);
    assert_int_equal(decode(&r, 100, 300, 5000), 64);
    assert_int_equal(decode(&r, 40, 60, 6000), 0); /* shorter than a tile: computed otherwise */
    assert_int_equal(decode(&r, 40, 60, 7000), 40);
    /* One row never stands alone: it goes with the tile before it. */
    r.prompt.count = 129;
    assert_int_equal(engine_prefix_tiled(&r.e, &r.seq), 129);
    r.prompt.count = 130;
    assert_int_equal(engine_prefix_tiled(&r.e, &r.seq), 128);
    engine_prefixes_release(&r.e);
}

/* What many prompts begin with outlives many prompts that begin otherwise. */
static void what_is_worth_most_stays(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    for (int i = 0; i < 4; i++)
        assert_int_equal(decode(&r, LONG, LONG + 40, 1000 * (i + 1)) > 0, i > 0);
    for (int i = 0; i < 20; i++)
        decode(&r, 0, 100, 10000 * (i + 1));
    assert_int_equal(decode(&r, LONG, LONG + 40, 9000), LONG);
    engine_prefixes_release(&r.e);
}

/* A prompt that shares little takes an empty slot rather than one that keeps much. */
static void little_does_not_cost_much(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    decode(&r, LONG, LONG, 0);
    decode(&r, 8, 100, 7000);
    assert_int_equal(decode(&r, LONG, LONG, 0), LONG - 8);
    assert_int_equal(copies, 0);
    engine_prefixes_release(&r.e);
}

static void cells_are_copied_from_a_busy_slot(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    struct engine_seq other = r.seq;
    decode(&r, LONG, LONG, 0);
    int busy = r.seq.slot;
    r.e.slots[busy].seq = &other;
    assert_int_equal(decode(&r, 200, 300, 7000), 200);
    assert_int_equal(copies, 1);
    assert_int_equal(copied_from, busy);
    assert_int_not_equal(r.seq.slot, busy);
    /* Less than 32 tokens are not worth it. */
    assert_int_equal(decode(&r, 24, 300, 17000), 0);
    assert_int_equal(copies, 1);
    engine_prefixes_release(&r.e);
}

static void old_ones_go_first(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    for (int i = 0; i < SLOTS; i++)
        decode(&r, 0, 200, 10000 * (i + 1));
    for (int i = 0; i < SLOTS; i++)
        r.e.slots[i].used_us = os_now_us() - (i == 1 ? 900000000u : 0);
    decode(&r, 0, 200, 90000);
    assert_int_equal(r.seq.slot, 1);
    engine_prefixes_release(&r.e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_shared_is_counted_in_steps),
        cmocka_unit_test(tiles_are_shared_whole),
        cmocka_unit_test(what_is_worth_most_stays),
        cmocka_unit_test(little_does_not_cost_much),
        cmocka_unit_test(cells_are_copied_from_a_busy_slot),
        cmocka_unit_test(old_ones_go_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
