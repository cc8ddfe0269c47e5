/* OpenAI's Responses.
 *
 *   a stream:  created | in_progress | item 0 | item 1 | … | completed (or incomplete)
 *   an item, each with its events between output_item.added and output_item.done:
 *     reasoning   summary_part.added | delta × units | text.done | summary_part.done, if it is
 * shown message     content_part.added | delta × units | text.done | content_part.done call
 * arguments.delta × units | arguments.done
 */
#include "cli/mock/mock_dialect.h"
#include "codec/json_write.h"

#define CREATED "1700000000"

static void append_usage(const struct mock_ask *ask, struct buf *out)
{
    struct mock_usage usage = mock_usage_of(ask, UINT64_MAX);
    buf_printf(out,
               "{\"input_tokens\":%llu,\"input_tokens_details\":{\"cached_tokens\":%llu},"
               "\"output_tokens\":%llu,\"output_tokens_details\":{\"reasoning_tokens\":%llu},"
               "\"total_tokens\":%llu}",
               (unsigned long long)usage.input, (unsigned long long)usage.cache_read,
               (unsigned long long)usage.output, (unsigned long long)usage.reasoning,
               (unsigned long long)usage.total);
}

/* ---- Items ---- */

static struct str item_status(const struct mock_ask *ask, const struct mock_part *part, bool whole)
{
    if (!whole)
        return STR("in_progress");
    return ask->stop == STOP_LENGTH && part->kind == PART_TEXT ? STR("incomplete")
                                                               : STR("completed");
}

/* {"type":"output_text","text":…} or a refusal. */
static void append_content(const struct mock_ask *ask, const struct mock_part *part, bool whole,
                           struct buf *out)
{
    bool refusal = part->kind == PART_REFUSAL;
    buf_append_str(out, refusal ? STR("{\"type\":\"refusal\",\"refusal\":\"")
                                : STR("{\"type\":\"output_text\",\"annotations\":[],\"text\":\""));
    if (whole)
        mock_part_text_append(part, out);
    buf_append_char(out, '"');
    if (!refusal) {
        buf_append_str(out, STR(",\"logprobs\":["));
        for (uint64_t i = 0; whole && ask->logprobs && i < part->units; i++) {
            if (i > 0)
                buf_append_char(out, ',');
            mock_logprob_append(ask, part, i, out);
        }
        buf_append_char(out, ']');
    }
    buf_append_char(out, '}');
}

static void append_summary(const struct mock_part *part, bool whole, struct buf *out)
{
    buf_append_str(out, STR("{\"type\":\"summary_text\",\"text\":\""));
    if (whole)
        mock_part_text_append(part, out);
    buf_append_str(out, STR("\"}"));
}

static void append_item_id(size_t item, struct buf *out)
{
    buf_printf(out, "\"item_mock_%zu\"", item);
}

static void append_item(const struct mock_ask *ask, size_t item, bool whole, struct buf *out)
{
    const struct mock_part *part = &ask->parts[item];
    buf_append_str(out, STR("{\"id\":"));
    append_item_id(item, out);
    if (part->kind == PART_THINKING) {
        buf_append_str(out, STR(",\"type\":\"reasoning\",\"summary\":["));
        if (whole && ask->thought_text)
            append_summary(part, true, out);
        buf_append_char(out, ']');
        if (ask->encrypted)
            buf_append_str(out, STR(",\"encrypted_content\":\"" MOCK_ENCRYPTED "\""));
        buf_append_char(out, '}');
        return;
    }
    buf_append_str(out, STR(",\"status\":\""));
    buf_append_str(out, item_status(ask, part, whole));
    if (part->kind == PART_CALL) {
        buf_append_str(out, STR("\",\"type\":\"function_call\",\"call_id\":"));
        mock_call_id_append(part, "call_mock_", out);
        buf_append_str(out, STR(",\"name\":"));
        buf_append_str(out, part->name);
        buf_append_str(out, STR(",\"arguments\":\""));
        if (whole)
            json_escape_append(out, part->text);
        buf_append_str(out, STR("\"}"));
        return;
    }
    buf_append_str(out, STR("\",\"type\":\"message\",\"role\":\"assistant\",\"content\":["));
    if (whole)
        append_content(ask, part, true, out);
    buf_append_str(out, STR("]}"));
}

/* ---- The response ---- */

static void append_status(const struct mock_ask *ask, bool whole, struct buf *out)
{
    bool cut = ask->stop == STOP_LENGTH || ask->stop == STOP_FILTER;
    buf_append_str(out, STR("\"status\":\""));
    buf_append_str(out, !whole ? STR("in_progress") : cut ? STR("incomplete") : STR("completed"));
    buf_append_str(out, STR("\",\"error\":null,\"incomplete_details\":"));
    if (whole && cut)
        buf_append_str(out, ask->stop == STOP_LENGTH ? STR("{\"reason\":\"max_output_tokens\"}")
                                                     : STR("{\"reason\":\"content_filter\"}"));
    else
        buf_append_str(out, STR("null"));
}

static void append_response(const struct mock_ask *ask, bool whole, struct buf *out)
{
    buf_append_str(
        out, STR("{\"id\":\"resp_mock\",\"object\":\"response\",\"created_at\":" CREATED ","));
    append_status(ask, whole, out);
    buf_append_str(out, STR(",\"instructions\":null,\"metadata\":{},\"model\":"));
    buf_append_str(out, ask->model_json);
    buf_append_str(out, STR(",\"output\":["));
    for (size_t i = 0; whole && i < ask->part_count; i++) {
        if (i > 0)
            buf_append_char(out, ',');
        append_item(ask, i, true, out);
    }
    buf_append_str(out, STR("],\"parallel_tool_calls\":true,\"temperature\":1.0,"
                            "\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":1.0,\"usage\":"));
    if (whole && ask->fault.kind != FAULT_USAGE_NEVER)
        append_usage(ask, out);
    else
        buf_append_str(out, STR("null"));
    buf_append_char(out, '}');
}

static void responses_body(const struct mock_ask *ask, struct buf *out)
{
    append_response(ask, true, out);
}

/* ---- Streams ---- */

static bool is_silent(const struct mock_ask *ask, const struct mock_part *part)
{
    return part->kind == PART_THINKING && !ask->thought_text;
}

static size_t item_events(const struct mock_ask *ask, size_t item)
{
    const struct mock_part *part = &ask->parts[item];
    if (is_silent(ask, part))
        return 2;
    return (size_t)part->units + (part->kind == PART_CALL ? 3 : 5);
}

static size_t responses_after_content(const struct mock_ask *ask)
{
    size_t count = 2;
    for (size_t i = 0; i < ask->part_count; i++)
        count += item_events(ask, i);
    return count;
}

static size_t responses_events(const struct mock_ask *ask)
{
    size_t last = ask->fault.kind == FAULT_NO_DONE      ? 0
                  : ask->fault.kind == FAULT_DONE_TWICE ? 2
                                                        : 1;
    return responses_after_content(ask) + last;
}

static size_t responses_first_content(const struct mock_ask *ask)
{
    size_t at = 2;
    for (size_t i = 0; i < ask->part_count; i++) {
        if (!is_silent(ask, &ask->parts[i]))
            return at + (ask->parts[i].kind == PART_CALL ? 1 : 2);
        at += item_events(ask, i);
    }
    return at;
}

/* {"type":…,"sequence_number":…, ; returns the type. */
static struct str append_head(struct str type, size_t sequence, struct buf *out)
{
    buf_append_str(out, STR("{\"type\":\""));
    buf_append_str(out, type);
    buf_printf(out, "\",\"sequence_number\":%zu,", sequence);
    return type;
}

static struct str append_item_edge(const struct mock_ask *ask, size_t item, bool done,
                                   size_t sequence, struct buf *out)
{
    struct str type = append_head(
        done ? STR("response.output_item.done") : STR("response.output_item.added"), sequence, out);
    buf_printf(out, "\"output_index\":%zu,\"item\":", item);
    append_item(ask, item, done, out);
    buf_append_char(out, '}');
    return type;
}

/* What the events inside of an item are called. */
struct names {
    struct str added, delta, text_done, done;
    const char *index; /* of the part within the item */
    const char *text;  /* the member that holds the whole text */
};

static const struct names names_of[] = {
    [PART_THINKING] = {STR_INIT("response.reasoning_summary_part.added"),
                       STR_INIT("response.reasoning_summary_text.delta"),
                       STR_INIT("response.reasoning_summary_text.done"),
                       STR_INIT("response.reasoning_summary_part.done"), "summary_index", "text"},
    [PART_TEXT] = {STR_INIT("response.content_part.added"), STR_INIT("response.output_text.delta"),
                   STR_INIT("response.output_text.done"), STR_INIT("response.content_part.done"),
                   "content_index", "text"},
    [PART_REFUSAL] = {STR_INIT("response.content_part.added"), STR_INIT("response.refusal.delta"),
                      STR_INIT("response.refusal.done"), STR_INIT("response.content_part.done"),
                      "content_index", "refusal"},
    [PART_CALL] = {STR_INIT(""), STR_INIT("response.function_call_arguments.delta"),
                   STR_INIT("response.function_call_arguments.done"), STR_INIT(""), NULL,
                   "arguments"},
};

static void append_place(size_t item, const struct names *names, struct buf *out)
{
    buf_append_str(out, STR("\"item_id\":"));
    append_item_id(item, out);
    buf_printf(out, ",\"output_index\":%zu,", item);
    if (names->index)
        buf_printf(out, "\"%s\":0,", names->index);
}

static struct str append_part_edge(const struct mock_ask *ask, size_t item, bool done,
                                   size_t sequence, struct buf *out)
{
    const struct mock_part *part = &ask->parts[item];
    const struct names *names = &names_of[part->kind];
    struct str type = append_head(done ? names->done : names->added, sequence, out);
    append_place(item, names, out);
    buf_append_str(out, STR("\"part\":"));
    if (part->kind == PART_THINKING)
        append_summary(part, done, out);
    else
        append_content(ask, part, done, out);
    buf_append_char(out, '}');
    return type;
}

/* i: a unit; UINT64_MAX: the whole text, at its end. */
static struct str append_text(const struct mock_ask *ask, size_t item, uint64_t i, size_t sequence,
                              struct buf *out)
{
    const struct mock_part *part = &ask->parts[item];
    const struct names *names = &names_of[part->kind];
    bool done = i == UINT64_MAX;
    struct str type = append_head(done ? names->text_done : names->delta, sequence, out);
    append_place(item, names, out);
    if (part->kind == PART_TEXT) {
        buf_append_str(out, STR("\"logprobs\":["));
        if (ask->logprobs && !done)
            mock_logprob_append(ask, part, i, out);
        buf_append_str(out, STR("],"));
    }
    if (part->kind == PART_CALL && done) {
        buf_append_str(out, STR("\"name\":"));
        buf_append_str(out, part->name);
        buf_append_char(out, ',');
    }
    buf_printf(out, "\"%s\":\"", done ? names->text : "delta");
    if (done)
        mock_part_text_append(part, out);
    else
        mock_part_unit_append(part, i, out);
    buf_append_str(out, STR("\"}"));
    return type;
}

static struct str append_item_event(const struct mock_ask *ask, size_t item, size_t i,
                                    size_t sequence, struct buf *out)
{
    const struct mock_part *part = &ask->parts[item];
    size_t events = item_events(ask, item);
    bool edges = part->kind != PART_CALL; /* a part inside of the item */
    if (i == 0 || i == events - 1)
        return append_item_edge(ask, item, i > 0, sequence, out);
    if (edges && (i == 1 || i == events - 2))
        return append_part_edge(ask, item, i > 1, sequence, out);
    i -= edges ? 2 : 1;
    return append_text(ask, item, i < part->units ? i : UINT64_MAX, sequence, out);
}

static struct str responses_event(const struct mock_ask *ask, size_t i, struct buf *out)
{
    static const struct str first[] = {STR_INIT("response.created"),
                                       STR_INIT("response.in_progress")};
    size_t sequence = i;
    bool cut = ask->stop == STOP_LENGTH || ask->stop == STOP_FILTER;
    struct str type = i < 2 ? first[i]
                      : cut ? STR("response.incomplete")
                            : STR("response.completed");
    for (size_t item = 0; i >= 2 && item < ask->part_count; item++) {
        if (i - 2 < item_events(ask, item))
            return append_item_event(ask, item, i - 2, sequence, out);
        i -= item_events(ask, item);
    }
    append_head(type, sequence, out);
    buf_append_str(out, STR("\"response\":"));
    append_response(ask, sequence >= 2, out);
    buf_append_char(out, '}');
    return type;
}

static void responses_error(int status, struct str message, struct buf *out)
{
    mock_openai.error(status, message, out);
}

static void responses_error_event(int status, struct str message, size_t i, struct buf *out)
{
    buf_printf(out, "{\"type\":\"error\",\"sequence_number\":%zu,\"code\":\"%s\",\"message\":\"", i,
               status == 429 ? "rate_limit_exceeded" : "server_error");
    json_escape_append(out, message);
    buf_append_str(out, STR("\",\"param\":null}"));
}

const struct mock_dialect mock_responses = {
    .body = responses_body,
    .events = responses_events,
    .first_content = responses_first_content,
    .after_content = responses_after_content,
    .event = responses_event,
    .error = responses_error,
    .error_event = responses_error_event,
    .error_event_type = STR_INIT("error"),
};
