/* Streams of any target as a response. The first byte says whose: g Gemini's, o OpenAI's chat, a
 * Anthropic's, r the Responses API's own, watched. Each further line is an event's data. w: a whole
 * response, told as a stream.
 *
 * Whatever comes, what is written is JSON event by event, numbered without a gap; nothing follows
 * the last event; a stream's last event and an answer in one piece hold the same items. */
#include <stdint.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "dialect/dialect.h"
#include "dialect/responses_replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BYTES_MAX = 1 << 15, DEPTH_MAX = 64, HELD_MAX = 1 << 14 };

struct relay {
    struct answer_writer *writer;
    struct buf out;
    struct answer answer;
    bool ended;
};

static void take(void *arg, const struct answer_event *event)
{
    struct relay *relay = arg;
    ASSERT(!relay->ended);
    ASSERT(relay->answer.started || event->kind == ANSWER_START || event->kind == ANSWER_ERROR);
    answer_take(&relay->answer, event);
    relay->ended = event->kind == ANSWER_END || event->kind == ANSWER_ERROR;
    dialect_responses.writer_take(relay->writer, event, &relay->out);
}

/* Every event of the stream; its last one's response, or nothing. */
static struct str check_stream(struct str stream)
{
    struct json_value value, last = {.kind = JSON_NONE};
    int64_t next = 0, number;
    bool over = false;
    while (stream.ptr && stream.len) {
        struct str line = str_split(&stream, '\n');
        if (!str_starts(line, STR("data: ")))
            continue;
        struct str data = str_skip(line, 6);
        ASSERT(!over && json_validate(data, JSON_DEPTH_MAX, &value) == ERR_OK);
        ASSERT(json_find(data, "sequence_number", &value));
        ASSERT(json_to_i64(&value, &number) == ERR_OK && number == next++);
        ASSERT(json_find(data, "type", &value));
        over = json_eq(&value, STR("response.completed")) ||
               json_eq(&value, STR("response.incomplete")) ||
               json_eq(&value, STR("response.failed"));
        if (over)
            ASSERT(json_find(data, "response", &last));
    }
    return last.raw;
}

static void replay_whole(struct str response)
{
    struct json_value value;
    struct buf out BUF_AUTO;
    buf_init(&out, (size_t)BYTES_MAX * 256);
    if (responses_replay(response, DEPTH_MAX, -1, &out) != ERR_OK)
        return;
    struct str last = check_stream(buf_str(&out));
    ASSERT(last.len && json_validate(response, DEPTH_MAX, &value) == ERR_OK);
    ASSERT(last.len <= value.raw.len);
}

static void check_same(struct str last, struct str whole)
{
    struct json_value a, b;
    ASSERT(json_find(last, "output", &a) && json_find(whole, "output", &b));
    ASSERT(str_eq(a.raw, b.raw));
}

static void relay_lines(const struct dialect *from, struct str lines)
{
    struct answer_options options = {.max_depth = DEPTH_MAX,
                                     .max_bytes = HELD_MAX,
                                     .call = STR("0123456789abcdef0123456789abcdef"),
                                     .model = STR("m"),
                                     .body = STR("{\"input\":\"x\",\"tools\":[]}")};
    struct relay relay = {.writer = dialect_responses.writer_new(&options)};
    struct answer_sink sink = {.take = take, .arg = &relay};
    struct answer_reader *reader = from->reader_new(&options);
    struct buf whole BUF_AUTO;
    buf_init(&whole, (size_t)BYTES_MAX * 64);
    buf_init(&relay.out, (size_t)BYTES_MAX * 256);
    dialect_answer_init(&relay.answer, HELD_MAX);
    while (lines.ptr && !relay.ended) {
        struct str line = str_split(&lines, '\n');
        if (line.len)
            from->reader_feed(reader, STR(""), line, sink);
    }
    if (!relay.ended)
        from->reader_end(reader, sink);
    struct str last = check_stream(buf_str(&relay.out));
    dialect_responses.write_answer(&relay.answer, &options, &whole);
    struct json_value value;
    if (whole.error == ERR_OK) {
        ASSERT(json_validate(buf_str(&whole), JSON_DEPTH_MAX, &value) == ERR_OK);
        /* A collected answer does not say which of its texts log probabilities belong to. */
        bool one = relay.answer.choice_count == 1 && relay.answer.choices->number == 0 &&
                   !relay.answer.choices->has_logprobs;
        if (relay.answer.whole && !relay.answer.truncated && one && last.len)
            check_same(last, buf_str(&whole));
        replay_whole(buf_str(&whole));
    }
    from->reader_free(reader);
    dialect_responses.writer_free(relay.writer);
    dialect_answer_release(&relay.answer);
    buf_release(&relay.out);
}

static void watch_lines(struct str lines)
{
    const struct dialect_watch *watch = dialect_responses.watch;
    struct chat_stream s;
    struct json_value value;
    struct buf answer BUF_AUTO;
    buf_init(&answer, (size_t)BYTES_MAX * 4);
    watch->stream_init(&s, false, HELD_MAX, DEPTH_MAX);
    while (lines.ptr) {
        struct str line = str_split(&lines, '\n');
        struct chat_event event = watch->stream_feed(&s, STR(""), line);
        ASSERT(!event.error || s.failed);
        ASSERT(!event.content || s.content);
    }
    watch->stream_answer(&s, &answer);
    ASSERT(answer.len == 0 || json_validate(buf_str(&answer), JSON_DEPTH_MAX, &value) == ERR_OK);
    watch->stream_reset(&s);
    watch->stream_release(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > BYTES_MAX)
        return 0;
    struct str lines = str_of((const char *)data + 1, size - 1);
    struct openai_problem problem;
    switch (data[0]) {
    case 'g': relay_lines(&dialect_gemini, lines); break;
    case 'o': relay_lines(&dialect_openai, lines); break;
    case 'a': relay_lines(&dialect_anthropic, lines); break;
    case 'r': watch_lines(lines); break;
    case 'w': replay_whole(lines); break;
    case 'e':
        dialect_gemini.read_error(lines, 500, &problem);
        ASSERT(*problem.message && *problem.type);
        ASSERT(dialect_gemini.retry_after_ms(lines) >= -1);
        break;
    default: break;
    }
    return 0;
}
