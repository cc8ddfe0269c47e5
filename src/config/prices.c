/* prices: the user's own, USD per million tokens, above the shipped list. */
#include "config/config_int.h"

static void read_price_part(struct loader *l, const struct field *field, const struct node *n,
                            void *object)
{
    static const char expected[] = "a price in USD per million tokens, as 0.25";
    struct config_price *price = object;
    struct decimal value;
    struct str text;
    if (!scalar_text(l, n, expected, &text))
        return;
    if (decimal_parse(text, &value) != ERR_OK || decimal_is_negative(value)) {
        mistake(l, n, "%s: '%s' is not %s", node_path(l, n), node_shown(l, n), expected);
    } else if (decimal_places(value) > DECIMAL_PRICE_SCALE) {
        mistake(l, n, "%s: '%s' has more than %d digits after the point", node_path(l, n),
                node_shown(l, n), DECIMAL_PRICE_SCALE);
    } else {
        price->part[field->min] = value;
        price->set |= 1u << field->min;
    }
}

#define PART(key, number)                                                                          \
    {                                                                                              \
        .name = (key), .read = read_price_part, .min = (number)                                    \
    }

static const struct field price_fields[] = {
    PART("input", PRICE_INPUT),
    PART("cached_input", PRICE_CACHED_INPUT),
    PART("cache_write", PRICE_CACHE_WRITE),
    PART("output", PRICE_OUTPUT),
    PART("reasoning", PRICE_REASONING),
    PART("audio_in", PRICE_AUDIO_IN),
    PART("audio_out", PRICE_AUDIO_OUT),
};

void prices_read(struct loader *l)
{
    const struct node *n = l->prices;
    if (!n || !expect_map(l, n, CONFIG_PRICES_MAX, "a mapping of provider/model to its prices"))
        return;
    struct config_price *prices = ARENA_ARRAY(l->arena, struct config_price, n->count);
    size_t count = 0;
    for (const struct node *child = n->first; child; child = child->next) {
        struct config_price price = {.target = arena_str(l->arena, child->key->text)};
        unsigned before = l->mistakes;
        if (!check_name(l, child->key, price.target, "model", "") ||
            !READ_MAP(l, child, price_fields, &price) || l->mistakes != before)
            continue;
        if (price.set & 1u << PRICE_INPUT && price.set & 1u << PRICE_OUTPUT)
            prices[count++] = price;
        else
            mistake(l, child->key, "%s: 'input' and 'output' are both needed (0 where it is free)",
                    node_path(l, child));
    }
    l->config->prices = prices;
    l->config->price_count = count;
}
