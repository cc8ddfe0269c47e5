/* Events as OpenAI's chat completions, streamed or whole.
 *
 * A stream's chunks share all but their delta: the head is written once, at START, and copied. */
#include "base/mem.h"
#include "codec/json_write.h"
#include "dialect/openai_int.h"

enum { HEAD_BYTES_MAX = 16 << 10 };

struct answer_writer {
    bool include_usage;
    bool over;
    struct buf head;                         /* data: {"id":…,"choices":[{"index": */
    uint64_t begun[ANSWER_CHOICES_MAX / 64]; /* choices whose role was said */
    uint32_t blocks[ANSWER_CHOICES_MAX];     /* of thinking, that are over */
    struct usage usage;
    struct str id; /* what START may not bring; owned */
    struct str model;
    int64_t created_s;
};

static struct str own(struct str s)
{
    return str_of(mem_strdup(s.ptr ? s.ptr : "", s.len), s.len);
}

struct answer_writer *openai_writer_new(const struct answer_options *options)
{
    struct answer_writer *w = NEW(struct answer_writer);
    w->include_usage = options->include_usage;
    w->id = own(options->id);
    w->model = own(options->model);
    w->created_s = options->created_s;
    buf_init(&w->head, HEAD_BYTES_MAX);
    return w;
}

void openai_writer_free(struct answer_writer *w)
{
    if (!w)
        return;
    mem_free((void *)w->id.ptr);
    mem_free((void *)w->model.ptr);
    buf_release(&w->head);
    mem_free(w);
}

/* ---- What every answer begins with ---- */

/* id, object, created, model. Escaped texts of the provider go before plain ones of ours. */
static void write_head(struct json_writer *j, struct str object, struct str id, struct str model,
                       int64_t created_s, struct str own_id, struct str own_model,
                       int64_t own_created_s)
{
    json_key(j, STR("id"));
    if (id.len) {
        json_str_raw(j, id);
    } else {
        json_str_begin(j);
        buf_append_str(j->out, STR("chatcmpl-"));
        json_escape_append(j->out, own_id);
        json_str_end(j);
    }
    json_member_str(j, STR("object"), object);
    json_member_i64(j, STR("created"), created_s > 0 ? created_s : own_created_s);
    if (model.len)
        json_member_str_raw(j, STR("model"), model);
    else
        json_member_str(j, STR("model"), own_model);
}

static void start(struct answer_writer *w, const struct answer_event *e)
{
    struct json_writer j;
    if (w->head.len > 0)
        return;
    buf_append_str(&w->head, STR("data: "));
    json_writer_init(&j, &w->head);
    json_object_begin(&j);
    write_head(&j, STR("chat.completion.chunk"), e->id, e->name, e->created_s, w->id, w->model,
               w->created_s);
    buf_append_str(&w->head, STR(",\"choices\":["));
}

/* ---- Chunks ---- */

static void open_chunk(struct answer_writer *w, uint32_t choice, struct buf *out)
{
    if (w->head.len == 0)
        start(w, &(struct answer_event){.kind = ANSWER_START});
    buf_append_str(out, buf_str(&w->head));
    buf_append_str(out, STR("{\"index\":"));
    buf_append_u64(out, choice);
    buf_append_str(out, STR(",\"delta\":{"));
}

static void close_chunk(const struct answer_writer *w, struct buf *out)
{
    buf_append_str(out, STR("},\"logprobs\":null,\"finish_reason\":null}]"));
    buf_append_str(out, w->include_usage ? STR(",\"usage\":null}\n\n") : STR("}\n\n"));
}

/* The first chunk of a choice says whose answer it is. */
static void begin(struct answer_writer *w, uint32_t choice, struct buf *out)
{
    uint64_t bit = UINT64_C(1) << choice % 64, *word = &w->begun[choice / 64];
    if (*word & bit)
        return;
    *word |= bit;
    open_chunk(w, choice, out);
    buf_append_str(out, STR("\"role\":\"assistant\",\"content\":\"\",\"refusal\":null"));
    close_chunk(w, out);
}

/* member: of the delta, with the quote that opens its text. */
static void text_chunk(struct answer_writer *w, const struct answer_event *e, struct str member,
                       struct buf *out)
{
    open_chunk(w, e->choice, out);
    buf_append_str(out, member);
    buf_append_str(out, e->text);
    buf_append_char(out, '"');
    close_chunk(w, out);
}

/* Thinking is said twice: as text for everyone, and as blocks, with their index as OpenAI's SDKs
 * need it to add deltas up, for who sends the conversation back. */
static void thinking_chunk(struct answer_writer *w, const struct answer_event *e, struct buf *out)
{
    static const struct str members[] = {
        [ANSWER_THINKING] = STR_INIT("thinking"),
        [ANSWER_SIGNATURE] = STR_INIT("signature"),
        [ANSWER_REDACTED] = STR_INIT("data"),
    };
    open_chunk(w, e->choice, out);
    if (e->kind == ANSWER_THINKING) {
        buf_append_str(out, STR("\"reasoning_content\":\""));
        buf_append_str(out, e->text);
        buf_append_str(out, STR("\","));
    }
    buf_append_str(out, STR("\"thinking_blocks\":[{\"index\":"));
    buf_append_u64(out, w->blocks[e->choice]);
    buf_append_str(out, STR(",\"type\":\""));
    buf_append_str(out, e->kind == ANSWER_REDACTED ? STR("redacted_thinking") : STR("thinking"));
    buf_append_str(out, STR("\",\""));
    buf_append_str(out, members[e->kind]);
    buf_append_str(out, STR("\":\""));
    buf_append_str(out, e->text);
    buf_append_str(out, STR("\"}]"));
    close_chunk(w, out);
    w->blocks[e->choice] += e->kind != ANSWER_THINKING;
}

static void write_google(struct str signature, struct buf *out)
{
    buf_append_str(out, STR(",\"extra_content\":{\"google\":{\"thought_signature\":\""));
    buf_append_str(out, signature);
    buf_append_str(out, STR("\"}}"));
}

static void tool_chunk(struct answer_writer *w, const struct answer_event *e, struct buf *out)
{
    open_chunk(w, e->choice, out);
    buf_append_str(out, STR("\"tool_calls\":[{\"index\":"));
    buf_append_u64(out, e->tool);
    if (e->kind == ANSWER_TOOL_BEGIN) {
        buf_append_str(out, STR(",\"id\":\""));
        buf_append_str(out, e->id);
        buf_append_str(out, STR("\",\"type\":\"function\",\"function\":{\"name\":\""));
        buf_append_str(out, e->name);
        buf_append_str(out, STR("\",\"arguments\":\"\"}"));
        if (e->text.len)
            write_google(e->text, out);
        buf_append_str(out, STR("}]"));
    } else {
        buf_append_str(out, STR(",\"function\":{\"arguments\":\""));
        buf_append_str(out, e->text);
        buf_append_str(out, STR("\"}}]"));
    }
    close_chunk(w, out);
}

static void other_chunk(struct answer_writer *w, const struct answer_event *e, struct buf *out)
{
    open_chunk(w, e->choice, out);
    buf_append_char(out, '"');
    buf_append_str(out, e->name);
    buf_append_str(out, STR("\":"));
    buf_append_str(out, e->raw);
    close_chunk(w, out);
}

static void logprobs_chunk(struct answer_writer *w, const struct answer_event *e, struct buf *out)
{
    open_chunk(w, e->choice, out);
    buf_append_str(out, STR("},\"logprobs\":"));
    buf_append_str(out, e->raw);
    buf_append_str(out, STR(",\"finish_reason\":null}]}\n\n"));
}

struct str openai_finish_name(enum answer_finish finish)
{
    switch (finish) {
    case FINISH_LENGTH: return STR("length");
    case FINISH_TOOLS: return STR("tool_calls");
    case FINISH_FILTER: return STR("content_filter");
    case FINISH_NONE:
    case FINISH_STOP:
    case FINISH_SEQUENCE:
    case FINISH_PAUSE: break;
    }
    return STR("stop");
}

static void finish_chunk(struct answer_writer *w, const struct answer_event *e, struct buf *out)
{
    open_chunk(w, e->choice, out);
    buf_append_str(out, STR("},\"logprobs\":null,\"finish_reason\":\""));
    buf_append_str(out, openai_finish_name(e->finish));
    if (e->finish == FINISH_SEQUENCE && e->text.len) {
        buf_append_str(out, STR("\",\"stop_reason\":\""));
        buf_append_str(out, e->text);
    }
    buf_append_str(out, STR("\"}]"));
    buf_append_str(out, w->include_usage ? STR(",\"usage\":null}\n\n") : STR("}\n\n"));
}

static void end(struct answer_writer *w, struct buf *out)
{
    if (w->include_usage && w->usage.source != USAGE_NONE) {
        if (w->head.len == 0)
            start(w, &(struct answer_event){.kind = ANSWER_START});
        buf_append_str(out, buf_str(&w->head));
        buf_append_str(out, STR("],\"usage\":"));
        openai_usage_write(&w->usage, out);
        buf_append_str(out, STR("}\n\n"));
    }
    buf_append_str(out, STR("data: [DONE]\n\n"));
    w->over = true;
}

static void take_of_choice(struct answer_writer *w, const struct answer_event *e, struct buf *out)
{
    if (e->choice >= ANSWER_CHOICES_MAX || e->kind == ANSWER_TOOL_END)
        return;
    begin(w, e->choice, out);
    switch (e->kind) {
    case ANSWER_TEXT: text_chunk(w, e, STR("\"content\":\""), out); break;
    case ANSWER_REFUSAL: text_chunk(w, e, STR("\"refusal\":\""), out); break;
    case ANSWER_THINKING:
    case ANSWER_SIGNATURE:
    case ANSWER_REDACTED: thinking_chunk(w, e, out); break;
    case ANSWER_LOGPROBS: logprobs_chunk(w, e, out); break;
    case ANSWER_OTHER: other_chunk(w, e, out); break;
    case ANSWER_FINISH: finish_chunk(w, e, out); break;
    default: tool_chunk(w, e, out); break;
    }
}

void openai_writer_take(struct answer_writer *w, const struct answer_event *e, struct buf *out)
{
    if (w->over)
        return;
    switch (e->kind) {
    case ANSWER_START: start(w, e); break;
    case ANSWER_PING: buf_append_str(out, STR(": ping\n\n")); break;
    case ANSWER_USAGE: w->usage = e->usage; break;
    case ANSWER_ERROR:
        openai_error_event_write(out, e->problem);
        w->over = true;
        break;
    case ANSWER_END: end(w, out); break;
    default: take_of_choice(w, e, out); break;
    }
}

/* ---- Whole answers ---- */

void openai_usage_write(const struct usage *u, struct buf *out)
{
    struct json_writer j;
    json_writer_init(&j, out);
    json_object_begin(&j);
    json_member_i64(&j, STR("prompt_tokens"), u->input);
    json_member_i64(&j, STR("completion_tokens"), u->output);
    json_member_i64(&j, STR("total_tokens"), u->input + u->output);
    json_key(&j, STR("prompt_tokens_details"));
    json_object_begin(&j);
    json_member_i64(&j, STR("cached_tokens"), u->cached_input);
    if (u->cache_write > 0)
        json_member_i64(&j, STR("cache_write_tokens"), u->cache_write);
    json_member_i64(&j, STR("audio_tokens"), u->audio_in);
    json_object_end(&j);
    json_key(&j, STR("completion_tokens_details"));
    json_object_begin(&j);
    json_member_i64(&j, STR("reasoning_tokens"), u->reasoning);
    json_member_i64(&j, STR("audio_tokens"), u->audio_out);
    json_object_end(&j);
    json_object_end(&j);
}

static bool has_part(const struct answer_choice *choice, enum answer_part_kind kind)
{
    for (const struct answer_part *p = choice->parts; p; p = p->next)
        if (p->kind == kind)
            return true;
    return false;
}

/* All texts of a kind as one string. */
static void write_texts(const struct answer_choice *choice, enum answer_part_kind kind,
                        struct json_writer *j)
{
    json_str_begin(j);
    for (const struct answer_part *p = choice->parts; p; p = p->next)
        if (p->kind == kind)
            buf_append_str(j->out, buf_str(&p->text));
    json_str_end(j);
}

static void write_thinking_blocks(const struct answer_choice *choice, struct json_writer *j)
{
    json_key(j, STR("thinking_blocks"));
    json_array_begin(j);
    for (const struct answer_part *p = choice->parts; p; p = p->next) {
        if (p->kind != ANSWER_PART_THINKING && p->kind != ANSWER_PART_REDACTED)
            continue;
        bool redacted = p->kind == ANSWER_PART_REDACTED;
        json_object_begin(j);
        json_member_str(j, STR("type"), redacted ? STR("redacted_thinking") : STR("thinking"));
        json_member_str_raw(j, redacted ? STR("data") : STR("thinking"), buf_str(&p->text));
        if (!redacted)
            json_member_str_raw(j, STR("signature"), p->signature);
        json_object_end(j);
    }
    json_array_end(j);
}

/* Blocks are for what has to come back as it is. */
static bool is_signed(const struct answer_choice *choice)
{
    for (const struct answer_part *p = choice->parts; p; p = p->next)
        if (p->kind == ANSWER_PART_REDACTED ||
            (p->kind == ANSWER_PART_THINKING && p->signature.len))
            return true;
    return false;
}

static void write_calls(const struct answer_choice *choice, struct json_writer *j)
{
    json_key(j, STR("tool_calls"));
    json_array_begin(j);
    for (const struct answer_part *p = choice->parts; p; p = p->next) {
        if (p->kind != ANSWER_PART_TOOL)
            continue;
        json_object_begin(j);
        json_member_str_raw(j, STR("id"), p->id);
        json_member_str(j, STR("type"), STR("function"));
        json_key(j, STR("function"));
        json_object_begin(j);
        json_member_str_raw(j, STR("name"), p->name);
        json_member_str_raw(j, STR("arguments"), p->text.len ? buf_str(&p->text) : STR("{}"));
        json_object_end(j);
        if (p->signature.len)
            write_google(p->signature, j->out);
        json_object_end(j);
    }
    json_array_end(j);
}

static void write_message(const struct answer_choice *choice, struct json_writer *j)
{
    bool text = has_part(choice, ANSWER_PART_TEXT), calls = has_part(choice, ANSWER_PART_TOOL);
    bool refusal = has_part(choice, ANSWER_PART_REFUSAL);
    json_object_begin(j);
    json_member_str(j, STR("role"), STR("assistant"));
    json_key(j, STR("content"));
    if (text || (!calls && !refusal))
        write_texts(choice, ANSWER_PART_TEXT, j);
    else
        json_null(j);
    json_key(j, STR("refusal"));
    if (refusal)
        write_texts(choice, ANSWER_PART_REFUSAL, j);
    else
        json_null(j);
    if (has_part(choice, ANSWER_PART_THINKING)) {
        json_key(j, STR("reasoning_content"));
        write_texts(choice, ANSWER_PART_THINKING, j);
    }
    if (is_signed(choice))
        write_thinking_blocks(choice, j);
    if (calls)
        write_calls(choice, j);
    for (const struct answer_part *p = choice->parts; p; p = p->next)
        if (p->kind == ANSWER_PART_OTHER && p->text.len) {
            json_key_raw(j, p->name);
            json_raw(j, buf_str(&p->text));
        }
    json_object_end(j);
}

static void write_logprobs(const struct answer_choice *choice, struct json_writer *j)
{
    json_key(j, STR("logprobs"));
    if (!choice->has_logprobs) {
        json_null(j);
        return;
    }
    json_object_begin(j);
    json_key(j, STR("content"));
    json_array_begin(j);
    buf_append_str(j->out, buf_str(&choice->logprobs_content));
    json_array_end(j);
    if (choice->logprobs_refusal.len) {
        json_key(j, STR("refusal"));
        json_array_begin(j);
        buf_append_str(j->out, buf_str(&choice->logprobs_refusal));
        json_array_end(j);
    }
    json_object_end(j);
}

static void write_choice(const struct answer_choice *choice, struct json_writer *j)
{
    json_object_begin(j);
    json_member_u64(j, STR("index"), choice->number);
    json_key(j, STR("message"));
    write_message(choice, j);
    write_logprobs(choice, j);
    json_key(j, STR("finish_reason"));
    if (choice->finish == FINISH_NONE)
        json_null(j);
    else
        json_str(j, openai_finish_name(choice->finish));
    if (choice->finish == FINISH_SEQUENCE && choice->stop_sequence.len)
        json_member_str_raw(j, STR("stop_reason"), choice->stop_sequence);
    json_object_end(j);
}

void openai_answer_write(const struct answer *a, const struct answer_options *o, struct buf *out)
{
    struct json_writer j;
    json_writer_init(&j, out);
    json_object_begin(&j);
    write_head(&j, STR("chat.completion"), a->id, a->model, a->created_s, o->id, o->model,
               o->created_s);
    json_key(&j, STR("choices"));
    json_array_begin(&j);
    for (const struct answer_choice *choice = a->choices; choice; choice = choice->next)
        write_choice(choice, &j);
    json_array_end(&j);
    if (a->usage.source != USAGE_NONE) {
        json_key(&j, STR("usage"));
        openai_usage_write(&a->usage, out);
    }
    json_object_end(&j);
}
