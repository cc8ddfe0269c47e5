/* The shipped list is a table of tab-separated lines, in the binary as it stands in prices.tsv:
 *
 *   2026-11-24.1a2b3c4d                      version: day, digest of all lines below
 *   openai/gpt-x  above=272000  input=1.25  batch.input=0.625  above.input=2.5  above.batch.input=…
 *   └ target      └ tokens      └ USD per million tokens (request: for each call)
 *
 * It is read once in a process; each configuration's list stands on it with its own prices. Another
 * list of the same form may stand in its place (prices_build_from). */
#include "state/prices.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/name_index.h"
#include "codec/digest.h"

enum { VERSION_DIGEST_DIGITS = 8 };

/* The file's bytes, and how many they are. */
__asm__(".section .rodata\n"
        ".global prices_tsv\n"
        "prices_tsv:\n"
        ".incbin \"src/state/prices.tsv\"\n"
        "prices_tsv_end:\n"
        ".global prices_tsv_bytes\n"
        ".balign 8\n"
        "prices_tsv_bytes:\n"
        ".8byte prices_tsv_end - prices_tsv\n"
        ".previous\n");
extern const char prices_tsv[];
extern const uint64_t prices_tsv_bytes;

/* Sets that are not there are NULL. */
struct price {
    int64_t above_tokens; /* 0: never */
    const struct price_set *sets[USAGE_TIER_COUNT];
    const struct price_set *above[USAGE_TIER_COUNT];
};

/* Names and their prices, and an index over the names. */
struct table {
    struct str *names;
    struct price *prices;
    size_t count;
    struct name_index *index;
};

/* ---- A list as text ---- */

/* Two tables over one list. */
struct list {
    struct str version;
    struct table by_target;
    struct table by_model; /* names without their provider, of those that make their models */
};

static const struct str part_names[PRICE_PART_COUNT] = {
    [PRICE_INPUT] = STR_INIT("input"),
    [PRICE_CACHED_INPUT] = STR_INIT("cached_input"),
    [PRICE_CACHE_WRITE] = STR_INIT("cache_write"),
    [PRICE_CACHE_WRITE_1H] = STR_INIT("cache_write_1h"),
    [PRICE_OUTPUT] = STR_INIT("output"),
    [PRICE_REASONING] = STR_INIT("reasoning"),
    [PRICE_AUDIO_IN] = STR_INIT("audio_in"),
    [PRICE_AUDIO_OUT] = STR_INIT("audio_out"),
    [PRICE_REQUEST] = STR_INIT("request"),
};

static const struct str tier_prefixes[USAGE_TIER_COUNT] = {
    [USAGE_STANDARD] = STR_INIT(""),
    [USAGE_BATCH] = STR_INIT("batch."),
    [USAGE_FLEX] = STR_INIT("flex."),
    [USAGE_PRIORITY] = STR_INIT("priority."),
};

static bool skip_prefix(struct str *text, struct str prefix)
{
    if (!str_starts(*text, prefix))
        return false;
    *text = str_skip(*text, prefix.len);
    return true;
}

static enum err take_price(struct str name, struct str value,
                           struct price_set sets[2][USAGE_TIER_COUNT])
{
    int above = skip_prefix(&name, STR("above."));
    int tier = USAGE_STANDARD;
    struct decimal price;
    for (int i = USAGE_BATCH; i < USAGE_TIER_COUNT; i++)
        if (tier == USAGE_STANDARD && skip_prefix(&name, tier_prefixes[i]))
            tier = i;
    TRY(decimal_parse(value, &price));
    if (decimal_is_negative(price) || decimal_places(price) > DECIMAL_PRICE_SCALE)
        return ERR_OUT_OF_RANGE;
    for (int part = 0; part < PRICE_PART_COUNT; part++) {
        if (!str_eq(name, part_names[part]))
            continue;
        sets[above][tier].part[part] = price;
        sets[above][tier].set |= 1u << part;
        return ERR_OK;
    }
    return ERR_INVALID;
}

static const struct price_set *keep_set(struct arena *a, const struct price_set *set)
{
    if (!set->set)
        return NULL;
    struct price_set *kept = ARENA_NEW(a, struct price_set);
    *kept = *set;
    return kept;
}

static bool is_whole(const struct price_set *set)
{
    return set->set & 1u << PRICE_INPUT && set->set & 1u << PRICE_OUTPUT;
}

static enum err take_line(struct arena *a, struct str line, struct str *ret_name,
                          struct price *ret_price)
{
    struct price_set sets[2][USAGE_TIER_COUNT] = {{{.set = 0}}};
    struct price price = {.above_tokens = 0};
    struct str name = str_split(&line, '\t');
    while (line.ptr) {
        struct str value = str_split(&line, '\t');
        struct str field = str_split(&value, '=');
        if (str_eq(field, STR("above")))
            TRY(str_to_i64(value, &price.above_tokens));
        else
            TRY(take_price(field, value, sets));
    }
    for (int tier = 0; tier < USAGE_TIER_COUNT; tier++) {
        price.sets[tier] = keep_set(a, &sets[0][tier]);
        price.above[tier] = keep_set(a, &sets[1][tier]);
        if ((price.sets[tier] && !is_whole(price.sets[tier])) ||
            (price.above[tier] && !is_whole(price.above[tier])))
            return ERR_INVALID;
    }
    if (!name.len || !price.sets[USAGE_STANDARD])
        return ERR_INVALID;
    *ret_name = arena_str(a, name);
    *ret_price = price;
    return ERR_OK;
}

static struct table new_table(struct arena *a, size_t count)
{
    return (struct table){.names = ARENA_ARRAY(a, struct str, count),
                          .prices = ARENA_ARRAY(a, struct price, count)};
}

/* Does this provider make the models it sells, so that a bare name means its price? */
static bool is_vendor(struct str provider)
{
    static const struct str vendors[] = {STR_INIT("openai"),   STR_INIT("anthropic"),
                                         STR_INIT("gemini"),   STR_INIT("mistral"),
                                         STR_INIT("deepseek"), STR_INIT("xai")};
    for (size_t i = 0; i < sizeof vendors / sizeof vendors[0]; i++)
        if (str_eq(provider, vendors[i]))
            return true;
    return false;
}

static enum err read_list(struct arena *a, struct str text, size_t *ret_line, struct list *ret_list)
{
    struct list list = {.version = STR_NONE};
    size_t lines = 1;
    for (size_t i = 0; i < text.len; i++)
        lines += text.ptr[i] == '\n';
    list.version = arena_str(a, str_split(&text, '\n'));
    struct table all = new_table(a, lines);
    struct table bare = new_table(a, lines);
    while (text.len) {
        size_t i = all.count++;
        *ret_line = i + 2;
        TRY(take_line(a, str_split(&text, '\n'), &all.names[i], &all.prices[i]));
        struct str model = all.names[i];
        if (!is_vendor(str_split(&model, '/')))
            continue;
        bare.names[bare.count] = model;
        bare.prices[bare.count++] = all.prices[i];
    }
    if (!list.version.len)
        return ERR_INVALID;
    all.index = name_index_build(a, all.names, all.count);
    bare.index = name_index_build(a, bare.names, bare.count);
    list.by_target = all;
    list.by_model = bare;
    *ret_list = list;
    return ERR_OK;
}

/* ---- The shipped list ---- */

static struct {
    struct arena arena; /* until the process ends */
    struct list list;
} shipped;

static pthread_once_t shipped_once = PTHREAD_ONCE_INIT;

static void read_shipped(void)
{
    size_t line;
    arena_init(&shipped.arena);
    enum err err =
        read_list(&shipped.arena, str_of(prices_tsv, prices_tsv_bytes), &line, &shipped.list);
    ASSERT(err == ERR_OK);
}

/* ---- A configuration's list ---- */

struct prices {
    atomic_uint references;
    struct arena arena; /* holds everything, this too */
    struct str version;
    struct list list; /* the shipped one, or another in its place */
    struct table own;
};

static int compare_targets(const void *a, const void *b)
{
    return str_cmp(((const struct config_price *)a)->target,
                   ((const struct config_price *)b)->target);
}

static void digest_set(struct digest *digest, const struct price_set *set)
{
    for (int part = 0; part < PRICE_PART_COUNT; part++) {
        char text[DECIMAL_TEXT_BYTES];
        bool is_set = set->set & 1u << part;
        digest_update(digest, STR("\t"));
        digest_update(digest, is_set ? decimal_format(set->part[part], text) : STR("-"));
    }
}

static void digest_price(struct digest *digest, const struct config_price *price)
{
    char text[24];
    int n = snprintf(text, sizeof text, "\t%lld", (long long)price->above_tokens);
    digest_update(digest, price->target);
    digest_update(digest, str_of(text, (size_t)n));
    for (int tier = 0; tier < USAGE_TIER_COUNT; tier++) {
        digest_set(digest, &price->sets[tier]);
        digest_set(digest, &price->above[tier]);
    }
    digest_update(digest, STR("\n"));
}

/* The same prices have the same digest, in whatever order they are written. */
static void append_digest(const struct config *config, struct arena *a, struct buf *version)
{
    struct config_price *sorted = ARENA_ARRAY(a, struct config_price, config->price_count);
    struct digest *digest = digest_new();
    uint8_t bytes[DIGEST_BYTES];
    char hex[DIGEST_HEX_BYTES];
    memcpy(sorted, config->prices, config->price_count * sizeof sorted[0]);
    qsort(sorted, config->price_count, sizeof sorted[0], compare_targets);
    for (size_t i = 0; i < config->price_count; i++)
        digest_price(digest, &sorted[i]);
    digest_final(digest, bytes);
    digest_free(digest);
    hex_encode(bytes, sizeof bytes, hex);
    buf_append_char(version, '+');
    buf_append(version, hex, VERSION_DIGEST_DIGITS);
}

static void take_own(struct prices *p, struct arena *a, const struct config *config)
{
    p->own = new_table(a, config->price_count);
    for (size_t i = 0; i < config->price_count; i++) {
        const struct config_price *from = &config->prices[i];
        struct price *to = &p->own.prices[p->own.count];
        p->own.names[p->own.count++] = arena_str(a, from->target);
        to->above_tokens = from->above_tokens;
        for (int tier = 0; tier < USAGE_TIER_COUNT; tier++) {
            to->sets[tier] = keep_set(a, &from->sets[tier]);
            to->above[tier] = keep_set(a, &from->above[tier]);
        }
    }
    p->own.index = name_index_build(a, p->own.names, p->own.count);
}

enum err prices_build_from(struct str list, const struct config *config, size_t *ret_line,
                           struct prices **ret_prices)
{
    struct arena arena;
    BUF_AUTO struct buf version = {.max = 256};
    arena_init(&arena);
    struct prices *p = ARENA_NEW(&arena, struct prices);
    if (list.ptr) {
        enum err err = read_list(&arena, list, ret_line, &p->list);
        if (err != ERR_OK) {
            arena_release(&arena);
            return err;
        }
    } else {
        pthread_once(&shipped_once, read_shipped);
        p->list = shipped.list;
    }
    atomic_init(&p->references, 1);
    take_own(p, &arena, config);
    buf_append_str(&version, p->list.version);
    if (config->price_count)
        append_digest(config, &arena, &version);
    p->version = arena_str(&arena, buf_str(&version));
    p->arena = arena; /* moved: from here on only this one is used */
    *ret_prices = p;
    return ERR_OK;
}

struct prices *prices_build(const struct config *config)
{
    struct prices *p = NULL;
    size_t line;
    enum err err = prices_build_from(STR_NONE, config, &line, &p);
    ASSERT(err == ERR_OK);
    return p;
}

struct prices *prices_get(const struct prices *p)
{
    unsigned before =
        atomic_fetch_add_explicit(&((struct prices *)p)->references, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return (struct prices *)p;
}

void prices_put(struct prices *p)
{
    if (!p)
        return;
    unsigned before = atomic_fetch_sub_explicit(&p->references, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before != 1)
        return;
    struct arena arena = p->arena;
    arena_release(&arena);
}

struct str prices_version(const struct prices *p)
{
    return p->version;
}

size_t prices_count(const struct prices *p)
{
    return p->list.by_target.count + p->own.count;
}

/* ---- Costs ---- */

static const struct price *find_in(const struct table *t, struct str name)
{
    int64_t i = name_index_find(t->index, name);
    return i == NAME_INDEX_NONE ? NULL : &t->prices[i];
}

/* A fine-tuned model costs what its kind does: "ft:gpt-4o:acme::x1" is "ft:gpt-4o" on the list. */
static struct str without_tuning(struct str model)
{
    if (!str_starts(model, STR("ft:")))
        return model;
    ptrdiff_t end = str_index(str_skip(model, 3), ':');
    return end < 0 ? model : str_take(model, 3 + (size_t)end);
}

static const struct price *find(const struct prices *p, struct str target)
{
    struct str model = target;
    struct str provider = str_split(&model, '/');
    const struct price *found = find_in(&p->own, target);
    if (!found && model.ptr)
        found = find_in(&p->own, model);
    if (found || !model.ptr || str_eq(provider, STR("local")))
        return found;
    model = without_tuning(model);
    found = find_in(&p->list.by_target, str_take(target, provider.len + 1 + model.len));
    if (!found)
        found = find_in(&p->list.by_model, model);
    return found ? found : find_in(&p->list.by_target, model); /* "hub/openai/gpt-5" */
}

/* The most special set that there is. */
static const struct price_set *choose_set(const struct price *price, const struct usage *u)
{
    bool above = price->above_tokens && u->input > price->above_tokens;
    const struct price_set *const choices[] = {
        above ? price->above[u->tier] : NULL,
        u->tier == USAGE_STANDARD ? NULL : price->sets[u->tier],
        above ? price->above[USAGE_STANDARD] : NULL,
        price->sets[USAGE_STANDARD],
    };
    size_t i = 0;
    while (!choices[i])
        i++;
    return choices[i];
}

/* The part's own price, or its whole's. */
static struct decimal part_price(const struct price_set *set, enum price_part part)
{
    static const enum price_part whole[PRICE_PART_COUNT] = {
        [PRICE_INPUT] = PRICE_INPUT,       [PRICE_CACHED_INPUT] = PRICE_INPUT,
        [PRICE_CACHE_WRITE] = PRICE_INPUT, [PRICE_CACHE_WRITE_1H] = PRICE_CACHE_WRITE,
        [PRICE_OUTPUT] = PRICE_OUTPUT,     [PRICE_REASONING] = PRICE_OUTPUT,
        [PRICE_AUDIO_IN] = PRICE_INPUT,    [PRICE_AUDIO_OUT] = PRICE_OUTPUT,
        [PRICE_REQUEST] = PRICE_REQUEST,
    };
    while (!(set->set & 1u << part) && whole[part] != part)
        part = whole[part];
    return set->part[part]; /* zero where a request has none */
}

static bool are_counts(const struct usage *u)
{
    const int64_t counts[] = {u->input,  u->cached_input, u->cache_write, u->cache_write_1h,
                              u->output, u->reasoning,    u->audio_in,    u->audio_out};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (counts[i] < 0 || counts[i] > INT64_MAX / 4)
            return false;
    return u->cached_input + u->cache_write <= u->input && u->audio_in <= u->input &&
           u->cache_write_1h <= u->cache_write && u->reasoning <= u->output &&
           u->audio_out <= u->output;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Tokens by the price that they have; each counts once. Where parts overlap (audio that was
 * cached), the cached part comes first. */
static void split(const struct usage *u, int64_t counts[PRICE_PART_COUNT])
{
    int64_t input = u->input - u->cached_input - u->cache_write;
    int64_t output = u->output - u->reasoning;
    counts[PRICE_CACHED_INPUT] = u->cached_input;
    counts[PRICE_CACHE_WRITE] = u->cache_write - u->cache_write_1h;
    counts[PRICE_CACHE_WRITE_1H] = u->cache_write_1h;
    counts[PRICE_AUDIO_IN] = least(u->audio_in, input);
    counts[PRICE_INPUT] = input - counts[PRICE_AUDIO_IN];
    counts[PRICE_REASONING] = u->reasoning;
    counts[PRICE_AUDIO_OUT] = least(u->audio_out, output);
    counts[PRICE_OUTPUT] = output - counts[PRICE_AUDIO_OUT];
    counts[PRICE_REQUEST] = 1000000; /* a price for one, not for a million */
}

enum err prices_cost(const struct prices *p, struct str target, const struct usage *usage,
                     struct cost *ret_cost)
{
    int64_t counts[PRICE_PART_COUNT];
    struct decimal sum = DECIMAL_ZERO;
    const struct price *price = usage->source == USAGE_NONE ? NULL : find(p, target);
    if (!price)
        return ERR_NOT_FOUND;
    if (!are_counts(usage))
        return ERR_INVALID;
    split(usage, counts);
    const struct price_set *set = choose_set(price, usage);
    for (int part = 0; part < PRICE_PART_COUNT; part++) {
        struct decimal amount;
        TRY(decimal_per_million(counts[part], part_price(set, (enum price_part)part), &amount));
        TRY(decimal_add(sum, amount, &sum));
    }
    *ret_cost = (struct cost){.amount = sum, .currency = STR("USD")};
    return ERR_OK;
}
