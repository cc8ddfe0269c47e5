/* TLS of one client connection, over a socket that does not block. */
#ifndef WEIR_CLI_WIRE_TLS_H
#define WEIR_CLI_WIRE_TLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct wire_tls;
struct wire_tls_settings;

/* Certificates are verified: against ca_file (PEM), or against the system's when it is empty.
 * ERR_TLS; detail says why. */
MUST_CHECK enum err wire_tls_settings_new(struct str ca_file, struct buf *detail,
                                          struct wire_tls_settings **ret_settings);
void wire_tls_settings_free(struct wire_tls_settings *settings);

/* host: the name to ask for and to verify. The handshake happens inside the first calls below. */
struct wire_tls *wire_tls_new(struct wire_tls_settings *settings, int fd, struct str host);
/* NULL is fine. */
void wire_tls_free(struct wire_tls *tls);
/* As recv and send: -1 with errno EAGAIN when the socket is not ready, -1 with EPROTO when TLS
 * fails. A read is repeated until EAGAIN: epoll does not see what is decrypted already. */
ssize_t wire_tls_read(struct wire_tls *tls, void *bytes, size_t len);
ssize_t wire_tls_write(struct wire_tls *tls, const void *bytes, size_t len);
/* EPOLLIN or EPOLLOUT: what the last EAGAIN waits for. */
uint32_t wire_tls_wants(const struct wire_tls *tls);

#endif
