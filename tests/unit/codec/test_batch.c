#include "tests/unit/unit.h"

#include <stdio.h>

#include "codec/batch.h"
#include "codec/crc32c.h"
#include "codec/endian.h"
#include "os/file.h"

static struct batch_header fresh_header(int32_t count)
{
    return (struct batch_header){.base_offset = 40,
                                 .leader_epoch = 3,
                                 .last_offset_delta = count - 1,
                                 .base_timestamp_ms = 1000,
                                 .max_timestamp_ms = 1000 + count,
                                 .producer_id = -1,
                                 .producer_epoch = -1,
                                 .base_sequence = -1,
                                 .count = count};
}

static void make_records(struct buf *out, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        struct str parts[2] = {STR("hello "), STR("world")};
        struct record_header headers[2] = {{STR("a"), STR("1")}, {STR("b"), STR_NONE}};
        struct record_fields f = {i % 2 ? STR("key") : STR_NONE, i % 3 ? parts : NULL,
                                  i % 3 ? 2 : 0, headers, (size_t)(i % 3)};
        size_t before = out->len;
        record_write(out, &f, i * 1000, i);
        assert_int_equal(out->error, ERR_OK);
        assert_int_equal(out->len - before, record_size(&f, i * 1000, i));
    }
}

static void make_batch(struct buf *out, int32_t count)
{
    struct buf records BUF_AUTO;
    char bytes[BATCH_HEADER_BYTES];
    buf_init(&records, 1 << 20);
    make_records(&records, count);
    struct batch_header h = fresh_header(count);
    struct str body = buf_str(&records);
    batch_header_write(&h, &body, 1, bytes);
    buf_append(out, bytes, sizeof bytes);
    buf_append_str(out, body);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct buf bytes BUF_AUTO;
    struct batch_header h;
    buf_init(&bytes, 1 << 20);
    make_batch(&bytes, 9);
    assert_int_equal(batch_check(buf_str(&bytes), &h), ERR_OK);
    assert_int_equal(h.size_bytes, bytes.len);
    assert_int_equal(h.count, 9);
    assert_int_equal(batch_last_offset(&h), 48);
    assert_int_equal(h.leader_epoch, 3);
    assert_int_equal(h.producer_id, -1);
    assert_int_equal(h.max_timestamp_ms, 1009);
    struct str rest = str_skip(buf_str(&bytes), BATCH_HEADER_BYTES);
    assert_int_equal(batch_records_check(&h, rest), ERR_OK);
    for (int32_t i = 0; i < 9; i++) {
        struct record_view r;
        assert_int_equal(record_read(&rest, &r), ERR_OK);
        assert_int_equal(r.offset_delta, i);
        assert_int_equal(r.timestamp_delta_ms, i * 1000);
        assert_true(i % 2 ? str_eq(r.key, STR("key")) : r.key.ptr == NULL);
        assert_true(i % 3 ? str_eq(r.value, STR("hello world")) : r.value.ptr == NULL);
        assert_int_equal(r.header_count, i % 3);
        struct record_header header;
        if (i % 3 > 0)
            assert_int_equal(record_header_read(&r.headers, &header), ERR_OK);
        if (i % 3 > 1) {
            assert_int_equal(record_header_read(&r.headers, &header), ERR_OK);
            assert_true(str_eq(header.name, STR("b")));
            assert_null(header.value.ptr);
        }
    }
    assert_int_equal(rest.len, 0);
}

static void any_changed_byte_is_noticed(void **state)
{
    (void)state;
    struct buf bytes BUF_AUTO;
    buf_init(&bytes, 1 << 20);
    make_batch(&bytes, 3);
    for (size_t i = 0; i < bytes.len; i++) {
        struct batch_header h;
        bytes.ptr[i] = (char)(bytes.ptr[i] ^ 0x41);
        enum err error = batch_check(buf_str(&bytes), &h);
        /* base offset and leader epoch are the broker's: outside the checksum */
        bool outside = i < 8 || (i >= 12 && i < 16);
        assert_true(outside ? error == ERR_OK || i == 0 : error != ERR_OK);
        bytes.ptr[i] = (char)(bytes.ptr[i] ^ 0x41);
        if (i > 0) {
            assert_int_equal(batch_check(str_take(buf_str(&bytes), i), &h), ERR_TRUNCATED);
        }
    }
}

static void stamping_leaves_the_checksum(void **state)
{
    (void)state;
    struct buf bytes BUF_AUTO;
    struct batch_header before;
    struct batch_header after;
    buf_init(&bytes, 1 << 20);
    make_batch(&bytes, 3);
    assert_int_equal(batch_check(buf_str(&bytes), &before), ERR_OK);
    batch_stamp(bytes.ptr, 1234567890123, 77);
    assert_int_equal(batch_check(buf_str(&bytes), &after), ERR_OK);
    assert_true(after.base_offset == 1234567890123);
    assert_int_equal(after.leader_epoch, 77);
    assert_int_equal(after.crc, before.crc);
}

static void refuse_header(struct buf *bytes, size_t at, int64_t value, size_t width,
                          enum err expected)
{
    struct batch_header h;
    char saved[8];
    memcpy(saved, bytes->ptr + at, width);
    if (width == 8)
        be64_put(bytes->ptr + at, (uint64_t)value);
    else if (width == 4)
        be32_put(bytes->ptr + at, (uint32_t)value);
    else
        bytes->ptr[at] = (char)value;
    assert_int_equal(batch_header_read(buf_str(bytes), &h), expected);
    memcpy(bytes->ptr + at, saved, width);
}

static void impossible_headers_are_refused(void **state)
{
    (void)state;
    struct buf bytes BUF_AUTO;
    buf_init(&bytes, 1 << 20);
    make_batch(&bytes, 3);
    refuse_header(&bytes, 0, -1, 8, ERR_CORRUPT);            /* base offset */
    refuse_header(&bytes, 0, INT64_MAX - 1, 8, ERR_CORRUPT); /* its last would not fit */
    refuse_header(&bytes, 8, 48, 4, ERR_CORRUPT);            /* length below a header's */
    refuse_header(&bytes, 8, -1, 4, ERR_CORRUPT);
    refuse_header(&bytes, 16, 1, 1, ERR_UNSUPPORTED); /* magic */
    refuse_header(&bytes, 23, -1, 4, ERR_CORRUPT);    /* last offset delta */
    refuse_header(&bytes, 57, -1, 4, ERR_CORRUPT);    /* count */
    refuse_header(&bytes, 57, 4, 4, ERR_CORRUPT);     /* more than the offsets allow */
}

static void wrong_records_are_refused(void **state)
{
    (void)state;
    struct buf records BUF_AUTO;
    struct batch_header h = fresh_header(3);
    buf_init(&records, 1 << 20);
    make_records(&records, 3);
    struct str whole = buf_str(&records);
    assert_int_equal(batch_records_check(&h, whole), ERR_OK);
    for (size_t cut = 0; cut < whole.len; cut++)
        assert_int_not_equal(batch_records_check(&h, str_take(whole, cut)), ERR_OK);
    buf_append_char(&records, 0);
    assert_int_equal(batch_records_check(&h, buf_str(&records)), ERR_CORRUPT);
    h.last_offset_delta = 1; /* the third is beyond */
    assert_int_not_equal(batch_records_check(&h, whole), ERR_OK);
    struct record_view r;
    struct str many_headers =
        STR("\x10\0\0\0\x01\x01\xfe\x07"); /* a count that its bytes cannot hold */
    assert_int_not_equal(record_read(&many_headers, &r), ERR_OK);
    struct str long_key = STR("\x0e\0\0\0\x7e\x01\0\0");
    assert_int_equal(record_read(&long_key, &r), ERR_TRUNCATED);
}

/* Segments that a real Kafka 4.4 wrote: twelve records with keys and headers, in every codec. */
static void kafkas_batches_are_read(void **state)
{
    (void)state;
    struct compress *c = compress_new();
    for (int codec = 0; codec < COMPRESS_COUNT; codec++) {
        char path[64];
        struct buf file BUF_AUTO;
        buf_init(&file, 1 << 20);
        (void)snprintf(path, sizeof path, "tests/data/kafka/%s.log",
                       compress_name((enum compress_codec)codec));
        assert_int_equal(os_fs_read_file(os_fs_machine(), path, &file), ERR_OK);
        struct str rest = buf_str(&file);
        int64_t next = 0;
        while (rest.len > 0) {
            struct batch_header h;
            struct buf records BUF_AUTO;
            buf_init(&records, 1 << 20);
            assert_int_equal(batch_check(rest, &h), ERR_OK);
            assert_int_equal(batch_codec(&h), codec);
            assert_int_equal(h.base_offset, next);
            next = batch_last_offset(&h) + 1;
            assert_int_equal(batch_unpack(c, &h, rest, 1 << 20, &records), ERR_OK);
            assert_int_equal(batch_records_check(&h, buf_str(&records)), ERR_OK);
            struct str at = buf_str(&records);
            for (int32_t i = 0; i < h.count; i++) {
                struct record_view r;
                char key[16];
                assert_int_equal(record_read(&at, &r), ERR_OK);
                (void)snprintf(key, sizeof key, "key%lld", (long long)h.base_offset + i);
                assert_true(str_eq(r.key, str_from_c(key)));
                assert_int_equal(r.header_count, 2);
            }
            rest = str_skip(rest, h.size_bytes);
        }
        assert_int_equal(next, 12);
    }
    compress_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(any_changed_byte_is_noticed),
        cmocka_unit_test(stamping_leaves_the_checksum),
        cmocka_unit_test(impossible_headers_are_refused),
        cmocka_unit_test(wrong_records_are_refused),
        cmocka_unit_test(kafkas_batches_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
