/* Where a provider's endpoints are; see provider.h. */
#include "model/provider.h"

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* A name as one segment of a path (RFC 3986 §3.3). */
static enum err append_segment(struct buf *path, struct str name)
{
    if (name.len == 0 || str_eq(name, STR(".")) || str_eq(name, STR("..")))
        return ERR_INVALID;
    for (size_t i = 0; i < name.len; i++)
        if (is_unreserved(name.ptr[i]))
            buf_append_char(path, name.ptr[i]);
        else
            buf_printf(path, "%%%02X", (unsigned)(unsigned char)name.ptr[i]);
    return ERR_OK;
}

static struct str without_end(struct str text, struct str end)
{
    return str_ends(text, end) ? str_take(text, text.len - end.len) : text;
}

/* Azure's newer form has no dates: https://learn.microsoft.com/azure/ai-foundry/openai/
 * api-version-lifecycle. */
static bool is_v1(struct str api_version)
{
    return str_eq(api_version, STR("v1")) || str_eq(api_version, STR("preview")) ||
           str_eq(api_version, STR("latest"));
}

/* The base may be written with or without what every Azure path begins with. */
static enum err azure_path(struct str base, struct str api_version,
                           const struct model_request *request, struct buf *path)
{
    buf_append_str(path, without_end(without_end(base, STR("/v1")), STR("/openai")));
    if (is_v1(api_version)) {
        buf_append_str(path, STR("/openai/v1"));
        buf_append_str(path, request->endpoint);
        if (str_eq(api_version, STR("preview")))
            buf_append_str(path, STR("?api-version=preview"));
        return ERR_OK;
    }
    buf_append_str(path, STR("/openai"));
    /* Responses have no deployment in their path: it is the body's model. */
    if (!str_starts(request->endpoint, STR("/responses"))) {
        buf_append_str(path, STR("/deployments/"));
        TRY(append_segment(path, request->upstream_model));
    }
    buf_append_str(path, request->endpoint);
    buf_append_str(path, STR("?api-version="));
    return append_segment(path, api_version);
}

static enum err gemini_path(struct str base, const struct model_request *request, struct buf *path)
{
    struct str model = request->upstream_model;
    buf_append_str(path, base);
    if (!str_eq(request->endpoint, STR("/generateContent"))) {
        buf_append_str(path, STR("/openai"));
        buf_append_str(path, request->endpoint);
        return ERR_OK;
    }
    if (str_starts(model, STR("models/")))
        model = str_skip(model, 7);
    buf_append_str(path, STR("/models/"));
    TRY(append_segment(path, model));
    buf_append_str(path, request->stream ? STR(":streamGenerateContent?alt=sse")
                                         : STR(":generateContent"));
    return ERR_OK;
}

enum err provider_path_write(enum provider_kind kind, struct str base_path, struct str api_version,
                             const struct model_request *request, struct buf *path)
{
    switch (kind) {
    case PROVIDER_AZURE: TRY(azure_path(base_path, api_version, request, path)); break;
    case PROVIDER_GEMINI: TRY(gemini_path(base_path, request, path)); break;
    case PROVIDER_OPENAI:
    case PROVIDER_ANTHROPIC:
        buf_append_str(path, base_path);
        buf_append_str(path, request->endpoint);
        break;
    }
    return path->error == ERR_OK ? ERR_OK : ERR_TOO_LARGE;
}
