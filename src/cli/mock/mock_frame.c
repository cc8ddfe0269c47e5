/* The bytes of an answer: head, events and their lines, chunks; also those that a fault spoils. */
#include <time.h>

#include "cli/mock/mock_int.h"
#include "os/clock.h"

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
    } else if (fault->kind == FAULT_RETRY_AFTER_MS_429) {
        buf_printf(out, "retry-after-ms: %u\r\n", fault->value);
    } else if (fault->kind == FAULT_STATUS && fault->retry_after_s > 0) {
        buf_printf(out, "Retry-After: %u\r\n", fault->retry_after_s);
    }
}

void mock_frame_head(struct mock_conn *conn)
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
    if (answer->array) {
        buf_append_str(out, answer->lines++ == 0 ? STR("[") : STR(",\r\n"));
        buf_append_str(out, data);
        buf_append_str(out, last ? STR("]\n") : STR(""));
        return;
    }
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

/* The stream's last event. */
static void append_error_event(struct mock_answer *answer, struct buf *out)
{
    static const struct str message = STR_INIT("the mock was asked to fail inside a stream");
    const struct mock_dialect *dialect = answer->dialect;
    int status = (int)answer->ask.fault.value;
    struct buf BUF_AUTO data;
    buf_init(&data, 1024);
    if (dialect->error_event)
        dialect->error_event(status, message, answer->event - 1, &data);
    else
        dialect->error(status, message, &data);
    write_event(answer, dialect->error_event_type, buf_str(&data), true, out);
    answer->event = answer->events;
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
        append_error_event(answer, out);
    }
}

/* The first character of more than one byte loses its last. */
static void cut_character(struct buf *data)
{
    for (size_t i = 1; i < data->len; i++) {
        bool inside = ((unsigned char)data->ptr[i] & 0xc0) == 0x80;
        bool ends = i + 1 == data->len || ((unsigned char)data->ptr[i + 1] & 0xc0) != 0x80;
        if (!inside || !ends)
            continue;
        memmove(data->ptr + i, data->ptr + i + 1, data->len - i - 1);
        data->len--;
        return;
    }
}

/* Append the next event, and what a fault puts before it or after the last. */
static void next_event(struct mock_answer *answer, struct buf *out)
{
    size_t i = answer->event++;
    if (i == 0 && answer->ask.fault.kind == FAULT_ERROR_FIRST)
        append_error_event(answer, out);
    else if (i == answer->events / 2)
        append_middle_fault(answer, out);
    if (answer->event > i + 1)
        return;
    buf_reset(&answer->body);
    struct str type = answer->dialect->event(&answer->ask, i, &answer->body);
    bool last = answer->event == answer->events;
    if (answer->ask.fault.kind == FAULT_CUT_UTF8)
        cut_character(&answer->body);
    write_event(answer, type, buf_str(&answer->body), last, out);
    if (last && answer->ask.fault.kind == FAULT_AFTER_DONE) {
        buf_reset(&answer->body);
        type = answer->dialect->event(&answer->ask, answer->dialect->first_content(&answer->ask),
                                      &answer->body);
        write_event(answer, type, buf_str(&answer->body), true, out);
    }
}

void mock_frame_collect(struct mock_answer *answer)
{
    struct buf all;
    buf_init(&all, MOCK_ANSWER_BYTES_MAX);
    while (answer->event < answer->events)
        next_event(answer, &all);
    buf_release(&answer->body);
    answer->body = all;
    answer->events_come = false;
}

/* ---- Chunks ---- */

static void append_chunk(struct str bytes, struct buf *out)
{
    buf_printf(out, "%zx\r\n", bytes.len);
    buf_append_str(out, bytes);
    buf_append_str(out, STR("\r\n"));
}

static void append_small_chunks(struct str bytes, bool bytewise, struct buf *out)
{
    static const size_t lengths[] = {1, 3, 2, 7, 1, 5, 11, 4};
    for (size_t i = 0; bytes.len > 0; i++) {
        size_t len = bytewise ? 1 : lengths[i % 8];
        append_chunk(str_take(bytes, len), out);
        bytes = str_skip(bytes, len);
    }
}

/* Write one event in the answer's framing. The length of a chunk stands before it, so its place is
 * kept free and filled in when the event is written: "0000012a\r\n" is as good as "12a\r\n". */
void mock_frame_event(struct mock_conn *conn)
{
    static const char hex[] = "0123456789abcdef";
    struct mock_answer *answer = &conn->answer;
    struct buf *out = &conn->out;
    if (answer->framing != FRAMING_CHUNKED) {
        next_event(answer, out);
        return;
    }
    enum mock_fault_kind fault = answer->ask.fault.kind;
    if (fault == FAULT_CUT_CHUNKS || fault == FAULT_BYTE_CHUNKS) {
        struct buf BUF_AUTO event;
        buf_init(&event, MOCK_ANSWER_BYTES_MAX);
        next_event(answer, &event);
        append_small_chunks(buf_str(&event), fault == FAULT_BYTE_CHUNKS, out);
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

void mock_frame_comment(struct mock_conn *conn)
{
    struct str comment = STR(": keep-alive\n\n");
    if (conn->answer.framing == FRAMING_CHUNKED)
        append_chunk(comment, &conn->out);
    else
        buf_append_str(&conn->out, comment);
}

void mock_frame_half_event(struct mock_conn *conn)
{
    size_t at = conn->out.len;
    if (conn->answer.event == conn->answer.events)
        return;
    mock_frame_event(conn);
    conn->out.len = at + (conn->out.len - at) / 2;
}
