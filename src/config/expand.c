/* ${NAME}, ${NAME:-default}, ${file:PATH} in scalars; $${ is a plain ${.
 *
 * A scalar with a mistake becomes a null, so that nothing else is said about it. A variable that is
 * not set, or empty, is no mistake yet: whoever reads the scalar knows what that means there. */
#include "config/config_int.h"

#include "base/mem.h"

static const char usage[] = "write ${NAME}, ${NAME:-default} or ${file:PATH}; $${ for a plain ${";

static bool is_variable_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
        if (!letter && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return name.len > 0;
}

/* The file's first line, without its end. */
static void append_file(struct loader *l, struct node *n, struct str path, struct buf *to)
{
    BUF_AUTO struct buf bytes = {.max = CONFIG_FILE_BYTES_MAX};
    const char *name = arena_str(&l->scratch, path).ptr;
    enum err e = l->source->file(l->source->arg, name, &bytes);
    if (e != ERR_OK) {
        mistake(l, n, "%s: file '%s': %s", node_path(l, n), text_shown(l, path), err_text(e));
        n->kind = NODE_NULL;
        return;
    }
    struct str rest = buf_str(&bytes);
    struct str line = rest.len ? str_split(&rest, '\n') : rest;
    if (str_ends(line, STR("\r")))
        line.len--;
    buf_append_str(to, line);
    wipe(&bytes);
}

static void append_variable(struct loader *l, struct node *n, struct str inside, struct buf *to)
{
    ptrdiff_t at = str_find(inside, STR(":-"));
    struct str name = at < 0 ? inside : str_take(inside, (size_t)at);
    if (!is_variable_name(name)) {
        mistake(l, n, "%s: '${%s}' names no variable: %s", node_path(l, n), text_shown(l, inside),
                usage);
        n->kind = NODE_NULL;
        return;
    }
    struct str value = l->source->env(l->source->arg, arena_str(&l->scratch, name).ptr);
    if (value.len)
        buf_append_str(to, value);
    else if (at >= 0)
        buf_append_str(to, str_skip(inside, (size_t)at + 2));
    else if (!n->unset.len)
        n->unset = arena_str(&l->scratch, name);
}

void expand_scalar(struct loader *l, struct node *n)
{
    BUF_AUTO struct buf out = {.max = CONFIG_VALUE_BYTES_MAX};
    struct str rest = n->text;
    ptrdiff_t at;
    if (str_find(rest, STR("${")) < 0)
        return;
    n->plain = false;
    while ((at = str_find(rest, STR("${"))) >= 0) {
        struct str inside = str_skip(rest, (size_t)at + 2);
        if (at > 0 && rest.ptr[at - 1] == '$') {
            buf_append(&out, rest.ptr, (size_t)at - 1);
            buf_append_str(&out, STR("${"));
            rest = inside;
            continue;
        }
        buf_append(&out, rest.ptr, (size_t)at);
        ptrdiff_t close = str_index(inside, '}');
        if (close < 0) {
            mistake(l, n, "%s: '${' without its '}': %s", node_path(l, n), usage);
            n->kind = NODE_NULL;
            return;
        }
        rest = str_skip(inside, (size_t)close + 1);
        inside = str_take(inside, (size_t)close);
        if (str_starts(inside, STR("file:")))
            append_file(l, n, str_skip(inside, 5), &out);
        else
            append_variable(l, n, inside, &out);
    }
    buf_append_str(&out, rest);
    if (out.error != ERR_OK) {
        mistake(l, n, "%s: longer than 64 KiB once its variables are replaced", node_path(l, n));
        n->kind = NODE_NULL;
    }
    n->text = arena_str(&l->scratch, buf_str(&out));
    wipe(&out);
}
