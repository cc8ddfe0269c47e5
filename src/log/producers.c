/* Idempotent producers: a batch that is sent again is found out, one that comes too early is
 * refused.
 *
 * Of each producer of a partition the epoch and the last LOG_PRODUCER_BATCHES batches are known:
 * sequence numbers and offsets. Under commit_lock. A batch is judged when it is about to be
 * written, in the order of staging, so what is known is what the file will hold; when a write fails
 * all of it is forgotten, and read again from the file.
 *
 * Nothing is kept on the disk: batches carry their producer, epoch and sequence, so the first batch
 * of a producer after the open has the last two segments' headers read. A producer that has written
 * nothing there is unknown, and an unknown producer may begin with any sequence, as in Kafka.
 *
 * Source: Kafka's ProducerAppendInfo.java and ProducerStateEntry.java; KIP-98. */
#include "log/log_int.h"

enum {
    PRODUCERS_MAX = 10000, /* of a partition; the one heard of least recently is forgotten */
    SCAN_SEGMENTS = 2,
};

struct kept_batch {
    int32_t first; /* sequence */
    int32_t last;
    int64_t offset; /* of the first record */
};

struct producer {
    int64_t id;
    int16_t epoch;
    uint8_t count;
    uint64_t heard;                                  /* of producers.clock */
    struct kept_batch batches[LOG_PRODUCER_BATCHES]; /* oldest first */
};

struct log_producers {
    struct producer *items; /* by id */
    size_t count;
    size_t capacity;
    uint64_t clock;
};

/* Sequences go from 0 to INT32_MAX, then begin anew. */
static int32_t sequence_add(int32_t sequence, int32_t delta)
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

static struct producer *find(const struct log_producers *all, int64_t id)
{
    size_t at = place_of(all, id);
    return at < all->count && all->items[at].id == id ? &all->items[at] : NULL;
}

static void forget_oldest(struct log_producers *all)
{
    size_t oldest = 0;
    for (size_t i = 1; i < all->count; i++)
        if (all->items[i].heard < all->items[oldest].heard)
            oldest = i;
    all->count--;
    memmove(&all->items[oldest], &all->items[oldest + 1],
            (all->count - oldest) * sizeof *all->items);
}

static struct producer *add(struct log_producers *all, int64_t id)
{
    if (all->count >= PRODUCERS_MAX)
        forget_oldest(all);
    if (all->count == all->capacity) {
        all->capacity = all->capacity ? 2 * all->capacity : 4;
        all->items = mem_resize(all->items, all->capacity * sizeof *all->items);
    }
    size_t at = place_of(all, id);
    memmove(&all->items[at + 1], &all->items[at], (all->count - at) * sizeof *all->items);
    all->items[at] = (struct producer){.id = id, .epoch = -1};
    all->count++;
    return &all->items[at];
}

static void keep_batch(struct producer *p, const struct batch_header *h, int64_t offset)
{
    if (p->epoch != h->producer_epoch)
        p->count = 0;
    p->epoch = h->producer_epoch;
    if (h->attributes & BATCH_CONTROL)
        return;
    if (p->count == LOG_PRODUCER_BATCHES)
        memmove(&p->batches[0], &p->batches[1], --p->count * sizeof p->batches[0]);
    p->batches[p->count++] = (struct kept_batch){
        h->base_sequence, sequence_add(h->base_sequence, h->last_offset_delta), offset};
}

/* Judging ------------------------------------------------------------------------------------- */

/* ERR_EXISTS: it is on the log already, at *ret_offset. */
static enum err judge_known(const struct producer *p, const struct batch_header *h,
                            int64_t *ret_offset)
{
    if (h->producer_epoch < p->epoch)
        return ERR_FENCED;
    if (h->producer_epoch > p->epoch || p->count == 0)
        return h->base_sequence == 0 ? ERR_OK : ERR_SEQUENCE;
    int32_t last = sequence_add(h->base_sequence, h->last_offset_delta);
    for (size_t i = 0; i < p->count; i++)
        if (p->batches[i].first == h->base_sequence && p->batches[i].last == last) {
            *ret_offset = p->batches[i].offset;
            return ERR_EXISTS;
        }
    bool follows = h->base_sequence == sequence_add(p->batches[p->count - 1].last, 1);
    return follows ? ERR_OK : ERR_SEQUENCE;
}

enum err log_producers_judge(struct log_part *part, const struct batch_header *h, int64_t offset,
                             int64_t *ret_offset)
{
    struct log_producers *all = part->producers;
    struct producer *p = find(all, h->producer_id);
    if (p)
        TRY(judge_known(p, h, ret_offset));
    else
        p = add(all, h->producer_id);
    p->heard = ++all->clock;
    keep_batch(p, h, offset);
    return ERR_OK;
}

/* Reading them from the file ------------------------------------------------------------------ */

static enum err read_segment(struct log_producers *all, struct log_segment *s, int64_t next_base)
{
    struct log_reader r = {.limit = s->size, .chunk = LOG_CHUNK_WALK};
    struct log_found f = {
        .segment = s, .visible = s->size, .next_base = next_base, .has_holes = s->holes.count > 0};
    struct batch_header h;
    uint64_t position = 0;
    int64_t min_offset = s->base_offset;
    TRY(log_segment_hold(s, &r.file));
    enum err e;
    while ((e = log_find_batch(&f, &r, min_offset, min_offset, &position, &h)) == ERR_OK) {
        if (h.producer_id >= 0) {
            struct producer *p = find(all, h.producer_id);
            p = p ? p : add(all, h.producer_id);
            p->heard = ++all->clock;
            keep_batch(p, &h, h.base_offset);
        }
        position += h.size_bytes;
        min_offset = batch_last_offset(&h) + 1;
    }
    log_reader_release(&r);
    log_segment_drop(s);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static void load(struct log_part *part)
{
    struct log_segment **segments = NULL;
    size_t count = log_part_segments(part, &segments);
    enum err e = ERR_OK;
    part->producers = NEW(struct log_producers);
    for (size_t i = count > SCAN_SEGMENTS ? count - SCAN_SEGMENTS : 0; i < count && e == ERR_OK;
         i++)
        e = read_segment(part->producers, segments[i],
                         i + 1 < count ? segments[i + 1]->base_offset : part->next_offset);
    log_part_segments_release(segments, count);
    if (e != ERR_OK)
        log_report(part->log, LOG_WARN, "event=log_producers_unread topic=%s partition=%u error=%s",
                   part->topic->name, part->number, err_name(e));
}

bool log_producers_ready(struct log_part *part, bool fast)
{
    if (part->producers)
        return true;
    if (fast && part->active)
        return false;
    load(part);
    return true;
}

void log_producers_forget(struct log_part *part)
{
    if (part->producers)
        mem_free(part->producers->items);
    mem_free(part->producers);
    part->producers = NULL;
}
