/* The rules of transactions alone: every request in every state, fencing, epochs that run out, and
 * any order of steps held against what must always be true. */
#include "tests/unit/unit.h"

#include "base/mem.h"
#include "kafka/txns_int.h"
#include "os/random.h"

/* Partitions are only compared here. */
static struct log_part *part(uintptr_t n)
{
    return (struct log_part *)(n * 16); /* NOLINT(performance-no-int-to-ptr) */
}

static struct txn fresh(void)
{
    return (struct txn){.id = STR("x"),
                        .now = {.producer_id = -1, .epoch = -1, .started_ms = -1},
                        .last_producer_id = -1,
                        .last_epoch = -1};
}

static void apply(struct txn *t, struct txn_verdict v, int16_t error)
{
    assert_int_equal(v.error, error);
    assert_true(v.changes);
    txn_apply(t, &v);
}

static void refused(struct txn_verdict v, int16_t error)
{
    assert_int_equal(v.error, error);
    assert_false(v.changes);
}

static void complete(struct txn *t, int64_t now)
{
    struct txn_verdict v = {.changes = true,
                            .next = txn_complete(t, now),
                            .last_producer_id = t->last_producer_id,
                            .last_epoch = t->last_epoch};
    txn_apply(t, &v);
}

static struct txn_from from(const struct txn *t)
{
    return (struct txn_from){STR("x"), t->now.producer_id, t->now.epoch};
}

static const struct txn_from newcomer = {STR_INIT("x"), -1, -1};

static struct txn_verdict end(const struct txn *t, const struct txn_from *f, bool commit)
{
    bool wait = false;
    struct txn_verdict v = txn_end(t, f, commit, 1, &wait);
    assert_false(wait);
    return v;
}

static void one_round(void **state)
{
    (void)state;
    struct txn t = fresh();
    struct log_part *two[] = {part(1), part(2)};
    apply(&t, txn_init(&t, &newcomer, 60000, 77, 1), KAFKA_NONE);
    assert_true(t.now.producer_id == 77 && t.now.epoch == 0 && t.now.state == TXN_EMPTY);
    struct txn_from f = from(&t);
    refused(end(&t, &f, true), KAFKA_INVALID_TXN_STATE);
    assert_int_equal(txn_check_batch(&t, &f, part(1)), KAFKA_INVALID_TXN_STATE);
    apply(&t, txn_add(&t, &f, two, 2, 5), KAFKA_NONE);
    assert_true(t.now.state == TXN_ONGOING && t.now.started_ms == 5 && t.now.part_count == 2);
    refused(txn_add(&t, &f, two + 1, 1, 6), KAFKA_NONE); /* it is there */
    assert_int_equal(txn_check_batch(&t, &f, part(1)), KAFKA_NONE);
    assert_int_equal(txn_check_batch(&t, &f, part(3)), KAFKA_INVALID_TXN_STATE);
    apply(&t, end(&t, &f, true), KAFKA_NONE);
    assert_int_equal(t.now.state, TXN_PREPARE_COMMIT);
    assert_int_equal(txn_check_batch(&t, &f, part(1)), KAFKA_INVALID_TXN_STATE);
    refused(txn_add(&t, &f, two, 2, 7), KAFKA_CONCURRENT_TRANSACTIONS);
    refused(txn_init(&t, &newcomer, 60000, 78, 7), KAFKA_CONCURRENT_TRANSACTIONS);
    refused(end(&t, &f, false), KAFKA_INVALID_TXN_STATE); /* it is decided */
    bool wait = false;
    refused(txn_end(&t, &f, true, 8, &wait), KAFKA_NONE);
    assert_true(wait);
    complete(&t, 9);
    assert_true(t.now.state == TXN_COMPLETE_COMMIT && t.now.part_count == 0);
    refused(end(&t, &f, true), KAFKA_NONE); /* asked again */
    refused(end(&t, &f, false), KAFKA_INVALID_TXN_STATE);
    apply(&t, txn_add(&t, &f, two, 1, 10), KAFKA_NONE);
    apply(&t, end(&t, &f, false), KAFKA_NONE);
    complete(&t, 11);
    refused(end(&t, &f, true), KAFKA_INVALID_TXN_STATE);
    txn_facts_free(&t.now);
}

static void whoever_comes_later_is_the_producer(void **state)
{
    (void)state;
    struct txn t = fresh();
    struct log_part *one[] = {part(1)};
    apply(&t, txn_init(&t, &newcomer, 60000, 77, 1), KAFKA_NONE);
    struct txn_from old = from(&t);
    apply(&t, txn_add(&t, &old, one, 1, 2), KAFKA_NONE);
    /* The old one's transaction is aborted first, under a newer epoch. */
    apply(&t, txn_init(&t, &newcomer, 60000, 78, 3), KAFKA_CONCURRENT_TRANSACTIONS);
    assert_true(t.now.state == TXN_PREPARE_ABORT && t.now.epoch == 1);
    refused(end(&t, &old, true), KAFKA_PRODUCER_FENCED);
    refused(txn_add(&t, &old, one, 1, 2), KAFKA_PRODUCER_FENCED);
    assert_int_equal(txn_check_batch(&t, &old, part(1)), KAFKA_INVALID_PRODUCER_EPOCH);
    complete(&t, 4);
    apply(&t, txn_init(&t, &newcomer, 60000, 78, 5), KAFKA_NONE);
    assert_true(t.now.producer_id == 77 && t.now.epoch == 2);
    refused(txn_init(&t, &old, 60000, 79, 6), KAFKA_PRODUCER_FENCED); /* it does not go on */
    const struct txn_from stranger = {STR("x"), 5, 0};
    refused(txn_add(&t, &stranger, one, 1, 2), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    refused(txn_init(&t, &stranger, 60000, 79, 6), KAFKA_PRODUCER_FENCED);
    txn_facts_free(&t.now);
}

static void a_producer_goes_on_after_an_error(void **state)
{
    (void)state;
    struct txn t = fresh();
    apply(&t, txn_init(&t, &newcomer, 60000, 77, 1), KAFKA_NONE);
    struct txn_from f = from(&t);
    apply(&t, txn_init(&t, &f, 60000, 78, 2), KAFKA_NONE);
    assert_true(t.now.producer_id == 77 && t.now.epoch == 1);
    /* The answer got lost: the same again, and no further epoch. */
    refused(txn_init(&t, &f, 60000, 78, 3), KAFKA_NONE);
    assert_int_equal(t.now.epoch, 1);
    f = from(&t);
    apply(&t, txn_init(&t, &f, 60000, 78, 4), KAFKA_NONE);
    assert_int_equal(t.now.epoch, 2);
    txn_facts_free(&t.now);
}

static void epochs_run_out(void **state)
{
    (void)state;
    struct txn t = fresh();
    apply(&t, txn_init(&t, &newcomer, 60000, 77, 1), KAFKA_NONE);
    t.now.epoch = TXN_EPOCH_MAX - 1;
    struct txn_from f = from(&t);
    apply(&t, txn_init(&t, &f, 60000, 78, 2), KAFKA_NONE);
    assert_true(t.now.producer_id == 78 && t.now.epoch == 0);
    refused(txn_add(&t, &f, NULL, 0, 3), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    txn_facts_free(&t.now);
}

static void time_runs_out(void **state)
{
    (void)state;
    struct txn t = fresh();
    struct log_part *one[] = {part(1)};
    apply(&t, txn_init(&t, &newcomer, 1000, 77, 1), KAFKA_NONE);
    struct txn_from f = from(&t);
    refused(txn_expire(&t, 99999), KAFKA_NONE);
    apply(&t, txn_add(&t, &f, one, 1, 100), KAFKA_NONE);
    refused(txn_expire(&t, 1100), KAFKA_NONE);
    t.appending = 1; /* a batch is on its way to the log */
    refused(txn_expire(&t, 1101), KAFKA_NONE);
    refused(end(&t, &f, true), KAFKA_CONCURRENT_TRANSACTIONS);
    t.appending = 0;
    apply(&t, txn_expire(&t, 1101), KAFKA_NONE);
    assert_true(t.now.state == TXN_PREPARE_ABORT && t.now.epoch == 1);
    refused(end(&t, &f, true), KAFKA_PRODUCER_FENCED);
    complete(&t, 1102);
    assert_false(txn_may_be_forgotten(&t, 1102 + TXN_ID_EXPIRE_MS));
    assert_true(txn_may_be_forgotten(&t, 1103 + TXN_ID_EXPIRE_MS));
    txn_facts_free(&t.now);
}

/* Several producers use one id, in any order, and the clock jumps: the epoch never falls; of the
 * producers at most the newest gets anything; and what was prepared ends as it was. */
static void any_order(void **state)
{
    (void)state;
    enum { CLIENTS = 4, STEPS = 4000 };
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct txn t = fresh();
        struct txn_from clients[CLIENTS];
        int64_t now = 1000;
        size_t newest = CLIENTS;
        os_random_seed(seed);
        for (size_t i = 0; i < CLIENTS; i++)
            clients[i] = newcomer;
        for (int step = 0; step < STEPS; step++) {
            size_t i = os_random_u64() % CLIENTS;
            struct txn_from *c = &clients[i];
            struct log_part *parts[] = {part(1 + os_random_u64() % 3)};
            struct txn_verdict v = {0};
            bool wait = false;
            enum txn_state before = t.now.state;
            int64_t id_before = t.now.producer_id;
            int16_t epoch_before = t.now.epoch;
            now += os_random_u64() % 50 == 0 ? (int64_t)(os_random_u64() % 200000) - 100000 : 10;
            switch (os_random_u64() % 6) {
            case 0: {
                bool anew = os_random_u64() % 2;
                v = txn_init(&t, anew ? &newcomer : c, 5000, (int64_t)step + 100, now);
                if (v.error == KAFKA_NONE) {
                    struct txn after = t;
                    if (v.changes) {
                        txn_apply(&t, &v);
                        after = t;
                        v.changes = false;
                    }
                    *c = (struct txn_from){STR("x"), after.now.producer_id, after.now.epoch};
                    newest = i;
                }
                break;
            }
            case 1: v = txn_add(&t, c, parts, 1, now); break;
            case 2: v = txn_end(&t, c, os_random_u64() % 2, now, &wait); break;
            case 3: v = txn_expire(&t, now); break;
            case 4:
                if (txn_check_batch(&t, c, parts[0]) == KAFKA_NONE)
                    assert_true(t.now.state == TXN_ONGOING && txn_has_part(&t.now, parts[0]) &&
                                c->epoch == t.now.epoch);
                break;
            default:
                if (txn_is_prepared(t.now.state)) {
                    complete(&t, now);
                    assert_int_equal(t.now.state, before + 2);
                }
                break;
            }
            if (v.changes) {
                assert_false(txn_is_prepared(before)); /* it is decided */
                txn_apply(&t, &v);
            }
            assert_true(t.now.producer_id != id_before || t.now.epoch >= epoch_before);
            for (size_t o = 0; o < CLIENTS && newest < CLIENTS; o++) {
                bool twin = clients[o].producer_id == clients[newest].producer_id &&
                            clients[o].epoch == clients[newest].epoch;
                if (o != newest && !twin)
                    assert_true(txn_check_batch(&t, &clients[o], part(1)) != KAFKA_NONE);
            }
        }
        txn_facts_free(&t.now);
    }
}

/* Records ---------------------------------------------------------------------------------------
 */

static void damaged_records_are_refused(void **state)
{
    (void)state;
    struct txn_facts f = {.producer_id = 7,
                          .epoch = 3,
                          .timeout_ms = 1000,
                          .state = TXN_EMPTY,
                          .updated_ms = 5,
                          .started_ms = -1};
    struct txn_facts read;
    struct buf key BUF_AUTO;
    struct buf value BUF_AUTO;
    struct str id = STR_NONE;
    buf_init(&key, 1000);
    buf_init(&value, 1000);
    txn_record_write(STR("id"), &f, &key, &value);
    assert_int_equal(txn_key_read(buf_str(&key), &id), ERR_OK);
    assert_true(str_eq(id, STR("id")));
    assert_int_equal(txn_value_read(NULL, buf_str(&value), &read), ERR_OK);
    assert_true(read.producer_id == 7 && read.epoch == 3 && read.timeout_ms == 1000 &&
                read.updated_ms == 5 && read.started_ms == -1 && read.part_count == 0);
    for (size_t len = 0; len < value.len; len++)
        assert_int_not_equal(txn_value_read(NULL, str_take(buf_str(&value), len), &read), ERR_OK);
    for (size_t len = 0; len < key.len; len++)
        assert_int_not_equal(txn_key_read(str_take(buf_str(&key), len), &id), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_round),
        cmocka_unit_test(whoever_comes_later_is_the_producer),
        cmocka_unit_test(a_producer_goes_on_after_an_error),
        cmocka_unit_test(epochs_run_out),
        cmocka_unit_test(time_runs_out),
        cmocka_unit_test(any_order),
        cmocka_unit_test(damaged_records_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
