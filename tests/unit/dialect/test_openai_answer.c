/* Usage, answers in one piece, and errors in OpenAI's form. */
#include "tests/unit/unit.h"

#include "base/buf.h"
#include "codec/json_scan.h"
#include "dialect/openai_chat.h"

/* ---- Usage ---- */

struct usage_case {
    const char *text;
    int64_t input, cached, written, output, reasoning, audio_in, audio_out;
};

static const struct usage_case usage_cases[] = {
    /* OpenAI */
    {"{\"prompt_tokens\":2006,\"completion_tokens\":300,\"total_tokens\":2306,"
     "\"prompt_tokens_details\":{\"cached_tokens\":1920,\"audio_tokens\":0},"
     "\"completion_tokens_details\":{\"reasoning_tokens\":128,\"audio_tokens\":5,"
     "\"accepted_prediction_tokens\":0}}",
     2006, 1920, 0, 300, 128, 0, 5},
    {"{\"prompt_tokens\":10,\"completion_tokens\":2,\"prompt_tokens_details\":null}", 10, 0, 0, 2,
     0, 0, 0},
    {"{\"prompt_tokens\":3000,\"completion_tokens\":10,\"total_tokens\":3010,"
     "\"prompt_tokens_details\":{\"cached_tokens\":2000,\"cache_write_tokens\":400,\"audio_"
     "tokens\":7}}",
     3000, 2000, 400, 10, 0, 7, 0},
    {"{\"prompt_tokens\":5}", 5, 0, 0, 0, 0, 0, 0},
    /* DeepSeek: hit + miss = prompt */
    {"{\"prompt_tokens\":100,\"completion_tokens\":20,\"total_tokens\":120,"
     "\"prompt_cache_hit_tokens\":64,\"prompt_cache_miss_tokens\":36}",
     100, 64, 0, 20, 0, 0, 0},
    /* Anthropic: beside input_tokens */
    {"{\"input_tokens\":10,\"cache_creation_input_tokens\":200,\"cache_read_input_tokens\":3000,"
     "\"output_tokens\":50,\"service_tier\":\"standard\"}",
     3210, 3000, 200, 50, 0, 0, 0},
    {"{\"input_tokens\":10,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":null,"
     "\"output_tokens\":50}",
     10, 0, 0, 50, 0, 0, 0},
    /* Responses: within input_tokens */
    {"{\"input_tokens\":3438,\"input_tokens_details\":{\"cached_tokens\":3423,\"cache_write_"
     "tokens\":12},"
     "\"output_tokens\":9,\"output_tokens_details\":{\"reasoning_tokens\":4},\"total_tokens\":"
     "3447}",
     3438, 3423, 12, 9, 4, 0, 0},
    /* LiteLLM: both forms, within prompt_tokens */
    {"{\"prompt_tokens\":3210,\"completion_tokens\":50,\"total_tokens\":3260,"
     "\"prompt_tokens_details\":{\"cached_tokens\":3000},\"cache_creation_input_tokens\":200,"
     "\"cache_read_input_tokens\":3000}",
     3210, 3000, 200, 50, 0, 0, 0},
    /* cache beside prompt_tokens, as the total shows, or because it would not fit */
    {"{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":95,\"prompt_tokens_details\":{"
     "\"cached_tokens\":80}}",
     90, 80, 0, 5, 0, 0, 0},
    {"{\"prompt_tokens\":10,\"completion_tokens\":5,\"cache_read_input_tokens\":80}", 90, 80, 0, 5,
     0, 0, 0},
    /* xAI: reasoning beside completion_tokens */
    {"{\"prompt_tokens\":10120,\"completion_tokens\":1499,\"total_tokens\":14428,"
     "\"prompt_tokens_details\":{\"cached_tokens\":128},\"completion_tokens_details\":{"
     "\"reasoning_tokens\":2809}}",
     10120, 128, 0, 4308, 2809, 0, 0},
    {"{\"prompt_tokens\":12,\"completion_tokens\":1,\"completion_tokens_details\":{"
     "\"reasoning_tokens\":386}}",
     12, 0, 0, 387, 386, 0, 0},
    {"{\"prompt_tokens\":200,\"completion_tokens\":200,\"total_tokens\":528,\"prompt_tokens_"
     "details\":{"
     "\"cached_tokens\":128},\"completion_tokens_details\":{\"reasoning_tokens\":128}}",
     200, 128, 0, 328, 128, 0, 0},
    /* Gemini's compatible endpoint: thoughts in the total only */
    {"{\"prompt_tokens\":20,\"completion_tokens\":198,\"total_tokens\":623}", 20, 0, 0, 603, 405, 0,
     0},
    {"{\"completion_tokens\":0,\"total_tokens\":81,\"prompt_tokens\":21,"
     "\"completion_tokens_details\":{\"reasoning_tokens\":60}}",
     21, 0, 0, 60, 60, 0, 0},
    /* a total that is too small says nothing */
    {"{\"prompt_tokens\":20,\"completion_tokens\":10,\"total_tokens\":20}", 20, 0, 0, 10, 0, 0, 0},
    /* nonsense is as good as absent */
    {"{\"prompt_tokens\":-5,\"completion_tokens\":10}", 0, 0, 0, 10, 0, 0, 0},
    {"{\"prompt_tokens\":1e300,\"completion_tokens\":10.5,\"output_tokens\":3}", 0, 0, 0, 3, 0, 0,
     0},
    {"{\"prompt_tokens\":\"12\",\"completion_tokens\":1e1}", 0, 0, 0, 10, 0, 0, 0},
    {"{\"prompt_tokens\":5,\"completion_tokens\":1,\"prompt_tokens_details\":{\"audio_tokens\":99},"
     "\"completion_tokens_details\":{\"audio_tokens\":99}}",
     5, 0, 0, 1, 0, 5, 1},
};

static void usage_is_normalised(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof usage_cases / sizeof *usage_cases; i++) {
        const struct usage_case *c = &usage_cases[i];
        struct usage u = {0};
        if (openai_usage_read(str_from_c(c->text), &u) != ERR_OK)
            fail_msg("%s", c->text);
        bool right = u.input == c->input && u.cached_input == c->cached &&
                     u.cache_write == c->written && u.output == c->output &&
                     u.reasoning == c->reasoning && u.audio_in == c->audio_in &&
                     u.audio_out == c->audio_out && u.source == USAGE_PROVIDER;
        if (!right)
            fail_msg("%s: input %d (%d %d) output %d (%d)", c->text, (int)u.input,
                     (int)u.cached_input, (int)u.cache_write, (int)u.output, (int)u.reasoning);
    }
}

static void tiers_and_contradictions_are_noted(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum usage_tier tier;
        int64_t hour;
        unsigned suspect;
    } cases[] = {
        {"{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}", 0, 0, 0},
        {"{\"input_tokens\":1,\"cache_creation_input_tokens\":50,\"output_tokens\":2,"
         "\"cache_creation\":{\"ephemeral_5m_input_tokens\":20,\"ephemeral_1h_input_tokens\":30},"
         "\"service_tier\":\"priority\"}",
         USAGE_PRIORITY, 30, 0},
        {"{\"input_tokens\":1,\"cache_creation_input_tokens\":5,\"output_tokens\":2,"
         "\"cache_creation\":{\"ephemeral_1h_input_tokens\":30},\"service_tier\":\"batch\"}",
         USAGE_BATCH, 5, USAGE_SUSPECT_INPUT},
        {"{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11,"
         "\"prompt_tokens_details\":{\"cached_tokens\":30}}",
         0, 0, USAGE_SUSPECT_INPUT | USAGE_SUSPECT_TOTAL},
        {"{\"prompt_tokens\":9,\"completion_tokens\":2,"
         "\"completion_tokens_details\":{\"reasoning_tokens\":30}}",
         0, 0, USAGE_SUSPECT_OUTPUT},
        {"{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":7,"
         "\"service_tier\":\"default\"}",
         0, 0, USAGE_SUSPECT_TOTAL},
        /* Beside the total, and the total says so. */
        {"{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":41,"
         "\"completion_tokens_details\":{\"reasoning_tokens\":30}}",
         0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct usage u = {0};
        assert_int_equal(openai_usage_read(str_from_c(cases[i].text), &u), ERR_OK);
        if (u.tier != cases[i].tier || u.cache_write_1h != cases[i].hour ||
            u.suspect != cases[i].suspect)
            fail_msg("%s: tier %d, %d for an hour, suspect %u", cases[i].text, (int)u.tier,
                     (int)u.cache_write_1h, u.suspect);
        assert_true(u.cached_input + u.cache_write <= u.input && u.reasoning <= u.output);
    }
    struct chat_answer answer;
    assert_int_equal(
        openai_chat_read_answer(STR("{\"usage\":{\"prompt_tokens\":1},\"service_tier\":\"flex\"}"),
                                16, &answer),
        ERR_OK);
    assert_int_equal(answer.usage.tier, USAGE_FLEX);
}

static void what_is_no_usage_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "null",
        "[]",
        "7",
        "{}",
        "{\"total_tokens\":3}",
        "{\"prompt_tokens\":null}",
        "{\"prompt_tokens\":1",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct usage u = {.input = 77};
        assert_int_equal(openai_usage_read(str_from_c(texts[i]), &u), ERR_INVALID);
        assert_int_equal(u.input, 77);
    }
}

/* ---- Answers ---- */

static void answers_are_read(void **state)
{
    (void)state;
    struct str body =
        STR(" {\"id\":\"c\",\"model\":\"gpt-5\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
            "\"assistant\",\"content\":\"a\\nb\",\"refusal\":null},\"finish_reason\":\"stop\"},{"
            "\"index\":1,"
            "\"message\":{\"content\":null,\"tool_calls\":[{}]},\"finish_reason\":\"tool_calls\"}],"
            "\"usage\": {\"prompt_tokens\":9,\"completion_tokens\":12} } ");
    struct chat_answer answer;
    assert_int_equal(openai_chat_read_answer(body, 16, &answer), ERR_OK);
    assert_true(
        str_eq(answer.usage_raw.raw, STR("{\"prompt_tokens\":9,\"completion_tokens\":12}")));
    assert_int_equal(answer.usage.input, 9);
    assert_int_equal(answer.usage.source, USAGE_PROVIDER);
    assert_true(json_eq(&answer.model, STR("gpt-5")));
    assert_int_equal(answer.output_bytes, 3 + 4);
    assert_true(answer.has_choices && answer.finished && !answer.has_error);

    body = STR(
        "{\"choices\":[{\"finish_reason\":\"stop\"},{\"finish_reason\":null},7],\"usage\":null}");
    assert_int_equal(openai_chat_read_answer(body, 16, &answer), ERR_OK);
    assert_int_equal(answer.usage_raw.kind, JSON_NONE);
    assert_int_equal(answer.usage.source, USAGE_NONE);
    assert_true(answer.has_choices && !answer.finished);

    body = STR("{\"error\":{\"message\":\"x\"},\"usage\":{\"odd\":1}}");
    assert_int_equal(openai_chat_read_answer(body, 16, &answer), ERR_OK);
    assert_true(answer.has_error && !answer.has_choices && !answer.finished);
    assert_int_equal(answer.usage_raw.kind, JSON_OBJECT);
    assert_int_equal(answer.usage.source, USAGE_NONE);

    assert_int_equal(openai_chat_read_answer(STR("<html>"), 16, &answer), ERR_INVALID);
    assert_int_equal(openai_chat_read_answer(STR("{\"choices\":["), 16, &answer), ERR_TRUNCATED);
    assert_int_equal(openai_chat_read_answer(STR(""), 16, &answer), ERR_TRUNCATED);
    assert_int_equal(openai_chat_read_answer(STR("[]"), 16, &answer), ERR_INVALID);
}

/* ---- Errors ---- */

struct error_case {
    struct str body;
    int status;
    const char *message, *type, *param, *code;
};

static const struct error_case error_cases[] = {
    {STR_INIT("{\"error\":{\"message\":\"no\",\"type\":\"invalid_request_error\",\"param\":\"n\","
              "\"code\":\"bad_n\"}}"),
     400, "no", "invalid_request_error", "n", "bad_n"},
    {STR_INIT("{\"error\":{\"message\":\"no\",\"type\":null,\"param\":null,\"code\":null}}"), 500,
     "no", "upstream_error", "", ""},
    {STR_INIT("{\"code\":1,\"error\":{\"message\":\"a\\nb\\u0000\\u001b[31m  c\",\"code\":502}}"),
     502, "a b [31m c", "upstream_error", "", "502"},
    {STR_INIT("{\"error\":\"model not found\"}"), 404, "model not found", "invalid_request_error",
     "", ""},
    {STR_INIT(
         "{\"object\":\"error\",\"message\":\"bad\",\"type\":\"BadRequestError\",\"param\":null,"
         "\"code\":400}"),
     400, "bad", "BadRequestError", "", "400"},
    {STR_INIT("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":"
              "\"Overloaded\"}}"),
     529, "Overloaded", "overloaded_error", "", ""},
    {STR_INIT(
         "[{\"error\":{\"code\":429,\"message\":\"quota\",\"status\":\"RESOURCE_EXHAUSTED\"}},{}]"),
     429, "quota", "RESOURCE_EXHAUSTED", "", "429"},
    {STR_INIT("{\"detail\":\"Not Found\"}"), 404, "Not Found", "invalid_request_error", "", ""},
    {STR_INIT(
         "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"field required\",\"type\":\"missing\"}]}"),
     422, "field required", "invalid_request_error", "", ""},
    {STR_INIT("{\"error\":null,\"message\":\"m\",\"status\":500}"), 500, "m", "upstream_error", "",
     ""},
    {STR_INIT("{\"ok\":false}"), 400, "HTTP 400 with JSON that holds no error message",
     "invalid_request_error", "", ""},
    {STR_INIT("{\"error\":{\"message\":\"cut"), 500,
     "HTTP 500 with JSON that holds no error message", "upstream_error", "", ""},
    {STR_INIT(""), 502, "HTTP 502 with an empty body", "upstream_error", "", ""},
    {STR_INIT(" \r\n"), 502, "HTTP 502 with an empty body", "upstream_error", "", ""},
    {STR_INIT("\n<!DOCTYPE html>\n<html><head><TITLE>502 Bad\n "
              "Gateway</TITLE></head><body>nginx</body>"),
     502, "HTTP 502 with an HTML page: 502 Bad Gateway", "upstream_error", "", ""},
    {STR_INIT("<html><body>x</body></html>"), 503, "HTTP 503 with an HTML page", "upstream_error",
     "", ""},
    {STR_INIT("<html><title>never ends"), 503, "HTTP 503 with an HTML page", "upstream_error", "",
     ""},
    {STR_INIT("upstream\tconnect\x1b[0m error"), 503, "HTTP 503: upstream connect [0m error",
     "upstream_error", "", ""},
};

static void errors_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof error_cases / sizeof *error_cases; i++) {
        const struct error_case *c = &error_cases[i];
        struct openai_problem p;
        openai_error_read(c->body, c->status, &p);
        assert_string_equal(p.message, c->message);
        assert_string_equal(p.type, c->type);
        assert_string_equal(p.param, c->param);
        assert_string_equal(p.code, c->code);
    }
}

static void long_errors_are_cut_at_a_character(void **state)
{
    (void)state;
    struct buf body BUF_AUTO;
    struct openai_problem p;
    buf_init(&body, 1 << 20);
    buf_append_str(&body, STR("{\"error\":{\"message\":\""));
    for (int i = 0; i < 400; i++)
        buf_append_str(&body, STR("\xE4\xBD\xA0"));
    buf_append_str(&body, STR("\"}}"));
    openai_error_read(buf_str(&body), 400, &p);
    assert_int_equal(strlen(p.message), (sizeof p.message - 1) / 3 * 3);

    openai_problem_set(&p, "t", NULL, NULL, "%s", buf_cstr(&body));
    size_t start = strlen("{\"error\":{\"message\":\"");
    assert_int_equal((strlen(p.message) - start) % 3, 0);
    assert_true(strlen(p.message) > sizeof p.message - 4);

    buf_reset(&body);
    for (int i = 0; i < 20000; i++)
        buf_append_str(&body, STR("word "));
    openai_error_read(buf_str(&body), 500, &p);
    assert_true(strlen(p.message) < 250);
}

static void errors_are_written(void **state)
{
    (void)state;
    struct buf out BUF_AUTO;
    struct openai_problem p;
    buf_init(&out, 2000);
    openai_error_write(&out, STR("say \"please\"\n"), STR("invalid_request_error"), STR("model"),
                       STR_NONE);
    assert_string_equal(buf_cstr(&out),
                        "{\"error\":{\"message\":\"say \\\"please\\\"\\n\",\"type\":"
                        "\"invalid_request_error\",\"param\":\"model\",\"code\":null}}");
    buf_reset(&out);
    openai_problem_set(&p, openai_error_type(ERR_LIMIT), NULL, openai_error_code(ERR_LIMIT),
                       "%d requests a minute", 5);
    openai_error_event_write(&out, &p);
    assert_string_equal(
        buf_cstr(&out),
        "data: {\"error\":{\"message\":\"5 requests a minute\",\"type\":"
        "\"rate_limit_error\",\"param\":null,\"code\":\"rate_limit_exceeded\"}}\n\n");
}

static void every_error_has_a_type(void **state)
{
    (void)state;
    for (int e = 1; e < ERR_COUNT; e++) {
        assert_true(strlen(openai_error_type((enum err)e)) > 0);
        assert_non_null(openai_error_code((enum err)e));
    }
    assert_string_equal(openai_error_code(ERR_UNAUTHORIZED), "invalid_api_key");
    assert_string_equal(openai_error_type(ERR_TIMEOUT), "upstream_error");
    assert_string_equal(openai_error_type(ERR_QUOTA), "server_error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_is_normalised),
        cmocka_unit_test(tiers_and_contradictions_are_noted),
        cmocka_unit_test(what_is_no_usage_is_refused),
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(errors_are_read),
        cmocka_unit_test(long_errors_are_cut_at_a_character),
        cmocka_unit_test(errors_are_written),
        cmocka_unit_test(every_error_has_a_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
