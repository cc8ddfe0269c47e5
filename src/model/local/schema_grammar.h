/* JSON Schema as a grammar in llama.cpp's notation (GBNF): every text that the grammar derives is a
 * JSON text that the schema accepts. The other way round it may be narrower: properties come in the
 * schema's order, ones that it does not name are not written, numbers have at most 16 digits.
 *
 *   understood  type (also a list), enum, const, properties, required, additionalProperties, items,
 *               prefixItems, minItems, maxItems, minLength, maxLength, pattern, format (date, time,
 *               date-time, uuid, ipv4), minimum, maximum and their exclusive forms, anyOf, oneOf of
 *               which no two can hold at once, allOf of one, $ref inside the schema, maxProperties
 *               and minProperties of 1 where no property is named, true and {}
 *   refused     by name and place, what could be broken by a text that the rest allows: not, if,
 *               allOf of several, multipleOf but 1, uniqueItems, contains, patternProperties,
 *               propertyNames, dependent…, unevaluated…, a constraint beside $ref or anyOf
 *   ignored     annotations (title, description, default, examples, other formats, …)
 *
 * Sources: JSON Schema 2020-12; llama.cpp, grammars/README.md. Pure; recursion is bounded. */
#ifndef WEIR_MODEL_LOCAL_SCHEMA_GRAMMAR_H
#define WEIR_MODEL_LOCAL_SCHEMA_GRAMMAR_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum {
    SCHEMA_BYTES_MAX = 256 << 10,
    SCHEMA_RULES_MAX = 4096,
    SCHEMA_DEPTH_MAX = 64,
    SCHEMA_REPEAT_MAX = 1000, /* llama.cpp takes 2,000 */
    SCHEMA_GRAMMAR_BYTES_MAX = 4 << 20,
};

/* Write the rule called `name` and those it needs; their names begin with it too. schema: valid
 * JSON. Several schemas can go into one grammar, which schema_grammar_finish completes.
 * ERR_UNSUPPORTED, ERR_INVALID, ERR_TOO_LARGE with a line for people in problem, and what was
 * written then is of no use. */
MUST_CHECK enum err schema_grammar_add(struct str schema, struct str name, struct buf *grammar,
                                       struct buf *problem);
/* The rules that every schema uses; among them `object` and `value`, of any JSON. */
void schema_grammar_finish(struct buf *grammar);
/* Append text as a literal of a grammar, with its quotes. */
void schema_grammar_literal(struct buf *grammar, struct str text);

#endif
