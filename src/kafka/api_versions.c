/* ApiVersions: what is served, in which versions. */
#include "kafka/kafka_int.h"

/* Whatever was asked, a client must be able to read the answer: to a version that is not known,
 * version 0 says so and names the versions of this very request (KIP-511). */
static void refuse_version(struct kafka_request *r)
{
    struct kafka_api_versions_response response = {.error_code = KAFKA_UNSUPPORTED_VERSION,
                                                   .api_keys_count = 1};
    struct kafka_api_versions_response_api_key own = {KAFKA_KEY_API_VERSIONS, r->api->offered,
                                                      r->api->newest};
    response.api_keys = &own;
    kafka_reply_in(r, 0, &response);
}

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (i == 0 || i == s.len - 1 || (c != '.' && c != '-')))
            return false;
    }
    return s.len > 0;
}

void kafka_on_api_versions(struct kafka_request *r)
{
    const struct kafka_api_versions_request *q = r->body;
    size_t count = 0;
    const struct kafka_api *apis = kafka_api_list(&count);
    if (!q) {
        refuse_version(r);
        return;
    }
    struct kafka_api_versions_response *response = KAFKA_NEW(&r->arena, api_versions_response, 1);
    if (r->header.version >= 3 &&
        (!is_name(q->client_software_name) || !is_name(q->client_software_version))) {
        response->error_code = KAFKA_INVALID_REQUEST;
        kafka_reply(r, response);
        return;
    }
    response->api_keys = KAFKA_NEW(&r->arena, api_versions_response_api_key, count);
    for (size_t i = 0; i < count; i++)
        if (kafka_api_served(&apis[i]))
            response->api_keys[response->api_keys_count++] =
                (struct kafka_api_versions_response_api_key){apis[i].key, apis[i].offered,
                                                             apis[i].newest};
    kafka_reply(r, response);
}
