#include "net/http_client.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/http_client_int.h"

enum {
    FETCHES_KEPT_MAX = 64,        /* free ones that a client keeps */
    HEAD_KEPT_BYTES = 8 << 10,    /* buffer for a request's head that a free one keeps */
    REQUEST_HEAD_MAX = 256 << 10, /* bytes of a request's line and fields: ERR_INVALID */
    DETAIL_BYTES_MAX = 512,
};

const char *http_phase_name(enum http_phase phase)
{
    static const char *const names[] = {
        [HTTP_PHASE_WAIT] = "wait",
        [HTTP_PHASE_DNS] = "dns",
        [HTTP_PHASE_CONNECT] = "connect",
        [HTTP_PHASE_PROXY] = "proxy",
        [HTTP_PHASE_TLS] = "tls",
        [HTTP_PHASE_SEND] = "send",
        [HTTP_PHASE_FIRST_BYTE] = "first_byte",
        [HTTP_PHASE_HEAD] = "head",
        [HTTP_PHASE_BODY] = "body",
    };
    return names[phase];
}

/* ---- Memory of fetches ---- */

static void on_timer(void *arg);
static void on_total_timer(void *arg);
static void on_task(void *arg);

static struct http_fetch *fetch_take(struct http_client *client)
{
    struct http_fetch *f = client->free;
    if (f) {
        client->free = f->next;
        client->free_count--;
    } else {
        f = NEW(struct http_fetch);
        buf_init(&f->head, REQUEST_HEAD_MAX);
    }
    *f = (struct http_fetch){.client = client, .head = f->head};
    buf_reset(&f->head);
    loop_timer_init(&f->timer, on_timer, f);
    loop_timer_init(&f->total_timer, on_total_timer, f);
    loop_task_init(&f->task, on_task, f);
    return f;
}

static void fetch_free(struct http_fetch *f)
{
    buf_release(&f->head);
    mem_free(f);
}

/* Into the pool, once its task does not wait any more. */
static void fetch_recycle(struct http_fetch *f)
{
    struct http_client *client = f->client;
    if (client->dying || client->free_count >= FETCHES_KEPT_MAX) {
        fetch_free(f);
        return;
    }
    if (f->head.cap > HEAD_KEPT_BYTES)
        buf_release(&f->head);
    f->next = client->free;
    client->free = f;
    client->free_count++;
}

/* Take the fetch from where it is. Its connection, if it has one, closes. */
static void fetch_detach(struct http_fetch *f)
{
    struct client_conn *c = f->conn;
    loop_timer_stop(&f->timer);
    if (f->link)
        http_origin_forget_waiting(f);
    http_dial_clear(f);
    if (c) {
        c->fetch = NULL;
        f->conn = NULL;
        client_conn_close(c);
    }
    if (f->dialing) {
        f->dialing = false;
        http_origin_release_slot(f->origin);
    }
}

/* The last thing that happens to a fetch. */
static void fetch_drop(struct http_fetch *f)
{
    struct http_origin *o = f->origin;
    loop_timer_stop(&f->timer);
    loop_timer_stop(&f->total_timer);
    f->over = true;
    *f->all_link = f->all_next;
    if (f->all_next)
        f->all_next->all_link = f->all_link;
    if (!f->task_queued)
        fetch_recycle(f);
    http_origin_free_if_over(o);
}

/* ---- The end ---- */

void http_fetch_finish(struct http_fetch *f)
{
    loop_timer_stop(&f->timer);
    loop_timer_stop(&f->total_timer);
    f->events->on_end(f, f->arg);
    fetch_drop(f);
}

/* Closed while it was kept: its news and our request crossed. Later than that it was closed on our
 * request, which may have been worked on. */
static bool just_sent(const struct http_fetch *f)
{
    return loop_now_us(f->client->loop) <= f->stats.connect_us + HTTP_FETCH_STALE_MS * 1000ull;
}

static bool may_retry(const struct http_fetch *f, bool stale, bool sent)
{
    if (!stale || f->stats.resent || f->client->dying)
        return false;
    return f->idempotent || !sent || (f->retry_stale && just_sent(f));
}

static void retry(struct http_fetch *f)
{
    fetch_detach(f);
    f->stats.resent = true;
    f->steps = 0;
    f->stats.reused = false;
    f->stats.connect_us = f->stats.sent_us = f->stats.bytes_out = 0;
    if (http_origin_admit(f->origin, f) != ERR_OK)
        http_fetch_fail(f, ERR_BUSY, "no connection is free to send the request again");
    else if (f->phase <= HTTP_PHASE_TLS && f->timeouts.connect_ms > 0)
        loop_timer_start(f->client->loop, &f->timer, f->timeouts.connect_ms);
}

void http_fetch_fail(struct http_fetch *f, enum err error, const char *format, ...)
{
    uint64_t out = f->conn && !f->dialing ? stream_taken(&f->conn->stream) - f->out_mark : 0;
    struct http_failure failure = {
        .error = error,
        .phase = f->phase,
        .stale = f->stats.reused && f->stats.first_byte_us == 0 && error == ERR_RESET,
        .sent = out > 0,
    };
    if (may_retry(f, failure.stale, failure.sent)) {
        retry(f);
        return;
    }
    BUF_AUTO struct buf detail = {.max = DETAIL_BYTES_MAX};
    va_list args;
    va_start(args, format);
    buf_vprintf(&detail, format, args);
    va_end(args);
    failure.detail = buf_str(&detail);
    f->stats.bytes_out = out > f->head.len ? out - f->head.len : 0;
    fetch_detach(f);
    loop_timer_stop(&f->total_timer);
    f->events->on_fail(f, &failure, f->arg);
    fetch_drop(f);
}

void http_fetch_cancel(struct http_fetch *fetch)
{
    ASSERT(!fetch->over);
    fetch_detach(fetch);
    fetch_drop(fetch);
}

/* ---- Progress and time ---- */

void http_fetch_step_later(struct http_fetch *f, uint8_t step)
{
    f->steps |= step;
    if (f->task_queued)
        return;
    f->task_queued = true;
    loop_defer(f->client->loop, &f->task);
}

static void on_task(void *arg)
{
    struct http_fetch *f = arg;
    uint8_t steps = f->steps;
    f->task_queued = true; /* keeps the memory while callbacks run */
    f->steps = 0;
    if (!f->over && (steps & FETCH_STEP_DIAL) && f->dialing)
        http_dial_begin(f);
    if (!f->over && (steps & FETCH_STEP_CONNECT) && f->events->on_connect)
        f->events->on_connect(f, f->arg);
    if (!f->over && (steps & FETCH_STEP_RESUME) && !f->paused && f->conn && !f->dialing)
        client_conn_resume(f->conn);
    f->task_queued = false;
    if (f->over)
        fetch_recycle(f);
    else if (f->steps)
        http_fetch_step_later(f, 0);
}

void http_fetch_sending(struct http_fetch *f)
{
    f->phase = HTTP_PHASE_SEND;
    f->stats.connect_us = loop_now_us(f->client->loop);
    loop_timer_stop(&f->timer);
    if (f->events->on_connect)
        http_fetch_step_later(f, FETCH_STEP_CONNECT);
}

void http_fetch_blocked(struct http_fetch *f)
{
    if (f->phase != HTTP_PHASE_SEND || f->timeouts.idle_ms == 0)
        return;
    f->progress = stream_taken(&f->conn->stream);
    loop_timer_start(f->client->loop, &f->timer, f->timeouts.idle_ms);
}

void http_fetch_sent(struct http_fetch *f)
{
    if (f->stats.sent_us != 0)
        return;
    f->stats.sent_us = loop_now_us(f->client->loop);
    f->stats.bytes_out = f->body_bytes;
    if (f->phase != HTTP_PHASE_SEND)
        return;
    f->phase = HTTP_PHASE_FIRST_BYTE;
    if (f->timeouts.first_byte_ms > 0)
        loop_timer_start(f->client->loop, &f->timer, f->timeouts.first_byte_ms);
    else
        loop_timer_stop(&f->timer);
}

void http_fetch_progress(struct http_fetch *f)
{
    f->active_us = loop_now_us(f->client->loop);
    if (f->stats.first_byte_us != 0)
        return;
    f->stats.first_byte_us = f->active_us;
    f->phase = HTTP_PHASE_HEAD;
    if (f->timeouts.idle_ms > 0)
        loop_timer_start(f->client->loop, &f->timer, f->timeouts.idle_ms);
    else
        loop_timer_stop(&f->timer);
}

/* True when the phase's time is not over after all; the timer is set anew then. */
static bool idle_not_over(struct http_fetch *f)
{
    struct loop *loop = f->client->loop;
    if (f->phase == HTTP_PHASE_SEND) {
        if (stream_taken(&f->conn->stream) == f->progress)
            return false;
        http_fetch_blocked(f);
        return true;
    }
    if (f->phase < HTTP_PHASE_HEAD)
        return false;
    uint64_t due_us = f->active_us + f->timeouts.idle_ms * 1000ull;
    uint64_t now_us = loop_now_us(loop);
    if (now_us >= due_us)
        return false;
    loop_timer_start(loop, &f->timer, (due_us - now_us + 999) / 1000);
    return true;
}

static void on_timer(void *arg)
{
    struct http_fetch *f = arg;
    if (f->phase <= HTTP_PHASE_TLS)
        http_fetch_fail(f, ERR_TIMEOUT, "no connection within %u ms (%s)", f->timeouts.connect_ms,
                        http_phase_name(f->phase));
    else if (f->phase == HTTP_PHASE_FIRST_BYTE)
        http_fetch_fail(f, ERR_TIMEOUT, "no response within %u ms", f->timeouts.first_byte_ms);
    else if (!idle_not_over(f))
        http_fetch_fail(f, ERR_TIMEOUT, "nothing moved for %u ms (%s)", f->timeouts.idle_ms,
                        http_phase_name(f->phase));
}

static void on_total_timer(void *arg)
{
    struct http_fetch *f = arg;
    http_fetch_fail(f, ERR_TIMEOUT, "not complete within %llu ms (%s)",
                    (unsigned long long)f->timeouts.total_ms, http_phase_name(f->phase));
}

void http_fetch_pause(struct http_fetch *fetch)
{
    ASSERT(!fetch->over);
    if (fetch->paused)
        return;
    fetch->paused = true;
    if (!fetch->conn || fetch->dialing)
        return;
    stream_read_stop(&fetch->conn->stream);
    if (fetch->phase >= HTTP_PHASE_HEAD)
        loop_timer_stop(&fetch->timer); /* it is we who are idle */
}

void http_fetch_resume(struct http_fetch *fetch)
{
    ASSERT(!fetch->over);
    if (!fetch->paused)
        return;
    fetch->paused = false;
    if (!fetch->conn || fetch->dialing)
        return;
    fetch->active_us = loop_now_us(fetch->client->loop);
    if (fetch->phase >= HTTP_PHASE_HEAD && fetch->timeouts.idle_ms > 0)
        loop_timer_start(fetch->client->loop, &fetch->timer, fetch->timeouts.idle_ms);
    if (fetch->conn->stash.len > 0 || fetch->conn->eof)
        http_fetch_step_later(fetch, FETCH_STEP_RESUME);
    else
        stream_read_start(&fetch->conn->stream);
}

bool http_fetch_paused(const struct http_fetch *fetch)
{
    return fetch->paused;
}

void http_fetch_stats(const struct http_fetch *fetch, struct http_fetch_stats *ret_stats)
{
    *ret_stats = fetch->stats;
    if (fetch->conn && !fetch->dialing && fetch->stats.sent_us == 0) {
        uint64_t out = stream_taken(&fetch->conn->stream) - fetch->out_mark;
        ret_stats->bytes_out = out > fetch->head.len ? out - fetch->head.len : 0;
    }
}

/* ---- Starting ---- */

static bool path_valid(struct str path)
{
    for (size_t i = 0; i < path.len; i++)
        if ((unsigned char)path.ptr[i] <= ' ' || (unsigned char)path.ptr[i] >= 0x7f)
            return false;
    return path.len > 0 && (path.ptr[0] == '/' || path.ptr[0] == '*');
}

static enum err write_fields(struct http_fetch *f, const struct http_request *r)
{
    bool encoding = false;
    for (size_t i = 0; i < r->header_count; i++) {
        const struct http_header *h = &r->headers[i];
        if (http_field_is_framing(h->name))
            continue;
        if (!http_header_valid(h))
            return ERR_INVALID;
        encoding |= str_eq_nocase(h->name, STR("accept-encoding"));
        buf_append_str(&f->head, h->name);
        buf_append(&f->head, ": ", 2);
        buf_append_str(&f->head, h->value);
        buf_append(&f->head, "\r\n", 2);
    }
    if (!encoding)
        buf_append_str(&f->head, STR("Accept-Encoding: identity\r\n"));
    return ERR_OK;
}

static bool body_expected(struct str method)
{
    return str_eq(method, STR("POST")) || str_eq(method, STR("PUT")) ||
           str_eq(method, STR("PATCH"));
}

static enum err write_head(struct http_fetch *f, const struct http_request *r)
{
    const struct http_origin *o = r->origin;
    bool by_proxy = o->proxy && !o->options.tls;
    if (!http_token_valid(r->method) || !path_valid(r->path))
        return ERR_INVALID;
    buf_append_str(&f->head, r->method);
    buf_append_char(&f->head, ' ');
    if (by_proxy) {
        buf_append_str(&f->head, STR("http://"));
        buf_append_str(&f->head, buf_str(&o->authority));
    }
    buf_append_str(&f->head, r->path);
    buf_append_str(&f->head, STR(" HTTP/1.1\r\nHost: "));
    buf_append_str(&f->head, buf_str(&o->authority));
    buf_append(&f->head, "\r\n", 2);
    TRY(write_fields(f, r));
    if (by_proxy && o->proxy->authorization.len > 0) {
        buf_append_str(&f->head, STR("Proxy-Authorization: "));
        buf_append_str(&f->head, o->proxy->authorization);
        buf_append(&f->head, "\r\n", 2);
    }
    if (f->body_bytes > 0 || body_expected(r->method)) {
        buf_append_str(&f->head, STR("Content-Length: "));
        buf_append_u64(&f->head, f->body_bytes);
        buf_append(&f->head, "\r\n", 2);
    }
    buf_append(&f->head, "\r\n", 2);
    return f->head.error == ERR_OK ? ERR_OK : ERR_INVALID;
}

static bool idempotent(struct str method)
{
    return str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")) ||
           str_eq(method, STR("PUT")) || str_eq(method, STR("DELETE")) ||
           str_eq(method, STR("OPTIONS"));
}

static enum err prepare(struct http_fetch *f, const struct http_request *r)
{
    f->body = r->body;
    f->body_count = r->body_count;
    for (size_t i = 0; i < r->body_count; i++)
        f->body_bytes += r->body[i].len;
    f->timeouts = r->timeouts;
    f->is_head = str_eq(r->method, STR("HEAD"));
    f->idempotent = idempotent(r->method);
    f->retry_stale = r->retry_stale;
    f->stats.start_us = loop_now_us(f->client->loop);
    f->stats.reused = r->origin->idle != NULL;
    TRY(write_head(f, r));
    return http_origin_admit(r->origin, f);
}

enum err http_client_start(struct http_client *client, const struct http_request *request,
                           const struct http_fetch_events *events, void *arg,
                           struct http_fetch **ret_fetch)
{
    ASSERT(request->origin->client == client);
    if (client->dying)
        return ERR_CANCELLED;
    struct http_fetch *f = fetch_take(client);
    f->origin = request->origin;
    f->events = events;
    f->arg = arg;
    enum err e = prepare(f, request);
    if (e != ERR_OK) {
        fetch_recycle(f);
        return e;
    }
    f->all_next = f->origin->fetches;
    f->all_link = &f->origin->fetches;
    if (f->all_next)
        f->all_next->all_link = &f->all_next;
    f->origin->fetches = f;
    if (f->phase <= HTTP_PHASE_TLS && f->timeouts.connect_ms > 0)
        loop_timer_start(client->loop, &f->timer, f->timeouts.connect_ms);
    if (f->timeouts.total_ms > 0)
        loop_timer_start(client->loop, &f->total_timer, f->timeouts.total_ms);
    *ret_fetch = f;
    return ERR_OK;
}

/* ---- Clients ---- */

enum err http_client_new(struct loop *loop, const struct http_proxy_options *proxy,
                         struct buf *detail, struct http_client **ret_client)
{
    struct http_client *client = NEW(struct http_client);
    client->loop = loop;
    enum err e = http_proxy_load(client, proxy, detail);
    if (e != ERR_OK) {
        buf_release(&client->proxy_text);
        mem_free(client);
        return e;
    }
    *ret_client = client;
    return ERR_OK;
}

void http_client_free_if_over(struct http_client *client)
{
    if (!client->dying || client->busy || client->origins)
        return;
    while (client->heads) {
        struct client_head *h = client->heads;
        client->heads = h->next;
        http_head_release(&h->head);
        mem_free(h);
    }
    tls_context_unref(client->tls);
    buf_release(&client->proxy_text);
    mem_free(client);
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    client->dying = client->busy = true;
    while (client->free) {
        struct http_fetch *f = client->free;
        client->free = f->next;
        fetch_free(f);
    }
    struct http_origin *next;
    for (struct http_origin *o = client->origins; o; o = next) {
        next = o->next;
        o->refs = 1; /* stays until we are through with it */
        while (o->fetches)
            http_fetch_fail(o->fetches, ERR_CANCELLED, "the client is closing");
        http_origin_close(o);
    }
    client->busy = false;
    http_client_free_if_over(client);
}
