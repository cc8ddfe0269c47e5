/* Answers in OpenAI's form, read back by the dialect that the gateway reads every provider with. */
#include "tests/unit/unit.h"

#include "codec/json_scan.h"
#include "model/local/answer.h"

static void write_answer(struct answer *a, bool stream, bool usage, struct buf *out)
{
    static const struct answer_usage used = {7, 3};
    answer_init(a, STR("chatcmpl-1"), STR("mo\"del"), 1700000000, stream, usage);
    answer_begin(a, out);
    answer_text(a, STR("a\"\n"), out);
    answer_text(a, STR(""), out);
    answer_text(a, STR("\xE2\x82\xAC\xFF"), out);
    answer_end(a, STR("stop"), &used, out);
    answer_release(a);
}

static struct str text_at(struct str json, const char *path, struct arena *arena)
{
    struct json_value v;
    return json_find(json, path, &v) ? json_text(&v, arena) : STR_NONE;
}

static int64_t number_at(struct str json, const char *path)
{
    struct json_value v;
    int64_t n = -1;
    if (!json_find(json, path, &v) || json_to_i64(&v, &n) != ERR_OK)
        return -1;
    return n;
}

static void an_answer_in_one_piece(void **state)
{
    struct answer a;
    struct json_value whole;
    struct arena arena;
    (void)state;
    BUF_AUTO struct buf out;
    buf_init(&out, 10000);
    arena_init(&arena);
    write_answer(&a, false, false, &out);
    struct str json = buf_str(&out);
    assert_int_equal(json_validate(json, 10, &whole), ERR_OK);
    assert_true(str_eq(text_at(json, "object", &arena), STR("chat.completion")));
    assert_true(str_eq(text_at(json, "model", &arena), STR("mo\"del")));
    assert_true(str_eq(text_at(json, "choices.0.message.content", &arena),
                       STR("a\"\n\xE2\x82\xAC\xEF\xBF\xBD")));
    assert_true(str_eq(text_at(json, "choices.0.finish_reason", &arena), STR("stop")));
    assert_int_equal(number_at(json, "usage.prompt_tokens"), 7);
    assert_int_equal(number_at(json, "usage.completion_tokens"), 3);
    assert_int_equal(number_at(json, "usage.total_tokens"), 10);
    assert_int_equal(number_at(json, "created"), 1700000000);
    arena_release(&arena);
}

/* Every event is "data: " and one line of JSON; returns how many there are without [DONE]. */
static unsigned check_events(struct str bytes, struct buf *content, int64_t *total)
{
    unsigned count = 0;
    struct arena arena;
    arena_init(&arena);
    while (bytes.len) {
        ptrdiff_t end = str_find(bytes, STR("\n\n"));
        assert_true(end > 0);
        struct str event = str_take(bytes, (size_t)end);
        bytes = str_skip(bytes, (size_t)end + 2);
        assert_true(str_starts(event, STR("data: ")));
        event = str_skip(event, 6);
        if (str_eq(event, STR("[DONE]"))) {
            assert_int_equal(bytes.len, 0);
            break;
        }
        struct json_value whole;
        assert_int_equal(json_validate(event, 10, &whole), ERR_OK);
        buf_append_str(content, text_at(event, "choices.0.delta.content", &arena));
        *total = number_at(event, "usage.total_tokens");
        count++;
    }
    arena_release(&arena);
    return count;
}

static void a_stream_of_events(void **state)
{
    struct answer a;
    (void)state;
    for (int usage = 0; usage < 2; usage++) {
        int64_t total = 0;
        BUF_AUTO struct buf out;
        BUF_AUTO struct buf content;
        buf_init(&out, 10000);
        buf_init(&content, 1000);
        write_answer(&a, true, usage, &out);
        /* role, two texts, finish; and usage */
        assert_int_equal(check_events(buf_str(&out), &content, &total), 4 + usage);
        assert_string_equal(buf_cstr(&content), "a\"\n\xE2\x82\xAC\xEF\xBF\xBD");
        assert_int_equal(total, usage ? 10 : -1);
        assert_int_equal(str_find(buf_str(&out), STR("\"usage\"")) >= 0, usage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_in_one_piece),
        cmocka_unit_test(a_stream_of_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
