#include "tests/unit/unit.h"

#include "base/mem.h"
#include "net/sse.h"

/* What a stream says, written down: "type|data|id|retry;" for each event with data. */
static void note(struct buf *out, const struct sse_event *e)
{
    if (!e->has_data)
        return;
    buf_printf(out, "%.*s|%.*s|", STR_ARG(e->type), STR_ARG(e->data));
    if (e->has_id)
        buf_append_str(out, e->id);
    buf_printf(out, "|%lld;", (long long)e->retry_ms);
}

/* Feed `text` in pieces of `step` bytes, from `offset` on; check that raw bytes add up. */
static void run(struct str text, size_t first, size_t step, struct buf *out, struct str *ret_rest)
{
    struct sse_parser p;
    struct sse_event e;
    BUF_AUTO struct buf raw = {.max = 1 << 20};
    sse_parser_init(&p, SSE_EVENT_BYTES_MAX);
    size_t at = 0;
    size_t n = first;
    while (at < text.len) {
        /* An own copy of each piece: slices must not reach into the one before. */
        struct str piece = str_take(str_skip(text, at), n);
        char *copy = mem_strdup(piece.ptr, piece.len);
        struct str in = str_of(copy, piece.len);
        while (sse_parser_next(&p, &in, &e) == SSE_EVENT) {
            note(out, &e);
            buf_append_str(&raw, e.raw);
        }
        assert_int_equal(in.len, 0);
        mem_free(copy);
        at += piece.len;
        n = step;
    }
    struct str rest = sse_parser_finish(&p);
    buf_append_str(&raw, rest);
    assert_int_equal(raw.len, text.len);
    assert_memory_equal(raw.ptr, text.ptr, text.len);
    if (ret_rest)
        *ret_rest = str_skip(text, text.len - rest.len);
    sse_parser_release(&p);
}

struct sample {
    const char *text;
    size_t len;
    const char *events;
    const char *rest;
};

#define SAMPLE(text, events, rest)                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1, events, rest                                                       \
    }

static const struct sample samples[] = {
    SAMPLE("data: a\n\n", "|a||-1;", ""),
    SAMPLE("data: a\r\n\r\n", "|a||-1;", ""),
    SAMPLE("data: a\r\r", "|a||-1;", ""),
    SAMPLE("data: a\r\r\n", "|a||-1;", ""),
    SAMPLE("data: a\r\n\rdata: b\n\r\n", "|a||-1;|b||-1;", ""),
    SAMPLE("data: a\r\rdata: b\r\r", "|a||-1;|b||-1;", ""),
    SAMPLE("data:a\ndata: b\ndata:  c\n\n", "|a\nb\n c||-1;", ""),
    SAMPLE("data\n\n", "|||-1;", ""),
    SAMPLE("data\ndata\n\n", "|\n||-1;", ""),
    SAMPLE("data:\n\n", "|||-1;", ""),
    SAMPLE("event: ping\n\n", "", ""),
    SAMPLE(": comment\n\n", "", ""),
    SAMPLE(":\n\ndata: x\n\n", "|x||-1;", ""),
    SAMPLE("event: a\nevent: b\nid: 7\nretry: 250\ndata: {}\n\n", "b|{}|7|250;", ""),
    SAMPLE("retry: 2x\nretry:\ndata: {}\n\n", "|{}||-1;", ""),
    SAMPLE("id: a\0b\ndata: 1\n\n", "|1||-1;", ""),
    SAMPLE("id\ndata: 1\n\n", "|1||-1;", ""),
    SAMPLE("DATA: 1\ndata : 2\nunknown: 3\n\n", "", ""),
    SAMPLE("\n\n\ndata: 1\n\n\n\n", "|1||-1;", ""),
    SAMPLE("\xef\xbb\xbf"
           "data: 1\n\ndata: 2\n\n",
           "|1||-1;|2||-1;", ""),
    SAMPLE("\xef\xbb\xbf\n\ndata: 1\n\n", "|1||-1;", ""),
    SAMPLE("\xef\xbb"
           "data: 1\n\ndata: 2\n\n",
           "|2||-1;", ""),
    SAMPLE("data: 1\n\n\xef\xbb\xbf"
           "data: 2\n\n",
           "|1||-1;", ""),
    SAMPLE("data: gr\xc3\xbc\xc3\x9f\xe2\x82\xac \xf0\x9f\x98\x80\n\n",
           "|gr\xc3\xbc\xc3\x9f\xe2\x82\xac \xf0\x9f\x98\x80||-1;", ""),
    SAMPLE("data: whole\n\ndata: cut", "|whole||-1;", "data: cut"),
    SAMPLE("data: whole\n\ndata: cut\n", "|whole||-1;", "data: cut\n"),
    SAMPLE("data: whole\r\n\r\ndata: cut\r", "|whole||-1;", "data: cut\r"),
    SAMPLE("data: [DONE]\n\n", "|[DONE]||-1;", ""),
    SAMPLE("", "", ""),
};

static void every_cut_gives_the_same_events(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct str text = str_of(samples[i].text, samples[i].len);
        for (size_t first = 1; first <= text.len + 1; first++)
            for (size_t step = 1; step <= text.len + 1; step++) {
                BUF_AUTO struct buf out = {.max = 1 << 16};
                struct str rest = STR_NONE;
                run(text, first, step, &out, &rest);
                assert_string_equal(buf_cstr(&out), samples[i].events);
                assert_true(str_eq(rest, str_from_c(samples[i].rest)));
            }
    }
}

static void whole_events_are_not_copied(void **state)
{
    (void)state;
    struct sse_parser p;
    struct sse_event e;
    sse_parser_init(&p, 64);
    struct str text = STR("data: one\n\ndata: two\n\n");
    struct str in = text;
    assert_int_equal(sse_parser_next(&p, &in, &e), SSE_EVENT);
    assert_ptr_equal(e.raw.ptr, text.ptr);
    assert_ptr_equal(e.data.ptr, text.ptr + 6);
    assert_int_equal(sse_parser_next(&p, &in, &e), SSE_EVENT);
    assert_ptr_equal(e.raw.ptr, text.ptr + 11);
    assert_int_equal(sse_parser_next(&p, &in, &e), SSE_MORE);
    assert_int_equal(p.kept.cap, 0);
    sse_parser_release(&p);
}

static void an_event_has_a_limit(void **state)
{
    (void)state;
    struct sse_event e;
    struct sse_parser p;
    /* Exactly at the limit passes, in any cut; one more does not. */
    for (size_t step = 1; step < 20; step++) {
        sse_parser_init(&p, 16);
        struct str text = STR("data: 12345678\n\n"); /* 16 bytes */
        enum sse_result r = SSE_MORE;
        for (size_t at = 0; at < text.len && r == SSE_MORE; at += step) {
            struct str in = str_take(str_skip(text, at), step);
            r = sse_parser_next(&p, &in, &e);
        }
        assert_int_equal(r, SSE_EVENT);
        sse_parser_release(&p);
        sse_parser_init(&p, 15);
        r = SSE_MORE;
        for (size_t at = 0; at < text.len && r == SSE_MORE; at += step) {
            struct str in = str_take(str_skip(text, at), step);
            r = sse_parser_next(&p, &in, &e);
        }
        assert_int_equal(r, SSE_TOO_LARGE);
        struct str more = STR("data: x\n\n");
        assert_int_equal(sse_parser_next(&p, &more, &e), SSE_TOO_LARGE);
        sse_parser_release(&p);
    }
}

static void a_line_without_end_stays_bounded(void **state)
{
    (void)state;
    static char piece[4096];
    memset(piece, 'x', sizeof piece);
    struct sse_parser p;
    struct sse_event e;
    sse_parser_init(&p, 1 << 20);
    size_t fed = 0;
    enum sse_result r = SSE_MORE;
    while (r == SSE_MORE) {
        struct str in = str_of(piece, sizeof piece);
        r = sse_parser_next(&p, &in, &e);
        fed += sizeof piece;
    }
    assert_int_equal(r, SSE_TOO_LARGE);
    assert_true(fed <= (1 << 20) + sizeof piece);
    assert_true(p.kept.cap <= 1 << 20);
    sse_parser_release(&p);
}

static void written_events_are_read_back(void **state)
{
    (void)state;
    BUF_AUTO struct buf text = {.max = 4096}, out = {.max = 4096};
    sse_write_event(&text, STR("delta"), STR("{\"a\":1}"));
    sse_write_comment(&text, STR("ping"));
    sse_write_event(&text, STR_NONE, STR("two\nlines\r\nand\ra"));
    sse_write_event(&text, STR_NONE, STR(""));
    run(buf_str(&text), 1, 1, &out, NULL);
    assert_string_equal(buf_cstr(&out), "delta|{\"a\":1}||-1;|two\nlines\nand\na||-1;|||-1;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_gives_the_same_events),
        cmocka_unit_test(whole_events_are_not_copied),
        cmocka_unit_test(an_event_has_a_limit),
        cmocka_unit_test(a_line_without_end_stays_bounded),
        cmocka_unit_test(written_events_are_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
