/* The end of a call, whatever it is: limits settled, the record appended, and, when the log has it,
 * the rest of the answer released.
 *
 *   call_finish ─> [blobs, on a worker] ─> record ─> log_append ─> (log thread or log_commit) ─>
 * recorded */
#include <stdio.h>

#include "base/assert.h"
#include "call/away.h"
#include "call/blob.h"
#include "call/call_int.h"
#include "net/work.h"

/* ---- What the client is told ---- */

static void answer_json(struct call *c, int status, const struct openai_problem *problem)
{
    struct arena *a = c->x->arena;
    struct http_header *head = ARENA_ARRAY(a, struct http_header, c->head_count + 5);
    size_t n = 0;
    /* Of a target's own head, what does not describe the body that is replaced. */
    for (size_t i = 0; i < c->head_count; i++)
        if (!str_starts_nocase(c->head[i].name, STR("content-")) &&
            !str_starts_nocase(c->head[i].name, STR("x-weir-")))
            head[n++] = c->head[i];
    head[n++] = HTTP_HEADER("content-type", STR("application/json"));
    head[n++] = HTTP_HEADER("x-weir-call-id", str_of(c->id, TRACE_ID_HEX));
    if (c->attempt_count)
        head[n++] = HTTP_HEADER("x-weir-target", call_attempt_now(c)->target->name);
    c->head = head;
    c->head_count = n;
    buf_reset(&c->answer);
    c->answer_bytes = 0; /* nothing of the target's is left in it */
    c->endpoint->dialect->write_error(&c->answer, status, problem);
}

static void add_retry_after(struct call *c)
{
    char digits[24];
    struct http_headers have = {c->head, c->head_count};
    if (c->retry_after_ms < 0 || http_headers_get(&have, STR("retry-after")).ptr)
        return;
    int n = snprintf(digits, sizeof digits, "%lld", (long long)(c->retry_after_ms + 999) / 1000);
    struct http_header *head = ARENA_ARRAY(c->x->arena, struct http_header, c->head_count + 1);
    memcpy(head, c->head, c->head_count * sizeof *head);
    head[c->head_count++] =
        HTTP_HEADER("retry-after", arena_str(c->x->arena, str_of(digits, (size_t)n)));
    c->head = head;
}

void call_finish_problem(struct call *c, enum call_outcome outcome, int status)
{
    answer_json(c, status, &c->problem);
    add_retry_after(c);
    call_finish(c, outcome, status);
}

static void blot_out_secrets(struct call *c)
{
    struct str secrets[2];
    size_t count = call_secrets(c, secrets);
    if (!redact_needed(buf_str(&c->answer), secrets, count))
        return;
    struct buf clean;
    buf_init(&clean, CALL_KEPT_BYTES_MAX);
    redact_append(&clean, buf_str(&c->answer), secrets, count);
    buf_release(&c->answer);
    c->answer = clean;
}

/* A target's error goes on as it came, if a client of the API can read it. */
static void pass_error_on(struct call *c)
{
    struct json_value value;
    unsigned nesting = (unsigned)c->settings->shared->config->limits.nesting;
    if (call_is_translated(c) || json_validate(buf_str(&c->answer), nesting, &value) != ERR_OK ||
        value.kind != JSON_OBJECT)
        answer_json(c, c->status, &c->problem);
    blot_out_secrets(c);
    add_retry_after(c);
}

/* The client has its 200 already: the error goes into the stream. */
static void fail_under_200(struct call *c)
{
    buf_reset(&c->held);
    c->endpoint->dialect->write_error_event(&c->held, c->status, 0, &c->problem);
    c->status = 200;
}

/* ---- Usage ---- */

static int64_t tokens_of(uint64_t bytes)
{
    return (int64_t)((bytes + 3) / 4);
}

/* A stream that broke after its target had told its usage, and said more: Anthropic's first event
 * tells the input, and one token of output. */
static void add_untold(struct call *c, uint64_t bytes)
{
    c->usage.output += tokens_of(bytes);
    c->usage.source = USAGE_COUNTED;
}

static void take_usage(struct call *c, bool answered)
{
    uint64_t output_bytes = 0;
    uint64_t told_bytes = 0; /* of them, when the target told its usage last */
    if (!c->endpoint->uses_tokens || call_cache_usage(c))
        return;
    if (c->translation.begun) {
        c->usage = c->translation.answer.usage;
        c->usage_raw = buf_str(&c->translation.answer.usage_raw);
        output_bytes = c->translation.answer.output_bytes;
        told_bytes = c->translation.answer.usage_at_bytes;
    } else if (c->streaming) {
        c->usage = c->stream.usage;
        c->usage_raw = c->stream.usage_raw;
        output_bytes = c->stream.output_bytes;
        told_bytes = c->stream.usage_at_bytes;
    } else if (c->answer_read) {
        c->usage = c->read.usage;
        c->usage_raw = c->read.usage_raw.raw;
        output_bytes = c->read.output_bytes;
    } else if (c->endpoint->generates) {
        /* no end, or no JSON: all of it, roughly */
        output_bytes = c->answer_bytes ? c->answer.len : c->lost_bytes;
    }
    /* Where the target said nothing: what it was sent, and what came back. */
    if (c->usage.source == USAGE_NONE && answered) {
        c->usage.source = USAGE_COUNTED;
        c->usage.input = c->request.prompt_tokens;
        c->usage.output = c->endpoint->generates ? tokens_of(output_bytes) : 0;
    } else if (c->usage.source == USAGE_PROVIDER && !c->whole && output_bytes > told_bytes &&
               c->streaming) {
        add_untold(c, output_bytes - told_bytes);
    }
}

/* Did a target begin to work on it: it answered, or was left while it worked. */
static bool target_worked(const struct call *c)
{
    if (!c->attempt_count)
        return false;
    const struct call_attempt *a = call_attempt_now(c);
    if (c->content)
        return true;
    return c->outcome == CALL_CANCELLED && !a->error && a->timing.bytes_out > 0 && a->status < 300;
}

static void settle(struct call *c)
{
    take_usage(c, target_worked(c));
    bool paid = c->usage.source != USAGE_NONE && !call_cache_served(c);
    limiter_settle(&c->reservation, paid ? c->usage.input + c->usage.output : 0);
    if (!paid)
        return;
    counter_add(&c->gl->counters.tokens_input, (uint64_t)c->usage.input);
    counter_add(&c->gl->counters.tokens_output, (uint64_t)c->usage.output);
}

/* ---- Recording ---- */

static void unrecorded(struct call *c)
{
    counter_add(&c->gl->counters.unrecorded, 1);
    bool serve = c->settings->shared->config->log.on_full == CONFIG_ON_FULL_SERVE;
    if (serve || c->outcome != CALL_OK) {
        call_relay_release(c);
        return;
    }
    /* The answer cannot be kept, so it is not given: the client must not believe that it was
     * recorded. */
    if (c->head_sent) {
        http_abort(c->x);
        return;
    }
    openai_problem_set(&c->problem, "api_error", NULL, "log_failed",
                       "the call's record could not be written: %s", err_text(c->append.error));
    c->status = err_http_status(c->append.error);
    answer_json(c, c->status, &c->problem);
    http_respond_with(c->x, c->status, c->head, c->head_count, buf_str(&c->answer));
}

static struct call *call_of(struct log_append *append)
{
    return (struct call *)((char *)append - offsetof(struct call, append));
}

static void release_all(struct log_append *first)
{
    while (first) {
        struct log_append *next = first->next;
        struct call *c = call_of(first);
        if (first->error != ERR_OK)
            unrecorded(c);
        else
            call_relay_release(c);
        first = next;
    }
}

static void on_posted(void *arg)
{
    release_all(arg);
}

/* On this loop's thread inside log_commit, or on one of the log's. */
static void on_appended(struct log_append *first)
{
    struct gateway_loop *gl = first->owner;
    if (loop_self() == gl->loop) {
        release_all(first);
        return;
    }
    struct call *c = call_of(first);
    loop_task_init(&c->recorded, on_posted, first);
    loop_post(gl->loop, &c->recorded);
}

/* The id that a provider's own Responses API gave; ours name their calls themselves. */
static struct str response_id(const struct call *c)
{
    struct json_value id;
    struct str body = c->streaming ? buf_str(&c->response) : buf_str(&c->answer);
    if (c->endpoint->id != CALL_RESPONSES || call_is_translated(c) || c->outcome != CALL_OK ||
        !json_find(body, "id", &id) || id.escape_bytes)
        return STR_NONE;
    return json_text_raw(&id);
}

/* To the log, or to the process that has it now. */
static enum err append_somewhere(struct call *c, const struct log_record *record)
{
    struct gateway *g = c->gl->gateway;
    enum err err = log_append(g->calls, record, &c->append);
    struct away *away = err == ERR_CLOSED ? atomic_load(&g->away) : NULL;
    return away ? away_append(away, record, &c->append) : err;
}

static void append_record(struct call *c)
{
    struct gateway_loop *gl = c->gl;
    char tokens[24];
    char status[8];
    struct call_record text;
    buf_reset(&gl->record);
    call_record_write(c, &gl->record, &text);
    call_meter(c, text.picos);
    int status_len = snprintf(status, sizeof status, "%d", c->status);
    int64_t used = c->usage.input + c->usage.output;
    int tokens_len = snprintf(tokens, sizeof tokens, "%lld", (long long)used);
    struct record_header headers[] = {
        {STR("model"), c->request.model.ptr ? c->request.model : STR("")},
        {STR("status"), str_of(status, (size_t)status_len)},
        {STR("tokens"), str_of(tokens, (size_t)tokens_len)},
        {STR("cost"), str_from_c(text.cost)},
        {STR("key"), c->key->name},
        {STR("response"), response_id(c)},
    };
    size_t header_count = sizeof headers / sizeof headers[0];
    struct log_record record = {
        .timestamp_ms = c->wall_us / 1000,
        .key = str_of(c->trace.id, TRACE_ID_HEX),
        .value = text.parts,
        .value_parts = text.part_count,
        .headers = headers,
        .header_count = header_count - !headers[header_count - 1].value.len,
    };
    c->append = (struct log_append){.done = on_appended, .owner = gl, .lazy = true};
    enum err err = gl->record.error != ERR_OK ? gl->record.error : append_somewhere(c, &record);
    if (err != ERR_OK) {
        c->append.error = err;
        c->append.next = NULL;
        loop_task_init(&c->recorded, on_posted, &c->append);
        loop_defer(gl->loop, &c->recorded);
        return;
    }
    if (!gl->commit_due) {
        gl->commit_due = true;
        loop_defer(gl->loop, &gl->commit);
    }
}

/* ---- Blobs ---- */

struct blobs {
    struct call *call;
    struct str request; /* empty: not a blob */
    struct str response;
    char request_name[BLOB_NAME_BYTES + 1];
    char response_name[BLOB_NAME_BYTES + 1];
    enum err error;
};

static void write_blobs(void *arg)
{
    struct blobs *b = arg;
    struct gateway *g = b->call->gl->gateway;
    if (b->request.len)
        b->error = blob_write(g->log, g->data_dir, b->request, b->request_name);
    if (b->response.len && b->error == ERR_OK)
        b->error = blob_write(g->log, g->data_dir, b->response, b->response_name);
}

static void blobs_written(void *arg)
{
    struct blobs *b = arg;
    struct call *c = b->call;
    if (b->error != ERR_OK) {
        call_meter(c, 0);
        c->append.error = b->error;
        unrecorded(c);
        return;
    }
    c->request_blob = str_from_c(b->request_name);
    c->response_blob = str_from_c(b->response_name);
    append_record(c);
}

static struct str redacted(struct call *c, struct str body)
{
    struct str secrets[2];
    size_t count = call_secrets(c, secrets);
    if (!redact_needed(body, secrets, count))
        return body;
    struct buf clean BUF_AUTO;
    buf_init(&clean, 2 * body.len + 64);
    redact_append(&clean, body, secrets, count);
    return arena_str(c->x->arena, buf_str(&clean));
}

static void record(struct call *c)
{
    struct str response = c->streaming ? buf_str(&c->response) : buf_str(&c->answer);
    if (c->x->body.len <= CALL_HELD_BYTES_MAX && response.len <= CALL_HELD_BYTES_MAX) {
        append_record(c);
        return;
    }
    struct blobs *b = ARENA_NEW(c->x->arena, struct blobs);
    b->call = c;
    if (c->x->body.len > CALL_HELD_BYTES_MAX)
        b->request = redacted(c, c->x->body);
    if (response.len > CALL_HELD_BYTES_MAX)
        b->response = redacted(c, response);
    work_start(c->gl->loop, write_blobs, blobs_written, b);
}

/* ---- The end ---- */

/* The answer came whole, for those who follow: the client that asked had left. */
static void leave_behind(struct call *c)
{
    c->outcome = CALL_CANCELLED;
    c->status = 499;
    openai_problem_set(&c->problem, "api_error", NULL, "client_closed",
                       "the client closed its connection; equal calls got the answer");
}

static void count_outcome(struct call *c)
{
    struct gateway_counters *n = &c->gl->counters;
    switch (c->outcome) {
    case CALL_OK: counter_add(call_cache_served(c) ? &n->calls_cached : &n->calls_ok, 1); break;
    case CALL_ERROR: counter_add(&n->calls_error, 1); break;
    case CALL_CANCELLED: counter_add(&n->calls_cancelled, 1); break;
    case CALL_REFUSED: counter_add(&n->calls_refused, 1); break;
    }
}

void call_finish(struct call *c, enum call_outcome outcome, int status)
{
    ASSERT(c->phase != CALL_FINISHED);
    bool target_answered = c->phase == CALL_COLLECTING && outcome == CALL_ERROR;
    c->phase = CALL_FINISHED;
    c->outcome = outcome;
    loop_timer_stop(&c->deadline_timer);
    loop_timer_stop(&c->retry_timer);
    loop_timer_stop(&c->tail_timer);
    loop_timer_stop(&c->ping_timer);
    call_attempt_end(c);
    c->status = status;
    if (target_answered)
        pass_error_on(c);
    if (c->pinged && !c->content && outcome == CALL_ERROR)
        fail_under_200(c);
    settle(c);
    if (c->watching)
        c->watching->stream_answer(&c->stream, &c->response);
    else if (c->streaming)
        call_translate_write(c, &c->response);
    call_cache_finish(c);
    if (c->gone && outcome == CALL_OK)
        leave_behind(c);
    count_outcome(c);
    record(c);
}
