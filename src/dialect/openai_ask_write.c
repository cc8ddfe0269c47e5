/* An ask as OpenAI's chat completions, for OpenAI and everything that speaks its language. What is
 * adapted and how: docs/dialects.md. */
#include "codec/json_write.h"
#include "dialect/openai_int.h"

const struct json_value openai_ephemeral = {STR_INIT("{\"type\":\"ephemeral\"}"), 0, JSON_OBJECT};

#define TARGET "OpenAI's chat completions"

struct writing {
    const struct ask *ask;
    const struct ask_target *target;
    struct openai_problem *problem;
    struct arena *a;
    struct json_writer w;
    bool same; /* the caller speaks this language too */
};

static enum err refuse(struct writing *x, const char *param, const char *what)
{
    return ask_refuse_for(x->problem, TARGET, param, what);
}

/* A model of OpenAI's own, whose API refuses members that it does not know. */
static bool is_own(struct str model)
{
    if (ask_model_starts(model, STR("gpt-oss")))
        return false;
    return ask_model_starts(model, STR("gpt-")) || ask_model_starts(model, STR("chatgpt-")) ||
           ask_model_starts(model, STR("o1")) || ask_model_starts(model, STR("o3")) ||
           ask_model_starts(model, STR("o4"));
}

/* Models that are known to understand reasoning_effort. */
static bool reasons(struct str model)
{
    static const struct str names[] = {
        STR_INIT("o1"),          STR_INIT("o3"),         STR_INIT("o4"),
        STR_INIT("gpt-5"),       STR_INIT("gpt-6"),      STR_INIT("gpt-oss"),
        STR_INIT("grok-3-mini"), STR_INIT("gemini-2.5"), STR_INIT("gemini-3")};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ask_model_starts(model, names[i]))
            return true;
    return false;
}

/* ---- Parts ---- */

static void open_part(struct writing *x, struct str type)
{
    json_object_begin(&x->w);
    json_member_str(&x->w, STR("type"), type);
}

static void write_text(struct writing *x, struct str escaped)
{
    open_part(x, STR("text"));
    json_member_str_raw(&x->w, STR("text"), escaped);
    json_object_end(&x->w);
}

/* The inside of a string: "data:image/png;base64,…". */
static void write_data_url(struct writing *x, const struct ask_source *s, struct str media)
{
    struct buf *out = x->w.out;
    json_str_begin(&x->w);
    buf_append_str(out, STR("data:"));
    buf_append_str(out, s->media_type.len ? s->media_type : media);
    buf_append_str(out, STR(";base64,"));
    buf_append_str(out, s->data);
    json_str_end(&x->w);
}

static enum err write_image(struct writing *x, const struct ask_source *s)
{
    if (s->kind == ASK_SOURCE_ID)
        return refuse(x, "messages", "An image by its file's id");
    open_part(x, STR("image_url"));
    json_key(&x->w, STR("image_url"));
    json_object_begin(&x->w);
    json_key(&x->w, STR("url"));
    if (s->kind == ASK_SOURCE_URL)
        json_str_raw(&x->w, s->data);
    else
        write_data_url(x, s, STR("image/png"));
    if (s->detail.len) {
        json_member_str_raw(&x->w, STR("detail"), s->detail);
    }
    json_object_end(&x->w);
    json_object_end(&x->w);
    return ERR_OK;
}

static enum err write_file(struct writing *x, const struct ask_part *part)
{
    const struct ask_source *s = &part->source;
    if (part->citations)
        return refuse(x, "messages", "A document whose citations are asked for");
    if (s->kind == ASK_SOURCE_URL)
        return refuse(x, "messages", "A document by URL");
    if (s->kind == ASK_SOURCE_ID && !x->same)
        return refuse(x, "messages", "A document by its file's id");
    if (s->kind == ASK_SOURCE_TEXT) {
        if (s->name.len)
            write_text(x, s->name);
        write_text(x, s->data);
        return ERR_OK;
    }
    open_part(x, STR("file"));
    json_key(&x->w, STR("file"));
    json_object_begin(&x->w);
    if (s->kind == ASK_SOURCE_ID) {
        json_member_str_raw(&x->w, STR("file_id"), s->data);
    } else {
        json_member_str_raw(&x->w, STR("filename"), s->name.len ? s->name : STR("document.pdf"));
        json_key(&x->w, STR("file_data"));
        write_data_url(x, s, STR("application/pdf"));
    }
    json_object_end(&x->w);
    json_object_end(&x->w);
    return ERR_OK;
}

static void write_audio(struct writing *x, const struct ask_source *s)
{
    bool wav = str_find(s->media_type, STR("wav")) >= 0;
    open_part(x, STR("input_audio"));
    json_key(&x->w, STR("input_audio"));
    json_object_begin(&x->w);
    json_member_str_raw(&x->w, STR("data"), s->data);
    json_member_str(&x->w, STR("format"), wav ? STR("wav") : STR("mp3"));
    json_object_end(&x->w);
    json_object_end(&x->w);
}

static enum err write_part(struct writing *x, const struct ask_part *part)
{
    switch (part->kind) {
    case ASK_TEXT: write_text(x, part->text); return ERR_OK;
    case ASK_IMAGE: return write_image(x, &part->source);
    case ASK_FILE: return write_file(x, part);
    case ASK_AUDIO: write_audio(x, &part->source); return ERR_OK;
    case ASK_REFUSAL:
        open_part(x, STR("refusal"));
        json_member_str_raw(&x->w, STR("refusal"), part->text);
        json_object_end(&x->w);
        return ERR_OK;
    case ASK_THINKING:
    case ASK_REDACTED:
    case ASK_TOOL_CALL:
    case ASK_TOOL_RESULT: return ERR_OK;
    case ASK_OTHER: break;
    }
    if (x->same) {
        json_raw(&x->w, part->raw);
        return ERR_OK;
    }
    char what[96];
    (void)snprintf(what, sizeof what, "A content block of type '%.*s'", (int)part->type.len,
                   part->type.len ? part->type.ptr : "");
    return refuse(x, "messages", what);
}

static bool is_media(const struct ask_part *part)
{
    return part->kind == ASK_IMAGE || part->kind == ASK_FILE || part->kind == ASK_AUDIO ||
           part->kind == ASK_OTHER;
}

/* Texts of a list as one string, with `between` (escaped) between them. */
static void write_joined(struct writing *x, struct str before, const struct ask_part *parts,
                         struct str between)
{
    struct buf *out = x->w.out;
    bool first = true;
    json_str_begin(&x->w);
    buf_append_str(out, before);
    for (const struct ask_part *p = parts; p; p = p->next) {
        if (p->kind != ASK_TEXT)
            continue;
        if (!first)
            buf_append_str(out, between);
        buf_append_str(out, p->text);
        first = false;
    }
    json_str_end(&x->w);
}

/* ---- Messages ---- */

static void open_message(struct writing *x, const struct ask_message *message, struct str role)
{
    json_object_begin(&x->w);
    json_member_str(&x->w, STR("role"), role);
    if (message->name.len) {
        json_member_str_raw(&x->w, STR("name"), message->name);
    }
}

static void write_system(struct writing *x, const struct ask_message *message)
{
    open_message(x, message, STR("system"));
    json_key(&x->w, STR("content"));
    write_joined(x, STR(""), message->parts, STR("\\n\\n"));
    json_object_end(&x->w);
}

static void write_result(struct writing *x, const struct ask_part *result)
{
    bool media = false;
    for (const struct ask_part *p = result->content; p; p = p->next)
        media |= is_media(p);
    json_object_begin(&x->w);
    json_member_str(&x->w, STR("role"), STR("tool"));
    json_member_str_raw(&x->w, STR("tool_call_id"), result->id);
    json_key(&x->w, STR("content"));
    if (media && !(result->content->kind == ASK_TEXT))
        write_joined(x, STR("(in the next message)"), result->content, STR("\\n"));
    else
        write_joined(x, result->is_error ? STR("Error: ") : STR(""), result->content, STR("\\n"));
    json_object_end(&x->w);
}

/* Images and documents that tools brought: a tool message holds text only. */
static enum err write_result_media(struct writing *x, const struct ask_part *result)
{
    bool said = false;
    for (const struct ask_part *p = result->content; p; p = p->next) {
        if (!is_media(p))
            continue;
        if (!said) {
            struct buf label BUF_AUTO;
            buf_init(&label, result->id.len + 64);
            buf_append_str(&label, STR("Result of tool call "));
            buf_append_str(&label, result->id);
            buf_append_char(&label, ':');
            write_text(x, buf_str(&label));
        }
        said = true;
        TRY(write_part(x, p));
    }
    return ERR_OK;
}

static bool is_one_text(const struct ask_part *parts)
{
    return parts && !parts->next && parts->kind == ASK_TEXT;
}

/* What a user message says beside the texts of results. */
static bool has_more(const struct ask_message *message)
{
    for (const struct ask_part *p = message->parts; p; p = p->next) {
        if (p->kind != ASK_TOOL_RESULT)
            return true;
        for (const struct ask_part *q = p->content; q; q = q->next)
            if (is_media(q))
                return true;
    }
    return !message->parts;
}

static enum err write_user(struct writing *x, const struct ask_message *message)
{
    open_message(x, message, STR("user"));
    json_key(&x->w, STR("content"));
    if (!message->parts) {
        json_str(&x->w, STR(""));
    } else if (is_one_text(message->parts)) {
        json_str_raw(&x->w, message->parts->text);
    } else {
        json_array_begin(&x->w);
        for (const struct ask_part *p = message->parts; p; p = p->next)
            if (p->kind == ASK_TOOL_RESULT)
                TRY(write_result_media(x, p));
            else
                TRY(write_part(x, p));
        json_array_end(&x->w);
    }
    json_object_end(&x->w);
    return ERR_OK;
}

/* User messages that follow one another: results first, since they have to follow their calls. */
static enum err write_users(struct writing *x, const struct ask_message **message)
{
    const struct ask_message *first = *message, *m;
    for (m = first; m && m->role == ASK_USER; m = m->next)
        for (const struct ask_part *p = m->parts; p; p = p->next)
            if (p->kind == ASK_TOOL_RESULT)
                write_result(x, p);
    for (m = first; m && m->role == ASK_USER; m = m->next)
        if (has_more(m))
            TRY(write_user(x, m));
    *message = m;
    return ERR_OK;
}

static void write_call(struct writing *x, const struct ask_part *call)
{
    json_object_begin(&x->w);
    json_member_str_raw(&x->w, STR("id"), call->id);
    json_member_str(&x->w, STR("type"), STR("function"));
    json_key(&x->w, STR("function"));
    json_object_begin(&x->w);
    json_member_str_raw(&x->w, STR("name"), call->name);
    json_member_str(&x->w, STR("arguments"), call->arguments.len ? call->arguments : STR("{}"));
    json_object_end(&x->w);
    if (call->signature.len) {
        json_key(&x->w, STR("extra_content"));
        json_object_begin(&x->w);
        json_key(&x->w, STR("google"));
        json_object_begin(&x->w);
        json_member_str_raw(&x->w, STR("thought_signature"), call->signature);
        json_object_end(&x->w);
        json_object_end(&x->w);
    }
    json_object_end(&x->w);
}

/* Thinking that has no signature is of this language's kind; signed thinking is another
 * provider's. */
static void write_reasoning(struct writing *x, const struct ask_message *message)
{
    struct buf *out = x->w.out;
    bool any = false;
    for (const struct ask_part *p = message->parts; p; p = p->next) {
        if (p->kind != ASK_THINKING || p->signature.len || p->text.len == 0)
            continue;
        if (!any) {
            json_key(&x->w, STR("reasoning_content"));
            json_str_begin(&x->w);
        }
        any = true;
        buf_append_str(out, p->text);
    }
    if (any)
        json_str_end(&x->w);
}

static enum err write_assistant(struct writing *x, const struct ask_message *message)
{
    bool text = false, calls = false;
    const struct ask_part *refusal = NULL;
    open_message(x, message, STR("assistant"));
    for (const struct ask_part *p = message->parts; p; p = p->next) {
        text |= p->kind == ASK_TEXT;
        calls |= p->kind == ASK_TOOL_CALL;
        if (p->kind == ASK_REFUSAL)
            refusal = p;
        if (is_media(p))
            TRY(refuse(x, "messages", "An assistant's message with anything but text and calls"));
    }
    json_key(&x->w, STR("content"));
    if (text || (!calls && !refusal))
        write_joined(x, STR(""), message->parts, STR(""));
    else
        json_null(&x->w);
    write_reasoning(x, message);
    if (refusal) {
        json_member_str_raw(&x->w, STR("refusal"), refusal->text);
    }
    if (calls) {
        json_key(&x->w, STR("tool_calls"));
        json_array_begin(&x->w);
        for (const struct ask_part *p = message->parts; p; p = p->next)
            if (p->kind == ASK_TOOL_CALL)
                write_call(x, p);
        json_array_end(&x->w);
    }
    json_object_end(&x->w);
    return ERR_OK;
}

static enum err write_messages(struct writing *x)
{
    const struct ask_message *message = x->ask->messages;
    json_key(&x->w, STR("messages"));
    json_array_begin(&x->w);
    while (message) {
        if (message->role == ASK_USER) {
            TRY(write_users(x, &message));
            continue;
        }
        if (message->role == ASK_SYSTEM)
            write_system(x, message);
        else
            TRY(write_assistant(x, message));
        message = message->next;
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
    open_part(x, STR("function"));
    json_key(&x->w, STR("function"));
    json_object_begin(&x->w);
    json_member_str_raw(&x->w, STR("name"), tool->name);
    if (tool->description.ptr) {
        json_member_str_raw(&x->w, STR("description"), tool->description);
    }
    if (tool->schema.kind == JSON_OBJECT)
        json_member_raw(&x->w, STR("parameters"), tool->schema.raw);
    if (tool->strict.kind != JSON_NONE)
        json_member_raw(&x->w, STR("strict"), tool->strict.raw);
    json_object_end(&x->w);
    json_object_end(&x->w);
    return ERR_OK;
}

static void write_choice(struct writing *x)
{
    switch (x->ask->tool_choice) {
    case ASK_CHOICE_ABSENT: return;
    case ASK_CHOICE_AUTO: json_member_str(&x->w, STR("tool_choice"), STR("auto")); return;
    case ASK_CHOICE_NONE: json_member_str(&x->w, STR("tool_choice"), STR("none")); return;
    case ASK_CHOICE_ANY: json_member_str(&x->w, STR("tool_choice"), STR("required")); return;
    case ASK_CHOICE_NAMED: break;
    }
    json_key(&x->w, STR("tool_choice"));
    open_part(x, STR("function"));
    json_key(&x->w, STR("function"));
    json_object_begin(&x->w);
    json_member_str_raw(&x->w, STR("name"), x->ask->tool_name);
    json_object_end(&x->w);
    json_object_end(&x->w);
}

static enum err write_tools(struct writing *x)
{
    if (!x->ask->tools)
        return ERR_OK;
    json_key(&x->w, STR("tools"));
    json_array_begin(&x->w);
    for (const struct ask_tool *tool = x->ask->tools; tool; tool = tool->next)
        TRY(write_tool(x, tool));
    json_array_end(&x->w);
    write_choice(x);
    if (x->ask->parallel_tools.kind != JSON_NONE)
        json_member_raw(&x->w, STR("parallel_tool_calls"), x->ask->parallel_tools.raw);
    return ERR_OK;
}

/* ---- The rest ---- */

static void write_format(struct writing *x)
{
    const struct ask_format *f = &x->ask->format;
    if (f->kind == ASK_FORMAT_ABSENT)
        return;
    json_key(&x->w, STR("response_format"));
    open_part(x, f->kind == ASK_FORMAT_JSON ? STR("json_object") : STR("json_schema"));
    if (f->kind == ASK_FORMAT_SCHEMA) {
        json_key(&x->w, STR("json_schema"));
        json_object_begin(&x->w);
        json_member_str_raw(&x->w, STR("name"), f->name.len ? f->name : STR("answer"));
        if (f->description.len) {
            json_member_str_raw(&x->w, STR("description"), f->description);
        }
        json_member_raw(&x->w, STR("schema"), f->schema.raw);
        if (f->strict.kind != JSON_NONE)
            json_member_raw(&x->w, STR("strict"), f->strict.raw);
        json_object_end(&x->w);
    }
    json_object_end(&x->w);
}

static void write_number(struct writing *x, struct str key, const struct json_value *value)
{
    if (value->kind != JSON_NONE)
        json_member_raw(&x->w, key, value->raw);
}

static enum err write_sampling(struct writing *x)
{
    const struct ask *ask = x->ask;
    bool own = is_own(x->target->model);
    if (own && !x->same && ask->top_k.kind != JSON_NONE)
        return refuse(x, "top_k", "'top_k'");
    if (ask->max_tokens > 0)
        json_member_i64(&x->w, own ? STR("max_completion_tokens") : STR("max_tokens"),
                        ask->max_tokens);
    write_number(x, STR("temperature"), &ask->temperature);
    write_number(x, STR("top_p"), &ask->top_p);
    write_number(x, STR("top_k"), &ask->top_k);
    write_number(x, STR("seed"), &ask->seed);
    write_number(x, STR("presence_penalty"), &ask->presence_penalty);
    write_number(x, STR("frequency_penalty"), &ask->frequency_penalty);
    if (ask->stop_count > 0) {
        json_key(&x->w, STR("stop"));
        json_array_begin(&x->w);
        for (uint32_t i = 0; i < ask->stop_count; i++)
            json_str_raw(&x->w, ask->stops[i]);
        json_array_end(&x->w);
    }
    if (ask->n > 1)
        json_member_i64(&x->w, STR("n"), ask->n);
    if (ask->logprobs)
        json_member_bool(&x->w, STR("logprobs"), true);
    if (ask->top_logprobs > 0)
        json_member_i64(&x->w, STR("top_logprobs"), ask->top_logprobs);
    return ERR_OK;
}

static void write_effort(struct writing *x)
{
    const struct ask *ask = x->ask;
    enum ask_effort effort = ask->effort;
    if (!x->same && (!reasons(x->target->model) || ask->thinking == ASK_THINKING_OFF))
        return;
    if (effort == ASK_EFFORT_ABSENT)
        effort = ask_budget_effort(ask->thinking_budget);
    if (!x->same && effort > ASK_EFFORT_HIGH)
        effort = ASK_EFFORT_HIGH;
    if (effort != ASK_EFFORT_ABSENT)
        json_member_str(&x->w, STR("reasoning_effort"), ask_effort_name(effort));
}

/* What the Responses API's hints are called, chat's are too. */
static void write_others(struct writing *x)
{
    bool hints = x->same || str_eq(x->ask->dialect, dialect_responses.name);
    for (const struct ask_member *m = x->ask->others; m; m = m->next)
        if (x->same || m->class == ASK_MEMBER_UNKNOWN || (hints && m->class == ASK_MEMBER_HINT)) {
            json_key_raw(&x->w, m->key);
            json_raw(&x->w, m->value.raw);
        }
}

enum err openai_ask_write(const struct ask *ask, const struct ask_target *target, struct arena *a,
                          struct buf *out, struct ask_plan *ret_plan,
                          struct openai_problem *ret_problem)
{
    struct writing x = {.ask = ask, .target = target, .problem = ret_problem, .a = a};
    x.same = str_eq(ask->dialect, dialect_openai.name);
    json_writer_init(&x.w, out);
    if (!x.same)
        TRY(ask_members_check(ask, NULL, 0, TARGET, ret_problem));
    json_object_begin(&x.w);
    json_member_str(&x.w, STR("model"), target->model);
    TRY(write_messages(&x));
    TRY(write_tools(&x));
    write_format(&x);
    TRY(write_sampling(&x));
    write_effort(&x);
    if (ask->user.len) {
        json_member_str_raw(&x.w, STR("user"), ask->user);
    }
    if (x.same && ask->metadata.kind != JSON_NONE)
        json_member_raw(&x.w, STR("metadata"), ask->metadata.raw);
    if (ask->stream)
        json_member_raw(&x.w, STR("stream"), STR("true"));
    if (ask->stream)
        json_member_raw(&x.w, STR("stream_options"), STR("{\"include_usage\":true}"));
    write_others(&x);
    json_object_end(&x.w);
    if (out->error != ERR_OK)
        return ask_refuse(ret_problem, out->error, NULL,
                          "The translated request is larger than %zu bytes.", out->max);
    *ret_plan = (struct ask_plan){0};
    return ERR_OK;
}
