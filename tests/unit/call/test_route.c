/* Strategies: shares by weight, the better of two, users that stay. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "tests/unit/config/loaded.h"

#include "call/route.h"
#include "os/random.h"

#define START UINT64_C(1000000000)

struct rig {
    struct loaded loaded;
    struct targets *registry;
    struct route_table *table;
    struct config_route to;
};

static void rig_open(struct rig *r, const char *strategy)
{
    char yaml[512];
    (void)snprintf(
        yaml, sizeof yaml,
        "providers: {}\nmodels: {m: {strategy: %s, targets: [{model: local/a, weight: 6}, "
        "{model: local/b, weight: 3}, {model: local/c, weight: 1}]}}\n",
        strategy);
    loaded_yaml(&r->loaded, yaml);
    assert_int_equal(r->loaded.error, ERR_OK);
    r->registry = targets_new();
    r->table = route_table_new(r->registry, r->loaded.config);
    assert_int_equal(config_resolve(r->loaded.config, STR("m"), &r->to), ERR_OK);
    os_random_seed(11);
}

static void rig_close(struct rig *r)
{
    route_table_free(r->table);
    targets_free(r->registry);
    loaded_release(&r->loaded);
}

/* One call's first target, which answers after so many µs; by its last letter. */
static char one_call(struct rig *r, const char *user, uint64_t now_us, const uint64_t latency_us[3])
{
    struct expr_facts facts = {.user = str_from_c(user)};
    struct route route;
    struct route_pick pick;
    struct arena arena;
    arena_init(&arena);
    assert_true(route_begin(&route, &r->to, r->table, 0, &facts, &arena));
    assert_true(route_next(&route, now_us, &pick));
    target_leave(&pick.permit, pick.target, TARGET_OK, -1,
                 now_us + (latency_us ? latency_us[pick.index] : 0));
    arena_release(&arena);
    return pick.target->name.ptr[pick.target->name.len - 1];
}

static void weights_are_shares(void **state)
{
    struct rig r;
    int seen[3] = {0};
    (void)state;
    rig_open(&r, "weighted");
    for (int i = 0; i < 10000; i++)
        seen[one_call(&r, "", START, NULL) - 'a']++;
    assert_in_range(seen[0], 5800, 6200); /* 4 standard deviations are 196 */
    assert_in_range(seen[1], 2800, 3200);
    assert_in_range(seen[2], 870, 1130);
    rig_close(&r);
}

static void the_slowest_is_seldom_asked(void **state)
{
    static const uint64_t latency_us[3] = {100000, 20000, 400000};
    struct rig r;
    int seen[3] = {0};
    (void)state;
    rig_open(&r, "latency");
    for (uint64_t i = 0; i < 3000; i++)
        seen[one_call(&r, "", START + i * 1000, latency_us) - 'a']++;
    /* Of two by chance: the fastest wins 2 of 3 pairs, the middle one 1, the slowest none. */
    assert_in_range(seen[1], 1850, 2150);
    assert_in_range(seen[0], 850, 1150);
    assert_true(seen[2] < 30);
    rig_close(&r);
}

static void users_stay_by_weight(void **state)
{
    struct rig r;
    int seen[3] = {0};
    (void)state;
    rig_open(&r, "sticky");
    for (int i = 0; i < 5000; i++) {
        char user[32];
        (void)snprintf(user, sizeof user, "user-%d", i);
        char at = one_call(&r, user, START, NULL);
        assert_int_equal(one_call(&r, user, START, NULL), at);
        seen[at - 'a']++;
    }
    assert_in_range(seen[0], 2850, 3150);
    assert_in_range(seen[1], 1350, 1650);
    assert_in_range(seen[2], 400, 600);
    /* A target that grows takes users, and moves nobody between the others. */
    for (int i = 0; i < 1000; i++) {
        char user[32];
        (void)snprintf(user, sizeof user, "user-%d", i);
        double a = route_sticky_score(str_from_c(user), STR("local/a"), 6);
        double c = route_sticky_score(str_from_c(user), STR("local/c"), 1);
        assert_true(route_sticky_score(str_from_c(user), STR("local/c"), 5) > c);
        assert_true(a == route_sticky_score(str_from_c(user), STR("local/a"), 6));
    }
    rig_close(&r);
}

/* Each attempt of a call takes another target, round again after the last. */
static void a_round_asks_each_once(void **state)
{
    struct rig r;
    struct route route;
    struct arena arena;
    struct expr_facts facts = {.tokens = 1};
    char seen[7] = {0};
    (void)state;
    rig_open(&r, "fallback");
    arena_init(&arena);
    assert_true(route_begin(&route, &r.to, r.table, 0, &facts, &arena));
    for (int i = 0; i < 6; i++) {
        struct route_pick pick;
        assert_true(route_next(&route, START, &pick));
        seen[i] = pick.target->name.ptr[pick.target->name.len - 1];
        target_leave(&pick.permit, pick.target, TARGET_FAULT, -1, START);
    }
    assert_string_equal(seen, "abcabc");
    assert_int_equal(route.rounds, 2);
    arena_release(&arena);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_shares),
        cmocka_unit_test(the_slowest_is_seldom_asked),
        cmocka_unit_test(users_stay_by_weight),
        cmocka_unit_test(a_round_asks_each_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
