/* What is asked of the alerts: a list, silence, a test. */
#include "alert/alert_int.h"
#include "base/mem.h"
#include "codec/time.h"
#include "os/clock.h"

enum { SHOWN_GROUPS_MAX = 200 /* of an alert; those that fire come first */ };

/* ---- The list ---- */

static void write_time_or_null(struct json_writer *w, struct str key, int64_t us)
{
    char text[TIME_TEXT_BYTES + 1];
    json_member_str_or_null(w, key, us > 0 ? time_format(us, text) : STR_NONE);
}

static void write_group(struct json_writer *w, const struct config_alert *c,
                        const struct alert_group *g)
{
    struct buf shown BUF_AUTO;
    buf_init(&shown, 256);
    alert_value_append(&shown, c, g->value);
    json_object_begin(w);
    json_member_str(w, STR("group"), str_of(g->name, g->name_len));
    json_member_bool(w, STR("firing"), g->firing);
    json_key(w, STR("value"));
    json_double(w, g->value);
    json_member_str(w, STR("shown"), buf_str(&shown));
    write_time_or_null(w, STR("since"), g->firing ? g->since_us : 0);
    write_time_or_null(w, STR("told"), g->firing ? g->told_us : 0);
    json_object_end(w);
}

static size_t write_groups(struct json_writer *w, const struct alert_rule *r, bool firing,
                           size_t shown)
{
    for (size_t b = 0; b < ALERT_BUCKETS; b++)
        for (const struct alert_group *g = r->buckets[b]; g && shown < SHOWN_GROUPS_MAX;
             g = g->next) {
            if (g->firing != firing)
                continue;
            write_group(w, r->config, g);
            shown++;
        }
    return shown;
}

static bool is_firing(const struct alert_rule *r)
{
    for (size_t b = 0; b < ALERT_BUCKETS; b++)
        for (const struct alert_group *g = r->buckets[b]; g; g = g->next)
            if (g->firing)
                return true;
    return false;
}

static void write_where(struct json_writer *w, const struct config_alert_filter *f)
{
    const struct {
        struct str name;
        struct str value;
    } all[] = {{STR("model"), f->model},     {STR("target"), f->target},
               {STR("key"), f->key},         {STR("endpoint"), f->endpoint},
               {STR("outcome"), f->outcome}, {STR("user"), f->user},
               {STR("status"), f->status},   {STR("q"), f->q}};
    json_key(w, STR("where"));
    json_object_begin(w);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].value.len)
            json_member_str(w, all[i].name, all[i].value);
    json_object_end(w);
}

static void write_rule(struct json_writer *w, const struct alerts *a, const struct alert_rule *r,
                       int64_t now_us)
{
    const struct config_alert *c = r->config;
    json_object_begin(w);
    json_member_str(w, STR("name"), c->name);
    json_member_str(w, STR("when"), c->when);
    json_member_i64(w, STR("over_ms"), c->over_ms);
    json_member_str(w, STR("by"), config_alert_by_name(c->by));
    write_where(w, &c->where);
    json_key(w, STR("to"));
    json_array_begin(w);
    for (size_t i = 0; i < c->to_count; i++)
        json_str(w, a->config->notify[c->to[i]].name);
    json_array_end(w);
    json_member_bool(w, STR("firing"), is_firing(r));
    write_time_or_null(w, STR("silenced_until"), r->silenced_us > now_us ? r->silenced_us : 0);
    json_member_u64(w, STR("group_count"), r->group_count);
    json_key(w, STR("groups"));
    json_array_begin(w);
    write_groups(w, r, false, write_groups(w, r, true, 0));
    json_array_end(w);
    json_object_end(w);
}

void alerts_write(struct alerts *a, struct buf *json)
{
    struct json_writer w;
    int64_t now_us = os_wall_us();
    json_writer_init(&w, json);
    json_object_begin(&w);
    json_key(&w, STR("alerts"));
    json_array_begin(&w);
    os_mutex_lock(&a->lock);
    for (size_t i = 0; i < a->rule_count; i++)
        write_rule(&w, a, &a->rules[i], now_us);
    json_array_end(&w);
    json_key(&w, STR("notify"));
    json_array_begin(&w);
    for (size_t i = 0; i < a->config->notify_count; i++) {
        static const char *const forms[] = {"webhook", "slack", "mail"};
        json_object_begin(&w);
        json_member_str(&w, STR("name"), a->config->notify[i].name);
        json_member_str(&w, STR("form"), str_from_c(forms[a->config->notify[i].form]));
        json_object_end(&w);
    }
    json_array_end(&w);
    json_member_u64(&w, STR("told"), a->stats.told);
    json_member_u64(&w, STR("failed"), a->stats.failed);
    os_mutex_unlock(&a->lock);
    json_object_end(&w);
}

/* ---- Silence ---- */

enum err alerts_silence(struct alerts *a, struct str name, int64_t until_us, struct str actor)
{
    struct buf json BUF_AUTO;
    struct json_writer w;
    char time[TIME_TEXT_BYTES + 1];
    buf_init(&json, 8192);
    os_mutex_lock(&a->lock);
    bool there = alert_rule_find(a, name) != NULL;
    os_mutex_unlock(&a->lock);
    if (!there)
        return ERR_NOT_FOUND;
    json_writer_init(&w, &json);
    json_object_begin(&w);
    json_member_str(&w, STR("kind"), STR("silence"));
    json_member_str(&w, STR("alert"), name);
    write_time_or_null(&w, STR("until"), until_us);
    json_member_str(&w, STR("actor"), actor);
    json_member_str(&w, STR("time"), time_format(os_wall_us(), time));
    json_object_end(&w);
    TRY(alert_record_append(a, name, buf_str(&json)));
    os_mutex_lock(&a->lock);
    struct alert_rule *r = alert_rule_find(a, name);
    if (r)
        r->silenced_us = until_us;
    os_mutex_unlock(&a->lock);
    return ERR_OK;
}

/* ---- A test ---- */

static void write_result(struct json_writer *w, const struct config_notify *to, enum err error,
                         struct str detail, uint64_t took_us)
{
    json_object_begin(w);
    json_member_str(w, STR("to"), to->name);
    json_member_bool(w, STR("ok"), error == ERR_OK);
    json_member_str_or_null(w, STR("error"),
                            error == ERR_OK ? STR_NONE
                            : detail.len    ? detail
                                            : str_from_c(err_text(error)));
    json_member_u64(w, STR("ms"), took_us / 1000);
    json_object_end(w);
}

static void test_one(const struct alerts *a, const struct config_notify *to,
                     const struct alert_message *m, struct json_writer *w)
{
    struct buf detail BUF_AUTO;
    buf_init(&detail, 4096);
    uint64_t begun_us = os_now_us();
    enum err error = alert_send(to, m, buf_str(&a->ca_file), &detail);
    write_result(w, to, error, buf_str(&detail), os_now_us() - begun_us);
}

enum err alerts_test(struct alerts *a, struct str name, struct buf *json)
{
    struct buf event BUF_AUTO;
    struct buf summary BUF_AUTO;
    struct json_writer w;
    const struct config_alert *alert = NULL;
    buf_init(&event, 65536);
    buf_init(&summary, 4096);
    os_mutex_lock(&a->lock);
    struct config *config = config_get(a->config);
    os_mutex_unlock(&a->lock);
    for (size_t i = 0; i < config->alert_count; i++)
        if (str_eq(config->alerts[i].name, name))
            alert = &config->alerts[i];
    if (!alert) {
        config_put(config);
        return ERR_NOT_FOUND;
    }
    int64_t now_us = os_wall_us();
    const struct alert_event test = {.alert = alert,
                                     .group = STR(""),
                                     .state = ALERT_TEST,
                                     .time_us = now_us,
                                     .since_us = now_us,
                                     .value = alert->limit};
    alert_event_write(&test, &event);
    alert_event_summary(&test, &summary);
    const struct alert_message message = {buf_str(&summary), buf_str(&event), STR("test")};
    enum err recorded = alert_record_append(a, name, buf_str(&event));
    json_writer_init(&w, json);
    json_object_begin(&w);
    json_member_bool(&w, STR("recorded"), recorded == ERR_OK);
    json_key(&w, STR("results"));
    json_array_begin(&w);
    for (size_t i = 0; i < alert->to_count; i++)
        test_one(a, &config->notify[alert->to[i]], &message, &w);
    json_array_end(&w);
    json_object_end(&w);
    config_put(config);
    return ERR_OK;
}
