/* The parts of Jinja: jinja_lex.c (tokens), jinja_parse.c (expressions), jinja_block.c
 * (statements), jinja_value.c (values, JSON), jinja_text.c (values as text), jinja_eval.c
 * (expressions), jinja_run.c (statements), jinja_filter.c, jinja_test.c, jinja_method.c, jinja.c
 * (the whole).
 *
 * Mistakes leave by longjmp: they can happen at any depth of a recursion, all memory is the
 * arena's, and a check after every call would hide the code. jinja_fail never returns. */
#ifndef WEIR_TEXT_JINJA_INT_H
#define WEIR_TEXT_JINJA_INT_H

#include <setjmp.h>

#include "base/arena.h"
#include "codec/json_scan.h"
#include "text/jinja.h"

/* ---- Values ---- */

enum jkind {
    JV_UNDEFINED, /* text: what it was looked up as */
    JV_NONE,
    JV_BOOL,
    JV_INT,
    JV_FLOAT,
    JV_STRING,
    JV_LIST,
    JV_TUPLE,
    JV_DICT,
    JV_NAMESPACE, /* a dict whose members may be set */
    JV_LOOP,
    JV_MACRO,
    JV_METHOD,   /* text: its name; of another value */
    JV_FUNCTION, /* text: its name */
};

struct jtext {
    const char *ptr;
    size_t len;
    const unsigned char *foreign; /* of each byte 1 or 0; NULL: none is */
};

struct jvalue {
    enum jkind kind;
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct jlist *list;
        struct jdict *dict;
        struct jloop *loop;
        const struct jmacro *macro;
        const struct jvalue *self; /* of a method */
    };
    struct jtext text;
};

struct jlist {
    struct jvalue *items;
    size_t count, room;
};

struct jpair {
    struct jvalue key, value;
};

struct jdict {
    struct jpair *pairs; /* in the order of their first setting */
    size_t count, room;
};

struct jscope {
    struct jscope *parent;
    struct jdict variables;
    bool kept; /* by a macro that was defined in it: a loop may not use it again */
};

struct jloop {
    const struct jlist *items;
    size_t index;
    unsigned depth;
    const struct jnode *node; /* for loop(…) of a recursive one */
    struct jscope *scope;
    struct jvalue changed; /* what changed() saw last */
    bool changed_set;
};

struct jmacro {
    const struct jnode *node;
    struct jscope *scope; /* where it was defined */
};

/* ---- Nodes ---- */

enum jtoken {
    JT_END, /* of the source */
    JT_DATA,
    JT_BLOCK_BEGIN,
    JT_BLOCK_END,
    JT_VARIABLE_BEGIN,
    JT_VARIABLE_END,
    JT_NAME,
    JT_STRING,
    JT_INT,
    JT_FLOAT,
    JT_ADD,
    JT_SUB,
    JT_MUL,
    JT_DIV,
    JT_FLOORDIV,
    JT_MOD,
    JT_POW,
    JT_TILDE,
    JT_EQ,
    JT_NE,
    JT_LT,
    JT_LE,
    JT_GT,
    JT_GE,
    JT_IN,     /* made by the parser */
    JT_NOT_IN, /* made by the parser */
    JT_ASSIGN,
    JT_DOT,
    JT_COLON,
    JT_PIPE,
    JT_COMMA,
    JT_SEMICOLON,
    JT_LPAREN,
    JT_RPAREN,
    JT_LBRACKET,
    JT_RBRACKET,
    JT_LBRACE,
    JT_RBRACE,
};

struct jtoken_at {
    enum jtoken kind;
    unsigned line;
    struct str text; /* a string's and data's: as it is meant */
};

enum jnode_kind {
    JN_LITERAL,
    JN_NAME,
    JN_LIST,
    JN_TUPLE,
    JN_DICT,      /* list: key, value, key, … */
    JN_ATTRIBUTE, /* a.name */
    JN_ITEM,      /* a[b] */
    JN_SLICE,     /* list: from, to, step, each may be NULL */
    JN_CALL,      /* a(list, keywords) */
    JN_FILTER,    /* a | name(list, keywords); a is NULL at the head of a filter block's chain */
    JN_TEST,      /* a is name(list) */
    JN_NOT,
    JN_NEGATIVE,
    JN_POSITIVE,
    JN_BINARY, /* a op b */
    JN_AND,
    JN_OR,
    JN_CONCAT,  /* list */
    JN_COMPARE, /* a, then list of JN_OPERAND */
    JN_OPERAND, /* op a */
    JN_CHOICE,  /* b if a else c (may be NULL) */

    JN_DATA,
    JN_OUTPUT,       /* list */
    JN_IF,           /* a, list, more */
    JN_FOR,          /* for a in b if c: list else more */
    JN_SET,          /* a = b */
    JN_SET_BLOCK,    /* a = list through b (may be NULL) */
    JN_MACRO,        /* name(keywords): list */
    JN_CALL_BLOCK,   /* a is the call; keywords, list are the caller's */
    JN_FILTER_BLOCK, /* list through b */
    JN_WITH,         /* keywords: list */
    JN_SECTION,      /* list */
    JN_BREAK,
    JN_CONTINUE,
};

struct jnodes {
    struct jnode **items;
    size_t count;
};

struct jkeyword {
    struct str name;
    struct jnode *value; /* NULL: a macro's argument without a default */
};

struct jnode {
    enum jnode_kind kind;
    enum jtoken op;
    unsigned line;
    bool recursive; /* for */
    struct str name;
    struct jvalue value;
    struct jnode *a, *b, *c;
    struct jnodes list, more;
    struct jkeyword *keywords;
    size_t keyword_count;
};

/* ---- One reading or rendering ---- */

/* Where text goes. Grows in the arena. */
struct jout {
    char *ptr;
    unsigned char *foreign; /* NULL: none so far */
    size_t len, cap;
};

struct jinja {
    struct arena arena;
    size_t bytes_left;
    size_t steps_left;
    unsigned depth;
    unsigned line; /* for the problem */
    bool raised;
    struct buf *problem;
    jmp_buf fail;

    /* Reading. */
    const struct jtoken_at *token;
    unsigned loops; /* around the statement at hand */

    /* Rendering. */
    const struct jinja_options *options;
    struct jscope *scope;
    struct jout whole; /* what is rendered */
    struct jout *out;  /* where text goes now */
};

void jinja_fail(struct jinja *j, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));
/* Zeroed. */
void *jinja_alloc(struct jinja *j, size_t size_bytes);
/* So much work is about to be done. */
void jinja_charge(struct jinja *j, size_t steps);
/* Around every recursion. */
void jinja_enter(struct jinja *j);
void jinja_leave(struct jinja *j);

/* ---- jinja_lex.c ---- */

/* The last one is JT_END. */
const struct jtoken_at *jinja_tokens(struct jinja *j, struct str source);
/* Bytes of the white space that the text begins (ends) with, as Python sees it; 0: none. */
size_t jinja_space_first(struct str text);
size_t jinja_space_last(struct str text);

/* ---- jinja_parse.c, jinja_block.c ---- */

struct jnode *jinja_node(struct jinja *j, enum jnode_kind kind);
void jinja_nodes_add(struct jinja *j, struct jnodes *to, struct jnode *node);
void jinja_keyword_add(struct jinja *j, struct jnode *to, struct str name, struct jnode *value);
bool jinja_skip(struct jinja *j, enum jtoken kind);
bool jinja_skip_name(struct jinja *j, const char *name);
bool jinja_at_name(const struct jinja *j, const char *name);
struct str jinja_expect(struct jinja *j, enum jtoken kind, const char *what);
struct jnode *jinja_parse_expression(struct jinja *j);
struct jnode *jinja_parse_no_choice(struct jinja *j); /* without "… if … else …" */
/* Expressions with commas between them are a tuple. */
struct jnode *jinja_parse_tuple(struct jinja *j, bool no_choice);
/* What is set: a name, an attribute of one, a tuple of names. */
struct jnode *jinja_parse_target(struct jinja *j);
/* name(…)|… */
struct jnode *jinja_parse_filters(struct jinja *j, struct jnode *input);
void jinja_parse_arguments(struct jinja *j, struct jnode *to);
/* Statements up to the end. */
struct jnodes jinja_parse_all(struct jinja *j);

/* ---- jinja_value.c ---- */

static inline struct jvalue jv_none(void)
{
    return (struct jvalue){.kind = JV_NONE};
}
static inline struct jvalue jv_bool(bool b)
{
    return (struct jvalue){.kind = JV_BOOL, .boolean = b};
}
static inline struct jvalue jv_int(int64_t i)
{
    return (struct jvalue){.kind = JV_INT, .integer = i};
}
static inline struct jvalue jv_float(double f)
{
    return (struct jvalue){.kind = JV_FLOAT, .real = f};
}
static inline struct jvalue jv_text(struct jtext t)
{
    return (struct jvalue){.kind = JV_STRING, .text = t};
}
static inline struct jvalue jv_str(struct str s)
{
    return (struct jvalue){.kind = JV_STRING, .text = {s.ptr, s.len, NULL}};
}
static inline struct jvalue jv_undefined(struct str name)
{
    return (struct jvalue){.kind = JV_UNDEFINED, .text = {name.ptr, name.len, NULL}};
}
static inline struct str jtext_str(struct jtext t)
{
    return str_of(t.ptr, t.len);
}
static inline struct jtext jtext_of(struct str s)
{
    return (struct jtext){s.ptr, s.len, NULL};
}
static inline struct jtext jtext_cut(struct jtext t, size_t at, size_t len)
{
    return (struct jtext){t.ptr + at, len, t.foreign ? t.foreign + at : NULL};
}

struct jvalue jv_list_new(struct jinja *j, enum jkind kind);
void jv_list_add(struct jinja *j, struct jlist *list, struct jvalue v);
struct jvalue jv_dict_new(struct jinja *j, enum jkind kind);
void jv_dict_set(struct jinja *j, struct jdict *dict, struct jvalue key, struct jvalue value);
/* NULL: there is none. */
struct jvalue *jv_dict_find(struct jinja *j, const struct jdict *dict, const struct jvalue *key);
struct jvalue *jv_dict_find_str(struct jinja *j, const struct jdict *dict, struct str key);
bool jv_true(const struct jvalue *v);
bool jv_equal(struct jinja *j, const struct jvalue *a, const struct jvalue *b);
/* -1, 0, 1; fails for values that have no order. */
int jv_compare(struct jinja *j, const struct jvalue *a, const struct jvalue *b);
/* Is a in b? */
bool jv_in(struct jinja *j, const struct jvalue *a, const struct jvalue *b);
bool jv_is_number(const struct jvalue *v);
double jv_real(const struct jvalue *v);
/* Python's name of the type. */
const char *jv_type(const struct jvalue *v);
/* What a for goes over. Fails for what cannot be gone over. */
struct jlist *jv_elements(struct jinja *j, const struct jvalue *v);
/* Characters, elements, members; false: it has none. */
bool jv_length(struct jinja *j, const struct jvalue *v, size_t *ret_length);
struct jvalue jv_from_json(struct jinja *j, struct str json, bool trusted);

/* ---- jinja_text.c ---- */

void jout_add(struct jinja *j, struct jout *out, struct jtext text);
void jout_str(struct jinja *j, struct jout *out, struct str text);
struct jtext jout_text(const struct jout *out);
/* Python's str(…) and repr(…). */
struct jtext jv_to_text(struct jinja *j, const struct jvalue *v);
void jv_repr(struct jinja *j, struct jout *out, const struct jvalue *v);

struct jtext_json {
    struct jtext indent;      /* of one level; */
    bool indented;            /* there is one */
    struct jtext item_mark;   /* ", " */
    struct jtext member_mark; /* ": " */
    bool ascii;
    bool sorted;
};
void jv_json(struct jinja *j, struct jout *out, const struct jvalue *v,
             const struct jtext_json *how);
/* Bytes of the first character. */
size_t jtext_character(struct jtext t);
size_t jtext_characters(struct jtext t);
/* The byte where character number n begins. */
size_t jtext_byte(struct jtext t, size_t n);

/* ---- jinja_eval.c ---- */

struct jarguments {
    struct jvalue *values;
    size_t count;
    struct jpair *keywords; /* their keys are strings */
    size_t keyword_count;
};

struct jvalue jinja_eval(struct jinja *j, const struct jnode *n);
struct jvalue jinja_attribute(struct jinja *j, const struct jvalue *of, struct str name);
struct jvalue jinja_item(struct jinja *j, const struct jvalue *of, const struct jvalue *key);
struct jvalue jinja_call(struct jinja *j, const struct jvalue *callee,
                         const struct jarguments *arguments);
/* The argument at that place or of that name; NULL: not given. */
const struct jvalue *jinja_argument(const struct jarguments *a, size_t place, const char *name);
int64_t jinja_argument_int(struct jinja *j, const struct jarguments *a, size_t place,
                           const char *name, int64_t otherwise);
struct jtext jinja_argument_text(struct jinja *j, const struct jarguments *a, size_t place,
                                 const char *name);
struct jvalue jinja_binary(struct jinja *j, enum jtoken op, const struct jvalue *a,
                           const struct jvalue *b);
struct jvalue *jinja_variable(struct jinja *j, struct str name);

/* ---- jinja_run.c ---- */

void jinja_run(struct jinja *j, const struct jnodes *nodes);
void jinja_scope_push(struct jinja *j, struct jscope *parent);
void jinja_set(struct jinja *j, const struct jnode *target, struct jvalue v);
struct jvalue jinja_macro_call(struct jinja *j, const struct jmacro *macro,
                               const struct jarguments *a, const struct jvalue *caller);
struct jvalue jinja_loop_again(struct jinja *j, const struct jloop *loop, struct jvalue over);

/* ---- jinja_filter.c, jinja_test.c, jinja_method.c ---- */

struct jvalue jinja_filter(struct jinja *j, struct str name, struct jvalue input,
                           const struct jarguments *a);
bool jinja_test(struct jinja *j, struct str name, const struct jvalue *v,
                const struct jarguments *a);
bool jinja_has_filter(struct str name);
bool jinja_has_test(struct str name);
bool jinja_has_method(const struct jvalue *of, struct str name);
struct jvalue jinja_method(struct jinja *j, const struct jvalue *self, struct str name,
                           const struct jarguments *a);
bool jinja_has_function(struct str name);
struct jvalue jinja_function(struct jinja *j, struct str name, const struct jarguments *a);
struct jtext jtext_strip(struct jtext t, const struct jtext *signs, bool left, bool right);
struct jtext jtext_case(struct jinja *j, struct jtext t, int how);
struct jtext jtext_replace(struct jinja *j, struct jtext t, struct jtext from, struct jtext to,
                           int64_t most);

#endif
