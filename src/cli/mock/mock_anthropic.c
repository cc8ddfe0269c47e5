/* Anthropic: messages, count_tokens, errors.
 *
 *   a stream: message_start | block 0 | block 1 | … | message_delta | message_stop
 *   a block:  content_block_start | ping, in the first | delta × units | signature_delta, of
 *             thinking | content_block_stop
 */
#include "cli/mock/mock_dialect.h"
#include "codec/json_write.h"

static struct str stop_reason(const struct mock_ask *ask)
{
    switch (ask->stop) {
    case STOP_LENGTH: return STR("\"max_tokens\"");
    case STOP_SEQUENCE: return STR("\"stop_sequence\"");
    case STOP_CALLS: return STR("\"tool_use\"");
    case STOP_REFUSAL:
    case STOP_FILTER: return STR("\"refusal\"");
    default: return STR("\"end_turn\"");
    }
}

static void append_stop(const struct mock_ask *ask, struct buf *out)
{
    buf_append_str(out, STR("\"stop_reason\":"));
    buf_append_str(out, stop_reason(ask));
    buf_append_str(out, STR(",\"stop_sequence\":"));
    buf_append_str(out, ask->stop == STOP_SEQUENCE ? ask->stop_sequence : STR("null"));
}

/* input: 0 leaves the input's counts at zero, as servers do that count late. */
static void append_usage(const struct mock_ask *ask, bool input, uint64_t output, struct buf *out)
{
    struct mock_usage usage = mock_usage_of(ask, 0);
    if (!input)
        usage = (struct mock_usage){.input = 0};
    uint64_t cached = usage.cache_read + usage.cache_write;
    uint64_t long_lived = ask->cache_1h ? usage.cache_write : 0;
    buf_printf(out,
               ",\"usage\":{\"input_tokens\":%llu,\"cache_creation_input_tokens\":%llu,"
               "\"cache_read_input_tokens\":%llu,\"cache_creation\":{"
               "\"ephemeral_5m_input_tokens\":%llu,\"ephemeral_1h_input_tokens\":%llu},"
               "\"output_tokens\":%llu,\"service_tier\":\"standard\"}",
               (unsigned long long)(usage.input > cached ? usage.input - cached : 0),
               (unsigned long long)usage.cache_write, (unsigned long long)usage.cache_read,
               (unsigned long long)(usage.cache_write - long_lived), (unsigned long long)long_lived,
               (unsigned long long)output);
}

static void append_message_head(const struct mock_ask *ask, struct buf *out)
{
    buf_append_str(out, STR("{\"id\":\"msg_mock\",\"type\":\"message\",\"role\":\"assistant\","
                            "\"model\":"));
    buf_append_str(out, ask->model_json);
    buf_append_str(out, STR(",\"content\":["));
}

/* Whole, or, for a stream's start, empty. */
static void append_block(const struct mock_part *part, bool whole, struct buf *out)
{
    switch (part->kind) {
    case PART_CALL:
        buf_append_str(out, STR("{\"type\":\"tool_use\",\"id\":"));
        mock_call_id_append(part, "toolu_mock_", out);
        buf_append_str(out, STR(",\"name\":"));
        buf_append_str(out, part->name);
        buf_append_str(out, STR(",\"input\":"));
        buf_append_str(out, whole ? part->text : STR("{}"));
        buf_append_char(out, '}');
        return;
    case PART_REDACTED:
        buf_append_str(out,
                       STR("{\"type\":\"redacted_thinking\",\"data\":\"" MOCK_ENCRYPTED "\"}"));
        return;
    case PART_THINKING:
        buf_append_str(out, STR("{\"type\":\"thinking\",\"thinking\":\""));
        if (whole)
            mock_part_text_append(part, out);
        buf_append_str(out, whole ? STR("\",\"signature\":\"" MOCK_SIGNATURE "\"}")
                                  : STR("\",\"signature\":\"\"}"));
        return;
    default:
        buf_append_str(out, STR("{\"type\":\"text\",\"text\":\""));
        if (whole)
            mock_part_text_append(part, out);
        buf_append_str(out, STR("\"}"));
        return;
    }
}

static void anthropic_body(const struct mock_ask *ask, struct buf *out)
{
    if (ask->api == MOCK_API_COUNT_TOKENS) {
        buf_printf(out, "{\"input_tokens\":%llu}", (unsigned long long)ask->prompt_tokens);
        return;
    }
    append_message_head(ask, out);
    for (size_t i = 0; i < ask->part_count; i++) {
        if (i > 0)
            buf_append_char(out, ',');
        append_block(&ask->parts[i], true, out);
    }
    buf_append_str(out, STR("],"));
    append_stop(ask, out);
    if (ask->fault.kind != FAULT_USAGE_NEVER)
        append_usage(ask, true, mock_usage_of(ask, UINT64_MAX).output, out);
    buf_append_char(out, '}');
}

/* ---- Streams ---- */

static bool has_ping(size_t block)
{
    return block == 0;
}

static size_t block_events(const struct mock_ask *ask, size_t block)
{
    const struct mock_part *part = &ask->parts[block];
    return (size_t)part->units + 2 + has_ping(block) + (part->kind == PART_THINKING);
}

static size_t anthropic_after_content(const struct mock_ask *ask)
{
    size_t count = 1;
    for (size_t i = 0; i < ask->part_count; i++)
        count += block_events(ask, i);
    return count;
}

static size_t anthropic_events(const struct mock_ask *ask)
{
    size_t after = ask->fault.kind == FAULT_NO_DONE      ? 1
                   : ask->fault.kind == FAULT_DONE_TWICE ? 3
                                                         : 2;
    return anthropic_after_content(ask) + after;
}

static size_t anthropic_first_content(const struct mock_ask *ask)
{
    return ask->part_count > 0 ? 3 : 1;
}

/* Are the prompt's tokens told at the end, not at the start? */
static bool counts_late(const struct mock_ask *ask)
{
    return ask->fault.kind == FAULT_USAGE_LATE || ask->fault.kind == FAULT_USAGE_ON_FINISH;
}

static struct str append_start(const struct mock_ask *ask, struct buf *out)
{
    buf_append_str(out, STR("{\"type\":\"message_start\",\"message\":"));
    append_message_head(ask, out);
    buf_append_str(out, STR("],\"stop_reason\":null,\"stop_sequence\":null"));
    if (ask->fault.kind != FAULT_USAGE_NEVER)
        append_usage(ask, !counts_late(ask), 1, out);
    buf_append_str(out, STR("}}"));
    return STR("message_start");
}

static void append_delta(const struct mock_part *part, size_t i, struct buf *out)
{
    if (i == part->units) {
        buf_append_str(out,
                       STR("{\"type\":\"signature_delta\",\"signature\":\"" MOCK_SIGNATURE "\"}"));
        return;
    }
    switch (part->kind) {
    case PART_CALL:
        buf_append_str(out, STR("{\"type\":\"input_json_delta\",\"partial_json\":\""));
        break;
    case PART_THINKING:
        buf_append_str(out, STR("{\"type\":\"thinking_delta\",\"thinking\":\""));
        break;
    default: buf_append_str(out, STR("{\"type\":\"text_delta\",\"text\":\"")); break;
    }
    mock_part_unit_append(part, i, out);
    buf_append_str(out, STR("\"}"));
}

static struct str append_block_event(const struct mock_ask *ask, size_t block, size_t i,
                                     struct buf *out)
{
    const struct mock_part *part = &ask->parts[block];
    size_t last = block_events(ask, block) - 1;
    if (i == 0) {
        buf_printf(out,
                   "{\"type\":\"content_block_start\",\"index\":%zu,\"content_block\":", block);
        append_block(part, false, out);
        buf_append_char(out, '}');
        return STR("content_block_start");
    }
    if (i == 1 && has_ping(block)) {
        buf_append_str(out, STR("{\"type\":\"ping\"}"));
        return STR("ping");
    }
    if (i == last) {
        buf_printf(out, "{\"type\":\"content_block_stop\",\"index\":%zu}", block);
        return STR("content_block_stop");
    }
    buf_printf(out, "{\"type\":\"content_block_delta\",\"index\":%zu,\"delta\":", block);
    append_delta(part, i - 1 - has_ping(block), out);
    buf_append_char(out, '}');
    return STR("content_block_delta");
}

static struct str append_message_delta(const struct mock_ask *ask, struct buf *out)
{
    uint64_t output = mock_usage_of(ask, UINT64_MAX).output;
    buf_append_str(out, STR("{\"type\":\"message_delta\",\"delta\":{"));
    append_stop(ask, out);
    buf_append_char(out, '}');
    if (ask->fault.kind == FAULT_USAGE_CUMULATIVE || ask->fault.kind == FAULT_USAGE_TWICE ||
        counts_late(ask))
        append_usage(ask, true, output, out);
    else if (ask->fault.kind != FAULT_USAGE_NEVER)
        buf_printf(out, ",\"usage\":{\"output_tokens\":%llu}", (unsigned long long)output);
    buf_append_char(out, '}');
    return STR("message_delta");
}

static struct str anthropic_event(const struct mock_ask *ask, size_t i, struct buf *out)
{
    if (i-- == 0)
        return append_start(ask, out);
    for (size_t block = 0; block < ask->part_count; block++) {
        if (i < block_events(ask, block))
            return append_block_event(ask, block, i, out);
        i -= block_events(ask, block);
    }
    if (i == 0)
        return append_message_delta(ask, out);
    buf_append_str(out, STR("{\"type\":\"message_stop\"}"));
    return STR("message_stop");
}

static const char *error_type(int status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 529: return "overloaded_error";
    default: return status < 500 ? "invalid_request_error" : "api_error";
    }
}

static void anthropic_error(int status, struct str message, struct buf *out)
{
    buf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"",
               error_type(status));
    json_escape_append(out, message);
    buf_append_str(out, STR("\"},\"request_id\":\"req_mock\"}"));
}

const struct mock_dialect mock_anthropic = {
    .body = anthropic_body,
    .events = anthropic_events,
    .first_content = anthropic_first_content,
    .after_content = anthropic_after_content,
    .event = anthropic_event,
    .error = anthropic_error,
    .error_event_type = STR_INIT("error"),
};
