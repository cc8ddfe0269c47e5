#include "cli/wire/wire_socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

enum err wire_host_port_parse(struct str text, struct str *ret_host, uint16_t *ret_port)
{
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return ERR_INVALID;
    uint64_t port;
    TRY(str_to_u64(str_skip(text, colon), &port));
    if (port > UINT16_MAX)
        return ERR_INVALID;
    *ret_host = str_take(text, colon - 1);
    *ret_port = (uint16_t)port;
    return ERR_OK;
}

enum err wire_address_resolve(struct str host, uint16_t port, struct wire_address *ret_address)
{
    char name[256];
    char service[8];
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = str_of(host.ptr + 1, host.len - 2);
    if (host.len == 0)
        host = STR("127.0.0.1");
    if (host.len >= sizeof name)
        return ERR_INVALID;
    memcpy(name, host.ptr, host.len);
    name[host.len] = '\0';
    (void)snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    if (getaddrinfo(name, service, &hints, &found) != 0)
        return ERR_DNS;
    memcpy(&ret_address->bytes, found->ai_addr, found->ai_addrlen);
    ret_address->len = found->ai_addrlen;
    freeaddrinfo(found);
    return ERR_OK;
}

static void set_no_delay(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static enum err bind_and_listen(int fd, const struct wire_address *address, uint16_t *ret_port)
{
    int on = 1;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } bound = {.v6 = {.sin6_family = AF_UNSPEC}};
    socklen_t len = sizeof bound;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&address->bytes, address->len) != 0 ||
        listen(fd, SOMAXCONN) != 0 || getsockname(fd, &bound.any, &len) != 0)
        return errno == EADDRINUSE ? ERR_IN_USE : err_from_errno(errno);
    *ret_port = ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
    return ERR_OK;
}

enum err wire_listen(const struct wire_address *address, int *ret_fd, uint16_t *ret_port)
{
    int fd = socket(address->bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    enum err e = bind_and_listen(fd, address, ret_port);
    if (e != ERR_OK) {
        close(fd);
        return e;
    }
    *ret_fd = fd;
    return ERR_OK;
}

enum err wire_accept(int listen_fd, int *ret_fd)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? ERR_BUSY : ERR_CLOSED;
    set_no_delay(fd);
    *ret_fd = fd;
    return ERR_OK;
}

enum err wire_connect(const struct wire_address *address, int *ret_fd)
{
    int fd = socket(address->bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    set_no_delay(fd);
    if (connect(fd, (const struct sockaddr *)&address->bytes, address->len) != 0 &&
        errno != EINPROGRESS) {
        close(fd);
        return ERR_CONNECT;
    }
    *ret_fd = fd;
    return ERR_OK;
}

enum err wire_connect_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0)
        return ERR_CONNECT;
    return ERR_OK;
}

void wire_reset_on_close(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}
