/* Rules and their groups. Under the alerts' lock. */
#include "alert/alert_int.h"
#include "base/mem.h"
#include "os/clock.h"

#define SWEEP_US INT64_C(2000000) /* those that nothing came to are looked at that often */

static size_t bucket_of(struct str name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.ptr[i]) * UINT64_C(0x100000001b3);
    return (size_t)(h ^ h >> 32) % ALERT_BUCKETS;
}

void alert_rules_make(struct alerts *a)
{
    a->rules = mem_array(a->config->alert_count + 1, sizeof *a->rules);
    a->rule_count = a->config->alert_count;
    a->caught_up = false;
    a->started_us = os_wall_us();
    for (size_t i = 0; i < a->rule_count; i++) {
        a->rules[i].config = &a->config->alerts[i];
        if (a->rules[i].config->by == CONFIG_BY_NONE)
            (void)alert_group_get(&a->rules[i], STR(""));
    }
}

static void free_group(struct alert_group *g)
{
    window_release(&g->window);
    mem_free(g);
}

void alert_rules_free(struct alerts *a)
{
    for (size_t i = 0; i < a->rule_count; i++) {
        for (size_t b = 0; b < ALERT_BUCKETS; b++) {
            struct alert_group *next;
            for (struct alert_group *g = a->rules[i].buckets[b]; g; g = next) {
                next = g->next;
                free_group(g);
            }
        }
    }
    mem_free(a->rules);
    a->rules = NULL;
    a->rule_count = 0;
}

struct alert_rule *alert_rule_find(struct alerts *a, struct str name)
{
    for (size_t i = 0; i < a->rule_count; i++)
        if (str_eq(a->rules[i].config->name, name))
            return &a->rules[i];
    return NULL;
}

static bool measures_time(const struct config_alert *c)
{
    return c->measure == CONFIG_MEASURE_TOTAL || c->measure == CONFIG_MEASURE_FIRST;
}

struct alert_group *alert_group_get(struct alert_rule *r, struct str name)
{
    size_t max = measures_time(r->config) ? ALERT_SPREAD_GROUPS_MAX : ALERT_GROUPS_MAX;
    struct alert_group *g = r->buckets[bucket_of(name)];
    while (g && !str_eq(str_of(g->name, g->name_len), name))
        g = g->next;
    if (g)
        return g;
    if (r->group_count >= max && !str_eq(name, STR("(other)")))
        return alert_group_get(r, STR("(other)"));
    g = mem_alloc(sizeof *g + name.len);
    memcpy(g->name, name.ptr, name.len);
    g->name_len = name.len;
    g->next = r->buckets[bucket_of(name)];
    r->buckets[bucket_of(name)] = g;
    r->group_count++;
    return g;
}

void alert_rules_feed(struct alerts *a, const struct alert_facts *f)
{
    for (size_t i = 0; i < a->rule_count; i++) {
        struct alert_rule *r = &a->rules[i];
        const struct config_alert *c = r->config;
        if (!alert_facts_pass(f, &c->where))
            continue;
        struct alert_group *g = alert_group_get(r, alert_facts_group(f, c->by));
        int64_t measured_us = c->measure == CONFIG_MEASURE_TOTAL   ? f->total_us
                              : c->measure == CONFIG_MEASURE_FIRST ? f->first_us
                                                                   : -1;
        window_add(&g->window, c, f, measured_us);
        g->dirty = true;
    }
}

/* ---- Evaluating ---- */

struct pass {
    struct alerts *alerts;
    int64_t now_us;
    bool (*emit)(void *arg, const struct alert_event *e);
    void *arg;
};

static bool tell(const struct pass *p, const struct alert_rule *r, struct alert_group *g,
                 enum alert_event_state state)
{
    bool silenced = r->silenced_us > p->now_us;
    const struct alert_event event = {
        .alert = r->config,
        .group = str_of(g->name, g->name_len),
        .state = state,
        .time_us = p->now_us,
        .since_us = g->since_us,
        .value = g->value,
        .again = g->told_us > 0,
        .silenced = silenced,
    };
    if (!p->emit(p->arg, &event))
        return false;
    if (state == ALERT_FIRING && !silenced)
        g->told_us = p->now_us;
    return true;
}

static void begin(const struct pass *p, const struct alert_rule *r, struct alert_group *g)
{
    g->since_us = p->now_us;
    g->told_us = 0;
    g->false_us = 0;
    g->firing = tell(p, r, g, ALERT_FIRING);
}

static void go_on(const struct pass *p, const struct alert_rule *r, struct alert_group *g,
                  bool holds)
{
    const struct config_alert *c = r->config;
    if (!holds) {
        if (!g->false_us)
            g->false_us = p->now_us;
        if (p->now_us - g->false_us < c->over_ms * 1000 / WINDOW_PARTS)
            return;
        g->firing = !tell(p, r, g, ALERT_RESOLVED);
        return;
    }
    g->false_us = 0;
    bool silenced = r->silenced_us > p->now_us;
    bool due = !g->told_us || (c->repeat_ms && p->now_us - g->told_us >= c->repeat_ms * 1000);
    if (due && !silenced)
        (void)tell(p, r, g, ALERT_FIRING);
}

static void evaluate(const struct pass *p, const struct alert_rule *r, struct alert_group *g)
{
    const struct config_alert *c = r->config;
    struct alert_value v = alert_evaluate(c, &g->window, p->now_us);
    g->dirty = false;
    g->value = v.value;
    /* What did not happen says something only after a whole window of listening. */
    if (c->below && p->now_us - p->alerts->started_us < c->over_ms * 1000 && !g->firing)
        return;
    if (g->firing)
        go_on(p, r, g, v.holds);
    else if (v.holds)
        begin(p, r, g);
}

void alert_rules_evaluate(struct alerts *a, int64_t now_us,
                          bool (*emit)(void *arg, const struct alert_event *e), void *arg)
{
    const struct pass p = {a, now_us, emit, arg};
    bool sweep = now_us - a->swept_us >= SWEEP_US || now_us < a->swept_us;
    a->stats.firing = 0;
    for (size_t i = 0; i < a->rule_count; i++) {
        struct alert_rule *r = &a->rules[i];
        for (size_t b = 0; b < ALERT_BUCKETS; b++) {
            struct alert_group **link = &r->buckets[b];
            while (*link) {
                struct alert_group *g = *link;
                if (sweep || g->dirty || g->firing)
                    evaluate(&p, r, g);
                a->stats.firing += g->firing;
                bool idle = sweep && !g->firing && r->config->by != CONFIG_BY_NONE &&
                            window_is_empty(&g->window, r->config, now_us);
                if (!idle) {
                    link = &g->next;
                    continue;
                }
                *link = g->next;
                r->group_count--;
                free_group(g);
            }
        }
    }
    if (sweep)
        a->swept_us = now_us;
}
