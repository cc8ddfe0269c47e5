/* The group coordinator without connections: rebalances, static members, time, offsets. The clock
 * is the test's. */
#include <stdatomic.h>

#include "tests/unit/log/log_test.h"

#include "base/mem.h"
#include "kafka/errors.h"
#include "kafka/groups.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/thread.h"

enum { MEMBERS = 6 };

static atomic_int_fast64_t now_us = 1000000; /* the log's threads ask too */

static uint64_t sim_now(void *arg)
{
    (void)arg;
    return (uint64_t)now_us;
}

static int64_t sim_wall(void *arg)
{
    (void)arg;
    return now_us + 1700000000000000;
}

struct rig {
    struct folder folder;
    struct log *log;
    struct groups *groups;
    struct arena arena;
};

static void rig_open(struct rig *r)
{
    struct log_options options = {.dir = r->folder.path, .report = show_report};
    r->log = open_log(&options);
    assert_int_equal(groups_open(r->log, &r->groups), ERR_OK);
}

static void rig_close(struct rig *r)
{
    groups_close(r->groups);
    log_close(r->log);
}

static int setup(void **state)
{
    static const struct os_clock clock = {sim_now, sim_wall, NULL};
    struct rig *r = NEW(struct rig);
    os_clock_set(&clock);
    r->folder = folder_make();
    arena_init(&r->arena);
    rig_open(r);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    rig_close(r);
    arena_release(&r->arena);
    folder_remove(&r->folder);
    mem_free(r);
    os_clock_set(NULL);
    return 0;
}

static void pass(struct rig *r, int64_t ms)
{
    now_us += ms * 1000;
    groups_tick(r->groups);
}

/* ---- A client ---- */

struct client {
    struct group_wait wait; /* first */
    int ended;
    struct str id;
    struct str instance;
    struct str leader;
    int32_t generation;
};

static void on_done(struct group_wait *w)
{
    ((struct client *)w)->ended++;
}

static void begin(struct rig *r, struct client *c)
{
    c->wait = (struct group_wait){.done = on_done, .arena = &r->arena};
    c->ended = 0;
}

static void join_with(struct rig *r, struct client *c, const char *protocol, const char *metadata,
                      bool id_required)
{
    const struct group_protocol p = {str_from_c(protocol), str_from_c(metadata)};
    const struct group_join q = {.group = STR("g"),
                                 .member_id = c->id.ptr ? c->id : STR(""),
                                 .instance = c->instance,
                                 .client_id = STR("client"),
                                 .host = STR("/127.0.0.1"),
                                 .protocol_type = STR("consumer"),
                                 .protocols = &p,
                                 .protocol_count = 1,
                                 .session_ms = 10000,
                                 .rebalance_ms = 30000,
                                 .id_required = id_required,
                                 .can_skip = true};
    begin(r, c);
    groups_join(r->groups, &q, &c->wait);
}

static void join(struct rig *r, struct client *c)
{
    join_with(r, c, "range", "m", false);
}

/* The join has ended well: take over what it said. */
static void take_join(struct client *c)
{
    assert_int_equal(c->ended, 1);
    assert_int_equal(c->wait.error, KAFKA_NONE);
    c->id = c->wait.member_id;
    c->leader = c->wait.leader;
    assert_true(c->wait.generation > c->generation);
    c->generation = c->wait.generation;
}

static struct group_from from(const struct client *c)
{
    return (struct group_from){STR("g"), c->id.ptr ? c->id : STR(""), c->instance, c->generation};
}

/* The leader gives every member its own id. */
static void sync_client(struct rig *r, struct client *c)
{
    struct group_assignment given[MEMBERS];
    size_t count = c->wait.member_count;
    const struct group_from f = from(c);
    for (size_t i = 0; i < count; i++)
        given[i] = (struct group_assignment){c->wait.members[i].id, c->wait.members[i].id};
    begin(r, c);
    groups_sync(r->groups, &f, STR("consumer"), STR("range"), given, count, &c->wait);
}

static int16_t beat(struct rig *r, const struct client *c)
{
    const struct group_from f = from(c);
    return groups_heartbeat(r->groups, &f);
}

static const char *state_of(struct rig *r, size_t *ret_members)
{
    struct group_view view;
    assert_true(groups_describe(r->groups, STR("g"), &r->arena, &view));
    *ret_members = view.member_count;
    return view.state;
}

static void expect_state(struct rig *r, const char *state, size_t members)
{
    size_t count = 0;
    assert_string_equal(state_of(r, &count), state);
    assert_int_equal(count, members);
}

static void settle_two(struct rig *r, struct client *a, struct client *b)
{
    join(r, a);
    take_join(a);
    sync_client(r, a);
    assert_int_equal(a->wait.error, KAFKA_NONE);
    join(r, b);
    assert_int_equal(b->ended, 0); /* waits for a */
    assert_int_equal(beat(r, a), KAFKA_REBALANCE_IN_PROGRESS);
    join(r, a);
    take_join(a);
    take_join(b);
    sync_client(r, b);
    assert_int_equal(b->ended, 0); /* waits for the leader */
    sync_client(r, a);
    assert_int_equal(a->ended + b->ended, 2);
    assert_true(str_eq(a->wait.assignment, a->id) && str_eq(b->wait.assignment, b->id));
    expect_state(r, "Stable", 2);
}

/* ---- Tests ---- */

static void members_come_and_go(void **state)
{
    struct rig *r = *state;
    struct client a = {0};
    struct client b = {0};
    settle_two(r, &a, &b);
    assert_int_equal(beat(r, &a), KAFKA_NONE);
    const struct group_from leaving = from(&a);
    assert_int_equal(groups_leave(r->groups, &leaving), KAFKA_NONE);
    assert_int_equal(groups_leave(r->groups, &leaving), KAFKA_UNKNOWN_MEMBER_ID);
    assert_int_equal(beat(r, &b), KAFKA_REBALANCE_IN_PROGRESS);
    join(r, &b);
    take_join(&b);
    assert_true(str_eq(b.leader, b.id));
    sync_client(r, &b);
    expect_state(r, "Stable", 1);
    const struct group_from last = from(&b);
    assert_int_equal(groups_leave(r->groups, &last), KAFKA_NONE);
    expect_state(r, "Empty", 0);
    assert_false(groups_busy(r->groups) && (groups_tick(r->groups), groups_busy(r->groups)));
}

static void silence_is_death(void **state)
{
    struct rig *r = *state;
    struct client a = {0};
    struct client b = {0};
    settle_two(r, &a, &b);
    pass(r, 6000);
    assert_int_equal(beat(r, &a), KAFKA_NONE);
    pass(r, 6000); /* b has said nothing for 12 s */
    expect_state(r, "PreparingRebalance", 1);
    assert_int_equal(beat(r, &b), KAFKA_UNKNOWN_MEMBER_ID);
    join(r, &a);
    take_join(&a);
    pass(r, 40000); /* and now it does not sync */
    expect_state(r, "Empty", 0);
}

static void a_rebalance_does_not_wait_for_ever(void **state)
{
    struct rig *r = *state;
    struct client a = {0};
    struct client b = {0};
    struct client c = {0};
    settle_two(r, &a, &b);
    join(r, &c);
    for (int i = 0; i < 4; i++) { /* a and b beat, and do not join */
        pass(r, 8000);
        if (i < 3) {
            assert_int_equal(beat(r, &a), KAFKA_REBALANCE_IN_PROGRESS);
            assert_int_equal(beat(r, &b), KAFKA_REBALANCE_IN_PROGRESS);
        }
    }
    take_join(&c);
    expect_state(r, "CompletingRebalance", 1);
    assert_int_equal(beat(r, &a), KAFKA_UNKNOWN_MEMBER_ID);
}

static void ids_are_told_first(void **state)
{
    struct rig *r = *state;
    struct client a = {0};
    join_with(r, &a, "range", "m", true);
    assert_int_equal(a.wait.error, KAFKA_MEMBER_ID_REQUIRED);
    assert_true(a.wait.member_id.len > 0);
    expect_state(r, "Empty", 0);
    a.id = a.wait.member_id;
    join_with(r, &a, "range", "m", true);
    take_join(&a);
    struct client never = {0};
    join_with(r, &never, "range", "m",
              true); /* does not come back: it must not hold up the others for ever */
    struct client b = {0};
    join(r, &b);
    join(r, &a);
    assert_int_equal(a.ended, 0);
    pass(r, 11000);
    take_join(&a);
    take_join(&b);
}

static void static_members_keep_their_place(void **state)
{
    struct rig *r = *state;
    struct client a = {.instance = STR("one")};
    struct client b = {.instance = STR("two")};
    settle_two(r, &a, &b);
    struct client again = {.instance = STR("one")};
    join(r, &again); /* restarted: no rebalance, and a leader is told not to assign anew */
    assert_int_equal(again.ended, 1);
    assert_int_equal(again.wait.error, KAFKA_NONE);
    assert_int_equal(again.wait.generation, a.generation);
    assert_true(again.wait.skip_assignment);
    assert_int_equal(again.wait.member_count, 2);
    expect_state(r, "Stable", 2);
    struct str old_assignment = a.id;
    again.id = again.wait.member_id;
    again.generation = again.wait.generation;
    assert_false(str_eq(again.id, a.id));
    assert_int_equal(beat(r, &a), KAFKA_FENCED_INSTANCE_ID);
    again.wait.member_count = 0;
    sync_client(r, &again);
    assert_true(str_eq(again.wait.assignment, old_assignment));
    assert_int_equal(beat(r, &b), KAFKA_NONE);
}

static void strangers_are_refused(void **state)
{
    struct rig *r = *state;
    struct client a = {0};
    struct client b = {0};
    settle_two(r, &a, &b);
    struct client other = {0};
    join_with(r, &other, "another", "m", false);
    assert_int_equal(other.wait.error, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
    other.id = STR("made-up");
    join(r, &other);
    assert_int_equal(other.wait.error, KAFKA_UNKNOWN_MEMBER_ID);
    b.generation--;
    assert_int_equal(beat(r, &b), KAFKA_ILLEGAL_GENERATION);
    expect_state(r, "Stable", 2);
    assert_int_equal(groups_delete(r->groups, STR("g")), KAFKA_NON_EMPTY_GROUP);
    assert_int_equal(groups_delete(r->groups, STR("none")), KAFKA_GROUP_ID_NOT_FOUND);
}

/* Whatever members do in whatever order: every wait ends once, or can be taken back once;
 * generations only grow; and when all behave again the group becomes stable with all of them. */
static void any_order(void **state)
{
    struct rig *r = *state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct client clients[MEMBERS] = {{{0}, 0, {0}, {0}, {0}, 0}};
        bool waits[MEMBERS] = {false};
        os_random_seed(seed);
        for (int step = 0; step < 300; step++) {
            size_t i = os_random_u64() % MEMBERS;
            struct client *c = &clients[i];
            uint64_t what = os_random_u64() % 10;
            if (waits[i] && c->ended) {
                assert_int_equal(c->ended, 1);
                waits[i] = false;
                if (c->wait.error == KAFKA_NONE && c->wait.member_id.ptr) {
                    assert_true(c->wait.generation >= c->generation);
                    c->id = c->wait.member_id;
                    c->generation = c->wait.generation;
                } else if (c->wait.error == KAFKA_UNKNOWN_MEMBER_ID) {
                    c->id = STR_NONE;
                }
            }
            if (waits[i]) {
                if (what == 0) {
                    waits[i] = false;
                    assert_true(groups_cancel(r->groups, &c->wait));
                    assert_false(groups_cancel(r->groups, &c->wait));
                }
                continue;
            }
            if (what < 3) {
                join(r, c);
                waits[i] = true;
            } else if (what < 6 && c->id.ptr) {
                sync_client(r, c);
                waits[i] = true;
            } else if (what == 6 && c->id.ptr) {
                const struct group_from f = from(c);
                (void)groups_leave(r->groups, &f);
                c->id = STR_NONE;
            } else if (what == 7) {
                pass(r, (int64_t)(os_random_u64() % 4000));
            } else {
                (void)beat(r, c);
            }
        }
        for (size_t i = 0; i < MEMBERS; i++)
            if (waits[i] && clients[i].ended == 0)
                assert_true(groups_cancel(r->groups, &clients[i].wait));
        pass(r, 11000);
        pass(r, 31000); /* all are gone */
        pass(r, 31000);
        if (groups_exists(r->groups, STR("g"))) /* else it was forgotten already */
            expect_state(r, "Empty", 0);
        struct client a = {0};
        struct client b = {0};
        settle_two(r, &a, &b);
        pass(r, 11000);
        pass(r, 31000);
        arena_reset(&r->arena);
    }
}

/* ---- Offsets ---- */

struct committing {
    struct group_commit commit; /* first */
    struct os_mutex lock;
    struct os_cond cond;
    bool over;
};

static void on_committed(struct log_append *first)
{
    for (struct log_append *next; first; first = next) {
        struct committing *c = (struct committing *)first;
        next = first->next;
        os_mutex_lock(&c->lock);
        c->over = true;
        os_cond_signal(&c->cond);
        os_mutex_unlock(&c->lock);
    }
}

static enum err commit(struct rig *r, const char *group, const char *topic, int32_t partition,
                       int64_t offset, const char *metadata)
{
    struct committing c = {
        .commit = {.append.append = {.done = on_committed},
                   .group = str_from_c(group),
                   .offset = {str_from_c(topic), partition, offset, 3, str_from_c(metadata)},
                   .commit_ms = os_wall_us() / 1000}};
    os_mutex_init(&c.lock);
    os_cond_init(&c.cond);
    enum err e = groups_commit_append(r->groups, &c.commit);
    if (e == ERR_OK) {
        os_mutex_lock(&c.lock);
        while (!c.over)
            os_cond_wait(&c.cond, &c.lock);
        os_mutex_unlock(&c.lock);
        groups_commit_end(r->groups, &c.commit);
        e = c.commit.append.append.error;
    }
    os_cond_release(&c.cond);
    os_mutex_release(&c.lock);
    return e;
}

static void expect_offset(struct rig *r, const char *group, const char *topic, int32_t partition,
                          int64_t offset, const char *metadata)
{
    struct group_offset_view v =
        groups_offset(r->groups, str_from_c(group), str_from_c(topic), partition, &r->arena);
    assert_int_equal(v.offset, offset);
    assert_true(str_eq(v.metadata, str_from_c(metadata)));
    assert_int_equal(v.leader_epoch, offset < 0 ? -1 : 3);
}

static void offsets_stay(void **state)
{
    struct rig *r = *state;
    const struct group_from simple = {STR("g"), STR(""), STR_NONE, -1};
    assert_int_equal(groups_commit_check(r->groups, &simple), KAFKA_NONE);
    for (int64_t i = 0; i < 20; i++)
        assert_int_equal(commit(r, "g", "t", (int32_t)(i % 4), i, "note"), ERR_OK);
    assert_int_equal(commit(r, "h", "t", 0, 7, ""), ERR_OK);
    for (int round = 0; round < 3; round++) {
        size_t count = 0;
        expect_offset(r, "g", "t", 3, 19, "note");
        expect_offset(r, "g", "t", 4, -1, "");
        expect_offset(r, "h", "t", 0, 7, "");
        (void)groups_offsets(r->groups, STR("g"), &r->arena, &count);
        assert_int_equal(count, 4);
        if (round == 1)
            groups_rewrite(r->groups);
        rig_close(r);
        rig_open(r);
    }
    assert_int_equal(groups_delete(r->groups, STR("g")), KAFKA_NONE);
    assert_int_equal(groups_offset_delete(r->groups, STR("h"), STR("t"), 0), KAFKA_NONE);
    rig_close(r);
    rig_open(r);
    expect_offset(r, "g", "t", 3, -1, "");
    expect_offset(r, "h", "t", 0, -1, "");
    assert_false(groups_exists(r->groups, STR("g")));
}

/* The topic is written anew when it has grown far beyond what it says; what is committed stays. */
static void the_topic_does_not_grow_for_ever(void **state)
{
    enum { OLD_BYTES = 1 << 20, OLD_RECORDS = 18 };
    struct rig *r = *state;
    struct log_part_info info;
    struct log_part *part = log_topic_part(log_topic_find(r->log, STR("__consumer_offsets")), 0);
    const struct group_from simple = {STR("g"), STR(""), STR_NONE, -1};
    assert_int_equal(groups_commit_check(r->groups, &simple), KAFKA_NONE);
    for (int32_t p = 0; p < 10; p++)
        assert_int_equal(commit(r, "g", "t", p, 100 + p, "note"), ERR_OK);
    char *old = mem_alloc(OLD_BYTES);
    for (size_t i = 0; i < OLD_BYTES; i++)
        old[i] = (char)os_random_u64();
    struct str value = str_of(old, OLD_BYTES);
    const struct log_record record = {
        .timestamp_ms = -1, .key = STR("\0\2\0\1x"), .value = &value, .value_parts = 1};
    int64_t offset = 0;
    for (int i = 0; i < OLD_RECORDS; i++) {
        assert_false(groups_want_rewrite(r->groups));
        assert_int_equal(log_append_wait(part, &record, LOG_ACK_SYNC, &offset), ERR_OK);
    }
    mem_free(old);
    groups_tick(r->groups);
    assert_true(groups_want_rewrite(r->groups));
    assert_false(groups_want_rewrite(r->groups));
    assert_int_equal(commit(r, "g", "t", 0, 1, ""), ERR_BUSY);
    groups_rewrite(r->groups);
    log_part_describe(part, &info);
    assert_true(info.bytes < 6 << 20);
    assert_true(info.start_offset > 0);
    for (int round = 0; round < 2; round++) {
        for (int32_t p = 0; p < 10; p++)
            expect_offset(r, "g", "t", p, 100 + p, "note");
        rig_close(r);
        rig_open(r);
    }
    assert_int_equal(commit(r, "g", "t", 0, 200, ""), ERR_OK);
    expect_offset(r, "g", "t", 0, 200, "");
}

static void old_offsets_go(void **state)
{
    struct rig *r = *state;
    const struct group_from simple = {STR("old"), STR(""), STR_NONE, -1};
    assert_int_equal(groups_commit_check(r->groups, &simple), KAFKA_NONE);
    assert_int_equal(commit(r, "old", "t", 0, 5, ""), ERR_OK);
    pass(r, GROUP_OFFSETS_RETENTION_MS - 120000);
    expect_offset(r, "old", "t", 0, 5, "");
    pass(r, 240000);
    expect_offset(r, "old", "t", 0, -1, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(members_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(silence_is_death, setup, teardown),
        cmocka_unit_test_setup_teardown(a_rebalance_does_not_wait_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(ids_are_told_first, setup, teardown),
        cmocka_unit_test_setup_teardown(static_members_keep_their_place, setup, teardown),
        cmocka_unit_test_setup_teardown(strangers_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(any_order, setup, teardown),
        cmocka_unit_test_setup_teardown(offsets_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(the_topic_does_not_grow_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(old_offsets_go, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
