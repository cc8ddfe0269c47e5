/* Histograms by model: buckets, sums over loops, and the limit of their number. */
#include "state/meters.h"

#include <stdio.h>

#include "tests/unit/unit.h"

static struct meter_name named(const char *model, const char *error)
{
    return (struct meter_name){METER_CALLS, STR("chat"), STR("openai"), str_from_c(model),
                               str_from_c(error)};
}

static void loops_are_summed(void **state)
{
    struct meters *m = meters_new(3);
    struct meter_name name = named("gpt-5", NULL);
    struct meter_sums sums;
    (void)state;
    struct meter *meter = meters_get(m, &name);
    for (unsigned loop = 0; loop < 3; loop++) {
        meter_add(meter, loop, METER_CLIENT, 10000);      /* the first bucket's end is its own */
        meter_add(meter, loop, METER_CLIENT, 10001);      /* the second's */
        meter_add(meter, loop, METER_CLIENT, UINT32_MAX); /* above all */
        meter_count(meter, loop, METER_COST, 7);
    }
    meter_sum(meter, &sums);
    assert_int_equal(sums.histograms[METER_CLIENT].buckets[0], 3);
    assert_int_equal(sums.histograms[METER_CLIENT].buckets[1], 3);
    assert_int_equal(sums.histograms[METER_CLIENT].buckets[14], 3);
    assert_int_equal(sums.histograms[METER_CLIENT].sum, 3 * (20001 + (uint64_t)UINT32_MAX));
    assert_int_equal(sums.counters[METER_COST], 21);
    meters_free(m);
}

static void a_name_is_one_meter(void **state)
{
    struct meters *m = meters_new(1);
    struct meter_name good = named("gpt-5", NULL);
    struct meter_name bad = named("gpt-5", "429");
    struct meter_name shifted = named("gpt-", "5");
    struct meter_name key = {.kind = METER_KEY, .operation = STR("chat")};
    (void)state;
    struct meter *meter = meters_get(m, &good);
    assert_ptr_equal(meters_get(m, &good), meter);
    assert_ptr_not_equal(meters_get(m, &bad), meter);
    assert_ptr_not_equal(meters_get(m, &shifted), meter);
    assert_int_equal(meter_name(meters_get(m, &key))->kind, METER_KEY);
    assert_ptr_equal(meters_at(m, 0), meter);
    assert_null(meters_at(m, 4));
    assert_true(str_eq(meter_name(meters_at(m, 1))->error, STR("429")));
    meters_free(m);
}

static void there_are_only_so_many(void **state)
{
    struct meters *m = meters_new(1);
    struct meter *last = NULL;
    size_t count = 0;
    (void)state;
    for (int i = 0; i < METERS_MAX + 50; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "m%d", i);
        struct meter_name name = named(text, NULL);
        last = meters_get(m, &name);
        meter_add(last, 0, METER_SERVER, 1);
    }
    while (meters_at(m, count))
        count++;
    assert_int_equal(count, METERS_MAX + 1);
    assert_true(str_eq(meter_name(last)->operation, METER_OTHER));
    struct meter_sums sums;
    meter_sum(last, &sums);
    assert_int_equal(sums.histograms[METER_SERVER].buckets[0], 50);

    char text[METER_NAME_BYTES_MAX];
    memset(text, 'x', sizeof text);
    struct meter_name name = {.kind = METER_CALLS, .operation = STR("chat")};
    name.model = str_of(text, sizeof text);
    assert_ptr_equal(meters_get(m, &name), last);
    struct meter_name key = {.kind = METER_KEY, .operation = STR("late")};
    assert_int_equal(meter_name(meters_get(m, &key))->kind, METER_KEY);
    meters_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops_are_summed),
        cmocka_unit_test(a_name_is_one_meter),
        cmocka_unit_test(there_are_only_so_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
