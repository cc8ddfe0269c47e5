#include "os/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, FDS_MAX = 65536, PARENT_CHECK_S = 2 };

enum err os_program_path(struct buf *out)
{
    char path[PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    if (n <= 0 || n == PATH_BYTES)
        return ERR_IO;
    buf_append(out, path, (size_t)n);
    return out->error;
}

static void prefer_when_out_of_memory(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t ignored = write(fd, "500", 3); /* a wish: without it the kernel chooses by size */
    (void)ignored;
    close(fd);
}

static void close_from(int first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)first, ~0u, 0) == 0)
        return;
#endif
    long max = sysconf(_SC_OPEN_MAX);
    max = max < 0 || max > FDS_MAX ? FDS_MAX : max;
    for (int fd = first; fd < max; fd++)
        close(fd);
}

static pid_t parent;

static void on_alarm(int number)
{
    (void)number;
    if (getppid() != parent)
        kill(getpid(), SIGKILL);
}

/* PR_SET_PDEATHSIG would tell of the end of the parent's thread, which may come long before the
 * process's. */
static void watch_parent(void)
{
    const struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    const struct itimerval every = {{PARENT_CHECK_S, 0}, {PARENT_CHECK_S, 0}};
    parent = getppid();
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
}

void os_child_begin(const char *name, int first_unused_fd)
{
    prctl(PR_SET_NAME, name);
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    close_from(first_unused_fd);
    prefer_when_out_of_memory();
    watch_parent();
}

void os_child_grow_stack(size_t max_bytes)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit) != 0)
        return;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < max_bytes)
        max_bytes = (size_t)limit.rlim_max;
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= max_bytes)
        return;
    limit.rlim_cur = max_bytes;
    setrlimit(RLIMIT_STACK, &limit);
}

void os_stderr_mute(bool mute)
{
    static int kept = -1;
    if (mute && kept < 0) {
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        if (nowhere >= 0 && kept >= 0)
            dup2(nowhere, STDERR_FILENO);
        if (nowhere >= 0)
            close(nowhere);
    } else if (!mute && kept >= 0) {
        dup2(kept, STDERR_FILENO);
        close(kept);
        kept = -1;
    }
}
