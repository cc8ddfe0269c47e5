/* Bodies above CALL_HELD_BYTES_MAX, kept beside the log: <data>/blobs, named by their SHA-256. Both
 * functions may wait for the disk: on a worker's thread, or in a command. */
#ifndef WEIR_CALL_BLOB_H
#define WEIR_CALL_BLOB_H

#include "base/buf.h"
#include "log/log.h"

enum { BLOB_NAME_BYTES = 71 /* "sha256:" and 64 hex digits */ };

/* Keep bytes, counted against the log's quota; there already is fine. ERR_QUOTA, ERR_IO…; ret_name
 * is NUL-terminated. */
MUST_CHECK enum err blob_write(struct log *log, struct str data_dir, struct str bytes,
                               char ret_name[BLOB_NAME_BYTES + 1]);
/* Append one to *ret_bytes. ERR_INVALID: not such a name; ERR_NOT_FOUND; ERR_TOO_LARGE: beyond the
 * buffer's maximum. */
MUST_CHECK enum err blob_read(struct str data_dir, struct str name, struct buf *ret_bytes);

#endif
