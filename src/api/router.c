/* The table of routes, and the door before it. */
#include "api/api_int.h"
#include "base/mem.h"
#include "codec/base64.h"
#include "os/clock.h"

static const struct api_route routes[] = {
    {STR_INIT("POST"), STR_INIT("/v1/chat/completions"), API_KEY, api_chat_completions},
    {STR_INIT("POST"), STR_INIT("/v1/completions"), API_KEY, api_completions},
    {STR_INIT("POST"), STR_INIT("/v1/embeddings"), API_KEY, api_embeddings},
    {STR_INIT("POST"), STR_INIT("/v1/rerank"), API_KEY, api_rerank},
    {STR_INIT("POST"), STR_INIT("/api/v1/tokenize"), API_KEY, api_tokenize},
    {STR_INIT("POST"), STR_INIT("/v1/messages"), API_KEY, api_messages},
    {STR_INIT("POST"), STR_INIT("/v1/messages/count_tokens"), API_KEY, api_count_tokens},
    {STR_INIT("POST"), STR_INIT("/v1/responses"), API_KEY, api_responses},
    {STR_INIT("GET"), STR_INIT("/v1/responses/**"), API_KEY, api_response},
    {STR_INIT("POST"), STR_INIT("/v1/responses/**"), API_KEY, api_response_post},
    {STR_INIT("DELETE"), STR_INIT("/v1/responses/**"), API_KEY, api_response_delete},
    {STR_INIT("POST"), STR_INIT("/v1/traces"), API_KEY, api_otlp_traces},
    {STR_INIT("POST"), STR_INIT("/v1/metrics"), API_KEY, api_otlp_metrics},
    {STR_INIT("POST"), STR_INIT("/v1/logs"), API_KEY, api_otlp_logs},
    {STR_INIT("POST"), STR_INIT("/otel/v1/traces"), API_KEY, api_otlp_traces},
    {STR_INIT("POST"), STR_INIT("/otel/v1/metrics"), API_KEY, api_otlp_metrics},
    {STR_INIT("POST"), STR_INIT("/otel/v1/logs"), API_KEY, api_otlp_logs},
    {STR_INIT("POST"), STR_INIT("/api/public/otel/v1/traces"), API_KEY, api_otlp_traces},
    {STR_INIT("POST"), STR_INIT("/api/public/otel/v1/metrics"), API_KEY, api_otlp_metrics},
    {STR_INIT("POST"), STR_INIT("/api/public/otel/v1/logs"), API_KEY, api_otlp_logs},
    {STR_INIT("GET"), STR_INIT("/v1/models"), API_KEY, api_models},
    {STR_INIT("GET"), STR_INIT("/v1/models/**"), API_KEY, api_model},
    {STR_INIT("GET"), STR_INIT("/api/v1/calls"), API_KEY, api_calls},
    {STR_INIT("GET"), STR_INIT("/api/v1/calls/*"), API_KEY, api_call},
    {STR_INIT("POST"), STR_INIT("/api/v1/import"), API_ADMIN, api_import},
    {STR_INIT("GET"), STR_INIT("/api/v1/import"), API_ADMIN, api_import_position},
    {STR_INIT("GET"), STR_INIT("/api/v1/spans"), API_KEY, api_spans},
    {STR_INIT("GET"), STR_INIT("/api/v1/traces/*"), API_KEY, api_trace},
    {STR_INIT("GET"), STR_INIT("/api/v1/sessions"), API_KEY, api_sessions},
    {STR_INIT("GET"), STR_INIT("/api/v1/sessions/*"), API_KEY, api_session},
    {STR_INIT("GET"), STR_INIT("/api/v1/ledger"), API_KEY, api_ledger},
    {STR_INIT("GET"), STR_INIT("/api/v1/scores"), API_KEY, api_scores},
    {STR_INIT("POST"), STR_INIT("/api/v1/scores"), API_KEY, api_score_write},
    {STR_INIT("GET"), STR_INIT("/api/v1/scores/summary"), API_KEY, api_score_summary},
    {STR_INIT("DELETE"), STR_INIT("/api/v1/scores/*"), API_ADMIN, api_score_delete},
    {STR_INIT("GET"), STR_INIT("/api/v1/blobs/*"), API_ADMIN, api_blob},
    {STR_INIT("GET"), STR_INIT("/api/v1/topics"), API_ADMIN, api_topics},
    {STR_INIT("GET"), STR_INIT("/api/v1/topics/*"), API_ADMIN, api_topic},
    {STR_INIT("GET"), STR_INIT("/api/v1/topics/*/records"), API_ADMIN, api_topic},
    {STR_INIT("POST"), STR_INIT("/api/v1/topics/*/records"), API_ADMIN, api_topic_write},
    {STR_INIT("GET"), STR_INIT("/api/v1/models"), API_KEY, api_native_models},
    {STR_INIT("POST"), STR_INIT("/api/v1/models/**"), API_ADMIN, api_model_action},
    {STR_INIT("GET"), STR_INIT("/api/v1/status"), API_ADMIN, api_status},
    {STR_INIT("GET"), STR_INIT("/api/v1/stats"), API_KEY, api_stats},
    {STR_INIT("GET"), STR_INIT("/api/v1/view"), API_ADMIN, api_view},
    {STR_INIT("POST"), STR_INIT("/api/v1/view/rebuild"), API_ADMIN, api_view_rebuild},
    {STR_INIT("GET"), STR_INIT("/api/v1/groups"), API_ADMIN, api_groups},
    {STR_INIT("POST"), STR_INIT("/api/v1/groups/*"), API_ADMIN, api_group_move},
    {STR_INIT("GET"), STR_INIT("/api/v1/events"), API_KEY, api_events},
    {STR_INIT("GET"), STR_INIT("/api/v1/alerts"), API_ADMIN, api_alerts},
    {STR_INIT("POST"), STR_INIT("/api/v1/alerts/*/test"), API_ADMIN, api_alert_test},
    {STR_INIT("POST"), STR_INIT("/api/v1/alerts/*/silence"), API_ADMIN, api_alert_silence},
    {STR_INIT("DELETE"), STR_INIT("/api/v1/alerts/*/silence"), API_ADMIN, api_alert_unsilence},
    {STR_INIT("GET"), STR_INIT("/api/v1/openapi.json"), API_PUBLIC, api_openapi},
    {STR_INIT("GET"), STR_INIT("/health"), API_PUBLIC, api_health},
    {STR_INIT("GET"), STR_INIT("/metrics"), API_LOOPBACK, api_metrics},
    {STR_INIT("GET"), STR_INIT("/"), API_PUBLIC, api_page},
    {STR_INIT("GET"), STR_INIT("/page.js"), API_PUBLIC, api_page_js},
    {STR_INIT("GET"), STR_INIT("/page.css"), API_PUBLIC, api_page_css},
};

enum { ROUTE_COUNT = sizeof routes / sizeof routes[0] };

/* '*' stands for one segment, a final '**' for anything but nothing. What follows from the first of
 * them on is *ret_rest. */
static bool path_matches(struct str pattern, struct str path, struct str *ret_rest)
{
    struct str rest = STR_NONE;
    for (;;) {
        ptrdiff_t star = str_index(pattern, '*');
        if (star < 0) {
            *ret_rest = rest;
            return str_eq(pattern, path);
        }
        if (!str_starts(path, str_take(pattern, (size_t)star)))
            return false;
        path = str_skip(path, (size_t)star);
        pattern = str_skip(pattern, (size_t)star + 1);
        rest = rest.ptr ? rest : path;
        bool all = str_eq(pattern, STR("*"));
        ptrdiff_t slash = str_index(path, '/');
        size_t len = all || slash < 0 ? path.len : (size_t)slash;
        if (!len)
            return false;
        path = str_skip(path, len);
        pattern = all ? STR("") : pattern;
    }
}

/* exact: the path has routes without '*', and those are all it has. */
static void refuse_method(struct http_exchange *x, bool exact)
{
    struct buf allowed BUF_AUTO;
    struct openai_problem problem;
    struct str rest;
    buf_init(&allowed, 256);
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        if (path_matches(routes[i].path, x->path, &rest) && (!exact || !rest.ptr) &&
            str_find(buf_str(&allowed), routes[i].method) < 0)
            buf_printf(&allowed, "%s%s", allowed.len ? ", " : "", routes[i].method.ptr);
    struct http_header allow = HTTP_HEADER("allow", buf_str(&allowed));
    openai_problem_set(&problem, "invalid_request_error", NULL, "method_not_allowed",
                       "%.*s is not offered at %.*s; use %.*s", STR_ARG(str_take(x->method, 16)),
                       STR_ARG(str_take(x->path, 200)), STR_ARG(buf_str(&allowed)));
    api_error_with(x, 405, &allow, &problem);
}

/* NULL after answering 404 or 405. */
static const struct api_route *find_route(struct http_exchange *x, struct str *ret_rest)
{
    bool other = false;
    bool exact = false;
    bool head = str_eq(x->method, STR("HEAD"));
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (!path_matches(routes[i].path, x->path, ret_rest) || (exact && ret_rest->ptr))
            continue;
        if (str_eq(routes[i].method, head ? STR("GET") : x->method))
            return &routes[i];
        other = true;
        exact = !ret_rest->ptr;
    }
    if (other)
        refuse_method(x, exact);
    else
        api_error(x, 404, ERR_NOT_FOUND, NULL,
                  "nothing is served at %.*s: chat is POST /v1/chat/completions or /v1/messages, "
                  "the native API "
                  "is described by GET /api/v1/openapi.json",
                  STR_ARG(str_take(x->path, 200)));
    return NULL;
}

/* The password of "Basic", which is where Langfuse's clients have their secret key. */
static struct str basic_password(const struct http_exchange *x, struct str encoded)
{
    struct buf text BUF_AUTO;
    buf_init(&text, 2 * KEY_PRESENTED_BYTES_MAX);
    if (base64_decode(encoded, &text) != ERR_OK)
        return STR_NONE;
    ptrdiff_t colon = str_index(buf_str(&text), ':');
    return arena_str(x->arena, str_skip(buf_str(&text), colon < 0 ? text.len : (size_t)colon + 1));
}

/* "Authorization: Bearer KEY" as OpenAI's clients send it, "x-api-key: KEY" as Anthropic's do, or
 * "Authorization: Basic". */
static struct str presented_key(const struct http_exchange *x)
{
    struct str value = http_headers_get(&x->headers, STR("authorization"));
    if (str_starts_nocase(value, STR("bearer ")))
        return str_trim(str_skip(value, 7));
    if (str_starts_nocase(value, STR("basic ")))
        return basic_password(x, str_trim(str_skip(value, 6)));
    return http_headers_get(&x->headers, STR("x-api-key"));
}

static void refuse_stranger(struct http_exchange *x, bool presented)
{
    struct openai_problem problem;
    struct http_header authenticate = HTTP_HEADER("www-authenticate", STR("Bearer"));
    openai_problem_set(&problem, "invalid_request_error", NULL, "invalid_api_key", "%s",
                       presented
                           ? "the key is not valid; see `weir serve --help` on keys"
                           : "no key: send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'");
    api_error_with(x, 401, &authenticate, &problem);
}

/* False after answering 401 or 403. */
static bool may_pass(struct api_request *r)
{
    struct http_exchange *x = r->x;
    enum api_access access = r->route->access;
    if (access == API_PUBLIC || (access == API_LOOPBACK && x->is_loopback))
        return true;
    r->presented = presented_key(x);
    r->key = keys_find(r->settings->shared->keys, r->presented);
    if (!r->key) {
        gateway_count_unauthorized(r->gl);
        refuse_stranger(x, r->presented.len > 0);
        return false;
    }
    if (access == API_ADMIN && !r->key->admin) {
        api_error(x, 403, ERR_ACCESS, NULL,
                  "the key '%.*s' is not an admin key, which %.*s %.*s needs",
                  STR_ARG(r->key->name), STR_ARG(x->method), STR_ARG(str_take(x->path, 200)));
        return false;
    }
    return true;
}

static void on_done(struct http_exchange *x)
{
    struct api_request *r = x->user;
    if (r->settings)
        loop_settings_unuse(r->settings);
}

static void on_headers(struct http_exchange *x, void *arg)
{
    struct str rest = STR_NONE;
    const struct api_route *route = find_route(x, &rest);
    if (!route)
        return;
    struct api_request *r = ARENA_NEW(x->arena, struct api_request);
    r->api = arg;
    r->gl = loop_user(x->loop);
    r->settings = gateway_loop_settings_use(r->gl);
    r->rest = rest;
    r->route = route;
    r->x = x;
    x->user = r;
    x->on_done = on_done;
    if (may_pass(r)) {
        size_t limit = (size_t)r->settings->shared->config->limits.body_bytes;
        x->body_bytes_max = limit < x->body_bytes_max ? limit : x->body_bytes_max;
    }
}

static void on_request(struct http_exchange *x, void *arg)
{
    struct api_request *r = x->user;
    (void)arg;
    r->route->run(r);
}

struct api *api_new(struct gateway *gateway)
{
    struct api *api = NEW(struct api);
    api->gateway = gateway;
    api->started_wall_us = os_wall_us();
    return api;
}

void api_free(struct api *api)
{
    mem_free(api);
}

struct http_handler api_handler(struct api *api)
{
    return (struct http_handler){.on_headers = on_headers, .on_request = on_request, .arg = api};
}

void api_set_kafka(struct api *api, struct kafka_server *server)
{
    api->kafka = server;
}

void api_set_server(struct api *api, const struct http_server *server)
{
    api->server = server;
}

void api_set_view(struct api *api, struct view *view)
{
    api->view = view;
}

void api_set_traces(struct api *api, struct traces *traces)
{
    api->traces = traces;
}

void api_set_telemetry(struct api *api, struct telemetry *telemetry)
{
    api->telemetry = telemetry;
}

void api_set_alerts(struct api *api, struct alerts *alerts)
{
    api->alerts = alerts;
}

void api_set_draining(struct api *api)
{
    atomic_store(&api->draining, true);
}
