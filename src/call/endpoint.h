/* What clients may ask for: a row for each path of the APIs whose requests are calls. */
#ifndef WEIR_CALL_ENDPOINT_H
#define WEIR_CALL_ENDPOINT_H

#include <stdbool.h>

#include "base/str.h"

enum call_endpoint_id {
    CALL_CHAT,
    CALL_COMPLETIONS,
    CALL_EMBEDDINGS,
    CALL_RERANK,
    CALL_TOKENIZE,
    CALL_ENDPOINT_COUNT
};

struct call_endpoint {
    enum call_endpoint_id id;
    struct str name; /* in records */
    struct str path; /* under the base of a provider that speaks the client's API */
    bool generates;  /* its answers have output tokens, and may be streams */
};

/* By call_endpoint_id. */
extern const struct call_endpoint call_endpoints[CALL_ENDPOINT_COUNT];

#endif
