/* `seen` in /mock/last: what a request holds, in words that are the same for each API, so that a
 * test can say what has to reach a provider, whichever way it went. */
#include "cli/mock/mock_int.h"
#include "cli/mock/mock_talk.h"
#include "codec/json_write.h"

enum { DEPTH_MAX = 4 };

static const char *api_name(enum mock_api api)
{
    switch (api) {
    case MOCK_API_CHAT: return "chat";
    case MOCK_API_COMPLETIONS: return "completions";
    case MOCK_API_EMBEDDINGS: return "embeddings";
    case MOCK_API_RESPONSES: return "responses";
    case MOCK_API_MESSAGES: return "messages";
    case MOCK_API_COUNT_TOKENS: return "count_tokens";
    case MOCK_API_GEMINI: return "gemini";
    case MOCK_API_GEMINI_COUNT: return "gemini_count";
    case MOCK_API_GEMINI_EMBED:
    case MOCK_API_GEMINI_EMBED_BATCH: return "gemini_embed";
    case MOCK_API_MODELS:
    case MOCK_API_GEMINI_MODELS: return "models";
    default: return "other";
    }
}

static void write_ask(const struct mock_ask *ask, struct json_writer *w)
{
    struct mock_usage usage = mock_usage_of(ask, UINT64_MAX);
    json_member_str(w, STR("api"), str_from_c(api_name(ask->api)));
    json_member_bool(w, STR("azure"), ask->azure);
    json_member_str(w, STR("model"), ask->model);
    json_member_bool(w, STR("stream"), ask->stream);
    json_member_u64(w, STR("n"), ask->choices);
    json_member_u64(w, STR("reasoning"), ask->reasoning);
    json_member_u64(w, STR("inputs"), ask->input_count);
    json_member_u64(w, STR("calls_made"), mock_calls(ask));
    json_key(w, STR("usage"));
    json_object_begin(w);
    json_member_u64(w, STR("input"), usage.input);
    json_member_u64(w, STR("cached_input"), usage.cache_read);
    json_member_u64(w, STR("cache_write"), usage.cache_write);
    json_member_u64(w, STR("output"), usage.output);
    json_member_u64(w, STR("reasoning"), usage.reasoning);
    json_object_end(w);
}

static void write_talk(const struct mock_talk *talk, struct json_writer *w)
{
    json_member_u64(w, STR("messages"), talk->messages);
    json_member_u64(w, STR("images"), talk->images);
    json_member_u64(w, STR("files"), talk->files);
    json_member_u64(w, STR("calls"), talk->calls);
    json_member_u64(w, STR("results"), talk->results);
    json_member_u64(w, STR("thoughts"), talk->thoughts);
    json_member_u64(w, STR("signatures"), talk->signatures);
    json_member_bool(w, STR("cache_marked"), talk->marked);
    json_member_str(w, STR("last_text"), talk->last_text);
}

/* The system's words: a member of its own, or messages of that role; joined with line feeds. */
static void append_system(yyjson_val *value, unsigned depth, struct buf *out)
{
    size_t i;
    size_t count;
    yyjson_val *item;
    yyjson_val *text = yyjson_is_str(value) ? value : yyjson_obj_get(value, "text");
    if (yyjson_is_str(text)) {
        if (out->len > 0)
            buf_append_char(out, '\n');
        buf_append_str(out, mock_text_of(text));
        return;
    }
    if (depth == 0)
        return;
    if (yyjson_is_obj(value))
        append_system(mock_get2(value, "content", "parts"), depth - 1, out);
    yyjson_arr_foreach(value, i, count, item)
    {
        append_system(item, depth - 1, out);
    }
}

static void append_systems(yyjson_val *root, struct buf *out)
{
    static const char *const alone[] = {"system", "instructions", "systemInstruction",
                                        "system_instruction"};
    size_t i;
    size_t count;
    yyjson_val *message;
    for (size_t k = 0; k < 4; k++)
        append_system(yyjson_obj_get(root, alone[k]), DEPTH_MAX, out);
    yyjson_val *messages = mock_get2(root, "messages", "input");
    yyjson_arr_foreach(messages, i, count, message)
    {
        yyjson_val *role = yyjson_obj_get(message, "role");
        if (yyjson_equals_str(role, "system") || yyjson_equals_str(role, "developer"))
            append_system(message, DEPTH_MAX, out);
    }
}

/* Names of what is declared in `tools`. */
static void write_tools(yyjson_val *tools, unsigned depth, struct json_writer *w)
{
    size_t i;
    size_t count;
    yyjson_val *tool;
    if (depth == 0)
        return;
    yyjson_arr_foreach(tools, i, count, tool)
    {
        yyjson_val *function = yyjson_obj_get(tool, "function");
        yyjson_val *name = yyjson_obj_get(function ? function : tool, "name");
        if (yyjson_is_str(name))
            json_str(w, mock_text_of(name));
        write_tools(mock_get2(tool, "functionDeclarations", "function_declarations"), depth - 1, w);
    }
}

static void write_root(yyjson_val *root, struct json_writer *w)
{
    struct buf BUF_AUTO system;
    buf_init(&system, MOCK_BODY_BYTES_MAX);
    append_systems(root, &system);
    json_member_str(w, STR("system"), buf_str(&system));
    json_key(w, STR("tools"));
    json_array_begin(w);
    write_tools(yyjson_obj_get(root, "tools"), DEPTH_MAX, w);
    json_array_end(w);
}

void mock_seen_append(const struct mock_request *request, uint64_t max_tokens, struct buf *out)
{
    struct mock_path path = mock_path_of(buf_str(&request->target));
    struct str body = buf_str(&request->body);
    struct mock_ask ask = {.api = path.api};
    struct mock_talk talk;
    struct json_writer w;
    const char *problem = NULL;
    struct arena arena;
    arena_init(&arena);
    bool read = mock_ask_read(&path, body, max_tokens, &arena, &ask, &problem);
    yyjson_doc *doc = yyjson_read(body.ptr ? body.ptr : "", body.len, 0);
    mock_talk_read(path.api, yyjson_doc_get_root(doc), &talk);
    json_writer_init(&w, out);
    json_object_begin(&w);
    write_ask(&ask, &w);
    write_talk(&talk, &w);
    write_root(yyjson_doc_get_root(doc), &w);
    json_member_str_or_null(&w, STR("problem"), read ? STR_NONE : str_from_c(problem));
    json_object_end(&w);
    yyjson_doc_free(doc);
    arena_release(&arena);
}
