/* The table of transactional ids, and what brings its steps to the disk: a record, then markers,
 * then a record. */
#include "base/assert.h"
#include "base/mem.h"
#include "kafka/groups.h"
#include "kafka/txns_int.h"
#include "os/clock.h"
#include "os/random.h"

enum {
    SEGMENT_BYTES = 4 << 20, /* small, so that compaction has something to work on soon */
    RECORD_MAX_BYTES = 4 << 20,
    TIDY_EVERY_MS = 60000,
    TXN_CLOSE_POLL_US = 1000,
    ID_BITS = 52, /* of producer ids: random, and exact in JavaScript's numbers too */
};

struct txns {
    struct log *log;
    struct log_part *part; /* of __transaction_state */
    struct groups *groups;
    struct os_mutex lock;
    struct os_cond settled; /* nothing is under way */
    struct txn **items;     /* by id */
    size_t count;
    size_t capacity;
    size_t under_way; /* appends that have not come back */
    bool closing;
    int64_t tidy_at_ms;
};

/* A record on its way. */
struct step {
    struct log_append append; /* first */
    struct txns *txns;
    struct txn *txn;
    struct txn_verdict verdict;
    struct txn_wait *wait; /* NULL: nobody asked */
};

struct marker {
    struct log_append append; /* first */
    struct txns *txns;
    struct txn *txn;
    struct log_part *part;
};

static int64_t wall_ms(void)
{
    return os_wall_us() / 1000;
}

/* ---- The table; under the lock ---- */

static size_t place_of(const struct txns *t, struct str id)
{
    size_t low = 0;
    size_t high = t->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (str_cmp(t->items[middle]->id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct txn *find(const struct txns *t, struct str id)
{
    size_t at = place_of(t, id);
    return at < t->count && str_eq(t->items[at]->id, id) ? t->items[at] : NULL;
}

/* NULL: TXNS_MAX is reached. */
static struct txn *get(struct txns *t, struct str id)
{
    size_t at = place_of(t, id);
    if (at < t->count && str_eq(t->items[at]->id, id))
        return t->items[at];
    if (t->count >= TXNS_MAX)
        return NULL;
    if (t->count == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 16;
        t->items = mem_resize(t->items, t->capacity * sizeof(struct txn *));
    }
    memmove(t->items + at + 1, t->items + at, (t->count - at) * sizeof(struct txn *));
    struct txn *txn = NEW(struct txn);
    txn->id = str_of(mem_strdup(id.ptr, id.len), id.len);
    txn->now = (struct txn_facts){
        .producer_id = -1, .epoch = -1, .started_ms = -1, .updated_ms = wall_ms()};
    txn->last_producer_id = -1;
    txn->last_epoch = -1;
    t->items[at] = txn;
    t->count++;
    return txn;
}

static void txn_free(struct txn *txn)
{
    txn_facts_free(&txn->now);
    mem_free((char *)txn->id.ptr);
    mem_free(txn);
}

static void forget(struct txns *t, size_t at)
{
    txn_free(t->items[at]);
    t->count--;
    memmove(t->items + at, t->items + at + 1, (t->count - at) * sizeof(struct txn *));
}

/* ---- Waits; under the lock ---- */

static void end_wait(struct txn_wait *w, const struct txn *txn, int16_t error)
{
    w->error = error;
    w->producer_id = txn ? txn->now.producer_id : -1;
    w->epoch = txn ? txn->now.epoch : -1;
    w->done(w);
}

static void end_waits(struct txn *txn, int16_t error)
{
    struct txn_wait *w = txn->waits;
    txn->waits = NULL;
    if (w)
        end_wait(w, txn, error);
}

static void came_back(struct txns *t)
{
    ASSERT(t->under_way > 0);
    if (--t->under_way == 0)
        os_cond_broadcast(&t->settled);
}

/* ---- Records; under the lock ---- */

static enum err append_record(struct txns *t, struct str id, const struct txn_facts *f,
                              struct log_append *append)
{
    struct buf key BUF_AUTO;
    struct buf value BUF_AUTO;
    buf_init(&key, RECORD_MAX_BYTES);
    buf_init(&value, RECORD_MAX_BYTES);
    txn_record_write(id, f, &key, &value);
    if (key.error != ERR_OK || value.error != ERR_OK)
        return ERR_TOO_LARGE;
    struct str bytes = buf_str(&value);
    const struct log_record record = {.timestamp_ms = -1,
                                      .key = buf_str(&key),
                                      .value = f ? &bytes : NULL,
                                      .value_parts = f ? 1 : 0};
    if (t->closing)
        return ERR_CLOSED;
    TRY(log_append(t->part, &record, append));
    t->under_way++;
    return ERR_OK;
}

static void free_records(struct log_append *first)
{
    struct txns *t = first->owner;
    os_mutex_lock(&t->lock);
    for (struct log_append *next; first; first = next) {
        next = first->next;
        mem_free(first);
        came_back(t);
    }
    os_mutex_unlock(&t->lock);
}

/* One whose loss does no harm: that a transaction is complete, that an id is forgotten. f NULL: the
 * latter. */
static void append_note(struct txns *t, struct str id, const struct txn_facts *f)
{
    struct log_append *append = NEW(struct log_append);
    *append = (struct log_append){.done = free_records, .owner = t, .ack = LOG_ACK_WRITE};
    if (append_record(t, id, f, append) != ERR_OK)
        mem_free(append);
}

/* ---- Markers; under the lock ---- */

/* All markers are on the disk. */
static void finish(struct txns *t, struct txn *txn)
{
    struct txn_verdict v = {.changes = true,
                            .next = txn_complete(txn, wall_ms()),
                            .last_producer_id = txn->last_producer_id,
                            .last_epoch = txn->last_epoch};
    append_note(t, txn->id, &v.next);
    txn_apply(txn, &v);
    end_waits(txn, KAFKA_NONE);
}

static void marker_done(struct txns *t, const struct marker *m)
{
    struct txn *txn = m->txn;
    enum err e = m->append.error;
    ASSERT(txn->markers > 0);
    txn->markers--;
    /* A partition that is gone needs none, and one that a newer producer has written to has had
     * its own. */
    if (e != ERR_OK && e != ERR_NOT_FOUND && e != ERR_FENCED)
        txn->marker_failed = true;
    else
        groups_txn_ended(t->groups, m->part, txn->now.producer_id,
                         txn->now.state == TXN_PREPARE_COMMIT && e == ERR_OK);
    if (txn->markers > 0)
        return;
    if (txn->marker_failed)
        end_waits(txn, KAFKA_NONE); /* it is decided, and written when that is possible */
    else
        finish(t, txn);
}

static void on_markers(struct log_append *first)
{
    struct txns *t = first->owner;
    os_mutex_lock(&t->lock);
    for (struct log_append *next; first; first = next) {
        struct marker *m = (struct marker *)first;
        next = first->next;
        marker_done(t, m);
        mem_free(m);
        came_back(t);
    }
    os_mutex_unlock(&t->lock);
}

static enum err append_marker(struct txns *t, struct txn *txn, struct log_part *part)
{
    struct buf batch BUF_AUTO;
    buf_init(&batch, BATCH_MARKER_MAX_BYTES);
    batch_marker_write(txn->now.producer_id, txn->now.epoch,
                       txn->now.state == TXN_PREPARE_COMMIT ? BATCH_MARKER_COMMIT
                                                            : BATCH_MARKER_ABORT,
                       0, wall_ms(), &batch);
    struct marker *m = NEW(struct marker);
    *m = (struct marker){.append = {.done = on_markers, .owner = t, .ack = LOG_ACK_SYNC},
                         .txns = t,
                         .txn = txn,
                         .part = part};
    enum err e = t->closing ? ERR_CLOSED : log_append_own(part, buf_str(&batch), &m->append);
    if (e == ERR_OK) {
        t->under_way++;
        txn->markers++;
    } else {
        mem_free(m);
    }
    return e;
}

static void write_markers(struct txns *t, struct txn *txn)
{
    txn->marker_failed = false;
    for (size_t i = 0; i < txn->now.part_count; i++) {
        enum err e = append_marker(t, txn, txn->now.parts[i]);
        if (e != ERR_OK && e != ERR_NOT_FOUND)
            txn->marker_failed = true;
    }
    if (txn->markers > 0)
        return;
    if (txn->marker_failed)
        end_waits(txn, KAFKA_NONE);
    else
        finish(t, txn);
}

/* ---- Steps; under the lock ---- */

static void step_done(struct step *s)
{
    struct txn *txn = s->txn;
    enum err e = s->append.error;
    txn->pending = false;
    if (e != ERR_OK) {
        txn_facts_free(&s->verdict.next);
        if (s->wait)
            end_wait(s->wait, txn, KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    txn_apply(txn, &s->verdict);
    bool prepared = txn_is_prepared(txn->now.state);
    bool waits = s->wait && prepared && s->verdict.error == KAFKA_NONE;
    if (waits)
        txn->waits = s->wait;
    else if (s->wait)
        end_wait(s->wait, txn, s->verdict.error);
    if (prepared)
        write_markers(s->txns, txn);
}

static void on_steps(struct log_append *first)
{
    struct txns *t = first->owner;
    os_mutex_lock(&t->lock);
    for (struct log_append *next; first; first = next) {
        struct step *s = (struct step *)first;
        next = first->next;
        step_done(s);
        mem_free(s);
        came_back(t);
    }
    os_mutex_unlock(&t->lock);
}

/* w NULL: nobody asked. */
static void take_step(struct txns *t, struct txn *txn, const struct txn_verdict *v,
                      struct txn_wait *w)
{
    if (!v->changes) {
        if (w)
            end_wait(w, txn, v->error);
        return;
    }
    struct step *s = NEW(struct step);
    *s = (struct step){.append = {.done = on_steps, .owner = t, .ack = LOG_ACK_SYNC},
                       .txns = t,
                       .txn = txn,
                       .verdict = *v,
                       .wait = w};
    enum err e = append_record(t, txn->id, &v->next, &s->append);
    if (e == ERR_OK) {
        txn->pending = true;
        return;
    }
    txn_facts_free(&s->verdict.next);
    mem_free(s);
    if (w)
        end_wait(w, txn,
                 e == ERR_BUSY ? KAFKA_COORDINATOR_LOAD_IN_PROGRESS
                               : KAFKA_COORDINATOR_NOT_AVAILABLE);
}

/* ---- What clients ask ---- */

static int64_t new_producer_id(void)
{
    return (int64_t)(os_random_u64() >> (64 - ID_BITS));
}

void txns_init(struct txns *t, const struct txn_from *from, int32_t timeout_ms, struct txn_wait *w)
{
    os_mutex_lock(&t->lock);
    bool valid = from->id.len > 0 && from->id.len <= TXN_ID_MAX_BYTES;
    bool in_time = timeout_ms > 0 && timeout_ms <= TXN_TIMEOUT_MAX_MS;
    struct txn *txn = valid && in_time ? get(t, from->id) : NULL;
    if (txn) {
        struct txn_verdict v = txn_init(txn, from, timeout_ms, new_producer_id(), wall_ms());
        take_step(t, txn, &v, w);
    } else {
        end_wait(w, NULL,
                 !valid     ? KAFKA_INVALID_REQUEST
                 : !in_time ? KAFKA_INVALID_TRANSACTION_TIMEOUT
                            : KAFKA_COORDINATOR_NOT_AVAILABLE);
    }
    os_mutex_unlock(&t->lock);
}

void txns_add(struct txns *t, const struct txn_from *from, struct log_part *const *parts,
              size_t count, struct txn_wait *w)
{
    os_mutex_lock(&t->lock);
    struct txn *txn = find(t, from->id);
    if (txn) {
        struct txn_verdict v = txn_add(txn, from, parts, count, wall_ms());
        take_step(t, txn, &v, w);
    } else {
        end_wait(w, NULL, KAFKA_INVALID_PRODUCER_ID_MAPPING);
    }
    os_mutex_unlock(&t->lock);
}

void txns_end(struct txns *t, const struct txn_from *from, bool commit, struct txn_wait *w)
{
    bool wait = false;
    os_mutex_lock(&t->lock);
    struct txn *txn = find(t, from->id);
    if (txn) {
        struct txn_verdict v = txn_end(txn, from, commit, wall_ms(), &wait);
        if (wait && !txn->waits && !txn->marker_failed)
            txn->waits = w;
        else if (wait)
            end_wait(w, txn, KAFKA_CONCURRENT_TRANSACTIONS);
        else
            take_step(t, txn, &v, w);
    } else {
        end_wait(w, NULL, KAFKA_INVALID_PRODUCER_ID_MAPPING);
    }
    os_mutex_unlock(&t->lock);
}

int16_t txns_batch_begin(struct txns *t, const struct txn_from *from, const struct log_part *part)
{
    os_mutex_lock(&t->lock);
    struct txn *txn = find(t, from->id);
    int16_t error =
        txn ? txn_check_batch(txn, from, part) : (int16_t)KAFKA_INVALID_PRODUCER_ID_MAPPING;
    if (error == KAFKA_NONE)
        txn->appending++;
    os_mutex_unlock(&t->lock);
    return error;
}

void txns_batch_end(struct txns *t, struct str id)
{
    os_mutex_lock(&t->lock);
    struct txn *txn = find(t, id);
    ASSERT(txn && txn->appending > 0);
    txn->appending--;
    os_mutex_unlock(&t->lock);
}

/* ---- Views ---- */

static struct txn_view view_of(const struct txn *txn, struct arena *arena)
{
    return (struct txn_view){
        .id = arena_str(arena, txn->id),
        .state = txn_state_name(txn->now.state),
        .producer_id = txn->now.producer_id,
        .epoch = txn->now.epoch,
        .timeout_ms = txn->now.timeout_ms,
        .started_ms = txn->now.started_ms,
    };
}

bool txns_describe(struct txns *t, struct str id, struct arena *arena, struct txn_view *ret_view)
{
    os_mutex_lock(&t->lock);
    const struct txn *txn = find(t, id);
    if (txn) {
        *ret_view = view_of(txn, arena);
        ret_view->part_count = txn->now.part_count;
        ret_view->parts = ARENA_ARRAY(arena, struct log_part *, txn->now.part_count);
        for (size_t i = 0; i < txn->now.part_count; i++)
            ret_view->parts[i] = txn->now.parts[i];
    }
    os_mutex_unlock(&t->lock);
    return txn != NULL;
}

struct txn_view *txns_list(struct txns *t, struct arena *arena, size_t *ret_count)
{
    os_mutex_lock(&t->lock);
    struct txn_view *views = ARENA_ARRAY(arena, struct txn_view, t->count);
    for (size_t i = 0; i < t->count; i++)
        views[i] = view_of(t->items[i], arena);
    *ret_count = t->count;
    os_mutex_unlock(&t->lock);
    return views;
}

/* ---- Time ---- */

static void tidy(struct txns *t, int64_t now_ms)
{
    for (size_t i = t->count; i-- > 0;) {
        if (!txn_may_be_forgotten(t->items[i], now_ms))
            continue;
        append_note(t, t->items[i]->id, NULL);
        forget(t, i);
    }
}

void txns_tick(struct txns *t)
{
    os_mutex_lock(&t->lock);
    int64_t now_ms = wall_ms();
    for (size_t i = 0; i < t->count; i++) {
        struct txn *txn = t->items[i];
        struct txn_verdict v = txn_expire(txn, now_ms);
        if (v.changes)
            take_step(t, txn, &v, NULL);
        else if (txn->marker_failed && txn->markers == 0 && txn_is_prepared(txn->now.state))
            write_markers(t, txn);
    }
    if (now_ms >= t->tidy_at_ms) {
        t->tidy_at_ms = now_ms + TIDY_EVERY_MS;
        tidy(t, now_ms);
    }
    os_mutex_unlock(&t->lock);
}

/* ---- Life ---- */

static void fold(struct txns *t, const struct log_entry *entry)
{
    struct str id = STR_NONE;
    struct txn_facts facts;
    if (!entry->key.ptr || txn_key_read(entry->key, &id) != ERR_OK)
        return;
    if (!entry->value.ptr) {
        size_t at = place_of(t, id);
        if (at < t->count && str_eq(t->items[at]->id, id))
            forget(t, at);
        return;
    }
    struct txn *txn = txn_value_read(t->log, entry->value, &facts) == ERR_OK ? get(t, id) : NULL;
    if (!txn)
        return;
    txn_facts_free(&txn->now);
    txn->now = facts;
}

static enum err load(struct txns *t)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    enum err e;
    TRY(log_cursor_open(t->part, log_part_start(t->part), LOG_FORWARD, &cursor));
    while ((e = log_cursor_next(cursor, &entry)) == ERR_OK && entry)
        fold(t, entry);
    log_cursor_close(cursor);
    return e;
}

enum err txns_open(struct log *log, struct groups *groups, struct txns **ret_txns)
{
    struct log_topic_config config = LOG_TOPIC_CONFIG_DEFAULT;
    struct log_topic *topic = NULL;
    config.durability = LOG_SYNC;
    config.cleanup = LOG_COMPACT;
    config.keep = true;
    config.segment_bytes = SEGMENT_BYTES;
    TRY(log_topic_open(log, STR("__transaction_state"), &config, &topic));
    struct txns *t = NEW(struct txns);
    t->log = log;
    t->groups = groups;
    t->part = log_topic_part(topic, 0);
    os_mutex_init(&t->lock);
    os_cond_init(&t->settled);
    enum err e = load(t);
    if (e != ERR_OK) {
        txns_close(t);
        return e;
    }
    os_mutex_lock(&t->lock);
    for (size_t i = 0; i < t->count; i++)
        if (txn_is_prepared(t->items[i]->now.state))
            write_markers(t, t->items[i]);
    os_mutex_unlock(&t->lock);
    *ret_txns = t;
    return ERR_OK;
}

void txns_close(struct txns *t)
{
    if (!t)
        return;
    log_commit(t->log); /* what was handed over without waking anybody */
    os_mutex_lock(&t->lock);
    t->closing = true;
    while (t->under_way > 0) {
        os_mutex_unlock(&t->lock);
        while (log_run_commit(t->log) || log_run_sync(t->log))
            ;
        os_mutex_lock(&t->lock);
        if (t->under_way > 0)
            (void)os_cond_wait_for(&t->settled, &t->lock, TXN_CLOSE_POLL_US);
    }
    for (size_t i = 0; i < t->count; i++)
        txn_free(t->items[i]);
    mem_free(t->items);
    os_mutex_unlock(&t->lock);
    os_cond_release(&t->settled);
    os_mutex_release(&t->lock);
    mem_free(t);
}
