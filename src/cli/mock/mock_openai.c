/* OpenAI: chat, completions, embeddings, models, errors; Azure's form of them.
 *
 *   a chat stream, n choices, d deltas:   role × n | delta 0 × n | … | delta d-1 × n | finish × n
 *                                         | usage, if asked | [DONE]
 *   Azure: one chunk before it, without choices, that tells what its filters found in the prompt.
 */
#include "cli/mock/mock_dialect.h"
#include "codec/json_write.h"

#define CREATED "1700000000"

#define FILTERED                                                                                   \
    "{\"hate\":{\"filtered\":false,\"severity\":\"safe\"},"                                        \
    "\"violence\":{\"filtered\":false,\"severity\":\"safe\"}}"
#define PROMPT_FILTERED                                                                            \
    "\"prompt_filter_results\":[{\"prompt_index\":0,\"content_filter_results\":" FILTERED "}]"

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

static void append_usage(const struct mock_ask *ask, uint64_t units, struct buf *out)
{
    struct mock_usage usage = mock_usage_of(ask, units);
    buf_printf(out,
               "{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,\"total_tokens\":%llu,"
               "\"prompt_tokens_details\":{\"cached_tokens\":%llu,\"audio_tokens\":0},"
               "\"completion_tokens_details\":{\"reasoning_tokens\":%llu,\"audio_tokens\":0}}",
               (unsigned long long)usage.input, (unsigned long long)usage.output,
               (unsigned long long)usage.total, (unsigned long long)usage.cache_read,
               (unsigned long long)usage.reasoning);
}

static struct str finish_reason(const struct mock_ask *ask)
{
    switch (ask->stop) {
    case STOP_LENGTH: return STR("\"length\"");
    case STOP_CALLS: return STR("\"tool_calls\"");
    case STOP_FILTER: return STR("\"content_filter\"");
    default: return STR("\"stop\"");
    }
}

/* ---- Logprobs ---- */

/* Chat: tokens one by one; completions: four columns. */
static void append_logprob_range(const struct mock_ask *ask, const struct mock_part *text,
                                 uint64_t from, uint64_t to, struct buf *out)
{
    if (ask->api == MOCK_API_CHAT) {
        buf_append_str(out, STR("{\"content\":["));
        for (uint64_t i = from; i < to; i++) {
            if (i > from)
                buf_append_char(out, ',');
            mock_logprob_append(ask, text, i, out);
        }
        buf_append_str(out, STR("],\"refusal\":null}"));
        return;
    }
    buf_append_str(out, STR("{\"tokens\":["));
    for (uint64_t i = from; i < to; i++) {
        buf_append_str(out, i > from ? STR(",\"") : STR("\""));
        mock_part_unit_append(text, i, out);
        buf_append_char(out, '"');
    }
    buf_append_str(out, STR("],\"token_logprobs\":["));
    for (uint64_t i = from; i < to; i++)
        buf_append_str(out, i > from ? STR(",-0.25") : STR("-0.25"));
    buf_append_str(out, STR("],\"top_logprobs\":null,\"text_offset\":null}"));
}

static void append_logprobs(const struct mock_ask *ask, const struct mock_part *text, uint64_t from,
                            uint64_t to, struct buf *out)
{
    buf_append_str(out, STR("\"logprobs\":"));
    if (ask->logprobs && text)
        append_logprob_range(ask, text, from, to, out);
    else
        buf_append_str(out, STR("null"));
}

/* ---- Whole bodies ---- */

/* `"name":` and the part's text in quotes; null when there is no such part. */
static void append_text_member(const struct mock_part *part, struct str name, struct buf *out)
{
    buf_append_char(out, '"');
    buf_append_str(out, name);
    buf_append_str(out, STR("\":"));
    if (!part) {
        buf_append_str(out, STR("null"));
        return;
    }
    buf_append_char(out, '"');
    mock_part_text_append(part, out);
    buf_append_char(out, '"');
}

static void append_call(const struct mock_part *part, struct buf *out)
{
    buf_append_str(out, STR("{\"id\":"));
    mock_call_id_append(part, "call_mock_", out);
    buf_append_str(out, STR(",\"type\":\"function\",\"function\":{\"name\":"));
    buf_append_str(out, part->name);
    buf_append_str(out, STR(",\"arguments\":\""));
    json_escape_append(out, part->text);
    buf_append_str(out, STR("\"}}"));
}

static void append_message(const struct mock_ask *ask, struct buf *out)
{
    static const struct mock_part nothing = {.kind = PART_TEXT};
    const struct mock_part *text = mock_part_of(ask, PART_TEXT);
    const struct mock_part *thinking = mock_part_of(ask, PART_THINKING);
    bool first = true;
    if (!text && ask->part_count == 0 && ask->stop != STOP_FILTER)
        text = &nothing;
    buf_append_str(out, STR("{\"role\":\"assistant\","));
    append_text_member(text, STR("content"), out);
    buf_append_char(out, ',');
    append_text_member(mock_part_of(ask, PART_REFUSAL), STR("refusal"), out);
    if (thinking) {
        buf_append_char(out, ',');
        append_text_member(thinking, STR("reasoning_content"), out);
    }
    for (size_t i = 0; i < ask->part_count; i++) {
        if (ask->parts[i].kind != PART_CALL)
            continue;
        buf_append_str(out, first ? STR(",\"tool_calls\":[") : STR(","));
        first = false;
        append_call(&ask->parts[i], out);
    }
    buf_append_str(out, first ? STR("}") : STR("]}"));
}

static void append_choice(const struct mock_ask *ask, uint32_t index, struct buf *out)
{
    const struct mock_part *text = mock_part_of(ask, PART_TEXT);
    buf_printf(out, "{\"index\":%u,", index);
    if (ask->api == MOCK_API_CHAT) {
        buf_append_str(out, STR("\"message\":"));
        append_message(ask, out);
    } else {
        buf_append_str(out, STR("\"text\":\""));
        if (text)
            mock_part_text_append(text, out);
        buf_append_char(out, '"');
    }
    buf_append_char(out, ',');
    append_logprobs(ask, text, 0, text ? text->units : 0, out);
    if (ask->azure)
        buf_append_str(out, STR(",\"content_filter_results\":" FILTERED));
    buf_append_str(out, STR(",\"finish_reason\":"));
    buf_append_str(out, finish_reason(ask));
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
    if (ask->azure)
        buf_append_str(out, STR("," PROMPT_FILTERED));
    if (ask->fault.kind != FAULT_USAGE_NEVER) {
        buf_append_str(out, STR(",\"usage\":"));
        append_usage(ask, UINT64_MAX, out);
    }
    buf_append_str(out, STR(",\"system_fingerprint\":\"fp_mock\"}"));
}

static void append_embeddings(const struct mock_ask *ask, struct buf *out)
{
    buf_append_str(out, STR("{\"object\":\"list\",\"data\":["));
    for (size_t i = 0; i < ask->input_count; i++) {
        buf_printf(out,
                   "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i > 0 ? "," : "", i);
        mock_vector_append(ask, i, out);
        buf_append_char(out, '}');
    }
    buf_append_str(out, STR("],\"model\":"));
    buf_append_str(out, ask->model_json);
    if (ask->fault.kind != FAULT_USAGE_NEVER)
        buf_printf(out, ",\"usage\":{\"prompt_tokens\":%llu,\"total_tokens\":%llu}",
                   (unsigned long long)ask->prompt_tokens, (unsigned long long)ask->prompt_tokens);
    buf_append_char(out, '}');
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

/* Of one part: units, and a call's head. */
static size_t deltas_of(const struct mock_part *part)
{
    return (size_t)part->units + (part->kind == PART_CALL);
}

/* Of one choice. */
static size_t deltas(const struct mock_ask *ask)
{
    size_t count = 0;
    for (size_t i = 0; i < ask->part_count; i++)
        count += deltas_of(&ask->parts[i]);
    return count;
}

/* Chunks before the choices' own. */
static size_t chunks_ahead(const struct mock_ask *ask)
{
    return ask->azure ? 1 : 0;
}

static size_t openai_first_content(const struct mock_ask *ask)
{
    return chunks_ahead(ask) + (ask->api == MOCK_API_CHAT ? ask->choices : 0);
}

static size_t openai_after_content(const struct mock_ask *ask)
{
    return openai_first_content(ask) + deltas(ask) * ask->choices;
}

static size_t openai_events(const struct mock_ask *ask)
{
    size_t count = openai_after_content(ask) + ask->choices + (usage_alone(ask) ? 1 : 0);
    if (ask->fault.kind == FAULT_DONE_TWICE)
        count++;
    return count + (ask->fault.kind == FAULT_NO_DONE ? 0 : 1);
}

/* index: of the call among the calls. */
static void append_call_delta(const struct mock_part *part, size_t index, size_t i, struct buf *out)
{
    buf_printf(out, "{\"tool_calls\":[{\"index\":%zu,", index);
    if (i == 0) {
        buf_append_str(out, STR("\"id\":"));
        mock_call_id_append(part, "call_mock_", out);
        buf_append_str(out, STR(",\"type\":\"function\",\"function\":{\"name\":"));
        buf_append_str(out, part->name);
        buf_append_str(out, STR(",\"arguments\":\"\"}}]}"));
        return;
    }
    buf_append_str(out, STR("\"function\":{\"arguments\":\""));
    json_escape_append(out, mock_piece(part->text, i - 1));
    buf_append_str(out, STR("\"}}]}"));
}

static void append_chat_delta(const struct mock_part *part, size_t call, size_t i, struct buf *out)
{
    static const struct str names[] = {
        [PART_THINKING] = STR_INIT("{\"reasoning_content\":\""),
        [PART_TEXT] = STR_INIT("{\"content\":\""),
        [PART_REFUSAL] = STR_INIT("{\"refusal\":\""),
    };
    buf_append_str(out, STR("\"delta\":"));
    if (part->kind == PART_CALL) {
        append_call_delta(part, call, i, out);
    } else {
        buf_append_str(out, names[part->kind]);
        mock_part_unit_append(part, i, out);
        buf_append_str(out, STR("\"}"));
    }
    buf_append_char(out, ',');
}

/* Delta i of a choice, and its logprobs. */
static void append_delta(const struct mock_ask *ask, size_t i, struct buf *out)
{
    size_t at = 0;
    size_t call = 0;
    while (i >= deltas_of(&ask->parts[at])) {
        call += ask->parts[at].kind == PART_CALL;
        i -= deltas_of(&ask->parts[at++]);
    }
    const struct mock_part *part = &ask->parts[at];
    if (ask->api == MOCK_API_CHAT) {
        append_chat_delta(part, call, i, out);
    } else {
        buf_append_str(out, STR("\"text\":\""));
        mock_part_unit_append(part, i, out);
        buf_append_str(out, STR("\","));
    }
    append_logprobs(ask, part->kind == PART_TEXT ? part : NULL, i, i + 1, out);
}

static void append_first_delta(const struct mock_ask *ask, struct buf *out)
{
    buf_append_str(out, STR("\"delta\":{\"role\":\"assistant\",\"content\":"));
    buf_append_str(out, ask->part_count == 0 || mock_part_of(ask, PART_TEXT) ? STR("\"\"")
                                                                             : STR("null"));
    buf_append_str(out, STR(",\"refusal\":null},\"logprobs\":null"));
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

/* i: among the choices' chunks. */
static void append_choice_chunk(const struct mock_ask *ask, size_t i, struct buf *out)
{
    size_t first = ask->api == MOCK_API_CHAT ? ask->choices : 0;
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
        buf_append_str(out, ask->api == MOCK_API_CHAT ? STR("\"delta\":{},\"logprobs\":null")
                                                      : STR("\"text\":\"\",\"logprobs\":null"));
    buf_append_str(out, STR(",\"finish_reason\":"));
    buf_append_str(out, i < finish ? STR("null") : finish_reason(ask));
    if (ask->azure && i >= first)
        buf_append_str(out, STR(",\"content_filter_results\":{}"));
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
    append_usage(ask, UINT64_MAX, out);
    buf_append_char(out, '}');
}

static struct str openai_event(const struct mock_ask *ask, size_t i, struct buf *out)
{
    size_t ahead = chunks_ahead(ask);
    size_t chunks = openai_after_content(ask) + ask->choices;
    if (i < ahead)
        buf_append_str(out, STR("{\"id\":\"\",\"object\":\"\",\"created\":0,\"model\":\"\","
                                "\"choices\":[]," PROMPT_FILTERED "}"));
    else if (i < chunks)
        append_choice_chunk(ask, i - ahead, out);
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
    .after_content = openai_after_content,
    .event = openai_event,
    .error = openai_error,
    .error_event_type = STR_INIT(""),
};
