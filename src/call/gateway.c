#include "call/gateway.h"

#include "base/assert.h"
#include "base/mem.h"
#include "call/gateway_int.h"
#include "call/health.h"
#include "call/route.h"
#include "call/stored.h"
#include "call/warm.h"
#include "model/local/local.h"
#include "model/provider.h"
#include "state/meters.h"

enum { RECORD_BYTES_MAX = LOG_RECORD_MAX_BYTES };

/* ---- Settings ---- */

static struct settings *settings_new(struct gateway *g, struct config *config)
{
    struct settings *s = NEW(struct settings);
    atomic_init(&s->refs, 1);
    s->config = config_get(config);
    s->keys = keys_build(config, g->extra_keys, g->extra_key_count, g->limiters);
    s->prices = prices_build(config);
    s->caches = mem_array(config->model_count + 1, sizeof(struct cache *));
    for (size_t i = 0; i < config->model_count; i++) {
        const struct config_model *m = &config->models[i];
        if (m->cache_ttl_ms)
            s->caches[i] = caches_get(g->caches, m->name, m->cache_ttl_ms, (size_t)m->cache_bytes);
    }
    s->routes = route_table_new(g->targets, config);
    return s;
}

struct settings *settings_ref(struct settings *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void settings_put(struct settings *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < s->config->model_count; i++)
        cache_put(s->caches[i]);
    mem_free(s->caches);
    route_table_free(s->routes);
    keys_put(s->keys);
    prices_put(s->prices);
    config_put(s->config);
    mem_free(s);
}

struct settings *gateway_settings(struct gateway *g)
{
    os_mutex_lock(&g->lock);
    struct settings *s = settings_ref(g->settings);
    os_mutex_unlock(&g->lock);
    return s;
}

/* ---- A loop's view of them ---- */

static enum err make_driver(struct gateway_loop *gl, const struct config_provider *p,
                            struct provider_driver **ret_driver)
{
    static const enum provider_kind kinds[] = {
        [CONFIG_API_OPENAI] = PROVIDER_OPENAI,
        [CONFIG_API_ANTHROPIC] = PROVIDER_ANTHROPIC,
        [CONFIG_API_GEMINI] = PROVIDER_GEMINI,
        [CONFIG_API_AZURE] = PROVIDER_AZURE,
    };
    struct http_header headers[CONFIG_HEADERS_MAX];
    struct gateway *g = gl->gateway;
    for (size_t i = 0; i < p->header_count; i++)
        headers[i] = (struct http_header){p->headers[i].name, p->headers[i].value};
    /* The configured connections are for the provider, so each loop gets its share. */
    uint32_t share = ((uint32_t)p->connections + g->loop_total - 1) / g->loop_total;
    struct provider_options options = {
        .kind = kinds[p->api],
        .origin = {.tls = p->url.tls,
                   .host = p->url.host,
                   .port = p->url.port,
                   .tls_context = g->tls,
                   .connections_max = share},
        .base_path = p->url.prefix,
        .api_version = p->api_version,
        .key = p->key,
        .headers = headers,
        .header_count = p->header_count,
        .timeouts = {.connect_ms = (uint32_t)p->timeout.connect_ms,
                     .first_byte_ms = (uint32_t)p->timeout.first_byte_ms,
                     .idle_ms = (uint32_t)p->timeout.idle_ms,
                     .total_ms = (uint64_t)p->timeout.total_ms},
    };
    return provider_driver_new(gl->client, &options, ret_driver);
}

static void loop_settings_free(struct loop_settings *ls)
{
    for (size_t i = 0; i < ls->driver_count; i++)
        provider_driver_free(ls->drivers[i]);
    mem_free(ls->drivers);
    settings_put(ls->shared);
    mem_free(ls);
}

/* Takes over the reference to shared. */
static enum err loop_settings_new(struct gateway_loop *gl, struct settings *shared,
                                  struct buf *detail, struct loop_settings **ret_settings)
{
    const struct config *c = shared->config;
    struct loop_settings *ls = NEW(struct loop_settings);
    *ls = (struct loop_settings){.shared = shared, .gl = gl, .uses = 1};
    ls->drivers = mem_array(c->provider_count, sizeof(struct provider_driver *));
    ls->driver_count = c->provider_count;
    for (size_t i = 0; i < c->provider_count; i++) {
        const struct config_provider *p = &c->providers[i];
        if (p->left_out.len)
            continue;
        enum err err = make_driver(gl, p, &ls->drivers[i]);
        if (err != ERR_OK) {
            buf_printf(detail, "provider '%.*s': %s", STR_ARG(p->name), err_text(err));
            loop_settings_free(ls);
            return err;
        }
    }
    *ret_settings = ls;
    return ERR_OK;
}

struct loop_settings *gateway_loop_settings_use(struct gateway_loop *gl)
{
    gl->settings->uses++;
    return gl->settings;
}

void loop_settings_unuse(struct loop_settings *ls)
{
    ASSERT(ls->uses > 0);
    if (--ls->uses == 0)
        loop_settings_free(ls);
}

struct model_target loop_settings_target(struct loop_settings *ls,
                                         const struct config_target *target)
{
    const struct config_provider *p = target->provider;
    if (p->api == CONFIG_API_LOCAL)
        return local_models_target(ls->gl->gateway->local, ls->gl->index);
    ASSERT(ls->drivers[p->index]);
    return provider_driver_target(ls->drivers[p->index]);
}

/* ---- Reload ---- */

struct reload {
    struct loop_task task;
    struct gateway_loop *gl;
    struct settings *shared; /* a reference */
};

/* The first loop does it for all. */
static void probe_health(struct gateway_loop *gl)
{
    if (gl->index != 0)
        return;
    health_free(gl->health);
    gl->health = health_new(gl->loop, gl->client, gl->gateway->tls, gl->settings->shared);
}

static void take_over(void *arg)
{
    struct reload *r = arg;
    struct buf detail BUF_AUTO;
    struct loop_settings *fresh = NULL;
    buf_init(&detail, 1024);
    /* The configuration was checked when it was read; what fails here (a host that libuv refuses)
     * leaves this loop with the settings it has. */
    if (loop_settings_new(r->gl, r->shared, &detail, &fresh) == ERR_OK) {
        loop_settings_unuse(r->gl->settings);
        r->gl->settings = fresh;
        probe_health(r->gl);
    }
    mem_free(r);
}

void gateway_reload(struct gateway *g, struct config *config)
{
    struct settings *fresh = settings_new(g, config);
    os_mutex_lock(&g->lock);
    struct settings *old = g->settings;
    g->settings = fresh;
    for (unsigned i = 0; i < g->loop_count; i++) {
        struct reload *r = NEW(struct reload);
        r->gl = g->loops[i];
        r->shared = settings_ref(fresh);
        loop_task_init(&r->task, take_over, r);
        loop_post(r->gl->loop, &r->task);
    }
    os_mutex_unlock(&g->lock);
    settings_put(old);
}

/* ---- Life ---- */

static enum log_durability durability_of(const struct config *c)
{
    return c->log.durability == CONFIG_DURABILITY_SYNC ? LOG_SYNC : LOG_WRITE;
}

enum err gateway_topic_open(struct log *log, const struct config *c, struct str name,
                            struct buf *detail, struct log_part **ret_part)
{
    struct log_topic_config wanted = LOG_TOPIC_CONFIG_DEFAULT;
    struct log_topic *topic = NULL;
    wanted.durability = durability_of(c);
    wanted.retention_ms = c->log.retention_age_ms ? c->log.retention_age_ms : -1;
    wanted.retention_bytes = c->log.retention_size_bytes ? c->log.retention_size_bytes : -1;
    enum err err = log_topic_open(log, name, &wanted, &topic);
    if (err == ERR_OK) {
        /* The file is what counts, also for a topic that an earlier start made. */
        struct log_topic_config present = log_topic_config(topic);
        if (present.durability != wanted.durability ||
            present.retention_ms != wanted.retention_ms ||
            present.retention_bytes != wanted.retention_bytes) {
            present.durability = wanted.durability;
            present.retention_ms = wanted.retention_ms;
            present.retention_bytes = wanted.retention_bytes;
            err = log_topic_configure(topic, &present);
        }
    }
    if (err != ERR_OK) {
        buf_printf(detail, "topic %.*s: %s", STR_ARG(name), err_text(err));
        return err;
    }
    *ret_part = log_topic_part(topic, 0);
    return ERR_OK;
}

static void copy_extra_keys(struct gateway *g, const struct gateway_options *options)
{
    g->extra_keys = ARENA_ARRAY(&g->memory, struct key_spec, options->extra_key_count + 1);
    g->extra_key_count = options->extra_key_count;
    for (size_t i = 0; i < options->extra_key_count; i++) {
        struct key_spec *spec = &g->extra_keys[i];
        *spec = options->extra_keys[i];
        spec->name = arena_str(&g->memory, spec->name);
        struct str *models = ARENA_ARRAY(&g->memory, struct str, spec->model_count + 1);
        for (size_t m = 0; m < spec->model_count; m++)
            models[m] = arena_str(&g->memory, spec->models[m]);
        spec->models = models;
    }
}

enum err gateway_new(const struct gateway_options *options, struct buf *detail,
                     struct gateway **ret_gateway)
{
    struct gateway *g = NEW(struct gateway);
    enum err err = ERR_OK;
    arena_init(&g->memory);
    os_mutex_init(&g->lock);
    g->log = options->log;
    g->data_dir = arena_str(&g->memory, options->data_dir);
    g->limiters = limiters_new();
    g->caches = caches_new();
    g->targets = targets_new();
    g->local = options->local;
    g->loop_total = options->loop_total ? options->loop_total : 1;
    g->meters = meters_new(g->loop_total);
    g->proxy = options->proxy;
    copy_extra_keys(g, options);
    g->settings = settings_new(g, options->config);
    if (options->tls_ca_file) {
        struct tls_client_options tls = {.ca_file = str_from_c(options->tls_ca_file)};
        err = tls_client_context_new(&tls, detail, &g->tls);
    }
    if (err == ERR_OK)
        err = gateway_topic_open(g->log, options->config, STR("weir.calls"), detail, &g->calls);
    if (err == ERR_OK) {
        int64_t age_ms = options->config->log.retention_age_ms;
        err = stored_open(g->log, g->calls, g->data_dir, age_ms ? age_ms : -1, detail, &g->stored);
    }
    if (err != ERR_OK) {
        gateway_free(g);
        return err;
    }
    g->warmer = warmer_start(g);
    *ret_gateway = g;
    return ERR_OK;
}

void gateway_free(struct gateway *g)
{
    if (!g)
        return;
    warmer_stop(g->warmer);
    stored_close(g->stored);
    settings_put(g->settings);
    limiters_free(g->limiters);
    caches_free(g->caches);
    targets_free(g->targets);
    meters_free(g->meters);
    tls_context_unref(g->tls);
    os_mutex_release(&g->lock);
    arena_release(&g->memory);
    mem_free(g);
}

static void commit(void *arg)
{
    struct gateway_loop *gl = arg;
    gl->commit_due = false;
    log_commit(gl->gateway->log);
}

enum err gateway_loop_new(struct gateway *g, struct loop *loop, unsigned index, struct buf *detail,
                          struct gateway_loop **ret_loop)
{
    ASSERT(index < GATEWAY_LOOPS_MAX);
    struct gateway_loop *gl = NEW(struct gateway_loop);
    gl->gateway = g;
    gl->loop = loop;
    gl->index = index;
    buf_init(&gl->record, RECORD_BYTES_MAX);
    loop_task_init(&gl->commit, commit, gl);
    enum err err = http_client_new(loop, &g->proxy, detail, &gl->client);
    if (err == ERR_OK)
        err = loop_settings_new(gl, gateway_settings(g), detail, &gl->settings);
    if (err != ERR_OK) {
        http_client_free(gl->client);
        buf_release(&gl->record);
        mem_free(gl);
        return err;
    }
    probe_health(gl);
    os_mutex_lock(&g->lock);
    ASSERT(g->loop_count == index);
    g->loops[g->loop_count++] = gl;
    os_mutex_unlock(&g->lock);
    *ret_loop = gl;
    return ERR_OK;
}

void gateway_loop_free(struct gateway_loop *gl)
{
    if (!gl)
        return;
    health_free(gl->health);
    loop_settings_unuse(gl->settings);
    http_client_free(gl->client);
    buf_release(&gl->record);
    mem_free(gl);
}

/* ---- Looking in ---- */

void gateway_count(struct gateway *g, struct gateway_totals *ret_totals)
{
    struct gateway_totals totals = {0};
    os_mutex_lock(&g->lock);
    for (unsigned i = 0; i < g->loop_count; i++) {
        struct gateway_counters *from = &g->loops[i]->counters;
#define X(name) totals.name += atomic_load_explicit(&from->name, memory_order_relaxed);
        GATEWAY_COUNTERS(X)
#undef X
    }
    os_mutex_unlock(&g->lock);
    *ret_totals = totals;
}

void gateway_count_unauthorized(struct gateway_loop *gl)
{
    counter_add(&gl->counters.unauthorized, 1);
}

struct log *gateway_log(struct gateway *g)
{
    return g->log;
}

struct log_part *gateway_calls(struct gateway *g)
{
    return g->calls;
}

struct stored *gateway_stored(struct gateway *g)
{
    return g->stored;
}

struct local_models *gateway_local(struct gateway *g)
{
    return g->local;
}

struct str gateway_data_dir(const struct gateway *g)
{
    return g->data_dir;
}

struct targets *gateway_targets(struct gateway *g)
{
    return g->targets;
}

const struct meters *gateway_meters(struct gateway *g)
{
    return g->meters;
}

void gateway_set_away(struct gateway *g, struct away *away)
{
    atomic_store(&g->away, away);
}
