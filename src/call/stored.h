/* Responses that were stored: what `store`, `previous_response_id` and GET /v1/responses read back.
 *
 *   weir.calls      a response is its call's record: `request.input` and `response`
 *   weir.responses  what was deleted, by its call's id; folded into memory at the start
 *
 * 1. A response's id names its call (dialect/responses_items.h), whose id names its time: no index
 *    is kept, and what retention removed from weir.calls is gone here too. Where a provider's own
 *    Responses API answered, the id is the provider's: it is a header of the call's record, looked
 *    for among the newest HISTORY_SCAN_MAX.
 * 2. Only the key that made a response may read, continue or delete it.
 * 3. A conversation that leads through a deleted response is not continued: no turn of it is ever
 *    left out silently.
 *
 * All but stored_open and stored_close reads the log: on a worker's thread. Any thread at a time.
 */
#ifndef WEIR_CALL_STORED_H
#define WEIR_CALL_STORED_H

#include "dialect/openai_error.h"
#include "dialect/responses_items.h"
#include "log/log.h"

/* Turns of one conversation, and bytes of their records. Longer ones are refused. */
#define STORED_TURNS_MAX 1000
#define STORED_BYTES_MAX ((size_t)64 << 20)
/* Deletions remembered; past it deleting is refused. Those whose response retention has removed are
 * forgotten at the next start. */
#define STORED_DELETED_MAX ((size_t)1 << 20)

struct stored;

/* Opens (or makes) weir.responses. The log and calls outlive it. retention_ms: of weir.calls; -1:
 * none. */
MUST_CHECK enum err stored_open(struct log *log, struct log_part *calls, struct str data_dir,
                                int64_t retention_ms, struct buf *detail,
                                struct stored **ret_stored);
void stored_close(struct stored *s);

/* Append the response's object. ERR_NOT_FOUND: none of this key, deleted, or not stored. */
MUST_CHECK enum err stored_read(struct stored *s, struct str id, struct str key,
                                struct buf *ret_response);
/* Append the list of what it was made from, the turns before it included. *ret_problem is set on
 * every error. */
MUST_CHECK enum err stored_items(struct stored *s, struct str id, struct str key,
                                 const struct responses_page *page, struct buf *ret_list,
                                 struct openai_problem *ret_problem);
/* Durable when it returns. ERR_NOT_FOUND as above; ERR_LIMIT: STORED_DELETED_MAX. */
MUST_CHECK enum err stored_delete(struct stored *s, struct str id, struct str key);
/* Is there such a response of this key? *ret_problem is set when not. */
MUST_CHECK enum err stored_check(struct stored *s, struct str id, struct str key,
                                 struct openai_problem *ret_problem);
/* Append a request's body with what it leans on put into its input (responses_expand). *ret_problem
 * is set on every error: which id is not there, or what is too long. */
MUST_CHECK enum err stored_expand(struct stored *s, struct str body, unsigned max_depth,
                                  struct str key, struct buf *ret_body,
                                  struct openai_problem *ret_problem);

#endif
