#include "model/local/prompt.h"

#include "base/mem.h"
#include "os/clock.h"

enum {
    TOKENS_BYTES_MAX = FRAME_REQUEST_BYTES_MAX * 5, /* four bytes for one, and what is added */
};

struct work {
    const struct engine_model *m;
    const struct engine_request *r;
    struct openai_problem *problem;
    struct buf tokens; /* of llama_token */
};

#define refuse(w, param, code, ...)                                                                \
    (openai_problem_set((w)->problem, "invalid_request_error", (param), (code), __VA_ARGS__),      \
     ERR_INVALID)

static enum err add_tokens(struct work *w, struct str text, bool first, bool control)
{
    /* No token is shorter than a byte; BOS and EOS may be added. */
    int32_t room = (int32_t)text.len + 8;
    if (!buf_reserve(&w->tokens, (size_t)room * sizeof(llama_token)))
        return refuse(w, "messages", NULL, "the text is too long");
    llama_token *to = (llama_token *)(void *)(w->tokens.ptr + w->tokens.len);
    int32_t n =
        llama.llama_tokenize(w->m->vocab, text.ptr, (int32_t)text.len, to, room, first, control);
    if (n < 0)
        return refuse(w, "messages", NULL, "the text cannot be turned into tokens");
    w->tokens.len += (size_t)n * sizeof(llama_token);
    return ERR_OK;
}

/* ---- Chats ---- */

/* The control token that the text begins with; empty: none. */
static struct str control_at(const struct engine_model *m, struct str text)
{
    if (!m->control_first[(unsigned char)text.ptr[0]])
        return STR_NONE;
    for (size_t c = 0; c < m->control_count; c++)
        if (str_starts(text, m->controls[c]))
            return m->controls[c];
    return STR_NONE;
}

/* Would a control token come out of what somebody wrote, be it in part? */
static bool spells_control(const struct engine_model *m, const struct jinja_output *chat)
{
    struct str text = buf_str(&chat->text);
    const struct jinja_span *span = (const struct jinja_span *)(const void *)chat->foreign.ptr;
    const struct jinja_span *end = span + chat->foreign.len / sizeof *span;
    for (size_t i = 0; i < text.len && span < end; i++) {
        size_t control = control_at(m, str_skip(text, i)).len;
        while (span < end && span->at + span->len <= i)
            span++;
        if (control && span < end && span->at < i + control)
            return true;
    }
    return false;
}

/* The template's text with control tokens, what came from the request without. */
static enum err add_parts(struct work *w, const struct jinja_output *chat, struct str text)
{
    const struct jinja_span *spans = (const struct jinja_span *)(const void *)chat->foreign.ptr;
    size_t count = chat->foreign.len / sizeof *spans, skipped = chat->text.len - text.len, at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t from = spans[i].at - skipped;
        if (from > at || i == 0)
            TRY(add_tokens(w, str_of(text.ptr + at, from - at), i == 0, true));
        TRY(add_tokens(w, str_of(text.ptr + from, spans[i].len), false, false));
        at = from + spans[i].len;
    }
    return add_tokens(w, str_skip(text, at), count == 0, true);
}

/* The vocabulary adds the first token itself; many templates write it as well. */
static struct str without_begin(const struct engine_model *m, const struct jinja_output *chat)
{
    struct str text = buf_str(&chat->text), begin = m->chat.begin;
    const struct jinja_span *first = (const struct jinja_span *)(const void *)chat->foreign.ptr;
    bool own = chat->foreign.len == 0 || first->at >= begin.len;
    bool twice = own && begin.len && llama.llama_vocab_get_add_bos(m->vocab);
    return twice && str_starts(text, begin) ? str_skip(text, begin.len) : text;
}

static enum err render(struct work *w, struct jinja_output *chat)
{
    BUF_AUTO struct buf why;
    buf_init(&why, 400);
    if (chat_template_render(&w->m->chat, w->r, os_wall_us() / 1000000, chat, &why) == ERR_OK)
        return ERR_OK;
    return refuse(w, "messages", NULL,
                  "the model's chat template does not take these messages: %.*s",
                  STR_ARG(buf_str(&why)));
}

static enum err check_before(struct work *w)
{
    size_t bytes = 0, most = (size_t)w->m->sampling.context_tokens * PROMPT_BYTES_PER_TOKEN;
    if (!w->m->chat.jinja)
        return refuse(w, "model", "model_not_supported",
                      "the model cannot be asked with messages, for its chat template cannot be "
                      "used: %.*s",
                      STR_ARG(w->m->chat_problem));
    for (size_t i = 0; i < w->r->message_count; i++)
        bytes += w->r->messages[i].content.len;
    if (bytes > most)
        return refuse(
            w, "messages", "context_length_exceeded",
            "the messages have %zu bytes of text, far more than the model's context of %d "
            "tokens holds; shorten them",
            bytes, w->m->sampling.context_tokens);
    return ERR_OK;
}

static void take_tokens(struct work *w, struct prompt *to)
{
    size_t count = w->tokens.len / sizeof(llama_token);
    to->tokens = mem_array(count + 1, sizeof *to->tokens);
    if (count)
        memcpy(to->tokens, w->tokens.ptr, w->tokens.len);
    to->count = (int32_t)count;
    buf_reset(&w->tokens);
}

static enum err tokenize_rendered(struct work *w, const struct jinja_output *chat,
                                  struct prompt *to)
{
    struct str text = without_begin(w->m, chat);
    TRY(spells_control(w->m, chat) ? add_parts(w, chat, text) : add_tokens(w, text, true, true));
    size_t count = w->tokens.len / sizeof(llama_token);
    if (w->r->task != FRAME_TASK_TOKENIZE && count >= (size_t)w->m->sampling.context_tokens)
        return refuse(
            w, "messages", "context_length_exceeded",
            "the messages have %zu tokens; the model's context holds %d, one of them for the "
            "answer. Shorten the messages",
            count, w->m->sampling.context_tokens);
    if (count == 0)
        return refuse(w, "messages", NULL, "the model's chat template makes nothing of them");
    take_tokens(w, to);
    while (str_ends(text, STR("\n")) || str_ends(text, STR(" ")))
        text.len--;
    to->reasons = str_ends(text, STR("<think>"));
    return ERR_OK;
}

static enum err tokenize_chat(struct work *w, struct prompt *to)
{
    struct jinja_output chat;
    TRY(check_before(w));
    /* Templates add at most some hundred bytes to a message; tools may be long. */
    size_t most = (size_t)w->m->sampling.context_tokens * PROMPT_BYTES_PER_TOKEN +
                  w->r->message_count * 1024 + (1 << 20);
    jinja_output_init(&chat, most);
    enum err e = render(w, &chat);
    if (e == ERR_OK)
        e = tokenize_rendered(w, &chat, to);
    jinja_output_release(&chat);
    return e;
}

/* ---- Inputs: prompts, texts, documents ---- */

static const char *field_of(const struct work *w)
{
    switch (w->r->task) {
    case FRAME_TASK_COMPLETION: return "prompt";
    case FRAME_TASK_RERANK: return "documents";
    case FRAME_TASK_TOKENIZE: return "content";
    case FRAME_TASK_CHAT:
    case FRAME_TASK_EMBEDDING: break;
    }
    return "input";
}

/* What somebody writes to a completion is a prompt as it stands, control tokens and all. */
static bool reads_control(const struct engine_request *r)
{
    return r->task == FRAME_TASK_COMPLETION || (r->task == FRAME_TASK_TOKENIZE && r->parse_special);
}

static enum err too_long(struct work *w, size_t i, size_t amount, const char *unit)
{
    return refuse(w, field_of(w), "context_length_exceeded",
                  "entry %zu of '%s' has %zu %s; the model's context holds %d tokens%s", i,
                  field_of(w), amount, unit, w->m->sampling.context_tokens,
                  w->m->kind == ENGINE_GENERATES ? ", the answer's among them" : "");
}

static enum err add_given_tokens(struct work *w, const struct engine_input *in)
{
    for (size_t i = 0; i < in->token_count; i++)
        if (in->tokens[i] >= w->m->sampling.vocab_size)
            return refuse(w, field_of(w), NULL, "'%s' holds token %d; the model has %d",
                          field_of(w), in->tokens[i], w->m->sampling.vocab_size);
    buf_append(&w->tokens, in->tokens, in->token_count * sizeof(llama_token));
    return ERR_OK;
}

/* A query and a document in the form that ranking models were trained with. */
static enum err add_pair(struct work *w, const struct engine_input *in)
{
    const struct llama_vocab *v = w->m->vocab;
    llama_token begin = llama.llama_vocab_bos(v), end = llama.llama_vocab_eos(v),
                between = llama.llama_vocab_sep(v);
    if (begin != LLAMA_TOKEN_NULL && llama.llama_vocab_get_add_bos(v))
        buf_append(&w->tokens, &begin, sizeof begin);
    TRY(add_tokens(w, w->r->query, false, false));
    if (end != LLAMA_TOKEN_NULL && llama.llama_vocab_get_add_eos(v))
        buf_append(&w->tokens, &end, sizeof end);
    if (between != LLAMA_TOKEN_NULL && llama.llama_vocab_get_add_sep(v))
        buf_append(&w->tokens, &between, sizeof between);
    TRY(add_tokens(w, in->text, false, false));
    if (end != LLAMA_TOKEN_NULL && llama.llama_vocab_get_add_eos(v))
        buf_append(&w->tokens, &end, sizeof end);
    return ERR_OK;
}

static enum err tokenize_input(struct work *w, size_t i, struct prompt *to)
{
    const struct engine_input *in = &w->r->inputs[i];
    size_t context = (size_t)w->m->sampling.context_tokens;
    bool measured = w->r->task != FRAME_TASK_TOKENIZE;
    size_t bytes = in->text.len + w->r->query.len;
    if (measured && bytes > context * PROMPT_BYTES_PER_TOKEN)
        return too_long(w, i, bytes, "bytes");
    if (in->tokens)
        TRY(add_given_tokens(w, in));
    else if (w->r->task == FRAME_TASK_RERANK)
        TRY(add_pair(w, in));
    else
        TRY(add_tokens(w, in->text, w->r->task != FRAME_TASK_TOKENIZE || w->r->add_special,
                       reads_control(w->r)));
    size_t count = w->tokens.len / sizeof(llama_token);
    /* An answer takes room, unless none is wanted. */
    size_t room = w->r->task == FRAME_TASK_COMPLETION && w->r->max_tokens != 0;
    if (measured && count + room > context)
        return too_long(w, i, count, "tokens");
    if (count == 0 && measured)
        return refuse(w, field_of(w), NULL, "entry %zu of '%s' has no tokens", i, field_of(w));
    take_tokens(w, to);
    return ERR_OK;
}

enum err prompts_tokenize(const struct engine_model *m, const struct engine_request *r,
                          struct prompt **ret_prompts, size_t *ret_count,
                          struct openai_problem *ret_problem)
{
    struct work w = {.m = m, .r = r, .problem = ret_problem};
    size_t count = r->input_count ? r->input_count : 1;
    struct prompt *prompts = mem_array(count, sizeof *prompts);
    enum err e = ERR_OK;
    buf_init(&w.tokens, TOKENS_BYTES_MAX);
    if (r->input_count == 0)
        e = tokenize_chat(&w, prompts);
    for (size_t i = 0; e == ERR_OK && i < r->input_count; i++)
        e = tokenize_input(&w, i, &prompts[i]);
    buf_release(&w.tokens);
    if (e == ERR_OK) {
        *ret_prompts = prompts;
        *ret_count = count;
        return ERR_OK;
    }
    for (size_t i = 0; i < count; i++)
        mem_free(prompts[i].tokens);
    mem_free(prompts);
    return e;
}
