#include "tests/unit/unit.h"

#include "base/mem.h"
#include "codec/json_scan.h"

static enum json_fault fault_of(struct str text, unsigned max_depth, size_t *ret_at)
{
    /* On the heap and exactly as long as the text, so that a sanitizer sees one byte too many. */
    char *copy = mem_alloc(text.len ? text.len : 1);
    memcpy(copy, text.ptr, text.len);
    struct json_reader r;
    json_reader_init(&r, str_of(copy, text.len), max_depth);
    bool ok = json_finish(&r);
    assert_int_equal(ok, r.fault == JSON_FAULT_NONE);
    *ret_at = r.fault_at;
    mem_free(copy);
    return r.fault;
}

/* The same by entering everything there is. */
static void walk(struct json_reader *r)
{
    struct json_value key;
    if (json_enter(r, JSON_OBJECT))
        while (json_next_member(r, &key))
            walk(r);
    else if (json_enter(r, JSON_ARRAY))
        while (json_next_element(r))
            walk(r);
    else
        json_take(r);
}

struct text_case {
    struct str text;
    enum json_fault fault;
    size_t at;
};

#define GOOD(text)                                                                                 \
    {                                                                                              \
        STR_INIT(text), JSON_FAULT_NONE, 0                                                         \
    }
#define BAD(text, fault, at)                                                                       \
    {                                                                                              \
        STR_INIT(text), JSON_FAULT_##fault, at                                                     \
    }

static const struct text_case text_cases[] = {
    GOOD("null"),
    GOOD(" true "),
    GOOD("\t\r\n false\n"),
    GOOD("0"),
    GOOD("-0"),
    GOOD("-0.0e-0"),
    GOOD("1234567890123456789012345678901234567890"),
    GOOD("1e999"),
    GOOD("0.1E+2"),
    GOOD("\"\""),
    GOOD("\"plain text of more than sixteen bytes\""),
    GOOD("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\uD83D\\uDE00\""),
    GOOD("\"\\ud800\""),
    GOOD("\"\\udc00\\ud800\\ud800\""),
    GOOD("\"\\ud800\\n\""),
    GOOD("\"\x7f\""),
    GOOD("\"gr\xC3\xBC\xC3\x9F \xE4\xBD\xA0\xE5\xA5\xBD \xF0\x9F\x98\x80\""),
    GOOD(
        "\"\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\""),
    GOOD("[]"),
    GOOD("{}"),
    GOOD("[ [ ] , { } ]"),
    GOOD("{\"a\":1,\"a\":[1,2,{\"b\":null}]}"),
    GOOD("[[],[[]],[{},{\"\":[]}],0]"),
    BAD("", EMPTY, 0),
    BAD("  \n", EMPTY, 3),
    BAD("\xEF\xBB\xBF{}", UNEXPECTED, 0),
    BAD("nul", TRUNCATED, 3),
    BAD("nulx", UNEXPECTED, 3),
    BAD("nullx", TRAILING, 4),
    BAD("True", UNEXPECTED, 0),
    BAD("01", NUMBER, 1),
    BAD("-01", NUMBER, 2),
    BAD("-", TRUNCATED, 1),
    BAD("-x", NUMBER, 1),
    BAD("1.", TRUNCATED, 2),
    BAD("1.x", NUMBER, 2),
    BAD("1e", TRUNCATED, 2),
    BAD("1e+", TRUNCATED, 3),
    BAD("[1e]", NUMBER, 3),
    BAD("+1", UNEXPECTED, 0),
    BAD(".5", UNEXPECTED, 0),
    BAD("0x10", TRAILING, 1),
    BAD("NaN", UNEXPECTED, 0),
    BAD("-Infinity", NUMBER, 1),
    BAD("\"", TRUNCATED, 1),
    BAD("\"abc", TRUNCATED, 4),
    BAD("\"abc\\", TRUNCATED, 5),
    BAD("\"abc\\\"", TRUNCATED, 6),
    BAD("\"\\x41\"", ESCAPE, 1),
    BAD("\"\\u12", TRUNCATED, 5),
    BAD("\"\\u12G4\"", ESCAPE, 1),
    BAD("\"\\u 123\"", ESCAPE, 1),
    BAD("\"\\ud800\\u12\"", ESCAPE, 7),
    BAD("\"a\nb\"", CONTROL, 2),
    BAD("\"\0\"", CONTROL, 1),
    BAD("\"\x1f\"", CONTROL, 1),
    BAD("\"0123456789abcdef\tx\"", CONTROL, 17),
    BAD("\"\x1f"
        "0123456789abcdef\"",
        CONTROL, 1),
    BAD("\"\x80\"", UTF8, 1),
    BAD("\"\xC1\x81\"", UTF8, 1),
    BAD("\"\xC3\"", UTF8, 1),
    BAD("\"\xC3", UTF8, 1),
    BAD("\"\xE0\x9F\xBF\"", UTF8, 1),
    BAD("\"\xED\xA0\x80\"", UTF8, 1),
    BAD("\"\xE4\xBD\"", UTF8, 1),
    BAD("\"\xF0\x8F\xBF\xBF\"", UTF8, 1),
    BAD("\"\xF4\x90\x80\x80\"", UTF8, 1),
    BAD("\"\xF5\x80\x80\x80\"", UTF8, 1),
    BAD("\"ok \xE4\xBD\xA0\xFF\"", UTF8, 7),
    BAD("'a'", UNEXPECTED, 0),
    BAD("[", TRUNCATED, 1),
    BAD("[1", TRUNCATED, 2),
    BAD("[1,", TRUNCATED, 3),
    BAD("[1,]", UNEXPECTED, 3),
    BAD("[,1]", UNEXPECTED, 1),
    BAD("[1 2]", UNEXPECTED, 3),
    BAD("[1}", UNEXPECTED, 2),
    BAD("[[1}]", UNEXPECTED, 3),
    BAD("{\"a\":[}}", UNEXPECTED, 6),
    BAD("]", UNEXPECTED, 0),
    BAD("[]]", TRAILING, 2),
    BAD("{", TRUNCATED, 1),
    BAD("{\"a\"", TRUNCATED, 4),
    BAD("{\"a\":", TRUNCATED, 5),
    BAD("{\"a\":1", TRUNCATED, 6),
    BAD("{\"a\":1,", TRUNCATED, 7),
    BAD("{\"a\":1,}", UNEXPECTED, 7),
    BAD("{\"a\" 1}", UNEXPECTED, 5),
    BAD("{a:1}", UNEXPECTED, 1),
    BAD("{1:1}", UNEXPECTED, 1),
    BAD("{\"a\":1]", UNEXPECTED, 6),
    BAD("{\"a\":1}{}", TRAILING, 7),
    BAD("[1]/* no */", TRAILING, 3),
    BAD("[\x0b]", UNEXPECTED, 1),
};

/* The same text skipped in one go, and as a member and an element inside others. */
static void accepts_what_the_grammar_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof text_cases / sizeof *text_cases; i++) {
        const struct text_case *c = &text_cases[i];
        size_t at = 0;
        enum json_fault fault = fault_of(c->text, 128, &at);
        if (fault != c->fault || at != c->at)
            fail_msg("%.*s: fault %d at %zu", STR_ARG(c->text), (int)fault, at);

        struct json_reader r;
        json_reader_init(&r, c->text, 128);
        walk(&r);
        json_finish(&r);
        if (r.fault != c->fault || r.fault_at != c->at)
            fail_msg("entered: %.*s", STR_ARG(c->text));

        struct buf outer BUF_AUTO;
        buf_init(&outer, 1 << 20);
        buf_append_str(&outer, STR("[{\"k\": "));
        buf_append_str(&outer, c->text);
        buf_append_str(&outer, STR("},7]"));
        fault = fault_of(buf_str(&outer), 128, &at);
        if ((fault == JSON_FAULT_NONE) != (c->fault == JSON_FAULT_NONE))
            fail_msg("inside: %.*s", STR_ARG(buf_str(&outer)));
    }
}

/* Every prefix of a text that is not a number is cut, never good. */
static void knows_when_a_text_is_cut(void **state)
{
    (void)state;
    struct str text =
        STR("{\"a\": [1.5e3, \"x\\u00e9\\n\xE4\xBD\xA0\", true, null], \"b\": {\"c\": false}}");
    for (size_t n = 0; n < text.len; n++) {
        size_t at = 0;
        enum json_fault fault = fault_of(str_take(text, n), 128, &at);
        bool in_character = fault == JSON_FAULT_UTF8 && (signed char)text.ptr[n] < 0;
        if (fault != (n ? JSON_FAULT_TRUNCATED : JSON_FAULT_EMPTY) && !in_character)
            fail_msg("prefix of %zu bytes: fault %d", n, (int)fault);
    }
}

static void bounds_the_depth(void **state)
{
    (void)state;
    char text[2 * JSON_DEPTH_MAX + 2];
    for (unsigned depth = 1; depth <= JSON_DEPTH_MAX; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        size_t at = 0;
        assert_int_equal(fault_of(str_of(text, 2 * depth), depth, &at), JSON_FAULT_NONE);
        if (depth > 1) {
            assert_int_equal(fault_of(str_of(text, 2 * depth), depth - 1, &at), JSON_FAULT_DEPTH);
            assert_int_equal(at, depth - 1);
        }
    }
}

static void depth_counts_entered_containers(void **state)
{
    (void)state;
    struct json_reader r;
    json_reader_init(&r, STR("[[[1]]]"), 2);
    assert_true(json_enter(&r, JSON_ARRAY));
    assert_true(json_next_element(&r));
    assert_true(json_enter(&r, JSON_ARRAY));
    assert_true(json_next_element(&r));
    assert_false(json_enter(&r, JSON_ARRAY));
    assert_int_equal(r.fault, JSON_FAULT_DEPTH);
    assert_int_equal(r.fault_at, 2);
    assert_false(json_next_element(&r));
    assert_false(json_finish(&r));
    json_reader_init(&r, STR("[[[1]]]"), 2);
    assert_true(json_enter(&r, JSON_ARRAY));
    assert_true(json_next_element(&r));
    assert_int_equal(json_take(&r).kind, JSON_NONE);
    assert_int_equal(r.fault, JSON_FAULT_DEPTH);
}

/* A member of every kind, read by entering, taking and leaving alone. */
static void hands_out_members(void **state)
{
    (void)state;
    struct str text = STR(" {\"a\" : 1 , \"b\":[ 10,[20],{} ], \"c\":{\"d\":\"e\"},\"skip\":[{}],"
                          "\"n\":null,\"t\":true,\"f\":false } ");
    struct json_reader r;
    struct json_value key, value;
    json_reader_init(&r, text, 8);
    assert_int_equal(json_peek(&r), JSON_OBJECT);
    assert_false(json_enter(&r, JSON_ARRAY));
    assert_true(json_enter(&r, JSON_OBJECT));
    assert_int_equal(json_peek(&r), JSON_NONE);
    assert_int_equal(json_take(&r).kind, JSON_NONE);

    assert_true(json_next_member(&r, &key));
    assert_true(json_eq(&key, STR("a")));
    value = json_take(&r);
    assert_int_equal(value.kind, JSON_NUMBER);
    assert_true(str_eq(value.raw, STR("1")));

    assert_true(json_next_member(&r, &key));
    assert_true(json_enter(&r, JSON_ARRAY));
    assert_true(json_next_element(&r));
    assert_true(json_next_element(&r));
    value = json_take(&r);
    assert_true(str_eq(value.raw, STR("[20]")));
    assert_true(json_next_element(&r));
    assert_true(json_enter(&r, JSON_OBJECT));
    assert_false(json_next_member(&r, &key));
    assert_false(json_next_element(&r));

    assert_true(json_next_member(&r, &key));
    assert_true(json_eq(&key, STR("c")));
    value = json_take(&r);
    assert_int_equal(value.kind, JSON_OBJECT);
    assert_true(str_eq(value.raw, STR("{\"d\":\"e\"}")));

    const enum json_kind kinds[] = {JSON_ARRAY, JSON_NULL, JSON_TRUE, JSON_FALSE};
    for (size_t i = 0; i < 4; i++) {
        assert_true(json_next_member(&r, &key));
        assert_int_equal(json_peek(&r), kinds[i]);
    }
    assert_false(json_next_member(&r, &key));
    assert_int_equal(r.depth, 0);
    assert_true(json_finish(&r));
}

static void faults_stick(void **state)
{
    (void)state;
    struct json_reader r;
    struct json_value key;
    json_reader_init(&r, STR("{\"a\":01,\"b\":2}"), 8);
    assert_true(json_enter(&r, JSON_OBJECT));
    assert_true(json_next_member(&r, &key));
    assert_int_equal(json_take(&r).kind, JSON_NONE);
    assert_false(json_next_member(&r, &key));
    assert_false(json_enter(&r, JSON_OBJECT));
    assert_int_equal(json_peek(&r), JSON_NONE);
    assert_int_equal(json_reader_error(&r), ERR_INVALID);
    struct buf text BUF_AUTO;
    buf_init(&text, 100);
    json_fault_describe(&r, &text);
    assert_string_equal(buf_cstr(&text), "malformed number, at byte 6");
}

static void keys_compare_unescaped(void **state)
{
    (void)state;
    static const struct {
        struct str text, is;
        bool equal;
    } cases[] = {
        {STR_INIT("\"model\""), STR_INIT("model"), true},
        {STR_INIT("\"mod\\u0065l\""), STR_INIT("model"), true},
        {STR_INIT("\"\\u006d\\u006F\\u0064\\u0065\\u006c\""), STR_INIT("model"), true},
        {STR_INIT("\"mod\\u0065\""), STR_INIT("model"), false},
        {STR_INIT("\"mod\\u0045l\""), STR_INIT("model"), false},
        {STR_INIT("\"mode\""), STR_INIT("model"), false},
        {STR_INIT("\"\""), STR_INIT(""), true},
        {STR_INIT("\"\\/\\\"\\\\\""), STR_INIT("/\"\\"), true},
        {STR_INIT("\"\\uD83D\\uDE00\""), STR_INIT("\xF0\x9F\x98\x80"), true},
        {STR_INIT("\"\\ud83d\""), STR_INIT("\xEF\xBF\xBD"), true},
        {STR_INIT("12"), STR_INIT(""), false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_value value = {0};
        assert_int_equal(json_validate(cases[i].text, 1, &value), ERR_OK);
        if (json_eq(&value, cases[i].is) != cases[i].equal)
            fail_msg("%.*s", STR_ARG(cases[i].text));
    }
}

static void strings_unescape(void **state)
{
    (void)state;
    static const struct {
        struct str text, plain;
    } cases[] = {
        {STR_INIT("\"\""), STR_INIT("")},
        {STR_INIT("\"abc\""), STR_INIT("abc")},
        {STR_INIT("\"\\b\\f\\n\\r\\t\\\"\\\\\\/\""), STR_INIT("\b\f\n\r\t\"\\/")},
        {STR_INIT("\"\\u0000x\""), STR_INIT("\0x")},
        {STR_INIT("\"\\u00e9\\u4F60\\ud83d\\ude00!\""),
         STR_INIT("\xC3\xA9\xE4\xBD\xA0\xF0\x9F\x98\x80!")},
        {STR_INIT("\"\\ud83d\\ud83d\\ude00\""), STR_INIT("\xEF\xBF\xBD\xF0\x9F\x98\x80")},
        {STR_INIT("\"\\ude00\\n\\ud83dx\""), STR_INIT("\xEF\xBF\xBD\n\xEF\xBF\xBDx")},
        {STR_INIT("\"\xE4\xBD\xA0\\n\xE5\xA5\xBD\""), STR_INIT("\xE4\xBD\xA0\n\xE5\xA5\xBD")},
    };
    struct arena arena;
    arena_init(&arena);
    struct buf out BUF_AUTO;
    buf_init(&out, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_value value = {0};
        assert_int_equal(json_validate(cases[i].text, 1, &value), ERR_OK);
        assert_int_equal(json_text_len(&value), cases[i].plain.len);
        assert_true(str_eq(json_text(&value, &arena), cases[i].plain));
        buf_reset(&out);
        json_text_append(&value, &out);
        assert_true(str_eq(buf_str(&out), cases[i].plain));
    }
    arena_release(&arena);
}

static void numbers_become_integers(void **state)
{
    (void)state;
    static const struct {
        struct str text;
        enum err error;
        int64_t value;
    } cases[] = {
        {STR_INIT("0"), ERR_OK, 0},
        {STR_INIT("-0"), ERR_OK, 0},
        {STR_INIT("-12"), ERR_OK, -12},
        {STR_INIT("9223372036854775807"), ERR_OK, INT64_MAX},
        {STR_INIT("9223372036854775808"), ERR_OUT_OF_RANGE, 0},
        {STR_INIT("1e3"), ERR_OK, 1000},
        {STR_INIT("10.0"), ERR_OK, 10},
        {STR_INIT("1.5"), ERR_INVALID, 0},
        {STR_INIT("1e-3"), ERR_INVALID, 0},
        {STR_INIT("1e17"), ERR_OUT_OF_RANGE, 0},
        {STR_INIT("1e300"), ERR_OUT_OF_RANGE, 0},
        {STR_INIT("1e999"), ERR_OUT_OF_RANGE, 0},
        {STR_INIT("12.00000000000000000000000000000000000000000000000000000000000000000000000000"),
         ERR_OK, 12},
        {STR_INIT("\"1\""), ERR_INVALID, 0},
        {STR_INIT("true"), ERR_INVALID, 0},
        {STR_INIT("null"), ERR_INVALID, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_value value = {0};
        int64_t number = 77;
        assert_int_equal(json_validate(cases[i].text, 1, &value), ERR_OK);
        if (json_to_i64(&value, &number) != cases[i].error)
            fail_msg("%.*s", STR_ARG(cases[i].text));
        assert_true(number == (cases[i].error == ERR_OK ? cases[i].value : 77));
    }
    struct json_value absent = {0};
    int64_t number;
    bool flag = true;
    assert_int_equal(json_to_i64(&absent, &number), ERR_INVALID);
    assert_int_equal(json_to_bool(&absent, &flag), ERR_INVALID);
}

static void paths_are_followed(void **state)
{
    (void)state;
    struct str text =
        STR("{\"a\":[{\"b\":1},{\"b\":\"x\",\"b\":\"y\"}],\"\":{\"c\\u002e\":3},\"z\":0}");
    struct json_value value = {0};
    assert_true(json_find(text, "a.1.b", &value));
    assert_true(json_eq(&value, STR("y")));
    assert_true(json_find(text, "z", &value));
    assert_true(json_find(text, "", &value));
    assert_int_equal(value.kind, JSON_OBJECT);
    assert_false(json_find(text, "a.2.b", &value));
    assert_false(json_find(text, "a.b", &value));
    assert_false(json_find(text, "z.0", &value));
    assert_false(json_find(STR("{\"a\":1"), "a", &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_what_the_grammar_does),
        cmocka_unit_test(knows_when_a_text_is_cut),
        cmocka_unit_test(bounds_the_depth),
        cmocka_unit_test(depth_counts_entered_containers),
        cmocka_unit_test(hands_out_members),
        cmocka_unit_test(faults_stick),
        cmocka_unit_test(keys_compare_unescaped),
        cmocka_unit_test(strings_unescape),
        cmocka_unit_test(numbers_become_integers),
        cmocka_unit_test(paths_are_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
