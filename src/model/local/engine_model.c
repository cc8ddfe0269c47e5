#include "model/local/engine_model.h"

#include <math.h>

#include "base/assert.h"
#include "base/mem.h"
#include "codec/json_write.h"
#include "model/local/model_file.h"
#include "os/file.h"
#include "os/memory.h"

/* What the kernel may have joined to the mapping of the caches. */
enum { CACHE_NEIGHBOURS_BYTES = 64 << 20 };

/* ---- The file ---- */

static enum err source_read(void *arg, uint64_t position, void *ret_bytes, size_t len)
{
    size_t got;
    TRY(os_file_read(arg, ret_bytes, len, position, &got));
    return got == len ? ERR_OK : ERR_TRUNCATED;
}

static enum err check_file(const char *path, struct buf *problem)
{
    struct os_file *file;
    struct model_file_facts facts;
    enum err e = os_file_open(os_fs_machine(), path, 0, &file);
    if (e != ERR_OK) {
        buf_printf(problem, "cannot open '%s': %s", path, err_text(e));
        return e;
    }
    struct model_file_source source = {.read = source_read, .arg = file};
    e = os_file_size(file, &source.size_bytes);
    if (e == ERR_OK)
        e = model_file_check(&source, problem, &facts);
    os_file_close(file);
    return e;
}

/* ---- The vocabulary ---- */

/* The token's text as it stands in a prompt; empty when it has none. */
static struct str control_text(struct engine_model *m, llama_token token)
{
    char text[256];
    int32_t n = llama.llama_token_to_piece(m->vocab, token, text, sizeof text, 0, true);
    return n > 0 ? arena_str(&m->arena, str_of(text, (size_t)n)) : STR_NONE;
}

static void read_vocabulary(struct engine_model *m)
{
    int32_t n = llama.llama_vocab_n_tokens(m->vocab);
    m->ends = mem_array((size_t)n, sizeof *m->ends);
    m->controls = mem_array((size_t)n, sizeof *m->controls);
    size_t ends = 0;
    for (llama_token t = 0; t < n; t++) {
        bool end = llama.llama_vocab_is_eog(m->vocab, t);
        if (end)
            m->ends[ends++] = t;
        if (!end && !(llama.llama_vocab_get_attr(m->vocab, t) & LLAMA_TOKEN_ATTR_CONTROL))
            continue;
        struct str text = control_text(m, t);
        if (text.len == 0)
            continue;
        m->controls[m->control_count++] = text;
        m->control_first[(unsigned char)text.ptr[0]] = true;
    }
    m->candidates = mem_array((size_t)n, sizeof *m->candidates);
    m->sampling = (struct sampler_model){
        .vocab_size = n, .ends = m->ends, .end_count = ends, .candidates = m->candidates};
}

static struct str token_text(struct engine_model *m, llama_token token)
{
    return token == LLAMA_TOKEN_NULL ? STR("") : control_text(m, token);
}

/* NAME.jinja beside NAME.gguf takes the place of the template in the file. */
static bool read_template_beside(const char *path, struct buf *text)
{
    BUF_AUTO struct buf beside;
    struct str name = str_from_c(path);
    if (!str_ends(name, STR(".gguf")))
        return false;
    buf_init(&beside, OS_PATH_MAX);
    buf_append_str(&beside, str_take(name, name.len - strlen(".gguf")));
    buf_append_str(&beside, STR(".jinja"));
    return os_fs_read_file(os_fs_machine(), buf_cstr(&beside), text) == ERR_OK;
}

static void read_template(struct engine_model *m, struct str path)
{
    BUF_AUTO struct buf problem;
    BUF_AUTO struct buf beside;
    buf_init(&problem, 400);
    buf_init(&beside, JINJA_SOURCE_BYTES_MAX);
    struct str source = str_from_c(llama.llama_model_chat_template(m->model, NULL));
    m->chat_problem = STR("the model's file has none");
    if (read_template_beside(path.ptr, &beside))
        source = buf_str(&beside);
    if (!source.ptr)
        return;
    if (chat_template_init(&m->chat, source, token_text(m, llama.llama_vocab_bos(m->vocab)),
                           token_text(m, llama.llama_vocab_eos(m->vocab)), &problem) != ERR_OK)
        m->chat_problem = arena_str(&m->arena, buf_str(&problem));
}

/* ---- The context ---- */

static uint64_t metadata_u64(const struct engine_model *m, const char *architecture,
                             const char *name, uint64_t otherwise)
{
    char key[128], text[32];
    uint64_t value;
    snprintf(key, sizeof key, "%s.%s", architecture, name);
    int32_t n = llama.llama_model_meta_val_str(m->model, key, text, sizeof text);
    return n > 0 && str_to_u64(str_from_c(text), &value) == ERR_OK ? value : otherwise;
}

/* Bytes of keys and values (two bytes a number) that one token has in all layers. */
static uint64_t kv_bytes_per_token(const struct engine_model *m)
{
    char architecture[64] = "";
    llama.llama_model_meta_val_str(m->model, "general.architecture", architecture,
                                   sizeof architecture);
    uint64_t heads = (uint64_t)llama.llama_model_n_head(m->model);
    uint64_t width = heads ? (uint64_t)llama.llama_model_n_embd(m->model) / heads : 0;
    uint64_t key = metadata_u64(m, architecture, "attention.key_length", width);
    uint64_t value = metadata_u64(m, architecture, "attention.value_length", width);
    uint64_t bytes = (uint64_t)llama.llama_model_n_layer(m->model) *
                     (uint64_t)llama.llama_model_n_head_kv(m->model) * (key + value) * 2;
    return bytes ? bytes : 1;
}

/* How many sequences of which length fit into the memory given. */
static void choose_context(struct engine_model *m, const struct engine_model_options *o)
{
    uint64_t per_token = kv_bytes_per_token(m);
    uint64_t trained = (uint64_t)llama.llama_model_n_ctx_train(m->model);
    uint64_t most =
        trained && trained < ENGINE_CONTEXT_TOKENS_MAX ? trained : ENGINE_CONTEXT_TOKENS_MAX;
    uint64_t wanted = most < ENGINE_CONTEXT_TOKENS_WANTED ? most : ENGINE_CONTEXT_TOKENS_WANTED;
    uint64_t fits = o->kv_bytes / per_token;
    m->parallel = o->parallel;
    while (m->parallel > 1 && fits / m->parallel < wanted)
        m->parallel--;
    uint64_t tokens = fits / m->parallel < most ? fits / m->parallel : most;
    tokens -= tokens % ENGINE_CONTEXT_TOKENS_MIN;
    if (tokens < ENGINE_CONTEXT_TOKENS_MIN)
        tokens = ENGINE_CONTEXT_TOKENS_MIN;
    m->sampling.context_tokens = (int32_t)tokens;
    m->kv_bytes = tokens * m->parallel * per_token;
}

/* Attention is computed the same way whatever else is decoded in the same call and however a prompt
 * was cut, so that a seed gives the same answer at any load: every sequence has its own cache
 * (kv_unified off). ggml's flash attention takes another way from 64 rows on, which
 * engine_prefix_tiled is for, and with several threads one for a lone sequence, where it is off. */
static struct llama_context_params context_params(const struct engine_model *m)
{
    struct llama_context_params p = llama.llama_context_default_params();
    p.n_ctx = (uint32_t)m->sampling.context_tokens * m->parallel;
    p.n_seq_max = m->parallel;
    p.n_batch = p.n_ubatch =
        m->parallel > ENGINE_BATCH_TOKENS_MIN ? m->parallel : ENGINE_BATCH_TOKENS_MIN;
    p.n_outputs_max =
        m->parallel > ENGINE_SCORED_TOKENS_MAX + 1 ? m->parallel : ENGINE_SCORED_TOKENS_MAX + 1;
    p.n_threads = p.n_threads_batch = (int32_t)m->threads;
    p.kv_unified = false;
    p.flash_attn_type = m->tile > 1 ? LLAMA_FLASH_ATTN_TYPE_AUTO : LLAMA_FLASH_ATTN_TYPE_DISABLED;
    p.swa_full = false;
    p.no_perf = true;
    return p;
}

/* ggml's own threads spin between two calls; these sleep. */
static bool attach_threads(struct engine_model *m)
{
    if (m->threads == 1)
        return true;
    ggml_backend_dev_t cpu = llama.ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    ggml_backend_reg_t reg = llama.ggml_backend_dev_backend_reg(cpu);
    void *symbol = llama.ggml_backend_reg_get_proc_address(reg, "ggml_threadpool_new");
    __typeof__(ggml_threadpool_new) *threadpool_new;
    memcpy(&threadpool_new, &symbol, sizeof symbol);
    if (!threadpool_new)
        return false;
    struct ggml_threadpool_params params = {
        .n_threads = (int)m->threads, .prio = GGML_SCHED_PRIO_NORMAL, .poll = 0};
    ggml_threadpool_t pool = threadpool_new(&params);
    if (!pool)
        return false;
    llama.llama_attach_threadpool(m->context, pool, pool);
    return true;
}

/* One decoding of two tokens: touches all weights, and shows that the file computes. */
static bool warm_up(struct engine_model *m)
{
    struct llama_batch batch = llama.llama_batch_init(2, 0, 1);
    batch.n_tokens = 2;
    for (int i = 0; i < 2; i++) {
        batch.token[i] = 0;
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = i == 1;
    }
    bool works = llama.llama_decode(m->context, batch) == 0;
    const float *logits = works ? llama.llama_get_logits_ith(m->context, 1) : NULL;
    for (int32_t i = 0; logits && works && i < m->sampling.vocab_size; i++)
        works = !isnan(logits[i]);
    llama.llama_memory_clear(m->memory, false);
    llama.llama_batch_free(batch);
    return works && logits;
}

/* ---- Loading ---- */

static enum err explain(struct buf *problem, const char *what)
{
    BUF_AUTO struct buf log;
    buf_init(&log, 1024);
    llama_api_log_take(&log);
    buf_printf(problem, "%s%s%.*s", what, log.len ? ": " : "", STR_ARG(buf_str(&log)));
    return ERR_CORRUPT;
}

/* ---- Models that write ---- */

/* By the file and the settings alone: the same at each load. */
static int32_t tile_of(const struct engine_model *m)
{
    bool small = llama.llama_model_n_params(m->model) <= ENGINE_TILE_PARAMETERS_MAX;
    return m->threads == 1 && small ? ENGINE_TILE_TOKENS : 1;
}

static enum err load_generator(struct engine_model *m, const struct engine_model_options *o,
                               struct buf *problem)
{
    read_template(m, arena_str(&m->arena, o->path));
    m->tile = tile_of(m);
    choose_context(m, o);
    m->context = llama.llama_init_from_model(m->model, context_params(m));
    if (!m->context) {
        buf_printf(problem, "no memory for %u contexts of %d tokens (%llu MiB)", m->parallel,
                   m->sampling.context_tokens, (unsigned long long)(m->kv_bytes >> 20));
        (void)explain(problem, "");
        return ERR_NO_MEMORY;
    }
    /* llama.cpp clears all caches at once; they are to take memory as they are used. */
    os_memory_give_back_zeros(m->kv_bytes, m->kv_bytes + m->kv_bytes / 4 + CACHE_NEIGHBOURS_BYTES);
    m->sampling.context_tokens = (int32_t)llama.llama_n_ctx_seq(m->context);
    m->memory = llama.llama_get_memory(m->context);
    /* Of a sliding window or a recurrent state the end cannot be cut off. */
    m->shares_prefixes = !llama.llama_model_is_recurrent(m->model) &&
                         !llama.llama_model_is_hybrid(m->model) &&
                         llama.llama_model_n_swa(m->model) == 0;
    return m->memory ? ERR_OK
                     : explain(problem, "it is not a model that writes text (it keeps no "
                                        "context)");
}

/* ---- Models that embed or rank ---- */

/* Texts of one call attend to themselves only, but cost as if to all: calls are kept short. */
static struct llama_context_params embedding_params(const struct engine_model *m, bool pooled)
{
    struct llama_context_params p = llama.llama_context_default_params();
    uint32_t tokens = (uint32_t)m->sampling.context_tokens;
    p.n_ubatch = p.n_batch = tokens > ENGINE_EMBED_TOKENS ? tokens : ENGINE_EMBED_TOKENS;
    p.n_seq_max = ENGINE_EMBED_SEQUENCES;
    p.n_ctx = p.n_batch;
    p.n_threads = p.n_threads_batch = (int32_t)m->threads;
    p.kv_unified = true; /* the sequences of a call share its cells, where there are any */
    p.embeddings = true;
    p.no_perf = true;
    if (!pooled)
        p.pooling_type = LLAMA_POOLING_TYPE_MEAN;
    return p;
}

/* How the file says its vectors are made: llama.cpp's number of the pooling, 0 for none. */
static uint64_t pooling_of(const struct engine_model *m)
{
    char architecture[64] = "";
    llama.llama_model_meta_val_str(m->model, "general.architecture", architecture,
                                   sizeof architecture);
    return metadata_u64(m, architecture, "pooling_type", LLAMA_POOLING_TYPE_NONE);
}

static enum err load_embedder(struct engine_model *m, struct buf *problem)
{
    uint64_t trained = (uint64_t)llama.llama_model_n_ctx_train(m->model);
    uint64_t pooling = pooling_of(m);
    m->sampling.context_tokens =
        (int32_t)(trained && trained < ENGINE_CONTEXT_TOKENS_MAX ? trained
                                                                 : ENGINE_CONTEXT_TOKENS_MAX);
    m->parallel = ENGINE_EMBED_SEQUENCES;
    m->context = llama.llama_init_from_model(
        m->model, embedding_params(m, pooling != LLAMA_POOLING_TYPE_NONE));
    if (!m->context) {
        (void)explain(problem, "no memory for its context");
        return ERR_NO_MEMORY;
    }
    m->memory = llama.llama_get_memory(m->context);
    m->kind = llama.llama_pooling_type(m->context) == LLAMA_POOLING_TYPE_RANK ? ENGINE_RANKS
                                                                              : ENGINE_EMBEDS;
    m->width = m->kind == ENGINE_RANKS ? (int32_t)llama.llama_model_n_cls_out(m->model)
                                       : llama.llama_model_n_embd_out(m->model);
    return m->width > 0 ? ERR_OK : explain(problem, "it has no output");
}

/* Encoders, and whatever says how its vectors are pooled. */
static bool embeds(const struct engine_model *m)
{
    char architecture[64] = "", causal[16] = "";
    char key[128];
    llama.llama_model_meta_val_str(m->model, "general.architecture", architecture,
                                   sizeof architecture);
    snprintf(key, sizeof key, "%s.attention.causal", architecture);
    llama.llama_model_meta_val_str(m->model, key, causal, sizeof causal);
    return strcmp(causal, "false") == 0 || pooling_of(m) != LLAMA_POOLING_TYPE_NONE;
}

static enum err load_context(struct engine_model *m, const struct engine_model_options *o,
                             struct buf *problem)
{
    if (llama.llama_model_has_encoder(m->model) || !llama.llama_model_has_decoder(m->model))
        if (!embeds(m))
            return explain(problem, "it is not a model that writes text (it has an encoder)");
    m->threads = o->threads;
    read_vocabulary(m);
    if (embeds(m))
        TRY(load_embedder(m, problem));
    else
        TRY(load_generator(m, o, problem));
    if (!attach_threads(m))
        return explain(problem, "cannot start threads");
    if (m->kind == ENGINE_GENERATES && !warm_up(m))
        return explain(problem, "it loads but does not compute");
    return ERR_OK;
}

enum err engine_model_load(const struct engine_model_options *options, struct buf *problem,
                           struct engine_model *ret_model)
{
    BUF_AUTO struct buf path;
    struct engine_model m = {0};
    buf_init(&path, OS_PATH_MAX);
    buf_append_str(&path, options->path);
    TRY(check_file(buf_cstr(&path), problem));
    TRY(llama_api_open(options->lib_dir, problem));
    m.model = llama.llama_model_load_from_file(buf_cstr(&path), llama.llama_model_default_params());
    if (!m.model)
        return explain(problem, "llama.cpp cannot load it");
    m.vocab = llama.llama_model_get_vocab(m.model);
    enum err e = load_context(&m, options, problem);
    if (e != ERR_OK)
        engine_model_release(&m);
    else
        *ret_model = m;
    return e;
}

void engine_model_release(struct engine_model *m)
{
    if (m->context)
        llama.llama_free(m->context);
    if (m->model)
        llama.llama_model_free(m->model);
    chat_template_release(&m->chat);
    arena_release(&m->arena);
    mem_free(m->controls);
    mem_free(m->ends);
    mem_free(m->candidates);
    *m = (struct engine_model){0};
}

void engine_model_facts(const struct engine_model *m, uint64_t load_ms, struct buf *out)
{
    struct json_writer w;
    char description[128] = "";
    llama.llama_model_desc(m->model, description, sizeof description);
    json_writer_init(&w, out);
    json_object_begin(&w);
    json_member_str(&w, STR("description"), str_from_c(description));
    json_member_u64(&w, STR("parameters"), llama.llama_model_n_params(m->model));
    json_member_u64(&w, STR("context_tokens"), (uint64_t)m->sampling.context_tokens);
    json_member_u64(&w, STR("parallel"), m->parallel);
    json_member_u64(&w, STR("threads"), m->threads);
    json_member_u64(&w, STR("kv_bytes"), m->kv_bytes);
    json_member_u64(&w, STR("load_ms"), load_ms);
    json_member_bool(&w, STR("chat"), m->kind == ENGINE_GENERATES && m->chat.jinja);
    json_member_str(&w, STR("kind"),
                    m->kind == ENGINE_EMBEDS  ? STR("embeddings")
                    : m->kind == ENGINE_RANKS ? STR("rerank")
                                              : STR("text"));
    json_object_end(&w);
}
