/* What the log costs and carries on this machine. Without arguments: every measurement below, each
 * in a process and a folder of its own under build/ (or $BENCH_DIR); `make bench/log` does that.
 *
 *     bench_log write [--bytes N] [--seconds S] [--compression none|lz4|zstd]
 *     bench_log sync  [--appenders N] [--window W] [--delay-us D] [--seconds S]
 *     bench_log turns [--window W] [--seconds S] [--compression C]
 *     bench_log quiet [--gap-us G] [--seconds S] [--lazy] [--compression C]
 *     bench_log open  [--gib N]
 *
 * write   one thread appends as fast as the log takes it; MB/s by the clock, and by CPU seconds
 * sync    appenders that each keep W appends waiting for their sync; --delay-us is added to every
 *         fdatasync
 * turns   an event loop at its limit: W appends, then log_commit, again and again; CPU µs for each
 *         append, syncs included
 * quiet   an append every gap; CPU µs for each, by the committer's thread or (--lazy) log_commit
 * open    fill N GiB, then open it after a clean stop and after the death of the process
 *
 * Values are chat calls of about 3 KB made up from words, or --bytes random letters. A line of
 * key=value goes to standard output. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "log/log.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/thread.h"

struct settings {
    const char *mode;
    const char *dir;
    size_t bytes;
    unsigned seconds;
    unsigned appenders;
    unsigned window;
    unsigned delay_us;
    unsigned gap_us;
    bool lazy;
    enum compress_codec compression;
    unsigned gib;
};

static struct settings set = {
    .seconds = 5, .appenders = 64, .window = 1, .gap_us = 1000, .gib = 10};

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A disk whose fdatasync takes longer. */
static enum err slow_datasync(struct os_file *file)
{
    enum err error = os_fs_machine()->datasync(file);
    usleep(set.delay_us);
    return error;
}

static struct os_fs slow_fs(void)
{
    struct os_fs fs = *os_fs_machine();
    fs.datasync = slow_datasync;
    return fs;
}

/* Values -------------------------------------------------------------------------------------- */

static struct str values[4096];
static size_t value_count;

enum { VOCABULARY = 4000 };

/* Words of one to four syllables, the first ones far more often than the last: as compressible as
 * text. */
static void append_word(struct buf *out, unsigned word)
{
    static const char *const syllables[] = {"the", "or", "der", "ship", "ped", "yes", "ter", "day",
                                            "in",  "ma", "ri",  "con",  "tra", "ble", "ing", "so",
                                            "un",  "te", "po",  "ly",   "qua", "mi",  "nal", "re"};
    unsigned x = word * 2654435761u;
    for (unsigned n = word < 40 ? 1 : 1 + x % 4; n > 0; n--, x = x / 7 + 13 * word)
        buf_append_str(out, str_from_c(syllables[x % 24]));
}

static void append_words(struct buf *out, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned r = (unsigned)rand() % 1000;
        if (i > 0)
            buf_append_char(out, ' ');
        append_word(out, r * r / 1000 * r / 1000 * VOCABULARY / 1000);
    }
}

/* A record as the gateway writes it, with a request and an answer of ordinary length. */
static void append_call(struct buf *out)
{
    buf_printf(
        out,
        "{\"id\":\"%08x%08x\",\"time\":\"2026-11-24T10:00:00.%06dZ\",\"key\":\"web\","
        "\"endpoint\":\"chat\",\"model\":\"fast\",\"target\":\"openai/gpt-5-mini\",\"status\":200,"
        "\"outcome\":\"ok\",\"stream\":false,\"attempts\":[{\"target\":\"openai/gpt-5-mini\","
        "\"status\":200,\"error\":null,\"started_us\":%d,\"connect_us\":0,\"first_byte_us\":%d,"
        "\"end_us\":%d,\"bytes_in\":1500,\"bytes_out\":900}],\"usage\":{\"input\":%d,\"output\":%d}"
        ",",
        rand(), rand(), rand() % 1000000, rand() % 100, rand() % 900000, rand() % 2000000,
        rand() % 500, rand() % 500);
    buf_append_str(
        out,
        STR("\"request\":{\"model\":\"fast\",\"messages\":[{\"role\":\"user\",\"content\":\""));
    append_words(out, 180 + (unsigned)rand() % 140);
    buf_append_str(out, STR("\"}]},\"response\":{\"object\":\"chat.completion\",\"choices\":[{"
                            "\"message\":{\"content\":\""));
    append_words(out, 180 + (unsigned)rand() % 140);
    buf_append_str(out, STR("\"}}]}}"));
}

static void make_values(void)
{
    for (value_count = 0; value_count < 1024; value_count++) {
        struct buf text;
        buf_init(&text, 1 << 20);
        if (set.bytes == 0)
            append_call(&text);
        while (text.len < set.bytes)
            buf_append_char(&text, (char)('a' + rand() % 26));
        values[value_count] = buf_take(&text);
    }
}

static struct log *open_log(const struct os_fs *fs)
{
    struct log_options options = {.fs = fs, .dir = set.dir};
    struct buf detail BUF_AUTO;
    struct log *log = NULL;
    buf_init(&detail, 4096);
    if (log_open(&options, &detail, &log) != ERR_OK) {
        fprintf(stderr, "%.*s\n", STR_ARG(buf_str(&detail)));
        exit(1);
    }
    return log;
}

static struct log_part *open_part(struct log *log, const char *name, enum log_durability durability)
{
    struct log_topic_config config = LOG_TOPIC_CONFIG_DEFAULT;
    struct log_topic *topic = NULL;
    config.compression = set.compression;
    config.durability = durability;
    config.retention_bytes = strcmp(name, "open") == 0 ? -1 : (int64_t)1 << 30;
    ASSERT(log_topic_open(log, str_from_c(name), &config, &topic) == ERR_OK);
    return log_topic_part(topic, 0);
}

static atomic_ulong completed;
static atomic_ulong failed;

/* write --------------------------------------------------------------------------------------- */

enum { RING = 1 << 14 };

static void count_done(struct log_append *first)
{
    unsigned long n = 0;
    for (; first; first = first->next) {
        n++;
        if (first->error != ERR_OK)
            atomic_fetch_add(&failed, 1);
    }
    atomic_fetch_add(&completed, n);
}

static void run_write(void)
{
    struct log *log = open_log(NULL);
    struct log_part *part = open_part(log, "write", LOG_WRITE);
    struct log_append *ring = mem_array(RING, sizeof *ring);
    uint64_t start = os_now_us();
    double cpu = cpu_seconds();
    unsigned long sent = 0;
    unsigned long bytes = 0;
    while (os_now_us() - start < (uint64_t)set.seconds * 1000000) {
        if (sent - atomic_load(&completed) >= RING / 2) {
            usleep(50);
            continue;
        }
        for (int i = 0; i < 64; i++, sent++) {
            struct log_append *a = &ring[sent % RING];
            *a = (struct log_append){.done = count_done};
            struct log_record record = {.timestamp_ms = (int64_t)sent,
                                        .value = &values[sent % value_count],
                                        .value_parts = 1};
            ASSERT(log_append(part, &record, a) == ERR_OK);
            bytes += record.value->len;
        }
    }
    while (atomic_load(&completed) < sent)
        usleep(100);
    ASSERT(sent > 0);
    double seconds = (double)(os_now_us() - start) / 1e6;
    cpu = cpu_seconds() - cpu;
    struct log_stats stats;
    log_stats(log, &stats);
    printf("mode=write record_bytes=%zu compression=%s mb_per_s=%.0f mb_per_cpu_s=%.0f "
           "records_per_s=%.0f "
           "cpu_us_per_record=%.2f records_per_batch=%.1f written_mb=%.0f syncs=%llu errors=%lu\n",
           (size_t)(bytes / sent), compress_name(set.compression), (double)bytes / 1e6 / seconds,
           (double)bytes / 1e6 / cpu, (double)sent / seconds, cpu * 1e6 / (double)sent,
           (double)stats.appends / (double)stats.batches, (double)stats.bytes / 1e6,
           (unsigned long long)stats.syncs, atomic_load(&failed));
    log_close(log);
    mem_free(ring);
}

/* sync ---------------------------------------------------------------------------------------- */

struct appender {
    struct log_part *part;
    struct os_thread thread;
    struct os_mutex lock;
    struct os_cond cond;
    struct log_append *appends;
    struct log_append *free_list;
    unsigned free_count;
};

static atomic_bool stop;

static void appender_done(struct log_append *first)
{
    struct appender *a = first->owner;
    count_done(first);
    os_mutex_lock(&a->lock);
    for (struct log_append *next; first; first = next) {
        next = first->next;
        first->next = a->free_list;
        a->free_list = first;
        a->free_count++;
    }
    os_cond_signal(&a->cond);
    os_mutex_unlock(&a->lock);
}

static void appender_run(void *arg)
{
    struct appender *a = arg;
    os_mutex_lock(&a->lock);
    while (!atomic_load(&stop)) {
        struct log_append *append = a->free_list;
        if (!append) {
            os_cond_wait(&a->cond, &a->lock);
            continue;
        }
        a->free_list = append->next;
        a->free_count--;
        os_mutex_unlock(&a->lock);
        *append = (struct log_append){.done = appender_done, .owner = a};
        struct log_record record = {.timestamp_ms = -1, .value = &values[0], .value_parts = 1};
        ASSERT(log_append(a->part, &record, append) == ERR_OK);
        os_mutex_lock(&a->lock);
    }
    while (a->free_count < set.window)
        os_cond_wait(&a->cond, &a->lock);
    os_mutex_unlock(&a->lock);
}

static void run_sync(void)
{
    struct os_fs fs = slow_fs();
    struct log *log = open_log(set.delay_us ? &fs : NULL);
    struct log_part *part = open_part(log, "sync", LOG_SYNC);
    struct appender *appenders = mem_array(set.appenders, sizeof *appenders);
    uint64_t start = os_now_us();
    double cpu = cpu_seconds();
    for (unsigned i = 0; i < set.appenders; i++) {
        struct appender *a = &appenders[i];
        a->part = part;
        os_mutex_init(&a->lock);
        os_cond_init(&a->cond);
        a->appends = mem_array(set.window, sizeof *a->appends);
        for (unsigned w = 0; w < set.window; w++) {
            a->appends[w].next = a->free_list;
            a->free_list = &a->appends[w];
        }
        a->free_count = set.window;
        ASSERT(os_thread_start("appender", appender_run, a, &a->thread) == ERR_OK);
    }
    sleep(set.seconds);
    unsigned long n = atomic_load(&completed);
    double seconds = (double)(os_now_us() - start) / 1e6;
    cpu = cpu_seconds() - cpu;
    struct log_stats stats;
    log_stats(log, &stats);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < set.appenders; i++) {
        os_mutex_lock(&appenders[i].lock);
        os_cond_signal(&appenders[i].cond);
        os_mutex_unlock(&appenders[i].lock);
        os_thread_join(&appenders[i].thread);
    }
    printf("mode=sync appenders=%u window=%u delay_us=%u acks_per_s=%.0f cpu_us_per_append=%.1f "
           "syncs_per_s=%.0f "
           "sync_us=%.0f appends_per_sync=%.1f errors=%lu\n",
           set.appenders, set.window, set.delay_us, (double)n / seconds, cpu * 1e6 / (double)n,
           (double)stats.syncs / seconds, (double)stats.sync_us / (double)stats.syncs,
           (double)n / (double)stats.syncs, atomic_load(&failed));
    log_close(log);
}

/* quiet --------------------------------------------------------------------------------------- */

static void run_quiet(void)
{
    struct log *log = open_log(NULL);
    struct log_part *part = open_part(log, "quiet", LOG_WRITE);
    static struct log_append append;
    uint64_t start = os_now_us();
    double cpu = cpu_seconds();
    unsigned long sent = 0;
    uint64_t wait_us = 0;
    uint64_t worst_us = 0;
    while (os_now_us() - start < (uint64_t)set.seconds * 1000000) {
        append = (struct log_append){.done = count_done, .lazy = set.lazy};
        struct log_record record = {
            .timestamp_ms = -1, .value = &values[sent % value_count], .value_parts = 1};
        uint64_t t = os_now_us();
        ASSERT(log_append(part, &record, &append) == ERR_OK);
        if (set.lazy)
            log_commit(log);
        sent++;
        while (atomic_load(&completed) < sent)
            usleep(1);
        t = os_now_us() - t;
        wait_us += t;
        worst_us = t > worst_us ? t : worst_us;
        usleep(set.gap_us);
    }
    cpu = cpu_seconds() - cpu;
    struct log_stats stats;
    log_stats(log, &stats);
    printf("mode=quiet lazy=%d compression=%s record_bytes=%.0f appends=%lu cpu_us_per_append=%.1f "
           "ack_us=%.0f worst_us=%llu syncs=%llu sync_us=%.0f\n",
           set.lazy, compress_name(set.compression), (double)stats.bytes / (double)sent, sent,
           cpu * 1e6 / (double)sent, (double)wait_us / (double)sent, (unsigned long long)worst_us,
           (unsigned long long)stats.syncs, (double)stats.sync_us / (double)stats.syncs);
    log_close(log);
}

/* turns --------------------------------------------------------------------------------------- */

static void run_turns(void)
{
    struct log *log = open_log(NULL);
    struct log_part *part = open_part(log, "turns", LOG_WRITE);
    struct log_append *appends = mem_array(set.window, sizeof *appends);
    uint64_t start = os_now_us();
    double cpu = cpu_seconds();
    unsigned long sent = 0;
    while (os_now_us() - start < (uint64_t)set.seconds * 1000000) {
        for (unsigned i = 0; i < set.window; i++, sent++) {
            appends[i] = (struct log_append){.done = count_done, .lazy = true};
            struct log_record record = {
                .timestamp_ms = -1, .value = &values[sent % value_count], .value_parts = 1};
            ASSERT(log_append(part, &record, &appends[i]) == ERR_OK);
        }
        log_commit(log);
        while (atomic_load(&completed) < sent)
            usleep(10);
    }
    ASSERT(sent > 0);
    cpu = cpu_seconds() - cpu;
    struct log_stats stats;
    log_stats(log, &stats);
    printf("mode=turns window=%u compression=%s written_bytes=%.0f appends=%lu "
           "cpu_us_per_append=%.2f syncs=%llu\n",
           set.window, compress_name(set.compression), (double)stats.bytes / (double)sent, sent,
           cpu * 1e6 / (double)sent, (unsigned long long)stats.syncs);
    log_close(log);
    mem_free(appends);
}

/* open ---------------------------------------------------------------------------------------- */

static uint64_t timed_open(const char *after)
{
    uint64_t start = os_now_us();
    struct log *log = open_log(NULL);
    uint64_t us = os_now_us() - start;
    struct log_part_info info;
    log_part_describe(log_topic_part(log_topic_find(log, STR("open")), 0), &info);
    printf("mode=open after=%s gib=%.1f segments=%u open_ms=%.1f\n", after,
           (double)info.bytes / (1 << 30), info.segments, (double)us / 1000);
    (void)fflush(stdout);
    if (strcmp(after, "clean_stop") == 0)
        _exit(0); /* so that the next open is after a death */
    log_close(log);
    return us;
}

static void fill(void)
{
    struct log *log = open_log(NULL);
    struct log_part *part = open_part(log, "open", LOG_WRITE);
    static struct log_append appends[64];
    uint64_t bytes = 0;
    unsigned long sent = 0;
    while (bytes < (uint64_t)set.gib << 30) {
        for (unsigned i = 0; i < 64; i++, sent++) {
            appends[i] = (struct log_append){.done = count_done};
            struct log_record record = {
                .timestamp_ms = -1, .value = &values[sent % value_count], .value_parts = 1};
            ASSERT(log_append(part, &record, &appends[i]) == ERR_OK);
            bytes += record.value->len;
        }
        while (atomic_load(&completed) < sent)
            usleep(20);
    }
    log_close(log);
}

static void in_child(void (*run)(void))
{
    pid_t pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) {
        run();
        _exit(0);
    }
    int status = 0;
    ASSERT(waitpid(pid, &status, 0) == pid && status == 0);
}

static void open_after_clean_stop(void)
{
    (void)timed_open("clean_stop");
}

static void open_after_death(void)
{
    (void)timed_open("death");
}

static void run_open(void)
{
    set.compression = COMPRESS_NONE;
    in_child(fill);
    in_child(open_after_clean_stop);
    in_child(open_after_death);
}

/* All of it ----------------------------------------------------------------------------------- */

static void remove_dir(const char *dir)
{
    char command[512];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0)
        fprintf(stderr, "bench_log: cannot remove %s\n", dir);
}

static int run_suite(const char *self)
{
    static const char *const runs[] = {
        "write --bytes 1024",
        "write --bytes 1024 --compression lz4",
        "write",
        "write --compression lz4",
        "write --compression zstd",
        "turns --window 1 --compression none",
        "turns --window 1 --compression lz4",
        "turns --window 1 --compression zstd",
        "turns --window 16 --compression none",
        "turns --window 16 --compression lz4",
        "turns --window 16 --compression zstd",
        "quiet --compression lz4",
        "quiet --compression lz4 --lazy",
        "sync --bytes 1024 --window 1",
        "sync --bytes 1024 --window 1 --delay-us 4000",
        "sync --bytes 1024 --window 2 --delay-us 4000",
        "sync --bytes 1024 --window 4 --delay-us 4000",
        "open --gib 10",
    };
    const char *base = getenv("BENCH_DIR") ? getenv("BENCH_DIR") : "build";
    int wrong = 0;
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        char command[1024];
        char dir[256];
        (void)snprintf(dir, sizeof dir, "%s/bench-log-%d", base, (int)getpid());
        (void)snprintf(command, sizeof command, "'%s' %s --dir '%s'", self, runs[i], dir);
        wrong += system(command) != 0;
        remove_dir(dir);
    }
    return wrong > 0;
}

__attribute__((noreturn)) static void usage(void)
{
    fprintf(stderr,
            "usage: bench_log [write|sync|turns|quiet|open --dir DIR [--bytes N] [--seconds S] "
            "[--compression C] [--appenders N] [--window W] [--delay-us D] [--gap-us G] [--lazy] "
            "[--gib N]]\n");
    exit(2);
}

static unsigned number(const char *text)
{
    uint64_t n = 0;
    if (!text || str_to_u64(str_from_c(text), &n) != ERR_OK || n > 1u << 30)
        usage();
    return (unsigned)n;
}

static void parse(int argc, char **argv)
{
    if (argc < 2)
        usage();
    set.mode = argv[1];
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--lazy") == 0) {
            set.lazy = true;
            continue;
        }
        if (strcmp(argv[i], "--dir") == 0)
            set.dir = value;
        else if (strcmp(argv[i], "--gib") == 0)
            set.gib = number(value);
        else if (strcmp(argv[i], "--bytes") == 0)
            set.bytes = number(value);
        else if (strcmp(argv[i], "--seconds") == 0)
            set.seconds = number(value);
        else if (strcmp(argv[i], "--appenders") == 0)
            set.appenders = number(value);
        else if (strcmp(argv[i], "--window") == 0)
            set.window = number(value);
        else if (strcmp(argv[i], "--delay-us") == 0)
            set.delay_us = number(value);
        else if (strcmp(argv[i], "--gap-us") == 0)
            set.gap_us = number(value);
        else if (strcmp(argv[i], "--compression") != 0 || !value ||
                 compress_from_name(str_from_c(value), &set.compression) != ERR_OK)
            usage();
        i++;
    }
    if (!set.dir)
        usage();
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return run_suite(argv[0]);
    parse(argc, argv);
    const char *mode = set.mode ? set.mode : "";
    make_values();
    if (strcmp(mode, "write") == 0)
        run_write();
    else if (strcmp(mode, "sync") == 0)
        run_sync();
    else if (strcmp(mode, "open") == 0)
        run_open();
    else if (strcmp(mode, "turns") == 0)
        run_turns();
    else if (strcmp(mode, "quiet") == 0)
        run_quiet();
    else
        usage();
    return 0;
}
