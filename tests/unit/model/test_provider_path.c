/* Where a provider's endpoints are, for each kind. */
#include "tests/unit/unit.h"

#include "model/provider.h"

static const struct path_case {
    enum provider_kind kind;
    const char *base, *version, *endpoint, *model;
    bool stream;
    const char *path; /* NULL: refused */
} cases[] = {
    {PROVIDER_OPENAI, "/v1", "", "/chat/completions", "a/b", false, "/v1/chat/completions"},
    {PROVIDER_OPENAI, "", "", "/embeddings", "m", false, "/embeddings"},
    {PROVIDER_ANTHROPIC, "/v1", "", "/messages/count_tokens", "m", false,
     "/v1/messages/count_tokens"},
    {PROVIDER_AZURE, "", "2025-04-01-preview", "/chat/completions", "my-deployment", true,
     "/openai/deployments/my-deployment/chat/completions?api-version=2025-04-01-preview"},
    {PROVIDER_AZURE, "/openai", "2024-10-21", "/embeddings", "a b/c?d#e", false,
     "/openai/deployments/a%20b%2Fc%3Fd%23e/embeddings?api-version=2024-10-21"},
    {PROVIDER_AZURE, "/gate", "2025-04-01-preview", "/responses", "d", false,
     "/gate/openai/responses?api-version=2025-04-01-preview"},
    {PROVIDER_AZURE, "/openai/v1", "v1", "/chat/completions", "d", false,
     "/openai/v1/chat/completions"},
    {PROVIDER_AZURE, "", "preview", "/responses", "d", false,
     "/openai/v1/responses?api-version=preview"},
    {PROVIDER_AZURE, "", "2024-10-21", "/chat/completions", "..", false, NULL},
    {PROVIDER_AZURE, "", "2024-10-21", "/chat/completions", "", false, NULL},
    {PROVIDER_GEMINI, "/v1beta", "", "/generateContent", "gemini-2.5-pro", false,
     "/v1beta/models/gemini-2.5-pro:generateContent"},
    {PROVIDER_GEMINI, "/v1beta", "", "/generateContent", "models/gemini-2.5-pro", true,
     "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"},
    {PROVIDER_GEMINI, "/v1beta", "", "/generateContent", "a/../b:c", false,
     "/v1beta/models/a%2F..%2Fb%3Ac:generateContent"},
    {PROVIDER_GEMINI, "/v1beta", "", "/embeddings", "m", false, "/v1beta/openai/embeddings"},
};

static void paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct path_case *k = &cases[i];
        struct model_request request = {.endpoint = str_from_c(k->endpoint),
                                        .upstream_model = str_from_c(k->model),
                                        .stream = k->stream};
        struct buf path BUF_AUTO;
        buf_init(&path, PROVIDER_PATH_BYTES_MAX);
        enum err e = provider_path_write(k->kind, str_from_c(k->base), str_from_c(k->version),
                                         &request, &path);
        assert_int_equal(e, k->path ? ERR_OK : ERR_INVALID);
        if (k->path)
            assert_string_equal(buf_cstr(&path), k->path);
    }
}

static void a_path_has_a_longest(void **state)
{
    (void)state;
    char name[1000];
    memset(name, '/', sizeof name);
    struct model_request request = {.endpoint = STR("/generateContent"),
                                    .upstream_model = str_of(name, sizeof name)};
    struct buf path BUF_AUTO;
    buf_init(&path, PROVIDER_PATH_BYTES_MAX);
    assert_int_equal(provider_path_write(PROVIDER_GEMINI, STR("/v1beta"), STR(""), &request, &path),
                     ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),
        cmocka_unit_test(a_path_has_a_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
