#include "tests/unit/unit.h"

#include "base/histogram.h"

static void percentiles_are_within_a_bucket(void **state)
{
    (void)state;
    static struct histogram h;
    histogram_init(&h);
    assert_int_equal(histogram_percentile(&h, 99), 0);
    for (uint64_t v = 1; v <= 100000; v++)
        histogram_add(&h, v);
    for (int p = 1; p <= 100; p++) {
        uint64_t exact = (uint64_t)p * 1000;
        uint64_t got = histogram_percentile(&h, p);
        assert_true(got >= exact);
        assert_true(got <= exact + exact / 64 + 1);
    }
    assert_int_equal(histogram_percentile(&h, 100), 100000);
    assert_int_equal(histogram_percentile(&h, 0), 1);
}

static void huge_values_stay_inside(void **state)
{
    (void)state;
    static struct histogram h;
    static struct histogram other;
    histogram_init(&h);
    histogram_init(&other);
    histogram_add(&h, UINT64_MAX);
    histogram_add(&other, 3);
    histogram_merge(&h, &other);
    assert_int_equal(h.count, 2);
    assert_int_equal(histogram_percentile(&h, 50), 3);
    assert_true(histogram_percentile(&h, 100) > (1ull << 39));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_within_a_bucket),
        cmocka_unit_test(huge_values_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
