/* OpenAI's chat completions as an ask. What becomes of each member in other dialects is listed in
 * docs/dialects.md. */
#include <stdio.h>

#include "dialect/ask_read.h"
#include "dialect/fields.h"
#include "dialect/openai_int.h"

enum { PARAM_BYTES = 64 };

/* ---- Parts ---- */

enum { P_TYPE, P_TEXT, P_IMAGE, P_AUDIO, P_FILE, P_REFUSAL, P_CACHE, P_BREAKPOINT, P_COUNT };
static const struct str part_names[P_COUNT] = {
    STR_INIT("type"),          STR_INIT("text"),
    STR_INIT("image_url"),     STR_INIT("input_audio"),
    STR_INIT("file"),          STR_INIT("refusal"),
    STR_INIT("cache_control"), STR_INIT("prompt_cache_breakpoint"),
};

static void read_image(struct ask_reading *x, const struct json_value *image,
                       struct ask_parts *parts)
{
    struct json_value url = image->kind == JSON_STRING ? *image : field_of(image, STR("url"));
    struct json_value detail = field_of(image, STR("detail"));
    struct ask_part *part = ask_part_add(x, parts, ASK_IMAGE);
    if (!part)
        return;
    part->source = ask_source_of_url(ask_string(x, &url, "image_url.url"));
    part->source.detail = ask_name(&detail, x->a);
}

static void read_audio(struct ask_reading *x, const struct json_value *audio,
                       struct ask_parts *parts)
{
    struct json_value data = field_of(audio, STR("data")), format = field_of(audio, STR("format"));
    struct ask_part *part = ask_part_add(x, parts, ASK_AUDIO);
    if (!part)
        return;
    part->source.kind = ASK_SOURCE_BASE64;
    part->source.data = ask_string(x, &data, "input_audio.data");
    part->source.media_type = json_eq(&format, STR("mp3")) ? STR("audio/mpeg") : STR("audio/wav");
}

/* file_data is a data: URL, or, some say, the bare base64 of a PDF. */
static void read_file(struct ask_reading *x, const struct json_value *file, struct ask_parts *parts)
{
    enum { F_DATA, F_ID, F_NAME, F_COUNT };
    static const struct str names[F_COUNT] = {STR_INIT("file_data"), STR_INIT("file_id"),
                                              STR_INIT("filename")};
    struct json_value f[F_COUNT];
    fields_of(file, FIELDS(names), f);
    struct ask_part *part = ask_part_add(x, parts, ASK_FILE);
    if (!part)
        return;
    if (f[F_DATA].kind == JSON_STRING) {
        part->source = ask_source_of_url(ask_name(&f[F_DATA], x->a));
        bool url = str_starts_nocase(part->source.data, STR("http"));
        if (part->source.kind == ASK_SOURCE_URL && !url) {
            part->source.kind = ASK_SOURCE_BASE64;
            part->source.media_type = STR("application/pdf");
        }
    } else {
        part->source.kind = ASK_SOURCE_ID;
        part->source.data = ask_string(x, &f[F_ID], "file.file_id");
    }
    part->source.name = ask_name(&f[F_NAME], x->a);
}

static void read_part(struct ask_reading *x, const struct json_value *part, struct ask_parts *parts)
{
    struct json_value p[P_COUNT];
    struct ask_part *before = parts->last;
    fields_of(part, FIELDS(part_names), p);
    if (json_eq(&p[P_TYPE], STR("text")) && p[P_TEXT].kind == JSON_STRING) {
        ask_text_add(x, parts, ask_text(&p[P_TEXT]));
    } else if (json_eq(&p[P_TYPE], STR("image_url"))) {
        read_image(x, &p[P_IMAGE], parts);
    } else if (json_eq(&p[P_TYPE], STR("input_audio"))) {
        read_audio(x, &p[P_AUDIO], parts);
    } else if (json_eq(&p[P_TYPE], STR("file"))) {
        read_file(x, &p[P_FILE], parts);
    } else if (json_eq(&p[P_TYPE], STR("refusal")) && p[P_REFUSAL].kind == JSON_STRING) {
        struct ask_part *refusal = ask_part_add(x, parts, ASK_REFUSAL);
        if (refusal)
            refusal->text = ask_text(&p[P_REFUSAL]);
    } else {
        ask_other_add(x, parts, part, &p[P_TYPE]);
    }
    if (parts->last && parts->last != before) {
        parts->last->cache = ask_object(x, &p[P_CACHE], "cache_control");
        if (p[P_CACHE].kind == JSON_NONE && p[P_BREAKPOINT].kind == JSON_OBJECT)
            parts->last->cache = openai_ephemeral;
    }
}

/* A message's content: a string, parts, or null. */
static void read_content(struct ask_reading *x, const struct json_value *content, uint32_t at,
                         struct ask_parts *parts)
{
    struct json_reader r;
    if (content->kind == JSON_STRING) {
        ask_text_add(x, parts, ask_text(content));
    } else if (content->kind == JSON_ARRAY) {
        json_reader_init(&r, content->raw, JSON_DEPTH_MAX);
        (void)json_enter(&r, JSON_ARRAY);
        while (json_next_element(&r) && x->error == ERR_OK) {
            struct json_value part = json_take(&r);
            read_part(x, &part, parts);
        }
    } else if (content->kind != JSON_NONE) {
        char param[PARAM_BYTES];
        (void)snprintf(param, sizeof param, "messages[%u].content", at);
        ask_wrong(x, ERR_INVALID, param, "'%s' must be a string or a list of parts, but it is %s.",
                  param, json_kind_text(content->kind));
    }
}

/* ---- Messages ---- */

enum {
    M_ROLE,
    M_CONTENT,
    M_NAME,
    M_CALLS,
    M_CALL_ID,
    M_REFUSAL,
    M_REASONING_CONTENT,
    M_REASONING,
    M_THINKING,
    M_CACHE,
    M_FUNCTION_CALL,
    M_AUDIO,
    M_COUNT
};
static const struct str message_names[M_COUNT] = {
    STR_INIT("role"),
    STR_INIT("content"),
    STR_INIT("name"),
    STR_INIT("tool_calls"),
    STR_INIT("tool_call_id"),
    STR_INIT("refusal"),
    STR_INIT("reasoning_content"),
    STR_INIT("reasoning"),
    STR_INIT("thinking_blocks"),
    STR_INIT("cache_control"),
    STR_INIT("function_call"),
    STR_INIT("audio"),
};

static void read_thinking_block(struct ask_reading *x, const struct json_value *block,
                                struct ask_parts *parts)
{
    enum { T_TYPE, T_THINKING, T_SIGNATURE, T_DATA, T_COUNT };
    static const struct str names[T_COUNT] = {STR_INIT("type"), STR_INIT("thinking"),
                                              STR_INIT("signature"), STR_INIT("data")};
    struct json_value t[T_COUNT];
    fields_of(block, FIELDS(names), t);
    bool redacted = json_eq(&t[T_TYPE], STR("redacted_thinking"));
    struct ask_part *part = ask_part_add(x, parts, redacted ? ASK_REDACTED : ASK_THINKING);
    if (!part)
        return;
    part->text = ask_text(redacted ? &t[T_DATA] : &t[T_THINKING]);
    part->signature = ask_text(&t[T_SIGNATURE]);
}

static void read_thinking(struct ask_reading *x, const struct json_value m[M_COUNT],
                          struct ask_parts *parts)
{
    struct json_reader r;
    struct ask_part *before = parts->last;
    if (m[M_THINKING].kind == JSON_ARRAY) {
        json_reader_init(&r, m[M_THINKING].raw, JSON_DEPTH_MAX);
        (void)json_enter(&r, JSON_ARRAY);
        while (json_next_element(&r) && x->error == ERR_OK) {
            struct json_value block = json_take(&r);
            read_thinking_block(x, &block, parts);
        }
    }
    if (parts->last != before)
        return;
    const struct json_value *reasoning =
        m[M_REASONING_CONTENT].kind == JSON_STRING ? &m[M_REASONING_CONTENT] : &m[M_REASONING];
    if (json_text_len(reasoning) == 0)
        return;
    struct ask_part *part = ask_part_add(x, parts, ASK_THINKING);
    if (part)
        part->text = ask_text(reasoning);
}

static void read_call(struct ask_reading *x, const struct json_value *call, struct ask_parts *parts)
{
    enum { C_ID, C_TYPE, C_FUNCTION, C_EXTRA, C_COUNT };
    static const struct str names[C_COUNT] = {STR_INIT("id"), STR_INIT("type"),
                                              STR_INIT("function"), STR_INIT("extra_content")};
    struct json_value c[C_COUNT];
    fields_of(call, FIELDS(names), c);
    if (c[C_FUNCTION].kind != JSON_OBJECT) {
        ask_other_add(x, parts, call, &c[C_TYPE]);
        return;
    }
    struct ask_part *part = ask_part_add(x, parts, ASK_TOOL_CALL);
    if (!part)
        return;
    struct json_value name = field_of(&c[C_FUNCTION], STR("name"));
    struct json_value arguments = field_of(&c[C_FUNCTION], STR("arguments"));
    struct json_value google = field_of(&c[C_EXTRA], STR("google"));
    struct json_value signature = field_of(&google, STR("thought_signature"));
    part->id = ask_string(x, &c[C_ID], "tool_calls.id");
    part->name = ask_string(x, &name, "tool_calls.function.name");
    part->arguments = arguments.kind == JSON_OBJECT ? arguments.raw : json_text(&arguments, x->a);
    part->signature = ask_text(&signature);
}

static void read_assistant(struct ask_reading *x, const struct json_value m[M_COUNT], uint32_t at,
                           struct ask_parts *parts)
{
    struct json_reader r;
    read_thinking(x, m, parts);
    if (m[M_CONTENT].kind != JSON_STRING || json_text_len(&m[M_CONTENT]) > 0)
        read_content(x, &m[M_CONTENT], at, parts);
    if (json_text_len(&m[M_REFUSAL]) > 0) {
        struct ask_part *refusal = ask_part_add(x, parts, ASK_REFUSAL);
        if (refusal)
            refusal->text = ask_text(&m[M_REFUSAL]);
    }
    if (m[M_CALLS].kind == JSON_ARRAY) {
        json_reader_init(&r, m[M_CALLS].raw, JSON_DEPTH_MAX);
        (void)json_enter(&r, JSON_ARRAY);
        while (json_next_element(&r) && x->error == ERR_OK) {
            struct json_value call = json_take(&r);
            read_call(x, &call, parts);
        }
    }
    if (m[M_AUDIO].kind == JSON_OBJECT) {
        static const struct json_value audio = {STR_INIT("\"audio\""), 0, JSON_STRING};
        ask_other_add(x, parts, &m[M_AUDIO], &audio);
    }
}

static void read_tool_message(struct ask_reading *x, const struct json_value m[M_COUNT],
                              uint32_t at, struct ask_parts *parts)
{
    struct ask_part *result = ask_part_add(x, parts, ASK_TOOL_RESULT);
    struct ask_parts content = {0};
    char param[PARAM_BYTES];
    (void)snprintf(param, sizeof param, "messages[%u].tool_call_id", at);
    if (!result)
        return;
    result->id = ask_string(x, &m[M_CALL_ID], param);
    result->name = ask_name(&m[M_NAME], x->a);
    read_content(x, &m[M_CONTENT], at, &content);
    result->content = content.first;
}

static bool role_of(const struct json_value *role, enum ask_role *ret_role)
{
    static const struct {
        struct str name;
        enum ask_role role;
    } roles[] = {
        {STR_INIT("user"), ASK_USER},        {STR_INIT("assistant"), ASK_ASSISTANT},
        {STR_INIT("system"), ASK_SYSTEM},    {STR_INIT("tool"), ASK_USER},
        {STR_INIT("developer"), ASK_SYSTEM},
    };
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (json_eq(role, roles[i].name)) {
            *ret_role = roles[i].role;
            return true;
        }
    return false;
}

static void read_message(struct ask_reading *x, const struct json_value *value, uint32_t at)
{
    struct json_value m[M_COUNT];
    enum ask_role role;
    struct ask_parts parts = {0};
    char param[PARAM_BYTES];
    fields_of(value, FIELDS(message_names), m);
    if (m[M_FUNCTION_CALL].kind == JSON_OBJECT || json_eq(&m[M_ROLE], STR("function"))) {
        (void)snprintf(param, sizeof param, "messages[%u]", at);
        ask_wrong(x, ERR_UNSUPPORTED, param,
                  "'%s' uses functions, which tools replaced: send tool_calls and tool messages.",
                  param);
        return;
    }
    if (!role_of(&m[M_ROLE], &role)) {
        (void)snprintf(param, sizeof param, "messages[%u].role", at);
        ask_wrong(x, ERR_INVALID, param, "'%s' must be system, developer, user, assistant or tool.",
                  param);
        return;
    }
    struct ask_message *message = ask_message_add(x, role, at);
    if (!message)
        return;
    if (json_eq(&m[M_ROLE], STR("tool"))) {
        read_tool_message(x, m, at, &parts);
    } else {
        message->name = ask_name(&m[M_NAME], x->a);
        if (role == ASK_ASSISTANT)
            read_assistant(x, m, at, &parts);
        else
            read_content(x, &m[M_CONTENT], at, &parts);
    }
    if (parts.last && m[M_CACHE].kind == JSON_OBJECT)
        parts.last->cache = m[M_CACHE];
    message->parts = parts.first;
}

/* ---- Tools ---- */

static void read_tool(struct ask_reading *x, const struct json_value *value, uint32_t at)
{
    enum { T_TYPE, T_FUNCTION, T_CACHE, T_COUNT };
    static const struct str names[T_COUNT] = {STR_INIT("type"), STR_INIT("function"),
                                              STR_INIT("cache_control")};
    enum { F_NAME, F_DESCRIPTION, F_PARAMETERS, F_STRICT, F_CACHE, F_COUNT };
    static const struct str function_names[F_COUNT] = {STR_INIT("name"), STR_INIT("description"),
                                                       STR_INIT("parameters"), STR_INIT("strict"),
                                                       STR_INIT("cache_control")};
    struct json_value t[T_COUNT], f[F_COUNT];
    (void)at;
    fields_of(value, FIELDS(names), t);
    bool function = t[T_FUNCTION].kind == JSON_OBJECT;
    struct ask_tool *tool = ask_tool_add(x, function ? ASK_TOOL_FUNCTION : ASK_TOOL_OTHER);
    if (!tool)
        return;
    tool->type = ask_name(&t[T_TYPE], x->a);
    tool->raw = value->raw;
    if (!function)
        return;
    fields_of(&t[T_FUNCTION], FIELDS(function_names), f);
    tool->name = ask_string(x, &f[F_NAME], "tools.function.name");
    tool->description = ask_text(&f[F_DESCRIPTION]);
    tool->schema = ask_object(x, &f[F_PARAMETERS], "tools.function.parameters");
    tool->strict = ask_bool(x, &f[F_STRICT], "tools.function.strict");
    tool->cache = t[T_CACHE].kind == JSON_OBJECT ? t[T_CACHE] : f[F_CACHE];
}

static struct str choice_name(struct ask_reading *x, const struct json_value *choice)
{
    struct json_value function = field_of(choice, STR("function"));
    struct json_value name = field_of(&function, STR("name"));
    return ask_name(&name, x->a);
}

static enum ask_choice_kind mode_of(const struct json_value *mode)
{
    if (json_eq(mode, STR("auto")))
        return ASK_CHOICE_AUTO;
    if (json_eq(mode, STR("none")))
        return ASK_CHOICE_NONE;
    return json_eq(mode, STR("required")) ? ASK_CHOICE_ANY : ASK_CHOICE_ABSENT;
}

/* Names in a list of tools, at most ASK_TOOLS_MAX. */
static size_t read_allowed_names(struct ask_reading *x, const struct json_value *list,
                                 struct str *names)
{
    struct json_reader r;
    size_t count = 0;
    json_reader_init(&r, list->raw, JSON_DEPTH_MAX);
    if (list->kind == JSON_ARRAY && json_enter(&r, JSON_ARRAY))
        while (json_next_element(&r) && count < ASK_TOOLS_MAX) {
            struct json_value tool = json_take(&r);
            names[count++] = choice_name(x, &tool);
        }
    return count;
}

/* Only some tools may be called: the others are as good as not there. */
static void read_allowed(struct ask_reading *x, const struct json_value *choice)
{
    struct json_value inner = field_of(choice, STR("allowed_tools"));
    struct json_value mode = field_of(&inner, STR("mode"));
    struct json_value list = field_of(&inner, STR("tools"));
    struct str *names = ARENA_ARRAY(x->a, struct str, ASK_TOOLS_MAX);
    size_t count = read_allowed_names(x, &list, names);
    x->ask->tool_choice = mode_of(&mode);
    struct ask_tool **link = &x->ask->tools;
    while (*link) {
        size_t i = 0;
        while (i < count && !str_eq(names[i], (*link)->name))
            i++;
        if (i < count) {
            link = &(*link)->next;
        } else {
            *link = (*link)->next;
            x->ask->tool_count--;
        }
    }
}

static void read_choice(struct ask_reading *x, const struct json_value *choice)
{
    struct ask *ask = x->ask;
    if (choice->kind == JSON_NONE)
        return;
    struct json_value type = field_of(choice, STR("type"));
    if (choice->kind == JSON_STRING) {
        ask->tool_choice = mode_of(choice);
    } else if (json_eq(&type, STR("allowed_tools"))) {
        read_allowed(x, choice);
    } else {
        ask->tool_name = choice_name(x, choice);
        ask->tool_choice = ask->tool_name.len ? ASK_CHOICE_NAMED : ASK_CHOICE_ABSENT;
    }
    if (ask->tool_choice == ASK_CHOICE_ABSENT)
        ask_wrong(x, ERR_INVALID, "tool_choice",
                  "'tool_choice' must be none, auto, required, or name a function.");
}

/* ---- The rest ---- */

static void read_format(struct ask_reading *x, const struct json_value *format)
{
    enum { S_NAME, S_DESCRIPTION, S_SCHEMA, S_STRICT, S_COUNT };
    static const struct str names[S_COUNT] = {STR_INIT("name"), STR_INIT("description"),
                                              STR_INIT("schema"), STR_INIT("strict")};
    struct json_value s[S_COUNT];
    struct ask_format *f = &x->ask->format;
    struct json_value type = field_of(format, STR("type"));
    struct json_value schema = field_of(format, STR("json_schema"));
    if (format->kind == JSON_NONE || json_eq(&type, STR("text")))
        return;
    if (json_eq(&type, STR("json_object"))) {
        f->kind = ASK_FORMAT_JSON;
        return;
    }
    fields_of(&schema, FIELDS(names), s);
    if (!json_eq(&type, STR("json_schema")) || s[S_SCHEMA].kind != JSON_OBJECT) {
        ask_wrong(x, ERR_INVALID, "response_format",
                  "'response_format' must be text, json_object, or json_schema with a schema.");
        return;
    }
    *f = (struct ask_format){
        .kind = ASK_FORMAT_SCHEMA,
        .name = ask_name(&s[S_NAME], x->a),
        .description = ask_text(&s[S_DESCRIPTION]),
        .schema = s[S_SCHEMA],
        .strict = ask_bool(x, &s[S_STRICT], "response_format.json_schema.strict"),
    };
}

enum {
    Q_MODEL,
    Q_MESSAGES,
    Q_TOOLS,
    Q_CHOICE,
    Q_PARALLEL,
    Q_FORMAT,
    Q_MAX_TOKENS,
    Q_MAX_COMPLETION,
    Q_TEMPERATURE,
    Q_TOP_P,
    Q_TOP_K,
    Q_SEED,
    Q_PRESENCE,
    Q_FREQUENCY,
    Q_STOP,
    Q_N,
    Q_LOGPROBS,
    Q_TOP_LOGPROBS,
    Q_EFFORT,
    Q_THINKING,
    Q_USER,
    Q_SAFETY,
    Q_METADATA,
    Q_STREAM,
    Q_STREAM_OPTIONS,
    Q_COUNT
};
static const struct str ask_names[Q_COUNT] = {
    [Q_MODEL] = STR_INIT("model"),
    [Q_MESSAGES] = STR_INIT("messages"),
    [Q_TOOLS] = STR_INIT("tools"),
    [Q_CHOICE] = STR_INIT("tool_choice"),
    [Q_PARALLEL] = STR_INIT("parallel_tool_calls"),
    [Q_FORMAT] = STR_INIT("response_format"),
    [Q_MAX_TOKENS] = STR_INIT("max_tokens"),
    [Q_MAX_COMPLETION] = STR_INIT("max_completion_tokens"),
    [Q_TEMPERATURE] = STR_INIT("temperature"),
    [Q_TOP_P] = STR_INIT("top_p"),
    [Q_TOP_K] = STR_INIT("top_k"),
    [Q_SEED] = STR_INIT("seed"),
    [Q_PRESENCE] = STR_INIT("presence_penalty"),
    [Q_FREQUENCY] = STR_INIT("frequency_penalty"),
    [Q_STOP] = STR_INIT("stop"),
    [Q_N] = STR_INIT("n"),
    [Q_LOGPROBS] = STR_INIT("logprobs"),
    [Q_TOP_LOGPROBS] = STR_INIT("top_logprobs"),
    [Q_EFFORT] = STR_INIT("reasoning_effort"),
    [Q_THINKING] = STR_INIT("thinking"),
    [Q_USER] = STR_INIT("user"),
    [Q_SAFETY] = STR_INIT("safety_identifier"),
    [Q_METADATA] = STR_INIT("metadata"),
    [Q_STREAM] = STR_INIT("stream"),
    [Q_STREAM_OPTIONS] = STR_INIT("stream_options"),
};

/* Members without a field, and what they are to others (docs/dialects.md). */
static const struct {
    struct str name;
    enum ask_member_class class;
} openai_others[] = {
    {STR_INIT("store"), ASK_MEMBER_HINT},
    {STR_INIT("service_tier"), ASK_MEMBER_HINT},
    {STR_INIT("prompt_cache_key"), ASK_MEMBER_HINT},
    {STR_INIT("prompt_cache_options"), ASK_MEMBER_HINT},
    {STR_INIT("prompt_cache_retention"), ASK_MEMBER_HINT},
    {STR_INIT("prediction"), ASK_MEMBER_HINT},
    {STR_INIT("verbosity"), ASK_MEMBER_HINT},
    {STR_INIT("logit_bias"), ASK_MEMBER_NEEDED},
    {STR_INIT("modalities"), ASK_MEMBER_NEEDED},
    {STR_INIT("audio"), ASK_MEMBER_NEEDED},
    {STR_INIT("web_search_options"), ASK_MEMBER_NEEDED},
    {STR_INIT("moderation"), ASK_MEMBER_NEEDED},
    {STR_INIT("functions"), ASK_MEMBER_NEEDED},
    {STR_INIT("function_call"), ASK_MEMBER_NEEDED},
};

static bool only_text(const struct json_value *modalities)
{
    struct json_reader r;
    bool only = true;
    json_reader_init(&r, modalities->raw, JSON_DEPTH_MAX);
    if (json_enter(&r, JSON_ARRAY))
        while (json_next_element(&r)) {
            struct json_value value = json_take(&r);
            only &= json_eq(&value, STR("text"));
        }
    return only;
}

static void take_other(void *arg, const struct json_value *key, const struct json_value *value)
{
    struct ask_reading *x = arg;
    enum ask_member_class class = ASK_MEMBER_UNKNOWN;
    if (value->kind == JSON_NULL)
        return;
    for (size_t i = 0; i < sizeof openai_others / sizeof *openai_others; i++)
        if (json_eq(key, openai_others[i].name))
            class = openai_others[i].class;
    if (json_eq(key, STR("modalities")) && only_text(value))
        return;
    ask_member_add(x, class, key, value);
}

static void read_thinking_options(struct ask_reading *x, const struct json_value q[Q_COUNT])
{
    struct ask *ask = x->ask;
    struct json_value type = field_of(&q[Q_THINKING], STR("type"));
    struct json_value budget = field_of(&q[Q_THINKING], STR("budget_tokens"));
    ask->effort = ask_effort_of(&q[Q_EFFORT]);
    if (q[Q_EFFORT].kind != JSON_NONE && ask->effort == ASK_EFFORT_ABSENT)
        ask_wrong(x, ERR_INVALID, "reasoning_effort",
                  "'reasoning_effort' must be none, minimal, low, medium, high, xhigh or max.");
    if (json_eq(&type, STR("disabled")) || ask->effort == ASK_EFFORT_NONE)
        ask->thinking = ASK_THINKING_OFF;
    else if (json_eq(&type, STR("adaptive")))
        ask->thinking = ASK_THINKING_ADAPTIVE;
    else if (json_eq(&type, STR("enabled")) || ask->effort != ASK_EFFORT_ABSENT)
        ask->thinking = ASK_THINKING_ON;
    ask->thinking_budget = ask_count(x, &budget, 0, "thinking.budget_tokens");
}

static void read_sampling(struct ask_reading *x, const struct json_value q[Q_COUNT])
{
    struct ask *ask = x->ask;
    int64_t max_tokens = ask_count(x, &q[Q_MAX_TOKENS], 0, "max_tokens");
    int64_t max_completion = ask_count(x, &q[Q_MAX_COMPLETION], 0, "max_completion_tokens");
    ask->max_tokens = max_completion > 0 ? max_completion : max_tokens;
    ask->temperature = ask_number(x, &q[Q_TEMPERATURE], "temperature");
    ask->top_p = ask_number(x, &q[Q_TOP_P], "top_p");
    ask->top_k = ask_number(x, &q[Q_TOP_K], "top_k");
    ask->seed = ask_number(x, &q[Q_SEED], "seed");
    ask->presence_penalty = ask_number(x, &q[Q_PRESENCE], "presence_penalty");
    ask->frequency_penalty = ask_number(x, &q[Q_FREQUENCY], "frequency_penalty");
    ask_stops(x, &q[Q_STOP], "stop");
    if (q[Q_N].kind != JSON_NONE)
        ask->n = ask_count(x, &q[Q_N], 1, "n");
    ask->logprobs = ask_bool(x, &q[Q_LOGPROBS], "logprobs").kind == JSON_TRUE;
    ask->top_logprobs = ask_count(x, &q[Q_TOP_LOGPROBS], 0, "top_logprobs");
}

enum err openai_ask_read(struct str body, unsigned max_depth, struct arena *a, struct ask **ret_ask,
                         struct openai_problem *ret_problem)
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
    ask->dialect = dialect_openai.name;
    if (q[Q_MODEL].kind != JSON_STRING)
        ask_wrong(&x, ERR_INVALID, "model", "'model' must be a string, but it is %s.",
                  json_kind_text(q[Q_MODEL].kind));
    ask->model = json_text(&q[Q_MODEL], a);
    ask_messages(&x, &q[Q_MESSAGES], read_message);
    ask_each(&x, &q[Q_TOOLS], read_tool);
    read_choice(&x, &q[Q_CHOICE]);
    ask->parallel_tools = ask_bool(&x, &q[Q_PARALLEL], "parallel_tool_calls");
    read_format(&x, &q[Q_FORMAT]);
    read_sampling(&x, q);
    read_thinking_options(&x, q);
    ask->user = ask_name(q[Q_USER].kind == JSON_STRING ? &q[Q_USER] : &q[Q_SAFETY], a);
    ask->metadata = ask_object(&x, &q[Q_METADATA], "metadata");
    ask->stream = q[Q_STREAM].kind == JSON_TRUE;
    struct json_value usage = field_of(&q[Q_STREAM_OPTIONS], STR("include_usage"));
    ask->include_usage = usage.kind == JSON_TRUE;
    if (x.error == ERR_OK)
        *ret_ask = ask;
    return x.error;
}
