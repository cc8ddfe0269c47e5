/* DescribeGroups, ListGroups, DeleteGroups, OffsetDelete. */
#include "kafka/kafka_int.h"

static struct groups *groups_of(const struct kafka_request *r)
{
    return kafka_request_half(r)->server->groups;
}

static void describe(struct kafka_request *r, struct kafka_describe_groups_response_group *to)
{
    struct group_view view;
    to->group_state = STR("Dead"); /* what Kafka says of a group that is not there */
    if (!groups_describe(groups_of(r), to->group_id, &r->arena, &view))
        return;
    to->group_state = str_from_c(view.state);
    to->protocol_type = view.protocol_type;
    to->protocol_data = view.protocol;
    to->members = KAFKA_NEW(&r->arena, describe_groups_response_member, view.member_count);
    to->members_count = (int32_t)view.member_count;
    for (size_t i = 0; i < view.member_count; i++) {
        const struct group_member_view *m = &view.members[i];
        to->members[i] = (struct kafka_describe_groups_response_member){
            m->id, m->instance, m->client_id, m->host, m->metadata, m->assignment};
    }
}

void kafka_on_describe_groups(struct kafka_request *r)
{
    const struct kafka_describe_groups_request *q = r->body;
    struct kafka_describe_groups_response *response =
        KAFKA_NEW(&r->arena, describe_groups_response, 1);
    response->groups = KAFKA_NEW(&r->arena, describe_groups_response_group, q->groups_count);
    response->groups_count = q->groups_count;
    for (int32_t i = 0; i < q->groups_count; i++) {
        response->groups[i].group_id = q->groups[i];
        describe(r, &response->groups[i]);
    }
    kafka_reply(r, response);
}

/* ---- ListGroups ---- */

/* No filter lets everything pass. */
static bool passes(const struct str *filter, int32_t count, struct str word)
{
    for (int32_t i = 0; i < count; i++)
        if (str_eq_nocase(filter[i], word))
            return true;
    return count <= 0;
}

void kafka_on_list_groups(struct kafka_request *r)
{
    const struct kafka_list_groups_request *q = r->body;
    struct kafka_list_groups_response *response = KAFKA_NEW(&r->arena, list_groups_response, 1);
    size_t count = 0;
    const struct group_view *views = groups_list(groups_of(r), &r->arena, &count);
    response->groups = KAFKA_NEW(&r->arena, list_groups_response_group, count);
    for (size_t i = 0; i < count; i++) {
        struct str state = str_from_c(views[i].state);
        if (!passes(q->states_filter, q->states_filter_count, state) ||
            !passes(q->types_filter, q->types_filter_count, STR("classic")))
            continue;
        response->groups[response->groups_count++] = (struct kafka_list_groups_response_group){
            views[i].id, views[i].protocol_type, state, STR("classic")};
    }
    kafka_reply(r, response);
}

/* ---- Forgetting ---- */

void kafka_on_delete_groups(struct kafka_request *r)
{
    const struct kafka_delete_groups_request *q = r->body;
    struct kafka_delete_groups_response *response = KAFKA_NEW(&r->arena, delete_groups_response, 1);
    response->results = KAFKA_NEW(&r->arena, delete_groups_response_result, q->groups_names_count);
    response->results_count = q->groups_names_count;
    for (int32_t i = 0; i < q->groups_names_count; i++) {
        response->results[i].group_id = q->groups_names[i];
        response->results[i].error_code = groups_delete(groups_of(r), q->groups_names[i]);
    }
    kafka_commit_later(kafka_request_half(r));
    kafka_reply(r, response);
}

void kafka_on_offset_delete(struct kafka_request *r)
{
    const struct kafka_offset_delete_request *q = r->body;
    struct kafka_offset_delete_response *response = KAFKA_NEW(&r->arena, offset_delete_response, 1);
    if (!groups_exists(groups_of(r), q->group_id)) {
        response->error_code = KAFKA_GROUP_ID_NOT_FOUND;
        kafka_reply(r, response);
        return;
    }
    response->topics = KAFKA_NEW(&r->arena, offset_delete_response_topic, q->topics_count);
    response->topics_count = q->topics_count;
    for (int32_t i = 0; i < q->topics_count; i++) {
        const struct kafka_offset_delete_request_topic *from = &q->topics[i];
        struct kafka_offset_delete_response_topic *to = &response->topics[i];
        to->name = from->name;
        to->partitions =
            KAFKA_NEW(&r->arena, offset_delete_response_partition, from->partitions_count);
        to->partitions_count = from->partitions_count;
        for (int32_t p = 0; p < from->partitions_count; p++) {
            int32_t index = from->partitions[p].partition_index;
            to->partitions[p].partition_index = index;
            to->partitions[p].error_code =
                groups_offset_delete(groups_of(r), q->group_id, from->name, index);
        }
    }
    kafka_commit_later(kafka_request_half(r));
    kafka_reply(r, response);
}
