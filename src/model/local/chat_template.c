#include "model/local/chat_template.h"

#include <stdio.h>

#include "codec/json_scan.h"
#include "codec/json_write.h"

enum {
    PROBE_TEXT_BYTES_MAX = 256 << 10,
    PROBE_PROBLEM_BYTES_MAX = 400,
    SHORT_ID_BYTES = 9,
    INPUTS_MAX = 40, /* the chat's own and chat_template_kwargs' */
};
#define CHAT_BYTES_MAX ((size_t)FRAME_REQUEST_BYTES_MAX * 3)

/* ---- Rendering ---- */

struct chat {
    struct str messages, tools; /* JSON; tools empty: there are none */
    struct str more;            /* a JSON object of other variables; empty: none */
    struct str effort;          /* JSON; empty: none */
};

static void add_input(struct jinja_options *o, struct jinja_input *inputs, struct str name,
                      struct str json, bool trusted)
{
    if (o->input_count < INPUTS_MAX)
        inputs[o->input_count++] = (struct jinja_input){name, json, trusted};
}

/* Members of chat_template_kwargs, but for names that are the chat's own. */
static void add_more(struct jinja_options *o, struct jinja_input *inputs, struct str more,
                     struct arena *arena)
{
    struct json_reader r;
    struct json_value key;
    json_reader_init(&r, more, ENGINE_NESTING_MAX);
    if (more.len == 0 || !json_enter(&r, JSON_OBJECT))
        return;
    while (json_next_member(&r, &key)) {
        struct json_value v = json_take(&r);
        bool own = false;
        for (size_t i = 0; i < o->input_count; i++)
            own |= json_eq(&key, inputs[i].name);
        if (!own)
            add_input(o, inputs, json_text(&key, arena), v.raw, false);
    }
}

static enum err render(const struct chat_template *t, const struct chat *chat, int64_t now_s,
                       struct jinja_output *out, struct buf *problem)
{
    BUF_AUTO struct buf marks;
    struct arena arena;
    struct json_writer w;
    struct jinja_input inputs[INPUTS_MAX];
    struct jinja_options o = {.inputs = inputs, .now_s = now_s};
    bool raised = false;
    arena_init(&arena);
    buf_init(&marks, 4096);
    json_writer_init(&w, &marks);
    json_str(&w, t->begin);
    size_t cut = marks.len;
    json_writer_init(&w, &marks);
    json_str(&w, t->end);
    add_input(&o, inputs, STR("messages"), chat->messages, false);
    add_input(&o, inputs, STR("tools"), chat->tools.len ? chat->tools : STR("null"), false);
    add_input(&o, inputs, STR("add_generation_prompt"), STR("true"), true);
    add_input(&o, inputs, STR("bos_token"), str_take(buf_str(&marks), cut), true);
    add_input(&o, inputs, STR("eos_token"), str_skip(buf_str(&marks), cut), true);
    add_more(&o, inputs, chat->more, &arena);
    if (chat->effort.len)
        add_input(&o, inputs, STR("reasoning_effort"), chat->effort, false);
    buf_reset(&out->text);
    buf_reset(&out->foreign);
    enum err e = jinja_render(t->jinja, &o, out, problem, &raised);
    arena_release(&arena);
    return e;
}

/* ---- What it knows ---- */

#define USER "{\"role\":\"user\",\"content\":\"user-word\"}"
#define CALLS(a)                                                                                   \
    "\"tool_calls\":[{\"id\":\"call12345\",\"type\":\"function\",\"function\":{\"name\":"          \
    "\"call-word\",\"arguments\":" a "}}]"
#define CALLING(content, a) "{\"role\":\"assistant\",\"content\":" content "," CALLS(a) "}"
#define RESULT                                                                                     \
    "{\"role\":\"tool\",\"tool_call_id\":\"call12345\",\"name\":\"call-word\",\"content\":"        \
    "\"result-word\"}"
#define TOOLS                                                                                      \
    "[{\"type\":\"function\",\"function\":{\"name\":\"call-word\",\"description\":\"tool-word\","  \
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"key-word\":{\"type\":\"string\"}},"     \
    "\"required\":[\"key-word\"]}}}]"
#define ARGUMENTS      "{\"key-word\":\"value-word\"}"
#define ARGUMENTS_TEXT "\"{\\\"key-word\\\": \\\"value-word\\\"}\""

/* Empty: it fails. */
static struct str probe(const struct chat_template *t, struct str messages, struct str tools,
                        struct jinja_output *out)
{
    BUF_AUTO struct buf problem;
    struct chat chat = {.messages = messages, .tools = tools};
    buf_init(&problem, PROBE_PROBLEM_BYTES_MAX);
    return render(t, &chat, 0, out, &problem) == ERR_OK ? buf_str(&out->text) : STR_NONE;
}

static bool shows(const struct chat_template *t, struct str messages, struct str tools,
                  struct str word, struct jinja_output *out)
{
    return str_find(probe(t, messages, tools, out), word) >= 0;
}

/* A call of the probe's tool, as the template writes it after a user's message. */
static struct str probe_call(const struct chat_template *t, bool text, struct jinja_output *out)
{
    static const struct str forms[2][2] = {
        {STR_INIT("[" USER "," CALLING("null", ARGUMENTS) "," RESULT "]"),
         STR_INIT("[" USER "," CALLING("\"\"", ARGUMENTS) "," RESULT "]")},
        {STR_INIT("[" USER "," CALLING("null", ARGUMENTS_TEXT) "," RESULT "]"),
         STR_INIT("[" USER "," CALLING("\"\"", ARGUMENTS_TEXT) "," RESULT "]")},
    };
    for (int i = 0; i < 2; i++) {
        struct str output = probe(t, forms[text][i], STR(TOOLS), out);
        ptrdiff_t at = str_find(output, STR("user-word"));
        output = at < 0 ? STR_NONE : str_skip(output, (size_t)at);
        /* As JSON, not as a string of JSON and not as Python prints a dict. */
        bool fine = str_find(output, STR("call-word")) >= 0 &&
                    str_find(output, STR("\"value-word\"")) >= 0 &&
                    str_find(output, STR("result-word")) >= 0;
        if (fine)
            return output;
    }
    return STR_NONE;
}

static void probe_tools(struct chat_template *t, struct jinja_output *out)
{
    t->calls = CHAT_CALLS_HERMES;
    if (!shows(t, STR("[" USER "]"), STR(TOOLS), STR("tool-word"), out))
        return;
    struct str output = probe_call(t, false, out);
    t->arguments_text = output.len == 0;
    if (t->arguments_text)
        output = probe_call(t, true, out);
    t->tools = output.len > 0 && chat_calls_of(output, STR("call-word"), &t->calls);
}

enum err chat_template_init(struct chat_template *t, struct str source, struct str begin,
                            struct str end, struct buf *problem)
{
    static const struct str typed =
        STR_INIT("[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"user-word\"}]}]");
    static const struct str with_system =
        STR_INIT("[{\"role\":\"system\",\"content\":\"system-word\"}," USER "]");
    static const struct str with_typed_system = STR_INIT(
        "[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"system-word\"}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"user-word\"}]}]");
    struct jinja_output out;
    struct chat chat = {.messages = STR("[" USER "]")};
    *t = (struct chat_template){.begin = begin, .end = end};
    TRY(jinja_parse(source, problem, &t->jinja));
    jinja_output_init(&out, PROBE_TEXT_BYTES_MAX);
    t->short_ids = str_find(source, STR("[TOOL_CALLS]")) >= 0;
    enum err e = render(t, &chat, 0, &out, problem);
    if (e == ERR_OK && str_find(buf_str(&out.text), STR("user-word")) < 0) {
        t->typed = shows(t, typed, STR_NONE, STR("user-word"), &out);
        e = t->typed ? ERR_OK : ERR_INVALID;
        if (e != ERR_OK)
            buf_append_str(problem, STR("it leaves out what the user says"));
    }
    if (e == ERR_OK) {
        t->system = shows(t, t->typed ? with_typed_system : with_system, STR_NONE,
                          STR("system-word"), &out);
        probe_tools(t, &out);
    }
    jinja_output_release(&out);
    if (e != ERR_OK)
        chat_template_release(t);
    return e;
}

void chat_template_release(struct chat_template *t)
{
    jinja_free(t->jinja);
    t->jinja = NULL;
}

/* ---- A request's messages as JSON ---- */

static bool is_short_id(struct str id)
{
    bool fine = id.len == SHORT_ID_BYTES;
    for (size_t i = 0; fine && i < id.len; i++) {
        char c = id.ptr[i];
        fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    }
    return fine;
}

/* Other servers' ids are longer; equal ones become equal ones. */
static void write_id(const struct chat_template *t, struct json_writer *w, struct str key,
                     struct str id)
{
    static const char signs[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char made[SHORT_ID_BYTES];
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a */
    if (!t->short_ids || is_short_id(id)) {
        json_member_str(w, key, id);
        return;
    }
    for (size_t i = 0; i < id.len; i++)
        hash = (hash ^ (unsigned char)id.ptr[i]) * 0x100000001B3u;
    for (int i = 0; i < SHORT_ID_BYTES; i++, hash /= 62)
        made[i] = signs[hash % 62];
    json_member_str(w, key, str_of(made, SHORT_ID_BYTES));
}

static void write_content(const struct chat_template *t, struct json_writer *w, struct str content,
                          bool null)
{
    json_key(w, STR("content"));
    if (null) {
        json_null(w);
        return;
    }
    if (!t->typed) {
        json_str(w, content);
        return;
    }
    json_array_begin(w);
    json_object_begin(w);
    json_member_str(w, STR("type"), STR("text"));
    json_member_str(w, STR("text"), content);
    json_object_end(w);
    json_array_end(w);
}

static void write_calls(const struct chat_template *t, struct json_writer *w,
                        const struct engine_message *m)
{
    json_key(w, STR("tool_calls"));
    json_array_begin(w);
    for (size_t i = 0; i < m->call_count; i++) {
        const struct engine_call *c = &m->calls[i];
        json_object_begin(w);
        write_id(t, w, STR("id"), c->id);
        json_member_str(w, STR("type"), STR("function"));
        json_key(w, STR("function"));
        json_object_begin(w);
        json_member_str(w, STR("name"), c->name);
        if (t->arguments_text)
            json_member_str(w, STR("arguments"), c->arguments);
        else
            json_member_raw(w, STR("arguments"), c->arguments);
        json_object_end(w);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_message(const struct chat_template *t, struct json_writer *w,
                          const struct engine_message *m, bool nulls)
{
    json_object_begin(w);
    json_member_str(w, STR("role"), m->role);
    write_content(t, w, m->content, nulls && m->call_count && m->content.len == 0);
    if (m->reasoning.ptr)
        json_member_str(w, STR("reasoning_content"), m->reasoning);
    if (m->name.ptr)
        json_member_str(w, STR("name"), m->name);
    if (m->call_id.ptr)
        write_id(t, w, STR("tool_call_id"), m->call_id);
    if (m->call_count)
        write_calls(t, w, m);
    json_object_end(w);
}

/* A template without a place for the system's text: it goes before the next user's. */
static struct engine_message *folded(const struct engine_message *list, size_t *count,
                                     struct arena *arena)
{
    BUF_AUTO struct buf text;
    size_t n = 0;
    struct engine_message *to = ARENA_ARRAY(arena, struct engine_message, *count + 1);
    buf_init(&text, CHAT_BYTES_MAX);
    for (size_t i = 0; i < *count; i++) {
        bool system = str_eq(list[i].role, STR("system"));
        bool takes = text.len && str_eq(list[i].role, STR("user"));
        if (system || takes) {
            buf_append_str(&text, text.len ? STR("\n\n") : STR(""));
            buf_append_str(&text, list[i].content);
        }
        if (system)
            continue;
        to[n] = list[i];
        if (takes) {
            to[n].content = arena_str(arena, buf_str(&text));
            buf_reset(&text);
        }
        n++;
    }
    if (text.len)
        to[n++] = (struct engine_message){.role = STR("user"),
                                          .content = arena_str(arena, buf_str(&text))};
    *count = n;
    return to;
}

static void write_messages(const struct chat_template *t, const struct engine_message *list,
                           size_t count, bool nulls, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_array_begin(&w);
    for (size_t i = 0; i < count; i++)
        write_message(t, &w, &list[i], nulls);
    json_array_end(&w);
}

static void write_tools(const struct engine_request *r, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_array_begin(&w);
    for (size_t i = 0; i < r->tool_count; i++)
        json_raw(&w, r->tools[i].raw);
    json_array_end(&w);
}

static bool has_calls(const struct engine_message *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].call_count && list[i].content.len == 0)
            return true;
    return false;
}

static enum err render_messages(const struct chat_template *t, const struct engine_request *r,
                                const struct engine_message *list, size_t count, int64_t now_s,
                                struct jinja_output *out, struct buf *problem)
{
    BUF_AUTO struct buf messages;
    BUF_AUTO struct buf tools;
    buf_init(&messages, CHAT_BYTES_MAX);
    buf_init(&tools, CHAT_BYTES_MAX);
    struct chat chat = {.more = r->template_kwargs, .effort = r->reasoning_effort};
    if (t->tools && r->tool_count) {
        write_tools(r, &tools);
        chat.tools = buf_str(&tools);
    }
    /* A call without content has null there in OpenAI's form; some templates want a string. */
    enum err e = ERR_INVALID;
    for (int nulls = has_calls(list, count); nulls >= 0 && e != ERR_OK; nulls--) {
        buf_reset(&messages);
        buf_reset(problem);
        write_messages(t, list, count, nulls, &messages);
        chat.messages = buf_str(&messages);
        TRY(messages.error);
        e = render(t, &chat, now_s, out, problem);
    }
    return e;
}

enum err chat_template_render(const struct chat_template *t, const struct engine_request *r,
                              int64_t now_s, struct jinja_output *out, struct buf *problem)
{
    struct arena arena;
    struct engine_message *list = r->messages;
    size_t count = r->message_count;
    arena_init(&arena);
    if (!t->tools)
        chat_tools_flatten(r, &arena, &list, &count);
    if (!t->system)
        list = folded(list, &count, &arena);
    enum err e = render_messages(t, r, list, count, now_s, out, problem);
    arena_release(&arena);
    return e;
}
