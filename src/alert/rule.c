/* From sums to a value, and from a value to words. */
#include "alert/alert_int.h"
#include "codec/time.h"

static double share(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

static double measure(const struct config_alert *alert, const struct window_sums *s)
{
    switch (alert->measure) {
    case CONFIG_MEASURE_CALLS: return (double)s->calls;
    case CONFIG_MEASURE_ERRORS: return (double)s->errors;
    case CONFIG_MEASURE_ERROR_RATE: return share(s->errors, s->calls);
    case CONFIG_MEASURE_COST: return s->cost;
    case CONFIG_MEASURE_INPUT: return (double)s->input;
    case CONFIG_MEASURE_OUTPUT: return (double)s->output;
    case CONFIG_MEASURE_TOKENS: return (double)(s->input + s->output);
    case CONFIG_MEASURE_TOTAL:
    case CONFIG_MEASURE_FIRST: return window_percentile(s, alert->percentile);
    case CONFIG_MEASURE_BURN: return share(s->errors, s->calls) / (1 - alert->objective);
    }
    return 0;
}

static bool past(const struct config_alert *alert, double value)
{
    return alert->below ? value < alert->limit : value > alert->limit;
}

struct alert_value alert_evaluate(const struct config_alert *alert, const struct window *w,
                                  int64_t now_us)
{
    struct window_sums sums;
    struct alert_value v;
    window_sum(w, alert, now_us, 0, WINDOW_PARTS + 1, &sums);
    v.value = measure(alert, &sums);
    bool enough = sums.calls >= (uint64_t)alert->calls_min;
    if (alert->change) {
        struct window_sums before;
        window_sum(w, alert, now_us, 0, WINDOW_PARTS, &sums);
        window_sum(w, alert, now_us, WINDOW_PARTS, WINDOW_PARTS, &before);
        double was = measure(alert, &before);
        v.value = was > 0 ? measure(alert, &sums) / was - 1 : 0;
        enough = enough && was > 0;
        if (alert->below) /* "change < 50%": it fell by more than half */
            v.value = -v.value;
        v.holds = enough && v.value > alert->limit;
        return v;
    }
    v.holds = enough && past(alert, v.value);
    if (alert->measure == CONFIG_MEASURE_BURN && v.holds) {
        window_sum(w, alert, now_us, 0, 2, &sums); /* and it still burns */
        v.holds = past(alert, measure(alert, &sums));
    }
    return v;
}

void alert_value_append(struct buf *b, const struct config_alert *alert, double value)
{
    if (alert->change)
        buf_printf(b, "%s by %.4g %%", alert->below ? "down" : "up", value * 100);
    else if (alert->measure == CONFIG_MEASURE_ERROR_RATE)
        buf_printf(b, "%.4g %%", value * 100);
    else if (alert->measure == CONFIG_MEASURE_COST)
        buf_printf(b, "$%.4g", value);
    else if (alert->measure == CONFIG_MEASURE_TOTAL || alert->measure == CONFIG_MEASURE_FIRST)
        buf_printf(b, "%.3g s", value);
    else
        buf_printf(b, "%.6g", value);
}

/* ---- Events ---- */

const char *alert_event_state_name(enum alert_event_state state)
{
    static const char *const names[] = {"firing", "resolved", "test"};
    return names[state];
}

void alert_event_summary(const struct alert_event *e, struct buf *text)
{
    const struct config_alert *a = e->alert;
    char over[TIME_SPAN_TEXT_BYTES];
    struct str measured = a->when;
    struct str name = str_split(&measured, ' ');
    if (e->state == ALERT_TEST)
        buf_append_str(text, STR("Test of "));
    buf_printf(text, "%.*s: %.*s", STR_ARG(a->name), STR_ARG(name));
    if (a->by != CONFIG_BY_NONE && e->state != ALERT_TEST)
        buf_printf(text, " of %.*s %.*s", STR_ARG(config_alert_by_name(a->by)), STR_ARG(e->group));
    buf_append_str(text, e->state == ALERT_RESOLVED ? STR(" is well again, ") : STR(" is "));
    if (e->state == ALERT_TEST)
        buf_append_str(text, STR("watched"));
    else
        alert_value_append(text, a, e->value);
    buf_printf(text, " over %.*s (%.*s)", STR_ARG(time_span_format(a->over_ms, over)),
               STR_ARG(a->when));
}

void alert_event_write(const struct alert_event *e, struct buf *json)
{
    char time[TIME_TEXT_BYTES + 1];
    struct json_writer w;
    struct buf summary BUF_AUTO;
    buf_init(&summary, 4096);
    alert_event_summary(e, &summary);
    json_writer_init(&w, json);
    json_object_begin(&w);
    json_member_str(&w, STR("kind"), STR("event"));
    json_member_str(&w, STR("alert"), e->alert->name);
    json_member_str(&w, STR("state"), str_from_c(alert_event_state_name(e->state)));
    json_member_str(&w, STR("by"), config_alert_by_name(e->alert->by));
    json_member_str(&w, STR("group"), e->group);
    json_member_str(&w, STR("time"), time_format(e->time_us, time));
    json_member_str(&w, STR("since"), time_format(e->since_us, time));
    json_member_str(&w, STR("when"), e->alert->when);
    json_key(&w, STR("value"));
    json_double(&w, e->value);
    json_key(&w, STR("limit"));
    json_double(&w, e->alert->limit);
    json_member_i64(&w, STR("over_ms"), e->alert->over_ms);
    json_member_bool(&w, STR("again"), e->again);
    json_member_bool(&w, STR("silenced"), e->silenced);
    json_member_str(&w, STR("summary"), buf_str(&summary));
    json_object_end(&w);
}
