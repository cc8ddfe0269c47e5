#include "net/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"
#include "os/channel.h"

static void address_with_port(const struct addrinfo *from, uint16_t port,
                              union net_address *ret_address)
{
    memcpy(ret_address, from->ai_addr, from->ai_addrlen);
    if (ret_address->any.sa_family == AF_INET6)
        ret_address->v6.sin6_port = htons(port);
    else
        ret_address->v4.sin_port = htons(port);
}

static enum err bind_error(void)
{
    return errno == EADDRINUSE ? ERR_IN_USE : err_from_errno(errno);
}

static enum err bind_one(const struct addrinfo *address, uint16_t port, int *ret_socket,
                         uint16_t *ret_port)
{
    union net_address bound;
    const int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    address_with_port(address, port, &bound);
    socklen_t len = sizeof bound;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        bind(fd, &bound.any, address->ai_addrlen) != 0 || listen(fd, LISTEN_BACKLOG) != 0 ||
        getsockname(fd, &bound.any, &len) != 0) {
        enum err e = bind_error();
        (void)close(fd);
        return e;
    }
    *ret_socket = fd;
    *ret_port = ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
    return ERR_OK;
}

/* SO_REUSEPORT lets another process of the same user share the port unnoticed, and take half of our
 * connections: find out with a socket that does not share. */
static enum err check_unused(const struct addrinfo *address, uint16_t port)
{
    if (port == 0)
        return ERR_OK;
    union net_address bound;
    const int on = 1;
    address_with_port(address, port, &bound);
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    enum err e = ERR_OK;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, &bound.any, address->ai_addrlen) != 0)
        e = bind_error();
    (void)close(fd);
    return e;
}

static enum err bind_all(const struct addrinfo *address, uint16_t port, size_t count,
                         int *ret_sockets, uint16_t *ret_port)
{
    TRY(check_unused(address, port));
    for (size_t i = 0; i < count; i++) {
        enum err e = bind_one(address, port, &ret_sockets[i], &port);
        if (e != ERR_OK) {
            while (i-- > 0)
                (void)close(ret_sockets[i]);
            return e;
        }
    }
    *ret_port = port;
    return ERR_OK;
}

static enum err resolve(struct str host, struct addrinfo **ret_addresses)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    BUF_AUTO struct buf text = {.max = 512};
    buf_append_str(&text, host);
    if (host.len == 0 || memchr(host.ptr, 0, host.len))
        return ERR_INVALID;
    const char *c = buf_cstr(&text);
    if (text.error != ERR_OK)
        return ERR_INVALID;
    return getaddrinfo(c, NULL, &hints, ret_addresses) == 0 ? ERR_OK : ERR_DNS;
}

static enum err say(struct buf *detail, enum err e, struct str host, uint16_t port,
                    const char *what)
{
    if (detail)
        buf_printf(detail, "cannot listen on %.*s:%u: %s", STR_ARG(host), (unsigned)port, what);
    return e;
}

/* ---- Successors ---- */

struct group {
    char address[300]; /* "host:port" as asked for */
    int fds[LISTEN_SOCKETS_MAX];
    size_t count;
};

struct groups {
    struct group at[LISTEN_GROUPS_MAX];
    size_t count;
};

static bool keeping;
static struct groups kept;
static struct groups inherited;

static void address_text(struct str host, uint16_t port, char ret_text[300])
{
    (void)snprintf(ret_text, 300, "%.*s:%u", STR_ARG(str_take(host, 256)), (unsigned)port);
}

void listen_keep(void)
{
    keeping = true;
}

static void keep(struct str host, uint16_t port, const int *sockets, size_t count)
{
    if (!keeping || kept.count == LISTEN_GROUPS_MAX || count > LISTEN_SOCKETS_MAX)
        return;
    struct group *g = &kept.at[kept.count++];
    address_text(host, port, g->address);
    g->count = 0;
    for (size_t i = 0; i < count; i++)
        if (os_fd_copy(sockets[i], &g->fds[g->count]) == ERR_OK)
            g->count++;
}

size_t listen_describe(struct buf *text, int *ret_fds)
{
    size_t n = 0;
    for (size_t i = 0; i < kept.count; i++) {
        buf_printf(text, "%s%s", i ? ";" : "", kept.at[i].address);
        for (size_t k = 0; k < kept.at[i].count; k++) {
            buf_printf(text, "%c%d", k ? ',' : '=', kept.at[i].fds[k]);
            ret_fds[n++] = kept.at[i].fds[k];
        }
    }
    return n;
}

void listen_forget(void)
{
    for (size_t i = 0; i < kept.count; i++)
        for (size_t k = 0; k < kept.at[i].count; k++)
            (void)close(kept.at[i].fds[k]);
    kept.count = 0;
}

static enum err inherit_group(struct str text)
{
    if (inherited.count == LISTEN_GROUPS_MAX)
        return ERR_INVALID;
    struct group *g = &inherited.at[inherited.count];
    struct str address = str_split(&text, '=');
    if (address.len >= sizeof g->address)
        return ERR_INVALID;
    memcpy(g->address, address.ptr, address.len);
    g->address[address.len] = 0;
    g->count = 0;
    while (text.ptr) {
        uint64_t fd;
        if (g->count == LISTEN_SOCKETS_MAX || str_to_u64(str_split(&text, ','), &fd) != ERR_OK ||
            fd > INT32_MAX)
            return ERR_INVALID;
        os_fd_close_on_exec((int)fd);
        g->fds[g->count++] = (int)fd;
    }
    inherited.count++;
    return ERR_OK;
}

enum err listen_inherit(struct str text)
{
    while (text.len)
        TRY(inherit_group(str_split(&text, ';')));
    return ERR_OK;
}

size_t listen_inherited_count(void)
{
    size_t most = 0;
    for (size_t i = 0; i < inherited.count; i++)
        most = inherited.at[i].count > most ? inherited.at[i].count : most;
    return most;
}

/* Those of that address, as many as are wanted at most, and the port they have. */
static size_t take_inherited(struct str host, uint16_t port, size_t count, int *ret_sockets,
                             uint16_t *ret_port)
{
    char address[300];
    address_text(host, port, address);
    for (size_t i = 0; i < inherited.count; i++) {
        struct group *g = &inherited.at[i];
        union net_address bound = {.any = {.sa_family = AF_UNSPEC}};
        socklen_t len = sizeof bound;
        if (strcmp(g->address, address) != 0 || g->count == 0 || g->count > count ||
            getsockname(g->fds[0], &bound.any, &len) != 0)
            continue;
        memcpy(ret_sockets, g->fds, g->count * sizeof g->fds[0]);
        *ret_port = ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
        size_t n = g->count;
        g->count = 0;
        return n;
    }
    return 0;
}

enum err listen_open(struct str host, uint16_t port, size_t count, struct buf *detail,
                     int *ret_sockets, uint16_t *ret_port)
{
    struct addrinfo *addresses = NULL;
    enum err e = resolve(host, &addresses);
    if (e != ERR_OK)
        return say(detail, e, host, port, "the host is not an address of this machine");
    size_t have = take_inherited(host, port, count, ret_sockets, ret_port);
    if (have == 0)
        e = bind_all(addresses, port, count, ret_sockets, ret_port);
    for (size_t i = have; have && i < count && e == ERR_OK; i++)
        e = bind_one(addresses, *ret_port, &ret_sockets[i], ret_port);
    freeaddrinfo(addresses);
    if (e == ERR_OK) {
        keep(host, port, ret_sockets, count);
        return ERR_OK;
    }
    return say(detail, e, host, port, e == ERR_IN_USE ? "the port is in use" : err_text(e));
}
