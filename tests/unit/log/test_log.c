/* Topics, appends, opening and closing. */
#include "tests/unit/log/log_test.h"

#include "base/mem.h"
#include "codec/endian.h"
#include "os/sim_fs.h"

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

/* The folder ---------------------------------------------------------------------------------- */

static void refuse_open(const struct log_options *options, enum err expected, const char *says)
{
    struct log *log = NULL;
    struct buf detail BUF_AUTO;
    buf_init(&detail, 4096);
    assert_int_equal(log_open(options, &detail, &log), expected);
    assert_null(log);
    if (str_find(buf_str(&detail), str_from_c(says)) < 0)
        fail_msg("'%.*s' does not say '%s'", STR_ARG(buf_str(&detail)), says);
}

static void one_process_has_the_folder(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path};
    struct log *log = open_log(&options);
    refuse_open(&options, ERR_IN_USE, "in use by another process");
    log_close(log);
    log_close(open_log(&options));
    folder_remove(&f);
}

static void write_text(const char *dir, const char *name, struct str text)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(os_fs_write_file(os_fs_machine(), path, text), ERR_OK);
}

static void other_formats_are_refused(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path};
    log_close(open_log(&options));
    write_text(f.path, "format", STR("weir-log 2\n"));
    refuse_open(&options, ERR_NEWER_FORMAT, "newer Weir (format 2");
    write_text(f.path, "format", STR("something else"));
    refuse_open(&options, ERR_CORRUPT, "not Weir's data folder");
    write_text(f.path, "format", STR("weir-log 1\n"));
    options.quota_bytes = 1000;
    refuse_open(&options, ERR_INVALID, "smallest, 4194304");
    options.quota_bytes = 0;
    write_text(f.path, "topics/t.topic", STR("weir-topic 2\n"));
    refuse_open(&options, ERR_NEWER_FORMAT, "topic t");
    folder_remove(&f);
}

static void an_unreadable_folder_is_refused(void **state)
{
    (void)state;
    struct log_options options = {.dir = "/proc/weir"};
    refuse_open(&options, ERR_NOT_FOUND, "/proc/weir");
    struct folder f = folder_make();
    char path[128];
    (void)snprintf(path, sizeof path, "%s/file", f.path);
    write_text(f.path, "file", STR("x"));
    options.dir = path;
    refuse_open(&options, ERR_IO, path);
    folder_remove(&f);
}

/* After a clean stop nothing of the log is read. */
static void a_clean_stop_spares_reading(void **state)
{
    (void)state;
    struct sim_fs *disk = sim_fs_new(1);
    struct log_options options = {.fs = sim_fs_table(disk), .dir = "/data", .manual = true};
    uint64_t reads[2];
    for (int crash = 0; crash < 2; crash++) {
        struct log *log = open_log(&options);
        struct log_part *part = open_part(log, "t", &plain);
        for (uint64_t n = 0; n < 400; n++)
            assert_true(append_numbered(part, n, 2000, LOG_ACK_SYNC) >= 0);
        if (crash)
            sim_fs_kill(disk);
        log_close(log);
        sim_fs_restart(disk);
        uint64_t before = sim_fs_count(disk, SIM_READ);
        log_close(open_log(&options));
        reads[crash] = sim_fs_count(disk, SIM_READ) - before;
    }
    /* marker, format, topic, checkpoint, last index twice, the last time of each sealed segment */
    assert_true(reads[0] <= 6 + 16);
    assert_true(reads[1] <= reads[0] + 16 + 3);
    sim_fs_free(disk);
}

/* Topics -------------------------------------------------------------------------------------- */

static void names_are_kafkas(void **state)
{
    (void)state;
    char longest[251];
    memset(longest, 'a', sizeof longest);
    assert_true(log_topic_name_valid(STR("weir.calls")));
    assert_true(log_topic_name_valid(STR("A-b_c.9")));
    assert_true(log_topic_name_valid(str_of(longest, 249)));
    assert_false(log_topic_name_valid(str_of(longest, 250)));
    assert_false(log_topic_name_valid(STR("")));
    assert_false(log_topic_name_valid(STR(".")));
    assert_false(log_topic_name_valid(STR("..")));
    assert_false(log_topic_name_valid(STR("a/b")));
    assert_false(log_topic_name_valid(STR("a b")));
    assert_false(log_topic_name_valid(STR("\xc3\xa4")));
}

static void configurations_last(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path};
    uint8_t id[16];
    uint8_t again[16];
    struct log *log = open_log(&options);
    struct log_topic *topic = NULL;
    struct log_topic_config config = {.partitions = 3,
                                      .durability = LOG_SYNC,
                                      .compression = COMPRESS_ZSTD,
                                      .retention_ms = 86400000,
                                      .retention_bytes = 1234567,
                                      .segment_bytes = 1 << 20,
                                      .segment_ms = 3600000,
                                      .keep = true};
    assert_int_equal(log_topic_open(log, STR("t"), &config, &topic), ERR_OK);
    log_topic_id(topic, id);
    config.partitions = 2;
    assert_int_equal(log_topic_configure(topic, &config), ERR_INVALID);
    config.partitions = 0;
    assert_int_equal(log_topic_open(log, STR("u"), &config, &topic), ERR_INVALID);
    config.partitions = 5;
    config.retention_ms = -1;
    topic = log_topic_find(log, STR("t"));
    assert_int_equal(log_topic_configure(topic, &config), ERR_OK);
    assert_int_equal(append_numbered(log_topic_part(topic, 4), 1, 1, LOG_ACK_TOPIC), 0);
    log_close(log);
    log = open_log(&options);
    topic = log_topic_find(log, STR("t"));
    assert_non_null(topic);
    struct log_topic_config read = log_topic_config(topic);
    assert_int_equal(read.partitions, 5);
    assert_int_equal(read.durability, LOG_SYNC);
    assert_int_equal(read.compression, COMPRESS_ZSTD);
    assert_int_equal(read.retention_ms, -1);
    assert_int_equal(read.retention_bytes, 1234567);
    assert_int_equal(read.segment_bytes, 1 << 20);
    assert_int_equal(read.segment_ms, 3600000);
    assert_true(read.keep);
    log_topic_id(topic, again);
    assert_memory_equal(id, again, 16);
    assert_int_equal(log_part_end(log_topic_part(topic, 4)), 1);
    assert_null(log_topic_part(topic, 5));
    log_close(log);
    folder_remove(&f);
}

static void a_damaged_topic_file_keeps_its_records(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .report = show_report};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    assert_int_equal(append_numbered(part, 7, 10, LOG_ACK_TOPIC), 0);
    log_close(log);
    write_text(f.path, "topics/t.topic", STR("weir-topic 1\npartitions=9\n"));
    log = open_log(&options);
    struct log_topic *topic = log_topic_find(log, STR("t"));
    assert_non_null(topic);
    assert_int_equal(log_topic_partitions(topic), 1);
    assert_int_equal(read_forward(log_topic_part(topic, 0), 0, NULL, NULL), 1);
    log_close(log);
    folder_remove(&f);
}

static void a_deleted_topic_is_gone(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    struct log_cursor *cursor = NULL;
    struct log_range range;
    uint64_t before = 0;
    uint64_t after = 0;
    uint64_t quota = 0;
    (void)open_part(log, "other", &plain);
    log_quota_usage(log, &before, &quota);
    for (uint64_t n = 0; n < 100; n++)
        assert_int_equal(append_numbered(part, n, 2000, LOG_ACK_TOPIC), n);
    assert_int_equal(log_topic_delete(log_part_topic(part)), ERR_OK);
    assert_null(log_topic_find(log, STR("t")));
    assert_int_equal(append_numbered(part, 1, 1, LOG_ACK_TOPIC), -ERR_NOT_FOUND);
    assert_int_equal(log_read(part, 0, 1, &range), ERR_NOT_FOUND);
    assert_int_equal(log_cursor_open(part, 0, LOG_FORWARD, &cursor), ERR_NOT_FOUND);
    assert_int_equal(log_topic_delete(log_part_topic(part)), ERR_NOT_FOUND);
    log_quota_usage(log, &after, &quota);
    assert_true(after < before);
    part = open_part(log, "t", &plain);
    assert_int_equal(append_numbered(part, 5, 1, LOG_ACK_TOPIC), 0);
    log_close(log);
    log = open_log(&options);
    assert_int_equal(read_forward(open_part(log, "t", &plain), 0, NULL, NULL), 1);
    log_close(log);
    folder_remove(&f);
}

static void topics_are_listed_by_name(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path};
    struct log *log = open_log(&options);
    struct log_topic **topics = NULL;
    size_t count = 0;
    (void)open_part(log, "b", &plain);
    (void)open_part(log, "c", &plain);
    (void)open_part(log, "a-1", &plain); /* a folder a-1-0 */
    (void)open_part(log, "a", &plain);
    log_close(log);
    log = open_log(&options);
    log_topic_list(log, &topics, &count);
    assert_int_equal(count, 4);
    assert_true(str_eq(log_topic_name(topics[0]), STR("a")));
    assert_true(str_eq(log_topic_name(topics[1]), STR("a-1")));
    assert_true(str_eq(log_topic_name(topics[3]), STR("c")));
    mem_free(topics);
    log_close(log);
    folder_remove(&f);
}

/* Appends ------------------------------------------------------------------------------------- */

struct counted {
    int calls;
    int appends;
    int64_t next;
    enum err error;
};

static void count_done(struct log_append *first)
{
    struct counted *c = first->owner;
    c->calls++;
    for (; first; first = first->next) {
        c->appends++;
        c->error = first->error;
        if (first->error == ERR_OK) {
            assert_true(first->offset > c->next);
            c->next = first->offset;
        } else {
            assert_int_equal(first->offset, -1);
        }
    }
}

/* One call for each owner, in order; nothing before the commit. */
static void owners_are_called_once(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .manual = true};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    struct counted owners[2] = {{.next = -1}, {.next = -1}};
    struct log_append appends[10];
    struct str value = STR("v");
    struct log_record record = {.timestamp_ms = -1, .value = &value, .value_parts = 1};
    for (int i = 0; i < 10; i++) {
        appends[i] =
            (struct log_append){.done = count_done, .owner = &owners[i % 3 == 0], .lazy = true};
        assert_int_equal(log_append(part, &record, &appends[i]), ERR_OK);
    }
    assert_int_equal(owners[0].calls + owners[1].calls, 0);
    log_commit(log); /* the first needs a segment: that is not done here */
    assert_int_equal(owners[0].calls + owners[1].calls, 0);
    assert_true(log_run_commit(log));
    assert_int_equal(owners[0].calls, 1);
    assert_int_equal(owners[0].appends, 6);
    assert_int_equal(owners[1].calls, 1);
    assert_int_equal(owners[1].appends, 4);
    appends[0] = (struct log_append){.done = count_done, .owner = &owners[0], .lazy = true};
    assert_int_equal(log_append(part, &record, &appends[0]), ERR_OK);
    log_commit(log);
    assert_int_equal(owners[0].calls, 2);
    assert_int_equal(log_part_end(part), 11);
    log_close(log);
    folder_remove(&f);
}

static void sync_topics_show_what_is_synced(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .manual = true};
    struct log *log = open_log(&options);
    struct log_topic_config config = plain;
    struct counted synced = {.next = -1};
    struct counted written = {.next = -1};
    struct log_append a = {.done = count_done, .owner = &synced, .lazy = true};
    struct log_append b = {
        .done = count_done, .owner = &written, .ack = LOG_ACK_WRITE, .lazy = true};
    struct str value = STR("v");
    struct log_record record = {.timestamp_ms = -1, .value = &value, .value_parts = 1};
    config.durability = LOG_SYNC;
    struct log_part *part = open_part(log, "t", &config);
    assert_int_equal(log_append(part, &record, &a), ERR_OK);
    assert_int_equal(log_append(part, &record, &b), ERR_OK);
    assert_true(log_run_commit(log));
    assert_int_equal(written.appends, 1);
    assert_int_equal(synced.appends, 0);
    assert_int_equal(log_part_end(part), 0);
    assert_true(log_run_sync(log));
    assert_int_equal(synced.appends, 1);
    assert_int_equal(log_part_end(part), 2);
    assert_false(log_run_sync(log));
    log_close(log);
    folder_remove(&f);
}

static void limits_are_kept(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .manual = true};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    struct counted c = {.next = -1};
    struct log_append appends[10];
    struct record_header headers[LOG_HEADERS_MAX + 1];
    char *big = mem_alloc(LOG_RECORD_MAX_BYTES);
    struct str value = str_of(big, LOG_RECORD_MAX_BYTES);
    struct log_record record = {.timestamp_ms = -1, .value = &value, .value_parts = 1};
    for (int i = 0; i < 10; i++)
        appends[i] = (struct log_append){.done = count_done, .owner = &c, .lazy = true};
    assert_int_equal(log_append(part, &record, &appends[0]), ERR_TOO_LARGE);
    value.len -= 100;
    int taken = 0;
    while (taken < 10 && log_append(part, &record, &appends[taken]) == ERR_OK)
        taken++;
    assert_int_equal(taken, 8); /* LOG_PENDING_MAX_BYTES */
    assert_int_equal(log_append(part, &record, &appends[9]), ERR_BUSY);
    assert_true(log_run_commit(log));
    assert_int_equal(c.appends, 8);
    for (size_t i = 0; i < LOG_HEADERS_MAX + 1; i++)
        headers[i] = (struct record_header){STR("h"), STR("v")};
    value.len = 1;
    record.headers = headers;
    record.header_count = LOG_HEADERS_MAX + 1;
    assert_int_equal(log_append(part, &record, &appends[9]), ERR_TOO_LARGE);
    mem_free(big);
    log_close(log);
    folder_remove(&f);
}

static void a_close_ends_what_is_pending(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .manual = true};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    struct counted c = {.next = -1};
    struct log_append a = {.done = count_done, .owner = &c, .ack = LOG_ACK_SYNC, .lazy = true};
    struct str value = STR("v");
    struct log_record record = {.timestamp_ms = -1, .value = &value, .value_parts = 1};
    assert_int_equal(log_append(part, &record, &a), ERR_OK);
    log_close(log);
    assert_int_equal(c.appends, 1);
    assert_int_equal(c.error, ERR_OK);
    folder_remove(&f);
}

static struct str make_batch(struct buf *out, uint16_t attributes)
{
    char header[BATCH_HEADER_BYTES];
    struct buf records BUF_AUTO;
    buf_init(&records, 10000);
    struct str value = STR("opaque");
    struct record_fields fields = {.value = &value, .value_parts = 1};
    for (int32_t i = 0; i < 3; i++)
        record_write(&records, &fields, i, i);
    struct batch_header h = {.attributes = attributes,
                             .last_offset_delta = 2,
                             .base_timestamp_ms = 5000,
                             .max_timestamp_ms = 5002,
                             .producer_id = 77,
                             .producer_epoch = 1,
                             .base_sequence = 12,
                             .count = 3};
    struct str body = buf_str(&records);
    batch_header_write(&h, &body, 1, header);
    buf_reset(out);
    buf_append(out, header, sizeof header);
    buf_append_str(out, body);
    return buf_str(out);
}

static void a_producers_batch_is_kept_as_it_is(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .manual = true};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    struct counted c = {.next = -1};
    struct log_append a = {.done = count_done, .owner = &c, .lazy = true};
    struct buf bytes BUF_AUTO;
    buf_init(&bytes, 10000);
    struct str batch = make_batch(&bytes, 0);
    assert_int_equal(append_numbered(part, 0, 10, LOG_ACK_TOPIC), 0);
    assert_int_equal(log_append_batch(part, batch, &a), ERR_OK);
    assert_true(log_run_commit(log));
    assert_int_equal(a.offset, 1);
    assert_int_equal(log_part_end(part), 4);
    struct log_range range;
    struct buf read BUF_AUTO;
    buf_init(&read, 10000);
    assert_int_equal(log_read(part, 2, 1000, &range), ERR_OK);
    assert_int_equal(range.base_offset, 1);
    assert_int_equal(range.next_offset, 4);
    assert_int_equal(log_range_copy(&range, &read), ERR_OK);
    log_range_release(&range);
    assert_int_equal(read.len, batch.len);
    assert_int_equal(be64_get(read.ptr), 1);
    assert_memory_equal(read.ptr + 16, batch.ptr + 16, batch.len - 16);
    struct log_cursor *cursor = NULL;
    const struct log_entry *e = NULL;
    assert_int_equal(log_cursor_open(part, 3, LOG_FORWARD, &cursor), ERR_OK);
    assert_int_equal(log_cursor_next(cursor, &e), ERR_OK);
    assert_int_equal(e->offset, 3);
    assert_int_equal(e->producer_id, 77);
    assert_int_equal(e->timestamp_ms, 5002);
    log_cursor_close(cursor);
    log_close(log);
    folder_remove(&f);
}

static void wrong_batches_are_refused(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .manual = true};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    struct log_append a = {.done = count_done, .lazy = true};
    struct buf bytes BUF_AUTO;
    buf_init(&bytes, 10000);
    struct str batch = make_batch(&bytes, 0);
    assert_int_equal(log_append_batch(part, str_take(batch, batch.len - 1), &a), ERR_TRUNCATED);
    buf_append_char(&bytes, 0);
    assert_int_equal(log_append_batch(part, buf_str(&bytes), &a), ERR_INVALID);
    bytes.ptr[40] ^= 1;
    assert_int_equal(log_append_batch(part, batch, &a), ERR_CORRUPT);
    batch = make_batch(&bytes, BATCH_CONTROL);
    assert_int_equal(log_append_batch(part, batch, &a), ERR_INVALID);
    batch = make_batch(&bytes, 6);
    assert_int_equal(log_append_batch(part, batch, &a), ERR_UNSUPPORTED);
    bytes.ptr[16] = 1;
    assert_int_equal(log_append_batch(part, batch, &a), ERR_UNSUPPORTED);
    assert_int_equal(log_part_end(part), 0);
    assert_false(log_run_commit(log));
    log_close(log);
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back),
        cmocka_unit_test(one_process_has_the_folder),
        cmocka_unit_test(other_formats_are_refused),
        cmocka_unit_test(an_unreadable_folder_is_refused),
        cmocka_unit_test(a_clean_stop_spares_reading),
        cmocka_unit_test(names_are_kafkas),
        cmocka_unit_test(configurations_last),
        cmocka_unit_test(a_damaged_topic_file_keeps_its_records),
        cmocka_unit_test(a_deleted_topic_is_gone),
        cmocka_unit_test(topics_are_listed_by_name),
        cmocka_unit_test(owners_are_called_once),
        cmocka_unit_test(sync_topics_show_what_is_synced),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(a_close_ends_what_is_pending),
        cmocka_unit_test(a_producers_batch_is_kept_as_it_is),
        cmocka_unit_test(wrong_batches_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
