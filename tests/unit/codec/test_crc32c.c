#include "tests/unit/unit.h"

#include <string.h>

#include "codec/crc32c.h"

/* RFC 3720, appendix B.4. */
static void known_checksums(void **state)
{
    (void)state;
    unsigned char bytes[32] = {0};
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
    assert_int_equal(crc32c(7, bytes, 0), 7);
}

/* Lengths around the runs that go side by side, at every alignment. */
static void instruction_and_table_agree(void **state)
{
    (void)state;
    static unsigned char bytes[40000];
    static const size_t lengths[] = {1,    7,     8,     9,     767,   768,   769,
                                     1535, 12287, 12288, 12289, 13056, 24600, 39000};
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)((x = x * 1664525 + 1013904223) >> 24);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (size_t at = 0; at < 9; at++) {
            uint32_t expected = crc32c_by_table(5, bytes + at, lengths[i]);
            assert_int_equal(crc32c(5, bytes + at, lengths[i]), expected);
            size_t half = lengths[i] / 3;
            uint32_t first = crc32c(5, bytes + at, half);
            assert_int_equal(crc32c(first, bytes + at + half, lengths[i] - half), expected);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_checksums),
        cmocka_unit_test(instruction_and_table_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
