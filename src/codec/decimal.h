/* Exact decimal numbers for money. No binary floating point anywhere.
 *
 * A value is a count of 10^-15 units (DECIMAL_SCALE digits after the point) in 128 bits, so that
 * tokens × (USD per million tokens with up to 9 decimals) / 10^6 is exact, and sums are too. */
#ifndef WEIR_CODEC_DECIMAL_H
#define WEIR_CODEC_DECIMAL_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum {
    DECIMAL_SCALE = 15,       /* digits after the point */
    DECIMAL_INTEGER_MAX = 18, /* digits before the point that decimal_parse accepts */
    DECIMAL_TEXT_BYTES = 48,  /* enough for the text of any value, its sign and a NUL */
    DECIMAL_PRICE_SCALE = 9   /* digits after the point of a price per million units */
};

struct decimal {
    __int128 steps; /* of 10^-15 */
};

#define DECIMAL_ZERO ((struct decimal){0})

/* "0.25", "-3", "1.50", "2.5e-07" (as JSON writes small numbers). No spaces, no '+' before digits,
 * digits on both sides of a point. ERR_INVALID for anything else; ERR_OUT_OF_RANGE past 18 digits
 * before the point, or when digits other than zeros stand below 10^-15: nothing is rounded. */
MUST_CHECK enum err decimal_parse(struct str s, struct decimal *ret_value);
/* Shortest form: no exponent, no trailing zeros, "0" for zero, "-" before negative ones. Returns
 * the text inside `text` (NUL-terminated). */
struct str decimal_format(struct decimal d, char text[DECIMAL_TEXT_BYTES]);
void buf_append_decimal(struct buf *b, struct decimal d);

static inline bool decimal_is_negative(struct decimal d)
{
    return d.steps < 0;
}

static inline int decimal_cmp(struct decimal a, struct decimal b)
{
    return a.steps < b.steps ? -1 : a.steps > b.steps;
}

/* Digits after the point in the shortest form: 0…DECIMAL_SCALE. */
unsigned decimal_places(struct decimal d);
/* ERR_OUT_OF_RANGE when the sum does not fit 128 bits. */
MUST_CHECK enum err decimal_add(struct decimal a, struct decimal b, struct decimal *ret_sum);
/* count × price / 1,000,000, exactly. The price has at most DECIMAL_PRICE_SCALE places (asserted:
 * whoever reads prices checks them); ERR_OUT_OF_RANGE past 128 bits. */
MUST_CHECK enum err decimal_per_million(int64_t count, struct decimal price,
                                        struct decimal *ret_amount);

#endif
