#include "base/assert.h"
#include "base/mem.h"
#include "model/local/chat_tools.h"
#include "model/local/engine_int.h"
#include "model/local/schema_grammar.h"
#include "os/child.h"
#include "os/clock.h"
#include "os/random.h"

enum {
    RETRY_MIN_MS = 1000,
    RETRY_MAX_MS = 60000,
};
/* Escapes make at most six bytes of one; vectors of ENGINE_INPUTS_MAX inputs are larger. */
#define OUT_BYTES_MAX ((size_t)256 << 20)

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

static void refuse_full(struct engine_link *link, uint64_t id)
{
    const struct engine *e = link->engine;
    struct openai_problem problem;
    openai_problem_set(&problem, "rate_limit_error", NULL, "queue_full",
                       "the local model answers %u requests at once (local.parallel) and lets %u "
                       "wait (local.queue), and has as many; try again later",
                       e->model.parallel, e->options->queue);
    refuse(link, id, 429, retry_after_ms(e), &problem);
}

static bool is_full(const struct engine *e)
{
    return e->uses >= e->model.parallel + e->options->queue;
}

static enum err check_task(const struct engine *e, enum frame_task task,
                           struct openai_problem *problem)
{
    const char *what = NULL;
    bool embeds = task == FRAME_TASK_EMBEDDING, ranks = task == FRAME_TASK_RERANK;
    if (embeds && e->model.kind != ENGINE_EMBEDS)
        what = "makes no embeddings";
    if (ranks && e->model.kind != ENGINE_RANKS)
        what = "does not rank documents";
    if ((task == FRAME_TASK_CHAT || task == FRAME_TASK_COMPLETION) &&
        e->model.kind != ENGINE_GENERATES)
        what = "writes no text";
    if (!what)
        return ERR_OK;
    openai_problem_set(problem, "invalid_request_error", "model", "model_not_supported",
                       "the model %s: it %s", what,
                       e->model.kind == ENGINE_EMBEDS  ? "is one for embeddings"
                       : e->model.kind == ENGINE_RANKS ? "is one for ranking"
                                                       : "is one that writes text");
    return ERR_INVALID;
}

static enum err check_numbers(const struct engine *e, const struct engine_request *r,
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
    if (r->dimensions > e->model.width) {
        openai_problem_set(problem, "invalid_request_error", "dimensions", NULL,
                           "'dimensions' is %lld; the model's vectors have %d",
                           (long long)r->dimensions, e->model.width);
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* ---- Begin ---- */

static void prompts_release(struct engine_use *use)
{
    for (size_t i = 0; i < use->prompt_count; i++)
        mem_free(use->prompts[i].tokens);
    mem_free(use->prompts);
    use->prompts = NULL;
    use->prompt_count = 0;
}

static void use_free(struct engine_use *use)
{
    for (unsigned i = 0; i < use->seq_count; i++)
        engine_seq_release(&use->seqs[i]);
    mem_free(use->seqs);
    if (use->grammar)
        llama.llama_sampler_free(use->grammar);
    mem_free(use->vectors);
    answer_release(&use->answer);
    buf_release(&use->out);
    engine_request_release(&use->request);
    prompts_release(use);
    mem_free(use);
}

/* Of the request's memory keep what decoding needs: a queue holds tokens, not texts. */
static void keep_needed(struct engine_use *use)
{
    struct engine_request *r = &use->request;
    struct arena kept;
    arena_init(&kept);
    for (size_t i = 0; i < r->stop_count; i++)
        r->stops[i] = arena_str(&kept, r->stops[i]);
    if (r->bias_count) {
        struct engine_bias *bias = ARENA_ARRAY(&kept, struct engine_bias, r->bias_count);
        memcpy(bias, r->bias, r->bias_count * sizeof *bias);
        r->bias = bias;
    }
    if (r->tool_count) {
        use->tools = ARENA_ARRAY(&kept, struct str, r->tool_count);
        for (size_t i = 0; i < r->tool_count; i++)
            use->tools[i] = arena_str(&kept, r->tools[i].name);
        r->tools = NULL;
    }
    for (size_t i = 0; r->return_documents && i < r->input_count; i++)
        r->inputs[i].text = arena_str(&kept, r->inputs[i].text);
    if (r->return_documents) {
        struct engine_input *inputs = ARENA_ARRAY(&kept, struct engine_input, r->input_count);
        memcpy(inputs, r->inputs, r->input_count * sizeof *inputs);
        r->inputs = inputs;
    } else {
        r->inputs = NULL;
    }
    arena_release(&r->arena);
    r->arena = kept;
    r->messages = NULL;
    r->grammar = STR_NONE;
    r->message_count = 0;
    r->query = STR_NONE;
}

static void begin_generation(struct engine_use *use)
{
    char id[40];
    struct engine *e = use->link->engine;
    bool chat = use->request.task == FRAME_TASK_CHAT;
    snprintf(id, sizeof id, "%s-%016llx%08llx", chat ? "chatcmpl" : "cmpl",
             (unsigned long long)os_random_u64(),
             (unsigned long long)(os_random_u64() & UINT32_MAX));
    use->answer.stream = use->request.stream;
    use->answer.include_usage = use->request.include_usage;
    use->answer.logprobs = use->request.logprobs >= 0;
    answer_init(&use->answer, chat ? ANSWER_CHAT : ANSWER_COMPLETION, str_from_c(id),
                e->options->name, os_wall_us() / 1000000);
    use->seq_count = use->open = (unsigned)use->prompt_count * (unsigned)use->request.choices;
    use->seqs = mem_array(use->seq_count, sizeof *use->seqs);
    for (unsigned i = 0; i < use->seq_count; i++) {
        engine_seq_init(&use->seqs[i], use, i);
        engine_queue_add(e, &use->seqs[i]);
    }
}

static void begin(struct engine_use *use)
{
    struct engine *e = use->link->engine;
    use->link_next = use->link->uses;
    use->link->uses = use;
    keep_needed(use);
    buf_init(&use->out, OUT_BYTES_MAX);
    switch (use->request.task) {
    case FRAME_TASK_CHAT:
    case FRAME_TASK_COMPLETION: begin_generation(use); break;
    case FRAME_TASK_EMBEDDING:
    case FRAME_TASK_RERANK: engine_embed_add(e, use); break;
    case FRAME_TASK_TOKENIZE:
        engine_tokens_write(use, &use->out);
        engine_use_finish(use);
        engine_use_flush(use);
        break;
    }
}

static bool any_strict(const struct engine_request *r)
{
    for (size_t i = 0; i < r->tool_count; i++)
        if (r->tools[i].strict)
            return true;
    return false;
}

/* The grammar of calls: of the whole answer when one is required, else of what comes behind a
 * call's mark. Where no schema has to be kept, calls that cannot be described go without. */
static enum err describe_calls(struct engine_use *use, const struct engine_model *m,
                               struct openai_problem *problem)
{
    BUF_AUTO struct buf grammar;
    BUF_AUTO struct buf why;
    struct engine_request *r = &use->request;
    bool must = r->tool_choice == ENGINE_TOOLS_REQUIRED;
    use->calls_wait = !must;
    must |= any_strict(r);
    buf_init(&grammar, SCHEMA_GRAMMAR_BYTES_MAX);
    buf_init(&why, 400);
    if (chat_tools_grammar(r, m->chat.calls, &grammar, &why) == ERR_OK) {
        r->grammar = arena_str(&r->arena, buf_str(&grammar));
        r->grammar_is_json = true; /* where it may end, it may as well */
        return ERR_OK;
    }
    if (!must)
        return ERR_OK;
    openai_problem_set(problem, "invalid_request_error", "tools", NULL, "%.*s",
                       STR_ARG(buf_str(&why)));
    return ERR_INVALID;
}

static struct llama_sampler *grammar_new(const struct engine_model *m, struct str text,
                                         const char *root)
{
    BUF_AUTO struct buf log;
    buf_init(&log, 1024);
    os_stderr_mute(true); /* llama.cpp writes a grammar that it does not like there */
    struct llama_sampler *grammar = llama.llama_sampler_init_grammar(m->vocab, text.ptr, root);
    os_stderr_mute(false);
    llama_api_log_take(&log);
    return grammar;
}

static enum err read_grammar(struct engine_use *use, const struct engine_model *m,
                             struct openai_problem *problem)
{
    struct engine_request *r = &use->request;
    if (r->task == FRAME_TASK_CHAT && r->tool_count && !r->grammar.ptr)
        TRY(describe_calls(use, m, problem));
    if (!r->grammar.ptr)
        return ERR_OK;
    use->grammar = grammar_new(m, r->grammar, use->calls_wait ? "rest" : "root");
    if (use->grammar || (use->calls_wait && !any_strict(r)))
        return ERR_OK;
    openai_problem_set(problem, "invalid_request_error",
                       use->calls_wait      ? "tools"
                       : r->grammar_is_json ? "response_format"
                                            : "grammar",
                       NULL, "%s",
                       r->grammar_is_json
                           ? "the schema cannot be kept: it refers to itself without end"
                           : "the grammar is not valid GBNF with a rule 'root'");
    return ERR_INVALID;
}

/* Read and tokenise. On an error nothing of the use is left. */
static enum err use_read(struct engine *e, struct engine_use *use, enum frame_task task,
                         struct str body, struct openai_problem *problem)
{
    static const struct engine_sampling defaults = ENGINE_SAMPLING_DEFAULT;
    TRY(check_task(e, task, problem));
    TRY(engine_request_read(task, body, &defaults, &use->request, problem));
    enum err err = check_numbers(e, &use->request, problem);
    if (err == ERR_OK)
        err =
            prompts_tokenize(&e->model, &use->request, &use->prompts, &use->prompt_count, problem);
    if (err == ERR_OK && (err = read_grammar(use, &e->model, problem)) != ERR_OK)
        prompts_release(use);
    if (err != ERR_OK)
        engine_request_release(&use->request);
    return err;
}

void engine_use_start(struct engine_link *link, uint64_t id, const struct frame_start *start,
                      struct str body)
{
    struct engine *e = link->engine;
    struct openai_problem problem;
    struct engine_use *other = is_full(e) ? engine_queue_give_way(e, start->caller) : NULL;
    if (is_full(e) && !other) {
        refuse_full(link, id);
        return;
    }
    struct engine_use *use = NEW(struct engine_use);
    if (use_read(e, use, start->task, body, &problem) != ERR_OK) {
        refuse(link, id, 400, FRAME_NO_RETRY, &problem);
        mem_free(use);
        return;
    }
    use->link = link;
    use->id = id;
    use->window = FRAME_WINDOW_BYTES;
    if (other) {
        refuse_full(other->link, other->id);
        engine_use_drop(other);
    }
    engine_queue_join(e, use, start->caller);
    begin(use);
}

struct engine_use *engine_use_find(struct engine_link *link, uint64_t id)
{
    struct engine_use *use = link->uses;
    while (use && use->id != id)
        use = use->link_next;
    return use;
}

/* ---- End ---- */

/* Nothing more is decoded for it. */
static void close_use(struct engine_use *use)
{
    struct engine *e = use->link->engine;
    if (use->done)
        return;
    use->done = true;
    for (unsigned i = 0; i < use->seq_count; i++)
        engine_seq_release(&use->seqs[i]);
    use->seq_count = 0;
    engine_queue_remove_embed(use);
    engine_queue_leave(e, use);
    prompts_release(use);
}

void engine_use_drop(struct engine_use *use)
{
    struct engine_use **at = &use->link->uses;
    while (*at != use)
        at = &(*at)->link_next;
    *at = use->link_next;
    close_use(use);
    use_free(use);
}

void engine_use_head(struct engine_use *use, int status, struct str content_type)
{
    struct frame_head head = {(uint16_t)status, FRAME_NO_RETRY, content_type};
    frame_append_head(&use->link->out, use->id, &head);
    use->head_sent = true;
}

void engine_use_finish(struct engine_use *use)
{
    if (!use->head_sent)
        engine_use_head(use, 200,
                        use->seqs ? answer_content_type(&use->answer) : STR("application/json"));
    close_use(use);
}

/* What its sequences took together. A prompt that several choices share counts once. */
static struct answer_usage usage_of(const struct engine_use *use)
{
    struct answer_usage usage = {0};
    for (size_t i = 0; i < use->prompt_count; i++)
        usage.prompt_tokens += (uint64_t)use->prompts[i].count;
    for (unsigned i = 0; i < use->seq_count; i++) {
        usage.completion_tokens += (uint64_t)use->seqs[i].generated;
        if (i % (unsigned)use->request.choices == 0)
            usage.cached_tokens += (uint64_t)use->seqs[i].cached;
    }
    return usage;
}

void engine_use_seq_ended(struct engine_use *use)
{
    ASSERT(use->open > 0);
    if (--use->open > 0)
        return;
    struct answer_usage usage = usage_of(use);
    if (!use->request.stream) {
        answer_choices_begin(&use->answer, &use->out);
        for (unsigned i = 0; i < use->seq_count; i++)
            answer_choice_write(&use->answer, &use->seqs[i].choice, &use->out);
    }
    answer_end(&use->answer, &usage, &use->out);
    if (use->out.error != ERR_OK)
        engine_use_fail(use, "the answer is too long");
    else
        engine_use_finish(use);
}

void engine_use_fail(struct engine_use *use, const char *message)
{
    struct openai_problem problem;
    if (use->done)
        return;
    openai_problem_set(&problem, "server_error", NULL, "engine_error", "%s", message);
    if (!use->head_sent) {
        engine_use_head(use, 500, STR("application/json"));
        buf_reset(&use->out);
        openai_problem_write(&use->out, &problem);
    } else {
        openai_error_event_write(&use->out, &problem);
    }
    close_use(use);
}

void engine_use_flush(struct engine_use *use)
{
    size_t sent = 0;
    while (use->head_sent && sent < use->out.len && use->window > 0) {
        size_t n = use->out.len - sent;
        n = n < use->window ? n : use->window;
        n = n < FRAME_BODY_BYTES_MAX ? n : FRAME_BODY_BYTES_MAX;
        frame_append(&use->link->out, FRAME_BODY, use->id, str_of(use->out.ptr + sent, n));
        use->window -= n;
        sent += n;
    }
    buf_consume(&use->out, sent);
    if (!use->done || use->out.len > 0)
        return;
    frame_append(&use->link->out, FRAME_END, use->id, STR_NONE);
    engine_use_drop(use);
}
