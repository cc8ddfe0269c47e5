#include "api/api_int.h"

#include <stdio.h>

#include "codec/time.h"
#include "os/clock.h"

void api_json(struct http_exchange *x, int status, struct str body)
{
    http_respond(x, status, STR("application/json"), body);
}

const struct dialect *api_dialect(const struct http_exchange *x)
{
    bool anthropic = str_starts(x->path, STR("/v1/messages")) ||
                     http_headers_get(&x->headers, STR("anthropic-version")).ptr;
    return anthropic ? &dialect_anthropic : &dialect_openai;
}

/* In the language of who asks. */
static void write_problem(struct http_exchange *x, int status, const struct openai_problem *problem,
                          struct buf *body)
{
    if (api_is_otlp(x))
        otlp_status_write(api_otlp_form(x), otlp_status_code(status), str_from_c(problem->message),
                          body);
    else
        api_dialect(x)->write_error(body, status, problem);
}

void api_error_with(struct http_exchange *x, int status, const struct http_header *more,
                    const struct openai_problem *problem)
{
    struct buf body BUF_AUTO;
    struct str type = api_is_otlp(x) ? api_otlp_type(api_otlp_form(x)) : STR("application/json");
    struct http_header headers[2] = {HTTP_HEADER("content-type", type)};
    buf_init(&body, 16384);
    write_problem(x, status, problem, &body);
    if (more)
        headers[1] = *more;
    http_respond_with(x, status, headers, more ? 2 : 1, buf_str(&body));
}

void api_error(struct http_exchange *x, int status, enum err err, const char *param,
               const char *format, ...)
{
    struct buf message BUF_AUTO;
    struct openai_problem problem;
    va_list args;
    buf_init(&message, 2048);
    va_start(args, format);
    buf_vprintf(&message, format, args);
    va_end(args);
    openai_problem_set(&problem, openai_error_type(err), param, openai_error_code(err), "%.*s",
                       STR_ARG(buf_str(&message)));
    api_error_with(x, status, NULL, &problem);
}

void api_otlp_retry(struct http_exchange *x, int seconds, const char *format, ...)
{
    struct buf message BUF_AUTO;
    struct openai_problem problem;
    char digits[16];
    va_list args;
    int n = snprintf(digits, sizeof digits, "%d", seconds);
    struct http_header retry = HTTP_HEADER("retry-after", str_of(digits, (size_t)n));
    buf_init(&message, 2048);
    va_start(args, format);
    buf_vprintf(&message, format, args);
    va_end(args);
    openai_problem_set(&problem, "api_error", NULL, "busy", "%.*s", STR_ARG(buf_str(&message)));
    api_error_with(x, 503, &retry, &problem);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

struct str api_decode(struct arena *a, struct str text)
{
    char *out = arena_alloc(a, text.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        int high = i + 2 < text.len ? hex_value(text.ptr[i + 1]) : -1;
        int low = i + 2 < text.len ? hex_value(text.ptr[i + 2]) : -1;
        if (text.ptr[i] == '%' && high >= 0 && low >= 0) {
            out[n++] = (char)(high * 16 + low);
            i += 2;
        } else {
            out[n++] = text.ptr[i] == '+' ? ' ' : text.ptr[i];
        }
    }
    return str_of(out, n);
}

struct str api_query(struct http_exchange *x, struct str name)
{
    struct str rest = x->query;
    while (rest.ptr) {
        struct str pair = str_split(&rest, '&');
        struct str value = pair;
        struct str key = str_split(&value, '=');
        if (str_eq(key, name))
            return api_decode(x->arena, value.ptr ? value : STR(""));
    }
    return STR_NONE;
}

bool api_query_number(struct http_exchange *x, struct str name, uint64_t fallback, uint64_t max,
                      uint64_t *ret_value)
{
    struct str text = api_query(x, name);
    uint64_t value = fallback;
    if (text.ptr && (str_to_u64(text, &value) != ERR_OK || value > max)) {
        api_error(x, 400, ERR_INVALID, arena_str(x->arena, name).ptr,
                  "%.*s is '%.*s', which is not a whole number from 0 to %llu", STR_ARG(name),
                  STR_ARG(str_take(text, 40)), (unsigned long long)max);
        return false;
    }
    *ret_value = value;
    return true;
}

bool api_query_since(struct http_exchange *x, int64_t *ret_wall_us)
{
    struct str text = api_query(x, STR("since"));
    int64_t wall_us = 0;
    if (text.len && time_point_parse(text, os_wall_us(), &wall_us) != ERR_OK) {
        api_error(x, 400, ERR_INVALID, "since",
                  "since is '%.*s': write a time like 2026-11-24T10:00:00Z or an age like 10m",
                  STR_ARG(str_take(text, 40)));
        return false;
    }
    *ret_wall_us = wall_us;
    return true;
}
