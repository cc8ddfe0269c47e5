#include "cli/mock/mock_ask.h"

#include "cli/mock/mock_schema.h"
#include "cli/mock/mock_talk.h"
#include "cli/wire/wire_text.h"
#include "codec/json_write.h"

enum {
    DIMENSIONS_DEFAULT = 16,
    GENERATED_BYTES_MAX = 64 << 10, /* arguments or structured text made from a schema */
    TEXT_BYTES_MAX = 16 << 20,      /* text in which a stop sequence is looked for */
    THINKING_TOKENS = 4,
};

/* A request as it is read: everything that the readers below need. */
struct reading {
    const struct mock_path *path;
    yyjson_val *root;
    yyjson_val *options; /* Gemini's generationConfig; the root elsewhere */
    struct arena *arena;
    struct mock_talk talk;
    struct mock_ask *ask;
};

/* ---- Values ---- */

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

static yyjson_val *get(yyjson_val *object, const char *name)
{
    return yyjson_obj_get(object, name);
}

/* The first of these members that is there. */
static yyjson_val *get_any(yyjson_val *object, const char *const *names, size_t count)
{
    yyjson_val *value = NULL;
    for (size_t i = 0; i < count && !value; i++)
        value = get(object, names[i]);
    return value;
}

static struct mock_part *add_part(struct mock_ask *ask, enum mock_part_kind kind)
{
    static struct mock_part beyond; /* more is never asked for: MOCK_PARTS_MAX counts them all */
    if (ask->part_count == MOCK_PARTS_MAX)
        return &beyond;
    struct mock_part *part = &ask->parts[ask->part_count++];
    *part = (struct mock_part){.kind = kind};
    return part;
}

/* ---- Tools ---- */

/* What is common to the four ways to describe a tool; name is NULL for one that the provider runs
 * itself. */
struct tool {
    yyjson_val *name;
    yyjson_val *schema;
};

static struct tool tool_of(enum mock_api api, yyjson_val *value)
{
    static const char *const schemas[] = {"parameters", "parametersJsonSchema",
                                          "parameters_json_schema", "input_schema"};
    yyjson_val *function = api == MOCK_API_CHAT ? get(value, "function") : value;
    yyjson_val *type = get(value, "type");
    if (api == MOCK_API_MESSAGES && type && !yyjson_equals_str(type, "custom"))
        return (struct tool){NULL, NULL};
    if (api == MOCK_API_RESPONSES && !yyjson_equals_str(type, "function"))
        return (struct tool){NULL, NULL};
    return (struct tool){get(function, "name"), get_any(function, schemas, 4)};
}

static void add_call(struct reading *reading, struct tool tool)
{
    struct mock_ask *ask = reading->ask;
    size_t calls = mock_calls(ask);
    if (!yyjson_is_str(tool.name) || calls == MOCK_TOOL_CALLS_MAX)
        return;
    struct mock_part *part = add_part(ask, PART_CALL);
    part->name = copy_json(reading->arena, tool.name);
    part->text = copy_example(reading->arena, tool.schema);
    part->units = mock_pieces(part->text);
    part->number = (size_t)reading->talk.next_call + calls;
}

/* What tool_choice, or a wish, says. */
struct choice {
    struct str name; /* this tool; empty: any */
    bool none;
    bool all; /* every tool at once */
};

static struct choice choice_of(const struct reading *reading)
{
    struct choice choice = {.all = yyjson_is_true(get(reading->root, "parallel_tool_calls"))};
    yyjson_val *value = get(reading->root, "tool_choice");
    yyjson_val *config = mock_get2(mock_get2(reading->root, "toolConfig", "tool_config"),
                                   "functionCallingConfig", "function_calling_config");
    yyjson_val *function = get(value, "function");
    yyjson_val *name = get(function ? function : value, "name");
    if (config) {
        value = get(config, "mode");
        name = yyjson_arr_get_first(
            mock_get2(config, "allowedFunctionNames", "allowed_function_names"));
    }
    if (yyjson_is_obj(value))
        value = get(value, "type");
    choice.none = yyjson_equals_str(value, "none") || yyjson_equals_str(value, "NONE");
    choice.name = reading->talk.wish.call.len > 0 ? reading->talk.wish.call : mock_text_of(name);
    if (reading->talk.wish.parallel)
        choice.all = true;
    if (yyjson_is_false(get(reading->root, "parallel_tool_calls")) ||
        yyjson_is_true(get(get(reading->root, "tool_choice"), "disable_parallel_tool_use")))
        choice.all = false;
    return choice;
}

/* Adds the calls among these tools; false: enough are called. */
static bool call_tools(struct reading *reading, yyjson_val *tools, const struct choice *choice)
{
    size_t i;
    size_t count;
    yyjson_val *value;
    yyjson_arr_foreach(tools, i, count, value)
    {
        yyjson_val *declared = mock_get2(value, "functionDeclarations", "function_declarations");
        if (declared && !call_tools(reading, declared, choice))
            return false;
        struct tool tool = tool_of(reading->path->api, value);
        if (choice->name.len > 0 && !str_eq(mock_text_of(tool.name), choice->name))
            continue;
        add_call(reading, tool);
        if (!choice->all && mock_calls(reading->ask) > 0)
            return false;
    }
    return true;
}

/* The tool that tool_choice names, or every one when parallel calls are asked for, or the first.
 * A conversation that ends with a tool's result is answered with text, so that agents come to an
 * end; `mock:turns=N` lets N rounds of calls come before that. */
static void read_tools(struct reading *reading)
{
    const struct mock_talk *talk = &reading->talk;
    uint64_t turns = talk->wish.turns == MOCK_WISH_UNSET ? 1 : (uint64_t)talk->wish.turns;
    struct choice choice = choice_of(reading);
    if (choice.none || talk->wish.text || (talk->ends_with_result && talk->rounds >= turns))
        return;
    call_tools(reading, get(reading->root, "tools"), &choice);
}

/* ---- Text ---- */

/* The schema that text has to fit, or NULL; *ret_any: any JSON object will do. */
static yyjson_val *schema_of(const struct reading *reading, bool *ret_any)
{
    static const char *const gemini[] = {"responseSchema", "response_schema", "responseJsonSchema",
                                         "response_json_schema"};
    yyjson_val *root = reading->root;
    yyjson_val *format = get(root, "response_format");
    *ret_any = false;
    switch (reading->path->api) {
    case MOCK_API_GEMINI:
        *ret_any =
            yyjson_equals_str(mock_get2(reading->options, "responseMimeType", "response_mime_type"),
                              "application/json");
        return get_any(reading->options, gemini, 4);
    case MOCK_API_RESPONSES: format = get(get(root, "text"), "format"); break;
    case MOCK_API_MESSAGES:
        format = get(get(root, "output_config"), "format");
        if (!format)
            format = get(root, "output_format");
        break;
    default: break;
    }
    *ret_any = yyjson_equals_str(get(format, "type"), "json_object");
    if (!yyjson_equals_str(get(format, "type"), "json_schema"))
        return NULL;
    yyjson_val *inner = get(format, "json_schema");
    return get(inner ? inner : format, "schema");
}

static void read_max_tokens(struct reading *reading, uint64_t max_tokens)
{
    static const char *const names[] = {"max_completion_tokens", "max_tokens", "max_output_tokens",
                                        "maxOutputTokens"};
    struct mock_ask *ask = reading->ask;
    yyjson_val *value = get_any(reading->options, names, 4);
    ask->tokens = max_tokens;
    if (reading->talk.wish.tokens != MOCK_WISH_UNSET)
        ask->tokens = (uint64_t)reading->talk.wish.tokens;
    if (yyjson_is_uint(value) && yyjson_get_uint(value) < ask->tokens) {
        ask->stop = STOP_LENGTH;
        ask->tokens = yyjson_get_uint(value);
    }
}

/* Cut the numbered tokens before the first stop sequence in them, if there is one. */
static void read_stop(struct reading *reading, struct mock_part *part)
{
    static const char *const names[] = {"stop", "stop_sequences", "stopSequences", "stop_sequence"};
    yyjson_val *stops = get_any(reading->options, names, 4);
    yyjson_val *one = yyjson_is_arr(stops) ? yyjson_arr_get_first(stops) : stops;
    size_t count = yyjson_is_arr(stops) ? yyjson_arr_size(stops) : yyjson_is_str(stops);
    struct buf BUF_AUTO text;
    buf_init(&text, TEXT_BYTES_MAX);
    if (count > 0)
        wire_text_append(&text, part->units);
    size_t end = text.len;
    for (size_t i = 0; i < count && i < MOCK_STOPS_MAX; i++, one = unsafe_yyjson_get_next(one)) {
        struct str stop = mock_text_of(one);
        ptrdiff_t at = stop.len > 0 ? str_find(buf_str(&text), stop) : -1;
        if (at < 0 || (size_t)at >= end)
            continue;
        end = (size_t)at;
        reading->ask->stop = STOP_SEQUENCE;
        reading->ask->stop_sequence = copy_json(reading->arena, one);
    }
    if (reading->ask->stop != STOP_SEQUENCE)
        return;
    part->text = arena_str(reading->arena, str_take(buf_str(&text), end));
    part->units = mock_pieces(part->text);
}

static void read_text(struct reading *reading)
{
    bool any;
    yyjson_val *schema = schema_of(reading, &any);
    struct mock_part *part = add_part(reading->ask, PART_TEXT);
    part->units = reading->ask->tokens;
    if (yyjson_is_obj(schema))
        part->text = copy_example(reading->arena, schema);
    else if (any)
        part->text = STR("{\"mock\": true}");
    if (part->text.len > 0) {
        part->units = mock_pieces(part->text);
        reading->ask->stop = STOP_END;
    } else {
        read_stop(reading, part);
    }
}

/* ---- Thinking ---- */

static bool is_off(yyjson_val *effort)
{
    return !yyjson_is_str(effort) || yyjson_equals_str(effort, "none");
}

/* Is thinking asked for, and is it to be shown? */
static bool wants_thinking(const struct reading *reading, bool *ret_shown)
{
    yyjson_val *root = reading->root;
    yyjson_val *thinking = get(root, "thinking");
    yyjson_val *reasoning = get(root, "reasoning");
    yyjson_val *config = mock_get2(reading->options, "thinkingConfig", "thinking_config");
    switch (reading->path->api) {
    case MOCK_API_MESSAGES:
        *ret_shown = true;
        return yyjson_equals_str(get(thinking, "type"), "enabled") ||
               yyjson_equals_str(get(thinking, "type"), "adaptive");
    case MOCK_API_RESPONSES:
        *ret_shown = yyjson_is_str(get(reasoning, "summary"));
        return !is_off(get(reasoning, "effort"));
    case MOCK_API_GEMINI:
        *ret_shown = yyjson_is_true(mock_get2(config, "includeThoughts", "include_thoughts"));
        return config &&
                       yyjson_get_sint(mock_get2(config, "thinkingBudget", "thinking_budget")) != 0
                   ? true
                   : *ret_shown;
    default: *ret_shown = false; return !is_off(get(root, "reasoning_effort"));
    }
}

static bool includes(yyjson_val *root, const char *name)
{
    size_t i;
    size_t count;
    yyjson_val *value;
    yyjson_arr_foreach(get(root, "include"), i, count, value)
    {
        if (yyjson_equals_str(value, name))
            return true;
    }
    return false;
}

static void read_thinking(struct reading *reading)
{
    struct mock_ask *ask = reading->ask;
    const struct mock_wish *wish = &reading->talk.wish;
    bool shown = false;
    if (wants_thinking(reading, &shown))
        ask->reasoning = THINKING_TOKENS;
    if (wish->think != MOCK_WISH_UNSET) {
        ask->reasoning = (uint64_t)wish->think;
        shown = true;
    }
    ask->thought_text = shown && ask->reasoning > 0;
    ask->encrypted = includes(reading->root, "reasoning.encrypted_content");
    if (wish->redacted && ask->api == MOCK_API_MESSAGES)
        add_part(ask, PART_REDACTED);
    /* Responses tell of reasoning that they do not show. */
    if (ask->thought_text || (ask->api == MOCK_API_RESPONSES && ask->reasoning > 0))
        add_part(ask, PART_THINKING)->units = ask->thought_text ? ask->reasoning : 0;
}

/* ---- Generation ---- */

static void read_parts(struct reading *reading)
{
    struct mock_ask *ask = reading->ask;
    const struct mock_wish *wish = &reading->talk.wish;
    if (ask->api == MOCK_API_COMPLETIONS) {
        if (!wish->empty)
            read_text(reading);
        return;
    }
    if (wish->filter || wish->empty) {
        ask->stop = wish->filter ? STOP_FILTER : STOP_END;
        return;
    }
    read_thinking(reading);
    if (wish->refuse) {
        struct mock_part *part = add_part(ask, PART_REFUSAL);
        part->text = STR(MOCK_REFUSAL);
        part->units = mock_pieces(part->text);
        ask->stop = STOP_REFUSAL;
        return;
    }
    if (wish->both)
        read_text(reading);
    read_tools(reading);
    if (mock_calls(ask) > 0)
        ask->stop = STOP_CALLS;
    else if (!wish->both)
        read_text(reading);
}

static void read_cache(struct reading *reading)
{
    struct mock_ask *ask = reading->ask;
    const struct mock_talk *talk = &reading->talk;
    ask->prompt_tokens = talk->tokens > 0 ? talk->tokens : 1;
    ask->cache_1h = talk->marked_1h;
    if (talk->wish.cached || (get(reading->root, "prompt_cache_key") && talk->assistant_spoke))
        ask->cache_read = ask->prompt_tokens / 2;
    else if (talk->marked && talk->assistant_spoke)
        ask->cache_read = talk->mark_tokens;
    else if (talk->marked)
        ask->cache_write = talk->mark_tokens;
}

static const char *read_logprobs(struct reading *reading)
{
    struct mock_ask *ask = reading->ask;
    yyjson_val *logprobs = mock_get2(reading->options, "logprobs", "responseLogprobs");
    yyjson_val *top = get(reading->options, "top_logprobs");
    if (ask->api == MOCK_API_COMPLETIONS || ask->api == MOCK_API_GEMINI)
        top = get(reading->options, "logprobs");
    ask->logprobs = yyjson_is_true(logprobs) ||
                    yyjson_is_true(get(reading->options, "responseLogprobs")) ||
                    (ask->api == MOCK_API_COMPLETIONS && yyjson_is_uint(logprobs)) ||
                    includes(reading->root, "message.output_text.logprobs");
    if (yyjson_is_uint(top) && yyjson_get_uint(top) > MOCK_LOGPROBS_MAX)
        return "'top_logprobs' must be a whole number from 0 to 20";
    if (yyjson_is_uint(top))
        ask->top_logprobs = (uint32_t)yyjson_get_uint(top);
    return NULL;
}

static const char *read_choices(struct reading *reading)
{
    yyjson_val *n = mock_get2(reading->options, "n", "candidateCount");
    if (!n || yyjson_is_null(n) || reading->path->api == MOCK_API_MESSAGES)
        return NULL;
    if (!yyjson_is_uint(n) || yyjson_get_uint(n) < 1 || yyjson_get_uint(n) > MOCK_CHOICES_MAX)
        return "'n' must be a whole number from 1 to 128";
    reading->ask->choices = (uint32_t)yyjson_get_uint(n);
    return NULL;
}

/* What stands in every request of that API. */
static const char *check_required(const struct reading *reading)
{
    yyjson_val *root = reading->root;
    switch (reading->path->api) {
    case MOCK_API_MESSAGES:
        if (!yyjson_is_uint(get(root, "max_tokens")))
            return "max_tokens: Field required";
        __attribute__((fallthrough));
    case MOCK_API_CHAT:
        if (yyjson_arr_size(get(root, "messages")) == 0)
            return "'messages' must be an array with at least one message";
        break;
    case MOCK_API_GEMINI:
        if (yyjson_arr_size(get(root, "contents")) == 0)
            return "* GenerateContentRequest.contents: contents is not specified";
        break;
    case MOCK_API_RESPONSES:
        if (!get(root, "input") && !get(root, "prompt"))
            return "Missing required parameter: 'input'.";
        break;
    default: break;
    }
    return reading->talk.problem;
}

static const char *read_generation(struct reading *reading, uint64_t max_tokens)
{
    struct mock_ask *ask = reading->ask;
    yyjson_val *root = reading->root;
    const char *problem = check_required(reading);
    if (!problem)
        problem = read_choices(reading);
    if (!problem)
        problem = read_logprobs(reading);
    if (problem)
        return problem;
    ask->stream = reading->path->stream || yyjson_is_true(get(root, "stream"));
    ask->include_usage = yyjson_is_true(get(get(root, "stream_options"), "include_usage"));
    read_cache(reading);
    read_max_tokens(reading, max_tokens);
    read_parts(reading);
    return NULL;
}

/* ---- Embeddings ---- */

static struct str copy_input(struct arena *arena, yyjson_val *item)
{
    return yyjson_is_str(item) ? arena_str(arena, mock_text_of(item))
                               : copy_json(arena, item); /* token ids */
}

static const char *read_dimensions(struct reading *reading, yyjson_val *dimensions)
{
    reading->ask->dimensions = DIMENSIONS_DEFAULT;
    if (!dimensions || yyjson_is_null(dimensions))
        return NULL;
    if (!yyjson_is_uint(dimensions) || yyjson_get_uint(dimensions) < 1 ||
        yyjson_get_uint(dimensions) > MOCK_DIMENSIONS_MAX)
        return "'dimensions' must be a whole number from 1 to 4096";
    reading->ask->dimensions = (uint32_t)yyjson_get_uint(dimensions);
    return NULL;
}

static const char *read_embeddings(struct reading *reading)
{
    struct mock_ask *ask = reading->ask;
    yyjson_val *input = get(reading->root, "input");
    size_t count = yyjson_is_str(input) ? 1 : yyjson_arr_size(input);
    if (count == 0 || count > MOCK_INPUTS_MAX)
        return "'input' must be a string, or an array of 1 to 2048 strings";
    ask->base64 = yyjson_equals_str(get(reading->root, "encoding_format"), "base64");
    ask->inputs = ARENA_ARRAY(reading->arena, struct str, count);
    ask->input_count = count;
    yyjson_val *item = yyjson_is_str(input) ? input : yyjson_arr_get_first(input);
    for (size_t i = 0; i < count; i++, item = unsafe_yyjson_get_next(item)) {
        ask->inputs[i] = copy_input(reading->arena, item);
        ask->prompt_tokens += yyjson_is_str(item) ? (ask->inputs[i].len + 3) / 4 : 0;
    }
    return read_dimensions(reading, get(reading->root, "dimensions"));
}

static const char *read_gemini_embeddings(struct reading *reading)
{
    struct mock_ask *ask = reading->ask;
    yyjson_val *requests = get(reading->root, "requests");
    yyjson_val *one = requests ? yyjson_arr_get_first(requests) : reading->root;
    size_t count = requests ? yyjson_arr_size(requests) : 1;
    if (count == 0 || count > MOCK_INPUTS_MAX)
        return "'requests' must be an array of 1 to 2048";
    ask->inputs = ARENA_ARRAY(reading->arena, struct str, count);
    ask->input_count = count;
    yyjson_val *dimensions = mock_get2(one, "outputDimensionality", "output_dimensionality");
    for (size_t i = 0; i < count; i++, one = unsafe_yyjson_get_next(one)) {
        yyjson_val *part = yyjson_arr_get_first(get(get(one, "content"), "parts"));
        ask->inputs[i] = copy_input(reading->arena, get(part, "text"));
        ask->prompt_tokens += (ask->inputs[i].len + 3) / 4;
    }
    return read_dimensions(reading, dimensions);
}

/* ---- The whole ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 87 : -1;
}

/* Without percent-encoding. */
static void decode(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        bool coded = text.ptr[i] == '%' && i + 2 < text.len && hex_digit(text.ptr[i + 1]) >= 0 &&
                     hex_digit(text.ptr[i + 2]) >= 0;
        buf_append_char(out,
                        coded ? (char)(hex_digit(text.ptr[i + 1]) * 16 + hex_digit(text.ptr[i + 2]))
                              : text.ptr[i]);
        i += coded ? 2 : 0;
    }
}

static bool read_model(struct reading *reading)
{
    struct mock_ask *ask = reading->ask;
    yyjson_val *model = get(reading->root, "model");
    if (reading->path->model.len > 0) {
        struct buf BUF_AUTO name;
        struct buf BUF_AUTO json;
        buf_init(&name, 4096);
        buf_init(&json, 8192);
        decode(reading->path->model, &name);
        buf_append_char(&json, '"');
        json_escape_append(&json, buf_str(&name));
        buf_append_char(&json, '"');
        ask->model = arena_str(reading->arena, buf_str(&name));
        ask->model_json = arena_str(reading->arena, buf_str(&json));
        return json.error == ERR_OK;
    }
    if (!yyjson_is_str(model))
        return false;
    ask->model = arena_str(reading->arena, mock_text_of(model));
    ask->model_json = copy_json(reading->arena, model);
    return true;
}

/* `mock:fault=KIND`, the only wish that may be wrong. */
static const char *read_wished_fault(struct reading *reading)
{
    struct str wish = reading->talk.wish.fault;
    if (wish.len == 0)
        return NULL;
    reading->ask->fault_is_wished = true;
    return mock_fault_parse(wish, &reading->ask->fault, NULL) ? NULL
                                                              : "mock:fault=… names no known kind";
}

static const char *read_root(struct reading *reading, uint64_t max_tokens)
{
    struct mock_ask *ask = reading->ask;
    yyjson_val *inner =
        mock_get2(reading->root, "generateContentRequest", "generate_content_request");
    if (!yyjson_is_obj(reading->root))
        return "the body is not a JSON object";
    if (!read_model(reading))
        return "you must provide a model parameter";
    switch (ask->api) {
    case MOCK_API_EMBEDDINGS: return read_embeddings(reading);
    case MOCK_API_GEMINI_EMBED:
    case MOCK_API_GEMINI_EMBED_BATCH: return read_gemini_embeddings(reading);
    default: break;
    }
    mock_talk_read(ask->api, inner ? inner : reading->root, &reading->talk);
    const char *problem = read_wished_fault(reading);
    ask->prompt_tokens = reading->talk.tokens;
    ask->calls_before = reading->talk.next_call;
    if (problem || ask->api == MOCK_API_COUNT_TOKENS || ask->api == MOCK_API_GEMINI_COUNT)
        return problem;
    return read_generation(reading, max_tokens);
}

bool mock_ask_read(const struct mock_path *path, struct str body, uint64_t max_tokens,
                   struct arena *arena, struct mock_ask *ret_ask, const char **ret_problem)
{
    struct mock_ask ask = {
        .api = path->api, .azure = path->azure, .choices = 1, .model_json = STR("\"\"")};
    struct reading reading = {.path = path, .arena = arena, .ask = &ask};
    const char *problem;
    if (path->api == MOCK_API_MODELS || path->api == MOCK_API_GEMINI_MODELS ||
        path->api == MOCK_API_OTHER) {
        *ret_ask = ask;
        return true;
    }
    yyjson_doc *doc = yyjson_read(body.ptr ? body.ptr : "", body.len, 0);
    reading.root = yyjson_doc_get_root(doc);
    reading.options = path->api == MOCK_API_GEMINI
                          ? mock_get2(reading.root, "generationConfig", "generation_config")
                          : reading.root;
    problem = read_root(&reading, max_tokens);
    yyjson_doc_free(doc);
    if (problem) {
        *ret_problem = problem;
        return false;
    }
    *ret_ask = ask;
    return true;
}
