#include "model/local/engine.h"

#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "model/local/engine_int.h"
#include "os/child.h"
#include "os/clock.h"

enum {
    /* llama.cpp's tokenisers use recursive regular expressions on long words. */
    STACK_BYTES = 64 << 20,
    SCRATCH_BYTES_MAX = 4 << 20,
};

/* lib/llama beside the program (a build folder), or ../lib/weir/llama (an installation). */
static enum err find_libraries(const struct engine_options *o, struct buf *dir)
{
    static const char *const places[] = {"lib/llama", "../lib/weir/llama"};
    if (o->lib_dir.len) {
        buf_append_str(dir, o->lib_dir);
        return dir->error;
    }
    BUF_AUTO struct buf program;
    buf_init(&program, 4096);
    TRY(os_program_path(&program));
    while (program.len && program.ptr[program.len - 1] != '/')
        program.len--;
    for (size_t i = 0; i < 2; i++) {
        buf_reset(dir);
        buf_printf(dir, "%.*s%s", STR_ARG(buf_str(&program)), places[i]);
        if (access(buf_cstr(dir), R_OK) == 0)
            break;
    }
    return dir->error;
}

static enum err load(struct engine *e, struct buf *problem)
{
    BUF_AUTO struct buf lib_dir;
    buf_init(&lib_dir, 4096);
    TRY(find_libraries(e->options, &lib_dir));
    struct engine_model_options o = {.path = e->options->model_path,
                                     .lib_dir = buf_str(&lib_dir),
                                     .threads = e->options->threads,
                                     .parallel = e->options->parallel,
                                     .kv_bytes = e->options->kv_bytes};
    return engine_model_load(&o, problem, &e->model);
}

/* False: it could not be loaded, and the gateway knows why. */
static bool load_and_tell(struct engine *e)
{
    BUF_AUTO struct buf text;
    buf_init(&text, FRAME_TEXT_BYTES_MAX);
    uint64_t start_us = os_now_us();
    enum err err = load(e, &text);
    if (err == ERR_OK) {
        engine_model_facts(&e->model, (os_now_us() - start_us) / 1000, &text);
    } else if (text.len == 0) {
        buf_append_str(&text, str_from_c(err_text(err)));
    }
    engine_links_tell(e, err == ERR_OK ? FRAME_READY : FRAME_FAILED, buf_str(&text));
    engine_links_flush(e);
    return err == ERR_OK;
}

/* Rows that one call may have. */
static int32_t batch_rows(const struct engine_model *m)
{
    int32_t rows = m->kind == ENGINE_GENERATES ? (int32_t)ENGINE_BATCH_TOKENS_MIN
                                               : (int32_t)ENGINE_EMBED_TOKENS;
    int32_t most =
        m->kind == ENGINE_GENERATES ? (int32_t)ENGINE_PARALLEL_MAX : m->sampling.context_tokens;
    return rows > most ? rows : most;
}

void engine_prepare(struct engine *e)
{
    e->batch = llama.llama_batch_init(batch_rows(&e->model), 0, 1);
    buf_init(&e->scratch, SCRATCH_BYTES_MAX);
    buf_init(&e->state, SIZE_MAX); /* one sequence's share of the caches */
}

void engine_finish(struct engine *e)
{
    engine_prefixes_release(e);
    if (e->batch.token)
        llama.llama_batch_free(e->batch);
    engine_model_release(&e->model);
    buf_release(&e->scratch);
    buf_release(&e->state);
}

static bool serve(struct engine *e)
{
    bool works = true;
    engine_prepare(e);
    while (works && engine_links_serve(e, !engine_has_work(e)))
        works = engine_decode(e);
    if (!works)
        engine_links_flush(e); /* the last uses' errors */
    return works;
}

int engine_run(const struct engine_options *options)
{
    ASSERT(options->parallel > 0 && options->parallel <= ENGINE_PARALLEL_MAX);
    ASSERT(options->link_count > 0 && options->link_count <= ENGINE_LINKS_MAX);
    struct engine e = {.options = options};
    os_child_begin("weir-engine", options->first_fd + (int)options->link_count);
    os_child_grow_stack(STACK_BYTES);
    engine_links_open(&e);
    bool works = load_and_tell(&e) && serve(&e);
    engine_links_release(&e);
    engine_finish(&e);
    return works ? 0 : 1;
}
