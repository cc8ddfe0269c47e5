/* A provider over HTTP, whatever API it speaks: OpenAI's (OpenAI itself, vLLM, SGLang, Ollama,
 * another Weir), Azure OpenAI's, Anthropic's, Gemini's. They differ in the head of a request only:
 *
 *   kind       path, after the configured base                       credential
 *   openai     ENDPOINT                                              authorization: Bearer KEY
 *   azure      /openai/deployments/MODEL ENDPOINT ?api-version=V     api-key: KEY
 *   azure, v1  /openai/v1 ENDPOINT                                   api-key: KEY
 *   anthropic  ENDPOINT                                              x-api-key: KEY
 *   gemini     /models/MODEL:generateContent                         x-goog-api-key: KEY
 *              /models/MODEL:streamGenerateContent?alt=sse
 *   gemini     /openai ENDPOINT (embeddings)                         authorization: Bearer KEY
 *
 * Bodies are the caller's, in the provider's dialect. */
#ifndef WEIR_MODEL_PROVIDER_H
#define WEIR_MODEL_PROVIDER_H

#include "model/model.h"
#include "net/http.h"
#include "net/http_client.h"

enum provider_kind { PROVIDER_OPENAI, PROVIDER_AZURE, PROVIDER_ANTHROPIC, PROVIDER_GEMINI };

/* Copied by provider_driver_new. */
struct provider_options {
    enum provider_kind kind;
    struct http_origin_options origin;
    struct str base_path;   /* "/v1": goes before every endpoint; may be empty */
    struct str api_version; /* azure: a date, or "v1", "preview", "latest" for the v1 form */
    struct str key;         /* empty: none is sent. A secret. */
    const struct http_header *headers; /* sent with every request, after Weir's own */
    size_t header_count;
    struct http_timeouts timeouts; /* total_ms bounds one attempt; the request's deadline too */
};

/* Longest path that is sent, with its query. */
#define PROVIDER_PATH_BYTES_MAX ((size_t)2048)

/* Append the path for a request. Names are percent-encoded, so none leaves its place in the path.
 * ERR_INVALID: a name that would ("", ".", ".."); ERR_TOO_LARGE: past the buffer's maximum. */
MUST_CHECK enum err provider_path_write(enum provider_kind kind, struct str base_path,
                                        struct str api_version, const struct model_request *request,
                                        struct buf *path);

struct provider_driver;

/* One loop's connections to one provider. ERR_INVALID: the host, or a header that cannot be sent.
 */
MUST_CHECK enum err provider_driver_new(struct http_client *client,
                                        const struct provider_options *options,
                                        struct provider_driver **ret_driver);
/* When none of its uses is left. NULL is fine. */
void provider_driver_free(struct provider_driver *driver);
struct model_target provider_driver_target(struct provider_driver *driver);

#endif
