/* Kafka's consumer groups: GET /api/v1/groups, who is there and how far behind; POST
 * /api/v1/groups/GROUP?topic=T&to=X, where one goes on reading. */
#include "api/api_int.h"
#include "codec/time.h"
#include "kafka/server.h"
#include "net/work.h"
#include "os/clock.h"

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

static void write_state(void *arg, const struct kafka_group *group)
{
    struct groups *g = arg;
    if (g->count++ >= GROUPS_MAX)
        return;
    json_object_begin(&g->w);
    json_member_str(&g->w, STR("group"), group->id);
    json_member_str(&g->w, STR("state"), str_from_c(group->state));
    json_member_str(&g->w, STR("protocol"), group->protocol);
    json_member_u64(&g->w, STR("members"), group->members);
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
    json_key(&g.w, STR("states"));
    json_array_begin(&g.w);
    g.count = 0;
    if (r->api->kafka)
        kafka_server_groups(r->api->kafka, write_state, &g);
    json_array_end(&g.w);
    json_object_end(&g.w);
    api_json(r->x, 200, buf_str(&body));
}

/* Moving ----------------------------------------------------------------------------------------
 */

struct move_work {
    struct api_request *r;
    struct log_topic *topic;
    struct str group;
    struct str to;
    int64_t partition; /* -1: all */
    enum err error;
    struct groups moved;
    struct buf body;
};

/* An offset, a time, an age, "start" or "end", within what the partition has. */
static enum err place_of(struct log_part *part, struct str to, int64_t *ret_offset)
{
    uint64_t number = 0;
    int64_t us = 0;
    int64_t ms = 0;
    int64_t start = log_part_start(part);
    int64_t end = log_part_end(part);
    int64_t offset = start;
    if (str_eq(to, STR("end"))) {
        offset = end;
    } else if (str_to_u64(to, &number) == ERR_OK) {
        if (number < (uint64_t)start || number > (uint64_t)end)
            return ERR_OUT_OF_RANGE;
        offset = (int64_t)number;
    } else if (!str_eq(to, STR("start"))) {
        TRY(time_point_parse(to, os_wall_us(), &us));
        TRY(log_find_time(part, us / 1000, &offset, &ms));
    }
    *ret_offset = offset;
    return ERR_OK;
}

static enum err move_one(struct move_work *w, uint32_t partition)
{
    int64_t from = -1;
    int64_t to = 0;
    TRY(place_of(log_topic_part(w->topic, partition), w->to, &to));
    TRY(kafka_server_group_move(w->r->api->kafka, w->group, log_topic_name(w->topic),
                                (int32_t)partition, to, &from));
    json_object_begin(&w->moved.w);
    json_member_u64(&w->moved.w, STR("partition"), partition);
    json_member_i64(&w->moved.w, STR("from"), from);
    json_member_i64(&w->moved.w, STR("to"), to);
    json_object_end(&w->moved.w);
    return ERR_OK;
}

static void run_move(void *arg)
{
    struct move_work *w = arg;
    uint32_t count = log_topic_partitions(w->topic);
    for (uint32_t p = 0; p < count && w->error == ERR_OK; p++)
        if (w->partition < 0 || w->partition == p)
            w->error = move_one(w, p);
}

static void answer_move(void *arg)
{
    struct move_work *w = arg;
    struct http_exchange *x = w->r->x;
    json_array_end(&w->moved.w);
    json_object_end(&w->moved.w);
    if (w->error == ERR_OK)
        api_json(x, 200, buf_str(&w->body));
    else if (w->error == ERR_BUSY)
        api_error(x, 409, w->error, "group",
                  "group '%.*s' has members: where it reads is theirs; stop them first",
                  STR_ARG(str_take(w->group, 100)));
    else if (w->error == ERR_NOT_FOUND)
        api_error(x, 404, w->error, "group", "no group '%.*s'; GET /api/v1/groups lists them",
                  STR_ARG(str_take(w->group, 100)));
    else
        api_error(x, err_http_status(w->error), w->error, "to",
                  "to is '%.*s': %s; write an offset that is there, a time like "
                  "2026-11-24T10:00:00Z, an age like 10m, start or end",
                  STR_ARG(str_take(w->to, 40)), err_text(w->error));
    buf_release(&w->body);
}

void api_group_move(struct api_request *r)
{
    struct http_exchange *x = r->x;
    struct str name = api_decode(x->arena, api_query(x, STR("topic")));
    struct log_topic *topic = log_topic_find(gateway_log(r->api->gateway), name);
    uint64_t partition = UINT32_MAX;
    if (!r->api->kafka || !topic) {
        api_error(x, 404, ERR_NOT_FOUND, "topic", "%s '%.*s'",
                  topic ? "the Kafka protocol is off; no group reads" : "no topic",
                  STR_ARG(str_take(name, 100)));
        return;
    }
    if (!api_query_number(x, STR("partition"), UINT32_MAX, log_topic_partitions(topic) - 1,
                          &partition))
        return;
    struct move_work *w = ARENA_NEW(x->arena, struct move_work);
    *w = (struct move_work){.r = r,
                            .topic = topic,
                            .group = api_decode(x->arena, r->rest),
                            .to = api_decode(x->arena, api_query(x, STR("to"))),
                            .partition = partition == UINT32_MAX ? -1 : (int64_t)partition};
    buf_init(&w->body, BODY_BYTES_MAX);
    json_writer_init(&w->moved.w, &w->body);
    json_object_begin(&w->moved.w);
    json_member_str(&w->moved.w, STR("group"), w->group);
    json_member_str(&w->moved.w, STR("topic"), name);
    json_key(&w->moved.w, STR("offsets"));
    json_array_begin(&w->moved.w);
    work_start(x->loop, run_move, answer_move, w);
}
