/* Send one mail by SMTP (RFC 5321), and wait for it. TLS from the first byte, or by STARTTLS
 * (RFC 3207) wherever the server offers it; AUTH PLAIN or LOGIN (RFC 4954, only over TLS or to this
 * machine). Runs a private loop on the calling thread, so never from inside a loop's callback. */
#ifndef WEIR_NET_SMTP_H
#define WEIR_NET_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct smtp_message {
    struct str host;
    uint16_t port;
    bool tls;           /* from the first byte */
    struct str ca_file; /* PEM; empty: the system's certificates */
    struct str user;    /* empty: no AUTH */
    struct str password;
    struct str from; /* addresses without <> and without anything that ends a line */
    const struct str *to;
    size_t to_count;
    struct str mail;     /* headers, empty line, text; lines end with CRLF */
    uint32_t timeout_ms; /* for all of it */
};

/* Otherwise detail says why, in one line, without secrets. ERR_DNS, ERR_CONNECT, ERR_TLS,
 * ERR_TIMEOUT, ERR_RESET, ERR_PROTOCOL: the server refused. Some of several recipients may have
 * been refused: then nothing is sent. */
MUST_CHECK enum err smtp_send(const struct smtp_message *message, struct buf *detail);

/* "Tue, 24 Nov 2026 10:00:00 +0000" (RFC 5322). */
void smtp_date_append(struct buf *out, int64_t wall_us);

#endif
