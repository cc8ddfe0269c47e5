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

/* ---- Handing listening sockets to a successor process ----
 *
 * A connection waits in the kernel with its socket, and lives as long as one process has that
 * socket open: so none is refused while one process hands over to the next. Main thread. */

enum {
    LISTEN_GROUPS_MAX = 4,   /* addresses */
    LISTEN_SOCKETS_MAX = 64, /* of one address */
};

/* Keep copies of what is opened from now on. */
void listen_keep(void);
/* Describe them as text ("127.0.0.1:8080=5,6;…", hosts and ports as asked for), and append their
 * numbers to ret_fds, which has room for LISTEN_GROUPS_MAX × LISTEN_SOCKETS_MAX. */
size_t listen_describe(struct buf *text, int *ret_fds);
/* Close the copies: from now on connections are refused when the servers have stopped. */
void listen_forget(void);
/* The successor: these are open here. listen_open then takes those of its address, before it makes
 * any. ERR_INVALID. */
MUST_CHECK enum err listen_inherit(struct str text);
/* The most sockets that one address has among the inherited: there must be as many loops. */
size_t listen_inherited_count(void);

#endif
