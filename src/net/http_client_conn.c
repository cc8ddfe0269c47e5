#include <openssl/ssl.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/http_client_int.h"

enum { HEADS_KEPT_MAX = 32 };

static struct client_conn *conn_of(struct stream *s)
{
    return (struct client_conn *)s;
}

/* ---- Heads ---- */

static void head_take(struct client_conn *c)
{
    struct http_client *client = c->origin->client;
    if (!c->head) {
        struct client_head *h = client->heads;
        if (h) {
            client->heads = h->next;
            client->head_count--;
        } else {
            h = NEW(struct client_head);
            http_head_init(&h->head);
        }
        c->head = &h->head;
    }
    http_head_reset(c->head);
    http_parser_begin(&c->parser, c->head);
}

static void head_give(struct client_conn *c)
{
    struct http_client *client = c->origin->client;
    struct client_head *h = (struct client_head *)c->head;
    c->head = NULL;
    if (!h)
        return;
    if (client->head_count >= HEADS_KEPT_MAX) {
        http_head_release(&h->head);
        mem_free(h);
        return;
    }
    h->next = client->heads;
    client->heads = h;
    client->head_count++;
}

/* ---- Idle connections ---- */

static void idle_enter(struct client_conn *c)
{
    struct http_origin *o = c->origin;
    c->idle_next = o->idle;
    c->idle_link = &o->idle;
    if (o->idle)
        o->idle->idle_link = &c->idle_next;
    o->idle = c;
    o->idle_count++;
    loop_timer_start(o->client->loop, &c->timer, o->options.idle_timeout_ms);
}

static void idle_leave(struct client_conn *c)
{
    if (!c->idle_link)
        return;
    *c->idle_link = c->idle_next;
    if (c->idle_next)
        c->idle_next->idle_link = c->idle_link;
    c->idle_next = NULL;
    c->idle_link = NULL;
    c->origin->idle_count--;
    loop_timer_stop(&c->timer);
}

/* ---- The end of a connection ---- */

static void on_closed(struct stream *s)
{
    struct client_conn *c = conn_of(s);
    struct http_origin *o = c->origin;
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    mem_free(c);
    http_origin_free_if_over(o);
}

void client_conn_close(struct client_conn *c)
{
    if (c->stream.closing)
        return;
    ASSERT(!c->fetch);
    idle_leave(c);
    head_give(c);
    loop_timer_stop(&c->timer);
    buf_release(&c->stash);
    if (c->state == CLIENT_READY && !c->stream.broken && c->stream.tls) {
        stream_shutdown(&c->stream); /* a TLS goodbye, if the kernel takes it */
        stream_flush_now(&c->stream);
    }
    stream_close(&c->stream);
    if (c->slot) {
        c->slot = false;
        http_origin_release_slot(c->origin);
    }
}

/* ---- Requests ---- */

void client_conn_bind(struct client_conn *c, struct http_fetch *f)
{
    ASSERT(c->state == CLIENT_READY && !c->fetch && !c->stream.closing);
    idle_leave(c);
    c->fetch = f;
    f->conn = c;
    f->dialing = false;
    f->out_mark = stream_taken(&c->stream);
    head_take(c);
    http_fetch_sending(f);
    stream_write(&c->stream, f->head.ptr, f->head.len);
    for (size_t i = 0; i < f->body_count; i++)
        stream_write_external(&c->stream, f->body[i].ptr, f->body[i].len);
    if (f->paused)
        stream_read_stop(&c->stream);
    else
        stream_read_start(&c->stream);
}

bool client_conn_sent(const struct client_conn *c)
{
    return stream_pending(&c->stream) == 0 && !c->stream.write_failed;
}

/* The response is whole: the connection serves the next fetch, waits for one, or closes. */
static void complete(struct client_conn *c, bool keep)
{
    struct http_fetch *f = c->fetch;
    struct http_origin *o = c->origin;
    keep = keep && client_conn_sent(c) && o->refs > 0 && !o->client->dying && !c->stream.broken &&
           !c->eof;
    c->fetch = NULL;
    f->conn = NULL;
    head_give(c);
    if (!keep) {
        client_conn_close(c);
    } else if (o->waiting) {
        struct http_fetch *next = o->waiting;
        http_origin_forget_waiting(next);
        o->reused_total++;
        next->stats.reused = true;
        client_conn_bind(c, next);
    } else {
        stream_read_start(&c->stream);
        idle_enter(c);
    }
    http_fetch_finish(f);
}

/* ---- Responses ---- */

static void fail_parse(struct client_conn *c)
{
    struct http_fetch *f = c->fetch;
    if (c->parser.too_large)
        http_fetch_fail(f, ERR_TOO_LARGE, "the response's head exceeds %zu bytes or %d fields",
                        c->parser.head_bytes_max, HTTP_HEADERS_MAX);
    else
        http_fetch_fail(f, ERR_PROTOCOL, "the response is not valid HTTP: %s",
                        http_parser_mistake(&c->parser));
}

static void on_head(struct client_conn *c)
{
    struct http_fetch *f = c->fetch;
    int status = c->parser.ll.status_code;
    f->informational = status < 200;
    if (status == 101 || status < 100) {
        http_fetch_fail(f, ERR_PROTOCOL, "unexpected status %d", status);
        return;
    }
    if (f->informational)
        return;
    if (f->is_head)
        http_parser_skip_body(&c->parser);
    struct http_response response = {
        .status = status,
        .headers = http_head_fields(c->head),
        .content_length = http_parser_content_length(&c->parser),
    };
    f->phase = HTTP_PHASE_BODY;
    if (f->events->on_head)
        f->events->on_head(f, &response, f->arg);
    head_give(c);
}

/* Parse until the input is used up, the fetch is paused, or it is over. Returns the rest. */
static struct str feed(struct client_conn *c, struct str in)
{
    struct http_fetch *f = c->fetch;
    while (c->fetch == f && !f->paused && !c->stream.closing) {
        struct str piece = STR_NONE;
        switch (http_parser_next(&c->parser, &in, &piece)) {
        case HTTP_PARSE_MORE: return STR_NONE;
        case HTTP_PARSE_HEAD: on_head(c); break;
        case HTTP_PARSE_BODY:
            f->stats.bytes_in += piece.len;
            f->events->on_body(f, piece, f->arg);
            break;
        case HTTP_PARSE_END:
            if (!f->informational) {
                complete(c, in.len == 0 && llhttp_should_keep_alive(&c->parser.ll));
                return STR_NONE;
            }
            head_take(c); /* the real one follows */
            break;
        case HTTP_PARSE_ERROR: fail_parse(c); return STR_NONE;
        }
    }
    return c->fetch == f && !c->stream.closing ? in : STR_NONE;
}

static void keep_rest(struct client_conn *c, struct str rest)
{
    buf_append_str(&c->stash, rest);
    ASSERT(c->stash.error == ERR_OK); /* its maximum is what can come after reading is stopped */
}

static void read_response(struct client_conn *c, struct str bytes)
{
    struct http_fetch *f = c->fetch;
    if (!f) { /* nobody asked */
        client_conn_close(c);
        return;
    }
    http_fetch_progress(f);
    if (f->paused)
        keep_rest(c, bytes);
    else
        keep_rest(c, feed(c, bytes));
}

/* ---- The way through a proxy ---- */

static void start_tls(struct client_conn *c);

static void send_connect(struct client_conn *c)
{
    const struct http_origin *o = c->origin;
    struct buf *out = &o->client->loop->head;
    bool v6 = str_index(o->options.host, ':') >= 0;
    BUF_AUTO struct buf target = {.max = 512};
    buf_printf(&target, v6 ? "[%s]:%u" : "%s:%u", o->host, (unsigned)o->options.port);
    buf_reset(out);
    buf_printf(out, "CONNECT %.*s HTTP/1.1\r\nHost: %.*s\r\n", STR_ARG(buf_str(&target)),
               STR_ARG(buf_str(&target)));
    if (o->proxy->authorization.len > 0)
        buf_printf(out, "Proxy-Authorization: %.*s\r\n", STR_ARG(o->proxy->authorization));
    buf_append(out, "\r\n", 2);
    c->state = CLIENT_PROXY;
    c->fetch->phase = HTTP_PHASE_PROXY;
    head_take(c);
    stream_write(&c->stream, out->ptr, out->len);
    stream_read_start(&c->stream);
}

static void read_proxy(struct client_conn *c, struct str in)
{
    while (!c->stream.closing) {
        struct str piece = STR_NONE;
        int status = 0;
        switch (http_parser_next(&c->parser, &in, &piece)) {
        case HTTP_PARSE_MORE: return;
        case HTTP_PARSE_HEAD:
            status = c->parser.ll.status_code;
            if (status >= 200 && status < 300) {
                http_parser_skip_body(&c->parser);
            } else if (status >= 300) {
                http_fetch_fail(c->fetch, ERR_CONNECT, "the proxy answered CONNECT with %d",
                                status);
                return;
            }
            break;
        case HTTP_PARSE_END:
            if (c->parser.ll.status_code < 200) {
                head_take(c);
                break;
            }
            head_give(c);
            http_parser_init(&c->parser, HTTP_RESPONSE, c->origin->options.head_bytes_max);
            start_tls(c);
            return;
        case HTTP_PARSE_BODY:
        case HTTP_PARSE_ERROR:
            http_fetch_fail(c->fetch, ERR_PROTOCOL, "the proxy's answer is not valid HTTP");
            return;
        }
    }
}

/* ---- TLS ---- */

/* Keep the newest session, for the next connection to resume. */
static void on_session(void *arg, void *session)
{
    struct http_origin *o = arg;
    SSL_SESSION_free(o->session);
    SSL_SESSION_up_ref(session);
    o->session = session;
}

static void start_tls(struct client_conn *c)
{
    struct http_origin *o = c->origin;
    struct tls_start start = {
        .context = o->options.tls_context,
        .host = o->options.host,
        .resume = o->session,
        .on_session = on_session,
        .arg = o,
    };
    c->state = CLIENT_TLS;
    c->fetch->phase = HTTP_PHASE_TLS;
    if (stream_start_tls(&c->stream, &start) != ERR_OK)
        http_fetch_fail(c->fetch, ERR_TLS, "TLS cannot be used with host %s", o->host);
}

/* ---- The stream's events ---- */

static void ready(struct client_conn *c)
{
    struct http_fetch *f = c->fetch;
    loop_timer_stop(&c->timer);
    http_dial_clear(f);
    c->state = CLIENT_READY;
    c->slot = true; /* the fetch's until now */
    c->fetch = NULL;
    c->origin->connects_total++;
    client_conn_bind(c, f);
}

static void on_connected(struct stream *s)
{
    struct client_conn *c = conn_of(s);
    struct http_origin *o = c->origin;
    loop_timer_stop(&c->timer);
    if (o->proxy && o->options.tls)
        send_connect(c);
    else if (o->options.tls)
        start_tls(c);
    else
        ready(c);
}

static void on_secured(struct stream *s)
{
    ready(conn_of(s));
}

static void on_read(struct stream *s, struct str bytes)
{
    struct client_conn *c = conn_of(s);
    if (c->state == CLIENT_PROXY)
        read_proxy(c, bytes);
    else
        read_response(c, bytes);
}

/* The address did not work: take the fetch off and let it try the next one. */
static void connect_failed(struct client_conn *c, enum err error, struct str detail)
{
    struct http_fetch *f = c->fetch;
    BUF_AUTO struct buf copy = {.max = 512};
    buf_append_str(&copy, detail);
    c->fetch = NULL;
    f->conn = NULL;
    client_conn_close(c);
    http_dial_next(f, error, buf_str(&copy));
}

/* The connection ended. With a fetch that is a failure, unless it ends the response. */
static void ended(struct client_conn *c, enum err error, struct str detail)
{
    struct http_fetch *f = c->fetch;
    if (!f) {
        client_conn_close(c);
        return;
    }
    if (c->state == CLIENT_CONNECTING)
        connect_failed(c, error, detail);
    else if (c->state == CLIENT_PROXY)
        http_fetch_fail(f, ERR_CONNECT, "the proxy closed the connection");
    else if (c->state == CLIENT_TLS)
        http_fetch_fail(f, error, "%s: %.*s", c->origin->host, STR_ARG(detail));
    else if (f->stats.first_byte_us == 0)
        http_fetch_fail(f, ERR_RESET, "the connection was closed before the response: %.*s",
                        STR_ARG(detail));
    else
        http_fetch_fail(f, ERR_TRUNCATED, "the connection was lost within the response: %.*s",
                        STR_ARG(detail));
}

static void on_eof(struct stream *s)
{
    struct client_conn *c = conn_of(s);
    c->eof = true;
    if (c->fetch && c->fetch->paused && c->state == CLIENT_READY)
        return; /* looked at again when it is resumed */
    if (c->fetch && c->state == CLIENT_READY && http_parser_finish(&c->parser) == HTTP_PARSE_END)
        complete(c, false);
    else
        ended(c, c->state == CLIENT_TLS ? ERR_TLS : ERR_RESET, STR("end of stream"));
}

static void on_error(struct stream *s, enum err error, struct str detail)
{
    ended(conn_of(s), error, detail);
}

static void on_flushed(struct stream *s)
{
    struct client_conn *c = conn_of(s);
    if (c->state == CLIENT_READY && c->fetch)
        http_fetch_sent(c->fetch);
}

void client_conn_resume(struct client_conn *c)
{
    struct http_fetch *f = c->fetch;
    struct buf held = c->stash;
    buf_init(&c->stash, held.max);
    struct str rest = feed(c, buf_str(&held));
    if (c->fetch == f && !c->stream.closing)
        keep_rest(c, rest);
    buf_release(&held);
    if (c->fetch != f || c->stream.closing || f->paused)
        return;
    if (c->eof)
        on_eof(&c->stream);
    else
        stream_read_start(&c->stream);
}

static void on_blocked(struct stream *s)
{
    struct client_conn *c = conn_of(s);
    if (c->state == CLIENT_READY && c->fetch)
        http_fetch_blocked(c->fetch);
}

static const struct stream_events events = {
    .on_read = on_read,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_blocked = on_blocked,
    .on_connected = on_connected,
    .on_secured = on_secured,
    .on_flushed = on_flushed,
    .on_closed = on_closed,
};

/* ---- Opening ---- */

static void on_timeout(void *arg)
{
    struct client_conn *c = arg;
    if (c->state == CLIENT_CONNECTING)
        connect_failed(c, ERR_TIMEOUT, STR("no answer in time"));
    else
        client_conn_close(c); /* idle */
}

void client_conn_open(struct http_fetch *f, const struct sockaddr *address, uint64_t share_ms)
{
    struct http_origin *o = f->origin;
    struct loop *loop = o->client->loop;
    struct client_conn *c = NEW(struct client_conn);
    c->origin = o;
    c->next = o->conns;
    c->link = &o->conns;
    if (c->next)
        c->next->link = &c->next;
    o->conns = c;
    c->fetch = f;
    f->conn = c;
    buf_init(&c->stash, HTTP_FETCH_PAUSED_BYTES_MAX);
    http_parser_init(&c->parser, HTTP_RESPONSE, o->options.head_bytes_max);
    loop_timer_init(&c->timer, on_timeout, c);
    stream_init(&c->stream, loop, &events);
    if (share_ms > 0)
        loop_timer_start(loop, &c->timer, share_ms);
    enum err e = stream_connect(&c->stream, address);
    if (e != ERR_OK)
        connect_failed(c, e, STR("the address cannot be connected to"));
}
