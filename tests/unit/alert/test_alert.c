/* Facts from records, windows that slide, and when somebody is told. */
#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>

#include "alert/alert_int.h"

#define MINUTE INT64_C(60000000)
#define NOW    (INT64_C(1000000) * MINUTE)

static struct alert_facts fact(int64_t age_us, const char *outcome, const char *user, double cost)
{
    return (struct alert_facts){.end_us = NOW - age_us,
                                .outcome = str_from_c(outcome),
                                .user = str_from_c(user),
                                .cost = cost,
                                .total_us = 1000000,
                                .first_us = -1,
                                .input = 10,
                                .output = 5};
}

static void a_record_is_read(void **state)
{
    struct arena a;
    struct alert_facts f;
    (void)state;
    arena_init(&a);
    assert_true(alert_facts_read(
        STR("{\"id\":\"1\",\"time\":\"2026-11-24T10:00:00.000000Z\",\"key\":\"web\",\"endpoint\":"
            "\"chat\",\"model\":\"fa\\u0073t\",\"target\":null,\"status\":503,\"outcome\":"
            "\"error\","
            "\"timing\":{\"first_token_us\":null,\"total_us\":2000000},\"usage\":{\"input\":7,"
            "\"output\":3},\"cost\":{\"amount\":\"0.25\",\"currency\":\"USD\"},\"request\":{\"a\":"
            "\"Refund me\"},\"response\":null,\"user\":\"ada\"}"),
        &a, &f));
    assert_true(str_eq(f.model, STR("fast")));
    assert_true(str_eq(f.user, STR("ada")));
    assert_int_equal(f.status, 503);
    assert_int_equal(f.first_us, -1);
    assert_int_equal(f.input + f.output, 10);
    assert_true(fabs(f.cost - 0.25) < 1e-9);
    struct config_alert_filter where = {.model = STR("fast"), .status = STR("5xx")};
    assert_true(alert_facts_pass(&f, &where));
    where.q = STR("me refun");
    assert_true(alert_facts_pass(&f, &where));
    where.q = STR("efund");
    assert_false(alert_facts_pass(&f, &where));
    assert_true(str_eq(alert_facts_group(&f, CONFIG_BY_TARGET), STR("(none)")));
    assert_false(alert_facts_read(STR("{\"outcome\":\"ok\"}"), &a, &f));
    assert_false(alert_facts_read(STR("no json"), &a, &f));
    arena_release(&a);
}

static void windows_slide(void **state)
{
    struct config_alert alert = {.measure = CONFIG_MEASURE_ERROR_RATE, .over_ms = 12 * 60000};
    struct window w = {0};
    struct window_sums sums;
    (void)state;
    for (int age = 0; age < 30; age++) {
        struct alert_facts f = fact(age * MINUTE, age % 2 ? "error" : "ok", "ada", 1);
        window_add(&w, &alert, &f, 1000 * (age + 1));
    }
    window_sum(&w, &alert, NOW, 0, WINDOW_PARTS + 1, &sums);
    assert_int_equal(sums.calls, 13);
    assert_int_equal(sums.errors, 6);
    window_sum(&w, &alert, NOW, WINDOW_PARTS, WINDOW_PARTS, &sums);
    assert_int_equal(sums.calls, 12);
    window_sum(&w, &alert, NOW + 5 * MINUTE, 0, WINDOW_PARTS + 1, &sums);
    assert_int_equal(sums.calls, 8);
    assert_false(window_is_empty(&w, &alert, NOW + 20 * MINUTE));
    assert_true(window_is_empty(&w, &alert, NOW + 26 * MINUTE));
    window_release(&w);
}

static void percentiles_are_close(void **state)
{
    struct config_alert alert = {.measure = CONFIG_MEASURE_TOTAL, .over_ms = 60000};
    struct window w = {0};
    struct window_sums sums;
    struct alert_facts f = fact(0, "ok", "ada", 0);
    (void)state;
    for (int ms = 1; ms <= 1000; ms++)
        window_add(&w, &alert, &f, ms * 1000);
    window_sum(&w, &alert, NOW, 0, WINDOW_PARTS, &sums);
    double p50 = window_percentile(&sums, 500);
    double p99 = window_percentile(&sums, 990);
    assert_true(p50 >= 0.5 && p50 < 0.5 * 1.13);
    assert_true(p99 >= 0.99 && p99 < 0.99 * 1.13);
    window_release(&w);
}

/* ---- Rules ---- */

struct told {
    int firing, resolved, again;
    char group[64];
    bool refuse;
};

static bool on_event(void *arg, const struct alert_event *e)
{
    struct told *t = arg;
    if (t->refuse)
        return false;
    t->firing += e->state == ALERT_FIRING;
    t->resolved += e->state == ALERT_RESOLVED;
    t->again += e->again && e->state == ALERT_FIRING;
    memcpy(t->group, e->group.ptr, e->group.len);
    t->group[e->group.len] = 0;
    return true;
}

static struct alerts *with(struct config *config, const struct config_alert *alert)
{
    static struct alerts a;
    a = (struct alerts){.config = config};
    config->alerts = alert;
    config->alert_count = 1;
    alert_rules_make(&a);
    return &a;
}

static void a_user_who_spends_too_much_is_told_of_once(void **state)
{
    struct config config = {0};
    const struct config_alert alert = {.name = STR("spend"),
                                       .when = STR("cost > 10"),
                                       .measure = CONFIG_MEASURE_COST,
                                       .limit = 10,
                                       .by = CONFIG_BY_USER,
                                       .repeat_ms = 3600000,
                                       .over_ms = 12 * 60000};
    struct alerts *a = with(&config, &alert);
    struct told t = {0};
    struct alert_facts f = fact(0, "ok", "ada", 6);
    struct alert_facts other = fact(0, "ok", "bob", 9);
    (void)state;
    alert_rules_feed(a, &f);
    alert_rules_feed(a, &other);
    alert_rules_evaluate(a, NOW, on_event, &t);
    assert_int_equal(t.firing, 0);
    alert_rules_feed(a, &f);
    t.refuse = true;
    alert_rules_evaluate(a, NOW + 1, on_event, &t);
    t.refuse = false;
    for (int i = 0; i < 5; i++)
        alert_rules_evaluate(a, NOW + 1 + i * MINUTE, on_event, &t);
    assert_int_equal(t.firing, 1);
    assert_string_equal(t.group, "ada");
    /* The window has passed, and a twelfth of it. */
    alert_rules_evaluate(a, NOW + 14 * MINUTE, on_event, &t);
    assert_int_equal(t.resolved, 0);
    alert_rules_evaluate(a, NOW + 15 * MINUTE, on_event, &t);
    assert_int_equal(t.resolved, 1);
    alert_rules_evaluate(a, NOW + 60 * MINUTE, on_event, &t);
    assert_int_equal(a->rules[0].group_count, 0);
    alert_rules_free(a);
}

static void silence_holds_it_back_and_repeat_says_it_again(void **state)
{
    struct config config = {0};
    const struct config_alert alert = {.name = STR("errors"),
                                       .when = STR("errors > 0"),
                                       .measure = CONFIG_MEASURE_ERRORS,
                                       .repeat_ms = 5 * 60000,
                                       .over_ms = 60 * 60000};
    struct alerts *a = with(&config, &alert);
    struct told t = {0};
    struct alert_facts f = fact(0, "error", NULL, 0);
    (void)state;
    alert_rules_feed(a, &f);
    a->rules[0].silenced_us = NOW + 3 * MINUTE;
    alert_rules_evaluate(a, NOW, on_event, &t); /* on the log, but silenced */
    alert_rules_evaluate(a, NOW + 1 * MINUTE, on_event, &t);
    assert_int_equal(t.firing, 1);
    alert_rules_evaluate(a, NOW + 3 * MINUTE, on_event, &t);
    assert_int_equal(t.firing, 2);
    alert_rules_evaluate(a, NOW + 7 * MINUTE, on_event, &t);
    assert_int_equal(t.firing, 2);
    alert_rules_evaluate(a, NOW + 8 * MINUTE, on_event, &t);
    assert_int_equal(t.firing, 3);
    assert_int_equal(t.again, 1);
    alert_rules_free(a);
}

static void value_of(const struct config_alert *alert, int now_calls, int now_errors,
                     int before_calls, struct alert_value *ret)
{
    struct window w = {0};
    for (int i = 0; i < now_calls + before_calls; i++) {
        int64_t age = i < now_calls ? MINUTE : alert->over_ms * 1000 + 6 * MINUTE;
        struct alert_facts f = fact(age, i < now_errors ? "error" : "ok", NULL, 1);
        window_add(&w, alert, &f, -1);
    }
    *ret = alert_evaluate(alert, &w, NOW);
    window_release(&w);
}

static void change_and_burn(void **state)
{
    struct config_alert change = {
        .measure = CONFIG_MEASURE_COST, .change = true, .limit = 0.5, .over_ms = 60 * 60000};
    struct config_alert burn = {
        .measure = CONFIG_MEASURE_BURN, .limit = 14.4, .objective = 0.99, .over_ms = 60 * 60000};
    struct alert_value v;
    (void)state;
    value_of(&change, 16, 0, 10, &v);
    assert_true(v.holds && fabs(v.value - 0.6) < 1e-9);
    value_of(&change, 14, 0, 10, &v);
    assert_false(v.holds);
    value_of(&change, 14, 0, 0, &v); /* nothing to compare with */
    assert_false(v.holds);
    change.below = true;
    value_of(&change, 4, 0, 10, &v);
    assert_true(v.holds);
    value_of(&burn, 100, 15, 0, &v);
    assert_true(v.holds && fabs(v.value - 15) < 1e-9);
    value_of(&burn, 100, 14, 0, &v);
    assert_false(v.holds);

    struct window w = {0}; /* it burnt half an hour ago, and does not now */
    for (int i = 0; i < 100; i++) {
        struct alert_facts f = fact(i < 50 ? 30 * MINUTE : 0, i < 50 ? "error" : "ok", NULL, 0);
        window_add(&w, &burn, &f, -1);
    }
    v = alert_evaluate(&burn, &w, NOW);
    assert_true(v.value > 14.4 && !v.holds);
    window_release(&w);
}

static void groups_are_limited(void **state)
{
    struct config config = {0};
    const struct config_alert alert = {.measure = CONFIG_MEASURE_TOTAL,
                                       .percentile = 990,
                                       .limit = 100,
                                       .by = CONFIG_BY_USER,
                                       .over_ms = 60000};
    struct alerts *a = with(&config, &alert);
    (void)state;
    for (int i = 0; i < ALERT_SPREAD_GROUPS_MAX + 20; i++) {
        char user[32];
        (void)snprintf(user, sizeof user, "user-%d", i);
        struct alert_facts f = fact(0, "ok", user, 0);
        alert_rules_feed(a, &f);
    }
    assert_int_equal(a->rules[0].group_count, ALERT_SPREAD_GROUPS_MAX + 1);
    alert_rules_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_read),
        cmocka_unit_test(windows_slide),
        cmocka_unit_test(percentiles_are_close),
        cmocka_unit_test(a_user_who_spends_too_much_is_told_of_once),
        cmocka_unit_test(silence_holds_it_back_and_repeat_says_it_again),
        cmocka_unit_test(change_and_burn),
        cmocka_unit_test(groups_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
