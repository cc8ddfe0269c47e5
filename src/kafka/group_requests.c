/* JoinGroup, SyncGroup, Heartbeat, LeaveGroup: the protocol's side of kafka/groups.h. */
#include "base/assert.h"
#include "kafka/kafka_int.h"

struct waiting {
    struct group_wait wait; /* first */
    struct kafka_request *request;
};

static struct groups *groups_of(const struct kafka_request *r)
{
    return kafka_request_half(r)->server->groups;
}

/* ---- Waiting ---- */

/* On any thread, under the groups' lock. */
static void on_done(struct group_wait *w)
{
    struct kafka_request *r = ((struct waiting *)w)->request;
    loop_post(kafka_request_half(r)->loop, &r->woken);
}

static void on_gone(struct kafka_request *r)
{
    if (groups_cancel(groups_of(r), r->state))
        kafka_reply_nothing(r);
}

static struct group_wait *begin_wait(struct kafka_request *r, void (*then)(void *request))
{
    struct waiting *w = ARENA_NEW(&r->arena, struct waiting);
    w->wait.done = on_done;
    w->wait.arena = &r->arena;
    w->request = r;
    r->state = w;
    r->gone = on_gone;
    loop_task_init(&r->woken, then, r);
    return &w->wait;
}

/* ---- JoinGroup ---- */

static void joined(void *arg)
{
    struct kafka_request *r = arg;
    const struct group_wait *w = r->state;
    struct kafka_join_group_response *response = KAFKA_NEW(&r->arena, join_group_response, 1);
    response->error_code = w->error;
    response->generation_id = w->generation;
    response->protocol_type = w->protocol_type;
    response->protocol_name = w->protocol.ptr || r->header.version >= 7 ? w->protocol : STR("");
    response->leader = w->leader;
    response->skip_assignment = w->skip_assignment;
    response->member_id = w->member_id;
    response->members = KAFKA_NEW(&r->arena, join_group_response_member, w->member_count);
    response->members_count = (int32_t)w->member_count;
    for (size_t i = 0; i < w->member_count; i++)
        response->members[i] = (struct kafka_join_group_response_member){
            w->members[i].id, w->members[i].instance, w->members[i].metadata};
    kafka_reply(r, response);
}

void kafka_on_join_group(struct kafka_request *r)
{
    const struct kafka_join_group_request *q = r->body;
    struct group_protocol *protocols =
        ARENA_ARRAY(&r->arena, struct group_protocol, (size_t)q->protocols_count);
    for (int32_t i = 0; i < q->protocols_count; i++)
        protocols[i] = (struct group_protocol){q->protocols[i].name, q->protocols[i].metadata};
    const struct group_join join = {
        .group = q->group_id,
        .member_id = q->member_id,
        .instance = q->group_instance_id,
        .client_id = r->header.client_id.ptr ? r->header.client_id : STR(""),
        .host = str_from_c(r->conn->peer_host),
        .protocol_type = q->protocol_type,
        .protocols = protocols,
        .protocol_count = (size_t)q->protocols_count,
        .session_ms = q->session_timeout_ms,
        .rebalance_ms =
            q->rebalance_timeout_ms >= 0 ? q->rebalance_timeout_ms : q->session_timeout_ms,
        .id_required = r->header.version >= 4,
        .can_skip = r->header.version >= 9,
    };
    groups_join(groups_of(r), &join, begin_wait(r, joined));
}

/* ---- SyncGroup ---- */

static void synced(void *arg)
{
    struct kafka_request *r = arg;
    const struct group_wait *w = r->state;
    struct kafka_sync_group_response *response = KAFKA_NEW(&r->arena, sync_group_response, 1);
    response->error_code = w->error;
    response->protocol_type = w->protocol_type;
    response->protocol_name = w->protocol;
    response->assignment = w->assignment;
    kafka_reply(r, response);
}

void kafka_on_sync_group(struct kafka_request *r)
{
    const struct kafka_sync_group_request *q = r->body;
    const struct group_from from = {q->group_id, q->member_id, q->group_instance_id,
                                    q->generation_id};
    struct group_assignment *assignments =
        ARENA_ARRAY(&r->arena, struct group_assignment, (size_t)q->assignments_count);
    for (int32_t i = 0; i < q->assignments_count; i++)
        assignments[i] =
            (struct group_assignment){q->assignments[i].member_id, q->assignments[i].assignment};
    groups_sync(groups_of(r), &from, q->protocol_type, q->protocol_name, assignments,
                (size_t)q->assignments_count, begin_wait(r, synced));
}

/* ---- Heartbeat, LeaveGroup ---- */

void kafka_on_heartbeat(struct kafka_request *r)
{
    const struct kafka_heartbeat_request *q = r->body;
    const struct group_from from = {q->group_id, q->member_id, q->group_instance_id,
                                    q->generation_id};
    struct kafka_heartbeat_response *response = KAFKA_NEW(&r->arena, heartbeat_response, 1);
    response->error_code = groups_heartbeat(groups_of(r), &from);
    kafka_reply(r, response);
}

void kafka_on_leave_group(struct kafka_request *r)
{
    const struct kafka_leave_group_request *q = r->body;
    struct kafka_leave_group_response *response = KAFKA_NEW(&r->arena, leave_group_response, 1);
    if (r->header.version < 3) {
        const struct group_from from = {q->group_id, q->member_id, STR_NONE, -1};
        response->error_code = groups_leave(groups_of(r), &from);
        kafka_reply(r, response);
        return;
    }
    response->members = KAFKA_NEW(&r->arena, leave_group_response_member, q->members_count);
    response->members_count = q->members_count;
    for (int32_t i = 0; i < q->members_count; i++) {
        const struct kafka_leave_group_request_member *m = &q->members[i];
        const struct group_from from = {q->group_id, m->member_id, m->group_instance_id, -1};
        response->members[i].member_id = m->member_id;
        response->members[i].group_instance_id = m->group_instance_id;
        response->members[i].error_code = groups_leave(groups_of(r), &from);
    }
    kafka_reply(r, response);
}
