#include "base/mem.h"
#include "net/guard.h"
#include "net/http_client_int.h"

enum { SHARE_MIN_MS = 250 }; /* the least that one of several addresses gets to answer */

/* Where the socket goes: the proxy, or the origin itself. */
static struct str dial_host(const struct http_origin *o)
{
    return o->proxy ? o->proxy->host : o->options.host;
}

static uint16_t dial_port(const struct http_origin *o)
{
    return o->proxy ? o->proxy->port : o->options.port;
}

void http_dial_start(struct http_fetch *f)
{
    f->dialing = true;
    f->phase = HTTP_PHASE_DNS;
    f->dial.deadline_us =
        f->timeouts.connect_ms ? f->stats.start_us + f->timeouts.connect_ms * 1000ull : 0;
    http_fetch_step_later(f, FETCH_STEP_DIAL);
}

void http_dial_clear(struct http_fetch *f)
{
    if (f->dial.lookup) {
        f->dial.lookup->data = NULL; /* its callback only frees */
        uv_cancel((uv_req_t *)f->dial.lookup);
    }
    uv_freeaddrinfo(f->dial.addresses);
    f->dial = (struct dial){0};
}

/* All of a name's addresses, before the first is dialled: a name that mixes them is up to no good.
 */
static bool may_dial(struct http_fetch *f)
{
    bool all =
        !f->dial.numeric_left || guard_address_is_public((const struct sockaddr *)&f->dial.numeric);
    if (!f->origin->options.public_only)
        return true;
    for (const struct addrinfo *a = f->dial.addresses; a; a = a->ai_next)
        all = all && guard_address_is_public(a->ai_addr);
    if (!all)
        http_fetch_fail(f, ERR_ACCESS, "%.*s is not on the public internet",
                        STR_ARG(f->origin->options.host));
    return all;
}

static void on_lookup(uv_getaddrinfo_t *req, int rc, struct addrinfo *addresses)
{
    struct http_fetch *f = req->data;
    mem_free(req);
    if (!f) {
        uv_freeaddrinfo(addresses);
        return;
    }
    loop_touch(f->client->loop);
    f->dial.lookup = NULL;
    if (rc != 0) {
        http_fetch_fail(f, ERR_DNS, "%s%.*s does not resolve: %s", f->origin->proxy ? "proxy " : "",
                        STR_ARG(dial_host(f->origin)), uv_strerror(rc));
        return;
    }
    f->dial.addresses = f->dial.next = addresses;
    if (may_dial(f))
        http_dial_next(f, ERR_DNS, STR("the name has no address"));
}

/* The host as an address, without asking anybody. */
static bool numeric(struct dial *dial, const char *host, uint16_t port)
{
    if (uv_ip6_addr(host, port, &dial->numeric) == 0)
        return true;
    return uv_ip4_addr(host, port, (struct sockaddr_in *)&dial->numeric) == 0;
}

void http_dial_begin(struct http_fetch *f)
{
    struct http_origin *o = f->origin;
    BUF_AUTO struct buf host = {.max = 512};
    char port[8];
    buf_append_str(&host, dial_host(o));
    const char *name = buf_cstr(&host);
    (void)snprintf(port, sizeof port, "%u", (unsigned)dial_port(o));
    if (numeric(&f->dial, name, dial_port(o))) {
        f->dial.numeric_left = true;
        if (may_dial(f))
            http_dial_next(f, ERR_CONNECT, STR_NONE);
        return;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    uv_getaddrinfo_t *req = NEW(uv_getaddrinfo_t);
    req->data = f;
    int rc = uv_getaddrinfo(loop_uv(f->client->loop), req, on_lookup, name, port, &hints);
    if (rc != 0) {
        mem_free(req);
        http_fetch_fail(f, ERR_DNS, "%.*s does not resolve: %s", STR_ARG(dial_host(o)),
                        uv_strerror(rc));
        return;
    }
    f->dial.lookup = req;
}

static uint64_t share_ms(const struct http_fetch *f)
{
    if (f->dial.deadline_us == 0)
        return 0;
    uint64_t now = loop_now_us(f->client->loop);
    uint64_t left_ms = f->dial.deadline_us > now ? (f->dial.deadline_us - now) / 1000 : 0;
    unsigned left = 1;
    for (const struct addrinfo *a = f->dial.next; a; a = a->ai_next)
        left++;
    uint64_t share = left_ms / left;
    return left > 1 && share < SHARE_MIN_MS ? SHARE_MIN_MS : share;
}

void http_dial_next(struct http_fetch *f, enum err error, struct str detail)
{
    const struct sockaddr *address = NULL;
    if (f->dial.numeric_left) {
        f->dial.numeric_left = false;
        address = (const struct sockaddr *)&f->dial.numeric;
    } else if (f->dial.next) {
        address = f->dial.next->ai_addr;
        f->dial.next = f->dial.next->ai_next;
    }
    if (!address) {
        const struct http_origin *o = f->origin;
        http_fetch_fail(f, error, "%s%.*s:%u: %.*s", o->proxy ? "proxy " : "",
                        STR_ARG(dial_host(o)), (unsigned)dial_port(o), STR_ARG(detail));
        return;
    }
    f->phase = HTTP_PHASE_CONNECT;
    client_conn_open(f, address, share_ms(f));
}
