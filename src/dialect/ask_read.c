#include "dialect/ask_read.h"

#include <stdio.h>

#include "dialect/openai_chat.h"

void ask_reading_init(struct ask_reading *x, struct arena *a, struct openai_problem *problem)
{
    *x = (struct ask_reading){.ask = ARENA_NEW(a, struct ask), .a = a, .problem = problem};
    x->ask->n = 1;
}

void ask_wrong(struct ask_reading *x, enum err e, const char *param, const char *message, ...)
{
    char text[sizeof x->problem->message];
    va_list args;
    if (x->error != ERR_OK)
        return;
    va_start(args, message);
    (void)vsnprintf(text, sizeof text, message, args);
    va_end(args);
    x->error = ask_refuse(x->problem, e, param, "%s", text);
}

void ask_body_wrong(struct ask_reading *x, struct str body, unsigned max_depth)
{
    struct json_reader r;
    struct buf what BUF_AUTO;
    buf_init(&what, 128);
    json_reader_init(&r, body, max_depth);
    enum json_kind kind = json_peek(&r);
    if (json_finish(&r)) {
        ask_wrong(x, ERR_INVALID, NULL, "The request's body must be a JSON object, but it is %s.",
                  json_kind_text(kind));
        return;
    }
    json_fault_describe(&r, &what);
    ask_wrong(x, ERR_INVALID, NULL, "The request's body is not valid JSON: %s.", buf_cstr(&what));
}

/* ---- Lists ---- */

struct ask_message *ask_message_add(struct ask_reading *x, enum ask_role role, uint32_t at)
{
    if (x->ask->message_count == ASK_MESSAGES_MAX)
        ask_wrong(x, ERR_TOO_LARGE, "messages", "'messages' holds more than %d of them.",
                  ASK_MESSAGES_MAX);
    if (x->error != ERR_OK)
        return NULL;
    struct ask_message *message = ARENA_NEW(x->a, struct ask_message);
    message->role = role;
    message->at = at;
    if (x->last_message)
        x->last_message->next = message;
    else
        x->ask->messages = message;
    x->last_message = message;
    x->ask->message_count++;
    return message;
}

struct ask_part *ask_part_add(struct ask_reading *x, struct ask_parts *to, enum ask_part_kind kind)
{
    if (x->parts == ASK_PARTS_MAX)
        ask_wrong(x, ERR_TOO_LARGE, "messages", "The messages hold more than %d parts.",
                  ASK_PARTS_MAX);
    if (x->error != ERR_OK)
        return NULL;
    struct ask_part *part = ARENA_NEW(x->a, struct ask_part);
    part->kind = kind;
    if (to->last)
        to->last->next = part;
    else
        to->first = part;
    to->last = part;
    x->parts++;
    return part;
}

void ask_text_add(struct ask_reading *x, struct ask_parts *to, struct str escaped)
{
    struct ask_part *part = ask_part_add(x, to, ASK_TEXT);
    if (part)
        part->text = escaped;
}

void ask_other_add(struct ask_reading *x, struct ask_parts *to, const struct json_value *part,
                   const struct json_value *type)
{
    struct ask_part *other = ask_part_add(x, to, ASK_OTHER);
    if (!other)
        return;
    other->type = ask_name(type, x->a);
    other->raw = part->raw;
}

struct ask_tool *ask_tool_add(struct ask_reading *x, enum ask_tool_kind kind)
{
    if (x->ask->tool_count == ASK_TOOLS_MAX)
        ask_wrong(x, ERR_TOO_LARGE, "tools", "'tools' holds more than %d of them.", ASK_TOOLS_MAX);
    if (x->error != ERR_OK)
        return NULL;
    struct ask_tool *tool = ARENA_NEW(x->a, struct ask_tool);
    tool->kind = kind;
    if (x->last_tool)
        x->last_tool->next = tool;
    else
        x->ask->tools = tool;
    x->last_tool = tool;
    x->ask->tool_count++;
    return tool;
}

/* Nothing is asked for by it. */
static bool says_nothing(const struct json_value *value)
{
    struct json_reader r;
    struct json_value key;
    switch (value->kind) {
    case JSON_NONE:
    case JSON_NULL:
    case JSON_FALSE: return true;
    case JSON_NUMBER: return str_eq(value->raw, STR("0"));
    case JSON_STRING: return json_text_len(value) == 0;
    case JSON_TRUE: return false;
    case JSON_ARRAY:
        json_reader_init(&r, value->raw, JSON_DEPTH_MAX);
        return !json_enter(&r, JSON_ARRAY) || !json_next_element(&r);
    case JSON_OBJECT:
        json_reader_init(&r, value->raw, JSON_DEPTH_MAX);
        return !json_enter(&r, JSON_OBJECT) || !json_next_member(&r, &key);
    }
    return false;
}

void ask_member_add(struct ask_reading *x, enum ask_member_class class,
                    const struct json_value *key, const struct json_value *value)
{
    if (x->error != ERR_OK || (class == ASK_MEMBER_NEEDED && says_nothing(value)))
        return;
    if (x->others == ASK_MEMBERS_MAX) {
        ask_wrong(x, ERR_TOO_LARGE, NULL, "The request has more than %d members that are unknown.",
                  ASK_MEMBERS_MAX);
        return;
    }
    struct ask_member *member = ARENA_NEW(x->a, struct ask_member);
    *member = (struct ask_member){.class = class, .key = ask_name(key, x->a), .value = *value};
    if (x->last_member)
        x->last_member->next = member;
    else
        x->ask->others = member;
    x->last_member = member;
    x->others++;
}

/* ---- Values ---- */

static struct json_value expect(struct ask_reading *x, const struct json_value *value, bool right,
                                const char *param, const char *wanted)
{
    if (value->kind == JSON_NONE || right)
        return *value;
    ask_wrong(x, ERR_INVALID, param, "'%s' must be %s, but it is %s.", param, wanted,
              json_kind_text(value->kind));
    return (struct json_value){0};
}

struct json_value ask_number(struct ask_reading *x, const struct json_value *value,
                             const char *param)
{
    return expect(x, value, value->kind == JSON_NUMBER, param, "a number");
}

struct json_value ask_bool(struct ask_reading *x, const struct json_value *value, const char *param)
{
    bool right = value->kind == JSON_TRUE || value->kind == JSON_FALSE;
    return expect(x, value, right, param, "true or false");
}

struct json_value ask_object(struct ask_reading *x, const struct json_value *value,
                             const char *param)
{
    return expect(x, value, value->kind == JSON_OBJECT, param, "an object");
}

int64_t ask_count(struct ask_reading *x, const struct json_value *value, int64_t least,
                  const char *param)
{
    int64_t count = 0;
    if (value->kind == JSON_NONE)
        return 0;
    enum err e = json_to_i64(value, &count);
    if (e == ERR_OUT_OF_RANGE && *value->raw.ptr != '-')
        return CHAT_TOKENS_MAX;
    if (e != ERR_OK || count < least) {
        ask_wrong(x, ERR_INVALID, param, "'%s' must be a whole number of at least %lld.", param,
                  (long long)least);
        return 0;
    }
    return count < CHAT_TOKENS_MAX ? count : CHAT_TOKENS_MAX;
}

struct str ask_string(struct ask_reading *x, const struct json_value *value, const char *param)
{
    if (value->kind == JSON_STRING)
        return ask_name(value, x->a);
    ask_wrong(x, ERR_INVALID, param, "'%s' must be a string, but it is %s.", param,
              json_kind_text(value->kind));
    return STR("");
}

void ask_each(struct ask_reading *x, const struct json_value *list,
              void (*take)(struct ask_reading *x, const struct json_value *element, uint32_t at))
{
    struct json_reader r;
    uint32_t at = 0;
    if (list->kind != JSON_ARRAY)
        return;
    json_reader_init(&r, list->raw, JSON_DEPTH_MAX);
    (void)json_enter(&r, JSON_ARRAY);
    while (json_next_element(&r) && x->error == ERR_OK) {
        struct json_value element = json_take(&r);
        take(x, &element, at++);
    }
}

void ask_messages(struct ask_reading *x, const struct json_value *messages,
                  void (*take)(struct ask_reading *x, const struct json_value *message,
                               uint32_t at))
{
    if (messages->kind == JSON_ARRAY)
        ask_each(x, messages, take);
    else
        ask_wrong(x, ERR_INVALID, "messages", "'messages' must be a list, but it is %s.",
                  json_kind_text(messages->kind));
}

static void add_stop(struct ask_reading *x, const struct json_value *value, const char *param)
{
    struct ask *ask = x->ask;
    if (ask->stop_count == ASK_STOPS_MAX)
        ask_wrong(x, ERR_TOO_LARGE, param, "'%s' holds more than %d texts.", param, ASK_STOPS_MAX);
    else
        ask->stops[ask->stop_count++] = ask_string(x, value, param);
}

void ask_stops(struct ask_reading *x, const struct json_value *value, const char *param)
{
    struct json_reader r;
    if (value->kind == JSON_STRING) {
        add_stop(x, value, param);
        return;
    }
    struct json_value list = expect(x, value, value->kind == JSON_ARRAY, param, "a list of texts");
    if (list.kind != JSON_ARRAY)
        return;
    json_reader_init(&r, list.raw, JSON_DEPTH_MAX);
    (void)json_enter(&r, JSON_ARRAY);
    while (json_next_element(&r) && x->error == ERR_OK) {
        struct json_value element = json_take(&r);
        add_stop(x, &element, param);
    }
}
