/* A log whose topics live on an Apache Kafka: what cluster.c, spool.c, drain.c and follow.c share.
 *
 *                    this folder                                   the cluster
 *     log_append ─▶ weir.spool ── drain.c: sent in order ───────▶ topic-partition
 *                        │                                              │
 *                    spool.c: when it is on the cluster and here,   follow.c: every record, whoever
 *                    done()                                         sent it, at the cluster's
 * offset ▲                                              │ readers ◀───── topics/<topic>-<n>: a
 * copy, offset for offset ◀────┘
 *
 * Readers (cursors, tails, times, the view) know nothing of it: they read the copy, which has the
 * cluster's offsets, so a position means the same to every Weir of the cluster. The copy may be
 * shorter at its front, since the folder has a quota. Appends go through the spool, an embedded
 * topic of this folder, whether brokers are there or not; so there is one order, and what was
 * accepted survives this process before any broker knows of it.
 *
 * When is an append done? While `direct`, when the cluster has it (acks=all) and so does the copy;
 * its offset is the cluster's, and the spool has it before by its topic's durability. While
 * `spooling`, when the spool has it; its offset is -1. Spooling begins when nothing has moved for a
 * while (CLUSTER_HOLD_US) and somebody waits; it ends when the spool is drained to its end.
 *
 * Sent twice? Not while the producer lives (it is idempotent). After a restart the newest record of
 * this folder in each copied partition tells how far the spool was drained: each record carries the
 * header "weir.from", <origin>.<run>.<number>, which grows along the spool; origin names the
 * folder, run counts its opens. What a killed process had in flight must reach the cluster before
 * the new one has read the cluster's end; brokers take in what lies in their sockets within
 * milliseconds.
 *
 * Threads: one drains (drain.c), one follows (follow.c). cluster.lock comes after a partition's
 * commit_lock and before view_lock; append_lock comes before stage_lock. */
#ifndef WEIR_LOG_CLUSTER_INT_H
#define WEIR_LOG_CLUSTER_INT_H

#include "log/kafka_store.h"
#include "log/log_int.h"

enum {
    /* So long without progress, and appends are no longer held for the cluster. */
    CLUSTER_HOLD_US = 2000000,      /* brokers are there, as far as one knows */
    CLUSTER_HOLD_DOWN_US = 200000,  /* they are not */
    CLUSTER_HOLD_COLD_US = 5000000, /* the producer is new */
    CLUSTER_WINDOW = 20000,         /* records under way to the cluster */
    CLUSTER_DIRECT_MAX = 1000,      /* under way at most, and moving: then appends are held again */
    CLUSTER_POLL_MS = 20,           /* between two looks at the time */
    CLUSTER_TRIM_US = 1000000,      /* between two removals from the spool */
    CLUSTER_CONTACT_MS = 5000,      /* for what cannot be done without a broker */
    CLUSTER_CATCH_UP_US = 10000000,
    CLUSTER_GLANCE_US = 1000000,
    CLUSTER_BATCH_BYTES = 256 << 10, /* records copied in one write */
    CLUSTER_RETRY_US = 500000,       /* after a copy that failed */
    CLUSTER_ORIGIN_BYTES = 16,       /* hex digits */
    CLUSTER_HEADERS_MAX = LOG_HEADERS_MAX - 2,
    CLUSTER_STOP_US = 2000000, /* a stop waits so long for what is under way */
};

#define CLUSTER_SPOOL   "weir.spool"
#define CLUSTER_REFUSED "weir.spool-refused"
#define CLUSTER_TO      "weir.to"   /* header in the spool: topic/partition */
#define CLUSTER_FROM    "weir.from" /* header in spool and cluster: origin.run.number */

/* Where a record stands in the order of this folder's records. */
struct cluster_mark {
    uint64_t run;
    uint64_t number;
};

/* A record of the spool that is not settled. */
struct cluster_entry {
    struct log_append *user; /* waits; NULL: nobody does any more */
    struct log_part *part;   /* delivered: to wait for its copy; NULL: not to wait */
    int64_t offset;          /* delivered: on the cluster; -1: not known */
    uint32_t bytes;
    bool attached; /* the spool's done() has run, in this process or an earlier one */
    bool delivered;
};

/* A partition that is copied. */
struct cluster_follow {
    struct log_part *part;
    struct cluster_mark mark; /* of this folder's newest record in it, after cluster_resume */
    int64_t start;            /* below it the cluster has nothing */
    bool started;             /* is read; false: is to be read from where its copy ends */
    bool current;             /* has been read to the cluster's end since it was started */
    bool diverged;            /* the cluster does not have what the copy has */
};

struct cluster {
    struct log *log;
    struct kafka_store *store;
    char *brokers;
    struct log_cluster_setting *settings;
    size_t setting_count;
    uint64_t spool_max_bytes;
    char origin[CLUSTER_ORIGIN_BYTES + 1];
    uint64_t run;
    struct log_part *spool;
    _Atomic uint64_t pending_bytes; /* in the spool, not settled */
    atomic_bool stopping;
    atomic_bool draining; /* a stop lets what is under way end */
    struct os_thread drainer;
    struct os_thread follower;
    bool running;

    struct os_mutex append_lock; /* numbers are given in the spool's order */
    uint64_t number;

    struct os_mutex lock;
    struct os_cond changed; /* a partition became current */
    struct cluster_entry
        *entries; /* a ring of `capacity`; entry of spool offset `base` at `head` */
    size_t capacity;
    size_t head;
    size_t count;
    int64_t base;
    int64_t own_from; /* spool offsets below it are of earlier processes */
    bool spooling;
    uint64_t progress_us; /* something was settled, or the first entry came */
    struct cluster_follow *follows;
    size_t follow_count;
    bool follow_dirty; /* some follow is not started */
    uint64_t delivered_total;
    uint64_t refused_total;

    /* The drainer's own. */
    struct log_cursor *cursor;
    int64_t sent_to; /* spool offset of the next record to send */
    int64_t trimmed_to;
    uint64_t trim_due_us;
    uint64_t earlier_bytes; /* of pending_bytes: below own_from */
    bool resumed;
    bool renew;
    struct log_watch watch;
};

/* cluster.c */

/* Everything is to be read to the cluster's present end again. */
void cluster_follow_again(struct cluster *c);

/* Under cluster.lock. NULL: not followed. */
struct cluster_follow *cluster_follow_of(struct cluster *c, const struct log_part *part);

/* spool.c */

/* The first offset of the spool that is not settled. */
int64_t cluster_base(struct cluster *c);
/* Under cluster.lock: the entry of a spool offset, made if need be; NULL below the base. */
struct cluster_entry *cluster_entry_at(struct cluster *c, int64_t spool_offset);
/* End what can be ended. */
void cluster_settle(struct cluster *c);
/* Hold no append any longer. why NULL: it is no news. */
void cluster_begin_spooling(struct cluster *c, const char *why);
/* A drainer's round: too long without progress? drained to the end? */
void cluster_watch_time(struct cluster *c);
/* "origin.run.number" of this folder, from a record's headers. */
bool cluster_mark_of(const struct cluster *c, const struct log_entry *e,
                     struct cluster_mark *ret_mark);

/* drain.c, follow.c: the threads */

void cluster_drain_run(void *cluster);
void cluster_follow_run(void *cluster);
void cluster_delivered(void *cluster, void *opaque, enum err error, int64_t offset,
                       struct str reason);

#endif
