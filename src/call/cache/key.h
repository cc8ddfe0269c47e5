/* What makes two calls equal: a digest over who asks, whom, and everything of the request that may
 * change the answer.
 *
 * Of the body counts every member but those that only say how the answer is delivered or accounted
 * for: stream, stream_options, user, metadata, safety_identifier, prompt_cache_key,
 * prompt_cache_retention. (Where the route chooses its target by the caller, sticky or by
 * conditions, stream, user and metadata count.)
 *
 * Equal are bodies that differ in white space, in escapes, in how a number is written (1, 1.0,
 * 1e0), and in the order of an object's members; but not in the order inside a schema or a tool
 * (below parameters, schema, json_schema, input_schema, properties): there it shows in the answer.
 * Of members that come twice all count. */
#ifndef WEIR_CALL_CACHE_KEY_H
#define WEIR_CALL_CACHE_KEY_H

#include "base/str.h"
#include "call/cache/cache.h"
#include "config/config.h"

struct cache_subject {
    struct str owner;    /* the key's name */
    struct str endpoint; /* "chat" */
    const struct config_route *route;
    struct str model; /* as asked */
    struct str betas; /* header anthropic-beta, which goes on to targets */
    struct str body;  /* JSON, validated; an object */
    unsigned max_depth;
};

void cache_key_make(const struct cache_subject *subject, uint8_t ret_key[CACHE_KEY_BYTES]);

#endif
