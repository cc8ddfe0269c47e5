#include "codec/uuid.h"

#include "base/assert.h"
#include "codec/digest.h"

static void set_version(struct uuid *u, unsigned version)
{
    u->bytes[6] = (uint8_t)((u->bytes[6] & 0x0f) | version << 4);
    u->bytes[8] = (uint8_t)((u->bytes[8] & 0x3f) | 0x80);
}

struct uuid uuid_v4(const uint8_t random[16])
{
    struct uuid u;
    memcpy(u.bytes, random, sizeof u.bytes);
    set_version(&u, 4);
    return u;
}

struct uuid uuid_v7(int64_t wall_us, const uint8_t random[8])
{
    ASSERT(wall_us >= 0);
    struct uuid u;
    uint64_t ms = (uint64_t)wall_us / 1000;
    unsigned fraction = (unsigned)((uint64_t)wall_us % 1000 * 4096 / 1000);
    for (unsigned i = 0; i < 6; i++)
        u.bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    u.bytes[6] = (uint8_t)(fraction >> 8);
    u.bytes[7] = (uint8_t)fraction;
    memcpy(u.bytes + 8, random, 8);
    set_version(&u, 7);
    return u;
}

int64_t uuid_v7_ms(struct uuid u)
{
    int64_t ms = 0;
    for (unsigned i = 0; i < 6; i++)
        ms = ms << 8 | u.bytes[i];
    return ms;
}

/* Bytes in each hyphenated group. */
static const unsigned char groups[] = {4, 2, 2, 2, 6};

struct str uuid_format(struct uuid u, char text[UUID_TEXT_BYTES + 1])
{
    char *to = text;
    const uint8_t *from = u.bytes;
    for (size_t g = 0; g < sizeof groups; g++) {
        if (g)
            *to++ = '-';
        hex_encode(from, groups[g], to);
        from += groups[g];
        to += 2 * groups[g];
    }
    *to = 0;
    return str_of(text, UUID_TEXT_BYTES);
}

enum err uuid_parse(struct str text, struct uuid *ret_uuid)
{
    struct uuid u;
    uint8_t *to = u.bytes;
    if (text.len != UUID_TEXT_BYTES)
        return ERR_INVALID;
    for (size_t g = 0; g < sizeof groups; g++) {
        if (g) {
            if (text.ptr[0] != '-')
                return ERR_INVALID;
            text = str_skip(text, 1);
        }
        TRY(hex_decode(str_take(text, 2 * groups[g]), to, groups[g]));
        to += groups[g];
        text = str_skip(text, 2 * groups[g]);
    }
    *ret_uuid = u;
    return ERR_OK;
}
