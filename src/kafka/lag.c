/* How far consumer groups are behind, for those who watch. */
#include "kafka/kafka_int.h"

static void visit_group(const struct kafka_server *server, struct str group, struct arena *arena,
                        kafka_lag_fn *each, void *arg)
{
    size_t count = 0;
    struct group_offset_view *offsets = groups_offsets(server->groups, group, arena, &count);
    for (size_t i = 0; i < count; i++) {
        const struct group_offset_view *o = &offsets[i];
        struct log_topic *topic = log_topic_find(server->log, o->topic);
        struct log_part *part =
            topic && o->partition >= 0 ? log_topic_part(topic, (uint32_t)o->partition) : NULL;
        if (!part)
            continue;
        int64_t behind = log_part_end(part) - o->offset;
        const struct kafka_lag lag = {group, o->topic, o->partition, o->offset,
                                      behind > 0 ? behind : 0};
        each(arg, &lag);
    }
}

void kafka_server_lag(const struct kafka_server *server, kafka_lag_fn *each, void *arg)
{
    struct arena arena;
    size_t count = 0;
    arena_init(&arena);
    struct group_view *groups = groups_list(server->groups, &arena, &count);
    for (size_t i = 0; i < count; i++)
        visit_group(server, groups[i].id, &arena, each, arg);
    arena_release(&arena);
}
