#include <openssl/ssl.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/http_client_int.h"

enum { AUTHORITY_BYTES_MAX = 320, HEAD_BYTES_DEFAULT = 64 << 10 };

/* ---- Opening ---- */

/* A host goes into Host:, into CONNECT and to the resolver: names, addresses, nothing else. */
static bool host_valid(struct str host)
{
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.ptr[i];
        if (c <= ' ' || c >= 0x7f || strchr("/\\@?#[]\"", c))
            return false;
    }
    return host.len > 0 && host.len <= 255;
}

static void fill_defaults(struct http_origin_options *o)
{
    if (o->connections_max == 0)
        o->connections_max = HTTP_ORIGIN_CONNECTIONS;
    if (o->waiting_max == 0)
        o->waiting_max = HTTP_ORIGIN_WAITING;
    if (o->idle_timeout_ms == 0)
        o->idle_timeout_ms = HTTP_ORIGIN_IDLE_MS;
    if (o->head_bytes_max == 0)
        o->head_bytes_max = HEAD_BYTES_DEFAULT;
}

static bool same(const struct http_origin_options *a, const struct http_origin_options *b)
{
    return a->tls == b->tls && str_eq_nocase(a->host, b->host) && a->port == b->port &&
           a->tls_context == b->tls_context && a->connections_max == b->connections_max &&
           a->waiting_max == b->waiting_max && a->idle_timeout_ms == b->idle_timeout_ms &&
           a->head_bytes_max == b->head_bytes_max && a->public_only == b->public_only;
}

static void write_authority(struct http_origin *o)
{
    bool v6 = str_index(o->options.host, ':') >= 0;
    buf_init(&o->authority, AUTHORITY_BYTES_MAX);
    buf_printf(&o->authority, v6 ? "[%s]" : "%s", o->host);
    if (o->options.port != (o->options.tls ? 443 : 80))
        buf_printf(&o->authority, ":%u", (unsigned)o->options.port);
}

static enum err choose_tls(struct http_client *client, struct http_origin_options *options)
{
    if (!options->tls || options->tls_context)
        return ERR_OK;
    static const struct tls_client_options system = {.ca_file = STR_INIT("")};
    if (!client->tls)
        TRY(tls_client_context_new(&system, NULL, &client->tls));
    options->tls_context = client->tls;
    return ERR_OK;
}

enum err http_origin_open(struct http_client *client, const struct http_origin_options *options,
                          struct http_origin **ret_origin)
{
    struct http_origin_options wanted = *options;
    if (!host_valid(wanted.host) || wanted.port == 0)
        return ERR_INVALID;
    fill_defaults(&wanted);
    TRY(choose_tls(client, &wanted));
    for (struct http_origin *o = client->origins; o; o = o->next)
        if (same(&o->options, &wanted)) {
            o->refs++;
            *ret_origin = o;
            return ERR_OK;
        }
    struct http_origin *o = NEW(struct http_origin);
    o->client = client;
    o->options = wanted;
    o->host = mem_strdup(wanted.host.ptr, wanted.host.len);
    o->options.host = str_of(o->host, wanted.host.len);
    o->options.tls_context = tls_context_ref(wanted.tls_context);
    if (!wanted.public_only)
        o->proxy = http_proxy_for(client, wanted.tls, o->options.host, wanted.port);
    o->refs = 1;
    o->waiting_tail = &o->waiting;
    write_authority(o);
    o->next = client->origins;
    client->origins = o;
    *ret_origin = o;
    return ERR_OK;
}

void http_origin_close_idle(struct http_origin *o)
{
    while (o->idle)
        client_conn_close(o->idle);
}

void http_origin_close(struct http_origin *origin)
{
    ASSERT(origin->refs > 0);
    origin->refs--;
    if (origin->refs == 0) {
        http_origin_close_idle(origin);
        http_origin_free_if_over(origin);
    }
}

void http_origin_free_if_over(struct http_origin *o)
{
    struct http_client *client = o->client;
    if (o->refs > 0 || o->conns || o->fetches || o->open > 0)
        return;
    struct http_origin **link = &client->origins;
    while (*link != o)
        link = &(*link)->next;
    *link = o->next;
    SSL_SESSION_free(o->session);
    tls_context_unref(o->options.tls_context);
    buf_release(&o->authority);
    mem_free(o->host);
    mem_free(o);
    http_client_free_if_over(client);
}

/* ---- Who gets a connection ---- */

static void wait_for_slot(struct http_origin *o, struct http_fetch *f)
{
    f->phase = HTTP_PHASE_WAIT;
    f->next = NULL;
    f->link = o->waiting_tail;
    *o->waiting_tail = f;
    o->waiting_tail = &f->next;
    o->waiting_count++;
}

void http_origin_forget_waiting(struct http_fetch *f)
{
    struct http_origin *o = f->origin;
    *f->link = f->next;
    if (f->next)
        f->next->link = f->link;
    else
        o->waiting_tail = f->link;
    f->next = NULL;
    f->link = NULL;
    o->waiting_count--;
}

static void dial(struct http_origin *o, struct http_fetch *f)
{
    o->open++;
    http_dial_start(f);
}

enum err http_origin_admit(struct http_origin *o, struct http_fetch *f)
{
    if (o->idle && !f->stats.resent) {
        o->reused_total++;
        client_conn_bind(o->idle, f);
        return ERR_OK;
    }
    if (o->open >= o->options.connections_max && o->idle)
        client_conn_close(o->idle); /* a retry wants a fresh one */
    if (o->open < o->options.connections_max) {
        dial(o, f);
        return ERR_OK;
    }
    if (o->waiting_count >= o->options.waiting_max)
        return ERR_BUSY;
    wait_for_slot(o, f);
    return ERR_OK;
}

void http_origin_release_slot(struct http_origin *o)
{
    ASSERT(o->open > 0);
    o->open--;
    if (o->waiting && o->open < o->options.connections_max && !o->client->dying) {
        struct http_fetch *f = o->waiting;
        http_origin_forget_waiting(f);
        dial(o, f);
    }
}

/* ---- Looking ---- */

void http_origin_stats(const struct http_origin *origin, struct http_origin_stats *ret_stats)
{
    *ret_stats = (struct http_origin_stats){
        .connections = origin->open,
        .idle = origin->idle_count,
        .waiting = origin->waiting_count,
        .connects_total = origin->connects_total,
        .reused_total = origin->reused_total,
    };
}
