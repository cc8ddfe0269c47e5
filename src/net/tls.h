/* TLS settings, made once and shared by many connections (OpenSSL 3). TLS 1.2 and 1.3. */
#ifndef WEIR_NET_TLS_H
#define WEIR_NET_TLS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Reference counted; may be shared by threads; never changed after it is made. */
struct tls_context;

struct tls_server_options {
    struct str cert_file;      /* PEM: the server's certificate, then its chain */
    struct str key_file;       /* PEM, not encrypted */
    struct str client_ca_file; /* PEM; not empty: clients must show a certificate signed by one */
};

struct tls_client_options {
    struct str ca_file;   /* PEM, instead of the system's; empty: the system's store */
    struct str cert_file; /* shown to servers that ask; empty: none */
    struct str key_file;
};

/* ERR_TLS (file missing, not PEM, key and certificate do not match…): detail gets one line for
 * people with the file's name and what OpenSSL says. */
MUST_CHECK enum err tls_server_context_new(const struct tls_server_options *options,
                                           struct buf *detail, struct tls_context **ret_context);
MUST_CHECK enum err tls_client_context_new(const struct tls_client_options *options,
                                           struct buf *detail, struct tls_context **ret_context);
struct tls_context *tls_context_ref(struct tls_context *context);
/* NULL is fine. */
void tls_context_unref(struct tls_context *context);

#endif
