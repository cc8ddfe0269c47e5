/* Compaction held against a model, and with the power going at every operation of it: of each key
 * the newest record is there, at its offset, and nothing that was deleted or aborted comes back. */
#include "tests/unit/log/log_test.h"

#include "codec/batch.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/sim_fs.h"

enum { KEYS = 12, RECORDS = 260, OFFSETS_MAX = 4 * RECORDS };

static int64_t wall_us = 1700000000000000;
static uint64_t now_us = 1;

static uint64_t sim_now(void *arg)
{
    (void)arg;
    return now_us++;
}

static int64_t sim_wall(void *arg)
{
    (void)arg;
    return wall_us++;
}

static struct {
    struct sim_fs *disk;
    uint64_t seed;
    uint64_t nth;
    struct {
        int key; /* -1: none of the model's */
        bool tombstone;
        bool committed;
        int64_t first; /* of its transaction */
    } at[OFFSETS_MAX];
    int64_t end;
} run;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("%s:%d: %s, seed %llu, power lost at %llu\n", __FILE__, __LINE__, #condition,   \
                   (unsigned long long)run.seed, (unsigned long long)run.nth);                     \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

static void on_fatal(void *arg, struct str text)
{
    (void)arg;
    (void)text;
    CHECK(sim_fs_is_down(run.disk));
}

static const struct log_topic_config config = {.partitions = 1,
                                               .compression = COMPRESS_LZ4,
                                               .retention_ms = -1,
                                               .retention_bytes = -1,
                                               .segment_bytes = 64 << 10,
                                               .cleanup = LOG_COMPACT,
                                               .tombstones_ms = 1000,
                                               .dirty_percent = 1};

static struct log *open_it(struct log_part **ret_part)
{
    struct log_options options = {
        .fs = sim_fs_table(run.disk), .dir = "/data", .manual = true, .fatal = on_fatal};
    struct log *log = open_log(&options);
    *ret_part = open_part(log, "t", &config);
    return log;
}

static void turn(struct log *log)
{
    while (log_run_commit(log) || log_run_sync(log))
        ;
}

static void on_done(struct log_append *first)
{
    for (; first; first = first->next)
        CHECK(first->error == ERR_OK && first->offset == run.end);
}

static void append_batch(struct log *log, struct log_part *part, int key, bool tombstone,
                         int64_t producer, int32_t sequence)
{
    static char filler[6000];
    char name[16];
    char header[BATCH_HEADER_BYTES];
    struct buf records BUF_AUTO;
    struct buf batch BUF_AUTO;
    struct log_append append = {.done = on_done, .ack = LOG_ACK_SYNC};
    for (size_t i = 0; i < sizeof filler; i++)
        filler[i] = (char)os_random_u64();
    (void)snprintf(name, sizeof name, "k%d", key);
    struct str value = str_of(filler, 500 + os_random_u64() % 5000);
    const struct record_fields f = {.key = key >= 0 ? str_from_c(name) : STR_NONE,
                                    .value = tombstone ? NULL : &value,
                                    .value_parts = tombstone ? 0 : 1};
    buf_init(&records, 1 << 20);
    buf_init(&batch, 1 << 20);
    record_write(&records, &f, 0, 0);
    struct batch_header h = {.attributes = producer >= 0 ? BATCH_TRANSACTIONAL : 0,
                             .base_timestamp_ms = wall_us / 1000,
                             .max_timestamp_ms = wall_us / 1000,
                             .producer_id = producer,
                             .producer_epoch = producer >= 0 ? 0 : -1,
                             .base_sequence = sequence,
                             .count = 1};
    struct str bytes = buf_str(&records);
    batch_header_write(&h, &bytes, 1, header);
    buf_append(&batch, header, sizeof header);
    buf_append_str(&batch, bytes);
    run.at[run.end].key = key;
    run.at[run.end].tombstone = tombstone;
    run.at[run.end].committed = producer < 0;
    /* One without a key is from the time before the topic was compacted. */
    enum err e = key < 0 ? log_append_own(part, buf_str(&batch), &append)
                         : log_append_batch(part, buf_str(&batch), &append);
    assert_int_equal(e, ERR_OK);
    turn(log);
    run.end++;
}

static void end_transaction(struct log *log, struct log_part *part, int64_t producer, bool commit,
                            int64_t first)
{
    struct buf batch BUF_AUTO;
    struct log_append append = {.done = on_done, .ack = LOG_ACK_SYNC};
    buf_init(&batch, 1024);
    batch_marker_write(producer, 0, commit ? BATCH_MARKER_COMMIT : BATCH_MARKER_ABORT, 0,
                       wall_us / 1000, &batch);
    assert_int_equal(log_append_own(part, buf_str(&batch), &append), ERR_OK);
    turn(log);
    run.at[run.end].key = -1;
    for (int64_t i = first; i < run.end; i++) {
        run.at[i].committed = run.at[i].committed || commit;
        run.at[i].first = first;
    }
    run.end++;
}

/* Plain records, tombstones, records without a key, and whole transactions. */
static void fill(struct log *log, struct log_part *part, int32_t *sequence)
{
    for (int i = 0; i < RECORDS; i++) {
        int key = (int)(os_random_u64() % KEYS);
        uint64_t what = os_random_u64() % 10;
        if (what < 6) {
            append_batch(log, part, key, os_random_u64() % 6 == 0, -1, -1);
        } else if (what == 6) {
            append_batch(log, part, -1, false, -1, -1);
        } else {
            int64_t first = run.end;
            for (uint64_t n = 1 + os_random_u64() % 3; n > 0; n--)
                append_batch(log, part, (int)(os_random_u64() % KEYS), false, 7, (*sequence)++);
            end_transaction(log, part, 7, os_random_u64() % 2, first);
        }
    }
}

/* What a reader of committed records sees of each key, last. */
static size_t check(struct log_part *part)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *e = NULL;
    struct buf aborted BUF_AUTO;
    int64_t newest[KEYS];
    int64_t seen[KEYS];
    int64_t before = -1;
    size_t count = 0;
    for (int k = 0; k < KEYS; k++)
        newest[k] = seen[k] = -1;
    for (int64_t i = 0; i < run.end; i++)
        if (run.at[i].key >= 0 && run.at[i].committed)
            newest[run.at[i].key] = i;
    buf_init(&aborted, 1 << 20);
    CHECK(log_part_end(part) == run.end && log_part_stable(part) == run.end);
    CHECK(log_part_aborted(part, 0, run.end, &aborted) == ERR_OK);
    const struct log_aborted *list = (const struct log_aborted *)(const void *)aborted.ptr;
    CHECK(log_cursor_open(part, 0, LOG_FORWARD, &cursor) == ERR_OK);
    while (log_cursor_next(cursor, &e) == ERR_OK && e) {
        CHECK(e->offset > before && e->offset < run.end);
        before = e->offset;
        count++;
        if (e->control || !e->key.ptr)
            continue;
        uint64_t key = 0;
        CHECK(str_to_u64(str_skip(e->key, 1), &key) == ERR_OK && key < KEYS);
        CHECK(run.at[e->offset].key == (int)key);
        CHECK(run.at[e->offset].tombstone == !e->value.ptr);
        bool listed = false;
        for (size_t i = 0; i < aborted.len / sizeof *list; i++)
            listed = listed || (e->transactional && list[i].producer_id == e->producer_id &&
                                list[i].first_offset >= run.at[e->offset].first &&
                                list[i].first_offset <= e->offset);
        CHECK(run.at[e->offset].committed || listed);
        if (run.at[e->offset].committed)
            seen[key] = e->offset;
    }
    log_cursor_close(cursor);
    for (int k = 0; k < KEYS; k++)
        CHECK(seen[k] == newest[k] ||
              (seen[k] < 0 && newest[k] >= 0 && run.at[newest[k]].tombstone));
    return count;
}

static void pass(struct log *log, int64_t ms)
{
    wall_us += ms * 1000;
    log_maintain(log);
    turn(log);
}

static void begin_run(uint64_t seed)
{
    run.seed = seed;
    run.nth = 0;
    run.end = 0;
    os_random_seed(seed);
    run.disk = sim_fs_new(seed);
}

static void the_newest_of_each_key_stays(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct log_part *part = NULL;
        int32_t sequence = 0;
        begin_run(seed);
        struct log *log = open_it(&part);
        for (int round = 0; round < 2; round++) {
            fill(log, part, &sequence);
            size_t before = check(part);
            pass(log, 10);
            size_t after = check(part);
            CHECK(after < before);
            if (round == 0)
                continue;
            log_close(log);
            log = open_it(&part);
            CHECK(check(part) == after);
            pass(log, 5000); /* tombstones and markers may go */
            pass(log, 5000);
            CHECK(check(part) <= after);
            struct log_part_info info;
            log_part_describe(part, &info);
            CHECK(info.segments <= 6 && info.start_offset == 0);
        }
        log_close(log);
        sim_fs_free(run.disk);
    }
}

static void power_is_lost_at_every_step(void **state)
{
    (void)state;
    bool over = false;
    for (uint64_t nth = 1; !over; nth += nth < 40 ? 1 : 4) {
        struct log_part *part = NULL;
        int32_t sequence = 0;
        begin_run(40 + nth % 3);
        run.nth = nth;
        struct log *log = open_it(&part);
        fill(log, part, &sequence);
        sim_fs_crash_at(run.disk, nth);
        log_maintain(log);
        turn(log);
        log_close(log);
        over = !sim_fs_is_down(run.disk);
        sim_fs_crash_at(run.disk, 0);
        if (!over)
            sim_fs_restart(run.disk);
        log = open_it(&part);
        (void)check(part);
        pass(log, 10);
        (void)check(part);
        fill(log, part, &sequence); /* it goes on: the producer's sequences too */
        pass(log, 10);
        (void)check(part);
        log_close(log);
        sim_fs_free(run.disk);
        assert_true(nth < 1000);
    }
}

int main(void)
{
    static const struct os_clock clock = {sim_now, sim_wall, NULL};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_of_each_key_stays),
        cmocka_unit_test(power_is_lost_at_every_step),
    };
    os_clock_set(&clock);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
