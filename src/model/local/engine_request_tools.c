/* Tools: what may be called, what must be, and calls and results in the messages before. */
#include <stdio.h>
#include <string.h>

#include "model/local/engine_request_int.h"

/* ---- tools ---- */

static bool is_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-' || c == '.';
        if (!fine)
            return false;
    }
    return name.len > 0 && name.len <= ENGINE_TOOL_NAME_BYTES_MAX;
}

static enum err add_tool(struct engine_parse *p, struct buf *list)
{
    struct json_value type, name, strict, parameters = {0};
    size_t index = list->len / sizeof(struct engine_tool);
    struct json_value v = json_take(&p->json);
    char at[40];
    snprintf(at, sizeof at, "tools[%zu]", index);
    if (index == ENGINE_TOOLS_MAX)
        return engine_parse_fail(p, "tools", "'tools' has more than %d tools", ENGINE_TOOLS_MAX);
    if (v.kind != JSON_OBJECT || !json_find(v.raw, "type", &type) ||
        !json_eq(&type, STR("function")))
        return engine_parse_fail(p, at, "'%s' must be of the type function", at);
    if (!json_find(v.raw, "function.name", &name) || !is_name(json_text(&name, &p->request->arena)))
        return engine_parse_fail(p, at,
                                 "'%s.function.name' must have 1 to %d letters, digits, '_', '-' "
                                 "or '.'",
                                 at, ENGINE_TOOL_NAME_BYTES_MAX);
    if (json_find(v.raw, "function.parameters", &parameters) && parameters.kind != JSON_OBJECT &&
        parameters.kind != JSON_NULL)
        return engine_parse_fail(p, at, "'%s.function.parameters' must be a schema", at);
    struct engine_tool tool = {.name = json_text(&name, &p->request->arena), .raw = v.raw};
    if (parameters.kind == JSON_OBJECT)
        tool.parameters = parameters.raw;
    if (json_find(v.raw, "function.strict", &strict))
        tool.strict = strict.kind == JSON_TRUE;
    buf_append(list, &tool, sizeof tool);
    return ERR_OK;
}

enum err engine_parse_tools(struct engine_parse *p)
{
    BUF_AUTO struct buf list;
    struct engine_request *r = p->request;
    buf_init(&list, ENGINE_TOOLS_MAX * sizeof(struct engine_tool));
    if (json_peek(&p->json) == JSON_NULL)
        return (void)json_take(&p->json), ERR_OK;
    if (!json_enter(&p->json, JSON_ARRAY))
        return engine_parse_fail(p, "tools", "'tools' must be a list");
    while (json_next_element(&p->json))
        TRY(add_tool(p, &list));
    r->tool_count = list.len / sizeof *r->tools;
    r->tools = ARENA_ARRAY(&r->arena, struct engine_tool, r->tool_count + 1);
    if (list.len)
        memcpy(r->tools, list.ptr, list.len);
    return ERR_OK;
}

/* ---- tool_choice ---- */

enum err engine_parse_tool_choice(struct engine_parse *p)
{
    struct json_value name;
    struct engine_request *r = p->request;
    struct json_value v = json_take(&p->json);
    if (v.kind == JSON_NULL || json_eq(&v, STR("auto")))
        r->tool_choice = ENGINE_TOOLS_AUTO;
    else if (json_eq(&v, STR("none")))
        r->tool_choice = ENGINE_TOOLS_NONE;
    else if (json_eq(&v, STR("required")) || json_eq(&v, STR("any")))
        r->tool_choice = ENGINE_TOOLS_REQUIRED;
    else if (v.kind == JSON_OBJECT && json_find(v.raw, "function.name", &name)) {
        r->tool_choice = ENGINE_TOOLS_REQUIRED;
        r->tool_chosen = json_text(&name, &r->arena);
    } else
        return engine_parse_fail(p, "tool_choice",
                                 "'tool_choice' must be none, auto, required, or name a function");
    return ERR_OK;
}

enum err engine_settle_tools(struct engine_parse *p)
{
    struct engine_request *r = p->request;
    bool found = r->tool_chosen.ptr == NULL;
    for (size_t i = 0; !found && i < r->tool_count; i++)
        found = str_eq(r->tools[i].name, r->tool_chosen);
    if (!found)
        return engine_parse_fail(p, "tool_choice", "'tool_choice' names %.*s, which is no tool",
                                 STR_ARG(str_take(r->tool_chosen, 64)));
    if (r->tool_choice == ENGINE_TOOLS_REQUIRED && r->tool_count == 0)
        return engine_parse_fail(p, "tool_choice", "'tool_choice' needs 'tools'");
    if (r->tool_choice == ENGINE_TOOLS_REQUIRED && (r->grammar.ptr || r->stop_count))
        return engine_parse_fail(p, "tool_choice",
                                 "a call that is required cannot be kept together with another "
                                 "form of the answer or with 'stop'");
    if (r->tool_choice == ENGINE_TOOLS_NONE)
        r->tool_count = 0;
    return ERR_OK;
}

/* ---- Calls in messages ---- */

/* OpenAI has the arguments as a text of JSON; an object is taken too. */
static bool read_arguments(struct engine_parse *p, const struct json_value *v, struct str *ret_json)
{
    struct json_value whole;
    struct str text = v->kind == JSON_STRING ? json_text(v, &p->request->arena) : v->raw;
    text = str_trim(text);
    if (text.len == 0)
        text = STR("{}");
    if (json_validate(text, ENGINE_NESTING_MAX, &whole) != ERR_OK || whole.kind != JSON_OBJECT)
        return false;
    *ret_json = whole.raw;
    return true;
}

static enum err add_call(struct engine_parse *p, const char *at, struct buf *list)
{
    struct json_value id = {0}, name, arguments;
    struct engine_call call = {.id = STR("")};
    struct json_value v = json_take(&p->json);
    if (v.kind != JSON_OBJECT || !json_find(v.raw, "function.name", &name) ||
        name.kind != JSON_STRING)
        return engine_parse_fail(p, at, "'%s.tool_calls' holds a call without a function's name",
                                 at);
    call.name = json_text(&name, &p->request->arena);
    call.arguments = STR("{}");
    if (json_find(v.raw, "function.arguments", &arguments) &&
        !read_arguments(p, &arguments, &call.arguments))
        return engine_parse_fail(p, at, "'%s.tool_calls' holds arguments that are no JSON object",
                                 at);
    if (json_find(v.raw, "id", &id))
        call.id = json_text(&id, &p->request->arena);
    if (list->len / sizeof call == ENGINE_CALLS_MAX)
        return engine_parse_fail(p, at, "'%s.tool_calls' has more than %d calls", at,
                                 ENGINE_CALLS_MAX);
    buf_append(list, &call, sizeof call);
    return ERR_OK;
}

enum err engine_parse_calls(struct engine_parse *p, const char *at, struct engine_message *m)
{
    BUF_AUTO struct buf list;
    buf_init(&list, ENGINE_CALLS_MAX * sizeof(struct engine_call));
    if (json_peek(&p->json) == JSON_NULL)
        return (void)json_take(&p->json), ERR_OK;
    if (!json_enter(&p->json, JSON_ARRAY))
        return engine_parse_fail(p, at, "'%s.tool_calls' must be a list", at);
    while (json_next_element(&p->json))
        TRY(add_call(p, at, &list));
    m->call_count = list.len / sizeof *m->calls;
    m->calls = ARENA_ARRAY(&p->request->arena, struct engine_call, m->call_count + 1);
    if (list.len)
        memcpy(m->calls, list.ptr, list.len);
    return ERR_OK;
}
