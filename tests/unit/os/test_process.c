#include "tests/unit/unit.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/process.h"

enum { BURN_TICKS = 20, BLOCK_BYTES = 32 << 20 };

/* Use a fifth of a second of CPU time. */
static void burn(void)
{
    clock_t end = clock() + CLOCKS_PER_SEC / 100 * BURN_TICKS;
    while (clock() < end)
        continue;
}

/* A child that burns and waits to be killed; returns when it has burnt. */
static pid_t start_child(void)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char *block = malloc(BLOCK_BYTES);
        memset(block, 1, BLOCK_BYTES);
        burn();
        (void)!write(ready[1], block, 1);
        pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void usage_counts_descendants_alive_and_dead(void **state)
{
    struct os_tree_usage before, with_child, after;
    uint32_t self = (uint32_t)getpid();
    (void)state;
    assert_int_equal(os_tree_usage(self, &before), ERR_OK);
    pid_t child = start_child();
    assert_int_equal(os_tree_usage(self, &with_child), ERR_OK);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(os_tree_usage(self, &after), ERR_OK);

    assert_int_equal(before.processes, 1);
    assert_int_equal(with_child.processes, 2);
    assert_int_equal(after.processes, 1);
    assert_true(with_child.cpu_us - before.cpu_us >= (BURN_TICKS - 2) * 10000);
    assert_true(after.cpu_us >= with_child.cpu_us);
    assert_true(after.cpu_us - with_child.cpu_us < 100000);
    assert_true(with_child.rss_bytes > before.rss_bytes + BLOCK_BYTES);
    assert_true(after.rss_bytes < with_child.rss_bytes - BLOCK_BYTES);
    assert_true(with_child.rss_peak_bytes >= with_child.rss_bytes);
}

static void unknown_process_is_not_found(void **state)
{
    struct os_tree_usage usage;
    (void)state;
    assert_int_equal(os_tree_usage(0xfffffffe, &usage), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_counts_descendants_alive_and_dead),
        cmocka_unit_test(unknown_process_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
