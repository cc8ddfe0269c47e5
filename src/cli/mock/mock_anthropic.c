/* Anthropic: messages, count_tokens, errors.
 *
 *   a stream: message_start | block_start | ping | delta × u | block_stop | message_delta |
 * message_stop calls:    message_start | (block_start | delta × pieces | block_stop) × calls |
 * message_delta | …
 */
#include "cli/mock/mock_dialect.h"
#include "codec/json_write.h"

static void append_stop_reason(const struct mock_ask *ask, struct buf *out)
{
    if (ask->call_count > 0)
        buf_append_str(out, STR("\"tool_use\""));
    else if (ask->cut_short)
        buf_append_str(out, STR("\"max_tokens\""));
    else
        buf_append_str(out, STR("\"end_turn\""));
}

static void append_usage(const struct mock_ask *ask, uint64_t output, struct buf *out)
{
    uint64_t cached = ask->fault.kind == FAULT_USAGE_DETAILS ? ask->prompt_tokens / 2 : 0;
    buf_printf(out,
               ",\"usage\":{\"input_tokens\":%llu,\"cache_creation_input_tokens\":0,"
               "\"cache_read_input_tokens\":%llu,\"output_tokens\":%llu}",
               (unsigned long long)(ask->prompt_tokens - cached), (unsigned long long)cached,
               (unsigned long long)output);
}

static void append_message_head(const struct mock_ask *ask, struct buf *out)
{
    buf_append_str(out, STR("{\"id\":\"msg_mock\",\"type\":\"message\",\"role\":\"assistant\","
                            "\"model\":"));
    buf_append_str(out, ask->model_json);
    buf_append_str(out, STR(",\"content\":["));
}

static void append_blocks(const struct mock_ask *ask, struct buf *out)
{
    if (ask->call_count == 0) {
        buf_append_str(out, STR("{\"type\":\"text\",\"text\":\""));
        mock_ask_text_append(ask, out);
        buf_append_str(out, STR("\"}"));
    }
    for (size_t i = 0; i < ask->call_count; i++) {
        buf_printf(out,
                   "%s{\"type\":\"tool_use\",\"id\":\"toolu_mock_%zu\",\"name\":", i > 0 ? "," : "",
                   i);
        buf_append_str(out, ask->calls[i].name);
        buf_append_str(out, STR(",\"input\":"));
        buf_append_str(out, ask->calls[i].arguments);
        buf_append_char(out, '}');
    }
}

static void anthropic_body(const struct mock_ask *ask, struct buf *out)
{
    if (ask->api == MOCK_API_COUNT_TOKENS) {
        buf_printf(out, "{\"input_tokens\":%llu}", (unsigned long long)ask->prompt_tokens);
        return;
    }
    append_message_head(ask, out);
    append_blocks(ask, out);
    buf_append_str(out, STR("],\"stop_reason\":"));
    append_stop_reason(ask, out);
    buf_append_str(out, STR(",\"stop_sequence\":null"));
    if (ask->fault.kind != FAULT_USAGE_NEVER)
        append_usage(ask, mock_ask_tokens_of(ask, mock_ask_units(ask)), out);
    buf_append_char(out, '}');
}

/* ---- Streams ---- */

static size_t block_events(const struct mock_ask *ask)
{
    size_t count = 0;
    if (ask->call_count == 0)
        return mock_ask_units(ask) + 3;
    for (size_t i = 0; i < ask->call_count; i++)
        count += mock_pieces(ask->calls[i].arguments) + 2;
    return count;
}

static size_t anthropic_events(const struct mock_ask *ask)
{
    return block_events(ask) + (ask->fault.kind == FAULT_NO_DONE ? 2 : 3);
}

static size_t anthropic_first_content(const struct mock_ask *ask)
{
    return ask->call_count == 0 ? 3 : 2;
}

static struct str append_start(const struct mock_ask *ask, struct buf *out)
{
    buf_append_str(out, STR("{\"type\":\"message_start\",\"message\":"));
    append_message_head(ask, out);
    buf_append_str(out, STR("],\"stop_reason\":null,\"stop_sequence\":null"));
    if (ask->fault.kind != FAULT_USAGE_NEVER)
        append_usage(ask, 1, out);
    buf_append_str(out, STR("}}"));
    return STR("message_start");
}

static struct str append_block_stop(size_t block, struct buf *out)
{
    buf_printf(out, "{\"type\":\"content_block_stop\",\"index\":%zu}", block);
    return STR("content_block_stop");
}

static struct str append_text_event(const struct mock_ask *ask, size_t i, struct buf *out)
{
    if (i == 0) {
        buf_append_str(out, STR("{\"type\":\"content_block_start\",\"index\":0,\"content_block\":"
                                "{\"type\":\"text\",\"text\":\"\"}}"));
        return STR("content_block_start");
    }
    if (i == 1) {
        buf_append_str(out, STR("{\"type\":\"ping\"}"));
        return STR("ping");
    }
    if (i == mock_ask_units(ask) + 2)
        return append_block_stop(0, out);
    buf_append_str(out, STR("{\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
                            "{\"type\":\"text_delta\",\"text\":\""));
    mock_ask_unit_append(ask, i - 2, out);
    buf_append_str(out, STR("\"}}"));
    return STR("content_block_delta");
}

static struct str append_call_event(const struct mock_ask *ask, size_t i, struct buf *out)
{
    size_t call = 0;
    while (i >= mock_pieces(ask->calls[call].arguments) + 2)
        i -= mock_pieces(ask->calls[call++].arguments) + 2;
    if (i == 0) {
        buf_printf(out,
                   "{\"type\":\"content_block_start\",\"index\":%zu,\"content_block\":"
                   "{\"type\":\"tool_use\",\"id\":\"toolu_mock_%zu\",\"input\":{},\"name\":",
                   call, call);
        buf_append_str(out, ask->calls[call].name);
        buf_append_str(out, STR("}}"));
        return STR("content_block_start");
    }
    if (i == mock_pieces(ask->calls[call].arguments) + 1)
        return append_block_stop(call, out);
    buf_printf(out,
               "{\"type\":\"content_block_delta\",\"index\":%zu,\"delta\":"
               "{\"type\":\"input_json_delta\",\"partial_json\":\"",
               call);
    json_escape_append(out, mock_piece(ask->calls[call].arguments, i - 1));
    buf_append_str(out, STR("\"}}"));
    return STR("content_block_delta");
}

static struct str append_message_delta(const struct mock_ask *ask, struct buf *out)
{
    uint64_t output = mock_ask_tokens_of(ask, mock_ask_units(ask));
    buf_append_str(out, STR("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"));
    append_stop_reason(ask, out);
    buf_append_str(out, STR(",\"stop_sequence\":null}"));
    if (ask->fault.kind == FAULT_USAGE_CUMULATIVE)
        append_usage(ask, output, out);
    else if (ask->fault.kind != FAULT_USAGE_NEVER)
        buf_printf(out, ",\"usage\":{\"output_tokens\":%llu}", (unsigned long long)output);
    buf_append_char(out, '}');
    return STR("message_delta");
}

static struct str anthropic_event(const struct mock_ask *ask, size_t i, struct buf *out)
{
    size_t blocks = block_events(ask);
    if (i == 0)
        return append_start(ask, out);
    if (i <= blocks)
        return ask->call_count > 0 ? append_call_event(ask, i - 1, out)
                                   : append_text_event(ask, i - 1, out);
    if (i == blocks + 1)
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
    buf_append_str(out, STR("\"}}"));
}

const struct mock_dialect mock_anthropic = {
    .body = anthropic_body,
    .events = anthropic_events,
    .first_content = anthropic_first_content,
    .event = anthropic_event,
    .error = anthropic_error,
    .error_event_type = STR_INIT("error"),
};
