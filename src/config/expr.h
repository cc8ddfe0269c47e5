/* Conditions on a call: `tokens > 8000 && metadata.tier == 'gold'`, read once when the
 * configuration is loaded, evaluated for every call.
 *
 *   or   = and { "||" and }
 *   and  = not { "&&" not }
 *   not  = "!" not | test
 *   test = value [ ("==" | "!=" | "<" | "<=" | ">" | ">=") value | "~" text | "in" "[" constant {
 * "," constant } "]" ] value = "(" or ")" | constant | field constant = number | 'text' | "text" |
 * true | false | null         \' \" \\ inside a text field = model | endpoint | key | user | tokens
 * | stream | metadata.NAME | metadata['NAME']
 *
 * 1. Evaluation is total: it always ends, in time linear in the expression and the metadata, with
 *    true or false. What is absent is null: equal to null only, not less or more than anything.
 * 2. Metadata has JSON's kinds; beside a number, a text that is a number counts as one, and beside
 *    true or false the texts "true" and "false" do, because OpenAI's metadata holds texts only.
 * 3. `~` compares with a pattern: * is any text, ? any one byte.
 *
 * Pure; an expression is immutable: any thread. */
#ifndef WEIR_CONFIG_EXPR_H
#define WEIR_CONFIG_EXPR_H

#include "base/arena.h"
#include "codec/json_scan.h"

enum {
    EXPR_BYTES_MAX = 4096,
    EXPR_STEPS_MAX = 512, /* operands and operators */
    EXPR_DEPTH_MAX = 32,  /* of parentheses and ! */
};

struct expr;

/* What an expression may ask about. */
struct expr_facts {
    struct str model;
    struct str endpoint;
    struct str key;             /* the key's name */
    struct str user;            /* empty: absent */
    int64_t tokens;             /* the prompt's estimate */
    struct json_value metadata; /* an object, or anything else: then it has no members */
    bool stream;
};

struct expr_mistake {
    size_t at;        /* byte offset in the text */
    const char *what; /* a sentence for people, in the arena */
};

/* Everything goes into the arena. ERR_INVALID with *ret_mistake. */
MUST_CHECK enum err expr_parse(struct str text, struct arena *a, struct expr **ret_expr,
                               struct expr_mistake *ret_mistake);
/* scratch: for metadata that has to be unescaped. */
bool expr_holds(const struct expr *e, const struct expr_facts *facts, struct arena *scratch);

/* Does text match a pattern of * and ?. */
bool expr_glob(struct str pattern, struct str text);

#endif
