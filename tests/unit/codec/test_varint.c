#include "tests/unit/unit.h"

#include "codec/varint.h"

static void sizes_and_bytes_match(void **state)
{
    static const int64_t values[] = {
        0,    -1,        1,         63,        64,        -64,       -65,       8191,
        8192, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 1ll << 34, 1ll << 48, 1ll << 55};
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char bytes[VARINT_MAX_BYTES];
        char *end = varint_i64_put(bytes, values[i]);
        assert_int_equal(end - bytes, varint_i64_size(values[i]));
        struct str rest = str_of(bytes, (size_t)(end - bytes));
        for (size_t cut = 0; cut < rest.len; cut++) {
            struct str part = str_take(rest, cut);
            int64_t none = 7;
            assert_int_equal(varint_i64_get(&part, &none), ERR_TRUNCATED);
            assert_int_equal(none, 7);
            assert_int_equal(part.len, cut);
        }
        int64_t back = 0;
        assert_int_equal(varint_i64_get(&rest, &back), ERR_OK);
        assert_true(back == values[i]);
        assert_int_equal(rest.len, 0);
    }
}

static void known_bytes(void **state)
{
    (void)state;
    char bytes[VARINT_MAX_BYTES];
    assert_int_equal(varint_u64_put(bytes, 300) - bytes, 2); /* the example of Protocol Buffers */
    assert_memory_equal(bytes, "\xac\x02", 2);
    assert_int_equal(varint_i64_put(bytes, -1) - bytes, 1);
    assert_memory_equal(bytes, "\x01", 1);
}

static void too_long_is_refused(void **state)
{
    (void)state;
    uint64_t u = 7;
    int32_t i = 7;
    struct str eleven = STR("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00");
    assert_int_equal(varint_u64_get(&eleven, &u), ERR_CORRUPT);
    struct str bit65 = STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");
    assert_int_equal(varint_u64_get(&bit65, &u), ERR_CORRUPT);
    struct str bit64 = STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    assert_int_equal(varint_u64_get(&bit64, &u), ERR_OK);
    assert_true(u == UINT64_MAX);
    struct str beyond32 = STR("\x80\x80\x80\x80\x10"); /* 2^32 */
    assert_int_equal(varint_i32_get(&beyond32, &i), ERR_CORRUPT);
    assert_int_equal(i, 7);
    struct str lowest = STR("\xff\xff\xff\xff\x0f");
    assert_int_equal(varint_i32_get(&lowest, &i), ERR_OK);
    assert_true(i == INT32_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_bytes_match),
        cmocka_unit_test(known_bytes),
        cmocka_unit_test(too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
