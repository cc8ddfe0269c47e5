/* Engines as child processes: started when asked for, under the memory that is allowed, watched,
 * and started again after a pause when they died. All of it on the first loop's thread. */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "codec/json_scan.h"
#include "model/local/engine.h"
#include "model/local/local_int.h"
#include "os/clock.h"

enum {
    FIRST_FD = 3,
    ARGS_MAX = 20,
    ENVIRONMENT_MAX = 64,
    KV_DIVISOR = 8,        /* contexts may take that part of the memory allowed */
    HEALTHY_US = 30000000, /* ready for so long: the next death is a first one */
    WAIT_MS = 1000, /* a pause before the next start that calls wait for; longer ones are told */
};
#define KV_BYTES_DEFAULT ((uint64_t)512 << 20)

struct local_engine {
    uv_process_t process;
    struct local_model *model;
    uint64_t generation;
    uint64_t ready_us; /* 0: not yet */
    bool unloading;
};

static struct loop *first_loop(const struct local_models *models)
{
    return models->loops[0].loop;
}

/* ---- Telling ---- */

static void tell(struct local_model *m, enum local_state state, int pid, const char *detail)
{
    struct local_models *models = m->models;
    os_mutex_lock(&models->lock);
    atomic_store(&m->state, (int)state);
    m->pid = state == LOCAL_LOADING || state == LOCAL_READY ? pid : 0;
    if (state == LOCAL_FAILED)
        snprintf(m->reason, sizeof m->reason, "%s", detail);
    const struct local_event event = {state, str_from_c(m->name), pid, m->load_ms,
                                      str_from_c(detail)};
    os_mutex_unlock(&models->lock);
    if (models->options.on_event)
        models->options.on_event(models->options.event_arg, &event);
}

__attribute__((format(printf, 4, 5))) static void refuse(struct local_model *m, int status,
                                                         uint64_t retry_ms, const char *format, ...)
{
    struct local_refusal refusal = {
        .status = status, .retry_ms = retry_ms < UINT32_MAX ? (uint32_t)retry_ms : FRAME_NO_RETRY};
    va_list args;
    va_start(args, format);
    vsnprintf(refusal.text, sizeof refusal.text, format, args);
    va_end(args);
    m->wanted = false;
    for (size_t i = 0; i < m->models->loop_count; i++)
        local_link_mail_refusal(&m->links[i], &refusal);
}

/* ---- Memory ---- */

static uint64_t memory_limit(struct local_models *models)
{
    os_mutex_lock(&models->lock);
    uint64_t bytes = models->options.memory_bytes;
    os_mutex_unlock(&models->lock);
    return bytes;
}

static uint64_t kv_budget(uint64_t limit_bytes)
{
    return limit_bytes ? limit_bytes / KV_DIVISOR : KV_BYTES_DEFAULT;
}

/* As its engine said, or may take. */
static uint64_t contexts_of(const struct local_model *m)
{
    return m->kv_bytes ? m->kv_bytes : kv_budget(memory_limit(m->models));
}

static uint64_t memory_of(const struct local_model *m)
{
    os_mutex_lock(&m->models->lock);
    uint64_t weights = m->size_bytes;
    os_mutex_unlock(&m->models->lock);
    return weights + contexts_of(m);
}

static uint64_t memory_in_use(const struct local_models *models)
{
    uint64_t bytes = 0;
    size_t count = atomic_load(&models->model_count);
    for (size_t i = 0; i < count; i++)
        if (models->models[i]->engine)
            bytes += memory_of(models->models[i]);
    return bytes;
}

static struct local_model *least_recent(struct local_models *models)
{
    struct local_model *oldest = NULL;
    size_t count = atomic_load(&models->model_count);
    for (size_t i = 0; i < count; i++) {
        struct local_model *m = models->models[i];
        if (!m->engine || m->engine->unloading || atomic_load(&m->uses) != 0)
            continue;
        if (!oldest || atomic_load(&m->last_use_us) < atomic_load(&oldest->last_use_us))
            oldest = m;
    }
    return oldest;
}

static bool some_unloading(const struct local_models *models)
{
    size_t count = atomic_load(&models->model_count);
    for (size_t i = 0; i < count; i++)
        if (models->models[i]->engine && models->models[i]->engine->unloading)
            return true;
    return false;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

/* False: not now (idle engines are leaving; their end tries again), or never (refused). */
static bool make_room(struct local_model *m)
{
    struct local_models *models = m->models;
    uint64_t need = memory_of(m), limit = memory_limit(models);
    if (limit == 0 || memory_in_use(models) + need <= limit)
        return true;
    if (need > limit) {
        refuse(
            m, 503, FRAME_NO_RETRY,
            "model '%s' needs %.0f MiB (%.0f MiB of weights, %.0f MiB for contexts); local.memory "
            "allows %.0f MiB: raise it, or use a smaller model",
            m->name, mib(need), mib(need - contexts_of(m)), mib(contexts_of(m)), mib(limit));
        return false;
    }
    struct local_model *idle = least_recent(models);
    if (idle && local_engine_unload(idle) == ERR_OK)
        return false;
    if (!some_unloading(models))
        refuse(m, 503, WAIT_MS,
               "model '%s' needs %.0f MiB; of the %.0f MiB that local.memory allows, %.0f MiB are "
               "taken by models that are answering. Try again later, or raise it",
               m->name, mib(need), mib(limit), mib(memory_in_use(models)));
    return false;
}

/* ---- Starting ---- */

static void try_start(struct local_model *m);

static void try_all(struct local_models *models)
{
    size_t count = atomic_load(&models->model_count);
    for (size_t i = 0; i < count; i++)
        if (models->models[i]->wanted)
            try_start(models->models[i]);
}

static void on_handle_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void died(struct local_model *m, bool was_healthy, int64_t status, int signal_number)
{
    char text[LOCAL_TEXT_BYTES];
    m->failures = was_healthy ? 1 : m->failures + 1;
    uint64_t pause_ms = LOCAL_RETRY_MIN_MS;
    for (unsigned i = 1; i < m->failures && pause_ms < LOCAL_RETRY_MAX_MS; i++)
        pause_ms *= 2;
    pause_ms = pause_ms < LOCAL_RETRY_MAX_MS ? pause_ms : LOCAL_RETRY_MAX_MS;
    m->retry_us = os_now_us() + pause_ms * 1000;
    if (atomic_load(&m->state) == LOCAL_FAILED)
        return; /* it said why itself */
    if (signal_number)
        snprintf(text, sizeof text, "its engine was ended by signal %d (%s)", signal_number,
                 strsignal(signal_number));
    else
        snprintf(text, sizeof text, "its engine ended with exit code %lld", (long long)status);
    tell(m, LOCAL_FAILED, 0, text);
}

static void on_child_exit(uv_process_t *process, int64_t status, int signal_number)
{
    struct local_engine *engine = process->data;
    struct local_model *m = engine->model;
    struct local_models *models = m->models;
    loop_entered(first_loop(models));
    m->engine = NULL;
    if (engine->unloading)
        tell(m, LOCAL_UNLOADED, process->pid, "");
    else
        died(m, engine->ready_us && os_now_us() - engine->ready_us > HEALTHY_US, status,
             signal_number);
    atomic_fetch_and(&m->uses, ~LOCAL_LEAVING);
    uv_close((uv_handle_t *)process, on_handle_closed);
    try_all(models);
}

/* An engine sees what it needs of the environment, not the keys that providers' secrets are in. */
static bool passes(const char *variable)
{
    static const char *const prefixes[] = {"PATH=",  "HOME=",  "TMPDIR=", "LANG=",         "LC_",
                                           "LD_",    "MALLOC", "GLIBC_",  "ASAN_OPTIONS=", "LSAN_",
                                           "UBSAN_", "TSAN_",  "GGML_",   "LLAMA_",        "OMP_"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static void build_environment(char *to[ENVIRONMENT_MAX])
{
    /* A failed assertion of ggml starts a debugger otherwise; OpenMP's threads spin otherwise. */
    static char no_backtrace[] = "GGML_NO_BACKTRACE=1", passive[] = "OMP_WAIT_POLICY=passive";
    size_t n = 0;
    to[n++] = no_backtrace;
    to[n++] = passive;
    for (char **at = environ; *at && n < ENVIRONMENT_MAX - 1; at++)
        if (passes(*at))
            to[n++] = *at;
    to[n] = NULL;
}

struct arguments {
    char *at[ARGS_MAX];
    size_t count;
};

__attribute__((format(printf, 2, 3))) static void argument(struct arguments *args,
                                                           const char *format, ...)
{
    BUF_AUTO struct buf text;
    buf_init(&text, 8192);
    va_list list;
    va_start(list, format);
    buf_vprintf(&text, format, list);
    va_end(list);
    ASSERT(args->count < ARGS_MAX - 1);
    args->at[args->count++] = mem_strdup(buf_cstr(&text), text.len);
}

static unsigned within(unsigned value, unsigned min, unsigned max)
{
    return value < min ? min : value > max ? max : value;
}

static void build_arguments(const struct local_model *m, struct arguments *args)
{
    const struct local_options *o = &m->models->options;
    unsigned cores = os_cpu_count();
    unsigned threads = o->threads ? o->threads : cores > 1 ? cores - 1 : 1;
    argument(args, "weir");
    argument(args, "engine");
    argument(args, "--model=%s", m->path);
    argument(args, "--name=%s", m->name);
    argument(args, "--fd=%d", FIRST_FD);
    argument(args, "--links=%zu", m->models->loop_count);
    argument(args, "--threads=%u", within(threads, 1, ENGINE_THREADS_MAX));
    argument(args, "--parallel=%u", within(o->parallel, 1, ENGINE_PARALLEL_MAX));
    argument(args, "--queue=%u", within(o->queue, 0, ENGINE_QUEUE_MAX));
    argument(args, "--kv-bytes=%llu", (unsigned long long)kv_budget(o->memory_bytes));
    if (o->lib_dir.len)
        argument(args, "--lib=%.*s", STR_ARG(o->lib_dir));
}

/* One end of each pair for the child, one for a loop. */
static bool open_pairs(size_t count, int (*pairs)[2])
{
    for (size_t i = 0; i < count; i++) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pairs[i]) == 0)
            continue;
        while (i-- > 0) {
            close(pairs[i][0]);
            close(pairs[i][1]);
        }
        return false;
    }
    return true;
}

static int spawn(struct local_engine *engine, int (*pairs)[2])
{
    struct local_model *m = engine->model;
    struct local_models *models = m->models;
    uv_stdio_container_t stdio[FIRST_FD + LOCAL_LOOPS_MAX] = {
        {.flags = UV_IGNORE}, /* what it prints goes where ours is logged, never to our output */
        {.flags = UV_INHERIT_FD, .data = {.fd = STDERR_FILENO}},
        {.flags = UV_INHERIT_FD, .data = {.fd = STDERR_FILENO}}};
    for (size_t i = 0; i < models->loop_count; i++)
        stdio[FIRST_FD + i] =
            (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data = {.fd = pairs[i][1]}};
    char *environment[ENVIRONMENT_MAX];
    struct arguments args = {.count = 0};
    build_environment(environment);
    os_mutex_lock(&models->lock);
    build_arguments(m, &args);
    os_mutex_unlock(&models->lock);
    const uv_process_options_t options = {.exit_cb = on_child_exit,
                                          .file = models->options.program.ptr,
                                          .args = args.at,
                                          .env = environment,
                                          .stdio_count = FIRST_FD + (int)models->loop_count,
                                          .stdio = stdio};
    engine->process.data = engine;
    int rc = uv_spawn(loop_uv(first_loop(models)), &engine->process, &options);
    for (size_t i = 0; i < args.count; i++)
        mem_free(args.at[i]);
    return rc;
}

static void give_sockets(struct local_model *m, int (*pairs)[2])
{
    for (size_t i = 0; i < m->models->loop_count; i++) {
        close(pairs[i][1]);
        fcntl(pairs[i][0], F_SETFL, fcntl(pairs[i][0], F_GETFL) | O_NONBLOCK);
        local_link_mail_socket(&m->links[i], m->generation, pairs[i][0]);
    }
}

static void start(struct local_model *m)
{
    int pairs[LOCAL_LOOPS_MAX][2];
    memset(pairs, 0xFF, sizeof pairs);
    if (!open_pairs(m->models->loop_count, pairs)) {
        refuse(m, 503, WAIT_MS, "no sockets for the engine of model '%s': %s", m->name,
               err_text(ERR_LIMIT));
        return;
    }
    struct local_engine *engine = NEW(struct local_engine);
    engine->model = m;
    engine->generation = ++m->generation;
    int rc = spawn(engine, pairs);
    if (rc != 0) {
        for (size_t i = 0; i < m->models->loop_count; i++) {
            close(pairs[i][0]);
            close(pairs[i][1]);
        }
        uv_close((uv_handle_t *)&engine->process, on_handle_closed);
        refuse(m, 503, WAIT_MS, "the engine of model '%s' cannot be started: %s", m->name,
               uv_strerror(rc));
        return;
    }
    uv_unref((uv_handle_t *)&engine->process);
    m->engine = engine;
    m->wanted = false;
    atomic_store(&m->last_use_us, os_now_us());
    tell(m, LOCAL_LOADING, engine->process.pid, "");
    give_sockets(m, pairs);
}

static void on_retry(void *arg)
{
    try_start(arg);
}

static void try_start(struct local_model *m)
{
    if (m->engine || !m->wanted || m->models->loops[0].stopped)
        return;
    os_mutex_lock(&m->models->lock);
    bool gone = atomic_load(&m->gone);
    char reason[LOCAL_TEXT_BYTES];
    snprintf(reason, sizeof reason, "%s", m->reason);
    os_mutex_unlock(&m->models->lock);
    if (gone) {
        refuse(m, 404, FRAME_NO_RETRY, "the file of model '%s' is gone", m->name);
        return;
    }
    uint64_t now_us = os_now_us();
    uint64_t pause_ms = m->retry_us > now_us ? (m->retry_us - now_us) / 1000 + 1 : 0;
    if (pause_ms > WAIT_MS) {
        refuse(m, 503, pause_ms, "model '%s' is not available: %s; it is loaded again in %.1f s",
               m->name, reason, (double)pause_ms / 1000);
        return;
    }
    if (pause_ms > 0)
        loop_timer_start(first_loop(m->models), &m->retry, pause_ms);
    else if (make_room(m))
        start(m);
}

/* ---- Asked by links ---- */

static void on_unload(void *arg)
{
    struct local_model *m = arg;
    atomic_store(&m->unload_posted, false);
    enum err e = local_engine_unload(m); /* ERR_BUSY: somebody came in the meantime, and has it */
    (void)e;
}

void local_engine_init(struct local_model *m)
{
    loop_timer_init(&m->retry, on_retry, m);
    loop_task_init(&m->unload, on_unload, m);
}

void local_engine_unload_later(struct local_model *m)
{
    if (!atomic_exchange(&m->unload_posted, true))
        loop_post(first_loop(m->models), &m->unload);
}

void local_engine_ask(struct local_link *link, bool wants)
{
    struct local_model *m = link->model;
    uint64_t seen = atomic_load(&link->ask_generation);
    if (wants && m->models->loops[0].stopped) {
        refuse(m, 503, FRAME_NO_RETRY, "the server stops");
        return;
    }
    if (m->engine && m->engine->generation > seen)
        return; /* its socket is on the way */
    m->wanted |= wants;
    if (m->engine) /* its end starts the next */
        uv_process_kill(&m->engine->process, SIGKILL);
    else
        try_start(m);
}

enum err local_engine_unload(struct local_model *m)
{
    unsigned none = 0;
    if (!m->engine)
        return ERR_OK;
    if (!m->engine->unloading && !atomic_compare_exchange_strong(&m->uses, &none, LOCAL_LEAVING))
        return ERR_BUSY;
    /* It holds nothing that is worth a goodbye. */
    m->engine->unloading = true;
    uv_process_kill(&m->engine->process, SIGKILL);
    return ERR_OK;
}

static uint64_t fact(struct str facts, const char *name)
{
    struct json_value v;
    int64_t value = 0;
    if (!json_find(facts, name, &v) || json_to_i64(&v, &value) != ERR_OK || value < 0)
        return 0;
    return (uint64_t)value;
}

void local_engine_ready(struct local_model *m, uint64_t generation, struct str facts)
{
    struct json_value whole;
    if (!m->engine || m->engine->generation != generation)
        return;
    if (json_validate(facts, 8, &whole) != ERR_OK)
        facts = STR("{}");
    m->engine->ready_us = os_now_us();
    os_mutex_lock(&m->models->lock);
    m->load_ms = fact(facts, "load_ms");
    m->kv_bytes = fact(facts, "kv_bytes");
    m->context_tokens = (uint32_t)fact(facts, "context_tokens");
    m->parallel = (uint32_t)fact(facts, "parallel");
    os_mutex_unlock(&m->models->lock);
    tell(m, LOCAL_READY, m->engine->process.pid, "");
}

void local_engine_failed(struct local_model *m, uint64_t generation, struct str text)
{
    char reason[LOCAL_TEXT_BYTES];
    if (m->generation != generation)
        return;
    snprintf(reason, sizeof reason, "%.*s", STR_ARG(text));
    tell(m, LOCAL_FAILED, 0, reason);
}

void local_engines_stop(struct local_models *models)
{
    size_t count = atomic_load(&models->model_count);
    models->orphans = mem_array(count + 1, sizeof *models->orphans);
    for (size_t i = 0; i < count; i++) {
        struct local_model *m = models->models[i];
        loop_timer_stop(&m->retry);
        if (!m->engine)
            continue;
        /* It goes on for the other loops, and ends when the last of them lets go of its socket. */
        models->orphans[models->orphan_count++] = m->engine->process.pid;
        uv_close((uv_handle_t *)&m->engine->process, on_handle_closed);
        m->engine = NULL;
    }
}
