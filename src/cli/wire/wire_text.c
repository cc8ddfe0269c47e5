#include "cli/wire/wire_text.h"

static const struct str words[8] = {
    STR_INIT(" alpha"), STR_INIT(" бета"), STR_INIT(" gamma"), STR_INIT(" δέλτα"),
    STR_INIT(" naïve"), STR_INIT(" 水"),   STR_INIT(" 🙂"),  STR_INIT(" omega"),
};

size_t wire_token_write(char ret_text[WIRE_TOKEN_BYTES_MAX], uint64_t index)
{
    char digits[24];
    size_t digit_count = 0;
    struct str word = words[index % 8];
    if (index == 0)
        word = str_skip(word, 1);
    memcpy(ret_text, word.ptr, word.len);
    do {
        digits[digit_count++] = (char)('0' + index % 10);
        index /= 10;
    } while (index > 0);
    size_t len = word.len;
    while (digit_count > 0)
        ret_text[len++] = digits[--digit_count];
    return len;
}

bool wire_token_is(struct str text, uint64_t index)
{
    char expected[WIRE_TOKEN_BYTES_MAX];
    return str_eq(text, str_of(expected, wire_token_write(expected, index)));
}

void wire_text_append(struct buf *out, uint64_t count)
{
    char token[WIRE_TOKEN_BYTES_MAX];
    for (uint64_t i = 0; i < count; i++)
        buf_append(out, token, wire_token_write(token, i));
}
