/* Room: retention and the quota of the whole folder. */
#include "tests/unit/log/log_test.h"

#include <sys/stat.h>

#include <ftw.h>

#include "os/clock.h"

static const struct log_topic_config plain = {
    .partitions = 1, .retention_ms = -1, .retention_bytes = -1, .segment_bytes = 64 << 10};

/* What the folder really takes. */
static uint64_t taken_bytes;

static int add_up(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
    (void)path;
    (void)kind;
    (void)walk;
    taken_bytes += (uint64_t)st->st_blocks * 512;
    return 0;
}

static uint64_t taken(const struct folder *f)
{
    taken_bytes = 0;
    assert_int_equal(nftw(f->path, add_up, 16, FTW_PHYS), 0);
    return taken_bytes;
}

static void the_folder_never_outgrows_its_quota(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .quota_bytes = LOG_QUOTA_MIN_BYTES};
    struct log *log = open_log(&options);
    struct log_topic_config keep = plain;
    keep.keep = true;
    struct log_part *parts[3] = {open_part(log, "a", &plain), open_part(log, "b", &plain),
                                 open_part(log, "kept", &keep)};
    uint64_t used = 0;
    uint64_t quota = 0;
    uint64_t rejected = 0;
    for (uint64_t n = 0; n < 9000; n++) {
        struct log_part *part = parts[n % 40 == 0 ? 2 : n % 2];
        int64_t offset = append_numbered(part, n, 500 + n % 3000, LOG_ACK_WRITE);
        assert_true(offset >= 0 || offset == -ERR_QUOTA);
        rejected += offset < 0;
        if (n % 100 == 0)
            assert_true(taken(&f) <= LOG_QUOTA_MIN_BYTES);
        log_quota_usage(log, &used, &quota);
        assert_true(used <= quota);
        if (n == 4500) { /* as after a crash: nothing is counted wrong at the next open */
            log_close(log);
            log = open_log(&options);
            parts[0] = open_part(log, "a", &plain);
            parts[1] = open_part(log, "b", &plain);
            parts[2] = open_part(log, "kept", &keep);
        }
    }
    assert_true(taken(&f) <= LOG_QUOTA_MIN_BYTES);
    /* With a protection of nothing, room is always made. */
    assert_int_equal(rejected, 0);
    assert_true(log_part_start(parts[0]) > 0 && log_part_start(parts[1]) > 0);
    assert_int_equal(log_part_start(parts[2]), 0);
    assert_true(read_forward(parts[0], 0, NULL, NULL) > 100);
    log_close(log);
    folder_remove(&f);
}

static void young_records_are_protected(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {
        .dir = f.path, .quota_bytes = LOG_QUOTA_MIN_BYTES, .protect_ms = 3600000};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    uint64_t n = 0;
    int64_t offset = 0;
    while ((offset = append_numbered(part, n, 3000, LOG_ACK_WRITE)) >= 0)
        n++;
    assert_int_equal(offset, -ERR_QUOTA);
    assert_true(n * 3000 > LOG_QUOTA_MIN_BYTES / 2);
    assert_true(taken(&f) <= LOG_QUOTA_MIN_BYTES);
    assert_int_equal(log_part_start(part), 0);
    assert_int_equal(read_forward(part, 0, NULL, NULL), n); /* reads go on */
    assert_int_equal(log_quota_reserve(log, 1 << 20), ERR_QUOTA);
    log_close(log);
    options.protect_ms = 0;
    log = open_log(&options);
    part = open_part(log, "t", &plain);
    assert_int_equal(append_numbered(part, n, 3000, LOG_ACK_WRITE), n);
    assert_true(log_part_start(part) > 0);
    log_close(log);
    folder_remove(&f);
}

/* What cannot fit removes nothing. */
static void too_much_removes_nothing(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .quota_bytes = LOG_QUOTA_MIN_BYTES};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    for (uint64_t n = 0; n < 300; n++)
        assert_int_equal(append_numbered(part, n, 3000, LOG_ACK_SYNC), n);
    assert_int_equal(append_numbered(part, 300, 5 << 20, LOG_ACK_WRITE), -ERR_QUOTA);
    assert_int_equal(log_part_start(part), 0);
    assert_int_equal(read_forward(part, 0, NULL, NULL), 300);
    log_close(log);
    folder_remove(&f);
}

static void other_parts_are_counted(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .quota_bytes = LOG_QUOTA_MIN_BYTES};
    struct log *log = open_log(&options);
    uint64_t before = 0;
    uint64_t after = 0;
    uint64_t quota = 0;
    char path[128];
    log_quota_usage(log, &before, &quota);
    assert_int_equal(quota, LOG_QUOTA_MIN_BYTES);
    assert_int_equal(log_quota_reserve(log, 100000), ERR_OK);
    log_quota_usage(log, &after, &quota);
    assert_int_equal(after - before, 100000);
    log_quota_release(log, 100000);
    log_close(log);
    (void)snprintf(path, sizeof path, "%s/blobs", f.path);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/blobs/1", f.path);
    char *megabyte = calloc(1, 1 << 20);
    assert_int_equal(os_fs_write_file(os_fs_machine(), path, str_of(megabyte, 1 << 20)), ERR_OK);
    free(megabyte);
    log = open_log(&options);
    log_quota_usage(log, &after, &quota);
    assert_true(after - before >= 1 << 20);
    log_close(log);
    folder_remove(&f);
}

/* Retention
 * ---------------------------------------------------------------------------------------- */

static uint64_t clock_us;

static uint64_t now_us(void *arg)
{
    (void)arg;
    return clock_us;
}

static int64_t wall_us(void *arg)
{
    (void)arg;
    return (int64_t)clock_us;
}

static const struct os_clock test_clock = {now_us, wall_us, NULL};

static void sizes_are_kept(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .manual = true};
    struct log *log = open_log(&options);
    struct log_topic_config config = plain;
    struct log_part_info info;
    config.retention_bytes = 200000;
    struct log_part *part = open_part(log, "t", &config);
    for (uint64_t n = 0; n < 1000; n++)
        assert_int_equal(append_numbered(part, n, 1000, LOG_ACK_SYNC), n);
    log_maintain(log);
    log_part_describe(part, &info);
    assert_true(info.bytes >= 200000 && info.bytes < 200000 + (64 << 10) + 2000);
    assert_true(info.start_offset > 700);
    assert_int_equal(read_forward(part, 0, NULL, NULL), 1000 - info.start_offset);
    log_close(log);
    folder_remove(&f);
}

static void ages_are_kept(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .manual = true};
    clock_us = 1000;
    os_clock_set(&test_clock);
    struct log *log = open_log(&options);
    struct log_topic_config config = plain;
    config.retention_ms = 60000;
    struct log_part *part = open_part(log, "t", &config);
    for (uint64_t n = 0; n < 200; n++) /* timestamps 1000 to 1199 ms */
        assert_int_equal(append_numbered(part, n, 1000, LOG_ACK_SYNC), n);
    clock_us = 60000000;
    log_maintain(log);
    assert_int_equal(log_part_start(part), 0);
    clock_us = 61100000; /* older than 1100 ms goes */
    log_maintain(log);
    int64_t start = log_part_start(part);
    assert_true(start > 0 && start <= 100);
    clock_us = 62000000; /* everything, the active segment too; offsets go on */
    log_maintain(log);
    while (log_run_sync(log))
        ;
    log_maintain(log);
    assert_int_equal(log_part_start(part), 200);
    assert_int_equal(log_part_end(part), 200);
    log_close(log);
    log = open_log(&options);
    part = open_part(log, "t", &config);
    assert_int_equal(append_numbered(part, 61000, 10, LOG_ACK_SYNC), 200);
    log_close(log);
    os_clock_set(NULL);
    folder_remove(&f);
}

static void segments_roll_by_age(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .manual = true};
    clock_us = 1000;
    os_clock_set(&test_clock);
    struct log *log = open_log(&options);
    struct log_topic_config config = plain;
    struct log_part_info info;
    config.segment_ms = 1000;
    struct log_part *part = open_part(log, "t", &config);
    assert_int_equal(append_numbered(part, 0, 10, LOG_ACK_SYNC), 0);
    log_maintain(log);
    log_part_describe(part, &info);
    assert_int_equal(info.segments, 1);
    clock_us += 1000000;
    log_maintain(log);
    log_part_describe(part, &info);
    assert_int_equal(info.segments, 2);
    log_maintain(log); /* an empty one does not */
    log_part_describe(part, &info);
    assert_int_equal(info.segments, 2);
    log_close(log);
    os_clock_set(NULL);
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_folder_never_outgrows_its_quota),
        cmocka_unit_test(young_records_are_protected),
        cmocka_unit_test(too_much_removes_nothing),
        cmocka_unit_test(other_parts_are_counted),
        cmocka_unit_test(sizes_are_kept),
        cmocka_unit_test(ages_are_kept),
        cmocka_unit_test(segments_roll_by_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
