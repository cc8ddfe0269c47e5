#include "dialect/anthropic_messages.h"
#include "dialect/chat_int.h"

enum { LEVELS_MAX = 4 /* content in content that is looked into */ };

static void count_content(struct json_reader *r, struct prompt_size *size, unsigned level);

/* One block: {"type":"text","text":"…"}, {"type":"image","source":{…}},
 * {"type":"tool_result","content":[…]}, … */
static void count_block(struct json_reader *r, struct prompt_size *size, unsigned level)
{
    struct json_value key;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key)) {
        if (json_eq(&key, STR("text")) || json_eq(&key, STR("thinking")) ||
            json_eq(&key, STR("input"))) {
            struct json_value text = json_take(r);
            chat_count_value(size, &text);
        } else if (json_eq(&key, STR("content"))) {
            count_content(r, size, level + 1);
        } else if (json_eq(&key, STR("source")) && json_peek(r) == JSON_OBJECT) {
            size->media++;
        }
    }
}

/* A string, or blocks, at hand. */
static void count_content(struct json_reader *r, struct prompt_size *size, unsigned level)
{
    if (level < LEVELS_MAX && json_enter(r, JSON_ARRAY)) {
        while (json_next_element(r))
            count_block(r, size, level);
        return;
    }
    struct json_value value = json_take(r);
    chat_count_value(size, &value);
}

static void read_messages(struct request_reading *x)
{
    struct json_value key;
    const char *start = x->r.at;
    if (!json_enter(&x->r, JSON_ARRAY)) {
        x->request.messages = json_take(&x->r);
        return;
    }
    while (json_next_element(&x->r)) {
        x->size.messages++;
        if (!json_enter(&x->r, JSON_OBJECT))
            continue;
        while (json_next_member(&x->r, &key))
            if (json_eq(&key, STR("content")))
                count_content(&x->r, &x->size, 0);
    }
    x->request.messages =
        (struct json_value){.raw = {start, (size_t)(x->r.at - start)}, .kind = JSON_ARRAY};
}

static void read_metadata(struct request_reading *x, struct arena *a)
{
    struct json_value key;
    const char *start = x->r.at;
    if (!json_enter(&x->r, JSON_OBJECT)) {
        x->request.metadata = json_take(&x->r);
        return;
    }
    while (json_next_member(&x->r, &key))
        if (json_eq(&key, STR("user_id"))) {
            struct json_value user = json_take(&x->r);
            x->request.user = json_text(&user, a);
        }
    x->request.metadata =
        (struct json_value){.raw = {start, (size_t)(x->r.at - start)}, .kind = JSON_OBJECT};
}

static void read_member(struct request_reading *x, const struct json_value *key, struct arena *a)
{
    struct chat_request *q = &x->request;
    if (json_eq(key, STR("model"))) {
        chat_reading_model(x);
    } else if (json_eq(key, STR("messages"))) {
        read_messages(x);
    } else if (json_eq(key, STR("system"))) {
        count_content(&x->r, &x->size, 0);
    } else if (json_eq(key, STR("stream"))) {
        q->stream = json_take(&x->r).kind == JSON_TRUE;
    } else if (json_eq(key, STR("max_tokens"))) {
        q->max_tokens = chat_reading_limit(x);
    } else if (json_eq(key, STR("metadata"))) {
        read_metadata(x, a);
    } else if (json_eq(key, STR("tools")) || json_eq(key, STR("output_config"))) {
        struct json_value value = json_take(&x->r);
        chat_count_value(&x->size, &value);
    }
}

enum err anthropic_read_request(struct str body, unsigned max_depth, struct arena *a,
                                struct chat_request *ret_request,
                                struct openai_problem *ret_problem)
{
    struct request_reading x;
    TRY(chat_reading_run(&x, body, max_depth, a, read_member, ret_problem));
    x.request.usage_asked = x.request.stream;
    *ret_request = x.request;
    return ERR_OK;
}

/* ---- An answer in one piece ---- */

/* Bytes of what the blocks say. */
static void read_content(struct json_reader *r, uint64_t *output_bytes)
{
    struct json_value key;
    if (!json_enter(r, JSON_ARRAY))
        return;
    while (json_next_element(r)) {
        if (!json_enter(r, JSON_OBJECT))
            continue;
        while (json_next_member(r, &key)) {
            struct json_value value = json_take(r);
            if (json_eq(&key, STR("text")) || json_eq(&key, STR("thinking")))
                *output_bytes += json_text_len(&value);
            else if (json_eq(&key, STR("input")))
                *output_bytes += value.raw.len;
        }
    }
}

static void read_answer_member(struct json_reader *r, const struct json_value *key,
                               struct chat_answer *answer)
{
    if (json_eq(key, STR("content"))) {
        answer->has_choices = json_peek(r) == JSON_ARRAY;
        read_content(r, &answer->output_bytes);
    } else if (json_eq(key, STR("usage"))) {
        answer->usage_raw = json_take(r);
    } else if (json_eq(key, STR("model"))) {
        answer->model = json_take(r);
    } else if (json_eq(key, STR("stop_reason"))) {
        answer->finished = json_peek(r) == JSON_STRING;
    } else if (json_eq(key, STR("error"))) {
        answer->has_error = json_peek(r) != JSON_NULL;
    }
}

enum err anthropic_read_answer(struct str body, unsigned max_depth, struct chat_answer *ret_answer)
{
    struct chat_answer answer = {0};
    struct json_value key;
    struct json_reader r;
    json_reader_init(&r, body, max_depth);
    bool object = json_enter(&r, JSON_OBJECT);
    while (object && json_next_member(&r, &key))
        read_answer_member(&r, &key, &answer);
    if (!json_finish(&r))
        return json_reader_error(&r);
    if (!object)
        return ERR_INVALID;
    if (answer.usage_raw.kind != JSON_OBJECT)
        answer.usage_raw = (struct json_value){0};
    else if (openai_usage_read(answer.usage_raw.raw, &answer.usage) != ERR_OK)
        answer.usage.source = USAGE_NONE;
    *ret_answer = answer;
    return ERR_OK;
}
