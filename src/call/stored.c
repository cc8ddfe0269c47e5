#include "call/stored.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "call/blob.h"
#include "call/history.h"
#include "codec/digest.h"
#include "codec/json_write.h"
#include "codec/time.h"
#include "os/clock.h"
#include "os/thread.h"

enum { ID_BYTES = 16, NESTING_MAX = 1024 };

struct id {
    uint8_t bytes[ID_BYTES];
};

/* Deleted ids: open addressing, all zero is empty; at most half full. Ids are of calls that were,
 * and end in random bytes: nobody chooses where they collide. */
struct id_set {
    struct id *slots;
    size_t mask; /* slots - 1 */
    size_t count;
};

struct stored {
    struct log_part *calls;
    struct log_part *deletions;
    struct str data_dir;
    struct os_mutex lock; /* deleted; leaf */
    struct id_set deleted;
    struct arena memory;
};

/* ---- The set ---- */

static size_t slot_of(const struct id_set *set, struct id id)
{
    uint64_t hash;
    memcpy(&hash, id.bytes + ID_BYTES - sizeof hash, sizeof hash);
    static const struct id none = {{0}};
    size_t at = (size_t)hash & set->mask;
    while (memcmp(&set->slots[at], &none, sizeof none) != 0 &&
           memcmp(&set->slots[at], &id, sizeof id) != 0)
        at = (at + 1) & set->mask;
    return at;
}

static void set_grow(struct id_set *set)
{
    struct id_set more = {.mask = set->mask ? 2 * set->mask + 1 : 1023};
    static const struct id none = {{0}};
    more.slots = mem_array(more.mask + 1, sizeof *more.slots);
    for (size_t i = 0; set->slots && i <= set->mask; i++)
        if (memcmp(&set->slots[i], &none, sizeof none) != 0)
            more.slots[slot_of(&more, set->slots[i])] = set->slots[i];
    more.count = set->count;
    mem_free(set->slots);
    *set = more;
}

static bool set_has(const struct id_set *set, struct id id)
{
    return set->slots && memcmp(&set->slots[slot_of(set, id)], &id, sizeof id) == 0;
}

static void set_add(struct id_set *set, struct id id)
{
    if (set_has(set, id))
        return;
    if (!set->slots || set->count * 2 > set->mask)
        set_grow(set);
    set->slots[slot_of(set, id)] = id;
    set->count++;
}

static bool id_of(struct str call, struct id *ret_id)
{
    return hex_decode(call, ret_id->bytes, ID_BYTES) == ERR_OK;
}

static bool is_deleted(struct stored *s, struct str call)
{
    struct id id;
    os_mutex_lock(&s->lock);
    bool deleted = id_of(call, &id) && set_has(&s->deleted, id);
    os_mutex_unlock(&s->lock);
    return deleted;
}

/* ---- Life ---- */

static enum err fold(struct stored *s)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    struct id id;
    TRY(log_cursor_open(s->deletions, log_part_start(s->deletions), LOG_FORWARD, &cursor));
    enum err err;
    while ((err = log_cursor_next(cursor, &entry)) == ERR_OK && entry)
        if (id_of(entry->key, &id) && s->deleted.count < STORED_DELETED_MAX)
            set_add(&s->deleted, id);
    log_cursor_close(cursor);
    return err;
}

enum err stored_open(struct log *log, struct log_part *calls, struct str data_dir,
                     int64_t retention_ms, struct buf *detail, struct stored **ret_stored)
{
    struct log_topic_config wanted = LOG_TOPIC_CONFIG_DEFAULT;
    struct log_topic *topic = NULL;
    struct stored *s = NEW(struct stored);
    arena_init(&s->memory);
    os_mutex_init(&s->lock);
    s->calls = calls;
    s->data_dir = arena_str(&s->memory, data_dir);
    /* A deletion must not go before what it deletes. */
    wanted.retention_ms = retention_ms;
    wanted.keep = true;
    enum err err = log_topic_open(log, STR("weir.responses"), &wanted, &topic);
    if (err == ERR_OK) {
        s->deletions = log_topic_part(topic, 0);
        err = fold(s);
    }
    if (err != ERR_OK) {
        buf_printf(detail, "topic weir.responses: %s", err_text(err));
        stored_close(s);
        return err;
    }
    *ret_stored = s;
    return ERR_OK;
}

void stored_close(struct stored *s)
{
    if (!s)
        return;
    mem_free(s->deleted.slots);
    os_mutex_release(&s->lock);
    arena_release(&s->memory);
    mem_free(s);
}

/* ---- One response ---- */

/* A record read back. Spans point into its buffers and the arena. */
struct loaded {
    struct loaded *older;
    struct buf record;
    struct buf request_blob;
    struct buf response_blob;
    struct str response; /* the object */
    bool complete;       /* the answer came whole */
    struct responses_lean lean;
    struct responses_turn turn;
};

static void loaded_release(struct loaded *l)
{
    buf_release(&l->record);
    buf_release(&l->request_blob);
    buf_release(&l->response_blob);
}

/* A body as the record has it, or from its blob. Empty: there is none. */
static struct str body_of(struct stored *s, struct str record, const char *name, struct buf *blob)
{
    struct json_value value, blob_name;
    struct arena scratch;
    if (!json_find(record, name, &value))
        return STR_NONE;
    if (!json_find(value.raw, "$blob", &blob_name))
        return value.raw;
    arena_init(&scratch);
    enum err err = blob_read(s->data_dir, json_text(&blob_name, &scratch), blob);
    arena_release(&scratch);
    return err == ERR_OK ? buf_str(blob) : STR_NONE;
}

static bool is_response(struct str record, struct str response)
{
    struct json_value value;
    return json_find(record, "endpoint", &value) && json_eq(&value, STR("responses")) &&
           json_find(response, "object", &value) && json_eq(&value, STR("response"));
}

static enum err load(struct stored *s, struct str id, struct str key, struct arena *a,
                     struct loaded *l)
{
    *l = (struct loaded){.older = NULL};
    buf_init(&l->record, STORED_BYTES_MAX);
    buf_init(&l->request_blob, STORED_BYTES_MAX);
    buf_init(&l->response_blob, STORED_BYTES_MAX);
    if (!str_starts(id, STR("resp_")))
        return ERR_NOT_FOUND;
    if (responses_id_call(id, &l->turn.call))
        TRY(history_find_call(s->calls, l->turn.call, key, &l->record));
    else
        TRY(history_find_response(s->calls, id, key, &l->record));
    struct str record = buf_str(&l->record);
    struct json_value call, outcome;
    if (!json_find(record, "id", &call) || is_deleted(s, json_text_raw(&call)))
        return ERR_NOT_FOUND;
    l->complete = json_find(record, "outcome", &outcome) &&
                  (json_eq(&outcome, STR("ok")) || json_eq(&outcome, STR("cached")));
    struct str request = body_of(s, record, "request", &l->request_blob);
    l->response = body_of(s, record, "response", &l->response_blob);
    if (!is_response(record, l->response) ||
        responses_lean_read(request, NESTING_MAX, a, &l->lean) != ERR_OK || !l->lean.store)
        return ERR_NOT_FOUND;
    l->turn.call = arena_str(a, json_text_raw(&call));
    l->turn.input = l->lean.input;
    (void)json_find(l->response, "output", &l->turn.output);
    return ERR_OK;
}

enum err stored_read(struct stored *s, struct str id, struct str key, struct buf *ret_response)
{
    struct arena a;
    struct loaded l;
    arena_init(&a);
    enum err err = load(s, id, key, &a, &l);
    if (err == ERR_OK) {
        buf_append_str(ret_response, l.response);
        err = ret_response->error;
    }
    loaded_release(&l);
    arena_release(&a);
    return err;
}

enum err stored_delete(struct stored *s, struct str id, struct str key)
{
    struct arena a;
    struct loaded l;
    struct id set_id;
    arena_init(&a);
    char call[RESPONSES_CALL_HEX + 1] = "";
    enum err err = load(s, id, key, &a, &l);
    if (err == ERR_OK)
        memcpy(call, l.turn.call.ptr, RESPONSES_CALL_HEX);
    loaded_release(&l);
    arena_release(&a);
    TRY(err);
    ASSERT(id_of(str_from_c(call), &set_id));
    os_mutex_lock(&s->lock);
    bool full = s->deleted.count >= STORED_DELETED_MAX;
    os_mutex_unlock(&s->lock);
    if (full)
        return ERR_LIMIT;

    char time[TIME_TEXT_BYTES + 1];
    struct buf json BUF_AUTO;
    struct json_writer w;
    buf_init(&json, 4096);
    json_writer_init(&w, &json);
    json_object_begin(&w);
    json_member_str(&w, STR("id"), id);
    json_member_str(&w, STR("op"), STR("delete"));
    json_member_str(&w, STR("key"), key);
    json_member_str(&w, STR("time"), time_format(os_wall_us(), time));
    json_object_end(&w);
    struct str value = buf_str(&json);
    struct log_record record = {.timestamp_ms = os_wall_us() / 1000,
                                .key = str_of(call, RESPONSES_CALL_HEX),
                                .value = &value,
                                .value_parts = 1};
    int64_t offset;
    TRY(log_append_wait(s->deletions, &record, LOG_ACK_SYNC, &offset));
    os_mutex_lock(&s->lock);
    set_add(&s->deleted, set_id);
    os_mutex_unlock(&s->lock);
    return ERR_OK;
}

/* ---- Conversations ---- */

/* The turns that lead to a response, newest first while they are read. */
struct chain {
    struct stored *stored;
    struct str key;
    struct arena memory;
    struct loaded *newest;
    size_t count;
    size_t bytes;
    struct openai_problem *problem;
};

static void chain_release(struct chain *c)
{
    for (struct loaded *l = c->newest; l; l = l->older)
        loaded_release(l);
    arena_release(&c->memory);
}

static enum err refuse(struct chain *c, enum err err, const char *param, struct str id)
{
    const char *code = err == ERR_NOT_FOUND && param ? "previous_response_not_found" : NULL;
    if (err == ERR_NOT_FOUND)
        openai_problem_set(c->problem, "invalid_request_error", param, code,
                           "no response '%.*s' of this key is stored: it was made with store: "
                           "false, by another key or provider, deleted, or is older than the log",
                           STR_ARG(str_take(id, 100)));
    else if (err == ERR_TRUNCATED && param)
        openai_problem_set(c->problem, "invalid_request_error", param, "previous_response_failed",
                           "the response '%.*s' was not completed, so it cannot be continued",
                           STR_ARG(str_take(id, 100)));
    else if (err == ERR_TOO_LARGE)
        openai_problem_set(c->problem, "invalid_request_error", param, "conversation_too_long",
                           "the conversation before '%.*s' has more than %d turns or %zu bytes",
                           STR_ARG(str_take(id, 100)), STORED_TURNS_MAX, STORED_BYTES_MAX);
    else
        openai_problem_set(c->problem, openai_error_type(err), param, openai_error_code(err),
                           "reading '%.*s': %s", STR_ARG(str_take(id, 100)), err_text(err));
    return err;
}

static enum err chain_read(struct chain *c, struct str id, const char *param)
{
    struct loaded **link = &c->newest;
    while (*link)
        link = &(*link)->older;
    while (id.len) {
        struct loaded *l = ARENA_NEW(&c->memory, struct loaded);
        enum err err = c->count < STORED_TURNS_MAX ? ERR_OK : ERR_TOO_LARGE;
        if (err == ERR_OK)
            err = load(c->stored, id, c->key, &c->memory, l);
        if (err == ERR_OK && !l->complete && param)
            err = ERR_TRUNCATED;
        *link = l;
        link = &l->older;
        c->count++;
        c->bytes += l->record.len + l->request_blob.len + l->response_blob.len;
        if (err == ERR_OK && c->bytes > STORED_BYTES_MAX)
            err = ERR_TOO_LARGE;
        if (err != ERR_OK)
            return refuse(c, err, param, id);
        id = l->lean.previous;
    }
    return ERR_OK;
}

/* Oldest first. from: the newest that counts. */
static struct responses_turn *chain_turns(struct chain *c, const struct loaded *from, size_t count)
{
    struct responses_turn *turns = ARENA_ARRAY(&c->memory, struct responses_turn, count + 1);
    for (size_t at = count; from && at > 0; from = from->older)
        turns[--at] = from->turn;
    return turns;
}

/* An item that a request refers to: read from its call. */
static enum err find_item(void *arg, struct str id, struct buf *out)
{
    struct chain *c = arg;
    struct str call;
    bool of_input;
    size_t place;
    struct loaded l;
    char response[RESPONSES_ID_BYTES + 1];
    struct arena a;
    if (!responses_item_id_read(id, &call, &of_input, &place))
        return refuse(c, ERR_NOT_FOUND, "input", id);
    (void)snprintf(response, sizeof response, "resp_%.*s", STR_ARG(call));
    arena_init(&a);
    enum err err = load(c->stored, str_of(response, RESPONSES_ID_BYTES), c->key, &a, &l);
    if (err == ERR_OK)
        err = responses_turn_item(&l.turn, of_input, place, out);
    loaded_release(&l);
    arena_release(&a);
    return err == ERR_OK ? ERR_OK : refuse(c, err, "input", id);
}

static void chain_init(struct chain *c, struct stored *s, struct str key,
                       struct openai_problem *problem)
{
    *c = (struct chain){.stored = s, .key = key, .problem = problem};
    *problem = (struct openai_problem){.message = ""};
    arena_init(&c->memory);
}

/* An error that nothing has described yet. */
static enum err described(struct chain *c, enum err err, const char *param, struct str id)
{
    return err == ERR_OK || *c->problem->message ? err : refuse(c, err, param, id);
}

enum err stored_items(struct stored *s, struct str id, struct str key,
                      const struct responses_page *page, struct buf *ret_list,
                      struct openai_problem *ret_problem)
{
    struct chain c;
    chain_init(&c, s, key, ret_problem);
    struct responses_finder finder = {.find = find_item, .arg = &c};
    enum err err = chain_read(&c, id, NULL);
    if (err == ERR_OK) {
        size_t before = c.count - 1;
        err = responses_list_items(chain_turns(&c, c.newest->older, before), before,
                                   &c.newest->turn, &finder, page, ret_list);
        err = described(&c, err, err == ERR_NOT_FOUND ? "after" : NULL,
                        err == ERR_NOT_FOUND ? page->after : id);
    }
    chain_release(&c);
    return err;
}

enum err stored_check(struct stored *s, struct str id, struct str key,
                      struct openai_problem *ret_problem)
{
    struct chain c;
    struct loaded l;
    chain_init(&c, s, key, ret_problem);
    enum err err = load(s, id, key, &c.memory, &l);
    if (err != ERR_OK)
        err = refuse(&c, err, "previous_response_id", id);
    loaded_release(&l);
    chain_release(&c);
    return err;
}

enum err stored_expand(struct stored *s, struct str body, unsigned max_depth, struct str key,
                       struct buf *ret_body, struct openai_problem *ret_problem)
{
    struct chain c;
    struct responses_lean lean;
    chain_init(&c, s, key, ret_problem);
    struct responses_finder finder = {.find = find_item, .arg = &c};
    enum err err = responses_lean_read(body, max_depth, &c.memory, &lean);
    if (err == ERR_OK)
        err = chain_read(&c, lean.previous, "previous_response_id");
    if (err == ERR_OK)
        err =
            responses_expand(body, chain_turns(&c, c.newest, c.count), c.count, &finder, ret_body);
    err = described(&c, err, NULL, lean.previous);
    chain_release(&c);
    return err;
}
