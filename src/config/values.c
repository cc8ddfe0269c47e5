/* Text → sizes, rates, addresses, URLs. Pure. */
#include "config/config_int.h"

static size_t count_digits(struct str text)
{
    size_t n = 0;
    while (n < text.len && text.ptr[n] >= '0' && text.ptr[n] <= '9')
        n++;
    return n;
}

enum err config_size_parse(struct str text, int64_t *ret_bytes)
{
    static const struct {
        struct str name;
        int64_t bytes;
    } units[] = {
        {STR_INIT(""), 1},
        {STR_INIT("B"), 1},
        {STR_INIT("KiB"), INT64_C(1) << 10},
        {STR_INIT("MiB"), INT64_C(1) << 20},
        {STR_INIT("GiB"), INT64_C(1) << 30},
        {STR_INIT("TiB"), INT64_C(1) << 40},
        {STR_INIT("KB"), INT64_C(1000)},
        {STR_INIT("MB"), INT64_C(1000000)},
        {STR_INIT("GB"), INT64_C(1000000000)},
        {STR_INIT("TB"), INT64_C(1000000000000)},
    };
    size_t digits = count_digits(text);
    int64_t value;
    int64_t bytes;
    TRY(str_to_i64(str_take(text, digits), &value));
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (!str_eq(str_skip(text, digits), units[i].name))
            continue;
        if (__builtin_mul_overflow(value, units[i].bytes, &bytes))
            return ERR_OUT_OF_RANGE;
        *ret_bytes = bytes;
        return ERR_OK;
    }
    return ERR_INVALID;
}

enum err config_rate_parse(struct str text, struct config_rate *ret_rate)
{
    static const struct {
        char name;
        int64_t us;
    } units[] = {
        {'s', INT64_C(1000000)},
        {'m', INT64_C(60000000)},
        {'h', INT64_C(3600000000)},
        {'d', INT64_C(86400000000)},
    };
    size_t digits = count_digits(text);
    int64_t count;
    struct str unit = str_skip(text, digits);
    TRY(str_to_i64(str_take(text, digits), &count));
    if (unit.len != 2 || unit.ptr[0] != '/')
        return ERR_INVALID;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (unit.ptr[1] != units[i].name)
            continue;
        *ret_rate = (struct config_rate){.count = count, .window_us = units[i].us};
        return ERR_OK;
    }
    return ERR_INVALID;
}

/* ---- Addresses ---- */

static bool is_host_char(char c, bool in_brackets)
{
    bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return word || c == '.' || (in_brackets ? c == ':' || c == '%' : c == '-' || c == '_');
}

/* "host", "[::1]", with ":port" behind it or not. The port's text is STR_NONE when there is none.
 */
static bool split_authority(struct str text, struct str *ret_host, struct str *ret_port)
{
    bool in_brackets = text.len && text.ptr[0] == '[';
    ptrdiff_t end;
    struct str host;
    struct str after;
    if (in_brackets) {
        text = str_skip(text, 1);
        end = str_index(text, ']');
        if (end < 0)
            return false;
        host = str_take(text, (size_t)end);
        after = str_skip(text, (size_t)end + 1);
    } else {
        end = str_index(text, ':');
        host = end < 0 ? text : str_take(text, (size_t)end);
        after = end < 0 ? STR("") : str_skip(text, (size_t)end);
    }
    if (host.len == 0 || host.len > 253 || (after.len && after.ptr[0] != ':'))
        return false;
    for (size_t i = 0; i < host.len; i++)
        if (!is_host_char(host.ptr[i], in_brackets))
            return false;
    *ret_host = host;
    *ret_port = after.len ? str_skip(after, 1) : STR_NONE;
    return true;
}

static bool parse_port(struct str text, uint16_t *ret_port)
{
    uint64_t port;
    if (text.len > 5 || str_to_u64(text, &port) != ERR_OK || port > UINT16_MAX)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

enum err config_address_parse(struct str text, struct config_address *ret_address)
{
    struct config_address address = {.enabled = true};
    struct str port;
    if (!split_authority(text, &address.host, &port) || !parse_port(port, &address.port))
        return ERR_INVALID;
    *ret_address = address;
    return ERR_OK;
}

/* ---- URLs ---- */

/* What a path may hold (RFC 3986 pchar and '/'): no space, quote, control or non-ASCII character.
 */
static bool is_path(struct str path)
{
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.ptr[i];
        if (c <= 0x20 || c >= 0x7f || strchr("\"<>\\^`{|}#?[]", c))
            return false;
    }
    return true;
}

static const char *url_mistake(struct str text, struct str authority, struct str path)
{
    if (str_index(authority, '@') >= 0)
        return "a user or password has no place in it: use 'key' or 'headers'";
    if (str_index(text, '?') >= 0 || str_index(text, '#') >= 0)
        return "'?' and '#' have no place in it";
    if (!is_path(path))
        return "its path has characters that must be written as %XX";
    return NULL;
}

enum err config_url_parse(struct arena *a, struct str text, struct config_url *ret_url,
                          const char **ret_why)
{
    struct config_url url = {0};
    struct str port;
    struct str rest;
    *ret_why = "it must begin with http:// or https://";
    if (str_starts_nocase(text, STR("https://")))
        url.tls = true;
    else if (!str_starts_nocase(text, STR("http://")))
        return ERR_INVALID;
    rest = str_skip(text, url.tls ? 8 : 7);
    size_t authority_len = 0;
    while (authority_len < rest.len && !strchr("/?#", rest.ptr[authority_len]))
        authority_len++;
    struct str authority = str_take(rest, authority_len);
    struct str path = str_skip(rest, authority_len);
    while (str_ends(path, STR("/")))
        path.len--;
    *ret_why = url_mistake(rest, authority, path);
    if (*ret_why)
        return ERR_INVALID;
    *ret_why = "its host or port is not one, as example.com or 127.0.0.1:8000";
    url.port = url.tls ? 443 : 80;
    if (!split_authority(authority, &url.host, &port))
        return ERR_INVALID;
    if (port.ptr && (!parse_port(port, &url.port) || url.port == 0))
        return ERR_INVALID;
    bool usual_port = url.port == (url.tls ? 443 : 80);
    url.text = arena_str(a, str_take(text, (size_t)(path.ptr + path.len - text.ptr)));
    url.host = arena_str(a, url.host);
    url.authority = arena_str(
        a, usual_port && port.ptr ? str_take(authority, authority.len - port.len - 1) : authority);
    url.prefix = arena_str(a, path);
    *ret_url = url;
    return ERR_OK;
}
