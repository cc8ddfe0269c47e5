/* The watcher of a streamed message; see anthropic_messages.h. What the events bring is kept in a
 * tree: the message's members, and under `content` its blocks by their number. A call's input is
 * kept as the text that came, under the deltas' own name, and written as what it says. */
#include "base/mem.h"
#include "dialect/anthropic_int.h"
#include "dialect/anthropic_messages.h"
#include "dialect/chat_int.h"
#include "dialect/fields.h"

#define CONST_KEY(text)                                                                            \
    {                                                                                              \
        STR_INIT("\"" text "\""), 0, JSON_STRING                                                   \
    }

static const struct json_value content_key = CONST_KEY("content");
static const struct json_value citations_key = CONST_KEY("citations");

void anthropic_stream_init(struct chat_stream *s, bool hide_usage, size_t max_bytes,
                           unsigned max_depth)
{
    openai_chat_stream_init(s, hide_usage, max_bytes, max_depth);
}

void anthropic_stream_release(struct chat_stream *s)
{
    openai_chat_stream_release(s);
}

void anthropic_stream_reset(struct chat_stream *s)
{
    openai_chat_stream_reset(s);
}

/* ---- What an event brings ---- */

static void take_usage(struct chat_stream *s, const struct json_value *usage)
{
    struct buf *kept = &s->collect->usage, merged BUF_AUTO;
    buf_init(&merged, CHAT_USAGE_BYTES_MAX);
    if (usage->kind != JSON_OBJECT || usage->raw.len > ANTHROPIC_USAGE_BYTES_MAX)
        return;
    anthropic_usage_merge(buf_str(kept), usage->raw, &merged);
    if (merged.error != ERR_OK || merged.len > ANTHROPIC_USAGE_BYTES_MAX)
        return;
    (void)!openai_usage_read(buf_str(&merged), &s->usage); /* left when it says nothing */
    buf_reset(kept);
    buf_append_str(kept, buf_str(&merged));
    s->usage_raw = buf_str(kept);
    s->usage_at_bytes = s->output_bytes;
}

/* Members of an object, each replacing what is there; but for `skip`. */
static void set_members(struct collect *c, struct collect_node *node,
                        const struct json_value *object, const struct str *skip, size_t skip_count)
{
    struct json_reader r;
    struct json_value key;
    json_reader_init(&r, object->raw, JSON_DEPTH_MAX);
    if (object->kind != JSON_OBJECT || !json_enter(&r, JSON_OBJECT))
        return;
    while (json_next_member(&r, &key)) {
        bool skipped = false;
        for (size_t i = 0; i < skip_count; i++)
            skipped |= json_eq(&key, skip[i]);
        struct json_value value = json_take(&r);
        if (!skipped)
            collect_set(c, collect_member(c, node, &key), &value);
    }
}

static struct collect_node *block_of(struct collect *c, int64_t index)
{
    struct collect_node *content = collect_member(c, &c->root, &content_key);
    if (content)
        content->kind = JSON_ARRAY;
    struct collect_node *block = collect_element(c, content, index);
    if (block)
        block->kind = JSON_OBJECT;
    return block;
}

static void take_message(struct chat_stream *s, const struct json_value *message)
{
    static const struct str apart[] = {STR_INIT("content"), STR_INIT("usage")};
    struct json_value usage = field_of(message, STR("usage"));
    struct collect *c = &s->collect->collect;
    if (message->kind != JSON_OBJECT)
        return;
    s->collect->has_choices = true;
    set_members(c, &c->root, message, apart, 2);
    struct collect_node *content = collect_member(c, &c->root, &content_key);
    if (content)
        content->kind = JSON_ARRAY;
    take_usage(s, &usage);
}

/* Is there something in it already? Text and thinking begin empty. */
static bool block_has_content(const struct json_value *block)
{
    static const struct str names[] = {STR_INIT("type"), STR_INIT("text"), STR_INIT("thinking")};
    struct json_value b[3];
    fields_of(block, FIELDS(names), b);
    if (json_eq(&b[0], STR("text")) || json_eq(&b[0], STR("thinking")))
        return json_text_len(&b[1]) > 0 || json_text_len(&b[2]) > 0;
    return true;
}

static bool take_block(struct chat_stream *s, int64_t index, const struct json_value *block)
{
    struct collect *c = &s->collect->collect;
    if (block->kind != JSON_OBJECT)
        return true;
    struct json_value text = field_of(block, STR("text"));
    set_members(c, block_of(c, index), block, NULL, 0);
    s->output_bytes += json_text_len(&text);
    return block_has_content(block);
}

static void take_citation(struct collect *c, struct collect_node *block, struct json_reader *r,
                          struct collect_seen *seen)
{
    struct json_value value = json_take(r);
    struct collect_node *list = collect_member(c, block, &citations_key);
    struct json_reader inner;
    struct buf text BUF_AUTO;
    buf_init(&text, value.raw.len + 2);
    if (value.kind != JSON_OBJECT)
        return;
    if (list && list->kind == JSON_NULL)
        list->kind = JSON_NONE;
    buf_append_char(&text, '[');
    buf_append_str(&text, value.raw);
    buf_append_char(&text, ']');
    json_reader_init(&inner, buf_str(&text), JSON_DEPTH_MAX);
    collect_add(c, list, &inner, seen);
}

/* A delta's members are the block's own, but for its type. */
static bool take_delta(struct chat_stream *s, int64_t index, const struct json_value *delta)
{
    struct collect *c = &s->collect->collect;
    struct collect_seen seen = {0};
    struct json_reader r;
    struct json_value key;
    if (delta->kind != JSON_OBJECT)
        return true;
    struct collect_node *block = block_of(c, index);
    json_reader_init(&r, delta->raw, JSON_DEPTH_MAX);
    (void)json_enter(&r, JSON_OBJECT);
    while (json_next_member(&r, &key)) {
        if (json_eq(&key, STR("citation")))
            take_citation(c, block, &r, &seen);
        else if (!json_eq(&key, STR("type")))
            collect_add(c, collect_member(c, block, &key), &r, &seen);
    }
    s->output_bytes += seen.text_bytes;
    return seen.content;
}

static bool take_message_delta(struct chat_stream *s, const struct json_value *delta,
                               const struct json_value *usage)
{
    struct collect *c = &s->collect->collect;
    struct json_value reason = field_of(delta, STR("stop_reason"));
    if (s->collect->has_choices)
        set_members(c, &c->root, delta, NULL, 0);
    take_usage(s, usage);
    return reason.kind == JSON_STRING;
}

/* ---- Events ---- */

enum { E_TYPE, E_INDEX, E_DELTA, E_BLOCK, E_MESSAGE, E_USAGE, E_ERROR, E_COUNT };
static const struct str event_names[E_COUNT] = {
    STR_INIT("type"),    STR_INIT("index"), STR_INIT("delta"), STR_INIT("content_block"),
    STR_INIT("message"), STR_INIT("usage"), STR_INIT("error")};

static void take_event(struct chat_stream *s, const struct json_value e[E_COUNT],
                       struct chat_event *event)
{
    const struct json_value *type = &e[E_TYPE];
    int64_t index = 0;
    if (json_to_i64(&e[E_INDEX], &index) != ERR_OK || index < 0)
        index = 0;
    if (json_eq(type, STR("content_block_delta"))) {
        event->content = take_delta(s, index, &e[E_DELTA]);
    } else if (json_eq(type, STR("content_block_start"))) {
        event->content = take_block(s, index, &e[E_BLOCK]);
    } else if (json_eq(type, STR("message_start"))) {
        take_message(s, &e[E_MESSAGE]);
    } else if (json_eq(type, STR("message_delta"))) {
        event->content = take_message_delta(s, &e[E_DELTA], &e[E_USAGE]);
    } else if (json_eq(type, STR("message_stop"))) {
        event->action = CHAT_EVENT_DONE;
        s->done = true;
    } else {
        event->content = !json_eq(type, STR("ping")) && !json_eq(type, STR("content_block_stop"));
    }
}

struct chat_event anthropic_stream_feed(struct chat_stream *s, struct str name, struct str data)
{
    struct chat_event event = {.action = CHAT_EVENT_FORWARD};
    struct json_value e[E_COUNT];
    bool valid = fields_read(data, s->max_depth, FIELDS(event_names), e, NULL);
    s->events++;
    event.error = str_eq(name, STR("error")) || (valid && e[E_ERROR].kind != JSON_NONE);
    event.malformed = !valid;
    if (event.error && !s->failed)
        openai_error_read(data, 200, &s->error);
    else if (!event.error && !valid)
        event.content = true;
    else if (!event.error)
        take_event(s, e, &event);
    s->failed |= event.error;
    s->malformed += event.malformed;
    s->content |= event.content;
    s->truncated = s->collect->collect.truncated;
    return event;
}

bool anthropic_stream_complete(const struct chat_stream *s)
{
    const struct collect_node *reason = collect_find(&s->collect->collect.root, STR("stop_reason"));
    return !s->failed && s->content && (s->done || (reason && reason->kind == JSON_STRING));
}

/* ---- The answer ---- */

static void write_input(const struct collect_node *partial, struct json_writer *w)
{
    struct arena a;
    struct json_value value;
    struct str escaped = buf_str(&partial->text);
    arena_init(&a);
    struct str text = ask_unescape(escaped, &a);
    json_key(w, STR("input"));
    if (escaped.len > 0 && json_validate(text, JSON_DEPTH_MAX, &value) == ERR_OK)
        json_raw(w, value.raw);
    else
        json_str_raw(w, escaped);
    arena_release(&a);
}

static void write_block(const struct collect_node *block, struct json_writer *w)
{
    const struct collect_node *partial = collect_find(block, STR("partial_json"));
    if (partial && (partial->kind != JSON_STRING || partial->text.len == 0))
        partial = NULL;
    json_object_begin(w);
    for (const struct collect_node *node = block->first; node; node = node->next) {
        bool input = str_eq(node->key, STR("input"));
        if (str_eq(node->key, STR("partial_json")) || (input && partial))
            continue;
        json_key(w, node->key);
        collect_write(node, w);
    }
    if (partial)
        write_input(partial, w);
    json_object_end(w);
}

void anthropic_stream_answer(const struct chat_stream *s, struct buf *out)
{
    struct json_writer w;
    if (!s->collect->has_choices)
        return;
    json_writer_init(&w, out);
    json_object_begin(&w);
    const struct collect_node *node = s->collect->collect.root.first;
    for (; node; node = node->next) {
        json_key(&w, node->key);
        if (!str_eq(node->key, STR("content"))) {
            collect_write(node, &w);
            continue;
        }
        json_array_begin(&w);
        for (const struct collect_node *block = node->first; block; block = block->next)
            write_block(block, &w);
        json_array_end(&w);
    }
    if (s->usage_raw.len > 0)
        json_member_raw(&w, STR("usage"), s->usage_raw);
    json_object_end(&w);
}
