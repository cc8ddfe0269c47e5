/* Reading: ranges, times, watching, another process's folder. */
#include "tests/unit/log/log_test.h"

static const struct log_topic_config plain = {
    .partitions = 1, .retention_ms = -1, .retention_bytes = -1, .segment_bytes = 64 << 10};

/* Whole batches of at most max bytes, one after another, cover the log. */
static void ranges_cover_the_log(void **state)
{
    (void)state;
    static const size_t limits[] = {1, 300, 5000, 70000, 1 << 20};
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .manual = true};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    for (uint64_t n = 0; n < 1000; n++)
        assert_int_equal(append_numbered(part, n, 100 + n % 500, LOG_ACK_WRITE), n);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        int64_t offset = 0;
        while (offset < 1000) {
            struct log_range range;
            struct buf bytes BUF_AUTO;
            buf_init(&bytes, 2 << 20);
            assert_int_equal(log_read(part, offset, limits[i], &range), ERR_OK);
            assert_int_equal(range.base_offset, offset);
            assert_true(range.next_offset > offset);
            assert_int_equal(log_range_copy(&range, &bytes), ERR_OK);
            struct str rest = buf_str(&bytes);
            int batches = 0;
            for (; rest.len > 0; batches++) {
                struct batch_header h;
                assert_int_equal(batch_check(rest, &h), ERR_OK);
                assert_int_equal(h.base_offset, offset);
                offset = batch_last_offset(&h) + 1;
                rest = str_skip(rest, h.size_bytes);
            }
            assert_int_equal(offset, range.next_offset);
            assert_true(batches == 1 || range.length <= limits[i]);
            log_range_release(&range);
        }
    }
    log_close(log);
    folder_remove(&f);
}

static void offsets_beyond_are_refused(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .manual = true};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    struct log_range range;
    assert_int_equal(log_read(part, 0, 100, &range), ERR_OK);
    assert_int_equal(range.length, 0);
    assert_int_equal(log_read(part, 1, 100, &range), ERR_OUT_OF_RANGE);
    assert_int_equal(log_read(part, -1, 100, &range), ERR_OUT_OF_RANGE);
    for (uint64_t n = 0; n < 5; n++)
        assert_int_equal(append_numbered(part, n, 10, LOG_ACK_WRITE), n);
    assert_int_equal(log_read(part, 5, 100, &range), ERR_OK);
    assert_int_equal(range.length, 0);
    assert_int_equal(range.next_offset, 5);
    assert_int_equal(log_read(part, 6, 100, &range), ERR_OUT_OF_RANGE);
    assert_int_equal(read_forward(part, 99, NULL, NULL), 0);
    assert_int_equal(read_backward(part, 99, NULL), 5);
    assert_int_equal(read_backward(part, 0, NULL), 0);
    log_close(log);
    folder_remove(&f);
}

/* A range stays readable when its segment is removed. */
static void a_range_outlives_its_segment(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .manual = true};
    struct log *log = open_log(&options);
    struct log_topic_config config = plain;
    struct log_range range;
    struct batch_header h;
    struct buf bytes BUF_AUTO;
    uint64_t held = 0;
    uint64_t released = 0;
    uint64_t quota = 0;
    config.retention_bytes = 50000;
    struct log_part *part = open_part(log, "t", &config);
    for (uint64_t n = 0; n < 200; n++)
        assert_int_equal(append_numbered(part, n, 1000, LOG_ACK_SYNC), n);
    assert_int_equal(log_read(part, 0, 1, &range), ERR_OK);
    log_maintain(log);
    assert_true(log_part_start(part) > 0);
    struct log_range none;
    assert_int_equal(log_read(part, 0, 1, &none), ERR_OUT_OF_RANGE);
    buf_init(&bytes, 1 << 20);
    assert_int_equal(log_range_copy(&range, &bytes), ERR_OK);
    assert_int_equal(batch_check(buf_str(&bytes), &h), ERR_OK);
    assert_int_equal(h.base_offset, 0);
    log_quota_usage(log, &held, &quota);
    log_range_release(&range);
    log_quota_usage(log, &released, &quota); /* only now its bytes are free */
    assert_true(released < held);
    log_close(log);
    folder_remove(&f);
}

/* Timestamps are 1000 + n. */
static void times_lead_to_offsets(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .manual = true};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    for (uint64_t n = 0; n < 500; n++)
        assert_int_equal(append_numbered(part, n, 500, LOG_ACK_SYNC), n);
    for (int round = 0; round < 2; round++) {
        int64_t offset = -1;
        int64_t ms = -1;
        for (int64_t t = 999; t < 1502; t++) {
            assert_int_equal(log_find_time(part, t, &offset, &ms), ERR_OK);
            int64_t expected = t < 1000 ? 0 : t - 1000;
            assert_int_equal(offset, expected < 500 ? expected : 500);
            assert_int_equal(ms, expected < 500 ? 1000 + expected : -1);
        }
        assert_int_equal(log_find_time(part, -5, &offset, &ms), ERR_OK);
        assert_int_equal(offset, 0);
        log_close(log);
        log = open_log(&options);
        part = open_part(log, "t", &plain);
    }
    log_close(log);
    folder_remove(&f);
}

struct bell {
    struct log_watch watch;
    int rung;
};

static void ring(struct log_watch *watch)
{
    ((struct bell *)watch)->rung++;
}

static void watches_fire_once(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .manual = true};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    struct bell bells[3] = {{.watch.wake = ring}, {.watch.wake = ring}, {.watch.wake = ring}};
    assert_false(log_watch_add(part, &bells[0].watch, 0));
    assert_false(log_watch_add(part, &bells[1].watch, 1));
    assert_false(log_watch_add(part, &bells[2].watch, 0));
    log_watch_remove(&bells[2].watch);
    assert_int_equal(append_numbered(part, 0, 10, LOG_ACK_WRITE), 0);
    assert_int_equal(bells[0].rung, 1);
    assert_int_equal(bells[1].rung, 0);
    assert_int_equal(append_numbered(part, 1, 10, LOG_ACK_WRITE), 1);
    assert_int_equal(bells[0].rung, 1);
    assert_int_equal(bells[1].rung, 1);
    assert_int_equal(bells[2].rung, 0);
    assert_true(log_watch_add(part, &bells[0].watch, 1));
    assert_int_equal(bells[0].rung, 1);
    log_watch_remove(&bells[0].watch);
    log_watch_remove(&bells[1].watch);
    log_close(log);
    folder_remove(&f);
}

/* Another log looks at the folder while this one writes. */
static void a_folder_can_be_looked_at(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path};
    struct log_options look = {.dir = f.path, .read_only = true, .report = show_report};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    for (uint64_t n = 0; n < 100; n++)
        assert_int_equal(append_numbered(part, n, 100, LOG_ACK_WRITE), n);
    struct log *other = open_log(&look);
    struct log_topic *topic = NULL;
    assert_int_equal(log_topic_open(other, STR("none"), &plain, &topic), ERR_NOT_FOUND);
    struct log_part *seen = open_part(other, "t", &plain);
    assert_int_equal(read_forward(seen, 0, NULL, NULL), 100);
    assert_int_equal(append_numbered(seen, 1, 1, LOG_ACK_WRITE), -ERR_ACCESS);
    assert_int_equal(log_topic_delete(log_topic_find(other, STR("t"))), ERR_ACCESS);
    struct log_cursor *cursor = NULL;
    const struct log_entry *e = NULL;
    assert_int_equal(log_cursor_open(seen, 100, LOG_FORWARD, &cursor), ERR_OK);
    for (uint64_t n = 100; n < 1500; n++) {
        assert_int_equal(append_numbered(part, n, 500, LOG_ACK_WRITE), n);
        if (n % 100 > 0)
            continue;
        assert_int_equal(log_cursor_next(cursor, &e), ERR_OK);
        assert_null(e);
        assert_int_equal(log_part_refresh(seen), ERR_OK);
        for (int64_t at = n == 100 ? 100 : (int64_t)n - 99; at <= (int64_t)n; at++) {
            assert_int_equal(log_cursor_next(cursor, &e), ERR_OK);
            assert_non_null(e);
            assert_int_equal(e->offset, at);
        }
    }
    log_cursor_close(cursor);
    assert_int_equal(log_part_refresh(seen), ERR_OK);
    assert_int_equal(read_forward(seen, 0, NULL, NULL), 1500);
    assert_int_equal(read_backward(seen, 1500, NULL), 1500);
    log_close(other);
    log_close(log);
    log = open_log(&options); /* nothing was changed by looking */
    assert_int_equal(read_forward(open_part(log, "t", &plain), 0, NULL, NULL), 1500);
    log_close(log);
    folder_remove(&f);
}

/* A batch that a writer has begun is not damage for who only looks. */
static void a_half_written_batch_is_waited_for(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .manual = true};
    struct log_options look = {.dir = f.path, .read_only = true};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    assert_int_equal(append_numbered(part, 0, 100, LOG_ACK_SYNC), 0);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/topics/t-0/00000000000000000000.log", f.path);
    struct buf whole BUF_AUTO;
    buf_init(&whole, 10000);
    assert_int_equal(append_numbered(part, 1, 100, LOG_ACK_SYNC), 1);
    assert_int_equal(os_fs_read_file(os_fs_machine(), path, &whole), ERR_OK);
    assert_int_equal(truncate(path, (off_t)whole.len - 40), 0);
    struct log *other = open_log(&look);
    struct log_part *seen = open_part(other, "t", &plain);
    assert_int_equal(read_forward(seen, 0, NULL, NULL), 1);
    assert_int_equal(log_part_refresh(seen), ERR_OK);
    assert_int_equal(log_part_end(seen), 1);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)whole.len - 40, SEEK_SET), 0);
    assert_int_equal(fwrite(whole.ptr + whole.len - 40, 1, 40, file), 40);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(log_part_refresh(seen), ERR_OK);
    assert_int_equal(read_forward(seen, 0, NULL, NULL), 2);
    log_close(other);
    log_close(log);
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_cover_the_log),
        cmocka_unit_test(offsets_beyond_are_refused),
        cmocka_unit_test(a_range_outlives_its_segment),
        cmocka_unit_test(times_lead_to_offsets),
        cmocka_unit_test(watches_fire_once),
        cmocka_unit_test(a_folder_can_be_looked_at),
        cmocka_unit_test(a_half_written_batch_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
