#include "codec/utf8.h"

/* Length of the character that begins with this byte, and what its second byte may be. 0: none
 * begins. */
static size_t lead(unsigned char c, unsigned char *ret_low, unsigned char *ret_high)
{
    *ret_low = 0x80;
    *ret_high = 0xbf;
    if (c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    if (c < 0xe0)
        return 2;
    if (c == 0xe0)
        *ret_low = 0xa0;
    else if (c == 0xed)
        *ret_high = 0x9f;
    else if (c == 0xf0)
        *ret_low = 0x90;
    else if (c == 0xf4)
        *ret_high = 0x8f;
    return c < 0xf0 ? 3 : 4;
}

/* Bytes of the character at the front that are right so far; *ret_length is its full length, 0:
 * invalid. */
static size_t front(struct str s, size_t *ret_length)
{
    unsigned char low;
    unsigned char high;
    size_t length = lead((unsigned char)s.ptr[0], &low, &high);
    size_t i = 1;
    for (; i < length && i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < low || c > high) {
            *ret_length = 0;
            return i;
        }
        low = 0x80;
        high = 0xbf;
    }
    *ret_length = length;
    return i;
}

bool utf8_valid(struct str text)
{
    while (text.len) {
        size_t length;
        size_t right = front(text, &length);
        if (length == 0 || right < length)
            return false;
        text = str_skip(text, length);
    }
    return true;
}

size_t utf8_incomplete_tail(struct str text)
{
    for (size_t back = 1; back <= 3 && back <= text.len; back++) {
        unsigned char c = (unsigned char)text.ptr[text.len - back];
        if (c < 0x80)
            return 0;
        if (c < 0xc0)
            continue;
        size_t length;
        size_t right = front(str_skip(text, text.len - back), &length);
        return length > right ? back : 0;
    }
    return 0;
}
