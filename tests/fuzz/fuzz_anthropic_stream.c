/* Streams of Anthropic's, watched: events are separated by line feeds; the first byte chooses the
 * bound on what is collected. Whatever comes, the answer is JSON within its bound, and the same
 * after a reset. Each event is read as a request and as an answer too. */
#include <stdint.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "dialect/anthropic_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAM_BYTES_MAX = 1 << 16, DEPTH_MAX = 128 };

static void read_whole(struct str event)
{
    struct chat_answer answer;
    struct chat_request request;
    struct chat_body body;
    struct openai_problem problem = {0};
    struct arena a;
    arena_init(&a);
    if (anthropic_read_answer(event, DEPTH_MAX, &answer) == ERR_OK)
        ASSERT(answer.usage.cached_input + answer.usage.cache_write <= answer.usage.input);
    if (anthropic_read_request(event, DEPTH_MAX, &a, &request, &problem) == ERR_OK) {
        openai_chat_rewrite(&request, request.model, &a, &body);
        ASSERT(body.bytes == event.len && !body.adds_usage);
    } else {
        ASSERT(*problem.message);
    }
    arena_release(&a);
}

static void feed_all(struct chat_stream *s, struct str stream, bool each)
{
    while (stream.ptr) {
        struct str event = str_split(&stream, '\n');
        struct chat_event e = anthropic_stream_feed(s, STR_NONE, event);
        ASSERT(!e.error || *s->error.message);
        ASSERT(e.action != CHAT_EVENT_HIDE);
        ASSERT(s->usage.cached_input + s->usage.cache_write <= s->usage.input);
        if (each)
            read_whole(event);
    }
}

static void check_answer(const struct chat_stream *s, size_t max_bytes, struct buf *answer)
{
    struct json_value value;
    anthropic_stream_answer(s, answer);
    ASSERT(answer->error == ERR_OK);
    if (answer->len == 0)
        return;
    ASSERT(json_validate(buf_str(answer), JSON_DEPTH_MAX, &value) == ERR_OK);
    ASSERT(value.kind == JSON_OBJECT);
    ASSERT(answer->len < 8 * (max_bytes + (72 << 10)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chat_stream s;
    struct buf first BUF_AUTO, second BUF_AUTO;
    buf_init(&first, STREAM_BYTES_MAX * 16);
    buf_init(&second, STREAM_BYTES_MAX * 16);
    if (size < 1 || size > STREAM_BYTES_MAX)
        return 0;
    size_t max_bytes = (size_t)data[0] * 64;
    struct str stream = str_of((const char *)data + 1, size - 1);
    anthropic_stream_init(&s, false, max_bytes, DEPTH_MAX);
    feed_all(&s, stream, true);
    check_answer(&s, max_bytes, &first);
    bool complete = anthropic_stream_complete(&s);
    anthropic_stream_reset(&s);
    feed_all(&s, stream, false);
    check_answer(&s, max_bytes, &second);
    ASSERT(complete == anthropic_stream_complete(&s));
    ASSERT(str_eq(buf_str(&first), buf_str(&second)));
    anthropic_stream_release(&s);
    return 0;
}
