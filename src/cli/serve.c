/* `weir serve`: open the log, start the loops, serve until a signal, stop clean.
 *
 * The main thread starts and stops things and waits for signals; everything else happens on the
 * loops and the log's threads. Order of the start: configuration, log, keys, models, gateway,
 * loops, listener; of the stop: the reverse. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "alert/alert.h"
#include "api/api.h"
#include "api/otlp_out.h"
#include "api/telemetry.h"
#include "base/mem.h"
#include "call/gateway.h"
#include "cli/commands.h"
#include "cli/say.h"
#include "cli/serve_kafka.h"
#include "cli/serve_note.h"
#include "cli/upgrade.h"
#include "config/config.h"
#include "log/log.h"
#include "model/local/local.h"
#include "net/http_server.h"
#include "net/listen.h"
#include "net/loop.h"
#include "os/channel.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/thread.h"
#include "state/keys.h"
#include "view/traces.h"
#include "view/view.h"

enum {
    LOOPS_MAX = 64,
    HAND_OVER_GRACE_MS = 1000, /* for clients that may be sending on a kept connection */
    TAKE_OVER_TRIES = 300,     /* of the log's lock, which children of the old process may hold */
    TAKE_OVER_POLL_US = 10000,
    WATCH_US = 50000,
    PREDECESSOR_MS = 15000, /* beyond its drain */
};

struct serve {
    struct config_options config_options;
    struct str admin_key; /* --key; a secret */
    const char *ca_file;
    struct config *config;
    struct log *log;
    struct key_fold *fold;
    struct local_models *local;
    struct gateway *gateway;
    struct view *view;     /* NULL: it could not be opened */
    struct alerts *alerts; /* NULL: they could not be opened */
    struct telemetry telemetry;
    struct traces *traces;     /* NULL: it could not be opened */
    struct otlp_out *otlp_out; /* NULL: calls are told to nobody */
    struct api *api;
    struct tls_context *tls;
    struct http_server *server;
    struct kafka_server *kafka; /* NULL: off */
    unsigned loop_count;
    struct loop *loops[LOOPS_MAX];
    struct gateway_loop *halves[LOOPS_MAX];
    struct os_thread threads[LOOPS_MAX];
    unsigned threads_running;
    struct away *away;       /* for records after a successor has the log */
    struct upgrade *upgrade; /* there is one */
    uint64_t refused;        /* upgrades */
    int channel;             /* to the process before; -1: none */
    struct away_receiver *predecessor;
};

/* ---- Configuration ---- */

static enum err load_config(struct serve *s, struct config **ret_config)
{
    struct config_report report;
    config_report_init(&report);
    enum err err = config_load(&s->config_options, &report, ret_config);
    fprintf(stderr, "%.*s%.*s", STR_ARG(buf_str(&report.mistakes)),
            STR_ARG(buf_str(&report.warnings)));
    config_report_release(&report);
    return err;
}

/* ---- Log and keys ---- */

static void on_log_report(void *arg, enum log_severity severity, struct str text)
{
    static const char *const levels[] = {"info", "warn", "error"};
    (void)arg;
    say(levels[severity], "%.*s", STR_ARG(text));
}

static const char *copy_text(struct arena *arena, struct str text)
{
    char *copy = arena_alloc(arena, text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    return copy;
}

/* NULL: the log is embedded. */
static struct log_cluster_options *cluster_options(const struct config_log *c, struct arena *arena)
{
    if (!c->kafka.len)
        return NULL;
    struct log_cluster_options *o = ARENA_NEW(arena, struct log_cluster_options);
    struct log_cluster_setting *settings =
        ARENA_ARRAY(arena, struct log_cluster_setting, c->kafka_setting_count + 1);
    for (size_t i = 0; i < c->kafka_setting_count; i++)
        settings[i] = (struct log_cluster_setting){copy_text(arena, c->kafka_settings[i].name),
                                                   copy_text(arena, c->kafka_settings[i].value)};
    *o = (struct log_cluster_options){.brokers = copy_text(arena, c->kafka),
                                      .settings = settings,
                                      .setting_count = c->kafka_setting_count,
                                      .spool_max_bytes = (uint64_t)c->spool_bytes};
    return o;
}

static enum err open_log(struct serve *s)
{
    struct buf detail BUF_AUTO;
    struct buf dir BUF_AUTO;
    struct arena arena;
    arena_init(&arena);
    buf_init(&detail, 4096);
    buf_init(&dir, 4096);
    buf_append_str(&dir, s->config->data);
    struct log_options options = {
        .dir = buf_cstr(&dir),
        .quota_bytes = (uint64_t)s->config->log.quota_bytes,
        .protect_ms = (uint32_t)s->config->log.protect_ms,
        .cluster = cluster_options(&s->config->log, &arena),
        .report = on_log_report,
    };
    enum err err = log_open(&options, &detail, &s->log);
    for (int i = 0; err == ERR_IN_USE && s->channel >= 0 && i < TAKE_OVER_TRIES; i++) {
        os_sleep_us(TAKE_OVER_POLL_US);
        buf_reset(&detail);
        err = log_open(&options, &detail, &s->log);
    }
    arena_release(&arena);
    if (err != ERR_OK)
        say("error", "event=log_open dir=\"%s\" error=\"%.*s\"", buf_cstr(&dir),
            STR_ARG(detail.len ? buf_str(&detail) : str_from_c(err_text(err))));
    return err;
}

static enum err fold_state(struct serve *s, struct log_part *part)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    enum err err;
    TRY(log_cursor_open(part, log_part_start(part), LOG_FORWARD, &cursor));
    while ((err = log_cursor_next(cursor, &entry)) == ERR_OK && entry)
        if (entry->value.ptr)
            (void)!key_fold_apply(s->fold, entry->value); /* other kinds are not ours to judge */
    log_cursor_close(cursor);
    return err;
}

static bool has_key(const struct serve *s, const uint8_t hash[KEY_HASH_BYTES])
{
    size_t count = 0;
    const struct key_spec *items = key_fold_items(s->fold, &count);
    for (size_t i = 0; i < count; i++)
        if (memcmp(items[i].hash, hash, KEY_HASH_BYTES) == 0)
            return true;
    return false;
}

/* The first start without keys makes one, and shows it this once. */
static enum err make_first_key(struct serve *s, struct log_part *part)
{
    char text[KEY_TEXT_BYTES + 1];
    struct buf json BUF_AUTO;
    struct buf record_key BUF_AUTO;
    int64_t offset;
    key_make(text);
    struct key_record record = {.version = 1,
                                .spec = {.name = STR("admin"), .admin = true, .any_model = true}};
    key_hash(str_from_c(text), record.spec.hash);
    buf_init(&json, 65536);
    buf_init(&record_key, 1024);
    key_record_write(&record, os_wall_us(), &json);
    key_record_key(record.spec.name, &record_key);
    struct str value = buf_str(&json);
    struct log_record log_record = {
        .timestamp_ms = -1, .key = buf_str(&record_key), .value = &value, .value_parts = 1};
    TRY(log_append_wait(part, &log_record, LOG_ACK_SYNC, &offset));
    /* On a cluster another Weir's first start may have been first: its record stands, ours is
     * without effect. */
    TRY(offset >= 0 ? fold_state(s, part) : key_fold_apply(s->fold, value));
    if (!has_key(s, record.spec.hash)) {
        say("info", "event=first_key note=\"another Weir of this cluster has just made it\"");
        return ERR_OK;
    }
    say("info", "event=first_key name=admin key=%s note=\"shown this once; keep it\"", text);
    return ERR_OK;
}

static enum err open_keys(struct serve *s)
{
    struct log_topic_config config = LOG_TOPIC_CONFIG_DEFAULT;
    struct log_topic *topic = NULL;
    size_t count = 0;
    config.durability = LOG_SYNC;
    config.keep = true;
    TRY(log_topic_open(s->log, STR("weir.state"), &config, &topic));
    s->fold = key_fold_new();
    TRY(fold_state(s, log_topic_part(topic, 0)));
    key_fold_items(s->fold, &count);
    if (count || s->config->keys_given || s->admin_key.len)
        return ERR_OK;
    return make_first_key(s, log_topic_part(topic, 0));
}

/* ---- Gateway ---- */

static enum err open_gateway(struct serve *s, struct buf *detail)
{
    size_t folded = 0;
    const struct key_spec *items = key_fold_items(s->fold, &folded);
    struct key_spec *specs = mem_array(folded + 1, sizeof *specs);
    size_t count = 0;
    if (s->admin_key.len) {
        specs[count] = (struct key_spec){.name = STR("cli"), .admin = true, .any_model = true};
        key_hash(s->admin_key, specs[count].hash);
        count++;
    }
    for (size_t i = 0; i < folded; i++)
        specs[count++] = items[i];
    struct gateway_options options = {
        .log = s->log,
        .data_dir = s->config->data,
        .config = s->config,
        .extra_keys = specs,
        .extra_key_count = count,
        .local = s->local,
        .loop_total = s->loop_count,
        .tls_ca_file = s->ca_file,
    };
    http_proxy_from_env(&options.proxy);
    enum err err = gateway_new(&options, detail, &s->gateway);
    mem_free(specs);
    return err;
}

static void on_local_event(void *arg, const struct local_event *event)
{
    (void)arg;
    say(event->state == LOCAL_FAILED ? "warn" : "info",
        "event=model model=\"local/%.*s\" state=%s pid=%d load_ms=%llu detail=\"%.*s\"",
        STR_ARG(event->model), local_state_text(event->state), event->pid,
        (unsigned long long)event->load_ms, STR_ARG(event->detail));
}

static struct local_options local_options(const struct serve *s)
{
    const struct config_local *from = &s->config->local;
    return (struct local_options){
        .dir = from->dir,
        .memory_bytes = (uint64_t)from->memory_bytes,
        .threads = (unsigned)from->threads,
        .parallel = (unsigned)from->parallel,
        .queue = (unsigned)from->queue,
        .loops = s->loops,
        .loop_count = s->loop_count,
        .on_event = on_local_event,
    };
}

static enum err open_loops(struct serve *s, struct buf *detail)
{
    for (unsigned i = 0; i < s->loop_count; i++)
        TRY(loop_new(&s->loops[i]));
    struct local_options local = local_options(s);
    TRY(local_models_open(&local, &s->local));
    TRY(open_gateway(s, detail));
    for (unsigned i = 0; i < s->loop_count; i++) {
        TRY(gateway_loop_new(s->gateway, s->loops[i], i, detail, &s->halves[i]));
        loop_set_user(s->loops[i], s->halves[i]);
    }
    return ERR_OK;
}

static enum err make_tls(const struct config *c, struct buf *detail, struct tls_context **ret_tls)
{
    struct tls_server_options options = {
        .cert_file = c->listen.tls.cert_path,
        .key_file = c->listen.tls.key_path,
        .client_ca_file = c->listen.tls.client_ca_path,
    };
    return tls_server_context_new(&options, detail, ret_tls);
}

static struct http_limits server_limits(const struct config_limits *from)
{
    struct http_limits limits;
    http_limits_default(&limits);
    limits.head_bytes_max = (size_t)from->header_bytes;
    limits.head_timeout_ms = (uint32_t)from->header_ms;
    limits.body_bytes_max = (size_t)from->body_bytes;
    limits.idle_timeout_ms = (uint32_t)from->idle_ms;
    limits.pending_bytes_max = (size_t)from->pending_bytes;
    limits.pending_low_bytes = (size_t)from->pending_bytes / 4;
    return limits;
}

/* Weir serves without a view too: then calls are found by reading the log, and there are no
 * statistics. */
static void open_view(struct serve *s)
{
    struct buf detail BUF_AUTO;
    buf_init(&detail, 4096);
    struct view_options options = {.log = s->log,
                                   .calls = gateway_calls(s->gateway),
                                   .data_dir = s->config->data,
                                   .report = on_log_report};
    enum err err = view_open(&options, &detail, &s->view);
    if (err != ERR_OK)
        say("warn", "event=view_open error=\"%.*s\"", STR_ARG(buf_str(&detail)));
}

static void open_alerts(struct serve *s)
{
    struct buf detail BUF_AUTO;
    buf_init(&detail, 4096);
    struct alerts_options options = {.log = s->log,
                                     .calls = gateway_calls(s->gateway),
                                     .config = s->config,
                                     .ca_file = str_from_c(s->ca_file),
                                     .report = on_log_report};
    if (alerts_open(&options, &detail, &s->alerts) != ERR_OK)
        say("warn", "event=alerts_open error=\"%.*s\"", STR_ARG(buf_str(&detail)));
}

static void open_traces(struct serve *s)
{
    struct buf detail BUF_AUTO;
    const struct telemetry *t = &s->telemetry;
    buf_init(&detail, 4096);
    struct traces_options options = {.log = s->log,
                                     .parts = {[TRACES_SPANS] = t->parts[OTLP_TRACES],
                                               [TRACES_METRICS] = t->parts[OTLP_METRICS],
                                               [TRACES_LOGS] = t->parts[OTLP_LOGS],
                                               [TRACES_SCORES] = t->scores,
                                               [TRACES_LEDGER] = t->ledger,
                                               [TRACES_CALLS] = gateway_calls(s->gateway)},
                                     .data_dir = s->config->data,
                                     .report = on_log_report};
    enum err err = traces_open(&options, &detail, &s->traces);
    if (err != ERR_OK)
        say("warn", "event=traces_open error=\"%.*s\"", STR_ARG(buf_str(&detail)));
}

/* A collector that cannot be told does not stop the start. */
static void start_otlp_out(struct serve *s)
{
    struct buf detail BUF_AUTO;
    buf_init(&detail, 4096);
    struct otlp_out_options options = {.log = s->log,
                                       .calls = gateway_calls(s->gateway),
                                       .telemetry = &s->telemetry,
                                       .config = s->config,
                                       .ca_file = str_from_c(s->ca_file),
                                       .report = on_log_report};
    enum err err = otlp_out_start(&options, &detail, &s->otlp_out);
    if (err != ERR_OK)
        say("warn", "event=otlp_out step=start error=\"%s\" detail=\"%.*s\"", err_text(err),
            STR_ARG(buf_str(&detail)));
}

static enum err open_server(struct serve *s, struct buf *detail)
{
    const struct config *c = s->config;
    if (c->listen.tls.enabled)
        TRY(make_tls(c, detail, &s->tls));
    TRY(telemetry_open(s->log, c, detail, &s->telemetry));
    s->api = api_new(s->gateway);
    api_set_telemetry(s->api, &s->telemetry);
    open_view(s);
    api_set_view(s->api, s->view);
    open_traces(s);
    api_set_traces(s->api, s->traces);
    start_otlp_out(s);
    open_alerts(s);
    api_set_alerts(s->api, s->alerts);
    struct http_server_options options = {
        .host = c->listen.http.host,
        .port = c->listen.http.port,
        .limits = server_limits(&c->limits),
        .handler = api_handler(s->api),
        .tls = s->tls,
    };
    TRY(http_server_open(s->loops, s->loop_count, &options, detail, &s->server));
    api_set_server(s->api, s->server);
    if (!c->listen.kafka.enabled)
        return ERR_OK;
    TRY(serve_kafka_open(s->gateway, c, s->tls, s->loops, s->loop_count, detail, &s->kafka));
    api_set_kafka(s->api, s->kafka);
    return ERR_OK;
}

static void run_loop(void *arg)
{
    loop_run(arg);
}

static enum err start_threads(struct serve *s)
{
    for (unsigned i = 0; i < s->loop_count; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "loop-%u", i);
        TRY(os_thread_start(name, run_loop, s->loops[i], &s->threads[i]));
        s->threads_running++;
    }
    return ERR_OK;
}

/* ---- Signals ---- */

static void reload(struct serve *s)
{
    struct config *fresh = NULL;
    struct buf detail BUF_AUTO;
    buf_init(&detail, 4096);
    if (load_config(s, &fresh) != ERR_OK) {
        say("error", "event=reload result=refused note=\"the configuration in force stays\"");
        return;
    }
    if (fresh->listen.tls.enabled && s->tls) {
        struct tls_context *tls = NULL;
        if (make_tls(fresh, &detail, &tls) != ERR_OK) {
            say("error", "event=reload result=refused error=\"%.*s\"", STR_ARG(buf_str(&detail)));
            config_put(fresh);
            return;
        }
        http_server_set_tls(s->server, tls);
        tls_context_unref(s->tls);
        s->tls = tls;
    }
    gateway_reload(s->gateway, fresh);
    if (s->alerts)
        alerts_configure(s->alerts, fresh);
    config_put(s->config);
    s->config = fresh;
    const struct local_options local = local_options(s);
    local_models_configure(s->local, &local);
    otlp_out_stop(s->otlp_out);
    start_otlp_out(s);
    say("info", "event=reload result=done");
}

static void block_signals(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGTERM);
    sigaddset(ret_set, SIGINT);
    sigaddset(ret_set, SIGHUP);
    sigaddset(ret_set, SIGUSR2);
    sigprocmask(SIG_BLOCK, ret_set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* For who asked for it, in the note too. */
static bool upgrade_refused(struct serve *s, const char *note)
{
    say("error", "event=upgrade step=refused note=\"%s\"", note);
    serve_note_write(s->config->data, ++s->refused);
    return false;
}

/* True when there is nothing left to serve here. */
static bool upgrade(struct serve *s, enum err *ret_err)
{
    if (s->predecessor && !away_receiver_done(s->predecessor))
        return upgrade_refused(s, "the process before still finishes its streams");
    if (!s->away)
        s->away = away_new();
    gateway_set_away(s->gateway, s->away);
    /* From here on the other process folds and tells, if there is one. */
    otlp_out_stop(s->otlp_out);
    s->otlp_out = NULL;
    if (s->view)
        view_freeze(s->view);
    if (s->traces)
        traces_freeze(s->traces);
    enum upgrade_end end = upgrade_start(s->log, gateway_calls(s->gateway), s->away, &s->upgrade);
    if (end == UPGRADE_REFUSED) {
        if (s->view)
            view_thaw(s->view);
        if (s->traces)
            traces_thaw(s->traces);
        start_otlp_out(s);
        return upgrade_refused(s, "this process serves on");
    }
    if (end == UPGRADE_LOST) {
        say("error", "event=upgrade step=lost note=\"neither the log nor a successor is there\"");
        *ret_err = ERR_CLOSED;
    }
    return true;
}

static enum err wait_for_stop(struct serve *s, const sigset_t *signals)
{
    enum err err = ERR_OK;
    for (;;) {
        int number = 0;
        if (sigwait(signals, &number) != 0)
            continue;
        if (number == SIGHUP)
            reload(s);
        else if (number != SIGUSR2 || upgrade(s, &err))
            return err;
    }
}

struct drained {
    struct os_mutex lock;
    struct os_cond cond;
    bool done;
};

static void on_drained(void *arg)
{
    struct drained *d = arg;
    os_mutex_lock(&d->lock);
    d->done = true;
    os_cond_signal(&d->cond);
    os_mutex_unlock(&d->lock);
}

static void wait_drained(struct serve *s, struct drained *d)
{
    os_mutex_lock(&d->lock);
    while (!d->done) {
        (void)os_cond_wait_for(&d->cond, &d->lock, WATCH_US);
        if (!s->upgrade)
            continue;
        os_mutex_unlock(&d->lock);
        upgrade_watch(s->upgrade);
        os_mutex_lock(&d->lock);
    }
    os_mutex_unlock(&d->lock);
}

/* The process before gives us the records of its last streams; the log waits for them. */
static void wait_for_predecessor(struct serve *s)
{
    uint64_t end_us = os_now_us() + ((uint64_t)s->config->listen.drain_ms + PREDECESSOR_MS) * 1000;
    while (s->predecessor && !away_receiver_done(s->predecessor) && os_now_us() < end_us)
        os_sleep_us(WATCH_US);
}

static void drain(struct serve *s)
{
    struct drained d = {.done = false};
    uint64_t drain_ms = (uint64_t)s->config->listen.drain_ms;
    os_mutex_init(&d.lock);
    os_cond_init(&d.cond);
    say("info", "event=drain deadline_ms=%llu", (unsigned long long)drain_ms);
    if (s->kafka)
        kafka_server_drain(s->kafka);
    if (s->upgrade) {
        http_server_hand_over(s->server, HAND_OVER_GRACE_MS, drain_ms, on_drained, &d);
    } else {
        api_set_draining(s->api);
        listen_forget();
        http_server_drain(s->server, drain_ms, on_drained, &d);
    }
    wait_drained(s, &d);
    if (s->upgrade)
        upgrade_finish(s->upgrade);
    wait_for_predecessor(s);
    os_cond_release(&d.cond);
    os_mutex_release(&d.lock);
}

/* ---- Life ---- */

struct loop_end {
    struct loop_task task;
    struct serve *serve;
    unsigned index;
};

static void end_loop(void *arg)
{
    struct loop_end *end = arg;
    local_models_stop(end->serve->local, end->index);
    loop_stop(end->serve->loops[end->index]);
}

static void stop(struct serve *s)
{
    struct loop_end ends[LOOPS_MAX];
    for (unsigned i = 0; i < s->threads_running; i++) {
        ends[i] = (struct loop_end){.serve = s, .index = i};
        loop_task_init(&ends[i].task, end_loop, &ends[i]);
        loop_post(s->loops[i], &ends[i].task);
    }
    for (unsigned i = 0; i < s->threads_running; i++)
        os_thread_join(&s->threads[i]);
    http_server_free(s->server);
    kafka_server_free(s->kafka);
    api_free(s->api);
    alerts_close(s->alerts);
    view_close(s->view);
    otlp_out_stop(s->otlp_out);
    traces_close(s->traces);
    for (unsigned i = 0; i < s->loop_count; i++)
        gateway_loop_free(s->halves[i]);
    gateway_free(s->gateway);
    for (unsigned i = 0; i < s->loop_count; i++)
        if (s->loops[i])
            loop_run_until_idle(s->loops[i]);
    local_models_free(s->local);
    for (unsigned i = 0; i < s->loop_count; i++)
        loop_free(s->loops[i]);
    away_receiver_stop(s->predecessor);
    away_free(s->away);
    tls_context_unref(s->tls);
    key_fold_free(s->fold);
    if (s->log)
        log_close(s->log);
    config_put(s->config);
}

/* What can fail without the log fails before the process before lets go of it. */
static enum err prepare_to_succeed(struct serve *s)
{
    struct buf detail BUF_AUTO;
    struct tls_context *tls = NULL;
    buf_init(&detail, 4096);
    if (s->config->listen.tls.enabled && make_tls(s->config, &detail, &tls) != ERR_OK) {
        say("error", "event=start error=\"%.*s\"", STR_ARG(buf_str(&detail)));
        return ERR_CONFIG;
    }
    tls_context_unref(tls);
    return upgrade_wait_for_log(s->channel);
}

/* Serving: the process before may go, when it has given us what it finishes. If it has gone
 * already, there is nothing to give. */
static void succeed(struct serve *s)
{
    enum err err = upgrade_say_ready(s->channel);
    if (err == ERR_OK)
        err = away_receiver_start(gateway_calls(s->gateway), s->channel, &s->predecessor);
    if (err != ERR_OK)
        say("warn", "event=upgrade step=succeed error=\"%s\"", err_text(err));
}

static void notify(void)
{
    char state[64];
    (void)snprintf(state, sizeof state, "MAINPID=%d\nREADY=1\n", (int)getpid());
    os_notify(state);
}

static enum err start(struct serve *s)
{
    struct buf detail BUF_AUTO;
    buf_init(&detail, 4096);
    TRY(load_config(s, &s->config));
    if (s->channel >= 0)
        TRY(prepare_to_succeed(s));
    TRY(open_log(s));
    enum err err = open_keys(s);
    if (err == ERR_OK)
        err = open_loops(s, &detail);
    if (err == ERR_OK)
        err = open_server(s, &detail);
    if (err == ERR_OK)
        err = start_threads(s);
    if (err != ERR_OK)
        say("error", "event=start error=\"%.*s\"",
            STR_ARG(detail.len ? buf_str(&detail) : str_from_c(err_text(err))));
    return err;
}

static void print_address(const struct config_address *address, uint16_t port)
{
    bool v6 = str_index(address->host, ':') >= 0;
    printf("%s%.*s%s:%u", v6 ? "[" : "", STR_ARG(address->host), v6 ? "]" : "", port);
}

static void say_ready(const struct serve *s)
{
    printf("ready http=");
    print_address(&s->config->listen.http, http_server_port(s->server));
    printf(" kafka=");
    if (s->kafka)
        print_address(&s->config->listen.kafka, kafka_server_port(s->kafka));
    else
        printf("off");
    printf(" pid=%d\n", (int)getpid());
    fflush(stdout);
}

static int serve(struct serve *s)
{
    sigset_t signals;
    block_signals(&signals);
    enum err err = start(s);
    if (err == ERR_OK) {
        say_ready(s);
        serve_note_write(s->config->data, 0);
        notify();
        if (s->channel >= 0)
            succeed(s);
        err = wait_for_stop(s, &signals);
        bool handed_over = s->upgrade;
        drain(s);
        if (!handed_over)
            serve_note_remove(s->config->data);
    }
    stop(s);
    return err_exit_code(err);
}

static int run(int argc, char **argv)
{
    mem_keep_freed();
    struct serve *s = NEW(struct serve);
    struct str config = STR_NONE;
    struct str data = STR_NONE;
    struct str listen = STR_NONE;
    struct str kafka = STR_NONE;
    struct str ca_file = STR_NONE;
    struct cli_args args;
    s->admin_key = str_from_c(getenv("WEIR_KEY"));
    const struct cli_option options[] = {
        {"--config", "FILE", "configuration; default weir.yaml here, if there is one",
         .value = &config},
        {"--data", "DIR", "data folder; default ./weir-data", .value = &data},
        {"--listen", "HOST:PORT", "HTTP address; default 127.0.0.1:8080", .value = &listen},
        {"--kafka", "HOST:PORT|off", "Kafka protocol's address", .value = &kafka},
        {"--key", "KEY", "admin key to accept beside others; default $WEIR_KEY",
         .value = &s->admin_key},
        {"--ca", "FILE", "certificates to trust for providers, instead of the system's",
         .value = &ca_file},
    };
    enum cli_parsed parsed =
        cli_parse(&cli_serve, options, sizeof options / sizeof options[0], argc, argv, &args);
    int code = parsed == CLI_WRONG ? 2 : 0;
    if (parsed == CLI_GO && args.count) {
        code = cli_fail(&cli_serve, 2, "'%.*s' is not understood; see `weir serve --help`",
                        STR_ARG(args.words[0]));
    } else if (parsed == CLI_GO) {
        s->config_options =
            (struct config_options){.path = config, .http = listen, .kafka = kafka, .data = data};
        s->ca_file = ca_file.ptr;
        s->loop_count = os_cpu_count() < LOOPS_MAX ? os_cpu_count() : LOOPS_MAX;
        upgrade_init();
        s->channel = upgrade_inherited();
        if (listen_inherited_count() > s->loop_count)
            s->loop_count = (unsigned)listen_inherited_count();
        os_open_files_raise();
        code = serve(s);
    }
    mem_free(s);
    return code;
}

const struct cli_command cli_serve = {
    .name = "serve",
    .usage = "weir serve [--config FILE] [--data DIR] [--listen HOST:PORT] [--kafka HOST:PORT|off] "
             "[--key KEY]",
    .summary = "Serve: gateway, log and local models",
    .details =
        "One line on standard output says when it is ready: `ready http=HOST:PORT kafka=… pid=N`;\n"
        "everything else goes to standard error as key=value lines.\n\n"
        "Keys: with no `keys` in the configuration and no --key, the first start makes an admin "
        "key "
        "and shows it once.\n"
        "Signals: TERM and INT drain and stop; HUP reads configuration, keys and certificates "
        "again;\n"
        "USR2 starts the program again (a new one, if its file was replaced), which takes over.\n"
        "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 data folder damaged or in "
        "use.",
    .run = run,
};
