/* Bytes → tree, over libyaml's events.
 *
 * What YAML has beyond mappings, lists and scalars is refused: anchors, aliases, merge keys (a
 * small file could become a huge tree), tags, keys that are not scalars, a second document. libyaml
 * is asked for one event after another, so that a file that nests too deep ends there. */
#include "config/config_int.h"

#include <yaml.h>

#include "base/assert.h"

struct parser {
    struct loader *l;
    struct node *open[CONFIG_DEPTH_MAX]; /* lists and maps around the present place */
    size_t depth;
    struct node *key; /* in the innermost map: read, its value not yet */
    bool stopped;
};

static void stop(struct parser *p, yaml_mark_t at, const char *message)
{
    mistake_at(p->l, (unsigned)at.line + 1, (unsigned)at.column + 1, "%s", message);
    p->l->broken = true;
    p->stopped = true;
}

static bool is_null(struct str text)
{
    return text.len == 0 || str_eq(text, STR("~")) || str_eq(text, STR("null")) ||
           str_eq(text, STR("Null")) || str_eq(text, STR("NULL"));
}

static struct node *new_node(struct parser *p, enum node_kind kind, yaml_mark_t at)
{
    if (p->l->node_count++ == CONFIG_NODES_MAX) {
        stop(p, at, "the file has too many values (at most 100000)");
        return NULL;
    }
    struct node *n = ARENA_NEW(&p->l->scratch, struct node);
    n->kind = kind;
    n->line = (unsigned)at.line + 1;
    n->column = (unsigned)at.column + 1;
    return n;
}

/* Put the node where it belongs: at the root, as the open map's key, as a value, as an item. */
static void place(struct parser *p, struct node *n)
{
    struct node *around = p->depth ? p->open[p->depth - 1] : NULL;
    if (!around) {
        p->l->root = n;
        return;
    }
    n->parent = around;
    if (around->kind == NODE_MAP && !p->key) {
        p->key = n;
        return;
    }
    n->key = p->key;
    p->key = NULL;
    n->position = around->count++;
    /* `next` of the map itself is free until it is closed; it leads to the last child meanwhile. */
    if (around->next)
        around->next->next = n;
    else
        around->first = n;
    around->next = n;
}

static void take_scalar(struct parser *p, const yaml_event_t *event)
{
    struct str text = str_of((const char *)event->data.scalar.value, event->data.scalar.length);
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (event->data.scalar.anchor || event->data.scalar.tag) {
        stop(p, event->start_mark, "YAML anchors (&) and tags (!) are not supported here");
        return;
    }
    struct node *n =
        new_node(p, plain && is_null(text) ? NODE_NULL : NODE_SCALAR, event->start_mark);
    if (!n)
        return;
    n->text = arena_str(&p->l->scratch, text);
    n->shown = n->text;
    n->plain = plain;
    place(p, n);
    if (p->key != n && n->kind == NODE_SCALAR)
        expand_scalar(p->l, n);
}

static void enter(struct parser *p, enum node_kind kind, yaml_mark_t at, bool decorated)
{
    struct node *around = p->depth ? p->open[p->depth - 1] : NULL;
    if (decorated)
        stop(p, at, "YAML anchors (&) and tags (!) are not supported here");
    else if (around && around->kind == NODE_MAP && !p->key)
        stop(p, at, "a key must be a word, not a list or a mapping");
    else if (p->depth == CONFIG_DEPTH_MAX)
        stop(p, at, "nested deeper than 16 levels");
    if (p->stopped)
        return;
    struct node *n = new_node(p, kind, at);
    if (!n)
        return;
    place(p, n);
    p->open[p->depth++] = n;
}

/* Each is a mistake, and is taken out: readers see every key once. */
static void remove_duplicates(struct parser *p, struct node *map)
{
    struct str *names = ARENA_ARRAY(&p->l->scratch, struct str, map->count);
    struct node **values = ARENA_ARRAY(&p->l->scratch, struct node *, map->count);
    for (struct node *n = map->first; n; n = n->next) {
        names[n->position] = n->key->text;
        values[n->position] = n;
    }
    struct name_index *index = name_index_build(&p->l->scratch, names, map->count);
    struct node **link = &map->first;
    for (struct node *n = map->first; n; n = n->next) {
        int64_t first = name_index_find(index, n->key->text);
        if ((size_t)first == n->position) {
            link = &n->next;
            continue;
        }
        mistake(p->l, n->key, "duplicate key '%s', it is on line %u already",
                node_shown(p->l, n->key), values[first]->key->line);
        *link = n->next;
        map->count--;
    }
}

static void leave(struct parser *p)
{
    ASSERT(p->depth > 0);
    struct node *n = p->open[--p->depth];
    ASSERT(n != NULL);
    n->next = NULL;
    if (n->kind == NODE_MAP)
        remove_duplicates(p, n);
}

static void take_event(struct parser *p, const yaml_event_t *event)
{
    yaml_mark_t at = event->start_mark;
    switch (event->type) {
    case YAML_SCALAR_EVENT: take_scalar(p, event); break;
    case YAML_SEQUENCE_START_EVENT:
        enter(p, NODE_LIST, at,
              event->data.sequence_start.anchor || event->data.sequence_start.tag);
        break;
    case YAML_MAPPING_START_EVENT:
        enter(p, NODE_MAP, at, event->data.mapping_start.anchor || event->data.mapping_start.tag);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: leave(p); break;
    case YAML_ALIAS_EVENT:
        stop(p, at, "YAML aliases (*) are not supported: write the value out");
        break;
    case YAML_DOCUMENT_START_EVENT:
        if (p->l->root)
            stop(p, at, "a second document (---): the configuration is one");
        break;
    case YAML_STREAM_END_EVENT: p->stopped = true; break;
    default: break;
    }
}

static void syntax_mistake(struct loader *l, const yaml_parser_t *parser)
{
    const char *problem = parser->problem ? parser->problem : "cannot be read as YAML";
    yaml_mark_t at = parser->problem_mark;
    if (parser->error == YAML_READER_ERROR) {
        mistake_at(l, 0, 0, "%.*s: %s at byte %zu", STR_ARG(l->file), problem,
                   parser->problem_offset);
        return;
    }
    if (strstr(problem, "tab character"))
        problem = "a tab cannot indent in YAML: use spaces";
    else if (strstr(problem, "cannot start any token"))
        problem = "a tab or a character that YAML keeps for itself: indent with spaces, quote "
                  "what starts with @, ` or %";
    mistake_at(l, (unsigned)at.line + 1, (unsigned)at.column + 1, "%s%s%s%s", problem,
               parser->context ? " (" : "", parser->context ? parser->context : "",
               parser->context ? ")" : "");
}

void yaml_parse(struct loader *l, struct str bytes)
{
    struct parser p = {.l = l};
    yaml_parser_t parser;
    yaml_event_t event;
    int ready = yaml_parser_initialize(&parser);
    ASSERT(ready && "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)(bytes.ptr ? bytes.ptr : ""),
                                 bytes.len);
    while (!p.stopped) {
        if (!yaml_parser_parse(&parser, &event)) {
            syntax_mistake(l, &parser);
            l->broken = true;
            break;
        }
        take_event(&p, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
}
