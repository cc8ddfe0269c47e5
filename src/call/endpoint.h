/* What clients may ask for: a row for each path of the APIs whose requests are calls. */
#ifndef WEIR_CALL_ENDPOINT_H
#define WEIR_CALL_ENDPOINT_H

#include <stdbool.h>

#include "base/str.h"
#include "dialect/dialect.h"

enum call_endpoint_id {
    CALL_CHAT,
    CALL_COMPLETIONS,
    CALL_EMBEDDINGS,
    CALL_RERANK,
    CALL_TOKENIZE,
    CALL_MESSAGES,
    CALL_COUNT_TOKENS,
    CALL_RESPONSES,
    CALL_ENDPOINT_COUNT
};

struct call_endpoint {
    enum call_endpoint_id id;
    struct str name;               /* in records */
    struct str operation;          /* gen_ai.operation.name */
    struct str path;               /* under the base of a provider that speaks the client's API */
    const struct dialect *dialect; /* that its clients speak; it has a watch */
    bool uses_tokens;              /* it costs, and counts against limits of tokens */
    bool generates;                /* its answers have output tokens, and may be streams */
    bool translates;               /* its requests are asks, so other dialects can answer them */
    struct str ping;               /* tells a stream's client that it lives */
    struct str id_prefix;          /* of answers whose target gave them no id */
};

/* By call_endpoint_id. */
extern const struct call_endpoint call_endpoints[CALL_ENDPOINT_COUNT];

#endif
