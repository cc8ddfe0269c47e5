#include "api/otlp_out.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/mem.h"
#include "call/gateway.h"
#include "codec/compress.h"
#include "codec/digest.h"
#include "codec/json_scan.h"
#include "dialect/otlp/call.h"
#include "net/http_simple.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/thread.h"

enum {
    BATCH_SPANS = 512,
    BATCH_BYTES = 4 << 20,
    GATHER_US = 200000, /* calls of that time are sent together */
    BACKOFF_MIN_US = 1000000,
    BACKOFF_MAX_US = 60000000,
    RETRY_AFTER_MAX_S = 300,
    CONNECT_MS = 3000,
    TOTAL_MS = 10000,
    POSITIONS_SCAN_MAX = 100000,
    ANSWER_BYTES_MAX = 1 << 20,
    KEY_BYTES = 26,
};

struct otlp_out {
    struct log *log;
    struct log_part *calls, *positions;
    struct telemetry *telemetry;
    struct config *config;
    struct str ca_file;
    void (*report)(void *arg, enum log_severity severity, struct str text);
    void *report_arg;
    char key[KEY_BYTES + 1]; /* of its position: "otlp/" and digits of the URL's digest */
    struct buf url;
    struct os_thread thread;
    struct os_mutex lock; /* for what follows */
    struct os_cond wanted;
    bool stopping, woken;
    int64_t position; /* only the thread's, once it runs */
    bool failing;     /* said already */
};

struct round {
    struct buf spans, request, packed;
    struct arena arena;
    unsigned count;
    int64_t next; /* position after it */
    uint64_t retry_after_us;
};

static void report(struct otlp_out *o, enum log_severity severity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void report(struct otlp_out *o, enum log_severity severity, const char *format, ...)
{
    struct buf text BUF_AUTO;
    va_list args;
    if (!o->report)
        return;
    buf_init(&text, 4096);
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    o->report(o->report_arg, severity, buf_str(&text));
}

/* ---- The position ---- */

/* The newest one on the log; -1: there is none. */
static enum err read_position(struct otlp_out *o, int64_t *ret_position)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    enum err error;
    *ret_position = -1;
    TRY(log_cursor_open(o->positions, log_part_end(o->positions), LOG_BACKWARD, &cursor));
    for (unsigned seen = 0; seen < POSITIONS_SCAN_MAX && *ret_position < 0; seen++) {
        error = log_cursor_next(cursor, &entry);
        if (error != ERR_OK || !entry)
            break;
        struct json_value offset;
        if (str_eq(entry->key, str_from_c(o->key)) && entry->value.ptr &&
            json_find(entry->value, "next", &offset) &&
            json_to_i64(&offset, ret_position) != ERR_OK)
            *ret_position = -1;
    }
    log_cursor_close(cursor);
    return error;
}

static enum err write_position(struct otlp_out *o, int64_t position)
{
    char json[64];
    int64_t offset;
    int n = snprintf(json, sizeof json, "{\"next\":%lld}", (long long)position);
    struct str value = str_of(json, (size_t)n);
    struct log_record record = {
        .timestamp_ms = -1, .key = str_from_c(o->key), .value = &value, .value_parts = 1};
    TRY(log_append_wait(o->positions, &record, LOG_ACK_WRITE, &offset));
    o->position = position;
    atomic_store(&o->telemetry->out_position, position);
    return ERR_OK;
}

/* ---- One request ---- */

static enum err gather(struct otlp_out *o, struct round *r)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    enum err error = ERR_OK;
    bool messages = o->config->telemetry.messages;
    buf_reset(&r->spans);
    r->count = 0;
    TRY(log_cursor_open(o->calls, o->position, LOG_FORWARD, &cursor));
    while (r->count < BATCH_SPANS && r->spans.len < BATCH_BYTES &&
           (error = log_cursor_next(cursor, &entry)) == ERR_OK && entry) {
        size_t before = r->spans.len;
        arena_reset(&r->arena);
        if (entry->control || !entry->value.ptr)
            continue;
        if (otlp_call_write(entry->value, messages, &r->arena, &r->spans)) {
            r->count++;
        } else if (r->spans.error != ERR_OK) { /* larger than all that a request may be */
            r->spans.error = ERR_OK;
            r->spans.len = before;
            atomic_fetch_add(&o->telemetry->out_refused, 1);
        }
    }
    r->next = log_cursor_offset(cursor);
    log_cursor_close(cursor);
    return error;
}

static void on_head(const struct http_response *response, void *arg)
{
    struct round *r = arg;
    uint64_t seconds;
    struct str after = http_headers_get(&response->headers, STR("retry-after"));
    if (str_to_u64(after, &seconds) == ERR_OK)
        r->retry_after_us = (seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S) * 1000000;
}

/* ERR_OK: taken; ERR_INVALID: refused for good; others: may be tried again. */
static enum err post(struct otlp_out *o, struct round *r, struct buf *detail)
{
    struct http_header headers[CONFIG_HEADERS_MAX + 2];
    struct http_simple_response response;
    const struct config_telemetry *c = &o->config->telemetry;
    struct compress *compress = compress_new();
    buf_reset(&r->request);
    buf_reset(&r->packed);
    r->retry_after_us = 0;
    otlp_request_write(buf_str(&r->spans), STR(WEIR_VERSION), &r->request);
    enum err error = r->request.error;
    if (error == ERR_OK)
        error = compress_write(compress, COMPRESS_GZIP, buf_str(&r->request), &r->packed);
    compress_free(compress);
    TRY(error);
    headers[0] = HTTP_HEADER("content-type", STR("application/x-protobuf"));
    headers[1] = HTTP_HEADER("content-encoding", STR("gzip"));
    for (size_t i = 0; i < c->header_count; i++)
        headers[i + 2] =
            (struct http_header){.name = c->headers[i].name, .value = c->headers[i].value};
    const struct http_simple_request request = {
        .url = buf_str(&o->url),
        .method = STR("POST"),
        .headers = headers,
        .header_count = c->header_count + 2,
        .body = buf_str(&r->packed),
        .ca_file = o->ca_file,
        .timeouts = {.connect_ms = CONNECT_MS, .total_ms = TOTAL_MS},
        .on_head = on_head,
        .arg = r,
        .body_bytes_max = ANSWER_BYTES_MAX,
    };
    TRY(http_simple_fetch(&request, detail, &response));
    int status = response.status;
    http_simple_release(&response);
    if (status >= 200 && status < 300)
        return ERR_OK;
    buf_printf(detail, "it answered %d", status);
    return status == 408 || status == 429 || status >= 500 ? ERR_BUSY : ERR_INVALID;
}

/* ---- The thread ---- */

static bool stopping(struct otlp_out *o)
{
    os_mutex_lock(&o->lock);
    bool stop = o->stopping;
    os_mutex_unlock(&o->lock);
    return stop;
}

static void wait_us(struct otlp_out *o, uint64_t us)
{
    uint64_t end_us = os_now_us() + us;
    os_mutex_lock(&o->lock);
    while (!o->stopping && os_now_us() < end_us)
        (void)os_cond_wait_for(&o->wanted, &o->lock, end_us - os_now_us());
    os_mutex_unlock(&o->lock);
}

struct waiter {
    struct log_watch watch; /* first */
    struct otlp_out *out;
};

static void on_records(struct log_watch *watch)
{
    struct otlp_out *o = ((struct waiter *)(void *)watch)->out;
    os_mutex_lock(&o->lock);
    o->woken = true;
    os_cond_signal(&o->wanted);
    os_mutex_unlock(&o->lock);
}

static void wait_for_calls(struct otlp_out *o)
{
    struct waiter waiter = {.watch = {.wake = on_records}, .out = o};
    if (log_watch_add(o->calls, &waiter.watch, o->position))
        return;
    os_mutex_lock(&o->lock);
    while (!o->woken && !o->stopping)
        os_cond_wait(&o->wanted, &o->lock);
    o->woken = false;
    os_mutex_unlock(&o->lock);
    log_watch_remove(&waiter.watch);
}

/* Half of it, and a random part of the other half, so that many do not come at once. */
static uint64_t jittered(uint64_t us)
{
    return us / 2 + os_random_u64() % (us / 2 + 1);
}

/* Until it is taken, refused for good, or there is something else to do. */
static void deliver(struct otlp_out *o, struct round *r)
{
    uint64_t backoff_us = BACKOFF_MIN_US;
    while (!stopping(o)) {
        struct buf detail BUF_AUTO;
        buf_init(&detail, 1024);
        enum err error = r->count ? post(o, r, &detail) : ERR_OK;
        if (error == ERR_OK || error == ERR_INVALID || error == ERR_TOO_LARGE) {
            atomic_fetch_add(error == ERR_OK ? &o->telemetry->out_sent : &o->telemetry->out_refused,
                             r->count);
            if (error != ERR_OK)
                report(o, LOG_WARN, "event=otlp_out step=refused spans=%u error=\"%.*s\"", r->count,
                       STR_ARG(buf_str(&detail)));
            else if (o->failing)
                report(o, LOG_INFO, "event=otlp_out step=goes_on");
            o->failing = o->failing && error != ERR_OK;
            if (write_position(o, r->next) == ERR_OK)
                return;
            wait_us(o, BACKOFF_MIN_US); /* the log has no room: this batch will be sent again */
            return;
        }
        atomic_fetch_add(&o->telemetry->out_failures, 1);
        if (!o->failing)
            report(
                o, LOG_WARN,
                "event=otlp_out step=waits error=\"%.*s\" note=\"calls stay on the log until they "
                "are taken\"",
                STR_ARG(detail.len ? buf_str(&detail) : str_from_c(err_text(error))));
        o->failing = true;
        wait_us(o, r->retry_after_us ? r->retry_after_us : jittered(backoff_us));
        backoff_us = backoff_us * 2 < BACKOFF_MAX_US ? backoff_us * 2 : BACKOFF_MAX_US;
    }
}

static void run(void *arg)
{
    struct otlp_out *o = arg;
    struct round r = {.count = 0};
    buf_init(&r.spans, 2 * BATCH_BYTES + LOG_RECORD_MAX_BYTES);
    buf_init(&r.request, 3 * BATCH_BYTES + LOG_RECORD_MAX_BYTES);
    buf_init(&r.packed, 4 * BATCH_BYTES + LOG_RECORD_MAX_BYTES);
    arena_init(&r.arena);
    while (!stopping(o)) {
        wait_for_calls(o);
        wait_us(o, GATHER_US);
        if (stopping(o))
            break;
        enum err error = gather(o, &r);
        if (error != ERR_OK) {
            report(o, LOG_WARN, "event=otlp_out step=read error=\"%s\"", err_text(error));
            wait_us(o, BACKOFF_MIN_US);
        } else if (r.next > o->position) {
            deliver(o, &r);
        }
    }
    buf_release(&r.spans);
    buf_release(&r.request);
    buf_release(&r.packed);
    arena_release(&r.arena);
}

/* ---- Life ---- */

static void make_key(struct otlp_out *o)
{
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_BYTES];
    digest_sha256(buf_str(&o->url), digest);
    hex_encode(digest, sizeof digest, hex);
    (void)snprintf(o->key, sizeof o->key, "otlp/%.20s", hex);
}

static void make_url(struct otlp_out *o, struct str base)
{
    buf_init(&o->url, CONFIG_VALUE_BYTES_MAX + 64);
    while (str_ends(base, STR("/")))
        base.len--;
    buf_append_str(&o->url, base);
    if (!str_ends(base, STR("/v1/traces")))
        buf_append_str(&o->url, STR("/v1/traces"));
}

static void release(struct otlp_out *o)
{
    atomic_store(&o->telemetry->out_position, -1);
    os_cond_release(&o->wanted);
    os_mutex_release(&o->lock);
    buf_release(&o->url);
    config_put(o->config);
    mem_free(o);
}

static enum err prepare(struct otlp_out *o, struct buf *detail)
{
    int64_t position;
    TRY(gateway_topic_open(o->log, o->config, STR("weir.positions"), detail, &o->positions));
    TRY(read_position(o, &position));
    if (position < 0 || position > log_part_end(o->calls))
        return write_position(o, log_part_end(o->calls));
    o->position = position;
    atomic_store(&o->telemetry->out_position, position);
    return ERR_OK;
}

enum err otlp_out_start(const struct otlp_out_options *options, struct buf *detail,
                        struct otlp_out **ret_out)
{
    *ret_out = NULL;
    if (!options->config->telemetry.url.len)
        return ERR_OK;
    struct otlp_out *o = NEW(struct otlp_out);
    o->log = options->log;
    o->calls = options->calls;
    o->telemetry = options->telemetry;
    o->config = config_get(options->config);
    o->ca_file = options->ca_file;
    o->report = options->report;
    o->report_arg = options->report_arg;
    os_mutex_init(&o->lock);
    os_cond_init(&o->wanted);
    make_url(o, o->config->telemetry.url);
    make_key(o);
    enum err error = prepare(o, detail);
    if (error == ERR_OK)
        error = os_thread_start("otlp-out", run, o, &o->thread);
    if (error != ERR_OK) {
        release(o);
        return error;
    }
    *ret_out = o;
    return ERR_OK;
}

void otlp_out_stop(struct otlp_out *o)
{
    if (!o)
        return;
    os_mutex_lock(&o->lock);
    o->stopping = true;
    os_cond_signal(&o->wanted);
    os_mutex_unlock(&o->lock);
    os_thread_join(&o->thread);
    release(o);
}
