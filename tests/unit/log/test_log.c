#include "tests/unit/log/log_test.h"

static const struct log_topic_config plain = {
    .partitions = 1, .retention_ms = -1, .retention_bytes = -1, .segment_bytes = 64 << 10};

static void records_come_back(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .report = show_report};
    uint64_t first = 0;
    uint64_t last = 0;
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    for (uint64_t n = 0; n < 2000; n++)
        assert_int_equal(append_numbered(part, n, n % 300, n % 100 ? LOG_ACK_TOPIC : LOG_ACK_SYNC),
                         n);
    for (int round = 0; round < 2; round++) {
        struct log_part_info info;
        log_part_describe(part, &info);
        assert_int_equal(info.start_offset, 0);
        assert_int_equal(info.end_offset, 2000);
        assert_true(info.segments > 1);
        assert_int_equal(info.newest_ms, 2999);
        assert_int_equal(read_forward(part, 0, &first, &last), 2000);
        assert_int_equal(first, 0);
        assert_int_equal(last, 1999);
        assert_int_equal(read_forward(part, 777, &first, &last), 1223);
        assert_int_equal(first, 777);
        assert_int_equal(read_backward(part, info.end_offset, &first), 2000);
        assert_int_equal(first, 1999);
        assert_int_equal(read_backward(part, 500, &first), 500);
        assert_int_equal(first, 499);
        log_close(log);
        log = open_log(&options);
        part = open_part(log, "t", &plain);
    }
    assert_int_equal(append_numbered(part, 2000, 10, LOG_ACK_WRITE), 2000);
    assert_int_equal(read_forward(part, 0, &first, &last), 2001);
    log_close(log);
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
