/* Frames between the gateway and an engine process. */
#include "tests/unit/unit.h"

#include "model/local/frame.h"

/* Put bytes into a reader, `step` at a time, and hand each whole frame to check. */
static enum err feed(struct frame_reader *r, struct str bytes, size_t step,
                     void (*check)(const struct frame *, unsigned))
{
    unsigned count = 0;
    struct frame frame;
    enum err e = ERR_TRUNCATED;
    while (bytes.len && e == ERR_TRUNCATED) {
        size_t room;
        char *to = frame_reader_room(r, &room);
        size_t n = bytes.len < step ? bytes.len : step;
        n = n < room ? n : room;
        memcpy(to, bytes.ptr, n);
        frame_reader_filled(r, n);
        bytes = str_skip(bytes, n);
        while ((e = frame_reader_next(r, &frame)) == ERR_OK)
            if (check)
                check(&frame, count++);
    }
    return e;
}

static unsigned seen;

static void check_sequence(const struct frame *f, unsigned number)
{
    struct frame_head head;
    seen = number + 1;
    switch (number) {
    case 0:
        assert_int_equal(frame_read_head(f, &head), ERR_OK);
        assert_int_equal(head.status, 429);
        assert_int_equal(head.retry_after_ms, 1500);
        assert_true(str_eq(head.content_type, STR("application/json")));
        assert_true(f->id == 0x1122334455667788ULL);
        return;
    case 1:
        assert_int_equal(f->kind, FRAME_BODY);
        assert_int_equal(f->payload.len, FRAME_BODY_BYTES_MAX);
        assert_int_equal(f->payload.ptr[FRAME_BODY_BYTES_MAX - 1], 'z');
        return;
    default: assert_int_equal(f->kind, FRAME_END); assert_int_equal(f->payload.len, 0);
    }
}

static void frames_survive_any_cut(void **state)
{
    static char body[FRAME_BODY_BYTES_MAX];
    (void)state;
    memset(body, 'z', sizeof body);
    BUF_AUTO struct buf bytes;
    buf_init(&bytes, 1 << 20);
    struct frame_head head = {429, 1500, STR("application/json")};
    frame_append_head(&bytes, 0x1122334455667788ULL, &head);
    frame_append(&bytes, FRAME_BODY, 2, str_of(body, sizeof body));
    frame_append(&bytes, FRAME_END, 3, STR_NONE);
    for (size_t step = 1; step < 70000; step = step * 3 + 1) {
        struct frame_reader r;
        frame_reader_init(&r, FRAME_FROM_ENGINE);
        seen = 0;
        assert_int_equal(feed(&r, buf_str(&bytes), step, check_sequence), ERR_TRUNCATED);
        assert_int_equal(seen, 3);
        frame_reader_release(&r);
    }
}

static void check_start(const struct frame *f, unsigned number)
{
    struct frame_start start;
    struct str body;
    seen = number + 1;
    assert_int_equal(frame_read_start(f, &start, &body), ERR_OK);
    assert_int_equal(start.task, number ? FRAME_TASK_EMBEDDING : FRAME_TASK_CHAT);
    assert_true(start.caller == 0x8877665544332211ULL);
    assert_int_equal(start.adapter.len, number ? FRAME_NAME_BYTES_MAX : 0);
    assert_true(str_eq(body, STR("{}")));
}

static void a_start_says_who_asks_for_what(void **state)
{
    static char name[FRAME_NAME_BYTES_MAX];
    struct frame_start start = {.task = FRAME_TASK_CHAT, .caller = 0x8877665544332211ULL}, got;
    struct str body;
    (void)state;
    memset(name, 'n', sizeof name);
    BUF_AUTO struct buf bytes;
    buf_init(&bytes, 4096);
    for (int i = 0; i < 2; i++) {
        frame_append_start(&bytes, 7, &start, 2);
        buf_append_str(&bytes, STR("{}"));
        start = (struct frame_start){FRAME_TASK_EMBEDDING, start.caller, str_of(name, sizeof name)};
    }
    struct frame_reader r;
    frame_reader_init(&r, FRAME_TO_ENGINE);
    assert_int_equal(feed(&r, buf_str(&bytes), 5, check_start), ERR_TRUNCATED);
    assert_int_equal(seen, 2);
    frame_reader_release(&r);
    /* Too short, a name that goes beyond the frame, an unknown task. */
    char p[FRAME_START_BYTES] = {FRAME_TASK_CHAT};
    struct frame f = {FRAME_START, 1, str_of(p, sizeof p - 1)};
    assert_int_equal(frame_read_start(&f, &got, &body), ERR_PROTOCOL);
    f.payload = str_of(p, sizeof p);
    assert_int_equal(frame_read_start(&f, &got, &body), ERR_OK);
    p[1] = 1;
    assert_int_equal(frame_read_start(&f, &got, &body), ERR_PROTOCOL);
    p[0] = 99;
    p[1] = 0;
    assert_int_equal(frame_read_start(&f, &got, &body), ERR_PROTOCOL);
}

static void check_large(const struct frame *f, unsigned number)
{
    seen = number + 1;
    assert_int_equal(f->kind, FRAME_START);
    assert_int_equal(f->payload.len, 5 << 20);
}

static void a_large_request_is_one_frame_and_its_memory_goes(void **state)
{
    (void)state;
    BUF_AUTO struct buf bytes;
    buf_init(&bytes, 64 << 20);
    for (int i = 0; i < 2; i++) {
        frame_append_header(&bytes, FRAME_START, (uint64_t)i, 5 << 20);
        assert_true(buf_reserve(&bytes, 5 << 20));
        memset(bytes.ptr + bytes.len, 'x', 5 << 20);
        bytes.len += 5 << 20;
    }
    struct frame_reader r;
    frame_reader_init(&r, FRAME_TO_ENGINE);
    seen = 0;
    assert_int_equal(feed(&r, buf_str(&bytes), 100000, check_large), ERR_TRUNCATED);
    assert_int_equal(seen, 2);
    size_t room;
    frame_reader_room(&r, &room);
    assert_true(r.in.cap < 1 << 20);
    frame_reader_release(&r);
}

static void what_breaks_the_rules_is_a_protocol_error(void **state)
{
    (void)state;
    /* The other direction's kind, an unknown one, a length beyond the kind's, a byte that must be
     * 0. */
    static const char wrong[][FRAME_HEADER_BYTES] = {
        {0, 0, 0, 0, FRAME_START},
        {0, 0, 0, 0, 99},
        {1, 0, 0, 0, FRAME_END},
        {1, 64, 0, 0, FRAME_BODY},
        {(char)255, (char)255, (char)255, (char)255, FRAME_BODY},
        {0, 0, 0, 0, FRAME_END, 1},
        {0, 0, 0, 0, FRAME_END, 0, 0, 1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct frame_reader r;
        frame_reader_init(&r, FRAME_FROM_ENGINE);
        assert_int_equal(feed(&r, str_of(wrong[i], FRAME_HEADER_BYTES), 5, NULL), ERR_PROTOCOL);
        frame_reader_release(&r);
    }
    struct frame_head head;
    uint32_t bytes;
    struct frame f = {FRAME_HEAD, 1, str_of("\x13\x00\x00\x00\x00\x00\x00\x00", 8)};
    assert_int_equal(frame_read_head(&f, &head), ERR_PROTOCOL); /* status 19 */
    f.payload.len = 7;
    assert_int_equal(frame_read_head(&f, &head), ERR_PROTOCOL);
    f = (struct frame){FRAME_WINDOW, 1, str_of("\1\2\3", 3)};
    assert_int_equal(frame_read_window(&f, &bytes), ERR_PROTOCOL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_survive_any_cut),
        cmocka_unit_test(a_start_says_who_asks_for_what),
        cmocka_unit_test(a_large_request_is_one_frame_and_its_memory_goes),
        cmocka_unit_test(what_breaks_the_rules_is_a_protocol_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
