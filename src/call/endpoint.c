#include "call/endpoint.h"

const struct call_endpoint call_endpoints[CALL_ENDPOINT_COUNT] = {
    [CALL_CHAT] = {CALL_CHAT, STR_INIT("chat"), STR_INIT("/chat/completions"), true},
    [CALL_COMPLETIONS] = {CALL_COMPLETIONS, STR_INIT("completions"), STR_INIT("/completions"),
                          true},
    [CALL_EMBEDDINGS] = {CALL_EMBEDDINGS, STR_INIT("embeddings"), STR_INIT("/embeddings"), false},
    [CALL_RERANK] = {CALL_RERANK, STR_INIT("rerank"), STR_INIT("/rerank"), false},
    [CALL_TOKENIZE] = {CALL_TOKENIZE, STR_INIT("tokenize"), STR_INIT("/tokenize"), false},
};
