/* Offsets that a transaction commits: a batch of the transaction on __consumer_offsets, kept aside
 * until its marker is there. After a restart the same is folded from the topic. */
#include "base/assert.h"
#include "base/mem.h"
#include "codec/batch.h"
#include "kafka/groups_int.h"

enum { BATCH_MAX_BYTES = 1 << 20 };

/* ---- What is kept aside; under the lock ---- */

static void free_offset(struct group_txn_offset *o)
{
    group_free_str(&o->group);
    group_free_str(&o->offset.topic);
    group_free_str(&o->offset.metadata);
}

void group_txn_offsets_free(struct groups *g)
{
    for (size_t i = 0; i < g->txn_offset_count; i++)
        free_offset(&g->txn_offsets[i]);
    mem_free(g->txn_offsets);
}

bool group_txn_offset_add(struct groups *g, int64_t producer_id, struct str group,
                          const struct group_offset_view *offset, int64_t commit_ms,
                          int64_t log_offset)
{
    if (g->txn_offset_count >= GROUP_TXN_OFFSETS_MAX)
        return false;
    if (g->txn_offset_count == g->txn_offset_capacity) {
        g->txn_offset_capacity = g->txn_offset_capacity ? 2 * g->txn_offset_capacity : 16;
        g->txn_offsets =
            mem_resize(g->txn_offsets, g->txn_offset_capacity * sizeof *g->txn_offsets);
    }
    g->txn_offsets[g->txn_offset_count++] = (struct group_txn_offset){
        .producer_id = producer_id,
        .group = group_copy(group),
        .offset = {group_copy(offset->topic), offset->partition, offset->offset,
                   offset->leader_epoch, group_copy(offset->metadata)},
        .commit_ms = commit_ms,
        .log_offset = log_offset,
    };
    return true;
}

static void drop(struct groups *g, size_t at)
{
    free_offset(&g->txn_offsets[at]);
    g->txn_offset_count--;
    memmove(&g->txn_offsets[at], &g->txn_offsets[at + 1],
            (g->txn_offset_count - at) * sizeof *g->txn_offsets);
}

void group_txn_end(struct groups *g, int64_t producer_id, bool commit)
{
    for (size_t i = 0; i < g->txn_offset_count;) {
        struct group_txn_offset *o = &g->txn_offsets[i];
        if (o->producer_id != producer_id) {
            i++;
            continue;
        }
        struct group *group = commit ? groups_get(g, o->group) : NULL;
        if (group)
            group_offset_set(group, &o->offset, o->commit_ms, o->log_offset);
        drop(g, i);
    }
}

/* ---- Committing ---- */

int16_t groups_txn_commit_check(struct groups *g, const struct group_from *from)
{
    int16_t error = KAFKA_NONE;
    struct group_member *m = NULL;
    if (from->group.len == 0 || from->group.len > GROUP_ID_MAX_BYTES)
        return KAFKA_INVALID_GROUP_ID;
    os_mutex_lock(&g->lock);
    struct group *group = groups_find(g, from->group);
    bool simple = from->generation < 0 && from->member_id.len == 0 && !from->instance.ptr;
    if (!simple)
        error = group ? group_check_member(group, from, &m) : KAFKA_ILLEGAL_GENERATION;
    if (m)
        group_member_touch(m, groups_now_ms());
    os_mutex_unlock(&g->lock);
    return error;
}

static enum err write_batch(const struct group_txn_commit *c, struct buf *out)
{
    struct buf records BUF_AUTO;
    char header[BATCH_HEADER_BYTES];
    buf_init(&records, BATCH_MAX_BYTES);
    for (size_t i = 0; i < c->count; i++)
        group_offset_record(c->group, &c->offsets[i], c->commit_ms, (int32_t)i, &records);
    TRY(records.error);
    struct batch_header h = {
        .attributes = BATCH_TRANSACTIONAL,
        .last_offset_delta = (int32_t)c->count - 1,
        .base_timestamp_ms = c->commit_ms,
        .max_timestamp_ms = c->commit_ms,
        .producer_id = c->producer_id,
        .producer_epoch = c->epoch,
        .base_sequence = -1,
        .count = (int32_t)c->count,
    };
    struct str bytes = buf_str(&records);
    batch_header_write(&h, &bytes, 1, header);
    buf_append(out, header, sizeof header);
    buf_append_str(out, bytes);
    return out->error;
}

/* On any thread of the log, before the marker's turn comes: the log's order. */
static void on_appended(struct log_append *first)
{
    struct groups *g = first->owner;
    os_mutex_lock(&g->lock);
    for (struct log_append *next; first; first = next) {
        struct group_txn_commit *c = (struct group_txn_commit *)first;
        next = first->next;
        if (first->error == ERR_OK)
            for (size_t i = 0; i < c->count; i++)
                (void)group_txn_offset_add(g, c->producer_id, c->group, &c->offsets[i],
                                           c->commit_ms, first->offset + (int64_t)i);
        g->commits--;
        c->done(c);
    }
    os_mutex_unlock(&g->lock);
}

enum err groups_txn_commit(struct groups *g, struct group_txn_commit *c)
{
    struct buf batch BUF_AUTO;
    buf_init(&batch, BATCH_MAX_BYTES + BATCH_HEADER_BYTES);
    ASSERT(c->count > 0);
    TRY(write_batch(c, &batch));
    c->append =
        (struct log_append){.done = on_appended, .owner = g, .ack = LOG_ACK_SYNC, .lazy = true};
    os_mutex_lock(&g->lock);
    enum err e = g->rewrite_wanted ? ERR_BUSY : ERR_OK;
    if (g->txn_offset_count + c->count > GROUP_TXN_OFFSETS_MAX)
        e = ERR_LIMIT;
    if (e == ERR_OK)
        e = log_append_own(g->part, buf_str(&batch), &c->append);
    if (e == ERR_OK)
        g->commits++;
    os_mutex_unlock(&g->lock);
    return e;
}

void groups_txn_ended(struct groups *g, const struct log_part *part, int64_t producer_id,
                      bool commit)
{
    if (part != g->part)
        return;
    os_mutex_lock(&g->lock);
    group_txn_end(g, producer_id, commit);
    os_mutex_unlock(&g->lock);
}

struct log_part *groups_part(const struct groups *g)
{
    return g->part;
}

bool groups_offset_is_unstable(struct groups *g, struct str group, struct str topic,
                               int32_t partition)
{
    bool found = false;
    os_mutex_lock(&g->lock);
    for (size_t i = 0; i < g->txn_offset_count && !found; i++) {
        const struct group_txn_offset *o = &g->txn_offsets[i];
        found = o->offset.partition == partition && str_eq(o->group, group) &&
                str_eq(o->offset.topic, topic);
    }
    os_mutex_unlock(&g->lock);
    return found;
}
