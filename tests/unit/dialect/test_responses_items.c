/* Ids, conversations put together, and lists of items. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "base/buf.h"
#include "codec/json_scan.h"
#include "dialect/responses_items.h"

#define CALL_A "0123456789abcdef0123456789abcdef"
#define CALL_B "fedcba9876543210fedcba9876543210"

static struct json_value json(const char *text)
{
    struct json_value value;
    assert_int_equal(json_validate(str_from_c(text), 64, &value), ERR_OK);
    return value;
}

static void test_ids(void **state)
{
    char text[RESPONSES_ITEM_ID_BYTES + 1];
    struct str call;
    bool of_input;
    size_t place;
    (void)state;
    assert_true(responses_id_call(STR("resp_" CALL_A), &call));
    assert_memory_equal(call.ptr, CALL_A, 32);
    assert_false(responses_id_call(STR("resp_" CALL_A "0"), &call));
    assert_false(responses_id_call(STR("resp_0123456789ABCDEF0123456789abcdef"), &call));
    assert_false(responses_id_call(STR("chat_" CALL_A), &call));

    struct str id = responses_item_id("msg", STR(CALL_A), 300, text);
    assert_string_equal(id.ptr, "msg_" CALL_A "012c");
    assert_true(responses_item_id_read(id, &call, &of_input, &place));
    assert_true(!of_input && place == 300);
    assert_true(responses_item_id_read(STR("fco_" CALL_A "i0001"), &call, &of_input, &place));
    assert_true(of_input && place == 1);
    assert_false(responses_item_id_read(STR("msg_" CALL_A), &call, &of_input, &place));
    assert_false(responses_item_id_read(STR("msg_abc"), &call, &of_input, &place));
    assert_false(responses_item_id_read(STR("_" CALL_A "0001"), &call, &of_input, &place));
}

static void test_lean(void **state)
{
    struct arena a;
    struct responses_lean lean;
    (void)state;
    arena_init(&a);
    assert_int_equal(
        responses_lean_read(STR("{\"input\":\"hi\",\"previous_response_id\":null}"), 8, &a, &lean),
        ERR_OK);
    assert_true(lean.store && !lean.references && lean.previous.len == 0);
    assert_int_equal(responses_lean_read(STR("{\"previous_response_id\":\"re\\u0073p_1\",\"store\":"
                                             "false,\"input\":[{\"id\":\"msg_1\"}]}"),
                                         8, &a, &lean),
                     ERR_OK);
    assert_true(!lean.store && lean.references && str_eq(lean.previous, STR("resp_1")));
    assert_int_equal(responses_lean_read(STR("[1]"), 8, &a, &lean), ERR_INVALID);
    assert_int_equal(responses_lean_read(STR("{\"input\":"), 8, &a, &lean), ERR_TRUNCATED);
    arena_release(&a);
}

static enum err find(void *arg, struct str id, struct buf *out)
{
    (void)arg;
    if (!str_eq(id, STR("msg_1")))
        return ERR_NOT_FOUND;
    buf_append_str(out, STR("{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"assistant\"}"));
    return ERR_OK;
}

static const struct responses_finder finder = {.find = find};

static void test_expand(void **state)
{
    struct buf out BUF_AUTO;
    (void)state;
    buf_init(&out, 1 << 16);
    struct responses_turn turns[] = {
        {STR(CALL_A), json("\"What \\ud83d\\ude42?\""),
         json("[{\"type\":\"function_call\",\"call_id\":\"c\"}]")},
        {STR(CALL_B), json("[{\"type\":\"function_call_output\",\"call_id\":\"c\"}]"), json("[]")},
    };
    assert_int_equal(
        responses_expand(
            STR("{\"mod\\u0065l\":\"m\",\"input\":[{\"type\":\"item_reference\",\"id\":"
                "\"msg_1\"},{\"role\":\"user\",\"content\":\"go on\"}], \"x\" : 1.0}"),
            turns, 2, &finder, &out),
        ERR_OK);
    assert_string_equal(
        buf_cstr(&out),
        "{\"mod\\u0065l\":\"m\",\"x\":1.0,\"input\":[{\"type\":\"message\",\"role\":\"user\","
        "\"content\":[{\"type\":\"input_text\",\"text\":\"What \\ud83d\\ude42?\"}]},{\"type\":"
        "\"function_call\",\"call_id\":\"c\"},{\"type\":\"function_call_output\",\"call_id\":\"c\"}"
        ",{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"assistant\"},{\"role\":\"user\","
        "\"content\":\"go on\"}]}");
    buf_reset(&out);
    assert_int_equal(
        responses_expand(STR("{\"input\":[{\"id\":\"msg_2\"}]}"), NULL, 0, &finder, &out),
        ERR_NOT_FOUND);
}

static void check_list(const struct responses_page *page, const char *first, const char *last,
                       bool more, size_t count)
{
    struct responses_turn turns[] = {
        {STR(CALL_A), json("\"one\""), json("[{\"type\":\"message\",\"id\":\"msg_out\"}]")}};
    struct responses_turn own = {
        STR(CALL_B),
        json("[{\"role\":\"user\",\"content\":\"two\"},{\"type\":"
             "\"function_call_output\",\"output\":\"3\"},{\"id\":\"msg_1\"}]"),
        json("[]")};
    struct buf out BUF_AUTO;
    struct json_value value;
    buf_init(&out, 1 << 16);
    assert_int_equal(responses_list_items(turns, 1, &own, &finder, page, &out), ERR_OK);
    assert_int_equal(json_validate(buf_str(&out), 64, &value), ERR_OK);
    assert_true(json_find(buf_str(&out), "first_id", &value) && json_eq(&value, str_from_c(first)));
    assert_true(json_find(buf_str(&out), "last_id", &value) && json_eq(&value, str_from_c(last)));
    assert_true(json_find(buf_str(&out), "has_more", &value) &&
                value.kind == (more ? JSON_TRUE : JSON_FALSE));
    char path[20];
    snprintf(path, sizeof path, "data.%zu", count - 1);
    assert_true(json_find(buf_str(&out), path, &value));
    snprintf(path, sizeof path, "data.%zu", count);
    assert_false(json_find(buf_str(&out), path, &value));
}

static void test_list(void **state)
{
    (void)state;
    check_list(&(struct responses_page){.limit = 20, .ascending = true}, "msg_" CALL_A "i0000",
               "msg_1", false, 5);
    check_list(&(struct responses_page){.limit = 2}, "msg_1", "fco_" CALL_B "i0001", true, 2);
    check_list(&(struct responses_page){.limit = 9, .after = STR("fco_" CALL_B "i0001")},
               "msg_" CALL_B "i0000", "msg_" CALL_A "i0000", false, 3);
    struct buf out BUF_AUTO;
    buf_init(&out, 1 << 16);
    struct responses_turn own = {STR(CALL_B), json("\"x\""), json("[]")};
    struct responses_page page = {.limit = 1, .after = STR("msg_nowhere")};
    assert_int_equal(responses_list_items(NULL, 0, &own, &finder, &page, &out), ERR_NOT_FOUND);
}

static void test_one_item(void **state)
{
    struct buf out BUF_AUTO;
    (void)state;
    buf_init(&out, 1 << 16);
    struct responses_turn turn = {STR(CALL_A), json("[{\"content\":\"a\",\"role\":\"user\"}]"),
                                  json("[{\"id\":\"x\"},{\"id\":\"y\"}]")};
    assert_int_equal(responses_turn_item(&turn, false, 1, &out), ERR_OK);
    assert_string_equal(buf_cstr(&out), "{\"id\":\"y\"}");
    buf_reset(&out);
    assert_int_equal(responses_turn_item(&turn, true, 0, &out), ERR_OK);
    assert_string_equal(buf_cstr(&out),
                        "{\"id\":\"msg_" CALL_A "i0000\",\"type\":\"message\",\"status\":"
                        "\"completed\",\"content\":[{\"type\":\"input_text\",\"text\":\"a\"}],"
                        "\"role\":\"user\"}");
    assert_int_equal(responses_turn_item(&turn, true, 1, &out), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),  cmocka_unit_test(test_lean),     cmocka_unit_test(test_expand),
        cmocka_unit_test(test_list), cmocka_unit_test(test_one_item),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
