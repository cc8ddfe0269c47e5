/* Breaker, permits, latency and retry budget under a clock of our own. */
#include "tests/unit/unit.h"

#include "base/mem.h"
#include "os/random.h"
#include "os/thread.h"
#include "state/targets.h"

#define MS     UINT64_C(1000)
#define SECOND UINT64_C(1000000)
#define START  (1000 * SECOND)

static const struct config_breaker quick = {
    .percent = 50, .requests = 4, .window_ms = 10000, .open_ms = 1000, .open_max_ms = 4000};

/* ---- Tally ---- */

static void a_tally_forgets_after_its_window(void **state)
{
    struct tally t = {0};
    (void)state;
    tally_add(&t, START, 10000, 3, 1);
    tally_add(&t, START + 5 * SECOND, 10000, 0, 2);
    struct tally_sum sum = tally_sum(&t, START + 9 * SECOND, 10000);
    assert_int_equal(sum.first, 3);
    assert_int_equal(sum.second, 3);
    sum = tally_sum(&t, START + 10 * SECOND, 10000);
    assert_int_equal(sum.first, 0);
    assert_int_equal(sum.second, 2);
    assert_int_equal(tally_sum(&t, START + 15 * SECOND, 10000).second, 0);
    for (int i = 0; i < 200000; i++)
        tally_add(&t, START + 30 * SECOND, 10000, 1, i % 4 == 0);
    sum = tally_sum(&t, START + 30 * SECOND, 10000);
    assert_in_range(sum.first, 30000, 65535);
    assert_in_range(sum.second * 100 / sum.first, 24, 26);
}

/* ---- Breaker ---- */

static void fail_times(struct breaker *b, int n, uint64_t now_us)
{
    for (int i = 0; i < n; i++)
        breaker_fault(b, &quick, false, now_us);
}

static void it_opens_by_share_and_number(void **state)
{
    struct breaker b = {0};
    (void)state;
    fail_times(&b, 3, START);
    assert_int_equal(breaker_state(&b), BREAKER_CLOSED); /* too few to say */
    for (int i = 0; i < 5; i++)
        breaker_ok(&b, &quick, false, START);
    fail_times(&b, 1, START); /* 4 of 9 */
    assert_int_equal(breaker_state(&b), BREAKER_CLOSED);
    fail_times(&b, 1, START); /* 5 of 10 */
    assert_int_equal(breaker_state(&b), BREAKER_OPEN);
    assert_in_range(breaker_until_us(&b), START + SECOND, START + SECOND + 126 * MS);
    assert_int_equal(breaker_enter(&b, &quick, false, START + 900 * MS), BREAKER_REFUSE);
    assert_false(breaker_admits(&b, &quick, START));
    assert_int_equal(atomic_load(&b.opened), 1);
}

static void old_failures_do_not_open_it(void **state)
{
    struct breaker b = {0};
    (void)state;
    fail_times(&b, 3, START);
    fail_times(&b, 3, START + 11 * SECOND);
    assert_int_equal(breaker_state(&b), BREAKER_CLOSED);
}

static void one_probe_at_a_time_and_its_ends(void **state)
{
    struct breaker b = {0};
    uint64_t now = START;
    (void)state;
    fail_times(&b, 4, now);
    now += 2 * SECOND;
    assert_true(breaker_admits(&b, &quick, now));
    assert_int_equal(breaker_enter(&b, &quick, false, now), BREAKER_PROBE);
    assert_int_equal(breaker_state(&b), BREAKER_HALF_OPEN);
    assert_int_equal(breaker_enter(&b, &quick, false, now), BREAKER_REFUSE);
    assert_int_equal(breaker_enter(&b, &quick, true, now), BREAKER_PASS);
    /* Those that went before it opened, or were forced, change nothing. */
    breaker_ok(&b, &quick, false, now);
    breaker_fault(&b, &quick, false, now);
    assert_int_equal(breaker_state(&b), BREAKER_HALF_OPEN);
    /* The client left: the next one may probe at once. */
    breaker_forgive(&b, true, now);
    assert_int_equal(breaker_state(&b), BREAKER_OPEN);
    assert_int_equal(breaker_enter(&b, &quick, false, now), BREAKER_PROBE);
    /* It failed: twice as long. */
    breaker_fault(&b, &quick, true, now);
    assert_in_range(breaker_until_us(&b), now + 2 * SECOND, now + 2251 * MS);
    now += 3 * SECOND;
    for (int i = 0; i < 5; i++) { /* and no longer than the most */
        assert_int_equal(breaker_enter(&b, &quick, false, now), BREAKER_PROBE);
        breaker_fault(&b, &quick, true, now);
        now += 5 * SECOND;
    }
    assert_in_range(breaker_until_us(&b), now - 1 * SECOND, now - 499 * MS);
    assert_int_equal(breaker_enter(&b, &quick, false, now), BREAKER_PROBE);
    breaker_ok(&b, &quick, true, now);
    assert_int_equal(breaker_state(&b), BREAKER_CLOSED);
    /* What it had failed before is forgotten, and so is how long it was open. */
    fail_times(&b, 2, now);
    assert_int_equal(breaker_state(&b), BREAKER_CLOSED);
    fail_times(&b, 3, now);
    assert_in_range(breaker_until_us(&b), now + SECOND, now + SECOND + 126 * MS);
}

/* ---- Targets ---- */

struct rig {
    struct targets *registry;
    struct config_provider provider;
    struct config_target config;
    struct target_state *t;
};

static struct rig rig_new(void)
{
    struct rig r = {.registry = targets_new()};
    r.provider.name = STR("p");
    r.provider.url.text = STR("http://p/v1");
    r.provider.breaker = quick;
    r.provider.retry_budget = (struct config_retry_budget){.percent = 20, .reserve_per_s = 1};
    r.t = target_state_get(r.registry, STR("p/m"), &r.provider);
    return r;
}

static void rig_release(struct rig *r)
{
    target_state_put(r->registry, r->t);
    targets_free(r->registry);
}

static enum target_skip enter(struct rig *r, bool retry, uint64_t now, struct target_permit *permit)
{
    r->config.provider = &r->provider;
    struct target_ask ask = {.config = &r->config, .retry = retry};
    return target_enter(r->t, &ask, now, permit);
}

static void leave(struct rig *r, struct target_permit *p, enum target_verdict verdict, uint64_t now)
{
    target_leave(p, &r->config, verdict, -1, now);
}

static void the_same_name_and_url_is_the_same_target(void **state)
{
    struct rig r = rig_new();
    struct config_provider moved = r.provider;
    (void)state;
    moved.url.text = STR("http://q/v1");
    struct target_state *again = target_state_get(r.registry, STR("p/m"), &r.provider);
    struct target_state *other = target_state_get(r.registry, STR("p/n"), &r.provider);
    struct target_state *elsewhere = target_state_get(r.registry, STR("p/m"), &moved);
    assert_ptr_equal(again, r.t);
    assert_ptr_not_equal(other, r.t);
    assert_ptr_equal(other->provider, r.t->provider);
    assert_ptr_not_equal(elsewhere->provider, r.t->provider);
    target_state_put(r.registry, again);
    target_state_put(r.registry, other);
    target_state_put(r.registry, elsewhere);
    rig_release(&r);
}

static void concurrency_of_target_and_provider(void **state)
{
    struct rig r = rig_new();
    struct target_permit a = {0}, b = {0}, c = {0};
    (void)state;
    r.config.concurrency = 2;
    r.provider.concurrency = 3;
    struct target_state *other = target_state_get(r.registry, STR("p/n"), &r.provider);
    assert_int_equal(enter(&r, false, START, &a), TARGET_SKIP_NONE);
    assert_int_equal(enter(&r, false, START, &b), TARGET_SKIP_NONE);
    assert_int_equal(enter(&r, false, START, &c), TARGET_SKIP_BUSY);
    r.config.concurrency = 0;
    assert_int_equal(enter(&r, false, START, &c), TARGET_SKIP_NONE);
    struct target_ask ask = {.config = &r.config};
    struct target_permit d = {0};
    assert_int_equal(target_enter(other, &ask, START, &d), TARGET_SKIP_BUSY);
    assert_int_equal(atomic_load(&other->in_flight), 0);
    leave(&r, &a, TARGET_NEUTRAL, START);
    leave(&r, &a, TARGET_NEUTRAL, START); /* an empty one is fine */
    assert_int_equal(target_enter(other, &ask, START, &d), TARGET_SKIP_NONE);
    leave(&r, &b, TARGET_OK, START);
    leave(&r, &c, TARGET_FAULT, START);
    target_leave(&d, &r.config, TARGET_OK, -1, START);
    assert_int_equal(atomic_load(&r.t->provider->in_flight), 0);
    assert_int_equal(atomic_load(&r.t->in_flight), 0);
    target_state_put(r.registry, other);
    rig_release(&r);
}

static void client_faults_never_trip_it(void **state)
{
    struct rig r = rig_new();
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct target_permit p = {0};
        assert_int_equal(enter(&r, false, START, &p), TARGET_SKIP_NONE);
        leave(&r, &p, TARGET_NEUTRAL, START);
    }
    assert_int_equal(breaker_state(&r.t->breaker), BREAKER_CLOSED);
    rig_release(&r);
}

static void a_probe_returns_its_permit_whatever_its_end(void **state)
{
    static const enum target_verdict ends[] = {TARGET_OK, TARGET_FAULT, TARGET_NEUTRAL};
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct rig r = rig_new();
        struct target_permit p = {0};
        uint64_t now = START;
        for (int n = 0; n < 4; n++) {
            assert_int_equal(enter(&r, false, now, &p), TARGET_SKIP_NONE);
            leave(&r, &p, TARGET_FAULT, now);
        }
        assert_int_equal(enter(&r, false, now, &p), TARGET_SKIP_OPEN);
        now += 2 * SECOND;
        assert_int_equal(enter(&r, false, now, &p), TARGET_SKIP_NONE);
        assert_true(p.probe);
        if (i >= 3) { /* its first byte came before its end */
            target_answered(&p, &r.config, now);
            assert_int_equal(breaker_state(&r.t->breaker), BREAKER_CLOSED);
        }
        leave(&r, &p, ends[i % 3], now);
        assert_int_not_equal(breaker_state(&r.t->breaker), BREAKER_HALF_OPEN);
        now += 5 * SECOND;
        assert_int_equal(enter(&r, false, now, &p), TARGET_SKIP_NONE);
        leave(&r, &p, TARGET_OK, now);
        assert_int_equal(atomic_load(&r.t->in_flight), 0);
        rig_release(&r);
    }
}

static void retry_after_keeps_calls_away(void **state)
{
    struct rig r = rig_new();
    struct target_permit p = {0};
    (void)state;
    assert_int_equal(enter(&r, false, START, &p), TARGET_SKIP_NONE);
    target_leave(&p, &r.config, TARGET_FAULT, 3000, START);
    assert_int_equal(enter(&r, false, START + 2999 * MS, &p), TARGET_SKIP_COOLING);
    assert_false(target_is_up(r.t, &r.config, START));
    assert_int_equal(target_up_at_us(r.t), START + 3 * SECOND);
    assert_int_equal(enter(&r, false, START + 3 * SECOND, &p), TARGET_SKIP_NONE);
    target_leave(&p, &r.config, TARGET_FAULT, 1000, START); /* the longer one stays */
    assert_int_equal(target_up_at_us(r.t), START + 3 * SECOND);
    struct target_ask force = {.config = &r.config, .force = true};
    assert_int_equal(target_enter(r.t, &force, START, &p), TARGET_SKIP_NONE);
    leave(&r, &p, TARGET_OK, START);
    rig_release(&r);
}

static void retries_have_a_budget(void **state)
{
    struct rig r = rig_new();
    struct target_permit p = {0};
    int allowed = 0;
    (void)state;
    r.provider.breaker.off = true;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(enter(&r, false, START, &p), TARGET_SKIP_NONE);
        leave(&r, &p, TARGET_FAULT, START);
        enum target_skip reason = enter(&r, true, START, &p);
        if (reason == TARGET_SKIP_NONE) {
            allowed++;
            leave(&r, &p, TARGET_FAULT, START);
        } else {
            assert_int_equal(reason, TARGET_SKIP_BUDGET);
        }
    }
    assert_int_equal(allowed, 200 * 20 / 100 + 10);
    assert_int_equal(enter(&r, true, START + 11 * SECOND, &p), TARGET_SKIP_NONE);
    leave(&r, &p, TARGET_OK, START + 11 * SECOND);
    rig_release(&r);
}

static void measure(struct rig *r, uint64_t us, enum target_verdict verdict, uint64_t now)
{
    struct target_permit p = {0};
    assert_int_equal(enter(r, false, now, &p), TARGET_SKIP_NONE);
    leave(r, &p, verdict, now + us);
}

static void latency_follows_and_fades(void **state)
{
    struct rig r = rig_new();
    uint64_t now = START;
    (void)state;
    r.provider.breaker.off = true;
    assert_true(target_latency_us(r.t, now) == 0);
    measure(&r, 100 * MS, TARGET_OK, now);
    now += 100 * MS;
    assert_in_range((uint64_t)target_latency_us(r.t, now), 99 * MS, 101 * MS);
    for (int i = 0; i < 60; i++)
        measure(&r, 500 * MS, TARGET_OK, now);
    now += 500 * MS;
    assert_in_range((uint64_t)target_latency_us(r.t, now), 480 * MS, 500 * MS);
    uint64_t later = (uint64_t)target_latency_us(r.t, now + 30 * SECOND);
    assert_in_range(later, 170 * MS, 190 * MS);
    measure(&r, 1 * MS, TARGET_FAULT, now + 60 * SECOND); /* fast failing is not fast */
    assert_true(target_latency_us(r.t, now + 60 * SECOND) > 900e3);
    rig_release(&r);
}

/* ---- Threads ---- */

struct crowd {
    struct rig *rig;
    atomic_uint probes;
    atomic_uint passed;
};

static void many_calls(void *arg)
{
    struct crowd *crowd = arg;
    for (unsigned i = 0; i < 20000; i++) {
        struct target_permit p = {0};
        struct target_ask ask = {.config = &crowd->rig->config};
        uint64_t now = START + i * MS;
        if (target_enter(crowd->rig->t, &ask, now, &p) != TARGET_SKIP_NONE)
            continue;
        atomic_fetch_add(&crowd->passed, 1);
        if (p.probe) /* only one is out: the holder sees itself alone */
            assert_int_equal(atomic_fetch_add(&crowd->probes, 1), 0);
        bool probe = p.probe;
        if (probe)
            atomic_fetch_sub(&crowd->probes, 1);
        target_leave(&p, &crowd->rig->config, (enum target_verdict)(os_random_u64() % 3), -1, now);
    }
}

static void permits_add_up_under_threads(void **state)
{
    struct rig r = rig_new();
    struct crowd crowd = {.rig = &r};
    struct os_thread threads[4];
    (void)state;
    r.config.provider = &r.provider;
    r.config.concurrency = 3;
    r.provider.breaker.open_ms = 5;
    r.provider.breaker.open_max_ms = 20;
    for (int i = 0; i < 4; i++)
        assert_int_equal(os_thread_start("crowd", many_calls, &crowd, &threads[i]), ERR_OK);
    for (int i = 0; i < 4; i++)
        os_thread_join(&threads[i]);
    assert_true(atomic_load(&crowd.passed) > 100);
    assert_int_equal(atomic_load(&r.t->in_flight), 0);
    assert_int_equal(atomic_load(&r.t->provider->in_flight), 0);
    assert_int_not_equal(breaker_state(&r.t->breaker), BREAKER_HALF_OPEN);
    rig_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tally_forgets_after_its_window),
        cmocka_unit_test(it_opens_by_share_and_number),
        cmocka_unit_test(old_failures_do_not_open_it),
        cmocka_unit_test(one_probe_at_a_time_and_its_ends),
        cmocka_unit_test(the_same_name_and_url_is_the_same_target),
        cmocka_unit_test(concurrency_of_target_and_provider),
        cmocka_unit_test(client_faults_never_trip_it),
        cmocka_unit_test(a_probe_returns_its_permit_whatever_its_end),
        cmocka_unit_test(retry_after_keeps_calls_away),
        cmocka_unit_test(retries_have_a_budget),
        cmocka_unit_test(latency_follows_and_fades),
        cmocka_unit_test(permits_add_up_under_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
