/* An ended call, counted for /metrics (state/meters.h): each attempt as OpenTelemetry's client, the
 * call as its server, and what its key used. Some twenty adds in memory that only this loop
 * writes. */
#include <stdio.h>

#include "call/call_int.h"
#include "os/clock.h"
#include "state/meters.h"

/* As the conventions name providers, where the configuration's name is not that. */
static struct str provider_name(const struct config_provider *p)
{
    switch (p->api) {
    case CONFIG_API_AZURE: return STR("azure.ai.openai");
    case CONFIG_API_GEMINI: return STR("gcp.gemini");
    default: return p->name;
    }
}

static struct meter *meter_of(const struct call *c, const struct config_target *target,
                              struct str error)
{
    const struct meter_name name = {
        .kind = METER_CALLS,
        .operation = c->endpoint->operation,
        .provider = provider_name(target->provider),
        .model = target->model,
        .error = error,
    };
    return meters_get(c->gl->gateway->meters, &name);
}

/* A status where there is one, else the attempt's short name; empty: it went well. */
static struct str attempt_error(const struct call *c, const struct call_attempt *a, char text[16])
{
    if (a->error && a->status < 400)
        return str_from_c(a->error);
    if (a->status >= 400)
        return str_of(text, (size_t)snprintf(text, 16, "%d", a->status));
    return c->outcome == CALL_CANCELLED ? STR("cancelled") : STR_NONE;
}

static uint64_t between(uint64_t from_us, uint64_t to_us)
{
    return to_us > from_us ? to_us - from_us : 0;
}

static void meter_attempts(const struct call *c)
{
    for (size_t i = 0; i < c->attempt_count; i++) {
        const struct call_attempt *a = &c->attempts[i];
        char text[16];
        if (!a->timing.end_us)
            continue;
        struct meter *m = meter_of(c, a->target, attempt_error(c, a, text));
        meter_add(m, c->gl->index, METER_CLIENT, between(a->timing.started_us, a->timing.end_us));
    }
}

/* How long a stream let its reader wait. */
static void meter_stream(const struct call *c, struct meter *m, uint64_t end_us)
{
    unsigned loop = c->gl->index;
    if (!c->streaming || !c->first_token_us)
        return;
    const struct call_attempt *a = call_attempt_now(c);
    meter_add(m, loop, METER_CHUNK, between(a->timing.started_us, c->first_token_us));
    meter_add(m, loop, METER_FIRST, between(c->x->start_us, c->first_token_us));
    if (c->usage.output > 1)
        meter_add(m, loop, METER_PER_TOKEN,
                  between(c->first_token_us, end_us) / (uint64_t)(c->usage.output - 1));
}

static void meter_target(const struct call *c, uint64_t cost)
{
    static const char *const errors[] = {NULL, "error", "cancelled", "refused"};
    unsigned loop = c->gl->index;
    uint64_t now_us = os_now_us();
    uint64_t attempts_us = 0;
    for (size_t i = 0; i < c->attempt_count; i++)
        attempts_us += between(c->attempts[i].timing.started_us, c->attempts[i].timing.end_us);
    uint64_t total_us = between(c->x->start_us, now_us);
    struct meter *m = meter_of(c, call_attempt_now(c)->target, str_from_c(errors[c->outcome]));
    meter_add(m, loop, METER_SERVER, total_us);
    meter_count(m, loop, METER_COUNT, 1);
    meter_count(m, loop, METER_OVERHEAD_US, between(attempts_us, total_us));
    if (c->outcome == CALL_OK)
        meter_stream(c, m, call_attempt_now(c)->timing.end_us);
    if (c->usage.source == USAGE_NONE)
        return;
    meter_add(m, loop, METER_INPUT, (uint64_t)c->usage.input);
    if (c->endpoint->generates)
        meter_add(m, loop, METER_OUTPUT, (uint64_t)c->usage.output);
    meter_count(m, loop, METER_CACHED_SUM, (uint64_t)c->usage.cached_input);
    meter_count(m, loop, METER_COST, cost);
}

static void meter_key(const struct call *c, uint64_t cost, bool paid)
{
    unsigned loop = c->gl->index;
    const struct meter_name name = {.kind = METER_KEY, .operation = c->key->name};
    struct meter *m = meters_get(c->gl->gateway->meters, &name);
    meter_count(m, loop, METER_COUNT, 1);
    meter_count(m, loop, METER_ERRORS, c->outcome != CALL_OK);
    if (!paid)
        return;
    meter_count(m, loop, METER_INPUT_SUM, (uint64_t)c->usage.input);
    meter_count(m, loop, METER_OUTPUT_SUM, (uint64_t)c->usage.output);
    meter_count(m, loop, METER_COST, cost);
}

void call_meter(const struct call *c, uint64_t cost)
{
    bool asked = c->attempt_count > 0 && !call_cache_served(c);
    if (asked) {
        meter_attempts(c);
        meter_target(c, cost);
    }
    meter_key(c, cost, asked && c->usage.source != USAGE_NONE);
}
