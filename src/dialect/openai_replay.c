#include "dialect/openai_replay.h"

#include <string.h>

#include "codec/json_scan.h"
#include "codec/json_write.h"
#include "dialect/replay.h"

struct replay {
    struct buf *out;
    unsigned max_depth;
    struct buf common; /* the answer's own members, as JSON members with a comma before each */
    struct str choices;
    struct str usage; /* empty: none */
    struct json_writer w;
    bool has_delta; /* of the choice at hand: chat has, completions have not */
};

/* ---- The answer's own members ---- */

static void keep_member(struct replay *p, const struct json_value *key,
                        const struct json_value *value)
{
    bool is_chat = json_eq(key, STR("object")) && json_eq(value, STR("chat.completion"));
    buf_append_char(&p->common, ',');
    buf_append_str(&p->common, key->raw);
    buf_append_char(&p->common, ':');
    buf_append_str(&p->common, is_chat ? STR("\"chat.completion.chunk\"") : value->raw);
}

static enum err read_answer(struct replay *p, struct str answer)
{
    struct json_reader r;
    struct json_value key;
    json_reader_init(&r, answer, p->max_depth);
    bool object = json_enter(&r, JSON_OBJECT);
    while (object && json_next_member(&r, &key)) {
        struct json_value value = json_take(&r);
        if (json_eq(&key, STR("choices")))
            p->choices = value.kind == JSON_ARRAY ? value.raw : STR_NONE;
        else if (json_eq(&key, STR("usage")))
            p->usage = value.kind == JSON_OBJECT ? value.raw : STR_NONE;
        else
            keep_member(p, &key, &value);
    }
    return object && json_finish(&r) && p->choices.ptr ? ERR_OK : ERR_INVALID;
}

/* ---- Chunks ---- */

static void chunk_begin(struct replay *p)
{
    buf_append_str(p->out, STR("data: {\"choices\":["));
    json_writer_init(&p->w, p->out);
}

static void chunk_end(struct replay *p)
{
    buf_append_char(p->out, ']');
    replay_line_append(p->out, buf_str(&p->common));
    buf_append_str(p->out, STR("}\n\n"));
}

static void choice_begin(struct replay *p, int64_t index)
{
    chunk_begin(p);
    json_object_begin(&p->w);
    json_member_i64(&p->w, STR("index"), index);
    if (!p->has_delta)
        return;
    json_key(&p->w, STR("delta"));
    json_object_begin(&p->w);
}

/* finish: JSON, or empty. more: further members of the choice, as {"key": value} without braces. */
static void choice_end(struct replay *p, struct str finish, struct str more)
{
    if (p->has_delta)
        json_object_end(&p->w);
    if (more.len)
        replay_line_append(p->out, more);
    json_member_raw(&p->w, STR("finish_reason"), finish.len ? finish : STR("null"));
    json_object_end(&p->w);
    chunk_end(p);
}

/* ---- Text ---- */

/* As it stands in the answer, its escapes too. */
static void write_key(struct replay *p, const struct json_value *key)
{
    if (p->w.comma)
        buf_append_char(p->out, ',');
    buf_append_str(p->out, key->raw);
    buf_append_char(p->out, ':');
    p->w.comma = false;
}

static void write_text(struct replay *p, int64_t index, const struct json_value *key,
                       const struct json_value *text)
{
    struct str rest = json_text_raw(text);
    while (rest.len) {
        struct str piece = replay_piece(rest);
        choice_begin(p, index);
        write_key(p, key);
        json_str_raw(&p->w, piece);
        choice_end(p, STR_NONE, STR_NONE);
        rest = str_skip(rest, piece.len);
    }
}

/* ---- Messages ---- */

static void write_raw_member(struct replay *p, int64_t index, const struct json_value *key,
                             const struct json_value *value)
{
    choice_begin(p, index);
    write_key(p, key);
    replay_line_append(p->out, value->raw);
    p->w.comma = true;
    choice_end(p, STR_NONE, STR_NONE);
}

static void write_tool_call(struct replay *p, int64_t index, int64_t number, struct str call)
{
    choice_begin(p, index);
    buf_append_str(p->out, STR("\"tool_calls\":[{\"index\":"));
    buf_append_i64(p->out, number);
    struct str inside = str_skip(call, 1);
    size_t space = 0;
    while ((unsigned char)inside.ptr[space] <= ' ')
        space++;
    if (inside.ptr[space] != '}')
        buf_append_char(p->out, ',');
    replay_line_append(p->out, inside);
    buf_append_char(p->out, ']');
    p->w.comma = true;
    choice_end(p, STR_NONE, STR_NONE);
}

static void write_tool_calls(struct replay *p, int64_t index, struct str calls)
{
    struct json_reader r;
    int64_t number = 0;
    json_reader_init(&r, calls, p->max_depth);
    if (!json_enter(&r, JSON_ARRAY))
        return;
    while (json_next_element(&r)) {
        struct json_value call = json_take(&r);
        if (call.kind == JSON_OBJECT)
            write_tool_call(p, index, number++, call.raw);
    }
}

static void write_message(struct replay *p, int64_t index, struct str message)
{
    struct json_reader r;
    struct json_value key;
    struct json_value role;
    choice_begin(p, index);
    json_member_raw(&p->w, STR("role"),
                    json_find(message, "role", &role) ? role.raw : STR("\"assistant\""));
    json_member_str(&p->w, STR("content"), STR(""));
    choice_end(p, STR_NONE, STR_NONE);
    json_reader_init(&r, message, p->max_depth);
    if (!json_enter(&r, JSON_OBJECT))
        return;
    while (json_next_member(&r, &key)) {
        struct json_value value = json_take(&r);
        if (json_eq(&key, STR("role")) || value.kind == JSON_NULL)
            continue;
        if (json_eq(&key, STR("tool_calls")) && value.kind == JSON_ARRAY)
            write_tool_calls(p, index, value.raw);
        else if (value.kind == JSON_STRING)
            write_text(p, index, &key, &value);
        else
            write_raw_member(p, index, &key, &value);
    }
}

/* ---- Choices ---- */

static enum err write_choice(struct replay *p, int64_t number, struct str choice)
{
    struct json_reader r;
    struct json_value key;
    struct json_value finish = {0};
    struct json_value message = {0};
    struct json_value text_key = {0};
    struct json_value text = {0};
    struct buf more BUF_AUTO;
    int64_t index = number;
    buf_init(&more, choice.len + 2);
    json_reader_init(&r, choice, p->max_depth);
    if (!json_enter(&r, JSON_OBJECT))
        return ERR_INVALID;
    while (json_next_member(&r, &key)) {
        struct json_value value = json_take(&r);
        if (json_eq(&key, STR("index"))) {
            if (json_to_i64(&value, &index) != ERR_OK)
                index = number;
        } else if (json_eq(&key, STR("message"))) {
            message = value;
        } else if (json_eq(&key, STR("text")) && value.kind == JSON_STRING) {
            text_key = key;
            text = value;
        } else if (json_eq(&key, STR("finish_reason"))) {
            finish = value;
        } else if (value.kind != JSON_NULL) {
            buf_append_char(&more, ',');
            buf_append_str(&more, key.raw);
            buf_append_char(&more, ':');
            buf_append_str(&more, value.raw);
        }
    }
    p->has_delta = message.kind == JSON_OBJECT;
    if (p->has_delta)
        write_message(p, index, message.raw);
    else if (text.kind == JSON_STRING)
        write_text(p, index, &text_key, &text);
    else
        return ERR_INVALID;
    choice_begin(p, index);
    if (!p->has_delta)
        json_member_str(&p->w, STR("text"), STR(""));
    choice_end(p, finish.raw, buf_str(&more));
    return ERR_OK;
}

static enum err write_choices(struct replay *p)
{
    struct json_reader r;
    int64_t number = 0;
    json_reader_init(&r, p->choices, p->max_depth);
    if (!json_enter(&r, JSON_ARRAY))
        return ERR_INVALID;
    while (json_next_element(&r)) {
        struct json_value choice = json_take(&r);
        TRY(write_choice(p, number++, choice.raw));
    }
    return number ? ERR_OK : ERR_INVALID;
}

static void write_usage(struct replay *p)
{
    chunk_begin(p);
    buf_append_str(p->out, STR("],\"usage\":"));
    replay_line_append(p->out, p->usage);
    replay_line_append(p->out, buf_str(&p->common));
    buf_append_str(p->out, STR("}\n\n"));
}

enum err openai_chat_replay(struct str answer, unsigned max_depth, bool usage_asked,
                            struct buf *out)
{
    struct replay p = {.out = out, .max_depth = max_depth};
    buf_init(&p.common, answer.len + 64);
    enum err err = read_answer(&p, answer);
    if (err == ERR_OK)
        err = write_choices(&p);
    if (err == ERR_OK) {
        if (usage_asked && p.usage.len)
            write_usage(&p);
        buf_append_str(out, STR("data: [DONE]\n\n"));
        err = out->error;
    }
    buf_release(&p.common);
    return err;
}
