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

/* One partition's, as both forms of the answer have it. */
struct offset_answer {
    struct group_offset_view view;
    int16_t error;
};

struct topic_offsets {
    struct str name;
    struct offset_answer *offsets;
    size_t count;
};

/* What is asked for of one group: all, where topics is NULL. */
struct asked {
    struct str group;
    struct topic_offsets *topics; /* their offsets have the partitions' numbers */
    size_t count;
    bool stable; /* not while a transaction may change it */
};

/* All of a group, topic by topic. */
static void find_all(struct kafka_request *r, struct asked *asked)
{
    size_t count = 0;
    struct group_offset_view *views = groups_offsets(groups_of(r), asked->group, &r->arena, &count);
    struct offset_answer *answers = ARENA_ARRAY(&r->arena, struct offset_answer, count);
    asked->topics = ARENA_ARRAY(&r->arena, struct topic_offsets, count);
    for (size_t i = 0; i < count; i++) {
        answers[i].view = views[i];
        if (asked->count == 0 || !str_eq(asked->topics[asked->count - 1].name, views[i].topic))
            asked->topics[asked->count++] = (struct topic_offsets){views[i].topic, &answers[i], 0};
        asked->topics[asked->count - 1].count++;
    }
}

static void find_offsets(struct kafka_request *r, struct asked *asked)
{
    struct groups *g = groups_of(r);
    bool all = !asked->topics;
    if (all)
        find_all(r, asked);
    for (size_t t = 0; t < asked->count; t++)
        for (size_t i = 0; i < asked->topics[t].count; i++) {
            struct offset_answer *a = &asked->topics[t].offsets[i];
            struct str name = asked->topics[t].name;
            if (!all)
                a->view = groups_offset(g, asked->group, name, a->view.partition, &r->arena);
            if (asked->stable &&
                groups_offset_is_unstable(g, asked->group, name, a->view.partition)) {
                a->view.offset = -1;
                a->error = KAFKA_UNSTABLE_OFFSET_COMMIT;
            }
        }
}

static void ask_topic(struct kafka_request *r, struct topic_offsets *to, struct str name,
                      const int32_t *partitions, int32_t count)
{
    to->name = name;
    to->count = (size_t)count;
    to->offsets = ARENA_ARRAY(&r->arena, struct offset_answer, to->count);
    for (int32_t i = 0; i < count; i++)
        to->offsets[i].view.partition = partitions[i];
}

/* Up to version 7 one group, from 8 on several, in structs of their own with the same fields. */
#define ASK(r, asked, q)                                                                           \
    do {                                                                                           \
        (asked)->group = (q)->group_id;                                                            \
        (asked)->count = (q)->topics_count < 0 ? 0 : (size_t)(q)->topics_count;                    \
        if ((q)->topics_count >= 0)                                                                \
            (asked)->topics = ARENA_ARRAY(&(r)->arena, struct topic_offsets, (asked)->count + 1);  \
        for (int32_t i_ = 0; i_ < (q)->topics_count; i_++)                                         \
            ask_topic(r, &(asked)->topics[i_], (q)->topics[i_].name,                               \
                      (q)->topics[i_].partition_indexes, (q)->topics[i_].partition_indexes_count); \
    } while (0)

#define FILL(r, to, asked, topic_struct, partition_struct)                                         \
    do {                                                                                           \
        (to)->topics = KAFKA_NEW(&(r)->arena, topic_struct, (asked)->count);                       \
        (to)->topics_count = (int32_t)(asked)->count;                                              \
        for (size_t t_ = 0; t_ < (asked)->count; t_++) {                                           \
            const struct topic_offsets *from_ = &(asked)->topics[t_];                              \
            (to)->topics[t_].name = from_->name;                                                   \
            (to)->topics[t_].partitions = KAFKA_NEW(&(r)->arena, partition_struct, from_->count);  \
            (to)->topics[t_].partitions_count = (int32_t)from_->count;                             \
            for (size_t p_ = 0; p_ < from_->count; p_++) {                                         \
                const struct offset_answer *a_ = &from_->offsets[p_];                              \
                (to)->topics[t_].partitions[p_].partition_index = a_->view.partition;              \
                (to)->topics[t_].partitions[p_].committed_offset = a_->view.offset;                \
                (to)->topics[t_].partitions[p_].committed_leader_epoch = a_->view.leader_epoch;    \
                (to)->topics[t_].partitions[p_].metadata = a_->view.metadata;                      \
                (to)->topics[t_].partitions[p_].error_code = a_->error;                            \
            }                                                                                      \
        }                                                                                          \
    } while (0)

void kafka_on_offset_fetch(struct kafka_request *r)
{
    const struct kafka_offset_fetch_request *q = r->body;
    struct kafka_offset_fetch_response *response = KAFKA_NEW(&r->arena, offset_fetch_response, 1);
    if (r->header.version < 8) {
        struct asked asked = {.stable = q->require_stable};
        ASK(r, &asked, q);
        find_offsets(r, &asked);
        FILL(r, response, &asked, offset_fetch_response_topic, offset_fetch_response_partition);
        kafka_reply(r, response);
        return;
    }
    response->groups = KAFKA_NEW(&r->arena, offset_fetch_response_group, q->groups_count);
    response->groups_count = q->groups_count;
    for (int32_t i = 0; i < q->groups_count; i++) {
        struct asked asked = {.stable = q->require_stable};
        ASK(r, &asked, &q->groups[i]);
        find_offsets(r, &asked);
        response->groups[i].group_id = q->groups[i].group_id;
        FILL(r, &response->groups[i], &asked, offset_fetch_response_group_topic,
             offset_fetch_response_group_partition);
    }
    kafka_reply(r, response);
}
