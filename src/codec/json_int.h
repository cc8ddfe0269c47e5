/* What reading and writing JSON strings have in common: finding the next byte that is not plain,
 * and the length of a UTF-8 sequence. Private to codec/json_*.c. */
#ifndef WEIR_CODEC_JSON_INT_H
#define WEIR_CODEC_JSON_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* A quote, a backslash, a control character or a byte of a longer UTF-8 sequence. */
static inline bool json_byte_special(char c)
{
    return c == '"' || c == '\\' || (signed char)c < 0x20;
}

#ifdef __SSE2__

/* 16 bytes at a time. Compared as signed bytes, everything from 0x80 up is below 0x20 too. */
static inline const char *json_plain_blocks(const char *at, const char *end)
{
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    const __m128i space = _mm_set1_epi8(0x20);
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i special = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)),
            _mm_cmplt_epi8(bytes, space));
        unsigned mask = (unsigned)_mm_movemask_epi8(special);
        if (mask)
            return at + __builtin_ctz(mask);
    }
    return at;
}

#else

/* 8 bytes at a time (Mycroft's test for a zero byte, and its form for bytes below a bound); a hit
 * is left to the caller's byte loop, so the order of bytes in a word does not matter. */
static inline const char *json_plain_blocks(const char *at, const char *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    for (; end - at >= 8; at += 8) {
        uint64_t bytes;
        memcpy(&bytes, at, sizeof bytes);
        uint64_t quote = bytes ^ (ones * '"'), backslash = bytes ^ (ones * '\\');
        uint64_t special = ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) |
                           ((bytes - ones * 0x20) & ~bytes) | bytes;
        if (special & high)
            break;
    }
    return at;
}

#endif

/* The first special byte, or end. Reads nothing past end. */
static inline const char *json_plain_skip(const char *at, const char *end)
{
    at = json_plain_blocks(at, end);
    while (at < end && !json_byte_special(*at))
        at++;
    return at;
}

static inline bool utf8_follows(unsigned char c)
{
    return (c & 0xC0) == 0x80;
}

/* Bytes of the sequence that begins at p (of which `left` may be read, at least 1); 0: it is not
 * UTF-8. Unicode 15, table 3-7: no overlong forms, no surrogates, nothing past U+10FFFF. */
static inline size_t utf8_sequence(const char *at, size_t left)
{
    const unsigned char *p = (const unsigned char *)at;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4 || left < 2 || !utf8_follows(p[1]))
        return 0;
    if (p[0] < 0xE0)
        return 2;
    if (left < 3 || !utf8_follows(p[2]))
        return 0;
    if (p[0] < 0xF0)
        return (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) ? 0 : 3;
    if (left < 4 || !utf8_follows(p[3]))
        return 0;
    return (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F) ? 0 : 4;
}

/* Value of four hexadecimal digits, or -1. */
static inline int32_t json_hex4(const char *p)
{
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)p[i];
        unsigned digit = c - '0';
        if (digit > 9) {
            digit = (c | 0x20u) - 'a' + 10;
            if (digit < 10 || digit > 15)
                return -1;
        }
        value = value << 4 | (int32_t)digit;
    }
    return value;
}

enum { SURROGATE_FIRST = 0xD800, SURROGATE_LOW = 0xDC00, SURROGATE_LAST = 0xDFFF };

/* One escape that begins at the backslash `at`: the character that it stands for (U+FFFD for half a
 * surrogate pair) and how many bytes it takes. 0 bytes: not an escape. */
static inline size_t json_escape_read(const char *at, const char *end, uint32_t *ret_char)
{
    if (end - at < 2)
        return 0;
    switch (at[1]) {
    case '"': *ret_char = '"'; return 2;
    case '\\': *ret_char = '\\'; return 2;
    case '/': *ret_char = '/'; return 2;
    case 'b': *ret_char = '\b'; return 2;
    case 'f': *ret_char = '\f'; return 2;
    case 'n': *ret_char = '\n'; return 2;
    case 'r': *ret_char = '\r'; return 2;
    case 't': *ret_char = '\t'; return 2;
    case 'u': break;
    default: return 0;
    }
    int32_t unit = end - at < 6 ? -1 : json_hex4(at + 2);
    if (unit < 0)
        return 0;
    *ret_char = (uint32_t)unit;
    if (unit < SURROGATE_FIRST || unit > SURROGATE_LAST)
        return 6;
    *ret_char = 0xFFFD;
    if (unit >= SURROGATE_LOW || end - at < 12 || at[6] != '\\' || at[7] != 'u')
        return 6;
    int32_t low = json_hex4(at + 8);
    if (low < SURROGATE_LOW || low > SURROGATE_LAST)
        return 6;
    *ret_char =
        0x10000 + (((uint32_t)unit - SURROGATE_FIRST) << 10) + ((uint32_t)low - SURROGATE_LOW);
    return 12;
}

static inline size_t utf8_size(uint32_t c)
{
    return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

/* Returns the bytes written. */
static inline size_t utf8_write(uint32_t c, char ret_bytes[4])
{
    size_t n = utf8_size(c);
    static const unsigned char lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        ret_bytes[i] = (char)(0x80 | (c & 0x3F));
    ret_bytes[0] = (char)(lead[n] | c);
    return n;
}

#endif
