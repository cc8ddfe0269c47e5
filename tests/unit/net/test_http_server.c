/* The server's reading and answering, fed byte by byte without sockets. */
#include "tests/unit/unit.h"

#include "net/http_server_int.h"
#include "net/loop_int.h"

struct rig {
    struct loop *loop;
    struct http_server *server;
    struct http_limits limits;
    struct buf out;
    struct http_conn *conn;
    /* what the handler did */
    int heads, requests, gone, done;
    struct http_exchange *held; /* "/hold": answered by the test */
};

static void on_gone(struct http_exchange *x)
{
    struct rig *rig = x->user;
    rig->gone++;
    rig->held = NULL;
    http_abort(x);
}

static void on_done(struct http_exchange *x)
{
    ((struct rig *)x->user)->done++;
}

static void on_headers(struct http_exchange *x, void *arg)
{
    struct rig *rig = arg;
    rig->heads++;
    x->user = rig;
    x->on_gone = on_gone;
    x->on_done = on_done;
    if (str_eq(x->path, STR("/refuse")))
        http_respond(x, 401, STR("text/plain"), STR("no"));
    if (str_eq(x->path, STR("/small")))
        x->body_bytes_max = 4;
}

/* Say what came: "POST /path?query 1.1 [n=v,…] body". */
static void describe(struct http_exchange *x, struct buf *out)
{
    buf_printf(out, "%.*s %.*s", STR_ARG(x->method), STR_ARG(x->path));
    if (x->query.ptr)
        buf_printf(out, "?%.*s", STR_ARG(x->query));
    buf_printf(out, " 1.%u", x->minor);
    for (size_t i = 0; i < x->headers.count; i++)
        buf_printf(out, " %.*s=%.*s", STR_ARG(x->headers.at[i].name),
                   STR_ARG(x->headers.at[i].value));
    buf_printf(out, " (%.*s)", STR_ARG(x->body));
}

static void on_request(struct http_exchange *x, void *arg)
{
    struct rig *rig = arg;
    BUF_AUTO struct buf text = {.max = 1 << 20};
    rig->requests++;
    if (str_eq(x->path, STR("/hold"))) {
        rig->held = x;
        return;
    }
    if (str_eq(x->path, STR("/abort"))) {
        http_respond_head(x, 200, NULL, 0, HTTP_CHUNKED);
        http_respond_body(x, STR("part"));
        http_abort(x);
        return;
    }
    describe(x, &text);
    const struct http_header date = HTTP_HEADER("Date", STR("D"));
    if (str_eq(x->path, STR("/chunked"))) {
        http_respond_head(x, 200, &date, 1, HTTP_CHUNKED);
        http_respond_body(x, str_take(buf_str(&text), 4));
        http_respond_body(x, STR(""));
        http_respond_body(x, str_skip(buf_str(&text), 4));
        http_respond_end(x);
        return;
    }
    http_respond_with(x, 200, &date, 1, buf_str(&text));
}

static void rig_open(struct rig *rig)
{
    *rig = (struct rig){0};
    http_limits_default(&rig->limits);
    buf_init(&rig->out, 64 << 20);
    assert_int_equal(loop_new(&rig->loop), ERR_OK);
}

static void rig_connect(struct rig *rig)
{
    if (!rig->server) {
        struct http_handler handler = {on_headers, on_request, rig};
        rig->server = http_server_new_memory(rig->loop, &rig->limits, &handler);
    }
    rig->conn = http_conn_new_memory(http_server_half(rig->server, 0), &rig->out);
    http_conn_start(rig->conn);
}

static void rig_close(struct rig *rig)
{
    http_server_free(rig->server);
    loop_free(rig->loop);
    buf_release(&rig->out);
}

static void turn(struct rig *rig)
{
    for (int i = 0; i < 4; i++)
        loop_turn(rig->loop);
}

/* The connection is closed or closing (its memory may be gone: ask the server). */
static bool hung_up(const struct rig *rig)
{
    struct server_half *half = http_server_half(rig->server, 0);
    return half->conn_count == 0 || half->conns->lingering;
}

/* A fresh connection gets `request` in pieces of `step`; *ret_closed: it hung up. */
static void exchange_once(struct rig *rig, struct str request, size_t step, bool *ret_closed)
{
    buf_reset(&rig->out);
    rig_connect(rig);
    struct server_half *half = http_server_half(rig->server, 0);
    for (size_t at = 0; at < request.len; at += step) {
        if (half->conn_count == 0)
            break;
        stream_feed(&rig->conn->stream, str_take(str_skip(request, at), step));
        turn(rig);
    }
    turn(rig);
    *ret_closed = hung_up(rig);
    if (half->conn_count > 0)
        http_conn_destroy(rig->conn);
    turn(rig);
    assert_int_equal(half->conn_count, 0);
}

struct sample {
    const char *request;
    const char *responses;  /* all output; "{body}" stands for a response of 200 with that body */
    const char *connection; /* the field in those responses */
    bool closed;
};

#define CLOSE   "Connection: close\r\n"
#define HEAD_OK "HTTP/1.1 200 OK\r\nDate: D\r\n"

static const struct sample samples[] = {
    {"GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n", "{GET /a?b=c 1.1 Host=h ()}", "", false},
    {"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
     "{GET / 1.1 Host=h Connection=close ()}", CLOSE, true},
    {"GET / HTTP/1.0\r\n\r\n", "{GET / 1.0 ()}", CLOSE, true},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "{GET / 1.0 Connection=keep-alive ()}",
     "Connection: keep-alive\r\n", false},
    {"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
     "{POST /p 1.1 Host=h Content-Length=3 (abc)}", "", false},
    {"POST /p HTTP/1.1\r\nHost: h\r\ntransfer-encoding: Chunked\r\n\r\n"
     "3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n",
     "{POST /p 1.1 Host=h transfer-encoding=Chunked (abc0123456789)}", "", false},
    /* two in a row, a blank line between them */
    {"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
     "{GET /1 1.1 Host=h ()}{GET /2 1.1 Host=h ()}", "", false},
    {"GET /chunked HTTP/1.1\r\nHost: h\r\n\r\n",
     HEAD_OK "Transfer-Encoding: chunked\r\n\r\n"
             "4\r\nGET \r\n16\r\n/chunked 1.1 Host=h ()\r\n0\r\n\r\n",
     "", false},
    {"GET /chunked HTTP/1.0\r\n\r\n", HEAD_OK CLOSE "\r\nGET /chunked 1.0 ()", "", true},
    {"HEAD /chunked HTTP/1.1\r\nHost: h\r\n\r\n", HEAD_OK "Transfer-Encoding: chunked\r\n\r\n", "",
     false},
    {"HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n", HEAD_OK "Content-Length: 21\r\n\r\n", "", false},
    /* absolute form, white space around values, an empty value */
    {"GET http://other:1/p?q HTTP/1.1\r\nHost: h\r\nA:  x y \t\r\nB:\r\n\r\n",
     "{GET /p?q 1.1 Host=h A=x y B= ()}", "", false},
    {"GET http://other HTTP/1.1\r\nHost: h\r\n\r\n", "{GET / 1.1 Host=h ()}", "", false},
    {"GET /? HTTP/1.1\r\nHost: h\r\n\r\n", "{GET /? 1.1 Host=h ()}", "", false},
    {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "{OPTIONS * 1.1 Host=h ()}", "", false},
    /* an upgrade is not taken: what follows is HTTP */
    {"GET /u HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
     "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
     "{GET /u 1.1 Host=h Connection=Upgrade Upgrade=websocket ()}{GET /2 1.1 Host=h ()}", "",
     false},
    {"POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
     "HTTP/1.1 100 Continue\r\n\r\n{POST /p 1.1 Host=h Expect=100-continue Content-Length=1 (x)}",
     "", false},
};

static void expand(const struct sample *sample, struct buf *out)
{
    struct str rest = str_from_c(sample->responses);
    while (rest.ptr) {
        buf_append_str(out, str_split(&rest, '{'));
        if (!rest.ptr)
            break;
        struct str body = str_split(&rest, '}');
        buf_printf(out, HEAD_OK "Content-Length: %zu\r\n%s\r\n%.*s", body.len, sample->connection,
                   STR_ARG(body));
    }
}

static void every_cut_gives_the_same_answer(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct str request = str_from_c(samples[i].request);
        BUF_AUTO struct buf expected = {.max = 4096};
        expand(&samples[i], &expected);
        for (size_t step = 1; step <= request.len; step++) {
            bool closed = false;
            exchange_once(&rig, request, step, &closed);
            assert_string_equal(buf_cstr(&rig.out), buf_cstr(&expected));
            assert_int_equal(closed, samples[i].closed);
        }
    }
    assert_int_equal(rig.heads, rig.requests);
    assert_int_equal(rig.done, rig.heads);
    assert_int_equal(rig.gone, 0);
    rig_close(&rig);
}

struct wrong {
    const char *request;
    int status;
    const char *code;
};

#define HEADS(lines) "POST /p HTTP/1.1\r\nHost: h\r\n" lines "\r\n"

/* Requests that two parsers might read differently, and plain nonsense. */
static const struct wrong wrongs[] = {
    /* smuggling */
    {HEADS("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n", 400, "bad_request"},
    {HEADS("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n") "0\r\n\r\n", 400, "bad_request"},
    {HEADS("Content-Length: 3\r\nContent-Length: 3\r\n") "abc", 400, "bad_request"},
    {HEADS("Content-Length: 3\r\nContent-Length: 4\r\n") "abc", 400, "bad_request"},
    {HEADS("Content-Length: 3, 3\r\n") "abc", 400, "bad_request"},
    {HEADS("Content-Length: +3\r\n") "abc", 400, "bad_request"},
    {HEADS("Content-Length: -3\r\n") "abc", 400, "bad_request"},
    {HEADS("Content-Length: 0x3\r\n") "abc", 400, "bad_request"},
    {HEADS("Content-Length: 3 4\r\n") "abc", 400, "bad_request"},
    {HEADS("Content-Length:\r\n") "abc", 400, "bad_request"},
    {HEADS("Content-Length: 99999999999999999999999\r\n") "abc", 400, "bad_request"},
    {HEADS("Content-Length : 3\r\n") "abc", 400, "bad_request"},
    {HEADS("Transfer-Encoding: xchunked\r\n") "0\r\n\r\n", 501, "transfer_encoding"},
    {HEADS("Transfer-Encoding: chunked, identity\r\n") "0\r\n\r\n", 400, "bad_request"},
    {HEADS("Transfer-Encoding: identity\r\n") "0\r\n\r\n", 501, "transfer_encoding"},
    {HEADS("Transfer-Encoding: gzip, chunked\r\n") "0\r\n\r\n", 501, "transfer_encoding"},
    {HEADS("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n", 400,
     "bad_request"},
    {HEADS("Transfer-Encoding: \x0b"
           "chunked\r\n") "0\r\n\r\n",
     400, "bad_request"},
    {HEADS("Transfer-Encoding : chunked\r\n") "0\r\n\r\n", 400, "bad_request"},
    {HEADS("Transfer\rEncoding: chunked\r\n") "0\r\n\r\n", 400, "bad_request"},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"},
    /* line ends, folding, control characters */
    {"GET / HTTP/1.1\nHost: h\n\n", 400, "bad_request"},
    {"GET / HTTP/1.1\r\nHost: h\n\r\n", 400, "bad_request"},
    {"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400, "bad_request"},
    {"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\tc\r\n\r\n", 400, "bad_request"},
    {"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400, "bad_request"},
    {"GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n", 400, "bad_request"},
    {"GET / HTTP/1.1\r\nHost: h\r\nA: \x01\r\n\r\n", 400, "bad_request"},
    {"GET / HTTP/1.1\r\nHost: h\r\nA\x80: b\r\n\r\n", 400, "bad_request"},
    {"GET / HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n", 400, "bad_request"},
    {"GET / HTTP/1.1\r\nHost: h\r\nA b: c\r\n\r\n", 400, "bad_request"},
    /* chunks */
    {HEADS("Transfer-Encoding: chunked\r\n") "\r\n", 400, "bad_request"},
    {HEADS("Transfer-Encoding: chunked\r\n") "g\r\n", 400, "bad_request"},
    {HEADS("Transfer-Encoding: chunked\r\n") "-1\r\n", 400, "bad_request"},
    {HEADS("Transfer-Encoding: chunked\r\n") "0x3\r\nabc\r\n", 400, "bad_request"},
    {HEADS("Transfer-Encoding: chunked\r\n") "3 \r\nabc\r\n", 400, "bad_request"},
    {HEADS("Transfer-Encoding: chunked\r\n") "3\nabc\r\n", 400, "bad_request"},
    {HEADS("Transfer-Encoding: chunked\r\n") "3\r\nabcd\r\n", 400, "bad_request"},
    {HEADS("Transfer-Encoding: chunked\r\n") "3\r\nabc0\r\n", 400, "bad_request"},
    {HEADS("Transfer-Encoding: chunked\r\n") "ffffffffffffffffff\r\n", 400, "bad_request"},
    /* lines */
    {"\x16\x03\x01\x02", 400, "bad_request"},
    {"HELO mail\r\n\r\n", 400, "bad_request"},
    {"get / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad_request"},
    {"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400, "bad_request"},
    {"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad_request"},
    {"GET /\r\n\r\n", 505, "http_version"},
    {"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 400, "bad_request"},
    {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505, "http_version"},
    {"GET / HTTP/3.0\r\nHost: h\r\n\r\n", 400, "bad_request"},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_request"},
    {"GET / ICE/1.1\r\nHost: h\r\n\r\n", 400, "bad_request"},
    /* hosts, proxying */
    {"GET / HTTP/1.1\r\n\r\n", 400, "bad_host"},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_host"},
    {"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, "bad_host"},
    {"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 405, "method_not_allowed"},
};

/* Exactly one response, a refusal in JSON, and no more of the connection. */
static void check_refusal(struct rig *rig, bool closed, int status, const char *code)
{
    char line[32], code_text[64];
    struct str out = buf_str(&rig->out);
    (void)snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
    (void)snprintf(code_text, sizeof code_text, "\"code\":\"%s\"}}", code);
    if (!str_starts(out, str_from_c(line)))
        print_error("wanted %s, got %.*s\n", line, STR_ARG(out));
    assert_true(str_starts(out, str_from_c(line)));
    assert_true(str_find(out, STR("Connection: close\r\n")) > 0);
    assert_true(str_ends(out, str_from_c(code_text)));
    assert_int_equal(str_find(out, STR("}HTTP/1.1 ")), -1);
    assert_true(closed);
}

static void wrong_requests_are_refused(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        struct str request = str_from_c(wrongs[i].request);
        for (size_t step = 1; step <= request.len; step++) {
            bool closed = false;
            exchange_once(&rig, request, step, &closed);
            if (!closed || rig.requests)
                print_error("step %zu of %s\n", step, wrongs[i].request);
            check_refusal(&rig, closed, wrongs[i].status, wrongs[i].code);
        }
    }
    assert_int_equal(rig.requests, 0);
    assert_int_equal(rig.done, rig.heads);
    rig_close(&rig);
}

/* A NUL cannot stand in the table above. */
static void nul_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    bool closed = false;
    rig_open(&rig);
    exchange_once(&rig, STR("GET / HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n"), 100, &closed);
    check_refusal(&rig, closed, 400, "bad_request");
    exchange_once(&rig, STR("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"), 100, &closed);
    check_refusal(&rig, closed, 400, "bad_request");
    rig_close(&rig);
}

static void feed_many(struct rig *rig, struct str piece, size_t bytes)
{
    struct server_half *half = http_server_half(rig->server, 0);
    for (size_t fed = 0; fed < bytes && half->conn_count > 0 && !half->conns->lingering;
         fed += piece.len) {
        stream_feed(&rig->conn->stream, piece);
        turn(rig);
    }
}

static void heads_have_a_limit(void **state)
{
    (void)state;
    static char spaces[1000];
    static const char *const floods[] = {
        "GET /",                                                  /* a target without end */
        "GET / HTTP/1.1\r\nHost: h\r\nA",                         /* a name */
        "GET / HTTP/1.1\r\nHost: h\r\nA: b",                      /* a value */
        "GET / HTTP/1.1\r\nHost: h\r\nA:",                        /* white space before a value */
        HEADS("Transfer-Encoding: chunked\r\n") "1;",             /* a chunk's extension */
        HEADS("Transfer-Encoding: chunked\r\n") "0\r\nTrailer: ", /* a trailer */
    };
    struct rig rig;
    rig_open(&rig);
    for (size_t i = 0; i < sizeof floods / sizeof *floods; i++) {
        memset(spaces, i == 3 ? ' ' : 'x', sizeof spaces);
        buf_reset(&rig.out);
        rig_connect(&rig);
        stream_feed(&rig.conn->stream, str_from_c(floods[i]));
        feed_many(&rig, str_of(spaces, sizeof spaces), 200000);
        check_refusal(&rig, hung_up(&rig), i < 4 ? 431 : 400,
                      i < 4 ? "headers_too_large" : "bad_request");
        http_conn_destroy(rig.conn);
        turn(&rig);
    }
    rig_close(&rig);
}

static void fields_have_a_limit(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    for (int count = HTTP_HEADERS_MAX - 1; count <= HTTP_HEADERS_MAX; count++) {
        bool closed = false;
        BUF_AUTO struct buf request = {.max = 1 << 16};
        buf_append_str(&request, STR("GET / HTTP/1.1\r\nHost: h\r\n"));
        for (int i = 0; i < count; i++)
            buf_printf(&request, "H%d: v\r\n", i);
        buf_append_str(&request, STR("\r\n"));
        exchange_once(&rig, buf_str(&request), 100, &closed);
        if (count < HTTP_HEADERS_MAX)
            assert_true(str_starts(buf_str(&rig.out), STR("HTTP/1.1 200 ")));
        else
            check_refusal(&rig, closed, 431, "headers_too_large");
    }
    rig_close(&rig);
}

static void bodies_have_a_limit(void **state)
{
    (void)state;
    struct rig rig;
    bool closed = false;
    rig_open(&rig);
    rig.limits.body_bytes_max = 10;
    exchange_once(&rig, STR(HEADS("Content-Length: 10\r\n") "0123456789"), 7, &closed);
    assert_true(str_starts(buf_str(&rig.out), STR("HTTP/1.1 200 ")));
    /* announced too large: refused without a byte of it */
    exchange_once(&rig, STR(HEADS("Content-Length: 11\r\n")), 100, &closed);
    check_refusal(&rig, closed, 413, "body_too_large");
    exchange_once(&rig, STR(HEADS("Transfer-Encoding: chunked\r\n") "6\r\nabcdef\r\n5\r\nghijk"), 3,
                  &closed);
    check_refusal(&rig, closed, 413, "body_too_large");
    /* a handler may set a lower one */
    exchange_once(&rig, STR("POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"), 100,
                  &closed);
    check_refusal(&rig, closed, 413, "body_too_large");
    assert_int_equal(rig.requests, 1);
    assert_int_equal(rig.done, rig.heads);
    rig_close(&rig);
}

/* Each body may be allowed, all of them together not. */
static void all_bodies_have_a_limit(void **state)
{
    (void)state;
    struct rig rig;
    bool closed = false;
    rig_open(&rig);
    rig.limits.bodies_bytes_max = 20;
    rig_connect(&rig);
    struct http_conn *first = rig.conn;
    stream_feed(&first->stream,
                STR("POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 15\r\n\r\n012345678901234"));
    turn(&rig);
    assert_non_null(rig.held);
    rig_connect(&rig);
    stream_feed(&rig.conn->stream, STR(HEADS("Content-Length: 6\r\n") "012345"));
    turn(&rig);
    check_refusal(&rig, rig.conn->lingering, 503, "busy");
    http_conn_destroy(rig.conn);
    http_respond(rig.held, 200, STR_NONE, STR("x"));
    turn(&rig);
    http_conn_destroy(first);
    turn(&rig);
    exchange_once(&rig, STR(HEADS("Content-Length: 20\r\n") "01234567890123456789"), 7, &closed);
    assert_true(str_starts(buf_str(&rig.out), STR("HTTP/1.1 200 ")));
    assert_int_equal(http_server_half(rig.server, 0)->body_bytes, 0);
    rig_close(&rig);
}

static void early_answers_need_no_body(void **state)
{
    (void)state;
    struct rig rig;
    bool closed = false;
    rig_open(&rig);
    /* a body that may never come: the connection closes */
    exchange_once(&rig,
                  STR("POST /refuse HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                      "Content-Length: 9\r\n\r\n"),
                  100, &closed);
    assert_true(str_starts(buf_str(&rig.out), STR("HTTP/1.1 401 Unauthorized\r\n")));
    assert_true(closed);
    exchange_once(&rig, STR("POST /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n"),
                  100, &closed);
    assert_true(str_find(buf_str(&rig.out), STR("Connection: close\r\n")) > 0);
    assert_true(closed);
    /* a short one is thrown away, and the connection serves the next request */
    for (size_t step = 1; step < 40; step++) {
        exchange_once(&rig,
                      STR("POST /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n012345678"
                          "GET /n HTTP/1.1\r\nHost: h\r\n\r\n"),
                      step, &closed);
        assert_true(str_starts(buf_str(&rig.out), STR("HTTP/1.1 401 ")));
        assert_int_equal(str_find(buf_str(&rig.out), STR("Connection: close\r\n")), -1);
        assert_true(str_ends(buf_str(&rig.out), STR("GET /n 1.1 Host=h ()")));
        assert_false(closed);
    }
    assert_int_equal(rig.done, rig.heads);
    rig_close(&rig);
}

static void one_request_at_a_time(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_connect(&rig);
    stream_feed(&rig.conn->stream, STR("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n"
                                       "GET /b HTTP/1.1\r\nHost: h\r\n\r\nGET /c HT"));
    turn(&rig);
    stream_feed(&rig.conn->stream, STR("TP/1.1\r\nHost: h\r\n\r\n"));
    turn(&rig);
    assert_int_equal(rig.requests, 1);
    assert_int_equal(rig.out.len, 0);
    assert_non_null(rig.held);
    http_respond(rig.held, 204, STR_NONE, STR_NONE);
    turn(&rig);
    assert_int_equal(rig.requests, 3);
    assert_true(str_starts(buf_str(&rig.out), STR("HTTP/1.1 204 No Content\r\nDate: ")));
    assert_int_equal(str_find(buf_str(&rig.out), STR("Content-Length: 0")), -1);
    assert_true(str_ends(buf_str(&rig.out), STR("GET /c 1.1 Host=h ()")));
    assert_int_equal(rig.done, 3);
    rig_close(&rig);
}

/* What a client sends ahead while its request is handled is bounded: reading stops. */
static void reading_ahead_is_bounded(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig.limits.pipelined_bytes_max = 1000;
    rig_connect(&rig);
    stream_feed(&rig.conn->stream, STR("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(rig.conn->stream.reading);
    for (int i = 0; rig.conn->stream.reading; i++) {
        assert_true(i < 100);
        stream_feed(&rig.conn->stream, STR("GET /b HTTP/1.1\r\nHost: h\r\n\r\n"));
    }
    assert_in_range(rig.conn->stash.len, 1000, 1100);
    http_respond(rig.held, 200, STR_NONE, STR("x"));
    turn(&rig);
    assert_true(rig.conn->stream.reading);
    assert_int_equal(rig.conn->stash.len, 0);
    assert_in_range(rig.requests, 30, 40);
    assert_int_equal(rig.done, rig.requests);
    rig_close(&rig);
}

static void a_client_that_leaves_is_noticed(void **state)
{
    (void)state;
    static const struct stream_events *events;
    struct rig rig;
    rig_open(&rig);
    rig_connect(&rig);
    events = rig.conn->stream.events;
    stream_feed(&rig.conn->stream, STR("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n"));
    turn(&rig);
    events->on_eof(&rig.conn->stream);
    turn(&rig);
    assert_int_equal(rig.gone, 1);
    assert_int_equal(rig.done, 1);
    assert_int_equal(http_server_half(rig.server, 0)->conn_count, 0);
    /* within the head and within the body: nobody but on_done is told */
    rig_connect(&rig);
    stream_feed(&rig.conn->stream, STR("GET /hold HT"));
    events->on_eof(&rig.conn->stream);
    rig_connect(&rig);
    stream_feed(&rig.conn->stream, STR(HEADS("Content-Length: 3\r\n") "a"));
    events->on_eof(&rig.conn->stream);
    turn(&rig);
    assert_int_equal(rig.gone, 1);
    assert_int_equal(rig.done, 2);
    assert_int_equal(http_server_half(rig.server, 0)->conn_count, 0);
    rig_close(&rig);
}

static void an_abort_cuts_the_body(void **state)
{
    (void)state;
    struct rig rig;
    bool closed = false;
    rig_open(&rig);
    exchange_once(&rig, STR("GET /abort HTTP/1.1\r\nHost: h\r\n\r\n"), 100, &closed);
    assert_true(str_ends(buf_str(&rig.out), STR("\r\n\r\n4\r\npart\r\n")));
    assert_true(closed);
    assert_int_equal(rig.done, 1);
    rig_close(&rig);
}

static void unsafe_fields_are_left_out(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_connect(&rig);
    stream_feed(&rig.conn->stream, STR("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n"));
    const struct http_header headers[] = {
        HTTP_HEADER("X-Good", STR("a\tb \xc3\xbc")),
        HTTP_HEADER("X-Bad", STR("a\r\nSet-Cookie: b")),
        HTTP_HEADER("X-Nul", STR("a\0b")),
        HTTP_HEADER("X Bad", STR("a")),
        HTTP_HEADER("", STR("a")),
        HTTP_HEADER("Content-Length", STR("77")),
        HTTP_HEADER("connection", STR("keep-alive")),
        HTTP_HEADER("Transfer-Encoding", STR("gzip")),
        HTTP_HEADER("Date", STR("today")),
    };
    http_respond_with(rig.held, 200, headers, sizeof headers / sizeof *headers, STR("b"));
    turn(&rig);
    assert_string_equal(buf_cstr(&rig.out), "HTTP/1.1 200 OK\r\nX-Good: a\tb \xc3\xbc\r\n"
                                            "Date: today\r\nContent-Length: 1\r\n\r\nb");
    rig_close(&rig);
}

static void draining_closes_kept_connections(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_connect(&rig);
    struct http_conn *idle = rig.conn;
    rig_connect(&rig);
    stream_feed(&rig.conn->stream, STR("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n"));
    turn(&rig);
    http_server_drain(rig.server, 60000, NULL, NULL);
    turn(&rig);
    (void)idle;
    assert_int_equal(http_server_half(rig.server, 0)->conn_count, 1);
    http_respond(rig.held, 200, STR_NONE, STR("x"));
    turn(&rig);
    assert_true(str_find(buf_str(&rig.out), STR("Connection: close\r\n")) > 0);
    assert_int_equal(http_server_half(rig.server, 0)->conn_count, 0);
    assert_true(http_server_half(rig.server, 0)->drained);
    rig_close(&rig);
}

/* Exchanges are used again and again: nothing of one may show in the next. */
static void memory_is_used_again(void **state)
{
    (void)state;
    struct rig rig;
    bool closed = false;
    rig_open(&rig);
    BUF_AUTO struct buf large = {.max = 1 << 20};
    buf_append_str(&large, STR(HEADS("Content-Length: 100000\r\nX-A: 1\r\n")));
    for (int i = 0; i < 100000; i++)
        buf_append_char(&large, 'z');
    for (int i = 0; i < 3; i++) {
        exchange_once(&rig, buf_str(&large), 30000, &closed);
        assert_in_range(rig.out.len, 100000, 101000);
        exchange_once(&rig, STR("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), 100, &closed);
        assert_true(str_ends(buf_str(&rig.out), STR("\r\n\r\nGET / 1.1 Host=h ()")));
    }
    struct server_half *half = http_server_half(rig.server, 0);
    assert_int_equal(half->free_count, 1);
    assert_true(half->free->body.cap <= 16 << 10);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_gives_the_same_answer),
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(nul_is_refused),
        cmocka_unit_test(heads_have_a_limit),
        cmocka_unit_test(fields_have_a_limit),
        cmocka_unit_test(bodies_have_a_limit),
        cmocka_unit_test(all_bodies_have_a_limit),
        cmocka_unit_test(early_answers_need_no_body),
        cmocka_unit_test(one_request_at_a_time),
        cmocka_unit_test(reading_ahead_is_bounded),
        cmocka_unit_test(a_client_that_leaves_is_noticed),
        cmocka_unit_test(an_abort_cuts_the_body),
        cmocka_unit_test(unsafe_fields_are_left_out),
        cmocka_unit_test(draining_closes_kept_connections),
        cmocka_unit_test(memory_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
