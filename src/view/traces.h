/* Traces: what the log says about spans, scores, sessions, and about itself, folded into SQLite.
 *
 *   weir.spans  weir.scores  weir.calls  weir.metrics  weir.logs  weir.ledger
 *        └───────────┴──── one thread ────┴────────────┴───────────┘ ──> DATA/views/traces.db
 *
 * 1. The log is the truth, as in view.h: the offsets up to which the topics are folded are in the
 * same transaction as what was folded.
 * 2. Records stay on the log: answers are offsets, which are read there.
 * 3. A span that comes twice (its sender did not hear that it was stored) is there once.
 * 4. Of calls only those are here that belong to somebody else's trace or to a session; a call that
 * began its own trace is found by its id, which is the trace's.
 * 5. What the log no longer has goes from here too; the ledger's counts stay. */
#ifndef WEIR_VIEW_TRACES_H
#define WEIR_VIEW_TRACES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "log/log.h"

struct traces;

enum traces_topic {
    TRACES_SPANS,
    TRACES_SCORES,
    TRACES_CALLS,
    TRACES_METRICS,
    TRACES_LOGS,
    TRACES_LEDGER,
    TRACES_TOPICS,
};

enum {
    TRACES_TRACE_BYTES = 16,
    TRACES_SPAN_BYTES = 8,
    TRACES_ATTRIBUTES_MAX = 8, /* of one filter */
};

struct traces_options {
    struct log *log;
    struct log_part *parts[TRACES_TOPICS];
    struct str data_dir;
    void (*report)(void *arg, enum log_severity severity, struct str text);
    void *report_arg;
};

/* As view_open. */
MUST_CHECK enum err traces_open(const struct traces_options *options, struct buf *detail,
                                struct traces **ret_traces);
void traces_close(struct traces *t);
struct log_part *traces_part(struct traces *t, enum traces_topic topic);
/* As view_freeze and view_thaw. */
void traces_freeze(struct traces *t);
void traces_thaw(struct traces *t);
/* Fold everything again, in the background. Any thread. */
void traces_rebuild(struct traces *t);

struct traces_state {
    struct {
        int64_t next_offset, end_offset;
    } topics[TRACES_TOPICS];
    uint64_t bytes; /* on disk */
    bool failed;
};
void traces_state(struct traces *t, struct traces_state *ret_state);

/* ---- Questions. Any thread that may wait. ERR_BUSY: there is no database yet; ERR_TIMEOUT: it
 * takes too long; ERR_INVALID: the filter cannot be understood. ---- */

struct traces_filter {
    struct str name, service, operation, model, key, session, user, status;
    struct str attributes[TRACES_ATTRIBUTES_MAX]; /* "name=value" */
    size_t attribute_count;
    struct str words;
    struct str trace; /* 16 bytes */
    bool roots;       /* without a parent */
    int64_t since_us, until_us, duration_us_min;
};

/* Offsets of spans that pass, newest first, below `before` (-1: the end). */
MUST_CHECK enum err traces_search(struct traces *t, const struct traces_filter *filter,
                                  int64_t before, size_t limit, int64_t *ret_offsets,
                                  size_t *ret_count);
/* Offsets of calls of a trace (16 bytes) or, with trace.len 0, of a session; newest first. key:
 * only of this one; empty: of any. */
MUST_CHECK enum err traces_calls(struct traces *t, struct str trace, struct str session,
                                 struct str key, size_t limit, int64_t *ret_offsets,
                                 size_t *ret_count);

struct traces_score_filter {
    struct str name, source, key;
    struct str call, trace; /* 16 bytes each */
    struct str span;        /* 8 bytes */
    struct str id;
    int64_t since_us, until_us;
};
/* Offsets of scores, newest first. */
MUST_CHECK enum err traces_scores(struct traces *t, const struct traces_score_filter *filter,
                                  int64_t before, size_t limit, int64_t *ret_offsets,
                                  size_t *ret_count);
/* By name: how many, and mean, least and largest of numbers, and counts by label. JSON array. */
MUST_CHECK enum err traces_score_sums(struct traces *t, const struct traces_score_filter *filter,
                                      struct buf *ret_json);
/* Sessions, those used last first, as a JSON array; name: only this one. */
MUST_CHECK enum err traces_sessions(struct traces *t, struct str key, struct str name,
                                    int64_t before_us, size_t limit, struct buf *ret_json,
                                    int64_t *ret_last_us, size_t *ret_count);
/* received = stored + rejected, by day, key and signal, as the members of a JSON object. */
MUST_CHECK enum err traces_ledger(struct traces *t, struct str key, int64_t since_us,
                                  struct buf *ret_json);

#endif
