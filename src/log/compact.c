/* Compaction: of each key the newest record stays, at its offset.
 *
 *     segments  [ clean      ][ clean ][ dirty  ][ dirty ]  | younger than the lag, open
 *     offsets   start                  compacted            | transactions, the active one
 *                                      └─ newest offset of each key ─┘
 *
 * One round on the maintenance thread: the dirty part's keys go into a map of bounded size
 * (compact_map.c), then every segment from the first on is copied without what the map supersedes,
 * small neighbours into one file, and takes the old ones' place.
 *
 *  1. A record goes only if a newer one of its key stays, if its transaction was aborted, if it has
 *     no key, or if it is a tombstone that was clean for delete.retention.ms. The moment from which
 *     that is so stands in its batch, as in Kafka: bit 6 of the attributes, and for base timestamp.
 *  2. A marker goes likewise, once nothing of its transaction is left. Nothing of an aborted one is
 *     left behind a round, so clean segments need no .txnindex.
 *  3. Segments are replaced in order, so a tombstone never goes before what it deletes.
 *  4. Replacing is crash-safe: <base>-<next base>.swap is complete and synced before any old file
 *     goes; an open that finds one finishes (compact_swap.c).
 *  5. A batch keeps its first and last offset; offsets that are gone are gaps.
 *
 * Source: Kafka's LogCleaner.scala, KIP-534. */
#include "log/log_int.h"

enum {
    ROUNDS_MAX = 64, /* of one call: each has a map's worth of keys */
    OUT_PIECE_BYTES = 1 << 20,
    HEADERS_READ_MAX = 1 << 16,
    OUT_MAX_BYTES = LOG_UNPACKED_MAX_BYTES + (1 << 20),
    DAY_MS = 24 * 60 * 60 * 1000,
    DIRTY_DEFAULT_PERCENT = 50,
};

struct plan {
    struct log_part *part;
    struct log_segment **segments; /* references to all; the first `count` may be cleaned */
    size_t all;
    size_t count;
    int64_t end; /* of those */
    int64_t now_ms;
    int64_t tombstones_ms;
    struct buf aborted; /* entries of all segments */
    struct log_key_map *map;
    int64_t map_end;
    int64_t horizon_ms; /* the earliest at which something can go; INT64_MAX: none */
    struct compress *compress;
    bool changed;     /* a batch was written anew in this file */
    int64_t *writers; /* producers with records of a transaction that stay, up to its marker */
    size_t writer_count;
};

/* What there is to do ------------------------------------------------------------------------- */

static bool may_clean(const struct log_segment *s, int64_t stable, int64_t lag_ms, int64_t now_ms)
{
    int64_t newest = log_segment_newest(s);
    return s->sealed && s->holes.count == 0 && s->next_offset <= stable &&
           (lag_ms == 0 || now_ms - newest >= lag_ms);
}

static void look(struct plan *p, const struct log_topic_config *config, uint64_t *ret_dirty,
                 uint64_t *ret_clean)
{
    struct log_part *part = p->part;
    int64_t stable = log_part_stable(part);
    p->all = log_part_segments(part, &p->segments);
    *ret_dirty = *ret_clean = 0;
    os_mutex_lock(&part->view_lock);
    while (p->count + 1 < p->all &&
           may_clean(p->segments[p->count], stable, config->compact_lag_ms, p->now_ms)) {
        const struct log_segment *s = p->segments[p->count++];
        *(s->next_offset > part->compacted ? ret_dirty : ret_clean) += s->size;
        p->end = s->next_offset;
    }
    os_mutex_unlock(&part->view_lock);
}

static bool is_due(const struct plan *p, const struct log_topic_config *config, uint64_t dirty,
                   uint64_t clean)
{
    int percent = config->dirty_percent ? config->dirty_percent : DIRTY_DEFAULT_PERCENT;
    percent = percent < 0 ? 0 : percent;
    if (p->count == 0)
        return false;
    if (p->part->compact_horizon_ms <= p->now_ms)
        return true;
    return dirty > 0 && dirty * 100 >= (dirty + clean) * (uint64_t)percent;
}

/* The map ------------------------------------------------------------------------------------- */

static bool is_aborted(const struct plan *p, int64_t producer_id, int64_t offset)
{
    return log_aborted_has(buf_str(&p->aborted), producer_id, offset);
}

static enum err fill_map(struct plan *p)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *e = NULL;
    int64_t from = p->part->compacted;
    enum err error;
    p->map_end = p->end;
    TRY(log_cursor_open(p->part, from, LOG_FORWARD, &cursor));
    while ((error = log_cursor_next(cursor, &e)) == ERR_OK && e && e->offset < p->end) {
        if (e->control || !e->key.ptr ||
            (e->transactional && is_aborted(p, e->producer_id, e->offset)))
            continue;
        if (log_key_map_put(p->map, e->key, e->offset))
            continue;
        p->map_end = e->offset; /* full: the rest is the next round's */
        break;
    }
    log_cursor_close(cursor);
    return error;
}

/* One batch ----------------------------------------------------------------------------------- */

static bool has_writer(const struct plan *p, int64_t id)
{
    for (size_t i = 0; i < p->writer_count; i++)
        if (p->writers[i] == id)
            return true;
    return false;
}

static void add_writer(struct plan *p, int64_t id)
{
    if (has_writer(p, id))
        return;
    p->writers = mem_resize(p->writers, (p->writer_count + 1) * sizeof *p->writers);
    p->writers[p->writer_count++] = id;
}

static void remove_writer(struct plan *p, int64_t id)
{
    for (size_t i = 0; i < p->writer_count; i++)
        if (p->writers[i] == id)
            p->writers[i] = p->writers[--p->writer_count];
}

static void note_horizon(struct plan *p, int64_t ms)
{
    p->horizon_ms = ms < p->horizon_ms ? ms : p->horizon_ms;
}

struct rewrite {
    const struct batch_header *h;
    bool was_set; /* has a horizon */
    bool expired; /* which is over */
    int32_t kept;
    bool tombstones; /* are kept */
    int64_t newest_ms;
    struct buf unpacked;
    struct buf offsets; /* bool for each record: it stays */
};

static bool stays(const struct plan *p, const struct rewrite *w, const struct record_view *r,
                  bool aborted)
{
    int64_t offset = w->h->base_offset + r->offset_delta;
    if (aborted || !r->key.ptr || log_key_map_newest(p->map, r->key) > offset)
        return false;
    return r->value.ptr || !w->expired;
}

/* Which records stay. */
static enum err choose(const struct plan *p, struct rewrite *w)
{
    struct str rest = buf_str(&w->unpacked);
    const struct batch_header *h = w->h;
    bool aborted =
        (h->attributes & BATCH_TRANSACTIONAL) && is_aborted(p, h->producer_id, h->base_offset);
    for (int32_t i = 0; i < h->count; i++) {
        struct record_view r;
        TRY(record_read(&rest, &r));
        bool stay = stays(p, w, &r, aborted);
        int64_t ms = h->base_timestamp_ms + r.timestamp_delta_ms;
        buf_append_char(&w->offsets, (char)stay);
        w->kept += stay;
        w->tombstones = w->tombstones || (stay && !r.value.ptr);
        if (stay && ms > w->newest_ms)
            w->newest_ms = ms;
    }
    return w->offsets.error;
}

static enum err copy_record(const struct record_view *r, int64_t shift_ms, struct buf *out)
{
    struct buf headers BUF_AUTO;
    struct str rest = r->headers;
    struct record_header one;
    buf_init(&headers, HEADERS_READ_MAX * sizeof one);
    for (int32_t i = 0; i < r->header_count; i++) {
        TRY(record_header_read(&rest, &one));
        buf_append(&headers, &one, sizeof one);
    }
    TRY(headers.error);
    const struct record_fields f = {
        .key = r->key,
        .value = r->value.ptr ? &r->value : NULL,
        .value_parts = r->value.ptr ? 1 : 0,
        .headers = (const struct record_header *)(const void *)headers.ptr,
        .header_count = (size_t)r->header_count,
    };
    record_write(out, &f, r->timestamp_delta_ms - shift_ms, r->offset_delta);
    return out->error;
}

/* The batch with what stays of it, its horizon at base_ms if that is set. */
static enum err write_batch(struct plan *p, struct rewrite *w, bool horizon, int64_t base_ms,
                            struct buf *out)
{
    struct buf records BUF_AUTO;
    struct buf packed BUF_AUTO;
    struct batch_header h = *w->h;
    struct str rest = buf_str(&w->unpacked);
    char header[BATCH_HEADER_BYTES];
    p->changed = true;
    buf_init(&records, OUT_MAX_BYTES);
    buf_init(&packed, OUT_MAX_BYTES);
    for (int32_t i = 0; i < w->h->count; i++) {
        struct record_view r;
        TRY(record_read(&rest, &r));
        if (w->offsets.ptr[i])
            TRY(copy_record(&r, base_ms - h.base_timestamp_ms, &records));
    }
    struct str bytes = buf_str(&records);
    if (batch_codec(&h) != COMPRESS_NONE) {
        TRY(compress_write(p->compress, batch_codec(&h), bytes, &packed));
        bytes = buf_str(&packed);
    }
    h.count = w->kept;
    h.base_timestamp_ms = base_ms;
    if (!(h.attributes & BATCH_APPEND_TIME))
        h.max_timestamp_ms = w->newest_ms;
    if (horizon)
        h.attributes |= BATCH_DELETE_HORIZON;
    batch_header_write(&h, &bytes, 1, header);
    buf_append(out, header, sizeof header);
    buf_append_str(out, bytes);
    return out->error;
}

/* The base timestamp says until when its tombstones stay; ret_set: whether it must be set. */
static int64_t horizon_of(struct plan *p, struct rewrite *w, bool wanted, bool *ret_set)
{
    *ret_set = wanted && !w->was_set;
    int64_t ms = *ret_set ? p->now_ms + p->tombstones_ms : w->h->base_timestamp_ms;
    if (wanted)
        note_horizon(p, ms);
    return ms;
}

static enum err clean_marker(struct plan *p, struct rewrite *w, struct str batch, struct buf *out)
{
    bool set = false;
    bool empty = !has_writer(p, w->h->producer_id);
    remove_writer(p, w->h->producer_id);
    if (empty && w->expired)
        return ERR_OK;
    int64_t base_ms = horizon_of(p, w, empty, &set);
    if (!set) {
        buf_append_str(out, batch);
        return out->error;
    }
    TRY(batch_unpack(p->compress, w->h, batch, LOG_UNPACKED_MAX_BYTES, &w->unpacked));
    for (int32_t i = 0; i < w->h->count; i++)
        buf_append_char(&w->offsets, 1);
    w->kept = w->h->count;
    w->newest_ms = w->h->max_timestamp_ms;
    return write_batch(p, w, true, base_ms, out);
}

static enum err clean_records(struct plan *p, struct rewrite *w, struct str batch, struct buf *out)
{
    bool set = false;
    TRY(batch_unpack(p->compress, w->h, batch, LOG_UNPACKED_MAX_BYTES, &w->unpacked));
    TRY(choose(p, w));
    if (w->kept == 0)
        return ERR_OK;
    if (w->h->attributes & BATCH_TRANSACTIONAL)
        add_writer(p, w->h->producer_id);
    int64_t base_ms = horizon_of(p, w, w->tombstones, &set);
    if (w->kept == w->h->count && !set) {
        buf_append_str(out, batch);
        return out->error;
    }
    return write_batch(p, w, w->was_set || set, base_ms, out);
}

static enum err clean_batch(struct plan *p, const struct batch_header *h, struct str batch,
                            struct buf *out)
{
    struct rewrite w = {
        .h = h, .was_set = (h->attributes & BATCH_DELETE_HORIZON) != 0, .newest_ms = INT64_MIN};
    w.expired = w.was_set && h->base_timestamp_ms <= p->now_ms;
    buf_init(&w.unpacked, OUT_MAX_BYTES);
    buf_init(&w.offsets, OUT_MAX_BYTES);
    enum err e = h->attributes & BATCH_CONTROL ? clean_marker(p, &w, batch, out)
                                               : clean_records(p, &w, batch, out);
    buf_release(&w.unpacked);
    buf_release(&w.offsets);
    return e;
}

/* Segments into one file ---------------------------------------------------------------------- */

struct output {
    struct os_file *file;
    struct buf piece;
    uint64_t size; /* written; piece comes on top */
};

static enum err flush(struct output *o)
{
    TRY(os_file_write_str(o->file, buf_str(&o->piece), o->size));
    o->size += o->piece.len;
    buf_reset(&o->piece);
    return ERR_OK;
}

static enum err clean_segment(struct plan *p, struct log_segment *s, struct output *o)
{
    struct log_reader r = {.limit = s->size, .chunk = LOG_CHUNK_SCAN};
    enum err e = log_segment_hold(s, &r.file);
    for (uint64_t at = 0; e == ERR_OK && at < s->size;) {
        struct batch_header h;
        struct str batch = STR_NONE;
        e = log_reader_batch(&r, at, &h, &batch);
        if (e != ERR_OK)
            break;
        at += h.size_bytes;
        e = clean_batch(p, &h, batch, &o->piece);
        if (e == ERR_OK && o->piece.len >= OUT_PIECE_BYTES)
            e = flush(o);
    }
    if (r.file)
        log_segment_drop(s);
    log_reader_release(&r);
    return e;
}

static enum err clean_into(struct plan *p, size_t first, size_t count, const char *path,
                           uint64_t *ret_size)
{
    struct output o = {0};
    buf_init(&o.piece, OUT_PIECE_BYTES + OUT_MAX_BYTES);
    enum err e = os_file_open(p->part->log->fs, path,
                              OS_OPEN_WRITE | OS_OPEN_CREATE | OS_OPEN_FRESH, &o.file);
    for (size_t i = first; e == ERR_OK && i < first + count; i++)
        e = clean_segment(p, p->segments[i], &o);
    if (e == ERR_OK)
        e = flush(&o);
    if (e == ERR_OK)
        e = os_file_datasync(o.file);
    os_file_close(o.file);
    buf_release(&o.piece);
    *ret_size = o.size;
    return e;
}

/* Neighbours that go into one file: as many as fit a segment. */
static size_t group_at(const struct plan *p, size_t first)
{
    uint64_t limit = atomic_load(&p->part->topic->segment_bytes);
    uint64_t size = p->segments[first]->size;
    size_t count = 1;
    while (first + count < p->count) {
        const struct log_segment *s = p->segments[first + count];
        if (size + s->size > limit ||
            s->next_offset - p->segments[first]->base_offset > INT32_MAX ||
            s->base_offset >= p->map_end)
            break;
        size += s->size;
        count++;
    }
    return count;
}

static enum err clean_group(struct plan *p, size_t first, size_t count)
{
    struct log *log = p->part->log;
    char path[OS_PATH_MAX];
    uint64_t before = 0;
    uint64_t size = 0;
    for (size_t i = first; i < first + count; i++)
        before += p->segments[i]->size;
    uint64_t room = log_segment_cost(before + OUT_PIECE_BYTES, before / LOG_INDEX_INTERVAL_BYTES,
                                     before / LOG_INDEX_INTERVAL_BYTES);
    p->changed = false;
    log_segment_path(p->part, p->segments[first]->base_offset, ".cleaned.tmp", path);
    TRY(log_quota_make(log, room, NULL));
    enum err e = clean_into(p, first, count, path, &size);
    bool changed = count > 1 || size != before || p->changed;
    if (e == ERR_OK && changed)
        e = log_segments_replace(p->part, p->segments + first, count, path);
    else if (os_fs_remove(log->fs, path) != ERR_OK && e == ERR_OK)
        e = ERR_IO;
    log_quota_return(log, room);
    return e;
}

/* A round ------------------------------------------------------------------------------------- */

static enum err run(struct plan *p)
{
    struct log_part *part = p->part;
    p->horizon_ms = INT64_MAX;
    for (size_t i = 0; i < p->all; i++)
        TRY(log_segment_aborted(p->segments[i], &p->aborted));
    TRY(fill_map(p));
    for (size_t i = 0, count; i < p->count && (i == 0 || p->segments[i]->base_offset < p->map_end);
         i += count) {
        count = group_at(p, i);
        TRY(clean_group(p, i, count));
    }
    part->compacted = p->map_end;
    part->compact_horizon_ms = p->horizon_ms;
    return log_number_write(part, "compacted-offset", part->compacted);
}

static enum err compact(struct log_part *part, const struct log_topic_config *config,
                        int64_t now_ms, bool *ret_more)
{
    struct plan p = {.part = part, .now_ms = now_ms};
    uint64_t dirty = 0;
    uint64_t clean = 0;
    enum err e = ERR_OK;
    p.tombstones_ms = config->tombstones_ms == 0  ? DAY_MS
                      : config->tombstones_ms < 0 ? 0
                                                  : config->tombstones_ms;
    look(&p, config, &dirty, &clean);
    *ret_more = false;
    if (is_due(&p, config, dirty, clean)) {
        buf_init(&p.aborted, UINT32_MAX);
        p.map = log_key_map_new();
        p.compress = compress_new();
        e = run(&p);
        *ret_more = e == ERR_OK && p.map_end < p.end;
        compress_free(p.compress);
        log_key_map_free(p.map);
        mem_free(p.writers);
        buf_release(&p.aborted);
    }
    log_part_segments_release(p.segments, p.all);
    return e;
}

/* Where the last round ended; after a restart its tombstones are looked at once they may be old. */
static void learn(struct log_part *part, const struct log_topic_config *config, int64_t now_ms)
{
    if (part->compacted >= 0)
        return;
    part->compacted = 0;
    part->compact_horizon_ms = INT64_MAX;
    if (log_number_read(part, "compacted-offset", &part->compacted) && part->compacted > 0)
        part->compact_horizon_ms = now_ms + (config->tombstones_ms > 0    ? config->tombstones_ms
                                             : config->tombstones_ms == 0 ? DAY_MS
                                                                          : 0);
}

void log_part_compact(struct log_part *part, const struct log_topic_config *config, int64_t now_ms)
{
    bool more = true;
    enum err e = ERR_OK;
    learn(part, config, now_ms);
    for (int i = 0; i < ROUNDS_MAX && more && e == ERR_OK; i++)
        e = compact(part, config, now_ms, &more);
    if (e != ERR_OK && e != ERR_BUSY)
        log_report(part->log, LOG_WARN, "event=log_compact_failed topic=%s partition=%u error=%s",
                   part->topic->name, part->number, err_name(e));
}
