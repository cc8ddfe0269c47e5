#include "call/headers.h"

#include <stddef.h>

static const char *const names[] = {
    "content-type",
    "content-language",
    "content-disposition",
    "content-encoding",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-request-id",
    "request-id",
    "apim-request-id",
    "x-ms-request-id",
    "x-ms-client-request-id",
    "x-ms-region",
    "cache-control",
    "deprecation",
    "sunset",
    "ratelimit",
    "ratelimit-policy",
    "warning",
    "azureml-model-session",
    "x-envoy-upstream-service-time",
};

/* Whole families of names. */
static const char *const prefixes[] = {
    "x-ratelimit-", "ratelimit-", "anthropic-", "openai-", "x-goog-", "x-inference-",
};

bool call_header_goes_back(struct str name)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq_nocase(name, str_from_c(names[i])))
            return true;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (str_starts_nocase(name, str_from_c(prefixes[i])))
            return true;
    return false;
}
