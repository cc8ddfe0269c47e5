/* The gateway: what calls share, for the process and for each loop.
 *
 *   struct gateway            log, limiters, settings in force            one, any thread
 *     └ struct settings       configuration, keys, prices: immutable      counted references
 *   struct gateway_loop       HTTP client, counters                       one a loop, its thread
 *     └ struct loop_settings  settings + connections to their providers   counted by calls
 *
 * A reload builds new settings and posts them to every loop; calls under way keep the old ones
 * until they end, so nothing is dropped. */
#ifndef WEIR_CALL_GATEWAY_H
#define WEIR_CALL_GATEWAY_H

#include <stdatomic.h>

#include "call/cache/cache.h"
#include "config/config.h"
#include "log/log.h"
#include "model/model.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "state/keys.h"
#include "state/prices.h"

struct gateway;
struct gateway_loop;
struct local_models;
struct meters;

struct gateway_options {
    struct log *log;
    struct str data_dir;               /* for blobs */
    struct config *config;             /* a reference is taken */
    const struct key_spec *extra_keys; /* beside the configuration's; copied */
    size_t extra_key_count;
    struct local_models *local;
    unsigned loop_total; /* loops there will be: they share a provider's connections */
    struct http_proxy_options proxy;
    const char *tls_ca_file; /* for providers, instead of the system's; NULL */
};

/* Opens weir.calls. The log outlives the gateway. */
MUST_CHECK enum err gateway_new(const struct gateway_options *options, struct buf *detail,
                                struct gateway **ret_gateway);
/* When no loop runs and every half is freed. */
void gateway_free(struct gateway *g);
/* A topic of Weir's own, kept as the configuration says that calls are: its first partition. */
MUST_CHECK enum err gateway_topic_open(struct log *log, const struct config *c, struct str name,
                                       struct buf *detail, struct log_part **ret_part);
/* One loop's half, before the loop runs. index: 0… in the order of creation. */
MUST_CHECK enum err gateway_loop_new(struct gateway *g, struct loop *loop, unsigned index,
                                     struct buf *detail, struct gateway_loop **ret_loop);
/* When the loop runs no call any more. */
void gateway_loop_free(struct gateway_loop *gl);
struct away;
/* Calls' records go there when the log takes no more (log_retire). NULL: nowhere. Any thread; what
 * was set lives until gateway_free. */
void gateway_set_away(struct gateway *g, struct away *away);
/* Put another configuration in force. Any thread; the loops take it over one after another. */
void gateway_reload(struct gateway *g, struct config *config);

struct settings {
    atomic_uint refs;
    struct config *config;
    struct keys *keys;
    struct prices *prices;
    struct cache **caches; /* by config_model.index; NULL: that model has none */
    struct route_table *routes;
};

/* The settings in force, with a reference. Any thread. */
struct settings *gateway_settings(struct gateway *g);
struct settings *settings_ref(struct settings *s);
void settings_put(struct settings *s);

/* What calls counted, for /metrics; one writer (the loop), any reader. */
#define GATEWAY_COUNTERS(X)                                                                        \
    X(calls_ok)                                                                                    \
    X(calls_error)                                                                                 \
    X(calls_cancelled)                                                                             \
    X(calls_refused)                                                                               \
    X(calls_cached)                                                                                \
    X(attempts)                                                                                    \
    X(attempts_failed)                                                                             \
    X(tokens_input)                                                                                \
    X(tokens_output)                                                                               \
    X(unauthorized)                                                                                \
    X(unrecorded)                                                                                  \
    X(open_calls)

struct gateway_counters {
#define X(name) atomic_uint_fast64_t name;
    GATEWAY_COUNTERS(X)
#undef X
};

/* Sum over all loops. Any thread. */
struct gateway_totals {
#define X(name) uint64_t name;
    GATEWAY_COUNTERS(X)
#undef X
};

void gateway_count(struct gateway *g, struct gateway_totals *ret_totals);
/* Somebody without a valid key was at the door of this loop. */
void gateway_count_unauthorized(struct gateway_loop *gl);
struct log *gateway_log(struct gateway *g);
struct log_part *gateway_calls(struct gateway *g);
struct local_models *gateway_local(struct gateway *g);
/* What is known of the targets, for status and metrics. */
struct targets *gateway_targets(struct gateway *g);
/* What calls took and used, for metrics. */
const struct meters *gateway_meters(struct gateway *g);
struct stored *gateway_stored(struct gateway *g);
struct str gateway_data_dir(const struct gateway *g);

/* One loop's view of some settings, counted without atomics: only its loop's thread touches it. */
struct loop_settings {
    struct settings *shared;
    struct gateway_loop *gl;
    unsigned uses;
    size_t driver_count;
    struct provider_driver **drivers; /* by config_provider.index; NULL: left out */
};

/* The settings in force on this loop; a use holds them until it is given back. */
struct loop_settings *gateway_loop_settings_use(struct gateway_loop *gl);
void loop_settings_unuse(struct loop_settings *ls);
/* Driver of a target, which is not left out. */
struct model_target loop_settings_target(struct loop_settings *ls,
                                         const struct config_target *target);

#endif
