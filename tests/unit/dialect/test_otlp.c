/* OTLP: both forms say the same, limits hold, and dialects become gen_ai.*. */
#include "tests/unit/unit.h"

#include "codec/json_scan.h"
#include "codec/protobuf.h"
#include "dialect/otlp/record.h"
#include "tests/unit/dialect/quote.h"

/* ---- A request of one item ---- */

struct rig {
    enum otlp_signal signal;
    struct arena arena;
    struct buf record;
    unsigned items;
    enum err error; /* of the item */
    const char *wrong;
};

static enum err take(void *arg, const struct otlp_item *item)
{
    struct rig *rig = arg;
    struct otlp_envelope envelope = {.key = STR("web")};
    struct otlp_span span;
    struct otlp_log log;
    struct otlp_metric metric;
    struct gen_ai g;
    rig->items++;
    buf_reset(&rig->record);
    switch (rig->signal) {
    case OTLP_TRACES:
        rig->error = otlp_span_read(item, &rig->arena, &span);
        if (rig->error != ERR_OK)
            break;
        rig->wrong = otlp_span_wrong(&span);
        gen_ai_read(&span.attributes, &g);
        otlp_span_record_write(item, &span, &g, &envelope, &rig->arena, &rig->record);
        break;
    case OTLP_LOGS:
        rig->error = otlp_log_read(item, &rig->arena, &log);
        if (rig->error == ERR_OK)
            otlp_log_record_write(item, &log, &envelope, &rig->record);
        break;
    default:
        rig->error = otlp_metric_read(item, &rig->arena, &metric);
        if (rig->error == ERR_OK)
            otlp_metric_record_write(item, &metric, &envelope, &rig->record);
    }
    return ERR_OK;
}

static void rig_init(struct rig *rig, enum otlp_signal signal)
{
    *rig = (struct rig){.signal = signal};
    arena_init(&rig->arena);
    buf_init(&rig->record, 1 << 20);
}

static void rig_release(struct rig *rig)
{
    arena_release(&rig->arena);
    buf_release(&rig->record);
}

static enum err read_as(struct rig *rig, enum otlp_form form, struct str request)
{
    struct buf detail BUF_AUTO;
    buf_init(&detail, 4096);
    enum err error = otlp_read(rig->signal, form, request, &rig->arena, take, rig, &detail);
    assert_true(error == ERR_OK || detail.len > 0);
    return error;
}

static void read_json(struct rig *rig, const char *request)
{
    assert_int_equal(read_as(rig, OTLP_JSON, quote(&rig->arena, request)), ERR_OK);
}

/* A member of the record as it stands there. */
static void check(struct rig *rig, const char *path, const char *wanted)
{
    struct json_value value = {.raw = STR("(none)")};
    struct str text = quote(&rig->arena, wanted);
    (void)json_find(buf_str(&rig->record), path, &value);
    if (!str_eq(value.raw, text))
        fail_msg("%s is %.*s, not %s", path, STR_ARG(value.raw), wanted);
}

#define IDS                                                                                        \
    "'traceId':'5b8efff798038103d269b633813fc60c','spanId':'eee19b7ec3c1b174',"                    \
    "'startTimeUnixNano':'1732480000000000000'"
#define SPANS(span)                                                                                \
    "{'resourceSpans':[{'resource':{'attributes':[{'key':'service.name','value':{'stringValue':"   \
    "'app'}}]},'scopeSpans':[{'scope':{'name':'s','version':'1'},'spans':[" span "]}]}]}"

/* ---- Both forms ---- */

static void write_attribute(struct buf *b, uint32_t field, struct str key, struct str text)
{
    size_t attribute = pb_begin(b, field);
    pb_write_bytes(b, 1, key);
    size_t value = pb_begin(b, 2);
    pb_write_bytes(b, 1, text);
    pb_end(b, value);
    pb_end(b, attribute);
}

/* The same span as in test_both_forms' JSON; lists come before what describes them, as they may. */
static void write_protobuf(struct buf *b)
{
    size_t resource_spans = pb_begin(b, 1);
    size_t scope_spans = pb_begin(b, 2);
    size_t span = pb_begin(b, 2);
    pb_write_bytes(b, 1, STR("\x5b\x8e\xff\xf7\x98\x03\x81\x03\xd2\x69\xb6\x33\x81\x3f\xc6\x0c"));
    pb_write_bytes(b, 2, STR("\xee\xe1\x9b\x7e\xc3\xc1\xb1\x74"));
    pb_write_bytes(b, 5, STR("chat"));
    pb_write_varint(b, 6, 3);
    pb_write_fixed64(b, 7, 1732480000000000000u);
    pb_write_fixed64(b, 8, 1732480001500000999u);
    write_attribute(b, 9, STR("gen_ai.operation.name"), STR("chat"));
    size_t number = pb_begin(b, 9);
    pb_write_bytes(b, 1, STR("n"));
    size_t value = pb_begin(b, 2);
    pb_write_varint(b, 3, (uint64_t)-7);
    pb_end(b, value);
    pb_end(b, number);
    size_t event = pb_begin(b, 11);
    pb_write_fixed64(b, 1, 1732480000000000000u);
    pb_write_bytes(b, 2, STR("e"));
    write_attribute(b, 3, STR("long"),
                    STR("more than one hundred and twenty-seven bytes take a "
                        "second byte of length, so here is a text that has "
                        "them, and some more than them"));
    pb_end(b, event);
    pb_write_varint(b, 99, 1); /* unknown */
    pb_end(b, span);
    size_t scope = pb_begin(b, 1);
    pb_write_bytes(b, 1, STR("s"));
    pb_write_bytes(b, 2, STR("1"));
    pb_end(b, scope);
    pb_end(b, scope_spans);
    size_t resource = pb_begin(b, 1);
    write_attribute(b, 1, STR("service.name"), STR("app"));
    pb_end(b, resource);
    pb_end(b, resource_spans);
}

static void test_both_forms(void **state)
{
    struct rig json;
    struct rig protobuf;
    struct buf request BUF_AUTO;
    (void)state;
    buf_init(&request, 1 << 20);
    rig_init(&json, OTLP_TRACES);
    rig_init(&protobuf, OTLP_TRACES);
    write_protobuf(&request);
    assert_int_equal(read_as(&protobuf, OTLP_PROTOBUF, buf_str(&request)), ERR_OK);
    read_json(
        &json,
        SPANS("{" IDS ",'name':'chat','kind':3,'endTimeUnixNano':'1732480001500000999',"
              "'attributes':[{'key':'gen_ai.operation.name','value':{'stringValue':'chat'}},{"
              "'key':'n','value':{'intValue':-7}}],'events':[{'timeUnixNano':"
              "1732480000000000000,'name':'e','attributes':[{'key':'long','value':{"
              "'stringValue':'more than one hundred and twenty-seven bytes take a second byte "
              "of length, so here is a text that has them, and some more than them'}}]}],"
              "'unknown':{'a':[1]}}"));
    assert_int_equal(protobuf.items, 1);
    assert_null(protobuf.wrong);
    assert_string_equal(buf_cstr(&protobuf.record), buf_cstr(&json.record));
    check(&json, "service", "'app'");
    check(&json, "duration_us", "1500000");
    check(&json, "attributes.n", "-7");
    check(&json, "kind", "'client'");
    /* Every beginning of it is a request or none, and nothing worse. */
    for (size_t len = 0; len < request.len; len++) {
        struct str part = arena_str(&protobuf.arena, str_take(buf_str(&request), len));
        enum err error = read_as(&protobuf, OTLP_PROTOBUF, part);
        assert_true(len == 0 || error == ERR_INVALID);
    }
    rig_release(&json);
    rig_release(&protobuf);
}

static void test_values(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, OTLP_TRACES);
    read_json(
        &rig,
        SPANS("{" IDS ",'name':'','attributes':[{'key':'d','value':{'doubleValue':2}},{'key':"
              "'nan','value':{'doubleValue':'NaN'}},{'key':'big','value':{'intValue':"
              "'9223372036854775807'}},{'key':'b','value':{'bytesValue':'aGk='}},{'key':'l',"
              "'value':{'arrayValue':{'values':[{'boolValue':true},{}]}}},{'key':'m','value':{"
              "'kvlistValue':{'values':[{'key':'k','value':{'stringValue':'v'}}]}}}]}"));
    check(&rig, "attributes",
          "{'d':2.0,'nan':'NaN','big':9223372036854775807,'b':{'base64':'aGk='},'l':[true,null],"
          "'m':{'k':'v'}}");
    rig_release(&rig);
}

/* ---- What is wrong ---- */

static void test_wrong_spans(void **state)
{
    static const char *const spans[] = {
        "{'name':'a','startTimeUnixNano':'1'}",
        "{'traceId':'5b8efff798038103d269b633813fc60c','name':'a','startTimeUnixNano':'1'}",
        "{'traceId':'00000000000000000000000000000000','spanId':'eee19b7ec3c1b174',"
        "'startTimeUnixNano':'1'}",
        "{'traceId':'5b8efff798038103d269b633813fc60c','spanId':'eee19b7ec3c1b174'}",
        "{" IDS ",'parentSpanId':'ab'}",
    };
    static const char *const unreadable[] = {
        "{" IDS ",'kind':'SPAN'}",
        "{" IDS ",'name':7}",
        "{" IDS ",'attributes':{}}",
        "{'traceId':'xyz'}",
        "7",
        "{" IDS ",'endTimeUnixNano':-1}",
    };
    struct rig rig;
    (void)state;
    rig_init(&rig, OTLP_TRACES);
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++) {
        struct buf text BUF_AUTO;
        buf_init(&text, 4096);
        buf_printf(&text, SPANS("%s"), spans[i]);
        read_json(&rig, buf_cstr(&text));
        assert_int_equal(rig.error, ERR_OK);
        assert_non_null(rig.wrong);
    }
    for (size_t i = 0; i < sizeof unreadable / sizeof unreadable[0]; i++) {
        struct buf text BUF_AUTO;
        buf_init(&text, 4096);
        buf_printf(&text, SPANS("%s"), unreadable[i]);
        read_json(&rig, buf_cstr(&text));
        assert_int_equal(rig.error, ERR_INVALID);
    }
    assert_int_equal(read_as(&rig, OTLP_JSON, STR("{\"resourceSpans\":3}")), ERR_INVALID);
    assert_int_equal(read_as(&rig, OTLP_JSON, STR("[]")), ERR_INVALID);
    assert_int_equal(read_as(&rig, OTLP_JSON, STR("{\"a\":")), ERR_INVALID);
    assert_int_equal(read_as(&rig, OTLP_JSON, STR("{}")), ERR_OK);
    rig_release(&rig);
}

static void test_limits(void **state)
{
    struct rig rig;
    struct buf text BUF_AUTO;
    (void)state;
    rig_init(&rig, OTLP_TRACES);
    buf_init(&text, 4 << 20);
    buf_printf(&text, "%s", "{'resourceSpans':[{'scopeSpans':[{'spans':[{" IDS ",'attributes':[");
    for (int i = 0; i <= OTLP_VALUES_MAX; i++)
        buf_printf(&text, "%s{'key':'a'}", i ? "," : "");
    buf_printf(&text, "]}]}]}]}");
    read_json(&rig, buf_cstr(&text));
    assert_int_equal(rig.error, ERR_TOO_LARGE);
    buf_reset(&text);
    buf_printf(&text, "%s",
               "{'resourceSpans':[{'scopeSpans':[{'spans':[{" IDS ",'attributes':[{"
               "'key':'a','value':");
    for (int i = 0; i <= OTLP_DEPTH_MAX; i++)
        buf_printf(&text, "{'arrayValue':{'values':[");
    for (int i = 0; i <= OTLP_DEPTH_MAX; i++)
        buf_printf(&text, "]}}");
    buf_printf(&text, "}]}]}]}]}");
    read_json(&rig, buf_cstr(&text));
    assert_int_equal(rig.error, ERR_TOO_LARGE);
    rig_release(&rig);
}

/* ---- Dialects ---- */

struct dialect_case {
    const char *attributes; /* "name" : value, as JSON: texts and whole numbers */
    const char *dialect;
    const char *paths[8], *values[8];
};

static const struct dialect_case dialect_cases[] = {
    {"{'gen_ai.operation.name':'chat','gen_ai.provider.name':'anthropic','gen_ai.request.model':"
     "'claude-sonnet-4-5','gen_ai.usage.input_tokens':100,'gen_ai.usage.output_tokens':20,"
     "'gen_ai.usage.cache_read.input_tokens':60,'gen_ai.usage.cache_creation.input_tokens':30,"
     "'gen_ai.usage.reasoning.output_tokens':5,'gen_ai.conversation.id':'c1','user.id':'ada',"
     "'gen_ai.input.messages':'[{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":"
     "\"hi\"}]}]'}",
     "'opentelemetry'",
     {"usage", "session", "user", "gen_ai.gen_ai.provider.name"},
     {"{'input':100,'cached_input':60,'cache_write':30,'output':20,'reasoning':5,'audio_in':0,"
      "'audio_out':0,'source':'provider'}",
      "'c1'", "'ada'", "(none)"}},
    /* Old names; the new ones count where both are there. */
    {"{'gen_ai.system':'openai','gen_ai.usage.prompt_tokens':7,'gen_ai.usage.completion_tokens':3,"
     "'gen_ai.usage.input_tokens':8,'gen_ai.operation.name':'text_completion'}",
     "'opentelemetry'",
     {"usage.input", "usage.output", "inference"},
     {"8", "3", "true"}},
    /* Counted beside their whole: mended and flagged. */
    {"{'gen_ai.operation.name':'chat','gen_ai.usage.input_tokens':10,'gen_ai.usage.output_tokens':"
     "2,'gen_ai.usage.cache_read.input_tokens':90}",
     "'opentelemetry'",
     {"usage.input", "usage.suspect"},
     {"100", "['input']"}},
    {"{'openinference.span.kind':'LLM','llm.token_count.prompt':10,'llm.token_count.completion':5,"
     "'llm.token_count.completion_details.reasoning':4,'llm.token_count.total':19}",
     "'openinference'",
     {"usage.output", "usage.suspect"},
     {"9", "['output']"}},
    {"{'openinference.span.kind':'LLM','llm.token_count.prompt':10,'llm.token_count.completion':5,"
     "'llm.token_count.total':99}",
     "'openinference'",
     {"usage.suspect"},
     {"['total']"}},
    {"{'openinference.span.kind':'LLM','llm.model_name':'gpt-5','llm.system':'openai',"
     "'session.id':'s','llm.input_messages.1.message.role':'tool',"
     "'llm.input_messages.1.message.content':'{\"t\":20}','llm.input_messages.1.message."
     "tool_call_id':'c1','llm.input_messages.0.message.role':'user',"
     "'llm.input_messages.0.message.contents.0.message_content.type':'text',"
     "'llm.input_messages.0.message.contents.0.message_content.text':'hi',"
     "'llm.output_messages.0.message.role':'assistant',"
     "'llm.output_messages.0.message.tool_calls.0.tool_call.id':'c2',"
     "'llm.output_messages.0.message.tool_calls.0.tool_call.function.name':'f',"
     "'llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments':'{\"a\":1}'}",
     "'openinference'",
     {"gen_ai", "session"},
     {"{'gen_ai.operation.name':'chat','gen_ai.provider.name':'openai','gen_ai.request.model':"
      "'gpt-5','gen_ai.conversation.id':'s','gen_ai.input.messages':[{'role':'user','parts':[{"
      "'type':'text','content':'hi'}]},{'role':'tool','parts':[{'type':'tool_call_response','id':"
      "'c1','response':{'t':20}}]}],'gen_ai.output.messages':[{'role':'assistant','parts':[{"
      "'type':'tool_call','id':'c2','name':'f','arguments':{'a':1}}]}]}",
      "'s'"}},
    {"{'openinference.span.kind':'TOOL','tool.name':'search','input.value':'{\"q\":1}',"
     "'output.value':'none'}",
     "'openinference'",
     {"gen_ai", "inference"},
     {"{'gen_ai.operation.name':'execute_tool','gen_ai.tool.name':'search',"
      "'gen_ai.tool.call.arguments':{'q':1},'gen_ai.tool.call.result':'none'}",
      "false"}},
    {"{'llm.request.type':'chat','gen_ai.system':'OpenAI','gen_ai.request.model':'gpt-5',"
     "'gen_ai.prompt.0.role':'user','gen_ai.prompt.0.content':'hi','gen_ai.completion.0.role':"
     "'assistant','gen_ai.completion.0.content':'ho','gen_ai.completion.0.finish_reason':'stop',"
     "'llm.usage.total_tokens':12,'gen_ai.usage.input_tokens':10,'gen_ai.usage.output_tokens':2}",
     "'openllmetry'",
     {"gen_ai"},
     {"{'gen_ai.operation.name':'chat','gen_ai.provider.name':'openai','gen_ai.request.model':"
      "'gpt-5','gen_ai.usage.input_tokens':10,'gen_ai.usage.output_tokens':2,"
      "'gen_ai.input.messages':[{'role':'user','parts':[{'type':'text','content':'hi'}]}],"
      "'gen_ai.output.messages':[{'role':'assistant','parts':[{'type':'text','content':'ho'}],"
      "'finish_reason':'stop'}]}"}},
    {"{'traceloop.span.kind':'workflow','traceloop.entity.input':'{}',"
     "'traceloop.association.properties.session_id':'t'}",
     "'openllmetry'",
     {"gen_ai", "session"},
     {"{'gen_ai.operation.name':'invoke_workflow','gen_ai.conversation.id':'t'}", "'t'"}},
    {"{'langfuse.observation.type':'generation','langfuse.observation.model.name':'gpt-5',"
     "'langfuse.observation.usage_details':'{\"input\":4,\"output\":6,\"total\":10}',"
     "'langfuse.observation.input':'[{\"role\":\"user\",\"content\":\"hi\"}]',"
     "'langfuse.observation.output':'ho'}",
     "'langfuse'",
     {"gen_ai", "usage.input", "usage.output"},
     {"{'gen_ai.operation.name':'chat','gen_ai.request.model':'gpt-5','gen_ai.usage.input_tokens':"
      "4,'gen_ai.usage.output_tokens':6,'gen_ai.input.messages':[{'role':'user','parts':[{'type':"
      "'text','content':'hi'}]}],'gen_ai.output.messages':[{'role':'assistant','parts':[{'type':"
      "'text','content':'ho'}]}]}",
      "4", "6"}},
    {"{'ai.operationId':'ai.generateText.doGenerate','ai.model.provider':'openai.chat',"
     "'ai.model.id':'gpt-5','ai.prompt.messages':'[{\"role\":\"user\",\"content\":[{\"type\":"
     "\"text\",\"text\":\"hi\"}]}]','ai.response.text':'ho','ai.response.toolCalls':'[{"
     "\"toolCallId\":\"c\",\"toolName\":\"f\",\"input\":{}}]','ai.usage.inputTokens':3,"
     "'ai.usage.outputTokens':4,'ai.response.finishReason':'tool-calls'}",
     "'vercel'",
     {"gen_ai", "usage.input"},
     {"{'gen_ai.operation.name':'chat','gen_ai.provider.name':'openai','gen_ai.request.model':"
      "'gpt-5','gen_ai.response.finish_reasons':['tool-calls'],'gen_ai.usage.input_tokens':3,"
      "'gen_ai.usage.output_tokens':4,'gen_ai.input.messages':[{'role':'user','parts':[{'type':"
      "'text','content':'hi'}]}],'gen_ai.output.messages':[{'role':'assistant','parts':[{'type':"
      "'text','content':'ho'},{'type':'tool_call','id':'c','name':'f','arguments':{}}],"
      "'finish_reason':'tool-calls'}]}",
      "3"}},
    {"{'ai.operationId':'ai.generateText','ai.usage.inputTokens':3,'ai.usage.outputTokens':4}",
     "'vercel'",
     {"inference"},
     {"false"}},
    {"{'http.method':'GET','session.id':'s'}", "(none)", {"session", "usage"}, {"'s'", "(none)"}},
};

/* A request with these attributes. */
static void write_case(struct rig *rig, const char *attributes, struct buf *out)
{
    struct json_reader r;
    struct json_value key;
    struct str text = quote(&rig->arena, attributes);
    struct str head =
        quote(&rig->arena, "{'resourceSpans':[{'scopeSpans':[{'spans':[{" IDS ",'attributes':[");
    bool first = true;
    buf_append_str(out, head);
    json_reader_init(&r, text, 16);
    assert_true(json_enter(&r, JSON_OBJECT));
    while (json_next_member(&r, &key)) {
        struct json_value value = json_take(&r);
        buf_printf(out, "%s{\"key\":%.*s,\"value\":{\"%s\":%.*s}}", first ? "" : ",",
                   STR_ARG(key.raw), value.kind == JSON_STRING ? "stringValue" : "intValue",
                   STR_ARG(value.raw));
        first = false;
    }
    assert_true(json_finish(&r));
    buf_append_str(out, STR("]}]}]}]}"));
}

/* Inside the cases' JSON texts, quotes are C's own: escaped for JSON here. */
static struct str escape_inner(struct arena *a, const char *attributes)
{
    struct buf out BUF_AUTO;
    buf_init(&out, 65536);
    for (const char *c = attributes; *c; c++) {
        if (*c == '"')
            buf_append_char(&out, '\\');
        buf_append_char(&out, *c);
    }
    return arena_str(a, buf_str(&out));
}

static void check_member(struct rig *rig, const char *name, const char *wanted)
{
    struct json_reader r;
    struct json_value key;
    json_reader_init(&r, buf_str(&rig->record), 64);
    assert_true(json_enter(&r, JSON_OBJECT));
    while (json_next_member(&r, &key)) {
        struct json_value value = json_take(&r);
        if (!json_eq(&key, str_from_c(name)))
            continue;
        struct str text = quote(&rig->arena, wanted);
        if (!str_eq(value.raw, text))
            fail_msg("%s is\n%.*s\nnot\n%.*s", name, STR_ARG(value.raw), STR_ARG(text));
        return;
    }
    if (strcmp(wanted, "(none)") != 0)
        fail_msg("no %s", name);
}

static void test_dialects(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof dialect_cases / sizeof dialect_cases[0]; i++) {
        const struct dialect_case *c = &dialect_cases[i];
        struct rig rig;
        struct buf request BUF_AUTO;
        struct json_value value;
        buf_init(&request, 65536);
        rig_init(&rig, OTLP_TRACES);
        write_case(&rig, escape_inner(&rig.arena, c->attributes).ptr, &request);
        assert_int_equal(read_as(&rig, OTLP_JSON, buf_str(&request)), ERR_OK);
        assert_int_equal(json_validate(buf_str(&rig.record), 64, &value), ERR_OK);
        check_member(&rig, "dialect", c->dialect);
        for (size_t p = 0; p < 8 && c->paths[p]; p++) {
            if (strchr(c->paths[p], '.'))
                check(&rig, c->paths[p], c->values[p]);
            else
                check_member(&rig, c->paths[p], c->values[p]);
        }
        rig_release(&rig);
    }
}

/* ---- Logs, metrics ---- */

static void test_logs(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, OTLP_LOGS);
    read_json(&rig,
              "{'resourceLogs':[{'scopeLogs':[{'logRecords':[{'timeUnixNano':"
              "'1732480000000000000','severityNumber':9,'severityText':'INFO','eventName':'e',"
              "'body':{'kvlistValue':{'values':[{'key':'a','value':{'intValue':1}}]}},"
              "'traceId':'5b8efff798038103d269b633813fc60c'}]}]}]}");
    check(&rig, "body", "{'a':1}");
    check(&rig, "severity", "9");
    check(&rig, "event", "'e'");
    check(&rig, "time", "'2024-11-24T20:26:40.000000Z'");
    check(&rig, "trace_id", "'5b8efff798038103d269b633813fc60c'");
    rig_release(&rig);
}

#define METRICS(metric) "{'resourceMetrics':[{'scopeMetrics':[{'metrics':[" metric "]}]}]}"

static void test_metrics(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig, OTLP_METRICS);
    read_json(&rig, METRICS("{'name':'tokens','unit':'{token}','histogram':{"
                            "'aggregationTemporality':2,'dataPoints':[{'timeUnixNano':'5','count':"
                            "'3','sum':6.5,'bucketCounts':['1','2'],'explicitBounds':[4],'min':0}]}"
                            "}"));
    check(&rig, "type", "'histogram'");
    check(&rig, "temporality", "'cumulative'");
    check(&rig, "points",
          "[{'attributes':{},'time_ns':'5','count':3,'sum':6.5,'min':0.0,'bounds':[4.0],'counts':["
          "1,2]}]");
    read_json(&rig, METRICS("{'name':'calls','sum':{'isMonotonic':true,'dataPoints':[{'asInt':'7',"
                            "'timeUnixNano':'5'},{'asDouble':1.5,'timeUnixNano':'9'}]}}"));
    check(&rig, "monotonic", "true");
    check(
        &rig, "points",
        "[{'attributes':{},'time_ns':'5','value':7},{'attributes':{},'time_ns':'9','value':1.5}]");
    read_json(&rig, METRICS("{'name':'x','exponentialHistogram':{'dataPoints':[{'scale':-1,'count':"
                            "2,'positive':{'offset':-3,'bucketCounts':[1,1]}}]}}"));
    check(&rig, "points.0.positive", "{'offset':-3,'counts':[1,1]}");
    check(&rig, "points.0.scale", "-1");
    rig_release(&rig);
}

static void test_answers(void **state)
{
    struct buf out BUF_AUTO;
    struct pb_field f;
    (void)state;
    buf_init(&out, 4096);
    otlp_answer_write(OTLP_LOGS, OTLP_JSON, 0, STR_NONE, &out);
    assert_string_equal(buf_cstr(&out), "{}");
    buf_reset(&out);
    otlp_answer_write(OTLP_METRICS, OTLP_JSON, 2, STR("why"), &out);
    assert_string_equal(
        buf_cstr(&out),
        "{\"partialSuccess\":{\"rejectedDataPoints\":\"2\",\"errorMessage\":\"why\"}}");
    buf_reset(&out);
    otlp_answer_write(OTLP_TRACES, OTLP_PROTOBUF, 300, STR("why"), &out);
    struct pb_reader r = pb_reader_of(buf_str(&out));
    assert_true(pb_next(&r, &f) && f.number == 1 && f.wire == PB_BYTES);
    r = pb_reader_of(f.bytes);
    assert_true(pb_next(&r, &f) && f.number == 1 && f.value == 300);
    assert_true(pb_next(&r, &f) && f.number == 2 && str_eq(f.bytes, STR("why")));
    assert_false(pb_next(&r, &f) || r.fault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_forms),  cmocka_unit_test(test_values),
        cmocka_unit_test(test_wrong_spans), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_dialects),    cmocka_unit_test(test_logs),
        cmocka_unit_test(test_metrics),     cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
