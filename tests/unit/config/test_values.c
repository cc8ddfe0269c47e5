/* What correct files mean: every key's value, what holds where nothing is written, the environment,
 * and the warnings about what this version does not do. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "config/config_int.h"
#include "tests/unit/config/loaded.h"

#define assert_str(s, literal) assert_true(str_eq((s), STR(literal)))

static void nothing_written_means_the_defaults(void **state)
{
    (void)state;
    static const char *const yamls[] = {
        NULL,  "",      "# only a comment\n",
        "~\n", "---\n", "listen:\nlog: ~\nproviders: null\nkeys:\n"};
    for (size_t i = 0; i < sizeof yamls / sizeof yamls[0]; i++) {
        struct loaded l;
        loaded_yaml(&l, yamls[i]);
        assert_int_equal(l.error, ERR_OK);
        assert_string_equal(l.warnings, "");
        const struct config *c = l.config;
        assert_int_equal(c->path.len > 0, yamls[i] != NULL);
        assert_str(c->listen.http.host, "127.0.0.1");
        assert_int_equal(c->listen.http.port, 8080);
        assert_int_equal(c->listen.kafka.port, 9092);
        assert_true(c->listen.kafka.enabled);
        assert_false(c->listen.tls.enabled);
        assert_true(c->listen.drain_ms == 30000);
        assert_str(c->data, "./weir-data");
        assert_int_equal(c->log.durability, CONFIG_DURABILITY_WRITE);
        assert_int_equal(c->log.on_full, CONFIG_ON_FULL_REFUSE);
        assert_true(c->log.quota_bytes == 0);
        assert_true(c->log.protect_ms == 10000);
        assert_true(c->log.retention_age_ms == 0 && c->log.retention_size_bytes == 0);
        assert_str(c->local.dir, "./models");
        assert_true(c->local.memory_bytes == INT64_C(4) << 30);
        assert_int_equal(c->local.threads, 0);
        assert_int_equal(c->local.parallel, 8);
        assert_int_equal(c->local.queue, 64);
        assert_true(c->limits.header_bytes == 64 << 10);
        assert_true(c->limits.header_ms == 10000);
        assert_true(c->limits.body_bytes == 32 << 20);
        assert_int_equal(c->limits.nesting, 128);
        assert_true(c->limits.event_bytes == 8 << 20);
        assert_true(c->limits.idle_ms == 75000);
        assert_true(c->limits.pending_bytes == 1 << 20);
        assert_int_equal(c->provider_count, 0);
        assert_int_equal(c->model_count, 0);
        assert_int_equal(c->key_count, 0);
        assert_false(c->keys_given);
        loaded_release(&l);
    }
}

static void every_simple_key_is_read(void **state)
{
    (void)state;
    struct loaded l;
    loaded_yaml(&l,
                "listen:\n"
                "  http: '[::1]:1'\n"
                "  kafka: off\n"
                "  tls: {cert: c.pem, key: k.pem, client_ca: a.pem}\n"
                "  drain: 0\n"
                "data: /d\n"
                "log:\n"
                "  durability: sync\n"
                "  quota: 20GiB\n"
                "  protect: 1m\n"
                "  on_full: serve\n"
                "  retention: {age: 30d, size: 10GB}\n"
                "local: {dir: m, memory: 1GiB, threads: 3, parallel: 2, queue: 0}\n"
                "limits: {headers: 8KiB, header_time: 1s, body: 1MiB, nesting: 16, event: 64KiB,\n"
                "         idle: 5s, pending: 128KiB}\n");
    assert_string_equal(l.mistakes, "");
    assert_string_equal(l.warnings, "");
    const struct config *c = l.config;
    assert_str(c->path, "weir.yaml");
    assert_str(c->listen.http.host, "::1");
    assert_int_equal(c->listen.http.port, 1);
    assert_false(c->listen.kafka.enabled);
    assert_true(c->listen.tls.enabled);
    assert_str(c->listen.tls.cert_path, "c.pem");
    assert_str(c->listen.tls.key_path, "k.pem");
    assert_str(c->listen.tls.client_ca_path, "a.pem");
    assert_true(c->listen.drain_ms == 0);
    assert_str(c->data, "/d");
    assert_int_equal(c->log.durability, CONFIG_DURABILITY_SYNC);
    assert_int_equal(c->log.on_full, CONFIG_ON_FULL_SERVE);
    assert_true(c->log.quota_bytes == INT64_C(20) << 30);
    assert_true(c->log.protect_ms == 60000);
    assert_true(c->log.retention_age_ms == INT64_C(30) * 86400000);
    assert_true(c->log.retention_size_bytes == INT64_C(10000000000));
    assert_str(c->local.dir, "m");
    assert_true(c->local.memory_bytes == 1 << 30);
    assert_int_equal(c->local.threads, 3);
    assert_int_equal(c->local.parallel, 2);
    assert_int_equal(c->local.queue, 0);
    assert_true(c->limits.header_bytes == 8 << 10);
    assert_true(c->limits.header_ms == 1000);
    assert_true(c->limits.body_bytes == 1 << 20);
    assert_int_equal(c->limits.nesting, 16);
    assert_true(c->limits.event_bytes == 64 << 10);
    assert_true(c->limits.idle_ms == 5000);
    assert_true(c->limits.pending_bytes == 128 << 10);
    loaded_release(&l);
}

static void sizes_rates_and_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes; /* -1: refused */
    } sizes[] = {
        {"0", 0},           {"17", 17},
        {"1B", 1},          {"1KiB", 1024},
        {"2MB", 2000000},   {"1TB", 1000000000000},
        {"3KB", 3000},      {"1TiB", INT64_C(1) << 40},
        {"", -1},           {"KiB", -1},
        {"1 KiB", -1},      {"1kib", -1},
        {"1K", -1},         {"0x10", -1},
        {"1.5MiB", -1},     {"-1", -1},
        {"8388608TiB", -1},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int64_t bytes = -1;
        enum err e = config_size_parse(str_from_c(sizes[i].text), &bytes);
        assert_true(bytes == sizes[i].bytes);
        assert_int_equal(e == ERR_OK, sizes[i].bytes >= 0);
    }
    struct config_rate rate;
    assert_int_equal(config_rate_parse(STR("600/m"), &rate), ERR_OK);
    assert_true(rate.count == 600 && rate.window_us == 60000000);
    assert_int_equal(config_rate_parse(STR("5/d"), &rate), ERR_OK);
    assert_true(rate.count == 5 && rate.window_us == INT64_C(86400000000));
    static const char *const rates[] = {"", "5", "/m", "5/", "5/w", "5/ms", "5 /m", "-5/m", "5/M"};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        assert_int_equal(config_rate_parse(str_from_c(rates[i]), &rate), ERR_INVALID);
    static const char *const addresses[] = {
        "",     ":80",     "host",   "host:",       "host:x",  "host:65536",  "::1:80",
        "[::1", "[::1]80", "a b:80", "[1.2.3.4:80", "host:-1", "host:000080", "a/b:80"};
    struct config_address address;
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
        assert_int_equal(config_address_parse(str_from_c(addresses[i]), &address), ERR_INVALID);
    assert_int_equal(config_address_parse(STR("0.0.0.0:0"), &address), ERR_OK);
    assert_str(address.host, "0.0.0.0");
}

static void urls_come_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text, *kept, *host, *authority, *prefix;
        int port;
        bool tls;
    } cases[] = {
        {"https://api.openai.com/v1", "https://api.openai.com/v1", "api.openai.com",
         "api.openai.com", "/v1", 443, true},
        {"http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1", "127.0.0.1", "127.0.0.1:8000",
         "/v1", 8000, false},
        {"HTTPS://a:443", "HTTPS://a:443", "a", "a", "", 443, true},
        {"http://a:443///", "http://a:443", "a", "a:443", "", 443, false},
        {"http://[::1]:80/x/y", "http://[::1]:80/x/y", "::1", "[::1]", "/x/y", 80, false},
    };
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config_url u;
        const char *why;
        assert_int_equal(config_url_parse(&a, str_from_c(cases[i].text), &u, &why), ERR_OK);
        assert_string_equal(u.text.ptr, cases[i].kept);
        assert_string_equal(u.host.ptr, cases[i].host);
        assert_string_equal(u.authority.ptr, cases[i].authority);
        assert_string_equal(u.prefix.ptr, cases[i].prefix);
        assert_int_equal(u.port, cases[i].port);
        assert_int_equal(u.tls, cases[i].tls);
    }
    arena_release(&a);
}

static void variables_are_replaced(void **state)
{
    (void)state;
    static const char *const env[] = {"A", "one", "EMPTY", "", "P", "9", "LIKE", "${A}", NULL};
    static const char *const files[] = {"f", "line\r\nmore", "g", "", "h", "\nx", NULL};
    static const char *const cases[][2] = {
        {"data: ${A}", "one"},
        {"data: x${A}y${A}", "xoneyone"},
        {"data: ${NO:-two}", "two"},
        {"data: ${EMPTY:-two}", "two"},
        {"data: ${A:-two}", "one"},
        {"data: ${NO:-a:-b}", "a:-b"},
        {"data: 'a${NO:-}b'", "ab"},
        {"data: ${file:f}", "line"},
        {"data: a${file:g}b${file:h}c", "abc"},
        {"data: $${A}", "${A}"},
        {"data: $A", "$A"},
        {"data: '${LIKE}'", "${A}"}, /* what was put in is not replaced again */
        {"data: null${NO:-}", "null"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct loaded l;
        loaded_from(&l, (struct outside){.yaml = cases[i][0], .env = env, .files = files},
                    (struct config_options){.source = NULL});
        assert_string_equal(l.mistakes, "");
        assert_string_equal(l.config->data.ptr, cases[i][1]);
        loaded_release(&l);
    }
}

static void providers_are_read(void **state)
{
    (void)state;
    static const char *const env[] = {"K", "sk-1", "GROQ_API_KEY", "gk", NULL};
    struct loaded l;
    struct outside outside = {
        .env = env,
        .yaml = "providers:\n"
                "  openai: {api: openai, key: '${K}'}\n"
                "  groq: {}\n"
                "  mistral:\n"
                "  own: {api: openai, url: 'http://h:1/v1', models: {a/b: deploy, c: c},\n"
                "        timeout: {connect: 2s, first_byte: 30s, idle: 60s, total: 10m},\n"
                "        connections: 64, headers: {X-Team: ' search ', api-key: '${K}'}}\n"
                "  plain: {api: openai, url: 'http://h:1/v1', key: '', models: [x, y]}\n"};
    loaded_from(&l, outside, (struct config_options){.source = NULL});
    assert_string_equal(l.mistakes, "");
    assert_string_equal(l.warnings, "weir.yaml:4:3: warning: provider 'mistral' is left out: "
                                    "MISTRAL_API_KEY is not set\n");
    const struct config *c = l.config;
    assert_int_equal(c->provider_count, 5);
    const struct config_provider *p = config_provider_find(c, STR("openai"));
    assert_str(p->url.text, "https://api.openai.com/v1");
    assert_str(p->key, "sk-1");
    assert_int_equal(p->connections, 1024);
    assert_true(p->timeout.connect_ms == 5000 && p->timeout.first_byte_ms == 300000);
    assert_true(p->timeout.idle_ms == 300000 && p->timeout.total_ms == 600000);
    p = config_provider_find(c, STR("groq"));
    assert_str(p->url.prefix, "/openai/v1");
    assert_str(p->key, "gk");
    assert_str(config_provider_find(c, STR("mistral"))->left_out, "MISTRAL_API_KEY is not set");
    p = config_provider_find(c, STR("own"));
    assert_int_equal(p->index, 3);
    assert_ptr_equal(p, &c->providers[3]);
    assert_int_equal(p->model_count, 2);
    assert_str(p->models[0].name, "a/b");
    assert_str(p->models[0].upstream, "deploy");
    assert_true(p->timeout.connect_ms == 2000 && p->timeout.first_byte_ms == 30000);
    assert_true(p->timeout.idle_ms == 60000 && p->timeout.total_ms == 600000);
    assert_int_equal(p->connections, 64);
    assert_int_equal(p->header_count, 2);
    assert_str(p->headers[0].name, "X-Team");
    assert_str(p->headers[0].value, "search");
    assert_str(p->headers[1].value, "sk-1");
    assert_int_equal(config_provider_find(c, STR("plain"))->key.len, 0);
    assert_null(config_provider_find(c, STR("gone")));
    assert_int_equal(config_provider_find(c, STR("local"))->api, CONFIG_API_LOCAL);
    assert_int_equal(c->local_provider->index, 5);
    loaded_release(&l);
}

static void the_environment_brings_providers(void **state)
{
    (void)state;
    static const char *const env[] = {"OPENAI_API_KEY",
                                      "sk",
                                      "MISTRAL_API_KEY",
                                      "mk",
                                      "GROQ_API_KEY",
                                      "bad key",
                                      "XAI_API_KEY",
                                      "",
                                      NULL};
    struct loaded l;
    loaded_from(&l, (struct outside){.env = env}, (struct config_options){.source = NULL});
    assert_int_equal(l.error, ERR_OK);
    assert_int_equal(l.config->provider_count, 3);
    assert_str(l.config->providers[0].name, "openai");
    assert_str(l.config->providers[0].key, "sk");
    assert_str(l.config->providers[1].name, "mistral");
    assert_string_equal(l.warnings, "warning: provider 'groq' is left out: GROQ_API_KEY holds a "
                                    "character that cannot be part of a key\n");
    loaded_release(&l);
    loaded_from(&l, (struct outside){.yaml = "providers: {}\n", .env = env},
                (struct config_options){.source = NULL});
    assert_int_equal(l.config->provider_count, 0);
    loaded_release(&l);
}

static void keys_are_read(void **state)
{
    (void)state;
    struct loaded l;
    loaded_yaml(&l, "models: {fast: local/x}\n"
                    "keys:\n"
                    "- name: web\n"
                    "  hash: "
                    "sha256:9F86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n"
                    "  models: [fast, local/y, 'local/*']\n"
                    "  limits: {requests: 600/m, tokens: 200000/h, concurrent: 32}\n"
                    "- {name: ops, admin: true,\n"
                    "   hash: 0000000000000000000000000000000000000000000000000000000000000001}\n"
                    "- {name: later, hash: \"sha256:…\"}\n"
                    "- {name: none, models: [],\n"
                    "   hash: 0000000000000000000000000000000000000000000000000000000000000002}\n");
    assert_string_equal(l.mistakes, "");
    assert_int_equal(l.report.warning_count, 2);
    const struct config *c = l.config;
    assert_true(c->keys_given);
    assert_int_equal(c->key_count, 4);
    assert_str(c->keys[0].name, "web");
    assert_int_equal(c->keys[0].hash[0], 0x9f);
    assert_int_equal(c->keys[0].hash[31], 0x08);
    assert_false(c->keys[0].any_model);
    assert_int_equal(c->keys[0].model_count, 3);
    assert_str(c->keys[0].models[1], "local/y");
    assert_true(c->keys[0].limits.requests.count == 600);
    assert_true(c->keys[0].limits.requests.window_us == 60000000);
    assert_true(c->keys[0].limits.tokens.count == 200000);
    assert_true(c->keys[0].limits.tokens.window_us == INT64_C(3600000000));
    assert_true(c->keys[0].limits.concurrent == 32);
    assert_true(c->keys[1].admin && c->keys[1].any_model && !c->keys[1].disabled);
    assert_true(c->keys[1].limits.requests.count == 0 && c->keys[1].limits.concurrent == 0);
    assert_true(c->keys[2].disabled);
    assert_true(!c->keys[3].any_model && c->keys[3].model_count == 0);
    loaded_release(&l);
}

static void prices_are_read(void **state)
{
    (void)state;
    struct loaded l;
    loaded_yaml(&l,
                "prices: {openai/gpt-5-mini: {input: 0.25, cached_input: 0.025, output: 2.00},\n"
                "  own: {input: 0, output: 0, cache_write: 1, reasoning: 3e-1, audio_in: 4,\n"
                "        audio_out: 0.000000001, cache_write_1h: 2, request: 0.01,\n"
                "        batch: {input: 0.5, output: 1},\n"
                "        above: {tokens: 200000, input: 3, output: 4,\n"
                "                priority: {input: 5, output: 6, cached_input: 7}}}}\n");
    assert_string_equal(l.mistakes, "");
    assert_int_equal(l.config->price_count, 2);
    const struct config_price *p = &l.config->prices[0];
    char text[DECIMAL_TEXT_BYTES];
    assert_str(p->target, "openai/gpt-5-mini");
    assert_int_equal(p->sets[0].set,
                     1 << PRICE_INPUT | 1 << PRICE_CACHED_INPUT | 1 << PRICE_OUTPUT);
    assert_string_equal(decimal_format(p->sets[0].part[PRICE_INPUT], text).ptr, "0.25");
    assert_string_equal(decimal_format(p->sets[0].part[PRICE_CACHED_INPUT], text).ptr, "0.025");
    assert_string_equal(decimal_format(p->sets[0].part[PRICE_OUTPUT], text).ptr, "2");
    p = &l.config->prices[1];
    assert_int_equal(p->sets[0].set, (1 << PRICE_PART_COUNT) - 1 - (1 << PRICE_CACHED_INPUT));
    assert_string_equal(decimal_format(p->sets[0].part[PRICE_REASONING], text).ptr, "0.3");
    assert_string_equal(decimal_format(p->sets[0].part[PRICE_AUDIO_OUT], text).ptr, "0.000000001");
    assert_int_equal(p->sets[USAGE_BATCH].set, 1 << PRICE_INPUT | 1 << PRICE_OUTPUT);
    assert_int_equal(p->sets[USAGE_FLEX].set, 0);
    assert_int_equal(p->above_tokens, 200000);
    assert_string_equal(decimal_format(p->above[0].part[PRICE_INPUT], text).ptr, "3");
    const struct price_set *long_priority = &p->above[USAGE_PRIORITY];
    assert_string_equal(decimal_format(long_priority->part[PRICE_CACHED_INPUT], text).ptr, "7");
    loaded_release(&l);
}

static void the_contracts_example_passes(void **state)
{
    (void)state;
    static const char *const env[] = {"OPENAI_API_KEY",
                                      "a",
                                      "ANTHROPIC_API_KEY",
                                      "b",
                                      "GEMINI_API_KEY",
                                      "c",
                                      "AZURE_KEY",
                                      "d",
                                      NULL};
    struct buf yaml BUF_AUTO;
    buf_init(&yaml, 65536);
    assert_int_equal(config_source_process.file(NULL, "tests/unit/config/contract.yaml", &yaml),
                     ERR_OK);
    for (int with_env = 0; with_env < 2; with_env++) {
        struct loaded l;
        loaded_from(&l, (struct outside){.yaml = buf_cstr(&yaml), .env = with_env ? env : NULL},
                    (struct config_options){.source = NULL});
        assert_string_equal(l.mistakes, "");
        assert_int_equal(l.error, ERR_OK);
        const struct config *c = l.config;
        assert_int_equal(c->provider_count, 5);
        assert_int_equal(c->model_count, 3);
        assert_int_equal(c->price_count, 1);
        assert_int_equal(c->key_count, 1);
        assert_str(config_provider_find(c, STR("azure"))->api_version, "2025-04-01-preview");
        assert_int_equal(config_provider_find(c, STR("azure"))->responses,
                         CONFIG_RESPONSES_TRANSLATE);
        assert_int_equal(config_provider_find(c, STR("vllm"))->responses,
                         CONFIG_RESPONSES_TRANSLATE);
        if (with_env)
            assert_int_equal(config_provider_find(c, STR("openai"))->responses,
                             CONFIG_RESPONSES_NATIVE);
        const struct config_model *split = config_model_find(c, STR("split"));
        assert_int_equal(split->strategy, CONFIG_STRATEGY_WEIGHTED);
        assert_int_equal(split->sticky, CONFIG_STICKY_USER);
        assert_true(split->cache_ttl_ms == 3600000 && split->cache_bytes == 64 << 20);
        assert_str(split->params[0].name, "temperature");
        assert_str(split->params[0].json, "0.2");
        loaded_release(&l);
    }
}

static void what_does_nothing_says_so(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        const char *warned;
    } cases[] = {
        {"listen: {kafka: 127.0.0.1:9092}\n", ""},
        {"models: {a: {targets: [local/x], strategy: latency, sticky: user}}\n", ""},
        {"models: {a: {targets: [local/x], strategy: fallback}}\n", ""},
        {"models: {a: {targets: [local/x], sticky: user}}\n",
         "weir.yaml:1:10: warning: models.a: 'sticky' changes nothing under the strategy fallback, "
         "which always begins with the first target: choose sticky, weighted or latency\n"},
        {"models: {a: {targets: [local/x], cache: {ttl: 1h}}}\n", ""},
        {"models: {a: {targets: [local/x], params: {top_p: 1}}}\n", ""},
        {"providers: {anthropic: {key: k}}\nmodels: {a: anthropic/claude}\n", ""},
        {"listen: {http: '0.0.0.0:8080'}\n",
         "warning: listen.http is no loopback address and there is no listen.tls: keys and prompts "
         "travel as plain text\n"},
        {"listen: {http: '0.0.0.0:8080', tls: {cert: a, key: b}}\n", ""},
        {"keys: []\n",
         "weir.yaml:1:7: warning: keys: is empty: only the admin key given by --key may call\n"},
        {"providers: {x: {api: openai}}\n", "weir.yaml:1:13: warning: providers.x: no 'key' is "
                                            "written: it is called without one\n"},
        {"providers: {x: {api: openai, url: 'http://h:1'}}\n",
         "weir.yaml:1:13: warning: providers.x: the url has no path; OpenAI's API is mostly under "
         "/v1\n"},
        {"log: {quota: 4MiB, retention: {size: 5MiB}}\n",
         "warning: log: retention.size is above the quota, which comes first\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct loaded l;
        loaded_yaml(&l, cases[i].yaml);
        assert_int_equal(l.error, ERR_OK);
        assert_string_equal(l.warnings, cases[i].warned);
        loaded_release(&l);
    }
}

static void snapshots_live_as_long_as_their_references(void **state)
{
    (void)state;
    struct loaded l;
    loaded_yaml(&l, "data: here\n");
    struct config *second = config_get(l.config);
    assert_ptr_equal(second, l.config);
    loaded_release(&l);
    assert_str(second->data, "here");
    config_put(second);
    config_put(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_written_means_the_defaults),
        cmocka_unit_test(every_simple_key_is_read),
        cmocka_unit_test(sizes_rates_and_addresses),
        cmocka_unit_test(urls_come_apart),
        cmocka_unit_test(variables_are_replaced),
        cmocka_unit_test(providers_are_read),
        cmocka_unit_test(the_environment_brings_providers),
        cmocka_unit_test(keys_are_read),
        cmocka_unit_test(prices_are_read),
        cmocka_unit_test(the_contracts_example_passes),
        cmocka_unit_test(what_does_nothing_says_so),
        cmocka_unit_test(snapshots_live_as_long_as_their_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
