#include "text/jinja_int.h"

#include <math.h>

typedef struct jvalue (*filter_fn)(struct jinja *j, struct jvalue v, const struct jarguments *a);

static struct jtext text_of(struct jinja *j, const struct jvalue *v)
{
    return jv_to_text(j, v);
}

static bool flag(const struct jarguments *a, size_t place, const char *name)
{
    const struct jvalue *v = jinja_argument(a, place, name);
    return v && jv_true(v);
}

/* ---- Text ---- */

static struct jvalue filter_trim(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    const struct jvalue *signs = jinja_argument(a, 0, "chars");
    struct jtext set = signs && signs->kind != JV_NONE ? text_of(j, signs) : jtext_of(STR_NONE);
    return jv_text(
        jtext_strip(text_of(j, &v), signs && signs->kind != JV_NONE ? &set : NULL, true, true));
}

static struct jvalue filter_lower(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    (void)a;
    return jv_text(jtext_case(j, text_of(j, &v), 'l'));
}

static struct jvalue filter_upper(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    (void)a;
    return jv_text(jtext_case(j, text_of(j, &v), 'u'));
}

static struct jvalue filter_capitalize(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    (void)a;
    return jv_text(jtext_case(j, text_of(j, &v), 'c'));
}

static struct jvalue filter_title(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    (void)a;
    return jv_text(jtext_case(j, text_of(j, &v), 't'));
}

static struct jvalue filter_string(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    (void)a;
    return jv_text(text_of(j, &v));
}

static struct jvalue filter_replace(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    int64_t count = jinja_argument_int(j, a, 2, "count", -1);
    return jv_text(jtext_replace(j, text_of(j, &v), jinja_argument_text(j, a, 0, "old"),
                                 jinja_argument_text(j, a, 1, "new"), count));
}

static struct jtext indent_text(struct jinja *j, const struct jarguments *a, int64_t otherwise)
{
    const struct jvalue *width = jinja_argument(a, 0, "width");
    if (width && width->kind == JV_STRING)
        return width->text;
    struct jout out = {0};
    int64_t n = jinja_argument_int(j, a, 0, "width", otherwise);
    for (int64_t i = 0; i < n; i++) {
        jinja_charge(j, 1);
        jout_str(j, &out, STR(" "));
    }
    return jout_text(&out);
}

static struct jvalue filter_indent(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    struct jtext rest = text_of(j, &v), indent = indent_text(j, a, 4);
    bool first = flag(a, 1, "first"), blank = flag(a, 2, "blank");
    struct jout out = {0};
    for (bool begin = true;; begin = false) {
        ptrdiff_t at = str_index(jtext_str(rest), '\n');
        struct jtext line = at < 0 ? rest : jtext_cut(rest, 0, (size_t)at);
        if (begin ? first : blank || line.len > 0)
            jout_add(j, &out, indent);
        jout_add(j, &out, line);
        if (at < 0)
            break;
        jout_str(j, &out, STR("\n"));
        rest = jtext_cut(rest, (size_t)at + 1, rest.len - (size_t)at - 1);
    }
    return jv_text(jout_text(&out));
}

static struct jvalue filter_escape(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    static const struct str pairs[][2] = {{STR_INIT("&"), STR_INIT("&amp;")},
                                          {STR_INIT("<"), STR_INIT("&lt;")},
                                          {STR_INIT(">"), STR_INIT("&gt;")},
                                          {STR_INIT("'"), STR_INIT("&#39;")},
                                          {STR_INIT("\""), STR_INIT("&#34;")}};
    struct jtext t = text_of(j, &v);
    (void)a;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        t = jtext_replace(j, t, jtext_of(pairs[i][0]), jtext_of(pairs[i][1]), -1);
    return jv_text(t);
}

/* "%s and %d" with its arguments; what has a width or a precision is refused. */
static struct jvalue filter_format(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    struct jtext rest = text_of(j, &v);
    struct jout out = {0};
    size_t used = 0;
    for (;;) {
        ptrdiff_t at = str_index(jtext_str(rest), '%');
        jout_add(j, &out, at < 0 ? rest : jtext_cut(rest, 0, (size_t)at));
        if (at < 0)
            return jv_text(jout_text(&out));
        char kind = (size_t)at + 1 < rest.len ? rest.ptr[at + 1] : 0;
        rest =
            jtext_cut(rest, (size_t)at + 1 + (kind != 0), rest.len - (size_t)at - 1 - (kind != 0));
        if (kind == '%') {
            jout_str(j, &out, STR("%"));
            continue;
        }
        const struct jvalue *value = jinja_argument(a, used++, NULL);
        bool number = kind == 'd' || kind == 'i';
        if (!value || (kind != 's' && kind != 'r' && !(number && value->kind == JV_INT)))
            jinja_fail(j, "'%%%c' of a format is not supported, or lacks its value", kind);
        if (kind == 'r')
            jv_repr(j, &out, value);
        else
            jout_add(j, &out, text_of(j, value));
    }
}

static struct jvalue filter_tojson(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    struct jout out = {0};
    struct jtext_json how = {.item_mark = jtext_of(STR(", ")), .member_mark = jtext_of(STR(": "))};
    const struct jvalue *indent = jinja_argument(a, 1, "indent");
    const struct jvalue *marks = jinja_argument(a, 2, "separators");
    how.ascii = flag(a, 0, "ensure_ascii");
    how.sorted = flag(a, 3, "sort_keys");
    if (indent && indent->kind != JV_NONE) {
        struct jarguments width = {.values = (struct jvalue *)indent, .count = 1};
        how.indented = true;
        how.item_mark = jtext_of(STR(","));
        how.indent = indent_text(j, &width, 0);
    }
    if (marks && (marks->kind == JV_TUPLE || marks->kind == JV_LIST) && marks->list->count == 2) {
        how.item_mark = text_of(j, &marks->list->items[0]);
        how.member_mark = text_of(j, &marks->list->items[1]);
    }
    jv_json(j, &out, &v, &how);
    return jv_text(jout_text(&out));
}

/* Not Jinja's, but some models' files have it. */
static struct jvalue filter_from_json(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    (void)a;
    if (v.kind != JV_STRING)
        jinja_fail(j, "from_json reads a string, not a %s", jv_type(&v));
    return jv_from_json(j, jtext_str(v.text), !v.text.foreign);
}

/* ---- Numbers ---- */

static struct jvalue filter_int(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    int64_t value, otherwise = jinja_argument_int(j, a, 0, "default", 0);
    char room[64];
    if (v.kind == JV_FLOAT && fabs(v.real) < 9e18)
        return jv_int((int64_t)v.real);
    if (jv_is_number(&v))
        return v.kind == JV_BOOL ? jv_int(v.boolean) : v;
    if (v.kind != JV_STRING)
        return jv_int(otherwise);
    struct str s = jtext_str(jtext_strip(v.text, NULL, true, true));
    if (str_to_i64(s.len && s.ptr[0] == '+' ? str_skip(s, 1) : s, &value) == ERR_OK)
        return jv_int(value);
    snprintf(room, sizeof room, "%.*s", STR_ARG(s));
    char *end;
    double real = strtod(room, &end);
    bool fine = s.len && s.len < sizeof room && *end == 0 && fabs(real) < 9e18;
    return jv_int(fine ? (int64_t)real : otherwise);
}

static struct jvalue filter_float(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    char room[64], *end;
    const struct jvalue *otherwise = jinja_argument(a, 0, "default");
    if (jv_is_number(&v))
        return jv_float(jv_real(&v));
    struct str s = v.kind == JV_STRING ? jtext_str(jtext_strip(v.text, NULL, true, true)) : STR("");
    snprintf(room, sizeof room, "%.*s", STR_ARG(s));
    double real = strtod(room, &end);
    (void)j;
    if (s.len && s.len < sizeof room && *end == 0)
        return jv_float(real);
    return otherwise ? *otherwise : jv_float(0);
}

static struct jvalue filter_abs(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    struct jvalue zero = jv_int(0);
    (void)a;
    if (!jv_is_number(&v))
        jinja_fail(j, "a %s has no absolute value", jv_type(&v));
    return jv_compare(j, &v, &zero) < 0 ? jinja_binary(j, JT_SUB, &zero, &v) : v;
}

static struct jvalue filter_round(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    int64_t precision = jinja_argument_int(j, a, 0, "precision", 0);
    const struct jvalue *how = jinja_argument(a, 1, "method");
    if (!jv_is_number(&v) || precision < -15 || precision > 15)
        jinja_fail(j, "a %s cannot be rounded to %lld digits", jv_type(&v), (long long)precision);
    double scale = pow(10, (double)precision), x = jv_real(&v) * scale;
    if (how && how->kind == JV_STRING && str_eq(jtext_str(how->text), STR("ceil")))
        return jv_float(ceil(x) / scale);
    if (how && how->kind == JV_STRING && str_eq(jtext_str(how->text), STR("floor")))
        return jv_float(floor(x) / scale);
    return jv_float(nearbyint(x) / scale);
}

/* ---- Any value ---- */

static struct jvalue filter_default(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    const struct jvalue *otherwise = jinja_argument(a, 0, "default_value");
    bool missing = v.kind == JV_UNDEFINED || (flag(a, 1, "boolean") && !jv_true(&v));
    (void)j;
    return !missing ? v : otherwise ? *otherwise : jv_str(STR(""));
}

static struct jvalue filter_length(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    size_t length;
    (void)a;
    if (!jv_length(j, &v, &length))
        jinja_fail(j, "a %s has no length", jv_type(&v));
    return jv_int((int64_t)length);
}

static struct jvalue filter_safe(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    return filter_string(j, v, a);
}

/* ---- Lists ---- */

/* "a.b.0": members of members. NULL path: the value itself. */
static struct jvalue path_value(struct jinja *j, struct jvalue v, const struct jvalue *path)
{
    int64_t index;
    if (!path || path->kind == JV_NONE)
        return v;
    if (path->kind == JV_INT)
        return jinja_item(j, &v, path);
    for (struct str rest = jtext_str(text_of(j, path)); rest.ptr;) {
        struct str part = str_split(&rest, '.');
        struct jvalue key = str_to_i64(part, &index) == ERR_OK ? jv_int(index) : jv_str(part);
        v = jinja_item(j, &v, &key);
    }
    return v;
}

static struct jvalue filter_list(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    struct jvalue list = jv_list_new(j, JV_LIST);
    const struct jlist *from = jv_elements(j, &v);
    (void)a;
    jinja_charge(j, from->count);
    for (size_t i = 0; i < from->count; i++)
        jv_list_add(j, list.list, from->items[i]);
    return list;
}

static struct jvalue filter_join(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    struct jout out = {0};
    const struct jvalue *between = jinja_argument(a, 0, "d");
    const struct jvalue *path = jinja_argument(a, 1, "attribute");
    const struct jlist *from = jv_elements(j, &v);
    for (size_t i = 0; i < from->count; i++) {
        struct jvalue item = path_value(j, from->items[i], path);
        jinja_charge(j, 1);
        if (i && between)
            jout_add(j, &out, text_of(j, between));
        jout_add(j, &out, text_of(j, &item));
    }
    return jv_text(jout_text(&out));
}

static struct jvalue filter_first(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    const struct jlist *from = jv_elements(j, &v);
    (void)a;
    return from->count ? from->items[0] : jv_undefined(STR("first"));
}

static struct jvalue filter_last(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    const struct jlist *from = jv_elements(j, &v);
    (void)a;
    return from->count ? from->items[from->count - 1] : jv_undefined(STR("last"));
}

static struct jvalue filter_reverse(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    struct jvalue list = jv_list_new(j, JV_LIST);
    const struct jlist *from = jv_elements(j, &v);
    jinja_charge(j, from->count);
    for (size_t i = from->count; i-- > 0;)
        jv_list_add(j, list.list, from->items[i]);
    (void)a;
    struct jarguments none = {0};
    return v.kind == JV_STRING ? filter_join(j, list, &none) : list;
}

static struct jvalue pair_of(struct jinja *j, const struct jpair *p)
{
    struct jvalue pair = jv_list_new(j, JV_TUPLE);
    jv_list_add(j, pair.list, p->key);
    jv_list_add(j, pair.list, p->value);
    return pair;
}

static struct jvalue filter_items(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    struct jvalue list = jv_list_new(j, JV_LIST);
    (void)a;
    if (v.kind != JV_DICT && v.kind != JV_UNDEFINED)
        jinja_fail(j, "a %s has no items", jv_type(&v));
    for (size_t i = 0; v.kind == JV_DICT && i < v.dict->count; i++)
        jv_list_add(j, list.list, pair_of(j, &v.dict->pairs[i]));
    return list;
}

/* ---- Order ---- */

struct keyed {
    struct jvalue key, value;
};

static struct jvalue sort_key(struct jinja *j, struct jvalue v, bool case_matters)
{
    return v.kind == JV_STRING && !case_matters ? jv_text(jtext_case(j, v.text, 'l')) : v;
}

/* Stable; merges from the bottom up. */
static void sort_keyed(struct jinja *j, struct keyed *list, size_t count, int direction)
{
    struct keyed *from = list, *to = jinja_alloc(j, (count + 1) * sizeof *to);
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t at = 0; at < count; at += 2 * width) {
            size_t a = at, a_end = at + width < count ? at + width : count;
            size_t b = a_end, b_end = at + 2 * width < count ? at + 2 * width : count;
            for (size_t k = at; k < b_end; k++) {
                bool left =
                    b >= b_end ||
                    (a < a_end && jv_compare(j, &from[a].key, &from[b].key) * direction <= 0);
                jinja_charge(j, 1);
                to[k] = left ? from[a++] : from[b++];
            }
        }
        struct keyed *swap = from;
        from = to;
        to = swap;
    }
    if (from != list)
        memcpy(list, from, count * sizeof *list);
}

static struct jvalue sorted(struct jinja *j, const struct jlist *from, const struct jvalue *path,
                            bool case_matters, bool reverse)
{
    struct jvalue list = jv_list_new(j, JV_LIST);
    struct keyed *keyed = jinja_alloc(j, (from->count + 1) * sizeof *keyed);
    for (size_t i = 0; i < from->count; i++)
        keyed[i] = (struct keyed){sort_key(j, path_value(j, from->items[i], path), case_matters),
                                  from->items[i]};
    sort_keyed(j, keyed, from->count, reverse ? -1 : 1);
    for (size_t i = 0; i < from->count; i++)
        jv_list_add(j, list.list, keyed[i].value);
    return list;
}

static struct jvalue filter_sort(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    return sorted(j, jv_elements(j, &v), jinja_argument(a, 2, "attribute"),
                  flag(a, 1, "case_sensitive"), flag(a, 0, "reverse"));
}

static struct jvalue filter_dictsort(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    struct jarguments none = {0};
    const struct jvalue *by = jinja_argument(a, 1, "by");
    bool values = by && by->kind == JV_STRING && str_eq(jtext_str(by->text), STR("value"));
    struct jvalue items = filter_items(j, v, &none), path = jv_int(values);
    return sorted(j, items.list, &path, flag(a, 0, "case_sensitive"), flag(a, 2, "reverse"));
}

static struct jvalue filter_unique(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    struct jvalue list = jv_list_new(j, JV_LIST), seen = jv_list_new(j, JV_LIST);
    const struct jlist *from = jv_elements(j, &v);
    for (size_t i = 0; i < from->count; i++) {
        struct jvalue key = path_value(j, from->items[i], jinja_argument(a, 1, "attribute"));
        key = sort_key(j, key, flag(a, 0, "case_sensitive"));
        if (jv_in(j, &key, &seen))
            continue;
        jv_list_add(j, seen.list, key);
        jv_list_add(j, list.list, from->items[i]);
    }
    return list;
}

static struct jvalue extreme(struct jinja *j, struct jvalue v, const struct jarguments *a, int sign)
{
    struct jvalue best = jv_undefined(STR("min or max")), best_key = jv_none();
    const struct jlist *from = jv_elements(j, &v);
    for (size_t i = 0; i < from->count; i++) {
        struct jvalue key = path_value(j, from->items[i], jinja_argument(a, 1, "attribute"));
        key = sort_key(j, key, flag(a, 0, "case_sensitive"));
        jinja_charge(j, 1);
        if (i > 0 && jv_compare(j, &key, &best_key) * sign <= 0)
            continue;
        best = from->items[i];
        best_key = key;
    }
    return best;
}

static struct jvalue filter_min(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    return extreme(j, v, a, -1);
}

static struct jvalue filter_max(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    return extreme(j, v, a, 1);
}

static struct jvalue filter_sum(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    const struct jvalue *start = jinja_argument(a, 1, "start");
    struct jvalue sum = start ? *start : jv_int(0);
    const struct jlist *from = jv_elements(j, &v);
    for (size_t i = 0; i < from->count; i++) {
        struct jvalue item = path_value(j, from->items[i], jinja_argument(a, 0, "attribute"));
        jinja_charge(j, 1);
        sum = jinja_binary(j, JT_ADD, &sum, &item);
    }
    return sum;
}

/* ---- Choosing and mapping ---- */

static struct jarguments arguments_from(const struct jarguments *a, size_t from)
{
    struct jarguments rest = *a;
    from = from < a->count ? from : a->count;
    rest.values += from;
    rest.count -= from;
    return rest;
}

static struct str name_argument(struct jinja *j, const struct jarguments *a, size_t place,
                                bool (*has)(struct str))
{
    struct str name = jtext_str(jinja_argument_text(j, a, place, NULL));
    if (!has(name))
        jinja_fail(j, "there is no filter or test '%.*s'", STR_ARG(str_take(name, 40)));
    return name;
}

/* place: of the test's name among the arguments. */
static struct jvalue chosen(struct jinja *j, struct jvalue v, const struct jarguments *a,
                            const struct jvalue *path, size_t place, bool wanted)
{
    struct jvalue list = jv_list_new(j, JV_LIST);
    const struct jlist *from = jv_true(&v) ? jv_elements(j, &v) : list.list;
    bool named = a->count > place;
    struct str name = named ? name_argument(j, a, place, jinja_has_test) : STR_NONE;
    struct jarguments rest = arguments_from(a, place + 1);
    for (size_t i = 0; i < from->count; i++) {
        struct jvalue item = path_value(j, from->items[i], path);
        jinja_charge(j, 1);
        if ((named ? jinja_test(j, name, &item, &rest) : jv_true(&item)) == wanted)
            jv_list_add(j, list.list, from->items[i]);
    }
    return list;
}

static struct jvalue filter_select(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    return chosen(j, v, a, NULL, 0, true);
}

static struct jvalue filter_reject(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    return chosen(j, v, a, NULL, 0, false);
}

static const struct jvalue *path_argument(struct jinja *j, const struct jarguments *a)
{
    const struct jvalue *path = jinja_argument(a, 0, "attribute");
    if (!path)
        jinja_fail(j, "the attribute's name is missing");
    return path;
}

static struct jvalue filter_selectattr(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    return chosen(j, v, a, path_argument(j, a), 1, true);
}

static struct jvalue filter_rejectattr(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    return chosen(j, v, a, path_argument(j, a), 1, false);
}

static struct jvalue filter_map(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    struct jvalue list = jv_list_new(j, JV_LIST);
    const struct jlist *from = jv_true(&v) ? jv_elements(j, &v) : list.list;
    const struct jvalue *path = jinja_argument(a, SIZE_MAX, "attribute");
    const struct jvalue *otherwise = jinja_argument(a, SIZE_MAX, "default");
    struct str name = path ? STR_NONE : name_argument(j, a, 0, jinja_has_filter);
    struct jarguments rest = arguments_from(a, 1);
    for (size_t i = 0; i < from->count; i++) {
        struct jvalue item = from->items[i];
        jinja_charge(j, 1);
        item = path ? path_value(j, item, path) : jinja_filter(j, name, item, &rest);
        if (path && item.kind == JV_UNDEFINED && otherwise)
            item = *otherwise;
        jv_list_add(j, list.list, item);
    }
    return list;
}

static struct jvalue filter_batch(struct jinja *j, struct jvalue v, const struct jarguments *a)
{
    struct jvalue list = jv_list_new(j, JV_LIST), row = jv_list_new(j, JV_LIST);
    const struct jlist *from = jv_elements(j, &v);
    const struct jvalue *fill = jinja_argument(a, 1, "fill_with");
    int64_t size = jinja_argument_int(j, a, 0, "linecount", 0);
    if (size < 1)
        jinja_fail(j, "batch needs a size of at least 1");
    for (size_t i = 0; i < from->count; i++) {
        if (row.list->count == (size_t)size) {
            jv_list_add(j, list.list, row);
            row = jv_list_new(j, JV_LIST);
        }
        jinja_charge(j, 1);
        jv_list_add(j, row.list, from->items[i]);
    }
    while (fill && row.list->count && row.list->count < (size_t)size) {
        jinja_charge(j, 1);
        jv_list_add(j, row.list, *fill);
    }
    if (row.list->count)
        jv_list_add(j, list.list, row);
    return list;
}

/* ---- By name ---- */

static const struct {
    const char *name;
    filter_fn run;
} filters[] = {
    {"abs", filter_abs},
    {"batch", filter_batch},
    {"capitalize", filter_capitalize},
    {"count", filter_length},
    {"d", filter_default},
    {"default", filter_default},
    {"dictsort", filter_dictsort},
    {"e", filter_escape},
    {"escape", filter_escape},
    {"first", filter_first},
    {"float", filter_float},
    {"format", filter_format},
    {"from_json", filter_from_json},
    {"indent", filter_indent},
    {"int", filter_int},
    {"items", filter_items},
    {"join", filter_join},
    {"last", filter_last},
    {"length", filter_length},
    {"list", filter_list},
    {"lower", filter_lower},
    {"map", filter_map},
    {"max", filter_max},
    {"min", filter_min},
    {"reject", filter_reject},
    {"rejectattr", filter_rejectattr},
    {"replace", filter_replace},
    {"reverse", filter_reverse},
    {"round", filter_round},
    {"safe", filter_safe},
    {"select", filter_select},
    {"selectattr", filter_selectattr},
    {"sort", filter_sort},
    {"string", filter_string},
    {"sum", filter_sum},
    {"title", filter_title},
    {"tojson", filter_tojson},
    {"trim", filter_trim},
    {"unique", filter_unique},
    {"upper", filter_upper},
};

static filter_fn find(struct str name)
{
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (str_eq(name, str_from_c(filters[i].name)))
            return filters[i].run;
    return NULL;
}

bool jinja_has_filter(struct str name)
{
    return find(name) != NULL;
}

struct jvalue jinja_filter(struct jinja *j, struct str name, struct jvalue input,
                           const struct jarguments *a)
{
    filter_fn run = find(name);
    if (!run)
        jinja_fail(j, "there is no filter '%.*s'", STR_ARG(str_take(name, 40)));
    jinja_enter(j);
    struct jvalue v = run(j, input, a);
    jinja_leave(j);
    return v;
}
