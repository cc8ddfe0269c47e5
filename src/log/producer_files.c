/* Producers on the disk: a partition's <offset>.snapshot says what is known of its producers where
 * that offset begins. Batches carry their producer, epoch and sequence, so what came after a
 * snapshot is read from the batches' headers.
 *
 *     int16  version, 1
 *     uint32 CRC-32C of all that follows
 *     int32  count of producers, then of each
 *       int64 id | int16 epoch | int32 last sequence | int64 last offset | int32 its batch's offset
 *       delta | int64 last time, ms | int32 coordinator's epoch | int64 first offset of the open
 *       transaction, -1: none
 *     up to here Kafka's (ProducerStateManager.java), which reads no further; then
 *     of each producer: uint8 count of earlier batches, of each
 *       int32 first sequence | int32 last | int64 offset
 *     int32  count of aborted transactions of the segment that the offset lies in, of each 34 bytes
 *            (aborted.c)
 *
 *  1. A segment's base has one if there were producers when the segment before it was full. It is
 *     on the disk before that one's .index is: so after a crash every batch that no snapshot speaks
 *     of is in a segment that is read anyway.
 *  2. A clean stop writes one at the end. The next open uses and removes it.
 *  3. One that is damaged or missing costs reading from the one before it. */
#include "log/log_int.h"

#include <stdio.h>

#include "codec/crc32c.h"
#include "codec/endian.h"

enum {
    VERSION = 1,
    AT_CRC = 2,
    AT_COUNT = 6,
    KAFKA_ENTRY_BYTES = 46,
    SNAPSHOT_MAX_BYTES = 16 << 20,
    OFFSET_DIGITS = 20,
    LEGACY_SEGMENTS = 2, /* read where there is no snapshot: folders of Weir before it had them */
};

/* Writing ------------------------------------------------------------------------------------- */

static void put(struct buf *out, uint64_t value, size_t bytes)
{
    char at[8];
    be64_put(at, value);
    buf_append(out, at + 8 - bytes, bytes);
}

static void put_kafka_entry(struct buf *out, const struct log_producer_state *p)
{
    const struct log_kept_batch *last = p->count > 0 ? &p->batches[p->count - 1] : NULL;
    int32_t delta = last ? (last->last - last->first) & INT32_MAX : 0;
    put(out, (uint64_t)p->id, 8);
    put(out, (uint16_t)p->epoch, 2);
    put(out, (uint32_t)(last ? last->last : -1), 4);
    put(out, (uint64_t)(last ? last->offset + delta : -1), 8);
    put(out, (uint32_t)delta, 4);
    put(out, (uint64_t)p->last_ms, 8);
    put(out, (uint32_t)p->coordinator_epoch, 4);
    put(out, (uint64_t)p->txn_first, 8);
}

static void put_earlier(struct buf *out, const struct log_producer_state *p)
{
    size_t count = p->count > 0 ? p->count - 1u : 0;
    put(out, count, 1);
    for (size_t i = 0; i < count; i++) {
        put(out, (uint32_t)p->batches[i].first, 4);
        put(out, (uint32_t)p->batches[i].last, 4);
        put(out, (uint64_t)p->batches[i].offset, 8);
    }
}

void log_producers_write(const struct log_producers *all, struct str aborted, struct buf *out)
{
    buf_init(out, SNAPSHOT_MAX_BYTES);
    put(out, VERSION, 2);
    put(out, 0, 4);
    put(out, all->count, 4);
    for (size_t i = 0; i < all->count; i++)
        put_kafka_entry(out, &all->items[i]);
    for (size_t i = 0; i < all->count; i++)
        put_earlier(out, &all->items[i]);
    put(out, aborted.len / LOG_ABORTED_BYTES, 4);
    buf_append_str(out, aborted);
    ASSERT(out->error == ERR_OK);
    be32_put(out->ptr + AT_CRC, crc32c(0, out->ptr + AT_COUNT, out->len - AT_COUNT));
}

enum err log_producers_save(struct log_part *part, int64_t offset, struct str bytes)
{
    char path[OS_PATH_MAX];
    log_segment_path(part, offset, ".snapshot", path);
    return os_fs_write_file(part->log->fs, path, bytes);
}

/* Reading ------------------------------------------------------------------------------------- */

MUST_CHECK static enum err take(struct str *rest, size_t bytes, uint64_t *ret_value)
{
    char at[8] = {0};
    if (rest->len < bytes)
        return ERR_CORRUPT;
    memcpy(at + 8 - bytes, rest->ptr, bytes);
    *rest = str_skip(*rest, bytes);
    *ret_value = be64_get(at);
    return ERR_OK;
}

static enum err take_kafka_entry(struct str *rest, struct log_producers *all)
{
    uint64_t id, epoch, sequence, offset, delta, last_ms, coordinator, first;
    TRY(take(rest, 8, &id));
    TRY(take(rest, 2, &epoch));
    TRY(take(rest, 4, &sequence));
    TRY(take(rest, 8, &offset));
    TRY(take(rest, 4, &delta));
    TRY(take(rest, 8, &last_ms));
    TRY(take(rest, 4, &coordinator));
    TRY(take(rest, 8, &first));
    if (all->count > 0 && (int64_t)id <= all->items[all->count - 1].id)
        return ERR_CORRUPT;
    struct log_producer_state *p = log_producers_get(all, (int64_t)id);
    p->epoch = (int16_t)epoch;
    p->last_ms = (int64_t)last_ms;
    p->coordinator_epoch = (int32_t)coordinator;
    p->txn_first = (int64_t)first;
    p->heard = ++all->clock;
    if ((int32_t)sequence >= 0) {
        int32_t begin = (int32_t)(((int64_t)sequence - (int32_t)delta) & INT32_MAX);
        p->batches[p->count++] =
            (struct log_kept_batch){begin, (int32_t)sequence, (int64_t)offset - (int32_t)delta};
    }
    if (p->txn_first >= 0) {
        all->open++;
        all->first_open = p->txn_first < all->first_open ? p->txn_first : all->first_open;
    }
    return ERR_OK;
}

static enum err take_earlier(struct str *rest, struct log_producer_state *p)
{
    uint64_t count, first, last, offset;
    TRY(take(rest, 1, &count));
    if (count + p->count > LOG_PRODUCER_BATCHES || (count > 0 && p->count == 0))
        return ERR_CORRUPT;
    for (uint64_t i = 0; i < count; i++) {
        TRY(take(rest, 4, &first));
        TRY(take(rest, 4, &last));
        TRY(take(rest, 8, &offset));
        p->batches[p->count] = p->batches[p->count - 1];
        p->batches[p->count - 1] =
            (struct log_kept_batch){(int32_t)first, (int32_t)last, (int64_t)offset};
        p->count++;
    }
    return ERR_OK;
}

static enum err take_all(struct str rest, struct log_producers *all, struct str *ret_aborted)
{
    uint64_t count = 0;
    uint64_t aborted = 0;
    TRY(take(&rest, 4, &count));
    if (count > rest.len / KAFKA_ENTRY_BYTES)
        return ERR_CORRUPT;
    for (uint64_t i = 0; i < count; i++)
        TRY(take_kafka_entry(&rest, all));
    *ret_aborted = STR("");
    if (rest.len == 0) /* Kafka's own */
        return ERR_OK;
    if (all->count != count)
        return ERR_CORRUPT;
    for (size_t i = 0; i < all->count; i++)
        TRY(take_earlier(&rest, &all->items[i]));
    TRY(take(&rest, 4, &aborted));
    if (rest.len != aborted * LOG_ABORTED_BYTES)
        return ERR_CORRUPT;
    *ret_aborted = rest;
    return ERR_OK;
}

enum err log_producers_parse(struct str bytes, struct log_producers **ret_all,
                             struct str *ret_aborted)
{
    struct str rest = bytes;
    uint64_t version, crc;
    TRY(take(&rest, 2, &version));
    TRY(take(&rest, 4, &crc));
    if (version != VERSION || crc != crc32c(0, rest.ptr, rest.len))
        return ERR_CORRUPT;
    struct log_producers *all = log_producers_new();
    enum err e = take_all(rest, all, ret_aborted);
    if (e == ERR_OK)
        *ret_all = all;
    else
        log_producers_free(all);
    return e;
}

/* Which there are ----------------------------------------------------------------------------- */

struct offsets {
    int64_t *items;
    size_t count;
};

static void note(void *arg, struct str name, bool is_dir)
{
    struct offsets *o = arg;
    uint64_t offset = 0;
    if (is_dir || !str_eq(str_skip(name, OFFSET_DIGITS), STR(".snapshot")) ||
        str_to_u64(str_take(name, OFFSET_DIGITS), &offset) != ERR_OK || offset > INT64_MAX)
        return;
    o->items = mem_resize(o->items, (o->count + 1) * sizeof *o->items);
    size_t at = o->count++;
    for (; at > 0 && o->items[at - 1] > (int64_t)offset; at--)
        o->items[at] = o->items[at - 1];
    o->items[at] = (int64_t)offset;
}

static bool is_base(const struct log_part *part, int64_t offset)
{
    for (size_t i = 0; i < part->segment_count; i++)
        if (part->segments[i]->base_offset == offset)
            return true;
    return false;
}

void log_producers_tidy(struct log_part *part)
{
    struct offsets o = {0};
    char path[OS_PATH_MAX];
    if (os_fs_list(part->log->fs, part->dir, note, &o) == ERR_OK)
        for (size_t i = 0; i < o.count; i++) {
            log_segment_path(part, o.items[i], ".snapshot", path);
            if (!is_base(part, o.items[i]) && os_fs_remove(part->log->fs, path) != ERR_OK)
                log_report(part->log, LOG_WARN, "event=log_remove_failed file=%s", path);
        }
    mem_free(o.items);
}

/* Loading ------------------------------------------------------------------------------------- */

struct loading {
    struct log_part *part;
    struct log_producers *all;
    int64_t from;    /* batches below are in it already */
    bool rebuild;    /* aborted transactions of segments that are not sealed too */
    int64_t next_ms; /* for batches: their own time */
};

static enum err take_control(struct loading *l, struct log_segment *s, struct log_reader *r,
                             uint64_t position, const struct batch_header *h)
{
    struct batch_header whole;
    struct str bytes = STR_NONE;
    enum batch_marker marker = BATCH_MARKER_NONE;
    enum err e = log_reader_batch(r, position, &whole, &bytes);
    if (e == ERR_OK)
        e = batch_marker_read(bytes, &marker);
    if (log_error_is_damage(e))
        return ERR_OK;
    TRY(e);
    struct log_ended ended =
        log_producers_take_marker(l->all, h, h->base_offset, h->max_timestamp_ms);
    if (l->rebuild && !s->sealed && marker == BATCH_MARKER_ABORT && ended.first >= 0)
        log_aborted_add(&s->aborted, h->producer_id, &ended, h->base_offset);
    return ERR_OK;
}

static enum err replay_segment(struct loading *l, struct log_segment *s, int64_t next_base)
{
    struct log_reader r = {.limit = s->size, .chunk = LOG_CHUNK_WALK};
    struct log_found f = {
        .segment = s, .visible = s->size, .next_base = next_base, .has_holes = s->holes.count > 0};
    struct batch_header h;
    uint64_t position = 0;
    int64_t min_offset = s->base_offset;
    TRY(log_segment_hold(s, &r.file));
    enum err e = ERR_OK;
    if (l->from > s->base_offset)
        e = log_find_start(&f, &r, l->from, &position, &min_offset);
    while (e == ERR_OK &&
           (e = log_find_batch(&f, &r, min_offset, min_offset, &position, &h)) == ERR_OK) {
        bool counts = h.producer_id >= 0 && h.base_offset >= l->from;
        if (counts && (h.attributes & BATCH_CONTROL))
            e = take_control(l, s, &r, position, &h);
        else if (counts)
            log_producers_take_batch(l->all, &h, h.base_offset, h.max_timestamp_ms);
        position += h.size_bytes;
        min_offset = batch_last_offset(&h) + 1;
    }
    log_reader_release(&r);
    log_segment_drop(s);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* The syncers seal meanwhile. */
static size_t first_unsealed(struct log_part *part, struct log_segment **segments, size_t count)
{
    size_t i = 0;
    os_mutex_lock(&part->view_lock);
    while (i < count && segments[i]->sealed)
        i++;
    os_mutex_unlock(&part->view_lock);
    return i;
}

/* The newest snapshot that can be believed, at or below limit. */
static bool read_newest(struct loading *l, int64_t limit, struct log_segment **segments,
                        size_t count)
{
    struct offsets o = {0};
    struct buf bytes BUF_AUTO;
    char path[OS_PATH_MAX];
    bool found = false;
    buf_init(&bytes, SNAPSHOT_MAX_BYTES);
    if (os_fs_list(l->part->log->fs, l->part->dir, note, &o) != ERR_OK)
        o.count = 0;
    for (size_t i = o.count; i-- > 0 && !found;) {
        struct str aborted = STR_NONE;
        if (o.items[i] > limit)
            continue;
        buf_reset(&bytes);
        log_segment_path(l->part, o.items[i], ".snapshot", path);
        found = os_fs_read_file(l->part->log->fs, path, &bytes) == ERR_OK &&
                log_producers_parse(buf_str(&bytes), &l->all, &aborted) == ERR_OK;
        if (!found)
            continue;
        l->from = o.items[i];
        for (size_t s = 0; s < count && l->rebuild; s++)
            if (!segments[s]->sealed && segments[s]->base_offset <= l->from &&
                (s + 1 == count || segments[s + 1]->base_offset > l->from))
                buf_append_str(&segments[s]->aborted, aborted);
    }
    mem_free(o.items);
    return found;
}

static enum err load(struct loading *l, struct log_segment **segments, size_t count)
{
    size_t unsealed = first_unsealed(l->part, segments, count);
    /* One at the end of a segment that is not sealed says nothing of what was aborted in it. */
    int64_t limit =
        unsealed + 1 < count ? segments[unsealed + 1]->base_offset - 1 : l->part->next_offset;
    size_t first = 0;
    if (!l->rebuild)
        limit = l->part->next_offset;
    if (read_newest(l, limit, segments, count)) {
        while (first < count && segments[first]->next_offset <= l->from)
            first++;
    } else {
        l->all = log_producers_new();
        first = count > LEGACY_SEGMENTS ? count - LEGACY_SEGMENTS : 0;
        first = unsealed < first ? unsealed : first;
    }
    for (size_t i = first; i < count; i++)
        TRY(replay_segment(l, segments[i],
                           i + 1 < count ? segments[i + 1]->base_offset : l->part->next_offset));
    return ERR_OK;
}

static struct log_producers *read_files(struct log_part *part, bool at_open)
{
    struct loading l = {.part = part, .rebuild = at_open};
    struct log_segment **segments = NULL;
    size_t count = log_part_segments(part, &segments);
    enum err e = load(&l, segments, count);
    log_part_segments_release(segments, count);
    if (e != ERR_OK)
        log_report(part->log, LOG_WARN, "event=log_producers_unread topic=%s partition=%u error=%s",
                   part->topic->name, part->number, err_name(e));
    return l.all;
}

void log_producers_load(struct log_part *part, bool at_open)
{
    part->producers = read_files(part, at_open);
    part->has_producers = part->has_producers || part->producers->count > 0;
    os_mutex_lock(&part->view_lock);
    part->first_open = part->producers->first_open;
    os_mutex_unlock(&part->view_lock);
}

void log_producers_now(struct log_part *part, struct str aborted, struct buf *out)
{
    struct log_producers *known = part->producers;
    bool ahead = !known || known->end > part->next_offset;
    struct log_producers *exact = ahead ? read_files(part, false) : known;
    log_producers_write(exact, aborted, out);
    if (ahead)
        log_producers_free(exact);
}

enum err log_producers_save_end(struct log_part *part)
{
    struct buf bytes BUF_AUTO;
    struct buf aborted BUF_AUTO;
    buf_init(&bytes, 1);
    buf_init(&aborted, SNAPSHOT_MAX_BYTES / 2);
    if (!part->has_producers || !part->active)
        return ERR_OK;
    if (log_segment_aborted(part->active, &aborted) != ERR_OK)
        return ERR_OK; /* so many that the next open had better read the segment */
    log_producers_now(part, buf_str(&aborted), &bytes);
    return log_producers_save(part, part->next_offset, buf_str(&bytes));
}
