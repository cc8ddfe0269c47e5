/* Every kind of operation on the disk fails in turn, at every moment of a log's life. What was
 * acknowledged must be there afterwards, what was refused must not, and the log must go on or say
 * clearly why not. */
#include "tests/unit/log/log_test.h"

#include "os/sim_fs.h"

enum { RECORDS = 70, FILLER = 3000 };

static struct {
    struct sim_fs *disk;
    enum sim_op op;
    uint64_t nth;
    bool acknowledged[RECORDS + 10];
    bool refused[RECORDS + 10];
    int deaths; /* syncs that failed */
} run;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("%s:%d: %s, when %s number %llu fails\n", __FILE__, __LINE__, #condition,       \
                   sim_op_name(run.op), (unsigned long long)run.nth);                              \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

/* The end of the process: nothing more may happen. */
static void on_fatal(void *arg, struct str text)
{
    (void)arg;
    CHECK(str_starts(text, STR("event=log_sync_failed path=/data")));
    run.deaths++;
    sim_fs_crash(run.disk);
}

static const struct log_topic_config config = {.partitions = 1,
                                               .compression = COMPRESS_LZ4,
                                               .retention_ms = -1,
                                               .retention_bytes = -1,
                                               .segment_bytes = 64 << 10};

static bool try_open(struct log **ret_log, struct log_part **ret_part)
{
    struct log_options options = {.fs = sim_fs_table(run.disk),
                                  .dir = "/data",
                                  .quota_bytes = LOG_QUOTA_MIN_BYTES,
                                  .manual = true,
                                  .fatal = on_fatal};
    struct buf detail BUF_AUTO;
    struct log_topic *topic = NULL;
    buf_init(&detail, 4096);
    if (log_open(&options, &detail, ret_log) != ERR_OK) {
        CHECK(detail.len > 0);
        return false;
    }
    if (log_topic_open(*ret_log, STR("t"), &config, &topic) != ERR_OK) {
        log_close(*ret_log);
        return false;
    }
    *ret_part = log_topic_part(topic, 0);
    return true;
}

static void append_some(struct log *log, struct log_part *part, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        int64_t offset = append_numbered(part, n, FILLER, n % 3 ? LOG_ACK_WRITE : LOG_ACK_SYNC);
        run.acknowledged[n] = offset >= 0;
        run.refused[n] = offset < 0 && !sim_fs_is_down(run.disk);
        if (n % 16 == 0) {
            struct log_topic *other = NULL;
            if (log_topic_open(log, STR("other"), &config, &other) == ERR_OK)
                (void)append_numbered(log_topic_part(other, 0), n, 10, LOG_ACK_WRITE);
        }
    }
}

static void read_all(struct log_part *part)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *e = NULL;
    uint64_t before = 0;
    if (log_cursor_open(part, 0, LOG_FORWARD, &cursor) != ERR_OK)
        return;
    while (log_cursor_next(cursor, &e) == ERR_OK && e) {
        uint64_t n = entry_number(e);
        CHECK(n >= before && !run.refused[n]);
        before = n + 1;
    }
    log_cursor_close(cursor);
}

/* A life: made, filled, read, a topic removed, closed, opened again. */
static void live(void)
{
    struct log *log = NULL;
    struct log_part *part = NULL;
    for (int round = 0; round < 2; round++) {
        if (!try_open(&log, &part))
            continue;
        append_some(log, part, round ? RECORDS / 2 : 0, round ? RECORDS : RECORDS / 2);
        log_maintain(log);
        read_all(part);
        struct log_topic *other = log_topic_find(log, STR("other"));
        if (other && log_topic_delete(other) != ERR_OK)
            (void)0; /* the open after this finishes it */
        log_close(log);
    }
}

static void check_after(void)
{
    struct log *log = NULL;
    struct log_part *part = NULL;
    struct log_cursor *cursor = NULL;
    const struct log_entry *e = NULL;
    bool seen[RECORDS + 10] = {false};
    bool power_lost = sim_fs_is_down(run.disk);
    sim_fs_fail(run.disk, run.op, 0, ERR_OK);
    sim_fs_restart(run.disk);
    CHECK(try_open(&log, &part));
    CHECK(log_cursor_open(part, 0, LOG_FORWARD, &cursor) == ERR_OK);
    for (;;) {
        CHECK(log_cursor_next(cursor, &e) == ERR_OK);
        if (!e)
            break;
        uint64_t n = entry_number(e);
        CHECK(!seen[n] && !run.refused[n]);
        seen[n] = true;
    }
    log_cursor_close(cursor);
    for (uint64_t n = 0; n < RECORDS; n++)
        CHECK(seen[n] || !run.acknowledged[n] || (power_lost && n % 3 > 0));
    CHECK(append_numbered(part, RECORDS, 10, LOG_ACK_SYNC) >= 0);
    CHECK(sim_fs_used(run.disk) <= LOG_QUOTA_MIN_BYTES);
    log_close(log);
}

static void with_disk(enum sim_op op, uint64_t nth, enum err error)
{
    memset(&run, 0, sizeof run);
    run.disk = sim_fs_new(nth * 31 + op);
    run.op = op;
    run.nth = nth;
    sim_fs_fail(run.disk, op, nth, error);
}

static void every_operation_may_fail(void **state)
{
    (void)state;
    uint64_t tried = 0;
    uint64_t deaths = 0;
    for (int op = 0; op < SIM_OP_COUNT; op++) {
        with_disk((enum sim_op)op, 0, ERR_OK);
        live();
        uint64_t count = sim_fs_count(run.disk, (enum sim_op)op);
        check_after();
        sim_fs_free(run.disk);
        assert_true(count > 0 || op == SIM_TRUNCATE);
        for (uint64_t nth = 1; nth <= count; nth++) {
            with_disk((enum sim_op)op, nth, nth % 2 ? ERR_IO : ERR_NO_SPACE);
            live();
            check_after();
            deaths += (uint64_t)run.deaths;
            sim_fs_free(run.disk);
            tried++;
        }
    }
    printf("%llu operations failed in turn, %llu of them ended the process\n",
           (unsigned long long)tried, (unsigned long long)deaths);
    assert_true(deaths > 10);
}

/* The same with a cut that fails after a write that failed: what was refused may come back only if
 * power is lost. */
static void a_failed_cut_is_made_up_for(void **state)
{
    (void)state;
    for (uint64_t nth = 3; nth < 20; nth++) {
        struct log *log = NULL;
        struct log_part *part = NULL;
        with_disk(SIM_WRITE, 0, ERR_OK);
        CHECK(try_open(&log, &part));
        CHECK(append_numbered(part, 0, FILLER, LOG_ACK_WRITE) == 0);
        sim_fs_fail(run.disk, SIM_WRITE, 1, ERR_IO);
        sim_fs_fail(run.disk, SIM_TRUNCATE, 1, ERR_IO);
        CHECK(append_numbered(part, 1, FILLER, LOG_ACK_WRITE) == -ERR_IO);
        sim_fs_fail(run.disk, SIM_TRUNCATE, 1, ERR_IO);
        CHECK(append_numbered(part, 2, FILLER, LOG_ACK_WRITE) == -ERR_IO);
        CHECK(append_numbered(part, 3, FILLER, LOG_ACK_WRITE) == 1);
        CHECK(read_forward(part, 0, NULL, NULL) == 2);
        sim_fs_kill(run.disk);
        log_close(log);
        sim_fs_restart(run.disk);
        CHECK(try_open(&log, &part));
        CHECK(read_forward(part, 0, NULL, NULL) == 2);
        log_close(log);
        sim_fs_free(run.disk);
    }
}

static void a_full_disk_refuses_and_recovers(void **state)
{
    (void)state;
    for (uint64_t limit = 1 << 20; limit > 100000; limit -= 37777) {
        struct log *log = NULL;
        struct log_part *part = NULL;
        uint64_t n = 0;
        int64_t offset = 0;
        with_disk(SIM_WRITE, 0, ERR_OK);
        CHECK(try_open(&log, &part));
        sim_fs_limit(run.disk, limit);
        while ((offset = append_numbered(part, n, FILLER, LOG_ACK_WRITE)) >= 0)
            n++;
        CHECK(offset == -ERR_NO_SPACE);
        CHECK(sim_fs_used(run.disk) <= limit);
        CHECK(read_forward(part, 0, NULL, NULL) == n);
        while (log_run_sync(log))
            ;
        CHECK(append_numbered(part, 9999, FILLER, LOG_ACK_WRITE) < 0);
        sim_fs_limit(run.disk, 0);
        CHECK(append_numbered(part, n, FILLER, LOG_ACK_WRITE) == (int64_t)n);
        sim_fs_kill(run.disk);
        log_close(log);
        sim_fs_restart(run.disk);
        CHECK(try_open(&log, &part));
        CHECK(read_forward(part, 0, NULL, NULL) == n + 1);
        log_close(log);
        sim_fs_free(run.disk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_may_fail),
        cmocka_unit_test(a_failed_cut_is_made_up_for),
        cmocka_unit_test(a_full_disk_refuses_and_recovers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
