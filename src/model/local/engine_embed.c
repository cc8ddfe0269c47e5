/* Embeddings and rankings: texts of several requests go into one call of llama.cpp, as many as fit.
 *
 *   callers in turns ── their uses' inputs in their order ──> batch ──> a vector for each ──> JSON
 *
 * Each text is a sequence of its own that lives for one call. Vectors are normalised to length 1
 * (OpenAI's are); a ranking model's outputs are left as they are. */
#include <math.h>

#include "base/assert.h"
#include "base/mem.h"
#include "codec/base64.h"
#include "codec/json_write.h"
#include "model/local/engine_int.h"

void engine_embed_add(struct engine *e, struct engine_use *use)
{
    size_t width = (size_t)e->model.width;
    use->vectors = mem_array(use->prompt_count * width, sizeof *use->vectors);
    engine_queue_add_embed(use);
}

/* ---- Writing ---- */

static void normalise(float *v, size_t width)
{
    double sum = 0;
    for (size_t i = 0; i < width; i++)
        sum += (double)v[i] * (double)v[i];
    float scale = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
    for (size_t i = 0; i < width; i++)
        v[i] *= scale;
}

/* Little-endian floats, as OpenAI's. */
static void write_base64(const float *v, size_t width, struct buf *out)
{
    buf_append_char(out, '"');
    base64_encode(str_of((const char *)v, width * sizeof *v), out);
    buf_append_char(out, '"');
}

static void write_floats(const float *v, size_t width, struct buf *out)
{
    buf_append_char(out, '[');
    for (size_t i = 0; i < width; i++)
        buf_printf(out, i ? ",%.9g" : "%.9g", (double)v[i]);
    buf_append_char(out, ']');
}

static uint64_t tokens_of(const struct engine_use *use)
{
    uint64_t tokens = 0;
    for (size_t i = 0; i < use->prompt_count; i++)
        tokens += (uint64_t)use->prompts[i].count;
    return tokens;
}

static void write_end(const struct engine *e, const struct engine_use *use, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    buf_append_str(out, STR("],\"model\":"));
    json_str(&w, e->options->name);
    unsigned long long tokens = tokens_of(use);
    buf_printf(out, ",\"usage\":{\"prompt_tokens\":%llu,\"total_tokens\":%llu}}", tokens, tokens);
}

static void write_embeddings(const struct engine *e, struct engine_use *use)
{
    size_t width = (size_t)e->model.width;
    size_t shown = use->request.dimensions ? (size_t)use->request.dimensions : width;
    struct buf *out = &use->out;
    buf_append_str(out, STR("{\"object\":\"list\",\"data\":["));
    for (size_t i = 0; i < use->prompt_count; i++) {
        float *v = use->vectors + i * width;
        normalise(v, shown);
        buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i ? "," : "",
                   i);
        if (use->request.base64)
            write_base64(v, shown, out);
        else
            write_floats(v, shown, out);
        buf_append_char(out, '}');
    }
    write_end(e, use, out);
}

struct ranked {
    float score;
    size_t index;
};

static int better_first(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static void write_result(const struct engine_use *use, const struct ranked *r, struct buf *out)
{
    struct json_writer w;
    buf_printf(out, "{\"index\":%zu,\"relevance_score\":%.9g", r->index, (double)r->score);
    if (use->request.return_documents) {
        json_writer_init(&w, out);
        buf_append_str(out, STR(",\"document\":{\"text\":"));
        json_str(&w, use->request.inputs[r->index].text);
        buf_append_char(out, '}');
    }
    buf_append_char(out, '}');
}

static void write_ranking(const struct engine *e, struct engine_use *use)
{
    size_t n = use->prompt_count;
    struct ranked *ranked = mem_array(n, sizeof *ranked);
    for (size_t i = 0; i < n; i++)
        ranked[i] = (struct ranked){use->vectors[i * (size_t)e->model.width], i};
    qsort(ranked, n, sizeof *ranked, better_first);
    if (use->request.top_n && (size_t)use->request.top_n < n)
        n = (size_t)use->request.top_n;
    buf_append_str(&use->out, STR("{\"object\":\"list\",\"results\":["));
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_append_char(&use->out, ',');
        write_result(use, &ranked[i], &use->out);
    }
    write_end(e, use, &use->out);
    mem_free(ranked);
}

static void finish(struct engine *e, struct engine_use *use)
{
    if (use->request.task == FRAME_TASK_RERANK)
        write_ranking(e, use);
    else
        write_embeddings(e, use);
    if (use->out.error != ERR_OK)
        engine_use_fail(use, "the answer is too long: ask for fewer texts at once");
    else
        engine_use_finish(use);
}

/* ---- Batches ---- */

/* The inputs of one call. */
struct batch {
    struct engine_use *uses[ENGINE_EMBED_SEQUENCES];
    size_t inputs[ENGINE_EMBED_SEQUENCES];
    int count;
};

/* Its next input, if there is room for it. */
static bool add_input(struct engine *e, struct batch *b, struct engine_use *use)
{
    const struct prompt *p = &use->prompts[use->embedding];
    if (b->count == ENGINE_EMBED_SEQUENCES ||
        (b->count > 0 && e->batch.n_tokens + p->count > ENGINE_EMBED_TOKENS))
        return false;
    for (int32_t i = 0; i < p->count; i++)
        engine_batch_add(e, p->tokens[i], i, b->count, true);
    b->uses[b->count] = use;
    b->inputs[b->count++] = use->embedding++;
    use->caller->embed_tokens += (uint64_t)p->count;
    if (use->embedding == use->prompt_count)
        engine_queue_remove_embed(use);
    return true;
}

/* As many as fit, callers in turns. */
static void collect(struct engine *e, struct batch *b)
{
    struct engine_use *use;
    b->count = 0;
    e->batch.n_tokens = 0;
    while ((use = engine_queue_first_embed(e)) != NULL && add_input(e, b, use))
        continue;
}

/* A use stands in a batch once for each of its texts: is this its last? */
static bool last_of_use(const struct batch *b, int at)
{
    for (int i = at + 1; i < b->count; i++)
        if (b->uses[i] == b->uses[at])
            return false;
    return true;
}

static void take(struct engine *e, const struct batch *b)
{
    size_t width = (size_t)e->model.width;
    for (int i = 0; i < b->count; i++) {
        const float *v = llama.llama_get_embeddings_seq(e->model.context, i);
        ASSERT(v != NULL);
        memcpy(b->uses[i]->vectors + b->inputs[i] * width, v, width * sizeof *v);
        b->uses[i]->embedded++;
    }
}

void engine_embed(struct engine *e)
{
    struct batch b;
    collect(e, &b);
    bool works = engine_batch_run(e);
    if (e->model.memory)
        llama.llama_memory_clear(e->model.memory, false);
    if (works)
        take(e, &b);
    for (int i = 0; i < b.count; i++) {
        struct engine_use *use = b.uses[i];
        if (!last_of_use(&b, i))
            continue;
        if (!works)
            engine_use_fail(use, "the model could not read the input");
        else if (use->embedded == use->prompt_count)
            finish(e, use);
        engine_use_flush(use);
    }
}
