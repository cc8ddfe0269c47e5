/* The Responses API's answers: one object, or the events that build it up.
 *
 *   response.created, response.in_progress
 *     response.output_item.added            reasoning, message or function_call
 *       …part.added, ….delta …, ….done, …part.done
 *     response.output_item.done
 *   response.completed | response.incomplete | response.failed
 *
 * 1. Both forms are made from the same list of items, so a stream's last event holds the object
 * that an answer in one piece would have been, ids included.
 * 2. An item's number is the order in which it began. Calls may grow side by side; a text or a
 *    thought ends where something else begins.
 * 3. The API's last event repeats the answer, so it is kept, up to max_bytes; past that the answer
 *    fails. */
#include "base/mem.h"
#include "codec/json_write.h"
#include "dialect/fields.h"
#include "dialect/responses.h"
#include "dialect/responses_int.h"
#include "dialect/responses_items.h"

/* What an answer repeats of its request. */
enum {
    ECHO_INSTRUCTIONS,
    ECHO_MAX_OUTPUT,
    ECHO_MAX_TOOLS,
    ECHO_PARALLEL,
    ECHO_PREVIOUS,
    ECHO_CACHE_KEY,
    ECHO_REASONING,
    ECHO_SAFETY,
    ECHO_TIER,
    ECHO_STORE,
    ECHO_TEMPERATURE,
    ECHO_TEXT,
    ECHO_CHOICE,
    ECHO_TOOLS,
    ECHO_LOGPROBS,
    ECHO_TOP_P,
    ECHO_TRUNCATION,
    ECHO_USER,
    ECHO_METADATA,
    ECHO_COUNT
};

static const struct str echo_names[ECHO_COUNT] = {
    STR_INIT("instructions"),
    STR_INIT("max_output_tokens"),
    STR_INIT("max_tool_calls"),
    STR_INIT("parallel_tool_calls"),
    STR_INIT("previous_response_id"),
    STR_INIT("prompt_cache_key"),
    STR_INIT("reasoning"),
    STR_INIT("safety_identifier"),
    STR_INIT("service_tier"),
    STR_INIT("store"),
    STR_INIT("temperature"),
    STR_INIT("text"),
    STR_INIT("tool_choice"),
    STR_INIT("tools"),
    STR_INIT("top_logprobs"),
    STR_INIT("top_p"),
    STR_INIT("truncation"),
    STR_INIT("user"),
    STR_INIT("metadata"),
};

/* What stands there where the request is silent. */
static const struct str echo_defaults[ECHO_COUNT] = {
    [ECHO_PARALLEL] = STR_INIT("true"),
    [ECHO_REASONING] = STR_INIT("{\"effort\":null,\"summary\":null}"),
    [ECHO_STORE] = STR_INIT("true"),
    [ECHO_TEXT] = STR_INIT("{\"format\":{\"type\":\"text\"}}"),
    [ECHO_CHOICE] = STR_INIT("\"auto\""),
    [ECHO_TOOLS] = STR_INIT("[]"),
    [ECHO_LOGPROBS] = STR_INIT("0"),
    [ECHO_TRUNCATION] = STR_INIT("\"disabled\""),
    [ECHO_METADATA] = STR_INIT("{}"),
};

enum item_kind { ITEM_REASONING, ITEM_MESSAGE, ITEM_CALL };

/* A message's part. */
struct content {
    struct content *next;
    bool refusal;
    bool done;
    size_t place;
    struct buf text;
    struct buf logprobs; /* elements, joined by commas */
};

struct item {
    struct item *next;
    enum item_kind kind;
    size_t place;
    bool done;
    bool cut;                 /* the answer ended inside it */
    uint32_t tool;            /* CALL */
    struct buf text;          /* REASONING: its summary; CALL: its arguments */
    struct str sealed;        /* REASONING: encrypted_content, or empty */
    struct str call_id, name; /* CALL */
    struct content *contents; /* MESSAGE */
    struct content *last;
    char id[RESPONSES_ITEM_ID_BYTES + 1];
};

struct answer_writer {
    struct answer_options options;
    struct json_value echo[ECHO_COUNT];
    struct arena arena;
    struct buf *out; /* NULL: nothing is told, the items are only gathered */
    uint64_t sequence;
    size_t held_bytes;
    struct item *items;
    struct item *last;
    size_t item_count;
    struct str model; /* escaped */
    int64_t created_s;
    struct usage usage;
    enum answer_finish finish;
    bool started;
    bool over;
};

static void writer_init(struct answer_writer *w, const struct answer_options *options)
{
    *w = (struct answer_writer){.options = *options, .created_s = options->created_s};
    struct str body = options->body.len ? options->body : STR("{}");
    arena_init(&w->arena);
    (void)fields_read(body, JSON_DEPTH_MAX, echo_names, ECHO_COUNT, w->echo, NULL);
}

static void writer_release(struct answer_writer *w)
{
    for (struct item *it = w->items; it; it = it->next) {
        buf_release(&it->text);
        for (struct content *c = it->contents; c; c = c->next) {
            buf_release(&c->text);
            buf_release(&c->logprobs);
        }
    }
    arena_release(&w->arena);
}

struct answer_writer *responses_writer_new(const struct answer_options *options)
{
    struct answer_writer *w = NEW(struct answer_writer);
    writer_init(w, options);
    return w;
}

void responses_writer_free(struct answer_writer *w)
{
    if (!w)
        return;
    writer_release(w);
    mem_free(w);
}

/* ---- The object ---- */

static void write_list(struct json_writer *j, struct str key, const struct buf *elements)
{
    json_key(j, key);
    json_array_begin(j);
    if (elements->len)
        json_raw(j, buf_str(elements));
    json_array_end(j);
}

static void write_content(struct json_writer *j, const struct content *c, bool empty)
{
    static const struct buf none = {.ptr = NULL};
    struct str text = empty ? STR("") : buf_str(&c->text);
    json_object_begin(j);
    json_member_str(j, STR("type"), c->refusal ? STR("refusal") : STR("output_text"));
    if (c->refusal) {
        json_member_str_raw(j, STR("refusal"), text);
    } else {
        json_member_str_raw(j, STR("text"), text);
        write_list(j, STR("annotations"), &none);
        write_list(j, STR("logprobs"), empty ? &none : &c->logprobs);
    }
    json_object_end(j);
}

static void write_summary(struct json_writer *j, const struct item *it, bool empty)
{
    json_key(j, STR("summary"));
    json_array_begin(j);
    if (it->text.len && !empty) {
        json_object_begin(j);
        json_member_str(j, STR("type"), STR("summary_text"));
        json_member_str_raw(j, STR("text"), buf_str(&it->text));
        json_object_end(j);
    }
    json_array_end(j);
    if (it->sealed.len && !empty)
        json_member_str_raw(j, STR("encrypted_content"), it->sealed);
}

/* empty: as it begins, before anything of it is told. */
static void write_item(struct json_writer *j, const struct item *it, bool empty)
{
    static const struct str types[] = {STR_INIT("reasoning"), STR_INIT("message"),
                                       STR_INIT("function_call")};
    json_object_begin(j);
    json_member_str(j, STR("id"), str_from_c(it->id));
    json_member_str(j, STR("type"), types[it->kind]);
    if (it->kind != ITEM_REASONING)
        json_member_str(j, STR("status"),
                        it->cut              ? STR("incomplete")
                        : it->done && !empty ? STR("completed")
                                             : STR("in_progress"));
    if (it->kind == ITEM_REASONING) {
        write_summary(j, it, empty);
    } else if (it->kind == ITEM_CALL) {
        json_member_str_raw(j, STR("arguments"), empty ? STR("") : buf_str(&it->text));
        json_member_str_raw(j, STR("call_id"), it->call_id);
        json_member_str_raw(j, STR("name"), it->name);
    } else {
        json_member_str(j, STR("role"), STR("assistant"));
        json_key(j, STR("content"));
        json_array_begin(j);
        for (const struct content *c = it->contents; c && !empty; c = c->next)
            write_content(j, c, false);
        json_array_end(j);
    }
    json_object_end(j);
}

static void write_usage(struct json_writer *j, const struct usage *u)
{
    json_key(j, STR("usage"));
    if (u->source == USAGE_NONE) {
        json_null(j);
        return;
    }
    json_object_begin(j);
    json_member_i64(j, STR("input_tokens"), u->input);
    json_key(j, STR("input_tokens_details"));
    json_object_begin(j);
    json_member_i64(j, STR("cached_tokens"), u->cached_input);
    json_member_i64(j, STR("cache_write_tokens"), u->cache_write);
    json_object_end(j);
    json_member_i64(j, STR("output_tokens"), u->output);
    json_key(j, STR("output_tokens_details"));
    json_object_begin(j);
    json_member_i64(j, STR("reasoning_tokens"), u->reasoning);
    json_object_end(j);
    json_member_i64(j, STR("total_tokens"), u->input + u->output);
    json_object_end(j);
}

static void write_error(struct json_writer *j, const struct openai_problem *problem)
{
    json_key(j, STR("error"));
    if (!problem) {
        json_null(j);
        return;
    }
    /* The API has a closed list of codes. */
    bool limit = str_eq(str_from_c(problem->type), STR("rate_limit_error"));
    json_object_begin(j);
    json_member_str(j, STR("code"), limit ? STR("rate_limit_exceeded") : STR("server_error"));
    json_member_str(j, STR("message"), str_from_c(problem->message));
    json_object_end(j);
}

static void write_incomplete(struct json_writer *j, const struct answer_writer *w,
                             struct str status)
{
    json_key(j, STR("incomplete_details"));
    if (!str_eq(status, STR("incomplete")) || w->finish == FINISH_NONE) {
        json_null(j);
        return;
    }
    json_object_begin(j);
    json_member_str(j, STR("reason"),
                    w->finish == FINISH_LENGTH ? STR("max_output_tokens") : STR("content_filter"));
    json_object_end(j);
}

static void write_echo(struct json_writer *j, const struct answer_writer *w)
{
    for (size_t i = 0; i < ECHO_COUNT; i++) {
        json_key(j, echo_names[i]);
        if (w->echo[i].kind != JSON_NONE)
            json_raw(j, w->echo[i].raw);
        else if (echo_defaults[i].len)
            json_raw(j, echo_defaults[i]);
        else
            json_null(j);
    }
}

/* With its output, unless it has only begun. */
static void write_object(struct json_writer *j, const struct answer_writer *w, struct str status,
                         const struct openai_problem *problem)
{
    struct str call = str_take(w->options.call, RESPONSES_CALL_HEX);
    char id[RESPONSES_ID_BYTES] = "resp_";
    memcpy(id + 5, call.ptr ? call.ptr : "", call.len);
    json_object_begin(j);
    json_member_str(j, STR("id"), str_of(id, 5 + call.len));
    json_member_str(j, STR("object"), STR("response"));
    json_member_i64(j, STR("created_at"), w->created_s);
    json_member_str(j, STR("status"), status);
    json_member_bool(j, STR("background"), false);
    write_error(j, problem);
    write_incomplete(j, w, status);
    json_key(j, STR("model"));
    if (w->model.len)
        json_str_raw(j, w->model);
    else
        json_str(j, w->options.model);
    json_key(j, STR("output"));
    json_array_begin(j);
    for (const struct item *it = w->items; it; it = it->next)
        write_item(j, it, false);
    json_array_end(j);
    write_echo(j, w);
    write_usage(j, &w->usage);
    json_object_end(j);
}

static struct str final_status(const struct answer_writer *w)
{
    switch (w->finish) {
    case FINISH_LENGTH:
    case FINISH_FILTER:
    case FINISH_NONE: return STR("incomplete");
    case FINISH_STOP:
    case FINISH_SEQUENCE:
    case FINISH_TOOLS:
    case FINISH_PAUSE: break;
    }
    return STR("completed");
}

/* ---- Events ---- */

static void event_begin(struct answer_writer *w, struct json_writer *j, struct str type)
{
    buf_append_str(w->out, STR("event: "));
    buf_append_str(w->out, type);
    buf_append_str(w->out, STR("\ndata: "));
    json_writer_init(j, w->out);
    json_object_begin(j);
    json_member_str(j, STR("type"), type);
    json_member_u64(j, STR("sequence_number"), w->sequence++);
}

static void event_end(struct answer_writer *w, struct json_writer *j)
{
    json_object_end(j);
    buf_append_str(w->out, STR("\n\n"));
}

static void tell_response(struct answer_writer *w, struct str type, struct str status,
                          const struct openai_problem *problem)
{
    struct json_writer j;
    if (!w->out)
        return;
    event_begin(w, &j, type);
    json_key(&j, STR("response"));
    write_object(&j, w, status, problem);
    event_end(w, &j);
}

static void tell_item(struct answer_writer *w, struct str type, const struct item *it, bool empty)
{
    struct json_writer j;
    if (!w->out)
        return;
    event_begin(w, &j, type);
    json_member_u64(&j, STR("output_index"), it->place);
    json_key(&j, STR("item"));
    write_item(&j, it, empty);
    event_end(w, &j);
}

/* Events about a place in an item have this in common. index_key: what its parts are counted by, or
 * none. */
static void place_begin(struct answer_writer *w, struct json_writer *j, struct str type,
                        const struct item *it, struct str index_key, size_t index)
{
    event_begin(w, j, type);
    json_member_str(j, STR("item_id"), str_from_c(it->id));
    json_member_u64(j, STR("output_index"), it->place);
    if (index_key.len)
        json_member_u64(j, index_key, index);
}

static void tell_part(struct answer_writer *w, struct str type, const struct item *it,
                      const struct content *c, bool empty)
{
    struct json_writer j;
    if (!w->out)
        return;
    place_begin(w, &j, type, it, STR("content_index"), c->place);
    json_key(&j, STR("part"));
    write_content(&j, c, empty);
    event_end(w, &j);
}

static void tell_content(struct answer_writer *w, struct str type, struct str member,
                         const struct item *it, const struct content *c, struct str text,
                         const struct buf *logprobs)
{
    struct json_writer j;
    if (!w->out)
        return;
    place_begin(w, &j, type, it, STR("content_index"), c->place);
    json_member_str_raw(&j, member, text);
    if (!c->refusal)
        write_list(&j, STR("logprobs"), logprobs);
    event_end(w, &j);
}

static void tell_summary(struct answer_writer *w, struct str type, struct str member,
                         const struct item *it, struct str text)
{
    struct json_writer j;
    if (!w->out)
        return;
    place_begin(w, &j, type, it, STR("summary_index"), 0);
    if (str_eq(member, STR("part"))) {
        json_key(&j, member);
        json_object_begin(&j);
        json_member_str(&j, STR("type"), STR("summary_text"));
        json_member_str_raw(&j, STR("text"), text);
        json_object_end(&j);
    } else {
        json_member_str_raw(&j, member, text);
    }
    event_end(w, &j);
}

static void tell_arguments(struct answer_writer *w, struct str type, struct str member,
                           const struct item *it, struct str text)
{
    struct json_writer j;
    if (!w->out)
        return;
    place_begin(w, &j, type, it, STR_NONE, 0);
    if (str_eq(member, STR("arguments")))
        json_member_str_raw(&j, STR("name"), it->name);
    json_member_str_raw(&j, member, text);
    event_end(w, &j);
}

/* ---- Items ---- */

static void fail(struct answer_writer *w, const struct openai_problem *problem)
{
    if (w->over)
        return;
    w->over = true;
    tell_response(w, STR("response.failed"), STR("failed"), problem);
}

static bool may_hold(struct answer_writer *w, size_t bytes)
{
    struct openai_problem problem;
    if (bytes <= w->options.max_bytes && w->held_bytes <= w->options.max_bytes - bytes) {
        w->held_bytes += bytes;
        return true;
    }
    openai_problem_set(&problem, "api_error", NULL, "answer_too_large",
                       "the answer is larger than %zu bytes, which its last event has to repeat",
                       w->options.max_bytes);
    fail(w, &problem);
    return false;
}

static struct item *item_add(struct answer_writer *w, enum item_kind kind)
{
    static const char *const prefixes[] = {"rs", "msg", "fc"};
    struct openai_problem problem;
    if (w->item_count > RESPONSES_ITEMS_MAX) {
        openai_problem_set(&problem, "api_error", NULL, "answer_too_large",
                           "the answer has more than %d items", RESPONSES_ITEMS_MAX);
        fail(w, &problem);
        return NULL;
    }
    struct item *it = ARENA_NEW(&w->arena, struct item);
    it->kind = kind;
    it->place = w->item_count++;
    (void)responses_item_id(prefixes[kind], w->options.call, it->place, it->id);
    buf_init(&it->text, w->options.max_bytes);
    *(w->last ? &w->last->next : &w->items) = it;
    w->last = it;
    return it;
}

static void content_close(struct answer_writer *w, struct item *it)
{
    struct content *c = it->last;
    if (!c || c->done)
        return;
    c->done = true;
    if (c->refusal)
        tell_content(w, STR("response.refusal.done"), STR("refusal"), it, c, buf_str(&c->text),
                     NULL);
    else
        tell_content(w, STR("response.output_text.done"), STR("text"), it, c, buf_str(&c->text),
                     &c->logprobs);
    tell_part(w, STR("response.content_part.done"), it, c, false);
}

static void item_close(struct answer_writer *w, struct item *it)
{
    if (it->done)
        return;
    if (it->kind == ITEM_CALL && it->text.len == 0)
        buf_append_str(&it->text, STR("{}")); /* clients read it as JSON */
    struct str text = buf_str(&it->text);
    if (it->kind == ITEM_MESSAGE) {
        content_close(w, it);
    } else if (it->kind == ITEM_CALL) {
        tell_arguments(w, STR("response.function_call_arguments.done"), STR("arguments"), it, text);
    } else if (text.len) {
        tell_summary(w, STR("response.reasoning_summary_text.done"), STR("text"), it, text);
        tell_summary(w, STR("response.reasoning_summary_part.done"), STR("part"), it, text);
    }
    it->done = true;
    tell_item(w, STR("response.output_item.done"), it, false);
}

/* The text or thought that grows, if it is of that kind; else what grows ends, and a new one
 * begins. */
static struct item *item_growing(struct answer_writer *w, enum item_kind kind)
{
    struct item *it = w->last;
    if (it && !it->done && it->kind == kind)
        return it;
    if (it && it->kind != ITEM_CALL)
        item_close(w, it);
    it = item_add(w, kind);
    if (it)
        tell_item(w, STR("response.output_item.added"), it, true);
    return it;
}

static void take_text(struct answer_writer *w, struct str text, bool refusal)
{
    static const struct buf none = {.ptr = NULL};
    if (text.len == 0 || !may_hold(w, text.len))
        return;
    struct item *it = item_growing(w, ITEM_MESSAGE);
    if (!it)
        return;
    struct content *c = it->last;
    if (!c || c->refusal != refusal) {
        content_close(w, it);
        struct content *next = ARENA_NEW(&w->arena, struct content);
        next->refusal = refusal;
        next->place = c ? c->place + 1 : 0;
        buf_init(&next->text, w->options.max_bytes);
        buf_init(&next->logprobs, w->options.max_bytes);
        *(c ? &c->next : &it->contents) = next;
        it->last = c = next;
        tell_part(w, STR("response.content_part.added"), it, c, true);
    }
    buf_append_str(&c->text, text);
    tell_content(w, refusal ? STR("response.refusal.delta") : STR("response.output_text.delta"),
                 STR("delta"), it, c, text, &none);
}

static void take_thinking(struct answer_writer *w, struct str text)
{
    if (text.len == 0 || !may_hold(w, text.len))
        return;
    struct item *it = item_growing(w, ITEM_REASONING);
    if (!it)
        return;
    if (it->text.len == 0)
        tell_summary(w, STR("response.reasoning_summary_part.added"), STR("part"), it, STR(""));
    buf_append_str(&it->text, text);
    tell_summary(w, STR("response.reasoning_summary_text.delta"), STR("delta"), it, text);
}

/* A signature, or thinking that only its provider can read: the reasoning before it is over. */
static void take_sealed(struct answer_writer *w, struct str mark, struct str text, bool own_item)
{
    if (text.len == 0 || !may_hold(w, mark.len + text.len))
        return;
    if (own_item && w->last && w->last->kind != ITEM_CALL)
        item_close(w, w->last);
    struct item *it = item_growing(w, ITEM_REASONING);
    if (!it)
        return;
    char *sealed = arena_alloc(&w->arena, mark.len + text.len);
    memcpy(sealed, mark.ptr, mark.len);
    memcpy(sealed + mark.len, text.ptr, text.len);
    it->sealed = str_of(sealed, mark.len + text.len);
    item_close(w, it);
}

/* Something that this language has no word for stands between a thought and what comes next. */
static void take_other(struct answer_writer *w)
{
    if (w->last && w->last->kind == ITEM_REASONING)
        item_close(w, w->last);
}

static void take_call(struct answer_writer *w, const struct answer_event *event)
{
    if (!may_hold(w, event->id.len + event->name.len))
        return;
    take_sealed(w, RESPONSES_CALL_MARK, event->text, true);
    if (w->last && w->last->kind != ITEM_CALL)
        item_close(w, w->last);
    struct item *it = w->over ? NULL : item_add(w, ITEM_CALL);
    if (!it)
        return;
    it->tool = event->tool;
    it->call_id = arena_str(&w->arena, event->id);
    it->name = arena_str(&w->arena, event->name);
    tell_item(w, STR("response.output_item.added"), it, true);
}

static struct item *find_call(struct answer_writer *w, uint32_t tool)
{
    for (struct item *it = w->items; it; it = it->next)
        if (it->kind == ITEM_CALL && it->tool == tool)
            return it;
    return NULL;
}

static void take_arguments(struct answer_writer *w, const struct answer_event *event)
{
    struct item *it = find_call(w, event->tool);
    if (!it || it->done || !may_hold(w, event->text.len))
        return;
    buf_append_str(&it->text, event->text);
    tell_arguments(w, STR("response.function_call_arguments.delta"), STR("delta"), it, event->text);
}

static void take_logprobs(struct answer_writer *w, struct str raw)
{
    struct json_value content;
    struct item *it = w->last;
    if (!it || it->kind != ITEM_MESSAGE || !it->last || it->last->refusal ||
        !json_find(raw, "content", &content) || content.kind != JSON_ARRAY)
        return;
    struct str elements = str_trim(str_of(content.raw.ptr + 1, content.raw.len - 2));
    if (elements.len == 0 || !may_hold(w, elements.len + 1))
        return;
    if (it->last->logprobs.len)
        buf_append_char(&it->last->logprobs, ',');
    buf_append_str(&it->last->logprobs, elements);
}

static void close_all(struct answer_writer *w)
{
    bool cut = str_eq(final_status(w), STR("incomplete"));
    if (w->last && !w->last->done && cut)
        w->last->cut = true;
    for (struct item *it = w->items; it; it = it->next)
        item_close(w, it);
}

static void take_end(struct answer_writer *w)
{
    close_all(w);
    w->over = true;
    struct str status = final_status(w);
    tell_response(w,
                  str_eq(status, STR("completed")) ? STR("response.completed")
                                                   : STR("response.incomplete"),
                  status, NULL);
}

static void take_start(struct answer_writer *w, const struct answer_event *event)
{
    if (w->started)
        return;
    w->started = true;
    w->model = arena_str(&w->arena, event->name);
    if (event->created_s)
        w->created_s = event->created_s;
    tell_response(w, STR("response.created"), STR("in_progress"), NULL);
    tell_response(w, STR("response.in_progress"), STR("in_progress"), NULL);
}

static void take_error(struct answer_writer *w, const struct openai_problem *problem)
{
    static const struct answer_event start = {.kind = ANSWER_START};
    take_start(w, &start);
    fail(w, problem);
}

static void take(struct answer_writer *w, const struct answer_event *event)
{
    switch (event->kind) {
    case ANSWER_START: take_start(w, event); break;
    case ANSWER_TEXT: take_text(w, event->text, false); break;
    case ANSWER_REFUSAL: take_text(w, event->text, true); break;
    case ANSWER_THINKING: take_thinking(w, event->text); break;
    case ANSWER_SIGNATURE: take_sealed(w, RESPONSES_SIGNATURE_MARK, event->text, false); break;
    case ANSWER_REDACTED: take_sealed(w, RESPONSES_REDACTED_MARK, event->text, true); break;
    case ANSWER_TOOL_BEGIN: take_call(w, event); break;
    case ANSWER_TOOL_ARGS: take_arguments(w, event); break;
    case ANSWER_TOOL_END: {
        struct item *it = find_call(w, event->tool);
        if (it)
            item_close(w, it);
        break;
    }
    case ANSWER_LOGPROBS: take_logprobs(w, event->raw); break;
    case ANSWER_FINISH: w->finish = event->finish; break;
    case ANSWER_USAGE: w->usage = event->usage; break;
    case ANSWER_ERROR: take_error(w, event->problem); break;
    case ANSWER_END: take_end(w); break;
    case ANSWER_OTHER: take_other(w); break;
    case ANSWER_PING: break;
    }
}

/* The API has one choice. */
void responses_writer_take(struct answer_writer *w, const struct answer_event *event,
                           struct buf *out)
{
    if (w->over || event->choice != 0)
        return;
    w->out = out;
    take(w, event);
    w->out = NULL;
}

/* ---- In one piece ---- */

static void replay_part(struct answer_writer *w, const struct answer_part *p)
{
    struct answer_event event = {.text = buf_str(&p->text), .tool = p->tool};
    switch (p->kind) {
    case ANSWER_PART_TEXT: event.kind = ANSWER_TEXT; break;
    case ANSWER_PART_REFUSAL: event.kind = ANSWER_REFUSAL; break;
    case ANSWER_PART_REDACTED: event.kind = ANSWER_REDACTED; break;
    case ANSWER_PART_THINKING:
        take_thinking(w, event.text);
        take_sealed(w, RESPONSES_SIGNATURE_MARK, p->signature, event.text.len == 0);
        return;
    case ANSWER_PART_TOOL:
        take_call(w, &(struct answer_event){
                         .tool = p->tool, .id = p->id, .name = p->name, .text = p->signature});
        take_arguments(w, &event);
        event.kind = ANSWER_TOOL_END;
        break;
    case ANSWER_PART_OTHER: take_other(w); return;
    }
    take(w, &event);
}

static struct content *last_text(const struct answer_writer *w)
{
    struct content *found = NULL;
    for (const struct item *it = w->items; it; it = it->next)
        for (struct content *c = it->contents; c; c = c->next)
            if (!c->refusal)
                found = c;
    return found;
}

void responses_write_answer(const struct answer *answer, const struct answer_options *options,
                            struct buf *out)
{
    struct answer_writer w;
    struct json_writer j;
    const struct answer_choice *choice = answer->choices;
    writer_init(&w, options);
    w.model = answer->model;
    w.usage = answer->usage;
    w.started = true;
    if (answer->created_s)
        w.created_s = answer->created_s;
    for (const struct answer_part *p = choice ? choice->parts : NULL; p; p = p->next)
        replay_part(&w, p);
    struct content *text = last_text(&w);
    if (text && choice)
        buf_append_str(&text->logprobs, buf_str(&choice->logprobs_content));
    w.finish = choice ? choice->finish : FINISH_NONE;
    close_all(&w);
    json_writer_init(&j, out);
    if (w.over)
        out->error = ERR_TOO_LARGE;
    else
        write_object(&j, &w, answer->failed ? STR("failed") : final_status(&w),
                     answer->failed ? &answer->problem : NULL);
    writer_release(&w);
}

/* ---- The table ---- */

static void write_problem(struct buf *out, int status, const struct openai_problem *problem)
{
    (void)status;
    openai_problem_write(out, problem);
}

/* For a stream whose writer is not at hand. */
static void write_error_event(struct buf *out, int status, uint64_t events,
                              const struct openai_problem *problem)
{
    struct json_writer j;
    (void)status;
    buf_append_str(out, STR("event: error\ndata: "));
    json_writer_init(&j, out);
    json_object_begin(&j);
    json_member_str(&j, STR("type"), STR("error"));
    json_member_str_or_null(&j, STR("code"), *problem->code ? str_from_c(problem->code) : STR_NONE);
    json_member_str(&j, STR("message"), str_from_c(problem->message));
    json_member_str_or_null(&j, STR("param"),
                            *problem->param ? str_from_c(problem->param) : STR_NONE);
    json_member_u64(&j, STR("sequence_number"), events);
    json_object_end(&j);
    buf_append_str(out, STR("\n\n"));
}

const struct dialect dialect_responses = {
    .name = STR_INIT("responses"),
    .watch = &responses_watch,
    .read_ask = responses_read_ask,
    .writer_new = responses_writer_new,
    .writer_free = responses_writer_free,
    .writer_take = responses_writer_take,
    .write_answer = responses_write_answer,
    .read_error = openai_error_read,
    .write_error = write_problem,
    .write_error_event = write_error_event,
};
