/* models: the names that clients write, and the targets they stand for.
 *
 * An alias is a target's name (`fast: openai/gpt-5-mini`) or a mapping. A target is
 * "provider/model", "local/name" or another alias, whose targets are put in its place; so a
 * finished alias knows providers' models only. Flattening walks depth first and finds circles by
 * the state of each alias. */
#include "config/config_int.h"

#include "base/assert.h"
#include "codec/json_scan.h"
#include "codec/json_write.h"
#include "config/expr.h"

enum {
    ALIAS_DEPTH_MAX = 16,
    ATTEMPTS_MAX = 16,
    WEIGHT_MAX = 1000000,
    PARAM_DEPTH_MAX = 8,
    PARAM_BYTES_MAX = 64 * 1024
};

struct reference {
    const struct node *node; /* its scalar */
    struct str text;
    int weight;
    int concurrency;
    struct expr *when; /* NULL: always */
};

enum alias_state {
    ALIAS_NEW,
    ALIAS_OPEN, /* being flattened: meeting it again is a circle */
    ALIAS_DONE
};

struct alias {
    const struct node *node;
    struct config_model model;
    bool is_plain; /* only another name for something: `fast: openai/gpt-5-mini` */
    struct reference *references;
    size_t reference_count;
    enum alias_state state;
    unsigned height; /* 1: no alias among its references */
    struct config_target targets[CONFIG_TARGETS_MAX];
};

struct aliases {
    struct loader *l;
    struct alias *items;
    size_t count;
    struct name_index *index;
    const struct alias *chain[ALIAS_DEPTH_MAX]; /* open ones, outermost first */
    size_t depth;
};

/* ---- Reading ---- */

static void read_target_model(struct loader *l, const struct field *field, const struct node *n,
                              void *object)
{
    struct reference *r = object;
    (void)field;
    if (scalar_text(l, n, "a target, as openai/gpt-5-mini", &r->text))
        r->node = n;
}

/* The column of a byte of the scalar, where what is there is what the file says. */
static unsigned column_of(const struct node *n, size_t at)
{
    bool as_written = n->text.ptr == n->shown.ptr || str_eq(n->text, n->shown);
    return n->column + (as_written ? (unsigned)at + !n->plain : 0);
}

static void read_when(struct loader *l, const struct field *field, const struct node *n,
                      void *object)
{
    struct reference *r = object;
    struct expr_mistake wrong;
    struct str text;
    (void)field;
    if (!scalar_text(l, n, "a condition, as tokens > 8000", &text))
        return;
    if (expr_parse(text, l->arena, &r->when, &wrong) != ERR_OK)
        mistake_at(l, n->line, column_of(n, wrong.at), "%s: %s", node_path(l, n), wrong.what);
}

/* "openai/gpt-5", or {model: openai/gpt-5, weight: 9}. False after a mistake. */
static bool read_reference(struct loader *l, const struct node *n, struct reference *ret)
{
    static const struct field fields[] = {
        FIELD("model", read_target_model, struct reference, text),
        FIELD_IN("weight", read_int, struct reference, weight, 1, WEIGHT_MAX),
        FIELD_IN("concurrency", read_int, struct reference, concurrency, 1, 1000000),
        FIELD("when", read_when, struct reference, when),
    };
    struct reference r = {.node = n, .text = STR_NONE, .weight = 1};
    unsigned before = l->mistakes;
    if (n->kind == NODE_MAP)
        READ_MAP(l, n, fields, &r);
    else
        read_target_model(l, NULL, n, &r);
    if (l->mistakes != before)
        return false;
    if (!r.text.len) {
        mistake(l, n, "%s: 'model' is missing, as openai/gpt-5-mini", node_path(l, n));
        return false;
    }
    *ret = r;
    return true;
}

static void read_targets(struct loader *l, const struct field *field, const struct node *n,
                         void *object)
{
    struct alias *a = object;
    (void)field;
    if (!expect_list(l, n, CONFIG_TARGETS_MAX,
                     "a list of targets, as [openai/gpt-5, local/smollm2]"))
        return;
    a->references = ARENA_ARRAY(&l->scratch, struct reference, n->count);
    for (const struct node *child = n->first; child; child = child->next)
        if (read_reference(l, child, &a->references[a->reference_count]))
            a->reference_count++;
    if (n->count == 0)
        mistake(l, n, "%s: is empty: name at least one target, as openai/gpt-5-mini",
                node_path(l, n));
}

static void retry_on_statuses(struct config_retry *r, int first, int last)
{
    for (int status = first; status <= last; status++)
        r->status[status / 64] |= UINT64_C(1) << (status % 64);
}

/* One entry of retry.on: 408, 5xx, connect, reset, timeout. False when it is none of them. */
static bool retry_on(struct config_retry *r, struct str text)
{
    uint64_t status;
    if (str_eq(text, STR("connect")))
        r->on_connect = true;
    else if (str_eq(text, STR("reset")))
        r->on_reset = true;
    else if (str_eq(text, STR("timeout")))
        r->on_timeout = true;
    else if (str_eq(text, STR("4xx")) || str_eq(text, STR("5xx")))
        retry_on_statuses(r, (text.ptr[0] - '0') * 100, (text.ptr[0] - '0') * 100 + 99);
    else if (text.len == 3 && str_to_u64(text, &status) == ERR_OK && status >= 400 && status <= 599)
        retry_on_statuses(r, (int)status, (int)status);
    else
        return false;
    return true;
}

static void read_retry_on(struct loader *l, const struct field *field, const struct node *n,
                          void *object)
{
    static const char expected[] = "a status from 400 to 599, 4xx, 5xx, connect, reset or timeout";
    struct config_retry *r = object;
    (void)field;
    if (!expect_list(l, n, 256, "a list, as [429, 5xx, connect, reset, timeout]"))
        return;
    *r = (struct config_retry){.attempts = r->attempts};
    for (const struct node *child = n->first; child; child = child->next) {
        struct str text;
        if (scalar_text(l, child, expected, &text) && !retry_on(r, text))
            mistake(l, child, "%s: '%s' is not %s", node_path(l, child), node_shown(l, child),
                    expected);
    }
}

static void read_retry(struct loader *l, const struct field *field, const struct node *n,
                       void *object)
{
    static const struct field fields[] = {
        FIELD_IN("attempts", read_int, struct config_retry, attempts, 1, ATTEMPTS_MAX),
        FIELD("on", read_retry_on, struct config_retry, status),
    };
    (void)field;
    READ_MAP(l, n, fields, &((struct alias *)object)->model.retry);
}

static void read_cache(struct loader *l, const struct field *field, const struct node *n,
                       void *object)
{
    static const struct field fields[] = {
        FIELD_IN("ttl", read_span, struct config_model, cache_ttl_ms, 1, INT64_C(31536000000)),
        FIELD_IN("size", read_size, struct config_model, cache_bytes, 65536, INT64_C(1) << 40),
    };
    struct config_model *m = &((struct alias *)object)->model;
    (void)field;
    m->cache_bytes = INT64_C(64) << 20;
    if (READ_MAP(l, n, fields, m) && !m->cache_ttl_ms)
        mistake(l, n, "%s: 'ttl' is missing, as 1h", node_path(l, n));
}

/* ---- params: YAML → JSON ---- */

static bool is_json_number(struct str text)
{
    struct json_value value;
    return json_validate(text, 1, &value) == ERR_OK && value.kind == JSON_NUMBER;
}

static void write_scalar(struct json_writer *w, const struct node *n)
{
    bool is_word = n->plain && (str_eq(n->text, STR("true")) || str_eq(n->text, STR("false")));
    if (is_word || (n->plain && is_json_number(n->text)))
        json_raw(w, n->text);
    else
        json_str(w, n->text);
}

static void write_json(struct loader *l, struct json_writer *w, const struct node *n)
{
    switch (n->kind) {
    case NODE_NULL: json_null(w); return;
    case NODE_SCALAR:
        if (n->unset.len)
            mistake(l, n, "%s: %.*s is not set: set it, or write ${%.*s:-default}", node_path(l, n),
                    STR_ARG(n->unset), STR_ARG(n->unset));
        write_scalar(w, n);
        return;
    case NODE_LIST:
        json_array_begin(w);
        for (const struct node *child = n->first; child; child = child->next)
            write_json(l, w, child); /* CONFIG_DEPTH_MAX deep at most */
        json_array_end(w);
        return;
    case NODE_MAP:
        json_object_begin(w);
        for (const struct node *child = n->first; child; child = child->next) {
            json_key(w, child->key->text);
            write_json(l, w, child);
        }
        json_object_end(w);
        return;
    }
}

static bool is_reserved_param(struct str name)
{
    return str_eq(name, STR("model")) || str_eq(name, STR("messages")) ||
           str_eq(name, STR("stream")) || name.len == 0;
}

static void read_params(struct loader *l, const struct field *field, const struct node *n,
                        void *object)
{
    struct config_model *m = &((struct alias *)object)->model;
    BUF_AUTO struct buf json = {.max = PARAM_BYTES_MAX};
    (void)field;
    if (!expect_map(l, n, CONFIG_PARAMS_MAX, "a mapping, as {temperature: 0.2}"))
        return;
    struct config_param *params = ARENA_ARRAY(l->arena, struct config_param, n->count);
    for (const struct node *child = n->first; child; child = child->next) {
        struct json_writer w;
        if (is_reserved_param(child->key->text)) {
            mistake(l, child->key, "%s: '%s' is the request's own", node_path(l, n),
                    node_shown(l, child->key));
            continue;
        }
        buf_reset(&json);
        json_writer_init(&w, &json);
        write_json(l, &w, child);
        if (json.error != ERR_OK)
            mistake(l, child, "%s: longer than 64 KiB", node_path(l, child));
        params[m->param_count++] =
            (struct config_param){.name = arena_str(l->arena, child->key->text),
                                  .json = arena_str(l->arena, buf_str(&json))};
    }
    m->params = params;
}

/* ---- One alias ---- */

static const struct choice strategies[] = {
    {"fallback", CONFIG_STRATEGY_FALLBACK, NULL},
    {"weighted", CONFIG_STRATEGY_WEIGHTED, NULL},
    {"latency", CONFIG_STRATEGY_LATENCY, NULL},
    {"sticky", CONFIG_STRATEGY_STICKY, NULL},
    {NULL, 0, NULL},
};

static const struct choice stickies[] = {
    {"user", CONFIG_STICKY_USER, NULL},
    {NULL, 0, NULL},
};

static const struct field alias_fields[] = {
    FIELD("targets", read_targets, struct alias, references),
    FIELD_OF("strategy", read_choice, struct alias, model.strategy, strategies),
    FIELD("retry", read_retry, struct alias, model.retry),
    FIELD_IN("deadline", read_span, struct alias, model.deadline_ms, 1, INT64_C(86400000)),
    FIELD_OF("sticky", read_choice, struct alias, model.sticky, stickies),
    FIELD("cache", read_cache, struct alias, model),
    FIELD("params", read_params, struct alias, model),
};

static void read_alias(struct loader *l, const struct node *n, struct alias *a)
{
    unsigned before = l->mistakes;
    a->node = n;
    a->model = (struct config_model){.name = arena_str(l->arena, n->key->text),
                                     .retry = l->config->private_->default_retry,
                                     .deadline_ms = CONFIG_DEADLINE_DEFAULT_MS};
    if (n->kind != NODE_MAP) {
        a->is_plain = true;
        a->references = ARENA_NEW(&l->scratch, struct reference);
        if (n->kind == NODE_SCALAR)
            a->reference_count = read_reference(l, n, a->references);
        else
            mistake(l, n->key, "%s: write a target, as openai/gpt-5-mini, or {targets: [...]}",
                    node_path(l, n));
        return;
    }
    READ_MAP(l, n, alias_fields, a);
    if (a->model.strategy == CONFIG_STRATEGY_STICKY)
        a->model.sticky = CONFIG_STICKY_USER;
    if (a->model.sticky && a->model.strategy == CONFIG_STRATEGY_FALLBACK)
        warning(l, n->key,
                "%s: 'sticky' changes nothing under the strategy fallback, which always "
                "begins with the first target: choose sticky, weighted or latency",
                node_path(l, n));
    if (l->mistakes == before && a->reference_count == 0)
        mistake(l, n->key, "%s: 'targets' is missing, as [openai/gpt-5-mini]", node_path(l, n));
}

/* A name with the form of a provider's model must stay one. */
static bool check_alias_name(struct loader *l, const struct node *key)
{
    struct str name = key->text;
    struct str rest = name;
    if (!check_name(l, key, name, "model", ""))
        return false;
    struct str first = str_split(&rest, '/');
    if (!rest.ptr || !config_provider_find(l->config, first))
        return true;
    mistake(l, key, "models: '%s' would hide a model of provider '%s': choose another name",
            node_shown(l, key), text_shown(l, first));
    return false;
}

/* ---- Flattening ---- */

static void unknown_target(struct aliases *all, const struct reference *r)
{
    struct loader *l = all->l;
    struct suggestion near = suggestion_for(r->text);
    for (size_t i = 0; i < all->count; i++)
        suggestion_offer(&near, all->items[i].model.name);
    if (near.best.ptr)
        mistake(l, r->node, "%s: unknown model '%s', did you mean '%.*s'?", node_path(l, r->node),
                node_shown(l, r->node), STR_ARG(near.best));
    else
        mistake(l, r->node,
                "%s: unknown model '%s': a target is provider/model, local/name, or a name under "
                "'models'",
                node_path(l, r->node), node_shown(l, r->node));
}

static const char *provider_names(struct loader *l)
{
    BUF_AUTO struct buf names = {.max = 200};
    buf_append_str(&names, STR("local"));
    for (size_t i = 0; i < l->config->provider_count; i++) {
        buf_append_str(&names, STR(", "));
        buf_append_str(&names, l->config->providers[i].name);
    }
    return arena_str(&l->scratch, buf_str(&names)).ptr;
}

static void unknown_provider(struct loader *l, const struct reference *r, struct str name)
{
    struct suggestion near = suggestion_for(name);
    suggestion_offer(&near, STR("local"));
    for (size_t i = 0; i < l->config->provider_count; i++)
        suggestion_offer(&near, l->config->providers[i].name);
    if (near.best.ptr)
        mistake(l, r->node, "%s: unknown provider '%s', did you mean '%.*s'?",
                node_path(l, r->node), part_shown(l, r->node, name), STR_ARG(near.best));
    else
        mistake(l, r->node, "%s: unknown provider '%s': there is %s", node_path(l, r->node),
                part_shown(l, r->node, name), provider_names(l));
}

static void unknown_model(struct loader *l, const struct reference *r,
                          const struct config_provider *p, struct str model)
{
    struct suggestion near = suggestion_for(model);
    for (size_t i = 0; i < p->model_count; i++)
        suggestion_offer(&near, p->models[i].name);
    if (near.best.ptr)
        mistake(l, r->node, "%s: provider '%.*s' lists no model '%s', did you mean '%.*s/%.*s'?",
                node_path(l, r->node), STR_ARG(p->name), part_shown(l, r->node, model),
                STR_ARG(p->name), STR_ARG(near.best));
    else
        mistake(l, r->node, "%s: provider '%.*s' lists no model '%s': add it to its 'models'",
                node_path(l, r->node), STR_ARG(p->name), part_shown(l, r->node, model));
}

/* The target's conditions, and the one of the entry that it comes by. */
static void add_condition(struct loader *l, const struct reference *r, struct config_target *target)
{
    size_t count = target->condition_count;
    if (!r->when)
        return;
    if (count == CONFIG_CONDITIONS_MAX) {
        mistake(l, r->node, "%s: more than %d conditions, with those of the aliases among them",
                node_path(l, r->node), CONFIG_CONDITIONS_MAX);
        return;
    }
    const struct expr **conditions = ARENA_ARRAY(l->arena, const struct expr *, count + 1);
    for (size_t i = 0; i < count; i++)
        conditions[i] = target->conditions[i];
    conditions[count] = r->when;
    target->conditions = conditions;
    target->condition_count = count + 1;
}

static void add_target(struct aliases *all, struct alias *a, const struct reference *r,
                       const struct config_target *target)
{
    if (a->model.target_count == CONFIG_TARGETS_MAX) {
        mistake(all->l, r->node, "%s: more than %d targets, with those of the aliases among them",
                node_path(all->l, a->node), CONFIG_TARGETS_MAX);
        return;
    }
    struct config_target *to = &a->targets[a->model.target_count++];
    *to = *target;
    add_condition(all->l, r, to);
}

/* "provider/model". */
static void add_direct(struct aliases *all, struct alias *a, const struct reference *r)
{
    struct loader *l = all->l;
    struct str model = r->text;
    struct str provider = str_split(&model, '/');
    const struct config_provider *p = config_provider_find(l->config, provider);
    struct config_target target = {
        .provider = p, .weight = (uint32_t)r->weight, .concurrency = r->concurrency};
    if (!p) {
        unknown_provider(l, r, provider);
        return;
    }
    if (p->left_out.len) {
        warning(l, r->node, "%s: left out with its provider (%.*s)", node_path(l, r->node),
                STR_ARG(p->left_out));
        if (!a->model.left_out.len)
            a->model.left_out = p->left_out;
        return;
    }
    if (!config_provider_upstream(p, model, &target.upstream)) {
        unknown_model(l, r, p, model);
        return;
    }
    target.name = arena_str(l->arena, r->text);
    target.model = str_skip(target.name, provider.len + 1);
    if (!p->model_count)
        target.upstream = target.model;
    add_target(all, a, r, &target);
}

static void circle(struct aliases *all, const struct reference *r, const struct alias *again)
{
    BUF_AUTO struct buf path = {.max = 600};
    bool inside = false;
    for (size_t i = 0; i < all->depth; i++) {
        inside = inside || all->chain[i] == again;
        if (inside)
            buf_printf(&path, "%.*s -> ", STR_ARG(all->chain[i]->model.name));
    }
    mistake(all->l, r->node, "%s: aliases go in a circle: %.*s%.*s", node_path(all->l, r->node),
            STR_ARG(buf_str(&path)), STR_ARG(again->model.name));
}

static void flatten(struct aliases *all, struct alias *a);

/* Another alias: its targets in the place of its name. */
static void add_alias(struct aliases *all, struct alias *a, const struct reference *r,
                      struct alias *other)
{
    if (other->state == ALIAS_OPEN) {
        circle(all, r, other);
        return;
    }
    if (all->depth < ALIAS_DEPTH_MAX)
        flatten(all, other);
    if (all->depth == ALIAS_DEPTH_MAX || other->height == ALIAS_DEPTH_MAX) {
        mistake(all->l, r->node, "%s: aliases of aliases, more than %d deep",
                node_path(all->l, r->node), ALIAS_DEPTH_MAX);
        return;
    }
    if (a->height <= other->height)
        a->height = other->height + 1;
    if (a->model.strategy == CONFIG_STRATEGY_WEIGHTED && !a->is_plain) {
        mistake(all->l, r->node, "%s: '%s' is an alias; a weighted target is provider/model",
                node_path(all->l, r->node), node_shown(all->l, r->node));
        return;
    }
    if (r->concurrency) {
        mistake(all->l, r->node, "%s: '%s' is an alias: write 'concurrency' at its targets",
                node_path(all->l, r->node), node_shown(all->l, r->node));
        return;
    }
    if (a->is_plain) {
        struct str name = a->model.name;
        a->model = other->model;
        a->model.name = name;
        a->model.target_count = 0;
    }
    for (size_t i = 0; i < other->model.target_count; i++)
        add_target(all, a, r, &other->targets[i]);
    if (!a->model.left_out.len)
        a->model.left_out = other->model.left_out;
}

static void flatten(struct aliases *all, struct alias *a)
{
    if (a->state == ALIAS_DONE)
        return;
    ASSERT(all->depth < ALIAS_DEPTH_MAX);
    a->state = ALIAS_OPEN;
    a->height = 1;
    all->chain[all->depth++] = a;
    for (size_t i = 0; i < a->reference_count; i++) {
        const struct reference *r = &a->references[i];
        int64_t other = name_index_find(all->index, r->text);
        if (other != NAME_INDEX_NONE)
            add_alias(all, a, r, &all->items[other]);
        else if (str_index(r->text, '/') > 0)
            add_direct(all, a, r);
        else
            unknown_target(all, r);
    }
    all->depth--;
    a->state = ALIAS_DONE;
}

static void finish(struct aliases *all)
{
    struct loader *l = all->l;
    struct config_model *models = ARENA_ARRAY(l->arena, struct config_model, all->count);
    struct str *names = ARENA_ARRAY(l->arena, struct str, all->count);
    for (size_t i = 0; i < all->count; i++) {
        struct alias *a = &all->items[i];
        struct config_target *targets =
            ARENA_ARRAY(l->arena, struct config_target, a->model.target_count);
        memcpy(targets, a->targets, a->model.target_count * sizeof targets[0]);
        models[i] = a->model;
        models[i].targets = targets;
        models[i].index = i;
        if (models[i].target_count)
            models[i].left_out = STR_NONE;
        names[i] = a->model.name;
    }
    l->config->models = models;
    l->config->model_count = all->count;
    l->config->private_->model_index = name_index_build(l->arena, names, all->count);
}

void models_read(struct loader *l)
{
    const struct node *n = l->models;
    struct aliases all = {.l = l};
    if (!n || !expect_map(l, n, CONFIG_MODELS_MAX, "a mapping of names to targets"))
        return;
    all.items = ARENA_ARRAY(&l->scratch, struct alias, n->count);
    for (const struct node *child = n->first; child; child = child->next)
        if (check_alias_name(l, child->key))
            read_alias(l, child, &all.items[all.count++]);
    struct str *names = ARENA_ARRAY(&l->scratch, struct str, all.count);
    for (size_t i = 0; i < all.count; i++)
        names[i] = all.items[i].model.name;
    all.index = name_index_build(&l->scratch, names, all.count);
    for (size_t i = 0; i < all.count; i++)
        flatten(&all, &all.items[i]);
    finish(&all);
}
