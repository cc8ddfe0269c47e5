/* Expressions: what they are worth. */
#include "text/jinja_int.h"

#include <math.h>

struct jvalue *jinja_variable(struct jinja *j, struct str name)
{
    for (struct jscope *s = j->scope; s; s = s->parent) {
        struct jvalue *v = jv_dict_find_str(j, &s->variables, name);
        if (v)
            return v;
    }
    return NULL;
}

static struct jvalue eval_name(struct jinja *j, struct str name)
{
    const struct jvalue *v = jinja_variable(j, name);
    if (v)
        return *v;
    if (jinja_has_function(name))
        return (struct jvalue){.kind = JV_FUNCTION, .text = jtext_of(name)};
    return jv_undefined(name);
}

static __attribute__((noreturn)) void fail_undefined(struct jinja *j, const struct jvalue *v)
{
    jinja_fail(j, "'%.*s' is undefined", STR_ARG(str_take(jtext_str(v->text), 60)));
}

/* ---- Members ---- */

static struct jvalue loop_member(struct jinja *j, const struct jvalue *of, struct str name)
{
    const struct jloop *l = of->loop;
    int64_t index = (int64_t)l->index, count = (int64_t)l->items->count;
    const struct {
        const char *name;
        struct jvalue value;
    } members[] = {
        {"index", jv_int(index + 1)},        {"index0", jv_int(index)},
        {"revindex", jv_int(count - index)}, {"revindex0", jv_int(count - index - 1)},
        {"first", jv_bool(index == 0)},      {"last", jv_bool(index + 1 == count)},
        {"length", jv_int(count)},           {"depth", jv_int(l->depth + 1)},
        {"depth0", jv_int(l->depth)},
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (str_eq(name, str_from_c(members[i].name)))
            return members[i].value;
    if (str_eq(name, STR("previtem")) && index > 0)
        return l->items->items[index - 1];
    if (str_eq(name, STR("nextitem")) && index + 1 < count)
        return l->items->items[index + 1];
    if (!jinja_has_method(of, name))
        return jv_undefined(name);
    (void)j;
    return (struct jvalue){.kind = JV_METHOD, .self = of, .text = jtext_of(name)};
}

static struct jvalue method_of(struct jinja *j, const struct jvalue *of, struct str name)
{
    struct jvalue *self = jinja_alloc(j, sizeof *self);
    *self = *of;
    return (struct jvalue){.kind = JV_METHOD, .self = self, .text = jtext_of(name)};
}

static const struct jvalue *member_of(struct jinja *j, const struct jvalue *of, struct str name)
{
    return of->kind == JV_DICT || of->kind == JV_NAMESPACE ? jv_dict_find_str(j, of->dict, name)
                                                           : NULL;
}

/* of.name: methods come before members. */
struct jvalue jinja_attribute(struct jinja *j, const struct jvalue *of, struct str name)
{
    if (of->kind == JV_UNDEFINED)
        fail_undefined(j, of);
    if (str_starts(name, STR("__")))
        jinja_fail(j, "access to '%.*s' is not allowed", STR_ARG(str_take(name, 40)));
    if (of->kind == JV_LOOP) {
        struct jvalue self = *of;
        struct jvalue v = loop_member(j, &self, name);
        return v.kind == JV_METHOD ? method_of(j, of, name) : v;
    }
    if (jinja_has_method(of, name))
        return method_of(j, of, name);
    const struct jvalue *v = member_of(j, of, name);
    return v ? *v : jv_undefined(name);
}

static bool index_of(int64_t index, size_t count, size_t *ret_at)
{
    if (index < 0)
        index += (int64_t)count;
    *ret_at = (size_t)index;
    return index >= 0 && (size_t)index < count;
}

static struct jvalue text_item(struct jinja *j, struct jtext t, int64_t index)
{
    size_t at, count = jtext_characters(t);
    jinja_charge(j, t.len / 32);
    if (!index_of(index, count, &at))
        return jv_undefined(STR("[…]"));
    at = jtext_byte(t, at);
    return jv_text(jtext_cut(t, at, jtext_character(jtext_cut(t, at, t.len - at))));
}

/* of[key]: members come before methods. */
struct jvalue jinja_item(struct jinja *j, const struct jvalue *of, const struct jvalue *key)
{
    size_t at;
    if (of->kind == JV_UNDEFINED)
        fail_undefined(j, of);
    bool number = key->kind == JV_INT || key->kind == JV_BOOL;
    int64_t index = key->kind == JV_BOOL ? key->boolean : key->kind == JV_INT ? key->integer : 0;
    if (of->kind == JV_DICT) {
        const struct jvalue *v = jv_dict_find(j, of->dict, key);
        if (v)
            return *v;
    } else if (number && (of->kind == JV_LIST || of->kind == JV_TUPLE)) {
        if (index_of(index, of->list->count, &at))
            return of->list->items[at];
    } else if (number && of->kind == JV_STRING) {
        return text_item(j, of->text, index);
    }
    if (key->kind == JV_STRING)
        return jinja_attribute(j, of, jtext_str(key->text));
    return jv_undefined(STR("[…]"));
}

/* ---- Slices ---- */

struct cut {
    int64_t from, to, step;
};

static int64_t part_of(struct jinja *j, const struct jnode *n, int64_t otherwise)
{
    if (!n)
        return otherwise;
    struct jvalue v = jinja_eval(j, n);
    if (v.kind == JV_NONE)
        return otherwise;
    if (v.kind != JV_INT && v.kind != JV_BOOL)
        jinja_fail(j, "a part of a slice is a %s", jv_type(&v));
    return v.kind == JV_INT ? v.integer : v.boolean;
}

static int64_t bounded(int64_t v, int64_t count, int64_t low, int64_t high)
{
    if (v < 0)
        v = v < -count ? low : v + count;
    return v < low ? low : v > high ? high : v;
}

static struct cut cut_of(struct jinja *j, const struct jnode *slice, size_t count)
{
    struct cut c;
    int64_t n = (int64_t)count;
    c.step = part_of(j, slice->list.items[2], 1);
    if (c.step == 0)
        jinja_fail(j, "a slice has the step 0");
    bool forward = c.step > 0;
    c.from = part_of(j, slice->list.items[0], forward ? 0 : INT64_MAX);
    c.to = part_of(j, slice->list.items[1], forward ? INT64_MAX : INT64_MIN);
    c.from = bounded(c.from, n, forward ? 0 : -1, forward ? n : n - 1);
    c.to = bounded(c.to, n, forward ? 0 : -1, forward ? n : n - 1);
    return c;
}

static struct jvalue slice_text(struct jinja *j, struct jtext t, const struct jnode *slice)
{
    struct cut c = cut_of(j, slice, jtext_characters(t));
    jinja_charge(j, t.len / 32);
    if (c.step == 1) {
        size_t from = jtext_byte(t, (size_t)c.from);
        size_t to = c.to > c.from ? jtext_byte(t, (size_t)c.to) : from;
        return jv_text(jtext_cut(t, from, to - from));
    }
    struct jout out = {0};
    struct jvalue whole = jv_text(t);
    const struct jlist *all = jv_elements(j, &whole);
    for (int64_t i = c.from; c.step > 0 ? i < c.to : i > c.to; i += c.step)
        jout_add(j, &out, all->items[i].text);
    return jv_text(jout_text(&out));
}

static struct jvalue eval_slice(struct jinja *j, const struct jvalue *of, const struct jnode *slice)
{
    if (of->kind == JV_UNDEFINED)
        fail_undefined(j, of);
    if (of->kind == JV_STRING)
        return slice_text(j, of->text, slice);
    if (of->kind != JV_LIST && of->kind != JV_TUPLE)
        jinja_fail(j, "a %s cannot be sliced", jv_type(of));
    struct cut c = cut_of(j, slice, of->list->count);
    struct jvalue list = jv_list_new(j, of->kind);
    for (int64_t i = c.from; c.step > 0 ? i < c.to : i > c.to; i += c.step) {
        jinja_charge(j, 1);
        jv_list_add(j, list.list, of->list->items[i]);
        if (c.step > INT32_MAX || c.step < INT32_MIN)
            break;
    }
    return list;
}

static struct jvalue eval_item(struct jinja *j, const struct jnode *n)
{
    struct jvalue of = jinja_eval(j, n->a);
    if (n->b->kind == JN_SLICE)
        return eval_slice(j, &of, n->b);
    struct jvalue key = jinja_eval(j, n->b);
    return jinja_item(j, &of, &key);
}

/* ---- Calls ---- */

static struct jarguments eval_arguments(struct jinja *j, const struct jnode *n)
{
    struct jarguments a = {0};
    a.count = n->list.count;
    a.keyword_count = n->keyword_count;
    a.values = jinja_alloc(j, (a.count + 1) * sizeof *a.values);
    a.keywords = jinja_alloc(j, (a.keyword_count + 1) * sizeof *a.keywords);
    for (size_t i = 0; i < a.count; i++)
        a.values[i] = jinja_eval(j, n->list.items[i]);
    for (size_t i = 0; i < a.keyword_count; i++)
        a.keywords[i] =
            (struct jpair){jv_str(n->keywords[i].name), jinja_eval(j, n->keywords[i].value)};
    return a;
}

const struct jvalue *jinja_argument(const struct jarguments *a, size_t place, const char *name)
{
    if (place < a->count)
        return &a->values[place];
    for (size_t i = 0; name && i < a->keyword_count; i++)
        if (str_eq(jtext_str(a->keywords[i].key.text), str_from_c(name)))
            return &a->keywords[i].value;
    return NULL;
}

int64_t jinja_argument_int(struct jinja *j, const struct jarguments *a, size_t place,
                           const char *name, int64_t otherwise)
{
    const struct jvalue *v = jinja_argument(a, place, name);
    if (!v || v->kind == JV_NONE)
        return otherwise;
    if (v->kind != JV_INT && v->kind != JV_BOOL)
        jinja_fail(j, "argument %zu is a %s where a whole number is needed", place + 1, jv_type(v));
    return v->kind == JV_INT ? v->integer : v->boolean;
}

struct jtext jinja_argument_text(struct jinja *j, const struct jarguments *a, size_t place,
                                 const char *name)
{
    const struct jvalue *v = jinja_argument(a, place, name);
    if (!v || v->kind != JV_STRING)
        jinja_fail(j, "argument %zu is %s where a string is needed", place + 1,
                   v ? jv_type(v) : "missing");
    return v->text;
}

struct jvalue jinja_call(struct jinja *j, const struct jvalue *callee,
                         const struct jarguments *arguments)
{
    switch (callee->kind) {
    case JV_FUNCTION: return jinja_function(j, jtext_str(callee->text), arguments);
    case JV_METHOD: return jinja_method(j, callee->self, jtext_str(callee->text), arguments);
    case JV_MACRO: return jinja_macro_call(j, callee->macro, arguments, NULL);
    case JV_LOOP: {
        const struct jvalue *over = jinja_argument(arguments, 0, NULL);
        if (!over || !callee->loop->node->recursive)
            jinja_fail(j, "only a recursive loop can be called, with what it is to go over");
        return jinja_loop_again(j, callee->loop, *over);
    }
    case JV_UNDEFINED: fail_undefined(j, callee);
    default: jinja_fail(j, "a %s cannot be called", jv_type(callee));
    }
}

static struct jvalue eval_call(struct jinja *j, const struct jnode *n)
{
    struct jvalue callee = jinja_eval(j, n->a);
    struct jarguments a = eval_arguments(j, n);
    j->line = n->line;
    return jinja_call(j, &callee, &a);
}

static struct jvalue eval_filter(struct jinja *j, const struct jnode *n)
{
    struct jvalue input = jinja_eval(j, n->a);
    struct jarguments a = eval_arguments(j, n);
    j->line = n->line;
    return jinja_filter(j, n->name, input, &a);
}

static bool eval_test(struct jinja *j, const struct jnode *n)
{
    struct jvalue v = jinja_eval(j, n->a);
    struct jarguments a = eval_arguments(j, n);
    return jinja_test(j, n->name, &v, &a);
}

/* ---- Operators ---- */

static struct jvalue add_lists(struct jinja *j, const struct jvalue *a, const struct jvalue *b)
{
    struct jvalue list = jv_list_new(j, a->kind);
    jinja_charge(j, a->list->count + b->list->count);
    for (size_t i = 0; i < a->list->count; i++)
        jv_list_add(j, list.list, a->list->items[i]);
    for (size_t i = 0; i < b->list->count; i++)
        jv_list_add(j, list.list, b->list->items[i]);
    return list;
}

static struct jvalue repeat(struct jinja *j, const struct jvalue *a, int64_t times)
{
    if (a->kind == JV_STRING) {
        struct jout out = {0};
        for (int64_t i = 0; i < times && a->text.len; i++) {
            jinja_charge(j, 1);
            jout_add(j, &out, a->text);
        }
        return jv_text(jout_text(&out));
    }
    struct jvalue list = jv_list_new(j, a->kind);
    for (int64_t i = 0; i < times && a->list->count; i++) {
        jinja_charge(j, a->list->count);
        for (size_t k = 0; k < a->list->count; k++)
            jv_list_add(j, list.list, a->list->items[k]);
    }
    return list;
}

static __attribute__((noreturn)) void fail_binary(struct jinja *j, const struct jvalue *a,
                                                  const struct jvalue *b)
{
    if (a->kind == JV_UNDEFINED || b->kind == JV_UNDEFINED)
        fail_undefined(j, a->kind == JV_UNDEFINED ? a : b);
    jinja_fail(j, "an operator does not take a %s and a %s", jv_type(a), jv_type(b));
}

static double real_binary(struct jinja *j, enum jtoken op, double a, double b)
{
    if ((op == JT_DIV || op == JT_FLOORDIV || op == JT_MOD) && b == 0)
        jinja_fail(j, "division by zero");
    switch (op) {
    case JT_ADD: return a + b;
    case JT_SUB: return a - b;
    case JT_MUL: return a * b;
    case JT_DIV: return a / b;
    case JT_FLOORDIV: return floor(a / b);
    case JT_MOD: return a - b * floor(a / b);
    default: return pow(a, b);
    }
}

static bool int_power(int64_t a, int64_t b, int64_t *ret_c)
{
    int64_t c = 1;
    if (b > 63 && a != 0 && a != 1 && a != -1)
        return false;
    for (int64_t i = 0; i < (b > 63 ? b % 2 + 2 : b); i++)
        if (__builtin_mul_overflow(c, a, &c))
            return false;
    *ret_c = c;
    return true;
}

static struct jvalue int_binary(struct jinja *j, enum jtoken op, int64_t a, int64_t b)
{
    int64_t c = 0;
    bool fits = true;
    if (op == JT_DIV || (op == JT_POW && b < 0))
        return jv_float(real_binary(j, op, (double)a, (double)b));
    if ((op == JT_FLOORDIV || op == JT_MOD) && b == 0)
        jinja_fail(j, "division by zero");
    if (b == -1 && (op == JT_FLOORDIV || op == JT_MOD))
        fits = op == JT_MOD || !__builtin_sub_overflow(0, a, &c);
    else if (op == JT_FLOORDIV)
        c = a / b - (a % b != 0 && (a < 0) != (b < 0));
    else if (op == JT_MOD)
        c = a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0);
    else if (op == JT_ADD)
        fits = !__builtin_add_overflow(a, b, &c);
    else if (op == JT_SUB)
        fits = !__builtin_sub_overflow(a, b, &c);
    else if (op == JT_MUL)
        fits = !__builtin_mul_overflow(a, b, &c);
    else
        fits = int_power(a, b, &c);
    if (!fits)
        jinja_fail(j, "a number has more than 64 bits");
    return jv_int(c);
}

struct jvalue jinja_binary(struct jinja *j, enum jtoken op, const struct jvalue *a,
                           const struct jvalue *b)
{
    if (jv_is_number(a) && jv_is_number(b)) {
        if (a->kind == JV_FLOAT || b->kind == JV_FLOAT)
            return jv_float(real_binary(j, op, jv_real(a), jv_real(b)));
        return int_binary(j, op, a->kind == JV_BOOL ? a->boolean : a->integer,
                          b->kind == JV_BOOL ? b->boolean : b->integer);
    }
    bool lists = a->kind == b->kind && (a->kind == JV_LIST || a->kind == JV_TUPLE);
    if (op == JT_ADD && lists)
        return add_lists(j, a, b);
    if (op == JT_ADD && a->kind == JV_STRING && b->kind == JV_STRING) {
        struct jout out = {0};
        jout_add(j, &out, a->text);
        jout_add(j, &out, b->text);
        return jv_text(jout_text(&out));
    }
    bool rows = a->kind == JV_STRING || a->kind == JV_LIST || a->kind == JV_TUPLE;
    if (op == JT_MUL && rows && b->kind == JV_INT)
        return repeat(j, a, b->integer);
    if (op == JT_MOD && a->kind == JV_STRING) {
        struct jarguments arguments = {.values = (struct jvalue *)b, .count = 1};
        if (b->kind == JV_TUPLE)
            arguments = (struct jarguments){.values = b->list->items, .count = b->list->count};
        return jinja_filter(j, STR("format"), *a, &arguments);
    }
    fail_binary(j, a, b);
}

static bool compare_one(struct jinja *j, enum jtoken op, const struct jvalue *a,
                        const struct jvalue *b)
{
    switch (op) {
    case JT_EQ: return jv_equal(j, a, b);
    case JT_NE: return !jv_equal(j, a, b);
    case JT_IN: return jv_in(j, a, b);
    case JT_NOT_IN: return !jv_in(j, a, b);
    default: break;
    }
    if (a->kind == JV_UNDEFINED || b->kind == JV_UNDEFINED)
        fail_binary(j, a, b);
    int order = jv_compare(j, a, b);
    return op == JT_LT   ? order < 0
           : op == JT_LE ? order <= 0
           : op == JT_GT ? order > 0
                         : order >= 0;
}

static struct jvalue eval_comparison(struct jinja *j, const struct jnode *n)
{
    struct jvalue left = jinja_eval(j, n->a);
    for (size_t i = 0; i < n->list.count; i++) {
        const struct jnode *operand = n->list.items[i];
        struct jvalue right = jinja_eval(j, operand->a);
        if (!compare_one(j, operand->op, &left, &right))
            return jv_bool(false);
        left = right;
    }
    return jv_bool(true);
}

static struct jvalue eval_concat(struct jinja *j, const struct jnode *n)
{
    struct jout out = {0};
    for (size_t i = 0; i < n->list.count; i++) {
        struct jvalue v = jinja_eval(j, n->list.items[i]);
        jout_add(j, &out, jv_to_text(j, &v));
    }
    return jv_text(jout_text(&out));
}

static struct jvalue eval_sign(struct jinja *j, const struct jnode *n)
{
    struct jvalue v = jinja_eval(j, n->a), zero = jv_int(0);
    if (!jv_is_number(&v))
        jinja_fail(j, "a %s has no sign", jv_type(&v));
    if (v.kind == JV_FLOAT)
        return jv_float(n->kind == JN_NEGATIVE ? -v.real : v.real);
    return jinja_binary(j, n->kind == JN_NEGATIVE ? JT_SUB : JT_ADD, &zero, &v);
}

static struct jvalue eval_binary(struct jinja *j, const struct jnode *n)
{
    struct jvalue a = jinja_eval(j, n->a), b = jinja_eval(j, n->b);
    j->line = n->line;
    return jinja_binary(j, n->op, &a, &b);
}

static struct jvalue eval_choice(struct jinja *j, const struct jnode *n)
{
    struct jvalue test = jinja_eval(j, n->a);
    if (jv_true(&test))
        return jinja_eval(j, n->b);
    return n->c ? jinja_eval(j, n->c) : jv_undefined(STR("the inline if"));
}

static struct jvalue eval_list(struct jinja *j, const struct jnode *n)
{
    struct jvalue list = jv_list_new(j, n->kind == JN_TUPLE ? JV_TUPLE : JV_LIST);
    for (size_t i = 0; i < n->list.count; i++)
        jv_list_add(j, list.list, jinja_eval(j, n->list.items[i]));
    return list;
}

static struct jvalue eval_dict(struct jinja *j, const struct jnode *n)
{
    struct jvalue dict = jv_dict_new(j, JV_DICT);
    for (size_t i = 0; i < n->list.count; i += 2) {
        struct jvalue key = jinja_eval(j, n->list.items[i]);
        jv_dict_set(j, dict.dict, key, jinja_eval(j, n->list.items[i + 1]));
    }
    return dict;
}

static struct jvalue eval_logic(struct jinja *j, const struct jnode *n)
{
    struct jvalue v = jinja_eval(j, n->a);
    if (n->kind == JN_NOT)
        return jv_bool(!jv_true(&v));
    return jv_true(&v) == (n->kind == JN_AND) ? jinja_eval(j, n->b) : v;
}

static struct jvalue eval_one(struct jinja *j, const struct jnode *n)
{
    switch (n->kind) {
    case JN_LITERAL: return n->value;
    case JN_NAME: return eval_name(j, n->name);
    case JN_LIST:
    case JN_TUPLE: return eval_list(j, n);
    case JN_DICT: return eval_dict(j, n);
    case JN_ITEM: return eval_item(j, n);
    case JN_CALL: return eval_call(j, n);
    case JN_FILTER: return eval_filter(j, n);
    case JN_TEST: return jv_bool(eval_test(j, n));
    case JN_NOT:
    case JN_AND:
    case JN_OR: return eval_logic(j, n);
    case JN_NEGATIVE:
    case JN_POSITIVE: return eval_sign(j, n);
    case JN_BINARY: return eval_binary(j, n);
    case JN_CONCAT: return eval_concat(j, n);
    case JN_COMPARE: return eval_comparison(j, n);
    case JN_CHOICE: return eval_choice(j, n);
    case JN_ATTRIBUTE: {
        struct jvalue of = jinja_eval(j, n->a);
        j->line = n->line;
        return jinja_attribute(j, &of, n->name);
    }
    default: jinja_fail(j, "a statement stands where a value should");
    }
}

struct jvalue jinja_eval(struct jinja *j, const struct jnode *n)
{
    jinja_enter(j);
    jinja_charge(j, 1);
    j->line = n->line;
    struct jvalue v = eval_one(j, n);
    jinja_leave(j);
    return v;
}
