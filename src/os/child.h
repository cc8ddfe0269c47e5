/* A program that runs parts of itself as child processes. Linux. */
#ifndef WEIR_OS_CHILD_H
#define WEIR_OS_CHILD_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* Append the path of the running program (also after its file was replaced). ERR_IO. */
MUST_CHECK enum err os_program_path(struct buf *out);

/* Make the calling process a child that is not disturbed by what is meant for its parent: it ends
 * within seconds when its parent has (and is to end at once when its parent closes its end of what
 * they share); SIGINT, SIGTERM and SIGHUP are ignored (a terminal and a service manager send them
 * to every process; the parent decides); it is the first choice of the out-of-memory killer; every
 * file descriptor from first_unused_fd on is closed; and `name` (at most 15 bytes) shows in top.
 * Before other threads start. */
void os_child_begin(const char *name, int first_unused_fd);

/* Keep what a library writes to standard error from being seen, or let it be again. Only a process
 * of one thread may. */
void os_stderr_mute(bool mute);

/* Let the stack of the main thread grow to so many bytes, as far as the system allows. */
void os_child_grow_stack(size_t max_bytes);

#endif
