/* Zero pages go back to the kernel; what is in memory stays. */
#include "tests/unit/unit.h"

#include <string.h>
#include <sys/mman.h>

#include "os/memory.h"

enum { PAGE = 4096, PAGES = 5000, MARK = 77 };
#define BYTES ((size_t)PAGES * PAGE)

static size_t resident(char *at)
{
    unsigned char pages[PAGES];
    size_t count = 0;
    assert_int_equal(mincore(at, BYTES, pages), 0);
    for (int i = 0; i < PAGES; i++)
        count += pages[i] & 1;
    return count;
}

static void zero_pages_are_given_back(void **state)
{
    (void)state;
    char *at = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(at, MAP_FAILED);
    madvise(at, BYTES, MADV_NOHUGEPAGE);
    for (int i = 0; i < PAGES; i++) {
        memset(at + i * PAGE, 0, PAGE);
        if (i % 3 == 0)
            at[i * PAGE + i % PAGE] = MARK; /* at every place of a page */
    }
    assert_int_equal(resident(at), PAGES);
    size_t given = os_memory_give_back_zeros(BYTES, BYTES * 4);
    assert_true(OS_MEMORY_SANITIZED || given >= (size_t)(PAGES - PAGES / 3 - 1) * PAGE);
    assert_true(OS_MEMORY_SANITIZED || resident(at) <= PAGES / 3 + 1);
    for (int i = 0; i < PAGES; i++) {
        assert_int_equal(at[i * PAGE + i % PAGE], i % 3 == 0 ? MARK : 0);
        at[i * PAGE] = 1;
    }
    /* Smaller mappings are none of its business. */
    memset(at, 0, BYTES);
    os_memory_give_back_zeros(BYTES * 64, BYTES * 128);
    assert_int_equal(resident(at), PAGES);
    munmap(at, BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(zero_pages_are_given_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
