/* GET /api/v1/groups: how far Kafka's consumer groups are behind. */
#include "api/api_int.h"
#include "kafka/server.h"

enum {
    BODY_BYTES_MAX = 16 << 20,
    GROUPS_MAX = 20000 /* partitions of groups; more are left out */
};

struct groups {
    struct json_writer w;
    size_t count;
};

static void write_group(void *arg, const struct kafka_lag *lag)
{
    struct groups *g = arg;
    if (g->count++ >= GROUPS_MAX)
        return;
    json_object_begin(&g->w);
    json_member_str(&g->w, STR("group"), lag->group);
    json_member_str(&g->w, STR("topic"), lag->topic);
    json_member_i64(&g->w, STR("partition"), lag->partition);
    json_member_i64(&g->w, STR("committed"), lag->committed);
    json_member_i64(&g->w, STR("behind"), lag->behind);
    json_object_end(&g->w);
}

void api_groups(struct api_request *r)
{
    struct buf body BUF_AUTO;
    struct groups g = {.count = 0};
    buf_init(&body, BODY_BYTES_MAX);
    json_writer_init(&g.w, &body);
    json_object_begin(&g.w);
    json_key(&g.w, STR("groups"));
    json_array_begin(&g.w);
    if (r->api->kafka)
        kafka_server_lag(r->api->kafka, write_group, &g);
    json_array_end(&g.w);
    json_object_end(&g.w);
    api_json(r->x, 200, buf_str(&body));
}
