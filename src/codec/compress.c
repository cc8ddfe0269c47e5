/* Kafka's four codecs over the system's libraries. Framing that the libraries do not know is
 * xerial's snappy stream, which Java's producers write:
 *
 *     82 53 4e 41 50 50 59 00 | version, int32 | compatible version, int32
 *     | (length, int32 | raw snappy)*
 *
 * Integers are big-endian. */
#include "codec/compress.h"

#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/assert.h"
#include "base/mem.h"
#include "codec/endian.h"

enum {
    CHUNK_BYTES = 64 << 10, /* output is grown by this where its size is not known */
    SAMPLE_BYTES = 16 << 10,
    XERIAL_HEADER_BYTES = 16,
    XERIAL_BLOCK_BYTES = 32 << 10,
    ZSTD_LEVEL = 1,       /* by measurement: docs/internals/log.md */
    ZSTD_WINDOW_LOG = 25, /* 32 MiB: more is refused, whatever a frame asks for */
    GZIP_LEVEL = 1,
    GZIP_WINDOW_BITS = 15 + 16, /* zlib: 16 more means a gzip member */
    ANY_WINDOW_BITS = 15 + 32,  /* that, or zlib's own form, whichever comes */
};

static const char xerial_magic[8] = "\x82SNAPPY";

struct compress {
    ZSTD_CCtx *zstd_out;
    ZSTD_DCtx *zstd_in;
    LZ4F_dctx *lz4_in;
};

struct compress *compress_new(void)
{
    return NEW(struct compress);
}

void compress_free(struct compress *c)
{
    if (!c)
        return;
    ZSTD_freeCCtx(c->zstd_out);
    ZSTD_freeDCtx(c->zstd_in);
    LZ4F_freeDecompressionContext(c->lz4_in);
    mem_free(c);
}

static const char *const names[COMPRESS_COUNT] = {"none", "gzip", "snappy", "lz4", "zstd"};

const char *compress_name(enum compress_codec codec)
{
    return (unsigned)codec < COMPRESS_COUNT ? names[codec] : "?";
}

enum err compress_from_name(struct str name, enum compress_codec *ret_codec)
{
    for (unsigned i = 0; i < COMPRESS_COUNT; i++)
        if (str_eq(name, str_from_c(names[i]))) {
            *ret_codec = (enum compress_codec)i;
            return ERR_OK;
        }
    return ERR_INVALID;
}

/* Writing ------------------------------------------------------------------------------------- */

static enum err reserve(struct buf *out, size_t n)
{
    return buf_reserve(out, n) ? ERR_OK : out->error;
}

static enum err zstd_write(struct compress *c, struct str in, struct buf *out)
{
    if (!c->zstd_out) {
        c->zstd_out = ZSTD_createCCtx();
        ASSERT(c->zstd_out);
        ZSTD_CCtx_setParameter(c->zstd_out, ZSTD_c_compressionLevel, ZSTD_LEVEL);
    }
    TRY(reserve(out, ZSTD_compressBound(in.len)));
    size_t n =
        ZSTD_compress2(c->zstd_out, out->ptr + out->len, out->cap - out->len, in.ptr, in.len);
    if (ZSTD_isError(n))
        return ERR_NO_MEMORY; /* with room for the bound nothing else is left */
    out->len += n;
    return ERR_OK;
}

static enum err lz4_write(struct str in, struct buf *out)
{
    LZ4F_preferences_t preferences = {
        .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent}};
    TRY(reserve(out, LZ4F_compressFrameBound(in.len, &preferences)));
    size_t n =
        LZ4F_compressFrame(out->ptr + out->len, out->cap - out->len, in.ptr, in.len, &preferences);
    if (LZ4F_isError(n))
        return ERR_NO_MEMORY;
    out->len += n;
    return ERR_OK;
}

static enum err snappy_write(struct str in, struct buf *out)
{
    TRY(reserve(out, XERIAL_HEADER_BYTES));
    buf_append(out, xerial_magic, sizeof xerial_magic);
    buf_append(out, "\0\0\0\1\0\0\0\1", 8);
    while (in.len > 0) {
        struct str block = str_take(in, XERIAL_BLOCK_BYTES);
        size_t n = snappy_max_compressed_length(block.len);
        TRY(reserve(out, 4 + n));
        char *at = out->ptr + out->len;
        ASSERT(snappy_compress(block.ptr, block.len, at + 4, &n) == SNAPPY_OK);
        be32_put(at, (uint32_t)n);
        out->len += 4 + n;
        in = str_skip(in, block.len);
    }
    return ERR_OK;
}

static enum err gzip_write(struct str in, struct buf *out)
{
    z_stream z = {0};
    if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return ERR_NO_MEMORY;
    size_t bound = deflateBound(&z, in.len);
    enum err error = in.len > UINT32_MAX ? ERR_TOO_LARGE : reserve(out, bound);
    if (error == ERR_OK) {
        z.next_in = (Bytef *)(uintptr_t)in.ptr;
        z.avail_in = (uInt)in.len;
        z.next_out = (Bytef *)(out->ptr + out->len);
        z.avail_out = (uInt)bound;
        ASSERT(deflate(&z, Z_FINISH) == Z_STREAM_END);
        out->len += bound - z.avail_out;
    }
    deflateEnd(&z);
    return error;
}

/* Cut out back to len when error says that what follows is not whole; the sticky error goes too, it
 * is returned. */
static enum err cut_back(struct buf *out, size_t len, enum err error)
{
    if (error != ERR_OK) {
        out->len = len;
        out->error = ERR_OK;
    }
    return error;
}

static enum err write_any(struct compress *c, enum compress_codec codec, struct str in,
                          struct buf *out)
{
    switch (codec) {
    case COMPRESS_NONE:
        TRY(reserve(out, in.len));
        buf_append_str(out, in);
        return ERR_OK;
    case COMPRESS_GZIP: return gzip_write(in, out);
    case COMPRESS_SNAPPY: return snappy_write(in, out);
    case COMPRESS_LZ4: return lz4_write(in, out);
    case COMPRESS_ZSTD: return zstd_write(c, in, out);
    case COMPRESS_COUNT: break;
    }
    return ERR_UNSUPPORTED;
}

enum err compress_write(struct compress *c, enum compress_codec codec, struct str in,
                        struct buf *out)
{
    if (out->error != ERR_OK)
        return out->error;
    size_t before = out->len;
    return cut_back(out, before, write_any(c, codec, in, out));
}

bool compress_pays(struct compress *c, enum compress_codec codec, struct str in)
{
    struct buf packed BUF_AUTO;
    struct str sample = str_take(str_skip(in, in.len / 2), SAMPLE_BYTES);
    buf_init(&packed, 2 * SAMPLE_BYTES);
    return compress_write(c, codec, sample, &packed) == ERR_OK && packed.len <= sample.len / 3;
}

/* Reading ------------------------------------------------------------------------------------- */

/* Room for the next piece of output: at most CHUNK_BYTES, never past end (an out->len). One byte
 * more than the maximum is allowed, by which a stream shows that it goes on. */
static enum err next_room(struct buf *out, size_t end, size_t *ret_room)
{
    size_t room = end - out->len;
    if (room == 0)
        return ERR_TOO_LARGE;
    room = room < CHUNK_BYTES ? room : CHUNK_BYTES;
    TRY(reserve(out, room));
    *ret_room = room;
    return ERR_OK;
}

static enum err zstd_error(size_t code)
{
    switch (ZSTD_getErrorCode(code)) {
    case ZSTD_error_frameParameter_windowTooLarge:
    case ZSTD_error_version_unsupported:
    case ZSTD_error_dictionary_wrong: return ERR_UNSUPPORTED;
    case ZSTD_error_memory_allocation: return ERR_NO_MEMORY;
    default: return ERR_CORRUPT;
    }
}

static enum err zstd_read(struct compress *c, struct str in, size_t end, struct buf *out)
{
    if (!c->zstd_in) {
        c->zstd_in = ZSTD_createDCtx();
        ASSERT(c->zstd_in);
        ZSTD_DCtx_setParameter(c->zstd_in, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
    }
    ZSTD_DCtx_reset(c->zstd_in, ZSTD_reset_session_only);
    ZSTD_inBuffer from = {in.ptr, in.len, 0};
    size_t left = 1;
    while (from.pos < from.size || left > 0) {
        size_t room = 0;
        TRY(next_room(out, end, &room));
        ZSTD_outBuffer to = {out->ptr + out->len, room, 0};
        left = ZSTD_decompressStream(c->zstd_in, &to, &from);
        if (ZSTD_isError(left))
            return zstd_error(left);
        out->len += to.pos;
        if (left > 0 && from.pos == from.size && to.pos < room)
            return ERR_TRUNCATED;
    }
    return ERR_OK;
}

static enum err lz4_read(struct compress *c, struct str in, size_t end, struct buf *out)
{
    if (!c->lz4_in)
        ASSERT(!LZ4F_isError(LZ4F_createDecompressionContext(&c->lz4_in, LZ4F_VERSION)));
    LZ4F_resetDecompressionContext(c->lz4_in);
    size_t left = 1;
    while (in.len > 0 || left > 0) {
        size_t room = 0;
        TRY(next_room(out, end, &room));
        size_t written = room;
        size_t taken = in.len;
        left = LZ4F_decompress(c->lz4_in, out->ptr + out->len, &written, in.ptr, &taken, NULL);
        if (LZ4F_isError(left))
            return ERR_CORRUPT;
        out->len += written;
        in = str_skip(in, taken);
        if (left > 0 && in.len == 0 && written < room)
            return ERR_TRUNCATED;
    }
    return ERR_OK;
}

static enum err snappy_block_read(struct str in, size_t end, struct buf *out)
{
    size_t n = 0;
    if (snappy_uncompressed_length(in.ptr, in.len, &n) != SNAPPY_OK)
        return ERR_CORRUPT;
    if (n > end - out->len)
        return ERR_TOO_LARGE;
    /* Snappy makes at most 64 bytes of three; a length beyond that is a lie, not worth its memory.
     */
    if (n / 32 > in.len)
        return ERR_CORRUPT;
    TRY(reserve(out, n));
    char nothing = 0; /* snappy wants a place for it too */
    char *to = n ? out->ptr + out->len : &nothing;
    if (snappy_uncompress(in.ptr, in.len, to, &n) != SNAPPY_OK)
        return ERR_CORRUPT;
    out->len += n;
    return ERR_OK;
}

static enum err snappy_read(struct str in, size_t end, struct buf *out)
{
    if (!str_starts(in, str_of(xerial_magic, sizeof xerial_magic)))
        return snappy_block_read(in, end, out);
    if (in.len < XERIAL_HEADER_BYTES)
        return ERR_TRUNCATED;
    in = str_skip(in, XERIAL_HEADER_BYTES);
    while (in.len > 0) {
        if (in.len < 4)
            return ERR_TRUNCATED;
        size_t n = be32_get(in.ptr);
        in = str_skip(in, 4);
        if (n > in.len)
            return ERR_TRUNCATED;
        TRY(snappy_block_read(str_take(in, n), end, out));
        in = str_skip(in, n);
    }
    return ERR_OK;
}

static enum err gzip_step(z_stream *z, struct buf *out, size_t end, bool *ret_ended)
{
    size_t room = 0;
    TRY(next_room(out, end, &room));
    z->next_out = (Bytef *)(out->ptr + out->len);
    z->avail_out = (uInt)room;
    int result = inflate(z, Z_NO_FLUSH);
    out->len += room - z->avail_out;
    *ret_ended = result == Z_STREAM_END;
    if (*ret_ended && z->avail_in > 0) { /* another member follows */
        *ret_ended = false;
        return inflateReset(z) == Z_OK ? ERR_OK : ERR_CORRUPT;
    }
    if (result == Z_BUF_ERROR || (result == Z_OK && z->avail_in == 0 && z->avail_out > 0))
        return ERR_TRUNCATED;
    return result == Z_OK || result == Z_STREAM_END ? ERR_OK : ERR_CORRUPT;
}

static enum err gzip_read(struct str in, size_t end, struct buf *out)
{
    if (in.len > UINT32_MAX)
        return ERR_TOO_LARGE;
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in.ptr, .avail_in = (uInt)in.len};
    if (inflateInit2(&z, ANY_WINDOW_BITS) != Z_OK)
        return ERR_NO_MEMORY;
    enum err error = ERR_OK;
    for (bool ended = false; error == ERR_OK && !ended;)
        error = gzip_step(&z, out, end, &ended);
    inflateEnd(&z);
    return error;
}

static enum err read_any(struct compress *c, enum compress_codec codec, struct str in, size_t end,
                         struct buf *out)
{
    switch (codec) {
    case COMPRESS_NONE:
        if (in.len > end - out->len)
            return ERR_TOO_LARGE;
        TRY(reserve(out, in.len));
        buf_append_str(out, in);
        return ERR_OK;
    case COMPRESS_GZIP: return gzip_read(in, end, out);
    case COMPRESS_SNAPPY: return snappy_read(in, end, out);
    case COMPRESS_LZ4: return lz4_read(c, in, end, out);
    case COMPRESS_ZSTD: return zstd_read(c, in, end, out);
    case COMPRESS_COUNT: break;
    }
    return ERR_UNSUPPORTED;
}

enum err compress_read(struct compress *c, enum compress_codec codec, struct str in,
                       size_t max_bytes, struct buf *out)
{
    if (out->error != ERR_OK)
        return out->error;
    size_t before = out->len;
    size_t room = out->max - before;
    max_bytes = max_bytes < room ? max_bytes : room;
    /* Streams get a byte more than they may fill: without it a full buffer and an end cannot be
     * told apart. */
    out->max += 1;
    enum err error = read_any(c, codec, in, before + max_bytes + 1, out);
    out->max -= 1;
    if (error == ERR_OK && out->len - before > max_bytes)
        error = ERR_TOO_LARGE;
    return cut_back(out, before, error);
}
