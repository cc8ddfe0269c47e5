#include "state/keys.h"

#include <stdatomic.h>

#include "base/assert.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "os/random.h"

struct keys {
    atomic_uint references;
    struct arena arena; /* holds everything, this too */
    struct key *items;
    size_t count;
    uint32_t *slots; /* open addressing by the hash's first bytes: number + 1; 0: empty */
    uint32_t mask;
};

/* ---- Building ---- */

static int compare_names(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static const struct str *sorted_copy(struct arena *a, const struct str *names, size_t count)
{
    struct str *copy = ARENA_ARRAY(a, struct str, count);
    for (size_t i = 0; i < count; i++)
        copy[i] = arena_str(a, names[i]);
    qsort(copy, count, sizeof copy[0], compare_names);
    return copy;
}

static uint32_t first_slot(const struct keys *k, const uint8_t hash[KEY_HASH_BYTES])
{
    uint32_t prefix;
    memcpy(&prefix, hash, sizeof prefix);
    return prefix & k->mask;
}

static bool has_name(const struct keys *k, struct str name)
{
    for (size_t i = 0; i < k->count; i++)
        if (str_eq(k->items[i].name, name))
            return true;
    return false;
}

static const struct key *find(const struct keys *k, const uint8_t hash[KEY_HASH_BYTES])
{
    struct str wanted = str_of((const char *)hash, KEY_HASH_BYTES);
    for (uint32_t at = first_slot(k, hash); k->slots[at]; at = (at + 1) & k->mask) {
        const struct key *key = &k->items[k->slots[at] - 1];
        if (str_eq_constant_time(str_of((const char *)key->hash, KEY_HASH_BYTES), wanted))
            return key;
    }
    return NULL;
}

static void add(struct keys *k, const struct key_spec *spec, struct limiters *limiters)
{
    if (find(k, spec->hash))
        return;
    struct key *key = &k->items[k->count++];
    key->name = arena_str(&k->arena, spec->name);
    memcpy(key->hash, spec->hash, sizeof key->hash);
    key->admin = spec->admin;
    key->any_model = spec->any_model;
    key->models = sorted_copy(&k->arena, spec->models, spec->model_count);
    key->model_count = spec->model_count;
    key->limiter = limiter_get(limiters, key->name, &spec->limits);
    uint32_t at = first_slot(k, key->hash);
    while (k->slots[at])
        at = (at + 1) & k->mask;
    k->slots[at] = (uint32_t)k->count;
}

static struct key_spec spec_of(const struct config_key *c)
{
    struct key_spec spec = {.name = c->name,
                            .admin = c->admin,
                            .any_model = c->any_model,
                            .models = c->models,
                            .model_count = c->model_count,
                            .limits = c->limits};
    memcpy(spec.hash, c->hash, sizeof spec.hash);
    return spec;
}

static struct keys *new_keys(size_t count)
{
    struct arena arena;
    arena_init(&arena);
    struct keys *k = ARENA_NEW(&arena, struct keys);
    uint32_t size = 4;
    while (size < 2 * count)
        size *= 2;
    k->items = ARENA_ARRAY(&arena, struct key, count);
    k->slots = ARENA_ARRAY(&arena, uint32_t, size);
    k->mask = size - 1;
    k->arena = arena; /* moved: from here on only this one is used */
    atomic_init(&k->references, 1);
    return k;
}

struct keys *keys_build(const struct config *config, const struct key_spec *more, size_t more_count,
                        struct limiters *limiters)
{
    ASSERT(more_count <= CONFIG_KEYS_MAX);
    struct keys *k = new_keys(config->key_count + more_count);
    for (size_t i = 0; i < config->key_count; i++) {
        struct key_spec spec = spec_of(&config->keys[i]);
        if (!config->keys[i].disabled)
            add(k, &spec, limiters);
    }
    for (size_t i = 0; i < more_count; i++)
        if (!has_name(k, more[i].name))
            add(k, &more[i], limiters);
    return k;
}

struct keys *keys_get(const struct keys *k)
{
    unsigned before =
        atomic_fetch_add_explicit(&((struct keys *)k)->references, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return (struct keys *)k;
}

void keys_put(struct keys *k)
{
    if (!k)
        return;
    unsigned before = atomic_fetch_sub_explicit(&k->references, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before != 1)
        return;
    for (size_t i = 0; i < k->count; i++)
        limiter_put(k->items[i].limiter);
    struct arena arena = k->arena;
    arena_release(&arena);
}

/* ---- Using ---- */

size_t keys_count(const struct keys *k)
{
    return k->count;
}

const struct key *keys_find(const struct keys *k, struct str presented)
{
    uint8_t hash[KEY_HASH_BYTES];
    if (presented.len == 0 || presented.len > KEY_PRESENTED_BYTES_MAX)
        return NULL;
    key_hash(presented, hash);
    return find(k, hash);
}

static bool lists(const struct key *k, struct str model)
{
    return k->model_count &&
           bsearch(&model, k->models, k->model_count, sizeof model, compare_names);
}

bool key_allows_model(const struct key *k, struct str model)
{
    if (k->admin || k->any_model || lists(k, model))
        return true;
    ptrdiff_t slash = str_index(model, '/');
    char pattern[CONFIG_NAME_BYTES_MAX + 2];
    if (slash < 0 || slash > CONFIG_NAME_BYTES_MAX)
        return false;
    memcpy(pattern, model.ptr, (size_t)slash + 1);
    pattern[slash + 1] = '*';
    return lists(k, str_of(pattern, (size_t)slash + 2));
}

/* ---- Making ---- */

void key_make(char ret_text[KEY_TEXT_BYTES + 1])
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static const char prefix[] = "weir_";
    uint8_t number[32];
    os_random_bytes(number, sizeof number);
    memcpy(ret_text, prefix, sizeof prefix - 1);
    /* Long division of the number by 62, 43 times: 62^43 > 2^256. */
    for (size_t at = KEY_TEXT_BYTES; at >= sizeof prefix; at--) {
        unsigned rest = 0;
        for (size_t i = 0; i < sizeof number; i++) {
            unsigned part = rest << 8 | number[i];
            number[i] = (uint8_t)(part / 62);
            rest = part % 62;
        }
        ret_text[at - 1] = digits[rest];
    }
    ret_text[KEY_TEXT_BYTES] = 0;
}

void key_hash(struct str text, uint8_t ret_hash[KEY_HASH_BYTES])
{
    _Static_assert((int)KEY_HASH_BYTES == (int)DIGEST_BYTES, "a key's hash is its SHA-256");
    digest_sha256(text, ret_hash);
}
