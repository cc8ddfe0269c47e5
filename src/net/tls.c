#include "net/tls_int.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"

enum { DETAIL_BYTES_MAX = 512 };

struct tls_context {
    atomic_int refs;
    SSL_CTX *ssl;
    BIO_METHOD *bio;
};

struct tls_session {
    SSL *ssl;
    struct str input;
    tls_sink *sink;
    void *sink_arg;
    void (*on_session)(void *arg, void *session);
    void *arg;
    struct buf detail;
};

/* ---- Errors ---- */

/* Take what OpenSSL has queued; the first entry is the cause. */
static void detail_from_openssl(struct buf *detail)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    if (code && ERR_SYSTEM_ERROR(code))
        buf_append_str(detail, str_from_c(uv_strerror(-ERR_GET_REASON(code))));
    else
        buf_append_str(detail, str_from_c(reason ? reason : "unknown TLS error"));
    ERR_clear_error();
}

static enum err file_error(struct buf *detail, const char *what, struct str file)
{
    if (detail) {
        buf_printf(detail, "%s %.*s: ", what, STR_ARG(file));
        detail_from_openssl(detail);
    }
    ERR_clear_error();
    return ERR_TLS;
}

/* ---- The BIO: reads from t->input, writes to t->sink ---- */

static int bio_read(BIO *bio, char *out, int cap)
{
    struct tls_session *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (t->input.len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    struct str part = str_take(t->input, (size_t)cap);
    memcpy(out, part.ptr, part.len);
    t->input = str_skip(t->input, part.len);
    return (int)part.len;
}

static int bio_write(BIO *bio, const char *bytes, int len)
{
    struct tls_session *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    t->sink(t->sink_arg, bytes, (size_t)len);
    return len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *ptr)
{
    (void)bio, (void)number, (void)ptr;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

/* ---- Contexts ---- */

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_session *t = SSL_get_app_data(ssl);
    if (t && t->on_session)
        t->on_session(t->arg, session);
    return 0; /* we keep no reference by returning */
}

static struct tls_context *context_new(const SSL_METHOD *method)
{
    struct tls_context *context = NEW(struct tls_context);
    atomic_init(&context->refs, 1);
    context->ssl = SSL_CTX_new(method);
    context->bio = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "weir");
    ASSERT(context->ssl && context->bio);
    BIO_meth_set_read(context->bio, bio_read);
    BIO_meth_set_write(context->bio, bio_write);
    BIO_meth_set_ctrl(context->bio, bio_ctrl);
    BIO_meth_set_create(context->bio, bio_create);
    SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION);
    /* Idle connections hold no record buffers. */
    SSL_CTX_set_mode(context->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(context->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    return context;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
    if (context)
        atomic_fetch_add(&context->refs, 1);
    return context;
}

void tls_context_unref(struct tls_context *context)
{
    if (!context || atomic_fetch_sub(&context->refs, 1) != 1)
        return;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->bio);
    mem_free(context);
}

static enum err load_pair(struct tls_context *context, struct str cert_file, struct str key_file,
                          struct buf *detail)
{
    BUF_AUTO struct buf cert = {.max = 4096}, key = {.max = 4096};
    buf_append_str(&cert, cert_file);
    buf_append_str(&key, key_file);
    if (SSL_CTX_use_certificate_chain_file(context->ssl, buf_cstr(&cert)) != 1)
        return file_error(detail, "certificate", cert_file);
    if (SSL_CTX_use_PrivateKey_file(context->ssl, buf_cstr(&key), SSL_FILETYPE_PEM) != 1)
        return file_error(detail, "key", key_file);
    if (SSL_CTX_check_private_key(context->ssl) != 1)
        return file_error(detail, "key", key_file);
    return ERR_OK;
}

/* Servers speak HTTP/1.1 only; a client that offers other protocols too gets this one. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned int in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl, (void)arg;
    unsigned char *chosen = NULL;
    int rc = SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, in, in_len);
    *out = chosen;
    return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static enum err server_fill(struct tls_context *context, const struct tls_server_options *options,
                            struct buf *detail)
{
    SSL_CTX_set_options(context->ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_alpn_select_cb(context->ssl, choose_protocol, NULL);
    static const unsigned char session_context[] = "weir";
    SSL_CTX_set_session_id_context(context->ssl, session_context, sizeof session_context - 1);
    /* Tickets carry the state: nothing is kept here. */
    SSL_CTX_set_session_cache_mode(context->ssl, SSL_SESS_CACHE_OFF);
    TRY(load_pair(context, options->cert_file, options->key_file, detail));
    if (options->client_ca_file.len == 0)
        return ERR_OK;
    BUF_AUTO struct buf file = {.max = 4096};
    buf_append_str(&file, options->client_ca_file);
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(buf_cstr(&file));
    if (!names || SSL_CTX_load_verify_file(context->ssl, buf_cstr(&file)) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return file_error(detail, "client CA", options->client_ca_file);
    }
    SSL_CTX_set_client_CA_list(context->ssl, names);
    SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return ERR_OK;
}

enum err tls_server_context_new(const struct tls_server_options *options, struct buf *detail,
                                struct tls_context **ret_context)
{
    struct tls_context *context = context_new(TLS_server_method());
    enum err e = server_fill(context, options, detail);
    if (e != ERR_OK) {
        tls_context_unref(context);
        return e;
    }
    *ret_context = context;
    return ERR_OK;
}

static enum err client_fill(struct tls_context *context, const struct tls_client_options *options,
                            struct buf *detail)
{
    static const unsigned char protocols[] = "\x08http/1.1";
    SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_alpn_protos(context->ssl, protocols, sizeof protocols - 1);
    SSL_CTX_set_session_cache_mode(context->ssl,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context->ssl, on_new_session);
    if (options->cert_file.len > 0)
        TRY(load_pair(context, options->cert_file, options->key_file, detail));
    if (options->ca_file.len == 0) {
        SSL_CTX_set_default_verify_paths(context->ssl);
        ERR_clear_error();
        return ERR_OK;
    }
    BUF_AUTO struct buf file = {.max = 4096};
    buf_append_str(&file, options->ca_file);
    if (SSL_CTX_load_verify_file(context->ssl, buf_cstr(&file)) != 1)
        return file_error(detail, "CA", options->ca_file);
    return ERR_OK;
}

enum err tls_client_context_new(const struct tls_client_options *options, struct buf *detail,
                                struct tls_context **ret_context)
{
    struct tls_context *context = context_new(TLS_client_method());
    enum err e = client_fill(context, options, detail);
    if (e != ERR_OK) {
        tls_context_unref(context);
        return e;
    }
    *ret_context = context;
    return ERR_OK;
}

/* ---- Sessions ---- */

static bool is_address(const char *host)
{
    struct in6_addr address;
    return uv_inet_pton(AF_INET, host, &address) == 0 ||
           uv_inet_pton(AF_INET6, host, &address) == 0;
}

/* Name the server to itself (SNI, names only) and to the verification. */
static bool set_host(SSL *ssl, struct str host)
{
    BUF_AUTO struct buf name = {.max = 256};
    buf_append_str(&name, host);
    const char *c = buf_cstr(&name);
    if (name.error != ERR_OK || host.len == 0)
        return false;
    if (is_address(c))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), c) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(ssl, c) == 1 && SSL_set1_host(ssl, c) == 1;
}

enum err tls_session_new(const struct tls_start *start, tls_sink *sink, void *sink_arg,
                         struct tls_session **ret_session)
{
    struct tls_session *t = NEW(struct tls_session);
    t->ssl = SSL_new(start->context->ssl);
    ASSERT(t->ssl);
    t->sink = sink;
    t->sink_arg = sink_arg;
    t->on_session = start->on_session;
    t->arg = start->arg;
    buf_init(&t->detail, DETAIL_BYTES_MAX);
    SSL_set_app_data(t->ssl, t);
    BIO *bio = BIO_new(start->context->bio);
    ASSERT(bio);
    BIO_set_data(bio, t);
    SSL_set_bio(t->ssl, bio, bio);
    if (start->server) {
        SSL_set_accept_state(t->ssl);
    } else {
        SSL_set_connect_state(t->ssl);
        if (!set_host(t->ssl, start->host)) {
            tls_session_free(t);
            return ERR_INVALID;
        }
        if (start->resume)
            SSL_set_session(t->ssl, start->resume);
    }
    *ret_session = t;
    return ERR_OK;
}

void tls_session_free(struct tls_session *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    buf_release(&t->detail);
    mem_free(t);
}

void tls_session_input(struct tls_session *t, struct str bytes)
{
    t->input = bytes;
}

static enum tls_result failed(struct tls_session *t)
{
    long verify = SSL_get_verify_result(t->ssl);
    buf_reset(&t->detail);
    if (verify != X509_V_OK) {
        buf_printf(&t->detail, "certificate not accepted: %s",
                   X509_verify_cert_error_string(verify));
        ERR_clear_error();
    } else {
        detail_from_openssl(&t->detail);
    }
    return TLS_FAILED;
}

static enum tls_result result_of(struct tls_session *t, int rc)
{
    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_NONE: return TLS_DONE;
    case SSL_ERROR_WANT_READ: return TLS_WANT;
    case SSL_ERROR_ZERO_RETURN: return TLS_EOF;
    default: return failed(t);
    }
}

enum tls_result tls_session_handshake(struct tls_session *t)
{
    ERR_clear_error();
    return result_of(t, SSL_do_handshake(t->ssl));
}

enum tls_result tls_session_read(struct tls_session *t, char *out, size_t cap, size_t *ret_len)
{
    ERR_clear_error();
    return result_of(t, SSL_read_ex(t->ssl, out, cap, ret_len));
}

enum tls_result tls_session_write(struct tls_session *t, const char *bytes, size_t len)
{
    size_t written = 0;
    ERR_clear_error();
    /* The sink takes everything, so there are no partial writes. */
    return result_of(t, SSL_write_ex(t->ssl, bytes, len, &written));
}

void tls_session_shutdown(struct tls_session *t)
{
    ERR_clear_error();
    (void)SSL_shutdown(t->ssl);
    ERR_clear_error();
}

struct str tls_session_detail(const struct tls_session *t)
{
    return buf_str(&t->detail);
}
