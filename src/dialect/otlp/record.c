#include "dialect/otlp/record.h"

#include "codec/digest.h"
#include "codec/json_scan.h"
#include "codec/time.h"
#include "dialect/otlp/value.h"

enum { ID_HEX_MAX = 2 * OTLP_TRACE_ID_BYTES };

struct str otlp_hex(struct str bytes, struct arena *a)
{
    char *text = arena_alloc(a, 2 * bytes.len + 1);
    hex_encode((const uint8_t *)bytes.ptr, bytes.len, text);
    return str_of(text, 2 * bytes.len);
}

static bool is_zero(struct str id)
{
    for (size_t i = 0; i < id.len; i++)
        if (id.ptr[i])
            return false;
    return true;
}

const char *otlp_span_wrong(const struct otlp_span *span)
{
    if (span->trace_id.len != OTLP_TRACE_ID_BYTES || is_zero(span->trace_id))
        return "its trace id is not 16 bytes (in JSON 32 hexadecimal digits), or is zero; logs and "
               "metrics go to /v1/logs and /v1/metrics";
    if (span->span_id.len != OTLP_SPAN_ID_BYTES || is_zero(span->span_id))
        return "its span id is not 8 bytes (in JSON 16 hexadecimal digits), or is zero";
    if (span->parent_span_id.len && span->parent_span_id.len != OTLP_SPAN_ID_BYTES)
        return "its parent's span id is not 8 bytes (in JSON 16 hexadecimal digits)";
    if (!span->start_ns)
        return "it has no start time";
    return NULL;
}

/* ---- What all have ---- */

static void member_id(struct json_writer *w, struct str key, struct str bytes)
{
    char text[ID_HEX_MAX];
    if (bytes.len == 0 || bytes.len > ID_HEX_MAX / 2)
        return;
    hex_encode((const uint8_t *)bytes.ptr, bytes.len, text);
    json_member_str_raw(w, key, str_of(text, 2 * bytes.len));
}

static void member_time(struct json_writer *w, struct str key, uint64_t ns)
{
    char text[TIME_TEXT_BYTES + 1];
    json_member_str_raw(w, key, time_format((int64_t)(ns / 1000), text));
}

/* As a text: it has more digits than a double. */
static void member_ns(struct json_writer *w, struct str key, uint64_t ns)
{
    json_key(w, key);
    json_str_begin(w);
    buf_append_u64(w->out, ns);
    json_str_end(w);
}

static void member_count(struct json_writer *w, struct str key, uint64_t count)
{
    if (count)
        json_member_u64(w, key, count);
}

static void member_text(struct json_writer *w, struct str key, struct str text)
{
    if (text.len)
        json_member_str(w, key, text);
}

static void member_attributes(struct json_writer *w, struct str key,
                              const struct otlp_attributes *a)
{
    json_key(w, key);
    otlp_attributes_write(w, a);
}

static void write_source(struct json_writer *w, const struct otlp_item *item)
{
    const struct otlp_scope *scope = item->scope;
    member_attributes(w, STR("resource"), &item->resource->attributes);
    json_key(w, STR("scope"));
    json_object_begin(w);
    json_member_str(w, STR("name"), scope->name);
    member_text(w, STR("version"), scope->version);
    if (scope->attributes.count)
        member_attributes(w, STR("attributes"), &scope->attributes);
    json_object_end(w);
    member_text(w, STR("schema_url"),
                scope->schema_url.len ? scope->schema_url : item->resource->schema_url);
}

static void write_sender(struct json_writer *w, const struct otlp_item *item,
                         const struct otlp_envelope *envelope)
{
    const struct otlp_value *service = otlp_find(&item->resource->attributes, STR("service.name"));
    json_member_str(w, STR("key"), envelope->key);
    if (service && service->kind == OTLP_STRING)
        json_member_str(w, STR("service"), service->text);
}

/* ---- Spans ---- */

static const struct str text_names[GEN_TEXTS] = {
    [GEN_OPERATION] = STR_INIT("gen_ai.operation.name"),
    [GEN_PROVIDER] = STR_INIT("gen_ai.provider.name"),
    [GEN_REQUEST_MODEL] = STR_INIT("gen_ai.request.model"),
    [GEN_RESPONSE_MODEL] = STR_INIT("gen_ai.response.model"),
    [GEN_RESPONSE_ID] = STR_INIT("gen_ai.response.id"),
    [GEN_SESSION] = STR_INIT("gen_ai.conversation.id"),
    [GEN_AGENT] = STR_INIT("gen_ai.agent.name"),
    [GEN_TOOL] = STR_INIT("gen_ai.tool.name"),
    [GEN_TOOL_CALL_ID] = STR_INIT("gen_ai.tool.call.id"),
    [GEN_OUTPUT_TYPE] = STR_INIT("gen_ai.output.type"),
};

static void member_counts(struct json_writer *w, const struct usage *u)
{
    if (u->source == USAGE_NONE)
        return;
    json_member_i64(w, STR("gen_ai.usage.input_tokens"), u->input);
    json_member_i64(w, STR("gen_ai.usage.output_tokens"), u->output);
    if (u->cached_input)
        json_member_i64(w, STR("gen_ai.usage.cache_read.input_tokens"), u->cached_input);
    if (u->cache_write)
        json_member_i64(w, STR("gen_ai.usage.cache_creation.input_tokens"), u->cache_write);
    if (u->reasoning)
        json_member_i64(w, STR("gen_ai.usage.reasoning.output_tokens"), u->reasoning);
}

/* A list, also where one text, or the JSON of a list, came. */
static void member_finish(struct json_writer *w, const struct otlp_value *finish)
{
    struct json_value list;
    if (!finish)
        return;
    json_key(w, STR("gen_ai.response.finish_reasons"));
    if (finish->kind == OTLP_ARRAY) {
        otlp_value_write(w, finish);
    } else if (finish->kind == OTLP_STRING && str_starts(finish->text, STR("[")) &&
               json_validate(finish->text, 4, &list) == ERR_OK) {
        json_raw(w, list.raw);
    } else {
        json_array_begin(w);
        otlp_value_write(w, finish);
        json_array_end(w);
    }
}

/* Where `write` appends nothing there is no member. */
static void member_messages(struct json_writer *w, struct str key, const struct gen_ai *g,
                            const struct otlp_span *span, struct arena *a,
                            void (*write)(const struct gen_ai *g,
                                          const struct otlp_attributes *attributes, struct arena *a,
                                          struct buf *json))
{
    size_t before = w->out->len;
    bool comma = w->comma;
    json_key(w, key);
    size_t begun = w->out->len;
    write(g, &span->attributes, a, w->out);
    if (w->out->len == begun && w->out->error == ERR_OK) {
        w->out->len = before;
        w->comma = comma;
    } else {
        w->comma = true;
    }
}

static void member_value(struct json_writer *w, struct str key, const struct otlp_value *v)
{
    struct json_value parsed;
    if (!v)
        return;
    json_key(w, key);
    if (v->kind == OTLP_STRING && json_validate(v->text, OTLP_DEPTH_MAX, &parsed) == ERR_OK)
        json_raw(w, parsed.raw);
    else
        otlp_value_write(w, v);
}

static void write_tool(struct json_writer *w, const struct gen_ai *g)
{
    bool other = g->dialect != GEN_AI_OPENTELEMETRY;
    const struct otlp_value *in = g->value[GEN_TOOL_ARGUMENTS];
    const struct otlp_value *out = g->value[GEN_TOOL_RESULT];
    member_value(w, STR("gen_ai.tool.call.arguments"),
                 in || !other ? in : g->value[GEN_INPUT_VALUE]);
    member_value(w, STR("gen_ai.tool.call.result"),
                 out || !other ? out : g->value[GEN_OUTPUT_VALUE]);
}

static void write_gen_ai(struct json_writer *w, const struct gen_ai *g,
                         const struct otlp_span *span, struct arena *a)
{
    struct str operation = g->text[GEN_OPERATION];
    json_key(w, STR("gen_ai"));
    json_object_begin(w);
    for (int i = 0; i < GEN_TEXTS; i++)
        if (text_names[i].len)
            member_text(w, text_names[i], g->text[i]);
    member_finish(w, g->value[GEN_FINISH]);
    member_counts(w, &g->usage);
    if (g->value[GEN_SYSTEM])
        member_value(w, STR("gen_ai.system_instructions"), g->value[GEN_SYSTEM]);
    if (gen_ai_is_inference(g) || str_eq(operation, STR("invoke_agent"))) {
        member_messages(w, STR("gen_ai.input.messages"), g, span, a, gen_ai_write_input);
        member_messages(w, STR("gen_ai.output.messages"), g, span, a, gen_ai_write_output);
    } else if (str_eq(operation, STR("execute_tool"))) {
        write_tool(w, g);
    }
    json_object_end(w);
}

static void write_cost(struct json_writer *w, const struct otlp_envelope *e)
{
    if (!e->cost_amount.len)
        return;
    json_key(w, STR("cost"));
    json_object_begin(w);
    json_member_str(w, STR("amount"), e->cost_amount);
    json_member_str(w, STR("currency"), e->cost_currency);
    json_member_str(w, STR("prices"), e->cost_prices);
    json_object_end(w);
}

static void write_events(struct json_writer *w, const struct otlp_list *events)
{
    const struct otlp_event *at = events->at;
    if (!events->count)
        return;
    json_key(w, STR("events"));
    json_array_begin(w);
    for (size_t i = 0; i < events->count; i++) {
        json_object_begin(w);
        member_time(w, STR("time"), at[i].time_ns);
        json_member_str(w, STR("name"), at[i].name);
        member_attributes(w, STR("attributes"), &at[i].attributes);
        member_count(w, STR("dropped_attributes"), at[i].dropped_attributes);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_links(struct json_writer *w, const struct otlp_list *links)
{
    const struct otlp_link *at = links->at;
    if (!links->count)
        return;
    json_key(w, STR("links"));
    json_array_begin(w);
    for (size_t i = 0; i < links->count; i++) {
        json_object_begin(w);
        member_id(w, STR("trace_id"), at[i].trace_id);
        member_id(w, STR("span_id"), at[i].span_id);
        member_text(w, STR("trace_state"), at[i].trace_state);
        member_attributes(w, STR("attributes"), &at[i].attributes);
        member_count(w, STR("dropped_attributes"), at[i].dropped_attributes);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_span_head(struct json_writer *w, const struct otlp_span *span)
{
    static const struct str kinds[] = {STR_INIT("unspecified"), STR_INIT("internal"),
                                       STR_INIT("server"),      STR_INIT("client"),
                                       STR_INIT("producer"),    STR_INIT("consumer")};
    static const struct str codes[] = {STR_INIT("unset"), STR_INIT("ok"), STR_INIT("error")};
    uint64_t end_ns = span->end_ns > span->start_ns ? span->end_ns : span->start_ns;
    member_id(w, STR("trace_id"), span->trace_id);
    member_id(w, STR("span_id"), span->span_id);
    member_id(w, STR("parent_span_id"), span->parent_span_id);
    json_member_str(w, STR("name"), span->name);
    json_member_str(w, STR("kind"), kinds[span->kind < 6 ? span->kind : 0]);
    member_time(w, STR("time"), span->start_ns);
    json_member_u64(w, STR("duration_us"), (end_ns - span->start_ns) / 1000);
    member_ns(w, STR("start_ns"), span->start_ns);
    member_ns(w, STR("end_ns"), span->end_ns);
    json_member_str(w, STR("status"), codes[span->status.code < 3 ? span->status.code : 0]);
    member_text(w, STR("status_message"), span->status.message);
}

static void write_span_rest(struct json_writer *w, const struct otlp_span *span)
{
    member_attributes(w, STR("attributes"), &span->attributes);
    write_events(w, &span->events);
    write_links(w, &span->links);
    member_text(w, STR("trace_state"), span->trace_state);
    member_count(w, STR("flags"), span->flags);
    member_count(w, STR("dropped_attributes"), span->dropped_attributes);
    member_count(w, STR("dropped_events"), span->dropped_events);
    member_count(w, STR("dropped_links"), span->dropped_links);
}

void otlp_span_record_write(const struct otlp_item *item, const struct otlp_span *span,
                            const struct gen_ai *g, const struct otlp_envelope *envelope,
                            struct arena *a, struct buf *json)
{
    struct json_writer w;
    json_writer_init(&w, json);
    json_object_begin(&w);
    write_span_head(&w, span);
    write_sender(&w, item, envelope);
    member_text(&w, STR("session"), g->text[GEN_SESSION]);
    member_text(&w, STR("user"), g->text[GEN_USER]);
    if (g->dialect != GEN_AI_NONE) {
        json_member_str(&w, STR("dialect"), str_from_c(gen_ai_dialect_name(g->dialect)));
        json_member_bool(&w, STR("inference"), gen_ai_is_inference(g));
        write_gen_ai(&w, g, span, a);
    }
    if (g->usage.source != USAGE_NONE) {
        json_key(&w, STR("usage"));
        usage_write(&w, &g->usage);
        write_cost(&w, envelope);
    }
    write_span_rest(&w, span);
    write_source(&w, item);
    json_object_end(&w);
}

/* ---- Log records ---- */

void otlp_log_record_write(const struct otlp_item *item, const struct otlp_log *log,
                           const struct otlp_envelope *envelope, struct buf *json)
{
    struct json_writer w;
    json_writer_init(&w, json);
    json_object_begin(&w);
    member_time(&w, STR("time"), log->time_ns ? log->time_ns : log->observed_ns);
    member_ns(&w, STR("time_ns"), log->time_ns);
    member_ns(&w, STR("observed_ns"), log->observed_ns);
    member_id(&w, STR("trace_id"), log->trace_id);
    member_id(&w, STR("span_id"), log->span_id);
    member_count(&w, STR("severity"), log->severity_number);
    member_text(&w, STR("severity_text"), log->severity_text);
    member_text(&w, STR("event"), log->event_name);
    write_sender(&w, item, envelope);
    json_key(&w, STR("body"));
    otlp_value_write(&w, &log->body);
    member_attributes(&w, STR("attributes"), &log->attributes);
    member_count(&w, STR("flags"), log->flags);
    member_count(&w, STR("dropped_attributes"), log->dropped_attributes);
    write_source(&w, item);
    json_object_end(&w);
}

/* ---- Metrics ---- */

struct kind {
    struct str name;
    size_t at;
};

static const struct kind kinds[] = {
    {STR_INIT("gauge"), offsetof(struct otlp_metric, gauge)},
    {STR_INIT("sum"), offsetof(struct otlp_metric, sum)},
    {STR_INIT("histogram"), offsetof(struct otlp_metric, histogram)},
    {STR_INIT("exponential_histogram"), offsetof(struct otlp_metric, exponential)},
    {STR_INIT("summary"), offsetof(struct otlp_metric, summary)},
};

static const struct otlp_points *points_of(const struct otlp_metric *m, struct str *ret_kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const struct otlp_points *p = (const void *)((const char *)m + kinds[i].at);
        *ret_kind = kinds[i].name;
        if (p->points.count)
            return p;
    }
    return NULL;
}

size_t otlp_metric_points(const struct otlp_metric *metric)
{
    struct str kind;
    const struct otlp_points *p = points_of(metric, &kind);
    return p ? p->points.count : 0;
}

static void member_numbers(struct json_writer *w, struct str key, const struct otlp_numbers *n,
                           bool doubles)
{
    if (!n->count)
        return;
    json_key(w, key);
    json_array_begin(w);
    for (size_t i = 0; i < n->count; i++) {
        double real;
        memcpy(&real, &n->at[i], sizeof real);
        if (doubles)
            otlp_double_write(w, real);
        else
            json_u64(w, n->at[i]);
    }
    json_array_end(w);
}

static void member_buckets(struct json_writer *w, struct str key, const struct otlp_buckets *b)
{
    if (!b->counts.count)
        return;
    json_key(w, key);
    json_object_begin(w);
    json_member_i64(w, STR("offset"), b->offset);
    member_numbers(w, STR("counts"), &b->counts, false);
    json_object_end(w);
}

static void member_double(struct json_writer *w, struct str key, double value)
{
    json_key(w, key);
    otlp_double_write(w, value);
}

static void write_distribution(struct json_writer *w, const struct otlp_point *p, bool exponential)
{
    json_member_u64(w, STR("count"), p->count);
    if (p->seen & OTLP_SEEN_SUM)
        member_double(w, STR("sum"), p->sum);
    if (p->seen & OTLP_SEEN_MIN)
        member_double(w, STR("min"), p->min);
    if (p->seen & OTLP_SEEN_MAX)
        member_double(w, STR("max"), p->max);
    member_numbers(w, STR("bounds"), &p->bounds, true);
    member_numbers(w, STR("counts"), &p->bucket_counts, false);
    if (exponential) {
        json_member_i64(w, STR("scale"), p->scale);
        json_member_u64(w, STR("zero_count"), p->zero_count);
        member_double(w, STR("zero_threshold"), p->zero_threshold);
        member_buckets(w, STR("positive"), &p->positive);
        member_buckets(w, STR("negative"), &p->negative);
    }
    const struct otlp_quantile *q = p->quantiles.at;
    if (!p->quantiles.count)
        return;
    json_key(w, STR("quantiles"));
    json_array_begin(w);
    for (size_t i = 0; i < p->quantiles.count; i++) {
        json_array_begin(w);
        otlp_double_write(w, q[i].quantile);
        otlp_double_write(w, q[i].value);
        json_array_end(w);
    }
    json_array_end(w);
}

static void write_point(struct json_writer *w, const struct otlp_point *p, struct str kind)
{
    json_object_begin(w);
    member_attributes(w, STR("attributes"), &p->attributes);
    if (p->start_ns)
        member_ns(w, STR("start_ns"), p->start_ns);
    member_ns(w, STR("time_ns"), p->time_ns);
    if (p->seen & OTLP_SEEN_INT)
        json_member_i64(w, STR("value"), p->as_int);
    else if (p->seen & OTLP_SEEN_DOUBLE)
        member_double(w, STR("value"), p->as_double);
    else if (!str_eq(kind, STR("gauge")) && !str_eq(kind, STR("sum")))
        write_distribution(w, p, str_eq(kind, STR("exponential_histogram")));
    member_count(w, STR("flags"), p->flags);
    json_object_end(w);
}

static uint64_t newest_ns(const struct otlp_points *points)
{
    const struct otlp_point *at = points->points.at;
    uint64_t newest = 0;
    for (size_t i = 0; i < points->points.count; i++)
        newest = at[i].time_ns > newest ? at[i].time_ns : newest;
    return newest;
}

void otlp_metric_record_write(const struct otlp_item *item, const struct otlp_metric *metric,
                              const struct otlp_envelope *envelope, struct buf *json)
{
    static const struct str temporalities[] = {STR_INIT("unspecified"), STR_INIT("delta"),
                                               STR_INIT("cumulative")};
    struct json_writer w;
    struct str kind = STR_NONE;
    const struct otlp_points *points = points_of(metric, &kind);
    const struct otlp_point *at = points ? points->points.at : NULL;
    json_writer_init(&w, json);
    json_object_begin(&w);
    member_time(&w, STR("time"), points ? newest_ns(points) : 0);
    json_member_str(&w, STR("name"), metric->name);
    member_text(&w, STR("unit"), metric->unit);
    member_text(&w, STR("description"), metric->description);
    json_member_str(&w, STR("type"), kind);
    if (points && points->temporality)
        json_member_str(&w, STR("temporality"),
                        temporalities[points->temporality < 3 ? points->temporality : 0]);
    if (str_eq(kind, STR("sum")))
        json_member_bool(&w, STR("monotonic"), points && points->monotonic);
    write_sender(&w, item, envelope);
    json_key(&w, STR("points"));
    json_array_begin(&w);
    for (size_t i = 0; points && i < points->points.count; i++)
        write_point(&w, &at[i], kind);
    json_array_end(&w);
    write_source(&w, item);
    json_object_end(&w);
}
