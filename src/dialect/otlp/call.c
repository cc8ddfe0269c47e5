#include "dialect/otlp/call.h"

#include "codec/digest.h"
#include "codec/json_scan.h"
#include "codec/protobuf.h"
#include "codec/time.h"
#include "dialect/otlp/normal.h"

enum { DEPTH_MAX = 256, MESSAGES_BYTES_MAX = 1 << 20 };

/* Fields of Span, Status, KeyValue and AnyValue. */
enum {
    SPAN_TRACE_ID = 1,
    SPAN_ID = 2,
    SPAN_PARENT = 4,
    SPAN_NAME = 5,
    SPAN_KIND = 6,
    SPAN_START = 7,
    SPAN_END = 8,
    SPAN_ATTRIBUTE = 9,
    SPAN_STATUS = 15,
    KIND_CLIENT = 3,
    STATUS_ERROR = 2,
};

/* What a record has at its top. */
struct record {
    struct json_value id, trace_id, span_id, parent_span_id, time, key, endpoint, model, target,
        status, outcome, stream, timing, usage, cost, error, request, response, user, session;
};

static const struct {
    struct str name;
    size_t at;
} members[] = {
    {STR_INIT("id"), offsetof(struct record, id)},
    {STR_INIT("trace_id"), offsetof(struct record, trace_id)},
    {STR_INIT("span_id"), offsetof(struct record, span_id)},
    {STR_INIT("parent_span_id"), offsetof(struct record, parent_span_id)},
    {STR_INIT("time"), offsetof(struct record, time)},
    {STR_INIT("key"), offsetof(struct record, key)},
    {STR_INIT("endpoint"), offsetof(struct record, endpoint)},
    {STR_INIT("model"), offsetof(struct record, model)},
    {STR_INIT("target"), offsetof(struct record, target)},
    {STR_INIT("status"), offsetof(struct record, status)},
    {STR_INIT("outcome"), offsetof(struct record, outcome)},
    {STR_INIT("stream"), offsetof(struct record, stream)},
    {STR_INIT("timing"), offsetof(struct record, timing)},
    {STR_INIT("usage"), offsetof(struct record, usage)},
    {STR_INIT("cost"), offsetof(struct record, cost)},
    {STR_INIT("error"), offsetof(struct record, error)},
    {STR_INIT("request"), offsetof(struct record, request)},
    {STR_INIT("response"), offsetof(struct record, response)},
    {STR_INIT("user"), offsetof(struct record, user)},
    {STR_INIT("session"), offsetof(struct record, session)},
};

static bool read_record(struct str text, struct record *r)
{
    struct json_reader reader;
    struct json_value key;
    *r = (struct record){.id = {.kind = JSON_NONE}};
    json_reader_init(&reader, text, DEPTH_MAX);
    if (!json_enter(&reader, JSON_OBJECT))
        return false;
    while (json_next_member(&reader, &key)) {
        struct json_value value = json_take(&reader);
        for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
            if (json_eq(&key, members[i].name))
                *(struct json_value *)(void *)((char *)r + members[i].at) = value;
    }
    return json_finish(&reader);
}

/* ---- Attributes ---- */

static void write_text(struct buf *out, struct str key, struct str text)
{
    if (!text.len)
        return;
    size_t attribute = pb_begin(out, SPAN_ATTRIBUTE);
    pb_write_bytes(out, 1, key);
    size_t value = pb_begin(out, 2);
    pb_write_bytes(out, 1, text);
    pb_end(out, value);
    pb_end(out, attribute);
}

static void write_number(struct buf *out, struct str key, int64_t number)
{
    size_t attribute = pb_begin(out, SPAN_ATTRIBUTE);
    pb_write_bytes(out, 1, key);
    size_t value = pb_begin(out, 2);
    pb_write_varint(out, 3, (uint64_t)number);
    pb_end(out, value);
    pb_end(out, attribute);
}

static void write_real(struct buf *out, struct str key, double real)
{
    size_t attribute = pb_begin(out, SPAN_ATTRIBUTE);
    pb_write_bytes(out, 1, key);
    size_t value = pb_begin(out, 2);
    pb_write_double(out, 4, real);
    pb_end(out, value);
    pb_end(out, attribute);
}

/* A list of texts. */
static void write_list(struct buf *out, struct str key, const struct str *texts, size_t count)
{
    if (!count)
        return;
    size_t attribute = pb_begin(out, SPAN_ATTRIBUTE);
    pb_write_bytes(out, 1, key);
    size_t value = pb_begin(out, 2);
    size_t array = pb_begin(out, 5);
    for (size_t i = 0; i < count; i++) {
        size_t element = pb_begin(out, 1);
        pb_write_bytes(out, 1, texts[i]);
        pb_end(out, element);
    }
    pb_end(out, array);
    pb_end(out, value);
    pb_end(out, attribute);
}

static struct str text_at(const struct json_value *object, const char *path, struct arena *a)
{
    struct json_value value;
    if (object->kind != JSON_OBJECT || !json_find(object->raw, path, &value))
        return STR_NONE;
    return json_text(&value, a);
}

static bool number_at(const struct json_value *object, const char *path, int64_t *ret_number)
{
    struct json_value value;
    return object->kind == JSON_OBJECT && json_find(object->raw, path, &value) &&
           json_to_i64(&value, ret_number) == ERR_OK;
}

static struct str operation_of(struct str endpoint)
{
    static const struct {
        struct str from, to;
    } names[] = {{STR_INIT("messages"), STR_INIT("chat")},
                 {STR_INIT("responses"), STR_INIT("chat")},
                 {STR_INIT("completions"), STR_INIT("text_completion")}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq(endpoint, names[i].from))
            return names[i].to;
    return endpoint;
}

static struct str provider_of(struct str provider)
{
    static const struct {
        struct str from, to;
    } names[] = {{STR_INIT("gemini"), STR_INIT("gcp.gemini")},
                 {STR_INIT("azure"), STR_INIT("azure.ai.openai")},
                 {STR_INIT("bedrock"), STR_INIT("aws.bedrock")},
                 {STR_INIT("mistral"), STR_INIT("mistral_ai")},
                 {STR_INIT("xai"), STR_INIT("x_ai")}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq(provider, names[i].from))
            return names[i].to;
    return provider;
}

static void write_usage(struct buf *out, const struct record *r)
{
    static const struct {
        const char *from;
        struct str to;
        bool always;
    } counts[] = {
        {"input", STR_INIT("gen_ai.usage.input_tokens"), true},
        {"output", STR_INIT("gen_ai.usage.output_tokens"), true},
        {"cached_input", STR_INIT("gen_ai.usage.cache_read.input_tokens"), false},
        {"cache_write", STR_INIT("gen_ai.usage.cache_creation.input_tokens"), false},
        {"reasoning", STR_INIT("gen_ai.usage.reasoning.output_tokens"), false},
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        int64_t number;
        if (number_at(&r->usage, counts[i].from, &number) && (counts[i].always || number > 0))
            write_number(out, counts[i].to, number);
    }
}

static void write_parameters(struct buf *out, const struct record *r)
{
    static const struct {
        const char *from;
        struct str to;
        bool real;
    } parameters[] = {
        {"max_tokens", STR_INIT("gen_ai.request.max_tokens"), false},
        {"max_completion_tokens", STR_INIT("gen_ai.request.max_tokens"), false},
        {"max_output_tokens", STR_INIT("gen_ai.request.max_tokens"), false},
        {"temperature", STR_INIT("gen_ai.request.temperature"), true},
        {"top_p", STR_INIT("gen_ai.request.top_p"), true},
        {"frequency_penalty", STR_INIT("gen_ai.request.frequency_penalty"), true},
        {"presence_penalty", STR_INIT("gen_ai.request.presence_penalty"), true},
        {"seed", STR_INIT("gen_ai.request.seed"), false},
    };
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        struct json_value value;
        double real;
        int64_t number;
        if (r->request.kind != JSON_OBJECT ||
            !json_find(r->request.raw, parameters[i].from, &value))
            continue;
        if (parameters[i].real && json_to_double(&value, &real) == ERR_OK)
            write_real(out, parameters[i].to, real);
        else if (!parameters[i].real && json_to_i64(&value, &number) == ERR_OK)
            write_number(out, parameters[i].to, number);
    }
}

static void write_finish(struct buf *out, const struct record *r, struct arena *a)
{
    struct json_value choices;
    struct json_reader reader;
    struct str texts[16];
    size_t count = 0;
    struct str one = text_at(&r->response, "stop_reason", a);
    if (one.len) {
        write_list(out, STR("gen_ai.response.finish_reasons"), &one, 1);
        return;
    }
    if (r->response.kind != JSON_OBJECT || !json_find(r->response.raw, "choices", &choices))
        return;
    json_reader_init(&reader, choices.raw, DEPTH_MAX);
    if (!json_enter(&reader, JSON_ARRAY))
        return;
    while (json_next_element(&reader) && count < 16) {
        struct json_value choice = json_take(&reader);
        texts[count] = text_at(&choice, "finish_reason", a);
        count += texts[count].len > 0;
    }
    write_list(out, STR("gen_ai.response.finish_reasons"), texts, count);
}

/* One of the two lists of messages, by the same way as those of other dialects go. */
static void write_messages(struct buf *out, struct str key, struct str text, bool input,
                           struct arena *a)
{
    struct buf json BUF_AUTO;
    struct otlp_value value = {.kind = OTLP_STRING, .text = text};
    struct otlp_attributes none = {.count = 0};
    struct gen_ai g = {.dialect = GEN_AI_OPENTELEMETRY};
    if (!text.len)
        return;
    buf_init(&json, MESSAGES_BYTES_MAX);
    g.value[input ? GEN_INPUT_MESSAGES : GEN_OUTPUT_MESSAGES] = &value;
    if (input)
        gen_ai_write_input(&g, &none, a, &json);
    else
        gen_ai_write_output(&g, &none, a, &json);
    if (json.error == ERR_OK)
        write_text(out, key, buf_str(&json));
}

static void write_said(struct buf *out, const struct record *r, struct arena *a)
{
    static const char *const asked[] = {"messages", "input", "prompt"};
    struct json_value value;
    if (r->request.kind == JSON_OBJECT)
        for (size_t i = 0; i < 3; i++)
            if (json_find(r->request.raw, asked[i], &value)) {
                write_messages(out, STR("gen_ai.input.messages"), value.raw, true, a);
                break;
            }
    if (r->response.kind != JSON_OBJECT)
        return;
    if (json_find(r->response.raw, "choices.0.message", &value) ||
        json_find(r->response.raw, "output", &value))
        write_messages(out, STR("gen_ai.output.messages"), value.raw, false, a);
    else if (json_find(r->response.raw, "role", &value)) /* Anthropic's answer is a message */
        write_messages(out, STR("gen_ai.output.messages"), r->response.raw, false, a);
}

static void write_attributes(struct buf *out, const struct record *r, struct arena *a)
{
    struct str target = json_text(&r->target, a);
    struct str provider = str_split(&target, '/');
    struct str cost = text_at(&r->cost, "amount", a);
    struct json_value amount;
    double dollars;
    int64_t number;
    write_text(out, STR("gen_ai.operation.name"), operation_of(json_text(&r->endpoint, a)));
    write_text(out, STR("gen_ai.provider.name"), provider_of(provider));
    write_text(out, STR("gen_ai.request.model"), json_text(&r->model, a));
    write_text(out, STR("gen_ai.response.model"), target);
    write_text(out, STR("gen_ai.response.id"), text_at(&r->response, "id", a));
    write_text(out, STR("gen_ai.conversation.id"), json_text(&r->session, a));
    write_text(out, STR("user.id"), json_text(&r->user, a));
    write_text(out, STR("weir.call.id"), json_text(&r->id, a));
    write_text(out, STR("weir.key"), json_text(&r->key, a));
    write_text(out, STR("weir.outcome"), json_text(&r->outcome, a));
    write_text(out, STR("error.type"), text_at(&r->error, "type", a));
    if (json_to_i64(&r->status, &number) == ERR_OK)
        write_number(out, STR("http.response.status_code"), number);
    if (number_at(&r->timing, "first_token_us", &number) && r->stream.kind == JSON_TRUE)
        write_real(out, STR("gen_ai.response.time_to_first_chunk"), (double)number / 1e6);
    if (cost.len && json_validate(cost, 1, &amount) == ERR_OK &&
        json_to_double(&amount, &dollars) == ERR_OK)
        write_real(out, STR("weir.cost"), dollars);
    write_usage(out, r);
    write_parameters(out, r);
    write_finish(out, r, a);
}

/* ---- The span ---- */

static bool write_id(struct buf *out, uint32_t field, const struct json_value *hex, size_t bytes)
{
    uint8_t id[OTLP_TRACE_ID_BYTES];
    if (hex_decode(json_text_raw(hex), id, bytes) != ERR_OK)
        return false;
    pb_write_bytes(out, field, str_of((const char *)id, bytes));
    return true;
}

static void write_status(struct buf *out, const struct record *r, struct arena *a)
{
    if (!json_eq(&r->outcome, STR("error")))
        return;
    size_t status = pb_begin(out, SPAN_STATUS);
    pb_write_bytes(out, 2, text_at(&r->error, "message", a));
    pb_write_varint(out, 3, STATUS_ERROR);
    pb_end(out, status);
}

static bool write_span(struct buf *out, const struct record *r, bool messages, struct arena *a)
{
    struct buf name BUF_AUTO;
    int64_t start_us = 0;
    int64_t total_us = 0;
    buf_init(&name, 4096);
    if (time_parse(json_text(&r->time, a), &start_us) != ERR_OK || start_us < 0 ||
        !write_id(out, SPAN_TRACE_ID, &r->trace_id, OTLP_TRACE_ID_BYTES) ||
        !write_id(out, SPAN_ID, &r->span_id, OTLP_SPAN_ID_BYTES))
        return false;
    if (r->parent_span_id.kind == JSON_STRING)
        (void)write_id(out, SPAN_PARENT, &r->parent_span_id, OTLP_SPAN_ID_BYTES);
    if (!number_at(&r->timing, "total_us", &total_us) || total_us < 0)
        total_us = 0;
    buf_printf(&name, "%.*s %.*s", STR_ARG(operation_of(json_text(&r->endpoint, a))),
               STR_ARG(str_take(json_text(&r->model, a), 256)));
    pb_write_bytes(out, SPAN_NAME, buf_str(&name));
    pb_write_varint(out, SPAN_KIND, KIND_CLIENT);
    pb_write_fixed64(out, SPAN_START, (uint64_t)start_us * 1000);
    pb_write_fixed64(out, SPAN_END, (uint64_t)(start_us + total_us) * 1000);
    write_attributes(out, r, a);
    if (messages)
        write_said(out, r, a);
    write_status(out, r, a);
    return true;
}

bool otlp_call_write(struct str record, bool messages, struct arena *a, struct buf *out)
{
    struct record r;
    size_t before = out->len;
    if (!read_record(record, &r))
        return false;
    size_t span = pb_begin(out, 2);
    if (!write_span(out, &r, messages, a)) {
        out->len = before;
        return false;
    }
    pb_end(out, span);
    return out->error == ERR_OK;
}

/* ExportTraceServiceRequest of one ResourceSpans of one ScopeSpans. */
void otlp_request_write(struct str spans, struct str version, struct buf *out)
{
    size_t resource_spans = pb_begin(out, 1);
    size_t resource = pb_begin(out, 1);
    const struct {
        struct str key, text;
    } attributes[] = {{STR("service.name"), STR("weir")}, {STR("service.version"), version}};
    for (size_t i = 0; i < 2; i++) {
        size_t attribute = pb_begin(out, 1);
        pb_write_bytes(out, 1, attributes[i].key);
        size_t value = pb_begin(out, 2);
        pb_write_bytes(out, 1, attributes[i].text);
        pb_end(out, value);
        pb_end(out, attribute);
    }
    pb_end(out, resource);
    size_t scope_spans = pb_begin(out, 2);
    size_t scope = pb_begin(out, 1);
    pb_write_bytes(out, 1, STR("weir.calls"));
    pb_write_bytes(out, 2, version);
    pb_end(out, scope);
    buf_append_str(out, spans);
    pb_end(out, scope_spans);
    pb_end(out, resource_spans);
}
