/* Statements. */
#include "text/jinja_int.h"

static struct jnodes parse_until(struct jinja *j, const char *const *ends);

static void end_tag(struct jinja *j)
{
    jinja_expect(j, JT_BLOCK_END, "%}");
}

/* Statements up to {% name %}, which is taken. */
static struct jnodes parse_body(struct jinja *j, const char *end)
{
    const char *const ends[] = {end, NULL};
    end_tag(j);
    struct jnodes body = parse_until(j, ends);
    jinja_expect(j, JT_NAME, end);
    end_tag(j);
    return body;
}

static struct jnode *parse_if(struct jinja *j)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    struct jnode *first = NULL, *last = NULL;
    do {
        struct jnode *n = jinja_node(j, JN_IF);
        n->a = jinja_parse_tuple(j, false);
        end_tag(j);
        n->list = parse_until(j, ends);
        if (last)
            jinja_nodes_add(j, &last->more, n);
        else
            first = n;
        last = n;
    } while (jinja_skip_name(j, "elif"));
    if (jinja_skip_name(j, "else"))
        last->more = parse_body(j, "endif");
    else {
        jinja_expect(j, JT_NAME, "endif");
        end_tag(j);
    }
    return first;
}

static struct jnode *parse_for(struct jinja *j)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    struct jnode *n = jinja_node(j, JN_FOR);
    n->a = jinja_parse_target(j);
    if (!jinja_skip_name(j, "in"))
        jinja_fail(j, "'in' is missing in a for");
    n->b = jinja_parse_tuple(j, true);
    if (jinja_skip_name(j, "if"))
        n->c = jinja_parse_expression(j);
    n->recursive = jinja_skip_name(j, "recursive");
    end_tag(j);
    j->loops++;
    n->list = parse_until(j, ends);
    j->loops--;
    if (jinja_skip_name(j, "else")) {
        n->more = parse_body(j, "endfor");
    } else {
        jinja_expect(j, JT_NAME, "endfor");
        end_tag(j);
    }
    return n;
}

static struct jnode *parse_set(struct jinja *j)
{
    struct jnode *n = jinja_node(j, JN_SET);
    n->a = jinja_parse_target(j);
    if (jinja_skip(j, JT_ASSIGN)) {
        n->b = jinja_parse_tuple(j, false);
        end_tag(j);
        return n;
    }
    n->kind = JN_SET_BLOCK;
    if (jinja_skip(j, JT_PIPE))
        n->b = jinja_parse_filters(j, NULL);
    n->list = parse_body(j, "endset");
    return n;
}

static void parse_parameters(struct jinja *j, struct jnode *n)
{
    jinja_expect(j, JT_LPAREN, "(");
    for (bool first = true; !jinja_skip(j, JT_RPAREN); first = false) {
        if (!first)
            jinja_expect(j, JT_COMMA, ",");
        if (jinja_skip(j, JT_RPAREN))
            break;
        struct str name = jinja_expect(j, JT_NAME, "a parameter's name");
        struct jnode *otherwise = NULL;
        if (jinja_skip(j, JT_ASSIGN))
            otherwise = jinja_parse_expression(j);
        jinja_keyword_add(j, n, name, otherwise);
    }
}

/* A body that stands for itself: break and continue do not reach out of it. */
static struct jnodes parse_own_body(struct jinja *j, const char *end)
{
    unsigned loops = j->loops;
    j->loops = 0;
    struct jnodes body = parse_body(j, end);
    j->loops = loops;
    return body;
}

static struct jnode *parse_macro(struct jinja *j)
{
    struct jnode *n = jinja_node(j, JN_MACRO);
    n->name = jinja_expect(j, JT_NAME, "a macro's name");
    parse_parameters(j, n);
    n->list = parse_own_body(j, "endmacro");
    return n;
}

static struct jnode *parse_call_block(struct jinja *j)
{
    struct jnode *n = jinja_node(j, JN_CALL_BLOCK);
    if (j->token->kind == JT_LPAREN)
        parse_parameters(j, n);
    n->a = jinja_parse_expression(j);
    if (n->a->kind != JN_CALL)
        jinja_fail(j, "a call block must call a macro");
    n->list = parse_own_body(j, "endcall");
    return n;
}

static struct jnode *parse_filter_block(struct jinja *j)
{
    struct jnode *n = jinja_node(j, JN_FILTER_BLOCK);
    n->b = jinja_parse_filters(j, NULL);
    n->list = parse_own_body(j, "endfilter");
    return n;
}

static struct jnode *parse_with(struct jinja *j)
{
    struct jnode *n = jinja_node(j, JN_WITH);
    while (j->token->kind != JT_BLOCK_END) {
        if (n->keyword_count)
            jinja_expect(j, JT_COMMA, ",");
        struct str name = jinja_expect(j, JT_NAME, "a name");
        jinja_expect(j, JT_ASSIGN, "=");
        jinja_keyword_add(j, n, name, jinja_parse_expression(j));
    }
    n->list = parse_body(j, "endwith");
    return n;
}

static struct jnode *parse_generation(struct jinja *j)
{
    struct jnode *n = jinja_node(j, JN_SECTION);
    n->list = parse_body(j, "endgeneration");
    return n;
}

static struct jnode *parse_jump(struct jinja *j, enum jnode_kind kind)
{
    if (j->loops == 0)
        jinja_fail(j, "break and continue belong into a for");
    struct jnode *n = jinja_node(j, kind);
    end_tag(j);
    return n;
}

static struct jnode *parse_break(struct jinja *j)
{
    return parse_jump(j, JN_BREAK);
}

static struct jnode *parse_continue(struct jinja *j)
{
    return parse_jump(j, JN_CONTINUE);
}

static const struct {
    const char *name;
    struct jnode *(*parse)(struct jinja *j);
} statements[] = {
    {"if", parse_if},           {"for", parse_for},
    {"set", parse_set},         {"macro", parse_macro},
    {"call", parse_call_block}, {"filter", parse_filter_block},
    {"with", parse_with},       {"generation", parse_generation},
    {"break", parse_break},     {"continue", parse_continue},
};

static struct jnode *parse_statement(struct jinja *j)
{
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (jinja_skip_name(j, statements[i].name))
            return statements[i].parse(j);
    jinja_fail(j, "'%.*s' is not a statement that is supported",
               STR_ARG(str_take(j->token->text, 40)));
}

static struct jnode *parse_output(struct jinja *j)
{
    struct jnode *n = jinja_node(j, JN_OUTPUT);
    n->a = jinja_parse_tuple(j, false);
    jinja_expect(j, JT_VARIABLE_END, "}}");
    return n;
}

static struct jnode *parse_data(struct jinja *j)
{
    struct jnode *n = jinja_node(j, JN_DATA);
    n->value = jv_str(jinja_expect(j, JT_DATA, "text"));
    return n;
}

static bool at_end(const struct jinja *j, const char *const *ends)
{
    if (j->token->kind != JT_BLOCK_BEGIN || j->token[1].kind != JT_NAME)
        return false;
    for (; *ends; ends++)
        if (str_eq(j->token[1].text, str_from_c(*ends)))
            return true;
    return false;
}

/* The end's name is at hand afterwards. */
static struct jnodes parse_until(struct jinja *j, const char *const *ends)
{
    struct jnodes list = {0};
    jinja_enter(j);
    while (j->token->kind != JT_END) {
        if (at_end(j, ends)) {
            jinja_skip(j, JT_BLOCK_BEGIN);
            jinja_leave(j);
            return list;
        }
        if (j->token->kind == JT_DATA)
            jinja_nodes_add(j, &list, parse_data(j));
        else if (jinja_skip(j, JT_VARIABLE_BEGIN))
            jinja_nodes_add(j, &list, parse_output(j));
        else if (jinja_skip(j, JT_BLOCK_BEGIN))
            jinja_nodes_add(j, &list, parse_statement(j));
        else
            jinja_fail(j, "'%.*s' is out of place", STR_ARG(str_take(j->token->text, 40)));
    }
    if (*ends)
        jinja_fail(j, "the template ends where '%s' should come", *ends);
    jinja_leave(j);
    return list;
}

struct jnodes jinja_parse_all(struct jinja *j)
{
    static const char *const none[] = {NULL};
    return parse_until(j, none);
}
