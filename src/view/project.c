/* The projector: one thread that folds weir.calls into the database, a batch of records a
 * transaction.
 *
 *   wait for records ─> room in the quota ─> begin ─> rows, words, minutes ─> position ─> commit
 *
 * Sums are kept per minute and group; those of a batch are added up in memory first and merged into
 * their rows at its end. */
#include "base/mem.h"
#include "os/clock.h"
#include "view/view_int.h"

enum {
    /* A transaction writes the log of the database before the database, so it takes its room twice.
     */
    ROOM_BYTES = 2 * VIEW_BATCH_BYTES,
    NAME_SLOTS = 4096,
    GROUPS = 256, /* of one batch; a power of two, at most half full */
    RETRY_US = 1000000,
    OLD_ROWS = 5000, /* removed in one transaction */
};

/* Numbers of names met lately. */
struct name_slot {
    struct str name; /* owned */
    int64_t id;
};

struct group {
    bool used;
    int64_t key[6]; /* minute, model, target, key, endpoint, outcome */
    int64_t calls, input, cached, output, reasoning, cost;
    struct spread total, first, overhead;
};

struct projector {
    struct view *view;
    struct view_store store;
    sqlite3_stmt *add_name, *find_name, *add_call, *get_minute, *put_minute, *add_words;
    int64_t words_chunk; /* that add_words is for; -1: none */
    int64_t name_count;
    struct name_slot *names;
    struct group *groups;
    unsigned group_count;
    struct arena arena;
    struct view_row row;
    struct buf blobs[3];
    int64_t next; /* offset */
};

static const char add_call_sql[] =
    "INSERT OR REPLACE INTO calls VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
static const char get_minute_sql[] =
    "SELECT calls, input, cached, output, reasoning, cost, total, first, overhead FROM minutes "
    "WHERE minute=? AND model=? AND target=? AND key=? AND endpoint=? AND outcome=?";
static const char put_minute_sql[] =
    "INSERT OR REPLACE INTO minutes VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";

/* ---- Names ---- */

static uint32_t hash(struct str s)
{
    uint32_t h = 2166136261u; /* FNV-1a; whoever makes names collide only makes them slower */
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.ptr[i]) * 16777619u;
    return h;
}

static enum err look_up(struct projector *p, struct str name, int64_t *ret_id)
{
    if (p->name_count >= VIEW_NAMES_MAX)
        name = STR("(other)");
    sqlite3_bind_text(p->find_name, 1, name.ptr, (int)name.len, SQLITE_STATIC);
    int code = sqlite3_step(p->find_name);
    *ret_id = sqlite3_column_int64(p->find_name, 0);
    sqlite3_reset(p->find_name);
    if (code == SQLITE_ROW)
        return ERR_OK;
    sqlite3_bind_text(p->add_name, 1, name.ptr, (int)name.len, SQLITE_STATIC);
    code = sqlite3_step(p->add_name);
    sqlite3_reset(p->add_name);
    *ret_id = sqlite3_last_insert_rowid(p->store.db);
    p->name_count++;
    return view_error(code);
}

/* 0 for no name. */
static enum err name_id(struct projector *p, struct str name, int64_t *ret_id)
{
    *ret_id = 0;
    if (!name.len)
        return ERR_OK;
    struct name_slot *slot = &p->names[hash(name) % NAME_SLOTS];
    if (!str_eq(slot->name, name)) {
        int64_t id;
        TRY(look_up(p, name, &id));
        mem_free((char *)slot->name.ptr);
        *slot = (struct name_slot){str_of(mem_strdup(name.ptr, name.len), name.len), id};
    }
    *ret_id = slot->id;
    return ERR_OK;
}

static void forget_names(struct projector *p)
{
    for (unsigned i = 0; i < NAME_SLOTS; i++)
        mem_free((char *)p->names[i].name.ptr);
    memset(p->names, 0, NAME_SLOTS * sizeof *p->names);
}

/* ---- Minutes ---- */

static void add_known(int64_t *sum, int64_t value)
{
    *sum += value > 0 ? value : 0;
}

static void bind_key(sqlite3_stmt *statement, const struct group *g)
{
    for (int i = 0; i < 6; i++)
        sqlite3_bind_int64(statement, i + 1, g->key[i]);
}

/* What the row holds already is added to the group. */
static enum err merge_row(struct projector *p, struct group *g)
{
    bind_key(p->get_minute, g);
    int code = sqlite3_step(p->get_minute);
    enum err error = view_error(code);
    if (code == SQLITE_ROW) {
        int64_t *sums[] = {&g->calls, &g->input, &g->cached, &g->output, &g->reasoning, &g->cost};
        for (int i = 0; i < 6; i++)
            *sums[i] += sqlite3_column_int64(p->get_minute, i);
        error = spread_merge(&g->total, view_column(p->get_minute, 6));
        if (error == ERR_OK)
            error = spread_merge(&g->first, view_column(p->get_minute, 7));
        if (error == ERR_OK)
            error = spread_merge(&g->overhead, view_column(p->get_minute, 8));
    }
    sqlite3_reset(p->get_minute);
    return error == ERR_INVALID ? ERR_CORRUPT : error;
}

static enum err write_group(struct projector *p, struct group *g)
{
    const struct spread *spreads[] = {&g->total, &g->first, &g->overhead};
    const int64_t sums[] = {g->calls, g->input, g->cached, g->output, g->reasoning, g->cost};
    bind_key(p->put_minute, g);
    for (int i = 0; i < 6; i++)
        sqlite3_bind_int64(p->put_minute, 7 + i, sums[i]);
    for (int i = 0; i < 3; i++) {
        buf_reset(&p->blobs[i]);
        spread_write(spreads[i], &p->blobs[i]);
        sqlite3_bind_blob(p->put_minute, 13 + i, p->blobs[i].ptr, (int)p->blobs[i].len,
                          SQLITE_STATIC);
    }
    int code = sqlite3_step(p->put_minute);
    sqlite3_reset(p->put_minute);
    return view_error(code);
}

static void forget_groups(struct projector *p)
{
    for (unsigned i = 0; i < GROUPS; i++) {
        spread_release(&p->groups[i].total);
        spread_release(&p->groups[i].first);
        spread_release(&p->groups[i].overhead);
    }
    memset(p->groups, 0, GROUPS * sizeof *p->groups);
    p->group_count = 0;
}

static enum err write_groups(struct projector *p)
{
    enum err error = ERR_OK;
    for (unsigned i = 0; i < GROUPS && error == ERR_OK; i++) {
        if (!p->groups[i].used)
            continue;
        error = merge_row(p, &p->groups[i]);
        if (error == ERR_OK)
            error = write_group(p, &p->groups[i]);
    }
    forget_groups(p);
    return error;
}

static uint32_t hash_key(const int64_t key[6])
{
    uint64_t h = 0;
    for (int i = 0; i < 6; i++)
        h = (h ^ (uint64_t)key[i]) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(h >> 32);
}

static enum err find_group(struct projector *p, const int64_t key[6], struct group **ret_group)
{
    if (p->group_count >= GROUPS / 2)
        TRY(write_groups(p));
    uint32_t at = hash_key(key) % GROUPS;
    while (p->groups[at].used && memcmp(p->groups[at].key, key, sizeof p->groups[at].key) != 0)
        at = (at + 1) % GROUPS;
    struct group *g = &p->groups[at];
    if (!g->used) {
        memcpy(g->key, key, sizeof g->key);
        g->used = true;
        p->group_count++;
    }
    *ret_group = g;
    return ERR_OK;
}

static enum err add_to_minute(struct projector *p, const struct view_row *row, const int64_t ids[6])
{
    int64_t key[6] = {row->time_us / 60000000, ids[0], ids[1], ids[2], ids[3], ids[4]};
    struct group *g;
    TRY(find_group(p, key, &g));
    g->calls++;
    add_known(&g->input, row->input);
    add_known(&g->cached, row->cached);
    add_known(&g->output, row->output);
    add_known(&g->reasoning, row->reasoning);
    add_known(&g->cost, row->cost);
    if (row->total_us >= 0)
        spread_add(&g->total, (uint64_t)row->total_us);
    if (row->first_us >= 0)
        spread_add(&g->first, (uint64_t)row->first_us);
    if (row->overhead_us >= 0)
        spread_add(&g->overhead, (uint64_t)row->overhead_us);
    return ERR_OK;
}

/* ---- A call ---- */

static enum err use_words(struct projector *p, int64_t chunk)
{
    char sql[200];
    if (p->words_chunk == chunk)
        return ERR_OK;
    sqlite3_finalize(p->add_words);
    p->add_words = NULL;
    p->words_chunk = -1;
    (void)snprintf(sql, sizeof sql,
                   "CREATE VIRTUAL TABLE IF NOT EXISTS words_%lld USING fts5(said, content='', "
                   "columnsize=0, detail=none)",
                   (long long)chunk);
    TRY(view_exec(p->store.db, sql));
    (void)snprintf(sql, sizeof sql, "INSERT INTO words_%lld(rowid, said) VALUES(?, ?)",
                   (long long)chunk);
    TRY(view_prepare(p->store.db, sql, &p->add_words));
    p->words_chunk = chunk;
    return ERR_OK;
}

static enum err add_words(struct projector *p, const struct view_row *row)
{
    if (!row->text.len)
        return ERR_OK;
    TRY(use_words(p, row->offset / VIEW_WORDS_CHUNK));
    sqlite3_bind_int64(p->add_words, 1, row->offset);
    sqlite3_bind_text(p->add_words, 2, row->text.ptr, (int)row->text.len, SQLITE_STATIC);
    int code = sqlite3_step(p->add_words);
    sqlite3_reset(p->add_words);
    return view_error(code);
}

static void bind_known(sqlite3_stmt *statement, int at, int64_t value)
{
    if (value >= 0)
        sqlite3_bind_int64(statement, at, value);
    else
        sqlite3_bind_null(statement, at);
}

static enum err add_row(struct projector *p, const struct view_row *row)
{
    const struct str names[] = {row->model,    row->target,  row->key,
                                row->endpoint, row->outcome, row->user};
    int64_t ids[6];
    for (int i = 0; i < 6; i++)
        TRY(name_id(p, names[i], &ids[i]));
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
    TRY(view_error(code));
    TRY(add_words(p, row));
    return add_to_minute(p, row, ids);
}

/* ---- A batch ---- */

static bool stopping(struct view *v)
{
    os_mutex_lock(&v->lock);
    bool stop = v->stopping || v->rebuild;
    os_mutex_unlock(&v->lock);
    return stop;
}

/* ret_count: records seen; 0: the end. */
static enum err fold(struct projector *p, struct log_cursor *cursor, unsigned *ret_count)
{
    const struct log_entry *entry = NULL;
    size_t bytes = 0;
    unsigned count = 0;
    while (count < VIEW_BATCH_RECORDS && bytes < VIEW_BATCH_BYTES) {
        TRY(log_cursor_next(cursor, &entry));
        if (!entry)
            break;
        count++;
        bytes += entry->value.len;
        arena_reset(&p->arena);
        if (entry->control || !entry->value.ptr || !view_row_read(entry->value, &p->arena, &p->row))
            continue; /* written by somebody else: not a call */
        p->row.offset = entry->offset;
        TRY(add_row(p, &p->row));
    }
    *ret_count = count;
    return ERR_OK;
}

/* What the log let go. One bounded step. */
static enum err remove_old(struct projector *p)
{
    char sql[160];
    int64_t start = log_part_start(p->view->calls);
    if (start <= view_meta_get(p->store.db, "start", 0))
        return ERR_OK;
    (void)snprintf(
        sql, sizeof sql,
        "DELETE FROM calls WHERE offset IN (SELECT offset FROM calls WHERE offset < %lld LIMIT %d)",
        (long long)start, OLD_ROWS);
    TRY(view_exec(p->store.db, sql));
    if (sqlite3_changes(p->store.db) == OLD_ROWS)
        return ERR_OK; /* the rest with the next batch */
    int64_t chunk = view_meta_get(p->store.db, "words", 0);
    for (; (chunk + 1) * VIEW_WORDS_CHUNK <= start; chunk++) {
        (void)snprintf(sql, sizeof sql, "DROP TABLE IF EXISTS words_%lld", (long long)chunk);
        TRY(view_exec(p->store.db, sql));
    }
    TRY(view_meta_set(p->store.db, "words", chunk));
    /* Minutes before the oldest call that is left. */
    TRY(view_exec(p->store.db,
                  "DELETE FROM minutes WHERE minute < "
                  "(SELECT time_us / 60000000 - 60 FROM calls ORDER BY offset LIMIT 1)"));
    return view_meta_set(p->store.db, "start", start);
}

static enum err batch(struct projector *p, struct log_cursor *cursor, unsigned *ret_count)
{
    TRY(view_exec(p->store.db, "BEGIN"));
    enum err error = fold(p, cursor, ret_count);
    if (error == ERR_OK)
        error = write_groups(p);
    int64_t next = log_cursor_offset(cursor);
    if (error == ERR_OK)
        error = view_meta_set(p->store.db, "next", next);
    if (error == ERR_OK)
        error = remove_old(p);
    if (error == ERR_OK)
        error = view_exec(p->store.db, "COMMIT");
    if (error != ERR_OK) {
        forget_groups(p);
        forget_names(p); /* some were made in what is undone now */
        (void)!view_exec(p->store.db, "ROLLBACK");
        return error;
    }
    p->next = next;
    atomic_store(&p->view->next_offset, next);
    return ERR_OK;
}

/* The quota has what the files take, and what the next transaction may add. */
static enum err keep_room(struct projector *p, uint64_t more)
{
    struct view *v = p->view;
    uint64_t wanted = view_store_bytes(&view_calls_store, buf_str(&v->dir)) + more;
    uint64_t had = atomic_load(&v->reserved);
    if (wanted > had)
        TRY(log_quota_reserve(v->log, wanted - had));
    else
        log_quota_release(v->log, had - wanted);
    atomic_store(&v->reserved, wanted);
    return ERR_OK;
}

/* ---- The thread ---- */

static enum err open_projector(struct projector *p, struct buf *detail)
{
    struct view *v = p->view;
    TRY(view_store_open(&p->store, &view_calls_store, buf_str(&v->dir), true, detail));
    sqlite3 *db = p->store.db;
    TRY(view_prepare(db, "INSERT INTO names(name) VALUES(?)", &p->add_name));
    TRY(view_prepare(db, "SELECT id FROM names WHERE name = ?", &p->find_name));
    TRY(view_prepare(db, add_call_sql, &p->add_call));
    TRY(view_prepare(db, get_minute_sql, &p->get_minute));
    TRY(view_prepare(db, put_minute_sql, &p->put_minute));
    p->next = view_meta_get(db, "next", 0);
    sqlite3_stmt *count = NULL;
    TRY(view_prepare(db, "SELECT max(id) FROM names", &count));
    if (sqlite3_step(count) == SQLITE_ROW)
        p->name_count = sqlite3_column_int64(count, 0);
    sqlite3_finalize(count);
    return p->next <= log_part_end(v->calls) ? ERR_OK : ERR_OUT_OF_RANGE;
}

static void close_projector(struct projector *p)
{
    sqlite3_stmt *all[] = {p->add_name,   p->find_name,  p->add_call,
                           p->get_minute, p->put_minute, p->add_words};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        sqlite3_finalize(all[i]);
    p->add_name = p->find_name = p->add_call = p->get_minute = p->put_minute = p->add_words = NULL;
    p->words_chunk = -1;
    forget_groups(p);
    forget_names(p);
    view_store_close(&p->store);
}

static void forget_reader(struct view *v)
{
    os_mutex_lock(&v->read_lock);
    if (v->reader_open)
        view_store_close(&v->reader);
    v->reader_open = false;
    os_mutex_unlock(&v->read_lock);
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
        forget_reader(v);
        view_store_remove(&view_calls_store, buf_str(&v->dir));
        view_report(v, LOG_INFO, "event=view_rebuild");
        error = open_projector(p, detail);
    }
    atomic_store(&v->next_offset, p->next);
    return error;
}

static void on_records(struct log_watch *watch);

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

/* Fold until something else is wanted, or it fails. */
static enum err follow(struct projector *p, struct buf *detail)
{
    struct view *v = p->view;
    struct log_cursor *cursor = NULL;
    enum err error = log_cursor_open(v->calls, p->next, LOG_FORWARD, &cursor);
    while (error == ERR_OK && !stopping(v)) {
        unsigned count = 0;
        error = keep_room(p, ROOM_BYTES);
        if (error == ERR_OK)
            error = batch(p, cursor, &count);
        if (error != ERR_OK)
            break;
        if (atomic_exchange(&v->failed, false))
            view_report(v, LOG_INFO, "event=view_goes_on");
        if (count == 0)
            wait_for(v, true, p->next, 0);
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
    p->words_chunk = -1;
    p->names = mem_array(NAME_SLOTS, sizeof *p->names);
    p->groups = mem_array(GROUPS, sizeof *p->groups);
    arena_init(&p->arena);
    buf_init(&p->row.text, 64u << 20);
    for (int i = 0; i < 3; i++)
        buf_init(&p->blobs[i], 1 << 20);
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
    for (int i = 0; i < 3; i++)
        buf_release(&p->blobs[i]);
    buf_release(&p->row.text);
    arena_release(&p->arena);
    mem_free(p->groups);
    mem_free(p->names);
    mem_free(p);
}
