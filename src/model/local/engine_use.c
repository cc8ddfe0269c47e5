#include "base/assert.h"
#include "base/mem.h"
#include "model/local/engine_int.h"
#include "model/local/prompt.h"
#include "os/clock.h"
#include "os/random.h"

enum {
    RETRY_MIN_MS = 1000,
    RETRY_MAX_MS = 60000,
    PIECE_BYTES_MAX = 4096, /* one token's text */
};

/* ---- Refusals: answered without a use ---- */

static void refuse(struct engine_link *link, uint64_t id, int status, uint32_t retry_ms,
                   const struct openai_problem *problem)
{
    struct buf *body = &link->engine->scratch;
    buf_reset(body);
    openai_problem_write(body, problem);
    struct frame_head head = {(uint16_t)status, retry_ms, STR("application/json")};
    frame_append_head(&link->out, id, &head);
    frame_append(&link->out, FRAME_BODY, id, str_take(buf_str(body), FRAME_BODY_BYTES_MAX));
    frame_append(&link->out, FRAME_END, id, STR_NONE);
}

/* When a place in the queue should be free: the time in which all that wait get their slot. */
static uint32_t retry_after_ms(const struct engine *e)
{
    uint64_t ms = e->use_us * (e->queued + 1) / e->model.parallel / 1000;
    return (uint32_t)(ms < RETRY_MIN_MS ? RETRY_MIN_MS : ms > RETRY_MAX_MS ? RETRY_MAX_MS : ms);
}

static bool queue_full(const struct engine *e)
{
    unsigned busy = 0;
    for (unsigned i = 0; i < e->model.parallel; i++)
        busy += e->slots[i] != NULL;
    return busy + e->queued >= e->model.parallel + e->options->queue;
}

static enum err check_biases(const struct engine *e, const struct engine_request *r,
                             struct openai_problem *problem)
{
    for (size_t i = 0; i < r->bias_count; i++) {
        if (r->bias[i].token < e->model.sampling.vocab_size)
            continue;
        openai_problem_set(problem, "invalid_request_error", "logit_bias", NULL,
                           "'logit_bias' names token %d; the model has %d", r->bias[i].token,
                           e->model.sampling.vocab_size);
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* ---- Begin ---- */

static void use_free(struct engine_use *use)
{
    if (use->sampler)
        llama.llama_sampler_free(use->sampler);
    text_gate_release(&use->gate);
    answer_release(&use->answer);
    buf_release(&use->out);
    engine_request_release(&use->request);
    mem_free(use->tokens);
    mem_free(use);
}

/* Of the request's memory keep what decoding needs: a queue holds tokens, not texts. */
static void keep_needed(struct engine_request *r)
{
    struct arena kept;
    arena_init(&kept);
    for (size_t i = 0; i < r->stop_count; i++)
        r->stops[i] = arena_str(&kept, r->stops[i]);
    if (r->bias_count) {
        struct engine_bias *bias = ARENA_ARRAY(&kept, struct engine_bias, r->bias_count);
        memcpy(bias, r->bias, r->bias_count * sizeof *bias);
        r->bias = bias;
    }
    arena_release(&r->arena);
    r->arena = kept;
    r->messages = NULL;
    r->message_count = 0;
}

static void begin_answer(struct engine_use *use)
{
    char id[40];
    struct engine *e = use->link->engine;
    snprintf(id, sizeof id, "chatcmpl-%016llx%08llx", (unsigned long long)os_random_u64(),
             (unsigned long long)(os_random_u64() & UINT32_MAX));
    answer_init(&use->answer, str_from_c(id), e->options->name, os_wall_us() / 1000000,
                use->request.stream, use->request.include_usage);
    text_gate_init(&use->gate, use->request.stops, use->request.stop_count);
    buf_init(&use->out, ANSWER_TEXT_BYTES_MAX * 8); /* escapes make at most six of one byte */
}

static void enqueue(struct engine_link *link, struct engine_use *use)
{
    struct engine *e = link->engine;
    use->link_next = link->uses;
    link->uses = use;
    *e->queue_tail = use;
    e->queue_tail = &use->queue_next;
    e->queued++;
}

/* Read and tokenise. On an error nothing of the use is left. */
static enum err use_read(struct engine *e, struct engine_use *use, struct str body,
                         struct openai_problem *problem)
{
    static const struct engine_sampling defaults = ENGINE_SAMPLING_DEFAULT;
    TRY(engine_request_read(body, &defaults, &use->request, problem));
    enum err err = check_biases(e, &use->request, problem);
    if (err == ERR_OK)
        err = prompt_tokenize(&e->model, &use->request, &use->tokens, &use->token_count, problem);
    if (err != ERR_OK)
        engine_request_release(&use->request);
    return err;
}

void engine_use_start(struct engine_link *link, uint64_t id, struct str body)
{
    struct engine *e = link->engine;
    struct openai_problem problem;
    if (queue_full(e)) {
        openai_problem_set(
            &problem, "rate_limit_error", NULL, "queue_full",
            "the local model answers %u requests at once (local.parallel) and lets %u "
            "wait (local.queue), and has as many; try again later",
            e->model.parallel, e->options->queue);
        refuse(link, id, 429, retry_after_ms(e), &problem);
        return;
    }
    struct engine_use *use = NEW(struct engine_use);
    if (use_read(e, use, body, &problem) != ERR_OK) {
        refuse(link, id, 400, FRAME_NO_RETRY, &problem);
        mem_free(use);
        return;
    }
    use->link = link;
    use->id = id;
    use->slot = -1;
    use->window = FRAME_WINDOW_BYTES;
    keep_needed(&use->request);
    begin_answer(use);
    enqueue(link, use);
}

struct engine_use *engine_use_find(struct engine_link *link, uint64_t id)
{
    struct engine_use *use = link->uses;
    while (use && use->id != id)
        use = use->link_next;
    return use;
}

void engine_use_admit(struct engine_use *use, int slot)
{
    struct engine *e = use->link->engine;
    ASSERT(use->state == USE_QUEUED && e->slots[slot] == NULL);
    e->slots[slot] = use;
    use->slot = slot;
    use->slot_us = os_now_us();
    use->state = USE_PROMPT;
    use->sampler = sampler_new(&use->request, &e->model.sampling);
}

/* ---- End ---- */

static void leave_slot(struct engine_use *use)
{
    struct engine *e = use->link->engine;
    if (use->slot < 0)
        return;
    llama.llama_memory_seq_rm(e->model.memory, use->slot, -1, -1);
    e->slots[use->slot] = NULL;
    use->slot = -1;
    uint64_t took = os_now_us() - use->slot_us;
    e->use_us = e->use_us ? (e->use_us * 7 + took) / 8 : took;
    llama.llama_sampler_free(use->sampler);
    use->sampler = NULL;
    mem_free(use->tokens);
    use->tokens = NULL;
}

static void leave_queue(struct engine_use *use)
{
    struct engine *e = use->link->engine;
    struct engine_use **at = &e->queue;
    while (*at != use)
        at = &(*at)->queue_next;
    *at = use->queue_next;
    if (e->queue_tail == &use->queue_next)
        e->queue_tail = at;
    e->queued--;
}

void engine_use_drop(struct engine_use *use)
{
    struct engine_use **at = &use->link->uses;
    while (*at != use)
        at = &(*at)->link_next;
    *at = use->link_next;
    if (use->state == USE_QUEUED)
        leave_queue(use);
    leave_slot(use);
    use_free(use);
}

static void send_head(struct engine_use *use, int status, struct str content_type)
{
    struct frame_head head = {(uint16_t)status, FRAME_NO_RETRY, content_type};
    frame_append_head(&use->link->out, use->id, &head);
    use->head_sent = true;
}

static void finish(struct engine_use *use, struct str reason)
{
    struct answer_usage usage = {(uint64_t)use->token_count, (uint64_t)use->generated};
    if (!use->head_sent)
        send_head(use, 200, answer_content_type(&use->answer));
    answer_end(&use->answer, reason, &usage, &use->out);
    leave_slot(use);
    use->state = USE_DONE;
}

void engine_use_fail(struct engine_use *use, const char *message)
{
    struct openai_problem problem;
    openai_problem_set(&problem, "server_error", NULL, "engine_error", "%s", message);
    if (!use->head_sent) {
        send_head(use, 500, STR("application/json"));
        buf_reset(&use->out);
        openai_problem_write(&use->out, &problem);
    } else {
        openai_error_event_write(&use->out, &problem);
    }
    leave_slot(use);
    use->state = USE_DONE;
}

/* ---- Tokens ---- */

static void add_text(struct engine_use *use, struct str text)
{
    if (!use->head_sent && use->request.stream) {
        send_head(use, 200, answer_content_type(&use->answer));
        answer_begin(&use->answer, &use->out);
    }
    answer_text(&use->answer, text, &use->out);
}

static bool is_end(const struct engine *e, llama_token token)
{
    return llama.llama_vocab_is_eog(e->model.vocab, token);
}

/* No text but what the gate lets through; true: a stop string. */
static bool add_piece(struct engine_use *use, llama_token token)
{
    char piece[PIECE_BYTES_MAX];
    struct engine *e = use->link->engine;
    int32_t n = llama.llama_token_to_piece(e->model.vocab, token, piece, sizeof piece, 0, false);
    buf_reset(&e->scratch);
    bool stop = text_gate_push(&use->gate, str_of(piece, n > 0 ? (size_t)n : 0), &e->scratch);
    add_text(use, buf_str(&e->scratch));
    return stop;
}

/* What the gate held back is text after all. */
static void add_rest(struct engine_use *use)
{
    struct engine *e = use->link->engine;
    buf_reset(&e->scratch);
    text_gate_finish(&use->gate, &e->scratch);
    add_text(use, buf_str(&e->scratch));
}

void engine_use_token(struct engine_use *use, llama_token token)
{
    struct engine *e = use->link->engine;
    const struct engine_request *r = &use->request;
    use->state = USE_ANSWER;
    use->next = token;
    use->generated++;
    if (is_end(e, token) && !r->ignore_eos) {
        add_rest(use);
        finish(use, STR("stop"));
    } else if (add_piece(use, token)) {
        finish(use, STR("stop"));
    } else if (use->generated == r->max_tokens || use->answer.text.error != ERR_OK ||
               use->position == e->model.sampling.context_tokens) {
        add_rest(use);
        finish(use, STR("length"));
    }
}

bool engine_use_wants_token(const struct engine_use *use)
{
    return use->state == USE_ANSWER && use->out.len < ENGINE_BACKLOG_BYTES;
}

void engine_use_flush(struct engine_use *use)
{
    size_t sent = 0;
    while (sent < use->out.len && use->window > 0) {
        size_t n = use->out.len - sent;
        n = n < use->window ? n : use->window;
        n = n < FRAME_BODY_BYTES_MAX ? n : FRAME_BODY_BYTES_MAX;
        frame_append(&use->link->out, FRAME_BODY, use->id, str_of(use->out.ptr + sent, n));
        use->window -= n;
        sent += n;
    }
    buf_consume(&use->out, sent);
    if (use->state != USE_DONE || use->out.len > 0)
        return;
    frame_append(&use->link->out, FRAME_END, use->id, STR_NONE);
    engine_use_drop(use);
}
