#include "net/guard.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* 0x0a000000, 8: 10.0.0.0/8 */
struct range4 {
    uint32_t from;
    unsigned bits;
};

static const struct range4 closed4[] = {
    {0x00000000, 8},  /* this network */
    {0x0a000000, 8},  /* private */
    {0x64400000, 10}, /* shared: carrier-grade NAT, some clouds' metadata */
    {0x7f000000, 8},  /* loopback */
    {0xa9fe0000, 16}, /* link-local; metadata services */
    {0xac100000, 12}, /* private */
    {0xc0000000, 24}, /* protocol assignments; 192.0.0.192 is a metadata service */
    {0xc0000200, 24}, /* documentation */
    {0xc0586300, 24}, /* 6to4 relays */
    {0xc0a80000, 16}, /* private */
    {0xc6120000, 15}, /* benchmarks */
    {0xc6336400, 24}, /* documentation */
    {0xcb007100, 24}, /* documentation */
    {0xe0000000, 3},  /* multicast, reserved, broadcast */
};

static bool public4(uint32_t address)
{
    for (size_t i = 0; i < sizeof closed4 / sizeof closed4[0]; i++)
        if ((address ^ closed4[i].from) >> (32 - closed4[i].bits) == 0)
            return false;
    /* Azure's platform address, which answers from inside only. */
    return address != 0xa83f8110;
}

static uint32_t read4(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static bool starts(const uint8_t *a, const uint8_t *prefix, size_t len)
{
    return memcmp(a, prefix, len) == 0;
}

static bool public6(const uint8_t a[16])
{
    static const uint8_t zeros[12] = {0};
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    static const uint8_t six_to_four[2] = {0x20, 0x02};
    static const uint8_t documentation[4] = {0x20, 0x01, 0x0d, 0xb8};
    static const uint8_t assignments[2] = {0x20, 0x01}; /* 2001::/23: Teredo, ORCHID, benchmarks */
    static const uint8_t documentation2[2] = {0x3f, 0xff};
    if (starts(a, mapped, sizeof mapped))
        return public4(read4(a + 12));
    if (starts(a, nat64, sizeof nat64))
        return public4(read4(a + 12));
    if (starts(a, zeros, sizeof zeros)) /* ::, ::1, and compatible addresses, long gone */
        return false;
    if (starts(a, six_to_four, sizeof six_to_four))
        return public4(read4(a + 2));
    if (starts(a, assignments, sizeof assignments) && a[2] < 2)
        return false;
    if (starts(a, documentation, sizeof documentation) ||
        (starts(a, documentation2, sizeof documentation2) && a[2] < 0x10))
        return false;
    return (a[0] & 0xe0) == 0x20; /* 2000::/3: all that is given out to be reached */
}

bool guard_address_is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        return public4(ntohl(v4.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        return public6(v6.sin6_addr.s6_addr);
    }
    return false;
}
