/* A validating reader of JSON texts that allocates nothing and looks at each byte once.
 *
 * A cursor walks the text. Where a value begins it is "at hand"; the caller enters it (objects and
 * arrays), takes it (the whole value is validated and its span handed out), or just asks for the
 * next member, which skips it, validated all the same:
 *
 *     struct json_reader r;
 *     struct json_value key;
 *     json_reader_init(&r, body, 128);
 *     if (json_enter(&r, JSON_OBJECT))
 *         while (json_next_member(&r, &key))
 *             if (json_eq(&key, STR("model")))
 *                 model = json_take(&r);
 *     if (!json_finish(&r))
 *         …r.fault at byte r.fault_at…
 *
 * What is accepted is RFC 8259 in UTF-8: no comments, no trailing commas, no NaN, no byte order
 * mark; strings are valid UTF-8 (Unicode 15, table 3-7) without raw control characters. Numbers may
 * have any size, they are text here. Duplicate keys are reported as often as they come. An escaped
 * surrogate without its other half is let through, as the grammar does (JavaScript writes such
 * texts); unescaping turns it into U+FFFD.
 *
 * 1. A fault sticks: from then on every function says "no more", so one check at the end is enough.
 *    Nothing is known to be valid before json_finish has said so.
 * 2. Spans point into the text, which must outlive them. The text is never read past its end.
 * 3. A container that was entered is read to its end (until json_next_… says false) before anything
 *    around it is touched.
 * 4. Readers share nothing: any thread, one reader each. */
#ifndef WEIR_CODEC_JSON_SCAN_H
#define WEIR_CODEC_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* The most that a reader may be told to nest; one object or array is a depth of 1. */
#define JSON_DEPTH_MAX 1024

enum json_kind {
    JSON_NONE, /* no value: absent, or the reader has a fault */
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* "a string", "an object", …: for messages. JSON_NONE is "missing". */
const char *json_kind_text(enum json_kind kind);

/* A value as it stands in its text. All zero: no value. */
struct json_value {
    struct str raw;      /* with its quotes or brackets, without the space around it */
    size_t escape_bytes; /* of a string: how much shorter it is unescaped; 0: it has no escape */
    enum json_kind kind;
};

enum json_fault {
    JSON_FAULT_NONE,
    JSON_FAULT_EMPTY,      /* nothing but white space */
    JSON_FAULT_TRUNCATED,  /* the text ends inside a value */
    JSON_FAULT_UNEXPECTED, /* a byte that the grammar does not allow there */
    JSON_FAULT_NUMBER,     /* 01, 1., -, 1e */
    JSON_FAULT_ESCAPE,     /* \x, \u12G4 */
    JSON_FAULT_CONTROL,    /* a raw control character inside a string */
    JSON_FAULT_UTF8,
    JSON_FAULT_DEPTH,    /* deeper than max_depth */
    JSON_FAULT_TRAILING, /* something follows the value */
};

/* Readable: depth, fault, fault_at. The rest is the reader's own. */
struct json_reader {
    const char *text;
    const char *at;
    const char *end;
    size_t fault_at;     /* byte offset in the text */
    size_t escape_bytes; /* of the string passed last */
    enum json_fault fault;
    unsigned depth; /* containers that are open */
    unsigned max_depth;
    bool fresh;   /* a container was entered, nothing of it is read */
    bool at_hand; /* a value begins at `at` */
};

/* max_depth: 1…JSON_DEPTH_MAX. The text's value is at hand afterwards. */
void json_reader_init(struct json_reader *r, struct str text, unsigned max_depth);
/* Kind of the value at hand, from its first byte; JSON_NONE when none is, or on a fault. */
enum json_kind json_peek(const struct json_reader *r);
/* Go into the value at hand if it is of that kind (JSON_OBJECT, JSON_ARRAY). False: it is not, and
 * stays at hand; or a fault. */
bool json_enter(struct json_reader *r, enum json_kind kind);
/* In an object: the next member's key; its value is at hand afterwards. False at the end, which is
 * consumed, and on a fault. A value left at hand is skipped first. */
bool json_next_member(struct json_reader *r, struct json_value *ret_key);
/* In an array: the next element is at hand afterwards. False at the end, as above. */
bool json_next_element(struct json_reader *r);
/* Validate and pass the value at hand. Kind JSON_NONE when there is none, or on a fault. */
struct json_value json_take(struct json_reader *r);
/* The whole text was one value (skipped now if it is still at hand) and nothing but white space
 * follows. */
bool json_finish(struct json_reader *r);
/* ERR_OK, ERR_TRUNCATED (EMPTY, TRUNCATED) or ERR_INVALID. */
MUST_CHECK enum err json_reader_error(const struct json_reader *r);
/* What is wrong with the text, for people: "unexpected character, at byte 17". Never the text
 * itself. Appends nothing without a fault. */
void json_fault_describe(const struct json_reader *r, struct buf *out);

/* Whole texts. ret_value: the value without the white space around it. */
MUST_CHECK enum err json_validate(struct str text, unsigned max_depth,
                                  struct json_value *ret_value);

/* Values that a reader has handed out (so they are valid). */

bool json_eq_escaped(const struct json_value *value, struct str text);

/* Is it a string, and unescaped equal to text? */
static inline bool json_eq(const struct json_value *value, struct str text)
{
    if (value->escape_bytes > 0)
        return json_eq_escaped(value, text);
    return value->kind == JSON_STRING && value->raw.len == text.len + 2 &&
           memcmp(value->raw.ptr + 1, text.ptr, text.len) == 0;
}

/* Bytes of a string when unescaped (UTF-8); 0 for any other kind. */
size_t json_text_len(const struct json_value *value);
/* The unescaped text of a string: points into raw if there is no escape in it, else into the arena.
 * STR_NONE for any other kind. */
struct str json_text(const struct json_value *value, struct arena *a);
/* Append the unescaped text of a string; nothing for any other kind. */
void json_text_append(const struct json_value *value, struct buf *out);
/* What is between the quotes, still escaped. Two of them joined are again the inside of a valid
 * string. Empty for any other kind. */
struct str json_text_raw(const struct json_value *value);
/* Integers, also written as 1e3 or 10.0. ERR_INVALID: not a number, or not whole; ERR_OUT_OF_RANGE.
 */
MUST_CHECK enum err json_to_i64(const struct json_value *value, int64_t *ret_value);
/* ERR_INVALID: not a number; ERR_OUT_OF_RANGE: beyond a double. */
MUST_CHECK enum err json_to_double(const struct json_value *value, double *ret_value);
/* ERR_INVALID: neither true nor false. */
MUST_CHECK enum err json_to_bool(const struct json_value *value, bool *ret_value);
/* Follow a path of names and array indices joined by dots, "choices.0.message.content". Of equal
 * keys the last counts. Reads the text again on every call: for tests, tools and small values. */
bool json_find(struct str text, const char *path, struct json_value *ret_value);

#endif
