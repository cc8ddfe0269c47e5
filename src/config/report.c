#include "config/config_int.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    MESSAGE_BYTES_MAX = 1024,
    SHOWN_BYTES_MAX = 60,
    REPORT_BYTES_MAX = 2 * CONFIG_MISTAKES_MAX * MESSAGE_BYTES_MAX,
    NEAR_DISTANCE = 2
};

void config_report_init(struct config_report *r)
{
    *r = (struct config_report){0};
    buf_init(&r->mistakes, REPORT_BYTES_MAX);
    buf_init(&r->warnings, REPORT_BYTES_MAX);
}

void config_report_release(struct config_report *r)
{
    buf_release(&r->mistakes);
    buf_release(&r->warnings);
}

__attribute__((format(printf, 5, 0))) static void add(struct loader *l, bool is_warning,
                                                      unsigned line, unsigned column,
                                                      const char *format, va_list args)
{
    unsigned *count = is_warning ? &l->warnings : &l->mistakes;
    if ((*count)++ >= CONFIG_MISTAKES_MAX)
        return;
    char text[MESSAGE_BYTES_MAX];
    int len = vsnprintf(text, sizeof text, format, args);
    ASSERT(len >= 0 && l->finding_count < FINDINGS_MAX);
    l->findings[l->finding_count] =
        (struct finding){.warning = is_warning,
                         .line = line,
                         .column = column,
                         .order = (unsigned)l->finding_count,
                         .text = arena_str(&l->scratch, str_from_c(text)).ptr};
    l->finding_count++;
}

void mistake_at(struct loader *l, unsigned line, unsigned column, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(l, false, line, column, format, args);
    va_end(args);
}

void mistake(struct loader *l, const struct node *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(l, false, at ? at->line : 0, at ? at->column : 0, format, args);
    va_end(args);
}

void warning(struct loader *l, const struct node *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(l, true, at ? at->line : 0, at ? at->column : 0, format, args);
    va_end(args);
}

static int compare_findings(const void *left, const void *right)
{
    const struct finding *a = left;
    const struct finding *b = right;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static void write_rest(struct buf *to, unsigned count, const char *what)
{
    if (count > CONFIG_MISTAKES_MAX)
        buf_printf(to, "and %u more %s\n", count - CONFIG_MISTAKES_MAX, what);
}

void findings_write(const struct loader *l, struct config_report *report)
{
    struct finding sorted[FINDINGS_MAX];
    memcpy(sorted, l->findings, sizeof sorted);
    qsort(sorted, l->finding_count, sizeof sorted[0], compare_findings);
    for (size_t i = 0; i < l->finding_count; i++) {
        const struct finding *f = &sorted[i];
        struct buf *to = f->warning ? &report->warnings : &report->mistakes;
        if (f->line)
            buf_printf(to, "%.*s:%u:%u: ", STR_ARG(l->file), f->line, f->column);
        buf_printf(to, "%s%s\n", f->warning ? "warning: " : "", f->text);
    }
    write_rest(&report->mistakes, l->mistakes, "mistakes");
    write_rest(&report->warnings, l->warnings, "warnings");
    report->mistake_count += l->mistakes;
    report->warning_count += l->warnings;
}

/* ---- Showing ---- */

const char *text_shown(struct loader *l, struct str text)
{
    size_t len = text.len;
    if (len > SHOWN_BYTES_MAX) {
        len = SHOWN_BYTES_MAX;
        while (len && ((unsigned char)text.ptr[len] & 0xc0) == 0x80) /* not inside a character */
            len--;
    }
    char *shown = arena_alloc(&l->scratch, len + sizeof "…");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        shown[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    if (len < text.len)
        memcpy(shown + len, "…", sizeof "…");
    return shown;
}

const char *node_shown(struct loader *l, const struct node *n)
{
    return text_shown(l, n->shown);
}

const char *part_shown(struct loader *l, const struct node *n, struct str part)
{
    return n->text.ptr == n->shown.ptr ? text_shown(l, part) : node_shown(l, n);
}

static void append_path(struct loader *l, const struct node *n, struct buf *path)
{
    if (!n->parent)
        return;
    append_path(l, n->parent, path); /* CONFIG_DEPTH_MAX deep at most */
    if (n->key)
        buf_printf(path, "%s%s", path->len ? "." : "", text_shown(l, n->key->text));
    else
        buf_printf(path, "[%zu]", n->position);
}

const char *node_path(struct loader *l, const struct node *n)
{
    BUF_AUTO struct buf path = {.max = MESSAGE_BYTES_MAX};
    append_path(l, n, &path);
    return arena_str(&l->scratch, buf_str(&path)).ptr;
}

/* ---- Suggestions ---- */

struct suggestion suggestion_for(struct str name)
{
    /* A short name is near to everything: its distance must stay below its length. */
    unsigned near = name.len <= NEAR_DISTANCE ? (unsigned)name.len : NEAR_DISTANCE + 1;
    return (struct suggestion){.name = name, .best = STR_NONE, .distance = near};
}

void suggestion_offer(struct suggestion *s, struct str candidate)
{
    unsigned distance = str_distance(s->name, candidate);
    if (distance < s->distance) {
        s->distance = distance;
        s->best = candidate;
    }
}
