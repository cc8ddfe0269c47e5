#include "model/local/chat_tools.h"

#include <stdio.h>

#include "codec/json_write.h"
#include "model/local/schema_grammar.h"

enum { CALLS_IN_A_ROW_MAX = 8 };
/* Tools and messages are parts of a request. */
#define TEXT_BYTES_MAX ((size_t)FRAME_REQUEST_BYTES_MAX * 2)

enum chat_calls chat_calls_of(struct str template_text)
{
    if (str_find(template_text, STR("[TOOL_CALLS]")) >= 0)
        return CHAT_CALLS_MISTRAL;
    if (str_find(template_text, STR("<tool_call>")) < 0 &&
        str_find(template_text, STR("\"parameters\": ")) >= 0)
        return CHAT_CALLS_LLAMA;
    return CHAT_CALLS_HERMES;
}

/* ---- Messages as text ---- */

static void describe(const struct engine_request *r, struct buf *out)
{
    buf_append_str(out, STR("# Tools\n\nYou may call one or more functions to assist with the user "
                            "query.\n\nYou are provided with function signatures within "
                            "<tools></tools> XML tags:\n<tools>"));
    for (size_t i = 0; i < r->tool_count; i++) {
        buf_append_char(out, '\n');
        buf_append_str(out, r->tools[i].raw);
    }
    buf_append_str(out,
                   STR("\n</tools>\n\nFor each function call, return a json object with function "
                       "name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
                       "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n"
                       "</tool_call>"));
}

static void write_call(const struct engine_call *c, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    buf_append_str(out, STR("<tool_call>\n{\"name\": "));
    json_str(&w, c->name);
    buf_append_str(out, STR(", \"arguments\": "));
    buf_append_str(out, c->arguments);
    buf_append_str(out, STR("}\n</tool_call>"));
}

static struct engine_message flat(const struct engine_message *m, struct arena *arena)
{
    BUF_AUTO struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    struct engine_message to = {.role = m->role, .content = m->content};
    if (str_eq(m->role, STR("tool"))) {
        buf_printf(&text, "<tool_response>\n%.*s\n</tool_response>", STR_ARG(m->content));
        to.role = STR("user");
    } else if (m->call_count) {
        buf_append_str(&text, m->content);
        for (size_t i = 0; i < m->call_count; i++) {
            buf_append_str(&text, text.len ? STR("\n") : STR(""));
            write_call(&m->calls[i], &text);
        }
    } else {
        return to;
    }
    to.content = arena_str(arena, buf_str(&text));
    return to;
}

void chat_tools_flatten(const struct engine_request *r, struct arena *arena,
                        struct engine_message **ret_messages, size_t *ret_count)
{
    size_t n = 0;
    struct engine_message *list = ARENA_ARRAY(arena, struct engine_message, r->message_count + 1);
    BUF_AUTO struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    bool system = r->message_count && str_eq(r->messages[0].role, STR("system"));
    if (r->tool_count && system)
        buf_printf(&text, "%.*s\n\n", STR_ARG(r->messages[0].content));
    if (r->tool_count) {
        describe(r, &text);
        list[n++] = (struct engine_message){.role = STR("system"),
                                            .content = arena_str(arena, buf_str(&text))};
    }
    for (size_t i = r->tool_count && system; i < r->message_count; i++)
        list[n++] = flat(&r->messages[i], arena);
    *ret_messages = list;
    *ret_count = n;
}

/* ---- Grammars ---- */

static bool may_be_called(const struct engine_request *r, size_t i)
{
    return !r->tool_chosen.ptr || str_eq(r->tools[i].name, r->tool_chosen);
}

static enum err write_tool(const struct engine_request *r, size_t i, enum chat_calls form,
                           struct buf *grammar, struct buf *problem)
{
    char name[32];
    const struct engine_tool *tool = &r->tools[i];
    snprintf(name, sizeof name, "tool%zu", i);
    if (tool->parameters.ptr) {
        BUF_AUTO struct buf why;
        buf_init(&why, 300);
        enum err e = schema_grammar_add(tool->parameters, str_from_c(name), grammar, &why);
        if (e != ERR_OK) {
            buf_printf(problem, "tool '%.*s': %.*s", STR_ARG(tool->name), STR_ARG(buf_str(&why)));
            return e;
        }
    } else {
        buf_printf(grammar, "%s ::= \"{}\"\n", name);
    }
    buf_printf(grammar, "call%zu ::= \"{\\\"name\\\": \\\"%.*s\\\", \\\"%s\\\": \" %s \"}\"\n", i,
               STR_ARG(tool->name), form == CHAT_CALLS_LLAMA ? "parameters" : "arguments", name);
    return ERR_OK;
}

enum err chat_tools_grammar(const struct engine_request *r, enum chat_calls form,
                            struct buf *grammar, struct buf *problem)
{
    bool first = true;
    int more = r->one_call || r->tool_chosen.ptr ? 0 : CALLS_IN_A_ROW_MAX - 1;
    for (size_t i = 0; i < r->tool_count; i++)
        if (may_be_called(r, i))
            TRY(write_tool(r, i, form, grammar, problem));
    buf_append_str(grammar, STR("call ::="));
    for (size_t i = 0; i < r->tool_count; i++) {
        if (!may_be_called(r, i))
            continue;
        buf_printf(grammar, first ? " call%zu" : " | call%zu", i);
        first = false;
    }
    buf_append_char(grammar, '\n');
    switch (form) {
    case CHAT_CALLS_HERMES:
        buf_printf(grammar,
                   "root ::= one (\"\\n\" one){0,%d}\n"
                   "one ::= \"<tool_call>\\n\" call \"\\n</tool_call>\"\n",
                   more);
        break;
    case CHAT_CALLS_MISTRAL:
        buf_printf(grammar,
                   "root ::= \"[TOOL_CALLS]\" \" \"? \"[\" call (\", \" call){0,%d} \"]\"\n", more);
        break;
    case CHAT_CALLS_LLAMA: buf_append_str(grammar, STR("root ::= call\n")); break;
    }
    schema_grammar_finish(grammar);
    return grammar->error;
}
