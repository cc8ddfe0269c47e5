/* /metrics: the Kafka listener and how far its consumers are behind. */
#include "api/api_int.h"
#include "kafka/server.h"

enum { LAG_SAMPLES_MAX = 20000 /* further partitions of groups are left out */ };

struct lag_samples {
    struct buf *b;
    size_t count;
};

static void sample(void *arg, const struct kafka_lag *lag)
{
    struct lag_samples *s = arg;
    if (s->count++ >= LAG_SAMPLES_MAX)
        return;
    buf_append_str(s->b, STR("weir_kafka_consumer_lag{group=\""));
    api_metric_label(s->b, lag->group);
    buf_append_str(s->b, STR("\",topic=\""));
    api_metric_label(s->b, lag->topic);
    buf_printf(s->b, "\",partition=\"%d\"} %lld\n", (int)lag->partition, (long long)lag->behind);
}

void api_kafka_metrics(struct buf *b, const struct kafka_server *server)
{
    struct kafka_stats s;
    struct lag_samples samples = {b, 0};
    kafka_server_stats(server, &s);
    api_metric(b, "weir_kafka_connections", "gauge", "Connections open.", s.connections);
    api_metric(b, "weir_kafka_connections_total", "counter", "Connections accepted.",
               s.connections_total);
    api_metric(b, "weir_kafka_requests_total", "counter", "Requests begun.", s.requests);
    api_metric(b, "weir_kafka_bytes_in_total", "counter", "Bytes received.", s.bytes_in);
    api_metric(b, "weir_kafka_bytes_out_total", "counter", "Bytes sent.", s.bytes_out);
    api_metric(b, "weir_kafka_closed_for_cause_total", "counter",
               "Connections closed for a wrong request, a wrong key or a limit.",
               s.closed_for_cause);
    api_metric_head(b, "weir_kafka_consumer_lag", "gauge",
                    "Records between a group's committed offset and the end.");
    kafka_server_lag(server, sample, &samples);
}
