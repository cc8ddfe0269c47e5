/* Events as Anthropic's messages, streamed or whole.
 *
 * A stream has one block open at a time. Where calls alternate, the one that was begun first is
 * written as it comes and the others wait for its end:
 *
 *   live block ── its deltas pass ── its end ── the next of `waiting` becomes live, with its text
 *
 * 1. Only a tool call keeps others waiting: thinking and text end where something else begins.
 * 2. What waits is bounded by max_bytes; past it the stream ends in an error. */
#include "base/mem.h"
#include "codec/json_write.h"
#include "dialect/anthropic_int.h"

enum live { LIVE_NONE, LIVE_TEXT, LIVE_THINKING, LIVE_TOOL };

struct waiting {
    enum live kind;
    uint32_t tool;
    bool ended;
    struct buf id, name, signature; /* of a call; of thinking its signature */
    struct buf text;
};

struct answer_writer {
    struct str id; /* what START may not bring; owned */
    struct str model;
    struct buf start; /* message_start up to its usage, until it is written */
    bool started;
    bool over;
    enum live live;
    uint32_t live_tool;
    bool live_ended;
    uint32_t next; /* block's number */
    struct waiting *waiting;
    size_t waiting_count;
    size_t waiting_bytes;
    size_t max_bytes;
    struct usage usage;
    enum answer_finish finish;
    bool refused; /* some of the text is a refusal */
    struct buf stop_sequence;
};

enum { START_BYTES_MAX = 16 << 10, NAME_BYTES_MAX = 1 << 20 };

static struct str own(struct str s)
{
    return str_of(mem_strdup(s.ptr ? s.ptr : "", s.len), s.len);
}

struct answer_writer *anthropic_writer_new(const struct answer_options *options)
{
    struct answer_writer *w = NEW(struct answer_writer);
    w->id = own(options->id);
    w->model = own(options->model);
    w->max_bytes = options->max_bytes;
    buf_init(&w->start, START_BYTES_MAX);
    buf_init(&w->stop_sequence, START_BYTES_MAX);
    return w;
}

static void waiting_release(struct waiting *b)
{
    buf_release(&b->id);
    buf_release(&b->name);
    buf_release(&b->signature);
    buf_release(&b->text);
}

void anthropic_writer_free(struct answer_writer *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->waiting_count; i++)
        waiting_release(&w->waiting[i]);
    mem_free(w->waiting);
    mem_free((void *)w->id.ptr);
    mem_free((void *)w->model.ptr);
    buf_release(&w->start);
    buf_release(&w->stop_sequence);
    mem_free(w);
}

/* ---- What every answer begins with ---- */

/* id, type, role, model. Escaped texts of the provider go before plain ones of ours. */
static void write_head(struct json_writer *j, struct str id, struct str model, struct str own_id,
                       struct str own_model)
{
    json_key(j, STR("id"));
    if (id.len) {
        json_str_raw(j, id);
    } else {
        json_str_begin(j);
        buf_append_str(j->out, STR("msg_"));
        json_escape_append(j->out, own_id);
        json_str_end(j);
    }
    json_member_str(j, STR("type"), STR("message"));
    json_member_str(j, STR("role"), STR("assistant"));
    if (model.len)
        json_member_str_raw(j, STR("model"), model);
    else
        json_member_str(j, STR("model"), own_model);
}

/* Kept until something but usage comes, so that usage which comes early is in it. */
static void take_start(struct answer_writer *w, const struct answer_event *e)
{
    struct json_writer j;
    if (w->started || w->start.len > 0)
        return;
    buf_append_str(&w->start, STR("event: message_start\ndata: {\"type\":\"message_start\","
                                  "\"message\":"));
    json_writer_init(&j, &w->start);
    json_object_begin(&j);
    write_head(&j, e->id, e->name, w->id, w->model);
    buf_append_str(&w->start, STR(",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
                                  "\"usage\":"));
}

static void flush_start(struct answer_writer *w, struct buf *out)
{
    if (w->started)
        return;
    take_start(w, &(struct answer_event){.kind = ANSWER_START});
    w->started = true;
    buf_append_str(out, buf_str(&w->start));
    anthropic_usage_write(&w->usage, out);
    buf_append_str(out, STR("}}\n\n"));
}

/* ---- Blocks ---- */

#define DELTA "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"
#define START "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":"
#define STOP  "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":"

/* member: the delta's type and the beginning of its text. */
static void write_delta(const struct answer_writer *w, struct str member, struct str text,
                        struct buf *out)
{
    buf_append_str(out, STR(DELTA));
    buf_append_u64(out, w->next - 1);
    buf_append_str(out, member);
    buf_append_str(out, text);
    buf_append_str(out, STR("\"}}\n\n"));
}

static void close_live(struct answer_writer *w, struct buf *out)
{
    if (w->live == LIVE_NONE)
        return;
    w->live = LIVE_NONE;
    buf_append_str(out, STR(STOP));
    buf_append_u64(out, w->next - 1);
    buf_append_str(out, STR("}\n\n"));
}

static void open_block(struct answer_writer *w, enum live kind, struct str block, struct buf *out)
{
    close_live(w, out);
    w->live = kind;
    w->live_ended = false;
    buf_append_str(out, STR(START));
    buf_append_u64(out, w->next++);
    buf_append_str(out, STR(",\"content_block\":"));
    buf_append_str(out, block);
}

static void open_thinking(struct answer_writer *w, struct buf *out)
{
    open_block(w, LIVE_THINKING,
               STR("{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n"), out);
}

static void write_text(struct answer_writer *w, enum live kind, struct str text, struct buf *out)
{
    bool go_on = w->live == kind && !w->live_ended;
    if (kind == LIVE_TEXT && !go_on)
        open_block(w, kind, STR("{\"type\":\"text\",\"text\":\"\"}}\n\n"), out);
    else if (kind == LIVE_THINKING && !go_on)
        open_thinking(w, out);
    if (text.len)
        write_delta(w,
                    kind == LIVE_TEXT
                        ? STR(",\"delta\":{\"type\":\"text_delta\",\"text\":\"")
                        : STR(",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\""),
                    text, out);
}

static void write_signature(struct answer_writer *w, struct str signature, struct buf *out)
{
    if (w->live != LIVE_THINKING || w->live_ended)
        open_thinking(w, out);
    w->live_ended = true;
    write_delta(w, STR(",\"delta\":{\"type\":\"signature_delta\",\"signature\":\""), signature,
                out);
}

static void write_redacted(struct answer_writer *w, struct str data, struct buf *out)
{
    open_block(w, LIVE_TEXT, STR("{\"type\":\"redacted_thinking\",\"data\":\""), out);
    buf_append_str(out, data);
    buf_append_str(out, STR("\"}}\n\n"));
    close_live(w, out);
}

/* A signature that belongs to a call goes before it, as thinking that says nothing. */
static void write_tool_begin(struct answer_writer *w, uint32_t tool, struct str id, struct str name,
                             struct str signature, struct buf *out)
{
    if (signature.len)
        write_signature(w, signature, out);
    open_block(w, LIVE_TOOL, STR("{\"type\":\"tool_use\",\"id\":\""), out);
    w->live_tool = tool;
    buf_append_str(out, id);
    buf_append_str(out, STR("\",\"name\":\""));
    buf_append_str(out, name);
    buf_append_str(out, STR("\",\"input\":{}}}\n\n"));
}

static void write_arguments(struct answer_writer *w, struct str text, struct buf *out)
{
    if (text.len)
        write_delta(w, STR(",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\""), text,
                    out);
}

/* ---- Waiting ---- */

static struct waiting *wait_add(struct answer_writer *w, enum live kind, uint32_t tool)
{
    w->waiting = mem_resize(w->waiting, (w->waiting_count + 1) * sizeof *w->waiting);
    struct waiting *b = &w->waiting[w->waiting_count++];
    *b = (struct waiting){.kind = kind, .tool = tool};
    buf_init(&b->id, NAME_BYTES_MAX);
    buf_init(&b->name, NAME_BYTES_MAX);
    buf_init(&b->signature, NAME_BYTES_MAX);
    buf_init(&b->text, w->max_bytes);
    w->waiting_bytes += sizeof *b;
    return b;
}

static struct waiting *wait_find(struct answer_writer *w, enum live kind, uint32_t tool)
{
    for (size_t i = 0; i < w->waiting_count; i++)
        if (w->waiting[i].kind == kind && w->waiting[i].tool == tool)
            return &w->waiting[i];
    return NULL;
}

static struct waiting *wait_text(struct answer_writer *w, enum live kind)
{
    struct waiting *last = w->waiting_count ? &w->waiting[w->waiting_count - 1] : NULL;
    return last && last->kind == kind && !last->ended ? last : wait_add(w, kind, 0);
}

static void wait_keep(struct answer_writer *w, struct buf *to, struct str text)
{
    w->waiting_bytes += text.len;
    buf_append_str(to, text);
}

static void wait_take(struct answer_writer *w, const struct answer_event *e)
{
    struct waiting *b;
    switch (e->kind) {
    case ANSWER_TEXT:
    case ANSWER_REFUSAL: wait_keep(w, &wait_text(w, LIVE_TEXT)->text, e->text); break;
    case ANSWER_THINKING: wait_keep(w, &wait_text(w, LIVE_THINKING)->text, e->text); break;
    case ANSWER_SIGNATURE:
        b = wait_text(w, LIVE_THINKING);
        b->ended = true;
        wait_keep(w, &b->signature, e->text);
        break;
    case ANSWER_REDACTED: wait_keep(w, &wait_add(w, LIVE_NONE, 0)->text, e->text); break;
    case ANSWER_TOOL_BEGIN:
        b = wait_add(w, LIVE_TOOL, e->tool);
        wait_keep(w, &b->id, e->id);
        wait_keep(w, &b->name, e->name);
        wait_keep(w, &b->signature, e->text);
        break;
    case ANSWER_TOOL_ARGS:
        if ((b = wait_find(w, LIVE_TOOL, e->tool)))
            wait_keep(w, &b->text, e->text);
        break;
    case ANSWER_TOOL_END:
        if ((b = wait_find(w, LIVE_TOOL, e->tool)))
            b->ended = true;
        break;
    default: break;
    }
}

static void wait_write(struct answer_writer *w, struct waiting *b, struct buf *out)
{
    switch (b->kind) {
    case LIVE_NONE: write_redacted(w, buf_str(&b->text), out); break;
    case LIVE_TEXT: write_text(w, LIVE_TEXT, buf_str(&b->text), out); break;
    case LIVE_THINKING:
        if (b->text.len)
            write_text(w, LIVE_THINKING, buf_str(&b->text), out);
        if (b->ended)
            write_signature(w, buf_str(&b->signature), out);
        break;
    case LIVE_TOOL:
        write_tool_begin(w, b->tool, buf_str(&b->id), buf_str(&b->name), buf_str(&b->signature),
                         out);
        write_arguments(w, buf_str(&b->text), out);
        if (b->ended)
            close_live(w, out);
        break;
    }
}

/* The live call is over: write what waits, up to the next call that is not. all: whatever it is. */
static void wait_drain(struct answer_writer *w, bool all, struct buf *out)
{
    size_t done = 0;
    while (done < w->waiting_count && (all || w->live != LIVE_TOOL)) {
        wait_write(w, &w->waiting[done], out);
        waiting_release(&w->waiting[done++]);
    }
    w->waiting_count -= done;
    if (done > 0 && w->waiting_count > 0)
        memmove(w->waiting, w->waiting + done, w->waiting_count * sizeof *w->waiting);
    if (w->waiting_count == 0)
        w->waiting_bytes = 0;
}

/* ---- Events ---- */

static void write_now(struct answer_writer *w, const struct answer_event *e, struct buf *out)
{
    switch (e->kind) {
    case ANSWER_TEXT:
    case ANSWER_REFUSAL: write_text(w, LIVE_TEXT, e->text, out); break;
    case ANSWER_THINKING: write_text(w, LIVE_THINKING, e->text, out); break;
    case ANSWER_SIGNATURE: write_signature(w, e->text, out); break;
    case ANSWER_REDACTED: write_redacted(w, e->text, out); break;
    case ANSWER_TOOL_BEGIN: write_tool_begin(w, e->tool, e->id, e->name, e->text, out); break;
    default: break;
    }
}

static void fail(struct answer_writer *w, struct buf *out)
{
    struct openai_problem problem;
    openai_problem_set(&problem, "api_error", NULL, "answer_too_large",
                       "tool calls that alternate hold back more than %zu bytes", w->max_bytes);
    w->over = true;
    anthropic_error_event_write(out, 500, &problem);
}

/* Something of the one choice that this language has. */
static void take_content(struct answer_writer *w, const struct answer_event *e, struct buf *out)
{
    bool text = e->kind == ANSWER_TEXT || e->kind == ANSWER_REFUSAL || e->kind == ANSWER_THINKING;
    bool mine = w->live == LIVE_TOOL && w->live_tool == e->tool;
    w->refused |= e->kind == ANSWER_REFUSAL && e->text.len > 0;
    if (text && e->text.len == 0)
        return;
    flush_start(w, out);
    if (e->kind == ANSWER_TOOL_ARGS && mine) {
        write_arguments(w, e->text, out);
    } else if (e->kind == ANSWER_TOOL_END && mine) {
        close_live(w, out);
        wait_drain(w, false, out);
    } else if (w->live == LIVE_TOOL) {
        wait_take(w, e);
        if (w->waiting_bytes > w->max_bytes)
            fail(w, out);
    } else {
        write_now(w, e, out);
    }
}

/* OpenAI ends a refusal like any other text; here it has a reason of its own to stop. */
static struct str stop_name(enum answer_finish finish, bool refused)
{
    return anthropic_stop_name(refused && finish == FINISH_STOP ? FINISH_FILTER : finish);
}

static void end(struct answer_writer *w, struct buf *out)
{
    flush_start(w, out);
    wait_drain(w, true, out);
    close_live(w, out);
    buf_append_str(out, STR("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{"
                            "\"stop_reason\":\""));
    buf_append_str(out, stop_name(w->finish, w->refused));
    buf_append_str(out, STR("\",\"stop_sequence\":"));
    if (w->finish == FINISH_SEQUENCE) {
        buf_append_char(out, '"');
        buf_append_str(out, buf_str(&w->stop_sequence));
        buf_append_char(out, '"');
    } else {
        buf_append_str(out, STR("null"));
    }
    buf_append_str(out, STR("},\"usage\":"));
    anthropic_usage_write(&w->usage, out);
    buf_append_str(out, STR("}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
    w->over = true;
}

void anthropic_writer_take(struct answer_writer *w, const struct answer_event *e, struct buf *out)
{
    if (w->over || e->choice > 0)
        return;
    switch (e->kind) {
    case ANSWER_START: take_start(w, e); break;
    case ANSWER_PING:
        flush_start(w, out);
        buf_append_str(out, STR("event: ping\ndata: {\"type\":\"ping\"}\n\n"));
        break;
    case ANSWER_USAGE: w->usage = e->usage; break;
    case ANSWER_FINISH:
        w->finish = e->finish;
        buf_append_str(&w->stop_sequence, e->text);
        break;
    case ANSWER_ERROR:
        anthropic_error_event_write(out, 200, e->problem);
        w->over = true;
        break;
    case ANSWER_END: end(w, out); break;
    case ANSWER_LOGPROBS:
    case ANSWER_OTHER: break;
    default: take_content(w, e, out); break;
    }
}

/* ---- Whole answers ---- */

void anthropic_usage_write(const struct usage *u, struct buf *out)
{
    struct json_writer j;
    json_writer_init(&j, out);
    json_object_begin(&j);
    json_member_i64(&j, STR("input_tokens"), u->input - u->cached_input - u->cache_write);
    json_member_i64(&j, STR("cache_creation_input_tokens"), u->cache_write);
    json_member_i64(&j, STR("cache_read_input_tokens"), u->cached_input);
    json_member_i64(&j, STR("output_tokens"), u->output);
    if (u->reasoning > 0) {
        json_key(&j, STR("output_tokens_details"));
        json_object_begin(&j);
        json_member_i64(&j, STR("thinking_tokens"), u->reasoning);
        json_object_end(&j);
    }
    json_object_end(&j);
}

struct str anthropic_stop_name(enum answer_finish finish)
{
    switch (finish) {
    case FINISH_LENGTH: return STR("max_tokens");
    case FINISH_TOOLS: return STR("tool_use");
    case FINISH_SEQUENCE: return STR("stop_sequence");
    case FINISH_FILTER: return STR("refusal");
    case FINISH_PAUSE: return STR("pause_turn");
    case FINISH_NONE:
    case FINISH_STOP: break;
    }
    return STR("end_turn");
}

static bool has_refusal(const struct answer_choice *choice)
{
    for (const struct answer_part *p = choice->parts; p; p = p->next)
        if (p->kind == ANSWER_PART_REFUSAL && p->text.len > 0)
            return true;
    return false;
}

static void write_tool(const struct answer_part *p, struct arena *a, struct json_writer *j)
{
    if (p->signature.len) {
        json_object_begin(j);
        json_member_str(j, STR("type"), STR("thinking"));
        json_member_str(j, STR("thinking"), STR(""));
        json_member_str_raw(j, STR("signature"), p->signature);
        json_object_end(j);
    }
    json_object_begin(j);
    json_member_str(j, STR("type"), STR("tool_use"));
    json_member_str_raw(j, STR("id"), p->id);
    json_member_str_raw(j, STR("name"), p->name);
    json_member_raw(j, STR("input"), ask_arguments(ask_unescape(buf_str(&p->text), a), a));
    json_object_end(j);
}

static void write_part(const struct answer_part *p, struct arena *a, struct json_writer *j)
{
    if (p->kind == ANSWER_PART_TOOL) {
        write_tool(p, a, j);
        return;
    }
    if (p->kind == ANSWER_PART_OTHER)
        return;
    json_object_begin(j);
    if (p->kind == ANSWER_PART_THINKING) {
        json_member_str(j, STR("type"), STR("thinking"));
        json_member_str_raw(j, STR("thinking"), buf_str(&p->text));
        json_member_str_raw(j, STR("signature"), p->signature);
    } else if (p->kind == ANSWER_PART_REDACTED) {
        json_member_str(j, STR("type"), STR("redacted_thinking"));
        json_member_str_raw(j, STR("data"), buf_str(&p->text));
    } else {
        json_member_str(j, STR("type"), STR("text"));
        json_member_str_raw(j, STR("text"), buf_str(&p->text));
    }
    json_object_end(j);
}

void anthropic_answer_write(const struct answer *answer, const struct answer_options *o,
                            struct buf *out)
{
    struct json_writer j;
    struct arena a;
    const struct answer_choice *choice = answer->choices;
    arena_init(&a);
    json_writer_init(&j, out);
    json_object_begin(&j);
    write_head(&j, answer->id, answer->model, o->id, o->model);
    json_key(&j, STR("content"));
    json_array_begin(&j);
    for (const struct answer_part *p = choice ? choice->parts : NULL; p; p = p->next)
        write_part(p, &a, &j);
    json_array_end(&j);
    json_key(&j, STR("stop_reason"));
    if (choice && choice->finish != FINISH_NONE)
        json_str(&j, stop_name(choice->finish, has_refusal(choice)));
    else
        json_null(&j);
    json_key(&j, STR("stop_sequence"));
    if (choice && choice->finish == FINISH_SEQUENCE)
        json_str_raw(&j, choice->stop_sequence);
    else
        json_null(&j);
    json_key(&j, STR("usage"));
    anthropic_usage_write(&answer->usage, out);
    json_object_end(&j);
    arena_release(&a);
}
