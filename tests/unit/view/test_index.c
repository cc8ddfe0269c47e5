/* The index of terms alone: what is found in memory is found in the blocks that are made of it. */
#include <stdio.h>

#include "base/mem.h"
#include "tests/unit/unit.h"
#include "view/index.h"

enum { CALLS = 3000, BLOCKS_MAX = 4096 };

struct blocks {
    struct str block[BLOCKS_MAX], first[BLOCKS_MAX];
    size_t count;
};

static enum err keep(void *arg, struct str first_term, struct str block)
{
    struct blocks *b = arg;
    assert_true(b->count < BLOCKS_MAX);
    b->first[b->count] = str_of(mem_strdup(first_term.ptr, first_term.len), first_term.len);
    b->block[b->count++] = str_of(mem_strdup(block.ptr, block.len), block.len);
    return ERR_OK;
}

static struct index_range range(const char *prefix, const char *from, bool exact)
{
    struct index_range r = {.prefix_length = (uint8_t)strlen(prefix),
                            .from_length = (uint8_t)strlen(from),
                            .exact = exact};
    memcpy(r.prefix, prefix, r.prefix_length);
    memcpy(r.from, from, r.from_length);
    return r;
}

static size_t size(const struct call_set *set)
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof set->bits / sizeof set->bits[0]; i++)
        n += (size_t)__builtin_popcountll(set->bits[i]);
    return n;
}

/* As many as wanted, the same in both. */
static void check(const struct index *x, const struct blocks *b, struct index_range r,
                  size_t wanted)
{
    static struct call_set memory;
    static struct call_set read;
    bool more = true;
    memset(&memory, 0, sizeof memory);
    memset(&read, 0, sizeof read);
    index_find(x, &r, &memory);
    for (size_t i = 0; i < b->count && more; i++)
        assert_int_equal(index_block_find(b->block[i], &r, &read, &more), ERR_OK);
    assert_int_equal(size(&memory), wanted);
    assert_memory_equal(&memory, &read, sizeof read);
}

static void fill(struct index *x)
{
    char term[80];
    for (int i = 0; i < CALLS; i++) {
        assert_false(index_is_full(x, 1000 + 2 * i));
        index_call(x, 1000 + 2 * i, 5000 - i, 100);
        index_add(x, STR("all"));
        index_add(x, STR("all"));
        for (int k = 2; k < 40; k++)
            if (i % k == 0) {
                (void)snprintf(term, sizeof term, "by%d", k);
                index_add(x, str_from_c(term));
            }
        (void)snprintf(term, sizeof term, "only%d", i);
        index_add(x, str_from_c(term));
        (void)snprintf(term, sizeof term, "a-long-word-that-does-not-fit-in-a-head-%d", i % 7);
        index_add(x, str_from_c(term));
    }
}

static void memory_and_blocks_agree(void **state)
{
    (void)state;
    static struct blocks b;
    struct index x;
    index_init(&x);
    for (int turn = 0; turn < 2; turn++) {
        b.count = 0;
        fill(&x);
        assert_int_equal(x.span, 2 * CALLS - 1);
        assert_true(x.min_time_us == 5001 - CALLS && x.max_time_us == 5000);
        assert_int_equal(index_write(&x, keep, &b), ERR_OK);
        assert_true(b.count > 5);
        for (size_t i = 1; i < b.count; i++)
            assert_true(str_cmp(b.first[i - 1], b.first[i]) < 0);
        check(&x, &b, range("all", "all", true), CALLS);
        check(&x, &b, range("by2", "by2", true), CALLS / 2);
        check(&x, &b, range("by3", "by37", false), 230);
        check(&x, &b, range("only", "only", false), CALLS);
        check(&x, &b, range("only2999", "only2999", true), 1);
        check(&x, &b, range("only299", "only299", false), 11);
        check(&x, &b,
              range("a-long-word-that-does-not-fit-in-a-head-3",
                    "a-long-word-that-does-not-fit-in-a-head-3", true),
              429);
        check(&x, &b, range("nothing", "nothing", false), 0);
        check(&x, &b, range("zzz", "zzz", true), 0);
        check(&x, &b, range("", "", false), CALLS);
        for (size_t i = 0; i < b.count; i++) {
            mem_free((char *)b.block[i].ptr);
            mem_free((char *)b.first[i].ptr);
        }
        index_reset(&x);
        assert_true(!index_is_full(&x, 1) && x.first < 0);
    }
    index_release(&x);
}

static void damage_is_seen(void **state)
{
    (void)state;
    static struct call_set set;
    struct index_range r = range("", "", false);
    const struct str damaged[] = {
        STR("\1"),                     /* cut */
        STR("\1\1a\2\1"),              /* shares with nothing */
        STR("\0\5a\2\1"),              /* longer than the block */
        STR("\0\101a"),                /* longer than a term */
        STR("\0\1a\12\1"),             /* its calls are cut */
        STR("\0\1a\4\1\377"),          /* a number is cut */
        STR("\0\1a\10\377\377\377\1"), /* no call of a segment */
    };
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        bool more;
        assert_int_equal(index_block_find(damaged[i], &r, &set, &more), ERR_CORRUPT);
    }
}

static void full_is_full(void **state)
{
    (void)state;
    struct index x;
    char term[16];
    index_init(&x);
    index_call(&x, 7, 0, 1);
    assert_false(index_is_full(&x, 7 + INDEX_SPAN - 1));
    assert_true(index_is_full(&x, 7 + INDEX_SPAN));
    for (int i = 0; i < INDEX_CALL_TERMS + 5; i++) { /* the last five are left out */
        (void)snprintf(term, sizeof term, "%d", i);
        index_add(&x, str_from_c(term));
    }
    assert_int_equal(x.term_count, x.posting_count);
    assert_int_equal(x.posting_count, INDEX_CALL_TERMS);
    index_call(&x, 8, 0, INDEX_RECORD_BYTES);
    assert_true(index_is_full(&x, 9));
    index_release(&x);
}

static void times_have_classes(void **state)
{
    (void)state;
    for (int64_t t = 1; t < INT64_C(1) << 40; t += 1 + t / 7) {
        uint32_t class = term_total_class(t);
        assert_true(term_total_from(class) <= t && term_total_from(class + 1) > t);
    }
    assert_int_equal(term_total_class(0), 0);
    assert_true(term_total_class(INT64_MAX) < 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_and_blocks_agree),
        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(full_is_full),
        cmocka_unit_test(times_have_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
