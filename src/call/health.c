#include "call/health.h"

#include "base/mem.h"
#include "call/route.h"

struct probe {
    struct health *health;
    const struct config_provider *provider;
    struct provider_state *state;
    struct http_origin *origin;
    struct http_fetch *fetch; /* NULL: none under way */
    struct loop_timer timer;
    bool good; /* the answer's status */
};

struct health {
    struct loop *loop;
    struct http_client *client;
    struct settings *settings;
    size_t count;
    struct probe probes[];
};

static void on_head(struct http_fetch *fetch, const struct http_response *response, void *arg)
{
    struct probe *p = arg;
    (void)fetch;
    p->good = response->status < 500;
}

static void on_body(struct http_fetch *fetch, struct str bytes, void *arg)
{
    (void)fetch, (void)bytes, (void)arg;
}

static void on_end(struct http_fetch *fetch, void *arg)
{
    struct probe *p = arg;
    (void)fetch;
    p->fetch = NULL;
    provider_probed(p->state, p->good);
}

static void on_fail(struct http_fetch *fetch, const struct http_failure *failure, void *arg)
{
    struct probe *p = arg;
    (void)fetch;
    p->fetch = NULL;
    if (failure->error != ERR_CANCELLED)
        provider_probed(p->state, false);
}

static void probe(void *arg)
{
    static const struct http_fetch_events events = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};
    static const struct http_header headers[] = {
        {STR_INIT("user-agent"), STR_INIT("weir/" WEIR_VERSION)}};
    struct probe *p = arg;
    const struct config_health *config = &p->provider->health;
    loop_timer_start(p->health->loop, &p->timer, (uint64_t)config->every_ms);
    if (p->fetch) { /* it took its whole time, and is about to fail */
        return;
    }
    struct http_request request = {
        .origin = p->origin,
        .method = STR("GET"),
        .path = config->path,
        .headers = headers,
        .header_count = 1,
        .timeouts = {.connect_ms = (uint32_t)config->every_ms,
                     .total_ms = (uint64_t)config->every_ms},
    };
    p->good = false;
    if (http_client_start(p->health->client, &request, &events, p, &p->fetch) != ERR_OK)
        provider_probed(p->state, false);
}

struct health *health_new(struct loop *loop, struct http_client *client, struct tls_context *tls,
                          struct settings *settings)
{
    const struct config *c = settings->config;
    struct health *h = mem_alloc(sizeof *h + c->provider_count * sizeof h->probes[0]);
    h->loop = loop;
    h->client = client;
    h->settings = settings_ref(settings);
    for (size_t i = 0; i < c->provider_count; i++) {
        const struct config_provider *config = &c->providers[i];
        struct provider_state *state = route_table_provider(settings->routes, config);
        struct http_origin_options origin = {.tls = config->url.tls,
                                             .host = config->url.host,
                                             .port = config->url.port,
                                             .tls_context = tls,
                                             .connections_max = 1};
        struct probe *p = &h->probes[h->count];
        if (!config->health.path.len || config->left_out.len ||
            http_origin_open(client, &origin, &p->origin) != ERR_OK) {
            provider_probed(state, true); /* nobody asks any more, after a reload */
            continue;
        }
        *p = (struct probe){.health = h, .provider = config, .state = state, .origin = p->origin};
        loop_timer_init(&p->timer, probe, p);
        loop_timer_start(loop, &p->timer, 0);
        h->count++;
    }
    return h;
}

void health_free(struct health *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->count; i++) {
        struct probe *p = &h->probes[i];
        loop_timer_stop(&p->timer);
        if (p->fetch)
            http_fetch_cancel(p->fetch);
        http_origin_close(p->origin);
    }
    settings_put(h->settings);
    mem_free(h);
}
