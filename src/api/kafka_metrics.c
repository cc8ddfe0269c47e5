/* /metrics: the Kafka listener and how far its consumers are behind. */
#include "api/api_int.h"
#include "kafka/server.h"

enum { LAG_SAMPLES_MAX = 20000 /* further partitions of groups are left out */ };

static void metric(struct buf *b, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    buf_printf(b, "# HELP weir_kafka_%s %s\n# TYPE weir_kafka_%s %s\nweir_kafka_%s %llu\n", name,
               help, name, type, name, (unsigned long long)value);
}

struct lag_samples {
    struct buf *b;
    size_t count;
};

/* A group's name is whatever a client says: what would break the line is left out. */
static void append_label(struct buf *b, struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] >= 0x20 && text.ptr[i] != '"' && text.ptr[i] != '\\')
            buf_append_char(b, text.ptr[i]);
}

static void sample(void *arg, const struct kafka_lag *lag)
{
    struct lag_samples *s = arg;
    if (s->count++ >= LAG_SAMPLES_MAX)
        return;
    buf_append_str(s->b, STR("weir_kafka_consumer_lag{group=\""));
    append_label(s->b, lag->group);
    buf_append_str(s->b, STR("\",topic=\""));
    append_label(s->b, lag->topic);
    buf_printf(s->b, "\",partition=\"%d\"} %lld\n", (int)lag->partition, (long long)lag->behind);
}

void api_kafka_metrics(struct buf *b, const struct kafka_server *server)
{
    struct kafka_stats s;
    struct lag_samples samples = {b, 0};
    kafka_server_stats(server, &s);
    metric(b, "connections", "gauge", "Connections open.", s.connections);
    metric(b, "connections_total", "counter", "Connections accepted.", s.connections_total);
    metric(b, "requests_total", "counter", "Requests begun.", s.requests);
    metric(b, "bytes_in_total", "counter", "Bytes received.", s.bytes_in);
    metric(b, "bytes_out_total", "counter", "Bytes sent.", s.bytes_out);
    metric(b, "closed_for_cause_total", "counter",
           "Connections closed for a wrong request, a wrong key or a limit.", s.closed_for_cause);
    buf_append_str(b, STR("# HELP weir_kafka_consumer_lag Records between a group's committed "
                          "offset and the end.\n"
                          "# TYPE weir_kafka_consumer_lag gauge\n"));
    kafka_server_lag(server, sample, &samples);
}
