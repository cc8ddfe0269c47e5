#include "tests/unit/unit.h"

#include "base/assert.h"
#include "call/cache/key.h"

static struct config_provider provider = {.url = {.text = STR_INIT("http://up/v1")}};
static struct config_target target = {
    .provider = &provider, .name = STR_INIT("up/m"), .upstream = STR_INIT("m")};
static struct config_model alias = {.name = STR_INIT("c"), .targets = &target, .target_count = 1};

static struct cache_subject subject_of(const struct config_route *route, const char *body)
{
    return (struct cache_subject){.owner = STR("web"),
                                  .endpoint = STR("chat"),
                                  .route = route,
                                  .model = STR("c"),
                                  .body = str_from_c(body),
                                  .max_depth = 128};
}

static bool equal(const struct cache_subject *a, const struct cache_subject *b)
{
    uint8_t x[CACHE_KEY_BYTES], y[CACHE_KEY_BYTES];
    cache_key_make(a, x);
    cache_key_make(b, y);
    return memcmp(x, y, sizeof x) == 0;
}

static bool equal_bodies(const char *a, const char *b)
{
    struct config_route route = {.alias = &alias};
    struct cache_subject x = subject_of(&route, a);
    struct cache_subject y = subject_of(&route, b);
    return equal(&x, &y);
}

static void the_way_it_is_written_does_not_count(void **state)
{
    (void)state;
    const char *plain =
        "{\"model\":\"c\",\"messages\":[{\"role\":\"user\",\"content\":\"\xc3\xa9/\"}],"
        "\"temperature\":1,\"stop\":null}";
    static const char *const same[] = {
        " { \"messages\" : [ {\"content\":\"\\u00e9\\/\",\"role\":\"user\"} ],\n\"stop\":null,"
        "\"temperature\":1.0,\"model\":\"c\"} ",
        "{\"mod\\u0065l\":\"c\",\"messages\":[{\"role\":\"user\",\"content\":\"\xc3\xa9/\"}],"
        "\"temperature\":1e0,\"stop\":null}",
        "{\"model\":\"c\",\"messages\":[{\"role\":\"user\",\"content\":\"\xc3\xa9/\"}],"
        "\"temperature\":1,\"stop\":null,\"stream\":true,\"stream_options\":{\"include_usage\":"
        "true},"
        "\"user\":\"u\",\"metadata\":{\"a\":\"b\"},\"safety_identifier\":\"s\","
        "\"prompt_cache_key\":\"k\",\"prompt_cache_retention\":\"24h\"}",
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        assert_true(equal_bodies(plain, same[i]));
}

static void what_is_said_counts(void **state)
{
    (void)state;
    const char *plain = "{\"a\":[1,[2],{\"k\":\"v\"}],\"n\":0}";
    static const char *const others[] = {
        "{\"a\":[1,[2],{\"k\":\"w\"}],\"n\":0}",
        "{\"a\":[1,[2],{\"k\":\"v\"}],\"n\":1}",
        "{\"a\":[[2],1,{\"k\":\"v\"}],\"n\":0}",
        "{\"a\":[1,2,[],{\"k\":\"v\"}],\"n\":0}",
        "{\"a\":[1,[2],{\"k\":\"v\"}],\"n\":\"0\"}",
        "{\"a\":[1,[2],{\"kv\":\"\"}],\"n\":0}",
        "{\"a\":[1,[2],{\"k\":\"v\"}],\"n\":null}",
        "{\"a\":[1,[2],{\"k\":\"v\"}],\"n\":false}",
        "{\"a\":[1,[2],{\"k\":\"v\"}]}",
        "{\"a\":[1,[2],{\"k\":\"v\"}],\"n\":0,\"n\":0}",
        "{\"a\":[1,[2,{\"k\":\"v\"}]],\"n\":0}",
        "{\"a\":[1,[2],{\"k\":\"v\"}],\"n\":1e-300}",
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(equal_bodies(plain, others[i]));
    /* Numbers that a double does not tell apart. */
    assert_false(equal_bodies("{\"seed\":9007199254740993}", "{\"seed\":9007199254740992}"));
    /* Only at the top do they say how the answer is delivered. */
    assert_false(equal_bodies("{\"x\":{\"stream\":true}}", "{\"x\":{\"stream\":false}}"));
}

/* The properties of an answer come in the schema's order. */
static void order_in_a_schema_counts(void **state)
{
    (void)state;
    assert_false(equal_bodies("{\"tools\":[{\"parameters\":{\"a\":1,\"b\":2}}]}",
                              "{\"tools\":[{\"parameters\":{\"b\":2,\"a\":1}}]}"));
    assert_true(equal_bodies("{\"tools\":[{\"name\":1,\"parameters\":{\"a\":1,\"b\":2}}]}",
                             "{\"tools\":[{\"parameters\":{\"a\":1, \"b\":2},\"name\":1}]}"));
}

static void who_asks_whom_counts(void **state)
{
    (void)state;
    struct config_route route = {.alias = &alias};
    struct cache_subject plain = subject_of(&route, "{}");
    struct cache_subject other = plain;
    assert_true(equal(&plain, &other));
    other.owner = STR("app");
    assert_false(equal(&plain, &other));
    other = plain;
    other.endpoint = STR("embeddings");
    assert_false(equal(&plain, &other));
    other = plain;
    other.model = STR("d");
    assert_false(equal(&plain, &other));
    other = plain;
    other.betas = STR("context-1m");
    assert_false(equal(&plain, &other));

    struct config_param param = {STR("temperature"), STR("0.2")};
    struct config_model with_param = alias;
    with_param.params = &param;
    with_param.param_count = 1;
    struct config_route changed = {.alias = &with_param};
    other = plain;
    other.route = &changed;
    assert_false(equal(&plain, &other));

    struct config_target elsewhere = target;
    elsewhere.upstream = STR("m2");
    struct config_model moved = alias;
    moved.targets = &elsewhere;
    changed.alias = &moved;
    assert_false(equal(&plain, &other));
}

static void a_user_who_keeps_a_target_counts(void **state)
{
    (void)state;
    struct config_model sticky = alias;
    sticky.sticky = CONFIG_STICKY_USER;
    struct config_route route = {.alias = &sticky};
    struct cache_subject a = subject_of(&route, "{\"user\":\"a\"}");
    struct cache_subject b = subject_of(&route, "{\"user\":\"b\"}");
    assert_false(equal(&a, &b));
}

static void what_conditions_look_at_counts(void **state)
{
    (void)state;
    struct config_target with_condition = target;
    with_condition.condition_count = 1;
    struct config_model conditional = alias;
    conditional.targets = &with_condition;
    struct config_route route = {.alias = &conditional};
    struct cache_subject a = subject_of(&route, "{\"metadata\":{\"tier\":\"gold\"}}");
    struct cache_subject b = subject_of(&route, "{\"metadata\":{\"tier\":\"none\"}}");
    assert_false(equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_way_it_is_written_does_not_count),
        cmocka_unit_test(what_is_said_counts),
        cmocka_unit_test(order_in_a_schema_counts),
        cmocka_unit_test(who_asks_whom_counts),
        cmocka_unit_test(a_user_who_keeps_a_target_counts),
        cmocka_unit_test(what_conditions_look_at_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
