/* The mark of a call, found however the answer is cut. */
#include "tests/unit/unit.h"

#include "base/buf.h"
#include "model/local/call_watch.h"

static const struct {
    const char *text, *mark;
    bool at_begin;
    const char *rest; /* NULL: no call begins */
} cases[] = {
    {"<tool_call>\n{", "<tool_call>", false, "\n{"},
    {"a <tool <<tool_call>x<tool_call>y", "<tool_call>", false, "x<tool_call>y"},
    {"<tool_calx> <tool_call", "<tool_call>", false, NULL},
    {"<<<tool_call>", "<tool_call>", false, ""},
    {"aabaabaaab", "aabaaab", false, ""},
    {" \n{\"name\": \"f\"", "{\"name\": \"", true, "f\""},
    {"x {\"name\": \"f\"", "{\"name\": \"", true, NULL},
    {"{\"name\":\"f\"", "{\"name\": \"", true, NULL},
    {"", "<tool_call>", false, NULL},
};

static void the_mark_is_found_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t cut = 1; cut < 12; cut++) {
            BUF_AUTO struct buf rest;
            struct call_watch w;
            struct str begun, text = str_from_c(cases[i].text);
            bool found = false;
            buf_init(&rest, 100);
            call_watch_init(&w, str_from_c(cases[i].mark), cases[i].at_begin);
            for (; text.len; text = str_skip(text, cut)) {
                struct str piece = str_take(text, cut);
                if (found)
                    buf_append_str(&rest, piece);
                if (!call_watch_push(&w, piece, &begun))
                    continue;
                assert_false(found);
                found = true;
                buf_append_str(&rest, begun);
            }
            assert_int_equal(found, cases[i].rest != NULL);
            if (found)
                assert_string_equal(buf_cstr(&rest), cases[i].rest);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_mark_is_found_however_it_is_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
