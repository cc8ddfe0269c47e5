/* One use of a local model: what model.h promises, over a link's frames.
 *
 * Callbacks come from deliver() only. It runs from a frame's arrival, from model_use_resume, or as
 * a deferred task for what was decided inside a call of the user's. It hands out, in order: the
 * head, the body, the end; or the failure at once. */
#include "base/assert.h"
#include "base/mem.h"
#include "dialect/openai_error.h"
#include "model/local/local_int.h"
#include "os/clock.h"

static struct local_use *of(struct model_use *use)
{
    return (struct local_use *)(void *)use;
}

static const struct local_use *of_const(const struct model_use *use)
{
    return (const struct local_use *)(const void *)use;
}

/* ---- Ends ---- */

static void detach(struct local_use *use)
{
    loop_timer_stop(&use->deadline);
    if (use->timing.end_us == 0)
        use->timing.end_us = os_now_us();
    if (use->link)
        local_link_remove(use->link, use);
}

/* The engine is to forget it. */
static void tell_cancel(struct local_use *use)
{
    struct local_link *link = use->link;
    if (!link || use->id == 0 || link->fd < 0)
        return;
    frame_append(local_link_out(link), FRAME_CANCEL, use->id, STR_NONE);
    detach(use);
    local_link_pump(link);
}

static void free_if_released(struct local_use *use)
{
    if (!use->released || use->busy || use->deliver_posted)
        return;
    ASSERT(use->link == NULL && use->done);
    buf_release(&use->held);
    mem_free(use);
}

/* ---- Delivery ---- */

static void give_head(struct local_use *use)
{
    use->head_waits = false;
    use->head_given = true;
    use->events.on_head(use->arg, &use->head);
}

/* Let the engine send as much again. */
static void give_back(struct local_use *use, size_t bytes)
{
    use->credit += (uint32_t)bytes;
    if (use->credit < LOCAL_WINDOW_STEP || !use->link || use->link->fd < 0)
        return;
    frame_append_window(local_link_out(use->link), use->id, use->credit);
    use->credit = 0;
}

static void give_body(struct local_use *use)
{
    struct buf bytes = use->held;
    buf_init(&use->held, use->held.max);
    use->events.on_body(use->arg, buf_str(&bytes));
    give_back(use, bytes.len);
    buf_release(&bytes);
}

static void give_failure(struct local_use *use)
{
    struct buf text = use->held;
    buf_init(&use->held, use->held.max);
    use->done = true;
    use->events.on_fail(use->arg, use->error, use->phase, buf_str(&text));
    buf_release(&text);
}

/* False: nothing (more) to deliver now. */
static bool deliver_one(struct local_use *use)
{
    if (use->done)
        return false;
    if (use->error != ERR_OK)
        return give_failure(use), false;
    if (use->paused)
        return false;
    if (use->head_waits)
        return give_head(use), true;
    if (use->held.len > 0)
        return give_body(use), true;
    if (!use->end_waits)
        return false;
    use->done = true;
    use->events.on_end(use->arg);
    return false;
}

static void deliver(struct local_use *use)
{
    if (use->busy)
        return; /* it goes on where it was called from */
    use->busy++;
    while (deliver_one(use))
        continue;
    use->busy--;
    free_if_released(use);
}

static void on_deliver(void *arg)
{
    struct local_use *use = arg;
    use->deliver_posted = false;
    deliver(use);
}

static void deliver_later(struct local_use *use)
{
    if (use->deliver_posted || use->done)
        return;
    use->deliver_posted = true;
    loop_defer(use->loop, &use->deliver);
}

void local_use_fail(struct local_use *use, enum err error, const char *text)
{
    use->phase = use->timing.first_byte_us ? MODEL_PHASE_BODY
                 : use->id != 0            ? MODEL_PHASE_FIRST_BYTE
                                           : MODEL_PHASE_CONNECT;
    tell_cancel(use);
    detach(use);
    use->error = error;
    buf_reset(&use->held);
    buf_append_str(&use->held, str_from_c(text));
    deliver_later(use);
}

void local_use_refuse(struct local_use *use, const struct local_refusal *refusal)
{
    struct openai_problem problem;
    detach(use);
    if (use->timing.first_byte_us == 0)
        use->timing.first_byte_us = use->timing.end_us;
    openai_problem_set(&problem, refusal->status >= 500 ? "server_error" : "invalid_request_error",
                       refusal->status == 404 ? "model" : NULL, refusal->code, "%s", refusal->text);
    buf_reset(&use->held);
    openai_problem_write(&use->held, &problem);
    use->head = (struct model_head){
        .status = refusal->status,
        .content_type = STR("application/json"),
        .retry_after_ms = refusal->retry_ms == FRAME_NO_RETRY ? -1 : (int64_t)refusal->retry_ms};
    use->head_waits = use->end_waits = true;
    deliver_later(use);
}

void local_use_lost(struct local_use *use)
{
    if (use->head_given) {
        local_use_fail(use, ERR_RESET, "the engine of the local model ended during the answer");
        return;
    }
    struct local_refusal refusal = {
        .status = 503, .retry_ms = LOCAL_RETRY_MIN_MS * 10, .code = "engine_ended"};
    snprintf(
        refusal.text, sizeof refusal.text,
        "the engine of model '%s' ended while it worked on this call; it is started again with "
        "the next one",
        use->link->model->name);
    local_use_refuse(use, &refusal);
}

/* ---- Frames ---- */

static size_t body_bytes(const struct model_request *r)
{
    size_t bytes = 0;
    for (size_t i = 0; i < r->body_parts; i++)
        bytes += r->body[i].len;
    return bytes;
}

void local_use_send(struct local_use *use)
{
    const struct model_request *r = use->request;
    struct buf *out = local_link_out(use->link);
    size_t len = body_bytes(r);
    const struct frame_start start = {.task = use->task, .caller = r->caller};
    frame_append_start(out, use->id, &start, len);
    for (size_t i = 0; i < r->body_parts; i++)
        buf_append_str(out, r->body[i]);
    use->timing.bytes_out = len;
    if (use->timing.connect_us == 0)
        use->timing.connect_us = os_now_us();
}

static bool take_head(struct local_use *use, const struct frame *frame)
{
    struct frame_head head;
    if (use->timing.first_byte_us != 0 || frame_read_head(frame, &head) != ERR_OK)
        return false;
    memcpy(use->content_type, head.content_type.ptr, head.content_type.len);
    use->head = (struct model_head){
        .status = head.status,
        .content_type = str_of(use->content_type, head.content_type.len),
        .retry_after_ms =
            head.retry_after_ms == FRAME_NO_RETRY ? -1 : (int64_t)head.retry_after_ms};
    use->head_waits = true;
    use->timing.first_byte_us = os_now_us();
    return true;
}

static bool take_body(struct local_use *use, struct str bytes)
{
    if (use->timing.first_byte_us == 0)
        return false;
    use->timing.bytes_in += bytes.len;
    if (!use->paused && !use->busy && !use->head_waits && use->held.len == 0) {
        /* The usual way: straight from the socket's buffer. */
        use->busy++;
        use->events.on_body(use->arg, bytes);
        give_back(use, bytes.len);
        use->busy--;
        return true;
    }
    /* Its engine keeps to the window, or it is not ours any more. */
    buf_append_str(&use->held, bytes);
    return use->held.error == ERR_OK;
}

static bool take_end(struct local_use *use)
{
    if (use->timing.first_byte_us == 0)
        return false;
    detach(use);
    use->end_waits = true;
    return true;
}

bool local_use_frame(struct local_use *use, const struct frame *frame)
{
    bool fine = true;
    switch (frame->kind) {
    case FRAME_HEAD: fine = take_head(use, frame); break;
    case FRAME_BODY: fine = take_body(use, frame->payload); break;
    case FRAME_END: fine = take_end(use); break;
    case FRAME_START:
    case FRAME_CANCEL:
    case FRAME_WINDOW:
    case FRAME_READY:
    case FRAME_FAILED: fine = false; break;
    }
    deliver(use);
    return fine;
}

/* ---- model.h ---- */

static void on_deadline(void *arg)
{
    local_use_fail(arg, ERR_TIMEOUT, "the local model did not answer in time");
}

__attribute__((format(printf, 4, 5))) static void
refuse_now(struct local_use *use, int status, const char *code, const char *format, ...)
{
    struct local_refusal refusal = {.status = status, .retry_ms = FRAME_NO_RETRY, .code = code};
    va_list args;
    va_start(args, format);
    vsnprintf(refusal.text, sizeof refusal.text, format, args);
    va_end(args);
    local_use_refuse(use, &refusal);
}

static struct local_use *use_new(struct local_loop *loop, void *arg)
{
    struct local_use *use = NEW(struct local_use);
    use->base.ops = &local_ops;
    use->loop = loop->loop;
    use->arg = arg;
    use->timing.started_us = os_now_us();
    buf_init(&use->held, MODEL_PAUSED_BYTES_MAX);
    loop_task_init(&use->deliver, on_deliver, use);
    loop_timer_init(&use->deadline, on_deadline, use);
    return use;
}

static void join(struct local_use *use, struct local_link *link)
{
    local_link_add(link, use);
    use->timing.reused = link->state == LINK_READY;
    if (use->timing.reused)
        use->timing.connect_us = use->timing.started_us;
    local_link_pump(link);
}

static void set_deadline(struct local_use *use, uint64_t deadline_us)
{
    uint64_t now_us = use->timing.started_us;
    if (deadline_us)
        loop_timer_start(use->loop, &use->deadline,
                         deadline_us > now_us ? (deadline_us - now_us + 999) / 1000 : 0);
}

/* What an engine can be asked, by the path under an API's base. */
static const struct {
    struct str endpoint;
    enum frame_task task;
} tasks[] = {
    {STR_INIT("/chat/completions"), FRAME_TASK_CHAT},
    {STR_INIT("/completions"), FRAME_TASK_COMPLETION},
    {STR_INIT("/embeddings"), FRAME_TASK_EMBEDDING},
    {STR_INIT("/rerank"), FRAME_TASK_RERANK},
    {STR_INIT("/tokenize"), FRAME_TASK_TOKENIZE},
};

static bool find_task(struct str endpoint, enum frame_task *ret_task)
{
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (str_eq(endpoint, tasks[i].endpoint))
            return *ret_task = tasks[i].task, true;
    return false;
}

static void begin(struct local_use *use, struct local_model *m, struct local_loop *loop)
{
    const struct model_request *r = use->request;
    if (!m)
        refuse_now(use, 404, "model_not_found", "there is no local model '%.*s'",
                   STR_ARG(str_take(r->upstream_model, LOCAL_NAME_BYTES_MAX)));
    else if (!find_task(r->endpoint, &use->task))
        refuse_now(use, 404, NULL,
                   "local models answer /chat/completions, /completions, /embeddings, /rerank and "
                   "/tokenize, not %.*s",
                   STR_ARG(str_take(r->endpoint, 64)));
    else if (body_bytes(r) > FRAME_REQUEST_BYTES_MAX)
        refuse_now(use, 413, NULL, "the request has %zu bytes; local models read at most %d",
                   body_bytes(r), FRAME_REQUEST_BYTES_MAX);
    else {
        set_deadline(use, r->deadline_us);
        join(use, &m->links[loop->index]);
    }
}

static enum err start(void *driver, const struct model_request *request,
                      const struct model_events *events, void *arg, struct model_use **ret_use)
{
    struct local_loop *loop = driver;
    if (loop->stopped)
        return ERR_CLOSED;
    struct local_model *m = local_model_of(loop->models, request->upstream_model);
    if (m && m->links[loop->index].use_count >= LOCAL_USES_MAX)
        return ERR_LIMIT;
    struct local_use *use = use_new(loop, arg);
    use->request = request;
    use->events = *events;
    begin(use, m, loop);
    *ret_use = &use->base;
    return ERR_OK;
}

static void cancel(struct model_use *base)
{
    struct local_use *use = of(base);
    if (use->done)
        return;
    use->done = true;
    tell_cancel(use);
    detach(use);
}

static void pause_use(struct model_use *base)
{
    of(base)->paused = true;
}

static void resume_use(struct model_use *base)
{
    struct local_use *use = of(base);
    if (!use->paused)
        return;
    use->paused = false;
    struct local_link *link = use->link;
    deliver(use);
    if (link)
        local_link_pump(link); /* the window that was given back */
}

static void timing(const struct model_use *base, struct model_timing *ret_timing)
{
    *ret_timing = of_const(base)->timing;
}

static void release(struct model_use *base)
{
    struct local_use *use = of(base);
    cancel(base);
    use->released = true;
    free_if_released(use);
}

const struct model_ops local_ops = {.start = start,
                                    .cancel = cancel,
                                    .pause = pause_use,
                                    .resume = resume_use,
                                    .timing = timing,
                                    .release = release};
