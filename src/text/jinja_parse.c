/* Expressions. The order of binding is Jinja's: choice, or, and, not, comparison, + -, ~, * / // %,
 * **, sign, postfix, filter. */
#include "text/jinja_int.h"

static struct jnode *parse_unary(struct jinja *j, bool with_filter);

/* ---- Tokens and nodes ---- */

bool jinja_skip(struct jinja *j, enum jtoken kind)
{
    if (j->token->kind != kind)
        return false;
    j->token++;
    j->line = j->token->line;
    return true;
}

bool jinja_at_name(const struct jinja *j, const char *name)
{
    return j->token->kind == JT_NAME && str_eq(j->token->text, str_from_c(name));
}

bool jinja_skip_name(struct jinja *j, const char *name)
{
    return jinja_at_name(j, name) && jinja_skip(j, JT_NAME);
}

struct str jinja_expect(struct jinja *j, enum jtoken kind, const char *what)
{
    struct str text = j->token->text;
    if (!jinja_skip(j, kind))
        jinja_fail(j, "%s is missing before '%.*s'", what, STR_ARG(str_take(text, 40)));
    return text;
}

struct jnode *jinja_node(struct jinja *j, enum jnode_kind kind)
{
    struct jnode *n = jinja_alloc(j, sizeof *n);
    n->kind = kind;
    n->line = j->line;
    return n;
}

static struct jnode *node_with(struct jinja *j, enum jnode_kind kind, struct jnode *a)
{
    struct jnode *n = jinja_node(j, kind);
    n->a = a;
    return n;
}

/* Lists have room for a power of two. */
void jinja_nodes_add(struct jinja *j, struct jnodes *to, struct jnode *node)
{
    if ((to->count & (to->count - 1)) == 0) {
        struct jnode **grown = jinja_alloc(j, (to->count ? to->count * 2 : 1) * sizeof *grown);
        if (to->count)
            memcpy(grown, to->items, to->count * sizeof *grown);
        to->items = grown;
    }
    to->items[to->count++] = node;
}

void jinja_keyword_add(struct jinja *j, struct jnode *to, struct str name, struct jnode *value)
{
    if (to->keyword_count == JINJA_KEYWORDS_MAX)
        jinja_fail(j, "there are more than %d named arguments", JINJA_KEYWORDS_MAX);
    if (!to->keywords)
        to->keywords = jinja_alloc(j, JINJA_KEYWORDS_MAX * sizeof *to->keywords);
    to->keywords[to->keyword_count++] = (struct jkeyword){name, value};
}

static struct jnode *literal(struct jinja *j, struct jvalue v)
{
    struct jnode *n = jinja_node(j, JN_LITERAL);
    n->value = v;
    return n;
}

/* ---- Primaries ---- */

static struct jnode *parse_name(struct jinja *j)
{
    struct str name = jinja_expect(j, JT_NAME, "a name");
    if (str_eq(name, STR("true")) || str_eq(name, STR("True")))
        return literal(j, jv_bool(true));
    if (str_eq(name, STR("false")) || str_eq(name, STR("False")))
        return literal(j, jv_bool(false));
    if (str_eq(name, STR("none")) || str_eq(name, STR("None")))
        return literal(j, jv_none());
    struct jnode *n = jinja_node(j, JN_NAME);
    n->name = name;
    return n;
}

static struct jnode *parse_string(struct jinja *j)
{
    struct str text = jinja_expect(j, JT_STRING, "a string");
    if (j->token->kind != JT_STRING)
        return literal(j, jv_str(text));
    struct jout all = {0};
    jout_str(j, &all, text);
    while (j->token->kind == JT_STRING)
        jout_str(j, &all, jinja_expect(j, JT_STRING, "a string"));
    return literal(j, jv_text(jout_text(&all)));
}

static struct jnode *parse_number(struct jinja *j)
{
    struct str text = j->token->text;
    int64_t integer;
    if (jinja_skip(j, JT_FLOAT)) {
        char room[64];
        snprintf(room, sizeof room, "%.*s", STR_ARG(text));
        return literal(j, jv_float(strtod(room, NULL)));
    }
    if (str_to_i64(text, &integer) != ERR_OK)
        jinja_fail(j, "'%.*s' is not a number of 64 bits", STR_ARG(str_take(text, 40)));
    jinja_skip(j, JT_INT);
    return literal(j, jv_int(integer));
}

static struct jnode *parse_list(struct jinja *j)
{
    struct jnode *n = jinja_node(j, JN_LIST);
    jinja_expect(j, JT_LBRACKET, "[");
    while (!jinja_skip(j, JT_RBRACKET)) {
        if (n->list.count)
            jinja_expect(j, JT_COMMA, ",");
        if (jinja_skip(j, JT_RBRACKET))
            break;
        jinja_nodes_add(j, &n->list, jinja_parse_expression(j));
    }
    return n;
}

static struct jnode *parse_dict(struct jinja *j)
{
    struct jnode *n = jinja_node(j, JN_DICT);
    jinja_expect(j, JT_LBRACE, "{");
    while (!jinja_skip(j, JT_RBRACE)) {
        if (n->list.count)
            jinja_expect(j, JT_COMMA, ",");
        if (jinja_skip(j, JT_RBRACE))
            break;
        jinja_nodes_add(j, &n->list, jinja_parse_expression(j));
        jinja_expect(j, JT_COLON, ":");
        jinja_nodes_add(j, &n->list, jinja_parse_expression(j));
    }
    return n;
}

static struct jnode *parse_parentheses(struct jinja *j)
{
    jinja_expect(j, JT_LPAREN, "(");
    if (jinja_skip(j, JT_RPAREN))
        return jinja_node(j, JN_TUPLE);
    struct jnode *n = jinja_parse_tuple(j, false);
    jinja_expect(j, JT_RPAREN, ")");
    return n;
}

static struct jnode *parse_primary(struct jinja *j)
{
    switch (j->token->kind) {
    case JT_NAME: return parse_name(j);
    case JT_STRING: return parse_string(j);
    case JT_INT:
    case JT_FLOAT: return parse_number(j);
    case JT_LPAREN: return parse_parentheses(j);
    case JT_LBRACKET: return parse_list(j);
    case JT_LBRACE: return parse_dict(j);
    default: break;
    }
    jinja_fail(j, "'%.*s' stands where a value should", STR_ARG(str_take(j->token->text, 40)));
}

/* ---- What may follow a primary ---- */

void jinja_parse_arguments(struct jinja *j, struct jnode *to)
{
    jinja_expect(j, JT_LPAREN, "(");
    for (bool first = true; !jinja_skip(j, JT_RPAREN); first = false) {
        if (!first)
            jinja_expect(j, JT_COMMA, ",");
        if (jinja_skip(j, JT_RPAREN))
            return;
        if (j->token->kind == JT_MUL || j->token->kind == JT_POW)
            jinja_fail(j, "lists of arguments (*args, **kwargs) are not supported");
        if (j->token->kind == JT_NAME && j->token[1].kind == JT_ASSIGN) {
            struct str name = jinja_expect(j, JT_NAME, "a name");
            jinja_expect(j, JT_ASSIGN, "=");
            jinja_keyword_add(j, to, name, jinja_parse_expression(j));
        } else if (to->keyword_count) {
            jinja_fail(j, "an argument without a name follows one with a name");
        } else {
            jinja_nodes_add(j, &to->list, jinja_parse_expression(j));
        }
    }
}

static struct jnode *parse_part(struct jinja *j)
{
    bool ends =
        j->token->kind == JT_COLON || j->token->kind == JT_RBRACKET || j->token->kind == JT_COMMA;
    return ends ? NULL : jinja_parse_expression(j);
}

static struct jnode *parse_subscript(struct jinja *j, struct jnode *of)
{
    struct jnode *n = node_with(j, JN_ITEM, of);
    jinja_expect(j, JT_LBRACKET, "[");
    n->b = parse_part(j);
    if (j->token->kind == JT_COLON) {
        struct jnode *slice = jinja_node(j, JN_SLICE);
        jinja_nodes_add(j, &slice->list, n->b);
        for (int i = 0; i < 2; i++)
            jinja_nodes_add(j, &slice->list, jinja_skip(j, JT_COLON) ? parse_part(j) : NULL);
        n->b = slice;
    }
    if (!n->b || j->token->kind == JT_COMMA)
        jinja_fail(j, "what stands in [] is not one value");
    jinja_expect(j, JT_RBRACKET, "]");
    return n;
}

static struct jnode *parse_member(struct jinja *j, struct jnode *of)
{
    jinja_expect(j, JT_DOT, ".");
    if (j->token->kind == JT_INT) {
        struct jnode *item = node_with(j, JN_ITEM, of);
        item->b = parse_number(j);
        return item;
    }
    struct jnode *n = node_with(j, JN_ATTRIBUTE, of);
    n->name = jinja_expect(j, JT_NAME, "an attribute's name");
    return n;
}

static struct jnode *parse_call(struct jinja *j, struct jnode *of)
{
    struct jnode *n = node_with(j, JN_CALL, of);
    jinja_parse_arguments(j, n);
    return n;
}

static struct jnode *parse_postfix(struct jinja *j, struct jnode *n)
{
    for (;;) {
        switch (j->token->kind) {
        case JT_DOT: n = parse_member(j, n); break;
        case JT_LBRACKET: n = parse_subscript(j, n); break;
        case JT_LPAREN: n = parse_call(j, n); break;
        default: return n;
        }
    }
}

static struct jnode *parse_filter(struct jinja *j, struct jnode *input)
{
    struct jnode *n = node_with(j, JN_FILTER, input);
    n->name = jinja_expect(j, JT_NAME, "a filter's name");
    if (j->token->kind == JT_LPAREN)
        jinja_parse_arguments(j, n);
    return n;
}

struct jnode *jinja_parse_filters(struct jinja *j, struct jnode *input)
{
    struct jnode *n = input;
    do
        n = parse_filter(j, n);
    while (jinja_skip(j, JT_PIPE));
    return n;
}

/* An argument without brackets: `x is divisibleby 3`. */
static bool begins_argument(const struct jinja *j)
{
    switch (j->token->kind) {
    case JT_STRING:
    case JT_INT:
    case JT_FLOAT:
    case JT_LBRACKET:
    case JT_LBRACE: return true;
    case JT_NAME:
        return !jinja_at_name(j, "else") && !jinja_at_name(j, "or") && !jinja_at_name(j, "and") &&
               !jinja_at_name(j, "is") && !jinja_at_name(j, "if") && !jinja_at_name(j, "in") &&
               !jinja_at_name(j, "not");
    default: return false;
    }
}

static struct jnode *parse_test(struct jinja *j, struct jnode *of)
{
    bool negated = jinja_skip_name(j, "not");
    struct jnode *n = node_with(j, JN_TEST, of);
    n->name = jinja_expect(j, JT_NAME, "a test's name");
    if (j->token->kind == JT_LPAREN)
        jinja_parse_arguments(j, n);
    else if (begins_argument(j))
        jinja_nodes_add(j, &n->list, parse_postfix(j, parse_primary(j)));
    return negated ? node_with(j, JN_NOT, n) : n;
}

static struct jnode *parse_filters_and_tests(struct jinja *j, struct jnode *n)
{
    for (;;) {
        if (jinja_skip(j, JT_PIPE))
            n = parse_filter(j, n);
        else if (jinja_skip_name(j, "is"))
            n = parse_test(j, n);
        else if (j->token->kind == JT_LPAREN)
            n = parse_call(j, n);
        else
            return n;
    }
}

/* ---- Operators ---- */

static struct jnode *parse_unary(struct jinja *j, bool with_filter)
{
    struct jnode *n;
    jinja_enter(j);
    if (jinja_skip(j, JT_SUB))
        n = node_with(j, JN_NEGATIVE, parse_unary(j, false));
    else if (jinja_skip(j, JT_ADD))
        n = node_with(j, JN_POSITIVE, parse_unary(j, false));
    else
        n = parse_primary(j);
    n = parse_postfix(j, n);
    if (with_filter)
        n = parse_filters_and_tests(j, n);
    jinja_leave(j);
    return n;
}

/* Left to right, operators from one kind to another. */
static struct jnode *parse_row(struct jinja *j, enum jtoken from, enum jtoken to,
                               struct jnode *(*part)(struct jinja *))
{
    struct jnode *left = part(j);
    while (j->token->kind >= from && j->token->kind <= to) {
        struct jnode *n = node_with(j, JN_BINARY, left);
        n->op = j->token->kind;
        jinja_skip(j, n->op);
        n->b = part(j);
        left = n;
    }
    return left;
}

static struct jnode *parse_signed(struct jinja *j)
{
    return parse_unary(j, true);
}

static struct jnode *parse_power(struct jinja *j)
{
    return parse_row(j, JT_POW, JT_POW, parse_signed);
}

static struct jnode *parse_product(struct jinja *j)
{
    return parse_row(j, JT_MUL, JT_MOD, parse_power);
}

static struct jnode *parse_concat(struct jinja *j)
{
    struct jnode *first = parse_product(j);
    if (j->token->kind != JT_TILDE)
        return first;
    struct jnode *n = jinja_node(j, JN_CONCAT);
    jinja_nodes_add(j, &n->list, first);
    while (jinja_skip(j, JT_TILDE))
        jinja_nodes_add(j, &n->list, parse_product(j));
    return n;
}

static struct jnode *parse_sum(struct jinja *j)
{
    return parse_row(j, JT_ADD, JT_SUB, parse_concat);
}

/* JT_END: none at hand. */
static enum jtoken comparison(struct jinja *j)
{
    enum jtoken kind = j->token->kind;
    if (kind >= JT_EQ && kind <= JT_GE)
        return jinja_skip(j, kind), kind;
    if (jinja_skip_name(j, "in"))
        return JT_IN;
    if (jinja_at_name(j, "not") && j->token[1].kind == JT_NAME &&
        str_eq(j->token[1].text, STR("in"))) {
        jinja_skip(j, JT_NAME);
        jinja_skip(j, JT_NAME);
        return JT_NOT_IN;
    }
    return JT_END;
}

static struct jnode *parse_comparison(struct jinja *j)
{
    struct jnode *first = parse_sum(j), *n = NULL;
    for (enum jtoken op; (op = comparison(j)) != JT_END;) {
        if (!n)
            n = node_with(j, JN_COMPARE, first);
        struct jnode *operand = node_with(j, JN_OPERAND, parse_sum(j));
        operand->op = op;
        jinja_nodes_add(j, &n->list, operand);
    }
    return n ? n : first;
}

static struct jnode *parse_not(struct jinja *j)
{
    if (!jinja_skip_name(j, "not"))
        return parse_comparison(j);
    jinja_enter(j);
    struct jnode *n = node_with(j, JN_NOT, parse_not(j));
    jinja_leave(j);
    return n;
}

static struct jnode *parse_and(struct jinja *j)
{
    struct jnode *left = parse_not(j);
    while (jinja_skip_name(j, "and")) {
        struct jnode *n = node_with(j, JN_AND, left);
        n->b = parse_not(j);
        left = n;
    }
    return left;
}

struct jnode *jinja_parse_no_choice(struct jinja *j)
{
    struct jnode *left = parse_and(j);
    while (jinja_skip_name(j, "or")) {
        struct jnode *n = node_with(j, JN_OR, left);
        n->b = parse_and(j);
        left = n;
    }
    return left;
}

struct jnode *jinja_parse_expression(struct jinja *j)
{
    jinja_enter(j);
    struct jnode *n = jinja_parse_no_choice(j);
    while (jinja_skip_name(j, "if")) {
        struct jnode *choice = jinja_node(j, JN_CHOICE);
        choice->b = n;
        choice->a = jinja_parse_no_choice(j);
        if (jinja_skip_name(j, "else"))
            choice->c = jinja_parse_expression(j);
        n = choice;
    }
    jinja_leave(j);
    return n;
}

struct jnode *jinja_parse_tuple(struct jinja *j, bool no_choice)
{
    struct jnode *(*part)(struct jinja *) =
        no_choice ? jinja_parse_no_choice : jinja_parse_expression;
    struct jnode *first = part(j);
    if (j->token->kind != JT_COMMA)
        return first;
    struct jnode *n = jinja_node(j, JN_TUPLE);
    jinja_nodes_add(j, &n->list, first);
    while (jinja_skip(j, JT_COMMA)) {
        enum jtoken kind = j->token->kind;
        if (kind == JT_RPAREN || kind == JT_BLOCK_END || kind == JT_VARIABLE_END)
            break;
        jinja_nodes_add(j, &n->list, part(j));
    }
    return n;
}

static struct jnode *parse_one_target(struct jinja *j)
{
    if (jinja_skip(j, JT_LPAREN)) {
        jinja_enter(j);
        struct jnode *inner = jinja_parse_target(j);
        jinja_leave(j);
        jinja_expect(j, JT_RPAREN, ")");
        return inner;
    }
    struct jnode *n = parse_name(j);
    if (n->kind != JN_NAME)
        jinja_fail(j, "true, false and none cannot be set");
    return j->token->kind == JT_DOT ? parse_member(j, n) : n;
}

struct jnode *jinja_parse_target(struct jinja *j)
{
    struct jnode *first = parse_one_target(j);
    if (j->token->kind != JT_COMMA)
        return first;
    struct jnode *n = jinja_node(j, JN_TUPLE);
    jinja_nodes_add(j, &n->list, first);
    while (jinja_skip(j, JT_COMMA) && !jinja_at_name(j, "in") && j->token->kind != JT_RPAREN)
        jinja_nodes_add(j, &n->list, parse_one_target(j));
    return n;
}
