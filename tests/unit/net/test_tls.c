/* Server and client over TLS, and through proxies, with certificates made for the test. */
#include "tests/unit/net/net_rig.h"
#include "tests/unit/net/tls_rig.h"

#include <openssl/ssl.h>

#include "net/http_client.h"
#include "net/http_server.h"

enum { BIG = 3 << 20 };

static struct cert_files files;
static struct cert authority, other_authority;

/* ---- A TLS server on a thread ---- */

struct backend {
    struct loop *loop;
    struct http_server *server;
    struct os_thread thread;
    uint16_t port;
};

static void on_request(struct http_exchange *x, void *arg)
{
    (void)arg;
    if (str_eq(x->path, STR("/whole")) || str_eq(x->path, STR("/cut"))) {
        http_respond_head(x, 200, NULL, 0, HTTP_CHUNKED);
        http_respond_body(x, STR("until the end"));
        if (str_eq(x->path, STR("/whole")))
            http_respond_end(x);
        else
            http_abort(x);
        return;
    }
    if (str_eq(x->path, STR("/big"))) {
        static char big[BIG];
        memset(big, 'b', BIG);
        http_respond(x, 200, STR("text/plain"), str_of(big, BIG));
        return;
    }
    http_respond(x, 200, STR("text/plain"),
                 x->body.len ? x->body
                 : x->is_tls ? STR("tls")
                             : STR("plain"));
}

static void run_loop(void *arg)
{
    loop_run(arg);
}

static void context_of(const char *name, const struct cert *c, const char *client_ca,
                       struct tls_context **ret_context)
{
    BUF_AUTO struct buf detail = {.max = 1024};
    cert_write(&files, name, c);
    const struct tls_server_options options = {.cert_file = str_from_c(files.cert),
                                               .key_file = str_from_c(files.key),
                                               .client_ca_file = str_from_c(client_ca)};
    if (tls_server_context_new(&options, &detail, ret_context) != ERR_OK)
        fail_msg("%s", buf_cstr(&detail));
}

static void backend_start(struct backend *b, struct tls_context *tls)
{
    *b = (struct backend){0};
    struct http_server_options options = {
        .host = STR("127.0.0.1"), .tls = tls, .handler = {.on_request = on_request}};
    http_limits_default(&options.limits);
    assert_int_equal(loop_new(&b->loop), ERR_OK);
    assert_int_equal(http_server_open(&b->loop, 1, &options, NULL, &b->server), ERR_OK);
    b->port = http_server_port(b->server);
    assert_int_equal(os_thread_start("backend", run_loop, b->loop, &b->thread), ERR_OK);
}

static void backend_stop(struct backend *b)
{
    loop_stop(b->loop);
    os_thread_join(&b->thread);
    http_server_free(b->server);
    loop_free(b->loop);
}

/* ---- A client ---- */

struct told {
    struct loop *loop;
    struct http_fetch *fetch;
    struct loop_timer resume;
    bool pause; /* at every piece */
    int pauses;
    int status;
    struct buf body;
    enum err error;
    enum http_phase phase;
    char detail[256];
    struct http_fetch_stats stats;
};

static void on_head(struct http_fetch *fetch, const struct http_response *response, void *arg)
{
    (void)fetch;
    ((struct told *)arg)->status = response->status;
}

static void resume(void *arg)
{
    http_fetch_resume(((struct told *)arg)->fetch);
}

static void on_body(struct http_fetch *fetch, struct str bytes, void *arg)
{
    struct told *t = arg;
    assert_false(http_fetch_paused(fetch));
    buf_append_str(&t->body, bytes);
    if (!t->pause)
        return;
    t->pauses++;
    t->fetch = fetch;
    http_fetch_pause(fetch);
    loop_timer_init(&t->resume, resume, t);
    loop_timer_start(t->loop, &t->resume, 0);
}

static void on_end(struct http_fetch *fetch, void *arg)
{
    struct told *t = arg;
    http_fetch_stats(fetch, &t->stats);
    loop_stop(t->loop);
}

static void on_fail(struct http_fetch *fetch, const struct http_failure *failure, void *arg)
{
    struct told *t = arg;
    t->error = failure->error;
    t->phase = failure->phase;
    (void)snprintf(t->detail, sizeof t->detail, "%.*s", STR_ARG(failure->detail));
    on_end(fetch, arg);
}

static const struct http_fetch_events events = {NULL, on_head, on_body, on_end, on_fail};

struct client_rig {
    struct loop *loop;
    struct http_client *client;
    struct http_origin *origin;
};

static void client_open(struct client_rig *rig, const struct http_origin_options *options,
                        const struct http_proxy_options *proxy)
{
    assert_int_equal(loop_new(&rig->loop), ERR_OK);
    assert_int_equal(http_client_new(rig->loop, proxy, NULL, &rig->client), ERR_OK);
    assert_int_equal(http_origin_open(rig->client, options, &rig->origin), ERR_OK);
}

static void client_close(struct client_rig *rig)
{
    http_origin_close(rig->origin);
    http_client_free(rig->client);
    loop_run_until_idle(rig->loop);
    loop_free(rig->loop);
}

static void client_ask_slowly(struct client_rig *rig, struct str path, struct str body, bool pause,
                              struct told *t)
{
    struct http_fetch *fetch = NULL;
    const struct http_request request = {
        .origin = rig->origin,
        .method = body.len ? STR("POST") : STR("GET"),
        .path = path,
        .body = &body,
        .body_count = 1,
        .timeouts = {.total_ms = RIG_WAIT_MS, .connect_ms = RIG_WAIT_MS},
    };
    *t = (struct told){.loop = rig->loop, .pause = pause};
    buf_init(&t->body, 64 << 20);
    assert_int_equal(http_client_start(rig->client, &request, &events, t, &fetch), ERR_OK);
    loop_run(rig->loop);
}

static void client_ask(struct client_rig *rig, struct str path, struct str body, struct told *t)
{
    client_ask_slowly(rig, path, body, false, t);
}

static struct tls_context *trust(const char *ca, const char *own)
{
    char ca_file[128], cert_file[128] = "", key_file[128] = "";
    BUF_AUTO struct buf detail = {.max = 1024};
    struct tls_context *context = NULL;
    (void)snprintf(ca_file, sizeof ca_file, "%s/%s.pem", files.folder, ca);
    if (own) {
        (void)snprintf(cert_file, sizeof cert_file, "%s/%s.pem", files.folder, own);
        (void)snprintf(key_file, sizeof key_file, "%s/%s.key", files.folder, own);
    }
    const struct tls_client_options options = {str_from_c(ca_file), str_from_c(cert_file),
                                               str_from_c(key_file)};
    if (tls_client_context_new(&options, &detail, &context) != ERR_OK)
        fail_msg("%s", buf_cstr(&detail));
    return context;
}

/* One request over a fresh client. */
static void ask_once(uint16_t port, const char *host, struct tls_context *context, struct told *t)
{
    struct client_rig rig;
    const struct http_origin_options options = {
        .tls = true, .host = str_from_c(host), .port = port, .tls_context = context};
    client_open(&rig, &options, NULL);
    client_ask(&rig, STR("/"), STR_NONE, t);
    client_close(&rig);
    buf_release(&t->body);
}

/* ---- Tests ---- */

static void certificates_are_verified(void **state)
{
    (void)state;
    struct cert good = cert_make("s", "DNS:localhost,IP:127.0.0.1", &authority, 10);
    struct cert named = cert_make("s", "DNS:elsewhere.example", &authority, 10);
    struct cert old = cert_make("s", "DNS:localhost,IP:127.0.0.1", &authority, 0);
    struct cert own = cert_make("s", "DNS:localhost,IP:127.0.0.1", NULL, 10);
    struct cert foreign = cert_make("s", "DNS:localhost,IP:127.0.0.1", &other_authority, 10);
    const struct {
        const struct cert *cert;
        const char *host;
        const char *detail; /* NULL: accepted */
    } cases[] = {
        {&good, "127.0.0.1", NULL},
        {&good, "localhost", NULL},
        {&named, "localhost", "localhost: certificate not accepted: hostname mismatch"},
        {&named, "127.0.0.1", "127.0.0.1: certificate not accepted: IP address mismatch"},
        {&old, "localhost", "localhost: certificate not accepted: certificate has expired"},
        {&own, "localhost", "localhost: certificate not accepted: self-signed certificate"},
        {&foreign, "localhost",
         "localhost: certificate not accepted: unable to get local issuer certificate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct backend backend;
        struct told t;
        struct tls_context *server = NULL, *client = trust("ca", NULL);
        context_of("server", cases[i].cert, "", &server);
        backend_start(&backend, server);
        ask_once(backend.port, cases[i].host, client, &t);
        if (cases[i].detail) {
            assert_int_equal(t.error, ERR_TLS);
            assert_int_equal(t.phase, HTTP_PHASE_TLS);
            assert_string_equal(t.detail, cases[i].detail);
        } else {
            assert_int_equal(t.status, 200);
        }
        backend_stop(&backend);
        tls_context_unref(server);
        tls_context_unref(client);
    }
    cert_free(&good);
    cert_free(&named);
    cert_free(&old);
    cert_free(&own);
    cert_free(&foreign);
}

/* Nothing of ours is in the system's store. */
static void the_system_store_is_the_default(void **state)
{
    (void)state;
    struct backend backend;
    struct told t;
    struct tls_context *server = NULL;
    struct cert good = cert_make("s", "DNS:localhost", &authority, 10);
    context_of("server", &good, "", &server);
    backend_start(&backend, server);
    ask_once(backend.port, "localhost", NULL, &t);
    assert_int_equal(t.error, ERR_TLS);
    assert_non_null(strstr(t.detail, "unable to get local issuer certificate"));
    backend_stop(&backend);
    tls_context_unref(server);
    cert_free(&good);
}

static void bodies_pass_and_connections_are_kept(void **state)
{
    (void)state;
    struct backend backend;
    struct client_rig rig;
    struct told t;
    struct tls_context *server = NULL, *client = trust("ca", NULL);
    struct cert good = cert_make("s", "DNS:localhost", &authority, 10);
    static char body[BIG];
    for (size_t i = 0; i < BIG; i++)
        body[i] = (char)('a' + i % 19);
    context_of("server", &good, "", &server);
    backend_start(&backend, server);
    const struct http_origin_options options = {
        .tls = true, .host = STR("localhost"), .port = backend.port, .tls_context = client};
    client_open(&rig, &options, NULL);
    client_ask(&rig, STR("/"), STR_NONE, &t);
    assert_string_equal(buf_cstr(&t.body), "tls");
    buf_release(&t.body);
    client_ask(&rig, STR("/"), str_of(body, BIG), &t);
    assert_true(t.stats.reused);
    assert_true(str_eq(buf_str(&t.body), str_of(body, BIG)));
    buf_release(&t.body);
    client_ask(&rig, STR("/big"), STR_NONE, &t);
    assert_true(t.stats.reused);
    assert_int_equal(t.body.len, BIG);
    buf_release(&t.body);
    /* One read decrypts to many pieces: a pause holds the others. */
    client_ask_slowly(&rig, STR("/big"), STR_NONE, true, &t);
    assert_int_equal(t.body.len, BIG);
    assert_in_range(t.pauses, 40, BIG);
    buf_release(&t.body);
    client_close(&rig);
    backend_stop(&backend);
    tls_context_unref(server);
    tls_context_unref(client);
    cert_free(&good);
}

static void clients_may_have_to_show_a_certificate(void **state)
{
    (void)state;
    struct backend backend;
    struct told t;
    struct tls_context *server = NULL;
    char ca_file[128];
    struct cert good = cert_make("s", "DNS:localhost", &authority, 10);
    struct cert mine = cert_make("c", "DNS:client", &authority, 10);
    struct cert foreign = cert_make("c", "DNS:client", &other_authority, 10);
    (void)snprintf(ca_file, sizeof ca_file, "%s/ca.pem", files.folder);
    context_of("server", &good, ca_file, &server);
    cert_write(&files, "mine", &mine);
    cert_write(&files, "foreign", &foreign);
    backend_start(&backend, server);
    const char *const shown[] = {NULL, "foreign", "mine"};
    for (int i = 0; i < 3; i++) {
        struct tls_context *client = trust("ca", shown[i]);
        ask_once(backend.port, "localhost", client, &t);
        assert_int_equal(t.status, i == 2 ? 200 : 0);
        tls_context_unref(client);
    }
    backend_stop(&backend);
    tls_context_unref(server);
    cert_free(&good);
    cert_free(&mine);
    cert_free(&foreign);
}

/* Serves two connections, one request each, and notes whether each resumed a session. */
struct noting {
    SSL_CTX *context;
    int listener;
    bool resumed[2];
};

static void serve_two(void *arg)
{
    struct noting *n = arg;
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    for (int i = 0; i < 2; i++) {
        char bytes[4096];
        int fd = accept(n->listener, NULL, NULL);
        SSL *ssl = SSL_new(n->context);
        SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) == 1 && SSL_read(ssl, bytes, sizeof bytes) > 0)
            (void)SSL_write(ssl, answer, sizeof answer - 1);
        n->resumed[i] = SSL_session_reused(ssl) == 1;
        (void)SSL_shutdown(ssl);
        (void)SSL_read(ssl, bytes, sizeof bytes);
        SSL_free(ssl);
        (void)close(fd);
    }
}

static void sessions_are_resumed(void **state)
{
    (void)state;
    struct noting n = {.context = SSL_CTX_new(TLS_server_method())};
    struct client_rig rig;
    struct os_thread thread;
    struct told t;
    uint16_t port = 0;
    struct tls_context *client = trust("ca", NULL);
    struct cert good = cert_make("s", "DNS:localhost", &authority, 10);
    assert_int_equal(SSL_CTX_use_certificate(n.context, good.x509), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(n.context, good.key), 1);
    n.listener = rig_listen(&port);
    assert_int_equal(os_thread_start("noting", serve_two, &n, &thread), ERR_OK);
    const struct http_origin_options options = {
        .tls = true, .host = STR("localhost"), .port = port, .tls_context = client};
    client_open(&rig, &options, NULL);
    for (int i = 0; i < 2; i++) {
        client_ask(&rig, STR("/"), STR_NONE, &t);
        assert_string_equal(buf_cstr(&t.body), "ok");
        assert_false(t.stats.reused);
        buf_release(&t.body);
    }
    client_close(&rig);
    os_thread_join(&thread);
    assert_false(n.resumed[0]);
    assert_true(n.resumed[1]);
    (void)close(n.listener);
    SSL_CTX_free(n.context);
    tls_context_unref(client);
    cert_free(&good);
}

/* A new certificate serves new connections; open ones go on. */
static void certificates_change_while_serving(void **state)
{
    (void)state;
    struct backend backend;
    struct client_rig rig;
    struct told t;
    struct tls_context *before = NULL, *after = NULL;
    struct tls_context *trusts_one = trust("ca", NULL), *trusts_other = trust("other", NULL);
    struct cert one = cert_make("s", "DNS:localhost", &authority, 10);
    struct cert two = cert_make("s", "DNS:localhost", &other_authority, 10);
    context_of("one", &one, "", &before);
    context_of("two", &two, "", &after);
    backend_start(&backend, before);
    tls_context_unref(before);
    const struct http_origin_options options = {
        .tls = true, .host = STR("localhost"), .port = backend.port, .tls_context = trusts_one};
    client_open(&rig, &options, NULL);
    client_ask(&rig, STR("/"), STR_NONE, &t);
    assert_int_equal(t.status, 200);
    buf_release(&t.body);
    http_server_set_tls(backend.server, after);
    http_server_set_tls(backend.server, after); /* twice in a row is fine */
    tls_context_unref(after);
    rig_sleep_ms(50);
    client_ask(&rig, STR("/"), STR_NONE, &t);
    assert_int_equal(t.status, 200);
    assert_true(t.stats.reused);
    buf_release(&t.body);
    client_close(&rig);
    ask_once(backend.port, "localhost", trusts_one, &t);
    assert_int_equal(t.error, ERR_TLS);
    ask_once(backend.port, "localhost", trusts_other, &t);
    assert_int_equal(t.status, 200);
    backend_stop(&backend);
    tls_context_unref(trusts_one);
    tls_context_unref(trusts_other);
    cert_free(&one);
    cert_free(&two);
}

static void files_that_do_not_fit_are_named(void **state)
{
    (void)state;
    struct cert a = cert_make("a", "DNS:a", &authority, 1),
                b = cert_make("b", "DNS:b", &authority, 1);
    char a_cert[96], b_key[96];
    struct tls_context *context = NULL;
    BUF_AUTO struct buf detail = {.max = 1024};
    cert_write(&files, "b", &b);
    (void)snprintf(b_key, sizeof b_key, "%s", files.key);
    cert_write(&files, "a", &a);
    (void)snprintf(a_cert, sizeof a_cert, "%s", files.cert);
    const struct tls_server_options wrong_key = {.cert_file = str_from_c(a_cert),
                                                 .key_file = str_from_c(b_key)};
    assert_int_equal(tls_server_context_new(&wrong_key, &detail, &context), ERR_TLS);
    assert_true(str_find(buf_str(&detail), str_from_c(b_key)) > 0);
    assert_true(str_find(buf_str(&detail), STR("key values mismatch")) > 0);
    buf_reset(&detail);
    const struct tls_server_options missing = {.cert_file = STR("/nowhere.pem"),
                                               .key_file = STR("/nowhere.key")};
    assert_int_equal(tls_server_context_new(&missing, &detail, &context), ERR_TLS);
    assert_string_equal(buf_cstr(&detail), "certificate /nowhere.pem: no such file or directory");
    buf_reset(&detail);
    const struct tls_client_options not_pem = {.ca_file = STR("/dev/null")};
    assert_int_equal(tls_client_context_new(&not_pem, &detail, &context), ERR_TLS);
    assert_true(str_starts(buf_str(&detail), STR("CA /dev/null: ")));
    assert_null(context);
    cert_free(&a);
    cert_free(&b);
}

/* Not TLS at all, on either side. */
static void plain_text_is_told_apart(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {{PEER_ACCEPT, NULL, 0},
                                             {PEER_SEND, "HTTP/1.1 400 Bad Request\r\n\r\n", 0},
                                             {PEER_UNTIL_CLOSED, NULL, 0},
                                             {0}};
    struct peer peer;
    struct told t;
    struct tls_context *client = trust("ca", NULL), *server = NULL;
    peer_start(&peer, steps);
    ask_once(peer.port, "127.0.0.1", client, &t);
    assert_int_equal(t.error, ERR_TLS);
    assert_string_equal(t.detail, "127.0.0.1: wrong version number");
    peer_stop(&peer);
    peer_release(&peer);
    struct backend backend;
    struct cert good = cert_make("s", "DNS:localhost", &authority, 10);
    BUF_AUTO struct buf out = {.max = 4096};
    context_of("server", &good, "", &server);
    backend_start(&backend, server);
    int fd = rig_dial(backend.port);
    assert_true(rig_send(fd, STR("GET / HTTP/1.1\r\nHost: h\r\n\r\n")));
    (void)rig_recv_all(fd, &out); /* an alert at most */
    assert_int_equal(str_find(buf_str(&out), STR("HTTP")), -1);
    (void)close(fd);
    backend_stop(&backend);
    tls_context_unref(client);
    tls_context_unref(server);
    cert_free(&good);
}

/* A body that the connection's end ends: TLS's goodbye says whether it is whole. */
static void the_goodbye_tells_a_whole_body_from_a_cut_one(void **state)
{
    (void)state;
    struct backend backend;
    struct tls_context *server = NULL;
    struct cert good = cert_make("s", "DNS:localhost", &authority, 10);
    static const char *const requests[] = {"GET /whole HTTP/1.0\r\n\r\n",
                                           "GET /cut HTTP/1.0\r\n\r\n"};
    context_of("server", &good, "", &server);
    backend_start(&backend, server);
    for (int i = 0; i < 2; i++) {
        BUF_AUTO struct buf out = {.max = 4096};
        SSL_CTX *context = SSL_CTX_new(TLS_client_method());
        SSL *ssl = SSL_new(context);
        char bytes[4096];
        int n = 0, fd = rig_dial(backend.port);
        assert_int_equal(SSL_set_fd(ssl, fd), 1);
        assert_int_equal(SSL_connect(ssl), 1);
        assert_true(SSL_write(ssl, requests[i], (int)strlen(requests[i])) > 0);
        while ((n = SSL_read(ssl, bytes, sizeof bytes)) > 0)
            buf_append(&out, bytes, (size_t)n);
        assert_int_equal(SSL_get_error(ssl, n), i == 0 ? SSL_ERROR_ZERO_RETURN : SSL_ERROR_SSL);
        assert_true(str_ends(buf_str(&out), STR("\r\n\r\nuntil the end")));
        SSL_free(ssl);
        SSL_CTX_free(context);
        (void)close(fd);
    }
    backend_stop(&backend);
    tls_context_unref(server);
    cert_free(&good);
}

/* ---- Proxies ---- */

static void set_proxy(char *text, size_t size, uint16_t port, const char *user)
{
    (void)snprintf(text, size, "http://%s127.0.0.1:%u", user, (unsigned)port);
}

static void https_goes_through_a_tunnel(void **state)
{
    (void)state;
    struct backend backend;
    struct client_rig rig;
    struct told t;
    char url[64];
    struct tls_context *server = NULL, *client = trust("ca", NULL);
    struct cert good = cert_make("s", "DNS:weir.example", &authority, 10);
    context_of("server", &good, "", &server);
    backend_start(&backend, server);
    const struct peer_step steps[] = {
        {PEER_ACCEPT, NULL, 0},
        {PEER_READ, NULL, 0},
        {PEER_SEND, "HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n", 0},
        {PEER_RELAY, NULL, backend.port},
        {0}};
    struct peer proxy;
    peer_start(&proxy, steps);
    set_proxy(url, sizeof url, proxy.port, "us%65r:p%40ss@");
    const struct http_proxy_options through = {.https_proxy = str_from_c(url)};
    const struct http_origin_options options = {
        .tls = true, .host = STR("weir.example"), .port = 8443, .tls_context = client};
    client_open(&rig, &options, &through);
    for (int i = 0; i < 2; i++) {
        client_ask(&rig, STR("/"), STR_NONE, &t);
        assert_int_equal(t.status, 200);
        assert_int_equal(t.stats.reused, i);
        buf_release(&t.body);
    }
    client_close(&rig);
    peer_stop(&proxy);
    /* dXNlcjpwQHNz is user:p@ss */
    assert_string_equal(buf_cstr(&proxy.heard),
                        "CONNECT weir.example:8443 HTTP/1.1\r\nHost: weir.example:8443\r\n"
                        "Proxy-Authorization: Basic dXNlcjpwQHNz\r\n\r\n");
    peer_release(&proxy);
    backend_stop(&backend);
    tls_context_unref(server);
    tls_context_unref(client);
    cert_free(&good);
}

static void a_proxy_may_refuse(void **state)
{
    (void)state;
    const struct {
        const char *answer;
        enum err error;
        const char *detail;
    } cases[] = {
        {"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno", ERR_CONNECT,
         "the proxy answered CONNECT with 407"},
        {"HTTP/1.1 502 Bad Gateway\r\n\r\n", ERR_CONNECT, "the proxy answered CONNECT with 502"},
        {"nonsense\r\n", ERR_PROTOCOL, "the proxy's answer is not valid HTTP"},
        {"", ERR_CONNECT, "the proxy closed the connection"},
        {"HTTP/1.1 200 OK\r\n", ERR_CONNECT, "the proxy closed the connection"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct peer_step steps[] = {
            {PEER_ACCEPT, NULL, 0}, {PEER_READ, NULL, 0}, {PEER_SEND, cases[i].answer, 0}, {0}};
        struct peer proxy;
        struct client_rig rig;
        struct told t;
        char url[64];
        peer_start(&proxy, steps);
        set_proxy(url, sizeof url, proxy.port, "");
        const struct http_proxy_options through = {.https_proxy = str_from_c(url)};
        const struct http_origin_options options = {
            .tls = true, .host = STR("weir.example"), .port = 443};
        client_open(&rig, &options, &through);
        client_ask(&rig, STR("/"), STR_NONE, &t);
        assert_int_equal(t.error, cases[i].error);
        assert_int_equal(t.phase, HTTP_PHASE_PROXY);
        assert_string_equal(t.detail, cases[i].detail);
        buf_release(&t.body);
        client_close(&rig);
        peer_stop(&proxy);
        peer_release(&proxy);
    }
}

static void http_names_the_whole_url_to_a_proxy(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {PEER_ACCEPT, NULL, 0},
        {PEER_READ, NULL, 0},
        {PEER_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0},
        {0}};
    struct peer proxy;
    struct client_rig rig;
    struct told t;
    char url[64];
    peer_start(&proxy, steps);
    set_proxy(url, sizeof url, proxy.port, "a:b@");
    const struct http_proxy_options through = {.http_proxy = str_from_c(url)};
    const struct http_origin_options options = {.host = STR("weir.example"), .port = 80};
    client_open(&rig, &options, &through);
    client_ask(&rig, STR("/x?y"), STR_NONE, &t);
    assert_string_equal(buf_cstr(&t.body), "ok");
    buf_release(&t.body);
    client_close(&rig);
    peer_stop(&proxy);
    assert_string_equal(buf_cstr(&proxy.heard),
                        "GET http://weir.example/x?y HTTP/1.1\r\nHost: weir.example\r\n"
                        "Accept-Encoding: identity\r\nProxy-Authorization: Basic YTpi\r\n\r\n");
    peer_release(&proxy);
}

/* Where the proxy would be is a port nobody listens on: a request that succeeds did not use it. */
static void some_hosts_go_without_the_proxy(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {PEER_ACCEPT, NULL, 0},
        {PEER_READ, NULL, 0},
        {PEER_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0},
        {0}};
    const struct {
        const char *host;
        const char *no_proxy;
        bool direct;
    } cases[] = {
        {"127.0.0.1", "", true},
        {"localhost", "", true},
        {"host.example", "*", true},
        {"host.example", "a, host.example ,b", true},
        {"host.example", "example", true},
        {"host.example", ".example", true},
        {"host.example", "HOST.example:80", true},
        {"host.example", "host.example:81", false},
        {"host.example", "ost.example", false},
        {"host.example", "", false},
        {"host.example", "other", false},
    };
    uint16_t dead = 0;
    char url[64];
    (void)close(rig_listen(&dead));
    set_proxy(url, sizeof url, dead, "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct http_proxy_options through = {.http_proxy = str_from_c(url),
                                                   .no_proxy = str_from_c(cases[i].no_proxy)};
        bool local = i < 2;
        struct peer peer;
        struct client_rig rig;
        struct told t;
        uint16_t port = 80;
        if (local) {
            peer_start(&peer, steps);
            port = peer.port;
        }
        const struct http_origin_options options = {.host = str_from_c(cases[i].host),
                                                    .port = port};
        client_open(&rig, &options, &through);
        client_ask(&rig, STR("/"), STR_NONE, &t);
        /* Without the proxy the name does not resolve; with it, it does not answer. */
        enum err wanted = local ? ERR_OK : cases[i].direct ? ERR_DNS : ERR_CONNECT;
        assert_int_equal(t.error, wanted);
        buf_release(&t.body);
        client_close(&rig);
        if (local) {
            peer_stop(&peer);
            peer_release(&peer);
        }
    }
}

static void wrong_proxies_are_refused_without_their_secret(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    assert_int_equal(loop_new(&loop), ERR_OK);
    static const char *const urls[] = {"https://u:secret@p:1", "socks5://u:secret@p:1",
                                       "http://u:secret@", "http://u:secret@p:x"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct http_client *client = NULL;
        BUF_AUTO struct buf detail = {.max = 1024};
        const struct http_proxy_options options = {.https_proxy = str_from_c(urls[i])};
        assert_int_equal(http_client_new(loop, &options, &detail, &client), ERR_INVALID);
        assert_true(str_starts(buf_str(&detail), STR("the proxy in HTTPS_PROXY cannot be used: ")));
        assert_int_equal(str_find(buf_str(&detail), STR("secret")), -1);
    }
    loop_free(loop);
}

static void the_environment_is_read(void **state)
{
    (void)state;
    struct http_proxy_options o;
    const char *const names[] = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy",
                                 "NO_PROXY",   "no_proxy",   "ALL_PROXY",   "all_proxy"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    http_proxy_from_env(&o);
    assert_true(o.http_proxy.len == 0 && o.https_proxy.len == 0 && o.no_proxy.len == 0);
    setenv("HTTPS_PROXY", "upper:1", 1);
    setenv("https_proxy", "lower:1", 1);
    setenv("ALL_PROXY", "all:1", 1);
    setenv("NO_PROXY", "x", 1);
    http_proxy_from_env(&o);
    assert_true(str_eq(o.https_proxy, STR("lower:1")));
    assert_true(str_eq(o.http_proxy, STR("all:1")));
    assert_true(str_eq(o.no_proxy, STR("x")));
    setenv("HTTP_PROXY", "header:1", 1);
    http_proxy_from_env(&o);
    assert_true(str_eq(o.http_proxy, STR("header:1")));
    setenv("REQUEST_METHOD", "GET", 1);
    http_proxy_from_env(&o);
    assert_true(str_eq(o.http_proxy, STR("all:1")));
    unsetenv("REQUEST_METHOD");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

int main(void)
{
    cert_files_open(&files);
    authority = cert_make("authority", NULL, NULL, 10);
    other_authority = cert_make("other authority", NULL, NULL, 10);
    cert_write(&files, "ca", &authority);
    cert_write(&files, "other", &other_authority);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_are_verified),
        cmocka_unit_test(the_system_store_is_the_default),
        cmocka_unit_test(bodies_pass_and_connections_are_kept),
        cmocka_unit_test(clients_may_have_to_show_a_certificate),
        cmocka_unit_test(sessions_are_resumed),
        cmocka_unit_test(certificates_change_while_serving),
        cmocka_unit_test(files_that_do_not_fit_are_named),
        cmocka_unit_test(plain_text_is_told_apart),
        cmocka_unit_test(the_goodbye_tells_a_whole_body_from_a_cut_one),
        cmocka_unit_test(https_goes_through_a_tunnel),
        cmocka_unit_test(a_proxy_may_refuse),
        cmocka_unit_test(http_names_the_whole_url_to_a_proxy),
        cmocka_unit_test(some_hosts_go_without_the_proxy),
        cmocka_unit_test(wrong_proxies_are_refused_without_their_secret),
        cmocka_unit_test(the_environment_is_read),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cert_free(&authority);
    cert_free(&other_authority);
    cert_files_remove(&files);
    return failed;
}
