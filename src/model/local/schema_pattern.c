/* Regular expressions as expressions of a grammar.
 *
 *   understood  ^…$ around the whole, literals, ., [classes], (groups) and (?:groups), |, * + ?
 * {m,n}, \d \w \s and their opposites outside of classes, \. and other escaped signs refused the
 * rest (look-around, back references, word borders, Unicode classes)
 *
 * A pattern may match anywhere in a string; without ^ or $ any characters stand before or after.
 * Strings stand between quotes in JSON, so '"', '\\' and control characters are written escaped,
 * and classes do without them. */
#include <string.h>

#include "model/local/schema_grammar_int.h"

enum { DEPTH_MAX = 32, REPEAT_MAX = 256 };

struct scan {
    struct str rest;
    struct buf *out;
    struct buf *problem;
    unsigned depth;
};

static enum err refuse(struct scan *s, const char *what)
{
    buf_printf(s->problem, "its pattern has %s", what);
    return ERR_UNSUPPORTED;
}

static bool next_is(const struct scan *s, char c)
{
    return s->rest.len && s->rest.ptr[0] == c;
}

static enum err alternatives(struct scan *s);

/* A character as it stands inside JSON strings; in a class as it stands there. */
static enum err literal(struct scan *s, unsigned char c)
{
    if (c < 0x20)
        return refuse(s, "a control character");
    if (c == '"')
        buf_append_str(s->out, STR(" \"\\\\\\\"\""));
    else if (c == '\\')
        buf_append_str(s->out, STR(" \"\\\\\\\\\""));
    else
        buf_printf(s->out, " \"%c\"", c);
    return ERR_OK;
}

/* Of a class that a backslash names; NULL: none. */
static const char *named_class(char c)
{
    switch (c) {
    case 'd': return "0-9";
    case 'w': return "a-zA-Z0-9_";
    case 's': return " ";
    default: return NULL;
    }
}

static enum err class_char(struct scan *s, unsigned char c)
{
    if (c < 0x20 || c == '"' || c == '\\')
        return refuse(s, "a quote, a backslash or a control character in a class");
    if (c == ']' || c == '[' || c == '^' || c == '-')
        buf_printf(s->out, "\\x%02X", c);
    else
        buf_append_char(s->out, (char)c);
    return ERR_OK;
}

static enum err class_escape(struct scan *s)
{
    if (s->rest.len < 2)
        return refuse(s, "a class without an end");
    char c = s->rest.ptr[1];
    const char *named = named_class(c);
    if (named)
        buf_append_str(s->out, str_from_c(named));
    else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return refuse(s, "an escape in a class that is not \\d, \\w or \\s");
    else
        TRY(class_char(s, (unsigned char)c));
    s->rest = str_skip(s->rest, 2);
    return ERR_OK;
}

static enum err class_of_characters(struct scan *s)
{
    bool first = true;
    s->rest = str_skip(s->rest, 1);
    buf_append_str(s->out, STR(" ["));
    if (next_is(s, '^')) { /* and never what cannot stand in a JSON string */
        buf_append_str(s->out, STR("^\"\\\\\\x00-\\x1F\\x7F"));
        s->rest = str_skip(s->rest, 1);
    }
    for (; !next_is(s, ']'); first = false) {
        if (s->rest.len == 0)
            return refuse(s, "a class without an end");
        if (next_is(s, '\\')) {
            TRY(class_escape(s));
            continue;
        }
        /* A range's minus stands between two characters. */
        bool range = next_is(s, '-') && !first && s->rest.len > 1 && s->rest.ptr[1] != ']';
        if (range)
            buf_append_char(s->out, '-');
        else
            TRY(class_char(s, (unsigned char)s->rest.ptr[0]));
        s->rest = str_skip(s->rest, 1);
    }
    if (first)
        return refuse(s, "an empty class");
    buf_append_char(s->out, ']');
    s->rest = str_skip(s->rest, 1);
    return ERR_OK;
}

static enum err escape(struct scan *s)
{
    if (s->rest.len < 2)
        return refuse(s, "a backslash at its end");
    char c = s->rest.ptr[1];
    s->rest = str_skip(s->rest, 2);
    const char *named = named_class(c);
    if (named)
        buf_printf(s->out, " [%s]", named);
    else if (c == 'D' || c == 'W' || c == 'S')
        buf_printf(s->out, " [^%s\"\\\\\\x00-\\x1F\\x7F]", named_class((char)(c + 32)));
    else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return refuse(s, "an escape that is not understood");
    else
        return literal(s, (unsigned char)c);
    return ERR_OK;
}

static enum err group(struct scan *s)
{
    s->rest = str_skip(s->rest, 1);
    if (str_starts(s->rest, STR("?:")))
        s->rest = str_skip(s->rest, 2);
    else if (next_is(s, '?'))
        return refuse(s, "a group that looks around or has a name");
    buf_append_str(s->out, STR(" ("));
    TRY(alternatives(s));
    if (!next_is(s, ')'))
        return refuse(s, "a group without an end");
    s->rest = str_skip(s->rest, 1);
    buf_append_str(s->out, STR(")"));
    return ERR_OK;
}

static bool take_number(struct scan *s, unsigned *number)
{
    size_t n = 0;
    *number = 0;
    for (; n < s->rest.len && n < 5 && s->rest.ptr[n] >= '0' && s->rest.ptr[n] <= '9'; n++)
        *number = *number * 10 + (unsigned)(s->rest.ptr[n] - '0');
    s->rest = str_skip(s->rest, n);
    return n > 0;
}

static enum err counted(struct scan *s)
{
    unsigned min, max = 0;
    s->rest = str_skip(s->rest, 1);
    if (!take_number(s, &min))
        return refuse(s, "a brace that counts nothing");
    bool comma = next_is(s, ',');
    if (comma)
        s->rest = str_skip(s->rest, 1);
    bool open = comma && !take_number(s, &max);
    if (!next_is(s, '}'))
        return refuse(s, "a brace that counts nothing");
    s->rest = str_skip(s->rest, 1);
    if (min > REPEAT_MAX || max > REPEAT_MAX || (comma && !open && max < min))
        return refuse(s, "a repetition above 256, or one that goes down");
    if (!comma)
        buf_printf(s->out, "{%u}", min);
    else if (open)
        buf_printf(s->out, "{%u,}", min);
    else
        buf_printf(s->out, "{%u,%u}", min, max);
    return ERR_OK;
}

static enum err repetition(struct scan *s)
{
    if (next_is(s, '{'))
        TRY(counted(s));
    else if (next_is(s, '*') || next_is(s, '+') || next_is(s, '?')) {
        buf_append_char(s->out, s->rest.ptr[0]);
        s->rest = str_skip(s->rest, 1);
    } else
        return ERR_OK;
    if (next_is(s, '?')) /* lazy: matches the same strings */
        s->rest = str_skip(s->rest, 1);
    if (next_is(s, '*') || next_is(s, '+') || next_is(s, '{'))
        return refuse(s, "a repetition of a repetition");
    return ERR_OK;
}

/* A whole character. */
static enum err character(struct scan *s)
{
    unsigned char c = (unsigned char)s->rest.ptr[0];
    size_t n = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    if (strchr("*+?{}]^$", c) && c)
        return refuse(s, "a sign where it means nothing");
    if (n == 1)
        TRY(literal(s, c));
    else
        schema_grammar_literal(s->out, str_take(s->rest, n));
    s->rest = str_skip(s->rest, n);
    return ERR_OK;
}

static enum err atom(struct scan *s)
{
    switch (s->rest.ptr[0]) {
    case '(': return group(s);
    case '[': return class_of_characters(s);
    case '\\': return escape(s);
    case '.':
        s->rest = str_skip(s->rest, 1);
        buf_append_str(s->out, STR(" char"));
        return ERR_OK;
    default: return character(s);
    }
}

static enum err sequence(struct scan *s)
{
    buf_append_str(s->out, STR(" \"\""));
    while (s->rest.len && !next_is(s, '|') && !next_is(s, ')')) {
        if (next_is(s, '$') && s->rest.len == 1)
            break; /* the pattern's end */
        TRY(atom(s));
        TRY(repetition(s));
    }
    return ERR_OK;
}

static enum err alternatives(struct scan *s)
{
    if (s->depth++ == DEPTH_MAX)
        return refuse(s, "groups nested too deep");
    TRY(sequence(s));
    while (next_is(s, '|')) {
        s->rest = str_skip(s->rest, 1);
        buf_append_str(s->out, STR(" |"));
        TRY(sequence(s));
    }
    s->depth--;
    return ERR_OK;
}

/* ^ and $ bind closer than |: "^a|b$" is two half-open patterns. */
static bool splits_at_top(struct str p)
{
    unsigned depth = 0;
    bool in_class = false;
    for (size_t i = 0; i < p.len; i++) {
        char c = p.ptr[i];
        if (c == '\\')
            i++;
        else if (in_class)
            in_class = c != ']';
        else if (c == '[')
            in_class = true;
        else if (c == '(')
            depth++;
        else if (c == ')' && depth)
            depth--;
        else if (c == '|' && depth == 0)
            return true;
    }
    return false;
}

enum err schema_pattern_write(struct buf *out, struct str pattern, struct buf *problem)
{
    struct scan s = {.rest = pattern, .out = out, .problem = problem};
    bool begins = next_is(&s, '^');
    bool ends = pattern.len > (size_t)begins && pattern.ptr[pattern.len - 1] == '$' &&
                (pattern.len < 2 || pattern.ptr[pattern.len - 2] != '\\');
    if ((begins || ends) && splits_at_top(pattern))
        return refuse(&s, "^ or $ beside an alternative: put the alternatives into a group");
    if (begins)
        s.rest = str_skip(s.rest, 1);
    buf_append_str(out, begins ? STR(" (") : STR(" char* ("));
    TRY(alternatives(&s));
    if (ends && next_is(&s, '$'))
        s.rest = str_skip(s.rest, 1);
    if (s.rest.len)
        return refuse(&s, "a parenthesis too many");
    buf_append_str(out, ends ? STR(")") : STR(") char*"));
    return ERR_OK;
}
