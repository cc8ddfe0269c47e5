#include "text/jinja.h"

#include "base/mem.h"
#include "codec/utf8.h"
#include "text/jinja_int.h"

struct jinja_template {
    struct arena arena; /* everything that the nodes hold */
    struct jnodes nodes;
    size_t source_bytes;
};

/* ---- Limits ---- */

void jinja_fail(struct jinja *j, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!j->raised)
        buf_printf(j->problem, "line %u: ", j->line);
    buf_vprintf(j->problem, format, args);
    va_end(args);
    longjmp(j->fail, 1);
}

void *jinja_alloc(struct jinja *j, size_t size_bytes)
{
    if (size_bytes > j->bytes_left)
        jinja_fail(j, "the template takes too much memory");
    j->bytes_left -= size_bytes;
    return arena_alloc(&j->arena, size_bytes);
}

void jinja_charge(struct jinja *j, size_t steps)
{
    if (steps > j->steps_left)
        jinja_fail(j, "the template takes more than %d steps", JINJA_STEPS_MAX);
    j->steps_left -= steps;
}

void jinja_enter(struct jinja *j)
{
    if (++j->depth > JINJA_DEPTH_MAX)
        jinja_fail(j, "the template nests deeper than %d levels", JINJA_DEPTH_MAX);
}

void jinja_leave(struct jinja *j)
{
    j->depth--;
}

static void begin(struct jinja *j, size_t bytes, struct buf *problem)
{
    *j = (struct jinja){.bytes_left = bytes, .steps_left = JINJA_STEPS_MAX, .problem = problem};
    arena_init(&j->arena);
}

/* ---- Reading ---- */

enum err jinja_parse(struct str source, struct buf *problem, struct jinja_template **ret_template)
{
    if (source.len > JINJA_SOURCE_BYTES_MAX) {
        buf_printf(problem, "the template has %zu bytes; at most %d are read", source.len,
                   JINJA_SOURCE_BYTES_MAX);
        return ERR_INVALID;
    }
    if (!utf8_valid(source)) {
        buf_append_str(problem, STR("the template is not valid UTF-8"));
        return ERR_INVALID;
    }
    struct jinja *j = NEW(struct jinja);
    begin(j, JINJA_MEMORY_BYTES_MAX, problem);
    if (setjmp(j->fail)) {
        arena_release(&j->arena);
        mem_free(j);
        return ERR_INVALID;
    }
    j->token = jinja_tokens(j, source);
    j->line = 1;
    struct jnodes nodes = jinja_parse_all(j);
    struct jinja_template *t = NEW(struct jinja_template);
    *t = (struct jinja_template){j->arena, nodes, source.len};
    mem_free(j);
    *ret_template = t;
    return ERR_OK;
}

void jinja_free(struct jinja_template *t)
{
    if (!t)
        return;
    arena_release(&t->arena);
    mem_free(t);
}

/* ---- Rendering ---- */

void jinja_output_init(struct jinja_output *out, size_t text_bytes_max)
{
    buf_init(&out->text, text_bytes_max);
    buf_init(&out->foreign, text_bytes_max * sizeof(struct jinja_span));
}

void jinja_output_release(struct jinja_output *out)
{
    buf_release(&out->text);
    buf_release(&out->foreign);
}

static void add_spans(const struct jout *from, struct jinja_output *out)
{
    for (size_t i = 0; from->foreign && i < from->len;) {
        size_t at = i;
        while (i < from->len && from->foreign[i])
            i++;
        struct jinja_span span = {at, i - at};
        if (span.len)
            buf_append(&out->foreign, &span, sizeof span);
        i += i < from->len;
    }
}

static void set_inputs(struct jinja *j)
{
    const struct jinja_options *o = j->options;
    for (size_t i = 0; i < o->input_count; i++)
        jv_dict_set(j, &j->scope->variables, jv_str(o->inputs[i].name),
                    jv_from_json(j, o->inputs[i].json, o->inputs[i].trusted));
}

static void render(struct jinja *j, const struct jinja_template *t, struct jinja_output *out)
{
    j->out = &j->whole;
    jinja_scope_push(j, NULL);
    set_inputs(j);
    jinja_scope_push(j, j->scope); /* what the template sets does not touch its inputs */
    jinja_run(j, &t->nodes);
    buf_append_str(&out->text, jtext_str(jout_text(&j->whole)));
    add_spans(&j->whole, out);
    if (out->text.error != ERR_OK || out->foreign.error != ERR_OK)
        jinja_fail(j, "the template writes more than %zu bytes", out->text.max);
}

enum err jinja_render(const struct jinja_template *t, const struct jinja_options *options,
                      struct jinja_output *out, struct buf *problem, bool *ret_raised)
{
    size_t bytes = JINJA_MEMORY_BYTES_MAX;
    for (size_t i = 0; i < options->input_count; i++)
        bytes += options->inputs[i].json.len * 16;
    struct jinja *j = NEW(struct jinja);
    begin(j, bytes, problem);
    j->options = options;
    bool failed = setjmp(j->fail) != 0;
    if (!failed)
        render(j, t, out);
    else if (ret_raised)
        *ret_raised = j->raised;
    arena_release(&j->arena);
    mem_free(j);
    return failed ? ERR_INVALID : ERR_OK;
}
