#include "text/jinja_int.h"

#include <math.h>

/* ---- Lists and dicts ---- */

struct jvalue jv_list_new(struct jinja *j, enum jkind kind)
{
    return (struct jvalue){.kind = kind, .list = jinja_alloc(j, sizeof(struct jlist))};
}

/* Twice the room; the old stays in the arena. */
static void *grow(struct jinja *j, const void *from, size_t count, size_t *room, size_t size)
{
    *room = *room ? *room * 2 : 4;
    void *grown = jinja_alloc(j, *room * size);
    if (count)
        memcpy(grown, from, count * size);
    return grown;
}

void jv_list_add(struct jinja *j, struct jlist *list, struct jvalue v)
{
    if (list->count == list->room)
        list->items = grow(j, list->items, list->count, &list->room, sizeof *list->items);
    list->items[list->count++] = v;
}

struct jvalue jv_dict_new(struct jinja *j, enum jkind kind)
{
    return (struct jvalue){.kind = kind, .dict = jinja_alloc(j, sizeof(struct jdict))};
}

struct jvalue *jv_dict_find(struct jinja *j, const struct jdict *dict, const struct jvalue *key)
{
    if (key->kind == JV_STRING)
        return jv_dict_find_str(j, dict, jtext_str(key->text));
    jinja_charge(j, dict->count / 8);
    for (size_t i = 0; i < dict->count; i++)
        if (jv_equal(j, &dict->pairs[i].key, key))
            return &dict->pairs[i].value;
    return NULL;
}

struct jvalue *jv_dict_find_str(struct jinja *j, const struct jdict *dict, struct str key)
{
    jinja_charge(j, dict->count / 8);
    for (size_t i = 0; i < dict->count; i++) {
        const struct jvalue *k = &dict->pairs[i].key;
        if (k->kind == JV_STRING && str_eq(jtext_str(k->text), key))
            return &dict->pairs[i].value;
    }
    return NULL;
}

void jv_dict_set(struct jinja *j, struct jdict *dict, struct jvalue key, struct jvalue value)
{
    if (key.kind > JV_TUPLE || key.kind == JV_LIST)
        jinja_fail(j, "a %s cannot be the key of a dict", jv_type(&key));
    struct jvalue *there = jv_dict_find(j, dict, &key);
    if (there) {
        *there = value;
        return;
    }
    if (dict->count == dict->room)
        dict->pairs = grow(j, dict->pairs, dict->count, &dict->room, sizeof *dict->pairs);
    dict->pairs[dict->count++] = (struct jpair){key, value};
}

/* ---- What a value is ---- */

const char *jv_type(const struct jvalue *v)
{
    static const char *const names[] = {
        "undefined value", "NoneType", "bool",      "int",  "float", "str",    "list",
        "tuple",           "dict",     "namespace", "loop", "macro", "method", "function"};
    return names[v->kind];
}

bool jv_is_number(const struct jvalue *v)
{
    return v->kind == JV_INT || v->kind == JV_FLOAT || v->kind == JV_BOOL;
}

double jv_real(const struct jvalue *v)
{
    return v->kind == JV_FLOAT ? v->real : v->kind == JV_BOOL ? v->boolean : (double)v->integer;
}

static int64_t integer_of(const struct jvalue *v)
{
    return v->kind == JV_BOOL ? v->boolean : v->integer;
}

bool jv_true(const struct jvalue *v)
{
    switch (v->kind) {
    case JV_UNDEFINED:
    case JV_NONE: return false;
    case JV_BOOL: return v->boolean;
    case JV_INT: return v->integer != 0;
    case JV_FLOAT: return v->real != 0;
    case JV_STRING: return v->text.len > 0;
    case JV_LIST:
    case JV_TUPLE: return v->list->count > 0;
    case JV_DICT: return v->dict->count > 0;
    default: return true;
    }
}

/* ---- Equal, less, in ---- */

static bool lists_equal(struct jinja *j, const struct jlist *a, const struct jlist *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!jv_equal(j, &a->items[i], &b->items[i]))
            return false;
    return true;
}

static bool dicts_equal(struct jinja *j, const struct jdict *a, const struct jdict *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct jvalue *other = jv_dict_find(j, b, &a->pairs[i].key);
        if (!other || !jv_equal(j, &a->pairs[i].value, other))
            return false;
    }
    return true;
}

static bool same_kind_equal(struct jinja *j, const struct jvalue *a, const struct jvalue *b)
{
    switch (a->kind) {
    case JV_UNDEFINED:
    case JV_NONE: return true;
    case JV_STRING:
        jinja_charge(j, a->text.len / 64);
        return str_eq(jtext_str(a->text), jtext_str(b->text));
    case JV_LIST:
    case JV_TUPLE: return lists_equal(j, a->list, b->list);
    case JV_DICT: return dicts_equal(j, a->dict, b->dict);
    case JV_NAMESPACE: return a->dict == b->dict;
    case JV_LOOP: return a->loop == b->loop;
    case JV_MACRO: return a->macro == b->macro;
    default: return str_eq(jtext_str(a->text), jtext_str(b->text));
    }
}

bool jv_equal(struct jinja *j, const struct jvalue *a, const struct jvalue *b)
{
    jinja_enter(j);
    bool equal;
    if (jv_is_number(a) && jv_is_number(b))
        equal = a->kind == JV_FLOAT || b->kind == JV_FLOAT ? jv_real(a) == jv_real(b)
                                                           : integer_of(a) == integer_of(b);
    else
        equal = a->kind == b->kind && same_kind_equal(j, a, b);
    jinja_leave(j);
    return equal;
}

static int compare_lists(struct jinja *j, const struct jlist *a, const struct jlist *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (!jv_equal(j, &a->items[i], &b->items[i]))
            return jv_compare(j, &a->items[i], &b->items[i]);
    return (a->count > b->count) - (a->count < b->count);
}

int jv_compare(struct jinja *j, const struct jvalue *a, const struct jvalue *b)
{
    int order = 0;
    jinja_enter(j);
    if (jv_is_number(a) && jv_is_number(b)) {
        if (a->kind == JV_FLOAT || b->kind == JV_FLOAT)
            order = (jv_real(a) > jv_real(b)) - (jv_real(a) < jv_real(b));
        else
            order = (integer_of(a) > integer_of(b)) - (integer_of(a) < integer_of(b));
    } else if (a->kind == JV_STRING && b->kind == JV_STRING) {
        jinja_charge(j, a->text.len / 64);
        order = str_cmp(jtext_str(a->text), jtext_str(b->text));
    } else if (a->kind == b->kind && (a->kind == JV_LIST || a->kind == JV_TUPLE)) {
        order = compare_lists(j, a->list, b->list);
    } else {
        jinja_fail(j, "a %s and a %s have no order", jv_type(a), jv_type(b));
    }
    jinja_leave(j);
    return order;
}

bool jv_in(struct jinja *j, const struct jvalue *a, const struct jvalue *b)
{
    if (b->kind == JV_STRING && a->kind == JV_STRING) {
        jinja_charge(j, b->text.len / 16);
        return str_find(jtext_str(b->text), jtext_str(a->text)) >= 0;
    }
    if (b->kind == JV_DICT)
        return jv_dict_find(j, b->dict, a) != NULL;
    if (b->kind == JV_UNDEFINED)
        return false;
    if (b->kind != JV_LIST && b->kind != JV_TUPLE)
        jinja_fail(j, "a %s cannot be in a %s", jv_type(a), jv_type(b));
    for (size_t i = 0; i < b->list->count; i++) {
        jinja_charge(j, 1);
        if (jv_equal(j, a, &b->list->items[i]))
            return true;
    }
    return false;
}

/* ---- Going over ---- */

bool jv_length(struct jinja *j, const struct jvalue *v, size_t *ret_length)
{
    switch (v->kind) {
    case JV_UNDEFINED: *ret_length = 0; return true;
    case JV_STRING:
        jinja_charge(j, v->text.len / 64);
        *ret_length = jtext_characters(v->text);
        return true;
    case JV_LIST:
    case JV_TUPLE: *ret_length = v->list->count; return true;
    case JV_DICT: *ret_length = v->dict->count; return true;
    default: return false;
    }
}

struct jlist *jv_elements(struct jinja *j, const struct jvalue *v)
{
    if (v->kind == JV_LIST || v->kind == JV_TUPLE)
        return v->list;
    struct jvalue list = jv_list_new(j, JV_LIST);
    if (v->kind == JV_STRING) {
        for (struct jtext rest = v->text; rest.len;) {
            size_t n = jtext_character(rest);
            jinja_charge(j, 1);
            jv_list_add(j, list.list, jv_text(jtext_cut(rest, 0, n)));
            rest = jtext_cut(rest, n, rest.len - n);
        }
    } else if (v->kind == JV_DICT) {
        for (size_t i = 0; i < v->dict->count; i++)
            jv_list_add(j, list.list, v->dict->pairs[i].key);
    } else if (v->kind != JV_UNDEFINED) {
        jinja_fail(j, "a %s cannot be gone over", jv_type(v));
    }
    return list.list;
}

/* ---- From JSON ---- */

struct json_source {
    struct jinja *j;
    struct json_reader reader;
    bool trusted;
};

static struct jvalue read_value(struct json_source *s);

static struct jvalue read_string(struct json_source *s, const struct json_value *v)
{
    struct jinja *j = s->j;
    struct str text = json_text(v, &j->arena);
    struct jtext t = jtext_of(text);
    if (!s->trusted && text.len) {
        unsigned char *foreign = jinja_alloc(j, text.len);
        memset(foreign, 1, text.len);
        t.foreign = foreign;
    }
    return jv_text(t);
}

static struct jvalue read_number(struct json_source *s, const struct json_value *v)
{
    int64_t integer;
    double real;
    bool whole = true;
    for (size_t i = 0; i < v->raw.len; i++)
        whole &= v->raw.ptr[i] != '.' && (v->raw.ptr[i] | 32) != 'e';
    if (whole && json_to_i64(v, &integer) == ERR_OK)
        return jv_int(integer);
    if (json_to_double(v, &real) != ERR_OK)
        jinja_fail(s->j, "a number is too large");
    return jv_float(real);
}

static struct jvalue read_array(struct json_source *s)
{
    struct jvalue list = jv_list_new(s->j, JV_LIST);
    (void)json_enter(&s->reader, JSON_ARRAY);
    while (json_next_element(&s->reader))
        jv_list_add(s->j, list.list, read_value(s));
    return list;
}

static struct jvalue read_object(struct json_source *s)
{
    struct json_value key;
    struct jvalue dict = jv_dict_new(s->j, JV_DICT);
    (void)json_enter(&s->reader, JSON_OBJECT);
    while (json_next_member(&s->reader, &key)) {
        struct jvalue name = read_string(s, &key);
        jv_dict_set(s->j, dict.dict, name, read_value(s));
    }
    return dict;
}

static struct jvalue read_value(struct json_source *s)
{
    enum json_kind kind = json_peek(&s->reader);
    jinja_charge(s->j, 1);
    if (kind == JSON_ARRAY)
        return read_array(s);
    if (kind == JSON_OBJECT)
        return read_object(s);
    struct json_value v = json_take(&s->reader);
    switch (v.kind) {
    case JSON_TRUE: return jv_bool(true);
    case JSON_FALSE: return jv_bool(false);
    case JSON_NUMBER: return read_number(s, &v);
    case JSON_STRING: return read_string(s, &v);
    default: return jv_none();
    }
}

struct jvalue jv_from_json(struct jinja *j, struct str json, bool trusted)
{
    struct json_source s = {.j = j, .trusted = trusted};
    json_reader_init(&s.reader, json, JINJA_DEPTH_MAX / 2);
    struct jvalue v = read_value(&s);
    if (!json_finish(&s.reader))
        jinja_fail(j, "what it is given is not JSON");
    return v;
}
