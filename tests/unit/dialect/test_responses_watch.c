/* The Responses API watched while its bytes pass. */
#include "tests/unit/unit.h"

#include "base/buf.h"
#include "dialect/responses.h"
#include "tests/unit/dialect/quote.h"

static const struct dialect_watch *watch(void)
{
    return dialect_responses.watch;
}

static void test_request(void **state)
{
    struct arena a;
    struct chat_request q;
    struct chat_body body;
    struct openai_problem p;
    (void)state;
    arena_init(&a);
    struct str text = quote(
        &a,
        "{'input':[{'role':'user','content':[{'type':'input_text','text':'12345678'},{'type':"
        "'input_image','image_url':'data:image/png;base64,AAAAAAAAAAAAAAAAAAAAAAAA'}]}],'model':"
        "'fast','stream':true,'max_output_tokens':7,'metadata':{'a':'b'},'user':'u'}");
    assert_int_equal(watch()->read_request(text, 64, &a, &q, &p), ERR_OK);
    assert_true(q.stream && q.usage_asked && q.n == 1 && q.max_tokens == 7);
    assert_int_equal(q.prompt_tokens, 8 / 4 + 2 * 4 + 1024);
    assert_true(str_eq(q.user, STR("u")) && q.metadata.kind == JSON_OBJECT);
    watch()->rewrite(&q, STR("gpt"), &a, &body);
    assert_false(body.adds_usage);
    assert_int_equal(body.count, 3);
    assert_true(str_eq(body.parts[1], STR("\"gpt\"")));
    assert_int_equal(body.bytes, text.len - 1);
    assert_int_equal(watch()->read_request(STR("{\"input\":1}"), 64, &a, &q, &p), ERR_INVALID);
    assert_string_equal(p.param, "model");
    arena_release(&a);
}

static void test_answer(void **state)
{
    struct arena a;
    struct chat_answer answer;
    (void)state;
    arena_init(&a);
    struct str text = quote(
        &a,
        "{'id':'resp_1','status':'completed','error':null,'model':'gpt','output':[{'type':"
        "'message','content':[{'type':'output_text','text':'1234'}]}],'usage':{'input_tokens':5,"
        "'input_tokens_details':{'cached_tokens':2},'output_tokens':3}}");
    assert_int_equal(watch()->read_answer(text, 64, &answer), ERR_OK);
    assert_true(answer.finished && answer.has_choices && !answer.has_error);
    assert_true(answer.usage.input == 5 && answer.usage.cached_input == 2);
    assert_int_equal(answer.output_bytes, 4);
    text = quote(&a, "{'status':'failed','error':{'code':'server_error','message':'x'}}");
    assert_int_equal(watch()->read_answer(text, 64, &answer), ERR_OK);
    assert_true(answer.has_error && !answer.finished);
    assert_int_equal(watch()->read_answer(STR("[]"), 64, &answer), ERR_INVALID);
    arena_release(&a);
}

struct fed {
    const char *data;
    enum chat_event_action action;
    bool content;
    bool error;
};

#define CREATED "{'type':'response.created','response':{'id':'resp_1','model':'gpt','output':[]}}"
#define ADDED   "{'type':'response.output_item.added','output_index':0,'item':{'type':'message'}}"
#define DELTA   "{'type':'response.output_text.delta','delta':'He\\u006co'}"
#define DONE                                                                                       \
    "{'type':'response.completed','response':{'id':'resp_1','status':'completed','usage':{"        \
    "'input_tokens':5,'output_tokens':3},'output':[]}}"

static void feed(struct chat_stream *s, struct arena *a, const struct fed *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct chat_event e = watch()->stream_feed(s, STR_NONE, quote(a, events[i].data));
        if (e.action != events[i].action || e.content != events[i].content ||
            e.error != events[i].error)
            fail_msg("%s: %d %d %d", events[i].data, e.action, e.content, e.error);
    }
}

static void check_answer(const struct chat_stream *s, struct arena *a, const char *wanted)
{
    struct buf out BUF_AUTO;
    buf_init(&out, 1 << 16);
    watch()->stream_answer(s, &out);
    assert_string_equal(buf_cstr(&out), quote(a, wanted).ptr);
}

static void test_stream(void **state)
{
    static const struct fed whole[] = {
        {CREATED, CHAT_EVENT_FORWARD, false, false},
        {ADDED, CHAT_EVENT_FORWARD, false, false},
        {DELTA, CHAT_EVENT_FORWARD, true, false},
        {DONE, CHAT_EVENT_DONE, true, false},
    };
    struct arena a;
    struct chat_stream s;
    (void)state;
    arena_init(&a);
    watch()->stream_init(&s, false, 1 << 16, 64);
    feed(&s, &a, whole, 3);
    assert_false(watch()->stream_complete(&s));
    check_answer(
        &s, &a,
        "{'id':'resp_1','object':'response','status':'incomplete','model':'gpt','output':[{"
        "'type':'message','role':'assistant','status':'incomplete','content':[{'type':"
        "'output_text','text':'He\\u006co'}]}]}");
    watch()->stream_reset(&s);
    feed(&s, &a, whole, 4);
    assert_true(watch()->stream_complete(&s) && s.usage.input == 5 && s.output_bytes == 4);
    assert_true(str_starts(s.usage_raw, STR("{\"input_tokens\":5")));
    check_answer(&s, &a,
                 "{'id':'resp_1','status':'completed','usage':{'input_tokens':5,'output_tokens':3},"
                 "'output':[]}");
    watch()->stream_release(&s);
    arena_release(&a);
}

static void test_failures(void **state)
{
    static const struct fed failed[] = {
        {CREATED, CHAT_EVENT_FORWARD, false, false},
        {"{'type':'response.failed','response':{'error':{'code':'server_error','message':'Broke'}}"
         "}",
         CHAT_EVENT_DONE, false, true},
    };
    static const struct fed error[] = {
        {DELTA, CHAT_EVENT_FORWARD, true, false},
        {"{'type':'error','code':'x','message':'Broke'}", CHAT_EVENT_FORWARD, false, true},
        {"nonsense", CHAT_EVENT_FORWARD, true, false},
    };
    struct arena a;
    struct chat_stream s;
    (void)state;
    arena_init(&a);
    watch()->stream_init(&s, false, 1 << 16, 64);
    feed(&s, &a, failed, 2);
    assert_true(s.failed && !s.content && !watch()->stream_complete(&s));
    assert_string_equal(s.error.message, "Broke");
    watch()->stream_reset(&s);
    feed(&s, &a, error, 3);
    assert_true(s.failed && s.malformed == 1);
    assert_string_equal(s.error.message, "Broke");
    watch()->stream_release(&s);

    watch()->stream_init(&s, false, 30, 64);
    feed(&s, &a, error, 1);
    feed(&s, &a, &failed[0], 1);
    assert_true(s.truncated);
    watch()->stream_release(&s);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
