/* What goes to a target: can it do what is asked at all, and the request in its own language.
 *
 *   client's dialect = target's   the client's bytes, but for the model's name
 *   another one                   body ─ read_ask ─> ask (once a call) ─ write_ask ─> c->written
 *
 * Whether a target can do what an ask wants is known when its body is written, so that is when it
 * is refused: before anything is sent, and another target may still be able. */
#include "base/assert.h"
#include "base/name_index.h"
#include "call/call_int.h"

/* A translated body may be larger than the caller's: ids, types and names of members. */
#define WRITTEN_BYTES_MAX ((size_t)256 << 20)

/* ---- Who can ---- */

/* The language of a target's chat. NULL: this version speaks none with it. */
static const struct dialect *dialect_of(const struct config_target *target)
{
    switch (target->provider->api) {
    case CONFIG_API_OPENAI:
    case CONFIG_API_AZURE:
    case CONFIG_API_LOCAL: return &dialect_openai;
    case CONFIG_API_ANTHROPIC: return &dialect_anthropic;
    case CONFIG_API_GEMINI: return &dialect_gemini;
    case CONFIG_API_COUNT: break;
    }
    return NULL;
}

/* Does a target have the endpoint that the client calls, in the same form? */
static bool has_endpoint(const struct call *c, const struct config_target *target)
{
    if (c->endpoint->id == CALL_RESPONSES)
        return target->provider->responses == CONFIG_RESPONSES_NATIVE;
    /* Gemini has an endpoint for OpenAI's clients, and embeddings there. */
    if (target->provider->api == CONFIG_API_GEMINI)
        return c->endpoint->id == CALL_EMBEDDINGS;
    return dialect_of(target) == c->endpoint->dialect;
}

bool call_outgoing_admit(struct call *c)
{
    size_t count = config_route_count(&c->route), able = 0;
    _Static_assert(CONFIG_TARGETS_MAX <= 32, "one bit for each target");
    for (size_t i = 0; i < count; i++) {
        const struct config_target *target = config_route_target(&c->route, i);
        if (has_endpoint(c, target) || (c->endpoint->translates && dialect_of(target))) {
            able++;
            continue;
        }
        c->unable |= UINT32_C(1) << i;
        if (!able)
            openai_problem_set(&c->problem, "invalid_request_error", "model", "unsupported",
                               "'%.*s' cannot answer %.*s: %.*s has no such API",
                               STR_ARG(target->name), STR_ARG(c->endpoint->path),
                               STR_ARG(config_api_name(target->provider->api)));
    }
    if (able || c->endpoint->id == CALL_COUNT_TOKENS)
        return true;
    call_finish_problem(c, CALL_REFUSED, 400);
    return false;
}

/* ---- The request ---- */

/* What a target of Anthropic's is told by its own clients. */
static void let_headers_through(struct call *c, const struct config_target *target)
{
    static const struct str names[] = {STR_INIT("anthropic-version"), STR_INIT("anthropic-beta")};
    const struct http_headers *all = &c->x->headers;
    if (target->provider->api != CONFIG_API_ANTHROPIC || c->spoken != c->endpoint->dialect)
        return;
    for (size_t i = 0; i < all->count && c->outgoing.header_count < MODEL_HEADERS_MAX; i++)
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
            if (str_eq_nocase(all->at[i].name, names[k]))
                c->let_through[c->outgoing.header_count++] = all->at[i];
}

static enum err write_translated(struct call *c, const struct config_target *target)
{
    struct arena *a = c->x->arena;
    unsigned nesting = (unsigned)c->settings->shared->config->limits.nesting;
    const struct dialect *spoken = dialect_of(target);
    struct ask_target to = {.model = target->upstream};
    struct str body;
    TRY(call_lean_body(c, &body));
    if (!c->ask)
        TRY(c->endpoint->dialect->read_ask(body, c->lean ? JSON_DEPTH_MAX : nesting, a, &c->ask,
                                           &c->problem));
    buf_reset(&c->written);
    c->plan = (struct ask_plan){0};
    TRY(spoken->write_ask(c->ask, &to, a, &c->written, &c->plan, &c->problem));
    c->spoken = spoken;
    c->body =
        (struct chat_body){.parts = {buf_str(&c->written)}, .count = 1, .bytes = c->written.len};
    return ERR_OK;
}

enum err call_outgoing_prepare(struct call *c, const struct config_target *target)
{
    bool passes = has_endpoint(c, target);
    const struct chat_request *request = &c->request;
    if (passes) {
        TRY(call_lean_request(c, &request));
        c->spoken = c->endpoint->dialect;
        c->spoken->watch->rewrite(request, target->upstream, c->x->arena, &c->body);
    } else {
        TRY(write_translated(c, target));
    }
    c->outgoing = (struct model_request){
        .endpoint = passes ? c->endpoint->path : c->spoken->endpoint,
        .body = c->body.parts,
        .body_parts = c->body.count,
        .upstream_model = target->upstream,
        .stream = c->request.stream,
        .traceparent = trace_parent_format(&c->trace, c->traceparent),
        .headers = c->let_through,
        .caller = c->key ? name_hash(c->key->name) : 0,
    };
    let_headers_through(c, target);
    return ERR_OK;
}

void call_outgoing_init(struct call *c)
{
    buf_init(&c->written, WRITTEN_BYTES_MAX);
}
