/* Answers of each API as one view: whole bodies here, a stream's events in conf_events.c. */
#include <stdarg.h>
#include <stdio.h>

#include "cli/conformance/conformance_int.h"

enum { TEXT_BYTES_MAX = 16 << 20 };

static yyjson_val *get(yyjson_val *object, const char *name)
{
    return yyjson_obj_get(object, name);
}

void conf_view_init(struct conf_view *view)
{
    struct buf *texts[] = {&view->text, &view->thinking, &view->refusal, &view->stop,
                           &view->error_message};
    *view = (struct conf_view){.sequence = -1};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        buf_init(texts[i], TEXT_BYTES_MAX);
}

void conf_view_release(struct conf_view *view)
{
    struct buf *texts[] = {&view->text, &view->thinking, &view->refusal, &view->stop,
                           &view->error_message};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        buf_release(texts[i]);
    for (size_t i = 0; i < view->call_count; i++) {
        buf_release(&view->calls[i].id);
        buf_release(&view->calls[i].name);
        buf_release(&view->calls[i].arguments);
    }
    yyjson_doc_free(view->doc);
}

void conf_view_wrong(struct conf_view *view, const char *format, ...)
{
    va_list args;
    if (view->wrong[0])
        return;
    va_start(args, format);
    (void)vsnprintf(view->wrong, sizeof view->wrong, format, args);
    va_end(args);
}

void conf_view_text(struct buf *out, yyjson_val *text)
{
    if (yyjson_is_str(text))
        buf_append(out, yyjson_get_str(text), yyjson_get_len(text));
}

struct conf_call *conf_view_call(struct conf_view *view, size_t place)
{
    for (size_t i = 0; i < view->call_count; i++)
        if (view->calls[i].place == place)
            return &view->calls[i];
    if (view->call_count == CONF_CALLS_MAX)
        return NULL;
    struct conf_call *call = &view->calls[view->call_count++];
    *call = (struct conf_call){.place = place};
    buf_init(&call->id, 4096);
    buf_init(&call->name, 4096);
    buf_init(&call->arguments, TEXT_BYTES_MAX);
    return call;
}

void conf_view_stop(const char *stop, struct conf_view *view)
{
    static const char *const words[][2] = {
        {"stop", "end"},
        {"end_turn", "end"},
        {"length", "length"},
        {"max_tokens", "length"},
        {"tool_calls", "calls"},
        {"tool_use", "calls"},
        {"refusal", "refusal"},
        {"content_filter", "filter"},
        {"stop_sequence", "sequence"},
        {"max_output_tokens", "length"},
    };
    if (!stop)
        return;
    buf_reset(&view->stop);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(stop, words[i][0]) == 0)
            stop = words[i][1];
    buf_append_str(&view->stop, str_from_c(stop));
}

/* A count may be missing where it is zero. */
static int64_t number(yyjson_val *object, const char *name)
{
    return yyjson_get_sint(get(object, name));
}

static void read_openai_usage(yyjson_val *usage, const char *in, const char *in_details,
                              const char *out, const char *out_details, struct conf_view *view)
{
    view->input = number(usage, in);
    view->cached = number(get(usage, in_details), "cached_tokens");
    view->output = number(usage, out);
    view->reasoning = number(get(usage, out_details), "reasoning_tokens");
}

void conf_view_usage(enum conf_api api, yyjson_val *usage, struct conf_view *view)
{
    if (!yyjson_is_obj(usage))
        return;
    view->has_usage = true;
    switch (api) {
    case CONF_RESPONSES:
        read_openai_usage(usage, "input_tokens", "input_tokens_details", "output_tokens",
                          "output_tokens_details", view);
        return;
    case CONF_MESSAGES:
        /* A stream tells parts of it twice: the later one counts, where it is there. */
        if (get(usage, "input_tokens") && (number(usage, "input_tokens") > 0 || !view->input)) {
            view->cached = number(usage, "cache_read_input_tokens");
            view->cache_write = number(usage, "cache_creation_input_tokens");
            view->input = number(usage, "input_tokens") + view->cached + view->cache_write;
        }
        view->output = number(usage, "output_tokens");
        return;
    default:
        read_openai_usage(usage, "prompt_tokens", "prompt_tokens_details", "completion_tokens",
                          "completion_tokens_details", view);
        return;
    }
}

/* ---- Whole bodies ---- */

static void take_call(struct conf_view *view, yyjson_val *id, yyjson_val *name,
                      yyjson_val *arguments)
{
    struct conf_call *call = conf_view_call(view, view->call_count);
    if (!call)
        return;
    conf_view_text(&call->id, id);
    conf_view_text(&call->name, name);
    if (yyjson_is_str(arguments)) {
        conf_view_text(&call->arguments, arguments);
        return;
    }
    size_t len;
    char *json = yyjson_val_write(arguments, 0, &len);
    if (json)
        buf_append(&call->arguments, json, len);
    free(json);
}

static void read_chat(yyjson_val *root, struct conf_view *view)
{
    size_t i;
    size_t count;
    yyjson_val *call;
    yyjson_val *choice = yyjson_arr_get_first(get(root, "choices"));
    yyjson_val *message = get(choice, "message");
    view->choices = yyjson_arr_size(get(root, "choices"));
    view->said = message;
    conf_view_text(&view->text, get(message, "content"));
    conf_view_text(&view->text, get(choice, "text"));
    conf_view_text(&view->refusal, get(message, "refusal"));
    conf_view_text(&view->thinking, get(message, "reasoning_content"));
    yyjson_arr_foreach(get(message, "tool_calls"), i, count, call)
    {
        yyjson_val *function = get(call, "function");
        if (!yyjson_is_str(get(function, "arguments")))
            conf_view_wrong(view, "a call's arguments are no string");
        take_call(view, get(call, "id"), get(function, "name"), get(function, "arguments"));
    }
    conf_view_stop(yyjson_get_str(get(choice, "finish_reason")), view);
    yyjson_val *logprobs = get(choice, "logprobs");
    view->logprobs =
        yyjson_arr_size(get(logprobs, get(logprobs, "content") ? "content" : "tokens"));
}

static void read_embeddings(yyjson_val *root, struct conf_view *view)
{
    yyjson_val *first = get(yyjson_arr_get_first(get(root, "data")), "embedding");
    view->embeddings = yyjson_arr_size(get(root, "data"));
    /* Base64 of floats: four bytes in sixteen thirds of a character. */
    view->dimensions =
        yyjson_is_str(first) ? yyjson_get_len(first) * 3 / 16 : yyjson_arr_size(first);
}

static void read_item(yyjson_val *item, struct conf_view *view)
{
    size_t i;
    size_t count;
    yyjson_val *part;
    yyjson_val *type = get(item, "type");
    if (yyjson_equals_str(type, "function_call"))
        take_call(view, get(item, "call_id"), get(item, "name"), get(item, "arguments"));
    yyjson_arr_foreach(get(item, "summary"), i, count, part)
    {
        conf_view_text(&view->thinking, get(part, "text"));
    }
    view->signatures += yyjson_is_str(get(item, "encrypted_content"));
    if (!yyjson_equals_str(type, "message"))
        return;
    yyjson_arr_foreach(get(item, "content"), i, count, part)
    {
        conf_view_text(&view->text, get(part, "text"));
        conf_view_text(&view->refusal, get(part, "refusal"));
        view->logprobs += yyjson_arr_size(get(part, "logprobs"));
    }
}

static void read_responses(yyjson_val *root, struct conf_view *view)
{
    size_t i;
    size_t count;
    yyjson_val *item;
    const char *status = yyjson_get_str(get(root, "status"));
    view->said = get(root, "output");
    yyjson_arr_foreach(view->said, i, count, item)
    {
        read_item(item, view);
    }
    if (status && strcmp(status, "completed") == 0)
        conf_view_stop(view->call_count > 0 ? "tool_calls" : "stop", view);
    else if (status && strcmp(status, "incomplete") == 0)
        conf_view_stop(yyjson_get_str(get(get(root, "incomplete_details"), "reason")), view);
    else
        conf_view_stop(status, view);
}

static void read_messages(yyjson_val *root, struct conf_view *view)
{
    size_t i;
    size_t count;
    yyjson_val *block;
    view->said = get(root, "content");
    yyjson_arr_foreach(view->said, i, count, block)
    {
        if (yyjson_equals_str(get(block, "type"), "tool_use"))
            take_call(view, get(block, "id"), get(block, "name"), get(block, "input"));
        conf_view_text(&view->text, get(block, "text"));
        conf_view_text(&view->thinking, get(block, "thinking"));
        view->signatures += yyjson_get_len(get(block, "signature")) > 0;
    }
    conf_view_stop(yyjson_get_str(get(root, "stop_reason")), view);
}

/* Each API's clients look for the message in one place. */
static void read_error(enum conf_api api, yyjson_val *root, struct conf_view *view)
{
    yyjson_val *error = get(root, "error");
    bool typed = api != CONF_MESSAGES || yyjson_equals_str(get(root, "type"), "error");
    view->is_error = yyjson_is_str(get(error, "message")) && typed &&
                     (api != CONF_MESSAGES || yyjson_is_str(get(error, "type")));
    conf_view_text(&view->error_message, get(error, "message"));
}

static void read_whole(enum conf_api api, struct str body, struct conf_view *view)
{
    view->doc = yyjson_read(body.ptr ? body.ptr : "", body.len, 0);
    yyjson_val *root = yyjson_doc_get_root(view->doc);
    if (!yyjson_is_obj(root)) {
        conf_view_wrong(view, "the body is no JSON object");
        return;
    }
    yyjson_val *error = get(root, "error");
    if (error && !yyjson_is_null(error)) {
        read_error(api, root, view);
        return;
    }
    switch (api) {
    case CONF_EMBEDDINGS: read_embeddings(root, view); break;
    case CONF_RESPONSES: read_responses(root, view); break;
    case CONF_MESSAGES: read_messages(root, view); break;
    default: read_chat(root, view); break;
    }
    conf_view_usage(api, get(root, "usage"), view);
    view->ended = true;
}

/* ---- Streams ---- */

/* Cut off the first line; LF, CR LF and CR end one. */
static struct str take_line(struct str *rest)
{
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] != '\n' && rest->ptr[len] != '\r')
        len++;
    struct str line = str_take(*rest, len);
    size_t end = len + (str_starts(str_skip(*rest, len), STR("\r\n")) ? 2 : 1);
    *rest = str_skip(*rest, end);
    return line;
}

static struct str value_of(struct str line)
{
    ptrdiff_t colon = str_index(line, ':');
    struct str value = str_skip(line, (size_t)colon + 1);
    return str_starts(value, STR(" ")) ? str_skip(value, 1) : value;
}

static void read_stream(enum conf_api api, struct str body, struct conf_view *view)
{
    struct buf BUF_AUTO data;
    struct str type = STR_NONE;
    buf_init(&data, CONF_BODY_BYTES_MAX);
    while (body.len > 0) {
        struct str line = take_line(&body);
        if (str_starts(line, STR("event:"))) {
            type = value_of(line);
        } else if (str_starts(line, STR("data:"))) {
            if (data.len > 0)
                buf_append_char(&data, '\n');
            buf_append_str(&data, value_of(line));
        } else if (line.len == 0 && data.len > 0) {
            conf_view_event(api, type, buf_str(&data), view);
            buf_reset(&data);
            type = STR_NONE;
        }
    }
    if (data.len > 0)
        conf_view_wrong(view, "the stream ends inside of an event");
}

void conf_view_read(enum conf_api api, const struct conf_answer *answer, struct conf_view *view)
{
    if (answer->is_stream)
        read_stream(api, buf_str(&answer->body), view);
    else
        read_whole(api, buf_str(&answer->body), view);
    if (view->refusal.len > 0 && str_eq(buf_str(&view->stop), STR("end")))
        conf_view_stop("refusal", view);
}
