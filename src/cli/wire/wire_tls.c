#include "cli/wire/wire_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/epoll.h>

#include "base/assert.h"
#include "base/mem.h"

struct wire_tls_settings {
    SSL_CTX *context;
};

struct wire_tls {
    SSL *ssl;
    uint32_t wants;
};

enum err wire_tls_settings_new(struct str ca_file, struct buf *detail,
                               struct wire_tls_settings **ret_settings)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    int loaded = 0;
    if (context && ca_file.len > 0) {
        struct buf BUF_AUTO path;
        buf_init(&path, 4096);
        buf_append_str(&path, ca_file);
        loaded = SSL_CTX_load_verify_locations(context, buf_cstr(&path), NULL);
    } else if (context) {
        loaded = SSL_CTX_set_default_verify_paths(context);
    }
    if (loaded != 1) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        buf_printf(detail, "cannot read certificates: %s", reason ? reason : "unknown");
        SSL_CTX_free(context);
        return ERR_TLS;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    struct wire_tls_settings *settings = NEW(struct wire_tls_settings);
    settings->context = context;
    *ret_settings = settings;
    return ERR_OK;
}

void wire_tls_settings_free(struct wire_tls_settings *settings)
{
    if (!settings)
        return;
    SSL_CTX_free(settings->context);
    mem_free(settings);
}

struct wire_tls *wire_tls_new(struct wire_tls_settings *settings, int fd, struct str host)
{
    struct wire_tls *tls = NEW(struct wire_tls);
    char *name = mem_strdup(host.ptr, host.len);
    tls->ssl = SSL_new(settings->context);
    ASSERT(tls->ssl);
    /* An address is verified as one, and is not a name to ask for. */
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->ssl), name) != 1) {
        (void)SSL_set_tlsext_host_name(tls->ssl, name);
        (void)SSL_set1_host(tls->ssl, name);
    }
    mem_free(name);
    SSL_set_fd(tls->ssl, fd);
    SSL_set_connect_state(tls->ssl);
    return tls;
}

void wire_tls_free(struct wire_tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    mem_free(tls);
}

static ssize_t outcome(struct wire_tls *tls, int result)
{
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_NONE: return result;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_WANT_READ:
        tls->wants = EPOLLIN;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_WANT_WRITE:
        tls->wants = EPOLLOUT;
        errno = EAGAIN;
        return -1;
    default: errno = EPROTO; return -1;
    }
}

ssize_t wire_tls_read(struct wire_tls *tls, void *bytes, size_t len)
{
    ERR_clear_error();
    return outcome(tls, SSL_read(tls->ssl, bytes, (int)len));
}

ssize_t wire_tls_write(struct wire_tls *tls, const void *bytes, size_t len)
{
    ERR_clear_error();
    return outcome(tls, SSL_write(tls->ssl, bytes, len > INT32_MAX ? INT32_MAX : (int)len));
}

uint32_t wire_tls_wants(const struct wire_tls *tls)
{
    return tls->wants;
}
