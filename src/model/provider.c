/* One use is one fetch: the request's parts go out as they are, the answer's bytes come back as
 * they are. Only the head of the request is made here. */
#include "model/provider.h"

#include "base/arena.h"
#include "base/assert.h"
#include "base/mem.h"
#include "os/clock.h"

enum {
    OWN_HEADERS = 6, /* content-type, accept, user-agent, credential, version, traceparent */
    CONFIGURED_HEADERS_MAX = 32,
};

struct provider_driver {
    struct http_client *client;
    struct http_origin *origin;
    struct http_timeouts timeouts;
    enum provider_kind kind;
    struct str base_path;
    struct str api_version;
    struct str key;    /* empty: none */
    struct str bearer; /* "Bearer KEY", or empty */
    struct http_header *headers;
    size_t header_count;
    struct arena memory;
};

struct provider_use {
    struct model_use use;
    struct model_events events;
    void *arg;
    struct http_fetch *fetch; /* NULL once it is over */
    bool answered;            /* on_head came */
    struct model_timing timing;
};

/* An HTTP date (RFC 9110 §5.6.7, the form that is to be sent), as milliseconds from now. */
static int64_t until_date_ms(struct str date)
{
    char text[32];
    struct tm tm = {.tm_sec = 0};
    if (date.len >= sizeof text)
        return -1;
    memcpy(text, date.ptr, date.len);
    text[date.len] = 0;
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (!end || *end)
        return -1;
    int64_t ms = (int64_t)timegm(&tm) * 1000 - os_wall_us() / 1000;
    return ms < 0 ? 0 : ms;
}

static int64_t retry_after_ms(const struct http_headers *headers)
{
    uint64_t number;
    struct str ms = http_headers_get(headers, STR("retry-after-ms"));
    struct str seconds = http_headers_get(headers, STR("retry-after"));
    if (str_to_u64(ms, &number) == ERR_OK && number < 86400000)
        return (int64_t)number;
    if (str_to_u64(seconds, &number) == ERR_OK && number < 86400)
        return (int64_t)number * 1000;
    return seconds.len ? until_date_ms(seconds) : -1;
}

static void take_timing(struct provider_use *u)
{
    struct http_fetch_stats stats;
    if (!u->fetch)
        return;
    http_fetch_stats(u->fetch, &stats);
    u->timing.connect_us = stats.connect_us;
    u->timing.first_byte_us = stats.first_byte_us;
    u->timing.bytes_out = stats.bytes_out;
    u->timing.bytes_in = stats.bytes_in;
    u->timing.reused = stats.reused;
    u->timing.resent = stats.resent;
}

static void finish(struct provider_use *u)
{
    take_timing(u);
    u->timing.end_us = os_now_us();
    u->fetch = NULL;
}

static void on_head(struct http_fetch *fetch, const struct http_response *response, void *arg)
{
    struct provider_use *u = arg;
    (void)fetch;
    u->answered = true;
    struct model_head head = {
        .status = response->status,
        .content_type = http_headers_get(&response->headers, STR("content-type")),
        .retry_after_ms = retry_after_ms(&response->headers),
        .headers = &response->headers,
    };
    u->events.on_head(u->arg, &head);
}

static void on_body(struct http_fetch *fetch, struct str bytes, void *arg)
{
    struct provider_use *u = arg;
    (void)fetch;
    u->events.on_body(u->arg, bytes);
}

static void on_end(struct http_fetch *fetch, void *arg)
{
    struct provider_use *u = arg;
    (void)fetch;
    finish(u);
    u->events.on_end(u->arg);
}

static enum model_phase phase_of(const struct provider_use *u, const struct http_failure *failure)
{
    if (u->answered)
        return MODEL_PHASE_BODY;
    switch (failure->phase) {
    case HTTP_PHASE_WAIT:
    case HTTP_PHASE_DNS:
    case HTTP_PHASE_CONNECT:
    case HTTP_PHASE_PROXY:
    case HTTP_PHASE_TLS: return MODEL_PHASE_CONNECT;
    case HTTP_PHASE_SEND: return MODEL_PHASE_SEND;
    case HTTP_PHASE_FIRST_BYTE:
    case HTTP_PHASE_HEAD: return MODEL_PHASE_FIRST_BYTE;
    case HTTP_PHASE_BODY: break;
    }
    return MODEL_PHASE_BODY;
}

static void on_fail(struct http_fetch *fetch, const struct http_failure *failure, void *arg)
{
    struct provider_use *u = arg;
    (void)fetch;
    enum model_phase phase = phase_of(u, failure);
    finish(u);
    u->events.on_fail(u->arg, failure->error, phase, failure->detail);
}

static const struct http_fetch_events fetch_events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
    .on_fail = on_fail,
};

/* The one credential that a target gets. */
static struct http_header credential(const struct provider_driver *d, struct str endpoint)
{
    switch (d->kind) {
    case PROVIDER_AZURE: return HTTP_HEADER("api-key", d->key);
    case PROVIDER_ANTHROPIC: return HTTP_HEADER("x-api-key", d->key);
    case PROVIDER_GEMINI:
        if (str_eq(endpoint, STR("/generateContent")))
            return HTTP_HEADER("x-goog-api-key", d->key);
        break;
    case PROVIDER_OPENAI: break;
    }
    return HTTP_HEADER("authorization", d->bearer);
}

/* Anthropic refuses a request without a version: where the caller named none, the one that its
 * documentation names. */
static bool lacks_version(const struct provider_driver *d, const struct model_request *request)
{
    static const struct str name = STR_INIT("anthropic-version");
    struct http_headers given = {request->headers, request->header_count};
    struct http_headers configured = {d->headers, d->header_count};
    return d->kind == PROVIDER_ANTHROPIC && !http_headers_get(&given, name).ptr &&
           !http_headers_get(&configured, name).ptr;
}

/* May a header of the caller's go? Not where the configuration says what it is to be. */
static bool is_configured(const struct provider_driver *d, struct str name)
{
    struct http_headers configured = {d->headers, d->header_count};
    return http_headers_get(&configured, name).ptr;
}

static size_t write_headers(const struct provider_driver *d, const struct model_request *request,
                            struct http_header *headers)
{
    size_t n = 0;
    headers[n++] = HTTP_HEADER("content-type", STR("application/json"));
    headers[n++] =
        HTTP_HEADER("accept", request->stream ? STR("text/event-stream") : STR("application/json"));
    headers[n++] = HTTP_HEADER("user-agent", STR("weir/" WEIR_VERSION));
    if (d->key.len)
        headers[n++] = credential(d, request->endpoint);
    if (lacks_version(d, request))
        headers[n++] = HTTP_HEADER("anthropic-version", STR("2023-06-01"));
    if (request->traceparent.len)
        headers[n++] = HTTP_HEADER("traceparent", request->traceparent);
    for (size_t i = 0; i < request->header_count; i++)
        if (!is_configured(d, request->headers[i].name))
            headers[n++] = request->headers[i];
    for (size_t i = 0; i < d->header_count; i++)
        headers[n++] = d->headers[i];
    return n;
}

/* The provider's total bounds an attempt, the call's deadline all of them: the nearer one counts.
 */
static uint64_t total_ms(const struct provider_driver *d, const struct model_request *request)
{
    uint64_t total = d->timeouts.total_ms;
    if (!request->deadline_us)
        return total;
    uint64_t now_us = os_now_us();
    uint64_t left_ms =
        request->deadline_us > now_us ? (request->deadline_us - now_us + 999) / 1000 : 0;
    left_ms = left_ms ? left_ms : 1;
    return total && total < left_ms ? total : left_ms;
}

static enum err start(void *driver, const struct model_request *request,
                      const struct model_events *events, void *arg, struct model_use **ret_use)
{
    struct provider_driver *d = driver;
    struct http_header headers[OWN_HEADERS + MODEL_HEADERS_MAX + CONFIGURED_HEADERS_MAX];
    struct buf path BUF_AUTO;
    buf_init(&path, PROVIDER_PATH_BYTES_MAX);
    TRY(provider_path_write(d->kind, d->base_path, d->api_version, request, &path));
    ASSERT(request->header_count <= MODEL_HEADERS_MAX);

    struct http_request fetch = {
        .origin = d->origin,
        .method = STR("POST"),
        .path = buf_str(&path),
        .headers = headers,
        .header_count = write_headers(d, request, headers),
        .body = request->body,
        .body_count = request->body_parts,
        .timeouts = d->timeouts,
        .retry_stale = true,
    };
    fetch.timeouts.total_ms = total_ms(d, request);
    struct provider_use *u = NEW(struct provider_use);
    u->use.ops = provider_driver_target(d).ops;
    u->events = *events;
    u->arg = arg;
    u->timing.started_us = os_now_us();
    enum err err = http_client_start(d->client, &fetch, &fetch_events, u, &u->fetch);
    if (err != ERR_OK) {
        mem_free(u);
        return err;
    }
    *ret_use = &u->use;
    return ERR_OK;
}

static void cancel(struct model_use *use)
{
    struct provider_use *u = (struct provider_use *)use;
    struct http_fetch *fetch = u->fetch;
    if (!fetch)
        return;
    finish(u);
    http_fetch_cancel(fetch);
}

static void pause(struct model_use *use)
{
    struct provider_use *u = (struct provider_use *)use;
    if (u->fetch)
        http_fetch_pause(u->fetch);
}

static void resume(struct model_use *use)
{
    struct provider_use *u = (struct provider_use *)use;
    if (u->fetch)
        http_fetch_resume(u->fetch);
}

static void timing(const struct model_use *use, struct model_timing *ret_timing)
{
    struct provider_use *u = (struct provider_use *)use;
    take_timing(u);
    *ret_timing = u->timing;
}

static void release(struct model_use *use)
{
    cancel(use);
    mem_free(use);
}

static const struct model_ops ops = {
    .start = start,
    .cancel = cancel,
    .pause = pause,
    .resume = resume,
    .timing = timing,
    .release = release,
};

struct model_target provider_driver_target(struct provider_driver *driver)
{
    return (struct model_target){.ops = &ops, .driver = driver};
}

static enum err copy_headers(struct provider_driver *d, const struct provider_options *options)
{
    if (options->header_count > CONFIGURED_HEADERS_MAX)
        return ERR_TOO_LARGE;
    d->headers = ARENA_ARRAY(&d->memory, struct http_header, options->header_count + 1);
    for (size_t i = 0; i < options->header_count; i++) {
        if (!http_header_valid(&options->headers[i]))
            return ERR_INVALID;
        d->headers[i].name = arena_str(&d->memory, options->headers[i].name);
        d->headers[i].value = arena_str(&d->memory, options->headers[i].value);
    }
    d->header_count = options->header_count;
    return ERR_OK;
}

static void copy_key(struct provider_driver *d, struct str key)
{
    static const struct str bearer = STR_INIT("Bearer ");
    if (key.len == 0)
        return;
    char *value = arena_alloc(&d->memory, bearer.len + key.len);
    memcpy(value, bearer.ptr, bearer.len);
    memcpy(value + bearer.len, key.ptr, key.len);
    d->bearer = str_of(value, bearer.len + key.len);
    d->key = str_skip(d->bearer, bearer.len);
}

enum err provider_driver_new(struct http_client *client, const struct provider_options *options,
                             struct provider_driver **ret_driver)
{
    struct provider_driver *d = NEW(struct provider_driver);
    arena_init(&d->memory);
    d->client = client;
    d->kind = options->kind;
    d->timeouts = options->timeouts;
    d->api_version = arena_str(&d->memory, options->api_version);
    d->base_path = arena_str(&d->memory, options->base_path);
    copy_key(d, options->key);
    enum err err = copy_headers(d, options);
    if (err == ERR_OK)
        err = http_origin_open(client, &options->origin, &d->origin);
    if (err != ERR_OK) {
        provider_driver_free(d);
        return err;
    }
    *ret_driver = d;
    return ERR_OK;
}

void provider_driver_free(struct provider_driver *driver)
{
    if (!driver)
        return;
    if (driver->origin)
        http_origin_close(driver->origin);
    arena_release(&driver->memory);
    mem_free(driver);
}
