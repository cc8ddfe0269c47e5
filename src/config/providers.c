/* providers: whom to call, and with which key.
 *
 * A provider that needs a variable that is not set stays in the snapshot with the reason in
 * left_out; targets at it are dropped (models.c). */
#include "config/config_int.h"

#include "base/assert.h"

#define MINUTE_MS INT64_C(60000)
#define DAY_MS    INT64_C(86400000)

enum { CONNECTIONS_DEFAULT = 1024 };

/* ---- What is known without being written ---- */

static const struct api {
    struct str name;
    const char *url;        /* NULL: must be written */
    const char *prefix;     /* of a URL that is written without a path; NULL: none */
    const char *key_header; /* that carries its key, where that is not Authorization */
} apis[CONFIG_API_COUNT] = {
    [CONFIG_API_OPENAI] = {STR_INIT("openai"), "https://api.openai.com/v1", NULL, NULL},
    [CONFIG_API_ANTHROPIC] = {STR_INIT("anthropic"), "https://api.anthropic.com/v1", "/v1",
                              "x-api-key"},
    [CONFIG_API_GEMINI] = {STR_INIT("gemini"), "https://generativelanguage.googleapis.com/v1beta",
                           "/v1beta", "x-goog-api-key"},
    [CONFIG_API_AZURE] = {STR_INIT("azure"), NULL, NULL, "api-key"},
    [CONFIG_API_LOCAL] = {STR_INIT("local"), NULL, NULL, NULL},
};

struct str config_api_name(enum config_api api)
{
    ASSERT((unsigned)api < CONFIG_API_COUNT);
    return apis[api].name;
}

static const struct known {
    const char *name;
    enum config_api api;
    const char *url;
    const char *variable; /* that usually holds its key */
} known[] = {
    {"openai", CONFIG_API_OPENAI, "https://api.openai.com/v1", "OPENAI_API_KEY"},
    {"anthropic", CONFIG_API_ANTHROPIC, "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"},
    {"gemini", CONFIG_API_GEMINI, "https://generativelanguage.googleapis.com/v1beta",
     "GEMINI_API_KEY"},
    {"mistral", CONFIG_API_OPENAI, "https://api.mistral.ai/v1", "MISTRAL_API_KEY"},
    {"groq", CONFIG_API_OPENAI, "https://api.groq.com/openai/v1", "GROQ_API_KEY"},
    {"deepseek", CONFIG_API_OPENAI, "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"},
    {"xai", CONFIG_API_OPENAI, "https://api.x.ai/v1", "XAI_API_KEY"},
    {"openrouter", CONFIG_API_OPENAI, "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"},
    {"together", CONFIG_API_OPENAI, "https://api.together.xyz/v1", "TOGETHER_API_KEY"},
    {"fireworks", CONFIG_API_OPENAI, "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"},
};

enum { KNOWN_COUNT = sizeof known / sizeof known[0] };

static const struct known *find_known(struct str name)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++)
        if (str_eq(name, str_from_c(known[i].name)))
            return &known[i];
    return NULL;
}

/* ---- One provider's values ---- */

/* What is read, before what was left unwritten is filled in. */
struct draft {
    struct config_provider provider;
    const struct node *key;         /* NULL: not written */
    const struct node *api_version; /* NULL: not written */
};

/* Index of the first byte that cannot stand in a header's credential; the length when there is
 * none. */
static size_t bad_key_byte(struct str key)
{
    size_t i = 0;
    while (i < key.len && (unsigned char)key.ptr[i] > 0x20 && (unsigned char)key.ptr[i] < 0x7f)
        i++;
    return i;
}

static const char not_a_key[] = " holds a character that cannot be part of a key";

static void read_key(struct loader *l, const struct field *field, const struct node *n,
                     void *object)
{
    struct draft *d = object;
    struct str text;
    (void)field;
    d->key = n;
    if (!scalar_text(l, n, "a key", &text))
        return;
    if (bad_key_byte(text) < text.len)
        mistake(l, n, "%s: byte %zu of it cannot be part of a key (a space, or not ASCII)",
                node_path(l, n), bad_key_byte(text) + 1);
    else
        d->provider.key = arena_str(l->arena, text);
}

static void read_api_version(struct loader *l, const struct field *field, const struct node *n,
                             void *object)
{
    struct draft *d = object;
    struct str text;
    (void)field;
    d->api_version = n;
    if (!scalar_text(l, n, "a version, as 2025-04-01-preview", &text))
        return;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '.')
            continue;
        mistake(l, n, "%s: '%s' is not a version, as 2025-04-01-preview", node_path(l, n),
                node_shown(l, n));
        return;
    }
    d->provider.api_version = arena_str(l->arena, text);
}

static void read_url(struct loader *l, const struct field *field, const struct node *n,
                     void *object)
{
    struct draft *d = object;
    struct str text;
    const char *why;
    (void)field;
    if (!scalar_text(l, n, "a URL, as https://api.example.com/v1", &text))
        return;
    if (config_url_parse(l->arena, text, &d->provider.url, &why) != ERR_OK)
        mistake(l, n, "%s: not a URL to build on: %s", node_path(l, n), why);
}

static void read_timeout(struct loader *l, const struct field *field, const struct node *n,
                         void *object)
{
    static const struct field fields[] = {
        FIELD_IN("connect", read_span, struct config_timeouts, connect_ms, 1, DAY_MS),
        FIELD_IN("first_byte", read_span, struct config_timeouts, first_byte_ms, 1, DAY_MS),
        FIELD_IN("idle", read_span, struct config_timeouts, idle_ms, 1, DAY_MS),
        FIELD_IN("total", read_span, struct config_timeouts, total_ms, 1, DAY_MS),
    };
    (void)field;
    READ_MAP(l, n, fields, &((struct draft *)object)->provider.timeout);
}

/* ---- headers ---- */

static bool is_token(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (c <= 0x20 || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c))
            return false;
    }
    return name.len > 0 && name.len <= CONFIG_NAME_BYTES_MAX;
}

/* Fields that Weir writes itself, or that belong to one connection. */
static bool is_reserved_header(struct str name)
{
    static const char *const reserved[] = {
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "te",
        "trailer",
        "upgrade",
        "keep-alive",
        "accept-encoding",
        "expect",
        "proxy-authorization",
        "proxy-connection",
        "content-encoding",
    };
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (str_eq_nocase(name, str_from_c(reserved[i])))
            return true;
    return false;
}

static bool check_header_name(struct loader *l, const struct node *n,
                              const struct config_header *before, size_t count)
{
    struct str name = n->key->text;
    if (!is_token(name)) {
        mistake(l, n->key, "%s: '%s' is not a header's name", node_path(l, n->parent),
                node_shown(l, n->key));
        return false;
    }
    if (is_reserved_header(name)) {
        mistake(l, n->key, "%s: '%s' is written by Weir itself", node_path(l, n->parent),
                node_shown(l, n->key));
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!str_eq_nocase(before[i].name, name))
            continue;
        mistake(l, n->key, "%s: '%s' twice (headers' names have no case)", node_path(l, n->parent),
                node_shown(l, n->key));
        return false;
    }
    return true;
}

void headers_read(struct loader *l, const struct node *n, const struct config_header **ret_headers,
                  size_t *ret_count)
{
    if (!expect_map(l, n, CONFIG_HEADERS_MAX, "a mapping of header names to values"))
        return;
    struct config_header *headers = ARENA_ARRAY(l->arena, struct config_header, n->count);
    size_t count = 0;
    for (const struct node *child = n->first; child; child = child->next) {
        struct str value;
        if (child->kind == NODE_NULL || !check_header_name(l, child, headers, count) ||
            !scalar_text(l, child, "a text", &value))
            continue;
        headers[count++] = (struct config_header){.name = arena_str(l->arena, child->key->text),
                                                  .value = arena_str(l->arena, str_trim(value))};
    }
    *ret_headers = headers;
    *ret_count = count;
}

static void read_headers(struct loader *l, const struct field *field, const struct node *n,
                         void *object)
{
    struct config_provider *p = &((struct draft *)object)->provider;
    (void)field;
    headers_read(l, n, &p->headers, &p->header_count);
}

/* ---- models ---- */

static void read_model_names(struct loader *l, const struct field *field, const struct node *n,
                             void *object)
{
    struct config_provider *p = &((struct draft *)object)->provider;
    (void)field;
    if (n->kind != NODE_MAP &&
        !expect_list(l, n, CONFIG_MODELS_MAX,
                     "a list of names, or a mapping of names to what they are called upstream"))
        return;
    if (n->kind == NODE_MAP && !expect_map(l, n, CONFIG_MODELS_MAX, ""))
        return;
    struct config_model_name *models = ARENA_ARRAY(l->arena, struct config_model_name, n->count);
    size_t count = 0;
    for (const struct node *child = n->first; child; child = child->next) {
        struct str upstream;
        if (!scalar_text(l, child, "a model's name", &upstream))
            continue;
        struct str name = n->kind == NODE_MAP ? child->key->text : upstream;
        if (!check_name(l, child, name, "model", "") ||
            !check_name(l, child, upstream, "model", ""))
            continue;
        models[count++] = (struct config_model_name){.name = arena_str(l->arena, name),
                                                     .upstream = arena_str(l->arena, upstream)};
    }
    p->models = models;
    p->model_count = count;
}

static void index_models(struct loader *l, struct config_provider *p)
{
    struct str *names = ARENA_ARRAY(l->arena, struct str, p->model_count);
    for (size_t i = 0; i < p->model_count; i++)
        names[i] = p->models[i].name;
    p->model_index = name_index_build(l->arena, names, p->model_count);
}

/* ---- A whole provider ---- */

static struct config_provider new_provider(struct str name)
{
    return (struct config_provider){.name = name,
                                    .api = CONFIG_API_COUNT,
                                    .timeout = {.connect_ms = 5000,
                                                .first_byte_ms = 5 * MINUTE_MS,
                                                .idle_ms = 5 * MINUTE_MS,
                                                .total_ms = 10 * MINUTE_MS},
                                    .connections = CONNECTIONS_DEFAULT,
                                    .breaker = breaker_default,
                                    .retry_budget = retry_budget_default};
}

static void set_url(struct loader *l, struct config_provider *p, const char *url)
{
    const char *why;
    enum err e = config_url_parse(l->arena, str_from_c(url), &p->url, &why);
    ASSERT(e == ERR_OK);
}

/* The usual variable's value, for a known provider whose key and URL are not written. */
static void take_usual_key(struct loader *l, const struct node *n, struct config_provider *p,
                           const struct known *usual)
{
    struct str key = l->source->env(l->source->arg, usual->variable);
    if (key.len == 0)
        l->provider_unset = l->provider_unset.len ? l->provider_unset : str_from_c(usual->variable);
    else if (bad_key_byte(key) < key.len)
        mistake(l, n->key, "%s: %s%s", node_path(l, n), usual->variable, not_a_key);
    else
        p->key = arena_str(l->arena, key);
}

/* OpenAI itself speaks the Responses API; who is compatible to it mostly does not. */
static void settle_responses(struct config_provider *p)
{
    bool openai = p->api == CONFIG_API_OPENAI && str_eq(p->url.host, STR("api.openai.com"));
    if (p->responses == CONFIG_RESPONSES_UNSET)
        p->responses = openai ? CONFIG_RESPONSES_NATIVE : CONFIG_RESPONSES_TRANSLATE;
}

static void fill_in(struct loader *l, const struct node *n, struct draft *d)
{
    struct config_provider *p = &d->provider;
    const struct known *usual = find_known(p->name);
    bool url_written = p->url.text.len > 0;
    if (p->api == CONFIG_API_COUNT && usual)
        p->api = usual->api;
    if (p->api == CONFIG_API_COUNT) {
        mistake(l, n->key, "%s: 'api' is missing: openai, anthropic, gemini or azure",
                node_path(l, n));
        p->api = CONFIG_API_OPENAI;
        return;
    }
    if (usual && usual->api != p->api)
        usual = NULL;
    if (!url_written && (usual || apis[p->api].url))
        set_url(l, p, usual ? usual->url : apis[p->api].url);
    else if (!url_written && !l->provider_unset.len)
        mistake(l, n->key, "%s: 'url' is missing, as https://NAME.openai.azure.com",
                node_path(l, n));
    if (!p->url.prefix.len && apis[p->api].prefix)
        p->url.prefix = str_from_c(apis[p->api].prefix);
    if (usual && !url_written && !d->key)
        take_usual_key(l, n, p, usual);
    if (p->api == CONFIG_API_AZURE && !d->api_version)
        mistake(l, n->key, "%s: 'api_version' is missing, as 2025-04-01-preview", node_path(l, n));
}

/* Things that are allowed and hardly meant. */
static void check_sense(struct loader *l, const struct node *n, const struct draft *d)
{
    const struct config_provider *p = &d->provider;
    if (d->api_version && p->api != CONFIG_API_AZURE)
        warning(l, d->api_version, "%s: only api azure has versions", node_path(l, d->api_version));
    if (p->responses == CONFIG_RESPONSES_NATIVE && p->api != CONFIG_API_OPENAI &&
        p->api != CONFIG_API_AZURE)
        mistake(l, n->key,
                "%s: 'responses: native' is for the apis openai and azure; others are "
                "translated to",
                node_path(l, n));
    if (!p->key.len && p->url.tls && !p->header_count)
        warning(l, n->key, "%s: no 'key' is written: it is called without one", node_path(l, n));
    if (p->api == CONFIG_API_OPENAI && !p->url.prefix.len)
        warning(l, n->key, "%s: the url has no path; OpenAI's API is mostly under /v1",
                node_path(l, n));
    struct str key_header = str_from_c(apis[p->api].key_header);
    for (size_t i = 0; p->key.len && i < p->header_count; i++)
        if (str_eq_nocase(p->headers[i].name, STR("authorization")) ||
            str_eq_nocase(p->headers[i].name, key_header))
            mistake(l, n->key, "%s: both 'key' and a header '%.*s': write one of them",
                    node_path(l, n), STR_ARG(p->headers[i].name));
}

/* at: where it is written, or NULL. */
static void leave_out(struct loader *l, struct config_provider *p, const struct node *at,
                      struct str what, const char *why)
{
    BUF_AUTO struct buf reason = {.max = CONFIG_VALUE_BYTES_MAX + 256};
    buf_append_str(&reason, what);
    buf_append_str(&reason, str_from_c(why));
    p->left_out = arena_str(l->arena, buf_str(&reason));
    warning(l, at, "provider '%.*s' is left out: %.*s", STR_ARG(p->name), STR_ARG(p->left_out));
}

static void read_provider(struct loader *l, const struct node *n, struct config_provider *ret)
{
    static const struct choice api_choices[] = {
        {"openai", CONFIG_API_OPENAI, NULL},
        {"anthropic", CONFIG_API_ANTHROPIC, NULL},
        {"gemini", CONFIG_API_GEMINI, NULL},
        {"azure", CONFIG_API_AZURE, NULL},
        {NULL, 0, NULL},
    };
    static const struct choice responses_choices[] = {
        {"translate", CONFIG_RESPONSES_TRANSLATE, NULL},
        {"native", CONFIG_RESPONSES_NATIVE, NULL},
        {NULL, 0, NULL},
    };
    static const struct field fields[] = {
        FIELD_OF("api", read_choice, struct draft, provider.api, api_choices),
        FIELD("url", read_url, struct draft, provider.url),
        FIELD("key", read_key, struct draft, provider.key),
        FIELD("api_version", read_api_version, struct draft, provider.api_version),
        FIELD_OF("responses", read_choice, struct draft, provider.responses, responses_choices),
        FIELD("models", read_model_names, struct draft, provider.models),
        FIELD("timeout", read_timeout, struct draft, provider.timeout),
        FIELD_IN("connections", read_int, struct draft, provider.connections, 1, 65535),
        FIELD("headers", read_headers, struct draft, provider.headers),
        FIELD_IN("concurrency", read_int, struct draft, provider.concurrency, 1, 1000000),
        FIELD("breaker", read_breaker, struct draft, provider.breaker),
        FIELD("retry_budget", read_retry_budget, struct draft, provider.retry_budget),
        FIELD("health", read_health, struct draft, provider.health),
    };
    struct draft d = {.provider = new_provider(arena_str(l->arena, n->key->text))};
    unsigned before = l->mistakes;
    l->in_provider = true;
    l->provider_unset = STR_NONE;
    if (n->kind != NODE_NULL)
        READ_MAP(l, n, fields, &d);
    if (l->mistakes == before)
        fill_in(l, n, &d);
    l->in_provider = false;
    if (l->provider_unset.len)
        leave_out(l, &d.provider, n->key, l->provider_unset, " is not set");
    else if (l->mistakes == before)
        check_sense(l, n, &d);
    if (d.provider.api == CONFIG_API_COUNT)
        d.provider.api = CONFIG_API_OPENAI; /* after mistakes: nobody will use it */
    settle_responses(&d.provider);
    *ret = d.provider;
}

/* It stands in headers and before a '/'. */
static bool check_provider_name(struct loader *l, const struct node *key)
{
    if (!check_name(l, key, key->text, "provider", ""))
        return false;
    for (size_t i = 0; i < key->text.len; i++) {
        char c = key->text.ptr[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '.' || c == '_' || c == '-')
            continue;
        mistake(l, key, "a provider's name has letters, digits, '.', '_' and '-': '%s'",
                node_shown(l, key));
        return false;
    }
    return true;
}

void read_providers(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    (void)field;
    (void)object;
    l->providers_given = true;
    if (!expect_map(l, n, CONFIG_PROVIDERS_MAX, "a mapping of names to providers"))
        return;
    struct config_provider *providers = ARENA_ARRAY(l->arena, struct config_provider, n->count);
    size_t count = 0;
    for (const struct node *child = n->first; child; child = child->next) {
        struct str name = child->key->text;
        if (!check_provider_name(l, child->key))
            continue;
        if (str_eq(name, STR("local"))) {
            mistake(l, child->key,
                    "provider 'local' is built in (models inside Weir): "
                    "choose another name, and see the section 'local'");
            continue;
        }
        read_provider(l, child, &providers[count++]);
    }
    l->config->providers = providers;
    l->config->provider_count = count;
}

void providers_default(struct loader *l)
{
    struct config_provider *providers = ARENA_ARRAY(l->arena, struct config_provider, KNOWN_COUNT);
    size_t count = 0;
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        struct str key = l->source->env(l->source->arg, known[i].variable);
        if (!key.len)
            continue;
        struct config_provider *p = &providers[count++];
        *p = new_provider(str_from_c(known[i].name));
        p->key = arena_str(l->arena, key);
        p->api = known[i].api;
        set_url(l, p, known[i].url);
        settle_responses(p);
        if (bad_key_byte(key) < key.len)
            leave_out(l, p, NULL, str_from_c(known[i].variable), not_a_key);
    }
    l->config->providers = providers;
    l->config->provider_count = count;
}

void providers_finish(struct loader *l)
{
    struct config *c = l->config;
    struct config_provider *local = ARENA_NEW(l->arena, struct config_provider);
    *local = new_provider(STR("local"));
    local->api = CONFIG_API_LOCAL;
    local->index = c->provider_count;
    c->local_provider = local;
    struct config_provider *providers = (struct config_provider *)c->providers;
    struct str *names = ARENA_ARRAY(l->arena, struct str, c->provider_count);
    for (size_t i = 0; i < c->provider_count; i++) {
        providers[i].index = i;
        names[i] = providers[i].name;
        index_models(l, &providers[i]);
    }
    c->private_->provider_index = name_index_build(l->arena, names, c->provider_count);
}
