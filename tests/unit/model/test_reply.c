/* What a model writes, taken apart; the same however its text is cut. */
#include "tests/unit/unit.h"

#include "base/buf.h"
#include "model/local/reply.h"

struct seen {
    struct buf text, reasoning, calls;
};

static void on_text(void *arg, struct str text)
{
    buf_append_str(&((struct seen *)arg)->text, text);
}

static void on_reasoning(void *arg, struct str text)
{
    buf_append_str(&((struct seen *)arg)->reasoning, text);
}

static void on_call(void *arg, struct str name, struct str arguments)
{
    buf_printf(&((struct seen *)arg)->calls, "%.*s(%.*s)", STR_ARG(name), STR_ARG(arguments));
}

static const struct reply_events events = {on_text, on_reasoning, on_call};
static const struct str tools[] = {STR_INIT("f"), STR_INIT("get_x")};

static const struct {
    const char *in, *text, *reasoning, *calls;
    bool no_tools, reasons;
} cases[] = {
    {"Hello there.", "Hello there.", "", "", false, false},
    {"a < b <tool", "a < b <tool", "", "", false, false},
    {"  \n hi ", "  \n hi ", "", "", true, false},
    {"<think>\nhm, <b>\n</think>\n\nyes", "yes", "hm, <b>", "", true, false},
    {"it is so\n</think>\nyes", "yes", "it is so", "", true, true},
    {"<think>never ends", "", "never ends", "", true, false},
    {"no <think>x</think>", "no <think>x</think>", "", "", true, false},
    {"<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>", "", "",
     "f({\"a\": 1})", false, false},
    {"I look. "
     "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n<tool_call>{\"name\":\"get_x\","
     "\"arguments\":\"{\\\"b\\\":2}\"}</tool_call>\n",
     "I look.", "", "f({})get_x({\"b\":2})", false, false},
    {"<think>call</think><tool_call>{\"name\":\"f\"}</tool_call>", "", "call", "f({})", false,
     false},
    {"<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"</tool_call>\"}}</tool_call>", "", "",
     "f({\"a\":\"</tool_call>\"})", false, false},
    {"<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}}", "", "", "f({\"a\":1})", false, false},
    {"<tool_call>{\"name\":\"f\",\"argum", "<tool_call>{\"name\":\"f\",\"argum", "", "", false,
     false},
    {"<tool_call>{\"name\":\"other\",\"arguments\":{}}</tool_call>",
     "<tool_call>{\"name\":\"other\",\"arguments\":{}}</tool_call>", "", "", false, false},
    {"<tool_call>{\"name\":\"f\",\"arguments\":[1]}</tool_call>",
     "<tool_call>{\"name\":\"f\",\"arguments\":[1]}</tool_call>", "", "", false, false},
    {"[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": 1}}, {\"name\": \"get_x\"}]", "", "",
     "f({\"a\": 1})get_x({})", false, false},
    {"[TOOL_CALLS]f[ARGS]{\"a\":1}[TOOL_CALLS]get_x[ARGS]{}", "", "", "f({\"a\":1})get_x({})",
     false, false},
    {"{\"name\": \"f\", \"parameters\": {\"a\": \"b\"}}", "", "", "f({\"a\": \"b\"})", false,
     false},
    {"<|python_tag|>{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"f\", \"parameters\": {}}",
     "", "", "f({})f({})", false, false},
    {"{\"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": {}}}", "", "",
     "f({})", false, false},
    {"```json\n{\"name\": \"f\", \"arguments\": {}}\n```", "", "", "f({})", false, false},
    {"```json\n{\"x\": 1}\n```", "```json\n{\"x\": 1}\n```", "", "", false, false},
    {"{\"x\": 1}", "{\"x\": 1}", "", "", false, false},
    {"[1, 2]", "[1, 2]", "", "", false, false},
    {"{\"name\": \"f\"}", "{\"name\": \"f\"}", "", "", true, false},
};

static void check(size_t i, size_t cut)
{
    struct seen s;
    struct reply r;
    struct str in = str_from_c(cases[i].in);
    buf_init(&s.text, 1000);
    buf_init(&s.reasoning, 1000);
    buf_init(&s.calls, 1000);
    reply_init(&r, tools, cases[i].no_tools ? 0 : 2, true, cases[i].reasons);
    for (; in.len; in = str_skip(in, cut))
        reply_push(&r, str_take(in, cut), &events, &s);
    reply_finish(&r, &events, &s);
    if (!str_eq(buf_str(&s.text), str_from_c(cases[i].text)) ||
        !str_eq(buf_str(&s.reasoning), str_from_c(cases[i].reasoning)) ||
        !str_eq(buf_str(&s.calls), str_from_c(cases[i].calls)))
        fail_msg("case %zu cut at %zu: '%s' '%s' '%s'", i, cut, buf_cstr(&s.text),
                 buf_cstr(&s.reasoning), buf_cstr(&s.calls));
    reply_release(&r);
    buf_release(&s.text);
    buf_release(&s.reasoning);
    buf_release(&s.calls);
}

static void all_forms_however_they_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t cut = 1; cut < 200; cut = cut < 12 ? cut + 1 : cut * 3)
            check(i, cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_forms_however_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
