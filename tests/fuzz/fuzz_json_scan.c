/* The JSON reader beside yyjson: both accept the same texts, and see the same values in them.
 *
 * They differ on purpose in two things: escaped surrogates without their other half are an error to
 * yyjson only (they are replaced before it sees the text), and the reader bounds the depth. The
 * same input, taken as plain bytes, also goes through the writer. */
#include <ctype.h>
#include <stdint.h>
#include <yyjson.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "codec/json_scan.h"
#include "codec/json_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_BYTES_MAX = 1 << 16 };

static int hex4(const char *p)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)p[i];
        if (!isxdigit(c))
            return -1;
        value = value * 16 + (isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
    }
    return value;
}

static bool unit_between(const char *p, const char *end, int low, int high)
{
    int unit = end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex4(p + 2) : -1;
    return unit >= low && unit <= high;
}

/* Replace each half of a surrogate pair that stands alone by its replacement character. */
static void replace_lone_surrogates(struct str text, struct buf *out)
{
    const char *p = text.ptr, *end = p + text.len;
    while (p < end) {
        size_t n = *p == '\\' && end - p >= 2 ? 2 : 1;
        if (unit_between(p, end, 0xD800, 0xDBFF) && unit_between(p + 6, end, 0xDC00, 0xDFFF)) {
            n = 12;
        } else if (unit_between(p, end, 0xD800, 0xDFFF)) {
            buf_append_str(out, STR("\\ufffd"));
            p += 6;
            continue;
        }
        buf_append(out, p, n);
        p += n;
    }
}

static void compare_scalar(const struct json_value *value, yyjson_val *other, struct arena *a)
{
    switch (value->kind) {
    case JSON_STRING: {
        struct str theirs = str_of(yyjson_get_str(other), yyjson_get_len(other));
        ASSERT(yyjson_is_str(other));
        ASSERT(str_eq(json_text(value, a), theirs));
        ASSERT(json_text_len(value) == theirs.len && json_eq(value, theirs));
        break;
    }
    case JSON_NUMBER:
        ASSERT(yyjson_is_raw(other));
        ASSERT(str_eq(value->raw, str_of(yyjson_get_raw(other), yyjson_get_len(other))));
        break;
    case JSON_NULL: ASSERT(yyjson_is_null(other)); break;
    case JSON_TRUE: ASSERT(yyjson_is_true(other)); break;
    case JSON_FALSE: ASSERT(yyjson_is_false(other)); break;
    default: ASSERT(false);
    }
}

/* Walk the value at hand by entering everything; other: NULL, or what yyjson made of it. */
static void walk(struct json_reader *r, yyjson_val *other, struct arena *a)
{
    struct json_value key, value;
    if (json_enter(r, JSON_OBJECT)) {
        yyjson_obj_iter members = yyjson_obj_iter_with(other);
        while (json_next_member(r, &key)) {
            yyjson_val *name = other ? yyjson_obj_iter_next(&members) : NULL;
            if (name)
                compare_scalar(&key, name, a);
            walk(r, name ? yyjson_obj_iter_get_val(name) : NULL, a);
        }
        ASSERT(!other || !yyjson_obj_iter_has_next(&members));
    } else if (json_enter(r, JSON_ARRAY)) {
        yyjson_arr_iter elements = yyjson_arr_iter_with(other);
        while (json_next_element(r))
            walk(r, other ? yyjson_arr_iter_next(&elements) : NULL, a);
        ASSERT(!other || !yyjson_arr_iter_has_next(&elements));
    } else if ((value = json_take(r)).kind != JSON_NONE && other) {
        compare_scalar(&value, other, a);
    }
}

static void read_both(struct str text, struct arena *a)
{
    struct buf plain BUF_AUTO;
    buf_init(&plain, TEXT_BYTES_MAX * 2);
    replace_lone_surrogates(text, &plain);
    struct json_reader skip, enter;
    json_reader_init(&skip, text, JSON_DEPTH_MAX);
    bool ok = json_finish(&skip);
    yyjson_doc *doc = yyjson_read_opts(plain.ptr, plain.len, YYJSON_READ_NUMBER_AS_RAW, NULL, NULL);
    if (skip.fault != JSON_FAULT_DEPTH)
        ASSERT(ok == (doc != NULL));

    json_reader_init(&enter, text, JSON_DEPTH_MAX);
    walk(&enter, NULL, a);
    ASSERT(json_finish(&enter) == ok);
    ASSERT(enter.fault == skip.fault && enter.fault_at == skip.fault_at);

    /* The values of the text without lone surrogates; there both read the same bytes. */
    if (ok) {
        json_reader_init(&enter, buf_str(&plain), JSON_DEPTH_MAX);
        walk(&enter, yyjson_doc_get_root(doc), a);
        ASSERT(json_finish(&enter));
    }
    yyjson_doc_free(doc);
}

static void write_and_read(struct str bytes, struct arena *a)
{
    struct buf out BUF_AUTO;
    struct json_writer w;
    struct json_value value = {0};
    buf_init(&out, TEXT_BYTES_MAX * 8);
    json_writer_init(&w, &out);
    json_str(&w, bytes);
    ASSERT(json_validate(buf_str(&out), 1, &value) == ERR_OK && value.kind == JSON_STRING);
    /* What was valid comes back; of the rest no byte but the replacement character is new. */
    struct str text = json_text(&value, a);
    size_t i = 0;
    for (size_t k = 0; k < text.len; i++) {
        ASSERT(i < bytes.len);
        bool replaced = text.len - k >= 3 && memcmp(text.ptr + k, "\xEF\xBF\xBD", 3) == 0;
        if (replaced && !(bytes.len - i >= 3 && memcmp(bytes.ptr + i, "\xEF\xBF\xBD", 3) == 0)) {
            k += 3;
            continue;
        }
        ASSERT(text.ptr[k] == bytes.ptr[i]);
        k++;
    }
    ASSERT(i == bytes.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    if (size > TEXT_BYTES_MAX)
        return 0;
    struct str text = str_of((const char *)data, size);
    arena_init(&arena);
    read_both(text, &arena);
    write_and_read(text, &arena);
    arena_release(&arena);
    return 0;
}
