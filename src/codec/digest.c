#include "codec/digest.h"

#include <openssl/evp.h>
#include <pthread.h>

#include "base/assert.h"
#include "base/mem.h"

/* Fetched once: EVP_sha256() looks its implementation up on every use, which takes longer than the
 * digest of a key. */
static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void fetch_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    ASSERT(sha256 != NULL && "OpenSSL has no SHA-256");
}

void digest_sha256(struct str bytes, uint8_t ret_digest[DIGEST_BYTES])
{
    unsigned len = 0;
    pthread_once(&sha256_once, fetch_sha256);
    int done = EVP_Digest(bytes.len ? bytes.ptr : "", bytes.len, ret_digest, &len, sha256, NULL);
    ASSERT(done == 1 && len == DIGEST_BYTES);
}

struct digest {
    EVP_MD_CTX *ctx;
};

static void start(struct digest *d)
{
    int done = EVP_DigestInit_ex2(d->ctx, sha256, NULL);
    ASSERT(done == 1);
}

struct digest *digest_new(void)
{
    struct digest *d = NEW(struct digest);
    pthread_once(&sha256_once, fetch_sha256);
    d->ctx = EVP_MD_CTX_new();
    ASSERT(d->ctx != NULL);
    start(d);
    return d;
}

void digest_free(struct digest *d)
{
    if (!d)
        return;
    EVP_MD_CTX_free(d->ctx);
    mem_free(d);
}

void digest_update(struct digest *d, struct str bytes)
{
    int done = EVP_DigestUpdate(d->ctx, bytes.len ? bytes.ptr : "", bytes.len);
    ASSERT(done == 1);
}

void digest_final(struct digest *d, uint8_t ret_digest[DIGEST_BYTES])
{
    unsigned len = 0;
    int done = EVP_DigestFinal_ex(d->ctx, ret_digest, &len);
    ASSERT(done == 1 && len == DIGEST_BYTES);
    start(d);
}

void hex_encode(const uint8_t *bytes, size_t len, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        ret_text[2 * i] = digits[bytes[i] >> 4];
        ret_text[2 * i + 1] = digits[bytes[i] & 15];
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum err hex_decode(struct str text, uint8_t *ret_bytes, size_t len)
{
    if (text.len != 2 * len)
        return ERR_INVALID;
    for (size_t i = 0; i < text.len; i++)
        if (hex_value(text.ptr[i]) < 0)
            return ERR_INVALID;
    for (size_t i = 0; i < len; i++)
        ret_bytes[i] = (uint8_t)((unsigned)hex_value(text.ptr[2 * i]) << 4 |
                                 (unsigned)hex_value(text.ptr[2 * i + 1]));
    return ERR_OK;
}
