#include "tests/unit/unit.h"

#include "codec/utf8.h"

static void table_3_7_is_kept(void **state)
{
    (void)state;
    assert_true(utf8_valid(STR("")));
    assert_true(utf8_valid(STR("plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80")));
    assert_true(utf8_valid(STR("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf")));
    static const struct str wrong[] = {
        STR_INIT("\x80"),             /* nothing begins */
        STR_INIT("\xc0\x80"),         /* overlong */
        STR_INIT("\xe0\x80\x80"),     /* overlong */
        STR_INIT("\xed\xa0\x80"),     /* surrogate */
        STR_INIT("\xf0\x80\x80\x80"), /* overlong */
        STR_INIT("\xf4\x90\x80\x80"), /* above U+10FFFF */
        STR_INIT("\xf5\x80\x80\x80"),
        STR_INIT("\xe2\x82"), /* cut */
        STR_INIT("\xe2(\xa1"),
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(utf8_valid(wrong[i]));
}

static void a_cut_character_is_seen(void **state)
{
    (void)state;
    assert_int_equal(utf8_incomplete_tail(STR("a\xf0\x9f\x98")), 3);
    assert_int_equal(utf8_incomplete_tail(STR("a\xe2\x82")), 2);
    assert_int_equal(utf8_incomplete_tail(STR("a\xc3")), 1);
    assert_int_equal(utf8_incomplete_tail(STR("a\xe2\x82\xac")), 0);
    assert_int_equal(utf8_incomplete_tail(STR("a\xff")), 0);
    assert_int_equal(utf8_incomplete_tail(STR("")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_3_7_is_kept),
        cmocka_unit_test(a_cut_character_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
