#include "dialect/openai_chat.h"

/* Bytes of what a message says: its strings unescaped, tool calls as they stand. */
static void read_message(struct json_reader *r, uint64_t *output_bytes)
{
    struct json_value key;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key)) {
        struct json_value value = json_take(r);
        if (value.kind == JSON_STRING && !json_eq(&key, STR("role")))
            *output_bytes += json_text_len(&value);
        else if (json_eq(&key, STR("tool_calls")) || json_eq(&key, STR("function_call")))
            *output_bytes += value.raw.len;
    }
}

static void read_choices(struct json_reader *r, struct chat_answer *answer)
{
    struct json_value key;
    size_t choices = 0, finished = 0;
    if (!json_enter(r, JSON_ARRAY))
        return;
    while (json_next_element(r)) {
        bool finish = false;
        choices++;
        if (!json_enter(r, JSON_OBJECT))
            continue;
        while (json_next_member(r, &key))
            if (json_eq(&key, STR("message"))) {
                read_message(r, &answer->output_bytes);
            } else if (json_eq(&key, STR("text"))) { /* of completions */
                struct json_value text = json_take(r);
                answer->output_bytes += text.kind == JSON_STRING ? json_text_len(&text) : 0;
            } else if (json_eq(&key, STR("finish_reason"))) {
                finish = json_peek(r) == JSON_STRING;
            }
        finished += finish;
    }
    answer->has_choices = choices > 0;
    answer->finished = choices > 0 && finished == choices;
}

enum err openai_chat_read_answer(struct str body, unsigned max_depth,
                                 struct chat_answer *ret_answer)
{
    struct chat_answer answer = {0};
    struct json_value tier = {0};
    struct json_value key;
    struct json_reader r;
    json_reader_init(&r, body, max_depth);
    bool object = json_enter(&r, JSON_OBJECT);
    while (object && json_next_member(&r, &key)) {
        if (json_eq(&key, STR("choices")))
            read_choices(&r, &answer);
        else if (json_eq(&key, STR("usage")))
            answer.usage_raw = json_take(&r);
        else if (json_eq(&key, STR("model")))
            answer.model = json_take(&r);
        else if (json_eq(&key, STR("service_tier")))
            tier = json_take(&r);
        else if (json_eq(&key, STR("error")))
            answer.has_error = json_peek(&r) != JSON_NULL;
    }
    if (!json_finish(&r))
        return json_reader_error(&r);
    if (!object)
        return ERR_INVALID;
    if (answer.usage_raw.kind != JSON_OBJECT)
        answer.usage_raw = (struct json_value){0};
    else if (openai_usage_read(answer.usage_raw.raw, &answer.usage) != ERR_OK)
        answer.usage.source = USAGE_NONE;
    else if (answer.usage.tier == USAGE_STANDARD)
        answer.usage.tier = openai_tier_read(&tier);
    *ret_answer = answer;
    return ERR_OK;
}
