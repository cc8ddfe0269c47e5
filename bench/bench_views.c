/* What the view of calls costs and how it answers, on a log of made-up calls.
 *
 *     bench_views fill DIR [--calls N] [--days D]    the log: records in the gateway's form
 *
 *     bench_views fold DIR [--again]                 the view of it: CPU and bytes a call
 *
 *     bench_views ask DIR [--rounds N]               the page's questions: milliseconds of each
 *
 * The calls: 6 models at 4 providers, 24 keys, 400 users, 4 endpoints; latencies log-normal; one in
 * 40 fails, one in 60 is cancelled, one in 80 is refused. A request says about 60 words and an
 * answer 45 (5 to 400), of a vocabulary of 40,000 in which the n-th word comes 1/n as often as the
 * first, and one number that no other call has. A line of key=value goes to standard output. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "codec/json_write.h"
#include "codec/time.h"
#include "log/log.h"
#include "os/clock.h"
#include "view/view.h"

enum {
    VOCABULARY = 40000,
    IN_FLIGHT = 4096,
    RECORD_BYTES_MAX = 1 << 20,
    SAMPLES_MAX = 10000,
};

struct settings {
    const char *mode;
    const char *dir;
    unsigned long calls;
    unsigned days;
    unsigned rounds;
    bool again;
};

static struct settings set = {.calls = 200000, .days = 30, .rounds = 40};

/* ---- Chance ---- */

static uint64_t state = 88172645463325252u;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static unsigned below(unsigned n)
{
    return (unsigned)((next_random() >> 32) * n >> 32);
}

static double unit(void)
{
    return (double)(next_random() >> 11) / 9007199254740992.0;
}

/* Around the median, a third of it to three times it in most cases. */
static double spread_around(double median)
{
    return median * exp((unit() + unit() + unit() + unit() - 2) * 1.4);
}

/* ---- Words ---- */

static char vocabulary[VOCABULARY][24];

static void make_vocabulary(void)
{
    static const char *const syllables[] = {"the", "or", "der", "ship", "ped", "yes", "ter", "day",
                                            "in",  "ma", "ri",  "con",  "tra", "ble", "ing", "so",
                                            "un",  "te", "po",  "ly",   "qua", "mi",  "nal", "re"};
    for (unsigned w = 0; w < VOCABULARY; w++) {
        struct buf word = {.max = sizeof vocabulary[0]};
        for (unsigned rest = w; rest || !word.len; rest /= 24)
            buf_append_str(&word, str_from_c(syllables[rest % 24]));
        memcpy(vocabulary[w], word.ptr, word.len);
        buf_release(&word);
    }
}

/* The n-th word comes 1/n as often as the first. */
static struct str any_word(void)
{
    return str_from_c(vocabulary[(unsigned)exp(unit() * log(VOCABULARY)) % VOCABULARY]);
}

static unsigned word_count(double median)
{
    double n = spread_around(median);
    return n < 5 ? 5 : n > 400 ? 400 : (unsigned)n;
}

static void append_words(struct buf *out, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (i > 0)
            buf_append_char(out, ' ');
        buf_append_str(out, any_word());
    }
}

/* ---- A call ---- */

static const char *const models[] = {"fast", "smart", "cheap", "code", "vision", "judge"};
static const char *const targets[] = {"openai/gpt-5-mini",     "anthropic/claude-sonnet-4-5",
                                      "local/smollm2",         "openai/gpt-5",
                                      "google/gemini-2.5-pro", "anthropic/claude-haiku-4-5"};
static const char *const endpoints[] = {"chat",     "chat",      "chat",      "chat",
                                        "messages", "responses", "embeddings"};

struct fate {
    const char *outcome;
    int status;
};

static struct fate draw_fate(void)
{
    unsigned r = below(2400);
    if (r < 60)
        return (struct fate){"error", r % 3 == 0 ? 500 : r % 3 == 1 ? 502 : 429};
    if (r < 100)
        return (struct fate){"cancelled", 499};
    if (r < 130)
        return (struct fate){"refused", r % 2 ? 404 : 429};
    return (struct fate){"ok", 200};
}

struct made {
    char id[40], key[16], user[16];
    unsigned model;
    struct fate fate;
    unsigned input, output;
    char cost[24];
};

static void write_timing(struct json_writer *w, uint64_t total_us, const char *target, int status)
{
    json_key(w, STR("attempts"));
    json_array_begin(w);
    json_object_begin(w);
    json_member_str(w, STR("target"), str_from_c(target));
    json_member_i64(w, STR("status"), status);
    json_member_str_or_null(w, STR("error"), STR_NONE);
    json_member_u64(w, STR("started_us"), 40);
    json_member_u64(w, STR("connect_us"), 0);
    json_member_u64(w, STR("first_byte_us"), total_us / 4);
    json_member_u64(w, STR("end_us"), total_us - 20);
    json_member_u64(w, STR("bytes_in"), 900);
    json_member_u64(w, STR("bytes_out"), 700);
    json_member_bool(w, STR("reused"), true);
    json_member_u64(w, STR("backoff_us"), 0);
    json_object_end(w);
    json_array_end(w);
    json_key(w, STR("timing"));
    json_object_begin(w);
    json_member_u64(w, STR("queue_us"), 40);
    json_member_u64(w, STR("overhead_us"), (uint64_t)spread_around(60));
    json_member_u64(w, STR("first_byte_us"), total_us / 4);
    json_member_u64(w, STR("first_token_us"), total_us / 4 + 20);
    json_member_u64(w, STR("total_us"), total_us);
    json_object_end(w);
}

static void write_sums(struct json_writer *w, struct made *m)
{
    json_key(w, STR("usage"));
    json_object_begin(w);
    json_member_u64(w, STR("input"), m->input);
    json_member_u64(w, STR("cached_input"), m->input / 3);
    json_member_u64(w, STR("output"), m->output);
    json_member_u64(w, STR("reasoning"), 0);
    json_object_end(w);
    (void)snprintf(m->cost, sizeof m->cost, "0.%06u", m->input + 8 * m->output);
    json_key(w, STR("cost"));
    json_object_begin(w);
    json_member_str(w, STR("amount"), str_from_c(m->cost));
    json_member_str(w, STR("currency"), STR("USD"));
    json_object_end(w);
}

static void write_said(struct json_writer *w, struct str role, unsigned words, unsigned long number)
{
    struct buf text BUF_AUTO;
    buf_init(&text, 64 << 10);
    append_words(&text, words);
    if (number)
        buf_printf(&text, " %lu", number);
    json_object_begin(w);
    json_member_str(w, STR("role"), role);
    json_member_str(w, STR("content"), buf_str(&text));
    json_object_end(w);
}

static void write_bodies(struct json_writer *w, const struct made *m, unsigned long n)
{
    json_key(w, STR("request"));
    json_object_begin(w);
    json_member_str(w, STR("model"), str_from_c(models[m->model]));
    json_key(w, STR("messages"));
    json_array_begin(w);
    write_said(w, STR("user"), m->input, n + 1);
    json_array_end(w);
    json_object_end(w);
    json_key(w, STR("response"));
    json_object_begin(w);
    json_member_str(w, STR("object"), STR("chat.completion"));
    json_key(w, STR("choices"));
    json_array_begin(w);
    json_object_begin(w);
    json_member_i64(w, STR("index"), 0);
    json_key(w, STR("message"));
    write_said(w, STR("assistant"), m->output, 0);
    json_object_end(w);
    json_array_end(w);
    json_object_end(w);
}

static void write_call(struct buf *json, struct made *m, unsigned long n, int64_t time_us)
{
    struct json_writer w;
    char time[TIME_TEXT_BYTES + 1];
    uint64_t total_us = (uint64_t)spread_around(400000 + 300000 * m->model) + 100;
    const char *target = targets[below(20) ? m->model : (m->model + 1) % 6];
    bool ok = m->fate.status == 200;
    json_writer_init(&w, json);
    json_object_begin(&w);
    json_member_str(&w, STR("id"), str_from_c(m->id));
    json_member_str(&w, STR("trace_id"), str_from_c(m->id));
    json_member_str(&w, STR("span_id"), str_of(m->id + 16, 16));
    json_member_str(&w, STR("time"), time_format(time_us, time));
    json_member_str(&w, STR("key"), str_from_c(m->key));
    json_member_str(&w, STR("endpoint"),
                    str_from_c(endpoints[below(sizeof endpoints / sizeof endpoints[0])]));
    json_member_str(&w, STR("model"), str_from_c(models[m->model]));
    json_member_str(&w, STR("target"), str_from_c(target));
    json_member_i64(&w, STR("status"), m->fate.status);
    json_member_str(&w, STR("outcome"), str_from_c(m->fate.outcome));
    json_member_bool(&w, STR("stream"), below(2));
    write_timing(&w, total_us, target, m->fate.status);
    write_sums(&w, m);
    json_key(&w, STR("error"));
    if (ok) {
        json_null(&w);
    } else {
        json_object_begin(&w);
        json_member_str(&w, STR("type"), STR("api_error"));
        json_member_str(&w, STR("message"), STR("the target did not answer in time"));
        json_object_end(&w);
    }
    write_bodies(&w, m, n);
    json_member_bool(&w, STR("response_complete"), ok);
    json_key(&w, STR("metadata"));
    json_null(&w);
    json_member_str_or_null(&w, STR("user"), m->user[0] ? str_from_c(m->user) : STR_NONE);
    json_object_end(&w);
}

static struct made draw_call(int64_t time_us)
{
    struct made m = {.model = (unsigned)(unit() * unit() * 6), .fate = draw_fate()};
    (void)snprintf(m.id, sizeof m.id, "%012llx7%03x%016llx", (unsigned long long)time_us / 1000,
                   below(4096), (unsigned long long)(next_random() >> 1 | UINT64_C(1) << 63));
    (void)snprintf(m.key, sizeof m.key, "key%u", (unsigned)(unit() * unit() * 24));
    if (below(3))
        (void)snprintf(m.user, sizeof m.user, "user%u", below(400));
    m.input = word_count(60);
    m.output = word_count(45);
    return m;
}

/* ---- The log ---- */

static struct log *open_log(void)
{
    struct log_options options = {.dir = set.dir};
    struct buf detail BUF_AUTO;
    struct log *log = NULL;
    buf_init(&detail, 4096);
    if (log_open(&options, &detail, &log) != ERR_OK) {
        (void)fprintf(stderr, "%.*s\n", STR_ARG(buf_str(&detail)));
        exit(1);
    }
    return log;
}

static struct log_part *open_calls(struct log *log)
{
    struct log_topic_config config = LOG_TOPIC_CONFIG_DEFAULT;
    struct log_topic *topic = NULL;
    ASSERT(log_topic_open(log, STR("weir.calls"), &config, &topic) == ERR_OK);
    return log_topic_part(topic, 0);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- fill ---- */

static atomic_ulong completed;

static void count_done(struct log_append *first)
{
    unsigned long n = 0;
    for (; first; first = first->next, n++)
        ASSERT(first->error == ERR_OK);
    atomic_fetch_add(&completed, n);
}

static void append_call(struct log_part *part, struct buf *json, unsigned long n, int64_t time_us,
                        struct log_append *append)
{
    struct made m = draw_call(time_us);
    char status[8];
    char tokens[16];
    buf_reset(json);
    write_call(json, &m, n, time_us);
    (void)snprintf(status, sizeof status, "%d", m.fate.status);
    (void)snprintf(tokens, sizeof tokens, "%u", m.input + m.output);
    struct record_header headers[] = {{STR("model"), str_from_c(models[m.model])},
                                      {STR("status"), str_from_c(status)},
                                      {STR("tokens"), str_from_c(tokens)},
                                      {STR("cost"), str_from_c(m.cost)},
                                      {STR("key"), str_from_c(m.key)}};
    struct str value = buf_str(json);
    struct log_record record = {.timestamp_ms = time_us / 1000,
                                .key = str_from_c(m.id),
                                .value = &value,
                                .value_parts = 1,
                                .headers = headers,
                                .header_count = sizeof headers / sizeof headers[0]};
    *append = (struct log_append){.done = count_done};
    ASSERT(log_append(part, &record, append) == ERR_OK);
}

/* The last call ends now; the first was set.days ago. */
static void run_fill(void)
{
    static struct log_append appends[IN_FLIGHT];
    struct log *log = open_log();
    struct log_part *part = open_calls(log);
    struct buf json BUF_AUTO;
    uint64_t start = os_now_us();
    int64_t now_us = (int64_t)os_wall_us();
    int64_t span_us = (int64_t)set.days * 86400 * 1000000;
    buf_init(&json, RECORD_BYTES_MAX);
    for (unsigned long n = 0; n < set.calls; n++) {
        while (n - atomic_load(&completed) >= IN_FLIGHT)
            usleep(200);
        int64_t back_us = (int64_t)((double)span_us * (double)(set.calls - n) / (double)set.calls);
        append_call(part, &json, n, now_us - back_us, &appends[n % IN_FLIGHT]);
    }
    while (atomic_load(&completed) < set.calls)
        usleep(200);
    struct log_part_info info;
    log_part_describe(part, &info);
    printf("mode=fill calls=%lu log_bytes_per_call=%.0f seconds=%.1f\n", set.calls,
           (double)info.bytes / (double)set.calls, (double)(os_now_us() - start) / 1e6);
    log_close(log);
}

/* ---- fold ---- */

static void on_report(void *arg, enum log_severity severity, struct str text)
{
    (void)arg;
    (void)severity;
    (void)fprintf(stderr, "%.*s\n", STR_ARG(text));
}

static struct view *open_view(struct log *log, struct log_part *calls)
{
    struct buf detail BUF_AUTO;
    struct view *view = NULL;
    struct view_options options = {
        .log = log, .calls = calls, .data_dir = str_from_c(set.dir), .report = on_report};
    buf_init(&detail, 4096);
    if (view_open(&options, &detail, &view) != ERR_OK) {
        (void)fprintf(stderr, "%.*s\n", STR_ARG(buf_str(&detail)));
        exit(1);
    }
    return view;
}

static struct view_state wait_level(struct view *view)
{
    struct view_state s;
    for (view_state(view, &s); s.next_offset < s.end_offset; view_state(view, &s))
        usleep(20000);
    return s;
}

static void run_fold(void)
{
    struct log *log = open_log();
    struct log_part *calls = open_calls(log);
    uint64_t start = os_now_us();
    double cpu = cpu_seconds();
    struct view *view = open_view(log, calls);
    if (set.again) {
        view_rebuild(view);
        usleep(300000);
    }
    struct view_state s = wait_level(view);
    cpu = cpu_seconds() - cpu;
    double n = (double)(s.end_offset - log_part_start(calls));
    printf("mode=fold calls=%.0f cpu_us_per_call=%.2f calls_per_cpu_s=%.0f seconds=%.1f "
           "sqlite_bytes_per_call=%.0f\n",
           n, cpu * 1e6 / n, n / cpu, (double)(os_now_us() - start) / 1e6, (double)s.bytes / n);
    view_close(view);
    log_close(log);
}

/* ---- ask ---- */

static int by_value(const void *left, const void *right)
{
    const uint64_t *a = left;
    const uint64_t *b = right;
    return *a < *b ? -1 : *a > *b;
}

struct times {
    uint64_t us[SAMPLES_MAX];
    size_t count;
};

static void add_time(struct times *t, uint64_t start_us)
{
    if (t->count < SAMPLES_MAX)
        t->us[t->count++] = os_now_us() - start_us;
}

static void print_times(const char *name, struct times *t)
{
    qsort(t->us, t->count, sizeof t->us[0], by_value);
    printf("mode=ask question=%s asked=%zu p50_ms=%.2f p99_ms=%.2f max_ms=%.2f\n", name, t->count,
           (double)t->us[t->count / 2] / 1e3, (double)t->us[t->count * 99 / 100] / 1e3,
           (double)t->us[t->count - 1] / 1e3);
    (void)fflush(stdout);
    t->count = 0;
}

/* Each fills in what it asks for; from the end, or from anywhere. */
enum question {
    RECENT,
    BY_MODEL,
    BY_TARGET,
    BY_KEY,
    BY_ENDPOINT,
    BY_OUTCOME,
    BY_STATUS,
    BY_USER,
    BY_SLOW,
    BY_SLOW_RARE,
    BY_SINCE,
    BY_THREE,
    BY_RARE_PAIR,
    WORD_COMMON,
    WORD_RARE,
    WORDS_TWO_COMMON,
    WORD_BEGINNING,
    WORD_NUMBER,
    WORD_NONE,
    WORD_AND_MODEL,
    WORD_AND_RARE_PAIR,
    QUESTIONS,
};

static const char *const question_names[QUESTIONS] = {
    "recent",
    "model",
    "target",
    "key",
    "endpoint",
    "outcome",
    "status",
    "user",
    "slow",
    "slow_rare",
    "since",
    "model_key_status",
    "user_status_model",
    "word_common",
    "word_rare",
    "words_two_common",
    "word_beginning",
    "word_number",
    "word_none",
    "word_model",
    "word_user_status",
};

static void ask_for(enum question q, struct view_filter *f, char text[64])
{
    char other[32];
    (void)snprintf(text, 64, "user%u", below(400));
    switch (q) {
    case BY_MODEL: f->model = str_from_c(models[below(6)]); break;
    case BY_TARGET: f->target = str_from_c(targets[below(6)]); break;
    case BY_KEY: f->key = STR("key17"); break;
    case BY_ENDPOINT: f->endpoint = str_from_c(endpoints[below(7)]); break;
    case BY_OUTCOME: f->outcome = below(2) ? STR("error") : STR("cancelled"); break;
    case BY_STATUS: f->status = below(2) ? STR("5xx") : STR("429"); break;
    case BY_USER: f->user = str_from_c(text); break;
    case BY_SLOW: f->total_us_min = 2000000; break;
    case BY_SLOW_RARE: f->total_us_min = 20000000; break;
    case BY_SINCE: f->since_us = (int64_t)os_wall_us() - INT64_C(3600000000); break;
    case BY_THREE:
        *f = (struct view_filter){.model = STR("smart"), .key = STR("key3"), .status = STR("200")};
        break;
    case BY_RARE_PAIR:
        *f = (struct view_filter){
            .model = STR("judge"), .user = str_from_c(text), .status = STR("404")};
        break;
    case WORD_COMMON: f->words = str_from_c(vocabulary[below(20)]); break;
    case WORD_RARE: f->words = str_from_c(vocabulary[20000 + below(20000)]); break;
    case WORDS_TWO_COMMON:
        (void)snprintf(text, 64, "%s %s", vocabulary[below(10)], vocabulary[10 + below(10)]);
        f->words = str_from_c(text);
        break;
    case WORD_BEGINNING: f->words = STR("th"); break;
    case WORD_NUMBER:
        (void)snprintf(text, 64, "%lu", 1 + (unsigned long)(unit() * (double)set.calls));
        f->words = str_from_c(text);
        break;
    case WORD_NONE: f->words = STR("xylophone"); break;
    case WORD_AND_MODEL:
        *f = (struct view_filter){.model = STR("judge"),
                                  .words = str_from_c(vocabulary[below(200)])};
        break;
    case WORD_AND_RARE_PAIR:
        (void)snprintf(other, sizeof other, "%s", vocabulary[below(20)]);
        *f = (struct view_filter){.user = str_from_c(text), .status = STR("404")};
        f->words = str_from_c(vocabulary[below(20)]);
        break;
    default: break;
    }
}

static void ask_calls(struct view *view, struct times *t)
{
    int64_t offsets[50];
    for (unsigned q = 0; q < QUESTIONS; q++) {
        size_t found = 0;
        for (unsigned i = 0; i < set.rounds; i++) {
            struct view_filter f = {.words = STR("")};
            char text[64];
            size_t count = 0;
            int64_t before = i % 2 ? (int64_t)(unit() * (double)set.calls) : -1;
            ask_for(q, &f, text);
            uint64_t start = os_now_us();
            enum err error = view_search(view, &f, before, 50, offsets, &count);
            add_time(t, start);
            if (error != ERR_OK)
                printf("question=%s error=%s\n", question_names[q], err_name(error));
            found += count;
        }
        ASSERT(found > 0 || q == WORD_NONE || q == BY_SLOW_RARE || q >= BY_RARE_PAIR);
        print_times(question_names[q], t);
    }
}

static void ask_stats(struct view *view, struct times *t)
{
    static const struct {
        const char *name;
        int64_t hours, step_s;
        const char *by;
    } windows[] = {
        {"stats_1h", 1, 60, ""},
        {"stats_1h_model", 1, 60, "model"},
        {"stats_1d", 24, 3600, ""},
        {"stats_1d_key", 24, 3600, "key"},
        {"stats_7d", 168, 3600, ""},
        {"stats_7d_model", 168, 21600, "model"},
        {"stats_30d", 720, 86400, ""},
        {"stats_30d_outcome", 720, 86400, "outcome"},
        {"stats_all_model", 0, 0, "model"},
    };
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        for (unsigned n = 0; n < set.rounds; n++) {
            struct buf json BUF_AUTO;
            struct view_question q = {.by = str_from_c(windows[i].by), .step_s = windows[i].step_s};
            buf_init(&json, 64 << 20);
            if (windows[i].hours)
                q.filter.since_us = (int64_t)os_wall_us() - windows[i].hours * INT64_C(3600000000);
            uint64_t start = os_now_us();
            ASSERT(view_stats(view, &q, &json) == ERR_OK);
            add_time(t, start);
        }
        print_times(windows[i].name, t);
    }
}

static void run_ask(void)
{
    static struct times times;
    struct log *log = open_log();
    struct log_part *calls = open_calls(log);
    struct view *view = open_view(log, calls);
    set.calls = (unsigned long)wait_level(view).end_offset;
    ask_calls(view, &times);
    ask_stats(view, &times);
    view_close(view);
    log_close(log);
}

/* ---- main ---- */

static unsigned long number_after(int argc, char **argv, const char *name, unsigned long fallback)
{
    for (int i = 3; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return strtoul(argv[i + 1], NULL, 10);
    return fallback;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        (void)fprintf(stderr, "usage: bench_views fill|fold|ask DIR [--calls N] [--days D] "
                              "[--again] [--rounds N]\n");
        return 2;
    }
    set.mode = argv[1];
    set.dir = argv[2];
    set.calls = number_after(argc, argv, "--calls", set.calls);
    set.days = (unsigned)number_after(argc, argv, "--days", set.days);
    set.rounds = (unsigned)number_after(argc, argv, "--rounds", set.rounds);
    set.again = strcmp(argv[argc - 1], "--again") == 0;
    make_vocabulary();
    if (strcmp(set.mode, "fill") == 0)
        run_fill();
    else if (strcmp(set.mode, "fold") == 0)
        run_fold();
    else
        run_ask();
    return 0;
}
