/* Gemini's answers, streamed or not: chunks of one form, each a whole JSON object.
 *
 * 1. A chunk is validated before anything of it is emitted.
 * 2. A finish is kept until the body's end: older models send "STOP" with every chunk. A body that
 *    ends without one was cut, and has no END.
 * 3. Function calls come whole, in one part each. */
#include "base/mem.h"
#include "codec/json_write.h"
#include "dialect/gemini.h"

enum { SCRATCH_BYTES_MAX = 32 << 20 };

struct candidate {
    bool seen;
    bool called;
    uint32_t tools;
    enum answer_finish finish;
};

struct answer_reader {
    unsigned max_depth;
    bool single_tool;
    bool started;
    bool failed;
    bool ended;
    bool blocked; /* the prompt was: there is no candidate */
    uint32_t tool_count;
    struct candidate candidates[GEMINI_CANDIDATES_MAX];
    struct buf response_id; /* escaped */
    struct buf text;        /* of the event at hand */
    struct buf name;
};

static void reader_init(struct answer_reader *r, const struct answer_options *options)
{
    *r = (struct answer_reader){.max_depth = options->max_depth,
                                .single_tool = options->plan.single_tool};
    buf_init(&r->response_id, 256);
    buf_init(&r->text, SCRATCH_BYTES_MAX);
    buf_init(&r->name, 4096);
}

static void reader_release(struct answer_reader *r)
{
    buf_release(&r->response_id);
    buf_release(&r->text);
    buf_release(&r->name);
}

static struct answer_reader *reader_new(const struct answer_options *options)
{
    struct answer_reader *r = NEW(struct answer_reader);
    reader_init(r, options);
    return r;
}

static void reader_free(struct answer_reader *r)
{
    if (!r)
        return;
    reader_release(r);
    mem_free(r);
}

/* ---- Events ---- */

static void emit_text(struct answer_sink sink, enum answer_event_kind kind, uint32_t choice,
                      struct str text)
{
    struct answer_event event = {.kind = kind, .choice = choice, .text = text};
    if (text.len)
        answer_emit(sink, &event);
}

static void emit_error(struct answer_reader *r, struct answer_sink sink,
                       const struct openai_problem *problem)
{
    struct answer_event event = {.kind = ANSWER_ERROR, .problem = problem};
    if (!r->failed)
        answer_emit(sink, &event);
    r->failed = true;
}

static void fail(struct answer_reader *r, struct answer_sink sink, const char *code,
                 const char *what)
{
    struct openai_problem problem;
    openai_problem_set(&problem, "api_error", NULL, code, "%s", what);
    emit_error(r, sink, &problem);
}

/* A name in the one way of escaping, in *out; STR_NONE for no string. */
static struct str name_in(struct buf *out, const struct json_value *value)
{
    struct buf plain BUF_AUTO;
    buf_init(&plain, out->max);
    buf_reset(out);
    if (value->kind != JSON_STRING)
        return STR_NONE;
    if (value->escape_bytes == 0) {
        buf_append_str(out, json_text_raw(value));
        return buf_str(out);
    }
    json_text_append(value, &plain);
    json_escape_append(out, buf_str(&plain));
    return buf_str(out);
}

/* ---- Parts ---- */

struct part {
    struct json_value text;
    struct json_value signature;
    struct json_value call;
    struct json_value other; /* anything else that says something */
    struct json_value other_key;
    bool thought;
};

static struct part read_part(struct json_reader *in)
{
    struct part p = {.thought = false};
    struct json_value key;
    if (!json_enter(in, JSON_OBJECT))
        return p;
    while (json_next_member(in, &key)) {
        struct json_value value = json_take(in);
        if (json_eq(&key, STR("text"))) {
            p.text = value;
        } else if (json_eq(&key, STR("thought"))) {
            p.thought = value.kind == JSON_TRUE;
        } else if (json_eq(&key, STR("thoughtSignature"))) {
            p.signature = value;
        } else if (json_eq(&key, STR("functionCall"))) {
            p.call = value;
        } else {
            p.other = value;
            p.other_key = key;
        }
    }
    return p;
}

struct call {
    struct json_value id;
    struct json_value name;
    struct json_value args;
};

static struct call read_call(const struct json_value *value)
{
    struct call call = {.id = {.kind = JSON_NONE}};
    struct json_reader in;
    struct json_value key;
    json_reader_init(&in, value->raw, JSON_DEPTH_MAX);
    if (!json_enter(&in, JSON_OBJECT))
        return call;
    while (json_next_member(&in, &key)) {
        struct json_value member = json_take(&in);
        if (json_eq(&key, STR("id")))
            call.id = member;
        else if (json_eq(&key, STR("name")))
            call.name = member;
        else if (json_eq(&key, STR("args")))
            call.args = member;
    }
    return call;
}

/* Models before Gemini 3 give their calls no ids. The answer's own makes one that is unique in the
 * conversation. */
static struct str call_id(struct answer_reader *r, const struct json_value *id)
{
    struct str given = name_in(&r->name, id);
    if (given.len)
        return given;
    buf_reset(&r->name);
    buf_printf(&r->name, "call_%.*s_%u", STR_ARG(buf_str(&r->response_id)), r->tool_count);
    return buf_str(&r->name);
}

static void emit_call(struct answer_reader *r, struct answer_sink sink, uint32_t choice,
                      const struct part *p)
{
    struct candidate *c = &r->candidates[choice];
    struct call call = read_call(&p->call);
    c->called = true;
    if (r->single_tool && c->tools > 0)
        return;
    if (r->tool_count >= ANSWER_TOOLS_MAX) {
        fail(r, sink, "too_many_tool_calls", "the answer has more tool calls than are read");
        return;
    }
    struct answer_event event = {.choice = choice, .tool = c->tools++};
    struct buf name BUF_AUTO;
    buf_init(&name, 4096);
    event.kind = ANSWER_TOOL_BEGIN;
    event.name = name_in(&name, &call.name);
    event.id = call_id(r, &call.id);
    event.text = json_text_raw(&p->signature);
    r->tool_count++;
    answer_emit(sink, &event);

    buf_reset(&r->text);
    json_escape_append(&r->text, call.args.kind == JSON_OBJECT ? call.args.raw : STR("{}"));
    event = (struct answer_event){.kind = ANSWER_TOOL_ARGS, .choice = choice, .tool = event.tool};
    event.text = buf_str(&r->text);
    if (event.text.len)
        answer_emit(sink, &event);
    event.kind = ANSWER_TOOL_END;
    event.text = STR_NONE;
    answer_emit(sink, &event);
}

static void emit_signature(struct answer_reader *r, struct answer_sink sink, uint32_t choice,
                           const struct json_value *signature)
{
    if (json_text_raw(signature).len == 0)
        return;
    buf_reset(&r->text);
    buf_append_str(&r->text, GEMINI_SIGNATURE_MARK);
    buf_append_str(&r->text, json_text_raw(signature));
    emit_text(sink, ANSWER_SIGNATURE, choice, buf_str(&r->text));
}

static void emit_part(struct answer_reader *r, struct answer_sink sink, uint32_t choice,
                      const struct part *p)
{
    if (p->call.kind == JSON_OBJECT) {
        emit_call(r, sink, choice, p);
        return;
    }
    emit_text(sink, p->thought ? ANSWER_THINKING : ANSWER_TEXT, choice, json_text_raw(&p->text));
    if (p->other.kind != JSON_NONE && p->other.kind != JSON_NULL && p->text.kind == JSON_NONE) {
        struct answer_event event = {.kind = ANSWER_OTHER,
                                     .choice = choice,
                                     .name = json_text_raw(&p->other_key),
                                     .raw = p->other.raw};
        answer_emit(sink, &event);
    }
    emit_signature(r, sink, choice, &p->signature);
}

static void emit_content(struct answer_reader *r, struct answer_sink sink, uint32_t choice,
                         const struct json_value *content)
{
    struct json_reader in;
    struct json_value key;
    json_reader_init(&in, content->raw, JSON_DEPTH_MAX);
    if (!json_enter(&in, JSON_OBJECT))
        return;
    while (json_next_member(&in, &key)) {
        if (!json_eq(&key, STR("parts")) || !json_enter(&in, JSON_ARRAY))
            continue;
        while (json_next_element(&in)) {
            struct part p = read_part(&in);
            if (!r->failed)
                emit_part(r, sink, choice, &p);
        }
    }
}

/* ---- Log probabilities ---- */

struct token {
    struct json_value text;
    struct json_value logprob;
};

static struct token read_token(struct json_reader *in)
{
    struct token t = {.text = {.kind = JSON_NONE}};
    struct json_value key;
    if (!json_enter(in, JSON_OBJECT))
        return t;
    while (json_next_member(in, &key)) {
        struct json_value value = json_take(in);
        if (json_eq(&key, STR("token")))
            t.text = value;
        else if (json_eq(&key, STR("logProbability")))
            t.logprob = value;
    }
    return t;
}

static void write_token(struct json_writer *w, const struct token *t)
{
    struct buf bytes BUF_AUTO;
    buf_init(&bytes, 65536);
    json_text_append(&t->text, &bytes);
    json_key(w, STR("token"));
    json_str_raw(w, json_text_raw(&t->text));
    json_member_raw(w, STR("logprob"),
                    t->logprob.kind == JSON_NUMBER ? t->logprob.raw : STR("-9999"));
    json_key(w, STR("bytes"));
    json_array_begin(w);
    for (size_t i = 0; i < bytes.len; i++)
        json_u64(w, (unsigned char)bytes.ptr[i]);
    json_array_end(w);
}

/* The next step's best tokens; none when they were not asked for. */
static void write_top(struct json_writer *w, struct json_reader *top)
{
    struct json_value key;
    json_key(w, STR("top_logprobs"));
    json_array_begin(w);
    if (json_next_element(top) && json_enter(top, JSON_OBJECT))
        while (json_next_member(top, &key)) {
            if (!json_eq(&key, STR("candidates")) || !json_enter(top, JSON_ARRAY))
                continue;
            while (json_next_element(top)) {
                struct token t = read_token(top);
                json_object_begin(w);
                write_token(w, &t);
                json_object_end(w);
            }
        }
    json_array_end(w);
}

static void write_logprobs(struct json_writer *w, const struct json_value *chosen,
                           const struct json_value *tops)
{
    struct json_reader in, top;
    json_reader_init(&in, chosen->raw, JSON_DEPTH_MAX);
    json_reader_init(&top, tops->kind == JSON_ARRAY ? tops->raw : STR("[]"), JSON_DEPTH_MAX);
    json_object_begin(w);
    json_key(w, STR("content"));
    json_array_begin(w);
    (void)json_enter(&top, JSON_ARRAY);
    if (json_enter(&in, JSON_ARRAY))
        while (json_next_element(&in)) {
            struct token t = read_token(&in);
            json_object_begin(w);
            write_token(w, &t);
            write_top(w, &top);
            json_object_end(w);
        }
    json_array_end(w);
    json_object_end(w);
}

static void emit_logprobs(struct answer_reader *r, struct answer_sink sink, uint32_t choice,
                          const struct json_value *result)
{
    struct json_value chosen = {.kind = JSON_NONE}, tops = {.kind = JSON_NONE};
    struct json_writer w;
    (void)json_find(result->raw, "chosenCandidates", &chosen);
    (void)json_find(result->raw, "topCandidates", &tops);
    if (chosen.kind != JSON_ARRAY)
        return;
    buf_reset(&r->text);
    json_writer_init(&w, &r->text);
    write_logprobs(&w, &chosen, &tops);
    struct answer_event event = {
        .kind = ANSWER_LOGPROBS, .choice = choice, .raw = buf_str(&r->text)};
    if (r->text.error == ERR_OK)
        answer_emit(sink, &event);
}

/* ---- Candidates ---- */

/* Reasons that are the model's failure, not an answer: nothing that a caller could use came. */
static const char *failure_of(const struct json_value *reason)
{
    if (json_eq(reason, STR("MALFORMED_FUNCTION_CALL")))
        return "the model wrote a function call that is not valid (MALFORMED_FUNCTION_CALL)";
    if (json_eq(reason, STR("UNEXPECTED_TOOL_CALL")))
        return "the model called a tool that it was not given (UNEXPECTED_TOOL_CALL)";
    if (json_eq(reason, STR("TOO_MANY_TOOL_CALLS")))
        return "the model called too many tools in a row (TOO_MANY_TOOL_CALLS)";
    return NULL;
}

static enum answer_finish finish_of(const struct json_value *reason)
{
    if (json_eq(reason, STR("STOP")) || json_eq(reason, STR("FINISH_REASON_UNSPECIFIED")))
        return FINISH_STOP;
    return json_eq(reason, STR("MAX_TOKENS")) ? FINISH_LENGTH : FINISH_FILTER;
}

struct candidate_value {
    int64_t index;
    struct json_value content;
    struct json_value finish;
    struct json_value message; /* finishMessage */
    struct json_value logprobs;
    struct json_value grounding;
    struct json_value citations;
};

static struct candidate_value read_candidate(struct json_reader *in)
{
    struct candidate_value c = {.index = 0};
    struct json_value key;
    if (!json_enter(in, JSON_OBJECT))
        return c;
    while (json_next_member(in, &key)) {
        struct json_value value = json_take(in);
        if (json_eq(&key, STR("index"))) {
            if (json_to_i64(&value, &c.index) != ERR_OK)
                c.index = 0;
        } else if (json_eq(&key, STR("content"))) {
            c.content = value;
        } else if (json_eq(&key, STR("finishReason"))) {
            c.finish = value;
        } else if (json_eq(&key, STR("finishMessage"))) {
            c.message = value;
        } else if (json_eq(&key, STR("logprobsResult"))) {
            c.logprobs = value;
        } else if (json_eq(&key, STR("groundingMetadata"))) {
            c.grounding = value;
        } else if (json_eq(&key, STR("citationMetadata"))) {
            c.citations = value;
        }
    }
    return c;
}

static void emit_other(struct answer_sink sink, uint32_t choice, struct str name,
                       const struct json_value *value)
{
    struct answer_event event = {
        .kind = ANSWER_OTHER, .choice = choice, .name = name, .raw = value->raw};
    if (value->kind == JSON_OBJECT)
        answer_emit(sink, &event);
}

static void take_finish(struct answer_reader *r, struct answer_sink sink, uint32_t choice,
                        const struct candidate_value *v)
{
    struct candidate *c = &r->candidates[choice];
    if (v->finish.kind != JSON_STRING)
        return;
    const char *failure = failure_of(&v->finish);
    if (failure) {
        fail(r, sink, "invalid_tool_call", failure);
        return;
    }
    c->finish = finish_of(&v->finish);
    if (c->finish == FINISH_FILTER)
        emit_text(sink, ANSWER_REFUSAL, choice, json_text_raw(&v->message));
    if (c->finish == FINISH_STOP && c->called)
        c->finish = FINISH_TOOLS;
}

static void take_candidate(struct answer_reader *r, struct answer_sink sink, struct json_reader *in)
{
    struct candidate_value v = read_candidate(in);
    if (r->failed)
        return;
    if (v.index < 0 || v.index >= GEMINI_CANDIDATES_MAX) {
        fail(r, sink, "too_many_candidates", "the answer has more candidates than are read");
        return;
    }
    uint32_t choice = (uint32_t)v.index;
    r->candidates[choice].seen = true;
    if (v.content.kind == JSON_OBJECT)
        emit_content(r, sink, choice, &v.content);
    if (v.logprobs.kind == JSON_OBJECT)
        emit_logprobs(r, sink, choice, &v.logprobs);
    emit_other(sink, choice, STR("groundingMetadata"), &v.grounding);
    emit_other(sink, choice, STR("citationMetadata"), &v.citations);
    take_finish(r, sink, choice, &v);
}

/* ---- Chunks ---- */

struct chunk {
    struct json_value candidates;
    struct json_value feedback;
    struct json_value usage;
    struct json_value model;
    struct json_value id;
    struct json_value error;
};

static enum err read_chunk(struct str data, unsigned max_depth, struct chunk *ret_chunk)
{
    struct chunk c = {.candidates = {.kind = JSON_NONE}};
    struct json_reader in;
    struct json_value key;
    json_reader_init(&in, data, max_depth);
    bool object = json_enter(&in, JSON_OBJECT);
    while (object && json_next_member(&in, &key)) {
        struct json_value value = json_take(&in);
        if (json_eq(&key, STR("candidates")))
            c.candidates = value;
        else if (json_eq(&key, STR("promptFeedback")))
            c.feedback = value;
        else if (json_eq(&key, STR("usageMetadata")))
            c.usage = value;
        else if (json_eq(&key, STR("modelVersion")))
            c.model = value;
        else if (json_eq(&key, STR("responseId")))
            c.id = value;
        else if (json_eq(&key, STR("error")))
            c.error = value;
    }
    if (!json_finish(&in))
        return json_reader_error(&in);
    if (!object)
        return ERR_INVALID;
    *ret_chunk = c;
    return ERR_OK;
}

static void start(struct answer_reader *r, struct answer_sink sink, const struct chunk *c)
{
    if (r->started)
        return;
    r->started = true;
    struct answer_event event = {.kind = ANSWER_START};
    event.id = name_in(&r->response_id, &c->id);
    event.name = name_in(&r->name, &c->model);
    answer_emit(sink, &event);
}

/* The prompt was blocked: an answer of one refused choice. */
static void take_feedback(struct answer_reader *r, struct answer_sink sink,
                          const struct json_value *feedback)
{
    struct json_value reason, message;
    if (feedback->kind != JSON_OBJECT || !json_find(feedback->raw, "blockReason", &reason) ||
        reason.kind != JSON_STRING || json_eq(&reason, STR("BLOCKED_REASON_UNSPECIFIED")))
        return;
    r->blocked = true;
    if (json_find(feedback->raw, "blockReasonMessage", &message))
        emit_text(sink, ANSWER_REFUSAL, 0, json_text_raw(&message));
    r->candidates[0].seen = true;
    r->candidates[0].finish = FINISH_FILTER;
}

static void take_usage(struct answer_sink sink, const struct json_value *value)
{
    struct answer_event event = {.kind = ANSWER_USAGE, .raw = value->raw};
    if (value->kind == JSON_OBJECT && gemini_usage_read(value->raw, &event.usage) == ERR_OK)
        answer_emit(sink, &event);
}

static void take_chunk(struct answer_reader *r, struct answer_sink sink, const struct chunk *c,
                       struct str data)
{
    struct json_reader in;
    if (c->error.kind != JSON_NONE && c->error.kind != JSON_NULL) {
        struct openai_problem problem;
        int64_t code = 500;
        struct json_value value;
        if (json_find(c->error.raw, "code", &value) && json_to_i64(&value, &code) != ERR_OK)
            code = 500;
        gemini_read_error(data, code >= 100 && code < 600 ? (int)code : 500, &problem);
        emit_error(r, sink, &problem);
        return;
    }
    start(r, sink, c);
    json_reader_init(&in, c->candidates.kind == JSON_ARRAY ? c->candidates.raw : STR("[]"),
                     JSON_DEPTH_MAX);
    if (json_enter(&in, JSON_ARRAY))
        while (json_next_element(&in))
            take_candidate(r, sink, &in);
    take_feedback(r, sink, &c->feedback);
    if (!r->failed)
        take_usage(sink, &c->usage);
}

static void reader_feed(struct answer_reader *r, struct str name, struct str data,
                        struct answer_sink sink)
{
    struct chunk c = {.error = {.kind = JSON_NONE}};
    (void)name;
    if (r->failed || r->ended)
        return;
    if (read_chunk(data, r->max_depth, &c) == ERR_OK)
        take_chunk(r, sink, &c, data);
    else
        fail(r, sink, "malformed_event", "an event of the stream is not a JSON object");
}

static void reader_end(struct answer_reader *r, struct answer_sink sink)
{
    uint32_t seen = 0, finished = 0;
    if (r->failed || r->ended)
        return;
    for (uint32_t i = 0; i < GEMINI_CANDIDATES_MAX; i++) {
        seen += r->candidates[i].seen;
        finished += r->candidates[i].seen && r->candidates[i].finish != FINISH_NONE;
    }
    if (seen == 0 || finished < seen)
        return;
    r->ended = true;
    for (uint32_t i = 0; i < GEMINI_CANDIDATES_MAX; i++) {
        struct answer_event event = {
            .kind = ANSWER_FINISH, .choice = i, .finish = r->candidates[i].finish};
        if (r->candidates[i].seen)
            answer_emit(sink, &event);
    }
    struct answer_event end = {.kind = ANSWER_END};
    answer_emit(sink, &end);
}

static enum err read_answer(struct str body, const struct answer_options *options,
                            struct answer_sink sink)
{
    struct answer_reader r;
    struct chunk c = {.error = {.kind = JSON_NONE}};
    TRY(read_chunk(body, options->max_depth, &c));
    reader_init(&r, options);
    take_chunk(&r, sink, &c, body);
    reader_end(&r, sink);
    bool answered = r.failed || r.ended;
    reader_release(&r);
    return answered ? ERR_OK : ERR_INVALID;
}

const struct dialect dialect_gemini = {
    .name = STR_INIT("gemini"),
    .write_ask = gemini_write_ask,
    .endpoint = STR_INIT("/generateContent"),
    .reader_new = reader_new,
    .reader_free = reader_free,
    .reader_feed = reader_feed,
    .reader_end = reader_end,
    .read_answer = read_answer,
    .read_error = gemini_read_error,
    .retry_after_ms = gemini_retry_after_ms,
};
