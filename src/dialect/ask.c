#include "dialect/ask.h"

#include <stdio.h>

#include "base/assert.h"
#include "codec/json_write.h"

enum err ask_refuse(struct openai_problem *ret_problem, enum err e, const char *param,
                    const char *message, ...)
{
    char text[sizeof ret_problem->message];
    va_list args;
    va_start(args, message);
    (void)vsnprintf(text, sizeof text, message, args);
    va_end(args);
    openai_problem_set(ret_problem, openai_error_type(e), param, openai_error_code(e), "%s", text);
    return e;
}

enum err ask_refuse_for(struct openai_problem *ret_problem, const char *target, const char *param,
                        const char *what)
{
    return ask_refuse(ret_problem, ERR_UNSUPPORTED, param,
                      "%s cannot be translated to %s: leave it out, or choose another target.",
                      what, target);
}

enum err ask_refuse_tool(struct openai_problem *ret_problem, const char *target,
                         const struct ask_tool *tool)
{
    char what[96];
    (void)snprintf(what, sizeof what, "A tool of type '%.*s'", STR_ARG(tool->type));
    return ask_refuse_for(ret_problem, target, "tools", what);
}

/* ---- Texts ---- */

struct str ask_escape(struct str plain, struct arena *a)
{
    struct buf text BUF_AUTO;
    buf_init(&text, plain.len * 6 + 1);
    json_escape_append(&text, plain);
    ASSERT(text.error == ERR_OK);
    return arena_str(a, buf_str(&text));
}

struct str ask_name(const struct json_value *value, struct arena *a)
{
    if (value->escape_bytes == 0)
        return json_text_raw(value);
    return ask_escape(json_text(value, a), a);
}

struct str ask_unescape(struct str escaped, struct arena *a)
{
    if (escaped.len == 0 || !memchr(escaped.ptr, '\\', escaped.len))
        return escaped;
    struct buf quoted BUF_AUTO;
    struct json_value value;
    buf_init(&quoted, escaped.len + 2);
    buf_append_char(&quoted, '"');
    buf_append_str(&quoted, escaped);
    buf_append_char(&quoted, '"');
    enum err e = json_validate(buf_str(&quoted), 1, &value);
    ASSERT(e == ERR_OK);
    return json_text(&value, a);
}

bool ask_model_starts(struct str model, struct str prefix)
{
    while (str_index(model, '/') >= 0)
        model = str_skip(model, (size_t)str_index(model, '/') + 1);
    return str_starts_nocase(model, prefix);
}

/* ---- Members ---- */

const struct ask_member *ask_member_find(const struct ask *ask, struct str key)
{
    for (const struct ask_member *m = ask->others; m; m = m->next)
        if (str_eq(m->key, key))
            return m;
    return NULL;
}

static bool among(struct str key, const struct str *known, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(key, known[i]))
            return true;
    return false;
}

enum err ask_members_check(const struct ask *ask, const struct str *known, size_t count,
                           const char *target, struct openai_problem *ret_problem)
{
    for (const struct ask_member *m = ask->others; m; m = m->next) {
        if (m->class != ASK_MEMBER_NEEDED || among(m->key, known, count))
            continue;
        char key[64];
        (void)snprintf(key, sizeof key, "%.*s", STR_ARG(m->key));
        char quoted[sizeof key + 2];
        (void)snprintf(quoted, sizeof quoted, "'%s'", key);
        return ask_refuse_for(ret_problem, target, key, quoted);
    }
    return ERR_OK;
}

/* ---- Arguments ---- */

struct str ask_arguments(struct str arguments, struct arena *a)
{
    struct json_value value;
    struct str text = str_trim(arguments);
    if (text.len == 0)
        return STR("{}");
    if (json_validate(text, JSON_DEPTH_MAX, &value) == ERR_OK && value.kind == JSON_OBJECT)
        return value.raw;
    struct buf wrapped BUF_AUTO;
    struct json_writer w;
    buf_init(&wrapped, arguments.len * 6 + 32);
    json_writer_init(&w, &wrapped);
    json_object_begin(&w);
    json_member_str(&w, STR("raw_arguments"), arguments);
    json_object_end(&w);
    ASSERT(wrapped.error == ERR_OK);
    return arena_str(a, buf_str(&wrapped));
}

/* ---- Effort ---- */

struct effort_row {
    struct str name;
    int64_t budget;
};

static const struct effort_row efforts[] = {
    [ASK_EFFORT_ABSENT] = {{NULL, 0}, 0},
    [ASK_EFFORT_NONE] = {STR_INIT("none"), 0},
    [ASK_EFFORT_MINIMAL] = {STR_INIT("minimal"), 1024},
    [ASK_EFFORT_LOW] = {STR_INIT("low"), 2048},
    [ASK_EFFORT_MEDIUM] = {STR_INIT("medium"), 8192},
    [ASK_EFFORT_HIGH] = {STR_INIT("high"), 16384},
    [ASK_EFFORT_XHIGH] = {STR_INIT("xhigh"), 24576},
    [ASK_EFFORT_MAX] = {STR_INIT("max"), 32768},
};

struct str ask_effort_name(enum ask_effort effort)
{
    return efforts[effort].name;
}

enum ask_effort ask_effort_of(const struct json_value *value)
{
    for (enum ask_effort e = ASK_EFFORT_NONE; e <= ASK_EFFORT_MAX; e++)
        if (json_eq(value, efforts[e].name))
            return e;
    return ASK_EFFORT_ABSENT;
}

int64_t ask_effort_budget(enum ask_effort effort)
{
    return efforts[effort].budget;
}

/* The least effort whose budget is enough; nobody is asked for more than "high" by a number. */
enum ask_effort ask_budget_effort(int64_t budget)
{
    if (budget <= 0)
        return ASK_EFFORT_ABSENT;
    enum ask_effort e = ASK_EFFORT_LOW;
    while (e < ASK_EFFORT_HIGH && efforts[e].budget < budget)
        e++;
    return e;
}

/* ---- Sources ---- */

struct ask_source ask_source_of_url(struct str escaped)
{
    struct ask_source source = {.kind = ASK_SOURCE_URL, .data = escaped};
    if (!str_starts_nocase(escaped, STR("data:")))
        return source;
    struct str rest = str_skip(escaped, 5);
    struct str head = str_split(&rest, ',');
    ptrdiff_t base64 = str_find(head, STR(";base64"));
    if (!rest.ptr || base64 < 0)
        return source;
    struct str media = str_take(head, (size_t)base64);
    ptrdiff_t parameter = str_index(media, ';');
    source.kind = ASK_SOURCE_BASE64;
    source.media_type = parameter < 0 ? media : str_take(media, (size_t)parameter);
    source.data = rest;
    return source;
}
