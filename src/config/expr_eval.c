/* Running a compiled condition. The parser has seen to it that the stack fits. */
#include "base/assert.h"
#include "config/expr_int.h"

bool expr_glob(struct str pattern, struct str text)
{
    size_t p = 0, t = 0;
    size_t star = SIZE_MAX, star_t = 0; /* the last * and what it has taken so far */
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            star_t = t;
        } else if (p < pattern.len && (pattern.ptr[p] == '?' || pattern.ptr[p] == text.ptr[t])) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++star_t;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

static struct expr_value of_bool(bool truth)
{
    return (struct expr_value){.kind = EXPR_BOOL, .truth = truth};
}

static struct expr_value of_text(struct str text)
{
    return (struct expr_value){.kind = text.len ? EXPR_TEXT : EXPR_NULL, .text = text};
}

static struct expr_value of_json(const struct json_value *json, struct arena *scratch)
{
    struct expr_value v = {.kind = EXPR_OTHER, .text = json->raw};
    switch (json->kind) {
    case JSON_NONE:
    case JSON_NULL: v.kind = EXPR_NULL; break;
    case JSON_TRUE:
    case JSON_FALSE: return of_bool(json->kind == JSON_TRUE);
    case JSON_NUMBER:
        v.kind = json_to_double(json, &v.number) == ERR_OK ? EXPR_NUMBER : EXPR_OTHER;
        break;
    case JSON_STRING:
        v.kind = EXPR_TEXT;
        v.text = json_text(json, scratch);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    return v;
}

static struct expr_value metadata(const struct expr_facts *facts, struct str name,
                                  struct arena *scratch)
{
    struct json_reader r;
    struct json_value key;
    struct json_value found = {.kind = JSON_NONE};
    json_reader_init(&r, facts->metadata.raw, JSON_DEPTH_MAX);
    if (facts->metadata.kind == JSON_OBJECT && json_enter(&r, JSON_OBJECT))
        while (json_next_member(&r, &key))
            if (json_eq(&key, name))
                found = json_take(&r);
    return of_json(&found, scratch);
}

static bool as_number(const struct expr_value *v, double *ret_number)
{
    struct json_value json;
    if (v->kind == EXPR_NUMBER) {
        *ret_number = v->number;
        return true;
    }
    return v->kind == EXPR_TEXT && json_validate(v->text, 1, &json) == ERR_OK &&
           json.kind == JSON_NUMBER && json_to_double(&json, ret_number) == ERR_OK;
}

static bool is_true(const struct expr_value *v)
{
    return v->kind == EXPR_BOOL ? v->truth : v->kind == EXPR_TEXT && str_eq(v->text, STR("true"));
}

static bool equal(const struct expr_value *a, const struct expr_value *b)
{
    double x, y;
    if (a->kind == EXPR_NULL || b->kind == EXPR_NULL)
        return a->kind == b->kind;
    if (a->kind == EXPR_NUMBER || b->kind == EXPR_NUMBER)
        return as_number(a, &x) && as_number(b, &y) && x == y;
    if (a->kind == EXPR_BOOL && b->kind == EXPR_BOOL)
        return a->truth == b->truth;
    if (a->kind == EXPR_BOOL || b->kind == EXPR_BOOL) {
        const struct expr_value *truth = a->kind == EXPR_BOOL ? a : b;
        const struct expr_value *text = a->kind == EXPR_BOOL ? b : a;
        return text->kind == EXPR_TEXT &&
               str_eq(text->text, truth->truth ? STR("true") : STR("false"));
    }
    return a->kind == b->kind && str_eq(a->text, b->text);
}

static bool compare(enum expr_op op, const struct expr_value *a, const struct expr_value *b)
{
    double x, y;
    if (!as_number(a, &x) || !as_number(b, &y))
        return false;
    switch (op) {
    case EXPR_LT: return x < y;
    case EXPR_LE: return x <= y;
    case EXPR_GT: return x > y;
    default: return x >= y;
    }
}

static bool test(enum expr_op op, const struct expr_value *a, const struct expr_value *b)
{
    switch (op) {
    case EXPR_EQ: return equal(a, b);
    case EXPR_NE: return !equal(a, b);
    case EXPR_AND: return is_true(a) && is_true(b);
    case EXPR_OR: return is_true(a) || is_true(b);
    case EXPR_GLOB:
        return (a->kind == EXPR_TEXT || a->kind == EXPR_NUMBER) && expr_glob(b->text, a->text);
    default: return compare(op, a, b);
    }
}

static struct expr_value operand(const struct expr_step *step, const struct expr_facts *facts,
                                 struct arena *scratch)
{
    switch (step->op) {
    case EXPR_CONSTANT: return step->value;
    case EXPR_MODEL: return of_text(facts->model);
    case EXPR_ENDPOINT: return of_text(facts->endpoint);
    case EXPR_KEY: return of_text(facts->key);
    case EXPR_USER: return of_text(facts->user);
    case EXPR_TOKENS:
        return (struct expr_value){.kind = EXPR_NUMBER, .number = (double)facts->tokens};
    case EXPR_STREAM: return of_bool(facts->stream);
    default: return metadata(facts, step->name, scratch);
    }
}

bool expr_holds(const struct expr *e, const struct expr_facts *facts, struct arena *scratch)
{
    struct expr_value stack[EXPR_STEPS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < e->count; i++) {
        const struct expr_step *step = &e->steps[i];
        if (step->op < EXPR_NOT) {
            ASSERT(n < e->stack && n < EXPR_STEPS_MAX);
            stack[n++] = operand(step, facts, scratch);
        } else if (step->op == EXPR_NOT) {
            ASSERT(n >= 1);
            stack[n - 1] = of_bool(!is_true(&stack[n - 1]));
        } else if (step->op == EXPR_IN) {
            ASSERT(n > step->count);
            n -= step->count;
            bool found = false;
            for (unsigned k = 0; k < step->count; k++)
                found = found || equal(&stack[n - 1], &stack[n + k]);
            stack[n - 1] = of_bool(found);
        } else {
            ASSERT(n >= 2);
            n--;
            stack[n - 1] = of_bool(test(step->op, &stack[n - 1], &stack[n]));
        }
    }
    ASSERT(n == 1);
    return is_true(&stack[0]);
}
