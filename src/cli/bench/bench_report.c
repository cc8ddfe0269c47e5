/* The figures, for people and as one JSON object. */
#include <stdio.h>

#include "cli/bench/bench_int.h"
#include "codec/json_write.h"

static const char *const outcome_names[OUTCOME_COUNT] = {
    [OUTCOME_GOOD] = "ok",
    [OUTCOME_NO_TEXT] = "no_text",
    [OUTCOME_ERROR_EVENT] = "error_event",
    [OUTCOME_NO_DONE] = "no_done",
    [OUTCOME_WRONG_TEXT] = "wrong_text",
    [OUTCOME_CONNECT] = "connect",
    [OUTCOME_RESET] = "reset",
    [OUTCOME_TRUNCATED] = "truncated",
    [OUTCOME_PROTOCOL] = "protocol",
    [OUTCOME_TIMEOUT] = "timeout",
    [OUTCOME_NOT_SENT] = "not_sent",
    [OUTCOME_STATUS] = "status",
};

struct percentile {
    double percent;
    const char *name;
};

static const struct percentile percentiles[] = {
    {50, "p50"}, {90, "p90"}, {99, "p99"}, {99.9, "p99.9"}, {100, "max"},
};

enum { PERCENTILE_COUNT = sizeof percentiles / sizeof percentiles[0] };

uint64_t bench_failures(const struct bench_results *results)
{
    uint64_t failures = 0;
    for (int i = OUTCOME_GOOD + 1; i < OUTCOME_COUNT; i++)
        failures += results->outcomes[i];
    return failures;
}

static double per_second(const struct bench_results *results, uint64_t count)
{
    return (double)count * 1e6 / (double)results->measured_us;
}

static double process_cpu_us(const struct bench_results *results)
{
    return (double)(results->process_after.cpu_us - results->process_before.cpu_us);
}

static double per_request(double value, uint64_t requests)
{
    return requests > 0 ? value / (double)requests : 0;
}

/* ---- For people ---- */

static void print_times(const char *name, const struct histogram *h)
{
    printf("%-12s", name);
    for (size_t i = 0; i < PERCENTILE_COUNT; i++)
        printf("  %s %.3f", percentiles[i].name,
               (double)histogram_percentile(h, percentiles[i].percent) / 1000);
    printf("  mean %.3f ms\n", histogram_mean(h) / 1000);
}

static void print_failures(const struct bench_results *results)
{
    if (bench_failures(results) == 0)
        return;
    printf("%-12s", "failed");
    for (int i = OUTCOME_GOOD + 1; i < OUTCOME_STATUS; i++)
        if (results->outcomes[i] > 0)
            printf("  %s %llu", outcome_names[i], (unsigned long long)results->outcomes[i]);
    for (int i = 0; i < BENCH_STATUSES_MAX; i++)
        if (results->statuses[i] > 0)
            printf("  http_%d %llu", i, (unsigned long long)results->statuses[i]);
    printf("\n");
    if (results->first_error.len > 0)
        printf("%-12s  %.*s\n", "", STR_ARG(buf_str(&results->first_error)));
}

static void print_process(const struct bench *bench)
{
    const struct bench_results *results = &bench->results;
    double cpu_us = process_cpu_us(results);
    if (!results->process_known) {
        printf("%-12s  %u is not there (any more)\n", "process", bench->options.pid);
        return;
    }
    printf("%-12s  %.1f µs CPU/request, %.0f %% of a core; RSS %.1f -> %.1f MiB, peak %.1f MiB; "
           "%u process%s\n",
           "process", per_request(cpu_us, results->process_requests),
           cpu_us * 100 / (double)results->measured_us,
           (double)results->process_before.rss_bytes / 0x1p20,
           (double)results->process_after.rss_bytes / 0x1p20,
           (double)results->process_after.rss_peak_bytes / 0x1p20, results->process_after.processes,
           results->process_after.processes == 1 ? "" : "es");
}

void bench_report(const struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    const struct bench_results *results = &bench->results;
    printf("%.*s: %llu connection%s, %s, %.1f s\n", STR_ARG(options->url),
           (unsigned long long)options->connections, options->connections == 1 ? "" : "s",
           options->stream ? "streams" : "no streams", (double)results->measured_us / 1e6);
    printf("%-12s  %llu ok, %llu failed, %.1f/s\n", "requests", (unsigned long long)results->good,
           (unsigned long long)bench_failures(results), per_second(results, results->good_in_time));
    print_times("latency", &results->latency_us);
    if (options->stream) {
        print_times("first token", &results->ttft_us);
        print_times("gap", &results->gap_us);
        printf("%-12s  %llu got, %llu lost, %llu doubled, %llu damaged\n", "frames",
               (unsigned long long)results->frames, (unsigned long long)results->lost,
               (unsigned long long)results->doubled, (unsigned long long)results->damaged);
    }
    print_failures(results);
    if (options->pid > 0)
        print_process(bench);
}

/* ---- For machines ---- */

static void write_times(struct json_writer *w, struct str name, const struct histogram *h)
{
    json_key(w, name);
    json_object_begin(w);
    for (size_t i = 0; i < PERCENTILE_COUNT; i++)
        json_member_u64(w, str_from_c(percentiles[i].name),
                        histogram_percentile(h, percentiles[i].percent));
    json_key(w, STR("mean"));
    json_double(w, histogram_mean(h));
    json_member_u64(w, STR("count"), h->count);
    json_object_end(w);
}

static void write_failures(struct json_writer *w, const struct bench_results *results)
{
    json_member_u64(w, STR("failed"), bench_failures(results));
    json_key(w, STR("failures"));
    json_object_begin(w);
    for (int i = OUTCOME_GOOD + 1; i < OUTCOME_STATUS; i++)
        if (results->outcomes[i] > 0)
            json_member_u64(w, str_from_c(outcome_names[i]), results->outcomes[i]);
    for (int i = 0; i < BENCH_STATUSES_MAX; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "http_%d", i);
        if (results->statuses[i] > 0)
            json_member_u64(w, str_from_c(name), results->statuses[i]);
    }
    json_object_end(w);
    json_member_str_or_null(w, STR("first_error"),
                            results->first_error.len ? buf_str(&results->first_error) : STR_NONE);
}

static void write_process(struct json_writer *w, const struct bench *bench)
{
    const struct bench_results *results = &bench->results;
    json_key(w, STR("process"));
    if (!results->process_known) {
        json_null(w);
        return;
    }
    json_object_begin(w);
    json_member_u64(w, STR("pid"), bench->options.pid);
    json_key(w, STR("cpu_us"));
    json_double(w, process_cpu_us(results));
    json_key(w, STR("cpu_us_per_request"));
    json_double(w, per_request(process_cpu_us(results), results->process_requests));
    json_member_u64(w, STR("rss_start_bytes"), results->process_before.rss_bytes);
    json_member_u64(w, STR("rss_end_bytes"), results->process_after.rss_bytes);
    json_member_u64(w, STR("rss_peak_bytes"), results->process_after.rss_peak_bytes);
    json_member_u64(w, STR("processes"), results->process_after.processes);
    json_object_end(w);
}

static void write_settings(struct json_writer *w, const struct bench_options *options)
{
    json_member_str(w, STR("url"), options->url);
    json_member_str(w, STR("model"), options->model);
    json_member_bool(w, STR("stream"), options->stream);
    json_member_u64(w, STR("concurrency"), options->connections);
    json_member_u64(w, STR("rate"), options->rate);
    json_member_u64(w, STR("prompt_bytes"), options->prompt_bytes);
}

void bench_report_json(const struct bench *bench)
{
    const struct bench_results *results = &bench->results;
    struct json_writer w;
    struct buf BUF_AUTO out;
    buf_init(&out, 1 << 20);
    json_writer_init(&w, &out);
    json_object_begin(&w);
    write_settings(&w, &bench->options);
    json_key(&w, STR("seconds"));
    json_double(&w, (double)results->measured_us / 1e6);
    json_member_u64(&w, STR("sent"), bench->ended);
    json_member_u64(&w, STR("ok"), results->good);
    write_failures(&w, results);
    json_key(&w, STR("requests_per_s"));
    json_double(&w, per_second(results, results->good_in_time));
    write_times(&w, STR("latency_us"), &results->latency_us);
    if (bench->options.stream) {
        write_times(&w, STR("ttft_us"), &results->ttft_us);
        write_times(&w, STR("gap_us"), &results->gap_us);
    }
    json_key(&w, STR("frames"));
    json_object_begin(&w);
    json_member_u64(&w, STR("got"), results->frames);
    json_member_u64(&w, STR("lost"), results->lost);
    json_member_u64(&w, STR("doubled"), results->doubled);
    json_member_u64(&w, STR("damaged"), results->damaged);
    json_object_end(&w);
    json_member_u64(&w, STR("bytes_in"), results->bytes_in);
    json_member_u64(&w, STR("bytes_out"), results->bytes_out);
    json_member_u64(&w, STR("connects"), results->connects);
    json_key(&w, STR("own_cpu_us_per_request"));
    json_double(&w, per_request((double)results->own_cpu_us, results->process_requests));
    if (bench->options.pid > 0)
        write_process(&w, bench);
    json_object_end(&w);
    printf("%.*s\n", STR_ARG(buf_str(&out)));
}
