/* Producers of a partition: a batch that is sent again is found out, one that comes too early is
 * refused, and what stands between a transaction's first batch and its marker is known.
 *
 * Of each producer the epoch, the last LOG_PRODUCER_BATCHES batches (sequence numbers and offsets)
 * and the first offset of its open transaction are known. Under commit_lock. A batch is judged when
 * it is about to be written, in the order of staging, so what is known is what the file will hold;
 * when a write fails all of it is forgotten, and read again from the files (producer_files.c).
 *
 *  1. A transaction is open from its first batch to its marker; it holds back the last stable
 *     offset, and its producer is not forgotten.
 *  2. A marker ends its producer's transaction and carries an epoch that is not older than the
 *     batches'; whoever sends with an older one afterwards is fenced.
 *  3. A producer that is not known may begin with any sequence, as in Kafka.
 *
 * Source: Kafka's ProducerAppendInfo.java, ProducerStateEntry.java, ProducerStateManager.java;
 * KIP-98. */
#include "log/log_int.h"

enum {
    PRODUCERS_MAX = 10000,           /* of a partition; the one heard of least recently goes */
    EXPIRE_MS = 24 * 60 * 60 * 1000, /* Kafka's producer.id.expiration.ms */
};

int32_t log_sequence_add(int32_t sequence, int32_t delta)
{
    return (int32_t)(((int64_t)sequence + delta) & INT32_MAX);
}

/* The table ----------------------------------------------------------------------------------- */

static size_t place_of(const struct log_producers *all, int64_t id)
{
    size_t low = 0;
    size_t high = all->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (all->items[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct log_producer_state *find(const struct log_producers *all, int64_t id)
{
    size_t at = place_of(all, id);
    return at < all->count && all->items[at].id == id ? &all->items[at] : NULL;
}

static void forget(struct log_producers *all, size_t at)
{
    all->count--;
    memmove(&all->items[at], &all->items[at + 1], (all->count - at) * sizeof *all->items);
}

/* Those with an open transaction stay: only the coordinator ends them. */
static void forget_oldest(struct log_producers *all)
{
    size_t oldest = all->count;
    for (size_t i = 0; i < all->count; i++)
        if (all->items[i].txn_first < 0 &&
            (oldest == all->count || all->items[i].heard < all->items[oldest].heard))
            oldest = i;
    if (oldest < all->count)
        forget(all, oldest);
}

struct log_producer_state *log_producers_get(struct log_producers *all, int64_t id)
{
    struct log_producer_state *p = find(all, id);
    if (p)
        return p;
    if (all->count >= PRODUCERS_MAX)
        forget_oldest(all);
    if (all->count == all->capacity) {
        all->capacity = all->capacity ? 2 * all->capacity : 4;
        all->items = mem_resize(all->items, all->capacity * sizeof *all->items);
    }
    size_t at = place_of(all, id);
    memmove(&all->items[at + 1], &all->items[at], (all->count - at) * sizeof *all->items);
    all->items[at] = (struct log_producer_state){
        .id = id, .epoch = -1, .coordinator_epoch = -1, .txn_first = -1};
    all->count++;
    return &all->items[at];
}

struct log_producers *log_producers_new(void)
{
    struct log_producers *all = NEW(struct log_producers);
    all->first_open = INT64_MAX;
    return all;
}

void log_producers_free(struct log_producers *all)
{
    if (all)
        mem_free(all->items);
    mem_free(all);
}

static int64_t first_open(const struct log_producers *all)
{
    int64_t first = INT64_MAX;
    for (size_t i = 0; all->open > 0 && i < all->count; i++)
        if (all->items[i].txn_first >= 0 && all->items[i].txn_first < first)
            first = all->items[i].txn_first;
    return first;
}

void log_producers_expire(struct log_part *part, int64_t now_ms)
{
    struct log_producers *all = part->producers;
    size_t kept = 0;
    for (size_t i = 0; all && i < all->count; i++)
        if (all->items[i].txn_first >= 0 || now_ms - all->items[i].last_ms < EXPIRE_MS)
            all->items[kept++] = all->items[i];
    if (all)
        all->count = kept;
}

/* What a batch changes ------------------------------------------------------------------------ */

static void take_epoch(struct log_producer_state *p, int16_t epoch)
{
    if (p->epoch != epoch)
        p->count = 0;
    p->epoch = epoch;
}

static void open_transaction(struct log_producers *all, struct log_producer_state *p,
                             int64_t offset)
{
    if (p->txn_first >= 0)
        return;
    p->txn_first = offset;
    all->open++;
    if (offset < all->first_open)
        all->first_open = offset;
}

void log_producers_take_batch(struct log_producers *all, const struct batch_header *h,
                              int64_t offset, int64_t now_ms)
{
    struct log_producer_state *p = log_producers_get(all, h->producer_id);
    p->heard = ++all->clock;
    p->last_ms = now_ms;
    all->end = offset + h->last_offset_delta + 1;
    take_epoch(p, h->producer_epoch);
    if (h->attributes & BATCH_TRANSACTIONAL)
        open_transaction(all, p, offset);
    if (h->base_sequence < 0)
        return;
    if (p->count == LOG_PRODUCER_BATCHES)
        memmove(&p->batches[0], &p->batches[1], --p->count * sizeof p->batches[0]);
    p->batches[p->count++] = (struct log_kept_batch){
        h->base_sequence, log_sequence_add(h->base_sequence, h->last_offset_delta), offset};
}

struct log_ended log_producers_take_marker(struct log_producers *all, const struct batch_header *h,
                                           int64_t offset, int64_t now_ms)
{
    struct log_producer_state *p = log_producers_get(all, h->producer_id);
    struct log_ended ended = {.first = p->txn_first};
    p->heard = ++all->clock;
    p->last_ms = now_ms;
    all->end = offset + h->last_offset_delta + 1;
    p->coordinator_epoch = 0;
    take_epoch(p, h->producer_epoch);
    if (p->txn_first >= 0) {
        p->txn_first = -1;
        all->open--;
        if (ended.first == all->first_open)
            all->first_open = first_open(all);
    }
    ended.stable = all->first_open < offset + 1 ? all->first_open : offset + 1;
    return ended;
}

/* Judging ------------------------------------------------------------------------------------- */

static enum err judge_sequence(const struct log_producer_state *p, const struct batch_header *h,
                               int64_t *ret_offset)
{
    if (h->producer_epoch > p->epoch || p->count == 0)
        return h->base_sequence == 0 ? ERR_OK : ERR_SEQUENCE;
    int32_t last = log_sequence_add(h->base_sequence, h->last_offset_delta);
    for (size_t i = 0; i < p->count; i++)
        if (p->batches[i].first == h->base_sequence && p->batches[i].last == last) {
            *ret_offset = p->batches[i].offset;
            return ERR_EXISTS;
        }
    bool follows = h->base_sequence == log_sequence_add(p->batches[p->count - 1].last, 1);
    return follows ? ERR_OK : ERR_SEQUENCE;
}

static enum err judge_known(const struct log_producer_state *p, const struct batch_header *h,
                            int64_t *ret_offset)
{
    if (h->producer_epoch < p->epoch)
        return ERR_FENCED;
    if (h->attributes & BATCH_CONTROL)
        return ERR_OK;
    if (h->base_sequence >= 0)
        TRY(judge_sequence(p, h, ret_offset));
    bool transactional = (h->attributes & BATCH_TRANSACTIONAL) != 0;
    return p->txn_first >= 0 && !transactional ? ERR_TRANSACTION : ERR_OK;
}

enum err log_producers_judge(struct log_part *part, struct log_staged *b, int64_t offset,
                             int64_t *ret_offset)
{
    struct log_producers *all = part->producers;
    const struct batch_header *h = &b->header;
    const struct log_producer_state *p = find(all, h->producer_id);
    int64_t now_ms = os_wall_us() / 1000;
    if (p)
        TRY(judge_known(p, h, ret_offset));
    part->has_producers = true;
    if (h->attributes & BATCH_CONTROL)
        b->ended = log_producers_take_marker(all, h, offset, now_ms);
    else
        log_producers_take_batch(all, h, offset, now_ms);
    return ERR_OK;
}

void log_producers_forget(struct log_part *part)
{
    log_producers_free(part->producers);
    part->producers = NULL;
}

bool log_producers_ready(struct log_part *part, bool fast)
{
    if (part->producers)
        return true;
    if (fast && part->active)
        return false;
    log_producers_load(part, false);
    return true;
}

size_t log_part_producers(struct log_part *part, struct log_producer **ret_producers)
{
    struct log_producer *list = NULL;
    os_mutex_lock(&part->commit_lock);
    (void)log_producers_ready(part, false);
    size_t count = part->producers->count;
    list = mem_array(count, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        const struct log_producer_state *p = &part->producers->items[i];
        list[i] = (struct log_producer){
            .id = p->id,
            .epoch = p->epoch,
            .last_sequence = p->count > 0 ? p->batches[p->count - 1].last : -1,
            .last_ms = p->last_ms,
            .coordinator_epoch = p->coordinator_epoch,
            .transaction_first = p->txn_first,
        };
    }
    os_mutex_unlock(&part->commit_lock);
    *ret_producers = list;
    return count;
}
