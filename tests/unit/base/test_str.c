#include "tests/unit/unit.h"

#include "base/buf.h"
#include "base/str.h"

static void splits_into_every_part(void **state)
{
    (void)state;
    struct str rest = STR("a,,b");
    assert_true(str_eq(str_split(&rest, ','), STR("a")));
    assert_true(str_eq(str_split(&rest, ','), STR("")));
    assert_true(str_eq(str_split(&rest, ','), STR("b")));
    assert_null(rest.ptr);
}

static void numbers_are_checked(void **state)
{
    (void)state;
    uint64_t u = 7;
    assert_int_equal(str_to_u64(STR("18446744073709551615"), &u), ERR_OK);
    assert_true(u == UINT64_MAX);
    assert_int_equal(str_to_u64(STR("18446744073709551616"), &u), ERR_OUT_OF_RANGE);
    assert_int_equal(str_to_u64(STR("1x"), &u), ERR_INVALID);
    assert_int_equal(str_to_u64(STR(""), &u), ERR_INVALID);
    assert_true(u == UINT64_MAX);
}

static void distance_counts_edits(void **state)
{
    (void)state;
    assert_int_equal(str_distance(STR("listen"), STR("lsiten")), 1);
    assert_int_equal(str_distance(STR("listen"), STR("listen")), 0);
    assert_int_equal(str_distance(STR("abc"), STR("xyz")), 3);
}

static void buffer_stops_at_its_maximum(void **state)
{
    (void)state;
    struct buf b BUF_AUTO;
    buf_init(&b, 8);
    buf_append_str(&b, STR("12345"));
    buf_append_str(&b, STR("6789"));
    assert_int_equal(b.error, ERR_TOO_LARGE);
    buf_append_char(&b, 'x');
    assert_true(str_eq(buf_str(&b), STR("12345")));
    buf_reset(&b);
    buf_append_i64(&b, INT64_MIN / 1000000000000);
    assert_int_equal(b.error, ERR_OK);
    assert_true(str_eq(buf_str(&b), STR("-9223372")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_into_every_part),
        cmocka_unit_test(numbers_are_checked),
        cmocka_unit_test(distance_counts_edits),
        cmocka_unit_test(buffer_stops_at_its_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
