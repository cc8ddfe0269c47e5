/* How fast the dialect's code is, alone on one core: GB/s of reading request bodies, ns for each
 * event of a stream. `make bench/dialect`; the figures stand in docs/internals/dialect.md. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "codec/json_scan.h"
#include "codec/json_write.h"
#include "dialect/dialect.h"

enum { RUN_TICKS = CLOCKS_PER_SEC / 5, ROUNDS = 5 };

typedef void work_fn(void *arg);

/* Best of some rounds, in ns of CPU time for each call: other processes do not count. */
static double measure(work_fn *work, void *arg)
{
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t calls = 0;
        clock_t start = clock(), now = start;
        while (now - start < RUN_TICKS) {
            for (int i = 0; i < 16; i++)
                work(arg);
            calls += 16;
            now = clock();
        }
        double ns = (double)(now - start) * (1e9 / CLOCKS_PER_SEC) / (double)calls;
        best = ns < best ? ns : best;
    }
    return best;
}

/* ---- Bodies ---- */

static const char *const english[] = {"the ", "gateway ", "keeps ", "every ",        "record, ",
                                      "and ", "then ",    "it ",    "says \"so\".\n"};
static const char *const chinese[] = {"\xE7\xBD\x91\xE5\x85\xB3", "\xE4\xBF\x9D\xE5\xAD\x98",
                                      "\xE6\xAF\x8F",
                                      "\xE6\x9D\xA1\xE8\xAE\xB0\xE5\xBD\x95\xEF\xBC\x8C"};
static const char *const russian[] = {"\xD1\x88\xD0\xBB\xD1\x8E\xD0\xB7 ",
                                      "\xD1\x85\xD1\x80\xD0\xB0\xD0\xBD\xD0\xB8\xD1\x82 ",
                                      "\xD0\xB2\xD1\x81\xD1\x91. "};

struct script {
    const char *name;
    const char *const *words;
    size_t count;
};

#define SCRIPT(words)                                                                              \
    {                                                                                              \
#words, words, sizeof(words) / sizeof *(words)                                             \
    }

static void write_body(struct buf *out, size_t bytes, const struct script *script)
{
    struct json_writer w;
    struct buf text BUF_AUTO;
    buf_init(&text, bytes + 100);
    for (size_t i = 0; text.len < bytes; i++)
        buf_append_str(&text, str_from_c(script->words[i * 7 % script->count]));
    json_writer_init(&w, out);
    json_object_begin(&w);
    json_member_str(&w, STR("model"), STR("fast"));
    json_member_raw(&w, STR("temperature"), STR("0.7"));
    json_member_u64(&w, STR("max_tokens"), 512);
    json_key(&w, STR("messages"));
    json_array_begin(&w);
    json_raw(&w, STR("{\"role\":\"system\",\"content\":\"You are a helpful assistant.\"}"));
    json_object_begin(&w);
    json_member_str(&w, STR("role"), STR("user"));
    json_member_str(&w, STR("content"), buf_str(&text));
    json_object_end(&w);
    json_array_end(&w);
    json_member_bool(&w, STR("stream"), true);
    json_object_end(&w);
}

struct body_work {
    struct buf out;
    struct str body;
    struct arena arena;
};

static void validate_body(void *arg)
{
    struct body_work *work = arg;
    struct json_value value;
    if (json_validate(work->body, 128, &value) != ERR_OK)
        fprintf(stderr, "the body is not valid\n");
}

static void read_and_rewrite(void *arg)
{
    struct body_work *work = arg;
    struct chat_request request;
    struct chat_body body;
    struct openai_problem problem;
    arena_reset(&work->arena);
    if (openai_chat_read_request(work->body, 128, &work->arena, &request, &problem) != ERR_OK)
        fprintf(stderr, "%s\n", problem.message);
    else
        openai_chat_rewrite(&request, STR("gpt-5-mini-2026-01-01"), &work->arena, &body);
}

static void translate_body(void *arg)
{
    struct body_work *work = arg;
    struct ask_target target = {.model = STR("claude-sonnet-4-5")};
    struct ask_plan plan;
    struct openai_problem problem;
    struct ask *ask;
    arena_reset(&work->arena);
    buf_reset(&work->out);
    if (dialect_openai.read_ask(work->body, 128, &work->arena, &ask, &problem) != ERR_OK ||
        dialect_anthropic.write_ask(ask, &target, &work->arena, &work->out, &plan, &problem) !=
            ERR_OK)
        fprintf(stderr, "%s\n", problem.message);
}

static void bench_body(size_t bytes, const struct script *script)
{
    struct buf body BUF_AUTO;
    buf_init(&body, bytes * 2 + 1000);
    write_body(&body, bytes, script);
    struct body_work work = {.body = buf_str(&body)};
    arena_init(&work.arena);
    buf_init(&work.out, 4 * bytes + 4096);
    double validate = measure(validate_body, &work), whole = measure(read_and_rewrite, &work);
    double translated = measure(translate_body, &work);
    printf(
        "body %7zu bytes, %s: validate %8.0f ns, %5.2f GB/s; read + rewrite %8.0f ns, %5.2f GB/s\n",
        body.len, script->name, validate, (double)body.len / validate, whole,
        (double)body.len / whole);
    printf("  to Anthropic's messages %8.0f ns, %5.2f GB/s\n", translated,
           (double)body.len / translated);
    buf_release(&work.out);
    arena_release(&work.arena);
}

/* ---- Streams ---- */

enum { EVENTS = 1000 };

struct stream_work {
    const char *delta;
    struct str event;
    double events;
};

static void watch_stream(void *arg)
{
    struct stream_work *work = arg;
    struct chat_stream stream;
    openai_chat_stream_init(&stream, true, 8 << 20, 128);
    for (int i = 0; i < EVENTS; i++)
        openai_chat_stream_feed(&stream, STR_NONE, work->event);
    if (stream.malformed || stream.truncated)
        fprintf(stderr, "the stream is not whole\n");
    openai_chat_stream_release(&stream);
}

static void bench_stream(const char *name, const char *delta)
{
    struct buf event BUF_AUTO;
    buf_init(&event, 4000);
    buf_printf(
        &event,
        "{\"id\":\"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\"object\":\"chat.completion.chunk\","
        "\"created\":1741569952,\"model\":\"gpt-5-mini-2026-01-01\",\"service_tier\":\"default\","
        "\"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[{\"index\":0,\"delta\":%s,"
        "\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}",
        delta);
    struct stream_work work = {.event = buf_str(&event)};
    double ns = measure(watch_stream, &work) / EVENTS;
    printf("event %4zu bytes, %-9s: %4.0f ns\n", event.len, name, ns);
}

/* ---- Streams that are translated ---- */

struct translation {
    struct answer_writer *writer;
    struct answer answer;
    struct buf out;
};

/* What the gateway does with each event: written for the caller, and collected for the record. */
static void translate_event(void *arg, const struct answer_event *event)
{
    struct translation *t = arg;
    answer_take(&t->answer, event);
    dialect_openai.writer_take(t->writer, event, &t->out);
}

static void translate_stream(void *arg)
{
    static const struct str begin[] = {
        STR_INIT("{\"type\":\"message_start\",\"message\":{\"id\":\"msg_01XFDUDYJgAACzvnptvVoYEL\","
                 "\"model\":\"claude-sonnet-4-5\",\"usage\":{\"input_tokens\":9,"
                 "\"output_tokens\":1}}}"),
        STR_INIT("{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
                 "\"text\",\"text\":\"\"}}")};
    struct stream_work *work = arg;
    struct answer_options options = {.max_depth = 128, .max_bytes = 8 << 20};
    struct translation t = {.writer = dialect_openai.writer_new(&options)};
    struct answer_sink sink = {translate_event, &t};
    struct answer_reader *reader = dialect_anthropic.reader_new(&options);
    dialect_answer_init(&t.answer, 8 << 20);
    buf_init(&t.out, 1 << 20);
    for (int i = 0; i < 2; i++)
        dialect_anthropic.reader_feed(reader, STR(""), begin[i], sink);
    for (int i = 0; i < EVENTS; i++) {
        dialect_anthropic.reader_feed(reader, STR("content_block_delta"), work->event, sink);
        buf_reset(&t.out);
    }
    if (t.answer.failed || t.answer.truncated)
        fprintf(stderr, "the stream is not whole\n");
    dialect_anthropic.reader_free(reader);
    dialect_openai.writer_free(t.writer);
    dialect_answer_release(&t.answer);
    buf_release(&t.out);
}

static void watch_anthropic(void *arg)
{
    struct stream_work *work = arg;
    struct chat_stream stream;
    dialect_anthropic.watch->stream_init(&stream, true, 8 << 20, 128);
    for (int i = 0; i < EVENTS; i++)
        dialect_anthropic.watch->stream_feed(&stream, STR_NONE, work->event);
    dialect_anthropic.watch->stream_release(&stream);
}

static void bench_translation(void)
{
    struct stream_work work = {
        .event = STR("{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
                     "\"text_delta\",\"text\":\" gateway\"}}")};
    printf("event %4zu bytes of Anthropic's: watched %4.0f ns, translated to OpenAI's and "
           "collected %4.0f ns\n",
           work.event.len, measure(watch_anthropic, &work) / EVENTS,
           measure(translate_stream, &work) / EVENTS);
}

/* With an argument only "body" or "event". */
int main(int argc, char **argv)
{
    struct str only = str_from_c(argc > 1 ? argv[1] : NULL);
    static const struct script scripts[] = {SCRIPT(english), SCRIPT(chinese), SCRIPT(russian)};
    static const size_t sizes[] = {1000, 300000};
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        for (size_t k = 0; k < 2 && !str_eq(only, STR("event")); k++)
            bench_body(sizes[k], &scripts[i]);
    if (str_eq(only, STR("body")))
        return 0;
    bench_stream("content", "{\"content\":\" gateway\"}");
    bench_stream("reasoning", "{\"reasoning_content\":\" so the log\",\"content\":null}");
    bench_stream(
        "tool call",
        "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"city\\\":\"}}]}");
    bench_translation();
    return 0;
}
