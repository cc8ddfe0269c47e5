/* Requests, read and rewritten: the outgoing body is the caller's but for the model's name and
 * stream_options, and reading it says what the rewriting promised. What is refused is refused for a
 * reason that yyjson sees too. */
#include <stdint.h>
#include <yyjson.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "dialect/openai_chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_BYTES_MAX = 1 << 16, DEPTH_MAX = 128 };

/* The members of two objects side by side. */
struct pair {
    struct json_reader in, out;
};

static void open_pair(struct pair *p, struct str in, struct str out)
{
    json_reader_init(&p->in, in, JSON_DEPTH_MAX);
    json_reader_init(&p->out, out, JSON_DEPTH_MAX);
    ASSERT(json_enter(&p->in, JSON_OBJECT) && json_enter(&p->out, JSON_OBJECT));
}

static void close_pair(struct pair *p)
{
    ASSERT(json_finish(&p->in) && json_finish(&p->out));
}

/* stream_options that the rewriting changed: include_usage is true now, in front or in its place.
 */
static void compare_options(struct str in, struct str out, bool present)
{
    struct pair p;
    struct json_value in_key, out_key, usage = {0};
    open_pair(&p, in, out);
    if (!present) {
        ASSERT(json_next_member(&p.out, &out_key) && json_eq(&out_key, STR("include_usage")));
        ASSERT(json_take(&p.out).kind == JSON_TRUE);
        usage.kind = JSON_TRUE;
    }
    while (json_next_member(&p.in, &in_key)) {
        ASSERT(json_next_member(&p.out, &out_key) && str_eq(in_key.raw, out_key.raw));
        struct json_value old = json_take(&p.in), new = json_take(&p.out);
        if (json_eq(&in_key, STR("include_usage")))
            usage = new;
        else
            ASSERT(str_eq(old.raw, new.raw));
    }
    ASSERT(!json_next_member(&p.out, &out_key));
    ASSERT(usage.kind == JSON_TRUE);
    close_pair(&p);
}

static void compare_bodies(const struct chat_request *q, struct str out, struct str upstream,
                           bool adds_usage)
{
    struct pair p;
    struct json_value in_key, out_key;
    open_pair(&p, q->body, out);
    while (json_next_member(&p.in, &in_key)) {
        ASSERT(json_next_member(&p.out, &out_key) && str_eq(in_key.raw, out_key.raw));
        struct json_value old = json_take(&p.in), new = json_take(&p.out);
        if (json_eq(&in_key, STR("model"))) {
            ASSERT(json_eq(&new, upstream));
            ASSERT(!json_eq(&old, upstream) || str_eq(old.raw, new.raw));
            if (adds_usage && q->stream_options.kind == JSON_NONE) {
                ASSERT(json_next_member(&p.out, &out_key) &&
                       json_eq(&out_key, STR("stream_options")));
                ASSERT(str_eq(json_take(&p.out).raw, STR("{\"include_usage\":true}")));
            }
        } else if (adds_usage && old.raw.ptr == q->stream_options.raw.ptr) {
            bool present = q->include_usage.kind != JSON_NONE;
            compare_options(old.kind == JSON_OBJECT ? old.raw : STR("{}"), new.raw, present);
        } else {
            ASSERT(old.kind == new.kind &&str_eq(old.raw, new.raw));
        }
    }
    ASSERT(!json_next_member(&p.out, &out_key));
    close_pair(&p);
}

static void rewrite(const struct chat_request *q, struct str upstream, struct arena *a)
{
    struct chat_body body;
    struct chat_request again;
    struct openai_problem problem;
    struct buf out BUF_AUTO;
    buf_init(&out, BODY_BYTES_MAX * 2);
    openai_chat_rewrite(q, upstream, a, &body);
    for (size_t i = 0; i < body.count; i++)
        buf_append_str(&out, body.parts[i]);
    ASSERT(out.error == ERR_OK && out.len == body.bytes);
    ASSERT(!body.adds_usage || (q->stream && !q->usage_asked));
    compare_bodies(q, buf_str(&out), upstream, body.adds_usage);

    /* Two levels more: a body at the limit may have got an object into it. */
    ASSERT(openai_chat_read_request(buf_str(&out), DEPTH_MAX + 2, a, &again, &problem) == ERR_OK);
    ASSERT(str_eq(again.model, upstream) && again.stream == q->stream);
    ASSERT(again.usage_asked == (q->usage_asked || body.adds_usage));
    ASSERT(again.n == q->n && again.max_tokens == q->max_tokens);
    ASSERT(again.prompt_tokens == q->prompt_tokens && str_eq(again.user, q->user));
    ASSERT(str_eq(again.messages.raw, q->messages.raw));
}

/* Should the body have been taken? Only asked for texts that yyjson reads. */
static bool is_request(struct str body)
{
    yyjson_doc *doc = yyjson_read(body.ptr, body.len, YYJSON_READ_NUMBER_AS_RAW);
    yyjson_val *root = yyjson_doc_get_root(doc), *key, *model = NULL;
    yyjson_obj_iter members = yyjson_obj_iter_with(root);
    size_t models = 0;
    while ((key = yyjson_obj_iter_next(&members)) != NULL)
        if (yyjson_equals_str(key, "model")) {
            models++;
            model = yyjson_obj_iter_get_val(key);
        }
    bool good = models == 1 && yyjson_is_str(model) && yyjson_get_len(model) > 0 &&
                yyjson_get_len(model) <= CHAT_MODEL_BYTES_MAX;
    for (size_t i = 0; good && i < yyjson_get_len(model); i++) {
        unsigned char c = (unsigned char)yyjson_get_str(model)[i];
        good = c >= 0x20 && c != 0x7f;
    }
    yyjson_doc_free(doc);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct chat_request q;
    struct openai_problem problem = {0};
    if (size > BODY_BYTES_MAX)
        return 0;
    struct str body = str_of((const char *)data, size);
    arena_init(&arena);
    enum err e = openai_chat_read_request(body, DEPTH_MAX, &arena, &q, &problem);
    if (e == ERR_OK) {
        ASSERT(q.n >= 1 && q.n <= CHAT_TOKENS_MAX && q.prompt_tokens >= 0);
        ASSERT(q.max_tokens >= 0 && q.max_tokens <= CHAT_TOKENS_MAX);
        rewrite(&q, STR("up/\"stream\"\xC3\xA9"), &arena);
        rewrite(&q, STR("m"), &arena);
    } else {
        bool deep = strstr(problem.message, "limits.nesting") != NULL;
        ASSERT(e == ERR_INVALID && *problem.message && *problem.type);
        ASSERT(deep || !is_request(body));
    }
    arena_release(&arena);
    return 0;
}
