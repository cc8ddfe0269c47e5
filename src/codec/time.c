#include "codec/time.h"

#include <stdio.h>

#include "base/assert.h"

#define US_PER_SECOND   INT64_C(1000000)
#define SECONDS_PER_DAY INT64_C(86400)

/* ---- Days and dates: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" ---- */

struct date {
    int year;
    int month; /* 1…12 */
    int day;   /* 1…31 */
};

/* Days since 1970-01-01, for years from 0 on. */
static int64_t days_from_date(struct date d)
{
    int64_t y = d.month <= 2 ? d.year - 1 : d.year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (d.month + (d.month > 2 ? -3 : 9)) + 2) / 5 + d.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static struct date date_from_days(int64_t days)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153; /* months since March */
    int month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
    return (struct date){.year = (int)(year_of_era + era * 400 + (month <= 2)),
                         .month = month,
                         .day = (int)(day_of_year - (153 * shifted + 2) / 5 + 1)};
}

static bool date_is_valid(struct date d)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (d.month < 1 || d.month > 12 || d.day < 1)
        return false;
    bool leap = d.year % 4 == 0 && (d.year % 100 != 0 || d.year % 400 == 0);
    return d.day <= lengths[d.month - 1] + (d.month == 2 && leap);
}

/* ---- Points in time ---- */

static char *put_digits(char *to, int64_t value, int count, char after)
{
    for (int i = count - 1; i >= 0; i--) {
        to[i] = (char)('0' + value % 10);
        value /= 10;
    }
    to[count] = after;
    return to + count + 1;
}

struct str time_format(int64_t wall_us, char text[TIME_TEXT_BYTES + 1])
{
    int64_t seconds = wall_us / US_PER_SECOND - (wall_us % US_PER_SECOND < 0);
    int64_t days = seconds / SECONDS_PER_DAY - (seconds % SECONDS_PER_DAY < 0);
    int64_t second_of_day = seconds - days * SECONDS_PER_DAY;
    struct date date = date_from_days(days);
    ASSERT(date.year >= 0 && date.year <= 9999);
    char *to = put_digits(text, date.year, 4, '-');
    to = put_digits(to, date.month, 2, '-');
    to = put_digits(to, date.day, 2, 'T');
    to = put_digits(to, second_of_day / 3600, 2, ':');
    to = put_digits(to, second_of_day / 60 % 60, 2, ':');
    to = put_digits(to, second_of_day % 60, 2, '.');
    to = put_digits(to, wall_us - seconds * US_PER_SECOND, 6, 'Z');
    *to = 0;
    return str_of(text, TIME_TEXT_BYTES);
}

/* Exactly `count` digits and then one of `after` (any, when that is empty and the text ends). */
static bool take_number(struct str *s, size_t count, const char *after, int *ret_value)
{
    uint64_t value;
    if (str_to_u64(str_take(*s, count), &value) != ERR_OK || s->len < count)
        return false;
    *s = str_skip(*s, count);
    if (*after) {
        if (s->len == 0 || !strchr(after, s->ptr[0]))
            return false;
        *s = str_skip(*s, 1);
    }
    *ret_value = (int)value;
    return true;
}

/* ".25" and so on: µs; nothing there is 0. */
static bool take_fraction(struct str *s, int64_t *ret_us)
{
    int64_t us = 0;
    int64_t step = US_PER_SECOND;
    if (s->len && s->ptr[0] == '.') {
        size_t digits = 0;
        *s = str_skip(*s, 1);
        for (; s->len && s->ptr[0] >= '0' && s->ptr[0] <= '9'; *s = str_skip(*s, 1), digits++) {
            step /= 10;
            us += (s->ptr[0] - '0') * step;
        }
        if (digits == 0)
            return false;
    }
    *ret_us = us;
    return true;
}

/* "Z", "+01:00": seconds east of UTC; nothing may follow. */
static bool take_zone(struct str s, int64_t *ret_seconds)
{
    int hours;
    int minutes;
    *ret_seconds = 0;
    if (str_eq_nocase(s, STR("Z")))
        return true;
    if (s.len != 6 || (s.ptr[0] != '+' && s.ptr[0] != '-'))
        return false;
    int sign = s.ptr[0] == '-' ? -1 : 1;
    s = str_skip(s, 1);
    if (!take_number(&s, 2, ":", &hours) || !take_number(&s, 2, "", &minutes) || hours > 23 ||
        minutes > 59)
        return false;
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

enum err time_parse(struct str text, int64_t *ret_wall_us)
{
    struct date date;
    int hour;
    int minute;
    int second;
    int64_t us;
    int64_t east;
    if (!take_number(&text, 4, "-", &date.year) || !take_number(&text, 2, "-", &date.month) ||
        !take_number(&text, 2, "Tt ", &date.day) || !date_is_valid(date))
        return ERR_INVALID;
    if (!take_number(&text, 2, ":", &hour) || !take_number(&text, 2, ":", &minute) ||
        !take_number(&text, 2, "", &second) || hour > 23 || minute > 59 || second > 60)
        return ERR_INVALID;
    if (!take_fraction(&text, &us) || !take_zone(text, &east))
        return ERR_INVALID;
    int64_t seconds = days_from_date(date) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    *ret_wall_us = (seconds - east) * US_PER_SECOND + us;
    return ERR_OK;
}

/* ---- Spans ---- */

static const struct unit {
    struct str name;
    int64_t ms;
} units[] = {
    {STR_INIT("d"), 86400000}, {STR_INIT("h"), 3600000}, {STR_INIT("m"), 60000},
    {STR_INIT("s"), 1000},     {STR_INIT("ms"), 1},
};

enum { UNIT_COUNT = sizeof units / sizeof units[0] };

enum err time_span_parse(struct str text, int64_t *ret_ms)
{
    size_t digits = 0;
    int64_t value;
    int64_t ms;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    struct str name = str_skip(text, digits);
    TRY(str_to_i64(str_take(text, digits), &value));
    if (value == 0 && name.len == 0) {
        *ret_ms = 0;
        return ERR_OK;
    }
    for (size_t i = 0; i < UNIT_COUNT; i++) {
        if (!str_eq(name, units[i].name))
            continue;
        if (__builtin_mul_overflow(value, units[i].ms, &ms))
            return ERR_OUT_OF_RANGE;
        *ret_ms = ms;
        return ERR_OK;
    }
    return ERR_INVALID;
}

struct str time_span_format(int64_t ms, char text[TIME_SPAN_TEXT_BYTES])
{
    ASSERT(ms >= 0);
    size_t i = 0;
    while (ms % units[i].ms != 0)
        i++;
    if (ms == 0)
        i = 3; /* "0s" */
    int len = snprintf(text, TIME_SPAN_TEXT_BYTES, "%lld%.*s", (long long)(ms / units[i].ms),
                       STR_ARG(units[i].name));
    return str_of(text, (size_t)len);
}

enum err time_point_parse(struct str text, int64_t now_us, int64_t *ret_wall_us)
{
    int64_t ms;
    if (time_span_parse(text, &ms) != ERR_OK || ms >= INT64_MAX / 1000)
        return time_parse(text, ret_wall_us);
    *ret_wall_us = now_us > ms * 1000 ? now_us - ms * 1000 : 0;
    return ERR_OK;
}
