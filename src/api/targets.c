/* What Weir knows of the targets, for /api/v1/status and /metrics. */
#include "state/targets.h"
#include "api/api_int.h"
#include "codec/json_write.h"
#include "os/clock.h"

static uint64_t load(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- Status ---- */

static void write_skips(struct json_writer *w, const struct target_state *t)
{
    json_key(w, STR("skipped"));
    json_object_begin(w);
    for (int i = TARGET_SKIP_NONE + 1; i < TARGET_SKIP_COUNT; i++)
        if (load(&t->skipped[i]))
            json_member_u64(w, str_from_c(target_skip_name((enum target_skip)i)),
                            load(&t->skipped[i]));
    json_object_end(w);
}

static void write_target(void *arg, const struct target_state *t)
{
    struct json_writer *w = arg;
    uint64_t now_us = os_now_us();
    uint64_t up_us = target_up_at_us(t);
    json_object_begin(w);
    json_member_str(w, STR("name"), target_state_name(t));
    json_member_i64(w, STR("in_flight"), atomic_load(&t->in_flight));
    json_member_u64(w, STR("attempts"), load(&t->attempts));
    json_member_u64(w, STR("ok"), load(&t->ok));
    json_member_u64(w, STR("faults"), load(&t->faults));
    json_member_str(w, STR("breaker"), str_from_c(breaker_state_name(breaker_state(&t->breaker))));
    json_member_u64(w, STR("opened"), load(&t->breaker.opened));
    json_member_bool(w, STR("healthy"), !atomic_load(&t->provider->down));
    json_member_u64(w, STR("up_in_ms"), up_us > now_us ? (up_us - now_us) / 1000 : 0);
    json_member_u64(w, STR("first_byte_us"), (uint64_t)target_latency_us(t, now_us));
    write_skips(w, t);
    json_object_end(w);
}

void api_targets_status(struct json_writer *w, struct gateway *g)
{
    json_key(w, STR("targets"));
    json_array_begin(w);
    targets_each(gateway_targets(g), write_target, w);
    json_array_end(w);
}

/* ---- Metrics ---- */

struct series {
    struct buf *b;
    const char *name;
    uint64_t (*value)(const struct target_state *t);
};

static void append_target(struct buf *b, const char *name, const struct target_state *t)
{
    buf_printf(b, "weir_target_%s{target=\"", name);
    api_metric_label(b, target_state_name(t));
}

static void sample(void *arg, const struct target_state *t)
{
    const struct series *s = arg;
    append_target(s->b, s->name, t);
    buf_printf(s->b, "\"} %llu\n", (unsigned long long)s->value(t));
}

static void sample_skips(void *arg, const struct target_state *t)
{
    const struct series *s = arg;
    for (int i = TARGET_SKIP_NONE + 1; i < TARGET_SKIP_COUNT; i++) {
        if (!load(&t->skipped[i]))
            continue;
        append_target(s->b, s->name, t);
        buf_printf(s->b, "\",reason=\"%s\"} %llu\n", target_skip_name((enum target_skip)i),
                   (unsigned long long)load(&t->skipped[i]));
    }
}

static uint64_t attempts(const struct target_state *t)
{
    return load(&t->attempts);
}

static uint64_t faults(const struct target_state *t)
{
    return load(&t->faults);
}

static uint64_t in_flight(const struct target_state *t)
{
    return (uint64_t)atomic_load(&t->in_flight);
}

static uint64_t breaker_open(const struct target_state *t)
{
    return breaker_state(&t->breaker) != BREAKER_CLOSED;
}

static uint64_t healthy(const struct target_state *t)
{
    return !atomic_load(&t->provider->down);
}

void api_targets_metrics(struct buf *b, struct gateway *g)
{
    static const struct {
        const char *name;
        const char *type;
        const char *help;
        uint64_t (*value)(const struct target_state *t);
    } all[] = {
        {"attempts_total", "counter", "Attempts at the target.", attempts},
        {"faults_total", "counter", "Attempts that failed by the target's fault.", faults},
        {"in_flight", "gauge", "Attempts under way.", in_flight},
        {"breaker_open", "gauge", "1: its breaker is open or half open.", breaker_open},
        {"healthy", "gauge", "0: its provider's health probe fails.", healthy},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct series s = {b, all[i].name, all[i].value};
        buf_printf(b, "# HELP weir_target_%s %s\n# TYPE weir_target_%s %s\n", s.name, all[i].help,
                   s.name, all[i].type);
        targets_each(gateway_targets(g), sample, &s);
    }
    struct series s = {.b = b, .name = "skipped_total"};
    buf_printf(b, "# HELP weir_target_skipped_total Times that the target was passed over.\n"
                  "# TYPE weir_target_skipped_total counter\n");
    targets_each(gateway_targets(g), sample_skips, &s);
}
