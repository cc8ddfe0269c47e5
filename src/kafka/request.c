/* A request's life: from its frame to its response. */
#include "base/assert.h"
#include "base/mem.h"
#include "codec/endian.h"
#include "kafka/kafka_int.h"
#include "net/work.h"

enum {
    REQUESTS_KEPT_MAX = 64,    /* free ones that a loop keeps */
    OUT_KEPT_BYTES = 64 << 10, /* response memory that a free one keeps */
    KEYS_MAX = 80,             /* above the newest key that is served */
};

static kafka_handler *const handlers[KEYS_MAX] = {
    [KAFKA_KEY_PRODUCE] = kafka_on_produce,
    [KAFKA_KEY_FETCH] = kafka_on_fetch,
    [KAFKA_KEY_LIST_OFFSETS] = kafka_on_list_offsets,
    [KAFKA_KEY_METADATA] = kafka_on_metadata,
    [KAFKA_KEY_OFFSET_COMMIT] = kafka_on_offset_commit,
    [KAFKA_KEY_OFFSET_FETCH] = kafka_on_offset_fetch,
    [KAFKA_KEY_JOIN_GROUP] = kafka_on_join_group,
    [KAFKA_KEY_HEARTBEAT] = kafka_on_heartbeat,
    [KAFKA_KEY_LEAVE_GROUP] = kafka_on_leave_group,
    [KAFKA_KEY_SYNC_GROUP] = kafka_on_sync_group,
    [KAFKA_KEY_DESCRIBE_GROUPS] = kafka_on_describe_groups,
    [KAFKA_KEY_LIST_GROUPS] = kafka_on_list_groups,
    [KAFKA_KEY_DELETE_GROUPS] = kafka_on_delete_groups,
    [KAFKA_KEY_OFFSET_DELETE] = kafka_on_offset_delete,
    [KAFKA_KEY_FIND_COORDINATOR] = kafka_on_find_coordinator,
    [KAFKA_KEY_SASL_HANDSHAKE] = kafka_on_sasl_handshake,
    [KAFKA_KEY_API_VERSIONS] = kafka_on_api_versions,
    [KAFKA_KEY_CREATE_TOPICS] = kafka_on_create_topics,
    [KAFKA_KEY_DELETE_TOPICS] = kafka_on_delete_topics,
    [KAFKA_KEY_DELETE_RECORDS] = kafka_on_delete_records,
    [KAFKA_KEY_INIT_PRODUCER_ID] = kafka_on_init_producer_id,
    [KAFKA_KEY_ADD_PARTITIONS_TO_TXN] = kafka_on_add_partitions_to_txn,
    [KAFKA_KEY_ADD_OFFSETS_TO_TXN] = kafka_on_add_offsets_to_txn,
    [KAFKA_KEY_END_TXN] = kafka_on_end_txn,
    [KAFKA_KEY_TXN_OFFSET_COMMIT] = kafka_on_txn_offset_commit,
    [KAFKA_KEY_DESCRIBE_PRODUCERS] = kafka_on_describe_producers,
    [KAFKA_KEY_DESCRIBE_TRANSACTIONS] = kafka_on_describe_transactions,
    [KAFKA_KEY_LIST_TRANSACTIONS] = kafka_on_list_transactions,
    [KAFKA_KEY_OFFSET_FOR_LEADER_EPOCH] = kafka_on_offset_for_leader_epoch,
    [KAFKA_KEY_DESCRIBE_CONFIGS] = kafka_on_describe_configs,
    [KAFKA_KEY_ALTER_CONFIGS] = kafka_on_alter_configs,
    [KAFKA_KEY_SASL_AUTHENTICATE] = kafka_on_sasl_authenticate,
    [KAFKA_KEY_CREATE_PARTITIONS] = kafka_on_create_partitions,
    [KAFKA_KEY_INCREMENTAL_ALTER_CONFIGS] = kafka_on_incremental_alter_configs,
    [KAFKA_KEY_DESCRIBE_CLUSTER] = kafka_on_describe_cluster,
};

bool kafka_topic_is_internal(struct str name)
{
    return str_eq(name, STR("__consumer_offsets")) || str_eq(name, STR("__transaction_state"));
}

bool kafka_api_served(const struct kafka_api *api)
{
    ASSERT(api->key >= 0 && api->key < KEYS_MAX);
    return handlers[api->key] != NULL;
}

struct kafka_half *kafka_request_half(const struct kafka_request *r)
{
    return r->conn->half;
}

struct log *kafka_request_log(const struct kafka_request *r)
{
    return r->conn->half->server->log;
}

/* ---- Beginning ---- */

static struct kafka_request *request_take(struct kafka_half *half)
{
    struct kafka_request *r = half->free;
    if (r) {
        half->free = r->next;
        half->free_count--;
        r->next = NULL;
        return r;
    }
    r = NEW(struct kafka_request);
    arena_init(&r->arena);
    buf_init(&r->out, KAFKA_RESPONSE_MAX_BYTES);
    return r;
}

void kafka_request_free(struct kafka_request *r)
{
    struct kafka_half *half = r->conn->half;
    for (uint32_t i = 0; i < r->piece_count; i++)
        log_range_release(&r->pieces[i].range);
    half->held_bytes -= r->frame.len;
    buf_release(&r->frame);
    buf_reset(&r->out);
    if (r->out.cap > OUT_KEPT_BYTES)
        buf_release(&r->out);
    arena_reset(&r->arena);
    if (half->free_count >= REQUESTS_KEPT_MAX) {
        arena_release(&r->arena);
        buf_release(&r->out);
        mem_free(r);
        return;
    }
    *r = (struct kafka_request){.arena = r->arena, .out = r->out, .next = half->free};
    half->free = r;
    half->free_count++;
}

static bool is_open_to_strangers(int16_t key)
{
    return key == KAFKA_KEY_API_VERSIONS || key == KAFKA_KEY_SASL_HANDSHAKE ||
           key == KAFKA_KEY_SASL_AUTHENTICATE;
}

static enum err refuse(const struct kafka_request *r, struct buf *reason, enum err e,
                       const char *what)
{
    buf_printf(reason, "%s: %s %d in version %d", what, r->api ? r->api->name : "request",
               r->header.key, r->header.version);
    return e;
}

/* Reads header and body. ERR_UNSUPPORTED: the version is not served, which ApiVersions answers
 * itself. */
MUST_CHECK static enum err request_read(struct kafka_request *r, struct buf *reason)
{
    struct str rest = str_skip(buf_str(&r->frame), 4);
    const struct kafka_conn *c = r->conn;
    void *body = NULL;
    enum err e = kafka_header_read(&rest, &r->header);
    if (e != ERR_OK)
        return refuse(r, reason, e, "the request's header is malformed");
    r->api = kafka_api_find(r->header.key);
    if (!r->api || !kafka_api_served(r->api))
        return refuse(r, reason, ERR_INVALID, "this request is not served");
    if (c->must_authenticate && !c->principal.known && !is_open_to_strangers(r->header.key))
        return refuse(r, reason, ERR_UNAUTHORIZED, "the connection has not authenticated");
    if (r->header.version < r->api->oldest || r->header.version > r->api->newest)
        return refuse(r, reason, ERR_UNSUPPORTED, "this version of the request is not served");
    bool flexible = kafka_api_flexible(r->api, r->header.version);
    e = kafka_read(r->api->request, r->header.version, flexible, rest, &r->arena, &body);
    if (e != ERR_OK)
        return refuse(r, reason, e, "the request is malformed");
    r->body = body;
    return ERR_OK;
}

enum err kafka_request_begin(struct kafka_conn *c, struct buf *frame, struct buf *reason)
{
    struct kafka_request *r = request_take(c->half);
    r->conn = c;
    r->frame = *frame;
    enum err e = request_read(r, reason);
    if (e != ERR_OK && !(e == ERR_UNSUPPORTED && r->header.key == KAFKA_KEY_API_VERSIONS)) {
        kafka_request_free(r);
        return e;
    }
    *c->last = r;
    c->last = &r->next;
    c->request_count++;
    c->idle_since_us = loop_now_us(c->half->loop);
    kafka_count(&c->half->requests, 1);
    handlers[r->header.key](r);
    return ERR_OK;
}

/* ---- Ending ---- */

/* Records are not copied: they follow the bytes written so far, out of their file. */
static void take_piece(void *arg, const struct kafka_records *records)
{
    struct kafka_request *r = arg;
    if (records->length == 0)
        return;
    struct kafka_piece *piece = &r->pieces[r->piece_count++];
    piece->at = r->out.len;
    piece->range = *(const struct log_range *)records->source;
}

void kafka_reply_in(struct kafka_request *r, int16_t version, const void *response)
{
    struct kafka_writer w = {
        .out = &r->out,
        .version = version,
        .flexible = kafka_api_flexible(r->api, version),
        .records = take_piece,
        .arg = r,
    };
    ASSERT(!r->answered);
    buf_append(&r->out, "\0\0\0", 4);
    kafka_header_write(&r->out, r->api, version, r->header.correlation_id);
    kafka_write(&w, r->api->response, response);
    size_t length = r->out.len - 4;
    for (uint32_t i = 0; i < r->piece_count; i++)
        length += r->pieces[i].range.length;
    r->answered = true;
    r->gone = NULL;
    if (r->out.error != ERR_OK || length > INT32_MAX) {
        r->silent = true;
        kafka_conn_break(r->conn, "the answer is larger than its limit");
    } else {
        be32_put(r->out.ptr, (uint32_t)length);
    }
    kafka_conn_advance_later(r->conn);
}

void kafka_reply(struct kafka_request *r, const void *response)
{
    kafka_reply_in(r, r->header.version, response);
}

void kafka_reply_nothing(struct kafka_request *r)
{
    ASSERT(!r->answered);
    r->answered = r->silent = true;
    r->gone = NULL;
    kafka_conn_advance_later(r->conn);
}

void kafka_request_work(struct kafka_request *r, void (*run)(void *request),
                        void (*done)(void *request))
{
    work_start(r->conn->half->loop, run, done, r);
}

/* ---- Rights ---- */

bool kafka_may(const struct kafka_request *r, struct str topic, bool change)
{
    if (str_eq(topic, STR("__consumer_offsets")))
        return !change;
    if (!str_starts(topic, STR("weir.")))
        return true;
    return r->conn->principal.admin && !change;
}

int16_t kafka_part_find(const struct kafka_request *r, struct str topic, int32_t partition,
                        int32_t leader_epoch, struct log_part **ret_part)
{
    if (!kafka_may(r, topic, false))
        return KAFKA_TOPIC_AUTHORIZATION_FAILED;
    struct log_topic *t = log_topic_find(kafka_request_log(r), topic);
    struct log_part *part = t && partition >= 0 ? log_topic_part(t, (uint32_t)partition) : NULL;
    if (!part)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (leader_epoch >= 0 && leader_epoch != log_part_leader_epoch(part))
        return leader_epoch < log_part_leader_epoch(part) ? KAFKA_FENCED_LEADER_EPOCH
                                                          : KAFKA_UNKNOWN_LEADER_EPOCH;
    *ret_part = part;
    return KAFKA_NONE;
}
