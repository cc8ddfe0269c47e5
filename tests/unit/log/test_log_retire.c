/* The folder goes to another owner and comes back, or does not. */
#include "tests/unit/log/log_test.h"

#include <stdatomic.h>

#include "os/clock.h"
#include "os/thread.h"

static struct log_options options_of(const struct folder *f)
{
    return (struct log_options){.dir = f->path, .report = show_report};
}

static void it_comes_back_unchanged(void **state)
{
    struct folder f = folder_make();
    struct log_options options = options_of(&f);
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &LOG_TOPIC_CONFIG_DEFAULT);
    uint64_t first, last;
    (void)state;
    for (uint64_t n = 0; n < 10; n++)
        assert_int_equal(append_numbered(part, n, 100, LOG_ACK_WRITE), (int64_t)n);
    assert_int_equal(log_retire(log), ERR_OK);
    /* Nothing is taken, everything is read, the quota is another's. */
    assert_int_equal(append_numbered(part, 10, 100, LOG_ACK_WRITE), -(int64_t)ERR_CLOSED);
    assert_int_equal(read_forward(part, 0, &first, &last), 10);
    assert_int_equal(log_quota_reserve(log, 1000), ERR_OK);
    log_quota_release(log, 1000);
    /* The other opens it, finds it clean, and leaves again. */
    struct log *other = open_log(&options);
    assert_int_equal(log_resume(log), ERR_IN_USE);
    log_close(other);
    assert_int_equal(log_resume(log), ERR_OK);
    for (uint64_t n = 10; n < 20; n++)
        assert_int_equal(append_numbered(part, n, 100, LOG_ACK_SYNC), (int64_t)n);
    assert_int_equal(log_retire(log), ERR_OK);
    assert_int_equal(log_resume(log), ERR_OK); /* nobody came */
    assert_int_equal(append_numbered(part, 20, 100, LOG_ACK_WRITE), 20);
    log_close(log);
    log = open_log(&options);
    part = open_part(log, "t", &LOG_TOPIC_CONFIG_DEFAULT);
    assert_int_equal(read_forward(part, 0, &first, &last), 21);
    log_close(log);
    folder_remove(&f);
}

static void what_another_has_changed_is_not_taken_back(void **state)
{
    struct folder f = folder_make();
    struct log_options options = options_of(&f);
    struct log *log = open_log(&options);
    struct log_part *part = open_part(log, "t", &LOG_TOPIC_CONFIG_DEFAULT);
    (void)state;
    assert_int_equal(append_numbered(part, 0, 100, LOG_ACK_WRITE), 0);
    assert_int_equal(log_retire(log), ERR_OK);
    struct log *other = open_log(&options);
    struct log_part *there = open_part(other, "t", &LOG_TOPIC_CONFIG_DEFAULT);
    assert_int_equal(append_numbered(there, 1, 100, LOG_ACK_WRITE), 1);
    log_close(other);
    assert_int_equal(log_resume(log), ERR_OUT_OF_RANGE);
    log_close(log);
    log = open_log(&options);
    assert_int_equal(log_part_end(open_part(log, "t", &LOG_TOPIC_CONFIG_DEFAULT)), 2);
    log_close(log);
    folder_remove(&f);
}

/* Threads append all the while: what was acknowledged is there, what came too late says so. */
struct crowd {
    struct log *log;
    struct log_part *part;
    atomic_uint taken;
    struct log_append appends[64]; /* outlive the thread */
};

static void on_done(struct log_append *first)
{
    struct crowd *c = first->owner;
    for (; first; first = first->next)
        if (first->error == ERR_OK)
            atomic_fetch_add(&c->taken, 1);
}

static void append_and_commit(void *arg)
{
    struct crowd *c = arg;
    unsigned sent = 0;
    for (;;) {
        for (int i = 0; i < 64; i++) {
            struct str value = STR("7:");
            struct log_record record = {.key = STR("k7"), .value = &value, .value_parts = 1};
            c->appends[i] = (struct log_append){.done = on_done, .owner = c, .lazy = true};
            if (log_append(c->part, &record, &c->appends[i]) == ERR_CLOSED)
                return;
        }
        log_commit(c->log);
        sent += 64;
        while (atomic_load(&c->taken) < sent)
            os_sleep_us(100);
    }
}

static void it_waits_for_what_is_under_way(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        struct folder f = folder_make();
        struct log_options options = options_of(&f);
        struct crowd c = {.log = open_log(&options)};
        struct os_thread thread;
        c.part = open_part(c.log, "t", &LOG_TOPIC_CONFIG_DEFAULT);
        assert_int_equal(os_thread_start("crowd", append_and_commit, &c, &thread), ERR_OK);
        os_sleep_us(5000 + 700 * (uint64_t)round);
        assert_int_equal(log_retire(c.log), ERR_OK);
        unsigned taken = atomic_load(&c.taken);
        os_thread_join(&thread);
        assert_int_equal(atomic_load(&c.taken), taken);
        struct log *other = open_log(&options);
        assert_int_equal(log_part_end(open_part(other, "t", &LOG_TOPIC_CONFIG_DEFAULT)), taken);
        log_close(other);
        log_close(c.log);
        folder_remove(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_comes_back_unchanged),
        cmocka_unit_test(what_another_has_changed_is_not_taken_back),
        cmocka_unit_test(it_waits_for_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
