/* When requests start, which of them count, and when the run is over. */
#include <sys/resource.h>

#include "base/mem.h"
#include "cli/bench/bench_int.h"
#include "os/clock.h"

enum { SWEEP_US = 100000 };

bool bench_is_measured(const struct bench *bench, uint64_t intended_us)
{
    return intended_us >= bench->measure_us;
}

/* ---- Outcomes ---- */

static void count_good(struct bench *bench, struct bench_conn *conn)
{
    struct bench_results *results = &bench->results;
    results->good++;
    if (bench->loop.now_us <= bench->end_us)
        results->good_in_time++;
    histogram_add(&results->latency_us, bench->loop.now_us - conn->intended_us);
}

static void count(struct bench_conn *conn, enum bench_outcome outcome, int status)
{
    struct bench *bench = conn->bench;
    struct bench_results *results = &bench->results;
    results->outcomes[outcome]++;
    if (outcome == OUTCOME_STATUS && status >= 0 && status < BENCH_STATUSES_MAX)
        results->statuses[status]++;
    results->frames += conn->answer.events;
    results->lost += conn->answer.lost;
    results->doubled += conn->answer.doubled;
    results->damaged += conn->answer.damaged;
    if (outcome == OUTCOME_GOOD)
        count_good(bench, conn);
}

/* ---- Starting ---- */

/* When request number bench->started is to start, by the rate. */
static uint64_t intended_us(const struct bench *bench)
{
    return bench->start_us + bench->started * 1000000 / bench->options.rate;
}

static bool nothing_to_start(const struct bench *bench)
{
    uint64_t now = bench->loop.now_us;
    if (bench->options.requests > 0 && bench->started >= bench->options.requests)
        return true;
    if (bench->options.rate == 0)
        return now >= bench->end_us;
    return intended_us(bench) >= bench->end_us || now >= bench->give_up_us;
}

static void start_on(struct bench *bench, uint64_t when_us)
{
    struct bench_conn *conn = bench->free;
    bench->free = conn->next_free;
    bench->started++;
    bench->in_flight++;
    bench_conn_start(conn, when_us);
}

static bool may_start(struct bench *bench)
{
    uint64_t now = bench->loop.now_us;
    if (!bench->free || nothing_to_start(bench))
        return false;
    uint64_t due = bench->options.rate ? intended_us(bench) : now;
    if (due < bench->retry_us)
        due = bench->retry_us;
    if (due <= now)
        return true;
    wire_timer_start(&bench->loop, &bench->pace, due);
    return false;
}

static void start_due(void *arg)
{
    struct bench *bench = arg;
    while (may_start(bench))
        start_on(bench, bench->options.rate ? intended_us(bench) : os_now_us());
    if (bench->in_flight == 0 && nothing_to_start(bench))
        wire_loop_stop(&bench->loop);
}

void bench_request_ended(struct bench_conn *conn, enum bench_outcome outcome, int status)
{
    struct bench *bench = conn->bench;
    bench->in_flight--;
    bench->ended++;
    if (bench_is_measured(bench, conn->intended_us))
        count(conn, outcome, status);
    conn->next_free = bench->free;
    bench->free = conn;
    /* Not from here: requests that fail at once would nest as deep as they are many. */
    if (!wire_timer_running(&bench->pace) || bench->pace.due_us > bench->loop.now_us)
        wire_timer_start(&bench->loop, &bench->pace, bench->loop.now_us);
}

/* ---- The run ---- */

static uint64_t own_cpu_us(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void begin_measuring(void *arg)
{
    struct bench *bench = arg;
    struct bench_results *results = &bench->results;
    if (bench->options.pid > 0)
        results->process_known =
            os_tree_usage(bench->options.pid, &results->process_before) == ERR_OK;
    results->own_cpu_us = own_cpu_us();
    results->bytes_in = results->bytes_out = results->connects = 0;
    bench->ended_before_measure = bench->ended;
}

static void end_measuring(struct bench *bench)
{
    struct bench_results *results = &bench->results;
    if (results->process_known)
        results->process_known =
            os_tree_usage(bench->options.pid, &results->process_after) == ERR_OK;
    results->own_cpu_us = own_cpu_us() - results->own_cpu_us;
    results->process_requests = bench->ended - bench->ended_before_measure;
    uint64_t until = bench->end_us < bench->loop.now_us ? bench->end_us : bench->loop.now_us;
    results->measured_us = until > bench->measure_us ? until - bench->measure_us : 1;
}

/* The rate asked for more than the connections could carry: what never left is an outcome too. */
static void count_not_sent(struct bench *bench)
{
    uint64_t total = (bench->end_us - bench->start_us) * bench->options.rate / 1000000;
    if (bench->options.requests > 0 && total > bench->options.requests)
        total = bench->options.requests;
    if (bench->options.rate > 0 && bench->end_us != UINT64_MAX && total > bench->started)
        bench->results.outcomes[OUTCOME_NOT_SENT] += total - bench->started;
}

static void on_sweep(void *arg)
{
    struct bench *bench = arg;
    uint64_t now = bench->loop.now_us;
    for (uint64_t i = 0; i < bench->options.connections; i++)
        if (bench->conns[i].has_request && bench->conns[i].deadline_us <= now)
            bench_conn_fail(&bench->conns[i], OUTCOME_TIMEOUT);
    start_due(bench);
    wire_timer_start(&bench->loop, &bench->sweep, now + SWEEP_US);
}

static void set_times(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    bench->start_us = bench->loop.now_us = os_now_us();
    bench->measure_us = bench->start_us + options->warmup_us;
    bench->end_us = bench->give_up_us = UINT64_MAX;
    if (options->duration_us > 0) {
        bench->end_us = bench->measure_us + options->duration_us;
        bench->give_up_us = bench->end_us + options->timeout_us;
    }
    bench->pace = (struct wire_timer){.fn = start_due, .arg = bench};
    bench->measure = (struct wire_timer){.fn = begin_measuring, .arg = bench};
    bench->sweep = (struct wire_timer){.fn = on_sweep, .arg = bench};
    wire_timer_start(&bench->loop, &bench->measure, bench->measure_us);
    wire_timer_start(&bench->loop, &bench->pace, bench->start_us);
    wire_timer_start(&bench->loop, &bench->sweep, bench->start_us + SWEEP_US);
}

enum err bench_run(struct bench *bench, struct buf *detail)
{
    size_t count = bench->options.connections;
    if (bench->options.tls)
        TRY(wire_tls_settings_new(bench->options.ca_file, detail, &bench->tls));
    TRY(wire_loop_init(&bench->loop));
    enum err e = wire_loop_stop_on_signals(&bench->loop);
    if (e != ERR_OK) {
        wire_loop_release(&bench->loop);
        return e;
    }
    histogram_init(&bench->results.latency_us);
    histogram_init(&bench->results.ttft_us);
    histogram_init(&bench->results.gap_us);
    bench->conns = mem_array(count, sizeof *bench->conns);
    for (size_t i = count; i-- > 0;) {
        bench_conn_init(bench, &bench->conns[i]);
        bench->conns[i].next_free = bench->free;
        bench->free = &bench->conns[i];
    }
    set_times(bench);
    wire_loop_run(&bench->loop);
    bench->loop.now_us = os_now_us();
    end_measuring(bench);
    count_not_sent(bench);
    for (size_t i = 0; i < count; i++)
        bench_conn_release(&bench->conns[i]);
    mem_free(bench->conns);
    wire_loop_release(&bench->loop);
    wire_tls_settings_free(bench->tls);
    return ERR_OK;
}
