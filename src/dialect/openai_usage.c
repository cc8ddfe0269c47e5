#include "codec/json_scan.h"
#include "dialect/openai_chat.h"

/* What a usage object said; -1: nothing. */
struct counts {
    int64_t prompt;   /* prompt_tokens: with its cached part */
    int64_t input;    /* input_tokens: with it (Responses) or without (Anthropic) */
    int64_t output;   /* completion_tokens, output_tokens */
    int64_t total;    /* total_tokens */
    int64_t cached;   /* of the prompt, in its details or DeepSeek's */
    int64_t read;     /* cache_read_input_tokens */
    int64_t written;  /* in the prompt's details */
    int64_t creation; /* cache_creation_input_tokens */
    int64_t hour;     /* of that, to live for an hour */
    int64_t reasoning;
    int64_t audio_in;
    int64_t audio_out;
};

struct field {
    struct str name;
    size_t offset;
};

#define FIELD(name, member)                                                                        \
    {                                                                                              \
        STR_INIT(name), offsetof(struct counts, member)                                            \
    }
#define FIELD_END                                                                                  \
    {                                                                                              \
        {NULL, 0}, 0                                                                               \
    }

static const struct field top_fields[] = {
    FIELD("prompt_tokens", prompt),         FIELD("completion_tokens", output),
    FIELD("total_tokens", total),           FIELD("input_tokens", input),
    FIELD("output_tokens", output),         FIELD("prompt_cache_hit_tokens", cached),
    FIELD("cache_read_input_tokens", read), FIELD("cache_creation_input_tokens", creation),
    FIELD("reasoning_tokens", reasoning),   FIELD_END,
};

static const struct field input_fields[] = {
    FIELD("cached_tokens", cached),
    FIELD("cache_write_tokens", written),
    FIELD("cache_creation_tokens", written),
    FIELD("audio_tokens", audio_in),
    FIELD_END,
};

/* Anthropic's cache_creation. */
static const struct field creation_fields[] = {
    FIELD("ephemeral_1h_input_tokens", hour),
    FIELD_END,
};

static const struct field output_fields[] = {
    FIELD("reasoning_tokens", reasoning),
    FIELD("thinking_tokens", reasoning),
    FIELD("audio_tokens", audio_out),
    FIELD_END,
};

static void read_count(struct json_reader *r, int64_t *count)
{
    struct json_value value = json_take(r);
    int64_t number;
    if (json_to_i64(&value, &number) == ERR_OK && number >= 0 && number <= USAGE_TOKENS_MAX)
        *count = number;
}

static const struct field *field_of(const struct field *fields, const struct json_value *key)
{
    for (; fields->name.ptr; fields++)
        if (json_eq(key, fields->name))
            return fields;
    return NULL;
}

/* The object at hand. details: those of input and output are looked for in it. */
static void read_counts(struct json_reader *r, const struct field *fields, bool details,
                        struct counts *counts)
{
    struct json_value key;
    if (!json_enter(r, JSON_OBJECT))
        return;
    while (json_next_member(r, &key)) {
        const struct field *field = field_of(fields, &key);
        if (field)
            read_count(r, (int64_t *)(void *)((char *)counts + field->offset));
        else if (details && (json_eq(&key, STR("prompt_tokens_details")) ||
                             json_eq(&key, STR("input_tokens_details"))))
            read_counts(r, input_fields, false, counts);
        else if (details && (json_eq(&key, STR("completion_tokens_details")) ||
                             json_eq(&key, STR("output_tokens_details"))))
            read_counts(r, output_fields, false, counts);
        else if (details && json_eq(&key, STR("cache_creation")))
            read_counts(r, creation_fields, false, counts);
    }
}

static int64_t known(int64_t count)
{
    return count > 0 ? count : 0;
}

static int64_t at_most(int64_t count, int64_t limit)
{
    return known(count) < limit ? known(count) : limit;
}

static void normalise_input(const struct counts *c, struct usage *u)
{
    u->cached_input = known(c->cached > 0 ? c->cached : c->read);
    u->cache_write = known(c->written > 0 ? c->written : c->creation);
    int64_t parts = u->cached_input + u->cache_write;
    u->input = known(c->prompt >= 0 ? c->prompt : c->input);
    bool anthropic = c->prompt < 0 && (c->read >= 0 || c->creation >= 0) && c->cached < 0;
    int64_t beyond = c->total - u->input - known(c->output);
    bool beside = parts > 0 && beyond == parts && beyond != c->reasoning;
    if (anthropic || beside || parts > u->input) {
        u->suspect |= anthropic || beside ? 0 : USAGE_SUSPECT_INPUT;
        u->input += parts;
    }
    if (c->audio_in > u->input || c->hour > u->cache_write)
        u->suspect |= USAGE_SUSPECT_INPUT;
    u->cache_write_1h = at_most(c->hour, u->cache_write);
    u->audio_in = at_most(c->audio_in, u->input);
}

static void normalise_output(const struct counts *c, struct usage *u)
{
    u->output = known(c->output);
    u->reasoning = known(c->reasoning);
    int64_t beyond = c->total - u->input - u->output;
    if (u->reasoning > u->output || (u->reasoning > 0 && beyond == u->reasoning)) {
        u->suspect |= beyond == u->reasoning ? 0 : USAGE_SUSPECT_OUTPUT;
        u->output += u->reasoning;
    } else if (u->reasoning == 0 && beyond > 0) {
        u->reasoning = beyond;
        u->output += beyond;
    }
    if (c->audio_out > u->output)
        u->suspect |= USAGE_SUSPECT_OUTPUT;
    u->audio_out = at_most(c->audio_out, u->output);
    if (c->total >= 0 && c->total != u->input + u->output)
        u->suspect |= USAGE_SUSPECT_TOTAL;
}

enum usage_tier openai_tier_read(const struct json_value *value)
{
    static const struct {
        struct str name;
        enum usage_tier tier;
    } tiers[] = {
        {STR_INIT("batch"), USAGE_BATCH},
        {STR_INIT("flex"), USAGE_FLEX},
        {STR_INIT("priority"), USAGE_PRIORITY},
    };
    for (size_t i = 0; i < sizeof tiers / sizeof tiers[0]; i++)
        if (json_eq(value, tiers[i].name))
            return tiers[i].tier;
    return USAGE_STANDARD;
}

/* Anthropic says it inside. */
static enum usage_tier read_tier(struct str usage)
{
    struct json_value value;
    return json_find(usage, "service_tier", &value) ? openai_tier_read(&value) : USAGE_STANDARD;
}

enum err openai_usage_read(struct str text, struct usage *ret_usage)
{
    struct counts c = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    struct json_reader r;
    json_reader_init(&r, text, JSON_DEPTH_MAX);
    if (json_peek(&r) != JSON_OBJECT)
        return ERR_INVALID;
    read_counts(&r, top_fields, true, &c);
    if (!json_finish(&r) || (c.prompt < 0 && c.input < 0 && c.output < 0))
        return ERR_INVALID;
    struct usage u = {.source = USAGE_PROVIDER, .tier = read_tier(text)};
    normalise_input(&c, &u);
    normalise_output(&c, &u);
    *ret_usage = u;
    return ERR_OK;
}
