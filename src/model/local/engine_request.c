#include <math.h>

#include "model/local/engine_request_int.h"

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

static enum err read_number(struct engine_parse *p, const struct number_field *field)
{
    struct json_value v = json_take(&p->json);
    double value;
    if (v.kind == JSON_NULL)
        return ERR_OK;
    if (json_to_double(&v, &value) != ERR_OK || !(value >= field->min && value <= field->max))
        return engine_parse_fail(p, field->name, "'%s' must be a number from %g to %g", field->name,
                                 field->min, field->max);
    memcpy((char *)&p->request->sampling + field->offset, &value, sizeof value);
    return ERR_OK;
}

enum err engine_parse_integer(struct engine_parse *p, const char *name, int64_t min, int64_t max,
                              int64_t *value)
{
    struct json_value v = json_take(&p->json);
    int64_t number;
    if (v.kind == JSON_NULL)
        return ERR_OK;
    if (json_to_i64(&v, &number) != ERR_OK || number < min || number > max)
        return engine_parse_fail(p, name, "'%s' must be a whole number from %lld to %lld", name,
                                 (long long)min, (long long)max);
    *value = number;
    return ERR_OK;
}

enum err engine_parse_bool(struct engine_parse *p, const char *name, bool *value)
{
    struct json_value v = json_take(&p->json);
    if (v.kind != JSON_NULL && json_to_bool(&v, value) != ERR_OK)
        return engine_parse_fail(p, name, "'%s' must be true or false", name);
    return ERR_OK;
}

static enum err read_seed(struct engine_parse *p)
{
    int64_t seed;
    struct json_value v = json_take(&p->json);
    if (v.kind == JSON_NULL)
        return ERR_OK;
    if (json_to_i64(&v, &seed) != ERR_OK)
        return engine_parse_fail(p, "seed", "'seed' must be a whole number of at most 64 bits");
    uint64_t bits = (uint64_t)seed;
    p->request->sampling.seed = (uint32_t)(bits ^ bits >> 32);
    p->request->sampling.seed_given = true;
    return ERR_OK;
}

/* ---- stop, logit_bias, stream_options ---- */

static enum err add_stop(struct engine_parse *p)
{
    struct json_value v = json_take(&p->json);
    struct engine_request *r = p->request;
    if (v.kind != JSON_STRING)
        return engine_parse_fail(p, "stop", "'stop' must be a string or a list of strings");
    size_t len = json_text_len(&v);
    if (len == 0 || len > TEXT_STOP_BYTES_MAX)
        return engine_parse_fail(p, "stop",
                                 "a string in 'stop' has %zu bytes; it must have 1 to %d", len,
                                 TEXT_STOP_BYTES_MAX);
    if (r->stop_count == TEXT_STOPS_MAX)
        return engine_parse_fail(p, "stop", "'stop' has more than %d strings", TEXT_STOPS_MAX);
    r->stops[r->stop_count++] = arena_str(&r->arena, json_text(&v, &r->arena));
    return ERR_OK;
}

static enum err read_stop(struct engine_parse *p)
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

static enum err read_bias_entry(struct engine_parse *p, struct json_value key)
{
    struct engine_request *r = p->request;
    struct json_value v = json_take(&p->json);
    uint64_t token;
    double bias;
    if (str_to_u64(json_text(&key, &r->arena), &token) != ERR_OK || token > INT32_MAX)
        return engine_parse_fail(p, "logit_bias", "a key of 'logit_bias' is not a token's number");
    if (json_to_double(&v, &bias) != ERR_OK || !(bias >= -100 && bias <= 100))
        return engine_parse_fail(p, "logit_bias",
                                 "'logit_bias' of token %llu must be a number from -100 to 100",
                                 (unsigned long long)token);
    if (r->bias_count == ENGINE_BIAS_MAX)
        return engine_parse_fail(p, "logit_bias", "'logit_bias' has more than %d tokens",
                                 ENGINE_BIAS_MAX);
    /* -100 is a ban in OpenAI's API. */
    r->bias[r->bias_count++] =
        (struct engine_bias){(int32_t)token, bias <= -100 ? -INFINITY : (float)bias};
    return ERR_OK;
}

static enum err read_bias(struct engine_parse *p)
{
    struct engine_request *r = p->request;
    struct json_value key;
    if (json_peek(&p->json) == JSON_NULL)
        return (void)json_take(&p->json), ERR_OK;
    if (!json_enter(&p->json, JSON_OBJECT))
        return engine_parse_fail(p, "logit_bias",
                                 "'logit_bias' must be an object of token numbers and biases");
    r->bias_count = 0;
    if (!r->bias)
        r->bias = ARENA_ARRAY(&r->arena, struct engine_bias, ENGINE_BIAS_MAX);
    while (json_next_member(&p->json, &key))
        TRY(read_bias_entry(p, key));
    return ERR_OK;
}

static enum err read_stream_options(struct engine_parse *p)
{
    struct json_value key;
    if (json_peek(&p->json) == JSON_NULL)
        return (void)json_take(&p->json), ERR_OK;
    if (!json_enter(&p->json, JSON_OBJECT))
        return engine_parse_fail(p, "stream_options", "'stream_options' must be an object");
    while (json_next_member(&p->json, &key))
        if (json_eq(&key, STR("include_usage")))
            TRY(engine_parse_bool(p, "stream_options.include_usage", &p->request->include_usage));
    return ERR_OK;
}

/* ---- What cannot be done ---- */

/* Is the value one that changes nothing? */
static bool harmless(struct str name, const struct json_value *v)
{
    struct json_value inner;
    if (v->kind == JSON_NULL || v->kind == JSON_FALSE || str_eq(v->raw, STR("[]")) ||
        str_eq(v->raw, STR("\"\"")))
        return true;
    if (str_eq(name, STR("function_call")))
        return json_eq(v, STR("none")) || json_eq(v, STR("auto"));
    if (str_eq(name, STR("modalities")))
        return json_find(v->raw, "0", &inner) && json_eq(&inner, STR("text")) &&
               !json_find(v->raw, "1", &inner);
    if (str_eq(name, STR("best_of")))
        return str_eq(v->raw, STR("1"));
    return false;
}

static const char *const refused_fields[] = {
    "functions", "function_call", "modalities", "audio", "best_of", "suffix", "web_search_options"};

static enum err refuse(struct engine_parse *p, const char *name)
{
    struct json_value v = json_take(&p->json);
    if (harmless(str_from_c(name), &v))
        return ERR_OK;
    return engine_parse_fail(p, name, "local models do not support '%s'; leave it out", name);
}

/* ---- Fields ---- */

static enum err read_max_tokens(struct engine_parse *p)
{
    bool none = p->request->task == FRAME_TASK_COMPLETION;
    return engine_parse_integer(p, "max_tokens", none ? 0 : 1, INT32_MAX, &p->limit_chat);
}

static enum err read_max_completion_tokens(struct engine_parse *p)
{
    return engine_parse_integer(p, "max_completion_tokens", 1, INT32_MAX, &p->limit_completion);
}

static enum err read_top_k(struct engine_parse *p)
{
    return engine_parse_integer(p, "top_k", 0, INT32_MAX, &p->request->sampling.top_k);
}

static enum err read_n(struct engine_parse *p)
{
    return engine_parse_integer(p, "n", 1, ENGINE_CHOICES_MAX, &p->request->choices);
}

/* A chat's is a yes or no, a completion's how many. */
static enum err read_logprobs(struct engine_parse *p)
{
    if (p->request->task == FRAME_TASK_CHAT)
        return engine_parse_bool(p, "logprobs", &p->logprobs_asked);
    return engine_parse_integer(p, "logprobs", 0, ENGINE_TOP_LOGPROBS_MAX, &p->request->logprobs);
}

static enum err read_top_logprobs(struct engine_parse *p)
{
    return engine_parse_integer(p, "top_logprobs", 0, ENGINE_TOP_LOGPROBS_MAX, &p->top_logprobs);
}

static enum err read_stream(struct engine_parse *p)
{
    return engine_parse_bool(p, "stream", &p->request->stream);
}

static enum err read_ignore_eos(struct engine_parse *p)
{
    return engine_parse_bool(p, "ignore_eos", &p->request->ignore_eos);
}

static enum err read_parallel_calls(struct engine_parse *p)
{
    bool several = true;
    TRY(engine_parse_bool(p, "parallel_tool_calls", &several));
    p->request->one_call = !several;
    return ERR_OK;
}

/* llama-server's: none leaves <think>…</think> in the content. */
static enum err read_reasoning_format(struct engine_parse *p)
{
    struct json_value v = json_take(&p->json);
    p->request->keeps_reasoning = json_eq(&v, STR("none"));
    return ERR_OK;
}

static enum err read_effort(struct engine_parse *p)
{
    struct json_value v = json_take(&p->json);
    if (v.kind == JSON_STRING)
        p->request->reasoning_effort = v.raw;
    return ERR_OK;
}

static enum err read_template_kwargs(struct engine_parse *p)
{
    struct json_value v = json_take(&p->json);
    if (v.kind == JSON_NULL)
        return ERR_OK;
    if (v.kind != JSON_OBJECT)
        return engine_parse_fail(p, "chat_template_kwargs",
                                 "'chat_template_kwargs' must be an object of variables");
    p->request->template_kwargs = v.raw;
    return ERR_OK;
}

static enum err read_echo(struct engine_parse *p)
{
    return engine_parse_bool(p, "echo", &p->request->echo);
}

static enum err read_prompt(struct engine_parse *p)
{
    return engine_parse_inputs(p, "prompt");
}

static enum err read_input(struct engine_parse *p)
{
    return engine_parse_inputs(p, "input");
}

static enum err read_text(struct engine_parse *p)
{
    return engine_parse_inputs(p, "content");
}

static enum err read_dimensions(struct engine_parse *p)
{
    return engine_parse_integer(p, "dimensions", 1, INT32_MAX, &p->request->dimensions);
}

static enum err read_top_n(struct engine_parse *p)
{
    return engine_parse_integer(p, "top_n", 1, INT32_MAX, &p->request->top_n);
}

static enum err read_return_documents(struct engine_parse *p)
{
    return engine_parse_bool(p, "return_documents", &p->request->return_documents);
}

static enum err read_add_special(struct engine_parse *p)
{
    return engine_parse_bool(p, "add_special", &p->request->add_special);
}

static enum err read_parse_special(struct engine_parse *p)
{
    return engine_parse_bool(p, "parse_special", &p->request->parse_special);
}

static enum err read_with_pieces(struct engine_parse *p)
{
    return engine_parse_bool(p, "with_pieces", &p->request->with_pieces);
}

#define TASK(name) (1u << FRAME_TASK_##name)
#define GENERATES  (TASK(CHAT) | TASK(COMPLETION))

static const struct {
    const char *name;
    unsigned tasks; /* that have it; to others it is a hint */
    enum err (*read)(struct engine_parse *p);
} fields[] = {
    {"messages", TASK(CHAT) | TASK(TOKENIZE), engine_parse_messages},
    {"tools", TASK(CHAT) | TASK(TOKENIZE), engine_parse_tools},
    {"tool_choice", TASK(CHAT), engine_parse_tool_choice},
    {"parallel_tool_calls", TASK(CHAT), read_parallel_calls},
    {"reasoning_format", TASK(CHAT), read_reasoning_format},
    {"reasoning_effort", TASK(CHAT) | TASK(TOKENIZE), read_effort},
    {"chat_template_kwargs", TASK(CHAT) | TASK(TOKENIZE), read_template_kwargs},
    {"prompt", TASK(COMPLETION), read_prompt},
    {"stop", GENERATES, read_stop},
    {"logit_bias", GENERATES, read_bias},
    {"seed", GENERATES, read_seed},
    {"stream_options", GENERATES, read_stream_options},
    {"max_tokens", GENERATES, read_max_tokens},
    {"max_completion_tokens", TASK(CHAT), read_max_completion_tokens},
    {"top_k", GENERATES, read_top_k},
    {"n", GENERATES, read_n},
    {"logprobs", GENERATES, read_logprobs},
    {"top_logprobs", TASK(CHAT), read_top_logprobs},
    {"stream", GENERATES, read_stream},
    {"ignore_eos", GENERATES, read_ignore_eos},
    {"response_format", GENERATES, engine_parse_format},
    {"json_schema", GENERATES, engine_parse_schema},
    {"guided_json", GENERATES, engine_parse_schema},
    {"grammar", GENERATES, engine_parse_grammar},
    {"echo", TASK(COMPLETION), read_echo},
    {"input", TASK(EMBEDDING), read_input},
    {"dimensions", TASK(EMBEDDING), read_dimensions},
    {"encoding_format", TASK(EMBEDDING), engine_parse_encoding},
    {"query", TASK(RERANK), engine_parse_query},
    {"documents", TASK(RERANK), engine_parse_documents},
    {"top_n", TASK(RERANK), read_top_n},
    {"return_documents", TASK(RERANK), read_return_documents},
    {"content", TASK(TOKENIZE), read_text},
    {"add_special", TASK(TOKENIZE), read_add_special},
    {"parse_special", TASK(TOKENIZE), read_parse_special},
    {"with_pieces", TASK(TOKENIZE), read_with_pieces},
};

static enum err read_member(struct engine_parse *p, const struct json_value *key)
{
    unsigned task = 1u << p->request->task;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if ((fields[i].tasks & task) && json_eq(key, str_from_c(fields[i].name)))
            return fields[i].read(p);
    if (!(task & GENERATES))
        return ERR_OK; /* a hint: skipped by the next json_next_member */
    for (size_t i = 0; i < sizeof number_fields / sizeof *number_fields; i++)
        if (json_eq(key, str_from_c(number_fields[i].name)))
            return read_number(p, &number_fields[i]);
    for (size_t i = 0; i < sizeof refused_fields / sizeof *refused_fields; i++)
        if (json_eq(key, str_from_c(refused_fields[i])))
            return refuse(p, refused_fields[i]);
    return ERR_OK;
}

/* ---- The whole ---- */

static enum err settle_generation(struct engine_parse *p)
{
    struct engine_request *r = p->request;
    r->max_tokens = p->limit_completion >= 0 ? p->limit_completion : p->limit_chat;
    if (r->task == FRAME_TASK_COMPLETION && r->max_tokens < 0)
        r->max_tokens = ENGINE_COMPLETION_TOKENS;
    if (r->max_tokens == 0 && !r->echo)
        return engine_parse_fail(p, "max_tokens", "'max_tokens' can be 0 only with 'echo'");
    if (r->task == FRAME_TASK_CHAT && p->top_logprobs > 0 && !p->logprobs_asked)
        return engine_parse_fail(p, "top_logprobs", "'top_logprobs' needs 'logprobs': true");
    if (p->logprobs_asked)
        r->logprobs = p->top_logprobs;
    if (r->grammar_is_json && r->stop_count)
        return engine_parse_fail(p, "stop", "'stop' could cut the JSON that is asked for");
    TRY(engine_settle_tools(p));
    size_t prompts = r->task == FRAME_TASK_COMPLETION ? r->input_count : 1;
    if (prompts * (size_t)r->choices > ENGINE_CHOICES_MAX)
        return engine_parse_fail(p, "n",
                                 "the request asks for %zu choices; at most %d are possible",
                                 prompts * (size_t)r->choices, ENGINE_CHOICES_MAX);
    return ERR_OK;
}

static enum err settle(struct engine_parse *p)
{
    struct engine_request *r = p->request;
    switch (r->task) {
    case FRAME_TASK_CHAT:
        if (r->message_count == 0)
            return engine_parse_fail(p, "messages", "'messages' must have at least one message");
        return settle_generation(p);
    case FRAME_TASK_COMPLETION:
        if (r->input_count == 0)
            return engine_parse_fail(p, "prompt", "'prompt' must be given");
        return settle_generation(p);
    case FRAME_TASK_EMBEDDING:
        if (r->input_count == 0)
            return engine_parse_fail(p, "input", "'input' must be given");
        return ERR_OK;
    case FRAME_TASK_RERANK:
        if (!r->query.ptr || r->input_count == 0)
            return engine_parse_fail(p, r->query.ptr ? "documents" : "query",
                                     "'query' and 'documents' must be given");
        return ERR_OK;
    case FRAME_TASK_TOKENIZE:
        if (r->input_count == 0 && r->message_count == 0)
            return engine_parse_fail(p, "content", "'content' or 'messages' must be given");
        return ERR_OK;
    }
    return ERR_INVALID;
}

static enum err read_members(struct engine_parse *p)
{
    struct json_value key;
    if (!json_enter(&p->json, JSON_OBJECT))
        return p->json.fault ? ERR_INVALID
                             : engine_parse_fail(p, NULL, "the body must be a JSON object");
    while (json_next_member(&p->json, &key))
        TRY(read_member(p, &key));
    return json_finish(&p->json) ? settle(p) : ERR_INVALID;
}

enum err engine_request_read(enum frame_task task, struct str json,
                             const struct engine_sampling *defaults,
                             struct engine_request *ret_request, struct openai_problem *ret_problem)
{
    struct engine_request request = {
        .task = task, .sampling = *defaults, .choices = 1, .logprobs = -1};
    struct engine_parse p = {
        .request = &request, .problem = ret_problem, .limit_chat = -1, .limit_completion = -1};
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
        (void)engine_parse_fail(&p, NULL, "the body is not valid JSON: %s", buf_cstr(&text));
    }
    arena_release(&request.arena);
    return e;
}

void engine_request_release(struct engine_request *request)
{
    arena_release(&request->arena);
}
