/* Weir's own calls, told to another collector: a step that reads weir.calls from where it stopped
 * and posts spans by OTLP over HTTP.
 *
 *   weir.calls ─> [a thread: up to 512 calls, some MiB] ─> POST …/v1/traces (protobuf, gzip)
 *                        │ taken ─> position on weir.positions
 *                        └ not taken ─> again, later and later, while the log keeps the calls
 *
 * At least once: a position is on the log after its batch was taken, so a kill between sends that
 * batch again. What a collector refuses for good (400 and the like) is reported, counted, left
 * behind. The first position is the end of the log when the step is configured. */
#ifndef WEIR_API_OTLP_OUT_H
#define WEIR_API_OTLP_OUT_H

#include "api/telemetry.h"
#include "config/config.h"
#include "log/log.h"

struct otlp_out;

struct otlp_out_options {
    struct log *log;
    struct log_part *calls;
    struct telemetry *telemetry; /* gets the counts */
    const struct config *config; /* a reference is taken */
    struct str ca_file;          /* certificates, instead of the system's; empty: the system's */
    void (*report)(void *arg, enum log_severity severity, struct str text);
    void *report_arg;
};

/* *ret_out is NULL where the configuration names no collector. */
MUST_CHECK enum err otlp_out_start(const struct otlp_out_options *options, struct buf *detail,
                                   struct otlp_out **ret_out);
/* Waits for the request under way, some seconds at most. NULL is fine. */
void otlp_out_stop(struct otlp_out *out);

#endif
