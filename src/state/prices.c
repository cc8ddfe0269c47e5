/* The shipped list is a table of tab-separated lines, in the binary as it stands in prices.tsv:
 *
 *   2026-11-24.1a2b3c4d                                        version: day, digest of all lines
 * below target  input cached_input cache_write output reasoning audio_in audio_out  above  input
 * cached_input cache_write output └ USD per million tokens, '-' where there is none │      └ once
 * the prompt is larger than └ so many tokens, '-' where never
 *
 * It is read once in a process; each configuration's list stands on it with its own prices. */
#include "state/prices.h"

#include <pthread.h>
#include <stdatomic.h>

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

struct price {
    struct decimal part[PRICE_PART_COUNT];
    unsigned set;         /* bit set of price_part */
    int64_t above_tokens; /* 0: never */
    struct decimal above[PRICE_PART_COUNT];
    unsigned above_set;
};

/* Names and their prices, and an index over the names. */
struct table {
    struct str *names;
    struct price *prices;
    size_t count;
    struct name_index *index;
};

/* ---- The shipped list ---- */

static struct {
    struct arena arena; /* until the process ends */
    struct str version;
    struct table by_target;
    struct table by_model; /* names without their provider, of those that make their models */
} shipped;

static pthread_once_t shipped_once = PTHREAD_ONCE_INIT;

static void take_part(struct str *line, enum price_part part, struct decimal *values, unsigned *set)
{
    struct str text = str_split(line, '\t');
    if (str_eq(text, STR("-")))
        return;
    enum err e = decimal_parse(text, &values[part]);
    ASSERT(e == ERR_OK);
    *set |= 1u << part;
}

static void take_line(struct str line, struct str *ret_name, struct price *ret_price)
{
    static const enum price_part tier[] = {PRICE_INPUT, PRICE_CACHED_INPUT, PRICE_CACHE_WRITE,
                                           PRICE_OUTPUT};
    struct price price = {.set = 0};
    uint64_t above;
    *ret_name = str_split(&line, '\t');
    for (int part = 0; part < PRICE_PART_COUNT; part++)
        take_part(&line, (enum price_part)part, price.part, &price.set);
    if (str_to_u64(str_split(&line, '\t'), &above) == ERR_OK)
        price.above_tokens = (int64_t)above;
    for (size_t i = 0; i < sizeof tier / sizeof tier[0]; i++)
        take_part(&line, tier[i], price.above, &price.above_set);
    ASSERT(line.ptr == NULL && price.set & 1u << PRICE_INPUT && price.set & 1u << PRICE_OUTPUT);
    *ret_price = price;
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

static void read_shipped(void)
{
    struct str rest = str_of(prices_tsv, prices_tsv_bytes);
    size_t lines = 0;
    for (size_t i = 0; i < rest.len; i++)
        lines += rest.ptr[i] == '\n';
    arena_init(&shipped.arena);
    shipped.version = str_split(&rest, '\n');
    struct table all = new_table(&shipped.arena, lines);
    struct table bare = new_table(&shipped.arena, lines);
    while (rest.len) {
        size_t i = all.count++;
        take_line(str_split(&rest, '\n'), &all.names[i], &all.prices[i]);
        struct str model = all.names[i];
        if (!is_vendor(str_split(&model, '/')))
            continue;
        bare.names[bare.count] = model;
        bare.prices[bare.count++] = all.prices[i];
    }
    all.index = name_index_build(&shipped.arena, all.names, all.count);
    bare.index = name_index_build(&shipped.arena, bare.names, bare.count);
    shipped.by_target = all;
    shipped.by_model = bare;
}

/* ---- A configuration's list ---- */

struct prices {
    atomic_uint references;
    struct arena arena; /* holds everything, this too */
    struct str version;
    struct table own;
};

static int compare_targets(const void *a, const void *b)
{
    return str_cmp(((const struct config_price *)a)->target,
                   ((const struct config_price *)b)->target);
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
    for (size_t i = 0; i < config->price_count; i++) {
        digest_update(digest, sorted[i].target);
        for (int part = 0; part < PRICE_PART_COUNT; part++) {
            char text[DECIMAL_TEXT_BYTES];
            bool set = sorted[i].set & 1u << part;
            digest_update(digest, STR("\t"));
            digest_update(digest, set ? decimal_format(sorted[i].part[part], text) : STR("-"));
        }
        digest_update(digest, STR("\n"));
    }
    digest_final(digest, bytes);
    digest_free(digest);
    hex_encode(bytes, sizeof bytes, hex);
    buf_append_char(version, '+');
    buf_append(version, hex, VERSION_DIGEST_DIGITS);
}

struct prices *prices_build(const struct config *config)
{
    struct arena arena;
    BUF_AUTO struct buf version = {.max = 256};
    pthread_once(&shipped_once, read_shipped);
    arena_init(&arena);
    struct prices *p = ARENA_NEW(&arena, struct prices);
    atomic_init(&p->references, 1);
    p->own = new_table(&arena, config->price_count);
    for (size_t i = 0; i < config->price_count; i++) {
        const struct config_price *from = &config->prices[i];
        struct price *to = &p->own.prices[p->own.count];
        p->own.names[p->own.count++] = arena_str(&arena, from->target);
        memcpy(to->part, from->part, sizeof to->part);
        to->set = from->set;
    }
    p->own.index = name_index_build(&arena, p->own.names, p->own.count);
    buf_append_str(&version, shipped.version);
    if (config->price_count)
        append_digest(config, &arena, &version);
    p->version = arena_str(&arena, buf_str(&version));
    p->arena = arena; /* moved: from here on only this one is used */
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
    return shipped.by_target.count + p->own.count;
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
    found = find_in(&shipped.by_target, str_take(target, provider.len + 1 + model.len));
    if (!found)
        found = find_in(&shipped.by_model, model);
    return found ? found : find_in(&shipped.by_target, model); /* "hub/openai/gpt-5" */
}

/* The part's own price, or its whole's. */
static struct decimal part_price(const struct price *price, bool above, enum price_part part)
{
    static const enum price_part whole[PRICE_PART_COUNT] = {
        [PRICE_INPUT] = PRICE_INPUT,       [PRICE_CACHED_INPUT] = PRICE_INPUT,
        [PRICE_CACHE_WRITE] = PRICE_INPUT, [PRICE_OUTPUT] = PRICE_OUTPUT,
        [PRICE_REASONING] = PRICE_OUTPUT,  [PRICE_AUDIO_IN] = PRICE_INPUT,
        [PRICE_AUDIO_OUT] = PRICE_OUTPUT,
    };
    if (above && price->above_set & 1u << part)
        return price->above[part];
    if (price->set & 1u << part && !(above && price->above_set & 1u << whole[part]))
        return price->part[part];
    return above ? price->above[whole[part]] : price->part[whole[part]];
}

static bool are_counts(const struct usage *u)
{
    const int64_t counts[] = {u->input,     u->cached_input, u->cache_write, u->output,
                              u->reasoning, u->audio_in,     u->audio_out};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (counts[i] < 0 || counts[i] > INT64_MAX / 4)
            return false;
    return true;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Tokens by the price that they have; each counts once. Where parts overlap (audio that was
 * cached), the cached part comes first. */
static bool split(const struct usage *u, int64_t counts[PRICE_PART_COUNT])
{
    int64_t input = u->input - u->cached_input - u->cache_write;
    int64_t output = u->output - u->reasoning;
    if (!are_counts(u) || u->cached_input + u->cache_write > u->input || u->audio_in > u->input ||
        u->reasoning > u->output || u->audio_out > u->output)
        return false;
    counts[PRICE_CACHED_INPUT] = u->cached_input;
    counts[PRICE_CACHE_WRITE] = u->cache_write;
    counts[PRICE_AUDIO_IN] = least(u->audio_in, input);
    counts[PRICE_INPUT] = input - counts[PRICE_AUDIO_IN];
    counts[PRICE_REASONING] = u->reasoning;
    counts[PRICE_AUDIO_OUT] = least(u->audio_out, output);
    counts[PRICE_OUTPUT] = output - counts[PRICE_AUDIO_OUT];
    return true;
}

enum err prices_cost(const struct prices *p, struct str target, const struct usage *usage,
                     struct cost *ret_cost)
{
    int64_t counts[PRICE_PART_COUNT];
    struct decimal sum = DECIMAL_ZERO;
    const struct price *price = usage->source == USAGE_NONE ? NULL : find(p, target);
    if (!price)
        return ERR_NOT_FOUND;
    if (!split(usage, counts))
        return ERR_INVALID;
    bool above = price->above_tokens && usage->input > price->above_tokens;
    for (int part = 0; part < PRICE_PART_COUNT; part++) {
        struct decimal amount;
        TRY(decimal_per_million(counts[part], part_price(price, above, (enum price_part)part),
                                &amount));
        TRY(decimal_add(sum, amount, &sum));
    }
    *ret_cost = (struct cost){.amount = sum, .currency = STR("USD")};
    return ERR_OK;
}
