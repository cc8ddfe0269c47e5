/* Sockets that listen on one address, one for each loop: the kernel spreads connections over them
 * (SO_REUSEPORT). */
#ifndef WEIR_NET_LISTEN_H
#define WEIR_NET_LISTEN_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { LISTEN_BACKLOG = 1024 /* connections that the kernel holds for us, a socket */ };

/* count sockets, listening, not blocking. port 0: any free one; *ret_port is the real one. Sharing
 * is among them only: ERR_IN_USE when anybody else has the port. ERR_DNS: the host is no address of
 * this machine. *detail (may be NULL) then gets a sentence. */
MUST_CHECK enum err listen_open(struct str host, uint16_t port, size_t count, struct buf *detail,
                                int *ret_sockets, uint16_t *ret_port);

#endif
