/* Private to src/view. */
#ifndef WEIR_VIEW_VIEW_INT_H
#define WEIR_VIEW_VIEW_INT_H

#include <sqlite3.h>
#include <stdatomic.h>

#include "codec/json_scan.h"
#include "os/thread.h"
#include "view/index.h"
#include "view/spread.h"
#include "view/view.h"
#include "view/words.h"

enum {
    VIEW_VERSION = 2,           /* of the schema: another one is made again */
    VIEW_FOLD_WAIT_US = 200000, /* calls of that time are one transaction */
    VIEW_BATCH_RECORDS = 16000, /* of one transaction at most */
    VIEW_FOLD_BYTES = 32 << 20, /* of their records */
    VIEW_BATCH_BYTES = 4 << 20, /* the same of the traces' batches */
    VIEW_WRITE_BYTES = 8 << 20, /* about what one transaction may write */
    VIEW_TEXT_BYTES = 4096,     /* of a call's texts, asked and answered each, that are indexed */
    VIEW_NAME_BYTES = 256,      /* longer names are cut */
    VIEW_NAMES_MAX = 200000,    /* further names are "(other)" */
    VIEW_QUERY_US_MAX = 20 * 1000000,
};

/* Outcomes and the like are names too; 0 is "none". */
struct view_row {
    int64_t offset;
    int64_t time_us;
    struct str model, target, key, endpoint, outcome, user;
    int64_t status;
    int64_t input, cached, output, reasoning; /* -1: not known */
    int64_t cost;                             /* 10^-12 of the currency; -1: not known */
    int64_t total_us, first_us, overhead_us;  /* -1: none */
    struct buf text;                          /* the words to index, kept between rows */
};

/* ---- row.c ---- */

/* What a record says. Strings point into the value or into row->arena_. False: not a call's record.
 */
bool view_row_read(struct str value, struct arena *a, struct view_row *ret_row);

/* ---- store.c: a connection ---- */

struct view_store {
    sqlite3 *db;
    struct buf path;
};

struct view_store_kind {
    const char *file;
    int version; /* of the schema: another one is made again */
    const char *schema;
};

extern const struct view_store_kind view_calls_store;

/* write: make the file and its tables when they are not there, or of another version. */
MUST_CHECK enum err view_store_open(struct view_store *s, const struct view_store_kind *kind,
                                    struct str dir, bool write, struct buf *detail);
void view_store_close(struct view_store *s);
/* Remove the files. Nobody has them open. */
void view_store_remove(const struct view_store_kind *kind, struct str dir);
uint64_t view_store_bytes(const struct view_store_kind *kind, struct str dir);
MUST_CHECK enum err view_exec(sqlite3 *db, const char *sql);
MUST_CHECK enum err view_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_statement);
int64_t view_meta_get(sqlite3 *db, const char *name, int64_t fallback);
MUST_CHECK enum err view_meta_set(sqlite3 *db, const char *name, int64_t value);
/* The one number that a query gives; the fallback where it is null, or fails. */
int64_t view_number(sqlite3 *db, const char *sql, int64_t fallback);
struct str view_column(sqlite3_stmt *statement, int column);
enum err view_error(int sqlite_code);

/* ---- names.c: of the projector ---- */

struct view_names;

/* Closed, also where the open failed. */
MUST_CHECK enum err view_names_open(sqlite3 *db, struct view_names **ret_names);
void view_names_close(struct view_names *n);
/* 0 for no name. */
MUST_CHECK enum err view_names_id(struct view_names *n, struct str name, int64_t *ret_id);

/* ---- sums.c: of the projector ---- */

enum { VIEW_SUM_LEVELS = 3, VIEW_SUM_KEYS = 6, VIEW_SUM_NUMBERS = 6, VIEW_SUM_SPREADS = 3 };

struct view_sum_level {
    const char *table;
    int64_t minutes;
};
extern const struct view_sum_level view_sum_levels[VIEW_SUM_LEVELS];

struct view_sums;

/* Closed, also where the open failed. */
MUST_CHECK enum err view_sums_open(sqlite3 *db, struct view_sums **ret_sums);
void view_sums_close(struct view_sums *s);
/* ids: of model, target, key, endpoint, outcome. */
MUST_CHECK enum err view_sums_add(struct view_sums *s, const struct view_row *row,
                                  const int64_t ids[5]);
/* At the end of a transaction. */
MUST_CHECK enum err view_sums_write(struct view_sums *s);

/* ---- segments.c ---- */

MUST_CHECK enum err view_segment_write(sqlite3 *db, const struct index *x);

/* Those that begin before an offset, the newest first; what is said of one holds until the next. */
struct view_segments {
    sqlite3_stmt *rows, *block;
    int64_t first, span, first_block, blocks, min_time_us, max_time_us;
    struct str fences;
};

/* Closed, also where the open failed. */
MUST_CHECK enum err view_segments_open(sqlite3 *db, int64_t before, struct view_segments *s);
void view_segments_close(struct view_segments *s);
MUST_CHECK enum err view_segments_next(struct view_segments *s, bool *ret_any);
/* Put calls of this segment with terms in the range into *into. */
MUST_CHECK enum err view_segment_find(struct view_segments *s, const struct index_range *r,
                                      struct call_set *into);

/* ---- view.c ---- */

struct view {
    struct log *log;
    struct log_part *calls;
    struct buf dir;
    void (*report)(void *arg, enum log_severity severity, struct str text);
    void *report_arg;
    struct os_thread thread;
    struct os_mutex lock; /* for what follows */
    struct os_cond wanted;
    bool stopping;
    bool woken;
    bool rebuild;
    bool frozen;               /* there is no thread; the opener's */
    struct os_mutex read_lock; /* for the reader; after no other lock */
    struct view_store reader;
    struct view_words *reader_words;
    bool reader_open;
    uint64_t deadline_us;       /* of the question under way */
    struct os_mutex index_lock; /* a leaf */
    struct index index;         /* what no segment holds yet; written by the projector */
    atomic_int_fast64_t next_offset;
    atomic_uint_fast64_t reserved; /* of the quota */
    atomic_bool failed;
};

void view_report(struct view *v, enum log_severity severity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Begin a question: the reader is this thread's until view_read_end. ERR_BUSY: there is no database
 * yet. */
MUST_CHECK enum err view_read_begin(struct view *v);
void view_read_end(struct view *v);
/* The reader is of a file that is no more. With read_lock held, or when nobody can ask. */
void view_reader_forget(struct view *v);
/* Between these two: a name's number; -1: no call has it. */
int64_t view_name_find(struct view *v, struct str name);
/* Append ` AND column = number` unless the name is empty. False: no call has it. */
bool view_where_name(struct view *v, struct buf *sql, const char *column, struct str name);

/* ---- project.c ---- */

void view_projector_run(void *arg);

#endif
