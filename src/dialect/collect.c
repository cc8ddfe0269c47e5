#include "dialect/collect.h"

void collect_init(struct collect *c, size_t max_bytes)
{
    *c = (struct collect){.root = {.index = -1, .kind = JSON_OBJECT}, .max_bytes = max_bytes};
    arena_init(&c->arena);
}

static void release_texts(struct collect_node *node)
{
    for (; node; node = node->next) {
        buf_release(&node->text);
        release_texts(node->first);
    }
}

void collect_release(struct collect *c)
{
    release_texts(c->root.first);
    arena_release(&c->arena);
    *c = (struct collect){0};
}

/* ---- Limits ---- */

static bool fits(struct collect *c, size_t bytes, size_t spare)
{
    if (bytes <= c->max_bytes + spare && c->used_bytes <= c->max_bytes + spare - bytes) {
        c->used_bytes += bytes;
        return true;
    }
    c->truncated = true;
    return false;
}

static void append(struct collect *c, struct collect_node *node, struct str text)
{
    if (text.len == 0 || c->truncated || !fits(c, text.len, 0))
        return;
    buf_append_str(&node->text, text);
    c->truncated |= node->text.error != ERR_OK;
}

static void append_element(struct collect *c, struct collect_node *node, struct str value)
{
    size_t comma = node->text.len > 0;
    if (c->truncated || !fits(c, comma + value.len, 0))
        return;
    if (!buf_reserve(&node->text, comma + value.len)) {
        c->truncated = true;
        return;
    }
    if (comma)
        buf_append_char(&node->text, ',');
    buf_append_str(&node->text, value);
}

/* Text that follows content in parts becomes one of them. */
static void append_text_part(struct collect *c, struct collect_node *node, struct str string)
{
    struct buf part BUF_AUTO;
    struct json_writer w;
    buf_init(&part, c->max_bytes);
    json_writer_init(&w, &part);
    json_object_begin(&w);
    json_member_str(&w, STR("type"), STR("text"));
    json_member_raw(&w, STR("text"), string);
    json_object_end(&w);
    c->truncated |= part.error != ERR_OK;
    append_element(c, node, buf_str(&part));
}

static void replace(struct collect *c, struct collect_node *node, struct str text)
{
    size_t more = text.len > node->text.len ? text.len - node->text.len : 0;
    if (!fits(c, more, COLLECT_SPARE_BYTES))
        return;
    buf_reset(&node->text);
    buf_append_str(&node->text, text);
}

/* ---- Nodes ---- */

/* Put a new child behind `after` (NULL: first). key: of a member, or NULL. */
static struct collect_node *add_child(struct collect *c, struct collect_node *parent,
                                      struct collect_node *after, const struct json_value *key,
                                      int64_t index)
{
    if (parent->children == COLLECT_CHILDREN_MAX ||
        !fits(c, sizeof(struct collect_node) + (key ? json_text_len(key) : 0),
              COLLECT_SPARE_BYTES)) {
        c->truncated = true;
        return NULL;
    }
    struct collect_node *node = ARENA_NEW(&c->arena, struct collect_node);
    struct collect_node **link = after ? &after->next : &parent->first;
    *node = (struct collect_node){.next = *link, .index = index};
    if (key)
        node->key = key->escape_bytes ? json_text(key, &c->arena)
                                      : arena_str(&c->arena, json_text_raw(key));
    buf_init(&node->text, c->max_bytes + COLLECT_SPARE_BYTES);
    *link = node;
    parent->children++;
    return node;
}

/* How many children to look at for one. Where some had to be left out, a search for each of the
 * many others would cost more than reading them. */
static unsigned search_limit(const struct collect *c, const struct collect_node *parent)
{
    bool full = c->truncated && parent->children == COLLECT_CHILDREN_MAX;
    return full ? COLLECT_SEARCH_FULL : COLLECT_CHILDREN_MAX;
}

struct collect_node *collect_member(struct collect *c, struct collect_node *parent,
                                    const struct json_value *key)
{
    if (!parent)
        return NULL;
    if (parent->hint && parent->hint->next && json_eq(key, parent->hint->next->key))
        return parent->hint = parent->hint->next;
    unsigned left = search_limit(c, parent);
    struct collect_node *last = NULL;
    for (struct collect_node *node = parent->first; node && left > 0; node = node->next, left--) {
        if (json_eq(key, node->key))
            return parent->hint = node;
        last = node;
    }
    struct collect_node *added = add_child(c, parent, last, key, -1);
    return added ? parent->hint = added : NULL;
}

struct collect_node *collect_element(struct collect *c, struct collect_node *parent, int64_t index)
{
    if (!parent)
        return NULL;
    unsigned left = search_limit(c, parent);
    struct collect_node *last = NULL, *node = parent->first;
    for (; node && node->index <= index && left > 0; node = node->next, left--)
        last = node;
    return last && last->index == index ? last : add_child(c, parent, last, NULL, index);
}

const struct collect_node *collect_find(const struct collect_node *parent, struct str key)
{
    for (const struct collect_node *node = parent ? parent->first : NULL; node; node = node->next)
        if (node->index < 0 && str_eq(node->key, key))
            return node;
    return NULL;
}

/* ---- Merging ---- */

static bool is_scalar(enum json_kind kind)
{
    return kind == JSON_NUMBER || kind == JSON_TRUE || kind == JSON_FALSE;
}

/* May a value of that kind be merged into the node? A stream that changes its mind about a kind
 * keeps the first one. */
static bool takes_kind(struct collect *c, struct collect_node *node, enum json_kind kind)
{
    if (!node)
        return false;
    if (node->text.len == 0 && !node->first)
        node->kind = kind;
    if (node->kind == kind)
        return true;
    c->truncated = true;
    return false;
}

static struct str inside_of(const struct json_value *value)
{
    if (is_scalar(value->kind))
        return value->raw;
    if (value->kind == JSON_NULL || value->kind == JSON_NONE)
        return STR_NONE;
    return str_of(value->raw.ptr + 1, value->raw.len - 2);
}

void collect_set(struct collect *c, struct collect_node *node, const struct json_value *value)
{
    if (!node || value->kind == JSON_NONE || node->first)
        return;
    if (value->kind == JSON_NULL && node->kind != JSON_NONE)
        return;
    struct str text = inside_of(value);
    if (node->kind == value->kind && str_eq(buf_str(&node->text), text))
        return;
    node->kind = value->kind;
    replace(c, node, text);
}

/* Keys whose strings name something, once: a provider that repeats them means the same. */
static bool names_once(const struct json_value *key)
{
    return json_eq(key, STR("id")) || json_eq(key, STR("name"));
}

static bool describes(const struct json_value *key)
{
    return json_eq(key, STR("role")) || json_eq(key, STR("type")) || json_eq(key, STR("format"));
}

/* A string at hand: joined, or for names and descriptions the first that is not empty. */
static void add_string(struct collect *c, struct collect_node *node, const struct json_value *key,
                       struct json_reader *r, struct collect_seen *seen)
{
    struct json_value value = json_take(r);
    bool named = key && names_once(key), described = key && describes(key);
    if (value.kind == JSON_NONE)
        return;
    seen->content |= !described && value.raw.len > 2;
    if (!named && !described)
        seen->text_bytes += json_text_len(&value);
    if (node && node->kind == JSON_ARRAY) {
        append_text_part(c, node, value.raw);
        return;
    }
    if (!node || !takes_kind(c, node, value.kind) || ((named || described) && node->text.len > 0))
        return;
    append(c, node, json_text_raw(&value));
}

static void add_value(struct collect *c, struct collect_node *node, const struct json_value *key,
                      struct json_reader *r, unsigned depth, struct collect_seen *seen);

static void add_object(struct collect *c, struct collect_node *node, struct json_reader *r,
                       unsigned depth, struct collect_seen *seen)
{
    struct json_value key;
    bool keeps = takes_kind(c, node, JSON_OBJECT);
    bool element = node && node->index >= 0;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key))
        if (!element || !json_eq(&key, STR("index")))
            add_value(c, keeps ? collect_member(c, node, &key) : NULL, &key, r, depth + 1, seen);
}

int64_t collect_peek_index(const struct json_reader *r)
{
    struct json_reader probe = *r;
    struct json_value key;
    int64_t index;
    if (!json_enter(&probe, JSON_OBJECT))
        return -1;
    while (json_next_member(&probe, &key))
        if (json_eq(&key, STR("index"))) {
            struct json_value value = json_take(&probe);
            return json_to_i64(&value, &index) == ERR_OK && index >= 0 ? index : -1;
        }
    return -1;
}

/* Is the object at hand a tool call of its own, though the element of its index is another one?
 * Some providers number parallel calls 0, 0, 0. A new id alone says nothing: others invent one for
 * each delta; a call also brings its name. */
static bool begins_call(const struct collect_node *element, const struct json_reader *r)
{
    const struct collect_node *known = collect_find(element, STR("id"));
    struct json_reader probe = *r;
    struct json_value key, id = {0}, name = {0};
    if (!known || known->text.len == 0 || !json_enter(&probe, JSON_OBJECT))
        return false;
    while (json_next_member(&probe, &key))
        if (json_eq(&key, STR("id")))
            id = json_take(&probe);
        else if (json_eq(&key, STR("function")) && json_enter(&probe, JSON_OBJECT))
            while (json_next_member(&probe, &key))
                if (json_eq(&key, STR("name")))
                    name = json_take(&probe);
    return json_text_len(&id) > 0 && json_text_len(&name) > 0 &&
           !str_eq(json_text_raw(&id), buf_str(&known->text));
}

static void add_array(struct collect *c, struct collect_node *node, struct json_reader *r,
                      unsigned depth, struct collect_seen *seen)
{
    bool keeps = takes_kind(c, node, JSON_ARRAY);
    if (!json_enter(r, JSON_ARRAY))
        return;
    while (json_next_element(r)) {
        int64_t index = collect_peek_index(r);
        if (index >= 0) {
            struct collect_node *element = keeps ? collect_element(c, node, index) : NULL;
            if (element && begins_call(element, r))
                element = add_child(c, node, element, NULL, index);
            add_object(c, element, r, depth + 1, seen);
            continue;
        }
        struct json_value value = json_take(r);
        seen->content |= value.kind != JSON_NULL;
        if (keeps && value.kind != JSON_NONE)
            append_element(c, node, value.raw);
    }
}

static void add_value(struct collect *c, struct collect_node *node, const struct json_value *key,
                      struct json_reader *r, unsigned depth, struct collect_seen *seen)
{
    enum json_kind kind = json_peek(r);
    if (kind == JSON_STRING) {
        add_string(c, node, key, r, seen);
    } else if (kind == JSON_OBJECT && depth < COLLECT_DEPTH_MAX) {
        add_object(c, node, r, depth, seen);
    } else if (kind == JSON_ARRAY && depth < COLLECT_DEPTH_MAX) {
        add_array(c, node, r, depth, seen);
    } else {
        struct json_value value = json_take(r);
        collect_set(c, node, &value);
    }
}

void collect_add(struct collect *c, struct collect_node *node, struct json_reader *r,
                 struct collect_seen *seen)
{
    add_value(c, node, NULL, r, 0, seen);
}

/* ---- Writing ---- */

static void write_text(const struct collect_node *node, struct json_writer *w)
{
    if (node->text.len > 0)
        json_raw(w, buf_str(&node->text));
}

static void write_members(const struct collect_node *node, struct json_writer *w)
{
    for (const struct collect_node *child = node->first; child; child = child->next) {
        json_key(w, child->key);
        collect_write(child, w);
    }
    write_text(node, w);
}

static void write_array(const struct collect_node *node, struct json_writer *w)
{
    bool with_index = !str_eq(node->key, STR("tool_calls"));
    json_array_begin(w);
    for (const struct collect_node *child = node->first; child; child = child->next) {
        json_object_begin(w);
        if (with_index)
            json_member_i64(w, STR("index"), child->index);
        write_members(child, w);
        json_object_end(w);
    }
    write_text(node, w);
    json_array_end(w);
}

void collect_write(const struct collect_node *node, struct json_writer *w)
{
    switch (node->kind) {
    case JSON_NONE:
    case JSON_NULL: json_null(w); break;
    case JSON_STRING: json_str_raw(w, buf_str(&node->text)); break;
    case JSON_ARRAY: write_array(node, w); break;
    case JSON_OBJECT:
        json_object_begin(w);
        write_members(node, w);
        json_object_end(w);
        break;
    default: json_raw(w, buf_str(&node->text));
    }
}
