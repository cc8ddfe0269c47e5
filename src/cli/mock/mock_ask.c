#include "cli/mock/mock_ask.h"

#include <yyjson.h>

#include "cli/mock/mock_schema.h"
#include "cli/wire/wire_text.h"
#include "codec/json_write.h"

enum {
    DIMENSIONS_DEFAULT = 16,
    GENERATED_BYTES_MAX = 64 << 10, /* arguments or structured text made from a schema */
};

/* ---- Pieces ---- */

/* JSON made by mock_schema is short, so counting from the start each time is cheap enough. */
static size_t piece_end(struct str text, size_t from)
{
    size_t end = from + MOCK_PIECE_BYTES;
    if (end >= text.len)
        return text.len;
    while (end < text.len && ((unsigned char)text.ptr[end] & 0xc0) == 0x80)
        end++;
    return end;
}

size_t mock_pieces(struct str text)
{
    size_t count = 0;
    for (size_t at = 0; at < text.len; at = piece_end(text, at))
        count++;
    return count;
}

struct str mock_piece(struct str text, size_t i)
{
    size_t at = 0;
    while (i-- > 0)
        at = piece_end(text, at);
    return str_of(text.ptr + at, piece_end(text, at) - at);
}

size_t mock_ask_units(const struct mock_ask *ask)
{
    return ask->text.len > 0 ? mock_pieces(ask->text) : (size_t)ask->tokens;
}

void mock_ask_unit_append(const struct mock_ask *ask, size_t i, struct buf *out)
{
    char token[WIRE_TOKEN_BYTES_MAX];
    if (ask->text.len > 0)
        json_escape_append(out, mock_piece(ask->text, i));
    else
        buf_append(out, token, wire_token_write(token, i));
}

void mock_ask_text_append(const struct mock_ask *ask, struct buf *out)
{
    if (ask->text.len > 0)
        json_escape_append(out, ask->text);
    else
        wire_text_append(out, ask->tokens);
}

uint64_t mock_ask_tokens_of(const struct mock_ask *ask, size_t units)
{
    uint64_t tokens = 0;
    if (ask->call_count == 0)
        return units;
    for (size_t i = 0; i < ask->call_count; i++)
        tokens += (ask->calls[i].name.len + ask->calls[i].arguments.len + 3) / 4;
    return tokens;
}

/* ---- Reading ---- */

static uint64_t tokens_of_text(yyjson_val *text)
{
    return (yyjson_get_len(text) + 3) / 4;
}

/* Tokens of a string, of an array of strings or parts with `text` or `content`, or of one part;
 * messages > content > parts > content (of a tool's result) > parts is as deep as APIs go. */
static uint64_t tokens_within(yyjson_val *value, unsigned depth)
{
    size_t i;
    size_t count;
    uint64_t tokens = 0;
    yyjson_val *item;
    if (yyjson_is_str(value))
        return tokens_of_text(value);
    if (yyjson_is_obj(value)) {
        yyjson_val *text = yyjson_obj_get(value, "text");
        yyjson_val *content = yyjson_obj_get(value, "content");
        return text ? tokens_of_text(text) : depth > 0 ? tokens_within(content, depth - 1) : 0;
    }
    if (depth == 0)
        return 0;
    yyjson_arr_foreach(value, i, count, item)
    {
        tokens += tokens_within(item, depth - 1);
    }
    return tokens;
}

static uint64_t tokens_of(yyjson_val *value)
{
    return tokens_within(value, 8);
}

static struct str copy_json(struct arena *arena, yyjson_val *value)
{
    size_t len;
    struct str copy = STR("null");
    char *json = yyjson_val_write(value, 0, &len);
    if (json)
        copy = arena_str(arena, str_of(json, len));
    free(json);
    return copy;
}

static struct str copy_example(struct arena *arena, yyjson_val *schema)
{
    struct buf BUF_AUTO json;
    buf_init(&json, GENERATED_BYTES_MAX);
    mock_schema_example(schema, &json);
    return json.error == ERR_OK ? arena_str(arena, buf_str(&json)) : STR("{}");
}

static bool read_model(yyjson_val *root, struct arena *arena, struct mock_ask *ask)
{
    yyjson_val *model = yyjson_obj_get(root, "model");
    if (!yyjson_is_str(model))
        return false;
    ask->model = arena_str(arena, str_of(yyjson_get_str(model), yyjson_get_len(model)));
    ask->model_json = copy_json(arena, model);
    return true;
}

static void read_max_tokens(yyjson_val *root, uint64_t max_tokens, struct mock_ask *ask)
{
    static const char *const names[] = {"max_completion_tokens", "max_tokens"};
    ask->tokens = max_tokens;
    for (size_t i = 0; i < 2; i++) {
        yyjson_val *value = yyjson_obj_get(root, names[i]);
        if (!yyjson_is_uint(value))
            continue;
        ask->cut_short = yyjson_get_uint(value) < max_tokens;
        if (ask->cut_short)
            ask->tokens = yyjson_get_uint(value);
        return;
    }
}

/* A conversation that ends with a tool's result is answered with text, so that agents come to an
 * end. */
static bool ends_with_tool_result(yyjson_val *messages)
{
    yyjson_val *last = yyjson_arr_get_last(messages);
    if (yyjson_equals_str(yyjson_obj_get(last, "role"), "tool"))
        return true;
    yyjson_val *part = yyjson_arr_get_first(yyjson_obj_get(last, "content"));
    return yyjson_equals_str(yyjson_obj_get(part, "type"), "tool_result");
}

/* OpenAI: {type, function: {name, parameters}}; Anthropic: {name, input_schema}. */
static void add_tool_call(yyjson_val *tool, struct arena *arena, struct mock_ask *ask)
{
    yyjson_val *function = yyjson_obj_get(tool, "function");
    yyjson_val *name = yyjson_obj_get(function ? function : tool, "name");
    yyjson_val *schema =
        function ? yyjson_obj_get(function, "parameters") : yyjson_obj_get(tool, "input_schema");
    if (!yyjson_is_str(name) || ask->call_count == MOCK_TOOL_CALLS_MAX)
        return;
    ask->calls[ask->call_count++] = (struct mock_tool_call){
        .name = copy_json(arena, name),
        .arguments = copy_example(arena, schema),
    };
}

/* The tool that tool_choice names, or every one when parallel calls are asked for, or the first. */
static void read_tools(yyjson_val *root, struct arena *arena, struct mock_ask *ask)
{
    size_t i;
    size_t count;
    yyjson_val *tool;
    yyjson_val *choice = yyjson_obj_get(root, "tool_choice");
    yyjson_val *named = yyjson_obj_get(choice, "function");
    named = yyjson_obj_get(named ? named : choice, "name");
    bool all = yyjson_is_true(yyjson_obj_get(root, "parallel_tool_calls"));
    if (yyjson_equals_str(choice, "none") ||
        yyjson_equals_str(yyjson_obj_get(choice, "type"), "none") ||
        ends_with_tool_result(yyjson_obj_get(root, "messages")))
        return;
    yyjson_arr_foreach(yyjson_obj_get(root, "tools"), i, count, tool)
    {
        yyjson_val *function = yyjson_obj_get(tool, "function");
        yyjson_val *name = yyjson_obj_get(function ? function : tool, "name");
        if (named && !yyjson_equals(named, name))
            continue;
        add_tool_call(tool, arena, ask);
        if (!all)
            return;
    }
}

static void read_response_format(yyjson_val *root, struct arena *arena, struct mock_ask *ask)
{
    yyjson_val *format = yyjson_obj_get(root, "response_format");
    yyjson_val *type = yyjson_obj_get(format, "type");
    if (yyjson_equals_str(type, "json_object"))
        ask->text = STR("{\"mock\": true}");
    if (yyjson_equals_str(type, "json_schema"))
        ask->text =
            copy_example(arena, yyjson_obj_get(yyjson_obj_get(format, "json_schema"), "schema"));
}

static const char *read_generation(yyjson_val *root, uint64_t max_tokens, struct arena *arena,
                                   struct mock_ask *ask)
{
    yyjson_val *messages = yyjson_obj_get(root, "messages");
    yyjson_val *n = yyjson_obj_get(root, "n");
    bool is_chat = ask->api != MOCK_API_COMPLETIONS;
    if (is_chat && yyjson_arr_size(messages) == 0)
        return "'messages' must be an array with at least one message";
    if (ask->api == MOCK_API_MESSAGES && !yyjson_is_uint(yyjson_obj_get(root, "max_tokens")))
        return "max_tokens: Field required";
    if (n && !yyjson_is_null(n) &&
        (!yyjson_is_uint(n) || yyjson_get_uint(n) < 1 || yyjson_get_uint(n) > MOCK_CHOICES_MAX))
        return "'n' must be a whole number from 1 to 128";
    ask->stream = yyjson_is_true(yyjson_obj_get(root, "stream"));
    ask->include_usage =
        yyjson_is_true(yyjson_obj_get(yyjson_obj_get(root, "stream_options"), "include_usage"));
    if (yyjson_is_uint(n))
        ask->choices = (uint32_t)yyjson_get_uint(n);
    ask->prompt_tokens = tokens_of(is_chat ? messages : yyjson_obj_get(root, "prompt")) +
                         tokens_of(yyjson_obj_get(root, "system"));
    if (ask->prompt_tokens == 0)
        ask->prompt_tokens = 1;
    read_max_tokens(root, max_tokens, ask);
    if (is_chat) {
        read_tools(root, arena, ask);
        read_response_format(root, arena, ask);
    }
    return NULL;
}

static const char *read_embeddings(yyjson_val *root, struct arena *arena, struct mock_ask *ask)
{
    yyjson_val *input = yyjson_obj_get(root, "input");
    yyjson_val *dimensions = yyjson_obj_get(root, "dimensions");
    size_t count = yyjson_is_str(input) ? 1 : yyjson_arr_size(input);
    if (count == 0 || count > MOCK_INPUTS_MAX)
        return "'input' must be a string, or an array of 1 to 2048 strings";
    if (dimensions && (!yyjson_is_uint(dimensions) || yyjson_get_uint(dimensions) < 1 ||
                       yyjson_get_uint(dimensions) > MOCK_DIMENSIONS_MAX))
        return "'dimensions' must be a whole number from 1 to 4096";
    ask->dimensions = dimensions ? (uint32_t)yyjson_get_uint(dimensions) : DIMENSIONS_DEFAULT;
    ask->base64 = yyjson_equals_str(yyjson_obj_get(root, "encoding_format"), "base64");
    ask->inputs = ARENA_ARRAY(arena, struct str, count);
    ask->input_count = count;
    yyjson_val *item = yyjson_is_str(input) ? input : yyjson_arr_get_first(input);
    for (size_t i = 0; i < count; i++, item = unsafe_yyjson_get_next(item))
        ask->inputs[i] = yyjson_is_str(item)
                             ? arena_str(arena, str_of(yyjson_get_str(item), yyjson_get_len(item)))
                             : copy_json(arena, item); /* token ids */
    ask->prompt_tokens = tokens_of(input);
    return NULL;
}

bool mock_ask_read(enum mock_api api, struct str body, uint64_t max_tokens, struct arena *arena,
                   struct mock_ask *ret_ask, const char **ret_problem)
{
    struct mock_ask ask = {.api = api, .choices = 1, .model_json = STR("\"\"")};
    const char *problem = NULL;
    if (api == MOCK_API_MODELS || api == MOCK_API_OTHER) {
        *ret_ask = ask;
        return true;
    }
    yyjson_doc *doc = yyjson_read(body.ptr ? body.ptr : "", body.len, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!yyjson_is_obj(root))
        problem = "the body is not a JSON object";
    else if (!read_model(root, arena, &ask))
        problem = "you must provide a model parameter";
    else if (api == MOCK_API_EMBEDDINGS)
        problem = read_embeddings(root, arena, &ask);
    else if (api == MOCK_API_COUNT_TOKENS)
        ask.prompt_tokens =
            tokens_of(yyjson_obj_get(root, "messages")) + tokens_of(yyjson_obj_get(root, "system"));
    else
        problem = read_generation(root, max_tokens, arena, &ask);
    yyjson_doc_free(doc);
    if (problem) {
        *ret_problem = problem;
        return false;
    }
    *ret_ask = ask;
    return true;
}
