/* ListOffsets: the earliest, the latest, the newest by time, the first from a time on. */
#include "kafka/kafka_int.h"

enum {
    LATEST = -1,
    EARLIEST = -2,
    MAX_TIMESTAMP = -3,
    EARLIEST_LOCAL = -4, /* all of it is local */
};

MUST_CHECK static enum err find(struct log_part *part, int64_t timestamp, bool committed,
                                struct kafka_list_offsets_response_partition *to)
{
    struct log_part_info info;
    int64_t offset = 0;
    int64_t found_ms = -1;
    log_part_describe(part, &info);
    to->leader_epoch = info.leader_epoch;
    switch (timestamp) {
    case LATEST: to->offset = committed ? info.stable_offset : info.end_offset; return ERR_OK;
    case EARLIEST:
    case EARLIEST_LOCAL: to->offset = info.start_offset; return ERR_OK;
    case MAX_TIMESTAMP: timestamp = info.newest_ms; break;
    default: break;
    }
    if (timestamp < 0) { /* the newest of none */
        to->leader_epoch = -1;
        return ERR_OK;
    }
    TRY(log_find_time(part, timestamp, &offset, &found_ms));
    if (found_ms >= 0 && !(committed && offset >= info.stable_offset)) {
        to->offset = offset;
        to->timestamp = found_ms;
    } else {
        to->leader_epoch = -1;
    }
    return ERR_OK;
}

static void answer_part(struct kafka_request *r, struct str name,
                        const struct kafka_list_offsets_request_partition *from,
                        struct kafka_list_offsets_response_partition *to)
{
    const struct kafka_list_offsets_request *q = r->body;
    struct log_part *part = NULL;
    bool committed = q->isolation_level > 0;
    to->partition_index = from->partition_index;
    to->error_code =
        kafka_part_find(r, name, from->partition_index, from->current_leader_epoch, &part);
    if (to->error_code == KAFKA_NONE && from->timestamp < EARLIEST_LOCAL)
        to->error_code = KAFKA_UNSUPPORTED_VERSION;
    if (to->error_code == KAFKA_NONE)
        to->error_code = kafka_error_of(find(part, from->timestamp, committed, to));
}

void kafka_on_list_offsets(struct kafka_request *r)
{
    const struct kafka_list_offsets_request *q = r->body;
    struct kafka_list_offsets_response *response = KAFKA_NEW(&r->arena, list_offsets_response, 1);
    response->topics = KAFKA_NEW(&r->arena, list_offsets_response_topic, q->topics_count);
    response->topics_count = q->topics_count;
    for (int32_t i = 0; i < q->topics_count; i++) {
        const struct kafka_list_offsets_request_topic *from = &q->topics[i];
        struct kafka_list_offsets_response_topic *to = &response->topics[i];
        to->name = from->name;
        to->partitions =
            KAFKA_NEW(&r->arena, list_offsets_response_partition, from->partitions_count);
        to->partitions_count = from->partitions_count;
        for (int32_t p = 0; p < from->partitions_count; p++)
            answer_part(r, from->name, &from->partitions[p], &to->partitions[p]);
    }
    kafka_reply(r, response);
}
