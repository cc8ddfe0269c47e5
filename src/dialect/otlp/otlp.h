/* OpenTelemetry's protocol, OTLP 1.x: requests in protobuf or JSON → resources, scopes and items
 * (spans, metrics, log records).
 *
 *   request ─ resource ─ scope ─ item           otlp_read walks these, lazily
 *                                  └─ otlp_span_read, otlp_log_read, otlp_metric_read
 *
 * Both forms are read by the same tables of fields (message.c): in protobuf a field has a number,
 * in JSON a name. Unknown fields are passed over, as the specification asks.
 *
 * 1. Pure: bytes in, values in an arena out; strings point into the request where they can.
 * 2. What a request can make of the arena is bounded: one item has at most OTLP_VALUES_MAX values,
 *    which nest at most OTLP_DEPTH_MAX deep; the arena may be reset between items.
 *
 * Source: opentelemetry-proto 1.x; https://opentelemetry.io/docs/specs/otlp/ */
#ifndef WEIR_DIALECT_OTLP_OTLP_H
#define WEIR_DIALECT_OTLP_OTLP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum {
    OTLP_VALUES_MAX = 20000, /* of one item: attributes, list elements, events, points… */
    OTLP_DEPTH_MAX = 32,
    OTLP_ITEM_BYTES_MAX = 8 << 20, /* larger items are refused one by one */
    OTLP_TRACE_ID_BYTES = 16,
    OTLP_SPAN_ID_BYTES = 8,
};

enum otlp_form { OTLP_PROTOBUF, OTLP_JSON };
enum otlp_signal { OTLP_TRACES, OTLP_METRICS, OTLP_LOGS, OTLP_SIGNAL_COUNT };

/* ---- Values ---- */

enum otlp_kind {
    OTLP_NONE,
    OTLP_STRING,
    OTLP_BYTES,
    OTLP_BOOL,
    OTLP_INT,
    OTLP_DOUBLE,
    OTLP_ARRAY,
    OTLP_MAP,
};

struct otlp_attribute;

struct otlp_attributes {
    struct otlp_attribute *at;
    size_t count, room;
};

struct otlp_value {
    enum otlp_kind kind;
    union {
        struct str text; /* OTLP_STRING, OTLP_BYTES */
        bool flag;
        int64_t number;
        double real;
        struct otlp_attributes *items; /* OTLP_MAP, and OTLP_ARRAY, whose keys are empty */
    };
};

struct otlp_attribute {
    struct str key;
    struct otlp_value value;
};

/* NULL: there is none of that name. Of equal ones the first. */
const struct otlp_value *otlp_find(const struct otlp_attributes *a, struct str key);

/* ---- Messages ---- */

/* A list of one kind of message. */
struct otlp_list {
    void *at;
    size_t count, room;
};

struct otlp_numbers {
    uint64_t *at; /* doubles by their bits */
    size_t count, room;
};

struct otlp_resource {
    struct otlp_attributes attributes;
    struct str schema_url;
};

struct otlp_scope {
    struct str name, version;
    struct otlp_attributes attributes;
    struct str schema_url;
};

struct otlp_status {
    struct str message;
    uint64_t code; /* 0 unset, 1 ok, 2 error */
};

struct otlp_event {
    uint64_t time_ns;
    struct str name;
    struct otlp_attributes attributes;
    uint64_t dropped_attributes;
};

struct otlp_link {
    struct str trace_id, span_id, trace_state;
    struct otlp_attributes attributes;
    uint64_t dropped_attributes, flags;
};

struct otlp_span {
    struct str trace_id, span_id, parent_span_id; /* bytes */
    struct str trace_state, name;
    uint64_t flags, kind;
    uint64_t start_ns, end_ns; /* since 1970 */
    struct otlp_attributes attributes;
    struct otlp_list events; /* struct otlp_event */
    struct otlp_list links;  /* struct otlp_link */
    uint64_t dropped_attributes, dropped_events, dropped_links;
    struct otlp_status status;
};

struct otlp_log {
    uint64_t time_ns, observed_ns;
    uint64_t severity_number;
    struct str severity_text, event_name;
    struct otlp_value body;
    struct otlp_attributes attributes;
    uint64_t dropped_attributes, flags;
    struct str trace_id, span_id;
};

/* A point of any kind of metric: `seen` says what is there. */
enum otlp_seen {
    OTLP_SEEN_DOUBLE = 1 << 0,
    OTLP_SEEN_INT = 1 << 1,
    OTLP_SEEN_SUM = 1 << 2,
    OTLP_SEEN_MIN = 1 << 3,
    OTLP_SEEN_MAX = 1 << 4,
};

struct otlp_buckets {
    int64_t offset;
    struct otlp_numbers counts;
};

struct otlp_quantile {
    double quantile, value;
};

struct otlp_point {
    uint64_t seen; /* bits of otlp_seen */
    struct otlp_attributes attributes;
    uint64_t start_ns, time_ns;
    double as_double;
    int64_t as_int;
    uint64_t count, zero_count, flags;
    double sum, min, max, zero_threshold;
    struct otlp_numbers bucket_counts, bounds;
    int64_t scale;
    struct otlp_buckets positive, negative;
    struct otlp_list quantiles; /* struct otlp_quantile */
};

struct otlp_points {
    struct otlp_list points; /* struct otlp_point */
    uint64_t temporality;    /* 0 unspecified, 1 delta, 2 cumulative */
    bool monotonic;
};

/* One of the five has points. */
struct otlp_metric {
    struct str name, description, unit;
    struct otlp_points gauge, sum, histogram, exponential, summary;
};

/* ---- Reading ---- */

struct otlp_item {
    const struct otlp_resource *resource; /* never NULL */
    const struct otlp_scope *scope;
    struct str raw; /* its text, for otlp_…_read */
    enum otlp_form form;
};

/* Gives every item of a request to fn; an error of fn ends it. Resources and scopes are made in the
 * arena `lasting`. ERR_INVALID, ERR_TRUNCATED: not such a request; *detail says why. */
MUST_CHECK enum err otlp_read(enum otlp_signal signal, enum otlp_form form, struct str request,
                              struct arena *lasting,
                              enum err (*fn)(void *arg, const struct otlp_item *item), void *arg,
                              struct buf *detail);
/* One item, made in the arena. ERR_INVALID, ERR_TRUNCATED; ERR_TOO_LARGE: past invariant 2. */
MUST_CHECK enum err otlp_span_read(const struct otlp_item *item, struct arena *a,
                                   struct otlp_span *ret_span);
MUST_CHECK enum err otlp_log_read(const struct otlp_item *item, struct arena *a,
                                  struct otlp_log *ret_log);
MUST_CHECK enum err otlp_metric_read(const struct otlp_item *item, struct arena *a,
                                     struct otlp_metric *ret_metric);

/* ---- Answering ---- */

/* An answer to a request: whole when rejected is 0. */
void otlp_answer_write(enum otlp_signal signal, enum otlp_form form, uint64_t rejected,
                       struct str why, struct buf *out);
/* An error: google.rpc.Status. code: of google.rpc.Code. */
void otlp_status_write(enum otlp_form form, int code, struct str message, struct buf *out);
/* The code of google.rpc.Code for an HTTP status. */
int otlp_status_code(int http_status);

#endif
