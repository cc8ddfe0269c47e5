/* POST /v1/traces, /v1/metrics, /v1/logs (and where Langfuse and others send them): OTLP over HTTP,
 * protobuf or JSON, plain or compressed, onto weir.spans, weir.metrics and weir.logs.
 *
 *   loop: form, size ─> worker: unpack, read, normalise, batches, append ─> log ─> loop: answer
 *
 * The answer comes after the append: what it does not name as rejected is on the log. A request
 * that cannot be stored now is answered 503 with Retry-After, as the protocol says a client should
 * be told to come again; what it stored of it is stored again then, and counts once in the views,
 * which know spans by their ids. */
#include <stdio.h>

#include "api/api_int.h"
#include "api/ingest.h"
#include "api/telemetry.h"
#include "base/mem.h"
#include "codec/time.h"
#include "dialect/otlp/record.h"
#include "net/work.h"
#include "os/clock.h"
#include "state/prices.h"

enum { DETAIL_BYTES_MAX = 1024, RETRY_AFTER_S = 1 };

struct otlp_work {
    struct api_request *r;
    enum otlp_signal signal;
    enum otlp_form form;
    bool packed;
    enum compress_codec codec; /* where packed */
    size_t plain_max;          /* bytes */
    struct ingest *ingest;
    struct arena lasting; /* resources and scopes */
    struct arena scratch; /* one item */
    struct buf plain;     /* unpacked */
    uint64_t received, rejected;
    struct buf why; /* the first rejection */
    int status;     /* of a refusal; 0: none */
    struct buf detail;
    struct loop_task stored;
    enum err error; /* of the log */
};

bool api_is_otlp(const struct http_exchange *x)
{
    static const struct str paths[] = {STR_INIT("/v1/traces"), STR_INIT("/v1/metrics"),
                                       STR_INIT("/v1/logs")};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (str_ends(x->path, paths[i]))
            return true;
    return false;
}

static struct str media_type(const struct http_exchange *x)
{
    struct str rest = http_headers_get(&x->headers, STR("content-type"));
    return str_trim(str_split(&rest, ';'));
}

enum otlp_form api_otlp_form(const struct http_exchange *x)
{
    return str_eq_nocase(media_type(x), STR("application/json")) ? OTLP_JSON : OTLP_PROTOBUF;
}

struct str api_otlp_type(enum otlp_form form)
{
    return form == OTLP_JSON ? STR("application/json") : STR("application/x-protobuf");
}

/* ---- Items ---- */

static void reject(struct otlp_work *w, uint64_t items, const char *why)
{
    w->rejected += items;
    ingest_reject(w->ingest, items);
    if (!w->why.len)
        buf_printf(&w->why, "%s", why);
}

/* Providers' names in prices are Weir's own. */
static struct str price_target(const struct gen_ai *g, struct buf *text)
{
    static const struct {
        struct str from, to;
    } names[] = {{STR_INIT("gcp.gemini"), STR_INIT("gemini")},
                 {STR_INIT("gcp.vertex_ai"), STR_INIT("gemini")},
                 {STR_INIT("azure.ai.openai"), STR_INIT("azure")},
                 {STR_INIT("aws.bedrock"), STR_INIT("bedrock")},
                 {STR_INIT("mistral_ai"), STR_INIT("mistral")},
                 {STR_INIT("x_ai"), STR_INIT("xai")}};
    struct str provider = g->text[GEN_PROVIDER];
    struct str model =
        g->text[GEN_RESPONSE_MODEL].len ? g->text[GEN_RESPONSE_MODEL] : g->text[GEN_REQUEST_MODEL];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq(provider, names[i].from))
            provider = names[i].to;
    if (!model.len)
        return STR_NONE;
    buf_printf(text, "%.*s/%.*s", STR_ARG(provider), STR_ARG(model));
    return buf_str(text);
}

/* What it costs at the model that answered, or else at the one that was asked. */
static void price(const struct otlp_work *w, const struct gen_ai *g, char text[DECIMAL_TEXT_BYTES],
                  struct otlp_envelope *envelope)
{
    const struct prices *prices = w->r->settings->shared->prices;
    struct gen_ai asked = *g;
    struct buf target BUF_AUTO;
    struct cost cost;
    buf_init(&target, 1024);
    if (g->usage.source == USAGE_NONE || !gen_ai_is_inference(g))
        return;
    enum err error = prices_cost(prices, price_target(g, &target), &g->usage, &cost);
    if (error != ERR_OK && g->text[GEN_REQUEST_MODEL].len) {
        buf_reset(&target);
        asked.text[GEN_RESPONSE_MODEL] = STR_NONE;
        error = prices_cost(prices, price_target(&asked, &target), &g->usage, &cost);
    }
    if (error != ERR_OK)
        return;
    envelope->cost_amount = decimal_format(cost.amount, text);
    envelope->cost_currency = cost.currency;
    envelope->cost_prices = prices_version(prices);
}

static struct str number_text(uint64_t number, struct arena *a)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    return arena_str(a, str_of(digits, (size_t)len));
}

static size_t span_headers(const struct gen_ai *g, const struct otlp_envelope *envelope,
                           const struct otlp_item *item, struct arena *a,
                           struct record_header *headers)
{
    const struct otlp_value *service = otlp_find(&item->resource->attributes, STR("service.name"));
    struct str model =
        g->text[GEN_RESPONSE_MODEL].len ? g->text[GEN_RESPONSE_MODEL] : g->text[GEN_REQUEST_MODEL];
    size_t n = 0;
    headers[n++] = (struct record_header){STR("key"), envelope->key};
    if (service && service->kind == OTLP_STRING)
        headers[n++] = (struct record_header){STR("service"), service->text};
    if (g->text[GEN_OPERATION].len)
        headers[n++] = (struct record_header){STR("operation"), g->text[GEN_OPERATION]};
    if (model.len)
        headers[n++] = (struct record_header){STR("model"), model};
    if (g->usage.source != USAGE_NONE)
        headers[n++] = (struct record_header){
            STR("tokens"), number_text((uint64_t)(g->usage.input + g->usage.output), a)};
    for (size_t i = 0; i < n; i++) /* they outlive the item */
        headers[i].value = arena_str(a, headers[i].value);
    return n;
}

static void add(struct otlp_work *w, struct str key, const struct record_header *headers,
                size_t count, uint64_t weight)
{
    w->received += weight;
    if (ingest_add(w->ingest, key, headers, count, weight) != ERR_OK)
        reject(w, weight, "it is larger than a record of the log may be (16 MiB)");
}

static void take_span(struct otlp_work *w, const struct otlp_item *item)
{
    struct otlp_span span;
    struct gen_ai g;
    struct record_header headers[INGEST_HEADERS_MAX];
    char cost[DECIMAL_TEXT_BYTES];
    struct otlp_envelope envelope = {.key = w->r->key->name};
    struct arena *a = ingest_arena(w->ingest);
    enum err error = otlp_span_read(item, &w->scratch, &span);
    const char *wrong = error == ERR_OK ? otlp_span_wrong(&span)
                        : error == ERR_TOO_LARGE
                            ? "a span has more than 20,000 values, 32 levels or 8 MiB"
                            : "a span cannot be read";
    if (wrong) {
        w->received++;
        reject(w, 1, wrong);
        return;
    }
    gen_ai_read(&span.attributes, &g);
    price(w, &g, cost, &envelope);
    otlp_span_record_write(item, &span, &g, &envelope, &w->scratch, ingest_value(w->ingest));
    size_t count = span_headers(&g, &envelope, item, a, headers);
    add(w, otlp_hex(span.trace_id, a), headers, count, 1);
}

static void take_log(struct otlp_work *w, const struct otlp_item *item)
{
    struct otlp_log log;
    struct otlp_envelope envelope = {.key = w->r->key->name};
    struct arena *a = ingest_arena(w->ingest);
    struct record_header header = {STR("key"), envelope.key};
    if (otlp_log_read(item, &w->scratch, &log) != ERR_OK ||
        (log.trace_id.len && log.trace_id.len != OTLP_TRACE_ID_BYTES) ||
        (log.span_id.len && log.span_id.len != OTLP_SPAN_ID_BYTES)) {
        w->received++;
        reject(w, 1, "a log record cannot be read, or its ids are not 16 and 8 bytes");
        return;
    }
    otlp_log_record_write(item, &log, &envelope, ingest_value(w->ingest));
    header.value = arena_str(a, header.value);
    add(w, log.trace_id.len ? otlp_hex(log.trace_id, a) : STR_NONE, &header, 1, 1);
}

static void take_metric(struct otlp_work *w, const struct otlp_item *item)
{
    struct otlp_metric metric;
    struct otlp_envelope envelope = {.key = w->r->key->name};
    struct arena *a = ingest_arena(w->ingest);
    enum err error = otlp_metric_read(item, &w->scratch, &metric);
    size_t points = error == ERR_OK ? otlp_metric_points(&metric) : 1;
    if (error != ERR_OK || !metric.name.len) {
        w->received += points;
        reject(w, points, "a metric cannot be read, or has no name");
        return;
    }
    if (!points)
        return; /* the protocol allows it, and it says nothing */
    otlp_metric_record_write(item, &metric, &envelope, ingest_value(w->ingest));
    struct record_header headers[] = {{STR("key"), arena_str(a, envelope.key)},
                                      {STR("points"), number_text(points, a)}};
    add(w, arena_str(a, metric.name), headers, 2, points);
}

static enum err on_item(void *arg, const struct otlp_item *item)
{
    static void (*const takers[OTLP_SIGNAL_COUNT])(struct otlp_work *, const struct otlp_item *) = {
        [OTLP_TRACES] = take_span, [OTLP_METRICS] = take_metric, [OTLP_LOGS] = take_log};
    struct otlp_work *w = arg;
    arena_reset(&w->scratch);
    takers[w->signal](w, item);
    return ERR_OK;
}

/* ---- A request ---- */

static void refuse_work(struct otlp_work *w, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse_work(struct otlp_work *w, int status, const char *format, ...)
{
    va_list args;
    w->status = status;
    va_start(args, format);
    buf_vprintf(&w->detail, format, args);
    va_end(args);
}

static bool unpack(struct otlp_work *w, struct str *ret_body)
{
    struct str body = w->r->x->body;
    if (w->packed) {
        struct compress *c = compress_new();
        enum err error = compress_read(c, w->codec, body, w->plain_max, &w->plain);
        compress_free(c);
        if (error == ERR_TOO_LARGE) {
            refuse_work(w, 413, "the body is more than %zu bytes unpacked (limits.body)",
                        w->plain_max);
            return false;
        }
        if (error != ERR_OK) {
            refuse_work(w, 400, "the body is not what its Content-Encoding says: %s",
                        err_text(error));
            return false;
        }
        body = buf_str(&w->plain);
    }
    *ret_body = body;
    return true;
}

static void on_stored(void *arg, enum err error)
{
    struct otlp_work *w = arg;
    w->error = error;
    loop_post(w->r->x->loop, &w->stored);
}

static void run(void *arg)
{
    struct otlp_work *w = arg;
    struct telemetry *t = w->r->api->telemetry;
    struct str body = STR_NONE;
    struct buf wrong BUF_AUTO;
    buf_init(&wrong, DETAIL_BYTES_MAX);
    w->ingest = ingest_new(t->parts[w->signal], os_wall_us() / 1000);
    if (unpack(w, &body) &&
        otlp_read(w->signal, w->form, body, &w->lasting, on_item, w, &wrong) != ERR_OK)
        refuse_work(w, 400, "the request cannot be read as %s in %s: %.*s",
                    telemetry_signal_name(w->signal).ptr,
                    w->form == OTLP_JSON ? "JSON" : "protobuf", STR_ARG(buf_str(&wrong)));
    if (w->status)
        on_stored(w, ERR_OK);
    else
        ingest_send(w->ingest, on_stored, w);
}

static void on_run(void *arg)
{
    (void)arg; /* on_stored's task goes on */
}

static void release(struct otlp_work *w)
{
    atomic_fetch_sub(&w->r->api->telemetry->pending_bytes, w->r->x->body.len);
    ingest_free(w->ingest);
    arena_release(&w->lasting);
    arena_release(&w->scratch);
    buf_release(&w->plain);
    buf_release(&w->why);
    buf_release(&w->detail);
}

static void answer_stored(struct otlp_work *w)
{
    struct telemetry *t = w->r->api->telemetry;
    struct buf body BUF_AUTO;
    struct buf why BUF_AUTO;
    buf_init(&body, 8192);
    buf_init(&why, 4096);
    atomic_fetch_add(&t->received[w->signal], w->received);
    if (ingest_stored(w->ingest))
        atomic_fetch_add(&t->rejected[w->signal], w->rejected);
    else
        telemetry_note_refused(t, w->signal, w->r->key->name, w->rejected, "invalid");
    if (w->rejected)
        buf_printf(&why, "%llu of %llu were not stored; the first: %.*s",
                   (unsigned long long)w->rejected, (unsigned long long)w->received,
                   STR_ARG(buf_str(&w->why)));
    otlp_answer_write(w->signal, w->form, w->rejected, buf_str(&why), &body);
    http_respond(w->r->x, 200, api_otlp_type(w->form), buf_str(&body));
}

static void answer_unstored(struct otlp_work *w)
{
    struct telemetry *t = w->r->api->telemetry;
    atomic_fetch_add(&t->received[w->signal], w->received);
    telemetry_note_refused(t, w->signal, w->r->key->name, w->received, err_name(w->error));
    api_otlp_retry(w->r->x, RETRY_AFTER_S, "nothing was acknowledged: %s; send it again",
                   err_text(w->error));
}

/* A request that is not read is one item in the books. */
static void answer_refused(struct otlp_work *w)
{
    struct telemetry *t = w->r->api->telemetry;
    atomic_fetch_add(&t->received[w->signal], 1);
    telemetry_note_refused(t, w->signal, w->r->key->name, 1,
                           w->status == 413 ? "too_large" : "unreadable");
    api_error(w->r->x, w->status, w->status == 413 ? ERR_TOO_LARGE : ERR_INVALID, NULL, "%.*s",
              STR_ARG(buf_str(&w->detail)));
}

static void answer(void *arg)
{
    struct otlp_work *w = arg;
    if (w->status)
        answer_refused(w);
    else if (w->error != ERR_OK)
        answer_unstored(w);
    else
        answer_stored(w);
    release(w);
}

/* False after answering 415. */
static bool read_form(struct otlp_work *w)
{
    struct http_exchange *x = w->r->x;
    struct str type = media_type(x);
    struct str coding = http_headers_get(&x->headers, STR("content-encoding"));
    bool json = str_eq_nocase(type, STR("application/json"));
    if (!json && !str_eq_nocase(type, STR("application/x-protobuf")) &&
        !str_eq_nocase(type, STR("application/protobuf"))) {
        api_error(x, 415, ERR_UNSUPPORTED, NULL,
                  "Content-Type is '%.*s': send application/x-protobuf or application/json",
                  STR_ARG(str_take(type, 60)));
        return false;
    }
    w->form = json ? OTLP_JSON : OTLP_PROTOBUF;
    w->packed = coding.len && !str_eq_nocase(coding, STR("identity"));
    if (!w->packed)
        return true;
    w->codec = str_eq_nocase(coding, STR("zstd")) ? COMPRESS_ZSTD : COMPRESS_GZIP;
    if (w->codec == COMPRESS_ZSTD || str_eq_nocase(coding, STR("gzip")) ||
        str_eq_nocase(coding, STR("deflate")))
        return true;
    api_error(x, 415, ERR_UNSUPPORTED, NULL,
              "Content-Encoding is '%.*s': send gzip, deflate, zstd, or none",
              STR_ARG(str_take(coding, 40)));
    return false;
}

static void receive(struct api_request *r, enum otlp_signal signal)
{
    struct otlp_work *w = ARENA_NEW(r->x->arena, struct otlp_work);
    struct telemetry *t = r->api->telemetry;
    w->r = r;
    w->signal = signal;
    w->plain_max = (size_t)r->settings->shared->config->limits.body_bytes;
    if (!read_form(w))
        return;
    if (atomic_fetch_add(&t->pending_bytes, r->x->body.len) > TELEMETRY_PENDING_BYTES_MAX) {
        atomic_fetch_sub(&t->pending_bytes, r->x->body.len);
        api_otlp_retry(r->x, RETRY_AFTER_S,
                       "too much is being stored at the moment: send it again");
        return;
    }
    buf_init(&w->plain, w->plain_max);
    buf_init(&w->why, DETAIL_BYTES_MAX);
    buf_init(&w->detail, DETAIL_BYTES_MAX);
    arena_init(&w->lasting);
    arena_init(&w->scratch);
    loop_task_init(&w->stored, answer, w);
    work_start(r->x->loop, run, on_run, w);
}

void api_otlp_traces(struct api_request *r)
{
    receive(r, OTLP_TRACES);
}

void api_otlp_metrics(struct api_request *r)
{
    receive(r, OTLP_METRICS);
}

void api_otlp_logs(struct api_request *r)
{
    receive(r, OTLP_LOGS);
}
