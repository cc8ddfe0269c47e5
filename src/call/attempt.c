/* Attempts: the next target's turn (call/route.h chooses it), and whether there is to be another
 * after a failure. Retry-After is waited for when no target is left that has not been asked. */
#include "base/assert.h"
#include "call/call_int.h"
#include "os/clock.h"
#include "os/random.h"

enum {
    BACKOFF_FIRST_MS = 50, /* before a target's second turn; doubles with every round */
    BACKOFF_MAX_MS = 2000,
    BUSY_RETRY_MS = 1000, /* when every target is full: nobody knows better */
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

/* ---- What an attempt says about its target ---- */

static enum target_verdict verdict_of_status(int status)
{
    return status == 408 || status == 429 || status >= 500 ? TARGET_FAULT : TARGET_NEUTRAL;
}

/* Only the target's own faults: not what the client sent, nor that it left, nor what is ours. */
static enum target_verdict verdict_of(const struct call *c, const struct call_attempt *a)
{
    struct str error = str_from_c(a->error);
    if (error.len == 0)
        return c->content ? TARGET_OK : TARGET_NEUTRAL;
    if (str_eq(error, STR("status")))
        return verdict_of_status(a->status);
    if (str_eq(error, STR("busy")) || str_eq(error, STR("unusable")))
        return TARGET_NEUTRAL;
    if (str_eq(error, STR("error_event")) || str_eq(error, STR("error_body")))
        return a->why && strcmp(a->why->type, "invalid_request_error") == 0 ? TARGET_NEUTRAL
                                                                            : TARGET_FAULT;
    if (str_eq(error, STR("deadline"))) /* unless the attempts before it had used that up */
        return (a->timing.end_us - a->timing.started_us) / 500 >= (uint64_t)c->route.deadline_ms
                   ? TARGET_FAULT
                   : TARGET_NEUTRAL;
    return TARGET_FAULT;
}

void call_attempt_end(struct call *c)
{
    struct model_use *use = c->use;
    if (!use && !c->permit.target)
        return;
    struct call_attempt *a = call_attempt_now(c);
    c->use = NULL;
    if (use) {
        model_use_cancel(use);
        model_use_timing(use, &a->timing);
    }
    if (!a->timing.end_us)
        a->timing.end_us = os_now_us();
    model_use_release(use);
    target_leave(&c->permit, a->target, verdict_of(c, a), a->retry_after_ms, a->timing.end_us);
}

void call_attempt_answered(struct call *c)
{
    target_answered(&c->permit, call_attempt_now(c)->target, os_now_us());
}

/* ---- The next one ---- */

/* The next target, with its permit, and its request made. */
static bool choose(struct call *c, struct route_pick *ret_pick)
{
    while (route_next(&c->picker, os_now_us(), ret_pick)) {
        if (call_outgoing_prepare(c, ret_pick->target) == ERR_OK)
            return true;
        route_give_back(&c->picker, ret_pick, os_now_us());
    }
    return false;
}

static void start(struct call *c, const struct route_pick *pick)
{
    struct model_target driver = loop_settings_target(c->settings, pick->target);
    struct call_attempt *a = &c->attempts[c->attempt_count++];
    *a = (struct call_attempt){.target = pick->target,
                               .chosen_by = pick->by,
                               .probe = pick->permit.probe,
                               .skipped = route_take_skips(&c->picker),
                               .retry_after_ms = -1};
    a->timing.started_us = os_now_us();
    a->backoff_us = c->backoff_from_us ? a->timing.started_us - c->backoff_from_us : 0;
    c->backoff_from_us = 0;
    c->permit = pick->permit;
    counter_add(&c->gl->counters.attempts, 1);
    enum err err = model_start(&driver, &c->outgoing, &events, c, &c->use);
    if (err == ERR_OK)
        return;
    if (err == ERR_INVALID)
        openai_problem_set(call_attempt_why(c), openai_error_type(err), "model", "invalid_model",
                           "'%.*s' cannot be asked: '%.*s' is no name of a model or deployment "
                           "that a provider's path can hold; write the provider's own name for it",
                           STR_ARG(pick->target->name),
                           STR_ARG(str_take(c->outgoing.upstream_model, 100)));
    else
        openai_problem_set(call_attempt_why(c), openai_error_type(err), NULL,
                           openai_error_code(err), "%s", err_text(err));
    call_attempt_failed(c, err, err == ERR_BUSY || err == ERR_LIMIT ? "busy" : "unusable");
}

/* Not even one target may be asked: c->problem says what none of them can do, or they are full. */
static void refuse(struct call *c)
{
    c->passed_over = route_take_skips(&c->picker);
    limiter_cancel(&c->reservation);
    if (!c->picker.candidates) {
        call_finish_problem(c, CALL_REFUSED, 400);
        return;
    }
    openai_problem_set(&c->problem, "api_error", NULL, "target_busy",
                       "every target of '%.*s' has as many calls under way as it may have; "
                       "retry after 1 s",
                       STR_ARG(c->request.model));
    c->retry_after_ms = BUSY_RETRY_MS;
    call_finish_problem(c, CALL_REFUSED, 503);
}

void call_attempt_first(struct call *c)
{
    struct route_pick pick;
    if (choose(c, &pick))
        start(c, &pick);
    else
        refuse(c);
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
    case ERR_INVALID: /* of this target only: its name, its headers */
    case ERR_NOT_FOUND: return (c->picker.candidates & (c->picker.candidates - 1)) != 0;
    default: return retry->on_reset;
    }
}

/* Milliseconds to wait before the next attempt: none while a target is left that was not asked,
 * then as long as all of them want, or an exponential back-off with jitter. */
static uint64_t delay_ms(const struct call *c, const struct call_attempt *a)
{
    uint64_t now_us = os_now_us();
    if (route_has_untried(&c->picker, now_us))
        return 0;
    uint64_t cooling_ms = route_cooling_ms(&c->picker, now_us);
    if (cooling_ms || a->retry_after_ms == 0)
        return cooling_ms;
    uint64_t base = BACKOFF_FIRST_MS;
    for (unsigned round = c->picker.rounds; round > 1 && base < BACKOFF_MAX_MS; round--)
        base *= 2;
    base = base < BACKOFF_MAX_MS ? base : BACKOFF_MAX_MS;
    return base / 2 + os_random_u64() % (base / 2 + 1);
}

/* What a client sees of a target that failed: its own fault is never meant, whatever the error's
 * status elsewhere. */
int call_status_of(enum err kind)
{
    switch (kind) {
    case ERR_INVALID: return 400;
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
    c->passed_over = route_take_skips(&c->picker);
    if (kind == ERR_OK) {
        c->problem = *call_attempt_why(c);
        /* After a wait its body is gone, and is written anew. */
        if (c->phase == CALL_WAITING)
            call_finish_problem(c, CALL_ERROR, a->status);
        else
            call_finish(c, CALL_ERROR, a->status);
        return;
    }
    openai_problem_set(&c->problem, openai_error_type(kind), NULL, openai_error_code(kind),
                       "'%.*s' did not answer: %s (%zu of %d attempts); call %s",
                       STR_ARG(a->target->name), err_text(kind), c->attempt_count,
                       c->route.retry->attempts, c->id);
    /* What the target said itself, and what is wrong with the target, is worth more than that. */
    if (c->stream.failed || kind == ERR_NOT_FOUND || kind == ERR_INVALID)
        c->problem = *call_attempt_why(c);
    call_finish_problem(c, CALL_ERROR, call_status_of(kind));
}

static void next(struct call *c)
{
    struct route_pick pick;
    if (!choose(c, &pick)) {
        give_up(c, c->last_kind);
        return;
    }
    call_relay_reset(c);
    start(c, &pick);
}

static void on_retry(void *arg)
{
    next(arg);
}

void call_attempt_failed(struct call *c, enum err kind, const char *error)
{
    struct call_attempt *a = call_attempt_now(c);
    ASSERT(!c->content && c->phase != CALL_FINISHED);
    a->error = error;
    c->last_kind = kind;
    counter_add(&c->gl->counters.attempts_failed, 1);
    call_attempt_end(c);
    bool more = c->attempt_count < (size_t)c->route.retry->attempts;
    if (!more || !moves_on(c, kind, a->status)) {
        give_up(c, kind);
        return;
    }
    uint64_t wait_ms = delay_ms(c, a);
    uint64_t now_us = os_now_us();
    if (c->deadline_us && now_us + wait_ms * 1000 >= c->deadline_us) {
        give_up(c, kind);
        return;
    }
    if (wait_ms == 0) {
        next(c);
        return;
    }
    call_relay_reset(c);
    c->backoff_from_us = now_us;
    loop_timer_init(&c->retry_timer, on_retry, c);
    loop_timer_start(c->gl->loop, &c->retry_timer, wait_ms);
}
