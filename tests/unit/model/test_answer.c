/* Answers in OpenAI's form, read back by the dialect that the gateway reads every provider with. */
#include "tests/unit/unit.h"

#include <math.h>

#include "codec/json_scan.h"
#include "model/local/answer.h"

static void write_answer(struct answer *a, bool stream, bool usage, struct buf *out)
{
    static const struct answer_usage used = {7, 4, 3};
    struct answer_choice c;
    *a = (struct answer){.stream = stream, .include_usage = usage};
    answer_init(a, ANSWER_CHAT, STR("chatcmpl-1"), STR("mo\"del"), 1700000000);
    answer_choice_init(&c, 0);
    answer_begin(a, &c, out);
    answer_text(a, &c, STR("a\"\n"), out);
    answer_text(a, &c, STR(""), out);
    answer_text(a, &c, STR("\xE2\x82\xAC\xFF"), out);
    answer_choice_end(a, &c, STR("stop"), out);
    if (!stream) {
        answer_choices_begin(a, out);
        answer_choice_write(a, &c, out);
    }
    answer_end(a, &used, out);
    answer_choice_release(&c);
    answer_release(a);
}

static struct str text_at(struct str json, const char *path, struct arena *arena)
{
    struct json_value v;
    return json_find(json, path, &v) ? json_text(&v, arena) : STR_NONE;
}

static int64_t number_at(struct str json, const char *path)
{
    struct json_value v;
    int64_t n = -1;
    if (!json_find(json, path, &v) || json_to_i64(&v, &n) != ERR_OK)
        return -1;
    return n;
}

static void an_answer_in_one_piece(void **state)
{
    struct answer a;
    struct json_value whole;
    struct arena arena;
    (void)state;
    BUF_AUTO struct buf out;
    buf_init(&out, 10000);
    arena_init(&arena);
    write_answer(&a, false, false, &out);
    struct str json = buf_str(&out);
    assert_int_equal(json_validate(json, 10, &whole), ERR_OK);
    assert_true(str_eq(text_at(json, "object", &arena), STR("chat.completion")));
    assert_true(str_eq(text_at(json, "model", &arena), STR("mo\"del")));
    assert_true(str_eq(text_at(json, "choices.0.message.content", &arena),
                       STR("a\"\n\xE2\x82\xAC\xEF\xBF\xBD")));
    assert_true(str_eq(text_at(json, "choices.0.finish_reason", &arena), STR("stop")));
    assert_int_equal(number_at(json, "usage.prompt_tokens"), 7);
    assert_int_equal(number_at(json, "usage.completion_tokens"), 3);
    assert_int_equal(number_at(json, "usage.total_tokens"), 10);
    assert_int_equal(number_at(json, "usage.prompt_tokens_details.cached_tokens"), 4);
    assert_int_equal(number_at(json, "created"), 1700000000);
    arena_release(&arena);
}

/* Every event is "data: " and one line of JSON; returns how many there are without [DONE]. */
static unsigned check_events(struct str bytes, struct buf *content, int64_t *total)
{
    unsigned count = 0;
    struct arena arena;
    arena_init(&arena);
    while (bytes.len) {
        ptrdiff_t end = str_find(bytes, STR("\n\n"));
        assert_true(end > 0);
        struct str event = str_take(bytes, (size_t)end);
        bytes = str_skip(bytes, (size_t)end + 2);
        assert_true(str_starts(event, STR("data: ")));
        event = str_skip(event, 6);
        if (str_eq(event, STR("[DONE]"))) {
            assert_int_equal(bytes.len, 0);
            break;
        }
        struct json_value whole;
        assert_int_equal(json_validate(event, 10, &whole), ERR_OK);
        buf_append_str(content, text_at(event, "choices.0.delta.content", &arena));
        *total = number_at(event, "usage.total_tokens");
        count++;
    }
    arena_release(&arena);
    return count;
}

static void a_stream_of_events(void **state)
{
    struct answer a;
    (void)state;
    for (int usage = 0; usage < 2; usage++) {
        int64_t total = 0;
        BUF_AUTO struct buf out;
        BUF_AUTO struct buf content;
        buf_init(&out, 10000);
        buf_init(&content, 1000);
        write_answer(&a, true, usage, &out);
        /* role, two texts, finish; and usage */
        assert_int_equal(check_events(buf_str(&out), &content, &total), 4 + usage);
        assert_string_equal(buf_cstr(&content), "a\"\n\xE2\x82\xAC\xEF\xBF\xBD");
        assert_int_equal(total, usage ? 10 : -1);
        assert_int_equal(str_find(buf_str(&out), STR("\"usage\"")) >= 0, usage);
    }
}

/* Two choices, logprobs, a tool call and reasoning; the same in one piece and in events. */
static void write_all(bool stream, enum answer_form form, struct buf *out)
{
    static const struct answer_usage used = {1, 0, 2};
    static const struct answer_logprob token = {STR_INIT("\xE2\x82"), -0.5f},
                                       top[] = {{STR_INIT("b"), -0.25f},
                                                {STR_INIT("\xE2\x82"), -INFINITY}};
    struct answer a = {.stream = stream, .logprobs = true};
    struct answer_choice c[2];
    answer_init(&a, form, STR("id"), STR("m"), 1);
    for (unsigned i = 0; i < 2; i++)
        answer_choice_init(&c[i], i);
    answer_begin(&a, &c[1], out);
    answer_token(&a, &c[1], &token, form == ANSWER_CHAT, top, 2);
    answer_text(&a, &c[1], STR("x"), out);
    answer_begin(&a, &c[0], out);
    if (form == ANSWER_CHAT) {
        answer_reasoning(&a, &c[0], STR("why"), out);
        answer_call_begin(&a, &c[0], STR("call_1"), STR("f"), out);
        answer_call_arguments(&a, &c[0], STR("{\"a\":"), out);
        answer_call_arguments(&a, &c[0], STR("1}"), out);
        answer_call_end(&a, &c[0]);
    }
    for (unsigned i = 0; i < 2; i++)
        answer_choice_end(&a, &c[i], i ? STR("stop") : STR("tool_calls"), out);
    if (!stream)
        answer_choices_begin(&a, out);
    for (unsigned i = 0; i < 2; i++) {
        if (!stream)
            answer_choice_write(&a, &c[i], out);
        answer_choice_release(&c[i]);
    }
    answer_end(&a, &used, out);
    answer_release(&a);
}

static void expect(struct str json, const char *path, const char *text)
{
    struct json_value v;
    if (!json_find(json, path, &v) || !str_eq(v.raw, str_from_c(text)))
        fail_msg("%s is not %s in %.*s", path, text, STR_ARG(json));
}

static void choices_calls_and_logprobs_in_one_piece(void **state)
{
    (void)state;
    BUF_AUTO struct buf out;
    buf_init(&out, 10000);
    write_all(false, ANSWER_CHAT, &out);
    struct str json = buf_str(&out);
    expect(json, "choices.0.index", "0");
    expect(json, "choices.0.message.content", "null");
    expect(json, "choices.0.message.reasoning_content", "\"why\"");
    expect(json, "choices.0.message.tool_calls.0.function.name", "\"f\"");
    expect(json, "choices.0.message.tool_calls.0.function.arguments", "\"{\\\"a\\\":1}\"");
    expect(json, "choices.0.finish_reason", "\"tool_calls\"");
    expect(json, "choices.1.message.content", "\"x\"");
    expect(json, "choices.1.logprobs.content.0.token", "\"bytes:\\\\xe2\\\\x82\"");
    expect(json, "choices.1.logprobs.content.0.bytes.1", "130");
    expect(json, "choices.1.logprobs.content.0.logprob", "-0.5");
    expect(json, "choices.1.logprobs.content.0.top_logprobs.0.token", "\"b\"");
    expect(json, "choices.1.logprobs.content.0.top_logprobs.1.logprob", "-9999.0");
}

static void a_completion_has_lists(void **state)
{
    (void)state;
    BUF_AUTO struct buf out;
    buf_init(&out, 10000);
    write_all(false, ANSWER_COMPLETION, &out);
    struct str json = buf_str(&out);
    expect(json, "object", "\"text_completion\"");
    expect(json, "choices.1.text", "\"x\"");
    expect(json, "choices.1.logprobs.token_logprobs.0", "null");
    expect(json, "choices.1.logprobs.top_logprobs.0", "null");
    expect(json, "choices.1.logprobs.text_offset.0", "0");
    expect(json, "choices.0.text", "\"\"");
}

static void events_of_calls_are_json(void **state)
{
    (void)state;
    for (int form = ANSWER_CHAT; form <= ANSWER_COMPLETION; form++) {
        int64_t total = 0;
        BUF_AUTO struct buf out;
        BUF_AUTO struct buf content;
        buf_init(&out, 10000);
        buf_init(&content, 1000);
        write_all(true, (enum answer_form)form, &out);
        /* two roles, a text, reasoning, a call in three events, two ends; or a text, two ends */
        assert_int_equal(check_events(buf_str(&out), &content, &total),
                         form == ANSWER_CHAT ? 9 : 3);
        assert_int_equal(str_find(buf_str(&out), STR("\"arguments\":\"1}\"")) >= 0,
                         form == ANSWER_CHAT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_in_one_piece),
        cmocka_unit_test(a_stream_of_events),
        cmocka_unit_test(choices_calls_and_logprobs_in_one_piece),
        cmocka_unit_test(a_completion_has_lists),
        cmocka_unit_test(events_of_calls_are_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
