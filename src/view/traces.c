#include "view/traces.h"

#include <stdio.h>

#include "base/mem.h"
#include "codec/decimal.h"
#include "codec/json_write.h"
#include "codec/time.h"
#include "os/clock.h"
#include "os/file.h"
#include "view/traces_int.h"

enum { SQL_BYTES_MAX = 8192, WORDS_SPAN = 1 << 20, WORDS_MAX = 16, LABELS_MAX = 1000 };

enum err traces_open(const struct traces_options *options, struct buf *detail,
                     struct traces **ret_traces)
{
    uint64_t used;
    uint64_t quota;
    log_quota_usage(options->log, &used, &quota);
    if (quota > 0 && quota < VIEW_QUOTA_MIN_BYTES) {
        buf_printf(detail, "log.quota is below %d MiB, which leaves no room for a view of traces",
                   VIEW_QUOTA_MIN_BYTES >> 20);
        return ERR_QUOTA;
    }
    struct traces *t = NEW(struct traces);
    t->log = options->log;
    memcpy(t->parts, options->parts, sizeof t->parts);
    t->report = options->report;
    t->report_arg = options->report_arg;
    buf_init(&t->dir, OS_PATH_MAX);
    buf_printf(&t->dir, "%.*s/views", STR_ARG(options->data_dir));
    os_mutex_init(&t->lock);
    os_cond_init(&t->wanted);
    os_mutex_init(&t->read_lock);
    enum err error = os_fs_ensure_dir(os_fs_machine(), buf_cstr(&t->dir));
    atomic_store(&t->reserved, view_store_bytes(&traces_store, buf_str(&t->dir)));
    if (error == ERR_OK)
        error = os_thread_start("traces", traces_fold_run, t, &t->thread);
    if (error != ERR_OK) {
        buf_printf(detail, "%s: %s", buf_cstr(&t->dir), err_text(error));
        buf_release(&t->dir);
        mem_free(t);
        return error;
    }
    *ret_traces = t;
    return ERR_OK;
}

void traces_freeze(struct traces *t)
{
    if (t->frozen)
        return;
    os_mutex_lock(&t->lock);
    t->stopping = true;
    os_cond_signal(&t->wanted);
    os_mutex_unlock(&t->lock);
    os_thread_join(&t->thread);
    t->frozen = true;
}

void traces_thaw(struct traces *t)
{
    t->stopping = false;
    t->frozen = os_thread_start("traces", traces_fold_run, t, &t->thread) != ERR_OK;
}

void traces_close(struct traces *t)
{
    if (!t)
        return;
    traces_freeze(t);
    if (t->reader_open)
        view_store_close(&t->reader);
    os_mutex_release(&t->read_lock);
    os_cond_release(&t->wanted);
    os_mutex_release(&t->lock);
    buf_release(&t->dir);
    mem_free(t);
}

struct log_part *traces_part(struct traces *t, enum traces_topic topic)
{
    return t->parts[topic];
}

void traces_rebuild(struct traces *t)
{
    os_mutex_lock(&t->lock);
    t->rebuild = true;
    os_cond_signal(&t->wanted);
    os_mutex_unlock(&t->lock);
}

void traces_state(struct traces *t, struct traces_state *ret_state)
{
    *ret_state = (struct traces_state){
        .bytes = view_store_bytes(&traces_store, buf_str(&t->dir)),
        .failed = atomic_load(&t->failed),
    };
    for (int i = 0; i < TRACES_TOPICS; i++) {
        ret_state->topics[i].next_offset = atomic_load(&t->next[i]);
        ret_state->topics[i].end_offset = log_part_end(t->parts[i]);
    }
}

/* ---- Asking ---- */

static int on_progress(void *arg)
{
    const struct traces *t = arg;
    return os_now_us() > t->deadline_us;
}

static enum err begin_reading(struct traces *t)
{
    os_mutex_lock(&t->read_lock);
    if (!t->reader_open) {
        struct buf detail = {.max = 4096};
        enum err error =
            view_store_open(&t->reader, &traces_store, buf_str(&t->dir), false, &detail);
        buf_release(&detail);
        if (error != ERR_OK) {
            os_mutex_unlock(&t->read_lock);
            return ERR_BUSY; /* the thread has not made it yet */
        }
        t->reader_open = true;
        sqlite3_progress_handler(t->reader.db, 10000, on_progress, t);
    }
    t->deadline_us = os_now_us() + VIEW_QUERY_US_MAX;
    return ERR_OK;
}

/* A question in the making. */
struct ask {
    struct traces *traces;
    struct buf sql;
    struct str blobs[8]; /* bound in order, as ?1… */
    size_t blob_count;
    struct str text; /* bound behind them */
};

static void ask_init(struct ask *a, struct traces *t)
{
    *a = (struct ask){.traces = t};
    buf_init(&a->sql, SQL_BYTES_MAX);
}

static void ask_blob(struct ask *a, const char *column, struct str bytes)
{
    if (!bytes.len)
        return;
    a->blobs[a->blob_count++] = bytes;
    buf_printf(&a->sql, " AND %s = ?%zu", column, a->blob_count);
}

/* A name is looked up by SQLite: none of that name is none that passes. */
static void ask_name(struct ask *a, const char *column, struct str name)
{
    if (!name.len)
        return;
    a->blobs[a->blob_count++] = name;
    buf_printf(&a->sql, " AND %s = (SELECT id FROM names WHERE name = CAST(?%zu AS TEXT))", column,
               a->blob_count);
}

static void ask_time(struct ask *a, int64_t since_us, int64_t until_us)
{
    if (since_us > 0)
        buf_printf(&a->sql, " AND time_us >= %lld", (long long)since_us);
    if (until_us > 0)
        buf_printf(&a->sql, " AND time_us < %lld", (long long)until_us);
}

static enum err ask_prepare(struct ask *a, sqlite3_stmt **ret_statement)
{
    TRY(a->sql.error);
    TRY(view_prepare(a->traces->reader.db, buf_cstr(&a->sql), ret_statement));
    for (size_t i = 0; i < a->blob_count; i++)
        sqlite3_bind_blob(*ret_statement, (int)i + 1, a->blobs[i].ptr, (int)a->blobs[i].len,
                          SQLITE_STATIC);
    if (a->text.ptr)
        sqlite3_bind_text(*ret_statement, (int)a->blob_count + 1, a->text.ptr, (int)a->text.len,
                          SQLITE_STATIC);
    return ERR_OK;
}

static enum err take_offsets(struct ask *a, int64_t *offsets, size_t *count)
{
    sqlite3_stmt *query = NULL;
    int code;
    TRY(ask_prepare(a, &query));
    while ((code = sqlite3_step(query)) == SQLITE_ROW)
        offsets[(*count)++] = sqlite3_column_int64(query, 0);
    sqlite3_finalize(query);
    return view_error(code);
}

/* ---- Spans ---- */

/* Each word becomes a quoted string, so that nothing in it is syntax. */
static enum err match_words(struct buf *match, struct str text)
{
    unsigned count = 0;
    if (text.len > VIEW_WORDS_BYTES_MAX)
        return ERR_INVALID;
    struct str rest = text;
    while (rest.ptr) {
        struct str word = str_trim(str_split(&rest, ' '));
        if (!word.len)
            continue;
        if (++count > WORDS_MAX)
            return ERR_INVALID;
        buf_append_str(match, match->len ? STR(" AND \"") : STR("\""));
        for (size_t i = 0; i < word.len; i++) {
            if (word.ptr[i] == '"')
                buf_append_char(match, '"');
            buf_append_char(match, word.ptr[i]);
        }
        buf_append_str(match, STR("\"*"));
    }
    return ERR_OK;
}

static void match_token(struct buf *match, struct str name, struct str value)
{
    char token[TRACES_TOKEN_BYTES];
    if (!value.len)
        return;
    traces_token(name, value, token);
    buf_printf(match, "%s\"%.*s\"", match->len ? " AND " : "", (int)sizeof token, token);
}

/* All that must be in the index of a span; empty: nothing need be. */
static enum err build_match(const struct traces_filter *f, struct buf *match)
{
    const struct {
        struct str name, value;
    } facts[] = {
        {STR(".name"), f->name},   {STR(".service"), f->service}, {STR(".operation"), f->operation},
        {STR(".model"), f->model}, {STR(".key"), f->key},         {STR(".session"), f->session},
        {STR(".user"), f->user},   {STR(".status"), f->status}};
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        match_token(match, facts[i].name, facts[i].value);
    for (size_t i = 0; i < f->attribute_count; i++) {
        struct str value = f->attributes[i];
        struct str name = str_split(&value, '=');
        if (!value.ptr || !name.len || !value.len || value.len > TRACES_VALUE_BYTES)
            return ERR_INVALID;
        match_token(match, name, value);
    }
    return match_words(match, f->words);
}

static void search_in(struct ask *a, const struct traces_filter *f, int64_t words, int64_t before,
                      size_t limit)
{
    a->blob_count = 0;
    buf_reset(&a->sql);
    if (words >= 0)
        buf_printf(&a->sql,
                   "SELECT spans.offset FROM words_%lld JOIN spans ON spans.offset = "
                   "words_%lld.rowid WHERE words_%lld.rowid < %lld",
                   (long long)words, (long long)words, (long long)words, (long long)before);
    else
        buf_printf(&a->sql, "SELECT offset FROM spans WHERE offset < %lld", (long long)before);
    if (f->roots)
        buf_append_str(&a->sql, STR(" AND root = 1"));
    ask_blob(a, "trace", f->trace);
    ask_time(a, f->since_us, f->until_us);
    if (f->duration_us_min > 0)
        buf_printf(&a->sql, " AND duration_us >= %lld", (long long)f->duration_us_min);
    if (words >= 0)
        buf_printf(&a->sql, " AND words_%lld MATCH ?%zu ORDER BY words_%lld.rowid",
                   (long long)words, a->blob_count + 1, (long long)words);
    else
        buf_append_str(&a->sql, STR(" ORDER BY offset"));
    buf_printf(&a->sql, " DESC LIMIT %zu", limit);
}

static enum err search(struct ask *a, const struct traces_filter *f, int64_t before, size_t limit,
                       int64_t *offsets, size_t *count)
{
    if (!a->text.len) {
        a->text = STR_NONE;
        search_in(a, f, -1, before, limit);
        return take_offsets(a, offsets, count);
    }
    int64_t first = log_part_start(a->traces->parts[TRACES_SPANS]) / WORDS_SPAN;
    for (int64_t n = (before > 0 ? before - 1 : 0) / WORDS_SPAN; n >= first && *count < limit;
         n--) {
        char sql[100];
        (void)snprintf(sql, sizeof sql, "SELECT 1 FROM words_%lld LIMIT 0", (long long)n);
        if (view_exec(a->traces->reader.db, sql) != ERR_OK)
            continue; /* there is no such table */
        search_in(a, f, n, before, limit - *count);
        TRY(take_offsets(a, offsets, count));
    }
    return ERR_OK;
}

enum err traces_search(struct traces *t, const struct traces_filter *filter, int64_t before,
                       size_t limit, int64_t *ret_offsets, size_t *ret_count)
{
    struct buf match BUF_AUTO;
    struct ask a;
    size_t count = 0;
    int64_t folded = atomic_load(&t->next[TRACES_SPANS]);
    buf_init(&match, SQL_BYTES_MAX);
    TRY(build_match(filter, &match));
    TRY(begin_reading(t));
    ask_init(&a, t);
    a.text = buf_str(&match);
    enum err error = search(&a, filter, before >= 0 && before < folded ? before : folded, limit,
                            ret_offsets, &count);
    os_mutex_unlock(&t->read_lock);
    buf_release(&a.sql);
    *ret_count = count;
    return error;
}

/* ---- Calls, scores ---- */

static enum err ask_offsets(struct ask *a, size_t limit, int64_t *ret_offsets, size_t *ret_count)
{
    size_t count = 0;
    buf_printf(&a->sql, " ORDER BY offset DESC LIMIT %zu", limit);
    enum err error = begin_reading(a->traces);
    if (error == ERR_OK) {
        error = take_offsets(a, ret_offsets, &count);
        os_mutex_unlock(&a->traces->read_lock);
    }
    buf_release(&a->sql);
    *ret_count = count;
    return error;
}

enum err traces_calls(struct traces *t, struct str trace, struct str session, struct str key,
                      size_t limit, int64_t *ret_offsets, size_t *ret_count)
{
    struct ask a;
    ask_init(&a, t);
    buf_append_str(&a.sql, STR("SELECT offset FROM calls WHERE 1"));
    ask_blob(&a, "trace", trace);
    ask_name(&a, "session", session);
    ask_name(&a, "key", key);
    return ask_offsets(&a, limit, ret_offsets, ret_count);
}

static void ask_scores(struct ask *a, const struct traces_score_filter *f)
{
    ask_name(a, "name", f->name);
    ask_name(a, "source", f->source);
    ask_name(a, "key", f->key);
    ask_blob(a, "call", f->call);
    ask_blob(a, "trace", f->trace);
    ask_blob(a, "span", f->span);
    if (f->id.len) {
        a->blobs[a->blob_count++] = f->id;
        buf_printf(&a->sql, " AND id = CAST(?%zu AS TEXT)", a->blob_count);
    }
    ask_time(a, f->since_us, f->until_us);
}

enum err traces_scores(struct traces *t, const struct traces_score_filter *filter, int64_t before,
                       size_t limit, int64_t *ret_offsets, size_t *ret_count)
{
    struct ask a;
    ask_init(&a, t);
    buf_append_str(&a.sql, STR("SELECT offset FROM scores WHERE 1"));
    if (before >= 0)
        buf_printf(&a.sql, " AND offset < %lld", (long long)before);
    ask_scores(&a, filter);
    return ask_offsets(&a, limit, ret_offsets, ret_count);
}

/* Rows: name, label (or null: the numbers), count, mean, least, largest. */
static void write_score_rows(struct json_writer *w, sqlite3_stmt *rows, int *ret_code)
{
    struct buf open BUF_AUTO; /* name of the object that is open */
    bool labels = false;
    bool any = false;
    buf_init(&open, 4096);
    while ((*ret_code = sqlite3_step(rows)) == SQLITE_ROW) {
        struct str name = view_column(rows, 0);
        struct str label = view_column(rows, 1);
        if (!any || !str_eq(name, buf_str(&open))) {
            if (labels)
                json_object_end(w);
            if (any)
                json_object_end(w);
            any = true;
            labels = false;
            buf_reset(&open);
            buf_append_str(&open, name);
            json_object_begin(w);
            json_member_str(w, STR("name"), name);
        }
        if (!label.ptr) {
            static const struct str names[] = {STR_INIT("mean"), STR_INIT("min"), STR_INIT("max")};
            json_member_i64(w, STR("count"), sqlite3_column_int64(rows, 2));
            for (int i = 0; i < 3; i++)
                if (sqlite3_column_type(rows, 3 + i) != SQLITE_NULL) {
                    json_key(w, names[i]);
                    json_double(w, sqlite3_column_double(rows, 3 + i));
                }
            continue;
        }
        if (!labels) {
            json_key(w, STR("labels"));
            json_object_begin(w);
        }
        labels = true;
        json_member_i64(w, label, sqlite3_column_int64(rows, 2));
    }
    if (labels)
        json_object_end(w);
    if (any)
        json_object_end(w);
}

enum err traces_score_sums(struct traces *t, const struct traces_score_filter *filter,
                           struct buf *ret_json)
{
    struct ask a;
    struct json_writer w;
    sqlite3_stmt *rows = NULL;
    ask_init(&a, t);
    buf_append_str(&a.sql, STR("WITH chosen AS (SELECT name, label, number FROM scores WHERE 1"));
    ask_scores(&a, filter);
    buf_printf(&a.sql,
               ") SELECT n.name, NULL, count(*), avg(number), min(number), max(number) FROM "
               "chosen c JOIN names n ON n.id = c.name GROUP BY c.name UNION ALL SELECT n.name, "
               "l.name, count(*), 0, 0, 0 FROM chosen c JOIN names n ON n.id = c.name JOIN names l "
               "ON l.id = c.label GROUP BY c.name, c.label ORDER BY 1, 2 LIMIT %d",
               LABELS_MAX);
    enum err error = begin_reading(t);
    if (error == ERR_OK) {
        int code = SQLITE_DONE;
        error = ask_prepare(&a, &rows);
        json_writer_init(&w, ret_json);
        json_array_begin(&w);
        if (error == ERR_OK)
            write_score_rows(&w, rows, &code);
        json_array_end(&w);
        sqlite3_finalize(rows);
        error = error == ERR_OK ? view_error(code) : error;
        os_mutex_unlock(&t->read_lock);
    }
    buf_release(&a.sql);
    return error == ERR_OK ? ret_json->error : error;
}

/* ---- Sessions ---- */

static void member_cost(struct json_writer *w, int64_t cost)
{
    char text[DECIMAL_TEXT_BYTES];
    json_member_str(w, STR("cost"), decimal_format((struct decimal){(__int128)cost * 1000}, text));
}

static void write_session(struct json_writer *w, sqlite3_stmt *row)
{
    static const struct str names[] = {STR_INIT("spans"), STR_INIT("calls"), STR_INIT("errors"),
                                       STR_INIT("input"), STR_INIT("output")};
    char time[TIME_TEXT_BYTES + 1];
    json_object_begin(w);
    json_member_str(w, STR("session"), view_column(row, 0));
    json_member_str(w, STR("key"), view_column(row, 1));
    json_member_str_or_null(w, STR("user"), view_column(row, 2));
    json_member_str(w, STR("first"), time_format(sqlite3_column_int64(row, 3), time));
    json_member_str(w, STR("last"), time_format(sqlite3_column_int64(row, 4), time));
    for (int i = 0; i < 5; i++)
        json_member_i64(w, names[i], sqlite3_column_int64(row, 5 + i));
    member_cost(w, sqlite3_column_int64(row, 10));
    json_object_end(w);
}

enum err traces_sessions(struct traces *t, struct str key, struct str name, int64_t before_us,
                         size_t limit, struct buf *ret_json, int64_t *ret_last_us,
                         size_t *ret_count)
{
    struct ask a;
    struct json_writer w;
    sqlite3_stmt *rows = NULL;
    ask_init(&a, t);
    buf_append_str(&a.sql,
                   STR("SELECT n.name, k.name, u.name, first_us, last_us, spans, calls, errors, "
                       "input, output, cost FROM sessions s JOIN names n ON n.id = s.session LEFT "
                       "JOIN names k ON k.id = s.key LEFT JOIN names u ON u.id = s.user WHERE 1"));
    ask_name(&a, "s.session", name);
    ask_name(&a, "s.key", key);
    if (before_us > 0)
        buf_printf(&a.sql, " AND last_us < %lld", (long long)before_us);
    buf_printf(&a.sql, " ORDER BY last_us DESC LIMIT %zu", limit);
    json_writer_init(&w, ret_json);
    enum err error = begin_reading(t);
    if (error == ERR_OK) {
        int code = SQLITE_DONE;
        size_t count = 0;
        error = ask_prepare(&a, &rows);
        json_array_begin(&w);
        for (; error == ERR_OK && (code = sqlite3_step(rows)) == SQLITE_ROW; count++) {
            write_session(&w, rows);
            *ret_last_us = sqlite3_column_int64(rows, 4);
        }
        json_array_end(&w);
        sqlite3_finalize(rows);
        os_mutex_unlock(&t->read_lock);
        error = error == ERR_OK ? view_error(code) : error;
        *ret_count = count;
    }
    buf_release(&a.sql);
    return error == ERR_OK ? ret_json->error : error;
}

/* ---- The ledger ---- */

static void write_day(struct json_writer *w, int64_t day)
{
    char time[TIME_TEXT_BYTES + 1];
    json_member_str(w, STR("day"), str_take(time_format(day * INT64_C(86400000000), time), 10));
}

static enum err write_books(struct ask *a, struct json_writer *w, bool *ret_balanced)
{
    static const struct str names[] = {STR_INIT("received"), STR_INIT("stored"),
                                       STR_INIT("rejected"), STR_INIT("again")};
    sqlite3_stmt *rows = NULL;
    int code;
    TRY(ask_prepare(a, &rows));
    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        bool balanced = sqlite3_column_int64(rows, 3) ==
                        sqlite3_column_int64(rows, 4) + sqlite3_column_int64(rows, 5);
        json_object_begin(w);
        write_day(w, sqlite3_column_int64(rows, 0));
        json_member_str(w, STR("key"), view_column(rows, 1));
        json_member_str(w, STR("signal"), view_column(rows, 2));
        for (int i = 0; i < 4; i++)
            json_member_i64(w, names[i], sqlite3_column_int64(rows, 3 + i));
        json_member_bool(w, STR("balanced"), balanced);
        json_object_end(w);
        *ret_balanced = *ret_balanced && balanced;
    }
    sqlite3_finalize(rows);
    return view_error(code);
}

static enum err write_reasons(struct ask *a, struct json_writer *w)
{
    sqlite3_stmt *rows = NULL;
    int code;
    TRY(ask_prepare(a, &rows));
    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        json_object_begin(w);
        write_day(w, sqlite3_column_int64(rows, 0));
        json_member_str(w, STR("key"), view_column(rows, 1));
        json_member_str(w, STR("signal"), view_column(rows, 2));
        json_member_str(w, STR("reason"), view_column(rows, 3));
        json_member_i64(w, STR("items"), sqlite3_column_int64(rows, 4));
        json_object_end(w);
    }
    sqlite3_finalize(rows);
    return view_error(code);
}

static void ask_books(struct ask *a, const char *columns, const char *table, struct str key,
                      int64_t since_us)
{
    a->blob_count = 0;
    buf_reset(&a->sql);
    buf_printf(&a->sql,
               "SELECT day, k.name, g.name, %s FROM %s b JOIN names k ON k.id = b.key JOIN names g "
               "ON g.id = b.signal%s WHERE day >= %lld",
               columns, table, table[0] == 'r' ? " JOIN names r ON r.id = b.reason" : "",
               (long long)(since_us / INT64_C(86400000000)));
    ask_name(a, "b.key", key);
    buf_append_str(&a->sql, STR(" ORDER BY day DESC, 2, 3 LIMIT 10000"));
}

static enum err write_ledger(struct ask *a, struct str key, int64_t since_us, struct json_writer *w)
{
    bool balanced = true;
    json_key(w, STR("books"));
    json_array_begin(w);
    ask_books(a, "received, stored, rejected, again", "books", key, since_us);
    TRY(write_books(a, w, &balanced));
    json_array_end(w);
    json_key(w, STR("refused"));
    json_array_begin(w);
    ask_books(a, "r.name, items", "reasons", key, since_us);
    TRY(write_reasons(a, w));
    json_array_end(w);
    json_member_bool(w, STR("balanced"), balanced);
    return ERR_OK;
}

enum err traces_ledger(struct traces *t, struct str key, int64_t since_us, struct buf *ret_json)
{
    struct ask a;
    struct json_writer w;
    ask_init(&a, t);
    json_writer_init(&w, ret_json);
    enum err error = begin_reading(t);
    if (error == ERR_OK) {
        error = write_ledger(&a, key, since_us, &w);
        os_mutex_unlock(&t->read_lock);
    }
    buf_release(&a.sql);
    return error == ERR_OK ? ret_json->error : error;
}
