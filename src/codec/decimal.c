#include "codec/decimal.h"

#include "base/assert.h"

enum {
    PARSE_BYTES_MAX = 64,
    EXPONENT_MAX = 99,
    STEPS_PER_MILLION_PRICE = 1000000 /* a price's smallest step, in steps of 10^-15 */
};

static __int128 power_of_ten(int exponent)
{
    ASSERT(exponent >= 0 && exponent <= 36);
    __int128 power = 1;
    while (exponent-- > 0)
        power *= 10;
    return power;
}

/* The digits read so far: mantissa × 10^zeros, of which `places` digits stood after the point.
 * Zeros are held back, so that trailing ones cost no precision. */
struct digits {
    unsigned __int128 mantissa;
    int significant; /* digits in mantissa */
    int zeros;
    int places;
    int count; /* digits seen */
};

static void take_digit(struct digits *d, int digit)
{
    d->count++;
    if (digit == 0) {
        d->zeros++;
        return;
    }
    int shift = d->zeros + 1;
    d->significant = d->mantissa ? d->significant + shift : 1;
    d->zeros = 0;
    if (d->significant <= DECIMAL_INTEGER_MAX + DECIMAL_SCALE)
        d->mantissa = d->mantissa * (d->mantissa ? (unsigned __int128)power_of_ten(shift) : 1) +
                      (unsigned)digit;
}

/* Leave *s after the run of digits; how many there were. */
static int take_digits(struct str *s, struct digits *d)
{
    int before = d->count;
    while (s->len && s->ptr[0] >= '0' && s->ptr[0] <= '9') {
        take_digit(d, s->ptr[0] - '0');
        *s = str_skip(*s, 1);
    }
    return d->count - before;
}

static bool take_char(struct str *s, char c)
{
    if (s->len == 0 || s->ptr[0] != c)
        return false;
    *s = str_skip(*s, 1);
    return true;
}

static enum err take_exponent(struct str *s, int *ret_exponent)
{
    *ret_exponent = 0;
    if (!take_char(s, 'e') && !take_char(s, 'E'))
        return ERR_OK;
    bool negative = take_char(s, '-');
    if (!negative)
        (void)take_char(s, '+');
    uint64_t value;
    TRY(str_to_u64(*s, &value));
    if (value > EXPONENT_MAX)
        return ERR_OUT_OF_RANGE;
    *s = str_skip(*s, s->len);
    *ret_exponent = negative ? -(int)value : (int)value;
    return ERR_OK;
}

enum err decimal_parse(struct str s, struct decimal *ret_value)
{
    struct digits d = {0};
    int exponent;
    if (s.len > PARSE_BYTES_MAX)
        return ERR_OUT_OF_RANGE;
    bool negative = take_char(&s, '-');
    if (take_digits(&s, &d) == 0)
        return ERR_INVALID;
    if (take_char(&s, '.') && (d.places = take_digits(&s, &d)) == 0)
        return ERR_INVALID;
    TRY(take_exponent(&s, &exponent));
    if (s.len)
        return ERR_INVALID;
    if (d.mantissa == 0) {
        *ret_value = DECIMAL_ZERO;
        return ERR_OK;
    }
    int shift = d.zeros - d.places + exponent + DECIMAL_SCALE;
    if (shift < 0 || d.significant + shift > DECIMAL_INTEGER_MAX + DECIMAL_SCALE)
        return ERR_OUT_OF_RANGE;
    __int128 steps = (__int128)d.mantissa * power_of_ten(shift);
    ret_value->steps = negative ? -steps : steps;
    return ERR_OK;
}

struct str decimal_format(struct decimal d, char text[DECIMAL_TEXT_BYTES])
{
    unsigned __int128 rest = d.steps < 0 ? -(unsigned __int128)d.steps : (unsigned __int128)d.steps;
    size_t at = DECIMAL_TEXT_BYTES - 1;
    text[at] = 0;
    bool shown = false;
    for (int place = 0; place < DECIMAL_SCALE; place++) {
        unsigned digit = (unsigned)(rest % 10);
        rest /= 10;
        shown = shown || digit != 0;
        if (shown)
            text[--at] = (char)('0' + digit);
    }
    if (shown)
        text[--at] = '.';
    do {
        text[--at] = (char)('0' + (unsigned)(rest % 10));
        rest /= 10;
    } while (rest);
    if (d.steps < 0)
        text[--at] = '-';
    return str_of(text + at, DECIMAL_TEXT_BYTES - 1 - at);
}

void buf_append_decimal(struct buf *b, struct decimal d)
{
    char text[DECIMAL_TEXT_BYTES];
    buf_append_str(b, decimal_format(d, text));
}

unsigned decimal_places(struct decimal d)
{
    unsigned places = DECIMAL_SCALE;
    for (__int128 steps = d.steps; places && steps % 10 == 0; steps /= 10)
        places--;
    return places;
}

enum err decimal_add(struct decimal a, struct decimal b, struct decimal *ret_sum)
{
    __int128 steps;
    if (__builtin_add_overflow(a.steps, b.steps, &steps))
        return ERR_OUT_OF_RANGE;
    ret_sum->steps = steps;
    return ERR_OK;
}

enum err decimal_per_million(int64_t count, struct decimal price, struct decimal *ret_amount)
{
    _Static_assert(DECIMAL_SCALE - DECIMAL_PRICE_SCALE == 6, "a million is six places");
    ASSERT(price.steps % STEPS_PER_MILLION_PRICE == 0);
    __int128 steps;
    if (__builtin_mul_overflow((__int128)count, price.steps / STEPS_PER_MILLION_PRICE, &steps))
        return ERR_OUT_OF_RANGE;
    ret_amount->steps = steps;
    return ERR_OK;
}
