/* What OTLP brought, and what it took away, for /metrics. */
#include "api/api_int.h"
#include "api/telemetry.h"

void api_telemetry_metrics(struct buf *b, const struct api *api)
{
    struct telemetry *t = api->telemetry;
    api_metric_head(b, "weir_otlp_received_total", "counter", "Items that came by OTLP.");
    for (int i = 0; i < OTLP_SIGNAL_COUNT; i++)
        buf_printf(b, "weir_otlp_received_total{signal=\"%s\"} %llu\n",
                   telemetry_signal_name((enum otlp_signal)i).ptr,
                   (unsigned long long)atomic_load(&t->received[i]));
    api_metric_head(b, "weir_otlp_rejected_total", "counter",
                    "Items of OTLP that were not stored.");
    for (int i = 0; i < OTLP_SIGNAL_COUNT; i++)
        buf_printf(b, "weir_otlp_rejected_total{signal=\"%s\"} %llu\n",
                   telemetry_signal_name((enum otlp_signal)i).ptr,
                   (unsigned long long)atomic_load(&t->rejected[i]));
    int64_t position = atomic_load(&t->out_position);
    if (position < 0)
        return;
    int64_t lag = log_part_end(gateway_calls(api->gateway)) - position;
    api_metric(b, "weir_otlp_out_spans_total", "counter", "Calls that a collector took as spans.",
               atomic_load(&t->out_sent));
    api_metric(b, "weir_otlp_out_refused_total", "counter",
               "Calls that a collector refused for good.", atomic_load(&t->out_refused));
    api_metric(b, "weir_otlp_out_failures_total", "counter",
               "Requests to a collector that failed and are made again.",
               atomic_load(&t->out_failures));
    api_metric(b, "weir_otlp_out_lag", "gauge", "Calls that a collector has not taken yet.",
               lag > 0 ? (uint64_t)lag : 0);
}
