/* Throw-away certificates in a throw-away folder. */
#ifndef WEIR_TESTS_UNIT_NET_TLS_RIG_H
#define WEIR_TESTS_UNIT_NET_TLS_RIG_H

#include "tests/unit/unit.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <unistd.h>

struct cert {
    X509 *x509;
    EVP_PKEY *key;
};

enum { CERT_FILES_MAX = 64 };

struct cert_files {
    char folder[64];
    char cert[96], key[96]; /* what cert_write wrote last */
    char written[CERT_FILES_MAX][96];
    int count;
};

static inline void cert_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(x509, e, -1), 1);
    X509_EXTENSION_free(e);
}

/* names: subjectAltName ("DNS:localhost,IP:127.0.0.1"), NULL for an authority. issuer NULL: itself.
 */
static inline struct cert cert_make(const char *subject, const char *names,
                                    const struct cert *issuer, long days)
{
    static int serial = 1;
    struct cert c = {.x509 = X509_new(), .key = EVP_EC_gen("P-256")};
    assert_true(c.x509 && c.key);
    const struct cert *by = issuer ? issuer : &c;
    X509_set_version(c.x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c.x509), serial++);
    X509_gmtime_adj(X509_getm_notBefore(c.x509), -24 * 3600);
    X509_gmtime_adj(X509_getm_notAfter(c.x509), days * 24 * 3600);
    X509_set_pubkey(c.x509, c.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c.x509), "CN", MBSTRING_ASC,
                               (const unsigned char *)subject, -1, -1, 0);
    X509_set_issuer_name(c.x509, X509_get_subject_name(by->x509));
    cert_extension(c.x509, by->x509, NID_basic_constraints,
                   names ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (names)
        cert_extension(c.x509, by->x509, NID_subject_alt_name, names);
    assert_true(X509_sign(c.x509, by->key, EVP_sha256()) > 0);
    return c;
}

static inline void cert_free(struct cert *c)
{
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
}

static inline void cert_files_open(struct cert_files *f)
{
    *f = (struct cert_files){.folder = "/tmp/weir-tls-XXXXXX"};
    assert_non_null(mkdtemp(f->folder));
}

/* <folder>/<name>.pem and <name>.key. */
static inline void cert_write(struct cert_files *f, const char *name, const struct cert *c)
{
    (void)snprintf(f->cert, sizeof f->cert, "%s/%s.pem", f->folder, name);
    (void)snprintf(f->key, sizeof f->key, "%s/%s.key", f->folder, name);
    assert_true(f->count + 2 <= CERT_FILES_MAX);
    memcpy(f->written[f->count++], f->cert, sizeof f->cert);
    memcpy(f->written[f->count++], f->key, sizeof f->key);
    FILE *file = fopen(f->cert, "w");
    assert_true(file && PEM_write_X509(file, c->x509) == 1);
    (void)fclose(file);
    file = fopen(f->key, "w");
    assert_true(file && PEM_write_PrivateKey(file, c->key, NULL, NULL, 0, NULL, NULL) == 1);
    (void)fclose(file);
}

static inline void cert_files_remove(struct cert_files *f)
{
    for (int i = 0; i < f->count; i++)
        (void)unlink(f->written[i]); /* some were written twice */
    assert_int_equal(rmdir(f->folder), 0);
}

#endif
