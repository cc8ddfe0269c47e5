#include "tests/unit/unit.h"

#include "call/call_int.h"

static void every_occurrence_goes(void **state)
{
    (void)state;
    const struct str secrets[] = {STR("sk-secret-1"), STR("weir_key")};
    struct buf out BUF_AUTO;
    buf_init(&out, 1000);
    struct str text = STR("a sk-secret-1 b weir_keyweir_key sk-secret-");
    assert_true(redact_needed(text, secrets, 2));
    redact_append(&out, text, secrets, 2);
    assert_true(str_eq(buf_str(&out), STR("a *** b ****** sk-secret-")));
    assert_false(redact_needed(buf_str(&out), secrets, 2));
}

static void short_words_are_no_secrets(void **state)
{
    (void)state;
    const struct str secrets[] = {STR("a"), STR("")};
    struct buf out BUF_AUTO;
    buf_init(&out, 1000);
    assert_false(redact_needed(STR("banana"), secrets, 2));
    redact_append(&out, STR("banana"), secrets, 2);
    assert_true(str_eq(buf_str(&out), STR("banana")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_occurrence_goes),
        cmocka_unit_test(short_words_are_no_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
