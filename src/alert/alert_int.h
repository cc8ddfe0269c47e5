/* Private to src/alert. */
#ifndef WEIR_ALERT_ALERT_INT_H
#define WEIR_ALERT_ALERT_INT_H

#include "alert/alert.h"
#include "base/arena.h"
#include "codec/json_scan.h"
#include "codec/json_write.h"
#include "os/thread.h"

/* ---- facts.c: what a call's record says ---- */

struct alert_facts {
    int64_t end_us; /* when it ended, µs since 1970 */
    struct str model, target, key, endpoint, outcome, user;
    int64_t status;
    int64_t input, output;
    double cost;
    int64_t total_us;
    int64_t first_us;             /* -1: none */
    struct str request, response; /* JSON */
};

/* False: not a call's record. Strings point into the record or the arena. */
bool alert_facts_read(struct str record, struct arena *a, struct alert_facts *ret_facts);
bool alert_facts_pass(const struct alert_facts *f, const struct config_alert_filter *where);
struct str alert_facts_group(const struct alert_facts *f, enum config_alert_by by);

/* ---- window.c: sums over a sliding window ----
 *
 *   now ┤ partial │ 12 slices: the window │ 12 slices: the one before ├ then
 *
 * A slice is a twelfth of the window, so what is summed spans the window and up to a twelfth more.
 */

enum {
    WINDOW_PARTS = 12,
    WINDOW_SLICES = 2 * WINDOW_PARTS + 1,
    WINDOW_SPREAD_BITS = 3,  /* 8 buckets to a power of two: 9 % */
    WINDOW_SPREAD_FIRST = 7, /* all below 2^7 µs are one */
    WINDOW_SPREAD_BUCKETS = (32 - WINDOW_SPREAD_FIRST) << WINDOW_SPREAD_BITS,
};

struct window_slice {
    int64_t number; /* time / slice; what else is in it is of that */
    uint64_t calls, errors, input, output;
    double cost;
    uint32_t *spread; /* NULL: nothing measured */
};

struct window {
    struct window_slice slices[WINDOW_SLICES];
};

struct window_sums {
    uint64_t calls, errors, input, output;
    double cost;
    uint64_t measured; /* in the spread */
    uint32_t spread[WINDOW_SPREAD_BUCKETS];
};

void window_release(struct window *w);
/* measured_us: for the spread; below 0: nothing. */
void window_add(struct window *w, const struct config_alert *alert, const struct alert_facts *f,
                int64_t measured_us);
/* Slices from `from` back on, `count` of them; 0 is the partial one. */
void window_sum(const struct window *w, const struct config_alert *alert, int64_t now_us, int from,
                int count, struct window_sums *ret_sums);
bool window_is_empty(const struct window *w, const struct config_alert *alert, int64_t now_us);
/* Seconds; 0 when nothing was measured. */
double window_percentile(const struct window_sums *sums, int per_mille);

/* ---- rule.c ---- */

struct alert_value {
    double value;
    bool holds;
};

/* Measure a window and compare. */
struct alert_value alert_evaluate(const struct config_alert *alert, const struct window *w,
                                  int64_t now_us);
/* "7.3 %", "1.2 s", "$12.5". */
void alert_value_append(struct buf *b, const struct config_alert *alert, double value);

/* ---- events ---- */

enum alert_event_state { ALERT_FIRING, ALERT_RESOLVED, ALERT_TEST };

struct alert_event {
    const struct config_alert *alert;
    struct str group;
    enum alert_event_state state;
    int64_t time_us, since_us;
    double value;
    bool again; /* told before */
    bool silenced;
};

const char *alert_event_state_name(enum alert_event_state state);
/* "errors: error_rate of model fast is 7.3 % over 5m (error_rate > 5%)" */
void alert_event_summary(const struct alert_event *e, struct buf *text);
/* As on weir.alerts and for webhooks. */
void alert_event_write(const struct alert_event *e, struct buf *json);

/* ---- send.c: telling somebody, once; waits ---- */

struct alert_message {
    struct str summary; /* one line */
    struct str json;    /* the event */
    struct str state;
};

MUST_CHECK enum err alert_send(const struct config_notify *to, const struct alert_message *m,
                               struct str ca_file, struct buf *detail);

/* ---- sender.c: the thread that tells ---- */

struct alert_sender;

struct alert_sender_options {
    struct str ca_file;
    /* What could not be told, or was told; from its thread. */
    void (*done)(void *arg, const struct config_notify *to, struct str alert, enum err error,
                 struct str detail);
    void *arg;
};

MUST_CHECK enum err alert_sender_open(const struct alert_sender_options *options,
                                      struct alert_sender **ret_sender);
void alert_sender_close(struct alert_sender *s);
/* Tell one of config's notify entries; everything is copied. ERR_LIMIT: too many wait. */
MUST_CHECK enum err alert_sender_add(struct alert_sender *s, const struct config *config,
                                     uint32_t to, struct str alert, const struct alert_message *m);

/* ---- engine ---- */

struct alert_group {
    struct alert_group *next; /* of its bucket */
    struct window window;
    bool dirty; /* since it was evaluated */
    bool firing;
    int64_t since_us;
    int64_t told_us;  /* 0: not since it began */
    int64_t false_us; /* while firing: since when it does not hold; 0: it does */
    double value;     /* as evaluated last */
    size_t name_len;
    char name[];
};

enum { ALERT_BUCKETS = 1024 };

struct alert_rule {
    const struct config_alert *config;
    struct alert_group *buckets[ALERT_BUCKETS];
    size_t group_count;
    int64_t silenced_us; /* until then */
};

struct alerts {
    struct log *log;
    struct log_part *calls;
    struct log_part *topic;
    void (*report)(void *arg, enum log_severity severity, struct str text);
    void *report_arg;
    struct buf ca_file;
    struct alert_sender *sender;
    struct os_thread thread;

    struct os_mutex lock; /* for what follows; a leaf */
    struct os_cond wanted;
    bool stopping;
    bool changed; /* the configuration */
    struct config *config;
    struct alert_rule *rules;
    size_t rule_count;
    bool caught_up;
    int64_t started_us; /* the rules, wall clock */
    int64_t swept_us;
    struct alerts_stats stats;

    struct log_cursor *cursor; /* the watcher's */
    struct arena scratch;      /* the watcher's */
};

/* ---- rules.c: rules and groups, under the lock ---- */

void alert_rules_make(struct alerts *a);
void alert_rules_free(struct alerts *a);
struct alert_rule *alert_rule_find(struct alerts *a, struct str name);
/* Made if it is not there. */
struct alert_group *alert_group_get(struct alert_rule *r, struct str name);
void alert_rules_feed(struct alerts *a, const struct alert_facts *f);
/* Evaluate; for each event, emit(arg, event) under the lock. False: there is no room now, so the
 * group stays as it was until the next time. */
void alert_rules_evaluate(struct alerts *a, int64_t now_us,
                          bool (*emit)(void *arg, const struct alert_event *e), void *arg);

/* ---- records.c: weir.alerts ---- */

/* Read all of it into the rules; before they are fed. */
MUST_CHECK enum err alert_records_fold(struct alerts *a);
MUST_CHECK enum err alert_record_append(struct alerts *a, struct str key, struct str json);

#endif
