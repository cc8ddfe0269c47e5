/* The Responses API: what is refused of requests, answers in events and in one piece. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "base/buf.h"
#include "dialect/gemini.h"
#include "dialect/responses.h"
#include "tests/unit/dialect/quote.h"

#define CALL "0123456789abcdef0123456789abcdef"

/* ---- Requests ---- */

struct refusal {
    const char *body;
    const char *param;
};

static const struct refusal refusals[] = {
    {"[]", ""},
    {"{'model':", ""},
    {"{'input':'Hi'}", "model"},
    {"{'model':'','input':'Hi'}", "model"},
    {"{'model':7,'input':'Hi'}", "model"},
    {"{'model':'m'}", "input"},
    {"{'model':'m','input':7}", "input"},
    {"{'model':'m','input':[7]}", "input[0]"},
    {"{'model':'m','input':[{'role':'user','content':'a'},{'role':'robot','content':'b'}]}",
     "input[1].role"},
    {"{'model':'m','input':[{'role':'user'}]}", "input[0].content"},
    {"{'model':'m','input':[{'role':'user','content':[{'text':'a'}]}]}", "input[0].content"},
    {"{'model':'m','input':[{'role':'user','content':[{'type':'input_image'}]}]}",
     "input[0].content"},
    {"{'model':'m','input':[{'type':'function_call','name':'f'}]}", "input[0]"},
    {"{'model':'m','input':[{'type':'function_call_output','output':'f'}]}", "input[0]"},
    {"{'model':'m','input':[{'type':'item_reference','id':'msg_1'}]}", "input[0]"},
    {"{'model':'m','input':'Hi','tools':[{'type':'function'}]}", "tools"},
    {"{'model':'m','input':'Hi','tools':[{}]}", "tools"},
    {"{'model':'m','input':'Hi','tool_choice':'maybe'}", "tool_choice"},
    {"{'model':'m','input':'Hi','tool_choice':{'type':'file_search'}}", "tool_choice"},
    {"{'model':'m','input':'Hi','max_output_tokens':0}", "max_output_tokens"},
    {"{'model':'m','input':'Hi','top_logprobs':21}", "top_logprobs"},
    {"{'model':'m','input':'Hi','text':{'format':{'type':'json_schema'}}}", "text.format"},
    {"{'model':'m','input':'Hi','reasoning':{'effort':'huge'}}", "reasoning.effort"},
    {"{'model':'m','input':'Hi','background':true}", "background"},
    {"{'model':'m','input':'Hi','conversation':'conv_1'}", "conversation"},
    {"{'model':'m','input':'Hi','prompt':{'id':'pmpt_1'}}", "prompt"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct arena a;
        struct ask *ask;
        struct openai_problem p = {.message = ""};
        arena_init(&a);
        if (responses_read_ask(quote(&a, refusals[i].body), 64, &a, &ask, &p) == ERR_OK)
            fail_msg("taken: %s", refusals[i].body);
        if (strcmp(p.param, refusals[i].param) != 0 || !*p.message)
            fail_msg("%s: '%s' %s", refusals[i].body, p.param, p.message);
        arena_release(&a);
    }
}

static void test_ask(void **state)
{
    struct arena a;
    struct ask *ask;
    struct openai_problem p;
    (void)state;
    arena_init(&a);
    struct str body = quote(
        &a,
        "{'model':'m','stream':true,'background':false,'conversation':null,'truncation':'auto',"
        "'include':['reasoning.encrypted_content','message.output_text.logprobs'],'verbosity_x':"
        "1,'service_tier':'flex','input':[{'role':'user','content':'A'},{'type':'reasoning',"
        "'summary':[{'type':'summary_text','text':'x'},{'type':'summary_text','text':'y'}],"
        "'encrypted_content':'weir.s:SIG'},{'type':'reasoning','summary':[],'encrypted_content':"
        "'weir.r:DATA'},{'type':'message','role':'assistant','content':[{'type':'output_text',"
        "'text':'B','annotations':[]},{'type':'refusal','refusal':'No'}]},{'type':"
        "'function_call','call_id':'c','name':'f','arguments':'{\\u0022a\\u0022:1}'},{'type':"
        "'function_call_output','call_id':'c','output':'1'},{'type':'function_call_output',"
        "'call_id':'d','output':[{'type':'input_text','text':'2'}]},{'role':'user','content':"
        "'C'}]}");
    assert_int_equal(responses_read_ask(body, 64, &a, &ask, &p), ERR_OK);
    assert_true(ask->stream && ask->include_usage && ask->logprobs && ask->n == 1);
    assert_int_equal(ask->message_count, 4);
    const struct ask_message *m = ask->messages;
    assert_int_equal(m->role, ASK_USER);
    m = m->next;
    assert_int_equal(m->role, ASK_ASSISTANT);
    const struct ask_part *part = m->parts;
    assert_true(part->kind == ASK_THINKING && str_eq(part->text, STR("x\\n\\ny")));
    assert_true(str_eq(part->signature, STR("SIG")));
    part = part->next;
    assert_true(part->kind == ASK_REDACTED && str_eq(part->text, STR("DATA")));
    part = part->next;
    assert_true(part->kind == ASK_TEXT && str_eq(part->text, STR("B")));
    part = part->next;
    assert_true(part->kind == ASK_REFUSAL && str_eq(part->text, STR("No")));
    part = part->next;
    assert_true(part->kind == ASK_TOOL_CALL && str_eq(part->arguments, STR("{\"a\":1}")));
    assert_null(part->next);
    m = m->next;
    assert_int_equal(m->role, ASK_USER);
    assert_true(m->parts->kind == ASK_TOOL_RESULT && m->parts->next->kind == ASK_TOOL_RESULT);
    assert_true(str_eq(m->parts->next->content->text, STR("2")) && !m->parts->next->next);
    assert_true(str_eq(m->next->parts->text, STR("C")));
    assert_int_equal(ask->others->class, ASK_MEMBER_UNKNOWN);
    assert_int_equal(ask->others->next->class, ASK_MEMBER_HINT);
    arena_release(&a);
}

/* ---- Answers ---- */

static void to_writer(void *arg, const struct answer_event *event)
{
    void **both = arg;
    responses_writer_take(both[0], event, both[1]);
}

/* A stream of Gemini's chunks as the stream of a response. */
static void stream(const char *const *chunks, const char *body, size_t max_bytes, bool end,
                   struct buf *out)
{
    struct arena a;
    arena_init(&a);
    struct answer_options options = {.max_depth = 64,
                                     .max_bytes = max_bytes,
                                     .call = STR(CALL),
                                     .model = STR("asked"),
                                     .created_s = 1700000000,
                                     .body = quote(&a, body)};
    struct answer_writer *w = responses_writer_new(&options);
    struct answer_reader *r = dialect_gemini.reader_new(&options);
    void *both[] = {w, out};
    struct answer_sink sink = {.take = to_writer, .arg = both};
    for (; *chunks; chunks++)
        dialect_gemini.reader_feed(r, STR_NONE, quote(&a, *chunks), sink);
    if (end)
        dialect_gemini.reader_end(r, sink);
    dialect_gemini.reader_free(r);
    responses_writer_free(w);
    arena_release(&a);
}

/* Each event's number and name on a line, with the text that it brings. */
static void outline(struct str events, struct buf *out)
{
    struct str rest = events;
    while (rest.ptr && rest.len) {
        struct json_value type, value;
        struct str line = str_split(&rest, '\n');
        if (!str_starts(line, STR("data: ")))
            continue;
        struct str data = str_skip(line, 6);
        if (json_validate(data, 64, &value) != ERR_OK)
            fail_msg("not JSON: %.*s", STR_ARG(data));
        assert_true(json_find(data, "type", &type) && json_find(data, "sequence_number", &value));
        buf_printf(out, "%.*s %.*s", STR_ARG(value.raw), STR_ARG(json_text_raw(&type)));
        static const char *const shown[] = {"output_index", "content_index", "summary_index",
                                            "delta",        "text",          "arguments",
                                            "refusal",      "item.type"};
        for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
            if (json_find(data, shown[i], &value))
                buf_printf(out, " %.*s", STR_ARG(value.raw));
        buf_append_char(out, '\n');
    }
}

#define PART(part) "{'candidates':[{'content':{'parts':[" part "],'role':'model'},'index':0}]}"
#define STOP                                                                                       \
    "{'candidates':[{'finishReason':'STOP','index':0}],'usageMetadata':{'promptTokenCount':3,"     \
    "'candidatesTokenCount':2,'thoughtsTokenCount':1,'cachedContentTokenCount':2},'modelVersion':" \
    "'gemini-3-pro'}"

static struct str last_data(struct str events)
{
    struct str found = STR_NONE;
    while (events.ptr && events.len) {
        struct str line = str_split(&events, '\n');
        if (str_starts(line, STR("data: ")))
            found = str_skip(line, 6);
    }
    return found;
}

static void check_member(struct str text, const char *path, const char *wanted)
{
    struct arena a;
    struct json_value value;
    arena_init(&a);
    if (!json_find(text, path, &value))
        fail_msg("no %s in %.*s", path, STR_ARG(text));
    if (!str_eq(value.raw, quote(&a, wanted)))
        fail_msg("%s is %.*s, not %s", path, STR_ARG(value.raw), wanted);
    arena_release(&a);
}

static void test_stream(void **state)
{
    static const char *const chunks[] = {
        PART("{'text':'Hm','thought':true}"),
        PART("{'text':'One '},{'text':'two'}"),
        PART("{'functionCall':{'id':'c1','name':'f','args':{'a':1}},'thoughtSignature':'S=='},{"
             "'functionCall':{'id':'c2','name':'g','args':{}}}"),
        STOP,
        NULL,
    };
    struct buf out BUF_AUTO;
    struct buf lines BUF_AUTO;
    (void)state;
    buf_init(&out, 1 << 20);
    buf_init(&lines, 1 << 20);
    stream(chunks,
           "{'model':'m','input':'Hi','tools':[{'type':'function','name':'f'}],'metadata':{"
           "'k':'v'},'previous_response_id':'resp_x','temperature':0.5}",
           1 << 20, true, &out);
    outline(buf_str(&out), &lines);
    assert_string_equal(buf_cstr(&lines),
                        "0 response.created\n1 response.in_progress\n"
                        "2 response.output_item.added 0 \"reasoning\"\n"
                        "3 response.reasoning_summary_part.added 0 0\n"
                        "4 response.reasoning_summary_text.delta 0 0 \"Hm\"\n"
                        "5 response.reasoning_summary_text.done 0 0 \"Hm\"\n"
                        "6 response.reasoning_summary_part.done 0 0\n"
                        "7 response.output_item.done 0 \"reasoning\"\n"
                        "8 response.output_item.added 1 \"message\"\n"
                        "9 response.content_part.added 1 0\n"
                        "10 response.output_text.delta 1 0 \"One \"\n"
                        "11 response.output_text.delta 1 0 \"two\"\n"
                        "12 response.output_text.done 1 0 \"One two\"\n"
                        "13 response.content_part.done 1 0\n"
                        "14 response.output_item.done 1 \"message\"\n"
                        "15 response.output_item.added 2 \"reasoning\"\n"
                        "16 response.output_item.done 2 \"reasoning\"\n"
                        "17 response.output_item.added 3 \"function_call\"\n"
                        "18 response.function_call_arguments.delta 3 \"{\\\"a\\\":1}\"\n"
                        "19 response.function_call_arguments.done 3 \"{\\\"a\\\":1}\"\n"
                        "20 response.output_item.done 3 \"function_call\"\n"
                        "21 response.output_item.added 4 \"function_call\"\n"
                        "22 response.function_call_arguments.delta 4 \"{}\"\n"
                        "23 response.function_call_arguments.done 4 \"{}\"\n"
                        "24 response.output_item.done 4 \"function_call\"\n"
                        "25 response.completed\n");
    struct str data = last_data(buf_str(&out));
    check_member(data, "response.id", "'resp_" CALL "'");
    check_member(data, "response.status", "'completed'");
    check_member(data, "response.model", "'asked'");
    check_member(data, "response.output.2.encrypted_content", "'weir.c:S=='");
    check_member(data, "response.output.4",
                 "{'id':'fc_" CALL "0004','type':'function_call','status':'completed','arguments':"
                 "'{}','call_id':'c2','name':'g'}");
    check_member(data, "response.output.1.content.0",
                 "{'type':'output_text','text':'One two','annotations':[],'logprobs':[]}");
    check_member(
        data, "response.usage",
        "{'input_tokens':3,'input_tokens_details':{'cached_tokens':2,'cache_write_tokens':0"
        "},'output_tokens':3,'output_tokens_details':{'reasoning_tokens':1},'total_tokens':"
        "6}");
    check_member(data, "response.tools", "[{'type':'function','name':'f'}]");
    check_member(data, "response.metadata", "{'k':'v'}");
    check_member(data, "response.previous_response_id", "'resp_x'");
    check_member(data, "response.temperature", "0.5");
    check_member(data, "response.top_p", "null");
}

static void check_last(const char *const *chunks, size_t max_bytes, const char *type,
                       const char *path, const char *wanted)
{
    struct buf out BUF_AUTO;
    struct json_value value;
    buf_init(&out, 1 << 20);
    stream(chunks, "{}", max_bytes, true, &out);
    struct str data = last_data(buf_str(&out));
    assert_true(json_find(data, "type", &value));
    if (!json_eq(&value, str_from_c(type)))
        fail_msg("%.*s, not %s", STR_ARG(value.raw), type);
    check_member(data, path, wanted);
}

static void test_ends(void **state)
{
    static const char *const length[] = {PART("{'text':'a'}"),
                                         "{'candidates':[{'finishReason':'MAX_TOKENS'}]}", NULL};
    static const char *const filter[] = {
        PART("{'text':'a'}"), "{'candidates':[{'finishReason':'SAFETY','finishMessage':'No'}]}",
        NULL};
    static const char *const error[] = {
        PART("{'text':'a'}"), "{'error':{'code':429,'message':'Full','status':'X'}}", NULL};
    static const char *const cut[] = {PART("{'text':'a'}"), NULL};
    static const char *const large[] = {PART("{'text':'0123456789'}"),
                                        PART("{'text':'0123456789'}"), STOP, NULL};
    (void)state;
    check_last(length, 1000, "response.incomplete", "response.incomplete_details",
               "{'reason':'max_output_tokens'}");
    check_last(length, 1000, "response.incomplete", "response.output.0.status", "'incomplete'");
    check_last(filter, 1000, "response.incomplete", "response.incomplete_details",
               "{'reason':'content_filter'}");
    check_last(filter, 1000, "response.incomplete", "response.output.0.content.1",
               "{'type':'refusal','refusal':'No'}");
    check_last(error, 1000, "response.failed", "response.error",
               "{'code':'rate_limit_exceeded','message':'Full'}");
    check_last(large, 15, "response.failed", "response.status", "'failed'");
    /* Nothing closes what was cut: whoever relays says so. */
    check_last(cut, 1000, "response.output_text.delta", "delta", "'a'");
}

static void test_error_event(void **state)
{
    struct buf out BUF_AUTO;
    struct openai_problem p;
    (void)state;
    buf_init(&out, 4096);
    openai_problem_set(&p, "api_error", NULL, "reset", "gone");
    dialect_responses.write_error_event(&out, 502, 7, &p);
    assert_string_equal(buf_cstr(&out),
                        "event: error\ndata: {\"type\":\"error\",\"code\":\"reset\",\"message\":"
                        "\"gone\",\"param\":null,\"sequence_number\":7}\n\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_ask),
        cmocka_unit_test(test_stream),      cmocka_unit_test(test_ends),
        cmocka_unit_test(test_error_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
