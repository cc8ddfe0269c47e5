/* The instruction takes three cycles and can start every cycle, so three runs side by side go three
 * times as fast as one. Their results are joined by shifting a CRC over the run's length in zeros,
 * which is linear and so a table look-up for each byte (Mark Adler's method, crc32c.c 1.1).
 *
 *     | run A | run B | run C |   crc = shift(shift(A) ^ B) ^ C
 *
 * The tables are made before main(); nothing here changes afterwards. */
#include "codec/crc32c.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#define POLYNOMIAL 0x82f63b78u /* reflected */

enum {
    LONG_RUN_BYTES = 4096,
    SHORT_RUN_BYTES = 256,
};

static uint32_t table[8][256];
static uint32_t long_shift[4][256];
static uint32_t short_shift[4][256];
static bool has_instruction;

static void make_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? (crc >> 1) ^ POLYNOMIAL : crc >> 1;
        table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++)
            table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 0xff];
}

/* A CRC shifted over len zero bytes, bit by bit through the linear operator's image of each bit. */
static void make_shift(uint32_t shift[4][256], size_t len)
{
    uint32_t of_bit[32];
    for (int bit = 0; bit < 32; bit++) {
        uint32_t crc = 1u << bit;
        for (size_t i = 0; i < len; i++)
            crc = (crc >> 8) ^ table[0][crc & 0xff];
        of_bit[bit] = crc;
    }
    for (int byte = 0; byte < 4; byte++)
        for (uint32_t value = 0; value < 256; value++) {
            uint32_t crc = 0;
            for (int bit = 0; bit < 8; bit++)
                if (value >> bit & 1)
                    crc ^= of_bit[byte * 8 + bit];
            shift[byte][value] = crc;
        }
}

__attribute__((constructor)) static void prepare(void)
{
    make_table();
    make_shift(long_shift, LONG_RUN_BYTES);
    make_shift(short_shift, SHORT_RUN_BYTES);
#if defined(__x86_64__)
    has_instruction = __builtin_cpu_supports("sse4.2");
#elif defined(__aarch64__)
    has_instruction = getauxval(AT_HWCAP) & HWCAP_CRC32;
#endif
}

static uint64_t load64(const unsigned char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* Eight bytes at a time; the words are little-endian on every machine this runs on. */
uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    crc = ~crc;
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word = load64(at) ^ crc;
        crc = 0;
        for (int k = 0; k < 8; k++)
            crc ^= table[7 - k][word >> (8 * k) & 0xff];
    }
    for (; len > 0; at++, len--)
        crc = (crc >> 8) ^ table[0][(crc ^ *at) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
#define CRC_TARGET           __attribute__((target("sse4.2")))
#define CRC_WORD(crc, word)  ((uint32_t)_mm_crc32_u64((crc), (word)))
#define CRC_BYTE(crc, value) _mm_crc32_u8((crc), (value))
#elif defined(__aarch64__)
/* By hand, because gcc and clang disagree on how to allow the intrinsic in one function only. */
#define CRC_TARGET
static uint32_t CRC_WORD(uint32_t crc, uint64_t word)
{
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(word));
    return crc;
}

static uint32_t CRC_BYTE(uint32_t crc, unsigned char value)
{
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"(value));
    return crc;
}
#endif

#ifdef CRC_TARGET
static uint32_t shift(const uint32_t by[4][256], uint32_t crc)
{
    return by[0][crc & 0xff] ^ by[1][crc >> 8 & 0xff] ^ by[2][crc >> 16 & 0xff] ^ by[3][crc >> 24];
}

/* Three runs of run bytes each. */
CRC_TARGET static uint32_t three_runs(uint32_t crc, const unsigned char *at, size_t run,
                                      const uint32_t by[4][256])
{
    uint32_t b = 0;
    uint32_t c = 0;
    for (size_t i = 0; i < run; i += 8) {
        crc = CRC_WORD(crc, load64(at + i));
        b = CRC_WORD(b, load64(at + run + i));
        c = CRC_WORD(c, load64(at + 2 * run + i));
    }
    return shift(by, shift(by, crc) ^ b) ^ c;
}

CRC_TARGET static uint32_t by_instruction(uint32_t crc, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    crc = ~crc;
    for (size_t step = (size_t)3 * LONG_RUN_BYTES; len >= step; at += step, len -= step)
        crc = three_runs(crc, at, LONG_RUN_BYTES, long_shift);
    for (size_t step = (size_t)3 * SHORT_RUN_BYTES; len >= step; at += step, len -= step)
        crc = three_runs(crc, at, SHORT_RUN_BYTES, short_shift);
    for (; len >= 8; at += 8, len -= 8)
        crc = CRC_WORD(crc, load64(at));
    for (; len > 0; at++, len--)
        crc = CRC_BYTE(crc, *at);
    return ~crc;
}
#endif

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
#ifdef CRC_TARGET
    if (has_instruction)
        return by_instruction(crc, bytes, len);
#endif
    return crc32c_by_table(crc, bytes, len);
}
