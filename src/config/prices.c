/* prices: the user's own, USD per million tokens, above the shipped list.
 *
 *   provider/model: {input, output, …,            the usual set
 *                    batch: {…}, flex: {…}, priority: {…},
 *                    above: {tokens, input, output, …, batch: {…}, …}} */
#include "config/config_int.h"

static struct price_set *set_of(const struct field *field, void *object)
{
    return (struct price_set *)(void *)((char *)object + field->offset);
}

static void read_price_part(struct loader *l, const struct field *field, const struct node *n,
                            void *object)
{
    static const char expected[] = "a price in USD per million tokens, as 0.25";
    static const char expected_request[] = "a price in USD per request, as 0.005";
    const char *wanted = field->min == PRICE_REQUEST ? expected_request : expected;
    struct price_set *set = set_of(field, object);
    struct decimal value;
    struct str text;
    if (!scalar_text(l, n, wanted, &text))
        return;
    if (decimal_parse(text, &value) != ERR_OK || decimal_is_negative(value)) {
        mistake(l, n, "%s: '%s' is not %s", node_path(l, n), node_shown(l, n), wanted);
    } else if (decimal_places(value) > DECIMAL_PRICE_SCALE) {
        mistake(l, n, "%s: '%s' has more than %d digits after the point", node_path(l, n),
                node_shown(l, n), DECIMAL_PRICE_SCALE);
    } else {
        set->part[field->min] = value;
        set->set |= 1u << field->min;
    }
}

#define PART(key, number, at)                                                                      \
    {                                                                                              \
        .name = (key), .read = read_price_part, .offset = (at), .min = (number)                    \
    }
#define PARTS(at)                                                                                  \
    PART("input", PRICE_INPUT, at), PART("cached_input", PRICE_CACHED_INPUT, at),                  \
        PART("cache_write", PRICE_CACHE_WRITE, at),                                                \
        PART("cache_write_1h", PRICE_CACHE_WRITE_1H, at), PART("output", PRICE_OUTPUT, at),        \
        PART("reasoning", PRICE_REASONING, at), PART("audio_in", PRICE_AUDIO_IN, at),              \
        PART("audio_out", PRICE_AUDIO_OUT, at), PART("request", PRICE_REQUEST, at)
#define TIERS(member)                                                                              \
    FIELD("batch", read_set, struct config_price, member[USAGE_BATCH]),                            \
        FIELD("flex", read_set, struct config_price, member[USAGE_FLEX]),                          \
        FIELD("priority", read_set, struct config_price, member[USAGE_PRIORITY])

/* A whole set: what is paid for has two sides. */
static bool check_set(struct loader *l, const struct node *at, const struct node *n,
                      const struct price_set *set)
{
    if (set->set & 1u << PRICE_INPUT && set->set & 1u << PRICE_OUTPUT)
        return true;
    mistake(l, at, "%s: 'input' and 'output' are both needed (0 where it is free)",
            node_path(l, n));
    return false;
}

static void read_set(struct loader *l, const struct field *field, const struct node *n,
                     void *object)
{
    static const struct field fields[] = {PARTS(0)};
    unsigned before = l->mistakes;
    if (READ_MAP(l, n, fields, set_of(field, object)) && l->mistakes == before)
        check_set(l, n, n, set_of(field, object));
}

static void read_above(struct loader *l, const struct field *field, const struct node *n,
                       void *object)
{
    static const struct field fields[] = {
        FIELD_IN("tokens", read_int64, struct config_price, above_tokens, 1, 1000000000),
        PARTS(offsetof(struct config_price, above)),
        TIERS(above),
    };
    struct config_price *price = object;
    unsigned before = l->mistakes;
    (void)field;
    if (!READ_MAP(l, n, fields, price) || l->mistakes != before ||
        !check_set(l, n, n, &price->above[USAGE_STANDARD]))
        return;
    if (!price->above_tokens)
        mistake(l, n, "%s: 'tokens' is missing: above how many do these prices hold, as 200000",
                node_path(l, n));
}

static const struct field price_fields[] = {
    PARTS(offsetof(struct config_price, sets)),
    TIERS(sets),
    {.name = "above", .read = read_above},
};

void prices_read(struct loader *l)
{
    const struct node *n = l->prices;
    if (!n || !expect_map(l, n, CONFIG_PRICES_MAX, "a mapping of provider/model to its prices"))
        return;
    struct config_price *prices = ARENA_ARRAY(l->arena, struct config_price, n->count);
    size_t count = 0;
    for (const struct node *child = n->first; child; child = child->next) {
        struct config_price *price = &prices[count];
        unsigned before = l->mistakes;
        *price = (struct config_price){.target = arena_str(l->arena, child->key->text)};
        if (check_name(l, child->key, price->target, "model", "") &&
            READ_MAP(l, child, price_fields, price) && l->mistakes == before &&
            check_set(l, child->key, child, &price->sets[USAGE_STANDARD]))
            count++;
    }
    l->config->prices = prices;
    l->config->price_count = count;
}
