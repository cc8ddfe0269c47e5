/* What a process and everything that descends from it use, as Linux tells in /proc. */
#ifndef WEIR_OS_PROCESS_H
#define WEIR_OS_PROCESS_H

#include <stdint.h>

#include "base/err.h"

/* More live processes than this in the tree: the rest is left out. */
#define OS_TREE_PROCESSES_MAX 4096

struct os_tree_usage {
    uint64_t cpu_us;    /* user and system, of the living and of those they waited for; steps of
                           10 ms */
    uint64_t rss_bytes; /* resident now, summed: shared pages count once a process */
    uint64_t rss_peak_bytes; /* the most that each ever had, summed */
    uint32_t processes;
};

/* Reads all of /proc: some µs for each process of the machine. ERR_NOT_FOUND: there is no such
 * process. Any thread. */
MUST_CHECK enum err os_tree_usage(uint32_t pid, struct os_tree_usage *ret_usage);

struct os_process_usage {
    uint64_t cpu_us; /* user and system; steps of 10 ms */
    uint64_t rss_bytes;
    uint32_t open_files; /* 0: of another user's process */
};

/* One process, without its children: some 20 µs and 1 µs for each open file. ERR_NOT_FOUND. Any
 * thread. */
MUST_CHECK enum err os_process_usage(uint32_t pid, struct os_process_usage *ret_usage);

/* When a process began, in clock ticks since boot: with its number it names a process for good.
 * ERR_NOT_FOUND. Any thread. */
MUST_CHECK enum err os_process_started(uint32_t pid, uint64_t *ret_ticks);

/* Let this process have as many open files and sockets as it may: the soft limit is often 1,024,
 * and every proxied stream takes two. Best effort. */
void os_open_files_raise(void);

#endif
