#include "os/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include "base/assert.h"
#include "base/mem.h"

struct start {
    os_thread_fn *fn;
    void *arg;
};

static void *run(void *arg)
{
    struct start start = *(struct start *)arg;
    mem_free(arg);
    start.fn(start.arg);
    return NULL;
}

enum err os_thread_start(const char *name, os_thread_fn *fn, void *arg,
                         struct os_thread *ret_thread)
{
    sigset_t all;
    sigset_t before;
    struct start *start = NEW(struct start);
    *start = (struct start){fn, arg};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&ret_thread->id, NULL, run, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        mem_free(start);
        return err_from_errno(failed);
    }
    pthread_setname_np(ret_thread->id, name);
    return ERR_OK;
}

void os_thread_set_background(void)
{
    struct sched_param none = {0};
    (void)!sched_setscheduler(0, SCHED_IDLE, &none); /* refused: it runs like any other */
}

void os_thread_join(struct os_thread *thread)
{
    ASSERT(pthread_join(thread->id, NULL) == 0);
}

void os_mutex_init(struct os_mutex *m)
{
    ASSERT(pthread_mutex_init(&m->native, NULL) == 0);
}

void os_mutex_release(struct os_mutex *m)
{
    ASSERT(pthread_mutex_destroy(&m->native) == 0);
}

void os_mutex_lock(struct os_mutex *m)
{
    ASSERT(pthread_mutex_lock(&m->native) == 0);
}

bool os_mutex_try_lock(struct os_mutex *m)
{
    return pthread_mutex_trylock(&m->native) == 0;
}

void os_mutex_unlock(struct os_mutex *m)
{
    ASSERT(pthread_mutex_unlock(&m->native) == 0);
}

void os_cond_init(struct os_cond *c)
{
    pthread_condattr_t attr;
    ASSERT(pthread_condattr_init(&attr) == 0);
    ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    ASSERT(pthread_cond_init(&c->native, &attr) == 0);
    pthread_condattr_destroy(&attr);
}

void os_cond_release(struct os_cond *c)
{
    ASSERT(pthread_cond_destroy(&c->native) == 0);
}

void os_cond_signal(struct os_cond *c)
{
    pthread_cond_signal(&c->native);
}

void os_cond_broadcast(struct os_cond *c)
{
    pthread_cond_broadcast(&c->native);
}

void os_cond_wait(struct os_cond *c, struct os_mutex *m)
{
    ASSERT(pthread_cond_wait(&c->native, &m->native) == 0);
}

bool os_cond_wait_for(struct os_cond *c, struct os_mutex *m, uint64_t timeout_us)
{
    struct timespec until;
    ASSERT(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    uint64_t nanos = (uint64_t)until.tv_nsec + timeout_us % 1000000 * 1000;
    until.tv_sec += (time_t)(timeout_us / 1000000 + nanos / 1000000000);
    until.tv_nsec = (long)(nanos % 1000000000);
    int result = pthread_cond_timedwait(&c->native, &m->native, &until);
    ASSERT(result == 0 || result == ETIMEDOUT);
    return result == 0;
}

unsigned os_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (unsigned)count : 1;
}
