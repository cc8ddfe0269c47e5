/* What goes to a target: can it do what is asked at all, and the request in its own language. */
#include "base/assert.h"
#include "call/call_int.h"

/* Does a target speak the language that the client speaks, at this endpoint? */
static bool speaks(const struct call *c, const struct config_target *target)
{
    switch (target->provider->api) {
    case CONFIG_API_OPENAI:
    case CONFIG_API_AZURE:
    case CONFIG_API_LOCAL: return true;
    /* Gemini's endpoint for OpenAI's clients has them. */
    case CONFIG_API_GEMINI: return c->endpoint->id == CALL_EMBEDDINGS;
    case CONFIG_API_ANTHROPIC:
    case CONFIG_API_COUNT: break;
    }
    return false;
}

bool call_outgoing_admit(struct call *c)
{
    size_t count = config_route_count(&c->route), able = 0;
    _Static_assert(CONFIG_TARGETS_MAX <= 32, "one bit for each target");
    for (size_t i = 0; i < count; i++) {
        const struct config_target *target = config_route_target(&c->route, i);
        if (speaks(c, target)) {
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
    if (able)
        return true;
    call_finish_problem(c, CALL_REFUSED, 400);
    return false;
}

enum err call_outgoing_start(struct call *c, const struct config_target *target,
                             const struct model_events *events)
{
    struct model_target driver = loop_settings_target(c->settings, target);
    openai_chat_rewrite(&c->request, target->upstream, c->x->arena, &c->body);
    c->outgoing = (struct model_request){
        .endpoint = c->endpoint->path,
        .body = c->body.parts,
        .body_parts = c->body.count,
        .upstream_model = target->upstream,
        .stream = c->request.stream,
        .traceparent = trace_parent_format(&c->trace, c->traceparent),
    };
    return model_start(&driver, &c->outgoing, events, c, &c->use);
}
