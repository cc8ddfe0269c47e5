/* keys: who may call, with which models, and how much. Only hashes are written; values under `keys`
 * are not shown in messages, for a key may stand there by mistake. */
#include "config/config_int.h"

#include "codec/digest.h"

#define COUNT_MAX INT64_C(1000000000000000)

enum { CONCURRENT_MAX = 1000000 };

/* What the contract's example has in place of a hash. */
static const struct str placeholder = STR_INIT("…");

struct key_draft {
    struct config_key key;
    bool hash_read;
    const struct node *name;   /* NULL: not written */
    const struct node *models; /* NULL: not written */
};

static void read_hash(struct loader *l, const struct field *field, const struct node *n,
                      void *object)
{
    static const char how[] = "the SHA-256 of the whole key, 'sha256:' and 64 hexadecimal digits: "
                              "printf %s \"$KEY\" | sha256sum";
    struct key_draft *d = object;
    struct str text;
    (void)field;
    if (n->kind != NODE_SCALAR) {
        mistake(l, n, "%s: write %s", node_path(l, n), how);
        return;
    }
    if (!scalar_text(l, n, how, &text))
        return;
    if (str_starts(text, STR("sha256:")))
        text = str_skip(text, 7);
    d->hash_read = true;
    if (str_eq(text, placeholder)) {
        d->key.disabled = true;
        warning(l, n, "%s: is the example's '…': nobody can use this key until it is %s",
                node_path(l, n), how);
    } else if (hex_decode(text, d->key.hash, sizeof d->key.hash) != ERR_OK) {
        mistake(l, n, "%s: is not %s", node_path(l, n), how);
    }
}

static void read_key_name(struct loader *l, const struct field *field, const struct node *n,
                          void *object)
{
    struct key_draft *d = object;
    struct str name;
    (void)field;
    d->name = n;
    if (scalar_text(l, n, "a name", &name) && check_name(l, n, name, "key", ""))
        d->key.name = arena_str(l->arena, name);
}

static void read_allowed(struct loader *l, const struct field *field, const struct node *n,
                         void *object)
{
    (void)field;
    if (expect_list(l, n, CONFIG_MODELS_MAX, "a list of models, as [fast, openai/gpt-5]"))
        ((struct key_draft *)object)->models = n;
}

static void read_key_limits(struct loader *l, const struct field *field, const struct node *n,
                            void *object)
{
    static const struct field fields[] = {
        FIELD_IN("requests", read_rate, struct config_key_limits, requests, 1, COUNT_MAX),
        FIELD_IN("tokens", read_rate, struct config_key_limits, tokens, 1, COUNT_MAX),
        FIELD_IN("concurrent", read_int64, struct config_key_limits, concurrent, 1, CONCURRENT_MAX),
    };
    (void)field;
    READ_MAP(l, n, fields, &((struct key_draft *)object)->key.limits);
}

/* Does the name stand for a model that calls may ask for? "provider/\*" too. */
static bool is_model(const struct config *c, struct str name)
{
    struct str rest = name;
    struct str upstream;
    if (config_model_find(c, name))
        return true;
    struct str first = str_split(&rest, '/');
    const struct config_provider *p = rest.ptr ? config_provider_find(c, first) : NULL;
    return p && (str_eq(rest, STR("*")) || config_provider_upstream(p, rest, &upstream));
}

static void unknown_allowed(struct loader *l, const struct node *n)
{
    struct suggestion near = suggestion_for(n->text);
    for (size_t i = 0; i < l->config->model_count; i++)
        suggestion_offer(&near, l->config->models[i].name);
    if (near.best.ptr)
        mistake(l, n, "%s: unknown model '%s', did you mean '%.*s'?", node_path(l, n),
                node_shown(l, n), STR_ARG(near.best));
    else
        mistake(l, n,
                "%s: unknown model '%s': write a name under 'models', provider/model, local/name "
                "or provider/*",
                node_path(l, n), node_shown(l, n));
}

static void take_allowed(struct loader *l, const struct node *n, struct config_key *key)
{
    struct str *models = ARENA_ARRAY(l->arena, struct str, n->count);
    for (const struct node *child = n->first; child; child = child->next) {
        struct str name;
        if (!scalar_text(l, child, "a model's name", &name))
            continue;
        if (is_model(l->config, name))
            models[key->model_count++] = arena_str(l->arena, name);
        else
            unknown_allowed(l, child);
    }
    if (n->count == 0)
        warning(l, n, "%s: is empty: this key may call no model; leave 'models' out to allow all",
                node_path(l, n));
    key->models = models;
}

static void read_key(struct loader *l, const struct node *n, struct config_key *ret_key)
{
    static const struct field fields[] = {
        FIELD("name", read_key_name, struct key_draft, key.name),
        FIELD("hash", read_hash, struct key_draft, key.hash),
        FIELD("models", read_allowed, struct key_draft, models),
        FIELD("limits", read_key_limits, struct key_draft, key.limits),
        FIELD("admin", read_bool, struct key_draft, key.admin),
    };
    struct key_draft d = {.hash_read = false};
    unsigned before = l->mistakes;
    if (!READ_MAP(l, n, fields, &d))
        return;
    d.key.any_model = d.models == NULL;
    if (d.models)
        take_allowed(l, d.models, &d.key);
    if (l->mistakes == before && !d.name)
        mistake(l, n, "%s: 'name' is missing", node_path(l, n));
    if (l->mistakes == before && !d.hash_read)
        mistake(l, n,
                "%s: 'hash' is missing: printf 'sha256:%%s' \"$(printf %%s KEY | sha256sum)\"",
                node_path(l, n));
    *ret_key = d.key;
}

/* Names and hashes are unique. */
static void check_unique(struct loader *l, const struct node *list)
{
    const struct config *c = l->config;
    struct str *names = ARENA_ARRAY(&l->scratch, struct str, c->key_count);
    struct str *hashes = ARENA_ARRAY(&l->scratch, struct str, c->key_count);
    for (size_t i = 0; i < c->key_count; i++) {
        names[i] = c->keys[i].name;
        hashes[i] = str_of((const char *)c->keys[i].hash, sizeof c->keys[i].hash);
    }
    struct name_index *by_name = name_index_build(&l->scratch, names, c->key_count);
    struct name_index *by_hash = name_index_build(&l->scratch, hashes, c->key_count);
    size_t i = 0;
    for (const struct node *n = list->first; n; n = n->next, i++) {
        size_t same_name = (size_t)name_index_find(by_name, names[i]);
        size_t same_hash = (size_t)name_index_find(by_hash, hashes[i]);
        if (same_name != i && names[i].len)
            mistake(l, n, "%s: a key named '%s' is there already (keys[%zu])", node_path(l, n),
                    text_shown(l, names[i]), same_name);
        else if (same_hash != i && !c->keys[i].disabled && names[i].len)
            mistake(l, n, "%s: keys[%zu] ('%s') has the same hash: one key, two names",
                    node_path(l, n), same_hash, text_shown(l, names[same_hash]));
    }
}

void keys_read(struct loader *l)
{
    const struct node *n = l->keys;
    if (!n || !expect_list(l, n, CONFIG_KEYS_MAX, "a list of keys: [{name: ..., hash: ...}]"))
        return;
    struct config_key *keys = ARENA_ARRAY(l->arena, struct config_key, n->count);
    unsigned before = l->mistakes;
    size_t i = 0;
    for (const struct node *child = n->first; child; child = child->next)
        read_key(l, child, &keys[i++]);
    l->config->keys = keys;
    l->config->key_count = n->count;
    l->config->keys_given = true;
    if (l->mistakes == before)
        check_unique(l, n);
    if (n->count == 0)
        warning(l, n, "keys: is empty: only the admin key given by --key may call");
}
