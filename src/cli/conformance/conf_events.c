/* Events of a stream, and each API's grammar of them: what a strict client stumbles over. */
#include "cli/conformance/conformance_int.h"

static yyjson_val *get(yyjson_val *object, const char *name)
{
    return yyjson_obj_get(object, name);
}

/* ---- Chat, completions ---- */

static void chat_call(yyjson_val *delta, struct conf_view *view)
{
    yyjson_val *function = get(delta, "function");
    if (!yyjson_is_uint(get(delta, "index"))) {
        conf_view_wrong(view, "a call's delta has no index");
        return;
    }
    size_t index = (size_t)yyjson_get_uint(get(delta, "index"));
    if (index > view->call_count)
        conf_view_wrong(view, "a call's index is %zu after %zu calls", index, view->call_count);
    struct conf_call *call = conf_view_call(view, index);
    if (!call)
        return;
    bool begins = call->id.len == 0;
    if (begins && !yyjson_is_str(get(delta, "id")))
        conf_view_wrong(view, "a call begins without an id");
    if (!begins && yyjson_get_len(get(delta, "id")) > 0 &&
        !yyjson_equals_strn(get(delta, "id"), call->id.ptr, call->id.len))
        conf_view_wrong(view, "two calls have one index");
    if (begins)
        conf_view_text(&call->id, get(delta, "id"));
    if (call->name.len == 0)
        conf_view_text(&call->name, get(function, "name"));
    conf_view_text(&call->arguments, get(function, "arguments"));
}

static void chat_choice(yyjson_val *choice, struct conf_view *view)
{
    size_t i;
    size_t count;
    yyjson_val *call;
    yyjson_val *delta = get(choice, "delta");
    size_t index = (size_t)yyjson_get_uint(get(choice, "index"));
    if (index + 1 > view->choices)
        view->choices = index + 1;
    if (index > 0)
        return;
    conf_view_text(&view->text, get(delta, "content"));
    conf_view_text(&view->text, get(choice, "text"));
    conf_view_text(&view->refusal, get(delta, "refusal"));
    conf_view_text(&view->thinking, get(delta, "reasoning_content"));
    yyjson_arr_foreach(get(delta, "tool_calls"), i, count, call)
    {
        chat_call(call, view);
    }
    conf_view_stop(yyjson_get_str(get(choice, "finish_reason")), view);
    yyjson_val *logprobs = get(choice, "logprobs");
    view->logprobs +=
        yyjson_arr_size(get(logprobs, get(logprobs, "content") ? "content" : "tokens"));
}

static void chat_event(enum conf_api api, yyjson_val *root, struct conf_view *view)
{
    size_t i;
    size_t count;
    yyjson_val *choice;
    if (view->ended)
        conf_view_wrong(view, "an event after [DONE]");
    if (get(root, "error")) {
        view->broken = true;
        conf_view_text(&view->error_message, get(get(root, "error"), "message"));
        return;
    }
    yyjson_arr_foreach(get(root, "choices"), i, count, choice)
    {
        chat_choice(choice, view);
    }
    conf_view_usage(api, get(root, "usage"), view);
}

/* ---- Messages ---- */

static void block_start(yyjson_val *root, struct conf_view *view)
{
    yyjson_val *block = get(root, "content_block");
    size_t index = (size_t)yyjson_get_uint(get(root, "index"));
    if (index != view->blocks || view->block_open)
        conf_view_wrong(view, "block %zu begins after %zu blocks%s", index, view->blocks,
                        view->block_open ? ", the last of them open" : "");
    view->blocks++;
    view->block_open = true;
    conf_view_text(&view->text, get(block, "text"));
    conf_view_text(&view->thinking, get(block, "thinking"));
    if (!yyjson_equals_str(get(block, "type"), "tool_use"))
        return;
    struct conf_call *call = conf_view_call(view, index);
    if (!call)
        return;
    conf_view_text(&call->id, get(block, "id"));
    conf_view_text(&call->name, get(block, "name"));
}

static void block_delta(yyjson_val *root, struct conf_view *view)
{
    yyjson_val *delta = get(root, "delta");
    size_t index = (size_t)yyjson_get_uint(get(root, "index"));
    if (!view->block_open || index + 1 != view->blocks)
        conf_view_wrong(view, "a delta of block %zu, which is not open", index);
    conf_view_text(&view->text, get(delta, "text"));
    conf_view_text(&view->thinking, get(delta, "thinking"));
    view->signatures += yyjson_get_len(get(delta, "signature")) > 0;
    if (!yyjson_equals_str(get(delta, "type"), "input_json_delta"))
        return;
    struct conf_call *call = conf_view_call(view, index);
    if (call)
        conf_view_text(&call->arguments, get(delta, "partial_json"));
}

static void message_end(struct conf_view *view)
{
    if (view->ended)
        conf_view_wrong(view, "message_stop twice");
    if (view->block_open)
        conf_view_wrong(view, "message_stop while a block is open");
    view->ended = true;
    /* A call without arguments may come without a delta. */
    for (size_t i = 0; i < view->call_count; i++)
        if (view->calls[i].arguments.len == 0)
            buf_append_str(&view->calls[i].arguments, STR("{}"));
}

static void messages_event(struct str name, struct str type, yyjson_val *root,
                           struct conf_view *view)
{
    if (!str_eq(name, type))
        conf_view_wrong(view, "the event '%.*s' holds '%.*s'", STR_ARG(name), STR_ARG(type));
    if (str_eq(type, STR("message_start"))) {
        conf_view_usage(CONF_MESSAGES, get(get(root, "message"), "usage"), view);
    } else if (str_eq(type, STR("content_block_start"))) {
        block_start(root, view);
    } else if (str_eq(type, STR("content_block_delta"))) {
        block_delta(root, view);
    } else if (str_eq(type, STR("content_block_stop"))) {
        if (!view->block_open)
            conf_view_wrong(view, "a block ends that is not open");
        view->block_open = false;
    } else if (str_eq(type, STR("message_delta"))) {
        conf_view_stop(yyjson_get_str(get(get(root, "delta"), "stop_reason")), view);
        conf_view_usage(CONF_MESSAGES, get(root, "usage"), view);
    } else if (str_eq(type, STR("message_stop"))) {
        message_end(view);
    } else if (str_eq(type, STR("error"))) {
        view->broken = true;
        conf_view_text(&view->error_message, get(get(root, "error"), "message"));
    }
}

/* ---- Responses ---- */

/* The last event repeats the whole: it has to be what came in pieces. */
static void responses_end(yyjson_val *root, struct conf_view *view)
{
    struct conf_answer answer = {.status = 200};
    struct conf_view whole;
    size_t len;
    char *json = yyjson_val_write(get(root, "response"), 0, &len);
    conf_view_init(&whole);
    buf_init(&answer.body, CONF_BODY_BYTES_MAX);
    if (json)
        buf_append(&answer.body, json, len);
    free(json);
    conf_view_read(CONF_RESPONSES, &answer, &whole);
    if (!str_eq(buf_str(&whole.text), buf_str(&view->text)))
        conf_view_wrong(view, "the last event's text is not that of the deltas");
    if (whole.call_count != view->call_count)
        conf_view_wrong(view, "the last event has %zu calls, the deltas %zu", whole.call_count,
                        view->call_count);
    buf_reset(&view->stop);
    buf_append_str(&view->stop, buf_str(&whole.stop));
    conf_view_usage(CONF_RESPONSES, get(get(root, "response"), "usage"), view);
    view->signatures = whole.signatures;
    view->ended = true;
    conf_view_release(&whole);
    buf_release(&answer.body);
}

static void responses_item(yyjson_val *root, struct conf_view *view)
{
    yyjson_val *item = get(root, "item");
    size_t place = (size_t)yyjson_get_uint(get(root, "output_index"));
    if (place != view->blocks)
        conf_view_wrong(view, "output %zu begins after %zu", place, view->blocks);
    view->blocks++;
    if (!yyjson_equals_str(get(item, "type"), "function_call"))
        return;
    struct conf_call *call = conf_view_call(view, place);
    if (!call)
        return;
    conf_view_text(&call->id, get(item, "call_id"));
    conf_view_text(&call->name, get(item, "name"));
}

static void responses_delta(struct str type, yyjson_val *root, struct conf_view *view)
{
    yyjson_val *delta = get(root, "delta");
    if (str_eq(type, STR("response.output_text.delta"))) {
        conf_view_text(&view->text, delta);
        view->logprobs += yyjson_arr_size(get(root, "logprobs"));
    } else if (str_eq(type, STR("response.refusal.delta"))) {
        conf_view_text(&view->refusal, delta);
    } else if (str_eq(type, STR("response.reasoning_summary_text.delta")) ||
               str_eq(type, STR("response.reasoning_text.delta"))) {
        conf_view_text(&view->thinking, delta);
    } else if (str_eq(type, STR("response.function_call_arguments.delta"))) {
        struct conf_call *call =
            conf_view_call(view, (size_t)yyjson_get_uint(get(root, "output_index")));
        if (call)
            conf_view_text(&call->arguments, delta);
    }
}

static void responses_event(struct str name, struct str type, yyjson_val *root,
                            struct conf_view *view)
{
    int64_t sequence = yyjson_get_sint(get(root, "sequence_number"));
    /* Names and numbers are a case of their own: OpenAI's clients do without them. */
    view->unnamed += name.len == 0;
    if (name.len > 0 && !str_eq(name, type))
        conf_view_wrong(view, "the event '%.*s' holds '%.*s'", STR_ARG(name), STR_ARG(type));
    if (!yyjson_is_int(get(root, "sequence_number")))
        view->unnumbered++;
    else if (sequence <= view->sequence)
        conf_view_wrong(view, "sequence_number %lld after %lld", (long long)sequence,
                        (long long)view->sequence);
    view->sequence = sequence;
    if (str_eq(type, STR("response.completed")) || str_eq(type, STR("response.incomplete")))
        responses_end(root, view);
    else if (str_eq(type, STR("response.output_item.added")))
        responses_item(root, view);
    else if (str_eq(type, STR("error")) || str_eq(type, STR("response.failed")))
        view->broken = true;
    else
        responses_delta(type, root, view);
}

void conf_view_event(enum conf_api api, struct str name, struct str data, struct conf_view *view)
{
    if (str_eq(data, STR("[DONE]"))) {
        if (view->ended && (api == CONF_CHAT || api == CONF_COMPLETIONS))
            conf_view_wrong(view, "[DONE] twice");
        if (api == CONF_CHAT || api == CONF_COMPLETIONS)
            view->ended = true;
        return;
    }
    yyjson_doc *doc = yyjson_read(data.ptr, data.len, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *member = get(root, "type");
    struct str type = str_of(yyjson_get_str(member), yyjson_get_len(member));
    if (!yyjson_is_obj(root))
        conf_view_wrong(view, "an event is no JSON object");
    else if (api == CONF_MESSAGES)
        messages_event(name, type, root, view);
    else if (api == CONF_RESPONSES)
        responses_event(name, type, root, view);
    else
        chat_event(api, root, view);
    yyjson_doc_free(doc);
}
