/* `weir serve` hands over to a new program (SIGUSR2): the successor takes the listening sockets and
 * the log, the old process finishes its streams and gives their records to the successor.
 *
 *   old                                                    new
 *   SIGUSR2: start it, with sockets and channel ─────────> read the configuration, check it
 *            <──────────────────────────────── PREPARED ── all that can fail without the log
 *   log_retire: all that was accepted is written and synced, the lock is let go
 *            ── GO ──────────────────────────────────────> log_open, loops, listen
 *            <─────────────────────────────────── READY ── serving
 *   listen no more; streams go on, their records go ─────> appended; results come back
 *   the last one is done: exit 0 ── channel closes ──────> on its own
 *
 * 1. The lock is held by one process at every moment, or by none between GO and log_open; nobody
 *    else's start comes between for long, and then the old one goes on without a log.
 * 2. Until READY both the sockets and the records are the old process's: it keeps accepting, and
 *    records wait for who gets the log. So if the successor fails, the old one takes the log back
 *    (log_resume) and nothing has happened.
 * 3. If the log cannot be taken back, because the successor died after it had changed something, or
 *    when the successor dies while the old one finishes its streams, the old one starts its own
 *    program again as the successor. Records that may have been appended are looked for first.
 *
 * The main thread's. */
#ifndef WEIR_CLI_UPGRADE_H
#define WEIR_CLI_UPGRADE_H

#include <stdbool.h>

#include "call/away.h"
#include "log/log.h"

/* ---- The old process ---- */

struct upgrade;

/* Before anything else: remember which program this is. */
void upgrade_init(void);
enum upgrade_end {
    UPGRADE_REFUSED, /* nothing has changed */
    UPGRADE_DONE,    /* a successor serves; finish what is under way */
    UPGRADE_LOST,    /* neither the log nor a successor is there: stop */
};
/* away is where the gateway's records go. *ret_upgrade: only with DONE. */
enum upgrade_end upgrade_start(struct log *log, struct log_part *calls, struct away *away,
                               struct upgrade **ret_upgrade);
/* While finishing, now and then: is the successor there? Starts another if it is not. */
void upgrade_watch(struct upgrade *u);
/* All streams are over: until every record is done. Frees it. */
void upgrade_finish(struct upgrade *u);

/* ---- The new one ---- */

/* Was this process started by upgrade_start? Then its channel, and its inherited sockets are known
 * to net/listen.h; else -1. */
int upgrade_inherited(void);
/* Say PREPARED and wait for GO: ERR_CLOSED when the old process wants us no more. */
MUST_CHECK enum err upgrade_wait_for_log(int channel);
MUST_CHECK enum err upgrade_say_ready(int channel);

#endif
