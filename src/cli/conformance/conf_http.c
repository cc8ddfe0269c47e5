/* One request on a connection of its own, waited for. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "cli/conformance/conformance_int.h"
#include "cli/wire/wire_http.h"
#include "os/clock.h"

enum { READ_BYTES = 64 << 10, PORT_DEFAULT = 80 };

enum err conf_server_parse(struct str url, struct conf_server *ret_server)
{
    struct str rest = url;
    struct str host;
    uint16_t port = PORT_DEFAULT;
    if (!str_starts(rest, STR("http://")))
        return ERR_UNSUPPORTED;
    rest = str_skip(rest, 7);
    ptrdiff_t slash = str_index(rest, '/');
    ret_server->host = str_take(rest, slash < 0 ? rest.len : (size_t)slash);
    rest = str_skip(rest, ret_server->host.len);
    while (str_ends(rest, STR("/")))
        rest = str_take(rest, rest.len - 1);
    if (str_ends(rest, STR("/v1")))
        rest = str_take(rest, rest.len - 3);
    ret_server->prefix = rest;
    TRY(wire_host_port_parse(ret_server->host, &host, &port));
    return wire_address_resolve(host, port, &ret_server->address);
}

struct reading {
    const struct conf_ask *ask;
    struct conf_answer *answer;
    struct wire_reader reader;
    struct buf name, value;
};

static void take_field(struct reading *r)
{
    struct str name = buf_str(&r->name);
    struct str value = buf_str(&r->value);
    if (str_eq_nocase(name, STR("content-type")))
        r->answer->is_stream = str_starts_nocase(value, STR("text/event-stream"));
    if (str_eq_nocase(name, STR("retry-after")))
        r->answer->has_retry_after = true;
    if (str_eq_nocase(name, STR("x-request-id")) || str_eq_nocase(name, STR("request-id")))
        r->answer->has_request_id = true;
    buf_reset(&r->name);
    buf_reset(&r->value);
}

static bool on_part(void *arg, enum wire_part part, struct str text)
{
    struct reading *r = arg;
    switch (part) {
    case WIRE_NAME: buf_append_str(&r->name, text); break;
    case WIRE_VALUE: buf_append_str(&r->value, text); break;
    case WIRE_VALUE_END: take_field(r); break;
    case WIRE_HEAD_END: r->answer->status = wire_reader_status(&r->reader); break;
    case WIRE_BODY: buf_append_str(&r->answer->body, text); break;
    default: break;
    }
    return true;
}

static bool wait_for(int fd, short events, uint64_t until_us)
{
    struct pollfd p = {.fd = fd, .events = events};
    uint64_t now = os_now_us();
    return now < until_us && poll(&p, 1, (int)((until_us - now) / 1000 + 1)) > 0;
}

static enum err send_all(int fd, struct str bytes, uint64_t until_us)
{
    while (bytes.len > 0) {
        ssize_t sent = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (sent > 0)
            bytes = str_skip(bytes, (size_t)sent);
        else if (errno != EAGAIN)
            return ERR_RESET;
        else if (!wait_for(fd, POLLOUT, until_us))
            return ERR_TIMEOUT;
    }
    return ERR_OK;
}

static bool is_time_to_leave(const struct reading *r)
{
    struct str at = r->ask->leave_at;
    return at.len > 0 && str_find(buf_str(&r->answer->body), at) >= 0;
}

static enum err read_all(int fd, struct reading *r, uint64_t until_us)
{
    static char bytes[READ_BYTES]; /* one thread */
    for (;;) {
        size_t used;
        if (!wait_for(fd, POLLIN, until_us))
            return ERR_TIMEOUT;
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got < 0 && errno == EAGAIN)
            continue;
        if (got <= 0) {
            r->answer->whole = got == 0 && wire_reader_end(&r->reader) == WIRE_WHOLE;
            return r->answer->whole ? ERR_OK : ERR_RESET;
        }
        enum wire_read read = wire_reader_feed(&r->reader, str_of(bytes, (size_t)got), &used);
        if (read == WIRE_BAD)
            return ERR_PROTOCOL;
        if (read == WIRE_WHOLE && r->answer->status >= 200) {
            r->answer->whole = true;
            return ERR_OK;
        }
        if (is_time_to_leave(r))
            return ERR_CANCELLED;
    }
}

static void append_request(const struct conf_ask *ask, struct buf *out)
{
    buf_append_str(out, ask->method);
    buf_append_char(out, ' ');
    buf_append_str(out, ask->server->prefix);
    buf_append_str(out, ask->path);
    buf_append_str(out, STR(" HTTP/1.1\r\nHost: "));
    buf_append_str(out, ask->server->host);
    buf_append_str(out, STR("\r\nConnection: close\r\n"));
    buf_append_str(out, ask->headers);
    if (ask->body.len > 0)
        buf_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", ask->body.len);
    buf_append_str(out, STR("\r\n"));
    buf_append_str(out, ask->body);
}

enum err conf_http(const struct conf_ask *ask, struct conf_answer *ret_answer)
{
    struct reading r = {.ask = ask, .answer = ret_answer};
    struct buf BUF_AUTO request;
    unsigned wait_ms = ask->leave_ms > 0 ? ask->leave_ms : CONF_TIMEOUT_MS;
    uint64_t until_us = os_now_us() + (uint64_t)wait_ms * 1000;
    int fd;
    *ret_answer = (struct conf_answer){.status = 0};
    buf_init(&ret_answer->body, CONF_BODY_BYTES_MAX);
    buf_init(&request, CONF_BODY_BYTES_MAX);
    TRY(wire_connect(&ask->server->address, &fd));
    buf_init(&r.name, 64 << 10);
    buf_init(&r.value, 64 << 10);
    append_request(ask, &request);
    wire_reader_init(&r.reader, true, on_part, &r);
    enum err e = wait_for(fd, POLLOUT, until_us) ? wire_connect_error(fd) : ERR_TIMEOUT;
    if (e == ERR_OK)
        e = send_all(fd, buf_str(&request), until_us);
    if (e == ERR_OK)
        e = read_all(fd, &r, until_us);
    close(fd);
    buf_release(&r.name);
    buf_release(&r.value);
    return e;
}

yyjson_doc *conf_mock_get(const struct conf *conf, struct str path)
{
    struct conf_answer answer;
    yyjson_doc *doc = NULL;
    struct conf_ask ask = {.server = &conf->mock, .method = STR("GET"), .path = path};
    if (conf_http(&ask, &answer) == ERR_OK && answer.status == 200)
        doc = yyjson_read(answer.body.ptr, answer.body.len, 0);
    buf_release(&answer.body);
    return doc;
}
