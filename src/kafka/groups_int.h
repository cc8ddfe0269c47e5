/* The coordinator's insides: groups.c the table, time and views; group_join.c the state machine;
 * group_offsets.c offsets. */
#ifndef WEIR_KAFKA_GROUPS_INT_H
#define WEIR_KAFKA_GROUPS_INT_H

#include "kafka/errors.h"
#include "kafka/groups.h"
#include "os/thread.h"

enum group_state { GROUP_EMPTY, GROUP_PREPARING, GROUP_COMPLETING, GROUP_STABLE };

struct group_member {
    struct group_member *next;
    struct str id;       /* heap, as all strings here */
    struct str instance; /* .ptr NULL: dynamic */
    struct str client_id;
    struct str host;
    struct group_protocol *protocols;
    size_t protocol_count;
    struct str assignment;
    int32_t session_ms;
    int32_t rebalance_ms;
    int64_t deadline_ms;     /* of its session, unless it waits */
    bool pending;            /* was told its id and has not come back: no member yet */
    bool synced;             /* in this generation */
    struct group_wait *join; /* waits for the rebalance */
    struct group_wait *sync; /* waits for the leader */
};

struct group_offset {
    struct str topic;
    int32_t partition;
    int64_t offset; /* -1: the commit is under way */
    int32_t leader_epoch;
    struct str metadata;
    int64_t commit_ms;
    int64_t log_offset; /* of its record: the later one counts */
};

struct group {
    struct str id;
    enum group_state state;
    int32_t generation;
    struct str protocol_type; /* .ptr NULL: none yet */
    struct str protocol;
    struct str leader;            /* .ptr NULL: none */
    struct group_member *members; /* in the order they came */
    size_t member_count;          /* without pending ones */
    size_t pending_count;
    int64_t deadline_ms;          /* of the rebalance, or of the syncs */
    int64_t empty_since_ms;       /* wall clock */
    struct group_offset *offsets; /* by topic and partition */
    size_t offset_count;
    size_t offset_capacity;
};

/* Of a transaction that is open. */
struct group_txn_offset {
    int64_t producer_id;
    struct str group;
    struct group_offset_view offset; /* its strings are heap, too */
    int64_t commit_ms;
    int64_t log_offset;
};

struct groups {
    struct log *log;
    struct log_part *part; /* of __consumer_offsets */
    struct os_mutex lock;
    struct group **groups; /* by id */
    size_t count;
    size_t capacity;
    size_t alive; /* groups that have members, or promised to have: what ticks are for */
    struct group_txn_offset *txn_offsets; /* in the order they were committed */
    size_t txn_offset_count;
    size_t txn_offset_capacity;
    int64_t tidy_at_ms;
    size_t commits;      /* on their way to the disk */
    bool rewrite_wanted; /* commits are refused; when the last has come back, it may begin */
    bool rewriting;
    uint64_t rewrite_at_bytes; /* of the topic */
};

/* ---- groups.c; under the lock ---- */

int64_t groups_now_ms(void);
struct str group_copy(struct str s);
void group_free_str(struct str *s);
struct group *groups_find(struct groups *g, struct str id);
/* Found or made. NULL: GROUPS_MAX is reached. */
struct group *groups_get(struct groups *g, struct str id);
void groups_remove(struct groups *g, struct group *group);

/* ---- group_join.c; under the lock ---- */

struct group_member *group_member_find(struct group *group, struct str id);
int16_t group_check_member(struct group *group, const struct group_from *from,
                           struct group_member **ret_member);
void group_member_touch(struct group_member *m, int64_t now_ms);
void group_tick(struct groups *g, struct group *group, int64_t now_ms);
void group_members_free(struct group *group);

/* ---- group_offsets.c ---- */

MUST_CHECK enum err groups_offsets_load(struct groups *g);
/* Under the lock: write tombstones for all, and forget them. */
void group_offsets_drop(struct groups *g, struct group *group);
/* Under the lock: those that are too old. */
void group_offsets_expire(struct groups *g, struct group *group, int64_t wall_ms);
void group_offsets_free(struct group *group);
/* Under the lock: what is on the log at log_offset counts, unless a later one does. */
void group_offset_set(struct group *group, const struct group_offset_view *view, int64_t commit_ms,
                      int64_t log_offset);
/* Append the record that says so. */
void group_offset_record(struct str group, const struct group_offset_view *view, int64_t commit_ms,
                         int32_t offset_delta, struct buf *out);

/* ---- group_txn_offsets.c; under the lock ---- */

/* False: GROUP_TXN_OFFSETS_MAX. */
bool group_txn_offset_add(struct groups *g, int64_t producer_id, struct str group,
                          const struct group_offset_view *offset, int64_t commit_ms,
                          int64_t log_offset);
void group_txn_end(struct groups *g, int64_t producer_id, bool commit);
void group_txn_offsets_free(struct groups *g);
/* Under the lock: is it time to write the topic anew? */
void group_offsets_watch(struct groups *g);

#endif
