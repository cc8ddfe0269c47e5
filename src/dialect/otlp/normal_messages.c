/* Messages in OpenTelemetry's form, out of the forms of others.
 *
 *   flattened attributes   gen_ai.prompt.0.role, llm.input_messages.0.message.tool_calls.1.…
 *   JSON texts             [{"role": …, "content": …}], {"messages": […]}, or any other JSON
 *   plain texts            one message of one part
 *
 *   [{"role": "user", "parts": [{"type": "text", "content": "…"}]}]
 *
 * Source: semantic-conventions, gen-ai-input-messages.json, gen-ai-output-messages.json. */
#include "codec/json_scan.h"
#include "dialect/otlp/normal.h"
#include "dialect/otlp/value.h"

enum { NESTING_MAX = 256, FLAT_MAX = 2000, INDEX_MAX = 100000 };

/* ---- Parts ---- */

static void begin_message(struct json_writer *w, struct str role)
{
    json_object_begin(w);
    json_member_str(w, STR("role"), role.len ? role : STR("user"));
    json_key(w, STR("parts"));
    json_array_begin(w);
}

static void end_message(struct json_writer *w, struct str finish)
{
    json_array_end(w);
    if (finish.len)
        json_member_str(w, STR("finish_reason"), finish);
    json_object_end(w);
}

static void write_text_part(struct json_writer *w, struct str text)
{
    json_object_begin(w);
    json_member_str(w, STR("type"), STR("text"));
    json_member_str(w, STR("content"), text);
    json_object_end(w);
}

/* JSON in a text is taken out of it. */
static void write_json_or_text(struct json_writer *w, struct str text)
{
    struct json_value value;
    if (text.len && json_validate(text, NESTING_MAX, &value) == ERR_OK)
        json_raw(w, value.raw);
    else
        json_str(w, text);
}

static void write_call_part(struct json_writer *w, struct str id, struct str name,
                            struct str arguments)
{
    json_object_begin(w);
    json_member_str(w, STR("type"), STR("tool_call"));
    if (id.len)
        json_member_str(w, STR("id"), id);
    json_member_str(w, STR("name"), name);
    if (arguments.len) {
        json_key(w, STR("arguments"));
        write_json_or_text(w, arguments);
    }
    json_object_end(w);
}

static void write_response_part(struct json_writer *w, struct str id, struct str response)
{
    json_object_begin(w);
    json_member_str(w, STR("type"), STR("tool_call_response"));
    if (id.len)
        json_member_str(w, STR("id"), id);
    json_key(w, STR("response"));
    write_json_or_text(w, response);
    json_object_end(w);
}

/* ---- Messages in JSON ---- */

/* The members of a message, a part or a call, in anybody's names. */
struct found {
    struct json_value role, content, text, type, id, name, arguments, result, calls, finish,
        messages, parts, function;
};

static const struct {
    struct str name;
    size_t at;
} member_names[] = {
    {STR_INIT("role"), offsetof(struct found, role)},
    {STR_INIT("content"), offsetof(struct found, content)},
    {STR_INIT("text"), offsetof(struct found, text)},
    {STR_INIT("type"), offsetof(struct found, type)},
    {STR_INIT("id"), offsetof(struct found, id)},
    {STR_INIT("toolCallId"), offsetof(struct found, id)},
    {STR_INIT("tool_call_id"), offsetof(struct found, id)},
    {STR_INIT("tool_use_id"), offsetof(struct found, id)},
    {STR_INIT("name"), offsetof(struct found, name)},
    {STR_INIT("toolName"), offsetof(struct found, name)},
    {STR_INIT("arguments"), offsetof(struct found, arguments)},
    {STR_INIT("args"), offsetof(struct found, arguments)},
    {STR_INIT("input"), offsetof(struct found, arguments)},
    {STR_INIT("result"), offsetof(struct found, result)},
    {STR_INIT("output"), offsetof(struct found, result)},
    {STR_INIT("tool_calls"), offsetof(struct found, calls)},
    {STR_INIT("finish_reason"), offsetof(struct found, finish)},
    {STR_INIT("messages"), offsetof(struct found, messages)},
    {STR_INIT("parts"), offsetof(struct found, parts)},
    {STR_INIT("function"), offsetof(struct found, function)},
};

static bool find_members(struct str object, struct found *ret_found)
{
    struct json_reader r;
    struct json_value key;
    *ret_found = (struct found){.role = {.kind = JSON_NONE}};
    json_reader_init(&r, object, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_OBJECT))
        return false;
    while (json_next_member(&r, &key)) {
        struct json_value value = json_take(&r);
        for (size_t i = 0; i < sizeof member_names / sizeof member_names[0]; i++)
            if (json_eq(&key, member_names[i].name))
                *(struct json_value *)(void *)((char *)ret_found + member_names[i].at) = value;
    }
    return true;
}

/* A text as it is, other JSON as its text. */
static struct str text_of(const struct json_value *v, struct arena *a)
{
    if (v->kind == JSON_STRING)
        return json_text(v, a);
    return v->kind == JSON_NULL ? STR_NONE : v->raw;
}

static void write_json_call(struct json_writer *w, struct str call, struct arena *a)
{
    struct found outer;
    struct found f;
    if (!find_members(call, &outer))
        return;
    bool nested = outer.function.kind == JSON_OBJECT && find_members(outer.function.raw, &f);
    if (!nested)
        f = outer;
    write_call_part(w, text_of(&outer.id, a), text_of(&f.name, a), text_of(&f.arguments, a));
}

static bool type_is(const struct found *f, struct str name, struct str other)
{
    return json_eq(&f->type, name) || json_eq(&f->type, other);
}

static void write_json_part(struct json_writer *w, const struct json_value *part, struct arena *a)
{
    struct found f;
    if (part->kind == JSON_STRING) {
        write_text_part(w, json_text(part, a));
        return;
    }
    if (!find_members(part->raw, &f))
        return;
    if (type_is(&f, STR("tool-call"), STR("tool_use")))
        write_call_part(w, text_of(&f.id, a), text_of(&f.name, a), text_of(&f.arguments, a));
    else if (type_is(&f, STR("tool-result"), STR("tool_result")))
        write_response_part(w, text_of(&f.id, a),
                            text_of(f.result.raw.len ? &f.result : &f.content, a));
    else if (f.text.kind == JSON_STRING)
        write_text_part(w, json_text(&f.text, a));
    else
        json_raw(w, part->raw);
}

static void write_each(struct json_writer *w, struct str array, struct arena *a,
                       void (*fn)(struct json_writer *w, const struct json_value *v,
                                  struct arena *a))
{
    struct json_reader r;
    json_reader_init(&r, array, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return;
    while (json_next_element(&r)) {
        struct json_value value = json_take(&r);
        fn(w, &value, a);
    }
}

static void write_call_value(struct json_writer *w, const struct json_value *v, struct arena *a)
{
    write_json_call(w, v->raw, a);
}

static void write_json_message(struct json_writer *w, const struct json_value *message,
                               struct arena *a)
{
    struct found f;
    if (!find_members(message->raw, &f) || f.parts.kind == JSON_ARRAY) {
        if (message->kind == JSON_OBJECT)
            json_raw(w, message->raw); /* in OpenTelemetry's form already */
        return;
    }
    begin_message(w, text_of(&f.role, a));
    if (json_eq(&f.role, STR("tool")) && f.content.kind == JSON_STRING)
        write_response_part(w, text_of(&f.id, a), json_text(&f.content, a));
    else if (f.content.kind == JSON_STRING)
        write_text_part(w, json_text(&f.content, a));
    else if (f.content.kind == JSON_ARRAY)
        write_each(w, f.content.raw, a, write_json_part);
    if (f.calls.kind == JSON_ARRAY)
        write_each(w, f.calls.raw, a, write_call_value);
    end_message(w, text_of(&f.finish, a));
}

/* An array whose elements are messages. */
static bool is_messages(struct str array)
{
    struct json_reader r;
    struct found f;
    bool any = false;
    json_reader_init(&r, array, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return false;
    while (json_next_element(&r)) {
        struct json_value value = json_take(&r);
        any = true;
        if (!find_members(value.raw, &f) || f.role.kind != JSON_STRING)
            return false;
    }
    return any;
}

static void write_one_text(struct json_writer *w, struct str role, struct str text)
{
    json_array_begin(w);
    begin_message(w, role);
    write_text_part(w, text);
    end_message(w, STR_NONE);
    json_array_end(w);
}

/* A text of any kind as messages; role: of what is no message itself. */
static void write_text_messages(struct json_writer *w, struct str text, struct str role,
                                struct arena *a)
{
    struct json_value value;
    struct found f;
    if (!text.len || json_validate(text, NESTING_MAX, &value) != ERR_OK) {
        write_one_text(w, role, text);
        return;
    }
    if (value.kind == JSON_OBJECT && find_members(value.raw, &f)) {
        if (f.messages.kind == JSON_ARRAY && is_messages(f.messages.raw))
            value = f.messages;
        else if (f.role.kind == JSON_STRING) {
            json_array_begin(w);
            write_json_message(w, &value, a);
            json_array_end(w);
            return;
        }
    }
    if (value.kind == JSON_ARRAY && is_messages(value.raw)) {
        json_array_begin(w);
        write_each(w, value.raw, a, write_json_message);
        json_array_end(w);
        return;
    }
    write_one_text(w, role, value.kind == JSON_STRING ? json_text(&value, a) : value.raw);
}

/* ---- Flattened attributes ---- */

enum flat_member { FLAT_ROLE, FLAT_CONTENT, FLAT_FINISH, FLAT_ID, FLAT_PART, FLAT_CALL };
enum flat_call { CALL_ID, CALL_NAME, CALL_ARGUMENTS, CALL_MEMBERS };

struct flat {
    uint32_t message, index;
    enum flat_member member;
    enum flat_call call;
    struct str text;
};

static bool take_index(struct str *rest, uint32_t *ret_index)
{
    uint64_t number;
    struct str digits = str_split(rest, '.');
    if (str_to_u64(digits, &number) != ERR_OK || number > INDEX_MAX)
        return false;
    *ret_index = (uint32_t)number;
    return true;
}

static void skip_word(struct str *rest, struct str word)
{
    if (str_starts(*rest, word))
        *rest = str_skip(*rest, word.len);
}

static bool read_call_member(struct str rest, struct flat *f)
{
    skip_word(&rest, STR("tool_call."));
    skip_word(&rest, STR("function."));
    f->member = FLAT_CALL;
    f->call = str_eq(rest, STR("id"))          ? CALL_ID
              : str_eq(rest, STR("name"))      ? CALL_NAME
              : str_eq(rest, STR("arguments")) ? CALL_ARGUMENTS
                                               : CALL_MEMBERS;
    return f->call != CALL_MEMBERS;
}

/* What stands behind the prefix: "0.role", "0.message.tool_calls.1.tool_call.function.name". */
static bool read_flat(struct str rest, struct flat *f)
{
    if (!take_index(&rest, &f->message) || !rest.ptr)
        return false;
    skip_word(&rest, STR("message."));
    if (str_starts(rest, STR("tool_calls."))) {
        rest = str_skip(rest, 11);
        return take_index(&rest, &f->index) && read_call_member(rest, f);
    }
    if (str_starts(rest, STR("contents."))) {
        rest = str_skip(rest, 9);
        f->member = FLAT_PART;
        return take_index(&rest, &f->index) && str_eq(rest, STR("message_content.text"));
    }
    if (str_eq(rest, STR("role")))
        f->member = FLAT_ROLE;
    else if (str_eq(rest, STR("content")))
        f->member = FLAT_CONTENT;
    else if (str_eq(rest, STR("finish_reason")))
        f->member = FLAT_FINISH;
    else if (str_eq(rest, STR("tool_call_id")))
        f->member = FLAT_ID;
    else
        return false;
    return true;
}

static int by_place(const void *left, const void *right)
{
    const struct flat *a = left;
    const struct flat *b = right;
    if (a->message != b->message)
        return a->message < b->message ? -1 : 1;
    if (a->member != b->member)
        return a->member < b->member ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index ? 1 : 0;
}

static size_t collect_flat(const struct otlp_attributes *attributes, struct str prefix,
                           struct flat *flats)
{
    size_t count = 0;
    for (size_t i = 0; i < attributes->count && count < FLAT_MAX; i++) {
        const struct otlp_attribute *at = &attributes->at[i];
        struct flat f = {.index = 0};
        if (at->value.kind != OTLP_STRING || !str_starts(at->key, prefix) ||
            !read_flat(str_skip(at->key, prefix.len), &f))
            continue;
        f.text = at->value.text;
        flats[count++] = f;
    }
    return count;
}

/* The calls among [from, to), which stand by their index. */
static void write_flat_calls(struct json_writer *w, const struct flat *flats, size_t from,
                             size_t to)
{
    for (size_t i = from; i < to;) {
        struct str members[CALL_MEMBERS] = {STR_NONE, STR_NONE, STR_NONE};
        uint32_t index = flats[i].index;
        bool call = flats[i].member == FLAT_CALL;
        for (; i < to && flats[i].index == index && (flats[i].member == FLAT_CALL) == call; i++)
            if (call)
                members[flats[i].call] = flats[i].text;
        if (call)
            write_call_part(w, members[CALL_ID], members[CALL_NAME], members[CALL_ARGUMENTS]);
    }
}

/* One message: role, content, finish, id, parts, calls, in this order. */
static void write_flat_message(struct json_writer *w, const struct flat *flats, size_t from,
                               size_t to, struct arena *a)
{
    struct str role = STR_NONE;
    struct str finish = STR_NONE;
    struct str id = STR_NONE;
    for (size_t i = from; i < to; i++) {
        role = flats[i].member == FLAT_ROLE ? flats[i].text : role;
        finish = flats[i].member == FLAT_FINISH ? flats[i].text : finish;
        id = flats[i].member == FLAT_ID ? flats[i].text : id;
    }
    begin_message(w, role);
    for (size_t i = from; i < to; i++) {
        struct json_value parts;
        struct str text = flats[i].text;
        if (flats[i].member == FLAT_PART)
            write_text_part(w, text);
        if (flats[i].member != FLAT_CONTENT)
            continue;
        if (str_eq(role, STR("tool")))
            write_response_part(w, id, text);
        else if (str_starts(text, STR("[{")) && json_validate(text, NESTING_MAX, &parts) == ERR_OK)
            write_each(w, parts.raw, a, write_json_part);
        else
            write_text_part(w, text);
    }
    write_flat_calls(w, flats, from, to);
    end_message(w, finish);
}

/* False: no attribute has the prefix. */
static bool write_flat(struct json_writer *w, const struct otlp_attributes *attributes,
                       struct str prefix, struct arena *a)
{
    struct flat *flats = ARENA_ARRAY(a, struct flat, attributes->count + 1);
    size_t count = collect_flat(attributes, prefix, flats);
    if (!count)
        return false;
    qsort(flats, count, sizeof *flats, by_place);
    json_array_begin(w);
    for (size_t from = 0; from < count;) {
        size_t to = from;
        while (to < count && flats[to].message == flats[from].message)
            to++;
        write_flat_message(w, flats, from, to, a);
        from = to;
    }
    json_array_end(w);
    return true;
}

static bool has_flat(const struct otlp_attributes *attributes, struct str prefix)
{
    for (size_t i = 0; i < attributes->count; i++)
        if (str_starts(attributes->at[i].key, prefix))
            return true;
    return false;
}

static bool write_flat_of(struct json_writer *w, const struct otlp_attributes *attributes,
                          const struct str *prefixes, struct arena *a)
{
    for (; prefixes->ptr; prefixes++)
        if (has_flat(attributes, *prefixes) && write_flat(w, attributes, *prefixes, a))
            return true;
    return false;
}

/* ---- Both ---- */

/* A value that is any: texts may be messages in JSON. */
static void write_value(struct json_writer *w, const struct otlp_value *v, struct str role,
                        struct arena *a)
{
    if (v->kind == OTLP_STRING) {
        write_text_messages(w, v->text, role, a);
        return;
    }
    struct buf text BUF_AUTO;
    struct json_writer inner;
    buf_init(&text, OTLP_ITEM_BYTES_MAX);
    json_writer_init(&inner, &text);
    otlp_value_write(&inner, v);
    write_text_messages(w, buf_str(&text), role, a);
}

void gen_ai_write_input(const struct gen_ai *g, const struct otlp_attributes *attributes,
                        struct arena *a, struct buf *json)
{
    static const struct str prefixes[] = {STR_INIT("llm.input_messages."),
                                          STR_INIT("gen_ai.prompt."), STR_INIT("llm.prompts."),
                                          STR_NONE};
    struct json_writer w;
    json_writer_init(&w, json);
    if (g->value[GEN_INPUT_MESSAGES])
        write_value(&w, g->value[GEN_INPUT_MESSAGES], STR("user"), a);
    else if (g->dialect != GEN_AI_NONE && !write_flat_of(&w, attributes, prefixes, a) &&
             g->value[GEN_INPUT_VALUE])
        write_value(&w, g->value[GEN_INPUT_VALUE], STR("user"), a);
}

/* An answer in two attributes: its text, and its calls as JSON. */
static void write_answer_and_calls(struct json_writer *w, const struct gen_ai *g, struct arena *a)
{
    const struct otlp_value *text = g->value[GEN_OUTPUT_VALUE];
    const struct otlp_value *calls = g->value[GEN_TOOL_CALLS];
    const struct otlp_value *finish = g->value[GEN_FINISH];
    struct json_value value;
    json_array_begin(w);
    begin_message(w, STR("assistant"));
    if (text && text->kind == OTLP_STRING && text->text.len)
        write_text_part(w, text->text);
    if (calls->kind == OTLP_STRING && json_validate(calls->text, NESTING_MAX, &value) == ERR_OK)
        write_each(w, value.raw, a, write_call_value);
    end_message(w, finish && finish->kind == OTLP_STRING ? finish->text : STR_NONE);
    json_array_end(w);
}

void gen_ai_write_output(const struct gen_ai *g, const struct otlp_attributes *attributes,
                         struct arena *a, struct buf *json)
{
    static const struct str prefixes[] = {STR_INIT("llm.output_messages."),
                                          STR_INIT("gen_ai.completion."),
                                          STR_INIT("llm.completions."), STR_NONE};
    struct json_writer w;
    json_writer_init(&w, json);
    if (g->value[GEN_OUTPUT_MESSAGES])
        write_value(&w, g->value[GEN_OUTPUT_MESSAGES], STR("assistant"), a);
    else if (g->dialect == GEN_AI_NONE || write_flat_of(&w, attributes, prefixes, a))
        return;
    else if (g->value[GEN_TOOL_CALLS])
        write_answer_and_calls(&w, g, a);
    else if (g->value[GEN_OUTPUT_VALUE])
        write_value(&w, g->value[GEN_OUTPUT_VALUE], STR("assistant"), a);
}
