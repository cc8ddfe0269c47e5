/* The Responses API watched while the bytes pass, where the target speaks it too.
 *
 * The last event of a stream holds the whole answer; until it comes, what came is kept in pieces
 * (items that are done, and the text under way), for the record of a stream that was cut. */
#include "base/mem.h"
#include "codec/json_write.h"
#include "dialect/fields.h"
#include "dialect/responses_int.h"

enum { ITEM_TOKENS = 4, MEDIA_TOKENS = 1024, BYTES_PER_TOKEN = 4 };

/* ---- Requests ---- */

struct size {
    uint64_t text_bytes;
    uint64_t items;
    uint64_t media;
};

static void count_part(const struct json_value *part, struct size *size)
{
    static const struct str names[] = {STR_INIT("type"), STR_INIT("text"), STR_INIT("refusal")};
    struct json_value v[3];
    fields_of(part, FIELDS(names), v);
    size->text_bytes += json_text_len(&v[1]) + json_text_len(&v[2]);
    size->media += json_eq(&v[0], STR("input_image")) || json_eq(&v[0], STR("input_file")) ||
                   json_eq(&v[0], STR("input_audio"));
}

static void count_parts(const struct json_value *parts, struct size *size)
{
    struct json_reader r;
    size->text_bytes += json_text_len(parts);
    json_reader_init(&r, parts->kind == JSON_ARRAY ? parts->raw : STR("[]"), JSON_DEPTH_MAX);
    (void)json_enter(&r, JSON_ARRAY);
    while (json_next_element(&r)) {
        struct json_value part = json_take(&r);
        count_part(&part, size);
    }
}

static void count_input(const struct json_value *input, struct size *size)
{
    static const struct str names[] = {STR_INIT("content"), STR_INIT("output"),
                                       STR_INIT("arguments"), STR_INIT("summary")};
    struct json_reader r;
    struct json_value v[4];
    size->text_bytes += json_text_len(input);
    json_reader_init(&r, input->kind == JSON_ARRAY ? input->raw : STR("[]"), JSON_DEPTH_MAX);
    (void)json_enter(&r, JSON_ARRAY);
    while (json_next_element(&r)) {
        struct json_value item = json_take(&r);
        fields_of(&item, FIELDS(names), v);
        size->items++;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            count_parts(&v[i], size);
    }
}

static enum err read_request(struct str body, unsigned max_depth, struct arena *a,
                             struct chat_request *ret_request, struct openai_problem *ret_problem)
{
    static const struct str names[] = {STR_INIT("input"), STR_INIT("max_output_tokens"),
                                       STR_INIT("instructions"), STR_INIT("tools")};
    struct json_value v[4];
    struct chat_request q;
    struct size size = {.items = 1};
    TRY(openai_chat_read_request(body, max_depth, a, &q, ret_problem));
    (void)fields_read(body, max_depth, FIELDS(names), v, NULL);
    count_input(&v[0], &size);
    size.text_bytes += json_text_len(&v[2]) + (v[3].kind == JSON_ARRAY ? v[3].raw.len : 0);
    q.messages = v[0];
    q.n = 1;
    q.max_tokens = 0;
    if (json_to_i64(&v[1], &q.max_tokens) != ERR_OK || q.max_tokens < 0)
        q.max_tokens = 0;
    if (q.max_tokens > CHAT_TOKENS_MAX)
        q.max_tokens = CHAT_TOKENS_MAX;
    q.prompt_tokens = (int64_t)(size.text_bytes / BYTES_PER_TOKEN + size.items * ITEM_TOKENS +
                                size.media * MEDIA_TOKENS);
    /* Streams always tell their usage: nothing is to be added. */
    q.usage_asked = q.stream;
    *ret_request = q;
    return ERR_OK;
}

/* ---- Answers ---- */

enum { OBJECT_STATUS, OBJECT_USAGE, OBJECT_MODEL, OBJECT_ERROR, OBJECT_OUTPUT, OBJECT_COUNT };

static const struct str object_names[OBJECT_COUNT] = {STR_INIT("status"), STR_INIT("usage"),
                                                      STR_INIT("model"), STR_INIT("error"),
                                                      STR_INIT("output")};

static uint64_t output_bytes(const struct json_value *output)
{
    struct size size = {.items = 0};
    count_input(output, &size);
    return size.text_bytes;
}

static void read_usage(const struct json_value *raw, struct usage *usage)
{
    struct usage found;
    if (raw->kind == JSON_OBJECT && openai_usage_read(raw->raw, &found) == ERR_OK)
        *usage = found;
}

static enum err read_answer(struct str body, unsigned max_depth, struct chat_answer *ret_answer)
{
    struct json_value v[OBJECT_COUNT], value;
    struct chat_answer answer = {.has_error = false};
    TRY(json_validate(body, max_depth, &value));
    if (value.kind != JSON_OBJECT)
        return ERR_INVALID;
    fields_of(&value, object_names, OBJECT_COUNT, v);
    if (v[OBJECT_USAGE].kind == JSON_OBJECT)
        answer.usage_raw = v[OBJECT_USAGE];
    read_usage(&v[OBJECT_USAGE], &answer.usage);
    answer.model = v[OBJECT_MODEL];
    answer.has_error = v[OBJECT_ERROR].kind != JSON_NONE;
    answer.has_choices = v[OBJECT_OUTPUT].kind == JSON_ARRAY;
    answer.finished = json_eq(&v[OBJECT_STATUS], STR("completed")) ||
                      json_eq(&v[OBJECT_STATUS], STR("incomplete"));
    answer.output_bytes = output_bytes(&v[OBJECT_OUTPUT]);
    *ret_answer = answer;
    return ERR_OK;
}

/* ---- Streams ---- */

/* What openai_chat.h calls the stream's collection; here, of another kind. */
struct chat_collect {
    struct buf first; /* the object of response.created */
    struct buf last;  /* of the event that ended it */
    struct buf items; /* that are done, joined by commas */
    struct buf text;  /* of the message under way, escaped */
    size_t max_bytes;
};

static void stream_init(struct chat_stream *s, bool hide_usage, size_t max_bytes,
                        unsigned max_depth)
{
    struct chat_collect *c = NEW(struct chat_collect);
    *s = (struct chat_stream){.hide_usage = hide_usage, .max_depth = max_depth, .collect = c};
    c->max_bytes = max_bytes;
    buf_init(&c->first, max_bytes);
    buf_init(&c->last, max_bytes);
    buf_init(&c->items, max_bytes);
    buf_init(&c->text, max_bytes);
}

static void stream_release(struct chat_stream *s)
{
    struct chat_collect *c = s->collect;
    if (!c)
        return;
    buf_release(&c->first);
    buf_release(&c->last);
    buf_release(&c->items);
    buf_release(&c->text);
    mem_free(c);
    s->collect = NULL;
}

static void stream_reset(struct chat_stream *s)
{
    bool hide_usage = s->hide_usage;
    unsigned max_depth = s->max_depth;
    size_t max_bytes = s->collect->max_bytes;
    stream_release(s);
    stream_init(s, hide_usage, max_bytes, max_depth);
}

/* Keep bytes if they fit what all of it may use. */
static bool keep(struct chat_stream *s, struct buf *to, struct str bytes)
{
    struct chat_collect *c = s->collect;
    size_t used = c->first.len + c->last.len + c->items.len + c->text.len;
    if (s->truncated || bytes.len > c->max_bytes - used) {
        s->truncated = true;
        return false;
    }
    buf_append_str(to, bytes);
    return true;
}

enum {
    EVENT_TYPE,
    EVENT_RESPONSE,
    EVENT_ITEM,
    EVENT_DELTA,
    EVENT_CODE,
    EVENT_MESSAGE,
    EVENT_COUNT
};

static const struct str event_names[EVENT_COUNT] = {STR_INIT("type"), STR_INIT("response"),
                                                    STR_INIT("item"), STR_INIT("delta"),
                                                    STR_INIT("code"), STR_INIT("message")};

static bool is_begin(const struct json_value *type)
{
    return json_eq(type, STR("response.created")) || json_eq(type, STR("response.in_progress")) ||
           json_eq(type, STR("response.queued"));
}

static bool is_end(const struct json_value *type)
{
    return json_eq(type, STR("response.completed")) || json_eq(type, STR("response.incomplete")) ||
           json_eq(type, STR("response.failed")) || json_eq(type, STR("response.cancelled"));
}

static void take_begin(struct chat_stream *s, const struct json_value *v)
{
    if (s->collect->first.len == 0 && v[EVENT_RESPONSE].kind == JSON_OBJECT)
        (void)keep(s, &s->collect->first, v[EVENT_RESPONSE].raw);
}

static void take_error(struct chat_stream *s, const struct json_value *error, struct str data)
{
    if (s->failed)
        return;
    s->failed = true;
    openai_error_read(error->kind == JSON_OBJECT ? error->raw : data, 500, &s->error);
}

/* The object that ends the stream replaces what was gathered. */
static void take_end(struct chat_stream *s, const struct json_value *v, struct str data)
{
    struct chat_collect *c = s->collect;
    struct json_value o[OBJECT_COUNT];
    const struct json_value *response = &v[EVENT_RESPONSE];
    fields_of(response, object_names, OBJECT_COUNT, o);
    s->done = true;
    buf_reset(&c->first);
    buf_reset(&c->items);
    buf_reset(&c->text);
    s->truncated = false;
    if (response->kind == JSON_OBJECT && keep(s, &c->last, response->raw)) {
        struct json_value usage;
        read_usage(&o[OBJECT_USAGE], &s->usage);
        s->usage_at_bytes = s->output_bytes;
        if (json_find(buf_str(&c->last), "usage", &usage) && usage.kind == JSON_OBJECT)
            s->usage_raw = usage.raw;
    }
    if (json_eq(&v[EVENT_TYPE], STR("response.failed")))
        take_error(s, &o[OBJECT_ERROR], data);
}

static void take_content(struct chat_stream *s, const struct json_value *v)
{
    struct chat_collect *c = s->collect;
    const struct json_value *type = &v[EVENT_TYPE];
    if (v[EVENT_DELTA].kind == JSON_STRING)
        s->output_bytes += json_text_len(&v[EVENT_DELTA]);
    if (json_eq(type, STR("response.output_text.delta"))) {
        (void)keep(s, &c->text, json_text_raw(&v[EVENT_DELTA]));
    } else if (json_eq(type, STR("response.output_item.done")) &&
               v[EVENT_ITEM].kind == JSON_OBJECT) {
        struct json_value kind = field_of(&v[EVENT_ITEM], STR("type"));
        if (json_eq(&kind, STR("message")))
            buf_reset(&c->text);
        if (c->items.len == 0 || keep(s, &c->items, STR(",")))
            (void)keep(s, &c->items, v[EVENT_ITEM].raw);
    }
}

/* An item that is only announced says nothing yet. */
static bool says_something(const struct json_value *type)
{
    return !json_eq(type, STR("response.output_item.added")) &&
           !json_eq(type, STR("response.content_part.added")) &&
           !json_eq(type, STR("response.reasoning_summary_part.added"));
}

static struct chat_event stream_feed(struct chat_stream *s, struct str name, struct str data)
{
    struct chat_event event = {.action = CHAT_EVENT_FORWARD};
    struct json_value v[EVENT_COUNT];
    s->events++;
    if (str_eq(str_trim(data), STR("[DONE]"))) {
        event.action = s->done ? CHAT_EVENT_FORWARD : CHAT_EVENT_DONE;
        s->done = true;
        return event;
    }
    if (!fields_read(data, s->max_depth, event_names, EVENT_COUNT, v, NULL)) {
        s->malformed++;
        s->content = event.content = event.malformed = true;
        return event;
    }
    const struct json_value *type = &v[EVENT_TYPE];
    if (is_begin(type)) {
        take_begin(s, v);
    } else if (is_end(type)) {
        take_end(s, v, data);
        event.action = CHAT_EVENT_DONE;
        event.error = s->failed;
        event.content = !s->failed;
    } else if (json_eq(type, STR("error")) || str_eq(name, STR("error"))) {
        take_error(s, &(struct json_value){.kind = JSON_NONE}, data);
        event.error = true;
    } else {
        take_content(s, v);
        event.content = says_something(type);
    }
    s->content |= event.content;
    return event;
}

static bool stream_complete(const struct chat_stream *s)
{
    return s->content && s->done && !s->failed;
}

/* What had come when it was cut: the object that it began with would say more than came. */
static void write_pieces(const struct chat_collect *c, struct buf *out)
{
    struct json_writer w;
    struct json_value id, model;
    json_writer_init(&w, out);
    json_object_begin(&w);
    if (json_find(buf_str(&c->first), "id", &id))
        json_member_raw(&w, STR("id"), id.raw);
    json_member_str(&w, STR("object"), STR("response"));
    json_member_str(&w, STR("status"), STR("incomplete"));
    if (json_find(buf_str(&c->first), "model", &model))
        json_member_raw(&w, STR("model"), model.raw);
    json_key(&w, STR("output"));
    json_array_begin(&w);
    if (c->items.len)
        json_raw(&w, buf_str(&c->items));
    if (c->text.len) {
        json_object_begin(&w);
        json_member_str(&w, STR("type"), STR("message"));
        json_member_str(&w, STR("role"), STR("assistant"));
        json_member_str(&w, STR("status"), STR("incomplete"));
        json_key(&w, STR("content"));
        json_array_begin(&w);
        json_object_begin(&w);
        json_member_str(&w, STR("type"), STR("output_text"));
        json_key(&w, STR("text"));
        json_str_raw(&w, buf_str(&c->text));
        json_object_end(&w);
        json_array_end(&w);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
}

static void stream_answer(const struct chat_stream *s, struct buf *out)
{
    const struct chat_collect *c = s->collect;
    if (c->last.len)
        buf_append_str(out, buf_str(&c->last));
    else if (c->first.len || c->items.len || c->text.len)
        write_pieces(c, out);
}

const struct dialect_watch responses_watch = {
    .read_request = read_request,
    .rewrite = openai_chat_rewrite,
    .read_answer = read_answer,
    .stream_init = stream_init,
    .stream_reset = stream_reset,
    .stream_release = stream_release,
    .stream_feed = stream_feed,
    .stream_complete = stream_complete,
    .stream_answer = stream_answer,
};
