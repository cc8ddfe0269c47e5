/* Ranges of numbers as expressions of digits. */
#include <math.h>
#include <string.h>

#include "model/local/schema_grammar_int.h"

enum { DIGITS_MAX = 20, SPLIT_MAX = 8 };

static void any_digits(struct buf *out, size_t n)
{
    if (n == 1)
        buf_append_str(out, STR(" [0-9]"));
    else if (n > 1)
        buf_printf(out, " [0-9]{%zu}", n);
}

static void digit_range(struct buf *out, char from, char to)
{
    if (from == to)
        buf_printf(out, " [%c]", from);
    else
        buf_printf(out, " [%c-%c]", from, to);
}

static bool all(const char *digits, size_t n, char digit)
{
    for (size_t i = 0; i < n; i++)
        if (digits[i] != digit)
            return false;
    return true;
}

/* Numbers of n digits from lo to hi, in parentheses. */
static void same_length(struct buf *out, const char *lo, const char *hi, size_t n)
{
    static const char zeros[] = "00000000000000000000", nines[] = "99999999999999999999";
    if (n == 0)
        return;
    if (all(lo, n, '0') && all(hi, n, '9')) {
        any_digits(out, n);
        return;
    }
    if (lo[0] == hi[0]) {
        digit_range(out, lo[0], lo[0]);
        same_length(out, lo + 1, hi + 1, n - 1);
        return;
    }
    char from = lo[0], to = hi[0];
    bool low_part = !all(lo + 1, n - 1, '0'), high_part = !all(hi + 1, n - 1, '9');
    const char *between = "";
    buf_append_str(out, STR(" ("));
    if (low_part) {
        digit_range(out, from, from);
        same_length(out, lo + 1, nines, n - 1);
        from++;
        between = " |";
    }
    if (high_part)
        to--;
    if (from <= to) {
        buf_append_str(out, str_from_c(between));
        digit_range(out, from, to);
        any_digits(out, n - 1);
        between = " |";
    }
    if (high_part) {
        buf_append_str(out, str_from_c(between));
        digit_range(out, hi[0], hi[0]);
        same_length(out, zeros, hi + 1, n - 1);
    }
    buf_append_str(out, STR(")"));
}

/* 0 <= min <= max; an alternative for each number of digits. */
static void naturals(struct buf *out, uint64_t min, uint64_t max, bool *first)
{
    char lo[DIGITS_MAX + 4], hi[DIGITS_MAX + 4];
    int n_lo = snprintf(lo, sizeof lo, "%llu", (unsigned long long)min);
    int n_hi = snprintf(hi, sizeof hi, "%llu", (unsigned long long)max);
    for (int n = n_lo; n <= n_hi; n++) {
        char from[DIGITS_MAX + 4] = "1", to[DIGITS_MAX + 4];
        memset(from + 1, '0', (size_t)n);
        memset(to, '9', (size_t)n);
        buf_append_str(out, *first ? STR("") : STR(" |"));
        *first = false;
        same_length(out, n == n_lo ? lo : from, n == n_hi ? hi : to, (size_t)n);
    }
}

void schema_integers_write(struct buf *out, int64_t min, int64_t max)
{
    bool first = true;
    buf_append_str(out, STR(" ("));
    if (max >= 0)
        naturals(out, min > 0 ? (uint64_t)min : 0, (uint64_t)max, &first);
    if (min < 0) {
        bool inner = true;
        buf_append_str(out, first ? STR(" \"-\" (") : STR(" | \"-\" ("));
        naturals(out, max < 0 ? (uint64_t)-max : 1, (uint64_t)-min, &inner);
        buf_append_str(out, STR(")"));
    }
    buf_append_str(out, STR(")"));
}

static double clamp(double v)
{
    const double most = (double)SCHEMA_INTEGER_MAX;
    return v > most ? most : v < -most ? -most : v;
}

/* Numbers n with a fraction, 0 <= min <= n, n + 1 <= max; and the ends without one. */
static void with_fraction(struct buf *out, int64_t low, int64_t high, const char *sign, bool *first)
{
    if (low >= high)
        return;
    buf_printf(out, "%s%s", *first ? "" : " |", sign);
    schema_integers_write(out, low, high - 1);
    buf_append_str(out, STR(" (\".\" [0-9]{1,15})?"));
    *first = false;
}

bool schema_numbers_write(struct buf *out, double min, double max, bool min_open, bool max_open)
{
    double low = ceil(clamp(min)), high = floor(clamp(max));
    /* Whole numbers that may stand alone. */
    int64_t first_whole = (int64_t)low + (min_open && low == min);
    int64_t last_whole = (int64_t)high - (max_open && high == max);
    bool first = true;
    if (low > high)
        return false;
    BUF_AUTO struct buf inner;
    buf_init(&inner, SCHEMA_GRAMMAR_BYTES_MAX);
    /* n.f lies in [n, n + 1); -n.f in (-n - 1, -n]. An open end on a whole number is left out with
     * its fractions, of which one could be zero. */
    int64_t up = (int64_t)low + (min_open && low == min),
            down = (int64_t)high - (max_open && high == max);
    if (high > 0)
        with_fraction(&inner, up > 0 ? up : 0, (int64_t)high, "", &first);
    if (low < 0)
        with_fraction(&inner, down < 0 ? -down : 0, -(int64_t)low, " \"-\"", &first);
    if (first_whole <= last_whole) {
        buf_append_str(&inner, first ? STR("") : STR(" |"));
        schema_integers_write(&inner, first_whole, last_whole);
        first = false;
    }
    if (first)
        return false;
    buf_append_str(out, STR(" ("));
    buf_append_str(out, buf_str(&inner));
    buf_append_str(out, STR(")"));
    return true;
}
