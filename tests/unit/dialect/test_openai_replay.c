#include "tests/unit/unit.h"

#include "base/mem.h"
#include "dialect/openai_chat.h"
#include "dialect/openai_replay.h"

/* Read the events with the watcher of streams; what it collects is the answer again. */
static void replay(struct str answer, bool usage, struct buf *ret_events, struct buf *ret_answer)
{
    struct chat_stream s = {0};
    buf_init(ret_events, 1 << 20);
    buf_init(ret_answer, 1 << 20);
    assert_int_equal(openai_chat_replay(answer, 128, usage, ret_events), ERR_OK);
    openai_chat_stream_init(&s, false, 1 << 20, 128);
    struct str rest = buf_str(ret_events);
    while (rest.len) {
        ptrdiff_t end = str_find(rest, STR("\n\n"));
        assert_true(end > 6 && str_starts(rest, STR("data: ")));
        struct str data = str_skip(str_take(rest, (size_t)end), 6);
        assert_true(str_index(data, '\n') < 0);
        struct chat_event event = openai_chat_stream_feed(&s, STR_NONE, data);
        assert_false(event.malformed || event.error);
        rest = str_skip(rest, (size_t)end + 2);
    }
    assert_true(s.done && openai_chat_stream_complete(&s));
    openai_chat_stream_answer(&s, ret_answer);
    openai_chat_stream_release(&s);
}

static void check(const char *answer, bool usage, const char *expected)
{
    struct buf events BUF_AUTO;
    struct buf again BUF_AUTO;
    replay(str_from_c(answer), usage, &events, &again);
    assert_string_equal(buf_cstr(&again), expected);
}

static void text_and_usage_come_back(void **state)
{
    (void)state;
    const char *answer =
        "{\"id\":\"x\",\"object\":\"chat.completion\",\n \"created\":7,\"model\":\"m\",\"choices\":"
        "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
        "\"a\\n\\ud83d\\ude00\xc3\xa9\","
        "\"refusal\":null},\"logprobs\":{\"content\":[{\"token\":\"a\"}]},\"finish_reason\":"
        "\"stop\"}],"
        "\n\"usage\":{\"prompt_tokens\":3,\n\"completion_tokens\":4}}";
    check(
        answer, true,
        "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\\n\\ud83d"
        "\\ude00\xc3\xa9\"},\"finish_reason\":\"stop\",\"logprobs\":{\"content\":[{\"token\":\"a\"}"
        "]}}],\"id\":\"x\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"m\","
        "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}");
    struct buf events BUF_AUTO;
    struct buf again BUF_AUTO;
    replay(str_from_c(answer), false, &events, &again);
    assert_true(str_find(buf_str(&events), STR("usage")) < 0);
}

static void tools_choices_and_others(void **state)
{
    (void)state;
    check(
        "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,"
        "\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{}\"}},{\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]},"
        "\"finish_reason\":\"tool_calls\"},{\"index\":1,\"message\":{\"content\":\"\","
        "\"reasoning_content\":\"hm\",\"audio\":{\"id\":1}},\"finish_reason\":\"length\"}]}",
        false,
        "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"\","
        "\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{}\"}},{\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]},"
        "\"finish_reason\":\"tool_calls\"},{\"index\":1,\"message\":{\"role\":\"assistant\","
        "\"content\":\"\",\"reasoning_content\":\"hm\",\"audio\":{\"id\":1}},"
        "\"finish_reason\":\"length\"}]}");
}

static void completions_have_their_own_form(void **state)
{
    (void)state;
    struct buf events BUF_AUTO;
    buf_init(&events, 10000);
    assert_int_equal(
        openai_chat_replay(STR("{\"object\":\"text_completion\",\"choices\":[{\"text\":"
                               "\"hi\",\"index\":0,\"finish_reason\":\"stop\"}]}"),
                           128, false, &events),
        ERR_OK);
    assert_string_equal(
        buf_cstr(&events),
        "data: {\"choices\":[{\"index\":0,\"text\":\"hi\",\"finish_reason\":null}],"
        "\"object\":\"text_completion\"}\n\n"
        "data: {\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"stop\"}],"
        "\"object\":\"text_completion\"}\n\ndata: [DONE]\n\n");
}

/* Text is cut between characters and escapes only, wherever the boundary falls. */
static void long_text_comes_in_pieces(void **state)
{
    (void)state;
    for (size_t lead = 0; lead < 13; lead++) {
        struct buf answer BUF_AUTO;
        struct buf events BUF_AUTO;
        struct buf again BUF_AUTO;
        buf_init(&answer, 1 << 20);
        buf_append_str(&answer,
                       STR("{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                           "\"content\":\""));
        for (size_t i = 0; i < lead; i++)
            buf_append_char(&answer, 'x');
        for (int i = 0; i < 600; i++)
            buf_append_str(&answer, STR("\\ud83d\\ude00\xf0\x9f\x99\x82\\n"));
        buf_append_str(&answer, STR("\"},\"finish_reason\":\"stop\"}]}"));
        replay(buf_str(&answer), false, &events, &again);
        assert_true(str_eq(buf_str(&again), buf_str(&answer)));
    }
}

static void what_is_no_answer_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "[]",
                                        "{}",
                                        "{\"choices\":[]}",
                                        "{\"choices\":{}}",
                                        "{\"choices\":[1]}",
                                        "{\"choices\":[{\"index\":0}]}",
                                        "{\"data\":[]}",
                                        "{\"choices\":[{\"message\":{}}]"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct buf events BUF_AUTO;
        buf_init(&events, 10000);
        assert_int_equal(openai_chat_replay(str_from_c(wrong[i]), 128, true, &events), ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_usage_come_back),
        cmocka_unit_test(tools_choices_and_others),
        cmocka_unit_test(completions_have_their_own_form),
        cmocka_unit_test(long_text_comes_in_pieces),
        cmocka_unit_test(what_is_no_answer_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
