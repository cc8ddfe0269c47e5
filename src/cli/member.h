/* What tables show of a JSON object. */
#ifndef WEIR_CLI_MEMBER_H
#define WEIR_CLI_MEMBER_H

#include "base/arena.h"

/* The member at that path ("usage.input"): a string's text (in the object or in the arena), any
 * other value as it is written, "-" for null and for none. */
struct str member_text(struct str object, const char *path, struct arena *a);
/* A whole number; 0 where there is none. */
int64_t member_number(struct str object, const char *path);

#endif
