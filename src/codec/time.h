/* Times and durations as text. Pure: the clock is os/clock.h. */
#ifndef WEIR_CODEC_TIME_H
#define WEIR_CODEC_TIME_H

#include "base/buf.h"

enum {
    TIME_TEXT_BYTES = 27,     /* "2026-11-24T10:00:00.000000Z" */
    TIME_SPAN_TEXT_BYTES = 24 /* "106751991167d" and a NUL fit */
};

/* RFC 3339 in UTC with six digits of a second, NUL-terminated. wall_us: µs since 1970, years 0…9999
 * (asserted). Returns the text. */
struct str time_format(int64_t wall_us, char text[TIME_TEXT_BYTES + 1]);
/* RFC 3339: "2026-11-24T10:00:00Z", "2026-11-24 10:00:00.25+01:00". Digits below the µs are cut
 * off; a leap second (:60) is the second after it. ERR_INVALID. */
MUST_CHECK enum err time_parse(struct str text, int64_t *ret_wall_us);

/* "500ms", "30s", "10m", "1h", "30d": a whole number and its unit; "0" needs none. ERR_INVALID for
 * anything else; ERR_OUT_OF_RANGE past 2^63 - 1 ms. */
MUST_CHECK enum err time_span_parse(struct str text, int64_t *ret_ms);
/* The same form with the largest unit that is exact ("90s", "10m"). ms is not negative. Returns the
 * text, NUL-terminated. */
struct str time_span_format(int64_t ms, char text[TIME_SPAN_TEXT_BYTES]);

/* A moment: RFC 3339, or an age ("10m") before now_us; an age beyond 1970 is 1970. µs since 1970.
 * ERR_INVALID. */
MUST_CHECK enum err time_point_parse(struct str text, int64_t now_us, int64_t *ret_wall_us);

#endif
