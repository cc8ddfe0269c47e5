/* Messages of a chat: roles and text. */
#include <stdio.h>
#include <string.h>

#include "model/local/engine_request_int.h"

/* ---- messages ---- */

struct place {
    char text[48]; /* "messages[3].content[1]" */
};

static struct place place_of(size_t message, const char *field, ptrdiff_t part)
{
    struct place at;
    if (part < 0)
        snprintf(at.text, sizeof at.text, "messages[%zu]%s", message, field);
    else
        snprintf(at.text, sizeof at.text, "messages[%zu]%s[%td]", message, field, part);
    return at;
}

/* Append a string value's text. */
static enum err add_text(struct engine_parse *p, const struct json_value *v, const char *param,
                         struct buf *text)
{
    size_t before = text->len;
    if (v->kind != JSON_STRING)
        return engine_parse_fail(p, param, "'%s' must be a string", param);
    json_text_append(v, text);
    if (text->len > before && memchr(text->ptr + before, 0, text->len - before))
        return engine_parse_fail(p, param, "'%s' holds a NUL character", param);
    return ERR_OK;
}

static enum err read_part(struct engine_parse *p, const char *param, struct buf *text)
{
    struct json_value key, type = {0}, value = {0};
    if (!json_enter(&p->json, JSON_OBJECT))
        return engine_parse_fail(p, param, "'%s' must be an object with type and text", param);
    while (json_next_member(&p->json, &key)) {
        if (json_eq(&key, STR("type")))
            type = json_take(&p->json);
        else if (json_eq(&key, STR("text")))
            value = json_take(&p->json);
    }
    if (p->json.fault)
        return ERR_INVALID;
    if (type.kind != JSON_STRING)
        return engine_parse_fail(p, param, "'%s': its type is missing; a text's is \"text\"",
                                 param);
    if (!json_eq(&type, STR("text"))) /* without its name: the caller may have written another */
        return engine_parse_fail(p, param,
                                 "'%s' is not text, and local models read text only: leave images, "
                                 "sound and files out, or name another model",
                                 param);
    return add_text(p, &value, param, text);
}

static enum err read_content(struct engine_parse *p, size_t index, struct buf *text)
{
    struct place at = place_of(index, ".content", -1);
    enum json_kind kind = json_peek(&p->json);
    if (kind == JSON_NULL)
        return (void)json_take(&p->json), ERR_OK;
    if (kind == JSON_STRING) {
        struct json_value v = json_take(&p->json);
        return add_text(p, &v, at.text, text);
    }
    if (!json_enter(&p->json, JSON_ARRAY))
        return engine_parse_fail(p, at.text, "'%s' must be a string or a list of text parts",
                                 at.text);
    for (ptrdiff_t part = 0; json_next_element(&p->json); part++) {
        at = place_of(index, ".content", part);
        if (part == ENGINE_PARTS_MAX)
            return engine_parse_fail(p, at.text, "a message has more than %d parts",
                                     ENGINE_PARTS_MAX);
        TRY(read_part(p, at.text, text));
    }
    return ERR_OK;
}

static enum err read_role(struct engine_parse *p, size_t index, struct str *role)
{
    struct place at = place_of(index, ".role", -1);
    struct json_value v = json_take(&p->json);
    static const struct str known[] = {STR_INIT("system"), STR_INIT("user"), STR_INIT("assistant"),
                                       STR_INIT("tool")};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (json_eq(&v, known[i]))
            return *role = known[i], ERR_OK;
    if (json_eq(&v, STR("developer")))
        return *role = known[0], ERR_OK;
    return engine_parse_fail(p, at.text, "'%s' must be system, developer, user, assistant or tool",
                             at.text);
}

/* A text, or null. */
static enum err read_optional(struct engine_parse *p, size_t index, const char *field,
                              struct str *text)
{
    struct place at = place_of(index, field, -1);
    struct json_value v = json_take(&p->json);
    struct str value = json_text(&v, &p->request->arena);
    if (v.kind == JSON_NULL)
        return ERR_OK;
    if (v.kind != JSON_STRING || (value.len && memchr(value.ptr, 0, value.len)))
        return engine_parse_fail(p, at.text, "'%s' must be a string without a NUL", at.text);
    *text = arena_str(&p->request->arena, value);
    return ERR_OK;
}

static enum err read_message(struct engine_parse *p, size_t index, struct engine_message *m,
                             struct buf *text)
{
    struct json_value key;
    struct place at = place_of(index, "", -1);
    if (!json_enter(&p->json, JSON_OBJECT))
        return engine_parse_fail(p, at.text, "'%s' must be an object with role and content",
                                 at.text);
    *m = (struct engine_message){STR_NONE, STR_NONE, STR_NONE, STR_NONE, STR_NONE, NULL, 0};
    buf_reset(text);
    while (json_next_member(&p->json, &key)) {
        if (json_eq(&key, STR("role"))) {
            TRY(read_role(p, index, &m->role));
        } else if (json_eq(&key, STR("content"))) {
            buf_reset(text);
            TRY(read_content(p, index, text));
        } else if (json_eq(&key, STR("tool_calls"))) {
            TRY(engine_parse_calls(p, at.text, m));
        } else if (json_eq(&key, STR("reasoning_content"))) {
            TRY(read_optional(p, index, ".reasoning_content", &m->reasoning));
        } else if (json_eq(&key, STR("tool_call_id"))) {
            TRY(read_optional(p, index, ".tool_call_id", &m->call_id));
        } else if (json_eq(&key, STR("name"))) {
            TRY(read_optional(p, index, ".name", &m->name));
        } else if (json_eq(&key, STR("function_call")) || json_eq(&key, STR("audio"))) {
            struct json_value v = json_take(&p->json);
            if (v.kind != JSON_NULL && !str_eq(v.raw, STR("[]")))
                return engine_parse_fail(p, at.text, "local models do not support '%.*s' in '%s'",
                                         STR_ARG(json_text_raw(&key)), at.text);
        }
    }
    if (p->json.fault)
        return ERR_INVALID;
    if (!m->role.ptr)
        return engine_parse_fail(p, at.text, "'%s' has no role", at.text);
    m->content = arena_str(&p->request->arena, buf_str(text));
    return ERR_OK;
}

static enum err read_message_list(struct engine_parse *p, struct buf *list, struct buf *text)
{
    struct engine_message m;
    size_t count = 0;
    for (; json_next_element(&p->json); count++) {
        if (count == ENGINE_MESSAGES_MAX)
            return engine_parse_fail(p, "messages", "'messages' has more than %d messages",
                                     ENGINE_MESSAGES_MAX);
        TRY(read_message(p, count, &m, text));
        buf_append(list, &m, sizeof m);
    }
    struct engine_request *r = p->request;
    r->message_count = count;
    r->messages = ARENA_ARRAY(&r->arena, struct engine_message, count + 1);
    if (count)
        memcpy(r->messages, list->ptr, count * sizeof m);
    return ERR_OK;
}

enum err engine_parse_messages(struct engine_parse *p)
{
    BUF_AUTO struct buf list;
    BUF_AUTO struct buf text;
    buf_init(&list, (ENGINE_MESSAGES_MAX + 1) * sizeof(struct engine_message));
    buf_init(&text, p->json.end ? (size_t)(p->json.end - p->json.text) + 1 : 1);
    if (!json_enter(&p->json, JSON_ARRAY))
        return engine_parse_fail(p, "messages", "'messages' must be a list");
    return read_message_list(p, &list, &text);
}
