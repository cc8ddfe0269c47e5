/* The projector: one thread that folds weir.calls into the database, a batch of records a
 * transaction.
 *
 *   wait for records, and a little more ─> room in the quota ─> begin ─> rows, terms, sums ─>
 *   position ─> commit
 *
 * Terms are kept in memory until they fill a segment (index.h); after a start those of records that
 * are folded already are read from the log again. */
#include <stdio.h>

#include "base/mem.h"
#include "os/clock.h"
#include "view/view_int.h"

enum {
    /* A transaction writes the log of the database before the database, so it takes its room twice;
     * and again, for what is written until the next look. */
    ROOM_BYTES = 4 * VIEW_WRITE_BYTES,
    LOOK_BYTES = VIEW_WRITE_BYTES, /* of records; */
    LOOK_BATCHES = 50,             /* or so many transactions: then the quota's books are kept */
    RETRY_US = 1000000,
    OLD_ROWS = 5000, /* removed in one transaction */
};

struct projector {
    struct view *view;
    struct view_store store;
    struct view_names *names;
    struct view_sums *sums;
    struct view_words *words;
    sqlite3_stmt *add_call;
    struct arena arena;
    struct view_row row;
    int64_t next;      /* offset: all before it is folded */
    int64_t start;     /* of the log, as the view knows it */
    bool segment_full; /* it is written with the batch under way */
    size_t look_bytes; /* since the last look at the room */
    unsigned look_batches;
};

/* ---- A call ---- */

static void add_word(void *arg, struct str word)
{
    index_add(arg, word);
}

static void add_attribute(struct index *x, enum term_kind kind, int64_t value)
{
    char term[TERM_ATTRIBUTE_BYTES];
    if (value >= 0)
        index_add(x, term_attribute(kind, (uint32_t)value, term));
}

static void add_terms(struct projector *p, const struct view_row *row, const int64_t ids[6],
                      size_t record_bytes)
{
    static const enum term_kind kinds[6] = {TERM_MODEL,    TERM_TARGET,  TERM_KEY,
                                            TERM_ENDPOINT, TERM_OUTCOME, TERM_USER};
    struct index *x = &p->view->index;
    os_mutex_lock(&p->view->index_lock);
    index_call(x, row->offset, row->time_us, record_bytes);
    add_attribute(x, TERM_ALL, 0);
    for (int i = 0; i < 6; i++)
        add_attribute(x, kinds[i], ids[i] ? ids[i] : -1);
    if (row->status >= 0 && row->status < 1000)
        add_attribute(x, TERM_STATUS, term_status((int)row->status));
    if (row->total_us >= 0)
        add_attribute(x, TERM_TOTAL, term_total_class(row->total_us));
    view_words_each(p->words, buf_str(&row->text), add_word, x);
    os_mutex_unlock(&p->view->index_lock);
}

static void bind_known(sqlite3_stmt *statement, int at, int64_t value)
{
    if (value >= 0)
        sqlite3_bind_int64(statement, at, value);
    else
        sqlite3_bind_null(statement, at);
}

static enum err add_row(struct projector *p, const struct view_row *row, const int64_t ids[6])
{
    sqlite3_stmt *add = p->add_call;
    sqlite3_bind_int64(add, 1, row->offset);
    sqlite3_bind_int64(add, 2, row->time_us);
    for (int i = 0; i < 6; i++)
        bind_known(add, 3 + i, ids[i] ? ids[i] : -1);
    const int64_t numbers[] = {row->status, row->input,    row->output,
                               row->cost,   row->total_us, row->first_us};
    for (int i = 0; i < 6; i++)
        bind_known(add, 9 + i, numbers[i]);
    int code = sqlite3_step(add);
    sqlite3_reset(add);
    return view_error(code);
}

static enum err add_call(struct projector *p, const struct view_row *row, size_t record_bytes)
{
    const struct str names[] = {row->model,    row->target,  row->key,
                                row->endpoint, row->outcome, row->user};
    int64_t ids[6];
    for (int i = 0; i < 6; i++)
        TRY(view_names_id(p->names, names[i], &ids[i]));
    add_terms(p, row, ids, record_bytes);
    if (row->offset < p->next)
        return ERR_OK; /* folded before the start */
    TRY(add_row(p, row, ids));
    return view_sums_add(p->sums, row, ids);
}

/* ---- A batch ---- */

static bool stopping(struct view *v)
{
    os_mutex_lock(&v->lock);
    bool stop = v->stopping || v->rebuild;
    os_mutex_unlock(&v->lock);
    return stop;
}

static void forget_index(struct view *v)
{
    os_mutex_lock(&v->index_lock);
    index_reset(&v->index);
    os_mutex_unlock(&v->index_lock);
}

/* Before a record at that offset. Readers see the segment with the transaction, and what is in
 * memory until then; only where the log has a gap they may miss it for a moment. */
static enum err make_place(struct projector *p, int64_t offset)
{
    if (!index_is_full(&p->view->index, offset))
        return ERR_OK;
    TRY(view_segment_write(p->store.db, &p->view->index));
    forget_index(p->view);
    return ERR_OK;
}

/* *ret_end: there are no more records. */
static enum err fold(struct projector *p, struct log_cursor *cursor, bool *ret_end)
{
    const struct log_entry *entry = NULL;
    size_t bytes = 0;
    *ret_end = false;
    for (unsigned n = 0; n < VIEW_BATCH_RECORDS && bytes < VIEW_FOLD_BYTES; n++) {
        p->segment_full = index_is_full(&p->view->index, log_cursor_offset(cursor));
        if (p->segment_full)
            break;
        TRY(log_cursor_next(cursor, &entry));
        *ret_end = !entry;
        if (!entry)
            break;
        bytes += entry->value.len;
        arena_reset(&p->arena);
        if (entry->control || !entry->value.ptr || !view_row_read(entry->value, &p->arena, &p->row))
            continue; /* written by somebody else: not a call */
        p->row.offset = entry->offset;
        TRY(make_place(p, entry->offset));
        TRY(add_call(p, &p->row, entry->value.len));
    }
    p->look_bytes += bytes;
    p->look_batches++;
    return ERR_OK;
}

static enum err remove_segments(struct projector *p, long long start)
{
    char sql[200];
    (void)snprintf(sql, sizeof sql,
                   "DELETE FROM blocks WHERE id < coalesce((SELECT min(block) FROM segments "
                   "WHERE first + span > %lld), %lld)",
                   start, (long long)INT64_MAX);
    TRY(view_exec(p->store.db, sql));
    (void)snprintf(sql, sizeof sql, "DELETE FROM segments WHERE first + span <= %lld", start);
    return view_exec(p->store.db, sql);
}

/* Times that end more than an hour before the oldest call that is left. */
static enum err remove_sums(struct projector *p)
{
    int64_t oldest = view_number(
        p->store.db, "SELECT time_us / 60000000 - 60 FROM calls ORDER BY offset LIMIT 1", 0);
    char sql[100];
    for (int i = 0; i < VIEW_SUM_LEVELS; i++) {
        (void)snprintf(sql, sizeof sql, "DELETE FROM %s WHERE minute + %lld <= %lld",
                       view_sum_levels[i].table, (long long)view_sum_levels[i].minutes,
                       (long long)oldest);
        TRY(view_exec(p->store.db, sql));
    }
    return ERR_OK;
}

/* What the log let go. One bounded step. */
static enum err remove_old(struct projector *p)
{
    char sql[160];
    int64_t start = log_part_start(p->view->calls);
    if (start <= p->start)
        return ERR_OK;
    (void)snprintf(
        sql, sizeof sql,
        "DELETE FROM calls WHERE offset IN (SELECT offset FROM calls WHERE offset < %lld LIMIT %d)",
        (long long)start, OLD_ROWS);
    TRY(view_exec(p->store.db, sql));
    if (sqlite3_changes(p->store.db) == OLD_ROWS)
        return ERR_OK; /* the rest with the next batch */
    TRY(remove_segments(p, start));
    TRY(remove_sums(p));
    TRY(view_meta_set(p->store.db, "start", start));
    p->start = start;
    return ERR_OK;
}

static enum err finish_batch(struct projector *p, int64_t next)
{
    if (p->segment_full)
        TRY(view_segment_write(p->store.db, &p->view->index));
    TRY(view_sums_write(p->sums));
    if (next > p->next)
        TRY(view_meta_set(p->store.db, "next", next));
    TRY(remove_old(p));
    return view_exec(p->store.db, "COMMIT");
}

/* Whoever gets an error opens everything anew: names, sums and index may hold what is undone. */
static enum err batch(struct projector *p, struct log_cursor *cursor, bool *ret_end)
{
    TRY(view_exec(p->store.db, "BEGIN"));
    TRY(fold(p, cursor, ret_end));
    int64_t next = log_cursor_offset(cursor);
    TRY(finish_batch(p, next));
    if (p->segment_full)
        forget_index(p->view);
    p->segment_full = false;
    p->next = next > p->next ? next : p->next;
    atomic_store(&p->view->next_offset, next);
    return ERR_OK;
}

/* The quota has what the files take, and what the next transactions may add. */
static enum err keep_room(struct projector *p)
{
    struct view *v = p->view;
    if (p->look_bytes < LOOK_BYTES && p->look_batches < LOOK_BATCHES)
        return ERR_OK;
    uint64_t wanted = view_store_bytes(&view_calls_store, buf_str(&v->dir)) + ROOM_BYTES;
    uint64_t had = atomic_load(&v->reserved);
    if (wanted > had)
        TRY(log_quota_reserve(v->log, wanted - had));
    else
        log_quota_release(v->log, had - wanted);
    atomic_store(&v->reserved, wanted);
    p->look_bytes = 0;
    p->look_batches = 0;
    return ERR_OK;
}

/* ---- The thread ---- */

static enum err open_projector(struct projector *p, struct buf *detail)
{
    struct view *v = p->view;
    TRY(view_store_open(&p->store, &view_calls_store, buf_str(&v->dir), true, detail));
    sqlite3 *db = p->store.db;
    TRY(view_names_open(db, &p->names));
    TRY(view_sums_open(db, &p->sums));
    TRY(view_words_open(db, &p->words));
    TRY(view_prepare(db, "INSERT OR REPLACE INTO calls VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                     &p->add_call));
    p->next = view_meta_get(db, "next", 0);
    p->start = view_meta_get(db, "start", 0);
    p->look_batches = LOOK_BATCHES;
    return p->next <= log_part_end(v->calls) ? ERR_OK : ERR_OUT_OF_RANGE;
}

/* What is not committed is undone. */
static void close_projector(struct projector *p)
{
    sqlite3_finalize(p->add_call);
    view_names_close(p->names);
    view_sums_close(p->sums);
    view_words_close(p->words);
    p->add_call = NULL;
    p->names = NULL;
    p->sums = NULL;
    p->words = NULL;
    p->segment_full = false;
    forget_index(p->view);
    view_store_close(&p->store);
}

/* Again from the first record: asked for, or the log ends before what is folded (it lost its newest
 * records with the power). */
static enum err open_fresh(struct projector *p, struct buf *detail)
{
    struct view *v = p->view;
    os_mutex_lock(&v->lock);
    bool again = v->rebuild;
    v->rebuild = false;
    if (again)
        atomic_store(&v->next_offset, log_part_start(v->calls));
    os_mutex_unlock(&v->lock);
    enum err error = again ? ERR_OUT_OF_RANGE : open_projector(p, detail);
    if (error == ERR_OUT_OF_RANGE || error == ERR_CORRUPT) {
        close_projector(p);
        view_report(v, LOG_INFO, "event=view_rebuild");
        os_mutex_lock(&v->read_lock); /* a question meets the old file or the new one */
        view_reader_forget(v);
        view_store_remove(&view_calls_store, buf_str(&v->dir));
        error = open_projector(p, detail);
        os_mutex_unlock(&v->read_lock);
    }
    atomic_store(&v->next_offset, 0);
    return error;
}

struct waiter {
    struct log_watch watch; /* first */
    struct view *view;
};

static void wake(struct view *v)
{
    os_mutex_lock(&v->lock);
    v->woken = true;
    os_cond_signal(&v->wanted);
    os_mutex_unlock(&v->lock);
}

static void on_records(struct log_watch *watch)
{
    wake(((struct waiter *)watch)->view);
}

/* Until records come or something is wanted; timeout_us 0: as long as it takes. */
static void wait_for(struct view *v, bool records, int64_t offset, uint64_t timeout_us)
{
    struct waiter waiter = {.watch = {.wake = on_records}, .view = v};
    if (records && log_watch_add(v->calls, &waiter.watch, offset))
        return;
    os_mutex_lock(&v->lock);
    while (!v->woken && !v->stopping && !v->rebuild) {
        if (!timeout_us)
            os_cond_wait(&v->wanted, &v->lock);
        else if (!os_cond_wait_for(&v->wanted, &v->lock, timeout_us))
            break;
    }
    v->woken = false;
    os_mutex_unlock(&v->lock);
    if (records)
        log_watch_remove(&waiter.watch);
}

static void report_failure(struct view *v, enum err error, const struct buf *detail)
{
    if (atomic_exchange(&v->failed, true))
        return; /* said already */
    view_report(v, LOG_WARN,
                "event=view_stands error=\"%s\" detail=\"%.*s\" note=\"it goes on when it can\"",
                err_text(error), STR_ARG(buf_str(detail)));
}

/* More calls may come in that time: they are folded together. */
static void gather(struct view *v)
{
    uint64_t end_us = os_now_us() + VIEW_FOLD_WAIT_US;
    os_mutex_lock(&v->lock);
    while (!v->stopping && !v->rebuild) {
        uint64_t now_us = os_now_us();
        if (now_us >= end_us || !os_cond_wait_for(&v->wanted, &v->lock, end_us - now_us))
            break;
    }
    os_mutex_unlock(&v->lock);
}

/* Fold until something else is wanted, or it fails. */
static enum err follow(struct projector *p, struct buf *detail)
{
    struct view *v = p->view;
    struct log_cursor *cursor = NULL;
    int64_t indexed = view_number(p->store.db, "SELECT max(first + span) FROM segments", 0);
    enum err error = log_cursor_open(v->calls, indexed, LOG_FORWARD, &cursor);
    while (error == ERR_OK && !stopping(v)) {
        bool end = false;
        error = keep_room(p);
        if (error == ERR_OK)
            error = batch(p, cursor, &end);
        if (error != ERR_OK)
            break;
        if (atomic_exchange(&v->failed, false))
            view_report(v, LOG_INFO, "event=view_goes_on");
        if (end) {
            wait_for(v, true, log_cursor_offset(cursor), 0);
            gather(v);
        }
    }
    if (error != ERR_OK && p->store.db)
        buf_printf(detail, "%s", sqlite3_errmsg(p->store.db));
    log_cursor_close(cursor);
    return error;
}

void view_projector_run(void *arg)
{
    struct view *v = arg;
    struct projector *p = NEW(struct projector);
    os_thread_set_background(); /* calls come first; what is late is folded when they leave room */
    p->view = v;
    arena_init(&p->arena);
    buf_init(&p->row.text, 64u << 20);
    for (bool stop = false; !stop;) {
        struct buf detail = {.max = 4096};
        enum err error = open_fresh(p, &detail);
        if (error == ERR_OK)
            error = follow(p, &detail);
        close_projector(p);
        if (error != ERR_OK) {
            report_failure(v, error, &detail);
            wait_for(v, false, 0, RETRY_US);
        }
        buf_release(&detail);
        os_mutex_lock(&v->lock);
        stop = v->stopping;
        os_mutex_unlock(&v->lock);
    }
    buf_release(&p->row.text);
    arena_release(&p->arena);
    mem_free(p);
}
