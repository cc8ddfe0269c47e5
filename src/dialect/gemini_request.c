/* Requests for Gemini: written in one pass over the ask, texts as they stand. */
#include "codec/json_write.h"
#include "dialect/gemini.h"

enum { BUDGET_FLASH_MAX = 24576, BUDGET_MAX = 32768 };

/* What stands for the signature of a call that another model made; the API takes it in place of one
 * (ai.google.dev, "Thought signatures", FAQ). */
static const struct str no_signature = STR_INIT("skip_thought_signature_validator");

struct call_name {
    struct str id;
    struct str name;
};

struct writing {
    const struct ask *ask;
    const struct ask_target *target;
    struct arena *arena;
    struct json_writer w;
    struct openai_problem *problem;
    struct call_name *calls; /* so far, oldest first */
    size_t call_count;
    bool levels; /* Gemini 3 and later: levels of thinking, signatures demanded */
};

static enum err refuse(struct writing *g, const char *param, const char *what, struct str detail)
{
    openai_problem_set(g->problem, "invalid_request_error", param, "unsupported_by_target",
                       "'%.*s' is called by Gemini's API, which %s%s%.*s%s",
                       STR_ARG(str_take(g->target->model, 100)), what, detail.len ? " ('" : "",
                       STR_ARG(str_take(detail, 100)), detail.len ? "')" : "");
    return ERR_UNSUPPORTED;
}

static void text_part(struct writing *g, struct str escaped)
{
    json_object_begin(&g->w);
    json_member_str_raw(&g->w, STR("text"), escaped);
    json_object_end(&g->w);
}

/* ---- Media ---- */

static struct str media_type_of(const struct ask_source *source)
{
    static const struct {
        struct str suffix, type;
    } known[] = {
        {STR_INIT(".png"), STR_INIT("image/png")},
        {STR_INIT(".jpg"), STR_INIT("image/jpeg")},
        {STR_INIT(".jpeg"), STR_INIT("image/jpeg")},
        {STR_INIT(".webp"), STR_INIT("image/webp")},
        {STR_INIT(".gif"), STR_INIT("image/gif")},
        {STR_INIT(".pdf"), STR_INIT("application/pdf")},
    };
    if (str_eq(source->media_type, STR("audio/mpeg")))
        return STR("audio/mp3");
    if (source->media_type.len || source->kind != ASK_SOURCE_URL)
        return source->media_type;
    struct str path = source->data;
    ptrdiff_t query = str_index(path, '?');
    if (query >= 0)
        path = str_take(path, (size_t)query);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_ends(path, known[i].suffix))
            return known[i].type;
    return STR_NONE;
}

static void media_member(struct writing *g, struct str key, struct str data_key,
                         const struct ask_source *source, struct str data)
{
    struct str type = media_type_of(source);
    json_key(&g->w, key);
    json_object_begin(&g->w);
    if (type.len)
        json_member_str_raw(&g->w, STR("mimeType"), type);
    json_member_str_raw(&g->w, data_key, data);
    json_object_end(&g->w);
}

/* Files that Gemini keeps: "files/NAME", or their whole address. */
static enum err kept_file(struct writing *g, const struct ask_source *source)
{
    struct buf uri BUF_AUTO;
    buf_init(&uri, 4096);
    if (str_starts(source->data, STR("files/")))
        buf_append_str(&uri, STR("https://generativelanguage.googleapis.com/v1beta/"));
    else if (!str_starts(source->data, STR("https://")))
        return refuse(g, "messages", "has no file of another provider", source->data);
    buf_append_str(&uri, source->data);
    json_object_begin(&g->w);
    media_member(g, STR("fileData"), STR("fileUri"), source, buf_str(&uri));
    json_object_end(&g->w);
    return ERR_OK;
}

static enum err media_part(struct writing *g, const struct ask_source *source)
{
    switch (source->kind) {
    case ASK_SOURCE_ID: return kept_file(g, source);
    case ASK_SOURCE_TEXT: text_part(g, source->data); return ERR_OK;
    case ASK_SOURCE_BASE64:
        json_object_begin(&g->w);
        media_member(g, STR("inlineData"), STR("data"), source, source->data);
        json_object_end(&g->w);
        return ERR_OK;
    case ASK_SOURCE_URL:
        json_object_begin(&g->w);
        media_member(g, STR("fileData"), STR("fileUri"), source, source->data);
        json_object_end(&g->w);
        return ERR_OK;
    }
    return ERR_OK;
}

/* ---- Results of tools ---- */

static struct str name_of_call(const struct writing *g, const struct ask_part *result)
{
    if (result->name.len)
        return result->name;
    for (size_t i = g->call_count; i > 0; i--)
        if (str_eq(g->calls[i - 1].id, result->id))
            return g->calls[i - 1].name;
    return STR_NONE;
}

static bool is_media(const struct ask_part *p)
{
    return p->kind == ASK_IMAGE || p->kind == ASK_FILE || p->kind == ASK_AUDIO;
}

/* The texts of a result: as the JSON that they are, or as one string. */
static void result_value(struct writing *g, const struct ask_part *result)
{
    struct json_value value;
    size_t texts = 0;
    const struct ask_part *only = NULL;
    for (const struct ask_part *p = result->content; p; p = p->next)
        if (p->kind == ASK_TEXT) {
            only = p;
            texts++;
        }
    if (texts == 1) {
        struct str plain = str_trim(ask_unescape(only->text, g->arena));
        if (plain.len && (*plain.ptr == '{' || *plain.ptr == '[') &&
            json_validate(plain, 64, &value) == ERR_OK) {
            json_raw(&g->w, value.raw);
            return;
        }
    }
    json_str_begin(&g->w);
    for (const struct ask_part *p = result->content; p; p = p->next)
        if (p->kind == ASK_TEXT)
            buf_append_str(g->w.out, p->text);
    json_str_end(&g->w);
}

static enum err check_result(struct writing *g, const struct ask_part *result)
{
    for (const struct ask_part *p = result->content; p; p = p->next)
        if (p->kind != ASK_TEXT && !is_media(p))
            return refuse(g, "messages", "takes no such part in a tool's result", p->type);
    if (!name_of_call(g, result).len) {
        openai_problem_set(g->problem, "invalid_request_error", "messages", NULL,
                           "the result of tool call '%.*s' follows no call of that id",
                           STR_ARG(str_take(result->id, 100)));
        return ERR_UNSUPPORTED;
    }
    return ERR_OK;
}

/* Media of a result stand inside it from Gemini 3 on, and behind all results before. */
static enum err result_media(struct writing *g, const struct ask_part *result)
{
    for (const struct ask_part *p = result->content; p; p = p->next)
        if (is_media(p))
            TRY(media_part(g, &p->source));
    return ERR_OK;
}

static bool has_media(const struct ask_part *result)
{
    const struct ask_part *p = result->content;
    while (p && !is_media(p))
        p = p->next;
    return p != NULL;
}

static enum err result_part(struct writing *g, const struct ask_part *result)
{
    struct json_writer *w = &g->w;
    TRY(check_result(g, result));
    json_object_begin(w);
    json_key(w, STR("functionResponse"));
    json_object_begin(w);
    if (result->id.len)
        json_member_str_raw(w, STR("id"), result->id);
    json_member_str_raw(w, STR("name"), name_of_call(g, result));
    json_key(w, STR("response"));
    json_object_begin(w);
    json_key(w, result->is_error ? STR("error") : STR("output"));
    result_value(g, result);
    json_object_end(w);
    if (g->levels && has_media(result)) {
        json_key(w, STR("parts"));
        json_array_begin(w);
        TRY(result_media(g, result));
        json_array_end(w);
    }
    json_object_end(w);
    json_object_end(w);
    return ERR_OK;
}

/* ---- Turns ---- */

/* The signature that Gemini gave with this thinking; empty: another model's. */
static struct str own_signature(struct str signature)
{
    return str_starts(signature, GEMINI_SIGNATURE_MARK)
               ? str_skip(signature, GEMINI_SIGNATURE_MARK.len)
               : STR_NONE;
}

static void call_part(struct writing *g, const struct ask_part *p, struct str signature)
{
    struct json_writer *w = &g->w;
    json_object_begin(w);
    json_key(w, STR("functionCall"));
    json_object_begin(w);
    if (p->id.len)
        json_member_str_raw(w, STR("id"), p->id);
    json_member_str_raw(w, STR("name"), p->name);
    json_member_raw(w, STR("args"), ask_arguments(p->arguments, g->arena));
    json_object_end(w);
    if (signature.len)
        json_member_str_raw(w, STR("thoughtSignature"), signature);
    json_object_end(w);
    g->calls[g->call_count++] = (struct call_name){p->id, p->name};
}

/* One turn of the model as it is written. */
struct turn {
    struct str signature; /* that came before the part that it belongs to */
    bool called;          /* a call is written */
};

static void signed_text(struct writing *g, struct str text, struct str signature)
{
    json_object_begin(&g->w);
    json_member_str_raw(&g->w, STR("text"), text);
    if (signature.len)
        json_member_str_raw(&g->w, STR("thoughtSignature"), signature);
    json_object_end(&g->w);
}

static enum err model_part(struct writing *g, const struct ask_part *p, struct turn *t)
{
    struct str signature = p->signature.len ? p->signature : t->signature;
    switch (p->kind) {
    case ASK_THINKING:
        if (own_signature(p->signature).len)
            t->signature = own_signature(p->signature);
        return ERR_OK;
    case ASK_REDACTED: return ERR_OK;
    case ASK_TEXT:
    case ASK_REFUSAL:
        signed_text(g, p->text,
                    own_signature(signature).len ? own_signature(signature) : signature);
        t->signature = STR_NONE;
        return ERR_OK;
    case ASK_TOOL_CALL:
        if (own_signature(signature).len)
            signature = own_signature(signature);
        if (!signature.len && g->levels && !t->called)
            signature = no_signature;
        call_part(g, p, signature);
        *t = (struct turn){.called = true};
        return ERR_OK;
    case ASK_IMAGE:
    case ASK_FILE:
    case ASK_AUDIO: return media_part(g, &p->source);
    case ASK_TOOL_RESULT:
    case ASK_OTHER: break;
    }
    return refuse(g, "messages", "takes no such part in an answer", p->type);
}

static enum err user_part(struct writing *g, const struct ask_part *p)
{
    switch (p->kind) {
    case ASK_TEXT:
    case ASK_REFUSAL: text_part(g, p->text); return ERR_OK;
    case ASK_IMAGE:
    case ASK_FILE:
    case ASK_AUDIO: return media_part(g, &p->source);
    case ASK_THINKING:
    case ASK_REDACTED:
    case ASK_TOOL_CALL:
    case ASK_TOOL_RESULT:
    case ASK_OTHER: break;
    }
    return refuse(g, "messages", "takes no such part in a message", p->type);
}

/* Messages of one role that follow one another are one content. */
struct run {
    const struct ask_message *first;
    const struct ask_message *end; /* the first behind it */
};

static bool in_contents(const struct ask_message *m, bool system_too)
{
    return m->role != ASK_SYSTEM || system_too;
}

static enum ask_role role_of(const struct ask_message *m)
{
    return m->role == ASK_ASSISTANT ? ASK_ASSISTANT : ASK_USER;
}

static void content_begin(struct writing *g, struct str role)
{
    json_object_begin(&g->w);
    json_member_str(&g->w, STR("role"), role);
    json_key(&g->w, STR("parts"));
    json_array_begin(&g->w);
}

static void content_end(struct writing *g)
{
    json_array_end(&g->w);
    json_object_end(&g->w);
}

enum which { RESULTS, REST };

/* Does a part have something for that content? */
static bool belongs(const struct writing *g, const struct ask_part *p, enum which which)
{
    bool result = p->kind == ASK_TOOL_RESULT;
    return result == (which == RESULTS) || (result && !g->levels && has_media(p));
}

static bool has_parts(const struct writing *g, const struct run *run, enum which which,
                      bool system_too)
{
    for (const struct ask_message *m = run->first; m != run->end; m = m->next)
        for (const struct ask_part *p = m->parts; p && in_contents(m, system_too); p = p->next)
            if (belongs(g, p, which))
                return true;
    return false;
}

static enum err write_user_part(struct writing *g, const struct ask_part *p, enum which which)
{
    if (p->kind != ASK_TOOL_RESULT)
        return user_part(g, p);
    return which == RESULTS ? result_part(g, p) : result_media(g, p);
}

/* The results of a turn's calls are a content of their own, which follows the calls at once. */
static enum err write_user_run(struct writing *g, const struct run *run, enum which which,
                               bool system_too)
{
    if (!has_parts(g, run, which, system_too))
        return ERR_OK;
    content_begin(g, STR("user"));
    for (const struct ask_message *m = run->first; m != run->end; m = m->next)
        for (const struct ask_part *p = m->parts; p && in_contents(m, system_too); p = p->next)
            if (belongs(g, p, which))
                TRY(write_user_part(g, p, which));
    content_end(g);
    return ERR_OK;
}

static bool is_silent(const struct ask_part *p)
{
    return p->kind == ASK_THINKING || p->kind == ASK_REDACTED;
}

static enum err write_model_run(struct writing *g, const struct run *run)
{
    struct turn turn = {.called = false};
    bool says = false;
    for (const struct ask_message *m = run->first; m != run->end; m = m->next)
        for (const struct ask_part *p = m->parts; p && m->role != ASK_SYSTEM; p = p->next)
            says |= !is_silent(p) || own_signature(p->signature).len;
    if (!says)
        return ERR_OK;
    content_begin(g, STR("model"));
    for (const struct ask_message *m = run->first; m != run->end; m = m->next)
        for (const struct ask_part *p = m->parts; p && m->role != ASK_SYSTEM; p = p->next)
            TRY(model_part(g, p, &turn));
    /* A signature behind the last text: an empty part carries it, as the API itself does it. */
    if (turn.signature.len)
        signed_text(g, STR(""), turn.signature);
    content_end(g);
    return ERR_OK;
}

static enum err write_run(struct writing *g, const struct run *run, bool system_too)
{
    if (role_of(run->first) == ASK_ASSISTANT)
        return write_model_run(g, run);
    TRY(write_user_run(g, run, RESULTS, system_too));
    return write_user_run(g, run, REST, system_too);
}

static enum err write_contents(struct writing *g, bool system_too)
{
    const struct ask_message *m = g->ask->messages;
    json_key(&g->w, STR("contents"));
    json_array_begin(&g->w);
    while (m) {
        if (!in_contents(m, system_too)) {
            m = m->next;
            continue;
        }
        struct run run = {m, m->next};
        while (run.end && (!in_contents(run.end, system_too) || role_of(run.end) == role_of(m)))
            run.end = run.end->next;
        TRY(write_run(g, &run, system_too));
        m = run.end;
    }
    json_array_end(&g->w);
    return ERR_OK;
}

static enum err write_system(struct writing *g)
{
    json_key(&g->w, STR("systemInstruction"));
    json_object_begin(&g->w);
    json_key(&g->w, STR("parts"));
    json_array_begin(&g->w);
    for (const struct ask_message *m = g->ask->messages; m; m = m->next)
        for (const struct ask_part *p = m->parts; p && m->role == ASK_SYSTEM; p = p->next) {
            if (p->kind != ASK_TEXT)
                return refuse(g, "messages", "takes only text as instructions", p->type);
            text_part(g, p->text);
        }
    json_array_end(&g->w);
    json_object_end(&g->w);
    return ERR_OK;
}

static enum err write_messages(struct writing *g)
{
    size_t system = 0, others = 0, calls = 0;
    for (const struct ask_message *m = g->ask->messages; m; m = m->next) {
        *(m->role == ASK_SYSTEM ? &system : &others) += m->parts != NULL;
        for (const struct ask_part *p = m->parts; p; p = p->next)
            calls += p->kind == ASK_TOOL_CALL;
    }
    g->calls = ARENA_ARRAY(g->arena, struct call_name, calls + 1);
    /* Instructions alone are no request to this API: then they are what is said. */
    if (system && others)
        TRY(write_system(g));
    return write_contents(g, others == 0);
}

/* ---- Tools ---- */

static void write_function(struct writing *g, const struct ask_tool *tool)
{
    json_object_begin(&g->w);
    json_member_str_raw(&g->w, STR("name"), tool->name);
    if (tool->description.len)
        json_member_str_raw(&g->w, STR("description"), tool->description);
    if (tool->schema.kind == JSON_OBJECT)
        json_member_raw(&g->w, STR("parametersJsonSchema"), tool->schema.raw);
    json_object_end(&g->w);
}

static enum err write_tools(struct writing *g)
{
    if (!g->ask->tools)
        return ERR_OK;
    json_key(&g->w, STR("tools"));
    json_array_begin(&g->w);
    json_object_begin(&g->w);
    json_key(&g->w, STR("functionDeclarations"));
    json_array_begin(&g->w);
    for (const struct ask_tool *tool = g->ask->tools; tool; tool = tool->next) {
        if (tool->kind != ASK_TOOL_FUNCTION)
            return refuse(g, "tools", "has no such tool", tool->type);
        write_function(g, tool);
    }
    json_array_end(&g->w);
    json_object_end(&g->w);
    json_array_end(&g->w);
    return ERR_OK;
}

static void write_choice(struct writing *g)
{
    struct json_writer *w = &g->w;
    static const struct str modes[] = {
        [ASK_CHOICE_AUTO] = STR_INIT("AUTO"),
        [ASK_CHOICE_NONE] = STR_INIT("NONE"),
        [ASK_CHOICE_ANY] = STR_INIT("ANY"),
        [ASK_CHOICE_NAMED] = STR_INIT("ANY"),
    };
    if (g->ask->tool_choice == ASK_CHOICE_ABSENT || !g->ask->tools)
        return;
    json_key(w, STR("toolConfig"));
    json_object_begin(w);
    json_key(w, STR("functionCallingConfig"));
    json_object_begin(w);
    json_member_str(w, STR("mode"), modes[g->ask->tool_choice]);
    if (g->ask->tool_choice == ASK_CHOICE_NAMED) {
        json_key(w, STR("allowedFunctionNames"));
        json_array_begin(w);
        json_str_raw(w, g->ask->tool_name);
        json_array_end(w);
    }
    json_object_end(w);
    json_object_end(w);
}

/* ---- Generation ---- */

static void member_value(struct writing *g, struct str key, const struct json_value *value)
{
    if (value->kind != JSON_NONE && value->kind != JSON_NULL)
        json_member_raw(&g->w, key, value->raw);
}

static int64_t budget_max(const struct writing *g)
{
    return str_find(g->target->model, STR("flash")) >= 0 ? BUDGET_FLASH_MAX : BUDGET_MAX;
}

/* The effort as one of the levels that there are. */
static struct str level_of(const struct ask *ask)
{
    enum ask_effort effort = ask->effort;
    if (ask->thinking == ASK_THINKING_OFF || effort == ASK_EFFORT_NONE)
        return STR("minimal");
    if (effort == ASK_EFFORT_ABSENT && ask->thinking_budget > 0)
        effort = ask_budget_effort(ask->thinking_budget);
    if (effort == ASK_EFFORT_ABSENT)
        return STR_NONE;
    return effort > ASK_EFFORT_HIGH ? STR("high") : ask_effort_name(effort);
}

/* -1: as much as the model wants; 0: none; below that: not said. */
static int64_t budget_of(const struct writing *g)
{
    const struct ask *ask = g->ask;
    int64_t budget = ask->thinking_budget;
    if (ask->thinking == ASK_THINKING_OFF || ask->effort == ASK_EFFORT_NONE)
        return 0;
    if (budget == 0 && ask->effort != ASK_EFFORT_ABSENT)
        budget = ask_effort_budget(ask->effort);
    if (budget == 0)
        return ask->thinking == ASK_THINKING_ABSENT ? -2 : -1;
    return budget < budget_max(g) ? budget : budget_max(g);
}

static void write_thinking(struct writing *g)
{
    const struct ask *ask = g->ask;
    struct json_writer *w = &g->w;
    bool off = ask->thinking == ASK_THINKING_OFF || ask->effort == ASK_EFFORT_NONE;
    bool shown = ask->thinking >= ASK_THINKING_ON && !ask->thinking_hidden && !off;
    if (ask->thinking == ASK_THINKING_ABSENT && ask->effort == ASK_EFFORT_ABSENT)
        return;
    json_key(w, STR("thinkingConfig"));
    json_object_begin(w);
    struct str level = level_of(ask);
    if (g->levels && level.len)
        json_member_str(w, STR("thinkingLevel"), level);
    else if (!g->levels && budget_of(g) > -2)
        json_member_i64(w, STR("thinkingBudget"), budget_of(g));
    if (shown)
        json_member_bool(w, STR("includeThoughts"), true);
    json_object_end(w);
}

static void write_format(struct writing *g)
{
    const struct ask_format *f = &g->ask->format;
    if (f->kind == ASK_FORMAT_ABSENT)
        return;
    json_member_str(&g->w, STR("responseMimeType"), STR("application/json"));
    if (f->kind == ASK_FORMAT_SCHEMA)
        member_value(g, STR("responseJsonSchema"), &f->schema);
}

static enum err write_stops(struct writing *g)
{
    if (g->ask->stop_count == 0)
        return ERR_OK;
    if (g->ask->stop_count > GEMINI_STOPS_MAX)
        return refuse(g, "stop", "takes at most five stop sequences", STR_NONE);
    json_key(&g->w, STR("stopSequences"));
    json_array_begin(&g->w);
    for (uint32_t i = 0; i < g->ask->stop_count; i++)
        json_str_raw(&g->w, g->ask->stops[i]);
    json_array_end(&g->w);
    return ERR_OK;
}

static enum err write_generation(struct writing *g)
{
    const struct ask *ask = g->ask;
    struct json_writer *w = &g->w;
    if (ask->n > GEMINI_CANDIDATES_MAX)
        return refuse(g, "n", "makes at most eight candidates", STR_NONE);
    json_key(w, STR("generationConfig"));
    json_object_begin(w);
    if (ask->max_tokens > 0)
        json_member_i64(w, STR("maxOutputTokens"), ask->max_tokens);
    member_value(g, STR("temperature"), &ask->temperature);
    member_value(g, STR("topP"), &ask->top_p);
    member_value(g, STR("topK"), &ask->top_k);
    member_value(g, STR("seed"), &ask->seed);
    member_value(g, STR("presencePenalty"), &ask->presence_penalty);
    member_value(g, STR("frequencyPenalty"), &ask->frequency_penalty);
    if (ask->n > 1)
        json_member_i64(w, STR("candidateCount"), ask->n);
    if (ask->logprobs)
        json_member_bool(w, STR("responseLogprobs"), true);
    if (ask->logprobs && ask->top_logprobs > 0)
        json_member_i64(w, STR("logprobs"), ask->top_logprobs);
    TRY(write_stops(g));
    write_format(g);
    write_thinking(g);
    json_object_end(w);
    return ERR_OK;
}

/* ---- The rest ---- */

static bool is_ours(struct str key)
{
    return str_eq(key, STR("contents")) || str_eq(key, STR("systemInstruction")) ||
           str_eq(key, STR("tools")) || str_eq(key, STR("toolConfig")) ||
           str_eq(key, STR("generationConfig"));
}

static enum err write_others(struct writing *g)
{
    for (const struct ask_member *m = g->ask->others; m; m = m->next) {
        if (m->class == ASK_MEMBER_NEEDED || (m->class == ASK_MEMBER_UNKNOWN && is_ours(m->key))) {
            char param[64];
            size_t len = m->key.len < sizeof param - 1 ? m->key.len : sizeof param - 1;
            memcpy(param, m->key.ptr, len);
            param[len] = 0;
            return refuse(g, param, "has nothing for this member", m->key);
        }
        if (m->class != ASK_MEMBER_UNKNOWN)
            continue;
        json_key_raw(&g->w, m->key);
        json_raw(&g->w, m->value.raw);
    }
    return ERR_OK;
}

enum err gemini_write_ask(const struct ask *ask, const struct ask_target *target, struct arena *a,
                          struct buf *out, struct ask_plan *ret_plan,
                          struct openai_problem *ret_problem)
{
    struct writing g = {.ask = ask, .target = target, .arena = a, .problem = ret_problem};
    g.levels = !str_starts(target->model, STR("gemini-1")) &&
               !str_starts(target->model, STR("gemini-2")) &&
               str_starts(target->model, STR("gemini-"));
    json_writer_init(&g.w, out);
    json_object_begin(&g.w);
    TRY(write_messages(&g));
    TRY(write_tools(&g));
    write_choice(&g);
    TRY(write_generation(&g));
    TRY(write_others(&g));
    json_object_end(&g.w);
    if (out->error != ERR_OK) {
        openai_problem_set(ret_problem, "invalid_request_error", NULL, "request_too_large",
                           "the request is larger than %zu bytes in the target's language",
                           out->max);
        return ERR_TOO_LARGE;
    }
    *ret_plan = (struct ask_plan){
        .single_tool = ask->tools && ask->parallel_tools.kind == JSON_FALSE,
    };
    return ERR_OK;
}
