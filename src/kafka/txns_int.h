/* The transaction coordinator's insides: txn_states.c the rules; txn_records.c what stands on the
 * log; txns.c the table, appends and time. */
#ifndef WEIR_KAFKA_TXNS_INT_H
#define WEIR_KAFKA_TXNS_INT_H

#include "base/buf.h"
#include "codec/batch.h"
#include "kafka/errors.h"
#include "kafka/txns.h"
#include "os/thread.h"

enum txn_state { /* Kafka's numbers, as records have them */
                 TXN_EMPTY = 0,
                 TXN_ONGOING = 1,
                 TXN_PREPARE_COMMIT = 2,
                 TXN_PREPARE_ABORT = 3,
                 TXN_COMPLETE_COMMIT = 4,
                 TXN_COMPLETE_ABORT = 5,
                 TXN_STATES = 6,
};

enum { TXN_EPOCH_MAX = INT16_MAX };

/* What a record says. */
struct txn_facts {
    int64_t producer_id;
    int16_t epoch; /* -1: no producer yet */
    int32_t timeout_ms;
    enum txn_state state;
    int64_t updated_ms;      /* wall clock */
    int64_t started_ms;      /* -1: none is open */
    struct log_part **parts; /* heap */
    size_t part_count;
};

struct txn {
    struct str id; /* heap */
    struct txn_facts now;
    int64_t last_producer_id; /* of who may go on after an error; -1: nobody */
    int16_t last_epoch;
    bool pending;           /* a record is on its way to the disk */
    uint32_t appending;     /* batches between txns_batch_begin and _end */
    uint32_t markers;       /* on their way */
    bool marker_failed;     /* then all are written again */
    struct txn_wait *waits; /* for the end: EndTxn */
};

/* ---- txn_states.c: pure ---- */

/* What a request comes to: an error; or nothing to do (changes false); or *ret_next, whose record
 * is to be written, with parts of its own on the heap. */
struct txn_verdict {
    int16_t error;
    bool changes;
    struct txn_facts next;
    int64_t last_producer_id; /* once next counts */
    int16_t last_epoch;
};

/* new_id: a producer id that no other has, in case that one is needed. A transaction that is open
 * is aborted first: next is PREPARE_ABORT and error CONCURRENT_TRANSACTIONS, by which clients ask
 * again. */
struct txn_verdict txn_init(const struct txn *t, const struct txn_from *from, int32_t timeout_ms,
                            int64_t new_id, int64_t now_ms);
struct txn_verdict txn_add(const struct txn *t, const struct txn_from *from,
                           struct log_part *const *parts, size_t count, int64_t now_ms);
/* wait_for_end: this very end is under way already. */
struct txn_verdict txn_end(const struct txn *t, const struct txn_from *from, bool commit,
                           int64_t now_ms, bool *ret_wait_for_end);
/* Time is up: abort, with a newer epoch. changes false: it is not. */
struct txn_verdict txn_expire(const struct txn *t, int64_t now_ms);
/* All markers are there. */
struct txn_facts txn_complete(const struct txn *t, int64_t now_ms);
int16_t txn_check_batch(const struct txn *t, const struct txn_from *from,
                        const struct log_part *part);
bool txn_has_part(const struct txn_facts *f, const struct log_part *part);
bool txn_is_prepared(enum txn_state state);
bool txn_may_be_forgotten(const struct txn *t, int64_t now_ms);
const char *txn_state_name(enum txn_state state);
/* The verdict's record is on the disk. Takes next's parts. */
void txn_apply(struct txn *t, struct txn_verdict *v);
void txn_facts_free(struct txn_facts *f);

/* ---- txn_records.c ---- */

void txn_record_write(struct str id, const struct txn_facts *f, struct buf *key, struct buf *value);
/* ERR_NOT_FOUND: a record of another kind. ERR_CORRUPT, ERR_TRUNCATED. Partitions that are gone are
 * left out. */
MUST_CHECK enum err txn_key_read(struct str key, struct str *ret_id);
MUST_CHECK enum err txn_value_read(struct log *log, struct str value, struct txn_facts *ret_facts);

#endif
