#include "os/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

struct process {
    uint32_t pid;
    uint32_t parent;
    uint64_t own_ticks;   /* utime + stime */
    uint64_t ticks;       /* utime + stime + cutime + cstime */
    uint64_t start_ticks; /* since boot */
    uint64_t rss_pages;
    bool in_tree;
};

/* Fields of /proc/PID/stat, counted from 1 as proc(5) does, behind the name in parentheses. */
enum {
    STAT_STATE = 3,
    STAT_PARENT = 4,
    STAT_UTIME = 14,
    STAT_CSTIME = 17,
    STAT_START = 22,
    STAT_RSS = 24
};

static bool read_proc_file(uint32_t pid, const char *name, char *ret_text, size_t size,
                           struct str *ret_read)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%u/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, ret_text, size);
    close(fd);
    *ret_read = str_of(ret_text, got > 0 ? (size_t)got : 0);
    return got > 0;
}

static bool read_process(uint32_t pid, struct process *ret_process)
{
    char text[1024];
    struct str rest;
    struct process process = {.pid = pid};
    if (!read_proc_file(pid, "stat", text, sizeof text, &rest))
        return false;
    /* The name may hold anything, parentheses too: what counts begins behind the last one. */
    size_t at = rest.len;
    while (at > 0 && rest.ptr[at - 1] != ')')
        at--;
    rest = str_skip(rest, at + 1);
    for (int field = STAT_STATE; rest.ptr && field <= STAT_RSS; field++) {
        uint64_t value;
        struct str word = str_split(&rest, ' ');
        if (str_to_u64(word, &value) != ERR_OK)
            continue;
        if (field == STAT_PARENT)
            process.parent = (uint32_t)value;
        else if (field >= STAT_UTIME && field <= STAT_CSTIME)
            process.ticks += value;
        if (field == STAT_UTIME || field == STAT_UTIME + 1)
            process.own_ticks += value;
        else if (field == STAT_START)
            process.start_ticks = value;
        else if (field == STAT_RSS)
            process.rss_pages = value;
    }
    *ret_process = process;
    return true;
}

enum err os_process_started(uint32_t pid, uint64_t *ret_ticks)
{
    struct process process;
    if (!read_process(pid, &process))
        return ERR_NOT_FOUND;
    *ret_ticks = process.start_ticks;
    return ERR_OK;
}

/* VmHWM of /proc/PID/status, in KiB there. */
static uint64_t read_rss_peak(uint32_t pid)
{
    char text[4096];
    struct str rest;
    uint64_t kib = 0;
    if (!read_proc_file(pid, "status", text, sizeof text, &rest))
        return 0;
    while (rest.ptr) {
        struct str line = str_split(&rest, '\n');
        if (!str_starts(line, STR("VmHWM:")))
            continue;
        struct str value = str_trim(str_skip(line, 6));
        if (str_to_u64(str_split(&value, ' '), &kib) != ERR_OK)
            kib = 0;
        break;
    }
    return kib * 1024;
}

static size_t read_all(struct process *processes, size_t max)
{
    DIR *proc = opendir("/proc");
    size_t count = 0;
    const struct dirent *entry;
    if (!proc)
        return 0;
    while (count < max && (entry = readdir(proc)) != NULL) {
        uint64_t pid;
        if (str_to_u64(str_from_c(entry->d_name), &pid) == ERR_OK && pid <= UINT32_MAX &&
            read_process((uint32_t)pid, &processes[count]))
            count++;
    }
    closedir(proc);
    return count;
}

/* Mark whoever descends from a marked one, until nothing changes. */
static void mark_tree(struct process *processes, size_t count)
{
    bool changed = true;
    while (changed) {
        changed = false;
        for (size_t i = 0; i < count; i++) {
            for (size_t j = 0; j < count && !processes[i].in_tree; j++) {
                if (processes[j].in_tree && processes[j].pid == processes[i].parent)
                    changed = processes[i].in_tree = true;
            }
        }
    }
}

enum err os_tree_usage(uint32_t pid, struct os_tree_usage *ret_usage)
{
    struct os_tree_usage usage = {0};
    uint64_t ticks = 0;
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t ticks_per_s = (uint64_t)sysconf(_SC_CLK_TCK);
    struct process *processes = mem_array(OS_TREE_PROCESSES_MAX, sizeof *processes);
    size_t count = read_all(processes, OS_TREE_PROCESSES_MAX);
    for (size_t i = 0; i < count; i++)
        processes[i].in_tree = processes[i].pid == pid;
    mark_tree(processes, count);
    for (size_t i = 0; i < count; i++) {
        if (!processes[i].in_tree)
            continue;
        usage.processes++;
        ticks += processes[i].ticks;
        uint64_t rss = processes[i].rss_pages * page_bytes;
        uint64_t peak = read_rss_peak(processes[i].pid);
        usage.rss_bytes += rss;
        usage.rss_peak_bytes += peak > rss ? peak : rss; /* the kernel's counters lag a little */
    }
    mem_free(processes);
    if (usage.processes == 0)
        return ERR_NOT_FOUND;
    usage.cpu_us = ticks * 1000000 / ticks_per_s;
    *ret_usage = usage;
    return ERR_OK;
}

static uint32_t count_open_files(uint32_t pid)
{
    char path[64];
    uint32_t count = 0;
    const struct dirent *entry;
    (void)snprintf(path, sizeof path, "/proc/%u/fd", pid);
    DIR *fds = opendir(path);
    if (!fds)
        return 0;
    while ((entry = readdir(fds)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(fds);
    return count;
}

enum err os_process_usage(uint32_t pid, struct os_process_usage *ret_usage)
{
    struct process process;
    if (!read_process(pid, &process))
        return ERR_NOT_FOUND;
    *ret_usage = (struct os_process_usage){
        .cpu_us = process.own_ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK),
        .rss_bytes = process.rss_pages * (uint64_t)sysconf(_SC_PAGESIZE),
        .open_files = count_open_files(pid),
    };
    return ERR_OK;
}

void os_open_files_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}
