/* GGUF headers: whole, cut at every byte, and with counts that lie. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "model/local/model_file.h"

struct memory {
    struct str bytes;
};

static enum err read_memory(void *arg, uint64_t position, void *ret_bytes, size_t len)
{
    struct str bytes = ((struct memory *)arg)->bytes;
    if (position > bytes.len || len > bytes.len - position)
        return ERR_TRUNCATED;
    memcpy(ret_bytes, bytes.ptr + position, len);
    return ERR_OK;
}

static char said[300];

static enum err check(struct str bytes, struct model_file_facts *facts)
{
    struct memory memory = {bytes};
    struct model_file_source source = {read_memory, &memory, bytes.len};
    BUF_AUTO struct buf problem;
    buf_init(&problem, 1000);
    enum err e = model_file_check(&source, &problem, facts);
    snprintf(said, sizeof said, "%s", buf_cstr(&problem));
    assert_int_equal(e != ERR_OK, said[0] != 0);
    return e;
}

static void put_u32(struct buf *b, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        buf_append_char(b, (char)(v >> (8 * i) & 0xFF));
}

static void put_u64(struct buf *b, uint64_t v)
{
    put_u32(b, (uint32_t)v);
    put_u32(b, (uint32_t)(v >> 32));
}

static void put_string(struct buf *b, const char *s)
{
    put_u64(b, strlen(s));
    buf_append_str(b, str_from_c(s));
}

enum { PAIRS = 5 };

/* A small but complete file with every kind of value. */
static void build(struct buf *b, uint32_t version, uint64_t tensors, uint64_t pairs)
{
    buf_append_str(b, STR("GGUF"));
    put_u32(b, version);
    put_u64(b, tensors);
    put_u64(b, pairs);
    put_string(b, "general.architecture");
    put_u32(b, 8);
    put_string(b, "llama");
    put_string(b, "general.alignment");
    put_u32(b, 4);
    put_u32(b, 64);
    put_string(b, "tokens");
    put_u32(b, 9);
    put_u32(b, 8);
    put_u64(b, 2);
    put_string(b, "a");
    put_string(b, "");
    put_string(b, "scores");
    put_u32(b, 9);
    put_u32(b, 6);
    put_u64(b, 3);
    buf_append(b, "123412341234", 12);
    put_string(b, "flag");
    put_u32(b, 7);
    buf_append_char(b, 1);
    put_string(b, "weight");
    put_u32(b, 2);
    put_u64(b, 4);
    put_u64(b, 8);
    put_u32(b, 0);
    put_u64(b, 64);
    while (b->len % 64)
        buf_append_char(b, 0);
    for (int i = 0; i < 64 + 128; i++)
        buf_append_char(b, 0);
}

static void a_whole_file_passes(void **state)
{
    (void)state;
    struct model_file_facts facts;
    for (uint32_t version = 2; version <= 3; version++) {
        BUF_AUTO struct buf b;
        buf_init(&b, 4096);
        build(&b, version, 1, PAIRS);
        assert_int_equal(check(buf_str(&b), &facts), ERR_OK);
        assert_string_equal(facts.architecture, "llama");
        assert_int_equal(facts.data_offset % 64, 0);
        assert_int_equal(facts.data_offset + 64 + 128, b.len);
    }
}

static void a_cut_file_fails_at_every_length(void **state)
{
    (void)state;
    struct model_file_facts facts;
    BUF_AUTO struct buf b;
    buf_init(&b, 4096);
    build(&b, 3, 1, PAIRS);
    for (size_t len = 0; len + 128 <= b.len; len++)
        assert_int_equal(check(str_of(b.ptr, len), &facts), ERR_CORRUPT);
}

static void counts_that_lie_are_told(void **state)
{
    (void)state;
    static const struct {
        uint64_t version, tensors, pairs;
        const char *says;
        enum err e;
    } lies[] = {
        {1, 1, PAIRS, "version 1", ERR_UNSUPPORTED},
        {4, 1, PAIRS, "version 4", ERR_UNSUPPORTED},
        {3u << 24, 1, PAIRS, "big-endian", ERR_UNSUPPORTED},
        {3, 0, PAIRS, "0 tensors", ERR_CORRUPT},
        {3, UINT64_MAX, PAIRS, "tensors", ERR_CORRUPT},
        {3, 1, UINT64_MAX, "metadata values", ERR_CORRUPT},
        {3, 1, PAIRS + 1, "name", ERR_CORRUPT},
        {3, 2, PAIRS, "name", ERR_CORRUPT},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct model_file_facts facts;
        BUF_AUTO struct buf b;
        buf_init(&b, 4096);
        build(&b, (uint32_t)lies[i].version, lies[i].tensors, lies[i].pairs);
        assert_int_equal(check(buf_str(&b), &facts), lies[i].e);
        if (!strstr(said, lies[i].says))
            fail_msg("case %zu: %s", i, said);
    }
}

/* Put 8 bytes of 0xFF (or 0) over every place in turn: never more than an error. */
static void damage_anywhere_is_survived(void **state)
{
    (void)state;
    struct model_file_facts facts;
    BUF_AUTO struct buf b;
    buf_init(&b, 4096);
    build(&b, 3, 1, PAIRS);
    for (size_t at = 0; at + 8 <= b.len; at++)
        for (int value = 0; value <= 0xFF; value += 0xFF) {
            char kept[8];
            memcpy(kept, b.ptr + at, 8);
            memset(b.ptr + at, value, 8);
            enum err e = check(buf_str(&b), &facts);
            assert_true(e == ERR_OK || e == ERR_CORRUPT || e == ERR_UNSUPPORTED);
            memcpy(b.ptr + at, kept, 8);
        }
}

static void other_files_are_told_apart(void **state)
{
    (void)state;
    struct model_file_facts facts;
    char page[4096] = "<!doctype html><html><body>404 Not Found</body></html>";
    assert_int_equal(check(str_of(page, sizeof page), &facts), ERR_CORRUPT);
    assert_non_null(strstr(said, "not a GGUF file"));
    assert_int_equal(check(STR(""), &facts), ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_file_passes),
        cmocka_unit_test(a_cut_file_fails_at_every_length),
        cmocka_unit_test(counts_that_lie_are_told),
        cmocka_unit_test(damage_anywhere_is_survived),
        cmocka_unit_test(other_files_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
