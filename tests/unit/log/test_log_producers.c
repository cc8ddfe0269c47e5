/* Idempotent producers: what is sent twice is written once, across restarts too. */
#include "tests/unit/log/log_test.h"

#include "codec/batch.h"
#include "os/thread.h"

static const struct log_topic_config plain = {
    .partitions = 1, .retention_ms = -1, .retention_bytes = -1, .segment_bytes = 64 << 10};

/* count records of filler bytes each. */
static struct str make_batch(int64_t producer, int16_t epoch, int32_t sequence, int32_t count,
                             size_t filler, struct buf *out)
{
    struct buf records BUF_AUTO;
    char *memory = calloc(1, filler + 1);
    struct str value = str_of(memory, filler);
    struct record_fields f = {.value = &value, .value_parts = 1};
    buf_init(&records, 1 << 20);
    for (int32_t i = 0; i < count; i++)
        record_write(&records, &f, 0, i);
    struct batch_header h = {.last_offset_delta = count - 1,
                             .base_timestamp_ms = 1000,
                             .max_timestamp_ms = 1000,
                             .producer_id = producer,
                             .producer_epoch = epoch,
                             .base_sequence = sequence,
                             .count = count};
    struct str bytes = buf_str(&records);
    char header[BATCH_HEADER_BYTES];
    batch_header_write(&h, &bytes, 1, header);
    buf_append(out, header, sizeof header);
    buf_append_str(out, bytes);
    free(memory);
    return buf_str(out);
}

static struct sent send_big(struct log_part *part, enum log_ack ack, int64_t producer,
                            int16_t epoch, int32_t sequence, int32_t count, size_t filler)
{
    struct buf batch BUF_AUTO;
    buf_init(&batch, 1 << 20);
    return append_wait(log_append_batch, part,
                       make_batch(producer, epoch, sequence, count, filler, &batch), ack);
}

static struct sent send(struct log_part *part, int64_t producer, int16_t epoch, int32_t sequence,
                        int32_t count)
{
    return send_big(part, LOG_ACK_WRITE, producer, epoch, sequence, count, 10);
}

static void expect(struct sent got, enum err error, int64_t offset)
{
    assert_int_equal(got.error, error);
    assert_int_equal(got.offset, error == ERR_OK ? offset : -1);
}

static void what_is_sent_twice_is_written_once(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .report = show_report};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    for (int i = 0; i < 8; i++)
        expect(send(part, 7, 0, 2 * i, 2), ERR_OK, 2 * i);
    expect(send(part, 7, 0, 14, 2), ERR_OK, 14); /* the last, and the fifth from the end */
    expect(send(part, 7, 0, 6, 2), ERR_OK, 6);
    expect(send_big(part, LOG_ACK_SYNC, 7, 0, 8, 2, 10), ERR_OK, 8);
    expect(send(part, 7, 0, 4, 2), ERR_SEQUENCE, -1);  /* too long ago */
    expect(send(part, 7, 0, 14, 1), ERR_SEQUENCE, -1); /* another batch */
    expect(send(part, 7, 0, 18, 2), ERR_SEQUENCE, -1); /* one is missing */
    assert_int_equal(log_part_end(part), 16);
    expect(send(part, 7, 0, 16, 2), ERR_OK, 16);
    expect(send(part, -1, -1, -1, 2), ERR_OK, 18); /* nobody's */
    expect(send(part, -1, -1, -1, 2), ERR_OK, 20);
    expect(send(part, 8, 0, 100, 1), ERR_OK, 22); /* unknown: any */
    expect(send(part, 8, 0, 102, 1), ERR_SEQUENCE, -1);
    log_close(log);
    folder_remove(&f);
}

static void epochs_fence(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .report = show_report};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    expect(send(part, 7, 0, 0, 3), ERR_OK, 0);
    expect(send(part, 7, 1, 3, 1), ERR_SEQUENCE, -1); /* a new epoch begins at 0 */
    expect(send(part, 7, 1, 0, 1), ERR_OK, 3);
    expect(send(part, 7, 0, 3, 1), ERR_FENCED, -1);
    expect(send(part, 7, 1, 1, 1), ERR_OK, 4);
    expect(send(part, 7, -1, 1, 1), ERR_INVALID, -1);
    log_close(log);
    folder_remove(&f);
}

static void sequences_wrap(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .report = show_report};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    expect(send(part, 7, 0, INT32_MAX - 1, 3), ERR_OK, 0); /* …, INT32_MAX, 0 */
    expect(send(part, 7, 0, INT32_MAX - 1, 3), ERR_OK, 0);
    expect(send(part, 7, 0, 1, 2), ERR_OK, 3);
    expect(send(part, 7, 0, 2, 2), ERR_SEQUENCE, -1);
    log_close(log);
    folder_remove(&f);
}

static void they_are_known_after_a_restart(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .report = show_report};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    int32_t n = 0;
    for (; n < 30; n++) /* several segments */
        expect(send_big(part, LOG_ACK_WRITE, 7, 3, n, 1, 9000), ERR_OK, n);
    for (int round = 0; round < 3; round++) {
        char clean[128];
        log_close(log);
        (void)snprintf(clean, sizeof clean, "%s/clean", f.path);
        if (round == 1)
            assert_int_equal(unlink(clean), 0); /* as after SIGKILL */
        log = open_log(&options);
        part = open_part(log, "t", &plain);
        expect(send_big(part, LOG_ACK_WRITE, 7, 3, n - 1, 1, 9000), ERR_OK, n - 1);
        expect(send_big(part, LOG_ACK_WRITE, 7, 3, n + 1, 1, 9000), ERR_SEQUENCE, -1);
        expect(send_big(part, LOG_ACK_WRITE, 7, 2, n, 1, 9000), ERR_FENCED, -1);
        expect(send_big(part, LOG_ACK_WRITE, 7, 3, n, 1, 9000), ERR_OK, n);
        n++;
        assert_int_equal(log_part_end(part), n);
    }
    log_close(log);
    folder_remove(&f);
}

static void a_failed_write_is_not_remembered(void **state)
{
    (void)state;
    struct folder f = folder_make();
    /* The quota is reached, so writes fail; what failed may be sent again and is not taken for
     * known. */
    struct log_options options = {
        .dir = f.path, .quota_bytes = LOG_QUOTA_MIN_BYTES, .protect_ms = 3600000};
    struct log *log = open_log(&options);
    struct log_topic_config config = plain;
    config.keep = true;
    struct log_part *part = open_part(log, "t", &config);
    int32_t n = 0;
    struct sent last;
    while ((last = send_big(part, LOG_ACK_WRITE, 7, 0, n, 1, 50000)).error == ERR_OK)
        n++;
    assert_int_equal(last.error, ERR_QUOTA);
    for (int i = 0; i < 3; i++)
        assert_int_equal(send_big(part, LOG_ACK_WRITE, 7, 0, n, 1, 50000).error, ERR_QUOTA);
    expect(send_big(part, LOG_ACK_WRITE, 7, 0, n - 1, 1, 50000), ERR_OK, n - 1);
    assert_int_equal(send(part, 7, 0, n + 1, 1).error, ERR_SEQUENCE);
    log_close(log);
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_twice_is_written_once),
        cmocka_unit_test(epochs_fence),
        cmocka_unit_test(sequences_wrap),
        cmocka_unit_test(they_are_known_after_a_restart),
        cmocka_unit_test(a_failed_write_is_not_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
