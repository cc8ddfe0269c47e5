/* Alerts: conditions over calls, watched behind the log; who is told when one begins to hold, and
 * when it ends.
 *
 *   weir.calls ── watcher thread ── facts ──> windows by alert and group ── evaluate ─┐
 *                                                                                    v
 *   weir.alerts <── events, silences, deliveries that failed      sender thread ──> webhook, mail
 *
 * 1. Calls come from the log itself, so an alert needs no view, and after a start its windows are
 *    filled from what the log has of them.
 * 2. Which alerts hold, and which are silenced, is the fold of weir.alerts: a restart tells nobody
 *    twice. An event is on the log before anybody is told.
 * 3. A group (a model, a key, a user…) that is told of once is told of again when its `repeat` has
 *    passed, or when it has ended and begun anew. It has ended when the condition has been false
 *    for a twelfth of the window.
 * 4. Nothing here is waited for by a call.
 *
 * Any thread, unless said otherwise. */
#ifndef WEIR_ALERT_ALERT_H
#define WEIR_ALERT_ALERT_H

#include "base/buf.h"
#include "config/config.h"
#include "log/log.h"

struct alerts;

enum {
    ALERT_GROUPS_MAX = 10000,      /* of one alert; further calls go to the group "(other)" */
    ALERT_SPREAD_GROUPS_MAX = 500, /* of one that measures percentiles */
    ALERT_GROUP_BYTES = 128,       /* longer names are cut */
    ALERT_JOBS_MAX = 1000,         /* waiting to be told; further ones are dropped and recorded */
    ALERT_TRIES = 4,               /* to tell somebody, over a minute */
};

struct alerts_options {
    struct log *log;
    struct log_part *calls;
    struct config *config; /* a reference is taken */
    struct str ca_file;    /* PEM, instead of the system's; empty */
    /* One line, key=value; from the threads here. May be NULL. */
    void (*report)(void *arg, enum log_severity severity, struct str text);
    void *report_arg;
};

/* Opens weir.alerts and starts the threads; they sleep as long as there is no alert. */
MUST_CHECK enum err alerts_open(const struct alerts_options *options, struct buf *detail,
                                struct alerts **ret_alerts);
/* Before the log is closed; waits for what is being sent, some seconds at most. NULL is fine. */
void alerts_close(struct alerts *a);
/* Another configuration: windows are filled anew. */
void alerts_configure(struct alerts *a, struct config *config);

/* All alerts with their groups, as JSON. */
void alerts_write(struct alerts *a, struct buf *json);
/* Be quiet about an alert until then (µs since 1970; 0: from now on speak again). Waits for the
 * log. ERR_NOT_FOUND: there is no such alert. */
MUST_CHECK enum err alerts_silence(struct alerts *a, struct str name, int64_t until_us,
                                   struct str actor);
/* Tell all that the alert would tell that this is a test, now; how it went, as JSON. Waits for
 * them. ERR_NOT_FOUND. */
MUST_CHECK enum err alerts_test(struct alerts *a, struct str name, struct buf *json);

struct alerts_stats {
    uint64_t alerts;
    uint64_t firing; /* groups */
    uint64_t events;
    uint64_t told;
    uint64_t failed; /* could not be told */
};
void alerts_stats(struct alerts *a, struct alerts_stats *ret_stats);

#endif
