/* The bench's inside: requests, sent again and again over some connections.
 *
 *   bench.c (command, options) > bench_run.c (when to send; what is counted) > bench_conn.c (one
 *   connection) > bench_answer.c (is the answer right);  bench_report.c (figures for people and
 * machines)
 *
 *   time:  start ── warm-up ── measured: every request whose intended start lies here ── end ──
 * last answers come in ── stop
 *
 * 1. One thread.
 * 2. A latency counts from the intended start: when the rate said so (open loop), whether a
 *    connection was free then or not; so a server that stalls cannot hide it by keeping requests
 *    from being sent (no coordinated omission). In a closed loop it is when the request is sent,
 * the time for a new connection included.
 * 3. Every request has exactly one outcome. */
#ifndef WEIR_CLI_BENCH_INT_H
#define WEIR_CLI_BENCH_INT_H

#include "base/buf.h"
#include "base/histogram.h"
#include "base/str.h"
#include "cli/bench/bench_answer.h"
#include "cli/wire/wire_http.h"
#include "cli/wire/wire_loop.h"
#include "cli/wire/wire_socket.h"
#include "cli/wire/wire_tls.h"
#include "os/process.h"

enum {
    BENCH_HEADERS_MAX = 16,
    BENCH_VARIANTS = 16, /* prompts of the same length: one alone would compress too well.
                            Only one of a prompt above 1 MiB */
    BENCH_CONNECTIONS_MAX = 65536,
    BENCH_STATUSES_MAX = 600,
};

struct bench_options {
    struct str url; /* as given, for the report */
    struct str host;
    uint16_t port;
    bool tls;
    struct str path;
    struct str key;
    struct str model;
    struct str headers[BENCH_HEADERS_MAX];
    size_t header_count;
    struct str ca_file;
    uint64_t connections;
    uint64_t rate;        /* requests/s; 0: closed loop */
    uint64_t duration_us; /* 0: until `requests` are done */
    uint64_t warmup_us;
    uint64_t requests; /* 0: until the time is over */
    uint64_t timeout_us;
    uint64_t prompt_bytes;
    uint64_t tokens; /* 0: the server's choice */
    uint32_t pid;    /* 0: none */
    bool stream;
    bool json;
};

/* How a request ended. The verdicts of bench_answer.h come first. */
enum bench_outcome {
    OUTCOME_GOOD = BENCH_GOOD,
    OUTCOME_NO_TEXT = BENCH_NO_TEXT,
    OUTCOME_ERROR_EVENT = BENCH_ERROR_EVENT,
    OUTCOME_NO_DONE = BENCH_NO_DONE,
    OUTCOME_WRONG_TEXT = BENCH_WRONG_TEXT,
    OUTCOME_CONNECT,   /* no connection, or no TLS */
    OUTCOME_RESET,     /* lost before the first byte */
    OUTCOME_TRUNCATED, /* lost before the end */
    OUTCOME_PROTOCOL,  /* not HTTP */
    OUTCOME_TIMEOUT,
    OUTCOME_NOT_SENT, /* no connection became free in time */
    OUTCOME_STATUS,   /* another status than 200 */
    OUTCOME_COUNT
};

struct bench_results {
    uint64_t good;
    uint64_t good_in_time; /* ended before the end of the measured time */
    uint64_t outcomes[OUTCOME_COUNT];
    uint64_t statuses[BENCH_STATUSES_MAX];
    struct histogram latency_us, ttft_us, gap_us;
    uint64_t frames, lost, doubled, damaged;
    uint64_t bytes_in, bytes_out, connects;
    uint64_t measured_us;
    struct buf first_error; /* what the first failed request said */
    bool process_known;
    struct os_tree_usage process_before, process_after;
    uint64_t process_requests; /* ended between the two */
    uint64_t own_cpu_us;       /* of the bench itself */
};

struct bench;

enum bench_conn_state { CONN_CLOSED, CONN_CONNECTING, CONN_IDLE, CONN_BUSY };

struct bench_conn {
    struct bench *bench;
    struct wire_io io;
    struct wire_tls *tls;
    struct wire_reader reader;
    struct bench_answer answer;
    enum bench_conn_state state;
    bool has_request; /* a request's outcome is owed */
    bool first_byte;  /* of the answer came */
    const struct buf *request;
    size_t sent; /* bytes of it */
    uint64_t intended_us;
    uint64_t deadline_us;
    uint64_t last_content_us; /* 0: none yet */
    struct bench_conn *next_free;
};

struct bench {
    struct bench_options options;
    struct wire_loop loop;
    struct wire_address address;
    struct wire_tls_settings *tls;
    struct buf requests[BENCH_VARIANTS]; /* their bytes; taken in turn */
    uint32_t variants;
    struct bench_results results;
    struct bench_conn *conns;
    struct bench_conn *free; /* without a request */
    uint64_t in_flight;
    uint64_t started;    /* requests handed to connections */
    uint64_t start_us;   /* of the run */
    uint64_t measure_us; /* of the measured part */
    uint64_t end_us;     /* of intended starts; UINT64_MAX: by count */
    uint64_t give_up_us; /* of starting those that are late */
    uint64_t ended;      /* requests with an outcome */
    uint64_t ended_before_measure;
    const struct bench_conn *first_failed; /* whose answer results.first_error holds */
    bool first_error_whole;
    struct wire_timer pace, measure, sweep;
    uint64_t retry_us; /* no new connection before, after one failed */
};

/* bench_conn.c */
void bench_conn_init(struct bench *bench, struct bench_conn *conn);
void bench_conn_release(struct bench_conn *conn);
/* Send the request, over a new connection if need be. */
void bench_conn_start(struct bench_conn *conn, uint64_t intended_us);
/* Give up the request that is under way. */
void bench_conn_fail(struct bench_conn *conn, enum bench_outcome outcome);

/* bench_run.c */
MUST_CHECK enum err bench_run(struct bench *bench, struct buf *detail);
/* Called by a connection when its request has an outcome; it is free again. status: HTTP, or 0. */
void bench_request_ended(struct bench_conn *conn, enum bench_outcome outcome, int status);
bool bench_is_measured(const struct bench *bench, uint64_t intended_us);

/* bench_report.c */
void bench_report(const struct bench *bench);
void bench_report_json(const struct bench *bench);
/* Requests that failed. */
uint64_t bench_failures(const struct bench_results *results);

#endif
