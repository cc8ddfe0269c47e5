/* OpenAI's API: /v1. */
#include "api/api_int.h"
#include "call/call.h"
#include "model/local/local.h"

static void start_call(struct api_request *r, enum call_endpoint_id endpoint)
{
    struct loop_settings *settings = r->settings;
    struct str coding = http_headers_get(&r->x->headers, STR("content-encoding"));
    if (coding.len && !str_eq_nocase(coding, STR("identity"))) {
        api_error(r->x, 415, ERR_UNSUPPORTED, NULL,
                  "the body is sent with Content-Encoding: %.*s; send it plain",
                  STR_ARG(str_take(coding, 40)));
        return;
    }
    r->settings = NULL; /* the call's now */
    call_start(settings, r->key, r->presented, &call_endpoints[endpoint], r->x);
}

void api_chat_completions(struct api_request *r)
{
    start_call(r, CALL_CHAT);
}

void api_completions(struct api_request *r)
{
    start_call(r, CALL_COMPLETIONS);
}

void api_embeddings(struct api_request *r)
{
    start_call(r, CALL_EMBEDDINGS);
}

void api_rerank(struct api_request *r)
{
    start_call(r, CALL_RERANK);
}

void api_tokenize(struct api_request *r)
{
    start_call(r, CALL_TOKENIZE);
}

/* ---- Models ---- */

/* A name that may be written in `model`, and who serves it. */
struct model_visit {
    struct json_writer w;
    const struct key *key;
    struct str only; /* empty: all */
    bool found;
    int64_t created;
};

static void write_model(struct model_visit *v, struct str name, struct str owner)
{
    if (!key_allows_model(v->key, name) || (v->only.len && !str_eq(name, v->only)))
        return;
    v->found = true;
    json_object_begin(&v->w);
    json_member_str(&v->w, STR("id"), name);
    json_member_str(&v->w, STR("object"), STR("model"));
    json_member_i64(&v->w, STR("created"), v->created);
    json_member_str(&v->w, STR("owned_by"), owner);
    json_object_end(&v->w);
}

static void visit_provider(struct model_visit *v, struct arena *a, const struct config_provider *p)
{
    for (size_t i = 0; i < p->model_count; i++) {
        struct buf name BUF_AUTO;
        buf_init(&name, 1024);
        buf_printf(&name, "%.*s/%.*s", STR_ARG(p->name), STR_ARG(p->models[i].name));
        write_model(v, arena_str(a, buf_str(&name)), p->name);
    }
}

static void visit_local(struct model_visit *v, struct api_request *r)
{
    struct local_model_info *infos;
    size_t count = api_local_models(r, &infos);
    for (size_t i = 0; i < count; i++) {
        struct buf name BUF_AUTO;
        buf_init(&name, 1024);
        buf_printf(&name, "local/%s", infos[i].name);
        write_model(v, buf_str(&name), STR("local"));
    }
}

static void visit_models(struct model_visit *v, struct api_request *r)
{
    const struct config *c = r->settings->shared->config;
    for (size_t i = 0; i < c->model_count; i++)
        if (c->models[i].target_count)
            write_model(v, c->models[i].name, STR("weir"));
    for (size_t i = 0; i < c->provider_count; i++)
        if (!c->providers[i].left_out.len)
            visit_provider(v, r->x->arena, &c->providers[i]);
    visit_local(v, r);
}

void api_openai_models(struct api_request *r)
{
    struct buf body BUF_AUTO;
    buf_init(&body, 4 << 20);
    struct model_visit v = {.key = r->key, .created = r->api->started_wall_us / 1000000};
    json_writer_init(&v.w, &body);
    json_object_begin(&v.w);
    json_member_str(&v.w, STR("object"), STR("list"));
    json_key(&v.w, STR("data"));
    json_array_begin(&v.w);
    visit_models(&v, r);
    json_array_end(&v.w);
    json_object_end(&v.w);
    api_json(r->x, 200, buf_str(&body));
}

void api_openai_model(struct api_request *r)
{
    struct buf body BUF_AUTO;
    buf_init(&body, 65536);
    struct str name = api_decode(r->x->arena, r->rest);
    struct model_visit v = {
        .key = r->key, .only = name, .created = r->api->started_wall_us / 1000000};
    json_writer_init(&v.w, &body);
    visit_models(&v, r);
    if (v.found)
        api_json(r->x, 200, buf_str(&body));
    else
        api_error(r->x, 404, ERR_NOT_FOUND, "model",
                  "no model '%.*s' is listed here; GET /v1/models shows all",
                  STR_ARG(str_take(name, 100)));
}
