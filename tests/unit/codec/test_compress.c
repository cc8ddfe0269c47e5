#include "tests/unit/unit.h"

#include "base/mem.h"
#include "codec/compress.h"
#include "codec/endian.h"

#include <snappy-c.h>
#include <zstd.h>

enum { LONGEST = 300000 };

static struct str make_text(size_t len)
{
    char *text = mem_alloc(len);
    uint32_t x = 3;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        text[i] = (char)(i % 50 < 30 ? "the model says: "[i % 16] : (char)(x >> 24));
    }
    return str_of(text, len);
}

static void every_codec_gives_back_what_it_got(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 100, 32768, 32769, 65536, LONGEST};
    struct compress *c = compress_new();
    struct str text = make_text(LONGEST);
    for (int codec = 0; codec < COMPRESS_COUNT; codec++)
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            struct buf packed BUF_AUTO;
            struct buf back BUF_AUTO;
            buf_init(&packed, 1 << 20);
            buf_init(&back, 1 << 20);
            buf_append_str(&packed, STR("before"));
            struct str in = str_take(text, lengths[i]);
            assert_int_equal(compress_write(c, (enum compress_codec)codec, in, &packed), ERR_OK);
            assert_memory_equal(packed.ptr, "before", 6);
            struct str out = str_skip(buf_str(&packed), 6);
            assert_int_equal(compress_read(c, (enum compress_codec)codec, out, in.len, &back),
                             ERR_OK);
            assert_true(str_eq(buf_str(&back), in));
            /* a byte less than it takes, and every way of being cut short */
            if (in.len > 0) {
                buf_reset(&back);
                assert_int_equal(
                    compress_read(c, (enum compress_codec)codec, out, in.len - 1, &back),
                    ERR_TOO_LARGE);
                assert_int_equal(back.len, 0);
                assert_int_equal(back.error, ERR_OK);
            }
            for (size_t cut = 0; cut < out.len && codec != COMPRESS_NONE; cut += 1 + out.len / 50) {
                buf_reset(&back);
                enum err error =
                    compress_read(c, (enum compress_codec)codec, str_take(out, cut), in.len, &back);
                if (error ==
                    ERR_OK) /* between two blocks of a snappy stream nothing is missing to see */
                    assert_true(codec == COMPRESS_SNAPPY && back.len < in.len);
                else /* cut in its mark, a stream is read as raw snappy, whose length is then any */
                    assert_true(error == ERR_TRUNCATED || error == ERR_CORRUPT ||
                                (codec == COMPRESS_SNAPPY && error == ERR_TOO_LARGE));
            }
        }
    mem_free((void *)(uintptr_t)text.ptr);
    compress_free(c);
}

static void output_stays_within_the_buffer(void **state)
{
    (void)state;
    struct compress *c = compress_new();
    struct str text = make_text(100000);
    for (int codec = 0; codec < COMPRESS_COUNT; codec++) {
        struct buf out BUF_AUTO;
        buf_init(&out, 1000);
        buf_append_str(&out, STR("kept"));
        assert_int_equal(compress_write(c, (enum compress_codec)codec, text, &out), ERR_TOO_LARGE);
        assert_true(str_eq(buf_str(&out), STR("kept")));
        assert_int_equal(out.error, ERR_OK);
    }
    mem_free((void *)(uintptr_t)text.ptr);
    compress_free(c);
}

/* A few bytes that would become a gigabyte. */
static void bombs_are_refused(void **state)
{
    (void)state;
    struct compress *c = compress_new();
    char *zeros = mem_alloc(64 << 20);
    for (int codec = 1; codec < COMPRESS_COUNT; codec++) {
        struct buf packed BUF_AUTO;
        struct buf out BUF_AUTO;
        buf_init(&packed, 80 << 20);
        buf_init(&out, 80 << 20);
        assert_int_equal(
            compress_write(c, (enum compress_codec)codec, str_of(zeros, 64 << 20), &packed),
            ERR_OK);
        assert_int_equal(
            compress_read(c, (enum compress_codec)codec, buf_str(&packed), 1 << 20, &out),
            ERR_TOO_LARGE);
        assert_true(out.cap <= 4 << 20);
    }
    mem_free(zeros);
    compress_free(c);
}

static void snappy_without_frames(void **state)
{
    (void)state;
    struct compress *c = compress_new();
    struct str text = make_text(5000);
    char packed[8000];
    size_t len = sizeof packed;
    struct buf out BUF_AUTO;
    buf_init(&out, 1 << 20);
    assert_int_equal(snappy_compress(text.ptr, text.len, packed, &len), SNAPPY_OK);
    assert_int_equal(compress_read(c, COMPRESS_SNAPPY, str_of(packed, len), 5000, &out), ERR_OK);
    assert_true(str_eq(buf_str(&out), text));
    buf_reset(&out);
    /* a length that three bytes cannot have become */
    assert_int_equal(compress_read(c, COMPRESS_SNAPPY, STR("\xff\xff\x03"), 1 << 20, &out),
                     ERR_CORRUPT);
    mem_free((void *)(uintptr_t)text.ptr);
    compress_free(c);
}

static void frames_one_after_another(void **state)
{
    (void)state;
    static const enum compress_codec codecs[] = {COMPRESS_GZIP, COMPRESS_LZ4, COMPRESS_ZSTD};
    struct compress *c = compress_new();
    for (size_t i = 0; i < 3; i++) {
        struct buf packed BUF_AUTO;
        struct buf out BUF_AUTO;
        buf_init(&packed, 10000);
        buf_init(&out, 10000);
        assert_int_equal(compress_write(c, codecs[i], STR("one "), &packed), ERR_OK);
        assert_int_equal(compress_write(c, codecs[i], STR("two"), &packed), ERR_OK);
        assert_int_equal(compress_read(c, codecs[i], buf_str(&packed), 100, &out), ERR_OK);
        assert_true(str_eq(buf_str(&out), STR("one two")));
    }
    compress_free(c);
}

/* A frame may ask for a window of two gigabytes. */
static void zstd_windows_are_bounded(void **state)
{
    (void)state;
    struct compress *c = compress_new();
    struct buf out BUF_AUTO;
    buf_init(&out, 10000);
    /* magic, a frame header without a content size, window 2^31, a last raw block of one byte */
    struct str huge = STR("\x28\xb5\x2f\xfd\x00\xa8\x09\x00\x00x");
    assert_int_equal(compress_read(c, COMPRESS_ZSTD, huge, 100, &out), ERR_UNSUPPORTED);
    struct str small = STR("\x28\xb5\x2f\xfd\x00\x58\x09\x00\x00x");
    assert_int_equal(compress_read(c, COMPRESS_ZSTD, small, 100, &out), ERR_OK);
    assert_true(str_eq(buf_str(&out), STR("x")));
    compress_free(c);
}

static void it_pays_where_much_repeats(void **state)
{
    (void)state;
    struct compress *c = compress_new();
    char *zeros = mem_alloc(LONGEST);
    struct str text = make_text(LONGEST); /* two fifths of it are noise */
    assert_true(compress_pays(c, COMPRESS_LZ4, str_of(zeros, LONGEST)));
    assert_false(compress_pays(c, COMPRESS_LZ4, text));
    mem_free(zeros);
    mem_free((char *)text.ptr);
    compress_free(c);
}

static void names(void **state)
{
    (void)state;
    enum compress_codec codec = COMPRESS_NONE;
    assert_int_equal(compress_from_name(STR("zstd"), &codec), ERR_OK);
    assert_int_equal(codec, COMPRESS_ZSTD);
    assert_int_equal(compress_from_name(STR("brotli"), &codec), ERR_INVALID);
    assert_string_equal(compress_name(COMPRESS_LZ4), "lz4");
    struct compress *c = compress_new();
    struct buf out BUF_AUTO;
    buf_init(&out, 100);
    assert_int_equal(compress_read(c, (enum compress_codec)5, STR("x"), 10, &out), ERR_UNSUPPORTED);
    assert_int_equal(compress_write(c, (enum compress_codec)7, STR("x"), &out), ERR_UNSUPPORTED);
    compress_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_codec_gives_back_what_it_got),
        cmocka_unit_test(output_stays_within_the_buffer),
        cmocka_unit_test(bombs_are_refused),
        cmocka_unit_test(snappy_without_frames),
        cmocka_unit_test(frames_one_after_another),
        cmocka_unit_test(zstd_windows_are_bounded),
        cmocka_unit_test(it_pays_where_much_repeats),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
