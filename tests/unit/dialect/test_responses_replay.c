/* Whole responses told as streams. */
#include "tests/unit/unit.h"

#include "dialect/replay.h"
#include "dialect/responses_replay.h"
#include "tests/unit/dialect/quote.h"

static enum err replay(const char *text, int64_t after, struct buf *ret_events)
{
    struct arena a;
    arena_init(&a);
    buf_init(ret_events, 1 << 20);
    enum err err = responses_replay(quote(&a, text), 64, after, ret_events);
    arena_release(&a);
    return err;
}

static size_t count(const struct buf *events, const char *what)
{
    size_t n = 0;
    struct str rest = buf_str(events);
    ptrdiff_t at;
    while ((at = str_find(rest, str_from_c(what))) >= 0) {
        rest = str_skip(rest, (size_t)at + 1);
        n++;
    }
    return n;
}

static void every_kind_of_item_is_told(void **state)
{
    struct buf events BUF_AUTO;
    (void)state;
    assert_int_equal(
        replay("{'object':'response','status':'completed','usage':{'input_tokens':1},'output':["
               "{'type':'reasoning','id':'r','summary':[{'type':'summary_text','text':'ab'}],"
               "'content':[{'type':'reasoning_text','text':'cd'}]},"
               "{'type':'message','id':'m','status':'completed','content':[{'type':'output_text',"
               "'text':'ef','annotations':[{'a':1},{'b':2}]},{'type':'refusal','refusal':'no'},"
               "{'type':'new','x':1}]},"
               "{'type':'function_call','id':'f','name':'g','arguments':'{}'},"
               "{'type':'custom_tool_call','id':'c','input':'raw'},"
               "{'type':'web_search_call','id':'w','status':'completed'}]}",
               -1, &events),
        ERR_OK);
    struct str text = buf_str(&events);
    assert_int_equal(count(&events, "data: "), 2 + (2 + 4 + 4) + (2 + 6 + 4 + 2) + 4 + 4 + 2 + 1);
    assert_int_equal(count(&events, "event: response.reasoning_text.delta"), 1);
    assert_int_equal(count(&events, "event: response.output_text.annotation.added"), 2);
    assert_int_equal(count(&events, "\"annotation_index\":1"), 1);
    assert_int_equal(count(&events, "event: response.custom_tool_call_input.done"), 1);
    assert_true(str_find(text, STR("\"input\":\"raw\"")) > 0);
    assert_true(str_find(text, STR("\"sequence_number\":36,")) > 0);
    assert_true(str_find(text, STR("\"usage\":null")) > 0);
    assert_true(str_find(text, STR("\"usage\":{\"input_tokens\":1}")) > 0);
}

static void what_is_not_over_is_not_told(void **state)
{
    static const char *const wrong[] = {
        "{'object':'response','status':'in_progress','output':[]}",
        "{'object':'chat.completion','status':'completed','output':[]}",
        "{'object':'response','status':'completed','output':{}}",
        "{'object':'response','status':'completed','output':[1]}",
        "[]",
        "{'object':'response','status':'completed','output':[",
        "{'object':'response','status':'completed','output':[],'a\nb':1}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct buf events BUF_AUTO;
        assert_int_not_equal(replay(wrong[i], -1, &events), ERR_OK);
        assert_int_equal(events.len, 0);
    }
}

static void a_stream_begins_where_it_is_wanted(void **state)
{
    static const char *const failed = "{'object':'response',\n'status':'failed','output':[]}";
    struct buf all BUF_AUTO;
    struct buf last BUF_AUTO;
    struct buf none BUF_AUTO;
    (void)state;
    assert_int_equal(replay(failed, -1, &all), ERR_OK);
    assert_int_equal(replay(failed, 1, &last), ERR_OK);
    assert_int_equal(replay(failed, 2, &none), ERR_OK);
    assert_int_equal(count(&all, "data: "), 3);
    assert_int_equal(count(&last, "data: "), 1);
    assert_true(str_starts(buf_str(&last), STR("event: response.failed\ndata: {")));
    assert_true(str_ends(buf_str(&all), buf_str(&last)));
    assert_int_equal(none.len, 0);
}

static void long_texts_come_in_pieces(void **state)
{
    struct buf body BUF_AUTO;
    struct buf events BUF_AUTO;
    (void)state;
    buf_init(&body, 1 << 20);
    buf_init(&events, 1 << 20);
    buf_append_str(&body, STR("{\"object\":\"response\",\"status\":\"completed\",\"output\":[{"
                              "\"type\":\"message\",\"content\":[{\"type\":\"output_text\","
                              "\"text\":\""));
    for (size_t i = 0; i < REPLAY_DELTA_BYTES; i++)
        buf_append_str(&body, STR("\xc3\xa9\\ud83d\\ude00"));
    buf_append_str(&body, STR("\"}]}]}"));
    assert_int_equal(responses_replay(buf_str(&body), 64, -1, &events), ERR_OK);
    assert_int_equal(count(&events, "event: response.output_text.delta"), 15);
    assert_int_equal(count(&events, "\"delta\":\"\\ude00"), 0); /* no pair is cut in two */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_item_is_told),
        cmocka_unit_test(what_is_not_over_is_not_told),
        cmocka_unit_test(a_stream_begins_where_it_is_wanted),
        cmocka_unit_test(long_texts_come_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
