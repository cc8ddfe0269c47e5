#include "os/memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
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

size_t os_memory_give_back_zeros(size_t min_bytes, size_t max_bytes)
{
    char line[512], access[8];
    size_t total = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps)
        return 0;
    while (fgets(line, sizeof line, maps)) {
        uintptr_t from, to;
        unsigned long inode;
        int path = 0;
        if (sscanf(line, "%lx-%lx %7s %*x %*x:%*x %lu %n", &from, &to, access, &inode, &path) < 4)
            continue;
        size_t bytes = to - from;
        if (strcmp(access, "rw-p") != 0 || inode != 0 || line[path] != 0 || bytes < min_bytes ||
            bytes > max_bytes)
            continue;
        total += give_back_zeros(address(from), address(to));
    }
    fclose(maps);
    return total;
}
