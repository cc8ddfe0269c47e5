/* Variable-length integers: seven bits a byte, lowest first, the top bit says that more follow (as
 * in Protocol Buffers). Signed ones are zigzag: 0, -1, 1, -2 … become 0, 1, 2, 3 … */
#ifndef WEIR_CODEC_VARINT_H
#define WEIR_CODEC_VARINT_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { VARINT_MAX_BYTES = 10 };

static inline uint64_t varint_zigzag(int64_t value)
{
    uint64_t twice = (uint64_t)value << 1;
    return value < 0 ? ~twice : twice;
}

static inline int64_t varint_unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* Bytes that value takes, 1 to 10. */
static inline size_t varint_u64_size(uint64_t value)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    return (bits + 6) / 7;
}

static inline size_t varint_i64_size(int64_t value)
{
    return varint_u64_size(varint_zigzag(value));
}

/* Write at `at`, which has room for varint_u64_size; returns the end. */
static inline char *varint_u64_put(char *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (char)(value | 0x80);
        value >>= 7;
    }
    *at++ = (char)value;
    return at;
}

static inline char *varint_i64_put(char *at, int64_t value)
{
    return varint_u64_put(at, varint_zigzag(value));
}

/* Take one off the front of *rest. ERR_TRUNCATED; ERR_CORRUPT above 64 bits. */
MUST_CHECK static inline enum err varint_u64_get(struct str *rest, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (size_t i = 0; i < rest->len; i++) {
        uint64_t byte = (unsigned char)rest->ptr[i];
        if (i == VARINT_MAX_BYTES - 1 && byte > 1)
            return ERR_CORRUPT;
        value |= (byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *rest = str_skip(*rest, i + 1);
            *ret_value = value;
            return ERR_OK;
        }
    }
    return ERR_TRUNCATED;
}

MUST_CHECK static inline enum err varint_i64_get(struct str *rest, int64_t *ret_value)
{
    uint64_t value;
    TRY(varint_u64_get(rest, &value));
    *ret_value = varint_unzigzag(value);
    return ERR_OK;
}

/* In addition ERR_CORRUPT outside 32 bits. */
MUST_CHECK static inline enum err varint_i32_get(struct str *rest, int32_t *ret_value)
{
    struct str s = *rest;
    int64_t value;
    TRY(varint_i64_get(&s, &value));
    if (value < INT32_MIN || value > INT32_MAX)
        return ERR_CORRUPT;
    *rest = s;
    *ret_value = (int32_t)value;
    return ERR_OK;
}

#endif
