/* A record's `usage`, in and out. */
#ifndef WEIR_CALL_USAGE_H
#define WEIR_CALL_USAGE_H

#include "codec/json_write.h"
#include "codec/usage.h"

/* The object, or null for USAGE_NONE. */
void usage_write(struct json_writer *w, const struct usage *u);
/* Read one back (JSON); anything that is not an object with a source is USAGE_NONE. */
struct usage usage_read(struct str json);

#endif
