#include "tests/unit/unit.h"

#include "call/trace.h"

static const char own[] = "0123456789abcdef0123456789abcdef";

static struct trace begin(struct str header)
{
    struct trace t;
    trace_begin(&t, header, str_from_c(own));
    return t;
}

static void a_callers_trace_is_joined(void **state)
{
    (void)state;
    struct trace t = begin(STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"));
    char text[TRACEPARENT_BYTES + 1];
    assert_string_equal(t.id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_string_equal(t.parent, "00f067aa0ba902b7");
    struct str next = trace_parent_format(&t, text);
    assert_true(str_starts(next, STR("00-4bf92f3577b34da6a3ce929d0e0e4736-")));
    assert_true(str_ends(next, STR("-00")));
    assert_string_not_equal(t.span, t.parent);
}

/* https://www.w3.org/TR/trace-context/#versioning-of-traceparent */
static void what_is_not_valid_is_as_none(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "00",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct trace t = begin(str_from_c(wrong[i]));
        assert_string_equal(t.id, own);
        assert_string_equal(t.parent, "");
        assert_string_equal(t.flags, "01");
    }
}

static void a_later_version_may_say_more(void **state)
{
    (void)state;
    struct trace t = begin(STR("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"));
    assert_string_equal(t.parent, "00f067aa0ba902b7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_callers_trace_is_joined),
        cmocka_unit_test(what_is_not_valid_is_as_none),
        cmocka_unit_test(a_later_version_may_say_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
