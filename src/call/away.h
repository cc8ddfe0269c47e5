/* Records of a process whose log has gone to its successor.
 *
 *   old process                                           new process
 *   call_finish ─ log_append: ERR_CLOSED ─> queue            │
 *                                             │  batch ─────>│ log_append ─ done
 *   the call's answer is released <── done ───┘<── results ──┘
 *
 *   batch:   [bytes:u32][count:u32] count × record            host's byte order: one machine, one
 *   record:  [maybe:u32][from:i64][timestamp:i64]             program's two versions agree on it
 *            key, value, [headers:u32] × (key, value)         text: [len:u32] bytes
 *   results: count × [error:i32]
 *
 * 1. One batch is under way at a time; what it holds is done when its results have come.
 * 2. When the channel breaks before they came, nobody knows what of the batch is on the log: its
 *    records go out again with `maybe` set, and whoever takes them looks, from the offset at which
 *    the log was handed over, whether they are there. So each is on the log once.
 * 3. At most AWAY_BYTES_MAX wait; more is ERR_BUSY.
 *
 * away_append: any loop. The rest: the main thread. */
#ifndef WEIR_CALL_AWAY_H
#define WEIR_CALL_AWAY_H

#include <stdbool.h>

#include "log/log.h"

#define AWAY_BYTES_MAX ((size_t)64 << 20)
#define AWAY_BATCH_MAX 64

struct away;

struct away *away_new(void);
/* Wait from now on. */
void away_begin(struct away *a);
/* The partition's end when the log was handed over. Before away_send_to. */
void away_set_from(struct away *a, int64_t from_offset);
/* Everything has been appended, by whichever way. NULL is fine. */
void away_free(struct away *a);

MUST_CHECK enum err away_append(struct away *a, const struct log_record *record,
                                struct log_append *append);

/* A process at the other end of fd takes them from now on. The channel stays the caller's. */
MUST_CHECK enum err away_send_to(struct away *a, int fd);
/* The other end has gone: call away_stop, and send to another. */
bool away_is_broken(struct away *a);
/* How many are not done. */
size_t away_waiting(struct away *a);
/* No more to that channel. */
void away_stop(struct away *a);
/* The log is here again: append what waits, and what comes yet. */
void away_append_here(struct away *a, struct log_part *part);
/* Nobody will ever take them, nor what comes yet: they are unrecorded. */
void away_give_up(struct away *a);

/* ---- The other end ---- */

struct away_receiver;

/* Append what comes over fd, on a thread of its own, until the other end closes. */
MUST_CHECK enum err away_receiver_start(struct log_part *part, int fd,
                                        struct away_receiver **ret_receiver);
/* Has the other end closed? */
bool away_receiver_done(struct away_receiver *r);
/* Before the log closes; what is not received by now is the sender's again. NULL is fine. */
void away_receiver_stop(struct away_receiver *r);

#endif
