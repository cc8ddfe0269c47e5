/* The database file and its tables. */
#include <stdio.h>

#include "os/file.h"
#include "view/view_int.h"

/* calls: one row a call. names: every text that repeats, by number. minutes, hours, days: sums and
 * spreads of each and of what its calls have in common. segments, blocks: which calls have a word
 * or an attribute (index.h); they go a segment at a time. */
#define SUMS(table)                                                                                \
    "CREATE TABLE " table "(minute INTEGER, model INTEGER, target INTEGER, key INTEGER, "          \
    "endpoint INTEGER, outcome INTEGER, calls INTEGER, input INTEGER, cached INTEGER, "            \
    "output INTEGER, reasoning INTEGER, cost INTEGER, total BLOB, first BLOB, overhead BLOB, "     \
    "PRIMARY KEY(minute, model, target, key, endpoint, outcome)) WITHOUT ROWID;"
const struct view_store_kind view_calls_store = {
    "calls.db", VIEW_VERSION,
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE names(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE calls(offset INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, model INTEGER, "
    "target INTEGER, key INTEGER, endpoint INTEGER, outcome INTEGER, user INTEGER, status INTEGER, "
    "input INTEGER, output INTEGER, cost INTEGER, total_us INTEGER, first_us INTEGER);"
    "CREATE TABLE segments(first INTEGER PRIMARY KEY, span INTEGER, block INTEGER, count INTEGER, "
    "min_time_us INTEGER, max_time_us INTEGER, fences BLOB);"
    "CREATE TABLE blocks(id INTEGER PRIMARY KEY, terms BLOB);" SUMS("minutes") SUMS("hours")
        SUMS("days")};
#undef SUMS

enum err view_error(int sqlite_code)
{
    switch (sqlite_code & 0xFF) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE: return ERR_OK;
    case SQLITE_FULL: return ERR_NO_SPACE;
    case SQLITE_INTERRUPT: return ERR_TIMEOUT;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return ERR_CORRUPT;
    default: return ERR_IO;
    }
}

enum err view_exec(sqlite3 *db, const char *sql)
{
    return view_error(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

enum err view_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_statement)
{
    return view_error(sqlite3_prepare_v2(db, sql, -1, ret_statement, NULL));
}

struct str view_column(sqlite3_stmt *statement, int column)
{
    const void *bytes = sqlite3_column_blob(statement, column);
    return bytes ? str_of(bytes, (size_t)sqlite3_column_bytes(statement, column)) : STR_NONE;
}

int64_t view_number(sqlite3 *db, const char *sql, int64_t fallback)
{
    sqlite3_stmt *ask = NULL;
    if (view_prepare(db, sql, &ask) != ERR_OK)
        return fallback;
    bool some = sqlite3_step(ask) == SQLITE_ROW && sqlite3_column_type(ask, 0) != SQLITE_NULL;
    int64_t value = some ? sqlite3_column_int64(ask, 0) : fallback;
    sqlite3_finalize(ask);
    return value;
}

int64_t view_meta_get(sqlite3 *db, const char *name, int64_t fallback)
{
    sqlite3_stmt *get = NULL;
    int64_t value = fallback;
    if (view_prepare(db, "SELECT value FROM meta WHERE name = ?", &get) != ERR_OK)
        return fallback;
    sqlite3_bind_text(get, 1, name, -1, SQLITE_STATIC);
    if (sqlite3_step(get) == SQLITE_ROW)
        value = sqlite3_column_int64(get, 0);
    sqlite3_finalize(get);
    return value;
}

enum err view_meta_set(sqlite3 *db, const char *name, int64_t value)
{
    sqlite3_stmt *set = NULL;
    TRY(view_prepare(db, "INSERT OR REPLACE INTO meta VALUES(?, ?)", &set));
    sqlite3_bind_text(set, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(set, 2, value);
    int code = sqlite3_step(set);
    sqlite3_finalize(set);
    return view_error(code);
}

static void path_of(const struct view_store_kind *kind, struct str dir, const char *suffix,
                    struct buf *out)
{
    buf_init(out, OS_PATH_MAX);
    buf_printf(out, "%.*s/%s%s", STR_ARG(dir), kind->file, suffix);
}

static const char *const suffixes[] = {"", "-wal", "-shm"};

void view_store_remove(const struct view_store_kind *kind, struct str dir)
{
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        struct buf path BUF_AUTO;
        path_of(kind, dir, suffixes[i], &path);
        enum err error = os_fs_remove(os_fs_machine(), buf_cstr(&path));
        if (error != ERR_OK) /* most often there is none */
            continue;
    }
}

uint64_t view_store_bytes(const struct view_store_kind *kind, struct str dir)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        struct buf path BUF_AUTO;
        struct os_stat stat;
        path_of(kind, dir, suffixes[i], &path);
        if (os_fs_stat(os_fs_machine(), buf_cstr(&path), &stat) == ERR_OK)
            sum += stat.disk_bytes;
    }
    return sum;
}

static enum err set_up(const struct view_store_kind *kind, sqlite3 *db)
{
    if (view_meta_get(db, "version", 0) == kind->version)
        return ERR_OK;
    TRY(view_exec(db, "BEGIN"));
    TRY(view_exec(db, kind->schema));
    TRY(view_meta_set(db, "version", kind->version));
    return view_exec(db, "COMMIT");
}

static enum err open_file(struct view_store *s, bool write)
{
    int flags = SQLITE_OPEN_NOMUTEX |
                (write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY);
    TRY(view_error(sqlite3_open_v2(buf_cstr(&s->path), &s->db, flags, NULL)));
    sqlite3_busy_timeout(s->db, 10000);
    /* What a power cut takes is folded again: nothing here needs to be on disk. */
    TRY(view_exec(s->db, "PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY"));
    if (write)
        TRY(view_exec(s->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; "
                             "PRAGMA journal_size_limit = 4194304"));
    return ERR_OK;
}

/* A file of another version, or one that is damaged, is made again: it holds nothing of its own. */
enum err view_store_open(struct view_store *s, const struct view_store_kind *kind, struct str dir,
                         bool write, struct buf *detail)
{
    *s = (struct view_store){0};
    path_of(kind, dir, "", &s->path);
    enum err error = open_file(s, write);
    if (error == ERR_OK && write)
        error = set_up(kind, s->db);
    if (error == ERR_OK && !write && view_meta_get(s->db, "version", 0) != kind->version)
        error = ERR_BUSY; /* its writer has not made the tables yet */
    if (error != ERR_OK && write) {
        sqlite3_close(s->db);
        s->db = NULL;
        view_store_remove(kind, dir);
        error = open_file(s, write);
        if (error == ERR_OK)
            error = set_up(kind, s->db);
    }
    if (error != ERR_OK) {
        buf_printf(detail, "%s: %s", buf_cstr(&s->path),
                   s->db ? sqlite3_errmsg(s->db) : err_text(error));
        view_store_close(s);
    }
    return error;
}

void view_store_close(struct view_store *s)
{
    sqlite3_close(s->db);
    buf_release(&s->path);
    *s = (struct view_store){0};
}
