#include "dialect/dialect.h"

#include "dialect/anthropic_int.h"
#include "dialect/anthropic_messages.h"
#include "dialect/openai_int.h"

/* ---- OpenAI ---- */

static void openai_error(struct buf *out, int status, const struct openai_problem *problem)
{
    (void)status;
    openai_problem_write(out, problem);
}

static void openai_error_event(struct buf *out, int status, uint64_t events,
                               const struct openai_problem *problem)
{
    (void)status;
    (void)events;
    openai_error_event_write(out, problem);
}

static void anthropic_error_event(struct buf *out, int status, uint64_t events,
                                  const struct openai_problem *problem)
{
    (void)events;
    anthropic_error_event_write(out, status, problem);
}

static const struct dialect_watch openai_watch = {
    .read_request = openai_chat_read_request,
    .rewrite = openai_chat_rewrite,
    .read_answer = openai_chat_read_answer,
    .stream_init = openai_chat_stream_init,
    .stream_reset = openai_chat_stream_reset,
    .stream_release = openai_chat_stream_release,
    .stream_feed = openai_chat_stream_feed,
    .stream_complete = openai_chat_stream_complete,
    .stream_answer = openai_chat_stream_answer,
};

const struct dialect dialect_openai = {
    .name = STR_INIT("openai"),
    .endpoint = STR_INIT("/chat/completions"),
    .watch = &openai_watch,
    .read_ask = openai_ask_read,
    .write_ask = openai_ask_write,
    .reader_new = openai_reader_new,
    .reader_free = openai_reader_free,
    .reader_feed = openai_reader_feed,
    .reader_end = openai_reader_end,
    .read_answer = openai_answer_read,
    .writer_new = openai_writer_new,
    .writer_free = openai_writer_free,
    .writer_take = openai_writer_take,
    .write_answer = openai_answer_write,
    .read_error = openai_error_read,
    .write_error = openai_error,
    .write_error_event = openai_error_event,
};

/* ---- Anthropic ---- */

static const struct dialect_watch anthropic_watch = {
    .read_request = anthropic_read_request,
    .rewrite = openai_chat_rewrite,
    .read_answer = anthropic_read_answer,
    .stream_init = anthropic_stream_init,
    .stream_reset = anthropic_stream_reset,
    .stream_release = anthropic_stream_release,
    .stream_feed = anthropic_stream_feed,
    .stream_complete = anthropic_stream_complete,
    .stream_answer = anthropic_stream_answer,
};

const struct dialect dialect_anthropic = {
    .name = STR_INIT("anthropic"),
    .endpoint = STR_INIT("/messages"),
    .watch = &anthropic_watch,
    .read_ask = anthropic_ask_read,
    .write_ask = anthropic_ask_write,
    .reader_new = anthropic_reader_new,
    .reader_free = anthropic_reader_free,
    .reader_feed = anthropic_reader_feed,
    .reader_end = anthropic_reader_end,
    .read_answer = anthropic_answer_read,
    .writer_new = anthropic_writer_new,
    .writer_free = anthropic_writer_free,
    .writer_take = anthropic_writer_take,
    .write_answer = anthropic_answer_write,
    .read_error = openai_error_read,
    .write_error = anthropic_error_write,
    .write_error_event = anthropic_error_event,
};

/* ---- The table ---- */

const struct dialect *const dialect_table[] = {&dialect_openai, &dialect_anthropic, &dialect_gemini,
                                               &dialect_responses, NULL};

const struct dialect *dialect_find(struct str name)
{
    for (const struct dialect *const *d = dialect_table; *d; d++)
        if (str_eq((*d)->name, name))
            return *d;
    return NULL;
}
