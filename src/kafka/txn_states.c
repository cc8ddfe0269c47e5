/* The rules of transactions: what a request comes to in each state. No clock, no log, no lock. */
#include "base/assert.h"
#include "base/mem.h"
#include "kafka/txns_int.h"

static struct txn_verdict refuse(int16_t error)
{
    return (struct txn_verdict){.error = error};
}

bool txn_is_prepared(enum txn_state state)
{
    return state == TXN_PREPARE_COMMIT || state == TXN_PREPARE_ABORT;
}

static bool is_complete(enum txn_state state)
{
    return state == TXN_COMPLETE_COMMIT || state == TXN_COMPLETE_ABORT;
}

const char *txn_state_name(enum txn_state state)
{
    static const char *const names[TXN_STATES] = {
        [TXN_EMPTY] = "Empty",
        [TXN_ONGOING] = "Ongoing",
        [TXN_PREPARE_COMMIT] = "PrepareCommit",
        [TXN_PREPARE_ABORT] = "PrepareAbort",
        [TXN_COMPLETE_COMMIT] = "CompleteCommit",
        [TXN_COMPLETE_ABORT] = "CompleteAbort",
    };
    ASSERT((unsigned)state < TXN_STATES);
    return names[state];
}

/* ---- Facts ---- */

void txn_facts_free(struct txn_facts *f)
{
    mem_free(f->parts);
    f->parts = NULL;
    f->part_count = 0;
}

bool txn_has_part(const struct txn_facts *f, const struct log_part *part)
{
    for (size_t i = 0; i < f->part_count; i++)
        if (f->parts[i] == part)
            return true;
    return false;
}

static void add_part(struct txn_facts *f, struct log_part *part)
{
    if (txn_has_part(f, part))
        return;
    f->parts = mem_resize(f->parts, (f->part_count + 1) * sizeof *f->parts);
    f->parts[f->part_count++] = part;
}

/* The same but for state and time, with parts of its own. */
static struct txn_verdict change(const struct txn *t, enum txn_state state, int64_t now_ms)
{
    struct txn_verdict v = {.changes = true,
                            .next = t->now,
                            .last_producer_id = t->last_producer_id,
                            .last_epoch = t->last_epoch};
    v.next.state = state;
    v.next.updated_ms = now_ms;
    v.next.parts = NULL;
    v.next.part_count = 0;
    for (size_t i = 0; i < t->now.part_count; i++)
        add_part(&v.next, t->now.parts[i]);
    return v;
}

void txn_apply(struct txn *t, struct txn_verdict *v)
{
    ASSERT(v->changes);
    txn_facts_free(&t->now);
    t->now = v->next;
    t->last_producer_id = v->last_producer_id;
    t->last_epoch = v->last_epoch;
    v->next.parts = NULL;
}

/* ---- Fencing ---- */

/* Abort what is open, and let nobody of this epoch go on. */
static struct txn_verdict fence(const struct txn *t, int64_t now_ms)
{
    struct txn_verdict v = change(t, TXN_PREPARE_ABORT, now_ms);
    if (v.next.epoch < TXN_EPOCH_MAX)
        v.next.epoch++;
    v.last_producer_id = -1;
    v.last_epoch = -1;
    return v;
}

struct txn_verdict txn_expire(const struct txn *t, int64_t now_ms)
{
    bool over = t->now.state == TXN_ONGOING && !t->pending && t->appending == 0 &&
                now_ms - t->now.started_ms > t->now.timeout_ms;
    return over ? fence(t, now_ms) : refuse(KAFKA_NONE);
}

bool txn_may_be_forgotten(const struct txn *t, int64_t now_ms)
{
    return (t->now.state == TXN_EMPTY || is_complete(t->now.state)) && !t->pending && !t->waits &&
           now_ms - t->now.updated_ms > TXN_ID_EXPIRE_MS;
}

/* ---- InitProducerId ---- */

static bool is_exhausted(int16_t epoch)
{
    return epoch >= TXN_EPOCH_MAX - 1;
}

/* Has whoever says that it goes on been the producer? */
static bool is_known_producer(const struct txn *t, const struct txn_from *from)
{
    return from->producer_id < 0 || t->now.epoch < 0 || from->producer_id == t->now.producer_id ||
           (from->producer_id == t->last_producer_id && is_exhausted(from->epoch));
}

static struct txn_verdict next_epoch(const struct txn *t, const struct txn_from *from,
                                     int64_t new_id, int64_t now_ms)
{
    bool goes_on = from->producer_id >= 0;
    struct txn_verdict v = change(t, TXN_EMPTY, now_ms);
    if (t->now.epoch < 0 || is_exhausted(t->now.epoch)) {
        v.next.producer_id = new_id;
        v.next.epoch = 0;
        v.last_producer_id = goes_on ? t->now.producer_id : -1;
        v.last_epoch = goes_on ? t->now.epoch : -1;
        return v;
    }
    if (goes_on && from->epoch == t->last_epoch && from->epoch != t->now.epoch) {
        v.changes = false; /* asked again: it was answered with the present epoch */
        txn_facts_free(&v.next);
        return v;
    }
    if (goes_on && from->epoch != t->now.epoch) {
        txn_facts_free(&v.next);
        return refuse(KAFKA_PRODUCER_FENCED);
    }
    v.next.epoch++;
    v.last_producer_id = goes_on ? t->now.producer_id : -1;
    v.last_epoch = goes_on ? t->now.epoch : -1;
    return v;
}

struct txn_verdict txn_init(const struct txn *t, const struct txn_from *from, int32_t timeout_ms,
                            int64_t new_id, int64_t now_ms)
{
    if (t->pending || t->appending > 0)
        return refuse(KAFKA_CONCURRENT_TRANSACTIONS);
    if (!is_known_producer(t, from))
        return refuse(KAFKA_PRODUCER_FENCED);
    if (txn_is_prepared(t->now.state))
        return refuse(KAFKA_CONCURRENT_TRANSACTIONS);
    if (t->now.state == TXN_ONGOING) {
        if (from->producer_id >= 0 && from->epoch != t->now.epoch)
            return refuse(KAFKA_PRODUCER_FENCED);
        struct txn_verdict v = fence(t, now_ms);
        /* Who goes on after an error is still the producer once that is aborted. */
        v.last_producer_id = from->producer_id >= 0 ? from->producer_id : -1;
        v.last_epoch = from->producer_id >= 0 ? from->epoch : -1;
        v.error = KAFKA_CONCURRENT_TRANSACTIONS;
        return v;
    }
    struct txn_verdict v = next_epoch(t, from, new_id, now_ms);
    if (v.changes) {
        txn_facts_free(&v.next);
        v.next.timeout_ms = timeout_ms;
        v.next.started_ms = -1;
    }
    return v;
}

/* ---- What goes into a transaction ---- */

static int16_t check_producer(const struct txn *t, const struct txn_from *from)
{
    if (t->now.epoch < 0 || from->producer_id != t->now.producer_id)
        return KAFKA_INVALID_PRODUCER_ID_MAPPING;
    return from->epoch == t->now.epoch ? KAFKA_NONE : KAFKA_PRODUCER_FENCED;
}

struct txn_verdict txn_add(const struct txn *t, const struct txn_from *from,
                           struct log_part *const *parts, size_t count, int64_t now_ms)
{
    int16_t error = check_producer(t, from);
    if (error != KAFKA_NONE)
        return refuse(error);
    if (t->pending || txn_is_prepared(t->now.state))
        return refuse(KAFKA_CONCURRENT_TRANSACTIONS);
    bool open = t->now.state == TXN_ONGOING;
    size_t known = 0;
    for (size_t i = 0; i < count; i++)
        known += open && txn_has_part(&t->now, parts[i]);
    if (known == count && open)
        return refuse(KAFKA_NONE);
    if (count > TXN_PARTS_MAX || t->now.part_count > TXN_PARTS_MAX - count)
        return refuse(KAFKA_INVALID_REQUEST);
    struct txn_verdict v = change(t, TXN_ONGOING, now_ms);
    if (!open)
        v.next.started_ms = now_ms;
    for (size_t i = 0; i < count; i++)
        add_part(&v.next, parts[i]);
    return v;
}

int16_t txn_check_batch(const struct txn *t, const struct txn_from *from,
                        const struct log_part *part)
{
    int16_t error = check_producer(t, from);
    if (error != KAFKA_NONE)
        return error == KAFKA_PRODUCER_FENCED ? KAFKA_INVALID_PRODUCER_EPOCH : error;
    if (t->now.state != TXN_ONGOING || !txn_has_part(&t->now, part))
        return KAFKA_INVALID_TXN_STATE;
    /* An end may be on its way to the disk; a partition that is being added does no harm, but
     * clients wait for that anyway. */
    return t->pending ? KAFKA_CONCURRENT_TRANSACTIONS : KAFKA_NONE;
}

/* ---- The end ---- */

struct txn_verdict txn_end(const struct txn *t, const struct txn_from *from, bool commit,
                           int64_t now_ms, bool *ret_wait_for_end)
{
    enum txn_state prepared = commit ? TXN_PREPARE_COMMIT : TXN_PREPARE_ABORT;
    enum txn_state complete = commit ? TXN_COMPLETE_COMMIT : TXN_COMPLETE_ABORT;
    int16_t error = check_producer(t, from);
    *ret_wait_for_end = false;
    if (error != KAFKA_NONE)
        return refuse(error);
    if (t->pending || t->appending > 0)
        return refuse(KAFKA_CONCURRENT_TRANSACTIONS);
    if (t->now.state == complete) /* asked again */
        return refuse(KAFKA_NONE);
    if (t->now.state == prepared) {
        *ret_wait_for_end = true;
        return refuse(KAFKA_NONE);
    }
    return t->now.state == TXN_ONGOING ? change(t, prepared, now_ms)
                                       : refuse(KAFKA_INVALID_TXN_STATE);
}

struct txn_facts txn_complete(const struct txn *t, int64_t now_ms)
{
    struct txn_facts f = t->now;
    ASSERT(txn_is_prepared(f.state));
    f.state = f.state == TXN_PREPARE_COMMIT ? TXN_COMPLETE_COMMIT : TXN_COMPLETE_ABORT;
    f.updated_ms = now_ms;
    f.started_ms = -1;
    f.parts = NULL;
    f.part_count = 0;
    return f;
}
