/* Admission: what is asked for, whether this key may have it, and the limits it counts against. */
#include "call/call.h"

#include "base/assert.h"
#include "call/call_int.h"
#include "codec/digest.h"
#include "codec/uuid.h"
#include "model/local/local.h"
#include "os/clock.h"
#include "os/random.h"

enum {
    TOKENS_WITHOUT_MAXIMUM = 1024, /* reserved where a request names no maximum */
    RECORD_ROOM_BYTES = 64 << 10,  /* what a record takes beside the bodies, roughly */
};

static void make_id(struct call *c)
{
    uint64_t random = os_random_u64();
    uint8_t bytes[8];
    memcpy(bytes, &random, sizeof bytes);
    struct uuid id = uuid_v7(c->wall_us, bytes);
    hex_encode(id.bytes, sizeof id.bytes, c->id);
    c->id[TRACE_ID_HEX] = 0;
}

void call_client_left(struct call *c)
{
    openai_problem_set(&c->problem, "api_error", NULL, "client_closed",
                       "the client closed its connection");
    call_finish(c, CALL_CANCELLED, 499);
}

static void on_gone(struct http_exchange *x)
{
    struct call *c = x->user;
    c->gone = true;
    if (c->phase == CALL_FINISHED || call_lean_reads(c))
        return;
    if (call_cache_keeps(c))
        call_relay_drain(c); /* nobody is slow any more */
    else
        call_client_left(c);
}

static void on_drain(struct http_exchange *x)
{
    call_relay_drain(x->user);
}

static void on_done(struct http_exchange *x)
{
    struct call *c = x->user;
    ASSERT(c->phase == CALL_FINISHED && c->use == NULL && c->permit.target == NULL);
    counter_add(&c->gl->counters.open_calls, (uint64_t)-1);
    call_cache_done(c);
    call_relay_release_watch(c);
    call_translate_reset(c);
    call_lean_done(c);
    buf_release(&c->written);
    buf_release(&c->answer);
    buf_release(&c->held);
    buf_release(&c->response);
    loop_settings_unuse(c->settings);
}

static void on_deadline(void *arg)
{
    struct call *c = arg;
    if (c->content || c->phase == CALL_FINISHED)
        return;
    if (c->use) {
        struct call_attempt *a = call_attempt_now(c);
        a->error = "deadline";
        call_attempt_end(c);
    }
    openai_problem_set(
        &c->problem, openai_error_type(ERR_TIMEOUT), NULL, "deadline_exceeded",
        "no answer from '%.*s' within its deadline of %lld ms (%zu attempts); call %s",
        STR_ARG(c->request.model), (long long)c->route.deadline_ms, c->attempt_count, c->id);
    call_finish_problem(c, CALL_ERROR, 504);
}

static void refuse_unknown(struct call *c, struct str why)
{
    openai_problem_set(&c->problem, "invalid_request_error", "model", "model_not_found", "%.*s",
                       STR_ARG(why));
    call_finish_problem(c, CALL_REFUSED, 404);
}

/* `local/name` resolves whatever the name: is there such a file? */
static bool local_is_there(const struct call *c)
{
    struct local_model_info info;
    const struct config_target *target = &c->route.direct;
    return c->route.alias || target->provider->api != CONFIG_API_LOCAL ||
           local_models_find(c->gl->gateway->local, target->upstream, &info);
}

/* The model's name, and may this key have it? */
static bool resolve(struct call *c)
{
    const struct config *config = c->settings->shared->config;
    struct str model = c->request.model;
    struct buf why BUF_AUTO;
    buf_init(&why, 1024);
    if (config_resolve(config, model, &c->route) != ERR_OK) {
        config_resolve_explain(config, model, &why);
        refuse_unknown(c, buf_str(&why));
        return false;
    }
    if (!local_is_there(c)) {
        struct str name = str_take(c->route.direct.upstream, 100);
        buf_printf(&why, "no local model '%.*s': put %.*s.gguf into the models folder",
                   STR_ARG(name), STR_ARG(name));
        refuse_unknown(c, buf_str(&why));
        return false;
    }
    if (!key_allows_model(c->key, model)) {
        openai_problem_set(&c->problem, "invalid_request_error", "model", "model_not_allowed",
                           "the key '%.*s' may not use the model '%.*s'", STR_ARG(c->key->name),
                           STR_ARG(model));
        call_finish_problem(c, CALL_REFUSED, 403);
        return false;
    }
    return true;
}

static int64_t tokens_wanted(const struct call *c)
{
    const struct chat_request *r = &c->request;
    int64_t output = r->max_tokens ? r->max_tokens : TOKENS_WITHOUT_MAXIMUM;
    int64_t all = 0;
    int64_t total = 0;
    if (!c->endpoint->uses_tokens)
        return 0;
    if (!c->endpoint->generates)
        return r->prompt_tokens;
    if (__builtin_mul_overflow(output, r->n, &all) ||
        __builtin_add_overflow(all, r->prompt_tokens, &total))
        return INT64_MAX;
    return total;
}

static bool reserve(struct call *c)
{
    struct limit_refusal refusal;
    int64_t tokens = call_cache_hit(c) ? 0 : tokens_wanted(c);
    if (limiter_reserve(c->key->limiter, tokens, loop_now_us(c->gl->loop), &c->reservation,
                        &refusal) == ERR_OK)
        return true;
    struct buf why BUF_AUTO;
    buf_init(&why, 1024);
    limit_refusal_explain(&refusal, c->key->name, &why);
    openai_problem_set(&c->problem, "rate_limit_error", NULL, "rate_limit_exceeded", "%.*s",
                       STR_ARG(buf_str(&why)));
    c->retry_after_ms = refusal.never ? -1 : refusal.retry_after_ms;
    call_finish_problem(c, CALL_REFUSED, 429);
    return false;
}

/* A call that could not be recorded is refused before it costs anything, where the configuration
 * says so. */
static bool room_for_record(struct call *c)
{
    struct log *log = c->gl->gateway->log;
    uint64_t bytes = c->x->body.len + RECORD_ROOM_BYTES;
    if (c->settings->shared->config->log.on_full == CONFIG_ON_FULL_SERVE)
        return true;
    bool spool_full = log_spool_is_full(log, bytes);
    if (!spool_full && log_quota_reserve(log, bytes) == ERR_OK) {
        log_quota_release(log, bytes);
        return true;
    }
    if (spool_full)
        openai_problem_set(&c->problem, "api_error", NULL, "spool_full",
                           "no broker of the cluster answers, and what waits for one has reached "
                           "log.spool: raise it, or set log.on_full to serve");
    else
        openai_problem_set(&c->problem, "api_error", NULL, "log_full",
                           "the data folder's quota is reached and nothing old enough is left to "
                           "remove: raise log.quota, or set log.on_full to serve");
    call_finish_problem(c, CALL_REFUSED, 507);
    return false;
}

static bool read_request(struct call *c, struct str body)
{
    unsigned nesting = (unsigned)c->settings->shared->config->limits.nesting;
    if (c->endpoint->dialect->watch->read_request(body, nesting, c->x->arena, &c->request,
                                                  &c->problem) == ERR_OK) {
        c->request_read = true;
        c->request.stream &= c->endpoint->generates;
        return true;
    }
    call_finish_problem(c, CALL_REFUSED, 400);
    return false;
}

/* Tokens counted where no target counts them: an estimate, as that of the limits. */
static void answer_count(struct call *c)
{
    struct arena *a = c->x->arena;
    c->head = ARENA_ARRAY(a, struct http_header, 2);
    c->head[c->head_count++] = HTTP_HEADER("content-type", STR("application/json"));
    c->head[c->head_count++] = HTTP_HEADER("x-weir-call-id", str_of(c->id, TRACE_ID_HEX));
    buf_printf(&c->answer, "{\"input_tokens\":%lld}", (long long)c->request.prompt_tokens);
    c->whole = true;
    call_finish(c, CALL_OK, 200);
}

/* What the alias adds to the request counts as if the caller had sent it. */
static bool add_params(struct call *c)
{
    const struct config_model *alias = c->route.alias;
    if (!alias || !alias->param_count)
        return true;
    struct str body = call_params_added(c->x->body, alias, c->x->arena);
    return body.ptr == c->x->body.ptr || read_request(c, body);
}

/* Which targets take this call. */
static bool route(struct call *c)
{
    struct expr_facts facts = {
        .model = c->request.model,
        .endpoint = c->endpoint->name,
        .key = c->key->name,
        .user = c->request.user,
        .tokens = c->request.prompt_tokens,
        .metadata = c->request.metadata,
        .stream = c->request.stream,
    };
    if (!call_some_target_is_able(c)) /* counting tokens needs none */
        return true;
    if (route_begin(&c->picker, &c->route, c->settings->shared->routes, c->unable, &facts,
                    c->x->arena))
        return true;
    c->passed_over = route_take_skips(&c->picker);
    openai_problem_set(&c->problem, "invalid_request_error", "model", "no_target",
                       "no target of '%.*s' takes this call: the conditions (when) of none of "
                       "those that could answer it hold",
                       STR_ARG(c->request.model));
    call_finish_problem(c, CALL_REFUSED, 400);
    return false;
}

void call_admitted(struct call *c)
{
    if (!route(c) || !room_for_record(c))
        return;
    call_cache_enter(c);
    if (!reserve(c))
        return;
    c->attempts = ARENA_ARRAY(c->x->arena, struct call_attempt, (size_t)c->route.retry->attempts);
    if (c->route.deadline_ms > 0) {
        c->deadline_us = c->x->start_us + (uint64_t)c->route.deadline_ms * 1000;
        loop_timer_start(c->gl->loop, &c->deadline_timer, (uint64_t)c->route.deadline_ms);
    }
    call_ping_start(c);
    if (c->endpoint->id == CALL_COUNT_TOKENS && !call_some_target_is_able(c))
        answer_count(c);
    else if (!call_cache_serve(c))
        call_attempt_first(c);
}

static void admit(struct call *c)
{
    if (!read_request(c, c->x->body) || !resolve(c) || !add_params(c) || !call_outgoing_admit(c))
        return;
    if (!call_lean_begin(c))
        call_admitted(c);
}

void call_start(struct loop_settings *settings, const struct key *key, struct str presented,
                const struct call_endpoint *endpoint, struct http_exchange *x)
{
    struct call *c = ARENA_NEW(x->arena, struct call);
    c->gl = settings->gl;
    c->settings = settings;
    c->key = key;
    c->presented = presented;
    c->endpoint = endpoint;
    c->spoken = endpoint->dialect;
    c->x = x;
    c->wall_us = os_wall_us() - (int64_t)(os_now_us() - x->start_us);
    c->retry_after_ms = -1;
    make_id(c);
    trace_begin(&c->trace, http_headers_get(&x->headers, STR("traceparent")),
                str_of(c->id, TRACE_ID_HEX));
    buf_init(&c->answer, CALL_KEPT_BYTES_MAX);
    buf_init(&c->held, CALL_KEPT_BYTES_MAX);
    buf_init(&c->response, CALL_KEPT_BYTES_MAX);
    call_outgoing_init(c);
    loop_timer_init(&c->deadline_timer, on_deadline, c);
    x->user = c;
    x->on_gone = on_gone;
    x->on_drain = on_drain;
    x->on_done = on_done;
    counter_add(&c->gl->counters.open_calls, 1);
    admit(c);
}
