#include "tests/unit/unit.h"

#include "base/mem.h"
#include "call/cache/cache.h"

enum { SECOND_US = 1000000, NOW_US = 1000 * SECOND_US };

struct world {
    struct caches *all;
    struct cache *cache;
};

static int setup(void **state)
{
    struct world *w = NEW(struct world);
    w->all = caches_new();
    w->cache = caches_get(w->all, STR("m"), 60000, 10000);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    cache_put(w->cache);
    caches_free(w->all);
    mem_free(w);
    return 0;
}

static struct cache_answer *answer_of(char fill, size_t bytes, int64_t wall_us)
{
    char body[20000];
    memset(body, fill, sizeof body);
    struct cache_answer from = {.body = str_of(body, bytes),
                                .target = STR("up/m"),
                                .source = STR("0123"),
                                .wall_us = wall_us,
                                .usage = {.input = 3, .source = USAGE_PROVIDER}};
    return cache_answer_new(&from);
}

static const uint8_t *key_of(int number)
{
    static uint8_t keys[8][CACHE_KEY_BYTES];
    static int at;
    uint8_t *key = keys[at++ % 8];
    memset(key, 0, CACHE_KEY_BYTES);
    memcpy(key, &number, sizeof number);
    return key;
}

static bool put(struct cache *c, int number, size_t bytes, int64_t wall_us, bool last)
{
    struct cache_answer *a = answer_of((char)('a' + number % 26), bytes, wall_us);
    bool fits = cache_store(c, key_of(number), a, NOW_US, last);
    cache_answer_put(a);
    return fits;
}

static bool there(struct cache *c, int number)
{
    struct cache_answer *a = cache_find(c, key_of(number), NOW_US, -1);
    bool found = a && a->body.ptr[0] == (char)('a' + number % 26);
    cache_answer_put(a);
    return found;
}

static void the_least_recently_used_goes(void **state)
{
    struct cache *c = ((struct world *)*state)->cache;
    for (int i = 0; i < 4; i++)
        assert_true(put(c, i, 2000, NOW_US, false));
    assert_true(there(c, 0));
    assert_true(put(c, 4, 2000, NOW_US, false)); /* 5 × 2,000 and what they are wrapped in */
    assert_true(there(c, 0) && there(c, 2) && there(c, 3) && there(c, 4));
    assert_false(there(c, 1));
    struct cache_stats stats = cache_stats(c);
    assert_int_equal(stats.entries, 4);
    assert_int_equal(stats.evicted, 1);
    assert_true(stats.bytes <= stats.bytes_max);
}

static void a_large_answer_is_not_kept(void **state)
{
    struct cache *c = ((struct world *)*state)->cache;
    assert_true(put(c, 1, 100, NOW_US, false));
    assert_false(put(c, 2, 10000, NOW_US, false));
    assert_true(there(c, 1));
    assert_false(there(c, 2));
}

static void the_ttl_counts_from_the_answer(void **state)
{
    struct cache *c = ((struct world *)*state)->cache;
    put(c, 1, 100, NOW_US - 59 * SECOND_US, false);
    put(c, 2, 100, NOW_US - 60 * (int64_t)SECOND_US, false);
    assert_true(there(c, 1));
    assert_false(there(c, 2));
    assert_null(cache_find(c, key_of(1), NOW_US, 58000)); /* too old for this caller */
    struct cache_answer *a = cache_find(c, key_of(1), NOW_US, 59000);
    assert_non_null(a);
    cache_answer_put(a);
    assert_null(cache_find(c, key_of(1), NOW_US + 2 * SECOND_US, -1));
    assert_int_equal(cache_stats(c).entries, 0);
    assert_int_equal(cache_stats(c).bytes, 0);
}

static void the_newer_answer_stays(void **state)
{
    struct cache *c = ((struct world *)*state)->cache;
    struct cache_answer *newer = answer_of('n', 100, NOW_US);
    struct cache_answer *older = answer_of('o', 100, NOW_US - 1);
    (void)cache_store(c, key_of(1), newer, NOW_US, false);
    (void)cache_store(c, key_of(1), older, NOW_US, true);
    struct cache_answer *found = cache_find(c, key_of(1), NOW_US, -1);
    assert_ptr_equal(found, newer);
    cache_answer_put(found);
    cache_answer_put(newer);
    cache_answer_put(older);
    assert_int_equal(cache_stats(c).entries, 1);
}

/* What is read back from the log makes no room for itself, and goes first. */
static void the_last_ones_take_what_is_left(void **state)
{
    struct cache *c = ((struct world *)*state)->cache;
    put(c, 0, 2000, NOW_US, false);
    for (int i = 1; i < 4; i++)
        assert_true(put(c, i, 2000, NOW_US, true));
    assert_false(put(c, 4, 2000, NOW_US, true));
    put(c, 5, 2000, NOW_US, false);
    assert_false(there(c, 3));
    assert_true(there(c, 0) && there(c, 1) && there(c, 2) && there(c, 5));
}

static void smaller_bounds_count_at_once(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 4; i++)
        put(w->cache, i, 2000, NOW_US, false);
    struct cache *same = caches_get(w->all, STR("m"), 60000, 5000);
    assert_ptr_equal(same, w->cache);
    assert_int_equal(cache_stats(same).entries, 2);
    cache_put(same);
}

static void many_answers_are_found(void **state)
{
    struct world *w = *state;
    struct cache *c = caches_get(w->all, STR("big"), 60000, 100 << 20);
    for (int i = 0; i < 5000; i++)
        put(c, i, 10, NOW_US, false);
    for (int i = 0; i < 5000; i++)
        assert_true(there(c, i));
    cache_put(c);
}

/* ---- Flights ---- */

struct reader {
    struct cache_follower *follower;
    struct buf got;
    enum cache_state state;
    struct cache_answer *answer;
    unsigned woken;
};

static void on_wake(void *arg)
{
    struct reader *r = arg;
    struct str target;
    size_t before;
    r->woken++;
    do {
        before = r->got.len;
        r->state = cache_follower_read(r->follower, &r->got, &target, &r->answer);
    } while (r->got.len > before);
}

static struct cache_flight *lead(struct cache *c, int number)
{
    struct cache_answer *answer = NULL;
    struct cache_flight *flight = NULL;
    assert_int_equal(cache_enter(c, key_of(number), NOW_US, -1, &answer, &flight), CACHE_LEAD);
    return flight;
}

static void follow(struct cache *c, int number, struct loop *loop, bool usage, struct reader *r)
{
    struct cache_answer *answer = NULL;
    struct cache_flight *flight = NULL;
    assert_int_equal(cache_enter(c, key_of(number), NOW_US, -1, &answer, &flight), CACHE_FOLLOW);
    buf_init(&r->got, 1 << 20);
    r->follower = cache_follow(flight, (struct cache_shape){.stream = true, .usage_asked = usage},
                               loop, on_wake, r);
}

static void leave(struct reader *r)
{
    cache_follower_leave(r->follower);
    buf_release(&r->got);
}

static void followers_read_what_passes(void **state)
{
    struct cache *c = ((struct world *)*state)->cache;
    struct loop *loop;
    struct reader same = {0}, other = {0}, late = {0};
    assert_int_equal(loop_new(&loop), ERR_OK);
    struct cache_flight *flight = lead(c, 1);
    cache_flight_shape(flight, (struct cache_shape){.stream = true});
    follow(c, 1, loop, false, &same);
    follow(c, 1, loop, true, &other);
    cache_flight_pass(flight, STR("up/m"), STR("one "));
    loop_run_until_idle(loop);
    assert_true(str_eq(buf_str(&same.got), STR("one ")));
    assert_int_equal(other.got.len, 0); /* it wants another form: it waits for the answer */
    cache_flight_pass(flight, STR("up/m"), STR("two "));
    follow(c, 1, loop, false, &late);
    loop_run_until_idle(loop);
    assert_true(str_eq(buf_str(&late.got), STR("one two ")));
    assert_int_equal(same.state, CACHE_FLYING);
    struct cache_answer *answer = answer_of('x', 10, NOW_US);
    cache_flight_end(flight, answer, NOW_US);
    loop_run_until_idle(loop);
    assert_int_equal(same.state, CACHE_LANDED);
    assert_ptr_equal(other.answer, answer);
    cache_answer_put(answer);
    leave(&same);
    leave(&other);
    leave(&late);
    assert_int_equal(cache_stats(c).shared, 3);
    assert_int_equal(cache_stats(c).misses, 1);
    struct cache_answer *kept = cache_find(c, key_of(1), NOW_US, -1);
    assert_non_null(kept);
    cache_answer_put(kept);
    loop_free(loop);
}

static void a_failure_is_told_and_not_kept(void **state)
{
    struct cache *c = ((struct world *)*state)->cache;
    struct loop *loop;
    struct reader r = {0};
    assert_int_equal(loop_new(&loop), ERR_OK);
    struct cache_flight *flight = lead(c, 1);
    follow(c, 1, loop, false, &r);
    cache_flight_end(flight, NULL, NOW_US);
    loop_run_until_idle(loop);
    assert_int_equal(r.state, CACHE_LOST);
    assert_null(r.answer);
    leave(&r);
    cache_flight_end(lead(c, 1), NULL, NOW_US); /* the next one leads again */
    loop_free(loop);
}

static void on_deserted(void *arg)
{
    ++*(unsigned *)arg;
}

static void a_leader_is_told_when_all_have_left(void **state)
{
    struct cache *c = ((struct world *)*state)->cache;
    struct loop *loop;
    struct reader a = {0}, b = {0};
    unsigned deserted = 0;
    assert_int_equal(loop_new(&loop), ERR_OK);
    struct cache_flight *flight = lead(c, 1);
    assert_false(cache_flight_abandon(flight, loop, on_deserted, &deserted));
    cache_flight_end(flight, NULL, NOW_US);

    flight = lead(c, 2);
    follow(c, 2, loop, false, &a);
    assert_true(cache_flight_abandon(flight, loop, on_deserted, &deserted));
    follow(c, 2, loop, false, &b); /* one may still come */
    leave(&a);
    loop_run_until_idle(loop);
    assert_int_equal(deserted, 0);
    leave(&b); /* with a wake-up under way */
    loop_run_until_idle(loop);
    assert_int_equal(deserted, 1);
    cache_flight_end(flight, NULL, NOW_US);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_least_recently_used_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_answer_is_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(the_ttl_counts_from_the_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(the_newer_answer_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_ones_take_what_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(smaller_bounds_count_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(many_answers_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(followers_read_what_passes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_is_told_and_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_leader_is_told_when_all_have_left, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
