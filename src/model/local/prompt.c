#include "model/local/prompt.h"

#include "base/mem.h"
#include "model/local/chat_tools.h"

/* Stands for message number …'s text in a template's output: no text has that, for none is in it.
 */
#define MARK      '\x01'
#define MARK_FORM "\x01%08x\x01"
enum {
    MARK_BYTES = 10,
    MARK_ROOM = 16,
    TOKENS_BYTES_MAX = FRAME_REQUEST_BYTES_MAX * 5, /* four bytes for one, and what is added */
};

struct work {
    const struct engine_model *m;
    const struct engine_request *r;
    struct openai_problem *problem;
    struct arena arena;
    struct engine_message *messages; /* as the template gets them */
    size_t message_count;
    struct buf text;   /* the template's output */
    struct buf tokens; /* of llama_token */
};

#define refuse(w, param, code, ...)                                                                \
    (openai_problem_set((w)->problem, "invalid_request_error", (param), (code), __VA_ARGS__),      \
     ERR_INVALID)

static bool holds_control(const struct engine_model *m, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!m->control_first[(unsigned char)text.ptr[i]])
            continue;
        struct str rest = str_skip(text, i);
        for (size_t c = 0; c < m->control_count; c++)
            if (str_starts(rest, m->controls[c]))
                return true;
    }
    return false;
}

static bool any_holds_control(const struct work *w)
{
    for (size_t i = 0; i < w->message_count; i++)
        if (holds_control(w->m, w->messages[i].content))
            return true;
    return false;
}

/* With marks the messages' texts are left out, and a mark stands for each. */
static enum err apply_template(struct work *w, bool marks)
{
    size_t n = w->message_count, bytes = 0;
    struct llama_chat_message *chat = mem_array(n, sizeof *chat);
    char(*names)[MARK_ROOM] = mem_array(n, sizeof *names);
    for (size_t i = 0; i < n; i++) {
        const struct engine_message *from = &w->messages[i];
        snprintf(names[i], MARK_ROOM, MARK_FORM, (unsigned)i);
        chat[i] = (struct llama_chat_message){from->role.ptr, marks ? names[i] : from->content.ptr};
        bytes += from->content.len + 64;
    }
    int32_t need = (int32_t)bytes;
    for (int pass = 0; pass < 2 && need > 0; pass++) {
        buf_reset(&w->text);
        if (!buf_reserve(&w->text, (size_t)need + 1))
            break;
        int32_t room = need + 1;
        need = llama.llama_chat_apply_template(w->m->template, chat, n, true, w->text.ptr, room);
        if (need < room) {
            w->text.len = need > 0 ? (size_t)need : 0;
            break;
        }
    }
    mem_free(names);
    mem_free(chat);
    if (need > 0 && w->text.len > 0)
        return ERR_OK;
    return refuse(w, "messages", NULL, "the model's chat template does not take these messages");
}

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

static enum err add_marked(struct work *w)
{
    struct str rest = buf_str(&w->text);
    bool first = true;
    while (rest.len) {
        ptrdiff_t mark = str_index(rest, MARK);
        struct str before = mark < 0 ? rest : str_take(rest, (size_t)mark);
        if (before.len || first)
            TRY(add_tokens(w, before, first, true));
        first = false;
        rest = str_skip(rest, before.len);
        if (mark < 0)
            break;
        unsigned long i = strtoul(rest.ptr + 1, NULL, 16);
        if (rest.len < MARK_BYTES || i >= w->message_count)
            return refuse(w, "messages", NULL, "the messages hold control tokens of this model");
        TRY(add_tokens(w, w->messages[i].content, false, false));
        rest = str_skip(rest, MARK_BYTES);
    }
    return ERR_OK;
}

static enum err tokenize(struct work *w)
{
    bool marks = any_holds_control(w);
    TRY(apply_template(w, marks));
    if (marks)
        return add_marked(w);
    return add_tokens(w, buf_str(&w->text), true, true);
}

static enum err check_before(struct work *w)
{
    size_t bytes = 0, most = (size_t)w->m->sampling.context_tokens * PROMPT_BYTES_PER_TOKEN;
    if (!w->m->template)
        return refuse(w, "model", "model_not_supported",
                      "the model's file has no chat template, so it cannot be asked with messages");
    if (!w->m->template_known)
        return refuse(w, "model", "model_not_supported",
                      "the model's chat template is none of those that llama.cpp knows");
    for (size_t i = 0; i < w->message_count; i++)
        bytes += w->messages[i].content.len;
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

static enum err tokenize_chat(struct work *w, struct prompt *to)
{
    chat_tools_flatten(w->r, &w->arena, &w->messages, &w->message_count);
    /* Templates add at most some hundred bytes to a message. */
    size_t most = (size_t)w->m->sampling.context_tokens * PROMPT_BYTES_PER_TOKEN +
                  w->message_count * 1024 + 4096;
    buf_init(&w->text, most);
    TRY(check_before(w));
    TRY(tokenize(w));
    size_t count = w->tokens.len / sizeof(llama_token);
    if (w->r->task != FRAME_TASK_TOKENIZE && count >= (size_t)w->m->sampling.context_tokens)
        return refuse(
            w, "messages", "context_length_exceeded",
            "the messages have %zu tokens; the model's context holds %d, one of them for the "
            "answer. Shorten the messages",
            count, w->m->sampling.context_tokens);
    take_tokens(w, to);
    struct str end = str_trim(buf_str(&w->text));
    while (end.len && end.ptr[end.len - 1] == '\n')
        end.len--;
    to->reasons = str_ends(end, STR("<think>"));
    return ERR_OK;
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
    arena_init(&w.arena);
    buf_init(&w.tokens, TOKENS_BYTES_MAX);
    if (r->input_count == 0)
        e = tokenize_chat(&w, prompts);
    for (size_t i = 0; e == ERR_OK && i < r->input_count; i++)
        e = tokenize_input(&w, i, &prompts[i]);
    arena_release(&w.arena);
    buf_release(&w.text);
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
