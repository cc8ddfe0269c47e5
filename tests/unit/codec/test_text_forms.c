/* Digests, base64, UUIDs, times: against the examples of their specifications. */
#include "tests/unit/unit.h"

#include "codec/base64.h"
#include "codec/digest.h"
#include "codec/time.h"
#include "codec/uuid.h"

static void digest_matches_fips_180(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        const char *hex;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    struct digest *pieces = digest_new();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str bytes = str_from_c(cases[i].bytes);
        uint8_t digest[DIGEST_BYTES];
        char hex[DIGEST_HEX_BYTES + 1] = "";
        digest_sha256(bytes, digest);
        hex_encode(digest, sizeof digest, hex);
        assert_string_equal(hex, cases[i].hex);
        digest_update(pieces, str_take(bytes, 2));
        digest_update(pieces, str_skip(bytes, 2));
        digest_final(pieces, digest);
        hex_encode(digest, sizeof digest, hex);
        assert_string_equal(hex, cases[i].hex);
    }
    digest_free(pieces);
}

static void hex_refuses_other_digits(void **state)
{
    (void)state;
    uint8_t bytes[2] = {1, 2};
    assert_int_equal(hex_decode(STR("aBc0"), bytes, 2), ERR_OK);
    assert_int_equal(bytes[0], 0xab);
    assert_int_equal(bytes[1], 0xc0);
    assert_int_equal(hex_decode(STR("abcg"), bytes, 2), ERR_INVALID);
    assert_int_equal(hex_decode(STR("abc"), bytes, 2), ERR_INVALID);
    assert_int_equal(hex_decode(STR("ab\xc3\xbf"), bytes, 2), ERR_INVALID);
    assert_int_equal(bytes[0], 0xab);
}

static void base64_matches_rfc_4648(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff", "+/8="},
    };
    struct buf b BUF_AUTO;
    buf_init(&b, 64);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buf_reset(&b);
        base64_encode(str_from_c(cases[i][0]), &b);
        assert_string_equal(buf_cstr(&b), cases[i][1]);
        buf_reset(&b);
        assert_int_equal(base64_decode(str_from_c(cases[i][1]), &b), ERR_OK);
        assert_true(str_eq(buf_str(&b), str_from_c(cases[i][0])));
    }
    buf_reset(&b);
    assert_int_equal(base64_decode(STR("-_8"), &b), ERR_OK);
    assert_true(str_eq(buf_str(&b), STR("\xfb\xff")));
}

static void base64_refuses_what_is_not(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Z", "Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=", "Zm 9v", "Zg==Zg=="};
    struct buf b BUF_AUTO;
    buf_init(&b, 64);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (base64_decode(str_from_c(bad[i]), &b) != ERR_INVALID)
            fail_msg("'%s' was accepted", bad[i]);
        assert_int_equal(b.len, 0);
    }
    struct buf small BUF_AUTO;
    buf_init(&small, 2);
    assert_int_equal(base64_decode(STR("Zm9v"), &small), ERR_TOO_LARGE);
}

static void uuids_have_their_bits(void **state)
{
    (void)state;
    char text[UUID_TEXT_BYTES + 1];
    uint8_t ones[16];
    memset(ones, 0xff, sizeof ones);
    assert_string_equal(uuid_format(uuid_v4(ones), text).ptr,
                        "ffffffff-ffff-4fff-bfff-ffffffffffff");
    /* RFC 9562, appendix A.6: 2022-02-22T19:22:22Z. */
    int64_t us = INT64_C(1645557742000000);
    uint8_t rest[8] = {0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f};
    assert_string_equal(uuid_format(uuid_v7(us, rest), text).ptr,
                        "017f22e2-79b0-7000-98c4-dc0c0c07398f");
    assert_true(uuid_v7_ms(uuid_v7(us + 999, rest)) == us / 1000);
    for (int i = 1; i < 1000; i++)
        assert_true(memcmp(uuid_v7(us + i - 1, rest).bytes, uuid_v7(us + i, rest).bytes, 16) < 0);
}

static void uuids_are_read(void **state)
{
    (void)state;
    char text[UUID_TEXT_BYTES + 1];
    struct uuid u = {{9}};
    assert_int_equal(uuid_parse(STR("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), &u), ERR_OK);
    assert_string_equal(uuid_format(u, text).ptr, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    assert_int_equal(uuid_parse(STR("017f22e2x79b0-7cc3-98c4-dc0c0c07398f"), &u), ERR_INVALID);
    assert_int_equal(uuid_parse(STR("017f22e279b0-7cc3-98c4-dc0c0c07398f-"), &u), ERR_INVALID);
    assert_int_equal(uuid_parse(STR("017f22e2-79b0-7cc3-98c4-dc0c0c07398"), &u), ERR_INVALID);
    assert_int_equal(uuid_parse(STR(""), &u), ERR_INVALID);
}

static void times_are_shown_and_read_back(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000000Z"},
        {-1, "1969-12-31T23:59:59.999999Z"},
        {INT64_C(951782400000001), "2000-02-29T00:00:00.000001Z"},
        {INT64_C(1763978400123456), "2025-11-24T10:00:00.123456Z"},
        {INT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z"},
        {INT64_C(-62167219200000000), "0000-01-01T00:00:00.000000Z"},
        {INT64_C(-2203891200000000), "1900-03-01T00:00:00.000000Z"},
    };
    char text[TIME_TEXT_BYTES + 1];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t us = 5;
        assert_string_equal(time_format(cases[i].us, text).ptr, cases[i].text);
        assert_int_equal(time_parse(str_from_c(cases[i].text), &us), ERR_OK);
        assert_true(us == cases[i].us);
    }
}

static void every_day_of_the_calendar_goes_both_ways(void **state)
{
    (void)state;
    char text[TIME_TEXT_BYTES + 1];
    char before[TIME_TEXT_BYTES + 1] = "";
    for (int64_t day = -719528; day <= 2932896; day += 1) {
        int64_t us = 0;
        struct str shown = time_format(day * INT64_C(86400000000), text);
        assert_int_equal(time_parse(shown, &us), ERR_OK);
        assert_true(us == day * INT64_C(86400000000));
        assert_true(strcmp(before, text) < 0);
        memcpy(before, text, sizeof text);
    }
}

static void other_ways_to_write_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {
        {"1970-01-01t00:00:01z", 1000000},
        {"1970-01-01 01:00:00.5+01:00", 500000},
        {"1969-12-31T20:00:00.0000009-04:00", 0},
        {"1969-12-31T23:59:60Z", 0},
    };
    static const char *const bad[] = {
        "",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-13-01T00:00:00Z",
        "1970-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "1970-01-00T00:00:00Z",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z",
        "1970-01-01T00:00:61Z",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00+0100",
        "1970-01-01T00:00:00+24:00",
        "1970-01-01T00:00:00Z ",
        "+970-01-01T00:00:00Z",
        "1970-01-01T00:00:0",
    };
    int64_t us = 0;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(time_parse(str_from_c(good[i].text), &us), ERR_OK);
        assert_true(us == good[i].us);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (time_parse(str_from_c(bad[i]), &us) != ERR_INVALID)
            fail_msg("'%s' was accepted", bad[i]);
}

static void spans_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
        const char *shown;
    } good[] = {
        {"0", 0, "0s"},          {"500ms", 500, "500ms"},    {"30s", 30000, "30s"},
        {"90s", 90000, "90s"},   {"600s", 600000, "10m"},    {"1h", 3600000, "1h"},
        {"24h", 86400000, "1d"}, {"30d", 2592000000, "30d"}, {"0s", 0, "0s"},
    };
    static const char *const bad[] = {"", "s", "30", "-1s", "1.5s", "30 s", "30S", "1w", "30ss"};
    char text[TIME_SPAN_TEXT_BYTES];
    int64_t ms = 0;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(time_span_parse(str_from_c(good[i].text), &ms), ERR_OK);
        assert_true(ms == good[i].ms);
        assert_string_equal(time_span_format(ms, text).ptr, good[i].shown);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (time_span_parse(str_from_c(bad[i]), &ms) != ERR_INVALID)
            fail_msg("'%s' was accepted", bad[i]);
    assert_int_equal(time_span_parse(STR("9223372036854775807d"), &ms), ERR_OUT_OF_RANGE);
    assert_string_equal(time_span_format(INT64_MAX, text).ptr, "9223372036854775807ms");
}

static void moments_are_dates_or_ages(void **state)
{
    (void)state;
    const int64_t now_us = 1795000000000000;
    static const char *const bad[] = {
        "", "yesterday", "10", "-10m", "2026-13-01T00:00:00Z", "9223372036854775807d"};
    int64_t at = 0;
    assert_int_equal(time_point_parse(STR("10m"), now_us, &at), ERR_OK);
    assert_true(at == now_us - 600 * INT64_C(1000000));
    assert_int_equal(time_point_parse(STR("2026-11-24T17:00:00Z"), now_us, &at), ERR_OK);
    assert_true(at == INT64_C(1795539600) * 1000000);
    assert_int_equal(time_point_parse(STR("100000d"), now_us, &at), ERR_OK);
    assert_true(at == 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (time_point_parse(str_from_c(bad[i]), now_us, &at) != ERR_INVALID)
            fail_msg("'%s' was accepted", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_matches_fips_180),
        cmocka_unit_test(hex_refuses_other_digits),
        cmocka_unit_test(base64_matches_rfc_4648),
        cmocka_unit_test(base64_refuses_what_is_not),
        cmocka_unit_test(uuids_have_their_bits),
        cmocka_unit_test(uuids_are_read),
        cmocka_unit_test(times_are_shown_and_read_back),
        cmocka_unit_test(every_day_of_the_calendar_goes_both_ways),
        cmocka_unit_test(other_ways_to_write_times),
        cmocka_unit_test(spans_have_units),
        cmocka_unit_test(moments_are_dates_or_ages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
