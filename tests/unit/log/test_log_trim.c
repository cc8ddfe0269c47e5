/* Deleting records on request. */
#include "tests/unit/log/log_test.h"

static const struct log_topic_config plain = {
    .partitions = 1, .retention_ms = -1, .retention_bytes = -1, .segment_bytes = 64 << 10};

static void what_was_deleted_stays_deleted(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    struct log_part_info info;
    struct log_range range;
    uint64_t first = 0;
    int64_t start = 0;
    for (uint64_t n = 0; n < 2000; n++)
        assert_int_equal(append_numbered(part, n, 200, LOG_ACK_WRITE), n);
    log_part_describe(part, &info);
    assert_true(info.segments > 3);
    assert_int_equal(log_part_delete_before(part, 2001, &start), ERR_OUT_OF_RANGE);
    assert_int_equal(log_part_delete_before(part, 1500, &start), ERR_OK);
    assert_int_equal(start, 1500);
    assert_int_equal(log_part_delete_before(part, 700, &start), ERR_OK); /* it is gone already */
    assert_int_equal(start, 1500);
    for (int round = 0; round < 3; round++) {
        struct log_part_info after;
        char clean[128];
        log_part_describe(part, &after);
        assert_int_equal(after.start_offset, 1500);
        assert_int_equal(after.end_offset, 2000);
        assert_true(after.bytes < info.bytes / 2);
        assert_int_equal(log_read(part, 1499, 1000, &range), ERR_OUT_OF_RANGE);
        assert_int_equal(log_read(part, 1500, 1000, &range), ERR_OK);
        log_range_release(&range);
        assert_int_equal(read_forward(part, 0, &first, NULL), 500);
        assert_int_equal(first, 1500);
        log_close(log);
        (void)snprintf(clean, sizeof clean, "%s/clean", f.path);
        if (round == 1)
            assert_int_equal(unlink(clean), 0); /* as after SIGKILL */
        log = open_log(&options);
        part = open_part(log, "t", &plain);
    }
    assert_int_equal(log_part_delete_before(part, 2000, &start), ERR_OK);
    assert_int_equal(start, 2000);
    assert_int_equal(read_forward(part, 0, NULL, NULL), 0);
    assert_int_equal(append_numbered(part, 2000, 10, LOG_ACK_WRITE), 2000);
    assert_int_equal(read_forward(part, 0, &first, NULL), 1);
    assert_int_equal(first, 2000);
    log_close(log);
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_deleted_stays_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
