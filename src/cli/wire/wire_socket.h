/* Sockets of the measuring tools: addresses, listening, connecting, resetting. TCP_NODELAY is
 * always set, CLOEXEC and non-blocking too. */
#ifndef WEIR_CLI_WIRE_SOCKET_H
#define WEIR_CLI_WIRE_SOCKET_H

#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/str.h"

struct wire_address {
    struct sockaddr_storage bytes;
    socklen_t len;
};

/* "127.0.0.1:8080", "[::1]:0", "localhost:80", ":8080" (loopback). ERR_INVALID. */
MUST_CHECK enum err wire_host_port_parse(struct str text, struct str *ret_host, uint16_t *ret_port);
/* Resolves, blocking. host may have brackets or be empty (loopback). ERR_DNS, ERR_INVALID. */
MUST_CHECK enum err wire_address_resolve(struct str host, uint16_t port,
                                         struct wire_address *ret_address);
/* ERR_IN_USE, ERR_ACCESS, ERR_IO… The port is the one really bound. */
MUST_CHECK enum err wire_listen(const struct wire_address *address, int *ret_fd,
                                uint16_t *ret_port);
/* ERR_CLOSED: nobody waits. ERR_BUSY: no descriptor is free. */
MUST_CHECK enum err wire_accept(int listen_fd, int *ret_fd);
/* The connection may still be under way: writable means that it is decided (wire_connect_error). */
MUST_CHECK enum err wire_connect(const struct wire_address *address, int *ret_fd);
/* Outcome of a connection that has become writable. */
MUST_CHECK enum err wire_connect_error(int fd);
/* Make a following close send RST instead of FIN. */
void wire_reset_on_close(int fd);

#endif
