#include "dialect/responses_replay.h"

#include "codec/json_write.h"
#include "dialect/fields.h"
#include "dialect/replay.h"

struct replay {
    struct buf *out;
    struct str body; /* on one line */
    unsigned max_depth;
    int64_t after;
    int64_t sequence;
    size_t mark; /* where the event at hand begins */
    struct json_writer w;
};

enum { ITEM_TYPE, ITEM_ID, ITEM_CONTENT, ITEM_SUMMARY, ITEM_ARGUMENTS, ITEM_INPUT, ITEM_NAME };
static const struct str item_names[] = {
    STR_INIT("type"),      STR_INIT("id"),    STR_INIT("content"), STR_INIT("summary"),
    STR_INIT("arguments"), STR_INIT("input"), STR_INIT("name"),
};

enum { PART_TYPE, PART_TEXT, PART_REFUSAL, PART_LOGPROBS, PART_ANNOTATIONS };
static const struct str part_names[] = {
    STR_INIT("type"),     STR_INIT("text"),        STR_INIT("refusal"),
    STR_INIT("logprobs"), STR_INIT("annotations"),
};

struct item {
    struct json_value value;
    struct json_value fields[sizeof item_names / sizeof item_names[0]];
    uint64_t place;
};

/* ---- Events ---- */

static void event_begin(struct replay *p, struct str type)
{
    p->mark = p->out->len;
    buf_append_str(p->out, STR("event: "));
    buf_append_str(p->out, type);
    buf_append_str(p->out, STR("\ndata: "));
    json_writer_init(&p->w, p->out);
    json_object_begin(&p->w);
    json_member_str(&p->w, STR("type"), type);
    json_member_i64(&p->w, STR("sequence_number"), p->sequence);
}

static void event_end(struct replay *p)
{
    json_object_end(&p->w);
    buf_append_str(p->out, STR("\n\n"));
    if (p->sequence++ <= p->after && p->out->error == ERR_OK)
        p->out->len = p->mark;
}

static void item_event_begin(struct replay *p, struct str type, const struct item *it)
{
    event_begin(p, type);
    json_member_str_raw(&p->w, STR("item_id"), json_text_raw(&it->fields[ITEM_ID]));
    json_member_u64(&p->w, STR("output_index"), it->place);
}

/* Where in an item something stands: `index` counts by that name; an empty name: the item itself.
 */
struct place {
    const struct item *item;
    struct str name;
    uint64_t index;
};

static void place_event_begin(struct replay *p, struct str type, const struct place *at)
{
    item_event_begin(p, type, at->item);
    if (at->name.len)
        json_member_u64(&p->w, at->name, at->index);
}

/* ---- Texts ---- */

/* What a text's events are called. */
struct text_events {
    struct str delta, done;
    struct str member; /* of done */
    bool logprobs;     /* both have them */
};

static const struct text_events said = {STR_INIT("response.output_text.delta"),
                                        STR_INIT("response.output_text.done"), STR_INIT("text"),
                                        true};
static const struct text_events refused = {STR_INIT("response.refusal.delta"),
                                           STR_INIT("response.refusal.done"), STR_INIT("refusal"),
                                           false};
static const struct text_events thought = {STR_INIT("response.reasoning_text.delta"),
                                           STR_INIT("response.reasoning_text.done"),
                                           STR_INIT("text"), false};
static const struct text_events summed_up = {STR_INIT("response.reasoning_summary_text.delta"),
                                             STR_INIT("response.reasoning_summary_text.done"),
                                             STR_INIT("text"), false};
static const struct text_events called = {STR_INIT("response.function_call_arguments.delta"),
                                          STR_INIT("response.function_call_arguments.done"),
                                          STR_INIT("arguments"), false};
static const struct text_events called_freely = {STR_INIT("response.custom_tool_call_input.delta"),
                                                 STR_INIT("response.custom_tool_call_input.done"),
                                                 STR_INIT("input"), false};

static void tell_text(struct replay *p, const struct text_events *events, const struct place *at,
                      const struct json_value *text, const struct json_value *logprobs)
{
    struct str rest = json_text_raw(text);
    while (rest.len) {
        struct str piece = replay_piece(rest);
        place_event_begin(p, events->delta, at);
        json_member_str_raw(&p->w, STR("delta"), piece);
        if (events->logprobs)
            json_member_raw(&p->w, STR("logprobs"), STR("[]"));
        event_end(p);
        rest = str_skip(rest, piece.len);
    }
    place_event_begin(p, events->done, at);
    json_member_str_raw(&p->w, events->member, json_text_raw(text));
    if (events == &called)
        json_member_str_raw(&p->w, STR("name"), json_text_raw(&at->item->fields[ITEM_NAME]));
    if (events->logprobs)
        json_member_raw(&p->w, STR("logprobs"),
                        logprobs->kind == JSON_ARRAY ? logprobs->raw : STR("[]"));
    event_end(p);
}

static void tell_annotations(struct replay *p, const struct place *at,
                             const struct json_value *annotations)
{
    struct json_reader r;
    uint64_t number = 0;
    json_reader_init(&r, annotations->raw, p->max_depth);
    if (annotations->kind != JSON_ARRAY || !json_enter(&r, JSON_ARRAY))
        return;
    while (json_next_element(&r)) {
        struct json_value annotation = json_take(&r);
        place_event_begin(p, STR("response.output_text.annotation.added"), at);
        json_member_u64(&p->w, STR("annotation_index"), number++);
        json_member_raw(&p->w, STR("annotation"), annotation.raw);
        event_end(p);
    }
}

static void tell_part(struct replay *p, struct str type, const struct place *at, struct str part)
{
    place_event_begin(p, type, at);
    json_member_raw(&p->w, STR("part"), part);
    event_end(p);
}

/* A part of a message, or of reasoning that is told openly. */
static void tell_content(struct replay *p, const struct place *at, const struct json_value *part)
{
    struct json_value f[sizeof part_names / sizeof part_names[0]];
    struct str empty = part->raw;
    const struct text_events *events = NULL;
    fields_of(part, FIELDS(part_names), f);
    if (json_eq(&f[PART_TYPE], STR("output_text"))) {
        events = &said;
        empty = STR("{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[],\"logprobs\":[]}");
    } else if (json_eq(&f[PART_TYPE], STR("refusal"))) {
        events = &refused;
        empty = STR("{\"type\":\"refusal\",\"refusal\":\"\"}");
    } else if (json_eq(&f[PART_TYPE], STR("reasoning_text"))) {
        events = &thought;
        empty = STR("{\"type\":\"reasoning_text\",\"text\":\"\"}");
    }
    tell_part(p, STR("response.content_part.added"), at, empty);
    if (events)
        tell_text(p, events, at, &f[events == &refused ? PART_REFUSAL : PART_TEXT],
                  &f[PART_LOGPROBS]);
    tell_annotations(p, at, &f[PART_ANNOTATIONS]);
    tell_part(p, STR("response.content_part.done"), at, part->raw);
}

static void tell_summary(struct replay *p, const struct place *at, const struct json_value *part)
{
    struct json_value text = field_of(part, STR("text"));
    tell_part(p, STR("response.reasoning_summary_part.added"), at,
              STR("{\"type\":\"summary_text\",\"text\":\"\"}"));
    tell_text(p, &summed_up, at, &text, NULL);
    tell_part(p, STR("response.reasoning_summary_part.done"), at, part->raw);
}

/* ---- Items ---- */

static void each_part(struct replay *p, struct place *at, const struct json_value *parts,
                      void (*tell)(struct replay *, const struct place *,
                                   const struct json_value *))
{
    struct json_reader r;
    json_reader_init(&r, parts->raw, p->max_depth);
    if (parts->kind != JSON_ARRAY || !json_enter(&r, JSON_ARRAY))
        return;
    for (; json_next_element(&r); at->index++) {
        struct json_value part = json_take(&r);
        tell(p, at, &part);
    }
}

/* What an item's member is before anything of it was told; empty: as it is. */
static struct str begun_as(const struct item *it, const struct json_value *key)
{
    const struct json_value *type = &it->fields[ITEM_TYPE];
    bool message = json_eq(type, STR("message"));
    bool call = json_eq(type, STR("function_call"));
    bool free_call = json_eq(type, STR("custom_tool_call"));
    if ((message || json_eq(type, STR("reasoning"))) &&
        (json_eq(key, STR("content")) || json_eq(key, STR("summary"))))
        return STR("[]");
    if ((call && json_eq(key, STR("arguments"))) || (free_call && json_eq(key, STR("input"))))
        return STR("\"\"");
    if ((message || call || free_call) && json_eq(key, STR("status")))
        return STR("\"in_progress\"");
    return STR_NONE;
}

static void tell_begun(struct replay *p, const struct item *it)
{
    struct json_reader r;
    struct json_value key;
    event_begin(p, STR("response.output_item.added"));
    json_member_u64(&p->w, STR("output_index"), it->place);
    json_key(&p->w, STR("item"));
    json_reader_init(&r, it->value.raw, p->max_depth);
    (void)json_enter(&r, JSON_OBJECT);
    json_object_begin(&p->w);
    while (json_next_member(&r, &key)) {
        struct json_value value = json_take(&r);
        struct str begun = begun_as(it, &key);
        json_key_raw(&p->w, json_text_raw(&key));
        json_raw(&p->w, begun.len ? begun : value.raw);
    }
    json_object_end(&p->w);
    event_end(p);
}

static void tell_item(struct replay *p, struct item *it)
{
    struct place at = {.item = it};
    fields_of(&it->value, FIELDS(item_names), it->fields);
    tell_begun(p, it);
    if (json_eq(&it->fields[ITEM_TYPE], STR("function_call")))
        tell_text(p, &called, &at, &it->fields[ITEM_ARGUMENTS], NULL);
    if (json_eq(&it->fields[ITEM_TYPE], STR("custom_tool_call")))
        tell_text(p, &called_freely, &at, &it->fields[ITEM_INPUT], NULL);
    if (json_eq(&it->fields[ITEM_TYPE], STR("reasoning"))) {
        at.name = STR("summary_index");
        each_part(p, &at, &it->fields[ITEM_SUMMARY], tell_summary);
    }
    at = (struct place){.item = it, .name = STR("content_index")};
    if (json_eq(&it->fields[ITEM_TYPE], STR("message")) ||
        json_eq(&it->fields[ITEM_TYPE], STR("reasoning")))
        each_part(p, &at, &it->fields[ITEM_CONTENT], tell_content);
    event_begin(p, STR("response.output_item.done"));
    json_member_u64(&p->w, STR("output_index"), it->place);
    json_member_raw(&p->w, STR("item"), it->value.raw);
    event_end(p);
}

/* ---- The response ---- */

/* Before anything of it was told. */
static void tell_created(struct replay *p, struct str type)
{
    struct json_reader r;
    struct json_value key;
    event_begin(p, type);
    json_key(&p->w, STR("response"));
    json_reader_init(&r, p->body, p->max_depth);
    (void)json_enter(&r, JSON_OBJECT);
    json_object_begin(&p->w);
    while (json_next_member(&r, &key)) {
        struct json_value value = json_take(&r);
        json_key_raw(&p->w, json_text_raw(&key));
        if (json_eq(&key, STR("status")))
            json_str(&p->w, STR("in_progress"));
        else if (json_eq(&key, STR("output")))
            json_raw(&p->w, STR("[]"));
        else if (json_eq(&key, STR("usage")) || json_eq(&key, STR("error")) ||
                 json_eq(&key, STR("incomplete_details")) || json_eq(&key, STR("completed_at")))
            json_null(&p->w);
        else
            json_raw(&p->w, value.raw);
    }
    json_object_end(&p->w);
    event_end(p);
}

/* How its last event is called; empty: it is not over. */
static struct str last_type(const struct json_value *status)
{
    if (json_eq(status, STR("completed")))
        return STR("response.completed");
    if (json_eq(status, STR("incomplete")))
        return STR("response.incomplete");
    if (json_eq(status, STR("failed")))
        return STR("response.failed");
    return STR_NONE;
}

static enum err replay(struct replay *p)
{
    static const struct str names[] = {STR_INIT("object"), STR_INIT("status"), STR_INIT("output")};
    struct json_value f[3];
    struct item it = {.place = 0};
    struct json_reader r;
    bool read = fields_read(p->body, p->max_depth, FIELDS(names), f, NULL);
    struct str last = last_type(&f[1]);
    if (!read || !json_eq(&f[0], STR("response")) || !last.len || f[2].kind != JSON_ARRAY)
        return ERR_INVALID;
    tell_created(p, STR("response.created"));
    tell_created(p, STR("response.in_progress"));
    json_reader_init(&r, f[2].raw, p->max_depth);
    (void)json_enter(&r, JSON_ARRAY);
    for (; json_next_element(&r); it.place++) {
        it.value = json_take(&r);
        if (it.value.kind != JSON_OBJECT)
            return ERR_INVALID;
        tell_item(p, &it);
    }
    event_begin(p, last);
    json_member_raw(&p->w, STR("response"), p->body);
    event_end(p);
    return p->out->error;
}

enum err responses_replay(struct str response, unsigned max_depth, int64_t after, struct buf *out)
{
    struct buf line BUF_AUTO;
    struct json_value value;
    TRY(json_validate(response, max_depth, &value));
    buf_init(&line, value.raw.len + 1);
    replay_line_append(&line, value.raw);
    struct replay p = {.out = out, .body = buf_str(&line), .max_depth = max_depth, .after = after};
    size_t before = out->len;
    enum err err = line.error == ERR_OK ? replay(&p) : line.error;
    if (err != ERR_OK && out->error == ERR_OK)
        out->len = before;
    return err;
}
