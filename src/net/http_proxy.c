#include <stdlib.h>

#include "base/assert.h"
#include "codec/base64.h"
#include "net/http_client_int.h"

enum { PROXY_TEXT_MAX = 64 << 10 };

/* ---- The environment ---- */

static struct str env2(const char *lower, const char *upper)
{
    const char *value = getenv(lower);
    if (!value || !*value)
        value = upper ? getenv(upper) : NULL;
    return value ? str_from_c(value) : STR_NONE;
}

void http_proxy_from_env(struct http_proxy_options *ret_options)
{
    /* A CGI program's HTTP_PROXY would be the client's header `Proxy` (CVE-2016-5385). */
    bool cgi = getenv("REQUEST_METHOD") != NULL;
    struct str all = env2("all_proxy", "ALL_PROXY");
    struct http_proxy_options options = {
        .http_proxy = env2("http_proxy", cgi ? NULL : "HTTP_PROXY"),
        .https_proxy = env2("https_proxy", "HTTPS_PROXY"),
        .no_proxy = env2("no_proxy", "NO_PROXY"),
    };
    if (options.http_proxy.len == 0)
        options.http_proxy = all;
    if (options.https_proxy.len == 0)
        options.https_proxy = all;
    *ret_options = options;
}

/* ---- Loading ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void append_percent_decoded(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        int high = i + 2 < s.len && s.ptr[i] == '%' ? hex_digit(s.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(s.ptr[i + 2]) : -1;
        char decoded = low >= 0 ? (char)(high * 16 + low) : s.ptr[i];
        buf_append_char(out, decoded);
        i += low >= 0 ? 2 : 0;
    }
}

/* Copies into the client's text, which has the room: slices of it stay. */
static struct str keep(struct http_client *client, struct str s)
{
    struct buf *text = &client->proxy_text;
    ASSERT(text->cap - text->len >= s.len);
    const char *at = text->ptr + text->len;
    buf_append_str(text, s);
    return str_of(at, s.len);
}

static const char *load_one(struct http_client *client, struct str text, struct http_proxy *proxy)
{
    BUF_AUTO struct buf whole = {.max = 8192}, plain = {.max = 4096}, encoded = {.max = 8192};
    if (str_find(text, STR("://")) < 0)
        buf_append_str(&whole, STR("http://"));
    buf_append_str(&whole, text);
    struct http_url url;
    const char *mistake = NULL;
    if (whole.error != ERR_OK)
        return "it is too long";
    if (str_starts_nocase(buf_str(&whole), STR("socks")))
        return "SOCKS proxies are not supported; use an HTTP proxy";
    if (http_url_parse(buf_str(&whole), &url, &mistake) != ERR_OK)
        return mistake;
    if (url.tls)
        return "TLS to the proxy itself is not supported; use http://";
    proxy->used = true;
    proxy->host = keep(client, url.host);
    proxy->port = url.port;
    if (url.userinfo.len > 0) {
        append_percent_decoded(&plain, url.userinfo);
        buf_append_str(&encoded, STR("Basic "));
        base64_encode(buf_str(&plain), &encoded);
        proxy->authorization = keep(client, buf_str(&encoded));
    }
    return NULL;
}

static enum err load_named(struct http_client *client, const char *name, struct str text,
                           struct http_proxy *proxy, struct buf *detail)
{
    const char *mistake = text.len > 0 ? load_one(client, text, proxy) : NULL;
    if (!mistake)
        return ERR_OK;
    if (detail) /* without the URL: it may hold a password */
        buf_printf(detail, "the proxy in %s cannot be used: %s", name, mistake);
    return ERR_INVALID;
}

enum err http_proxy_load(struct http_client *client, const struct http_proxy_options *options,
                         struct buf *detail)
{
    buf_init(&client->proxy_text, PROXY_TEXT_MAX);
    if (!options)
        return ERR_OK;
    /* Base64 makes four bytes of three, and "Basic " comes before it. */
    size_t urls = options->http_proxy.len + options->https_proxy.len;
    if (!buf_reserve(&client->proxy_text, 2 * urls + options->no_proxy.len + 64))
        return client->proxy_text.error;
    TRY(load_named(client, "HTTP_PROXY", options->http_proxy, &client->http_proxy, detail));
    TRY(load_named(client, "HTTPS_PROXY", options->https_proxy, &client->https_proxy, detail));
    client->no_proxy = keep(client, options->no_proxy);
    return ERR_OK;
}

/* ---- Choosing ---- */

static bool is_loopback(struct str host)
{
    return str_eq_nocase(host, STR("localhost")) || str_starts(host, STR("127.")) ||
           str_eq(host, STR("::1"));
}

/* One entry of NO_PROXY: "*", "example.com" or ".example.com" (with subdomains), "host:port". */
static bool matches(struct str entry, struct str host, uint16_t port)
{
    if (str_eq(entry, STR("*")))
        return true;
    ptrdiff_t colon = str_index(entry, ':');
    uint64_t wanted = 0;
    /* More than one colon: an IPv6 address. */
    if (colon >= 0 && str_index(str_skip(entry, (size_t)colon + 1), ':') < 0) {
        if (str_to_u64(str_skip(entry, (size_t)colon + 1), &wanted) != ERR_OK || wanted != port)
            return false;
        entry = str_take(entry, (size_t)colon);
    }
    if (entry.len > 0 && entry.ptr[0] == '.')
        entry = str_skip(entry, 1);
    if (entry.len == 0 || entry.len > host.len)
        return false;
    struct str tail = str_skip(host, host.len - entry.len);
    return str_eq_nocase(tail, entry) &&
           (entry.len == host.len || host.ptr[host.len - entry.len - 1] == '.');
}

const struct http_proxy *http_proxy_for(const struct http_client *client, bool tls, struct str host,
                                        uint16_t port)
{
    const struct http_proxy *proxy = tls ? &client->https_proxy : &client->http_proxy;
    if (!proxy->used || is_loopback(host))
        return NULL;
    struct str rest = client->no_proxy;
    while (rest.ptr)
        if (matches(str_trim(str_split(&rest, ',')), host, port))
            return NULL;
    return proxy;
}
