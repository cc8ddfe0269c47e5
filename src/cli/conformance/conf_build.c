/* A case as a request of each API. All text is the table's own: it needs no escape. */
#include <stdio.h>

#include "cli/conformance/conformance_int.h"

#define IMAGE_BASE64                                                                               \
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+"                                \
    "M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
#define PARAMETERS                                                                                 \
    "{\"type\":\"object\",\"required\":[\"city\",\"days\"],\"properties\":{"                       \
    "\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"}}}"
#define NO_PARAMETERS "{\"type\":\"object\",\"properties\":{}}"
#define SCHEMA                                                                                     \
    "{\"type\":\"object\",\"required\":[\"city\",\"days\"],\"additionalProperties\":false,"        \
    "\"properties\":{\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"}}}"
#define SYSTEM "Be-brief."

enum { MANY_TOOLS = 40, LONG_BYTES = 300000 };

const char *const conf_api_names[CONF_APIS] = {"chat", "completions", "embeddings", "responses",
                                               "messages"};
const char *const conf_kind_names[CONF_KINDS] = {"openai", "azure", "anthropic", "gemini"};

struct str conf_path(enum conf_api api)
{
    static const struct str paths[CONF_APIS] = {
        STR_INIT("/v1/chat/completions"), STR_INIT("/v1/completions"), STR_INIT("/v1/embeddings"),
        STR_INIT("/v1/responses"),        STR_INIT("/v1/messages"),
    };
    return paths[api];
}

void conf_headers_append(const struct conf_question *question, struct buf *out)
{
    const struct conf *conf = question->conf;
    if (conf->key.len > 0 && question->api == CONF_MESSAGES)
        buf_printf(out, "x-api-key: %.*s\r\n", STR_ARG(conf->key));
    if (conf->key.len > 0)
        buf_printf(out, "Authorization: Bearer %.*s\r\n", STR_ARG(conf->key));
    if (question->api == CONF_MESSAGES)
        buf_append_str(out, STR("anthropic-version: 2023-06-01\r\n"));
    for (size_t i = 0; i < conf->header_count; i++)
        buf_printf(out, "%.*s\r\n", STR_ARG(conf->headers[i]));
}

/* ---- Messages ---- */

static void append_long(const struct conf_case *c, struct buf *out)
{
    for (size_t i = 0; (c->asks & ASK_LONG) && i < LONG_BYTES / 20; i++)
        buf_printf(out, " Remember item %05zu.", i);
}

static void append_message(const char *role, const char *text, struct buf *out)
{
    buf_printf(out, "{\"role\":\"%s\",\"content\":\"%s\"}", role, text);
}

/* Calls 0 … count-1, and what came of them. */
static void append_calls(enum conf_api api, size_t count, struct buf *out)
{
    static const char *const names[] = {"look_up", "other"};
    static const char *const arguments[] = {"{\\\"city\\\":\\\"Ulm\\\",\\\"days\\\":3}", "{}"};
    static const char *const inputs[] = {"{\"city\":\"Ulm\",\"days\":3}", "{}"};
    for (size_t i = 0; i < count; i++) {
        if (api == CONF_RESPONSES)
            buf_printf(out,
                       "{\"type\":\"function_call\",\"call_id\":\"call_mock_%zu\",\"name\":\"%s\","
                       "\"arguments\":\"%s\"},",
                       i, names[i], arguments[i]);
        else if (api == CONF_MESSAGES)
            buf_printf(out,
                       "%s{\"type\":\"tool_use\",\"id\":\"toolu_mock_%zu\",\"name\":\"%s\","
                       "\"input\":%s}",
                       i > 0 ? "," : "{\"role\":\"assistant\",\"content\":[", i, names[i],
                       inputs[i]);
        else
            buf_printf(out,
                       "%s{\"id\":\"call_mock_%zu\",\"type\":\"function\",\"function\":{"
                       "\"name\":\"%s\",\"arguments\":\"%s\"}}",
                       i > 0 ? "," : "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[", i,
                       names[i], arguments[i]);
    }
    if (api != CONF_RESPONSES)
        buf_append_str(out, STR("]},"));
}

static void append_results(enum conf_api api, size_t count, struct buf *out)
{
    if (api == CONF_MESSAGES)
        buf_append_str(out, STR("{\"role\":\"user\",\"content\":["));
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_append_char(out, ',');
        if (api == CONF_RESPONSES)
            buf_printf(out,
                       "{\"type\":\"function_call_output\",\"call_id\":\"call_mock_%zu\","
                       "\"output\":\"sunny\"}",
                       i);
        else if (api == CONF_MESSAGES)
            buf_printf(out,
                       "{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_mock_%zu\","
                       "\"content\":\"sunny\"}",
                       i);
        else
            buf_printf(out,
                       "{\"role\":\"tool\",\"tool_call_id\":\"call_mock_%zu\","
                       "\"content\":\"sunny\"}",
                       i);
    }
    if (api == CONF_MESSAGES)
        buf_append_str(out, STR("]}"));
}

static void append_user(enum conf_api api, const struct conf_case *c, struct buf *out)
{
    static const char *const text_types[CONF_APIS] = {
        [CONF_CHAT] = "text", [CONF_RESPONSES] = "input_text", [CONF_MESSAGES] = "text"};
    if (!(c->asks & ASK_IMAGE)) {
        buf_printf(out, "{\"role\":\"user\",\"content\":\"%s\"}", c->words);
        return;
    }
    buf_printf(out, "{\"role\":\"user\",\"content\":[{\"type\":\"%s\",\"text\":\"%s\"},",
               text_types[api], c->words);
    if (api == CONF_MESSAGES)
        buf_append_str(out, STR("{\"type\":\"image\",\"source\":{\"type\":\"base64\","
                                "\"media_type\":\"image/png\",\"data\":\"" IMAGE_BASE64 "\"}}"));
    else if (api == CONF_RESPONSES)
        buf_append_str(out, STR("{\"type\":\"input_image\",\"detail\":\"auto\","
                                "\"image_url\":\"data:image/png;base64," IMAGE_BASE64 "\"}"));
    else
        buf_append_str(out, STR("{\"type\":\"image_url\",\"image_url\":{\"url\":"
                                "\"data:image/png;base64," IMAGE_BASE64 "\"}}"));
    buf_append_str(out, STR("]}"));
}

void conf_talk_append(enum conf_api api, const struct conf_case *c, struct buf *out)
{
    size_t results = c->asks & ASK_TWO_RESULTS ? 2 : c->asks & ASK_RESULT ? 1 : 0;
    if ((c->asks & ASK_SYSTEM) && api == CONF_CHAT) {
        buf_append_str(out, STR("{\"role\":\"system\",\"content\":\"" SYSTEM));
        append_long(c, out);
        buf_append_str(out, STR("\"},"));
    }
    if (c->asks & ASK_TURNS) {
        append_message("user", "Hello", out);
        buf_append_char(out, ',');
        append_message("assistant", "Hi, what is it?", out);
        buf_append_char(out, ',');
    }
    append_user(api, c, out);
    if (results == 0)
        return;
    buf_append_char(out, ',');
    append_calls(api, results, out);
    append_results(api, results, out);
}

/* ---- Members beside them ---- */

static void append_system(enum conf_api api, const struct conf_case *c, struct buf *out)
{
    if (!(c->asks & ASK_SYSTEM) || api == CONF_CHAT)
        return;
    bool marked = api == CONF_MESSAGES && (c->asks & ASK_CACHE);
    buf_append_str(out, api == CONF_RESPONSES ? STR(",\"instructions\":") : STR(",\"system\":"));
    buf_append_str(out, marked ? STR("[{\"type\":\"text\",\"text\":\"" SYSTEM) : STR("\"" SYSTEM));
    append_long(c, out);
    buf_append_str(out,
                   marked ? STR("\",\"cache_control\":{\"type\":\"ephemeral\"}}]") : STR("\""));
}

static void append_tool(enum conf_api api, const char *name, const char *schema, struct buf *out)
{
    const char *format =
        api == CONF_RESPONSES
            ? "{\"type\":\"function\",\"name\":\"%s\",\"description\":\"d\",\"parameters\":%s}"
        : api == CONF_MESSAGES
            ? "{\"name\":\"%s\",\"description\":\"d\",\"input_schema\":%s}"
            : "{\"type\":\"function\",\"function\":{\"name\":\"%s\",\"description\":\"d\","
              "\"parameters\":%s}}";
    struct str rest = str_from_c(format);
    const char *const values[] = {name, schema};
    for (size_t i = 0; i < 2; i++) {
        ptrdiff_t at = str_find(rest, STR("%s"));
        buf_append(out, rest.ptr, (size_t)at);
        buf_append_str(out, str_from_c(values[i]));
        rest = str_skip(rest, (size_t)at + 2);
    }
    buf_append_str(out, rest);
}

static void append_tools(enum conf_api api, const struct conf_case *c, struct buf *out)
{
    if (!(c->asks & ASK_TOOLS))
        return;
    buf_append_str(out, STR(",\"tools\":["));
    append_tool(api, "look_up", PARAMETERS, out);
    buf_append_char(out, ',');
    append_tool(api, "other", NO_PARAMETERS, out);
    for (size_t i = 0; (c->asks & ASK_MANY_TOOLS) && i < MANY_TOOLS - 2; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "tool_%02zu", i);
        buf_append_char(out, ',');
        append_tool(api, name, PARAMETERS, out);
    }
    buf_append_char(out, ']');
    if (c->asks & ASK_NO_TOOL)
        buf_append_str(out, api == CONF_MESSAGES ? STR(",\"tool_choice\":{\"type\":\"none\"}")
                                                 : STR(",\"tool_choice\":\"none\""));
    if (!(c->asks & ASK_OTHER))
        return;
    buf_append_str(out, api == CONF_MESSAGES
                            ? STR(",\"tool_choice\":{\"type\":\"tool\",\"name\":\"other\"}")
                        : api == CONF_RESPONSES
                            ? STR(",\"tool_choice\":{\"type\":\"function\",\"name\":\"other\"}")
                            : STR(",\"tool_choice\":{\"type\":\"function\",\"function\":{"
                                  "\"name\":\"other\"}}"));
}

static void append_schema(enum conf_api api, struct buf *out)
{
    if (api == CONF_RESPONSES)
        buf_append_str(out, STR(",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"s\","
                                "\"strict\":true,\"schema\":" SCHEMA "}}"));
    else if (api == CONF_MESSAGES)
        buf_append_str(out, STR(",\"output_config\":{\"format\":{\"type\":\"json_schema\","
                                "\"schema\":" SCHEMA "}}"));
    else
        buf_append_str(out, STR(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
                                "\"name\":\"s\",\"strict\":true,\"schema\":" SCHEMA "}}"));
}

static void append_thinking(enum conf_api api, struct buf *out)
{
    if (api == CONF_RESPONSES)
        buf_append_str(out, STR(",\"reasoning\":{\"effort\":\"medium\",\"summary\":\"auto\"}"));
    else if (api == CONF_MESSAGES)
        buf_append_str(out, STR(",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}"));
    else
        buf_append_str(out, STR(",\"reasoning_effort\":\"medium\""));
}

static void append_limits(enum conf_api api, const struct conf_case *c, struct buf *out)
{
    static const char *const names[CONF_APIS] = {"max_completion_tokens", "max_tokens", NULL,
                                                 "max_output_tokens", "max_tokens"};
    bool two = c->asks & ASK_TWO_TOKENS;
    bool wanted = api == CONF_MESSAGES || !(c->asks & ASK_NO_MAXIMUM);
    if (names[api] && (two || wanted))
        buf_printf(out, ",\"%s\":%d", names[api], two ? 2 : 4000);
    if (c->asks & ASK_STOP)
        buf_append_str(out, api == CONF_MESSAGES ? STR(",\"stop_sequences\":[\"gamma\"]")
                                                 : STR(",\"stop\":[\"gamma\"]"));
}

static void append_options(const struct conf_question *question, struct buf *out)
{
    const struct conf_case *c = question->the_case;
    enum conf_api api = question->api;
    append_limits(api, c, out);
    append_tools(api, c, out);
    if (c->asks & ASK_SCHEMA)
        append_schema(api, out);
    if (c->asks & ASK_THINK)
        append_thinking(api, out);
    if (c->asks & ASK_N2)
        buf_append_str(out, STR(",\"n\":2"));
    if (c->asks & ASK_LOGPROBS)
        buf_append_str(out, api == CONF_CHAT ? STR(",\"logprobs\":true,\"top_logprobs\":2")
                                             : STR(",\"logprobs\":2"));
    if (question->stream)
        buf_append_str(out, STR(",\"stream\":true"));
    if (question->stream && (api == CONF_CHAT || api == CONF_COMPLETIONS))
        buf_append_str(out, STR(",\"stream_options\":{\"include_usage\":true}"));
}

void conf_body_append_talk(const struct conf_question *question, struct str talk, struct buf *out)
{
    enum conf_api api = question->api;
    buf_printf(out, "{\"model\":\"%.*s\"", STR_ARG(question->target->model));
    append_system(api, question->the_case, out);
    buf_append_str(out, api == CONF_RESPONSES ? STR(",\"input\":[") : STR(",\"messages\":["));
    buf_append_str(out, talk);
    buf_append_char(out, ']');
    append_options(question, out);
    buf_append_char(out, '}');
}

void conf_body_append(const struct conf_question *question, struct buf *out)
{
    const struct conf_case *c = question->the_case;
    struct buf BUF_AUTO talk;
    buf_init(&talk, CONF_BODY_BYTES_MAX);
    switch (question->api) {
    case CONF_COMPLETIONS:
        buf_printf(out, "{\"model\":\"%.*s\",\"prompt\":\"%s\"", STR_ARG(question->target->model),
                   c->words);
        append_options(question, out);
        buf_append_char(out, '}');
        return;
    case CONF_EMBEDDINGS:
        buf_printf(out, "{\"model\":\"%.*s\",\"input\":%s", STR_ARG(question->target->model),
                   c->asks & ASK_TWO_INPUTS ? "[\"one\",\"two\"]" : "\"one\"");
        buf_append_str(out, c->asks & ASK_BASE64 ? STR(",\"encoding_format\":\"base64\"}")
                                                 : STR(",\"dimensions\":8}"));
        return;
    default:
        conf_talk_append(question->api, c, &talk);
        conf_body_append_talk(question, buf_str(&talk), out);
        return;
    }
}
