#include "codec/json_write.h"

#include <math.h>

#include "base/assert.h"
#include "codec/json_int.h"

void json_writer_init(struct json_writer *w, struct buf *out)
{
    *w = (struct json_writer){.out = out};
}

static inline void begin_value(struct json_writer *w)
{
    if (w->comma)
        buf_append_char(w->out, ',');
    w->comma = true;
}

void json_object_begin(struct json_writer *w)
{
    begin_value(w);
    buf_append_char(w->out, '{');
    w->comma = false;
}

void json_object_end(struct json_writer *w)
{
    buf_append_char(w->out, '}');
    w->comma = true;
}

void json_array_begin(struct json_writer *w)
{
    begin_value(w);
    buf_append_char(w->out, '[');
    w->comma = false;
}

void json_array_end(struct json_writer *w)
{
    buf_append_char(w->out, ']');
    w->comma = true;
}

void json_key(struct json_writer *w, struct str key)
{
    json_str(w, key);
    buf_append_char(w->out, ':');
    w->comma = false;
}

/* Append the special byte(s) at p as they may stand in a string; returns what comes behind them. */
static const char *escape_one(struct buf *out, const char *p, const char *end)
{
    static const char digits[] = "0123456789abcdef";
    static const char letters[0x20] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    unsigned char c = (unsigned char)*p;
    if (c >= 0x80) {
        size_t n = utf8_sequence(p, (size_t)(end - p));
        if (n > 0)
            buf_append(out, p, n);
        else
            buf_append_str(out, STR("\xEF\xBF\xBD"));
        return p + (n > 0 ? n : 1);
    }
    char letter = c >= 0x20 ? (char)c : letters[c];
    if (letter) {
        buf_append(out, (char[]){'\\', letter}, 2);
    } else {
        char hex[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
        buf_append(out, hex, sizeof hex);
    }
    return p + 1;
}

void json_escape_append(struct buf *out, struct str text)
{
    if (text.len == 0)
        return;
    const char *p = text.ptr, *end = p + text.len;
    for (;;) {
        const char *special = json_plain_skip(p, end);
        /* Whole sequences join the plain run, so that text in any script is copied in long pieces.
         */
        while (special < end && (unsigned char)*special >= 0x80) {
            size_t n = utf8_sequence(special, (size_t)(end - special));
            if (n == 0)
                break;
            special = json_plain_skip(special + n, end);
        }
        buf_append(out, p, (size_t)(special - p));
        if (special == end || out->error != ERR_OK)
            return;
        p = escape_one(out, special, end);
    }
}

void json_str(struct json_writer *w, struct str text)
{
    begin_value(w);
    buf_append_char(w->out, '"');
    json_escape_append(w->out, text);
    buf_append_char(w->out, '"');
}

void json_str_raw(struct json_writer *w, struct str inside)
{
    begin_value(w);
    buf_append_char(w->out, '"');
    buf_append_str(w->out, inside);
    buf_append_char(w->out, '"');
}

void json_str_begin(struct json_writer *w)
{
    begin_value(w);
    buf_append_char(w->out, '"');
}

void json_str_end(struct json_writer *w)
{
    buf_append_char(w->out, '"');
}

void json_key_raw(struct json_writer *w, struct str inside)
{
    json_str_raw(w, inside);
    buf_append_char(w->out, ':');
    w->comma = false;
}

void json_u64(struct json_writer *w, uint64_t value)
{
    begin_value(w);
    buf_append_u64(w->out, value);
}

void json_i64(struct json_writer *w, int64_t value)
{
    begin_value(w);
    buf_append_i64(w->out, value);
}

void json_double(struct json_writer *w, double value)
{
    if (!isfinite(value)) {
        json_null(w);
        return;
    }
    char text[40];
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    begin_value(w);
    buf_append(w->out, text, (size_t)n);
}

void json_bool(struct json_writer *w, bool value)
{
    begin_value(w);
    buf_append_str(w->out, value ? STR("true") : STR("false"));
}

void json_null(struct json_writer *w)
{
    begin_value(w);
    buf_append_str(w->out, STR("null"));
}

void json_raw(struct json_writer *w, struct str value)
{
    ASSERT(value.len > 0);
    begin_value(w);
    buf_append_str(w->out, value);
}

void json_member_str(struct json_writer *w, struct str key, struct str text)
{
    json_key(w, key);
    json_str(w, text);
}

void json_member_str_or_null(struct json_writer *w, struct str key, struct str text)
{
    json_key(w, key);
    if (text.ptr)
        json_str(w, text);
    else
        json_null(w);
}

void json_member_u64(struct json_writer *w, struct str key, uint64_t value)
{
    json_key(w, key);
    json_u64(w, value);
}

void json_member_i64(struct json_writer *w, struct str key, int64_t value)
{
    json_key(w, key);
    json_i64(w, value);
}

void json_member_bool(struct json_writer *w, struct str key, bool value)
{
    json_key(w, key);
    json_bool(w, value);
}

void json_member_raw(struct json_writer *w, struct str key, struct str value)
{
    json_key(w, key);
    json_raw(w, value);
}

void json_member_str_raw(struct json_writer *w, struct str key, struct str inside)
{
    json_key(w, key);
    json_str_raw(w, inside);
}
