/* From options to a snapshot: the order of things, defaults, and the snapshot's life. */
#include "config/config_int.h"

#include "base/assert.h"
#include "base/mem.h"

/* ---- The snapshot's life ---- */

static struct config *new_config(void)
{
    struct arena arena;
    arena_init(&arena);
    struct config *c = ARENA_NEW(&arena, struct config);
    struct config_private *private_ = ARENA_NEW(&arena, struct config_private);
    c->private_ = private_;
    private_->arena = arena; /* moved: from here on only this one is used */
    atomic_init(&private_->references, 1);
    struct config_retry *retry = &private_->default_retry;
    *retry = (struct config_retry){
        .attempts = 2, .on_connect = true, .on_reset = true, .on_timeout = true};
    retry->status[408 / 64] |= UINT64_C(1) << (408 % 64);
    retry->status[429 / 64] |= UINT64_C(1) << (429 % 64);
    for (int status = 500; status <= 599; status++)
        retry->status[status / 64] |= UINT64_C(1) << (status % 64);
    sections_default(c);
    return c;
}

struct config *config_get(const struct config *c)
{
    unsigned before = atomic_fetch_add_explicit(&c->private_->references, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return (struct config *)c;
}

void config_put(struct config *c)
{
    if (!c)
        return;
    unsigned before = atomic_fetch_sub_explicit(&c->private_->references, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before != 1)
        return;
    struct arena arena = c->private_->arena;
    arena_release(&arena);
}

/* ---- The file ---- */

static void keep_models(struct loader *l, const struct field *field, const struct node *n,
                        void *object)
{
    (void)field;
    (void)object;
    l->models = n;
}

static void keep_keys(struct loader *l, const struct field *field, const struct node *n,
                      void *object)
{
    (void)field;
    (void)object;
    l->keys = n;
}

static void keep_prices(struct loader *l, const struct field *field, const struct node *n,
                        void *object)
{
    (void)field;
    (void)object;
    l->prices = n;
}

static void keep_alerts(struct loader *l, const struct field *field, const struct node *n,
                        void *object)
{
    (void)field;
    (void)object;
    l->alerts = n;
}

const struct field config_fields[] = {
    {.name = "listen", .read = read_listen}, FIELD("data", read_text, struct config, data),
    {.name = "log", .read = read_log},       {.name = "local", .read = read_local},
    {.name = "limits", .read = read_limits}, {.name = "providers", .read = read_providers},
    {.name = "models", .read = keep_models}, {.name = "prices", .read = keep_prices},
    {.name = "keys", .read = keep_keys},     {.name = "notify", .read = read_notify},
    {.name = "alerts", .read = keep_alerts}, {.name = "telemetry", .read = read_telemetry},
};
const size_t config_field_count = sizeof config_fields / sizeof config_fields[0];

/* The file's tree; an absent file that nobody asked for is an empty one. */
static void read_file(struct loader *l, struct str path)
{
    BUF_AUTO struct buf bytes = {.max = CONFIG_FILE_BYTES_MAX};
    bool asked_for = path.len > 0;
    l->file = arena_str(l->arena, asked_for ? path : STR("weir.yaml"));
    enum err e = l->source->file(l->source->arg, l->file.ptr, &bytes);
    if (e == ERR_NOT_FOUND && !asked_for) {
        l->file = STR("weir.yaml");
        return;
    }
    if (e == ERR_TOO_LARGE)
        mistake(l, NULL, "%.*s: larger than 1 MiB", STR_ARG(l->file));
    else if (e != ERR_OK)
        mistake(l, NULL, "%.*s: %s", STR_ARG(l->file), err_text(e));
    if (e != ERR_OK)
        return;
    l->config->path = l->file;
    yaml_parse(l, buf_str(&bytes));
    wipe(&bytes);
}

static void read_sections(struct loader *l)
{
    if (l->broken)
        return;
    if (l->root && l->root->kind == NODE_MAP)
        READ_MAP(l, l->root, config_fields, l->config);
    else if (l->root && l->root->kind != NODE_NULL)
        mistake(l, l->root, "the file must be a mapping of keys, as `data: ./weir-data`");
    if (!l->providers_given)
        providers_default(l);
    providers_finish(l);
    models_read(l);
    prices_read(l);
    keys_read(l);
    alerts_read(l);
}

/* ---- The command line ---- */

static void take_address(struct loader *l, const char *option, struct str text, bool or_off,
                         struct config_address *to)
{
    struct config_address address;
    if (text.len == 0)
        return;
    if (or_off && str_eq(text, STR("off"))) {
        to->enabled = false;
        return;
    }
    if (config_address_parse(text, &address) != ERR_OK) {
        mistake(l, NULL, "%s: '%s' is not HOST:PORT, as 127.0.0.1:8080%s", option,
                text_shown(l, text), or_off ? ", or off" : "");
        return;
    }
    address.host = arena_str(l->arena, address.host);
    *to = address;
}

static void take_options(struct loader *l, const struct config_options *options)
{
    struct config *c = l->config;
    take_address(l, "--listen", options->http, false, &c->listen.http);
    take_address(l, "--kafka", options->kafka, true, &c->listen.kafka);
    if (options->data.len)
        c->data = arena_str(l->arena, options->data);
    if (c->log.kafka.len && c->listen.kafka.assumed)
        c->listen.kafka.enabled = false;
}

/* ---- What only shows on the whole ---- */

static bool is_loopback(struct str host)
{
    return str_eq_nocase(host, STR("localhost")) || str_eq(host, STR("::1")) ||
           str_starts(host, STR("127."));
}

static void check_whole(struct loader *l)
{
    const struct config *c = l->config;
    if (!c->listen.tls.enabled && !is_loopback(c->listen.http.host))
        warning(l, NULL,
                "listen.http is no loopback address and there is no listen.tls: keys and prompts "
                "travel as plain text");
    if (c->listen.kafka.enabled && !c->listen.tls.enabled && !is_loopback(c->listen.kafka.host))
        warning(l, NULL,
                "listen.kafka is no loopback address and there is no listen.tls: keys and records "
                "travel as plain text");
    if (c->log.kafka.len && c->listen.kafka.enabled)
        mistake(l, NULL,
                "listen.kafka and log.kafka exclude each other: with log.kafka the topics are on "
                "%.*s, and clients of the Kafka protocol go there",
                STR_ARG(c->log.kafka));
    if (c->log.quota_bytes && c->log.retention_size_bytes > c->log.quota_bytes)
        warning(l, NULL, "log: retention.size is above the quota, which comes first");
}

enum err config_load(const struct config_options *options, struct config_report *report,
                     struct config **ret_config)
{
    struct loader *l = NEW(struct loader);
    l->config = new_config();
    l->arena = &l->config->private_->arena;
    arena_init(&l->scratch);
    l->source = options->source ? options->source : &config_source_process;
    read_file(l, options->path);
    read_sections(l);
    take_options(l, options);
    check_whole(l);
    findings_write(l, report);
    enum err e = l->mistakes ? ERR_CONFIG : ERR_OK;
    if (e == ERR_OK)
        *ret_config = l->config;
    else
        config_put(l->config);
    arena_release(&l->scratch);
    mem_free(l);
    return e;
}
