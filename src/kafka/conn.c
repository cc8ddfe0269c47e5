/* A connection: frames in, answers out in their order.
 *
 *     int32 length | request header, body          no other framing, no magic: a length that cannot
 * be ends the connection
 */
#include "base/assert.h"
#include "base/mem.h"
#include "codec/endian.h"
#include "kafka/kafka_int.h"

enum {
    LENGTH_BYTES = 4,
    KEY_BYTES = 2,
    HEADER_MIN_BYTES = 10,       /* key, version, correlation id, a null client id */
    READ_AHEAD_BYTES = 64 << 10, /* of requests that wait for others; then reading stops */
    RESERVE_BYTES = 1 << 20,     /* for a frame of announced length at once; more as it comes */
    SEND_LOW_BYTES = 64 << 10,   /* output that may wait when the next request is begun */
};

static struct kafka_conn *conn_of(struct stream *s)
{
    return (struct kafka_conn *)s;
}

/* ---- The end ---- */

static void free_if_over(struct kafka_conn *c)
{
    if (!c->closed || c->first || c->advance_queued)
        return;
    struct kafka_half *half = c->half;
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    half->conn_count--;
    kafka_count(&half->connections, (uint64_t)-1);
    if (c->sent)
        kafka_request_free(c->sent);
    mem_free(c);
    kafka_half_conn_gone(half);
}

static void count_output(struct kafka_conn *c)
{
    uint64_t taken = stream_taken(&c->stream);
    kafka_count(&c->half->bytes_out, taken - c->output_counted);
    c->output_counted = taken;
}

static void tell_gone(struct kafka_conn *c)
{
    struct kafka_request *next;
    for (struct kafka_request *r = c->first; r; r = next) {
        next = r->next;
        void (*gone)(struct kafka_request *) = r->gone;
        r->gone = NULL;
        if (gone && !r->answered)
            gone(r);
    }
}

void kafka_conn_close(struct kafka_conn *c)
{
    if (c->stream.closing)
        return;
    loop_timer_stop(&c->timer);
    c->half->held_bytes -= c->in.len;
    buf_release(&c->in);
    count_output(c);
    stream_close(&c->stream);
    tell_gone(c);
    kafka_conn_advance_later(c);
}

void kafka_conn_break(struct kafka_conn *c, const char *reason)
{
    if (c->stream.closing)
        return;
    const struct kafka_options *o = &c->half->server->options;
    kafka_count(&c->half->closed_for_cause, 1);
    if (o->report) {
        BUF_AUTO struct buf text = {.max = 1024};
        buf_printf(&text, "event=kafka_closed peer=%s reason=\"%s\"", c->peer, reason);
        o->report(o->arg, true, buf_str(&text));
    }
    kafka_conn_close(c);
}

void kafka_conn_end(struct kafka_conn *c)
{
    c->ending = true;
    kafka_conn_advance_later(c);
}

/* ---- Frames ---- */

struct frame {
    size_t length; /* with the 4 bytes that say it */
    int16_t key;
};

static size_t frame_max(const struct kafka_conn *c, int16_t key)
{
    if (c->must_authenticate && !c->principal.known)
        return KAFKA_STRANGER_FRAME_MAX_BYTES;
    return key == KAFKA_KEY_PRODUCE ? KAFKA_FRAME_MAX_BYTES : KAFKA_OTHER_FRAME_MAX_BYTES;
}

/* ERR_TRUNCATED: more is to come. ERR_CORRUPT, ERR_TOO_LARGE: never will it be one. */
MUST_CHECK static enum err frame_peek(struct kafka_conn *c, struct frame *ret_frame)
{
    if (c->in.len < LENGTH_BYTES + KEY_BYTES)
        return ERR_TRUNCATED;
    uint32_t length = be32_get(c->in.ptr);
    struct frame f = {LENGTH_BYTES + (size_t)length, (int16_t)be16_get(c->in.ptr + LENGTH_BYTES)};
    if (length < HEADER_MIN_BYTES || length > INT32_MAX)
        return ERR_CORRUPT;
    if (length > frame_max(c, f.key))
        return ERR_TOO_LARGE;
    if (c->in.len < f.length) {
        size_t ahead = f.length < RESERVE_BYTES ? f.length : RESERVE_BYTES;
        if (c->in.cap < ahead)
            (void)buf_reserve(&c->in, ahead - c->in.len);
        return ERR_TRUNCATED;
    }
    *ret_frame = f;
    return ERR_OK;
}

static void in_init(struct buf *in)
{
    buf_init(in, (size_t)KAFKA_FRAME_MAX_BYTES + LENGTH_BYTES + LOOP_READ_BYTES);
}

/* The frame's memory is what it was read into; what came behind it moves on. */
static struct buf frame_take(struct kafka_conn *c, size_t length)
{
    struct buf frame = c->in;
    in_init(&c->in);
    buf_append(&c->in, frame.ptr + length, frame.len - length);
    frame.len = length;
    return frame;
}

/* May a request with this key be begun now? */
static bool may_begin(const struct kafka_conn *c, int16_t key)
{
    if (c->sent || stream_pending(&c->stream) > SEND_LOW_BYTES)
        return false;
    if (!c->first)
        return true;
    return key == KAFKA_KEY_PRODUCE && c->first->header.key == KAFKA_KEY_PRODUCE &&
           c->request_count < KAFKA_PIPELINE_MAX;
}

/* True: one was begun. */
static bool begin_next(struct kafka_conn *c)
{
    struct frame f;
    BUF_AUTO struct buf reason = {.max = 256};
    enum err e = frame_peek(c, &f);
    if (e == ERR_TRUNCATED)
        return false;
    if (e != ERR_OK) {
        kafka_conn_break(c, e == ERR_TOO_LARGE ? "a request is larger than its limit"
                                               : "this is no Kafka request");
        return false;
    }
    if (!may_begin(c, f.key))
        return false;
    struct buf frame = frame_take(c, f.length);
    if (kafka_request_begin(c, &frame, &reason) != ERR_OK) {
        kafka_conn_break(c, buf_cstr(&reason));
        return false;
    }
    return true;
}

/* ---- Answers ---- */

static void send_response(struct kafka_conn *c, struct kafka_request *r)
{
    size_t at = 0;
    for (uint32_t i = 0; i < r->piece_count; i++) {
        const struct kafka_piece *p = &r->pieces[i];
        stream_write(&c->stream, r->out.ptr + at, p->at - at);
        stream_write_file(&c->stream, p->range.file, p->range.position, p->range.length);
        at = p->at;
    }
    stream_write(&c->stream, r->out.ptr + at, r->out.len - at);
}

static void finish_first(struct kafka_conn *c)
{
    struct kafka_request *r = c->first;
    c->first = r->next;
    if (!c->first)
        c->last = &c->first;
    c->request_count--;
    if (!r->silent && !c->stream.closing && !c->stream.broken)
        send_response(c, r);
    if (r->piece_count > 0 && stream_pending(&c->stream) > 0 && !c->stream.closing)
        c->sent = r;
    else
        kafka_request_free(r);
}

static void finish_answered(struct kafka_conn *c)
{
    while (c->first && c->first->answered && (!c->sent || c->stream.closing))
        finish_first(c);
}

static void control_reading(struct kafka_conn *c)
{
    struct frame f;
    bool waits = c->in.len >= READ_AHEAD_BYTES && frame_peek(c, &f) == ERR_OK;
    if (waits)
        stream_read_stop(&c->stream);
    else if (!c->ending)
        stream_read_start(&c->stream);
}

static void advance(void *arg)
{
    struct kafka_conn *c = arg;
    c->advance_queued = false;
    finish_answered(c);
    while (!c->stream.closing && begin_next(c))
        finish_answered(c);
    if (!c->stream.closing) {
        count_output(c);
        if (c->ending && !c->first && stream_pending(&c->stream) == 0)
            kafka_conn_close(c);
        else
            control_reading(c);
    }
    free_if_over(c);
}

void kafka_conn_advance_later(struct kafka_conn *c)
{
    if (c->advance_queued)
        return;
    c->advance_queued = true;
    loop_defer(c->half->loop, &c->advance);
}

/* ---- The stream's events ---- */

static void on_read(struct stream *s, struct str bytes)
{
    struct kafka_conn *c = conn_of(s);
    kafka_count(&c->half->bytes_in, bytes.len);
    c->half->held_bytes += bytes.len;
    buf_append_str(&c->in, bytes);
    ASSERT(c->in.error == ERR_OK);
    if (c->half->held_bytes > KAFKA_HELD_MAX_BYTES) {
        kafka_conn_break(c, "requests of all connections take too much memory");
        return;
    }
    if (!c->advance_queued)
        advance(c);
}

static void on_eof(struct stream *s)
{
    struct kafka_conn *c = conn_of(s);
    tell_gone(c);
    kafka_conn_end(c);
}

static void on_error(struct stream *s, enum err error, struct str detail)
{
    (void)error;
    (void)detail;
    kafka_conn_close(conn_of(s));
}

static void on_flushed(struct stream *s)
{
    struct kafka_conn *c = conn_of(s);
    if (c->sent) {
        kafka_request_free(c->sent);
        c->sent = NULL;
    }
    kafka_conn_advance_later(c);
}

static void on_drain(struct stream *s)
{
    kafka_conn_advance_later(conn_of(s));
}

static void on_closed(struct stream *s)
{
    struct kafka_conn *c = conn_of(s);
    c->closed = true;
    finish_answered(c);
    free_if_over(c);
}

/* Nothing asked for long, or an answer that nobody takes. */
static void on_timer(void *arg)
{
    struct kafka_conn *c = arg;
    uint64_t taken = stream_taken(&c->stream);
    if (stream_pending(&c->stream) > 0 && taken == c->write_mark) {
        kafka_conn_break(c, "the client does not take its answer");
        return;
    }
    bool busy = c->first || stream_pending(&c->stream) > 0;
    if (!busy && c->write_mark == taken &&
        c->idle_since_us + KAFKA_IDLE_MS * 1000ULL <= loop_now_us(c->half->loop)) {
        kafka_conn_close(c);
        return;
    }
    c->write_mark = taken;
    loop_timer_start(c->half->loop, &c->timer, KAFKA_BLOCKED_MS);
}

static const struct stream_events events = {
    .on_read = on_read,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_drain = on_drain,
    .on_flushed = on_flushed,
    .on_closed = on_closed,
};

/* ---- Life ---- */

static struct kafka_conn *conn_add(struct kafka_half *half)
{
    struct kafka_conn *c = NEW(struct kafka_conn);
    c->half = half;
    c->last = &c->first;
    in_init(&c->in);
    loop_task_init(&c->advance, advance, c);
    loop_timer_init(&c->timer, on_timer, c);
    c->next = half->conns;
    c->link = &half->conns;
    if (c->next)
        c->next->link = &c->next;
    half->conns = c;
    half->conn_count++;
    kafka_count(&half->connections, 1);
    kafka_count(&half->connections_total, 1);
    return c;
}

struct kafka_conn *kafka_conn_new(struct kafka_half *half)
{
    struct kafka_conn *c = conn_add(half);
    stream_init(&c->stream, half->loop, &events);
    return c;
}

struct kafka_conn *kafka_conn_new_memory(struct kafka_half *half, struct buf *out)
{
    struct kafka_conn *c = conn_add(half);
    stream_init_memory(&c->stream, half->loop, &events, out);
    return c;
}

void kafka_conn_start(struct kafka_conn *c)
{
    c->idle_since_us = loop_now_us(c->half->loop);
    loop_timer_start(c->half->loop, &c->timer, KAFKA_BLOCKED_MS);
    stream_read_start(&c->stream);
}
