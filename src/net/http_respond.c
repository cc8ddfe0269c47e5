#include <stdio.h>
#include <time.h>

#include "base/assert.h"
#include "net/http_server_int.h"
#include "os/clock.h"

enum { DISCARD_BYTES_MAX = 64 << 10 }; /* an unwanted body that is read to keep the connection */

static struct exchange *exchange_of(struct http_exchange *x)
{
    return (struct exchange *)x;
}

/* ---- The head ---- */

/* RFC 9110 §5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT"; written once a second. */
static struct str date_field(struct server_half *half)
{
    uint64_t now_s = (uint64_t)os_wall_us() / 1000000;
    if (now_s != half->date_s) {
        static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        time_t t = (time_t)now_s;
        struct tm tm;
        gmtime_r(&t, &tm);
        (void)snprintf(half->date, sizeof half->date,
                       "Date: %s, %02u %s %04u %02u:%02u:%02u GMT\r\n", days[tm.tm_wday],
                       (unsigned)tm.tm_mday % 100, months[tm.tm_mon],
                       (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
                       (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
        half->date_s = now_s;
    }
    return str_from_c(half->date);
}

static void write_fields(struct buf *out, const struct http_header *headers, size_t count,
                         bool *ret_has_date)
{
    *ret_has_date = false;
    for (size_t i = 0; i < count; i++) {
        const struct http_header *h = &headers[i];
        if (http_field_is_framing(h->name) || !http_header_valid(h))
            continue;
        *ret_has_date |= str_eq_nocase(h->name, STR("date"));
        buf_append_str(out, h->name);
        buf_append(out, ": ", 2);
        buf_append_str(out, h->value);
        buf_append(out, "\r\n", 2);
    }
}

static void write_status(struct buf *out, int status)
{
    if (status == 200) {
        buf_append_str(out, STR("HTTP/1.1 200 OK\r\n"));
        return;
    }
    buf_append_str(out, STR("HTTP/1.1 "));
    buf_append_u64(out, (uint64_t)status);
    buf_append_char(out, ' ');
    buf_append_str(out, http_status_reason(status));
    buf_append(out, "\r\n", 2);
}

/* How the body's end is told, and whether the connection is kept. */
static void choose_framing(struct exchange *ex, int status, int64_t content_length)
{
    struct http_conn *c = ex->x.conn;
    bool bodiless = status == 204 || status == 304;
    ex->no_body |= bodiless;
    ex->body_left = content_length;
    ex->chunked = content_length == HTTP_CHUNKED && ex->x.minor > 0 && !bodiless;
    if (content_length == HTTP_CHUNKED && ex->x.minor == 0 && !ex->no_body)
        c->keep_alive = false; /* the close ends the body */
    if (c->half->draining)
        c->keep_alive = false;
    if (!ex->complete &&
        (ex->expects || ex->x.content_length < 0 || ex->x.content_length > DISCARD_BYTES_MAX))
        c->keep_alive = false; /* the request's body is not worth reading */
}

static void write_framing(struct buf *out, const struct exchange *ex, int status,
                          int64_t content_length)
{
    if (ex->chunked)
        buf_append_str(out, STR("Transfer-Encoding: chunked\r\n"));
    else if (content_length >= 0 && status != 204 && status != 304) {
        buf_append_str(out, STR("Content-Length: "));
        buf_append_u64(out, (uint64_t)content_length);
        buf_append(out, "\r\n", 2);
    }
    if (!ex->x.conn->keep_alive)
        buf_append_str(out, STR("Connection: close\r\n"));
    else if (ex->x.minor == 0)
        buf_append_str(out, STR("Connection: keep-alive\r\n"));
}

void http_respond_head(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t header_count, int64_t content_length)
{
    struct exchange *ex = exchange_of(x);
    struct http_conn *c = x->conn;
    ASSERT(!ex->responded && !ex->ended);
    ASSERT(status >= 200 && status <= 999 && content_length >= HTTP_CHUNKED);
    ex->responded = ex->owned = true;
    choose_framing(ex, status, content_length);
    if (x->gone)
        return;
    struct buf *out = &c->half->loop->head;
    bool has_date;
    buf_reset(out);
    write_status(out, status);
    write_fields(out, headers, header_count, &has_date);
    if (!has_date)
        buf_append_str(out, date_field(c->half));
    write_framing(out, ex, status, content_length);
    buf_append(out, "\r\n", 2);
    if (out->error != ERR_OK) { /* a handler that writes heads past the buffer's limit */
        c->overflow = true;
        http_conn_advance_later(c);
        return;
    }
    stream_write(&c->stream, out->ptr, out->len);
}

/* ---- The body ---- */

static void write_chunk(struct stream *s, struct str bytes)
{
    static const char digits[] = "0123456789abcdef";
    char size[18];
    size_t at = sizeof size;
    size[--at] = '\n';
    size[--at] = '\r';
    size_t n = bytes.len;
    do {
        size[--at] = digits[n % 16];
        n /= 16;
    } while (n > 0);
    stream_write(s, size + at, sizeof size - at);
    stream_write(s, bytes.ptr, bytes.len);
    stream_write(s, "\r\n", 2);
}

void http_respond_body(struct http_exchange *x, struct str bytes)
{
    struct exchange *ex = exchange_of(x);
    struct http_conn *c = x->conn;
    ASSERT(ex->responded && !ex->ended);
    if (bytes.len == 0)
        return;
    if (ex->body_left >= 0) {
        ASSERT(bytes.len <= (uint64_t)ex->body_left);
        ex->body_left -= (int64_t)bytes.len;
    }
    if (x->gone || ex->no_body || c->overflow)
        return;
    if (stream_pending(&c->stream) > c->half->limits.pending_bytes_max) {
        c->overflow = true;
        http_conn_advance_later(c);
        return;
    }
    if (ex->chunked)
        write_chunk(&c->stream, bytes);
    else
        stream_write(&c->stream, bytes.ptr, bytes.len);
}

void http_respond_end(struct http_exchange *x)
{
    struct exchange *ex = exchange_of(x);
    struct http_conn *c = x->conn;
    ASSERT(ex->responded && !ex->ended);
    if (ex->body_left > 0 && !ex->no_body) {
        http_abort(x);
        return;
    }
    ex->ended = true;
    if (ex->chunked && !ex->no_body && !x->gone && !c->overflow)
        stream_write(&c->stream, "0\r\n\r\n", 5);
    /* Otherwise the flush of what was written comes back to the exchange. */
    if (x->gone || stream_pending(&c->stream) == 0)
        http_conn_advance_later(c);
}

void http_respond_with(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t header_count, struct str body)
{
    http_respond_head(x, status, headers, header_count, (int64_t)body.len);
    http_respond_body(x, body);
    http_respond_end(x);
}

void http_respond(struct http_exchange *x, int status, struct str content_type, struct str body)
{
    struct http_header header = HTTP_HEADER("Content-Type", content_type);
    http_respond_with(x, status, &header, content_type.len > 0, body);
}

void http_abort(struct http_exchange *x)
{
    struct exchange *ex = exchange_of(x);
    ASSERT(!ex->ended);
    ex->ended = ex->aborted = true;
    x->conn->keep_alive = false;
    stream_flush_now(&x->conn->stream);
    http_conn_advance_later(x->conn);
}

void http_respond_refusal(struct http_exchange *x, int status, const char *code, struct str message)
{
    BUF_AUTO struct buf body = {.max = 1024};
    buf_printf(&body,
               "{\"error\":{\"message\":\"%.*s\",\"type\":\"invalid_request_error\","
               "\"param\":null,\"code\":\"%s\"}}",
               STR_ARG(message), code);
    http_respond(x, status, STR("application/json"), buf_str(&body));
}

/* ---- Looking ---- */

size_t http_pending_bytes(const struct http_exchange *x)
{
    return x->gone ? 0 : stream_pending(&x->conn->stream);
}

bool http_responded(const struct http_exchange *x)
{
    return ((const struct exchange *)x)->responded;
}

struct str http_peer(struct http_exchange *x)
{
    const struct http_conn *c = x->conn;
    char text[64] = "";
    bool v6 = c->peer.any.sa_family == AF_INET6;
    char *out = arena_alloc(x->arena, sizeof text + 16);
    if (v6)
        uv_ip6_name(&c->peer.v6, text, sizeof text);
    else if (c->peer.any.sa_family == AF_INET)
        uv_ip4_name(&c->peer.v4, text, sizeof text);
    int n = snprintf(out, sizeof text + 16, v6 ? "[%s]:%u" : "%s:%u", text,
                     (unsigned)ntohs(v6 ? c->peer.v6.sin6_port : c->peer.v4.sin_port));
    return str_of(out, (size_t)n);
}
