#include "base/assert.h"
#include "base/mem.h"
#include "net/http_server_int.h"

enum {
    EXCHANGES_KEPT_MAX = 64,    /* free ones that a loop keeps */
    BODY_KEPT_BYTES = 16 << 10, /* buffer for bodies that a free exchange keeps */
    BODY_FIRST_BYTES = 1 << 20, /* reserved at once for a body of announced length */
    LINGER_MS = 2000,           /* how long a client may go on sending after a refusal */
    LINGER_BYTES_MAX = 4 << 20,
};

static struct http_conn *conn_of(struct stream *s)
{
    return (struct http_conn *)s;
}

/* ---- Exchanges ---- */

static struct exchange *exchange_take(struct server_half *half)
{
    struct exchange *ex = half->free;
    if (ex) {
        half->free = ex->next_free;
        half->free_count--;
        return ex;
    }
    ex = NEW(struct exchange);
    arena_init(&ex->arena);
    http_head_init(&ex->head);
    buf_init(&ex->body, SIZE_MAX / 2); /* the limit is checked while reading */
    return ex;
}

void exchange_free(struct exchange *ex)
{
    arena_release(&ex->arena);
    http_head_release(&ex->head);
    buf_release(&ex->body);
    mem_free(ex);
}

static void exchange_give(struct server_half *half, struct exchange *ex)
{
    half->body_bytes -= ex->body.len;
    if (half->free_count >= EXCHANGES_KEPT_MAX) {
        exchange_free(ex);
        return;
    }
    arena_reset(&ex->arena);
    http_head_reset(&ex->head);
    buf_reset(&ex->body);
    if (ex->body.cap > BODY_KEPT_BYTES)
        buf_release(&ex->body);
    *ex = (struct exchange){.arena = ex->arena, .head = ex->head, .body = ex->body};
    ex->next_free = half->free;
    half->free = ex;
    half->free_count++;
}

static void exchange_begin(struct http_conn *c, uint64_t start_us)
{
    struct exchange *ex = exchange_take(c->half);
    c->ex = ex;
    ex->x.conn = c;
    ex->x.loop = c->half->loop;
    ex->x.arena = &ex->arena;
    ex->x.start_us = start_us;
    ex->x.is_loopback = c->is_loopback;
    ex->x.is_tls = c->stream.tls != NULL;
    ex->x.body_bytes_max = c->half->limits.body_bytes_max;
    c->keep_alive = false; /* until the head says so */
    http_parser_begin(&c->parser, &ex->head);
    loop_timer_stop(&c->timer);
    counter_add(&c->half->counters.exchanges, 1);
    counter_add(&c->half->counters.exchanges_total, 1);
}

/* ---- The end of connections ---- */

static void conn_free_if_over(struct http_conn *c)
{
    if (!c->closed || c->ex || c->advance_queued)
        return;
    struct server_half *half = c->half;
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    half->conn_count--;
    counter_add(&half->counters.connections, (uint64_t)-1);
    mem_free(c);
    server_half_conn_gone(half);
}

static void count_output(struct http_conn *c)
{
    uint64_t taken = stream_taken(&c->stream);
    counter_add(&c->half->counters.bytes_out, taken - c->output_counted);
    c->output_counted = taken;
}

static void conn_close(struct http_conn *c)
{
    if (c->stream.closing)
        return;
    loop_timer_stop(&c->timer);
    loop_timer_stop(&c->write_timer);
    buf_release(&c->stash);
    count_output(c);
    stream_close(&c->stream);
}

/* Close after a response. TLS says goodbye, so that a body ended by the close is known to be whole;
 * after an abort it does not. */
static void conn_end(struct http_conn *c, bool aborted)
{
    if (c->stream.tls && !aborted) {
        stream_shutdown(&c->stream);
        stream_flush_now(&c->stream);
    }
    conn_close(c);
}

static void on_closed(struct stream *s)
{
    struct http_conn *c = conn_of(s);
    c->closed = true;
    conn_free_if_over(c);
}

/* Close our half, then throw away what the client still sends until it has closed too: closing at
 * once would reset the connection and take the response away from a client that is still sending.
 */
static void linger(struct http_conn *c)
{
    c->lingering = true;
    stream_shutdown(&c->stream);
    stream_read_start(&c->stream);
    loop_timer_start(c->half->loop, &c->timer, LINGER_MS);
}

static void exchange_finish(struct http_conn *c)
{
    struct exchange *ex = c->ex;
    bool whole = ex->complete;
    bool aborted = ex->aborted;
    if (ex->announced && ex->x.on_done)
        ex->x.on_done(&ex->x);
    c->ex = NULL;
    counter_add(&c->half->counters.exchanges, (uint64_t)-1);
    exchange_give(c->half, ex);
    /* Where another process serves on, a promise to keep the connection is kept: its client may
     * be sending. */
    bool drain = c->half->draining && c->half->grace_ms == 0;
    bool close = aborted || c->eof || (c->keep_alive ? drain : whole);
    if (c->stream.closing)
        conn_free_if_over(c);
    else if (close)
        conn_end(c, aborted);
    else if (!c->keep_alive)
        linger(c);
    else if (c->stash.len > 0)
        http_conn_advance_later(c);
    else
        loop_timer_start(c->half->loop, &c->timer,
                         c->half->grace_ms ? c->half->grace_ms : c->half->limits.idle_timeout_ms);
}

/* The client is not there any more. */
static void conn_gone(struct http_conn *c)
{
    struct exchange *ex = c->ex;
    bool whole = ex && ex->ended && stream_pending(&c->stream) == 0;
    conn_close(c);
    if (!ex)
        return;
    if (ex->announced && !whole)
        counter_add(&c->half->counters.gone, 1);
    ex->x.gone = true;
    if (!ex->owned || ex->ended) {
        exchange_finish(c);
        return;
    }
    if (ex->x.on_gone)
        ex->x.on_gone(&ex->x);
}

void http_conn_break(struct http_conn *c)
{
    conn_gone(c);
}

void http_conn_destroy(struct http_conn *c)
{
    if (!c->stream.closing)
        conn_gone(c);
    if (c->ex && !c->advance_queued) {
        c->ex->ended = true;
        http_conn_advance_later(c);
    }
}

/* ---- Reading requests ---- */

static void refuse(struct http_conn *c, int status, const char *code, struct str message)
{
    struct exchange *ex = c->ex;
    c->keep_alive = false;
    ex->deaf = true;
    if (ex->responded || ex->ended) {
        /* The response has begun already and cannot say what is wrong, but it still leaves. */
        http_conn_advance_later(c);
        return;
    }
    counter_add(&c->half->counters.bad_requests, 1);
    ex->owned = false;
    stream_read_stop(&c->stream);
    http_respond_refusal(&ex->x, status, code, message);
}

static void refuse_broken(struct http_conn *c)
{
    if (c->parser.too_large && !c->parser.in_body) {
        BUF_AUTO struct buf message = {.max = 256};
        buf_printf(&message, "the request line and headers exceed %zu bytes or %d fields",
                   c->parser.head_bytes_max, HTTP_HEADERS_MAX);
        refuse(c, 431, "headers_too_large", buf_str(&message));
        return;
    }
    BUF_AUTO struct buf message = {.max = 256};
    buf_printf(&message, "the request is not valid HTTP: %s", http_parser_mistake(&c->parser));
    refuse(c, 400, "bad_request", buf_str(&message));
}

static void refuse_body(struct http_conn *c)
{
    BUF_AUTO struct buf message = {.max = 256};
    buf_printf(&message, "the request's body exceeds %zu bytes", c->ex->x.body_bytes_max);
    refuse(c, 413, "body_too_large", buf_str(&message));
}

/* "/path?query", or the absolute form that proxies get: its scheme and host are cut off. */
static void split_target(struct http_exchange *x)
{
    struct str target = x->target;
    if (target.len > 0 && target.ptr[0] != '/') {
        ptrdiff_t scheme = str_find(target, STR("://"));
        struct str rest = scheme < 0 ? target : str_skip(target, (size_t)scheme + 3);
        ptrdiff_t slash = str_index(rest, '/');
        if (scheme >= 0)
            target = slash < 0 ? STR("/") : str_skip(rest, (size_t)slash);
    }
    x->query = target;
    x->path = str_split(&x->query, '?');
}

/* What llhttp lets pass although it cannot be served safely. Returns true when refused. */
static bool refuse_framing(struct http_conn *c)
{
    struct http_exchange *x = &c->ex->x;
    const llhttp_t *ll = &c->parser.ll;
    size_t hosts = http_headers_count(&x->headers, STR("host"));
    struct str coding = http_headers_get(&x->headers, STR("transfer-encoding"));
    if (ll->http_major != 1 || ll->http_minor > 1)
        refuse(c, 505, "http_version", STR("only HTTP/1.0 and HTTP/1.1 are spoken here"));
    else if (ll->method == HTTP_CONNECT)
        refuse(c, 405, "method_not_allowed", STR("this is not a proxy: CONNECT is not served"));
    else if (hosts > 1 || (hosts == 0 && ll->http_minor == 1))
        refuse(c, 400, "bad_host", STR("the request needs exactly one Host field"));
    else if (coding.ptr && ll->http_minor == 0)
        refuse(c, 400, "bad_request", STR("HTTP/1.0 has no Transfer-Encoding"));
    else if (coding.ptr && (!str_eq_nocase(coding, STR("chunked")) ||
                            http_headers_count(&x->headers, STR("transfer-encoding")) > 1))
        refuse(c, 501, "transfer_encoding",
               STR("the only Transfer-Encoding understood is `chunked`"));
    else
        return false;
    return true;
}

static void fill_request(struct http_conn *c)
{
    struct exchange *ex = c->ex;
    struct http_exchange *x = &ex->x;
    x->method = str_from_c(llhttp_method_name(c->parser.ll.method));
    x->target = str_of(ex->head.text.ptr, ex->head.target_len);
    x->headers = http_head_fields(&ex->head);
    x->minor = c->parser.ll.http_minor;
    bool chunked = http_parser_chunked(&c->parser);
    int64_t length = http_parser_content_length(&c->parser);
    x->content_length = chunked ? -1 : length < 0 ? 0 : length;
    split_target(x);
    ex->no_body = c->parser.ll.method == HTTP_HEAD;
    c->keep_alive = llhttp_should_keep_alive(&c->parser.ll) != 0;
    ex->expects = x->minor > 0 && x->content_length != 0 &&
                  http_headers_has_token(&x->headers, STR("expect"), STR("100-continue"));
}

/* The head is there: ask the handler, then for the body. */
static void on_head(struct http_conn *c)
{
    struct exchange *ex = c->ex;
    struct http_exchange *x = &ex->x;
    fill_request(c);
    if (refuse_framing(c))
        return;
    ex->announced = true;
    if (c->half->handler.on_headers)
        c->half->handler.on_headers(x, c->half->handler.arg);
    if (ex->responded || ex->ended) {
        ex->ignore_body = true;
        return;
    }
    if (x->content_length > 0 && (uint64_t)x->content_length > x->body_bytes_max)
        refuse_body(c);
    else if (ex->expects)
        stream_write(&c->stream, "HTTP/1.1 100 Continue\r\n\r\n", 25);
}

static void on_body(struct http_conn *c, struct str piece)
{
    struct exchange *ex = c->ex;
    if (ex->ignore_body)
        return;
    if (piece.len > ex->x.body_bytes_max - ex->body.len) {
        refuse_body(c);
        return;
    }
    if (piece.len > c->half->limits.bodies_bytes_max - c->half->body_bytes) {
        refuse(c, 503, "busy", STR("too many large requests are being handled; try again later"));
        return;
    }
    c->half->body_bytes += piece.len;
    if (ex->body.len == 0 && ex->x.content_length > 0) {
        size_t length = (size_t)ex->x.content_length;
        (void)buf_reserve(&ex->body, length < BODY_FIRST_BYTES ? length : BODY_FIRST_BYTES);
    }
    buf_append_str(&ex->body, piece);
    ASSERT(ex->body.error == ERR_OK);
}

static void on_complete(struct http_conn *c)
{
    struct exchange *ex = c->ex;
    ex->complete = true;
    if (ex->ignore_body) {
        http_conn_advance_later(c); /* the response may have left already */
        return;
    }
    ex->owned = true;
    ex->x.body = buf_str(&ex->body);
    c->half->handler.on_request(&ex->x, c->half->handler.arg);
}

/* Does the connection want request bytes now? Not while a request is handled or was refused. */
static bool wants_bytes(const struct http_conn *c)
{
    const struct exchange *ex = c->ex;
    return !c->stream.closing && !c->lingering && (!ex || (!ex->complete && !ex->deaf));
}

/* Parse until the input is used up or the connection does not want more. Returns the rest. */
static struct str parse(struct http_conn *c, struct str in, uint64_t start_us)
{
    while (wants_bytes(c)) {
        if (!c->ex) {
            /* Empty lines between requests are tolerated (RFC 9112 §2.2). */
            while (in.len > 0 && (in.ptr[0] == '\r' || in.ptr[0] == '\n'))
                in = str_skip(in, 1);
            if (in.len == 0)
                break;
            exchange_begin(c, start_us);
        }
        struct str piece = STR_NONE;
        switch (http_parser_next(&c->parser, &in, &piece)) {
        case HTTP_PARSE_MORE: return STR_NONE;
        case HTTP_PARSE_HEAD: on_head(c); break;
        case HTTP_PARSE_BODY: on_body(c, piece); break;
        case HTTP_PARSE_END: on_complete(c); break;
        case HTTP_PARSE_ERROR: refuse_broken(c); break;
        }
    }
    return in;
}

/* What is being waited for decides the timer. */
static void set_timer(struct http_conn *c, bool progress)
{
    struct exchange *ex = c->ex;
    if (!ex || c->stream.closing)
        return;
    const struct http_limits *limits = &c->half->limits;
    if (ex->complete || ex->deaf)
        loop_timer_stop(&c->timer);
    else if (!c->parser.in_body && !loop_timer_running(&c->timer))
        loop_timer_start(c->half->loop, &c->timer, limits->head_timeout_ms);
    else if (c->parser.in_body && progress)
        loop_timer_start(c->half->loop, &c->timer, limits->body_idle_ms);
}

/* Keep what came while a request is handled; when it is too much, stop reading. */
static void stash(struct http_conn *c, struct str rest)
{
    const struct exchange *ex = c->ex;
    bool last = ex && !c->keep_alive && (ex->complete || ex->deaf);
    if (rest.len == 0 || c->stream.closing || last)
        return;
    if (c->stash.len == 0)
        c->stash_us = loop_now_us(c->half->loop);
    buf_append_str(&c->stash, rest);
    ASSERT(c->stash.error == ERR_OK);
    if (c->stash.len >= c->half->limits.pipelined_bytes_max)
        stream_read_stop(&c->stream);
}

static void on_read(struct stream *s, struct str bytes)
{
    struct http_conn *c = conn_of(s);
    counter_add(&c->half->counters.bytes_in, bytes.len);
    if (c->lingering) {
        c->linger_bytes += bytes.len;
        if (c->linger_bytes > LINGER_BYTES_MAX)
            conn_close(c);
        return;
    }
    if (c->stash.len > 0) {
        stash(c, bytes);
        return;
    }
    struct str rest = parse(c, bytes, loop_now_us(c->half->loop));
    set_timer(c, true);
    stash(c, rest);
}

/* Requests that were read ahead. */
static void parse_stash(struct http_conn *c)
{
    struct buf held = c->stash;
    buf_init(&c->stash, held.max);
    struct str rest = parse(c, buf_str(&held), c->stash_us);
    set_timer(c, true);
    stash(c, rest);
    buf_release(&held);
    if (!c->stream.closing && !c->lingering && c->stash.len < c->half->limits.pipelined_bytes_max)
        stream_read_start(&c->stream);
    if (!c->stream.closing && !c->ex)
        loop_timer_start(c->half->loop, &c->timer, c->half->limits.idle_timeout_ms);
}

/* ---- Events ---- */

static bool exchange_over(const struct http_conn *c)
{
    const struct exchange *ex = c->ex;
    if (!ex || !ex->ended)
        return false;
    if (c->stream.closing || ex->aborted)
        return true;
    return stream_pending(&c->stream) == 0 && (ex->complete || !c->keep_alive);
}

static void advance(void *arg)
{
    struct http_conn *c = arg;
    c->advance_queued = false;
    if (c->overflow && !c->stream.closing)
        conn_gone(c);
    if (exchange_over(c))
        exchange_finish(c);
    else if (c->closed)
        conn_free_if_over(c);
    else if (!c->ex && c->stash.len > 0 && !c->stream.closing && !c->lingering)
        parse_stash(c);
}

void http_conn_advance_later(struct http_conn *c)
{
    if (c->advance_queued)
        return;
    c->advance_queued = true;
    loop_defer(c->half->loop, &c->advance);
}

static void on_flushed(struct stream *s)
{
    struct http_conn *c = conn_of(s);
    loop_timer_stop(&c->write_timer);
    count_output(c);
    if (exchange_over(c))
        exchange_finish(c);
}

static void on_drain(struct stream *s)
{
    struct http_conn *c = conn_of(s);
    if (c->ex && !c->ex->ended && c->ex->x.on_drain)
        c->ex->x.on_drain(&c->ex->x);
}

static void on_blocked(struct stream *s)
{
    struct http_conn *c = conn_of(s);
    c->write_mark = stream_taken(s);
    loop_timer_start(c->half->loop, &c->write_timer, c->half->limits.write_timeout_ms);
}

static void on_eof(struct stream *s)
{
    struct http_conn *c = conn_of(s);
    c->eof = true;
    c->keep_alive = false;
    if (c->ex && c->ex->ended && stream_pending(s) > 0)
        return; /* the response still leaves */
    conn_gone(c);
}

static void on_error(struct stream *s, enum err error, struct str detail)
{
    (void)error, (void)detail;
    conn_gone(conn_of(s));
}

static void on_secured(struct stream *s)
{
    struct http_conn *c = conn_of(s);
    loop_timer_start(c->half->loop, &c->timer, c->half->limits.idle_timeout_ms);
}

static const struct stream_events events = {
    .on_read = on_read,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_secured = on_secured,
    .on_blocked = on_blocked,
    .on_drain = on_drain,
    .on_flushed = on_flushed,
    .on_closed = on_closed,
};

/* ---- Timers ---- */

static void on_timeout(void *arg)
{
    struct http_conn *c = arg;
    if (!c->ex || c->lingering) {
        conn_close(c); /* idle, TLS handshake, lingering */
        return;
    }
    if (c->parser.in_body)
        refuse(c, 408, "body_timeout", STR("the request's body stopped coming"));
    else
        refuse(c, 408, "header_timeout", STR("the request's headers took too long"));
}

static void on_write_timeout(void *arg)
{
    struct http_conn *c = arg;
    if (stream_taken(&c->stream) == c->write_mark)
        conn_gone(c);
    else
        on_blocked(&c->stream);
}

/* ---- Life ---- */

static struct http_conn *conn_alloc(struct server_half *half)
{
    struct http_conn *c = NEW(struct http_conn);
    c->half = half;
    c->next = half->conns;
    c->link = &half->conns;
    if (c->next)
        c->next->link = &c->next;
    half->conns = c;
    half->conn_count++;
    counter_add(&half->counters.connections, 1);
    counter_add(&half->counters.connections_total, 1);
    http_parser_init(&c->parser, HTTP_REQUEST, half->limits.head_bytes_max);
    loop_timer_init(&c->timer, on_timeout, c);
    loop_timer_init(&c->write_timer, on_write_timeout, c);
    loop_task_init(&c->advance, advance, c);
    buf_init(&c->stash, half->limits.pipelined_bytes_max + 2 * LOOP_READ_BYTES);
    return c;
}

struct http_conn *http_conn_new(struct server_half *half)
{
    struct http_conn *c = conn_alloc(half);
    stream_init(&c->stream, half->loop, &events);
    c->stream.low_bytes = half->limits.pending_low_bytes;
    return c;
}

struct http_conn *http_conn_new_memory(struct server_half *half, struct buf *out)
{
    struct http_conn *c = conn_alloc(half);
    stream_init_memory(&c->stream, half->loop, &events, out);
    c->stream.low_bytes = half->limits.pending_low_bytes;
    return c;
}

void http_conn_start(struct http_conn *c)
{
    const struct http_limits *limits = &c->half->limits;
    if (c->half->tls) {
        struct tls_start start = {.context = c->half->tls, .server = true};
        if (stream_start_tls(&c->stream, &start) != ERR_OK) {
            conn_close(c);
            return;
        }
        loop_timer_start(c->half->loop, &c->timer, limits->head_timeout_ms);
        return;
    }
    loop_timer_start(c->half->loop, &c->timer, limits->idle_timeout_ms);
    stream_read_start(&c->stream);
}
