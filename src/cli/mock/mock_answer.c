/* Which answer a request gets: right, or as a fault wants it. What leaves when is mock_pump.c's,
 * its bytes are mock_frame.c's. */
#include "cli/mock/mock_int.h"

const struct mock_dialect *mock_dialect_of(enum mock_api api)
{
    switch (api) {
    case MOCK_API_RESPONSES: return &mock_responses;
    case MOCK_API_MESSAGES:
    case MOCK_API_COUNT_TOKENS: return &mock_anthropic;
    case MOCK_API_GEMINI:
    case MOCK_API_GEMINI_COUNT:
    case MOCK_API_GEMINI_EMBED:
    case MOCK_API_GEMINI_EMBED_BATCH:
    case MOCK_API_GEMINI_MODELS: return &mock_gemini;
    default: return &mock_openai;
    }
}

static void fail(struct mock_answer *answer, int status, struct str message)
{
    answer->status = status;
    answer->events_come = false;
    answer->framing = FRAMING_LENGTH;
    answer->content_type = STR("application/json");
    buf_reset(&answer->body);
    answer->dialect->error(status, message, &answer->body);
}

/* The request's own wish stands above --fault: a field, then the model's name, then the prompt.
 * False: it wishes for something that is no fault. */
static bool choose_fault(struct mock_conn *conn, struct mock_ask *ask, struct buf *reason)
{
    struct str field = mock_request_field(&conn->request, STR("x-mock-fault"));
    if (field.len > 0)
        return mock_fault_parse(field, &ask->fault, reason);
    if (str_starts(ask->model, STR("fault-")))
        return mock_fault_parse(str_skip(ask->model, 6), &ask->fault, reason);
    if (str_starts(ask->model, STR("mock-fault-")))
        return mock_fault_parse(str_skip(ask->model, 11), &ask->fault, reason);
    if (ask->fault_is_wished)
        return true;
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
    bool value_is_time =
        fault->kind == FAULT_RETRY_AFTER_DATE_429 || fault->kind == FAULT_RETRY_AFTER_MS_429;
    int status = value_is_time ? 429 : (int)fault->value;
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
    case FAULT_RETRY_AFTER_MS_429:
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
    case FAULT_ERROR_FIRST:
        if (!answer->events_come) {
            fail(answer, (int)fault->value, STR("the mock was asked to fail inside an answer"));
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

/* A stream's content is out, or all but its end. */
static void break_late(struct mock_answer *answer)
{
    enum mock_fault_kind kind = answer->ask.fault.kind;
    answer->breaks = kind == FAULT_CLOSE_AFTER_CONTENT ? BREAK_CLOSE : BREAK_RESET;
    if (answer->body.len > 0)
        answer->break_bytes = answer->body.len - 1;
    if (answer->events_come)
        answer->break_event = kind == FAULT_RESET_BEFORE_DONE
                                  ? answer->events - 1
                                  : answer->dialect->after_content(&answer->ask);
}

/* Where the answer breaks off. */
static void set_break(struct mock_answer *answer)
{
    answer->break_event = answer->events / 2;
    answer->break_bytes = answer->body.len / 2;
    switch (answer->ask.fault.kind) {
    case FAULT_RESET_MID_EVENT:
    case FAULT_RESET_MID_BODY: answer->breaks = BREAK_RESET; break;
    case FAULT_CLOSE_MID_BODY: answer->breaks = BREAK_CLOSE; break;
    case FAULT_STALL: answer->breaks = BREAK_STALL; break;
    case FAULT_RESET_AFTER_HEAD:
        answer->breaks = BREAK_RESET;
        answer->break_event = answer->break_bytes = 0;
        break;
    case FAULT_ROLE_THEN_RESET:
        answer->breaks = BREAK_RESET;
        if (answer->events_come)
            answer->break_event = answer->dialect->first_content(&answer->ask);
        answer->break_bytes = 0;
        break;
    case FAULT_RESET_AFTER_CONTENT:
    case FAULT_CLOSE_AFTER_CONTENT:
    case FAULT_RESET_BEFORE_DONE: break_late(answer); break;
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
    if (fault->kind == FAULT_SLOW_FIRST_BYTE || (fault->kind == FAULT_RESET_REUSED && conn->reused))
        answer->head_due_us = now + (uint64_t)fault->value * 1000;
    if (fault->kind == FAULT_SLOW_FIRST_EVENT)
        answer->body_due_us = now + (uint64_t)fault->value * 1000;
    if (fault->kind == FAULT_KEEP_ALIVE && answer->events_come)
        answer->alive_until_us = now + (uint64_t)fault->value * 1000;
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
        if (!answer->array)
            answer->content_type = STR("text/event-stream; charset=utf-8");
    } else {
        answer->dialect->body(&answer->ask, &answer->body);
    }
}

void mock_answer_start(struct mock_conn *conn)
{
    struct mock_answer *answer = &conn->answer;
    const struct mock_request *request = &conn->request;
    struct mock_path path = mock_path_of(buf_str(&request->target));
    if (path.api == MOCK_API_MODELS && mock_request_field(request, STR("x-goog-api-key")).len > 0)
        path.api = MOCK_API_GEMINI_MODELS; /* two lists at one path */
    bool is_list = path.api == MOCK_API_MODELS || path.api == MOCK_API_GEMINI_MODELS;
    struct buf BUF_AUTO reason;
    const char *problem = NULL;
    buf_init(&reason, 512);
    mock_answer_reset(answer);
    answer->dialect = mock_dialect_of(path.api);
    answer->array = path.array;
    if (str_eq(buf_str(&request->method), STR("GET")) != is_list)
        path.api = MOCK_API_OTHER;
    answer->ask = (struct mock_ask){.api = path.api};
    bool read = mock_ask_read(&path, buf_str(&request->body), conn->mock->tokens, &answer->arena,
                              &answer->ask, &problem);
    if (!choose_fault(conn, &answer->ask, &reason))
        fail(answer, 400, buf_str(&reason));
    else if (request->body.error != ERR_OK)
        fail(answer, 413, STR("the body is larger than the mock's 64 MiB"));
    else if (!read)
        fail(answer, 400, str_from_c(problem));
    else if (path.api == MOCK_API_OTHER)
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
