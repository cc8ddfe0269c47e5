#include "os/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

enum { ARGUMENTS_BYTES_MAX = 1 << 20 };

enum err os_channel_pair(int ret_ends[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_ends) == 0 ? ERR_OK : ERR_IO;
}

enum err os_channel_write(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ERR_CLOSED;
        at += n;
        len -= (size_t)n;
    }
    return ERR_OK;
}

enum err os_channel_read(int fd, void *ret_bytes, size_t len, uint32_t timeout_ms)
{
    char *at = ret_bytes;
    while (len > 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = poll(&p, 1, timeout_ms ? (int)timeout_ms : -1);
        if (ready == 0)
            return ERR_TIMEOUT;
        ssize_t n = ready < 0 ? -1 : recv(fd, at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ERR_CLOSED;
        at += n;
        len -= (size_t)n;
    }
    return ERR_OK;
}

void os_channel_shut(int fd)
{
    (void)shutdown(fd, SHUT_RDWR);
}

void os_channel_close(int fd)
{
    (void)close(fd);
}

void os_fd_close_on_exec(int fd)
{
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

enum err os_fd_copy(int fd, int *ret_fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return ERR_IO;
    *ret_fd = copy;
    return ERR_OK;
}

/* This process's own arguments, each ended by a zero byte. */
static enum err read_arguments(struct buf *out)
{
    char piece[4096];
    ssize_t n = 0;
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ERR_IO;
    while ((n = read(fd, piece, sizeof piece)) > 0)
        buf_append(out, piece, (size_t)n);
    (void)close(fd);
    return n < 0 || out->len == 0 || out->ptr[out->len - 1] ? ERR_IO : out->error;
}

static char **split_arguments(struct buf *text)
{
    size_t count = 0;
    for (size_t i = 0; i < text->len; i++)
        count += text->ptr[i] == 0;
    char **arguments = mem_array(count + 1, sizeof *arguments);
    size_t n = 0;
    for (size_t i = 0; i < text->len; i += strlen(text->ptr + i) + 1)
        arguments[n++] = text->ptr + i;
    return arguments;
}

static char **add_variable(const char *variable)
{
    size_t count = 0;
    size_t name = strcspn(variable, "=") + 1;
    while (environ[count])
        count++;
    char **all = mem_array(count + 2, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], variable, name) != 0)
            all[n++] = environ[i];
    all[n] = (char *)variable;
    return all;
}

static int spawn(const char *program, char **arguments, char **variables, const int *fds,
                 size_t fd_count, pid_t *ret_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, pipe;
    sigemptyset(&none);
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &pipe);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int rc = 0;
    /* The same number twice: it stays open (POSIX.1-2024, glibc). */
    for (size_t i = 0; i < fd_count && rc == 0; i++)
        rc = posix_spawn_file_actions_adddup2(&files, fds[i], fds[i]);
    if (rc == 0)
        rc = posix_spawn(ret_pid, program, &files, &attributes, arguments, variables);
    (void)posix_spawn_file_actions_destroy(&files);
    (void)posix_spawnattr_destroy(&attributes);
    return rc;
}

enum err os_spawn_again(const char *program, const char *variable, const int *fds, size_t fd_count,
                        int *ret_pid)
{
    BUF_AUTO struct buf text = {.max = ARGUMENTS_BYTES_MAX};
    TRY(read_arguments(&text));
    char **arguments = split_arguments(&text);
    char **variables = add_variable(variable);
    pid_t pid = 0;
    int rc = spawn(program, arguments, variables, fds, fd_count, &pid);
    mem_free(arguments);
    mem_free(variables);
    if (rc != 0)
        return err_from_errno(rc);
    *ret_pid = pid;
    return ERR_OK;
}

bool os_spawned_ended(int pid)
{
    siginfo_t info = {.si_pid = 0};
    int rc = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return rc != 0 || info.si_pid == pid;
}

void os_spawned_kill(int pid)
{
    (void)kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

void os_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof to.sun_path)
        return;
    size_t len = strlen(path);
    memcpy(to.sun_path, path, len);
    if (path[0] == '@')
        to.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    (void)close(fd);
}
