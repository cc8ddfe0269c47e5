/* Chat requests as an engine reads them: what is understood, and what each refusal names. */
#include "tests/unit/unit.h"

#include <math.h>

#include "model/local/engine_request.h"

static const struct engine_sampling defaults = ENGINE_SAMPLING_DEFAULT;

#define USER(text) "\"messages\":[{\"role\":\"user\",\"content\":" text "}]"

static void read_good(const char *json, struct engine_request *r)
{
    struct openai_problem problem = {.message = ""};
    enum err e = engine_request_read(FRAME_TASK_CHAT, str_from_c(json), &defaults, r, &problem);
    if (e != ERR_OK)
        print_error("%s: %s\n", json, problem.message);
    assert_int_equal(e, ERR_OK);
}

static void all_fields_are_read(void **state)
{
    struct engine_request r;
    (void)state;
    read_good(
        "{\"model\":\"m\",\"messages\":[{\"role\":\"developer\",\"content\":\"be \\u00e9\"},"
        "{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"text\":\"b\",\"type\":\"text\"}],"
        "\"role\":\"user\",\"name\":\"x\"},{\"role\":\"assistant\",\"content\":null,"
        "\"tool_calls\":[]},{\"role\":\"system\",\"content\":\"\"}],"
        "\"temperature\":0,\"top_p\":0.5,\"min_p\":0.1,\"top_k\":7,\"repeat_penalty\":1.1,"
        "\"frequency_penalty\":-2,\"presence_penalty\":2,\"seed\":-1,\"max_tokens\":5,"
        "\"max_completion_tokens\":6,\"stop\":[\"a\",\"\\n\"],\"logit_bias\":{\"12\":-100,"
        "\"13\":1.5},\"stream\":true,\"stream_options\":{\"include_usage\":true,\"x\":[1]},"
        "\"n\":1,\"tools\":[],\"tool_choice\":\"none\",\"response_format\":{\"type\":\"text\"},"
        "\"logprobs\":false,\"user\":\"u\",\"metadata\":{\"a\":\"b\"},\"ignore_eos\":true}",
        &r);
    assert_int_equal(r.message_count, 4);
    assert_string_equal(r.messages[0].role.ptr, "system");
    assert_string_equal(r.messages[0].content.ptr, "be \xC3\xA9");
    assert_string_equal(r.messages[1].content.ptr, "ab");
    assert_string_equal(r.messages[2].role.ptr, "assistant");
    assert_string_equal(r.messages[2].content.ptr, "");
    assert_true(r.sampling.temperature == 0 && r.sampling.top_p == 0.5 && r.sampling.min_p == 0.1);
    assert_true(r.sampling.top_k == 7 && r.sampling.repeat_penalty == 1.1);
    assert_true(r.sampling.frequency_penalty == -2 && r.sampling.presence_penalty == 2);
    assert_true(r.sampling.seed_given);
    assert_int_equal(r.max_tokens, 6);
    assert_int_equal(r.stop_count, 2);
    assert_true(str_eq(r.stops[1], STR("\n")));
    assert_int_equal(r.bias_count, 2);
    assert_int_equal(r.bias[0].token, 12);
    assert_true(isinf(r.bias[0].bias) && r.bias[1].bias == 1.5f);
    assert_true(r.stream && r.include_usage && r.ignore_eos);
    engine_request_release(&r);
}

static void silence_means_the_defaults(void **state)
{
    struct engine_request r;
    (void)state;
    read_good(
        "{" USER(
            "\"hi\"") ",\"temperature\":null,\"stop\":null,\"max_tokens\":null,"
                      "\"tools\":null,\"seed\":null,\"logit_bias\":null,\"stream_options\":null}",
        &r);
    assert_memory_equal(&r.sampling, &defaults, sizeof defaults);
    assert_true(r.stop_count == 0 && r.max_tokens == -1 && r.logprobs == -1 && r.choices == 1 &&
                !r.stream && !r.include_usage);
    engine_request_release(&r);
    read_good("{" USER("\"hi\"") ",\"stop\":\"one\"}", &r);
    assert_int_equal(r.stop_count, 1);
    engine_request_release(&r);
}

struct refusal {
    const char *json;
    const char *param;
    const char *says; /* part of the message */
};

static const struct refusal refusals[] = {
    {"", "", "not valid JSON"},
    {"[]", "", "must be a JSON object"},
    {"{}", "messages", "at least one"},
    {"{" USER("\"a\""), "", "not valid JSON"},
    {"{" USER("\"a\"") "} x", "", "not valid JSON"},
    {"{\"messages\":{}}", "messages", "must be a list"},
    {"{\"messages\":[]}", "messages", "at least one"},
    {"{\"messages\":[3]}", "messages[0]", "must be an object"},
    {"{\"messages\":[{\"content\":\"a\"}]}", "messages[0]", "no role"},
    {"{\"messages\":[{\"role\":\"critic\",\"content\":\"a\"}]}", "messages[0].role", "system"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":4}]}", "messages[1].role",
     "user"},
    {"{" USER("5") "}", "messages[0].content", "string or a list"},
    {"{" USER("\"a\\u0000b\"") "}", "messages[0].content", "NUL"},
    {"{" USER("[\"a\"]") "}", "messages[0].content[0]", "must be an object"},
    {"{" USER("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\",\"image_url\":{}}]") "}",
     "messages[0].content[1]", "not text"},
    {"{" USER("[{\"text\":\"a\"}]") "}", "messages[0].content[0]", "missing"},
    {"{" USER("[{\"type\":\"text\"}]") "}", "messages[0].content[0]", "must be a string"},
    {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{}]}]}", "messages[0]", "tool_calls"},
    {"{" USER("\"a\"") ",\"temperature\":2.1}", "temperature", "from 0 to 2"},
    {"{" USER("\"a\"") ",\"temperature\":\"hot\"}", "temperature", "from 0 to 2"},
    {"{" USER("\"a\"") ",\"top_p\":-1}", "top_p", "from 0 to 1"},
    {"{" USER("\"a\"") ",\"frequency_penalty\":3}", "frequency_penalty", "from -2 to 2"},
    {"{" USER("\"a\"") ",\"max_tokens\":0}", "max_tokens", "from 1"},
    {"{" USER("\"a\"") ",\"max_completion_tokens\":1.5}", "max_completion_tokens", "whole number"},
    {"{" USER("\"a\"") ",\"seed\":\"x\"}", "seed", "whole number"},
    {"{" USER("\"a\"") ",\"stop\":\"\"}", "stop", "0 bytes"},
    {"{" USER("\"a\"") ",\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}", "stop", "more than 4"},
    {"{" USER("\"a\"") ",\"stop\":[1]}", "stop", "list of strings"},
    {"{" USER("\"a\"") ",\"logit_bias\":[]}", "logit_bias", "object"},
    {"{" USER("\"a\"") ",\"logit_bias\":{\"x\":1}}", "logit_bias", "token's number"},
    {"{" USER("\"a\"") ",\"logit_bias\":{\"1\":101}}", "logit_bias", "from -100 to 100"},
    {"{" USER("\"a\"") ",\"stream\":1}", "stream", "true or false"},
    {"{" USER("\"a\"") ",\"stream_options\":{\"include_usage\":2}}", "stream_options.include_usage",
     "true or false"},
    {"{" USER("\"a\"") ",\"n\":129}", "n", "from 1 to 128"},
    {"{" USER("\"a\"") ",\"tools\":[{}]}", "tools[0]", "type function"},
    {"{" USER("\"a\"") ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a b\"}}]}",
     "tools[0]", "letters"},
    {"{" USER("\"a\"") ",\"tool_choice\":\"required\"}", "tool_choice", "needs 'tools'"},
    {"{" USER("\"a\"") ",\"tool_choice\":{\"function\":{\"name\":\"x\"}}}", "tool_choice",
     "names x"},
    {"{" USER("\"a\"") ",\"tool_choice\":5}", "tool_choice", "must be none"},
    {"{" USER("\"a\"") ",\"response_format\":{\"type\":\"xml\"}}", "response_format.type",
     "must be text"},
    {"{" USER("\"a\"") ",\"response_format\":{\"type\":\"json_object\"},\"stop\":\"}\"}", "stop",
     "could cut"},
    {"{" USER("\"a\"") ",\"grammar\":\"root ::= x\",\"json_schema\":{}}", "json_schema", "twice"},
    {"{" USER("\"a\"") ",\"logprobs\":3}", "logprobs", "true or false"},
    {"{" USER("\"a\"") ",\"modalities\":[\"text\",\"audio\"]}", "modalities", "do not support"},
};

static void refusals_name_their_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct engine_request r;
        struct openai_problem p = {.message = ""};
        assert_int_not_equal(
            engine_request_read(FRAME_TASK_CHAT, str_from_c(refusals[i].json), &defaults, &r, &p),
            ERR_OK);
        if (strcmp(p.param, refusals[i].param) != 0 || !strstr(p.message, refusals[i].says))
            fail_msg("%s: param '%s', message '%s'", refusals[i].json, p.param, p.message);
    }
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    BUF_AUTO struct buf json;
    buf_init(&json, 4096);
    buf_append_str(&json, STR("{" USER("\"a\"") ",\"metadata\":"));
    for (int i = 0; i < 200; i++)
        buf_append_char(&json, '[');
    struct engine_request r;
    struct openai_problem p;
    assert_int_not_equal(engine_request_read(FRAME_TASK_CHAT, buf_str(&json), &defaults, &r, &p),
                         ERR_OK);
    assert_non_null(strstr(p.message, "not valid JSON"));
}

static void read_task(enum frame_task task, const char *json, struct engine_request *r)
{
    struct openai_problem problem = {.message = ""};
    enum err e = engine_request_read(task, str_from_c(json), &defaults, r, &problem);
    if (e != ERR_OK)
        print_error("%s: %s\n", json, problem.message);
    assert_int_equal(e, ERR_OK);
}

static void inputs_come_in_four_forms(void **state)
{
    static const struct {
        const char *json;
        size_t inputs, tokens; /* of the first, 0: text */
        bool listed;
    } forms[] = {
        {"{\"input\":\"a\\n\"}", 1, 0, false},
        {"{\"input\":[\"a\\n\",\"b\"]}", 2, 0, true},
        {"{\"input\":[5,6,7]}", 1, 3, false},
        {"{\"input\":[[5,6],[7]],\"dimensions\":3,\"encoding_format\":\"base64\"}", 2, 2, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct engine_request r;
        read_task(FRAME_TASK_EMBEDDING, forms[i].json, &r);
        assert_int_equal(r.input_count, forms[i].inputs);
        assert_int_equal(r.inputs[0].token_count, forms[i].tokens);
        assert_int_equal(r.inputs_listed, forms[i].listed);
        if (forms[i].tokens)
            assert_int_equal(r.inputs[0].tokens[1], 6);
        else
            assert_true(str_eq(r.inputs[0].text, STR("a\n")));
        assert_int_equal(r.dimensions, i == 3 ? 3 : 0);
        assert_int_equal(r.base64, i == 3);
        engine_request_release(&r);
    }
}

static void a_completion_has_its_own_defaults(void **state)
{
    struct engine_request r;
    (void)state;
    read_task(FRAME_TASK_COMPLETION, "{\"prompt\":\"a\",\"messages\":3,\"tools\":null}", &r);
    assert_true(r.max_tokens == 16 && r.logprobs == -1 && !r.echo);
    engine_request_release(&r);
    read_task(FRAME_TASK_COMPLETION,
              "{\"prompt\":\"a\",\"echo\":true,\"max_tokens\":0,\"logprobs\":0}", &r);
    assert_true(r.max_tokens == 0 && r.logprobs == 0 && r.echo);
    engine_request_release(&r);
}

static void documents_are_texts(void **state)
{
    struct engine_request r;
    (void)state;
    read_task(FRAME_TASK_RERANK,
              "{\"query\":\"q\",\"documents\":[\"a\",{\"x\":1,\"text\":\"b\"}],\"top_n\":1}", &r);
    assert_int_equal(r.input_count, 2);
    assert_true(str_eq(r.inputs[1].text, STR("b")) && r.top_n == 1);
    engine_request_release(&r);
}

static void other_tasks_refuse_by_name(void **state)
{
    static const struct {
        enum frame_task task;
        const char *json, *param, *says;
    } cases[] = {
        {FRAME_TASK_COMPLETION, "{}", "prompt", "must be given"},
        {FRAME_TASK_COMPLETION, "{\"prompt\":[]}", "prompt", "empty list"},
        {FRAME_TASK_COMPLETION, "{\"prompt\":[[]]}", "prompt", "empty list of tokens"},
        {FRAME_TASK_COMPLETION, "{\"prompt\":[1,\"a\"]}", "prompt", "mixes"},
        {FRAME_TASK_COMPLETION, "{\"prompt\":[-1]}", "prompt", "whole number"},
        {FRAME_TASK_COMPLETION, "{\"prompt\":\"a\",\"max_tokens\":0}", "max_tokens", "echo"},
        {FRAME_TASK_COMPLETION, "{\"prompt\":[\"a\",\"b\"],\"n\":65}", "n", "130 choices"},
        {FRAME_TASK_COMPLETION, "{\"prompt\":\"a\",\"logprobs\":21}", "logprobs", "to 20"},
        {FRAME_TASK_COMPLETION, "{\"prompt\":\"a\",\"suffix\":\"b\"}", "suffix", "not support"},
        {FRAME_TASK_EMBEDDING, "{\"input\":{}}", "input", "must be a string"},
        {FRAME_TASK_EMBEDDING, "{\"input\":\"a\",\"encoding_format\":\"hex\"}", "encoding_format",
         "base64"},
        {FRAME_TASK_EMBEDDING, "{\"input\":\"a\",\"dimensions\":0}", "dimensions", "from 1"},
        {FRAME_TASK_RERANK, "{\"query\":\"a\"}", "documents", "must be given"},
        {FRAME_TASK_RERANK, "{\"documents\":[\"a\"]}", "query", "must be given"},
        {FRAME_TASK_RERANK, "{\"documents\":[{}]}", "documents", "no text"},
        {FRAME_TASK_TOKENIZE, "{}", "content", "must be given"},
        {FRAME_TASK_CHAT, "{" USER("\"a\"") ",\"top_logprobs\":2}", "top_logprobs", "needs"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct openai_problem p = {.message = ""};
        struct engine_request r;
        assert_int_not_equal(
            engine_request_read(cases[i].task, str_from_c(cases[i].json), &defaults, &r, &p),
            ERR_OK);
        if (strcmp(p.param, cases[i].param) != 0 || !strstr(p.message, cases[i].says))
            fail_msg("%s: %s: %s", cases[i].json, p.param, p.message);
    }
}

static void tools_calls_and_results_are_read(void **state)
{
    struct engine_request r;
    (void)state;
    read_good("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\","
              "\"content\":null,"
              "\"reasoning_content\":\"why\",\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\","
              "\"function\":"
              "{\"name\":\"f\",\"arguments\":\" {\\\"x\\\":1} "
              "\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"1\","
              "\"content\":\"22\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
              "\"parameters\":{\"type\":\"object\"}}}],\"tool_choice\":{\"type\":\"function\","
              "\"function\":"
              "{\"name\":\"f\"}},\"parallel_tool_calls\":false}",
              &r);
    assert_int_equal(r.messages[1].call_count, 1);
    assert_true(str_eq(r.messages[1].calls[0].arguments, STR("{\"x\":1}")));
    assert_true(str_eq(r.messages[1].reasoning, STR("why")));
    assert_true(str_eq(r.messages[2].call_id, STR("1")) && str_eq(r.messages[2].role, STR("tool")));
    assert_int_equal(r.tool_count, 1);
    assert_true(str_eq(r.tools[0].parameters, STR("{\"type\":\"object\"}")));
    assert_true(r.tool_choice == ENGINE_TOOLS_REQUIRED && str_eq(r.tool_chosen, STR("f")));
    assert_true(r.one_call);
    engine_request_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fields_are_read),
        cmocka_unit_test(tools_calls_and_results_are_read),
        cmocka_unit_test(inputs_come_in_four_forms),
        cmocka_unit_test(a_completion_has_its_own_defaults),
        cmocka_unit_test(documents_are_texts),
        cmocka_unit_test(other_tasks_refuse_by_name),
        cmocka_unit_test(silence_means_the_defaults),
        cmocka_unit_test(refusals_name_their_field),
        cmocka_unit_test(nesting_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
