/* The cache as something that can be called (model/model.h): it answers with what was kept, or with
 * what a leader gets at this moment. */
#ifndef WEIR_CALL_CACHE_REPLAY_H
#define WEIR_CALL_CACHE_REPLAY_H

#include "call/cache/cache.h"
#include "dialect/dialect.h"
#include "model/model.h"

struct cache_replay {
    struct cache_answer *answer; /* to be replayed; a reference is taken over. NULL: follow */
    struct cache_flight *flight; /* to be followed; a reference is taken over */
    bool stream;
    bool usage_asked;
    const struct dialect *dialect; /* that the caller speaks */
    struct str body;               /* the caller's request; lives as long as the use */
    struct str call;               /* the call's id */
    unsigned max_depth;
    struct loop *loop;
};

/* What a use gave, once its head has come. */
struct cache_replayed {
    struct str target;                 /* who answered; valid until the use's release */
    const struct cache_answer *answer; /* NULL: not known yet */
};

/* Begin a use. Its callbacks are those of any model's; on_fail with ERR_NOT_FOUND before the head:
 * the leader brought no answer, ask a target. */
struct model_use *cache_replay_start(const struct cache_replay *replay,
                                     const struct model_events *events, void *arg);
struct cache_replayed cache_replay_result(const struct model_use *use);

#endif
