/* One use: bytes that wait for a reader.
 *
 *   answer ─ in one piece, or as events ─> bytes ─┬─ pump ─> on_head, on_body…, on_end
 *   follower ── read ─────────────────────────────┘
 *
 * Everything on the loop of whoever began it. */
#include "call/cache/replay.h"

#include "base/assert.h"
#include "base/mem.h"
#include "dialect/openai_replay.h"
#include "dialect/responses_replay.h"
#include "os/clock.h"

enum { EVENTS_FACTOR = 8 /* an answer's events are not larger than that many times itself */ };

struct replay_use {
    struct model_use use;
    struct model_events events;
    void *arg;
    struct cache_replay from;
    struct cache_follower *follower;
    struct buf bytes; /* what is to be given */
    size_t given;
    struct buf target;
    struct loop_task task;
    bool posted; /* the task */
    bool pumping;
    bool head;
    bool filled; /* bytes hold the rest */
    bool paused;
    bool over;
    bool released;
    struct model_timing timing;
};

static void free_use(struct replay_use *u)
{
    cache_answer_put(u->from.answer);
    buf_release(&u->bytes);
    buf_release(&u->target);
    mem_free(u);
}

static void leave(struct replay_use *u)
{
    if (u->follower)
        cache_follower_leave(u->follower);
    u->follower = NULL;
}

static void finish(struct replay_use *u)
{
    u->over = true;
    u->timing.end_us = os_now_us();
    leave(u);
}

/* ---- What is given ---- */

struct writing {
    const struct dialect *dialect;
    struct answer_writer *writer;
    struct buf *out;
};

static void write_event(void *arg, const struct answer_event *event)
{
    struct writing *w = arg;
    w->dialect->writer_take(w->writer, event, w->out);
}

/* The events of a whole answer in the caller's language. */
static enum err write_events(struct replay_use *u, struct str body)
{
    const struct cache_replay *from = &u->from;
    struct writing w = {.dialect = from->dialect, .out = &u->bytes};
    struct answer_options options = {
        .max_depth = from->max_depth,
        .max_bytes = CACHE_FLIGHT_BYTES_MAX,
        .call = from->call,
        .body = from->body,
        .include_usage = from->usage_asked,
    };
    if (from->dialect == &dialect_openai) /* with every member that the answer has */
        return openai_chat_replay(body, from->max_depth, from->usage_asked, &u->bytes);
    if (from->dialect == &dialect_responses)
        return responses_replay(body, from->max_depth, -1, &u->bytes);
    if (!from->dialect->read_answer || !from->dialect->writer_new)
        return ERR_UNSUPPORTED;
    w.writer = from->dialect->writer_new(&options);
    struct answer_sink sink = {.take = write_event, .arg = &w};
    enum err err = from->dialect->read_answer(body, &options, sink);
    from->dialect->writer_free(w.writer);
    return err == ERR_OK ? u->bytes.error : err;
}

static void fill(struct replay_use *u)
{
    struct str body = u->from.answer->body;
    u->filled = true;
    buf_reset(&u->bytes);
    u->given = 0;
    if (!u->from.stream) {
        buf_append_str(&u->bytes, body);
        return;
    }
    if (write_events(u, body) !=
        ERR_OK) /* not an answer that can be streamed: the caller asks a target */
        buf_reset(&u->bytes);
}

/* Read on from the leader; false: nothing for now. */
static bool read_on(struct replay_use *u)
{
    struct cache_answer *answer = NULL;
    struct str target;
    buf_reset(&u->bytes);
    u->given = 0;
    enum cache_state state = cache_follower_read(u->follower, &u->bytes, &target, &answer);
    if (answer && !u->from.answer)
        u->from.answer = cache_answer_get(answer);
    if (!u->target.len)
        buf_append_str(&u->target, target.len || !answer ? target : answer->target);
    if (u->bytes.len)
        return true;
    if (state == CACHE_FLYING)
        return false;
    if (state == CACHE_LANDED && !u->head)
        fill(u);
    u->filled = true;
    leave(u);
    return true;
}

static void fail(struct replay_use *u)
{
    finish(u);
    u->events.on_fail(u->arg, ERR_NOT_FOUND, MODEL_PHASE_FIRST_BYTE,
                      STR("the call that was shared brought no answer"));
}

static void give_head(struct replay_use *u)
{
    struct model_head head = {
        .status = 200,
        .content_type =
            u->from.stream ? STR("text/event-stream; charset=utf-8") : STR("application/json"),
        .retry_after_ms = -1,
    };
    u->head = true;
    u->timing.first_byte_us = os_now_us();
    u->events.on_head(u->arg, &head);
}

static void give_bytes(struct replay_use *u)
{
    struct str rest = str_skip(buf_str(&u->bytes), u->given);
    struct str now = u->from.stream ? str_take(rest, CACHE_READ_BYTES_MAX) : rest;
    u->given += now.len;
    u->timing.bytes_in += now.len;
    u->events.on_body(u->arg, now);
}

/* Callbacks may pause, cancel and release. */
static void pump(struct replay_use *u)
{
    while (!u->over && !u->paused) {
        if (u->given < u->bytes.len) {
            u->head ? give_bytes(u) : give_head(u);
        } else if (u->filled && !u->head) {
            fail(u);
        } else if (u->filled) {
            finish(u);
            u->events.on_end(u->arg);
        } else if (!read_on(u)) {
            return;
        }
    }
}

static void run(struct replay_use *u)
{
    u->pumping = true;
    pump(u);
    u->pumping = false;
    if (u->released && !u->posted)
        free_use(u);
}

static void on_task(void *arg)
{
    struct replay_use *u = arg;
    u->posted = false;
    run(u);
}

static void on_wake(void *arg)
{
    run(arg);
}

/* ---- The driver's operations ---- */

static enum err start(void *driver, const struct model_request *request,
                      const struct model_events *events, void *arg, struct model_use **ret_use)
{
    (void)driver, (void)request, (void)events, (void)arg, (void)ret_use;
    return ERR_UNSUPPORTED; /* begun by cache_replay_start */
}

static void cancel(struct model_use *use)
{
    struct replay_use *u = (struct replay_use *)use;
    if (!u->over)
        finish(u);
}

static void pause_use(struct model_use *use)
{
    ((struct replay_use *)use)->paused = true;
}

static void resume(struct model_use *use)
{
    struct replay_use *u = (struct replay_use *)use;
    u->paused = false;
    if (!u->pumping)
        run(u);
}

static void timing(const struct model_use *use, struct model_timing *ret_timing)
{
    *ret_timing = ((const struct replay_use *)use)->timing;
}

static void release(struct model_use *use)
{
    struct replay_use *u = (struct replay_use *)use;
    cancel(use);
    u->released = true;
    if (!u->pumping && !u->posted)
        free_use(u);
}

static const struct model_ops ops = {
    .start = start,
    .cancel = cancel,
    .pause = pause_use,
    .resume = resume,
    .timing = timing,
    .release = release,
};

struct model_use *cache_replay_start(const struct cache_replay *replay,
                                     const struct model_events *events, void *arg)
{
    struct replay_use *u = NEW(struct replay_use);
    struct str target = replay->answer ? replay->answer->target : STR_NONE;
    u->use.ops = &ops;
    u->events = *events;
    u->arg = arg;
    u->from = *replay;
    u->timing.started_us = u->timing.connect_us = os_now_us();
    buf_init(&u->target, 1024);
    buf_append_str(&u->target, target);
    if (replay->answer) {
        buf_init(&u->bytes, EVENTS_FACTOR * replay->answer->body.len + 65536);
        fill(u);
        u->posted = true;
        loop_task_init(&u->task, on_task, u);
        loop_defer(replay->loop, &u->task);
    } else {
        struct cache_shape shape = {.stream = replay->stream, .usage_asked = replay->usage_asked};
        buf_init(&u->bytes, EVENTS_FACTOR * CACHE_FLIGHT_BYTES_MAX);
        u->follower = cache_follow(replay->flight, shape, replay->loop, on_wake, u);
    }
    return &u->use;
}

struct cache_replayed cache_replay_result(const struct model_use *use)
{
    const struct replay_use *u = (const struct replay_use *)use;
    ASSERT(use->ops == &ops);
    return (struct cache_replayed){.target = buf_str(&u->target), .answer = u->from.answer};
}
