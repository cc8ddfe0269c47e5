/* What of a target's head a client may see. */
#include "tests/unit/unit.h"

#include "call/headers.h"

static void the_list(void **state)
{
    static const char *const back[] = {
        "Content-Type",
        "retry-after",
        "Retry-After-Ms",
        "x-should-retry",
        "X-Request-Id",
        "request-id",
        "x-ratelimit-remaining-tokens",
        "anthropic-organization-id",
        "openai-processing-ms",
        "openai-version",
        "anthropic-ratelimit-requests-reset",
    };
    static const char *const kept[] = {
        "set-cookie",
        "Set-Cookie",
        "server",
        "date",
        "via",
        "alt-svc",
        "cf-ray",
        "x-weir-call-id",
        "x-weir-target",
        "x-weir-cache",
        "access-control-allow-origin",
        "location",
        "strict-transport-security",
        "www-authenticate",
        "authorization",
        "x-api-key",
        "age",
        "x-powered-by",
        "link",
        "refresh",
        "content-typ",
        "content-type2",
        "x-ratelimit",
        "",
    };
    (void)state;
    for (size_t i = 0; i < sizeof back / sizeof back[0]; i++)
        if (!call_header_goes_back(str_from_c(back[i])))
            fail_msg("%s stays", back[i]);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (call_header_goes_back(str_from_c(kept[i])))
            fail_msg("%s goes back", kept[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_list)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
