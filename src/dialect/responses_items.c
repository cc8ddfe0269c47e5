#include "dialect/responses_items.h"

#include <stdio.h>

#include "codec/digest.h"
#include "codec/json_write.h"

/* ---- Ids ---- */

static bool is_hex(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return text.len > 0;
}

bool responses_id_call(struct str id, struct str *ret_call)
{
    struct str call = str_skip(id, 5);
    if (id.len != RESPONSES_ID_BYTES || !str_starts(id, STR("resp_")) || !is_hex(call))
        return false;
    *ret_call = call;
    return true;
}

bool responses_item_id_read(struct str id, struct str *ret_call, bool *ret_of_input,
                            size_t *ret_place)
{
    ptrdiff_t bar = str_index(id, '_');
    if (bar < 1 || bar > 3)
        return false;
    struct str rest = str_skip(id, (size_t)bar + 1);
    struct str call = str_take(rest, RESPONSES_CALL_HEX);
    struct str place = str_skip(rest, RESPONSES_CALL_HEX);
    bool of_input = str_starts(place, STR("i"));
    uint8_t bytes[2];
    place = str_skip(place, of_input);
    if (call.len != RESPONSES_CALL_HEX || !is_hex(call) || place.len != 4 ||
        hex_decode(place, bytes, sizeof bytes) != ERR_OK)
        return false;
    *ret_call = call;
    *ret_of_input = of_input;
    *ret_place = (size_t)bytes[0] << 8 | bytes[1];
    return true;
}

struct str responses_item_id(const char *kind, struct str call, size_t place,
                             char text[RESPONSES_ITEM_ID_BYTES + 1])
{
    int n = snprintf(text, RESPONSES_ITEM_ID_BYTES + 1, "%s_%.*s%04zx", kind,
                     STR_ARG(str_take(call, RESPONSES_CALL_HEX)), place & RESPONSES_ITEMS_MAX);
    return str_of(text, (size_t)n);
}

static struct str input_item_id(const char *kind, struct str call, size_t place,
                                char text[RESPONSES_ITEM_ID_BYTES + 1])
{
    int n = snprintf(text, RESPONSES_ITEM_ID_BYTES + 1, "%s_%.*si%04zx", kind,
                     STR_ARG(str_take(call, RESPONSES_CALL_HEX)), place & RESPONSES_ITEMS_MAX);
    return str_of(text, (size_t)n);
}

/* ---- Items ---- */

/* The members of an item that say how to treat it. */
struct item {
    struct json_value raw;
    struct json_value type;
    struct json_value id;
    struct json_value content;
    bool status;
    bool only_id; /* no member but these: a reference may leave its type out */
};

static struct item read_item(const struct json_value *value)
{
    struct item it = {.raw = *value, .only_id = true};
    struct json_reader r;
    struct json_value key;
    json_reader_init(&r, value->raw, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_OBJECT))
        return it;
    while (json_next_member(&r, &key)) {
        struct json_value member = json_take(&r);
        if (json_eq(&key, STR("type")))
            it.type = member;
        else if (json_eq(&key, STR("id")))
            it.id = member;
        else
            it.only_id = false;
        if (json_eq(&key, STR("content")))
            it.content = member;
        it.status |= json_eq(&key, STR("status"));
    }
    return it;
}

static bool is_reference(const struct item *it)
{
    return json_eq(&it->type, STR("item_reference")) ||
           (it->only_id && it->type.kind == JSON_NONE && it->id.kind == JSON_STRING);
}

static bool has_references(const struct json_value *input)
{
    struct json_reader r;
    bool found = false;
    json_reader_init(&r, input->raw, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return false;
    while (!found && json_next_element(&r)) {
        struct json_value element = json_take(&r);
        struct item it = read_item(&element);
        found = element.kind == JSON_OBJECT && is_reference(&it);
    }
    return found;
}

enum err responses_lean_read(struct str body, unsigned max_depth, struct arena *a,
                             struct responses_lean *ret_lean)
{
    struct responses_lean lean = {.store = true};
    struct json_reader r;
    struct json_value key, previous = {.kind = JSON_NONE};
    json_reader_init(&r, body, max_depth);
    bool object = json_enter(&r, JSON_OBJECT);
    while (object && json_next_member(&r, &key)) {
        struct json_value value = json_take(&r);
        if (json_eq(&key, STR("previous_response_id")))
            previous = value;
        else if (json_eq(&key, STR("input")))
            lean.input = value;
        else if (json_eq(&key, STR("store")))
            lean.store = value.kind != JSON_FALSE;
    }
    if (!json_finish(&r))
        return json_reader_error(&r);
    if (!object)
        return ERR_INVALID;
    lean.previous = json_text(&previous, a);
    lean.references = has_references(&lean.input);
    *ret_lean = lean;
    return ERR_OK;
}

/* ---- Writing input ---- */

/* A text as the message that it stands for. id: empty for none. */
static void write_text_message(struct json_writer *w, struct str string, struct str id)
{
    json_object_begin(w);
    if (id.len) {
        json_member_str(w, STR("id"), id);
        json_member_str(w, STR("status"), STR("completed"));
    }
    json_member_str(w, STR("type"), STR("message"));
    json_member_str(w, STR("role"), STR("user"));
    json_key(w, STR("content"));
    json_array_begin(w);
    json_object_begin(w);
    json_member_str(w, STR("type"), STR("input_text"));
    json_member_raw(w, STR("text"), string);
    json_object_end(w);
    json_array_end(w);
    json_object_end(w);
}

static enum err write_found(struct json_writer *w, const struct responses_finder *finder,
                            const struct item *it)
{
    struct arena scratch;
    struct buf found BUF_AUTO;
    arena_init(&scratch);
    buf_init(&found, w->out->max);
    enum err err = finder->find(finder->arg, json_text(&it->id, &scratch), &found);
    if (err == ERR_OK)
        json_raw(w, buf_str(&found));
    arena_release(&scratch);
    return err;
}

/* The elements of an input, references resolved. */
static enum err write_input(struct json_writer *w, const struct json_value *input,
                            const struct responses_finder *finder)
{
    struct json_reader r;
    if (input->kind == JSON_STRING) {
        write_text_message(w, input->raw, STR_NONE);
        return ERR_OK;
    }
    json_reader_init(&r, input->raw, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return ERR_OK;
    while (json_next_element(&r)) {
        struct json_value element = json_take(&r);
        struct item it = read_item(&element);
        if (element.kind == JSON_OBJECT && is_reference(&it))
            TRY(write_found(w, finder, &it));
        else
            json_raw(w, element.raw);
    }
    return ERR_OK;
}

static void write_elements(struct json_writer *w, const struct json_value *array)
{
    struct json_reader r;
    json_reader_init(&r, array->raw, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return;
    while (json_next_element(&r)) {
        struct json_value element = json_take(&r);
        json_raw(w, element.raw);
    }
}

static enum err write_conversation(struct json_writer *w, const struct responses_turn *turns,
                                   size_t turn_count, const struct responses_finder *finder)
{
    for (size_t i = 0; i < turn_count; i++) {
        TRY(write_input(w, &turns[i].input, finder));
        write_elements(w, &turns[i].output);
    }
    return ERR_OK;
}

enum err responses_expand(struct str body, const struct responses_turn *turns, size_t turn_count,
                          const struct responses_finder *finder, struct buf *out)
{
    struct json_writer w;
    struct json_reader r;
    struct json_value key, input = {.kind = JSON_NONE};
    json_writer_init(&w, out);
    json_reader_init(&r, body, JSON_DEPTH_MAX);
    json_object_begin(&w);
    if (json_enter(&r, JSON_OBJECT))
        while (json_next_member(&r, &key)) {
            struct json_value value = json_take(&r);
            if (json_eq(&key, STR("input")))
                input = value;
            if (json_eq(&key, STR("input")) || json_eq(&key, STR("previous_response_id")))
                continue;
            json_key_raw(&w, json_text_raw(&key));
            json_raw(&w, value.raw);
        }
    json_key(&w, STR("input"));
    json_array_begin(&w);
    TRY(write_conversation(&w, turns, turn_count, finder));
    TRY(write_input(&w, &input, finder));
    json_array_end(&w);
    json_object_end(&w);
    return out->error;
}

/* ---- Lists ---- */

/* An id's beginning, by the kind of the item. */
static const char *id_kind(const struct item *it)
{
    if (json_eq(&it->type, STR("function_call")))
        return "fc";
    if (json_eq(&it->type, STR("function_call_output")))
        return "fco";
    if (json_eq(&it->type, STR("reasoning")))
        return "rs";
    return "msg";
}

/* An input's item as lists show it: with an id, a type, and content in parts. */
static void write_listed(struct json_writer *w, const struct item *it, struct str id)
{
    struct json_reader r;
    struct json_value key;
    bool message = it->type.kind == JSON_NONE || json_eq(&it->type, STR("message"));
    json_object_begin(w);
    json_member_str(w, STR("id"), id);
    if (it->type.kind == JSON_NONE)
        json_member_str(w, STR("type"), STR("message"));
    if (message && !it->status)
        json_member_str(w, STR("status"), STR("completed"));
    json_reader_init(&r, it->raw.raw, JSON_DEPTH_MAX);
    if (json_enter(&r, JSON_OBJECT))
        while (json_next_member(&r, &key)) {
            struct json_value value = json_take(&r);
            if (json_eq(&key, STR("id")))
                continue;
            json_key_raw(w, json_text_raw(&key));
            if (message && json_eq(&key, STR("content")) && value.kind == JSON_STRING) {
                json_array_begin(w);
                json_object_begin(w);
                json_member_str(w, STR("type"), STR("input_text"));
                json_member_raw(w, STR("text"), value.raw);
                json_object_end(w);
                json_array_end(w);
            } else {
                json_raw(w, value.raw);
            }
        }
    json_object_end(w);
}

/* What walks over items one by one. False: enough. */
struct walk {
    bool (*visit)(struct walk *walk, struct str id, struct str item);
    const struct responses_finder *finder; /* NULL: references stay */
    struct buf scratch;                    /* of the item at hand */
    enum err err;
};

static bool visit_value(struct walk *walk, struct str id, struct buf *item)
{
    walk->err = item->error;
    return walk->err == ERR_OK && walk->visit(walk, id, buf_str(item));
}

static bool walk_element(struct walk *walk, const struct responses_turn *turn,
                         const struct json_value *element, size_t place)
{
    char own[RESPONSES_ITEM_ID_BYTES + 1];
    struct arena names;
    struct json_writer w;
    struct item it = read_item(element);
    arena_init(&names);
    buf_reset(&walk->scratch);
    json_writer_init(&w, &walk->scratch);
    struct str id = json_text(&it.id, &names);
    if (element->kind == JSON_OBJECT && is_reference(&it) && walk->finder) {
        walk->err = walk->finder->find(walk->finder->arg, id, &walk->scratch);
    } else if (element->kind == JSON_OBJECT) {
        if (!id.len)
            id = input_item_id(id_kind(&it), turn->call, place, own);
        write_listed(&w, &it, id);
    } else {
        json_raw(&w, element->raw);
    }
    bool on = walk->err == ERR_OK && visit_value(walk, id, &walk->scratch);
    arena_release(&names);
    return on;
}

static bool walk_input(struct walk *walk, const struct responses_turn *turn)
{
    char own[RESPONSES_ITEM_ID_BYTES + 1];
    struct json_writer w;
    struct json_reader r;
    if (turn->input.kind == JSON_STRING) {
        buf_reset(&walk->scratch);
        json_writer_init(&w, &walk->scratch);
        struct str id = input_item_id("msg", turn->call, 0, own);
        write_text_message(&w, turn->input.raw, id);
        return visit_value(walk, id, &walk->scratch);
    }
    json_reader_init(&r, turn->input.raw, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return true;
    for (size_t place = 0; json_next_element(&r); place++) {
        struct json_value element = json_take(&r);
        if (!walk_element(walk, turn, &element, place))
            return false;
    }
    return true;
}

static bool walk_output(struct walk *walk, const struct responses_turn *turn)
{
    struct arena names;
    struct json_reader r;
    bool on = true;
    json_reader_init(&r, turn->output.raw, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return true;
    arena_init(&names);
    while (on && json_next_element(&r)) {
        struct json_value element = json_take(&r);
        struct item it = read_item(&element);
        on = walk->visit(walk, json_text(&it.id, &names), element.raw);
    }
    arena_release(&names);
    return on;
}

/* Every item, oldest first: of the turns, then of the response's own input. */
static enum err walk_all(struct walk *walk, const struct responses_turn *turns, size_t turn_count,
                         const struct responses_turn *own)
{
    buf_init(&walk->scratch, (size_t)64 << 20);
    bool on = true;
    for (size_t i = 0; on && i < turn_count; i++)
        on = walk_input(walk, &turns[i]) && walk_output(walk, &turns[i]);
    if (on)
        (void)walk_input(walk, own);
    buf_release(&walk->scratch);
    return walk->err;
}

/* A list's items as they come, to be cut to a page afterwards. */
struct listed {
    struct str id;
    struct str item;
};

struct listing {
    struct walk walk;
    struct arena memory;
    struct listed *items;
    size_t count, cap;
};

static bool keep_item(struct walk *walk, struct str id, struct str item)
{
    struct listing *l = (struct listing *)walk;
    if (l->count == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct listed *more = ARENA_ARRAY(&l->memory, struct listed, cap);
        if (l->count)
            memcpy(more, l->items, l->count * sizeof *more);
        l->items = more;
        l->cap = cap;
    }
    l->items[l->count++] = (struct listed){arena_str(&l->memory, id), arena_str(&l->memory, item)};
    return true;
}

static const struct listed *item_at(const struct listing *l, bool ascending, size_t i)
{
    return &l->items[ascending ? i : l->count - 1 - i];
}

static enum err write_page(const struct listing *l, const struct responses_page *page,
                           struct buf *out)
{
    struct json_writer w;
    size_t from = 0;
    while (page->after.len && from < l->count &&
           !str_eq(item_at(l, page->ascending, from)->id, page->after))
        from++;
    if (page->after.len && from == l->count)
        return ERR_NOT_FOUND;
    from += page->after.len > 0;
    size_t count = l->count - from < page->limit ? l->count - from : page->limit;
    json_writer_init(&w, out);
    json_object_begin(&w);
    json_member_str(&w, STR("object"), STR("list"));
    json_key(&w, STR("data"));
    json_array_begin(&w);
    for (size_t i = 0; i < count; i++)
        json_raw(&w, item_at(l, page->ascending, from + i)->item);
    json_array_end(&w);
    json_member_str_or_null(&w, STR("first_id"),
                            count ? item_at(l, page->ascending, from)->id : STR_NONE);
    json_member_str_or_null(&w, STR("last_id"),
                            count ? item_at(l, page->ascending, from + count - 1)->id : STR_NONE);
    json_member_bool(&w, STR("has_more"), from + count < l->count);
    json_object_end(&w);
    return out->error;
}

enum err responses_list_items(const struct responses_turn *turns, size_t turn_count,
                              const struct responses_turn *own,
                              const struct responses_finder *finder,
                              const struct responses_page *page, struct buf *out)
{
    struct listing l = {.walk = {.visit = keep_item, .finder = finder}};
    arena_init(&l.memory);
    enum err err = walk_all(&l.walk, turns, turn_count, own);
    if (err == ERR_OK)
        err = write_page(&l, page, out);
    arena_release(&l.memory);
    return err;
}

/* ---- One item ---- */

struct search {
    struct walk walk;
    size_t left;
    struct buf *out;
    bool found;
};

static bool search_item(struct walk *walk, struct str id, struct str item)
{
    struct search *s = (struct search *)walk;
    (void)id;
    if (s->left-- > 0)
        return true;
    buf_append_str(s->out, item);
    s->found = true;
    return false;
}

enum err responses_turn_item(const struct responses_turn *turn, bool of_input, size_t place,
                             struct buf *out)
{
    struct search s = {.walk = {.visit = search_item}, .left = place, .out = out};
    buf_init(&s.walk.scratch, (size_t)64 << 20);
    if (of_input)
        (void)walk_input(&s.walk, turn);
    else
        (void)walk_output(&s.walk, turn);
    buf_release(&s.walk.scratch);
    if (s.walk.err != ERR_OK)
        return s.walk.err;
    return s.found ? out->error : ERR_NOT_FOUND;
}
