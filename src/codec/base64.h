/* Base64 (RFC 4648). */
#ifndef WEIR_CODEC_BASE64_H
#define WEIR_CODEC_BASE64_H

#include "base/buf.h"

/* Standard alphabet, padded. Past the buffer's maximum its error sticks. */
void base64_encode(struct str bytes, struct buf *text);
/* Standard or URL alphabet, padding optional but right where it stands; unused bits are zero.
 * ERR_INVALID; ERR_TOO_LARGE past the buffer's maximum. The buffer is untouched on ERR_INVALID. */
MUST_CHECK enum err base64_decode(struct str text, struct buf *bytes);

#endif
