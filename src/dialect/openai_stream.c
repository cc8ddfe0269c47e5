/* The watcher of a streamed answer; see openai_chat.h. One pass over each event: what a chunk says
 * is added to the collected answer while it is validated. */
#include "base/mem.h"
#include "dialect/chat_int.h"

_Static_assert(CHAT_STREAM_PARTS_MAX == COLLECT_CHILDREN_MAX, "one limit, said in two headers");

/* One event while it is read. */
struct event_reading {
    struct json_reader r;
    struct collect_seen seen;
    size_t choices;
    bool usage;
    bool finish;
    bool error;
};

void openai_chat_stream_init(struct chat_stream *s, bool hide_usage, size_t max_bytes,
                             unsigned max_depth)
{
    struct chat_collect *collect = NEW(struct chat_collect);
    collect_init(&collect->collect, max_bytes);
    buf_init(&collect->usage, CHAT_USAGE_BYTES_MAX);
    *s = (struct chat_stream){.hide_usage = hide_usage, .max_depth = max_depth, .collect = collect};
}

void openai_chat_stream_release(struct chat_stream *s)
{
    if (s->collect) {
        collect_release(&s->collect->collect);
        buf_release(&s->collect->usage);
        mem_free(s->collect);
    }
    *s = (struct chat_stream){0};
}

void openai_chat_stream_reset(struct chat_stream *s)
{
    size_t max_bytes = s->collect->collect.max_bytes;
    bool hide_usage = s->hide_usage;
    unsigned max_depth = s->max_depth;
    openai_chat_stream_release(s);
    openai_chat_stream_init(s, hide_usage, max_bytes, max_depth);
}

static void read_usage(struct chat_stream *s, struct event_reading *x)
{
    struct json_value value = json_take(&x->r);
    struct buf *kept = &s->collect->usage;
    if (value.kind != JSON_OBJECT)
        return;
    x->usage = true;
    if (openai_usage_read(value.raw, &s->usage) == ERR_OK && s->usage.tier == USAGE_STANDARD)
        s->usage.tier = s->tier; /* else left as it is: it says nothing */
    buf_reset(kept);
    buf_append_str(kept, value.raw);
    s->usage_raw = kept->error == ERR_OK ? buf_str(kept) : STR_NONE;
}

static void read_choice_member(struct chat_stream *s, struct event_reading *x,
                               struct collect_node *choice, const struct json_value *key)
{
    struct collect *c = &s->collect->collect;
    struct collect_seen unseen = {0};
    if (json_eq(key, STR("index")))
        return;
    struct collect_node *node = collect_member(c, choice, key);
    if (json_eq(key, STR("delta")) || json_eq(key, STR("text"))) { /* text: of completions */
        collect_add(c, node, &x->r, &x->seen);
    } else if (json_eq(key, STR("logprobs"))) {
        collect_add(c, node, &x->r, &unseen);
    } else {
        x->finish |= json_eq(key, STR("finish_reason")) && json_peek(&x->r) == JSON_STRING;
        struct json_value value = json_take(&x->r);
        collect_set(c, node, &value);
    }
}

static void read_choices(struct chat_stream *s, struct event_reading *x,
                         const struct json_value *choices_key)
{
    struct collect *c = &s->collect->collect;
    struct json_value key;
    if (!json_enter(&x->r, JSON_ARRAY))
        return;
    struct collect_node *choices = NULL;
    while (json_next_element(&x->r)) {
        int64_t index = collect_peek_index(&x->r);
        if (!choices && (choices = collect_member(c, &c->root, choices_key)))
            choices->kind = JSON_ARRAY;
        struct collect_node *choice =
            collect_element(c, choices, index < 0 ? (int64_t)x->choices : index);
        x->choices++;
        if (!json_enter(&x->r, JSON_OBJECT))
            continue;
        s->collect->has_choices = true;
        if (choice)
            choice->kind = JSON_OBJECT;
        while (json_next_member(&x->r, &key))
            read_choice_member(s, x, choice, &key);
    }
}

static void read_member(struct chat_stream *s, struct event_reading *x,
                        const struct json_value *key)
{
    if (json_eq(key, STR("choices"))) {
        read_choices(s, x, key);
    } else if (json_eq(key, STR("usage"))) {
        read_usage(s, x);
    } else if (json_eq(key, STR("error"))) {
        x->error |= json_take(&x->r).kind > JSON_NULL;
    } else if (!json_eq(key, STR("obfuscation"))) {
        /* id, created, model, …: the same in every chunk, or the last counts. */
        struct json_value value = json_take(&x->r);
        if (json_eq(key, STR("service_tier")) && value.kind == JSON_STRING) {
            s->tier = openai_tier_read(&value);
            s->usage.tier = s->usage.tier ? s->usage.tier : s->tier;
        }
        x->error |= json_eq(&value, STR("error")) && json_eq(key, STR("object"));
        struct collect *c = &s->collect->collect;
        collect_set(c, collect_member(c, &c->root, key), &value);
    }
}

/* What the event means, once it is read. */
static struct chat_event judge(const struct chat_stream *s, const struct event_reading *x,
                               bool valid)
{
    struct chat_event event = {
        .action = CHAT_EVENT_FORWARD, .error = x->error, .malformed = !valid};
    event.content = (valid && x->seen.content) || ((x->finish || !valid) && !x->error);
    if (valid && x->usage && x->choices == 0 && s->hide_usage && !x->error)
        event.action = CHAT_EVENT_HIDE;
    return event;
}

struct chat_event openai_chat_stream_feed(struct chat_stream *s, struct str name, struct str data)
{
    struct event_reading x = {.error = str_eq(name, STR("error"))};
    struct chat_event event = {.action = CHAT_EVENT_DONE};
    struct json_value key;
    s->events++;
    if (data.len < 16 && str_eq(str_trim(data), STR("[DONE]"))) {
        s->done = true;
        return event;
    }
    json_reader_init(&x.r, data, s->max_depth);
    bool object = json_enter(&x.r, JSON_OBJECT);
    while (object && json_next_member(&x.r, &key))
        read_member(s, &x, &key);
    event = judge(s, &x, json_finish(&x.r) && object);
    if (event.error && !s->failed)
        openai_error_read(data, 200, &s->error);
    s->failed |= event.error;
    s->malformed += event.malformed;
    s->content |= event.content;
    s->output_bytes += x.seen.text_bytes;
    if (x.usage)
        s->usage_at_bytes = s->output_bytes;
    s->truncated = s->collect->collect.truncated;
    return event;
}

static bool is_finished(const struct collect_node *choice)
{
    const struct collect_node *reason = collect_find(choice, STR("finish_reason"));
    return reason && reason->kind == JSON_STRING;
}

bool openai_chat_stream_complete(const struct chat_stream *s)
{
    if (s->failed || !s->content || s->done)
        return !s->failed && s->content;
    const struct collect_node *choices = collect_find(&s->collect->collect.root, STR("choices"));
    if (!choices || !choices->first)
        return false;
    for (const struct collect_node *choice = choices->first; choice; choice = choice->next)
        if (!is_finished(choice))
            return false;
    return true;
}

/* A delta as the message that it became. What every message has is put in where it never came. */
static void write_message(const struct collect_node *delta, struct json_writer *w)
{
    const struct collect_node *role = collect_find(delta, STR("role"));
    json_object_begin(w);
    if (!role || role->kind != JSON_STRING)
        json_member_str(w, STR("role"), STR("assistant"));
    if (!collect_find(delta, STR("content")))
        json_member_raw(w, STR("content"), STR("null"));
    for (const struct collect_node *node = delta->first; node; node = node->next)
        if (node != role || role->kind == JSON_STRING) {
            json_key(w, node->key);
            collect_write(node, w);
        }
    json_object_end(w);
}

static void write_choices(const struct collect_node *choices, struct json_writer *w)
{
    json_array_begin(w);
    for (const struct collect_node *choice = choices->first; choice; choice = choice->next) {
        bool has_delta = collect_find(choice, STR("delta"));
        json_object_begin(w);
        json_member_i64(w, STR("index"), choice->index);
        for (const struct collect_node *node = choice->first; node; node = node->next) {
            if (str_eq(node->key, STR("delta"))) {
                json_key(w, STR("message"));
                write_message(node, w);
            } else if (!has_delta || !str_eq(node->key, STR("message"))) {
                json_key(w, node->key);
                collect_write(node, w);
            }
        }
        json_object_end(w);
    }
    json_array_end(w);
}

void openai_chat_stream_answer(const struct chat_stream *s, struct buf *out)
{
    struct json_writer w;
    if (!s->collect->has_choices)
        return;
    json_writer_init(&w, out);
    json_object_begin(&w);
    const struct collect_node *node = s->collect->collect.root.first;
    for (; node; node = node->next) {
        json_key(&w, node->key);
        if (str_eq(node->key, STR("choices")))
            write_choices(node, &w);
        else if (str_eq(node->key, STR("object")) &&
                 !str_eq(buf_str(&node->text), STR("text_completion")))
            json_str(&w, STR("chat.completion"));
        else
            collect_write(node, &w);
    }
    if (s->usage_raw.len > 0)
        json_member_raw(&w, STR("usage"), s->usage_raw);
    json_object_end(&w);
}
