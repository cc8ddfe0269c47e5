/* /metrics: Prometheus' text format 0.0.4. Counts of the gateway, the log, the listeners, the
 * process; those of calls, targets, local models and Kafka stand in files of their own. */
#include <unistd.h>

#include "alert/alert.h"
#include "api/api_int.h"
#include "codec/decimal.h"
#include "log/log.h"
#include "os/process.h"
#include "view/view.h"

/* Far above what CONFIG_MODELS_MAX aliases of some targets and METERS_MAX meters need. */
enum { METRICS_BYTES_MAX = 64 << 20 };

/* ---- What all of them write with ---- */

void api_metric_head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void api_metric(struct buf *b, const char *name, const char *type, const char *help, uint64_t value)
{
    api_metric_head(b, name, type, help);
    buf_printf(b, "%s %llu\n", name, (unsigned long long)value);
}

/* Control characters cannot come from a configuration; from a client they are left out. */
void api_metric_label(struct buf *b, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20)
            continue;
        if (text.ptr[i] == '\\' || text.ptr[i] == '"')
            buf_append_char(b, '\\');
        buf_append_char(b, text.ptr[i]);
    }
}

void api_metric_micros(struct buf *b, uint64_t micros)
{
    char text[DECIMAL_TEXT_BYTES];
    struct decimal value = {(__int128)micros * 1000000000};
    buf_append_str(b, decimal_format(value, text));
}

/* ---- The gateway ---- */

static void call_metrics(struct buf *b, struct gateway *g)
{
    struct gateway_totals t;
    gateway_count(g, &t);
    buf_printf(b, "# HELP weir_calls_total Calls ended, by outcome.\n"
                  "# TYPE weir_calls_total counter\n");
    buf_printf(b, "weir_calls_total{outcome=\"ok\"} %llu\n", (unsigned long long)t.calls_ok);
    buf_printf(b, "weir_calls_total{outcome=\"error\"} %llu\n", (unsigned long long)t.calls_error);
    buf_printf(b, "weir_calls_total{outcome=\"cancelled\"} %llu\n",
               (unsigned long long)t.calls_cancelled);
    buf_printf(b, "weir_calls_total{outcome=\"refused\"} %llu\n",
               (unsigned long long)t.calls_refused);
    buf_printf(b, "weir_calls_total{outcome=\"cached\"} %llu\n",
               (unsigned long long)t.calls_cached);
    api_metric(b, "weir_calls_open", "gauge", "Calls under way.", t.open_calls);
    api_metric(b, "weir_attempts_total", "counter", "Attempts at targets.", t.attempts);
    api_metric(b, "weir_attempts_failed_total", "counter",
               "Attempts that failed before their answer.", t.attempts_failed);
    api_metric(b, "weir_input_tokens_total", "counter", "Input tokens of ended calls.",
               t.tokens_input);
    api_metric(b, "weir_output_tokens_total", "counter", "Output tokens of ended calls.",
               t.tokens_output);
    api_metric(b, "weir_unauthorized_total", "counter", "Requests without a valid key.",
               t.unauthorized);
    api_metric(b, "weir_calls_unrecorded_total", "counter",
               "Calls whose record could not be written.", t.unrecorded);
}

/* One sample for each model that has a cache. */
static void cache_metric(struct buf *b, const struct settings *s, const char *name,
                         const char *type, const char *help, size_t offset)
{
    bool first = true;
    for (size_t i = 0; i < s->config->model_count; i++) {
        if (!s->caches[i])
            continue;
        struct cache_stats stats = cache_stats(s->caches[i]);
        if (first)
            buf_printf(b, "# HELP weir_cache_%s %s\n# TYPE weir_cache_%s %s\n", name, help, name,
                       type);
        first = false;
        buf_printf(b, "weir_cache_%s{model=\"%.*s\"} %llu\n", name,
                   STR_ARG(s->config->models[i].name),
                   (unsigned long long)*(uint64_t *)(void *)((char *)&stats + offset));
    }
}

static void cache_metrics(struct buf *b, const struct settings *s)
{
    cache_metric(b, s, "entries", "gauge", "Answers kept.", offsetof(struct cache_stats, entries));
    cache_metric(b, s, "bytes", "gauge", "Memory of answers kept.",
                 offsetof(struct cache_stats, bytes));
    cache_metric(b, s, "hits_total", "counter", "Answers replayed.",
                 offsetof(struct cache_stats, hits));
    cache_metric(b, s, "shared_total", "counter", "Calls that followed an equal one under way.",
                 offsetof(struct cache_stats, shared));
    cache_metric(b, s, "misses_total", "counter", "Calls that went to a target.",
                 offsetof(struct cache_stats, misses));
    cache_metric(b, s, "evicted_total", "counter", "Answers removed to make room.",
                 offsetof(struct cache_stats, evicted));
}

static void log_metrics(struct buf *b, struct log *log)
{
    struct log_stats s;
    uint64_t used;
    uint64_t quota;
    log_stats(log, &s);
    log_quota_usage(log, &used, &quota);
    api_metric(b, "weir_log_appends_total", "counter", "Records acknowledged.", s.appends);
    api_metric(b, "weir_log_append_errors_total", "counter", "Records not taken.", s.append_errors);
    api_metric(b, "weir_log_batches_total", "counter", "Batches written.", s.batches);
    api_metric(b, "weir_log_bytes_total", "counter", "Bytes written to segments.", s.bytes);
    api_metric(b, "weir_log_syncs_total", "counter", "fdatasync calls.", s.syncs);
    api_metric_head(b, "weir_log_sync_seconds_total", "counter", "Time in fdatasync.");
    buf_append_str(b, STR("weir_log_sync_seconds_total "));
    api_metric_micros(b, s.sync_us);
    buf_append_char(b, '\n');
    api_metric(b, "weir_log_segments_evicted_total", "counter", "Segments removed to make room.",
               s.segments_evicted);
    api_metric(b, "weir_log_segments_expired_total", "counter", "Segments removed by retention.",
               s.segments_expired);
    api_metric(b, "weir_log_damaged_total", "counter", "Damaged ranges met.", s.damaged);
    api_metric(b, "weir_log_pending_bytes", "gauge", "Accepted and not yet written.",
               s.pending_bytes);
    api_metric(b, "weir_data_bytes", "gauge", "Bytes of the data folder.", used);
    api_metric(b, "weir_data_quota_bytes", "gauge", "Quota of the data folder; 0: none.", quota);
}

static void cluster_metrics(struct buf *b, struct log *log)
{
    struct log_cluster_info c;
    if (!log_cluster_describe(log, &c))
        return;
    api_metric(b, "weir_cluster_reached", "gauge",
               "Records reach the Kafka cluster; 0: they are spooled.", c.reached);
    api_metric(b, "weir_cluster_spool_records", "gauge", "Records that wait for a broker.",
               c.spool_records);
    api_metric(b, "weir_cluster_spool_bytes", "gauge", "Bytes that wait for a broker.",
               c.spool_bytes);
    api_metric(b, "weir_cluster_spool_max_bytes", "gauge", "log.spool.", c.spool_max_bytes);
    api_metric(b, "weir_cluster_delivered_total", "counter", "Records that the cluster has taken.",
               c.delivered);
    api_metric(b, "weir_cluster_refused_total", "counter",
               "Records that the cluster will never take.", c.refused);
}

static void connection_metrics(struct buf *b, const struct http_server *server)
{
    struct http_server_stats s;
    http_server_stats(server, &s);
    api_metric(b, "weir_http_connections", "gauge", "Connections open.", s.connections);
    api_metric(b, "weir_http_connections_total", "counter", "Connections accepted.",
               s.connections_total);
    api_metric(b, "weir_http_requests_total", "counter", "Requests begun.", s.exchanges_total);
    api_metric(b, "weir_http_bad_requests_total", "counter",
               "Requests that are not HTTP, or past a limit.", s.bad_requests);
    api_metric(b, "weir_http_clients_gone_total", "counter",
               "Clients that left before their answer was whole.", s.gone);
}

static void process_metrics(struct buf *b, int64_t started_wall_us)
{
    struct os_process_usage usage;
    if (os_process_usage((uint32_t)getpid(), &usage) != ERR_OK)
        return;
    api_metric_head(b, "process_cpu_seconds_total", "counter", "CPU time, user and system.");
    buf_append_str(b, STR("process_cpu_seconds_total "));
    api_metric_micros(b, usage.cpu_us);
    buf_append_char(b, '\n');
    api_metric(b, "process_resident_memory_bytes", "gauge", "Resident memory.", usage.rss_bytes);
    api_metric(b, "process_open_fds", "gauge", "Open files and sockets.", usage.open_files);
    api_metric(b, "process_start_time_seconds", "gauge", "When it started, since 1970.",
               (uint64_t)(started_wall_us / 1000000));
    api_metric_head(b, "weir_info", "gauge", "Always 1; the label says which version this is.");
    buf_printf(b, "weir_info{version=\"%s\"} 1\n", WEIR_VERSION);
}

static void view_metrics(struct buf *b, struct view *view)
{
    struct view_state s;
    view_state(view, &s);
    api_metric(b, "weir_view_lag_records", "gauge", "Calls on the log that are not folded yet.",
               s.end_offset > s.next_offset ? (uint64_t)(s.end_offset - s.next_offset) : 0);
    api_metric(b, "weir_view_bytes", "gauge", "Bytes of the view's database.", s.bytes);
    api_metric(b, "weir_view_failed", "gauge", "1: the view's database cannot be written.",
               s.failed);
}

static void alert_metrics(struct buf *b, struct alerts *alerts)
{
    struct alerts_stats s;
    alerts_stats(alerts, &s);
    api_metric(b, "weir_alerts", "gauge", "Alerts configured.", s.alerts);
    api_metric(b, "weir_alerts_firing", "gauge", "Groups of calls whose alert holds.", s.firing);
    api_metric(b, "weir_alert_events_total", "counter", "Beginnings and ends.", s.events);
    api_metric_head(b, "weir_alert_notifications_total", "counter", "Messages of alerts.");
    buf_printf(b,
               "weir_alert_notifications_total{result=\"told\"} %llu\n"
               "weir_alert_notifications_total{result=\"failed\"} %llu\n",
               (unsigned long long)s.told, (unsigned long long)s.failed);
}

void api_metrics(struct api_request *r)
{
    struct buf body BUF_AUTO;
    const struct api *api = r->api;
    buf_init(&body, METRICS_BYTES_MAX);
    call_metrics(&body, api->gateway);
    api_meter_metrics(&body, gateway_meters(api->gateway));
    api_local_metrics(&body, r);
    cache_metrics(&body, r->settings->shared);
    api_targets_metrics(&body, api->gateway);
    log_metrics(&body, gateway_log(api->gateway));
    cluster_metrics(&body, gateway_log(api->gateway));
    if (api->server)
        connection_metrics(&body, api->server);
    if (api->kafka)
        api_kafka_metrics(&body, api->kafka);
    if (api->view)
        view_metrics(&body, api->view);
    if (api->alerts)
        alert_metrics(&body, api->alerts);
    api_telemetry_metrics(&body, api);
    process_metrics(&body, api->started_wall_us);
    http_respond(r->x, 200, STR("text/plain; version=0.0.4; charset=utf-8"), buf_str(&body));
}
