/* Answers of any bytes, from one dialect to another, which the first two bytes choose; the third
 * bounds what may be held back. Events are separated by line feeds; the whole is read as a body
 * too. A reader's events keep the order that answer.h promises, a writer's stream the rules of its
 * language, and an answer in one piece is JSON. */
#include <stdint.h>

#include "base/assert.h"
#include "dialect/dialect.h"
#include "tests/unit/dialect/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAM_BYTES_MAX = 1 << 16, OUT_BYTES_MAX = 64 << 20, DEPTH_MAX = 128 };

struct watch {
    const struct dialect *in;
    struct answer_writer *writer;
    struct answer answer;
    struct buf out;
    bool started, over;
    uint32_t begun[ANSWER_CHOICES_MAX]; /* calls */
    uint32_t ended[ANSWER_CHOICES_MAX];
    bool finished[ANSWER_CHOICES_MAX];
};

/* Escaped text is what may stand between quotes. */
static void check_text(struct str text)
{
    struct buf quoted BUF_AUTO;
    struct json_value value;
    buf_init(&quoted, text.len + 2);
    buf_append_char(&quoted, '"');
    buf_append_str(&quoted, text);
    buf_append_char(&quoted, '"');
    ASSERT(json_validate(buf_str(&quoted), 1, &value) == ERR_OK);
}

static void check_call(struct watch *w, const struct answer_event *e)
{
    if (e->kind == ANSWER_TOOL_BEGIN) {
        ASSERT(e->tool == w->begun[e->choice]++);
        return;
    }
    ASSERT(e->tool < w->begun[e->choice]);
    w->ended[e->choice] += e->kind == ANSWER_TOOL_END;
    ASSERT(e->kind != ANSWER_TOOL_ARGS || e->text.len > 0);
}

static void check_order(struct watch *w, const struct answer_event *e)
{
    ASSERT(!w->over);
    ASSERT(w->started || e->kind == ANSWER_START || e->kind == ANSWER_ERROR ||
           e->kind == ANSWER_PING);
    ASSERT(!w->started || e->kind != ANSWER_START);
    ASSERT(e->choice < ANSWER_CHOICES_MAX);
    w->started |= e->kind == ANSWER_START;
    w->over = e->kind == ANSWER_ERROR || e->kind == ANSWER_END;
    if (e->kind >= ANSWER_TOOL_BEGIN && e->kind <= ANSWER_TOOL_END)
        check_call(w, e);
    bool of_choice = e->kind >= ANSWER_TEXT && e->kind <= ANSWER_FINISH;
    ASSERT(!of_choice || !w->finished[e->choice]);
    if (e->kind == ANSWER_FINISH) {
        ASSERT(w->begun[e->choice] == w->ended[e->choice]);
        w->finished[e->choice] = true;
    }
    ASSERT(e->kind != ANSWER_ERROR || *e->problem->message);
}

static void watch_take(void *arg, const struct answer_event *e)
{
    struct watch *w = arg;
    struct json_value value;
    check_order(w, e);
    check_text(e->text);
    check_text(e->id);
    check_text(e->name);
    ASSERT(!e->raw.len || json_validate(e->raw, JSON_DEPTH_MAX, &value) == ERR_OK);
    ASSERT(e->usage.cached_input + e->usage.cache_write <= e->usage.input);
    answer_take(&w->answer, e);
    if (w->writer)
        w->in->writer_take(w->writer, e, &w->out);
}

static void watch_init(struct watch *w, const struct dialect *in,
                       const struct answer_options *options)
{
    *w = (struct watch){.in = in};
    w->writer = in->writer_new ? in->writer_new(options) : NULL;
    dialect_answer_init(&w->answer, options->max_bytes);
    buf_init(&w->out, OUT_BYTES_MAX);
}

static void watch_end(struct watch *w, const struct answer_options *options)
{
    struct json_value value;
    struct buf whole BUF_AUTO;
    buf_init(&whole, OUT_BYTES_MAX);
    if (w->over && w->writer) {
        const char *broken = grammar_check(w->in->name, buf_str(&w->out));
        if (broken)
            (void)fprintf(stderr, "%s:\n%.*s\n", broken, (int)w->out.len, w->out.ptr);
        ASSERT(!broken);
    }
    if (w->in->write_answer && w->started) {
        w->in->write_answer(&w->answer, options, &whole);
        ASSERT(whole.error != ERR_OK ||
               json_validate(buf_str(&whole), JSON_DEPTH_MAX, &value) == ERR_OK);
    }
    if (w->writer)
        w->in->writer_free(w->writer);
    dialect_answer_release(&w->answer);
    buf_release(&w->out);
}

static const struct dialect *choose(uint8_t byte)
{
    size_t count = 1;
    while (dialect_table[count])
        count++;
    ASSERT(count > 0);
    return dialect_table[byte % count];
}

static void feed(const struct dialect *out, struct str stream, const struct answer_options *options,
                 struct answer_sink sink)
{
    struct answer_reader *r = out->reader_new(options);
    while (stream.ptr) {
        struct str line = str_split(&stream, '\n');
        if (line.len > 0)
            out->reader_feed(r, STR(""), line, sink);
    }
    out->reader_end(r, sink);
    out->reader_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct watch w;
    if (size < 3 || size > STREAM_BYTES_MAX)
        return 0;
    const struct dialect *in = choose(data[0]), *out = choose(data[1]);
    struct str text = str_of((const char *)data + 3, size - 3);
    struct answer_options options = {
        .plan.json_tool = data[2] & 1 ? STR("structured_output") : STR(""),
        .max_depth = DEPTH_MAX,
        .max_bytes = (size_t)data[2] * 256,
        .id = STR("id"),
        .model = STR("model"),
        .call = STR("0123456789abcdef0123456789abcdef"),
        .include_usage = data[2] & 2,
    };
    if (!out->reader_new)
        return 0;
    watch_init(&w, in, &options);
    feed(out, text, &options, (struct answer_sink){watch_take, &w});
    watch_end(&w, &options);
    watch_init(&w, in, &options);
    enum err e = out->read_answer(text, &options, (struct answer_sink){watch_take, &w});
    ASSERT(e != ERR_OK || w.over);
    watch_end(&w, &options);
    return 0;
}
