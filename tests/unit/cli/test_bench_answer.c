#include "tests/unit/unit.h"

#include "cli/bench/bench_answer.h"

#define ROLE        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
#define DELTA(text) "data: {\"choices\":[{\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define DONE        "data: [DONE]\n\n"

/* Feed in pieces of `piece` bytes. */
static enum bench_verdict judge(struct bench_answer *answer, const char *text, bool stream,
                                size_t piece, uint64_t expected)
{
    struct str rest = str_from_c(text);
    bench_answer_begin(answer, stream);
    while (rest.len > 0) {
        bench_answer_feed(answer, str_take(rest, piece));
        rest = str_skip(rest, piece);
    }
    return bench_answer_end(answer, expected);
}

struct stream_case {
    const char *text;
    uint64_t expected;
    enum bench_verdict verdict;
    uint64_t events, lost, doubled, damaged;
};

static const struct stream_case stream_cases[] = {
    {ROLE DELTA("alpha0") DELTA(" бета1") DELTA(" gamma2") DONE, 3, BENCH_GOOD, 3, 0, 0, 0},
    {ROLE DELTA("alpha0") DELTA(" бета1 gamma2") DONE, 3, BENCH_GOOD, 2, 0, 0, 0},
    {ROLE DELTA("alpha0") DELTA(" gamma2") DONE, 3, BENCH_WRONG_TEXT, 2, 1, 0, 0},
    {ROLE DELTA("alpha0") DELTA(" бета1") DONE, 3, BENCH_WRONG_TEXT, 2, 1, 0, 0},
    {ROLE DELTA("alpha0") DELTA(" бета1") DONE, 0, BENCH_GOOD, 2, 0, 0, 0},
    {ROLE DELTA("alpha0") DELTA(" бета1") DELTA(" бета1") DONE, 2, BENCH_WRONG_TEXT, 3, 0, 1, 0},
    {ROLE DELTA("alpha0") DELTA(" be1") DELTA(" gamma2") DONE, 3, BENCH_WRONG_TEXT, 3, 0, 0, 1},
    {ROLE DELTA("alpha0") DELTA(" бета1"), 2, BENCH_NO_DONE, 2, 0, 0, 0},
    {ROLE DELTA("alpha0") "data: {\"error\": {}}\n\n", 1, BENCH_ERROR_EVENT, 1, 0, 0, 0},
    {DELTA("Hello \\\"you\\\"") DELTA(" there") DONE, 9, BENCH_GOOD, 2, 0, 0, 0},
    {": ping\r\n\r\n" ROLE "data:{\"content\": \"alpha0\"}\r\rdata: [DONE]", 1, BENCH_GOOD, 1, 0, 0,
     0},
    {DONE, 0, BENCH_NO_TEXT, 0, 0, 0, 0},
    {"", 0, BENCH_NO_TEXT, 0, 0, 0, 0},
};

static void streams_are_judged_the_same_however_cut(void **state)
{
    struct bench_answer answer;
    (void)state;
    bench_answer_init(&answer, NULL, NULL);
    for (size_t i = 0; i < sizeof stream_cases / sizeof stream_cases[0]; i++) {
        const struct stream_case *c = &stream_cases[i];
        for (size_t piece = 1; piece <= strlen(c->text) + 1; piece++) {
            assert_int_equal(judge(&answer, c->text, true, piece, c->expected), c->verdict);
            assert_int_equal(answer.events, c->events);
            assert_int_equal(answer.lost, c->lost);
            assert_int_equal(answer.doubled, c->doubled);
            assert_int_equal(answer.damaged, c->damaged);
        }
    }
    bench_answer_release(&answer);
}

static void bodies_are_judged(void **state)
{
    struct bench_answer answer;
    (void)state;
    bench_answer_init(&answer, NULL, NULL);
    const char *good = "{\"choices\":[{\"message\":{\"content\":\"alpha0 бета1 gamma2\"}}]}";
    assert_int_equal(judge(&answer, good, false, 7, 3), BENCH_GOOD);
    assert_int_equal(judge(&answer, good, false, 7, 4), BENCH_WRONG_TEXT);
    assert_int_equal(answer.lost, 1);
    assert_int_equal(judge(&answer, "{\"error\":{}}", false, 7, 3), BENCH_ERROR_EVENT);
    assert_int_equal(judge(&answer, "{\"content\":null}", false, 7, 3), BENCH_NO_TEXT);
    assert_int_equal(judge(&answer, "{\"content\":\"open", false, 7, 3), BENCH_GOOD);
    assert_int_equal(judge(&answer, "{\"content\":\"\\", false, 7, 3), BENCH_NO_TEXT);
    assert_int_equal(judge(&answer, "", false, 7, 3), BENCH_NO_TEXT);
    bench_answer_release(&answer);
}

static void count_call(void *arg)
{
    ++*(int *)arg;
}

static void every_content_is_told(void **state)
{
    struct bench_answer answer;
    int calls = 0;
    (void)state;
    bench_answer_init(&answer, count_call, &calls);
    assert_int_equal(judge(&answer, ROLE DELTA("alpha0") DELTA(" бета1") DONE, true, 1000, 2),
                     BENCH_GOOD);
    assert_int_equal(calls, 2);
    bench_answer_release(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_judged_the_same_however_cut),
        cmocka_unit_test(bodies_are_judged),
        cmocka_unit_test(every_content_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
