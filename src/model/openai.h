/* A provider that speaks OpenAI's API over HTTP: OpenAI itself, vLLM, SGLang, Ollama, another Weir.
 */
#ifndef WEIR_MODEL_OPENAI_H
#define WEIR_MODEL_OPENAI_H

#include "model/model.h"
#include "net/http.h"
#include "net/http_client.h"

/* Copied by openai_driver_new. */
struct openai_options {
    struct http_origin_options origin;
    struct str base_path;              /* "/v1": goes before every endpoint; may be empty */
    struct str key;                    /* sent as a bearer token; empty: none. A secret. */
    const struct http_header *headers; /* sent with every request, after Weir's own */
    size_t header_count;
    struct http_timeouts timeouts; /* total_ms bounds one attempt; the request's deadline too */
};

struct openai_driver;

/* One loop's connections to one provider. ERR_INVALID: the host, or a header that cannot be sent.
 */
MUST_CHECK enum err openai_driver_new(struct http_client *client,
                                      const struct openai_options *options,
                                      struct openai_driver **ret_driver);
/* When none of its uses is left. NULL is fine. */
void openai_driver_free(struct openai_driver *driver);
struct model_target openai_driver_target(struct openai_driver *driver);

#endif
