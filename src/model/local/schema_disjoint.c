/* Can two schemas hold at once? oneOf asks for exactly one; where it can be shown that no value is
 * accepted by both, it is anyOf. */
#include "model/local/schema_grammar_int.h"

/* What `type` and enum or const leave. */
static unsigned kinds_of(const struct schema *s, bool *integers)
{
    unsigned kinds = schema_kinds(s, integers);
    if (s->k[KW_CONST].kind)
        kinds &= 1u << s->k[KW_CONST].kind;
    return kinds;
}

static bool value_in(const struct json_value *v, const struct schema *s)
{
    struct json_reader r;
    if (s->k[KW_CONST].kind)
        return str_eq(v->raw, s->k[KW_CONST].raw);
    json_reader_init(&r, s->k[KW_ENUM].raw, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return true;
    while (json_next_element(&r)) {
        struct json_value e = json_take(&r);
        if (str_eq(e.raw, v->raw))
            return true;
    }
    return false;
}

static bool lists_values(const struct schema *s)
{
    return s->k[KW_CONST].kind || s->k[KW_ENUM].kind == JSON_ARRAY;
}

/* Strings without escapes and whole numbers have one spelling; others could be equal unseen. */
static bool one_spelling(const struct json_value *v)
{
    int64_t n;
    if (v->kind == JSON_STRING)
        return v->escape_bytes == 0;
    if (v->kind == JSON_NUMBER)
        return json_to_i64(v, &n) == ERR_OK && str_find(v->raw, STR(".")) < 0 &&
               str_find(v->raw, STR("e")) < 0 && str_find(v->raw, STR("E")) < 0;
    return v->kind != JSON_ARRAY && v->kind != JSON_OBJECT;
}

static bool values_disjoint(const struct schema *a, const struct schema *b)
{
    struct json_reader r;
    if (!lists_values(a) || !lists_values(b))
        return false;
    if (a->k[KW_CONST].kind)
        return one_spelling(&a->k[KW_CONST]) && !value_in(&a->k[KW_CONST], b);
    json_reader_init(&r, a->k[KW_ENUM].raw, JSON_DEPTH_MAX);
    bool apart = json_enter(&r, JSON_ARRAY);
    while (json_next_element(&r)) {
        struct json_value v = json_take(&r);
        apart &= one_spelling(&v) && !value_in(&v, b);
    }
    return apart;
}

static bool requires(const struct schema *s, const struct json_value *name)
{
    struct json_reader r;
    json_reader_init(&r, s->k[KW_REQUIRED].raw, JSON_DEPTH_MAX);
    bool there = false;
    if (json_enter(&r, JSON_ARRAY))
        while (json_next_element(&r)) {
            struct json_value v = json_take(&r);
            there |= str_eq(v.raw, name->raw);
        }
    return there;
}

static bool property_of(const struct schema *s, const struct json_value *name,
                        struct json_value *ret_value)
{
    struct json_reader r;
    struct json_value key;
    bool there = false;
    json_reader_init(&r, s->k[KW_PROPERTIES].raw, JSON_DEPTH_MAX);
    if (json_enter(&r, JSON_OBJECT))
        while (json_next_member(&r, &key)) {
            struct json_value v = json_take(&r);
            if (str_eq(key.raw, name->raw)) {
                *ret_value = v;
                there = true;
            }
        }
    return there;
}

/* A property that both require, whose values cannot be equal (a discriminator). */
static bool objects_disjoint(struct str root, const struct schema *a, const struct schema *b,
                             unsigned depth)
{
    struct json_reader r;
    struct json_value name;
    bool apart = false;
    if (a->k[KW_PROPERTIES].kind != JSON_OBJECT || b->k[KW_PROPERTIES].kind != JSON_OBJECT)
        return false;
    json_reader_init(&r, a->k[KW_PROPERTIES].raw, JSON_DEPTH_MAX);
    if (json_enter(&r, JSON_OBJECT))
        while (json_next_member(&r, &name)) {
            struct json_value mine = json_take(&r), theirs;
            if (!apart && requires(a, &name) && requires(b, &name) &&
                property_of(b, &name, &theirs))
                apart = schema_disjoint(root, mine.raw, theirs.raw, depth + 1);
        }
    return apart;
}

/* Through references; false: there is none behind it. */
static bool read_through(struct str root, struct str text, struct schema *ret_schema)
{
    for (unsigned i = 0; i < SCHEMA_DEPTH_MAX; i++) {
        struct json_value to;
        if (text.len == 0 || text.ptr[0] != '{')
            return false;
        schema_read(text, ret_schema);
        if (ret_schema->k[KW_REF].kind != JSON_STRING)
            return true;
        if (!schema_resolve(root, json_text_raw(&ret_schema->k[KW_REF]), &to))
            return false;
        text = to.raw;
    }
    return false;
}

bool schema_disjoint(struct str root, struct str a, struct str b, unsigned depth)
{
    struct schema x, y;
    bool x_integers, y_integers;
    if (depth > SCHEMA_DEPTH_MAX / 8 || !read_through(root, a, &x) || !read_through(root, b, &y))
        return false;
    if ((kinds_of(&x, &x_integers) & kinds_of(&y, &y_integers)) == 0)
        return true;
    return values_disjoint(&x, &y) || (kinds_of(&x, &x_integers) == 1u << JSON_OBJECT &&
                                       kinds_of(&y, &y_integers) == 1u << JSON_OBJECT &&
                                       objects_disjoint(root, &x, &y, depth));
}
