/* An ask as Anthropic's messages. What is adapted and how: docs/dialects.md.
 *
 * Roles alternate: messages of one role that follow one another become one, with tool results
 * first. System messages in front are the `system`; later ones keep their place, inside a user's
 * message. */
#include "codec/base64.h"
#include "codec/json_write.h"
#include "dialect/anthropic_int.h"
#include "dialect/anthropic_model.h"

#define TARGET    "Anthropic's messages"
#define JSON_TOOL "structured_output"

enum {
    BUDGET_MIN = 1024, /* the API's least budget of thinking */
    ANSWER_ROOM = 8192 /* left beside a budget, where the caller named no limit */
};

struct writing {
    const struct ask *ask;
    const struct ask_target *target;
    struct openai_problem *problem;
    struct arena *a;
    struct json_writer w;
    struct anthropic_model model;
    bool same;      /* the caller speaks this language too */
    bool json_tool; /* structured output by a forced tool */
    bool thinks;
    bool only_system; /* there is nothing but system messages */
    int64_t max_tokens;
    int64_t budget; /* of thinking; 0: adaptive */
    uint32_t at;    /* the message that is written, for errors */
};

static enum err refuse(struct writing *x, const char *param, const char *what)
{
    return ask_refuse_for(x->problem, TARGET, param, what);
}

/* Something that a message holds. */
static enum err refuse_part(struct writing *x, const char *what)
{
    char param[48];
    (void)snprintf(param, sizeof param, "messages[%u]", x->at);
    return refuse(x, param, what);
}

/* ---- Parts ---- */

static void open_block(struct writing *x, struct str type)
{
    json_object_begin(&x->w);
    json_member_str(&x->w, STR("type"), type);
}

static void close_block(struct writing *x, const struct json_value *cache)
{
    if (cache->kind == JSON_OBJECT)
        json_member_raw(&x->w, STR("cache_control"), cache->raw);
    json_object_end(&x->w);
}

static void write_text(struct writing *x, const struct ask_part *part)
{
    open_block(x, STR("text"));
    json_member_str_raw(&x->w, STR("text"), part->text);
    close_block(x, &part->cache);
}

static void write_source(struct writing *x, struct str kind, struct str media, struct str key,
                         struct str data)
{
    json_key(&x->w, STR("source"));
    open_block(x, kind);
    if (media.len)
        json_member_str_raw(&x->w, STR("media_type"), media);
    json_member_str_raw(&x->w, key, data);
    json_object_end(&x->w);
}

/* A file's id is one of Anthropic's own ("file_…", not OpenAI's "file-…"), or nobody knows it. */
static bool knows_file(const struct writing *x, const struct ask_source *s)
{
    return x->same || str_starts(s->data, STR("file_"));
}

static enum err write_image(struct writing *x, const struct ask_part *part)
{
    const struct ask_source *s = &part->source;
    open_block(x, STR("image"));
    if (s->kind == ASK_SOURCE_BASE64)
        write_source(x, STR("base64"), s->media_type.len ? s->media_type : STR("image/png"),
                     STR("data"), s->data);
    else if (s->kind == ASK_SOURCE_URL && str_starts_nocase(s->data, STR("http")))
        write_source(x, STR("url"), STR(""), STR("url"), s->data);
    else if (s->kind == ASK_SOURCE_ID && knows_file(x, s))
        write_source(x, STR("file"), STR(""), STR("file_id"), s->data);
    else
        return refuse_part(x, "An image that is neither base64 nor at an http URL");
    close_block(x, &part->cache);
    return ERR_OK;
}

/* A text document that came as base64. */
static enum err write_decoded(struct writing *x, const struct ask_source *s)
{
    struct buf plain BUF_AUTO;
    buf_init(&plain, s->data.len + 4);
    if (base64_decode(ask_unescape(s->data, x->a), &plain) != ERR_OK)
        return refuse_part(x, "A document whose base64 is broken");
    json_key(&x->w, STR("source"));
    open_block(x, STR("text"));
    json_member_str(&x->w, STR("media_type"), STR("text/plain"));
    json_member_str(&x->w, STR("data"), buf_str(&plain));
    json_object_end(&x->w);
    return ERR_OK;
}

static enum err write_file(struct writing *x, const struct ask_part *part)
{
    const struct ask_source *s = &part->source;
    open_block(x, STR("document"));
    if (s->kind == ASK_SOURCE_TEXT)
        write_source(x, STR("text"), STR("text/plain"), STR("data"), s->data);
    else if (s->kind == ASK_SOURCE_URL && str_starts_nocase(s->data, STR("http")))
        write_source(x, STR("url"), STR(""), STR("url"), s->data);
    else if (s->kind == ASK_SOURCE_ID && knows_file(x, s))
        write_source(x, STR("file"), STR(""), STR("file_id"), s->data);
    else if (s->kind == ASK_SOURCE_BASE64 && str_eq(s->media_type, STR("application/pdf")))
        write_source(x, STR("base64"), s->media_type, STR("data"), s->data);
    else if (s->kind == ASK_SOURCE_BASE64 && str_starts(s->media_type, STR("text/")))
        TRY(write_decoded(x, s));
    else
        return refuse_part(x, s->kind == ASK_SOURCE_ID ? "A document by its file's id"
                                                       : "A document that is neither PDF nor text");
    if (s->name.len)
        json_member_str_raw(&x->w, STR("title"), s->name);
    if (part->citations)
        json_member_raw(&x->w, STR("citations"), STR("{\"enabled\":true}"));
    close_block(x, &part->cache);
    return ERR_OK;
}

/* Ids of calls have letters, digits, _ and - only; the same for a call and its result. */
static void write_id(struct writing *x, struct str key, struct str id)
{
    struct buf *out = x->w.out;
    json_key(&x->w, key);
    json_str_begin(&x->w);
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                     c == '-' || c == '_';
        buf_append_char(out, plain ? c : '_');
    }
    json_str_end(&x->w);
}

static void write_call(struct writing *x, const struct ask_part *call)
{
    open_block(x, STR("tool_use"));
    write_id(x, STR("id"), call->id);
    json_member_str_raw(&x->w, STR("name"), call->name);
    json_member_raw(&x->w, STR("input"), ask_arguments(call->arguments, x->a));
    close_block(x, &call->cache);
}

/* Thinking without a signature is another provider's, and would be refused. */
static void write_thinking(struct writing *x, const struct ask_part *part)
{
    if (part->kind == ASK_REDACTED) {
        open_block(x, STR("redacted_thinking"));
        json_member_str_raw(&x->w, STR("data"), part->text);
        json_object_end(&x->w);
    } else if (part->signature.len) {
        open_block(x, STR("thinking"));
        json_member_str_raw(&x->w, STR("thinking"), part->text);
        json_member_str_raw(&x->w, STR("signature"), part->signature);
        json_object_end(&x->w);
    }
}

static enum err write_result(struct writing *x, const struct ask_part *result);

static enum err write_part(struct writing *x, const struct ask_part *part)
{
    switch (part->kind) {
    case ASK_TEXT:
    case ASK_REFUSAL:
        if (part->text.len)
            write_text(x, part);
        return ERR_OK;
    case ASK_IMAGE: return write_image(x, part);
    case ASK_FILE: return write_file(x, part);
    case ASK_TOOL_CALL: write_call(x, part); return ERR_OK;
    case ASK_TOOL_RESULT: return write_result(x, part);
    case ASK_THINKING:
    case ASK_REDACTED: write_thinking(x, part); return ERR_OK;
    case ASK_AUDIO: return refuse_part(x, "Sound");
    case ASK_OTHER: break;
    }
    if (x->same) {
        json_raw(&x->w, part->raw);
        return ERR_OK;
    }
    char what[96];
    (void)snprintf(what, sizeof what, "A content part of type '%.*s'", (int)part->type.len,
                   part->type.len ? part->type.ptr : "");
    return refuse_part(x, what);
}

static enum err write_result(struct writing *x, const struct ask_part *result)
{
    open_block(x, STR("tool_result"));
    write_id(x, STR("tool_use_id"), result->id);
    if (result->content) {
        json_key(&x->w, STR("content"));
        json_array_begin(&x->w);
        for (const struct ask_part *p = result->content; p; p = p->next)
            TRY(write_part(x, p));
        json_array_end(&x->w);
    }
    if (result->is_error)
        json_member_bool(&x->w, STR("is_error"), true);
    close_block(x, &result->cache);
    return ERR_OK;
}

/* ---- Messages ---- */

static bool says_something(const struct ask_part *p)
{
    if (p->kind == ASK_TEXT || p->kind == ASK_REFUSAL)
        return p->text.len > 0;
    return p->kind != ASK_THINKING || p->signature.len > 0;
}

/* System messages in front, as blocks. Where nothing else was said, the last of them is what the
 * user says. Returns the first message that is left. */
static const struct ask_message *write_system(struct writing *x)
{
    const struct ask_message *first = x->ask->messages, *rest = first, *m;
    bool any = false;
    while (rest && rest->role == ASK_SYSTEM)
        rest = rest->next;
    x->only_system = !rest;
    if (!rest)
        for (rest = first; rest && rest->next; rest = rest->next)
            continue;
    for (m = first; m && m != rest; m = m->next)
        for (const struct ask_part *p = m->parts; p; p = p->next) {
            if (p->kind != ASK_TEXT || p->text.len == 0)
                continue;
            if (!any) {
                json_key(&x->w, STR("system"));
                json_array_begin(&x->w);
            }
            any = true;
            write_text(x, p);
        }
    if (any)
        json_array_end(&x->w);
    return rest;
}

/* A system message in the middle of a conversation. */
static void write_late_system(struct writing *x, const struct ask_message *message)
{
    for (const struct ask_part *p = message->parts; p; p = p->next) {
        if (p->kind != ASK_TEXT || p->text.len == 0)
            continue;
        open_block(x, STR("text"));
        json_key(&x->w, STR("text"));
        json_str_begin(&x->w);
        buf_append_str(x->w.out, STR("<system>"));
        buf_append_str(x->w.out, p->text);
        buf_append_str(x->w.out, STR("</system>"));
        json_str_end(&x->w);
        close_block(x, &p->cache);
    }
}

static bool same_side(const struct ask_message *m, bool assistant)
{
    return m && (m->role == ASK_ASSISTANT) == assistant;
}

/* Messages of one side, up to `end`, as one. */
static enum err write_turn(struct writing *x, const struct ask_message *first,
                           const struct ask_message *end)
{
    const struct ask_message *m;
    json_object_begin(&x->w);
    json_member_str(&x->w, STR("role"),
                    first->role == ASK_ASSISTANT ? STR("assistant") : STR("user"));
    json_key(&x->w, STR("content"));
    json_array_begin(&x->w);
    for (m = first; m != end; m = m->next)
        for (const struct ask_part *p = m->parts; p; p = p->next)
            if (p->kind == ASK_TOOL_RESULT) {
                x->at = m->at;
                TRY(write_result(x, p));
            }
    for (m = first; m != end; m = m->next) {
        x->at = m->at;
        if (m->role == ASK_SYSTEM && !x->only_system) {
            write_late_system(x, m);
            continue;
        }
        for (const struct ask_part *p = m->parts; p; p = p->next)
            if (p->kind != ASK_TOOL_RESULT)
                TRY(write_part(x, p));
    }
    json_array_end(&x->w);
    json_object_end(&x->w);
    return ERR_OK;
}

static bool turn_is_empty(const struct ask_message *first, const struct ask_message *end)
{
    for (; first != end; first = first->next)
        for (const struct ask_part *p = first->parts; p; p = p->next)
            if (says_something(p))
                return false;
    return true;
}

static enum err write_messages(struct writing *x, const struct ask_message *first)
{
    json_key(&x->w, STR("messages"));
    json_array_begin(&x->w);
    if (first && first->role == ASK_ASSISTANT)
        json_raw(&x->w, STR("{\"role\":\"user\",\"content\":\"(The assistant begins.)\"}"));
    while (first) {
        const struct ask_message *end = first;
        bool assistant = first->role == ASK_ASSISTANT;
        while (same_side(end, assistant))
            end = end->next;
        if (!assistant || !turn_is_empty(first, end))
            TRY(write_turn(x, first, end));
        first = end;
    }
    json_array_end(&x->w);
    return ERR_OK;
}

/* ---- Tools ---- */

static enum err write_tool(struct writing *x, const struct ask_tool *tool)
{
    if (tool->kind == ASK_TOOL_OTHER && x->same) {
        json_raw(&x->w, tool->raw);
        return ERR_OK;
    }
    if (tool->kind == ASK_TOOL_OTHER)
        return ask_refuse_tool(x->problem, TARGET, tool);
    json_object_begin(&x->w);
    json_member_str_raw(&x->w, STR("name"), tool->name);
    if (tool->description.ptr)
        json_member_str_raw(&x->w, STR("description"), tool->description);
    json_member_raw(&x->w, STR("input_schema"),
                    tool->schema.kind == JSON_OBJECT
                        ? tool->schema.raw
                        : STR("{\"type\":\"object\",\"properties\":{}}"));
    if (tool->strict.kind == JSON_TRUE && x->model.formats)
        json_member_bool(&x->w, STR("strict"), true);
    close_block(x, &tool->cache);
    return ERR_OK;
}

static void write_json_tool(struct writing *x)
{
    const struct ask_format *f = &x->ask->format;
    json_object_begin(&x->w);
    json_member_str(&x->w, STR("name"), STR(JSON_TOOL));
    if (f->description.len)
        json_member_str_raw(&x->w, STR("description"), f->description);
    else
        json_member_str(&x->w, STR("description"), STR("Give the answer, as JSON, by this tool."));
    json_member_raw(&x->w, STR("input_schema"),
                    f->kind == ASK_FORMAT_SCHEMA ? f->schema.raw : STR("{\"type\":\"object\"}"));
    json_object_end(&x->w);
}

/* The API wants the tools of a conversation with calls in it to be there; a caller who gives none
 * wants none to be called. */
static void write_past_tools(struct writing *x)
{
    enum { NAMES_MAX = 64 };
    struct str names[NAMES_MAX];
    size_t count = 0;
    for (const struct ask_message *m = x->ask->messages; m; m = m->next)
        for (const struct ask_part *p = m->parts; p; p = p->next) {
            size_t i = 0;
            if (p->kind != ASK_TOOL_CALL || count == NAMES_MAX)
                continue;
            while (i < count && !str_eq(names[i], p->name))
                i++;
            if (i < count)
                continue;
            if (count == 0) {
                json_key(&x->w, STR("tools"));
                json_array_begin(&x->w);
            }
            names[count++] = p->name;
            json_object_begin(&x->w);
            json_member_str_raw(&x->w, STR("name"), p->name);
            json_member_raw(&x->w, STR("input_schema"), STR("{\"type\":\"object\"}"));
            json_object_end(&x->w);
        }
    if (count == 0)
        return;
    json_array_end(&x->w);
    json_member_raw(&x->w, STR("tool_choice"), STR("{\"type\":\"none\"}"));
}

static void write_choice(struct writing *x)
{
    const struct ask *ask = x->ask;
    bool serial = ask->parallel_tools.kind == JSON_FALSE;
    enum ask_choice_kind choice = ask->tool_choice;
    struct str name = ask->tool_name;
    if (x->json_tool && ask->tools && choice != ASK_CHOICE_NAMED) {
        choice = choice == ASK_CHOICE_NONE ? ASK_CHOICE_NAMED : ASK_CHOICE_ANY;
        name = STR(JSON_TOOL);
    } else if (x->json_tool && !ask->tools) {
        choice = ASK_CHOICE_NAMED;
        name = STR(JSON_TOOL);
    }
    if (choice == ASK_CHOICE_ABSENT && !serial)
        return;
    json_key(&x->w, STR("tool_choice"));
    switch (choice) {
    case ASK_CHOICE_ABSENT:
    case ASK_CHOICE_AUTO: open_block(x, STR("auto")); break;
    case ASK_CHOICE_NONE: open_block(x, STR("none")); break;
    case ASK_CHOICE_ANY: open_block(x, STR("any")); break;
    case ASK_CHOICE_NAMED:
        open_block(x, STR("tool"));
        json_member_str_raw(&x->w, STR("name"), name);
        break;
    }
    if (serial && choice != ASK_CHOICE_NONE)
        json_member_bool(&x->w, STR("disable_parallel_tool_use"), true);
    json_object_end(&x->w);
}

static enum err write_tools(struct writing *x)
{
    if (!x->ask->tools && !x->json_tool) {
        if (!x->same)
            write_past_tools(x);
        return ERR_OK;
    }
    json_key(&x->w, STR("tools"));
    json_array_begin(&x->w);
    for (const struct ask_tool *tool = x->ask->tools; tool; tool = tool->next) {
        if (x->json_tool && str_eq(tool->name, STR(JSON_TOOL)))
            return refuse(x, "tools", "A tool called " JSON_TOOL " beside a response_format");
        TRY(write_tool(x, tool));
    }
    if (x->json_tool)
        write_json_tool(x);
    json_array_end(&x->w);
    write_choice(x);
    return ERR_OK;
}

/* ---- Limits and thinking ---- */

/* In the middle of a tool loop a budget of thinking needs the thinking that led to the call; a
 * caller whose language has no place for it cannot send it back. */
static bool loop_lost_thinking(const struct ask *ask)
{
    const struct ask_message *call = NULL, *m;
    bool result = false;
    for (m = ask->messages; m; m = m->next) {
        if (m->role == ASK_ASSISTANT)
            call = m;
        if (m->role != ASK_USER)
            continue;
        result = false;
        for (const struct ask_part *p = m->parts; p; p = p->next)
            result |= p->kind == ASK_TOOL_RESULT;
    }
    if (!call || !result)
        return false;
    for (const struct ask_part *p = call->parts; p; p = p->next)
        if (p->kind == ASK_REDACTED || (p->kind == ASK_THINKING && p->signature.len))
            return false;
    return true;
}

static bool is_forced(const struct writing *x)
{
    return x->json_tool || (x->ask->tools && (x->ask->tool_choice == ASK_CHOICE_ANY ||
                                              x->ask->tool_choice == ASK_CHOICE_NAMED));
}

static enum err plan_thinking(struct writing *x)
{
    const struct ask *ask = x->ask;
    bool wanted = ask->thinking == ASK_THINKING_ON || ask->thinking == ASK_THINKING_ADAPTIVE;
    x->max_tokens = ask->max_tokens;
    if (x->max_tokens == 0)
        x->max_tokens =
            x->target->max_tokens_default > 0 ? x->target->max_tokens_default : x->model.max_tokens;
    if (!wanted)
        return ERR_OK;
    if (x->model.thinking == ANTHROPIC_THINKS_NOT)
        return refuse(x, "reasoning_effort", "Thinking, which this model cannot do,");
    if (is_forced(x))
        return ERR_OK;
    if (x->model.thinking == ANTHROPIC_THINKS_ADAPTIVE) {
        x->thinks = true;
        return ERR_OK;
    }
    if (!x->same && loop_lost_thinking(ask))
        return ERR_OK;
    x->budget = ask->thinking_budget;
    if (x->budget == 0)
        x->budget = ask_effort_budget(ask->effort ? ask->effort : ASK_EFFORT_MEDIUM);
    if (x->budget < BUDGET_MIN)
        x->budget = BUDGET_MIN;
    if (ask->max_tokens == 0 && x->max_tokens < x->budget + ANSWER_ROOM)
        x->max_tokens = x->budget + ANSWER_ROOM;
    if (x->budget >= x->max_tokens)
        x->budget = x->max_tokens / 2 > BUDGET_MIN ? x->max_tokens / 2 : BUDGET_MIN;
    x->thinks = x->budget < x->max_tokens;
    return ERR_OK;
}

static void write_thinking_options(struct writing *x)
{
    if (!x->thinks)
        return;
    json_key(&x->w, STR("thinking"));
    if (x->budget > 0) {
        open_block(x, STR("enabled"));
        json_member_i64(&x->w, STR("budget_tokens"), x->budget);
    } else {
        open_block(x, STR("adaptive"));
        if (!x->ask->thinking_hidden && x->model.shows_on_request)
            json_member_str(&x->w, STR("display"), STR("summarized"));
    }
    json_object_end(&x->w);
}

static struct str effort_name(const struct writing *x)
{
    enum ask_effort effort = x->ask->effort;
    if (effort == ASK_EFFORT_ABSENT)
        effort = ask_budget_effort(x->ask->thinking_budget);
    if (effort == ASK_EFFORT_MINIMAL)
        effort = ASK_EFFORT_LOW;
    if (effort == ASK_EFFORT_XHIGH && !x->model.xhigh)
        effort = ASK_EFFORT_MAX;
    return effort == ASK_EFFORT_NONE ? STR_NONE : ask_effort_name(effort);
}

static void write_output_config(struct writing *x)
{
    const struct ask_format *f = &x->ask->format;
    bool format = f->kind == ASK_FORMAT_SCHEMA && !x->json_tool;
    struct str effort = x->model.thinking == ANTHROPIC_THINKS_ADAPTIVE ? effort_name(x) : STR_NONE;
    if (!format && !effort.len)
        return;
    json_key(&x->w, STR("output_config"));
    json_object_begin(&x->w);
    if (effort.len)
        json_member_str(&x->w, STR("effort"), effort);
    if (format) {
        json_key(&x->w, STR("format"));
        open_block(x, STR("json_schema"));
        json_member_raw(&x->w, STR("schema"), f->schema.raw);
        json_object_end(&x->w);
    }
    json_object_end(&x->w);
}

/* ---- The rest ---- */

static bool is_zero(const struct json_value *number)
{
    double value = 0;
    return number->kind == JSON_NONE || (json_to_double(number, &value) == ERR_OK && value == 0);
}

static enum err check(struct writing *x)
{
    const struct ask *ask = x->ask;
    if (!x->same)
        TRY(ask_members_check(ask, NULL, 0, TARGET, x->problem));
    if (ask->n > 1)
        return refuse(x, "n", "'n' above 1");
    if (ask->logprobs || ask->top_logprobs > 0)
        return refuse(x, "logprobs", "'logprobs'");
    if (!is_zero(&ask->presence_penalty))
        return refuse(x, "presence_penalty", "'presence_penalty'");
    if (!is_zero(&ask->frequency_penalty))
        return refuse(x, "frequency_penalty", "'frequency_penalty'");
    return ERR_OK;
}

static void write_sampling(struct writing *x)
{
    const struct ask *ask = x->ask;
    double temperature = 0;
    json_member_i64(&x->w, STR("max_tokens"), x->max_tokens);
    if (!x->thinks && ask->temperature.kind != JSON_NONE) {
        bool high = json_to_double(&ask->temperature, &temperature) == ERR_OK && temperature > 1;
        json_member_raw(&x->w, STR("temperature"), high ? STR("1") : ask->temperature.raw);
    }
    if (!x->thinks && ask->top_p.kind != JSON_NONE)
        json_member_raw(&x->w, STR("top_p"), ask->top_p.raw);
    if (!x->thinks && ask->top_k.kind != JSON_NONE)
        json_member_raw(&x->w, STR("top_k"), ask->top_k.raw);
    if (ask->stop_count == 0)
        return;
    json_key(&x->w, STR("stop_sequences"));
    json_array_begin(&x->w);
    for (uint32_t i = 0; i < ask->stop_count; i++)
        json_str_raw(&x->w, ask->stops[i]);
    json_array_end(&x->w);
}

static void write_others(struct writing *x)
{
    for (const struct ask_member *m = x->ask->others; m; m = m->next)
        if (x->same || m->class == ASK_MEMBER_UNKNOWN) {
            json_key_raw(&x->w, m->key);
            json_raw(&x->w, m->value.raw);
        }
}

enum err anthropic_ask_write(const struct ask *ask, const struct ask_target *target,
                             struct arena *a, struct buf *out, struct ask_plan *ret_plan,
                             struct openai_problem *ret_problem)
{
    struct writing x = {.ask = ask, .target = target, .problem = ret_problem, .a = a};
    x.model = anthropic_model_of(target->model);
    x.same = str_eq(ask->dialect, dialect_anthropic.name);
    x.json_tool = ask->format.kind == ASK_FORMAT_JSON ||
                  (ask->format.kind == ASK_FORMAT_SCHEMA && !x.model.formats);
    json_writer_init(&x.w, out);
    TRY(check(&x));
    TRY(plan_thinking(&x));
    json_object_begin(&x.w);
    json_member_str(&x.w, STR("model"), target->model);
    const struct ask_message *first = write_system(&x);
    TRY(write_messages(&x, first));
    TRY(write_tools(&x));
    write_sampling(&x);
    write_thinking_options(&x);
    write_output_config(&x);
    if (ask->user.len) {
        json_key(&x.w, STR("metadata"));
        json_object_begin(&x.w);
        json_member_str_raw(&x.w, STR("user_id"), ask->user);
        json_object_end(&x.w);
    }
    if (ask->stream)
        json_member_raw(&x.w, STR("stream"), STR("true"));
    write_others(&x);
    json_object_end(&x.w);
    if (out->error != ERR_OK)
        return ask_refuse(ret_problem, out->error, NULL,
                          "The translated request is larger than %zu bytes.", out->max);
    *ret_plan = (struct ask_plan){.json_tool = x.json_tool ? STR(JSON_TOOL) : STR("")};
    return ERR_OK;
}
