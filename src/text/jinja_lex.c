#include "text/jinja_int.h"

/* ---- White space, as Python's str has it ---- */

size_t jinja_space_first(struct str text)
{
    if (text.len == 0)
        return 0;
    unsigned char a = (unsigned char)text.ptr[0];
    if ((a >= 9 && a <= 13) || (a >= 28 && a <= 32))
        return 1;
    unsigned char b = text.len > 1 ? (unsigned char)text.ptr[1] : 0;
    if (a == 0xC2 && (b == 0x85 || b == 0xA0))
        return 2;
    if (text.len < 3 || a < 0xE1 || a > 0xE3)
        return 0;
    unsigned char c = (unsigned char)text.ptr[2];
    bool is = (a == 0xE1 && b == 0x9A && c == 0x80) || (a == 0xE2 && b == 0x80 && c <= 0x8A) ||
              (a == 0xE2 && b == 0x80 && (c == 0xA8 || c == 0xA9 || c == 0xAF)) ||
              (a == 0xE2 && b == 0x81 && c == 0x9F) || (a == 0xE3 && b == 0x80 && c == 0x80);
    return is ? 3 : 0;
}

size_t jinja_space_last(struct str text)
{
    for (size_t n = 1; n <= 3 && n <= text.len; n++)
        if (jinja_space_first(str_skip(text, text.len - n)) == n)
            return n;
    return 0;
}

/* ---- The lexer ---- */

struct lexer {
    struct jinja *j;
    struct str source; /* with \n alone at the ends of lines */
    size_t at;
    struct jtoken_at *tokens;
    size_t count, room;
    bool line_starts;
};

static struct str rest_of(const struct lexer *l)
{
    return str_skip(l->source, l->at);
}

static void advance(struct lexer *l, size_t n)
{
    for (size_t i = l->at; i < l->at + n; i++)
        l->j->line += l->source.ptr[i] == '\n';
    l->at += n;
}

static void add(struct lexer *l, enum jtoken kind, struct str text)
{
    if (l->count == l->room) {
        size_t room = l->room ? l->room * 2 : 256;
        struct jtoken_at *grown = jinja_alloc(l->j, room * sizeof *grown);
        if (l->count)
            memcpy(grown, l->tokens, l->count * sizeof *grown);
        l->tokens = grown;
        l->room = room;
    }
    l->tokens[l->count++] = (struct jtoken_at){kind, l->j->line, text};
}

static void skip_spaces(struct lexer *l)
{
    for (size_t n; (n = jinja_space_first(rest_of(l))) > 0;)
        advance(l, n);
}

/* Text before a tag: a '-' in the tag takes all white space before it, lstrip_blocks that of a line
 * which has nothing else. */
static struct str before_tag(const struct lexer *l, struct str text, char sign, bool variable)
{
    if (sign == '-') {
        for (size_t n; (n = jinja_space_last(text)) > 0;)
            text.len -= n;
        return text;
    }
    if (sign == '+' || variable)
        return text;
    size_t line = text.len;
    while (line > 0 && text.ptr[line - 1] != '\n')
        line--;
    if (line == 0 && !l->line_starts)
        return text;
    for (size_t at = line, n; at < text.len; at += n)
        if ((n = jinja_space_first(str_skip(text, at))) == 0)
            return text;
    text.len = line;
    return text;
}

static void add_data(struct lexer *l, struct str text)
{
    if (text.len)
        add(l, JT_DATA, text);
}

/* "%}" and the like with its sign, and the white space that goes with it. False: not here. */
static bool tag_ends(struct lexer *l, const char *mark, bool plus, bool trims)
{
    struct str rest = rest_of(l), end = str_from_c(mark);
    char sign = rest.len ? rest.ptr[0] : 0;
    bool has_sign = sign == '-' || (plus && sign == '+');
    if (!str_starts(has_sign ? str_skip(rest, 1) : rest, end))
        return false;
    advance(l, end.len + has_sign);
    if (has_sign && sign == '-')
        skip_spaces(l);
    else if (!has_sign && trims && str_starts(rest_of(l), STR("\n")))
        advance(l, 1);
    return true;
}

/* ---- Strings, numbers, operators ---- */

static void add_utf8(struct jinja *j, char *to, size_t *len, unsigned code)
{
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000) || code == 0)
        jinja_fail(j, "a string has an escape that is no character");
    if (code < 0x80) {
        to[(*len)++] = (char)code;
        return;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
    to[(*len)++] = (char)(lead[more] | code >> 6 * more);
    while (more-- > 0)
        to[(*len)++] = (char)(0x80 | ((code >> 6 * more) & 0x3F));
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 32) >= 'a' && (c | 32) <= 'f')
        return (c | 32) - 'a' + 10;
    return -1;
}

/* After the backslash; what it took of the source. */
static size_t unescape(struct jinja *j, struct str s, char *to, size_t *len)
{
    static const char plain[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    char c = s.ptr[0];
    if (c == '\n')
        return 1;
    for (size_t i = 0; i + 1 < sizeof plain; i += 2)
        if (plain[i] == c)
            return to[(*len)++] = plain[i + 1], 1;
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0 && (c < '0' || c > '7')) {
        to[(*len)++] = '\\'; /* an unknown one stays */
        return 0;
    }
    unsigned code = 0;
    if (digits == 0) {
        size_t n = 0;
        while (n < 3 && n < s.len && s.ptr[n] >= '0' && s.ptr[n] <= '7')
            code = code * 8 + (unsigned)(s.ptr[n++] - '0');
        add_utf8(j, to, len, code);
        return n;
    }
    for (size_t i = 1; i <= digits; i++) {
        int digit = i < s.len ? hex_digit(s.ptr[i]) : -1;
        if (digit < 0)
            jinja_fail(j, "a string has an escape with too few digits");
        code = code << 4 | (unsigned)digit;
    }
    add_utf8(j, to, len, code);
    return digits + 1;
}

static void lex_string(struct lexer *l)
{
    struct str rest = rest_of(l);
    size_t end = 1;
    while (end < rest.len && rest.ptr[end] != rest.ptr[0])
        end += rest.ptr[end] == '\\' ? 2 : 1;
    if (end >= rest.len)
        jinja_fail(l->j, "a string has no end");
    struct str inside = str_of(rest.ptr + 1, end - 1);
    if (memchr(inside.ptr, '\\', inside.len)) {
        char *text = jinja_alloc(l->j, inside.len + 1);
        size_t len = 0;
        for (size_t i = 0; i < inside.len;) {
            if (inside.ptr[i] == '\\')
                i += 1 + unescape(l->j, str_skip(inside, i + 1), text, &len);
            else
                text[len++] = inside.ptr[i++];
        }
        inside = str_of(text, len);
    }
    add(l, JT_STRING, inside);
    advance(l, end + 1);
}

static bool is_digit(struct str s, size_t i)
{
    return i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9';
}

static size_t digits_of(struct str s, size_t at)
{
    size_t n = at;
    while (is_digit(s, n) || (n > at && n < s.len && s.ptr[n] == '_' && is_digit(s, n + 1)))
        n++;
    return n;
}

static void lex_number(struct lexer *l)
{
    struct str rest = rest_of(l);
    size_t end = digits_of(rest, 0);
    enum jtoken kind = JT_INT;
    if (end < rest.len && rest.ptr[end] == '.' && is_digit(rest, end + 1)) {
        end = digits_of(rest, end + 1);
        kind = JT_FLOAT;
    }
    if (end < rest.len && (rest.ptr[end] | 32) == 'e') {
        size_t sign = end + 1 < rest.len && (rest.ptr[end + 1] == '-' || rest.ptr[end + 1] == '+');
        if (is_digit(rest, end + 1 + sign)) {
            end = digits_of(rest, end + 1 + sign);
            kind = JT_FLOAT;
        }
    }
    char *text = jinja_alloc(l->j, end + 1);
    size_t len = 0;
    for (size_t i = 0; i < end; i++)
        if (rest.ptr[i] != '_')
            text[len++] = rest.ptr[i];
    add(l, kind, str_of(text, len));
    advance(l, end);
}

static bool is_name(char c, bool first)
{
    unsigned char u = (unsigned char)c;
    bool letter = (u | 32) >= 'a' && (u | 32) <= 'z';
    return letter || u == '_' || u >= 0x80 || (!first && u >= '0' && u <= '9');
}

static const struct {
    struct str text;
    enum jtoken kind;
} operators[] = {
    {STR_INIT("//"), JT_FLOORDIV}, {STR_INIT("**"), JT_POW},      {STR_INIT("=="), JT_EQ},
    {STR_INIT("!="), JT_NE},       {STR_INIT(">="), JT_GE},       {STR_INIT("<="), JT_LE},
    {STR_INIT("+"), JT_ADD},       {STR_INIT("-"), JT_SUB},       {STR_INIT("/"), JT_DIV},
    {STR_INIT("*"), JT_MUL},       {STR_INIT("%"), JT_MOD},       {STR_INIT("~"), JT_TILDE},
    {STR_INIT("["), JT_LBRACKET},  {STR_INIT("]"), JT_RBRACKET},  {STR_INIT("("), JT_LPAREN},
    {STR_INIT(")"), JT_RPAREN},    {STR_INIT("{"), JT_LBRACE},    {STR_INIT("}"), JT_RBRACE},
    {STR_INIT(">"), JT_GT},        {STR_INIT("<"), JT_LT},        {STR_INIT("="), JT_ASSIGN},
    {STR_INIT("."), JT_DOT},       {STR_INIT(":"), JT_COLON},     {STR_INIT("|"), JT_PIPE},
    {STR_INIT(","), JT_COMMA},     {STR_INIT(";"), JT_SEMICOLON},
};

/* How it changes the number of open brackets. */
static int lex_operator(struct lexer *l)
{
    struct str rest = rest_of(l);
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (!str_starts(rest, operators[i].text))
            continue;
        enum jtoken kind = operators[i].kind;
        add(l, kind, operators[i].text);
        advance(l, operators[i].text.len);
        return kind == JT_LPAREN || kind == JT_LBRACKET || kind == JT_LBRACE   ? 1
               : kind == JT_RPAREN || kind == JT_RBRACKET || kind == JT_RBRACE ? -1
                                                                               : 0;
    }
    jinja_fail(l->j, "unexpected character '%.1s'", rest.ptr);
}

/* ---- Tags ---- */

/* Tokens up to the tag's end, which is looked for outside of brackets only. */
static void lex_inside(struct lexer *l, bool variable)
{
    int open = 0;
    for (;;) {
        skip_spaces(l);
        struct str rest = rest_of(l);
        if (rest.len == 0)
            jinja_fail(l->j, "a tag has no end");
        if (open == 0 && tag_ends(l, variable ? "}}" : "%}", !variable, !variable)) {
            add(l, variable ? JT_VARIABLE_END : JT_BLOCK_END, STR_NONE);
            return;
        }
        char c = rest.ptr[0];
        size_t n = 0;
        if (c == '"' || c == '\'') {
            lex_string(l);
        } else if (is_name(c, true)) {
            while (n < rest.len && is_name(rest.ptr[n], n == 0))
                n++;
            add(l, JT_NAME, str_take(rest, n));
            advance(l, n);
        } else if (c >= '0' && c <= '9') {
            lex_number(l);
        } else {
            open += lex_operator(l);
            if (open < 0)
                jinja_fail(l->j, "a bracket closes that was not opened");
        }
    }
}

static void lex_comment(struct lexer *l)
{
    while (l->at < l->source.len) {
        if (tag_ends(l, "#}", true, true))
            return;
        advance(l, 1);
    }
    jinja_fail(l->j, "a comment has no end");
}

/* Is this "{% raw %}" (or endraw)? *ret_after: what it takes up to its closing mark. */
static bool is_block_named(struct str rest, const char *name, size_t *ret_after)
{
    size_t at = 2, len = strlen(name);
    if (!str_starts(rest, STR("{%")))
        return false;
    if (at < rest.len && (rest.ptr[at] == '-' || rest.ptr[at] == '+'))
        at++;
    for (size_t n; (n = jinja_space_first(str_skip(rest, at))) > 0;)
        at += n;
    if (!str_starts(str_skip(rest, at), str_of(name, len)))
        return false;
    at += len;
    for (size_t n; (n = jinja_space_first(str_skip(rest, at))) > 0;)
        at += n;
    struct str end = str_skip(rest, at);
    *ret_after = at;
    return str_starts(end, STR("%}")) || str_starts(end, STR("-%}")) || str_starts(end, STR("+%}"));
}

/* Behind the raw tag: all is data up to its end tag. */
static void lex_raw(struct lexer *l)
{
    size_t from = l->at, after;
    while (l->at < l->source.len && !is_block_named(rest_of(l), "endraw", &after))
        advance(l, 1);
    if (l->at == l->source.len)
        jinja_fail(l->j, "raw has no end");
    char sign = l->source.ptr[l->at + 2];
    struct str text = str_of(l->source.ptr + from, l->at - from);
    add_data(l, before_tag(l, text, sign, false));
    advance(l, after);
    tag_ends(l, "%}", true, true);
}

/* At "{{", "{%" or "{#". */
static void lex_tag(struct lexer *l, struct str text)
{
    struct str rest = rest_of(l);
    size_t after;
    char kind = rest.ptr[1], sign = rest.len > 2 ? rest.ptr[2] : 0;
    bool raw = is_block_named(rest, "raw", &after);
    add_data(l, before_tag(l, text, sign, kind == '{'));
    if (raw) {
        advance(l, after);
        tag_ends(l, "%}", false, false);
        l->line_starts = l->at > 0 && l->source.ptr[l->at - 1] == '\n';
        lex_raw(l);
        return;
    }
    advance(l, 2u + (sign == '-' || sign == '+'));
    if (kind == '#') {
        lex_comment(l);
        return;
    }
    add(l, kind == '{' ? JT_VARIABLE_BEGIN : JT_BLOCK_BEGIN, STR_NONE);
    lex_inside(l, kind == '{');
}

static size_t next_tag(struct str rest)
{
    for (size_t i = 0; i + 1 < rest.len; i++)
        if (rest.ptr[i] == '{' &&
            (rest.ptr[i + 1] == '{' || rest.ptr[i + 1] == '%' || rest.ptr[i + 1] == '#'))
            return i;
    return rest.len;
}

/* \r\n and \r become \n; one \n at the end is none of the template. */
static struct str normalised(struct jinja *j, struct str source)
{
    char *text = jinja_alloc(j, source.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < source.len; i++) {
        bool pair = source.ptr[i] == '\r' && i + 1 < source.len && source.ptr[i + 1] == '\n';
        if (!pair)
            text[len++] = source.ptr[i] == '\r' ? '\n' : source.ptr[i];
    }
    return str_of(text, len - (len > 0 && text[len - 1] == '\n'));
}

const struct jtoken_at *jinja_tokens(struct jinja *j, struct str source)
{
    struct lexer l = {.j = j, .source = normalised(j, source), .line_starts = true};
    j->line = 1;
    while (l.at < l.source.len) {
        struct str rest = rest_of(&l);
        size_t n = next_tag(rest);
        advance(&l, n);
        if (n == rest.len)
            add_data(&l, rest);
        else
            lex_tag(&l, str_take(rest, n));
        l.line_starts = l.source.ptr[l.at - 1] == '\n';
    }
    add(&l, JT_END, STR_NONE);
    return l.tokens;
}
