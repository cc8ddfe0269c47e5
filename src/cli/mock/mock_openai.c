/* OpenAI: chat, completions, embeddings, models, errors.
 *
 *   a chat stream, n choices, u units:   role × n | unit 0 × n | … | unit u-1 × n | finish × n
 *                                        | usage, if asked | [DONE]
 */
#include <math.h>

#include "cli/mock/mock_dialect.h"
#include "codec/base64.h"
#include "codec/json_write.h"

#define CREATED "1700000000"

static bool usage_in_finish(const struct mock_ask *ask)
{
    return ask->fault.kind == FAULT_USAGE_ON_FINISH || ask->fault.kind == FAULT_USAGE_TWICE;
}

/* Is there a chunk that holds nothing but usage? */
static bool usage_alone(const struct mock_ask *ask)
{
    switch (ask->fault.kind) {
    case FAULT_USAGE_NEVER:
    case FAULT_USAGE_ON_FINISH: return false;
    case FAULT_USAGE_TWICE:
    case FAULT_USAGE_LATE: return true;
    default: return ask->include_usage;
    }
}

static void append_usage(const struct mock_ask *ask, size_t units, struct buf *out)
{
    uint64_t output = mock_ask_tokens_of(ask, units) * ask->choices;
    uint64_t total = ask->prompt_tokens + output;
    bool details = ask->fault.kind == FAULT_USAGE_DETAILS;
    buf_printf(out,
               "{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,\"total_tokens\":%llu,"
               "\"prompt_tokens_details\":{\"cached_tokens\":%llu,\"audio_tokens\":0},"
               "\"completion_tokens_details\":{\"reasoning_tokens\":%llu,\"audio_tokens\":0}}",
               (unsigned long long)ask->prompt_tokens, (unsigned long long)output,
               (unsigned long long)total,
               (unsigned long long)(details ? ask->prompt_tokens / 2 : 0),
               (unsigned long long)(details ? output / 2 : 0));
}

static void append_finish_reason(const struct mock_ask *ask, struct buf *out)
{
    if (ask->call_count > 0)
        buf_append_str(out, STR("\"tool_calls\""));
    else if (ask->cut_short)
        buf_append_str(out, STR("\"length\""));
    else
        buf_append_str(out, STR("\"stop\""));
}

/* ---- Whole bodies ---- */

static void append_call(const struct mock_ask *ask, size_t i, struct buf *out)
{
    buf_printf(out, "{\"id\":\"call_mock_%zu\",\"type\":\"function\",\"function\":{\"name\":", i);
    buf_append_str(out, ask->calls[i].name);
    buf_append_str(out, STR(",\"arguments\":\""));
    json_escape_append(out, ask->calls[i].arguments);
    buf_append_str(out, STR("\"}}"));
}

static void append_message(const struct mock_ask *ask, struct buf *out)
{
    buf_append_str(out, STR("{\"role\":\"assistant\",\"content\":"));
    if (ask->call_count == 0) {
        buf_append_char(out, '"');
        mock_ask_text_append(ask, out);
        buf_append_str(out, STR("\",\"refusal\":null}"));
        return;
    }
    buf_append_str(out, STR("null,\"refusal\":null,\"tool_calls\":["));
    for (size_t i = 0; i < ask->call_count; i++) {
        if (i > 0)
            buf_append_char(out, ',');
        append_call(ask, i, out);
    }
    buf_append_str(out, STR("]}"));
}

static void append_choice(const struct mock_ask *ask, uint32_t index, struct buf *out)
{
    buf_printf(out, "{\"index\":%u,", index);
    if (ask->api == MOCK_API_CHAT) {
        buf_append_str(out, STR("\"message\":"));
        append_message(ask, out);
    } else {
        buf_append_str(out, STR("\"text\":\""));
        mock_ask_text_append(ask, out);
        buf_append_char(out, '"');
    }
    buf_append_str(out, STR(",\"logprobs\":null,\"finish_reason\":"));
    append_finish_reason(ask, out);
    buf_append_char(out, '}');
}

static void append_generation(const struct mock_ask *ask, struct buf *out)
{
    bool chat = ask->api == MOCK_API_CHAT;
    buf_printf(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":" CREATED ",\"model\":",
               chat ? "chatcmpl-mock" : "cmpl-mock", chat ? "chat.completion" : "text_completion");
    buf_append_str(out, ask->model_json);
    buf_append_str(out, STR(",\"choices\":["));
    for (uint32_t i = 0; i < ask->choices; i++) {
        if (i > 0)
            buf_append_char(out, ',');
        append_choice(ask, i, out);
    }
    buf_append_char(out, ']');
    if (ask->fault.kind != FAULT_USAGE_NEVER) {
        buf_append_str(out, STR(",\"usage\":"));
        append_usage(ask, mock_ask_units(ask), out);
    }
    buf_append_str(out, STR(",\"system_fingerprint\":\"fp_mock\"}"));
}

/* FNV-1a, then a xorshift walk: the same text always has the same vector, of length 1. */
static void make_vector(struct str text, float *ret_vector, uint32_t dimensions)
{
    uint64_t state = 0xcbf29ce484222325u;
    double square = 0;
    for (size_t i = 0; i < text.len; i++)
        state = (state ^ (unsigned char)text.ptr[i]) * 0x100000001b3u;
    state |= 1;
    for (uint32_t i = 0; i < dimensions; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ret_vector[i] = (float)((double)(state >> 11) * 0x1p-52 - 1);
        square += (double)ret_vector[i] * (double)ret_vector[i];
    }
    for (uint32_t i = 0; i < dimensions; i++)
        ret_vector[i] = (float)((double)ret_vector[i] / sqrt(square));
}

static void append_embedding(const struct mock_ask *ask, size_t i, struct buf *out)
{
    static float vector[MOCK_DIMENSIONS_MAX]; /* one thread */
    make_vector(ask->inputs[i], vector, ask->dimensions);
    buf_printf(out, "{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i);
    if (ask->base64) {
        buf_append_char(out, '"');
        base64_encode(str_of((const char *)vector, ask->dimensions * sizeof vector[0]), out);
        buf_append_char(out, '"');
    } else {
        for (uint32_t d = 0; d < ask->dimensions; d++)
            buf_printf(out, "%c%.9g", d == 0 ? '[' : ',', (double)vector[d]);
        buf_append_char(out, ']');
    }
    buf_append_char(out, '}');
}

static void append_embeddings(const struct mock_ask *ask, struct buf *out)
{
    buf_append_str(out, STR("{\"object\":\"list\",\"data\":["));
    for (size_t i = 0; i < ask->input_count; i++) {
        if (i > 0)
            buf_append_char(out, ',');
        append_embedding(ask, i, out);
    }
    buf_append_str(out, STR("],\"model\":"));
    buf_append_str(out, ask->model_json);
    buf_printf(out, ",\"usage\":{\"prompt_tokens\":%llu,\"total_tokens\":%llu}}",
               (unsigned long long)ask->prompt_tokens, (unsigned long long)ask->prompt_tokens);
}

static void openai_body(const struct mock_ask *ask, struct buf *out)
{
    switch (ask->api) {
    case MOCK_API_EMBEDDINGS: append_embeddings(ask, out); break;
    case MOCK_API_MODELS:
        buf_append_str(out, STR("{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":"
                                "\"model\",\"created\":" CREATED ",\"owned_by\":\"weir\"}]}"));
        break;
    default: append_generation(ask, out); break;
    }
}

/* ---- Streams ---- */

/* Deltas of one choice: units of text, or each call's head and its arguments' pieces. */
static size_t deltas(const struct mock_ask *ask)
{
    if (ask->call_count == 0)
        return mock_ask_units(ask);
    size_t count = 0;
    for (size_t i = 0; i < ask->call_count; i++)
        count += 1 + mock_pieces(ask->calls[i].arguments);
    return count;
}

static size_t openai_first_content(const struct mock_ask *ask)
{
    return ask->api == MOCK_API_CHAT ? ask->choices : 0;
}

static size_t openai_events(const struct mock_ask *ask)
{
    size_t count = openai_first_content(ask) + (deltas(ask) + 1) * ask->choices;
    count += usage_alone(ask) ? 1 : 0;
    return count + (ask->fault.kind == FAULT_NO_DONE ? 0 : 1);
}

static void append_call_delta(const struct mock_ask *ask, size_t i, struct buf *out)
{
    size_t call = 0;
    while (i > mock_pieces(ask->calls[call].arguments))
        i -= 1 + mock_pieces(ask->calls[call++].arguments);
    buf_printf(out, "{\"tool_calls\":[{\"index\":%zu,", call);
    if (i == 0) {
        buf_printf(out,
                   "\"id\":\"call_mock_%zu\",\"type\":\"function\",\"function\":{\"name\":", call);
        buf_append_str(out, ask->calls[call].name);
        buf_append_str(out, STR(",\"arguments\":\"\"}}]}"));
        return;
    }
    buf_append_str(out, STR("\"function\":{\"arguments\":\""));
    json_escape_append(out, mock_piece(ask->calls[call].arguments, i - 1));
    buf_append_str(out, STR("\"}}]}"));
}

static void append_delta(const struct mock_ask *ask, size_t i, struct buf *out)
{
    if (ask->api != MOCK_API_CHAT) {
        buf_append_str(out, STR("\"text\":\""));
        mock_ask_unit_append(ask, i, out);
        buf_append_str(out, STR("\","));
        return;
    }
    buf_append_str(out, STR("\"delta\":"));
    if (ask->call_count > 0) {
        append_call_delta(ask, i, out);
    } else {
        buf_append_str(out, STR("{\"content\":\""));
        mock_ask_unit_append(ask, i, out);
        buf_append_str(out, STR("\"}"));
    }
    buf_append_char(out, ',');
}

static void append_first_delta(const struct mock_ask *ask, struct buf *out)
{
    buf_append_str(out, STR("\"delta\":{\"role\":\"assistant\",\"content\":"));
    buf_append_str(out, ask->call_count > 0 ? STR("null") : STR("\"\""));
    buf_append_str(out, STR(",\"refusal\":null},"));
}

static void append_chunk_head(const struct mock_ask *ask, struct buf *out)
{
    if (ask->api == MOCK_API_CHAT)
        buf_append_str(out, STR("{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\","
                                "\"created\":" CREATED ",\"model\":"));
    else
        buf_append_str(out, STR("{\"id\":\"cmpl-mock\",\"object\":\"text_completion\","
                                "\"created\":" CREATED ",\"model\":"));
    buf_append_str(out, ask->model_json);
    buf_append_str(out, STR(",\"system_fingerprint\":\"fp_mock\",\"choices\":["));
}

/* What follows the choices: usage so far, whole usage, null where it will come, or nothing. */
static void append_chunk_tail(const struct mock_ask *ask, size_t units, bool finish,
                              struct buf *out)
{
    buf_append_char(out, ']');
    if (ask->fault.kind == FAULT_USAGE_CUMULATIVE || (finish && usage_in_finish(ask))) {
        buf_append_str(out, STR(",\"usage\":"));
        append_usage(ask, units, out);
    } else if (ask->include_usage) {
        buf_append_str(out, STR(",\"usage\":null"));
    }
    buf_append_char(out, '}');
}

static void append_choice_chunk(const struct mock_ask *ask, size_t i, struct buf *out)
{
    size_t first = openai_first_content(ask);
    size_t finish = first + deltas(ask) * ask->choices;
    append_chunk_head(ask, out);
    buf_append_str(out, STR("{\"index\":"));
    buf_append_u64(out, i % ask->choices);
    buf_append_char(out, ',');
    if (i < first)
        append_first_delta(ask, out);
    else if (i < finish)
        append_delta(ask, (i - first) / ask->choices, out);
    else
        buf_append_str(out,
                       ask->api == MOCK_API_CHAT ? STR("\"delta\":{},") : STR("\"text\":\"\","));
    buf_append_str(out, STR("\"logprobs\":null,\"finish_reason\":"));
    if (i < finish)
        buf_append_str(out, STR("null"));
    else
        append_finish_reason(ask, out);
    buf_append_char(out, '}');
    size_t units = i < first ? 0 : i < finish ? (i - first) / ask->choices + 1 : deltas(ask);
    append_chunk_tail(ask, units, i >= finish, out);
}

static void append_usage_chunk(const struct mock_ask *ask, struct buf *out)
{
    append_chunk_head(ask, out);
    if (ask->fault.kind == FAULT_USAGE_LATE)
        buf_append_str(out, STR("{\"index\":0,\"delta\":{\"content\":\"\"},\"logprobs\":null,"
                                "\"finish_reason\":null}"));
    buf_append_str(out, STR("],\"usage\":"));
    append_usage(ask, mock_ask_units(ask), out);
    buf_append_char(out, '}');
}

static struct str openai_event(const struct mock_ask *ask, size_t i, struct buf *out)
{
    size_t chunks = openai_first_content(ask) + (deltas(ask) + 1) * ask->choices;
    if (i < chunks)
        append_choice_chunk(ask, i, out);
    else if (i == chunks && usage_alone(ask))
        append_usage_chunk(ask, out);
    else
        buf_append_str(out, STR("[DONE]"));
    return STR("");
}

/* ---- Errors ---- */

struct error_kind {
    const char *type;
    const char *code;
};

static struct error_kind error_kind_of(int status)
{
    switch (status) {
    case 401: return (struct error_kind){"authentication_error", "invalid_api_key"};
    case 403: return (struct error_kind){"permission_error", "forbidden"};
    case 404: return (struct error_kind){"invalid_request_error", "model_not_found"};
    case 429: return (struct error_kind){"rate_limit_error", "rate_limit_exceeded"};
    default:
        return status < 500 ? (struct error_kind){"invalid_request_error", "invalid_value"}
                            : (struct error_kind){"server_error", "server_error"};
    }
}

static void openai_error(int status, struct str message, struct buf *out)
{
    struct error_kind kind = error_kind_of(status);
    buf_append_str(out, STR("{\"error\":{\"message\":\""));
    json_escape_append(out, message);
    buf_printf(out, "\",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}", kind.type, kind.code);
}

const struct mock_dialect mock_openai = {
    .body = openai_body,
    .events = openai_events,
    .first_content = openai_first_content,
    .event = openai_event,
    .error = openai_error,
    .error_event_type = STR_INIT(""),
};
