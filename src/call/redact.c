#include "call/call_int.h"

/* Shorter ones would blot out ordinary text. */
enum { SECRET_BYTES_MIN = 6 };

static ptrdiff_t first_of(struct str text, const struct str *secrets, size_t count,
                          size_t *ret_length)
{
    ptrdiff_t first = -1;
    for (size_t i = 0; i < count; i++) {
        if (secrets[i].len < SECRET_BYTES_MIN)
            continue;
        ptrdiff_t at = str_find(text, secrets[i]);
        if (at >= 0 && (first < 0 || at < first)) {
            first = at;
            *ret_length = secrets[i].len;
        }
    }
    return first;
}

bool redact_needed(struct str text, const struct str *secrets, size_t count)
{
    size_t length;
    return text.len && first_of(text, secrets, count, &length) >= 0;
}

void redact_append(struct buf *out, struct str text, const struct str *secrets, size_t count)
{
    size_t length = 0;
    ptrdiff_t at;
    while (text.len && (at = first_of(text, secrets, count, &length)) >= 0) {
        buf_append_str(out, str_take(text, (size_t)at));
        buf_append_str(out, STR("***"));
        text = str_skip(text, (size_t)at + length);
    }
    buf_append_str(out, text);
}
