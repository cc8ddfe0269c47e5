/* Tests: x is NAME. */
#include "text/jinja_int.h"

static const struct jvalue *other(struct jinja *j, const struct jarguments *a)
{
    const struct jvalue *v = jinja_argument(a, 0, NULL);
    if (!v)
        jinja_fail(j, "a test lacks what to compare with");
    return v;
}

static bool is_case(struct jinja *j, const struct jvalue *v, char first, char last)
{
    struct jtext t = jv_to_text(j, v);
    bool any = false;
    for (size_t i = 0; i < t.len; i++) {
        char c = t.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (letter && (c < first || c > last))
            return false;
        any |= letter;
    }
    return any;
}

static int64_t whole(struct jinja *j, const struct jvalue *v)
{
    if (v->kind != JV_INT && v->kind != JV_BOOL)
        jinja_fail(j, "a %s is no whole number", jv_type(v));
    return v->kind == JV_INT ? v->integer : v->boolean;
}

static bool is_same(const struct jvalue *a, const struct jvalue *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case JV_NONE: return true;
    case JV_BOOL: return a->boolean == b->boolean;
    case JV_INT: return a->integer == b->integer;
    case JV_STRING: return a->text.ptr == b->text.ptr && a->text.len == b->text.len;
    case JV_LIST:
    case JV_TUPLE: return a->list == b->list;
    case JV_DICT:
    case JV_NAMESPACE: return a->dict == b->dict;
    default: return false;
    }
}

static bool divides(struct jinja *j, const struct jvalue *v, const struct jvalue *by)
{
    int64_t b = whole(j, by);
    if (b == 0)
        jinja_fail(j, "division by zero");
    return b == -1 || whole(j, v) % b == 0;
}

enum test {
    TEST_BOOLEAN,
    TEST_CALLABLE,
    TEST_DEFINED,
    TEST_DIVISIBLE,
    TEST_EQ,
    TEST_EVEN,
    TEST_FALSE,
    TEST_FILTER,
    TEST_FLOAT,
    TEST_GE,
    TEST_GT,
    TEST_IN,
    TEST_INTEGER,
    TEST_ITERABLE,
    TEST_LE,
    TEST_LOWER,
    TEST_LT,
    TEST_MAPPING,
    TEST_NE,
    TEST_NONE,
    TEST_NUMBER,
    TEST_ODD,
    TEST_SAME,
    TEST_SEQUENCE,
    TEST_STRING,
    TEST_TEST,
    TEST_TRUE,
    TEST_UNDEFINED,
    TEST_UPPER,
};

static const struct {
    const char *name;
    enum test test;
} tests[] = {
    {"boolean", TEST_BOOLEAN},
    {"callable", TEST_CALLABLE},
    {"defined", TEST_DEFINED},
    {"divisibleby", TEST_DIVISIBLE},
    {"eq", TEST_EQ},
    {"equalto", TEST_EQ},
    {"==", TEST_EQ},
    {"even", TEST_EVEN},
    {"false", TEST_FALSE},
    {"filter", TEST_FILTER},
    {"float", TEST_FLOAT},
    {"ge", TEST_GE},
    {">=", TEST_GE},
    {"gt", TEST_GT},
    {"greaterthan", TEST_GT},
    {">", TEST_GT},
    {"in", TEST_IN},
    {"integer", TEST_INTEGER},
    {"iterable", TEST_ITERABLE},
    {"le", TEST_LE},
    {"<=", TEST_LE},
    {"lower", TEST_LOWER},
    {"lt", TEST_LT},
    {"lessthan", TEST_LT},
    {"<", TEST_LT},
    {"mapping", TEST_MAPPING},
    {"ne", TEST_NE},
    {"!=", TEST_NE},
    {"none", TEST_NONE},
    {"number", TEST_NUMBER},
    {"odd", TEST_ODD},
    {"sameas", TEST_SAME},
    {"sequence", TEST_SEQUENCE},
    {"string", TEST_STRING},
    {"test", TEST_TEST},
    {"true", TEST_TRUE},
    {"undefined", TEST_UNDEFINED},
    {"upper", TEST_UPPER},
};

static bool find(struct str name, enum test *ret_test)
{
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (!str_eq(name, str_from_c(tests[i].name)))
            continue;
        *ret_test = tests[i].test;
        return true;
    }
    return false;
}

bool jinja_has_test(struct str name)
{
    enum test test;
    return find(name, &test);
}

static bool is_kind(enum test test, const struct jvalue *v)
{
    bool row = v->kind == JV_STRING || v->kind == JV_LIST || v->kind == JV_TUPLE ||
               v->kind == JV_DICT || v->kind == JV_UNDEFINED;
    switch (test) {
    case TEST_BOOLEAN: return v->kind == JV_BOOL;
    case TEST_CALLABLE: return v->kind >= JV_LOOP;
    case TEST_DEFINED: return v->kind != JV_UNDEFINED;
    case TEST_FALSE: return v->kind == JV_BOOL && !v->boolean;
    case TEST_FLOAT: return v->kind == JV_FLOAT;
    case TEST_INTEGER: return v->kind == JV_INT;
    case TEST_MAPPING: return v->kind == JV_DICT;
    case TEST_NONE: return v->kind == JV_NONE;
    case TEST_NUMBER: return jv_is_number(v);
    case TEST_STRING: return v->kind == JV_STRING;
    case TEST_TRUE: return v->kind == JV_BOOL && v->boolean;
    case TEST_UNDEFINED: return v->kind == JV_UNDEFINED;
    default: return row; /* iterable, sequence */
    }
}

static bool compares(struct jinja *j, enum test test, const struct jvalue *v,
                     const struct jvalue *with)
{
    int order = jv_compare(j, v, with);
    switch (test) {
    case TEST_LT: return order < 0;
    case TEST_LE: return order <= 0;
    case TEST_GT: return order > 0;
    default: return order >= 0;
    }
}

bool jinja_test(struct jinja *j, struct str name, const struct jvalue *v,
                const struct jarguments *a)
{
    enum test test;
    if (!find(name, &test))
        jinja_fail(j, "there is no test '%.*s'", STR_ARG(str_take(name, 40)));
    switch (test) {
    case TEST_EQ: return jv_equal(j, v, other(j, a));
    case TEST_NE: return !jv_equal(j, v, other(j, a));
    case TEST_LT:
    case TEST_LE:
    case TEST_GT:
    case TEST_GE: return compares(j, test, v, other(j, a));
    case TEST_IN: return jv_in(j, v, other(j, a));
    case TEST_SAME: return is_same(v, other(j, a));
    case TEST_DIVISIBLE: return divides(j, v, other(j, a));
    case TEST_EVEN: return whole(j, v) % 2 == 0;
    case TEST_ODD: return whole(j, v) % 2 != 0;
    case TEST_LOWER: return is_case(j, v, 'a', 'z');
    case TEST_UPPER: return is_case(j, v, 'A', 'Z');
    case TEST_FILTER: return v->kind == JV_STRING && jinja_has_filter(jtext_str(v->text));
    case TEST_TEST: return v->kind == JV_STRING && jinja_has_test(jtext_str(v->text));
    default: return is_kind(test, v);
    }
}
