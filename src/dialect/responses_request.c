/* Requests of the Responses API, read into an ask. Items become messages: what an assistant said,
 * thought and called in a row is one message, results in a row are another. */
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "dialect/fields.h"
#include "dialect/responses.h"

struct reading {
    struct arena *arena;
    struct openai_problem *problem;
    struct ask *ask;
    struct ask_message *last;
    struct ask_part *last_part; /* of it */
    size_t part_count;
    struct str call_signature; /* came before the call that it belongs to */
    struct json_value allowed; /* tool_choice's list, or none */
    enum err err;
    size_t at; /* the item's place, for messages */
};

static enum err refuse(struct reading *g, enum err err, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static enum err refuse(struct reading *g, enum err err, const char *param, const char *format, ...)
{
    char message[400];
    va_list args;
    ASSERT(err != ERR_OK);
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    openai_problem_set(g->problem, "invalid_request_error", param,
                       err == ERR_UNSUPPORTED ? "unsupported_parameter" : NULL, "%s", message);
    return err;
}

/* "input[3].content" */
static enum err refuse_item(struct reading *g, const char *member, const char *what)
{
    char param[64];
    (void)snprintf(param, sizeof param, "input[%zu]%s", g->at, member);
    return refuse(g, ERR_INVALID, param, "%s: %s", param, what);
}

/* ---- Building the ask ---- */

static enum err add_message(struct reading *g, enum ask_role role)
{
    if (g->ask->message_count >= ASK_MESSAGES_MAX)
        return refuse(g, ERR_TOO_LARGE, "input", "input has more than %d messages",
                      ASK_MESSAGES_MAX);
    struct ask_message *m = ARENA_NEW(g->arena, struct ask_message);
    m->role = role;
    m->at = (uint32_t)g->at;
    *(g->last ? &g->last->next : &g->ask->messages) = m;
    g->last = m;
    g->last_part = NULL;
    g->ask->message_count++;
    return ERR_OK;
}

static enum err new_part(struct reading *g, enum ask_part_kind kind, struct ask_part **ret_part)
{
    if (g->part_count++ >= ASK_PARTS_MAX) {
        (void)refuse(g, ERR_TOO_LARGE, "input", "input has more than %d parts", ASK_PARTS_MAX);
        return ERR_TOO_LARGE;
    }
    struct ask_part *p = ARENA_NEW(g->arena, struct ask_part);
    p->kind = kind;
    *ret_part = p;
    return ERR_OK;
}

static enum err add_part(struct reading *g, enum ask_part_kind kind, struct ask_part **ret_part)
{
    struct ask_part *p = NULL;
    TRY(new_part(g, kind, &p));
    *(g->last_part ? &g->last_part->next : &g->last->parts) = p;
    *ret_part = g->last_part = p;
    return ERR_OK;
}

/* What an assistant's items and results join: the message before them, if it is of their kind. */
static enum err join_assistant(struct reading *g)
{
    return g->last && g->last->role == ASK_ASSISTANT ? ERR_OK : add_message(g, ASK_ASSISTANT);
}

static enum err join_results(struct reading *g)
{
    bool joins = g->last && g->last->role == ASK_USER && g->last_part &&
                 g->last_part->kind == ASK_TOOL_RESULT;
    return joins ? ERR_OK : add_message(g, ASK_USER);
}

/* ---- Content ---- */

enum {
    PART_TYPE,
    PART_TEXT,
    PART_REFUSAL,
    PART_IMAGE_URL,
    PART_DETAIL,
    PART_FILE_ID,
    PART_FILE_DATA,
    PART_FILE_URL,
    PART_FILENAME,
    PART_AUDIO,
    PART_COUNT
};

static const struct str part_names[PART_COUNT] = {
    STR_INIT("type"),     STR_INIT("text"),       STR_INIT("refusal"),   STR_INIT("image_url"),
    STR_INIT("detail"),   STR_INIT("file_id"),    STR_INIT("file_data"), STR_INIT("file_url"),
    STR_INIT("filename"), STR_INIT("input_audio")};

static enum err read_image(struct reading *g, const struct json_value *v, struct ask_part *p)
{
    p->kind = ASK_IMAGE;
    if (v[PART_IMAGE_URL].kind == JSON_STRING)
        p->source = ask_source_of_url(ask_name(&v[PART_IMAGE_URL], g->arena));
    else if (v[PART_FILE_ID].kind == JSON_STRING)
        p->source = (struct ask_source){.kind = ASK_SOURCE_ID,
                                        .data = ask_name(&v[PART_FILE_ID], g->arena)};
    else
        return refuse_item(g, ".content", "an input_image needs image_url or file_id");
    p->source.detail = ask_name(&v[PART_DETAIL], g->arena);
    return ERR_OK;
}

static enum err read_file(struct reading *g, const struct json_value *v, struct ask_part *p)
{
    p->kind = ASK_FILE;
    if (v[PART_FILE_DATA].kind == JSON_STRING) {
        p->source = ask_source_of_url(ask_name(&v[PART_FILE_DATA], g->arena));
        /* Bare base64 is taken too, as OpenAI does: a PDF. */
        if (p->source.kind == ASK_SOURCE_URL && !str_starts_nocase(p->source.data, STR("http")))
            p->source = (struct ask_source){.kind = ASK_SOURCE_BASE64,
                                            .data = p->source.data,
                                            .media_type = STR("application/pdf")};
    } else if (v[PART_FILE_URL].kind == JSON_STRING) {
        p->source = ask_source_of_url(ask_name(&v[PART_FILE_URL], g->arena));
    } else if (v[PART_FILE_ID].kind == JSON_STRING) {
        p->source = (struct ask_source){.kind = ASK_SOURCE_ID,
                                        .data = ask_name(&v[PART_FILE_ID], g->arena)};
    } else {
        return refuse_item(g, ".content", "an input_file needs file_data, file_url or file_id");
    }
    p->source.name = ask_name(&v[PART_FILENAME], g->arena);
    return ERR_OK;
}

static enum err read_audio(struct reading *g, const struct json_value *audio, struct ask_part *p)
{
    struct json_value data = field_of(audio, STR("data"));
    struct json_value format = field_of(audio, STR("format"));
    if (data.kind != JSON_STRING || format.kind != JSON_STRING)
        return refuse_item(g, ".content", "an input_audio needs data and format");
    p->kind = ASK_AUDIO;
    p->source = (struct ask_source){.kind = ASK_SOURCE_BASE64, .data = ask_text(&data)};
    p->source.media_type = json_eq(&format, STR("mp3")) ? STR("audio/mpeg") : STR("audio/wav");
    return ERR_OK;
}

/* One part of a message or of a tool's output. */
static enum err read_part(struct reading *g, const struct json_value *value, struct ask_part *p)
{
    struct json_value v[PART_COUNT];
    if (value->kind != JSON_OBJECT)
        return refuse_item(g, ".content", "a part of content must be an object");
    fields_of(value, part_names, PART_COUNT, v);
    const struct json_value *type = &v[PART_TYPE];
    if (json_eq(type, STR("input_text")) || json_eq(type, STR("output_text")) ||
        json_eq(type, STR("text")) || json_eq(type, STR("summary_text"))) {
        if (v[PART_TEXT].kind != JSON_STRING)
            return refuse_item(g, ".content", "a text part needs text");
        p->kind = ASK_TEXT;
        p->text = ask_text(&v[PART_TEXT]);
        return ERR_OK;
    }
    if (json_eq(type, STR("refusal"))) {
        p->kind = ASK_REFUSAL;
        p->text = ask_text(&v[PART_REFUSAL]);
        return ERR_OK;
    }
    if (json_eq(type, STR("input_image")))
        return read_image(g, v, p);
    if (json_eq(type, STR("input_file")))
        return read_file(g, v, p);
    if (json_eq(type, STR("input_audio")))
        return read_audio(g, &v[PART_AUDIO], p);
    if (type->kind != JSON_STRING)
        return refuse_item(g, ".content", "a part of content needs a type");
    p->kind = ASK_OTHER;
    p->type = ask_name(type, g->arena);
    p->raw = value->raw;
    return ERR_OK;
}

static enum err read_content(struct reading *g, const struct json_value *content)
{
    struct ask_part *p;
    struct json_reader r;
    if (content->kind == JSON_STRING) {
        TRY(add_part(g, ASK_TEXT, &p));
        p->text = ask_text(content);
        return ERR_OK;
    }
    if (content->kind != JSON_ARRAY)
        return refuse_item(g, ".content", "content must be a string or a list of parts");
    json_reader_init(&r, content->raw, JSON_DEPTH_MAX);
    (void)json_enter(&r, JSON_ARRAY);
    while (json_next_element(&r)) {
        struct json_value element = json_take(&r);
        TRY(add_part(g, ASK_TEXT, &p));
        TRY(read_part(g, &element, p));
    }
    return ERR_OK;
}

/* ---- Items ---- */

enum {
    ITEM_TYPE,
    ITEM_ROLE,
    ITEM_CONTENT,
    ITEM_CALL_ID,
    ITEM_NAME,
    ITEM_ARGUMENTS,
    ITEM_OUTPUT,
    ITEM_SUMMARY,
    ITEM_ENCRYPTED,
    ITEM_ID,
    ITEM_COUNT
};

static const struct str item_names[ITEM_COUNT] = {
    STR_INIT("type"),    STR_INIT("role"),    STR_INIT("content"),
    STR_INIT("call_id"), STR_INIT("name"),    STR_INIT("arguments"),
    STR_INIT("output"),  STR_INIT("summary"), STR_INIT("encrypted_content"),
    STR_INIT("id")};

static enum err read_message(struct reading *g, const struct json_value *v)
{
    const struct json_value *role = &v[ITEM_ROLE];
    if (json_eq(role, STR("assistant")))
        TRY(join_assistant(g));
    else if (json_eq(role, STR("user")))
        TRY(add_message(g, ASK_USER));
    else if (json_eq(role, STR("system")) || json_eq(role, STR("developer")))
        TRY(add_message(g, ASK_SYSTEM));
    else
        return refuse_item(g, ".role", "role must be user, assistant, system or developer");
    return read_content(g, &v[ITEM_CONTENT]);
}

static enum err read_call(struct reading *g, const struct json_value *v)
{
    struct ask_part *p;
    if (v[ITEM_CALL_ID].kind != JSON_STRING || v[ITEM_NAME].kind != JSON_STRING)
        return refuse_item(g, "", "a function_call needs call_id and name");
    TRY(join_assistant(g));
    TRY(add_part(g, ASK_TOOL_CALL, &p));
    p->id = ask_name(&v[ITEM_CALL_ID], g->arena);
    p->name = ask_name(&v[ITEM_NAME], g->arena);
    p->arguments = json_text(&v[ITEM_ARGUMENTS], g->arena);
    p->signature = g->call_signature;
    g->call_signature = STR_NONE;
    return ERR_OK;
}

static enum err read_output(struct reading *g, const struct json_value *v)
{
    struct ask_part *result = NULL, *p = NULL;
    struct json_reader r;
    const struct json_value *output = &v[ITEM_OUTPUT];
    if (v[ITEM_CALL_ID].kind != JSON_STRING)
        return refuse_item(g, "", "a function_call_output needs call_id");
    TRY(join_results(g));
    TRY(add_part(g, ASK_TOOL_RESULT, &result));
    result->id = ask_name(&v[ITEM_CALL_ID], g->arena);
    if (output->kind == JSON_STRING) {
        TRY(new_part(g, ASK_TEXT, &result->content));
        result->content->text = ask_text(output);
        return ERR_OK;
    }
    if (output->kind != JSON_ARRAY)
        return refuse_item(g, ".output", "output must be a string or a list of parts");
    struct ask_part **link = &result->content;
    json_reader_init(&r, output->raw, JSON_DEPTH_MAX);
    (void)json_enter(&r, JSON_ARRAY);
    while (json_next_element(&r)) {
        struct json_value element = json_take(&r);
        TRY(new_part(g, ASK_TEXT, &p));
        TRY(read_part(g, &element, p));
        *link = p;
        link = &p->next;
    }
    return ERR_OK;
}

/* The texts of a list of parts, joined by an empty line. */
static void join_texts(const struct json_value *list, struct buf *text)
{
    struct json_reader r;
    json_reader_init(&r, list->kind == JSON_ARRAY ? list->raw : STR("[]"), JSON_DEPTH_MAX);
    (void)json_enter(&r, JSON_ARRAY);
    while (json_next_element(&r)) {
        struct json_value element = json_take(&r);
        struct json_value one = field_of(&element, STR("text"));
        if (one.kind != JSON_STRING)
            continue;
        if (text->len)
            buf_append_str(text, STR("\\n\\n"));
        buf_append_str(text, ask_text(&one));
    }
}

static enum err read_reasoning(struct reading *g, const struct json_value *v)
{
    struct ask_part *p;
    struct buf text BUF_AUTO;
    buf_init(&text, v[ITEM_CONTENT].raw.len + v[ITEM_SUMMARY].raw.len + 16);
    struct str sealed = ask_text(&v[ITEM_ENCRYPTED]);
    if (str_starts(sealed, RESPONSES_CALL_MARK)) {
        g->call_signature = str_skip(sealed, RESPONSES_CALL_MARK.len);
        return ERR_OK;
    }
    TRY(join_assistant(g));
    TRY(add_part(g, ASK_THINKING, &p));
    if (str_starts(sealed, RESPONSES_REDACTED_MARK)) {
        p->kind = ASK_REDACTED;
        p->text = str_skip(sealed, RESPONSES_REDACTED_MARK.len);
        return ERR_OK;
    }
    join_texts(&v[ITEM_CONTENT], &text);
    if (text.len == 0)
        join_texts(&v[ITEM_SUMMARY], &text);
    p->text = arena_str(g->arena, buf_str(&text));
    if (str_starts(sealed, RESPONSES_SIGNATURE_MARK))
        p->signature = str_skip(sealed, RESPONSES_SIGNATURE_MARK.len);
    return ERR_OK;
}

/* An item that only OpenAI's own API understands: kept as it is, for the target to be refused. */
static enum err read_other(struct reading *g, const struct json_value *item,
                           const struct json_value *type)
{
    struct ask_part *p;
    if (json_eq(type, STR("item_reference")))
        return refuse_item(g, "", "an item_reference to nothing that is stored");
    TRY(join_assistant(g));
    TRY(add_part(g, ASK_OTHER, &p));
    p->type = ask_name(type, g->arena);
    p->raw = item->raw;
    return ERR_OK;
}

static enum err read_item(struct reading *g, const struct json_value *item)
{
    struct json_value v[ITEM_COUNT];
    if (item->kind != JSON_OBJECT)
        return refuse_item(g, "", "an item must be an object");
    fields_of(item, item_names, ITEM_COUNT, v);
    const struct json_value *type = &v[ITEM_TYPE];
    if (type->kind == JSON_NONE || json_eq(type, STR("message")))
        return read_message(g, v);
    if (json_eq(type, STR("function_call")))
        return read_call(g, v);
    if (json_eq(type, STR("function_call_output")))
        return read_output(g, v);
    if (json_eq(type, STR("reasoning")))
        return read_reasoning(g, v);
    if (type->kind != JSON_STRING)
        return refuse_item(g, ".type", "type must be a string");
    return read_other(g, item, type);
}

static enum err read_input(struct reading *g, const struct json_value *input)
{
    struct json_reader r;
    struct ask_part *p;
    if (input->kind == JSON_STRING) {
        TRY(add_message(g, ASK_USER));
        TRY(add_part(g, ASK_TEXT, &p));
        p->text = ask_text(input);
        return ERR_OK;
    }
    if (input->kind != JSON_ARRAY)
        return refuse(g, ERR_INVALID, "input",
                      "input must be a string or a list of items, but is %s",
                      json_kind_text(input->kind));
    json_reader_init(&r, input->raw, JSON_DEPTH_MAX);
    (void)json_enter(&r, JSON_ARRAY);
    for (g->at = 0; json_next_element(&r); g->at++) {
        struct json_value element = json_take(&r);
        TRY(read_item(g, &element));
    }
    return ERR_OK;
}

static enum err read_instructions(struct reading *g, const struct json_value *instructions)
{
    struct ask_part *p;
    if (instructions->kind == JSON_NONE)
        return ERR_OK;
    if (instructions->kind == JSON_ARRAY)
        return read_input(g, instructions);
    if (instructions->kind != JSON_STRING)
        return refuse(g, ERR_INVALID, "instructions", "instructions must be a string");
    TRY(add_message(g, ASK_SYSTEM));
    TRY(add_part(g, ASK_TEXT, &p));
    p->text = ask_text(instructions);
    return ERR_OK;
}

/* ---- Tools ---- */

enum { TOOL_TYPE, TOOL_NAME, TOOL_DESCRIPTION, TOOL_PARAMETERS, TOOL_STRICT, TOOL_COUNT };

static const struct str tool_names[TOOL_COUNT] = {STR_INIT("type"), STR_INIT("name"),
                                                  STR_INIT("description"), STR_INIT("parameters"),
                                                  STR_INIT("strict")};

/* Is a tool among those that tool_choice allows? */
static bool is_allowed(const struct reading *g, const struct ask_tool *tool)
{
    struct json_reader r;
    bool found = false;
    if (g->allowed.kind != JSON_ARRAY)
        return true;
    json_reader_init(&r, g->allowed.raw, JSON_DEPTH_MAX);
    (void)json_enter(&r, JSON_ARRAY);
    while (!found && json_next_element(&r)) {
        struct json_value element = json_take(&r);
        struct json_value name = field_of(&element, STR("name"));
        found = name.kind == JSON_STRING && str_eq(ask_name(&name, g->arena), tool->name);
    }
    return found;
}

static enum err read_tool(struct reading *g, const struct json_value *value, struct ask_tool *tool)
{
    struct json_value v[TOOL_COUNT];
    fields_of(value, tool_names, TOOL_COUNT, v);
    if (v[TOOL_TYPE].kind != JSON_STRING)
        return refuse(g, ERR_INVALID, "tools", "a tool needs a type");
    if (!json_eq(&v[TOOL_TYPE], STR("function"))) {
        tool->kind = ASK_TOOL_OTHER;
        tool->type = ask_name(&v[TOOL_TYPE], g->arena);
        tool->name = ask_name(&v[TOOL_NAME], g->arena);
        tool->raw = value->raw;
        return ERR_OK;
    }
    if (v[TOOL_NAME].kind != JSON_STRING || v[TOOL_NAME].raw.len <= 2)
        return refuse(g, ERR_INVALID, "tools", "a function needs a name, beside its type");
    tool->name = ask_name(&v[TOOL_NAME], g->arena);
    if (v[TOOL_DESCRIPTION].kind == JSON_STRING)
        tool->description = ask_text(&v[TOOL_DESCRIPTION]);
    if (v[TOOL_PARAMETERS].kind == JSON_OBJECT)
        tool->schema = v[TOOL_PARAMETERS];
    tool->strict = v[TOOL_STRICT];
    return ERR_OK;
}

static enum err read_tools(struct reading *g, const struct json_value *tools)
{
    struct json_reader r;
    struct ask_tool **link = &g->ask->tools;
    if (tools->kind == JSON_NONE)
        return ERR_OK;
    if (tools->kind != JSON_ARRAY)
        return refuse(g, ERR_INVALID, "tools", "tools must be a list");
    json_reader_init(&r, tools->raw, JSON_DEPTH_MAX);
    (void)json_enter(&r, JSON_ARRAY);
    while (json_next_element(&r)) {
        struct json_value element = json_take(&r);
        struct ask_tool *tool = ARENA_NEW(g->arena, struct ask_tool);
        TRY(read_tool(g, &element, tool));
        if (!is_allowed(g, tool))
            continue;
        if (g->ask->tool_count++ >= ASK_TOOLS_MAX)
            return refuse(g, ERR_TOO_LARGE, "tools", "there are more than %d tools", ASK_TOOLS_MAX);
        *link = tool;
        link = &tool->next;
    }
    return ERR_OK;
}

static enum err read_choice_word(struct reading *g, const struct json_value *word)
{
    if (json_eq(word, STR("auto")))
        g->ask->tool_choice = ASK_CHOICE_AUTO;
    else if (json_eq(word, STR("none")))
        g->ask->tool_choice = ASK_CHOICE_NONE;
    else if (json_eq(word, STR("required")))
        g->ask->tool_choice = ASK_CHOICE_ANY;
    else
        return refuse(g, ERR_INVALID, "tool_choice",
                      "tool_choice must be auto, none, required, or an object");
    return ERR_OK;
}

static enum err read_choice(struct reading *g, const struct json_value *choice)
{
    if (choice->kind == JSON_NONE)
        return ERR_OK;
    if (choice->kind != JSON_OBJECT)
        return read_choice_word(g, choice);
    struct json_value type = field_of(choice, STR("type"));
    struct json_value name = field_of(choice, STR("name"));
    if (json_eq(&type, STR("allowed_tools"))) {
        struct json_value mode = field_of(choice, STR("mode"));
        g->allowed = field_of(choice, STR("tools"));
        return read_choice_word(g, &mode);
    }
    if (!json_eq(&type, STR("function")))
        return refuse(g, ERR_UNSUPPORTED, "tool_choice",
                      "a tool_choice of type '%.*s' is understood by OpenAI's own API only",
                      STR_ARG(str_take(ask_text(&type), 60)));
    g->ask->tool_choice = ASK_CHOICE_NAMED;
    g->ask->tool_name = ask_name(&name, g->arena);
    return ERR_OK;
}

/* ---- The rest ---- */

static void add_other(struct reading *g, enum ask_member_class class, struct str key,
                      const struct json_value *value)
{
    size_t count = 0;
    struct ask_member **link = &g->ask->others;
    for (; *link; link = &(*link)->next)
        count++;
    if (count >= ASK_MEMBERS_MAX) {
        g->err = refuse(g, ERR_TOO_LARGE, NULL,
                        "the request has more than %d members that are not "
                        "known",
                        ASK_MEMBERS_MAX);
        return;
    }
    *link = ARENA_NEW(g->arena, struct ask_member);
    **link = (struct ask_member){.class = class, .key = key, .value = *value};
}

static enum err read_format(struct reading *g, const struct json_value *format)
{
    struct ask_format *f = &g->ask->format;
    struct json_value type = field_of(format, STR("type"));
    if (format->kind == JSON_NONE || json_eq(&type, STR("text")))
        return ERR_OK;
    if (json_eq(&type, STR("json_object"))) {
        f->kind = ASK_FORMAT_JSON;
        return ERR_OK;
    }
    struct json_value name = field_of(format, STR("name"));
    struct json_value description = field_of(format, STR("description"));
    f->schema = field_of(format, STR("schema"));
    f->strict = field_of(format, STR("strict"));
    if (!json_eq(&type, STR("json_schema")) || f->schema.kind != JSON_OBJECT)
        return refuse(
            g, ERR_INVALID, "text.format",
            "text.format must be of type text, json_object, or json_schema with a schema");
    f->kind = ASK_FORMAT_SCHEMA;
    f->name = ask_name(&name, g->arena);
    f->description = ask_text(&description);
    return ERR_OK;
}

static enum err read_text(struct reading *g, const struct json_value *text)
{
    struct json_value format = field_of(text, STR("format"));
    struct json_value verbosity = field_of(text, STR("verbosity"));
    if (verbosity.kind == JSON_STRING)
        add_other(g, ASK_MEMBER_HINT, STR("verbosity"), &verbosity);
    return read_format(g, &format);
}

static enum err read_effort(struct reading *g, const struct json_value *reasoning)
{
    struct json_value effort = field_of(reasoning, STR("effort"));
    struct json_value summary = field_of(reasoning, STR("summary"));
    struct json_value older = field_of(reasoning, STR("generate_summary"));
    bool shown = summary.kind == JSON_STRING || older.kind == JSON_STRING;
    g->ask->thinking_hidden = !shown;
    if (effort.kind != JSON_NONE) {
        g->ask->effort = ask_effort_of(&effort);
        if (g->ask->effort == ASK_EFFORT_ABSENT)
            return refuse(
                g, ERR_INVALID, "reasoning.effort",
                "reasoning.effort must be none, minimal, low, medium, high, xhigh or max");
        g->ask->thinking = g->ask->effort == ASK_EFFORT_NONE ? ASK_THINKING_OFF : ASK_THINKING_ON;
    } else if (shown) {
        g->ask->thinking = ASK_THINKING_ADAPTIVE;
    }
    return ERR_OK;
}

static bool includes(const struct json_value *include, struct str what)
{
    struct json_reader r;
    bool found = false;
    json_reader_init(&r, include->kind == JSON_ARRAY ? include->raw : STR("[]"), JSON_DEPTH_MAX);
    (void)json_enter(&r, JSON_ARRAY);
    while (json_next_element(&r)) {
        struct json_value element = json_take(&r);
        found |= json_eq(&element, what);
    }
    return found;
}

enum {
    TOP_MODEL,
    TOP_INPUT,
    TOP_INSTRUCTIONS,
    TOP_TOOLS,
    TOP_TOOL_CHOICE,
    TOP_PARALLEL,
    TOP_TEMPERATURE,
    TOP_TOP_P,
    TOP_MAX,
    TOP_TOP_LOGPROBS,
    TOP_INCLUDE,
    TOP_TEXT,
    TOP_REASONING,
    TOP_METADATA,
    TOP_USER,
    TOP_STREAM,
    /* Weir's own business. */
    TOP_STORE,
    TOP_STREAM_OPTIONS,
    TOP_PREVIOUS,
    TOP_MAX_TOOL_CALLS,
    TOP_TRUNCATION,
    TOP_BACKGROUND,
    TOP_CONVERSATION,
    TOP_PROMPT,
    TOP_CONTEXT,
    TOP_MODERATION,
    TOP_COUNT
};

static const struct str top_names[TOP_COUNT] = {
    STR_INIT("model"),
    STR_INIT("input"),
    STR_INIT("instructions"),
    STR_INIT("tools"),
    STR_INIT("tool_choice"),
    STR_INIT("parallel_tool_calls"),
    STR_INIT("temperature"),
    STR_INIT("top_p"),
    STR_INIT("max_output_tokens"),
    STR_INIT("top_logprobs"),
    STR_INIT("include"),
    STR_INIT("text"),
    STR_INIT("reasoning"),
    STR_INIT("metadata"),
    STR_INIT("user"),
    STR_INIT("stream"),
    STR_INIT("store"),
    STR_INIT("stream_options"),
    STR_INIT("previous_response_id"),
    STR_INIT("max_tool_calls"),
    STR_INIT("truncation"),
    STR_INIT("background"),
    STR_INIT("conversation"),
    STR_INIT("prompt"),
    STR_INIT("context_management"),
    STR_INIT("moderation"),
};

/* Members that chat completions have too, under the same name. */
static bool is_hint(const struct json_value *key)
{
    static const struct str hints[] = {
        STR_INIT("service_tier"), STR_INIT("safety_identifier"), STR_INIT("prompt_cache_key"),
        STR_INIT("prompt_cache_retention"), STR_INIT("prompt_cache_options")};
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (json_eq(key, hints[i]))
            return true;
    return false;
}

static void take_rest(void *arg, const struct json_value *key, const struct json_value *value)
{
    struct reading *g = arg;
    if (value->kind == JSON_NULL && is_hint(key))
        return;
    add_other(g, is_hint(key) ? ASK_MEMBER_HINT : ASK_MEMBER_UNKNOWN, ask_name(key, g->arena),
              value);
}

static enum err check_own(struct reading *g, const struct json_value *v)
{
    static const int refused[] = {TOP_CONVERSATION, TOP_PROMPT, TOP_CONTEXT, TOP_MODERATION};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (v[refused[i]].kind != JSON_NONE)
            return refuse(g, ERR_UNSUPPORTED, top_names[refused[i]].ptr,
                          "%s is understood by OpenAI's own API only; leave it out, or set the "
                          "provider to `responses: native`",
                          top_names[refused[i]].ptr);
    if (v[TOP_BACKGROUND].kind == JSON_TRUE)
        return refuse(g, ERR_UNSUPPORTED, "background",
                      "background responses are not offered; leave it out");
    return ERR_OK;
}

static enum err read_model(struct reading *g, const struct json_value *v)
{
    if (v[TOP_MODEL].kind != JSON_STRING || v[TOP_MODEL].raw.len <= 2)
        return refuse(g, ERR_INVALID, "model", "model must be a name, but is %s",
                      json_kind_text(v[TOP_MODEL].kind));
    g->ask->model = json_text(&v[TOP_MODEL], g->arena);
    return ERR_OK;
}

static enum err read_limits(struct reading *g, const struct json_value *v)
{
    struct ask *ask = g->ask;
    if (v[TOP_MAX].kind != JSON_NONE &&
        (json_to_i64(&v[TOP_MAX], &ask->max_tokens) != ERR_OK || ask->max_tokens < 1))
        return refuse(g, ERR_INVALID, "max_output_tokens",
                      "max_output_tokens must be a whole number above 0");
    if (v[TOP_TOP_LOGPROBS].kind != JSON_NONE &&
        (json_to_i64(&v[TOP_TOP_LOGPROBS], &ask->top_logprobs) != ERR_OK || ask->top_logprobs < 0 ||
         ask->top_logprobs > 20))
        return refuse(g, ERR_INVALID, "top_logprobs",
                      "top_logprobs must be a whole number from 0 to 20");
    ask->logprobs =
        ask->top_logprobs > 0 || includes(&v[TOP_INCLUDE], STR("message.output_text.logprobs"));
    return ERR_OK;
}

static enum err read_all(struct reading *g, const struct json_value *v)
{
    struct ask *ask = g->ask;
    ask->dialect = dialect_responses.name;
    ask->n = 1;
    ask->include_usage = true;
    ask->stream = v[TOP_STREAM].kind == JSON_TRUE;
    ask->temperature = v[TOP_TEMPERATURE];
    ask->top_p = v[TOP_TOP_P];
    ask->parallel_tools = v[TOP_PARALLEL];
    ask->metadata = v[TOP_METADATA];
    ask->user = ask_text(&v[TOP_USER]);
    TRY(read_model(g, v));
    TRY(check_own(g, v));
    TRY(read_limits(g, v));
    TRY(read_text(g, &v[TOP_TEXT]));
    TRY(read_effort(g, &v[TOP_REASONING]));
    TRY(read_choice(g, &v[TOP_TOOL_CHOICE]));
    TRY(read_tools(g, &v[TOP_TOOLS]));
    TRY(read_instructions(g, &v[TOP_INSTRUCTIONS]));
    return read_input(g, &v[TOP_INPUT]);
}

static enum err refuse_body(struct reading *g, struct str body, unsigned max_depth)
{
    struct json_value value;
    enum err err = json_validate(body, max_depth, &value);
    return refuse(g, ERR_INVALID, NULL,
                  err == ERR_OK ? "the body must be a JSON object"
                                : "the body is not valid JSON, or nested too deep");
}

enum err responses_read_ask(struct str body, unsigned max_depth, struct arena *a,
                            struct ask **ret_ask, struct openai_problem *ret_problem)
{
    struct json_value v[TOP_COUNT];
    struct reading g = {.arena = a, .problem = ret_problem, .ask = ARENA_NEW(a, struct ask)};
    struct fields_rest rest = {.take = take_rest, .arg = &g};
    if (!fields_read(body, max_depth, top_names, TOP_COUNT, v, &rest))
        return refuse_body(&g, body, max_depth);
    TRY(g.err);
    TRY(read_all(&g, v));
    TRY(g.err);
    *ret_ask = g.ask;
    return ERR_OK;
}
