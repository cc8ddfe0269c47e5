#include "tests/unit/net/net_rig.h"

#include "net/http_simple.h"

static struct peer peer;
static char url[64];

static void serve(const struct peer_step *steps)
{
    peer_start(&peer, steps);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/base?q", peer.port);
}

static void served(void)
{
    peer_stop(&peer);
    assert_false(peer.failed);
    peer_release(&peer);
}

static void answers_are_collected(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {PEER_ACCEPT, NULL, 0},
        {PEER_READ, NULL, 0},
        {PEER_SEND,
         "HTTP/1.1 404 Not Found\r\nContent-Type: text/x\r\nTransfer-Encoding: chunked\r\n\r\n"
         "2\r\nno\r\n1\r\n!\r\n0\r\n\r\n",
         0},
        {0}};
    const struct http_header header = HTTP_HEADER("X-A", STR("b"));
    struct http_simple_response response;
    BUF_AUTO struct buf detail = {.max = 1024};
    serve(steps);
    const struct http_simple_request request = {
        .url = str_from_c(url), .headers = &header, .header_count = 1, .body = STR("hi")};
    assert_int_equal(http_simple_fetch(&request, &detail, &response), ERR_OK);
    assert_int_equal(response.status, 404);
    assert_string_equal(buf_cstr(&response.content_type), "text/x");
    assert_string_equal(buf_cstr(&response.body), "no!");
    http_simple_release(&response);
    peer_stop(&peer);
    assert_true(str_starts(buf_str(&peer.heard), STR("POST /base?q HTTP/1.1\r\n")));
    assert_true(str_ends(buf_str(&peer.heard), STR("\r\nContent-Length: 2\r\n\r\nhi")));
    peer_release(&peer);
}

static bool two_pieces(int status, struct str bytes, void *arg)
{
    int *count = arg;
    assert_int_equal(status, 200);
    assert_int_equal(bytes.len, 1);
    return ++*count < 2;
}

static void a_stream_may_be_left(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {PEER_ACCEPT, NULL, 0},
        {PEER_READ, NULL, 0},
        {PEER_SEND, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", 0},
        {PEER_SLEEP, NULL, 30},
        {PEER_SEND, "1\r\nb\r\n1\r\nc\r\n", 0},
        {PEER_UNTIL_CLOSED, NULL, 0},
        {0}};
    struct http_simple_response response;
    BUF_AUTO struct buf detail = {.max = 1024};
    int count = 0;
    serve(steps);
    const struct http_simple_request request = {
        .url = str_from_c(url), .path = STR("/stream"), .on_body = two_pieces, .arg = &count};
    assert_int_equal(http_simple_fetch(&request, &detail, &response), ERR_OK);
    assert_int_equal(count, 2);
    assert_int_equal(response.body.len, 0);
    http_simple_release(&response);
    served();
    assert_int_equal(peer.closed, 1);
}

static void failures_have_a_line(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        enum err error;
        const char *detail;
    } cases[] = {
        {"ftp://x", ERR_INVALID,
         "the URL is not valid: it does not begin with http:// or https://"},
        {"http://h:0/", ERR_INVALID,
         "the URL is not valid: the port is not a number from 1 to 65535"},
        {"http://u:p@", ERR_INVALID, "the URL is not valid: the host is missing"},
        {"http://a\"b/", ERR_INVALID, "the URL's host is not a name or an address"},
        {"http://x.invalid:1", ERR_DNS, "x.invalid does not resolve: "},
        {"http://127.0.0.1:1/", ERR_CONNECT, "127.0.0.1:1: connection refused"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_simple_response response;
        BUF_AUTO struct buf detail = {.max = 1024};
        const struct http_simple_request request = {.url = str_from_c(cases[i].url)};
        assert_int_equal(http_simple_fetch(&request, &detail, &response), cases[i].error);
        assert_true(str_starts(buf_str(&detail), str_from_c(cases[i].detail)));
    }
    BUF_AUTO struct buf detail = {.max = 1024};
    struct http_simple_response response;
    const struct http_simple_request trust = {.url = STR("https://127.0.0.1:1/"),
                                              .ca_file = STR("/nowhere.pem")};
    assert_int_equal(http_simple_fetch(&trust, &detail, &response), ERR_TLS);
    assert_true(str_starts(buf_str(&detail), STR("CA /nowhere.pem: ")));
}

struct url_case {
    const char *text, *userinfo, *host, *path;
    uint16_t port;
    bool tls;
};

static void urls_are_taken_apart(void **state)
{
    (void)state;
    static const struct url_case cases[] = {
        {"http://h", "", "h", "/", 80, false},
        {"HTTPS://h", "", "h", "/", 443, true},
        {"http://h:8080/a/b?c=d#e", "", "h", "/a/b?c=d", 8080, false},
        {"https://u:p@h:1/", "u:p", "h", "/", 1, true},
        {"http://a@b@h/", "a@b", "h", "/", 80, false},
        {"http://[::1]:9/x", "", "::1", "/x", 9, false},
        {"http://[::1]", "", "::1", "/", 80, false},
        {"http://h:", "", "h", "/", 80, false},
        {"http://h#f", "", "h", "/", 80, false},
        {"http://h/a@b:c", "", "h", "/a@b:c", 80, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct url_case *c = &cases[i];
        struct http_url u;
        assert_int_equal(http_url_parse(str_from_c(c->text), &u, NULL), ERR_OK);
        assert_int_equal(u.tls, c->tls);
        assert_int_equal(u.port, c->port);
        assert_true(str_eq(u.userinfo, str_from_c(c->userinfo)));
        assert_true(str_eq(u.host, str_from_c(c->host)));
        assert_true(str_eq(u.path, str_from_c(c->path)));
    }
    static const char *const wrong[] = {
        "",
        "h",
        "//h",
        "http:/h",
        "http://",
        "http://:80",
        "http://h:x",
        "http://h:-1",
        "http://h:0",
        "http://h:65536",
        "http://[::1",
        "http://[::1]x",
        "http://h?q",
        "http://a b/",
        "http://h/\n",
        "http://u@",
        "http://[]",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct http_url u;
        const char *detail = NULL;
        if (http_url_parse(str_from_c(wrong[i]), &u, &detail) == ERR_OK)
            print_error("%s\n", wrong[i] ? wrong[i] : "no text");
        assert_int_equal(http_url_parse(str_from_c(wrong[i]), &u, &detail), ERR_INVALID);
        assert_non_null(detail);
    }
}

static void headers_go_on_without_the_hop(void **state)
{
    (void)state;
    const struct http_header in[] = {
        HTTP_HEADER("Accept", STR("1")),         HTTP_HEADER("CONNECTION", STR("close, X-Hop")),
        HTTP_HEADER("x-hop", STR("2")),          HTTP_HEADER("Keep-Alive", STR("5")),
        HTTP_HEADER("Proxy-Thing", STR("x")),    HTTP_HEADER("Te", STR("x")),
        HTTP_HEADER("Upgrade", STR("x")),        HTTP_HEADER("connection", STR("Other")),
        HTTP_HEADER("Other", STR("x")),          HTTP_HEADER("Transfer-Encoding", STR("x")),
        HTTP_HEADER("Content-Length", STR("1")), HTTP_HEADER("Host", STR("h")),
        HTTP_HEADER("Expect", STR("x")),         HTTP_HEADER("Trailer", STR("x")),
        HTTP_HEADER("Proxy", STR("stays")),      HTTP_HEADER("Content-Type", STR("3")),
    };
    const struct http_headers headers = {in, sizeof in / sizeof *in};
    struct http_header out[sizeof in / sizeof *in];
    assert_int_equal(http_headers_forwardable(&headers, out), 3);
    assert_true(str_eq(out[0].name, STR("Accept")) && str_eq(out[1].name, STR("Proxy")) &&
                str_eq(out[2].name, STR("Content-Type")));
    assert_true(str_eq(http_headers_get(&headers, STR("connection")), STR("close, X-Hop")));
    assert_null(http_headers_get(&headers, STR("Missing")).ptr);
    assert_int_equal(http_headers_count(&headers, STR("Connection")), 2);
    assert_true(http_headers_has_token(&headers, STR("connection"), STR("OTHER")));
    assert_false(http_headers_has_token(&headers, STR("connection"), STR("Oth")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_collected),         cmocka_unit_test(a_stream_may_be_left),
        cmocka_unit_test(failures_have_a_line),          cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(headers_go_on_without_the_hop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
