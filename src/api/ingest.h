/* Many records of one request → record batches → the log, acknowledged together.
 *
 *   ingest_add … ingest_add ─> ingest_send ─> log_append_batch × n ─> done(), once
 *
 * The last record of each batch carries the header `receipt`: "received=512 rejected=2", what was
 * taken in since the batch before. A batch is written whole or not at all, so the log's receipts
 * and its records never differ. Used by one thread until ingest_send, then by the log. */
#ifndef WEIR_API_INGEST_H
#define WEIR_API_INGEST_H

#include "base/arena.h"
#include "log/log.h"

struct ingest;

enum { INGEST_HEADERS_MAX = 8 };

/* done runs once after ingest_send, on a thread of the log or inside it. */
struct ingest *ingest_new(struct log_part *part, int64_t now_ms);
void ingest_free(struct ingest *in);

/* The next record's parts are made by the caller: its value in *ingest_value, key and headers in
 * *ingest_arena, both of which are empty again after ingest_add. */
struct buf *ingest_value(struct ingest *in);
struct arena *ingest_arena(struct ingest *in);
/* Take it as an item of the request. ERR_TOO_LARGE: it is larger than a record may be; nothing is
 * taken. weight: items that it stands for. */
MUST_CHECK enum err ingest_add(struct ingest *in, struct str key,
                               const struct record_header *headers, size_t header_count,
                               uint64_t weight);
/* So many items came that are not stored. */
void ingest_reject(struct ingest *in, uint64_t items);
/* What was not stored after the last batch's records: to be told elsewhere, if nothing was. */
uint64_t ingest_stored(const struct ingest *in);
/* Append everything. done(arg, error) comes exactly once, also when there was nothing. */
void ingest_send(struct ingest *in, void (*done)(void *arg, enum err error), void *arg);

#endif
