/* A connection of the server, fed without a socket: whatever comes and however it is cut, the
 * answers are the same, every exchange that was announced is done, and nothing stays open at the
 * end. */
#include <stdint.h>

#include "base/assert.h"
#include "net/http_server_int.h"
#include "net/loop_int.h"
#include "os/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_BYTES_MAX = 16 << 10 };

struct rig {
    struct loop *loop;
    struct http_server *server;
    struct buf out;
    int announced, done;
    struct loop_task late; /* answers `held` later in the turn */
    struct http_exchange *held;
};

/* Time stands still: no timer fires, Date never changes. */
static uint64_t stopped_now(void *arg)
{
    (void)arg;
    return 1000000;
}

static int64_t stopped_wall(void *arg)
{
    (void)arg;
    return 1700000000000000;
}

static void on_gone(struct http_exchange *x)
{
    struct rig *rig = x->user;
    if (rig->held == x)
        rig->held = NULL;
    http_abort(x);
}

static void on_done(struct http_exchange *x)
{
    ((struct rig *)x->user)->done++;
}

static void answer(struct http_exchange *x)
{
    struct http_header echo[HTTP_HEADERS_MAX];
    size_t count = http_headers_forwardable(&x->headers, echo);
    for (size_t i = 0; i < x->headers.count; i++)
        ASSERT(http_header_valid(&x->headers.at[i]));
    if (x->path.len % 2) {
        http_respond_with(x, 200, echo, count, x->body);
        return;
    }
    http_respond_head(x, 200, echo, count, HTTP_CHUNKED);
    http_respond_body(x, x->target);
    http_respond_body(x, x->body);
    http_respond_end(x);
}

static void answer_late(void *arg)
{
    struct rig *rig = arg;
    struct http_exchange *x = rig->held;
    rig->held = NULL;
    if (x)
        answer(x);
}

static void on_headers(struct http_exchange *x, void *arg)
{
    struct rig *rig = arg;
    rig->announced++;
    x->user = rig;
    x->on_gone = on_gone;
    x->on_done = on_done;
    if (str_starts(x->path, STR("/r")))
        http_respond(x, 401, STR("text/plain"), STR("no"));
    else if (str_starts(x->path, STR("/s")))
        x->body_bytes_max = 16;
}

static void on_request(struct http_exchange *x, void *arg)
{
    struct rig *rig = arg;
    ASSERT(x->body.len <= x->body_bytes_max);
    if (str_starts(x->path, STR("/l"))) {
        rig->held = x;
        loop_defer(rig->loop, &rig->late);
    } else if (str_starts(x->path, STR("/x"))) {
        http_respond_head(x, 200, NULL, 0, 10);
        http_respond_body(x, STR("cut"));
        http_respond_end(x);
    } else {
        answer(x);
    }
}

static void turn(struct rig *rig)
{
    for (int i = 0; i < 3; i++)
        loop_turn(rig->loop);
}

/* Feed everything in pieces chosen by `seed` (0: at once); leave what was answered in out. */
static void run(struct rig *rig, struct str input, uint32_t seed)
{
    struct server_half *half = http_server_half(rig->server, 0);
    struct http_conn *c = http_conn_new_memory(half, &rig->out);
    http_conn_start(c);
    while (input.len > 0 && half->conn_count > 0) {
        seed = seed * 1664525 + 1013904223;
        struct str piece = str_take(input, seed < 1013904224 ? input.len : 1 + (seed >> 16) % 40);
        stream_feed(&c->stream, piece);
        input = str_skip(input, piece.len);
        turn(rig);
    }
    /* Pipelined requests are served one after another. */
    for (int i = 0; i < INPUT_BYTES_MAX && half->conn_count > 0 && c->stash.len > 0; i++)
        turn(rig);
    if (half->conn_count > 0 && !c->stream.closing)
        c->stream.events->on_eof(&c->stream);
    turn(rig);
    ASSERT(half->conn_count == 0);
    ASSERT(rig->announced == rig->done);
}

static void rig_open(struct rig *rig)
{
    const struct http_handler handler = {on_headers, on_request, rig};
    struct http_limits limits;
    http_limits_default(&limits);
    limits.head_bytes_max = 2048;
    limits.body_bytes_max = 4096;
    *rig = (struct rig){0};
    buf_init(&rig->out, 64 << 20);
    loop_task_init(&rig->late, answer_late, rig);
    ASSERT(loop_new(&rig->loop) == ERR_OK);
    rig->server = http_server_new_memory(rig->loop, &limits, &handler);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct os_clock clock = {stopped_now, stopped_wall, NULL};
    static struct rig whole, cut;
    if (!whole.loop) {
        os_clock_set(&clock);
        rig_open(&whole);
        rig_open(&cut);
    }
    if (size < 4 || size > INPUT_BYTES_MAX)
        return 0;
    uint32_t seed;
    memcpy(&seed, data, sizeof seed);
    struct str input = str_of((const char *)data + sizeof seed, size - sizeof seed);
    buf_reset(&whole.out);
    buf_reset(&cut.out);
    run(&whole, input, 0);
    run(&cut, input, seed | 1);
    ASSERT(str_eq(buf_str(&whole.out), buf_str(&cut.out)));
    return 0;
}
