/* Anthropic's messages as an ask. What becomes of each member in other dialects is listed in
 * docs/dialects.md. */
#include <stdio.h>

#include "base/assert.h"
#include "codec/json_write.h"
#include "dialect/anthropic_int.h"
#include "dialect/ask_read.h"
#include "dialect/fields.h"

enum {
    PARAM_BYTES = 64,
    LEVELS_MAX = 3, /* message, result, a document or search result in it, its content */
};

/* ---- Blocks ---- */

enum {
    B_TYPE,
    B_TEXT,
    B_SOURCE,
    B_ID,
    B_NAME,
    B_INPUT,
    B_TOOL_USE_ID,
    B_CONTENT,
    B_IS_ERROR,
    B_THINKING,
    B_SIGNATURE,
    B_DATA,
    B_TITLE,
    B_CONTEXT,
    B_CITATIONS,
    B_CACHE,
    B_COUNT
};
static const struct str block_names[B_COUNT] = {
    STR_INIT("type"),     STR_INIT("text"),     STR_INIT("source"),      STR_INIT("id"),
    STR_INIT("name"),     STR_INIT("input"),    STR_INIT("tool_use_id"), STR_INIT("content"),
    STR_INIT("is_error"), STR_INIT("thinking"), STR_INIT("signature"),   STR_INIT("data"),
    STR_INIT("title"),    STR_INIT("context"),  STR_INIT("citations"),   STR_INIT("cache_control"),
};

static void read_blocks(struct ask_reading *x, const struct json_value *content, const char *param,
                        struct ask_parts *parts);

enum { S_TYPE, S_MEDIA, S_DATA, S_URL, S_FILE, S_CONTENT, S_COUNT };
static const struct str source_names[S_COUNT] = {STR_INIT("type"),    STR_INIT("media_type"),
                                                 STR_INIT("data"),    STR_INIT("url"),
                                                 STR_INIT("file_id"), STR_INIT("content")};

/* False: a kind of source that is not known. */
static bool read_source(struct ask_reading *x, const struct json_value s[S_COUNT],
                        struct ask_source *source)
{
    const struct json_value *data = &s[S_DATA];
    if (json_eq(&s[S_TYPE], STR("base64"))) {
        source->kind = ASK_SOURCE_BASE64;
    } else if (json_eq(&s[S_TYPE], STR("text"))) {
        source->kind = ASK_SOURCE_TEXT;
    } else if (json_eq(&s[S_TYPE], STR("url"))) {
        source->kind = ASK_SOURCE_URL;
        data = &s[S_URL];
    } else if (json_eq(&s[S_TYPE], STR("file"))) {
        source->kind = ASK_SOURCE_ID;
        data = &s[S_FILE];
    } else {
        return false;
    }
    source->data = ask_text(data);
    source->media_type = ask_name(&s[S_MEDIA], x->a);
    if (data->kind != JSON_STRING)
        ask_wrong(x, ERR_INVALID, "source", "A source's data, url or file_id must be a string.");
    return true;
}

static void read_image(struct ask_reading *x, const struct json_value *block,
                       const struct json_value b[B_COUNT], struct ask_parts *parts)
{
    struct json_value s[S_COUNT];
    struct ask_source source = {0};
    fields_of(&b[B_SOURCE], FIELDS(source_names), s);
    if (!read_source(x, s, &source)) {
        ask_other_add(x, parts, block, &b[B_TYPE]);
        return;
    }
    struct ask_part *part = ask_part_add(x, parts, ASK_IMAGE);
    if (part)
        part->source = source;
}

/* A document; one that is made of blocks becomes these. */
static void read_document(struct ask_reading *x, const struct json_value *block,
                          const struct json_value b[B_COUNT], struct ask_parts *parts)
{
    struct json_value s[S_COUNT];
    struct ask_source source = {0};
    struct json_value cite = field_of(&b[B_CITATIONS], STR("enabled"));
    fields_of(&b[B_SOURCE], FIELDS(source_names), s);
    bool content = json_eq(&s[S_TYPE], STR("content")) && cite.kind != JSON_TRUE;
    if (!content && !read_source(x, s, &source)) {
        ask_other_add(x, parts, block, &b[B_TYPE]);
        return;
    }
    if (json_text_len(&b[B_CONTEXT]) > 0)
        ask_text_add(x, parts, ask_text(&b[B_CONTEXT]));
    if (content) {
        if (json_text_len(&b[B_TITLE]) > 0)
            ask_text_add(x, parts, ask_text(&b[B_TITLE]));
        read_blocks(x, &s[S_CONTENT], "document.source.content", parts);
        return;
    }
    struct ask_part *part = ask_part_add(x, parts, ASK_FILE);
    if (!part)
        return;
    part->source = source;
    part->source.name = ask_name(&b[B_TITLE], x->a);
    part->citations = cite.kind == JSON_TRUE;
}

/* A search result reads as its title, its source and its texts, line by line. */
static void read_search_result(struct ask_reading *x, const struct json_value b[B_COUNT],
                               struct ask_parts *parts)
{
    struct ask_parts texts = {0};
    struct buf out BUF_AUTO;
    read_blocks(x, &b[B_CONTENT], "search_result.content", &texts);
    buf_init(&out, SIZE_MAX / 2);
    buf_append_str(&out, ask_text(&b[B_TITLE]));
    buf_append_str(&out, STR("\\n"));
    buf_append_str(&out, ask_text(&b[B_SOURCE]));
    for (const struct ask_part *p = texts.first; p; p = p->next) {
        buf_append_str(&out, STR("\\n"));
        buf_append_str(&out, p->text);
    }
    ask_text_add(x, parts, arena_str(x->a, buf_str(&out)));
}

static void read_thinking(struct ask_reading *x, const struct json_value b[B_COUNT],
                          struct ask_parts *parts)
{
    bool redacted = b[B_DATA].kind == JSON_STRING;
    struct ask_part *part = ask_part_add(x, parts, redacted ? ASK_REDACTED : ASK_THINKING);
    if (!part)
        return;
    part->text = ask_text(redacted ? &b[B_DATA] : &b[B_THINKING]);
    part->signature = ask_text(&b[B_SIGNATURE]);
}

static void read_tool_use(struct ask_reading *x, const struct json_value b[B_COUNT],
                          struct ask_parts *parts)
{
    struct ask_part *part = ask_part_add(x, parts, ASK_TOOL_CALL);
    if (!part)
        return;
    part->id = ask_string(x, &b[B_ID], "tool_use.id");
    part->name = ask_string(x, &b[B_NAME], "tool_use.name");
    part->arguments = ask_object(x, &b[B_INPUT], "tool_use.input").raw;
}

static void read_tool_result(struct ask_reading *x, const struct json_value b[B_COUNT],
                             struct ask_parts *parts)
{
    struct ask_part *part = ask_part_add(x, parts, ASK_TOOL_RESULT);
    struct ask_parts content = {0};
    if (!part)
        return;
    part->id = ask_string(x, &b[B_TOOL_USE_ID], "tool_result.tool_use_id");
    part->is_error = ask_bool(x, &b[B_IS_ERROR], "tool_result.is_error").kind == JSON_TRUE;
    if (b[B_CONTENT].kind != JSON_NONE)
        read_blocks(x, &b[B_CONTENT], "tool_result.content", &content);
    part->content = content.first;
}

static void read_block(struct ask_reading *x, const struct json_value *block,
                       struct ask_parts *parts)
{
    struct json_value b[B_COUNT];
    struct ask_part *before = parts->last;
    fields_of(block, FIELDS(block_names), b);
    const struct json_value *type = &b[B_TYPE];
    static const struct json_value nested = {STR_INIT("\"nested\""), 0, JSON_STRING};
    if (x->level > LEVELS_MAX)
        ask_other_add(x, parts, block, &nested);
    else if (json_eq(type, STR("text")) && b[B_TEXT].kind == JSON_STRING)
        ask_text_add(x, parts, ask_text(&b[B_TEXT]));
    else if (json_eq(type, STR("image")))
        read_image(x, block, b, parts);
    else if (json_eq(type, STR("document")))
        read_document(x, block, b, parts);
    else if (json_eq(type, STR("tool_use")))
        read_tool_use(x, b, parts);
    else if (json_eq(type, STR("tool_result")))
        read_tool_result(x, b, parts);
    else if (json_eq(type, STR("thinking")) || json_eq(type, STR("redacted_thinking")))
        read_thinking(x, b, parts);
    else if (json_eq(type, STR("search_result")))
        read_search_result(x, b, parts);
    else
        ask_other_add(x, parts, block, type);
    if (parts->last && parts->last != before)
        parts->last->cache = ask_object(x, &b[B_CACHE], "cache_control");
}

/* A string or blocks. */
static void read_blocks(struct ask_reading *x, const struct json_value *content, const char *param,
                        struct ask_parts *parts)
{
    struct json_reader r;
    if (content->kind == JSON_STRING) {
        ask_text_add(x, parts, ask_text(content));
        return;
    }
    if (content->kind != JSON_ARRAY) {
        ask_wrong(x, ERR_INVALID, param, "'%s' must be a string or a list of blocks, but it is %s.",
                  param, json_kind_text(content->kind));
        return;
    }
    json_reader_init(&r, content->raw, JSON_DEPTH_MAX);
    (void)json_enter(&r, JSON_ARRAY);
    x->level++;
    while (json_next_element(&r) && x->error == ERR_OK) {
        struct json_value block = json_take(&r);
        read_block(x, &block, parts);
    }
    x->level--;
}

/* ---- Messages ---- */

static void read_system(struct ask_reading *x, const struct json_value *system)
{
    struct ask_parts parts = {0};
    if (system->kind == JSON_NONE)
        return;
    struct ask_message *message = ask_message_add(x, ASK_SYSTEM, 0);
    read_blocks(x, system, "system", &parts);
    if (message)
        message->parts = parts.first;
}

static void read_message(struct ask_reading *x, const struct json_value *value, uint32_t at)
{
    struct json_value role = field_of(value, STR("role")),
                      content = field_of(value, STR("content"));
    struct ask_parts parts = {0};
    char param[PARAM_BYTES];
    bool assistant = json_eq(&role, STR("assistant")), system = json_eq(&role, STR("system"));
    if (!assistant && !system && !json_eq(&role, STR("user"))) {
        (void)snprintf(param, sizeof param, "messages.%u.role", at);
        ask_wrong(x, ERR_INVALID, param, "'%s' must be user or assistant.", param);
        return;
    }
    struct ask_message *message = ask_message_add(x,
                                                  system      ? ASK_SYSTEM
                                                  : assistant ? ASK_ASSISTANT
                                                              : ASK_USER,
                                                  at);
    (void)snprintf(param, sizeof param, "messages.%u.content", at);
    read_blocks(x, &content, param, &parts);
    if (message)
        message->parts = parts.first;
}

/* ---- Tools ---- */

static void read_tool(struct ask_reading *x, const struct json_value *value, uint32_t at)
{
    enum { T_TYPE, T_NAME, T_DESCRIPTION, T_SCHEMA, T_STRICT, T_CACHE, T_COUNT };
    static const struct str names[T_COUNT] = {STR_INIT("type"),        STR_INIT("name"),
                                              STR_INIT("description"), STR_INIT("input_schema"),
                                              STR_INIT("strict"),      STR_INIT("cache_control")};
    struct json_value t[T_COUNT];
    (void)at;
    fields_of(value, FIELDS(names), t);
    bool custom = t[T_TYPE].kind == JSON_NONE || json_eq(&t[T_TYPE], STR("custom"));
    struct ask_tool *tool = ask_tool_add(x, custom ? ASK_TOOL_FUNCTION : ASK_TOOL_OTHER);
    if (!tool)
        return;
    tool->type = ask_name(&t[T_TYPE], x->a);
    tool->raw = value->raw;
    tool->name = ask_string(x, &t[T_NAME], "tools.name");
    tool->cache = ask_object(x, &t[T_CACHE], "cache_control");
    if (!custom)
        return;
    tool->description = ask_text(&t[T_DESCRIPTION]);
    tool->schema = ask_object(x, &t[T_SCHEMA], "tools.input_schema");
    tool->strict = ask_bool(x, &t[T_STRICT], "tools.strict");
}

static void read_choice(struct ask_reading *x, const struct json_value *choice)
{
    enum { C_TYPE, C_NAME, C_SERIAL, C_COUNT };
    static const struct str names[C_COUNT] = {STR_INIT("type"), STR_INIT("name"),
                                              STR_INIT("disable_parallel_tool_use")};
    static const struct json_value no = {STR_INIT("false"), 0, JSON_FALSE};
    struct json_value c[C_COUNT];
    struct ask *ask = x->ask;
    if (choice->kind == JSON_NONE)
        return;
    fields_of(choice, FIELDS(names), c);
    if (json_eq(&c[C_TYPE], STR("auto"))) {
        ask->tool_choice = ASK_CHOICE_AUTO;
    } else if (json_eq(&c[C_TYPE], STR("any"))) {
        ask->tool_choice = ASK_CHOICE_ANY;
    } else if (json_eq(&c[C_TYPE], STR("none"))) {
        ask->tool_choice = ASK_CHOICE_NONE;
    } else if (json_eq(&c[C_TYPE], STR("tool"))) {
        ask->tool_choice = ASK_CHOICE_NAMED;
        ask->tool_name = ask_string(x, &c[C_NAME], "tool_choice.name");
    } else {
        ask_wrong(x, ERR_INVALID, "tool_choice",
                  "'tool_choice.type' must be auto, any, tool or none.");
    }
    if (c[C_SERIAL].kind == JSON_TRUE)
        ask->parallel_tools = no;
}

/* ---- The rest ---- */

enum {
    Q_MODEL,
    Q_MESSAGES,
    Q_SYSTEM,
    Q_MAX_TOKENS,
    Q_TEMPERATURE,
    Q_TOP_P,
    Q_TOP_K,
    Q_STOP,
    Q_STREAM,
    Q_METADATA,
    Q_TOOLS,
    Q_CHOICE,
    Q_THINKING,
    Q_OUTPUT,
    Q_FORMAT,
    Q_COUNT
};
static const struct str ask_names[Q_COUNT] = {
    [Q_MODEL] = STR_INIT("model"),
    [Q_MESSAGES] = STR_INIT("messages"),
    [Q_SYSTEM] = STR_INIT("system"),
    [Q_MAX_TOKENS] = STR_INIT("max_tokens"),
    [Q_TEMPERATURE] = STR_INIT("temperature"),
    [Q_TOP_P] = STR_INIT("top_p"),
    [Q_TOP_K] = STR_INIT("top_k"),
    [Q_STOP] = STR_INIT("stop_sequences"),
    [Q_STREAM] = STR_INIT("stream"),
    [Q_METADATA] = STR_INIT("metadata"),
    [Q_TOOLS] = STR_INIT("tools"),
    [Q_CHOICE] = STR_INIT("tool_choice"),
    [Q_THINKING] = STR_INIT("thinking"),
    [Q_OUTPUT] = STR_INIT("output_config"),
    [Q_FORMAT] = STR_INIT("output_format"),
};

static const struct {
    struct str name;
    enum ask_member_class class;
} anthropic_others[] = {
    {STR_INIT("service_tier"), ASK_MEMBER_HINT},
    {STR_INIT("cache_control"), ASK_MEMBER_HINT},
    {STR_INIT("context_management"), ASK_MEMBER_HINT},
    {STR_INIT("compaction"), ASK_MEMBER_HINT},
    {STR_INIT("diagnostics"), ASK_MEMBER_HINT},
    {STR_INIT("speed"), ASK_MEMBER_HINT},
    {STR_INIT("betas"), ASK_MEMBER_HINT},
    {STR_INIT("anthropic_beta"), ASK_MEMBER_HINT},
    {STR_INIT("anthropic_version"), ASK_MEMBER_HINT},
    {STR_INIT("billing_policy"), ASK_MEMBER_HINT},
    {STR_INIT("user_profile_id"), ASK_MEMBER_HINT},
    {STR_INIT("workspace_id"), ASK_MEMBER_HINT},
    {STR_INIT("fallbacks"), ASK_MEMBER_HINT},
    {STR_INIT("fallback_credit_token"), ASK_MEMBER_HINT},
    {STR_INIT("inference_geo"), ASK_MEMBER_NEEDED},
    {STR_INIT("container"), ASK_MEMBER_NEEDED},
    {STR_INIT("mcp_servers"), ASK_MEMBER_NEEDED},
    {STR_INIT("thread"), ASK_MEMBER_NEEDED},
};

static void take_other(void *arg, const struct json_value *key, const struct json_value *value)
{
    enum ask_member_class class = ASK_MEMBER_UNKNOWN;
    if (value->kind == JSON_NULL)
        return;
    for (size_t i = 0; i < sizeof anthropic_others / sizeof *anthropic_others; i++)
        if (json_eq(key, anthropic_others[i].name))
            class = anthropic_others[i].class;
    ask_member_add(arg, class, key, value);
}

static void read_thinking_options(struct ask_reading *x, const struct json_value *thinking)
{
    struct ask *ask = x->ask;
    struct json_value type = field_of(thinking, STR("type"));
    struct json_value budget = field_of(thinking, STR("budget_tokens"));
    struct json_value display = field_of(thinking, STR("display"));
    if (json_eq(&type, STR("enabled")))
        ask->thinking = ASK_THINKING_ON;
    else if (json_eq(&type, STR("adaptive")))
        ask->thinking = ASK_THINKING_ADAPTIVE;
    else if (json_eq(&type, STR("disabled")))
        ask->thinking = ASK_THINKING_OFF;
    else if (thinking->kind != JSON_NONE)
        ask_wrong(x, ERR_INVALID, "thinking",
                  "'thinking.type' must be enabled, adaptive or disabled.");
    ask->thinking_budget = ask_count(x, &budget, 0, "thinking.budget_tokens");
    ask->thinking_hidden = json_eq(&display, STR("omitted"));
}

/* output_config: {effort, format}; output_format is the older place of a format. */
static void read_output(struct ask_reading *x, const struct json_value *config,
                        const struct json_value *older)
{
    struct json_value effort = field_of(config, STR("effort"));
    struct json_value newer = field_of(config, STR("format"));
    const struct json_value *format = newer.kind != JSON_NONE ? &newer : older;
    struct json_value schema = field_of(format, STR("schema"));
    x->ask->effort = ask_effort_of(&effort);
    if (effort.kind != JSON_NONE && x->ask->effort == ASK_EFFORT_ABSENT)
        ask_wrong(x, ERR_INVALID, "output_config.effort",
                  "'output_config.effort' must be low, medium, high, xhigh or max.");
    if (format->kind == JSON_NONE)
        return;
    if (schema.kind != JSON_OBJECT)
        ask_wrong(x, ERR_INVALID, "output_config.format",
                  "'output_config.format' must be a json_schema with a schema.");
    static const struct json_value yes = {STR_INIT("true"), 0, JSON_TRUE};
    x->ask->format =
        (struct ask_format){.kind = ASK_FORMAT_SCHEMA, .schema = schema, .strict = yes};
}

enum err anthropic_ask_read(struct str body, unsigned max_depth, struct arena *a,
                            struct ask **ret_ask, struct openai_problem *ret_problem)
{
    struct ask_reading x;
    struct json_value q[Q_COUNT];
    ask_reading_init(&x, a, ret_problem);
    const struct fields_rest rest = {take_other, &x};
    if (!fields_read(body, max_depth, FIELDS(ask_names), q, &rest)) {
        x.error = ERR_OK;
        ask_body_wrong(&x, body, max_depth);
        return x.error;
    }
    struct ask *ask = x.ask;
    ask->dialect = dialect_anthropic.name;
    if (q[Q_MODEL].kind != JSON_STRING)
        ask_wrong(&x, ERR_INVALID, "model", "'model' must be a string, but it is %s.",
                  json_kind_text(q[Q_MODEL].kind));
    ask->model = json_text(&q[Q_MODEL], a);
    read_system(&x, &q[Q_SYSTEM]);
    ask_messages(&x, &q[Q_MESSAGES], read_message);
    ask_each(&x, &q[Q_TOOLS], read_tool);
    read_choice(&x, &q[Q_CHOICE]);
    ask->max_tokens = ask_count(&x, &q[Q_MAX_TOKENS], 0, "max_tokens");
    ask->temperature = ask_number(&x, &q[Q_TEMPERATURE], "temperature");
    ask->top_p = ask_number(&x, &q[Q_TOP_P], "top_p");
    ask->top_k = ask_number(&x, &q[Q_TOP_K], "top_k");
    ask_stops(&x, &q[Q_STOP], "stop_sequences");
    read_thinking_options(&x, &q[Q_THINKING]);
    read_output(&x, &q[Q_OUTPUT], &q[Q_FORMAT]);
    struct json_value user = field_of(&q[Q_METADATA], STR("user_id"));
    ask->user = ask_name(&user, a);
    ask->stream = q[Q_STREAM].kind == JSON_TRUE;
    ask->include_usage = true;
    if (x.error == ERR_OK)
        *ret_ask = ask;
    return x.error;
}
