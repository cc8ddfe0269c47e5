/* Streams: events are separated by line feeds; the first byte chooses the bound on what is
 * collected. Whatever comes, the answer is JSON within its bound, and where yyjson understands
 * every event, choice 0's text is the text of its deltas. Also reads each event as an answer in one
 * piece, as usage and as an error. */
#include <stdint.h>
#include <yyjson.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "dialect/openai_chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAM_BYTES_MAX = 1 << 16, DEPTH_MAX = 128 };

/* What yyjson makes of the same stream: choice 0's text, if everything in it is simple. */
struct expected {
    struct buf text;
    bool simple;
};

static void expect_choice(struct expected *x, yyjson_val *choice, size_t position)
{
    yyjson_val *index = yyjson_obj_get(choice, "index"), *delta = yyjson_obj_get(choice, "delta");
    yyjson_val *content = yyjson_obj_get(delta, "content");
    size_t members = (index ? 1u : 0u) + (delta ? 1u : 0u);
    bool plain = yyjson_obj_size(choice) == members &&
                 yyjson_obj_size(delta) == (content != NULL) && (!index || yyjson_is_uint(index));
    if (!plain || (content && !yyjson_is_str(content)))
        x->simple = false;
    else if (content && (index ? yyjson_get_uint(index) : position) == 0)
        buf_append(&x->text, yyjson_get_str(content), yyjson_get_len(content));
}

static void expect_event(struct expected *x, struct str event)
{
    yyjson_doc *doc = yyjson_read(event.ptr, event.len, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *choices = yyjson_obj_get(root, "choices");
    if (!yyjson_is_obj(root) || yyjson_obj_size(root) != 1 || !yyjson_is_arr(choices)) {
        x->simple = false;
    } else {
        size_t i, count;
        yyjson_val *choice;
        yyjson_arr_foreach(choices, i, count, choice) expect_choice(x, choice, i);
    }
    yyjson_doc_free(doc);
}

static void check_usage(const struct usage *u)
{
    if (u->source == USAGE_NONE)
        return;
    ASSERT(u->cached_input >= 0 && u->cache_write >= 0 && u->reasoning >= 0);
    ASSERT(u->cached_input + u->cache_write <= u->input && u->reasoning <= u->output);
    ASSERT(u->audio_in >= 0 && u->audio_in <= u->input);
    ASSERT(u->audio_out >= 0 && u->audio_out <= u->output);
}

/* The other readers see each event too. */
static void read_whole(struct str event)
{
    struct chat_answer answer;
    struct openai_problem problem;
    struct usage usage;
    struct json_value value;
    struct buf out BUF_AUTO;
    buf_init(&out, 8192);
    if (openai_chat_read_answer(event, DEPTH_MAX, &answer) == ERR_OK)
        check_usage(&answer.usage);
    if (openai_usage_read(event, &usage) == ERR_OK)
        check_usage(&usage);
    openai_error_read(event, 502, &problem);
    ASSERT(*problem.message && strlen(problem.message) < sizeof problem.message);
    openai_problem_write(&out, &problem);
    ASSERT(json_validate(buf_str(&out), 2, &value) == ERR_OK);
}

static void check_answer(const struct chat_stream *s, size_t max_bytes, struct expected *x)
{
    struct buf answer BUF_AUTO, text BUF_AUTO;
    struct json_value value;
    buf_init(&answer, STREAM_BYTES_MAX * 8);
    buf_init(&text, STREAM_BYTES_MAX);
    openai_chat_stream_answer(s, &answer);
    ASSERT(answer.error == ERR_OK);
    if (answer.len == 0)
        return;
    ASSERT(json_validate(buf_str(&answer), JSON_DEPTH_MAX, &value) == ERR_OK);
    ASSERT(value.kind == JSON_OBJECT);
    /* Keys and brackets that are written around what was collected: less than a node costs. */
    ASSERT(answer.len < 8 * (max_bytes + (64 << 10)));
    if (!x->simple || s->truncated || x->text.len == 0)
        return;
    ASSERT(json_find(buf_str(&answer), "choices.0.message.content", &value));
    json_text_append(&value, &text);
    ASSERT(str_eq(buf_str(&text), buf_str(&x->text)));
}

static void feed_all(struct chat_stream *s, struct str stream, struct expected *x)
{
    while (stream.ptr) {
        struct str event = str_split(&stream, '\n');
        struct chat_event e = openai_chat_stream_feed(s, STR_NONE, event);
        ASSERT(!(e.error && e.action == CHAT_EVENT_HIDE));
        ASSERT(!e.error || *s->error.message);
        check_usage(&s->usage);
        if (x)
            expect_event(x, event);
        if (x)
            read_whole(event);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chat_stream s;
    struct expected x = {.simple = true};
    if (size < 1 || size > STREAM_BYTES_MAX)
        return 0;
    size_t max_bytes = (size_t)data[0] * 64;
    struct str stream = str_of((const char *)data + 1, size - 1);
    buf_init(&x.text, STREAM_BYTES_MAX);
    openai_chat_stream_init(&s, data[0] & 1, max_bytes, DEPTH_MAX);
    feed_all(&s, stream, &x);
    check_answer(&s, max_bytes, &x);

    /* After a reset it is as if nothing had come before. */
    uint64_t output_bytes = s.output_bytes;
    bool complete = openai_chat_stream_complete(&s), content = s.content;
    openai_chat_stream_reset(&s);
    feed_all(&s, stream, NULL);
    ASSERT(s.output_bytes == output_bytes && s.content == content);
    ASSERT(openai_chat_stream_complete(&s) == complete);
    check_answer(&s, max_bytes, &x);
    openai_chat_stream_release(&s);
    buf_release(&x.text);
    return 0;
}
