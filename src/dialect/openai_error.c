#include "dialect/openai_error.h"

#include <stdarg.h>
#include <stdio.h>

#include "codec/json_scan.h"
#include "codec/json_write.h"

/* How much of an upstream's error body is looked at, and how much of plain text is shown. */
enum { ERROR_BODY_BYTES_MAX = 64 << 10, ERROR_TEXT_BYTES_MAX = 200 };

/* ---- Ours ---- */

static void set_text(char *field, size_t size, const char *text)
{
    (void)snprintf(field, size, "%s", text ? text : "");
}

/* A text that was cut may end inside a UTF-8 sequence. */
static void drop_cut_character(char *text)
{
    size_t len = strlen(text), lead = len;
    while (lead > 0 && ((unsigned char)text[lead - 1] & 0xC0) == 0x80)
        lead--;
    if (lead == 0 || (signed char)text[lead - 1] >= 0)
        return;
    unsigned char first = (unsigned char)text[lead - 1];
    size_t whole = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (len - (lead - 1) < whole)
        text[lead - 1] = 0;
}

void openai_problem_set(struct openai_problem *p, const char *type, const char *param,
                        const char *code, const char *message, ...)
{
    set_text(p->type, sizeof p->type, type);
    set_text(p->param, sizeof p->param, param);
    set_text(p->code, sizeof p->code, code);
    va_list args;
    va_start(args, message);
    int n = vsnprintf(p->message, sizeof p->message, message, args);
    va_end(args);
    if (n >= (int)sizeof p->message)
        drop_cut_character(p->message);
}

struct error_row {
    enum err error;
    const char *type;
    const char *code;
};

static const struct error_row error_rows[] = {
    {ERR_INVALID, "invalid_request_error", ""},
    {ERR_TOO_LARGE, "invalid_request_error", "request_too_large"},
    {ERR_TRUNCATED, "invalid_request_error", ""},
    {ERR_NOT_FOUND, "invalid_request_error", "not_found"},
    {ERR_UNSUPPORTED, "invalid_request_error", "unsupported"},
    {ERR_OUT_OF_RANGE, "invalid_request_error", "out_of_range"},
    {ERR_UNAUTHORIZED, "invalid_request_error", "invalid_api_key"},
    {ERR_ACCESS, "invalid_request_error", "not_allowed"},
    {ERR_LIMIT, "rate_limit_error", "rate_limit_exceeded"},
    {ERR_BUSY, "server_error", "overloaded"},
    {ERR_NO_MEMORY, "server_error", "overloaded"},
    {ERR_CLOSED, "server_error", "stopping"},
    {ERR_NO_SPACE, "server_error", "storage_full"},
    {ERR_QUOTA, "server_error", "storage_full"},
    {ERR_CANCELLED, "server_error", "cancelled"},
    {ERR_TIMEOUT, "upstream_error", "timeout"},
    {ERR_CONNECT, "upstream_error", "connect"},
    {ERR_DNS, "upstream_error", "connect"},
    {ERR_TLS, "upstream_error", "connect"},
    {ERR_RESET, "upstream_error", "reset"},
    {ERR_PROTOCOL, "upstream_error", "protocol"},
};

static const struct error_row *row_of(enum err e)
{
    static const struct error_row other = {ERR_IO, "server_error", ""};
    for (size_t i = 0; i < sizeof error_rows / sizeof *error_rows; i++)
        if (error_rows[i].error == e)
            return &error_rows[i];
    return &other;
}

const char *openai_error_type(enum err e)
{
    return row_of(e)->type;
}

const char *openai_error_code(enum err e)
{
    return row_of(e)->code;
}

void openai_error_write(struct buf *out, struct str message, struct str type, struct str param,
                        struct str code)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_object_begin(&w);
    json_key(&w, STR("error"));
    json_object_begin(&w);
    json_member_str(&w, STR("message"), message);
    json_member_str(&w, STR("type"), type);
    json_member_str_or_null(&w, STR("param"), param.len ? param : STR_NONE);
    json_member_str_or_null(&w, STR("code"), code.len ? code : STR_NONE);
    json_object_end(&w);
    json_object_end(&w);
}

void openai_problem_write(struct buf *out, const struct openai_problem *p)
{
    openai_error_write(out, str_from_c(p->message), str_from_c(p->type), str_from_c(p->param),
                       str_from_c(p->code));
}

void openai_error_event_write(struct buf *out, const struct openai_problem *p)
{
    buf_append_str(out, STR("data: "));
    openai_problem_write(out, p);
    buf_append_str(out, STR("\n\n"));
}

/* ---- An upstream's ---- */

/* Where a continuation byte stands the text is cut inside a character: step back to its start. */
static size_t cut_at_character(struct str text, size_t len)
{
    if (len >= text.len)
        return text.len;
    while (len > 0 && ((unsigned char)text.ptr[len] & 0xC0) == 0x80)
        len--;
    return len;
}

/* Fill a field with text: white space and control characters become one space, the rest is cut at a
 * character. */
static void put_text(char *field, size_t size, struct str text)
{
    size_t len = 0;
    text = str_take(text, cut_at_character(text, size - 1));
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if ((unsigned char)c > ' ' && c != 0x7f)
            field[len++] = c;
        else if (len > 0 && field[len - 1] != ' ')
            field[len++] = ' ';
    }
    while (len > 0 && field[len - 1] == ' ')
        len--;
    field[len] = 0;
}

/* A string, or a number as its digits, at hand. Only the first that comes is kept. */
static void take_text(struct json_reader *r, char *field, size_t size)
{
    struct json_value value = json_take(r);
    struct buf text BUF_AUTO;
    buf_init(&text, ERROR_BODY_BYTES_MAX);
    if (*field || (value.kind != JSON_STRING && value.kind != JSON_NUMBER))
        return;
    if (value.kind == JSON_STRING)
        json_text_append(&value, &text);
    else
        buf_append_str(&text, value.raw);
    put_text(field, size, buf_str(&text));
}

/* Members that an error object, or a body that is one, may have. */
static void take_member(struct json_reader *r, const struct json_value *key,
                        struct openai_problem *p)
{
    if (json_eq(key, STR("message")) || json_eq(key, STR("msg")) || json_eq(key, STR("detail")))
        take_text(r, p->message, sizeof p->message);
    else if (json_eq(key, STR("type")) ||
             (json_eq(key, STR("status")) && json_peek(r) == JSON_STRING))
        take_text(r, p->type, sizeof p->type);
    else if (json_eq(key, STR("param")))
        take_text(r, p->param, sizeof p->param);
    else if (json_eq(key, STR("code")))
        take_text(r, p->code, sizeof p->code);
}

/* The value of `error`: an object or a string. */
static void take_error(struct json_reader *r, struct openai_problem *p)
{
    struct json_value key;
    if (json_peek(r) == JSON_STRING) {
        take_text(r, p->message, sizeof p->message);
    } else if (json_enter(r, JSON_OBJECT)) {
        *p = (struct openai_problem){0};
        while (json_next_member(r, &key))
            take_member(r, &key, p);
    }
}

/* FastAPI's list of what is wrong: the first one's msg. */
static void take_detail(struct json_reader *r, struct openai_problem *p)
{
    struct json_value key;
    if (!json_enter(r, JSON_ARRAY))
        return;
    while (json_next_element(r))
        if (json_enter(r, JSON_OBJECT))
            while (json_next_member(r, &key))
                if (json_eq(&key, STR("msg")))
                    take_text(r, p->message, sizeof p->message);
}

/* False: not JSON, or no message in it. */
static bool read_json(struct str body, struct openai_problem *p)
{
    struct json_reader r;
    struct json_value key;
    bool inside = false;
    json_reader_init(&r, body, JSON_DEPTH_MAX);
    /* Gemini's compatible endpoint wraps its error in an array. */
    bool wrapped = json_enter(&r, JSON_ARRAY) && json_next_element(&r);
    if (json_enter(&r, JSON_OBJECT))
        while (json_next_member(&r, &key)) {
            if (json_eq(&key, STR("error"))) {
                inside = json_peek(&r) != JSON_NULL;
                take_error(&r, p);
            } else if (json_eq(&key, STR("detail")) && json_peek(&r) == JSON_ARRAY) {
                take_detail(&r, p);
            } else if (!inside) {
                take_member(&r, &key, p);
            }
        }
    while (wrapped && json_next_element(&r))
        continue;
    return json_finish(&r) && *p->message;
}

static struct str between(struct str text, struct str open, struct str close)
{
    for (; text.len >= open.len; text = str_skip(text, 1))
        if (str_starts_nocase(text, open)) {
            text = str_skip(text, open.len);
            for (size_t i = 0; i + close.len <= text.len; i++)
                if (str_starts_nocase(str_skip(text, i), close))
                    return str_take(text, i);
            return STR_NONE;
        }
    return STR_NONE;
}

static bool is_html(struct str text)
{
    return str_starts_nocase(text, STR("<!doctype html")) ||
           str_starts_nocase(text, STR("<html")) || str_starts_nocase(text, STR("<head"));
}

static struct str skip_blank(struct str text)
{
    while (text.len && (unsigned char)*text.ptr <= ' ')
        text = str_skip(text, 1);
    return text;
}

static void describe_other(struct str body, int status, struct openai_problem *p)
{
    char text[ERROR_TEXT_BYTES_MAX + 1] = "";
    const char *what = "";
    body = skip_blank(body);
    if (body.len == 0) {
        what = " with an empty body";
    } else if (is_html(body)) {
        what = " with an HTML page";
        put_text(text, sizeof text, between(body, STR("<title>"), STR("</title>")));
    } else if (*body.ptr == '{' || *body.ptr == '[') {
        what = " with JSON that holds no error message";
    } else {
        put_text(text, sizeof text, body);
    }
    (void)snprintf(p->message, sizeof p->message, "HTTP %d%s%s%s", status, what, *text ? ": " : "",
                   text);
}

void openai_error_read(struct str body, int status, struct openai_problem *ret_problem)
{
    struct openai_problem p = {0};
    body = str_take(body, ERROR_BODY_BYTES_MAX);
    if (!read_json(body, &p)) {
        p = (struct openai_problem){0};
        describe_other(body, status, &p);
    }
    if (!*p.type)
        set_text(p.type, sizeof p.type, status >= 500 ? "upstream_error" : "invalid_request_error");
    *ret_problem = p;
}
