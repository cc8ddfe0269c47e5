/* Consumer groups: who is a member, who reads what, and how far (the classic protocol).
 *
 *        first member joins                all have joined, or time           the leader's
 * assignments EMPTY ───────────────▶ PREPARING ───────────────────────▶ COMPLETING
 * ───────────────────────▶ STABLE ▲                     ▲  ▲  │ nobody is left                │ a
 * member joins, leaves, dies     │ └─────────────────────┼──┼──┘                               │ │
 *                             └──┴──────────────────────────────────┴──────────────────────────────────┘
 *
 *  1. One lock; any thread may call anything. A wait's done() is called once, with the lock held,
 * on any thread: it must be quick and must not call back.
 *  2. Membership is in memory: after a restart members find out by UNKNOWN_MEMBER_ID and join
 * again. Committed offsets are on the topic __consumer_offsets, in Kafka's own form, and are folded
 * from it at the start.
 *  3. A commit is seen by others when it is on disk.
 *  4. Time comes from os_now_us(); somebody calls groups_tick() at least every GROUPS_TICK_MS while
 * groups_busy().
 *
 * Source: Kafka's GroupCoordinator (classic groups), KIP-62, 345 (static members), 394 (member id
 * required), 814. */
#ifndef WEIR_KAFKA_GROUPS_H
#define WEIR_KAFKA_GROUPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "kafka/append.h"

enum {
    GROUPS_MAX = 100000,             /* further ones: GROUP_MAX_SIZE_REACHED */
    GROUP_MEMBERS_MAX = 2000,        /* of one group: GROUP_MAX_SIZE_REACHED */
    GROUP_ID_MAX_BYTES = 1024,       /* INVALID_GROUP_ID */
    GROUP_METADATA_MAX_BYTES = 4096, /* of a committed offset: OFFSET_METADATA_TOO_LARGE */
    GROUP_TXN_OFFSETS_MAX = 100000,  /* of open transactions: COORDINATOR_NOT_AVAILABLE */
    GROUP_SESSION_MIN_MS = 6000,     /* outside: INVALID_SESSION_TIMEOUT */
    GROUP_SESSION_MAX_MS = 1800000,
    GROUPS_TICK_MS = 100,
};

#define GROUP_OFFSETS_RETENTION_MS (7LL * 24 * 3600 * 1000) /* of a group without members */

struct groups;

/* Opens __consumer_offsets and reads what was committed. The log outlives it. */
MUST_CHECK enum err groups_open(struct log *log, struct groups **ret_groups);
/* No wait is left, no commit is under way. NULL is fine. */
void groups_close(struct groups *g);

/* Members that are late are removed, rebalances whose time is over go on, old offsets go. */
void groups_tick(struct groups *g);
/* Is there anything that time will change soon? */
bool groups_busy(struct groups *g);

/* __consumer_offsets has grown far beyond what it says. True once: call groups_rewrite on a thread
 * that may wait. */
bool groups_want_rewrite(struct groups *g);
/* Write what is committed anew and delete what was written before. Commits are refused meanwhile,
 * as by a coordinator that is loading, which clients wait for. */
void groups_rewrite(struct groups *g);

/* ---- Joining and syncing: these may wait ---- */

struct group_member_view {
    struct str id;
    struct str instance; /* .ptr NULL: dynamic */
    struct str client_id;
    struct str host;
    struct str metadata;
    struct str assignment;
};

/* What a join or sync ends with. Memory of the caller until done(); the strings are in its arena,
 * which is left alone by the caller meanwhile. */
struct group_wait {
    void (*done)(struct group_wait *w);
    struct arena *arena;
    /* Set by then. */
    int16_t error; /* of the protocol */
    int32_t generation;
    struct str protocol_type;
    struct str protocol; /* .ptr NULL: none */
    struct str leader;
    struct str member_id;
    bool skip_assignment;
    struct group_member_view *members; /* join, for the leader */
    size_t member_count;
    struct str assignment; /* sync */
    /* The group's. */
    struct group_wait **waiting_; /* where it is held; NULL: it is done */
};

struct group_protocol {
    struct str name;
    struct str metadata;
};

struct group_join {
    struct str group;
    struct str member_id; /* empty: a new one */
    struct str instance;  /* .ptr NULL: dynamic */
    struct str client_id;
    struct str host;
    struct str protocol_type;
    const struct group_protocol *protocols; /* the best first */
    size_t protocol_count;
    int32_t session_ms;
    int32_t rebalance_ms;
    bool id_required; /* a new member is told its id first (JoinGroup 4) */
    bool can_skip;    /* understands skip_assignment (JoinGroup 9) */
};

void groups_join(struct groups *g, const struct group_join *q, struct group_wait *w);

/* Who a request says that it comes from. */
struct group_from {
    struct str group;
    struct str member_id;
    struct str instance; /* .ptr NULL: none */
    int32_t generation;
};

struct group_assignment {
    struct str member_id;
    struct str bytes;
};

/* protocol_type, protocol: .ptr NULL: not said. */
void groups_sync(struct groups *g, const struct group_from *from, struct str protocol_type,
                 struct str protocol, const struct group_assignment *assignments, size_t count,
                 struct group_wait *w);
/* The caller's connection is gone. True: done() will not be called. False: it has been. */
bool groups_cancel(struct groups *g, struct group_wait *w);

/* ---- These do not; they return an error code of the protocol ---- */

int16_t groups_heartbeat(struct groups *g, const struct group_from *from);
/* One member; its generation is not looked at. */
int16_t groups_leave(struct groups *g, const struct group_from *from);

struct group_view {
    struct str id;
    const char *state; /* Kafka's name */
    struct str protocol_type;
    struct str protocol;
    struct group_member_view *members;
    size_t member_count;
};

/* Copied into the arena. False: there is none. */
bool groups_describe(struct groups *g, struct str group, struct arena *arena,
                     struct group_view *ret_view);
/* All, without their members. */
struct group_view *groups_list(struct groups *g, struct arena *arena, size_t *ret_count);
/* With all its offsets. NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND. */
int16_t groups_delete(struct groups *g, struct str group);

/* ---- Offsets ---- */

struct group_offset_view {
    struct str topic;
    int32_t partition;
    int64_t offset; /* -1: none */
    int32_t leader_epoch;
    struct str metadata;
};

/* May it commit? The group is made when it is not there and the sender says no generation (-1). */
int16_t groups_commit_check(struct groups *g, const struct group_from *from);

/* A commit on its way to the disk. Memory of the caller until it has ended. */
struct group_commit {
    struct kafka_append append; /* first; the caller's to set up */
    struct str group;           /* the caller's strings, as long as this lives */
    struct group_offset_view offset;
    int64_t commit_ms;
};

/* Hand it to the log. Then, when it has come back with ERR_OK, groups_commit_apply, once, on any
 * thread. Errors of log_append: neither happens. */
MUST_CHECK enum err groups_commit_append(struct groups *g, struct group_commit *c);
void groups_commit_end(struct groups *g, const struct group_commit *c);

/* ---- Offsets of a transaction: seen by others once it is committed ---- */

/* May it commit? As Kafka has it, a sender that says nothing of itself may. */
int16_t groups_txn_commit_check(struct groups *g, const struct group_from *from);

struct group_txn_commit {
    struct log_append append; /* first; the groups' */
    /* Once, on any thread, under the groups' lock: append.error says how it went. */
    void (*done)(struct group_txn_commit *c);
    void *arg; /* the caller's */
    struct str group;
    int64_t producer_id;
    int16_t epoch;
    const struct group_offset_view *offsets; /* at least one */
    size_t count;
    int64_t commit_ms;
};

/* Memory of the caller until done(), unless this fails. ERR_BUSY, ERR_LIMIT, errors of log_append.
 */
MUST_CHECK enum err groups_txn_commit(struct groups *g, struct group_txn_commit *c);
/* A marker of this producer is on the disk of that partition. */
void groups_txn_ended(struct groups *g, const struct log_part *part, int64_t producer_id,
                      bool commit);
/* The partition of __consumer_offsets. */
struct log_part *groups_part(const struct groups *g);
/* Is there an open transaction that commits for this partition? */
bool groups_offset_is_unstable(struct groups *g, struct str group, struct str topic,
                               int32_t partition);

/* One partition; offset -1 when there is none. Copied into the arena. */
struct group_offset_view groups_offset(struct groups *g, struct str group, struct str topic,
                                       int32_t partition, struct arena *arena);
/* All of a group. */
struct group_offset_view *groups_offsets(struct groups *g, struct str group, struct arena *arena,
                                         size_t *ret_count);
/* Forget one. GROUP_SUBSCRIBED_TO_TOPIC while a member reads the topic. */
int16_t groups_offset_delete(struct groups *g, struct str group, struct str topic,
                             int32_t partition);
bool groups_exists(struct groups *g, struct str group);

#endif
