/* notify and alerts: conditions as they are written, and mistakes in them. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "tests/unit/config/loaded.h"

static const struct config_alert *alert_of(struct loaded *l, const char *text)
{
    char yaml[1024];
    (void)snprintf(yaml, sizeof yaml, "alerts: {a: {%s}}\n", text);
    loaded_yaml(l, yaml);
    if (l->error != ERR_OK)
        fail_msg("%s: %s", text, l->mistakes);
    assert_int_equal(l->config->alert_count, 1);
    return &l->config->alerts[0];
}

static void conditions_are_read(void **state)
{
    static const struct {
        const char *when;
        enum config_measure measure;
        double limit;
        int percentile;
        bool change, below;
    } cases[] = {
        {"calls < 1", CONFIG_MEASURE_CALLS, 1, 0, false, true},
        {"errors > 0", CONFIG_MEASURE_ERRORS, 0, 0, false, false},
        {"error_rate > 5%", CONFIG_MEASURE_ERROR_RATE, 0.05, 0, false, false},
        {"error_rate > 0.05", CONFIG_MEASURE_ERROR_RATE, 0.05, 0, false, false},
        {"cost > 12.5", CONFIG_MEASURE_COST, 12.5, 0, false, false},
        {"p99 > 2s", CONFIG_MEASURE_TOTAL, 2, 990, false, false},
        {"p999 > 1m", CONFIG_MEASURE_TOTAL, 60, 999, false, false},
        {"first_token_p50 > 800ms", CONFIG_MEASURE_FIRST, 0.8, 500, false, false},
        {"tokens change > 50%", CONFIG_MEASURE_TOKENS, 0.5, 0, true, false},
        {"p90  change  < 20%", CONFIG_MEASURE_TOTAL, 0.2, 900, true, true},
        {"burn > 14.4", CONFIG_MEASURE_BURN, 14.4, 0, false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        struct loaded l;
        (void)snprintf(text, sizeof text, "when: \"%s\"", cases[i].when);
        const struct config_alert *a = alert_of(&l, text);
        assert_int_equal(a->measure, cases[i].measure);
        assert_int_equal(a->percentile, cases[i].percentile);
        assert_int_equal(a->change, cases[i].change);
        assert_int_equal(a->below, cases[i].below);
        assert_true(a->limit > cases[i].limit - 1e-9 && a->limit < cases[i].limit + 1e-9);
        assert_int_equal(a->over_ms, 300000);
        loaded_release(&l);
    }
}

static void no_condition(void **state)
{
    static const char *const wrong[] = {
        "",
        "cost",
        "cost > ",
        "cost >> 3",
        "cost > -1",
        "cost > 5%",
        "cost > nan",
        "cost > 1e999",
        "costs > 3",
        "p99 > 3",
        "p9999 > 1s",
        "p0 > 1s",
        "p99 > 0",
        "burn change > 1",
        "cost is > 3",
        "cost > 3 now",
        "error_rate = 3",
        "p > 1s",
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char yaml[256];
        struct loaded l;
        (void)snprintf(yaml, sizeof yaml, "alerts: {a: {when: \"%s\"}}\n", wrong[i]);
        loaded_yaml(&l, yaml);
        assert_int_equal(l.error, ERR_CONFIG);
        assert_non_null(strstr(l.mistakes, "is no condition: write a measure"));
        loaded_release(&l);
    }
}

static void who_is_told(void **state)
{
    struct loaded l;
    (void)state;
    loaded_yaml(&l, "notify:\n"
                    "  slack: {webhook: 'https://hooks.example.com/x', form: slack}\n"
                    "  mail: {smtp: 'smtps://mail.example.com', from: a@b.c, to: [d@e.f], user: u, "
                    "password: p}\n"
                    "alerts: {x: {when: 'cost > 1', by: user, over: 1d, to: [mail, slack]}}\n");
    assert_int_equal(l.error, ERR_OK);
    const struct config_alert *a = &l.config->alerts[0];
    assert_int_equal(a->by, CONFIG_BY_USER);
    assert_int_equal(a->to_count, 2);
    const struct config_notify *mail = &l.config->notify[a->to[0]];
    assert_int_equal(mail->form, CONFIG_NOTIFY_MAIL);
    assert_true(mail->tls && mail->port == 465);
    assert_true(str_eq(mail->host, STR("mail.example.com")));
    assert_int_equal(l.config->notify[a->to[1]].form, CONFIG_NOTIFY_SLACK);
    loaded_release(&l);
}

static void mistakes_say_what_to_write(void **state)
{
    static const struct {
        const char *yaml, *said;
    } cases[] = {
        {"notify: {x: {}}", "write one of 'webhook' and 'smtp'"},
        {"notify: {x: {webhook: 'ftp://a'}}", "notify.x.webhook: is no URL"},
        {"notify: {x: {smtp: 'mail'}}", "is not smtp://HOST:PORT"},
        {"notify: {x: {smtp: 'smtp://m'}}", "mail needs 'from' and 'to'"},
        {"notify: {x: {smtp: 'smtp://m', from: \"a@b.c>\\\"\", to: [a@b.c]}}", "is not an address"},
        {"notify: {x: {webhook: 'https://a.b', to: [a@b.c]}}", "belong to 'smtp'"},
        {"notify: {x: {smtp: 'smtp://m', from: a@b.c, to: [a@b.c], user: u}}", "go together"},
        {"alerts: {a: {over: 5m}}", "'when' is missing"},
        {"alerts: {a: {when: 'calls < 1', by: key}}", "'<' does not go with 'by'"},
        {"alerts: {a: {when: 'burn > 1', objective: 100%}}", "as 99.5%"},
        {"alerts: {a: {when: 'calls > 1', to: [ops]}}", "nobody under 'notify' is named 'ops'"},
        {"alerts: {a/b: {when: 'calls > 1'}}", "alert"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct loaded l;
        loaded_yaml(&l, cases[i].yaml);
        assert_int_equal(l.error, ERR_CONFIG);
        if (!strstr(l.mistakes, cases[i].said))
            fail_msg("%s\n--- said: %s--- not: %s", cases[i].yaml, l.mistakes, cases[i].said);
        loaded_release(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_are_read),
        cmocka_unit_test(no_condition),
        cmocka_unit_test(who_is_told),
        cmocka_unit_test(mistakes_say_what_to_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
