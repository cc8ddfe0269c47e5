/* Private to src/api. */
#ifndef WEIR_API_API_INT_H
#define WEIR_API_API_INT_H

#include <stdatomic.h>

#include "api/api.h"
#include "call/gateway.h"
#include "codec/json_write.h"
#include "dialect/dialect.h"
#include "dialect/otlp/otlp.h"
#include "model/local/local.h"
#include "state/meters.h"

struct api {
    struct gateway *gateway;
    const struct http_server *server; /* NULL until it listens */
    struct kafka_server *kafka;       /* NULL: off */
    struct view *view;                /* NULL: none */
    struct traces *traces;            /* NULL: none */
    struct telemetry *telemetry;
    struct alerts *alerts; /* NULL: none */
    atomic_bool draining;
    atomic_int watchers; /* events.c */
    int64_t started_wall_us;
};

/* Who may: a route's callers. */
enum api_access {
    API_PUBLIC,
    API_LOOPBACK, /* without a key from this machine, with one from elsewhere */
    API_KEY,
    API_ADMIN,
};

/* A request that has passed the door. In the exchange's arena; gone with its on_done. */
struct api_request {
    struct api *api;
    struct gateway_loop *gl;
    struct loop_settings *settings; /* in use; given back by on_done, unless taken (NULL) */
    const struct key *key;          /* NULL where none was needed */
    struct str presented;           /* as sent: a secret */
    struct str rest;                /* what `*` stood for in the route's path, not decoded */
    const struct api_route *route;
    struct http_exchange *x;
};

struct api_route {
    struct str method;
    struct str path; /* a final '*' stands for anything */
    enum api_access access;
    void (*run)(struct api_request *r);
};

/* ---- respond.c ---- */

void api_json(struct http_exchange *x, int status, struct str body);
/* The language of a client, for what is said before its request is a call: Anthropic's under
 * /v1/messages and for who names a version of its API, else OpenAI's. */
const struct dialect *api_dialect(const struct http_exchange *x);
/* An error in the client's form, of at most 500 bytes; type and code by err. */
void api_error(struct http_exchange *x, int status, enum err err, const char *param,
               const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The same to whoever waits for a key or another method: with one field more. */
void api_error_with(struct http_exchange *x, int status, const struct http_header *more,
                    const struct openai_problem *problem);
/* 503, in OTLP's form: come again after so many seconds. */
void api_otlp_retry(struct http_exchange *x, int seconds, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A query parameter, decoded into the exchange's arena; STR_NONE when absent. */
struct str api_query(struct http_exchange *x, struct str name);
/* Percent-decoding into the arena; invalid escapes stay as they are. */
struct str api_decode(struct arena *a, struct str text);
/* limit, with its bounds; false after answering 400. */
bool api_query_number(struct http_exchange *x, struct str name, uint64_t fallback, uint64_t max,
                      uint64_t *ret_value);
/* The parameter `since`; 0 when absent. False after answering 400. */
bool api_query_since(struct http_exchange *x, int64_t *ret_wall_us);

/* ---- topics.c ---- */

/* The parameter `partition`; false after answering 400 or 404. */
bool api_query_partition(struct http_exchange *x, struct log_topic *topic, uint32_t *ret_partition);

/* ---- status.c ---- */

/* The models of the folder, in the exchange's arena. */
size_t api_local_models(struct api_request *r, struct local_model_info **ret_infos);

/* ---- metrics.c: what all metrics are written with ---- */

/* Prometheus' text: HELP and TYPE, to stand before all samples of that name. */
void api_metric_head(struct buf *b, const char *name, const char *type, const char *help);
/* Head and one sample without labels. */
void api_metric(struct buf *b, const char *name, const char *type, const char *help,
                uint64_t value);
/* A label's value, escaped. */
void api_metric_label(struct buf *b, struct str text);
/* µs as seconds. */
void api_metric_micros(struct buf *b, uint64_t micros);

/* ---- meter_metrics.c, local_metrics.c ---- */

void api_meter_metrics(struct buf *b, const struct meters *m);
/* One histogram's samples. labels: not empty, as they stand between the braces. */
void api_metric_histogram(struct buf *b, const char *name, struct str labels,
                          enum meter_histogram which, const struct meter_sums *sums, bool seconds);
void api_local_metrics(struct buf *b, struct api_request *r);

/* ---- telemetry_metrics.c ---- */

void api_telemetry_metrics(struct buf *b, const struct api *api);

/* ---- otlp.c ---- */

/* Is it for a path of OTLP, whose errors have a form of their own? */
bool api_is_otlp(const struct http_exchange *x);
/* The form of a request, and so of its answer. */
enum otlp_form api_otlp_form(const struct http_exchange *x);
struct str api_otlp_type(enum otlp_form form);

/* ---- targets.c ---- */

/* The member `targets`. */
void api_targets_status(struct json_writer *w, struct gateway *g);
void api_targets_metrics(struct buf *b, struct gateway *g);

/* ---- kafka_metrics.c ---- */

void api_kafka_metrics(struct buf *b, const struct kafka_server *server);

/* ---- the routes ---- */

void api_chat_completions(struct api_request *r);
void api_completions(struct api_request *r);
void api_embeddings(struct api_request *r);
void api_rerank(struct api_request *r);
void api_tokenize(struct api_request *r);
void api_messages(struct api_request *r);
void api_count_tokens(struct api_request *r);
void api_responses(struct api_request *r);
void api_response(struct api_request *r);
void api_response_post(struct api_request *r);
void api_response_delete(struct api_request *r);
void api_otlp_traces(struct api_request *r);
void api_otlp_metrics(struct api_request *r);
void api_otlp_logs(struct api_request *r);
void api_import(struct api_request *r);
void api_import_position(struct api_request *r);
void api_spans(struct api_request *r);
void api_trace(struct api_request *r);
void api_sessions(struct api_request *r);
void api_session(struct api_request *r);
void api_ledger(struct api_request *r);
void api_scores(struct api_request *r);
void api_score_write(struct api_request *r);
void api_score_delete(struct api_request *r);
void api_score_summary(struct api_request *r);
void api_models(struct api_request *r);
void api_model(struct api_request *r);
void api_calls(struct api_request *r);
void api_call(struct api_request *r);
void api_blob(struct api_request *r);
void api_topics(struct api_request *r);
void api_topic(struct api_request *r);
void api_topic_write(struct api_request *r);
void api_native_models(struct api_request *r);
void api_model_action(struct api_request *r);
void api_status(struct api_request *r);
void api_stats(struct api_request *r);
void api_view(struct api_request *r);
void api_view_rebuild(struct api_request *r);
void api_groups(struct api_request *r);
void api_group_move(struct api_request *r);
void api_events(struct api_request *r);
void api_alerts(struct api_request *r);
void api_alert_test(struct api_request *r);
void api_alert_silence(struct api_request *r);
void api_alert_unsilence(struct api_request *r);
void api_openapi(struct api_request *r);
void api_health(struct api_request *r);
void api_metrics(struct api_request *r);
void api_page(struct api_request *r);
void api_page_js(struct api_request *r);
void api_page_css(struct api_request *r);

#endif
