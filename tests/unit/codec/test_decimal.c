#include "tests/unit/unit.h"

#include "codec/decimal.h"

static const struct {
    const char *text;
    const char *shown; /* NULL: refused with `error` */
    enum err error;
} texts[] = {
    {"0", "0", ERR_OK},
    {"-0", "0", ERR_OK},
    {"0.000", "0", ERR_OK},
    {"1", "1", ERR_OK},
    {"007", "7", ERR_OK},
    {"100", "100", ERR_OK},
    {"0.25", "0.25", ERR_OK},
    {"2.00", "2", ERR_OK},
    {"-3.10", "-3.1", ERR_OK},
    {"1.5e-07", "0.00000015", ERR_OK},
    {"2.5E+2", "250", ERR_OK},
    {"1e3", "1000", ERR_OK},
    {"0.000000000000001", "0.000000000000001", ERR_OK},
    {"0.00000000000000100000", "0.000000000000001", ERR_OK},
    {"999999999999999999.999999999999999", "999999999999999999.999999999999999", ERR_OK},
    {"0e99", "0", ERR_OK},
    {"0.0000000000000001", NULL, ERR_OUT_OF_RANGE},
    {"1000000000000000000", NULL, ERR_OUT_OF_RANGE},
    {"1e18", NULL, ERR_OUT_OF_RANGE},
    {"1e-16", NULL, ERR_OUT_OF_RANGE},
    {"1e100", NULL, ERR_OUT_OF_RANGE},
    {"1e99999999999999999999", NULL, ERR_OUT_OF_RANGE},
    {"00000000000000000000000000000000000000000000000000000000000000001", NULL, ERR_OUT_OF_RANGE},
    {"", NULL, ERR_INVALID},
    {"-", NULL, ERR_INVALID},
    {"+1", NULL, ERR_INVALID},
    {".5", NULL, ERR_INVALID},
    {"5.", NULL, ERR_INVALID},
    {"1.2.3", NULL, ERR_INVALID},
    {"1e", NULL, ERR_INVALID},
    {"1e+-2", NULL, ERR_INVALID},
    {" 1", NULL, ERR_INVALID},
    {"1 ", NULL, ERR_INVALID},
    {"0x10", NULL, ERR_INVALID},
    {"nan", NULL, ERR_INVALID},
    {"1,5", NULL, ERR_INVALID},
};

static void reads_and_shows(void **state)
{
    (void)state;
    char text[DECIMAL_TEXT_BYTES];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct decimal d = {77};
        enum err e = decimal_parse(str_from_c(texts[i].text), &d);
        if (e != texts[i].error)
            fail_msg("'%s': %s", texts[i].text, err_name(e));
        if (e == ERR_OK)
            assert_string_equal(decimal_format(d, text).ptr, texts[i].shown);
        else
            assert_true(d.steps == 77);
    }
}

static void shows_the_extremes(void **state)
{
    (void)state;
    char text[DECIMAL_TEXT_BYTES];
    struct decimal most = {(__int128)(~(unsigned __int128)0 >> 1)};
    struct decimal least = {-most.steps - 1};
    assert_string_equal(decimal_format(most, text).ptr, "170141183460469231731687.303715884105727");
    assert_string_equal(decimal_format(least, text).ptr,
                        "-170141183460469231731687.303715884105728");
    assert_int_equal(decimal_add(most, (struct decimal){1}, &most), ERR_OUT_OF_RANGE);
}

static void prices_multiply_exactly(void **state)
{
    (void)state;
    static const struct {
        int64_t count;
        const char *price;
        const char *amount;
    } cases[] = {
        {1, "0.25", "0.00000025"},
        {3, "0.1", "0.0000003"}, /* where binary floating point says 0.30000000000000004 */
        {1000000, "2", "2"},
        {123457, "0.075", "0.009259275"},
        {7, "0.000000001", "0.000000000000007"},
        {0, "10", "0"},
        {INT64_MAX, "15", "138350580552821.637105"},
    };
    char text[DECIMAL_TEXT_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct decimal price;
        struct decimal amount;
        assert_int_equal(decimal_parse(str_from_c(cases[i].price), &price), ERR_OK);
        assert_int_equal(decimal_per_million(cases[i].count, price, &amount), ERR_OK);
        assert_string_equal(decimal_format(amount, text).ptr, cases[i].amount);
    }
    struct decimal dear;
    assert_int_equal(decimal_parse(STR("999999999999999999"), &dear), ERR_OK);
    assert_int_equal(decimal_per_million(INT64_MAX, dear, &dear), ERR_OUT_OF_RANGE);
}

static void counts_places(void **state)
{
    (void)state;
    struct decimal d;
    assert_int_equal(decimal_places(DECIMAL_ZERO), 0);
    assert_int_equal(decimal_parse(STR("12.50"), &d), ERR_OK);
    assert_int_equal(decimal_places(d), 1);
    assert_int_equal(decimal_parse(STR("0.000000000000001"), &d), ERR_OK);
    assert_int_equal(decimal_places(d), 15);
    assert_int_equal(decimal_cmp(d, DECIMAL_ZERO), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_shows),
        cmocka_unit_test(shows_the_extremes),
        cmocka_unit_test(prices_multiply_exactly),
        cmocka_unit_test(counts_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
