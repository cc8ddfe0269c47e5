/* Many threads at once: appenders of every kind, readers, tails, retention, the quota, changes of
 * topics. For ThreadSanitizer, and for what only shows when things happen at the same time. */
#include "tests/unit/log/log_test.h"

#include <stdatomic.h>

#include "base/mem.h"
#include "os/clock.h"
#include "os/thread.h"

enum { PARTS = 3, WRITERS = 6, EACH = 600, WINDOW = 16 };

static const struct log_topic_config config = {.partitions = PARTS,
                                               .compression = COMPRESS_LZ4,
                                               .retention_ms = -1,
                                               .retention_bytes = -1,
                                               .segment_bytes = 64 << 10};

static struct log *the_log;
static struct log_topic *the_topic;
static atomic_bool stop;
static atomic_int running;

/* Appenders ----------------------------------------------------------------------------------- */

struct writer {
    struct os_thread thread;
    unsigned id;
    struct os_mutex lock;
    struct os_cond cond;
    struct log_append appends[WINDOW];
    struct log_append *idle;
    unsigned idle_count;
    int64_t last[PARTS]; /* offsets ascend for one kind of acknowledgement */
    uint64_t done;
};

static void on_done(struct log_append *first)
{
    struct writer *w = first->owner;
    os_mutex_lock(&w->lock);
    for (struct log_append *next; first; first = next) {
        next = first->next;
        assert_int_equal(first->error, ERR_OK);
        unsigned part = w->id % PARTS;
        if (w->id % 2)
            assert_true(first->offset > w->last[part]);
        w->last[part] = first->offset;
        first->next = w->idle;
        w->idle = first;
        w->idle_count++;
        w->done++;
    }
    os_cond_signal(&w->cond);
    os_mutex_unlock(&w->lock);
}

static struct log_append *take_idle(struct writer *w)
{
    os_mutex_lock(&w->lock);
    while (!w->idle)
        os_cond_wait(&w->cond, &w->lock);
    struct log_append *a = w->idle;
    w->idle = a->next;
    w->idle_count--;
    os_mutex_unlock(&w->lock);
    return a;
}

/* Odd writers use one kind of acknowledgement, even ones both; a third of them commit for
 * themselves. */
static void write_records(void *arg)
{
    struct writer *w = arg;
    char memory[3000];
    for (uint64_t i = 0; i < EACH; i++) {
        struct log_append *a = take_idle(w);
        bool lazy = w->id % 3 == 0;
        *a = (struct log_append){.done = on_done,
                                 .owner = w,
                                 .ack = w->id % 2 ? LOG_ACK_WRITE : (enum log_ack)(1 + i % 2),
                                 .lazy = lazy};
        uint64_t n = i * WRITERS + w->id;
        char key[32];
        (void)snprintf(key, sizeof key, "k%llu", (unsigned long long)n);
        struct str value = record_value(n, n % 2000, memory);
        struct record_header header = {STR("n"), str_from_c(key)};
        struct log_record record = {(int64_t)(1000 + n), str_from_c(key), &value, 1, &header, 1};
        assert_int_equal(log_append(log_topic_part(the_topic, w->id % PARTS), &record, a), ERR_OK);
        if (lazy)
            log_commit(the_log);
    }
    os_mutex_lock(&w->lock);
    while (w->idle_count < WINDOW)
        os_cond_wait(&w->cond, &w->lock);
    os_mutex_unlock(&w->lock);
    atomic_fetch_sub(&running, 1);
}

static void start_writer(struct writer *w, unsigned id)
{
    *w = (struct writer){.id = id, .last = {-1, -1, -1}};
    os_mutex_init(&w->lock);
    os_cond_init(&w->cond);
    for (int i = 0; i < WINDOW; i++) {
        w->appends[i].next = w->idle;
        w->idle = &w->appends[i];
    }
    w->idle_count = WINDOW;
    atomic_fetch_add(&running, 1);
    assert_int_equal(os_thread_start("writer", write_records, w, &w->thread), ERR_OK);
}

/* Readers ------------------------------------------------------------------------------------- */

struct tail {
    struct log_watch watch; /* first */
    struct os_thread thread;
    unsigned part;
    struct os_mutex lock;
    struct os_cond cond;
    bool rung;
    uint64_t seen;
};

static void ring(struct log_watch *watch)
{
    struct tail *t = (struct tail *)watch;
    os_mutex_lock(&t->lock);
    t->rung = true;
    os_cond_signal(&t->cond);
    os_mutex_unlock(&t->lock);
}

static void wait_for_more(struct tail *t, struct log_part *part, int64_t offset)
{
    if (log_watch_add(part, &t->watch, offset))
        return;
    os_mutex_lock(&t->lock);
    while (!t->rung && !atomic_load(&stop))
        (void)os_cond_wait_for(&t->cond, &t->lock, 20000);
    t->rung = false;
    os_mutex_unlock(&t->lock);
    log_watch_remove(&t->watch);
}

/* Every record, in order, as it comes. */
static void follow(void *arg)
{
    struct tail *t = arg;
    struct log_part *part = log_topic_part(the_topic, t->part);
    struct log_cursor *cursor = NULL;
    const struct log_entry *e = NULL;
    int64_t before = -1;
    assert_int_equal(log_cursor_open(part, 0, LOG_FORWARD, &cursor), ERR_OK);
    while (!atomic_load(&stop)) {
        assert_int_equal(log_cursor_next(cursor, &e), ERR_OK);
        if (!e) {
            wait_for_more(t, part, log_cursor_offset(cursor));
            continue;
        }
        assert_int_equal(e->offset, before + 1);
        before = e->offset;
        (void)entry_number(e);
        t->seen++;
    }
    while (log_cursor_next(cursor, &e) == ERR_OK && e)
        t->seen++;
    log_cursor_close(cursor);
}

/* Ranges, times, descriptions and verification of whatever there is. */
static void look_around(void *arg)
{
    struct buf bytes BUF_AUTO;
    buf_init(&bytes, 4 << 20);
    (void)arg;
    for (uint64_t i = 0; !atomic_load(&stop); i++) {
        struct log_part *part = log_topic_part(the_topic, (uint32_t)(i % PARTS));
        struct log_part_info info;
        struct log_range range;
        int64_t offset = 0;
        int64_t ms = 0;
        log_part_describe(part, &info);
        int64_t from = info.end_offset > 0 ? (int64_t)(i * 37) % info.end_offset : 0;
        assert_int_equal(log_read(part, from, 20000, &range), ERR_OK);
        buf_reset(&bytes);
        assert_int_equal(log_range_copy(&range, &bytes), ERR_OK);
        struct batch_header h;
        if (range.length > 0)
            assert_int_equal(batch_check(buf_str(&bytes), &h), ERR_OK);
        log_range_release(&range);
        if (i % 8 == 0)
            assert_int_equal(log_find_time(part, (int64_t)(1000 + i), &offset, &ms), ERR_OK);
        if (i % 16 == 0)
            (void)read_backward(part, info.end_offset, NULL);
    }
}

/* Topics come and go, configurations change. */
static void administer(void *arg)
{
    (void)arg;
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        struct log_topic *topic = NULL;
        struct log_topic_config changed = config;
        changed.compression = i % 2 ? COMPRESS_NONE : COMPRESS_ZSTD;
        assert_int_equal(log_topic_configure(the_topic, &changed), ERR_OK);
        assert_int_equal(log_topic_open(the_log, STR("passing"), &config, &topic), ERR_OK);
        (void)append_numbered(log_topic_part(topic, 0), i, 100, LOG_ACK_SYNC);
        assert_int_equal(log_topic_delete(topic), ERR_OK);
        log_maintain(the_log);
        struct log_topic **topics = NULL;
        size_t count = 0;
        log_topic_list(the_log, &topics, &count);
        assert_int_equal(count, 1);
        mem_free(topics);
    }
}

static void everything_at_once(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .quota_bytes = 64 << 20};
    static struct writer writers[WRITERS];
    static struct tail tails[PARTS];
    struct os_thread others[3];
    the_log = open_log(&options);
    assert_int_equal(log_topic_open(the_log, STR("t"), &config, &the_topic), ERR_OK);
    atomic_store(&stop, false);
    for (unsigned i = 0; i < WRITERS; i++)
        start_writer(&writers[i], i);
    for (unsigned i = 0; i < PARTS; i++) {
        tails[i] = (struct tail){.watch.wake = ring, .part = i};
        os_mutex_init(&tails[i].lock);
        os_cond_init(&tails[i].cond);
        assert_int_equal(os_thread_start("tail", follow, &tails[i], &tails[i].thread), ERR_OK);
    }
    assert_int_equal(os_thread_start("look", look_around, NULL, &others[0]), ERR_OK);
    assert_int_equal(os_thread_start("look", look_around, NULL, &others[1]), ERR_OK);
    assert_int_equal(os_thread_start("admin", administer, NULL, &others[2]), ERR_OK);
    for (unsigned i = 0; i < WRITERS; i++)
        os_thread_join(&writers[i].thread);
    atomic_store(&stop, true);
    uint64_t seen = 0;
    for (unsigned i = 0; i < PARTS; i++) {
        os_thread_join(&tails[i].thread);
        seen += tails[i].seen;
    }
    for (unsigned i = 0; i < 3; i++)
        os_thread_join(&others[i]);
    assert_int_equal(atomic_load(&running), 0);
    assert_int_equal(seen, WRITERS * EACH);
    log_close(the_log);
    the_log = open_log(&options);
    the_topic = log_topic_find(the_log, STR("t"));
    seen = 0;
    for (unsigned i = 0; i < PARTS; i++)
        seen += read_forward(log_topic_part(the_topic, i), 0, NULL, NULL);
    assert_int_equal(seen, WRITERS * EACH);
    log_close(the_log);
    folder_remove(&f);
}

/* At the quota, with several partitions making room against each other. */
static void crowd(void *arg)
{
    unsigned id = (unsigned)(uintptr_t)arg;
    for (uint64_t n = 0; n < 400; n++)
        assert_true(
            append_numbered(log_topic_part(the_topic, id % PARTS), n, 6000, LOG_ACK_WRITE) >= 0);
}

static void room_is_made_by_many(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path, .quota_bytes = LOG_QUOTA_MIN_BYTES};
    struct os_thread threads[WRITERS];
    uint64_t used = 0;
    uint64_t quota = 0;
    the_log = open_log(&options);
    assert_int_equal(log_topic_open(the_log, STR("t"), &config, &the_topic), ERR_OK);
    for (unsigned i = 0; i < WRITERS; i++)
        assert_int_equal(os_thread_start("crowd", crowd, (void *)(uintptr_t)i, &threads[i]),
                         ERR_OK);
    for (unsigned i = 0; i < WRITERS; i++)
        os_thread_join(&threads[i]);
    log_quota_usage(the_log, &used, &quota);
    assert_true(used <= quota);
    struct log_stats stats;
    log_stats(the_log, &stats);
    assert_true(stats.segments_evicted > 10);
    assert_int_equal(stats.append_errors, 0);
    log_close(the_log);
    folder_remove(&f);
}

/* Damage, met and mended, under readers: they see what is good, all of it, whenever they look. */
enum { DAMAGED_RECORDS = 400, DAMAGED_SEGMENTS = 8 };

static atomic_uint damaged;

static void read_again_and_again(void *arg)
{
    struct log_part *part = log_topic_part(the_topic, 0);
    (void)arg;
    while (!atomic_load(&stop)) {
        unsigned before = atomic_load(&damaged);
        size_t forward = read_forward(part, 0, NULL, NULL);
        size_t backward = read_backward(part, DAMAGED_RECORDS, NULL);
        unsigned after = atomic_load(&damaged) + 1; /* one may be under way */
        assert_true(forward <= DAMAGED_RECORDS - before + 1);
        assert_true(forward >= DAMAGED_RECORDS - after);
        assert_true(backward >= DAMAGED_RECORDS - after);
    }
}

/* The value's middle of the third record of a segment. */
static void damage_segment(const struct folder *f, int64_t base)
{
    char path[128];
    struct batch_header h;
    char bytes[BATCH_HEADER_BYTES];
    (void)snprintf(path, sizeof path, "%s/topics/t-0/%020lld.log", f->path, (long long)base);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fread(bytes, 1, sizeof bytes, file), sizeof bytes);
    assert_int_equal(batch_header_read(str_of(bytes, sizeof bytes), &h), ERR_OK);
    assert_int_equal(fseek(file, (long)(2 * h.size_bytes + h.size_bytes / 2), SEEK_SET), 0);
    assert_int_equal(fwrite("damage!", 1, 7, file), 7);
    assert_int_equal(fclose(file), 0);
}

static void damage_is_mended_under_readers(void **state)
{
    (void)state;
    struct folder f = folder_make();
    struct log_options options = {.dir = f.path};
    struct log_topic_config single = config;
    struct os_thread readers[3];
    int64_t bases[DAMAGED_SEGMENTS];
    size_t count = 0;
    single.partitions = 1;
    single.compression = COMPRESS_NONE;
    the_log = open_log(&options);
    assert_int_equal(log_topic_open(the_log, STR("t"), &single, &the_topic), ERR_OK);
    struct log_part *part = log_topic_part(the_topic, 0);
    for (uint64_t n = 0; n < DAMAGED_RECORDS; n++) {
        struct log_part_info info;
        log_part_describe(part, &info);
        uint32_t before = info.segments;
        assert_int_equal(append_numbered(part, n, 2000, LOG_ACK_WRITE), n);
        log_part_describe(part, &info);
        if (info.segments > before && count < DAMAGED_SEGMENTS)
            bases[count++] = (int64_t)n;
    }
    assert_int_equal(count, DAMAGED_SEGMENTS);
    atomic_store(&stop, false);
    atomic_store(&damaged, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(os_thread_start("reader", read_again_and_again, NULL, &readers[i]),
                         ERR_OK);
    for (size_t i = 0; i < count; i++) {
        damage_segment(&f, bases[i]);
        (void)read_forward(part, 0, NULL, NULL);
        atomic_fetch_add(&damaged, 1);
        log_maintain(the_log);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        os_thread_join(&readers[i]);
    assert_int_equal(read_forward(part, 0, NULL, NULL), DAMAGED_RECORDS - DAMAGED_SEGMENTS);
    log_close(the_log);
    the_log = open_log(&options);
    part = log_topic_part(log_topic_find(the_log, STR("t")), 0);
    assert_int_equal(read_forward(part, 0, NULL, NULL), DAMAGED_RECORDS - DAMAGED_SEGMENTS);
    log_close(the_log);
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_at_once),
        cmocka_unit_test(room_is_made_by_many),
        cmocka_unit_test(damage_is_mended_under_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
