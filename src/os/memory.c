#include "os/memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE_BYTES = 4096 };

static bool is_zero(const char *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGE_BYTES - 1) == 0;
}

static size_t give_back(char *from, const char *to)
{
    size_t bytes = (size_t)(to - from);
    return bytes && madvise(from, bytes, MADV_DONTNEED) == 0 ? bytes : 0;
}

static char *address(uintptr_t number)
{
    char *pointer;
    memcpy(&pointer, &number, sizeof pointer);
    return pointer;
}

static size_t give_back_zeros(char *at, const char *end)
{
    size_t total = 0;
    char *run = at;
    for (; at < end; at += PAGE_BYTES) {
        if (is_zero(at))
            continue;
        total += give_back(run, at);
        run = at + PAGE_BYTES;
    }
    return total + give_back(run, end);
}

/* A line of /proc/self/maps: "from-to rw-p offset device inode path". False: not private anonymous
 * memory that can be written. */
static bool read_mapping(const char *line, uintptr_t *ret_from, uintptr_t *ret_to)
{
    char *at;
    uintptr_t from = strtoul(line, &at, 16);
    if (*at != '-')
        return false;
    uintptr_t to = strtoul(at + 1, &at, 16);
    if (strncmp(at, " rw-p ", 6) != 0)
        return false;
    strtoul(at + 6, &at, 16); /* offset */
    at = strchr(at + 1, ' '); /* behind the device */
    if (!at || strtoul(at, &at, 10) != 0 || at[strspn(at, " \n")] != 0)
        return false;
    *ret_from = from;
    *ret_to = to;
    return true;
}

size_t os_memory_give_back_zeros(size_t min_bytes, size_t max_bytes)
{
    char line[512];
    uintptr_t from, to;
    size_t total = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps)
        return 0;
    while (!OS_MEMORY_SANITIZED && fgets(line, sizeof line, maps))
        if (read_mapping(line, &from, &to) && to - from >= min_bytes && to - from <= max_bytes)
            total += give_back_zeros(address(from), address(to));
    fclose(maps);
    return total;
}
