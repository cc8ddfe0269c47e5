/* The mock's inside: connections, requests, answers.
 *
 *   mock.c (command) > mock_server.c (sockets, requests) > mock_answer.c (which answer) >
 *   mock_pump.c (when it leaves) > mock_frame.c (its bytes) > mock_openai.c, mock_responses.c,
 *   mock_anthropic.c, mock_gemini.c (contents);  mock_control.c, mock_seen.c (/mock/…)
 *
 * 1. One thread. A connection answers one request at a time; what it reads ahead waits.
 * 2. Everything that an answer still does is derived from its state and the clock in
 *    mock_answer_pump, which may be called at any time.
 * 3. Connections are reused, never freed before the end. */
#ifndef WEIR_CLI_MOCK_INT_H
#define WEIR_CLI_MOCK_INT_H

#include "base/arena.h"
#include "base/buf.h"
#include "cli/mock/mock_ask.h"
#include "cli/mock/mock_dialect.h"
#include "cli/mock/mock_fault.h"
#include "cli/wire/wire_http.h"
#include "cli/wire/wire_loop.h"

/* A larger request body is answered with 413. */
#define MOCK_BODY_BYTES_MAX ((size_t)64 << 20)
/* Request line and fields of one request; more closes the connection. */
#define MOCK_HEAD_BYTES_MAX ((size_t)256 << 10)
/* Read ahead of a request that is being answered; then reading stops. */
#define MOCK_AHEAD_BYTES_MAX ((size_t)1 << 20)
/* Produced ahead of a reader that is slow; then producing stops. */
#define MOCK_PENDING_BYTES ((size_t)64 << 10)
/* One answer's body or one event; `huge-event=VALUE` cannot ask for more. */
#define MOCK_ANSWER_BYTES_MAX ((size_t)256 << 20)

struct mock_request {
    struct buf method;
    struct buf target;
    struct buf version;
    struct buf fields; /* name NUL value NUL name NUL value NUL … */
    struct buf body;
};

struct mock_stats {
    uint64_t requests;    /* complete ones, without those of /mock/… */
    uint64_t answered;    /* whole answers */
    uint64_t cancelled;   /* the client went away before its answer was whole */
    uint64_t broken;      /* ended by a fault */
    uint64_t faults;      /* requests or connections that a fault struck */
    uint64_t bytes_in;    /* request bodies */
    uint64_t bytes_out;   /* all bytes of answers */
    uint64_t connections; /* that carried a request */
    uint64_t active_max;  /* requests at once */
};

enum mock_framing { FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE };
enum mock_break { BREAK_NONE, BREAK_RESET, BREAK_CLOSE, BREAK_STALL };
enum mock_stage { STAGE_IDLE, STAGE_HEAD, STAGE_BODY, STAGE_END, STAGE_BREAK, STAGE_DONE };

struct mock_answer {
    const struct mock_dialect *dialect;
    struct mock_ask ask;
    struct arena arena;
    enum mock_stage stage;
    enum mock_framing framing;
    enum mock_break breaks;
    bool close;       /* the connection ends with this answer, and the head says so */
    bool events_come; /* a stream; otherwise `body` */
    bool array;       /* …written as a JSON array, not as events */
    int status;
    struct str content_type;
    struct buf body;    /* contents, for one event or for all */
    size_t announced;   /* Content-Length */
    size_t break_bytes; /* of the body, before a break */
    size_t event, events, break_event;
    size_t lines;         /* events written, for faults that vary from one to the next */
    uint64_t head_due_us; /* 0: at once */
    uint64_t body_due_us; /* of the first event, on the loop's clock; 0: at once */
    uint64_t cut_due_us;  /* of the next few bytes, with cut-segments */
    uint64_t break_due_us;
    uint64_t alive_until_us, alive_due_us; /* comments instead of the first event; 0: none */
    size_t cuts;
};

struct mock;

struct mock_conn {
    struct mock *mock;
    struct wire_io io;
    struct wire_timer timer;
    struct wire_reader reader;
    struct mock_request request;
    struct buf ahead; /* read behind the request that is being answered */
    struct buf out;
    size_t out_at;
    struct mock_answer answer;
    bool counted;    /* in stats.connections */
    bool reused;     /* this is not its first request */
    bool is_control; /* the request being answered is the mock's own */
    bool complete;   /* the request is whole, and not answered yet */
    struct mock_conn *next_free;
    struct mock_conn *next; /* all of them */
};

struct mock {
    struct wire_loop loop;
    struct wire_io listener;
    struct wire_timer accept_again;
    uint64_t latency_us;
    uint64_t gap_us;
    uint64_t tokens;
    struct mock_faults faults;
    struct mock_stats stats;
    uint64_t active;
    uint64_t open;
    struct mock_request last;
    struct mock_conn *free;
    struct mock_conn *all;
};

/* mock_server.c */

/* Serve on a listening socket; the loop is initialised already. */
MUST_CHECK enum err mock_server_start(struct mock *mock, int listen_fd);
void mock_server_release(struct mock *mock);
/* Value of the field, any case; STR_NONE when it is absent. */
struct str mock_request_field(const struct mock_request *request, struct str name);

/* mock_answer.c */

/* Set conn->answer for the request: mock_answer_pump begins it. */
void mock_answer_start(struct mock_conn *conn);
/* A whole answer of the mock itself: reset, put the contents into answer->body, then send. */
void mock_answer_reset(struct mock_answer *answer);
void mock_answer_plain(struct mock_conn *conn, int status, struct str content_type);

/* mock_pump.c */

/* Produce and send what is due; sets the timer for what is not. */
void mock_answer_pump(struct mock_conn *conn);

/* mock_frame.c */

/* Append to conn->out. */
void mock_frame_head(struct mock_conn *conn);
/* The next event, in the answer's framing. */
void mock_frame_event(struct mock_conn *conn);
/* A comment that carries nothing. */
void mock_frame_comment(struct mock_conn *conn);
/* Half of the next event, for a break. */
void mock_frame_half_event(struct mock_conn *conn);
/* Every event into the body, for faults of a length that a chunked stream does not have. */
void mock_frame_collect(struct mock_answer *answer);

/* mock_server.c, called by the pump when the answer is out, or has to break off. */
void mock_conn_answered(struct mock_conn *conn);
void mock_conn_break(struct mock_conn *conn, bool reset);
/* Send what waits in conn->out; false: the connection is gone. */
bool mock_conn_flush(struct mock_conn *conn);

/* mock_control.c */

/* Answers a request below /mock/. */
void mock_control(struct mock_conn *conn);

/* mock_seen.c */

/* Append a JSON object: what the request holds, whichever API it is written in. */
void mock_seen_append(const struct mock_request *request, uint64_t max_tokens, struct buf *out);

#endif
