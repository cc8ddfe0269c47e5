/* A stream between two processes of one program, over a socket pair; and starting the other one.
 * Blocking: for threads that may wait. Linux. */
#ifndef WEIR_OS_CHANNEL_H
#define WEIR_OS_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Both ends close when a program is executed. ERR_IO. */
MUST_CHECK enum err os_channel_pair(int ret_ends[2]);
/* All bytes, or an error: ERR_CLOSED when the other end is closed, ERR_TIMEOUT (0: waits for
 * good). */
MUST_CHECK enum err os_channel_write(int fd, const void *bytes, size_t len);
MUST_CHECK enum err os_channel_read(int fd, void *ret_bytes, size_t len, uint32_t timeout_ms);
/* Wake whoever reads or writes at this end: ERR_CLOSED. */
void os_channel_shut(int fd);
void os_channel_close(int fd);

/* Let a file descriptor close when a program is executed. */
void os_fd_close_on_exec(int fd);
/* Another one for the same, which closes when a program is executed. ERR_IO. */
MUST_CHECK enum err os_fd_copy(int fd, int *ret_fd);

/* Start a program with this process's arguments and environment, with NAME=VALUE added, and with
 * these file descriptors open in it under the same numbers. No signal is blocked in it. */
MUST_CHECK enum err os_spawn_again(const char *program, const char *variable, const int *fds,
                                   size_t fd_count, int *ret_pid);
/* Has it ended? */
bool os_spawned_ended(int pid);
/* End it, and wait for it. */
void os_spawned_kill(int pid);

/* Tell the service manager (sd_notify): "READY=1\nMAINPID=…". Nothing happens without
 * NOTIFY_SOCKET. */
void os_notify(const char *state);

#endif
