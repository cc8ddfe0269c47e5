/* /metrics: what calls took and used. OpenTelemetry's gen_ai.* metrics as Prometheus spells them,
 * and sums by model and by key. */
#include "api/api_int.h"
#include "codec/decimal.h"
#include "state/meters.h"

static void append_labels(struct buf *b, const struct meter_name *n)
{
    buf_append_str(b, STR("gen_ai_operation_name=\""));
    api_metric_label(b, n->operation);
    buf_append_str(b, STR("\",gen_ai_provider_name=\""));
    api_metric_label(b, n->provider.len ? n->provider : METER_OTHER);
    buf_append_str(b, STR("\",gen_ai_request_model=\""));
    api_metric_label(b, n->model.len ? n->model : METER_OTHER);
    buf_append_char(b, '"');
    if (!n->error.len)
        return;
    buf_append_str(b, STR(",error_type=\""));
    api_metric_label(b, n->error);
    buf_append_char(b, '"');
}

static void append_value(struct buf *b, bool seconds, uint64_t value)
{
    if (seconds)
        api_metric_micros(b, value);
    else
        buf_printf(b, "%llu", (unsigned long long)value);
}

void api_metric_histogram(struct buf *b, const char *name, struct str labels,
                          enum meter_histogram which, const struct meter_sums *sums, bool seconds)
{
    const struct meter_bounds *bounds = &meter_bounds[which];
    const uint64_t *buckets = sums->histograms[which].buckets;
    uint64_t count = 0;
    for (unsigned i = 0; i <= bounds->count; i++) {
        count += buckets[i];
        buf_printf(b, "%s_bucket{%.*s,le=\"", name, STR_ARG(labels));
        if (i < bounds->count)
            append_value(b, seconds, bounds->at[i]);
        else
            buf_append_str(b, STR("+Inf"));
        buf_printf(b, "\"} %llu\n", (unsigned long long)count);
    }
    buf_printf(b, "%s_sum{%.*s} ", name, STR_ARG(labels));
    append_value(b, seconds, sums->histograms[which].sum);
    buf_printf(b, "\n%s_count{%.*s} %llu\n", name, STR_ARG(labels), (unsigned long long)count);
}

static bool is_empty(const struct meter_sums *sums, enum meter_histogram which)
{
    for (unsigned i = 0; i <= meter_bounds[which].count; i++)
        if (sums->histograms[which].buckets[i])
            return false;
    return true;
}

/* extra: more labels, with a comma before them. */
static void histogram(struct buf *b, const struct meters *meters, const char *name,
                      enum meter_histogram which, const char *extra)
{
    const struct meter *m;
    struct buf labels BUF_AUTO;
    buf_init(&labels, 4096);
    for (size_t i = 0; (m = meters_at(meters, i)) != NULL; i++) {
        struct meter_sums sums;
        if (meter_name(m)->kind != METER_CALLS)
            continue;
        meter_sum(m, &sums);
        if (is_empty(&sums, which))
            continue;
        buf_reset(&labels);
        append_labels(&labels, meter_name(m));
        buf_append_str(&labels, str_from_c(extra));
        api_metric_histogram(b, name, buf_str(&labels), which, &sums,
                             which != METER_INPUT && which != METER_OUTPUT);
    }
}

static void histograms(struct buf *b, const struct meters *m)
{
    static const struct {
        const char *name;
        const char *help;
        enum meter_histogram which;
    } all[] = {
        {"gen_ai_client_operation_duration_seconds", "An attempt at a model.", METER_CLIENT},
        {"gen_ai_client_operation_time_to_first_chunk_seconds",
         "A stream's attempt, until its first content.", METER_CHUNK},
        {"gen_ai_server_request_duration_seconds",
         "A call, from its request's first byte to its end.", METER_SERVER},
        {"gen_ai_server_time_to_first_token_seconds",
         "A stream, from its request's first byte to the first content.", METER_FIRST},
        {"gen_ai_server_time_per_output_token_seconds", "A stream, for each token after the first.",
         METER_PER_TOKEN},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        api_metric_head(b, all[i].name, "histogram", all[i].help);
        histogram(b, m, all[i].name, all[i].which, "");
    }
    api_metric_head(b, "gen_ai_client_token_usage", "histogram", "Tokens of a call.");
    histogram(b, m, "gen_ai_client_token_usage", METER_INPUT, ",gen_ai_token_type=\"input\"");
    histogram(b, m, "gen_ai_client_token_usage", METER_OUTPUT, ",gen_ai_token_type=\"output\"");
}

/* ---- Sums ---- */

struct sum {
    const char *name;
    const char *help;
    enum meter_counter counter;
    enum { PLAIN, MICROS, PICOS } unit;
};

static void append_sum(struct buf *b, const struct sum *s, uint64_t value)
{
    char text[DECIMAL_TEXT_BYTES];
    switch (s->unit) {
    case PLAIN: buf_printf(b, "%llu", (unsigned long long)value); break;
    case MICROS: api_metric_micros(b, value); break;
    case PICOS:
        buf_append_str(b, decimal_format((struct decimal){(__int128)value * 1000}, text));
        break;
    }
    buf_append_char(b, '\n');
}

static void sum(struct buf *b, const struct meters *meters, enum meter_kind kind,
                const struct sum *s)
{
    const struct meter *m;
    api_metric_head(b, s->name, "counter", s->help);
    for (size_t i = 0; (m = meters_at(meters, i)) != NULL; i++) {
        struct meter_sums sums;
        if (meter_name(m)->kind != kind)
            continue;
        meter_sum(m, &sums);
        if (kind == METER_CALLS && !sums.counters[METER_COUNT])
            continue; /* attempts only */
        buf_printf(b, "%s{", s->name);
        if (kind == METER_KEY) {
            buf_append_str(b, STR("key=\""));
            api_metric_label(b, meter_name(m)->operation);
            buf_append_char(b, '"');
        } else {
            append_labels(b, meter_name(m));
        }
        buf_append_str(b, STR("} "));
        append_sum(b, s, sums.counters[s->counter]);
    }
}

void api_meter_metrics(struct buf *b, const struct meters *m)
{
    static const struct sum by_model[] = {
        {"weir_model_cost_usd_total", "What calls cost, USD.", METER_COST, PICOS},
        {"weir_model_cached_input_tokens_total", "Input tokens from the provider's prompt cache.",
         METER_CACHED_SUM, PLAIN},
        {"weir_model_overhead_seconds_total", "Of the calls' time, what Weir took itself.",
         METER_OVERHEAD_US, MICROS},
    };
    static const struct sum by_key[] = {
        {"weir_key_calls_total", "Calls ended, by key.", METER_COUNT, PLAIN},
        {"weir_key_errors_total", "Of them, not ok.", METER_ERRORS, PLAIN},
        {"weir_key_input_tokens_total", "Input tokens, by key.", METER_INPUT_SUM, PLAIN},
        {"weir_key_output_tokens_total", "Output tokens, by key.", METER_OUTPUT_SUM, PLAIN},
        {"weir_key_cost_usd_total", "What calls cost, USD, by key.", METER_COST, PICOS},
    };
    histograms(b, m);
    for (size_t i = 0; i < sizeof by_model / sizeof by_model[0]; i++)
        sum(b, m, METER_CALLS, &by_model[i]);
    for (size_t i = 0; i < sizeof by_key / sizeof by_key[0]; i++)
        sum(b, m, METER_KEY, &by_key[i]);
}
