/* The topics of telemetry, and the books of what came.
 *
 *   weir.spans  weir.metrics  weir.logs   what OTLP brought, a record an item
 *   weir.scores                           judgements of calls and spans
 *   weir.ledger                           what was refused as a whole
 *
 * received = stored + rejected, for each key, day and signal, holds by the log alone: the last
 * record of each batch has a header `receipt` that says how many items the batch was made of
 * (ingest.h), and both are written or neither is. What is refused as a whole has no batch: it is a
 * record of weir.ledger; where the log takes no record either, it is counted in memory. */
#ifndef WEIR_API_TELEMETRY_H
#define WEIR_API_TELEMETRY_H

#include <stdatomic.h>

#include "config/config.h"
#include "dialect/otlp/otlp.h"
#include "log/log.h"

struct telemetry {
    struct log *log;
    struct log_part *parts[OTLP_SIGNAL_COUNT];
    struct log_part *scores;
    struct log_part *ledger;
    atomic_uint_fast64_t pending_bytes; /* of requests being stored */
    atomic_uint_fast64_t unwritten;     /* items refused that weir.ledger could not take */
    atomic_uint_fast64_t received[OTLP_SIGNAL_COUNT], rejected[OTLP_SIGNAL_COUNT];
    /* Of the calls that are told to another collector (otlp_out.h). */
    atomic_uint_fast64_t out_sent, out_refused, out_failures; /* spans, spans, requests */
    atomic_int_fast64_t out_position;                         /* offset; -1: it is off */
};

enum { TELEMETRY_PENDING_BYTES_MAX = 128 << 20 }; /* beyond: 503, come again */

MUST_CHECK enum err telemetry_open(struct log *log, const struct config *config, struct buf *detail,
                                   struct telemetry *ret_telemetry);
/* "spans", "metrics", "logs": as topics and the ledger name them. */
struct str telemetry_signal_name(enum otlp_signal signal);
/* So many items of a key were refused together. Any thread; waits for nothing. */
void telemetry_note_refused(struct telemetry *t, enum otlp_signal signal, struct str key,
                            uint64_t items, const char *reason);

#endif
