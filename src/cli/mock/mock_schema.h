/* A value that fits a JSON Schema, always the same one: arguments for tool calls, structured
 * output. */
#ifndef WEIR_CLI_MOCK_SCHEMA_H
#define WEIR_CLI_MOCK_SCHEMA_H

#include "base/buf.h"

struct yyjson_val;

/* Append JSON. Required properties, or all when none is; first of enum, anyOf, oneOf, allOf; local
 * $ref. schema may be NULL or no schema: then {}. Nested at most MOCK_SCHEMA_DEPTH_MAX deep: null
 * below. */
void mock_schema_example(struct yyjson_val *schema, struct buf *out);

enum { MOCK_SCHEMA_DEPTH_MAX = 16 };

#endif
