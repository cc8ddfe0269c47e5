/* Items of OTLP as records of the log: JSON, drawn in docs/telemetry.md. */
#ifndef WEIR_DIALECT_OTLP_RECORD_H
#define WEIR_DIALECT_OTLP_RECORD_H

#include "codec/decimal.h"
#include "dialect/otlp/normal.h"

/* What the receiver knows beside what came. */
struct otlp_envelope {
    struct str key; /* name of the sender's key */
    /* Of a span, where it is known; amount.len 0: not. */
    struct str cost_amount, cost_currency, cost_prices;
};

/* Why a span cannot be kept; NULL: it can. */
const char *otlp_span_wrong(const struct otlp_span *span);
void otlp_span_record_write(const struct otlp_item *item, const struct otlp_span *span,
                            const struct gen_ai *g, const struct otlp_envelope *envelope,
                            struct arena *a, struct buf *json);
void otlp_log_record_write(const struct otlp_item *item, const struct otlp_log *log,
                           const struct otlp_envelope *envelope, struct buf *json);
void otlp_metric_record_write(const struct otlp_item *item, const struct otlp_metric *metric,
                              const struct otlp_envelope *envelope, struct buf *json);
/* Data points of a metric. */
size_t otlp_metric_points(const struct otlp_metric *metric);
/* Lower-case hexadecimal, in the arena. */
struct str otlp_hex(struct str bytes, struct arena *a);

#endif
