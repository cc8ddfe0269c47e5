/* One TLS connection as a transformer of bytes; it knows no socket.
 *
 *   encrypted input  ──> tls_session_input ──> tls_session_read ──> plain bytes
 *   plain bytes ──> tls_session_write ──> sink(encrypted bytes)
 *
 * The input is read in place through a BIO of our own, so nothing is copied but by the cipher. */
#ifndef WEIR_NET_TLS_INT_H
#define WEIR_NET_TLS_INT_H

#include <openssl/ssl.h>

#include "base/buf.h"
#include "net/stream.h"
#include "net/tls.h"

enum tls_result {
    TLS_DONE,   /* handshake: established; read: some bytes; write: all of them */
    TLS_WANT,   /* the input is used up */
    TLS_EOF,    /* the peer said goodbye */
    TLS_FAILED, /* detail says why */
};

typedef void tls_sink(void *arg, const char *bytes, size_t len);

MUST_CHECK enum err tls_session_new(const struct tls_start *start, tls_sink *sink, void *sink_arg,
                                    struct tls_session **ret_session);
void tls_session_free(struct tls_session *t);
/* bytes are read by the calls that follow, until those give TLS_WANT. */
void tls_session_input(struct tls_session *t, struct str bytes);
enum tls_result tls_session_handshake(struct tls_session *t);
enum tls_result tls_session_read(struct tls_session *t, char *out, size_t cap, size_t *ret_len);
enum tls_result tls_session_write(struct tls_session *t, const char *bytes, size_t len);
/* Say goodbye (close_notify). */
void tls_session_shutdown(struct tls_session *t);
/* After TLS_FAILED. */
struct str tls_session_detail(const struct tls_session *t);

#endif
