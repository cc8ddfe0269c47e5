/* What the neutral forms bound, and errors in each language. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "dialect/dialect.h"

enum { DEPTH_MAX = 128, BYTES_MAX = 64 << 20 };

/* ---- Requests ---- */

/* A body whose member holds the element count times. */
static void write_many(struct buf *out, const char *before, const char *element, size_t count,
                       const char *after)
{
    buf_append_str(out, str_from_c(before));
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_append_char(out, ',');
        buf_append_str(out, str_from_c(element));
    }
    buf_append_str(out, str_from_c(after));
}

struct limit_case {
    const char *before, *element, *after;
    size_t most;
    const char *param;
};

#define ONE_MESSAGE "\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]"

static const struct limit_case limit_cases[] = {
    {"{\"model\":\"m\",\"messages\":[", "{\"role\":\"user\",\"content\":\"\"}", "]}",
     ASK_MESSAGES_MAX, "messages"},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[",
     "{\"type\":\"text\",\"text\":\"\"}", "]}]}", ASK_PARTS_MAX, "messages"},
    {"{\"model\":\"m\"," ONE_MESSAGE ",\"stop\":[", "\"x\"", "]}", ASK_STOPS_MAX, "stop"},
    {"{\"model\":\"m\"," ONE_MESSAGE ",\"tools\":[",
     "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}", "]}", ASK_TOOLS_MAX, "tools"},
    {"{\"model\":\"m\"," ONE_MESSAGE ",", "\"x\":1", "}", ASK_MEMBERS_MAX, ""},
};

static void requests_are_bounded(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof limit_cases / sizeof *limit_cases; i++) {
        const struct limit_case *c = &limit_cases[i];
        for (size_t more = 0; more < 2; more++) {
            struct openai_problem problem = {0};
            struct arena a;
            struct ask *ask = NULL;
            struct buf body BUF_AUTO;
            buf_init(&body, BYTES_MAX);
            arena_init(&a);
            write_many(&body, c->before, c->element, c->most + more, c->after);
            enum err e = dialect_openai.read_ask(buf_str(&body), DEPTH_MAX, &a, &ask, &problem);
            assert_int_equal(e, more ? ERR_TOO_LARGE : ERR_OK);
            assert_string_equal(problem.param, more ? c->param : "");
            arena_release(&a);
        }
    }
}

static void a_translation_too_large_is_refused(void **state)
{
    (void)state;
    static const struct str body = STR_INIT("{\"model\":\"m\"," ONE_MESSAGE "}");
    for (const struct dialect *const *d = dialect_table; *d; d++) {
        struct openai_problem problem = {0};
        struct ask_target target = {.model = STR("m")};
        struct ask_plan plan = {0};
        struct arena a;
        struct ask *ask;
        struct buf out BUF_AUTO;
        buf_init(&out, 20);
        arena_init(&a);
        assert_int_equal(dialect_openai.read_ask(body, DEPTH_MAX, &a, &ask, &problem), ERR_OK);
        if ((*d)->write_ask) {
            assert_int_equal((*d)->write_ask(ask, &target, &a, &out, &plan, &problem),
                             ERR_TOO_LARGE);
            assert_true(*problem.message);
        }
        arena_release(&a);
    }
}

/* ---- Answers ---- */

struct stream {
    struct answer_writer *writer;
    struct buf out;
};

static void write_event(void *arg, const struct answer_event *e)
{
    struct stream *s = arg;
    dialect_anthropic.writer_take(s->writer, e, &s->out);
}

static void what_alternating_calls_hold_back_is_bounded(void **state)
{
    (void)state;
    struct answer_options options = {.max_bytes = 4096, .max_depth = DEPTH_MAX};
    struct stream s = {.writer = dialect_anthropic.writer_new(&options)};
    char text[1001];
    memset(text, 'x', 1000);
    text[1000] = 0;
    buf_init(&s.out, BYTES_MAX);
    write_event(&s, &(struct answer_event){.kind = ANSWER_START, .id = STR("a")});
    for (uint32_t tool = 0; tool < 2; tool++)
        write_event(&s,
                    &(struct answer_event){
                        .kind = ANSWER_TOOL_BEGIN, .tool = tool, .id = STR("t"), .name = STR("f")});
    for (int i = 0; i < 10; i++)
        write_event(&s, &(struct answer_event){
                            .kind = ANSWER_TOOL_ARGS, .tool = 1, .text = str_from_c(text)});
    write_event(&s, &(struct answer_event){.kind = ANSWER_END});
    assert_true(str_find(buf_str(&s.out), STR("event: error\n")) > 0);
    assert_true(str_find(buf_str(&s.out), STR("message_stop")) < 0);
    dialect_anthropic.writer_free(s.writer);
    buf_release(&s.out);
}

static void what_is_collected_is_bounded(void **state)
{
    (void)state;
    struct answer a;
    dialect_answer_init(&a, 1000);
    answer_take(&a, &(struct answer_event){.kind = ANSWER_START, .id = STR("a")});
    for (uint32_t i = 0; i < 5000; i++) {
        answer_take(&a, &(struct answer_event){.kind = ANSWER_TEXT, .text = STR("1234567890")});
        answer_take(&a,
                    &(struct answer_event){.kind = ANSWER_TOOL_BEGIN, .tool = i, .id = STR("t")});
        answer_take(&a, &(struct answer_event){.kind = ANSWER_REDACTED, .text = STR("x")});
    }
    answer_take(&a, &(struct answer_event){.kind = ANSWER_FINISH, .finish = FINISH_TOOLS});
    answer_take(&a, &(struct answer_event){.kind = ANSWER_END});
    assert_true(a.truncated && a.whole && a.content);
    assert_true(a.used_bytes <= 1000 + ANSWER_SPARE_BYTES);
    assert_int_equal(a.output_bytes, 50000);
    assert_int_equal(a.choices->finish, FINISH_TOOLS);
    dialect_answer_release(&a);
}

static void count_event(void *arg, const struct answer_event *e)
{
    struct answer_event *last = arg;
    *last = *e;
    last->text = last->id = last->name = last->raw = STR("");
    last->problem = NULL;
}

static void too_many_calls_are_an_error(void **state)
{
    (void)state;
    struct answer_options options = {.max_bytes = BYTES_MAX, .max_depth = DEPTH_MAX};
    struct answer_event last = {0};
    struct answer_sink sink = {count_event, &last};
    struct answer_reader *r = dialect_openai.reader_new(&options);
    char data[256];
    for (int i = 0; i <= ANSWER_TOOLS_MAX; i++) {
        assert_int_not_equal(last.kind, ANSWER_ERROR);
        (void)snprintf(data, sizeof data,
                       "{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":%d,\"id\":"
                       "\"t%d\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}",
                       i, i);
        dialect_openai.reader_feed(r, STR(""), str_from_c(data), sink);
    }
    assert_int_equal(last.kind, ANSWER_ERROR);
    dialect_openai.reader_free(r);
}

/* ---- Streams that break ---- */

static void only_a_whole_stream_ends(void **state)
{
    (void)state;
    static const struct {
        const struct dialect *dialect;
        const char *events[4];
        bool whole;
    } cases[] = {
        {&dialect_openai, {"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}"}, false},
        {&dialect_openai,
         {"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}"},
         true},
        {&dialect_openai,
         {"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}", "[DONE]"},
         true},
        {&dialect_openai, {"[DONE]"}, false},
        {&dialect_openai, {"{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}"}, false},
        {&dialect_openai, {"{\"choices\":[{\"index\":0,\"finish_reason\":\"error\"}]}"}, false},
        {&dialect_openai,
         {"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}",
          "<html>"},
         false},
        {&dialect_anthropic, {"{\"type\":\"message_start\",\"message\":{}}"}, false},
        {&dialect_anthropic,
         {"{\"type\":\"message_start\",\"message\":{}}",
          "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}"},
         true},
        {&dialect_anthropic, {"{\"type\":\"message_stop\"}"}, false},
        {&dialect_anthropic,
         {"{\"type\":\"message_start\",\"message\":{}}",
          "{\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"text\":\"a\"}}",
          "{\"type\":\"message_stop\"}"},
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer_options options = {.max_bytes = BYTES_MAX, .max_depth = DEPTH_MAX};
        const struct dialect *d = cases[i].dialect;
        struct answer_reader *r = d->reader_new(&options);
        struct answer a;
        dialect_answer_init(&a, BYTES_MAX);
        for (size_t k = 0; k < 4 && cases[i].events[k]; k++)
            d->reader_feed(r, STR(""), str_from_c(cases[i].events[k]), answer_sink_of(&a));
        d->reader_end(r, answer_sink_of(&a));
        if (a.whole != cases[i].whole)
            fail_msg("case %zu: whole is %d", i, a.whole);
        dialect_answer_release(&a);
        d->reader_free(r);
    }
}

/* ---- Errors ---- */

static void errors_have_the_types_of_their_status(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *type;
    } rows[] = {
        {400, "invalid_request_error"},
        {401, "authentication_error"},
        {402, "billing_error"},
        {403, "permission_error"},
        {404, "not_found_error"},
        {413, "request_too_large"},
        {422, "invalid_request_error"},
        {429, "rate_limit_error"},
        {500, "api_error"},
        {502, "api_error"},
        {504, "timeout_error"},
        {529, "overloaded_error"},
        {200, "api_error"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct openai_problem problem;
        struct json_value value;
        struct buf out BUF_AUTO;
        buf_init(&out, 4096);
        openai_problem_set(&problem, "server_error", NULL, "x", "what \"it\" says");
        dialect_anthropic.write_error(&out, rows[i].status, &problem);
        assert_true(json_find(buf_str(&out), "error.type", &value));
        assert_true(json_eq(&value, str_from_c(rows[i].type)));
        assert_true(json_find(buf_str(&out), "error.message", &value));
        assert_true(json_eq(&value, STR("what \"it\" says")));
        assert_true(json_find(buf_str(&out), "type", &value) && json_eq(&value, STR("error")));
    }
}

static void errors_are_read_in_each_form(void **state)
{
    (void)state;
    struct openai_problem problem;
    struct buf out BUF_AUTO;
    buf_init(&out, 4096);
    dialect_anthropic.read_error(STR("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
                                     "\"message\":\"Overloaded\"},"
                                     "\"request_id\":\"req_1\"}"),
                                 529, &problem);
    assert_string_equal(problem.type, "overloaded_error");
    assert_string_equal(problem.message, "Overloaded");
    dialect_openai.write_error_event(&out, 529, 0, &problem);
    assert_string_equal(buf_cstr(&out), "data: {\"error\":{\"message\":\"Overloaded\",\"type\":"
                                        "\"overloaded_error\",\"param\":null,\"code\":null}}\n\n");
    buf_reset(&out);
    dialect_anthropic.write_error_event(&out, 200, 0, &problem);
    assert_string_equal(buf_cstr(&out),
                        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"
                        "\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_bounded),
        cmocka_unit_test(a_translation_too_large_is_refused),
        cmocka_unit_test(what_alternating_calls_hold_back_is_bounded),
        cmocka_unit_test(what_is_collected_is_bounded),
        cmocka_unit_test(too_many_calls_are_an_error),
        cmocka_unit_test(only_a_whole_stream_ends),
        cmocka_unit_test(errors_have_the_types_of_their_status),
        cmocka_unit_test(errors_are_read_in_each_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
