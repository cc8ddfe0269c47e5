#include "tests/unit/unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "dialect/openai_chat.h"

#define MESSAGES "\"messages\":[]"

/* ---- What is read ---- */

struct read_case {
    const char *body;
    const char *model;
    bool stream, usage_asked;
    int64_t max_tokens, n;
    const char *user;
};

static const struct read_case read_cases[] = {
    {"{\"model\":\"m\"}", "m", false, false, 0, 1, ""},
    {" { \"model\" : \"m\" } \n", "m", false, false, 0, 1, ""},
    {"{\"mod\\u0065l\":\"a\\/b\"," MESSAGES "}", "a/b", false, false, 0, 1, ""},
    {"{\"model\":\"m\",\"stream\":true}", "m", true, false, 0, 1, ""},
    {"{\"stream\":true,\"stream\":false,\"model\":\"m\"}", "m", false, false, 0, 1, ""},
    {"{\"stream\":\"true\",\"model\":\"m\"}", "m", false, false, 0, 1, ""},
    {"{\"stream\":null,\"model\":\"m\"}", "m", false, false, 0, 1, ""},
    {"{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}", "m", true,
     true, 0, 1, ""},
    {"{\"stream_options\":{\"include_usage\":true},\"model\":\"m\"}", "m", false, false, 0, 1, ""},
    {"{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":false}}", "m", true,
     false, 0, 1, ""},
    {"{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
     "\"stream_options\":null}",
     "m", true, false, 0, 1, ""},
    {"{\"model\":\"m\",\"max_tokens\":5,\"n\":3,\"user\":\"u\\n1\"}", "m", false, false, 5, 3,
     "u\n1"},
    {"{\"model\":\"m\",\"max_completion_tokens\":9,\"max_tokens\":5}", "m", false, false, 9, 1, ""},
    {"{\"model\":\"m\",\"max_tokens\":1e3,\"n\":null,\"user\":7}", "m", false, false, 1000, 1, ""},
    {"{\"model\":\"m\",\"max_tokens\":-5,\"n\":-1}", "m", false, false, 0, 1, ""},
    {"{\"model\":\"m\",\"max_tokens\":\"5\",\"n\":1.5}", "m", false, false, 0, 1, ""},
    {"{\"model\":\"m\",\"max_tokens\":99999999999999999999,\"n\":1e30}", "m", false, false,
     CHAT_TOKENS_MAX, CHAT_TOKENS_MAX, ""},
    {"{\"model\":\"m\",\"max_tokens\":-99999999999999999999}", "m", false, false, 0, 1, ""},
    {"{\"metadata\":{\"model\":\"inner\"},\"model\":\"m\"}", "m", false, false, 0, 1, ""},
    {"{\"model\":\"gr\xC3\xBC\xC3\x9F/\\ud83d\\ude00\"}", "gr\xC3\xBC\xC3\x9F/\xF0\x9F\x98\x80",
     false, false, 0, 1, ""},
};

static void fields_are_read(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    for (size_t i = 0; i < sizeof read_cases / sizeof *read_cases; i++) {
        const struct read_case *c = &read_cases[i];
        struct chat_request q = {0};
        struct openai_problem problem = {0};
        if (openai_chat_read_request(str_from_c(c->body), 8, &arena, &q, &problem) != ERR_OK)
            fail_msg("%s: %s", c->body, problem.message);
        bool right = str_eq(q.model, str_from_c(c->model)) && q.stream == c->stream &&
                     q.usage_asked == c->usage_asked && q.max_tokens == c->max_tokens &&
                     q.n == c->n && str_eq(q.user, str_from_c(c->user));
        if (!right)
            fail_msg("%s", c->body);
    }
    arena_release(&arena);
}

static void spans_are_the_bodys_own(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    struct str body =
        STR("{\"messages\" : [ {\"role\":\"user\",\"content\":\"hi\"} ] ,\"model\":\"m\","
            "\"metadata\": {\"a\": [1]} }");
    struct chat_request q;
    struct openai_problem problem;
    assert_int_equal(openai_chat_read_request(body, 8, &arena, &q, &problem), ERR_OK);
    assert_int_equal(q.messages.kind, JSON_ARRAY);
    assert_true(str_eq(q.messages.raw, STR("[ {\"role\":\"user\",\"content\":\"hi\"} ]")));
    assert_true(str_eq(q.metadata.raw, STR("{\"a\": [1]}")));
    assert_true(str_eq(q.model_value.raw, STR("\"m\"")));
    assert_ptr_equal(q.model.ptr, q.model_value.raw.ptr + 1);

    body = STR("{\"model\":\"m\",\"messages\":\"hello\"}");
    assert_int_equal(openai_chat_read_request(body, 8, &arena, &q, &problem), ERR_OK);
    assert_int_equal(q.messages.kind, JSON_STRING);
    assert_int_equal(q.metadata.kind, JSON_NONE);
    arena_release(&arena);
}

static void prompts_are_estimated(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        int64_t tokens;
    } cases[] = {
        {"\"messages\":[]", 0},
        {"\"messages\":[{\"role\":\"user\",\"content\":\"12345678\"}]", 4 + 2},
        {"\"messages\":[{\"content\":\"12345678\",\"role\":\"user\"},{\"role\":\"user\","
         "\"content\":"
         "null}]",
         8 + 2},
        {"\"messages\":[{\"role\":\"user\",\"content\":\"\\u4f60\\n\\ud83d\\ude00\"}]", 4 + 2},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"12345678\","
         "\"cache_control\":{\"type\":\"ephemeral\"}},{\"type\":\"image_url\",\"image_url\":{"
         "\"url\":"
         "\"data:image/png;base64,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}]}]",
         4 + 2 + 1024},
        {"\"messages\":[{\"role\":\"tool\",\"tool_call_id\":\"1234\",\"content\":\"5678\"}]",
         4 + 2},
        {"\"messages\":[],\"tools\":[{\"a\":1}]", 9 / 4},
        {"\"messages\":[],\"metadata\":{\"x\":\"0123456789012345678901234567890123456789\"}", 0},
        {"\"messages\":[7,\"x\",[]]", 12},
    };
    struct arena arena;
    arena_init(&arena);
    struct buf body BUF_AUTO;
    buf_init(&body, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct chat_request q;
        struct openai_problem problem;
        buf_reset(&body);
        buf_printf(&body, "{\"model\":\"m\",%s}", cases[i].members);
        assert_int_equal(openai_chat_read_request(buf_str(&body), 8, &arena, &q, &problem), ERR_OK);
        if (q.prompt_tokens != cases[i].tokens)
            fail_msg("%s: %d", cases[i].members, (int)q.prompt_tokens);
    }
    arena_release(&arena);
}

/* ---- What is refused ---- */

struct bad_case {
    struct str body;
    const char *message;
    const char *param;
};

static const struct bad_case bad_cases[] = {
    {STR_INIT(""), "The request's body is empty: send a JSON object.", ""},
    {STR_INIT(" \n"), "The request's body is empty: send a JSON object.", ""},
    {STR_INIT("[]"), "The request's body must be a JSON object, but it is an array.", ""},
    {STR_INIT("\"model\""), "The request's body must be a JSON object, but it is a string.", ""},
    {STR_INIT("null"), "The request's body must be a JSON object, but it is null.", ""},
    {STR_INIT("{\"model\":\"m\""),
     "The request's body is not valid JSON: it ends too early, at byte 12.", ""},
    {STR_INIT("{\"model\":\"m\",}"),
     "The request's body is not valid JSON: unexpected character, at byte 13.", ""},
    {STR_INIT("{\"model\":\"m\"} x"),
     "The request's body is not valid JSON: unexpected text after the end, at byte 14.", ""},
    {STR_INIT("{\"model\":\"m\xFF\"}"),
     "The request's body is not valid JSON: invalid UTF-8, at byte 11.", ""},
    {STR_INIT("{\"model\":\"m\",\"a\":[[[[1]]]]}"),
     "The request's body nests deeper than 4 levels (limits.nesting), at byte 20.", ""},
    {STR_INIT("{}"), "'model' is missing: name the model to call.", "model"},
    {STR_INIT("{\"models\":\"m\"}"), "'model' is missing: name the model to call.", "model"},
    {STR_INIT("{\"model\":null}"), "'model' must be a string, but it is null.", "model"},
    {STR_INIT("{\"model\":7}"), "'model' must be a string, but it is a number.", "model"},
    {STR_INIT("{\"model\":[\"m\"]}"), "'model' must be a string, but it is an array.", "model"},
    {STR_INIT("{\"model\":\"\"}"), "'model' is empty: name the model to call.", "model"},
    {STR_INIT("{\"model\":\"a\\nb\"}"), "'model' holds a control character: send the plain name.",
     "model"},
    {STR_INIT("{\"model\":\"a\\u0000\"}"),
     "'model' holds a control character: send the plain name.", "model"},
    {STR_INIT("{\"model\":\"a\x7f\"}"), "'model' holds a control character: send the plain name.",
     "model"},
    {STR_INIT("{\"model\":\"a\",\"model\":\"a\"}"),
     "'model' is in the body 2 times (at bytes 9 and 21): send it once.", "model"},
    {STR_INIT("{\"model\":\"a\",\"mod\\u0065l\":null,\"model\":3}"),
     "'model' is in the body 3 times (at bytes 9 and 26): send it once.", "model"},
};

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    for (size_t i = 0; i < sizeof bad_cases / sizeof *bad_cases; i++) {
        const struct bad_case *c = &bad_cases[i];
        struct chat_request q = {.n = 77};
        struct openai_problem problem = {0};
        assert_int_equal(openai_chat_read_request(c->body, 4, &arena, &q, &problem), ERR_INVALID);
        assert_string_equal(problem.message, c->message);
        assert_string_equal(problem.param, c->param);
        assert_string_equal(problem.type, "invalid_request_error");
        assert_int_equal(q.n, 77);
    }
    arena_release(&arena);
}

static void long_names_are_refused(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    struct buf body BUF_AUTO;
    buf_init(&body, 2000);
    for (int extra = 0; extra < 2; extra++) {
        struct chat_request q;
        struct openai_problem problem;
        buf_reset(&body);
        buf_printf(&body, "{\"model\":\"%0*d\"}", CHAT_MODEL_BYTES_MAX + extra, 7);
        enum err e = openai_chat_read_request(buf_str(&body), 4, &arena, &q, &problem);
        assert_int_equal(e, extra ? ERR_INVALID : ERR_OK);
    }
    arena_release(&arena);
}

/* ---- What goes out ---- */

struct rewrite_case {
    const char *body;
    const char *upstream;
    const char *out;
    bool adds_usage;
};

#define USAGE "{\"include_usage\":true}"

static const struct rewrite_case rewrite_cases[] = {
    {"{\"model\":\"a\"}", "b", "{\"model\":\"b\"}", false},
    {"{\"model\":\"a\"}", "a", "{\"model\":\"a\"}", false},
    {"{\"model\":\"\\u0061\"}", "a", "{\"model\":\"\\u0061\"}", false},
    {" {\n\t\"x\" : 1.50 , \"model\" : \"a\" , \"y\":\"\\ud800\" } ", "b\"\xC3\xA9",
     " {\n\t\"x\" : 1.50 , \"model\" : \"b\\\"\xC3\xA9\" , \"y\":\"\\ud800\" } ", false},
    {"{\"model\":\"a\",\"stream\":false,\"stream_options\":{}}", "b",
     "{\"model\":\"b\",\"stream\":false,\"stream_options\":{}}", false},
    /* added */
    {"{\"model\":\"a\",\"stream\":true}", "b",
     "{\"model\":\"b\",\"stream_options\":" USAGE ",\"stream\":true}", true},
    {"{\"stream\":true,\"model\":\"a\"}", "a",
     "{\"stream\":true,\"model\":\"a\",\"stream_options\":" USAGE "}", true},
    /* null becomes an object */
    {"{\"model\":\"a\",\"stream_options\": null ,\"stream\":true}", "b",
     "{\"model\":\"b\",\"stream_options\": " USAGE " ,\"stream\":true}", true},
    /* into what is there */
    {"{\"stream_options\":{},\"stream\":true,\"model\":\"a\"}", "b",
     "{\"stream_options\":" USAGE ",\"stream\":true,\"model\":\"b\"}", true},
    {"{\"stream_options\":{ \n},\"stream\":true,\"model\":\"a\"}", "a",
     "{\"stream_options\":{\"include_usage\":true \n},\"stream\":true,\"model\":\"a\"}", true},
    {"{\"model\":\"a\",\"stream\":true,\"stream_options\":{ \"x\":{}}}", "b",
     "{\"model\":\"b\",\"stream\":true,\"stream_options\":{\"include_usage\":true, \"x\":{}}}",
     true},
    /* a false or a null is replaced */
    {"{\"model\":\"a\",\"stream\":true,\"stream_options\":{\"include_usage\":false,\"x\":1}}", "b",
     "{\"model\":\"b\",\"stream\":true,\"stream_options\":{\"include_usage\":true,\"x\":1}}", true},
    {"{\"stream_options\":{\"include\\u005fusage\": null},\"stream\":true,\"model\":\"a\"}", "b",
     "{\"stream_options\":{\"include\\u005fusage\": true},\"stream\":true,\"model\":\"b\"}", true},
    /* the caller asked */
    {"{\"stream_options\":{\"include_usage\":true},\"stream\":true,\"model\":\"a\"}", "b",
     "{\"stream_options\":{\"include_usage\":true},\"stream\":true,\"model\":\"b\"}", false},
    /* what is no object, or no boolean, is the target's to refuse */
    {"{\"stream_options\":\"x\",\"stream\":true,\"model\":\"a\"}", "b",
     "{\"stream_options\":\"x\",\"stream\":true,\"model\":\"b\"}", false},
    {"{\"stream_options\":{\"include_usage\":1},\"stream\":true,\"model\":\"a\"}", "b",
     "{\"stream_options\":{\"include_usage\":1},\"stream\":true,\"model\":\"b\"}", false},
    /* of two the last counts */
    {"{\"stream_options\":{\"include_usage\":true},\"stream_options\":{},\"stream\":true,\"model\":"
     "\"a\"}",
     "b",
     "{\"stream_options\":{\"include_usage\":true},\"stream_options\":" USAGE
     ",\"stream\":true,\"model\":\"b\"}",
     true},
};

static void bodies_are_rewritten(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    struct buf out BUF_AUTO;
    buf_init(&out, 1000);
    for (size_t i = 0; i < sizeof rewrite_cases / sizeof *rewrite_cases; i++) {
        const struct rewrite_case *c = &rewrite_cases[i];
        struct chat_request q;
        struct openai_problem problem;
        struct chat_body body;
        assert_int_equal(openai_chat_read_request(str_from_c(c->body), 8, &arena, &q, &problem),
                         ERR_OK);
        openai_chat_rewrite(&q, str_from_c(c->upstream), &arena, &body);
        buf_reset(&out);
        for (size_t k = 0; k < body.count; k++)
            buf_append_str(&out, body.parts[k]);
        assert_string_equal(buf_cstr(&out), c->out);
        assert_int_equal(body.bytes, out.len);
        assert_int_equal(body.adds_usage, c->adds_usage);
        assert_true(body.count <= CHAT_BODY_PARTS_MAX);
    }
    arena_release(&arena);
}

static void an_unchanged_body_is_one_part(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    struct str text = STR("{\"model\":\"a\"," MESSAGES "}");
    struct chat_request q;
    struct openai_problem problem;
    struct chat_body body;
    assert_int_equal(openai_chat_read_request(text, 8, &arena, &q, &problem), ERR_OK);
    openai_chat_rewrite(&q, STR("a"), &arena, &body);
    assert_int_equal(body.count, 1);
    assert_ptr_equal(body.parts[0].ptr, text.ptr);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_read),
        cmocka_unit_test(spans_are_the_bodys_own),
        cmocka_unit_test(prompts_are_estimated),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(long_names_are_refused),
        cmocka_unit_test(bodies_are_rewritten),
        cmocka_unit_test(an_unchanged_body_is_one_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
