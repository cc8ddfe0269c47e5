#include "model/local/chat_tools.h"

#include <stdio.h>

#include "codec/json_write.h"
#include "model/local/schema_grammar.h"

enum { CALLS_IN_A_ROW_MAX = 8 };
/* Tools and messages are parts of a request. */
#define TEXT_BYTES_MAX ((size_t)FRAME_REQUEST_BYTES_MAX * 2)

/* Is this, but for white space, the end of the text? */
static bool ends_with(struct str text, struct str end)
{
    while (text.len && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == ' '))
        text.len--;
    return str_ends(text, end);
}

/* chat: up to the call's name; rest: from behind it on. */
static bool form_of(struct str chat, struct str rest, enum chat_calls *ret_calls)
{
    static const struct str open = STR_INIT("{\"name\": \""), mistral = STR_INIT("[TOOL_CALLS]");
    if (str_ends(chat, mistral)) {
        *ret_calls =
            str_starts(rest, STR("[CALL_ID]")) ? CHAT_CALLS_MISTRAL_11 : CHAT_CALLS_MISTRAL_13;
        return str_starts(rest, STR("[ARGS]{")) || str_starts(rest, STR("[CALL_ID]"));
    }
    if (!str_ends(chat, open))
        return false;
    chat.len -= open.len;
    if (str_starts(rest, STR("\", \"parameters\": {")))
        return *ret_calls = CHAT_CALLS_LLAMA, true;
    if (!str_starts(rest, STR("\", \"arguments\": {")))
        return false;
    if (ends_with(chat, STR("<tool_call>")))
        return *ret_calls = CHAT_CALLS_HERMES, true;
    *ret_calls = CHAT_CALLS_MISTRAL;
    while (chat.len && chat.ptr[chat.len - 1] != '[')
        chat.len--;
    return chat.len > 0 && ends_with(str_take(chat, chat.len - 1), mistral);
}

bool chat_calls_of(struct str chat, struct str name, enum chat_calls *ret_calls)
{
    for (size_t from = 0;;) {
        ptrdiff_t at = str_find(str_skip(chat, from), name);
        if (at < 0)
            return false;
        from += (size_t)at;
        if (form_of(str_take(chat, from), str_skip(chat, from + name.len), ret_calls))
            return true;
        from += name.len;
    }
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

/* The tool's arguments as a rule. */
static enum err write_arguments(const struct engine_tool *tool, const char *rule,
                                struct buf *grammar, struct buf *problem)
{
    BUF_AUTO struct buf why;
    buf_init(&why, 300);
    if (!tool->parameters.ptr) {
        buf_printf(grammar, "%s ::= \"{}\"\n", rule);
        return ERR_OK;
    }
    enum err e = schema_grammar_add(tool->parameters, str_from_c(rule), grammar, &why);
    if (e != ERR_OK)
        buf_printf(problem, "tool '%.*s': %.*s", STR_ARG(tool->name), STR_ARG(buf_str(&why)));
    return e;
}

static enum err write_tool(const struct engine_tool *tool, size_t i, bool must,
                           enum chat_calls form, struct buf *grammar, struct buf *problem)
{
    static const char *const before[] = {
        [CHAT_CALLS_HERMES] = "{\\\"name\\\": \\\"%.*s\\\", \\\"arguments\\\": ",
        [CHAT_CALLS_MISTRAL] = "{\\\"name\\\": \\\"%.*s\\\", \\\"arguments\\\": ",
        [CHAT_CALLS_MISTRAL_11] = "%.*s[CALL_ID]\" [a-zA-Z0-9]{9} \"[ARGS]",
        [CHAT_CALLS_MISTRAL_13] = "%.*s[ARGS]",
        [CHAT_CALLS_LLAMA] = "%.*s\\\", \\\"parameters\\\": ", /* behind the mark */
    };
    char rule[32];
    snprintf(rule, sizeof rule, "tool%zu", i);
    size_t begin = grammar->len;
    enum err e = write_arguments(tool, rule, grammar, problem);
    if (e != ERR_OK && must)
        return e;
    if (e != ERR_OK) { /* what cannot be kept to is an object at least */
        grammar->len = begin;
        buf_printf(grammar, "%s ::= object\n", rule);
    }
    bool bare = form == CHAT_CALLS_MISTRAL_11 || form == CHAT_CALLS_MISTRAL_13;
    buf_printf(grammar, "call%zu ::= \"", i);
    const char *at = strstr(before[form], "%.*s");
    buf_append(grammar, before[form], (size_t)(at - before[form]));
    buf_append_str(grammar, tool->name);
    buf_append_str(grammar, str_from_c(at + strlen("%.*s")));
    buf_printf(grammar, "\" %s%s\n", rule, bare ? "" : " \"}\"");
    return ERR_OK;
}

static void write_roots(enum chat_calls form, int more, struct buf *grammar)
{
    switch (form) {
    case CHAT_CALLS_HERMES:
        buf_printf(grammar,
                   "root ::= \"<tool_call>\" rest\n"
                   "rest ::= one (\"\\n\"? \"<tool_call>\" one){0,%d}\n"
                   "one ::= \"\\n\"? call \"\\n\"? \"</tool_call>\"\n",
                   more);
        break;
    case CHAT_CALLS_MISTRAL:
        buf_printf(grammar,
                   "root ::= \"[TOOL_CALLS]\" rest\n"
                   "rest ::= \" \"? \"[\" call (\", \" call){0,%d} \"]\"\n",
                   more);
        break;
    case CHAT_CALLS_MISTRAL_11:
    case CHAT_CALLS_MISTRAL_13:
        buf_printf(grammar,
                   "root ::= \"[TOOL_CALLS]\" rest\n"
                   "rest ::= call (\"[TOOL_CALLS]\" call){0,%d}\n",
                   more);
        break;
    case CHAT_CALLS_LLAMA:
        buf_append_str(grammar, STR("root ::= \"{\\\"name\\\": \\\"\" rest\nrest ::= call\n"));
        break;
    }
}

enum err chat_tools_grammar(const struct engine_request *r, enum chat_calls form,
                            struct buf *grammar, struct buf *problem)
{
    bool first = true, required = r->tool_choice == ENGINE_TOOLS_REQUIRED;
    int more = r->one_call || r->tool_chosen.ptr ? 0 : CALLS_IN_A_ROW_MAX - 1;
    for (size_t i = 0; i < r->tool_count; i++)
        if (may_be_called(r, i))
            TRY(write_tool(&r->tools[i], i, required || r->tools[i].strict, form, grammar,
                           problem));
    buf_append_str(grammar, STR("call ::="));
    for (size_t i = 0; i < r->tool_count; i++) {
        if (!may_be_called(r, i))
            continue;
        buf_printf(grammar, first ? " call%zu" : " | call%zu", i);
        first = false;
    }
    buf_append_char(grammar, '\n');
    write_roots(form, more, grammar);
    schema_grammar_finish(grammar);
    return grammar->error;
}

struct str chat_calls_mark(enum chat_calls form)
{
    switch (form) {
    case CHAT_CALLS_HERMES: return STR("<tool_call>");
    case CHAT_CALLS_LLAMA: return STR("{\"name\": \"");
    case CHAT_CALLS_MISTRAL:
    case CHAT_CALLS_MISTRAL_11:
    case CHAT_CALLS_MISTRAL_13: break;
    }
    return STR("[TOOL_CALLS]");
}
