/* GET /v1/models, as OpenAI's clients know it, and as Anthropic's do. */
#include "api/api_int.h"
#include "codec/time.h"
#include "model/local/local.h"

/* A name that may be written in `model`, and who serves it. */
struct model_visit {
    struct json_writer w;
    const struct key *key;
    struct str only;  /* empty: all */
    bool anthropic;   /* the client's form */
    struct str first; /* the first name written, and the last; in the arena */
    struct str last;
    struct arena *arena;
    int64_t created; /* seconds since 1970 */
};

static void visit_init(struct model_visit *v, struct api_request *r, struct buf *body)
{
    *v = (struct model_visit){.key = r->key,
                              .anthropic = api_dialect(r->x) == &dialect_anthropic,
                              .arena = r->x->arena,
                              .created = r->api->started_wall_us / 1000000};
    json_writer_init(&v->w, body);
}

static void write_model(struct model_visit *v, struct str name, struct str owner)
{
    if (!key_allows_model(v->key, name) || (v->only.len && !str_eq(name, v->only)))
        return;
    v->last = arena_str(v->arena, name);
    v->first = v->first.len ? v->first : v->last;
    json_object_begin(&v->w);
    json_member_str(&v->w, STR("id"), name);
    if (v->anthropic) {
        char time[TIME_TEXT_BYTES + 1];
        json_member_str(&v->w, STR("type"), STR("model"));
        json_member_str(&v->w, STR("display_name"), name);
        json_member_str(&v->w, STR("created_at"), time_format(v->created * 1000000, time));
        json_member_str(&v->w, STR("lifecycle"), STR("active"));
    } else {
        json_member_str(&v->w, STR("object"), STR("model"));
        json_member_i64(&v->w, STR("created"), v->created);
        json_member_str(&v->w, STR("owned_by"), owner);
    }
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

void api_models(struct api_request *r)
{
    struct buf body BUF_AUTO;
    struct model_visit v;
    buf_init(&body, 4 << 20);
    visit_init(&v, r, &body);
    json_object_begin(&v.w);
    if (!v.anthropic)
        json_member_str(&v.w, STR("object"), STR("list"));
    json_key(&v.w, STR("data"));
    json_array_begin(&v.w);
    visit_models(&v, r);
    json_array_end(&v.w);
    if (v.anthropic) {
        json_member_bool(&v.w, STR("has_more"), false);
        json_member_str_or_null(&v.w, STR("first_id"), v.first);
        json_member_str_or_null(&v.w, STR("last_id"), v.last);
    }
    json_object_end(&v.w);
    api_json(r->x, 200, buf_str(&body));
}

void api_model(struct api_request *r)
{
    struct buf body BUF_AUTO;
    struct model_visit v;
    buf_init(&body, 65536);
    visit_init(&v, r, &body);
    v.only = api_decode(r->x->arena, r->rest);
    visit_models(&v, r);
    if (v.last.len)
        api_json(r->x, 200, buf_str(&body));
    else
        api_error(r->x, 404, ERR_NOT_FOUND, "model",
                  "no model '%.*s' is listed here; GET /v1/models shows all",
                  STR_ARG(str_take(v.only, 100)));
}
