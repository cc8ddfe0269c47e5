/* Which answer a request gets: right, or as a fault wants it. What leaves when is mock_pump.c's,
 * its bytes are mock_frame.c's. */
#include "cli/mock/mock_int.h"

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
                   "<!DOCTYPE html>\n<html><head><title>Error</title></head>\n<body><h1>%d</h1><hr>"
                   "mock</body></html>\n",
                   answer->status);
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
            mock_frame_collect(answer);
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

void mock_answer_reset(struct mock_answer *answer)
{
    arena_reset(&answer->arena);
    buf_reset(&answer->body);
    *answer = (struct mock_answer){
        .dialect = &mock_openai,
        .arena = answer->arena,
        .body = answer->body,
        .stage = STAGE_HEAD,
        .status = 200,
        .content_type = STR("application/json"),
    };
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
    mock_answer_reset(answer);
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
    conn->answer.status = status;
    conn->answer.content_type = content_type;
    set_framing(conn);
    mock_answer_pump(conn);
}
