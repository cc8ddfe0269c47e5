/* Usage and errors of Gemini's API. */
#include <string.h>

#include "dialect/gemini.h"

/* ---- Usage ---- */

struct counts {
    int64_t prompt, cached, candidates, thoughts, tools, audio_in, audio_out;
    bool any;
};

static void read_count(struct json_reader *in, int64_t *count, bool *any)
{
    struct json_value value = json_take(in);
    int64_t number;
    if (json_to_i64(&value, &number) != ERR_OK || number < 0 || number > USAGE_TOKENS_MAX)
        return;
    *count = number;
    *any = true;
}

/* [{"modality": "AUDIO", "tokenCount": 5}, …]: what is audio of them. */
static int64_t read_audio(struct json_reader *in)
{
    struct json_value key;
    int64_t sum = 0;
    bool any = false;
    if (!json_enter(in, JSON_ARRAY))
        return 0;
    while (json_next_element(in)) {
        bool audio = false;
        int64_t count = 0;
        if (!json_enter(in, JSON_OBJECT))
            continue;
        while (json_next_member(in, &key))
            if (json_eq(&key, STR("modality"))) {
                struct json_value value = json_take(in);
                audio = json_eq(&value, STR("AUDIO"));
            } else if (json_eq(&key, STR("tokenCount"))) {
                read_count(in, &count, &any);
            }
        if (audio && sum <= USAGE_TOKENS_MAX)
            sum += count;
    }
    return sum;
}

static void read_counts(struct json_reader *in, struct counts *c)
{
    struct json_value key;
    while (json_next_member(in, &key))
        if (json_eq(&key, STR("promptTokenCount")))
            read_count(in, &c->prompt, &c->any);
        else if (json_eq(&key, STR("cachedContentTokenCount")))
            read_count(in, &c->cached, &c->any);
        else if (json_eq(&key, STR("candidatesTokenCount")))
            read_count(in, &c->candidates, &c->any);
        else if (json_eq(&key, STR("thoughtsTokenCount")))
            read_count(in, &c->thoughts, &c->any);
        else if (json_eq(&key, STR("toolUsePromptTokenCount")))
            read_count(in, &c->tools, &c->any);
        else if (json_eq(&key, STR("promptTokensDetails")))
            c->audio_in = read_audio(in);
        else if (json_eq(&key, STR("candidatesTokensDetails")))
            c->audio_out = read_audio(in);
}

static int64_t at_most(int64_t count, int64_t limit)
{
    return count < limit ? count : limit;
}

enum err gemini_usage_read(struct str text, struct usage *ret_usage)
{
    struct counts c = {.any = false};
    struct json_reader in;
    json_reader_init(&in, text, JSON_DEPTH_MAX);
    if (!json_enter(&in, JSON_OBJECT))
        return ERR_INVALID;
    read_counts(&in, &c);
    if (!json_finish(&in) || !c.any)
        return ERR_INVALID;
    struct usage u = {.source = USAGE_PROVIDER};
    u.input = c.prompt + c.tools;
    u.cached_input = at_most(c.cached, u.input);
    u.output = c.candidates + c.thoughts;
    u.reasoning = c.thoughts;
    u.audio_in = at_most(c.audio_in, u.input);
    u.audio_out = at_most(c.audio_out, u.output);
    *ret_usage = u;
    return ERR_OK;
}

/* ---- Errors ---- */

static const char *type_of(int status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    default: return status >= 500 ? "upstream_error" : "invalid_request_error";
    }
}

void gemini_read_error(struct str body, int status, struct openai_problem *ret_problem)
{
    struct openai_problem p;
    openai_error_read(body, status, &p);
    /* {"error": {"code": 429, "message": …, "status": "RESOURCE_EXHAUSTED"}}: the reader of
     * OpenAI's form takes the status' name as the type. An invalid key is a 400 here. */
    bool named = strspn(p.type, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == strlen(p.type);
    bool key = status == 400 && str_find(str_from_c(p.message), STR("API key not valid")) >= 0;
    const char *code = named ? p.type : p.code;
    char kept[sizeof p.code];
    memcpy(kept, code, strnlen(code, sizeof kept - 1) + 1);
    kept[sizeof kept - 1] = 0;
    struct openai_problem out;
    openai_problem_set(&out, key ? "authentication_error" : type_of(status), NULL, kept, "%s",
                       p.message);
    *ret_problem = out;
}

/* "3s", "0.5s", "30.123456789s" as milliseconds, rounded up; -1: not a duration. */
static int64_t duration_ms(struct str text)
{
    uint64_t seconds, rest_ms = 0;
    if (!str_ends(text, STR("s")))
        return -1;
    struct str fraction = str_take(text, text.len - 1);
    struct str whole = str_split(&fraction, '.');
    if (str_to_u64(whole, &seconds) != ERR_OK || seconds > 86400)
        return -1;
    for (size_t i = 0, weight = 100; i < fraction.len; i++, weight /= 10) {
        if (fraction.ptr[i] < '0' || fraction.ptr[i] > '9')
            return -1;
        rest_ms += (uint64_t)(fraction.ptr[i] - '0') * weight;
    }
    return (int64_t)(seconds * 1000 + rest_ms);
}

int64_t gemini_retry_after_ms(struct str body)
{
    struct json_value details, value, delay;
    struct json_reader in;
    int64_t found = -1;
    if (!json_find(body, "error.details", &details) &&
        !json_find(body, "0.error.details", &details))
        return -1;
    json_reader_init(&in, details.raw, JSON_DEPTH_MAX);
    if (!json_enter(&in, JSON_ARRAY))
        return -1;
    while (json_next_element(&in)) {
        value = json_take(&in);
        if (value.kind == JSON_OBJECT && json_find(value.raw, "retryDelay", &delay) &&
            delay.kind == JSON_STRING && delay.escape_bytes == 0)
            found = duration_ms(json_text_raw(&delay));
    }
    return found;
}
