/* Statements: what they do. */
#include "text/jinja_int.h"

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

static enum flow run(struct jinja *j, const struct jnodes *nodes);

/* ---- Scopes ---- */

void jinja_scope_push(struct jinja *j, struct jscope *parent)
{
    struct jscope *s = jinja_alloc(j, sizeof *s);
    s->parent = parent;
    j->scope = s;
}

static void set_name(struct jinja *j, struct str name, struct jvalue v)
{
    jv_dict_set(j, &j->scope->variables, jv_str(name), v);
}

static void set_tuple(struct jinja *j, const struct jnode *target, const struct jvalue *v)
{
    const struct jlist *from = jv_elements(j, v);
    if (from->count != target->list.count)
        jinja_fail(j, "%zu values cannot be taken apart into %zu names", from->count,
                   target->list.count);
    for (size_t i = 0; i < from->count; i++)
        jinja_set(j, target->list.items[i], from->items[i]);
}

void jinja_set(struct jinja *j, const struct jnode *target, struct jvalue v)
{
    if (target->kind == JN_NAME) {
        set_name(j, target->name, v);
    } else if (target->kind == JN_TUPLE) {
        set_tuple(j, target, &v);
    } else {
        struct jvalue of = jinja_eval(j, target->a);
        if (of.kind != JV_NAMESPACE)
            jinja_fail(j, "attributes can be set on a namespace only");
        jv_dict_set(j, of.dict, jv_str(target->name), v);
    }
}

/* ---- Bodies as text ---- */

/* What a body writes, in a scope of its own. */
static struct jvalue body_text(struct jinja *j, const struct jnodes *nodes, struct jscope *parent)
{
    struct jout here = {0}, *outer = j->out;
    struct jscope *scope = j->scope;
    j->out = &here;
    jinja_scope_push(j, parent);
    run(j, nodes);
    j->scope = scope;
    j->out = outer;
    return jv_text(jout_text(&here));
}

/* A chain of filters whose head has no input. */
static struct jvalue run_filters(struct jinja *j, const struct jnode *n, struct jvalue input)
{
    struct jarguments a = {0};
    if (n->a)
        input = run_filters(j, n->a, input);
    a.values = jinja_alloc(j, (n->list.count + 1) * sizeof *a.values);
    a.keywords = jinja_alloc(j, (n->keyword_count + 1) * sizeof *a.keywords);
    for (; a.count < n->list.count; a.count++)
        a.values[a.count] = jinja_eval(j, n->list.items[a.count]);
    for (; a.keyword_count < n->keyword_count; a.keyword_count++)
        a.keywords[a.keyword_count] =
            (struct jpair){jv_str(n->keywords[a.keyword_count].name),
                           jinja_eval(j, n->keywords[a.keyword_count].value)};
    return jinja_filter(j, n->name, input, &a);
}

/* ---- For ---- */

static struct jlist *chosen_items(struct jinja *j, const struct jnode *n, const struct jlist *all)
{
    struct jvalue chosen = jv_list_new(j, JV_LIST);
    struct jscope *outer = j->scope;
    for (size_t i = 0; i < all->count; i++) {
        jinja_scope_push(j, outer);
        jinja_set(j, n->a, all->items[i]);
        struct jvalue test = jinja_eval(j, n->c);
        if (jv_true(&test))
            jv_list_add(j, chosen.list, all->items[i]);
    }
    j->scope = outer;
    return chosen.list;
}

static void run_loop(struct jinja *j, const struct jnode *n, struct jvalue over, unsigned depth)
{
    struct jscope *outer = j->scope;
    struct jloop *loop = jinja_alloc(j, sizeof *loop);
    struct jlist *items = jv_elements(j, &over);
    if (n->c)
        items = chosen_items(j, n, items);
    *loop = (struct jloop){.items = items, .depth = depth, .node = n, .scope = outer};
    enum flow flow = FLOW_ON;
    struct jscope *inner = NULL;
    for (size_t i = 0; i < items->count && flow != FLOW_BREAK; i++) {
        jinja_charge(j, 1);
        loop->index = i;
        if (!inner || inner->kept)
            jinja_scope_push(j, outer);
        else
            j->scope = inner;
        inner = j->scope;
        inner->variables.count = 0;
        set_name(j, STR("loop"), (struct jvalue){.kind = JV_LOOP, .loop = loop});
        jinja_set(j, n->a, items->items[i]);
        flow = run(j, &n->list);
    }
    j->scope = outer;
    if (items->count == 0)
        run(j, &n->more);
}

struct jvalue jinja_loop_again(struct jinja *j, const struct jloop *loop, struct jvalue over)
{
    struct jout here = {0}, *outer = j->out;
    struct jscope *scope = j->scope;
    j->out = &here;
    j->scope = loop->scope;
    run_loop(j, loop->node, over, loop->depth + 1);
    j->scope = scope;
    j->out = outer;
    return jv_text(jout_text(&here));
}

/* ---- Macros ---- */

static void set_parameters(struct jinja *j, const struct jnode *n, const struct jarguments *a)
{
    size_t known = 0;
    if (a->count > n->keyword_count)
        jinja_fail(j, "'%.*s' takes %zu arguments, not %zu", STR_ARG(n->name), n->keyword_count,
                   a->count);
    for (size_t i = 0; i < n->keyword_count; i++) {
        char name[64];
        const struct jkeyword *p = &n->keywords[i];
        snprintf(name, sizeof name, "%.*s", STR_ARG(p->name));
        const struct jvalue *given = jinja_argument(a, i, name);
        known += given && i >= a->count;
        if (given)
            set_name(j, p->name, *given);
        else if (p->value)
            set_name(j, p->name, jinja_eval(j, p->value));
        else
            set_name(j, p->name, jv_undefined(p->name));
    }
    if (known < a->keyword_count)
        jinja_fail(j, "'%.*s' does not have an argument that is given", STR_ARG(n->name));
}

struct jvalue jinja_macro_call(struct jinja *j, const struct jmacro *macro,
                               const struct jarguments *a, const struct jvalue *caller)
{
    struct jscope *scope = j->scope;
    struct jout here = {0}, *outer = j->out;
    jinja_enter(j);
    jinja_scope_push(j, macro->scope);
    set_parameters(j, macro->node, a);
    if (caller)
        set_name(j, STR("caller"), *caller);
    j->out = &here;
    run(j, &macro->node->list);
    j->out = outer;
    j->scope = scope;
    jinja_leave(j);
    return jv_text(jout_text(&here));
}

static struct jvalue macro_of(struct jinja *j, const struct jnode *n)
{
    struct jmacro *m = jinja_alloc(j, sizeof *m);
    *m = (struct jmacro){n, j->scope};
    for (struct jscope *s = j->scope; s; s = s->parent)
        s->kept = true;
    return (struct jvalue){.kind = JV_MACRO, .macro = m};
}

static void run_call_block(struct jinja *j, const struct jnode *n)
{
    struct jvalue callee = jinja_eval(j, n->a->a), caller = macro_of(j, n);
    struct jarguments a = {0};
    if (callee.kind != JV_MACRO)
        jinja_fail(j, "a call block must call a macro");
    a.values = jinja_alloc(j, (n->a->list.count + 1) * sizeof *a.values);
    for (; a.count < n->a->list.count; a.count++)
        a.values[a.count] = jinja_eval(j, n->a->list.items[a.count]);
    a.keywords = jinja_alloc(j, (n->a->keyword_count + 1) * sizeof *a.keywords);
    for (; a.keyword_count < n->a->keyword_count; a.keyword_count++)
        a.keywords[a.keyword_count] =
            (struct jpair){jv_str(n->a->keywords[a.keyword_count].name),
                           jinja_eval(j, n->a->keywords[a.keyword_count].value)};
    struct jvalue text = jinja_macro_call(j, callee.macro, &a, &caller);
    jout_add(j, j->out, text.text);
}

/* ---- Each ---- */

static void run_with(struct jinja *j, const struct jnode *n)
{
    struct jscope *outer = j->scope, *inner;
    jinja_scope_push(j, outer);
    inner = j->scope;
    for (size_t i = 0; i < n->keyword_count; i++) {
        j->scope = outer;
        struct jvalue v = jinja_eval(j, n->keywords[i].value);
        j->scope = inner;
        set_name(j, n->keywords[i].name, v);
    }
    run(j, &n->list);
    j->scope = outer;
}

static void run_output(struct jinja *j, const struct jnode *n)
{
    struct jvalue v = jinja_eval(j, n->a);
    if (v.kind == JV_STRING)
        jout_add(j, j->out, v.text);
    else
        jout_add(j, j->out, jv_to_text(j, &v));
}

static enum flow run_if(struct jinja *j, const struct jnode *n)
{
    struct jvalue test = jinja_eval(j, n->a);
    return run(j, jv_true(&test) ? &n->list : &n->more);
}

static void run_set_block(struct jinja *j, const struct jnode *n)
{
    struct jvalue text = body_text(j, &n->list, j->scope);
    jinja_set(j, n->a, n->b ? run_filters(j, n->b, text) : text);
}

static enum flow run_one(struct jinja *j, const struct jnode *n)
{
    switch (n->kind) {
    case JN_DATA: jout_add(j, j->out, n->value.text); break;
    case JN_OUTPUT: run_output(j, n); break;
    case JN_IF: return run_if(j, n);
    case JN_FOR: run_loop(j, n, jinja_eval(j, n->b), 0); break;
    case JN_SET: jinja_set(j, n->a, jinja_eval(j, n->b)); break;
    case JN_SET_BLOCK: run_set_block(j, n); break;
    case JN_MACRO: set_name(j, n->name, macro_of(j, n)); break;
    case JN_CALL_BLOCK: run_call_block(j, n); break;
    case JN_FILTER_BLOCK: {
        struct jvalue v = run_filters(j, n->b, body_text(j, &n->list, j->scope));
        jout_add(j, j->out, jv_to_text(j, &v));
        break;
    }
    case JN_WITH: run_with(j, n); break;
    case JN_SECTION: return run(j, &n->list);
    case JN_BREAK: return FLOW_BREAK;
    case JN_CONTINUE: return FLOW_CONTINUE;
    default: jinja_fail(j, "a value stands where a statement should");
    }
    return FLOW_ON;
}

static enum flow run(struct jinja *j, const struct jnodes *nodes)
{
    enum flow flow = FLOW_ON;
    jinja_enter(j);
    for (size_t i = 0; i < nodes->count && flow == FLOW_ON; i++) {
        jinja_charge(j, 1);
        j->line = nodes->items[i]->line;
        flow = run_one(j, nodes->items[i]);
    }
    jinja_leave(j);
    return flow;
}

void jinja_run(struct jinja *j, const struct jnodes *nodes)
{
    run(j, nodes);
}
