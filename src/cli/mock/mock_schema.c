#include "cli/mock/mock_schema.h"

#include <yyjson.h>

#include "base/mem.h"

struct schema_walk {
    yyjson_val *root;
    struct buf *out;
    unsigned depth;
};

static void write_example(struct schema_walk *walk, yyjson_val *schema);

static void write_value(struct buf *out, yyjson_val *value)
{
    size_t len;
    char *json = yyjson_val_write(value, 0, &len);
    if (json)
        buf_append(out, json, len);
    free(json);
}

static bool is_required(yyjson_val *required, const char *name, size_t len)
{
    size_t i;
    size_t count;
    yyjson_val *item;
    yyjson_arr_foreach(required, i, count,
                       item) if (yyjson_equals_strn(item, name, len)) return true;
    return false;
}

static void write_object(struct schema_walk *walk, yyjson_val *schema)
{
    yyjson_val *required = yyjson_obj_get(schema, "required");
    yyjson_val *key;
    yyjson_val *property;
    size_t i;
    size_t count;
    bool some_required = yyjson_arr_size(required) > 0;
    bool first = true;
    buf_append_char(walk->out, '{');
    yyjson_obj_foreach(yyjson_obj_get(schema, "properties"), i, count, key, property)
    {
        if (some_required && !is_required(required, yyjson_get_str(key), yyjson_get_len(key)))
            continue;
        if (!first)
            buf_append_char(walk->out, ',');
        first = false;
        write_value(walk->out, key);
        buf_append_char(walk->out, ':');
        write_example(walk, property);
    }
    buf_append_char(walk->out, '}');
}

/* What stands in for the schema: the target of a local reference, or the first alternative. */
static yyjson_val *resolve(struct schema_walk *walk, yyjson_val *schema)
{
    static const char *const alternatives[] = {"anyOf", "oneOf", "allOf"};
    for (unsigned hops = 0; hops < MOCK_SCHEMA_DEPTH_MAX; hops++) {
        yyjson_val *next = NULL;
        yyjson_val *ref = yyjson_obj_get(schema, "$ref");
        if (yyjson_is_str(ref) && yyjson_get_str(ref)[0] == '#')
            next = yyjson_ptr_getn(walk->root, yyjson_get_str(ref) + 1, yyjson_get_len(ref) - 1);
        for (size_t i = 0; i < 3 && !next; i++)
            next = yyjson_arr_get_first(yyjson_obj_get(schema, alternatives[i]));
        if (!next)
            break;
        schema = next;
    }
    return schema;
}

static struct str type_of(yyjson_val *schema)
{
    yyjson_val *type = yyjson_obj_get(schema, "type");
    if (yyjson_is_arr(type))
        type = yyjson_arr_get_first(type);
    if (yyjson_is_str(type))
        return str_of(yyjson_get_str(type), yyjson_get_len(type));
    return yyjson_obj_get(schema, "properties") ? STR("object") : STR("string");
}

static void write_example(struct schema_walk *walk, yyjson_val *schema)
{
    if (walk->out->error != ERR_OK) /* full: a schema that repeats itself would go on for ever */
        return;
    if (walk->depth == MOCK_SCHEMA_DEPTH_MAX) {
        buf_append_str(walk->out, STR("null"));
        return;
    }
    walk->depth++;
    schema = resolve(walk, schema);
    yyjson_val *fixed = yyjson_obj_get(schema, "const");
    if (!fixed)
        fixed = yyjson_arr_get_first(yyjson_obj_get(schema, "enum"));
    struct str type = type_of(schema);
    if (fixed) {
        write_value(walk->out, fixed);
    } else if (str_eq_nocase(type, STR("object"))) {
        write_object(walk, schema);
    } else if (str_eq_nocase(type, STR("array"))) {
        buf_append_char(walk->out, '[');
        if (yyjson_obj_get(schema, "items"))
            write_example(walk, yyjson_obj_get(schema, "items"));
        buf_append_char(walk->out, ']');
    } else if (str_eq_nocase(type, STR("integer")) || str_eq_nocase(type, STR("number"))) {
        buf_append_char(walk->out, '7');
    } else if (str_eq_nocase(type, STR("boolean"))) {
        buf_append_str(walk->out, STR("true"));
    } else if (str_eq_nocase(type, STR("null"))) {
        buf_append_str(walk->out, STR("null"));
    } else {
        buf_append_str(walk->out, STR("\"mock \\\"水\\\"\""));
    }
    walk->depth--;
}

void mock_schema_example(struct yyjson_val *schema, struct buf *out)
{
    struct schema_walk walk = {.root = schema, .out = out};
    if (yyjson_is_obj(schema) && yyjson_obj_size(schema) > 0)
        write_example(&walk, schema);
    else
        buf_append_str(out, STR("{}"));
}
