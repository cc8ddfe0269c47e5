/* Errors in Anthropic's form: {"type":"error","error":{"type":"…","message":"…"}}. */
#include "codec/json_write.h"
#include "dialect/anthropic_int.h"

static const struct str types[] = {
    STR_INIT("invalid_request_error"), STR_INIT("authentication_error"),
    STR_INIT("billing_error"),         STR_INIT("permission_error"),
    STR_INIT("not_found_error"),       STR_INIT("request_too_large"),
    STR_INIT("rate_limit_error"),      STR_INIT("timeout_error"),
    STR_INIT("overloaded_error"),      STR_INIT("api_error"),
};

static struct str type_of_status(int status)
{
    switch (status) {
    case 401: return STR("authentication_error");
    case 402: return STR("billing_error");
    case 403: return STR("permission_error");
    case 404: return STR("not_found_error");
    case 413: return STR("request_too_large");
    case 429: return STR("rate_limit_error");
    case 504: return STR("timeout_error");
    case 529: return STR("overloaded_error");
    default: break;
    }
    return status >= 400 && status < 500 ? STR("invalid_request_error") : STR("api_error");
}

/* Under a status the status says it; in a stream (200) a type of Anthropic's own stays. */
static struct str type_of(int status, const struct openai_problem *problem)
{
    struct str type = str_from_c(problem->type);
    bool ours = str_eq(type, types[0]);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (str_eq(type, types[i]) && (status < 400 || !ours))
            return types[i];
    return type_of_status(status);
}

void anthropic_error_write(struct buf *out, int status, const struct openai_problem *problem)
{
    struct json_writer j;
    json_writer_init(&j, out);
    json_object_begin(&j);
    json_member_str(&j, STR("type"), STR("error"));
    json_key(&j, STR("error"));
    json_object_begin(&j);
    json_member_str(&j, STR("type"), type_of(status, problem));
    json_member_str(&j, STR("message"), str_from_c(problem->message));
    json_object_end(&j);
    json_object_end(&j);
}

void anthropic_error_event_write(struct buf *out, int status, const struct openai_problem *problem)
{
    buf_append_str(out, STR("event: error\ndata: "));
    anthropic_error_write(out, status, problem);
    buf_append_str(out, STR("\n\n"));
}
