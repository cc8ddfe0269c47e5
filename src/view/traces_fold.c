/* The thread that folds the topics of telemetry, a batch of one topic a transaction.
 *
 *   wait for records of any topic ─> room in the quota ─> for each topic: begin ─> rows ─> books ─>
 *   position ─> commit */
#include <stdio.h>

#include "base/mem.h"
#include "os/clock.h"
#include "view/traces_int.h"

enum {
    ROOM_BYTES = 2 * VIEW_BATCH_BYTES,
    BATCH_RECORDS = 2000,
    BATCH_BYTES = VIEW_BATCH_BYTES,
    BOOKS = 128, /* of one batch; then they are written */
    RETRY_US = 1000000,
    OLD_ROWS = 5000,
    WORDS_SPAN = 1 << 20, /* offsets to a table of words, dropped as a whole */
};

static const int64_t ms_per_day = 86400000;

/* spans: one row a span. calls: those of other traces or of a session. words_N: an index of words
 * and of name=value, as tokens, of spans from offset N·2^20 on. sessions: sums. books: what was
 * received, stored and rejected; day: since 1970. */
const struct view_store_kind traces_store = {
    "traces.db", 2,
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE names(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE spans(offset INTEGER PRIMARY KEY, trace BLOB NOT NULL, span BLOB NOT NULL, "
    "root INTEGER, time_us INTEGER NOT NULL, duration_us INTEGER, session INTEGER);"
    "CREATE UNIQUE INDEX spans_trace ON spans(trace, span);"
    "CREATE INDEX spans_time ON spans(time_us);"
    "CREATE INDEX spans_root ON spans(offset) WHERE root = 1;"
    "CREATE TABLE calls(offset INTEGER PRIMARY KEY, trace BLOB, session INTEGER, key INTEGER, "
    "time_us INTEGER NOT NULL);"
    "CREATE INDEX calls_trace ON calls(trace) WHERE trace IS NOT NULL;"
    "CREATE INDEX calls_session ON calls(session, offset) WHERE session > 0;"
    "CREATE TABLE scores(offset INTEGER PRIMARY KEY, id TEXT NOT NULL, time_us INTEGER NOT "
    "NULL, name INTEGER, kind INTEGER, number REAL, label INTEGER, source INTEGER, key INTEGER, "
    "call BLOB, trace BLOB, span BLOB, UNIQUE(id, key));"
    "CREATE INDEX scores_call ON scores(call) WHERE call IS NOT NULL;"
    "CREATE INDEX scores_trace ON scores(trace) WHERE trace IS NOT NULL;"
    "CREATE INDEX scores_name ON scores(name, time_us);"
    "CREATE TABLE sessions(session INTEGER, key INTEGER, user INTEGER, first_us INTEGER, "
    "last_us INTEGER, spans INTEGER, calls INTEGER, errors INTEGER, input INTEGER, output INTEGER, "
    "cost INTEGER, PRIMARY KEY(session, key)) WITHOUT ROWID;"
    "CREATE INDEX sessions_last ON sessions(last_us);"
    "CREATE TABLE books(day INTEGER, key INTEGER, signal INTEGER, received INTEGER, "
    "stored INTEGER, rejected INTEGER, again INTEGER, PRIMARY KEY(day, key, signal)) "
    "WITHOUT ROWID;"
    "CREATE TABLE reasons(day INTEGER, key INTEGER, signal INTEGER, reason INTEGER, "
    "items INTEGER, PRIMARY KEY(day, key, signal, reason)) WITHOUT ROWID;"};

const char *const traces_next_names[TRACES_TOPICS] = {"next_spans",   "next_scores", "next_calls",
                                                      "next_metrics", "next_logs",   "next_ledger"};

enum statement {
    ADD_SPAN,
    ADD_CALL,
    ADD_SCORE,
    DROP_SCORE,
    ADD_SESSION,
    ADD_BOOK,
    ADD_REASON,
    STATEMENTS,
};

static const char *const statement_sql[STATEMENTS] = {
    [ADD_SPAN] = "INSERT INTO spans VALUES(?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
    [ADD_CALL] = "INSERT OR REPLACE INTO calls VALUES(?,?,?,?,?)",
    [ADD_SCORE] = "INSERT OR REPLACE INTO scores VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
    [DROP_SCORE] = "DELETE FROM scores WHERE id = ?",
    [ADD_SESSION] =
        "INSERT INTO sessions VALUES(?1,?2,?3,?4,?4,?5,?6,?7,?8,?9,?10) "
        "ON CONFLICT DO UPDATE SET user = coalesce(excluded.user, user), "
        "first_us = min(first_us, ?4), last_us = max(last_us, ?4), spans = spans + ?5, "
        "calls = calls + ?6, errors = errors + ?7, input = input + ?8, output = output + ?9, "
        "cost = cost + ?10",
    [ADD_BOOK] = "INSERT INTO books VALUES(?1,?2,?3,?4,?5,?6,?7) ON CONFLICT DO UPDATE SET "
                 "received = received + ?4, stored = stored + ?5, rejected = rejected + ?6, "
                 "again = again + ?7",
    [ADD_REASON] = ("INSERT INTO reasons VALUES(?1,?2,?3,?4,?5) "
                    "ON CONFLICT DO UPDATE SET items = items + ?5"),
};

/* What came of one key on one day; added up in memory. */
struct book {
    int64_t day, key, signal;
    int64_t received, stored, rejected, again;
};

struct fold {
    struct traces *traces;
    struct view_store store;
    struct view_names *names;
    sqlite3_stmt *statements[STATEMENTS];
    sqlite3_stmt *add_words;
    int64_t words; /* number of the table that add_words is for; -1: none */
    struct arena arena;
    struct traces_span span;
    struct book books[BOOKS];
    unsigned book_count;
    int64_t next[TRACES_TOPICS];
    struct log_cursor *cursors[TRACES_TOPICS];
};

/* ---- Statements ---- */

static enum err run(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    sqlite3_reset(statement);
    return view_error(code);
}

static void bind_name(sqlite3_stmt *s, int at, int64_t id)
{
    if (id)
        sqlite3_bind_int64(s, at, id);
    else
        sqlite3_bind_null(s, at);
}

static void bind_bytes(sqlite3_stmt *s, int at, const uint8_t *bytes, int len, bool there)
{
    if (there)
        sqlite3_bind_blob(s, at, bytes, len, SQLITE_STATIC);
    else
        sqlite3_bind_null(s, at);
}

/* ---- Books ---- */

static enum err write_books(struct fold *f)
{
    sqlite3_stmt *add = f->statements[ADD_BOOK];
    for (unsigned i = 0; i < f->book_count; i++) {
        const struct book *b = &f->books[i];
        const int64_t values[] = {b->day,    b->key,      b->signal, b->received,
                                  b->stored, b->rejected, b->again};
        for (int v = 0; v < 7; v++)
            sqlite3_bind_int64(add, v + 1, values[v]);
        TRY(run(add));
    }
    f->book_count = 0;
    return ERR_OK;
}

static enum err book_of(struct fold *f, int64_t timestamp_ms, struct str key, struct str signal,
                        struct book **ret_book)
{
    struct book wanted = {.day = timestamp_ms / ms_per_day};
    TRY(view_names_id(f->names, key, &wanted.key));
    TRY(view_names_id(f->names, signal, &wanted.signal));
    for (unsigned i = f->book_count; i > 0; i--) {
        struct book *b = &f->books[i - 1];
        if (b->day == wanted.day && b->key == wanted.key && b->signal == wanted.signal) {
            *ret_book = b;
            return ERR_OK;
        }
    }
    if (f->book_count == BOOKS)
        TRY(write_books(f));
    f->books[f->book_count] = wanted;
    *ret_book = &f->books[f->book_count++];
    return ERR_OK;
}

static struct str header_of(const struct log_entry *entry, struct str name)
{
    const struct str *value = log_entry_header(entry, name);
    return value ? *value : STR_NONE;
}

/* "received=512 rejected=2" */
static void read_receipt(struct str text, struct book *book)
{
    static const struct str names[] = {STR_INIT("received="), STR_INIT("rejected=")};
    int64_t *const sums[] = {&book->received, &book->rejected};
    struct str rest = text;
    while (rest.ptr) {
        struct str word = str_split(&rest, ' ');
        for (size_t i = 0; i < 2; i++) {
            int64_t number;
            if (str_starts(word, names[i]) &&
                str_to_i64(str_skip(word, names[i].len), &number) == ERR_OK)
                *sums[i] += number;
        }
    }
}

/* A record that OTLP brought. again: a span that was here. */
static enum err book_item(struct fold *f, const struct log_entry *entry, struct str signal,
                          bool again)
{
    struct book *book;
    int64_t items = 1;
    struct str points = header_of(entry, STR("points"));
    TRY(book_of(f, entry->timestamp_ms, header_of(entry, STR("key")), signal, &book));
    if (points.len && str_to_i64(points, &items) != ERR_OK)
        items = 1;
    book->stored += items;
    book->again += again;
    read_receipt(header_of(entry, STR("receipt")), book);
    return ERR_OK;
}

/* ---- Sessions ---- */

struct session_part {
    struct str session, key, user;
    int64_t time_us, spans, calls, errors, input, output, cost;
};

static int64_t known(int64_t value)
{
    return value > 0 ? value : 0;
}

static enum err add_to_session(struct fold *f, const struct session_part *p, int64_t session)
{
    sqlite3_stmt *add = f->statements[ADD_SESSION];
    int64_t key;
    int64_t user;
    TRY(view_names_id(f->names, p->key, &key));
    TRY(view_names_id(f->names, p->user, &user));
    sqlite3_bind_int64(add, 1, session);
    sqlite3_bind_int64(add, 2, key);
    bind_name(add, 3, user);
    const int64_t values[] = {p->time_us,      p->spans,         p->calls,      p->errors,
                              known(p->input), known(p->output), known(p->cost)};
    for (int i = 0; i < 7; i++)
        sqlite3_bind_int64(add, 4 + i, values[i]);
    return run(add);
}

/* ---- Records ---- */

static enum err use_words(struct fold *f, int64_t number)
{
    char sql[200];
    if (f->words == number)
        return ERR_OK;
    sqlite3_finalize(f->add_words);
    f->add_words = NULL;
    f->words = -1;
    (void)snprintf(sql, sizeof sql,
                   "CREATE VIRTUAL TABLE IF NOT EXISTS words_%lld USING fts5(said, content='', "
                   "columnsize=0, detail=none)",
                   (long long)number);
    TRY(view_exec(f->store.db, sql));
    (void)snprintf(sql, sizeof sql, "INSERT INTO words_%lld(rowid, said) VALUES(?, ?)",
                   (long long)number);
    TRY(view_prepare(f->store.db, sql, &f->add_words));
    f->words = number;
    return ERR_OK;
}

static enum err add_words(struct fold *f, int64_t offset)
{
    const struct buf *text = &f->span.text;
    TRY(use_words(f, offset / WORDS_SPAN));
    sqlite3_bind_int64(f->add_words, 1, offset);
    sqlite3_bind_text(f->add_words, 2, text->ptr, (int)text->len, SQLITE_STATIC);
    return run(f->add_words);
}

static enum err fold_span(struct fold *f, const struct log_entry *entry)
{
    struct traces_span *s = &f->span;
    sqlite3_stmt *add = f->statements[ADD_SPAN];
    int64_t session;
    if (!traces_span_read(entry->value, &f->arena, s))
        return ERR_OK; /* written by somebody else */
    TRY(view_names_id(f->names, s->session, &session));
    sqlite3_bind_int64(add, 1, entry->offset);
    bind_bytes(add, 2, s->trace, sizeof s->trace, true);
    bind_bytes(add, 3, s->span, sizeof s->span, true);
    bind_name(add, 4, !s->has_parent);
    sqlite3_bind_int64(add, 5, s->time_us);
    sqlite3_bind_int64(add, 6, s->duration_us);
    bind_name(add, 7, session);
    TRY(run(add));
    bool fresh = sqlite3_changes(f->store.db) > 0;
    TRY(book_item(f, entry, STR("spans"), !fresh));
    if (!fresh)
        return ERR_OK;
    TRY(add_words(f, entry->offset));
    struct session_part part = {.session = s->session,
                                .key = s->key,
                                .user = s->user,
                                .time_us = s->time_us,
                                .spans = 1,
                                .errors = s->failed,
                                .input = s->inference ? s->input : 0,
                                .output = s->inference ? s->output : 0,
                                .cost = s->inference ? s->cost : 0};
    return session ? add_to_session(f, &part, session) : ERR_OK;
}

static enum err fold_call(struct fold *f, const struct log_entry *entry)
{
    struct traces_call c;
    sqlite3_stmt *add = f->statements[ADD_CALL];
    struct book *book;
    int64_t session;
    int64_t key;
    TRY(book_of(f, entry->timestamp_ms, header_of(entry, STR("key")), STR("calls"), &book));
    book->received++;
    book->stored++;
    if (!traces_call_read(entry->value, &f->arena, &c) || (!c.foreign && !c.session.len))
        return ERR_OK;
    TRY(view_names_id(f->names, c.session, &session));
    TRY(view_names_id(f->names, c.key, &key));
    sqlite3_bind_int64(add, 1, entry->offset);
    bind_bytes(add, 2, c.trace, sizeof c.trace, c.foreign);
    bind_name(add, 3, session);
    bind_name(add, 4, key);
    sqlite3_bind_int64(add, 5, c.time_us);
    TRY(run(add));
    struct session_part part = {.session = c.session,
                                .key = c.key,
                                .user = c.user,
                                .time_us = c.time_us,
                                .calls = 1,
                                .errors = str_eq(c.outcome, STR("error")),
                                .input = c.input,
                                .output = c.output,
                                .cost = c.cost};
    return session ? add_to_session(f, &part, session) : ERR_OK;
}

static enum err drop_score(struct fold *f, struct str id)
{
    sqlite3_stmt *drop = f->statements[DROP_SCORE];
    sqlite3_bind_text(drop, 1, id.ptr, (int)id.len, SQLITE_STATIC);
    return run(drop);
}

static enum err fold_score(struct fold *f, const struct log_entry *entry)
{
    struct traces_score s;
    sqlite3_stmt *add = f->statements[ADD_SCORE];
    if (!traces_score_read(entry->value, &f->arena, &s))
        return ERR_OK;
    if (s.deleted)
        return drop_score(f, s.id);
    const struct {
        int at;
        struct str name;
    } names[] = {{4, s.name}, {5, s.kind}, {7, s.label}, {8, s.source}, {9, s.key}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int64_t id;
        TRY(view_names_id(f->names, names[i].name, &id));
        bind_name(add, names[i].at, id);
    }
    sqlite3_bind_int64(add, 1, entry->offset);
    sqlite3_bind_text(add, 2, s.id.ptr, (int)s.id.len, SQLITE_STATIC);
    sqlite3_bind_int64(add, 3, s.time_us);
    if (s.has_number)
        sqlite3_bind_double(add, 6, s.number);
    else
        sqlite3_bind_null(add, 6);
    bind_bytes(add, 10, s.call, sizeof s.call, s.has_call);
    bind_bytes(add, 11, s.trace, sizeof s.trace, s.has_trace);
    bind_bytes(add, 12, s.span, sizeof s.span, s.has_span);
    return run(add);
}

/* What was refused as a whole. */
static enum err fold_refusal(struct fold *f, const struct log_entry *entry)
{
    struct json_value values[4];
    static const char *const members[] = {"key", "signal", "rejected", "reason"};
    sqlite3_stmt *add = f->statements[ADD_REASON];
    struct book *book;
    int64_t items;
    int64_t reason;
    for (size_t i = 0; i < 4; i++)
        if (!json_find(entry->value, members[i], &values[i]))
            return ERR_OK;
    if (json_to_i64(&values[2], &items) != ERR_OK || items <= 0)
        return ERR_OK;
    TRY(book_of(f, entry->timestamp_ms, json_text(&values[0], &f->arena),
                json_text(&values[1], &f->arena), &book));
    book->received += items;
    book->rejected += items;
    TRY(view_names_id(f->names, json_text(&values[3], &f->arena), &reason));
    const int64_t row[] = {book->day, book->key, book->signal, reason, items};
    for (int i = 0; i < 5; i++)
        sqlite3_bind_int64(add, i + 1, row[i]);
    return run(add);
}

static enum err fold_entry(struct fold *f, enum traces_topic topic, const struct log_entry *entry)
{
    if (entry->control || !entry->value.ptr)
        return ERR_OK;
    switch (topic) {
    case TRACES_SPANS: return fold_span(f, entry);
    case TRACES_SCORES: return fold_score(f, entry);
    case TRACES_CALLS: return fold_call(f, entry);
    case TRACES_METRICS: return book_item(f, entry, STR("metrics"), false);
    case TRACES_LOGS: return book_item(f, entry, STR("logs"), false);
    case TRACES_LEDGER: return fold_refusal(f, entry);
    case TRACES_TOPICS: break;
    }
    return ERR_OK;
}

/* ---- What the log let go ---- */

static enum err drop_rows(struct fold *f, const char *table, const char *meta, int64_t start,
                          bool *ret_done)
{
    char sql[200];
    *ret_done = true;
    if (start <= view_meta_get(f->store.db, meta, 0))
        return ERR_OK;
    (void)snprintf(sql, sizeof sql,
                   "DELETE FROM %s WHERE offset IN (SELECT offset FROM %s WHERE offset < %lld "
                   "LIMIT %d)",
                   table, table, (long long)start, OLD_ROWS);
    TRY(view_exec(f->store.db, sql));
    *ret_done = sqlite3_changes(f->store.db) < OLD_ROWS;
    return *ret_done ? view_meta_set(f->store.db, meta, start) : ERR_OK;
}

static enum err drop_words(struct fold *f, int64_t start)
{
    char sql[80];
    int64_t number = view_meta_get(f->store.db, "words", 0);
    if ((number + 1) * WORDS_SPAN > start)
        return ERR_OK;
    for (; (number + 1) * WORDS_SPAN <= start; number++) {
        (void)snprintf(sql, sizeof sql, "DROP TABLE IF EXISTS words_%lld", (long long)number);
        TRY(view_exec(f->store.db, sql));
    }
    return view_meta_set(f->store.db, "words", number);
}

/* One bounded step. */
static enum err remove_old(struct fold *f, enum traces_topic topic)
{
    int64_t start = log_part_start(f->traces->parts[topic]);
    bool done;
    switch (topic) {
    case TRACES_SPANS:
        TRY(drop_rows(f, "spans", "start_spans", start, &done));
        return done ? drop_words(f, start) : ERR_OK;
    case TRACES_SCORES: return drop_rows(f, "scores", "start_scores", start, &done);
    case TRACES_CALLS:
        TRY(drop_rows(f, "calls", "start_calls", start, &done));
        return view_exec(f->store.db,
                         "DELETE FROM sessions WHERE last_us < min("
                         "coalesce((SELECT min(time_us) FROM spans), 9e18), coalesce((SELECT "
                         "time_us FROM calls ORDER BY offset LIMIT 1) - 3600000000, 9e18))");
    default: return ERR_OK;
    }
}

/* ---- A batch ---- */

static bool stopping(struct traces *t)
{
    os_mutex_lock(&t->lock);
    bool stop = t->stopping || t->rebuild;
    os_mutex_unlock(&t->lock);
    return stop;
}

static enum err fold_some(struct fold *f, enum traces_topic topic, unsigned *ret_count)
{
    const struct log_entry *entry = NULL;
    size_t bytes = 0;
    unsigned count = 0;
    while (count < BATCH_RECORDS && bytes < BATCH_BYTES) {
        TRY(log_cursor_next(f->cursors[topic], &entry));
        if (!entry)
            break;
        count++;
        bytes += entry->value.len;
        arena_reset(&f->arena);
        TRY(fold_entry(f, topic, entry));
    }
    *ret_count = count;
    return ERR_OK;
}

static bool has_old(struct fold *f, enum traces_topic topic)
{
    static const char *const starts[] = {"start_spans", "start_scores", "start_calls"};
    return topic <= TRACES_CALLS &&
           log_part_start(f->traces->parts[topic]) > view_meta_get(f->store.db, starts[topic], 0);
}

static enum err batch(struct fold *f, enum traces_topic topic, unsigned *ret_count)
{
    bool old = has_old(f, topic);
    *ret_count = 0;
    if (!old && log_part_end(f->traces->parts[topic]) <= f->next[topic])
        return ERR_OK;
    TRY(view_exec(f->store.db, "BEGIN"));
    enum err error = fold_some(f, topic, ret_count);
    if (error == ERR_OK)
        error = write_books(f);
    int64_t next = log_cursor_offset(f->cursors[topic]);
    if (error == ERR_OK)
        error = view_meta_set(f->store.db, traces_next_names[topic], next);
    if (error == ERR_OK && old)
        error = remove_old(f, topic);
    if (error == ERR_OK)
        error = view_exec(f->store.db, "COMMIT");
    if (error != ERR_OK) {
        (void)!view_exec(f->store.db, "ROLLBACK");
        return error;
    }
    f->next[topic] = next;
    atomic_store(&f->traces->next[topic], next);
    return ERR_OK;
}

/* The quota has what the files take, and what the next transaction may add. */
static enum err keep_room(struct fold *f)
{
    struct traces *t = f->traces;
    uint64_t wanted = view_store_bytes(&traces_store, buf_str(&t->dir)) + ROOM_BYTES;
    uint64_t had = atomic_load(&t->reserved);
    if (wanted > had)
        TRY(log_quota_reserve(t->log, wanted - had));
    else
        log_quota_release(t->log, had - wanted);
    atomic_store(&t->reserved, wanted);
    return ERR_OK;
}

/* ---- The thread ---- */

static enum err open_fold(struct fold *f, struct buf *detail)
{
    struct traces *t = f->traces;
    TRY(view_store_open(&f->store, &traces_store, buf_str(&t->dir), true, detail));
    TRY(view_names_open(f->store.db, &f->names));
    for (int i = 0; i < STATEMENTS; i++)
        TRY(view_prepare(f->store.db, statement_sql[i], &f->statements[i]));
    for (int i = 0; i < TRACES_TOPICS; i++) {
        f->next[i] = view_meta_get(f->store.db, traces_next_names[i], 0);
        if (f->next[i] > log_part_end(t->parts[i]))
            return ERR_OUT_OF_RANGE;
        TRY(log_cursor_open(t->parts[i], f->next[i], LOG_FORWARD, &f->cursors[i]));
    }
    return ERR_OK;
}

static void close_fold(struct fold *f)
{
    for (int i = 0; i < TRACES_TOPICS; i++) {
        log_cursor_close(f->cursors[i]);
        f->cursors[i] = NULL;
    }
    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(f->statements[i]);
        f->statements[i] = NULL;
    }
    sqlite3_finalize(f->add_words);
    f->add_words = NULL;
    f->words = -1;
    f->book_count = 0;
    view_names_close(f->names);
    f->names = NULL;
    view_store_close(&f->store);
}

static void report(struct traces *t, enum log_severity severity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void report(struct traces *t, enum log_severity severity, const char *format, ...)
{
    struct buf text BUF_AUTO;
    va_list args;
    if (!t->report)
        return;
    buf_init(&text, 8192);
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    t->report(t->report_arg, severity, buf_str(&text));
}

/* Anew, if that is asked for, or the log ends before what is folded, or the file is damaged. */
static enum err open_fresh(struct fold *f, struct buf *detail)
{
    struct traces *t = f->traces;
    os_mutex_lock(&t->lock);
    bool again = t->rebuild;
    t->rebuild = false;
    os_mutex_unlock(&t->lock);
    enum err error = again ? ERR_OUT_OF_RANGE : open_fold(f, detail);
    if (error == ERR_OUT_OF_RANGE || error == ERR_CORRUPT) {
        close_fold(f);
        report(t, LOG_INFO, "event=traces_rebuild");
        os_mutex_lock(&t->read_lock); /* a question meets the old file or the new one */
        if (t->reader_open)
            view_store_close(&t->reader);
        t->reader_open = false;
        view_store_remove(&traces_store, buf_str(&t->dir));
        error = open_fold(f, detail);
        os_mutex_unlock(&t->read_lock);
    }
    for (int i = 0; i < TRACES_TOPICS; i++)
        atomic_store(&t->next[i], f->next[i]);
    return error;
}

struct waiter {
    struct log_watch watch; /* first */
    struct traces *traces;
};

static void on_records(struct log_watch *watch)
{
    struct traces *t = ((struct waiter *)(void *)watch)->traces;
    os_mutex_lock(&t->lock);
    t->woken = true;
    os_cond_signal(&t->wanted);
    os_mutex_unlock(&t->lock);
}

/* Until records come or something is wanted; f NULL: for timeout_us at most. */
static void wait_for(struct traces *t, const struct fold *f, uint64_t timeout_us)
{
    struct waiter waiters[TRACES_TOPICS];
    bool ready = false;
    for (int i = 0; i < TRACES_TOPICS; i++) {
        waiters[i] = (struct waiter){.watch = {.wake = on_records}, .traces = t};
        if (f && !ready)
            ready = log_watch_add(t->parts[i], &waiters[i].watch, f->next[i]);
    }
    os_mutex_lock(&t->lock);
    while (!ready && !t->woken && !t->stopping && !t->rebuild) {
        if (f)
            os_cond_wait(&t->wanted, &t->lock);
        else if (!os_cond_wait_for(&t->wanted, &t->lock, timeout_us))
            break;
    }
    t->woken = false;
    os_mutex_unlock(&t->lock);
    for (int i = 0; i < TRACES_TOPICS; i++)
        log_watch_remove(&waiters[i].watch);
}

static void report_failure(struct traces *t, enum err error, const struct buf *detail)
{
    if (atomic_exchange(&t->failed, true))
        return; /* said already */
    report(t, LOG_WARN,
           "event=traces_stand error=\"%s\" detail=\"%.*s\" note=\"they go on when they can\"",
           err_text(error), STR_ARG(buf_str(detail)));
}

/* Fold until something else is wanted, or it fails. */
static enum err follow(struct fold *f, struct buf *detail)
{
    struct traces *t = f->traces;
    enum err error = ERR_OK;
    while (error == ERR_OK && !stopping(t)) {
        unsigned all = 0;
        error = keep_room(f);
        for (unsigned topic = 0; topic < TRACES_TOPICS && error == ERR_OK; topic++) {
            unsigned count = 0;
            error = batch(f, (enum traces_topic)topic, &count);
            all += count;
        }
        if (error != ERR_OK)
            break;
        if (atomic_exchange(&t->failed, false))
            report(t, LOG_INFO, "event=traces_go_on");
        if (all == 0)
            wait_for(t, f, 0);
    }
    if (error != ERR_OK && f->store.db)
        buf_printf(detail, "%s", sqlite3_errmsg(f->store.db));
    return error;
}

void traces_fold_run(void *arg)
{
    struct traces *t = arg;
    struct fold *f = NEW(struct fold);
    os_thread_set_background(); /* calls come first */
    f->traces = t;
    f->words = -1;
    arena_init(&f->arena);
    buf_init(&f->span.text, 1 << 20);
    for (bool stop = false; !stop;) {
        struct buf detail = {.max = 4096};
        enum err error = open_fresh(f, &detail);
        if (error == ERR_OK)
            error = follow(f, &detail);
        close_fold(f);
        if (error != ERR_OK) {
            report_failure(t, error, &detail);
            wait_for(t, NULL, RETRY_US);
        }
        buf_release(&detail);
        os_mutex_lock(&t->lock);
        stop = t->stopping;
        os_mutex_unlock(&t->lock);
    }
    buf_release(&f->span.text);
    arena_release(&f->arena);
    mem_free(f);
}
