/* The whole log on a simulated disk, from a seed: random appends, commits, syncs, maintenance,
 * faults, deaths of the process, losses of power, damaged bytes; after every restart everything
 * that can be read is compared with a model.
 *
 *     SEED=n        one run, the one that failed
 *     SIM_SEEDS=n   that many runs (default 40); SIM_FIRST=n the first seed
 *     SIM_STEPS=n   steps of a run
 *
 * What must hold:
 *  1. An acknowledged record is there once, at its offset, with its bytes, unless retention, the
 *     quota or reported damage took it; after a loss of power one acknowledged by LOG_ACK_WRITE
 *     may be gone if no sync came since.
 *  2. A record that was refused is not there. One that had no answer is there once or not at all.
 *  3. Records are in the order of their appends; offsets ascend; backward is as forward.
 *  4. The folder is never larger than the quota. */
#include "tests/unit/log/log_test.h"

#include "base/mem.h"
#include "os/clock.h"
#include "os/sim_fs.h"

enum { TOPICS = 4, QUOTA = 4 << 20 };

enum state { WAITING, ACKNOWLEDGED, REFUSED, UNKNOWN };

struct record {
    struct log_append append; /* first */
    uint64_t id;
    size_t filler;
    int64_t offset;
    enum state state;
    bool durable;
    bool seen;
};

struct model {
    const char *name;
    struct log_topic_config config;
    struct log_part *part;
    struct record **records; /* in the order of their appends; NULL: forgotten */
    size_t count;
    int64_t lost_from; /* reported damage: records with offsets in [from, to) may be gone */
    int64_t lost_to;
    int64_t highest_start; /* retention has taken what is below, for good or not */
};

static struct {
    uint64_t seed;
    uint64_t random;
    struct sim_fs *disk;
    struct log *log;
    struct model topics[TOPICS];
    uint64_t next_id;
    uint64_t now_us;
    bool quiet_refusals; /* a cut failed: what was refused may come back */
    bool damage;         /* this run flips bytes */
    bool verbose;
    uint64_t restarts, crashes, reads, acknowledged, lost, damaged, evicted, expired, full;
} sim;

static uint64_t draw(uint64_t limit)
{
    uint64_t z = (sim.random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % limit;
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("%s:%d: %s\n  reproduce: SEED=%llu\n", __FILE__, __LINE__, #condition,          \
                   (unsigned long long)sim.seed);                                                  \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

static uint64_t sim_now_us(void *arg)
{
    (void)arg;
    return sim.now_us;
}

static int64_t sim_wall_us(void *arg)
{
    (void)arg;
    return 1700000000000000 + (int64_t)sim.now_us;
}

static const struct os_clock sim_clock = {sim_now_us, sim_wall_us, NULL};

/* The log's side ------------------------------------------------------------------------------ */

static int64_t number_after(struct str text, const char *key)
{
    ptrdiff_t at = str_find(text, str_from_c(key));
    int64_t n = -1;
    if (at < 0)
        return -1;
    struct str rest = str_skip(text, (size_t)at + strlen(key));
    return str_to_i64(str_split(&rest, ' '), &n) == ERR_OK ? n : -1;
}

static struct model *model_of(struct str text)
{
    for (int i = 0; i < TOPICS; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "topic=%s ", sim.topics[i].name);
        if (str_find(text, str_from_c(key)) >= 0)
            return &sim.topics[i];
    }
    fail();
    return NULL;
}

static void note_loss(struct str text, int64_t from, int64_t to)
{
    struct model *m = model_of(text);
    m->lost_from = from < m->lost_from ? from : m->lost_from;
    m->lost_to = to > m->lost_to ? to : m->lost_to;
}

static void note_removal(struct str text)
{
    struct model *m = model_of(text);
    int64_t next = number_after(text, " next=");
    m->highest_start = next > m->highest_start ? next : m->highest_start;
}

static void on_report(void *arg, enum log_severity severity, struct str text)
{
    (void)arg;
    (void)severity;
    if (sim.verbose)
        printf("    %.*s\n", STR_ARG(text));
    if (str_starts(text, STR("event=log_damaged"))) {
        int64_t next = number_after(text, " next=");
        note_loss(text, number_after(text, " offset="), next < 0 ? INT64_MAX : next);
        sim.damaged++;
    } else if (str_starts(text, STR("event=log_evicted"))) {
        note_removal(text);
        sim.evicted++;
    } else if (str_starts(text, STR("event=log_expired"))) {
        note_removal(text);
        sim.expired++;
    } else if (str_starts(text, STR("event=log_tail_cut")) && sim.damage) {
        note_loss(text, number_after(text, " offset="), INT64_MAX);
    }
}

static void on_fatal(void *arg, struct str text)
{
    (void)arg;
    if (sim.verbose)
        printf("    FATAL %.*s\n", STR_ARG(text));
    sim_fs_crash(sim.disk); /* the process is over, and nothing is sure of the disk */
}

static void on_done(struct log_append *first)
{
    for (struct log_append *next; first; first = next) {
        struct record *r = (struct record *)first;
        next = first->next;
        CHECK(r->state == WAITING);
        if (first->error == ERR_OK) {
            CHECK(first->offset >= 0);
            r->state = ACKNOWLEDGED;
            r->offset = first->offset;
            r->durable = first->ack == LOG_ACK_SYNC ||
                         (first->ack == LOG_ACK_TOPIC && first->owner == (void *)1);
            sim.acknowledged++;
        } else {
            sim.full += first->error == ERR_QUOTA;
            r->state = sim_fs_is_down(sim.disk) || sim.quiet_refusals ? UNKNOWN : REFUSED;
        }
    }
}

static bool open_log_once(void)
{
    struct buf detail BUF_AUTO;
    buf_init(&detail, 4096);
    struct log_options options = {
        .fs = sim_fs_table(sim.disk),
        .dir = "/data",
        .quota_bytes = QUOTA,
        .protect_ms = 1000,
        .manual = true,
        .report = on_report,
        .fatal = on_fatal,
    };
    enum err error = log_open(&options, &detail, &sim.log);
    if (error != ERR_OK) {
        if (sim.verbose)
            printf("  open: %s: %.*s\n", err_name(error), STR_ARG(buf_str(&detail)));
        CHECK(detail.len > 0);
        return false;
    }
    for (int i = 0; i < TOPICS; i++) {
        struct model *m = &sim.topics[i];
        struct log_topic *topic = NULL;
        error = log_topic_open(sim.log, str_from_c(m->name), &m->config, &topic);
        if (error != ERR_OK) {
            log_close(sim.log);
            return false;
        }
        m->part = log_topic_part(topic, 0);
    }
    return true;
}

/* Comparing ----------------------------------------------------------------------------------- */

static struct record *find_record(struct model *m, uint64_t id)
{
    for (size_t i = m->count; i-- > 0;)
        if (m->records[i]->id == id)
            return m->records[i];
    return NULL;
}

static bool may_be_lost(const struct model *m, const struct record *r)
{
    return r->offset >= m->lost_from && r->offset < m->lost_to;
}

static void check_entry(struct model *m, const struct log_entry *e)
{
    uint64_t id = entry_number(e);
    struct record *r = find_record(m, id);
    char *memory = mem_alloc(r ? r->filler + 64 : 64);
    CHECK(r != NULL);
    if (!r)
        return; /* CHECK does not come back; the analyzer cannot know */
    CHECK(!r->seen);
    r->seen = true;
    CHECK(r->state != REFUSED);
    CHECK(str_eq(e->value, record_value(id, r->filler, memory)));
    CHECK(r->state != ACKNOWLEDGED || r->offset == e->offset);
    r->offset = e->offset;
    mem_free(memory);
}

/* Backward there is the same as forward. */
static void compare_backward(struct model *m, uint64_t count)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *e = NULL;
    enum err error;
    CHECK(log_cursor_open(m->part, INT64_MAX, LOG_BACKWARD, &cursor) == ERR_OK);
    while ((error = log_cursor_next(cursor, &e)) == ERR_OK && e)
        CHECK(count-- > 0);
    log_cursor_close(cursor);
    CHECK(error != ERR_OK || count == 0);
}

/* Read a partition whole. power_lost: what was not synced may be gone. */
static bool compare(struct model *m, bool power_lost)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *e = NULL;
    struct log_part_info info;
    int64_t before = -1;
    uint64_t before_id = 0;
    uint64_t count = 0;
    enum err error;
    log_part_describe(m->part, &info);
    for (size_t i = 0; i < m->count; i++)
        m->records[i]->seen = false;
    CHECK(log_cursor_open(m->part, info.start_offset, LOG_FORWARD, &cursor) == ERR_OK);
    while ((error = log_cursor_next(cursor, &e)) == ERR_OK && e) {
        CHECK(e->offset > before && e->offset >= info.start_offset && e->offset < info.end_offset);
        uint64_t id = entry_number(e);
        CHECK(before < 0 || id > before_id);
        before = e->offset;
        before_id = id;
        check_entry(m, e);
        count++;
    }
    log_cursor_close(cursor);
    sim.reads++;
    if (error != ERR_OK) /* a fault that was asked for */
        return false;
    compare_backward(m, count);
    for (size_t i = 0; i < m->count; i++) {
        struct record *r = m->records[i];
        if (r->seen || r->state != ACKNOWLEDGED || r->offset < m->highest_start ||
            may_be_lost(m, r))
            continue;
        bool visible = r->offset < info.end_offset;
        if (power_lost && !r->durable)
            continue;
        if (!power_lost && !visible && m->config.durability == LOG_SYNC)
            continue; /* acknowledged by write, not yet shown */
        printf("  record %llu at %lld (durable %d) of %s is gone; highest start %lld, log is %lld "
               "to %lld\n",
               (unsigned long long)r->id, (long long)r->offset, r->durable, m->name,
               (long long)m->highest_start, (long long)info.start_offset,
               (long long)info.end_offset);
        CHECK(!"an acknowledged record is gone");
    }
    return true;
}

/* After a restart what is there is what there is: unanswered records have their answer now. What
 * retention took is not forgotten: the removal of its file may not have reached the disk. */
static void rebase(struct model *m)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++) {
        struct record *r = m->records[i];
        if (r->seen) {
            r->state = ACKNOWLEDGED;
            r->durable = true; /* the open has synced what it kept */
            m->records[kept++] = r;
        } else if (r->state == ACKNOWLEDGED && r->offset < m->highest_start) {
            m->records[kept++] = r;
        } else {
            sim.lost += r->state == ACKNOWLEDGED;
            mem_free(r);
        }
    }
    m->count = kept;
    m->lost_from = INT64_MAX;
    m->lost_to = -1;
}

/* Steps --------------------------------------------------------------------------------------- */

static void step_append(void)
{
    static char memory[128 << 10];
    struct model *m = &sim.topics[draw(TOPICS)];
    uint64_t n = 1 + draw(6);
    for (uint64_t i = 0; i < n; i++) {
        struct record *r = NEW(struct record);
        r->id = ++sim.next_id;
        r->filler = draw(10) ? draw(800) : draw(10) ? draw(8000) : draw(sizeof memory - 64);
        r->offset = -1;
        r->append = (struct log_append){
            .done = on_done,
            .owner = (void *)(uintptr_t)(m->config.durability == LOG_SYNC),
            .ack = (enum log_ack)draw(3),
            .lazy = true,
        };
        char key[32];
        (void)snprintf(key, sizeof key, "k%llu", (unsigned long long)r->id);
        struct str value = record_value(r->id, r->filler, memory);
        struct record_header header = {STR("n"), str_from_c(key)};
        struct log_record record = {
            (int64_t)(1000 + r->id), str_from_c(key), &value, 1, &header, 1};
        enum err error = log_append(m->part, &record, &r->append);
        if (error != ERR_OK) {
            CHECK(error == ERR_CLOSED && sim_fs_is_down(sim.disk));
            mem_free(r);
            return;
        }
        m->records = mem_resize(m->records, (m->count + 1) * sizeof *m->records);
        m->records[m->count++] = r;
    }
}

/* Other threads do not wait for a sync. */
static void others_meanwhile(void *arg)
{
    (void)arg;
    sim_fs_during_sync(sim.disk, NULL, NULL);
    for (uint64_t n = draw(4); n > 0; n--) {
        step_append();
        (void)log_run_commit(sim.log);
    }
    if (draw(8) == 0)
        log_maintain(sim.log);
}

static void step_sync(void)
{
    if (draw(3) == 0)
        sim_fs_during_sync(sim.disk, others_meanwhile, NULL);
    (void)log_run_sync(sim.log);
    sim_fs_during_sync(sim.disk, NULL, NULL);
}

static void mark_durable(void)
{
    for (int t = 0; t < TOPICS; t++)
        for (size_t i = 0; i < sim.topics[t].count; i++)
            if (sim.topics[t].records[i]->state == ACKNOWLEDGED)
                sim.topics[t].records[i]->durable = true;
}

static void step_sync_all(void)
{
    while (log_run_commit(sim.log) || log_run_sync(sim.log))
        ;
    if (!sim_fs_is_down(sim.disk))
        mark_durable();
}

static void step_read(void)
{
    struct model *m = &sim.topics[draw(TOPICS)];
    struct log_part_info info;
    struct log_range range;
    log_part_describe(m->part, &info);
    int64_t offset =
        info.start_offset + (int64_t)draw((uint64_t)(info.end_offset - info.start_offset) + 1);
    enum err error = log_read(m->part, offset, 1 + draw(20000), &range);
    if (error != ERR_OK)
        return;
    struct buf bytes BUF_AUTO;
    buf_init(&bytes, 64 << 20);
    if (range.length > 0 && log_range_copy(&range, &bytes) == ERR_OK) {
        struct str rest = buf_str(&bytes);
        int64_t next = range.base_offset;
        while (rest.len > 0) { /* whole batches */
            struct batch_header h;
            enum err damage = batch_check(rest, &h);
            if (sim.damage && damage != ERR_OK)
                break; /* not met before: a range is handed out unread */
            CHECK(damage == ERR_OK);
            CHECK(h.base_offset >= next);
            next = batch_last_offset(&h) + 1;
            rest = str_skip(rest, h.size_bytes);
        }
        CHECK(sim.damage || next <= range.next_offset);
    }
    log_range_release(&range);
}

static void step_compare(void)
{
    struct model *m = &sim.topics[draw(TOPICS)];
    (void)compare(m, false);
}

static void step_backward(void)
{
    struct model *m = &sim.topics[draw(TOPICS)];
    struct log_cursor *cursor = NULL;
    const struct log_entry *e = NULL;
    int64_t before = INT64_MAX;
    CHECK(log_cursor_open(m->part, log_part_end(m->part), LOG_BACKWARD, &cursor) == ERR_OK);
    for (uint64_t n = draw(200); n > 0 && log_cursor_next(cursor, &e) == ERR_OK && e; n--) {
        CHECK(e->offset < before);
        before = e->offset;
        struct record *r = find_record(m, entry_number(e));
        CHECK(r && r->state != REFUSED && (r->state != ACKNOWLEDGED || r->offset == e->offset));
    }
    log_cursor_close(cursor);
}

static void step_fault(void)
{
    static const enum sim_op ops[] = {SIM_OPEN,   SIM_WRITE, SIM_WRITE, SIM_TRUNCATE, SIM_RENAME,
                                      SIM_REMOVE, SIM_READ,  SIM_STAT,  SIM_LIST};
    enum sim_op op = ops[draw(sizeof ops / sizeof ops[0])];
    if (op == SIM_TRUNCATE)
        sim.quiet_refusals = true;
    sim_fs_fail(sim.disk, op, 1 + draw(5), draw(2) ? ERR_IO : ERR_NO_SPACE);
}

static void step_sync_fault(void)
{
    sim_fs_fail(sim.disk, draw(3) ? SIM_DATASYNC : SIM_SYNC_DIR, 1 + draw(5), ERR_IO);
}

static void clear_faults(void)
{
    for (int op = 0; op < SIM_OP_COUNT; op++)
        sim_fs_fail(sim.disk, (enum sim_op)op, 0, ERR_OK);
}

struct victim {
    uint64_t left;
    char path[256];
    const char *dir;
    uint64_t size;
};

static void pick_file(void *arg, struct str name, bool is_dir)
{
    struct victim *v = arg;
    struct os_stat st;
    char path[256];
    if (is_dir || !str_ends(name, STR("index")) == !(sim.random % 5 == 0))
        return;
    (void)snprintf(path, sizeof path, "%s/%.*s", v->dir, STR_ARG(name));
    if (os_fs_stat(sim_fs_table(sim.disk), path, &st) != ERR_OK || st.size_bytes == 0)
        return;
    if (draw(++v->left) == 0) {
        memcpy(v->path, path, sizeof path);
        v->size = st.size_bytes;
    }
}

static void step_damage(void)
{
    char dir[64];
    struct model *m = &sim.topics[draw(TOPICS)];
    (void)snprintf(dir, sizeof dir, "/data/topics/%s-0", m->name);
    struct victim v = {.dir = dir};
    if (os_fs_list(sim_fs_table(sim.disk), dir, pick_file, &v) != ERR_OK || !v.size)
        return;
    uint64_t at = draw(v.size);
    for (uint64_t n = 1 + draw(40), i = 0; i < n; i++)
        (void)sim_fs_flip(sim.disk, v.path, at + i, (uint8_t)(1 + draw(255)));
    if (sim.verbose)
        printf("  damaged %s at %llu\n", v.path, (unsigned long long)at);
}

/* Down in some way, and up again. */
static void step_restart(void)
{
    uint64_t how = draw(4);
    bool power_lost = sim_fs_is_down(sim.disk) || how > 1;
    if (sim.verbose)
        printf("  restart how=%llu power_lost=%d\n", (unsigned long long)how, power_lost);
    clear_faults();
    sim_fs_crash_at(sim.disk, 0);
    if (power_lost)
        sim_fs_crash(sim.disk);
    else if (how == 1)
        sim_fs_kill(sim.disk);
    log_close(sim.log); /* a clean stop, unless it is down */
    sim.crashes += power_lost;
    sim_fs_restart(sim.disk);
    sim.restarts++;
    sim.quiet_refusals = false;
    if (draw(3) == 0) /* a second one while it comes up */
        sim_fs_crash_at(sim.disk, 1 + draw(60));
    else if (draw(4) == 0)
        step_fault();
    while (!open_log_once()) {
        clear_faults();
        power_lost = power_lost || sim_fs_is_down(sim.disk);
        sim_fs_restart(sim.disk);
    }
    sim_fs_crash_at(sim.disk, 0);
    clear_faults();
    CHECK(!sim_fs_is_down(sim.disk));
    for (int i = 0; i < TOPICS; i++) {
        CHECK(compare(&sim.topics[i], power_lost));
        rebase(&sim.topics[i]);
    }
}

static void step(void)
{
    uint64_t what = draw(1000);
    sim.now_us += draw(3000);
    if (what < 450)
        step_append();
    else if (what < 650)
        (void)log_run_commit(sim.log);
    else if (what < 700)
        log_commit(sim.log);
    else if (what < 820)
        step_sync();
    else if (what < 840)
        step_sync_all();
    else if (what < 870)
        log_maintain(sim.log);
    else if (what < 930)
        step_read();
    else if (what < 940)
        step_compare();
    else if (what < 955)
        step_backward();
    else if (what < 970)
        step_fault();
    else if (what < 972)
        step_sync_fault();
    else if (what < 980)
        sim.now_us += draw(3000000);
    else if (what < 984 && sim.damage)
        step_damage();
    else if (what < 990)
        sim_fs_crash_at(sim.disk, 1 + draw(100));
    else if (what < 994)
        step_restart();
    if (sim_fs_is_down(sim.disk))
        step_restart();
    CHECK(sim_fs_peak(sim.disk) <= QUOTA);
}

static void setup(uint64_t seed)
{
    memset(&sim, 0, sizeof sim);
    sim.seed = seed;
    sim.random = seed * 7919 + 17;
    sim.now_us = 1000000000;
    sim.verbose = getenv("SEED") != NULL;
    sim.damage = seed % 3 == 0;
    os_clock_set(&sim_clock);
    sim.disk = sim_fs_new(seed);
    sim.topics[0].name = "write";
    sim.topics[1].name = "sync";
    sim.topics[2].name = "small";
    sim.topics[3].name = "keep";
    for (int i = 0; i < TOPICS; i++) {
        struct model *m = &sim.topics[i];
        m->config = LOG_TOPIC_CONFIG_DEFAULT;
        m->config.segment_bytes = 64 << 10;
        m->lost_from = INT64_MAX;
        m->lost_to = -1;
    }
    sim.topics[0].config.compression = COMPRESS_NONE;
    sim.topics[1].config.durability = LOG_SYNC;
    sim.topics[2].config.compression = COMPRESS_ZSTD;
    sim.topics[2].config.retention_bytes = 100000;
    sim.topics[3].config.durability = LOG_SYNC;
    sim.topics[3].config.keep = seed % 5 != 0;
    CHECK(open_log_once());
}

static void teardown(void)
{
    sim_fs_crash_at(sim.disk, 0);
    clear_faults();
    log_close(sim.log);
    for (int i = 0; i < TOPICS; i++) {
        for (size_t r = 0; r < sim.topics[i].count; r++)
            mem_free(sim.topics[i].records[r]);
        mem_free(sim.topics[i].records);
    }
    sim_fs_free(sim.disk);
    os_clock_set(NULL);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    uint64_t value = otherwise;
    const char *text = getenv(name);
    if (text)
        assert_int_equal(str_to_u64(str_from_c(text), &value), ERR_OK);
    return value;
}

static void run_seed(uint64_t seed, uint64_t steps)
{
    setup(seed);
    for (uint64_t i = 0; i < steps; i++)
        step();
    step_restart();
    printf(
        "seed %llu: %llu appends, %llu acknowledged, %llu over quota; %llu restarts, %llu without "
        "power, %llu unsynced lost; %llu damaged, %llu evicted, %llu expired\n",
        (unsigned long long)seed, (unsigned long long)sim.next_id,
        (unsigned long long)sim.acknowledged, (unsigned long long)sim.full,
        (unsigned long long)sim.restarts, (unsigned long long)sim.crashes,
        (unsigned long long)sim.lost, (unsigned long long)sim.damaged,
        (unsigned long long)sim.evicted, (unsigned long long)sim.expired);
    teardown();
}

static void nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    uint64_t steps = setting("SIM_STEPS", 3000);
    if (getenv("SEED")) {
        run_seed(setting("SEED", 0), steps);
        return;
    }
    uint64_t first = setting("SIM_FIRST", 1);
    for (uint64_t i = 0; i < setting("SIM_SEEDS", 40); i++)
        run_seed(first + i, steps);
    /* Those that found something once. */
    static const uint64_t known[] = {43023}; /* a repair from inside a sync */
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        run_seed(known[i], steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
