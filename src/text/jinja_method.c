/* Methods of strings, dicts, lists and loops, and functions. */
#include "text/jinja_int.h"

/* ---- Cutting ---- */

static bool has_character(struct jtext set, struct jtext character)
{
    for (size_t n; set.len; set = jtext_cut(set, n, set.len - n)) {
        n = jtext_character(set);
        if (n == character.len && memcmp(set.ptr, character.ptr, n) == 0)
            return true;
    }
    return false;
}

static size_t strips_first(struct jtext t, const struct jtext *signs)
{
    if (!signs)
        return jinja_space_first(jtext_str(t));
    size_t n = jtext_character(t);
    return has_character(*signs, jtext_cut(t, 0, n)) ? n : 0;
}

static size_t strips_last(struct jtext t, const struct jtext *signs)
{
    if (!signs)
        return jinja_space_last(jtext_str(t));
    size_t n = 1;
    while (n < t.len && n < 4 && ((unsigned char)t.ptr[t.len - n] & 0xC0) == 0x80)
        n++;
    return has_character(*signs, jtext_cut(t, t.len - n, n)) ? n : 0;
}

struct jtext jtext_strip(struct jtext t, const struct jtext *signs, bool left, bool right)
{
    size_t n;
    while (left && t.len && (n = strips_first(t, signs)) > 0)
        t = jtext_cut(t, n, t.len - n);
    while (right && t.len && (n = strips_last(t, signs)) > 0)
        t.len -= n;
    return t;
}

static char lower_of(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static char upper_of(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

/* how: l(ower), u(pper), c(apitalize), t(itle). */
struct jtext jtext_case(struct jinja *j, struct jtext t, int how)
{
    jinja_charge(j, t.len / 64);
    char *to = jinja_alloc(j, t.len + 1);
    bool begins = true;
    for (size_t i = 0; i < t.len; i++) {
        char c = t.ptr[i];
        bool letter = lower_of(c) != upper_of(c) || (unsigned char)c >= 0x80;
        bool up = how == 'u' || (how != 'l' && begins);
        to[i] = up ? upper_of(c) : lower_of(c);
        begins = how == 't' ? !letter : false;
    }
    return (struct jtext){to, t.len, t.foreign};
}

/* Of nothing: before every character, and at the end. */
static struct jtext replace_nothing(struct jinja *j, struct jtext t, struct jtext to, int64_t most)
{
    struct jout out = {0};
    for (size_t n; most != 0; most -= most > 0, t = jtext_cut(t, n, t.len - n)) {
        jinja_charge(j, 1);
        jout_add(j, &out, to);
        if (t.len == 0)
            break;
        n = jtext_character(t);
        jout_add(j, &out, jtext_cut(t, 0, n));
    }
    jout_add(j, &out, t);
    return jout_text(&out);
}

struct jtext jtext_replace(struct jinja *j, struct jtext t, struct jtext from, struct jtext to,
                           int64_t most)
{
    struct jout out = {0};
    jinja_charge(j, t.len / 16);
    if (from.len == 0)
        return replace_nothing(j, t, to, most);
    for (ptrdiff_t at; most != 0 && (at = str_find(jtext_str(t), jtext_str(from))) >= 0;) {
        jinja_charge(j, 1);
        jout_add(j, &out, jtext_cut(t, 0, (size_t)at));
        jout_add(j, &out, to);
        t = jtext_cut(t, (size_t)at + from.len, t.len - (size_t)at - from.len);
        most -= most > 0;
    }
    jout_add(j, &out, t);
    return jout_text(&out);
}

/* ---- split ---- */

static void add_part(struct jinja *j, struct jlist *list, struct jtext part)
{
    jinja_charge(j, 1);
    jv_list_add(j, list, jv_text(part));
}

static void split_spaces(struct jinja *j, struct jtext t, int64_t most, struct jlist *list)
{
    for (;;) {
        t = jtext_strip(t, NULL, true, false);
        if (t.len == 0)
            return;
        if (most >= 0 && (int64_t)list->count == most) {
            add_part(j, list, jtext_strip(t, NULL, false, true));
            return;
        }
        size_t n = 0;
        while (n < t.len && jinja_space_first(str_of(t.ptr + n, t.len - n)) == 0)
            n++;
        add_part(j, list, jtext_cut(t, 0, n));
        t = jtext_cut(t, n, t.len - n);
    }
}

static void split_at(struct jinja *j, struct jtext t, struct jtext by, int64_t most,
                     struct jlist *list)
{
    while (most < 0 || (int64_t)list->count < most) {
        ptrdiff_t at = str_find(jtext_str(t), jtext_str(by));
        if (at < 0)
            break;
        add_part(j, list, jtext_cut(t, 0, (size_t)at));
        t = jtext_cut(t, (size_t)at + by.len, t.len - (size_t)at - by.len);
    }
    add_part(j, list, t);
}

static ptrdiff_t find_last(struct jtext t, struct jtext what)
{
    for (size_t at = what.len <= t.len ? t.len - what.len + 1 : 0; at-- > 0;)
        if (memcmp(t.ptr + at, what.ptr, what.len) == 0)
            return (ptrdiff_t)at;
    return -1;
}

static void reverse(struct jlist *list)
{
    for (size_t i = 0; i < list->count / 2; i++) {
        struct jvalue v = list->items[i];
        list->items[i] = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = v;
    }
}

static void rsplit_at(struct jinja *j, struct jtext t, struct jtext by, int64_t most,
                      struct jlist *list)
{
    while ((int64_t)list->count < most) {
        ptrdiff_t at = find_last(t, by);
        if (at < 0)
            break;
        size_t after = (size_t)at + by.len;
        add_part(j, list, jtext_cut(t, after, t.len - after));
        t.len = (size_t)at;
    }
    add_part(j, list, t);
    reverse(list);
}

static struct jvalue split(struct jinja *j, struct jtext t, const struct jarguments *a, bool right)
{
    struct jvalue list = jv_list_new(j, JV_LIST);
    const struct jvalue *by = jinja_argument(a, 0, "sep");
    int64_t most = jinja_argument_int(j, a, 1, "maxsplit", -1);
    jinja_charge(j, t.len / 16);
    if (!by || by->kind == JV_NONE) {
        if (right && most >= 0)
            jinja_fail(j, "rsplit at white space with a maximum is not supported");
        split_spaces(j, t, most, list.list);
        return list;
    }
    if (by->kind != JV_STRING || by->text.len == 0)
        jinja_fail(j, "split needs a string that is not empty");
    if (right && most >= 0)
        rsplit_at(j, t, by->text, most, list.list);
    else
        split_at(j, t, by->text, most, list.list);
    return list;
}

static struct jvalue splitlines(struct jinja *j, struct jtext t, bool keep)
{
    struct jvalue list = jv_list_new(j, JV_LIST);
    while (t.len) {
        size_t n = 0;
        while (n < t.len && t.ptr[n] != '\n' && t.ptr[n] != '\r')
            n++;
        size_t mark = n == t.len                                                  ? 0
                      : t.ptr[n] == '\r' && n + 1 < t.len && t.ptr[n + 1] == '\n' ? 2
                                                                                  : 1;
        add_part(j, list.list, jtext_cut(t, 0, n + (keep ? mark : 0)));
        t = jtext_cut(t, n + mark, t.len - n - mark);
    }
    return list;
}

static struct jvalue partition(struct jinja *j, struct jtext t, struct jtext by, bool right)
{
    struct jvalue list = jv_list_new(j, JV_TUPLE);
    if (by.len == 0)
        jinja_fail(j, "partition needs a string that is not empty");
    ptrdiff_t at = right ? find_last(t, by) : str_find(jtext_str(t), jtext_str(by));
    struct jtext none = jtext_cut(t, 0, 0);
    if (at < 0) {
        add_part(j, list.list, right ? none : t);
        add_part(j, list.list, none);
        add_part(j, list.list, right ? t : none);
        return list;
    }
    size_t after = (size_t)at + by.len;
    add_part(j, list.list, jtext_cut(t, 0, (size_t)at));
    add_part(j, list.list, by);
    add_part(j, list.list, jtext_cut(t, after, t.len - after));
    return list;
}

/* ---- Asking ---- */

static bool has_end(struct jtext t, struct jtext part, bool start)
{
    return start ? str_starts(jtext_str(t), jtext_str(part))
                 : str_ends(jtext_str(t), jtext_str(part));
}

static bool has_any_end(struct jinja *j, struct jtext t, const struct jarguments *a, bool start)
{
    const struct jvalue *part = jinja_argument(a, 0, NULL);
    if (!part || part->kind != JV_TUPLE)
        return has_end(t, jinja_argument_text(j, a, 0, NULL), start);
    for (size_t i = 0; i < part->list->count; i++)
        if (part->list->items[i].kind == JV_STRING && has_end(t, part->list->items[i].text, start))
            return true;
    return false;
}

static bool is_all(struct jtext t, char kind)
{
    for (size_t i = 0, n; i < t.len; i += n) {
        char c = t.ptr[i];
        bool digit = c >= '0' && c <= '9';
        bool letter = (lower_of(c) >= 'a' && lower_of(c) <= 'z') || (unsigned char)c >= 0x80;
        n = jinja_space_first(str_of(t.ptr + i, t.len - i));
        bool fine = kind == 'd'   ? digit
                    : kind == 'a' ? letter
                    : kind == 'n' ? digit || letter
                                  : n > 0;
        if (!fine)
            return false;
        n = n ? n : 1;
    }
    return t.len > 0;
}

static bool is_cased(struct jtext t, bool upper)
{
    bool any = false;
    for (size_t i = 0; i < t.len; i++) {
        bool letter = lower_of(t.ptr[i]) != upper_of(t.ptr[i]);
        if (letter && (upper ? upper_of(t.ptr[i]) : lower_of(t.ptr[i])) != t.ptr[i])
            return false;
        any |= letter;
    }
    return any;
}

static struct jvalue find(struct jinja *j, struct jtext t, const struct jarguments *a, bool last)
{
    struct jtext what = jinja_argument_text(j, a, 0, NULL);
    ptrdiff_t at = last ? find_last(t, what) : str_find(jtext_str(t), jtext_str(what));
    jinja_charge(j, t.len / 16);
    return jv_int(at < 0 ? -1 : (int64_t)jtext_characters(jtext_cut(t, 0, (size_t)at)));
}

static struct jvalue count(struct jinja *j, struct jtext t, struct jtext what)
{
    int64_t n = 0;
    jinja_charge(j, t.len / 16);
    if (what.len == 0)
        return jv_int((int64_t)jtext_characters(t) + 1);
    for (ptrdiff_t at; (at = str_find(jtext_str(t), jtext_str(what))) >= 0; n++)
        t = jtext_cut(t, (size_t)at + what.len, t.len - (size_t)at - what.len);
    return jv_int(n);
}

/* ---- format ---- */

/* The value of "{}", "{1}" or "{name}". */
static const struct jvalue *field_value(struct jinja *j, struct str field, size_t *next,
                                        const struct jarguments *a)
{
    uint64_t index;
    char name[64];
    const struct jvalue *v = NULL;
    snprintf(name, sizeof name, "%.*s", STR_ARG(field));
    if (field.len == 0)
        v = jinja_argument(a, (*next)++, NULL);
    else if (str_to_u64(field, &index) == ERR_OK)
        v = jinja_argument(a, index, NULL);
    else
        v = jinja_argument(a, SIZE_MAX, name);
    if (!v)
        jinja_fail(j, "the format's field '%.*s' has no value, or a form that is not supported",
                   STR_ARG(str_take(field, 40)));
    return v;
}

static struct jvalue format(struct jinja *j, struct jtext t, const struct jarguments *a)
{
    struct jout out = {0};
    size_t next = 0;
    for (size_t i = 0; i < t.len;) {
        char c = t.ptr[i];
        bool twice = (c == '{' || c == '}') && i + 1 < t.len && t.ptr[i + 1] == c;
        if (c != '{' || twice) {
            if (c == '}' && !twice)
                jinja_fail(j, "the format has a '}' without its '{'");
            jout_add(j, &out, jtext_cut(t, i, 1));
            i += twice ? 2 : 1;
            continue;
        }
        struct str rest = str_of(t.ptr + i + 1, t.len - i - 1);
        ptrdiff_t end = str_index(rest, '}');
        if (end < 0)
            jinja_fail(j, "the format has a '{' without its '}'");
        const struct jvalue *v = field_value(j, str_take(rest, (size_t)end), &next, a);
        jout_add(j, &out, jv_to_text(j, v));
        i += (size_t)end + 2;
    }
    return jv_text(jout_text(&out));
}

/* ---- Padding ---- */

static struct jvalue pad(struct jinja *j, struct jtext t, const struct jarguments *a, char how)
{
    struct jout out = {0};
    int64_t width = jinja_argument_int(j, a, 0, "width", 0);
    int64_t missing = width - (int64_t)jtext_characters(t);
    bool sign = how == 'z' && t.len && (t.ptr[0] == '-' || t.ptr[0] == '+');
    if (how == 'l' || sign)
        jout_add(j, &out, jtext_cut(t, 0, sign ? 1 : t.len));
    for (int64_t i = 0; i < missing; i++) {
        jinja_charge(j, 1);
        jout_str(j, &out, how == 'z' ? STR("0") : STR(" "));
    }
    if (how != 'l')
        jout_add(j, &out, jtext_cut(t, sign, t.len - sign));
    return jv_text(jout_text(&out));
}

/* ---- Methods by name ---- */

enum method {
    M_CAPITALIZE,
    M_COUNT,
    M_ENDSWITH,
    M_FIND,
    M_FORMAT,
    M_INDEX,
    M_ISALNUM,
    M_ISALPHA,
    M_ISDIGIT,
    M_ISLOWER,
    M_ISSPACE,
    M_ISUPPER,
    M_JOIN,
    M_LJUST,
    M_LOWER,
    M_LSTRIP,
    M_PARTITION,
    M_REMOVEPREFIX,
    M_REMOVESUFFIX,
    M_REPLACE,
    M_RFIND,
    M_RJUST,
    M_RPARTITION,
    M_RSPLIT,
    M_RSTRIP,
    M_SPLIT,
    M_SPLITLINES,
    M_STARTSWITH,
    M_STRIP,
    M_TITLE,
    M_UPPER,
    M_ZFILL,
    M_GET,
    M_ITEMS,
    M_KEYS,
    M_VALUES,
    M_COPY,
    M_CHANGED,
    M_CYCLE,
    M_FORBIDDEN, /* would change a value; the sandbox refuses it */
};

#define OF_TEXT (1u << JV_STRING)
#define OF_DICT (1u << JV_DICT)
#define OF_LIST (1u << JV_LIST | 1u << JV_TUPLE)
#define OF_LOOP (1u << JV_LOOP)

static const struct {
    const char *name;
    enum method method;
    unsigned kinds;
} methods[] = {
    {"capitalize", M_CAPITALIZE, OF_TEXT},
    {"count", M_COUNT, OF_TEXT | OF_LIST},
    {"endswith", M_ENDSWITH, OF_TEXT},
    {"find", M_FIND, OF_TEXT},
    {"format", M_FORMAT, OF_TEXT},
    {"index", M_INDEX, OF_TEXT | OF_LIST},
    {"isalnum", M_ISALNUM, OF_TEXT},
    {"isalpha", M_ISALPHA, OF_TEXT},
    {"isdigit", M_ISDIGIT, OF_TEXT},
    {"isnumeric", M_ISDIGIT, OF_TEXT},
    {"isdecimal", M_ISDIGIT, OF_TEXT},
    {"islower", M_ISLOWER, OF_TEXT},
    {"isspace", M_ISSPACE, OF_TEXT},
    {"isupper", M_ISUPPER, OF_TEXT},
    {"join", M_JOIN, OF_TEXT},
    {"ljust", M_LJUST, OF_TEXT},
    {"lower", M_LOWER, OF_TEXT},
    {"lstrip", M_LSTRIP, OF_TEXT},
    {"partition", M_PARTITION, OF_TEXT},
    {"removeprefix", M_REMOVEPREFIX, OF_TEXT},
    {"removesuffix", M_REMOVESUFFIX, OF_TEXT},
    {"replace", M_REPLACE, OF_TEXT},
    {"rfind", M_RFIND, OF_TEXT},
    {"rjust", M_RJUST, OF_TEXT},
    {"rpartition", M_RPARTITION, OF_TEXT},
    {"rsplit", M_RSPLIT, OF_TEXT},
    {"rstrip", M_RSTRIP, OF_TEXT},
    {"split", M_SPLIT, OF_TEXT},
    {"splitlines", M_SPLITLINES, OF_TEXT},
    {"startswith", M_STARTSWITH, OF_TEXT},
    {"strip", M_STRIP, OF_TEXT},
    {"title", M_TITLE, OF_TEXT},
    {"upper", M_UPPER, OF_TEXT},
    {"zfill", M_ZFILL, OF_TEXT},
    {"get", M_GET, OF_DICT},
    {"items", M_ITEMS, OF_DICT},
    {"keys", M_KEYS, OF_DICT},
    {"values", M_VALUES, OF_DICT},
    {"copy", M_COPY, OF_DICT | 1u << JV_LIST},
    {"changed", M_CHANGED, OF_LOOP},
    {"cycle", M_CYCLE, OF_LOOP},
    {"append", M_FORBIDDEN, 1u << JV_LIST},
    {"clear", M_FORBIDDEN, OF_DICT | 1u << JV_LIST},
    {"extend", M_FORBIDDEN, 1u << JV_LIST},
    {"insert", M_FORBIDDEN, 1u << JV_LIST},
    {"pop", M_FORBIDDEN, OF_DICT | 1u << JV_LIST},
    {"popitem", M_FORBIDDEN, OF_DICT},
    {"remove", M_FORBIDDEN, 1u << JV_LIST},
    {"reverse", M_FORBIDDEN, 1u << JV_LIST},
    {"setdefault", M_FORBIDDEN, OF_DICT},
    {"sort", M_FORBIDDEN, 1u << JV_LIST},
    {"update", M_FORBIDDEN, OF_DICT},
};

static bool method_find(enum jkind kind, struct str name, enum method *ret_method)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (!(methods[i].kinds & 1u << kind) || !str_eq(name, str_from_c(methods[i].name)))
            continue;
        *ret_method = methods[i].method;
        return true;
    }
    return false;
}

bool jinja_has_method(const struct jvalue *of, struct str name)
{
    enum method method;
    return method_find(of->kind, name, &method);
}

static struct jvalue strip(struct jinja *j, struct jtext t, const struct jarguments *a, bool left,
                           bool right)
{
    const struct jvalue *v = jinja_argument(a, 0, NULL);
    if (!v || v->kind == JV_NONE)
        return jv_text(jtext_strip(t, NULL, left, right));
    struct jtext signs = jinja_argument_text(j, a, 0, NULL);
    return jv_text(jtext_strip(t, &signs, left, right));
}

static struct jvalue without_end(struct jinja *j, struct jtext t, const struct jarguments *a,
                                 bool start)
{
    struct jtext part = jinja_argument_text(j, a, 0, NULL);
    if (!has_end(t, part, start))
        return jv_text(t);
    return jv_text(jtext_cut(t, start ? part.len : 0, t.len - part.len));
}

static struct jvalue join(struct jinja *j, struct jtext between, const struct jarguments *a)
{
    const struct jvalue *from = jinja_argument(a, 0, NULL);
    struct jvalue mark = jv_text(between);
    struct jarguments one = {.values = &mark, .count = 1};
    if (!from)
        jinja_fail(j, "join lacks what it is to join");
    const struct jlist *items = jv_elements(j, from);
    for (size_t i = 0; i < items->count; i++)
        if (items->items[i].kind != JV_STRING)
            jinja_fail(j, "join takes strings, not a %s", jv_type(&items->items[i]));
    return jinja_filter(j, STR("join"), *from, &one);
}

static struct jvalue ask_text(struct jinja *j, struct jtext t, enum method method,
                              const struct jarguments *a)
{
    switch (method) {
    case M_STARTSWITH: return jv_bool(has_any_end(j, t, a, true));
    case M_ENDSWITH: return jv_bool(has_any_end(j, t, a, false));
    case M_ISALNUM: return jv_bool(is_all(t, 'n'));
    case M_ISALPHA: return jv_bool(is_all(t, 'a'));
    case M_ISDIGIT: return jv_bool(is_all(t, 'd'));
    case M_ISSPACE: return jv_bool(is_all(t, 's'));
    case M_ISLOWER: return jv_bool(is_cased(t, false));
    case M_ISUPPER: return jv_bool(is_cased(t, true));
    case M_FIND: return find(j, t, a, false);
    case M_RFIND: return find(j, t, a, true);
    case M_COUNT: return count(j, t, jinja_argument_text(j, a, 0, NULL));
    default: break;
    }
    struct jvalue at = find(j, t, a, false);
    if (at.integer < 0)
        jinja_fail(j, "index does not find its text");
    return at;
}

static struct jvalue text_method(struct jinja *j, struct jtext t, enum method method,
                                 const struct jarguments *a)
{
    switch (method) {
    case M_CAPITALIZE: return jv_text(jtext_case(j, t, 'c'));
    case M_LOWER: return jv_text(jtext_case(j, t, 'l'));
    case M_UPPER: return jv_text(jtext_case(j, t, 'u'));
    case M_TITLE: return jv_text(jtext_case(j, t, 't'));
    case M_STRIP: return strip(j, t, a, true, true);
    case M_LSTRIP: return strip(j, t, a, true, false);
    case M_RSTRIP: return strip(j, t, a, false, true);
    case M_SPLIT: return split(j, t, a, false);
    case M_RSPLIT: return split(j, t, a, true);
    case M_SPLITLINES: {
        const struct jvalue *keep = jinja_argument(a, 0, "keepends");
        return splitlines(j, t, keep && jv_true(keep));
    }
    case M_PARTITION: return partition(j, t, jinja_argument_text(j, a, 0, NULL), false);
    case M_RPARTITION: return partition(j, t, jinja_argument_text(j, a, 0, NULL), true);
    case M_REMOVEPREFIX: return without_end(j, t, a, true);
    case M_REMOVESUFFIX: return without_end(j, t, a, false);
    case M_REPLACE:
        return jv_text(jtext_replace(j, t, jinja_argument_text(j, a, 0, NULL),
                                     jinja_argument_text(j, a, 1, NULL),
                                     jinja_argument_int(j, a, 2, "count", -1)));
    case M_FORMAT: return format(j, t, a);
    case M_JOIN: return join(j, t, a);
    case M_LJUST: return pad(j, t, a, 'l');
    case M_RJUST: return pad(j, t, a, 'r');
    case M_ZFILL: return pad(j, t, a, 'z');
    default: return ask_text(j, t, method, a);
    }
}

static struct jvalue dict_method(struct jinja *j, const struct jvalue *self, enum method method,
                                 const struct jarguments *a)
{
    struct jarguments none = {0};
    const struct jdict *dict = self->dict;
    if (method == M_GET) {
        const struct jvalue *key = jinja_argument(a, 0, NULL);
        const struct jvalue *otherwise = jinja_argument(a, 1, NULL);
        const struct jvalue *found = key ? jv_dict_find(j, dict, key) : NULL;
        return found ? *found : otherwise ? *otherwise : jv_none();
    }
    if (method == M_ITEMS)
        return jinja_filter(j, STR("items"), *self, &none);
    struct jvalue list = jv_list_new(j, JV_LIST), copy = jv_dict_new(j, JV_DICT);
    for (size_t i = 0; i < dict->count; i++) {
        jinja_charge(j, 1);
        if (method == M_COPY)
            jv_dict_set(j, copy.dict, dict->pairs[i].key, dict->pairs[i].value);
        else
            jv_list_add(j, list.list, method == M_KEYS ? dict->pairs[i].key : dict->pairs[i].value);
    }
    return method == M_COPY ? copy : list;
}

static struct jvalue list_method(struct jinja *j, const struct jvalue *self, enum method method,
                                 const struct jarguments *a)
{
    struct jarguments none = {0};
    int64_t count = 0;
    if (method == M_COPY)
        return jinja_filter(j, STR("list"), *self, &none);
    const struct jvalue *what = jinja_argument(a, 0, NULL);
    for (size_t i = 0; what && i < self->list->count; i++) {
        jinja_charge(j, 1);
        if (!jv_equal(j, what, &self->list->items[i]))
            continue;
        if (method == M_INDEX)
            return jv_int((int64_t)i);
        count++;
    }
    if (method == M_INDEX)
        jinja_fail(j, "index does not find its value");
    return jv_int(count);
}

static struct jvalue loop_method(struct jinja *j, struct jloop *loop, enum method method,
                                 const struct jarguments *a)
{
    if (method == M_CYCLE) {
        if (a->count == 0)
            jinja_fail(j, "cycle has nothing to choose from");
        return a->values[loop->index % a->count];
    }
    struct jvalue now = jv_list_new(j, JV_TUPLE);
    for (size_t i = 0; i < a->count; i++)
        jv_list_add(j, now.list, a->values[i]);
    bool changed = !loop->changed_set || !jv_equal(j, &now, &loop->changed);
    loop->changed = now;
    loop->changed_set = true;
    return jv_bool(changed);
}

struct jvalue jinja_method(struct jinja *j, const struct jvalue *self, struct str name,
                           const struct jarguments *a)
{
    enum method method = M_FORBIDDEN;
    if (!method_find(self->kind, name, &method) || method == M_FORBIDDEN)
        jinja_fail(j, "'%.*s' would change a value, which templates may not", STR_ARG(name));
    switch (self->kind) {
    case JV_STRING: return text_method(j, self->text, method, a);
    case JV_DICT: return dict_method(j, self, method, a);
    case JV_LOOP: return loop_method(j, self->loop, method, a);
    default: return list_method(j, self, method, a);
    }
}

/* ---- Functions ---- */

static struct jvalue function_range(struct jinja *j, const struct jarguments *a)
{
    struct jvalue list = jv_list_new(j, JV_LIST);
    int64_t first = jinja_argument_int(j, a, 0, NULL, 0);
    int64_t to = a->count > 1 ? jinja_argument_int(j, a, 1, NULL, 0) : first;
    int64_t step = jinja_argument_int(j, a, 2, NULL, 1);
    if (step == 0 || a->count == 0)
        jinja_fail(j, "range needs an end, and a step that is not 0");
    for (int64_t i = a->count > 1 ? first : 0; step > 0 ? i < to : i > to;) {
        jinja_charge(j, 1);
        jv_list_add(j, list.list, jv_int(i));
        if (__builtin_add_overflow(i, step, &i))
            break;
    }
    return list;
}

static struct jvalue function_dict(struct jinja *j, const struct jarguments *a, enum jkind kind)
{
    struct jvalue dict = jv_dict_new(j, kind);
    const struct jvalue *from = jinja_argument(a, 0, NULL);
    if (from && from->kind != JV_DICT)
        jinja_fail(j, "a dict or namespace is made from a dict, not a %s", jv_type(from));
    for (size_t i = 0; from && i < from->dict->count; i++)
        jv_dict_set(j, dict.dict, from->dict->pairs[i].key, from->dict->pairs[i].value);
    for (size_t i = 0; i < a->keyword_count; i++)
        jv_dict_set(j, dict.dict, a->keywords[i].key, a->keywords[i].value);
    return dict;
}

/* One letter of strftime's; false: it is not supported. bare: without the zero before one digit. */
static bool add_date(char letter, bool bare, const struct tm *t, char text[16])
{
    static const char months[] = "January  February March    April    May      June     July     "
                                 "August   SeptemberOctober  November December ";
    static const char days[] = "Sunday   Monday   Tuesday  WednesdayThursday Friday   Saturday ";
    int hour = t->tm_hour % 12 ? t->tm_hour % 12 : 12, number;
    switch (letter) {
    case 'B': return snprintf(text, 16, "%.9s", months + t->tm_mon * 9), true;
    case 'b': return snprintf(text, 16, "%.3s", months + t->tm_mon * 9), true;
    case 'A': return snprintf(text, 16, "%.9s", days + t->tm_wday * 9), true;
    case 'a': return snprintf(text, 16, "%.3s", days + t->tm_wday * 9), true;
    case 'p': return snprintf(text, 16, "%s", t->tm_hour < 12 ? "AM" : "PM"), true;
    case 'Y': return snprintf(text, 16, "%d", t->tm_year + 1900), true;
    case 'j': return snprintf(text, 16, "%03d", t->tm_yday + 1), true;
    case 'Z': return snprintf(text, 16, "UTC"), true;
    case '%': return snprintf(text, 16, "%%"), true;
    case 'd': number = t->tm_mday; break;
    case 'm': number = t->tm_mon + 1; break;
    case 'y': number = t->tm_year % 100; break;
    case 'H': number = t->tm_hour; break;
    case 'I': number = hour; break;
    case 'M': number = t->tm_min; break;
    case 'S': number = t->tm_sec; break;
    default: return false;
    }
    if (bare)
        snprintf(text, 16, "%d", number);
    else
        snprintf(text, 16, "%02d", number);
    return true;
}

static struct jvalue function_strftime(struct jinja *j, const struct jarguments *a)
{
    char text[16];
    struct tm when;
    struct jout out = {0};
    time_t now = (time_t)j->options->now_s;
    struct jtext form = jinja_argument_text(j, a, 0, "format");
    gmtime_r(&now, &when);
    for (size_t i = 0; i < form.len; i++) {
        if (form.ptr[i] != '%') {
            jout_add(j, &out, jtext_cut(form, i, 1));
            continue;
        }
        bool bare = i + 1 < form.len && form.ptr[i + 1] == '-';
        i += 1 + bare;
        char letter = i < form.len ? form.ptr[i] : 0;
        if (!add_date(letter, bare, &when, text))
            jinja_fail(j, "'%%%c' of a date's format is not supported", letter);
        struct str part = str_from_c(text);
        while (str_ends(part, STR(" ")))
            part.len--;
        jout_str(j, &out, part);
    }
    return jv_text(jout_text(&out));
}

static __attribute__((noreturn)) void function_raise(struct jinja *j, const struct jarguments *a)
{
    const struct jvalue *v = jinja_argument(a, 0, "message");
    struct jtext text = v ? jv_to_text(j, v) : jtext_of(STR(""));
    j->raised = true;
    jinja_fail(j, "%.*s", STR_ARG(str_take(jtext_str(text), 300)));
}

static const char *const functions[] = {"range", "dict", "namespace", "strftime_now",
                                        "raise_exception"};

bool jinja_has_function(struct str name)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (str_eq(name, str_from_c(functions[i])))
            return true;
    return false;
}

struct jvalue jinja_function(struct jinja *j, struct str name, const struct jarguments *a)
{
    if (str_eq(name, STR("range")))
        return function_range(j, a);
    if (str_eq(name, STR("dict")))
        return function_dict(j, a, JV_DICT);
    if (str_eq(name, STR("namespace")))
        return function_dict(j, a, JV_NAMESPACE);
    if (str_eq(name, STR("strftime_now")))
        return function_strftime(j, a);
    function_raise(j, a);
}
