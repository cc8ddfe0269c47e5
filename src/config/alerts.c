/* alerts: when somebody is to be told; notify: who is told, and how. */
#include "config/config_int.h"

#include <math.h>
#include <stdlib.h>

#include "codec/time.h"

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define DAY_MS    (24 * 60 * MINUTE_MS)

enum { MAIL_PORT = 25, MAIL_TLS_PORT = 465 };

/* ---- notify ---- */

struct notify_draft {
    struct config_notify notify;
    const struct node *webhook, *smtp, *form, *to;
};

static void read_node(struct loader *l, const struct field *field, const struct node *n,
                      void *object)
{
    (void)l;
    *(const struct node **)(void *)((char *)object + field->offset) = n;
}

static void read_notify_headers(struct loader *l, const struct field *field, const struct node *n,
                                void *object)
{
    struct config_notify *to = object;
    (void)field;
    headers_read(l, n, &to->headers, &to->header_count);
}

/* The URL may hold a secret: it is not shown. */
static void take_webhook(struct loader *l, const struct node *n, struct config_notify *to)
{
    struct config_url url;
    struct str text;
    const char *why = NULL;
    if (!scalar_text(l, n, "a URL", &text))
        return;
    if (config_url_parse(l->arena, text, &url, &why) != ERR_OK)
        mistake(l, n, "%s: is no URL: %s", node_path(l, n), why);
    else
        to->url = arena_str(l->arena, text);
}

/* smtp://host:587 or smtps://host */
static void take_smtp(struct loader *l, const struct node *n, struct config_notify *to)
{
    struct str text;
    struct config_address address;
    if (!scalar_text(l, n, "a server, as smtp://mail.example.com:587", &text))
        return;
    to->tls = str_starts(text, STR("smtps://"));
    struct str host = str_skip(text, to->tls ? 8 : 7);
    bool good = (to->tls || str_starts(text, STR("smtp://"))) && host.len > 0;
    to->port = to->tls ? MAIL_TLS_PORT : MAIL_PORT;
    to->host = arena_str(l->arena, host);
    to->form = CONFIG_NOTIFY_MAIL;
    if (good && str_index(host, ':') >= 0) {
        good = config_address_parse(host, &address) == ERR_OK;
        if (good) {
            to->host = arena_str(l->arena, address.host);
            to->port = address.port;
        }
    }
    if (!good)
        mistake(l, n, "%s: '%s' is not smtp://HOST:PORT or smtps://HOST:PORT", node_path(l, n),
                node_shown(l, n));
}

/* Nothing that could end a line or an address of SMTP. */
static bool is_mail_address(struct str text)
{
    bool at = false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= 0x20 || c == 0x7f || c == '<' || c == '>' || c == ',' || c == '"')
            return false;
        at |= c == '@' && i > 0 && i + 1 < text.len;
    }
    return at && text.len <= 254;
}

static bool take_mail_address(struct loader *l, const struct node *n, struct str *ret)
{
    struct str text;
    if (!scalar_text(l, n, "an address, as ops@example.com", &text))
        return false;
    if (!is_mail_address(text)) {
        mistake(l, n, "%s: '%s' is not an address, as ops@example.com", node_path(l, n),
                node_shown(l, n));
        return false;
    }
    *ret = arena_str(l->arena, text);
    return true;
}

static void read_mail_address(struct loader *l, const struct field *field, const struct node *n,
                              void *object)
{
    (void)take_mail_address(l, n, (struct str *)(void *)((char *)object + field->offset));
}

static void take_recipients(struct loader *l, const struct node *n, struct config_notify *to)
{
    if (!expect_list(l, n, CONFIG_RECIPIENTS_MAX, "a list of addresses"))
        return;
    struct str *all = ARENA_ARRAY(l->arena, struct str, n->count + 1);
    for (const struct node *child = n->first; child; child = child->next)
        if (take_mail_address(l, child, &all[to->recipient_count]))
            to->recipient_count++;
    to->recipients = all;
}

static void check_notify(struct loader *l, const struct node *n, const struct notify_draft *d)
{
    const struct config_notify *to = &d->notify;
    if (!d->webhook == !d->smtp)
        mistake(l, n, "%s: write one of 'webhook' and 'smtp'", node_path(l, n));
    else if (d->smtp && (!to->from.len || !to->recipient_count))
        mistake(l, n, "%s: mail needs 'from' and 'to'", node_path(l, n));
    else if (d->webhook && (d->to || to->from.len || to->user.len))
        mistake(l, n, "%s: 'from', 'to', 'user' and 'password' belong to 'smtp'", node_path(l, n));
    else if (d->smtp && (d->form || to->header_count))
        mistake(l, n, "%s: 'form' and 'headers' belong to 'webhook'", node_path(l, n));
    else if (!to->user.len != !to->password.len)
        mistake(l, n, "%s: 'user' and 'password' go together", node_path(l, n));
}

static void read_one_notify(struct loader *l, const struct node *n, struct config_notify *ret)
{
    static const struct choice forms[] = {
        {"json", CONFIG_NOTIFY_JSON, NULL}, {"slack", CONFIG_NOTIFY_SLACK, NULL}, {0}};
    static const struct field fields[] = {
        FIELD("webhook", read_node, struct notify_draft, webhook),
        FIELD("form", read_node, struct notify_draft, form),
        FIELD("headers", read_notify_headers, struct notify_draft, notify),
        FIELD("internal", read_bool, struct notify_draft, notify.internal),
        FIELD("smtp", read_node, struct notify_draft, smtp),
        FIELD("from", read_mail_address, struct notify_draft, notify.from),
        FIELD("to", read_node, struct notify_draft, to),
        FIELD("user", read_text, struct notify_draft, notify.user),
        FIELD("password", read_text, struct notify_draft, notify.password),
    };
    static const struct field form =
        FIELD_OF("form", read_choice, struct config_notify, form, forms);
    struct notify_draft d = {.notify = {.name = arena_str(l->arena, n->key->text)}};
    unsigned before = l->mistakes;
    if (!READ_MAP(l, n, fields, &d))
        return;
    if (d.webhook)
        take_webhook(l, d.webhook, &d.notify);
    if (d.form)
        read_choice(l, &form, d.form, &d.notify);
    if (d.smtp)
        take_smtp(l, d.smtp, &d.notify);
    if (d.to)
        take_recipients(l, d.to, &d.notify);
    if (l->mistakes == before)
        check_notify(l, n, &d);
    *ret = d.notify;
}

void read_notify(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    struct config *c = object;
    (void)field;
    if (!expect_map(l, n, CONFIG_NOTIFY_MAX, "a mapping: {ops: {webhook: https://…}}"))
        return;
    struct config_notify *all = ARENA_ARRAY(l->arena, struct config_notify, n->count + 1);
    for (const struct node *child = n->first; child; child = child->next)
        if (check_name(l, child->key, child->key->text, "recipient", ""))
            read_one_notify(l, child, &all[c->notify_count++]);
    c->notify = all;
}

/* ---- when ---- */

static const char when_how[] =
    "write a measure, '>' or '<', and a value: 'error_rate > 5%', 'cost > 10', 'p99 > 2s', "
    "'first_token_p90 > 800ms', 'calls < 1', 'tokens change > 50%', 'burn > 14.4'";

enum unit { UNIT_COUNT, UNIT_SHARE, UNIT_TIME };

static const struct {
    const char *name;
    enum config_measure measure;
    enum unit unit;
} measures[] = {
    {"calls", CONFIG_MEASURE_CALLS, UNIT_COUNT},
    {"errors", CONFIG_MEASURE_ERRORS, UNIT_COUNT},
    {"error_rate", CONFIG_MEASURE_ERROR_RATE, UNIT_SHARE},
    {"cost", CONFIG_MEASURE_COST, UNIT_COUNT},
    {"input", CONFIG_MEASURE_INPUT, UNIT_COUNT},
    {"output", CONFIG_MEASURE_OUTPUT, UNIT_COUNT},
    {"tokens", CONFIG_MEASURE_TOKENS, UNIT_COUNT},
    {"burn", CONFIG_MEASURE_BURN, UNIT_COUNT},
};

/* "p50" … "p99", "p999". */
static bool take_percentile(struct str text, struct config_alert *a)
{
    uint64_t digits;
    a->measure = CONFIG_MEASURE_TOTAL;
    if (str_starts(text, STR("first_token_"))) {
        a->measure = CONFIG_MEASURE_FIRST;
        text = str_skip(text, sizeof "first_token_" - 1);
    }
    if (text.len < 3 || text.len > 4 || text.ptr[0] != 'p' ||
        str_to_u64(str_skip(text, 1), &digits) != ERR_OK)
        return false;
    a->percentile = (int)(text.len == 3 ? digits * 10 : digits);
    return a->percentile > 0;
}

static bool take_measure(struct str text, struct config_alert *a, enum unit *ret_unit)
{
    for (size_t i = 0; i < sizeof measures / sizeof measures[0]; i++) {
        if (!str_eq(text, str_from_c(measures[i].name)))
            continue;
        a->measure = measures[i].measure;
        *ret_unit = measures[i].unit;
        return true;
    }
    *ret_unit = UNIT_TIME;
    return take_percentile(text, a);
}

/* "5%", "0.5", "2s", "800ms". */
static bool take_limit(struct str text, enum unit unit, double *ret_limit)
{
    char digits[64];
    char *end = NULL;
    int64_t ms;
    if (unit == UNIT_TIME && time_span_parse(text, &ms) == ERR_OK) {
        *ret_limit = (double)ms / 1000;
        return ms > 0;
    }
    bool percent = str_ends(text, STR("%"));
    struct str number = str_take(text, text.len - percent);
    if (!number.len || number.len >= sizeof digits || unit == UNIT_TIME ||
        (unit == UNIT_COUNT && percent))
        return false;
    memcpy(digits, number.ptr, number.len);
    digits[number.len] = 0;
    double value = strtod(digits, &end);
    if (end != digits + number.len || !isfinite(value) || value < 0 ||
        (digits[0] < '0' || digits[0] > '9'))
        return false;
    *ret_limit = percent ? value / 100 : value;
    return true;
}

static bool parse_when(struct str text, struct config_alert *a)
{
    struct str words[5];
    size_t count = 0;
    enum unit unit;
    struct str rest = text;
    while (rest.ptr) {
        struct str word = str_split(&rest, ' ');
        if (word.len && count == 5)
            return false;
        if (word.len)
            words[count++] = word;
    }
    if (count < 3 || count > 4 || !take_measure(words[0], a, &unit))
        return false;
    a->change = count == 4;
    if (a->change && (!str_eq(words[1], STR("change")) || a->measure == CONFIG_MEASURE_BURN))
        return false;
    a->below = str_eq(words[count - 2], STR("<"));
    if (!a->below && !str_eq(words[count - 2], STR(">")))
        return false;
    return take_limit(words[count - 1], a->change ? UNIT_SHARE : unit, &a->limit);
}

static void read_when(struct loader *l, const struct field *field, const struct node *n,
                      void *object)
{
    struct config_alert *a = object;
    struct str text;
    (void)field;
    if (!scalar_text(l, n, "a condition", &text))
        return;
    if (parse_when(text, a))
        a->when = arena_str(l->arena, str_trim(text));
    else
        mistake(l, n, "%s: '%s' is no condition: %s", node_path(l, n), node_shown(l, n), when_how);
}

/* ---- alerts ---- */

static const struct choice by_choices[] = {
    {"model", CONFIG_BY_MODEL, NULL},
    {"target", CONFIG_BY_TARGET, NULL},
    {"key", CONFIG_BY_KEY, NULL},
    {"endpoint", CONFIG_BY_ENDPOINT, NULL},
    {"outcome", CONFIG_BY_OUTCOME, NULL},
    {"user", CONFIG_BY_USER, NULL},
    {0},
};

struct str config_alert_by_name(enum config_alert_by by)
{
    for (const struct choice *c = by_choices; c->name; c++)
        if (c->value == (int)by)
            return str_from_c(c->name);
    return STR("");
}

/* "99.5%" */
static void read_objective(struct loader *l, const struct field *field, const struct node *n,
                           void *object)
{
    struct str text;
    double value;
    if (!scalar_text(l, n, "a share, as 99.5%", &text))
        return;
    if (!str_ends(text, STR("%")) || !take_limit(text, UNIT_SHARE, &value) || value >= 1 ||
        value < 0.5)
        mistake(l, n, "%s: '%s' is not a share from 50%% to below 100%%, as 99.5%%",
                node_path(l, n), node_shown(l, n));
    else
        *(double *)(void *)((char *)object + field->offset) = value;
}

static void read_where(struct loader *l, const struct field *field, const struct node *n,
                       void *object)
{
    static const struct field fields[] = {
        FIELD("model", read_text, struct config_alert_filter, model),
        FIELD("target", read_text, struct config_alert_filter, target),
        FIELD("key", read_text, struct config_alert_filter, key),
        FIELD("endpoint", read_text, struct config_alert_filter, endpoint),
        FIELD("outcome", read_text, struct config_alert_filter, outcome),
        FIELD("user", read_text, struct config_alert_filter, user),
        FIELD("status", read_text, struct config_alert_filter, status),
        FIELD("q", read_text, struct config_alert_filter, q),
    };
    (void)field;
    READ_MAP(l, n, fields, &((struct config_alert *)object)->where);
}

static void take_to(struct loader *l, const struct node *n, struct config_alert *a)
{
    const struct config *c = l->config;
    if (!expect_list(l, n, CONFIG_NOTIFY_MAX, "a list of names under 'notify'"))
        return;
    uint32_t *to = ARENA_ARRAY(l->arena, uint32_t, n->count + 1);
    for (const struct node *child = n->first; child; child = child->next) {
        struct str name;
        size_t i = 0;
        if (!scalar_text(l, child, "a name under 'notify'", &name))
            continue;
        struct suggestion near = suggestion_for(name);
        for (; i < c->notify_count && !str_eq(c->notify[i].name, name); i++)
            suggestion_offer(&near, c->notify[i].name);
        if (i < c->notify_count)
            to[a->to_count++] = (uint32_t)i;
        else
            mistake(l, child, "%s: nobody under 'notify' is named '%s'%s%.*s%s",
                    node_path(l, child), node_shown(l, child),
                    near.best.ptr ? ", did you mean '" : "", STR_ARG(near.best),
                    near.best.ptr ? "'?" : "");
    }
    a->to = to;
}

struct alert_draft {
    struct config_alert alert; /* first: fields read into it */
    const struct node *to;
};

static void read_alert(struct loader *l, const struct node *n, struct config_alert *ret)
{
    static const struct field fields[] = {
        {.name = "when", .read = read_when},
        FIELD_IN("over", read_span, struct config_alert, over_ms, MINUTE_MS / 6, 31 * DAY_MS),
        FIELD_OF("by", read_choice, struct config_alert, by, by_choices),
        {.name = "where", .read = read_where},
        FIELD("objective", read_objective, struct config_alert, objective),
        FIELD_IN("min_calls", read_int64, struct config_alert, calls_min, 0, INT64_C(1) << 40),
        FIELD_IN("repeat", read_span_or_zero, struct config_alert, repeat_ms, MINUTE_MS,
                 366 * DAY_MS),
        FIELD("to", read_node, struct alert_draft, to),
    };
    struct alert_draft d = {.alert = {.name = arena_str(l->arena, n->key->text),
                                      .over_ms = 5 * MINUTE_MS,
                                      .objective = 0.99}};
    unsigned before = l->mistakes;
    if (!READ_MAP(l, n, fields, &d))
        return;
    if (d.to)
        take_to(l, d.to, &d.alert);
    if (l->mistakes == before && !d.alert.when.len)
        mistake(l, n, "%s: 'when' is missing: %s", node_path(l, n), when_how);
    if (l->mistakes == before && d.alert.below && d.alert.by != CONFIG_BY_NONE)
        mistake(l, n, "%s: '<' does not go with 'by': what never called has no group",
                node_path(l, n));
    *ret = d.alert;
}

void alerts_read(struct loader *l)
{
    const struct node *n = l->alerts;
    if (!n || !expect_map(l, n, CONFIG_ALERTS_MAX, "a mapping: {errors: {when: 'errors > 10'}}"))
        return;
    struct config_alert *all = ARENA_ARRAY(l->arena, struct config_alert, n->count + 1);
    for (const struct node *child = n->first; child; child = child->next)
        if (check_name(l, child->key, child->key->text, "alert", "/"))
            read_alert(l, child, &all[l->config->alert_count++]);
    l->config->alerts = all;
}
