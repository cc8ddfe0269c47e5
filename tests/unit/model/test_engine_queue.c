/* Whose turn it is: order, not time. Uses without a model. */
#include "tests/unit/unit.h"

#include "base/mem.h"
#include "model/local/engine_int.h"

enum { MANY = 100, FLOOD = 1, OTHER = 2, THIRD = 3 };

struct rig {
    struct engine_options options;
    struct engine e;
    struct engine_link link;
};

static void rig_init(struct rig *r)
{
    *r = (struct rig){.options = {.link_count = 1}};
    r->e.options = &r->options;
    r->e.links = &r->link;
    r->link.engine = &r->e;
}

static struct engine_use *use_new(struct rig *r, uint64_t caller, unsigned seqs)
{
    struct engine_use *use = NEW(struct engine_use);
    use->link = &r->link;
    use->link_next = r->link.uses;
    r->link.uses = use;
    engine_queue_join(&r->e, use, caller);
    use->seqs = mem_array(seqs ? seqs : 1, sizeof *use->seqs);
    use->seq_count = seqs;
    for (unsigned i = 0; i < seqs; i++) {
        use->seqs[i] = (struct engine_seq){.use = use, .slot = -1};
        engine_queue_add(&r->e, &use->seqs[i]);
    }
    return use;
}

static void use_end(struct rig *r, struct engine_use *use)
{
    struct engine_use **at = &r->link.uses;
    while (*at != use)
        at = &(*at)->link_next;
    *at = use->link_next;
    for (unsigned i = 0; i < use->seq_count; i++)
        if (use->seqs[i].state == SEQ_QUEUED)
            engine_queue_remove(&r->e, &use->seqs[i]);
        else if (use->seqs[i].state != SEQ_DONE)
            use->caller->slots--;
    engine_queue_remove_embed(use);
    engine_queue_leave(&r->e, use);
    mem_free(use->seqs);
    mem_free(use);
}

/* The next one gets a slot. */
static struct engine_use *admit(struct rig *r)
{
    struct engine_seq *seq = engine_queue_first(&r->e);
    assert_non_null(seq);
    engine_queue_slot_taken(&r->e, seq);
    seq->state = SEQ_PROMPT;
    return seq->use;
}

static void a_hundred_of_one_hold_no_other_back(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    for (int i = 0; i < MANY; i++)
        use_new(&r, FLOOD, 1);
    struct engine_use *running = admit(&r);
    struct engine_use *other = use_new(&r, OTHER, 1);
    /* One slot: the next is the other's, though it came last. */
    use_end(&r, running);
    running = admit(&r);
    assert_ptr_equal(running, other);
    use_end(&r, running);
    /* Two slots, and a third caller beside: each has one. */
    struct engine_use *first = admit(&r);
    struct engine_use *third = use_new(&r, THIRD, 1);
    assert_int_equal(first->caller->id, FLOOD);
    assert_ptr_equal(admit(&r), third);
    use_end(&r, first);
    use_end(&r, third);
    /* Alone again it has all slots, in the order it asked. */
    uint64_t last = 0;
    for (int i = 0; i < MANY - 2; i++) {
        struct engine_use *use = admit(&r);
        assert_true(use->number > last);
        last = use->number;
    }
    assert_null(engine_queue_first(&r.e));
    while (r.link.uses)
        use_end(&r, r.link.uses);
    assert_null(r.e.callers);
    assert_int_equal(r.e.uses + r.e.queued, 0);
}

static void two_that_flood_take_turns(void **state)
{
    struct rig r;
    unsigned got[3] = {0};
    (void)state;
    rig_init(&r);
    for (int i = 0; i < MANY; i++) {
        use_new(&r, FLOOD, 1);
        if (i < MANY / 4)
            use_new(&r, OTHER, 4); /* the choices of one request count each */
    }
    for (int i = 0; i < MANY; i++) {
        struct engine_use *use = admit(&r);
        got[use->caller->id]++;
        assert_true(got[FLOOD] <= got[OTHER] + 1 && got[OTHER] <= got[FLOOD] + 1);
        for (unsigned k = 0; k < use->seq_count; k++) /* its slot is free at once */
            if (use->seqs[k].state == SEQ_PROMPT) {
                use->seqs[k].state = SEQ_DONE;
                use->caller->slots--;
            }
    }
    while (r.link.uses)
        use_end(&r, r.link.uses);
}

static void a_full_queue_makes_room_for_who_has_less(void **state)
{
    struct rig r;
    struct engine_use *uses[4];
    (void)state;
    rig_init(&r);
    assert_null(engine_queue_give_way(&r.e, OTHER));
    for (int i = 0; i < 4; i++)
        uses[i] = use_new(&r, FLOOD, 1);
    admit(&r);
    assert_ptr_equal(engine_queue_give_way(&r.e, OTHER), uses[3]);
    assert_null(engine_queue_give_way(&r.e, FLOOD));
    use_end(&r, uses[3]);
    use_new(&r, OTHER, 1); /* 3 and 1: one more would be 2 and 2 */
    assert_ptr_equal(engine_queue_give_way(&r.e, OTHER), uses[2]);
    use_end(&r, uses[2]);
    use_new(&r, OTHER, 1);
    assert_null(engine_queue_give_way(&r.e, OTHER));
    /* What has begun stays, whoever comes. */
    admit(&r);
    admit(&r);
    admit(&r);
    assert_null(engine_queue_give_way(&r.e, THIRD));
    while (r.link.uses)
        use_end(&r, r.link.uses);
}

static void texts_are_taken_by_tokens(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    struct engine_use *flood = use_new(&r, FLOOD, 0);
    engine_queue_add_embed(flood);
    flood->caller->embed_tokens += 1000;
    assert_ptr_equal(engine_queue_first_embed(&r.e), flood);
    struct engine_use *other = use_new(&r, OTHER, 0);
    engine_queue_add_embed(other);
    /* The newcomer begins where the clock stands: it gets no credit for the time before. */
    assert_ptr_equal(engine_queue_first_embed(&r.e), other);
    other->caller->embed_tokens += 10;
    assert_ptr_equal(engine_queue_first_embed(&r.e), flood);
    flood->caller->embed_tokens += 100;
    for (int i = 0; i < 9; i++) {
        assert_ptr_equal(engine_queue_first_embed(&r.e), other);
        other->caller->embed_tokens += 10;
    }
    engine_queue_remove_embed(other);
    assert_ptr_equal(engine_queue_first_embed(&r.e), flood);
    use_end(&r, other);
    use_end(&r, flood);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundred_of_one_hold_no_other_back),
        cmocka_unit_test(two_that_flood_take_turns),
        cmocka_unit_test(a_full_queue_makes_room_for_who_has_less),
        cmocka_unit_test(texts_are_taken_by_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
