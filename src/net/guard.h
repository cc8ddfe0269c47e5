/* Which addresses a URL from outside may lead to. Nothing that Weir dials today comes from a
 * caller: providers, proxies and brokers stand in the configuration, and image URLs go to the
 * provider as they are. Whatever dials something that a caller can influence opens its origin with
 * `public_only` (net/http_client.h), so that a name that resolves into the machine, its network or
 * a cloud's metadata service leads nowhere.
 *
 * Pure; any thread. */
#ifndef WEIR_NET_GUARD_H
#define WEIR_NET_GUARD_H

#include <stdbool.h>

struct sockaddr;

/* A globally reachable unicast address (IANA's special-purpose registries, RFC 6890): not this
 * host, loopback, private, shared, link-local (169.254.169.254 is one), documentation, benchmark,
 * multicast, reserved; nor an IPv6 address that carries such an IPv4 address: mapped, compatible,
 * NAT64, 6to4, Teredo. Anything but IPv4 and IPv6: no. */
bool guard_address_is_public(const struct sockaddr *address);

#endif
