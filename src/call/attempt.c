/* Attempts: the next target's turn, and whether there is to be another after a failure. Each
 * attempt takes the next target, round again after the last; Retry-After is waited for when no
 * target is left that has not been asked. */
#include "base/assert.h"
#include "call/call_int.h"
#include "os/clock.h"
#include "os/random.h"

enum {
    BACKOFF_FIRST_MS = 50, /* before a target's second turn; doubles with every round */
    BACKOFF_MAX_MS = 2000,
};

static void on_head(void *arg, const struct model_head *head)
{
    struct call *c = arg;
    struct call_attempt *a = call_attempt_now(c);
    a->status = head->status;
    a->retry_after_ms = head->retry_after_ms;
    call_relay_head(c, head);
}

static void on_body(void *arg, struct str bytes)
{
    call_relay_body(arg, bytes);
}

static void on_end(void *arg)
{
    call_relay_end(arg);
}

static void on_fail(void *arg, enum err error, enum model_phase phase, struct str detail)
{
    call_relay_fail(arg, error, phase, detail);
}

static const struct model_events events = {
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
    .on_fail = on_fail,
};

static size_t able_targets(const struct call *c)
{
    return config_route_count(&c->route) - (size_t)__builtin_popcount(c->unable);
}

/* The target of the n-th attempt: round and round over those that can do what is asked. */
static size_t target_of(const struct call *c, size_t n)
{
    size_t i = 0;
    for (n %= able_targets(c);; i++)
        if (call_target_is_able(c, i) && n-- == 0)
            return i;
}

/* The next target, with its request made. NULL: none can do what is asked. */
static const struct config_target *choose(struct call *c)
{
    while (able_targets(c)) {
        size_t i = target_of(c, c->attempt_count);
        const struct config_target *target = config_route_target(&c->route, i);
        if (call_outgoing_prepare(c, target) == ERR_OK)
            return target;
        c->unable |= UINT32_C(1) << i;
    }
    return NULL;
}

void call_attempt_next(struct call *c)
{
    const struct config_target *target = choose(c);
    if (!target) {
        ASSERT(c->attempt_count == 0); /* who was asked once is able */
        call_finish_problem(c, CALL_REFUSED, 400);
        return;
    }
    struct model_target driver = loop_settings_target(c->settings, target);
    struct call_attempt *a = &c->attempts[c->attempt_count++];
    *a = (struct call_attempt){.target = target, .retry_after_ms = -1};
    a->timing.started_us = os_now_us();
    counter_add(&c->gl->counters.attempts, 1);
    enum err err = model_start(&driver, &c->outgoing, &events, c, &c->use);
    if (err == ERR_OK)
        return;
    a->timing.end_us = os_now_us();
    openai_problem_set(&a->why, openai_error_type(err), NULL, openai_error_code(err), "%s",
                       err_text(err));
    call_attempt_failed(c, err, err == ERR_BUSY || err == ERR_LIMIT ? "busy" : "unusable");
}

void call_attempt_end(struct call *c)
{
    if (!c->use)
        return;
    struct model_use *use = c->use;
    struct call_attempt *a = call_attempt_now(c);
    c->use = NULL;
    model_use_cancel(use);
    model_use_timing(use, &a->timing);
    if (!a->timing.end_us)
        a->timing.end_us = os_now_us();
    model_use_release(use);
}

static bool moves_on(const struct call *c, enum err kind, int status)
{
    const struct config_retry *retry = c->route.retry;
    switch (kind) {
    case ERR_OK: return config_retry_on_status(retry, status);
    case ERR_TIMEOUT: return retry->on_timeout;
    case ERR_CONNECT:
    case ERR_DNS:
    case ERR_TLS:
    case ERR_BUSY:
    case ERR_LIMIT: return retry->on_connect;
    case ERR_NOT_FOUND: return able_targets(c) > 1;
    default: return retry->on_reset;
    }
}

/* Milliseconds to wait before the next attempt; -1: do not. */
static int64_t delay_ms(const struct call *c, const struct call_attempt *a)
{
    size_t targets = able_targets(c);
    if (c->attempt_count < targets)
        return 0;
    if (a->retry_after_ms >= 0)
        return a->retry_after_ms;
    if (targets > 1 && c->attempt_count % targets != 0)
        return 0;
    int64_t base = BACKOFF_FIRST_MS;
    for (size_t round = c->attempt_count / targets; round > 1 && base < BACKOFF_MAX_MS; round--)
        base *= 2;
    base = base < BACKOFF_MAX_MS ? base : BACKOFF_MAX_MS;
    return base / 2 + (int64_t)(os_random_u64() % (uint64_t)(base / 2 + 1));
}

static void on_retry(void *arg)
{
    call_attempt_next(arg);
}

/* What a client sees of a target that failed: its own fault is never meant, whatever the error's
 * status elsewhere. */
int call_status_of(enum err kind)
{
    switch (kind) {
    case ERR_TIMEOUT: return 504;
    case ERR_BUSY:
    case ERR_LIMIT: return 503;
    default: return 502;
    }
}

/* Answer with what the last attempt ended in: the target's own error, or ours about it. */
static void give_up(struct call *c, enum err kind)
{
    const struct call_attempt *a = call_attempt_now(c);
    c->retry_after_ms = a->retry_after_ms;
    if (kind == ERR_OK) {
        c->problem = a->why;
        call_finish(c, CALL_ERROR, a->status);
        return;
    }
    openai_problem_set(&c->problem, openai_error_type(kind), NULL, openai_error_code(kind),
                       "'%.*s' did not answer: %s (%zu of %d attempts); call %s",
                       STR_ARG(a->target->name), err_text(kind), c->attempt_count,
                       c->route.retry->attempts, c->id);
    /* What the target said itself, and what is wrong with the target, is worth more than that. */
    if (c->stream.failed || kind == ERR_NOT_FOUND)
        c->problem = a->why;
    call_finish_problem(c, CALL_ERROR, call_status_of(kind));
}

void call_attempt_failed(struct call *c, enum err kind, const char *error)
{
    struct call_attempt *a = call_attempt_now(c);
    ASSERT(!c->content && c->phase != CALL_FINISHED);
    a->error = error;
    counter_add(&c->gl->counters.attempts_failed, 1);
    call_attempt_end(c);
    bool more = c->attempt_count < (size_t)c->route.retry->attempts;
    if (!more || !moves_on(c, kind, a->status)) {
        give_up(c, kind);
        return;
    }
    int64_t wait_ms = delay_ms(c, a);
    uint64_t now_us = os_now_us();
    if (c->deadline_us && now_us + (uint64_t)wait_ms * 1000 >= c->deadline_us) {
        give_up(c, kind);
        return;
    }
    call_relay_reset(c);
    if (wait_ms == 0) {
        call_attempt_next(c);
        return;
    }
    loop_timer_init(&c->retry_timer, on_retry, c);
    loop_timer_start(c->gl->loop, &c->retry_timer, (uint64_t)wait_ms);
}
