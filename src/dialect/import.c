#include "dialect/import.h"

#include <stdio.h>

#include "codec/decimal.h"
#include "codec/json_scan.h"
#include "codec/time.h"
#include "codec/usage.h"

enum { DEPTH_MAX = 256, TOKENS_MAX = 1 << 30 };

/* What is known of a call, whoever kept it. */
struct kept {
    struct str source_id, time, end, first, key, endpoint, model, provider, user, session, cost;
    struct str error;
    int64_t time_us, total_us, first_us; /* -1: not known */
    int64_t status;
    bool failed, cached;
    struct usage usage;
    struct json_value request, response, usage_raw, metadata;
};

struct str import_source_name(enum import_source source)
{
    static const struct str names[IMPORT_SOURCES] = {STR_INIT("litellm"), STR_INIT("helicone"),
                                                     STR_INIT("langfuse"), STR_INIT("openai"),
                                                     STR_INIT("anthropic")};
    return names[source];
}

enum err import_source_from_name(struct str name, enum import_source *ret_source)
{
    for (int i = 0; i < IMPORT_SOURCES; i++)
        if (str_eq(name, import_source_name((enum import_source)i))) {
            *ret_source = (enum import_source)i;
            return ERR_OK;
        }
    return ERR_INVALID;
}

/* ---- Reading ---- */

/* The member of the first of these names that is there and not null. Names are paths; NULL ends
 * them. */
static bool find(struct str object, const char *const *names, struct json_value *ret_value)
{
    for (; *names; names++)
        if (json_find(object, *names, ret_value) && ret_value->kind != JSON_NULL)
            return true;
    *ret_value = (struct json_value){.kind = JSON_NONE};
    return false;
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct str text(struct str object, const char *const *names, struct arena *a)
{
    struct json_value value;
    if (!find(object, names, &value))
        return STR_NONE;
    return value.kind == JSON_STRING ? json_text(&value, a) : value.raw;
}

static int64_t number(struct str object, const char *const *names)
{
    struct json_value value;
    int64_t n = -1;
    double real = -1;
    if (!find(object, names, &value))
        return -1;
    if (json_to_i64(&value, &n) == ERR_OK)
        return n >= 0 ? n : -1;
    if (json_to_double(&value, &real) == ERR_OK && real >= 0 && real <= 1e15)
        return (int64_t)real;
    return -1;
}

/* JSON that stands in a text is taken out of it. */
static struct json_value body(struct str object, const char *const *names, struct arena *a)
{
    struct json_value value;
    struct json_value inner;
    if (find(object, names, &value) && value.kind == JSON_STRING &&
        json_validate(json_text(&value, a), DEPTH_MAX, &inner) == ERR_OK)
        return inner;
    return value;
}

/* RFC 3339, with or without a zone (UTC then), or seconds since 1970. */
static int64_t moment(struct str said, struct arena *a)
{
    int64_t us;
    uint64_t seconds;
    if (!said.len || said.len > 64)
        return -1;
    if (str_to_u64(said, &seconds) == ERR_OK && seconds < UINT64_C(100000000000))
        return (int64_t)seconds * 1000000;
    if (time_parse(said, &us) == ERR_OK)
        return us;
    char *with_zone = arena_alloc(a, said.len + 1);
    memcpy(with_zone, said.ptr, said.len);
    with_zone[said.len] = 'Z';
    return time_parse(str_of(with_zone, said.len + 1), &us) == ERR_OK ? us : -1;
}

static void take_times(struct kept *k, struct arena *a)
{
    int64_t end = moment(k->end, a);
    int64_t first = moment(k->first, a);
    k->time_us = moment(k->time, a);
    if (k->time_us >= 0 && end >= k->time_us && k->total_us < 0)
        k->total_us = end - k->time_us;
    if (k->time_us >= 0 && first >= k->time_us && k->first_us < 0)
        k->first_us = first - k->time_us;
}

static int64_t within(int64_t count)
{
    return count < 0 ? 0 : count > TOKENS_MAX ? TOKENS_MAX : count;
}

/* Parts above their whole were counted beside it, as everywhere (codec/usage.h). */
static void take_usage(struct kept *k, int64_t input, int64_t cached, int64_t written,
                       int64_t output, int64_t reasoning)
{
    struct usage *u = &k->usage;
    if (input < 0 && output < 0)
        return;
    *u = (struct usage){.input = within(input),
                        .cached_input = within(cached),
                        .cache_write = within(written),
                        .output = within(output),
                        .reasoning = within(reasoning),
                        .source = USAGE_PROVIDER};
    if (u->cached_input + u->cache_write > u->input) {
        u->input += u->cached_input + u->cache_write;
        u->suspect |= USAGE_SUSPECT_INPUT;
    }
    if (u->reasoning > u->output) {
        u->output += u->reasoning;
        u->suspect |= USAGE_SUSPECT_OUTPUT;
    }
}

/* A usage object of OpenAI's or Anthropic's. */
static void take_usage_object(struct kept *k, const struct json_value *usage)
{
    if (usage->kind != JSON_OBJECT)
        return;
    struct str u = usage->raw;
    int64_t cached = number(
        u, NAMES("prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens"));
    int64_t read = number(u, NAMES("cache_read_input_tokens"));
    int64_t written = number(u, NAMES("cache_creation_input_tokens"));
    int64_t input = number(u, NAMES("prompt_tokens", "input_tokens"));
    bool beside = cached < 0 && (read > 0 || written > 0); /* Anthropic's form */
    take_usage(k, beside ? input + within(read) + within(written) : input,
               cached >= 0 ? cached : read, written,
               number(u, NAMES("completion_tokens", "output_tokens")),
               number(u, NAMES("completion_tokens_details.reasoning_tokens",
                               "output_tokens_details.reasoning_tokens")));
    k->usage_raw = *usage;
}

/* ---- Sources ---- */

static const char *read_litellm(struct kept *k, struct str l, struct arena *a)
{
    struct str type = text(l, NAMES("call_type"), a);
    k->source_id = text(l, NAMES("request_id"), a);
    k->time = text(l, NAMES("startTime", "start_time"), a);
    k->end = text(l, NAMES("endTime", "end_time"), a);
    k->first = text(l, NAMES("completionStartTime"), a);
    k->key = text(l, NAMES("metadata.user_api_key_alias", "key_alias"), a);
    k->endpoint = str_find(type, STR("embedding")) >= 0         ? STR("embeddings")
                  : str_find(type, STR("text_completion")) >= 0 ? STR("completions")
                  : str_find(type, STR("responses")) >= 0       ? STR("responses")
                                                                : STR("chat");
    k->model = text(l, NAMES("model_group", "model"), a);
    k->provider = text(l, NAMES("custom_llm_provider"), a);
    k->user = text(l, NAMES("end_user", "user"), a);
    k->session = text(l, NAMES("session_id"), a);
    k->cost = text(l, NAMES("spend"), a);
    k->failed = str_eq(text(l, NAMES("status"), a), STR("failure"));
    k->cached = str_eq_nocase(text(l, NAMES("cache_hit"), a), STR("true"));
    k->error = text(l, NAMES("metadata.error_information.error_message", "exception"), a);
    k->request = body(l, NAMES("proxy_server_request", "messages"), a);
    k->response = body(l, NAMES("response"), a);
    take_usage(k, number(l, NAMES("prompt_tokens")), -1, -1, number(l, NAMES("completion_tokens")),
               -1);
    (void)find(l, NAMES("metadata"), &k->metadata);
    return k->source_id.len ? NULL : "it has no request_id: no line of LiteLLM's spend logs";
}

static const char *read_helicone(struct kept *k, struct str l, struct arena *a)
{
    struct str path = text(l, NAMES("request_path", "path"), a);
    int64_t delay_ms = number(l, NAMES("delay_ms", "response.delay_ms"));
    int64_t first_ms = number(l, NAMES("time_to_first_token"));
    k->source_id = text(l, NAMES("request_id", "id"), a);
    k->time = text(l, NAMES("request_created_at", "created_at"), a);
    k->total_us = delay_ms < 0 ? -1 : delay_ms * 1000;
    k->first_us = first_ms < 0 ? -1 : first_ms * 1000;
    k->endpoint = str_ends(path, STR("/embeddings")) ? STR("embeddings") : STR("chat");
    k->model = text(l, NAMES("request_model", "model", "response_model"), a);
    k->provider = text(l, NAMES("provider"), a);
    k->user = text(l, NAMES("request_user_id", "user_id"), a);
    k->session = text(
        l, NAMES("request_properties.Helicone-Session-Id", "properties.Helicone-Session-Id"), a);
    k->cost = text(l, NAMES("cost_usd", "costUSD", "cost"), a);
    k->status = number(l, NAMES("response_status", "status"));
    k->failed = k->status >= 400;
    k->request = body(l, NAMES("request_body", "request"), a);
    k->response = body(l, NAMES("response_body", "response"), a);
    take_usage(k, number(l, NAMES("prompt_tokens")), number(l, NAMES("prompt_cache_read_tokens")),
               number(l, NAMES("prompt_cache_write_tokens")), number(l, NAMES("completion_tokens")),
               -1);
    (void)find(l, NAMES("request_properties", "properties"), &k->metadata);
    return k->source_id.len && k->time.len ? NULL
                                           : "it has no request_id or time: no line of Helicone's";
}

static const char *read_langfuse(struct kept *k, struct str l, struct arena *a)
{
    struct str type = text(l, NAMES("type"), a);
    k->endpoint = str_eq_nocase(type, STR("EMBEDDING")) ? STR("embeddings") : STR("chat");
    if (!str_eq_nocase(type, STR("GENERATION")) && !str_eq_nocase(type, STR("EMBEDDING")))
        return type.len ? "it is an observation, but no generation"
                        : "it has no type: no observation of Langfuse's";
    k->source_id = text(l, NAMES("id"), a);
    k->time = text(l, NAMES("startTime", "start_time"), a);
    k->end = text(l, NAMES("endTime", "end_time"), a);
    k->first = text(l, NAMES("completionStartTime", "completion_start_time"), a);
    k->model = text(l, NAMES("providedModelName", "model", "provided_model_name"), a);
    k->user = text(l, NAMES("userId", "user_id"), a);
    k->session = text(l, NAMES("sessionId", "session_id"), a);
    k->cost = text(
        l, NAMES("calculatedTotalCost", "totalCost", "costDetails.total", "cost_details.total"), a);
    k->failed = str_eq(text(l, NAMES("level"), a), STR("ERROR"));
    k->error = text(l, NAMES("statusMessage", "status_message"), a);
    k->request = body(l, NAMES("input"), a);
    k->response = body(l, NAMES("output"), a);
    take_usage(k,
               number(l, NAMES("usageDetails.input", "usage_details.input", "usage.input",
                               "promptTokens")),
               number(l, NAMES("usageDetails.input_cached_tokens",
                               "usageDetails.cache_read_input_tokens")),
               number(l, NAMES("usageDetails.cache_creation_input_tokens")),
               number(l, NAMES("usageDetails.output", "usage_details.output", "usage.output",
                               "completionTokens")),
               number(l, NAMES("usageDetails.output_reasoning_tokens")));
    (void)find(l, NAMES("metadata"), &k->metadata);
    return k->source_id.len && k->time.len ? NULL : "it has no id or startTime";
}

/* A batch's result, a stored completion, or an example of a conversation. */
static const char *read_openai(struct kept *k, struct str l, struct arena *a)
{
    struct json_value response;
    struct json_value usage;
    struct str object;
    k->provider = STR("openai");
    if (find(l, NAMES("response.body"), &response)) {
        k->source_id = text(l, NAMES("custom_id", "id"), a);
        k->status = number(l, NAMES("response.status_code"));
        k->failed = k->status >= 400;
        k->error = text(l, NAMES("response.body.error.message"), a);
    } else if (find(l, NAMES("error.message"), &response)) {
        k->source_id = text(l, NAMES("custom_id", "id"), a);
        k->failed = true;
        k->error = json_text(&response, a);
        response = (struct json_value){.kind = JSON_NONE};
    } else if (find(l, NAMES("object"), &response)) {
        response.raw = l;
        response.kind = JSON_OBJECT;
        k->source_id = text(l, NAMES("id"), a);
    } else if (find(l, NAMES("messages"), &response)) {
        k->request = (struct json_value){.raw = l, .kind = JSON_OBJECT};
        k->endpoint = STR("chat");
        k->model = text(l, NAMES("model"), a);
        return NULL;
    } else {
        return "it is no batch result, no stored completion and has no messages";
    }
    struct str r = response.kind == JSON_OBJECT ? response.raw : STR("{}");
    object = text(r, NAMES("object"), a);
    k->endpoint = str_eq(object, STR("list"))              ? STR("embeddings")
                  : str_eq(object, STR("text_completion")) ? STR("completions")
                  : str_eq(object, STR("response"))        ? STR("responses")
                                                           : STR("chat");
    k->time = text(r, NAMES("created", "created_at"), a);
    k->model = text(r, NAMES("model"), a);
    k->response = response;
    k->request = body(l, NAMES("request.body", "request", "input"), a);
    if (find(r, NAMES("usage"), &usage))
        take_usage_object(k, &usage);
    (void)find(r, NAMES("metadata"), &k->metadata);
    return NULL;
}

static const char *read_anthropic(struct kept *k, struct str l, struct arena *a)
{
    struct json_value message;
    struct json_value usage;
    struct str type = text(l, NAMES("result.type"), a);
    k->provider = STR("anthropic");
    k->endpoint = STR("messages");
    k->source_id = text(l, NAMES("custom_id", "id"), a);
    if (find(l, NAMES("result.message"), &message)) {
        k->response = message;
    } else if (type.len) {
        k->failed = true;
        k->error =
            text(l, NAMES("result.error.error.message", "result.error.message", "result.type"), a);
    } else if (str_eq(text(l, NAMES("type"), a), STR("message"))) {
        k->response = message = (struct json_value){.raw = l, .kind = JSON_OBJECT};
    } else {
        return "it is no batch result and no message";
    }
    if (message.kind == JSON_OBJECT) {
        k->model = text(message.raw, NAMES("model"), a);
        if (find(message.raw, NAMES("usage"), &usage))
            take_usage_object(k, &usage);
    }
    k->request = body(l, NAMES("params", "request"), a);
    if (!k->model.len && k->request.kind == JSON_OBJECT)
        k->model = text(k->request.raw, NAMES("model"), a);
    return NULL;
}

/* ---- Writing ---- */

static void member_time_us(struct json_writer *w, struct str key, int64_t us)
{
    json_key(w, key);
    if (us < 0)
        json_null(w);
    else
        json_i64(w, us);
}

static void member_value(struct json_writer *w, struct str key, const struct json_value *v)
{
    json_key(w, key);
    if (v->raw.len)
        json_raw(w, v->raw);
    else
        json_null(w);
}

/* Exactly as it was written, if that is a decimal number. */
static void write_cost(struct json_writer *w, const struct kept *k, struct str source)
{
    struct decimal amount;
    char digits[DECIMAL_TEXT_BYTES];
    struct json_value value;
    double real;
    json_key(w, STR("cost"));
    enum err error = k->cost.len ? decimal_parse(k->cost, &amount) : ERR_INVALID;
    if (error == ERR_OUT_OF_RANGE && json_validate(k->cost, 1, &value) == ERR_OK &&
        json_to_double(&value, &real) == ERR_OK && real >= 0 && real < 1e9) {
        amount.steps = (__int128)(real * 1e12) * 1000; /* more digits than a price has */
        error = ERR_OK;
    }
    if (error != ERR_OK || decimal_is_negative(amount)) {
        json_null(w);
        return;
    }
    json_object_begin(w);
    json_member_str(w, STR("amount"), decimal_format(amount, digits));
    json_member_str(w, STR("currency"), STR("USD"));
    json_member_str(w, STR("prices"), source);
    json_object_end(w);
}

static void write_target(struct json_writer *w, const struct kept *k)
{
    json_key(w, STR("target"));
    if (!k->provider.len || !k->model.len) {
        json_null(w);
        return;
    }
    json_str_begin(w);
    for (size_t i = 0; i < k->provider.len; i++) {
        char c = k->provider.ptr[i];
        char lower = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        json_escape_append(w->out, str_of(&lower, 1));
    }
    buf_append_char(w->out, '/');
    json_escape_append(w->out, k->model);
    json_str_end(w);
}

static void write_imported(struct json_writer *w, const struct kept *k, struct str source)
{
    json_key(w, STR("imported"));
    json_object_begin(w);
    json_member_str(w, STR("source"), source);
    json_member_str_or_null(w, STR("id"), k->source_id.len ? k->source_id : STR_NONE);
    json_object_end(w);
}

static void write_error(struct json_writer *w, const struct kept *k)
{
    json_key(w, STR("error"));
    if (!k->failed) {
        json_null(w);
        return;
    }
    json_object_begin(w);
    json_member_str(w, STR("type"), STR("api_error"));
    json_member_str(w, STR("message"), k->error.len ? k->error : STR("not told"));
    json_object_end(w);
}

static void write_kept(struct json_writer *w, const struct kept *k, struct str source)
{
    char time[TIME_TEXT_BYTES + 1];
    json_object_begin(w);
    json_member_str(w, STR("time"), time_format(k->time_us, time));
    json_member_str(w, STR("key"), k->key.len ? k->key : source);
    json_member_str(w, STR("endpoint"), k->endpoint);
    json_member_str_or_null(w, STR("model"), k->model.len ? k->model : STR_NONE);
    write_target(w, k);
    json_member_i64(w, STR("status"), k->status > 0 ? k->status : k->failed ? 500 : 200);
    json_member_str(w, STR("outcome"),
                    k->failed   ? STR("error")
                    : k->cached ? STR("cached")
                                : STR("ok"));
    json_member_bool(w, STR("stream"), k->first_us >= 0);
    json_member_raw(w, STR("attempts"), STR("[]"));
    json_key(w, STR("timing"));
    json_object_begin(w);
    member_time_us(w, STR("first_token_us"), k->first_us);
    member_time_us(w, STR("total_us"), k->total_us);
    json_object_end(w);
    json_key(w, STR("usage"));
    usage_write(w, &k->usage);
    member_value(w, STR("usage_raw"), &k->usage_raw);
    write_cost(w, k, source);
    write_error(w, k);
    member_value(w, STR("request"), &k->request);
    member_value(w, STR("response"), &k->response);
    json_member_bool(w, STR("response_complete"), k->response.raw.len > 0);
    member_value(w, STR("metadata"), &k->metadata);
    json_member_str_or_null(w, STR("user"), k->user.len ? k->user : STR_NONE);
    if (k->session.len)
        json_member_str(w, STR("session"), k->session);
    write_imported(w, k, source);
    json_object_end(w);
}

enum err import_call_write(enum import_source source, struct str line, int64_t now_us,
                           struct arena *a, struct buf *out, const char **ret_why)
{
    static const char *(*const readers[IMPORT_SOURCES])(
        struct kept *, struct str, struct arena *) = {read_litellm, read_helicone, read_langfuse,
                                                      read_openai, read_anthropic};
    struct kept k = {.time_us = -1, .total_us = -1, .first_us = -1, .status = -1};
    struct json_value value;
    struct json_writer w;
    if (json_validate(line, DEPTH_MAX, &value) != ERR_OK || value.kind != JSON_OBJECT) {
        *ret_why = "it is no JSON object";
        return ERR_INVALID;
    }
    const char *why = readers[source](&k, value.raw, a);
    if (why) {
        *ret_why = why;
        return ERR_INVALID;
    }
    take_times(&k, a);
    if (k.time.len && k.time_us < 0) {
        *ret_why = "its time cannot be read";
        return ERR_INVALID;
    }
    if (k.time_us < 0)
        k.time_us = now_us;
    json_writer_init(&w, out);
    write_kept(&w, &k, import_source_name(source));
    return out->error;
}
