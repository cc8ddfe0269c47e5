#include "net/http.h"

/* ---- Header fields ---- */

struct str http_headers_get(const struct http_headers *headers, struct str name)
{
    for (size_t i = 0; i < headers->count; i++)
        if (str_eq_nocase(headers->at[i].name, name))
            return headers->at[i].value;
    return STR_NONE;
}

size_t http_headers_count(const struct http_headers *headers, struct str name)
{
    size_t count = 0;
    for (size_t i = 0; i < headers->count; i++)
        count += str_eq_nocase(headers->at[i].name, name);
    return count;
}

static bool list_has(struct str list, struct str token)
{
    while (list.ptr)
        if (str_eq_nocase(str_trim(str_split(&list, ',')), token))
            return true;
    return false;
}

bool http_headers_has_token(const struct http_headers *headers, struct str name, struct str token)
{
    for (size_t i = 0; i < headers->count; i++)
        if (str_eq_nocase(headers->at[i].name, name) && list_has(headers->at[i].value, token))
            return true;
    return false;
}

bool http_field_is_framing(struct str name)
{
    switch (name.len) {
    case 2: return str_eq_nocase(name, STR("te"));
    case 4: return str_eq_nocase(name, STR("host"));
    case 6: return str_eq_nocase(name, STR("expect"));
    case 7: return str_eq_nocase(name, STR("upgrade")) || str_eq_nocase(name, STR("trailer"));
    case 10:
        return str_eq_nocase(name, STR("connection")) || str_eq_nocase(name, STR("keep-alive"));
    case 14: return str_eq_nocase(name, STR("content-length"));
    case 17: return str_eq_nocase(name, STR("transfer-encoding"));
    default:
        return (name.len > 6 && (name.ptr[0] | 0x20) == 'p' &&
                str_starts_nocase(name, STR("proxy-")));
    }
}

size_t http_headers_forwardable(const struct http_headers *headers, struct http_header *out)
{
    const struct str connection = STR("connection");
    size_t count = 0;
    bool named = false; /* does Connection name fields at all? */
    for (size_t i = 0; i < headers->count && !named; i++)
        named = str_eq_nocase(headers->at[i].name, connection);
    for (size_t i = 0; i < headers->count; i++) {
        const struct http_header *h = &headers->at[i];
        if (http_field_is_framing(h->name) ||
            (named && http_headers_has_token(headers, connection, h->name)))
            continue;
        out[count++] = *h;
    }
    return count;
}

/* RFC 9110 §5.6.2: the characters of names. */
static const bool token_char[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

bool http_token_valid(struct str token)
{
    for (size_t i = 0; i < token.len; i++)
        if (!token_char[(unsigned char)token.ptr[i]])
            return false;
    return token.len > 0;
}

bool http_header_valid(const struct http_header *header)
{
    for (size_t i = 0; i < header->value.len; i++) {
        unsigned char c = (unsigned char)header->value.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return http_token_valid(header->name);
}

struct str http_status_reason(int status)
{
    switch (status) {
#define REASON(number, text)                                                                       \
    case number: return STR(#text);
        REASON(200, OK)
        REASON(201, Created)
        REASON(202, Accepted)
        REASON(204, No Content)
        REASON(206, Partial Content)
        REASON(301, Moved Permanently)
        REASON(302, Found)
        REASON(303, See Other)
        REASON(304, Not Modified)
        REASON(307, Temporary Redirect)
        REASON(308, Permanent Redirect)
        REASON(400, Bad Request)
        REASON(401, Unauthorized)
        REASON(402, Payment Required)
        REASON(403, Forbidden)
        REASON(404, Not Found)
        REASON(405, Method Not Allowed)
        REASON(406, Not Acceptable)
        REASON(408, Request Timeout)
        REASON(409, Conflict)
        REASON(410, Gone)
        REASON(411, Length Required)
        REASON(412, Precondition Failed)
        REASON(413, Content Too Large)
        REASON(414, URI Too Long)
        REASON(415, Unsupported Media Type)
        REASON(416, Range Not Satisfiable)
        REASON(417, Expectation Failed)
        REASON(422, Unprocessable Content)
        REASON(424, Failed Dependency)
        REASON(429, Too Many Requests)
        REASON(431, Request Header Fields Too Large)
        REASON(499, Client Closed Request)
        REASON(500, Internal Server Error)
        REASON(501, Not Implemented)
        REASON(502, Bad Gateway)
        REASON(503, Service Unavailable)
        REASON(504, Gateway Timeout)
        REASON(505, HTTP Version Not Supported)
        REASON(507, Insufficient Storage)
        REASON(529, Overloaded)
#undef REASON
    default: return STR("Unknown");
    }
}

void http_limits_default(struct http_limits *ret_limits)
{
    *ret_limits = (struct http_limits){
        .head_bytes_max = (size_t)64 << 10,
        .body_bytes_max = (size_t)32 << 20,
        .bodies_bytes_max = (size_t)512 << 20,
        .head_timeout_ms = 10000,
        .body_idle_ms = 30000,
        .idle_timeout_ms = 75000,
        .write_timeout_ms = 60000,
        .pending_bytes_max = (size_t)1 << 20,
        .pending_low_bytes = (size_t)64 << 10,
        .pipelined_bytes_max = (size_t)64 << 10,
        .connections_max = 20000,
    };
}

/* ---- URLs ---- */

static enum err url_error(const char **ret_detail, const char *detail)
{
    if (ret_detail)
        *ret_detail = detail;
    return ERR_INVALID;
}

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == 0x7f)
            return true;
    return false;
}

/* host[:port] or [v6][:port] */
static const char *parse_authority(struct str authority, struct http_url *url)
{
    struct str port;
    if (authority.len > 0 && authority.ptr[0] == '[') {
        ptrdiff_t end = str_index(authority, ']');
        if (end < 0)
            return "the address lacks its closing bracket";
        url->host = str_of(authority.ptr + 1, (size_t)end - 1);
        port = str_skip(authority, (size_t)end + 1);
        if (port.len > 0 && port.ptr[0] != ':')
            return "only a port may follow the address";
    } else {
        ptrdiff_t colon = str_index(authority, ':');
        url->host = colon < 0 ? authority : str_take(authority, (size_t)colon);
        port = colon < 0 ? STR_NONE : str_skip(authority, (size_t)colon);
    }
    if (url->host.len == 0)
        return "the host is missing";
    uint64_t number = url->port;
    if (port.len > 1 &&
        (str_to_u64(str_skip(port, 1), &number) != ERR_OK || number == 0 || number > UINT16_MAX))
        return "the port is not a number from 1 to 65535";
    url->port = (uint16_t)number;
    return NULL;
}

enum err http_url_parse(struct str text, struct http_url *ret_url, const char **ret_detail)
{
    struct http_url url = {.port = 80};
    if (has_control(text))
        return url_error(ret_detail, "it contains a space or control character");
    if (str_starts_nocase(text, STR("https://"))) {
        url.tls = true;
        url.port = 443;
        text = str_skip(text, 8);
    } else if (str_starts_nocase(text, STR("http://"))) {
        text = str_skip(text, 7);
    } else {
        return url_error(ret_detail, "it does not begin with http:// or https://");
    }
    size_t end = 0;
    while (end < text.len && !strchr("/?#", text.ptr[end]))
        end++;
    struct str authority = str_take(text, end);
    struct str path = str_skip(text, end);
    ptrdiff_t fragment = str_index(path, '#');
    if (fragment >= 0)
        path = str_take(path, (size_t)fragment);
    if (path.len > 0 && path.ptr[0] != '/')
        return url_error(ret_detail, "a query needs a path before it");
    url.path = path.len > 0 ? path : STR("/");
    for (size_t i = authority.len; i > 0; i--)
        if (authority.ptr[i - 1] == '@') {
            url.userinfo = str_take(authority, i - 1);
            authority = str_skip(authority, i);
            break;
        }
    const char *mistake = parse_authority(authority, &url);
    if (mistake)
        return url_error(ret_detail, mistake);
    *ret_url = url;
    return ERR_OK;
}
