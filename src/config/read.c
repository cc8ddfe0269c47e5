/* Nodes → values: each reader takes one node, puts one value into an object, or makes one mistake
 * that names the key, shows what stands there and says what should. */
#include "config/config_int.h"

#include "base/assert.h"
#include "codec/time.h"

/* Where the field's value goes. */
static void *slot(const struct field *field, void *object)
{
    return (char *)object + field->offset;
}

static const char *const kinds[] = {"nothing", "a value", "a list", "a mapping"};

static void wrong(struct loader *l, const struct node *n, const char *expected)
{
    if (n->kind == NODE_SCALAR)
        mistake(l, n, "%s: '%s' is not %s", node_path(l, n), node_shown(l, n), expected);
    else
        mistake(l, n, "%s: %s is not %s", node_path(l, n), kinds[n->kind], expected);
}

/* ---- Mappings ---- */

static const char *field_names(struct loader *l, const struct field *fields, size_t count)
{
    BUF_AUTO struct buf names = {.max = 1024};
    for (size_t i = 0; i < count; i++)
        buf_printf(&names, "%s%s", i ? ", " : "", fields[i].name);
    return arena_str(&l->scratch, buf_str(&names)).ptr;
}

static void unknown_key(struct loader *l, const struct node *map, const struct node *key,
                        const struct field *fields, size_t count)
{
    struct suggestion near = suggestion_for(key->text);
    const char *where = "";
    for (size_t i = 0; i < count; i++)
        suggestion_offer(&near, str_from_c(fields[i].name));
    if (!near.best.ptr) {
        where = " It belongs at the top of the file.";
        for (size_t i = 0; i < config_field_count; i++)
            suggestion_offer(&near, str_from_c(config_fields[i].name));
    }
    if (near.best.ptr)
        mistake(l, key, "unknown key '%s', did you mean '%.*s'?%s", node_shown(l, key),
                STR_ARG(near.best), where);
    else
        mistake(l, key, "unknown key '%s': %s knows %s", node_shown(l, key),
                map->parent ? node_path(l, map) : "the file", field_names(l, fields, count));
}

static const struct field *find_field(const struct field *fields, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(str_from_c(fields[i].name), name))
            return &fields[i];
    return NULL;
}

bool read_map(struct loader *l, const struct node *n, const struct field *fields, size_t count,
              void *object)
{
    if (!expect_map(l, n, CONFIG_NODES_MAX, "a mapping"))
        return false;
    for (const struct node *child = n->first; child; child = child->next) {
        const struct field *field = find_field(fields, count, child->key->text);
        if (!field) {
            unknown_key(l, n, child->key, fields, count);
            continue;
        }
        if (child->kind == NODE_NULL)
            continue;
        if (field->pending)
            warning(l, child->key, "'%s' does nothing in this version%s", field->name,
                    field->pending);
        field->read(l, field, child, object);
    }
    return true;
}

static bool expect(struct loader *l, const struct node *n, enum node_kind kind, size_t max,
                   const char *expected)
{
    if (n->kind != kind) { /* the value is not shown: it may be a key in the wrong place */
        mistake(l, n, "%s: %s is not %s", node_path(l, n), kinds[n->kind], expected);
        return false;
    }
    if (n->count > max) {
        mistake(l, n, "%s: %zu entries are too many (at most %zu)", node_path(l, n), n->count, max);
        return false;
    }
    return true;
}

bool expect_list(struct loader *l, const struct node *n, size_t max, const char *expected)
{
    return expect(l, n, NODE_LIST, max, expected);
}

bool expect_map(struct loader *l, const struct node *n, size_t max, const char *expected)
{
    return expect(l, n, NODE_MAP, max, expected);
}

/* ---- Scalars ---- */

bool scalar_text(struct loader *l, const struct node *n, const char *expected, struct str *ret_text)
{
    if (n->kind != NODE_SCALAR) {
        wrong(l, n, expected);
        return false;
    }
    if (n->unset.len) {
        if (!l->in_provider)
            mistake(l, n, "%s: %.*s is not set: set it, or write ${%.*s:-default}", node_path(l, n),
                    STR_ARG(n->unset), STR_ARG(n->unset));
        else if (!l->provider_unset.len)
            l->provider_unset = n->unset;
        return false;
    }
    for (size_t i = 0; i < n->text.len; i++) {
        if ((unsigned char)n->text.ptr[i] >= 0x20 && n->text.ptr[i] != 0x7f)
            continue;
        mistake(l, n, "%s: a control character (byte %zu) has no place here", node_path(l, n),
                i + 1);
        return false;
    }
    if (n->text.len > CONFIG_VALUE_BYTES_MAX) {
        mistake(l, n, "%s: longer than 64 KiB", node_path(l, n));
        return false;
    }
    *ret_text = n->text;
    return true;
}

void read_text(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    struct str text;
    if (!scalar_text(l, n, "a text", &text))
        return;
    if (text.len == 0)
        mistake(l, n, "%s: is empty", node_path(l, n));
    else
        *(struct str *)slot(field, object) = arena_str(l->arena, text);
}

void read_bool(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    struct str text;
    if (!scalar_text(l, n, "true or false", &text))
        return;
    if (str_eq(text, STR("true")))
        *(bool *)slot(field, object) = true;
    else if (str_eq(text, STR("false")))
        *(bool *)slot(field, object) = false;
    else
        wrong(l, n, "true or false");
}

void read_int64(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    struct str text;
    int64_t value;
    if (!scalar_text(l, n, "a whole number", &text))
        return;
    enum err e = str_to_i64(text, &value);
    if (e == ERR_INVALID)
        wrong(l, n, "a whole number");
    else if (e != ERR_OK || value < field->min || value > field->max)
        mistake(l, n, "%s: '%s' is not in %lld…%lld", node_path(l, n), node_shown(l, n),
                (long long)field->min, (long long)field->max);
    else
        *(int64_t *)slot(field, object) = value;
}

void read_int(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    struct field at_zero = *field;
    int64_t value = *(int *)slot(field, object);
    ASSERT(field->min >= INT32_MIN && field->max <= INT32_MAX);
    at_zero.offset = 0;
    read_int64(l, &at_zero, n, &value);
    *(int *)slot(field, object) = (int)value;
}

/* The largest unit that is exact. */
static const char *size_shown(struct loader *l, int64_t bytes)
{
    static const char *const units[] = {" bytes", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    for (; bytes && bytes % 1024 == 0 && unit < 4; unit++)
        bytes /= 1024;
    BUF_AUTO struct buf text = {.max = 64};
    buf_printf(&text, "%lld%s", (long long)bytes, units[unit]);
    return arena_str(&l->scratch, buf_str(&text)).ptr;
}

void read_size(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    static const char expected[] = "a size: a whole number and a unit, as 64KiB, 32MiB, 20GiB";
    struct str text;
    int64_t bytes;
    if (!scalar_text(l, n, expected, &text))
        return;
    enum err e = config_size_parse(text, &bytes);
    if (e == ERR_INVALID)
        wrong(l, n, expected);
    else if (e != ERR_OK || bytes < field->min || bytes > field->max)
        mistake(l, n, "%s: '%s' is not between %s and %s", node_path(l, n), node_shown(l, n),
                size_shown(l, field->min), size_shown(l, field->max));
    else
        *(int64_t *)slot(field, object) = bytes;
}

static const char *span_shown(struct loader *l, int64_t ms)
{
    char text[TIME_SPAN_TEXT_BYTES];
    return arena_str(&l->scratch, time_span_format(ms, text)).ptr;
}

static void read_any_span(struct loader *l, const struct field *field, const struct node *n,
                          bool or_zero, void *object)
{
    static const char expected[] = "a duration: a whole number and a unit, as 500ms, 30s, 10m, 30d";
    struct str text;
    int64_t ms;
    if (!scalar_text(l, n, expected, &text))
        return;
    enum err e = time_span_parse(text, &ms);
    if (e == ERR_INVALID)
        wrong(l, n, expected);
    else if (e == ERR_OK && ((ms >= field->min && ms <= field->max) || (or_zero && ms == 0)))
        *(int64_t *)slot(field, object) = ms;
    else
        mistake(l, n, "%s: '%s' is not between %s and %s%s", node_path(l, n), node_shown(l, n),
                span_shown(l, field->min), span_shown(l, field->max), or_zero ? ", or 0" : "");
}

void read_span(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    read_any_span(l, field, n, false, object);
}

void read_span_or_zero(struct loader *l, const struct field *field, const struct node *n,
                       void *object)
{
    read_any_span(l, field, n, true, object);
}

static const char *choice_names(struct loader *l, const struct choice *choices)
{
    BUF_AUTO struct buf names = {.max = 1024};
    for (const struct choice *c = choices; c->name; c++)
        buf_printf(&names, "%s%s", c == choices ? "" : c[1].name ? ", " : " or ", c->name);
    return arena_str(&l->scratch, buf_str(&names)).ptr;
}

void read_choice(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    _Static_assert(sizeof(enum config_api) == sizeof(int), "choices are written as int");
    struct str text;
    const char *names = choice_names(l, field->choices);
    if (!scalar_text(l, n, names, &text))
        return;
    struct suggestion near = suggestion_for(text);
    for (const struct choice *c = field->choices; c->name; c++) {
        if (str_eq(text, str_from_c(c->name))) {
            *(int *)slot(field, object) = c->value;
            if (c->pending)
                warning(l, n, "%s '%s' does nothing in this version%s", field->name, c->name,
                        c->pending);
            return;
        }
        suggestion_offer(&near, str_from_c(c->name));
    }
    if (near.best.ptr)
        mistake(l, n, "%s: '%s' is not known, did you mean '%.*s'?", node_path(l, n),
                node_shown(l, n), STR_ARG(near.best));
    else
        wrong(l, n, names);
}

void read_rate(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    static const char expected[] =
        "a rate: a whole number from 1 on and /s, /m, /h or /d, as 600/m";
    struct str text;
    struct config_rate rate;
    if (!scalar_text(l, n, expected, &text))
        return;
    if (config_rate_parse(text, &rate) != ERR_OK || rate.count < 1)
        wrong(l, n, expected);
    else
        *(struct config_rate *)slot(field, object) = rate;
}

static void read_any_address(struct loader *l, const struct field *field, const struct node *n,
                             const char *expected, bool or_off, void *object)
{
    struct config_address *to = slot(field, object);
    struct config_address address;
    struct str text;
    if (!scalar_text(l, n, expected, &text))
        return;
    if (or_off && str_eq(text, STR("off"))) {
        to->enabled = false;
        return;
    }
    if (config_address_parse(text, &address) != ERR_OK) {
        wrong(l, n, expected);
        return;
    }
    address.host = arena_str(l->arena, address.host);
    *to = address;
}

void read_address(struct loader *l, const struct field *field, const struct node *n, void *object)
{
    read_any_address(l, field, n, "HOST:PORT, as 127.0.0.1:8080", false, object);
}

void read_address_or_off(struct loader *l, const struct field *field, const struct node *n,
                         void *object)
{
    read_any_address(l, field, n, "HOST:PORT, as 127.0.0.1:9092, or off", true, object);
}

bool check_name(struct loader *l, const struct node *key, struct str name, const char *what,
                const char *not_in)
{
    if (name.len == 0 || name.len > CONFIG_NAME_BYTES_MAX) {
        mistake(l, key, "a %s's name has 1 to %d bytes, '%s' has %zu", what, CONFIG_NAME_BYTES_MAX,
                part_shown(l, key, name), name.len);
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (c > 0x20 && c != 0x7f && !strchr(not_in, c))
            continue;
        mistake(l, key, "a %s's name has no spaces, control characters%s%s: '%s'", what,
                *not_in ? " or any of " : "", not_in, part_shown(l, key, name));
        return false;
    }
    return true;
}
