#include "dialect/fields.h"

#include "base/assert.h"

static size_t find(const struct json_value *key, const struct str *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (json_eq(key, names[i]))
            return i;
    return count;
}

bool fields_read(struct str text, unsigned max_depth, const struct str *names, size_t count,
                 struct json_value *ret_values, const struct fields_rest *rest)
{
    static const struct json_value none;
    struct json_reader r;
    struct json_value key;
    ASSERT(count <= FIELDS_MAX);
    for (size_t i = 0; i < count; i++)
        ret_values[i] = none;
    json_reader_init(&r, text, max_depth);
    bool object = json_enter(&r, JSON_OBJECT);
    while (object && json_next_member(&r, &key)) {
        size_t i = find(&key, names, count);
        if (i == count && !rest)
            continue;
        struct json_value value = json_take(&r);
        if (i < count)
            ret_values[i] = value.kind == JSON_NULL ? none : value;
        else if (value.kind != JSON_NONE)
            rest->take(rest->arg, &key, &value);
    }
    return json_finish(&r) && object;
}

void fields_of(const struct json_value *value, const struct str *names, size_t count,
               struct json_value *ret_values)
{
    struct str text = value->kind == JSON_OBJECT ? value->raw : STR("{}");
    (void)fields_read(text, JSON_DEPTH_MAX, names, count, ret_values, NULL);
}

struct json_value field_of(const struct json_value *value, struct str name)
{
    struct json_value found;
    fields_of(value, &name, 1, &found);
    return found;
}
