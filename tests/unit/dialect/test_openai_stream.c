#include "tests/unit/unit.h"

#include "base/buf.h"
#include "codec/json_scan.h"
#include "dialect/openai_chat.h"

enum { MAX_BYTES = 1 << 20, MAX_DEPTH = 128 };

/* ---- One event: what is to be done with it ---- */

#define HEAD        "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
#define DELTA(d)    HEAD "\"choices\":[{\"index\":0,\"delta\":" d ",\"finish_reason\":null}]}"
#define FINISH(r)   HEAD "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" r "\"}]}"
#define USAGE_9_12  "{\"prompt_tokens\":9,\"completion_tokens\":12,\"total_tokens\":21}"
#define USAGE_CHUNK HEAD "\"choices\":[],\"usage\":" USAGE_9_12 "}"

struct event_case {
    const char *data;
    enum chat_event_action action;
    const char *flags; /* of c(ontent), e(rror), m(alformed) */
};

static const struct event_case event_cases[] = {
    {"[DONE]", CHAT_EVENT_DONE, ""},
    {" [DONE] ", CHAT_EVENT_DONE, ""},
    {USAGE_CHUNK, CHAT_EVENT_HIDE, ""},
    {HEAD "\"usage\":" USAGE_9_12 "}", CHAT_EVENT_HIDE, ""},
    {HEAD "\"choices\":null,\"usage\":{}}", CHAT_EVENT_HIDE, ""},
    {HEAD "\"choices\":[],\"usage\":null}", CHAT_EVENT_FORWARD, ""},
    {HEAD "\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0}]}", CHAT_EVENT_FORWARD,
     ""},
    {HEAD
     "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":" USAGE_9_12
     "}",
     CHAT_EVENT_FORWARD, "c"},
    {HEAD "\"choices\":[{\"index\":0,\"delta\":{}}],\"usage\":" USAGE_9_12 "}", CHAT_EVENT_FORWARD,
     ""},
    {DELTA("{\"role\":\"assistant\"}"), CHAT_EVENT_FORWARD, ""},
    {DELTA("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}"), CHAT_EVENT_FORWARD, ""},
    {DELTA("{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[],\"audio\":{}}"),
     CHAT_EVENT_FORWARD, ""},
    {DELTA("{}"), CHAT_EVENT_FORWARD, ""},
    {DELTA("null"), CHAT_EVENT_FORWARD, ""},
    {DELTA("{\"content\":\"x\"}"), CHAT_EVENT_FORWARD, "c"},
    {DELTA("{\"refusal\":\"no\"}"), CHAT_EVENT_FORWARD, "c"},
    {DELTA("{\"reasoning_content\":\"hm\"}"), CHAT_EVENT_FORWARD, "c"},
    {DELTA("{\"reasoning\":\"hm\",\"content\":\"\"}"), CHAT_EVENT_FORWARD, "c"},
    {DELTA("{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{"
           "\"name\":\"f\",\"arguments\":\"\"}}]}"),
     CHAT_EVENT_FORWARD, "c"},
    {DELTA("{\"tool_calls\":[{\"id\":\"call_1\"}]}"), CHAT_EVENT_FORWARD, "c"},
    {DELTA("{\"function_call\":{\"name\":\"f\"}}"), CHAT_EVENT_FORWARD, "c"},
    {DELTA("{\"x_unknown\":{\"deep\":[\"x\"]}}"), CHAT_EVENT_FORWARD, "c"},
    {FINISH("length"), CHAT_EVENT_FORWARD, "c"},
    {"{\"error\":{\"message\":\"overloaded\",\"code\":503}}", CHAT_EVENT_FORWARD, "e"},
    {"{\"error\":\"overloaded\"}", CHAT_EVENT_FORWARD, "e"},
    {HEAD "\"error\":null,\"choices\":[]}", CHAT_EVENT_FORWARD, ""},
    {"{\"object\":\"error\",\"message\":\"bad\",\"code\":400}", CHAT_EVENT_FORWARD, "e"},
    {"{\"error\":{\"message\":\"late\"},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},"
     "\"finish_reason\":\"error\"}],\"usage\":{\"prompt_tokens\":1}}",
     CHAT_EVENT_FORWARD, "e"},
    {"", CHAT_EVENT_FORWARD, "cm"},
    {"{\"choices\":[", CHAT_EVENT_FORWARD, "cm"},
    {"[1]", CHAT_EVENT_FORWARD, "cm"},
    {"hello", CHAT_EVENT_FORWARD, "cm"},
    {"[DONE]x", CHAT_EVENT_FORWARD, "cm"},
    {DELTA("{\"content\":\"\xE4\xBD\"}"), CHAT_EVENT_FORWARD, "cm"},
};

static void events_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof event_cases / sizeof *event_cases; i++) {
        const struct event_case *c = &event_cases[i];
        for (int asked = 0; asked < 2; asked++) {
            struct chat_stream s;
            openai_chat_stream_init(&s, !asked, MAX_BYTES, MAX_DEPTH);
            struct chat_event e = openai_chat_stream_feed(&s, STR_NONE, str_from_c(c->data));
            char flags[4] = "", *f = flags;
            if (e.content)
                *f++ = 'c';
            if (e.error)
                *f++ = 'e';
            if (e.malformed)
                *f++ = 'm';
            enum chat_event_action action =
                asked && c->action == CHAT_EVENT_HIDE ? CHAT_EVENT_FORWARD : c->action;
            if (e.action != action || strcmp(flags, c->flags) != 0)
                fail_msg("%s: action %d, flags %s", c->data, (int)e.action, flags);
            assert_int_equal(s.events, 1);
            assert_int_equal(s.content, e.content);
            assert_int_equal(s.failed, e.error);
            assert_int_equal(s.malformed, e.malformed);
            openai_chat_stream_release(&s);
        }
    }
}

/* ---- Whole streams: what the answer would have been ---- */

struct stream_case {
    const char *name;
    const char *events[12];
    const char *answer;
    bool complete;
};

#define ANSWER(choices)                                                                            \
    "{\"id\":\"c1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":"     \
    "[" choices "]"
#define TOOL(rest) DELTA("{\"tool_calls\":[{\"index\":" rest "]}")

static const struct stream_case stream_cases[] = {
    {"text",
     {HEAD "\"service_tier\":\"default\",\"system_fingerprint\":\"fp\",\"choices\":[{\"index\":0,"
           "\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"logprobs\":null,"
           "\"finish_reason\":null}],\"usage\":null,\"obfuscation\":\"x\"}",
      DELTA("{\"content\":\"Hel\"}"), DELTA("{\"content\":\"lo\\n\\u00e9 \\ud83d\"}"),
      DELTA("{\"content\":\"\\ude00\xC3\xA9\"}"), FINISH("stop"), USAGE_CHUNK, "[DONE]"},
     "{\"id\":\"c1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"service_tier\":"
     "\"default\",\"system_fingerprint\":\"fp\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
     "\"assistant\",\"content\":\"Hello\\n\\u00e9 \\ud83d\\ude00\xC3\xA9\",\"refusal\":null},"
     "\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":" USAGE_9_12 "}",
     true},
    {"nothing", {"[DONE]"}, "", false},
    {"a role and nothing more",
     {DELTA("{\"role\":\"assistant\",\"content\":\"\"}"), "[DONE]"},
     ANSWER("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":"
            "null}") "}",
     false},
    {"an empty answer",
     {DELTA("{\"role\":\"assistant\",\"content\":\"\"}"), FINISH("stop"), "[DONE]"},
     ANSWER("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":"
            "\"stop\"}") "}",
     true},
    {"no event", {NULL}, "", false},
    {"cut after the role",
     {DELTA("{\"role\":\"assistant\"}")},
     ANSWER("{\"index\":0,\"message\":{\"content\":null,\"role\":\"assistant\"},\"finish_reason\":"
            "null}") "}",
     false},
    {"cut in the text",
     {DELTA("{\"role\":\"assistant\",\"content\":\"\"}"), DELTA("{\"content\":\"Hel\"}")},
     ANSWER(
         "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hel\"},\"finish_reason\":"
         "null}") "}",
     false},
    {"no role, no [DONE]",
     {DELTA("{\"content\":\"a\"}"), FINISH("stop")},
     ANSWER("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"finish_reason\":"
            "\"stop\"}") "}",
     true},
    {"two choices, interleaved, index last, one not finished",
     {"{\"choices\":[{\"delta\":{\"content\":\"b\"},\"index\":1}]}",
      "{\"choices\":[{\"delta\":{\"content\":\"a\"},\"index\":0},{\"delta\":{\"content\":\"b\"},"
      "\"index\":1,\"finish_reason\":\"stop\"}]}"},
     "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\"}},{"
     "\"index\":1,"
     "\"message\":{\"role\":\"assistant\",\"content\":\"bb\"},\"finish_reason\":\"stop\"}]}",
     false},
    {"choices without index",
     {"{\"choices\":[{\"delta\":{\"content\":\"a\"}},{\"delta\":{\"content\":\"b\"}}]}"},
     "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\"}},{"
     "\"index\":1,"
     "\"message\":{\"role\":\"assistant\",\"content\":\"b\"}}]}",
     false},
    {"parallel tool calls, interleaved",
     {DELTA("{\"role\":\"assistant\",\"content\":null}"),
      TOOL("0,\"id\":\"call_a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
           "\"\"}}"),
      TOOL("0,\"function\":{\"arguments\":\"{\\\"x\\\"\"}}"),
      TOOL("1,\"id\":\"call_b\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":"
           "\"\"}}"),
      TOOL("0,\"function\":{\"arguments\":\":1}\"}},{\"index\":1,\"function\":{\"arguments\":\"{}"
           "\"}}"),
      FINISH("tool_calls"), "[DONE]"},
     ANSWER("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{"
            "\"id\":"
            "\"call_a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
            "\"{\\\"x\\\":1}\"}},{\"id\":\"call_b\",\"type\":\"function\",\"function\":{\"name\":"
            "\"g\","
            "\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}") "}",
     true},
    {"id, type and name in every delta",
     {TOOL("0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}"
           "}"),
      TOOL("0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"}\"}"
           "}"),
      TOOL("0,\"id\":\"b\",\"function\":{\"arguments\":\" \"}}")},
     ANSWER("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{"
            "\"id\":"
            "\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{} \"}}]},"
            "\"finish_reason\":null}") "}",
     false},
    {"parallel calls that all say index 0",
     {TOOL("0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}"),
      TOOL("0,\"function\":{\"arguments\":\"}\"}}"),
      TOOL("0,\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"[\"}}"),
      TOOL("0,\"function\":{\"arguments\":\"]\"}}")},
     ANSWER("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{"
            "\"id\":"
            "\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"b\",\"function\":{"
            "\"name\":\"g\",\"arguments\":\"[]\"}}]},\"finish_reason\":null}") "}",
     false},
    {"tool calls without index",
     {DELTA("{\"tool_calls\":[{\"id\":\"a\"}]}"), DELTA("{\"tool_calls\":[{\"id\":\"b\"}]}")},
     ANSWER("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{"
            "\"id\":"
            "\"a\"},{\"id\":\"b\"}]},\"finish_reason\":null}") "}",
     false},
    {"reasoning, refusal, audio and what nobody knows yet",
     {DELTA("{\"reasoning_content\":\"h\",\"audio\":{\"id\":\"au\",\"transcript\":\"x\"},"
            "\"future\":1}"),
      DELTA("{\"reasoning_content\":\"m\",\"refusal\":\"n\",\"audio\":{\"transcript\":\"y\","
            "\"expires_at\":5},\"future\":2}"),
      DELTA("{\"refusal\":\"o\",\"annotations\":[{\"type\":\"url\"}]}"),
      DELTA("{\"annotations\":[{\"type\":\"url2\"}],\"reasoning_details\":[{\"index\":0,\"type\":"
            "\"t\",\"text\":\"a\"}]}"),
      DELTA("{\"reasoning_details\":[{\"type\":\"t\",\"text\":\"b\",\"index\":0}]}")},
     ANSWER(
         "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":"
         "\"hm\",\"audio\":{\"id\":\"au\",\"transcript\":\"xy\",\"expires_at\":5},\"future\":2,"
         "\"refusal\":\"no\",\"annotations\":[{\"type\":\"url\"},{\"type\":\"url2\"}],"
         "\"reasoning_details\":[{\"index\":0,\"type\":\"t\",\"text\":\"ab\"}]},\"finish_reason\":"
         "null}") "}",
     false},
    {"content in parts, then text",
     {DELTA("{\"content\":\"\"}"), DELTA("{\"content\":[{\"type\":\"thinking\",\"thinking\":[]}]}"),
      DELTA("{\"content\":\"a\\n\"}")},
     ANSWER("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\","
            "\"thinking\":[]},{\"type\":\"text\",\"text\":\"a\\n\"}]},\"finish_reason\":null}") "}",
     false},
    {"logprobs",
     {"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"logprobs\":{\"content\":[{"
      "\"token\":"
      "\"a\",\"logprob\":-0.5}],\"refusal\":null}}]}",
      "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"},\"logprobs\":{\"content\":[{"
      "\"token\":"
      "\"b\",\"logprob\":-1}],\"refusal\":null}}]}"},
     "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"ab\"},"
     "\"logprobs\":{"
     "\"content\":[{\"token\":\"a\",\"logprob\":-0.5},{\"token\":\"b\",\"logprob\":-1}],"
     "\"refusal\":"
     "null}}]}",
     false},
    {"the last of what a provider adds",
     {"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"content_filter_results\":{},"
      "\"stop_reason\":null}],\"x_groq\":{\"id\":\"q\"}}",
      "{\"choices\":[{\"index\":0,\"delta\":{},\"content_filter_results\":{\"hate\":{\"filtered\":"
      "false}},\"stop_reason\":7,\"finish_reason\":\"stop\"}],\"x_groq\":null}"},
     "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\"},"
     "\"content_filter_results\":{\"hate\":{\"filtered\":false}},\"stop_reason\":7,\"finish_"
     "reason\":"
     "\"stop\"}],\"x_groq\":{\"id\":\"q\"}}",
     true},
    {"usage on the finish chunk, and after it again",
     {HEAD "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}],"
           "\"usage\":{\"prompt_tokens\":1}}",
      USAGE_CHUNK, HEAD "\"choices\":[],\"usage\":null}"},
     ANSWER("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"finish_reason\":"
            "\"stop\"}") ",\"usage\":" USAGE_9_12 "}",
     true},
    {"an error after content",
     {DELTA("{\"content\":\"a\"}"), "{\"error\":{\"message\":\"lost\"}}", "[DONE]"},
     ANSWER("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"finish_reason\":"
            "null}") "}",
     false},
    {"broken events between whole ones",
     {DELTA("{\"content\":\"a\"}"), "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x", "?",
      DELTA("{\"content\":\"b\"}")},
     ANSWER(
         "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"ab\"},\"finish_reason\":"
         "null}") "}",
     false},
    {"escaped keys",
     {"{\"ch\\u006fices\":[{\"index\":0,\"d\\u0065lta\":{\"c\\u006fntent\":\"a\"}}]}",
      "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"}}]}"},
     "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"ab\"}}]}",
     false},
};

static void answers_are_put_together(void **state)
{
    (void)state;
    struct buf answer BUF_AUTO;
    buf_init(&answer, MAX_BYTES);
    for (size_t i = 0; i < sizeof stream_cases / sizeof *stream_cases; i++) {
        const struct stream_case *c = &stream_cases[i];
        struct chat_stream s;
        openai_chat_stream_init(&s, true, MAX_BYTES, MAX_DEPTH);
        for (size_t k = 0; c->events[k]; k++)
            openai_chat_stream_feed(&s, STR_NONE, str_from_c(c->events[k]));
        buf_reset(&answer);
        openai_chat_stream_answer(&s, &answer);
        if (!str_eq(buf_str(&answer), str_from_c(c->answer)))
            fail_msg("%s: %s", c->name, buf_cstr(&answer));
        assert_false(s.truncated);
        assert_int_equal(openai_chat_stream_complete(&s), c->complete);
        openai_chat_stream_release(&s);
    }
}

/* ---- Usage, errors, limits ---- */

static void the_last_usage_counts(void **state)
{
    (void)state;
    struct chat_stream s;
    openai_chat_stream_init(&s, true, MAX_BYTES, MAX_DEPTH);
    assert_int_equal(s.usage.source, USAGE_NONE);
    openai_chat_stream_feed(
        &s, STR_NONE,
        STR("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":{"
            "\"prompt_tokens\":9,\"completion_tokens\":1}}"));
    assert_int_equal(s.usage.output, 1);
    openai_chat_stream_feed(&s, STR_NONE, STR(USAGE_CHUNK));
    openai_chat_stream_feed(&s, STR_NONE, STR("{\"choices\":[],\"usage\":null}"));
    openai_chat_stream_feed(&s, STR_NONE, STR("[DONE]"));
    assert_int_equal(s.usage.source, USAGE_PROVIDER);
    assert_int_equal(s.usage.input, 9);
    assert_int_equal(s.usage.output, 12);
    assert_true(str_eq(s.usage_raw, STR(USAGE_9_12)));
    openai_chat_stream_reset(&s);
    assert_int_equal(s.usage.source, USAGE_NONE);
    assert_int_equal(s.usage_raw.len, 0);
    assert_int_equal(s.events, 0);
    assert_true(s.hide_usage);
    openai_chat_stream_release(&s);
}

static void the_first_error_is_kept(void **state)
{
    (void)state;
    struct chat_stream s;
    openai_chat_stream_init(&s, true, MAX_BYTES, MAX_DEPTH);
    struct chat_event e = openai_chat_stream_feed(
        &s, STR("error"), STR("{\"message\":\"slow down\",\"type\":\"rate_limit\",\"code\":429}"));
    assert_true(e.error);
    openai_chat_stream_feed(&s, STR_NONE, STR("{\"error\":{\"message\":\"second\"}}"));
    assert_string_equal(s.error.message, "slow down");
    assert_string_equal(s.error.type, "rate_limit");
    assert_string_equal(s.error.code, "429");
    openai_chat_stream_feed(&s, STR_NONE, STR("[DONE]"));
    assert_false(openai_chat_stream_complete(&s));
    openai_chat_stream_release(&s);

    openai_chat_stream_init(&s, true, MAX_BYTES, MAX_DEPTH);
    e = openai_chat_stream_feed(&s, STR("error"), STR("upstream <b>died</b>"));
    assert_true(e.error && e.malformed && !e.content && s.failed);
    assert_string_equal(s.error.message, "HTTP 200: upstream <b>died</b>");
    openai_chat_stream_release(&s);
}

static void generated_text_is_counted(void **state)
{
    (void)state;
    struct chat_stream s;
    openai_chat_stream_init(&s, true, 100, MAX_DEPTH);
    openai_chat_stream_feed(&s, STR_NONE,
                            STR(DELTA("{\"role\":\"assistant\",\"content\":\"\\n\"}")));
    openai_chat_stream_feed(&s, STR_NONE, STR(DELTA("{\"reasoning_content\":\"12\"}")));
    openai_chat_stream_feed(
        &s, STR_NONE,
        STR(TOOL("0,\"id\":\"call\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"\"}}")));
    assert_int_equal(s.output_bytes, 1 + 2 + 2);
    openai_chat_stream_release(&s);
}

/* Past the bound text is dropped, everything else goes on, and what is kept is still JSON. */
static void collecting_is_bounded(void **state)
{
    (void)state;
    struct buf answer BUF_AUTO;
    buf_init(&answer, MAX_BYTES);
    struct json_value value;
    struct chat_stream s;
    openai_chat_stream_init(&s, true, 4000, MAX_DEPTH);
    for (int i = 0; i < 1000; i++)
        openai_chat_stream_feed(&s, STR_NONE, STR(DELTA("{\"content\":\"0123456789\"}")));
    assert_true(s.truncated);
    assert_int_equal(s.output_bytes, 10000);
    openai_chat_stream_feed(&s, STR_NONE, STR(DELTA("{\"content\":\"\"}")));
    openai_chat_stream_feed(&s, STR_NONE, STR(FINISH("stop")));
    openai_chat_stream_feed(&s, STR_NONE, STR(USAGE_CHUNK));
    openai_chat_stream_answer(&s, &answer);
    assert_true(answer.len < 4000 + 300);
    assert_true(json_find(buf_str(&answer), "choices.0.finish_reason", &value));
    assert_true(json_eq(&value, STR("stop")));
    assert_true(json_find(buf_str(&answer), "choices.0.message.content", &value));
    assert_true(value.raw.len > 1000);
    assert_int_equal(s.usage.output, 12);
    openai_chat_stream_release(&s);
}

/* Nothing is left out in the middle: after the first piece that did not fit none follows. */
static void what_is_kept_is_a_beginning(void **state)
{
    (void)state;
    struct buf answer BUF_AUTO, event BUF_AUTO;
    struct json_value value;
    struct chat_stream s;
    buf_init(&answer, MAX_BYTES);
    buf_init(&event, MAX_BYTES);
    buf_printf(&event, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%05000d\"}}]}", 0);
    openai_chat_stream_init(&s, true, 4000, MAX_DEPTH);
    openai_chat_stream_feed(&s, STR_NONE, STR(DELTA("{\"content\":\"one\"}")));
    openai_chat_stream_feed(&s, STR_NONE, buf_str(&event));
    openai_chat_stream_feed(&s, STR_NONE, STR(DELTA("{\"content\":\"three\"}")));
    openai_chat_stream_answer(&s, &answer);
    assert_true(json_find(buf_str(&answer), "choices.0.message.content", &value));
    assert_true(json_eq(&value, STR("one")));
    assert_int_equal(s.output_bytes, 3 + 5000 + 5);
    openai_chat_stream_release(&s);
}

/* Choices, members and indices without end cost bounded memory and bounded time. */
static void parts_are_bounded(void **state)
{
    (void)state;
    struct buf event BUF_AUTO, answer BUF_AUTO;
    struct json_value value;
    struct chat_stream s;
    buf_init(&event, 1000);
    buf_init(&answer, MAX_BYTES);
    openai_chat_stream_init(&s, true, MAX_BYTES, MAX_DEPTH);
    for (int i = 0; i < 2 * CHAT_STREAM_PARTS_MAX; i++) {
        buf_reset(&event);
        buf_printf(&event, "{\"x%d\":1,\"choices\":[{\"index\":%d,\"delta\":{\"k%d\":\"a\"}}]}", i,
                   i * 7, i);
        openai_chat_stream_feed(&s, STR_NONE, buf_str(&event));
    }
    assert_true(s.truncated);
    assert_int_equal(s.output_bytes, 2 * CHAT_STREAM_PARTS_MAX);
    openai_chat_stream_answer(&s, &answer);
    assert_int_equal(json_validate(buf_str(&answer), MAX_DEPTH, &value), ERR_OK);
    openai_chat_stream_release(&s);
}

static void deep_deltas_are_kept_whole(void **state)
{
    (void)state;
    struct buf event BUF_AUTO, answer BUF_AUTO;
    struct json_value value;
    struct chat_stream s;
    buf_init(&event, 10000);
    buf_init(&answer, MAX_BYTES);
    buf_append_str(&event, STR("{\"choices\":[{\"index\":0,\"delta\":"));
    for (int i = 0; i < 100; i++)
        buf_append_str(&event, i % 2 ? STR("[") : STR("{\"d\":"));
    buf_append_str(&event, STR("\"deep\""));
    for (int i = 99; i >= 0; i--)
        buf_append_char(&event, i % 2 ? ']' : '}');
    buf_append_str(&event, STR("}]}"));
    openai_chat_stream_init(&s, true, MAX_BYTES, MAX_DEPTH);
    struct chat_event e = openai_chat_stream_feed(&s, STR_NONE, buf_str(&event));
    assert_false(e.malformed);
    openai_chat_stream_answer(&s, &answer);
    assert_int_equal(json_validate(buf_str(&answer), MAX_DEPTH, &value), ERR_OK);
    assert_true(str_find(buf_str(&answer), STR("\"deep\"")) > 0);
    openai_chat_stream_release(&s);
}

static void a_released_stream_may_be_released(void **state)
{
    (void)state;
    struct chat_stream s = {0};
    openai_chat_stream_release(&s);
    openai_chat_stream_init(&s, false, MAX_BYTES, MAX_DEPTH);
    openai_chat_stream_release(&s);
    openai_chat_stream_release(&s);
    assert_null(s.collect);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_judged),
        cmocka_unit_test(answers_are_put_together),
        cmocka_unit_test(the_last_usage_counts),
        cmocka_unit_test(the_first_error_is_kept),
        cmocka_unit_test(generated_text_is_counted),
        cmocka_unit_test(collecting_is_bounded),
        cmocka_unit_test(what_is_kept_is_a_beginning),
        cmocka_unit_test(parts_are_bounded),
        cmocka_unit_test(deep_deltas_are_kept_whole),
        cmocka_unit_test(a_released_stream_may_be_released),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
