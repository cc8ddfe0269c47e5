/* Transactions in the log: the last stable offset, aborted ranges, markers, and all of it after
 * every kind of stop. */
#include "tests/unit/log/log_test.h"

#include "codec/batch.h"
#include "log/log_int.h"
#include "os/random.h"
#include "os/thread.h"

static const struct log_topic_config plain = {
    .partitions = 1, .retention_ms = -1, .retention_bytes = -1, .segment_bytes = 64 << 10};

/* The offset, or minus the error. */
static int64_t append_with(append_fn *append, struct log_part *part, struct str batch)
{
    struct sent sent = append_wait(append, part, batch, LOG_ACK_WRITE);
    return sent.error == ERR_OK ? sent.offset : -(int64_t)sent.error;
}

static int64_t send(struct log_part *part, int64_t producer, int16_t epoch, int32_t sequence,
                    bool transactional, size_t filler)
{
    struct buf records BUF_AUTO;
    struct buf batch BUF_AUTO;
    char *memory = calloc(1, filler + 1);
    struct str value = str_of(memory, filler);
    struct record_fields f = {.value = &value, .value_parts = 1};
    char header[BATCH_HEADER_BYTES];
    buf_init(&records, 1 << 20);
    buf_init(&batch, 1 << 20);
    record_write(&records, &f, 0, 0);
    struct batch_header h = {.attributes = transactional ? BATCH_TRANSACTIONAL : 0,
                             .base_timestamp_ms = 1000,
                             .max_timestamp_ms = 1000,
                             .producer_id = producer,
                             .producer_epoch = epoch,
                             .base_sequence = sequence,
                             .count = 1};
    struct str bytes = buf_str(&records);
    batch_header_write(&h, &bytes, 1, header);
    buf_append(&batch, header, sizeof header);
    buf_append_str(&batch, bytes);
    free(memory);
    return append_with(log_append_batch, part, buf_str(&batch));
}

static int64_t end(struct log_part *part, int64_t producer, int16_t epoch, enum batch_marker marker)
{
    struct buf batch BUF_AUTO;
    buf_init(&batch, 1024);
    batch_marker_write(producer, epoch, marker, 0, 2000, &batch);
    return append_with(log_append_own, part, buf_str(&batch));
}

static void expect_aborted(struct log_part *part, int64_t from, int64_t to, size_t count,
                           const struct log_aborted *wanted)
{
    struct buf out BUF_AUTO;
    buf_init(&out, 1 << 20);
    assert_int_equal(log_part_aborted(part, from, to, &out), ERR_OK);
    assert_int_equal(out.len, count * sizeof *wanted);
    for (size_t i = 0; i < count; i++) {
        const struct log_aborted *a = (const struct log_aborted *)(const void *)out.ptr + i;
        assert_int_equal(a->producer_id, wanted[i].producer_id);
        assert_int_equal(a->first_offset, wanted[i].first_offset);
    }
}

static void what_is_open_holds_back_readers(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .report = show_report};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    struct log_range range;
    assert_int_equal(send(part, -1, -1, -1, false, 10), 0);
    assert_int_equal(log_part_stable(part), 1);
    assert_int_equal(send(part, 7, 0, 0, true, 10), 1);
    assert_int_equal(send(part, 8, 0, 0, true, 10), 2);
    assert_int_equal(send(part, -1, -1, -1, false, 10), 3);
    assert_int_equal(log_part_stable(part), 1);
    assert_int_equal(send(part, 7, 0, 1, false, 10), -ERR_TRANSACTION);
    assert_int_equal(log_read_below(part, 0, log_part_stable(part), 1 << 20, &range), ERR_OK);
    assert_int_equal(range.next_offset, 1);
    log_range_release(&range);
    assert_int_equal(log_read_below(part, 1, log_part_stable(part), 1 << 20, &range), ERR_OK);
    assert_int_equal(range.length, 0);
    assert_int_equal(end(part, 7, 0, BATCH_MARKER_ABORT), 4);
    assert_int_equal(log_part_stable(part), 2);
    assert_int_equal(end(part, 8, 0, BATCH_MARKER_COMMIT), 5);
    assert_int_equal(log_part_stable(part), 6);
    const struct log_aborted aborted = {7, 1};
    expect_aborted(part, 0, 6, 1, &aborted);
    expect_aborted(part, 4, 6, 1, &aborted);
    expect_aborted(part, 5, 6, 0, NULL);
    expect_aborted(part, 0, 1, 0, NULL);
    /* Sequences go on; a newer epoch fences, by a marker too. */
    assert_int_equal(send(part, 7, 0, 1, true, 10), 6);
    assert_int_equal(end(part, 7, 1, BATCH_MARKER_ABORT), 7);
    assert_int_equal(send(part, 7, 0, 2, true, 10), -ERR_FENCED);
    assert_int_equal(end(part, 7, 0, BATCH_MARKER_COMMIT), -ERR_FENCED);
    assert_int_equal(send(part, 7, 1, 0, true, 10), 8);
    assert_int_equal(end(part, 7, 1, BATCH_MARKER_COMMIT), 9);
    struct log_producer *producers = NULL;
    assert_int_equal(log_part_producers(part, &producers), 2);
    assert_true(producers[0].id == 7 && producers[0].epoch == 1 &&
                producers[0].last_sequence == 0 && producers[0].transaction_first == -1);
    free(producers);
    log_close(log);
    folder_remove(&f);
}

static void control_batches_are_nobodys_to_send(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .report = show_report};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    struct buf batch BUF_AUTO;
    buf_init(&batch, 1024);
    batch_marker_write(7, 0, BATCH_MARKER_ABORT, 0, 2000, &batch);
    assert_int_equal(append_with(log_append_batch, part, buf_str(&batch)), -ERR_INVALID);
    log_close(log);
    folder_remove(&f);
}

/* A model beside it -------------------------------------------------------------------------- */

enum { PRODUCERS = 5, STEPS = 400, ABORTED_MAX = STEPS };

struct model {
    int64_t first[PRODUCERS]; /* of the open transaction, -1 */
    int32_t sequence[PRODUCERS];
    int16_t epoch[PRODUCERS];
    struct {
        int64_t producer, first, last;
    } aborted[ABORTED_MAX];
    size_t aborted_count;
    int64_t end;
};

static void check(struct log_part *part, const struct model *m)
{
    int64_t stable = m->end;
    struct buf out BUF_AUTO;
    for (size_t i = 0; i < PRODUCERS; i++)
        if (m->first[i] >= 0 && m->first[i] < stable)
            stable = m->first[i];
    assert_int_equal(log_part_end(part), m->end);
    assert_int_equal(log_part_stable(part), stable);
    int64_t from = (int64_t)(os_random_u64() % (uint64_t)(m->end + 1));
    int64_t to = from + (int64_t)(os_random_u64() % 40);
    to = to < stable ? to : stable;
    buf_init(&out, 1 << 20);
    assert_int_equal(log_part_aborted(part, from, to, &out), ERR_OK);
    const struct log_aborted *got = (const struct log_aborted *)(const void *)out.ptr;
    size_t at = 0;
    for (size_t i = 0; i < m->aborted_count && from < to; i++) {
        if (m->aborted[i].last < from || m->aborted[i].first >= to)
            continue;
        assert_true(at < out.len / sizeof *got);
        assert_int_equal(got[at].producer_id, m->aborted[i].producer);
        assert_int_equal(got[at].first_offset, m->aborted[i].first);
        at++;
    }
    if (from < to)
        assert_int_equal(at, out.len / sizeof *got);
}

static void step(struct log_part *part, struct model *m)
{
    size_t i = os_random_u64() % PRODUCERS;
    int64_t id = (int64_t)(100 + i);
    uint64_t what = os_random_u64() % 10;
    if (what < 6) {
        assert_int_equal(
            send(part, id, m->epoch[i], m->sequence[i], true, (size_t)(os_random_u64() % 4000)),
            m->end);
        m->sequence[i]++;
        m->first[i] = m->first[i] < 0 ? m->end : m->first[i];
        m->end++;
    } else if (what < 9) {
        bool bump = os_random_u64() % 3 == 0;
        enum batch_marker marker = os_random_u64() % 2 ? BATCH_MARKER_COMMIT : BATCH_MARKER_ABORT;
        m->epoch[i] = (int16_t)(m->epoch[i] + bump);
        m->sequence[i] = bump ? 0 : m->sequence[i];
        assert_int_equal(end(part, id, m->epoch[i], marker), m->end);
        if (marker == BATCH_MARKER_ABORT && m->first[i] >= 0) {
            m->aborted[m->aborted_count].producer = id;
            m->aborted[m->aborted_count].first = m->first[i];
            m->aborted[m->aborted_count++].last = m->end;
        }
        m->first[i] = -1;
        m->end++;
    } else {
        assert_int_equal(send(part, -1, -1, -1, false, 3000), m->end);
        m->end++;
    }
}

static void remove_file(const char *dir, const char *name)
{
    char command[256];
    (void)snprintf(command, sizeof command, "rm -f %s/%s", dir, name);
    assert_int_equal(system(command), 0);
}

/* Stopped well or by force: what is known of producers is the same. */
static void everything_is_known_after_every_stop(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct folder f = folder_make();
        struct log_options options = {.dir = f.path, .report = show_report};
        struct log *log = open_log(&options);
        struct log_part *part = open_part(log, "t", &plain);
        struct model m = {.first = {-1, -1, -1, -1, -1}};
        os_random_seed(seed);
        for (int i = 0; i < STEPS; i++) {
            step(part, &m);
            if (os_random_u64() % 16 == 0)
                check(part, &m);
            if (i % 57 != 56)
                continue;
            log_close(log);
            if (i % 2)
                remove_file(f.path, "clean"); /* as after SIGKILL */
            log = open_log(&options);
            part = log_topic_part(log_topic_find(log, STR("t")), 0);
            for (int c = 0; c < 8; c++)
                check(part, &m);
        }
        struct log_part_info info;
        log_part_describe(part, &info);
        assert_true(info.segments > 3);
        log_close(log);
        folder_remove(&f);
    }
}

static void a_damaged_snapshot_costs_only_reading(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .report = show_report};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    struct model m = {.first = {-1, -1, -1, -1, -1}};
    os_random_seed(9);
    for (int i = 0; i < STEPS; i++)
        step(part, &m);
    log_close(log);
    char command[256];
    (void)snprintf(
        command, sizeof command,
        "cd %s/topics/t-0 && rm -f ../../clean && ls *.snapshot | tail -2 | while read s; "
        "do printf x | dd of=$s bs=1 seek=20 conv=notrunc 2>/dev/null; done",
        f.path);
    assert_int_equal(system(command), 0);
    log = open_log(&options);
    part = log_topic_part(log_topic_find(log, STR("t")), 0);
    for (int c = 0; c < 50; c++)
        check(part, &m);
    for (size_t i = 0; i < PRODUCERS; i++) { /* sequences too */
        if (m.sequence[i] == 0)
            continue;
        assert_int_equal(send(part, (int64_t)(100 + i), m.epoch[i], m.sequence[i] + 1, true, 1),
                         -ERR_SEQUENCE);
    }
    log_close(log);
    folder_remove(&f);
}

static void check_snapshot(void *arg, struct str name, bool is_dir)
{
    struct log_part *part = arg;
    uint64_t offset = 0;
    char path[OS_PATH_MAX];
    struct buf bytes BUF_AUTO;
    struct log_producers *all = NULL;
    struct str aborted = STR_NONE;
    buf_init(&bytes, 1 << 20);
    if (is_dir || !str_ends(name, STR(".snapshot")))
        return;
    assert_int_equal(str_to_u64(str_take(name, 20), &offset), ERR_OK);
    log_segment_path(part, (int64_t)offset, ".snapshot", path);
    assert_int_equal(os_fs_read_file(part->log->fs, path, &bytes), ERR_OK);
    assert_int_equal(log_producers_parse(buf_str(&bytes), &all, &aborted), ERR_OK);
    for (size_t i = 0; i < all->count; i++) {
        const struct log_producer_state *p = &all->items[i];
        assert_true(p->txn_first < (int64_t)offset);
        for (size_t b = 0; b < p->count; b++)
            assert_true(p->batches[b].offset < (int64_t)offset);
    }
    log_producers_free(all);
}

/* What is about to be written when a segment is full is not in the snapshot: it might not get to
 * the disk, and would be taken for known when it is sent again. */
static void snapshots_say_what_stands_before_them(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .report = show_report};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    struct model m = {.first = {-1, -1, -1, -1, -1}};
    struct log_part_info info;
    os_random_seed(11);
    for (int i = 0; i < STEPS; i++)
        step(part, &m);
    log_part_describe(part, &info);
    assert_true(info.segments > 3);
    assert_int_equal(os_fs_list(part->log->fs, part->dir, check_snapshot, part), ERR_OK);
    log_close(log);
    folder_remove(&f);
}

static void append_time_is_stamped(void **state)
{
    (void)state;
    char bytes[BATCH_MARKER_MAX_BYTES];
    struct buf batch BUF_AUTO;
    struct batch_header h;
    buf_init(&batch, sizeof bytes);
    batch_marker_write(7, 0, BATCH_MARKER_COMMIT, 0, 2000, &batch);
    batch_stamp_time(batch.ptr, batch.len, 3000);
    assert_int_equal(batch_check(buf_str(&batch), &h), ERR_OK);
    assert_int_equal(h.max_timestamp_ms, 3000);
    assert_true(h.attributes & BATCH_APPEND_TIME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_open_holds_back_readers),
        cmocka_unit_test(control_batches_are_nobodys_to_send),
        cmocka_unit_test(everything_is_known_after_every_stop),
        cmocka_unit_test(a_damaged_snapshot_costs_only_reading),
        cmocka_unit_test(snapshots_say_what_stands_before_them),
        cmocka_unit_test(append_time_is_stamped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
