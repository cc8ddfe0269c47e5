/* What is done with values that a reader has handed out; see json_scan.h. */
#include <math.h>

#include "base/assert.h"
#include "codec/json_int.h"
#include "codec/json_scan.h"

const char *json_kind_text(enum json_kind kind)
{
    static const char *const texts[] = {
        [JSON_NONE] = "missing",   [JSON_NULL] = "null",        [JSON_FALSE] = "a boolean",
        [JSON_TRUE] = "a boolean", [JSON_NUMBER] = "a number",  [JSON_STRING] = "a string",
        [JSON_ARRAY] = "an array", [JSON_OBJECT] = "an object",
    };
    return texts[kind];
}

size_t json_text_len(const struct json_value *value)
{
    return value->kind == JSON_STRING ? value->raw.len - 2 - value->escape_bytes : 0;
}

struct str json_text_raw(const struct json_value *value)
{
    if (value->kind != JSON_STRING)
        return STR_NONE;
    return str_of(value->raw.ptr + 1, value->raw.len - 2);
}

/* Cut the next piece off the inside of a string: a run without escapes, or one escape as UTF-8 in
 * `scratch`. False at the end. */
static bool next_piece(struct str *inside, char scratch[4], struct str *ret_piece)
{
    if (inside->len == 0)
        return false;
    const char *end = inside->ptr + inside->len;
    const char *backslash = memchr(inside->ptr, '\\', inside->len);
    size_t n = (size_t)((backslash ? backslash : end) - inside->ptr);
    if (n > 0) {
        *ret_piece = str_take(*inside, n);
    } else {
        uint32_t c = 0;
        n = json_escape_read(inside->ptr, end, &c);
        ASSERT(n > 0);
        *ret_piece = str_of(scratch, utf8_write(c, scratch));
    }
    *inside = str_skip(*inside, n);
    return true;
}

bool json_eq_escaped(const struct json_value *value, struct str text)
{
    if (json_text_len(value) != text.len || value->kind != JSON_STRING)
        return false;
    struct str inside = json_text_raw(value), piece;
    char scratch[4];
    while (next_piece(&inside, scratch, &piece)) {
        if (memcmp(piece.ptr, text.ptr, piece.len) != 0)
            return false;
        text = str_skip(text, piece.len);
    }
    return true;
}

struct str json_text(const struct json_value *value, struct arena *a)
{
    if (value->escape_bytes == 0)
        return json_text_raw(value);
    char *text = arena_alloc(a, json_text_len(value));
    struct str inside = json_text_raw(value), piece;
    char scratch[4];
    size_t len = 0;
    while (next_piece(&inside, scratch, &piece)) {
        memcpy(text + len, piece.ptr, piece.len);
        len += piece.len;
    }
    ASSERT(len == json_text_len(value));
    return str_of(text, len);
}

void json_text_append(const struct json_value *value, struct buf *out)
{
    struct str inside = json_text_raw(value), piece;
    char scratch[4];
    if (!buf_reserve(out, json_text_len(value)))
        return;
    while (next_piece(&inside, scratch, &piece))
        buf_append_str(out, piece);
}

enum err json_to_double(const struct json_value *value, double *ret_value)
{
    char small[64];
    struct buf large BUF_AUTO;
    buf_init(&large, value->raw.len + 1);
    if (value->kind != JSON_NUMBER)
        return ERR_INVALID;
    const char *text = small;
    if (value->raw.len < sizeof small) {
        memcpy(small, value->raw.ptr, value->raw.len);
        small[value->raw.len] = 0;
    } else {
        buf_append_str(&large, value->raw);
        text = buf_cstr(&large);
        TRY(large.error);
    }
    double number = strtod(text, NULL);
    if (!isfinite(number))
        return ERR_OUT_OF_RANGE;
    *ret_value = number;
    return ERR_OK;
}

enum err json_to_i64(const struct json_value *value, int64_t *ret_value)
{
    if (value->kind != JSON_NUMBER)
        return ERR_INVALID;
    enum err e = str_to_i64(value->raw, ret_value);
    if (e != ERR_INVALID)
        return e;
    /* With a point or an exponent: whole, and exact as a double? */
    double number = 0;
    TRY(json_to_double(value, &number));
    if (number != trunc(number))
        return ERR_INVALID;
    if (fabs(number) > 0x1p53)
        return ERR_OUT_OF_RANGE;
    *ret_value = (int64_t)number;
    return ERR_OK;
}

enum err json_to_bool(const struct json_value *value, bool *ret_value)
{
    if (value->kind != JSON_TRUE && value->kind != JSON_FALSE)
        return ERR_INVALID;
    *ret_value = value->kind == JSON_TRUE;
    return ERR_OK;
}

/* One step of a path into the text of a container; the last of equal keys. */
static struct json_value find_step(struct str text, struct str name)
{
    struct json_reader r;
    struct json_value key, found = {0};
    uint64_t index = 0;
    json_reader_init(&r, text, JSON_DEPTH_MAX);
    if (json_enter(&r, JSON_OBJECT)) {
        while (json_next_member(&r, &key))
            if (json_eq(&key, name))
                found = json_take(&r);
    } else if (str_to_u64(name, &index) == ERR_OK && json_enter(&r, JSON_ARRAY)) {
        for (uint64_t i = 0; json_next_element(&r); i++)
            if (i == index)
                found = json_take(&r);
    }
    return json_finish(&r) ? found : (struct json_value){0};
}

bool json_find(struct str text, const char *path, struct json_value *ret_value)
{
    struct str rest = str_from_c(path);
    struct json_value value = {.raw = text};
    while (rest.ptr) {
        value = find_step(value.raw, str_split(&rest, '.'));
        if (value.kind == JSON_NONE)
            return false;
    }
    *ret_value = value;
    return true;
}
