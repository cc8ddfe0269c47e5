#include "cli/mock/mock_talk.h"

enum { DEPTH_MAX = 8 }; /* messages > content > parts > content (of a tool's result) > parts */

struct walk {
    struct mock_talk *talk;
    bool listens;    /* a person or the system speaks: wishes count */
    bool has_text;   /* in this message */
    bool has_calls;  /* in this message */
    bool has_result; /* in this message */
};

yyjson_val *mock_get2(yyjson_val *object, const char *name, const char *other)
{
    yyjson_val *value = yyjson_obj_get(object, name);
    return value ? value : yyjson_obj_get(object, other);
}

struct str mock_text_of(yyjson_val *string)
{
    return str_of(yyjson_get_str(string), yyjson_get_len(string));
}

/* ---- Wishes ---- */

static void take_wish(struct str word, struct mock_wish *wish)
{
    static const struct {
        struct str name;
        size_t at;
    } flags[] = {
#define FLAG(name) {STR_INIT(#name), offsetof(struct mock_wish, name)}
        FLAG(refuse), FLAG(filter),   FLAG(empty),    FLAG(text),
        FLAG(both),   FLAG(parallel), FLAG(redacted), FLAG(cached),
#undef FLAG
    };
    struct str value = word;
    struct str name = str_split(&value, '=');
    uint64_t number = 4; /* `mock:think` alone */
    bool has_number = value.len == 0 || str_to_u64(value, &number) == ERR_OK;
    if (number > 1000000)
        number = 1000000;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (str_eq(name, flags[i].name))
            *(bool *)((char *)wish + flags[i].at) = true;
    if (str_eq(name, STR("call")))
        wish->call = value;
    else if (str_eq(name, STR("fault")))
        wish->fault = value;
    else if (str_eq(name, STR("think")) && has_number)
        wish->think = (int64_t)number;
    else if (str_eq(name, STR("tokens")) && has_number)
        wish->tokens = (int64_t)number;
    else if (str_eq(name, STR("turns")) && has_number)
        wish->turns = (int64_t)number;
}

/* A word ends at what is not of a fault's or a tool's name. */
static size_t word_length(struct str text)
{
    size_t len = 0;
    while (len < text.len && (unsigned char)text.ptr[len] > ' ' &&
           !memchr("\"'`,;()[]{}<>", text.ptr[len], 14))
        len++;
    while (len > 0 && text.ptr[len - 1] == '.') /* a sentence's end */
        len--;
    return len;
}

static void take_wishes(struct str text, struct mock_wish *wish)
{
    const char *at;
    while (text.len > 5 && (at = memmem(text.ptr, text.len, "mock:", 5))) {
        text = str_skip(text, (size_t)(at - text.ptr) + 5);
        size_t len = word_length(text);
        take_wish(str_take(text, len), wish);
        text = str_skip(text, len);
    }
}

/* ---- Parts ---- */

static void take_text(struct walk *walk, yyjson_val *text)
{
    struct mock_talk *talk = walk->talk;
    talk->tokens += (yyjson_get_len(text) + 3) / 4;
    if (!walk->listens)
        return;
    walk->has_text = true;
    talk->last_text = mock_text_of(text);
    take_wishes(talk->last_text, &talk->wish);
}

/* What the mock signed comes back as it was. `allowed`: Google lets two words pass for it. */
static void check_signature(struct mock_talk *talk, yyjson_val *value, const char *right,
                            const char *problem)
{
    if (!value || yyjson_is_null(value))
        return;
    talk->signatures++;
    if (!yyjson_equals_str(value, right) &&
        !yyjson_equals_str(value, "skip_thought_signature_validator") &&
        !yyjson_equals_str(value, "context_engineering_is_the_way_to_go"))
        talk->problem = problem;
}

static void take_thought(struct walk *walk, yyjson_val *part)
{
    struct mock_talk *talk = walk->talk;
    talk->thoughts++;
    check_signature(talk, yyjson_obj_get(part, "signature"), MOCK_SIGNATURE,
                    "Invalid `signature` in `thinking` block");
    check_signature(talk, yyjson_obj_get(part, "data"), MOCK_ENCRYPTED,
                    "Invalid `data` in `redacted_thinking` block");
    check_signature(talk, yyjson_obj_get(part, "encrypted_content"), MOCK_ENCRYPTED,
                    "The encrypted content could not be verified");
}

/* "call_mock_7", whatever stands before the number. */
static void take_call_id(struct mock_talk *talk, yyjson_val *id)
{
    struct str text = mock_text_of(id);
    ptrdiff_t at = yyjson_is_str(id) ? str_find(text, STR("_mock_")) : -1;
    uint64_t number;
    if (at < 0 || str_to_u64(str_skip(text, (size_t)at + 6), &number) != ERR_OK ||
        number >= UINT32_MAX)
        return;
    if (number + 1 > talk->next_call)
        talk->next_call = number + 1;
}

static void take_call(struct walk *walk, yyjson_val *id)
{
    walk->has_calls = true;
    walk->talk->calls++;
    take_call_id(walk->talk, id);
}

static void take_media(struct mock_talk *talk, bool image)
{
    *(image ? &talk->images : &talk->files) += 1;
    talk->tokens += MOCK_IMAGE_TOKENS;
}

static void take_part(struct walk *walk, yyjson_val *part, unsigned depth);

static void take_content(struct walk *walk, yyjson_val *content, unsigned depth)
{
    size_t i;
    size_t count;
    yyjson_val *item;
    if (yyjson_is_str(content))
        take_text(walk, content);
    else if (yyjson_is_obj(content))
        take_part(walk, content, depth);
    if (!yyjson_is_arr(content) || depth == 0)
        return;
    yyjson_arr_foreach(content, i, count, item)
    {
        take_content(walk, item, depth - 1);
    }
}

static void take_result(struct walk *walk, yyjson_val *id, yyjson_val *content, unsigned depth)
{
    bool listened = walk->listens;
    walk->has_result = true;
    walk->talk->results++;
    take_call_id(walk->talk, id);
    walk->listens = false;
    if (depth > 0)
        take_content(walk, content, depth - 1);
    walk->listens = listened;
}

static bool take_typed(struct walk *walk, yyjson_val *part, struct str type, unsigned depth)
{
    static const struct str images[] = {STR_INIT("image_url"), STR_INIT("input_image"),
                                        STR_INIT("image")};
    static const struct str files[] = {STR_INIT("file"), STR_INIT("input_file"),
                                       STR_INIT("document"), STR_INIT("input_audio")};
    for (size_t i = 0; i < sizeof images / sizeof images[0]; i++)
        if (str_eq(type, images[i]))
            return take_media(walk->talk, true), true;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (str_eq(type, files[i]))
            return take_media(walk->talk, false), true;
    if (str_eq(type, STR("thinking")) || str_eq(type, STR("redacted_thinking")) ||
        str_eq(type, STR("reasoning")))
        take_thought(walk, part);
    else if (str_eq(type, STR("tool_use")))
        take_call(walk, yyjson_obj_get(part, "id"));
    else if (str_eq(type, STR("function_call")))
        take_call(walk, yyjson_obj_get(part, "call_id"));
    else if (str_eq(type, STR("tool_result")))
        take_result(walk, yyjson_obj_get(part, "tool_use_id"), yyjson_obj_get(part, "content"),
                    depth);
    else if (str_eq(type, STR("function_call_output")))
        take_result(walk, yyjson_obj_get(part, "call_id"), yyjson_obj_get(part, "output"), depth);
    else
        return false;
    return true;
}

/* Gemini's parts have no type: a member says what they are. */
static bool take_gemini(struct walk *walk, yyjson_val *part)
{
    yyjson_val *media = mock_get2(part, "inlineData", "inline_data");
    yyjson_val *call = mock_get2(part, "functionCall", "function_call");
    yyjson_val *result = mock_get2(part, "functionResponse", "function_response");
    yyjson_val *signature = mock_get2(part, "thoughtSignature", "thought_signature");
    bool by_google = yyjson_equals_str(signature, MOCK_SIGNATURE_URL);
    check_signature(walk->talk, signature, by_google ? MOCK_SIGNATURE_URL : MOCK_SIGNATURE,
                    "Thought signature is not valid");
    if (!media)
        media = mock_get2(part, "fileData", "file_data");
    if (media)
        take_media(walk->talk, str_starts(mock_text_of(mock_get2(media, "mimeType", "mime_type")),
                                          STR("image/")));
    else if (yyjson_is_obj(call))
        take_call(walk, yyjson_obj_get(call, "id"));
    else if (yyjson_is_obj(result))
        take_result(walk, yyjson_obj_get(result, "id"), NULL, 0);
    else if (yyjson_is_true(yyjson_obj_get(part, "thought")))
        walk->talk->thoughts++;
    else
        return false;
    return true;
}

static void take_mark(struct mock_talk *talk, yyjson_val *mark)
{
    if (!yyjson_is_obj(mark))
        return;
    talk->marked = true;
    talk->marked_1h = yyjson_equals_str(yyjson_obj_get(mark, "ttl"), "1h");
    talk->mark_tokens = talk->tokens;
}

static void take_part(struct walk *walk, yyjson_val *part, unsigned depth)
{
    yyjson_val *text = yyjson_obj_get(part, "text");
    yyjson_val *content = mock_get2(part, "content", "parts");
    struct str type = mock_text_of(yyjson_obj_get(part, "type"));
    if (!take_typed(walk, part, type, depth) && !take_gemini(walk, part)) {
        if (yyjson_is_str(text))
            take_text(walk, text);
        else if (content && depth > 0)
            take_content(walk, content, depth - 1);
    }
    take_mark(walk->talk, yyjson_obj_get(part, "cache_control"));
}

/* ---- Messages ---- */

static void take_tool_calls(struct walk *walk, yyjson_val *calls)
{
    size_t i;
    size_t count;
    yyjson_val *call;
    yyjson_arr_foreach(calls, i, count, call)
    {
        take_call(walk, yyjson_obj_get(call, "id"));
    }
}

/* had_calls: the message before was one with calls, so that calls in a row are one round. */
static void take_message(struct mock_talk *talk, yyjson_val *message, bool *had_calls)
{
    struct str role = mock_text_of(yyjson_obj_get(message, "role"));
    bool assistant = str_eq(role, STR("assistant")) || str_eq(role, STR("model"));
    struct walk walk = {.talk = talk, .listens = !assistant};
    talk->messages++;
    talk->assistant_spoke |= assistant;
    if (str_eq(role, STR("tool"))) {
        take_result(&walk, yyjson_obj_get(message, "tool_call_id"),
                    yyjson_obj_get(message, "content"), DEPTH_MAX);
    } else {
        take_part(&walk, message, DEPTH_MAX);
    }
    if (yyjson_is_str(yyjson_obj_get(message, "reasoning_content")))
        talk->thoughts++;
    take_tool_calls(&walk, yyjson_obj_get(message, "tool_calls"));
    if (walk.has_text && !walk.has_result)
        talk->rounds = 0;
    if (walk.has_calls && !*had_calls)
        talk->rounds++;
    *had_calls = walk.has_calls;
    talk->ends_with_result = walk.has_result;
}

static void take_messages(struct mock_talk *talk, yyjson_val *messages)
{
    size_t i;
    size_t count;
    yyjson_val *message;
    bool had_calls = false;
    yyjson_arr_foreach(messages, i, count, message)
    {
        take_message(talk, message, &had_calls);
    }
}

/* Strings or objects outside of messages: system prompts, `prompt`, `input` as text. */
static void take_loose(struct mock_talk *talk, yyjson_val *value)
{
    struct walk walk = {.talk = talk, .listens = true};
    take_content(&walk, value, DEPTH_MAX);
}

void mock_talk_read(enum mock_api api, yyjson_val *root, struct mock_talk *ret_talk)
{
    struct mock_talk talk = {
        .wish = {.think = MOCK_WISH_UNSET, .tokens = MOCK_WISH_UNSET, .turns = MOCK_WISH_UNSET}};
    yyjson_val *input = yyjson_obj_get(root, "input");
    switch (api) {
    case MOCK_API_COMPLETIONS: take_loose(&talk, yyjson_obj_get(root, "prompt")); break;
    case MOCK_API_RESPONSES:
        take_loose(&talk, yyjson_obj_get(root, "instructions"));
        if (yyjson_is_str(input))
            take_loose(&talk, input);
        take_messages(&talk, input);
        break;
    case MOCK_API_GEMINI:
    case MOCK_API_GEMINI_COUNT:
        take_loose(&talk, mock_get2(root, "systemInstruction", "system_instruction"));
        take_messages(&talk, yyjson_obj_get(root, "contents"));
        break;
    default:
        take_loose(&talk, yyjson_obj_get(root, "system"));
        take_messages(&talk, yyjson_obj_get(root, "messages"));
        break;
    }
    if (talk.next_call < talk.calls)
        talk.next_call = talk.calls;
    /* With previous_response_id the calls are not here, but their results name them. */
    if (talk.ends_with_result && talk.calls == 0)
        talk.rounds = talk.next_call > 0 ? talk.next_call : 1;
    *ret_talk = talk;
}
