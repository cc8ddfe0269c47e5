/* The page at /: web/, built by esbuild and embedded. Public, for it holds nothing: what it shows
 * it asks the native API for, with the key that its user signs in with. */
#include "api/api_int.h"
#include "base/embed.h"
#include "codec/crc32c.h"

EMBED(page_html, WEB_DIR "/index.html");
EMBED(page_js, WEB_DIR "/page.js");
EMBED(page_css, WEB_DIR "/page.css");

/* Nothing is fetched from elsewhere, nothing inline runs, nobody frames it. */
#define POLICY                                                                                     \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "              \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static void send(struct api_request *r, struct str type, struct str body)
{
    char tag[16];
    int len = snprintf(tag, sizeof tag, "\"%08x\"", crc32c(0, body.ptr, body.len));
    struct str etag = str_of(tag, (size_t)len);
    struct http_header headers[] = {
        HTTP_HEADER("content-type", type),
        HTTP_HEADER("cache-control", STR("no-cache")), /* ask each time: 304 is cheap */
        HTTP_HEADER("etag", etag),
        HTTP_HEADER("content-security-policy", STR(POLICY)),
        HTTP_HEADER("x-content-type-options", STR("nosniff")),
        HTTP_HEADER("referrer-policy", STR("no-referrer")),
    };
    bool known = str_eq(http_headers_get(&r->x->headers, STR("if-none-match")), etag);
    http_respond_with(r->x, known ? 304 : 200, headers, sizeof headers / sizeof headers[0],
                      known ? STR_NONE : body);
}

void api_page(struct api_request *r)
{
    send(r, STR("text/html; charset=utf-8"), EMBEDDED(page_html));
}

void api_page_js(struct api_request *r)
{
    send(r, STR("text/javascript; charset=utf-8"), EMBEDDED(page_js));
}

void api_page_css(struct api_request *r)
{
    send(r, STR("text/css; charset=utf-8"), EMBEDDED(page_css));
}
