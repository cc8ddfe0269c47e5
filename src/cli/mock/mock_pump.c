/* What leaves the mock, and when.
 *
 *   stage:  HEAD ─> BODY (the body, or event after event) ─> END (last chunk) ─> DONE
 *             └───────┴─> BREAK: what was produced leaves, then reset, close or silence
 *
 * mock_answer_pump produces what is due while little waits to be sent, sends it, and sets the timer
 * for the rest; so it may be called whenever something changed. */
#include "cli/mock/mock_int.h"

enum {
    BREAK_AFTER_US = 20000, /* a reset overtakes what was sent, so the reader gets time for that */
    COMMENT_GAP_US = 50000,
};

static void append_body(struct mock_conn *conn)
{
    struct mock_answer *answer = &conn->answer;
    struct str bytes = buf_str(&answer->body);
    if (answer->breaks != BREAK_NONE)
        bytes = str_take(bytes, answer->break_bytes);
    buf_append_str(&conn->out, bytes);
}

/* When event i is due: the gap counts from the first event with content, without drift. */
static uint64_t event_due_us(struct mock_conn *conn)
{
    struct mock_answer *answer = &conn->answer;
    size_t first = answer->dialect->first_content(&answer->ask);
    if (conn->mock->gap_us == 0 || answer->event <= first)
        return answer->body_due_us;
    if (answer->body_due_us == 0)
        answer->body_due_us = conn->mock->loop.now_us;
    if (answer->event + 1 >= answer->events)
        return 0; /* the closing mark comes with the event before it */
    return answer->body_due_us + (answer->event - first) * conn->mock->gap_us;
}

/* Comments while the first event is held back. Returns as produce does; 0 when it is not. */
static uint64_t keep_alive(struct mock_conn *conn)
{
    struct mock_answer *answer = &conn->answer;
    uint64_t now = conn->mock->loop.now_us;
    if (answer->alive_until_us <= now || answer->event > 0)
        return 0;
    if (answer->alive_due_us <= now) {
        mock_frame_comment(conn);
        answer->alive_due_us = now + COMMENT_GAP_US;
    }
    return answer->alive_due_us < answer->alive_until_us ? answer->alive_due_us
                                                         : answer->alive_until_us;
}

/* One piece of a stream; returns as produce does. */
static uint64_t produce_event(struct mock_conn *conn)
{
    struct mock_answer *answer = &conn->answer;
    uint64_t due_us = keep_alive(conn);
    if (due_us > 0)
        return due_us;
    if (answer->breaks != BREAK_NONE && answer->event >= answer->break_event) {
        if (answer->ask.fault.kind == FAULT_RESET_MID_EVENT)
            mock_frame_half_event(conn);
        answer->stage = STAGE_BREAK;
    } else if (answer->event == answer->events) {
        answer->stage = STAGE_END;
    } else if (event_due_us(conn) > conn->mock->loop.now_us) {
        return event_due_us(conn);
    } else {
        mock_frame_event(conn);
    }
    return 0;
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
        mock_frame_head(conn);
        answer->stage = STAGE_BODY;
        return 0;
    case STAGE_BODY:
        if (answer->events_come)
            return produce_event(conn);
        if (answer->body_due_us > now)
            return answer->body_due_us;
        append_body(conn);
        answer->stage = answer->breaks == BREAK_NONE ? STAGE_END : STAGE_BREAK;
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
    enum mock_fault_kind kind = conn->answer.ask.fault.kind;
    if ((kind == FAULT_CLOSE_REUSED || kind == FAULT_RESET_REUSED) && conn->reused) {
        mock_conn_break(conn, kind == FAULT_RESET_REUSED);
        return true;
    }
    switch (kind) {
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
