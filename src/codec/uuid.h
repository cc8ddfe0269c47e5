/* UUIDs (RFC 9562), pure: the caller brings time and randomness. */
#ifndef WEIR_CODEC_UUID_H
#define WEIR_CODEC_UUID_H

#include "base/err.h"
#include "base/str.h"

enum { UUID_BYTES = 16, UUID_TEXT_BYTES = 36 };

struct uuid {
    uint8_t bytes[UUID_BYTES];
};

/* Version 4: 16 random bytes, of which 122 bits are kept. */
struct uuid uuid_v4(const uint8_t random[16]);
/* Version 7: sorts by time. wall_us: µs since 1970 (not negative); its parts below the millisecond
 * go into rand_a (RFC 9562 §6.2, method 3), 62 bits of random[8] into rand_b. */
struct uuid uuid_v7(int64_t wall_us, const uint8_t random[8]);
/* The millisecond that a version 7 UUID was made, since 1970. */
int64_t uuid_v7_ms(struct uuid u);

/* Lower case, with hyphens; NUL-terminated. Returns the text. */
struct str uuid_format(struct uuid u, char text[UUID_TEXT_BYTES + 1]);
/* Any version, either case, hyphens in their places. ERR_INVALID. */
MUST_CHECK enum err uuid_parse(struct str text, struct uuid *ret_uuid);

#endif
