/* Threads and locks: pthreads with names, and failures that end the process (they are bugs). */
#ifndef WEIR_OS_THREAD_H
#define WEIR_OS_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct os_thread {
    pthread_t id;
};

typedef void os_thread_fn(void *arg);

/* Start fn(arg) with all signals blocked; name (at most 15 bytes) shows in top and gdb. */
MUST_CHECK enum err os_thread_start(const char *name, os_thread_fn *fn, void *arg,
                                    struct os_thread *ret_thread);
void os_thread_join(struct os_thread *thread);
/* This thread, from now on, only gets what others leave of the cores. */
void os_thread_set_background(void);

struct os_mutex {
    pthread_mutex_t native;
};

void os_mutex_init(struct os_mutex *m);
void os_mutex_release(struct os_mutex *m);
void os_mutex_lock(struct os_mutex *m);
bool os_mutex_try_lock(struct os_mutex *m);
void os_mutex_unlock(struct os_mutex *m);

struct os_cond {
    pthread_cond_t native;
};

void os_cond_init(struct os_cond *c);
void os_cond_release(struct os_cond *c);
void os_cond_signal(struct os_cond *c);
void os_cond_broadcast(struct os_cond *c);
void os_cond_wait(struct os_cond *c, struct os_mutex *m);
/* False when timeout_us passed first. */
bool os_cond_wait_for(struct os_cond *c, struct os_mutex *m, uint64_t timeout_us);

/* Cores this process may run on (its affinity mask), at least 1. */
unsigned os_cpu_count(void);

#endif
