/* Private to the traces' half of src/view. */
#ifndef WEIR_VIEW_TRACES_INT_H
#define WEIR_VIEW_TRACES_INT_H

#include "view/traces.h"
#include "view/view_int.h"

enum {
    TRACES_TOKEN_BYTES = 17,  /* "x" and 16 digits */
    TRACES_VALUE_BYTES = 128, /* of an attribute; longer ones cannot be asked for */
    TRACES_TOKENS_MAX = 200,  /* attributes of a span that are indexed */
};

struct traces {
    struct log *log;
    struct log_part *parts[TRACES_TOPICS];
    struct buf dir;
    void (*report)(void *arg, enum log_severity severity, struct str text);
    void *report_arg;
    struct os_thread thread;
    struct os_mutex lock; /* for what follows */
    struct os_cond wanted;
    bool stopping, woken, rebuild;
    bool frozen;               /* there is no thread; the opener's */
    struct os_mutex read_lock; /* for the reader; after no other lock */
    struct view_store reader;
    bool reader_open;
    uint64_t deadline_us; /* of the question under way */
    atomic_int_fast64_t next[TRACES_TOPICS];
    atomic_uint_fast64_t reserved; /* of the quota */
    atomic_bool failed;
};

extern const struct view_store_kind traces_store;
/* "next_spans" and the like, by topic. */
extern const char *const traces_next_names[TRACES_TOPICS];

/* ---- traces_row.c ---- */

struct traces_span {
    uint8_t trace[TRACES_TRACE_BYTES], span[TRACES_SPAN_BYTES], parent[TRACES_SPAN_BYTES];
    bool has_parent, inference, failed;
    int64_t time_us, duration_us;
    struct str name, service, operation, model, key, session, user, status;
    int64_t input, output, cost; /* -1: not known */
    struct buf text;             /* words and tokens to index, kept between rows */
};

/* False: not a span's record. */
bool traces_span_read(struct str value, struct arena *a, struct traces_span *ret_span);

/* Of a call: only what ties it to a trace or a session. */
struct traces_call {
    uint8_t trace[TRACES_TRACE_BYTES];
    bool foreign; /* the trace is somebody else's */
    struct str key, session, user, outcome;
    int64_t time_us, input, output, cost;
};
bool traces_call_read(struct str value, struct arena *a, struct traces_call *ret_call);

struct traces_score {
    struct str id, name, kind, label, source, key;
    uint8_t call[TRACES_TRACE_BYTES], trace[TRACES_TRACE_BYTES], span[TRACES_SPAN_BYTES];
    bool has_call, has_trace, has_span, has_number, deleted;
    double number;
    int64_t time_us;
};
bool traces_score_read(struct str value, struct arena *a, struct traces_score *ret_score);

/* The token by which name=value is found in the index. */
void traces_token(struct str name, struct str value, char ret_token[TRACES_TOKEN_BYTES]);

/* ---- traces_fold.c ---- */

void traces_fold_run(void *arg);

#endif
