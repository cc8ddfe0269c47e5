#include "codec/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct str bytes, struct buf *text)
{
    if (!buf_reserve(text, (bytes.len + 2) / 3 * 4))
        return;
    const uint8_t *in = (const uint8_t *)bytes.ptr;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t group = (uint32_t)in[i] << 16;
        if (left > 1)
            group |= (uint32_t)in[i + 1] << 8;
        if (left > 2)
            group |= in[i + 2];
        buf_append_char(text, alphabet[group >> 18]);
        buf_append_char(text, alphabet[group >> 12 & 63]);
        buf_append_char(text, left > 1 ? alphabet[group >> 6 & 63] : '=');
        buf_append_char(text, left > 2 ? alphabet[group & 63] : '=');
    }
}

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

/* Without its padding, when that is right: none, or up to a multiple of four. */
static enum err strip_padding(struct str *text)
{
    size_t len = text->len;
    while (len && text->len - len < 2 && text->ptr[len - 1] == '=')
        len--;
    if (len != text->len && text->len % 4 != 0)
        return ERR_INVALID;
    text->len = len;
    return len % 4 == 1 ? ERR_INVALID : ERR_OK;
}

enum err base64_decode(struct str text, struct buf *bytes)
{
    TRY(strip_padding(&text));
    for (size_t i = 0; i < text.len; i++)
        if (digit_value(text.ptr[i]) < 0)
            return ERR_INVALID;
    size_t spare_bits = text.len % 4 == 2 ? 4 : text.len % 4 == 3 ? 2 : 0;
    if (spare_bits && digit_value(text.ptr[text.len - 1]) & ((1 << spare_bits) - 1))
        return ERR_INVALID;
    uint32_t group = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        group = group << 6 | (uint32_t)digit_value(text.ptr[i]);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_append_char(bytes, (char)(group >> bits & 0xff));
        }
    }
    return bytes->error;
}
