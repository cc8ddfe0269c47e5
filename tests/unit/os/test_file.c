/* Files: the machine's, and the simulated ones that stand in for them. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/file.h"
#include "os/sim_fs.h"

static void note_name(void *arg, struct str name, bool is_dir)
{
    buf_printf(arg, "%s%.*s ", is_dir ? "/" : "", STR_ARG(name));
}

static struct str read_whole(const struct os_fs *fs, const char *path, struct buf *out)
{
    buf_reset(out);
    enum err error = os_fs_read_file(fs, path, out);
    return error == ERR_OK ? buf_str(out) : str_from_c(err_name(error));
}

/* What both must do alike. dir is there and empty. */
static void try_table(const struct os_fs *fs, const char *dir)
{
    char path[128];
    char other[128];
    struct os_file *file = NULL;
    struct os_file *second = NULL;
    struct os_stat st;
    struct buf text BUF_AUTO;
    size_t n = 0;
    uint64_t size = 0;
    char bytes[32];
    buf_init(&text, 4096);
    (void)snprintf(path, sizeof path, "%s/a", dir);
    (void)snprintf(other, sizeof other, "%s/b", dir);
    assert_int_equal(os_file_open(fs, path, OS_OPEN_WRITE, &file), ERR_NOT_FOUND);
    assert_int_equal(os_file_open(fs, path, OS_OPEN_WRITE | OS_OPEN_CREATE, &file), ERR_OK);
    char one[] = "one ";
    char two[] = "two";
    struct iovec parts[3] = {{one, 4}, {one, 0}, {two, 3}};
    assert_int_equal(os_file_write(file, parts, 3, 2), ERR_OK);
    assert_int_equal(os_file_datasync(file), ERR_OK);
    assert_int_equal(os_file_size(file, &size), ERR_OK);
    assert_int_equal(size, 9);
    assert_int_equal(os_file_read(file, bytes, sizeof bytes, 0, &n), ERR_OK);
    assert_int_equal(n, 9);
    assert_memory_equal(bytes, "\0\0one two", 9);
    assert_int_equal(os_file_read(file, bytes, sizeof bytes, 9, &n), ERR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(os_file_truncate(file, 5), ERR_OK);
    assert_int_equal(os_fs_stat(fs, path, &st), ERR_OK);
    assert_int_equal(st.size_bytes, 5);
    assert_false(st.is_dir);
    assert_int_equal(os_fs_rename(fs, path, other), ERR_OK);
    assert_int_equal(os_fs_stat(fs, path, &st), ERR_NOT_FOUND);
    os_file_close(file);
    assert_int_equal(os_fs_write_file(fs, path, STR("whole")), ERR_OK);
    assert_true(str_eq(read_whole(fs, path, &text), STR("whole")));
    buf_reset(&text);
    text.max = 3;
    assert_int_equal(os_fs_read_file(fs, path, &text), ERR_TOO_LARGE);
    text.max = 4096;
    (void)snprintf(other, sizeof other, "%s/c", dir);
    assert_int_equal(os_fs_mkdir(fs, other), ERR_OK);
    assert_int_equal(os_fs_mkdir(fs, other), ERR_EXISTS);
    assert_int_equal(os_fs_ensure_dir(fs, other), ERR_OK);
    buf_reset(&text);
    assert_int_equal(os_fs_list(fs, dir, note_name, &text), ERR_OK);
    assert_int_equal(text.len, 7);
    assert_true(str_find(buf_str(&text), STR("/c ")) >= 0);
    assert_int_equal(os_fs_rmdir(fs, other), ERR_OK);
    (void)snprintf(other, sizeof other, "%s/lock", dir);
    assert_int_equal(os_fs_lock(fs, other, &file), ERR_OK);
    assert_int_equal(os_fs_lock(fs, other, &second), ERR_IN_USE);
    os_file_close(file);
    assert_int_equal(os_fs_lock(fs, other, &second), ERR_OK);
    os_file_close(second);
    assert_int_equal(os_fs_remove(fs, path), ERR_OK);
    assert_int_equal(os_fs_remove(fs, path), ERR_NOT_FOUND);
    assert_int_equal(os_fs_sync_dir(fs, dir), ERR_OK);
}

static void both_do_alike(void **state)
{
    (void)state;
    char dir[] = "/tmp/weir-file-XXXXXX";
    char command[64];
    assert_non_null(mkdtemp(dir));
    try_table(os_fs_machine(), dir);
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
    struct sim_fs *sim = sim_fs_new(1);
    assert_int_equal(os_fs_mkdir(sim_fs_table(sim), "/d"), ERR_OK);
    try_table(sim_fs_table(sim), "/d");
    sim_fs_free(sim);
}

static void write_at(const struct os_fs *fs, const char *path, struct str bytes, bool sync)
{
    struct os_file *file = NULL;
    assert_int_equal(os_file_open(fs, path, OS_OPEN_WRITE | OS_OPEN_CREATE, &file), ERR_OK);
    assert_int_equal(os_file_write_str(file, bytes, 0), ERR_OK);
    if (sync)
        assert_int_equal(os_file_datasync(file), ERR_OK);
    os_file_close(file);
}

/* Over many seeds: what was synced is always there, what was not is there sometimes. */
static void power_takes_what_was_not_synced(void **state)
{
    (void)state;
    int kept_bytes = 0;
    int kept_name = 0;
    enum { SEEDS = 200 };
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_fs *sim = sim_fs_new(seed);
        const struct os_fs *fs = sim_fs_table(sim);
        struct buf text BUF_AUTO;
        buf_init(&text, 4096);
        write_at(fs, "/synced", STR("old"), true);
        assert_int_equal(os_fs_sync_dir(fs, "/"), ERR_OK);
        write_at(fs, "/synced", STR("new"), false);
        write_at(fs, "/unnamed", STR("x"), true);
        sim_fs_crash(sim);
        assert_true(sim_fs_is_down(sim));
        assert_int_equal(os_fs_mkdir(fs, "/d"), ERR_IO);
        sim_fs_restart(sim);
        struct str found = read_whole(fs, "/synced", &text);
        kept_bytes += str_eq(found, STR("new"));
        assert_int_equal(found.len, 3);
        found = read_whole(fs, "/unnamed", &text);
        kept_name += str_eq(found, STR("x"));
        assert_true(str_eq(found, STR("x")) || str_eq(found, STR("not_found")));
        sim_fs_free(sim);
    }
    assert_true(kept_bytes > SEEDS / 10 && kept_bytes < SEEDS * 9 / 10);
    assert_true(kept_name > SEEDS / 10 && kept_name < SEEDS * 9 / 10);
}

static void a_death_keeps_everything(void **state)
{
    (void)state;
    struct sim_fs *sim = sim_fs_new(3);
    const struct os_fs *fs = sim_fs_table(sim);
    struct buf text BUF_AUTO;
    buf_init(&text, 4096);
    write_at(fs, "/a", STR("bytes"), false);
    sim_fs_kill(sim);
    assert_true(str_eq(read_whole(fs, "/a", &text), STR("io")));
    sim_fs_restart(sim);
    assert_true(str_eq(read_whole(fs, "/a", &text), STR("bytes")));
    sim_fs_free(sim);
}

/* As kernels do: the error is told once, and the pages are taken for clean. */
static void a_failed_sync_loses_what_it_had(void **state)
{
    (void)state;
    struct sim_fs *sim = sim_fs_new(4);
    const struct os_fs *fs = sim_fs_table(sim);
    struct os_file *file = NULL;
    struct buf text BUF_AUTO;
    buf_init(&text, 4096);
    write_at(fs, "/a", STR("old"), true);
    assert_int_equal(os_fs_sync_dir(fs, "/"), ERR_OK);
    assert_int_equal(os_file_open(fs, "/a", OS_OPEN_WRITE, &file), ERR_OK);
    assert_int_equal(os_file_write_str(file, STR("new"), 0), ERR_OK);
    sim_fs_fail(sim, SIM_DATASYNC, 1, ERR_IO);
    assert_int_equal(os_file_datasync(file), ERR_IO);
    assert_int_equal(os_file_datasync(file), ERR_OK);
    os_file_close(file);
    assert_true(str_eq(read_whole(fs, "/a", &text), STR("new")));
    sim_fs_crash(sim);
    sim_fs_restart(sim);
    assert_true(str_eq(read_whole(fs, "/a", &text), STR("old")));
    sim_fs_free(sim);
}

static void a_full_disk_takes_a_part(void **state)
{
    (void)state;
    struct sim_fs *sim = sim_fs_new(5);
    const struct os_fs *fs = sim_fs_table(sim);
    struct os_file *file = NULL;
    static char bytes[20000];
    uint64_t size = 0;
    sim_fs_limit(sim, sim_fs_used(sim) + 8192);
    assert_int_equal(os_file_open(fs, "/a", OS_OPEN_WRITE | OS_OPEN_CREATE, &file), ERR_OK);
    assert_int_equal(os_file_write_str(file, str_of(bytes, sizeof bytes), 0), ERR_NO_SPACE);
    assert_int_equal(os_file_size(file, &size), ERR_OK);
    assert_int_equal(size, 8192);
    os_file_close(file);
    sim_fs_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_do_alike),
        cmocka_unit_test(power_takes_what_was_not_synced),
        cmocka_unit_test(a_death_keeps_everything),
        cmocka_unit_test(a_failed_sync_loses_what_it_had),
        cmocka_unit_test(a_full_disk_takes_a_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
