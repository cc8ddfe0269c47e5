/* Values as text: Python's str and repr, JSON as json.dumps writes it. */
#include "text/jinja_int.h"

#include <math.h>

/* ---- Where text goes ---- */

static void make_room(struct jinja *j, struct jout *out, size_t n)
{
    if (out->cap - out->len >= n)
        return;
    size_t cap = (out->cap + n) * 2 + 32;
    char *grown = jinja_alloc(j, cap);
    if (out->len)
        memcpy(grown, out->ptr, out->len);
    if (out->foreign) {
        unsigned char *foreign = jinja_alloc(j, cap);
        memcpy(foreign, out->foreign, out->len);
        out->foreign = foreign;
    }
    out->ptr = grown;
    out->cap = cap;
}

void jout_add(struct jinja *j, struct jout *out, struct jtext text)
{
    if (text.len == 0)
        return;
    jinja_charge(j, text.len / 64);
    make_room(j, out, text.len);
    if (text.foreign && !out->foreign)
        out->foreign = jinja_alloc(j, out->cap);
    memcpy(out->ptr + out->len, text.ptr, text.len);
    if (text.foreign)
        memcpy(out->foreign + out->len, text.foreign, text.len);
    else if (out->foreign)
        memset(out->foreign + out->len, 0, text.len);
    out->len += text.len;
}

void jout_str(struct jinja *j, struct jout *out, struct str text)
{
    jout_add(j, out, jtext_of(text));
}

struct jtext jout_text(const struct jout *out)
{
    return (struct jtext){out->ptr ? out->ptr : "", out->len, out->foreign};
}

/* ---- Characters ---- */

size_t jtext_character(struct jtext t)
{
    unsigned char c = t.len ? (unsigned char)t.ptr[0] : 0;
    size_t n = c < 0xC0 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    return n < t.len ? n : t.len;
}

size_t jtext_characters(struct jtext t)
{
    size_t n = 0;
    for (size_t i = 0; i < t.len; i++)
        n += ((unsigned char)t.ptr[i] & 0xC0) != 0x80;
    return n;
}

size_t jtext_byte(struct jtext t, size_t n)
{
    size_t at = 0;
    for (; n > 0 && at < t.len; n--)
        at += jtext_character(jtext_cut(t, at, t.len - at));
    return at;
}

/* ---- Python's words for values ---- */

/* The shortest digits that read back as the same number, as Python sets them. */
static void add_float(struct jinja *j, struct jout *out, double v, bool json)
{
    char digits[40], text[80];
    if (isnan(v) || isinf(v)) {
        const char *name = isnan(v) ? (json ? "NaN" : "nan") : json ? "Infinity" : "inf";
        snprintf(text, sizeof text, "%s%s", v < 0 ? "-" : "", name);
        jout_str(j, out, str_of(text, strlen(text)));
        return;
    }
    int precision = 0;
    do
        snprintf(digits, sizeof digits, "%.*e", precision, v);
    while (strtod(digits, NULL) != v && ++precision < 17);
    int exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16) {
        char *e = strchr(digits, 'e');
        snprintf(text, sizeof text, "%.*se%c%02d", (int)(e - digits), digits,
                 exponent < 0 ? '-' : '+', abs(exponent));
    } else {
        int decimals = precision - exponent;
        snprintf(text, sizeof text, "%.*f", decimals > 0 ? decimals : 1, v);
    }
    jout_str(j, out, str_of(text, strlen(text)));
}

static void add_repr(struct jinja *j, struct jout *out, struct jtext t)
{
    struct str s = jtext_str(t);
    char quote = str_index(s, '\'') >= 0 && str_index(s, '"') < 0 ? '"' : '\'';
    jout_str(j, out, str_of(&quote, 1));
    size_t from = 0;
    for (size_t i = 0; i <= t.len; i++) {
        unsigned char c = i < t.len ? (unsigned char)t.ptr[i] : 0;
        bool plain = i < t.len && c >= 32 && c != 127 && c != '\\' && c != (unsigned char)quote;
        if (plain)
            continue;
        jout_add(j, out, jtext_cut(t, from, i - from));
        from = i + 1;
        if (i == t.len)
            break;
        char text[8];
        if (c == '\\' || c == (unsigned char)quote)
            snprintf(text, sizeof text, "\\%c", c);
        else if (c == '\n' || c == '\r' || c == '\t')
            snprintf(text, sizeof text, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else
            snprintf(text, sizeof text, "\\x%02x", c);
        jout_str(j, out, str_of(text, strlen(text)));
    }
    jout_str(j, out, str_of(&quote, 1));
}

static void add_int(struct jinja *j, struct jout *out, int64_t v)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)v);
    jout_str(j, out, str_of(text, strlen(text)));
}

static void repr_list(struct jinja *j, struct jout *out, const struct jvalue *v)
{
    bool tuple = v->kind == JV_TUPLE;
    jout_str(j, out, tuple ? STR("(") : STR("["));
    for (size_t i = 0; i < v->list->count; i++) {
        jout_str(j, out, i ? STR(", ") : STR(""));
        jv_repr(j, out, &v->list->items[i]);
    }
    jout_str(j, out, tuple && v->list->count == 1 ? STR(",)") : tuple ? STR(")") : STR("]"));
}

static void repr_dict(struct jinja *j, struct jout *out, const struct jdict *dict)
{
    jout_str(j, out, STR("{"));
    for (size_t i = 0; i < dict->count; i++) {
        jout_str(j, out, i ? STR(", ") : STR(""));
        jv_repr(j, out, &dict->pairs[i].key);
        jout_str(j, out, STR(": "));
        jv_repr(j, out, &dict->pairs[i].value);
    }
    jout_str(j, out, STR("}"));
}

void jv_repr(struct jinja *j, struct jout *out, const struct jvalue *v)
{
    jinja_enter(j);
    jinja_charge(j, 1);
    switch (v->kind) {
    case JV_UNDEFINED: jout_str(j, out, STR("Undefined")); break;
    case JV_NONE: jout_str(j, out, STR("None")); break;
    case JV_BOOL: jout_str(j, out, v->boolean ? STR("True") : STR("False")); break;
    case JV_INT: add_int(j, out, v->integer); break;
    case JV_FLOAT: add_float(j, out, v->real, false); break;
    case JV_STRING: add_repr(j, out, v->text); break;
    case JV_LIST:
    case JV_TUPLE: repr_list(j, out, v); break;
    case JV_DICT: repr_dict(j, out, v->dict); break;
    default: jinja_fail(j, "a %s has no text", jv_type(v));
    }
    jinja_leave(j);
}

struct jtext jv_to_text(struct jinja *j, const struct jvalue *v)
{
    if (v->kind == JV_STRING)
        return v->text;
    if (v->kind == JV_UNDEFINED)
        return jtext_of(STR(""));
    struct jout out = {0};
    jv_repr(j, &out, v);
    return jout_text(&out);
}

/* ---- JSON ---- */

static unsigned code_point(struct jtext t)
{
    size_t n = jtext_character(t);
    unsigned char c = (unsigned char)t.ptr[0];
    unsigned code = n == 1 ? c : n == 2 ? c & 0x1F : n == 3 ? c & 0x0F : c & 0x07;
    for (size_t i = 1; i < n; i++)
        code = code << 6 | ((unsigned char)t.ptr[i] & 0x3F);
    return code;
}

static void add_escape(struct jinja *j, struct jout *out, unsigned code)
{
    static const char short_of[] = "\"\"\\\\\nn\rr\tt\bb\ff";
    char text[16];
    for (size_t i = 0; i + 1 < sizeof short_of; i += 2) {
        if ((unsigned char)short_of[i] != code)
            continue;
        snprintf(text, sizeof text, "\\%c", short_of[i + 1]);
        jout_str(j, out, str_of(text, 2));
        return;
    }
    if (code >= 0x10000)
        snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xD800 + ((code - 0x10000) >> 10),
                 0xDC00 + ((code - 0x10000) & 0x3FF));
    else
        snprintf(text, sizeof text, "\\u%04x", code);
    jout_str(j, out, str_of(text, strlen(text)));
}

static void json_string(struct jinja *j, struct jout *out, struct jtext t, bool ascii)
{
    size_t from = 0, n;
    jout_str(j, out, STR("\""));
    for (size_t i = 0; i < t.len; i += n) {
        struct jtext rest = jtext_cut(t, i, t.len - i);
        unsigned char c = (unsigned char)t.ptr[i];
        n = jtext_character(rest);
        if (c >= 32 && c != '"' && c != '\\' && (c < 0x80 || !ascii))
            continue;
        jout_add(j, out, jtext_cut(t, from, i - from));
        add_escape(j, out, code_point(rest));
        from = i + n;
    }
    jout_add(j, out, jtext_cut(t, from, t.len - from));
    jout_str(j, out, STR("\""));
}

struct json_writing {
    struct jinja *j;
    struct jout *out;
    const struct jtext_json *how;
    unsigned level;
};

static void json_value_add(struct json_writing *w, const struct jvalue *v);

static void json_line(const struct json_writing *w)
{
    if (!w->how->indented)
        return;
    jout_str(w->j, w->out, STR("\n"));
    for (unsigned i = 0; i < w->level; i++)
        jout_add(w->j, w->out, w->how->indent);
}

static void json_list(struct json_writing *w, const struct jlist *list)
{
    jout_str(w->j, w->out, STR("["));
    w->level++;
    for (size_t i = 0; i < list->count; i++) {
        if (i)
            jout_add(w->j, w->out, w->how->item_mark);
        json_line(w);
        json_value_add(w, &list->items[i]);
    }
    w->level--;
    if (list->count)
        json_line(w);
    jout_str(w->j, w->out, STR("]"));
}

static void json_key_add(struct json_writing *w, const struct jvalue *key)
{
    bool string = key->kind == JV_STRING;
    if (!string)
        jout_str(w->j, w->out, STR("\""));
    json_value_add(w, key);
    if (!string)
        jout_str(w->j, w->out, STR("\""));
}

/* By key; a dict of JSON has few members. */
static const struct jdict *sorted_dict(struct jinja *j, const struct jdict *dict)
{
    struct jdict *s = jinja_alloc(j, sizeof *s);
    *s = *dict;
    s->pairs = jinja_alloc(j, (dict->count + 1) * sizeof *s->pairs);
    for (size_t i = 0; i < dict->count; i++) {
        size_t at = i;
        jinja_charge(j, i / 4 + 1);
        for (; at > 0 && jv_compare(j, &s->pairs[at - 1].key, &dict->pairs[i].key) > 0; at--)
            s->pairs[at] = s->pairs[at - 1];
        s->pairs[at] = dict->pairs[i];
    }
    return s;
}

static void json_dict(struct json_writing *w, const struct jdict *dict)
{
    if (w->how->sorted)
        dict = sorted_dict(w->j, dict);
    jout_str(w->j, w->out, STR("{"));
    w->level++;
    for (size_t i = 0; i < dict->count; i++) {
        if (i)
            jout_add(w->j, w->out, w->how->item_mark);
        json_line(w);
        json_key_add(w, &dict->pairs[i].key);
        jout_add(w->j, w->out, w->how->member_mark);
        json_value_add(w, &dict->pairs[i].value);
    }
    w->level--;
    if (dict->count)
        json_line(w);
    jout_str(w->j, w->out, STR("}"));
}

static void json_value_add(struct json_writing *w, const struct jvalue *v)
{
    jinja_enter(w->j);
    jinja_charge(w->j, 1);
    switch (v->kind) {
    case JV_NONE: jout_str(w->j, w->out, STR("null")); break;
    case JV_BOOL: jout_str(w->j, w->out, v->boolean ? STR("true") : STR("false")); break;
    case JV_INT: add_int(w->j, w->out, v->integer); break;
    case JV_FLOAT: add_float(w->j, w->out, v->real, true); break;
    case JV_STRING: json_string(w->j, w->out, v->text, w->how->ascii); break;
    case JV_LIST:
    case JV_TUPLE: json_list(w, v->list); break;
    case JV_DICT: json_dict(w, v->dict); break;
    default: jinja_fail(w->j, "an %s cannot be written as JSON", jv_type(v));
    }
    jinja_leave(w->j);
}

void jv_json(struct jinja *j, struct jout *out, const struct jvalue *v,
             const struct jtext_json *how)
{
    struct json_writing w = {.j = j, .out = out, .how = how};
    json_value_add(&w, v);
}
