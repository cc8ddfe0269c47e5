/* Views: what the log says about calls, folded into SQLite so that it can be asked.
 *
 *   weir.calls ── projector thread ──> DATA/views/calls.db ── readers ──> search, stats
 *
 * 1. The log is the truth: a view can be deleted at any time and is made again from it. The offset
 * up to which the log is folded is in the same transaction as what was folded, so nothing counts
 * twice and nothing is left out.
 * 2. Bodies stay on the log; a view holds what is filtered and summed, and an index of the words
 * said.
 * 3. What the log no longer has goes from the view too; sums by the minute stay until their minute
 * is as old.
 * 4. A view counts into the data folder's quota. Where there is no room it stands still, and goes
 * on when there is. */
#ifndef WEIR_VIEW_VIEW_H
#define WEIR_VIEW_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "log/log.h"

struct view;

enum {
    VIEW_QUOTA_MIN_BYTES = 256 << 20, /* a smaller data folder is the log's alone */
    VIEW_GROUPS_MAX = 1000,           /* of one question; more are left out and said so */
    VIEW_POINTS_MAX = 2000,           /* of one group */
    VIEW_WORDS_BYTES_MAX = 512,
};

struct view_options {
    struct log *log;
    struct log_part *calls;
    struct str data_dir;
    /* One line, key=value; from the projector's thread or the caller's. */
    void (*report)(void *arg, enum log_severity severity, struct str text);
    void *report_arg;
};

/* Opens or makes the database and starts the projector. ERR_QUOTA: the quota is below
 * VIEW_QUOTA_MIN_BYTES; ERR_IO and the like: *detail says why. */
MUST_CHECK enum err view_open(const struct view_options *options, struct buf *detail,
                              struct view **ret_view);
/* Before the log is closed. NULL is fine. */
void view_close(struct view *v);
/* Fold no more, because another process will (log_retire); questions go on. And go on folding. One
 * thread. */
void view_freeze(struct view *v);
void view_thaw(struct view *v);

struct view_state {
    int64_t next_offset; /* all before it is folded */
    int64_t end_offset;  /* of the log */
    uint64_t bytes;      /* on disk */
    bool failed;         /* the database cannot be written; see the report */
};
void view_state(struct view *v, struct view_state *ret_state);
/* Fold everything again, in the background; questions meanwhile get what there is. Any thread. */
void view_rebuild(struct view *v);

/* What calls must be; empty: anything. */
struct view_filter {
    struct str model, target, key, endpoint, outcome, user;
    struct str status;    /* "429" or "4xx" */
    struct str words;     /* all of them are somewhere in what was asked or answered */
    int64_t since_us;     /* wall clock; 0: the beginning */
    int64_t until_us;     /* exclusive; 0: now */
    int64_t total_us_min; /* took at least */
};

/* Offsets on the log of calls that pass, newest first, before the offset `before` (-1: the end).
 * Any thread that may wait. ERR_INVALID: the filter's words or status cannot be understood.
 * ERR_TIMEOUT: it takes too long. */
MUST_CHECK enum err view_search(struct view *v, const struct view_filter *filter, int64_t before,
                                size_t limit, int64_t *ret_offsets, size_t *ret_count);

struct view_question {
    struct view_filter filter; /* without status, user, words and total_us_min */
    struct str by;             /* model, target, key, endpoint, outcome; empty: one group */
    int64_t step_s;            /* of the points in time, whole minutes; 0: no points */
};

/* Sums and percentiles by group (and in time), as JSON; see docs/internals/view.md. ERR_INVALID:
 * `by` is none of these. */
MUST_CHECK enum err view_stats(struct view *v, const struct view_question *question,
                               struct buf *ret_json);

#endif
