/* Answers in Anthropic's form, streamed or not, as events.
 *
 *   message_start  (content_block_start content_block_delta* content_block_stop)*
 *   message_delta  message_stop          and ping anywhere
 *
 * Blocks have a number each; one is open at a time in practice, and a few may be. */
#include "base/mem.h"
#include "codec/json_write.h"
#include "dialect/anthropic_int.h"
#include "dialect/fields.h"
#include "dialect/halves.h"

enum {
    OPEN_MAX = 16, /* blocks that are open at once */
    ARGUMENTS_BYTES_MAX = 64 << 20,
};

enum block_kind {
    BLOCK_TEXT,
    BLOCK_THINKING,
    BLOCK_TOOL,
    BLOCK_JSON,   /* the call that stands for structured output: its input is the text */
    BLOCK_SILENT, /* said at once (redacted), or as OTHER */
};

struct block {
    int64_t index;
    enum block_kind kind;
    uint32_t tool;
};

struct answer_reader {
    unsigned max_depth;
    struct halves halves;
    struct str json_tool; /* owned */
    bool started;
    bool finished;
    bool over;
    uint32_t tools;
    bool json; /* a BLOCK_JSON came */
    struct block open[OPEN_MAX];
    size_t open_count;
    struct buf usage_start; /* message_start's, as it came */
    struct buf usage;       /* with message_delta's in it */
    struct buf scratch;
};

struct reading {
    struct answer_reader *r;
    struct answer_sink sink;
};

struct answer_reader *anthropic_reader_new(const struct answer_options *options)
{
    struct answer_reader *r = NEW(struct answer_reader);
    struct str tool = options->plan.json_tool;
    r->max_depth = options->max_depth;
    halves_init(&r->halves);
    r->json_tool = str_of(mem_strdup(tool.ptr ? tool.ptr : "", tool.len), tool.len);
    buf_init(&r->usage_start, ANTHROPIC_USAGE_BYTES_MAX);
    buf_init(&r->usage, 2 * ANTHROPIC_USAGE_BYTES_MAX);
    buf_init(&r->scratch, ARGUMENTS_BYTES_MAX);
    return r;
}

void anthropic_reader_free(struct answer_reader *r)
{
    if (!r)
        return;
    mem_free((void *)r->json_tool.ptr);
    buf_release(&r->usage_start);
    buf_release(&r->usage);
    buf_release(&r->scratch);
    halves_release(&r->halves);
    mem_free(r);
}

static void emit(struct reading *x, enum answer_event_kind kind, struct str text)
{
    answer_emit(x->sink, &(struct answer_event){.kind = kind, .text = text});
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

/* ---- Usage ---- */

static bool has_member(struct str object, const struct json_value *key)
{
    struct json_reader r;
    struct json_value k;
    bool found = false;
    struct buf name BUF_AUTO;
    buf_init(&name, ANTHROPIC_USAGE_BYTES_MAX);
    json_text_append(key, &name);
    json_reader_init(&r, object, JSON_DEPTH_MAX);
    if (json_enter(&r, JSON_OBJECT))
        while (json_next_member(&r, &k))
            found |= json_eq(&k, buf_str(&name)) && json_peek(&r) != JSON_NULL;
    return found;
}

static void copy_members(struct str object, struct str unless, struct json_writer *w)
{
    struct json_reader r;
    struct json_value key;
    json_reader_init(&r, object, JSON_DEPTH_MAX);
    if (!json_enter(&r, JSON_OBJECT))
        return;
    while (json_next_member(&r, &key)) {
        struct json_value value = json_take(&r);
        if (value.kind <= JSON_NULL || (unless.len && has_member(unless, &key)))
            continue;
        json_key_raw(w, json_text_raw(&key));
        json_raw(w, value.raw);
    }
}

void anthropic_usage_merge(struct str start, struct str delta, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_object_begin(&w);
    copy_members(start, delta, &w);
    copy_members(delta, STR(""), &w);
    json_object_end(&w);
}

static void take_usage(struct reading *x, const struct json_value *usage)
{
    struct answer_reader *r = x->r;
    struct answer_event event = {.kind = ANSWER_USAGE};
    if (usage->kind != JSON_OBJECT || usage->raw.len > ANTHROPIC_USAGE_BYTES_MAX)
        return;
    buf_reset(&r->usage);
    anthropic_usage_merge(buf_str(&r->usage_start), usage->raw, &r->usage);
    if (r->usage.error != ERR_OK || openai_usage_read(buf_str(&r->usage), &event.usage) != ERR_OK)
        return;
    event.raw = buf_str(&r->usage);
    answer_emit(x->sink, &event);
    buf_reset(&r->usage_start);
    buf_append_str(&r->usage_start, buf_str(&r->usage));
    if (r->usage_start.error != ERR_OK)
        buf_reset(&r->usage_start);
}

/* ---- Blocks ---- */

enum {
    B_TYPE,
    B_TEXT,
    B_THINKING,
    B_SIGNATURE,
    B_DATA,
    B_ID,
    B_NAME,
    B_INPUT,
    B_CITATIONS,
    B_COUNT
};
static const struct str block_names[B_COUNT] = {
    STR_INIT("type"),      STR_INIT("text"),  STR_INIT("thinking"),
    STR_INIT("signature"), STR_INIT("data"),  STR_INIT("id"),
    STR_INIT("name"),      STR_INIT("input"), STR_INIT("citations")};

/* A call's input, where it came as an object; an empty one is no arguments yet. */
static struct str input_text(struct answer_reader *r, const struct json_value *input)
{
    struct json_reader reader;
    struct json_value key;
    if (input->kind != JSON_OBJECT)
        return STR_NONE;
    json_reader_init(&reader, input->raw, JSON_DEPTH_MAX);
    if (!json_enter(&reader, JSON_OBJECT) || !json_next_member(&reader, &key))
        return STR_NONE;
    buf_reset(&r->scratch);
    json_escape_append(&r->scratch, input->raw);
    return buf_str(&r->scratch);
}

static void begin_tool(struct reading *x, const struct json_value b[B_COUNT], struct block *block)
{
    struct answer_reader *r = x->r;
    if (r->json_tool.len && json_eq(&b[B_NAME], r->json_tool)) {
        block->kind = BLOCK_JSON;
        r->json = true;
    } else if (r->tools == ANSWER_TOOLS_MAX) {
        fail_with(x, "upstream_too_many_calls", "the upstream's answer has too many tool calls");
        return;
    } else {
        block->kind = BLOCK_TOOL;
        block->tool = r->tools++;
        answer_emit(x->sink, &(struct answer_event){.kind = ANSWER_TOOL_BEGIN,
                                                    .tool = block->tool,
                                                    .id = json_text_raw(&b[B_ID]),
                                                    .name = json_text_raw(&b[B_NAME])});
    }
}

static void take_text(struct reading *x, const struct block *block, struct str text)
{
    if (text.len == 0 || x->r->over)
        return;
    switch (block->kind) {
    case BLOCK_TEXT:
    case BLOCK_JSON: emit(x, ANSWER_TEXT, text); break;
    case BLOCK_THINKING: emit(x, ANSWER_THINKING, text); break;
    case BLOCK_TOOL:
        answer_emit(x->sink, &(struct answer_event){
                                 .kind = ANSWER_TOOL_ARGS, .tool = block->tool, .text = text});
        break;
    case BLOCK_SILENT: break;
    }
}

static void take_other(struct reading *x, struct str name, struct str raw)
{
    answer_emit(x->sink, &(struct answer_event){.kind = ANSWER_OTHER, .name = name, .raw = raw});
}

/* What content_block_start, or a whole body, says of a block. */
static void begin_block(struct reading *x, const struct json_value *value, struct block *block)
{
    struct json_value b[B_COUNT];
    fields_of(value, FIELDS(block_names), b);
    const struct json_value *type = &b[B_TYPE];
    if (json_eq(type, STR("text"))) {
        block->kind = BLOCK_TEXT;
        take_text(x, block, json_text_raw(&b[B_TEXT]));
        if (b[B_CITATIONS].kind == JSON_ARRAY && b[B_CITATIONS].raw.len > 2)
            take_other(x, STR("citations"), b[B_CITATIONS].raw);
    } else if (json_eq(type, STR("thinking"))) {
        block->kind = BLOCK_THINKING;
        take_text(x, block, json_text_raw(&b[B_THINKING]));
        if (json_text_raw(&b[B_SIGNATURE]).len)
            emit(x, ANSWER_SIGNATURE, json_text_raw(&b[B_SIGNATURE]));
    } else if (json_eq(type, STR("redacted_thinking"))) {
        block->kind = BLOCK_SILENT;
        emit(x, ANSWER_REDACTED, json_text_raw(&b[B_DATA]));
    } else if (json_eq(type, STR("tool_use"))) {
        begin_tool(x, b, block);
        take_text(x, block, input_text(x->r, &b[B_INPUT]));
    } else {
        block->kind = BLOCK_SILENT;
        take_other(x, json_text_raw(type), value->raw);
    }
}

static void end_block(struct reading *x, const struct block *block)
{
    if (block->kind == BLOCK_TOOL)
        answer_emit(x->sink, &(struct answer_event){.kind = ANSWER_TOOL_END, .tool = block->tool});
}

static struct block *open_block(struct answer_reader *r, int64_t index)
{
    for (size_t i = r->open_count; i > 0; i--)
        if (r->open[i - 1].index == index)
            return &r->open[i - 1];
    return NULL;
}

static void block_start(struct reading *x, int64_t index, const struct json_value *value)
{
    struct answer_reader *r = x->r;
    if (!r->started || r->finished)
        return;
    if (r->open_count == OPEN_MAX || value->kind != JSON_OBJECT) {
        fail_with(x, "upstream_malformed",
                  r->open_count == OPEN_MAX
                      ? "the upstream's stream has too many blocks open"
                      : "the upstream's stream begins a block without saying which");
        return;
    }
    struct block *block = &r->open[r->open_count++];
    *block = (struct block){.index = index, .kind = BLOCK_SILENT};
    begin_block(x, value, block);
}

static void block_delta(struct reading *x, int64_t index, const struct json_value *delta)
{
    enum { D_TEXT, D_JSON, D_THINKING, D_SIGNATURE, D_CITATION, D_COUNT };
    static const struct str names[D_COUNT] = {STR_INIT("text"), STR_INIT("partial_json"),
                                              STR_INIT("thinking"), STR_INIT("signature"),
                                              STR_INIT("citation")};
    struct json_value d[D_COUNT];
    const struct block *block = open_block(x->r, index);
    if (x->r->finished)
        return;
    if (!block) {
        fail_with(x, "upstream_malformed",
                  "the upstream's stream speaks of a block that is not open");
        return;
    }
    fields_of(delta, FIELDS(names), d);
    for (int i = D_TEXT; i <= D_THINKING; i++)
        if (d[i].kind == JSON_STRING)
            take_text(x, block, json_text_raw(&d[i]));
    if (block->kind == BLOCK_THINKING && json_text_raw(&d[D_SIGNATURE]).len)
        emit(x, ANSWER_SIGNATURE, json_text_raw(&d[D_SIGNATURE]));
    if (d[D_CITATION].kind == JSON_OBJECT)
        take_other(x, STR("citation"), d[D_CITATION].raw);
}

static void block_stop(struct reading *x, int64_t index)
{
    struct answer_reader *r = x->r;
    struct block *block = open_block(r, index);
    if (!block)
        return;
    end_block(x, block);
    *block = r->open[--r->open_count];
}

/* ---- The message ---- */

enum answer_finish anthropic_stop_of(const struct json_value *reason)
{
    static const struct {
        struct str name;
        enum answer_finish finish;
    } rows[] = {
        {STR_INIT("max_tokens"), FINISH_LENGTH},
        {STR_INIT("model_context_window_exceeded"), FINISH_LENGTH},
        {STR_INIT("tool_use"), FINISH_TOOLS},
        {STR_INIT("stop_sequence"), FINISH_SEQUENCE},
        {STR_INIT("refusal"), FINISH_FILTER},
        {STR_INIT("pause_turn"), FINISH_PAUSE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (json_eq(reason, rows[i].name))
            return rows[i].finish;
    return FINISH_STOP;
}

static void start(struct reading *x, const struct json_value *message)
{
    static const struct str names[] = {STR_INIT("id"), STR_INIT("model"), STR_INIT("usage")};
    struct json_value m[3];
    if (x->r->started)
        return;
    x->r->started = true;
    fields_of(message, FIELDS(names), m);
    answer_emit(x->sink, &(struct answer_event){.kind = ANSWER_START,
                                                .id = json_text_raw(&m[0]),
                                                .name = json_text_raw(&m[1])});
    take_usage(x, &m[2]);
}

static void finish(struct reading *x, const struct json_value *reason,
                   const struct json_value *sequence)
{
    struct answer_reader *r = x->r;
    if (reason->kind != JSON_STRING || r->finished || !r->started)
        return;
    while (r->open_count > 0)
        end_block(x, &r->open[--r->open_count]);
    r->finished = true;
    enum answer_finish finish = anthropic_stop_of(reason);
    if (finish == FINISH_STOP && r->tools > 0)
        finish = FINISH_TOOLS;
    if (finish == FINISH_TOOLS && r->tools == 0 && r->json)
        finish = FINISH_STOP;
    answer_emit(x->sink,
                &(struct answer_event){.kind = ANSWER_FINISH,
                                       .finish = finish,
                                       .text = finish == FINISH_SEQUENCE ? json_text_raw(sequence)
                                                                         : STR_NONE});
}

static void end(struct reading *x)
{
    static const struct json_value stop = {STR_INIT("\"end_turn\""), 0, JSON_STRING};
    static const struct json_value none = {{NULL, 0}, 0, JSON_NONE};
    if (x->r->over)
        return;
    finish(x, &stop, &none);
    x->r->over = true;
    answer_emit(x->sink, &(struct answer_event){.kind = ANSWER_END});
}

static void message_delta(struct reading *x, const struct json_value *delta,
                          const struct json_value *usage)
{
    static const struct str names[] = {STR_INIT("stop_reason"), STR_INIT("stop_sequence")};
    struct json_value d[2];
    fields_of(delta, FIELDS(names), d);
    finish(x, &d[0], &d[1]);
    take_usage(x, usage);
}

enum { E_TYPE, E_INDEX, E_DELTA, E_BLOCK, E_MESSAGE, E_USAGE, E_ERROR, E_COUNT };
static const struct str event_names[E_COUNT] = {
    STR_INIT("type"),    STR_INIT("index"), STR_INIT("delta"), STR_INIT("content_block"),
    STR_INIT("message"), STR_INIT("usage"), STR_INIT("error")};

static void take_event(struct reading *x, const struct json_value e[E_COUNT])
{
    const struct json_value *type = &e[E_TYPE];
    int64_t index = 0;
    if (e[E_INDEX].kind == JSON_NUMBER && json_to_i64(&e[E_INDEX], &index) != ERR_OK)
        index = -1;
    if (json_eq(type, STR("content_block_delta")))
        block_delta(x, index, &e[E_DELTA]);
    else if (json_eq(type, STR("content_block_start")))
        block_start(x, index, &e[E_BLOCK]);
    else if (json_eq(type, STR("content_block_stop")))
        block_stop(x, index);
    else if (json_eq(type, STR("message_start")))
        start(x, &e[E_MESSAGE]);
    else if (json_eq(type, STR("message_delta")) && x->r->started)
        message_delta(x, &e[E_DELTA], &e[E_USAGE]);
    else if (json_eq(type, STR("message_stop")) && x->r->started)
        end(x);
    else if (json_eq(type, STR("ping")))
        emit(x, ANSWER_PING, STR_NONE);
}

void anthropic_reader_feed(struct answer_reader *r, struct str name, struct str data,
                           struct answer_sink sink)
{
    struct reading x = {r, halves_sink(&r->halves, sink)};
    struct json_value e[E_COUNT];
    struct openai_problem problem;
    if (r->over || str_eq(str_trim(data), STR("[DONE]")))
        return;
    bool valid = fields_read(data, r->max_depth, FIELDS(event_names), e, NULL);
    if (str_eq(name, STR("error")) || (valid && e[E_ERROR].kind != JSON_NONE)) {
        openai_error_read(data, 200, &problem);
        fail(&x, &problem);
    } else if (!valid) {
        fail_with(&x, "upstream_malformed", "the upstream's stream holds an event that is no JSON");
    } else {
        take_event(&x, e);
    }
}

void anthropic_reader_end(struct answer_reader *r, struct answer_sink sink)
{
    struct reading x = {r, halves_sink(&r->halves, sink)};
    if (r->finished)
        end(&x);
}

/* ---- Whole answers ---- */

static void read_content(struct reading *x, const struct json_value *content)
{
    struct json_reader reader;
    json_reader_init(&reader, content->raw, JSON_DEPTH_MAX);
    if (!json_enter(&reader, JSON_ARRAY))
        return;
    while (json_next_element(&reader) && !x->r->over) {
        struct json_value value = json_take(&reader);
        struct block block = {.kind = BLOCK_SILENT};
        begin_block(x, &value, &block);
        end_block(x, &block);
    }
}

enum err anthropic_answer_read(struct str body, const struct answer_options *options,
                               struct answer_sink sink)
{
    enum { M_CONTENT, M_STOP, M_SEQUENCE, M_ERROR, M_COUNT };
    static const struct str names[M_COUNT] = {STR_INIT("content"), STR_INIT("stop_reason"),
                                              STR_INIT("stop_sequence"), STR_INIT("error")};
    struct json_value m[M_COUNT], value;
    struct openai_problem problem;
    if (!fields_read(body, options->max_depth, FIELDS(names), m, NULL)) {
        enum err e = json_validate(body, options->max_depth, &value);
        return e == ERR_OK ? ERR_INVALID : e;
    }
    struct answer_reader *r = anthropic_reader_new(options);
    struct reading x = {r, halves_sink(&r->halves, sink)};
    if (m[M_ERROR].kind != JSON_NONE) {
        openai_error_read(body, 200, &problem);
        fail(&x, &problem);
    } else if (m[M_CONTENT].kind == JSON_ARRAY) {
        struct json_value message = {.raw = str_trim(body), .kind = JSON_OBJECT};
        start(&x, &message);
        read_content(&x, &m[M_CONTENT]);
        if (!r->over)
            finish(&x, &m[M_STOP], &m[M_SEQUENCE]);
        end(&x);
    }
    enum err e = r->over ? ERR_OK : ERR_INVALID;
    anthropic_reader_free(r);
    return e;
}
