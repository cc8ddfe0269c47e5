#include "model/local/answer.h"

#include <math.h>
#include <stdio.h>

#include "codec/json_write.h"
#include "codec/utf8.h"

enum {
    LEAD_BYTES_MAX = 4096, /* names of models are file names: short */
    LIST_TOKENS = 0,
    LIST_LOGPROBS = 1,
    LIST_TOP = 2,
    LIST_OFFSETS = 3,
};
#define LIST_BYTES_MAX ((size_t)64 << 20)

void answer_init(struct answer *a, enum answer_form form, struct str id, struct str model,
                 int64_t created_s)
{
    struct json_writer w;
    buf_init(&a->lead, LEAD_BYTES_MAX);
    a->form = form;
    if (a->stream)
        buf_append_str(&a->lead, STR("data: "));
    json_writer_init(&w, &a->lead);
    json_object_begin(&w);
    json_member_str(&w, STR("id"), id);
    if (form == ANSWER_COMPLETION)
        json_member_str(&w, STR("object"), STR("text_completion"));
    else
        json_member_str(&w, STR("object"),
                        a->stream ? STR("chat.completion.chunk") : STR("chat.completion"));
    json_member_i64(&w, STR("created"), created_s);
    json_member_str(&w, STR("model"), model);
    json_member_str(&w, STR("system_fingerprint"), STR("weir-" WEIR_VERSION));
}

void answer_release(struct answer *a)
{
    buf_release(&a->lead);
}

void answer_choice_init(struct answer_choice *c, unsigned index)
{
    *c = (struct answer_choice){.index = index};
    buf_init(&c->text, ANSWER_TEXT_BYTES_MAX);
    buf_init(&c->reasoning, ANSWER_TEXT_BYTES_MAX);
    buf_init(&c->call_list, ANSWER_TEXT_BYTES_MAX * 2);
    for (int i = 0; i < ANSWER_LISTS; i++)
        buf_init(&c->lists[i], LIST_BYTES_MAX);
}

void answer_choice_release(struct answer_choice *c)
{
    buf_release(&c->text);
    buf_release(&c->reasoning);
    buf_release(&c->call_list);
    for (int i = 0; i < ANSWER_LISTS; i++)
        buf_release(&c->lists[i]);
}

bool answer_choice_full(const struct answer_choice *c)
{
    bool full = c->text.error || c->reasoning.error || c->call_list.error;
    for (int i = 0; i < ANSWER_LISTS; i++)
        full |= c->lists[i].error != ERR_OK;
    return full;
}

struct str answer_content_type(const struct answer *a)
{
    return a->stream ? STR("text/event-stream") : STR("application/json");
}

/* ---- Logprobs ---- */

static void logprob_append(struct buf *out, float logprob)
{
    if (isfinite(logprob))
        buf_printf(out, "%.9g", (double)logprob);
    else
        buf_append_str(out, STR("-9999.0")); /* as OpenAI writes what cannot be */
}

/* OpenAI writes a token that is no text as its bytes. */
static void token_append(struct buf *out, struct str bytes)
{
    if (utf8_valid(bytes)) {
        json_escape_append(out, bytes);
        return;
    }
    buf_append_str(out, STR("bytes:"));
    for (size_t i = 0; i < bytes.len; i++)
        buf_printf(out, "\\\\x%02x", (unsigned char)bytes.ptr[i]);
}

static void chat_token(struct buf *out, const struct answer_logprob *t)
{
    buf_append_str(out, STR("{\"token\":\""));
    token_append(out, t->bytes);
    buf_append_str(out, STR("\",\"logprob\":"));
    logprob_append(out, t->logprob);
    buf_append_str(out, STR(",\"bytes\":["));
    for (size_t i = 0; i < t->bytes.len; i++)
        buf_printf(out, i ? ",%u" : "%u", (unsigned char)t->bytes.ptr[i]);
    buf_append_char(out, ']');
}

static void add_chat_token(struct answer_choice *c, const struct answer_logprob *token,
                           const struct answer_logprob *top, size_t top_count)
{
    struct buf *out = &c->lists[LIST_TOKENS];
    if (out->len)
        buf_append_char(out, ',');
    chat_token(out, token);
    buf_append_str(out, STR(",\"top_logprobs\":["));
    for (size_t i = 0; i < top_count; i++) {
        if (i)
            buf_append_char(out, ',');
        chat_token(out, &top[i]);
        buf_append_char(out, '}');
    }
    buf_append_str(out, STR("]}"));
}

/* A token's text is a key of top_logprobs: the chosen one belongs to it, if it is none of them. */
static void add_top(struct buf *out, const struct answer_logprob *token,
                    const struct answer_logprob *top, size_t top_count)
{
    bool there = false;
    buf_append_char(out, '{');
    for (size_t i = 0; i < top_count; i++) {
        there |= str_eq(top[i].bytes, token->bytes);
        buf_append_str(out, i ? STR(",\"") : STR("\""));
        token_append(out, top[i].bytes);
        buf_append_str(out, STR("\":"));
        logprob_append(out, top[i].logprob);
    }
    if (!there && top_count) {
        buf_append_str(out, STR(",\""));
        token_append(out, token->bytes);
        buf_append_str(out, STR("\":"));
        logprob_append(out, token->logprob);
    }
    buf_append_char(out, '}');
}

static void add_completion_token(struct answer_choice *c, const struct answer_logprob *token,
                                 bool known, const struct answer_logprob *top, size_t top_count)
{
    for (int i = 0; i < ANSWER_LISTS; i++)
        if (c->lists[i].len)
            buf_append_char(&c->lists[i], ',');
    buf_append_char(&c->lists[LIST_TOKENS], '"');
    token_append(&c->lists[LIST_TOKENS], token->bytes);
    buf_append_char(&c->lists[LIST_TOKENS], '"');
    if (known)
        logprob_append(&c->lists[LIST_LOGPROBS], token->logprob);
    else
        buf_append_str(&c->lists[LIST_LOGPROBS], STR("null"));
    if (known && top_count)
        add_top(&c->lists[LIST_TOP], token, top, top_count);
    else
        buf_append_str(&c->lists[LIST_TOP], STR("null"));
    buf_append_u64(&c->lists[LIST_OFFSETS], c->offset);
    for (size_t i = 0; i < token->bytes.len; i++)
        c->offset += ((unsigned char)token->bytes.ptr[i] & 0xC0) != 0x80;
}

void answer_token(struct answer *a, struct answer_choice *c, const struct answer_logprob *token,
                  bool known, const struct answer_logprob *top, size_t top_count)
{
    if (!a->logprobs)
        return;
    if (a->form == ANSWER_CHAT)
        add_chat_token(c, token, top, top_count);
    else
        add_completion_token(c, token, known, top, top_count);
}

static void append_list(struct buf *out, struct str name, const struct buf *list)
{
    buf_append_str(out, name);
    buf_append_char(out, '[');
    buf_append_str(out, buf_str(list));
    buf_append_char(out, ']');
}

/* "logprobs":…, of what was collected. */
static void append_logprobs(const struct answer *a, const struct answer_choice *c, struct buf *out)
{
    buf_append_str(out, STR("\"logprobs\":"));
    if (!a->logprobs) {
        buf_append_str(out, STR("null"));
    } else if (a->form == ANSWER_CHAT) {
        append_list(out, STR("{\"content\":"), &c->lists[LIST_TOKENS]);
        buf_append_str(out, STR(",\"refusal\":null}"));
    } else {
        append_list(out, STR("{\"tokens\":"), &c->lists[LIST_TOKENS]);
        append_list(out, STR(",\"token_logprobs\":"), &c->lists[LIST_LOGPROBS]);
        append_list(out, STR(",\"top_logprobs\":"), &c->lists[LIST_TOP]);
        append_list(out, STR(",\"text_offset\":"), &c->lists[LIST_OFFSETS]);
        buf_append_char(out, '}');
    }
}

/* ---- Streams ---- */

static void event_begin(const struct answer *a, const struct answer_choice *c, struct buf *out)
{
    buf_append_str(out, buf_str(&a->lead));
    buf_append_str(out, STR(",\"choices\":[{\"index\":"));
    buf_append_u64(out, c->index);
    buf_append_str(out, a->form == ANSWER_CHAT ? STR(",\"delta\":{") : STR(",\"text\":\""));
}

/* reason: empty for none. */
static void event_end(const struct answer *a, struct answer_choice *c, struct str reason,
                      struct buf *out)
{
    buf_append_str(out, a->form == ANSWER_CHAT ? STR("},") : STR("\","));
    append_logprobs(a, c, out);
    for (int i = 0; i < ANSWER_LISTS; i++)
        buf_reset(&c->lists[i]);
    buf_append_str(out, STR(",\"finish_reason\":"));
    buf_append_str(out, reason.len ? STR("\"") : STR("null"));
    buf_append_str(out, reason);
    buf_append_str(out, reason.len ? STR("\"}]") : STR("}]"));
    /* OpenAI has a null usage in every event when the last one has the real. */
    if (a->include_usage)
        buf_append_str(out, STR(",\"usage\":null"));
    buf_append_str(out, STR("}\n\n"));
}

/* member: up to the text's opening quote, for a chat. */
static void event_text(const struct answer *a, struct answer_choice *c, struct str member,
                       struct str text, struct str after, struct buf *out)
{
    event_begin(a, c, out);
    if (a->form == ANSWER_CHAT)
        buf_append_str(out, member);
    json_escape_append(out, text);
    if (a->form == ANSWER_CHAT)
        buf_append_str(out, after);
    event_end(a, c, STR_NONE, out);
}

static void usage_append(const struct answer_usage *usage, struct buf *out)
{
    buf_append_str(out, STR(",\"usage\":{\"prompt_tokens\":"));
    buf_append_u64(out, usage->prompt_tokens);
    buf_append_str(out, STR(",\"completion_tokens\":"));
    buf_append_u64(out, usage->completion_tokens);
    buf_append_str(out, STR(",\"total_tokens\":"));
    buf_append_u64(out, usage->prompt_tokens + usage->completion_tokens);
    buf_append_str(out, STR(",\"prompt_tokens_details\":{\"cached_tokens\":"));
    buf_append_u64(out, usage->cached_tokens);
    buf_append_str(out, STR("}}}"));
}

/* ---- Both ---- */

void answer_begin(struct answer *a, struct answer_choice *c, struct buf *out)
{
    if (a->stream && a->form == ANSWER_CHAT)
        event_text(a, c, STR("\"role\":\"assistant\",\"content\":\""), STR(""), STR("\""), out);
}

void answer_text(struct answer *a, struct answer_choice *c, struct str text, struct buf *out)
{
    if (text.len == 0)
        return;
    if (a->stream)
        event_text(a, c, STR("\"content\":\""), text, STR("\""), out);
    else
        buf_append_str(&c->text, text);
}

void answer_reasoning(struct answer *a, struct answer_choice *c, struct str text, struct buf *out)
{
    if (text.len == 0)
        return;
    if (a->stream)
        event_text(a, c, STR("\"reasoning_content\":\""), text, STR("\""), out);
    else
        buf_append_str(&c->reasoning, text);
}

static void call_head(struct str id, struct str name, struct buf *out)
{
    buf_append_str(out, STR("\"id\":\""));
    json_escape_append(out, id);
    buf_append_str(out, STR("\",\"type\":\"function\",\"function\":{\"name\":\""));
    json_escape_append(out, name);
    buf_append_str(out, STR("\",\"arguments\":\""));
}

void answer_call_begin(struct answer *a, struct answer_choice *c, struct str id, struct str name,
                       struct buf *out)
{
    if (a->stream) {
        event_begin(a, c, out);
        buf_printf(out, "\"tool_calls\":[{\"index\":%u,", c->calls);
        call_head(id, name, out);
        buf_append_str(out, STR("\"}}]"));
        event_end(a, c, STR_NONE, out);
    } else {
        buf_append_str(&c->call_list, c->calls ? STR(",{") : STR("{"));
        call_head(id, name, &c->call_list);
    }
    c->calls++;
}

void answer_call_arguments(struct answer *a, struct answer_choice *c, struct str text,
                           struct buf *out)
{
    if (text.len == 0)
        return;
    if (!a->stream) {
        json_escape_append(&c->call_list, text);
        return;
    }
    event_begin(a, c, out);
    buf_printf(out, "\"tool_calls\":[{\"index\":%u,\"function\":{\"arguments\":\"", c->calls - 1);
    json_escape_append(out, text);
    buf_append_str(out, STR("\"}}]"));
    event_end(a, c, STR_NONE, out);
}

void answer_call_end(struct answer *a, struct answer_choice *c)
{
    if (!a->stream)
        buf_append_str(&c->call_list, STR("\"}}"));
}

void answer_choice_end(struct answer *a, struct answer_choice *c, struct str reason,
                       struct buf *out)
{
    if (a->stream) {
        event_begin(a, c, out);
        event_end(a, c, reason, out);
    }
    snprintf(c->reason, sizeof c->reason, "%.*s", STR_ARG(reason));
}

static void append_message(const struct answer_choice *c, struct buf *out)
{
    buf_append_str(out, STR("\"message\":{\"role\":\"assistant\",\"content\":"));
    if (c->text.len || !c->calls) {
        buf_append_char(out, '"');
        json_escape_append(out, buf_str(&c->text));
        buf_append_char(out, '"');
    } else {
        buf_append_str(out, STR("null"));
    }
    if (c->reasoning.len) {
        buf_append_str(out, STR(",\"reasoning_content\":\""));
        json_escape_append(out, buf_str(&c->reasoning));
        buf_append_char(out, '"');
    }
    if (c->calls)
        append_list(out, STR(",\"tool_calls\":"), &c->call_list);
    buf_append_str(out, STR(",\"refusal\":null}"));
}

void answer_choices_begin(const struct answer *a, struct buf *out)
{
    buf_append_str(out, buf_str(&a->lead));
    buf_append_str(out, STR(",\"choices\":["));
}

void answer_choice_write(const struct answer *a, const struct answer_choice *c, struct buf *out)
{
    buf_append_str(out, c->index ? STR(",{\"index\":") : STR("{\"index\":"));
    buf_append_u64(out, c->index);
    buf_append_char(out, ',');
    if (a->form == ANSWER_CHAT) {
        append_message(c, out);
    } else {
        buf_append_str(out, STR("\"text\":\""));
        json_escape_append(out, buf_str(&c->text));
        buf_append_char(out, '"');
    }
    buf_append_char(out, ',');
    append_logprobs(a, c, out);
    buf_printf(out, ",\"finish_reason\":\"%s\"}", c->reason);
}

void answer_end(struct answer *a, const struct answer_usage *usage, struct buf *out)
{
    if (!a->stream) {
        buf_append_char(out, ']');
        usage_append(usage, out);
        return;
    }
    if (a->include_usage) {
        buf_append_str(out, buf_str(&a->lead));
        buf_append_str(out, STR(",\"choices\":[]"));
        usage_append(usage, out);
        buf_append_str(out, STR("\n\n"));
    }
    buf_append_str(out, STR("data: [DONE]\n\n"));
}
