/* /health, /api/v1/status, /api/v1/models, /api/v1/openapi.json. */
#include "api/api_int.h"
#include "base/embed.h"
#include "codec/time.h"
#include "log/log.h"
#include "model/local/local.h"
#include "os/clock.h"

/* Far above what CONFIG_MODELS_MAX aliases of some targets need. */
enum { STATUS_BYTES_MAX = 64 << 20 };

EMBED(openapi_json, "src/api/openapi.json");

void api_openapi(struct api_request *r)
{
    api_json(r->x, 200, EMBEDDED(openapi_json));
}

void api_health(struct api_request *r)
{
    bool draining = atomic_load(&r->api->draining);
    api_json(r->x, draining ? 503 : 200,
             draining ? STR("{\"status\":\"draining\"}\n") : STR("{\"status\":\"ok\"}\n"));
}

/* ---- Status ---- */

static void write_cluster_status(struct json_writer *w, struct log *log)
{
    struct log_cluster_info c;
    if (!log_cluster_describe(log, &c))
        return;
    json_key(w, STR("cluster"));
    json_object_begin(w);
    json_member_str(w, STR("brokers"), str_from_c(c.brokers));
    json_key(w, STR("reached"));
    json_bool(w, c.reached);
    json_member_u64(w, STR("spool_records"), c.spool_records);
    json_member_u64(w, STR("spool_bytes"), c.spool_bytes);
    json_member_u64(w, STR("spool_max_bytes"), c.spool_max_bytes);
    json_member_u64(w, STR("delivered"), c.delivered);
    json_member_u64(w, STR("refused"), c.refused);
    json_object_end(w);
}

static void write_log_status(struct json_writer *w, struct log *log)
{
    struct log_stats s;
    uint64_t used;
    uint64_t quota;
    log_stats(log, &s);
    log_quota_usage(log, &used, &quota);
    json_key(w, STR("log"));
    json_object_begin(w);
    json_member_u64(w, STR("appends"), s.appends);
    json_member_u64(w, STR("append_errors"), s.append_errors);
    json_member_u64(w, STR("damaged"), s.damaged);
    json_member_u64(w, STR("used_bytes"), used);
    json_member_u64(w, STR("quota_bytes"), quota);
    write_cluster_status(w, log);
    json_object_end(w);
}

static void write_call_status(struct json_writer *w, struct gateway *g)
{
    struct gateway_totals t;
    gateway_count(g, &t);
    json_key(w, STR("calls"));
    json_object_begin(w);
#define X(name) json_member_u64(w, STR(#name), t.name);
    GATEWAY_COUNTERS(X)
#undef X
    json_object_end(w);
}

static void write_caches(struct json_writer *w, const struct settings *s)
{
    json_key(w, STR("caches"));
    json_array_begin(w);
    for (size_t i = 0; i < s->config->model_count; i++) {
        if (!s->caches[i])
            continue;
        struct cache_stats stats = cache_stats(s->caches[i]);
        json_object_begin(w);
        json_member_str(w, STR("model"), s->config->models[i].name);
        json_member_i64(w, STR("ttl_ms"), s->config->models[i].cache_ttl_ms);
        json_member_u64(w, STR("entries"), stats.entries);
        json_member_u64(w, STR("bytes"), stats.bytes);
        json_member_u64(w, STR("bytes_max"), stats.bytes_max);
        json_member_u64(w, STR("hits"), stats.hits);
        json_member_u64(w, STR("shared"), stats.shared);
        json_member_u64(w, STR("misses"), stats.misses);
        json_member_u64(w, STR("evicted"), stats.evicted);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_providers(struct json_writer *w, const struct config *c)
{
    json_key(w, STR("providers"));
    json_array_begin(w);
    for (size_t i = 0; i < c->provider_count; i++) {
        const struct config_provider *p = &c->providers[i];
        json_object_begin(w);
        json_member_str(w, STR("name"), p->name);
        json_member_str(w, STR("api"), config_api_name(p->api));
        json_member_str(w, STR("url"), p->url.text);
        json_member_str_or_null(w, STR("left_out"), p->left_out.len ? p->left_out : STR_NONE);
        json_object_end(w);
    }
    json_array_end(w);
}

void api_status(struct api_request *r)
{
    char started[TIME_TEXT_BYTES + 1];
    struct buf body BUF_AUTO;
    struct json_writer w;
    buf_init(&body, STATUS_BYTES_MAX);
    json_writer_init(&w, &body);
    json_object_begin(&w);
    json_member_str(&w, STR("version"), STR(WEIR_VERSION));
    json_member_str(&w, STR("started"), time_format(r->api->started_wall_us, started));
    json_member_bool(&w, STR("draining"), atomic_load(&r->api->draining));
    write_call_status(&w, r->api->gateway);
    write_log_status(&w, gateway_log(r->api->gateway));
    write_caches(&w, r->settings->shared);
    write_providers(&w, r->settings->shared->config);
    api_targets_status(&w, r->api->gateway);
    json_object_end(&w);
    api_json(r->x, 200, buf_str(&body));
}

/* ---- Models, with what Weir knows of them ---- */

size_t api_local_models(struct api_request *r, struct local_model_info **ret_infos)
{
    *ret_infos = ARENA_ARRAY(r->x->arena, struct local_model_info, LOCAL_MODELS_MAX);
    return local_models_list(gateway_local(r->api->gateway), *ret_infos, LOCAL_MODELS_MAX);
}

static void write_local(struct json_writer *w, const struct local_model_info *info)
{
    struct buf name BUF_AUTO;
    buf_init(&name, 1024);
    buf_printf(&name, "local/%s", info->name);
    json_object_begin(w);
    json_member_str(w, STR("id"), buf_str(&name));
    json_member_str(w, STR("kind"), STR("local"));
    json_member_u64(w, STR("size_bytes"), info->size_bytes);
    json_member_str(w, STR("state"), str_from_c(local_state_text(info->state)));
    json_member_str_or_null(w, STR("reason"),
                            info->reason[0] ? str_from_c(info->reason) : STR_NONE);
    json_member_u64(w, STR("context_tokens"), info->context_tokens);
    json_member_u64(w, STR("uses"), info->uses);
    json_member_u64(w, STR("load_ms"), info->load_ms);
    json_object_end(w);
}

static void write_locals(struct json_writer *w, struct api_request *r)
{
    struct local_model_info *infos;
    size_t count = api_local_models(r, &infos);
    for (size_t i = 0; i < count; i++) {
        struct buf name BUF_AUTO;
        buf_init(&name, 1024);
        buf_printf(&name, "local/%s", infos[i].name);
        if (key_allows_model(r->key, buf_str(&name)))
            write_local(w, &infos[i]);
    }
}

static void write_alias(struct json_writer *w, const struct config_model *m)
{
    json_object_begin(w);
    json_member_str(w, STR("id"), m->name);
    json_member_str(w, STR("kind"), STR("alias"));
    json_key(w, STR("targets"));
    json_array_begin(w);
    for (size_t i = 0; i < m->target_count; i++)
        json_str(w, m->targets[i].name);
    json_array_end(w);
    json_member_str_or_null(w, STR("reason"), m->left_out.len ? m->left_out : STR_NONE);
    json_object_end(w);
}

void api_native_models(struct api_request *r)
{
    const struct config *c = r->settings->shared->config;
    struct buf body BUF_AUTO;
    struct json_writer w;
    buf_init(&body, 4 << 20);
    json_writer_init(&w, &body);
    json_object_begin(&w);
    json_key(&w, STR("models"));
    json_array_begin(&w);
    for (size_t i = 0; i < c->model_count; i++)
        if (key_allows_model(r->key, c->models[i].name))
            write_alias(&w, &c->models[i]);
    write_locals(&w, r);
    json_array_end(&w);
    json_object_end(&w);
    api_json(r->x, 200, buf_str(&body));
}

/* POST /api/v1/models/local/NAME/unload. (Any call loads a model.) */
void api_model_action(struct api_request *r)
{
    struct str name = api_decode(r->x->arena, r->rest);
    if (!str_ends(name, STR("/unload")) || !str_starts(name, STR("local/"))) {
        api_error(r->x, 404, ERR_NOT_FOUND, NULL,
                  "there is POST /api/v1/models/local/NAME/unload, nothing else under this path");
        return;
    }
    name = str_skip(str_take(name, name.len - sizeof "/unload" + 1), sizeof "local/" - 1);
    switch (local_models_unload(gateway_local(r->api->gateway), name)) {
    case ERR_OK: api_json(r->x, 200, STR("{\"state\":\"unloading\"}")); break;
    case ERR_BUSY:
        api_error(r->x, 409, ERR_BUSY, NULL, "calls use the model '%.*s'; try again later",
                  STR_ARG(str_take(name, 100)));
        break;
    default:
        api_error(r->x, 404, ERR_NOT_FOUND, NULL, "there is no local model '%.*s'",
                  STR_ARG(str_take(name, 100)));
    }
}
