/* What leaves the mock, when, and how broken.
 *
 *   stage:  HEAD ─> BODY (the body, or event after event) ─> END (last chunk) ─> DONE
 *             └───────┴─> BREAK: what was produced leaves, then reset, close or silence
 *
 * mock_answer_pump produces what is due while little waits to be sent, sends it, and sets the timer
 * for the rest; so it may be called whenever something changed. */
#include <stdio.h>
#include <time.h>

#include "cli/mock/mock_int.h"
#include "codec/json_write.h"
#include "os/clock.h"

enum {
    BREAK_AFTER_US = 20000, /* a reset overtakes what was sent, so the reader gets time for that */
    DONE_EVENTS = 1,
};

/* ---- Which answer ---- */

static enum mock_api api_of(struct str path)
{
    if (str_starts(path, STR("/v1/")))
        path = str_skip(path, 3);
    if (str_eq(path, STR("/chat/completions")))
        return MOCK_API_CHAT;
    if (str_eq(path, STR("/completions")))
        return MOCK_API_COMPLETIONS;
    if (str_eq(path, STR("/embeddings")))
        return MOCK_API_EMBEDDINGS;
    if (str_eq(path, STR("/models")))
        return MOCK_API_MODELS;
    if (str_eq(path, STR("/messages")))
        return MOCK_API_MESSAGES;
    if (str_eq(path, STR("/messages/count_tokens")))
        return MOCK_API_COUNT_TOKENS;
    return MOCK_API_OTHER;
}

static void fail(struct mock_answer *answer, int status, struct str message)
{
    answer->status = status;
    answer->events_come = false;
    answer->framing = FRAMING_LENGTH;
    buf_reset(&answer->body);
    answer->dialect->error(status, message, &answer->body);
}

/* The request's own wish stands above --fault: a field, then the model's name. False: it wishes for
 * something that is no fault. */
static bool choose_fault(struct mock_conn *conn, struct mock_ask *ask, struct buf *reason)
{
    struct str field = mock_request_field(&conn->request, STR("x-mock-fault"));
    if (field.len > 0)
        return mock_fault_parse(field, &ask->fault, reason);
    if (str_starts(ask->model, STR("fault-")))
        return mock_fault_parse(str_skip(ask->model, 6), &ask->fault, reason);
    ask->fault = mock_faults_roll(&conn->mock->faults);
    if (ask->fault.kind == FAULT_REFUSE) /* struck, or not, when the connection was accepted */
        ask->fault.kind = FAULT_NONE;
    return true;
}

static void fail_as_asked(struct mock_answer *answer)
{
    const struct mock_fault *fault = &answer->ask.fault;
    struct buf BUF_AUTO message;
    buf_init(&message, 128);
    int status = fault->kind == FAULT_RETRY_AFTER_DATE_429 ? 429 : (int)fault->value;
    buf_printf(&message, "the mock was asked to fail with %d", status);
    fail(answer, status, buf_str(&message));
}

/* Every event into the body: for faults of a length that a chunked stream does not have. */
static void collect_events(struct mock_answer *answer);

/* Faults that put another answer in the place of the right one. */
static void replace_answer(struct mock_answer *answer)
{
    const struct mock_fault *fault = &answer->ask.fault;
    switch (fault->kind) {
    case FAULT_STATUS:
    case FAULT_NO_RETRY_AFTER_429:
    case FAULT_RETRY_AFTER_DATE_429: fail_as_asked(answer); break;
    case FAULT_EMPTY_ERROR:
        fail_as_asked(answer);
        buf_reset(&answer->body);
        break;
    case FAULT_HTML:
        fail_as_asked(answer);
        buf_reset(&answer->body);
        answer->content_type = STR("text/html; charset=utf-8");
        buf_printf(&answer->body,
                   "<!DOCTYPE html>\n<html><head><title>%d</title></head>\n<body><h1>%d Bad "
                   "Gateway</h1><hr>mock</body></html>\n",
                   answer->status, answer->status);
        break;
    case FAULT_EMPTY_OK:
        answer->events = 0;
        buf_reset(&answer->body);
        break;
    case FAULT_GARBAGE:
        if (!answer->events_come) {
            buf_reset(&answer->body);
            buf_append_str(&answer->body, STR("{\"choices\": \xff\xfe\0 this is not JSON"));
        }
        break;
    case FAULT_ERROR_EVENT:
        if (!answer->events_come) {
            fail(answer, 500, STR("the mock was asked to fail inside an answer"));
            answer->status = 200;
        }
        break;
    case FAULT_LENGTH_SHORT:
    case FAULT_LENGTH_LONG:
        if (answer->events_come)
            collect_events(answer);
        break;
    default: break;
    }
}

/* Where the answer breaks off. */
static void set_break(struct mock_answer *answer)
{
    answer->break_event = answer->events / 2;
    answer->break_bytes = answer->body.len / 2;
    switch (answer->ask.fault.kind) {
    case FAULT_RESET_MID_BODY: answer->breaks = BREAK_RESET; break;
    case FAULT_CLOSE_MID_BODY: answer->breaks = BREAK_CLOSE; break;
    case FAULT_STALL: answer->breaks = BREAK_STALL; break;
    case FAULT_RESET_AFTER_HEAD:
        answer->breaks = BREAK_RESET;
        answer->break_event = answer->break_bytes = 0;
        break;
    case FAULT_ROLE_THEN_RESET:
        answer->breaks = BREAK_RESET;
        answer->break_event = answer->dialect->first_content(&answer->ask);
        answer->break_bytes = 0;
        break;
    case FAULT_LENGTH_LONG:
        answer->breaks = BREAK_CLOSE;
        answer->break_event = answer->events;
        answer->break_bytes = answer->body.len;
        break;
    default: break;
    }
}

static void set_times(struct mock_conn *conn)
{
    struct mock_answer *answer = &conn->answer;
    const struct mock_fault *fault = &answer->ask.fault;
    uint64_t now = conn->mock->loop.now_us;
    answer->head_due_us = answer->body_due_us = answer->cut_due_us = answer->break_due_us = 0;
    if (conn->mock->latency_us > 0)
        answer->head_due_us = now + conn->mock->latency_us;
    if (fault->kind == FAULT_SLOW_FIRST_BYTE)
        answer->head_due_us = now + (uint64_t)fault->value * 1000;
    if (fault->kind == FAULT_SLOW_FIRST_EVENT)
        answer->body_due_us = now + (uint64_t)fault->value * 1000;
}

static void set_framing(struct mock_conn *conn)
{
    struct mock_answer *answer = &conn->answer;
    bool http_1_0 = wire_reader_is_http_1_0(&conn->reader);
    answer->close = !wire_reader_keeps(&conn->reader);
    answer->framing = answer->events_come ? FRAMING_CHUNKED : FRAMING_LENGTH;
    if ((http_1_0 && answer->events_come) || answer->ask.fault.kind == FAULT_UNTIL_CLOSE)
        answer->framing = FRAMING_CLOSE;
    if (answer->framing == FRAMING_CLOSE)
        answer->close = true;
    answer->announced = answer->body.len;
    if (answer->ask.fault.kind == FAULT_LENGTH_SHORT)
        answer->announced = answer->body.len / 2;
    if (answer->ask.fault.kind == FAULT_LENGTH_LONG)
        answer->announced = answer->body.len + 16;
}

static void answer_reset(struct mock_answer *answer)
{
    arena_reset(&answer->arena);
    buf_reset(&answer->body);
    answer->stage = STAGE_HEAD;
    answer->breaks = BREAK_NONE;
    answer->status = 200;
    answer->content_type = STR("application/json");
    answer->event = answer->events = answer->lines = answer->cuts = 0;
    answer->events_come = false;
    answer->head_due_us = answer->body_due_us = answer->cut_due_us = answer->break_due_us = 0;
}

/* The right answer to a request that is read. */
static void answer_rightly(struct mock_answer *answer)
{
    if (answer->ask.stream) {
        answer->events_come = true;
        answer->events = answer->dialect->events(&answer->ask);
        answer->content_type = STR("text/event-stream; charset=utf-8");
    } else {
        answer->dialect->body(&answer->ask, &answer->body);
    }
}

void mock_answer_start(struct mock_conn *conn)
{
    struct mock_answer *answer = &conn->answer;
    const struct mock_request *request = &conn->request;
    struct str query = buf_str(&request->target);
    struct buf BUF_AUTO reason;
    const char *problem = NULL;
    enum mock_api api = api_of(str_split(&query, '?'));
    buf_init(&reason, 512);
    answer_reset(answer);
    answer->dialect =
        api == MOCK_API_MESSAGES || api == MOCK_API_COUNT_TOKENS ? &mock_anthropic : &mock_openai;
    if (str_eq(buf_str(&request->method), STR("GET")) != (api == MOCK_API_MODELS))
        api = MOCK_API_OTHER;
    answer->ask = (struct mock_ask){.api = api};
    bool read = mock_ask_read(api, buf_str(&request->body), conn->mock->tokens, &answer->arena,
                              &answer->ask, &problem);
    if (!choose_fault(conn, &answer->ask, &reason))
        fail(answer, 400, buf_str(&reason));
    else if (request->body.error != ERR_OK)
        fail(answer, 413, STR("the body is larger than the mock's 64 MiB"));
    else if (!read)
        fail(answer, 400, str_from_c(problem));
    else if (api == MOCK_API_OTHER)
        fail(answer, 404, STR("the mock has no such path"));
    else
        answer_rightly(answer);
    if (answer->ask.fault.kind != FAULT_NONE)
        conn->mock->stats.faults++;
    replace_answer(answer);
    set_framing(conn);
    set_break(answer);
    set_times(conn);
}

void mock_answer_plain(struct mock_conn *conn, int status, struct str content_type)
{
    struct mock_answer *answer = &conn->answer;
    answer->stage = STAGE_HEAD;
    answer->breaks = BREAK_NONE;
    answer->status = status;
    answer->content_type = content_type;
    answer->events_come = false;
    answer->ask.fault.kind = FAULT_NONE;
    set_framing(conn);
    answer->head_due_us = answer->body_due_us = answer->cut_due_us = answer->break_due_us = 0;
    mock_answer_pump(conn);
}

/* ---- The head ---- */

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 413: return "Content Too Large";
    case 429: return "Too Many Requests";
    case 500: return "Internal Server Error";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    default: return "Mock";
    }
}

static void append_retry_after(const struct mock_fault *fault, struct buf *out)
{
    if (fault->kind == FAULT_RETRY_AFTER_DATE_429) {
        char date[40];
        struct tm parts;
        time_t when = (time_t)(os_wall_us() / 1000000) + fault->value;
        (void)gmtime_r(&when, &parts);
        (void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
        buf_printf(out, "Retry-After: %s\r\n", date);
    } else if (fault->kind == FAULT_STATUS && fault->retry_after_s > 0) {
        buf_printf(out, "Retry-After: %u\r\n", fault->retry_after_s);
    }
}

static void append_head(struct mock_conn *conn)
{
    struct mock_answer *answer = &conn->answer;
    struct buf *out = &conn->out;
    if (answer->ask.fault.kind == FAULT_INFORMATIONAL)
        buf_append_str(out, STR("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: "
                                "</style.css>; rel=preload\r\n\r\n"));
    buf_append_str(out, STR("HTTP/1.1 "));
    buf_append_u64(out, (uint64_t)answer->status);
    buf_append_char(out, ' ');
    buf_append_str(out, str_from_c(reason_of(answer->status)));
    buf_append_str(out, STR("\r\nContent-Type: "));
    buf_append_str(out, answer->content_type);
    buf_append_str(out, STR("\r\nx-request-id: req_mock\r\n"));
    append_retry_after(&answer->ask.fault, out);
    if (answer->status == 429)
        buf_append_str(out, STR("x-ratelimit-remaining-requests: 0\r\n"));
    if (answer->close)
        buf_append_str(out, STR("Connection: close\r\n"));
    if (answer->framing == FRAMING_CHUNKED) {
        buf_append_str(out, STR("Transfer-Encoding: chunked\r\n\r\n"));
    } else if (answer->framing == FRAMING_LENGTH) {
        buf_append_str(out, STR("Content-Length: "));
        buf_append_u64(out, answer->announced);
        buf_append_str(out, STR("\r\n\r\n"));
    } else {
        buf_append_str(out, STR("\r\n"));
    }
}

/* ---- Events ---- */

static struct str line_end_of(const struct mock_answer *answer)
{
    static const struct str ends[] = {STR_INIT("\n"), STR_INIT("\r\n"), STR_INIT("\r")};
    switch (answer->ask.fault.kind) {
    case FAULT_SSE_CRLF: return ends[1];
    case FAULT_SSE_CR: return ends[2];
    /* One for all lines of an event: CR, then an empty line ended by LF would be one CR LF. */
    case FAULT_SSE_MIXED: return ends[answer->lines % 3];
    default: return ends[0];
    }
}

/* Data in lines: JSON may break between a value's end, a comma and the next key. */
static void append_data_lines(struct str data, struct str end, struct buf *out)
{
    size_t from = 0;
    for (size_t i = 1; i + 1 < data.len; i++) {
        char before = data.ptr[i - 1];
        if (data.ptr[i] != ',' || data.ptr[i + 1] != '"' || !(before == '"' || before == '}'))
            continue;
        buf_append_str(out, STR("data: "));
        buf_append(out, data.ptr + from, i - from);
        buf_append_str(out, end);
        from = i;
    }
    buf_append_str(out, STR("data: "));
    buf_append_str(out, str_skip(data, from));
    buf_append_str(out, end);
}

/* Lines around the data that carry nothing, different from event to event. */
static void append_noise(const struct mock_answer *answer, struct str end, struct buf *out)
{
    size_t i = answer->lines;
    if (answer->ask.fault.kind == FAULT_SSE_COMMENTS || i % 4 == 1) {
        buf_append_str(out, STR(": mock keeps this alive"));
        buf_append_str(out, end);
        if (i % 2 == 0)
            buf_append_str(out, end);
    }
    if (answer->ask.fault.kind != FAULT_SSE_MIXED)
        return;
    if (i % 5 == 2) {
        buf_printf(out, "id: %zu", i);
        buf_append_str(out, end);
    }
    if (i % 5 == 3) {
        buf_append_str(out, STR("retry: 3000"));
        buf_append_str(out, end);
    }
}

/* One event around `data`. */
static void write_event(struct mock_answer *answer, struct str type, struct str data, bool last,
                        struct buf *out)
{
    enum mock_fault_kind fault = answer->ask.fault.kind;
    struct str end = line_end_of(answer);
    if (fault == FAULT_SSE_COMMENTS || fault == FAULT_SSE_MIXED)
        append_noise(answer, end, out);
    if (type.len > 0) {
        buf_append_str(out, STR("event: "));
        buf_append_str(out, type);
        buf_append_str(out, end);
    }
    if (fault == FAULT_SSE_MULTILINE) {
        append_data_lines(data, end, out);
    } else {
        buf_append_str(out, fault == FAULT_SSE_MIXED && answer->lines % 2 ? STR("data:")
                                                                          : STR("data: "));
        buf_append_str(out, data);
        if (!last || fault != FAULT_SSE_UNTERMINATED)
            buf_append_str(out, end);
    }
    if (!last || fault != FAULT_SSE_UNTERMINATED)
        buf_append_str(out, end);
    answer->lines++;
}

static void append_middle_fault(struct mock_answer *answer, struct buf *out)
{
    const struct mock_fault *fault = &answer->ask.fault;
    struct buf BUF_AUTO data;
    buf_init(&data, MOCK_ANSWER_BYTES_MAX / 2);
    if (fault->kind == FAULT_HUGE_EVENT) {
        size_t len = (size_t)fault->value << 20;
        if (buf_reserve(&data, len)) {
            memset(data.ptr, 'x', len);
            data.len = len;
        }
        write_event(answer, STR(""), buf_str(&data), false, out);
    } else if (fault->kind == FAULT_GARBAGE) {
        write_event(answer, STR(""), STR("{\"choices\": \xff\xfe\x01 this is not JSON"), false,
                    out);
        buf_append_str(out, STR("\x80\xff no field at all\n\n"));
    } else if (fault->kind == FAULT_ERROR_EVENT) {
        answer->dialect->error(500, STR("the mock was asked to fail inside a stream"), &data);
        write_event(answer, answer->dialect->error_event_type, buf_str(&data), false, out);
        answer->event = answer->events;
    }
}

/* Append the next event, and what a fault puts before it or after the last. */
static void next_event(struct mock_answer *answer, struct buf *out)
{
    size_t i = answer->event++;
    if (i == answer->events / 2)
        append_middle_fault(answer, out);
    if (answer->event > i + 1)
        return;
    buf_reset(&answer->body);
    struct str type = answer->dialect->event(&answer->ask, i, &answer->body);
    bool last = answer->event == answer->events;
    write_event(answer, type, buf_str(&answer->body), last, out);
    if (last && answer->ask.fault.kind == FAULT_AFTER_DONE) {
        buf_reset(&answer->body);
        type = answer->dialect->event(&answer->ask, answer->dialect->first_content(&answer->ask),
                                      &answer->body);
        write_event(answer, type, buf_str(&answer->body), true, out);
    }
}

static void collect_events(struct mock_answer *answer)
{
    struct buf all;
    buf_init(&all, MOCK_ANSWER_BYTES_MAX);
    while (answer->event < answer->events)
        next_event(answer, &all);
    buf_release(&answer->body);
    answer->body = all;
    answer->events_come = false;
}

/* ---- Framing ---- */

static void append_chunk(struct str bytes, struct buf *out)
{
    buf_printf(out, "%zx\r\n", bytes.len);
    buf_append_str(out, bytes);
    buf_append_str(out, STR("\r\n"));
}

static void append_small_chunks(struct str bytes, struct buf *out)
{
    static const size_t lengths[] = {1, 3, 2, 7, 1, 5, 11, 4};
    for (size_t i = 0; bytes.len > 0; i++) {
        append_chunk(str_take(bytes, lengths[i % 8]), out);
        bytes = str_skip(bytes, lengths[i % 8]);
    }
}

/* Write one event in the answer's framing. The length of a chunk stands before it, so its place is
 * kept free and filled in when the event is written: "0000012a\r\n" is as good as "12a\r\n". */
static void append_event(struct mock_conn *conn)
{
    static const char hex[] = "0123456789abcdef";
    struct mock_answer *answer = &conn->answer;
    struct buf *out = &conn->out;
    if (answer->framing != FRAMING_CHUNKED) {
        next_event(answer, out);
        return;
    }
    if (answer->ask.fault.kind == FAULT_CUT_CHUNKS) {
        struct buf BUF_AUTO event;
        buf_init(&event, MOCK_ANSWER_BYTES_MAX);
        next_event(answer, &event);
        append_small_chunks(buf_str(&event), out);
        return;
    }
    size_t at = out->len;
    buf_append_str(out, STR("00000000\r\n"));
    next_event(answer, out);
    size_t len = out->len - at - 10;
    for (size_t i = 0; i < 8; i++)
        out->ptr[at + i] = hex[len >> (28 - 4 * i) & 15];
    buf_append_str(out, STR("\r\n"));
}

static void append_body(struct mock_conn *conn)
{
    struct mock_answer *answer = &conn->answer;
    struct str bytes = buf_str(&answer->body);
    if (answer->breaks != BREAK_NONE)
        bytes = str_take(bytes, answer->break_bytes);
    buf_append_str(&conn->out, bytes);
}

/* ---- The pump ---- */

/* When event i is due: the gap counts from the first event with content, without drift. */
static uint64_t event_due_us(struct mock_conn *conn)
{
    struct mock_answer *answer = &conn->answer;
    size_t first = answer->dialect->first_content(&answer->ask);
    if (conn->mock->gap_us == 0 || answer->event <= first)
        return answer->body_due_us;
    if (answer->body_due_us == 0)
        answer->body_due_us = conn->mock->loop.now_us;
    if (answer->event + DONE_EVENTS >= answer->events)
        return 0; /* the closing mark comes with the event before it */
    return answer->body_due_us + (answer->event - first) * conn->mock->gap_us;
}

/* Produce one piece. Returns when the next one is due: 0 for at once; UINT64_MAX: nothing more by
 * itself. */
static uint64_t produce(struct mock_conn *conn)
{
    struct mock_answer *answer = &conn->answer;
    uint64_t now = conn->mock->loop.now_us;
    switch (answer->stage) {
    case STAGE_HEAD:
        if (answer->head_due_us > now)
            return answer->head_due_us;
        append_head(conn);
        answer->stage = STAGE_BODY;
        return 0;
    case STAGE_BODY:
        if (!answer->events_come) {
            if (answer->body_due_us > now)
                return answer->body_due_us;
            append_body(conn);
            answer->stage = answer->breaks == BREAK_NONE ? STAGE_END : STAGE_BREAK;
            return 0;
        }
        if (answer->breaks != BREAK_NONE && answer->event >= answer->break_event) {
            answer->stage = STAGE_BREAK;
        } else if (answer->event == answer->events) {
            answer->stage = STAGE_END;
        } else if (event_due_us(conn) > now) {
            return event_due_us(conn);
        } else {
            append_event(conn);
        }
        return 0;
    case STAGE_END:
        if (answer->framing == FRAMING_CHUNKED)
            buf_append_str(&conn->out, STR("0\r\n\r\n"));
        answer->stage = STAGE_DONE;
        return UINT64_MAX;
    default: return UINT64_MAX;
    }
}

/* Before anything leaves. True: the connection is gone. */
static bool breaks_before_head(struct mock_conn *conn)
{
    switch (conn->answer.ask.fault.kind) {
    case FAULT_REFUSE:
    case FAULT_RESET_BEFORE_HEAD: mock_conn_break(conn, true); return true;
    case FAULT_CLOSE_BEFORE_HEAD: mock_conn_break(conn, false); return true;
    case FAULT_GARBAGE_HEAD:
        buf_append_str(&conn->out, STR("\x16\x03\x01 this is not HTTP\r\n\r\n"));
        conn->answer.stage = STAGE_BREAK;
        conn->answer.breaks = BREAK_CLOSE;
        return false;
    default: return false;
    }
}

/* Everything that was produced has left. */
static void all_sent(struct mock_conn *conn, uint64_t next_due_us)
{
    struct mock_answer *answer = &conn->answer;
    struct wire_loop *loop = &conn->mock->loop;
    if (answer->stage == STAGE_DONE) {
        answer->close |= answer->ask.fault.kind == FAULT_CLOSE_AFTER;
        mock_conn_answered(conn);
        return;
    }
    if (answer->stage != STAGE_BREAK) {
        if (next_due_us != UINT64_MAX)
            wire_timer_start(loop, &conn->timer, next_due_us);
        return;
    }
    if (answer->breaks == BREAK_STALL)
        return;
    if (answer->break_due_us == 0)
        answer->break_due_us = loop->now_us + BREAK_AFTER_US;
    if (answer->break_due_us <= loop->now_us)
        mock_conn_break(conn, answer->breaks == BREAK_RESET);
    else
        wire_timer_start(loop, &conn->timer, answer->break_due_us);
}

void mock_answer_pump(struct mock_conn *conn)
{
    struct mock_answer *answer = &conn->answer;
    for (;;) {
        uint64_t due_us = 0;
        if (answer->stage == STAGE_HEAD && answer->head_due_us <= conn->mock->loop.now_us &&
            breaks_before_head(conn))
            return;
        while (due_us == 0 && conn->out.len - conn->out_at < MOCK_PENDING_BYTES)
            due_us = produce(conn);
        if (answer->cut_due_us > conn->mock->loop.now_us)
            return; /* the timer runs */
        if (!mock_conn_flush(conn))
            return;
        if (answer->cut_due_us > 0) {
            wire_timer_start(&conn->mock->loop, &conn->timer, answer->cut_due_us);
            return;
        }
        if (conn->out.len > conn->out_at)
            return; /* the socket is full: it will tell */
        if (due_us != 0) {
            all_sent(conn, due_us);
            return;
        }
    }
}
