/* One use of a model, from admission to its record.
 *
 *   call_start ─> admit ─> attempt ⇄ (retry, fallback) ─> relay ─> finish ─> record ─> release
 *                   │ refused                               │ cut, cancelled  │
 *                   └───────────────────────────────────────┴─────────────────┘
 *
 * 1. A call is a part of its exchange: it lives in its arena, and ends with its on_done.
 * 2. However a call ends, call_finish runs once for it: limits are settled, one record is appended,
 *    and only when the log has taken it is the end of the answer released to the client.
 * 3. Until the first content byte nothing has gone to the client, and the next target may be tried.
 *    From then on the answer is relayed or cut, never begun again.
 * 4. At most CALL_HELD_BYTES_MAX of an answer are held back before they are passed on. */
#ifndef WEIR_CALL_CALL_H
#define WEIR_CALL_CALL_H

#include "call/endpoint.h"
#include "call/gateway.h"
#include "net/http_server.h"

/* An answer up to this size goes out in one piece, after its record; a longer one is passed on as
 * it comes, but for its last piece. */
#define CALL_HELD_BYTES_MAX ((size_t)1 << 20)
/* Of one answer, kept for the record; more is passed on but not kept. */
#define CALL_KEPT_BYTES_MAX ((size_t)32 << 20)
/* Events of a stream held before its first content. More count as content. */
#define CALL_PRELUDE_BYTES_MAX ((size_t)64 << 10)

/* Take over an exchange whose request is whole. settings: in use by the caller, given back when the
 * call is over; key: found in them; presented: the key as the caller sent it, only to be blotted
 * out of what is recorded. */
void call_start(struct loop_settings *settings, const struct key *key, struct str presented,
                const struct call_endpoint *endpoint, struct http_exchange *x);

#endif
