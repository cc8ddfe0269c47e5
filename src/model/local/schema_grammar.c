#include "model/local/schema_grammar_int.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

const char *const schema_keyword_names[KW_COUNT] = {
    "type",
    "enum",
    "const",
    "$ref",
    "anyOf",
    "oneOf",
    "allOf",
    "properties",
    "required",
    "additionalProperties",
    "minProperties",
    "maxProperties",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "uniqueItems",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "minContains",
    "maxContains",
    "patternProperties",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "unevaluatedItems",
    "unevaluatedProperties",
    "additionalItems",
    "$dynamicRef",
    "$recursiveRef",
};

/* A schema that has its rule, by where it stands. */
struct known {
    const char *at;
    unsigned rule;
};

struct work {
    struct str root;
    struct str name;
    struct buf *grammar;
    struct buf *problem;
    struct buf path; /* of the schema at hand, for people */
    struct known known[SCHEMA_RULES_MAX];
    unsigned known_count;
    unsigned rules; /* numbers given */
    unsigned depth;
};

static enum err convert(struct work *w, const struct json_value *schema, unsigned *ret_rule);

/* ---- Reading ---- */

void schema_read(struct str schema, struct schema *ret_schema)
{
    struct json_reader r;
    struct json_value key;
    *ret_schema = (struct schema){0};
    json_reader_init(&r, schema, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_OBJECT))
        return;
    while (json_next_member(&r, &key))
        for (unsigned i = 0; i < KW_COUNT; i++)
            if (json_eq(&key, str_from_c(schema_keyword_names[i]))) {
                ret_schema->k[i] = json_take(&r);
                break;
            }
}

static unsigned kind_named(const struct json_value *name, bool *integer)
{
    static const struct {
        struct str name;
        unsigned kinds;
    } types[] = {
        {STR_INIT("string"), 1u << JSON_STRING},
        {STR_INIT("number"), 1u << JSON_NUMBER},
        {STR_INIT("object"), 1u << JSON_OBJECT},
        {STR_INIT("array"), 1u << JSON_ARRAY},
        {STR_INIT("null"), 1u << JSON_NULL},
        {STR_INIT("integer"), 1u << JSON_NUMBER},
        {STR_INIT("boolean"), 1u << JSON_TRUE | 1u << JSON_FALSE},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (json_eq(name, types[i].name)) {
            *integer = str_eq(types[i].name, STR("integer"));
            return types[i].kinds;
        }
    return 0;
}

unsigned schema_kinds(const struct schema *s, bool *ret_integers_only)
{
    const struct json_value *type = &s->k[KW_TYPE];
    struct json_reader r;
    unsigned kinds = 0;
    bool integer, any_number = false, any_integer = false;
    *ret_integers_only = false;
    if (type->kind == JSON_NONE)
        return ~0u;
    if (type->kind == JSON_STRING)
        return kind_named(type, ret_integers_only);
    json_reader_init(&r, type->raw, 4);
    if (!json_enter(&r, JSON_ARRAY))
        return 0;
    while (json_next_element(&r)) {
        struct json_value name = json_take(&r);
        integer = false;
        unsigned kind = kind_named(&name, &integer);
        if (kind == 0)
            return 0;
        kinds |= kind;
        any_integer |= integer;
        any_number |= kind == 1u << JSON_NUMBER && !integer;
    }
    *ret_integers_only = any_integer && !any_number;
    return kinds;
}

/* A part of a JSON pointer, without its escapes (~0, ~1). */
static bool part_is(struct str part, const struct json_value *key)
{
    char text[256];
    size_t n = 0;
    for (size_t i = 0; i < part.len; i++) {
        char c = part.ptr[i];
        if (c == '~' && i + 1 < part.len)
            c = part.ptr[++i] == '1' ? '/' : '~';
        if (n == sizeof text)
            return false;
        text[n++] = c;
    }
    return json_eq(key, str_of(text, n));
}

static bool step(struct json_value *v, struct str part)
{
    struct json_reader r;
    struct json_value key;
    uint64_t index = 0;
    bool found = false;
    json_reader_init(&r, v->raw, JSON_DEPTH_MAX);
    if (json_enter(&r, JSON_OBJECT)) {
        while (json_next_member(&r, &key))
            if (part_is(part, &key)) {
                *v = json_take(&r);
                found = true;
            }
    } else if (str_to_u64(part, &index) == ERR_OK && json_enter(&r, JSON_ARRAY)) {
        for (uint64_t i = 0; json_next_element(&r); i++)
            if (i == index) {
                *v = json_take(&r);
                found = true;
            }
    }
    return found;
}

bool schema_resolve(struct str root, struct str reference, struct json_value *ret_value)
{
    struct json_value v;
    if (!str_starts(reference, STR("#")) || json_validate(root, JSON_DEPTH_MAX, &v) != ERR_OK)
        return false;
    struct str rest = str_skip(reference, 1);
    if (rest.len && rest.ptr[0] != '/')
        return false;
    rest = str_skip(rest, 1);
    while (rest.len) {
        struct str part = str_split(&rest, '/');
        if (!step(&v, part))
            return false;
    }
    *ret_value = v;
    return true;
}

/* ---- Refusing ---- */

__attribute__((format(printf, 3, 4))) static enum err refuse(struct work *w, enum err e,
                                                             const char *format, ...)
{
    if (w->problem->len)
        return e;
    buf_printf(w->problem, "the schema at '#%.*s': ", STR_ARG(str_take(buf_str(&w->path), 100)));
    va_list args;
    va_start(args, format);
    buf_vprintf(w->problem, format, args);
    va_end(args);
    return e;
}

static size_t enter(struct work *w, const char *keyword, const struct json_value *name)
{
    size_t before = w->path.len;
    buf_printf(&w->path, "/%s", keyword);
    if (name)
        buf_printf(&w->path, "/%.*s", STR_ARG(str_take(json_text_raw(name), 60)));
    return before;
}

static void leave(struct work *w, size_t before)
{
    w->path.len = before;
}

static enum err read_count(struct work *w, const struct schema *s, enum schema_keyword k,
                           int64_t *value)
{
    if (s->k[k].kind == JSON_NONE)
        return ERR_OK;
    if (json_to_i64(&s->k[k], value) != ERR_OK || *value < 0)
        return refuse(w, ERR_INVALID, "'%s' must be a whole number from 0 on",
                      schema_keyword_names[k]);
    if (*value > SCHEMA_REPEAT_MAX && (k == KW_MIN_ITEMS || k == KW_MIN_LENGTH))
        return refuse(w, ERR_UNSUPPORTED, "'%s' above %d is more than can be kept",
                      schema_keyword_names[k], SCHEMA_REPEAT_MAX);
    return ERR_OK;
}

/* {min,max} after an expression; max -1: no end. A large maximum is narrowed to what can be kept.
 */
static void repeat(struct buf *out, int64_t min, int64_t max)
{
    if (max > SCHEMA_REPEAT_MAX)
        max = SCHEMA_REPEAT_MAX;
    if (max < 0 && min == 0)
        buf_append_str(out, STR("*"));
    else if (max < 0)
        buf_printf(out, "{%lld,}", (long long)min);
    else
        buf_printf(out, "{%lld,%lld}", (long long)min, (long long)max);
}

/* ---- Values ---- */

void schema_grammar_literal(struct buf *grammar, struct str text)
{
    buf_append_str(grammar, STR(" \""));
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\')
            buf_printf(grammar, "\\%c", c);
        else if (c < 0x20 || c == 0x7F)
            buf_printf(grammar, "\\x%02X", c);
        else
            buf_append_char(grammar, (char)c);
    }
    buf_append_str(grammar, STR("\""));
}

static bool kind_allowed(const struct json_value *v, unsigned kinds, bool integers)
{
    int64_t n;
    if (!(kinds >> v->kind & 1))
        return false;
    return v->kind != JSON_NUMBER || !integers || json_to_i64(v, &n) == ERR_OK;
}

static enum err write_enum(struct work *w, const struct schema *s, struct buf *out)
{
    struct json_reader r;
    bool integers, first = true;
    unsigned kinds = schema_kinds(s, &integers);
    json_reader_init(&r, s->k[KW_ENUM].raw, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return refuse(w, ERR_INVALID, "'enum' must be a list");
    while (json_next_element(&r)) {
        struct json_value v = json_take(&r);
        if (!kind_allowed(&v, kinds, integers))
            continue;
        buf_append_str(out, first ? STR("") : STR(" |"));
        schema_grammar_literal(out, v.raw);
        first = false;
    }
    return first ? refuse(w, ERR_INVALID, "'enum' has no value of its 'type'") : ERR_OK;
}

static enum err write_const(struct work *w, const struct schema *s, struct buf *out)
{
    bool integers;
    unsigned kinds = schema_kinds(s, &integers);
    if (!kind_allowed(&s->k[KW_CONST], kinds, integers))
        return refuse(w, ERR_INVALID, "'const' is not of its 'type'");
    schema_grammar_literal(out, s->k[KW_CONST].raw);
    return ERR_OK;
}

/* ---- Strings ---- */

static const char *format_rule(const struct json_value *format)
{
    static const char *const formats[] = {"date", "time", "date-time", "uuid", "ipv4"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (json_eq(format, str_from_c(formats[i])))
            return formats[i];
    return NULL;
}

static enum err write_pattern(struct work *w, const struct schema *s, struct buf *out)
{
    struct arena arena;
    BUF_AUTO struct buf why;
    buf_init(&why, 200);
    arena_init(&arena);
    buf_append_str(out, STR(" \"\\\"\" ("));
    enum err e = schema_pattern_write(out, json_text(&s->k[KW_PATTERN], &arena), &why);
    buf_append_str(out, STR(") \"\\\"\""));
    arena_release(&arena);
    return e == ERR_OK ? ERR_OK : refuse(w, e, "%.*s; write it otherwise", STR_ARG(buf_str(&why)));
}

static enum err write_string(struct work *w, const struct schema *s, struct buf *out)
{
    int64_t min = 0, max = -1;
    bool bounded = s->k[KW_MIN_LENGTH].kind || s->k[KW_MAX_LENGTH].kind;
    const char *format = format_rule(&s->k[KW_FORMAT]);
    TRY(read_count(w, s, KW_MIN_LENGTH, &min));
    TRY(read_count(w, s, KW_MAX_LENGTH, &max));
    if ((bounded || format) && s->k[KW_PATTERN].kind)
        return refuse(w, ERR_UNSUPPORTED,
                      "'pattern' cannot be kept together with a length or a "
                      "format");
    if (bounded && format)
        return refuse(w, ERR_UNSUPPORTED, "'format' cannot be kept together with a length");
    if (s->k[KW_PATTERN].kind == JSON_STRING)
        return write_pattern(w, s, out);
    if (s->k[KW_PATTERN].kind)
        return refuse(w, ERR_INVALID, "'pattern' must be a string");
    if (max >= 0 && max < min)
        return refuse(w, ERR_INVALID, "'maxLength' is less than 'minLength'");
    if (format) {
        buf_printf(out, " \"\\\"\" %s \"\\\"\"", format);
    } else {
        buf_append_str(out, STR(" \"\\\"\" char"));
        repeat(out, min, max);
        buf_append_str(out, STR(" \"\\\"\""));
    }
    return ERR_OK;
}

/* ---- Numbers ---- */

struct bounds {
    double min, max;
    bool min_open, max_open, any;
};

static enum err read_bound(struct work *w, const struct schema *s, enum schema_keyword k,
                           struct bounds *b)
{
    double v;
    bool lower = k == KW_MINIMUM || k == KW_EXCLUSIVE_MINIMUM;
    bool open = k == KW_EXCLUSIVE_MINIMUM || k == KW_EXCLUSIVE_MAXIMUM;
    if (s->k[k].kind == JSON_NONE)
        return ERR_OK;
    if (json_to_double(&s->k[k], &v) != ERR_OK)
        return refuse(w, ERR_INVALID, "'%s' must be a number", schema_keyword_names[k]);
    if (lower && (v > b->min || (v == b->min && open))) {
        b->min = v;
        b->min_open = open;
    } else if (!lower && (v < b->max || (v == b->max && open))) {
        b->max = v;
        b->max_open = open;
    }
    b->any = true;
    return ERR_OK;
}

static enum err write_integers(struct work *w, const struct bounds *b, struct buf *out)
{
    const double most = (double)SCHEMA_INTEGER_MAX;
    double low = b->min < -most ? -most : b->min, high = b->max > most ? most : b->max;
    if (low > most || high < -most)
        return refuse(w, ERR_UNSUPPORTED, "its bounds are beyond 15 digits");
    int64_t first = (int64_t)low, last = (int64_t)high;
    first += (double)first < low || (b->min_open && (double)first == b->min);
    last -= (double)last > high || (b->max_open && (double)last == b->max);
    if (first > last)
        return refuse(w, ERR_INVALID, "no whole number is within its bounds");
    schema_integers_write(out, first, last);
    return ERR_OK;
}

static enum err write_number(struct work *w, const struct schema *s, bool integers, struct buf *out)
{
    struct bounds b = {.min = -1e300, .max = 1e300};
    for (enum schema_keyword k = KW_MINIMUM; k <= KW_EXCLUSIVE_MAXIMUM; k++)
        TRY(read_bound(w, s, k, &b));
    if (s->k[KW_MULTIPLE_OF].kind) {
        if (!str_eq(s->k[KW_MULTIPLE_OF].raw, STR("1")))
            return refuse(w, ERR_UNSUPPORTED, "'multipleOf' cannot be kept");
        integers = true;
    }
    if (!b.any) {
        buf_append_str(out, integers ? STR(" integer") : STR(" number"));
        return ERR_OK;
    }
    if (integers)
        return write_integers(w, &b, out);
    if (!schema_numbers_write(out, b.min, b.max, b.min_open, b.max_open))
        return refuse(w, ERR_UNSUPPORTED,
                      "no whole number is within its bounds, and others are "
                      "made of those");
    return ERR_OK;
}

/* ---- Arrays ---- */

static enum err convert_at(struct work *w, const char *keyword, const struct json_value *name,
                           const struct json_value *schema, unsigned *ret_rule)
{
    size_t before = enter(w, keyword, name);
    enum err e = convert(w, schema, ret_rule);
    leave(w, before);
    return e;
}

static void reference(const struct work *w, struct buf *out, unsigned rule)
{
    buf_printf(out, " %.*s-%u", STR_ARG(w->name), rule);
}

/* The first elements, each with its own schema; how many there are. */
static enum err write_prefix(struct work *w, const struct schema *s, struct buf *out,
                             int64_t *ret_count)
{
    struct json_reader r;
    unsigned rule;
    int64_t count = 0;
    json_reader_init(&r, s->k[KW_PREFIX_ITEMS].raw, JSON_DEPTH_MAX);
    if (s->k[KW_PREFIX_ITEMS].kind && json_enter(&r, JSON_ARRAY))
        for (; json_next_element(&r); count++) {
            struct json_value v = json_take(&r);
            TRY(convert_at(w, "prefixItems", NULL, &v, &rule));
            buf_append_str(out, count ? STR(" \",\" ws") : STR(""));
            reference(w, out, rule);
        }
    *ret_count = count;
    return ERR_OK;
}

static enum err write_items(struct work *w, const struct schema *s, int64_t before, int64_t min,
                            int64_t max, struct buf *out)
{
    unsigned rule;
    static const struct json_value anything = {.raw = STR_INIT("true"), .kind = JSON_TRUE};
    const struct json_value *items = s->k[KW_ITEMS].kind ? &s->k[KW_ITEMS] : &anything;
    int64_t least = min > before ? min - before : 0, most = max < 0 ? -1 : max - before;
    if (items->kind == JSON_ARRAY)
        return refuse(w, ERR_UNSUPPORTED, "'items' as a list is written 'prefixItems' nowadays");
    if (items->kind == JSON_FALSE || most == 0)
        return least ? refuse(w, ERR_INVALID, "'minItems' asks for more than 'items' allows")
                     : ERR_OK;
    TRY(convert_at(w, "items", NULL, items, &rule));
    if (before) {
        buf_append_str(out, STR(" (\",\" ws"));
        reference(w, out, rule);
        buf_append_str(out, STR(")"));
        repeat(out, least, most);
        return ERR_OK;
    }
    buf_append_str(out, STR(" ("));
    reference(w, out, rule);
    buf_append_str(out, STR(" (\",\" ws"));
    reference(w, out, rule);
    buf_append_str(out, STR(")"));
    repeat(out, least ? least - 1 : 0, most < 0 ? -1 : most - 1);
    buf_append_str(out, least ? STR(")") : STR(")?"));
    return ERR_OK;
}

static enum err write_array(struct work *w, const struct schema *s, struct buf *out)
{
    int64_t min = 0, max = -1, before;
    TRY(read_count(w, s, KW_MIN_ITEMS, &min));
    TRY(read_count(w, s, KW_MAX_ITEMS, &max));
    if (s->k[KW_UNIQUE_ITEMS].kind == JSON_TRUE)
        return refuse(w, ERR_UNSUPPORTED, "'uniqueItems' cannot be kept");
    buf_append_str(out, STR(" \"[\" ws"));
    TRY(write_prefix(w, s, out, &before));
    if (max >= 0 && (max < min || max < before))
        return refuse(w, ERR_UNSUPPORTED, "'maxItems' is less than 'minItems' or 'prefixItems'");
    TRY(write_items(w, s, before, min, max, out));
    buf_append_str(out, STR(" ws \"]\""));
    return ERR_OK;
}

/* ---- Objects ---- */

struct property {
    struct str key; /* with its quotes */
    unsigned rule;
    bool required;
};

struct properties {
    struct property *list;
    size_t count;
};

static bool is_required(const struct schema *s, struct str key)
{
    struct json_reader r;
    bool there = false;
    json_reader_init(&r, s->k[KW_REQUIRED].raw, 4);
    if (s->k[KW_REQUIRED].kind && json_enter(&r, JSON_ARRAY))
        while (json_next_element(&r)) {
            struct json_value v = json_take(&r);
            there |= str_eq(v.raw, key);
        }
    return there;
}

static enum err add_property(struct work *w, struct properties *p, struct str key, unsigned rule,
                             bool required)
{
    if (p->count == SCHEMA_RULES_MAX)
        return refuse(w, ERR_TOO_LARGE, "it has more than %d properties", SCHEMA_RULES_MAX);
    p->list[p->count++] = (struct property){key, rule, required};
    return ERR_OK;
}

static bool has_property(const struct properties *p, struct str key)
{
    for (size_t i = 0; i < p->count; i++)
        if (str_eq(p->list[i].key, key))
            return true;
    return false;
}

static enum err collect_named(struct work *w, const struct schema *s, struct properties *p)
{
    struct json_reader r;
    struct json_value key;
    unsigned rule;
    json_reader_init(&r, s->k[KW_PROPERTIES].raw, JSON_DEPTH_MAX);
    if (!s->k[KW_PROPERTIES].kind)
        return ERR_OK;
    if (!json_enter(&r, JSON_OBJECT))
        return refuse(w, ERR_INVALID, "'properties' must be an object");
    while (json_next_member(&r, &key)) {
        struct json_value v = json_take(&r);
        bool required = is_required(s, key.raw);
        if (v.kind == JSON_FALSE && !required)
            continue; /* it must not be there */
        if (has_property(p, key.raw))
            return refuse(w, ERR_INVALID, "'properties' names %.*s twice",
                          STR_ARG(str_take(key.raw, 60)));
        TRY(convert_at(w, "properties", &key, &v, &rule));
        TRY(add_property(w, p, key.raw, rule, required));
    }
    return ERR_OK;
}

/* Those that are required but not named have the schema of the others. */
static enum err collect_required(struct work *w, const struct schema *s, struct properties *p)
{
    struct json_reader r;
    unsigned rule;
    static const struct json_value anything = {.raw = STR_INIT("true"), .kind = JSON_TRUE};
    const struct json_value *others = s->k[KW_ADDITIONAL].kind ? &s->k[KW_ADDITIONAL] : &anything;
    json_reader_init(&r, s->k[KW_REQUIRED].raw, 4);
    if (!s->k[KW_REQUIRED].kind)
        return ERR_OK;
    if (!json_enter(&r, JSON_ARRAY))
        return refuse(w, ERR_INVALID, "'required' must be a list");
    while (json_next_element(&r)) {
        struct json_value v = json_take(&r);
        if (v.kind != JSON_STRING)
            return refuse(w, ERR_INVALID, "'required' must be a list of names");
        if (has_property(p, v.raw))
            continue;
        TRY(convert_at(w, "additionalProperties", NULL, others, &rule));
        TRY(add_property(w, p, v.raw, rule, true));
    }
    return ERR_OK;
}

static void write_member(const struct work *w, const struct property *p, struct buf *out)
{
    schema_grammar_literal(out, p->key);
    buf_append_str(out, STR(" \":\" ws"));
    reference(w, out, p->rule);
}

/* For each property two rules: what can follow when none was written yet (a), and when one was (b).
 *
 *   a1 ::= p1 b2 | a2          b1 ::= "," p1 b2 | b2          (no second part where p1 is required)
 */
static enum err write_members(struct work *w, const struct properties *p, struct buf *out)
{
    unsigned first = w->rules;
    w->rules += 2 * (unsigned)p->count;
    if (w->rules > SCHEMA_RULES_MAX * 4)
        return refuse(w, ERR_TOO_LARGE, "it needs too many rules");
    for (unsigned i = 0; i < p->count; i++)
        for (unsigned later = 0; later < 2; later++) {
            bool last = i + 1 == p->count;
            struct buf *g = w->grammar;
            buf_printf(g, "%.*s-%u ::=", STR_ARG(w->name), first + 2 * i + later);
            buf_append_str(g, later ? STR(" \",\" ws") : STR(""));
            write_member(w, &p->list[i], g);
            if (!last)
                reference(w, g, first + 2 * (i + 1) + 1);
            if (!p->list[i].required && last)
                buf_append_str(g, STR(" | \"\""));
            else if (!p->list[i].required) {
                buf_append_str(g, STR(" |"));
                reference(w, g, first + 2 * (i + 1) + later);
            }
            buf_append_char(g, '\n');
        }
    reference(w, out, first);
    return ERR_OK;
}

/* An object whose names are free. */
static enum err write_map(struct work *w, const struct schema *s, struct buf *out)
{
    int64_t min = 0, max = -1;
    unsigned rule;
    static const struct json_value anything = {.raw = STR_INIT("true"), .kind = JSON_TRUE};
    const struct json_value *values = s->k[KW_ADDITIONAL].kind ? &s->k[KW_ADDITIONAL] : &anything;
    TRY(read_count(w, s, KW_MIN_PROPERTIES, &min));
    TRY(read_count(w, s, KW_MAX_PROPERTIES, &max));
    if (min > 1 || (max >= 0 && max < min))
        return refuse(w, ERR_UNSUPPORTED, "'minProperties' above 1 cannot be kept");
    if (values->kind == JSON_FALSE || max == 0) {
        buf_append_str(out, STR(" \"{\" ws \"}\""));
        return min ? refuse(w, ERR_INVALID, "'minProperties' of an object that may have none")
                   : ERR_OK;
    }
    TRY(convert_at(w, "additionalProperties", NULL, values, &rule));
    buf_append_str(out, STR(" \"{\" ws (string \":\" ws"));
    reference(w, out, rule);
    buf_append_str(out, STR(" (\",\" ws string \":\" ws"));
    reference(w, out, rule);
    buf_append_str(out, STR(")"));
    repeat(out, 0, max < 0 ? -1 : max - 1);
    buf_append_str(out, min ? STR(") ws \"}\"") : STR(")? ws \"}\""));
    return ERR_OK;
}

static enum err write_object(struct work *w, const struct schema *s, struct buf *out)
{
    struct properties p = {.list = mem_array(SCHEMA_RULES_MAX, sizeof *p.list)};
    enum err e = collect_named(w, s, &p);
    if (e == ERR_OK)
        e = collect_required(w, s, &p);
    bool closed = s->k[KW_PROPERTIES].kind && !s->k[KW_ADDITIONAL].kind;
    if (e == ERR_OK && p.count == 0 && closed) {
        buf_append_str(out, STR(" \"{\" ws \"}\""));
    } else if (e == ERR_OK && p.count == 0) {
        e = write_map(w, s, out);
    } else if (e == ERR_OK && (s->k[KW_MIN_PROPERTIES].kind || s->k[KW_MAX_PROPERTIES].kind)) {
        e = refuse(w, ERR_UNSUPPORTED,
                   "'minProperties' and 'maxProperties' cannot be kept beside named properties");
    } else if (e == ERR_OK) {
        buf_append_str(out, STR(" \"{\" ws"));
        e = write_members(w, &p, out);
        buf_append_str(out, STR(" ws \"}\""));
    }
    mem_free(p.list);
    return e;
}

/* ---- Schemas of schemas ---- */

/* Has it constraints of its own beside one of these? Then the two would have to hold at once. */
static bool constrains(const struct schema *s)
{
    for (unsigned k = KW_PROPERTIES; k < KW_REFUSED; k++)
        if (s->k[k].kind && k != KW_FORMAT)
            return true;
    return s->k[KW_ENUM].kind || s->k[KW_CONST].kind;
}

static enum err check_one_of(struct work *w, const struct json_value *list)
{
    struct json_reader a, b;
    json_reader_init(&a, list->raw, JSON_DEPTH_MAX);
    if (!json_enter(&a, JSON_ARRAY))
        return ERR_OK;
    for (size_t i = 0; json_next_element(&a); i++) {
        struct json_value x = json_take(&a);
        json_reader_init(&b, list->raw, JSON_DEPTH_MAX);
        json_enter(&b, JSON_ARRAY);
        for (size_t j = 0; json_next_element(&b); j++) {
            struct json_value y = json_take(&b);
            if (j > i && !schema_disjoint(w->root, x.raw, y.raw, 0))
                return refuse(w, ERR_UNSUPPORTED,
                              "two schemas of 'oneOf' could hold at once; give them a required "
                              "property with different constants, or write 'anyOf'");
        }
    }
    return ERR_OK;
}

static enum err write_union(struct work *w, const struct schema *s, enum schema_keyword k,
                            struct buf *out)
{
    struct json_reader r;
    unsigned rule, count = 0;
    if (constrains(s) || s->k[KW_TYPE].kind)
        return refuse(w, ERR_UNSUPPORTED, "'%s' cannot be kept together with other constraints",
                      schema_keyword_names[k]);
    if (k == KW_ONE_OF)
        TRY(check_one_of(w, &s->k[k]));
    json_reader_init(&r, s->k[k].raw, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return refuse(w, ERR_INVALID, "'%s' must be a list", schema_keyword_names[k]);
    while (json_next_element(&r)) {
        struct json_value v = json_take(&r);
        if (v.kind == JSON_FALSE)
            continue;
        if (k == KW_ALL_OF && count == 1)
            return refuse(w, ERR_UNSUPPORTED, "'allOf' of several schemas cannot be kept");
        TRY(convert_at(w, schema_keyword_names[k], NULL, &v, &rule));
        buf_append_str(out, count++ ? STR(" |") : STR(""));
        reference(w, out, rule);
    }
    return count ? ERR_OK : refuse(w, ERR_INVALID, "'%s' allows nothing", schema_keyword_names[k]);
}

static enum err write_reference(struct work *w, const struct schema *s, struct buf *out)
{
    struct json_value to;
    struct arena arena;
    unsigned rule = 0;
    if (constrains(s))
        return refuse(w, ERR_UNSUPPORTED, "'$ref' cannot be kept together with other constraints");
    arena_init(&arena);
    struct str name = json_text(&s->k[KW_REF], &arena);
    bool there = schema_resolve(w->root, name, &to);
    enum err e = there ? convert(w, &to, &rule)
                       : refuse(w, ERR_INVALID, "'$ref' leads to %.*s, which is not in the schema",
                                STR_ARG(str_take(name, 80)));
    arena_release(&arena);
    if (e == ERR_OK)
        reference(w, out, rule);
    return e;
}

static enum err write_kind(struct work *w, const struct schema *s, enum json_kind kind,
                           bool integers, struct buf *out)
{
    switch (kind) {
    case JSON_NULL: buf_append_str(out, STR(" \"null\"")); return ERR_OK;
    case JSON_FALSE: buf_append_str(out, STR(" \"false\"")); return ERR_OK;
    case JSON_TRUE: buf_append_str(out, STR(" \"true\"")); return ERR_OK;
    case JSON_NUMBER: return write_number(w, s, integers, out);
    case JSON_STRING: return write_string(w, s, out);
    case JSON_ARRAY: return write_array(w, s, out);
    case JSON_OBJECT: return write_object(w, s, out);
    case JSON_NONE: break;
    }
    return ERR_INVALID;
}

/* Without a type, keywords say which kind is meant; the others are then left out, which is
 * narrower. */
static unsigned implied_kinds(const struct schema *s)
{
    unsigned kinds = 0;
    for (unsigned k = KW_PROPERTIES; k <= KW_MAX_PROPERTIES; k++)
        kinds |= s->k[k].kind ? 1u << JSON_OBJECT : 0;
    for (unsigned k = KW_ITEMS; k <= KW_MAX_ITEMS; k++)
        kinds |= s->k[k].kind ? 1u << JSON_ARRAY : 0;
    for (unsigned k = KW_MIN_LENGTH; k <= KW_PATTERN; k++)
        kinds |= s->k[k].kind ? 1u << JSON_STRING : 0;
    for (unsigned k = KW_MINIMUM; k <= KW_MULTIPLE_OF; k++)
        kinds |= s->k[k].kind ? 1u << JSON_NUMBER : 0;
    return kinds;
}

static enum err write_types(struct work *w, const struct schema *s, struct buf *out)
{
    bool integers, first = true;
    unsigned kinds = schema_kinds(s, &integers);
    if (kinds == 0)
        return refuse(w, ERR_INVALID,
                      "'type' must be string, number, integer, boolean, object, "
                      "array, null, or a list of them");
    if (!s->k[KW_TYPE].kind && (kinds = implied_kinds(s)) == 0) {
        buf_append_str(out, STR(" value"));
        return ERR_OK;
    }
    for (enum json_kind kind = JSON_NULL; kind <= JSON_OBJECT; kind++) {
        if (!(kinds >> kind & 1))
            continue;
        buf_append_str(out, first ? STR("") : STR(" |"));
        TRY(write_kind(w, s, kind, integers, out));
        first = false;
    }
    return ERR_OK;
}

static enum err write_schema(struct work *w, const struct json_value *schema, struct buf *out)
{
    struct schema s;
    if (schema->kind == JSON_TRUE) {
        buf_append_str(out, STR(" value"));
        return ERR_OK;
    }
    if (schema->kind != JSON_OBJECT)
        return refuse(w, ERR_INVALID,
                      schema->kind == JSON_FALSE ? "it allows nothing" : "a schema is an object");
    schema_read(schema->raw, &s);
    for (unsigned k = KW_REFUSED; k < KW_COUNT; k++)
        if (s.k[k].kind)
            return refuse(w, ERR_UNSUPPORTED, "'%s' cannot be kept", schema_keyword_names[k]);
    if (s.k[KW_REF].kind == JSON_STRING)
        return write_reference(w, &s, out);
    if (s.k[KW_CONST].kind)
        return write_const(w, &s, out);
    if (s.k[KW_ENUM].kind)
        return write_enum(w, &s, out);
    for (enum schema_keyword k = KW_ANY_OF; k <= KW_ALL_OF; k++)
        if (s.k[k].kind)
            return write_union(w, &s, k, out);
    return write_types(w, &s, out);
}

/* The schema's rule, written now or before. */
static enum err convert(struct work *w, const struct json_value *schema, unsigned *ret_rule)
{
    for (unsigned i = 0; i < w->known_count; i++)
        if (w->known[i].at == schema->raw.ptr)
            return *ret_rule = w->known[i].rule, ERR_OK;
    if (w->known_count == SCHEMA_RULES_MAX || w->depth == SCHEMA_DEPTH_MAX)
        return refuse(w, ERR_TOO_LARGE, "it has more than %d parts, or is nested deeper than %d",
                      SCHEMA_RULES_MAX, SCHEMA_DEPTH_MAX);
    unsigned rule = w->rules++;
    w->known[w->known_count++] = (struct known){schema->raw.ptr, rule};
    BUF_AUTO struct buf body;
    buf_init(&body, SCHEMA_GRAMMAR_BYTES_MAX);
    w->depth++;
    TRY(write_schema(w, schema, &body));
    w->depth--;
    buf_printf(w->grammar, "%.*s-%u ::=%.*s\n", STR_ARG(w->name), rule, STR_ARG(buf_str(&body)));
    *ret_rule = rule;
    return body.error ? refuse(w, ERR_TOO_LARGE, "its grammar is too large") : ERR_OK;
}

enum err schema_grammar_add(struct str schema, struct str name, struct buf *grammar,
                            struct buf *problem)
{
    struct json_value root;
    unsigned rule = 0;
    if (schema.len > SCHEMA_BYTES_MAX) {
        buf_printf(problem, "the schema has %zu bytes; at most %d are possible", schema.len,
                   SCHEMA_BYTES_MAX);
        return ERR_TOO_LARGE;
    }
    if (json_validate(schema, JSON_DEPTH_MAX, &root) != ERR_OK) {
        buf_append_str(problem, STR("the schema is not valid JSON"));
        return ERR_INVALID;
    }
    struct work *w = NEW(struct work);
    *w = (struct work){.root = root.raw, .name = name, .grammar = grammar, .problem = problem};
    buf_init(&w->path, 1 << 20);
    enum err e = convert(w, &root, &rule);
    if (e == ERR_OK)
        buf_printf(grammar, "%.*s ::= %.*s-%u\n", STR_ARG(name), STR_ARG(name), rule);
    if (e == ERR_OK && grammar->error)
        e = refuse(w, ERR_TOO_LARGE, "its grammar is too large");
    buf_release(&w->path);
    mem_free(w);
    return e;
}

/* Numbers stay within what a double holds. A surrogate's escape without its other half would be no
 * character, so none is written. */
void schema_grammar_finish(struct buf *grammar)
{
    buf_append_str(
        grammar,
        STR("ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n"
            "hex ::= [0-9a-fA-F]\n"
            "char ::= [^\"\\\\\\x00-\\x1F\\x7F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" "
            "([0-9a-cA-CeEfF] hex "
            "hex hex | [dD] [0-7] hex hex))\n"
            "string ::= \"\\\"\" char* \"\\\"\"\n"
            "integer ::= \"-\"? (\"0\" | [1-9] [0-9]{0,14})\n"
            "number ::= integer (\".\" [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?\n"
            "array ::= \"[\" ws (value (\",\" ws value)*)? ws \"]\"\n"
            "object ::= \"{\" ws (string \":\" ws value (\",\" ws string \":\" ws value)*)? "
            "ws "
            "\"}\"\n"
            "value ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"
            "month-day ::= (\"0\" [13578] | \"10\" | \"12\") \"-\" (\"0\" [1-9] | [12] [0-9] | "
            "\"3\" [01]) | (\"0\" [469] | \"11\") \"-\" (\"0\" [1-9] | [12] [0-9] | \"30\") | "
            "\"02-\" (\"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8])\n"
            "date ::= (\"19\" | \"20\") [0-9]{2} \"-\" month-day\n"
            "time ::= ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" "
            "[0-9]{1,6})? (\"Z\" | [-+] ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9])\n"
            "date-time ::= date \"T\" time\n"
            "uuid ::= hex{8} \"-\" hex{4} \"-\" hex{4} \"-\" hex{4} \"-\" hex{12}\n"
            "byte ::= \"25\" [0-5] | \"2\" [0-4] [0-9] | \"1\" [0-9] [0-9] | [1-9]? [0-9]\n"
            "ipv4 ::= byte \".\" byte \".\" byte \".\" byte\n"));
}
