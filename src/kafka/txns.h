/* Transactions: which producer a transactional id belongs to, what its transaction has touched, and
 * how it ends.
 *
 *     InitProducerId          AddPartitionsToTxn, AddOffsetsToTxn
 *     ──────────────▶ EMPTY ───────────────▶ ONGOING ──EndTxn──▶ PREPARE_COMMIT ─▶ COMPLETE_COMMIT
 *                       ▲                     │  ▲   └─────────▶ PREPARE_ABORT ──▶ COMPLETE_ABORT
 *                       │    EndTxn, a new producer, time          a marker on every partition
 *                       └─────── InitProducerId ──┴──── AddPartitionsToTxn ◀──────────┘
 *
 *  1. A step counts once its record is on the disk, on __transaction_state in Kafka's own form.
 * What is prepared is finished, by the next process if need be: markers may be written twice, which
 * changes nothing.
 *  2. A producer's batch belongs to a transaction only if its partition was added before: batches
 * are let in by txns_batch_begin, and no transaction is ended between that and txns_batch_end. So a
 * marker stands behind every batch of its transaction.
 *  3. A new producer of an id, and a transaction's time running out, raise the epoch; whoever comes
 * with the old one is fenced, here and by the partitions.
 *  4. One lock. A wait's done() is called once, with the lock held, on any thread: it must be quick
 * and must not call back. Called from the log's done(), so nothing here may take a lock of the
 * log's that is held over writing: log_append and views only.
 *  5. txns_tick() is called at least every second.
 *
 * txn_states.c holds the rules, without clock, log or lock. Source: Kafka's
 * TransactionCoordinator.scala, TransactionMetadata.scala; KIP-98, KIP-360, KIP-890 (part 1:
 * batches are verified). */
#ifndef WEIR_KAFKA_TXNS_H
#define WEIR_KAFKA_TXNS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "log/log.h"

enum {
    TXNS_MAX = 100000,       /* transactional ids: COORDINATOR_NOT_AVAILABLE */
    TXN_ID_MAX_BYTES = 1024, /* INVALID_REQUEST */
    TXN_PARTS_MAX = 2000,    /* of one transaction: INVALID_REQUEST */
    TXN_TIMEOUT_MAX_MS =
        900000, /* Kafka's transaction.max.timeout.ms: INVALID_TRANSACTION_TIMEOUT */
};

/* Kafka's transactional.id.expiration.ms: ids that nobody has used for so long are forgotten. */
#define TXN_ID_EXPIRE_MS (7LL * 24 * 3600 * 1000)

struct txns;
struct groups;

/* Opens __transaction_state, and finishes what was prepared. The log and the groups outlive it. */
MUST_CHECK enum err txns_open(struct log *log, struct groups *groups, struct txns **ret_txns);
/* Waits for what is under way. NULL is fine. */
void txns_close(struct txns *t);
void txns_tick(struct txns *t);

/* Memory of the caller until done(). */
struct txn_wait {
    void (*done)(struct txn_wait *w);
    /* Set by then. */
    int16_t error; /* of the protocol */
    int64_t producer_id;
    int16_t epoch;
};

/* Who a request says that it comes from. */
struct txn_from {
    struct str id;
    int64_t producer_id; /* InitProducerId: -1 when it has none */
    int16_t epoch;
};

/* A new producer, or one that goes on after an error (from has a producer id). */
void txns_init(struct txns *t, const struct txn_from *from, int32_t timeout_ms, struct txn_wait *w);
void txns_add(struct txns *t, const struct txn_from *from, struct log_part *const *parts,
              size_t count, struct txn_wait *w);
/* Done when all markers are on the disk. */
void txns_end(struct txns *t, const struct txn_from *from, bool commit, struct txn_wait *w);

/* May this producer append to the partition now? KAFKA_NONE: txns_batch_end is called when it is
 * with the log. */
int16_t txns_batch_begin(struct txns *t, const struct txn_from *from, const struct log_part *part);
void txns_batch_end(struct txns *t, struct str id);

struct txn_view {
    struct str id;
    const char *state; /* Kafka's name */
    int64_t producer_id;
    int16_t epoch;
    int32_t timeout_ms;
    int64_t started_ms; /* -1: none is open */
    struct log_part **parts;
    size_t part_count;
};

/* Copied into the arena. False: there is none. */
bool txns_describe(struct txns *t, struct str id, struct arena *arena, struct txn_view *ret_view);
/* All, without their partitions. */
struct txn_view *txns_list(struct txns *t, struct arena *arena, size_t *ret_count);

#endif
