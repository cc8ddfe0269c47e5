/* From the name in a request to its targets, and the words when there are none. */
#include "tests/unit/unit.h"

#include "tests/unit/config/loaded.h"

#define assert_str(s, literal) assert_true(str_eq((s), STR(literal)))

static const char yaml[] =
    "providers:\n"
    "  openai: {key: k}\n"
    "  vllm: {api: openai, url: 'http://h:1/v1', models: {qwen3-32b: /models/qwen, org/m: org/m}}\n"
    "  gone: {api: openai, key: '${UNSET}'}\n"
    "models:\n"
    "  fast: openai/gpt-5-mini\n"
    "  again: fast\n"
    "  meta/llama: openai/x\n"
    "  smart:\n"
    "    targets: [gone/a, vllm/qwen3-32b, fast, {model: local/smollm2, weight: 3}]\n"
    "    retry: {attempts: 3, on: [408, 429, 5xx, connect, timeout]}\n"
    "    deadline: 60s\n"
    "  smarter: smart\n"
    "  wide: {targets: [again, smart, vllm/org/m]}\n"
    "  lost: gone/a\n"
    "  loster: {targets: [lost, gone/b]}\n";

static int load(void **state)
{
    static struct loaded l;
    loaded_yaml(&l, yaml);
    *state = &l;
    return l.error == ERR_OK ? 0 : -1;
}

static int release(void **state)
{
    loaded_release(*state);
    return 0;
}

/* Resolve and compare all targets' names, joined by spaces. */
static struct config_route resolved(const struct config *c, const char *model, const char *targets)
{
    struct config_route route;
    struct buf names BUF_AUTO;
    assert_int_equal(config_resolve(c, str_from_c(model), &route), ERR_OK);
    buf_init(&names, 1000);
    for (size_t i = 0; i < config_route_count(&route); i++) {
        const struct config_target *t = config_route_target(&route, i);
        buf_printf(&names, "%s%.*s=%.*s:%.*s", i ? " " : "", STR_ARG(t->name),
                   STR_ARG(t->provider->name), STR_ARG(t->upstream));
    }
    assert_string_equal(buf_cstr(&names), targets);
    return route;
}

static void aliases_lead_to_their_targets(void **state)
{
    const struct config *c = ((struct loaded *)*state)->config;
    resolved(c, "fast", "openai/gpt-5-mini=openai:gpt-5-mini");
    resolved(c, "again", "openai/gpt-5-mini=openai:gpt-5-mini");
    resolved(c, "meta/llama", "openai/x=openai:x");
    static const char smart[] = "vllm/qwen3-32b=vllm:/models/qwen "
                                "openai/gpt-5-mini=openai:gpt-5-mini "
                                "local/smollm2=local:smollm2";
    struct config_route route = resolved(c, "smart", smart);
    assert_int_equal(config_route_target(&route, 2)->weight, 3);
    assert_str(config_route_target(&route, 0)->model, "qwen3-32b");
    resolved(c, "wide",
             "openai/gpt-5-mini=openai:gpt-5-mini vllm/qwen3-32b=vllm:/models/qwen "
             "openai/gpt-5-mini=openai:gpt-5-mini local/smollm2=local:smollm2 "
             "vllm/org/m=vllm:org/m");
    route = resolved(c, "smarter", smart);
    assert_true(route.deadline_ms == 60000); /* another name inherits everything */
    assert_int_equal(route.retry->attempts, 3);
    assert_str(route.alias->name, "smarter");
}

static void retries_are_as_written_or_the_default(void **state)
{
    const struct config *c = ((struct loaded *)*state)->config;
    struct config_route route;
    assert_int_equal(config_resolve(c, STR("smart"), &route), ERR_OK);
    assert_int_equal(route.retry->attempts, 3);
    assert_true(route.retry->on_connect && route.retry->on_timeout && !route.retry->on_reset);
    assert_int_equal(config_resolve(c, STR("openai/o"), &route), ERR_OK);
    assert_int_equal(route.retry->attempts, 2);
    assert_true(route.retry->on_connect && route.retry->on_timeout && route.retry->on_reset);
    assert_true(route.deadline_ms == 600000);
    for (int status = -1; status < 700; status++) {
        bool expected = status == 408 || status == 429 || (status >= 500 && status <= 599);
        assert_int_equal(config_retry_on_status(route.retry, status), expected);
    }
}

static void provider_and_model_always_work(void **state)
{
    const struct config *c = ((struct loaded *)*state)->config;
    resolved(c, "openai/gpt-4o", "openai/gpt-4o=openai:gpt-4o");
    resolved(c, "openai/ft:gpt/3", "openai/ft:gpt/3=openai:ft:gpt/3");
    resolved(c, "vllm/qwen3-32b", "vllm/qwen3-32b=vllm:/models/qwen");
    struct config_route route = resolved(c, "local/any-file", "local/any-file=local:any-file");
    struct config_route copy = route;
    assert_int_equal(config_route_target(&copy, 0)->provider->api, CONFIG_API_LOCAL);
}

static void what_is_not_there_is_explained(void **state)
{
    const struct config *c = ((struct loaded *)*state)->config;
    static const char *const cases[][2] = {
        {"fsat", "unknown model 'fsat', did you mean 'fast'?"},
        {"", "unknown model '': write an alias, provider/model or local/name; GET /v1/models lists "
             "them"},
        {"gpt-4o", "unknown model 'gpt-4o': write an alias, provider/model or local/name; GET "
                   "/v1/models lists them"},
        {"qwen3-32b", "unknown model 'qwen3-32b', did you mean 'vllm/qwen3-32b'?"},
        {"vllm/qwen3-23b", "unknown model 'vllm/qwen3-23b', did you mean 'vllm/qwen3-32b'?"},
        {"vllm/other", "unknown model 'vllm/other': provider 'vllm' lists its models, and this is "
                       "none of them"},
        {"openai/", "unknown model 'openai/': write a model's name after 'openai/'"},
        {"/x", "unknown model '/x': write an alias, provider/model or local/name; GET /v1/models "
               "lists them"},
        {"nobody/x", "unknown model 'nobody/x': write an alias, provider/model or local/name; GET "
                     "/v1/models lists them"},
        {"gone/a", "unknown model 'gone/a': provider 'gone' is left out, because UNSET is not set"},
        {"lost", "no target of model 'lost' is there: UNSET is not set"},
        {"loster", "no target of model 'loster' is there: UNSET is not set"},
        {"a\nb\x7f", "unknown model 'a?b?': write an alias, provider/model or local/name; GET "
                     "/v1/models lists them"},
    };
    struct buf text BUF_AUTO;
    buf_init(&text, 4096);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config_route route;
        buf_reset(&text);
        assert_int_equal(config_resolve(c, str_from_c(cases[i][0]), &route), ERR_NOT_FOUND);
        config_resolve_explain(c, str_from_c(cases[i][0]), &text);
        assert_string_equal(buf_cstr(&text), cases[i][1]);
    }
    static char long_name[3000];
    memset(long_name, 'x', sizeof long_name);
    struct config_route route;
    struct str name = str_of(long_name, sizeof long_name);
    buf_reset(&text);
    assert_int_equal(config_resolve(c, name, &route), ERR_NOT_FOUND);
    config_resolve_explain(c, name, &text);
    assert_true(text.len < 300);
}

static void params_become_json(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"0.2", "0.2"},
        {"-1e5", "-1e5"},
        {"007", "\"007\""},
        {".5", "\".5\""},
        {"true", "true"},
        {"'true'", "\"true\""},
        {"'1'", "\"1\""},
        {"~", "null"},
        {"\"a\\nb\\\"\"", "\"a\\nb\\\"\""},
        {"[1, x, {a: [], b: {}}]", "[1,\"x\",{\"a\":[],\"b\":{}}]"},
        {"'${ONE}'", "\"1\""},
        {"${ONE}", "\"1\""},
    };
    static const char *const env[] = {"ONE", "1", NULL};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf text BUF_AUTO;
        struct loaded l;
        buf_init(&text, 1000);
        buf_printf(&text, "models:\n  a:\n    targets: [local/x]\n    params:\n      p: %s\n",
                   cases[i][0]);
        loaded_from(&l, (struct outside){.yaml = buf_cstr(&text), .env = env},
                    (struct config_options){.source = NULL});
        assert_string_equal(l.mistakes, "");
        assert_string_equal(l.config->models[0].params[0].json.ptr, cases[i][1]);
        loaded_release(&l);
    }
}

static void too_many_targets_are_a_mistake(void **state)
{
    (void)state;
    struct buf text BUF_AUTO;
    struct loaded l;
    buf_init(&text, 65536);
    buf_append_str(&text, STR("models:\n  a: {targets: ["));
    for (int i = 0; i < 20; i++)
        buf_printf(&text, "%slocal/m%d", i ? ", " : "", i);
    buf_append_str(&text, STR("]}\n  b: {targets: [a, a]}\n"));
    loaded_yaml(&l, buf_cstr(&text));
    assert_int_equal(l.error, ERR_CONFIG);
    assert_non_null(
        strstr(l.mistakes, "models.b: more than 32 targets, with those of the aliases among them"));
    loaded_release(&l);
    buf_reset(&text);
    buf_append_str(&text, STR("models:\n  a0: local/x\n"));
    for (int i = 1; i < 30; i++)
        buf_printf(&text, "  a%d: a%d\n", i, i - 1);
    loaded_yaml(&l, buf_cstr(&text));
    assert_int_equal(l.error, ERR_CONFIG);
    assert_non_null(strstr(l.mistakes, "aliases of aliases, more than 16 deep"));
    loaded_release(&l);
    buf_reset(&text);
    buf_append_str(&text, STR("models:\n"));
    for (int i = 30; i > 0; i--)
        buf_printf(&text, "  a%d: a%d\n", i, i - 1);
    buf_append_str(&text, STR("  a0: local/x\n"));
    loaded_yaml(&l, buf_cstr(&text));
    assert_int_equal(l.error, ERR_CONFIG);
    assert_non_null(strstr(l.mistakes, "aliases of aliases, more than 16 deep"));
    loaded_release(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aliases_lead_to_their_targets),
        cmocka_unit_test(retries_are_as_written_or_the_default),
        cmocka_unit_test(provider_and_model_always_work),
        cmocka_unit_test(what_is_not_there_is_explained),
        cmocka_unit_test(params_become_json),
        cmocka_unit_test(too_many_targets_are_a_mistake),
    };
    return cmocka_run_group_tests(tests, load, release);
}
