/* Committed offsets: records of __consumer_offsets, as Kafka writes them, and what they come to.
 *
 *     key    int16 1 | string group | string topic | int32 partition
 *     value  int16 3 | int64 offset | int32 leader epoch | string metadata | int64 commit time, ms
 * null: forgotten
 *
 * Strings have a length of 16 bits. Source: Kafka's OffsetCommitKey.json, OffsetCommitValue.json.
 * Records of other versions (a group's membership, of Kafka itself) are stepped over. */
#include <stdatomic.h>

#include "base/assert.h"
#include "base/mem.h"
#include "codec/batch.h"
#include "codec/endian.h"
#include "kafka/groups_int.h"
#include "os/clock.h"

enum {
    KEY_VERSION = 1,
    VALUE_VERSION = 3,
    SUBSCRIBED_TO_TOPIC = 86,
    RECORD_MAX_BYTES = 64 << 10,
};

/* ---- Entries ---- */

static int compare(const struct group_offset *e, struct str topic, int32_t partition)
{
    int order = str_cmp(e->topic, topic);
    return order ? order : (e->partition > partition) - (e->partition < partition);
}

static size_t place_of(const struct group *group, struct str topic, int32_t partition)
{
    size_t low = 0;
    size_t high = group->offset_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&group->offsets[middle], topic, partition) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct group_offset *find_entry(const struct group *group, struct str topic,
                                       int32_t partition)
{
    size_t at = place_of(group, topic, partition);
    return at < group->offset_count && compare(&group->offsets[at], topic, partition) == 0
               ? &group->offsets[at]
               : NULL;
}

static struct group_offset *get_entry(struct group *group, struct str topic, int32_t partition)
{
    size_t at = place_of(group, topic, partition);
    if (at < group->offset_count && compare(&group->offsets[at], topic, partition) == 0)
        return &group->offsets[at];
    if (group->offset_count == group->offset_capacity) {
        group->offset_capacity = group->offset_capacity ? 2 * group->offset_capacity : 8;
        group->offsets =
            mem_resize(group->offsets, group->offset_capacity * sizeof *group->offsets);
    }
    struct group_offset *e = &group->offsets[at];
    memmove(e + 1, e, (group->offset_count - at) * sizeof *e);
    *e = (struct group_offset){
        .topic = group_copy(topic), .partition = partition, .offset = -1, .log_offset = -1};
    group->offset_count++;
    return e;
}

static void remove_entry(struct group *group, struct group_offset *e)
{
    group_free_str(&e->topic);
    group_free_str(&e->metadata);
    group->offset_count--;
    memmove(e, e + 1, (size_t)(group->offsets + group->offset_count - e) * sizeof *e);
}

void group_offsets_free(struct group *group)
{
    for (size_t i = 0; i < group->offset_count; i++) {
        group_free_str(&group->offsets[i].topic);
        group_free_str(&group->offsets[i].metadata);
    }
    mem_free(group->offsets);
}

static void set_entry(struct group_offset *e, const struct group_offset_view *view,
                      int64_t commit_ms, int64_t log_offset)
{
    group_free_str(&e->metadata);
    e->offset = view->offset;
    e->leader_epoch = view->leader_epoch;
    e->metadata = group_copy(view->metadata);
    e->commit_ms = commit_ms;
    e->log_offset = log_offset;
}

void group_offset_set(struct group *group, const struct group_offset_view *view, int64_t commit_ms,
                      int64_t log_offset)
{
    struct group_offset *e = get_entry(group, view->topic, view->partition);
    if (e->log_offset < log_offset)
        set_entry(e, view, commit_ms, log_offset);
}

/* ---- Records ---- */

static void put_str(struct buf *out, struct str s)
{
    char length[2];
    be16_put(length, (uint16_t)s.len);
    buf_append(out, length, sizeof length);
    buf_append_str(out, s);
}

static void put_i64(struct buf *out, int64_t value)
{
    char bytes[8];
    be64_put(bytes, (uint64_t)value);
    buf_append(out, bytes, sizeof bytes);
}

static void put_i32(struct buf *out, int32_t value)
{
    char bytes[4];
    be32_put(bytes, (uint32_t)value);
    buf_append(out, bytes, sizeof bytes);
}

static void write_key(struct buf *out, struct str group, struct str topic, int32_t partition)
{
    buf_append(out, "\0\1", 2);
    put_str(out, group);
    put_str(out, topic);
    put_i32(out, partition);
}

static void write_value(struct buf *out, const struct group_offset_view *view, int64_t commit_ms)
{
    buf_append(out, "\0\3", 2);
    put_i64(out, view->offset);
    put_i32(out, view->leader_epoch);
    put_str(out, view->metadata);
    put_i64(out, commit_ms);
}

void group_offset_record(struct str group, const struct group_offset_view *view, int64_t commit_ms,
                         int32_t offset_delta, struct buf *out)
{
    struct buf key BUF_AUTO;
    struct buf value BUF_AUTO;
    buf_init(&key, RECORD_MAX_BYTES);
    buf_init(&value, RECORD_MAX_BYTES);
    write_key(&key, group, view->topic, view->partition);
    write_value(&value, view, commit_ms);
    struct str bytes = buf_str(&value);
    const struct record_fields f = {.key = buf_str(&key), .value = &bytes, .value_parts = 1};
    record_write(out, &f, 0, offset_delta);
}

MUST_CHECK static enum err take(struct str *rest, size_t n, const char **ret_at)
{
    if (n > rest->len)
        return ERR_TRUNCATED;
    *ret_at = rest->ptr;
    *rest = str_skip(*rest, n);
    return ERR_OK;
}

MUST_CHECK static enum err take_str(struct str *rest, struct str *ret_str)
{
    const char *at = NULL;
    TRY(take(rest, 2, &at));
    size_t length = be16_get(at);
    if (length > INT16_MAX)
        return ERR_CORRUPT;
    TRY(take(rest, length, &at));
    *ret_str = str_of(at, length);
    return ERR_OK;
}

/* ERR_NOT_FOUND: a record of another kind. */
MUST_CHECK static enum err read_key(struct str key, struct str *ret_group,
                                    struct group_offset_view *view)
{
    const char *at = NULL;
    TRY(take(&key, 2, &at));
    if (be16_get(at) > KEY_VERSION)
        return ERR_NOT_FOUND;
    TRY(take_str(&key, ret_group));
    TRY(take_str(&key, &view->topic));
    TRY(take(&key, 4, &at));
    view->partition = (int32_t)be32_get(at);
    return ERR_OK;
}

MUST_CHECK static enum err read_value(struct str value, struct group_offset_view *view,
                                      int64_t *ret_commit_ms)
{
    const char *at = NULL;
    TRY(take(&value, 14, &at));
    if (be16_get(at) != VALUE_VERSION)
        return ERR_NOT_FOUND;
    view->offset = (int64_t)be64_get(at + 2);
    view->leader_epoch = (int32_t)be32_get(at + 10);
    TRY(take_str(&value, &view->metadata));
    TRY(take(&value, 8, &at));
    *ret_commit_ms = (int64_t)be64_get(at);
    return ERR_OK;
}

static void fold(struct groups *g, const struct log_entry *entry)
{
    struct str id = STR_NONE;
    struct group_offset_view view = {0};
    int64_t commit_ms = 0;
    if (!entry->key.ptr || read_key(entry->key, &id, &view) != ERR_OK)
        return;
    if (!entry->value.ptr) {
        struct group *group = groups_find(g, id);
        struct group_offset *e = group ? find_entry(group, view.topic, view.partition) : NULL;
        if (e)
            remove_entry(group, e);
        if (group && group->offset_count == 0)
            groups_remove(g, group);
        return;
    }
    if (read_value(entry->value, &view, &commit_ms) != ERR_OK)
        return;
    if (entry->transactional) {
        (void)group_txn_offset_add(g, entry->producer_id, id, &view, commit_ms, entry->offset);
        return;
    }
    struct group *group = groups_get(g, id);
    if (group)
        group_offset_set(group, &view, commit_ms, entry->offset);
}

enum err groups_offsets_load(struct groups *g)
{
    struct log_cursor *cursor = NULL;
    const struct log_entry *entry = NULL;
    enum err e;
    TRY(log_cursor_open(g->part, log_part_start(g->part), LOG_FORWARD, &cursor));
    while ((e = log_cursor_next(cursor, &entry)) == ERR_OK && entry)
        if (!entry->control)
            fold(g, entry);
        else if (batch_marker_of_key(entry->key) != BATCH_MARKER_NONE)
            group_txn_end(g, entry->producer_id,
                          batch_marker_of_key(entry->key) == BATCH_MARKER_COMMIT);
    log_cursor_close(cursor);
    return e;
}

/* ---- Committing ---- */

int16_t groups_commit_check(struct groups *g, const struct group_from *from)
{
    int16_t error = KAFKA_NONE;
    struct group_member *m = NULL;
    if (from->group.len > GROUP_ID_MAX_BYTES)
        return KAFKA_INVALID_GROUP_ID;
    os_mutex_lock(&g->lock);
    struct group *group = groups_find(g, from->group);
    bool simple = from->generation < 0 && from->member_id.len == 0;
    if (!group && simple)
        group = groups_get(g, from->group);
    if (!group)
        error = simple ? KAFKA_GROUP_MAX_SIZE_REACHED : KAFKA_ILLEGAL_GENERATION;
    else if (!(simple && group->state == GROUP_EMPTY))
        error = group_check_member(group, from, &m);
    if (m) {
        group_member_touch(m, groups_now_ms());
        if (group->state == GROUP_COMPLETING)
            error = KAFKA_REBALANCE_IN_PROGRESS;
    }
    os_mutex_unlock(&g->lock);
    return error;
}

static void bufs_init(struct buf *key, struct buf *value)
{
    buf_init(key, RECORD_MAX_BYTES);
    buf_init(value, RECORD_MAX_BYTES);
}

enum err groups_commit_append(struct groups *g, struct group_commit *c)
{
    struct buf key BUF_AUTO;
    struct buf value BUF_AUTO;
    bufs_init(&key, &value);
    write_key(&key, c->group, c->offset.topic, c->offset.partition);
    write_value(&value, &c->offset, c->commit_ms);
    if (key.error != ERR_OK || value.error != ERR_OK)
        return ERR_TOO_LARGE;
    struct str bytes = buf_str(&value);
    const struct log_record record = {
        .timestamp_ms = c->commit_ms, .key = buf_str(&key), .value = &bytes, .value_parts = 1};
    c->append.append.ack = LOG_ACK_SYNC;
    os_mutex_lock(&g->lock);
    struct group *group = g->rewrite_wanted ? NULL : groups_get(g, c->group);
    enum err e = g->rewrite_wanted ? ERR_BUSY : ERR_LIMIT;
    if (group)
        e = log_append(g->part, &record, &c->append.append);
    if (e == ERR_OK) { /* an entry at once, so that whoever forgets the group forgets this too */
        (void)get_entry(group, c->offset.topic, c->offset.partition);
        g->commits++;
    }
    os_mutex_unlock(&g->lock);
    return e;
}

void groups_commit_end(struct groups *g, const struct group_commit *c)
{
    os_mutex_lock(&g->lock);
    g->commits--;
    if (c->append.append.error != ERR_OK) {
        os_mutex_unlock(&g->lock);
        return;
    }
    struct group *group = groups_find(g, c->group);
    struct group_offset *e = group ? find_entry(group, c->offset.topic, c->offset.partition) : NULL;
    if (e && e->log_offset < c->append.append.offset)
        set_entry(e, &c->offset, c->commit_ms, c->append.append.offset);
    os_mutex_unlock(&g->lock);
}

/* ---- Writing the topic anew ---- */

enum {
    REWRITE_MIN_BYTES = 16 << 20, /* below, the topic may grow */
    REWRITE_GROWTH = 4,           /* times what the last rewrite came to */
};

void group_offsets_watch(struct groups *g)
{
    struct log_part_info info;
    if (g->rewrite_wanted || g->txn_offset_count > 0)
        return; /* what an open transaction has committed cannot be written anew */
    log_part_describe(g->part, &info);
    if (g->rewrite_at_bytes == 0)
        g->rewrite_at_bytes = REWRITE_MIN_BYTES;
    g->rewrite_wanted = info.bytes > g->rewrite_at_bytes;
}

bool groups_want_rewrite(struct groups *g)
{
    os_mutex_lock(&g->lock);
    bool now = g->rewrite_wanted && !g->rewriting && g->commits == 0;
    g->rewriting |= now;
    os_mutex_unlock(&g->lock);
    return now;
}

/* Lives until the last of its appends has come back. */
struct rewrite {
    atomic_uint uses;
    atomic_bool failed;
};

struct rewritten {
    struct log_append append; /* first; its owner is the rewrite */
};

static void rewrite_unuse(struct rewrite *w, unsigned uses)
{
    if (atomic_fetch_sub(&w->uses, uses) == uses)
        mem_free(w);
}

static void on_rewritten(struct log_append *first)
{
    struct rewrite *w = first->owner;
    unsigned uses = 0;
    for (struct log_append *next; first; first = next, uses++) {
        next = first->next;
        if (first->error != ERR_OK)
            atomic_store(&w->failed, true);
        mem_free(first);
    }
    rewrite_unuse(w, uses);
}

static enum err append_entry(struct groups *g, const struct group *group,
                             const struct group_offset *e, struct rewrite *w)
{
    struct buf key BUF_AUTO;
    struct buf value BUF_AUTO;
    bufs_init(&key, &value);
    const struct group_offset_view view = {e->topic, e->partition, e->offset, e->leader_epoch,
                                           e->metadata};
    write_key(&key, group->id, e->topic, e->partition);
    write_value(&value, &view, e->commit_ms);
    struct str bytes = buf_str(&value);
    const struct log_record record = {
        .timestamp_ms = e->commit_ms, .key = buf_str(&key), .value = &bytes, .value_parts = 1};
    struct rewritten *r = NEW(struct rewritten);
    r->append = (struct log_append){.done = on_rewritten, .owner = w, .ack = LOG_ACK_SYNC};
    atomic_fetch_add(&w->uses, 1);
    enum err error = log_append(g->part, &record, &r->append);
    if (error != ERR_OK) {
        mem_free(r);
        atomic_fetch_sub(&w->uses, 1); /* not the last: the caller has one */
    }
    return error;
}

static enum err append_all(struct groups *g, struct rewrite *w)
{
    for (size_t i = 0; i < g->count; i++)
        for (size_t e = 0; e < g->groups[i]->offset_count; e++)
            if (g->groups[i]->offsets[e].offset >= 0)
                TRY(append_entry(g, g->groups[i], &g->groups[i]->offsets[e], w));
    return ERR_OK;
}

/* What was committed stands at *ret_first or behind. Last comes a record of another kind (that
 * there is no group "weir"): when it is on the disk, all are. */
static enum err rewrite(struct groups *g, int64_t *ret_first)
{
    struct rewrite *w = NEW(struct rewrite);
    const struct log_record last = {.timestamp_ms = -1, .key = STR("\0\2\0\4weir")};
    int64_t offset = 0;
    atomic_init(&w->uses, 1);
    os_mutex_lock(&g->lock);
    *ret_first = log_part_end(g->part);
    enum err e = append_all(g, w);
    os_mutex_unlock(&g->lock);
    if (e == ERR_OK)
        e = log_append_wait(g->part, &last, LOG_ACK_SYNC, &offset);
    if (e == ERR_OK && atomic_load(&w->failed))
        e = ERR_IO;
    rewrite_unuse(w, 1);
    return e;
}

void groups_rewrite(struct groups *g)
{
    int64_t first = 0;
    int64_t start = 0;
    struct log_part_info before;
    struct log_part_info after;
    log_part_describe(g->part, &before);
    enum err e = rewrite(g, &first);
    if (e == ERR_OK)
        e = log_part_delete_before(g->part, first, &start);
    log_part_describe(g->part, &after);
    uint64_t live = after.bytes > before.bytes ? after.bytes - before.bytes : after.bytes;
    os_mutex_lock(&g->lock);
    /* Should it have failed, it is tried again when as much has come again. */
    g->rewrite_at_bytes = (e == ERR_OK ? REWRITE_GROWTH * live : after.bytes) + REWRITE_MIN_BYTES;
    g->rewrite_wanted = g->rewriting = false;
    os_mutex_unlock(&g->lock);
}

/* ---- Forgetting ---- */

struct tombstone {
    struct log_append append; /* first */
};

static void free_tombstones(struct log_append *first)
{
    for (struct log_append *next; first; first = next) {
        next = first->next;
        mem_free(first);
    }
}

/* Nobody waits for it: should it get lost, the offset comes back and grows old again. */
static void append_tombstone(struct groups *g, const struct group *group,
                             const struct group_offset *e)
{
    struct buf key BUF_AUTO;
    buf_init(&key, RECORD_MAX_BYTES);
    write_key(&key, group->id, e->topic, e->partition);
    struct tombstone *t = NEW(struct tombstone);
    t->append = (struct log_append){.done = free_tombstones, .owner = g, .ack = LOG_ACK_WRITE};
    const struct log_record record = {.timestamp_ms = -1, .key = buf_str(&key)};
    if (log_append(g->part, &record, &t->append) != ERR_OK)
        mem_free(t);
}

void group_offsets_drop(struct groups *g, struct group *group)
{
    for (size_t i = 0; i < group->offset_count; i++)
        append_tombstone(g, group, &group->offsets[i]);
}

void group_offsets_expire(struct groups *g, struct group *group, int64_t wall_ms)
{
    for (size_t i = group->offset_count; i-- > 0;) {
        struct group_offset *e = &group->offsets[i];
        int64_t since = e->commit_ms > group->empty_since_ms ? e->commit_ms : group->empty_since_ms;
        if (e->offset < 0 || wall_ms - since <= GROUP_OFFSETS_RETENTION_MS)
            continue;
        append_tombstone(g, group, e);
        remove_entry(group, e);
    }
}

/* Does a member's subscription name the topic? It begins: int16 version | array of strings. */
static bool is_subscribed(const struct group *group, struct str topic)
{
    for (const struct group_member *m = group->members; m; m = m->next)
        for (size_t i = 0; i < m->protocol_count; i++) {
            struct str rest = m->protocols[i].metadata;
            struct str name = STR_NONE;
            const char *at = NULL;
            if (take(&rest, 6, &at) != ERR_OK)
                continue;
            for (uint32_t n = be32_get(at + 2); n > 0 && take_str(&rest, &name) == ERR_OK; n--)
                if (str_eq(name, topic))
                    return true;
        }
    return false;
}

int16_t groups_offset_delete(struct groups *g, struct str id, struct str topic, int32_t partition)
{
    int16_t error = KAFKA_NONE;
    os_mutex_lock(&g->lock);
    struct group *group = groups_find(g, id);
    struct group_offset *e = group ? find_entry(group, topic, partition) : NULL;
    if (group && is_subscribed(group, topic)) {
        error = SUBSCRIBED_TO_TOPIC;
    } else if (e) {
        append_tombstone(g, group, e);
        remove_entry(group, e);
    }
    os_mutex_unlock(&g->lock);
    return error;
}

/* ---- Reading ---- */

static struct group_offset_view view_of(const struct group_offset *e, struct arena *arena)
{
    return (struct group_offset_view){
        .topic = arena_str(arena, e->topic),
        .partition = e->partition,
        .offset = e->offset,
        .leader_epoch = e->leader_epoch,
        .metadata = arena_str(arena, e->metadata),
    };
}

struct group_offset_view groups_offset(struct groups *g, struct str id, struct str topic,
                                       int32_t partition, struct arena *arena)
{
    struct group_offset_view view = {topic, partition, -1, -1, STR("")};
    os_mutex_lock(&g->lock);
    const struct group *group = groups_find(g, id);
    const struct group_offset *e = group ? find_entry(group, topic, partition) : NULL;
    if (e && e->offset >= 0)
        view = view_of(e, arena);
    os_mutex_unlock(&g->lock);
    return view;
}

struct group_offset_view *groups_offsets(struct groups *g, struct str id, struct arena *arena,
                                         size_t *ret_count)
{
    os_mutex_lock(&g->lock);
    const struct group *group = groups_find(g, id);
    size_t total = group ? group->offset_count : 0;
    struct group_offset_view *views = ARENA_ARRAY(arena, struct group_offset_view, total);
    size_t count = 0;
    for (size_t i = 0; i < total; i++)
        if (group->offsets[i].offset >= 0)
            views[count++] = view_of(&group->offsets[i], arena);
    os_mutex_unlock(&g->lock);
    *ret_count = count;
    return views;
}
