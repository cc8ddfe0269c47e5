#include "model/local/engine_request.h"

#include <math.h>

#include "base/mem.h"
#include "codec/json_scan.h"

/* One reading. */
struct parse {
    struct json_reader json;
    struct engine_request *request;
    struct openai_problem *problem;
    int64_t limit_chat, limit_completion; /* max_tokens, max_completion_tokens */
};

/* Set the problem; for `return fail(…)`. */
#define fail(p, param, ...)                                                                        \
    (openai_problem_set((p)->problem, "invalid_request_error", (param), NULL, __VA_ARGS__),        \
     ERR_INVALID)

/* ---- Single values ---- */

struct number_field {
    const char *name;
    size_t offset; /* of a double in struct engine_sampling */
    double min, max;
};

static const struct number_field number_fields[] = {
    {"temperature", offsetof(struct engine_sampling, temperature), 0, 2},
    {"top_p", offsetof(struct engine_sampling, top_p), 0, 1},
    {"min_p", offsetof(struct engine_sampling, min_p), 0, 1},
    {"repeat_penalty", offsetof(struct engine_sampling, repeat_penalty), 0.01, 10},
    {"frequency_penalty", offsetof(struct engine_sampling, frequency_penalty), -2, 2},
    {"presence_penalty", offsetof(struct engine_sampling, presence_penalty), -2, 2},
};

static enum err read_number(struct parse *p, const struct number_field *field)
{
    struct json_value v = json_take(&p->json);
    double value;
    if (v.kind == JSON_NULL)
        return ERR_OK;
    if (json_to_double(&v, &value) != ERR_OK || !(value >= field->min && value <= field->max))
        return fail(p, field->name, "'%s' must be a number from %g to %g", field->name, field->min,
                    field->max);
    memcpy((char *)&p->request->sampling + field->offset, &value, sizeof value);
    return ERR_OK;
}

static enum err read_integer(struct parse *p, const char *name, int64_t min, int64_t max,
                             int64_t *value)
{
    struct json_value v = json_take(&p->json);
    int64_t number;
    if (v.kind == JSON_NULL)
        return ERR_OK;
    if (json_to_i64(&v, &number) != ERR_OK || number < min || number > max)
        return fail(p, name, "'%s' must be a whole number from %lld to %lld", name, (long long)min,
                    (long long)max);
    *value = number;
    return ERR_OK;
}

static enum err read_bool(struct parse *p, const char *name, bool *value)
{
    struct json_value v = json_take(&p->json);
    if (v.kind != JSON_NULL && json_to_bool(&v, value) != ERR_OK)
        return fail(p, name, "'%s' must be true or false", name);
    return ERR_OK;
}

static enum err read_seed(struct parse *p)
{
    int64_t seed;
    struct json_value v = json_take(&p->json);
    if (v.kind == JSON_NULL)
        return ERR_OK;
    if (json_to_i64(&v, &seed) != ERR_OK)
        return fail(p, "seed", "'seed' must be a whole number of at most 64 bits");
    uint64_t bits = (uint64_t)seed;
    p->request->sampling.seed = (uint32_t)(bits ^ bits >> 32);
    p->request->sampling.seed_given = true;
    return ERR_OK;
}

/* ---- stop, logit_bias, stream_options ---- */

static enum err add_stop(struct parse *p)
{
    struct json_value v = json_take(&p->json);
    struct engine_request *r = p->request;
    if (v.kind != JSON_STRING)
        return fail(p, "stop", "'stop' must be a string or a list of strings");
    size_t len = json_text_len(&v);
    if (len == 0 || len > TEXT_STOP_BYTES_MAX)
        return fail(p, "stop", "a string in 'stop' has %zu bytes; it must have 1 to %d", len,
                    TEXT_STOP_BYTES_MAX);
    if (r->stop_count == TEXT_STOPS_MAX)
        return fail(p, "stop", "'stop' has more than %d strings", TEXT_STOPS_MAX);
    r->stops[r->stop_count++] = arena_str(&r->arena, json_text(&v, &r->arena));
    return ERR_OK;
}

static enum err read_stop(struct parse *p)
{
    p->request->stop_count = 0;
    if (json_peek(&p->json) == JSON_NULL)
        return (void)json_take(&p->json), ERR_OK;
    if (!json_enter(&p->json, JSON_ARRAY))
        return add_stop(p);
    while (json_next_element(&p->json))
        TRY(add_stop(p));
    return ERR_OK;
}

static enum err read_bias_entry(struct parse *p, struct json_value key)
{
    struct engine_request *r = p->request;
    struct json_value v = json_take(&p->json);
    uint64_t token;
    double bias;
    if (str_to_u64(json_text(&key, &r->arena), &token) != ERR_OK || token > INT32_MAX)
        return fail(p, "logit_bias", "a key of 'logit_bias' is not a token's number");
    if (json_to_double(&v, &bias) != ERR_OK || !(bias >= -100 && bias <= 100))
        return fail(p, "logit_bias", "'logit_bias' of token %llu must be a number from -100 to 100",
                    (unsigned long long)token);
    if (r->bias_count == ENGINE_BIAS_MAX)
        return fail(p, "logit_bias", "'logit_bias' has more than %d tokens", ENGINE_BIAS_MAX);
    /* -100 is a ban in OpenAI's API. */
    r->bias[r->bias_count++] =
        (struct engine_bias){(int32_t)token, bias <= -100 ? -INFINITY : (float)bias};
    return ERR_OK;
}

static enum err read_bias(struct parse *p)
{
    struct engine_request *r = p->request;
    struct json_value key;
    if (json_peek(&p->json) == JSON_NULL)
        return (void)json_take(&p->json), ERR_OK;
    if (!json_enter(&p->json, JSON_OBJECT))
        return fail(p, "logit_bias", "'logit_bias' must be an object of token numbers and biases");
    r->bias_count = 0;
    if (!r->bias)
        r->bias = ARENA_ARRAY(&r->arena, struct engine_bias, ENGINE_BIAS_MAX);
    while (json_next_member(&p->json, &key))
        TRY(read_bias_entry(p, key));
    return ERR_OK;
}

static enum err read_stream_options(struct parse *p)
{
    struct json_value key;
    if (json_peek(&p->json) == JSON_NULL)
        return (void)json_take(&p->json), ERR_OK;
    if (!json_enter(&p->json, JSON_OBJECT))
        return fail(p, "stream_options", "'stream_options' must be an object");
    while (json_next_member(&p->json, &key))
        if (json_eq(&key, STR("include_usage")))
            TRY(read_bool(p, "stream_options.include_usage", &p->request->include_usage));
    return ERR_OK;
}

/* ---- What cannot be done ---- */

/* Is the value one that changes nothing? */
static bool harmless(struct str name, const struct json_value *v)
{
    int64_t n;
    struct json_value inner;
    if (v->kind == JSON_NULL || v->kind == JSON_FALSE || str_eq(v->raw, STR("[]")))
        return true;
    if (str_eq(name, STR("n")) || str_eq(name, STR("top_logprobs")))
        return json_to_i64(v, &n) == ERR_OK && n == (str_eq(name, STR("n")) ? 1 : 0);
    if (str_eq(name, STR("tool_choice")) || str_eq(name, STR("function_call")))
        return json_eq(v, STR("none")) || json_eq(v, STR("auto"));
    if (str_eq(name, STR("response_format")))
        return json_find(v->raw, "type", &inner) && json_eq(&inner, STR("text"));
    if (str_eq(name, STR("modalities")))
        return json_find(v->raw, "0", &inner) && json_eq(&inner, STR("text")) &&
               !json_find(v->raw, "1", &inner);
    return false;
}

static const char *const refused_fields[] = {
    "tools",           "tool_choice", "functions",   "function_call",     "n",
    "response_format", "logprobs",    "modalities",  "top_logprobs",      "audio",
    "grammar",         "json_schema", "guided_json", "web_search_options"};

static enum err refuse(struct parse *p, const char *name)
{
    struct json_value v = json_take(&p->json);
    if (harmless(str_from_c(name), &v))
        return ERR_OK;
    if (strcmp(name, "n") == 0)
        return fail(p, name, "'n' must be 1: local models give one answer a call");
    return fail(p, name, "local models do not support '%s'; leave it out", name);
}

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
static enum err add_text(struct parse *p, const struct json_value *v, const char *param,
                         struct buf *text)
{
    size_t before = text->len;
    if (v->kind != JSON_STRING)
        return fail(p, param, "'%s' must be a string", param);
    json_text_append(v, text);
    if (text->len > before && memchr(text->ptr + before, 0, text->len - before))
        return fail(p, param, "'%s' holds a NUL character", param);
    return ERR_OK;
}

static enum err read_part(struct parse *p, const char *param, struct buf *text)
{
    struct json_value key, type = {0}, value = {0};
    if (!json_enter(&p->json, JSON_OBJECT))
        return fail(p, param, "'%s' must be an object with type and text", param);
    while (json_next_member(&p->json, &key)) {
        if (json_eq(&key, STR("type")))
            type = json_take(&p->json);
        else if (json_eq(&key, STR("text")))
            value = json_take(&p->json);
    }
    if (p->json.fault)
        return ERR_INVALID;
    if (!json_eq(&type, STR("text"))) {
        struct str got = type.kind == JSON_STRING ? str_take(type.raw, 40) : STR("missing");
        return fail(p, param, "'%s': its type is %.*s; local models read text only", param,
                    STR_ARG(got));
    }
    return add_text(p, &value, param, text);
}

static enum err read_content(struct parse *p, size_t index, struct buf *text)
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
        return fail(p, at.text, "'%s' must be a string or a list of text parts", at.text);
    for (ptrdiff_t part = 0; json_next_element(&p->json); part++) {
        at = place_of(index, ".content", part);
        if (part == ENGINE_PARTS_MAX)
            return fail(p, at.text, "a message has more than %d parts", ENGINE_PARTS_MAX);
        TRY(read_part(p, at.text, text));
    }
    return ERR_OK;
}

static enum err read_role(struct parse *p, size_t index, struct str *role)
{
    struct place at = place_of(index, ".role", -1);
    struct json_value v = json_take(&p->json);
    static const struct str known[] = {STR_INIT("system"), STR_INIT("user"), STR_INIT("assistant")};
    for (size_t i = 0; i < 3; i++)
        if (json_eq(&v, known[i]))
            return *role = known[i], ERR_OK;
    if (json_eq(&v, STR("developer")))
        return *role = known[0], ERR_OK;
    return fail(p, at.text, "'%s' must be system, developer, user or assistant", at.text);
}

static enum err read_message(struct parse *p, size_t index, struct engine_message *m,
                             struct buf *text)
{
    struct json_value key;
    struct place at = place_of(index, "", -1);
    if (!json_enter(&p->json, JSON_OBJECT))
        return fail(p, at.text, "'%s' must be an object with role and content", at.text);
    *m = (struct engine_message){STR_NONE, STR_NONE};
    buf_reset(text);
    while (json_next_member(&p->json, &key)) {
        if (json_eq(&key, STR("role"))) {
            TRY(read_role(p, index, &m->role));
        } else if (json_eq(&key, STR("content"))) {
            buf_reset(text);
            TRY(read_content(p, index, text));
        } else if (json_eq(&key, STR("tool_calls")) || json_eq(&key, STR("function_call")) ||
                   json_eq(&key, STR("audio"))) {
            struct json_value v = json_take(&p->json);
            if (!harmless(STR(""), &v))
                return fail(p, at.text, "local models do not support '%.*s' in '%s'",
                            STR_ARG(json_text_raw(&key)), at.text);
        }
    }
    if (p->json.fault)
        return ERR_INVALID;
    if (!m->role.ptr)
        return fail(p, at.text, "'%s' has no role", at.text);
    m->content = arena_str(&p->request->arena, buf_str(text));
    return ERR_OK;
}

static enum err read_message_list(struct parse *p, struct buf *list, struct buf *text)
{
    struct engine_message m;
    size_t count = 0;
    for (; json_next_element(&p->json); count++) {
        if (count == ENGINE_MESSAGES_MAX)
            return fail(p, "messages", "'messages' has more than %d messages", ENGINE_MESSAGES_MAX);
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

static enum err read_messages(struct parse *p)
{
    BUF_AUTO struct buf list;
    BUF_AUTO struct buf text;
    buf_init(&list, (ENGINE_MESSAGES_MAX + 1) * sizeof(struct engine_message));
    buf_init(&text, p->json.end ? (size_t)(p->json.end - p->json.text) + 1 : 1);
    if (!json_enter(&p->json, JSON_ARRAY))
        return fail(p, "messages", "'messages' must be a list");
    return read_message_list(p, &list, &text);
}

/* ---- The whole ---- */

static const struct {
    const char *name;
    enum err (*read)(struct parse *p);
} structured_fields[] = {
    {"messages", read_messages},
    {"stop", read_stop},
    {"logit_bias", read_bias},
    {"seed", read_seed},
    {"stream_options", read_stream_options},
};

static enum err read_simple(struct parse *p, const struct json_value *key)
{
    struct engine_request *r = p->request;
    if (json_eq(key, STR("max_tokens")))
        return read_integer(p, "max_tokens", 1, INT32_MAX, &p->limit_chat);
    if (json_eq(key, STR("max_completion_tokens")))
        return read_integer(p, "max_completion_tokens", 1, INT32_MAX, &p->limit_completion);
    if (json_eq(key, STR("top_k")))
        return read_integer(p, "top_k", 0, INT32_MAX, &r->sampling.top_k);
    if (json_eq(key, STR("stream")))
        return read_bool(p, "stream", &r->stream);
    if (json_eq(key, STR("ignore_eos")))
        return read_bool(p, "ignore_eos", &r->ignore_eos);
    return ERR_OK; /* a hint: skipped by the next json_next_member */
}

static enum err read_member(struct parse *p, const struct json_value *key)
{
    for (size_t i = 0; i < sizeof structured_fields / sizeof *structured_fields; i++)
        if (json_eq(key, str_from_c(structured_fields[i].name)))
            return structured_fields[i].read(p);
    for (size_t i = 0; i < sizeof number_fields / sizeof *number_fields; i++)
        if (json_eq(key, str_from_c(number_fields[i].name)))
            return read_number(p, &number_fields[i]);
    for (size_t i = 0; i < sizeof refused_fields / sizeof *refused_fields; i++)
        if (json_eq(key, str_from_c(refused_fields[i])))
            return refuse(p, refused_fields[i]);
    return read_simple(p, key);
}

static enum err read_members(struct parse *p)
{
    struct json_value key;
    if (!json_enter(&p->json, JSON_OBJECT))
        return p->json.fault ? ERR_INVALID : fail(p, NULL, "the body must be a JSON object");
    while (json_next_member(&p->json, &key))
        TRY(read_member(p, &key));
    if (!json_finish(&p->json))
        return ERR_INVALID;
    if (p->request->message_count == 0)
        return fail(p, "messages", "'messages' must have at least one message");
    p->request->max_tokens = p->limit_completion ? p->limit_completion : p->limit_chat;
    return ERR_OK;
}

enum err engine_request_read(struct str json, const struct engine_sampling *defaults,
                             struct engine_request *ret_request, struct openai_problem *ret_problem)
{
    struct engine_request request = {.sampling = *defaults};
    struct parse p = {.request = &request, .problem = ret_problem};
    arena_init(&request.arena);
    json_reader_init(&p.json, json, ENGINE_NESTING_MAX);
    enum err e = read_members(&p);
    if (e == ERR_OK) {
        *ret_request = request;
        return ERR_OK;
    }
    if (p.json.fault) { /* what looked like a mistake in a field was one of the text */
        BUF_AUTO struct buf text;
        buf_init(&text, 200);
        json_fault_describe(&p.json, &text);
        (void)fail(&p, NULL, "the body is not valid JSON: %s", buf_cstr(&text));
    }
    arena_release(&request.arena);
    return e;
}

void engine_request_release(struct engine_request *request)
{
    arena_release(&request->arena);
}
