/* The view of calls beside a log: what is folded, found and summed; restarts, rebuilds, retention,
 * damage. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "codec/json_scan.h"
#include "codec/time.h"
#include "tests/unit/log/log_test.h"
#include "view/spread.h"
#include "view/view.h"

#define NOON INT64_C(1795608000000000) /* a whole minute, in µs */

struct place {
    struct folder folder;
    struct log *log;
    struct log_part *calls;
    struct view *view;
};

static void open_place(struct place *p)
{
    struct buf detail BUF_AUTO;
    buf_init(&detail, 4096);
    struct log_options options = {.dir = p->folder.path, .report = show_report};
    struct log_topic_config config = LOG_TOPIC_CONFIG_DEFAULT;
    p->log = open_log(&options);
    config.segment_bytes = 64 << 10;
    p->calls = open_part(p->log, "weir.calls", &config);
    struct view_options view = {.log = p->log,
                                .calls = p->calls,
                                .data_dir = str_from_c(p->folder.path),
                                .report = show_report};
    assert_int_equal(view_open(&view, &detail, &p->view), ERR_OK);
}

static void close_place(struct place *p)
{
    view_close(p->view);
    log_close(p->log);
}

static void wait_folded(struct place *p)
{
    struct view_state state;
    for (int i = 0; i < 5000; i++) {
        view_state(p->view, &state);
        if (state.next_offset == state.end_offset)
            return;
        usleep(2000);
    }
    fail_msg("folded %lld of %lld", (long long)state.next_offset, (long long)state.end_offset);
}

static void append(struct place *p, const char *json)
{
    int64_t offset;
    struct str value = str_from_c(json);
    struct log_record record = {.timestamp_ms = NOON / 1000, .value = &value, .value_parts = 1};
    assert_int_equal(log_append_wait(p->calls, &record, LOG_ACK_WRITE, &offset), ERR_OK);
}

static void append_call(struct place *p, int n, const char *model, const char *outcome, int status,
                        int total_us, const char *said)
{
    char json[2048];
    char time[TIME_TEXT_BYTES + 1];
    time_format(NOON + n * INT64_C(1000000), time);
    (void)snprintf(
        json, sizeof json,
        "{\"id\":\"%032x\",\"time\":\"%s\",\"key\":\"web\",\"endpoint\":\"chat\",\"model\":\"%s\","
        "\"target\":\"openai/%s\",\"status\":%d,\"outcome\":\"%s\",\"stream\":false,"
        "\"timing\":{\"overhead_us\":20,\"first_token_us\":null,\"total_us\":%d},"
        "\"usage\":{\"input\":10,\"cached_input\":4,\"output\":5,\"reasoning\":0},"
        "\"cost\":{\"amount\":\"0.0000125\",\"currency\":\"USD\"},"
        "\"request\":{\"messages\":[{\"role\":\"user\",\"content\":\"%s %d\"}]},"
        "\"response\":{\"choices\":[{\"message\":{\"content\":\"answer%d\"}}]},\"user\":null}",
        (unsigned)n, time, model, model, status, outcome, total_us, said, n, n);
    append(p, json);
}

static size_t search(struct place *p, struct view_filter filter, int64_t offsets[100])
{
    size_t count = 0;
    assert_int_equal(view_search(p->view, &filter, -1, 100, offsets, &count), ERR_OK);
    return count;
}

static int64_t number(struct place *p, struct view_question question, const char *path)
{
    struct buf json BUF_AUTO;
    struct json_value value;
    int64_t n = -1;
    buf_init(&json, 1 << 20);
    assert_int_equal(view_stats(p->view, &question, &json), ERR_OK);
    if (!json_find(buf_str(&json), path, &value) || json_to_i64(&value, &n) != ERR_OK)
        return -1;
    return n;
}

static void fill(struct place *p)
{
    for (int i = 0; i < 200; i++)
        append_call(p, i, i % 2 ? "fast" : "smart", i % 10 ? "ok" : "error", i % 10 ? 200 : 502,
                    1000 * (i + 1), i % 4 ? "rivers of europe" : "the \\u00e9toile");
    append(p, "not a call");
    append(p, "{\"id\":\"x\"}");
}

static void check_all(struct place *p)
{
    int64_t offsets[100];
    struct view_question all = {.by = STR("")};
    struct view_question by = {.by = STR("model"), .step_s = 60};
    wait_folded(p);
    assert_int_equal(number(p, all, "groups.0.calls"), 200);
    assert_int_equal(number(p, all, "groups.0.errors"), 20);
    assert_int_equal(number(p, all, "groups.0.input"), 2000);
    assert_int_equal(number(p, all, "groups.0.cached_input"), 800);
    assert_in_range(number(p, all, "groups.0.total_us.p50"), 100000, 103500);
    assert_in_range(number(p, all, "groups.0.total_us.p99"), 198000, 204500);
    assert_int_equal(number(p, by, "groups.1.calls"), 100);
    assert_int_equal(number(p, by, "groups.0.points.0.calls"), 30);
    assert_int_equal(number(p, by, "groups.0.points.3.calls"), 10);
    assert_int_equal(number(p, by, "groups.0.points.4.calls"), -1);
    assert_int_equal(search(p, (struct view_filter){.model = STR("fast")}, offsets), 100);
    assert_true(offsets[0] == 199 && offsets[99] == 1);
    assert_int_equal(search(p, (struct view_filter){.status = STR("5xx")}, offsets), 20);
    assert_int_equal(search(p, (struct view_filter){.outcome = STR("error")}, offsets), 20);
    assert_int_equal(search(p, (struct view_filter){.model = STR("nobody")}, offsets), 0);
    assert_int_equal(search(p, (struct view_filter){.words = STR("rivers 199")}, offsets), 1);
    assert_true(offsets[0] == 199);
    assert_int_equal(search(p, (struct view_filter){.words = STR("etoi")}, offsets), 50);
    assert_int_equal(search(p, (struct view_filter){.words = STR("answer17")}, offsets), 11);
    assert_int_equal(search(p, (struct view_filter){.words = STR("\" OR (")}, offsets), 0);
    assert_int_equal(search(p, (struct view_filter){.total_us_min = 199000}, offsets), 2);
    assert_int_equal(search(p,
                            (struct view_filter){.since_us = NOON + 190 * INT64_C(1000000),
                                                 .until_us = NOON + 195 * INT64_C(1000000)},
                            offsets),
                     5);
}

static void calls_are_found_and_summed(void **state)
{
    (void)state;
    struct place p = {.folder = folder_make()};
    struct view_filter long_words = {.words = str_of("x", 1)};
    int64_t offsets[100];
    size_t count;
    open_place(&p);
    fill(&p);
    check_all(&p);
    char many[VIEW_WORDS_BYTES_MAX + 2];
    memset(many, 'x', sizeof many);
    long_words.words = str_of(many, sizeof many);
    assert_int_equal(view_search(p.view, &long_words, -1, 100, offsets, &count), ERR_INVALID);
    struct view_question wrong = {.by = STR("moon")};
    struct buf json = {.max = 4096};
    assert_int_equal(view_stats(p.view, &wrong, &json), ERR_INVALID);
    buf_release(&json);
    close_place(&p);
    folder_remove(&p.folder);
}

static void calls_are_folded_as_they_come(void **state)
{
    (void)state;
    struct place p = {.folder = folder_make()};
    open_place(&p);
    for (int i = 0; i < 300; i++) {
        append_call(&p, i, "live", "ok", 200, 1, "one");
        if (i % 30 == 0)
            wait_folded(&p); /* so that it waits again */
    }
    wait_folded(&p);
    assert_int_equal(number(&p, (struct view_question){.by = STR("model")}, "groups.0.calls"), 300);
    close_place(&p);
    folder_remove(&p.folder);
}

static void a_restart_counts_nothing_twice(void **state)
{
    (void)state;
    struct place p = {.folder = folder_make()};
    open_place(&p);
    fill(&p);
    close_place(&p); /* whatever is folded by now */
    for (int i = 0; i < 3; i++) {
        open_place(&p);
        check_all(&p);
        close_place(&p);
    }
    open_place(&p);
    wait_folded(&p);
    view_rebuild(p.view);
    struct view_state now;
    for (int i = 0; i < 1000; i++) { /* it begins at some time */
        view_state(p.view, &now);
        if (now.next_offset < now.end_offset)
            break;
        usleep(200);
    }
    check_all(&p);
    close_place(&p);
    folder_remove(&p.folder);
}

/* The log is the truth: a database that is damaged, or ahead of a log that lost its end, is made
 * again. */
static void what_is_wrong_is_made_again(void **state)
{
    (void)state;
    struct place p = {.folder = folder_make()};
    char path[128];
    open_place(&p);
    fill(&p);
    check_all(&p);
    close_place(&p);
    (void)snprintf(path, sizeof path, "%s/views/calls.db", p.folder.path);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "damaged damaged damaged", 23, 0), 23);
    close(fd);
    open_place(&p);
    check_all(&p);
    close_place(&p);
    char command[256];
    (void)snprintf(command, sizeof command, "rm -rf '%s/topics'", p.folder.path);
    assert_int_equal(system(command), 0);
    open_place(&p);
    append_call(&p, 1, "new", "ok", 200, 5, "again");
    wait_folded(&p);
    assert_int_equal(number(&p, (struct view_question){.by = STR("")}, "groups.0.calls"), 1);
    close_place(&p);
    folder_remove(&p.folder);
}

static uint64_t percentile(const struct spread *s, double part)
{
    struct spread_sum *sum = NEW(struct spread_sum);
    struct buf bytes BUF_AUTO;
    buf_init(&bytes, 1 << 16);
    spread_write(s, &bytes);
    assert_int_equal(spread_sum_add(sum, buf_str(&bytes)), ERR_OK);
    uint64_t value = spread_sum_percentile(sum, part);
    mem_free(sum);
    return value;
}

static void percentiles_are_close(void **state)
{
    (void)state;
    struct spread a = {0};
    struct spread b = {0};
    struct buf bytes = {.max = 1 << 16};
    for (uint64_t i = 1; i <= 1000; i++)
        spread_add(i % 2 ? &a : &b, i * i);
    spread_add(&a, 0);
    spread_add(&a, UINT64_MAX);
    spread_write(&b, &bytes);
    assert_int_equal(spread_merge(&a, buf_str(&bytes)), ERR_OK);
    assert_int_equal(percentile(&a, 0), 0);
    assert_in_range(percentile(&a, 0.5), 249000, 258000);
    assert_true(percentile(&a, 1) == UINT64_MAX);
    assert_int_equal(spread_merge(&a, STR("12345")), ERR_INVALID);
    assert_int_equal(spread_merge(&a, STR("\xff\xff\1\0\0\0")), ERR_INVALID);
    for (uint64_t v = 1; v < UINT64_MAX / 3; v = v * 2 + 1) {
        struct spread one = {0};
        spread_add(&one, v);
        uint64_t p = percentile(&one, 0.5);
        assert_true(p >= v && p - v <= v / 32);
        spread_release(&one);
    }
    spread_release(&a);
    spread_release(&b);
    buf_release(&bytes);
}

/* Each call says words that no other does, so that a segment of the index is full after some 100.
 */
static void append_wordy(struct place *p, int from, int to)
{
    for (int i = from; i < to; i++) {
        char said[8000];
        char json[10000];
        char time[TIME_TEXT_BYTES + 1];
        size_t n = 0;
        for (int w = 0; w < 550; w++)
            n += (size_t)snprintf(said + n, sizeof said - n, "w%dx%d ", i, w);
        time_format(NOON + i * INT64_C(1000000), time);
        (void)snprintf(json, sizeof json,
                       "{\"time\":\"%s\",\"key\":\"k%d\",\"endpoint\":\"chat\",\"model\":\"m\","
                       "\"status\":%d,\"outcome\":\"ok\",\"timing\":{\"total_us\":%d},"
                       "\"request\":{\"prompt\":\"common %s\"}}",
                       time, i % 3, i % 50 ? 200 : 503, 1000 * i, said);
        append(p, json);
    }
}

static void check_wordy(struct place *p, int first, int calls)
{
    int64_t offsets[100];
    char word[32];
    wait_folded(p);
    for (int i = first; i < calls; i += 37) {
        (void)snprintf(word, sizeof word, "w%dx541", i);
        assert_int_equal(search(p, (struct view_filter){.words = str_from_c(word)}, offsets), 1);
        assert_true(offsets[0] == i);
    }
    int64_t before = -1;
    size_t count;
    int64_t last = calls;
    size_t sum = 0;
    do { /* pages of 30 */
        struct view_filter filter = {.key = STR("k1"), .words = STR("w")};
        assert_int_equal(view_search(p->view, &filter, before, 30, offsets, &count), ERR_OK);
        for (size_t i = 0; i < count; i++) {
            assert_true(offsets[i] < last && offsets[i] % 3 == 1);
            last = offsets[i];
        }
        sum += count;
        before = last;
    } while (count == 30);
    assert_int_equal(sum, (calls - 1 + 2) / 3 - (first - 1 + 2) / 3);
    assert_int_equal(search(p, (struct view_filter){.status = STR("5xx")}, offsets),
                     (calls + 49) / 50 - (first + 49) / 50);
    assert_int_equal(search(p, (struct view_filter){.total_us_min = 1000 * (calls - 5)}, offsets),
                     5);
    assert_int_equal(
        search(p, (struct view_filter){.until_us = NOON + (first + 7) * INT64_C(1000000)}, offsets),
        7);
}

static void what_is_said_fills_segments(void **state)
{
    (void)state;
    struct place p = {.folder = folder_make()};
    int64_t start;
    open_place(&p);
    append_wordy(&p, 0, 350);
    check_wordy(&p, 0, 350);
    close_place(&p);
    open_place(&p); /* what was in memory is read from the log */
    check_wordy(&p, 0, 350);
    assert_int_equal(log_part_delete_before(p.calls, 250, &start), ERR_OK);
    append_wordy(&p, 350, 360);
    check_wordy(&p, 250, 360);
    struct view_question all = {.by = STR("model")};
    assert_int_equal(number(&p, all, "groups.0.calls"), 360); /* of the same hour */
    close_place(&p);
    folder_remove(&p.folder);
}

/* Every way to divide a window gives the same sums. */
static void windows_add_up(void **state)
{
    (void)state;
    struct place p = {.folder = folder_make()};
    const int64_t minute_us = 60000000;
    open_place(&p);
    for (int i = 0; i < 1000; i++) /* one in 13 minutes: nine days */
        append_call(&p, i * 780, "m", "ok", 200, 1000, "x");
    wait_folded(&p);
    for (int64_t from = 0; from < 4000; from += 371)
        for (int64_t length = 1; length < 9000; length = length * 3 + 1)
            for (int step = 0; step < 4; step++) {
                static const int64_t steps[] = {0, 60, 7200, 86400};
                struct view_question q = {
                    .by = STR("model"),
                    .step_s = steps[step],
                    .filter = {.since_us = NOON + from * minute_us,
                               .until_us = NOON + (from + length) * minute_us}};
                int64_t wanted = (from + length + 12) / 13 - (from + 12) / 13;
                assert_int_equal(number(&p, q, "groups.0.calls"), wanted ? wanted : -1);
            }
    struct view_question days = {.by = STR(""), .step_s = 86400};
    assert_int_equal(number(&p, days, "groups.0.points.1.calls"), 111);
    close_place(&p);
    folder_remove(&p.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_close),
        cmocka_unit_test(calls_are_found_and_summed),
        cmocka_unit_test(calls_are_folded_as_they_come),
        cmocka_unit_test(a_restart_counts_nothing_twice),
        cmocka_unit_test(what_is_wrong_is_made_again),
        cmocka_unit_test(what_is_said_fills_segments),
        cmocka_unit_test(windows_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
