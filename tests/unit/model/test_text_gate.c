/* Stop strings and characters across the borders of tokens. */
#include "tests/unit/unit.h"

#include "model/local/text_gate.h"

struct gate_case {
    const char *text;
    const char *stops[TEXT_STOPS_MAX];
    const char *released;
    bool stopped;
};

static const struct gate_case cases[] = {
    {"hello world", {NULL}, "hello world", false},
    {"hello STOP world", {"STOP"}, "hello ", true},
    {"hello STO", {"STOP"}, "hello STO", false},
    {"aab", {"ab"}, "a", true},
    {"aaab", {"aab"}, "a", true},
    {"abababc", {"ababc"}, "ab", true},
    {"xy", {"xy"}, "", true},
    {"one\n\ntwo", {"\n\n", "t"}, "one", true},
    {"the end", {"end", "the end"}, "", true}, /* the earlier beginning wins */
    {"a\xE2\x82\xAC"
     "b",
     {"b"},
     "a\xE2\x82\xAC",
     true},
    {"gr\xC3\xBC\xC3\x9F", {"\xC3\x9F"}, "gr\xC3\xBC", true},
    {"\xF0\x9F\x98\x80!", {NULL}, "\xF0\x9F\x98\x80!", false},
    {"cut \xF0\x9F\x98", {NULL}, "cut \xF0\x9F\x98", false},
    {"\x80\x80\x80\x80 \xFF", {NULL}, "\x80\x80\x80\x80 \xFF", false},
};

static bool ends_inside_character(struct str s)
{
    for (size_t back = 1; back <= 3 && back <= s.len; back++) {
        unsigned char c = (unsigned char)s.ptr[s.len - back];
        if (c >= 0xC0)
            return c < 0xF8 && (c >= 0xF0 ? 4u : c >= 0xE0 ? 3u : 2u) > back;
        if (c < 0x80)
            return false;
    }
    return false;
}

/* Feed the text in pieces of `step` bytes; what comes out must not depend on it. */
static void run(const struct gate_case *c, size_t step)
{
    struct str stops[TEXT_STOPS_MAX];
    size_t count = 0;
    while (count < TEXT_STOPS_MAX && c->stops[count]) {
        stops[count] = str_from_c(c->stops[count]);
        count++;
    }
    struct text_gate g;
    BUF_AUTO struct buf out;
    buf_init(&out, 1000);
    text_gate_init(&g, stops, count);
    bool stopped = false;
    for (struct str rest = str_from_c(c->text); rest.len && !stopped; rest = str_skip(rest, step)) {
        stopped = text_gate_push(&g, str_take(rest, step), &out);
        assert_true(stopped || !ends_inside_character(buf_str(&out)));
        assert_true(g.held.len <= TEXT_STOP_BYTES_MAX + 3);
    }
    if (!stopped)
        text_gate_finish(&g, &out);
    assert_int_equal(stopped, c->stopped);
    assert_string_equal(buf_cstr(&out), c->released);
    text_gate_release(&g);
}

static void any_cut_releases_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step <= 9; step++)
            run(&cases[i], step);
}

static void text_leaves_as_soon_as_it_can(void **state)
{
    (void)state;
    struct text_gate g;
    BUF_AUTO struct buf out;
    buf_init(&out, 100);
    text_gate_init(&g, (struct str[]){STR("###")}, 1);
    assert_false(text_gate_push(&g, STR("ab#"), &out));
    assert_string_equal(buf_cstr(&out), "ab");
    assert_false(text_gate_push(&g, STR("#c"), &out));
    assert_string_equal(buf_cstr(&out), "ab##c");
    assert_false(text_gate_push(&g, STR("\xE2\x82"), &out));
    assert_string_equal(buf_cstr(&out), "ab##c");
    assert_false(text_gate_push(&g, STR("\xAC"), &out));
    assert_string_equal(buf_cstr(&out), "ab##c\xE2\x82\xAC");
    text_gate_release(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_releases_the_same),
        cmocka_unit_test(text_leaves_as_soon_as_it_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
