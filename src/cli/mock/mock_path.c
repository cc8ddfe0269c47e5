/* Which API a path belongs to. OpenAI's and Anthropic's stand below /v1 or alone, Azure's below
 * /openai, Gemini's below /v1beta/models. */
#include "cli/mock/mock_ask.h"

struct name {
    struct str name;
    enum mock_api api;
};

static const struct name after_v1[] = {
    {STR_INIT("/chat/completions"), MOCK_API_CHAT},
    {STR_INIT("/completions"), MOCK_API_COMPLETIONS},
    {STR_INIT("/embeddings"), MOCK_API_EMBEDDINGS},
    {STR_INIT("/models"), MOCK_API_MODELS},
    {STR_INIT("/responses"), MOCK_API_RESPONSES},
    {STR_INIT("/messages"), MOCK_API_MESSAGES},
    {STR_INIT("/messages/count_tokens"), MOCK_API_COUNT_TOKENS},
};

static const struct name gemini_methods[] = {
    {STR_INIT("generateContent"), MOCK_API_GEMINI},
    {STR_INIT("streamGenerateContent"), MOCK_API_GEMINI},
    {STR_INIT("countTokens"), MOCK_API_GEMINI_COUNT},
    {STR_INIT("embedContent"), MOCK_API_GEMINI_EMBED},
    {STR_INIT("batchEmbedContents"), MOCK_API_GEMINI_EMBED_BATCH},
};

static enum mock_api find(const struct name *names, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(names[i].name, name))
            return names[i].api;
    return MOCK_API_OTHER;
}

static enum mock_api find_after_v1(struct str path)
{
    return find(after_v1, sizeof after_v1 / sizeof after_v1[0], path);
}

/* "MODEL:method" behind /models/. */
static struct mock_path gemini_path(struct str rest, struct str query)
{
    struct mock_path path = {.model = str_split(&rest, ':')};
    path.api = find(gemini_methods, sizeof gemini_methods / sizeof gemini_methods[0], rest);
    path.stream = str_eq(rest, STR("streamGenerateContent"));
    path.array = path.stream && str_find(query, STR("alt=sse")) < 0;
    return path;
}

/* Behind /openai: "/deployments/NAME/chat/completions", "/v1/chat/completions", "/responses". */
static struct mock_path azure_path(struct str rest)
{
    struct mock_path path = {.azure = true};
    if (str_starts(rest, STR("/v1/"))) {
        rest = str_skip(rest, 3);
    } else if (str_starts(rest, STR("/deployments/"))) {
        rest = str_skip(rest, 13);
        ptrdiff_t slash = str_index(rest, '/');
        path.model = str_take(rest, slash < 0 ? rest.len : (size_t)slash);
        rest = str_skip(rest, path.model.len);
    }
    path.api = find_after_v1(rest);
    return path;
}

struct mock_path mock_path_of(struct str target)
{
    static const struct str versions[] = {STR_INIT("/v1beta"), STR_INIT("/v1alpha"),
                                          STR_INIT("/v1")};
    struct str query = target;
    struct str rest = str_split(&query, '?');
    if (str_starts(rest, STR("/openai/")))
        return azure_path(str_skip(rest, 7));
    if (str_eq(rest, STR("/v1beta/models")))
        return (struct mock_path){.api = MOCK_API_GEMINI_MODELS};
    for (size_t i = 0; i < 3; i++) {
        if (!str_starts(rest, versions[i]) || rest.len == versions[i].len)
            continue;
        rest = str_skip(rest, versions[i].len);
        break;
    }
    if (str_starts(rest, STR("/models/")) && str_index(rest, ':') > 0)
        return gemini_path(str_skip(rest, 8), query);
    if (str_starts(rest, STR("/openai/"))) /* Gemini's own door for OpenAI's clients */
        rest = str_skip(rest, 7);
    return (struct mock_path){.api = find_after_v1(rest)};
}
