/* Addresses that a caller's URL may lead to, and those that it may not; and the client that asks.
 */
#include "tests/unit/net/client_rig.h"

#include <arpa/inet.h>

#include "net/guard.h"

static bool is_public(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return guard_address_is_public((struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return guard_address_is_public((struct sockaddr *)&v6);
}

static const char *const closed[] = {
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    /* IPv6 */
    "::",
    "::1",
    "::7f00:1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.1.2.3",
    "::ffff:169.254.169.254",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8",
    "2002:7f00:1::",
    "2002:c0a8:1::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:db8::1",
    "2001:1ff::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "100::1",
    "5f00::1",
    "4000::1",
};

static const char *const open[] = {
    "1.1.1.1",         "8.8.8.8",          "9.255.255.255",   "11.0.0.0",
    "100.63.255.255",  "100.128.0.0",      "126.255.255.255", "128.0.0.0",
    "169.253.255.255", "169.255.0.0",      "172.15.255.255",  "172.32.0.0",
    "192.0.1.0",       "192.167.255.255",  "192.169.0.0",     "198.17.255.255",
    "198.20.0.0",      "223.255.255.255",  "2606:4700::1111", "2001:4860:4860::8888",
    "2001:200::1",     "2a00:1450::1",     "3ffe::1",         "3fff:1000::1",
    "::ffff:8.8.8.8",  "64:ff9b::8.8.8.8", "2002:808:808::1",
};

static void every_range_and_its_edges(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof closed / sizeof closed[0]; i++)
        if (is_public(closed[i]))
            fail_msg("%s is taken for public", closed[i]);
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++)
        if (!is_public(open[i]))
            fail_msg("%s is not taken for public", open[i]);
}

static void other_families_are_not(void **state)
{
    struct sockaddr a = {.sa_family = AF_UNIX};
    (void)state;
    assert_false(guard_address_is_public(&a));
}

/* A name or an address that leads into the machine is not even dialled. */
static void a_guarded_origin_does_not_dial_it(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "::1", "localhost", "::ffff:127.0.0.1"};
    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct rig rig;
        struct told told = {0};
        struct http_origin_options options = {.host = str_from_c(hosts[i]), .public_only = true};
        rig_open(&rig, 9, &options);
        assert_int_equal(rig_start(&rig, &told, &get), ERR_OK);
        rig_wait(&rig);
        assert_true(told.failed);
        assert_int_equal(told.error, ERR_ACCESS);
        assert_non_null(strstr(told.detail, "not on the public internet"));
        buf_release(&told.body);
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_range_and_its_edges),
        cmocka_unit_test(other_families_are_not),
        cmocka_unit_test(a_guarded_origin_does_not_dial_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
