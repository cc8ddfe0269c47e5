/* Limits, case by case and against a plain list of everything that ever happened. */
#include "tests/unit/unit.h"

#include "base/mem.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/thread.h"
#include "state/limits.h"

#define SECOND UINT64_C(1000000)
#define MINUTE (60 * SECOND)

/* A registry with one limiter. */
struct one {
    struct limiters *registry;
    struct limiter *limiter;
};

static struct one one_limiter(struct config_key_limits limits)
{
    struct one o = {.registry = limiters_new()};
    o.limiter = limiter_get(o.registry, STR("web"), &limits);
    return o;
}

static void one_release(struct one *o)
{
    limiter_put(o->limiter);
    limiters_free(o->registry);
}

static enum limit_kind reserve(struct one *o, int64_t tokens, uint64_t now_us,
                               struct reservation *r, int64_t *retry_ms)
{
    struct limit_refusal refusal = {.kind = LIMIT_NONE};
    enum err e = limiter_reserve(o->limiter, tokens, now_us, r, &refusal);
    assert_int_equal(e, refusal.kind == LIMIT_NONE ? ERR_OK : ERR_LIMIT);
    *retry_ms = refusal.retry_after_ms;
    return refusal.kind;
}

static enum limit_kind call(struct one *o, int64_t tokens, uint64_t now_us, int64_t *retry_ms)
{
    struct reservation r = {.limiter = NULL};
    enum limit_kind kind = reserve(o, tokens, now_us, &r, retry_ms);
    limiter_settle(&r, tokens);
    return kind;
}

static void a_windows_worth_may_come_in_one_burst(void **state)
{
    (void)state;
    struct one o = one_limiter((struct config_key_limits){.requests = {600, (int64_t)MINUTE}});
    int64_t retry_ms;
    for (int round = 0; round < 3; round++) {
        uint64_t start = 1000 + (uint64_t)round * (MINUTE + 600);
        for (unsigned i = 0; i < 600; i++)
            assert_int_equal(call(&o, 0, start + i, &retry_ms), LIMIT_NONE);
        assert_int_equal(call(&o, 0, start + 600, &retry_ms), LIMIT_REQUESTS);
        assert_true(retry_ms == 60000); /* 59.9994 s, rounded up */
        assert_int_equal(call(&o, 0, start + 599 + MINUTE, &retry_ms), LIMIT_REQUESTS);
        assert_true(retry_ms == 1);
    }
    one_release(&o);
}

static void spread_requests_leave_one_by_one(void **state)
{
    (void)state;
    struct one o = one_limiter((struct config_key_limits){.requests = {3, (int64_t)MINUTE}});
    int64_t retry_ms;
    assert_int_equal(call(&o, 0, 0, &retry_ms), LIMIT_NONE);
    assert_int_equal(call(&o, 0, 20 * SECOND, &retry_ms), LIMIT_NONE);
    assert_int_equal(call(&o, 0, 40 * SECOND, &retry_ms), LIMIT_NONE);
    assert_int_equal(call(&o, 0, 50 * SECOND, &retry_ms), LIMIT_REQUESTS);
    assert_true(retry_ms == 10001); /* one µs after the first has gone */
    assert_int_equal(call(&o, 0, 60 * SECOND, &retry_ms), LIMIT_REQUESTS);
    assert_int_equal(call(&o, 0, 60 * SECOND + 1, &retry_ms), LIMIT_NONE);
    assert_int_equal(call(&o, 0, 61 * SECOND, &retry_ms), LIMIT_REQUESTS);
    assert_true(retry_ms == 19001);
    one_release(&o);
}

static void tokens_are_reserved_and_settled(void **state)
{
    (void)state;
    struct one o = one_limiter((struct config_key_limits){.tokens = {1000, (int64_t)MINUTE}});
    struct reservation first;
    struct reservation second;
    struct reservation late;
    int64_t retry_ms;
    assert_int_equal(reserve(&o, 600, 10, &first, &retry_ms), LIMIT_NONE);
    assert_int_equal(reserve(&o, 500, 20, &second, &retry_ms), LIMIT_TOKENS);
    assert_true(retry_ms == 60000);
    limiter_settle(&first, 100);
    assert_true(limiter_usage_now(o.limiter, 20).tokens == 100);
    assert_int_equal(reserve(&o, 900, 20, &second, &retry_ms), LIMIT_NONE);
    limiter_settle(&second, 2000); /* more than was reserved: counted, and held against the next */
    assert_true(limiter_usage_now(o.limiter, 20).tokens == 2100);
    assert_int_equal(reserve(&o, 1, 30, &second, &retry_ms), LIMIT_TOKENS);
    uint64_t later = 20 + MINUTE + 1;
    assert_int_equal(reserve(&o, 1, later, &late, &retry_ms), LIMIT_NONE);
    assert_int_equal(call(&o, 900, later, &retry_ms), LIMIT_NONE);
    limiter_settle(&late, 50);
    assert_true(limiter_usage_now(o.limiter, later).tokens == 950);
    assert_int_equal(reserve(&o, 1000, 20 + 3 * MINUTE, &late, &retry_ms), LIMIT_NONE);
    assert_int_equal(limiter_usage_now(o.limiter, 20 + 5 * MINUTE).tokens, 0);
    limiter_settle(&late, 999999); /* after its window: nothing left to correct */
    assert_int_equal(limiter_usage_now(o.limiter, 20 + 5 * MINUTE).tokens, 0);
    one_release(&o);
}

static void what_never_fits_says_so(void **state)
{
    (void)state;
    struct one o = one_limiter((struct config_key_limits){.requests = {1, (int64_t)SECOND},
                                                          .tokens = {1000, (int64_t)MINUTE}});
    struct limit_refusal refusal;
    struct reservation r;
    struct buf text BUF_AUTO;
    int64_t retry_ms;
    buf_init(&text, 1000);
    assert_int_equal(call(&o, 10, 5, &retry_ms), LIMIT_NONE);
    assert_int_equal(limiter_reserve(o.limiter, 1001, 5, &r, &refusal), ERR_LIMIT);
    assert_int_equal(refusal.kind, LIMIT_TOKENS);
    assert_true(refusal.never && refusal.retry_after_ms == 0 && refusal.wanted == 1001);
    limit_refusal_explain(&refusal, STR("web"), &text);
    assert_string_equal(buf_cstr(&text), "key 'web' is limited to 1000 tokens per 1m, and this "
                                         "call alone may take 1001: lower its maximum of tokens");
    one_release(&o);
}

static void refusals_explain_themselves(void **state)
{
    (void)state;
    static const struct {
        struct limit_refusal refusal;
        const char *text;
    } cases[] = {
        {{.kind = LIMIT_REQUESTS, .limit = 600, .window_us = 60000000, .retry_after_ms = 11001},
         "key 'web' is limited to 600 requests per 1m; retry after 12 s"},
        {{.kind = LIMIT_TOKENS,
          .limit = 500,
          .window_us = INT64_C(3600000000),
          .used = 450,
          .wanted = 60,
          .retry_after_ms = 1000},
         "key 'web' is limited to 500 tokens per 1h, of which 450 are used or reserved, and this "
         "call may take 60; retry after 1 s"},
        {{.kind = LIMIT_CONCURRENT, .limit = 32, .used = 32, .wanted = 1, .retry_after_ms = 1000},
         "key 'web' has 32 calls in flight, its limit; retry after 1 s"},
    };
    struct buf text BUF_AUTO;
    buf_init(&text, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buf_reset(&text);
        limit_refusal_explain(&cases[i].refusal, STR("web"), &text);
        assert_string_equal(buf_cstr(&text), cases[i].text);
    }
}

static void places_in_flight_come_back_once(void **state)
{
    (void)state;
    struct one o = one_limiter((struct config_key_limits){.concurrent = 2});
    struct reservation a;
    struct reservation b;
    struct reservation c = {.limiter = NULL};
    int64_t retry_ms;
    assert_int_equal(reserve(&o, 0, 1, &a, &retry_ms), LIMIT_NONE);
    assert_int_equal(reserve(&o, 0, 1, &b, &retry_ms), LIMIT_NONE);
    assert_int_equal(reserve(&o, 0, 1, &c, &retry_ms), LIMIT_CONCURRENT);
    assert_true(retry_ms == 1000);
    assert_null(c.limiter);
    limiter_settle(&a, 5);
    limiter_settle(&a, 5);
    limiter_cancel(&a);
    limiter_settle(&c, 5);
    assert_int_equal(limiter_usage_now(o.limiter, 1).in_flight, 1);
    assert_int_equal(reserve(&o, 0, 1, &a, &retry_ms), LIMIT_NONE);
    assert_int_equal(reserve(&o, 0, 1, &c, &retry_ms), LIMIT_CONCURRENT);
    limiter_cancel(&a);
    limiter_cancel(&b);
    assert_int_equal(limiter_usage_now(o.limiter, 1).in_flight, 0);
    one_release(&o);
}

static void one_limit_that_refuses_counts_under_none(void **state)
{
    (void)state;
    struct one o = one_limiter((struct config_key_limits){
        .requests = {10, (int64_t)SECOND}, .tokens = {100, (int64_t)MINUTE}, .concurrent = 5});
    int64_t retry_ms;
    assert_int_equal(call(&o, 100, 1, &retry_ms), LIMIT_NONE);
    for (int i = 0; i < 50; i++)
        assert_int_equal(call(&o, 1, 2, &retry_ms), LIMIT_TOKENS);
    struct limiter_usage usage = limiter_usage_now(o.limiter, 2);
    assert_int_equal(usage.requests, 1);
    assert_int_equal(usage.tokens, 100);
    assert_int_equal(usage.in_flight, 0);
    struct reservation r;
    assert_int_equal(reserve(&o, 40, 1 + 2 * MINUTE, &r, &retry_ms), LIMIT_NONE);
    limiter_cancel(&r);
    usage = limiter_usage_now(o.limiter, 1 + 2 * MINUTE);
    assert_int_equal(usage.requests, 0);
    assert_int_equal(usage.tokens, 0);
    one_release(&o);
}

static void counts_survive_a_reload(void **state)
{
    (void)state;
    struct limiters *registry = limiters_new();
    struct config_key_limits limits = {.requests = {10, (int64_t)MINUTE}};
    struct one before = {registry, limiter_get(registry, STR("web"), &limits)};
    int64_t retry_ms;
    for (int i = 0; i < 10; i++)
        assert_int_equal(call(&before, 0, 5, &retry_ms), LIMIT_NONE);
    limits.requests.count = 12;
    struct one after = {registry, limiter_get(registry, STR("web"), &limits)};
    assert_ptr_equal(after.limiter, before.limiter);
    limiter_put(before.limiter);
    assert_int_equal(call(&after, 0, 6, &retry_ms), LIMIT_NONE);
    assert_int_equal(call(&after, 0, 6, &retry_ms), LIMIT_NONE);
    assert_int_equal(call(&after, 0, 6, &retry_ms), LIMIT_REQUESTS);
    struct limiter *other = limiter_get(registry, STR("other"), &limits);
    assert_ptr_not_equal(other, after.limiter);
    limiter_put(other);
    /* A longer and a shorter window, over and over: nothing breaks, the limit holds. */
    uint64_t now = 7;
    for (int i = 0; i < 3000; i++) {
        limits.requests.window_us = i % 2 ? (int64_t)SECOND : (int64_t)MINUTE;
        limiter_put(limiter_get(registry, STR("web"), &limits));
        now += 20000;
        (void)call(&after, 0, now, &retry_ms);
        assert_true(limiter_usage_now(after.limiter, now).requests <= 12);
    }
    limiter_put(after.limiter);
    limiters_free(registry);
}

/* ---- One thread: every answer is compared with what the whole history says ---- */

struct event {
    uint64_t at_us;
    int64_t tokens;
};

struct history {
    struct event *events;
    size_t count;
};

/* Tokens in the closed interval [from, to]. */
static int64_t history_sum(const struct history *h, uint64_t from, uint64_t to)
{
    int64_t sum = 0;
    for (size_t i = h->count; i-- > 0 && h->events[i].at_us >= from;)
        if (h->events[i].at_us <= to)
            sum += h->events[i].tokens;
    return sum;
}

static void random_tokens_agree_with_the_history(void **state)
{
    (void)state;
    enum { STEPS = 20000, LIMIT = 1000 };
    struct one o = one_limiter((struct config_key_limits){.tokens = {LIMIT, (int64_t)MINUTE}});
    struct history h = {.events = mem_array(STEPS, sizeof(struct event))};
    uint64_t now = 100 * MINUTE;
    uint64_t slack = MINUTE / 64; /* how much longer a spread event may count */
    size_t refused = 0;
    os_random_seed(7);
    for (size_t step = 0; step < STEPS; step++) {
        struct reservation r;
        int64_t retry_ms;
        uint64_t pause = os_random_u64() % 100;
        now += pause < 40 ? 0 : pause < 99 ? os_random_u64() % (3 * SECOND) : 2 * MINUTE;
        int64_t wanted = 1 + (int64_t)(os_random_u64() % 200);
        int64_t used = history_sum(&h, now - MINUTE, now);
        int64_t used_at_most = history_sum(&h, now - MINUTE - slack, now);
        if (reserve(&o, wanted, now, &r, &retry_ms) == LIMIT_NONE) {
            assert_true(used + wanted <= LIMIT);
            int64_t settled = (int64_t)(os_random_u64() % (uint64_t)(wanted + 1));
            h.events[h.count++] = (struct event){now, settled};
            limiter_settle(&r, settled);
            continue;
        }
        refused++;
        assert_true(used_at_most + wanted > LIMIT);
        if (os_random_u64() % 4)
            continue;
        /* Exactly: a millisecond early is too early, the time itself is not. */
        now += (uint64_t)(retry_ms - 1) * 1000;
        assert_int_equal(reserve(&o, wanted, now, &r, &retry_ms), LIMIT_TOKENS);
        now += (uint64_t)retry_ms * 1000;
        assert_int_equal(reserve(&o, wanted, now, &r, &retry_ms), LIMIT_NONE);
        limiter_cancel(&r);
    }
    assert_true(refused > STEPS / 20 && h.count > STEPS / 20);
    mem_free(h.events);
    one_release(&o);
}

/* ---- Many threads: what was admitted is written down and summed up afterwards ---- */

enum { THREADS = 4, CALLS = 4000, REQUEST_LIMIT = 120, TOKEN_LIMIT = 3000, CONCURRENT_LIMIT = 3 };
#define WINDOW_US INT64_C(20000)

struct worker {
    struct one *one;
    struct os_thread thread;
    uint64_t seed;
    struct event *events;
    size_t count;
    size_t refused[4]; /* by kind */
};

static int in_flight; /* these two through __atomic only */
static int most_in_flight;

static void note_in_flight(void)
{
    int now = __atomic_add_fetch(&in_flight, 1, __ATOMIC_SEQ_CST);
    int most = __atomic_load_n(&most_in_flight, __ATOMIC_SEQ_CST);
    while (now > most && !__atomic_compare_exchange_n(&most_in_flight, &most, now, false,
                                                      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        continue;
}

static void spin_us(uint64_t us)
{
    uint64_t end = os_now_us() + us;
    while (os_now_us() < end)
        continue;
}

static void work(void *arg)
{
    struct worker *w = arg;
    os_random_seed(w->seed);
    for (int i = 0; i < CALLS; i++) {
        struct reservation r;
        struct limit_refusal refusal = {.kind = LIMIT_NONE};
        int64_t wanted = (int64_t)(os_random_u64() % 100);
        if (limiter_reserve(w->one->limiter, wanted, os_now_us(), &r, &refusal) != ERR_OK) {
            w->refused[refusal.kind]++;
            spin_us(os_random_u64() % 100);
            continue;
        }
        note_in_flight();
        uint64_t at_us = r.at_us;
        int64_t used = (int64_t)(os_random_u64() % (uint64_t)(wanted + 1));
        bool cancelled = os_random_u64() % 10 == 0;
        spin_us(os_random_u64() % 50);
        (void)__atomic_sub_fetch(&in_flight, 1, __ATOMIC_SEQ_CST);
        if (cancelled) {
            limiter_cancel(&r);
            continue;
        }
        limiter_settle(&r, used);
        w->events[w->count++] = (struct event){at_us, used};
    }
}

static int compare_events(const void *a, const void *b)
{
    uint64_t x = ((const struct event *)a)->at_us;
    uint64_t y = ((const struct event *)b)->at_us;
    return x < y ? -1 : x > y;
}

/* No closed interval of a window's length holds too much: two fingers over the sorted events. */
static void check_windows(const struct history *h)
{
    int64_t tokens = 0;
    size_t from = 0;
    for (size_t to = 0; to < h->count; to++) {
        tokens += h->events[to].tokens;
        while (h->events[to].at_us - h->events[from].at_us > (uint64_t)WINDOW_US)
            tokens -= h->events[from++].tokens;
        assert_true(to - from + 1 <= REQUEST_LIMIT);
        assert_true(tokens <= TOKEN_LIMIT);
    }
}

static void no_concurrency_exceeds_a_limit(void **state)
{
    (void)state;
    struct one o = one_limiter((struct config_key_limits){.requests = {REQUEST_LIMIT, WINDOW_US},
                                                          .tokens = {TOKEN_LIMIT, WINDOW_US},
                                                          .concurrent = CONCURRENT_LIMIT});
    struct worker workers[THREADS] = {{.one = NULL}};
    struct history all = {.events = mem_array(THREADS * CALLS, sizeof(struct event))};
    size_t refused[4] = {0};
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.one = &o, .seed = i + 1};
        workers[i].events = mem_array(CALLS, sizeof(struct event));
        assert_int_equal(os_thread_start("limits", work, &workers[i], &workers[i].thread), ERR_OK);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        os_thread_join(&workers[i].thread);
        memcpy(all.events + all.count, workers[i].events, workers[i].count * sizeof(struct event));
        all.count += workers[i].count;
        for (size_t kind = 0; kind < 4; kind++)
            refused[kind] += workers[i].refused[kind];
        mem_free(workers[i].events);
    }
    qsort(all.events, all.count, sizeof(struct event), compare_events);
    check_windows(&all);
    assert_true(all.count > 0 && refused[LIMIT_REQUESTS] > 0);
    assert_true(most_in_flight <= CONCURRENT_LIMIT && in_flight == 0);
    assert_int_equal(limiter_usage_now(o.limiter, os_now_us()).in_flight, 0);
    mem_free(all.events);
    one_release(&o);
}

static void churn(void *arg)
{
    struct worker *w = arg;
    static const struct config_key_limits limits = {.concurrent = 1000};
    for (int i = 0; i < CALLS; i++) {
        struct limiter *l = limiter_get(w->one->registry, STR("churned"), &limits);
        struct reservation r;
        struct limit_refusal refusal;
        enum err e = limiter_reserve(l, 1, os_now_us(), &r, &refusal);
        limiter_put(l); /* the reservation alone keeps it now */
        if (e == ERR_OK)
            limiter_settle(&r, 1);
    }
}

static void limiters_come_and_go_under_everyone(void **state)
{
    (void)state;
    struct one o = one_limiter((struct config_key_limits){.concurrent = 1});
    struct worker workers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.one = &o};
        assert_int_equal(os_thread_start("churn", churn, &workers[i], &workers[i].thread), ERR_OK);
    }
    for (unsigned i = 0; i < THREADS; i++)
        os_thread_join(&workers[i].thread);
    one_release(&o); /* asserts that nothing else is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_windows_worth_may_come_in_one_burst),
        cmocka_unit_test(spread_requests_leave_one_by_one),
        cmocka_unit_test(tokens_are_reserved_and_settled),
        cmocka_unit_test(what_never_fits_says_so),
        cmocka_unit_test(refusals_explain_themselves),
        cmocka_unit_test(places_in_flight_come_back_once),
        cmocka_unit_test(one_limit_that_refuses_counts_under_none),
        cmocka_unit_test(counts_survive_a_reload),
        cmocka_unit_test(random_tokens_agree_with_the_history),
        cmocka_unit_test(no_concurrency_exceeds_a_limit),
        cmocka_unit_test(limiters_come_and_go_under_everyone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
