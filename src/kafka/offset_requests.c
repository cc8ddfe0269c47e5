/* OffsetCommit, OffsetFetch. A commit is answered when it is on disk. */
#include "kafka/kafka_int.h"
#include "os/clock.h"

static struct groups *groups_of(const struct kafka_request *r)
{
    return kafka_request_half(r)->server->groups;
}

/* ---- OffsetCommit ---- */

struct commit {
    struct kafka_offset_commit_response *response;
    size_t waiting; /* appends under way, and 1 while they are begun */
};

struct commit_part {
    struct group_commit commit; /* first */
    struct kafka_request *request;
    int16_t *error_code;
};

static void one_done(struct kafka_request *r)
{
    struct commit *c = r->state;
    if (--c->waiting == 0)
        kafka_reply(r, c->response);
}

static void on_appended(struct kafka_append *a)
{
    struct commit_part *p = (struct commit_part *)a;
    groups_commit_end(groups_of(p->request), &p->commit);
    if (a->append.error != ERR_OK)
        *p->error_code = KAFKA_COORDINATOR_NOT_AVAILABLE;
    one_done(p->request);
}

static void commit_one(struct kafka_request *r, struct str topic,
                       const struct kafka_offset_commit_request_partition *from,
                       int16_t *error_code)
{
    const struct kafka_offset_commit_request *q = r->body;
    struct commit *state = r->state;
    struct commit_part *p = ARENA_NEW(&r->arena, struct commit_part);
    *p = (struct commit_part){
        .commit = {.group = q->group_id,
                   .offset = {topic, from->partition_index, from->committed_offset,
                              from->committed_leader_epoch,
                              from->committed_metadata.ptr ? from->committed_metadata : STR("")},
                   .commit_ms = os_wall_us() / 1000},
        .request = r,
        .error_code = error_code,
    };
    kafka_append_init(&p->commit.append, kafka_request_half(r), on_appended);
    state->waiting++;
    enum err e = groups_commit_append(groups_of(r), &p->commit);
    if (e == ERR_OK) {
        kafka_commit_later(kafka_request_half(r));
        return;
    }
    *error_code =
        e == ERR_BUSY ? KAFKA_COORDINATOR_LOAD_IN_PROGRESS : KAFKA_COORDINATOR_NOT_AVAILABLE;
    one_done(r);
}

static int16_t check_one(const struct kafka_request *r, struct str topic,
                         const struct kafka_offset_commit_request_partition *q)
{
    struct log_part *part = NULL;
    if (q->committed_metadata.len > GROUP_METADATA_MAX_BYTES)
        return KAFKA_OFFSET_METADATA_TOO_LARGE;
    return kafka_part_find(r, topic, q->partition_index, -1, &part);
}

static void commit_topic(struct kafka_request *r, int16_t refused,
                         const struct kafka_offset_commit_request_topic *from,
                         struct kafka_offset_commit_response_topic *to)
{
    to->name = from->name;
    to->partitions = KAFKA_NEW(&r->arena, offset_commit_response_partition, from->partitions_count);
    to->partitions_count = from->partitions_count;
    for (int32_t i = 0; i < from->partitions_count; i++) {
        struct kafka_offset_commit_response_partition *p = &to->partitions[i];
        p->partition_index = from->partitions[i].partition_index;
        p->error_code =
            refused != KAFKA_NONE ? refused : check_one(r, from->name, &from->partitions[i]);
        if (p->error_code == KAFKA_NONE)
            commit_one(r, from->name, &from->partitions[i], &p->error_code);
    }
}

void kafka_on_offset_commit(struct kafka_request *r)
{
    const struct kafka_offset_commit_request *q = r->body;
    const struct group_from from = {q->group_id, q->member_id, q->group_instance_id,
                                    q->generation_id};
    struct commit *c = ARENA_NEW(&r->arena, struct commit);
    r->state = c;
    c->waiting = 1;
    c->response = KAFKA_NEW(&r->arena, offset_commit_response, 1);
    c->response->topics = KAFKA_NEW(&r->arena, offset_commit_response_topic, q->topics_count);
    c->response->topics_count = q->topics_count;
    int16_t refused = groups_commit_check(groups_of(r), &from);
    for (int32_t i = 0; i < q->topics_count; i++)
        commit_topic(r, refused, &q->topics[i], &c->response->topics[i]);
    one_done(r);
}

/* ---- OffsetFetch ---- */

/* Up to version 7 one group, from 8 on several, in structs of their own: one filler for both. */
#define FILL_PARTITION(to, view)                                                                   \
    do {                                                                                           \
        (to)->partition_index = (view).partition;                                                  \
        (to)->committed_offset = (view).offset;                                                    \
        (to)->committed_leader_epoch = (view).leader_epoch;                                        \
        (to)->metadata = (view).metadata;                                                          \
    } while (0)

struct topic_offsets {
    struct str name;
    struct group_offset_view *offsets;
    size_t count;
};

/* All of a group, topic by topic. */
static struct topic_offsets *all_offsets(struct kafka_request *r, struct str group,
                                         size_t *ret_count)
{
    size_t count = 0;
    struct group_offset_view *views = groups_offsets(groups_of(r), group, &r->arena, &count);
    struct topic_offsets *topics = ARENA_ARRAY(&r->arena, struct topic_offsets, count);
    size_t topic_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (topic_count == 0 || !str_eq(topics[topic_count - 1].name, views[i].topic))
            topics[topic_count++] = (struct topic_offsets){views[i].topic, &views[i], 0};
        topics[topic_count - 1].count++;
    }
    *ret_count = topic_count;
    return topics;
}

static struct topic_offsets some_offsets(struct kafka_request *r, struct str group,
                                         struct str topic, const int32_t *partitions, int32_t count)
{
    struct topic_offsets t = {
        topic, ARENA_ARRAY(&r->arena, struct group_offset_view, (size_t)count), (size_t)count};
    for (int32_t i = 0; i < count; i++)
        t.offsets[i] = groups_offset(groups_of(r), group, topic, partitions[i], &r->arena);
    return t;
}

static void fill_group(struct kafka_request *r, const struct kafka_offset_fetch_request_group *q,
                       struct kafka_offset_fetch_response_group *to)
{
    size_t count = q->topics_count < 0 ? 0 : (size_t)q->topics_count;
    struct topic_offsets *topics = q->topics_count < 0
                                       ? all_offsets(r, q->group_id, &count)
                                       : ARENA_ARRAY(&r->arena, struct topic_offsets, count);
    for (int32_t i = 0; i < q->topics_count; i++)
        topics[i] = some_offsets(r, q->group_id, q->topics[i].name, q->topics[i].partition_indexes,
                                 q->topics[i].partition_indexes_count);
    to->group_id = q->group_id;
    to->topics = KAFKA_NEW(&r->arena, offset_fetch_response_group_topic, count);
    to->topics_count = (int32_t)count;
    for (size_t i = 0; i < count; i++) {
        struct kafka_offset_fetch_response_group_topic *t = &to->topics[i];
        t->name = topics[i].name;
        t->partitions =
            KAFKA_NEW(&r->arena, offset_fetch_response_group_partition, topics[i].count);
        t->partitions_count = (int32_t)topics[i].count;
        for (size_t p = 0; p < topics[i].count; p++)
            FILL_PARTITION(&t->partitions[p], topics[i].offsets[p]);
    }
}

static void fill_single(struct kafka_request *r, const struct kafka_offset_fetch_request *q,
                        struct kafka_offset_fetch_response *to)
{
    size_t count = q->topics_count < 0 ? 0 : (size_t)q->topics_count;
    struct topic_offsets *topics = q->topics_count < 0
                                       ? all_offsets(r, q->group_id, &count)
                                       : ARENA_ARRAY(&r->arena, struct topic_offsets, count);
    for (int32_t i = 0; i < q->topics_count; i++)
        topics[i] = some_offsets(r, q->group_id, q->topics[i].name, q->topics[i].partition_indexes,
                                 q->topics[i].partition_indexes_count);
    to->topics = KAFKA_NEW(&r->arena, offset_fetch_response_topic, count);
    to->topics_count = (int32_t)count;
    for (size_t i = 0; i < count; i++) {
        struct kafka_offset_fetch_response_topic *t = &to->topics[i];
        t->name = topics[i].name;
        t->partitions = KAFKA_NEW(&r->arena, offset_fetch_response_partition, topics[i].count);
        t->partitions_count = (int32_t)topics[i].count;
        for (size_t p = 0; p < topics[i].count; p++)
            FILL_PARTITION(&t->partitions[p], topics[i].offsets[p]);
    }
}

void kafka_on_offset_fetch(struct kafka_request *r)
{
    const struct kafka_offset_fetch_request *q = r->body;
    struct kafka_offset_fetch_response *response = KAFKA_NEW(&r->arena, offset_fetch_response, 1);
    if (r->header.version < 8) {
        fill_single(r, q, response);
        kafka_reply(r, response);
        return;
    }
    response->groups = KAFKA_NEW(&r->arena, offset_fetch_response_group, q->groups_count);
    response->groups_count = q->groups_count;
    for (int32_t i = 0; i < q->groups_count; i++)
        fill_group(r, &q->groups[i], &response->groups[i]);
    kafka_reply(r, response);
}
