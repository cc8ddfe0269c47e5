/* Damaged files: torn tails, changed bytes, lost and wrong indexes. */
#include "tests/unit/log/log_test.h"

#include <dirent.h>

static const struct log_topic_config plain = {
    .partitions = 1, .retention_ms = -1, .retention_bytes = -1, .segment_bytes = 64 << 10};

enum { RECORDS = 300 };

struct noted {
    char text[16][512];
    int count;
};

static void note_report(void *arg, enum log_severity severity, struct str text)
{
    struct noted *n = arg;
    if (severity == LOG_INFO || n->count == 16)
        return;
    (void)snprintf(n->text[n->count++], sizeof n->text[0], "%.*s", STR_ARG(text));
}

static bool was_noted(const struct noted *n, const char *what)
{
    for (int i = 0; i < n->count; i++)
        if (strstr(n->text[i], what))
            return true;
    for (int i = 0; i < n->count; i++)
        printf("  noted: %s\n", n->text[i]);
    return false;
}

/* Records of 2000 bytes, so about 30 to a segment. */
static struct folder make_log(void)
{
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .manual = true};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    for (uint64_t n = 0; n < RECORDS; n++)
        assert_int_equal(append_numbered(part, n, 2000, LOG_ACK_SYNC), n);
    log_close(log);
    return f;
}

static void path_in(const struct folder *f, const char *name, char ret_path[400])
{
    (void)snprintf(ret_path, 400, "%s/%s", f->path, name);
}

static void remove_in(const struct folder *f, const char *name)
{
    char path[400];
    path_in(f, name, path);
    assert_int_equal(unlink(path), 0);
}

static void write_at(const char *path, long position, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, position, position < 0 ? SEEK_END : SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* The name of the nth file that ends so, in order of names. */
static void nth_file(const struct folder *f, const char *suffix, int n, char ret_path[400])
{
    struct dirent **entries = NULL;
    char dir[96];
    (void)snprintf(dir, sizeof dir, "%s/topics/t-0", f->path);
    int count = scandir(dir, &entries, NULL, alphasort);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        if (str_ends(str_from_c(entries[i]->d_name), str_from_c(suffix)) && n-- == 0)
            (void)snprintf(ret_path, 400, "%s/%s", dir, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    assert_true(n < 0);
}

static size_t count_files(const struct folder *f, const char *name)
{
    char path[400];
    size_t count = 0;
    path_in(f, name, path);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));)
        count += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

static void count_damage(void *arg, const struct log_damage *damage)
{
    (void)damage;
    ++*(int *)arg;
}

static int damages(struct log_part *part)
{
    int count = 0;
    assert_int_equal(log_part_verify(part, count_damage, &count), ERR_OK);
    return count;
}

static void a_torn_tail_is_cut(void **state)
{
    (void)state;
    struct folder f = make_log();
    struct noted noted = {.count = 0};
    struct log_options options = {
        .dir = f.path, .manual = true, .report = note_report, .arg = &noted};
    char last[400];
    for (int i = 0;; i++) { /* the last segment */
        char path[400] = "";
        nth_file(&f, ".log", i, path);
        memcpy(last, path, sizeof last);
        if (i == 9)
            break;
    }
    FILE *file = fopen(last, "a");
    assert_non_null(file);
    assert_true(fputs("half a batch", file) >= 0);
    assert_int_equal(fclose(file), 0);
    struct log *log = open_log(&options); /* the size is not what the marker says */
    struct log_part *part = open_part(log, "t", &plain);
    struct log_part_info info;
    assert_true(was_noted(&noted, "event=log_tail_cut topic=t partition=0 segment="));
    assert_true(was_noted(&noted, "bytes=12 offset=300"));
    log_part_describe(part, &info);
    assert_int_equal(info.end_offset, RECORDS);
    assert_int_equal(info.leader_epoch, 1); /* clients can find out that something is gone */
    assert_int_equal(append_numbered(part, RECORDS, 10, LOG_ACK_SYNC), RECORDS);
    assert_int_equal(read_forward(part, 0, NULL, NULL), RECORDS + 1);
    log_close(log);
    noted.count = 0;
    log = open_log(&options);
    assert_int_equal(noted.count, 0);
    part = open_part(log, "t", &plain);
    assert_int_equal(damages(part), 0);
    log_part_describe(part, &info);
    assert_int_equal(info.leader_epoch, 1);
    log_close(log);
    folder_remove(&f);
}

/* A byte in the middle of a sealed segment: met when it is read, told once, set aside, read around.
 */
static void damage_is_read_around(void **state)
{
    (void)state;
    struct folder f = make_log();
    struct noted noted = {.count = 0};
    struct log_options options = {
        .dir = f.path, .manual = true, .report = note_report, .arg = &noted};
    char path[400];
    nth_file(&f, ".log", 2, path);
    write_at(path, 10000, "?", 1);
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    assert_int_equal(noted.count, 0);
    assert_int_equal(damages(part), 1);
    assert_int_equal(read_forward(part, 0, NULL, NULL), RECORDS - 1);
    assert_int_equal(noted.count, 1);
    assert_true(was_noted(&noted, "event=log_damaged topic=t partition=0 segment="));
    assert_true(was_noted(&noted, "reason=\"checksum or header does not match\""));
    assert_int_equal(read_backward(part, RECORDS, NULL), RECORDS - 1);
    assert_int_equal(read_forward(part, 50, NULL, NULL), RECORDS - 50 - 1);
    assert_int_equal(noted.count, 1);
    assert_int_equal(count_files(&f, "quarantine"), 0);
    log_maintain(log);
    assert_int_equal(count_files(&f, "quarantine"), 1);
    assert_int_equal(damages(part), 0);
    assert_int_equal(read_forward(part, 0, NULL, NULL), RECORDS - 1);
    assert_int_equal(read_backward(part, RECORDS, NULL), RECORDS - 1);
    assert_int_equal(append_numbered(part, RECORDS, 10, LOG_ACK_SYNC), RECORDS);
    log_close(log);
    noted.count = 0;
    log = open_log(&options);
    part = open_part(log, "t", &plain);
    assert_int_equal(read_forward(part, 0, NULL, NULL), RECORDS);
    assert_int_equal(damages(part), 0);
    assert_int_equal(noted.count, 0);
    log_close(log);
    folder_remove(&f);
}

/* The same, found at the open because its index is gone too; and in the active segment. */
static void damage_is_set_aside_at_the_open(void **state)
{
    (void)state;
    for (int which = 0; which < 10; which += 9) {
        struct folder f = make_log();
        struct noted noted = {.count = 0};
        struct log_options options = {
            .dir = f.path, .manual = true, .report = note_report, .arg = &noted};
        char path[400];
        nth_file(&f, ".log", which, path);
        write_at(path, 5000, "??????", 6);
        remove_in(&f, "clean");
        if (which == 0) {
            nth_file(&f, ".index", which, path);
            assert_int_equal(unlink(path), 0);
        }
        struct log *log = open_log(&options);
        struct log_part *part = open_part(log, "t", &plain);
        assert_int_equal(noted.count, 1);
        assert_true(was_noted(&noted, "set_aside=yes"));
        assert_int_equal(count_files(&f, "quarantine"), 1);
        assert_int_equal(read_forward(part, 0, NULL, NULL), RECORDS - 1);
        assert_int_equal(damages(part), 0);
        assert_int_equal(append_numbered(part, RECORDS, 10, LOG_ACK_SYNC), RECORDS);
        log_close(log);
        log = open_log(&options);
        assert_int_equal(noted.count, 1);
        assert_int_equal(read_forward(open_part(log, "t", &plain), 0, NULL, NULL), RECORDS);
        log_close(log);
        folder_remove(&f);
    }
}

/* Met while the segment is still written to; what comes behind the damage is not lost by mending
 * it. */
static void damage_in_the_active_segment(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct noted noted = {.count = 0};
    struct log_options options = {
        .dir = f.path, .manual = true, .report = note_report, .arg = &noted};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    char path[400];
    for (uint64_t n = 0; n < 10; n++)
        assert_int_equal(append_numbered(part, n, 1000, LOG_ACK_SYNC), n);
    nth_file(&f, ".log", 0, path);
    write_at(path, -2500, "damage from here to the end", 27);
    write_at(path, -1500, "damage from here to the end", 27);
    write_at(path, -500, "damage from here to the end", 27);
    assert_int_equal(read_forward(part, 0, NULL, NULL), 7);
    for (uint64_t n = 10; n < 15; n++)
        assert_int_equal(append_numbered(part, n, 1000, LOG_ACK_SYNC), n);
    for (int round = 0; round < 3; round++) {
        struct log_range range;
        assert_int_equal(read_forward(part, 0, NULL, NULL), 12);
        assert_int_equal(read_backward(part, 15, NULL), 12);
        assert_int_equal(log_read(part, 0, 1 << 20, &range), ERR_OK);
        assert_int_equal(range.base_offset, 0);
        int64_t next = range.next_offset;
        log_range_release(&range);
        assert_int_equal(log_read(part, next, 1 << 20, &range), ERR_OK);
        assert_int_equal(range.base_offset, 10);
        assert_int_equal(range.next_offset, 15);
        log_range_release(&range);
        log_maintain(log);
        if (round == 1) {
            log_close(log);
            log = open_log(&options);
            part = open_part(log, "t", &plain);
        }
    }
    assert_int_equal(noted.count, 1);
    assert_int_equal(damages(part), 0);
    log_close(log);
    folder_remove(&f);
}

static void a_segment_that_is_all_damage_keeps_its_place(void **state)
{
    (void)state;
    struct folder f = make_log();
    struct noted noted = {.count = 0};
    struct log_options options = {
        .dir = f.path, .manual = true, .report = note_report, .arg = &noted};
    char path[400];
    char zeros[70000] = {0};
    nth_file(&f, ".log", 3, path);
    write_at(path, 0, zeros, 60000);
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    size_t left = read_forward(part, 0, NULL, NULL);
    assert_true(left > RECORDS - 35 && left < RECORDS - 20);
    assert_int_equal(read_backward(part, RECORDS, NULL), left);
    log_maintain(log);
    assert_int_equal(read_forward(part, 0, NULL, NULL), left);
    assert_int_equal(read_backward(part, RECORDS, NULL), left);
    assert_int_equal(damages(part), 0);
    log_close(log);
    folder_remove(&f);
}

static void indexes_are_made_again(void **state)
{
    (void)state;
    static const char *const suffixes[] = {".index", ".timeindex"};
    struct folder f = make_log();
    struct noted noted = {.count = 0};
    struct log_options options = {
        .dir = f.path, .manual = true, .report = note_report, .arg = &noted};
    char path[400];
    char before[400];
    for (int i = 0; i < 2; i++) {
        struct buf was BUF_AUTO;
        struct buf is BUF_AUTO;
        buf_init(&was, 1 << 20);
        buf_init(&is, 1 << 20);
        nth_file(&f, suffixes[i], 1, before);
        assert_int_equal(os_fs_read_file(os_fs_machine(), before, &was), ERR_OK);
        assert_int_equal(unlink(before), 0);
        struct log *log = open_log(&options);
        assert_true(was_noted(&noted, "event=log_index_rebuilt topic=t partition=0"));
        assert_int_equal(read_forward(open_part(log, "t", &plain), 150, NULL, NULL), 150);
        log_close(log);
        assert_int_equal(os_fs_read_file(os_fs_machine(), before, &is), ERR_OK);
        assert_true(str_eq(buf_str(&was), buf_str(&is)));
    }
    /* One that lies: reading is right, verifying tells, maintenance mends. */
    nth_file(&f, ".index", 1, path);
    write_at(path, 0, "\0\0\0\3\0\0\0\7", 8);
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    assert_int_equal(damages(part), 1);
    for (int64_t from = 0; from < RECORDS; from += 7) {
        uint64_t first = 0;
        assert_int_equal(read_forward(part, from, &first, NULL), RECORDS - from);
        assert_int_equal(first, from);
        assert_int_equal(read_backward(part, from, &first), from);
    }
    log_close(log);
    folder_remove(&f);
}

/* No checksum covers a batch's base offset: its neighbours tell that it is wrong. */
static void a_wrong_offset_is_damage(void **state)
{
    (void)state;
    for (int raised = 0; raised < 2; raised++) {
        struct folder f = make_log();
        struct noted noted = {.count = 0};
        struct log_options options = {
            .dir = f.path, .manual = true, .report = note_report, .arg = &noted};
        char path[400];
        struct batch_header h;
        struct buf bytes BUF_AUTO;
        buf_init(&bytes, 1 << 20);
        nth_file(&f, ".log", 1, path);
        assert_int_equal(os_fs_read_file(os_fs_machine(), path, &bytes), ERR_OK);
        assert_int_equal(batch_header_read(buf_str(&bytes), &h), ERR_OK);
        long at = 5 * (long)h.size_bytes; /* all records have one size there */
        write_at(path, at + 5, raised ? "\x01" : "\0\0\0", raised ? 1 : 3);
        struct log *log = open_log(&options);
        struct log_part *part = open_part(log, "t", &plain);
        assert_int_equal(damages(part), 1);
        assert_int_equal(read_forward(part, 0, NULL, NULL), RECORDS - 1);
        assert_int_equal(read_backward(part, RECORDS, NULL), RECORDS - 1);
        assert_true(was_noted(&noted, "reason=\"offset does not fit its place\""));
        assert_int_equal(noted.count, 1);
        log_maintain(log);
        assert_int_equal(damages(part), 0);
        assert_int_equal(read_forward(part, 0, NULL, NULL), RECORDS - 1);
        log_close(log);
        folder_remove(&f);
    }
}

static void a_lost_marker_costs_only_reading(void **state)
{
    (void)state;
    struct folder f = make_log();
    struct noted noted = {.count = 0};
    struct log_options options = {
        .dir = f.path, .manual = true, .report = note_report, .arg = &noted};
    char path[400];
    path_in(&f, "clean", path);
    write_at(path, 20, "9", 1);
    struct log *log = open_log(&options);
    assert_true(was_noted(&noted, "event=log_marker_damaged"));
    assert_int_equal(noted.count, 1);
    struct log_part *part = open_part(log, "t", &plain);
    assert_int_equal(read_forward(part, 0, NULL, NULL), RECORDS);
    log_close(log);
    folder_remove(&f);
}

/* The marker knows an offset that the files have lost: it is not given out again. */
static void lost_offsets_are_not_given_out_again(void **state)
{
    (void)state;
    struct folder f = make_log();
    struct noted noted = {.count = 0};
    struct log_options options = {
        .dir = f.path, .manual = true, .report = note_report, .arg = &noted};
    char path[400];
    nth_file(&f, ".log", 9, path);
    assert_int_equal(truncate(path, 3000), 0);
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &plain);
    assert_int_equal(log_part_end(part), RECORDS);
    assert_int_equal(append_numbered(part, RECORDS, 10, LOG_ACK_SYNC), RECORDS);
    size_t left = read_forward(part, 0, NULL, NULL);
    assert_true(left < RECORDS);
    assert_int_equal(read_backward(part, RECORDS + 1, NULL), left);
    log_close(log);
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_torn_tail_is_cut),
        cmocka_unit_test(damage_is_read_around),
        cmocka_unit_test(damage_is_set_aside_at_the_open),
        cmocka_unit_test(damage_in_the_active_segment),
        cmocka_unit_test(a_segment_that_is_all_damage_keeps_its_place),
        cmocka_unit_test(indexes_are_made_again),
        cmocka_unit_test(a_wrong_offset_is_damage),
        cmocka_unit_test(a_lost_marker_costs_only_reading),
        cmocka_unit_test(lost_offsets_are_not_given_out_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
