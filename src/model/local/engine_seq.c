/* One sequence: from its prompt's tokens to the choice's text. */
#include "base/assert.h"
#include "base/mem.h"
#include "model/local/engine_int.h"
#include "model/local/logprobs.h"
#include "os/clock.h"
#include "os/random.h"

enum {
    PIECE_BYTES_MAX = 4096,      /* one token's text */
    CALL_BEGUN_TOKENS_MAX = 256, /* of a call, in the token that ends its mark; longer ones are left
                                    to themselves */
};

static struct engine *engine_of(const struct engine_seq *seq)
{
    return seq->use->link->engine;
}

void engine_seq_init(struct engine_seq *seq, struct engine_use *use, unsigned index)
{
    const struct engine_request *r = &use->request;
    *seq = (struct engine_seq){.use = use, .slot = -1};
    seq->prompt = &use->prompts[index / (unsigned)r->choices];
    text_gate_init(&seq->gate, r->stops, r->stop_count);
    reply_init(&seq->reply, use->tools, r->tool_count,
               r->task == FRAME_TASK_CHAT && !r->keeps_reasoning,
               seq->prompt->reasons && (!use->grammar || use->calls_wait));
    enum chat_calls calls = engine_of(seq)->model.chat.calls;
    if (use->grammar && use->calls_wait)
        call_watch_init(&seq->watch, chat_calls_mark(calls), calls == CHAT_CALLS_LLAMA);
    answer_choice_init(&seq->choice, index);
}

/* ---- Slots ---- */

void engine_seq_admit(struct engine_seq *seq, int slot, int32_t cached)
{
    struct engine *e = engine_of(seq);
    ASSERT(seq->state == SEQ_QUEUED && e->slots[slot].seq == NULL);
    engine_queue_slot_taken(e, seq);
    e->slots[slot].seq = seq;
    seq->slot = slot;
    seq->slot_us = os_now_us();
    seq->state = SEQ_PROMPT;
    seq->position = seq->cached = cached;
    const struct engine_use *use = seq->use;
    sampler_init(&seq->sampler, &use->request, seq->choice.index % (unsigned)use->request.choices,
                 use->calls_wait ? NULL : use->grammar, &e->model.sampling);
}

static void leave_slot(struct engine_seq *seq)
{
    struct engine *e = engine_of(seq);
    if (seq->slot < 0)
        return;
    engine_prefix_keep(e, seq);
    e->slots[seq->slot].seq = NULL;
    seq->slot = -1;
    seq->use->caller->slots--;
    uint64_t took = os_now_us() - seq->slot_us;
    e->use_us = e->use_us ? (e->use_us * 7 + took) / 8 : took;
    sampler_release(&seq->sampler);
}

void engine_seq_release(struct engine_seq *seq)
{
    if (seq->state == SEQ_QUEUED)
        engine_queue_remove(engine_of(seq), seq);
    leave_slot(seq);
    seq->state = SEQ_DONE;
    text_gate_release(&seq->gate);
    reply_release(&seq->reply);
    answer_choice_release(&seq->choice);
}

/* ---- Text ---- */

static void begin(struct engine_seq *seq)
{
    struct engine_use *use = seq->use;
    if (!use->head_sent && use->request.stream)
        engine_use_head(use, 200, answer_content_type(&use->answer));
    if (seq->generated == 0)
        answer_begin(&use->answer, &seq->choice, &use->out);
}

static struct str piece_of(const struct engine *e, llama_token token, bool special,
                           char room[PIECE_BYTES_MAX])
{
    int32_t n =
        llama.llama_token_to_piece(e->model.vocab, token, room, PIECE_BYTES_MAX, 0, special);
    return str_of(room, n > 0 ? (size_t)n : 0);
}

/* ---- What the reply is made of ---- */

static void on_text(void *arg, struct str text)
{
    struct engine_seq *seq = arg;
    answer_text(&seq->use->answer, &seq->choice, text, &seq->use->out);
}

static void on_reasoning(void *arg, struct str text)
{
    struct engine_seq *seq = arg;
    answer_reasoning(&seq->use->answer, &seq->choice, text, &seq->use->out);
}

/* Nine letters and digits: Mistral's templates take no other. */
static void new_call_id(char id[10])
{
    static const char signs[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint64_t random = os_random_u64();
    for (int i = 0; i < 9; i++, random /= 62)
        id[i] = signs[random % 62];
    id[9] = 0;
}

static void on_call(void *arg, struct str name, struct str arguments)
{
    char id[10];
    struct engine_seq *seq = arg;
    struct answer *a = &seq->use->answer;
    if (seq->use->request.one_call && seq->choice.calls)
        return;
    new_call_id(id);
    answer_call_begin(a, &seq->choice, str_from_c(id), name, &seq->use->out);
    answer_call_arguments(a, &seq->choice, arguments, &seq->use->out);
    answer_call_end(a, &seq->choice);
}

static const struct reply_events reply_events = {on_text, on_reasoning, on_call};

static void add_text(struct engine_seq *seq, struct str text)
{
    if (seq->use->request.task == FRAME_TASK_CHAT)
        reply_push(&seq->reply, text, &reply_events, seq);
    else
        on_text(seq, text);
}

/* From a call's mark on the grammar decides, if what came behind the mark already fits it. */
static void watch_for_call(struct engine_seq *seq, struct str piece)
{
    struct str begun;
    llama_token tokens[CALL_BEGUN_TOKENS_MAX];
    const struct engine *e = engine_of(seq);
    if (seq->reply.state == REPLY_REASONING || !call_watch_push(&seq->watch, piece, &begun))
        return;
    int32_t n = llama.llama_tokenize(e->model.vocab, begun.ptr, (int32_t)begun.len, tokens,
                                     CALL_BEGUN_TOKENS_MAX, false, false);
    if (n >= 0)
        sampler_follow(&seq->sampler, seq->use->grammar, tokens, (size_t)n);
}

/* No text but what the gate lets through; true: a stop string. */
static bool add_piece(struct engine_seq *seq, llama_token token)
{
    char room[PIECE_BYTES_MAX];
    struct engine *e = engine_of(seq);
    const struct engine_use *use = seq->use;
    /* To a grammar a control token is its text, and some mark calls. */
    bool shows_control = use->grammar != NULL || use->request.tool_count > 0;
    struct str piece = piece_of(e, token, shows_control, room);
    watch_for_call(seq, piece);
    buf_reset(&e->scratch);
    bool stop = text_gate_push(&seq->gate, piece, &e->scratch);
    add_text(seq, buf_str(&e->scratch));
    return stop;
}

/* What the gate and the reply held back is text after all. */
static void add_rest(struct engine_seq *seq)
{
    struct engine *e = engine_of(seq);
    buf_reset(&e->scratch);
    text_gate_finish(&seq->gate, &e->scratch);
    add_text(seq, buf_str(&e->scratch));
}

static void finish(struct engine_seq *seq, struct str reason)
{
    struct engine_use *use = seq->use;
    if (use->request.task == FRAME_TASK_CHAT)
        reply_finish(&seq->reply, &reply_events, seq);
    if (seq->choice.calls && str_eq(reason, STR("stop")))
        reason = STR("tool_calls");
    answer_choice_end(&use->answer, &seq->choice, reason, &use->out);
    leave_slot(seq);
    seq->state = SEQ_DONE;
    engine_use_seq_ended(use);
}

/* ---- Logprobs ---- */

static void add_logprob(struct engine_seq *seq, llama_token token, const float *logits)
{
    struct logprob_top top[ENGINE_TOP_LOGPROBS_MAX];
    struct answer_logprob shown[ENGINE_TOP_LOGPROBS_MAX];
    char rooms[ENGINE_TOP_LOGPROBS_MAX + 1][PIECE_BYTES_MAX];
    struct engine *e = engine_of(seq);
    struct engine_use *use = seq->use;
    if (use->request.logprobs < 0)
        return;
    size_t count = (size_t)use->request.logprobs;
    struct answer_logprob own = {piece_of(e, token, true, rooms[count]), 0};
    if (logits) {
        float total = logprobs_total(logits, e->model.sampling.vocab_size);
        logprobs_top(logits, e->model.sampling.vocab_size, total, top, &count);
        own.logprob = logits[token] - total;
        for (size_t i = 0; i < count; i++)
            shown[i] =
                (struct answer_logprob){piece_of(e, top[i].token, true, rooms[i]), top[i].logprob};
    }
    answer_token(&use->answer, &seq->choice, &own, logits != NULL, shown, count);
}

bool engine_seq_scores_prompt(const struct engine_seq *seq)
{
    return seq->use->request.echo && seq->use->request.logprobs >= 0;
}

void engine_seq_scored(struct engine_seq *seq, int32_t position, const float *logits)
{
    const struct prompt *p = seq->prompt;
    if (position == 0)
        add_logprob(seq, p->tokens[0], NULL);
    if (position + 1 < p->count)
        add_logprob(seq, p->tokens[position + 1], logits);
}

/* ---- Tokens ---- */

static void echo(struct engine_seq *seq)
{
    char room[PIECE_BYTES_MAX];
    struct engine *e = engine_of(seq);
    buf_reset(&e->scratch);
    for (int32_t i = 0; i < seq->prompt->count; i++)
        buf_append_str(&e->scratch, piece_of(e, seq->prompt->tokens[i], true, room));
    answer_text(&seq->use->answer, &seq->choice, buf_str(&e->scratch), &seq->use->out);
}

bool engine_seq_prompt_done(struct engine_seq *seq)
{
    begin(seq);
    if (seq->use->request.echo)
        echo(seq);
    if (seq->use->request.max_tokens != 0)
        return true;
    finish(seq, STR("length"));
    return false;
}

static void take_token(struct engine_seq *seq, llama_token token, const float *logits)
{
    struct engine *e = engine_of(seq);
    const struct engine_request *r = &seq->use->request;
    seq->state = SEQ_ANSWER;
    seq->next = token;
    seq->generated++;
    /* A grammar says itself where its texts end. */
    bool goes_on = r->ignore_eos && !seq->sampler.grammar;
    if (llama.llama_vocab_is_eog(e->model.vocab, token) && !goes_on) {
        add_rest(seq);
        finish(seq, STR("stop"));
        return;
    }
    add_logprob(seq, token, logits);
    if (add_piece(seq, token) || (r->one_call && seq->choice.calls)) {
        finish(seq, STR("stop"));
    } else if (seq->generated == r->max_tokens || answer_choice_full(&seq->choice) ||
               seq->position == e->model.sampling.context_tokens) {
        add_rest(seq);
        finish(seq, STR("length"));
    }
}

void engine_seq_next(struct engine_seq *seq, int32_t row)
{
    struct engine *e = engine_of(seq);
    float *logits = llama.llama_get_logits_ith(e->model.context, row);
    llama_token token = sampler_next(&seq->sampler, logits, &e->model.sampling);
    if (token == LLAMA_TOKEN_NULL)
        engine_use_fail(seq->use, "the model has no token that goes on as the grammar, or the "
                                  "biases, ask");
    else
        take_token(seq, token, logits);
}

bool engine_seq_wants_token(const struct engine_seq *seq)
{
    return seq->state == SEQ_ANSWER && seq->use->out.len < ENGINE_BACKLOG_BYTES;
}
