/* The HTTP APIs over one listener: /v1 (OpenAI, Anthropic, OTLP), /api/v1 (native), /health,
 * /metrics.
 *
 * Every route is a row of one table (router.c): method, path, who may, and a function. The key is
 * looked up when the head has come, so that a stranger's body is never read. Runs on the exchange's
 * loop, whose user pointer (loop_set_user) is its struct gateway_loop. */
#ifndef WEIR_API_API_H
#define WEIR_API_API_H

#include "net/http_server.h"

struct alerts;
struct api;
struct gateway;
struct kafka_server;
struct telemetry;
struct traces;
struct view;

/* The gateway outlives it. */
struct api *api_new(struct gateway *gateway);
/* The view that answers /api/v1/stats and finds calls; outlives it. Without one the log is read.
 * Before the loops run. */
void api_set_view(struct api *api, struct view *view);
/* The view that finds spans, scores and sessions; as the other one. */
void api_set_traces(struct api *api, struct traces *traces);
/* Where OTLP and scores go; outlives it. Before the loops run. */
void api_set_telemetry(struct api *api, struct telemetry *telemetry);
/* For /api/v1/alerts; outlives it. Before the loops run. */
void api_set_alerts(struct api *api, struct alerts *alerts);
void api_free(struct api *api);
struct http_handler api_handler(struct api *api);
/* The listener whose connections /metrics counts; before the loops run. */
void api_set_server(struct api *api, const struct http_server *server);
/* The Kafka listener, for /metrics; before the loops run. */
void api_set_kafka(struct api *api, struct kafka_server *server);
/* GET /health says 503 from now on. Any thread. */
void api_set_draining(struct api *api);

#endif
