/* Work that may wait (files, digests of big bodies), off the loop: libuv's pool of threads. */
#ifndef WEIR_NET_WORK_H
#define WEIR_NET_WORK_H

#include "net/loop.h"

/* run(arg) on a thread of the pool, then done(arg) on the loop's. Memory is made and freed here;
 * arg must live until done has been called. The loop runs until then. */
void work_start(struct loop *loop, void (*run)(void *arg), void (*done)(void *arg), void *arg);

#endif
