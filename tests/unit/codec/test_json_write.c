#include "tests/unit/unit.h"

#include "codec/json_scan.h"
#include "codec/json_write.h"

static void commas_come_by_themselves(void **state)
{
    (void)state;
    struct buf out BUF_AUTO;
    buf_init(&out, 1000);
    struct json_writer w;
    json_writer_init(&w, &out);
    json_object_begin(&w);
    json_member_str(&w, STR("a"), STR("x"));
    json_key(&w, STR("b"));
    json_array_begin(&w);
    json_object_begin(&w);
    json_object_end(&w);
    json_array_begin(&w);
    json_array_end(&w);
    json_i64(&w, INT64_MIN);
    json_u64(&w, UINT64_MAX);
    json_bool(&w, true);
    json_null(&w);
    json_raw(&w, STR("1.50"));
    json_array_end(&w);
    json_member_str_or_null(&w, STR("n"), STR_NONE);
    json_member_str_or_null(&w, STR("e"), STR(""));
    json_member_bool(&w, STR("f"), false);
    json_member_raw(&w, STR("r"), STR("{\"q\":[]}"));
    json_member_i64(&w, STR("i"), -1);
    json_member_u64(&w, STR("u"), 1);
    json_object_end(&w);
    assert_string_equal(buf_cstr(&out),
                        "{\"a\":\"x\",\"b\":[{},[],-9223372036854775808,18446744073709551615,true,"
                        "null,1.50],\"n\":null,\"e\":\"\",\"f\":false,\"r\":{\"q\":[]},\"i\":-1,"
                        "\"u\":1}");
}

static void strings_are_escaped(void **state)
{
    (void)state;
    static const struct {
        struct str text, escaped;
    } cases[] = {
        {STR_INIT(""), STR_INIT("")},
        {STR_INIT("a text longer than sixteen bytes"),
         STR_INIT("a text longer than sixteen bytes")},
        {STR_INIT("\"\\/"), STR_INIT("\\\"\\\\/")},
        {STR_INIT("\b\f\n\r\t"), STR_INIT("\\b\\f\\n\\r\\t")},
        {STR_INIT("\0\x01\x1f\x7f"), STR_INIT("\\u0000\\u0001\\u001f\x7f")},
        {STR_INIT("0123456789abcdef\n0123456789abcdef\""),
         STR_INIT("0123456789abcdef\\n0123456789abcdef\\\"")},
        {STR_INIT("gr\xC3\xBC\xC3\x9F\n\xE4\xBD\xA0\xF0\x9F\x98\x80"),
         STR_INIT("gr\xC3\xBC\xC3\x9F\\n\xE4\xBD\xA0\xF0\x9F\x98\x80")},
        {STR_INIT("a\x80z"), STR_INIT("a\xEF\xBF\xBDz")},
        {STR_INIT("\xED\xA0\x80"), STR_INIT("\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD")},
        {STR_INIT("cut \xE4\xBD"), STR_INIT("cut \xEF\xBF\xBD\xEF\xBF\xBD")},
        {STR_INIT("\xFF\""), STR_INIT("\xEF\xBF\xBD\\\"")},
    };
    struct buf out BUF_AUTO;
    buf_init(&out, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_reset(&out);
        json_escape_append(&out, cases[i].text);
        if (!str_eq(buf_str(&out), cases[i].escaped))
            fail_msg("case %zu: %.*s", i, STR_ARG(buf_str(&out)));
    }
}

/* Any bytes become valid JSON, and valid UTF-8 comes back as it was. */
static void every_byte_pair_survives(void **state)
{
    (void)state;
    struct buf out BUF_AUTO, back BUF_AUTO;
    buf_init(&out, 1000);
    buf_init(&back, 1000);
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        char bytes[2] = {(char)(pair >> 8), (char)pair};
        struct json_writer w;
        struct json_value value = {0};
        buf_reset(&out);
        buf_reset(&back);
        json_writer_init(&w, &out);
        json_str(&w, str_of(bytes, 2));
        assert_int_equal(json_validate(buf_str(&out), 1, &value), ERR_OK);
        json_text_append(&value, &back);
        bool ascii = bytes[0] >= 0 && bytes[1] >= 0;
        bool two = (pair >> 8) >= 0xC2 && (pair >> 8) <= 0xDF && (pair & 0xC0) == 0x80;
        assert_int_equal(str_eq(buf_str(&back), str_of(bytes, 2)), ascii || two);
    }
}

static void doubles_read_back(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {0.1, "0.1"},
        {-2.5, "-2.5"},
        {1e300, "1e+300"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"},
        {__builtin_inf(), "null"},
        {__builtin_nan(""), "null"},
    };
    struct buf out BUF_AUTO;
    buf_init(&out, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_writer w;
        buf_reset(&out);
        json_writer_init(&w, &out);
        json_double(&w, cases[i].value);
        assert_string_equal(buf_cstr(&out), cases[i].text);
    }
}

static void errors_stay_in_the_buffer(void **state)
{
    (void)state;
    struct buf out BUF_AUTO;
    buf_init(&out, 8);
    struct json_writer w;
    json_writer_init(&w, &out);
    json_str(&w, STR("0123456789\n\xE4\xBD\xA0\xFF"));
    assert_int_equal(out.error, ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_come_by_themselves), cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(every_byte_pair_survives),  cmocka_unit_test(doubles_read_back),
        cmocka_unit_test(errors_stay_in_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
