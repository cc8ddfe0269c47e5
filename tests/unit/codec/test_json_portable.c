/* The way to skip plain text that machines without SSE2 take, beside a loop over bytes. */
#include "tests/unit/unit.h"

#undef __SSE2__
#include "codec/json_int.h"

static const char *by_bytes(const char *at, const char *end)
{
    while (at < end && !json_byte_special(*at))
        at++;
    return at;
}

/* Each byte value at each place of a word, with each byte value behind it. */
static void finds_the_first_special_byte(void **state)
{
    (void)state;
    char text[24];
    for (unsigned pair = 0; pair < 0x10000; pair++)
        for (size_t at = 0; at < 9; at++) {
            memset(text, 'x', sizeof text);
            text[at] = (char)(pair >> 8);
            text[at + 1] = (char)pair;
            for (size_t len = 16; len < 18; len++)
                assert_ptr_equal(json_plain_skip(text, text + len), by_bytes(text, text + len));
        }
}

static void reads_nothing_past_the_end(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 40; len++) {
        char *text = test_malloc(len + 1);
        memset(text, 'x', len);
        assert_ptr_equal(json_plain_skip(text, text + len), text + len);
        if (len > 0) {
            text[len - 1] = '"';
            assert_ptr_equal(json_plain_skip(text, text + len), text + len - 1);
        }
        test_free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_first_special_byte),
        cmocka_unit_test(reads_nothing_past_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
