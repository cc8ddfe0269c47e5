/* Text → steps: one pass, recursive descent EXPR_DEPTH_MAX deep at most. */
#include <stdarg.h>

#include "base/assert.h"
#include "base/buf.h"
#include "config/expr_int.h"

/* What is known of a value before it is there. */
enum type { TYPE_ANY, TYPE_BOOL, TYPE_NUMBER, TYPE_TEXT, TYPE_NULL };

struct parser {
    struct str text;
    size_t at;
    size_t depth;
    struct arena *a;
    struct expr *expr;
    size_t stack; /* values at this point */
    bool failed;
    struct expr_mistake mistake;
};

__attribute__((format(printf, 3, 4))) static enum type fail(struct parser *p, size_t at,
                                                            const char *format, ...)
{
    BUF_AUTO struct buf what = {.max = 512};
    va_list args;
    if (p->failed)
        return TYPE_ANY;
    va_start(args, format);
    buf_vprintf(&what, format, args);
    va_end(args);
    p->failed = true;
    p->mistake = (struct expr_mistake){at, arena_str(p->a, buf_str(&what)).ptr};
    return TYPE_ANY;
}

/* ---- Steps ---- */

static void emit(struct parser *p, struct expr_step step)
{
    struct expr *e = p->expr;
    if (e->count == EXPR_STEPS_MAX) {
        fail(p, p->at, "more than %d values and operators", EXPR_STEPS_MAX);
        return;
    }
    e->steps[e->count++] = step;
    if (step.op < EXPR_NOT)
        p->stack++;
    else if (step.op == EXPR_IN)
        p->stack -= step.count;
    else if (step.op > EXPR_NOT)
        p->stack--;
    if (p->stack > e->stack)
        e->stack = p->stack;
}

/* ---- Words ---- */

static void skip_space(struct parser *p)
{
    while (p->at < p->text.len &&
           (p->text.ptr[p->at] == ' ' || p->text.ptr[p->at] == '\t' || p->text.ptr[p->at] == '\n'))
        p->at++;
}

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* The sign or word next in the text is that one: pass it. */
static bool accept(struct parser *p, const char *sign)
{
    struct str s = str_from_c(sign);
    skip_space(p);
    struct str rest = str_skip(p->text, p->at);
    if (!str_starts(rest, s))
        return false;
    if (is_word_char(sign[0]) && rest.len > s.len && is_word_char(rest.ptr[s.len]))
        return false;
    p->at += s.len;
    return true;
}

static struct str word(struct parser *p)
{
    size_t from = p->at;
    while (p->at < p->text.len && is_word_char(p->text.ptr[p->at]))
        p->at++;
    return str_of(p->text.ptr + from, p->at - from);
}

/* What stands there, for a message. */
static struct str here(const struct parser *p)
{
    return p->at < p->text.len ? str_take(str_skip(p->text, p->at), 12) : STR("the end");
}

/* ---- Constants ---- */

/* The text between two quotes; the first is passed already. */
static bool quoted(struct parser *p, char quote, struct str *ret_text)
{
    BUF_AUTO struct buf text = {.max = EXPR_BYTES_MAX};
    size_t from = p->at - 1;
    while (p->at < p->text.len && p->text.ptr[p->at] != quote) {
        if (p->text.ptr[p->at] == '\\')
            p->at++;
        if (p->at < p->text.len)
            buf_append_char(&text, p->text.ptr[p->at++]);
    }
    if (p->at >= p->text.len) {
        fail(p, from, "the text that begins here has no closing %c", quote);
        return false;
    }
    p->at++;
    *ret_text = arena_str(p->a, buf_str(&text));
    return true;
}

static enum type text_constant(struct parser *p, char quote)
{
    struct expr_step step = {.op = EXPR_CONSTANT, .value = {.kind = EXPR_TEXT}};
    p->at++;
    if (quoted(p, quote, &step.value.text))
        emit(p, step);
    return TYPE_TEXT;
}

static enum type number_constant(struct parser *p)
{
    struct json_value json;
    size_t from = p->at;
    struct expr_step step = {.op = EXPR_CONSTANT, .value = {.kind = EXPR_NUMBER}};
    while (p->at < p->text.len && (is_word_char(p->text.ptr[p->at]) || p->text.ptr[p->at] == '.' ||
                                   p->text.ptr[p->at] == '+'))
        p->at++;
    step.value.text = str_of(p->text.ptr + from, p->at - from);
    if (json_validate(step.value.text, 1, &json) != ERR_OK ||
        json_to_double(&json, &step.value.number) != ERR_OK)
        return fail(p, from, "'%.*s' is not a number", STR_ARG(str_take(step.value.text, 40)));
    emit(p, step);
    return TYPE_NUMBER;
}

/* ---- Fields ---- */

static const struct field_name {
    const char *name;
    enum expr_op op;
    enum type type;
} field_names[] = {
    {"model", EXPR_MODEL, TYPE_TEXT},     {"endpoint", EXPR_ENDPOINT, TYPE_TEXT},
    {"key", EXPR_KEY, TYPE_TEXT},         {"user", EXPR_USER, TYPE_TEXT},
    {"tokens", EXPR_TOKENS, TYPE_NUMBER}, {"stream", EXPR_STREAM, TYPE_BOOL},
};

static enum type metadata_member(struct parser *p)
{
    struct expr_step step = {.op = EXPR_METADATA};
    size_t from = p->at;
    if (accept(p, ".")) {
        step.name = word(p);
    } else if (accept(p, "[")) {
        skip_space(p);
        char quote = p->at < p->text.len ? p->text.ptr[p->at] : 0;
        if (quote != '\'' && quote != '"')
            return fail(p, p->at, "metadata[…] wants a name in quotes");
        p->at++;
        if (!quoted(p, quote, &step.name))
            return TYPE_ANY;
        if (!accept(p, "]"))
            return fail(p, p->at, "']' is missing");
    }
    if (!step.name.len)
        return fail(p, from, "metadata has members: write metadata.NAME or metadata['NAME']");
    emit(p, step);
    return TYPE_ANY;
}

static enum type field_or_word(struct parser *p)
{
    size_t from = p->at;
    struct str name = word(p);
    struct expr_step step = {.op = EXPR_CONSTANT, .value = {.kind = EXPR_BOOL}};
    if (str_eq(name, STR("metadata")))
        return metadata_member(p);
    for (size_t i = 0; i < sizeof field_names / sizeof field_names[0]; i++) {
        if (!str_eq(name, str_from_c(field_names[i].name)))
            continue;
        emit(p, (struct expr_step){.op = field_names[i].op});
        return field_names[i].type;
    }
    if (str_eq(name, STR("null"))) {
        emit(p, (struct expr_step){.op = EXPR_CONSTANT, .value = {.kind = EXPR_NULL}});
        return TYPE_NULL;
    }
    step.value.truth = str_eq(name, STR("true"));
    if (!step.value.truth && !str_eq(name, STR("false")))
        return fail(p, from,
                    "unknown name '%.*s': there is model, endpoint, key, user, tokens, stream and "
                    "metadata.NAME; texts stand in quotes",
                    STR_ARG(str_take(name, 40)));
    emit(p, step);
    return TYPE_BOOL;
}

/* ---- Grammar ---- */

static enum type parse_or(struct parser *p);

static bool deeper(struct parser *p)
{
    if (p->depth++ < EXPR_DEPTH_MAX)
        return true;
    fail(p, p->at, "more than %d levels deep", EXPR_DEPTH_MAX);
    return false;
}

static enum type parse_constant(struct parser *p)
{
    skip_space(p);
    char c = p->at < p->text.len ? p->text.ptr[p->at] : 0;
    if (c == '\'' || c == '"')
        return text_constant(p, c);
    if ((c >= '0' && c <= '9') || c == '-')
        return number_constant(p);
    if (is_word_char(c))
        return field_or_word(p);
    return fail(p, p->at, "a value is missing before '%.*s'", STR_ARG(here(p)));
}

static enum type parse_value(struct parser *p)
{
    if (!accept(p, "("))
        return parse_constant(p);
    enum type type = deeper(p) ? parse_or(p) : TYPE_ANY;
    p->depth--;
    if (!p->failed && !accept(p, ")"))
        return fail(p, p->at, "')' is missing before '%.*s'", STR_ARG(here(p)));
    return type;
}

static enum type parse_in(struct parser *p)
{
    struct expr_step step = {.op = EXPR_IN};
    if (!accept(p, "["))
        return fail(p, p->at, "'in' wants a list, as ['a', 'b']");
    while (!p->failed && !accept(p, "]")) {
        if (step.count && !accept(p, ","))
            return fail(p, p->at, "',' or ']' is missing before '%.*s'", STR_ARG(here(p)));
        skip_space(p);
        size_t from = p->at;
        size_t before = p->expr->count;
        parse_constant(p);
        if (!p->failed && p->expr->steps[before].op != EXPR_CONSTANT)
            return fail(p, from, "a list holds numbers, texts, true, false and null");
        step.count++;
    }
    emit(p, step);
    return TYPE_BOOL;
}

static bool fits(enum type type, enum type wanted)
{
    return type == wanted || type == TYPE_ANY;
}

/* An operator, and where it stands, for what its operands may be. */
static void check_operands(struct parser *p, size_t at, enum expr_op op, enum type a, enum type b)
{
    bool equality = op == EXPR_EQ || op == EXPR_NE;
    if (equality && a != b && a != TYPE_ANY && b != TYPE_ANY && a != TYPE_NULL && b != TYPE_NULL)
        fail(p, at, "a number, a text and true or false are never equal to one another");
    else if (!equality && (!fits(a, TYPE_NUMBER) || !fits(b, TYPE_NUMBER)))
        fail(p, at, "<, <=, > and >= compare numbers");
}

static enum type parse_glob(struct parser *p, size_t at, enum type left)
{
    size_t before = p->expr->count;
    enum type right = parse_constant(p);
    if (p->failed)
        return TYPE_BOOL;
    if (!fits(left, TYPE_TEXT) || right != TYPE_TEXT || p->expr->steps[before].op != EXPR_CONSTANT)
        return fail(p, at, "~ compares a text with a pattern in quotes, as model ~ 'gpt-*'");
    emit(p, (struct expr_step){.op = EXPR_GLOB});
    return TYPE_BOOL;
}

static enum type parse_test(struct parser *p)
{
    static const struct {
        const char *sign;
        enum expr_op op;
    } operators[] = {
        {"==", EXPR_EQ}, {"!=", EXPR_NE}, {"<=", EXPR_LE},
        {">=", EXPR_GE}, {"<", EXPR_LT},  {">", EXPR_GT},
    };
    enum type left = parse_value(p);
    skip_space(p);
    size_t at = p->at;
    if (p->failed)
        return left;
    if (accept(p, "in"))
        return parse_in(p);
    if (accept(p, "~"))
        return parse_glob(p, at, left);
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (!accept(p, operators[i].sign))
            continue;
        enum type right = parse_value(p);
        check_operands(p, at, operators[i].op, left, right);
        emit(p, (struct expr_step){.op = operators[i].op});
        return TYPE_BOOL;
    }
    return left;
}

static void want_bool(struct parser *p, size_t at, enum type type)
{
    if (!p->failed && !fits(type, TYPE_BOOL))
        fail(p, at, "this is no condition: compare it with something, as tokens > 1000");
}

static enum type parse_not(struct parser *p)
{
    skip_space(p);
    size_t at = p->at;
    bool negation = at < p->text.len && p->text.ptr[at] == '!';
    if (!negation)
        return parse_test(p);
    p->at++;
    if (deeper(p)) {
        skip_space(p);
        at = p->at;
        want_bool(p, at, parse_not(p));
        emit(p, (struct expr_step){.op = EXPR_NOT});
    }
    p->depth--;
    return TYPE_BOOL;
}

static enum type parse_joined(struct parser *p, const char *sign, enum expr_op op,
                              enum type (*part)(struct parser *p))
{
    skip_space(p);
    size_t at = p->at;
    enum type type = part(p);
    while (!p->failed && accept(p, sign)) {
        want_bool(p, at, type);
        skip_space(p);
        at = p->at;
        want_bool(p, at, part(p));
        emit(p, (struct expr_step){.op = op});
        type = TYPE_BOOL;
    }
    return type;
}

static enum type parse_and(struct parser *p)
{
    return parse_joined(p, "&&", EXPR_AND, parse_not);
}

static enum type parse_or(struct parser *p)
{
    return parse_joined(p, "||", EXPR_OR, parse_and);
}

enum err expr_parse(struct str text, struct arena *a, struct expr **ret_expr,
                    struct expr_mistake *ret_mistake)
{
    struct parser p = {.text = text, .a = a};
    if (text.len > EXPR_BYTES_MAX) {
        *ret_mistake = (struct expr_mistake){0, "a condition has at most 4096 bytes"};
        return ERR_INVALID;
    }
    /* No more steps than bytes: every one has a sign of its own. */
    size_t most = text.len + 1 < EXPR_STEPS_MAX ? text.len + 1 : EXPR_STEPS_MAX;
    p.expr = arena_alloc(a, sizeof *p.expr + most * sizeof p.expr->steps[0]);
    enum type type = parse_or(&p);
    skip_space(&p);
    if (!p.failed && p.at < text.len)
        fail(&p, p.at, "'%.*s' is not understood here", STR_ARG(here(&p)));
    want_bool(&p, 0, type);
    if (p.failed) {
        *ret_mistake = p.mistake;
        return ERR_INVALID;
    }
    ASSERT(p.stack == 1 && p.expr->count <= most);
    *ret_expr = p.expr;
    return ERR_OK;
}
