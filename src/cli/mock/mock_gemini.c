/* Gemini: generateContent, countTokens, embeddings, models, errors.
 *
 *   a stream, n candidates:  delta 0 × n | … | delta d-1 × n | finish × n | usage alone, by a fault
 *   A call comes whole, in one delta; every chunk tells the usage so far. */
#include "cli/mock/mock_dialect.h"
#include "codec/json_write.h"

static struct str finish_reason(const struct mock_ask *ask)
{
    switch (ask->stop) {
    case STOP_LENGTH: return STR("\"MAX_TOKENS\"");
    case STOP_REFUSAL: return STR("\"SAFETY\"");
    default: return STR("\"STOP\"");
    }
}

/* Candidates without their thoughts, unlike elsewhere: the total holds both. */
static void append_usage(const struct mock_ask *ask, uint64_t units, struct buf *out)
{
    struct mock_usage usage = mock_usage_of(ask, units);
    buf_printf(out,
               "\"usageMetadata\":{\"promptTokenCount\":%llu,\"candidatesTokenCount\":%llu,"
               "\"totalTokenCount\":%llu",
               (unsigned long long)usage.input,
               (unsigned long long)(usage.output - usage.reasoning),
               (unsigned long long)usage.total);
    if (usage.cache_read > 0)
        buf_printf(out, ",\"cachedContentTokenCount\":%llu", (unsigned long long)usage.cache_read);
    if (usage.reasoning > 0)
        buf_printf(out, ",\"thoughtsTokenCount\":%llu", (unsigned long long)usage.reasoning);
    buf_append_char(out, '}');
}

static void append_tail(const struct mock_ask *ask, uint64_t units, bool usage, struct buf *out)
{
    if (usage && ask->fault.kind != FAULT_USAGE_NEVER) {
        buf_append_char(out, ',');
        append_usage(ask, units, out);
    }
    buf_append_str(out, STR(",\"modelVersion\":"));
    buf_append_str(out, ask->model_json);
    buf_printf(out, ",\"responseId\":\"resp_mock_%llu\"}", (unsigned long long)ask->calls_before);
}

/* `,"thoughtSignature":…`: thinking models sign the first call, or the text's end. */
static void append_signature(const struct mock_ask *ask, struct buf *out)
{
    if (ask->reasoning > 0)
        buf_append_str(out, STR(",\"thoughtSignature\":\"" MOCK_SIGNATURE "\""));
}

/* One part; unit UINT64_MAX: all of its text. */
static void append_part(const struct mock_ask *ask, const struct mock_part *part, uint64_t unit,
                        struct buf *out)
{
    if (part->kind == PART_CALL) {
        buf_append_str(out, STR("{\"functionCall\":{\"name\":"));
        buf_append_str(out, part->name);
        buf_append_str(out, STR(",\"args\":"));
        buf_append_str(out, part->text);
        buf_append_char(out, '}');
        if (part == mock_part_of(ask, PART_CALL))
            append_signature(ask, out);
        buf_append_char(out, '}');
        return;
    }
    buf_append_str(out, STR("{\"text\":\""));
    if (unit == UINT64_MAX)
        mock_part_text_append(part, out);
    else
        mock_part_unit_append(part, unit, out);
    buf_append_char(out, '"');
    if (part->kind == PART_THINKING)
        buf_append_str(out, STR(",\"thought\":true"));
    else if (unit == UINT64_MAX && part->kind == PART_TEXT)
        append_signature(ask, out);
    buf_append_char(out, '}');
}

/* ---- Whole bodies ---- */

static void append_candidate(const struct mock_ask *ask, uint32_t index, struct buf *out)
{
    buf_append_str(out, STR("{\"content\":{\"parts\":["));
    for (size_t i = 0; i < ask->part_count; i++) {
        if (i > 0)
            buf_append_char(out, ',');
        append_part(ask, &ask->parts[i], UINT64_MAX, out);
    }
    buf_append_str(out, STR("],\"role\":\"model\"},\"finishReason\":"));
    buf_append_str(out, finish_reason(ask));
    buf_printf(out, ",\"index\":%u}", index);
}

/* A prompt that a filter stops has no candidates at all. */
static void append_blocked(struct buf *out)
{
    buf_append_str(out, STR("{\"promptFeedback\":{\"blockReason\":\"PROHIBITED_CONTENT\"}"));
}

static void append_generation(const struct mock_ask *ask, struct buf *out)
{
    if (ask->stop == STOP_FILTER) {
        append_blocked(out);
        append_tail(ask, UINT64_MAX, true, out);
        return;
    }
    buf_append_str(out, STR("{\"candidates\":["));
    for (uint32_t i = 0; i < ask->choices; i++) {
        if (i > 0)
            buf_append_char(out, ',');
        append_candidate(ask, i, out);
    }
    buf_append_char(out, ']');
    append_tail(ask, UINT64_MAX, true, out);
}

static void append_values(const struct mock_ask *ask, size_t i, struct buf *out)
{
    buf_append_str(out, STR("{\"values\":"));
    mock_vector_append(ask, i, out);
    buf_append_char(out, '}');
}

static void append_embeddings(const struct mock_ask *ask, struct buf *out)
{
    buf_append_str(out, STR("{\"embeddings\":["));
    for (size_t i = 0; i < ask->input_count; i++) {
        if (i > 0)
            buf_append_char(out, ',');
        append_values(ask, i, out);
    }
    buf_append_str(out, STR("]}"));
}

static void gemini_body(const struct mock_ask *ask, struct buf *out)
{
    switch (ask->api) {
    case MOCK_API_GEMINI_COUNT:
        buf_printf(out, "{\"totalTokens\":%llu}", (unsigned long long)ask->prompt_tokens);
        break;
    case MOCK_API_GEMINI_EMBED:
        buf_append_str(out, STR("{\"embedding\":"));
        append_values(ask, 0, out);
        buf_append_char(out, '}');
        break;
    case MOCK_API_GEMINI_EMBED_BATCH: append_embeddings(ask, out); break;
    case MOCK_API_GEMINI_MODELS:
        buf_append_str(out, STR("{\"models\":[{\"name\":\"models/mock\",\"displayName\":\"mock\","
                                "\"supportedGenerationMethods\":[\"generateContent\"]}]}"));
        break;
    default: append_generation(ask, out); break;
    }
}

/* ---- Streams ---- */

static size_t deltas_of(const struct mock_part *part)
{
    return part->kind == PART_CALL ? 1 : (size_t)part->units;
}

static size_t deltas(const struct mock_ask *ask)
{
    size_t count = 0;
    for (size_t i = 0; i < ask->part_count; i++)
        count += deltas_of(&ask->parts[i]);
    return count;
}

static size_t gemini_first_content(const struct mock_ask *ask)
{
    (void)ask;
    return 0;
}

static size_t gemini_after_content(const struct mock_ask *ask)
{
    return deltas(ask) * ask->choices;
}

/* Is there a chunk of usage behind the last? */
static bool usage_alone(const struct mock_ask *ask)
{
    return ask->fault.kind == FAULT_USAGE_LATE || ask->fault.kind == FAULT_USAGE_TWICE;
}

static size_t gemini_events(const struct mock_ask *ask)
{
    return gemini_after_content(ask) + (ask->stop == STOP_FILTER ? 1 : ask->choices) +
           (usage_alone(ask) ? 1 : 0);
}

/* Appends a candidate's delta; returns how many units of an answer are out with it. */
static uint64_t append_delta(const struct mock_ask *ask, size_t i, struct buf *out)
{
    size_t at = 0;
    uint64_t units = 0;
    while (i >= deltas_of(&ask->parts[at])) {
        i -= deltas_of(&ask->parts[at]);
        units += ask->parts[at].units + (ask->parts[at].kind == PART_CALL);
        at++;
    }
    append_part(ask, &ask->parts[at], i, out);
    return units + (ask->parts[at].kind == PART_CALL ? ask->parts[at].units + 1 : i + 1);
}

static void append_finish(const struct mock_ask *ask, struct buf *out)
{
    buf_append_str(out, STR("{\"text\":\"\""));
    if (mock_calls(ask) == 0)
        append_signature(ask, out);
    buf_append_str(out, STR("}],\"role\":\"model\"},\"finishReason\":"));
    buf_append_str(out, finish_reason(ask));
}

static struct str gemini_event(const struct mock_ask *ask, size_t i, struct buf *out)
{
    enum mock_fault_kind fault = ask->fault.kind;
    size_t finish = gemini_after_content(ask);
    size_t behind = finish + (ask->stop == STOP_FILTER ? 1 : ask->choices);
    uint64_t units = UINT64_MAX;
    if (i >= behind) {
        buf_append_char(out, '{');
        append_usage(ask, units, out);
        buf_append_char(out, '}');
        return STR("");
    }
    if (ask->stop == STOP_FILTER) {
        append_blocked(out);
        append_tail(ask, units, fault != FAULT_USAGE_LATE, out);
        return STR("");
    }
    buf_append_str(out, STR("{\"candidates\":[{\"content\":{\"parts\":["));
    if (i < finish) {
        units = append_delta(ask, i / ask->choices, out);
        buf_append_str(out, STR("],\"role\":\"model\"}"));
    } else {
        append_finish(ask, out);
    }
    buf_printf(out, ",\"index\":%zu}]", i % ask->choices);
    append_tail(ask, units,
                fault != FAULT_USAGE_LATE && (fault != FAULT_USAGE_ON_FINISH || i >= finish), out);
    return STR("");
}

/* ---- Errors ---- */

static const char *error_status(int status)
{
    switch (status) {
    case 400: return "INVALID_ARGUMENT";
    case 401: return "UNAUTHENTICATED";
    case 403: return "PERMISSION_DENIED";
    case 404: return "NOT_FOUND";
    case 429: return "RESOURCE_EXHAUSTED";
    case 503: return "UNAVAILABLE";
    case 504: return "DEADLINE_EXCEEDED";
    default: return status < 500 ? "FAILED_PRECONDITION" : "INTERNAL";
    }
}

static void gemini_error(int status, struct str message, struct buf *out)
{
    buf_printf(out, "{\"error\":{\"code\":%d,\"message\":\"", status);
    json_escape_append(out, message);
    buf_printf(out, "\",\"status\":\"%s\"}}", error_status(status));
}

const struct mock_dialect mock_gemini = {
    .body = gemini_body,
    .events = gemini_events,
    .first_content = gemini_first_content,
    .after_content = gemini_after_content,
    .event = gemini_event,
    .error = gemini_error,
    .error_event_type = STR_INIT(""),
};
