/* Jinja templates, as models' files carry them for chats: read, and rendered with JSON.
 *
 *   source ──lexer──> tokens ──parser──> nodes ──(with values from JSON)──evaluator──> text
 *
 * What is kept is the language of Jinja 3.1 as Hugging Face's transformers set it up, to the byte
 * (trim_blocks, lstrip_blocks, loop controls, generation blocks, their tojson, raise_exception,
 * strftime_now, an immutable sandbox): expressions, filters, tests, methods of strings and dicts,
 * for, if, set, macro, call, filter, with. There are no includes, imports and inheritance; letters
 * beyond ASCII keep their case. Time is UTC.
 *
 * 1. A template is hostile: its size, nesting, steps, memory and output have limits, none of which
 *    an honest one comes near. At a limit, as at any mistake, the problem says so and where.
 * 2. Foreign text: whatever the template does with the strings of inputs that are not trusted, the
 *    output knows which of its bytes came from them.
 * 3. Pure but for memory; any thread. A template can be rendered any number of times, one at a
 *    time. */
#ifndef WEIR_TEXT_JINJA_H
#define WEIR_TEXT_JINJA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum {
    JINJA_SOURCE_BYTES_MAX = 1 << 20,
    JINJA_DEPTH_MAX = 600,      /* of nodes in nodes, calls in calls, values in values */
    JINJA_STEPS_MAX = 20000000, /* of one rendering: nodes, elements, 64 bytes of text */
    JINJA_KEYWORDS_MAX = 64,    /* of one call or macro */
};
/* What one reading or rendering may take; a rendering besides 16 times its inputs. */
#define JINJA_MEMORY_BYTES_MAX ((size_t)64 << 20)

struct jinja_template;

/* problem: for people, "line 3: …". ERR_INVALID: a mistake, or beyond a limit. */
MUST_CHECK enum err jinja_parse(struct str source, struct buf *problem,
                                struct jinja_template **ret_template);
/* NULL is fine. */
void jinja_free(struct jinja_template *t);

/* A variable of the template. */
struct jinja_input {
    struct str name;
    struct str json; /* valid */
    bool trusted;    /* its strings are as good as the template's own */
};

struct jinja_options {
    const struct jinja_input *inputs;
    size_t input_count;
    int64_t now_s; /* since 1970 */
};

/* A part of the output. */
struct jinja_span {
    size_t at, len;
};

struct jinja_output {
    struct buf text;
    struct buf foreign; /* of struct jinja_span, in order, none touching the next */
};

void jinja_output_init(struct jinja_output *out, size_t text_bytes_max);
void jinja_output_release(struct jinja_output *out);

/* ERR_INVALID with a problem: the template has a mistake, or refuses its inputs (raise_exception,
 * *ret_raised, if that is not NULL: the problem is then its own words alone). */
MUST_CHECK enum err jinja_render(const struct jinja_template *t,
                                 const struct jinja_options *options, struct jinja_output *out,
                                 struct buf *problem, bool *ret_raised);

#endif
