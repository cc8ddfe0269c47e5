/* Private to src/call. */
#ifndef WEIR_CALL_GATEWAY_INT_H
#define WEIR_CALL_GATEWAY_INT_H

#include "call/gateway.h"
#include "os/thread.h"

enum { GATEWAY_LOOPS_MAX = 256 };

struct gateway {
    struct log *log;
    struct log_part *calls;
    struct away *_Atomic away; /* where records go when the log is another process's */
    struct str data_dir;
    struct limiters *limiters;
    struct caches *caches;
    struct warmer *warmer;
    struct targets *targets;
    struct meters *meters;
    struct stored *stored;
    struct key_spec *extra_keys;
    size_t extra_key_count;
    struct local_models *local;
    struct http_proxy_options proxy;
    struct tls_context *tls; /* NULL: the system's certificates */
    struct os_mutex lock;    /* settings, loops; leaf */
    struct settings *settings;
    struct gateway_loop *loops[GATEWAY_LOOPS_MAX];
    unsigned loop_count;
    unsigned loop_total;
    struct arena memory;
};

struct gateway_loop {
    struct gateway *gateway;
    struct loop *loop;
    unsigned index;
    struct http_client *client;
    struct loop_settings *settings;
    struct health *health; /* of the first loop */
    struct gateway_counters counters;
    struct buf record; /* scratch for one record at a time */
    struct loop_task commit;
    bool commit_due;
};

/* Counters have one writer, so a plain load and store is enough; readers see whole values. */
static inline void counter_add(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

#endif
