/* Compression as Kafka's record batches use it: one call a batch, no streams kept between calls.
 *
 * Written: gzip member, raw snappy in xerial framing, one LZ4 frame, one zstd frame. Read: the
 * same, raw snappy without a frame (some producers leave it out), and zlib's form as gzip's (HTTP's
 * "deflate"). Every reader has a maximum output, because a few bytes of a hostile batch can ask for
 * gigabytes. */
#ifndef WEIR_CODEC_COMPRESS_H
#define WEIR_CODEC_COMPRESS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* The numbers are those of a batch's attributes, bits 0 to 2 (Kafka's CompressionType). */
enum compress_codec {
    COMPRESS_NONE = 0,
    COMPRESS_GZIP = 1,
    COMPRESS_SNAPPY = 2,
    COMPRESS_LZ4 = 3,
    COMPRESS_ZSTD = 4,
    COMPRESS_COUNT
};

/* Working memory of the codecs, made when first used. One thread at a time. */
struct compress;

struct compress *compress_new(void);
void compress_free(struct compress *c);

/* Append the compressed form of in to *out, within out's maximum. ERR_TOO_LARGE when it does not
 * fit (out is then cut back to what it held), ERR_UNSUPPORTED for a number that is no codec. */
MUST_CHECK enum err compress_write(struct compress *c, enum compress_codec codec, struct str in,
                                   struct buf *out);
/* Does it pay to compress large bytes where nobody may wait long: would they shrink to a third, and
 * quickly? Judged by a sample from their middle, some 10 µs. */
bool compress_pays(struct compress *c, enum compress_codec codec, struct str in);
/* Append what in was compressed from to *out. ERR_CORRUPT, ERR_TRUNCATED, ERR_UNSUPPORTED, and
 * ERR_TOO_LARGE when it would be more than max_bytes or than out's maximum; out is cut back. */
MUST_CHECK enum err compress_read(struct compress *c, enum compress_codec codec, struct str in,
                                  size_t max_bytes, struct buf *out);

/* "none", "gzip", "snappy", "lz4", "zstd"; "?" for no codec. */
const char *compress_name(enum compress_codec codec);
MUST_CHECK enum err compress_from_name(struct str name, enum compress_codec *ret_codec);

#endif
