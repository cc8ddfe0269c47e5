/* Cases that are more than a question and an answer. */
#include "cli/conformance/conformance_int.h"
#include "cli/wire/wire_text.h"
#include "os/clock.h"

enum {
    TURNS = 5,
    TURNS_MAX = 8,
    NOTICED_MS = 1000, /* within which an upstream is left, after its client has */
    LOOK_EVERY_US = 10000,
};

static yyjson_val *get(yyjson_val *object, const char *name)
{
    return yyjson_obj_get(object, name);
}

static void ask_mock(const struct conf *conf, struct str method, struct str path)
{
    struct conf_answer answer;
    struct conf_ask ask = {.server = &conf->mock, .method = method, .path = path};
    (void)conf_http(&ask, &answer);
    buf_release(&answer.body);
}

/* ---- Leaving ---- */

/* Requests under way, and those that were left. */
static void read_stats(const struct conf *conf, int64_t *ret_active, int64_t *ret_cancelled)
{
    yyjson_doc *doc = conf_mock_get(conf, STR("/mock/stats"));
    yyjson_val *root = yyjson_doc_get_root(doc);
    *ret_active = yyjson_get_sint(get(root, "active"));
    *ret_cancelled = yyjson_get_sint(get(root, "cancelled"));
    yyjson_doc_free(doc);
}

void conf_cancel(const struct conf_question *question, struct buf *why)
{
    struct conf_case slow = *question->the_case;
    struct conf_question asked = *question;
    struct conf_answer answer;
    struct buf BUF_AUTO body;
    struct buf BUF_AUTO headers;
    int64_t active = 0;
    int64_t cancelled = 0;
    slow.words =
        question->stream ? "mock:fault=stall-mid-stream" : "mock:fault=slow-first-byte=9000";
    asked.the_case = &slow;
    buf_init(&body, CONF_BODY_BYTES_MAX);
    buf_init(&headers, 64 << 10);
    conf_body_append(&asked, &body);
    conf_headers_append(&asked, &headers);
    ask_mock(question->conf, STR("DELETE"), STR("/mock/stats"));
    struct conf_ask ask = {.server = &question->conf->gateway,
                           .method = STR("POST"),
                           .path = conf_path(question->api),
                           .headers = buf_str(&headers),
                           .body = buf_str(&body),
                           .leave_at = question->stream ? STR("alpha0") : STR_NONE,
                           .leave_ms = question->stream ? 3000 : 300};
    enum err e = conf_http(&ask, &answer);
    if (question->stream && e != ERR_CANCELLED)
        buf_printf(why, "no beginning of the answer within 3 s (%s, status %d)", err_text(e),
                   answer.status);
    buf_release(&answer.body);
    uint64_t until_us = os_now_us() + (uint64_t)NOTICED_MS * 1000;
    do {
        read_stats(question->conf, &active, &cancelled);
        if (active == 0)
            break;
        os_sleep_us(LOOK_EVERY_US);
    } while (os_now_us() < until_us);
    if (active > 0 && why->len == 0)
        buf_append_str(why, STR("the upstream is still at work 1 s after the client left"));
    else if (cancelled == 0 && why->len == 0)
        buf_append_str(why, STR("the upstream saw nobody leave"));
}

/* ---- Loops ---- */

static void append_value(yyjson_val *value, struct buf *out)
{
    size_t len;
    char *json = yyjson_val_write(value, 0, &len);
    if (json)
        buf_append(out, json, len);
    free(json);
}

/* What the assistant said, and results of its calls, as the next elements of the conversation. */
static void append_turn(enum conf_api api, const struct conf_view *view, struct buf *talk)
{
    size_t i;
    size_t count;
    yyjson_val *item;
    if (api == CONF_RESPONSES) {
        yyjson_arr_foreach(view->said, i, count, item)
        {
            buf_append_char(talk, ',');
            append_value(item, talk);
        }
    } else {
        buf_append_str(talk, api == CONF_MESSAGES ? STR(",{\"role\":\"assistant\",\"content\":")
                                                  : STR(","));
        append_value(view->said, talk);
        if (api == CONF_MESSAGES)
            buf_append_str(talk, STR("},{\"role\":\"user\",\"content\":["));
    }
    for (i = 0; i < view->call_count; i++) {
        static const char *const forms[CONF_APIS] = {
            [CONF_CHAT] = ",{\"role\":\"tool\",\"content\":\"sunny\",\"tool_call_id\":",
            [CONF_RESPONSES] =
                ",{\"type\":\"function_call_output\",\"output\":\"sunny\",\"call_id\":",
            [CONF_MESSAGES] = ",{\"type\":\"tool_result\",\"content\":\"sunny\",\"tool_use_id\":"};
        const char *form = forms[api];
        if (api == CONF_MESSAGES && i == 0)
            form++; /* the first of its array */
        buf_printf(talk, "%s\"%.*s\"}", form, STR_ARG(buf_str(&view->calls[i].id)));
    }
    if (api == CONF_MESSAGES)
        buf_append_str(talk, STR("]}"));
}

/* Has any of these been called before? ids: each with a line feed. */
static bool is_repeated(const struct conf_view *view, struct buf *ids)
{
    for (size_t i = 0; i < view->call_count; i++) {
        size_t at = ids->len;
        buf_append_str(ids, buf_str(&view->calls[i].id));
        buf_append_char(ids, '\n');
        struct str line = str_of(ids->ptr + at, ids->len - at);
        if (str_find(str_of(ids->ptr, at), line) >= 0)
            return true;
    }
    return false;
}

static void check_last(const struct conf_question *question, unsigned turn,
                       const struct conf_answer *answer, const struct conf_view *view,
                       struct buf *why)
{
    struct buf BUF_AUTO text;
    buf_init(&text, 4096);
    wire_text_append(&text, CONF_TOKENS);
    yyjson_doc *doc = conf_mock_get(question->conf, STR("/mock/last"));
    int64_t results = yyjson_get_sint(get(get(yyjson_doc_get_root(doc), "seen"), "results"));
    if (answer->status != 200)
        buf_printf(why, "turn %u: status %d: %.*s", turn, answer->status,
                   STR_ARG(buf_str(&view->error_message)));
    else if (turn != TURNS || !str_eq(buf_str(&view->text), buf_str(&text)))
        buf_printf(why, "after %u of %d turns it says '%.*s'", turn, TURNS,
                   STR_ARG(str_take(buf_str(&view->text), 60)));
    else if (results != TURNS)
        buf_printf(why, "%lld of %d results reached the upstream", (long long)results, TURNS);
    yyjson_doc_free(doc);
}

void conf_loop(const struct conf_question *question, struct buf *why)
{
    struct buf BUF_AUTO talk;
    struct buf BUF_AUTO ids;
    buf_init(&talk, CONF_BODY_BYTES_MAX);
    buf_init(&ids, 64 << 10);
    conf_talk_append(question->api, question->the_case, &talk);
    for (unsigned turn = 0; turn < TURNS_MAX && why->len == 0; turn++) {
        struct conf_answer answer;
        struct conf_view view;
        struct buf BUF_AUTO body;
        buf_init(&body, CONF_BODY_BYTES_MAX);
        conf_body_append_talk(question, buf_str(&talk), &body);
        enum err e = conf_question_ask(question, buf_str(&body), &answer, &view);
        bool calls = e == ERR_OK && answer.status == 200 && view.call_count > 0;
        if (e != ERR_OK)
            buf_printf(why, "turn %u: %s", turn, err_text(e));
        else if (!calls)
            check_last(question, turn, &answer, &view, why);
        else if (is_repeated(&view, &ids))
            buf_printf(why, "turn %u: a call's id comes again", turn);
        else
            append_turn(question->api, &view, &talk);
        conf_view_release(&view);
        buf_release(&answer.body);
        if (!calls)
            return;
    }
    if (why->len == 0)
        buf_printf(why, "it calls tools for ever");
}

/* ---- Bytes ---- */

/* The question as the case has it; why: what is wrong with the answer. */
static void ask_plainly(const struct conf_question *question, struct str body,
                        struct conf_answer *answer, struct buf *why)
{
    struct conf_view view;
    enum err e = conf_question_ask(question, body, answer, &view);
    if (e != ERR_OK || answer->status != 200)
        buf_printf(why, "status %d (%s) %.*s", answer->status, err_text(e),
                   STR_ARG(buf_str(&view.error_message)));
    conf_view_release(&view);
}

static enum err last_body(const struct conf *conf, struct conf_answer *ret_answer)
{
    struct conf_ask ask = {
        .server = &conf->mock, .method = STR("GET"), .path = STR("/mock/last/body")};
    return conf_http(&ask, ret_answer);
}

void conf_bytes(const struct conf_question *question, struct buf *why)
{
    struct conf_answer through;
    struct conf_answer sent;
    struct conf_answer direct;
    struct buf BUF_AUTO body;
    buf_init(&body, CONF_BODY_BYTES_MAX);
    conf_body_append(question, &body);
    ask_plainly(question, buf_str(&body), &through, why);
    yyjson_doc *last = conf_mock_get(question->conf, STR("/mock/last"));
    yyjson_val *target = get(yyjson_doc_get_root(last), "target");
    (void)!last_body(question->conf, &sent);
    struct conf_ask ask = {.server = &question->conf->mock,
                           .method = STR("POST"),
                           .path = str_of(yyjson_get_str(target), yyjson_get_len(target)),
                           .body = buf_str(&sent.body)};
    (void)!conf_http(&ask, &direct);
    if (why->len == 0 && !str_eq(buf_str(&through.body), buf_str(&direct.body)))
        buf_printf(why, "the answer's bytes differ from the upstream's (%zu, %zu bytes)",
                   through.body.len, direct.body.len);
    yyjson_doc_free(last);
    buf_release(&through.body);
    buf_release(&sent.body);
    buf_release(&direct.body);
}

void conf_unknown_field(const struct conf_question *question, struct buf *why)
{
    static const struct str field =
        STR_INIT("\"x_unknown\":{\"a\":[1.0e3,null],\"b\":\"\\u00e9\"}");
    struct conf_answer answer;
    struct conf_answer sent;
    struct buf BUF_AUTO plain;
    struct buf BUF_AUTO body;
    buf_init(&plain, CONF_BODY_BYTES_MAX);
    buf_init(&body, CONF_BODY_BYTES_MAX);
    conf_body_append(question, &plain);
    buf_append_char(&body, '{');
    buf_append_str(&body, field);
    buf_append_char(&body, ',');
    buf_append_str(&body, str_skip(buf_str(&plain), 1));
    ask_plainly(question, buf_str(&body), &answer, why);
    if (why->len == 0 && last_body(question->conf, &sent) == ERR_OK) {
        if (str_find(buf_str(&sent.body), STR("x_unknown")) < 0)
            buf_append_str(why, STR("the field did not reach the upstream"));
        else if (str_find(buf_str(&sent.body), field) < 0)
            buf_append_str(why, STR("the field reached the upstream in other bytes"));
        buf_release(&sent.body);
    }
    buf_release(&answer.body);
}

/* ---- Credentials ---- */

static void check_header(const struct conf_question *question, yyjson_val *pair,
                         size_t *credentials, struct buf *why)
{
    static const struct str secret[] = {STR_INIT("authorization"), STR_INIT("x-api-key"),
                                        STR_INIT("api-key"), STR_INIT("x-goog-api-key")};
    static const struct str private[] = {STR_INIT("proxy-authorization"), STR_INIT("cookie")};
    yyjson_val *first = yyjson_arr_get_first(pair);
    yyjson_val *second = yyjson_arr_get_last(pair);
    struct str name = str_of(yyjson_get_str(first), yyjson_get_len(first));
    struct str value = str_of(yyjson_get_str(second), yyjson_get_len(second));
    struct str key = question->conf->key;
    for (size_t i = 0; i < sizeof secret / sizeof secret[0]; i++)
        *credentials += str_eq_nocase(name, secret[i]);
    for (size_t i = 0; i < sizeof private / sizeof private[0]; i++)
        if (str_eq_nocase(name, private[i]) && why->len == 0)
            buf_printf(why, "the client's '%.*s' went upstream", STR_ARG(name));
    if (key.len > 0 && str_find(value, key) >= 0 && why->len == 0)
        buf_printf(why, "the client's key went upstream in '%.*s'", STR_ARG(name));
}

void conf_credentials(const struct conf_question *question, struct buf *why)
{
    size_t i;
    size_t count;
    size_t credentials = 0;
    yyjson_val *pair;
    struct conf with = *question->conf;
    struct conf_question asked = *question;
    struct conf_answer answer;
    struct buf BUF_AUTO body;
    if (with.header_count + 2 > CONF_HEADERS_MAX)
        with.header_count = CONF_HEADERS_MAX - 2;
    with.headers[with.header_count++] = STR("Proxy-Authorization: Basic eA==");
    with.headers[with.header_count++] = STR("Cookie: session=secret");
    asked.conf = &with;
    buf_init(&body, CONF_BODY_BYTES_MAX);
    conf_body_append(&asked, &body);
    ask_plainly(&asked, buf_str(&body), &answer, why);
    yyjson_doc *doc = conf_mock_get(question->conf, STR("/mock/last"));
    yyjson_arr_foreach(get(yyjson_doc_get_root(doc), "headers"), i, count, pair)
    {
        check_header(question, pair, &credentials, why);
    }
    if (credentials != 1 && why->len == 0)
        buf_printf(why, "%zu fields with a credential went upstream, not 1", credentials);
    yyjson_doc_free(doc);
    buf_release(&answer.body);
}
