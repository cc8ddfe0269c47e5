/* The parts of schema_grammar: schema_grammar.c (schemas), schema_number.c (ranges of numbers),
 * schema_pattern.c (regular expressions), schema_disjoint.c (can two schemas hold at once?). */
#ifndef WEIR_MODEL_LOCAL_SCHEMA_GRAMMAR_INT_H
#define WEIR_MODEL_LOCAL_SCHEMA_GRAMMAR_INT_H

#include <stdint.h>

#include "codec/json_scan.h"
#include "model/local/schema_grammar.h"

/* The largest number of digits that are written. */
#define SCHEMA_INTEGER_MAX INT64_C(999999999999999)

/* Keywords that mean something to us, in the order of schema_keyword_names. */
enum schema_keyword {
    KW_TYPE,
    KW_ENUM,
    KW_CONST,
    KW_REF,
    KW_ANY_OF,
    KW_ONE_OF,
    KW_ALL_OF,
    KW_PROPERTIES,
    KW_REQUIRED,
    KW_ADDITIONAL,
    KW_MIN_PROPERTIES,
    KW_MAX_PROPERTIES,
    KW_ITEMS,
    KW_PREFIX_ITEMS,
    KW_MIN_ITEMS,
    KW_MAX_ITEMS,
    KW_MIN_LENGTH,
    KW_MAX_LENGTH,
    KW_PATTERN,
    KW_FORMAT,
    KW_MINIMUM,
    KW_MAXIMUM,
    KW_EXCLUSIVE_MINIMUM,
    KW_EXCLUSIVE_MAXIMUM,
    KW_MULTIPLE_OF,
    KW_UNIQUE_ITEMS,
    KW_REFUSED, /* and what follows */
    KW_COUNT = KW_REFUSED + 17,
};
extern const char *const schema_keyword_names[KW_COUNT];

/* A schema's members. */
struct schema {
    struct json_value k[KW_COUNT];
};

/* schema: an object. */
void schema_read(struct str schema, struct schema *ret_schema);
/* Bits of 1 << enum json_kind that it allows by its type; an integer is JSON_NUMBER. All bits where
 * it says nothing; 0: a type that there is not. */
unsigned schema_kinds(const struct schema *s, bool *ret_integers_only);
/* Follow "#", "#/…"; false: there is no such place. */
bool schema_resolve(struct str root, struct str reference, struct json_value *ret_value);

/* Append an expression for the whole numbers from min to max, both at most SCHEMA_INTEGER_MAX in
 * size. min <= max. */
void schema_integers_write(struct buf *out, int64_t min, int64_t max);
/* For numbers between the bounds, written without an exponent. False: no whole number lies between
 * them, which is what is built on. */
bool schema_numbers_write(struct buf *out, double min, double max, bool min_open, bool max_open);

/* Append an expression for the inside of JSON strings that a regular expression (ECMA 262, a
 * subset) matches. ERR_UNSUPPORTED with a line for people. */
MUST_CHECK enum err schema_pattern_write(struct buf *out, struct str pattern, struct buf *problem);

/* Can it be shown that no value is accepted by both? */
bool schema_disjoint(struct str root, struct str a, struct str b, unsigned depth);

#endif
