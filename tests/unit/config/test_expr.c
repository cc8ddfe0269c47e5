/* Conditions: what they say of calls, and what is wrong with those that say nothing. */
#include "tests/unit/unit.h"

#include "base/buf.h"
#include "config/expr.h"
#include "os/random.h"

static const char metadata[] =
    "{\"tier\":\"gold\",\"level\":3,\"size\":\"12\",\"beta\":true,\"flag\":"
    "\"true\",\"no\":null,\"list\":[1],\"a b\":\"x\",\"q\":\"\\u0061\"}";

static struct expr_facts facts(void)
{
    struct expr_facts f = {
        .model = STR("smart"),
        .endpoint = STR("chat"),
        .key = STR("web"),
        .tokens = 9000,
        .stream = true,
    };
    assert_int_equal(json_validate(str_from_c(metadata), 8, &f.metadata), ERR_OK);
    return f;
}

static bool holds(const char *text)
{
    struct arena a;
    struct expr *e;
    struct expr_mistake wrong;
    struct expr_facts f = facts();
    arena_init(&a);
    enum err err = expr_parse(str_from_c(text), &a, &e, &wrong);
    if (err != ERR_OK)
        fail_msg("%s: at %zu: %s", text, wrong.at, wrong.what);
    bool result = expr_holds(e, &f, &a);
    arena_release(&a);
    return result;
}

static void what_holds(void **state)
{
    static const char *const yes[] = {
        "tokens > 8000 && metadata.tier == 'gold'",
        "tokens == 9e3",
        "tokens >= 9000 && tokens <= 9000 && !(tokens < 9000) && tokens != 1",
        "stream",
        "stream == true",
        "!(stream == false)",
        "endpoint == \"chat\"",
        "endpoint in ['chat', 'messages']",
        "model ~ 'sm*'",
        "model ~ '?mart'",
        "key != 'other'",
        "user == null",
        "metadata.none == null",
        "metadata.no == null",
        "metadata.none != 'x'",
        "metadata.level == 3",
        "metadata.level in [1, 2, 3]",
        "metadata.size == 12",
        "metadata.size > 11.5",
        "metadata.size == '12'",
        "metadata.beta",
        "metadata.flag",
        "metadata.beta == true && metadata.flag == true",
        "metadata['a b'] == 'x'",
        "metadata.q == 'a'",
        "metadata.tier == metadata.tier",
        "false || true && true",
        "true || false && false",
        "!!stream",
        "'it\\'s' == 'it\\'s'",
        "  tokens>8000&&stream  ",
    };
    static const char *const no[] = {
        "tokens > 9000",         "!stream",
        "metadata.none > 1",     "metadata.none < 1",
        "metadata.none",         "metadata.tier > 1",
        "metadata.list == 1",    "metadata.list == null",
        "metadata.tier == null", "metadata.tier in []",
        "user == 'x'",           "user ~ '*'",
        "model ~ 'sm'",          "(true || false) && false",
        "metadata.level ~ '4*'",
    };
    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (!holds(yes[i]))
            fail_msg("does not hold: %s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (holds(no[i]))
            fail_msg("holds: %s", no[i]);
}

static void what_is_wrong(void **state)
{
    static const struct {
        const char *text;
        size_t at;
        const char *says;
    } cases[] = {
        {"", 0, "value is missing"},
        {"tokens", 0, "no condition"},
        {"tokens >", 8, "value is missing"},
        {"tokens > 'a'", 7, "compare numbers"},
        {"model > 3", 6, "compare numbers"},
        {"model == 3", 6, "never equal"},
        {"tokens ~ 'x'", 7, "pattern"},
        {"model ~ key", 6, "pattern"},
        {"modle == 'x'", 0, "unknown name 'modle'"},
        {"metadata == 'x'", 8, "metadata.NAME"},
        {"metadata. == 'x'", 8, "metadata.NAME"},
        {"metadata[x]", 9, "quotes"},
        {"model == 'x", 9, "closing '"},
        {"(stream", 7, "')' is missing"},
        {"stream)", 6, "not understood"},
        {"stream stream", 7, "not understood"},
        {"stream & stream", 7, "not understood"},
        {"tokens > 01", 9, "not a number"},
        {"tokens > 1x", 9, "not a number"},
        {"tokens && stream", 0, "no condition"},
        {"stream || tokens", 10, "no condition"},
        {"!tokens", 1, "no condition"},
        {"model in ['a' 'b']", 14, "',' or ']'"},
        {"model in [key]", 10, "a list holds"},
        {"model in 'a'", 9, "wants a list"},
        {"model = 'a'", 6, "not understood"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena a;
        struct expr *e;
        struct expr_mistake wrong;
        arena_init(&a);
        assert_int_equal(expr_parse(str_from_c(cases[i].text), &a, &e, &wrong), ERR_INVALID);
        if (wrong.at != cases[i].at || !strstr(wrong.what, cases[i].says))
            fail_msg("%s: at %zu: %s", cases[i].text, wrong.at, wrong.what);
        arena_release(&a);
    }
}

static void deep_and_long_ones_have_their_bounds(void **state)
{
    struct arena a;
    struct expr *e;
    struct expr_mistake wrong;
    struct expr_facts f = facts();
    char text[EXPR_BYTES_MAX + 2];
    (void)state;
    arena_init(&a);
    memset(text, '!', sizeof text);
    assert_int_equal(expr_parse(str_of(text, 200), &a, &e, &wrong), ERR_INVALID);
    assert_non_null(strstr(wrong.what, "32 levels"));
    memset(text, '(', sizeof text);
    assert_int_equal(expr_parse(str_of(text, EXPR_BYTES_MAX), &a, &e, &wrong), ERR_INVALID);
    assert_int_equal(expr_parse(str_of(text, sizeof text), &a, &e, &wrong), ERR_INVALID);
    assert_non_null(strstr(wrong.what, "4096 bytes"));
    struct buf many BUF_AUTO;
    buf_init(&many, EXPR_BYTES_MAX);
    buf_append_str(&many, STR("tokens in [0"));
    for (int i = 0; i < 500; i++)
        buf_append_str(&many, STR(",1"));
    buf_append_str(&many, STR(",9000]"));
    assert_int_equal(expr_parse(buf_str(&many), &a, &e, &wrong), ERR_OK);
    assert_true(expr_holds(e, &f, &a));
    buf_reset(&many);
    buf_append_str(&many, STR("1 in ["));
    for (int i = 0; i < 600; i++)
        buf_append_str(&many, STR("1,"));
    buf_append_str(&many, STR("1]"));
    assert_int_equal(expr_parse(buf_str(&many), &a, &e, &wrong), ERR_INVALID);
    assert_non_null(strstr(wrong.what, "more than 512"));
    arena_release(&a);
}

/* Any text ends in a mistake or in a condition that has an answer. */
static void random_texts_end(void **state)
{
    static const char *const words[] = {"tokens", "metadata", ".",  "a",  "(",    ")",  "[",
                                        "]",      "'",        "&&", "||", "!",    "==", "<",
                                        "~",      "in",       ",",  "1",  "true", " ",  "\\"};
    unsigned good = 0;
    (void)state;
    os_random_seed(7);
    for (int i = 0; i < 200000; i++) {
        BUF_AUTO struct buf text = {.max = 128};
        struct arena a;
        struct expr *e;
        struct expr_mistake wrong;
        struct expr_facts f = facts();
        for (unsigned n = (unsigned)(os_random_u64() % 8) + 1; n; n--)
            buf_append_str(&text,
                           str_from_c(words[os_random_u64() % (sizeof words / sizeof words[0])]));
        arena_init(&a);
        if (expr_parse(buf_str(&text), &a, &e, &wrong) == ERR_OK) {
            good++;
            (void)expr_holds(e, &f, &a);
        } else {
            assert_true(wrong.at <= text.len);
        }
        arena_release(&a);
    }
    assert_true(good > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_holds),
        cmocka_unit_test(what_is_wrong),
        cmocka_unit_test(deep_and_long_ones_have_their_bounds),
        cmocka_unit_test(random_texts_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
