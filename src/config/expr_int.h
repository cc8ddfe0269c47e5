/* Private to config/expr*.c: the compiled form, steps of a machine with a stack. */
#ifndef WEIR_CONFIG_EXPR_INT_H
#define WEIR_CONFIG_EXPR_INT_H

#include "config/expr.h"

enum expr_op {
    EXPR_CONSTANT,
    EXPR_MODEL,
    EXPR_ENDPOINT,
    EXPR_KEY,
    EXPR_USER,
    EXPR_TOKENS,
    EXPR_STREAM,
    EXPR_METADATA, /* the member named by the step's text */
    /* One operand. */
    EXPR_NOT,
    /* Two. */
    EXPR_EQ,
    EXPR_NE,
    EXPR_LT,
    EXPR_LE,
    EXPR_GT,
    EXPR_GE,
    EXPR_GLOB,
    EXPR_AND,
    EXPR_OR,
    /* A value, and then `count` more. */
    EXPR_IN,
};

enum expr_kind { EXPR_NULL, EXPR_BOOL, EXPR_NUMBER, EXPR_TEXT, EXPR_OTHER };

struct expr_value {
    enum expr_kind kind;
    bool truth;
    double number;
    struct str text; /* of a number from metadata: as it is written there */
};

struct expr_step {
    enum expr_op op;
    unsigned count;
    struct str name;
    struct expr_value value;
};

struct expr {
    size_t count;
    size_t stack; /* the most values at once */
    struct expr_step steps[];
};

#endif
