/* /metrics: models inside Weir, under the names that vLLM's dashboards and autoscalers know as far
 * as they are true here, and the engine processes. */
#include "api/api_int.h"
#include "model/local/local.h"
#include "os/process.h"
#include "state/meters.h"

static void add_sums(struct meter_sums *into, const struct meter_sums *from)
{
    for (int i = 0; i < METER_COUNTERS; i++)
        into->counters[i] += from->counters[i];
    for (int h = 0; h < METER_HISTOGRAMS; h++) {
        for (unsigned i = 0; i <= METER_BOUNDS_MAX; i++)
            into->histograms[h].buckets[i] += from->histograms[h].buckets[i];
        into->histograms[h].sum += from->histograms[h].sum;
    }
}

/* All operations of a local model together; good calls only, as vLLM counts. */
static void model_sums(const struct meters *meters, struct str model, struct meter_sums *ret_sums)
{
    const struct meter *m;
    *ret_sums = (struct meter_sums){0};
    for (size_t i = 0; (m = meters_at(meters, i)) != NULL; i++) {
        const struct meter_name *n = meter_name(m);
        struct meter_sums sums;
        if (n->kind != METER_CALLS || n->error.len || !str_eq(n->provider, STR("local")) ||
            !str_eq(n->model, model))
            continue;
        meter_sum(m, &sums);
        add_sums(ret_sums, &sums);
    }
}

struct models {
    struct buf *b;
    const struct local_model_info *infos;
    struct meter_sums *sums; /* beside infos */
    size_t count;
};

static void append_labels(struct buf *b, const struct local_model_info *info)
{
    buf_append_str(b, STR("model_name=\""));
    api_metric_label(b, str_from_c(info->name));
    buf_append_str(b, STR("\",engine=\"0\""));
}

static void append_sample(struct buf *b, const char *name, const struct local_model_info *info,
                          uint64_t value)
{
    buf_printf(b, "%s{", name);
    append_labels(b, info);
    buf_printf(b, "} %llu\n", (unsigned long long)value);
}

/* ---- Now ---- */

static uint64_t running(const struct local_model_info *info)
{
    if (info->state != LOCAL_READY)
        return 0;
    return info->uses < info->parallel ? info->uses : info->parallel;
}

static uint64_t waiting(const struct local_model_info *info)
{
    return info->uses - running(info);
}

static uint64_t loaded(const struct local_model_info *info)
{
    return info->state == LOCAL_READY;
}

static uint64_t resident(const struct local_model_info *info)
{
    struct os_process_usage usage;
    if (!info->pid || os_process_usage((uint32_t)info->pid, &usage) != ERR_OK)
        return 0;
    return usage.rss_bytes;
}

static void gauges(const struct models *m)
{
    static const struct {
        const char *name;
        const char *help;
        uint64_t (*value)(const struct local_model_info *info);
    } all[] = {
        {"vllm:num_requests_running", "Requests decoded now.", running},
        {"vllm:num_requests_waiting", "Requests waiting to be decoded.", waiting},
        {"weir_engine_loaded", "1: the model is loaded.", loaded},
        {"weir_engine_resident_bytes", "Resident memory of its engine process.", resident},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        api_metric_head(m->b, all[i].name, "gauge", all[i].help);
        for (size_t k = 0; k < m->count; k++)
            append_sample(m->b, all[i].name, &m->infos[k], all[i].value(&m->infos[k]));
    }
}

static void load_times(const struct models *m)
{
    const char *name = "weir_engine_load_seconds";
    api_metric_head(m->b, name, "gauge", "What the model's last loading took.");
    for (size_t k = 0; k < m->count; k++) {
        buf_printf(m->b, "%s{", name);
        append_labels(m->b, &m->infos[k]);
        buf_append_str(m->b, STR("} "));
        api_metric_micros(m->b, m->infos[k].load_ms * 1000);
        buf_append_char(m->b, '\n');
    }
}

/* ---- Since the start ---- */

static void histograms(const struct models *m)
{
    static const struct {
        const char *name;
        const char *help;
        enum meter_histogram which;
        bool seconds;
    } all[] = {
        {"vllm:time_to_first_token_seconds", "Until the first token.", METER_FIRST, true},
        {"vllm:inter_token_latency_seconds", "For each token after the first.", METER_PER_TOKEN,
         true},
        {"vllm:e2e_request_latency_seconds", "Whole requests.", METER_SERVER, true},
        {"vllm:request_prompt_tokens", "Tokens of prompts.", METER_INPUT, false},
        {"vllm:request_generation_tokens", "Tokens of answers.", METER_OUTPUT, false},
    };
    struct buf labels BUF_AUTO;
    buf_init(&labels, 4096);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        api_metric_head(m->b, all[i].name, "histogram", all[i].help);
        for (size_t k = 0; k < m->count; k++) {
            buf_reset(&labels);
            append_labels(&labels, &m->infos[k]);
            api_metric_histogram(m->b, all[i].name, buf_str(&labels), all[i].which, &m->sums[k],
                                 all[i].seconds);
        }
    }
}

static void counter(const struct models *m, const char *name, const char *help,
                    uint64_t (*value)(const struct meter_sums *sums))
{
    api_metric_head(m->b, name, "counter", help);
    for (size_t k = 0; k < m->count; k++)
        append_sample(m->b, name, &m->infos[k], value(&m->sums[k]));
}

static uint64_t successes(const struct meter_sums *sums)
{
    return sums->counters[METER_COUNT];
}

static uint64_t prompt_tokens(const struct meter_sums *sums)
{
    return sums->histograms[METER_INPUT].sum;
}

static uint64_t generation_tokens(const struct meter_sums *sums)
{
    return sums->histograms[METER_OUTPUT].sum;
}

static uint64_t cached_tokens(const struct meter_sums *sums)
{
    return sums->counters[METER_CACHED_SUM];
}

void api_local_metrics(struct buf *b, struct api_request *r)
{
    struct local_model_info *infos;
    struct models m = {.b = b, .count = api_local_models(r, &infos)};
    m.infos = infos;
    m.sums = ARENA_ARRAY(r->x->arena, struct meter_sums, m.count + 1);
    for (size_t i = 0; i < m.count; i++)
        model_sums(gateway_meters(r->api->gateway), str_from_c(infos[i].name), &m.sums[i]);
    if (!m.count)
        return;
    gauges(&m);
    load_times(&m);
    histograms(&m);
    counter(&m, "vllm:request_success_total", "Requests that went well.", successes);
    counter(&m, "vllm:prompt_tokens_total", "Tokens of prompts.", prompt_tokens);
    counter(&m, "vllm:generation_tokens_total", "Tokens of answers.", generation_tokens);
    counter(&m, "vllm:prefix_cache_queries_total", "Tokens of prompts, looked up.", prompt_tokens);
    counter(&m, "vllm:prefix_cache_hits_total", "Of them, not decoded again.", cached_tokens);
}
