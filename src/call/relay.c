/* The answer's way to the client, while the dialect watches.
 *
 *   error status   collected whole; becomes the answer when no attempt is left
 *   one piece      held whole up to CALL_HELD_BYTES_MAX, past that passed on but for its last piece
 *   events         held until the first content, then passed on as they come, but for [DONE]
 *
 * What is held at the end leaves in call_relay_release, when the record is on the log. */
#include "base/assert.h"
#include "call/call_int.h"
#include "call/headers.h"
#include "os/clock.h"

enum { TAIL_MS = 250 /* for the end of a body after its last event */ };

#define EVENT_STREAM "text/event-stream; charset=utf-8"

/* ---- Head ---- */

static void add_header(struct call *c, struct str name, struct str value)
{
    c->head[c->head_count++] = (struct http_header){name, value};
}

static void add_own_headers(struct call *c)
{
    add_header(c, STR("x-weir-call-id"), str_of(c->id, TRACE_ID_HEX));
    add_header(c, STR("x-weir-target"), call_attempt_now(c)->target->name);
    if (call_cache_served(c))
        add_header(c, STR("x-weir-cache"), STR("hit"));
}

static void keep_headers(struct call *c, const struct model_head *head)
{
    struct arena *a = c->x->arena;
    size_t count = head->headers ? head->headers->count : 1;
    c->head = ARENA_ARRAY(a, struct http_header, count + 3);
    c->head_count = 0;
    bool translated = call_is_translated(c);
    if (head->headers) {
        size_t forwardable = http_headers_forwardable(head->headers, c->head);
        for (size_t i = 0; i < forwardable; i++) {
            struct http_header h = c->head[i];
            if (call_header_goes_back(h.name) &&
                !(translated && str_starts_nocase(h.name, STR("content-"))))
                add_header(c, arena_str(a, h.name), arena_str(a, h.value));
        }
    } else if (head->content_type.len && !translated) {
        add_header(c, STR("content-type"), arena_str(a, head->content_type));
    }
    if (translated)
        add_header(c, STR("content-type"),
                   c->request.stream ? STR(EVENT_STREAM) : STR("application/json"));
    add_own_headers(c);
}

static void stream_begin(struct call *c)
{
    const struct config_limits *limits = &c->settings->shared->config->limits;
    sse_parser_init(&c->events, (size_t)limits->event_bytes);
    c->parsing = true;
    if (call_is_translated(c))
        return;
    c->watching = c->spoken->watch;
    c->watching->stream_init(&c->stream, c->body.adds_usage, CALL_KEPT_BYTES_MAX,
                             (unsigned)limits->nesting);
    c->streaming = true;
}

void call_relay_release_watch(struct call *c)
{
    if (c->parsing)
        sse_parser_release(&c->events);
    if (c->watching)
        c->watching->stream_release(&c->stream);
    c->stream = (struct chat_stream){0};
    c->parsing = false;
    c->watching = NULL;
    c->streaming = false;
}

void call_relay_head(struct call *c, const struct model_head *head)
{
    c->first_byte_us = os_now_us();
    keep_headers(c, head);
    if (head->status < 200 || head->status > 299) {
        c->phase = CALL_COLLECTING;
        return;
    }
    c->status = head->status;
    bool events = str_starts_nocase(head->content_type, STR("text/event-stream"));
    c->phase = events ? CALL_STREAMING : CALL_WHOLE;
    if (call_is_translated(c))
        call_translate_begin(c, events);
    if (events)
        stream_begin(c);
}

void call_relay_reset(struct call *c)
{
    c->phase = CALL_WAITING;
    buf_reset(&c->answer);
    buf_reset(&c->held);
    c->answer_bytes = 0;
    c->head_count = 0;
    call_translate_reset(c);
    call_relay_release_watch(c);
}

/* ---- Passing on ---- */

/* A stream that has nothing to say yet tells the client, and what stands between, that it lives.
 * From then on its status is 200, whatever comes: a failure is an error event. */
static void on_ping(void *arg)
{
    struct call *c = arg;
    if (c->content || c->phase == CALL_FINISHED)
        return;
    if (!c->head_sent) {
        struct http_header head[] = {
            HTTP_HEADER("content-type", STR(EVENT_STREAM)),
            HTTP_HEADER("x-weir-call-id", str_of(c->id, TRACE_ID_HEX)),
        };
        c->head_sent = true;
        c->pinged = true;
        c->status = 200;
        http_respond_head(c->x, 200, head, sizeof head / sizeof head[0], HTTP_CHUNKED);
    }
    http_respond_body(c->x, c->endpoint->ping);
    call_ping_start(c);
}

void call_ping_start(struct call *c)
{
    int64_t ping_ms = c->settings->shared->config->limits.ping_ms;
    if (!c->request.stream || ping_ms == 0)
        return;
    loop_timer_init(&c->ping_timer, on_ping, c);
    loop_timer_start(c->gl->loop, &c->ping_timer, (uint64_t)ping_ms);
}

void call_relay_content(struct call *c)
{
    if (c->content)
        return;
    c->content = true;
    c->first_token_us = os_now_us();
    call_attempt_answered(c);
    loop_timer_stop(&c->deadline_timer);
    loop_timer_stop(&c->ping_timer);
}

/* Give the client what is held, and hold the target back while the client is slow. */
static void pass_held(struct call *c)
{
    if (!c->head_sent) {
        c->head_sent = true;
        http_respond_head(c->x, c->status, c->head, c->head_count, HTTP_CHUNKED);
    }
    if (c->held.len)
        http_respond_body(c->x, buf_str(&c->held));
    call_cache_pass(c, buf_str(&c->held));
    buf_reset(&c->held);
    size_t limit = (size_t)c->settings->shared->config->limits.pending_bytes / 2;
    if (c->use && !c->paused && !c->gone && http_pending_bytes(c->x) > limit) {
        c->paused = true;
        model_use_pause(c->use);
    }
}

void call_relay_drain(struct call *c)
{
    if (!c->paused)
        return;
    c->paused = false;
    if (c->use)
        model_use_resume(c->use);
}

/* ---- One piece ---- */

static void keep(struct call *c, struct str bytes)
{
    c->answer_bytes += bytes.len;
    if (bytes.len <= CALL_KEPT_BYTES_MAX - c->answer.len)
        buf_append_str(&c->answer, bytes);
}

static void whole_body(struct call *c, struct str bytes)
{
    if (call_is_translated(c)) {
        keep(c, bytes);
        return;
    }
    call_relay_content(c);
    if (c->pinged || c->answer_bytes + bytes.len <= CALL_HELD_BYTES_MAX) {
        keep(c, bytes);
        return;
    }
    if (!c->head_sent)
        buf_append_str(&c->held, buf_str(&c->answer));
    pass_held(c);
    buf_append_str(&c->held, bytes);
    keep(c, bytes);
}

/* ---- Events ---- */

static void stream_end(struct call *c);

/* The last event came and the body's end did not: the target just does not close it. */
static void on_tail(void *arg)
{
    struct call *c = arg;
    call_attempt_end(c);
    stream_end(c);
}

void call_relay_last(struct call *c)
{
    if (c->phase != CALL_STREAMING)
        return;
    if (c->content && c->streaming)
        pass_held(c);
    loop_timer_init(&c->tail_timer, on_tail, c);
    loop_timer_start(c->gl->loop, &c->tail_timer, TAIL_MS);
}

static void last_event(struct call *c, struct str raw)
{
    call_relay_last(c);
    buf_append_str(&c->held, raw);
}

static void take_event(struct call *c, const struct sse_event *event)
{
    if (call_is_translated(c)) {
        call_translate_event(c, event);
        return;
    }
    if (c->stream.done)
        return;
    if (!event->has_data) {
        buf_append_str(&c->held, event->raw);
        return;
    }
    struct chat_event seen = c->watching->stream_feed(&c->stream, event->type, event->data);
    if (seen.content || c->held.len > CALL_PRELUDE_BYTES_MAX)
        call_relay_content(c);
    switch (seen.action) {
    case CHAT_EVENT_FORWARD: buf_append_str(&c->held, event->raw); break;
    case CHAT_EVENT_HIDE: break;
    case CHAT_EVENT_DONE: last_event(c, event->raw); break;
    }
}

/* The answer breaks off after its beginning: say so inside the stream, or, where none of it has
 * gone to the client yet, instead. status: what it would have been. */
static void break_off(struct call *c, int status)
{
    if (!c->streaming) {
        call_finish_problem(c, CALL_ERROR, status);
        return;
    }
    call_translate_break(c, status);
    call_finish(c, CALL_ERROR, c->status);
}

static void event_too_large(struct call *c)
{
    long long limit = (long long)c->settings->shared->config->limits.event_bytes;
    call_attempt_now(c)->error = "event_too_large";
    openai_problem_set(&c->problem, "api_error", NULL, "upstream_event_too_large",
                       "an event of the upstream's stream is larger than limits.event (%lld bytes)",
                       limit);
    if (c->content) {
        break_off(c, 502);
        return;
    }
    *call_attempt_why(c) = c->problem;
    call_attempt_failed(c, ERR_PROTOCOL, "event_too_large");
}

static void stream_body(struct call *c, struct str bytes)
{
    struct sse_event event;
    struct str in = bytes;
    enum sse_result result;
    while ((result = sse_parser_next(&c->events, &in, &event)) == SSE_EVENT)
        take_event(c, &event);
    if (result == SSE_TOO_LARGE) {
        event_too_large(c);
        return;
    }
    if (c->content && c->streaming && !c->stream.done)
        pass_held(c);
}

void call_relay_body(struct call *c, struct str bytes)
{
    switch (c->phase) {
    case CALL_COLLECTING: keep(c, bytes); break;
    case CALL_WHOLE: whole_body(c, bytes); break;
    case CALL_STREAMING: stream_body(c, bytes); break;
    case CALL_WAITING:
    case CALL_FINISHED: break;
    }
}

/* ---- End ---- */

static void collected_end(struct call *c)
{
    struct call_attempt *a = call_attempt_now(c);
    c->spoken->read_error(buf_str(&c->answer), a->status, call_attempt_why(c));
    if (a->retry_after_ms < 0 && c->spoken->retry_after_ms)
        a->retry_after_ms = c->spoken->retry_after_ms(buf_str(&c->answer));
    call_attempt_failed(c, ERR_OK, "status");
}

/* All of it is here, and nobody can read it: cut by a wrong length, or no JSON at all. */
static bool is_unreadable(const struct call *c)
{
    return !c->answer_read && !c->head_sent && c->answer.len == c->answer_bytes;
}

/* The client gets the bytes, and the record says what they are. */
static void unreadable_end(struct call *c)
{
    struct call_attempt *a = call_attempt_now(c);
    openai_problem_set(&c->problem, "api_error", NULL, "upstream_not_json",
                       "'%.*s' answered %d with a body that is no JSON; call %s",
                       STR_ARG(a->target->name), c->status, c->id);
    *call_attempt_why(c) = c->problem;
    a->error = "not_json";
    call_finish(c, CALL_ERROR, c->status);
}

/* A translated answer is known to be one when it is whole. */
static void whole_end_translated(struct call *c)
{
    struct call_attempt *a = call_attempt_now(c);
    bool empty = c->answer_bytes == 0, cut = c->answer.len < c->answer_bytes;
    bool answer = !empty && !cut && call_translate_whole(c);
    if (answer && !c->stream.failed) {
        c->whole = true;
        call_finish(c, CALL_OK, c->status);
        return;
    }
    *call_attempt_why(c) = c->stream.error;
    if (!c->stream.failed)
        openai_problem_set(call_attempt_why(c), openai_error_type(ERR_PROTOCOL), NULL,
                           openai_error_code(ERR_PROTOCOL), "the answer is %s",
                           empty ? "empty"
                           : cut ? "too large to be translated"
                                 : "not one of its API");
    const char *error = c->stream.failed ? "error_body" : empty ? "empty" : "protocol";
    if (!c->content) {
        call_attempt_failed(c, empty ? ERR_RESET : ERR_PROTOCOL, error);
        return;
    }
    a->error = error;
    c->problem = *call_attempt_why(c);
    break_off(c, 502);
}

/* An empty body is no answer; an error under a good status is one all the same. */
static void whole_end(struct call *c)
{
    unsigned nesting = (unsigned)c->settings->shared->config->limits.nesting;
    if (call_is_translated(c)) {
        whole_end_translated(c);
        return;
    }
    if (!c->content) {
        call_attempt_failed(c, ERR_RESET, "empty");
        return;
    }
    c->answer_read =
        c->spoken->watch->read_answer(buf_str(&c->answer), nesting, &c->read) == ERR_OK;
    if (is_unreadable(c)) {
        unreadable_end(c);
        return;
    }
    c->whole = true;
    if (c->answer_read && c->read.has_error) {
        c->spoken->read_error(buf_str(&c->answer), c->status, &c->problem);
        *call_attempt_why(c) = c->problem;
        call_attempt_now(c)->error = "error_body";
        call_finish(c, CALL_ERROR, c->status);
        return;
    }
    call_finish(c, CALL_OK, c->status);
}

/* An event that the body's end cut off: the standard drops it, but a sender that forgot its last
 * empty line meant it. */
static void finish_events(struct call *c)
{
    struct sse_event event;
    struct str rest = sse_parser_finish(&c->events);
    if (rest.len == 0)
        return;
    struct buf ended BUF_AUTO;
    buf_init(&ended, rest.len + 2);
    buf_append_str(&ended, rest);
    buf_append_str(&ended, STR("\n\n"));
    sse_parser_release(&c->events);
    sse_parser_init(&c->events, ended.len);
    struct str in = buf_str(&ended);
    while (sse_parser_next(&c->events, &in, &event) == SSE_EVENT)
        take_event(c, &event);
}

static bool stream_is_complete(struct call *c)
{
    if (!call_is_translated(c))
        return c->watching->stream_complete(&c->stream);
    call_translate_stream_end(c);
    return c->content && c->translation.answer.whole;
}

static void stream_end(struct call *c)
{
    finish_events(c);
    if (stream_is_complete(c)) {
        c->whole = true;
        call_finish(c, CALL_OK, c->status);
        return;
    }
    struct call_attempt *a = call_attempt_now(c);
    if (c->stream.failed) {
        *call_attempt_why(c) = c->stream.error;
        c->problem = c->stream.error;
    } else {
        openai_problem_set(&c->problem, "api_error", NULL, "upstream_stream_cut",
                           "'%.*s' ended its stream before the answer was complete; call %s",
                           STR_ARG(a->target->name), c->id);
        *call_attempt_why(c) = c->problem;
    }
    if (!c->content) {
        call_attempt_failed(c, ERR_RESET, c->stream.failed ? "error_event" : "reset");
        return;
    }
    a->error = c->stream.failed ? "error_event" : "truncated";
    if (c->stream.failed && c->streaming)
        call_finish(c, CALL_ERROR, c->status); /* the client reads the target's own event */
    else
        break_off(c, 502);
}

void call_relay_end(struct call *c)
{
    loop_timer_stop(&c->tail_timer);
    switch (c->phase) {
    case CALL_COLLECTING: collected_end(c); break;
    case CALL_WHOLE: whole_end(c); break;
    case CALL_STREAMING: stream_end(c); break;
    case CALL_WAITING:
    case CALL_FINISHED: ASSERT(c->phase == CALL_STREAMING); break; /* an end has a head before it */
    }
}

/* ---- Failure ---- */

static const char *failure_name(enum err error, enum model_phase phase)
{
    switch (error) {
    case ERR_TIMEOUT: return phase == MODEL_PHASE_CONNECT ? "connect_timeout" : "timeout";
    case ERR_DNS: return "dns";
    case ERR_TLS: return "tls";
    case ERR_CONNECT: return "connect";
    case ERR_PROTOCOL: return "protocol";
    case ERR_TRUNCATED: return "truncated";
    case ERR_RESET: return "reset";
    default: return err_name(error);
    }
}

/* What an upstream did wrong, never what a client did: an answer that ends early is a lost
 * connection, one that is too large is against the protocol. */
static enum err kind_of(enum err error)
{
    switch (error) {
    case ERR_TRUNCATED: return ERR_RESET;
    case ERR_TOO_LARGE:
    case ERR_INVALID: return ERR_PROTOCOL;
    default: return error;
    }
}

void call_relay_fail(struct call *c, enum err error, enum model_phase phase, struct str detail)
{
    enum err kind = kind_of(error);
    struct call_attempt *a = call_attempt_now(c);
    loop_timer_stop(&c->tail_timer);
    if (c->phase == CALL_STREAMING &&
        (c->stream.done || (c->stream.failed && call_is_translated(c)))) {
        stream_end(c);
        return;
    }
    openai_problem_set(call_attempt_why(c), openai_error_type(kind), NULL, openai_error_code(kind),
                       "%.*s", STR_ARG(detail));
    if (!c->content) {
        /* An error's status is known even if its body is not whole. */
        if (c->phase == CALL_COLLECTING)
            collected_end(c);
        else
            call_attempt_failed(c, kind, failure_name(error, phase));
        return;
    }
    a->error = failure_name(error, phase);
    openai_problem_set(&c->problem, openai_error_type(kind), NULL, openai_error_code(kind),
                       "'%.*s' broke off its answer: %s; call %s", STR_ARG(a->target->name),
                       err_text(kind), c->id);
    if (c->phase == CALL_STREAMING)
        break_off(c, call_status_of(kind));
    else if (c->head_sent)
        call_finish(c, CALL_ERROR, c->status); /* cut, see call_relay_release */
    else {
        c->lost_bytes = c->answer_bytes;
        call_finish_problem(c, CALL_ERROR, call_status_of(kind));
    }
}

/* ---- Release ---- */

static void release_stream(struct call *c)
{
    pass_held(c);
    http_respond_end(c->x);
}

/* A stream, or a long answer: what is left of it. */
static bool continues(const struct call *c)
{
    if (c->head_sent)
        return c->streaming || c->pinged || c->outcome == CALL_OK;
    return c->streaming && c->status == 200;
}

/* An answer in one piece under a stream that was begun with comments: one event. */
static void answer_as_event(struct call *c)
{
    if (c->pinged && !c->streaming && c->outcome == CALL_OK)
        sse_write_event(&c->held, STR_NONE, buf_str(&c->answer));
}

void call_relay_release(struct call *c)
{
    call_cache_release(c);
    answer_as_event(c);
    if (!c->gone && continues(c))
        release_stream(c);
    else if (!c->gone && !c->head_sent)
        http_respond_with(c->x, c->status, c->head, c->head_count, buf_str(&c->answer));
    else
        http_abort(c->x); /* nobody is there, or must take a cut answer for whole */
}
