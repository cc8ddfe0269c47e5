/* What a case wants, in words separated by spaces:
 *
 *   status=200   exactly; 4xx, 5xx; `error`: 400 or more, with a body that the API's clients read
 *   text=8       so many of the mock's tokens, `part` some of them, `json` JSON with city and days,
 *                `sense` the tokens' beginning before "gamma"
 *   thinking=4   tokens        refused=1   the refusal's text is somewhere
 *   calls=a,b    called tools, in order; arguments fit, ids differ
 *   stop=…       end length calls sequence refusal filter
 *   usage=1      the counts are those of the mock; cached=1, reasoning=1: these too, and not zero
 *   broken=1     an error event ends the stream
 *   seen.K=V     the mock received it: a member of `seen` in /mock/last; V may be `>0`
 *   choices=N embeddings=N dimensions=N logprobs=N signatures=N retry=1 (Retry-After)
 *   unnamed=N unnumbered=N   events without a name, without a sequence number
 *
 * Without a word about status or broken the answer is to be 200 and rightly ended. */
#include "cli/conformance/conformance_int.h"
#include "cli/wire/wire_text.h"

#define REFUSAL "The mock was asked to refuse."

struct check {
    const struct conf_question *question;
    const struct conf_answer *answer;
    const struct conf_view *view;
    yyjson_val *seen;
    struct buf *why;
};

static void say(const struct check *c, const char *what, struct str is, struct str wanted)
{
    if (c->why->len > 0)
        buf_append_str(c->why, STR("; "));
    buf_printf(c->why, "%s is '%.*s', wanted '%.*s'", what, (int)(is.len < 60 ? is.len : 60),
               is.ptr ? is.ptr : "", STR_ARG(wanted));
}

static void check_number(const struct check *c, const char *what, int64_t is, struct str wanted)
{
    struct buf BUF_AUTO text;
    buf_init(&text, 64);
    buf_append_i64(&text, is);
    bool good = str_eq(wanted, STR(">0")) ? is > 0 : str_eq(buf_str(&text), wanted);
    if (!good)
        say(c, what, buf_str(&text), wanted);
}

/* ---- Words ---- */

static void check_status(const struct check *c, struct str wanted)
{
    int status = c->answer->status;
    int class = status / 100;
    bool good = str_eq(wanted, STR("4xx"))     ? class == 4
                : str_eq(wanted, STR("5xx"))   ? class == 5
                : str_eq(wanted, STR("error")) ? status >= 400
                                               : false;
    uint64_t exact;
    if (str_to_u64(wanted, &exact) == ERR_OK)
        good = (uint64_t)status == exact;
    if (!good)
        check_number(c, "the status", status, wanted);
    if (good && !c->view->is_error)
        say(c, "the body", STR("no error that this API's clients read"), STR("one"));
}

static void check_json(const struct check *c, const char *what, struct str text)
{
    yyjson_doc *doc = yyjson_read(text.ptr ? text.ptr : "", text.len, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!yyjson_is_str(yyjson_obj_get(root, "city")) ||
        !yyjson_is_int(yyjson_obj_get(root, "days")))
        say(c, what, text, STR("JSON with city and days"));
    yyjson_doc_free(doc);
}

static void check_text(const struct check *c, struct str wanted)
{
    struct str is = buf_str(&c->view->text);
    struct buf BUF_AUTO all;
    uint64_t tokens = CONF_TOKENS;
    buf_init(&all, 4096);
    if (str_eq(wanted, STR("json"))) {
        check_json(c, "the text", is);
        return;
    }
    bool number = str_to_u64(wanted, &tokens) == ERR_OK;
    wire_text_append(&all, tokens);
    struct str whole = buf_str(&all);
    if (str_eq(wanted, STR("sense")))
        whole = str_trim(str_take(whole, (size_t)str_find(whole, STR("gamma"))));
    bool good = str_eq(wanted, STR("part")) ? is.len > 0 && str_starts(whole, is)
                                            : str_eq(number ? is : str_trim(is), whole);
    if (!good)
        say(c, "the text", is, number ? whole : wanted);
}

static void check_thinking(const struct check *c, struct str wanted)
{
    uint64_t tokens = 0;
    struct buf BUF_AUTO whole;
    buf_init(&whole, 4096);
    (void)!str_to_u64(wanted, &tokens);
    for (uint64_t i = 0; i < tokens; i++)
        buf_printf(&whole, "%s思%llu", i > 0 ? " " : "", (unsigned long long)i);
    if (!str_eq(buf_str(&c->view->thinking), buf_str(&whole)))
        say(c, "the thinking", buf_str(&c->view->thinking), buf_str(&whole));
}

static void check_calls(const struct check *c, struct str wanted)
{
    const struct conf_view *view = c->view;
    struct buf BUF_AUTO names;
    buf_init(&names, 4096);
    for (size_t i = 0; i < view->call_count; i++) {
        const struct conf_call *call = &view->calls[i];
        if (i > 0)
            buf_append_char(&names, ',');
        buf_append_str(&names, buf_str(&call->name));
        if (str_eq(buf_str(&call->name), STR("look_up")))
            check_json(c, "a call's arguments", buf_str(&call->arguments));
        else if (!str_eq(buf_str(&call->arguments), STR("{}")))
            say(c, "a call's arguments", buf_str(&call->arguments), STR("{}"));
        if (call->id.len == 0 ||
            (i > 0 && str_eq(buf_str(&call->id), buf_str(&view->calls[i - 1].id))))
            say(c, "a call's id", buf_str(&call->id), STR("one of its own"));
    }
    if (!str_eq(buf_str(&names), wanted))
        say(c, "what is called", buf_str(&names), wanted);
}

/* Not every API has a word for each, and Anthropic alone tells a stop sequence from an end. */
static void check_stop(const struct check *c, struct str wanted)
{
    static const char *const same[][2] = {
        {"refusal", "filter"}, {"filter", "refusal"}, {"sequence", "end"}};
    bool tells = c->question->api == CONF_MESSAGES && c->question->target->kind == CONF_ANTHROPIC;
    struct str is = buf_str(&c->view->stop);
    bool good = str_eq(is, wanted);
    for (size_t i = 0; i < (tells ? 2 : 3); i++)
        if (str_eq(wanted, str_from_c(same[i][0])) && str_eq(is, str_from_c(same[i][1])))
            good = true;
    if (!good)
        say(c, "the reason to stop", is, wanted);
}

static void check_usage(const struct check *c, const char *what, int64_t is, const char *member)
{
    struct buf BUF_AUTO wanted;
    buf_init(&wanted, 64);
    yyjson_val *usage = yyjson_obj_get(c->seen, "usage");
    buf_append_i64(&wanted, yyjson_get_sint(yyjson_obj_get(usage, member)));
    check_number(c, what, is, buf_str(&wanted));
}

static void check_usages(const struct check *c)
{
    check_usage(c, "input tokens", c->view->input, "input");
    if (c->question->api != CONF_EMBEDDINGS)
        check_usage(c, "output tokens", c->view->output, "output");
}

static void check_seen(const struct check *c, struct str member, struct str wanted)
{
    struct buf BUF_AUTO name;
    struct buf BUF_AUTO text;
    buf_init(&name, 64);
    buf_init(&text, 1 << 20);
    buf_append_str(&name, member);
    yyjson_val *value = yyjson_obj_get(c->seen, buf_cstr(&name));
    size_t len;
    char *json = yyjson_val_write(value, 0, &len);
    buf_append_str(&text, STR("upstream's "));
    buf_append_str(&text, member);
    if (yyjson_is_int(value))
        check_number(c, buf_cstr(&text), yyjson_get_sint(value), wanted);
    else if (!json || !str_eq(str_of(json, len), wanted))
        say(c, buf_cstr(&text), str_of(json, json ? len : 0), wanted);
    free(json);
}

static void check_refused(const struct check *c)
{
    struct str wanted = STR(REFUSAL);
    if (str_find(buf_str(&c->view->refusal), wanted) < 0 &&
        str_find(buf_str(&c->view->text), wanted) < 0)
        say(c, "the refusal", buf_str(&c->view->refusal), wanted);
}

/* ---- All of them ---- */

static void check_word(const struct check *c, struct str key, struct str wanted)
{
    const struct conf_view *view = c->view;
    const struct {
        const char *key;
        size_t is;
    } numbers[] = {{"choices", view->choices},       {"embeddings", view->embeddings},
                   {"dimensions", view->dimensions}, {"logprobs", view->logprobs},
                   {"signatures", view->signatures}, {"unnamed", view->unnamed},
                   {"unnumbered", view->unnumbered}, {"retry", c->answer->has_retry_after}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (str_eq(key, str_from_c(numbers[i].key)))
            check_number(c, numbers[i].key, (int64_t)numbers[i].is, wanted);
    if (str_eq(key, STR("status")))
        check_status(c, wanted);
    else if (str_eq(key, STR("text")))
        check_text(c, wanted);
    else if (str_eq(key, STR("thinking")))
        check_thinking(c, wanted);
    else if (str_eq(key, STR("calls")))
        check_calls(c, wanted);
    else if (str_eq(key, STR("stop")))
        check_stop(c, wanted);
    else if (str_eq(key, STR("usage")))
        check_usages(c);
    else if (str_eq(key, STR("cached")))
        check_usage(c, "cached tokens", view->cached, "cached_input");
    else if (str_eq(key, STR("reasoning")))
        check_usage(c, "reasoning tokens", view->reasoning, "reasoning");
    else if (str_eq(key, STR("refused")))
        check_refused(c);
    else if (str_starts(key, STR("seen.")))
        check_seen(c, str_skip(key, 5), wanted);
}

static void check_end(const struct check *c, bool broken)
{
    const struct conf_view *view = c->view;
    if (c->answer->status != 200) {
        check_number(c, "the status", c->answer->status, STR("200"));
        if (view->error_message.len > 0)
            say(c, "its message", buf_str(&view->error_message), STR("none"));
        return;
    }
    if (c->question->stream != c->answer->is_stream)
        say(c, "the answer", c->answer->is_stream ? STR("a stream") : STR("no stream"),
            STR("the other"));
    if (view->wrong[0])
        say(c, "a mistake", str_from_c(view->wrong), STR("none"));
    if (broken && !view->broken)
        say(c, "the stream's end", view->ended ? STR("right") : STR("just a cut"),
            STR("an error event"));
    if (!broken && (view->broken || !view->ended))
        say(c, "the end", view->broken ? STR("an error event") : STR("a cut"), STR("right"));
}

void conf_check(const struct conf_question *question, const struct conf_answer *answer,
                const struct conf_view *view, yyjson_val *seen, struct buf *why)
{
    const struct check c = {question, answer, view, seen, why};
    struct str words = str_from_c(question->the_case->wants);
    bool error = str_starts(words, STR("status="));
    bool broken = str_find(words, STR("broken=1")) >= 0;
    if (!error)
        check_end(&c, broken);
    if (!error && (answer->status != 200 || view->is_error))
        return;
    while (words.ptr) {
        struct str value = str_split(&words, ' ');
        struct str key = str_split(&value, '=');
        check_word(&c, key, value);
    }
}
