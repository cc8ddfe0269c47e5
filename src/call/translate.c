/* An answer in another language than the client's, translated as it comes.
 *
 *   target's events ─ reader ─> answer events ─┬─> writer ─> c->held ─> client   (a stream)
 *   target's body ─ read_answer ───────────────┤
 *                                              └─> answer ─ write_answer ─> c->answer, c->response
 *
 * 1. Which form the client gets is what it asked for, whichever form the target chose.
 * 2. Until the first content nothing is written but what the client may see from any target: an
 *    error before it is kept from the writer, so that another target may be tried. */
#include "base/assert.h"
#include "call/call_int.h"

static void take(void *arg, const struct answer_event *event)
{
    struct call *c = arg;
    struct call_translation *t = &c->translation;
    if (c->stream.done || c->stream.failed)
        return;
    answer_take(&t->answer, event);
    if (answer_event_is_content(event))
        call_relay_content(c);
    if (event->kind == ANSWER_ERROR) {
        c->stream.failed = true;
        c->stream.error = *event->problem;
    }
    if (event->kind == ANSWER_END || c->stream.failed)
        call_relay_last(c);
    c->stream.done |= event->kind == ANSWER_END;
    if (t->writer && (c->content || !c->stream.failed))
        c->endpoint->dialect->writer_take(t->writer, event, &c->held);
}

static struct answer_sink sink_of(struct call *c)
{
    return (struct answer_sink){.take = take, .arg = c};
}

/* An id for an answer that has none: the call's own. */
static struct str own_id(struct call *c)
{
    struct buf id BUF_AUTO;
    buf_init(&id, 128);
    buf_append_str(&id, c->endpoint->id_prefix);
    buf_append_str(&id, str_of(c->id, TRACE_ID_HEX));
    return arena_str(c->x->arena, buf_str(&id));
}

void call_translate_begin(struct call *c, bool events)
{
    struct call_translation *t = &c->translation;
    ASSERT(!t->begun);
    t->begun = true;
    t->from = c->spoken;
    t->options = (struct answer_options){
        .plan = c->plan,
        .max_depth = (unsigned)c->settings->shared->config->limits.nesting,
        .max_bytes = CALL_KEPT_BYTES_MAX,
        .id = own_id(c),
        .model = c->outgoing.upstream_model,
        .created_s = c->wall_us / 1000000,
        .call = str_of(c->id, TRACE_ID_HEX),
        .body = c->x->body,
        .include_usage = c->ask->include_usage,
    };
    dialect_answer_init(&t->answer, CALL_KEPT_BYTES_MAX);
    t->reader = events ? t->from->reader_new(&t->options) : NULL;
    t->writer = c->request.stream ? c->endpoint->dialect->writer_new(&t->options) : NULL;
    c->stream = (struct chat_stream){0};
    c->streaming = c->request.stream;
}

void call_translate_event(struct call *c, const struct sse_event *event)
{
    if (event->has_data)
        c->translation.from->reader_feed(c->translation.reader, event->type, event->data,
                                         sink_of(c));
}

void call_translate_stream_end(struct call *c)
{
    c->translation.from->reader_end(c->translation.reader, sink_of(c));
    if (!c->streaming && c->translation.answer.whole) {
        buf_reset(&c->answer);
        call_translate_write(c, &c->answer);
    }
}

void call_translate_break(struct call *c, int status)
{
    struct answer_event event = {.kind = ANSWER_ERROR, .problem = &c->problem};
    if (c->translation.writer)
        c->endpoint->dialect->writer_take(c->translation.writer, &event, &c->held);
    else
        c->endpoint->dialect->write_error_event(&c->held, status, c->stream.events, &c->problem);
}

bool call_translate_whole(struct call *c)
{
    struct call_translation *t = &c->translation;
    enum err e = t->from->read_answer(buf_str(&c->answer), &t->options, sink_of(c));
    if (e != ERR_OK && !c->stream.failed)
        return false;
    buf_reset(&c->answer);
    if (!c->streaming)
        call_translate_write(c, &c->answer);
    return true;
}

void call_translate_write(const struct call *c, struct buf *out)
{
    const struct call_translation *t = &c->translation;
    if (t->answer.started)
        c->endpoint->dialect->write_answer(&t->answer, &t->options, out);
}

void call_translate_reset(struct call *c)
{
    struct call_translation *t = &c->translation;
    if (!t->begun)
        return;
    t->from->reader_free(t->reader);
    c->endpoint->dialect->writer_free(t->writer);
    dialect_answer_release(&t->answer);
    *t = (struct call_translation){0};
}
