#include "net/work.h"

#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"

struct work {
    uv_work_t uv;
    void (*run)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

static void on_run(uv_work_t *uv)
{
    struct work *w = (struct work *)uv;
    w->run(w->arg);
}

static void on_done(uv_work_t *uv, int status)
{
    struct work w = *(struct work *)uv;
    (void)status;
    mem_free(uv);
    w.done(w.arg);
}

void work_start(struct loop *loop, void (*run)(void *arg), void (*done)(void *arg), void *arg)
{
    struct work *w = NEW(struct work);
    w->run = run;
    w->done = done;
    w->arg = arg;
    ASSERT(uv_queue_work(loop_uv(loop), &w->uv, on_run, on_done) == 0);
}
