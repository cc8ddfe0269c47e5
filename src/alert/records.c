/* weir.alerts: key = the alert's name, or name/group; value = JSON:
 *   {"kind":"event", …}           alert_event_write
 *   {"kind":"silence","alert":…,"until":"…"|null,"actor":…,"time":…}
 *   {"kind":"failure","alert":…,"to":…,"error":…,"time":…}     it could not be told */
#include "alert/alert_int.h"
#include "codec/time.h"

static bool text_of(struct str json, const char *path, struct arena *a, struct str *ret)
{
    struct json_value value;
    if (!json_find(json, path, &value) || value.kind != JSON_STRING)
        return false;
    *ret = json_text(&value, a);
    return true;
}

static int64_t time_of(struct str json, const char *path, struct arena *a)
{
    struct str text;
    int64_t us;
    return text_of(json, path, a, &text) && time_parse(text, &us) == ERR_OK ? us : 0;
}

static void apply_event(struct alert_rule *r, struct str json, struct arena *a)
{
    struct str group;
    struct str state;
    struct json_value silenced;
    if (!text_of(json, "group", a, &group) || !text_of(json, "state", a, &state))
        return;
    if (str_eq(state, STR("firing"))) {
        struct alert_group *g = alert_group_get(r, str_take(group, ALERT_GROUP_BYTES));
        g->firing = true;
        g->since_us = time_of(json, "since", a);
        if (json_find(json, "silenced", &silenced) && silenced.kind == JSON_FALSE)
            g->told_us = time_of(json, "time", a);
    } else if (str_eq(state, STR("resolved"))) {
        alert_group_get(r, str_take(group, ALERT_GROUP_BYTES))->firing = false;
    }
}

static void apply(struct alerts *a, struct str json)
{
    struct str kind;
    struct str alert;
    if (!text_of(json, "kind", &a->scratch, &kind) || !text_of(json, "alert", &a->scratch, &alert))
        return;
    struct alert_rule *r = alert_rule_find(a, alert);
    if (!r)
        return;
    if (str_eq(kind, STR("event")))
        apply_event(r, json, &a->scratch);
    else if (str_eq(kind, STR("silence")))
        r->silenced_us = time_of(json, "until", &a->scratch);
}

enum err alert_records_fold(struct alerts *a)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    enum err error;
    TRY(log_cursor_open(a->topic, log_part_start(a->topic), LOG_FORWARD, &cursor));
    while ((error = log_cursor_next(cursor, &entry)) == ERR_OK && entry) {
        apply(a, entry->value);
        arena_reset(&a->scratch);
    }
    log_cursor_close(cursor);
    return error;
}

enum err alert_record_append(struct alerts *a, struct str key, struct str json)
{
    struct log_record record = {.timestamp_ms = -1, .key = key, .value = &json, .value_parts = 1};
    int64_t offset;
    return log_append_wait(a->topic, &record, LOG_ACK_TOPIC, &offset);
}
