/* UTF-8 (Unicode 15, table 3-7). */
#ifndef WEIR_CODEC_UTF8_H
#define WEIR_CODEC_UTF8_H

#include <stdbool.h>

#include "base/str.h"

/* Well-formed throughout? */
bool utf8_valid(struct str text);
/* How many bytes at the end begin a character that more bytes could complete: 0…3. */
size_t utf8_incomplete_tail(struct str text);

#endif
