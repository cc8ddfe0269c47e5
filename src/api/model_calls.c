/* The APIs whose requests are calls: OpenAI's and Anthropic's, under /v1. */
#include "api/api_int.h"
#include "call/call.h"

static void start_call(struct api_request *r, enum call_endpoint_id endpoint)
{
    struct loop_settings *settings = r->settings;
    struct str coding = http_headers_get(&r->x->headers, STR("content-encoding"));
    if (coding.len && !str_eq_nocase(coding, STR("identity"))) {
        api_error(r->x, 415, ERR_UNSUPPORTED, NULL,
                  "the body is sent with Content-Encoding: %.*s; send it plain",
                  STR_ARG(str_take(coding, 40)));
        return;
    }
    r->settings = NULL; /* the call's now */
    call_start(settings, r->key, r->presented, &call_endpoints[endpoint], r->x);
}

void api_chat_completions(struct api_request *r)
{
    start_call(r, CALL_CHAT);
}

void api_completions(struct api_request *r)
{
    start_call(r, CALL_COMPLETIONS);
}

void api_embeddings(struct api_request *r)
{
    start_call(r, CALL_EMBEDDINGS);
}

void api_messages(struct api_request *r)
{
    start_call(r, CALL_MESSAGES);
}

void api_responses(struct api_request *r)
{
    start_call(r, CALL_RESPONSES);
}

void api_count_tokens(struct api_request *r)
{
    start_call(r, CALL_COUNT_TOKENS);
}

void api_rerank(struct api_request *r)
{
    start_call(r, CALL_RERANK);
}

void api_tokenize(struct api_request *r)
{
    start_call(r, CALL_TOKENIZE);
}
