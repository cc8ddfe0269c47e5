/* The watcher's thread, and what others ask. */
#include "alert/alert_int.h"
#include "base/mem.h"
#include "codec/time.h"
#include "os/clock.h"

enum {
    POLL_US = 500000,
    READ_RECORDS_MAX = 1000, /* under one hold of the lock */
    EVENTS_MAX = 500,        /* of one evaluation; the rest comes in the next */
    RECORD_BYTES_MAX = 64 << 10,
};

static void report(struct alerts *a, enum log_severity severity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void report(struct alerts *a, enum log_severity severity, const char *format, ...)
{
    struct buf text BUF_AUTO;
    va_list args;
    if (!a->report)
        return;
    buf_init(&text, 8192);
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    a->report(a->report_arg, severity, buf_str(&text));
}

/* ---- Events: on the log first, then told ---- */

struct pending {
    struct buf key, json, summary;
    struct str state;
    const struct config_alert *alert;
    bool silenced;
};

struct pendings {
    struct pending all[EVENTS_MAX];
    size_t count;
};

static bool keep_event(void *arg, const struct alert_event *e)
{
    struct pendings *p = arg;
    if (p->count == EVENTS_MAX)
        return false;
    struct pending *k = &p->all[p->count++];
    buf_init(&k->key, 1024);
    buf_init(&k->json, RECORD_BYTES_MAX);
    buf_init(&k->summary, 4096);
    buf_printf(&k->key, "%.*s/%.*s", STR_ARG(e->alert->name), STR_ARG(e->group));
    alert_event_write(e, &k->json);
    alert_event_summary(e, &k->summary);
    k->state = str_from_c(alert_event_state_name(e->state));
    k->alert = e->alert;
    k->silenced = e->silenced;
    return true;
}

static void tell_all(struct alerts *a, const struct config *config, const struct pending *k)
{
    const struct alert_message message = {buf_str(&k->summary), buf_str(&k->json), k->state};
    for (size_t i = 0; i < k->alert->to_count; i++) {
        enum err error =
            alert_sender_add(a->sender, config, k->alert->to[i], k->alert->name, &message);
        if (error != ERR_OK)
            report(a, LOG_WARN, "event=alert_dropped alert=\"%.*s\" error=\"%s\"",
                   STR_ARG(k->alert->name), err_text(error));
    }
}

/* The configuration is the one that the alerts point into. */
static void publish(struct alerts *a, const struct config *config, struct pendings *p)
{
    for (size_t i = 0; i < p->count; i++) {
        struct pending *k = &p->all[i];
        enum err error = alert_record_append(a, buf_str(&k->key), buf_str(&k->json));
        report(a, LOG_INFO, "event=alert state=%.*s summary=\"%.*s\"%s", STR_ARG(k->state),
               STR_ARG(buf_str(&k->summary)), error == ERR_OK ? "" : " note=\"not recorded\"");
        if (!k->silenced && error != ERR_CLOSED) /* closed: a successor watches now */
            tell_all(a, config, k);
        buf_release(&k->key);
        buf_release(&k->json);
        buf_release(&k->summary);
    }
}

static void evaluate(struct alerts *a)
{
    struct pendings *p = NEW(struct pendings);
    os_mutex_lock(&a->lock);
    alert_rules_evaluate(a, os_wall_us(), keep_event, p);
    a->stats.events += p->count;
    struct config *config = config_get(a->config);
    os_mutex_unlock(&a->lock);
    publish(a, config, p);
    config_put(config);
    mem_free(p);
}

/* ---- Reading ---- */

static int64_t longest_ms(const struct config *c)
{
    int64_t longest = 0;
    for (size_t i = 0; i < c->alert_count; i++) {
        int64_t ms = c->alerts[i].over_ms * (c->alerts[i].change ? 2 : 1);
        ms += c->alerts[i].over_ms / WINDOW_PARTS;
        longest = ms > longest ? ms : longest;
    }
    return longest;
}

static enum err open_cursor(struct alerts *a)
{
    int64_t offset;
    int64_t timestamp_ms;
    TRY(log_find_time(a->calls, os_wall_us() / 1000 - longest_ms(a->config), &offset,
                      &timestamp_ms));
    return log_cursor_open(a->calls, offset, LOG_FORWARD, &a->cursor);
}

/* With the lock. */
static void begin_anew(struct alerts *a)
{
    a->changed = false;
    alert_rules_free(a);
    alert_rules_make(a);
    if (a->cursor)
        log_cursor_close(a->cursor);
    a->cursor = NULL;
    enum err error = a->rule_count ? alert_records_fold(a) : ERR_OK;
    if (error == ERR_OK && a->rule_count)
        error = open_cursor(a);
    if (error != ERR_OK)
        report(a, LOG_WARN, "event=alerts_failed error=\"%s\"", err_text(error));
}

/* Some records; false when there are no more. */
static bool read_some(struct alerts *a)
{
    const struct log_entry *entry = NULL;
    size_t count = 0;
    while (count < READ_RECORDS_MAX && log_cursor_next(a->cursor, &entry) == ERR_OK && entry) {
        struct alert_facts facts;
        count++;
        if (alert_facts_read(entry->value, &a->scratch, &facts)) {
            os_mutex_lock(&a->lock);
            if (!a->changed)
                alert_rules_feed(a, &facts);
            os_mutex_unlock(&a->lock);
        }
        arena_reset(&a->scratch);
    }
    return count == READ_RECORDS_MAX;
}

static bool wait_for_work(struct alerts *a)
{
    os_mutex_lock(&a->lock);
    if (!a->stopping && !a->changed) {
        if (a->cursor)
            (void)os_cond_wait_for(&a->wanted, &a->lock, POLL_US);
        else
            os_cond_wait(&a->wanted, &a->lock);
    }
    if (a->changed && !a->stopping)
        begin_anew(a);
    bool on = !a->stopping;
    os_mutex_unlock(&a->lock);
    return on;
}

static void watch(void *arg)
{
    struct alerts *a = arg;
    while (wait_for_work(a)) {
        if (!a->cursor)
            continue;
        bool more = true;
        while (more) {
            more = read_some(a);
            os_mutex_lock(&a->lock);
            more = more && !a->stopping && !a->changed;
            os_mutex_unlock(&a->lock);
        }
        a->caught_up = true;
        evaluate(a);
    }
}

/* ---- Life ---- */

static void on_told(void *arg, const struct config_notify *to, struct str alert, enum err error,
                    struct str detail)
{
    struct alerts *a = arg;
    struct buf json BUF_AUTO;
    struct json_writer w;
    char time[TIME_TEXT_BYTES + 1];
    buf_init(&json, RECORD_BYTES_MAX);
    os_mutex_lock(&a->lock);
    a->stats.told += error == ERR_OK;
    a->stats.failed += error != ERR_OK;
    os_mutex_unlock(&a->lock);
    if (error == ERR_OK)
        return;
    report(a, LOG_WARN, "event=alert_not_told alert=\"%.*s\" to=\"%.*s\" error=\"%.*s\"",
           STR_ARG(alert), STR_ARG(to->name), STR_ARG(detail));
    json_writer_init(&w, &json);
    json_object_begin(&w);
    json_member_str(&w, STR("kind"), STR("failure"));
    json_member_str(&w, STR("alert"), alert);
    json_member_str(&w, STR("to"), to->name);
    json_member_str(&w, STR("error"), detail.len ? detail : str_from_c(err_text(error)));
    json_member_str(&w, STR("time"), time_format(os_wall_us(), time));
    json_object_end(&w);
    if (alert_record_append(a, alert, buf_str(&json)) != ERR_OK)
        report(a, LOG_WARN, "event=alert_not_recorded alert=\"%.*s\"", STR_ARG(alert));
}

static enum err open_parts(struct alerts *a, struct buf *detail)
{
    struct log_topic *topic = NULL;
    enum err error = log_topic_open(a->log, STR("weir.alerts"), &LOG_TOPIC_CONFIG_DEFAULT, &topic);
    if (error != ERR_OK) {
        buf_printf(detail, "topic weir.alerts: %s", err_text(error));
        return error;
    }
    a->topic = log_topic_part(topic, 0);
    const struct alert_sender_options options = {
        .ca_file = buf_str(&a->ca_file), .done = on_told, .arg = a};
    TRY(alert_sender_open(&options, &a->sender));
    return os_thread_start("alerts", watch, a, &a->thread);
}

static void release(struct alerts *a)
{
    alert_sender_close(a->sender);
    if (a->cursor)
        log_cursor_close(a->cursor);
    alert_rules_free(a);
    config_put(a->config);
    arena_release(&a->scratch);
    buf_release(&a->ca_file);
    os_cond_release(&a->wanted);
    os_mutex_release(&a->lock);
    mem_free(a);
}

enum err alerts_open(const struct alerts_options *options, struct buf *detail,
                     struct alerts **ret_alerts)
{
    struct alerts *a = NEW(struct alerts);
    a->log = options->log;
    a->calls = options->calls;
    a->report = options->report;
    a->report_arg = options->report_arg;
    a->config = config_get(options->config);
    a->changed = true;
    buf_init(&a->ca_file, 4096);
    buf_append_str(&a->ca_file, options->ca_file);
    arena_init(&a->scratch);
    os_mutex_init(&a->lock);
    os_cond_init(&a->wanted);
    enum err error = open_parts(a, detail);
    if (error != ERR_OK) {
        release(a);
        return error;
    }
    *ret_alerts = a;
    return ERR_OK;
}

void alerts_close(struct alerts *a)
{
    if (!a)
        return;
    os_mutex_lock(&a->lock);
    a->stopping = true;
    os_cond_signal(&a->wanted);
    os_mutex_unlock(&a->lock);
    os_thread_join(&a->thread);
    release(a);
}

void alerts_configure(struct alerts *a, struct config *config)
{
    os_mutex_lock(&a->lock);
    alert_rules_free(a); /* they point into it */
    config_put(a->config);
    a->config = config_get(config);
    a->changed = true;
    os_cond_signal(&a->wanted);
    os_mutex_unlock(&a->lock);
}

void alerts_stats(struct alerts *a, struct alerts_stats *ret_stats)
{
    os_mutex_lock(&a->lock);
    *ret_stats = a->stats;
    ret_stats->alerts = a->config->alert_count;
    os_mutex_unlock(&a->lock);
}
