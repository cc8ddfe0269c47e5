#include "dialect/otlp/normal.h"

#include <stdlib.h>

#include "codec/json_scan.h"

enum { NESTING_MAX = 128, TOKENS_MAX = 1 << 30 };

enum count { INPUT, OUTPUT, CACHED, WRITTEN, REASONING, AUDIO_IN, AUDIO_OUT, TOTAL, COUNTS };
enum { COUNT_FACTS = 100 }; /* a rule's fact from here on is a count */

/* An attribute's name, what it tells, and how much its word counts: 1 most. */
struct rule {
    struct str name;
    uint8_t fact;
    uint8_t rank;
    uint8_t dialect; /* that has this name; GEN_AI_NONE: several */
};

#define RULE(name, fact, rank, dialect)                                                            \
    {                                                                                              \
        STR_INIT(name), fact, rank, dialect                                                        \
    }
#define COUNT(name, count, rank, dialect) RULE(name, COUNT_FACTS + (count), rank, dialect)

#define OT GEN_AI_OPENTELEMETRY
#define OL GEN_AI_OPENLLMETRY
#define OI GEN_AI_OPENINFERENCE
#define LF GEN_AI_LANGFUSE
#define VC GEN_AI_VERCEL

/* In the order of their names. */
static const struct rule rules[] = {
    RULE("agent.name", GEN_AGENT, 3, GEN_AI_NONE),
    RULE("ai.model.id", GEN_REQUEST_MODEL, 3, VC),
    RULE("ai.model.provider", GEN_PROVIDER, 4, VC),
    RULE("ai.operationId", GEN_KIND, 3, VC),
    RULE("ai.prompt", GEN_INPUT_VALUE, 4, VC),
    RULE("ai.prompt.messages", GEN_INPUT_VALUE, 3, VC),
    RULE("ai.response.finishReason", GEN_FINISH, 3, VC),
    RULE("ai.response.id", GEN_RESPONSE_ID, 3, VC),
    RULE("ai.response.model", GEN_RESPONSE_MODEL, 3, VC),
    RULE("ai.response.object", GEN_OUTPUT_VALUE, 4, VC),
    RULE("ai.response.text", GEN_OUTPUT_VALUE, 3, VC),
    RULE("ai.response.toolCalls", GEN_TOOL_CALLS, 3, VC),
    RULE("ai.telemetry.metadata.sessionId", GEN_SESSION, 3, VC),
    RULE("ai.telemetry.metadata.userId", GEN_USER, 3, VC),
    RULE("ai.toolCall.args", GEN_TOOL_ARGUMENTS, 3, VC),
    RULE("ai.toolCall.id", GEN_TOOL_CALL_ID, 3, VC),
    RULE("ai.toolCall.name", GEN_TOOL, 3, VC),
    RULE("ai.toolCall.result", GEN_TOOL_RESULT, 3, VC),
    COUNT("ai.usage.cachedInputTokens", CACHED, 3, VC),
    COUNT("ai.usage.completionTokens", OUTPUT, 4, VC),
    COUNT("ai.usage.inputTokenDetails.cacheReadTokens", CACHED, 3, VC),
    COUNT("ai.usage.inputTokenDetails.cacheWriteTokens", WRITTEN, 3, VC),
    COUNT("ai.usage.inputTokens", INPUT, 3, VC),
    COUNT("ai.usage.outputTokenDetails.reasoningTokens", REASONING, 3, VC),
    COUNT("ai.usage.outputTokens", OUTPUT, 3, VC),
    COUNT("ai.usage.promptTokens", INPUT, 4, VC),
    COUNT("ai.usage.reasoningTokens", REASONING, 3, VC),
    COUNT("ai.usage.tokens", INPUT, 5, VC),
    COUNT("ai.usage.totalTokens", TOTAL, 3, VC),
    RULE("embedding.model_name", GEN_REQUEST_MODEL, 3, OI),
    RULE("gen_ai.agent.name", GEN_AGENT, 1, OT),
    RULE("gen_ai.completion", GEN_OUTPUT_VALUE, 2, OT),
    RULE("gen_ai.conversation.id", GEN_SESSION, 1, OT),
    RULE("gen_ai.input.messages", GEN_INPUT_MESSAGES, 1, OT),
    RULE("gen_ai.operation.name", GEN_OPERATION, 1, OT),
    RULE("gen_ai.output.messages", GEN_OUTPUT_MESSAGES, 1, OT),
    RULE("gen_ai.output.type", GEN_OUTPUT_TYPE, 1, OT),
    RULE("gen_ai.prompt", GEN_INPUT_VALUE, 2, OT),
    RULE("gen_ai.provider.name", GEN_PROVIDER, 1, OT),
    RULE("gen_ai.request.model", GEN_REQUEST_MODEL, 1, OT),
    RULE("gen_ai.response.finish_reasons", GEN_FINISH, 1, OT),
    RULE("gen_ai.response.id", GEN_RESPONSE_ID, 1, OT),
    RULE("gen_ai.response.model", GEN_RESPONSE_MODEL, 1, OT),
    RULE("gen_ai.system", GEN_PROVIDER, 2, OT),
    RULE("gen_ai.system_instructions", GEN_SYSTEM, 1, OT),
    RULE("gen_ai.tool.call.arguments", GEN_TOOL_ARGUMENTS, 1, OT),
    RULE("gen_ai.tool.call.id", GEN_TOOL_CALL_ID, 1, OT),
    RULE("gen_ai.tool.call.result", GEN_TOOL_RESULT, 1, OT),
    RULE("gen_ai.tool.name", GEN_TOOL, 1, OT),
    COUNT("gen_ai.usage.cache_creation.input_tokens", WRITTEN, 2, OT),
    COUNT("gen_ai.usage.cache_creation_input_tokens", WRITTEN, 3, OL),
    COUNT("gen_ai.usage.cache_read.input_tokens", CACHED, 1, OT),
    COUNT("gen_ai.usage.cache_read_input_tokens", CACHED, 3, OL),
    COUNT("gen_ai.usage.cache_write.input_tokens", WRITTEN, 1, OT),
    COUNT("gen_ai.usage.completion_tokens", OUTPUT, 2, OT),
    COUNT("gen_ai.usage.input_tokens", INPUT, 1, OT),
    COUNT("gen_ai.usage.output_tokens", OUTPUT, 1, OT),
    COUNT("gen_ai.usage.prompt_tokens", INPUT, 2, OT),
    COUNT("gen_ai.usage.reasoning.output_tokens", REASONING, 1, OT),
    COUNT("gen_ai.usage.reasoning_tokens", REASONING, 3, OL),
    COUNT("gen_ai.usage.total_tokens", TOTAL, 2, OL),
    RULE("input.value", GEN_INPUT_VALUE, 5, OI),
    RULE("langfuse.observation.input", GEN_INPUT_VALUE, 3, LF),
    RULE("langfuse.observation.model.name", GEN_REQUEST_MODEL, 3, LF),
    RULE("langfuse.observation.output", GEN_OUTPUT_VALUE, 3, LF),
    RULE("langfuse.observation.type", GEN_KIND, 4, LF),
    RULE("langfuse.observation.usage_details", GEN_USAGE, 3, LF),
    RULE("langfuse.session.id", GEN_SESSION, 3, LF),
    RULE("langfuse.user.id", GEN_USER, 3, LF),
    RULE("llm.finish_reason", GEN_FINISH, 3, OI),
    RULE("llm.model_name", GEN_REQUEST_MODEL, 4, OI),
    RULE("llm.provider", GEN_PROVIDER, 3, OI),
    RULE("llm.request.model", GEN_REQUEST_MODEL, 5, OL),
    RULE("llm.request.type", GEN_KIND, 5, OL),
    RULE("llm.response.model", GEN_RESPONSE_MODEL, 5, OL),
    RULE("llm.system", GEN_PROVIDER, 5, OI),
    COUNT("llm.token_count.completion", OUTPUT, 3, OI),
    COUNT("llm.token_count.completion_details.audio", AUDIO_OUT, 3, OI),
    COUNT("llm.token_count.completion_details.reasoning", REASONING, 3, OI),
    COUNT("llm.token_count.prompt", INPUT, 3, OI),
    COUNT("llm.token_count.prompt_details.audio", AUDIO_IN, 3, OI),
    COUNT("llm.token_count.prompt_details.cache_read", CACHED, 3, OI),
    COUNT("llm.token_count.prompt_details.cache_write", WRITTEN, 3, OI),
    COUNT("llm.token_count.total", TOTAL, 3, OI),
    COUNT("llm.usage.completion_tokens", OUTPUT, 5, OL),
    COUNT("llm.usage.prompt_tokens", INPUT, 5, OL),
    COUNT("llm.usage.total_tokens", TOTAL, 4, OL),
    RULE("llm.vendor", GEN_PROVIDER, 6, OL),
    RULE("openinference.span.kind", GEN_KIND, 2, OI),
    RULE("output.value", GEN_OUTPUT_VALUE, 5, OI),
    RULE("reranker.model_name", GEN_REQUEST_MODEL, 3, OI),
    RULE("session.id", GEN_SESSION, 2, GEN_AI_NONE),
    RULE("tool.name", GEN_TOOL, 3, OI),
    RULE("traceloop.association.properties.session_id", GEN_SESSION, 4, OL),
    RULE("traceloop.association.properties.user_id", GEN_USER, 4, OL),
    RULE("traceloop.entity.input", GEN_INPUT_VALUE, 5, OL),
    RULE("traceloop.entity.output", GEN_OUTPUT_VALUE, 5, OL),
    RULE("traceloop.span.kind", GEN_KIND, 6, OL),
    RULE("user.id", GEN_USER, 2, GEN_AI_NONE),
};

enum { RULES = sizeof rules / sizeof rules[0] };

/* Names of others → OpenTelemetry's. */
struct word {
    struct str from, to;
};

static const struct word operations[] = {
    {STR_INIT("LLM"), STR_INIT("chat")},
    {STR_INIT("EMBEDDING"), STR_INIT("embeddings")},
    {STR_INIT("RETRIEVER"), STR_INIT("retrieval")},
    {STR_INIT("RERANKER"), STR_INIT("rerank")},
    {STR_INIT("TOOL"), STR_INIT("execute_tool")},
    {STR_INIT("AGENT"), STR_INIT("invoke_agent")},
    {STR_INIT("CHAIN"), STR_INIT("invoke_workflow")},
    {STR_INIT("workflow"), STR_INIT("invoke_workflow")},
    {STR_INIT("generation"), STR_INIT("chat")},
    {STR_INIT("completion"), STR_INIT("text_completion")},
    {STR_INIT("ai.generateText.doGenerate"), STR_INIT("chat")},
    {STR_INIT("ai.streamText.doStream"), STR_INIT("chat")},
    {STR_INIT("ai.generateObject.doGenerate"), STR_INIT("chat")},
    {STR_INIT("ai.streamObject.doStream"), STR_INIT("chat")},
    {STR_INIT("ai.embed.doEmbed"), STR_INIT("embeddings")},
    {STR_INIT("ai.embedMany.doEmbed"), STR_INIT("embeddings")},
    {STR_INIT("ai.toolCall"), STR_INIT("execute_tool")},
    {STR_INIT("ai.generateText"), STR_INIT("invoke_agent")},
    {STR_INIT("ai.streamText"), STR_INIT("invoke_agent")},
    {STR_INIT("ai.generateObject"), STR_INIT("invoke_agent")},
    {STR_INIT("ai.streamObject"), STR_INIT("invoke_agent")},
    {STR_INIT("ai.embed"), STR_INIT("invoke_workflow")},
    {STR_INIT("ai.embedMany"), STR_INIT("invoke_workflow")},
    {STR_NONE, STR_NONE},
};

/* By how a name begins, in any case. */
static const struct word providers[] = {
    {STR_INIT("openai"), STR_INIT("openai")},
    {STR_INIT("azure"), STR_INIT("azure.ai.openai")},
    {STR_INIT("az.ai.openai"), STR_INIT("azure.ai.openai")},
    {STR_INIT("anthropic"), STR_INIT("anthropic")},
    {STR_INIT("google.vertex"), STR_INIT("gcp.vertex_ai")},
    {STR_INIT("vertex"), STR_INIT("gcp.vertex_ai")},
    {STR_INIT("google"), STR_INIT("gcp.gemini")},
    {STR_INIT("gemini"), STR_INIT("gcp.gemini")},
    {STR_INIT("amazon-bedrock"), STR_INIT("aws.bedrock")},
    {STR_INIT("bedrock"), STR_INIT("aws.bedrock")},
    {STR_INIT("aws"), STR_INIT("aws.bedrock")},
    {STR_INIT("mistral"), STR_INIT("mistral_ai")},
    {STR_INIT("cohere"), STR_INIT("cohere")},
    {STR_INIT("groq"), STR_INIT("groq")},
    {STR_INIT("deepseek"), STR_INIT("deepseek")},
    {STR_INIT("xai"), STR_INIT("x_ai")},
    {STR_INIT("perplexity"), STR_INIT("perplexity")},
    {STR_NONE, STR_NONE},
};

const char *gen_ai_dialect_name(enum gen_ai_dialect dialect)
{
    static const char *const names[] = {"",         "opentelemetry", "openllmetry",
                                        "langfuse", "vercel",        "openinference"};
    return names[dialect];
}

static int compare_rule(const void *key, const void *rule)
{
    return str_cmp(*(const struct str *)key, ((const struct rule *)rule)->name);
}

static const struct rule *rule_of(struct str name)
{
    return bsearch(&name, rules, RULES, sizeof rules[0], compare_rule);
}

struct reading {
    struct gen_ai *g;
    uint8_t ranks[COUNT_FACTS + COUNTS]; /* of what was taken; 0: nothing yet */
    int64_t counts[COUNTS];              /* -1: not told */
};

static bool to_count(const struct otlp_value *v, int64_t *ret_count)
{
    int64_t number = -1;
    if (v->kind == OTLP_INT)
        number = v->number;
    else if (v->kind == OTLP_DOUBLE && v->real >= 0 && v->real <= TOKENS_MAX)
        number = (int64_t)v->real;
    else if (v->kind == OTLP_STRING && str_to_i64(v->text, &number) != ERR_OK)
        return false;
    if (number < 0 || number > TOKENS_MAX)
        return false;
    *ret_count = number;
    return true;
}

static void take(struct reading *r, const struct rule *rule, const struct otlp_value *v)
{
    struct gen_ai *g = r->g;
    uint8_t *rank = &r->ranks[rule->fact];
    if (rule->dialect > g->dialect)
        g->dialect = (enum gen_ai_dialect)rule->dialect;
    if (*rank && *rank <= rule->rank)
        return;
    if (rule->fact >= COUNT_FACTS) {
        if (to_count(v, &r->counts[rule->fact - COUNT_FACTS]))
            *rank = rule->rank;
    } else if (rule->fact < GEN_TEXTS) {
        if (v->kind != OTLP_STRING || !v->text.len)
            return;
        g->text[rule->fact] = v->text;
        *rank = rule->rank;
    } else if (rule->fact < GEN_FACTS) {
        g->value[rule->fact] = v;
        *rank = rule->rank;
    }
}

/* ---- Words ---- */

static void name_operation(struct gen_ai *g)
{
    struct str kind = g->text[GEN_KIND];
    if (g->text[GEN_OPERATION].len || !kind.len)
        return;
    for (const struct word *w = operations; w->from.ptr; w++)
        if (str_eq_nocase(kind, w->from)) {
            g->text[GEN_OPERATION] = w->to;
            return;
        }
    if (str_eq(kind, STR("chat")) || str_eq(kind, STR("rerank")))
        g->text[GEN_OPERATION] = kind;
}

static void name_provider(struct gen_ai *g)
{
    for (const struct word *w = providers; w->from.ptr; w++)
        if (str_starts_nocase(g->text[GEN_PROVIDER], w->from)) {
            g->text[GEN_PROVIDER] = w->to;
            return;
        }
}

bool gen_ai_is_inference(const struct gen_ai *g)
{
    static const struct str names[] = {STR_INIT("chat"), STR_INIT("generate_content"),
                                       STR_INIT("text_completion"), STR_INIT("embeddings"),
                                       STR_INIT("rerank")};
    struct str operation = g->text[GEN_OPERATION];
    if (!operation.len)
        return g->usage.source != USAGE_NONE;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq(operation, names[i]))
            return true;
    return false;
}

/* ---- Tokens ---- */

/* Langfuse's usage_details: names are free; these are what its SDKs and its converters write. */
static void read_usage_object(struct reading *r)
{
    static const struct {
        struct str name;
        enum count count;
    } names[] = {
        {STR_INIT("input"), INPUT},
        {STR_INIT("prompt_tokens"), INPUT},
        {STR_INIT("input_tokens"), INPUT},
        {STR_INIT("output"), OUTPUT},
        {STR_INIT("completion_tokens"), OUTPUT},
        {STR_INIT("output_tokens"), OUTPUT},
        {STR_INIT("total"), TOTAL},
        {STR_INIT("total_tokens"), TOTAL},
        {STR_INIT("input_cached_tokens"), CACHED},
        {STR_INIT("cache_read_input_tokens"), CACHED},
        {STR_INIT("prompt_tokens_details.cached_tokens"), CACHED},
        {STR_INIT("cache_creation_input_tokens"), WRITTEN},
        {STR_INIT("output_reasoning_tokens"), REASONING},
        {STR_INIT("completion_tokens_details.reasoning_tokens"), REASONING},
    };
    const struct otlp_value *v = r->g->value[GEN_USAGE];
    struct json_reader reader;
    struct json_value key;
    if (!v || v->kind != OTLP_STRING)
        return;
    json_reader_init(&reader, v->text, NESTING_MAX);
    if (!json_enter(&reader, JSON_OBJECT))
        return;
    while (json_next_member(&reader, &key)) {
        struct json_value value = json_take(&reader);
        int64_t number = 0;
        if (json_to_i64(&value, &number) != ERR_OK || number < 0 || number > TOKENS_MAX)
            continue;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            if (json_eq(&key, names[i].name) && r->counts[names[i].count] < 0)
                r->counts[names[i].count] = number;
    }
}

static int64_t known(int64_t count)
{
    return count > 0 ? count : 0;
}

/* A whole that is smaller than its parts was counted beside them; so was one that only then adds up
 * to the total. */
static bool is_beside(int64_t whole, int64_t parts, int64_t beyond)
{
    return parts > whole || (parts > 0 && beyond == parts);
}

static void settle_usage(struct reading *r)
{
    const int64_t *c = r->counts;
    struct usage *u = &r->g->usage;
    if (c[INPUT] < 0 && c[OUTPUT] < 0 && c[TOTAL] < 0)
        return;
    *u = (struct usage){
        .input = known(c[INPUT]),
        .cached_input = known(c[CACHED]),
        .cache_write = known(c[WRITTEN]),
        .output = known(c[OUTPUT]),
        .reasoning = known(c[REASONING]),
        .audio_in = known(c[AUDIO_IN]) < known(c[INPUT]) ? known(c[AUDIO_IN]) : known(c[INPUT]),
        .audio_out =
            known(c[AUDIO_OUT]) < known(c[OUTPUT]) ? known(c[AUDIO_OUT]) : known(c[OUTPUT]),
        .source = USAGE_PROVIDER,
    };
    int64_t parts = u->cached_input + u->cache_write;
    int64_t beyond = c[TOTAL] < 0 ? 0 : c[TOTAL] - u->input - u->output;
    if (is_beside(u->input, parts, beyond)) {
        u->input += parts;
        u->suspect |= USAGE_SUSPECT_INPUT;
    } else if (is_beside(u->output, u->reasoning, beyond)) {
        u->output += u->reasoning;
        u->suspect |= USAGE_SUSPECT_OUTPUT;
    }
    if (u->reasoning > u->output) {
        u->output += u->reasoning;
        u->suspect |= USAGE_SUSPECT_OUTPUT;
    }
    if (c[INPUT] < 0 && c[OUTPUT] < 0)
        u->input = c[TOTAL]; /* embeddings say no more */
    else if (c[TOTAL] >= 0 && c[TOTAL] != u->input + u->output)
        u->suspect |= USAGE_SUSPECT_TOTAL;
}

void gen_ai_read(const struct otlp_attributes *attributes, struct gen_ai *ret_gen_ai)
{
    struct reading r = {.g = ret_gen_ai};
    *ret_gen_ai = (struct gen_ai){.dialect = GEN_AI_NONE};
    for (int i = 0; i < COUNTS; i++)
        r.counts[i] = -1;
    for (size_t i = 0; i < attributes->count; i++) {
        const struct rule *rule = rule_of(attributes->at[i].key);
        if (rule)
            take(&r, rule, &attributes->at[i].value);
        else if (str_starts(attributes->at[i].key, STR("gen_ai.prompt.")) &&
                 ret_gen_ai->dialect < GEN_AI_OPENLLMETRY)
            ret_gen_ai->dialect = GEN_AI_OPENLLMETRY;
    }
    if (ret_gen_ai->dialect == GEN_AI_NONE)
        return;
    name_operation(ret_gen_ai);
    name_provider(ret_gen_ai);
    read_usage_object(&r);
    settle_usage(&r);
}
