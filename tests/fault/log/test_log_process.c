/* The log in processes of its own on the machine's disk: a sync that fails, a file system that is
 * full, SIGKILL. */
#include "tests/unit/log/log_test.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "os/thread.h"

static const struct log_topic_config config = {
    .partitions = 1, .retention_ms = -1, .retention_bytes = -1, .segment_bytes = 64 << 10};

/* A failed sync ------------------------------------------------------------------------------- */

static enum err failing_datasync(struct os_file *file)
{
    (void)file;
    return ERR_IO;
}

static void say_done(struct log_append *first)
{
    for (; first; first = first->next)
        printf("done %s\n", err_name(first->error));
    (void)fflush(stdout);
}

/* Opens well, then no sync works any more. */
static void run_with_failing_sync(const char *dir, bool sync)
{
    struct os_fs fs = *os_fs_machine();
    struct log_options options = {.fs = &fs, .dir = dir};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &config);
    static struct log_append append;
    struct str value = STR("v");
    struct log_record record = {.timestamp_ms = -1, .value = &value, .value_parts = 1};
    append.done = say_done;
    append.ack = sync ? LOG_ACK_SYNC : LOG_ACK_WRITE;
    fs.datasync = failing_datasync;
    assert_int_equal(log_append(part, &record, &append), ERR_OK);
    sleep(10);
    printf("still there\n");
    _exit(0);
}

/* Runs fn in a child and returns its exit status, with what it wrote to both outputs. */
static int run_child(void (*fn)(const char *dir, bool flag), const char *dir, bool flag,
                     char *ret_text, size_t size)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    (void)fflush(stdout);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(fds[1], 1);
        (void)dup2(fds[1], 2);
        close(fds[0]);
        fn(dir, flag);
        _exit(99);
    }
    close(fds[1]);
    size_t len = 0;
    for (ssize_t n; len + 1 < size && (n = read(fds[0], ret_text + len, size - 1 - len)) > 0;)
        len += (size_t)n;
    ret_text[len] = 0;
    close(fds[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void a_failed_sync_ends_the_process(void **state)
{
    (void)state;
    for (int sync = 0; sync < 2; sync++) {
        struct folder f = folder_make();
        char text[4096];
        int status = run_child(run_with_failing_sync, f.path, sync, text, sizeof text);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 1)
            fail_msg("status %d: %s", status, text);
        assert_non_null(strstr(text, "level=fatal event=log_sync_failed path=/tmp/weir-log-"));
        assert_non_null(strstr(text, "/topics/t-0 error=io"));
        assert_null(strstr(text, "still there"));
        /* what waits for the sync is not acknowledged; what was written is, before */
        assert_int_equal(strstr(text, "done ok") != NULL, !sync);
        struct log_options options = {.dir = f.path};
        struct log *log = open_log(&options);
        assert_int_equal(append_numbered(open_part(log, "t", &config), 1, 1, LOG_ACK_SYNC), 1);
        log_close(log);
        folder_remove(&f);
    }
}

/* A full disk --------------------------------------------------------------------------------- */

static void run_on_full_disk(const char *dir, bool quota)
{
    struct log_options options = {.dir = dir, .quota_bytes = quota ? LOG_QUOTA_MIN_BYTES : 0};
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &config);
    uint64_t n = 0;
    int64_t offset = 0;
    while (n < 10000 && (offset = append_numbered(part, n, 5000, LOG_ACK_WRITE)) >= 0)
        n++;
    assert_int_equal(offset, -ERR_NO_SPACE);
    assert_int_equal(read_forward(part, 0, NULL, NULL), n);
    log_close(log); /* perhaps without a marker */
    char path[256];
    (void)snprintf(path, sizeof path, "%s/ballast", dir);
    assert_int_equal(unlink(path), 0);
    log = open_log(&options);
    part = open_part(log, "t", &config);
    assert_int_equal(read_forward(part, 0, NULL, NULL), n);
    assert_int_equal(append_numbered(part, n, 5000, LOG_ACK_SYNC), n);
    log_close(log);
    printf("as it should be, %llu records\n", (unsigned long long)n);
    (void)fflush(stdout);
    _exit(0);
}

/* In a mount namespace of its own, so that nothing stays mounted whatever happens. */
static void run_on_tmpfs(const char *dir, bool quota)
{
    char path[256];
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        _exit(77);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", dir, "tmpfs", 0, "size=3m") != 0)
        _exit(77);
    (void)snprintf(path, sizeof path, "%s/ballast", dir);
    FILE *file = fopen(path, "w");
    if (!file)
        _exit(98);
    for (int i = 0; i < 1 << 20; i += 64)
        (void)fwrite("................................................................", 1, 64,
                     file);
    (void)fclose(file);
    run_on_full_disk(dir, quota);
}

static void a_full_file_system_refuses_and_recovers(void **state)
{
    (void)state;
    for (int quota = 0; quota < 2; quota++) {
        struct folder f = folder_make();
        char text[4096];
        int status = run_child(run_on_tmpfs, f.path, quota, text, sizeof text);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
            printf("may not mount a tmpfs here\n");
            skip();
        }
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("status %d: %s", status, text);
        assert_non_null(strstr(text, "as it should be"));
        folder_remove(&f);
    }
}

/* SIGKILL ------------------------------------------------------------------------------------- */

enum { ROUNDS = 8, APPENDERS = 4 };

static int report_fd;
static struct log_part *kill_part;

/* Appends numbers of its own; every acknowledged one is told to the parent, whole or not at all. */
static void append_for_ever(void *arg)
{
    uint64_t from = (uint64_t)(uintptr_t)arg;
    for (uint64_t n = from;; n += APPENDERS) {
        int64_t offset =
            append_numbered(kill_part, n, 300 + n % 2000, n % 5 ? LOG_ACK_WRITE : LOG_ACK_SYNC);
        uint64_t told[2] = {n, (uint64_t)offset};
        if (offset < 0 || write(report_fd, told, sizeof told) != sizeof told)
            _exit(3);
    }
}

static void run_until_killed(const char *dir, uint64_t first)
{
    struct log_options options = {.dir = dir};
    struct log *log = open_log(&options);
    struct os_thread thread;
    kill_part = open_part(log, "t", &config);
    for (uint64_t i = 0; i < APPENDERS; i++)
        assert_int_equal(
            os_thread_start("appender", append_for_ever, (void *)(uintptr_t)(first + i), &thread),
            ERR_OK);
    sleep(30);
    _exit(4);
}

enum { NUMBERS_MAX = 2000000 };

static int64_t told_offsets[NUMBERS_MAX];
static int64_t seen_offsets[NUMBERS_MAX];

static uint64_t collect(int fd, uint64_t highest)
{
    uint64_t told[2];
    while (read(fd, told, sizeof told) == sizeof told) {
        assert_true(told[0] < NUMBERS_MAX);
        told_offsets[told[0]] = (int64_t)told[1] + 1;
        highest = told[0] > highest ? told[0] : highest;
    }
    return highest;
}

static void check_all(const char *dir)
{
    struct log_options options = {.dir = dir};
    struct log *log = open_log(&options);
    struct log_cursor *cursor = NULL;
    const struct log_entry *e = NULL;
    memset(seen_offsets, 0, sizeof seen_offsets);
    assert_int_equal(log_cursor_open(open_part(log, "t", &config), 0, LOG_FORWARD, &cursor),
                     ERR_OK);
    while (log_cursor_next(cursor, &e) == ERR_OK && e) {
        uint64_t n = entry_number(e);
        assert_true(n < NUMBERS_MAX);
        assert_int_equal(seen_offsets[n], 0); /* once */
        seen_offsets[n] = e->offset + 1;
    }
    log_cursor_close(cursor);
    log_close(log);
    for (uint64_t n = 0; n < NUMBERS_MAX; n++)
        if (told_offsets[n])
            assert_int_equal(told_offsets[n], seen_offsets[n]);
}

static void nothing_acknowledged_is_lost_to_sigkill(void **state)
{
    (void)state;
    struct folder f = folder_make();
    uint64_t next = 0;
    uint64_t seed = (uint64_t)getpid();
    for (int round = 0; round < ROUNDS; round++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        (void)fflush(stdout);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(fds[0]);
            report_fd = fds[1];
            run_until_killed(f.path, next);
        }
        close(fds[1]);
        seed = seed * 6364136223846793005u + 1;
        pid_t killer = fork();
        if (killer == 0) {
            usleep((useconds_t)(20000 + (seed >> 40) % 150000));
            (void)kill(pid, SIGKILL);
            _exit(0);
        }
        uint64_t highest = collect(fds[0], next);
        close(fds[0]);
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_int_equal(waitpid(killer, &status, 0), killer);
        check_all(f.path);
        next = (highest / APPENDERS + 2 * APPENDERS) * APPENDERS;
    }
    printf("%llu numbers\n", (unsigned long long)next);
    assert_true(next > ROUNDS * APPENDERS * 10);
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_sync_ends_the_process),
        cmocka_unit_test(a_full_file_system_refuses_and_recovers),
        cmocka_unit_test(nothing_acknowledged_is_lost_to_sigkill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
