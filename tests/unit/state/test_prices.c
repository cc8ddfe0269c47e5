#include "tests/unit/unit.h"

#include "codec/digest.h"
#include "state/prices.h"
#include "tests/unit/config/loaded.h"

static struct prices *build(const char *yaml)
{
    struct loaded l;
    loaded_yaml(&l, yaml);
    assert_string_equal(l.mistakes, "");
    struct prices *p = prices_build(l.config);
    loaded_release(&l);
    return p;
}

/* The amount, or the error's name. */
static const char *cost(const struct prices *p, const char *target, struct usage usage)
{
    static char text[DECIMAL_TEXT_BYTES];
    struct cost c;
    if (usage.source == USAGE_NONE)
        usage.source = USAGE_PROVIDER;
    enum err e = prices_cost(p, str_from_c(target), &usage, &c);
    if (e != ERR_OK)
        return err_name(e);
    assert_true(str_eq(c.currency, STR("USD")));
    return decimal_format(c.amount, text).ptr;
}

/* In US dollars a million: input 1, cached 0.1, write 1.25, output 10, reasoning 12, audio 20 and
 * 40; and one with nothing but a whole. */
static const char own[] =
    "prices:\n"
    "  p/full: {input: 1, cached_input: 0.1, cache_write: 1.25, output: 10, reasoning: 12,\n"
    "           audio_in: 20, audio_out: 40}\n"
    "  p/plain: {input: 1, output: 10}\n"
    "  bare: {input: 7, output: 7}\n"
    "  openai/gpt-4o: {input: 1000, output: 1000}\n"
    "  free: {input: 0, output: 0}\n";

static void each_token_has_its_price_once(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        struct usage usage;
        const char *amount;
    } cases[] = {
        {"p/full", {.input = 1000000}, "1"},
        {"p/full", {.output = 1}, "0.00001"},
        {"p/full", {.input = 3, .output = 7}, "0.000073"},
        {"p/full", {.input = 1000, .cached_input = 1000}, "0.0001"},
        {"p/full", {.input = 1000, .cached_input = 400, .cache_write = 100}, "0.000665"},
        {"p/full", {.output = 1000, .reasoning = 900}, "0.0118"},
        {"p/full", {.input = 100, .audio_in = 60}, "0.00124"},
        {"p/full", {.output = 100, .audio_out = 100}, "0.004"},
        {"p/full", {.input = 100, .cached_input = 80, .audio_in = 50}, "0.000408"},
        {"p/full", {.output = 100, .reasoning = 100, .audio_out = 50}, "0.0012"},
        {"p/full", {.input = 0}, "0"},
        {"p/plain", {.input = 1000, .cached_input = 400, .cache_write = 100}, "0.001"},
        {"p/plain", {.output = 10, .reasoning = 5, .audio_out = 5}, "0.0001"},
        {"p/plain", {.input = 10, .audio_in = 10}, "0.00001"},
        {"x/bare", {.input = 1000000}, "7"},
        {"bare", {.input = 1000000}, "7"},
        {"local/free", {.input = 1000}, "0"},
        {"openai/gpt-4o", {.input = 1000}, "1"},
        {"p/none", {.input = 1}, "not_found"},
        {"", {.input = 1}, "not_found"},
        {"/", {.input = 1}, "not_found"},
        {"p/full", {.input = -1}, "invalid"},
        {"p/full", {.input = 1, .cached_input = 2}, "invalid"},
        {"p/full", {.output = 1, .reasoning = 2}, "invalid"},
        {"p/full", {.input = INT64_MAX}, "invalid"},
        {"p/full", {.input = INT64_MAX / 4}, "2305843009213.693951"},
    };
    struct prices *p = build(own);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (strcmp(cost(p, cases[i].target, cases[i].usage), cases[i].amount) != 0)
            fail_msg("%zu %s: %s, not %s", i, cases[i].target,
                     cost(p, cases[i].target, cases[i].usage), cases[i].amount);
    struct usage unknown = {.input = 1, .source = USAGE_NONE};
    struct cost c;
    assert_int_equal(prices_cost(p, STR("p/full"), &unknown, &c), ERR_NOT_FOUND);
    prices_put(p);
}

static void the_shipped_list_is_found_by_target_and_by_model(void **state)
{
    (void)state;
    static const struct usage thousand = {.input = 1000, .output = 1000};
    struct prices *p = build("");
    assert_true(prices_count(p) > 500);
    assert_string_equal(cost(p, "openai/gpt-5-mini", thousand), "0.00225");
    assert_string_equal(cost(p, "proxy/gpt-5-mini", thousand), "0.00225");
    assert_string_equal(cost(p, "openrouter/openai/gpt-5-mini", thousand), "0.00225");
    assert_string_equal(cost(p, "anthropic/claude-sonnet-4-5", thousand), "0.018");
    assert_string_equal(cost(p, "bedrock/claude-sonnet-4-5", thousand), "0.018");
    assert_string_equal(cost(p, "openai/ft:gpt-4o-mini-2024-07-18:acme::x1", thousand),
                        cost(p, "openai/ft:gpt-4o-mini-2024-07-18", thousand));
    assert_string_not_equal(cost(p, "openai/ft:gpt-4o-mini-2024-07-18", thousand), "not_found");
    assert_string_equal(cost(p, "local/gpt-5-mini", thousand), "not_found");
    assert_string_equal(cost(p, "gpt-5-mini", thousand), "not_found");            /* no target */
    assert_string_equal(cost(p, "vllm/llama-guard-3-8b", thousand), "not_found"); /* a host's */
    prices_put(p);
}

static void long_prompts_have_their_own_price(void **state)
{
    (void)state;
    struct prices *p = build("");
    struct usage u = {.input = 200000, .output = 1000000};
    assert_string_equal(cost(p, "gemini/gemini-2.5-pro", u), "10.25");
    u.input = 200001;
    assert_string_equal(cost(p, "gemini/gemini-2.5-pro", u), "15.5000025");
    u.cached_input = 100001;
    assert_string_equal(cost(p, "gemini/gemini-2.5-pro", u), "15.27500025");
    prices_put(p);
}

/* The most special set of prices that there is holds, and alone. */
static void tiers_have_their_own_prices(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        struct usage usage;
        const char *amount;
    } cases[] = {
        {"p/t", {.input = 1000, .cached_input = 500}, "0.000525"},
        {"p/t", {.input = 1000, .cached_input = 500, .tier = USAGE_BATCH}, "0.0005"},
        {"p/t", {.input = 1000, .tier = USAGE_FLEX}, "0.001"}, /* not on the list: as usual */
        {"p/t", {.input = 2000, .tier = USAGE_STANDARD}, "0.006"},
        {"p/t", {.input = 2000, .tier = USAGE_BATCH}, "0.001"},
        {"p/t", {.input = 2000, .tier = USAGE_PRIORITY}, "0.018"},
        {"p/w", {.input = 300, .cache_write = 300, .cache_write_1h = 100}, "0.00045"},
        {"p/w",
         {.input = 100, .cache_write = 100, .cache_write_1h = 100, .tier = USAGE_BATCH},
         "0.00005"},
        {"p/r", {.input = 10}, "0.00501"},
        {"p/r", {.input = 0}, "0.005"},
        {"p/w", {.input = 10, .cache_write = 5, .cache_write_1h = 6}, "invalid"},
        {"openai/gpt-5", {.input = 1000000, .cached_input = 500000, .tier = USAGE_FLEX}, "0.34375"},
        {"anthropic/claude-sonnet-4-5",
         {.input = 1000, .cache_write = 1000, .cache_write_1h = 1000},
         "0.006"},
        {"openai/gpt-6-astra", {.input = 300000, .tier = USAGE_PRIORITY}, "12"},
    };
    struct prices *p = build("prices:\n"
                             "  p/t: {input: 1, cached_input: 0.05, output: 2,\n"
                             "        batch: {input: 0.5, output: 1},\n"
                             "        above: {tokens: 1500, input: 3, output: 4,\n"
                             "                priority: {input: 9, output: 9}}}\n"
                             "  p/w: {input: 1, output: 1, cache_write: 1.25, cache_write_1h: 2,\n"
                             "        batch: {input: 0.5, output: 0.5}}\n"
                             "  p/r: {input: 1, output: 1, request: 0.005}\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (strcmp(cost(p, cases[i].target, cases[i].usage), cases[i].amount) != 0)
            fail_msg("%zu %s: %s, not %s", i, cases[i].target,
                     cost(p, cases[i].target, cases[i].usage), cases[i].amount);
    prices_put(p);
}

static void another_list_stands_in_for_the_shipped_one(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err error;
        size_t line;
    } cases[] = {
        {"2026-01-01.x\na/b\tinput=1\toutput=2\topaque.input=1\n", ERR_INVALID, 2},
        {"2026-01-01.x\na/b\tinput=1\toutput=2\nc/d\tinput=1\n", ERR_INVALID, 3},
        {"2026-01-01.x\na/b\tinput=-1\toutput=2\n", ERR_OUT_OF_RANGE, 2},
        {"2026-01-01.x\n\tinput=1\toutput=2\n", ERR_INVALID, 2},
        {"2026-01-01.x\na/b\tinput=1\toutput=2\tbatch.input=1\n", ERR_INVALID, 2},
        {"2026-01-01.x\na/b\tinput=1\toutput=x\n", ERR_INVALID, 2},
        {"2026-01-01.x\nopenai/gpt-5\tinput=7\toutput=8\n", ERR_OK, 0},
    };
    struct loaded l;
    struct usage thousand = {.input = 1000};
    loaded_yaml(&l, "");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct prices *p = NULL;
        size_t line = 0;
        enum err err = prices_build_from(str_from_c(cases[i].text), l.config, &line, &p);
        assert_int_equal(err, cases[i].error);
        if (err != ERR_OK) {
            assert_int_equal(line, cases[i].line);
            continue;
        }
        assert_string_equal(cost(p, "x/gpt-5", thousand), "0.007");
        assert_string_equal(cost(p, "openai/gpt-5-mini", thousand), "not_found");
        assert_true(str_eq(prices_version(p), STR("2026-01-01.x")));
        prices_put(p);
    }
    loaded_release(&l);
}

static void the_version_says_which_prices(void **state)
{
    (void)state;
    struct prices *plain = build("");
    struct prices *one = build("prices: {a/b: {input: 1, output: 2}, c: {input: 1, output: 1}}\n");
    struct prices *same =
        build("prices: {c: {input: 1.0, output: 1}, a/b: {output: 2.00, input: 1}}\n");
    struct prices *other =
        build("prices: {a/b: {input: 1, output: 3}, c: {input: 1, output: 1}}\n");
    struct str version = prices_version(plain);
    assert_int_equal(version.len, 10 + 1 + 8);
    assert_true(str_starts(prices_version(one), version));
    assert_int_equal(prices_version(one).len, version.len + 1 + 8);
    assert_true(str_eq(prices_version(one), prices_version(same)));
    assert_false(str_eq(prices_version(one), prices_version(other)));
    struct prices *again = prices_get(plain);
    prices_put(plain);
    assert_true(prices_version(again).len > 0);
    prices_put(again);
    prices_put(one);
    prices_put(same);
    prices_put(other);
    prices_put(NULL);
}

/* The list's version holds the digest of its lines: a list that was changed by hand is found out.
 */
static void the_list_is_what_its_version_says(void **state)
{
    (void)state;
    struct buf file BUF_AUTO;
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_BYTES];
    buf_init(&file, 1 << 20);
    assert_int_equal(config_source_process.file(NULL, "src/state/prices.tsv", &file), ERR_OK);
    struct str rest = buf_str(&file);
    struct str version = str_split(&rest, '\n');
    digest_sha256(rest, digest);
    hex_encode(digest, sizeof digest, hex);
    assert_true(str_eq(str_skip(version, 11), str_of(hex, 8)));
    struct prices *p = build("");
    assert_true(str_eq(prices_version(p), version));
    prices_put(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_token_has_its_price_once),
        cmocka_unit_test(the_shipped_list_is_found_by_target_and_by_model),
        cmocka_unit_test(long_prompts_have_their_own_price),
        cmocka_unit_test(tiers_have_their_own_prices),
        cmocka_unit_test(another_list_stands_in_for_the_shipped_one),
        cmocka_unit_test(the_version_says_which_prices),
        cmocka_unit_test(the_list_is_what_its_version_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
