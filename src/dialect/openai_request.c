#include "base/assert.h"
#include "codec/json_write.h"
#include "dialect/chat_int.h"

/* What the estimate of a prompt's tokens adds for a message, and for an image, sound or file. */
enum { MESSAGE_TOKENS = 4, MEDIA_TOKENS = 1024, BYTES_PER_TOKEN = 4 };

/* What is told to the caller is one of these types. */
#define INVALID_TYPE "invalid_request_error"

/* ---- Estimating the prompt ---- */

void chat_count_value(struct prompt_size *size, const struct json_value *value)
{
    if (value->kind == JSON_STRING)
        size->text_bytes += json_text_len(value);
    else if (value->kind == JSON_ARRAY || value->kind == JSON_OBJECT)
        size->text_bytes += value->raw.len;
}

/* One part of a message: {"type":"text","text":"…"}, {"type":"image_url","image_url":{…}}, … */
static void count_part(struct json_reader *r, struct prompt_size *size)
{
    struct json_value key;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key)) {
        if (json_eq(&key, STR("text")) || json_eq(&key, STR("refusal"))) {
            struct json_value text = json_take(r);
            chat_count_value(size, &text);
        } else if (json_eq(&key, STR("image_url")) || json_eq(&key, STR("input_audio")) ||
                   json_eq(&key, STR("file")) || json_eq(&key, STR("video_url"))) {
            size->media++;
        }
    }
}

static void count_message(struct json_reader *r, struct prompt_size *size)
{
    struct json_value key;
    size->messages++;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key)) {
        if (json_eq(&key, STR("content")) && json_enter(r, JSON_ARRAY)) {
            while (json_next_element(r))
                count_part(r, size);
        } else if (!json_eq(&key, STR("role"))) {
            struct json_value value = json_take(r);
            chat_count_value(size, &value);
        }
    }
}

static int64_t prompt_tokens(const struct prompt_size *size)
{
    return (int64_t)(size->text_bytes / BYTES_PER_TOKEN + size->messages * MESSAGE_TOKENS +
                     size->media * MEDIA_TOKENS);
}

/* ---- Reading ---- */

void chat_reading_model(struct request_reading *x)
{
    struct json_value value = json_take(&x->r);
    if (x->models < 2 && value.kind != JSON_NONE)
        x->model_at[x->models] = (size_t)(value.raw.ptr - x->r.text);
    x->models++;
    x->request.model_value = value;
}

static void read_messages(struct request_reading *x)
{
    const char *start = x->r.at;
    if (!json_enter(&x->r, JSON_ARRAY)) {
        x->request.messages = json_take(&x->r);
        return;
    }
    while (json_next_element(&x->r))
        count_message(&x->r, &x->size);
    x->request.messages =
        (struct json_value){.raw = {start, (size_t)(x->r.at - start)}, .kind = JSON_ARRAY};
}

static void read_stream_options(struct request_reading *x)
{
    struct json_value key;
    const char *start = x->r.at;
    x->request.include_usage = (struct json_value){0};
    if (!json_enter(&x->r, JSON_OBJECT)) {
        x->request.stream_options = json_take(&x->r);
        return;
    }
    while (json_next_member(&x->r, &key))
        if (json_eq(&key, STR("include_usage")))
            x->request.include_usage = json_take(&x->r);
    x->request.stream_options =
        (struct json_value){.raw = {start, (size_t)(x->r.at - start)}, .kind = JSON_OBJECT};
}

/* A count of tokens or choices: what is no whole positive number is 0. */
int64_t chat_reading_limit(struct request_reading *x)
{
    struct json_value value = json_take(&x->r);
    int64_t number = 0;
    enum err e = json_to_i64(&value, &number);
    if (e == ERR_OUT_OF_RANGE && *value.raw.ptr != '-')
        return CHAT_TOKENS_MAX;
    if (e != ERR_OK || number < 0)
        return 0;
    return number < CHAT_TOKENS_MAX ? number : CHAT_TOKENS_MAX;
}

static void read_member(struct request_reading *x, const struct json_value *key, struct arena *a)
{
    struct chat_request *q = &x->request;
    if (json_eq(key, STR("model"))) {
        chat_reading_model(x);
    } else if (json_eq(key, STR("messages"))) {
        read_messages(x);
    } else if (json_eq(key, STR("stream"))) {
        q->stream = json_take(&x->r).kind == JSON_TRUE;
    } else if (json_eq(key, STR("stream_options"))) {
        read_stream_options(x);
    } else if (json_eq(key, STR("max_tokens")) || json_eq(key, STR("max_completion_tokens"))) {
        int64_t limit = chat_reading_limit(x);
        q->max_tokens = limit > q->max_tokens ? limit : q->max_tokens;
    } else if (json_eq(key, STR("n"))) {
        int64_t n = chat_reading_limit(x);
        q->n = n > 0 ? n : 1;
    } else if (json_eq(key, STR("user"))) {
        struct json_value user = json_take(&x->r);
        q->user = json_text(&user, a);
    } else if (json_eq(key, STR("metadata"))) {
        q->metadata = json_take(&x->r);
    } else if (json_eq(key, STR("prompt")) || json_eq(key, STR("suffix")) ||
               json_eq(key, STR("input")) || json_eq(key, STR("tools")) ||
               json_eq(key, STR("functions")) || json_eq(key, STR("response_format"))) {
        struct json_value value = json_take(&x->r);
        chat_count_value(&x->size, &value);
    }
}

/* ---- What may be wrong ---- */

static enum err refuse_text(const struct json_reader *r, struct openai_problem *ret_problem)
{
    struct buf what BUF_AUTO;
    buf_init(&what, 128);
    json_fault_describe(r, &what);
    if (r->fault == JSON_FAULT_EMPTY)
        openai_problem_set(ret_problem, INVALID_TYPE, NULL, NULL,
                           "The request's body is empty: send a JSON object.");
    else if (r->fault == JSON_FAULT_DEPTH)
        openai_problem_set(ret_problem, INVALID_TYPE, NULL, NULL,
                           "The request's body nests deeper than %u levels (limits.nesting), at "
                           "byte %zu.",
                           r->max_depth, r->fault_at);
    else
        openai_problem_set(ret_problem, INVALID_TYPE, NULL, NULL,
                           "The request's body is not valid JSON: %s.", buf_cstr(&what));
    return ERR_INVALID;
}

static enum err refuse_kind(enum json_kind kind, struct openai_problem *ret_problem)
{
    openai_problem_set(ret_problem, INVALID_TYPE, NULL, NULL,
                       "The request's body must be a JSON object, but it is %s.",
                       json_kind_text(kind));
    return ERR_INVALID;
}

static bool has_control(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return true;
    return false;
}

static enum err check_model(const struct request_reading *x, struct openai_problem *ret_problem)
{
    enum json_kind kind = x->request.model_value.kind;
    struct str name = x->request.model;
    char what[128];
    if (x->models == 0)
        (void)snprintf(what, sizeof what, "'model' is missing: name the model to call.");
    else if (x->models > 1)
        (void)snprintf(what, sizeof what,
                       "'model' is in the body %zu times (at bytes %zu and %zu): send it once.",
                       x->models, x->model_at[0], x->model_at[1]);
    else if (kind != JSON_STRING)
        (void)snprintf(what, sizeof what, "'model' must be a string, but it is %s.",
                       json_kind_text(kind));
    else if (name.len == 0)
        (void)snprintf(what, sizeof what, "'model' is empty: name the model to call.");
    else if (name.len > CHAT_MODEL_BYTES_MAX)
        (void)snprintf(what, sizeof what, "'model' is %zu bytes long, the most is %d.", name.len,
                       CHAT_MODEL_BYTES_MAX);
    else if (has_control(name))
        (void)snprintf(what, sizeof what,
                       "'model' holds a control character: send the plain name.");
    else
        return ERR_OK;
    openai_problem_set(ret_problem, INVALID_TYPE, "model", NULL, "%s", what);
    return ERR_INVALID;
}

enum err chat_reading_run(struct request_reading *x, struct str body, unsigned max_depth,
                          struct arena *a,
                          void (*take)(struct request_reading *x, const struct json_value *key,
                                       struct arena *a),
                          struct openai_problem *ret_problem)
{
    struct json_value key;
    *x = (struct request_reading){.request = {.body = body, .n = 1}};
    json_reader_init(&x->r, body, max_depth);
    enum json_kind kind = json_peek(&x->r);
    if (json_enter(&x->r, JSON_OBJECT))
        while (json_next_member(&x->r, &key))
            take(x, &key, a);
    if (!json_finish(&x->r))
        return refuse_text(&x->r, ret_problem);
    if (kind != JSON_OBJECT)
        return refuse_kind(kind, ret_problem);
    x->request.model = json_text(&x->request.model_value, a);
    TRY(check_model(x, ret_problem));
    x->request.prompt_tokens = prompt_tokens(&x->size);
    return ERR_OK;
}

enum err openai_chat_read_request(struct str body, unsigned max_depth, struct arena *a,
                                  struct chat_request *ret_request,
                                  struct openai_problem *ret_problem)
{
    struct request_reading x;
    TRY(chat_reading_run(&x, body, max_depth, a, read_member, ret_problem));
    x.request.usage_asked = x.request.stream && x.request.include_usage.kind == JSON_TRUE;
    *ret_request = x.request;
    return ERR_OK;
}

/* ---- Rewriting ---- */

/* Replace `old`, a span of the body, with `text`. */
struct edit {
    struct str old;
    struct str text;
};

#define ADDED_OPTIONS ",\"stream_options\":{\"include_usage\":true}"
#define ADDED_OBJECT  "{\"include_usage\":true}"
#define ADDED_MEMBER  "\"include_usage\":true"

/* The name as a JSON string, with `more` behind it; in the arena. */
static struct str quoted_name(struct str name, struct str more, struct arena *a)
{
    struct buf text BUF_AUTO;
    buf_init(&text, 2 + name.len * 6 + more.len);
    buf_append_char(&text, '"');
    json_escape_append(&text, name);
    buf_append_char(&text, '"');
    buf_append_str(&text, more);
    ASSERT(text.error == ERR_OK);
    return arena_str(a, buf_str(&text));
}

/* How usage is asked for where the caller did not; false: its stream_options are no object, and the
 * target will say so. options_edit stays empty where the member has to be added. */
static bool edit_options(const struct chat_request *q, struct edit *options_edit)
{
    const struct json_value *options = &q->stream_options;
    if (options->kind == JSON_NONE)
        return true;
    if (options->kind == JSON_NULL) {
        *options_edit = (struct edit){options->raw, STR(ADDED_OBJECT)};
        return true;
    }
    if (options->kind != JSON_OBJECT)
        return false;
    if (q->include_usage.kind == JSON_NONE) {
        struct str inside = str_skip(options->raw, 1);
        size_t space = 0;
        while (inside.ptr[space] != '}' && (unsigned char)inside.ptr[space] <= ' ')
            space++;
        bool empty = inside.ptr[space] == '}';
        *options_edit =
            (struct edit){str_take(inside, 0), empty ? STR(ADDED_MEMBER) : STR(ADDED_MEMBER ",")};
        return true;
    }
    *options_edit = (struct edit){q->include_usage.raw, STR("true")};
    return q->include_usage.kind == JSON_FALSE || q->include_usage.kind == JSON_NULL;
}

static void add_part(struct chat_body *body, struct str part)
{
    if (part.len == 0)
        return;
    ASSERT(body->count < CHAT_BODY_PARTS_MAX);
    body->parts[body->count++] = part;
    body->bytes += part.len;
}

/* The two edits, in the order in which they stand; an empty `old.ptr` is no edit. */
static void apply_edits(struct str text, const struct edit *edits[2], struct chat_body *ret_body)
{
    const char *at = text.ptr;
    for (int i = 0; i < 2; i++) {
        if (!edits[i]->old.ptr)
            continue;
        ASSERT(edits[i]->old.ptr >= at);
        add_part(ret_body, str_of(at, (size_t)(edits[i]->old.ptr - at)));
        add_part(ret_body, edits[i]->text);
        at = edits[i]->old.ptr + edits[i]->old.len;
    }
    add_part(ret_body, str_of(at, (size_t)(text.ptr + text.len - at)));
}

void openai_chat_rewrite(const struct chat_request *q, struct str upstream_model, struct arena *a,
                         struct chat_body *ret_body)
{
    struct edit model = {0}, options = {0};
    struct chat_body body = {0};
    if (q->stream && !q->usage_asked)
        body.adds_usage = edit_options(q, &options);
    if (!body.adds_usage)
        options = (struct edit){0};
    struct str more = body.adds_usage && !options.old.ptr ? STR(ADDED_OPTIONS) : STR("");
    if (!str_eq(upstream_model, q->model))
        model = (struct edit){q->model_value.raw, quoted_name(upstream_model, more, a)};
    else if (more.len)
        model = (struct edit){str_skip(q->model_value.raw, q->model_value.raw.len), more};
    bool swapped = options.old.ptr && options.old.ptr < model.old.ptr;
    const struct edit *edits[2] = {swapped ? &options : &model, swapped ? &model : &options};
    apply_edits(q->body, edits, &body);
    *ret_body = body;
}
