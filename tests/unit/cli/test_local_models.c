/* Local models from the gateway's side, with real engines and the small chat model. This program is
 * its own engine: started with the argument `engine` it is `weir engine`. */
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "codec/json_scan.h"
#include "model/local/frame.h"
#include "model/local/local.h"
#include "os/child.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/thread.h"

#define USER(text) "{\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]"

enum { LOOPS = 2, WAIT_MS = 240000 };

/* ---- A folder of models, two loops, of which the test runs the first ---- */

struct world {
    char dir[64];
    struct loop *loops[LOOPS];
    struct os_thread thread; /* of the second loop */
    struct local_models *models;
    atomic_uint ended; /* calls of two loops */
    unsigned open;     /* calls that the first loop waits for */
    unsigned events[4];
    char failure[LOCAL_TEXT_BYTES];
    struct loop_task stop_second;
};

static void on_event(void *arg, const struct local_event *event)
{
    struct world *w = arg;
    w->events[event->state]++;
    if (event->state == LOCAL_FAILED)
        snprintf(w->failure, sizeof w->failure, "%.*s", STR_ARG(event->detail));
}

static void second_loop(void *arg)
{
    struct world *w = arg;
    loop_run(w->loops[1]);
}

static void add_model(const struct world *w, const char *name)
{
    char from[OS_PATH_MAX], to[OS_PATH_MAX];
    assert_non_null(realpath("models/smollm2.gguf", from));
    snprintf(to, sizeof to, "%s/%s.gguf", w->dir, name);
    assert_int_equal(symlink(from, to), 0);
    assert_non_null(realpath("models/smollm2.jinja", from));
    snprintf(to, sizeof to, "%s/%s.jinja", w->dir, name);
    assert_int_equal(symlink(from, to), 0);
}

static void add_bytes(const struct world *w, const char *name, struct str bytes)
{
    char to[OS_PATH_MAX];
    snprintf(to, sizeof to, "%s/%s.gguf", w->dir, name);
    assert_int_equal(os_fs_write_file(os_fs_machine(), to, bytes), ERR_OK);
}

/* Beside the tests' own folder. */
static void library_folder(struct buf *path)
{
    buf_init(path, OS_PATH_MAX);
    assert_int_equal(os_program_path(path), ERR_OK);
    for (int up = 0; up < 4; up++)
        while (path->len && path->ptr[--path->len] != '/')
            continue;
    buf_append_str(path, STR("/lib/llama"));
}

static void open_world(struct world *w, uint64_t memory_bytes, unsigned parallel, unsigned queue)
{
    struct buf lib_dir;
    library_folder(&lib_dir);
    *w = (struct world){.dir = "/tmp/weir-models-XXXXXX"};
    assert_non_null(mkdtemp(w->dir));
    add_model(w, "smollm2");
    for (int i = 0; i < LOOPS; i++)
        assert_int_equal(loop_new(&w->loops[i]), ERR_OK);
    const struct local_options o = {.dir = str_from_c(w->dir),
                                    .memory_bytes = memory_bytes,
                                    .threads = 1,
                                    .parallel = parallel,
                                    .queue = queue,
                                    .lib_dir = buf_str(&lib_dir),
                                    .loops = w->loops,
                                    .loop_count = LOOPS,
                                    .on_event = on_event,
                                    .event_arg = w};
    assert_int_equal(local_models_open(&o, &w->models), ERR_OK);
    buf_release(&lib_dir);
    assert_int_equal(os_thread_start("second", second_loop, w, &w->thread), ERR_OK);
}

static void stop_second(void *arg)
{
    struct world *w = arg;
    local_models_stop(w->models, 1);
    loop_stop(w->loops[1]);
}

static void close_world(struct world *w)
{
    char command[128];
    loop_task_init(&w->stop_second, stop_second, w);
    loop_post(w->loops[1], &w->stop_second);
    os_thread_join(&w->thread);
    local_models_stop(w->models, 0);
    loop_run_until_idle(w->loops[0]);
    local_models_free(w->models);
    for (int i = 0; i < LOOPS; i++)
        loop_free(w->loops[i]);
    snprintf(command, sizeof command, "rm -r %s", w->dir);
    assert_int_equal(system(command), 0);
}

static void on_too_long(void *arg)
{
    (void)arg;
    fail_msg("nothing came for %d ms", WAIT_MS);
}

/* Run the first loop until it was stopped by what it waited for. */
static void run(struct world *w)
{
    struct loop_timer timer;
    loop_timer_init(&timer, on_too_long, w);
    loop_timer_start(w->loops[0], &timer, WAIT_MS);
    loop_run(w->loops[0]);
    loop_timer_stop(&timer);
}

static void stop_first(void *arg)
{
    struct world *w = arg;
    loop_stop(w->loops[0]);
}

static void run_for(struct world *w, uint64_t ms)
{
    struct loop_timer timer;
    loop_timer_init(&timer, stop_first, w);
    loop_timer_start(w->loops[0], &timer, ms);
    loop_run(w->loops[0]);
}

/* ---- A call ---- */

struct call {
    struct world *w;
    struct model_request request;
    struct str body;
    struct model_use *use;
    struct buf answer;
    int status;
    int64_t retry_ms;
    enum err error;
    char detail[200];
    unsigned pieces, ends;
    unsigned order; /* in which it ended */
    bool over, pause_at_once, stop_at_piece;
    unsigned loop;
    struct loop_task begin, ended;
};

static void call_ended(void *arg)
{
    struct call *c = arg;
    if (--c->w->open == 0)
        loop_stop(c->w->loops[0]);
}

static void over(struct call *c)
{
    c->over = true;
    c->ends++;
    c->order = ++c->w->ended;
    loop_task_init(&c->ended, call_ended, c);
    loop_post(c->w->loops[0], &c->ended);
}

static void on_head(void *arg, const struct model_head *head)
{
    struct call *c = arg;
    assert_int_equal(c->status, 0);
    c->status = head->status;
    c->retry_ms = head->retry_after_ms;
    if (c->pause_at_once)
        model_use_pause(c->use);
}

static void on_body(void *arg, struct str bytes)
{
    struct call *c = arg;
    assert_int_not_equal(c->status, 0);
    assert_false(c->over);
    c->pieces++;
    buf_append_str(&c->answer, bytes);
    if (c->stop_at_piece)
        loop_stop(c->w->loops[0]);
    c->stop_at_piece = false;
}

static void on_end(void *arg)
{
    over(arg);
}

static void on_fail(void *arg, enum err error, enum model_phase phase, struct str detail)
{
    struct call *c = arg;
    (void)phase;
    c->error = error;
    snprintf(c->detail, sizeof c->detail, "%.*s", STR_ARG(detail));
    over(c);
}

static const struct model_events events = {on_head, on_body, on_end, on_fail};

static void begin(void *arg)
{
    struct call *c = arg;
    struct model_target target = local_models_target(c->w->models, c->loop);
    assert_int_equal(model_start(&target, &c->request, &events, c, &c->use), ERR_OK);
    assert_int_equal(c->status, 0); /* nothing from inside */
}

static void prepare(struct call *c, struct world *w, const char *model, const char *body)
{
    *c = (struct call){.w = w, .body = str_from_c(body)};
    c->request = (struct model_request){.endpoint = STR("/chat/completions"),
                                        .body = &c->body,
                                        .body_parts = 1,
                                        .upstream_model = str_from_c(model)};
    buf_init(&c->answer, 8 << 20);
    w->open++;
}

static void start_call(struct call *c, struct world *w, const char *model, const char *body)
{
    prepare(c, w, model, body);
    begin(c);
}

static void finish(struct call *c)
{
    assert_int_equal(c->ends, 1);
    model_use_release(c->use);
    buf_release(&c->answer);
}

static struct str content(const struct call *c, struct arena *arena)
{
    struct json_value v;
    if (!json_find(buf_str(&c->answer), "choices.0.message.content", &v))
        return STR("");
    return json_text(&v, arena);
}

static void expect_error(const struct call *c, int status, const char *says)
{
    struct json_value v;
    struct arena arena;
    arena_init(&arena);
    assert_int_equal(c->status, status);
    assert_true(json_find(buf_str(&c->answer), "error.message", &v));
    struct str text = arena_str(&arena, json_text(&v, &arena));
    if (!strstr(text.ptr, says))
        fail_msg("%s", text.ptr);
    arena_release(&arena);
}

/* ---- Tests ---- */

static void the_capital_of_france(void **state)
{
    struct world w;
    struct call c;
    struct arena arena;
    struct model_timing timing;
    struct local_model_info info;
    (void)state;
    arena_init(&arena);
    open_world(&w, 0, 2, 4);
    assert_true(local_models_find(w.models, STR("smollm2"), &info));
    assert_int_equal(info.state, LOCAL_UNLOADED);
    start_call(&c, &w, "smollm2",
               USER("What is the capital of France?") ",\"temperature\":0,\"max_tokens\":30}");
    run(&w);
    assert_int_equal(c.status, 200);
    assert_true(str_find(content(&c, &arena), STR("Paris")) >= 0);
    model_use_timing(c.use, &timing);
    assert_true(timing.started_us < timing.connect_us && timing.connect_us < timing.first_byte_us &&
                timing.first_byte_us <= timing.end_us);
    assert_true(!timing.reused && timing.bytes_in == c.answer.len &&
                timing.bytes_out == c.body.len);
    assert_true(local_models_find(w.models, STR("smollm2"), &info));
    assert_int_equal(info.state, LOCAL_READY);
    assert_true(info.pid > 0 && info.context_tokens >= 2048 && info.parallel == 2 &&
                info.uses == 0);
    assert_int_equal(w.events[LOCAL_LOADING], 1);
    assert_int_equal(w.events[LOCAL_READY], 1);
    finish(&c);
    arena_release(&arena);
    close_world(&w);
    assert_int_equal(kill(info.pid, 0), -1); /* no engine stays behind */
}

/* A prompt of each length, so that prompts are cut differently beside each other than alone. */
static const char *const seeded[] = {
    USER("Tell me about rivers.") ",\"seed\":1,\"temperature\":1,\"max_tokens\":24}",
    USER("Tell me a story of a fox, a crow, a cheese, a tree, and a very long and cold "
         "winter in "
         "the mountains of a country that nobody has ever seen, and begin with the end of "
         "it.") ",\"seed\":2,\"temperature\":1,\"max_tokens\":24}",
    USER("Hi") ",\"seed\":3,\"temperature\":1.5,\"top_k\":0,\"max_tokens\":24}",
    USER("List animals that live in the sea") ",\"seed\":4,\"frequency_penalty\":1,\"max_"
                                              "tokens\":24}",
};

static void a_seed_gives_the_same_answer_alone_and_beside_others(void **state)
{
    enum { N = 4 };
    struct world w;
    struct call alone[N], beside[N];
    struct arena arena;
    (void)state;
    arena_init(&arena);
    open_world(&w, 0, N, 4);
    for (int i = 0; i < N; i++) {
        start_call(&alone[i], &w, "smollm2", seeded[i]);
        run(&w);
        assert_int_equal(alone[i].status, 200);
    }
    for (int i = 0; i < N; i++) { /* on both loops */
        prepare(&beside[i], &w, "smollm2", seeded[i]);
        beside[i].loop = (unsigned)i % LOOPS;
        loop_task_init(&beside[i].begin, begin, &beside[i]);
        loop_post(w.loops[i % LOOPS], &beside[i].begin);
    }
    run(&w);
    for (int i = 0; i < N; i++) {
        struct str text = content(&alone[i], &arena);
        assert_true(text.len > 0);
        assert_true(str_eq(text, content(&beside[i], &arena)));
    }
    close_world(&w);
    for (int i = 0; i < N; i++) {
        finish(&alone[i]);
        finish(&beside[i]);
    }
    arena_release(&arena);
}

static void a_cancelled_use_frees_its_place(void **state)
{
    struct world w;
    struct call endless, next;
    (void)state;
    open_world(&w, 0, 1, 1);
    start_call(&endless, &w, "smollm2",
               USER("Count") ",\"stream\":true,\"ignore_eos\":true,\"max_tokens\":100000}");
    endless.stop_at_piece = true;
    run(&w);
    assert_int_equal(endless.status, 200);
    unsigned pieces = endless.pieces;
    model_use_cancel(endless.use);
    model_use_cancel(endless.use);
    w.open--;
    start_call(&next, &w, "smollm2", USER("Hi") ",\"max_tokens\":2}");
    run(&w);
    assert_int_equal(next.status, 200);
    assert_int_equal(endless.pieces, pieces);
    assert_int_equal(endless.ends, 0);
    model_use_release(endless.use);
    buf_release(&endless.answer);
    finish(&next);
    close_world(&w);
}

static void the_queue_has_an_end(void **state)
{
    enum { N = 8, PLACES = 1 + 2 };
    struct world w;
    struct call calls[N];
    int answered = 0;
    (void)state;
    open_world(&w, 0, 1, 2);
    for (int i = 0; i < N; i++)
        start_call(&calls[i], &w, "smollm2", USER("Hi") ",\"max_tokens\":2}");
    run(&w);
    for (int i = 0; i < N; i++) {
        answered += calls[i].status == 200;
        if (calls[i].status == 200)
            continue;
        expect_error(&calls[i], 429, "local.queue");
        assert_true(calls[i].retry_ms >= 1000 && calls[i].retry_ms <= 60000);
    }
    assert_int_equal(answered, PLACES);
    for (int i = 0; i < N; i++)
        finish(&calls[i]);
    close_world(&w);
}

/* A stream under way, more of the same caller than there is room for, and one of another. */
static void one_callers_queue_holds_no_other_back(void **state)
{
    enum { N = 4 };
    struct world w;
    struct call calls[N], other;
    (void)state;
    open_world(&w, 0, 1, N - 1);
    for (int i = 0; i < N; i++) {
        prepare(&calls[i], &w, "smollm2", USER("Hi") ",\"ignore_eos\":true,\"max_tokens\":8}");
        calls[i].request.caller = 1;
        begin(&calls[i]);
    }
    prepare(&other, &w, "smollm2", USER("Hi") ",\"ignore_eos\":true,\"max_tokens\":8}");
    other.request.caller = 2;
    begin(&other);
    run(&w);
    assert_int_equal(other.status, 200);
    /* The last of the many gave its place up, and the other one did not wait for those before. */
    expect_error(&calls[N - 1], 429, "local.queue");
    assert_true(other.order < calls[1].order);
    assert_true(calls[1].order < calls[2].order);
    for (int i = 0; i < N; i++)
        finish(&calls[i]);
    finish(&other);
    close_world(&w);
}

static void a_slow_reader_holds_its_answer_back(void **state)
{
    struct world w;
    struct call slow, other;
    (void)state;
    open_world(&w, 0, 2, 2);
    start_call(&slow, &w, "smollm2",
               USER("Count") ",\"stream\":true,\"ignore_eos\":true,\"max_tokens\":40,\"seed\":1}");
    slow.pause_at_once = true;
    start_call(&other, &w, "smollm2",
               USER("Count") ",\"stream\":true,\"ignore_eos\":true,\"max_tokens\":60,\"seed\":1}");
    w.open--; /* wait for the other one */
    run(&w);
    assert_int_equal(slow.status, 200);
    assert_int_equal(slow.pieces, 0);
    assert_false(slow.over);
    w.open++;
    model_use_resume(slow.use);
    if (!slow.over || w.open)
        run(&w);
    assert_true(slow.pieces > 0);
    assert_true(str_ends(buf_str(&slow.answer), STR("data: [DONE]\n\n")));
    finish(&slow);
    finish(&other);
    close_world(&w);
}

static void a_killed_engine_costs_its_calls_only(void **state)
{
    struct world w;
    struct call stream, plain, next;
    struct local_model_info info;
    (void)state;
    open_world(&w, 0, 2, 2);
    start_call(&plain, &w, "smollm2", USER("Count") ",\"ignore_eos\":true}");
    start_call(&stream, &w, "smollm2", USER("Count") ",\"stream\":true,\"ignore_eos\":true}");
    stream.stop_at_piece = true;
    run(&w);
    assert_true(local_models_find(w.models, STR("smollm2"), &info));
    assert_int_equal(info.uses, 2);
    assert_int_equal(kill(info.pid, SIGKILL), 0);
    run(&w);
    expect_error(&plain, 503, "ended while it worked");
    assert_int_equal(stream.status, 200);
    assert_int_equal(stream.error, ERR_RESET);
    start_call(&next, &w, "smollm2", USER("Hi") ",\"max_tokens\":2}");
    run(&w);
    assert_int_equal(next.status, 200);
    assert_int_equal(w.events[LOCAL_READY], 2);
    assert_non_null(strstr(w.failure, "signal 9"));
    finish(&plain);
    finish(&stream);
    finish(&next);
    close_world(&w);
}

static void a_file_that_cannot_load_says_why(void **state)
{
    static char page[5000] = "<html>not a model</html>";
    struct world w;
    struct call c;
    struct local_model_info info;
    (void)state;
    open_world(&w, 0, 1, 1);
    add_bytes(&w, "page", str_of(page, sizeof page));
    BUF_AUTO struct buf whole;
    buf_init(&whole, 200 << 20);
    assert_int_equal(os_fs_read_file(os_fs_machine(), "models/smollm2.gguf", &whole), ERR_OK);
    add_bytes(&w, "half", str_take(buf_str(&whole), whole.len / 2));
    memset(whole.ptr + 1000000, 0xFF, 3000); /* in the vocabulary */
    add_bytes(&w, "holed", buf_str(&whole));
    static const char *const names[] = {"page", "half", "holed"};
    static const char *const says[] = {"not a GGUF file", "", ""};
    local_models_scan(w.models);
    for (int i = 0; i < 3; i++) {
        start_call(&c, &w, names[i], USER("Hi") ",\"max_tokens\":2}");
        run(&w);
        expect_error(&c, 503, says[i]);
        finish(&c);
        assert_true(local_models_find(w.models, str_from_c(names[i]), &info));
        assert_int_equal(info.state, LOCAL_FAILED);
        assert_true(info.reason[0] != 0);
    }
    /* Again and again: told without a new process once the pause is long. */
    uint64_t start_us = os_now_us();
    unsigned loads = w.events[LOCAL_LOADING];
    for (int i = 0; i < 40; i++) {
        start_call(&c, &w, "page", USER("Hi") ",\"max_tokens\":2}");
        run(&w);
        expect_error(&c, 503, "not a GGUF file");
        assert_true(c.retry_ms > 0);
        finish(&c);
    }
    assert_true(w.events[LOCAL_LOADING] - loads <= 6);
    assert_true(os_now_us() - start_us < 60000000);
    start_call(&c, &w, "smollm2", USER("Hi") ",\"max_tokens\":2}");
    run(&w);
    assert_int_equal(c.status, 200);
    finish(&c);
    close_world(&w);
}

static void refusals_are_answers(void **state)
{
    struct world w;
    struct call c;
    (void)state;
    open_world(&w, 0, 1, 1);
    start_call(&c, &w, "nobody", USER("Hi") "}");
    run(&w);
    expect_error(&c, 404, "no local model 'nobody'");
    finish(&c);
    prepare(&c, &w, "smollm2", "{}");
    c.request.endpoint = STR("/images");
    begin(&c);
    run(&w);
    expect_error(&c, 404, "/images");
    finish(&c);
    start_call(&c, &w, "smollm2", USER("Hi") ",\"tools\":[{}]}");
    run(&w);
    expect_error(&c, 400, "tools");
    finish(&c);
    close_world(&w);
}

static void call_and_wait(struct call *c, struct world *w, const char *body)
{
    start_call(c, w, "smollm2", body);
    run(w);
}

#define FRANCE USER("What is the capital of France?") ",\"temperature\":0"

static void expect_content(struct world *w, const char *body, const char *text, const char *reason)
{
    struct call c;
    struct arena arena;
    struct json_value v;
    arena_init(&arena);
    call_and_wait(&c, w, body);
    assert_int_equal(c.status, 200);
    assert_string_equal(arena_str(&arena, content(&c, &arena)).ptr, text);
    assert_true(json_find(buf_str(&c.answer), "choices.0.finish_reason", &v));
    assert_true(json_eq(&v, str_from_c(reason)));
    finish(&c);
    arena_release(&arena);
}

static int64_t prompt_tokens(struct world *w, const char *body)
{
    struct call c;
    struct json_value v;
    int64_t tokens = 0;
    call_and_wait(&c, w, body);
    assert_true(json_find(buf_str(&c.answer), "usage.prompt_tokens", &v));
    assert_int_equal(json_to_i64(&v, &tokens), ERR_OK);
    finish(&c);
    return tokens;
}

static void parameters_do_what_they_say(void **state)
{
    struct world w;
    (void)state;
    open_world(&w, 0, 2, 2);
    expect_content(&w, FRANCE "}", "The capital of France is Paris.", "stop");
    /* Across the border of two tokens; the likeliest when top_k leaves one. */
    expect_content(&w, FRANCE ",\"stop\":[\"xyz\",\"e is P\"]}", "The capital of Franc", "stop");
    expect_content(&w, FRANCE ",\"max_tokens\":3}", "The capital of", "length");
    expect_content(
        &w,
        USER("What is the capital of France?") ",\"temperature\":1.9,\"top_k\":1,\"max_tokens\":4}",
        "The capital of France", "length");
    /* What spells a control token is text: more tokens than the one it would be. */
    int64_t without = prompt_tokens(&w, USER("ab") ",\"max_tokens\":1}");
    int64_t with = prompt_tokens(&w, USER("a<|im_end|>b") ",\"max_tokens\":1}");
    assert_true(with >= without + 4);
    close_world(&w);
}

/* A request whose message has `count` times "word ". */
static void long_request(struct buf *body, int count)
{
    buf_init(body, 8 << 20);
    buf_append_str(body, STR("{\"messages\":[{\"role\":\"user\",\"content\":\""));
    for (int i = 0; i < count; i++)
        buf_append_str(body, STR("word "));
    buf_append_str(body, STR("\"}],\"max_tokens\":2}"));
}

static void a_prompt_that_does_not_fit_is_refused_with_the_numbers(void **state)
{
    struct world w;
    struct call c;
    struct local_model_info info;
    (void)state;
    open_world(&w, 0, 2, 2);
    static const int counts[] = {300, 4100, 1000000};
    static const char *const says[] = {"", "context holds 4096", "bytes of text"};
    for (int i = 0; i < 3; i++) {
        BUF_AUTO struct buf body;
        long_request(&body, counts[i]);
        call_and_wait(&c, &w, buf_cstr(&body));
        if (i == 0)
            assert_int_equal(c.status, 200);
        else
            expect_error(&c, 400, says[i]);
        finish(&c);
    }
    call_and_wait(&c, &w, USER("a") ",\"logit_bias\":{\"49152\":1}}");
    expect_error(&c, 400, "token 49152; the model has 49152");
    finish(&c);
    assert_true(local_models_find(w.models, STR("smollm2"), &info));
    assert_int_equal(info.context_tokens, 4096);
    close_world(&w);
}

/* An engine that was taken over by its model: it says that it is ready, and answers each request
 * with what its name stands for. */
static int lie(const char *name)
{
    struct frame_reader in;
    struct frame frame;
    BUF_AUTO struct buf out;
    const struct frame_head head = {200, FRAME_NO_RETRY, STR("text/event-stream")};
    static char much[FRAME_BODY_BYTES_MAX];
    frame_reader_init(&in, FRAME_TO_ENGINE);
    buf_init(&out, 64 << 20);
    frame_append(&out, FRAME_READY, 0, STR("{\"context_tokens\":\"many\",\"load_ms\":-1"));
    for (int fd = 3; fd < 3 + LOOPS; fd++)
        assert_int_equal(write(fd, out.ptr, out.len), (ssize_t)out.len);
    while (frame_reader_next(&in, &frame) != ERR_OK) {
        size_t room;
        char *to = frame_reader_room(&in, &room);
        ssize_t n = read(3, to, room);
        if (n <= 0)
            return 1;
        frame_reader_filled(&in, (size_t)n);
    }
    buf_reset(&out);
    if (strstr(name, "early")) { /* a body before its head */
        frame_append(&out, FRAME_BODY, frame.id, STR("x"));
    } else if (strstr(name, "empty")) { /* an end without a head */
        frame_append(&out, FRAME_END, frame.id, STR_NONE);
    } else if (strstr(name, "twice")) {
        frame_append_head(&out, frame.id, &head);
        frame_append_head(&out, frame.id, &head);
    } else if (strstr(name, "noise")) {
        buf_append(&out, much, sizeof much);
    } else { /* more than its window */
        frame_append_head(&out, frame.id, &head);
        for (int i = 0; i < 1000; i++)
            frame_append(&out, FRAME_BODY, frame.id, str_of(much, sizeof much));
    }
    ssize_t ignored = write(3, out.ptr, out.len);
    (void)ignored;
    pause();
    return 0;
}

static void an_engine_that_breaks_the_rules_is_ended(void **state)
{
    struct world w;
    struct call c;
    struct local_model_info info;
    (void)state;
    open_world(&w, 0, 1, 1);
    static const char *const liars[] = {"liar-early", "liar-noise", "liar-empty", "liar-twice",
                                        "liar-much"};
    for (int i = 0; i < 5; i++)
        add_model(&w, liars[i]);
    local_models_scan(w.models);
    for (int i = 0; i < 5; i++) {
        start_call(&c, &w, liars[i], USER("Hi") "}");
        c.pause_at_once = i >= 3;
        run(&w);
        if (i < 3)
            expect_error(&c, 503, "ended while it worked");
        else
            assert_int_equal(c.error, ERR_RESET);
        assert_true(c.answer.len < 4096); /* paused from its head on */
        finish(&c);
        /* It is killed without anybody asking for it again. */
        for (int wait = 0; wait < 500; wait++) {
            assert_true(local_models_find(w.models, str_from_c(liars[i]), &info));
            if (info.state == LOCAL_FAILED)
                break;
            run_for(&w, 10);
        }
        assert_int_equal(info.state, LOCAL_FAILED);
        assert_non_null(strstr(info.reason, "signal 9"));
    }
    start_call(&c, &w, "smollm2", USER("Hi") ",\"max_tokens\":2}");
    run(&w);
    assert_int_equal(c.status, 200);
    finish(&c);
    close_world(&w);
}

static void a_deadline_ends_the_wait(void **state)
{
    struct world w;
    struct call c;
    (void)state;
    open_world(&w, 0, 1, 1);
    prepare(&c, &w, "smollm2", USER("Count") ",\"ignore_eos\":true,\"max_tokens\":100000}");
    c.request.deadline_us = os_now_us() + 300000;
    begin(&c);
    run(&w);
    assert_int_equal(c.status, 0);
    assert_int_equal(c.error, ERR_TIMEOUT);
    finish(&c);
    close_world(&w);
}

static void models_share_the_memory_allowed(void **state)
{
    struct world w;
    struct call c;
    struct local_model_info info;
    (void)state;
    open_world(&w, 300u << 20, 1, 1); /* one fits: about 94 MiB and 37.5 MiB; three do not */
    add_model(&w, "second");
    add_model(&w, "third");
    local_models_scan(w.models);
    assert_int_equal(local_models_list(w.models, &info, 1), 3);
    assert_string_equal(info.name, "second");
    static const char *const order[] = {"smollm2", "second", "smollm2", "third"};
    for (int i = 0; i < 4; i++) {
        start_call(&c, &w, order[i], USER("Hi") ",\"max_tokens\":2}");
        run(&w);
        assert_int_equal(c.status, 200);
        finish(&c);
    }
    /* The least recently used one left. */
    assert_true(local_models_find(w.models, STR("second"), &info));
    assert_int_equal(info.state, LOCAL_UNLOADED);
    assert_true(local_models_find(w.models, STR("smollm2"), &info));
    assert_int_equal(info.state, LOCAL_READY);
    close_world(&w);
    open_world(&w, 64u << 20, 1, 1);
    start_call(&c, &w, "smollm2", USER("Hi") ",\"max_tokens\":2}");
    run(&w);
    expect_error(&c, 503, "local.memory allows 64 MiB");
    finish(&c);
    close_world(&w);
}

int main(int argc, char **argv)
{
    if (argc > 3 && strcmp(argv[1], "engine") == 0)
        return strstr(argv[3], "liar") ? lie(argv[3]) : cli_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_capital_of_france),
        cmocka_unit_test(a_seed_gives_the_same_answer_alone_and_beside_others),
        cmocka_unit_test(a_cancelled_use_frees_its_place),
        cmocka_unit_test(the_queue_has_an_end),
        cmocka_unit_test(one_callers_queue_holds_no_other_back),
        cmocka_unit_test(a_slow_reader_holds_its_answer_back),
        cmocka_unit_test(a_killed_engine_costs_its_calls_only),
        cmocka_unit_test(a_file_that_cannot_load_says_why),
        cmocka_unit_test(refusals_are_answers),
        cmocka_unit_test(parameters_do_what_they_say),
        cmocka_unit_test(a_prompt_that_does_not_fit_is_refused_with_the_numbers),
        cmocka_unit_test(an_engine_that_breaks_the_rules_is_ended),
        cmocka_unit_test(a_deadline_ends_the_wait),
        cmocka_unit_test(models_share_the_memory_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
