/* Calls that were: reading weir.calls back, newest first. Pure reading of the log, no loop: on a
 * worker's thread, or in a command on a data folder. */
#ifndef WEIR_CALL_HISTORY_H
#define WEIR_CALL_HISTORY_H

#include "base/buf.h"
#include "log/log.h"

/* Records looked at by one query at most; the answer's cursor tells where to go on. */
#define HISTORY_SCAN_MAX 200000
/* Bytes of records in one page. */
#define HISTORY_PAGE_BYTES_MAX ((size_t)32 << 20)

struct history_query {
    struct str model;      /* as asked; empty: any */
    struct str key;        /* key's name; empty: any */
    struct str status;     /* "200", "5xx", or an outcome: "ok", "error", …; empty: any */
    int64_t since_wall_us; /* 0: any */
    int64_t from_offset;   /* look below this one; -1: from the newest */
    uint32_t limit;        /* records, at least 1 */
};

/* Is that a status filter? */
bool history_status_valid(struct str status);
/* Append the found records, joined by commas, to *ret_records (JSON objects), newest first.
 * *ret_next is the from_offset to go on with, or -1 when there is no more. */
MUST_CHECK enum err history_list(struct log_part *calls, const struct history_query *query,
                                 struct buf *ret_records, uint32_t *ret_count, int64_t *ret_next);
/* Append the record of that call. key: only of this key; empty: of any. Reads from where a call of
 * the id's time may stand, so it is quick for what is there. ERR_NOT_FOUND; ERR_INVALID: not 32 hex
 * digits. */
MUST_CHECK enum err history_find_call(struct log_part *calls, struct str id, struct str key,
                                      struct buf *ret_record);
/* Append the newest record whose header `response` is that: the id that a provider gave to a
 * response of its own. Looks at HISTORY_SCAN_MAX records. ERR_NOT_FOUND. */
MUST_CHECK enum err history_find_response(struct log_part *calls, struct str id, struct str key,
                                          struct buf *ret_record);
/* Append the records at these offsets, newest first as given, joined by commas, up to
 * HISTORY_PAGE_BYTES_MAX bytes or a bit more; those that are gone are left out. *ret_used: how many
 * of the offsets were dealt with. */
MUST_CHECK enum err history_records(struct log_part *calls, const int64_t *offsets, size_t count,
                                    struct buf *ret_records, size_t *ret_used);
/* Append the record of that call: its id, or its trace's id when that names one. key: only of this
 * key; empty: of any. ERR_NOT_FOUND; ERR_INVALID: not 32 hex digits. */
MUST_CHECK enum err history_find(struct log_part *calls, struct str id, struct str key,
                                 struct buf *ret_record);

#endif
