#include "tests/unit/unit.h"

#include "base/buf.h"
#include "codec/json_scan.h"
#include "dialect/anthropic_messages.h"

enum { MAX_BYTES = 1 << 20, MAX_DEPTH = 128 };

/* ---- Requests ---- */

static void requests_are_read_and_rewritten(void **state)
{
    (void)state;
    static const char body[] =
        " {\"system\":[{\"type\":\"text\",\"text\":\"12345678\"}],\"mod\\u0065l\":\"claude\",\"x\":"
        "[1,  2],"
        "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"1234\"},{"
        "\"type\":\"image\","
        "\"source\":{\"type\":\"base64\",\"data\":\"AAAAAAAAAAAAAAAA\"}}]},{\"role\":\"user\","
        "\"content\":\"1234\"}],"
        "\"max_tokens\":77,\"metadata\":{\"user_id\":\"u\\\"1\"},\"stream\":true}\n";
    struct chat_request q;
    struct openai_problem problem;
    struct chat_body out;
    struct buf joined BUF_AUTO;
    struct arena a;
    buf_init(&joined, MAX_BYTES);
    arena_init(&a);
    assert_int_equal(anthropic_read_request(str_from_c(body), MAX_DEPTH, &a, &q, &problem), ERR_OK);
    assert_true(str_eq(q.model, STR("claude")));
    assert_true(str_eq(q.user, STR("u\"1")));
    assert_true(q.stream && q.usage_asked);
    assert_int_equal(q.max_tokens, 77);
    assert_int_equal(q.n, 1);
    assert_int_equal(q.prompt_tokens, 16 / 4 + 2 * 4 + 1024);
    openai_chat_rewrite(&q, STR("claude-x"), &a, &out);
    for (size_t i = 0; i < out.count; i++)
        buf_append_str(&joined, out.parts[i]);
    ptrdiff_t at = str_find(buf_str(&joined), STR("\"claude-x\""));
    assert_true(at > 0);
    assert_memory_equal(joined.ptr, body, (size_t)at);
    assert_string_equal(buf_cstr(&joined) + at + 10, body + at + 8);
    assert_false(out.adds_usage);
    arena_release(&a);
}

static void wrong_requests_are_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {"",
                                         "[]",
                                         "{\"model\":1}",
                                         "{}",
                                         "{\"model\":\"a\",\"model\":\"b\"}",
                                         "{\"model\":\"a\"",
                                         "{\"model\":\"a\",\"messages\":[{\"content\":\"\xff\"}]}"};
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct chat_request q;
        struct openai_problem problem = {0};
        assert_int_equal(anthropic_read_request(str_from_c(bodies[i]), MAX_DEPTH, &a, &q, &problem),
                         ERR_INVALID);
        assert_true(*problem.message);
    }
    arena_release(&a);
}

/* ---- Streams ---- */

struct event_case {
    const char *data;
    enum chat_event_action action;
    const char *flags; /* of c(ontent), e(rror), m(alformed) */
};

static const struct event_case event_cases[] = {
    {"{\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":1}}}",
     CHAT_EVENT_FORWARD, ""},
    {"{\"type\":\"ping\"}", CHAT_EVENT_FORWARD, ""},
    {"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":"
     "\"\"}}",
     CHAT_EVENT_FORWARD, ""},
    {"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\","
     "\"thinking\":\"\",\"signature\":\"\"}}",
     CHAT_EVENT_FORWARD, ""},
    {"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":"
     "\"a\"}}",
     CHAT_EVENT_FORWARD, "c"},
    {"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\","
     "\"id\":\"t\",\"name\":\"f\",\"input\":{}}}",
     CHAT_EVENT_FORWARD, "c"},
    {"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"new_kind\"}}",
     CHAT_EVENT_FORWARD, "c"},
    {"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":"
     "\"\"}}",
     CHAT_EVENT_FORWARD, ""},
    {"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":"
     "\"a\"}}",
     CHAT_EVENT_FORWARD, "c"},
    {"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\","
     "\"partial_json\":\"{\"}}",
     CHAT_EVENT_FORWARD, "c"},
    {"{\"type\":\"content_block_stop\",\"index\":0}", CHAT_EVENT_FORWARD, ""},
    {"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_"
     "tokens\":1}}",
     CHAT_EVENT_FORWARD, "c"},
    {"{\"type\":\"message_stop\"}", CHAT_EVENT_DONE, ""},
    {"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}",
     CHAT_EVENT_FORWARD, "e"},
    {"{\"type\":\"something_new\"}", CHAT_EVENT_FORWARD, "c"},
    {"{\"type\":\"mess", CHAT_EVENT_FORWARD, "cm"},
    {"[]", CHAT_EVENT_FORWARD, "cm"},
};

static void events_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof event_cases / sizeof *event_cases; i++) {
        const struct event_case *c = &event_cases[i];
        struct chat_stream s;
        char flags[4] = "", *f = flags;
        anthropic_stream_init(&s, true, MAX_BYTES, MAX_DEPTH);
        struct chat_event e = anthropic_stream_feed(&s, STR_NONE, str_from_c(c->data));
        if (e.content)
            *f++ = 'c';
        if (e.error)
            *f++ = 'e';
        if (e.malformed)
            *f++ = 'm';
        *f = 0;
        if (strcmp(flags, c->flags) != 0 || e.action != c->action)
            fail_msg("%s: action %d, flags '%s'", c->data, (int)e.action, flags);
        assert_false(anthropic_stream_complete(&s) && !e.content);
        anthropic_stream_release(&s);
    }
}

static const char *const message[] = {
    "{\"type\":\"message_start\",\"message\":{\"id\":\"m1\",\"type\":\"message\",\"role\":"
    "\"assistant\",\"model\":\"c\",\"content\":[],"
    "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":3,\"cache_read_input_"
    "tokens\":10,\"output_tokens\":1,\"service_tier\":\"standard\"}}}",
    "{\"type\":\"ping\"}",
    "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\","
    "\"thinking\":\"\",\"signature\":\"\"}}",
    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\","
    "\"thinking\":\"a\\n\"}}",
    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\","
    "\"thinking\":\"b\"}}",
    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\","
    "\"signature\":\"s=\"}}",
    "{\"type\":\"content_block_stop\",\"index\":0}",
    "{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":"
    "\"\",\"citations\":null}}",
    "{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":"
    "\"\\ud83d\"}}",
    "{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":"
    "\"\\ude00\"}}",
    "{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"citations_delta\","
    "\"citation\":{\"type\":\"c\",\"n\":1}}}",
    "{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"citations_delta\","
    "\"citation\":{\"type\":\"c\",\"n\":2}}}",
    "{\"type\":\"content_block_stop\",\"index\":1}",
    "{\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"server_tool_use\","
    "\"id\":\"t\",\"name\":\"web\",\"input\":{}}}",
    "{\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\","
    "\"partial_json\":\"{\\\"q\\\":\"}}",
    "{\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\","
    "\"partial_json\":\"\\\"x\\\"}\"}}",
    "{\"type\":\"content_block_stop\",\"index\":2}",
    "{\"type\":\"content_block_start\",\"index\":3,\"content_block\":{\"type\":\"tool_use\",\"id\":"
    "\"u\",\"name\":\"now\",\"input\":{}}}",
    "{\"type\":\"content_block_stop\",\"index\":3}",
    "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},"
    "\"usage\":{\"input_tokens\":4,\"output_tokens\":9}}",
    "{\"type\":\"message_stop\"}",
};

static void feed_message(struct chat_stream *s, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)anthropic_stream_feed(s, STR_NONE, str_from_c(message[i]));
}

static void a_message_is_collected(void **state)
{
    (void)state;
    struct chat_stream s;
    struct buf answer BUF_AUTO;
    buf_init(&answer, MAX_BYTES);
    anthropic_stream_init(&s, false, MAX_BYTES, MAX_DEPTH);
    for (int again = 0; again < 2; again++) {
        feed_message(&s, sizeof message / sizeof *message);
        assert_true(anthropic_stream_complete(&s) && s.done && !s.truncated);
        assert_int_equal(s.usage.input, 14);
        assert_int_equal(s.usage.cached_input, 10);
        assert_int_equal(s.usage.output, 9);
        buf_reset(&answer);
        anthropic_stream_answer(&s, &answer);
        assert_string_equal(
            buf_cstr(&answer),
            "{\"id\":\"m1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"c\",\"stop_"
            "reason\":\"tool_use\","
            "\"stop_sequence\":null,\"content\":[{\"type\":\"thinking\",\"thinking\":\"a\\nb\","
            "\"signature\":\"s=\"},"
            "{\"type\":\"text\",\"text\":\"\\ud83d\\ude00\",\"citations\":[{\"type\":\"c\",\"n\":1}"
            ",{\"type\":\"c\",\"n\":2}]},"
            "{\"type\":\"server_tool_use\",\"id\":\"t\",\"name\":\"web\",\"input\":{\"q\":\"x\"}},"
            "{\"type\":\"tool_use\",\"id\":\"u\",\"name\":\"now\",\"input\":{}}],"
            "\"usage\":{\"cache_read_input_tokens\":10,\"service_tier\":\"standard\",\"input_"
            "tokens\":4,\"output_tokens\":9}}");
        anthropic_stream_reset(&s);
        assert_false(s.content || s.done || s.usage_raw.len);
    }
    anthropic_stream_release(&s);
}

static void every_cut_of_a_message_is_json(void **state)
{
    (void)state;
    for (size_t count = 0; count <= sizeof message / sizeof *message; count++)
        for (size_t max_bytes = 0; max_bytes < 4096; max_bytes = max_bytes * 2 + 128) {
            struct chat_stream s;
            struct json_value value;
            struct buf answer BUF_AUTO;
            buf_init(&answer, MAX_BYTES);
            anthropic_stream_init(&s, false, max_bytes, MAX_DEPTH);
            feed_message(&s, count);
            anthropic_stream_answer(&s, &answer);
            assert_int_equal(answer.len > 0, count > 0);
            if (answer.len)
                assert_int_equal(json_validate(buf_str(&answer), MAX_DEPTH, &value), ERR_OK);
            assert_int_equal(anthropic_stream_complete(&s),
                             count >= sizeof message / sizeof *message - 1);
            anthropic_stream_release(&s);
        }
}

static void whole_answers_are_read(void **state)
{
    (void)state;
    struct chat_answer answer;
    assert_int_equal(
        anthropic_read_answer(STR("{\"content\":[{\"type\":\"text\",\"text\":\"ab\\n\"}],\"model\":"
                                  "\"c\",\"stop_reason\":\"end_turn\","
                                  "\"usage\":{\"input_tokens\":1,\"cache_read_input_tokens\":2,"
                                  "\"output_tokens\":3}}"),
                              MAX_DEPTH, &answer),
        ERR_OK);
    assert_true(answer.has_choices && answer.finished && !answer.has_error);
    assert_int_equal(answer.output_bytes, 3);
    assert_int_equal(answer.usage.input, 3);
    assert_int_equal(anthropic_read_answer(
                         STR("{\"type\":\"error\",\"error\":{\"type\":\"x\",\"message\":\"m\"}}"),
                         MAX_DEPTH, &answer),
                     ERR_OK);
    assert_true(answer.has_error && !answer.finished);
    assert_int_equal(anthropic_read_answer(STR("<html>"), MAX_DEPTH, &answer), ERR_INVALID);
    assert_int_equal(anthropic_read_answer(STR("[]"), MAX_DEPTH, &answer), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_read_and_rewritten),
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(events_are_judged),
        cmocka_unit_test(a_message_is_collected),
        cmocka_unit_test(every_cut_of_a_message_is_json),
        cmocka_unit_test(whole_answers_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
