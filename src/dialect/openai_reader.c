/* Answers in OpenAI's form, streamed or not, as events.
 *
 * A stream says neither when a call's arguments are over nor, always, which call it speaks of:
 *   - a call ends when its arguments are a whole JSON object, or its choice finishes;
 *   - a new id that comes with a name begins a new call, also under a number that was there before
 *     (some providers number parallel calls 0, 0, 0); a delta without id or number belongs to the
 *     last one. */
#include <stdio.h>

#include "base/mem.h"
#include "codec/json_write.h"
#include "dialect/fields.h"
#include "dialect/halves.h"
#include "dialect/openai_int.h"

enum { ARGUMENTS_BYTES_MAX = 64 << 20 /* of one call, in a whole body */ };

/* Where in a JSON text its end is. Fed with the inside of the string that holds it. */
struct json_end {
    uint32_t depth;
    bool in_string;
    bool escaped;   /* a backslash of the JSON text came */
    bool backslash; /* a backslash of the string around it came */
    bool over;      /* the outermost bracket is closed */
};

struct call_state {
    uint32_t choice;
    uint32_t number; /* ours */
    int64_t index;   /* the provider's */
    uint64_t id_hash;
    struct json_end end;
    bool ended;
};

struct choice_state {
    uint32_t number;
    uint32_t calls;
    bool finished;
};

struct answer_reader {
    unsigned max_depth;
    struct halves halves;
    bool started;
    bool over; /* END or ERROR was emitted */
    struct choice_state *choices;
    size_t choice_count;
    struct call_state *calls;
    size_t call_count;
    struct buf scratch; /* an id of ours, or arguments that came as an object */
    char id[64];        /* the answer's, for ids of ours */
};

/* One chunk, or one body, on its way. */
struct reading {
    struct answer_reader *r;
    struct answer_sink sink;
};

struct answer_reader *openai_reader_new(const struct answer_options *options)
{
    struct answer_reader *r = NEW(struct answer_reader);
    r->max_depth = options->max_depth;
    halves_init(&r->halves);
    buf_init(&r->scratch, ARGUMENTS_BYTES_MAX);
    (void)snprintf(r->id, sizeof r->id, "%.*s", (int)(options->id.len < 40 ? options->id.len : 40),
                   options->id.len ? options->id.ptr : "");
    return r;
}

void openai_reader_free(struct answer_reader *r)
{
    if (!r)
        return;
    mem_free(r->choices);
    mem_free(r->calls);
    buf_release(&r->scratch);
    halves_release(&r->halves);
    mem_free(r);
}

static void fail(struct reading *x, const struct openai_problem *problem)
{
    if (x->r->over)
        return;
    x->r->over = true;
    answer_emit(x->sink, &(struct answer_event){.kind = ANSWER_ERROR, .problem = problem});
}

static void fail_with(struct reading *x, const char *code, const char *message)
{
    struct openai_problem problem;
    openai_problem_set(&problem, "api_error", NULL, code, "%s", message);
    fail(x, &problem);
}

static void emit_text(struct reading *x, enum answer_event_kind kind, uint32_t choice,
                      const struct json_value *value)
{
    struct str text = json_text_raw(value);
    if (text.len > 0)
        answer_emit(x->sink, &(struct answer_event){.kind = kind, .choice = choice, .text = text});
}

/* ---- The end of arguments ---- */

static void end_step(struct json_end *e, char c)
{
    if (e->in_string) {
        if (e->escaped)
            e->escaped = false;
        else if (c == '\\')
            e->escaped = true;
        else if (c == '"')
            e->in_string = false;
    } else if (c == '"') {
        e->in_string = true;
    } else if (c == '{' || c == '[') {
        e->depth++;
    } else if ((c == '}' || c == ']') && e->depth > 0) {
        e->over = --e->depth == 0;
    }
}

/* Escapes of the outer string that matter are \" and \\; of any other only the letter is seen,
 * which is none of those above (\u0022 for a quote is seen as "u", and then this only ends later).
 */
static void end_feed(struct json_end *e, struct str escaped)
{
    for (size_t i = 0; i < escaped.len && !e->over; i++) {
        char c = escaped.ptr[i];
        if (e->backslash) {
            e->backslash = false;
            end_step(e, c == '"' || c == '\\' ? c : ' ');
        } else if (c == '\\') {
            e->backslash = true;
        } else {
            end_step(e, c);
        }
    }
}

/* ---- Choices and calls ---- */

static struct choice_state *choice_state(struct reading *x, int64_t number)
{
    struct answer_reader *r = x->r;
    for (size_t i = 0; i < r->choice_count; i++)
        if (r->choices[i].number == number)
            return &r->choices[i];
    if (number < 0 || number >= ANSWER_CHOICES_MAX) {
        fail_with(x, "upstream_too_many_choices", "the upstream's answer has too many choices");
        return NULL;
    }
    r->choices = mem_resize(r->choices, (r->choice_count + 1) * sizeof *r->choices);
    r->choices[r->choice_count] = (struct choice_state){.number = (uint32_t)number};
    return &r->choices[r->choice_count++];
}

static uint64_t hash(struct str s)
{
    uint64_t h = UINT64_C(1469598103934665603);
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.ptr[i]) * UINT64_C(1099511628211);
    return h;
}

/* The call that a delta speaks of, or NULL: a new one. */
static struct call_state *call_find(struct answer_reader *r, uint32_t choice, int64_t index,
                                    struct str id, bool named)
{
    uint64_t id_hash = hash(id);
    for (size_t i = r->call_count; i > 0; i--) {
        struct call_state *c = &r->calls[i - 1];
        if (c->choice != choice || (index >= 0 && c->index != index))
            continue;
        if (id.len && c->id_hash != id_hash && (named || index < 0))
            return NULL;
        return c;
    }
    return NULL;
}

static void call_end(struct reading *x, struct call_state *c)
{
    if (c->ended)
        return;
    c->ended = true;
    answer_emit(x->sink, &(struct answer_event){
                             .kind = ANSWER_TOOL_END, .choice = c->choice, .tool = c->number});
}

struct call_delta {
    int64_t index;
    struct json_value id, name, arguments;
    struct str signature;
};

static struct call_state *call_begin(struct reading *x, struct choice_state *choice,
                                     const struct call_delta *d)
{
    struct answer_reader *r = x->r;
    struct str id = json_text_raw(&d->id);
    if (r->call_count == ANSWER_TOOLS_MAX) {
        fail_with(x, "upstream_too_many_calls", "the upstream's answer has too many tool calls");
        return NULL;
    }
    r->calls = mem_resize(r->calls, (r->call_count + 1) * sizeof *r->calls);
    struct call_state *c = &r->calls[r->call_count++];
    *c = (struct call_state){.choice = choice->number,
                             .number = choice->calls++,
                             .index = d->index,
                             .id_hash = hash(id)};
    if (id.len == 0) {
        buf_reset(&r->scratch);
        buf_printf(&r->scratch, "call_%s_%u_%u", r->id, c->choice, c->number);
        id = buf_str(&r->scratch);
    }
    answer_emit(x->sink, &(struct answer_event){.kind = ANSWER_TOOL_BEGIN,
                                                .choice = c->choice,
                                                .tool = c->number,
                                                .id = id,
                                                .name = json_text_raw(&d->name),
                                                .text = d->signature});
    return c;
}

/* Arguments as they stand inside a string; an object (which some write) is made one. */
static struct str arguments_of(struct answer_reader *r, const struct json_value *arguments)
{
    if (arguments->kind != JSON_OBJECT)
        return json_text_raw(arguments);
    buf_reset(&r->scratch);
    json_escape_append(&r->scratch, arguments->raw);
    return buf_str(&r->scratch);
}

static void take_call(struct reading *x, struct choice_state *choice, const struct call_delta *d)
{
    struct str id = json_text_raw(&d->id);
    bool named = json_text_raw(&d->name).len > 0;
    struct call_state *c = call_find(x->r, choice->number, d->index, id, named);
    if (!c && !(c = call_begin(x, choice, d)))
        return;
    struct str arguments = arguments_of(x->r, &d->arguments);
    if (arguments.len == 0 || c->ended)
        return;
    answer_emit(x->sink, &(struct answer_event){.kind = ANSWER_TOOL_ARGS,
                                                .choice = c->choice,
                                                .tool = c->number,
                                                .text = arguments});
    end_feed(&c->end, arguments);
    if (c->end.over)
        call_end(x, c);
}

/* ---- A delta, or a message ---- */

static void read_call(struct reading *x, struct choice_state *choice,
                      const struct json_value *value, int64_t position)
{
    enum { C_INDEX, C_ID, C_FUNCTION, C_EXTRA, C_COUNT };
    static const struct str names[C_COUNT] = {STR_INIT("index"), STR_INIT("id"),
                                              STR_INIT("function"), STR_INIT("extra_content")};
    static const struct str function_names[] = {STR_INIT("name"), STR_INIT("arguments")};
    struct json_value c[C_COUNT], f[2];
    struct call_delta d = {.index = position};
    fields_of(value, FIELDS(names), c);
    fields_of(&c[C_FUNCTION], FIELDS(function_names), f);
    if (c[C_INDEX].kind == JSON_NUMBER && json_to_i64(&c[C_INDEX], &d.index) != ERR_OK)
        d.index = position;
    d.id = c[C_ID];
    d.name = f[0];
    d.arguments = f[1];
    if (c[C_EXTRA].kind == JSON_OBJECT) {
        struct json_value google = field_of(&c[C_EXTRA], STR("google"));
        struct json_value signature = field_of(&google, STR("thought_signature"));
        d.signature = json_text_raw(&signature);
    }
    take_call(x, choice, &d);
}

/* whole: of a message, where a call's place is its number. */
static void read_calls(struct reading *x, struct choice_state *choice,
                       const struct json_value *calls, bool whole)
{
    struct json_reader r;
    int64_t position = 0;
    json_reader_init(&r, calls->raw, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return;
    while (json_next_element(&r)) {
        struct json_value call = json_take(&r);
        read_call(x, choice, &call, whole ? position++ : -1);
    }
}

/* Content in parts: {"type":"text",…} and Mistral's {"type":"thinking","thinking":[…]}. */
static void read_parts(struct reading *x, uint32_t choice, enum answer_event_kind kind,
                       const struct json_value *parts)
{
    static const struct str names[] = {STR_INIT("text"), STR_INIT("thinking")};
    struct json_reader r;
    struct json_value p[2];
    json_reader_init(&r, parts->raw, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return;
    while (json_next_element(&r)) {
        struct json_value part = json_take(&r);
        fields_of(&part, FIELDS(names), p);
        emit_text(x, kind, choice, &p[0]);
        if (p[1].kind == JSON_STRING)
            emit_text(x, ANSWER_THINKING, choice, &p[1]);
        else if (p[1].kind == JSON_ARRAY && kind == ANSWER_TEXT)
            read_parts(x, choice, ANSWER_THINKING, &p[1]);
    }
}

/* The blocks that Weir itself writes for signed thinking: only what reasoning_content does not say.
 */
static void read_thinking_blocks(struct reading *x, uint32_t choice, bool has_text,
                                 const struct json_value *blocks)
{
    static const struct str names[] = {STR_INIT("thinking"), STR_INIT("signature"),
                                       STR_INIT("data")};
    struct json_reader r;
    struct json_value b[3];
    json_reader_init(&r, blocks->raw, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return;
    while (json_next_element(&r)) {
        struct json_value block = json_take(&r);
        fields_of(&block, FIELDS(names), b);
        if (!has_text)
            emit_text(x, ANSWER_THINKING, choice, &b[0]);
        emit_text(x, ANSWER_SIGNATURE, choice, &b[1]);
        emit_text(x, ANSWER_REDACTED, choice, &b[2]);
    }
}

enum { D_CONTENT, D_REASONING_CONTENT, D_REASONING, D_REFUSAL, D_CALLS, D_BLOCKS, D_ROLE, D_COUNT };
static const struct str delta_names[D_COUNT] = {
    STR_INIT("content"), STR_INIT("reasoning_content"), STR_INIT("reasoning"),
    STR_INIT("refusal"), STR_INIT("tool_calls"),        STR_INIT("thinking_blocks"),
    STR_INIT("role"),
};

struct other {
    struct reading *x;
    uint32_t choice;
};

static void take_other(void *arg, const struct json_value *key, const struct json_value *value)
{
    const struct other *o = arg;
    bool empty = value->kind <= JSON_NULL || (value->kind == JSON_STRING && value->raw.len == 2) ||
                 (value->kind >= JSON_ARRAY && value->raw.len == 2);
    if (!empty && !o->x->r->over)
        answer_emit(o->x->sink, &(struct answer_event){.kind = ANSWER_OTHER,
                                                       .choice = o->choice,
                                                       .name = json_text_raw(key),
                                                       .raw = value->raw});
}

static void read_delta(struct reading *x, struct choice_state *choice,
                       const struct json_value *delta, bool whole)
{
    struct json_value d[D_COUNT];
    uint32_t number = choice->number;
    struct other other = {x, number};
    const struct fields_rest rest = {take_other, &other};
    if (delta->kind != JSON_OBJECT)
        return;
    (void)fields_read(delta->raw, JSON_DEPTH_MAX, FIELDS(delta_names), d, &rest);
    const struct json_value *reasoning =
        d[D_REASONING_CONTENT].kind == JSON_STRING ? &d[D_REASONING_CONTENT] : &d[D_REASONING];
    if (d[D_BLOCKS].kind == JSON_ARRAY && whole)
        read_thinking_blocks(x, number, false, &d[D_BLOCKS]);
    else
        emit_text(x, ANSWER_THINKING, number, reasoning);
    if (d[D_BLOCKS].kind == JSON_ARRAY && !whole)
        read_thinking_blocks(x, number, json_text_raw(reasoning).len > 0, &d[D_BLOCKS]);
    emit_text(x, ANSWER_TEXT, number, &d[D_CONTENT]);
    if (d[D_CONTENT].kind == JSON_ARRAY)
        read_parts(x, number, ANSWER_TEXT, &d[D_CONTENT]);
    emit_text(x, ANSWER_REFUSAL, number, &d[D_REFUSAL]);
    if (d[D_CALLS].kind == JSON_ARRAY)
        read_calls(x, choice, &d[D_CALLS], whole);
}

/* ---- A choice ---- */

static enum answer_finish finish_of(const struct json_value *reason)
{
    if (json_eq(reason, STR("length")))
        return FINISH_LENGTH;
    if (json_eq(reason, STR("tool_calls")) || json_eq(reason, STR("function_call")))
        return FINISH_TOOLS;
    return json_eq(reason, STR("content_filter")) ? FINISH_FILTER : FINISH_STOP;
}

/* sequence: vLLM's stop_reason, where it is a string. */
static void finish_choice(struct reading *x, struct choice_state *choice, enum answer_finish finish,
                          const struct json_value *sequence)
{
    struct answer_reader *r = x->r;
    struct str text = sequence ? json_text_raw(sequence) : STR_NONE;
    if (choice->finished || r->over)
        return;
    choice->finished = true;
    for (size_t i = 0; i < r->call_count; i++)
        if (r->calls[i].choice == choice->number)
            call_end(x, &r->calls[i]);
    if (finish == FINISH_STOP && choice->calls > 0)
        finish = FINISH_TOOLS;
    else if (finish == FINISH_STOP && text.len > 0)
        finish = FINISH_SEQUENCE;
    answer_emit(x->sink,
                &(struct answer_event){.kind = ANSWER_FINISH,
                                       .choice = choice->number,
                                       .finish = finish,
                                       .text = finish == FINISH_SEQUENCE ? text : STR_NONE});
}

enum { O_INDEX, O_DELTA, O_MESSAGE, O_LOGPROBS, O_FINISH, O_STOP_REASON, O_COUNT };
static const struct str choice_names[O_COUNT] = {
    STR_INIT("index"),    STR_INIT("delta"),         STR_INIT("message"),
    STR_INIT("logprobs"), STR_INIT("finish_reason"), STR_INIT("stop_reason")};

static void read_choice(struct reading *x, const struct json_value *value, int64_t position,
                        bool whole)
{
    struct json_value o[O_COUNT];
    int64_t number = position;
    fields_of(value, FIELDS(choice_names), o);
    if (o[O_INDEX].kind == JSON_NUMBER && json_to_i64(&o[O_INDEX], &number) != ERR_OK)
        number = position;
    struct choice_state *choice = choice_state(x, number);
    if (!choice || choice->finished)
        return;
    read_delta(x, choice, whole || o[O_DELTA].kind == JSON_NONE ? &o[O_MESSAGE] : &o[O_DELTA],
               whole);
    if (o[O_LOGPROBS].kind == JSON_OBJECT && !x->r->over)
        answer_emit(x->sink, &(struct answer_event){.kind = ANSWER_LOGPROBS,
                                                    .choice = choice->number,
                                                    .raw = o[O_LOGPROBS].raw});
    if (json_eq(&o[O_FINISH], STR("error")))
        fail_with(x, "upstream_error", "the upstream broke its answer off with an error");
    else if (o[O_FINISH].kind == JSON_STRING)
        finish_choice(x, choice, finish_of(&o[O_FINISH]), &o[O_STOP_REASON]);
}

static void read_choices(struct reading *x, const struct json_value *choices, bool whole)
{
    struct json_reader r;
    int64_t position = 0;
    json_reader_init(&r, choices->raw, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_ARRAY))
        return;
    while (json_next_element(&r) && !x->r->over) {
        struct json_value choice = json_take(&r);
        read_choice(x, &choice, position++, whole);
    }
}

/* ---- A chunk, or a body ---- */

enum { K_ID, K_MODEL, K_CREATED, K_CHOICES, K_USAGE, K_ERROR, K_OBJECT, K_COUNT };
static const struct str chunk_names[K_COUNT] = {
    STR_INIT("id"),    STR_INIT("model"), STR_INIT("created"), STR_INIT("choices"),
    STR_INIT("usage"), STR_INIT("error"), STR_INIT("object")};

static void start(struct reading *x, const struct json_value k[K_COUNT])
{
    struct answer_reader *r = x->r;
    int64_t created_s = 0;
    if (r->started)
        return;
    r->started = true;
    struct str id = json_text_raw(&k[K_ID]);
    if (id.len > 0 && id.len < 40)
        (void)snprintf(r->id, sizeof r->id, "%.*s", STR_ARG(id));
    if (json_to_i64(&k[K_CREATED], &created_s) != ERR_OK || created_s < 0)
        created_s = 0;
    answer_emit(x->sink, &(struct answer_event){.kind = ANSWER_START,
                                                .id = id,
                                                .name = json_text_raw(&k[K_MODEL]),
                                                .created_s = created_s});
}

static void read_usage(struct reading *x, const struct json_value *value)
{
    struct answer_event event = {.kind = ANSWER_USAGE, .raw = value->raw};
    if (value->kind == JSON_OBJECT && openai_usage_read(value->raw, &event.usage) == ERR_OK)
        answer_emit(x->sink, &event);
}

static bool is_error(const struct json_value k[K_COUNT])
{
    return k[K_ERROR].kind != JSON_NONE || json_eq(&k[K_OBJECT], STR("error"));
}

/* Everything is over and nothing said so: what has not finished has now. */
static void end(struct reading *x)
{
    struct answer_reader *r = x->r;
    if (r->over)
        return;
    for (size_t i = 0; i < r->choice_count; i++)
        finish_choice(x, &r->choices[i], FINISH_STOP, NULL);
    r->over = true;
    answer_emit(x->sink, &(struct answer_event){.kind = ANSWER_END});
}

void openai_reader_feed(struct answer_reader *r, struct str name, struct str data,
                        struct answer_sink sink)
{
    struct reading x = {r, halves_sink(&r->halves, sink)};
    struct json_value k[K_COUNT];
    if (r->over)
        return;
    if (data.len < 16 && str_eq(str_trim(data), STR("[DONE]"))) {
        if (r->choice_count > 0)
            end(&x);
        return;
    }
    bool valid = fields_read(data, r->max_depth, FIELDS(chunk_names), k, NULL);
    if (str_eq(name, STR("error")) || (valid && is_error(k))) {
        struct openai_problem problem;
        openai_error_read(data, 200, &problem);
        fail(&x, &problem);
    } else if (!valid) {
        fail_with(&x, "upstream_malformed", "the upstream's stream holds an event that is no JSON");
    } else {
        bool choices = k[K_CHOICES].kind == JSON_ARRAY && k[K_CHOICES].raw.len > 2;
        if (choices || k[K_USAGE].kind == JSON_OBJECT)
            start(&x, k);
        if (choices)
            read_choices(&x, &k[K_CHOICES], false);
        if (!r->over)
            read_usage(&x, &k[K_USAGE]);
    }
}

void openai_reader_end(struct answer_reader *r, struct answer_sink sink)
{
    struct reading x = {r, halves_sink(&r->halves, sink)};
    for (size_t i = 0; i < r->choice_count; i++)
        if (!r->choices[i].finished)
            return;
    if (r->choice_count > 0)
        end(&x);
}

enum err openai_answer_read(struct str body, const struct answer_options *options,
                            struct answer_sink sink)
{
    struct json_value k[K_COUNT], value;
    if (!fields_read(body, options->max_depth, FIELDS(chunk_names), k, NULL)) {
        enum err e = json_validate(body, options->max_depth, &value);
        return e == ERR_OK ? ERR_INVALID : e;
    }
    struct answer_reader *r = openai_reader_new(options);
    struct reading x = {r, halves_sink(&r->halves, sink)};
    struct openai_problem problem;
    if (is_error(k)) {
        openai_error_read(body, 200, &problem);
        fail(&x, &problem);
    } else if (k[K_CHOICES].kind == JSON_ARRAY) {
        start(&x, k);
        read_choices(&x, &k[K_CHOICES], true);
        if (!r->over)
            read_usage(&x, &k[K_USAGE]);
        if (r->choice_count > 0)
            end(&x);
    }
    enum err e = r->over ? ERR_OK : ERR_INVALID;
    openai_reader_free(r);
    return e;
}
